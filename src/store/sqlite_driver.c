/* The driver of SQLite: what query.h asks for. */
#include "store/sqlite_driver.h"

#include "base/must.h"

enum { KEYS_AT_ONCE = 16 }; /* as STATEMENT_ADD_KEYS takes */

static const char *const texts[STATEMENTS] = {
#define STATEMENT(name, sqlite, postgres) sqlite,
#include "store/statements.def"
#undef STATEMENT
};

_Static_assert(QUERY_ROW == SQLITE_ROW && QUERY_DONE == SQLITE_DONE, "steps are told as SQLite tells them");

/* A disk that could not read, write or sync has left the file in a state that only a recovery knows. That it
 * was full is told by a write that changed nothing. */
enum store_result sqlite_failed(struct store *s, int code)
{
    if (!code)
        code = sqlite3_errcode(s->db);
    int extended = s->db ? sqlite3_extended_errcode(s->db) : code;
    struct buf out = buf_over(s->problem, sizeof s->problem - 1);
    buf_printf(&out, "%s (%d)", s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code), extended);
    s->problem[out.n] = 0;
    switch (code & 0xff) {
    case SQLITE_FULL:
        return STORE_NO_SPACE;
    case SQLITE_NOMEM:
        return STORE_NO_MEMORY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return STORE_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return STORE_BUSY;
    case SQLITE_CANTOPEN:
        return STORE_OTHER;
    default:
        s->is_stopped |= s->role == STORE_WRITER;
        return STORE_BROKEN;
    }
}

enum store_result sqlite_exec(struct store *s, const char *sql)
{
    int code = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? STORE_FINE : sqlite_failed(s, code);
}

/* ---- statements */

static bool prepare(struct store *s, enum statement which, struct query *q)
{
    sqlite3_stmt *statement = NULL;
    q->driver = &sqlite_driver;
    if (sqlite3_prepare_v3(s->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) == SQLITE_OK)
        q->own = statement;
    return q->own;
}

static void bind_number(struct query *q, int at, int64_t value)
{
    sqlite3_bind_int64(q->own, at, value);
}

static void bind_bytes(struct query *q, int at, struct str bytes)
{
    sqlite3_bind_blob(q->own, at, bytes.n ? bytes.p : "", (int)bytes.n, SQLITE_STATIC);
}

static void bind_text(struct query *q, int at, struct str text)
{
    sqlite3_bind_text(q->own, at, text.p, (int)text.n, SQLITE_STATIC);
}

static int step(struct store *, struct query *q)
{
    int code = sqlite3_step(q->own);
    must(code != SQLITE_MISUSE);
    return code;
}

static int64_t column_number(struct query *q, int at)
{
    return sqlite3_column_int64(q->own, at);
}

struct str sqlite_bytes(sqlite3_stmt *statement, int at)
{
    const void *p = sqlite3_column_blob(statement, at);
    return (struct str){p, p ? (size_t)sqlite3_column_bytes(statement, at) : 0};
}

static struct str column_bytes(struct query *q, int at)
{
    return sqlite_bytes(q->own, at);
}

static void reset(struct query *q)
{
    sqlite3_reset(q->own);
}

static enum store_result run(struct store *s, struct query *q)
{
    int code = step(s, q);
    enum store_result result =
        code == SQLITE_DONE || code == SQLITE_ROW ? STORE_FINE : sqlite_failed(s, code);
    sqlite3_reset(q->own);
    return result;
}

static void undo(struct store *s)
{
    if (!sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

static enum store_result write_key(struct store *s, enum statement which, struct str key)
{
    struct query *q = query_get(s, which);
    query_bind_bytes(q, 1, key);
    return query_run(s, q);
}

/* Many by one statement: to begin and end one costs as much as a key. */
static enum store_result add_keys(struct store *s, const struct str keys[KEYS_AT_ONCE], unsigned n)
{
    enum store_result result = STORE_FINE;
    if (n < KEYS_AT_ONCE) {
        for (unsigned i = 0; i < n && result == STORE_FINE; i++)
            result = write_key(s, STATEMENT_ADD_KEY, keys[i]);
        return result;
    }
    struct query *q = query_get(s, STATEMENT_ADD_KEYS);
    for (unsigned i = 0; i < n; i++)
        query_bind_bytes(q, (int)i + 1, keys[i]);
    return query_run(s, q);
}

static enum store_result change_keys(struct store *s, const struct pending *keys, size_t n)
{
    enum store_result result = STORE_FINE;
    struct str added[KEYS_AT_ONCE];
    unsigned count = 0;
    for (size_t i = 0; i < n && result == STORE_FINE; i++) {
        if (keys[i].is_added)
            added[count++] = keys[i].key;
        else
            result = write_key(s, STATEMENT_DROP_KEY, keys[i].key);
        if (result == STORE_FINE && count == KEYS_AT_ONCE) {
            result = add_keys(s, added, count);
            count = 0;
        }
    }
    return result == STORE_FINE ? add_keys(s, added, count) : result;
}

const struct driver sqlite_driver = {
    .connect = sqlite_connect,
    .close = sqlite_disconnect,
    .is_empty = sqlite_is_empty,
    .make_tables = sqlite_make_tables,
    .has_content = sqlite_has_content,
    .prepare = prepare,
    .bind_number = bind_number,
    .bind_bytes = bind_bytes,
    .bind_text = bind_text,
    .step = step,
    .number = column_number,
    .bytes = column_bytes,
    .reset = reset,
    .run = run,
    .failed = sqlite_failed,
    .undo = undo,
    .change_keys = change_keys,
    .add_words = sqlite_fts_add,
    .drop_words = sqlite_fts_drop,
    .find_words = sqlite_fts_find,
    .log_bytes = sqlite_log_bytes,
    .checkpoint = sqlite_checkpoint,
    .measure = sqlite_measure,
    .shrink = sqlite_shrink,
    .backup = sqlite_backup,
    .restore = sqlite_restore,
};
