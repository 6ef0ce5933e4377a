/* The store by itself, no HTTP: durable inserts by size of group, reads by id, the search for one patient's
 * values of one code, bytes on disk; and plain SQLite with the same bodies and as many rows beside it.
 *
 *   bench-store [--reads] WHERE [FOLDER [COPIES]]   FOLDER: FHIR bundles; without it resources are made up
 *
 * WHERE: a folder, or "postgresql://...", a database that may be emptied.
 *
 * Figures are of one process, single-threaded; CPU is that of the process, user and system: of PostgreSQL the
 * client's share alone. */
#include "store/store.h"
#include "store_corpus.h"

#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

static const struct fhir_indexer *indexer;
static struct arena *scratch;
static size_t readings = 200'000;

static double seconds(bool cpu)
{
    struct timespec t;
    clock_gettime(cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct watch {
    double wall, cpu;
};

static struct watch start(void)
{
    return (struct watch){seconds(false), seconds(true)};
}

static void say(const char *what, struct watch w, size_t n)
{
    double wall = seconds(false) - w.wall, cpu = seconds(true) - w.cpu;
    printf("%-44s %9.0f /s  %7.2f us wall  %7.2f us CPU\n", what, (double)n / wall, wall / (double)n * 1e6,
           cpu / (double)n * 1e6);
    fflush(stdout);
}

static void fail(const char *what, enum store_result r)
{
    fprintf(stderr, "%s: %.*s\n", what, STR_ARG(store_result_text(r)));
    exit(1);
}

static const char *file_in(const char *folder, const char *name)
{
    return arena_printf(scratch, "%s/%s", folder, name).p;
}

static bool is_postgres(const char *where)
{
    return str_starts(str_of(where), STR("postgresql://"));
}

static void empty_database(const char *where)
{
    PGconn *connection = PQconnectdb(where);
    PQclear(PQexec(connection, "SET client_min_messages = error; DROP SCHEMA IF EXISTS polder CASCADE"));
    PQfinish(connection);
}

static void forget(const char *folder)
{
    static const char *const names[] = {"records.db", "records.db-wal", "records.db-shm",
                                        "plain.db",   "plain.db-wal",   "plain.db-shm"};
    if (is_postgres(folder))
        return empty_database(folder);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        remove(file_in(folder, names[i]));
}

static struct store *open_store(const char *folder, enum store_role role)
{
    struct store_options o = {.role = role, .cluster = STR("bench"), .indexer = indexer, .may_create = true};
    struct store *s;
    enum store_result r = store_open(str_of(folder), &o, &s);
    if (r != STORE_FINE)
        fail("open", r);
    return s;
}

/* ---- writing */

static struct fhir_index_rows index_of(struct str body, struct arena *arena, struct json_tape *tape,
                                       struct fhir_value *value)
{
    struct fhir_index_rows rows = {0};
    struct fhir_path_env env = {.steps_max = 1'000'000, .hash_key = {1, 2}};
    struct json_node *nodes = arena_alloc(arena, json_nodes_max(body.n) * sizeof *nodes);
    if (json_parse(body, 200, nodes, json_nodes_max(body.n), tape, NULL) != JSON_FINE ||
        !fhir_value_of_resource(tape, 0, value) ||
        fhir_index_resource(indexer, value, &env, arena, &rows) != FHIR_INDEX_FINE)
        fail("index", STORE_TOO_LARGE);
    return rows;
}

/* Each resource is a transaction of its own; so many share a commit. */
static void insert(struct store *s, const struct corpus_resource *at, size_t n, size_t group)
{
    struct arena *arena = arena_new(1 << 30);
    int64_t now;
    for (size_t i = 0; i < n; i++) {
        struct json_tape tape;
        struct fhir_value value;
        size_t failed;
        enum store_result r = i % group ? STORE_FINE : store_begin(s, 1'800'000'000'000'000, &now);
        if (r != STORE_FINE)
            fail("begin", r);
        arena_reset(arena);
        struct store_write w = {STORE_CREATE,
                                at[i].type,
                                at[i].id,
                                STORE_NO_VERSION,
                                at[i].body,
                                &value,
                                index_of(at[i].body, arena, &tape, &value),
                                0,
                                0};
        r = store_apply(s, &w, 1, &failed);
        if (r == STORE_FINE && (i % group == group - 1 || i == n - 1))
            r = store_commit(s);
        if (r != STORE_FINE) {
            fprintf(stderr, "%.*s: ", STR_ARG(store_problem(s)));
            fail("insert", r);
        }
    }
    arena_free(arena);
}

static void train(const char *folder, struct store *writer)
{
    struct store *reader = open_store(folder, STORE_READER);
    const struct fhir_type *type;
    struct arena *arena = arena_new(64 << 20);
    while ((type = store_wants_dictionary(writer, 1'000))) {
        struct str dictionary;
        arena_reset(arena);
        enum store_result r = store_train(reader, type, arena, &dictionary);
        if (r != STORE_FINE)
            fail("train", r);
        if (!dictionary.n)
            break;
        r = store_add_dictionary(writer, type, dictionary);
        if (r != STORE_FINE)
            fail("dictionary", r);
    }
    arena_free(arena);
    store_close(reader);
}

static void bench_inserts(const char *folder, const struct corpus *c)
{
    static const size_t groups[] = {1, 10, 100, 1'000};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        size_t n = groups[i] * 2'000 < c->n ? groups[i] * 2'000 : c->n;
        forget(folder);
        struct store *s = open_store(folder, STORE_WRITER);
        struct watch w = start();
        insert(s, c->at, n, groups[i]);
        say(arena_printf(scratch, "create, durable, in groups of %zu", groups[i]).p, w, n);
        store_close(s);
    }
}

static uint64_t file_bytes(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static uint64_t bytes_of(struct store *s)
{
    struct store_size size = {0};
    enum store_result r = store_measure(s, &size);
    if (r != STORE_FINE)
        fail("measure", r);
    return size.file_bytes;
}

/* All that is no observation first, some observations to learn from, then the others. */
static void fill(const char *folder, struct corpus *c)
{
    struct corpus_resource *sorted = calloc(c->n, sizeof *sorted);
    size_t others = 0, n = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < c->n; i++) {
            if (str_eq(fhir_type_name(c->at[i].type), STR("Observation")) == (pass == 1))
                sorted[n++] = c->at[i];
        }
        others = pass ? others : n;
    }
    size_t first = others + (n - others > 4'000 ? 2'000 : 0);
    forget(folder);
    struct store *s = open_store(folder, STORE_WRITER);
    insert(s, sorted, first, 1'000);
    store_checkpoint(s);
    train(folder, s);
    store_checkpoint(s);
    uint64_t before = bytes_of(s);
    struct watch w = start();
    insert(s, sorted + first, n - first, 100);
    say("create Observations, groups of 100", w, n - first);
    store_checkpoint(s);
    uint64_t after = bytes_of(s);
    uint64_t body = 0;
    for (size_t i = first; i < n; i++)
        body += sorted[i].body.n;
    printf("bytes on disk for each of %zu Observations: %.0f, of %.0f of JSON\n", n - first,
           (double)(after - before) / (double)(n - first), (double)body / (double)(n - first));
    store_close(s);
    free(c->at);
    *c = (struct corpus){sorted, n};
}

/* ---- reading */

static void bench_reads(struct store *s, const struct corpus *c)
{
    struct arena *arena = arena_new(16 << 20);
    size_t n = readings;
    struct watch w = start();
    for (size_t i = 0; i < n; i++) {
        const struct corpus_resource *r = &c->at[hash_mix(i) % c->n];
        struct store_record record;
        arena_reset(arena);
        enum store_result result = store_read(s, NULL, r->type, r->id, arena, &record);
        if (result != STORE_FINE || !str_eq(record.body, r->body))
            fail("read", result);
    }
    say("read by id", w, n);
    arena_free(arena);
}

struct question {
    struct fhir_search_query query;
};

static size_t make_questions(const struct corpus *c, struct question **ret, struct arena *arena)
{
    struct question *at = calloc(c->n, sizeof *at);
    size_t n = 0;
    const struct fhir_type *type = fhir_type_find(STR("Observation"));
    struct fhir_query_context context = {.type = type, .count_max = 1'000};
    for (size_t i = 0; i < c->n && n < 20'000; i += 7) {
        if (c->at[i].type != type)
            continue;
        struct str b = c->at[i].body;
        ptrdiff_t code = str_find(b, STR("\"system\":\"http://loinc.org\",\"code\":\"")),
                  patient = str_find(b, STR("\"reference\":\"Patient/"));
        if (code < 0 || patient < 0)
            continue;
        struct str rest = str_skip(b, (size_t)code + 36), value = str_cut(&rest, '"');
        rest = str_skip(b, (size_t)patient + 21);
        struct str id = str_cut(&rest, '"');
        struct fhir_query_problems problems;
        struct str text =
            arena_printf(arena, "patient=%.*s&code=http://loinc.org%%7C%.*s", STR_ARG(id), STR_ARG(value));
        if (fhir_search_query_parse(text, STR_NONE, &context, arena, &at[n].query, &problems))
            n++;
    }
    *ret = at;
    return n;
}

static void bench_searches(struct store *s, const struct corpus *c, bool no_bodies, uint32_t count,
                           const char *what)
{
    struct arena *kept = arena_new(1 << 30), *arena = arena_new(64 << 20);
    struct question *questions;
    size_t n = make_questions(c, &questions, kept), found = 0, rounds = readings / 4;
    struct watch w = start();
    for (size_t i = 0; i < rounds && n; i++) {
        struct store_search search = {
            .query = &questions[hash_mix(i) % n].query, .count = count, .no_bodies = no_bodies};
        struct store_found page;
        arena_reset(arena);
        enum store_result r = store_search(s, NULL, &search, arena, &page);
        if (r != STORE_FINE)
            fail("search", r);
        found += page.match_count;
    }
    say(what, w, rounds);
    printf("    %.1f matches on average\n", (double)found / (double)rounds);
    free(questions);
    arena_free(kept);
    arena_free(arena);
}

/* ---- plain SQLite: bodies by id, and for each row of the index a 64-bit key with the number of the resource
 */

static void run(sqlite3 *db, const char *sql)
{
    char *error = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", sql, error);
        exit(1);
    }
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
        fail(sql, STORE_OTHER);
    return s;
}

static uint64_t row_hash(const struct fhir_index_row *row)
{
    const struct hash_key key = {(uint64_t)(uintptr_t)row->parameter, 7};
    const struct fhir_index_value *v = &row->values[0];
    switch (v->type) {
    case FHIR_SEARCH_TOKEN:
        return hash_bytes(&key, v->token.code.p, v->token.code.n);
    case FHIR_SEARCH_REFERENCE:
        return hash_bytes(&key, v->reference.url.p, v->reference.url.n);
    case FHIR_SEARCH_STRING:
        return hash_bytes(&key, v->string.folded.p, v->string.folded.n);
    case FHIR_SEARCH_URI:
        return hash_bytes(&key, v->uri.p, v->uri.n);
    case FHIR_SEARCH_DATE:
        return (uint64_t)v->date.low_us;
    default:
        return (uint64_t)v->number->value.digits;
    }
}

static void plain_insert(const char *folder, const struct corpus *c, size_t n, size_t group)
{
    sqlite3 *db;
    struct arena *arena = arena_new(1 << 30);
    uint64_t rows_all = 0;
    forget(folder);
    sqlite3_open(file_in(folder, "plain.db"), &db);
    run(db, "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA "
            "wal_autocheckpoint=64000; PRAGMA cache_size=-65536;"
            "CREATE TABLE body(rid INTEGER PRIMARY KEY, body BLOB); CREATE TABLE ident(id BLOB PRIMARY KEY, "
            "rid INT) "
            "WITHOUT ROWID; CREATE TABLE k(h INT, rid INT, PRIMARY KEY(h, rid)) WITHOUT ROWID;");
    sqlite3_stmt *body = prepare(db, "INSERT INTO body VALUES(?1, ?2)"),
                 *ident = prepare(db, "INSERT INTO ident VALUES(?1, ?2)"),
                 *key = prepare(db, "INSERT OR IGNORE INTO k VALUES(?1, ?2)");
    struct watch w = start();
    for (size_t i = 0; i < n; i++) {
        struct json_tape tape;
        struct fhir_value value;
        arena_reset(arena);
        struct fhir_index_rows rows = index_of(c->at[i].body, arena, &tape, &value);
        if (i % group == 0)
            run(db, "BEGIN");
        sqlite3_bind_int64(body, 1, (int64_t)i + 1);
        sqlite3_bind_blob(body, 2, c->at[i].body.p, (int)c->at[i].body.n, SQLITE_STATIC);
        sqlite3_step(body);
        sqlite3_reset(body);
        sqlite3_bind_blob(ident, 1, c->at[i].id.p, (int)c->at[i].id.n, SQLITE_STATIC);
        sqlite3_bind_int64(ident, 2, (int64_t)i + 1);
        sqlite3_step(ident);
        sqlite3_reset(ident);
        for (size_t k = 0; k < rows.n; k++, rows_all++) {
            sqlite3_bind_int64(key, 1, (int64_t)row_hash(&rows.at[k]));
            sqlite3_bind_int64(key, 2, (int64_t)i + 1);
            sqlite3_step(key);
            sqlite3_reset(key);
        }
        if (i % group == group - 1 || i == n - 1)
            run(db, "COMMIT");
    }
    say(arena_printf(scratch, "plain SQLite, %.1f rows each, groups of %zu", (double)rows_all / (double)n,
                     group)
            .p,
        w, n);
    sqlite3_finalize(body);
    sqlite3_finalize(ident);
    sqlite3_finalize(key);
    run(db, "PRAGMA wal_checkpoint(TRUNCATE)");
    printf("    %.0f bytes on disk for each resource\n",
           (double)file_bytes(file_in(folder, "plain.db")) / (double)n);
    sqlite3_close(db);
    arena_free(arena);
}

static void print_finding(void *, const struct store_finding *f)
{
    printf("    %.*s/%.*s: %.*s\n", STR_ARG(f->type ? fhir_type_name(f->type) : STR("?")), STR_ARG(f->id),
           STR_ARG(f->what));
}

static void bench_verify(struct store *s)
{
    struct store_verified all;
    struct watch w = start();
    enum store_result r = store_verify(s, print_finding, NULL, &all);
    if (r != STORE_FINE || all.faults)
        fail("verify", r);
    say("verify, for each resource", w, all.resources);
}

int main(int argc, char **argv)
{
    bool only_reads = argc > 1 && strcmp(argv[1], "--reads") == 0;
    argv += only_reads;
    argc -= only_reads;
    if (argc < 2) {
        fprintf(stderr, "usage: bench-store [--reads] WHERE [FOLDER [COPIES]]\n");
        return 2;
    }
    struct arena *all = arena_new((size_t)16 << 30), *plans = arena_new(64 << 20);
    struct corpus corpus;
    unsigned copies = argc > 3 ? (unsigned)atoi(argv[3]) : 4;
    scratch = arena_new(64 << 20);
    indexer = fhir_indexer_new(FHIR_INDEX_BY_TREE, plans);
    if (argc < 3)
        corpus_make(2'000, all, &corpus);
    else if (!corpus_load(argv[2], copies, all, &corpus))
        fail(argv[2], STORE_OTHER);
    if (is_postgres(argv[1])) /* each waits for a server */
        readings = 40'000;
    printf("%zu resources\n", corpus.n);
    if (!only_reads)
        bench_inserts(argv[1], &corpus);
    if (!only_reads && !is_postgres(argv[1])) {
        plain_insert(argv[1], &corpus, corpus.n < 20'000 ? corpus.n : 20'000, 100);
        plain_insert(argv[1], &corpus, corpus.n, 1'000);
    }
    fill(argv[1], &corpus);
    struct store *reader = open_store(argv[1], STORE_READER);
    bench_reads(reader, &corpus);
    bench_searches(reader, &corpus, true, 100, "patient and code, without bodies");
    bench_searches(reader, &corpus, false, 10, "patient and code, first 10 with bodies");
    bench_searches(reader, &corpus, false, 100, "patient and code, all with bodies");
    bench_verify(reader);
    store_close(reader);
    forget(argv[1]);
    return 0;
}
