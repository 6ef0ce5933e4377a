/* waf/pm.h - finds any of many words in a text, without case, in one pass: the automaton of Aho and Corasick,
 * "Efficient string matching" (CACM 18(6), 1975). */
#ifndef POLDER_WAF_PM_H
#define POLDER_WAF_PM_H

#include "base/arena.h"

struct pm;

struct pm *pm_new(struct arena *, size_t words,
                  size_t bytes);                   /* room for that many words of so many bytes in all */
void pm_add(struct pm *, struct str word);         /* borrowed */
bool pm_build(struct pm *, struct arena *scratch); /* after the last word; false: no memory */

const struct str *pm_words(const struct pm *, size_t *ret_count); /* as added, each once */

/* The word that ends first; of several that end there the longest. False: none. */
bool pm_find(const struct pm *, struct str text, struct str *ret_word);

#endif
