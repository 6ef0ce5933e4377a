/* rest/request_parameters.c - what stands behind the '?', but for what searches and operations read
 * themselves. */
#include "rest/request_parse.h"

#include "rest/outcome.h"

/* ---- pairs */

static int hex_of(char c)
{
    c = ascii_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(struct str in, struct arena *arena, struct str *ret)
{
    char *to = arena_bytes(arena, in.n + 1);
    size_t n = 0;
    for (size_t i = 0; to && i < in.n; i++) {
        int high = i + 2 < in.n ? hex_of(in.p[i + 1]) : -1, low = i + 2 < in.n ? hex_of(in.p[i + 2]) : -1;
        if (in.p[i] != '%') {
            to[n++] = in.p[i] == '+' ? ' ' : in.p[i];
            continue;
        }
        if (high < 0 || low < 0)
            return false;
        to[n++] = (char)(high << 4 | low);
        i += 2;
    }
    *ret = (struct str){to, n};
    return to != NULL;
}

bool rest_pairs_parse(struct str encoded, struct arena *arena, struct rest_pair **ret, unsigned *ret_count)
{
    unsigned count = 0, most = 1;
    for (size_t i = 0; i < encoded.n; i++)
        most += encoded.p[i] == '&';
    if (most > FHIR_QUERY_PAIRS_MAX)
        return false;
    struct rest_pair *pairs = arena_alloc(arena, most * sizeof *pairs);
    while (pairs && encoded.n) {
        struct str value = str_cut(&encoded, '&');
        struct str name = str_cut(&value, '=');
        if (!name.n && !value.n)
            continue;
        if (!decode(name, arena, &pairs[count].name) || !decode(value, arena, &pairs[count].value))
            return false;
        count++;
    }
    *ret = pairs;
    *ret_count = count;
    return pairs != NULL;
}

/* ---- parameters of what is no search */

static bool bad_parameter(struct parsing *p, const struct rest_pair *pair, const char *hint)
{
    return rest_refuse(p->call, p->answer, 400, "value",
                       arena_printf(p->call->arena, "http.%.*s", STR_ARG(str_take(pair->name, 64))),
                       "\"%.*s\" cannot be the value of %.*s: %s", STR_ARG(str_take(pair->value, 80)),
                       STR_ARG(str_take(pair->name, 64)), hint);
}

bool request_format_of(struct str media, enum rest_format *ret)
{
    static const char *const json[] = {"json", "application/json", "application/fhir+json", "text/json"},
                             *const xml[] = {"xml", "application/xml", "application/fhir+xml", "text/xml"};
    for (size_t i = 0; i < 4; i++) {
        if (str_eq_nocase(media, str_of(json[i])) || str_eq_nocase(media, str_of(xml[i]))) {
            *ret = str_eq_nocase(media, str_of(xml[i])) ? REST_XML : REST_JSON;
            return true;
        }
    }
    return false;
}

/* A '+' in a query is a blank: "application/fhir+json" comes so from whoever does not know. */
static struct str media_of(const struct rest_call *call, struct str value)
{
    struct str rest = value;
    struct str media = arena_copy(call->arena, str_trim(str_cut(&rest, ';')));
    ptrdiff_t blank = str_find_char(media, ' ');
    if (blank < 0)
        return media;
    return arena_printf(call->arena, "%.*s+%.*s", (int)blank, media.p,
                        STR_ARG(str_skip(media, (size_t)blank + 1)));
}

static bool take_summary(struct parsing *p, const struct rest_pair *pair)
{
    static const struct {
        const char *word;
        enum fhir_summary summary;
    } words[] = {{"true", FHIR_SUMMARY_TRUE},
                 {"false", FHIR_SUMMARY_FALSE},
                 {"text", FHIR_SUMMARY_TEXT},
                 {"data", FHIR_SUMMARY_DATA},
                 {"count", FHIR_SUMMARY_COUNT}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq(pair->value, str_of(words[i].word))) {
            p->request->summary = words[i].summary;
            return true;
        }
    return bad_parameter(p, pair, "true, false, text, data or count");
}

static bool take_elements(struct parsing *p, const struct rest_pair *pair)
{
    struct str left = pair->value;
    unsigned most = 1, n = 0;
    for (size_t i = 0; i < left.n; i++)
        most += left.p[i] == ',';
    struct str *names =
        most <= FHIR_QUERY_ELEMENTS_MAX ? arena_alloc(p->call->arena, most * sizeof *names) : NULL;
    if (!names)
        return bad_parameter(p, pair, "too many elements");
    while (left.n) {
        struct str name = str_trim(str_cut(&left, ','));
        struct str rest = name;
        struct str head = str_cut(&rest, '.');
        names[n++] =
            rest.n && p->request->type && str_eq(head, fhir_type_name(p->request->type)) ? rest : name;
    }
    p->request->elements = names;
    p->request->element_count = n;
    return true;
}

/* Of every interaction. */
static bool take_common(struct parsing *p, const struct rest_pair *pair, bool *ret_taken)
{
    *ret_taken = true;
    p->request->is_fhir_asked |= str_eq(pair->name, STR("_format"));
    p->request->is_acceptable |= str_eq(pair->name, STR("_format")); /* it overrides Accept */
    if (str_eq(pair->name, STR("_format")))
        return request_format_of(media_of(p->call, pair->value), &p->request->format) ||
               rest_refuse(p->call, p->answer, 406, "not-supported", STR("http._format"),
                           "this format is not known: json or xml");
    if (str_eq(pair->name, STR("_pretty"))) {
        p->request->is_pretty = str_eq(pair->value, STR("true"));
        return p->request->is_pretty || str_eq(pair->value, STR("false")) ||
               bad_parameter(p, pair, "true or false");
    }
    if (str_eq(pair->name, STR("_summary")))
        return take_summary(p, pair);
    if (str_eq(pair->name, STR("_elements")))
        return take_elements(p, pair);
    *ret_taken = false;
    return true;
}

static bool take_of_history(struct parsing *p, const struct rest_pair *pair, bool *ret_taken)
{
    struct rest_request *r = p->request;
    struct fhir_moment moment;
    uint64_t count;
    *ret_taken = true;
    if (str_eq(pair->name, STR("_count"))) {
        if (!str_parse_u64(pair->value, &count) || count == 0)
            return bad_parameter(p, pair, "a number from 1 on");
        r->count =
            count < p->call->site->page_entries_max ? (uint32_t)count : p->call->site->page_entries_max;
        return true;
    }
    if (str_eq(pair->name, rest_page_parameter)) {
        r->position = pair->value;
        return true;
    }
    bool is_since = str_eq(pair->name, STR("_since"));
    *ret_taken = is_since || str_eq(pair->name, STR("_at"));
    if (!*ret_taken)
        return true;
    if (!fhir_moment_parse(pair->value, &moment) || moment.kind == FHIR_MOMENT_TIME)
        return bad_parameter(p, pair, is_since ? "a moment: 2026-01-31T09:41:07Z" : "a date or a moment");
    if (is_since)
        r->since_us = moment.low_us;
    else {
        r->at_low_us = moment.low_us;
        r->at_high_us = moment.high_us;
    }
    return true;
}

/* Searches, conditions and operations have parameters of their own, which are read elsewhere. */
static bool reads_own_query(const struct rest_request *r)
{
    return r->interaction == REST_SEARCH || r->interaction == REST_SEARCH_SYSTEM ||
           r->interaction == REST_OPERATION ||
           (r->shape == REST_SHAPE_TYPE && r->writes && r->interaction != REST_CREATE);
}

bool request_take_parameters(struct parsing *p)
{
    struct rest_pair *pairs;
    unsigned count;
    if (!p->http->query.n)
        return true;
    if (!rest_pairs_parse(p->http->query, p->call->arena, &pairs, &count))
        return rest_refuse(
            p->call, p->answer, 400, "invalid", STR("http.query"),
            "the query cannot be read: a '%%' needs two hexadecimal digits, and there may be %u "
            "parameters at most",
            FHIR_QUERY_PAIRS_MAX);
    for (unsigned i = 0; i < count; i++) {
        bool taken, own = reads_own_query(p->request);
        if (!take_common(p, &pairs[i], &taken))
            return false;
        if (!taken && p->request->interaction == REST_HISTORY && !take_of_history(p, &pairs[i], &taken))
            return false;
        if (!taken && !own && !p->request->is_lenient)
            return rest_refuse(
                p->call, p->answer, 400, "not-supported",
                arena_printf(p->call->arena, "http.%.*s", STR_ARG(str_take(pairs[i].name, 64))),
                "a %.*s has no parameter \"%.*s\"", STR_ARG(rest_interaction_name(p->request->interaction)),
                STR_ARG(str_take(pairs[i].name, 64)));
    }
    return true;
}
