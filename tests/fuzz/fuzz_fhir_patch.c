/* Patches: the first byte says which (J: JSON Patch, else FHIRPath Patch); then a document, a zero byte, a
 * patch.
 *
 * The result is JSON, the same the second time; a patch without operations changes no byte; a refusal says
 * which operation, and why. */
#include "base/must.h"
#include "fhir/patch.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 13, BYTES_MAX = 1 << 16, ARENA_BYTES = 64 << 20 };

static bool read_json(struct str text, struct arena *arena, struct json_tape *ret)
{
    size_t max = json_nodes_max(text.n);
    struct json_node *nodes = arena_alloc(arena, max * sizeof *nodes);
    must(nodes);
    return json_parse(text, FHIR_PATCH_DEPTH_MAX, nodes, max, ret, NULL) == JSON_FINE;
}

static enum fhir_patch_result patch(bool is_json, const struct json_tape *document,
                                    const struct json_tape *patch, struct arena *scratch, struct str *ret,
                                    struct fhir_patch_error *error)
{
    struct fhir_path_env env = {
        .steps_max = 20'000, .hash_key = {1, 2}, .now = STR("2026-01-31T09:41:07.123Z")};
    struct fhir_value v;
    if (is_json)
        return fhir_json_patch(document, patch, BYTES_MAX, scratch, ret, error);
    if (fhir_value_of_resource(patch, 0, &v))
        return fhir_path_patch(document, &v, &env, BYTES_MAX, scratch, ret, error);
    *error = (struct fhir_patch_error){.what = STR("no resource")};
    return FHIR_PATCH_BAD;
}

static uint32_t operations(bool is_json, const struct json_tape *tape)
{
    uint32_t list = is_json ? 0 : json_get(tape, 0, STR("parameter"));
    if (list == JSON_NONE)
        return 0;
    return json_type(tape, list) == JSON_ARRAY ? json_count(tape, list) : 1;
}

static void check(bool is_json, const struct json_tape *document, const struct json_tape *tape,
                  struct arena *scratch)
{
    struct fhir_patch_error error;
    struct str first = STR(""), second = STR("");
    struct json_tape result;
    enum fhir_patch_result how = patch(is_json, document, tape, scratch, &first, &error);
    if (how != FHIR_PATCH_FINE) {
        must(error.what.n && error.operation <= operations(is_json, tape));
        return;
    }
    must(first.n <= BYTES_MAX || str_eq(first, document->text));
    must(read_json(first, scratch, &result));
    must(operations(is_json, tape) || str_eq(first, document->text));
    must(patch(is_json, document, tape, scratch, &second, &error) == FHIR_PATCH_FINE &&
         str_eq(first, second));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_MAX)
        return 0;
    struct str rest = {(const char *)data + 1, size - 1}, document = str_cut(&rest, 0);
    struct arena *arena = arena_new(ARENA_BYTES), *scratch = arena_new(ARENA_BYTES);
    struct json_tape tape, patch_tape;
    must(arena && scratch);
    if (rest.p && read_json(document, arena, &tape) && read_json(rest, arena, &patch_tape))
        check(data[0] == 'J', &tape, &patch_tape, scratch);
    arena_free(scratch);
    arena_free(arena);
    return 0;
}
