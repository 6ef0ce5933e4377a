#include "http/message.h"

#include "http/chars.h"

enum { NAME_MAX_KNOWN = 25, NAMES_OF_ONE_LENGTH = 5 };

/* Names by their length: at most a few must be looked at. */
static const struct known_name {
    const char *lower; /* NULL: no more */
    enum http_field_id id;
} known_names[NAME_MAX_KNOWN + 1][NAMES_OF_ONE_LENGTH + 1] = {
    [2] = {{"te", FIELD_TE}},
    [3] = {{"via", FIELD_VIA}},
    [4] = {{"host", FIELD_HOST}, {"date", FIELD_DATE}},
    [6] = {{"accept", FIELD_ACCEPT},
           {"cookie", FIELD_COOKIE},
           {"server", FIELD_SERVER},
           {"expect", FIELD_EXPECT}},
    [7] = {{"upgrade", FIELD_UPGRADE}, {"trailer", FIELD_TRAILER}},
    [9] = {{"forwarded", FIELD_FORWARDED}, {"x-real-ip", FIELD_X_REAL_IP}},
    [10] = {{"user-agent", FIELD_USER_AGENT},
            {"connection", FIELD_CONNECTION},
            {"set-cookie", FIELD_SET_COOKIE},
            {"keep-alive", FIELD_KEEP_ALIVE},
            {"tracestate", FIELD_TRACESTATE}},
    [11] = {{"traceparent", FIELD_TRACEPARENT}, {"retry-after", FIELD_RETRY_AFTER}},
    [12] = {{"content-type", FIELD_CONTENT_TYPE}, {"x-request-id", FIELD_X_REQUEST_ID}},
    [14] = {{"content-length", FIELD_CONTENT_LENGTH}, {"http2-settings", FIELD_HTTP2_SETTINGS}},
    [15] = {{"accept-language", FIELD_ACCEPT_LANGUAGE}, {"x-forwarded-for", FIELD_X_FORWARDED_FOR}},
    [16] = {{"x-forwarded-host", FIELD_X_FORWARDED_HOST},
            {"x-forwarded-port", FIELD_X_FORWARDED_PORT},
            {"proxy-connection", FIELD_PROXY_CONNECTION}},
    [17] = {{"transfer-encoding", FIELD_TRANSFER_ENCODING},
            {"x-forwarded-proto", FIELD_X_FORWARDED_PROTO},
            {"sec-websocket-key", FIELD_SEC_WEBSOCKET_KEY}},
    [20] = {{"sec-websocket-accept", FIELD_SEC_WEBSOCKET_ACCEPT}},
    [21] = {{"sec-websocket-version", FIELD_SEC_WEBSOCKET_VERSION}},
    [25] = {{"strict-transport-security", FIELD_STRICT_TRANSPORT_SECURITY}},
};

/* Do the first n bytes of a token say `lower`? Setting bit 5 folds letters, and leaves digits and '-' as they
 * are; no other token character becomes one of these by it. */
static inline bool folds_to(const char *name, const char *lower, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((name[i] | 0x20) != lower[i])
            return false;
    return true;
}

static enum http_field_id id_of_family(struct str name)
{
    if (name.n >= 9 && folds_to(name.p, "x-polder-", 9))
        return FIELD_POLDER;
    if (name.n >= 12 && folds_to(name.p, "x-forwarded-", 12))
        return FIELD_X_FORWARDED_OTHER;
    return FIELD_OTHER;
}

enum http_field_id http_field_id(struct str name)
{
    if (name.n <= NAME_MAX_KNOWN)
        for (const struct known_name *known = known_names[name.n]; known->lower; known++)
            if (folds_to(name.p, known->lower, name.n))
                return known->id;
    return name.n && (name.p[0] | 0x20) == 'x' ? id_of_family(name) : FIELD_OTHER;
}

enum http_method http_method_of(struct str token)
{
    static const struct {
        struct str text;
        enum http_method method;
    } methods[] = {
        {{"GET", 3}, METHOD_GET},         {{"POST", 4}, METHOD_POST},       {{"HEAD", 4}, METHOD_HEAD},
        {{"PUT", 3}, METHOD_PUT},         {{"DELETE", 6}, METHOD_DELETE},   {{"PATCH", 5}, METHOD_PATCH},
        {{"OPTIONS", 7}, METHOD_OPTIONS}, {{"CONNECT", 7}, METHOD_CONNECT}, {{"TRACE", 5}, METHOD_TRACE},
    };
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (str_eq(token, methods[i].text))
            return methods[i].method;
    return METHOD_OTHER;
}

bool http_method_is_safe(enum http_method method)
{
    return method == METHOD_GET || method == METHOD_HEAD || method == METHOD_OPTIONS ||
           method == METHOD_TRACE;
}

bool http_method_is_idempotent(enum http_method method)
{
    return http_method_is_safe(method) || method == METHOD_PUT || method == METHOD_DELETE;
}

const struct http_field *http_find(const struct http_field *fields, unsigned count, enum http_field_id id)
{
    for (unsigned i = 0; i < count; i++)
        if (fields[i].id == id)
            return &fields[i];
    return NULL;
}

bool http_list_has(struct str value, struct str token)
{
    while (value.p) {
        struct str member = str_trim(str_cut(&value, ','));
        if (str_eq_nocase(member, token))
            return true;
    }
    return false;
}

bool http_cookie_get(struct str cookie_field_value, struct str name, struct str *ret_value)
{
    struct str rest = cookie_field_value;
    while (rest.p) {
        struct str value = str_trim(str_cut(&rest, ';'));
        struct str found = str_cut(&value, '=');
        if (!value.p || !str_eq(found, name))
            continue;
        if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
            value = str_take(str_skip(value, 1), value.n - 2);
        *ret_value = value;
        return true;
    }
    return false;
}

struct str http_reason(uint16_t status)
{
    switch (status) {
#define REASON(number, text)                                                                                 \
    case number:                                                                                             \
        return STR(text);
#include "http/reasons.def"
#undef REASON
    default:
        return STR("");
    }
}

static void write_two(char *at, unsigned value)
{
    at[0] = (char)('0' + value / 10);
    at[1] = (char)('0' + value % 10);
}

struct civil {
    unsigned year, month, day; /* month 0..11, day 1..31 */
};

/* Days since 1970-01-01 to the proleptic Gregorian calendar. Years are counted from March, so that the leap
 * day is the last of its year, and in eras of 400 years (146,097 days), which all look alike. */
static struct civil civil_of_days(uint32_t days)
{
    uint32_t since_era_0 = days + 719468; /* from 0000-03-01 to 1970-01-01 */
    uint32_t era = since_era_0 / 146097, in_era = since_era_0 % 146097;
    uint32_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    uint32_t in_year = in_era - (365 * year + year / 4 - year / 100);
    uint32_t from_march = (5 * in_year + 2) / 153; /* months of 31, 30, 31, 30, 31: 153 days in 5 */
    struct civil c = {.day = in_year - (153 * from_march + 2) / 5 + 1};
    c.month = (from_march + 2) % 12;
    c.year = year + era * 400 + (c.month < 2);
    return c;
}

void http_date_write(struct buf *b, int64_t unix_seconds)
{
    static const char week_days[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const int64_t last_second = 253402300799; /* 9999-12-31: the grammar has four digits */
    char text[] = "Thu, 01 Jan 1970 00:00:00 GMT";
    uint64_t at = unix_seconds < 0 ? 0 : (uint64_t)(unix_seconds < last_second ? unix_seconds : last_second);
    uint32_t days = (uint32_t)(at / 86400), second = (uint32_t)(at % 86400);
    struct civil c = civil_of_days(days);
    memcpy(text, week_days + 3 * (size_t)(days % 7), 3);
    write_two(text + 5, c.day);
    memcpy(text + 8, months + 3 * (size_t)c.month, 3);
    write_two(text + 12, c.year / 100);
    write_two(text + 14, c.year % 100);
    write_two(text + 17, second / 3600);
    write_two(text + 20, second / 60 % 60);
    write_two(text + 23, second % 60);
    buf_add(b, text, sizeof text - 1);
}

struct refusal_row {
    uint16_t status;
    struct str name, text;
};

static const struct refusal_row refusals[REFUSAL_COUNT] = {
    [REFUSAL_NONE] = {200, {"none", 4}, {"", 0}},
#define REFUSAL(name, label, status, text)                                                                   \
    [REFUSAL_##name] = {status, {label, sizeof(label) - 1}, {text, sizeof(text) - 1}},
#include "http/refusals.def"
#undef REFUSAL
};

static const struct refusal_row *refusal_row(enum http_refusal refusal)
{
    return &refusals[(unsigned)refusal < REFUSAL_COUNT ? refusal : REFUSAL_NONE];
}

uint16_t http_refusal_status(enum http_refusal refusal)
{
    return refusal_row(refusal)->status;
}

struct str http_refusal_name(enum http_refusal refusal)
{
    return refusal_row(refusal)->name;
}

struct str http_refusal_text(enum http_refusal refusal)
{
    return refusal_row(refusal)->text;
}
