/* admission/epoch.c - sums over answers, see epoch.h.
 *
 * waits[] counts answers by latency minus the quarter base of their kind, in steps of a 64th of scale_us,
 * from one scale below to three above: each kind has a quarter of its answers below its base, so all together
 * have, and a queue moves all by the same time. sums: bits 0-19 count the answers, above them the sum of x +
 * BIAS; squares: the sum of x^2, with x the latency minus the mean base of its kind in 256ths of scale_us,
 * cut off at CLIP. */
#include "admission/epoch.h"

#include "admission/reserve.h"

#include <math.h>

enum {
    STEPS = 64,
    FINE = 256,
    CLIP = 4 * FINE,
    BIAS = CLIP,
    COUNT_BITS = 20,
    COUNT_MASK = (1 << COUNT_BITS) - 1,
    LATENCY_MOST_US = 600'000'000,
    KIND_SAMPLES = 4, /* fewer say nothing about a kind's base */
    TRACK = 256,      /* a step of the quarter is this part of it, larger for the first answers */
    TRACK_FIRST = 8,
    TRACK_FAST = 4, /* times, when it is far off: after so many on one side: */
    RUN_BELOW = 8,  /* 0.25^8 by chance */
    RUN_ABOVE = 24, /* 0.75^24 */
    PART = 1024,    /* of a light request's base */
    LAME_TIMES = 8, /* an answer moves the mean as if it had taken so many means at most */
};

/* ---- reading */

/* The wait below which that many answers lie. */
static double wait_at(const uint32_t waits[AREA_WAITS], double rank, double scale_us)
{
    double below = 0;
    for (unsigned i = 0; i < AREA_WAITS; i++) {
        if (waits[i] && below + waits[i] >= rank)
            return ((double)i - STEPS + (rank - below) / waits[i]) * scale_us / STEPS;
        below += waits[i];
    }
    return (AREA_WAITS - STEPS) * scale_us / STEPS;
}

static void quarter_read(const struct area_limit *l, double scale_us, struct measure *ret)
{
    uint32_t waits[AREA_WAITS], count = 0;
    for (unsigned i = 0; i < AREA_WAITS; i++)
        count += waits[i] = area_get32(&l->waits[i]);
    double rank = count * 0.25,
           error = 2 * sqrt(count * 0.1875); /* twice the deviation of a binomial count */
    ret->wait_us = wait_at(waits, rank, scale_us);
    ret->least_us = wait_at(waits, rank > error + 0.5 ? rank - error : 0.5, scale_us);
    ret->most_us = wait_at(waits, rank + error < count ? rank + error : count, scale_us);
}

static void mean_read(const struct area_limit *l, uint64_t sums, double scale_us, struct measure *ret)
{
    double count = (double)(sums & COUNT_MASK);
    double mean = (double)(sums >> COUNT_BITS) / count - BIAS;
    double variance = (double)area_get(&l->squares) / count - mean * mean;
    double error = 2 * sqrt(fmax(variance, 1) / count) * scale_us / FINE;
    ret->wait_us = mean * scale_us / FINE;
    ret->least_us = ret->wait_us - error;
    ret->most_us = ret->wait_us + error;
}

static void light_read(const struct area_limit *l, struct epoch *e)
{
    uint64_t sums = area_get(&l->light_sums);
    e->light_count = sums & COUNT_MASK;
    if (!e->light_count)
        return;
    double mean = (double)(sums >> COUNT_BITS) / e->light_count - 4 * PART;
    double variance = (double)area_get(&l->light_squares) / e->light_count - mean * mean;
    double error = 2 * sqrt(fmax(variance, 1) / e->light_count);
    e->light_least = (mean - error) / PART;
    e->light_most = (mean + error) / PART;
}

static void bases_read(const struct pool *p, struct epoch *e)
{
    double counted = 0;
    for (unsigned k = 0; k < ADMISSION_KINDS; k++) {
        const struct area_kind *kind = &p->shared->kinds[k];
        double n = area_get32(&kind->count);
        counted += n;
        e->by[QUARTER].base_us += n * area_get32(&kind->quarter[BASE]);
        e->by[MEAN].base_us += n * area_get32(&kind->mean[BASE]);
    }
    for (unsigned m = 0; m < MEASURES; m++)
        e->by[m].base_us /= fmax(counted, 1);
}

void epoch_read(const struct pool *p, struct epoch *ret)
{
    const struct area_limit *l = &p->shared->limit;
    uint64_t sums = area_get(&l->sums);
    double scale = area_get32(&l->scale_us);
    *ret = (struct epoch){.count = sums & COUNT_MASK, .slots = limit_slots(p), .peak = area_get32(&l->peak)};
    ret->is_full = area_get32(&l->full);
    ret->is_heavy_full = area_get32(&l->heavy_full);
    ret->timeouts = area_get32(&l->timeouts);
    ret->busy = ret->is_full || ret->peak > ret->slots ? ret->slots : ret->peak;
    if (!ret->count)
        return;
    bases_read(p, ret);
    quarter_read(l, scale, &ret->by[QUARTER]);
    mean_read(l, sums, scale, &ret->by[MEAN]);
    light_read(l, ret);
}

void epoch_begin(struct pool *p, const struct epoch *last)
{
    struct area_limit *l = &p->shared->limit;
    for (unsigned i = 0; i < AREA_WAITS; i++)
        area_set32(&l->waits[i], 0);
    for (unsigned k = 0; k < ADMISSION_KINDS; k++)
        area_set32(&p->shared->kinds[k].count, 0);
    area_set32(&l->scale_us, (uint32_t)epoch_latency_us(last, MEAN));
    area_set32(&l->peak, 0);
    area_set32(&l->full, 0);
    area_set32(&l->heavy_full, 0);
    area_set32(&l->timeouts, 0);
    area_set(&l->squares, 0);
    area_set(&l->light_squares, 0);
    area_set(&l->light_sums, 0);
    area_set(&l->sums, 0);
}

double epoch_latency_us(const struct epoch *e, unsigned measure)
{
    return fmax(e->by[measure].base_us + e->by[measure].wait_us, 1);
}

double epoch_queued(const struct epoch *e, unsigned measure, double wait_us)
{
    double mean = epoch_latency_us(e, MEAN);
    double latency = measure == MEAN ? mean : sqrt(mean * epoch_latency_us(e, QUARTER));
    return e->busy * wait_us / latency;
}

/* ---- bases */

static void base_move(area_u32 pair[2], bool is_down_only, unsigned part)
{
    int64_t base = area_get32(&pair[BASE]), now = area_get32(&pair[NOW]);
    if (is_down_only && now >= base)
        return;
    base += (now - base) / (int64_t)part;
    area_set32(&pair[BASE], base > 0 ? (uint32_t)base : 1);
}

void epoch_move_bases(struct pool *p, bool quarters, bool means, bool is_down_only, unsigned part)
{
    for (unsigned k = 0; k < ADMISSION_KINDS; k++) {
        struct area_kind *kind = &p->shared->kinds[k];
        if (area_get32(&kind->count) < KIND_SAMPLES)
            continue;
        if (quarters)
            base_move(kind->quarter, is_down_only, part);
        if (means)
            base_move(kind->mean, is_down_only, part);
    }
}

/* ---- answers. Plain stores where nothing is added up: what is lost when two workers do it at once is a
 * step. track: bits 0-15 how many answers in a row lay on one side of the quarter, 16-30 how many there were
 * so far, as far as it matters, 31 the side. */

/* Three steps down for an answer below it, one up for one above. */
static void quarter_track(area_u32 *cell, uint32_t latency_us, bool is_above, uint32_t run, uint32_t total)
{
    uint32_t now = area_get32(cell);
    uint32_t step = now / (total + TRACK_FIRST < TRACK ? total + TRACK_FIRST : TRACK) + 1;
    if (run >= (is_above ? RUN_ABOVE : RUN_BELOW))
        step *= TRACK_FAST;
    uint32_t to = is_above ? now + step : now > 3 * step ? now - 3 * step : 1;
    if (is_above ? to > latency_us : to < latency_us)
        to = latency_us;
    area_set32(cell, to);
}

static void kind_track(struct area_kind *k, uint32_t latency_us)
{
    uint32_t track = area_get32(&k->track), total = track >> 16 & 0x7fff, run = track & 0xffff;
    bool is_above = latency_us > area_get32(&k->quarter[NOW]);
    run = is_above == (bool)(track >> 31) ? run + (run < 0xffff) : 1;
    quarter_track(&k->quarter[NOW], latency_us, is_above, run, total);
    int64_t mean = area_get32(&k->mean[NOW]), parts = total < TRACK ? total + 1 : TRACK;
    int64_t counted = latency_us < LAME_TIMES * mean ? latency_us : LAME_TIMES * mean;
    area_set32(&k->mean[NOW], (uint32_t)(mean + (counted - mean) / parts));
    if (total < 2 * KIND_SAMPLES) /* one or two are not yet a mean */
        area_set32(&k->mean[BASE], area_get32(&k->mean[NOW]));
    area_set32(&k->track, (uint32_t)is_above << 31 | (total < TRACK ? total + 1 : TRACK) << 16 | run);
}

static void kind_first(struct area_kind *k, uint32_t latency_us)
{
    for (unsigned i = BASE; i <= NOW; i++) {
        area_set32(&k->quarter[i], latency_us);
        area_set32(&k->mean[i], latency_us);
    }
}

static void add_up_light(struct area_limit *l, const struct area_kind *k, uint32_t latency_us)
{
    int64_t base = area_get32(&k->mean[BASE]);
    int64_t x = ((int64_t)latency_us - base) * PART / (base ? base : 1);
    x = x < -4 * PART ? -4 * PART : x > 4 * PART ? 4 * PART : x;
    atomic_fetch_add_explicit(&l->light_squares, (uint64_t)(x * x), memory_order_relaxed);
    atomic_fetch_add_explicit(&l->light_sums, ((uint64_t)(x + 4 * PART) << COUNT_BITS) + 1,
                              memory_order_relaxed);
}

static uint32_t add_up(struct area_limit *l, const struct area_kind *k, uint32_t latency_us)
{
    int64_t scale = area_get32(&l->scale_us);
    if (!scale)
        area_set32(&l->scale_us, (uint32_t)(scale = latency_us));
    int64_t wait = STEPS + ((int64_t)latency_us - area_get32(&k->quarter[BASE])) * STEPS / scale;
    int64_t x = ((int64_t)latency_us - area_get32(&k->mean[BASE])) * FINE / scale;
    wait = wait < 0 ? 0 : wait >= AREA_WAITS ? AREA_WAITS - 1 : wait;
    x = x < -CLIP ? -CLIP : x > CLIP ? CLIP : x;
    atomic_fetch_add_explicit(&l->waits[wait], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->squares, (uint64_t)(x * x), memory_order_relaxed);
    uint64_t sum =
        atomic_fetch_add_explicit(&l->sums, ((uint64_t)(x + BIAS) << COUNT_BITS) + 1, memory_order_relaxed);
    return (sum & COUNT_MASK) + 1;
}

uint32_t epoch_note(struct pool *p, unsigned kind, uint64_t latency_us, bool is_timeout, uint64_t now_us)
{
    struct area_limit *l = &p->shared->limit;
    struct area_kind *k = &p->shared->kinds[kind];
    uint32_t us = latency_us < LATENCY_MOST_US ? (uint32_t)latency_us + 1 : LATENCY_MOST_US;
    bool is_first = !area_get32(&k->quarter[BASE]);
    if (is_first && is_timeout)
        return 0;
    if (is_first)
        kind_first(k, us);
    uint64_t from_us = area_get(&l->count_from_us);
    if (now_us < from_us && from_us - now_us < 2 * (uint64_t)LATENCY_MOST_US)
        return 0;
    atomic_fetch_add_explicit(is_timeout ? &l->timeouts : &k->count, 1, memory_order_relaxed);
    if (!is_timeout)
        kind_track(k, us);
    if (area_get32(&l->heavy_full) && !reserve_is_heavy(p, kind))
        add_up_light(l, k, us);
    return add_up(l, k, us);
}
