/* admission/slots.h - the slots of a pool: how many requests may be at it at once, over all workers.
 *
 * Each worker counts what it holds in a cell of its own; what is in use is the sum over the cells.
 * Invariants:
 *  1. A slot is taken by adding first and looking at the sum afterwards; whoever then sees too many takes its
 * own back. Two who take the last slot at once may both step back, never both go through: the sum of what was
 *     let through is never above the limit that was in force.
 *  2. A dead worker's slots come back by zeroing its cell, at whatever instruction it died.
 *     A slot that moves from one cell to another could be missed by who reads the one before and the other
 * after, so a move is announced (moves) between its two halves, and who saw an announcement adds up again.
 *  3. A grant is a slot held for a worker that was asked to wake up. It becomes its owner's in one operation,
 * and comes from a slot that the giver already had: nobody else's cell ever holds what may have to be taken
 * back.
 *
 * A cell: bits 0-19 in use, 20-39 granted, 40-59 heavy ones among those in use (reserve.h). */
#ifndef POLDER_ADMISSION_SLOTS_H
#define POLDER_ADMISSION_SLOTS_H

#include "admission/area.h"

enum { SLOTS_BITS = 20, SLOTS_MASK = (1 << SLOTS_BITS) - 1, SLOTS_TRIES = 64 };
#define SLOT_ONE   UINT64_C(1)
#define SLOT_GRANT (UINT64_C(1) << SLOTS_BITS)
#define SLOT_HEAVY (UINT64_C(1) << 2 * SLOTS_BITS)

static inline uint32_t slots_in_use(uint64_t cell)
{
    return (uint32_t)cell & SLOTS_MASK;
}

static inline uint32_t slots_granted(uint64_t cell)
{
    return (uint32_t)(cell >> SLOTS_BITS) & SLOTS_MASK;
}

static inline uint32_t slots_heavy(uint64_t cell)
{
    return (uint32_t)(cell >> 2 * SLOTS_BITS) & SLOTS_MASK;
}

static inline uint32_t slots_used(uint64_t cell) /* in use or promised */
{
    return slots_in_use(cell) + slots_granted(cell);
}

static inline uint64_t slots_sum(const struct area_pool *p, unsigned workers)
{
    uint64_t sum = 0;
    for (unsigned w = 0; w < workers; w++)
        sum += atomic_load(&p->held[w]);
    return sum;
}

/* What is used, and never less; UINT32_MAX: too much is moving to tell. */
static inline uint32_t slots_used_for_sure(const struct area_pool *p, unsigned workers)
{
    for (unsigned tries = 0; tries < SLOTS_TRIES; tries++) {
        uint64_t moves = atomic_load(&p->moves);
        uint32_t used = slots_used(slots_sum(p, workers));
        if (atomic_load(&p->moves) == moves)
            return used;
    }
    return UINT32_MAX;
}

/* Adds `what` (SLOT_ONE or SLOT_ONE + SLOT_HEAVY) to the worker's own cell if not more than `limit` are used
 * then. Whoever steps back looks again, so of two that collide over one free slot the later one sees it. */
static inline bool slots_take(struct area_pool *p, unsigned workers, unsigned worker, uint64_t what,
                              uint32_t limit, uint32_t *ret_used)
{
    for (unsigned tries = 0; tries < SLOTS_TRIES; tries++) {
        if (slots_used(slots_sum(p, workers)) >= limit)
            return false;
        atomic_fetch_add(&p->held[worker], what);
        uint32_t used = slots_used_for_sure(p, workers);
        if (used <= limit) {
            *ret_used = used;
            return true;
        }
        atomic_fetch_sub(&p->held[worker], what);
    }
    return false;
}

/* A slot just taken becomes another worker's grant. In between it counts twice, never not at all. */
static inline void slots_give(struct area_pool *p, unsigned from, unsigned to)
{
    atomic_fetch_add(&p->held[to], SLOT_GRANT);
    atomic_fetch_add(&p->moves, 1);
    atomic_fetch_sub(&p->held[from], SLOT_ONE);
}

/* Turns one of the worker's grants into a slot in use. False: it has none (any more). */
static inline bool slots_take_granted(struct area_pool *p, unsigned worker, uint64_t heavy)
{
    uint64_t cell = atomic_load(&p->held[worker]);
    while (slots_granted(cell))
        if (atomic_compare_exchange_weak(&p->held[worker], &cell, cell - SLOT_GRANT + SLOT_ONE + heavy))
            return true;
    return false;
}

/* Takes all grants away from a worker that does not use them. */
static inline void slots_revoke(struct area_pool *p, unsigned worker)
{
    const uint64_t all = (uint64_t)SLOTS_MASK << SLOTS_BITS;
    atomic_fetch_and(&p->held[worker], ~all);
}

#endif
