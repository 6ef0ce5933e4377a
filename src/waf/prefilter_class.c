/* Which bytes a class, or an escape that stands for bytes, takes. Exactly those PCRE2 takes without UTF and
 * UCP and with its own tables: a set that is then negated must not be larger than it is. */
#include "waf/prefilter_parse.h"

#include "waf/text.h"

static void put_text(struct bytes *set, const char *text)
{
    for (; *text; text++)
        bytes_put(set, (uint8_t)*text);
}

static void put_word(struct bytes *set)
{
    bytes_put_range(set, 'a', 'z');
    bytes_put_range(set, 'A', 'Z');
    bytes_put_range(set, '0', '9');
    bytes_put(set, '_');
}

bool parser_class_of_escape(char c, struct bytes *ret)
{
    struct bytes set = {0};
    switch (ascii_lower(c)) {
    case 'd':
        bytes_put_range(&set, '0', '9');
        break;
    case 'w':
        put_word(&set);
        break;
    case 's':
        put_text(&set, " \t\n\v\f\r");
        break;
    case 'h':
        put_text(&set, " \t\xa0");
        break;
    case 'v':
        put_text(&set, "\n\v\f\r\x85");
        break;
    default:
        return false;
    }
    if (c != ascii_lower(c))
        bytes_invert(&set);
    bytes_merge(ret, &set);
    return true;
}

static bool class_of_posix_name(struct str name, struct bytes *ret)
{
    static const struct {
        const char *name, *ranges, *others;
    } classes[] = {
        {"alpha", "azAZ", ""},      {"lower", "az", ""},     {"upper", "AZ", ""},
        {"digit", "09", ""},        {"alnum", "azAZ09", ""}, {"word", "azAZ09", "_"},
        {"xdigit", "afAF09", ""},   {"space", "\t\r", " "},  {"blank", "", " \t"},
        {"cntrl", "\1\37", "\177"}, {"graph", "!~", ""},     {"print", " ~", ""},
        {"punct", "!/:@[`{~", ""},  {"ascii", "\1\177", ""},
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (!str_eq(name, str_of(classes[i].name)))
            continue;
        for (const char *r = classes[i].ranges; *r; r += 2)
            bytes_put_range(ret, (uint8_t)r[0], (uint8_t)r[1]);
        put_text(ret, classes[i].others);
        if (str_eq(name, STR("cntrl")) || str_eq(name, STR("ascii")))
            bytes_put(ret, 0);
        return true;
    }
    return false;
}

/* What follows "[:". */
static void parse_posix(struct parser *p, struct bytes *ret)
{
    struct bytes set = {0};
    bool is_negated = parser_take(p, STR("^"));
    size_t n = 0;
    while (n < p->rest.n && p->rest.p[n] >= 'a' && p->rest.p[n] <= 'z')
        n++;
    struct str name = str_take(p->rest, n);
    p->rest = str_skip(p->rest, n);
    if (!parser_take(p, STR(":]")) || !class_of_posix_name(name, &set)) {
        p->failed = true;
        return;
    }
    if (p->is_caseless && (str_eq(name, STR("lower")) || str_eq(name, STR("upper"))))
        bytes_ignore_case(&set);
    if (is_negated)
        bytes_invert(&set);
    bytes_merge(ret, &set);
}

static uint8_t parse_hex(struct parser *p)
{
    unsigned value = 0, digits = 0;
    bool is_braced = parser_take(p, STR("{"));
    for (; p->rest.n && is_hex(p->rest.p[0]) && (is_braced || digits < 2); digits++) {
        value = value << 4 | (unsigned)hex_value(parser_next(p));
        p->failed |= value > 255;
    }
    p->failed |= is_braced && (!parser_take(p, STR("}")) || !digits);
    return (uint8_t)value;
}

static uint8_t parse_octal(struct parser *p, unsigned digits)
{
    unsigned value = 0;
    for (; digits && p->rest.n && p->rest.p[0] >= '0' && p->rest.p[0] <= '7'; digits--)
        value = value << 3 | (unsigned)(parser_next(p) - '0');
    p->failed |= value > 255;
    return (uint8_t)value;
}

bool parser_byte_of_escape(struct parser *p, char c, uint8_t *ret)
{
    static const char letters[] = "aefnrt", bytes[] = "\a\033\f\n\r\t";
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter)
        *ret = (uint8_t)bytes[letter - letters];
    else if (c == 'x')
        *ret = parse_hex(p);
    else if (c == '0')
        *ret = parse_octal(p, 2);
    else if (c == 'c') {
        char with = parser_next(p);
        *ret = (uint8_t)((with >= 'a' && with <= 'z' ? with - 0x20 : with) ^ 0x40);
        p->failed |= with < ' ' || with > '~';
    } else if (is_alnum(c))
        return false;
    else
        *ret = (uint8_t)c;
    return true;
}

/* "[:" and ":]" before the class ends; otherwise the bracket is just a bracket. Where an escape or another
 * bracket stands between, PCRE2 looks more closely: such a class is taken for one with a name, and refused.
 */
static bool names_class(const struct parser *p, char mark)
{
    if (!parser_is_at(p, '[') || p->rest.n < 2 || p->rest.p[1] != mark)
        return false;
    for (size_t i = 2; i + 1 < p->rest.n && p->rest.p[i] != ']'; i++) {
        if (p->rest.p[i] == '\\' || p->rest.p[i] == '[' || (p->rest.p[i] == mark && p->rest.p[i + 1] == ']'))
            return true;
    }
    return false;
}

/* One member of a class. True: a single byte, which may begin or end a range. */
static bool parse_member(struct parser *p, struct bytes *ret, uint8_t *ret_byte)
{
    if (names_class(p, ':')) {
        p->rest = str_skip(p->rest, 2);
        parse_posix(p, ret);
        return false;
    }
    p->failed |= names_class(p, '.') || names_class(p, '=');
    char c = parser_next(p);
    *ret_byte = (uint8_t)c;
    if (c != '\\')
        return true;
    c = parser_next(p);
    if (parser_class_of_escape(c, ret))
        return false;
    if (c == 'b')
        *ret_byte = '\b';
    else if (!parser_byte_of_escape(p, c, ret_byte))
        p->failed = true;
    return true;
}

static void put_range(struct parser *p, struct bytes *set, uint8_t first)
{
    uint8_t last;
    struct bytes other = {0};
    if (!parser_is_at(p, '-') || str_starts(p->rest, STR("-]"))) {
        bytes_put(set, first);
        return;
    }
    p->rest = str_skip(p->rest, 1);
    if (parse_member(p, &other, &last)) {
        p->failed |= last < first;
        bytes_put_range(set, first, last < first ? first : last);
        return;
    }
    bytes_put(set, first); /* [a-\d]: the '-' is itself */
    bytes_put(set, '-');
    bytes_merge(set, &other);
}

bool parser_class(struct parser *p, struct bytes *ret)
{
    struct bytes set = {0};
    uint8_t c;
    bool is_negated = parser_take(p, STR("^"));
    for (bool is_first = true; !p->failed && (is_first || !parser_is_at(p, ']')); is_first = false) {
        if (parse_member(p, &set, &c))
            put_range(p, &set, c);
    }
    p->failed |= !parser_take(p, STR("]"));
    if (p->is_caseless)
        bytes_ignore_case(&set);
    if (is_negated)
        bytes_invert(&set);
    *ret = set;
    return !p->failed;
}
