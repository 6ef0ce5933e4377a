/* rest/prepare.c - what a body must be before it goes to the owner. */
#include "rest/document.h"
#include "rest/outcome.h"
#include "rest/write.h"

enum { STEPS_MAX = 20'000'000 };

bool rest_validate_body(const struct rest_call *call, const struct json_tape *t, uint32_t object,
                        struct rest_answer *answer)
{
    struct fhir_path_env env = {.steps_max = STEPS_MAX, .hash_key = call->site->engine->key};
    struct fhir_validate_input input = {.tape = t, .object = object, .env = &env};
    struct fhir_validation validation;
    fhir_validate(call->site->engine->validator, &input, call->arena, call->scratch, &validation);
    arena_reset(call->scratch);
    return validation.is_valid ? rest_check_identifiers(call, t, object, answer)
                               : rest_refuse_invalid(call, answer, 422, &validation);
}

/* Of an update the id of the address has to stand in the body (https://hl7.org/fhir/R4/http.html#update). */
bool rest_check_address(const struct rest_call *call, const struct rest_request *r, const struct json_tape *t,
                        uint32_t object, struct rest_answer *answer)
{
    struct str type = fhir_member_text(t, object, STR("resourceType"), call->arena),
               id = fhir_member_text(t, object, STR("id"), call->arena), name = fhir_type_name(r->type);
    if (!str_eq(type, name))
        return rest_refuse(call, answer, 400, "invalid", STR("resourceType"),
                           "the body is a resource of type %.*s, but the address is that of %.*s",
                           STR_ARG(str_take(type, 64)), STR_ARG(name));
    if (r->interaction != REST_UPDATE || !r->id.n || str_eq(id, r->id))
        return true;
    struct str where = arena_printf(call->arena, "%.*s.id", STR_ARG(name));
    if (!id.n)
        return rest_refuse(call, answer, 400, "required", where,
                           "\"id\" is missing: it has to be \"%.*s\", as in the address", STR_ARG(r->id));
    return rest_refuse(call, answer, 400, "value", where,
                       "the id \"%.*s\" is not that of the address (\"%.*s\")", STR_ARG(str_take(id, 64)),
                       STR_ARG(r->id));
}

static bool prepare_resource(const struct rest_call *call, const struct rest_request *r,
                             struct rest_answer *answer)
{
    struct json_tape t;
    struct fhir_value resource;
    return rest_resource_parse(call, r->body, &t, &resource, answer) &&
           rest_check_address(call, r, &t, 0, answer) && rest_validate_body(call, &t, 0, answer);
}

static bool prepare_bundle(const struct rest_call *call, const struct rest_request *r,
                           struct rest_answer *answer)
{
    struct json_tape t;
    struct fhir_value resource;
    if (!rest_resource_parse(call, r->body, &t, &resource, answer))
        return false;
    if (!str_eq(fhir_type_name(resource.type), STR("Bundle")))
        return rest_refuse(
            call, answer, 400, "invalid", STR("resourceType"),
            "here a Bundle of type batch or transaction is expected, not a resource of type %.*s: "
            "resources are created at [base]/%.*s",
            STR_ARG(fhir_type_name(resource.type)), STR_ARG(fhir_type_name(resource.type)));
    struct str type = fhir_member_text(&t, 0, STR("type"), call->arena);
    if (!str_eq(type, STR("batch")) && !str_eq(type, STR("transaction")))
        return rest_refuse(call, answer, 400, "value", STR("Bundle.type"),
                           "a Bundle of type \"%.*s\" cannot be carried out: batch or transaction",
                           STR_ARG(str_take(type, 64)));
    /* The entries of a batch stand or fall by themselves: the owner looks at each. */
    return str_eq(type, STR("batch")) || rest_validate_body(call, &t, 0, answer);
}

bool rest_prepare(const struct rest_call *call, const struct rest_request *r, struct rest_answer *answer)
{
    switch (r->interaction) {
    case REST_CREATE:
    case REST_UPDATE:
        return prepare_resource(call, r, answer);
    case REST_BUNDLE:
        return prepare_bundle(call, r, answer);
    case REST_PATCH:
        return r->body.n != 0 || rest_refuse(call, answer, 400, "required", STR_NONE, "the patch is empty");
    default:
        return true;
    }
}
