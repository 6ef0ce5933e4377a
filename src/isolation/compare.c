/* isolation/compare.c - does a state open anything that another does not, or close it; and the state that is
 * as strict as both.
 *
 * A scope looks different at different times: levels end, what is not confirmed goes back. Views of it are
 * compared as it is now and at each such moment. Where the answer is not simple both flags are set: that only
 * makes an order be carried out in two halves. */
#include "isolation/parts.h"

#define AS_IT_IS INT64_C(-1)

enum { MOMENTS = 1 + 2 * (2 * ISOLATION_LAYERS + 1) };

struct view { /* of one scope at one moment */
    uint8_t level;
    uint64_t cut, order;
};

struct pair {
    const struct isolation_state *old, *new;
    struct str cluster;
    const struct isolation_scope *of_old, *of_new; /* NULL: open */
};

static struct view view_at(const struct isolation_scope *scope, int64_t at_us)
{
    if (!scope)
        return (struct view){0};
    const struct isolation_stack *stack = &scope->now;
    if (at_us != AS_IT_IS && scope->confirm_by_us && at_us >= scope->confirm_by_us)
        stack = &scope->before;
    unsigned i = stack->depth - 1u;
    while (at_us != AS_IT_IS && i > 0 && stack->layer[i].until_us <= at_us)
        i--;
    return (struct view){stack->layer[i].level, stack->layer[i].cut, stack->layer[i].order};
}

static unsigned add_moments(const struct isolation_scope *scope, int64_t *moments, unsigned count)
{
    for (unsigned i = 0; scope && i < ISOLATION_LAYERS; i++) {
        moments[count++] = scope->now.layer[i].until_us;
        moments[count++] = scope->before.layer[i].until_us;
    }
    if (scope)
        moments[count++] = scope->confirm_by_us;
    return count;
}

static unsigned moments_of(const struct pair *p, int64_t moments[MOMENTS])
{
    moments[0] = AS_IT_IS;
    return add_moments(p->of_new, moments, add_moments(p->of_old, moments, 1));
}

static uint8_t stage_with(const struct isolation_state *s, uint64_t cut, struct str cluster,
                          struct str partner, uint32_t *ret_rate)
{
    const struct isolation_standing *own = state_standing_const(s, cluster, partner);
    bool counts = own && own->order > cut;
    *ret_rate = counts ? own->rate_per_s : 0;
    return counts ? own->stage : cut ? ISOLATION_STAGE_CUT : ISOLATION_STAGE_FULL;
}

static void compare_numbers(uint64_t old, uint64_t new, struct comparison *c)
{
    c->opens |= new > old;
    c->tightens |= new < old;
}

static void compare_stages(const struct pair *p, const struct isolation_state *names, struct view a,
                           struct view b, struct comparison *c)
{
    for (unsigned i = 0; i < names->standing_count; i++) {
        const struct isolation_standing *own = &names->standing[i];
        uint32_t rate_a, rate_b;
        if (!name_is(&own->cluster, p->cluster))
            continue;
        uint8_t stage_a = stage_with(p->old, a.cut, p->cluster, ISOLATION_STR(own->partner), &rate_a);
        uint8_t stage_b = stage_with(p->new, b.cut, p->cluster, ISOLATION_STR(own->partner), &rate_b);
        compare_numbers(stage_a, stage_b, c);
        if (stage_a == stage_b)
            compare_numbers(rate_a, rate_b, c);
    }
}

static bool is_same_leave(const struct isolation_exception *a, const struct isolation_exception *b)
{
    return name_eq(&a->cluster, &b->cluster) && name_eq(&a->partner, &b->partner) &&
           a->has_prefix == b->has_prefix && memcmp(&a->prefix, &b->prefix, sizeof a->prefix) == 0 &&
           a->port_from == b->port_from && a->port_to == b->port_to && a->direction == b->direction;
}

/* Is every leave that `of` gives in a view given by `other` too, for as long? */
static bool leaves_covered(const struct isolation_state *of, struct view view,
                           const struct isolation_state *other, struct view other_view, struct str cluster)
{
    for (unsigned i = 0; i < of->exception_count; i++) {
        const struct isolation_exception *e = &of->exception[i];
        bool is_covered = false;
        if (e->order != view.order || !name_is(&e->cluster, cluster))
            continue;
        for (unsigned k = 0; k < other->exception_count && !is_covered; k++) {
            const struct isolation_exception *o = &other->exception[k];
            is_covered = o->order == other_view.order && is_same_leave(e, o) && o->until_us >= e->until_us &&
                         o->from_us <= e->from_us;
        }
        if (!is_covered)
            return false;
    }
    return true;
}

static struct comparison compare_scope(const struct pair *p)
{
    struct comparison c = {false, false};
    int64_t moments[MOMENTS];
    unsigned count = moments_of(p, moments);
    for (unsigned i = 0; i < count; i++) {
        struct view a = view_at(p->of_old, moments[i]), b = view_at(p->of_new, moments[i]);
        compare_numbers(b.level, a.level, &c);
        compare_numbers(a.cut == 0, b.cut == 0, &c);
        compare_stages(p, p->old, a, b, &c);
        compare_stages(p, p->new, a, b, &c);
        c.opens |= !leaves_covered(p->new, b, p->old, a, p->cluster);
        c.tightens |= !leaves_covered(p->old, a, p->new, b, p->cluster);
    }
    return c;
}

static struct pair pair_of(const struct isolation_state *old, const struct isolation_state *new,
                           struct str cluster)
{
    return (struct pair){old, new, cluster, state_scope_const(old, cluster), state_scope_const(new, cluster)};
}

/* Is it the first standing of a cluster that has no scope? */
static bool stands_alone(const struct pair *p, const struct isolation_state *s, unsigned standing)
{
    for (unsigned i = 0; i < standing; i++)
        if (name_is(&s->standing[i].cluster, p->cluster))
            return false;
    return !p->of_old && !p->of_new;
}

/* Calls for every scope that either state speaks of; for one without levels of its own perhaps twice. */
typedef void scope_seen(const struct pair *, void *context);
static void each_scope(const struct isolation_state *old, const struct isolation_state *new, scope_seen *seen,
                       void *context)
{
    const struct isolation_state *const both[] = {old, new};
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < both[k]->scope_count; i++) {
            struct pair p = pair_of(old, new, ISOLATION_STR(both[k]->scope[i].cluster));
            if (k == 0 || !p.of_old)
                seen(&p, context);
        }
        for (unsigned i = 0; i < both[k]->standing_count; i++) {
            struct pair p = pair_of(old, new, ISOLATION_STR(both[k]->standing[i].cluster));
            if (stands_alone(&p, both[k], i))
                seen(&p, context);
        }
    }
}

static void add_comparison(const struct pair *p, void *context)
{
    struct comparison *all = context, c = compare_scope(p);
    all->opens |= c.opens;
    all->tightens |= c.tightens;
}

struct comparison state_compare(const struct isolation_state *old, const struct isolation_state *new)
{
    struct comparison all = {false, false};
    each_scope(old, new, add_comparison, &all);
    return all;
}

/* ---- the stricter of both */

static void remove_scope(struct isolation_state *s, struct str cluster)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < s->exception_count; i++)
        if (!name_is(&s->exception[i].cluster, cluster))
            s->exception[kept++] = s->exception[i];
    s->exception_count = kept;
    kept = 0;
    for (unsigned i = 0; i < s->standing_count; i++)
        if (!name_is(&s->standing[i].cluster, cluster))
            s->standing[kept++] = s->standing[i];
    s->standing_count = kept;
}

/* The scope as the old state has it. There is room: other scopes hold the same in both states, or less. */
static void take_old(const struct pair *p, struct isolation_state *ret)
{
    struct isolation_scope *scope = state_scope_make(ret, p->cluster);
    remove_scope(ret, p->cluster);
    must(scope);
    if (p->of_old)
        *scope = *p->of_old;
    for (unsigned i = 0; i < p->old->exception_count; i++) {
        if (!name_is(&p->old->exception[i].cluster, p->cluster))
            continue;
        must(ret->exception_count < ISOLATION_EXCEPTIONS);
        ret->exception[ret->exception_count++] = p->old->exception[i];
    }
    for (unsigned i = 0; i < p->old->standing_count; i++) {
        if (!name_is(&p->old->standing[i].cluster, p->cluster))
            continue;
        must(ret->standing_count < ISOLATION_STANDINGS);
        ret->standing[ret->standing_count++] = p->old->standing[i];
    }
}

static struct isolation_layer strictest_layer(const struct pair *p)
{
    struct isolation_layer layer = {.order = p->new->order};
    int64_t moments[MOMENTS];
    unsigned count = moments_of(p, moments);
    for (unsigned i = 0; i < count; i++) {
        const struct view views[] = {view_at(p->of_old, moments[i]), view_at(p->of_new, moments[i])};
        for (unsigned k = 0; k < 2; k++) {
            layer.level = views[k].level > layer.level ? views[k].level : layer.level;
            layer.cut = views[k].cut > layer.cut ? views[k].cut : layer.cut;
        }
    }
    return layer;
}

/* The lowest stage that a partner has in either state at any moment. */
static uint8_t lowest_stage(const struct pair *p, struct str partner, uint32_t *ret_rate)
{
    uint8_t lowest = ISOLATION_STAGE_FULL;
    int64_t moments[MOMENTS];
    unsigned count = moments_of(p, moments);
    *ret_rate = 0;
    for (unsigned i = 0; i < 2 * count; i++) {
        const struct isolation_scope *scope = i & 1 ? p->of_new : p->of_old;
        uint32_t rate;
        uint8_t stage = stage_with(i & 1 ? p->new : p->old, view_at(scope, moments[i / 2]).cut, p->cluster,
                                   partner, &rate);
        if (stage < lowest || (stage == lowest && rate && rate < *ret_rate))
            *ret_rate = rate;
        lowest = stage < lowest ? stage : lowest;
    }
    return lowest;
}

static void lower_standings(const struct pair *p, const struct isolation_state *names,
                            struct isolation_state *ret)
{
    for (unsigned i = 0; i < names->standing_count; i++) {
        struct isolation_standing low = names->standing[i];
        if (!name_is(&low.cluster, p->cluster))
            continue;
        low.stage = lowest_stage(p, ISOLATION_STR(low.partner), &low.rate_per_s);
        low.order = ret->order;
        struct isolation_standing *own = state_standing_make(ret, p->cluster, ISOLATION_STR(low.partner));
        must(own);
        *own = low;
    }
}

static int64_t earlier(int64_t a_us, int64_t b_us)
{
    return b_us && b_us < a_us ? b_us : a_us;
}

/* Leaves that both states give now. They end with the layer that they belong to in either. */
static void keep_common_leaves(const struct pair *p, struct isolation_state *ret)
{
    uint64_t of_old = view_at(p->of_old, AS_IT_IS).order, of_new = view_at(p->of_new, AS_IT_IS).order;
    for (unsigned i = 0; i < p->new->exception_count; i++) {
        struct isolation_exception e = p->new->exception[i];
        bool is_common = false;
        for (unsigned k = 0; k < p->old->exception_count && !is_common; k++) {
            const struct isolation_exception *o = &p->old->exception[k];
            is_common = o->order == of_old && e.order == of_new && is_same_leave(&e, o);
            if (is_common) {
                e.until_us = earlier(e.until_us, o->until_us);
                e.from_us = o->from_us > e.from_us ? o->from_us : e.from_us;
            }
        }
        if (!is_common || !name_is(&e.cluster, p->cluster))
            continue;
        must(ret->exception_count < ISOLATION_EXCEPTIONS && p->of_old && p->of_new);
        e.until_us = earlier(earlier(e.until_us, scope_due_us(p->of_old)), scope_due_us(p->of_new));
        e.order = ret->order;
        ret->exception[ret->exception_count++] = e;
    }
}

static void take_strictest(const struct pair *p, struct isolation_state *ret)
{
    struct isolation_scope *scope = state_scope_make(ret, p->cluster);
    remove_scope(ret, p->cluster);
    lower_standings(p, p->old, ret);
    lower_standings(p, p->new, ret);
    keep_common_leaves(p, ret);
    must(scope);
    scope->now = (struct isolation_stack){.layer = {strictest_layer(p)}, .depth = 1};
    scope->before = (struct isolation_stack){0};
    scope->confirm_by_us = 0;
}

static void take_stricter(const struct pair *p, void *context)
{
    struct comparison c = compare_scope(p);
    if (c.opens && c.tightens)
        take_strictest(p, context);
    else if (c.opens)
        take_old(p, context);
}

void state_stricter(const struct isolation_state *old, const struct isolation_state *new,
                    struct isolation_state *ret)
{
    *ret = *new;
    ret->is_half = state_compare(old, new).opens;
    each_scope(old, new, take_stricter, ret);
    state_tidy(ret);
}
