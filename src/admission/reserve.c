/* admission/reserve.c - the windows of reserve.h, and which kind is the cheapest. */
#include "admission/reserve.h"

static void window_turn(struct area_pool *p, uint64_t now_us)
{
    uint64_t window = now_us / RESERVE_WINDOW_US, last = area_get(&p->light_window);
    if (window == last || !atomic_compare_exchange_strong(&p->light_window, &last, window))
        return;
    area_set32(&p->light_peak[1], window == last + 1 ? area_get32(&p->light_peak[0]) : 0);
    area_set32(&p->light_peak[0], 0);
}

void reserve_tick(struct pool *p, uint64_t now_us)
{
    uint32_t cheapest = 0, now_ms = (uint32_t)(now_us / 1000);
    window_turn(p->shared, now_us);
    for (unsigned k = 0; k < ADMISSION_KINDS; k++) {
        uint32_t cost = area_get32(&p->shared->kinds[k].mean[BASE]);
        if (cost && now_ms - area_get32(&p->shared->kinds[k].seen_ms) < RESERVE_KIND_MS &&
            (!cheapest || cost < cheapest))
            cheapest = cost;
    }
    p->light_cost_us = cheapest;
}
