/* Validation and search index of whatever is JSON.
 *
 * Both end within their bounds. Every issue has a place, a rule and words. What was found valid has no name
 * that its type does not know, can be indexed, and every value that a row has is of the kind its parameter
 * has. */
#include "base/must.h"
#include "fhir/search_index.h"
#include "fhir/validate.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 15, ARENA_BYTES = 64 << 20 };

static const struct fhir_validator *validator;
static const struct fhir_indexer *indexer;
static const struct fhir_path_env env = {.steps_max = 300'000, .hash_key = {1, 2}};

static void compile_once(void)
{
    static struct arena *compiled;
    if (compiled)
        return;
    compiled = arena_new(256 << 20);
    must(compiled);
    validator = fhir_validator_new(compiled);
    indexer = fhir_indexer_new(FHIR_INDEX_BY_TREE, compiled);
    must(validator && indexer);
}

static void check_issues(const struct fhir_validation *v, const struct json_tape *tape)
{
    bool is_valid = true;
    must(v->n <= FHIR_VALIDATE_ISSUES_MAX);
    for (size_t i = 0; i < v->n; i++) {
        const struct fhir_issue *issue = &v->issues[i];
        must(issue->location.n && issue->rule.n && issue->text.n && issue->at <= tape->text.n);
        is_valid &= !issue->is_error;
    }
    must(v->is_valid == is_valid);
}

/* Every element that can be reached has a JSON value that fits its type. */
static void check_tree(const struct fhir_value *v)
{
    struct fhir_value child;
    struct fhir_children children = fhir_children_all(v);
    while (fhir_children_next(&children, &child)) {
        must(child.type);
        bool is_primitive = fhir_value_primitive(&child) != FHIR_NO_PRIMITIVE;
        must(is_primitive || (child.node != JSON_NONE && json_type(child.tape, child.node) == JSON_OBJECT));
        must(!is_primitive || child.node == JSON_NONE || json_type(child.tape, child.node) < JSON_ARRAY);
        check_tree(&child);
    }
}

static void check_rows(const struct fhir_value *v, struct arena *arena)
{
    struct fhir_index_rows rows;
    if (fhir_index_resource(indexer, v, &env, arena, &rows) != FHIR_INDEX_FINE)
        return;
    for (size_t i = 0; i < rows.n; i++) {
        const struct fhir_index_row *row = &rows.at[i];
        enum fhir_search_type type = fhir_search_type(row->parameter);
        unsigned parts = fhir_search_component_count(row->parameter);
        must(row->count == (parts ? parts : 1));
        if (!parts && row->values->role == FHIR_INDEX_VALUE && type != FHIR_SEARCH_NUMBER)
            must(row->values->type == type);
        if (row->values->type == FHIR_SEARCH_DATE)
            must(row->values->date.low_us <= row->values->date.high_us ||
                 row->values->date.low_us > INT64_MIN);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX)
        return 0;
    compile_once();
    struct arena *arena = arena_new(ARENA_BYTES), *scratch = arena_new(ARENA_BYTES);
    struct str text = {(const char *)data, size};
    struct json_node *nodes = malloc(json_nodes_max(size) * sizeof *nodes);
    struct json_tape tape;
    must(arena && scratch && nodes);
    if (json_parse(text, 200, nodes, json_nodes_max(size), &tape, NULL) == JSON_FINE) {
        struct fhir_validate_input in = {&tape, 0, &env, size % 2 == 0};
        struct fhir_validation result;
        struct fhir_value v;
        fhir_validate(validator, &in, arena, scratch, &result);
        check_issues(&result, &tape);
        bool is_resource = fhir_value_of_resource(&tape, 0, &v);
        must(is_resource || !result.is_valid);
        if (is_resource)
            check_rows(&v, scratch);
        if (result.is_valid)
            check_tree(&v);
    }
    free(nodes);
    arena_free(scratch);
    arena_free(arena);
    return 0;
}
