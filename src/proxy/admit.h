/* proxy/admit.h - admission in a worker: between inspection and upstream a request goes, waits for its turn,
 * or is told to come back (docs/decisions/0019-fair-admission.md).
 *
 *   forward -> admit_enter --GO-----------------------> upstream --> admit_answered --> admit_leave
 *                   |---WAIT: state ADMIT --its turn--->   (retries keep the slot)
 *                   |              '--> 503 when it would come too late; admit_leave when the client left
 *                   '---REFUSE: 503
 *
 * Invariants
 *  1. A slot is held from GO until the upstream is done with the request: its answer came whole, or the
 * client does not take what comes, or its own body does not come (admit_uploads.c), or it is a stream of
 * events or a tunnel, whatever ends it first.
 *  2. While a request waits nothing more of its body is read than was on its way, and its pool is ticked.
 *  3. Nobody's turn comes from below somebody else's call: those who go now are let go at the end of the
 * turn.
 *  4. Where every slot is held by requests that get no answer (who polls for news, or an application that
 * hangs), and others wait, the oldest give their slots back, few at first: long polls do not shut a
 * pool.
 *  5. Whoever is told at once to come back is back at once, and so a crowd becomes a flood of refusals.
 * Strangers and machines are held, without a place in any queue, for about as long as they would have waited,
 * and told then.
 *  6. Health checks and probes are not counted. */
#ifndef POLDER_PROXY_ADMIT_H
#define POLDER_PROXY_ADMIT_H

#include "admission/admission.h"
#include "base/arena.h"
#include "proxy/admit_memory.h"
#include "sys/loop.h"

struct admit;
struct exchange;
struct proxy;
struct snapshot;

enum admit_state {
    ADMIT_OUTSIDE,
    ADMIT_WAITS,
    ADMIT_INSIDE,
    ADMIT_HELD, /* refused, and not yet told */
};

struct admit_ticket { /* in the exchange */
    struct admission_ticket ticket;
    struct list inside;               /* of the pool, oldest first */
    struct list upload;               /* of the pool while its body comes, by looked_us */
    uint64_t looked_us, looked_bytes; /* when it was last looked at, and what had come */
    uint32_t collected_bytes;         /* in memory, before it asked for a place */
    bool end_waits;                   /* it gave its place back; the end of its body goes with the next one */
    struct timer held;                /* when it is told */
    uint64_t sent_us, head_us;        /* the request's last byte left, the answer's head came; 0: not yet */
    struct admission_request asked;   /* what it was when it first asked */
    uint32_t retry_after_s;           /* for a refusal; 0: nothing is known */
    uint8_t state;                    /* enum admit_state */
    uint8_t class;                    /* enum admission_class it was queued with */
    bool is_person;                   /* by its looks */
    bool is_refused;                  /* by the application, and nobody knows who asked */
    bool is_overloaded;               /* what came was no answer but a sign of too much */
};

/* Where requests of a route belong. */
struct admit_route {
    uint16_t flow, pool;
};

struct admit *admit_new(struct proxy *, void *memory,
                        size_t size); /* NULL: no memory, or not of this build */
void admit_free(struct admit *);      /* NULL is fine */

/* Finds the places of a configuration's pools and clusters. False: *ret_error says why not. */
bool admit_snapshot_build(struct snapshot *, struct arena *errors, struct str *ret_error);
void admit_snapshot_done(struct snapshot *);
void admit_apply(const struct snapshot *); /* it is in force: its weights hold */

/* ADMISSION_WAIT: state ADMIT until exchange_admitted or a refusal. */
enum admission_answer admit_enter(struct exchange *);
void admit_sent(struct exchange *);     /* the whole request left */
void admit_answered(struct exchange *); /* the answer's head is there */
void admit_passes_body(struct exchange *);
void admit_timed_out(struct exchange *); /* the upstream did not answer in time */
/* Gives back what the exchange holds: its slot or its place in the queue. Fine when it holds nothing. */
void admit_leave(struct exchange *);
/* It waits, but may not: out of the queue, and held like one that is refused. False: it holds nothing any
 * more. */
bool admit_step_aside(struct exchange *);
/* The same, because the client left: what is at the upstream keeps its place for a while (admit_ghosts.c). */
void admit_abandon(struct exchange *);

/* Bodies, see admit_uploads.c. Is it to be collected before admit_enter? After every piece: more of it? */
bool admit_wants_body(struct exchange *);
bool admit_collects_on(struct exchange *);
void admit_collected(struct exchange *); /* enough */
/* What is left of its body may not be sent: admit_enter has to be asked again. */
bool admit_holds_end(const struct exchange *);
void admit_end_goes(struct exchange *);

/* The first attempt earns, a retry takes: of one purse for all workers. */
void admit_retry_earn(struct exchange *);
bool admit_retry_take(struct exchange *);

unsigned admit_waiting(const struct exchange *); /* how many of this worker wait where this one does */

void admit_woken(struct proxy *); /* another worker gave us a place */

struct admission *admit_core(struct proxy *); /* for classes.c and the limits of a connection */

#endif
