/* rest/transaction_read.c - the entries of a bundle as requests. */
#include "rest/transaction.h"

#include "http/url.h"
#include "rest/outcome.h"

static void add_field(struct bundle_run *run, struct bundle_entry *e, uint32_t request, const char *member,
                      const char *field)
{
    struct str value = bundle_text(run, request, member);
    if (value.n)
        e->fields[e->field_count++] = (struct http_field){str_of(field), value, http_field_id(str_of(field))};
}

/* "Patient/1?x=y", also as a whole URL of this base. */
static bool cut_url(struct bundle_run *run, struct str url, struct rest_http *http,
                    struct rest_answer *answer)
{
    const struct rest_call *call = run->call;
    struct str base = call->site->base_url;
    if (str_starts(url, base) && (url.n == base.n || url.p[base.n] == '/' || url.p[base.n] == '?'))
        url = str_skip(url, base.n);
    struct str query = url;
    struct str path = str_cut(&query, '?');
    if (!path.n || path.p[0] != '/')
        path = arena_printf(call->arena, "/%.*s", STR_ARG(path));
    if (url_canonical_path(path, call->arena, &http->path) != REFUSAL_NONE ||
        url_canonical_query(query, call->arena, &http->query) != REFUSAL_NONE)
        return rest_refuse(call, answer, 400, "value", STR("request.url"), "\"%.*s\" is no address",
                           STR_ARG(str_take(url, 100)));
    return true;
}

static bool read_request(struct bundle_run *run, struct bundle_entry *e, uint32_t object)
{
    struct str method = bundle_text(run, object, "method"), url = bundle_text(run, object, "url");
    struct rest_http http = {.method = http_method_of(method), .fields = e->fields};
    static const struct str json = STR("application/fhir+json");
    e->answer.modified_us = INT64_MIN;
    if (object == JSON_NONE || !method.n)
        return rest_refuse(run->call, &e->answer, 400, "required", STR("request"),
                           "\"request\" with method and url is missing: it says what is to be done");
    add_field(run, e, object, "ifMatch", "if-match");
    add_field(run, e, object, "ifNoneMatch", "if-none-match");
    add_field(run, e, object, "ifModifiedSince", "if-modified-since");
    add_field(run, e, object, "ifNoneExist", "if-none-exist");
    if (e->resource != JSON_NONE) {
        e->fields[e->field_count++] = (struct http_field){STR("content-type"), json, FIELD_CONTENT_TYPE};
        http.body = json_text(&run->tape, e->resource);
    }
    http.field_count = e->field_count;
    if (!cut_url(run, url, &http, &e->answer) ||
        !rest_request_parse(run->call, &http, &e->request, &e->answer) ||
        !rest_may_ask(run->call, &e->request, &e->answer))
        return false;
    e->request.wanted =
        run->request->wanted == REST_RETURN_UNSAID ? REST_RETURN_MINIMAL : run->request->wanted;
    e->is_write = e->request.writes;
    return true;
}

static bool check_entry(struct bundle_run *run, struct bundle_entry *e)
{
    enum rest_interaction i = e->request.interaction;
    if (i == REST_BUNDLE)
        return rest_refuse(run->call, &e->answer, 400, "invalid", STR("request.url"),
                           "a bundle cannot stand in a bundle");
    if (i == REST_OPERATION && e->is_write && run->is_transaction)
        return rest_refuse(run->call, &e->answer, 501, "not-supported", STR("request.url"),
                           "in a transaction $%.*s is not supported: in a batch, or by itself",
                           STR_ARG(e->request.operation));
    if (i != REST_CREATE && i != REST_UPDATE)
        return true;
    if (e->resource == JSON_NONE)
        return rest_refuse(run->call, &e->answer, 400, "required", STR("resource"),
                           "\"resource\" is missing");
    if (!rest_check_address(run->call, &e->request, &run->tape, e->resource, &e->answer))
        return false;
    return run->is_transaction || rest_validate_body(run->call, &run->tape, e->resource, &e->answer);
}

static bool read_entry(struct bundle_run *run, struct bundle_entry *e, uint32_t object)
{
    e->resource = fhir_member(&run->tape, object, STR("resource"));
    e->full_url = bundle_text(run, object, "fullUrl");
    return read_request(run, e, fhir_member(&run->tape, object, STR("request"))) && check_entry(run, e);
}

/* False: refused. */
bool bundle_read(struct bundle_run *run)
{
    uint32_t list = fhir_member(&run->tape, 0, STR("entry"));
    run->n =
        list == JSON_NONE || json_type(&run->tape, list) != JSON_ARRAY ? 0 : json_count(&run->tape, list);
    if (run->n > ENTRIES_MAX)
        return rest_refuse(run->call, run->answer, 413, "too-costly", STR("Bundle.entry"),
                           "a bundle may have %u entries at most", ENTRIES_MAX);
    run->entries = arena_alloc(run->call->arena, (run->n + 1) * sizeof *run->entries);
    if (!run->entries)
        return rest_refuse_store(run->call, run->answer, STORE_NO_MEMORY);
    uint32_t at = run->n ? json_first(&run->tape, list) : 0;
    for (unsigned i = 0; i < run->n; i++, at = json_next(&run->tape, at))
        if (!read_entry(run, &run->entries[i], at) && run->is_transaction)
            return bundle_refuse_entry(run, &run->entries[i], &run->entries[i].answer);
    return true;
}
