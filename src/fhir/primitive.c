#include "fhir/primitive.h"

#include "fhir/chars.h"
#include "fhir/decimal.h"
#include "fhir/moment.h"

enum { INTEGER_DIGITS_MAX = 11 };

/* ---- numbers */

/* Without a leading zero, from least to 2^31 - 1. */
static bool is_integer(struct str text, int64_t least)
{
    struct str digits = text;
    int64_t value = 0;
    bool is_negative = take_char(&digits, '-');
    if (!digits.n || text.n > INTEGER_DIGITS_MAX || (digits.p[0] == '0' && (digits.n > 1 || is_negative)))
        return false;
    for (size_t i = 0; i < digits.n; i++) {
        if (!is_digit(digits.p[i]))
            return false;
        value = value * 10 + (digits.p[i] - '0');
    }
    value = is_negative ? -value : value;
    return value >= least && value <= INT32_MAX;
}

static bool is_decimal(struct str text)
{
    struct fhir_decimal value;
    return fhir_decimal_parse(text, &value);
}

/* ---- dates and times */

static bool is_date(struct str text)
{
    struct fhir_moment moment;
    return fhir_moment_parse(text, &moment) && moment.kind == FHIR_MOMENT_DATE;
}

static bool is_instant(struct str text)
{
    struct fhir_moment moment;
    return fhir_moment_parse(text, &moment) && moment.precision >= FHIR_TO_SECOND && moment.has_zone;
}

static bool is_time(struct str text)
{
    struct fhir_moment moment;
    return fhir_time_parse(text, &moment) && moment.precision >= FHIR_TO_SECOND;
}

/* ---- texts */

/* Something to read, and no control character but those that end lines and fields. */
static bool is_string(struct str text)
{
    if (!text.n || text.n > FHIR_STRING_BYTES_MAX)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = (uint8_t)text.p[i];
        if (c < ' ' && c != '\t' && c != '\n' && c != '\r')
            return false;
    }
    return true;
}

/* [^\s]+(\s[^\s]+)* */
static bool is_code(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        bool is_edge = i == 0 || i + 1 == text.n;
        if (is_space(text.p[i]) && (is_edge || is_space(text.p[i + 1])))
            return false;
    }
    return is_string(text);
}

static bool is_id(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (!is_alnum(text.p[i]) && text.p[i] != '-' && text.p[i] != '.')
            return false;
    }
    return text.n > 0 && text.n <= FHIR_ID_MAX;
}

static bool is_uri(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (is_space(text.p[i]))
            return false;
    }
    return is_string(text);
}

/* urn:oid:[0-2](\.(0|[1-9][0-9]*))+ */
static bool is_oid(struct str text)
{
    struct str rest = str_skip(text, 8);
    if (!str_starts(text, STR("urn:oid:")) || rest.n < 3 || rest.p[0] < '0' || rest.p[0] > '2')
        return false;
    rest = str_skip(rest, 1);
    while (rest.n) {
        if (!take_char(&rest, '.'))
            return false;
        bool has_zero = rest.n && rest.p[0] == '0';
        size_t digits = take_digits(&rest);
        if (!digits || (has_zero && digits > 1))
            return false;
    }
    return true;
}

static bool is_uuid(struct str text)
{
    struct str rest = str_skip(text, 9);
    if (!str_starts(text, STR("urn:uuid:")) || rest.n != 36)
        return false;
    for (size_t i = 0; i < rest.n; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash ? rest.p[i] != '-' : !is_hex(rest.p[i]))
            return false;
    }
    return true;
}

/* Four characters at a time, spaces wherever they stand, at most two '=' at the end (RFC 4648 4). */
static bool is_base64(struct str text)
{
    size_t letters = 0, pads = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (is_space(c))
            continue;
        if (c == '=' && ++pads <= 2)
            continue;
        if (pads || !(is_alnum(c) || c == '+' || c == '/'))
            return false;
        letters++;
    }
    return letters > 0 && (letters + pads) % 4 == 0;
}

bool fhir_primitive_is_valid(enum fhir_primitive type, struct str text)
{
    switch (type) {
    case FHIR_NO_PRIMITIVE:
        return false;
    case FHIR_BASE64_BINARY:
        return is_base64(text);
    case FHIR_BOOLEAN:
        return str_eq(text, STR("true")) || str_eq(text, STR("false"));
    case FHIR_CODE:
        return is_code(text);
    case FHIR_DATE:
        return is_date(text);
    case FHIR_DATE_TIME:
        return is_date(text) || is_instant(text);
    case FHIR_DECIMAL:
        return is_decimal(text);
    case FHIR_ID:
        return is_id(text);
    case FHIR_INSTANT:
        return is_instant(text);
    case FHIR_INTEGER:
        return is_integer(text, INT32_MIN);
    case FHIR_OID:
        return is_oid(text);
    case FHIR_POSITIVE_INT:
        return is_integer(text, 1);
    case FHIR_MARKDOWN:
    case FHIR_STRING:
    case FHIR_XHTML:
        return is_string(text);
    case FHIR_TIME:
        return is_time(text);
    case FHIR_UNSIGNED_INT:
        return is_integer(text, 0);
    case FHIR_CANONICAL:
    case FHIR_URI:
    case FHIR_URL:
        return is_uri(text);
    case FHIR_UUID:
        return is_uuid(text);
    }
    return false;
}

enum json_type fhir_primitive_json_type(enum fhir_primitive type)
{
    switch (type) {
    case FHIR_BOOLEAN:
        return JSON_TRUE;
    case FHIR_DECIMAL:
    case FHIR_INTEGER:
    case FHIR_POSITIVE_INT:
    case FHIR_UNSIGNED_INT:
        return JSON_NUMBER;
    default:
        return JSON_STRING;
    }
}

struct str fhir_primitive_hint(enum fhir_primitive type)
{
    static const struct str hints[] = {
        [FHIR_NO_PRIMITIVE] = STR("an object"),
        [FHIR_BASE64_BINARY] = STR("base64 text"),
        [FHIR_BOOLEAN] = STR("true or false, without quotes"),
        [FHIR_CANONICAL] = STR("a URL without spaces"),
        [FHIR_CODE] = STR("a code: text without spaces at its ends and without two together"),
        [FHIR_DATE] = STR("a date that exists: YYYY, YYYY-MM or YYYY-MM-DD"),
        [FHIR_DATE_TIME] = STR("YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with a zone (Z or +hh:mm)"),
        [FHIR_DECIMAL] = STR("a number, without quotes"),
        [FHIR_ID] = STR("an id: 1 to 64 letters, digits, '-' and '.'"),
        [FHIR_INSTANT] = STR("YYYY-MM-DDThh:mm:ss with a zone (Z or +hh:mm)"),
        [FHIR_INTEGER] = STR("a whole number of 32 bits, without quotes"),
        [FHIR_MARKDOWN] = STR("text that is not empty and without control characters"),
        [FHIR_OID] = STR("an OID: urn:oid:1.2.3"),
        [FHIR_POSITIVE_INT] = STR("a whole number from 1, without quotes"),
        [FHIR_STRING] = STR("text that is not empty and without control characters"),
        [FHIR_TIME] = STR("hh:mm:ss"),
        [FHIR_UNSIGNED_INT] = STR("a whole number from 0, without quotes"),
        [FHIR_URI] = STR("a URI without spaces"),
        [FHIR_URL] = STR("a URL without spaces"),
        [FHIR_UUID] = STR("urn:uuid: and a UUID"),
        [FHIR_XHTML] = STR("XHTML as text"),
    };
    return hints[type];
}
