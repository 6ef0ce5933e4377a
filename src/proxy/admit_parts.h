/* proxy/admit_parts.h - the inside of a struct admit, for the files admit*.c. */
#ifndef POLDER_PROXY_ADMIT_PARTS_H
#define POLDER_PROXY_ADMIT_PARTS_H

#include "proxy/admit.h"
#include "proxy/exchange.h"

struct admit_pool {
    struct list node; /* admit.active, from its first request until it is found idle; next NULL: not there */
    struct list inside;        /* admit_ticket.inside */
    struct list uploads;       /* admit_ticket.upload */
    uint64_t answered_us;      /* when an answer last came, or a request last gave way */
    uint32_t running, waiting; /* of this worker */
    uint32_t gives;            /* how many give way next time */
    uint32_t ends_waiting;     /* requests at the upstream but for their end, without a place */
    bool is_due;               /* those who wait are looked at before this turn ends */
    bool is_known;             /* a configuration has or had it */
};

struct admit_flow {
    uint32_t live; /* tickets that wait or run */
    uint16_t pool;
    bool is_known;
};

struct admit {
    struct proxy *proxy;
    struct admission *core;
    struct admit_memory memory;
    struct admit_pool *pools;
    struct admit_flow *flows;
    struct list active;
    struct list ghosts;     /* requests whose client left, at the upstream */
    unsigned held;          /* refused, and not yet told */
    size_t collected_bytes; /* of bodies of which more comes before they ask */
    uint64_t ticked_us, lateness_noted_us;
    unsigned late_ms_x8; /* smoothed */
    unsigned ticks;
    struct timer tick;
    struct deferred again, pace; /* pace: somebody may go although nothing happened */
    uint64_t pace_ms;            /* when that is due; 0: it is not */
};

/* ---- admit_ghosts.c */
/* The ticket's place is held on. False: it need not be, or there is no memory. */
bool admit_ghost_begin(struct admit *, const struct admission_ticket *);
void admit_ghosts_end(struct admit *, uint64_t now_us); /* UINT64_MAX: of all */

/* ---- admit_uploads.c */
void admit_upload_begin(struct admit_pool *, struct exchange *); /* it is inside */
void admit_uploads_look(struct admit *, struct admit_pool *, uint64_t now_us);

/* ---- admit_pressure.c: a tick came that long after the one before it was set */
void admit_note_lateness(struct admit *, uint64_t elapsed_ms, uint64_t now_us);

/* ---- admit_snapshot.c: a configuration's places */
void admit_pool_open(struct admit *, unsigned pool, const struct config_upstream *);
/* False: no memory, or requests of who had that place before are still under way. */
bool admit_flow_open(struct admit *, unsigned flow, unsigned pool, unsigned weight);
const struct admit_route *admit_route_of(const struct exchange *);

/* ---- admit_request.c: what a request is to admission */
void admit_describe(struct exchange *, struct admission_request *ret);
bool admit_is_event_stream(const struct exchange *);

#endif
