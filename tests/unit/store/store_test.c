#include "store_test.h"

#include "postgres_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct kit kit;

int kit_main(int argc, char **argv, int (*run)(void))
{
    enum { SKIPPED = 77 };
    kit.is_postgres = argc > 1 && strcmp(argv[1], "postgres") == 0;
    if (!kit.is_postgres)
        return run();
    if (!postgres_server_make())
        return SKIPPED;
    int failed = postgres_server_start() ? run() : 1;
    postgres_server_remove();
    return failed;
}

int kit_setup(void **)
{
    kit.plans = arena_new(256 << 20);
    kit.indexer = fhir_indexer_new(FHIR_INDEX_BY_TREE, kit.plans);
    kit.slow = fhir_indexer_new(FHIR_INDEX_BY_EVALUATION, kit.plans);
    return kit.indexer && kit.slow ? 0 : -1;
}

int kit_teardown(void **)
{
    arena_free(kit.plans);
    return 0;
}

const char *kit_file(const char *name)
{
    return arena_printf(kit.arena, "%s/%s", kit.folder, name).p;
}

void kit_remove_files(const char *folder)
{
    static const char *const names[] = {"records.db",         "records.db-wal", "records.db-shm",
                                        "records.db-journal", "restored.part",  "copy.db",
                                        "copy.db.part"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

enum store_result kit_open(enum store_role role, struct store **ret)
{
    struct store_options o = {.role = role,
                              .cluster = STR("test"),
                              .indexer = kit.indexer,
                              .may_create = true,
                              .has_content = kit.has_content,
                              .vfs = kit.vfs};
    return store_open(str_of(kit.location), &o, ret);
}

int kit_begin(void **)
{
    kit.arena = arena_new((size_t)2 << 30);
    /* Memory where there is some: these tests wait for the disk some ten thousand times. */
    snprintf(kit.folder, sizeof kit.folder, "/dev/shm/polder-store-XXXXXX");
    if (!mkdtemp(kit.folder)) {
        snprintf(kit.folder, sizeof kit.folder, "/tmp/polder-store-XXXXXX");
        if (!mkdtemp(kit.folder))
            return -1;
    }
    snprintf(kit.location, sizeof kit.location, "%s", kit.folder);
    if (kit.is_postgres) {
        postgres_server_do("postgres", "CREATE DATABASE store");
        snprintf(kit.location, sizeof kit.location, "%s", postgres_server_uri("store"));
    }
    kit.writer = kit.reader = NULL;
    if (kit_open(STORE_WRITER, &kit.writer) != STORE_FINE ||
        kit_open(STORE_READER, &kit.reader) != STORE_FINE)
        return -1;
    return 0;
}

int kit_end(void **)
{
    store_close(kit.reader);
    store_close(kit.writer);
    if (kit.is_postgres)
        postgres_server_do("postgres", "DROP DATABASE store WITH (FORCE)");
    kit_remove_files(kit.folder);
    arena_free(kit.arena);
    return 0;
}

void kit_reopen(void)
{
    store_close(kit.reader);
    store_close(kit.writer);
    kit.reader = kit.writer = NULL;
    assert_int_equal(kit_open(STORE_WRITER, &kit.writer), STORE_FINE);
    assert_int_equal(kit_open(STORE_READER, &kit.reader), STORE_FINE);
}

static struct str with_quotes(const char *text)
{
    struct str copy = str_of(text);
    char *p = arena_copy_z(kit.arena, copy);
    for (size_t i = 0; i < copy.n; i++)
        p[i] = p[i] == '\'' ? '"' : p[i];
    return (struct str){p, copy.n};
}

struct store_write kit_write(enum store_verb verb, const char *name, const char *body, int64_t expected)
{
    struct str id = str_of(name), type = str_cut(&id, '/');
    struct store_write w = {.verb = verb, .type = fhir_type_find(type), .id = id, .expected = expected};
    struct json_tape *tape = arena_alloc(kit.arena, sizeof *tape);
    struct fhir_value *value = arena_alloc(kit.arena, sizeof *value);
    struct fhir_path_env env = {.steps_max = 100'000, .hash_key = {1, 2}};
    if (!body)
        return w;
    w.body = with_quotes(body);
    struct json_node *nodes = arena_alloc(kit.arena, json_nodes_max(w.body.n) * sizeof *nodes);
    if (json_parse(w.body, 100, nodes, json_nodes_max(w.body.n), tape, NULL) != JSON_FINE ||
        !fhir_value_of_resource(tape, 0, value) ||
        fhir_index_resource(kit.indexer, value, &env, kit.arena, &w.rows) != FHIR_INDEX_FINE)
        fail_msg("no resource: %s", body);
    w.resource = value;
    return w;
}

enum store_result kit_do(enum store_verb verb, const char *name, const char *body, int64_t expected)
{
    struct store_write w = kit_write(verb, name, body, expected);
    int64_t time_us;
    size_t failed;
    static int64_t now_us = 1'800'000'000'000'000;
    enum store_result result = store_begin(kit.writer, now_us += 1'000'000, &time_us);
    if (result != STORE_FINE)
        return result;
    result = store_apply(kit.writer, &w, 1, &failed);
    if (result != STORE_FINE) {
        store_abort(kit.writer);
        return result;
    }
    return store_commit(kit.writer);
}

void kit_put(const char *name, const char *body)
{
    enum store_result result = kit_do(STORE_UPDATE, name, body, STORE_ANY_VERSION);
    if (result != STORE_FINE)
        fail_msg("%s: %.*s: %.*s", name, STR_ARG(store_result_text(result)),
                 STR_ARG(store_problem(kit.writer)));
}

struct fhir_search_query *kit_query(const char *text)
{
    struct str rest = str_of(text), type = str_cut(&rest, '?');
    struct fhir_search_query *q = arena_alloc(kit.arena, sizeof *q);
    struct fhir_query_context context = {.count_max = 1'000, .now_us = 1'800'000'000'000'000};
    struct fhir_query_problems problems = {0};
    struct str compartment = type, id = type;
    compartment = str_cut(&id, '/');
    if (id.n) { /* "Patient/p/Observation?" */
        struct str own = str_cut(&id, '/');
        context.compartment = fhir_type_find(compartment);
        context.compartment_id = own;
        type = id;
    }
    context.type = type.n ? fhir_type_find(type) : NULL;
    if (!fhir_search_query_parse(rest, STR_NONE, &context, kit.arena, q, &problems))
        fail_msg("%s: %.*s", text, STR_ARG(problems.n ? problems.at[0].what : STR("?")));
    return q;
}

const struct fhir_query_criterion *kit_criteria(const char *text, size_t *ret_n)
{
    struct fhir_search_query *q = kit_query(text);
    *ret_n = q->criterion_count;
    return q->criteria;
}

static void add_records(struct buf *out, const struct store_record *records, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%.*s/%.*s ", STR_ARG(fhir_type_name(records[i].type)), STR_ARG(records[i].id));
}

struct str kit_find(const char *text, const struct store_view *view, uint32_t count)
{
    size_t room = 1 << 15;
    struct buf out = buf_over(arena_bytes(kit.arena, room), room);
    struct store_search search = {.query = kit_query(text), .count = count};
    struct store_found page;
    do {
        enum store_result result = store_search(kit.reader, view, &search, kit.arena, &page);
        if (result != STORE_FINE) {
            buf_printf(&out, "!%d", result);
            break;
        }
        add_records(&out, page.matches, page.match_count);
        if (page.included_count) {
            buf_char(&out, '|');
            add_records(&out, page.included, page.included_count);
        }
        if (!page.match_count && page.has_total)
            buf_printf(&out, "=%llu", (unsigned long long)page.total);
        search.position = page.next;
    } while (page.next.n);
    return str_trim(buf_text(&out));
}

void kit_expect(struct str s, const char *wanted, const char *file, int line)
{
    if (str_eq(s, str_of(wanted)))
        return;
    print_error("%s:%d: \"%.*s\" instead of \"%s\"\n", file, line, STR_ARG(s), wanted);
    _assert_true(0, "found", file, line);
}

static void print_finding(void *, const struct store_finding *f)
{
    print_message("fault %d: %.*s/%.*s version %llu: %.*s\n", f->fault,
                  STR_ARG(f->type ? fhir_type_name(f->type) : STR("-")), STR_ARG(f->id),
                  (unsigned long long)f->version, STR_ARG(f->what));
}

uint64_t kit_verify(void)
{
    struct store_verified all;
    assert_int_equal(store_verify(kit.reader, print_finding, NULL, &all), STORE_FINE);
    return all.faults;
}
