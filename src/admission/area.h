/* admission/area.h - what the workers share for admission: the layout of one piece of shared memory.
 *
 * Nobody ever holds a lock in here: every cell is one atomic number, and whatever a worker holds (slots,
 * grants, waiting requests) stands in a cell of its own, so that a dead worker's share is given back by
 * writing zeros (admission_worker_reset). A worker that was taken over can write anything into it: sizes are
 * read once, when the area is opened, every index that comes out of it is masked or compared before use, and
 * the worst a lie can do is to make others wait or let too many in. No decision about what may be reached
 * rests on it. */
#ifndef POLDER_ADMISSION_AREA_H
#define POLDER_ADMISSION_AREA_H

#include "admission/admission.h"

#include <stdalign.h>
#include <stdatomic.h>

#define AREA_MAGIC 0x6e6f697373696d64ULL /* "dmission" */
enum { AREA_VERSION = 3, AREA_LANES = 2 };

typedef _Atomic uint64_t area_u64;
typedef _Atomic uint32_t area_u32;

enum { AREA_WAITS = 256 }; /* classes of waiting time, see epoch.c */
enum { BASE, NOW };        /* of area_kind.quarter and .mean: when nothing queues, and now */

struct area_kind {             /* requests of one cost class of a pool; 0: not yet known */
    area_u32 quarter[2];       /* us: a quarter of its answers come faster; when nothing queues, and now */
    area_u32 mean[2];          /* us: the same for the mean */
    area_u32 cost_us, seen_ms; /* slow average of the time it holds a slot; when one was last answered */
    area_u32 count;            /* answers in this epoch */
    area_u32 track;            /* see limit.c */
};

struct area_limit {              /* see limit.c; written by whoever ends an epoch */
    area_u32 slots;              /* the limit in force; 0: not yet set */
    area_u32 phase;              /* enum limit_phase */
    area_u32 step;               /* how far it grows next time */
    area_u32 was, was_us[2];     /* before a series of shrinks, or a probe: the limit, and the latencies */
    area_u32 holds, probe_after; /* epochs since the last probe, and between two */
    area_u32 peak;               /* of this epoch: most slots in use */
    area_u32 full,
        heavy_full;    /* of this epoch: was the limit in the way, or what is left of it for heavy ones? */
    area_u32 need;     /* samples before the next look */
    area_u32 scale_us; /* the mean latency when this epoch began; 0: not yet known */
    area_u32 timeouts; /* of this epoch */
    area_u32 good;     /* the highest limit with which light requests did not feel heavy ones */
    area_u64 light_sums,
        light_squares;          /* of this epoch: the same for light requests, while heavy ones wait */
    area_u64 count_from_us;     /* samples before this moment belong to the former limit */
    area_u64 sums, squares;     /* of this epoch: how much longer than the mean answers took */
    area_u32 waits[AREA_WAITS]; /* of this epoch: how much longer than the quarter answers took */
};

struct area_pool {
    /* One line for eight workers: slots in use, grants, heavy ones among those in use (slots.h). */
    alignas(64) area_u64 held[ADMISSION_WORKERS_MAX];
    alignas(64) area_u64 moves; /* of slots from one cell to another: capacity given to another worker */
    /* What each worker's best waiting request is (fair.h). */
    alignas(64) area_u64 want_what[AREA_LANES][ADMISSION_WORKERS_MAX];
    area_u64 want_tag[AREA_LANES][ADMISSION_WORKERS_MAX];
    alignas(64) area_u64 wanting[AREA_LANES]; /* a bit for each worker that has requests waiting */
    area_u64 virtual_now;
    area_u32 light_peak[2]; /* reserve.c: of this window and of the last one */
    area_u64 light_window;
    area_u64 pace_from_us,
        pace_next_us;             /* pace.h: when the last round began, when the next stranger may go */
    area_u32 pace_cost_us, spare; /* for how long requests hold their places, on average */
    area_u64 retry_tokens_x100;
    alignas(64) struct area_limit limit;
    alignas(64) struct area_kind kinds[ADMISSION_KINDS];
};

struct area_flow {   /* one cluster at one pool */
    area_u64 finish; /* virtual time at which its last dispatched request ends */
    area_u32 turn;   /* requests taken out of its queues, ever */
    area_u32 spare;
};

struct area_header {
    alignas(64) uint64_t magic;
    uint32_t version;
    struct admission_shape shape;
    uint64_t size;
    struct hash_key key;
    area_u64 pressure;                       /* level and since when, see budget.c */
    area_u64 used[ADMISSION_POOLS_MAX / 64]; /* a bit for each pool that ever had a flow */
};

/* A process's own view, by value. */
struct area {
    struct area_header *header;
    struct area_pool *pools;
    struct area_flow *flows;
    area_u64 *sources; /* ways of sources.c, AREA_SOURCE_WAYS to a bucket */
    struct admission_shape shape;
    struct hash_key key;
};
enum { AREA_SOURCE_WAYS = 8 };

_Static_assert(sizeof(struct area_flow) == 16, "flows lie four to a line");
_Static_assert(sizeof(struct area_kind) == 32, "kinds lie close together");

/* False: this is not an area of this build. */
[[nodiscard]] bool area_view(void *memory, size_t size, struct area *ret);

static inline uint64_t area_get(const area_u64 *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

static inline uint32_t area_get32(const area_u32 *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

static inline void area_set(area_u64 *cell, uint64_t value)
{
    atomic_store_explicit(cell, value, memory_order_relaxed);
}

static inline void area_set32(area_u32 *cell, uint32_t value)
{
    atomic_store_explicit(cell, value, memory_order_relaxed);
}

static inline void area_raise(area_u64 *cell, uint64_t value) /* to the larger of both */
{
    uint64_t old = area_get(cell);
    while (old < value && !atomic_compare_exchange_weak_explicit(cell, &old, value, memory_order_relaxed,
                                                                 memory_order_relaxed))
        ;
}

#endif
