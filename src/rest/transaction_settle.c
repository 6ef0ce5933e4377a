/* rest/transaction_settle.c - conditions are looked up and ids given: then every entry has its address, and
 * each resource stands once. */
#include "rest/transaction.h"

#include "rest/outcome.h"

/* False: refused, in the entry's answer. */
static bool settle_condition(struct bundle_run *run, struct bundle_entry *e, struct str query)
{
    struct store_record found;
    struct rest_request *r = &e->request;
    switch (rest_condition_find(run->call, r->type, query, &found, &e->answer)) {
    case REST_CONDITION_FAILED:
        return false;
    case REST_CONDITION_NONE:
        if (r->interaction != REST_DELETE)
            return true;
        e->is_settled = true;
        e->answer.status = 204;
        return true;
    case REST_CONDITION_ONE:
        break;
    }
    e->id = found.id;
    if (r->interaction != REST_CREATE)
        return true;
    e->is_settled = true;
    e->answer.status = 200;
    e->answer.version = found.version;
    e->answer.modified_us = found.time_us;
    e->answer.location =
        arena_printf(run->call->arena, "%.*s/%.*s/_history/%llu", STR_ARG(fhir_type_name(r->type)),
                     STR_ARG(found.id), (unsigned long long)found.version);
    return true;
}

static bool settle_entry(struct bundle_run *run, struct bundle_entry *e)
{
    struct rest_request *r = &e->request;
    e->id = r->id;
    e->expected = r->has_if_match ? (int64_t)r->if_match : STORE_ANY_VERSION;
    e->verb = r->interaction == REST_DELETE ? STORE_DELETE : STORE_UPDATE;
    if (r->interaction == REST_CREATE && r->if_none_exist.n) {
        if (!settle_condition(run, e, r->if_none_exist))
            return false;
    } else if (r->interaction != REST_CREATE && !r->id.n && !settle_condition(run, e, r->query)) {
        return false;
    }
    if (e->is_settled || e->id.n)
        return true;
    if (r->interaction == REST_PATCH)
        return rest_refuse(run->call, &e->answer, 404, "not-found", STR("request.url"),
                           "the condition fits no resource that could be patched");
    e->verb = STORE_CREATE;
    e->expected = STORE_NO_VERSION;
    if (r->interaction == REST_UPDATE)
        e->id = bundle_text(run, e->resource, "id");
    if (!e->id.n)
        e->id = rest_id_new(run->call->ids, run->call->now_us, run->call->arena);
    return true;
}

/* Each resource once, so that the order of entries cannot matter. */
static bool name_entry(struct bundle_run *run, struct bundle_entry *e)
{
    struct str address =
        arena_printf(run->call->arena, "%.*s/%.*s", STR_ARG(fhir_type_name(e->request.type)), STR_ARG(e->id));
    struct str mark = arena_printf(run->call->arena, "\n%.*s", STR_ARG(address)); /* no text of a client's */
    if (!e->id.n)
        return true;
    if (!e->is_settled && bundle_name(run, mark)->text.n)
        return rest_refuse(run->call, &e->answer, 400, "duplicate", STR("request.url"),
                           "%.*s stands twice in this transaction", STR_ARG(address));
    if (e->full_url.n && e->request.interaction != REST_DELETE && !bundle_name_add(run, e->full_url, address))
        return rest_refuse_store(run->call, &e->answer, STORE_NO_MEMORY);
    return e->is_settled || bundle_name_add(run, mark, address) ||
           rest_refuse_store(run->call, &e->answer, STORE_NO_MEMORY);
}

bool bundle_settle(struct bundle_run *run)
{
    size_t room = 64;
    while (room < 4 * (size_t)run->n)
        room *= 2;
    if (!bundle_names_make(run, room))
        return rest_refuse_store(run->call, run->answer, STORE_NO_MEMORY);
    for (unsigned i = 0; i < run->n; i++) {
        struct bundle_entry *e = &run->entries[i];
        if (e->is_write && (!settle_entry(run, e) || !name_entry(run, e)))
            return bundle_refuse_entry(run, e, &e->answer);
    }
    return true;
}
