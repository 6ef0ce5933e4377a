/* Opening, measuring and tidying a database of SQLite. */
#include "store/sqlite_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char schema[] =
    "CREATE TABLE info(name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;"
    "CREATE TABLE number(number INTEGER PRIMARY KEY, name TEXT NOT NULL);"
    "CREATE TABLE ident(k BLOB PRIMARY KEY) WITHOUT ROWID;"
    "CREATE TABLE resource(rid INTEGER PRIMARY KEY, head BLOB NOT NULL, body BLOB);"
    "CREATE TABLE old(at INTEGER PRIMARY KEY, head BLOB NOT NULL, body BLOB);"
    "CREATE TABLE change(sequence INTEGER PRIMARY KEY, what BLOB NOT NULL);"
    "CREATE TABLE text(k BLOB PRIMARY KEY) WITHOUT ROWID;"
    "CREATE TABLE keys(k BLOB PRIMARY KEY) WITHOUT ROWID;"
    "CREATE TABLE dictionary(number INTEGER PRIMARY KEY, type INTEGER NOT NULL, bytes BLOB NOT NULL);"
    "CREATE VIRTUAL TABLE narrative USING fts5(words, content='', tokenize='unicode61 remove_diacritics 2');";
static const char content_schema[] =
    "CREATE VIRTUAL TABLE content USING fts5(words, content='', detail=none, "
    "tokenize='unicode61 remove_diacritics 2');";

enum store_result sqlite_is_empty(struct store *s, bool *ret)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(s->db, "SELECT count(*) FROM sqlite_schema", -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    *ret = code == SQLITE_ROW && sqlite3_column_int64(statement, 0) == 0;
    sqlite3_finalize(statement);
    return code == SQLITE_ROW ? STORE_FINE : sqlite_failed(s, code);
}

enum store_result sqlite_make_tables(struct store *s, bool has_content)
{
    enum store_result result = sqlite_exec(s, schema);
    return result == STORE_FINE && has_content ? sqlite_exec(s, content_schema) : result;
}

bool sqlite_has_content(struct store *s)
{
    return sqlite3_table_column_metadata(s->db, NULL, "content", NULL, NULL, NULL, NULL, NULL, NULL) ==
           SQLITE_OK;
}

/* ---- the connection */

static int count_log(void *context, sqlite3 *db, const char *name, int pages)
{
    struct store *s = context;
    s->log_pages = (uint32_t)pages;
    return SQLITE_OK;
}

static enum store_result set_up(struct store *s, const struct store_options *o)
{
    char memory[400];
    struct buf sql = buf_over(memory, sizeof memory);
    uint64_t cache = o->cache_bytes ? o->cache_bytes : 64 << 20;
    if (s->role == STORE_WRITER)
        buf_printf(&sql,
                   "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                   "PRAGMA cell_size_check=1; PRAGMA journal_size_limit=67108864; PRAGMA cache_size=-%llu;",
                   (unsigned long long)cache / 1024);
    else
        buf_printf(&sql, "PRAGMA query_only=1; PRAGMA cache_size=-8192; PRAGMA mmap_size=%llu;",
                   (unsigned long long)(o->map_bytes ? o->map_bytes : 64ULL << 30));
    buf_printf(&sql, "PRAGMA trusted_schema=0; PRAGMA temp_store=MEMORY;%c", 0);
    sqlite3_busy_timeout(s->db, 1'000);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, s->role == STORE_READER, NULL);
    if (s->role == STORE_WRITER)
        sqlite3_wal_hook(s->db, count_log, s);
    return sqlite_exec(s, memory);
}

static enum store_result lock_folder(struct store *s, const char *folder, const struct store_options *o)
{
    if (o->may_create && mkdir(folder, 0700) != 0 && errno != EEXIST)
        return engine_fail(s, STORE_OTHER, "the folder of the store cannot be made");
    s->lock_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->lock_fd < 0)
        return engine_fail(s, STORE_OTHER, "the folder of the store cannot be opened");
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return engine_fail(s, STORE_BUSY, "another process writes to this store");
    return STORE_FINE;
}

enum store_result sqlite_connect(struct store *s, const struct store_options *o)
{
    char *folder = arena_copy_z(s->arena, s->location);
    struct str file = arena_printf(s->arena, "%.*s/records.db%c", STR_ARG(s->location), 0);
    /* Processes have no threads here; refused, without harm, when SQLite was used before. */
    (void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    int flags = s->role == STORE_READER ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if (!folder || !file.p)
        return STORE_NO_MEMORY;
    if (s->role == STORE_WRITER) {
        enum store_result result = lock_folder(s, folder, o);
        if (result != STORE_FINE)
            return result;
        flags |= o->may_create ? SQLITE_OPEN_CREATE : 0;
    }
    const char *vfs = s->role == STORE_WRITER ? sqlite_log_layer(o->vfs) : o->vfs;
    int code = sqlite3_open_v2(
        file.p, &s->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE, vfs);
    return code == SQLITE_OK ? set_up(s, o) : sqlite_failed(s, code);
}

void sqlite_disconnect(struct store *s)
{
    for (unsigned i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(s->statements[i].own);
    sqlite3_close(s->db);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
}

/* ---- measuring */

static enum store_result pragma_number(struct store *s, const char *sql, uint64_t *ret)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(s->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    *ret = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    enum store_result result = code == SQLITE_ROW ? STORE_FINE : sqlite_failed(s, code);
    sqlite3_finalize(statement);
    return result;
}

enum store_result sqlite_measure(struct store *s, uint64_t *ret_bytes, uint64_t *ret_free)
{
    uint64_t pages = 0, page_bytes = 0, free_pages = 0;
    enum store_result result = pragma_number(s, "PRAGMA page_count", &pages);
    if (result == STORE_FINE)
        result = pragma_number(s, "PRAGMA page_size", &page_bytes);
    if (result == STORE_FINE)
        result = pragma_number(s, "PRAGMA freelist_count", &free_pages);
    *ret_bytes = pages * page_bytes;
    *ret_free = free_pages * page_bytes;
    return result;
}

enum store_result sqlite_shrink(struct store *s)
{
    return sqlite_exec(s, "VACUUM");
}

/* ---- the log */

uint64_t sqlite_log_bytes(struct store *s)
{
    enum { FRAME_BYTES = 4'096 + 24 }; /* https://www.sqlite.org/fileformat2.html#wal_file_format */
    return (uint64_t)s->log_pages * FRAME_BYTES;
}

enum store_result sqlite_checkpoint(struct store *s)
{
    int log = 0, moved = 0;
    int code = sqlite3_wal_checkpoint_v2(s->db, "main", SQLITE_CHECKPOINT_PASSIVE, &log, &moved);
    if (code != SQLITE_OK && code != SQLITE_BUSY)
        return sqlite_failed(s, code);
    s->log_pages = log == moved ? 0 : (uint32_t)log;
    return STORE_FINE;
}
