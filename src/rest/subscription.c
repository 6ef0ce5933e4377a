/* rest/subscription.c - what a Subscription asks for, and which changes fit it. See subscription.h. */
#include "rest/subscription.h"

#include "base/must.h"
#include "fhir/moment.h"
#include "rest/document.h"
#include "rest/outcome.h"
#include "rest/read.h"
#include "rest/write.h"

#define BACKPORT "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"

enum { FILTERS_MAX = 20, TRIGGERS_MAX = 8, HEARTBEAT_MAX_S = 3'600 };

/* ---- topics */

struct trigger {
    struct str topic, type, query;
};

#define TOPIC(name, title) {STR(name), STR(title)},
#define TRIGGER(name, type, query)
static const struct rest_topic topics[] = {
#include "rest/topics.def"
};
#define TOPIC(name, title)
#define TRIGGER(name, type, query) {STR(name), STR(type), STR(query)},
static const struct trigger triggers[] = {
#include "rest/topics.def"
};
enum { TOPICS = sizeof topics / sizeof *topics, TRIGGERS = sizeof triggers / sizeof *triggers };

const struct rest_topic *rest_topic_at(unsigned index)
{
    return index < TOPICS ? &topics[index] : NULL;
}

static bool has_topic(struct str name)
{
    for (unsigned i = 0; i < TOPICS; i++)
        if (str_eq(topics[i].name, name))
            return true;
    return false;
}

static const struct trigger *trigger_of(struct str topic, struct str type)
{
    for (unsigned i = 0; i < TRIGGERS; i++)
        if (str_eq(triggers[i].topic, topic) && str_eq(triggers[i].type, type))
            return &triggers[i];
    return NULL;
}

/* ---- reading one */

struct reading {
    const struct rest_call *call;
    const struct json_tape *tape;
    struct rest_answer *answer;
    struct rest_subscription *ret;
};

static uint32_t at(const struct reading *r, uint32_t object, const char *name)
{
    return object == JSON_NONE ? JSON_NONE : fhir_member(r->tape, object, str_of(name));
}

static struct str text(const struct reading *r, uint32_t object, const char *name)
{
    return object == JSON_NONE ? STR_NONE : fhir_member_text(r->tape, object, str_of(name), r->call->arena);
}

/* The next extension of that name behind *io_at (JSON_NONE: from the first on), or JSON_NONE. */
static uint32_t next_extension(const struct reading *r, uint32_t object, const char *url, uint32_t *io_left,
                               uint32_t *io_at)
{
    uint32_t list = at(r, object, "extension");
    if (*io_at == JSON_NONE) {
        bool is_list = list != JSON_NONE && json_type(r->tape, list) == JSON_ARRAY;
        *io_left = is_list ? json_count(r->tape, list) : 0;
        *io_at = *io_left ? json_first(r->tape, list) : 0;
    }
    while (*io_left) {
        uint32_t found = *io_at;
        --*io_left;
        *io_at = json_next(r->tape, found);
        if (str_eq(text(r, found, "url"), str_of(url)))
            return found;
    }
    return JSON_NONE;
}

static uint32_t extension(const struct reading *r, uint32_t object, const char *url)
{
    uint32_t left = 0, place = JSON_NONE;
    return next_extension(r, object, url, &left, &place);
}

static bool check_filter(const struct reading *r, struct str filter)
{
    struct str query = filter, name = str_cut(&query, '?');
    const struct fhir_type *type = fhir_type_find(name);
    struct fhir_search_query parsed;
    if (!type || !trigger_of(r->ret->topic, name))
        return rest_refuse(
            r->call, r->answer, 422, "value", STR("Subscription.criteria.extension"),
            "the filter \"%.*s\" is none of this topic: it begins with a type of which the topic tells, and "
            "a '?'",
            STR_ARG(str_take(filter, 200)));
    if (!rest_query_parse(r->call, type, query, &parsed, r->answer))
        return false;
    return (parsed.criterion_count && !parsed.include_count && !parsed.revinclude_count) ||
           rest_refuse(r->call, r->answer, 422, "value", STR("Subscription.criteria.extension"),
                       "a filter has criteria of a search and nothing else");
}

static bool read_filters(struct reading *r)
{
    uint32_t companion = at(r, 0, "_criteria"), left = 0, place = JSON_NONE, found;
    struct rest_subscription *s = r->ret;
    s->filters = arena_alloc(r->call->arena, FILTERS_MAX * sizeof *s->filters);
    if (!s->filters)
        return rest_refuse_store(r->call, r->answer, STORE_NO_MEMORY);
    while ((found = next_extension(r, companion, BACKPORT "filter-criteria", &left, &place)) != JSON_NONE) {
        struct str filter = text(r, found, "valueString");
        if (s->filter_count == FILTERS_MAX)
            return rest_refuse(r->call, r->answer, 422, "too-costly", STR("Subscription.criteria.extension"),
                               "more than %u filters", FILTERS_MAX);
        if (!check_filter(r, filter))
            return false;
        s->filters[s->filter_count++] = filter;
    }
    return true;
}

static bool read_topic(struct reading *r)
{
    static const struct str base = STR(REST_TOPIC_BASE);
    struct str criteria = text(r, 0, "criteria");
    r->ret->topic = str_starts(criteria, base) ? str_skip(criteria, base.n) : STR_NONE;
    return has_topic(r->ret->topic) ||
           rest_refuse(r->call, r->answer, 422, "not-supported", STR("Subscription.criteria"),
                       "\"%.*s\" is no topic of this server: its topics stand in [base]/metadata",
                       STR_ARG(str_take(criteria, 200)));
}

static bool read_channel(struct reading *r)
{
    uint32_t channel = at(r, 0, "channel");
    uint32_t kind = extension(r, at(r, channel, "_type"), BACKPORT "channel-type");
    struct str code =
        kind == JSON_NONE ? text(r, channel, "type") : text(r, at(r, kind, "valueCoding"), "code");
    if (kind == JSON_NONE || !str_eq(code, STR("server-sent-events")))
        return rest_refuse(r->call, r->answer, 422, "not-supported", STR("Subscription.channel.type"),
                           "the channel \"%.*s\" is not supported: server-sent-events is, by the extension "
                           "backport-channel-type",
                           STR_ARG(str_take(code, 64)));
    uint32_t beat = extension(r, channel, BACKPORT "heartbeat-period");
    uint64_t seconds = 0;
    if (beat != JSON_NONE &&
        (!str_parse_u64(text(r, beat, "valueUnsignedInt"), &seconds) || seconds > HEARTBEAT_MAX_S))
        return rest_refuse(r->call, r->answer, 422, "value", STR("Subscription.channel.extension"),
                           "a heartbeat comes every %u seconds at least", HEARTBEAT_MAX_S);
    r->ret->heartbeat_s = (uint32_t)seconds;
    return true;
}

static bool read_payload(struct reading *r)
{
    static const struct str words[] = {STR("empty"), STR("id-only"), STR("full-resource")};
    uint32_t channel = at(r, 0, "channel");
    uint32_t found = extension(r, at(r, channel, "_payload"), BACKPORT "payload-content");
    struct str media = text(r, channel, "payload"),
               word = found == JSON_NONE ? words[REST_PAYLOAD_ID] : text(r, found, "valueCode");
    if (media.n && !str_eq(media, STR("application/fhir+json")))
        return rest_refuse(r->call, r->answer, 422, "not-supported", STR("Subscription.channel.payload"),
                           "notifications are application/fhir+json");
    for (unsigned i = 0; i < 3; i++)
        if (str_eq(word, words[i])) {
            r->ret->payload = (enum rest_payload)i;
            return true;
        }
    return rest_refuse(r->call, r->answer, 422, "value", STR("Subscription.channel.payload"),
                       "a payload is empty, id-only or full-resource");
}

static bool read_status(struct reading *r)
{
    struct str status = text(r, 0, "status"), end = text(r, 0, "end");
    struct fhir_moment moment;
    r->ret->end_us = INT64_MAX;
    if (end.n && fhir_moment_parse(end, &moment))
        r->ret->end_us = moment.low_us;
    r->ret->is_active =
        !str_eq(status, STR("off")) && !str_eq(status, STR("error")) && r->call->now_us < r->ret->end_us;
    return true;
}

bool rest_subscription_read(const struct rest_call *call, const struct json_tape *tape, uint32_t object,
                            struct rest_subscription *ret, struct rest_answer *answer)
{
    struct reading r = {call, tape, answer, ret};
    *ret = (struct rest_subscription){.id = fhir_member_text(tape, object, STR("id"), call->arena)};
    return read_topic(&r) && read_filters(&r) && read_channel(&r) && read_payload(&r) && read_status(&r);
}

bool rest_subscription_find(const struct rest_call *call, struct str id, struct rest_subscription *ret,
                            struct rest_answer *answer)
{
    struct store_record record;
    struct json_tape tape;
    enum store_result result = store_read(call->site->store, call->view, fhir_type_find(STR("Subscription")),
                                          id, call->arena, &record);
    if (result != STORE_FINE)
        return rest_refuse_store(call, answer, result);
    if (rest_json_parse(record.body, call->arena, &tape, NULL) != JSON_FINE)
        return rest_refuse_store(call, answer, STORE_NO_MEMORY);
    rest_touch(call, answer, record.type, id, record.version, STR_NONE);
    return rest_subscription_read(call, &tape, 0, ret, answer);
}

/* ---- writing one */

static bool reparse(const struct rest_call *call, struct str text_of, struct json_tape *ret,
                    struct rest_answer *answer)
{
    return (text_of.n && rest_json_parse(text_of, call->arena, ret, NULL) == JSON_FINE) ||
           rest_refuse_store(call, answer, STORE_NO_MEMORY);
}

static bool activate(const struct rest_call *call, struct json_tape *io_tape, struct rest_answer *answer)
{
    uint32_t status = fhir_member(io_tape, 0, STR("status"));
    struct rest_edits edits = {0};
    if (status == JSON_NONE || !str_eq(json_text(io_tape, status), STR("requested")))
        return true;
    struct str old = json_source(io_tape, status), whole = json_source(io_tape, 0);
    rest_edit_add(&edits, call->arena, (size_t)(old.p - io_tape->text.p), old.n, STR("\"active\""));
    return reparse(call, rest_edits_apply(&edits, whole, (size_t)(whole.p - io_tape->text.p), call->arena),
                   io_tape, answer);
}

bool rest_subscription_settle(const struct rest_call *call, struct json_tape *io_tape,
                              struct rest_answer *answer)
{
    struct rest_subscription read;
    const struct access_decision *d = call->decision;
    if (!rest_subscription_read(call, io_tape, 0, &read, answer) || !activate(call, io_tape, answer))
        return false;
    return !d || d->kind == ACCESS_CLUSTER ||
           reparse(
               call,
               rest_meta_tagged(call, io_tape, STR(REST_SUBSCRIBER), d->organisations, d->organisation_count),
               io_tape, answer);
}

/* ---- events */

/* "_id=x", the trigger's own criteria and those of all filters on this type. */
static struct str query_of(const struct rest_call *call, const struct rest_subscription *s,
                           const struct store_record *r)
{
    struct str type = fhir_type_name(r->type);
    const struct trigger *t = trigger_of(s->topic, type);
    must(t); /* only changes of the topic's types are looked at */
    struct str query =
        arena_printf(call->arena, "_id=%.*s%s%.*s", STR_ARG(r->id), t->query.n ? "&" : "", STR_ARG(t->query));
    for (unsigned i = 0; i < s->filter_count; i++) {
        struct str filter = s->filters[i], name = str_cut(&filter, '?');
        if (str_eq(name, type))
            query = arena_printf(call->arena, "%.*s&%.*s", STR_ARG(query), STR_ARG(filter));
    }
    return query;
}

/* Filters are asked of what the resource is now. */
static enum store_result fits(const struct rest_call *call, const struct rest_subscription *s,
                              const struct store_record *r, bool *ret)
{
    struct fhir_search_query query;
    struct rest_answer refused = {0};
    struct store_found found = {0};
    *ret = false;
    if (r->verb == STORE_DELETE || !rest_query_parse(call, r->type, query_of(call, s, r), &query, &refused))
        return STORE_FINE;
    struct store_search search = {.query = &query, .count = 1, .no_bodies = true};
    enum store_result result = store_search(call->site->store, call->view, &search, call->arena, &found);
    *ret = result == STORE_FINE && found.match_count == 1;
    return result;
}

static size_t list_types(const struct rest_subscription *s, const struct fhir_type **ret)
{
    size_t n = 0;
    for (unsigned i = 0; i < TRIGGERS && n < TRIGGERS_MAX; i++)
        if (str_eq(triggers[i].topic, s->topic))
            ret[n++] = fhir_type_find(triggers[i].type);
    return n;
}

enum store_result rest_subscription_events(const struct rest_call *call, const struct rest_subscription *s,
                                           uint64_t after, unsigned count, struct rest_events *ret)
{
    const struct fhir_type *types[TRIGGERS_MAX];
    struct store_changes asked = {.after = after, .count = count, .types = types};
    struct store_change_page page = {0};
    struct rest_events events = {.at = arena_alloc(call->arena, (count + 1) * sizeof *events.at)};
    asked.type_count = list_types(s, types);
    if (!events.at)
        return STORE_NO_MEMORY;
    enum store_result result = store_changes(call->site->store, call->view, &asked, call->arena, &page);
    for (size_t i = 0; i < page.n && result == STORE_FINE; i++) {
        bool is_event;
        result = fits(call, s, &page.records[i], &is_event);
        if (result == STORE_FINE && is_event)
            events.at[events.n++].record = page.records[i];
    }
    events.upto = page.upto;
    events.has_more = page.has_more;
    if (result == STORE_FINE)
        *ret = events;
    return result;
}
