/* A narrative as text: as strict as XML, without any of its doors.
 *
 *  1. No document type, no CDATA, no processing instruction (but an XML declaration before the div), no
 *     comment with a '<' or '>' in it: browsers read those differently from XML.
 *  2. Every element is closed by its own name; the outermost is one div and nothing follows it.
 *  3. '&' begins a character by number, one of XML's five, or one of HTML 4's that a Western keyboard
 *     needs. */
#include "waf/xhtml.h"

#include "waf/text.h"
#include "json/utf8.h"

enum { DEPTH_MAX = 100, ATTRIBUTES_MAX = 24, ENTITY_MAX = 10 };

struct parser {
    struct xhtml x;
    struct str rest;
    struct str open[DEPTH_MAX];
    unsigned depth;
    bool has_root;
    struct arena *arena;
};

static bool is_name_char(char c)
{
    return is_alnum(c) || c == '-' || c == '_' || c == '.' || c == ':';
}

static struct str take_name(struct parser *p)
{
    size_t n = 0;
    while (n < p->rest.n && is_name_char(p->rest.p[n]))
        n++;
    struct str name = str_take(p->rest, n);
    p->rest = str_skip(p->rest, n);
    return name;
}

static bool take(struct parser *p, const char *what)
{
    struct str text = str_of(what);
    if (!str_starts(p->rest, text))
        return false;
    p->rest = str_skip(p->rest, text.n);
    return true;
}

static void skip_space(struct parser *p)
{
    while (p->rest.n && is_space(p->rest.p[0]))
        p->rest = str_skip(p->rest, 1);
}

/* ---- characters */

/* U+00A0 to U+00FF in order (HTML 4.0, 24.2.1). */
static const char *const latin[] = {
    "nbsp",   "iexcl",  "cent",   "pound",  "curren", "yen",    "brvbar", "sect",   "uml",    "copy",
    "ordf",   "laquo",  "not",    "shy",    "reg",    "macr",   "deg",    "plusmn", "sup2",   "sup3",
    "acute",  "micro",  "para",   "middot", "cedil",  "sup1",   "ordm",   "raquo",  "frac14", "frac12",
    "frac34", "iquest", "Agrave", "Aacute", "Acirc",  "Atilde", "Auml",   "Aring",  "AElig",  "Ccedil",
    "Egrave", "Eacute", "Ecirc",  "Euml",   "Igrave", "Iacute", "Icirc",  "Iuml",   "ETH",    "Ntilde",
    "Ograve", "Oacute", "Ocirc",  "Otilde", "Ouml",   "times",  "Oslash", "Ugrave", "Uacute", "Ucirc",
    "Uuml",   "Yacute", "THORN",  "szlig",  "agrave", "aacute", "acirc",  "atilde", "auml",   "aring",
    "aelig",  "ccedil", "egrave", "eacute", "ecirc",  "euml",   "igrave", "iacute", "icirc",  "iuml",
    "eth",    "ntilde", "ograve", "oacute", "ocirc",  "otilde", "ouml",   "divide", "oslash", "ugrave",
    "uacute", "ucirc",  "uuml",   "yacute", "thorn",  "yuml",
};

static const struct {
    const char *name;
    uint32_t code;
} others[] = {
    {"amp", '&'},      {"lt", '<'},       {"gt", '>'},       {"quot", '"'},      {"apos", '\''},
    {"euro", 0x20ac},  {"ndash", 0x2013}, {"mdash", 0x2014}, {"lsquo", 0x2018},  {"rsquo", 0x2019},
    {"ldquo", 0x201c}, {"rdquo", 0x201d}, {"bull", 0x2022},  {"hellip", 0x2026}, {"trade", 0x2122},
    {"rarr", 0x2192},  {"larr", 0x2190},  {"uarr", 0x2191},  {"darr", 0x2193},   {"le", 0x2264},
    {"ge", 0x2265},    {"ne", 0x2260},    {"asymp", 0x2248}, {"alpha", 0x3b1},   {"beta", 0x3b2},
    {"gamma", 0x3b3},  {"mu", 0x3bc},     {"ensp", 0x2002},  {"emsp", 0x2003},   {"thinsp", 0x2009},
};

static uint32_t named_code(struct str name)
{
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (str_eq(name, str_of(others[i].name)))
            return others[i].code;
    }
    for (uint32_t i = 0; i < sizeof latin / sizeof *latin; i++) {
        if (str_eq(name, str_of(latin[i])))
            return 0xa0 + i;
    }
    return 0;
}

/* "#233" or "#xE9" */
static uint32_t numbered_code(struct str digits)
{
    uint32_t code = 0;
    bool is_hexadecimal = digits.n && digits.p[0] == 'x';
    digits = str_skip(digits, is_hexadecimal);
    if (!digits.n)
        return 0;
    for (size_t i = 0; i < digits.n; i++) {
        int value = hex_value(digits.p[i]);
        if (value < 0 || (!is_hexadecimal && value > 9) || code > 0x10ffff)
            return 0;
        code = code * (is_hexadecimal ? 16 : 10) + (uint32_t)value;
    }
    bool is_control = code < ' ' && code != '\t' && code != '\n' && code != '\r';
    bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
    return is_control || is_surrogate || code > 0x10ffff ? 0 : code;
}

/* p->rest begins with '&'. A '&' before a space is one somebody forgot to write out. */
static void take_character(struct parser *p, struct buf *out)
{
    char utf8[4];
    size_t n = 1;
    while (n < p->rest.n && n <= ENTITY_MAX && p->rest.p[n] != ';' && p->rest.p[n] != '&' &&
           !is_space(p->rest.p[n]))
        n++;
    if (n == 1 && n < p->rest.n && is_space(p->rest.p[n])) {
        if (!p->x.problem)
            p->x.problem = "loosely a narrative: a bare &";
        buf_char(out, '&');
        p->rest = str_skip(p->rest, 1);
        return;
    }
    struct str name = str_skip(str_take(p->rest, n), 1);
    bool has_end = n < p->rest.n && p->rest.p[n] == ';';
    uint32_t code = name.n && name.p[0] == '#' ? numbered_code(str_skip(name, 1)) : named_code(name);
    p->rest = str_skip(p->rest, n + 1);
    if (!has_end || !code)
        xhtml_refuse(&p->x, "narrative: entity");
    else
        buf_add(out, utf8, utf8_encode(code, utf8));
}

/* ---- tags */

/* "value" or 'value', its characters decoded. */
static struct str take_value(struct parser *p)
{
    char quote = p->rest.n ? p->rest.p[0] : 0;
    if (quote != '"' && quote != '\'') {
        xhtml_refuse(&p->x, "narrative: attribute without quotes");
        return STR_NONE;
    }
    p->rest = str_skip(p->rest, 1);
    ptrdiff_t end = str_find_char(p->rest, quote);
    struct str raw = str_take(p->rest, end < 0 ? 0 : (size_t)end), after = str_skip(p->rest, raw.n + 1);
    if (end < 0 || str_find_char(raw, '<') >= 0) {
        xhtml_refuse(&p->x, "narrative: attribute");
        return STR_NONE;
    }
    char *memory = arena_bytes(p->arena, raw.n);
    struct buf out = buf_over(memory, memory ? raw.n : 0);
    p->rest = raw;
    while (p->rest.n && !p->x.is_refused) {
        if (p->rest.p[0] == '&') {
            take_character(p, &out);
            continue;
        }
        buf_char(&out, p->rest.p[0]);
        p->rest = str_skip(p->rest, 1);
    }
    p->rest = after;
    return buf_text(&out);
}

/* Attributes up to '>' or "/>"; true: the element is closed already. */
static bool take_attributes(struct parser *p, struct str element)
{
    struct str names[ATTRIBUTES_MAX];
    for (unsigned n = 0; !p->x.is_refused; n++) {
        size_t before = p->rest.n;
        skip_space(p);
        if (take(p, "/>"))
            return true;
        if (take(p, ">"))
            return false;
        struct str name = take_name(p);
        if (!name.n || p->rest.n + name.n == before || n == ATTRIBUTES_MAX)
            break;
        for (unsigned i = 0; i < n; i++) {
            if (str_eq(names[i], name))
                xhtml_refuse(&p->x, "narrative: an attribute twice");
        }
        names[n] = name;
        skip_space(p);
        if (!take(p, "="))
            break;
        skip_space(p);
        xhtml_attribute(&p->x, element, name, take_value(p));
    }
    xhtml_refuse(&p->x, "narrative: tag");
    return false;
}

static void take_start(struct parser *p)
{
    struct str name = take_name(p);
    bool is_root = p->depth == 0;
    if (is_root && (p->has_root || !str_eq(name, STR("div"))))
        xhtml_refuse(&p->x, "narrative: not one div");
    if (p->depth == DEPTH_MAX)
        xhtml_refuse(&p->x, "narrative: nested too deeply");
    if (p->x.is_refused)
        return;
    p->has_root = true;
    xhtml_element(&p->x, name);
    if (!take_attributes(p, name))
        p->open[p->depth++] = name;
}

static void take_end(struct parser *p)
{
    struct str name = take_name(p);
    skip_space(p);
    if (!take(p, ">") || p->depth == 0 || !str_eq(name, p->open[p->depth - 1]))
        xhtml_refuse(&p->x, "narrative: not well-formed");
    else
        p->depth--;
}

static void take_comment(struct parser *p)
{
    ptrdiff_t end = str_find(p->rest, STR("-->"));
    struct str inside = str_take(p->rest, end < 0 ? 0 : (size_t)end);
    p->rest = str_skip(p->rest, inside.n + 3);
    if (end < 0 || str_find_char(inside, '<') >= 0 || str_find_char(inside, '>') >= 0 ||
        str_find(inside, STR("--")) >= 0)
        xhtml_refuse(&p->x, "narrative: comment");
    else
        buf_str(&p->x.values, inside);
}

static void take_plain(struct parser *p)
{
    size_t n = 0;
    while (n < p->rest.n && p->rest.p[n] != '<' && p->rest.p[n] != '&')
        n++;
    struct str text = str_take(p->rest, n);
    p->rest = str_skip(p->rest, n);
    if (p->depth == 0 && text_trim(text).n)
        xhtml_refuse(&p->x, "narrative: text outside the div");
    else if (memchr(text.p, 0, n))
        xhtml_refuse(&p->x, "narrative: a null byte");
    else
        xhtml_text(&p->x, text);
}

static void take_piece(struct parser *p)
{
    if (take(p, "<!--"))
        take_comment(p);
    else if (take(p, "</"))
        take_end(p);
    else if (p->rest.p[0] == '<') {
        p->rest = str_skip(p->rest, 1);
        take_start(p);
    } else if (p->rest.p[0] == '&' && p->depth)
        take_character(p, &p->x.text);
    else if (p->rest.p[0] == '&')
        xhtml_refuse(&p->x, "narrative: text outside the div");
    else
        take_plain(p);
}

/* Old writers put a declaration before the div. */
static void skip_declaration(struct parser *p)
{
    skip_space(p);
    if (!take(p, "<?xml "))
        return;
    ptrdiff_t end = str_find(p->rest, STR("?>"));
    if (end < 0 || str_find_char(str_take(p->rest, (size_t)end), '<') >= 0) {
        xhtml_refuse(&p->x, "narrative: declaration");
        return;
    }
    p->rest = str_skip(p->rest, (size_t)end + 2);
    if (!p->x.problem)
        p->x.problem = "loosely a narrative: an XML declaration";
}

struct xhtml_result xhtml_check(struct str div, struct arena *arena)
{
    struct parser p = {.rest = div, .arena = arena};
    if (!xhtml_begin(&p.x, div.n * 2 + 16, arena))
        return (struct xhtml_result){.problem = "narrative: no memory", .is_refused = true};
    skip_declaration(&p);
    while (p.rest.n && !p.x.is_refused)
        take_piece(&p);
    if (!p.x.is_refused && (p.depth || !p.has_root))
        xhtml_refuse(&p.x, "narrative: not well-formed");
    return xhtml_end(&p.x);
}
