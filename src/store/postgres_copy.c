/* Copies of a store in PostgreSQL: a copy is what it is of SQLite, a file of SQLite's, so that it goes back
 * into either of the two. It is made in a folder beside the place where it will be. */
#include "store/postgres_store.h"
#include "store/sqlite_driver.h"
#include "store/transfer.h"

#include <unistd.h>

static struct str folder_beside(struct str path, struct arena *arena)
{
    return arena_printf(arena, "%.*s.folder", STR_ARG(path));
}

static void remove_folder(struct str folder, struct arena *arena)
{
    static const char *const names[] = {"records.db", "records.db-wal", "records.db-shm",
                                        "records.db-journal", "restored.part"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct str path = arena_printf(arena, "%.*s/%s%c", STR_ARG(folder), names[i], 0);
        if (path.p)
            (void)unlink(path.p);
    }
    char *path = arena_copy_z(arena, folder);
    if (path)
        (void)rmdir(path);
}

static struct store_options options_of(const struct store *s, enum store_role role)
{
    return (struct store_options){.role = role,
                                  .cluster = s->cluster,
                                  .indexer = s->indexer,
                                  .may_create = role == STORE_WRITER,
                                  .has_content = s->has_content};
}

static enum store_result fill_folder(struct store *s, struct str folder, transfer_progress *progress,
                                     void *context)
{
    struct store *to = NULL;
    struct store_options o = options_of(s, STORE_WRITER);
    enum store_result result = store_open(folder, &o, &to);
    if (result != STORE_FINE)
        return engine_fail(s, result == STORE_BUSY ? result : STORE_OTHER,
                           "the file of the copy cannot be made");
    result = store_transfer(s, to, progress, context);
    store_close(to);
    return result;
}

enum store_result postgres_backup(struct store *s, struct str target, transfer_progress *progress,
                                  void *context)
{
    struct str folder = folder_beside(target, s->scratch);
    char *name = arena_copy_z(s->scratch, target);
    struct store *copy = NULL;
    struct store_options o = options_of(s, STORE_READER);
    if (!folder.p || !name)
        return STORE_NO_MEMORY;
    if (access(name, F_OK) == 0)
        return engine_fail(s, STORE_OTHER, "the file of the copy is there already");
    remove_folder(folder, s->scratch);
    enum store_result result = fill_folder(s, folder, progress, context);
    if (result == STORE_FINE)
        result = store_open(folder, &o, &copy);
    if (result == STORE_FINE)
        result = store_backup(copy, target, NULL, NULL);
    store_close(copy);
    remove_folder(folder, s->scratch);
    return result;
}

/* ---- back */

/* What was made before and never written to may be filled: so does a restoring that was broken off end well.
 */
static enum store_result fill_database(struct store *from, struct str location)
{
    struct store *to = NULL;
    struct store_options o = options_of(from, STORE_WRITER);
    enum store_result result = store_open(location, &o, &to);
    if (result != STORE_FINE)
        return result;
    if (store_last_sequence(to) > 0)
        result = STORE_OTHER;
    if (result == STORE_FINE)
        result = engine_read_begin(from);
    if (result == STORE_FINE) {
        result = store_transfer(from, to, NULL, NULL);
        engine_read_end(from);
    }
    store_close(to);
    return result;
}

enum store_result postgres_restore(struct str backup, struct str location, const struct store_options *o)
{
    struct arena *arena = arena_new(1 << 20);
    struct store *from = NULL;
    struct str folder = arena ? folder_beside(backup, arena) : STR_NONE;
    struct store_options own = *o;
    own.role = STORE_READER;
    enum store_result result = folder.p ? sqlite_restore(backup, folder, o) : STORE_NO_MEMORY;
    if (result == STORE_FINE)
        result = store_open(folder, &own, &from);
    if (result == STORE_FINE)
        result = fill_database(from, location);
    store_close(from);
    if (folder.p)
        remove_folder(folder, arena);
    arena_free(arena);
    return result;
}
