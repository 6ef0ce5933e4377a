/* Copies of a store in SQLite: a file that appears under its name when it is whole. */
#include "store/sqlite_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static enum store_result sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return STORE_BROKEN;
    enum store_result result = fsync(fd) == 0 ? STORE_FINE : STORE_BROKEN;
    close(fd);
    return result;
}

/* The file is durable under its new name. */
static enum store_result put_in_place(const char *from, const char *to, const char *folder)
{
    enum store_result result = sync_path(from, O_RDONLY);
    if (result == STORE_FINE && link(from, to) != 0)
        result = errno == EEXIST ? STORE_OTHER : STORE_BROKEN;
    (void)unlink(from);
    return result == STORE_FINE ? sync_path(folder, O_RDONLY | O_DIRECTORY) : result;
}

static enum store_result copy_pages(struct store *s, sqlite3 *to,
                                    bool (*progress)(void *context, uint64_t done, uint64_t all),
                                    void *context)
{
    enum { PAGES = 512 };
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", s->db, "main");
    if (!backup)
        return engine_fail(s, STORE_BROKEN, sqlite3_errmsg(to));
    int code;
    bool goes_on = true;
    do {
        code = sqlite3_backup_step(backup, PAGES);
        uint64_t all = (uint64_t)sqlite3_backup_pagecount(backup);
        goes_on = !progress || progress(context, all - (uint64_t)sqlite3_backup_remaining(backup), all);
    } while (code == SQLITE_OK && goes_on);
    sqlite3_backup_finish(backup);
    if (!goes_on)
        return engine_fail(s, STORE_BUSY, "the copy was broken off");
    if (code == SQLITE_DONE)
        return STORE_FINE;
    return engine_fail(s, (code & 0xff) == SQLITE_FULL ? STORE_NO_SPACE : STORE_BROKEN, sqlite3_errstr(code));
}

static struct str folder_of(struct str path, struct arena *arena)
{
    size_t n = path.n;
    while (n > 0 && path.p[n - 1] != '/')
        n--;
    return n ? arena_printf(arena, "%.*s%c", (int)n, path.p, 0) : arena_printf(arena, ".%c", 0);
}

enum store_result sqlite_backup(struct store *s, struct str target,
                                bool (*progress)(void *context, uint64_t done, uint64_t all), void *context)
{
    sqlite3 *to = NULL;
    enum store_result result = STORE_FINE;
    char *name = arena_copy_z(s->scratch, target);
    struct str part = arena_printf(s->scratch, "%.*s.part%c", STR_ARG(target), 0),
               folder = folder_of(target, s->scratch);
    if (!name || !part.p || !folder.p)
        result = STORE_NO_MEMORY;
    else if (access(name, F_OK) == 0)
        result = engine_fail(s, STORE_OTHER, "the file of the copy is there already");
    if (result == STORE_FINE)
        result = sqlite_read_counters(s); /* the copy is of the state of this read */
    if (result == STORE_FINE) {
        (void)unlink(part.p);
        if (sqlite3_open_v2(part.p, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
            result = engine_fail(s, STORE_OTHER, "the file of the copy cannot be made");
    }
    if (result == STORE_FINE)
        result = copy_pages(s, to, progress, context);
    sqlite3_close(to);
    if (result == STORE_FINE)
        result = put_in_place(part.p, name, folder.p);
    else if (part.p)
        (void)unlink(part.p);
    return result;
}

static enum store_result copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    enum store_result result = out < 0 ? STORE_OTHER : STORE_FINE;
    for (ssize_t n = 1; result == STORE_FINE && n > 0;) {
        n = copy_file_range(in, NULL, out, NULL, 1 << 26, 0);
        if (n < 0)
            result = errno == ENOSPC ? STORE_NO_SPACE : STORE_BROKEN;
    }
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return result;
}

/* Is the copy whole, and of this cluster? Looked at where nobody takes it for a store. */
static enum store_result check_copy(const char *path, struct str cluster)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    enum store_result result = STORE_OTHER;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT value FROM info WHERE name = 'cluster'", -1, &statement, NULL) ==
            SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW && str_eq(sqlite_bytes(statement, 0), cluster))
        result = STORE_CORRUPT;
    sqlite3_finalize(statement);
    statement = NULL;
    if (result == STORE_CORRUPT &&
        sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW && str_eq(sqlite_bytes(statement, 0), STR("ok")))
        result = STORE_FINE;
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return result;
}

static enum store_result restore(const char *backup, const char *folder, const char *name, const char *part,
                                 struct str cluster)
{
    (void)unlink(part);
    enum store_result result = access(name, F_OK) == 0 ? STORE_OTHER : copy_file(backup, part);
    if (result == STORE_FINE)
        result = check_copy(part, cluster);
    if (result == STORE_FINE)
        return put_in_place(part, name, folder);
    (void)unlink(part);
    return result;
}

enum store_result sqlite_restore(struct str backup, struct str location, const struct store_options *o)
{
    struct arena *arena = arena_new(1 << 20);
    if (!arena)
        return STORE_NO_MEMORY;
    char *from = arena_copy_z(arena, backup), *folder = arena_copy_z(arena, location);
    struct str name = arena_printf(arena, "%.*s/records.db%c", STR_ARG(location), 0),
               part = arena_printf(arena, "%.*s/restored.part%c", STR_ARG(location), 0);
    enum store_result result = from && folder && name.p && part.p ? STORE_FINE : STORE_NO_MEMORY;
    if (result == STORE_FINE && mkdir(folder, 0700) != 0 && errno != EEXIST)
        result = STORE_OTHER;
    int fd = result == STORE_FINE ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (result == STORE_FINE && (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0))
        result = fd < 0 ? STORE_OTHER : STORE_BUSY;
    if (result == STORE_FINE)
        result = restore(from, folder, name.p, part.p, o->cluster);
    if (fd >= 0)
        close(fd);
    arena_free(arena);
    return result;
}
