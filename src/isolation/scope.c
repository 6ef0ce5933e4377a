/* isolation/scope.c - the machine of one scope: the site, or a cluster.
 *
 *               isolate              isolate --for
 *             +---------+          +--------------+
 *             v         |          v              |
 *          +-----------------+  isolate --for  +---------------+
 *   ------>|     STEADY      |---------------->|     TIMED     |
 *          | a level, no end |<----------------| levels end    |
 *          +-----------------+  end, isolate   +---------------+
 *               |       ^                          |       ^
 *       isolate |       | confirm, lapse   isolate |       | confirm, lapse
 *     --confirm v       | (isolate)      --confirm v       | (isolate)
 *          +-----------------------------------------------------+
 *          | PROVISIONAL: what was before comes back, unless     |
 *          | somebody confirms in time                           |
 *          +-----------------------------------------------------+
 *
 * Exceptions come and go (except, revoke) without a change of condition.
 *
 * Invariants
 *  1. layer[0] has no end; each further one ends before the one below it.
 *  2. confirm_by_us is set exactly while `before` has layers, and lies before the end of the layer that
 * holds.
 *  3. A layer at closed or sealed names the order that cut the partners off. Raising to such a level cuts
 * anew; lowering takes the cut along; time brings back what lay below, cut or not.
 *  4. An order on a provisional scope settles it: who gives it has not locked himself out. */
#include "isolation/parts.h"

enum condition { STEADY = 1, TIMED = 2, PROVISIONAL = 4 };

typedef enum isolation_refusal act(struct isolation_state *, struct isolation_scope *,
                                   const struct isolation_order *, int64_t now_us);

static enum condition condition_of(const struct isolation_scope *scope)
{
    return scope->confirm_by_us ? PROVISIONAL : scope->now.depth > 1 ? TIMED : STEADY;
}

static uint64_t cut_of(const struct isolation_layer *top, const struct isolation_order *o, uint64_t number)
{
    if (o->level > top->level && o->level >= ISOLATION_CLOSED)
        return number;
    return o->partners_back ? 0 : top->cut;
}

/* partners_back: stages of the way back mean nothing any more; a partner that was cut off by itself, or with
 * an alarm, stays where it is. */
static void forget_way_back(struct isolation_state *s, struct str cluster, uint64_t cut)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < s->standing_count; i++) {
        const struct isolation_standing *own = &s->standing[i];
        bool is_way_back = cut && own->order > cut && !own->alarm_us && name_is(&own->cluster, cluster);
        if (!is_way_back)
            s->standing[kept++] = *own;
    }
    s->standing_count = kept;
}

static enum isolation_refusal add_exceptions(struct isolation_state *s, const struct isolation_order *o,
                                             uint64_t layer, int64_t now_us)
{
    for (unsigned i = 0; i < o->asked_count; i++) {
        if (s->exception_count == ISOLATION_EXCEPTIONS)
            return ISOLATION_REFUSED_EXCEPTIONS_FULL;
        struct isolation_exception *e = &s->exception[s->exception_count++];
        *e = o->asked[i];
        e->cluster = o->cluster;
        e->order = layer;
        e->from_us = now_us;
    }
    return ISOLATION_ACCEPTED;
}

static bool push_layer(struct isolation_stack *stack, const struct isolation_layer *layer)
{
    if (!layer->until_us)
        stack->depth = 0;
    while (stack->depth > 1 && stack_top(stack)->until_us <= layer->until_us)
        stack->depth--;
    if (stack->depth == ISOLATION_LAYERS)
        return false;
    stack->layer[stack->depth++] = *layer;
    for (unsigned i = stack->depth; i < ISOLATION_LAYERS; i++)
        stack->layer[i] = (struct isolation_layer){0};
    return true;
}

static enum isolation_refusal put(struct isolation_state *s, struct isolation_scope *scope,
                                  const struct isolation_order *o, int64_t now_us)
{
    const struct isolation_layer top = *stack_top(&scope->now);
    const struct isolation_layer layer = {o->until_us, s->order, cut_of(&top, o, s->order), o->level};
    const struct isolation_stack was = scope->now;
    if (!push_layer(&scope->now, &layer))
        return ISOLATION_REFUSED_LAYERS_FULL;
    scope->before = o->confirm_by_us ? was : (struct isolation_stack){0};
    scope->confirm_by_us = o->confirm_by_us;
    scope->since_us = now_us;
    scope->who = o->who;
    scope->reason = o->reason;
    if (o->partners_back)
        forget_way_back(s, ISOLATION_STR(o->cluster), top.cut);
    return add_exceptions(s, o, s->order, now_us);
}

static enum isolation_refusal except(struct isolation_state *s, struct isolation_scope *scope,
                                     const struct isolation_order *o, int64_t now_us)
{
    const struct isolation_layer *top = stack_top(&scope->now);
    if (top->level == ISOLATION_SEALED)
        return ISOLATION_REFUSED_EXCEPTION_SEALED;
    if (top->level < ISOLATION_PARTNERS)
        return ISOLATION_REFUSED_EXCEPTION_NEEDLESS;
    return add_exceptions(s, o, top->order, now_us);
}

static enum isolation_refusal revoke(struct isolation_state *s, struct isolation_scope *scope,
                                     const struct isolation_order *o, int64_t)
{
    unsigned kept = 0, count = s->exception_count;
    for (unsigned i = 0; i < count; i++) {
        const struct isolation_exception *e = &s->exception[i];
        if (!name_eq(&e->cluster, &scope->cluster) || !name_eq(&e->partner, &o->partner))
            s->exception[kept++] = *e;
    }
    s->exception_count = kept;
    return kept < count ? ISOLATION_ACCEPTED : ISOLATION_REFUSED_EXCEPTION_NONE;
}

static enum isolation_refusal settle(struct isolation_state *, struct isolation_scope *scope,
                                     const struct isolation_order *, int64_t)
{
    scope->confirm_by_us = 0;
    scope->before = (struct isolation_stack){0};
    return ISOLATION_ACCEPTED;
}

static enum isolation_refusal refuse_confirm(struct isolation_state *, struct isolation_scope *,
                                             const struct isolation_order *, int64_t)
{
    return ISOLATION_REFUSED_NOTHING_PROVISIONAL;
}

static const struct {
    unsigned from; /* conditions */
    enum isolation_event event;
    unsigned to; /* the conditions that may come of it; 0: the same */
    act *act;
} transitions[] = {
    {STEADY | TIMED | PROVISIONAL, ISOLATION_EVENT_ISOLATE, STEADY | TIMED | PROVISIONAL, put},
    {STEADY | TIMED | PROVISIONAL, ISOLATION_EVENT_EXCEPT, 0, except},
    {STEADY | TIMED | PROVISIONAL, ISOLATION_EVENT_REVOKE, 0, revoke},
    {PROVISIONAL, ISOLATION_EVENT_CONFIRM, STEADY | TIMED, settle},
    {STEADY | TIMED, ISOLATION_EVENT_CONFIRM, 0, refuse_confirm},
};

enum isolation_refusal scope_order(struct isolation_state *s, const struct isolation_order *o, int64_t now_us)
{
    struct isolation_scope *scope = state_scope_make(s, ISOLATION_STR(o->cluster));
    if (!scope)
        return ISOLATION_REFUSED_SCOPES_FULL;
    unsigned from = condition_of(scope);
    for (size_t i = 0; i < sizeof transitions / sizeof *transitions; i++) {
        if (!(transitions[i].from & from) || transitions[i].event != o->event)
            continue;
        enum isolation_refusal refusal = transitions[i].act(s, scope, o, now_us);
        if (!refusal)
            must(condition_of(scope) & (transitions[i].to ? transitions[i].to : from));
        return refusal;
    }
    return ISOLATION_REFUSED_EVENT;
}

int64_t scope_due_us(const struct isolation_scope *scope)
{
    return scope->confirm_by_us ? scope->confirm_by_us : stack_top(&scope->now)->until_us;
}

/* What comes next when the time of what holds is over. */
static struct isolation_stack next_stack(const struct isolation_scope *scope)
{
    struct isolation_stack next = scope->confirm_by_us ? scope->before : scope->now;
    if (!scope->confirm_by_us) {
        next.depth--;
        next.layer[next.depth] = (struct isolation_layer){0};
    }
    return next;
}

/* Does a layer let anybody through that the one which holds does not? Exceptions count by themselves. */
static bool would_open(const struct isolation_state *s, const struct isolation_scope *scope,
                       const struct isolation_layer *next, int64_t now_us)
{
    const struct isolation_layer *top = stack_top(&scope->now);
    if (next->level < top->level || next->cut < top->cut)
        return true;
    for (unsigned i = 0; i < s->exception_count; i++) {
        const struct isolation_exception *e = &s->exception[i];
        if (e->order == next->order && next->order != top->order && name_eq(&e->cluster, &scope->cluster) &&
            now_us < e->until_us)
            return true;
    }
    return false;
}

bool scope_time(struct isolation_state *s, struct isolation_scope *scope, struct isolation_moment now)
{
    bool did = false;
    for (int64_t due = scope_due_us(scope); due && due <= now.us; due = scope_due_us(scope)) {
        struct isolation_stack next = next_stack(scope);
        if (!now.is_sound && would_open(s, scope, stack_top(&next), now.us))
            return did;
        scope->now = next;
        scope->before = (struct isolation_stack){0};
        scope->confirm_by_us = 0;
        scope->since_us = now.us;
        did = true;
    }
    return did;
}
