/* From the tape to XML. The members of an object are put into the order of the definitions on a stack of
 * rows, a primitive and its companion side by side; ids and the url of an extension become attributes. */
#include "fhir/xml_write.h"

#include "fhir/primitive.h"
#include "fhir/xml_tree.h"

enum { PATH_MAX_BYTES = 400, QUOTE_MAX = 60 };

/* A member of an object. */
struct row {
    const struct fhir_element *element;
    uint32_t node;
    bool is_companion;
};

/* Where an element stands, linked from the inside out. */
struct spot {
    const struct spot *up;
    struct str name;
    int64_t index; /* -1: no list */
};

struct writing {
    const struct json_tape *tape;
    const struct hash_key *key;
    struct arena *arena;
    struct buf *out;
    struct row *rows; /* a stack: of each object that is open those not written yet */
    size_t row_count;
    unsigned depth;
    bool is_pretty, has_error;
    struct fhir_xml_error *error;
};

/* ---- faults */

static void write_path(struct buf *out, const struct spot *spot)
{
    if (spot->up) {
        write_path(out, spot->up);
        buf_char(out, '.');
    }
    buf_str(out, spot->name);
    if (spot->index >= 0)
        buf_printf(out, "[%lld]", (long long)spot->index);
}

/* Always false. */
static bool fail(struct writing *w, const struct spot *spot, struct str what)
{
    char text[PATH_MAX_BYTES];
    struct buf path = buf_over(text, sizeof text);
    if (w->has_error)
        return false;
    write_path(&path, spot);
    w->has_error = true;
    *w->error = (struct fhir_xml_error){.path = arena_copy(w->arena, buf_text(&path)), .what = what};
    return false;
}

/* ---- text */

static void begin_line(struct writing *w)
{
    if (!w->is_pretty)
        return;
    buf_char(w->out, '\n');
    for (unsigned i = 0; i < w->depth; i++)
        BUF_LIT(w->out, "  ");
}

static const char *escape_of(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\t': /* or it would be read as a blank (XML 1.0, 3.3.3) */
        return "&#9;";
    case '\n':
        return "&#10;";
    case '\r':
        return "&#13;";
    default:
        return NULL;
    }
}

/* XML has no controls, and not the two last code points of its plane (XML 1.0, 2.2). */
static bool is_char(struct str text, size_t i)
{
    uint8_t c = (uint8_t)text.p[i];
    bool is_noncharacter =
        c == 0xef && text.n - i >= 3 && (uint8_t)text.p[i + 1] == 0xbf && (uint8_t)text.p[i + 2] >= 0xbe;
    return (c >= ' ' || c == '\t' || c == '\n' || c == '\r') && !is_noncharacter;
}

static bool write_attribute(struct writing *w, struct str name, struct str value, const struct spot *spot)
{
    buf_char(w->out, ' ');
    buf_str(w->out, name);
    BUF_LIT(w->out, "=\"");
    for (size_t i = 0; i < value.n; i++) {
        const char *escape = escape_of(value.p[i]);
        if (!is_char(value, i))
            return fail(w, spot, STR("a control character, which XML cannot hold"));
        if (escape)
            buf_str(w->out, str_of(escape));
        else
            buf_char(w->out, value.p[i]);
    }
    buf_char(w->out, '"');
    return true;
}

/* ---- the members of an object, in order */

static bool stands_before(const struct row *a, const struct row *b)
{
    unsigned of_a = fhir_element_index(a->element), of_b = fhir_element_index(b->element);
    return of_a < of_b || (of_a == of_b && a->is_companion < b->is_companion);
}

/* False: it is there already. */
static bool add_row(struct writing *w, size_t first, struct row row)
{
    size_t at = w->row_count;
    for (; at > first && stands_before(&row, &w->rows[at - 1]); at--)
        w->rows[at] = w->rows[at - 1];
    w->rows[at] = row;
    w->row_count++;
    return at == first || stands_before(&w->rows[at - 1], &row);
}

/* "fhir_comments" is DSTU2's, and validation lets it pass. */
static bool is_skipped(struct str name, bool is_resource)
{
    return str_eq(name, STR("fhir_comments")) || (is_resource && str_eq(name, STR("resourceType")));
}

static bool add_member(struct writing *w, const struct fhir_type *type, uint32_t key, size_t first,
                       const struct spot *spot)
{
    struct str name = json_text(w->tape, key);
    bool is_companion = name.n > 1 && name.p[0] == '_';
    const struct fhir_element *element = fhir_element_find(type, str_skip(name, is_companion));
    bool fits = element && !w->tape->nodes[key].has_escapes &&
                (!is_companion || fhir_type_primitive(fhir_element_type(element)) != FHIR_NO_PRIMITIVE);
    if (!fits)
        return fail(w, spot,
                    arena_printf(w->arena, "there is no element \"%.*s\" in %.*s",
                                 STR_ARG(str_take(name, QUOTE_MAX)), STR_ARG(fhir_type_name(type))));
    if (!add_row(w, first, (struct row){element, key + 1, is_companion}))
        return fail(w, spot, arena_printf(w->arena, "\"%.*s\" stands there twice", STR_ARG(name)));
    return true;
}

static bool add_members(struct writing *w, const struct fhir_type *type, uint32_t object,
                        const struct spot *spot)
{
    const struct json_tape *t = w->tape;
    size_t first = w->row_count;
    uint32_t key = json_first(t, object);
    bool is_resource = fhir_type_kind(type) == FHIR_RESOURCE;
    for (uint32_t left = json_count(t, object); left > 0; left--, key = json_next_member(t, key)) {
        if (!is_skipped(json_text(t, key), is_resource) && !add_member(w, type, key, first, spot))
            return false;
    }
    return true;
}

/* ---- elements */

/* What stands for an element in an object: a value, a companion, or both. */
struct member {
    const struct fhir_element *element;
    uint32_t value, companion; /* JSON_NONE: there is none */
};

/* The member at row *at, which moves behind it. */
static struct member next_member(const struct writing *w, size_t *at, size_t end)
{
    const struct row *row = &w->rows[(*at)++];
    struct member m = {row->element, JSON_NONE, JSON_NONE};
    *(row->is_companion ? &m.companion : &m.value) = row->node;
    if (*at < end && w->rows[*at].element == row->element)
        m.companion = w->rows[(*at)++].node;
    return m;
}

/* A value as its type is written in JSON, so that it can be read again. */
static bool is_value(const struct writing *w, enum fhir_primitive type, uint32_t node)
{
    enum json_type as = fhir_primitive_json_type(type), is = json_type(w->tape, node);
    bool is_boolean = is == JSON_TRUE || is == JSON_FALSE;
    if (as == JSON_STRING)
        return is == JSON_STRING && w->tape->nodes[node].length;
    return (as == JSON_TRUE ? is_boolean : is == as) &&
           fhir_primitive_is_valid(type, json_text(w->tape, node));
}

static bool is_attribute(const struct fhir_element *element)
{
    return fhir_element_flags(element) & FHIR_XML_ATTRIBUTE;
}

static bool write_attributes(struct writing *w, size_t first, size_t *ret_others, const struct spot *spot)
{
    for (size_t at = first, end = w->row_count; at < end;) {
        struct member m = next_member(w, &at, end);
        if (!is_attribute(m.element)) {
            ++*ret_others;
            continue;
        }
        struct str name = fhir_element_name(m.element);
        if (m.value == JSON_NONE || m.companion != JSON_NONE || !is_value(w, FHIR_STRING, m.value))
            return fail(w, spot, arena_printf(w->arena, "\"%.*s\" is not a text alone", STR_ARG(name)));
        if (!write_attribute(w, name, json_string(w->tape, m.value, w->arena), spot))
            return false;
    }
    return true;
}

static bool write_member(struct writing *, const struct member *, const struct spot *parent);

static bool write_children(struct writing *w, size_t first, const struct spot *spot)
{
    w->depth++;
    for (size_t at = first, end = w->row_count; at < end;) {
        struct member m = next_member(w, &at, end);
        if (!is_attribute(m.element) && !write_member(w, &m, spot))
            return false;
    }
    w->depth--;
    begin_line(w);
    return true;
}

static void write_tag(struct writing *w, struct str name, const char *start, const char *end)
{
    buf_str(w->out, str_of(start));
    buf_str(w->out, name);
    buf_str(w->out, str_of(end));
}

/* What follows a tag that has been begun: its attributes, what is in it, its end. object: its members, of
 * that type; JSON_NONE: it has none. */
static bool finish_tag(struct writing *w, struct str name, const struct fhir_type *type, uint32_t object,
                       struct str value, const struct spot *spot)
{
    size_t first = w->row_count, others = 0;
    if (object != JSON_NONE &&
        (!add_members(w, type, object, spot) || !write_attributes(w, first, &others, spot)))
        return false;
    if (value.p && !write_attribute(w, STR("value"), value, spot))
        return false;
    if (!value.p && w->row_count == first && fhir_type_kind(type) != FHIR_RESOURCE)
        return fail(w, spot, STR("an empty element"));
    buf_str(w->out, others ? STR(">") : STR("/>"));
    if (others) {
        if (!write_children(w, first, spot))
            return false;
        write_tag(w, name, "</", ">");
    }
    w->row_count = first;
    return true;
}

static bool is_object(const struct writing *w, uint32_t node)
{
    return node != JSON_NONE && json_type(w->tape, node) == JSON_OBJECT;
}

static bool write_element(struct writing *w, struct str name, const struct fhir_type *type, uint32_t object,
                          struct str value, const struct spot *spot)
{
    begin_line(w);
    write_tag(w, name, "<", "");
    return finish_tag(w, name, type, object, value, spot);
}

static bool write_div(struct writing *w, uint32_t node, const struct spot *spot)
{
    struct str text = json_string(w->tape, node, w->arena);
    while (text.n && strchr(" \t\r\n", text.p[text.n - 1]))
        text.n--;
    if (!xml_div_is_fine(text, FHIR_XML_DEPTH_MAX - w->depth, w->key))
        return fail(w, spot, STR("the narrative is not one well-formed <div xmlns=\"" XML_XHTML "\">"));
    begin_line(w);
    buf_str(w->out, text);
    return true;
}

static bool write_primitive(struct writing *w, const struct fhir_element *element, uint32_t value,
                            uint32_t companion, const struct spot *spot)
{
    enum fhir_primitive type = fhir_type_primitive(fhir_element_type(element));
    bool has_value = value != JSON_NONE && json_type(w->tape, value) != JSON_NULL;
    bool has_companion = companion != JSON_NONE && json_type(w->tape, companion) != JSON_NULL;
    if ((has_value && !is_value(w, type, value)) || (has_companion && !is_object(w, companion)) ||
        (!has_value && !has_companion))
        return fail(w, spot, arena_printf(w->arena, "not %.*s", STR_ARG(fhir_primitive_hint(type))));
    if (type == FHIR_XHTML)
        return has_value && !has_companion ? write_div(w, value, spot)
                                           : fail(w, spot, STR("a narrative is a text alone"));
    struct str text = has_value ? json_string(w->tape, value, w->arena) : STR_NONE;
    return write_element(w, fhir_element_name(element), fhir_type_find(STR("Element")),
                         has_companion ? companion : JSON_NONE, text, spot);
}

/* An element that holds a resource. */
static bool write_holder(struct writing *w, struct str name, uint32_t node, const struct spot *spot)
{
    struct fhir_value resource;
    if (!fhir_value_of_resource(w->tape, node, &resource))
        return fail(w, spot, STR("not a resource of FHIR R4"));
    if (w->depth + 1 >= FHIR_XML_DEPTH_MAX)
        return fail(w, spot, STR("elements nested too deeply"));
    begin_line(w);
    write_tag(w, name, "<", ">");
    w->depth++;
    begin_line(w);
    write_tag(w, fhir_type_name(resource.type), "<", "");
    if (!finish_tag(w, fhir_type_name(resource.type), resource.type, node, STR_NONE, spot))
        return false;
    w->depth--;
    begin_line(w);
    write_tag(w, name, "</", ">");
    return true;
}

static bool write_one(struct writing *w, const struct fhir_element *element, uint32_t value,
                      uint32_t companion, const struct spot *spot)
{
    const struct fhir_type *type = fhir_element_type(element);
    if (w->depth >= FHIR_XML_DEPTH_MAX)
        return fail(w, spot, STR("elements nested too deeply"));
    if (fhir_type_primitive(type) != FHIR_NO_PRIMITIVE)
        return write_primitive(w, element, value, companion, spot);
    if (!is_object(w, value))
        return fail(w, spot, STR("not an object"));
    if (fhir_type_kind(type) == FHIR_RESOURCE)
        return write_holder(w, fhir_element_name(element), value, spot);
    return write_element(w, fhir_element_name(element), type, value, STR_NONE, spot);
}

/* An array that is walked. */
struct list {
    uint32_t node, left;
};

static bool open_list(const struct writing *w, uint32_t node, struct list *ret)
{
    *ret = (struct list){0};
    if (node == JSON_NONE)
        return true;
    *ret = (struct list){json_first(w->tape, node), json_count(w->tape, node)};
    return json_type(w->tape, node) == JSON_ARRAY && ret->left;
}

static uint32_t next_of(const struct writing *w, struct list *list)
{
    uint32_t found = list->node;
    if (!list->left)
        return JSON_NONE;
    list->left--;
    list->node = json_next(w->tape, found);
    return found;
}

static bool write_list(struct writing *w, const struct member *m, struct spot *spot)
{
    struct list values, companions;
    if (!open_list(w, m->value, &values) || !open_list(w, m->companion, &companions))
        return fail(w, spot, STR("not a list with something in it"));
    for (spot->index = 0; values.left || companions.left; spot->index++) {
        uint32_t value = next_of(w, &values), companion = next_of(w, &companions);
        if (!write_one(w, m->element, value, companion, spot))
            return false;
    }
    return true;
}

static bool write_member(struct writing *w, const struct member *m, const struct spot *parent)
{
    struct spot spot = {parent, fhir_element_name(m->element), -1};
    if (fhir_element_most(m->element) != 1)
        return write_list(w, m, &spot);
    return write_one(w, m->element, m->value, m->companion, &spot);
}

bool fhir_xml_write(const struct fhir_value *resource, bool is_pretty, const struct hash_key *key,
                    struct arena *scratch, struct buf *out, struct fhir_xml_error *ret)
{
    struct str name = fhir_type_name(resource->type);
    struct spot root = {NULL, name, -1};
    struct fhir_xml_error error = {.path = STR(""), .what = STR("the resource is too large")};
    struct writing w = {.tape = resource->tape,
                        .key = key,
                        .arena = scratch,
                        .out = out,
                        .is_pretty = is_pretty,
                        .error = &error};
    w.rows = arena_alloc(scratch, (resource->tape->count / 2 + 1) * sizeof *w.rows);
    write_tag(&w, name, "<", " xmlns=\"" XML_FHIR "\"");
    bool is_written = w.rows && finish_tag(&w, name, resource->type, resource->node, STR_NONE, &root);
    if (is_pretty)
        buf_char(out, '\n');
    if (is_written && !buf_overflowed(out) && !arena_overflowed(scratch))
        return true;
    *ret = error;
    return false;
}
