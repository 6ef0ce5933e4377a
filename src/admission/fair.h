/* admission/fair.h - whose turn it is, over all workers: start-time fair queueing with shared tags.
 *
 * A pool has a virtual clock; a flow (cluster) a virtual time at which its last request ends. A request
 * starts, in virtual time, at the later of both, and pushes its flow's end out by cost / weight; the smallest
 * start goes first (Goyal, Vin, Cheng, "Start-time Fair Queuing", 1996). Cost is the time a slot is expected
 * to be held, put right when the request leaves, so clusters share slot time, not requests.
 *
 * Every worker with waiting requests publishes the best of each lane: its flow, its band, since when it
 * waits, and its start. Whoever has a free slot compares all of them and hands the slot to the worker that is
 * first. Invariants:
 *  1. Between two clusters that both wait all the time, the served cost per weight differs by at most the
 * cost of one request of each, and with W workers by one request more for each further worker: a worker that
 * was granted a slot is not looked at again before it has taken it, unless nobody else waits.
 *  2. A flow that waits is served: its start stands still while the clock of the others goes on.
 *  3. Within a flow every STARVE_TURNS-th turn goes to its longest waiting request, whatever its band. */
#ifndef POLDER_ADMISSION_FAIR_H
#define POLDER_ADMISSION_FAIR_H

#include "admission/queue.h"

enum { STARVE_TURNS = 16, FAIR_SCALE = 256, FAIR_NOBODY = ADMISSION_WORKERS_MAX };

/* The virtual start of a request of that flow that comes now. */
static inline uint64_t fair_start(const struct area_pool *p, const struct area_flow *f)
{
    uint64_t now = area_get(&p->virtual_now), finish = area_get(&f->finish);
    return now > finish ? now : finish;
}

/* A request that starts at `start` goes to the upstream: moves the clock and the flow's end. */
static inline void fair_charge(struct area_pool *p, struct area_flow *f, uint64_t start, uint32_t cost_us,
                               uint32_t weight)
{
    uint64_t finish = area_get(&f->finish), from;
    do
        from = finish > start ? finish : start;
    while (!atomic_compare_exchange_weak_explicit(&f->finish, &finish,
                                                  from + (uint64_t)cost_us * FAIR_SCALE / weight,
                                                  memory_order_relaxed, memory_order_relaxed));
    area_raise(&p->virtual_now, from);
}

/* It took a different time than expected. Bounded: one request moves its flow by so many times its expected
 * cost. */
static inline void fair_correct(struct area_flow *f, uint32_t cost_us, uint64_t took_us, uint32_t weight)
{
    enum { CORRECT_TIMES = 32 };
    uint64_t most = (uint64_t)CORRECT_TIMES * cost_us;
    uint64_t took = took_us < most ? took_us : most;
    uint64_t delta = (took > cost_us ? took - cost_us : cost_us - took) * FAIR_SCALE / weight;
    if (took > cost_us)
        atomic_fetch_add_explicit(&f->finish, delta, memory_order_relaxed);
    else if (delta)
        atomic_fetch_sub_explicit(&f->finish, delta, memory_order_relaxed);
}

/* The turns of a flow in which the longest waiting request goes first. */
static inline bool fair_is_oldest_turn(const struct area_flow *f)
{
    return area_get32(&f->turn) % STARVE_TURNS == STARVE_TURNS - 1;
}

/* Tells the others what is first in this lane here (q NULL: nothing), and how many wait in this worker at
 * all. */
void fair_publish(struct area_pool *, unsigned worker, unsigned lane, const struct queue *q,
                  unsigned waiting);

/* Of what that worker told: the most important band. */
unsigned fair_band(const struct area_pool *, unsigned worker, unsigned lane);

/* The worker whose request in one of these lanes (bits) is first, and its lane; FAIR_NOBODY: nothing waits.
 * flow_count: of the area, for indexes come out of it. */
unsigned fair_first(const struct area_pool *, const struct area_flow *, unsigned flow_count, unsigned workers,
                    unsigned lanes, unsigned *ret_lane);

#endif
