#include "waf/operator.h"

#include "waf/libinjection.h"
#include "waf/text.h"
#include "json/utf8.h"

static const struct {
    struct str name;
    enum operator_argument argument;
} table[OPERATOR_COUNT] = {
#define OPERATOR(symbol, text, argument) {{text, sizeof(text) - 1}, ARGUMENT_##argument},
#include "waf/operators.def"
#undef OPERATOR
};

bool operator_find(struct str name, enum operator_kind *ret)
{
    for (size_t i = 0; i < OPERATOR_COUNT; i++) {
        if (str_eq_nocase(name, table[i].name)) {
            *ret = (enum operator_kind)i;
            return true;
        }
    }
    return false;
}

enum operator_argument operator_argument(enum operator_kind kind)
{
    return table[kind].argument;
}

struct str operator_name(enum operator_kind kind)
{
    return table[kind].name;
}

static void capture_whole(struct operator_outcome *ret, struct str what)
{
    ret->captures[0] = what;
    ret->capture_count = 1;
}

static bool run_rx(const struct operator_compiled *compiled, struct rx_room *room, struct str argument,
                   struct str value, struct operator_outcome *ret)
{
    struct rx_problem problem;
    struct rx *made = compiled->rx ? NULL : rx_new(argument, RX_OPERATOR, &problem);
    const struct rx *rx = compiled->rx ? compiled->rx : made;
    enum rx_result result = rx ? rx_match(rx, room, value, ret->captures, &ret->capture_count) : RX_LIMIT;
    rx_free(made);
    ret->hit_limit = result == RX_LIMIT;
    return result == RX_HIT;
}

static bool run_pm(const struct operator_compiled *compiled, struct str value, struct operator_outcome *ret)
{
    struct str word;
    if (!pm_find(compiled->pm, value, &word))
        return false;
    capture_whole(ret, word);
    return true;
}

static bool detect_sqli(struct str value, struct arena *arena, struct operator_outcome *ret)
{
    char fingerprint[LIBINJECTION_FINGERPRINT_MAX] = "";
    if (!libinjection_sqli(value.n ? value.p : "", value.n, fingerprint))
        return false;
    fingerprint[sizeof fingerprint - 1] = 0;
    capture_whole(ret, arena_copy(arena, str_of(fingerprint)));
    return true;
}

static bool detect_xss(struct str value, struct operator_outcome *ret)
{
    if (!libinjection_xss(value.n ? value.p : "", value.n))
        return false;
    capture_whole(ret, value);
    return true;
}

static bool in_networks(const struct operator_compiled *compiled, struct str value)
{
    struct addr addr;
    if (!addr_parse_ip(value, &addr))
        return false;
    for (size_t i = 0; i < compiled->network_count; i++) {
        if (addr_in_prefix(&addr, &compiled->networks[i]))
            return true;
    }
    return false;
}

static bool has_other_byte(const uint8_t *allowed, struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        if (!allowed[(uint8_t)value.p[i]])
            return true;
    }
    return false;
}

static bool has_bad_url_encoding(struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] != '%')
            continue;
        if (value.n - i < 3 || !is_hex(value.p[i + 1]) || !is_hex(value.p[i + 2]))
            return true;
        i += 2;
    }
    return false;
}

static bool has_bad_utf8(struct str value)
{
    unsigned bad;
    for (size_t i = 0; i < value.n;) {
        unsigned n = utf8_sequence(value.p + i, value.n - i, &bad);
        if (!n)
            return true;
        i += n;
    }
    return false;
}

bool operator_run(enum operator_kind kind, const struct operator_compiled *compiled, struct rx_room *room,
                  struct str argument, struct str value, struct arena *arena, struct operator_outcome *ret)
{
    *ret = (struct operator_outcome){0};
    switch (kind) {
    case OP_BEGINS_WITH:
        return str_starts(value, argument);
    case OP_CONTAINS:
        return argument.n == 0 || text_find(value, argument) >= 0;
    case OP_ENDS_WITH:
        return str_ends(value, argument);
    case OP_STREQ:
        return str_eq(value, argument);
    case OP_WITHIN:
        return value.n == 0 || text_find(argument, value) >= 0;
    case OP_EQ:
        return text_number(value) == text_number(argument);
    case OP_GE:
        return text_number(value) >= text_number(argument);
    case OP_GT:
        return text_number(value) > text_number(argument);
    case OP_LE:
        return text_number(value) <= text_number(argument);
    case OP_LT:
        return text_number(value) < text_number(argument);
    case OP_RX:
        return run_rx(compiled, room, argument, value, ret);
    case OP_PM:
    case OP_PM_FROM_FILE:
        return run_pm(compiled, value, ret);
    case OP_DETECT_SQLI:
        return detect_sqli(value, arena, ret);
    case OP_DETECT_XSS:
        return detect_xss(value, ret);
    case OP_IP_MATCH:
        return in_networks(compiled, value);
    case OP_VALIDATE_BYTE_RANGE:
        return has_other_byte(compiled->allowed, value);
    case OP_VALIDATE_URL_ENCODING:
        return has_bad_url_encoding(value);
    case OP_VALIDATE_UTF8_ENCODING:
        return has_bad_utf8(value);
    case OP_UNCONDITIONAL_MATCH:
        return true;
    case OP_GEO_LOOKUP: /* there is no database, and no name is looked up from here: neither ever matches */
    case OP_RBL:
    case OPERATOR_COUNT:
        break;
    }
    return false;
}
