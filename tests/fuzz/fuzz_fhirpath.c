/* FHIRPath: an expression, a zero byte, and the resource it is evaluated over (or one of our own).
 *
 * It ends within its steps; a result is the same the second time; what is an element of the result lies on
 * the tape and has a type. */
#include "base/must.h"
#include "fhir/path.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 13, ARENA_BYTES = 64 << 20 };
static const uint64_t steps_max = 50'000;

static const char own[] =
    "{\"resourceType\":\"Patient\",\"id\":\"a\",\"active\":true,\"birthDate\":\"1974-12-25\",\"name\":[{"
    "\"given\":"
    "[\"A\",null,\"B\"],\"_given\":[null,{\"id\":\"g\"}],\"family\":\"\\u00c9\"}],\"multipleBirthInteger\":2,"
    "\"contained\":[{\"resourceType\":\"Observation\",\"id\":\"o\",\"valueQuantity\":{\"value\":1.50,"
    "\"code\":"
    "\"mg\",\"system\":\"http://unitsofmeasure.org\"}}],\"link\":[{\"other\":{\"reference\":\"#o\"}}]}";

static bool read_resource(struct str text, struct arena *arena, struct json_tape *tape,
                          struct fhir_value *ret)
{
    size_t max = json_nodes_max(text.n);
    struct json_node *nodes = arena_alloc(arena, max * sizeof *nodes);
    must(nodes);
    return json_parse(text, 100, nodes, max, tape, NULL) == JSON_FINE && fhir_value_of_resource(tape, 0, ret);
}

static void check_item(const struct fhir_item *item, const struct json_tape *tape, struct arena *arena)
{
    (void)fhir_item_text(*item, arena);
    if (item->kind != FHIR_ITEM_ELEMENT || !item->element.tape)
        return;
    must(item->element.tape == tape && item->element.type);
    must(item->element.node != JSON_NONE || item->element.companion != JSON_NONE);
    must(item->element.node == JSON_NONE || item->element.node < tape->count);
    must(item->element.companion == JSON_NONE || item->element.companion < tape->count);
}

static enum fhir_path_result run(const struct fhir_path *path, const struct fhir_value *v,
                                 struct arena *scratch, struct fhir_items *ret)
{
    uint64_t spent = 0;
    struct str problem = STR("");
    struct fhir_path_env env = {
        .steps_max = steps_max, .hash_key = {1, 2}, .now = STR("2026-01-31T09:41:07.123Z"), .spent = &spent};
    enum fhir_path_result result = fhir_path_eval(path, v, &env, scratch, ret, &problem);
    must(spent <= steps_max || result == FHIR_PATH_TOO_COSTLY);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX)
        return 0;
    struct str input = {(const char *)data, size}, text = input, expression = str_cut(&text, 0);
    struct arena *arena = arena_new(ARENA_BYTES), *scratch = arena_new(ARENA_BYTES);
    struct fhir_path_error error;
    struct json_tape tape;
    struct fhir_value v;
    must(arena && scratch);
    const struct fhir_path *path = fhir_path_compile(expression, FHIR_PATH_LOOSE_TYPES, arena, &error);
    must(path || (error.what.n && error.at <= expression.n + 1));
    if (path && (read_resource(text.p ? text : STR(""), arena, &tape, &v) ||
                 read_resource(STR(own), arena, &tape, &v))) {
        struct fhir_items first = {0}, second = {0};
        enum fhir_path_result result = run(path, &v, scratch, &first);
        for (uint32_t i = 0; result == FHIR_PATH_FINE && i < first.n; i++)
            check_item(&first.at[i], &tape, scratch);
        uint32_t n = first.n;
        arena_reset(scratch);
        must(run(path, &v, scratch, &second) == result && second.n == n);
    }
    arena_free(scratch);
    arena_free(arena);
    return 0;
}
