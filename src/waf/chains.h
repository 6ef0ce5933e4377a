/* waf/chains.h - the distinct lists of transformations of a rule set. Inside src/waf only.
 *
 * A list has two forms. The whole one says what an operator sees. The scan form is what the prefilter is
 * shown: where a list makes letters small and nothing after it tells small from capital, that step is left
 * out and the patterns are compiled without case; so a text that only changes its case is not scanned a
 * second time. */
#ifndef POLDER_WAF_CHAINS_H
#define POLDER_WAF_CHAINS_H

#include "waf/rules.h"
#include "waf/texts.h"

enum { CHAIN_MAX = 64 };

struct chain_step {
    uint8_t is;       /* a transformation, or TEXT_CMD_LINE_NOCASE */
    byte_kinds kinds; /* a text with none of these comes out as it went in */
};

struct chain_form {
    struct chain_step steps[CHAIN_MAX];
    unsigned n;
    byte_kinds kinds; /* a text with none of these is not changed, or in the scan form in case only */
};

struct chain {
    struct chain_form whole, scan;
    bool is_caseless;
};

void chain_make(struct chain *, const struct transformations *);

/* What becomes of the text. TEXT_NONE: no memory. */
static inline uint32_t chain_run(const struct chain_form *form, struct texts *texts, uint32_t id)
{
    byte_kinds kinds = texts->items[id].kinds;
    if (form->kinds != KINDS_ANY && !(kinds & form->kinds))
        return id;
    for (unsigned i = 0; i < form->n; i++) {
        const struct chain_step *step = &form->steps[i];
        if (step->kinds != KINDS_ANY && !(kinds & step->kinds))
            continue;
        id = texts_transform(texts, id, step->is);
        if (id == TEXT_NONE)
            break;
        kinds = texts->items[id].kinds;
    }
    return id;
}

/* Do texts that differ in case only come out differing in case only? */
bool transformation_ignores_case(enum transformation);

#endif
