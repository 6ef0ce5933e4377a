/* The check of narratives: it ends, says no more than the narrative has, has a word for every refusal; and
 * what it finds nothing wrong with is well-formed for expat too, so that no reader of XML reads it otherwise.
 */
#include "base/must.h"
#include "waf/xhtml.h"

#include <expat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 14, ARENA_BYTES = 16 << 20 };

/* expat wants UTF-8 and knows no names of characters; both are checked elsewhere. */
static bool is_comparable(struct str div)
{
    for (size_t i = 0; i < div.n; i++) {
        uint8_t c = (uint8_t)div.p[i];
        if (c >= 0x7f || c == '&' || (c < ' ' && c != '\n' && c != '\t' && c != '\r'))
            return false;
    }
    return true;
}

static bool is_well_formed(struct str div)
{
    XML_Parser parser = XML_ParserCreate(NULL);
    must(parser);
    bool fine = XML_Parse(parser, div.p, (int)div.n, true) == XML_STATUS_OK;
    XML_ParserFree(parser);
    return fine;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str div = {(const char *)data, size};
    if (size > INPUT_MAX)
        return 0;
    struct arena *arena = arena_new(ARENA_BYTES);
    must(arena);
    struct xhtml_result found = xhtml_check(div, arena);
    must(found.text.n <= 2 * size + 16);
    must(!found.is_refused || found.problem);
    must(!found.problem || found.is_refused == !str_starts(str_of(found.problem), STR("loosely")));
    if (!found.problem && is_comparable(div))
        must(is_well_formed(div));
    arena_free(arena);
    return 0;
}
