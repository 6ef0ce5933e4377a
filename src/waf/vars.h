/* waf/vars.h - the variables of TX in one transaction. Inside src/waf only.
 *
 *  1. A name that rules write out lies in its slot (slots.h); others are found through a table of their own.
 *  2. A value is a text, a number, or both; whichever is missing is made when somebody asks.
 *  3. They are listed in the order in which they were first set, under the name by which they were set then.
 */
#ifndef POLDER_WAF_VARS_H
#define POLDER_WAF_VARS_H

#include "base/hash.h"
#include "waf/slots.h"
#include "waf/text.h"

struct var {
    struct str name;
    const char *text; /* borrowed from the rules, or own */
    char *own;        /* grows; used again for each new value */
    int64_t number;
    uint32_t n, own_cap, turn;
    bool is_set, has_text, has_number, is_pinned;
};

struct vars {
    struct var *items; /* [0] is nobody's; slots; then those without */
    uint32_t n, cap;
    const struct slots *slots;
    struct arena *arena;
    struct {
        uint32_t var, turn;
    } * order; /* valid as long as turn is the variable's */
    uint32_t order_n, order_cap, turns;
    uint32_t *table; /* of those without a slot; open addressing, 0: free */
    uint32_t table_size;
    struct hash_key key;
};

/* key: hard to guess by whoever chooses names. False: no memory. */
bool vars_init(struct vars *, const struct slots *, struct arena *, struct hash_key key);

/* NULL: not set. */
struct var *vars_find(struct vars *, struct str name);

static inline struct var *vars_at(struct vars *vars, uint32_t slot)
{
    struct var *var = &vars->items[slot];
    return var->is_set ? var : NULL;
}

/* The place of a name, set or not; slot: SLOT_NONE if not known. A name without a slot is copied. NULL: no
 * memory. */
struct var *vars_place(struct vars *, uint32_t slot, struct str name);

/* name: how it is written here; it lasts as long as the transaction. A pinned variable stays as it is. lasts:
 * so does the text; otherwise it is copied. */
void var_set_text(struct vars *, struct var *, struct str name, struct str text, bool lasts);
void var_set_number(struct vars *, struct var *, struct str name, int64_t number);
void var_unset(struct var *);
struct str var_text(struct vars *, struct var *);
int64_t var_number(struct var *); /* as text_number() reads it */

/* Those that are set and taken, in order; their texts are copies in the arena given. takes may be NULL: all.
 */
typedef bool vars_filter(const void *context, uint32_t slot,
                         struct str name); /* slot: SLOT_NONE without one */
struct pairs vars_list(struct vars *, struct arena *, vars_filter *takes, const void *context);

#endif
