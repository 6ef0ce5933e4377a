/* admission/pace.c - rounds of pace.h. Plain loads and stores: two workers that look at the same moment let
 * one more go. */
#include "admission/pace.h"

enum { COST_SHIFT = 4 };

static uint64_t gap_us(const struct pool *p)
{
    return area_get32(&p->shared->pace_cost_us) / limit_slots(p);
}

static bool is_round(const struct pool *p, uint64_t now_us)
{
    uint64_t from_us = area_get(&p->shared->pace_from_us);
    uint32_t cost_us = area_get32(&p->shared->pace_cost_us);
    return from_us && cost_us <= PACE_MOST_US && now_us - from_us < cost_us;
}

bool pace_holds(const struct pool *p, unsigned band, uint64_t now_us)
{
    uint64_t next_us = area_get(&p->shared->pace_next_us);
    return band >= BAND_STRANGERS && is_round(p, now_us) && next_us > now_us + PACE_CREDIT_US &&
           next_us <= now_us + PACE_MOST_US; /* else it is rubbish */
}

uint64_t pace_next_us(const struct pool *p, uint64_t now_us)
{
    return pace_holds(p, BAND_STRANGERS, now_us) ? area_get(&p->shared->pace_next_us) - PACE_CREDIT_US : 0;
}

void pace_note_took(struct pool *p, uint64_t took_us)
{
    int64_t old = area_get32(&p->shared->pace_cost_us);
    int64_t took = took_us < UINT32_MAX ? (int64_t)took_us + 1 : UINT32_MAX;
    area_set32(&p->shared->pace_cost_us, (uint32_t)(old ? old + (took - old) / (1 << COST_SHIFT) : took));
}

void pace_note_start(struct pool *p, unsigned band, uint64_t now_us)
{
    if (band < BAND_STRANGERS || !is_round(p, now_us))
        return;
    uint64_t next_us = area_get(&p->shared->pace_next_us);
    area_set(&p->shared->pace_next_us, (next_us > now_us ? next_us : now_us) + gap_us(p));
}

void pace_note_first(struct pool *p, uint64_t waited_us, uint64_t now_us)
{
    uint64_t from_us = area_get(&p->shared->pace_from_us), cost_us = area_get32(&p->shared->pace_cost_us);
    if (area_get32(&p->shared->limit.phase) == LIMIT_START &&
        limit_slots(p) < p->most) /* until it has grown */
        return;
    if (waited_us < PACE_LEAST_US || waited_us < PACE_GAPS * gap_us(p) ||
        now_us - from_us < PACE_EVERY * cost_us)
        return;
    area_set(&p->shared->pace_next_us, now_us);
    area_set(&p->shared->pace_from_us, now_us);
}
