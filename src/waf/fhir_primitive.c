/* FHIR's primitive types: is a value valid, and is it harmless. Syntax of
 * https://hl7.org/fhir/R4/datatypes.html#primitive; what harmless means, type by type, and why, stands in
 * docs/care-traffic.md. The empty value says nothing and is harmless everywhere. */
#include "waf/fhir.h"

enum { WORD_MAX = 128, NUMBER_MAX = 40, ID_MAX = 64 };

bool fhir_has_control(struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        uint8_t c = (uint8_t)value.p[i];
        if ((c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            return true;
    }
    return false;
}

/* Letters and digits, between them single separators: '-' and '_' before either, '.', ':' and '+' before a
 * digit. So no path, no call, no comment, no operator, no file with an extension. */
bool fhir_is_token(struct str value)
{
    if (!value.n || value.n > WORD_MAX || !is_alnum(value.p[0]))
        return false;
    for (size_t i = 1; i < value.n; i++) {
        char c = value.p[i], next = i + 1 < value.n ? value.p[i + 1] : 0;
        bool is_joint = (c == '-' || c == '_') && is_alnum(next);
        bool is_point = (c == '.' || c == ':' || c == '+') && is_digit(next);
        if (!is_alnum(c) && !is_joint && !is_point)
            return false;
    }
    return true;
}

bool fhir_is_id(struct str value)
{
    return value.n <= ID_MAX && fhir_is_token(value) && str_find_char(value, ':') < 0 &&
           str_find_char(value, '+') < 0 && str_find_char(value, '_') < 0;
}

static bool is_made_of(struct str value, const char *more, bool takes_letters)
{
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (!is_digit(c) && !(takes_letters && is_alnum(c)) && !(c && strchr(more, c)))
            return false;
    }
    return true;
}

/* ---- numbers */

static void skip_digits(struct str *rest)
{
    while (rest->n && is_digit(rest->p[0]))
        *rest = str_skip(*rest, 1);
}

static bool take_char(struct str *rest, const char *any)
{
    bool is_there = rest->n && rest->p[0] && strchr(any, rest->p[0]);
    *rest = str_skip(*rest, is_there);
    return is_there;
}

/* Digits without a leading zero. */
static bool take_whole(struct str *rest)
{
    size_t n = rest->n;
    if (take_char(rest, "0"))
        return true;
    skip_digits(rest);
    return rest->n < n;
}

static bool take_digits(struct str *rest)
{
    size_t n = rest->n;
    skip_digits(rest);
    return rest->n < n;
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? and no more digits than a number can have */
static bool is_decimal(struct str value)
{
    struct str rest = value;
    take_char(&rest, "-");
    if (!take_whole(&rest))
        return false;
    if (take_char(&rest, ".") && !take_digits(&rest))
        return false;
    if (take_char(&rest, "eE")) {
        take_char(&rest, "+-");
        if (rest.n > 3 || !take_digits(&rest)) /* an exponent of four digits is no measurement but a bomb */
            return false;
    }
    return !rest.n && value.n <= NUMBER_MAX;
}

/* [0]|[-+]?[1-9][0-9]*, of 32 bits */
static bool is_integer(struct str value, const char *signs)
{
    take_char(&value, signs);
    return value.n <= 10 && take_whole(&value) && !value.n;
}

/* ---- dates and times */

/* Two digits from least to most. */
static bool take_pair(struct str *rest, unsigned least, unsigned most)
{
    if (rest->n < 2 || !is_digit(rest->p[0]) || !is_digit(rest->p[1]))
        return false;
    unsigned value = (unsigned)(rest->p[0] - '0') * 10 + (unsigned)(rest->p[1] - '0');
    *rest = str_skip(*rest, 2);
    return value >= least && value <= most;
}

/* Year, and as much of "-MM-DD" as there is; *ret_parts: 1, 2 or 3. */
static bool take_date(struct str *rest, unsigned *ret_parts)
{
    *ret_parts = 1;
    if (!take_pair(rest, 0, 99) || !take_pair(rest, 0, 99))
        return false;
    if (!take_char(rest, "-"))
        return true;
    *ret_parts = 2;
    if (!take_pair(rest, 1, 12))
        return false;
    if (!take_char(rest, "-"))
        return true;
    *ret_parts = 3;
    return take_pair(rest, 1, 31);
}

static bool take_time(struct str *rest)
{
    return take_pair(rest, 0, 23) && take_char(rest, ":") && take_pair(rest, 0, 59) && take_char(rest, ":") &&
           take_pair(rest, 0, 60) && (!take_char(rest, ".") || take_digits(rest));
}

static bool take_zone(struct str *rest)
{
    if (take_char(rest, "Z"))
        return true;
    return take_char(rest, "+-") && take_pair(rest, 0, 14) && take_char(rest, ":") && take_pair(rest, 0, 59);
}

static bool is_moment(enum waf_kind kind, struct str value)
{
    unsigned parts;
    struct str rest = value;
    if (value.n > NUMBER_MAX || !take_date(&rest, &parts))
        return false;
    if (!rest.n)
        return kind != WAF_KIND_INSTANT;
    return kind != WAF_KIND_DATE && parts == 3 && take_char(&rest, "T") && take_time(&rest) &&
           take_zone(&rest) && !rest.n;
}

static bool is_time(struct str value)
{
    return value.n <= NUMBER_MAX && take_time(&value) && !value.n;
}

/* ---- the rest */

/* Four characters at a time, spaces wherever they stand, at most two '=' at the end. */
static bool is_base64(struct str value)
{
    size_t letters = 0, pads = 0;
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (is_space(c))
            continue;
        if (c == '=' && ++pads <= 2)
            continue;
        if (pads || !(is_alnum(c) || c == '+' || c == '/'))
            return false;
        letters++;
    }
    return (letters + pads) % 4 == 0;
}

/* [^\s]+(\s[^\s]+)* */
static bool is_code(struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        bool is_edge = i == 0 || i + 1 == value.n;
        if (is_space(value.p[i]) && (is_edge || is_space(value.p[i + 1]) || value.p[i] != ' '))
            return false;
    }
    return !fhir_has_control(value);
}

/* Of the characters the type is made of: what a sloppy sender writes, and nothing else. */
static bool is_loose(enum waf_kind kind, struct str value)
{
    if (str_find(value, STR("--")) >= 0 || str_find(value, STR("..")) >= 0)
        return false;
    switch (kind) {
    case WAF_KIND_BASE64:
        return is_made_of(value, "+/-_= \r\n\t", true);
    case WAF_KIND_ID:
        return value.n <= 4 * ID_MAX && is_made_of(value, "._-", true) && is_alnum(value.p[0]);
    case WAF_KIND_CODE:
        return fhir_is_token(text_trim(value));
    case WAF_KIND_BOOLEAN:
        return str_eq_nocase(value, STR("true")) || str_eq_nocase(value, STR("false")) ||
               (value.n == 1 && (value.p[0] == '0' || value.p[0] == '1'));
    default:
        return value.n <= NUMBER_MAX && is_made_of(value, "TZ:+-., ", false);
    }
}

static bool is_valid(enum waf_kind kind, struct str value)
{
    switch (kind) {
    case WAF_KIND_BASE64:
        return is_base64(value);
    case WAF_KIND_BOOLEAN:
        return str_eq(value, STR("true")) || str_eq(value, STR("false"));
    case WAF_KIND_DECIMAL:
        return is_decimal(value);
    case WAF_KIND_INTEGER:
        return is_integer(value, "-+");
    case WAF_KIND_POSITIVE:
        return is_integer(value, "+") && !str_eq(value, STR("0"));
    case WAF_KIND_UNSIGNED:
        return is_integer(value, "");
    case WAF_KIND_TIME:
        return is_time(value);
    default:
        return is_moment(kind, value);
    }
}

static enum fhir_finding check_id(struct str value)
{
    if (fhir_is_id(value))
        return FHIR_HARMLESS;
    if (value.n <= ID_MAX && is_made_of(value, ".-", true))
        return FHIR_UNUSUAL;
    return is_loose(WAF_KIND_ID, value) ? FHIR_LOOSE : FHIR_INVALID;
}

static enum fhir_finding check_code(struct str value)
{
    if (fhir_is_token(value) || fhir_is_known_code(value))
        return FHIR_HARMLESS;
    if (is_code(value))
        return FHIR_UNUSUAL;
    return is_loose(WAF_KIND_CODE, value) ? FHIR_LOOSE : FHIR_INVALID;
}

enum fhir_finding fhir_check(enum waf_kind kind, struct str value)
{
    if (!value.n)
        return FHIR_HARMLESS;
    switch (kind) {
    case WAF_KIND_UNKNOWN:
    case WAF_KIND_COMPLEX:
    case WAF_KIND_RESOURCE:
    case WAF_KIND_XHTML:
        return FHIR_UNUSUAL;
    case WAF_KIND_CODE:
        return check_code(value);
    case WAF_KIND_ID:
        return check_id(value);
    case WAF_KIND_STRING:
        return fhir_has_control(value) ? FHIR_INVALID : fhir_is_token(value) ? FHIR_HARMLESS : FHIR_UNUSUAL;
    case WAF_KIND_REFERENCE:
        return fhir_check_reference(value);
    case WAF_KIND_URI:
        return fhir_check_uri(value);
    default:
        break;
    }
    if (is_valid(kind, value))
        return FHIR_HARMLESS;
    return is_loose(kind, value) ? FHIR_LOOSE : FHIR_INVALID;
}

const char *fhir_kind_name(enum waf_kind kind)
{
    static const char *const names[] = {
        [WAF_KIND_UNKNOWN] = "element",
        [WAF_KIND_COMPLEX] = "complex type",
        [WAF_KIND_RESOURCE] = "resource",
        [WAF_KIND_BASE64] = "base64Binary",
        [WAF_KIND_BOOLEAN] = "boolean",
        [WAF_KIND_CODE] = "code",
        [WAF_KIND_DATE] = "date",
        [WAF_KIND_DATE_TIME] = "dateTime",
        [WAF_KIND_DECIMAL] = "decimal",
        [WAF_KIND_ID] = "id",
        [WAF_KIND_INSTANT] = "instant",
        [WAF_KIND_INTEGER] = "integer",
        [WAF_KIND_POSITIVE] = "positiveInt",
        [WAF_KIND_STRING] = "string",
        [WAF_KIND_REFERENCE] = "reference",
        [WAF_KIND_TIME] = "time",
        [WAF_KIND_UNSIGNED] = "unsignedInt",
        [WAF_KIND_URI] = "uri",
        [WAF_KIND_XHTML] = "narrative",
    };
    return names[kind];
}
