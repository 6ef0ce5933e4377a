/* FHIR in XML (https://hl7.org/fhir/R4/xml.html): values stand in attributes, a resource in an element of its
 * own name, the narrative as elements of XHTML. Names are those that JSON has.
 *
 * No document type, so no entity; what an external subset might say is never fetched. */
#include "waf/fhir.h"

#include "waf/tx.h"

#include <expat.h>
#include <stdlib.h>

enum { XML_DEPTH_MAX = 512 };

struct frame {
    struct fhir_place *place;
    struct str content_type; /* of the attachment whose elements these are */
};

struct xml_reading {
    struct fhir_reading reading;
    XML_Parser parser;
    struct frame frames[XML_DEPTH_MAX + 1]; /* the first stands around the root */
    unsigned depth;
    struct xhtml xhtml;
    unsigned xhtml_depth; /* 0: not in a narrative */
    bool has_xhtml, is_other, has_doctype, has_instruction;
    const char *refused;
};

static struct arena *arena_of(struct xml_reading *x)
{
    return x->reading.in->arena;
}

static void stop(struct xml_reading *x)
{
    (void)XML_StopParser(x->parser, XML_FALSE);
}

static void refuse(struct xml_reading *x, const char *why)
{
    x->refused = why;
    stop(x);
}

static struct str attribute(const XML_Char **attributes, const char *name)
{
    for (; attributes[0]; attributes += 2) {
        if (strcmp(attributes[0], name) == 0)
            return str_of(attributes[1]);
    }
    return STR_NONE;
}

/* ---- narrative */

static void start_xhtml(struct xml_reading *x, const XML_Char *name, const XML_Char **attributes)
{
    struct str element = str_of(name);
    x->xhtml_depth++;
    xhtml_element(&x->xhtml, element);
    for (; attributes[0]; attributes += 2)
        xhtml_attribute(&x->xhtml, element, str_of(attributes[0]), str_of(attributes[1]));
}

static void begin_narrative(struct xml_reading *x, struct fhir_place *place, const XML_Char *name,
                            const XML_Char **attributes)
{
    x->frames[x->depth++] = (struct frame){.place = place};
    if (!x->has_xhtml && !xhtml_begin(&x->xhtml, x->reading.in->bytes.n * 4 + 16, arena_of(x))) {
        refuse(x, "XML: no memory");
        return;
    }
    x->has_xhtml = true;
    xhtml_restart(&x->xhtml);
    start_xhtml(x, name, attributes);
}

static void end_narrative(struct xml_reading *x)
{
    struct xhtml_result found = xhtml_end(&x->xhtml);
    found.text = arena_copy(arena_of(x), found.text);
    fhir_add_xhtml(&x->reading, x->frames[x->depth - 1].place->name, found.text, &found);
}

/* ---- elements */

static void add_leaf(struct xml_reading *x, struct fhir_place *place, struct str value)
{
    struct frame *parent = &x->frames[x->depth - 1];
    struct str copy = arena_copy(arena_of(x), value);
    if (str_eq(place->element, STR("contentType")))
        parent->content_type = copy;
    fhir_add_leaf(&x->reading, place, copy, parent->content_type);
}

static bool is_namespace(struct str name, struct str value)
{
    if (str_eq(name, STR("xmlns:xsi")))
        return str_eq(value, STR("http://www.w3.org/2001/XMLSchema-instance"));
    return str_eq(name, STR("xmlns")) && str_eq(value, STR("http://hl7.org/fhir"));
}

/* "url" of an extension and "id" are elements written as attributes; "value" is the element's own. */
static void add_attribute(struct xml_reading *x, struct fhir_place *place, struct str name, struct str value)
{
    if (is_namespace(name, value))
        return;
    if (str_eq(name, STR("value"))) {
        add_leaf(x, place, value);
        return;
    }
    struct fhir_place *child = fhir_place_child(&x->reading, place, arena_copy(arena_of(x), name), true);
    if (child)
        fhir_add_leaf(&x->reading, child, arena_copy(arena_of(x), value), STR(""));
}

static struct fhir_place *place_of(struct xml_reading *x, struct str name, bool is_scalar)
{
    struct fhir_place *parent = x->frames[x->depth - 1].place;
    if (parent->type.kind == WAF_KIND_RESOURCE)
        return fhir_place_resource(&x->reading, parent, name);
    return fhir_place_child(&x->reading, parent, arena_copy(arena_of(x), name), is_scalar);
}

static struct fhir_place *root_place(struct xml_reading *x, struct str name, struct str space)
{
    if (!str_eq(space, STR("http://hl7.org/fhir"))) {
        x->is_other = true;
        return NULL;
    }
    if (x->has_doctype)
        x->refused = "XML: a document type in FHIR";
    if (x->has_instruction)
        fhir_add_error(&x->reading, STR("XML"), "a processing instruction");
    x->reading.body->fhir.was_read = true;
    return x->refused ? NULL : fhir_place_root(&x->reading, name);
}

static void XMLCALL on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    struct xml_reading *x = user;
    struct str element = str_of(name), value = attribute(attributes, "value");
    if (x->depth + x->xhtml_depth >= XML_DEPTH_MAX) {
        x->reading.body->limit = WAF_LIMIT_DEPTH;
        refuse(x, "XML: nested too deeply");
        return;
    }
    if (x->xhtml_depth) {
        start_xhtml(x, name, attributes);
        return;
    }
    struct fhir_place *place = x->depth > 1 ? place_of(x, element, value.p != NULL)
                                            : root_place(x, element, attribute(attributes, "xmlns"));
    if (!place || x->reading.is_full) {
        stop(x);
        return;
    }
    if (place->type.kind == WAF_KIND_XHTML && !value.p) {
        begin_narrative(x, place, name, attributes);
        return;
    }
    for (; attributes[0]; attributes += 2)
        add_attribute(x, place, str_of(attributes[0]), str_of(attributes[1]));
    x->frames[x->depth++] = (struct frame){.place = place};
}

static void XMLCALL on_end(void *user, const XML_Char *)
{
    struct xml_reading *x = user;
    if (x->xhtml_depth && --x->xhtml_depth == 0)
        end_narrative(x);
    if (!x->xhtml_depth)
        x->depth--;
}

static void XMLCALL on_text(void *user, const XML_Char *text, int n)
{
    struct xml_reading *x = user;
    struct str s = {text, (size_t)n};
    if (x->xhtml_depth) {
        xhtml_text(&x->xhtml, s);
        return;
    }
    if (!text_trim(s).n)
        return;
    struct str name = x->frames[x->depth - 1].place->name;
    fhir_add_error(&x->reading, name, "text between elements");
    fhir_add_argument(&x->reading, name, arena_copy(arena_of(x), s));
}

static void XMLCALL on_doctype(void *user, const XML_Char *, const XML_Char *, const XML_Char *, int)
{
    struct xml_reading *x = user;
    x->has_doctype = true;
}

static void XMLCALL on_instruction(void *user, const XML_Char *, const XML_Char *)
{
    struct xml_reading *x = user;
    if (x->depth > 1)
        fhir_add_error(&x->reading, STR("XML"), "a processing instruction");
    x->has_instruction = true;
}

static void read_all(struct xml_reading *x)
{
    const struct body_input *in = x->reading.in;
    XML_SetUserData(x->parser, x);
    XML_SetElementHandler(x->parser, on_start, on_end);
    XML_SetCharacterDataHandler(x->parser, on_text);
    XML_SetStartDoctypeDeclHandler(x->parser, on_doctype);
    XML_SetProcessingInstructionHandler(x->parser, on_instruction);
    bool is_fine = in->bytes.n <= INT32_MAX / 4 &&
                   XML_Parse(x->parser, in->bytes.p, (int)in->bytes.n, true) == XML_STATUS_OK;
    if (!is_fine && !x->is_other && !x->reading.body->has_error)
        body_fail(x->reading.body, in, x->refused ? x->refused : "XML: the document is not well-formed");
}

static void release(void *reading)
{
    struct xml_reading *x = reading;
    XML_ParserFree(x->parser);
    free(x);
}

static struct xml_reading *new_reading(const struct body_input *in, struct body *body)
{
    struct xml_reading *x = calloc(1, sizeof *x);
    XML_Parser parser = x ? XML_ParserCreate(NULL) : NULL;
    if (!parser) {
        free(x);
        return NULL;
    }
    x->parser = parser;
    x->depth = 1;
    x->reading =
        (struct fhir_reading){.in = in, .body = body, .types = in->types ? in->types : &waf_types_r4};
    return x;
}

bool fhir_read_xml(const struct body_input *in, struct body *body)
{
    struct xml_reading *x = new_reading(in, body);
    if (!x) {
        body->limit = WAF_LIMIT_MEMORY;
        body_fail(body, in, "XML: no memory");
        return true;
    }
    body_hold(in, x, release);
    read_all(x);
    bool was_read = !x->is_other;
    body_release(in, x, release);
    return was_read;
}
