/* admission/queue.h - what waits in one worker for one pool: bands within flows, flows by virtual start time.
 *
 * A flow (a cluster) has a queue in each of two lanes: light requests, and heavy ones that may be held back
 * while light ones go on (reserve.h). In a queue there is a list for each band (bands.def), first come first
 * served. The flows of a lane that have something waiting stand in a pairing heap (Fredman and others 1986)
 * by the virtual time at which they are due; that key only ever lags behind (another worker served the same
 * flow), so it is put right when the flow comes to the top. Invariants:
 *  1. A queue is in its lane's heap when something waits in it; it may still be there afterwards, empty.
 *  2. bit b of mask is set when bands[b] is not empty; waiting is the sum of counts.
 *  3. A ticket that is in no list has the state TICKET_IDLE or TICKET_RUNS. */
#ifndef POLDER_ADMISSION_QUEUE_H
#define POLDER_ADMISSION_QUEUE_H

#include "admission/area.h"

enum {
    BAND_COUNT = 12,
    BAND_STRANGERS = 4 /* and those for whom nobody waits: from here on */,
    LANE_LIGHT = 0,
    LANE_HEAVY = 1
};
enum ticket_state { TICKET_IDLE, TICKET_WAITS, TICKET_REFUSED, TICKET_RUNS };

struct queue { /* one flow, one lane */
    struct list bands[BAND_COUNT];
    uint32_t counts[BAND_COUNT];
    uint32_t gap_us[BAND_COUNT];  /* between two that are served while others wait; 0: not known */
    uint32_t served[BAND_COUNT];  /* since from_us */
    uint64_t from_us[BAND_COUNT]; /* the band has not been empty since then */
    uint64_t key;                 /* virtual start time, as far as known here */
    uint64_t order;               /* of equal keys the first one */
    struct queue *child, *sibling;
    uint32_t waiting;
    uint16_t mask, flow;
    uint16_t last_turn; /* of the flow, over all workers, in which one of these was served */
    bool is_in_heap;
};

struct flow {
    uint32_t pool, weight;
    uint32_t stay_us; /* strangers who wait leave after so long; 0: not known */
    struct list node; /* pool.backlogged, when something waits in either lane */
    struct queue lanes[AREA_LANES];
};

struct pool {
    struct area_pool *shared;
    struct queue *heap[AREA_LANES];
    struct list backlogged; /* flow.node */
    struct list refused;    /* tickets to be handed back by next */
    uint32_t waiting, flows_waiting;
    uint32_t least, first, most; /* bounds of the limit */
    uint32_t light_cost_us;      /* of the cheapest kind lately; 0: not known */
    uint64_t order, refusals;
    uint64_t wakes;       /* workers to be woken */
    uint64_t idle_grants; /* workers that had grants and nothing waiting at the last tick */
    uint64_t pool_gap_us; /* mean time between two slots that come free for this worker */
};

unsigned queue_band(enum admission_class, enum admission_criticality);
void queue_init(struct queue *, unsigned flow);

void queue_push(struct pool *, struct flow *, struct admission_ticket *, uint64_t tag, uint64_t now_us);
/* Takes a waiting ticket out, wherever it stands. is_served: it leaves because it is its turn. */
void queue_remove(struct pool *, struct flow *, struct admission_ticket *, bool is_served, uint64_t now_us);

/* The flow that is due first in this lane by what all workers served; NULL: nothing waits. */
struct queue *queue_first(struct pool *, unsigned lane, const struct area_flow *flows);
/* Its ticket whose turn it is. is_oldest: the one that waits longest, whatever its band. */
struct admission_ticket *queue_head(const struct queue *, bool is_oldest);
struct admission_ticket *queue_oldest(const struct queue *);
/* The newest of the least important band; NULL: empty. */
struct admission_ticket *queue_newest_least(const struct queue *);

/* How long a request of this band would wait behind those that are there. */
uint64_t queue_wait_us(const struct pool *, const struct queue *, unsigned band, uint64_t now_us);

#endif
