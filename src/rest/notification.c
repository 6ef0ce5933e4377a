/* rest/notification.c - the Bundle that tells a subscriber what happened, in the form of R4: a history whose
 * first entry is the status, as Parameters (profile backport-subscription-notification-r4); and $status. */
#include "rest/document.h"
#include "rest/operations.h"
#include "rest/outcome.h"
#include "rest/subscription.h"
#include "json/writer.h"

#define PROFILE "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-"

static struct str url_of(const struct rest_call *call, struct str type, struct str id)
{
    return arena_printf(call->arena, "%.*s/%.*s/%.*s", STR_ARG(call->site->base_url), STR_ARG(type),
                        STR_ARG(id));
}

static void put_profile(struct json_writer *w, struct str url)
{
    json_put_object(w, STR("meta"));
    json_put_array(w, STR("profile"));
    json_str(w, url);
    json_array_end(w);
    json_object_end(w);
}

static void put_parameter(struct json_writer *w, struct str name, struct str member, struct str value)
{
    json_object_begin(w);
    json_put_str(w, STR("name"), name);
    json_put_str(w, member, value);
    json_object_end(w);
}

static void put_reference(struct json_writer *w, struct str name, struct str url)
{
    json_object_begin(w);
    json_put_str(w, STR("name"), name);
    json_put_object(w, STR("valueReference"));
    json_put_str(w, STR("reference"), url);
    json_object_end(w);
    json_object_end(w);
}

static void put_event(const struct rest_call *call, const struct rest_subscription *s, struct json_writer *w,
                      const struct store_record *r)
{
    char memory[40];
    struct buf instant = buf_over(memory, sizeof memory);
    rest_instant_write(&instant, r->time_us);
    json_object_begin(w);
    json_put_str(w, STR("name"), STR("notification-event"));
    json_put_array(w, STR("part"));
    put_parameter(w, STR("event-number"), STR("valueString"),
                  arena_printf(call->arena, "%llu", (unsigned long long)r->sequence));
    put_parameter(w, STR("timestamp"), STR("valueInstant"), buf_text(&instant));
    if (s->payload != REST_PAYLOAD_EMPTY)
        put_reference(w, STR("focus"), url_of(call, fhir_type_name(r->type), r->id));
    json_array_end(w);
    json_object_end(w);
}

static void put_status(const struct rest_call *call, const struct rest_subscription *s, struct str kind,
                       const struct rest_events *events, struct json_writer *w)
{
    json_object_begin(w);
    json_put_str(w, STR("resourceType"), STR("Parameters"));
    put_profile(w, STR(PROFILE "status-r4"));
    json_put_array(w, STR("parameter"));
    put_reference(w, STR("subscription"), url_of(call, STR("Subscription"), s->id));
    put_parameter(w, STR("topic"), STR("valueCanonical"),
                  arena_printf(call->arena, REST_TOPIC_BASE "%.*s", STR_ARG(s->topic)));
    put_parameter(w, STR("status"), STR("valueCode"), s->is_active ? STR("active") : STR("off"));
    put_parameter(w, STR("type"), STR("valueCode"), kind);
    for (size_t i = 0; events && i < events->n; i++)
        put_event(call, s, w, &events->at[i].record);
    json_array_end(w);
    json_object_end(w);
}

/* What a history says of each entry: which request made it. */
static void put_request(struct json_writer *w, struct str method, struct str url, struct str status)
{
    json_put_object(w, STR("request"));
    json_put_str(w, STR("method"), method);
    json_put_str(w, STR("url"), url);
    json_object_end(w);
    json_put_object(w, STR("response"));
    json_put_str(w, STR("status"), status);
    json_object_end(w);
}

static void put_focus(const struct rest_call *call, const struct rest_subscription *s, struct json_writer *w,
                      const struct store_record *r)
{
    bool is_new = r->verb == STORE_CREATE;
    struct str type = fhir_type_name(r->type);
    json_object_begin(w);
    json_put_str(w, STR("fullUrl"), url_of(call, type, r->id));
    if (s->payload == REST_PAYLOAD_FULL) {
        json_key(w, STR("resource"));
        json_raw(w, r->body);
    }
    put_request(w, is_new ? STR("POST") : STR("PUT"),
                is_new ? type : arena_printf(call->arena, "%.*s/%.*s", STR_ARG(type), STR_ARG(r->id)),
                is_new ? STR("201") : STR("200"));
    json_object_end(w);
}

static size_t bytes_of(const struct rest_call *call, const struct rest_events *events)
{
    size_t n = 4'096 + 4 * call->site->base_url.n;
    for (size_t i = 0; events && i < events->n; i++)
        n += events->at[i].record.body.n + 2 * call->site->base_url.n + 1'024;
    return n;
}

static void put_head(const struct rest_call *call, struct json_writer *w, struct str type)
{
    char memory[40];
    struct buf instant = buf_over(memory, sizeof memory);
    rest_instant_write(&instant, call->now_us);
    json_put_str(w, STR("type"), type);
    json_put_str(w, STR("timestamp"), buf_text(&instant));
    json_put_array(w, STR("entry"));
}

struct str rest_notification_write(const struct rest_call *call, const struct rest_subscription *s,
                                   struct str kind, const struct rest_events *events)
{
    size_t cap = bytes_of(call, events);
    char *memory = arena_bytes(call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    struct json_writer w = json_writer_over(&b);
    struct str url = url_of(call, STR("Subscription"), s->id);
    json_object_begin(&w);
    json_put_str(&w, STR("resourceType"), STR("Bundle"));
    put_profile(&w, STR(PROFILE "notification-r4"));
    put_head(call, &w, STR("history"));
    json_object_begin(&w);
    json_put_str(&w, STR("fullUrl"), arena_printf(call->arena, "%.*s/$status", STR_ARG(url)));
    json_key(&w, STR("resource"));
    put_status(call, s, kind, events, &w);
    put_request(&w, STR("GET"), arena_printf(call->arena, "%.*s/$status", STR_ARG(url)), STR("200"));
    json_object_end(&w);
    for (size_t i = 0; events && s->payload != REST_PAYLOAD_EMPTY && i < events->n; i++)
        put_focus(call, s, &w, &events->at[i].record);
    json_array_end(&w);
    json_object_end(&w);
    return buf_overflowed(&b) || arena_overflowed(call->arena) ? STR_NONE : buf_text(&b);
}

/* ---- operations */

void rest_operation_status(const struct rest_call *call, const struct rest_request *r,
                           struct rest_answer *answer)
{
    struct rest_subscription s;
    size_t cap = bytes_of(call, NULL);
    char *memory = arena_bytes(call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    struct json_writer w = json_writer_over(&b);
    if (!rest_subscription_find(call, r->id, &s, answer))
        return;
    json_object_begin(&w);
    json_put_str(&w, STR("resourceType"), STR("Bundle"));
    put_head(call, &w, STR("searchset"));
    json_object_begin(&w);
    json_key(&w, STR("resource"));
    put_status(call, &s, STR("query-status"), NULL, &w);
    json_put_object(&w, STR("search"));
    json_put_str(&w, STR("mode"), STR("match"));
    json_object_end(&w);
    json_object_end(&w);
    json_array_end(&w);
    json_object_end(&w);
    answer->status = 200;
    answer->body = buf_text(&b);
    if (buf_overflowed(&b))
        rest_refuse_store(call, answer, STORE_NO_MEMORY);
}

/* A worker that holds the connection open answers it by itself (records/stream.c); this is for all others. */
void rest_operation_events(const struct rest_call *call, const struct rest_request *r [[maybe_unused]],
                           struct rest_answer *answer)
{
    rest_refuse(call, answer, 400, "not-supported", STR("http.path"),
                "$events is answered by GET on a connection of its own, not inside a Bundle");
}
