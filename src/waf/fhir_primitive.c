/* FHIR's primitive types: is a value valid, and is it harmless. Syntax of
 * https://hl7.org/fhir/R4/datatypes.html#primitive; what harmless means, type by type, and why, stands in
 * docs/care-traffic.md. The empty value says nothing and is harmless everywhere. */
#include "waf/fhir.h"

#include "fhir/primitive.h"

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

/* ---- the rest */

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

/* By FHIR's own syntax; and no longer than a number or a time can be, no exponent of four digits: that is no
 * measurement but a bomb. XML may write a '+' before a number. */
static bool is_valid(enum waf_kind kind, struct str value)
{
    static const enum fhir_primitive types[] = {
        [WAF_KIND_BASE64] = FHIR_BASE64_BINARY,
        [WAF_KIND_BOOLEAN] = FHIR_BOOLEAN,
        [WAF_KIND_DATE] = FHIR_DATE,
        [WAF_KIND_DATE_TIME] = FHIR_DATE_TIME,
        [WAF_KIND_DECIMAL] = FHIR_DECIMAL,
        [WAF_KIND_INSTANT] = FHIR_INSTANT,
        [WAF_KIND_INTEGER] = FHIR_INTEGER,
        [WAF_KIND_POSITIVE] = FHIR_POSITIVE_INT,
        [WAF_KIND_TIME] = FHIR_TIME,
        [WAF_KIND_UNSIGNED] = FHIR_UNSIGNED_INT,
    };
    bool may_have_plus = kind == WAF_KIND_INTEGER || kind == WAF_KIND_POSITIVE;
    if (kind != WAF_KIND_BASE64 && value.n > NUMBER_MAX)
        return false;
    if (may_have_plus && value.p[0] == '+' && value.n > 1 && value.p[1] != '-')
        value = str_skip(value, 1);
    return fhir_primitive_is_valid(types[kind], value);
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
