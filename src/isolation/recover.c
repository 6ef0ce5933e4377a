/* isolation/recover.c - what to do after a crash, from the record, the end of the journal and the kernel.
 *
 *   the record's order, against the journal's    half, dropped   done   ->
 *   the same                                     -               yes    SETTLED; KEPT when the kernel is
 * stricter the same                                     neither         no     RESUMED the same half no
 * HALVED the same                                     dropped         no     ABANDONED, once more one more
 * not half               COMPLETED one more                                     half                   HALVED
 *   one less, and that order closed nothing      -               no     ABANDONED
 *   less otherwise                                                      LOST
 *   more                                                                JOURNAL_SHORT
 *   no record                                                           UNREADABLE
 *
 * A record that is lost or cannot be read means closed and not sealed: closed ends everything from outside in
 * both directions, and what sealed would add is cutting care inside off from itself; a bad disk at night must
 * not do that. Who had ordered sealed is believed by the journal and by the kernel.
 *
 * Invariant: the state to go on with is nowhere more open than the record, than what the journal knows was
 * ordered to close, or, where nothing is under way, than the kernel. */
#include "isolation/parts.h"

static enum isolation_recovery verdict_same(const struct isolation_state *s,
                                            const struct isolation_tail *tail)
{
    if (!tail->has_order || tail->is_done)
        return ISOLATION_SETTLED;
    return s->is_half ? ISOLATION_HALVED : s->is_dropped ? ISOLATION_ABANDONED : ISOLATION_RESUMED;
}

static enum isolation_recovery verdict_of(const struct isolation_state *s, const struct isolation_tail *tail)
{
    uint64_t known = tail->has_order ? tail->order : 0;
    if (!s)
        return ISOLATION_UNREADABLE;
    if (s->order == known)
        return verdict_same(s, tail);
    if (s->order < known)
        return s->order + 1 == known && !tail->is_done && !tail->tightens ? ISOLATION_ABANDONED
                                                                          : ISOLATION_LOST;
    if (s->order - known > 1)
        return ISOLATION_JOURNAL_SHORT;
    return s->is_half ? ISOLATION_HALVED : ISOLATION_COMPLETED;
}

static struct isolation_scope *scope_or_site(struct isolation_state *s, struct str cluster)
{
    struct isolation_scope *scope = state_scope_make(s, cluster);
    return scope ? scope : &s->scope[0]; /* no room for the cluster: the whole site then */
}

static void put_lasting(struct isolation_state *s, struct isolation_scope *scope, uint8_t level, uint64_t cut)
{
    struct isolation_layer layer = {0, s->order, cut, level};
    scope->now = (struct isolation_stack){.layer = {layer}, .depth = 1};
    scope->before = (struct isolation_stack){0};
    scope->confirm_by_us = 0;
    scope->since_us = s->at_us;
    scope->who = s->last.who;
    scope->reason = s->last.reason;
}

static uint8_t sane_level(uint8_t level)
{
    return level < ISOLATION_LEVEL_COUNT ? level : ISOLATION_SEALED;
}

static void raise_found(struct isolation_state *s, const struct isolation_found_level *found, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t level = sane_level(found[i].level);
        struct isolation_scope *scope = scope_or_site(s, found[i].cluster);
        const struct isolation_layer *top = stack_top(&scope->now);
        if (level > top->level)
            put_lasting(s, scope, level, level >= ISOLATION_CLOSED ? s->order : top->cut);
    }
}

/* Without an end, and without the leaves and stages that the lost order may have taken back. */
static void hold(struct isolation_state *s, struct str cluster, uint8_t level)
{
    struct isolation_scope *scope = scope_or_site(s, cluster);
    uint8_t strictest = sane_level(level);
    for (unsigned i = 0; i < scope->now.depth; i++)
        strictest = scope->now.layer[i].level > strictest ? scope->now.layer[i].level : strictest;
    put_lasting(s, scope, strictest, s->order);
}

static void hold_as_journal(struct isolation_state *s, const struct isolation_tail *tail)
{
    hold(s, STR_NONE, ISOLATION_CLOSED);
    if (!tail->has_order)
        return;
    hold(s, STR_NONE, tail->site_level);
    if (tail->cluster.n)
        hold(s, ISOLATION_STR(tail->cluster), tail->scope_level);
}

static void begin_own_order(struct isolation_state *s, uint64_t number, enum isolation_recovery why,
                            int64_t now_us)
{
    s->order = number;
    s->at_us = now_us;
    s->is_half = s->is_proposal = false;
    s->is_dropped = why == ISOLATION_ABANDONED;
    s->last = (struct isolation_order){.event = ISOLATION_EVENT_RECOVER};
    must(isolation_name_set(&s->last.who, STR("polder")));
    must(isolation_reason_set(&s->last.reason, isolation_recovery_text(why, ISOLATION_EN)));
}

static uint64_t next_number(const struct isolation_state *s, const struct isolation_tail *tail)
{
    uint64_t known = tail->has_order ? tail->order : 0;
    return (s && s->order > known ? s->order : known) + 1;
}

static const struct {
    bool writes, journals, cuts, ends;
} steps[ISOLATION_RECOVERIES] = {
    [ISOLATION_SETTLED] = {false, false, false, false},   [ISOLATION_KEPT] = {true, true, true, true},
    [ISOLATION_RESUMED] = {false, false, true, true},     [ISOLATION_COMPLETED] = {false, true, true, true},
    [ISOLATION_HALVED] = {false, false, true, true},      [ISOLATION_ABANDONED] = {true, false, false, true},
    [ISOLATION_LOST] = {true, true, true, true},          [ISOLATION_UNREADABLE] = {true, true, true, true},
    [ISOLATION_JOURNAL_SHORT] = {true, true, true, true},
};

/* Enforced first, for what is enforced here never opens beyond the record. */
static void list_steps(enum isolation_recovery verdict, bool is_journalled, const struct isolation_state *s,
                       struct isolation_work *ret)
{
    *ret = (struct isolation_work){.tightens = steps[verdict].cuts};
    work_add(ret, ISOLATION_EFFECT_FILTER, s);
    work_add(ret, ISOLATION_EFFECT_WORKERS, s);
    if (steps[verdict].writes)
        work_add(ret, ISOLATION_EFFECT_WRITE, s);
    if (steps[verdict].journals || !is_journalled)
        work_add(ret, ISOLATION_EFFECT_JOURNAL_ORDER, s);
    if (steps[verdict].cuts)
        work_add(ret, ISOLATION_EFFECT_CUT, s);
    if (steps[verdict].ends)
        work_add(ret, ISOLATION_EFFECT_JOURNAL_DONE, s);
}

/* The kernel may be stricter than a record that is settled: an order whose first step alone was done. */
static enum isolation_recovery keep_found(const struct isolation_found_level *found, size_t count,
                                          uint64_t number, int64_t now_us, struct isolation_state *s)
{
    bool is_stricter = false;
    for (size_t i = 0; i < count; i++) {
        const struct isolation_scope *scope = state_scope_const(s, found[i].cluster);
        uint8_t level = scope ? stack_top(&scope->now)->level : ISOLATION_OPEN;
        is_stricter |= found[i].level > level;
    }
    if (!is_stricter)
        return ISOLATION_SETTLED;
    begin_own_order(s, number, ISOLATION_KEPT, now_us);
    raise_found(s, found, count);
    return ISOLATION_KEPT;
}

enum isolation_recovery isolation_recover(const struct isolation_state *s, const struct isolation_tail *tail,
                                          const struct isolation_found_level *found, size_t found_count,
                                          int64_t now_us, struct isolation_state *ret,
                                          struct isolation_work *ret_work)
{
    enum isolation_recovery verdict = verdict_of(s, tail);
    bool is_journalled = !s || s->order == 0 || (tail->has_order && s->order <= tail->order);
    if (s)
        *ret = *s;
    else
        isolation_state_init(ret, now_us);
    switch (verdict) {
    case ISOLATION_SETTLED:
        verdict = keep_found(found, found_count, next_number(s, tail), now_us, ret);
        break;
    case ISOLATION_ABANDONED:
        begin_own_order(ret, tail->order, verdict, now_us);
        break;
    case ISOLATION_LOST:
    case ISOLATION_UNREADABLE:
    case ISOLATION_JOURNAL_SHORT:
        begin_own_order(ret, next_number(s, tail), verdict, now_us);
        if (verdict != ISOLATION_JOURNAL_SHORT)
            hold_as_journal(ret, tail);
        raise_found(ret, found, found_count);
        break;
    default:
        break;
    }
    state_tidy(ret);
    list_steps(verdict, is_journalled, ret, ret_work);
    return verdict;
}
