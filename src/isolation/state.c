/* isolation/state.c - a state made, copied and kept tidy, and what is looked up in it.
 *
 * Invariants of a tidy state
 *  1. scope[0] is the site. Another scope is there only while it says something.
 *  2. Every exception belongs to a layer of its scope, of `now` or of `before`.
 *  3. At most one standing for each scope and partner. */
#include "isolation/parts.h"

void isolation_state_init(struct isolation_state *ret, int64_t now_us)
{
    *ret = (struct isolation_state){.at_us = now_us, .scope_count = 1};
    ret->scope[0].now.depth = 1;
    ret->scope[0].since_us = now_us;
}

void isolation_state_drill(const struct isolation_state *state, struct isolation_state *ret)
{
    *ret = *state;
    ret->is_drill = true;
}

const struct isolation_scope *state_scope_const(const struct isolation_state *s, struct str cluster)
{
    for (unsigned i = 0; i < s->scope_count; i++)
        if (name_is(&s->scope[i].cluster, cluster))
            return &s->scope[i];
    return NULL;
}

struct isolation_scope *state_scope(struct isolation_state *s, struct str cluster)
{
    const struct isolation_scope *found = state_scope_const(s, cluster);
    return found ? &s->scope[found - s->scope] : NULL;
}

struct isolation_scope *state_scope_make(struct isolation_state *s, struct str cluster)
{
    struct isolation_scope *scope = state_scope(s, cluster);
    if (scope || s->scope_count == ISOLATION_SCOPES)
        return scope;
    scope = &s->scope[s->scope_count++];
    *scope = (struct isolation_scope){.now = {.depth = 1}};
    must(isolation_name_set(&scope->cluster, cluster));
    return scope;
}

const struct isolation_standing *state_standing_const(const struct isolation_state *s, struct str cluster,
                                                      struct str partner)
{
    for (unsigned i = 0; i < s->standing_count; i++)
        if (name_is(&s->standing[i].cluster, cluster) && name_is(&s->standing[i].partner, partner))
            return &s->standing[i];
    return NULL;
}

struct isolation_standing *state_standing(struct isolation_state *s, struct str cluster, struct str partner)
{
    const struct isolation_standing *found = state_standing_const(s, cluster, partner);
    return found ? &s->standing[found - s->standing] : NULL;
}

struct isolation_standing *state_standing_make(struct isolation_state *s, struct str cluster,
                                               struct str partner)
{
    struct isolation_standing *standing = state_standing(s, cluster, partner);
    if (standing || s->standing_count == ISOLATION_STANDINGS)
        return standing;
    standing = &s->standing[s->standing_count++];
    *standing = (struct isolation_standing){.stage = ISOLATION_STAGE_FULL};
    must(isolation_name_set(&standing->cluster, cluster));
    must(isolation_name_set(&standing->partner, partner));
    return standing;
}

uint8_t scope_stage(const struct isolation_state *s, const struct isolation_scope *scope, struct str cluster,
                    struct str partner)
{
    uint64_t cut = scope ? stack_top(&scope->now)->cut : 0;
    const struct isolation_standing *own = state_standing_const(s, cluster, partner);
    if (own && own->order > cut)
        return own->stage;
    return cut ? ISOLATION_STAGE_CUT : ISOLATION_STAGE_FULL;
}

bool exception_holds(const struct isolation_exception *e, const struct isolation_scope *scope, int64_t now_us)
{
    const struct isolation_layer *top = stack_top(&scope->now);
    return e->order == top->order && top->level < ISOLATION_SEALED && e->from_us <= now_us &&
           now_us < e->until_us;
}

static bool has_layer(const struct isolation_stack *stack, uint64_t order)
{
    for (unsigned i = 0; i < stack->depth; i++)
        if (stack->layer[i].order == order)
            return true;
    return false;
}

static bool belongs(const struct isolation_state *s, const struct isolation_exception *e)
{
    const struct isolation_scope *scope = state_scope_const(s, ISOLATION_STR(e->cluster));
    return scope && (has_layer(&scope->now, e->order) || has_layer(&scope->before, e->order));
}

static bool is_said(const struct isolation_scope *scope)
{
    const struct isolation_layer *lasting = &scope->now.layer[0];
    return scope->now.depth > 1 || scope->confirm_by_us || lasting->level != ISOLATION_OPEN || lasting->cut;
}

/* A standing that any layer could bring back to mean something stays. */
static bool is_spent(const struct isolation_state *s, const struct isolation_standing *standing)
{
    const struct isolation_scope *scope = state_scope_const(s, ISOLATION_STR(standing->cluster));
    return standing->stage == ISOLATION_STAGE_FULL && !standing->alarm_us && (!scope || !is_said(scope));
}

void state_tidy(struct isolation_state *s)
{
    unsigned kept = 1;
    for (unsigned i = 1; i < s->scope_count; i++)
        if (is_said(&s->scope[i]))
            s->scope[kept++] = s->scope[i];
    s->scope_count = kept;
    kept = 0;
    for (unsigned i = 0; i < s->exception_count; i++)
        if (belongs(s, &s->exception[i]))
            s->exception[kept++] = s->exception[i];
    s->exception_count = kept;
    kept = 0;
    for (unsigned i = 0; i < s->standing_count; i++)
        if (!is_spent(s, &s->standing[i]))
            s->standing[kept++] = s->standing[i];
    s->standing_count = kept;
}
