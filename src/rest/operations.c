#include "rest/operations.h"

#include "rest/document.h"
#include "rest/outcome.h"
#include "rest/read.h"

enum { VALIDATE_STEPS_MAX = 20'000'000 };

enum { SYSTEM = REST_LEVEL_SYSTEM, TYPE = REST_LEVEL_TYPE, INSTANCE = REST_LEVEL_INSTANCE };

static const struct rest_operation operations[] = {
#define OPERATION(name, function, levels, resource, definition)                                              \
    {{name, sizeof name - 1}, function, NULL, levels, resource, definition},
#define WRITING(name, function, levels, resource, definition)                                                \
    {{name, sizeof name - 1}, NULL, function, levels, resource, definition},
#include "rest/operations.def"
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

const struct rest_operation *rest_operations(unsigned *ret_count)
{
    *ret_count = OPERATIONS;
    return operations;
}

static unsigned level_of(const struct rest_request *r)
{
    return r->shape == REST_SHAPE_SYSTEM_OPERATION ? SYSTEM
           : r->shape == REST_SHAPE_TYPE_OPERATION ? TYPE
                                                   : INSTANCE;
}

static bool fits(const struct rest_operation *o, const struct rest_request *r)
{
    return str_eq(o->name, r->operation) && (o->levels & level_of(r)) &&
           (!o->type || (r->type && str_eq(fhir_type_name(r->type), str_of(o->type))));
}

static const struct rest_operation *find(const struct rest_request *r)
{
    for (unsigned i = 0; i < OPERATIONS; i++)
        if (fits(&operations[i], r))
            return &operations[i];
    return NULL;
}

bool rest_operation_is_bulk(const struct rest_request *r)
{
    const struct rest_operation *o = r->interaction == REST_OPERATION ? find(r) : NULL;
    return o && o->run == rest_operation_bulk;
}

/* The exporter answers them (records/exporter.c); this is for all others. */
void rest_operation_bulk(const struct rest_call *call, const struct rest_request *r,
                         struct rest_answer *answer)
{
    rest_refuse(call, answer, 400, "not-supported", STR("http.path"), "$%.*s cannot stand in a Bundle",
                STR_ARG(r->operation));
}

bool rest_operation_writes(const struct rest_request *r)
{
    const struct rest_operation *o = find(r);
    return o && o->write;
}

enum rest_written rest_operation_write(const struct rest_call *call, const struct rest_request *r,
                                       struct rest_answer *answer)
{
    const struct rest_operation *o = find(r);
    if (o && o->write)
        return o->write(call, r, answer);
    rest_refuse(call, answer, 500, "exception", STR_NONE, "this operation does not write");
    return REST_ANSWERED;
}

void rest_operation(const struct rest_call *call, const struct rest_request *r, struct rest_answer *answer)
{
    const struct rest_operation *o = find(r);
    if (o && o->run) {
        o->run(call, r, answer);
        return;
    }
    rest_refuse(call, answer, 501, "not-supported", STR("http.path"),
                "the operation $%.*s is not supported here; what is supported stands in [base]/metadata",
                STR_ARG(str_take(r->operation, 64)));
}

struct str rest_operation_parameter(const struct rest_call *call, const struct rest_request *r,
                                    struct str name)
{
    struct rest_pair *pairs;
    unsigned count;
    if (!r->query.n || !rest_pairs_parse(r->query, call->arena, &pairs, &count))
        return STR_NONE;
    for (unsigned i = 0; i < count; i++)
        if (str_eq(pairs[i].name, name))
            return pairs[i].value;
    return STR_NONE;
}

/* ---- $validate */

/* The resource to look at: the body, or the parameter "resource" of a body of type Parameters. */
static uint32_t subject_of(const struct rest_call *call, const struct json_tape *t)
{
    if (!str_eq(fhir_member_text(t, 0, STR("resourceType"), call->arena), STR("Parameters")))
        return 0;
    uint32_t list = fhir_member(t, 0, STR("parameter"));
    uint32_t n = list != JSON_NONE && json_type(t, list) == JSON_ARRAY ? json_count(t, list) : 0;
    for (uint32_t at = n ? json_first(t, list) : 0; n > 0; n--, at = json_next(t, at))
        if (str_eq(fhir_member_text(t, at, STR("name"), call->arena), STR("resource")))
            return fhir_member(t, at, STR("resource"));
    return JSON_NONE;
}

static void validate(const struct rest_call *call, const struct json_tape *t, uint32_t object,
                     struct rest_answer *answer)
{
    struct fhir_path_env env = {.steps_max = VALIDATE_STEPS_MAX, .hash_key = call->site->engine->key};
    struct fhir_validate_input input = {.tape = t, .object = object, .env = &env, .wants_warnings = true};
    struct fhir_validation v;
    fhir_validate(call->site->engine->validator, &input, call->arena, call->scratch, &v);
    arena_reset(call->scratch);
    answer->status = 200;
    answer->body = rest_outcome_of(call, &v);
}

static void validate_stored(const struct rest_call *call, const struct rest_request *r,
                            struct rest_answer *answer)
{
    struct rest_request read = *r;
    read.interaction = REST_READ;
    read.summary = FHIR_SUMMARY_FALSE;
    read.element_count = 0;
    rest_read(call, &read, answer);
    struct json_tape t;
    if (answer->status == 200 && rest_json_parse(answer->body, call->arena, &t, NULL) == JSON_FINE)
        validate(call, &t, 0, answer);
    answer->version = 0;
    answer->modified_us = INT64_MIN;
}

void rest_operation_validate(const struct rest_call *call, const struct rest_request *r,
                             struct rest_answer *answer)
{
    struct json_tape t;
    struct fhir_value resource;
    if (!r->body.n && r->id.n) {
        validate_stored(call, r, answer);
        return;
    }
    if (!rest_resource_parse(call, r->body, &t, &resource, answer))
        return;
    uint32_t object = subject_of(call, &t);
    if (object == JSON_NONE) {
        rest_refuse(call, answer, 400, "required", STR("Parameters.parameter"),
                    "a parameter \"resource\" is missing: it holds what is to be validated");
        return;
    }
    struct str type = fhir_member_text(&t, object, STR("resourceType"), call->arena);
    if (r->type && !str_eq(type, fhir_type_name(r->type)))
        rest_refuse(call, answer, 400, "invalid", STR("resourceType"),
                    "the resource is of type %.*s, but the address is that of %.*s",
                    STR_ARG(str_take(type, 64)), STR_ARG(fhir_type_name(r->type)));
    else
        validate(call, &t, object, answer);
}

/* ---- $meta */

struct str rest_meta_parameters(const struct rest_call *call, struct str resource)
{
    struct json_tape t;
    if (rest_json_parse(resource, call->arena, &t, NULL) != JSON_FINE)
        return STR_NONE;
    uint32_t meta = fhir_member(&t, 0, STR("meta"));
    struct str source = meta == JSON_NONE ? STR("{}") : json_source(&t, meta);
    return arena_printf(call->arena,
                        "{\"resourceType\":\"Parameters\",\"parameter\":[{\"name\":\"return\",\"valueMeta\":"
                        "%.*s}]}",
                        STR_ARG(source));
}

void rest_operation_meta(const struct rest_call *call, const struct rest_request *r,
                         struct rest_answer *answer)
{
    struct rest_request read = *r;
    read.interaction = REST_READ;
    read.summary = FHIR_SUMMARY_FALSE;
    read.element_count = 0;
    read.has_if_none_match = read.has_if_modified = false;
    rest_read(call, &read, answer);
    if (answer->status != 200)
        return;
    answer->body = rest_meta_parameters(call, answer->body);
}
