/* admission/budget.c - retries, streams, pressure, see budget.h.
 * Pressure is one number in the shared area: bits 0-1 the level, above them when it was last confirmed. */
#include "admission/budget.h"

#include "admission/worker.h"

#include "base/must.h"

enum {
    RETRY_COST_X100 = 100,
    RETRY_MOST_X100 = 10'000, /* a hundred retries */
    PRESSURE_HOLD_US = 5'000'000,
    PRESSURE_MOST = 3,
    STREAMS_LEAST = 16, /* of a stranger: a page with its pictures */
};

void admission_retry_earn(struct admission *a, unsigned pool, unsigned percent)
{
    must(pool < a->area.shape.pools);
    area_u64 *tokens = &a->area.pools[pool].retry_tokens_x100;
    if (area_get(tokens) < RETRY_MOST_X100)
        atomic_fetch_add_explicit(tokens, percent < 100 ? percent : 100, memory_order_relaxed);
}

bool admission_retry_take(struct admission *a, unsigned pool)
{
    must(pool < a->area.shape.pools);
    area_u64 *tokens = &a->area.pools[pool].retry_tokens_x100;
    uint64_t has = area_get(tokens);
    while (has >= RETRY_COST_X100)
        if (atomic_compare_exchange_weak(tokens, &has, has - RETRY_COST_X100))
            return true;
    return false;
}

static unsigned level_of(const struct admission_psi *psi)
{
    static const struct admission_psi from[PRESSURE_MOST + 1] = {
        [1] = {600, 100, 20}, [2] = {800, 250, 50}, [3] = {950, 500, 100}};
    unsigned level = 0;
    for (unsigned l = 1; l <= PRESSURE_MOST; l++)
        if (psi->cpu_some >= from[l].cpu_some || psi->memory_some >= from[l].memory_some ||
            psi->memory_full >= from[l].memory_full)
            level = l;
    return level;
}

unsigned admission_pressure_note(struct admission *a, const struct admission_psi *psi, uint64_t now_us)
{
    area_u64 *cell = &a->area.header->pressure;
    uint64_t old = area_get(cell);
    unsigned level = level_of(psi), was = old & 3;
    if (level < was && now_us < (old >> 2) + PRESSURE_HOLD_US)
        return was;
    if (level < was)
        level = was - 1;
    (void)atomic_compare_exchange_strong(cell, &old, now_us << 2 | level);
    return level;
}

unsigned admission_pressure(const struct admission *a)
{
    return area_get(&a->area.header->pressure) & 3;
}

unsigned admission_streams(enum admission_class class, unsigned pressure, unsigned most)
{
    unsigned streams = most;
    if (class == ADMISSION_UNKNOWN)
        streams = (most / 4 > STREAMS_LEAST ? most / 4 : STREAMS_LEAST) >> (pressure < 8 ? pressure : 8);
    else if (class >= ADMISSION_SUSPECT)
        streams = 2;
    return streams < 1 ? 1 : streams < most ? streams : most ? most : 1;
}

bool budget_sheds(const struct area *area, enum admission_class class, enum admission_criticality criticality)
{
    unsigned level = area_get(&area->header->pressure) & 3;
    bool is_bulk = criticality == ADMISSION_BULK, is_accepted = class <= ADMISSION_KNOWN;
    if (class == ADMISSION_BLOCKED)
        return true;
    if (level == 0)
        return false;
    if (class == ADMISSION_SUSPECT || (is_bulk && !is_accepted))
        return true;
    if (level == 1)
        return false;
    if (!is_accepted || is_bulk)
        return true;
    return level == PRESSURE_MOST && criticality > ADMISSION_PERSON_READ;
}
