/* From XML to elements: expat's events become a tree, which is checked while it grows. Names come from expat
 * as "namespace LF name" (LF prefix); the first fault stops the parser. */
#include "fhir/xml_read.h"

#include "base/nearest.h"
#include "fhir/primitive.h"
#include "fhir/xml_tree.h"

#include <expat.h>

enum { PATH_MAX_BYTES = 400, QUOTE_MAX = 60 };

struct reading {
    XML_Parser parser;
    struct str xml;
    struct arena *arena;
    struct xml_node *root, *current; /* current: the innermost element that is open; NULL: none */
    unsigned depth;
    unsigned div_depth; /* 0: not in a narrative */
    size_t div_at;      /* where it begins */
    bool declares_default, is_div_declared;
    bool has_error;
    struct fhir_xml_error error;
};

/* ---- faults */

static void write_path(struct buf *out, const struct xml_node *node)
{
    if (node->parent) {
        write_path(out, node->parent);
        if (!node->element) /* a resource in its element */
            return;
        buf_char(out, '.');
    }
    buf_str(out, node->element ? fhir_element_name(node->element) : fhir_type_name(node->type));
    if (xml_node_may_repeat(node))
        buf_printf(out, "[%u]", node->index);
}

static struct str path_of(struct reading *r, const struct xml_node *node)
{
    char text[PATH_MAX_BYTES];
    struct buf out = buf_over(text, sizeof text);
    if (node)
        write_path(&out, node);
    return arena_copy(r->arena, buf_text(&out));
}

static struct str quote(struct str text)
{
    return str_take(text, QUOTE_MAX);
}

static void fail(struct reading *r, struct str what)
{
    if (r->has_error)
        return;
    r->has_error = true;
    r->error = (struct fhir_xml_error){.line = (unsigned)XML_GetCurrentLineNumber(r->parser),
                                       .column = (unsigned)XML_GetCurrentColumnNumber(r->parser) + 1,
                                       .path = path_of(r, r->current),
                                       .what = what.n ? what : STR("the document is too large")};
    (void)XML_StopParser(r->parser, XML_FALSE);
}

#define FAIL(r, ...) fail((r), arena_printf((r)->arena, __VA_ARGS__))

/* ---- names */

struct name {
    struct str space, local, prefix;
};

static struct name name_of(const XML_Char *text)
{
    struct str rest = str_of(text), first = str_cut(&rest, '\n');
    if (!rest.p)
        return (struct name){STR(""), first, STR("")};
    struct str local = str_cut(&rest, '\n');
    return (struct name){first, local, rest.p ? rest : STR("")};
}

static void unknown_element(struct reading *r, const struct fhir_type *type, struct str name)
{
    struct nearest near = nearest_to(name);
    for (unsigned i = 0; i < fhir_element_count(type); i++)
        nearest_try(&near, fhir_element_name(fhir_element_at(type, i)));
    FAIL(r, "there is no element \"%.*s\" in %.*s%s%.*s%s", STR_ARG(quote(name)),
         STR_ARG(fhir_type_name(type)), near.best.n ? ", did you mean \"" : "", STR_ARG(near.best),
         near.best.n ? "\"?" : "");
}

/* ---- the tree */

static struct xml_node *add_node(struct reading *r, const struct fhir_type *type,
                                 const struct fhir_element *element)
{
    struct xml_node *node = arena_alloc(r->arena, sizeof *node), *parent = r->current;
    if (!node) {
        fail(r, STR("the document is too large"));
        return NULL;
    }
    *node = (struct xml_node){.type = type, .element = element, .parent = parent};
    if (!parent)
        return node;
    if (parent->last && parent->last->element == element)
        node->index = parent->last->index + 1;
    if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    return node;
}

/* The type whose elements a node may have: of a primitive those of every element. */
static const struct fhir_type *inner_type(const struct xml_node *node)
{
    return fhir_type_primitive(node->type) != FHIR_NO_PRIMITIVE ? fhir_type_find(STR("Element")) : node->type;
}

/* An element's own resource, by the name of its type. */
static struct xml_node *add_resource(struct reading *r, struct str name)
{
    const struct fhir_type *type = fhir_type_find(name);
    if (!type || !fhir_type_is_resource(type))
        FAIL(r, "\"%.*s\" is no resource type of FHIR R4", STR_ARG(quote(name)));
    else if (r->current && r->current->first)
        fail(r, STR("there are two resources where one may stand"));
    else
        return add_node(r, type, NULL);
    return NULL;
}

static bool is_in_order(struct reading *r, const struct fhir_element *element)
{
    const struct fhir_element *last = r->current->last_child;
    if (last && fhir_element_index(element) < fhir_element_index(last))
        FAIL(r, "\"%.*s\" stands behind \"%.*s\": in XML the order of elements is that of the definitions",
             STR_ARG(fhir_element_name(element)), STR_ARG(fhir_element_name(last)));
    else if (last == element && fhir_element_most(element) == 1)
        FAIL(r, "\"%.*s\" stands there twice", STR_ARG(fhir_element_name(element)));
    return !r->has_error;
}

static struct xml_node *add_element(struct reading *r, struct str name)
{
    const struct fhir_type *type = inner_type(r->current);
    const struct fhir_element *element = fhir_element_find(type, name);
    if (!element || fhir_element_flags(element) & FHIR_XML_ATTRIBUTE) {
        unknown_element(r, type, name);
        return NULL;
    }
    if (!is_in_order(r, element))
        return NULL;
    r->current->last_child = element;
    return add_node(r, fhir_element_type(element), element);
}

static bool holds_resource(const struct xml_node *node)
{
    return node->element && fhir_type_kind(node->type) == FHIR_RESOURCE;
}

/* ---- attributes */

static void set_value(struct reading *r, struct xml_node *node, struct str value)
{
    enum fhir_primitive type = fhir_type_primitive(node->type);
    r->current = node;
    if (type == FHIR_NO_PRIMITIVE || type == FHIR_XHTML)
        FAIL(r, "%.*s has no value of its own", STR_ARG(fhir_type_name(node->type)));
    else if (fhir_primitive_json_type(type) != JSON_STRING && !fhir_primitive_is_valid(type, value))
        FAIL(r, "\"%.*s\" is no %.*s", STR_ARG(quote(value)), STR_ARG(fhir_type_name(node->type)));
    else if (!value.n)
        fail(r, STR("an empty value"));
    else
        node->value = arena_copy(r->arena, value);
}

static void add_attribute(struct reading *r, struct xml_node *node, const XML_Char *text,
                          const XML_Char *value)
{
    struct name name = name_of(text);
    if (str_eq(name.space, STR("http://www.w3.org/2001/XMLSchema-instance")))
        return; /* where a schema may lie; nobody fetches it */
    r->current = node;
    if (!name.space.n && str_eq(name.local, STR("value"))) {
        set_value(r, node, str_of(value));
        return;
    }
    const struct fhir_element *element =
        name.space.n ? NULL : fhir_element_find(inner_type(node), name.local);
    if (!element || !(fhir_element_flags(element) & FHIR_XML_ATTRIBUTE)) {
        FAIL(r, "there is no attribute \"%.*s\" in %.*s", STR_ARG(quote(name.local)),
             STR_ARG(fhir_type_name(node->type)));
        return;
    }
    struct xml_node *child = add_node(r, fhir_element_type(element), element);
    if (child)
        set_value(r, child, str_of(value));
    r->current = node;
}

/* In the order of the definitions, whatever theirs: "id" first. */
static void add_attributes(struct reading *r, struct xml_node *node, const XML_Char **attributes)
{
    for (const XML_Char **a = attributes; a[0] && !r->has_error; a += 2) {
        if (strcmp(a[0], "id") == 0)
            add_attribute(r, node, a[0], a[1]);
    }
    for (const XML_Char **a = attributes; a[0] && !r->has_error; a += 2) {
        if (strcmp(a[0], "id") != 0)
            add_attribute(r, node, a[0], a[1]);
    }
}

/* ---- narrative: the text of the document from "<div" to "</div>" */

static size_t byte_at(const struct reading *r)
{
    return (size_t)XML_GetCurrentByteIndex(r->parser);
}

static void begin_div(struct reading *r, const struct name *name)
{
    if (!str_eq(name->space, STR(XML_XHTML)) || name->prefix.n) {
        fail(r, STR("a div has the namespace of XHTML as its own: <div xmlns=\"" XML_XHTML "\">"));
        return;
    }
    struct xml_node *node = add_element(r, STR("div"));
    if (!node)
        return;
    r->current = node;
    r->div_depth = 1;
    r->div_at = byte_at(r);
    r->is_div_declared = r->declares_default;
}

static void end_div(struct reading *r)
{
    static const struct str start = {"<div", 4};
    size_t end = byte_at(r) + (size_t)XML_GetCurrentByteCount(r->parser);
    struct str text = {r->xml.p + r->div_at, end - r->div_at};
    if (!str_starts(text, start) || end > r->xml.n)
        fail(r, STR("a div that begins otherwise than with <div"));
    else if (r->is_div_declared)
        r->current->value = text;
    else /* the namespace was declared further out */
        r->current->value =
            arena_printf(r->arena, "<div xmlns=\"" XML_XHTML "\"%.*s", STR_ARG(str_skip(text, start.n)));
    if (!r->has_error)
        r->current = r->current->parent;
}

static void start_in_div(struct reading *r, const struct name *name)
{
    r->div_depth++;
    if (!str_eq(name->space, STR(XML_XHTML)) || name->prefix.n)
        FAIL(r, "\"%.*s\" in a narrative is not XHTML without a prefix", STR_ARG(quote(name->local)));
}

/* ---- events */

static void start_element(struct reading *r, struct str name, bool is_resource, const XML_Char **attributes)
{
    struct xml_node *node = is_resource ? add_resource(r, name) : add_element(r, name);
    if (!node)
        return;
    if (!r->root)
        r->root = node;
    r->current = node;
    add_attributes(r, node, attributes);
}

static void XMLCALL on_start(void *user, const XML_Char *text, const XML_Char **attributes)
{
    struct reading *r = user;
    struct name name = name_of(text);
    bool is_resource = !r->current || holds_resource(r->current);
    if (r->has_error)
        return;
    if (r->depth++ == FHIR_XML_DEPTH_MAX) {
        FAIL(r, "elements nested more than %d deep", FHIR_XML_DEPTH_MAX);
    } else if (r->div_depth) {
        start_in_div(r, &name);
    } else if (!is_resource && fhir_type_primitive(r->current->type) == FHIR_NO_PRIMITIVE &&
               str_eq(name.local, STR("div")) && fhir_element_find(r->current->type, name.local)) {
        begin_div(r, &name);
    } else if (!str_eq(name.space, STR(XML_FHIR))) {
        FAIL(r, "\"%.*s\" is not of FHIR's namespace (" XML_FHIR ")", STR_ARG(quote(name.local)));
    } else {
        start_element(r, name.local, is_resource, attributes);
    }
    r->declares_default = false;
}

static void XMLCALL on_end(void *user, const XML_Char *)
{
    struct reading *r = user;
    if (r->has_error)
        return;
    r->depth--;
    if (r->div_depth) {
        if (--r->div_depth == 0)
            end_div(r);
        return;
    }
    bool may_be_empty = !r->current->element;
    if (!r->current->value.p && !r->current->first && !may_be_empty)
        fail(r, STR("an empty element"));
    else
        r->current = r->current->parent;
}

static void XMLCALL on_text(void *user, const XML_Char *text, int n)
{
    struct reading *r = user;
    struct str rest = {text, (size_t)n};
    while (!r->div_depth && rest.n && strchr(" \t\r\n", rest.p[0]))
        rest = str_skip(rest, 1);
    if (!r->div_depth && rest.n)
        FAIL(r, "text between elements: \"%.*s\"", STR_ARG(quote(rest)));
}

static void XMLCALL on_doctype(void *user, const XML_Char *, const XML_Char *, const XML_Char *, int)
{
    fail(user, STR("a document type: FHIR has none"));
}

static void XMLCALL on_instruction(void *user, const XML_Char *, const XML_Char *)
{
    fail(user, STR("a processing instruction: FHIR has none"));
}

static void XMLCALL on_declaration(void *user, const XML_Char *, const XML_Char *encoding, int)
{
    if (encoding && !str_eq_nocase(str_of(encoding), STR("UTF-8")))
        fail(user, STR("FHIR is written in UTF-8"));
}

static void XMLCALL on_namespace(void *user, const XML_Char *prefix, const XML_Char *)
{
    struct reading *r = user;
    r->declares_default |= !prefix;
}

/* ---- all of it */

static void set_handlers(struct reading *r, const struct hash_key *key)
{
    (void)XML_SetHashSalt(r->parser, (unsigned long)(key->k0 | 1)); /* else expat asks the system for one */
    XML_SetUserData(r->parser, r);
    XML_SetReturnNSTriplet(r->parser, true);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    XML_SetProcessingInstructionHandler(r->parser, on_instruction);
    XML_SetXmlDeclHandler(r->parser, on_declaration);
    XML_SetStartNamespaceDeclHandler(r->parser, on_namespace);
}

static void parse(struct reading *r)
{
    if (XML_Parse(r->parser, r->xml.p, (int)r->xml.n, true) == XML_STATUS_OK || r->has_error)
        return;
    FAIL(r, "not well-formed XML: %s", XML_ErrorString(XML_GetErrorCode(r->parser)));
}

bool fhir_xml_read(struct str xml, const struct hash_key *key, struct arena *scratch, struct buf *out,
                   struct fhir_xml_error *ret)
{
    struct reading r = {.xml = xml, .arena = scratch};
    if (!xml.n || xml.n > FHIR_XML_BYTES_MAX) {
        *ret = (struct fhir_xml_error){
            .path = STR(""), .what = xml.n ? STR("the document is too large") : STR("nothing there")};
        return false;
    }
    r.parser = XML_ParserCreateNS("UTF-8", '\n');
    if (!r.parser) {
        *ret = (struct fhir_xml_error){.path = STR(""), .what = STR("no memory")};
        return false;
    }
    set_handlers(&r, key);
    parse(&r);
    if (!r.has_error)
        xml_write_json(r.root, out);
    if (!r.has_error && (buf_overflowed(out) || arena_overflowed(scratch)))
        fail(&r, STR("the document is too large"));
    XML_ParserFree(r.parser);
    *ret = r.has_error ? r.error : *ret;
    return !r.has_error;
}
