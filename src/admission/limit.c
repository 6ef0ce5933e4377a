/* admission/limit.c - the epochs of the adaptive limit, see limit.h: what is decided. The numbers come from
 * epoch.c. */
#include "admission/limit.h"

#include "admission/epoch.h"
#include "admission/reserve.h"

#include <math.h>

#define LIGHT_FEELS   0.02
#define LIGHT_SUFFERS 0.25
enum {
    LIGHT_SAMPLES_LEAST = 4, /* enough where it is plain */
    LIGHT_SAMPLES_GROW = 64,
    LIGHT_SAMPLES_MOST = 256,
    SAMPLES_LEAST = 16,
    SAMPLES_MOST = 4096, /* then what is known must do */
    START_MOST = 16,
    PROBE_AFTER = 16, /* epochs */
    PROBE_AFTER_MOST = 256,
    HEAVY_AFTER = 64,
    TIMEOUTS_OF = 16, /* from one timeout in so many answers there is too much at the upstream */
};

/* ---- changing the limit */

static void limit_set(struct pool *p, const struct epoch *e, double slots, enum limit_phase phase,
                      uint64_t now_us)
{
    struct area_limit *l = &p->shared->limit;
    double most = 2.0 * e->slots + 1, least = 0.7 * e->slots;
    slots = slots > most ? most : slots >= least ? slots : least; /* and what is no number */
    uint32_t whole = (uint32_t)(slots + 0.5);
    whole = whole < p->least ? p->least : whole > p->most ? p->most : whole;
    area_set32(&l->slots, whole);
    area_set32(&l->phase, phase);
    /* What was sent before is out by then, but for a few. */
    area_set(&l->count_from_us, now_us + (uint64_t)(2 * epoch_latency_us(e, MEAN)));
}

static void remember(struct area_limit *l, const struct epoch *e)
{
    area_set32(&l->was, e->slots);
    for (unsigned m = 0; m < MEASURES; m++)
        area_set32(&l->was_us[m], (uint32_t)epoch_latency_us(e, m));
}

enum verdict { QUEUES, DOES_NOT_QUEUE, CANNOT_TELL };

/* Limit and latency then and now: did the latency follow the limit by more than half? */
static enum verdict verdict_by(const struct area_limit *l, const struct epoch *e, unsigned measure)
{
    const struct measure *m = &e->by[measure];
    double was = area_get32(&l->was), was_us = area_get32(&l->was_us[measure]);
    double change = log2(e->slots / was);
    double one = log2(fmax(m->base_us + m->least_us, 1) / was_us) / change;
    double two = log2(fmax(m->base_us + m->most_us, 1) / was_us) / change;
    if (fmin(one, two) > 0.5)
        return QUEUES;
    return fmax(one, two) < 0.5 ? DOES_NOT_QUEUE : CANNOT_TELL;
}

static enum verdict experiment(const struct area_limit *l, const struct epoch *e)
{
    if (!area_get32(&l->was) || area_get32(&l->was) == e->slots)
        return CANNOT_TELL;
    enum verdict mean = verdict_by(l, e, MEAN), quarter = verdict_by(l, e, QUARTER);
    if (mean == QUEUES || quarter == QUEUES)
        return QUEUES;
    if (mean == DOES_NOT_QUEUE || (quarter == DOES_NOT_QUEUE && e->count >= SAMPLES_MOST / 8))
        return DOES_NOT_QUEUE;
    return e->count >= SAMPLES_MOST ? QUEUES : CANNOT_TELL;
}

static void shrink(struct pool *p, const struct epoch *e, double to, uint64_t now_us)
{
    struct area_limit *l = &p->shared->limit;
    if (area_get32(&l->phase) == LIMIT_SHRINKING && experiment(l, e) == DOES_NOT_QUEUE) {
        uint32_t back = area_get32(&l->was); /* up again, and see whether latency rises with it */
        remember(l, e);
        limit_set(p, e, back, LIMIT_PROBING, now_us);
        return;
    }
    if (area_get32(&l->phase) != LIMIT_SHRINKING)
        remember(l, e);
    area_set32(&l->step, 1);
    limit_set(p, e, fmin(to, e->slots - 1.0), LIMIT_SHRINKING, now_us);
}

static void grow(struct pool *p, const struct epoch *e, uint64_t now_us)
{
    struct area_limit *l = &p->shared->limit;
    bool is_start = area_get32(&l->phase) == LIMIT_START;
    uint32_t step = area_get32(&l->step), quarter = e->slots / 4 + 1;
    step = is_start ? e->slots / 2 + 1 : step < 1 ? 1 : step > quarter ? quarter : step;
    area_set32(&l->step, step * 2 > quarter ? quarter : step * 2);
    limit_set(p, e, e->slots + step, is_start ? LIMIT_START : LIMIT_STEADY, now_us);
}

static void hold(struct pool *p, const struct epoch *e, uint64_t now_us)
{
    struct area_limit *l = &p->shared->limit;
    uint32_t after = area_get32(&l->probe_after), holds = area_get32(&l->holds) + 1;
    if (e->is_full || e->slots >= START_MOST) /* it serves a day's load: no leaps from here */
        area_set32(&l->phase, LIMIT_STEADY);
    if (!e->is_full)
        return;
    area_set32(&l->step, 1);
    area_set32(&l->holds, holds);
    if (holds < (after ? after : PROBE_AFTER) || e->slots >= p->most)
        return;
    area_set32(&l->holds, 0);
    remember(l, e);
    limit_set(p, e, e->slots + e->slots / 10 + 1, LIMIT_PROBING, now_us);
}

/* ---- deciding */

/* False: the probe has no answer yet. */
static bool probe_end(struct pool *p, const struct epoch *e, uint64_t now_us)
{
    struct area_limit *l = &p->shared->limit;
    uint32_t after = area_get32(&l->probe_after);
    enum verdict verdict = e->is_full ? experiment(l, e) : QUEUES;
    after = after < PROBE_AFTER ? PROBE_AFTER : after;
    if (verdict == CANNOT_TELL)
        return false;
    if (verdict == DOES_NOT_QUEUE) {
        epoch_move_bases(p, true, true, false, 1);
        area_set32(&l->probe_after, PROBE_AFTER);
        limit_set(p, e, e->slots, LIMIT_STEADY, now_us);
        return true;
    }
    area_set32(&l->probe_after, after * 2 < PROBE_AFTER_MOST ? after * 2 : PROBE_AFTER_MOST);
    limit_set(p, e, area_get32(&l->was), LIMIT_STEADY, now_us);
    return true;
}

/* Light ones feel it. A base that is a little wrong looks the same and must not pull the limit down for ever:
 * where they do not suffer, it stays above three quarters of what was good once. */
static void shrink_heavy(struct pool *p, const struct epoch *e, uint64_t now_us)
{
    struct area_limit *l = &p->shared->limit;
    uint32_t after = area_get32(&l->probe_after), good = area_get32(&l->good);
    double to = fmin(0.95 * e->slots, e->slots - 1.0);
    if (e->light_least > LIGHT_SUFFERS)
        area_set32(&l->good, good - good / 16);
    after = after * 2 < HEAVY_AFTER ? HEAVY_AFTER : after * 2;
    area_set32(&l->probe_after, after < PROBE_AFTER_MOST ? after : PROBE_AFTER_MOST);
    area_set32(&l->holds, 0); /* the next attempt to grow comes later */
    if (to >= 0.75 * good)
        limit_set(p, e, to, LIMIT_STEADY, now_us);
}

static void grow_heavy(struct pool *p, const struct epoch *e, uint64_t now_us)
{
    struct area_limit *l = &p->shared->limit;
    uint32_t holds = area_get32(&l->holds);
    if (area_get32(&l->good) < e->slots)
        area_set32(&l->good, e->slots);
    area_set32(&l->holds, holds + 1);
    if (area_get32(&l->phase) == LIMIT_START)
        grow(p, e, now_us);
    else if (holds >= area_get32(&l->probe_after))
        limit_set(p, e, e->slots + 1.0, LIMIT_STEADY, now_us);
}

/* At a cold start, while few light ones come to tell: the heavy ones see no queue either. */
static bool queues_nowhere(const struct epoch *e)
{
    double target = 1 + e->slots / 64.0;
    return epoch_queued(e, MEAN, e->by[MEAN].wait_us) < target &&
           epoch_queued(e, QUARTER, e->by[QUARTER].wait_us) < target;
}

/* Heavy requests fill what is left for them. How many slots there are is then found by what light ones feel:
 * they should not wait LIGHT_FEELS of their latency. */
static bool decide_heavy(struct pool *p, const struct epoch *e, uint64_t now_us)
{
    bool is_start = area_get32(&p->shared->limit.phase) == LIMIT_START;
    bool is_plain = e->light_count >= LIGHT_SAMPLES_LEAST && e->light_least > 5 * LIGHT_FEELS;
    if (is_start && e->slots < START_MOST && !is_plain && e->light_count < SAMPLES_LEAST &&
        queues_nowhere(e)) {
        grow(p, e, now_us);
        return true;
    }
    if (e->light_count < SAMPLES_LEAST && e->count < SAMPLES_MOST && !is_plain)
        return false;
    if (e->light_least > LIGHT_FEELS)
        shrink_heavy(p, e, now_us);
    else if (e->light_most < LIGHT_FEELS && e->light_count >= (is_start ? SAMPLES_LEAST : LIGHT_SAMPLES_GROW))
        grow_heavy(p, e, now_us);
    else if (e->light_count < LIGHT_SAMPLES_MOST && e->count < SAMPLES_MOST)
        return false;
    return true;
}

static bool decide_by_queue(struct pool *p, const struct epoch *e, uint64_t now_us)
{
    area_set32(&p->shared->limit.good, e->slots);
    double target = 1 + e->slots / 64.0, least[MEASURES], most[MEASURES], wait[MEASURES];
    bool is_enough = e->count >= SAMPLES_MOST, is_start = area_get32(&p->shared->limit.phase) == LIMIT_START;
    for (unsigned m = 0; m < MEASURES; m++) {
        least[m] = epoch_queued(e, m, e->by[m].least_us);
        most[m] = epoch_queued(e, m, e->by[m].most_us);
        wait[m] = epoch_queued(e, m, e->by[m].wait_us);
    }
    unsigned worse = least[MEAN] > least[QUARTER] ? MEAN : QUARTER;
    if (least[worse] > 1.25 * target)
        shrink(p, e, e->busy - wait[worse] + target, now_us);
    else if (e->is_full && least[MEAN] < target / 2 && (!is_start || wait[MEAN] < target) &&
             (most[QUARTER] < target / 2 || (is_enough && wait[QUARTER] < target / 2)))
        grow(p, e, now_us);
    else if (is_enough || !e->is_full || (least[worse] > target / 2 && most[worse] < 1.25 * target))
        hold(p, e, now_us);
    else
        return false;
    return true;
}

/* False: too little is known yet. */
static bool decide(struct pool *p, const struct epoch *e, uint64_t now_us)
{
    if (e->timeouts * TIMEOUTS_OF > e->count) {
        limit_set(p, e, 0.7 * e->slots, LIMIT_STEADY, now_us);
        return true;
    }
    if (!e->is_full && 2 * e->peak <= e->slots) {
        epoch_move_bases(p, true, true, false, 4);
        return true;
    }
    epoch_move_bases(p, e->by[QUARTER].most_us < 0, e->by[MEAN].most_us < 0, true, 1);
    if (area_get32(&p->shared->limit.phase) == LIMIT_PROBING)
        return probe_end(p, e, now_us);
    if (e->is_heavy_full && (!e->is_full || e->light_count))
        return decide_heavy(p, e, now_us);
    return decide_by_queue(p, e, now_us);
}

static void look(struct pool *p, uint64_t now_us)
{
    struct area_limit *l = &p->shared->limit;
    struct epoch e;
    epoch_read(p, &e);
    uint32_t need = e.count * 2;
    if (e.count && decide(p, &e, now_us)) {
        epoch_begin(p, &e);
        need = limit_slots(p);
    }
    area_set32(&l->need, need > SAMPLES_MOST ? SAMPLES_MOST : need < SAMPLES_LEAST ? SAMPLES_LEAST : need);
}

void limit_note_answer(struct pool *p, unsigned kind, uint64_t latency_us, bool is_timeout, uint64_t now_us)
{
    struct area_limit *l = &p->shared->limit;
    uint32_t count = epoch_note(p, kind, latency_us, is_timeout, now_us), need = area_get32(&l->need);
    if (!count)
        return;
    /* One worker looks. Had it died over it, the next one does after so many samples. */
    bool is_due = count >= (need ? need : SAMPLES_LEAST) &&
                  atomic_compare_exchange_strong_explicit(&l->need, &need, UINT32_MAX, memory_order_relaxed,
                                                          memory_order_relaxed);
    if (is_due || count % (2 * SAMPLES_MOST) == 0)
        look(p, now_us);
}
