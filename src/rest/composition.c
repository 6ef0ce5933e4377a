/* rest/composition.c - Composition/$document: a Composition and all that it refers to, as one Bundle that can
 * be handed on (https://hl7.org/fhir/R4/composition-operation-document.html,
 * https://hl7.org/fhir/R4/documents.html).
 *
 * What always holds: what the caller may not see is left out, as what is not there is, and nothing tells the
 * two apart. References to other servers stay references. */
#include "fhir/reference.h"
#include "rest/document.h"
#include "rest/operations.h"
#include "rest/outcome.h"
#include "rest/read.h"
#include "json/writer.h"

enum { REFERENCES_MAX = 10'000, MEMBERS_MAX = 1'000 };

struct collecting {
    const struct rest_call *call;
    struct rest_answer *answer;
    struct store_record *members; /* the Composition first */
    size_t n;
    unsigned looked_at;
};

/* ---- what belongs to it */

static bool is_ours(const struct rest_call *call, const struct fhir_reference *r)
{
    size_t n = call->site->base_url.n;
    return !r->base.n || (r->base.n == n + 1 && str_starts(r->base, call->site->base_url));
}

static bool is_member(const struct collecting *c, const struct fhir_reference *r)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->members[i].type == r->type && str_eq(c->members[i].id, r->id))
            return true;
    return false;
}

static bool add(struct collecting *c, struct str text)
{
    const struct rest_call *call = c->call;
    struct fhir_reference r = fhir_reference_parse(text);
    struct store_record record;
    uint64_t version = 0;
    if (r.is_contained || !r.type || !r.id.n || !is_ours(call, &r) || is_member(c, &r))
        return true;
    bool is_version = str_parse_u64(r.version, &version);
    enum store_result result =
        is_version
            ? store_read_version(call->site->store, call->view, r.type, r.id, version, call->arena, &record)
            : store_read(call->site->store, call->view, r.type, r.id, call->arena, &record);
    if (result == STORE_NOT_FOUND || result == STORE_DELETED)
        return true;
    if (result != STORE_FINE)
        return rest_refuse_store(call, c->answer, result);
    if (c->n == MEMBERS_MAX)
        return rest_refuse_store(call, c->answer, STORE_TOO_COSTLY);
    c->members[c->n++] = record;
    return true;
}

static bool collect(struct collecting *c, struct str body)
{
    struct json_tape t;
    if (rest_json_parse(body, c->call->arena, &t, NULL) != JSON_FINE)
        return rest_refuse_store(c->call, c->answer, STORE_NO_MEMORY);
    for (uint32_t i = 0; i < t.count; i++) {
        uint32_t value = json_type(&t, i) == JSON_OBJECT ? json_get(&t, i, STR("reference")) : JSON_NONE;
        if (value == JSON_NONE || json_type(&t, value) != JSON_STRING)
            continue;
        if (++c->looked_at > REFERENCES_MAX)
            return rest_refuse(c->call, c->answer, 403, "too-costly", STR_NONE,
                               "this Composition has more than %u references", REFERENCES_MAX);
        if (!add(c, json_string(&t, value, c->call->arena)))
            return false;
    }
    return true;
}

/* ---- the Bundle */

static size_t bytes_of(const struct collecting *c)
{
    size_t n = 1'024;
    for (size_t i = 0; i < c->n; i++)
        n += c->members[i].body.n + c->call->site->base_url.n + 256;
    return n;
}

static void put_head(const struct rest_call *call, struct json_writer *w, struct str id)
{
    char memory[40];
    struct buf instant = buf_over(memory, sizeof memory);
    rest_instant_write(&instant, call->now_us);
    json_put_str(w, STR("resourceType"), STR("Bundle"));
    json_put_str(w, STR("id"), id);
    json_put_object(w, STR("identifier"));
    json_put_str(w, STR("system"), STR("urn:ietf:rfc:3986"));
    json_put_str(w, STR("value"), arena_printf(call->arena, "urn:uuid:%.*s", STR_ARG(id)));
    json_object_end(w);
    json_put_str(w, STR("type"), STR("document"));
    json_put_str(w, STR("timestamp"), buf_text(&instant));
}

static struct str write_bundle(const struct collecting *c, struct str id)
{
    size_t cap = bytes_of(c);
    char *memory = arena_bytes(c->call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    struct json_writer w = json_writer_over(&b);
    json_object_begin(&w);
    put_head(c->call, &w, id);
    json_put_array(&w, STR("entry"));
    for (size_t i = 0; i < c->n; i++) {
        const struct store_record *r = &c->members[i];
        json_object_begin(&w);
        json_put_str(&w, STR("fullUrl"),
                     arena_printf(c->call->arena, "%.*s/%.*s/%.*s", STR_ARG(c->call->site->base_url),
                                  STR_ARG(fhir_type_name(r->type)), STR_ARG(r->id)));
        json_key(&w, STR("resource"));
        json_raw(&w, r->body);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    return buf_overflowed(&b) || arena_overflowed(c->call->arena) ? STR_NONE : buf_text(&b);
}

/* Another one each time: a document is made anew whenever it is asked for. */
static struct str new_id(const struct rest_call *call, const struct store_record *composition)
{
    struct rest_ids ids = {.key = call->site->engine->key};
    ids.next = hash_bytes(&ids.key, composition->id.p, composition->id.n) ^ (uint64_t)call->now_us;
    return rest_id_new(&ids, call->now_us, call->arena);
}

/* What is made here is not kept, and says so when it is asked to be. */
static bool check_parameters(const struct rest_call *call, const struct rest_request *r,
                             struct rest_answer *answer)
{
    bool keeps = str_eq(rest_operation_parameter(call, r, STR("persist")), STR("true"));
    if (!keeps && !rest_operation_parameter(call, r, STR("graph")).n && !r->body.n)
        return true;
    return rest_refuse(
        call, answer, 501, "not-supported", STR("http.query"),
        "$document takes no parameters here (persist, graph): store the Bundle where you want it kept");
}

void rest_operation_document(const struct rest_call *call, const struct rest_request *r,
                             struct rest_answer *answer)
{
    struct collecting c = {.call = call, .answer = answer};
    struct rest_request read = *r;
    struct store_record composition = {.type = r->type, .id = r->id};
    read.interaction = REST_READ;
    read.summary = FHIR_SUMMARY_FALSE;
    read.element_count = 0;
    read.has_if_none_match = read.has_if_modified = false;
    if (!check_parameters(call, r, answer))
        return;
    rest_read(call, &read, answer);
    if (answer->status != 200)
        return;
    composition.body = answer->body;
    composition.version = answer->version;
    c.members = arena_alloc(call->arena, MEMBERS_MAX * sizeof *c.members);
    if (!c.members) {
        rest_refuse_store(call, answer, STORE_NO_MEMORY);
        return;
    }
    c.members[c.n++] = composition;
    if (!collect(&c, composition.body))
        return;
    answer->body = write_bundle(&c, new_id(call, &composition));
    answer->version = 0;
    answer->modified_us = INT64_MIN;
    for (size_t i = 1; i < c.n; i++)
        rest_touch_record(call, answer, &c.members[i]);
    if (!answer->body.n)
        rest_refuse_store(call, answer, STORE_NO_MEMORY);
}
