#include "rest/write.h"

#include "rest/document.h"
#include "rest/operations.h"
#include "rest/outcome.h"
#include "rest/read.h"
#include "rest/subscription.h"

enum { INDEX_STEPS_MAX = 1'000'000 };

/* ---- one write */

static bool index_body(const struct rest_call *call, struct rest_pending *p, struct rest_answer *answer)
{
    struct fhir_path_env env = {.steps_max = INDEX_STEPS_MAX, .hash_key = call->site->engine->key};
    if (fhir_index_resource(call->site->engine->indexer, &p->resource, &env, call->arena, &p->write.rows) ==
        FHIR_INDEX_FINE)
        return true;
    return rest_refuse(call, answer, 413, "too-costly", STR_NONE,
                       "the resource has more values to search by than can be kept (%u)",
                       FHIR_INDEX_ROWS_MAX);
}

bool rest_pend(const struct rest_call *call, struct rest_pending *p, enum store_verb verb,
               const struct fhir_type *type, struct str id, int64_t expected,
               const struct rest_source *source, struct rest_answer *answer)
{
    uint64_t version = 0;
    enum store_result result = store_next(call->site->store, type, id, &version, &p->exists);
    if (result != STORE_FINE)
        return rest_refuse_store(call, answer, result);
    p->write = (struct store_write){.verb = verb, .type = type, .id = id, .expected = expected};
    if (verb == STORE_DELETE)
        return rest_may_write(call, verb, type, id, p->exists, NULL, answer);
    struct str text = json_text(source->tape, source->object);
    rest_edit_identity(source->edits, call->arena, source->tape, source->object, id, version, call->now_us);
    p->body = rest_edits_apply(source->edits, text, (size_t)(text.p - source->tape->text.p), call->arena);
    if (!p->body.n || rest_json_parse(p->body, call->arena, &p->tape, NULL) != JSON_FINE ||
        !fhir_value_of_resource(&p->tape, 0, &p->resource) || p->resource.type != type)
        return rest_refuse_store(call, answer, STORE_NO_MEMORY);
    p->write.body = p->body;
    p->write.resource = &p->resource;
    return index_body(call, p, answer) &&
           rest_may_write(call, verb, type, id, p->exists, &p->write.rows, answer);
}

static bool ends_group(enum store_result result)
{
    return result != STORE_CONFLICT && result != STORE_EXISTS && result != STORE_TOO_LARGE;
}

enum rest_written rest_refuse_write(const struct rest_call *call, struct rest_answer *answer,
                                    const struct store_write *w, enum store_result result)
{
    if (result == STORE_CONFLICT)
        rest_refuse(call, answer, 412, "conflict", STR("http.if-match"),
                    "%.*s/%.*s is not at that version any more: read it, and change what it is now",
                    STR_ARG(fhir_type_name(w->type)), STR_ARG(w->id));
    else
        rest_refuse_store(call, answer, result);
    return ends_group(result) ? REST_GROUP_LOST : REST_ANSWERED;
}

void rest_answer_pending(const struct rest_call *call, const struct rest_request *r,
                         const struct rest_pending *p, struct rest_answer *answer)
{
    const struct store_write *w = &p->write;
    struct store_record record = {.type = w->type, .id = w->id, .version = w->ret_version, .body = p->body};
    rest_touch_record(call, answer, &record);
    if (w->verb == STORE_DELETE) {
        answer->status = 204;
        answer->version = w->ret_version;
        return;
    }
    answer->status = p->exists ? 200 : 201;
    answer->version = w->ret_version;
    answer->modified_us = call->now_us;
    answer->location = arena_printf(call->arena, "%.*s/%.*s/_history/%llu", STR_ARG(fhir_type_name(w->type)),
                                    STR_ARG(w->id), (unsigned long long)w->ret_version);
    if (r->wanted == REST_RETURN_OUTCOME)
        answer->body = rest_outcome_fine(call, p->exists ? STR("the resource was updated")
                                                         : STR("the resource was created"));
    else if (r->wanted != REST_RETURN_MINIMAL)
        answer->body = p->body;
}

static enum rest_written apply(const struct rest_call *call, const struct rest_request *r,
                               struct rest_pending *p, struct rest_answer *answer)
{
    size_t failed = 0;
    enum store_result result = store_apply(call->site->store, &p->write, 1, &failed);
    if (result != STORE_FINE)
        return rest_refuse_write(call, answer, &p->write, result);
    rest_answer_pending(call, r, p, answer);
    return REST_ANSWERED;
}

/* ---- conditions */

enum rest_condition rest_condition_find(const struct rest_call *call, const struct fhir_type *type,
                                        struct str query, struct store_record *ret,
                                        struct rest_answer *answer)
{
    struct fhir_search_query q;
    struct store_found found = {0};
    if (!rest_query_parse(call, type, query, &q, answer))
        return REST_CONDITION_FAILED;
    if (q.criterion_count == 0) {
        rest_refuse(call, answer, 412, "incomplete", STR_NONE,
                    "the condition has no parameters: it would fit every %.*s",
                    STR_ARG(fhir_type_name(type)));
        return REST_CONDITION_FAILED;
    }
    struct store_search search = {.query = &q, .count = 2, .no_bodies = true};
    enum store_result result = store_search(call->site->store, call->view, &search, call->arena, &found);
    if (result != STORE_FINE) {
        rest_refuse_store(call, answer, result);
        return REST_CONDITION_FAILED;
    }
    if (found.match_count > 1) {
        rest_refuse(call, answer, 412, "multiple-matches", STR_NONE,
                    "the condition fits several resources of type %.*s: say more, so that it fits one",
                    STR_ARG(fhir_type_name(type)));
        return REST_CONDITION_FAILED;
    }
    if (found.match_count == 1)
        *ret = found.matches[0];
    return found.match_count ? REST_CONDITION_ONE : REST_CONDITION_NONE;
}

/* ---- the interactions */

static void answer_existing(const struct rest_call *call, const struct rest_request *r,
                            const struct store_record *found, struct rest_answer *answer)
{
    struct store_record record;
    enum store_result result =
        store_read(call->site->store, call->view, found->type, found->id, call->arena, &record);
    if (result != STORE_FINE) {
        rest_refuse_store(call, answer, result);
        return;
    }
    rest_answer_record(call, r, &record, answer);
    answer->location =
        arena_printf(call->arena, "%.*s/%.*s/_history/%llu", STR_ARG(fhir_type_name(record.type)),
                     STR_ARG(record.id), (unsigned long long)record.version);
    if (r->wanted == REST_RETURN_MINIMAL)
        answer->body = STR_NONE;
}

static enum rest_written put(const struct rest_call *call, const struct rest_request *r, enum store_verb verb,
                             struct str id, int64_t expected, struct rest_answer *answer)
{
    struct rest_pending p = {0};
    struct rest_edits edits = {0};
    struct json_tape tape;
    struct fhir_value resource;
    struct rest_source source = {&tape, 0, &edits};
    if (verb != STORE_DELETE && !rest_resource_parse(call, r->body, &tape, &resource, answer))
        return REST_ANSWERED;
    if (verb != STORE_DELETE && str_eq(fhir_type_name(r->type), STR("Subscription")) &&
        !rest_subscription_settle(call, &tape, answer))
        return REST_ANSWERED;
    if (!rest_pend(call, &p, verb, r->type, id, expected, &source, answer))
        return REST_ANSWERED;
    return apply(call, r, &p, answer);
}

static enum rest_written create(const struct rest_call *call, const struct rest_request *r,
                                struct rest_answer *answer)
{
    struct store_record found;
    if (r->if_none_exist.n) {
        enum rest_condition c = rest_condition_find(call, r->type, r->if_none_exist, &found, answer);
        if (c == REST_CONDITION_ONE)
            answer_existing(call, r, &found, answer);
        if (c != REST_CONDITION_NONE)
            return REST_ANSWERED;
    }
    return put(call, r, STORE_CREATE, rest_id_new(call->ids, call->now_us, call->arena), STORE_NO_VERSION,
               answer);
}

static int64_t expected_of(const struct rest_request *r)
{
    return r->has_if_match        ? (int64_t)r->if_match
           : r->if_none_match_any ? STORE_NO_VERSION
                                  : STORE_ANY_VERSION;
}

static enum rest_written conditional_update(const struct rest_call *call, const struct rest_request *r,
                                            struct rest_answer *answer)
{
    struct store_record found;
    struct json_tape t;
    struct str id = STR_NONE;
    if (rest_json_parse(r->body, call->arena, &t, NULL) == JSON_FINE)
        id = fhir_member_text(&t, 0, STR("id"), call->arena);
    switch (rest_condition_find(call, r->type, r->query, &found, answer)) {
    case REST_CONDITION_FAILED:
        return REST_ANSWERED;
    case REST_CONDITION_NONE:
        if (!id.n)
            return put(call, r, STORE_CREATE, rest_id_new(call->ids, call->now_us, call->arena),
                       STORE_NO_VERSION, answer);
        return put(call, r, STORE_CREATE, id, STORE_NO_VERSION, answer);
    case REST_CONDITION_ONE:
        break;
    }
    if (id.n && !str_eq(id, found.id)) {
        rest_refuse(call, answer, 400, "invalid", STR_NONE,
                    "the condition fits %.*s/%.*s, but the id in the body is \"%.*s\"",
                    STR_ARG(fhir_type_name(r->type)), STR_ARG(found.id), STR_ARG(str_take(id, 64)));
        return REST_ANSWERED;
    }
    return put(call, r, STORE_UPDATE, found.id, r->has_if_match ? (int64_t)r->if_match : STORE_ANY_VERSION,
               answer);
}

static enum rest_written delete_one(const struct rest_call *call, const struct rest_request *r,
                                    struct rest_answer *answer)
{
    struct store_record found = {.id = r->id};
    if (!r->id.n) {
        enum rest_condition c = rest_condition_find(call, r->type, r->query, &found, answer);
        if (c == REST_CONDITION_NONE)
            answer->status = 204;
        if (c != REST_CONDITION_ONE)
            return REST_ANSWERED;
    }
    return put(call, r, STORE_DELETE, found.id, r->has_if_match ? (int64_t)r->if_match : STORE_ANY_VERSION,
               answer);
}

enum rest_written rest_answer_write(const struct rest_call *call, const struct rest_request *r,
                                    struct rest_answer *answer)
{
    switch (r->interaction) {
    case REST_CREATE:
        return create(call, r, answer);
    case REST_UPDATE:
        return r->id.n ? put(call, r, STORE_UPDATE, r->id, expected_of(r), answer)
                       : conditional_update(call, r, answer);
    case REST_DELETE:
        return delete_one(call, r, answer);
    case REST_PATCH:
        return rest_patch(call, r, answer);
    case REST_BUNDLE:
        return rest_bundle_execute(call, r, answer);
    case REST_OPERATION:
        return rest_operation_write(call, r, answer);
    default:
        rest_refuse(call, answer, 500, "exception", STR_NONE, "this interaction does not write");
        return REST_ANSWERED;
    }
}
