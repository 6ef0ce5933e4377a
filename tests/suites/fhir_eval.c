/* The FHIR core by hand and for suites, over files of resources:
 *
 *     fhir-eval path FILE < expressions     one expression a line, as a JSON string; prints a line for each:
 *                                           "fine TAB type=value TAB ...", "failed TAB why", "syntax TAB why"
 *     fhir-eval index FILE ...              the rows by which a resource is found
 *     fhir-eval index-slowly FILE ...       the same rows, perhaps in another order, by FHIRPath alone
 *     fhir-eval validate FILE ...           what is wrong with a resource, a line each
 *     fhir-eval bench FILE ...              CPU time of each step, the mean of 2,000 times
 */
#include "fhir_eval.h"

#include "fhir/search_index.h"
#include "fhir/validate.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct hash_key test_key = {1, 2};

bool resource_read(const char *path, struct resource *ret)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    char *text = malloc(FILE_MAX);
    size_t n = text ? fread(text, 1, FILE_MAX, file) : 0;
    fclose(file);
    size_t max = json_nodes_max(n);
    struct json_node *nodes = malloc(max * sizeof *nodes);
    size_t skip = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    ret->text = text;
    ret->nodes = nodes;
    return nodes &&
           json_parse((struct str){text + skip, n - skip}, 200, nodes, max, &ret->tape, NULL) == JSON_FINE &&
           fhir_value_of_resource(&ret->tape, 0, &ret->value);
}

void resource_free(struct resource *r)
{
    free(r->text);
    free(r->nodes);
}

/* ---- path */

static const char *kind_name(const struct fhir_item *item)
{
    static const char *const names[] = {"", "boolean", "integer", "decimal", "string", "", "Quantity"};
    static const char *const moments[] = {"date", "dateTime", "time"};
    return item->kind == FHIR_ITEM_MOMENT ? moments[item->moment.kind] : names[item->kind];
}

static void print_item(const struct fhir_item *item, struct arena *arena)
{
    struct str type =
        item->kind == FHIR_ITEM_ELEMENT ? fhir_type_name(item->element.type) : str_of(kind_name(item));
    struct str text = fhir_item_text(*item, arena);
    printf("\t%.*s=", STR_ARG(type));
    for (size_t i = 0; i < text.n; i++)
        putchar(text.p[i] == '\t' || text.p[i] == '\n' ? ' ' : text.p[i]);
}

static void run_path(const struct fhir_path *path, const struct resource *r, struct arena *arena)
{
    static const char *const words[] = {"fine", "failed", "costly"};
    struct fhir_path_env env = {
        .steps_max = 10'000'000, .hash_key = test_key, .now = STR("2026-01-31T09:41:07.123Z")};
    struct fhir_items items = {0};
    struct str problem = STR("");
    enum fhir_path_result result = fhir_path_eval(path, &r->value, &env, arena, &items, &problem);
    printf("%s", words[result]);
    if (result != FHIR_PATH_FINE)
        printf("\t%.*s", STR_ARG(problem));
    for (uint32_t i = 0; i < items.n; i++)
        print_item(&items.at[i], arena);
    putchar('\n');
}

static int eval_paths(const char *file)
{
    struct resource r;
    static char line[1 << 16];
    if (!resource_read(file, &r))
        return 1;
    while (fgets(line, sizeof line, stdin)) {
        struct json_node nodes[2];
        struct json_tape tape;
        struct fhir_path_error error;
        struct arena *arena = arena_new(64 << 20);
        bool is_read = json_parse(str_of(line), 1, nodes, 2, &tape, NULL) == JSON_FINE;
        struct str text = is_read ? json_string(&tape, 0, arena) : STR("");
        const struct fhir_path *path = fhir_path_compile(text, 0, arena, &error);
        if (path)
            run_path(path, &r, arena);
        else
            printf("syntax\t%.*s at %zu\n", STR_ARG(error.what), error.at);
        arena_free(arena);
    }
    resource_free(&r);
    return 0;
}

/* ---- index */

static void print_number(const struct fhir_index_number *n)
{
    char text[256];
    struct buf out = buf_over(text, sizeof text);
    buf_str(&out, n->has_low ? STR("[") : STR("(-"));
    fhir_decimal_write(n->low, &out);
    buf_str(&out, STR(", "));
    fhir_decimal_write(n->high, &out);
    buf_str(&out, n->has_high ? STR(")") : STR("+)"));
    printf("%.*s %.*s|%.*s", STR_ARG(buf_text(&out)), STR_ARG(n->system), STR_ARG(n->code));
    if (!n->base_unit.n)
        return;
    out.n = 0;
    fhir_decimal_write(n->base_low, &out);
    printf(" = %.*s %.*s", STR_ARG(buf_text(&out)), STR_ARG(n->base_unit));
}

static void print_value(const struct fhir_index_value *v)
{
    static const char *const roles[] = {"", ":text ", ":of-type ", ":identifier "};
    printf("%s", roles[v->role]);
    switch (v->type) {
    case FHIR_SEARCH_TOKEN:
        printf("%.*s|%.*s", STR_ARG(v->token.system), STR_ARG(v->token.code));
        break;
    case FHIR_SEARCH_REFERENCE:
        printf("%.*s", STR_ARG(v->reference.url));
        break;
    case FHIR_SEARCH_STRING:
        printf("%.*s", STR_ARG(v->string.folded));
        break;
    case FHIR_SEARCH_DATE:
        printf("%lld..%lld", (long long)v->date.low_us, (long long)v->date.high_us);
        break;
    case FHIR_SEARCH_URI:
        printf("%.*s", STR_ARG(v->uri));
        break;
    default:
        print_number(v->number);
        break;
    }
}

static void print_rows(const struct fhir_index_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++) {
        const struct fhir_index_row *row = &rows->at[i];
        printf("%.*s", STR_ARG(fhir_search_code(row->parameter)));
        for (uint32_t k = 0; k < row->count; k++) {
            printf("\t");
            print_value(&row->values[k]);
        }
        putchar('\n');
    }
}

static const struct fhir_path_env index_env = {.steps_max = 1'000'000, .hash_key = {1, 2}};

static void index_value(const char *file, const struct fhir_value *v, const struct fhir_indexer *indexer,
                        struct arena *arena)
{
    struct fhir_index_rows rows = {0};
    arena_reset(arena);
    enum fhir_index_result result = fhir_index_resource(indexer, v, &index_env, arena, &rows);
    printf("# %s at %u: %zu rows%s\n", file, v->node, rows.n, result == FHIR_INDEX_FINE ? "" : ", too many");
    print_rows(&rows);
}

/* The resource, and those in a bundle. */
static void index_file(const char *file, const struct resource *r, const struct fhir_indexer *indexer,
                       struct arena *arena)
{
    struct fhir_value entry, inner;
    index_value(file, &r->value, indexer, arena);
    if (!str_eq(fhir_type_name(r->value.type), STR("Bundle")))
        return;
    struct fhir_children entries = fhir_children_named(&r->value, STR("entry"));
    while (fhir_children_next(&entries, &entry)) {
        if (fhir_value_of_resource(entry.tape, fhir_member(entry.tape, entry.node, STR("resource")), &inner))
            index_value(file, &inner, indexer, arena);
    }
}

static int index_files(int count, char **files, enum fhir_index_way way)
{
    struct arena *plans = arena_new(256 << 20), *arena = arena_new(64 << 20);
    const struct fhir_indexer *indexer = fhir_indexer_new(way, plans);
    for (int i = 0; i < count; i++) {
        struct resource r;
        if (resource_read(files[i], &r))
            index_file(files[i], &r, indexer, arena);
        resource_free(&r);
    }
    arena_free(arena);
    arena_free(plans);
    return 0;
}

/* ---- validate */

static void print_issues(const char *file, const struct fhir_validation *v)
{
    for (size_t i = 0; i < v->n; i++) {
        const struct fhir_issue *issue = &v->issues[i];
        printf("%s\t%s\t%.*s\t%.*s\t%.*s\t%.*s\n", file, issue->is_error ? "error" : "warning",
               STR_ARG(fhir_issue_code_text(issue->code)), STR_ARG(issue->rule), STR_ARG(issue->location),
               STR_ARG(issue->text));
    }
}

static const struct fhir_path_env validate_env = {.steps_max = 20'000'000, .hash_key = {1, 2}};

static int validate_files(int count, char **files)
{
    struct arena *rules = arena_new(256 << 20), *arena = arena_new(256 << 20),
                 *scratch = arena_new(256 << 20);
    const struct fhir_validator *validator = fhir_validator_new(rules);
    unsigned good = 0;
    for (int i = 0; i < count; i++) {
        struct resource r;
        struct fhir_validation v = {0};
        bool is_read = resource_read(files[i], &r);
        struct fhir_validate_input in = {&r.tape, 0, &validate_env, false};
        arena_reset(arena);
        if (is_read)
            fhir_validate(validator, &in, arena, scratch, &v);
        else
            printf("%s\terror\tcannot be read\n", files[i]);
        print_issues(files[i], &v);
        good += v.is_valid;
        resource_free(&r);
    }
    printf("# %u of %d are valid\n", good, count);
    arena_free(scratch);
    arena_free(arena);
    arena_free(rules);
    return 0;
}

/* ---- bench */

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

enum { ROUNDS = 2'000 };

static double bench_validation(const struct resource *r, const struct fhir_validator *validator,
                               struct arena *arena, struct arena *scratch)
{
    struct fhir_validation v;
    struct fhir_validate_input in = {&r->tape, 0, &validate_env, false};
    double start = now_us();
    for (int i = 0; i < ROUNDS; i++) {
        arena_reset(arena);
        fhir_validate(validator, &in, arena, scratch, &v);
    }
    return (now_us() - start) / ROUNDS;
}

static void bench_file(const char *file, const struct fhir_indexer *indexer,
                       const struct fhir_validator *validator, struct arena *arena, struct arena *scratch)
{
    struct resource r;
    struct fhir_index_rows rows = {0};
    if (!resource_read(file, &r))
        return;
    size_t max = json_nodes_max(r.tape.text.n);
    double start = now_us();
    for (int i = 0; i < ROUNDS; i++) {
        struct json_tape tape;
        if (json_parse(r.tape.text, 200, r.nodes, max, &tape, NULL) != JSON_FINE)
            abort();
    }
    double parsed = now_us();
    for (int i = 0; i < ROUNDS; i++) {
        arena_reset(arena);
        if (fhir_index_resource(indexer, &r.value, &index_env, arena, &rows) != FHIR_INDEX_FINE)
            abort();
    }
    double indexed = now_us();
    size_t used = arena_used(arena);
    double validated = bench_validation(&r, validator, arena, scratch);
    const char *name = strrchr(file, '/');
    printf("%-50s %6zu bytes: parse %6.2f us, index %6.2f us (%zu rows, %zu bytes), validate %6.2f us\n",
           name ? name + 1 : file, r.tape.text.n, (parsed - start) / ROUNDS, (indexed - parsed) / ROUNDS,
           rows.n, used, validated);
    resource_free(&r);
}

static int bench_files(int count, char **files)
{
    struct arena *plans = arena_new(256 << 20), *arena = arena_new(64 << 20), *scratch = arena_new(64 << 20);
    struct arena *rules = arena_new(256 << 20);
    double start = now_us();
    const struct fhir_indexer *indexer = fhir_indexer_new(FHIR_INDEX_BY_TREE, plans);
    printf("plans of all types: %.1f ms, %zu KiB\n", (now_us() - start) / 1e3, arena_used(plans) / 1024);
    start = now_us();
    const struct fhir_validator *validator = fhir_validator_new(rules);
    printf("rules of all types: %.1f ms, %zu KiB\n", (now_us() - start) / 1e3, arena_used(rules) / 1024);
    for (int i = 0; i < count; i++)
        bench_file(files[i], indexer, validator, arena, scratch);
    arena_free(rules);
    arena_free(scratch);
    arena_free(arena);
    arena_free(plans);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "path") == 0)
        return eval_paths(argv[2]);
    if (argc >= 3 && strcmp(argv[1], "index") == 0)
        return index_files(argc - 2, argv + 2, FHIR_INDEX_BY_TREE);
    if (argc >= 3 && strcmp(argv[1], "index-slowly") == 0)
        return index_files(argc - 2, argv + 2, FHIR_INDEX_BY_EVALUATION);
    if (argc >= 3 && strcmp(argv[1], "validate") == 0)
        return validate_files(argc - 2, argv + 2);
    if (argc >= 3 && strcmp(argv[1], "bench") == 0)
        return bench_files(argc - 2, argv + 2);
    fprintf(stderr,
            "usage: fhir-eval path FILE < expressions, index FILE ..., validate FILE ..., bench FILE ...\n");
    return 2;
}
