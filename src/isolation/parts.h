/* isolation/parts.h - what the files of this folder share. */
#ifndef POLDER_ISOLATION_PARTS_H
#define POLDER_ISOLATION_PARTS_H

#include "isolation/isolation.h"

#include "base/must.h"

static inline bool name_is(const struct isolation_name *name, struct str text)
{
    return str_eq(ISOLATION_STR(*name), text);
}

static inline bool name_eq(const struct isolation_name *a, const struct isolation_name *b)
{
    return str_eq(ISOLATION_STR(*a), ISOLATION_STR(*b));
}

/* ---- look-ups (state.c) */

struct isolation_scope *state_scope(struct isolation_state *, struct str cluster); /* NULL: it has none */
const struct isolation_scope *state_scope_const(const struct isolation_state *, struct str cluster);
/* Makes one that is open; NULL: no room. */
struct isolation_scope *state_scope_make(struct isolation_state *, struct str cluster);
struct isolation_standing *state_standing(struct isolation_state *, struct str cluster, struct str partner);
const struct isolation_standing *state_standing_const(const struct isolation_state *, struct str cluster,
                                                      struct str partner);
struct isolation_standing *state_standing_make(struct isolation_state *, struct str cluster,
                                               struct str partner);
/* Takes out what can have no effect any more: exceptions without their layer, open scopes, spent standings.
 */
void state_tidy(struct isolation_state *);

static inline const struct isolation_layer *stack_top(const struct isolation_stack *s)
{
    return &s->layer[s->depth - 1];
}

/* The stage in one scope alone; a scope that is not there is open. */
uint8_t scope_stage(const struct isolation_state *, const struct isolation_scope *, struct str cluster,
                    struct str partner);
bool exception_holds(const struct isolation_exception *, const struct isolation_scope *, int64_t now_us);

/* ---- the machines */

enum isolation_refusal scope_order(struct isolation_state *, const struct isolation_order *, int64_t now_us);
bool scope_time(struct isolation_state *, struct isolation_scope *, struct isolation_moment now);
int64_t scope_due_us(const struct isolation_scope *); /* 0: never */
enum isolation_refusal partner_order(struct isolation_state *, const struct isolation_order *,
                                     const struct isolation_policy *, int64_t now_us);

static inline void work_add(struct isolation_work *work, enum isolation_effect effect,
                            const struct isolation_state *state)
{
    must(work->count < ISOLATION_STEPS);
    work->step[work->count++] = (struct isolation_step){effect, state};
}

/* ---- comparing (compare.c) */

struct comparison {
    bool opens, tightens; /* anything, for anybody, now or later */
};
struct comparison state_compare(const struct isolation_state *old, const struct isolation_state *new);
/* As strict as each of the two, for everybody, now and later. ret may not be one of them. */
void state_stricter(const struct isolation_state *old, const struct isolation_state *new,
                    struct isolation_state *ret);

#endif
