/* rest/patch.c - JSON Patch and FHIRPath Patch. Done by the owner, on the version that is current: two
 * patches that meet do not undo each other. What comes out is validated like any body. */
#include "fhir/patch.h"

#include "rest/outcome.h"
#include "rest/write.h"

enum { PATCH_STEPS_MAX = 5'000'000, PATCHED_BYTES_MAX = 32 << 20 };

struct patching {
    const struct rest_call *call;
    const struct rest_request *request;
    struct rest_answer *answer;
    struct store_record current;
    struct json_tape document, patch;
};

static bool refuse(struct patching *p, enum fhir_patch_result result, const struct fhir_patch_error *e)
{
    uint16_t status = result == FHIR_PATCH_BAD ? 400 : result == FHIR_PATCH_TOO_MUCH ? 413 : 422;
    const char *code = result == FHIR_PATCH_BAD        ? "structure"
                       : result == FHIR_PATCH_TOO_MUCH ? "too-costly"
                                                       : "processing";
    return rest_refuse(p->call, p->answer, status, code, STR_NONE, "operation %u of the patch: %.*s",
                       e->operation, STR_ARG(e->what));
}

/* "*ret" lies in the call's arena. */
static bool do_patch(struct patching *p, struct str *ret)
{
    struct fhir_path_env env = {.steps_max = PATCH_STEPS_MAX, .hash_key = p->call->site->engine->key};
    struct fhir_patch_error error = {0};
    struct fhir_value parameters;
    enum fhir_patch_result result;
    if (p->request->is_patch_json) {
        result = fhir_json_patch(&p->document, &p->patch, PATCHED_BYTES_MAX, p->call->arena, ret, &error);
        return result == FHIR_PATCH_FINE || refuse(p, result, &error);
    }
    if (json_type(&p->patch, 0) != JSON_OBJECT || !fhir_value_of_resource(&p->patch, 0, &parameters) ||
        !str_eq(fhir_type_name(parameters.type), STR("Parameters")))
        return rest_refuse(p->call, p->answer, 400, "structure", STR("resourceType"),
                           "a FHIRPath Patch is a resource of type Parameters");
    result = fhir_path_patch(&p->document, &parameters, &env, PATCHED_BYTES_MAX, p->call->arena, ret, &error);
    return result == FHIR_PATCH_FINE || refuse(p, result, &error);
}

/* Still that resource, and a valid one. */
static bool check_patched(struct patching *p, struct str text, struct json_tape *tape)
{
    struct rest_request as_update = *p->request;
    as_update.interaction = REST_UPDATE;
    as_update.id = p->current.id;
    return (rest_json_parse(text, p->call->arena, tape, NULL) == JSON_FINE ||
            rest_refuse_store(p->call, p->answer, STORE_NO_MEMORY)) &&
           rest_check_address(p->call, &as_update, tape, 0, p->answer) &&
           rest_validate_body(p->call, tape, 0, p->answer);
}

static bool read_both(struct patching *p, struct str id)
{
    size_t at = 0;
    enum store_result result =
        store_read(p->call->site->store, p->call->view, p->request->type, id, p->call->arena, &p->current);
    if (result != STORE_FINE)
        return rest_refuse_store(p->call, p->answer, result);
    if (p->request->has_if_match && p->request->if_match != p->current.version)
        return rest_refuse(p->call, p->answer, 412, "conflict", STR("http.if-match"),
                           "%.*s/%.*s is at version %llu now: read it, and change what it is",
                           STR_ARG(fhir_type_name(p->current.type)), STR_ARG(id),
                           (unsigned long long)p->current.version);
    if (rest_json_parse(p->current.body, p->call->arena, &p->document, NULL) != JSON_FINE)
        return rest_refuse_store(p->call, p->answer, STORE_NO_MEMORY);
    enum json_error error = rest_json_parse(p->request->body, p->call->arena, &p->patch, &at);
    unsigned line, column;
    if (error == JSON_FINE)
        return true;
    json_position(p->request->body, at, &line, &column);
    return rest_refuse(p->call, p->answer, 400, "structure", STR_NONE,
                       "the patch is no JSON: line %u, column %u: %.*s", line, column,
                       STR_ARG(json_error_text(error)));
}

static enum rest_written apply(struct patching *p, struct json_tape *tape)
{
    struct rest_pending pending = {0};
    struct rest_edits edits = {0};
    struct rest_source source = {tape, 0, &edits};
    int64_t expected = p->request->has_if_match ? (int64_t)p->request->if_match : STORE_ANY_VERSION;
    size_t failed = 0;
    if (!rest_pend(p->call, &pending, STORE_UPDATE, p->request->type, p->current.id, expected, &source,
                   p->answer))
        return REST_ANSWERED;
    enum store_result result = store_apply(p->call->site->store, &pending.write, 1, &failed);
    if (result != STORE_FINE)
        return rest_refuse_write(p->call, p->answer, &pending.write, result);
    rest_answer_pending(p->call, p->request, &pending, p->answer);
    return REST_ANSWERED;
}

bool rest_patch_make(const struct rest_call *call, const struct rest_request *r, struct str id,
                     struct json_tape *ret, struct rest_answer *answer)
{
    struct patching p = {.call = call, .request = r, .answer = answer};
    struct str text;
    return read_both(&p, id) && do_patch(&p, &text) && check_patched(&p, text, ret);
}

enum rest_written rest_patch(const struct rest_call *call, const struct rest_request *r,
                             struct rest_answer *answer)
{
    struct patching p = {.call = call, .request = r, .answer = answer};
    struct store_record found = {.id = r->id};
    struct json_tape tape;
    struct str text;
    if (!r->id.n) {
        enum rest_condition c = rest_condition_find(call, r->type, r->query, &found, answer);
        if (c == REST_CONDITION_NONE)
            rest_refuse(call, answer, 404, "not-found", STR_NONE, "the condition fits no resource");
        if (c != REST_CONDITION_ONE)
            return REST_ANSWERED;
    }
    if (!read_both(&p, found.id) || !do_patch(&p, &text) || !check_patched(&p, text, &tape))
        return REST_ANSWERED;
    return apply(&p, &tape);
}
