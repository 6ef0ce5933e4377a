/* admission/reserve.h - slots that requests of many times the usual cost may not take.
 *
 * What runs at the upstream is not interrupted. When all slots are held by requests of 500 ms, the next one
 * comes free after 500 ms / slots, and a request of 50 ms waits that long however fair the queue is. So heavy
 * requests leave as many slots free as light ones lately used at the same time, at most a sixth of the limit,
 * and one; nothing when no light ones came for two windows. Heavy: at least four times the cost of the pool's
 * cheapest kind, and so long that the wait for a slot would be felt.
 *
 * Light requests may always use every slot. This is the one case in which a slot stays free while a request
 * waits. */
#ifndef POLDER_ADMISSION_RESERVE_H
#define POLDER_ADMISSION_RESERVE_H

#include "admission/limit.h"
#include "admission/slots.h"

enum {
    RESERVE_TIMES = 4,
    RESERVE_WAIT_US = 5'000,     /* cost / limit from which a heavy request is felt */
    RESERVE_WINDOW_US = 4 << 20, /* 4.2 s */
    RESERVE_KIND_MS = 10'000,    /* a kind that was not seen for so long is not there */
};

/* By latency without a queue: a light request that had to wait for heavy ones is still light. */
static inline bool reserve_is_heavy(const struct pool *p, unsigned kind)
{
    uint32_t cost_us = area_get32(&p->shared->kinds[kind].mean[BASE]);
    return p->light_cost_us && cost_us / RESERVE_TIMES >= p->light_cost_us &&
           cost_us / limit_slots(p) >= RESERVE_WAIT_US;
}

/* What the heavy lane may have in use. */
static inline uint32_t reserve_heavy_limit(const struct pool *p)
{
    uint32_t limit = limit_slots(p), most = limit / 6 + 1;
    uint32_t now = area_get32(&p->shared->light_peak[0]), last = area_get32(&p->shared->light_peak[1]);
    uint32_t reserve = now > last ? now : last;
    reserve = reserve < most ? reserve : most;
    return reserve && limit > reserve + 2 ? limit - reserve - 1 : limit;
}

/* So many light requests are at the upstream. */
static inline void reserve_note_light(struct pool *p, uint32_t light)
{
    if (light > area_get32(&p->shared->light_peak[0]))
        area_set32(&p->shared->light_peak[0], light);
}

void reserve_tick(struct pool *, uint64_t now_us);

#endif
