/* waf/slots.h - a number for every name of TX that the rules write out, so that a transaction finds its
 * variables by number. Inside src/waf only; filled while rules are loaded, only read afterwards. */
#ifndef POLDER_WAF_SLOTS_H
#define POLDER_WAF_SLOTS_H

#include "base/arena.h"

/* Slots count from 1. The first ten are "0" to "9", what a regular expression captured. */
enum { SLOT_NONE = 0, SLOT_CAPTURES = 1 };

struct slots {
    struct str *names; /* [count + 1], as first written */
    uint32_t *table;   /* open addressing; 0: free */
    uint32_t count, cap, table_size;
};

/* The slot of a name, made if there is none; names count without case. SLOT_NONE: no memory. */
uint32_t slots_add(struct slots *, struct arena *, struct str name);
uint32_t slots_find(const struct slots *, struct str name); /* SLOT_NONE: the rules do not write it out */

#endif
