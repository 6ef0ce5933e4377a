/* proxy/admit_request.c - what a request is to admission: how important, of what cost, how patient.
 *
 * A person is who shows no certificate and a browser's name; that can be claimed, and only moves the request
 * among others of its own class and cluster. */
#include "proxy/admit_parts.h"

#include "proxy/classes.h"
#include "proxy/upstream.h"

enum {
    KINDS_OF_A_PLACE = 3, /* safe, unsafe, bulk */
    KIND_PLACES = ADMISSION_KINDS / KINDS_OF_A_PLACE,
    SEGMENT_MOST = 32,
    SEGMENTS_MOST = 3,
};

/* What somebody of that kind waits for an answer before giving up, queue and work together; the work, as far
 * as known, is on top of it. Strangers hear sooner that it takes long: their place is for those whom it
 * cannot be refused. */
static const uint32_t patience_ms[][ADMISSION_BLOCKED + 1] = {
    [ADMISSION_PERSON_WRITE] = {10'000, 10'000, 5'000, 2'000, 0},
    [ADMISSION_PERSON_READ] = {10'000, 10'000, 5'000, 2'000, 0},
    [ADMISSION_MACHINE_WRITE] = {20'000, 20'000, 10'000, 2'000, 0},
    [ADMISSION_MACHINE_READ] = {20'000, 20'000, 10'000, 2'000, 0},
    [ADMISSION_BULK] = {60'000, 60'000, 20'000, 5'000, 0},
};

static bool is_person(const struct exchange *ex)
{
    struct tls_info info;
    const struct http_field *agent = http_find(ex->req.fields, ex->req.field_count, FIELD_USER_AGENT);
    if (client_tls_info(ex->client, &info) && info.has_client_cert)
        return false;
    return agent && str_starts(agent->value, STR("Mozilla/"));
}

/* FHIR: a whole population asked for (Bulk Data Access), or an answer that nobody waits for (RFC 7240). */
static bool is_bulk(const struct exchange *ex)
{
    if (str_ends(ex->req.path, STR("/$export")))
        return true;
    for (unsigned i = 0; i < ex->req.field_count; i++)
        if (ex->req.fields[i].id == FIELD_OTHER && str_eq_nocase(ex->req.fields[i].name, STR("prefer")))
            return str_eq_nocase(str_trim(ex->req.fields[i].value), STR("respond-async"));
    return false;
}

/* What costs alike: the same words at the beginning of the path, whatever cluster asks. Numbers are
 * somebody's, and a long row of words is a stranger's; both end it. */
static unsigned kind_of(const struct exchange *ex, enum admission_criticality criticality, bool is_safe)
{
    static const struct hash_key fixed = {0x706f6c646572ULL, 0x6b696e64ULL}; /* all workers count alike */
    size_t end = 0, segments = 0;
    for (size_t i = 1; i <= ex->req.path.n && i - end <= SEGMENT_MOST && segments < SEGMENTS_MOST; i++) {
        char c = i < ex->req.path.n ? ex->req.path.p[i] : '/';
        if (c == '/') {
            end = i;
            segments++;
        } else if ((c >= '0' && c <= '9') || c == '%') {
            break;
        }
    }
    unsigned place = (unsigned)(hash_bytes(&fixed, ex->req.path.p, end) % KIND_PLACES);
    return place * KINDS_OF_A_PLACE + (criticality == ADMISSION_BULK ? 2u : is_safe ? 0 : 1);
}

static enum admission_criticality criticality_of(const struct exchange *ex, bool is_safe)
{
    if (is_person(ex))
        return is_safe ? ADMISSION_PERSON_READ : ADMISSION_PERSON_WRITE;
    if (is_bulk(ex))
        return ADMISSION_BULK;
    return is_safe ? ADMISSION_MACHINE_READ : ADMISSION_MACHINE_WRITE;
}

/* Never longer than the upstream itself would be waited for. */
static uint32_t patience_us(const struct exchange *ex, const struct admission_request *r, unsigned pool)
{
    uint64_t own_ms = upstream_response_timeout_ms(ex), step_ms = patience_ms[r->criticality][r->class];
    uint64_t us = step_ms * 1000 + admission_cost_us(ex->proxy->admit->core, pool, r->kind);
    uint64_t most = own_ms * 1000;
    us = most && us > most ? most : us;
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

void admit_describe(struct exchange *ex, struct admission_request *ret)
{
    const struct admit_route *route = admit_route_of(ex);
    bool is_safe = http_method_is_safe(ex->req.method) && !ex->req.has_upgrade;
    ret->flow = route->flow;
    ret->class = classes_request(ex);
    ret->criticality = criticality_of(ex, is_safe);
    ret->kind = kind_of(ex, ret->criticality, is_safe);
    ret->patience_us = patience_us(ex, ret, route->pool);
}

bool admit_is_event_stream(const struct exchange *ex)
{
    const struct http_field *type = http_find(ex->resp.fields, ex->resp.field_count, FIELD_CONTENT_TYPE);
    return type && str_starts(type->value, STR("text/event-stream"));
}
