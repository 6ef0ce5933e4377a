#include "rest/read.h"

#include "rest/bundle.h"
#include "rest/outcome.h"

/* ---- read and vread */

/* Is the version in the list of If-None-Match? Weak comparison (RFC 9110 13.1.2). */
static bool is_listed(struct str list, uint64_t version)
{
    char memory[24];
    struct buf b = buf_over(memory, sizeof memory);
    buf_printf(&b, "\"%llu\"", (unsigned long long)version);
    while (list.n) {
        struct str tag = str_trim(str_cut(&list, ','));
        if (str_starts(tag, STR("W/")))
            tag = str_skip(tag, 2);
        if (str_eq(tag, buf_text(&b)))
            return true;
    }
    return false;
}

static bool is_not_modified(const struct rest_request *r, const struct store_record *record)
{
    if (r->has_if_none_match) /* goes before a date: RFC 9110 13.2.2 */
        return r->if_none_match_any || is_listed(r->if_none_match, record->version);
    return r->has_if_modified && record->time_us / 1'000'000 <= r->if_modified_s;
}

void rest_answer_record(const struct rest_call *call, const struct rest_request *r,
                        const struct store_record *record, struct rest_answer *answer)
{
    answer->status = 200;
    answer->version = record->version;
    answer->modified_us = record->time_us;
    answer->body = rest_subset(call, record->body, r->summary, r->elements, r->element_count);
    rest_touch_record(call, answer, record);
    if (!answer->body.n)
        rest_refuse_store(call, answer, STORE_NO_MEMORY);
}

static void refuse_deleted(const struct rest_call *call, const struct rest_request *r,
                           const struct store_record *record, struct rest_answer *answer)
{
    rest_refuse(call, answer, 410, "deleted", STR_NONE,
                "%.*s/%.*s was deleted; what it was stands in its history", STR_ARG(fhir_type_name(r->type)),
                STR_ARG(r->id));
    answer->version = record->version;
    answer->modified_us = record->time_us;
    rest_touch(call, answer, r->type, r->id, record->version, STR_NONE);
}

void rest_read(const struct rest_call *call, const struct rest_request *r, struct rest_answer *answer)
{
    struct store_record record = {0};
    enum store_result result =
        r->interaction == REST_VREAD
            ? store_read_version(call->site->store, call->view, r->type, r->id, r->version, call->arena,
                                 &record)
            : store_read(call->site->store, call->view, r->type, r->id, call->arena, &record);
    if (result == STORE_DELETED) {
        refuse_deleted(call, r, &record, answer);
        return;
    }
    if (result == STORE_NOT_FOUND) {
        rest_refuse(call, answer, 404, "not-found", STR_NONE, "there is no %.*s/%.*s%s",
                    STR_ARG(fhir_type_name(r->type)), STR_ARG(r->id),
                    r->interaction == REST_VREAD ? " of that version" : "");
        return;
    }
    if (result != STORE_FINE) {
        rest_refuse_store(call, answer, result);
        return;
    }
    if (is_not_modified(r, &record)) {
        answer->status = 304;
        answer->version = record.version;
        answer->modified_us = record.time_us;
        rest_touch_record(call, answer, &record);
        return;
    }
    rest_answer_record(call, r, &record, answer);
}

/* ---- history */

static struct str history_path(const struct rest_call *call, const struct rest_request *r)
{
    if (!r->type)
        return STR("_history");
    if (!r->id.n)
        return arena_printf(call->arena, "%.*s/_history", STR_ARG(fhir_type_name(r->type)));
    return arena_printf(call->arena, "%.*s/%.*s/_history", STR_ARG(fhir_type_name(r->type)), STR_ARG(r->id));
}

/* The query as it came, without the page. */
static struct str query_without_page(const struct rest_call *call, struct str query)
{
    char *memory = arena_bytes(call->arena, query.n + 1);
    struct buf b = buf_over(memory, memory ? query.n + 1 : 0);
    while (query.n) {
        struct str pair = str_cut(&query, '&');
        if (!pair.n || str_starts(pair, STR("_page=")))
            continue;
        buf_str(&b, b.n ? STR("&") : STR(""));
        buf_str(&b, pair);
    }
    return buf_text(&b);
}

static struct str with_query(const struct rest_call *call, struct str path, struct str query, struct str page)
{
    return arena_printf(call->arena, "%.*s%s%.*s%s%.*s", STR_ARG(path), query.n || page.n ? "?" : "",
                        STR_ARG(query), page.n ? query.n ? "&_page=" : "_page=" : "", STR_ARG(page));
}

static void history_answer(const struct rest_call *call, const struct rest_request *r,
                           const struct store_page *page, struct rest_answer *answer)
{
    struct rest_entry *entries = arena_alloc(call->arena, (page->n + 1) * sizeof *entries);
    struct str path = history_path(call, r), query = query_without_page(call, r->query);
    struct rest_bundle bundle = {.type = "history",
                                 .has_total = page->has_total,
                                 .total = page->total,
                                 .self = with_query(call, path, query, r->position),
                                 .entries = entries,
                                 .n = page->n};
    if (page->next.n)
        bundle.next = with_query(call, path, query, page->next);
    for (size_t i = 0; entries && i < page->n; i++) {
        const struct store_record *record = &page->records[i];
        entries[i] = (struct rest_entry){REST_ENTRY_VERSION, record, record->body};
        if (record->body.n)
            entries[i].body = rest_subset(call, record->body, r->summary, r->elements, r->element_count);
        rest_touch_record(call, answer, record);
    }
    answer->status = 200;
    answer->body = entries ? rest_bundle_write(call, &bundle) : STR_NONE;
    if (!answer->body.n)
        rest_refuse_store(call, answer, STORE_NO_MEMORY);
}

void rest_history(const struct rest_call *call, const struct rest_request *r, struct rest_answer *answer)
{
    struct store_history what = {.type = r->type,
                                 .id = r->id,
                                 .since_us = r->since_us,
                                 .at_low_us = r->at_low_us,
                                 .at_high_us = r->at_high_us,
                                 .count = r->count ? r->count : call->site->page_entries,
                                 .position = r->position};
    struct store_page page = {0};
    enum store_result result = store_history(call->site->store, call->view, &what, call->arena, &page);
    if (result == STORE_FINE)
        history_answer(call, r, &page, answer);
    else if (result == STORE_NOT_FOUND)
        rest_refuse(call, answer, 404, "not-found", STR_NONE, "there is no %.*s/%.*s and never was",
                    STR_ARG(fhir_type_name(r->type)), STR_ARG(r->id));
    else
        rest_refuse_store(call, answer, result);
}

/* ---- all of it */

void rest_answer_read(const struct rest_call *call, const struct rest_request *r, struct rest_answer *answer)
{
    switch (r->interaction) {
    case REST_READ:
    case REST_VREAD:
        rest_read(call, r, answer);
        break;
    case REST_HISTORY:
        rest_history(call, r, answer);
        break;
    case REST_SEARCH:
    case REST_SEARCH_SYSTEM:
        rest_search(call, r, answer);
        break;
    case REST_CAPABILITIES:
        rest_capabilities(call, r, answer);
        break;
    case REST_OPERATION:
        rest_operation(call, r, answer);
        break;
    default:
        rest_refuse(call, answer, 500, "exception", STR_NONE, "this interaction does not read");
        break;
    }
    if (arena_overflowed(call->arena) && answer->status < 400)
        rest_refuse_store(call, answer, STORE_NO_MEMORY);
}
