/* admission/admission.h - who may go to an upstream pool now, who waits, and who is told to come back.
 *
 * One struct admission for each worker, over one area of shared memory for all of them (area.h). Calls make
 * no system call and read no clock: the caller says what time it is (monotonic, microseconds). No call
 * allocates but admission_new and admission_flow_set.
 *
 *   enter --GO-----------------------------------> [the request is at the upstream] --leave
 *     |--WAIT--> queue --next: GO ---------------->              ^
 *     |            |----next: REFUSE (too late)                  |
 *     |            '----cancel (the client left)                 |
 *     '--REFUSE (the wait would be longer than the user's patience, or the load is shed)
 *
 * After every leave, cancel, tick, and wake-up from another worker the caller calls admission_next until it
 * gives NULL, and then takes the workers to be woken out of admission_take_wakes. */
#ifndef POLDER_ADMISSION_ADMISSION_H
#define POLDER_ADMISSION_ADMISSION_H

#include "base/hash.h"
#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ADMISSION_WORKERS_MAX = 64,
    ADMISSION_POOLS_MAX = 4096,
    ADMISSION_FLOWS_MAX = 16384,
    ADMISSION_KINDS = 192,        /* cost classes of a pool: the caller maps its requests onto them */
    ADMISSION_LIMIT_MAX = 16384,  /* requests at a pool at the same time */
    ADMISSION_WAITING_MAX = 8192, /* requests that wait in one worker for one pool */
};

/* ---- the shared area: made by the master, mapped by the workers */

struct admission_shape {
    uint32_t workers, pools, flows;
    uint32_t source_buckets; /* a power of two; eight sources each */
};
size_t admission_area_size(const struct admission_shape *); /* 0: the shape makes no sense */
/* memory: zeroed, aligned to 64, admission_area_size long. The key: of sources, which strangers choose. */
void admission_area_init(void *memory, const struct admission_shape *, struct hash_key);
/* The worker in this slot died, or a new one begins in it: what it held is free again. */
void admission_worker_reset(void *memory, size_t size, unsigned worker);

/* ---- a worker's side */

enum admission_class { /* of a client, see sources.h */
                       ADMISSION_PARTNER,
                       ADMISSION_KNOWN,
                       ADMISSION_UNKNOWN,
                       ADMISSION_SUSPECT,
                       ADMISSION_BLOCKED,
};

enum admission_criticality { /* of a request */
                             ADMISSION_PERSON_WRITE,
                             ADMISSION_PERSON_READ,
                             ADMISSION_MACHINE_WRITE,
                             ADMISSION_MACHINE_READ,
                             ADMISSION_BULK,
};

enum admission_answer { ADMISSION_GO, ADMISSION_WAIT, ADMISSION_REFUSE };

enum admission_outcome {
    ADMISSION_ANSWERED,  /* latency_us is what the upstream took to answer */
    ADMISSION_TIMED_OUT, /* no answer in time, or one that says "overloaded" (503, 504): a sign of too much */
    ADMISSION_FAILED,    /* says nothing about load: refused connection, broken answer, client gone */
};

struct admission_request {
    unsigned flow; /* the cluster at this pool */
    unsigned kind; /* below ADMISSION_KINDS */
    enum admission_class class;
    enum admission_criticality criticality;
    uint32_t patience_us; /* when the user gives up, counted from now */
};

/* In the caller's own struct; it may not move while it waits. */
struct admission_ticket {
    struct list node;
    uint64_t since_us, deadline_us, started_us;
    uint32_t cost_us; /* what it was expected to take */
    uint16_t flow;
    uint8_t kind, band, lane, state;
    bool is_first; /* nobody waited before it in its own queue when it came */
};

struct admission;

/* NULL: no memory, or not an area of this build. The memory stays the caller's. */
struct admission *admission_new(void *memory, size_t size, unsigned worker);
void admission_free(struct admission *); /* nothing may be waiting or running any more; NULL is fine */

/* From the configuration; all workers must say the same. A flow's pool may only change while nothing of it
 * waits or runs. weight: shares among clusters, from 1. False: no memory. */
[[nodiscard]] bool admission_flow_set(struct admission *, unsigned flow, unsigned pool, unsigned weight);
/* Bounds of the limit that is found from latency; without this call 2, 16 to begin with, ADMISSION_LIMIT_MAX.
 */
void admission_pool_set(struct admission *, unsigned pool, unsigned least, unsigned first, unsigned most);

/* retry_after_s is written for REFUSE only. After WAIT the ticket is the queue's until next or cancel gives
 * it back. An enter that says WAIT may have found a free slot that is another's: call next. */
enum admission_answer admission_enter(struct admission *, struct admission_ticket *,
                                      const struct admission_request *, uint64_t now_us,
                                      uint32_t *ret_retry_after_s);
/* A ticket of this pool whose waiting is over, and how (GO or REFUSE); NULL: none now. */
struct admission_ticket *admission_next(struct admission *, unsigned pool, uint64_t now_us,
                                        enum admission_answer *ret, uint32_t *ret_retry_after_s);
/* When to call next again although nothing happens until then; 0: no need. */
uint64_t admission_next_at_us(const struct admission *, unsigned pool, uint64_t now_us);
/* A request that was told GO is done. */
void admission_leave(struct admission *, struct admission_ticket *, enum admission_outcome,
                     uint64_t latency_us, uint64_t now_us);
/* The client of a waiting request left. */
void admission_cancel(struct admission *, struct admission_ticket *);
/* The client of a request that waits, or was refused and not yet told, leaves now. Of strangers it is learned
 * how long they stay, flow by flow: what would be sent to the upstream just before that is refused instead.
 */
void admission_note_left(struct admission *, const struct admission_ticket *, uint64_t now_us);
/* Every 5 to 50 ms for each pool that has traffic. */
void admission_tick(struct admission *, unsigned pool, uint64_t now_us);
/* Workers that were given capacity of this pool since the last call, a bit each; each must be made to call
 * next soon (an eventfd for each worker). */
uint64_t admission_take_wakes(struct admission *, unsigned pool);

/* ---- looking in */
/* How long a request of that kind holds a slot, as far as known. */
uint32_t admission_cost_us(const struct admission *, unsigned pool, unsigned kind);
struct admission_view {
    unsigned limit, in_use, granted, heavy, waiting; /* waiting: in this worker */
};
void admission_look(const struct admission *, unsigned pool, struct admission_view *ret);

#endif
