/* rest/request_fields.c - the header fields that steer an interaction (https://hl7.org/fhir/R4/http.html). */
#include "rest/request_parse.h"

#include "base/utc.h"
#include "rest/binary.h"
#include "rest/outcome.h"

static const struct str *field(const struct rest_http *http, const char *name)
{
    for (unsigned i = 0; i < http->field_count; i++)
        if (str_eq_nocase(http->fields[i].name, str_of(name)))
            return &http->fields[i].value;
    return NULL;
}

/* W/"3", "3": the version that a write expects. */
bool request_take_if_match(struct parsing *p)
{
    const struct str *value = field(p->http, "if-match");
    if (!value)
        return true;
    struct str v = str_starts(*value, STR("W/")) ? str_skip(*value, 2) : *value;
    if (v.n < 2 || v.p[0] != '"' || v.p[v.n - 1] != '"' ||
        !str_parse_u64((struct str){v.p + 1, v.n - 2}, &p->request->if_match) ||
        p->request->if_match > INT64_MAX)
        return rest_refuse(p->call, p->answer, 400, "value", STR("http.if-match"),
                           "If-Match needs a version in the form W/\"3\", as the ETag of an answer has it");
    p->request->has_if_match = true;
    return true;
}

static unsigned two_digits(const char *p)
{
    return p[0] >= '0' && p[0] <= '9' && p[1] >= '0' && p[1] <= '9'
               ? (unsigned)(p[0] - '0') * 10 + (unsigned)(p[1] - '0')
               : 1000;
}

bool rest_http_date_parse(struct str t, int64_t *ret)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (t.n != 29 || t.p[3] != ',' || t.p[4] != ' ' || t.p[7] != ' ' || t.p[11] != ' ' || t.p[16] != ' ' ||
        t.p[19] != ':' || t.p[22] != ':' || !str_ends(t, STR(" GMT")))
        return false;
    unsigned month = 0;
    while (month < 12 && memcmp(months + 3 * (size_t)month, t.p + 8, 3) != 0)
        month++;
    unsigned day = two_digits(t.p + 5), year = two_digits(t.p + 12) * 100 + two_digits(t.p + 14),
             hour = two_digits(t.p + 17), minute = two_digits(t.p + 20), second = two_digits(t.p + 23);
    if (month == 12 || day < 1 || day > 31 || year < 1970 || year > 9999 || hour > 23 || minute > 59 ||
        second > 60)
        return false;
    *ret = time_from_civil((int)year, month + 1, day, hour, minute, second);
    return true;
}

void request_take_conditions(struct parsing *p)
{
    struct rest_request *r = p->request;
    const struct str *none = field(p->http, "if-none-match"), *since = field(p->http, "if-modified-since"),
                     *exist = field(p->http, "if-none-exist");
    if (none) {
        r->has_if_none_match = true;
        r->if_none_match = *none;
        r->if_none_match_any = str_eq(str_trim(*none), STR("*"));
    }
    if (since) /* what is no date is passed over (RFC 9110 13.1.3) */
        r->has_if_modified = rest_http_date_parse(*since, &r->if_modified_s);
    if (exist)
        r->if_none_exist = exist->n && exist->p[0] == '?' ? str_skip(*exist, 1) : *exist;
}

void request_take_prefer(struct parsing *p)
{
    const struct str *value = field(p->http, "prefer");
    struct str left = value ? *value : STR_NONE;
    while (left.n) {
        struct str part = str_cut(&left, ',');
        while (part.n) {
            struct str word = str_trim(str_cut(&part, ';'));
            if (str_eq_nocase(word, STR("return=minimal")))
                p->request->wanted = REST_RETURN_MINIMAL;
            else if (str_eq_nocase(word, STR("return=representation")))
                p->request->wanted = REST_RETURN_REPRESENTATION;
            else if (str_eq_nocase(word, STR("return=OperationOutcome")))
                p->request->wanted = REST_RETURN_OUTCOME;
            else if (str_eq_nocase(word, STR("handling=lenient")))
                p->request->is_lenient = true;
        }
    }
}

/* "q=0.8" in thousandths; without one 1000. */
static unsigned quality_of(struct str parameters)
{
    while (parameters.n) {
        struct str word = str_trim(str_cut(&parameters, ';'));
        if (word.n < 3 || ascii_lower(word.p[0]) != 'q' || word.p[1] != '=')
            continue;
        unsigned value = word.p[2] == '1' ? 1000 : 0, weight = 100;
        for (size_t i = 4; i < word.n && weight && value < 1000; i++, weight /= 10)
            value += word.p[i] >= '0' && word.p[i] <= '9' ? (unsigned)(word.p[i] - '0') * weight : 0;
        return value;
    }
    return 1000;
}

/* The best that is accepted; at equal worth the first one named, and JSON for "any". */
void request_take_accept(struct parsing *p)
{
    const struct str *value = field(p->http, "accept");
    struct str left = value ? *value : STR_NONE;
    unsigned best = 0;
    bool known = !left.n;
    p->request->format = REST_JSON;
    while (left.n) {
        struct str parameters = str_cut(&left, ',');
        struct str media = str_trim(str_cut(&parameters, ';'));
        enum rest_format format = REST_JSON;
        unsigned quality = quality_of(parameters);
        if (str_starts(media, STR("text/html")) || quality <= best)
            continue;
        if (!request_format_of(media, &format) && !str_eq(media, STR("*/*")) &&
            !str_eq_nocase(media, STR("application/*")))
            continue;
        best = quality;
        known = true;
        p->request->format = format;
        p->request->is_fhir_asked = str_starts(media, STR("application/fhir+"));
    }
    p->request->is_acceptable = known;
}

/* Operations that answer in a form of their own: a stream of events, files of an export. */
static bool has_own_form(const struct rest_request *r)
{
    return r->interaction == REST_OPERATION &&
           (str_eq(r->operation, STR("events")) || str_eq(r->operation, STR("export-file")));
}

bool request_check_accept(struct parsing *p)
{
    struct rest_request *r = p->request;
    bool is_read = r->interaction == REST_READ || r->interaction == REST_VREAD;
    r->is_native = is_read && !r->is_fhir_asked && str_eq(fhir_type_name(r->type), STR("Binary"));
    if (r->is_native) {
        r->summary = FHIR_SUMMARY_FALSE;
        r->element_count = 0;
    }
    return r->is_acceptable || r->is_native || has_own_form(r) ||
           rest_refuse(p->call, p->answer, 406, "not-supported", STR("http.accept"),
                       "what is accepted cannot be had here: application/fhir+json or application/fhir+xml");
}

bool request_take_content_type(struct parsing *p)
{
    const struct str *value = field(p->http, "content-type"), *encoding = field(p->http, "content-encoding");
    struct rest_request *r = p->request;
    struct str left = value ? *value : STR_NONE;
    struct str media = str_trim(str_cut(&left, ';'));
    bool is_search = r->interaction == REST_SEARCH || r->interaction == REST_SEARCH_SYSTEM;
    r->body = p->http->body;
    r->is_content = rest_binary_is_content(r, media, r->body);
    if (!r->body.n)
        return true;
    if (encoding && !str_eq_nocase(*encoding, STR("identity")))
        return rest_refuse(p->call, p->answer, 415, "not-supported", STR("http.content-encoding"),
                           "bodies are taken as they are, not compressed");
    if (r->is_content)
        return true;
    if (is_search && str_eq_nocase(media, STR("application/x-www-form-urlencoded"))) {
        r->form = r->body;
        return true;
    }
    r->is_patch_json = str_eq_nocase(media, STR("application/json-patch+json"));
    if (!is_search &&
        ((r->interaction == REST_PATCH && r->is_patch_json) || request_format_of(media, &r->body_format))) {
        r->is_patch_path = r->interaction == REST_PATCH && !r->is_patch_json;
        return true;
    }
    return rest_refuse(p->call, p->answer, 415, "not-supported", STR("http.content-type"),
                       is_search ? "the parameters of a search come as application/x-www-form-urlencoded"
                       : r->interaction == REST_PATCH
                           ? "a patch comes as application/json-patch+json, application/fhir+json or "
                             "application/fhir+xml"
                           : "a resource comes as application/fhir+json or application/fhir+xml");
}
