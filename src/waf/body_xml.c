/* XML bodies: the text of the whole document as one value, and every attribute's value (XML:/ * and
 * XML://@*).
 *
 * No entity is ever expanded: a document that declares one is refused, what an external subset might say is
 * never fetched. */
#include "waf/tx.h"

#include <expat.h>
#include <stdlib.h>

enum { XML_DEPTH_MAX = 512 };

struct reading {
    XML_Parser parser;
    const struct body_input *in;
    struct body *body;
    struct buf text;
    unsigned depth;
    const char *refused;
};

static void refuse(struct reading *r, const char *why)
{
    r->refused = why;
    (void)XML_StopParser(r->parser, XML_FALSE);
}

static void note_work(struct reading *r, size_t bytes)
{
    if (r->in->tx)
        tx_work(r->in->tx, bytes + 100);
}

static void release_parser(void *parser)
{
    XML_ParserFree(parser);
}

/* A namespace is declared, which no path counts as an attribute (Namespaces in XML 1.0, 3; XPath 1.0, 5.4).
 */
static bool is_declaration(struct str name)
{
    return str_eq(name, STR("xmlns")) || str_starts(name, STR("xmlns:"));
}

static void XMLCALL on_start(void *user, const XML_Char *, const XML_Char **attributes)
{
    struct reading *r = user;
    if (++r->depth > XML_DEPTH_MAX) {
        r->body->limit = WAF_LIMIT_DEPTH;
        refuse(r, "XML: nested too deeply");
        return;
    }
    for (; attributes[0]; attributes += 2) {
        if (is_declaration(str_of(attributes[0])))
            continue;
        struct str value = arena_copy(r->in->arena, str_of(attributes[1]));
        note_work(r, value.n);
        if (!pairs_add(&r->body->xml_attributes, r->in->arena, STR("//@*"), value))
            refuse(r, "XML: no memory");
    }
}

static void XMLCALL on_end(void *user, const XML_Char *)
{
    struct reading *r = user;
    r->depth--;
}

static void XMLCALL on_text(void *user, const XML_Char *text, int n)
{
    struct reading *r = user;
    note_work(r, (size_t)n);
    buf_add(&r->text, text, (size_t)n);
}

static void XMLCALL on_entity(void *user, const XML_Char *, int, const XML_Char *, int, const XML_Char *,
                              const XML_Char *, const XML_Char *, const XML_Char *)
{
    refuse(user, "XML: entity declarations are refused");
}

static void read_all(struct reading *r)
{
    struct str bytes = r->in->bytes;
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetEntityDeclHandler(r->parser, on_entity);
    if (bytes.n > INT32_MAX / 4 || XML_Parse(r->parser, bytes.p, (int)bytes.n, true) != XML_STATUS_OK)
        body_fail(r->body, r->in, r->refused ? r->refused : "XML: the document is not well-formed");
    if (buf_overflowed(&r->text))
        body_fail(r->body, r->in, "XML: more text than the document has room for");
    r->body->xml_text = buf_text(&r->text);
    r->body->has_xml = true;
}

void body_parse_xml(const struct body_input *in, struct body *body)
{
    if (in->profile == WAF_PROFILE_FHIR && fhir_read_xml(in, body))
        return;
    size_t room =
        in->bytes.n * 2 + 16; /* UTF-8 out of ISO 8859-1 is at most twice as long, out of UTF-16 1.5 times */
    char *text = arena_bytes(in->arena, room);
    struct reading r = {
        .parser = XML_ParserCreate(NULL), .in = in, .body = body, .text = buf_over(text, text ? room : 0)};
    if (r.parser)
        body_hold(in, r.parser, release_parser);
    if (r.parser && text) {
        read_all(&r);
    } else {
        body->limit = WAF_LIMIT_MEMORY;
        body_fail(body, in, "XML: no memory");
    }
    if (r.parser)
        body_release(in, r.parser, release_parser);
}
