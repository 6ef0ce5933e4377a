/* Opening a database of PostgreSQL. It is there already, made by its administrator; the store is one schema
 * in it, which the first writer makes. */
#include "store/postgres_store.h"

#include <stdlib.h>

enum { VERSION_MIN = 150'000, WRITER_LOCK = 0x706f6c64 /* "pold": one number for each database */ };

/* Bodies are packed already. Keys are read by their index alone. */
static const char *const schema[] = {
    "CREATE SCHEMA IF NOT EXISTS polder",
    "CREATE TABLE info(name text PRIMARY KEY, value bytea)",
    "CREATE TABLE number(number bigint PRIMARY KEY, name text NOT NULL)",
    "CREATE TABLE ident(k bytea PRIMARY KEY)",
    "CREATE TABLE resource(rid bigint PRIMARY KEY, head bytea NOT NULL, body bytea)",
    "CREATE TABLE old(at bigint PRIMARY KEY, head bytea NOT NULL, body bytea)",
    "CREATE TABLE change(sequence bigint PRIMARY KEY, what bytea NOT NULL)",
    "CREATE TABLE text(k bytea PRIMARY KEY)",
    "CREATE TABLE keys(k bytea PRIMARY KEY)",
    "CREATE TABLE dictionary(number bigint PRIMARY KEY, type bigint NOT NULL, bytes bytea NOT NULL)",
    "CREATE TABLE narrative(rid bigint PRIMARY KEY, words bytea[] NOT NULL)",
    "CREATE INDEX narrative_words ON narrative USING gin(words)",
    "ALTER TABLE resource ALTER body SET STORAGE EXTERNAL, ALTER head SET STORAGE PLAIN",
    "ALTER TABLE old ALTER body SET STORAGE EXTERNAL, ALTER head SET STORAGE PLAIN",
};
static const char *const content_schema[] = {
    "CREATE TABLE content(rid bigint PRIMARY KEY, words bytea[] NOT NULL)",
    "CREATE INDEX content_words ON content USING gin(words)",
};

/* Every question is a range of one index, in its order: planned once, without statistics. A commit that
 * returns is on the disk, whatever the server would do by itself. */
static const char *const settings[] = {
    "SELECT set_config('search_path', 'polder', false), set_config('client_min_messages', 'error', false),"
    " set_config('plan_cache_mode', 'force_generic_plan', false), set_config('jit', 'off', false),"
    " set_config('enable_seqscan', 'off', false), set_config('enable_sort', 'off', false),"
    " set_config('lock_timeout', '1s', false), set_config('synchronous_commit',"
    " CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'"
    " ELSE current_setting('synchronous_commit') END, false)",
};

static void say_nothing(void *, const char *)
{
}

static enum store_result exec_all(struct store *s, const char *const *sql, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!postgres_send_text(s, sql[i]))
            return s->postgres->failure;
    }
    return postgres_wait(s, NULL);
}

static enum store_result flags_of(struct store *s, const char *sql, bool *ret, int n)
{
    PGresult *r = NULL;
    enum store_result result = postgres_exec(s, sql, &r);
    for (int i = 0; i < n && result == STORE_FINE; i++)
        ret[i] = PQgetlength(r, 0, i) == 1 && PQgetvalue(r, 0, i)[0];
    PQclear(r);
    return result;
}

static enum store_result look_for_tables(struct store *s)
{
    bool found[2] = {0};
    enum store_result result = flags_of(
        s, "SELECT to_regclass('polder.info') IS NOT NULL, to_regclass('polder.content') IS NOT NULL", found,
        2);
    s->postgres->has_tables = found[0];
    s->postgres->has_content = found[1];
    return result;
}

static enum store_result set_up(struct store *s)
{
    struct postgres *p = s->postgres;
    PQsetNoticeProcessor(p->connection, say_nothing, NULL);
    if (PQserverVersion(p->connection) < VERSION_MIN)
        return postgres_fail(s, STORE_OTHER, "PostgreSQL 15 or later is needed");
    if (!PQenterPipelineMode(p->connection))
        return postgres_fail(s, STORE_NO_MEMORY, "the connection cannot be prepared");
    enum store_result result = exec_all(s, settings, sizeof settings / sizeof *settings);
    return result == STORE_FINE ? look_for_tables(s) : result;
}

static enum store_result lock_database(struct store *s)
{
    char sql[64];
    struct buf out = buf_over(sql, sizeof sql);
    buf_printf(&out, "SELECT pg_advisory_lock(%d)%c", WRITER_LOCK, 0);
    enum store_result result = postgres_exec(s, sql, NULL);
    return result == STORE_BUSY ? engine_fail(s, STORE_BUSY, "another process writes to this store") : result;
}

static PGconn *connect_to(const char *uri, const char *name)
{
    const char *const names[] = {"dbname", "fallback_application_name", NULL};
    const char *const values[] = {uri, name, NULL};
    return PQconnectdbParams(names, values, 1);
}

enum store_result store_link_open(struct str location, struct store_link **ret, struct buf *problem)
{
    char uri[1'024];
    struct buf out = buf_over(uri, sizeof uri);
    *ret = NULL;
    if (sqlite_driver_of(location) != &postgres_driver)
        return STORE_FINE;
    buf_printf(&out, "%.*s%c", STR_ARG(location), 0);
    PGconn *connection = buf_overflowed(&out) ? NULL : connect_to(uri, "polder records");
    if (PQstatus(connection) == CONNECTION_OK) {
        *ret = (struct store_link *)connection;
        return STORE_FINE;
    }
    buf_str(problem, str_trim(str_of(connection ? PQerrorMessage(connection) : "out of memory")));
    PQfinish(connection);
    return STORE_OTHER;
}

void store_link_close(struct store_link *link)
{
    PQfinish((PGconn *)link);
}

enum store_result postgres_connect(struct store *s, const struct store_options *o)
{
    char *uri = arena_copy_z(s->arena, s->location);
    struct postgres *p = s->postgres = calloc(1, sizeof *s->postgres);
    if (!p || !uri)
        return STORE_NO_MEMORY;
    p->connection = o->link ? (PGconn *)o->link
                            : connect_to(uri, s->role == STORE_WRITER ? "polder writer" : "polder reader");
    if (!p->connection)
        return STORE_NO_MEMORY;
    if (PQstatus(p->connection) != CONNECTION_OK)
        return postgres_fail(s, STORE_OTHER, PQerrorMessage(p->connection));
    enum store_result result = set_up(s);
    return result == STORE_FINE && s->role == STORE_WRITER ? lock_database(s) : result;
}

void postgres_disconnect(struct store *s)
{
    if (!s->postgres)
        return;
    for (unsigned i = 0; i < STATEMENTS; i++) {
        if (!s->postgres->queries[i].is_expected)
            PQclear(s->postgres->queries[i].rows);
    }
    postgres_expect_nothing(s->postgres);
    PQfinish(s->postgres->connection);
    free(s->postgres);
}

/* ---- tables */

enum store_result postgres_is_empty(struct store *s, bool *ret)
{
    *ret = !s->postgres->has_tables;
    return STORE_FINE;
}

enum store_result postgres_make_tables(struct store *s, bool has_content)
{
    enum store_result result = exec_all(s, schema, sizeof schema / sizeof *schema);
    if (result == STORE_FINE && has_content)
        result = exec_all(s, content_schema, sizeof content_schema / sizeof *content_schema);
    s->postgres->has_tables = result == STORE_FINE;
    s->postgres->has_content = result == STORE_FINE && has_content;
    return result;
}

bool postgres_has_content(struct store *s)
{
    return s->postgres->has_content;
}

enum store_result postgres_measure(struct store *s, uint64_t *ret_bytes, uint64_t *ret_free)
{
    PGresult *r = NULL;
    enum store_result result =
        postgres_exec(s,
                      "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM "
                      "pg_class WHERE relnamespace = 'polder'::regnamespace AND relkind = 'r'",
                      &r);
    *ret_bytes = result == STORE_FINE && PQgetlength(r, 0, 0) == 8 ? key_read(PQgetvalue(r, 0, 0), 8) : 0;
    *ret_free = 0; /* the server keeps no count of it */
    PQclear(r);
    return result;
}

/* Room is used again; files become smaller at their end only, for the other way would lock readers out. */
enum store_result postgres_shrink(struct store *s)
{
    static const char *const tables[] = {"VACUUM resource", "VACUUM old", "VACUUM keys", "VACUUM narrative"};
    enum store_result result = STORE_FINE;
    for (size_t i = 0; i < sizeof tables / sizeof *tables && result == STORE_FINE; i++)
        result = postgres_exec(s, tables[i], NULL);
    return result;
}
