/* What a narrative may be made of: elements, attributes, addresses, styles. The lists are those of FHIR's
 * invariant txt-1; what stands behind them as harmless is formatting that has no behaviour. */
#include "waf/xhtml.h"

#include "waf/text.h"

static bool is_listed(struct str name, const char *const *list)
{
    for (; *list; list++) {
        if (str_eq(name, str_of(*list)))
            return true;
    }
    return false;
}

void xhtml_refuse(struct xhtml *x, const char *why)
{
    if (x->is_refused)
        return;
    x->problem = why;
    x->is_refused = true;
}

static void note_loose(struct xhtml *x, const char *why)
{
    if (!x->problem)
        x->problem = why;
}

bool xhtml_begin(struct xhtml *x, size_t room_bytes, struct arena *arena)
{
    char *text = arena_bytes(arena, room_bytes), *values = arena_bytes(arena, room_bytes);
    *x = (struct xhtml){.text = buf_over(text, text ? room_bytes : 0),
                        .values = buf_over(values, values ? room_bytes : 0)};
    return text && values;
}

void xhtml_restart(struct xhtml *x)
{
    x->text.n = x->values.n = 0;
    x->text.overflowed = x->values.overflowed = false;
    x->problem = NULL;
    x->is_refused = false;
}

/* ---- elements */

static const char *const inline_elements[] = {
    "a", "abbr", "acronym", "b",    "big",    "cite", "code", "dfn", "em",  "i",  "img",
    "q", "samp", "small",   "span", "strong", "sub",  "sup",  "tt",  "var", NULL,
};

static const char *const block_elements[] = {
    "blockquote", "br",    "caption", "col",   "colgroup", "dd",    "div", "dl", "dt", "h1",
    "h2",         "h3",    "h4",      "h5",    "h6",       "hr",    "li",  "ol", "p",  "pre",
    "table",      "tbody", "td",      "tfoot", "th",       "thead", "tr",  "ul", NULL,
};

static const char *const harmless_elements[] = {
    "address", "article", "bdo",  "center", "del", "figcaption", "figure", "font", "footer", "header",
    "ins",     "kbd",     "main", "mark",   "s",   "section",    "strike", "u",    "wbr",    NULL,
};

void xhtml_element(struct xhtml *x, struct str name)
{
    if (is_listed(name, inline_elements))
        return;
    if (is_listed(name, block_elements))
        buf_char(&x->text, '\n');
    else if (is_listed(name, harmless_elements))
        note_loose(x, "loosely a narrative: an element that is not allowed there");
    else
        xhtml_refuse(x, "narrative: element");
}

/* ---- attributes */

static const char *const plain_attributes[] = {
    "abbr",     "accesskey", "align",   "alt",     "axis",   "border",   "cellpadding", "cellspacing",
    "char",     "charoff",   "charset", "class",   "clear",  "colspan",  "compact",     "coords",
    "datetime", "dir",       "frame",   "headers", "height", "hreflang", "id",          "ismap",
    "lang",     "name",      "noshade", "nowrap",  "rel",    "rev",      "rowspan",     "rules",
    "scope",    "shape",     "size",    "span",    "start",  "summary",  "tabindex",    "title",
    "type",     "usemap",    "valign",  "value",   "width",  "xml:lang", "xml:space",   NULL,
};

static const char *const harmless_attributes[] = {"bgcolor", "color",  "face",   "role",
                                                  "target",  "hspace", "vspace", NULL};

static bool is_picture(struct str rest)
{
    static const char *const types[] = {"image/png", "image/jpeg", "image/jpg",
                                        "image/gif", "image/webp", NULL};
    for (size_t i = 0; types[i]; i++) {
        struct str type = str_of(types[i]);
        char end = rest.n > type.n ? rest.p[type.n] : 0;
        if (text_starts_nocase(rest, type) && (end == ';' || end == ','))
            return true;
    }
    return false;
}

/* "url(data: image/png;base64,iVBO...)": the background of the trees that FHIR's own tools draw. */
static size_t drawn_picture_bytes(struct str s)
{
    if (!text_starts_nocase(s, STR("url(data:")) || !is_picture(text_trim(str_skip(s, 9))))
        return 0;
    for (size_t i = 9; i < s.n; i++) {
        if (s.p[i] == ')')
            return i + 1;
        if (!is_alnum(s.p[i]) && !strchr("+/=;,: ", s.p[i]))
            break;
    }
    return 0;
}

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((uint8_t)s.p[i] < ' ' || s.p[i] == 0x7f)
            return true;
    }
    return false;
}

/* What makes a style fetch, compute, or hide what it says from this test. */
static bool is_active_style(struct str style)
{
    static const char *const signs[] = {"expression", "url(", "script", "behavior", "behaviour",
                                        "binding",    "@",    "/*",     "\\",       "<",
                                        "image-set(", "var(", NULL};
    return text_contains_any(style, signs) || has_control(style);
}

static void check_style(struct xhtml *x, struct str style)
{
    size_t begin = 0;
    for (size_t i = 0; i < style.n; i++) {
        size_t picture = drawn_picture_bytes(str_skip(style, i));
        if (!picture)
            continue;
        note_loose(x, "loosely a narrative: a picture in a style");
        if (is_active_style(str_take(str_skip(style, begin), i - begin)))
            xhtml_refuse(x, "narrative: style");
        begin = i + picture;
        i = begin - 1;
    }
    if (is_active_style(str_skip(style, begin)))
        xhtml_refuse(x, "narrative: style");
}

/* Relative, or with a scheme that shows something and runs nothing. */
static bool is_address(struct str value, bool is_image)
{
    static const char *const schemes[] = {"http", "https", "mailto", "tel", "urn", "ftp", "cid", NULL};
    struct str rest = value, scheme = str_cut(&rest, ':');
    if (has_control(value) || (value.n && value.p[0] == ' '))
        return false;
    bool is_relative = !rest.p || str_find_char(scheme, '/') >= 0 || str_find_char(scheme, '#') >= 0 ||
                       str_find_char(scheme, '?') >= 0;
    if (is_relative)
        return true;
    if (str_eq_nocase(scheme, STR("data")))
        return is_image &&
               (is_picture(text_trim(rest)) || text_starts_nocase(rest, STR("application/octet-stream;")));
    for (size_t i = 0; schemes[i]; i++) {
        if (str_eq_nocase(scheme, str_of(schemes[i])))
            return true;
    }
    return false;
}

static bool takes_address(struct str element, struct str name)
{
    bool is_link = str_eq(name, STR("href")) && str_eq(element, STR("a"));
    bool is_source =
        (str_eq(name, STR("src")) || str_eq(name, STR("longdesc"))) && str_eq(element, STR("img"));
    return is_link || is_source || str_eq(name, STR("cite"));
}

static bool is_data_attribute(struct str name)
{
    if (!str_starts(name, STR("data-")) && !str_starts(name, STR("aria-")))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        if (!is_alnum(name.p[i]) && name.p[i] != '-')
            return false;
    }
    return true;
}

static void check_attribute(struct xhtml *x, struct str element, struct str name, struct str value)
{
    if (takes_address(element, name)) {
        if (!is_address(value, str_eq(name, STR("src"))))
            xhtml_refuse(x, "narrative: address");
    } else if (str_eq(name, STR("style"))) {
        check_style(x, value);
    } else if (str_eq(name, STR("xmlns"))) {
        if (!str_eq(value, STR("http://www.w3.org/1999/xhtml")))
            xhtml_refuse(x, "narrative: namespace");
    } else if (text_starts_nocase(name, STR("on"))) {
        xhtml_refuse(x, "narrative: event attribute");
    } else if (!is_listed(name, plain_attributes)) {
        if (is_listed(name, harmless_attributes) || is_data_attribute(name))
            note_loose(x, "loosely a narrative: an attribute that is not allowed there");
        else
            xhtml_refuse(x, "narrative: attribute");
    }
}

void xhtml_attribute(struct xhtml *x, struct str element, struct str name, struct str value)
{
    check_attribute(x, element, name, value);
    bool was_checked = str_eq(name, STR("xmlns")) || str_eq(name, STR("src")) || str_eq(name, STR("style"));
    if (was_checked || !value.n)
        return;
    buf_char(&x->values, '\n');
    buf_str(&x->values, value);
}

void xhtml_text(struct xhtml *x, struct str text)
{
    buf_str(&x->text, text);
}

/* The room was for both; what does not fit would pass unseen. */
struct xhtml_result xhtml_end(struct xhtml *x)
{
    buf_str(&x->text, buf_text(&x->values));
    if (buf_overflowed(&x->text) || buf_overflowed(&x->values))
        xhtml_refuse(x, "narrative: too long");
    return (struct xhtml_result){
        .text = text_trim(buf_text(&x->text)), .problem = x->problem, .is_refused = x->is_refused};
}
