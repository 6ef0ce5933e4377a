/* Is a narrative's div one that XML can hold as it stands? */
#include "fhir/xml_tree.h"
#include "fhir/xml_write.h"

#include <expat.h>

struct checking {
    XML_Parser parser;
    unsigned depth, depth_max;
    size_t end; /* behind the root's end tag */
    bool is_bad;
};

static void refuse(struct checking *c)
{
    c->is_bad = true;
    (void)XML_StopParser(c->parser, XML_FALSE);
}

/* "http://www.w3.org/1999/xhtml LF name", without a prefix behind it. */
static bool is_xhtml(struct str name)
{
    struct str space = str_cut(&name, '\n');
    return str_eq(space, STR(XML_XHTML)) && str_find_char(name, '\n') < 0;
}

static void XMLCALL on_start(void *user, const XML_Char *text, const XML_Char **)
{
    struct checking *c = user;
    struct str name = str_of(text);
    bool is_root = c->depth++ == 0;
    if (!is_xhtml(name) || c->depth > c->depth_max || (is_root && !str_ends(name, STR("\ndiv"))))
        refuse(c);
}

static void XMLCALL on_end(void *user, const XML_Char *)
{
    struct checking *c = user;
    if (--c->depth == 0)
        c->end = (size_t)XML_GetCurrentByteIndex(c->parser) + (size_t)XML_GetCurrentByteCount(c->parser);
}

static void XMLCALL on_doctype(void *user, const XML_Char *, const XML_Char *, const XML_Char *, int)
{
    refuse(user);
}

static void XMLCALL on_instruction(void *user, const XML_Char *, const XML_Char *)
{
    refuse(user);
}

bool fhir_xml_div_is_well_formed(struct str text, const struct hash_key *key)
{
    return xml_div_is_fine(text, FHIR_XML_DEPTH_MAX, key);
}

bool xml_div_is_fine(struct str text, unsigned depth_max, const struct hash_key *key)
{
    struct checking c = {.parser = XML_ParserCreateNS("UTF-8", '\n'), .depth_max = depth_max};
    if (!c.parser || !str_starts(text, STR("<div")) || text.n > FHIR_XML_BYTES_MAX) {
        XML_ParserFree(c.parser);
        return false;
    }
    (void)XML_SetHashSalt(c.parser, (unsigned long)(key->k0 | 1));
    XML_SetUserData(c.parser, &c);
    XML_SetReturnNSTriplet(c.parser, true);
    XML_SetElementHandler(c.parser, on_start, on_end);
    XML_SetStartDoctypeDeclHandler(c.parser, on_doctype);
    XML_SetProcessingInstructionHandler(c.parser, on_instruction);
    bool is_fine =
        XML_Parse(c.parser, text.p, (int)text.n, true) == XML_STATUS_OK && !c.is_bad && c.end == text.n;
    XML_ParserFree(c.parser);
    return is_fine;
}
