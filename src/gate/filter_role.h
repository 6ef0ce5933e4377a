/* gate/filter_role.h - the filter role: keeper of the perimeter. Internal to gate/.
 *
 * It alone may change what the kernel lets through, and it alone may change the level of isolation; nobody
 * outside reaches it: it hears its master, the observer (orders of people) and the workers (what they learned
 * of an address). Three parts, each in files of its own:
 *
 *   filter.c          the process: messages, configurations, the order of things
 *   filter_packets.c  src/filter driven: policy out of the configuration, interfaces, classes, counts
 *   filter_desk.c     src/isolation driven: record, journal, orders and their steps, time
 *
 * Invariants
 *  1. Nothing is said to be prepared before an isolation state was published in the perimeter's memory: no
 *     worker serves without knowing the level.
 *  2. What the kernel enforces does not depend on this process: everything is pinned.
 *  3. A worker's message changes the class of an address for a time, and nothing else. */
#ifndef POLDER_GATE_FILTER_ROLE_H
#define POLDER_GATE_FILTER_ROLE_H

#include "config/config.h"
#include "gate/role_process.h"
#include "isolation/isolation.h"
#include "isolation/journal.h"
#include "proxy/perimeter.h"
#include "proxy/shared.h"

struct filter_config { /* one configuration as this role sees it */
    struct config *config;
    struct str bundle;
    uint64_t generation;
};

struct packets;
struct desk;

struct filter_role {
    struct role_process process;
    struct perimeter perimeter;
    struct shared shared; /* to see what workers have applied */
    bool has_shared;
    int wakes[SHARED_WORKERS_MAX]; /* eventfds; -1: none */
    const struct config
        *starting; /* only in packets_new and desk_new: what will be prepared first; or NULL */
    struct filter_config current, prepared;
    struct channel *observer;
    struct channel *workers[SHARED_WORKERS_MAX];
    struct packets *packets;
    struct desk *desk;
};

void filter_wake_workers(struct filter_role *);
void filter_say(const char *format, ...) __attribute__((format(printf, 1, 2))); /* a line on standard error */

/* ---- filter_packets.c. problem: a sentence for people. */

/* Before the walls: what has to be opened then. NULL: no memory. Without the capability for it, or on a
 * kernel without it, there is a struct packets all the same, which falls back and says so. */
struct packets *packets_new(struct filter_role *);
void packets_free(struct packets *); /* what is pinned stays; NULL is fine */
/* Whether a configuration could be put in force. Nothing changes. */
bool packets_check(struct packets *, const struct config *, struct buf *problem);
/* The configuration in force, and this state of isolation with it (NULL: none is known yet: closed). */
bool packets_configure(struct packets *, const struct config *, const struct isolation_state *,
                       struct buf *problem);
/* After packets_configure: whether every outside interface is filtered. */
bool packets_hold(const struct packets *, struct buf *problem);
/* ISOLATION_EFFECT_FILTER: level, cluster levels and rules of a state, in the kernel when this returns. True
 * also where nothing is filtered by configuration. */
bool packets_enforce(struct packets *, const struct isolation_state *, struct buf *problem);
/* ISOLATION_EFFECT_CUT: ends what the state refuses; ret: what was cut, and when packets last passed. */
bool packets_cut(struct packets *, const struct isolation_state *, struct isolation_results *ret,
                 struct buf *problem);
/* Levels the kernel enforces now, for a recovery: how many. Names lie in the configuration. */
size_t packets_levels(const struct packets *, struct isolation_found_level *ret, size_t room);
/* Sessions through outside interfaces that are open now, for a dry run: how many; only `room` are written. */
size_t packets_sessions(struct packets *, struct isolation_session *ret, size_t room);
/* What a worker learned. False: not acceptable, its channel is closed. */
bool packets_classify(struct packets *, unsigned worker, const struct msg_classify *);
void packets_report(struct packets *); /* into the perimeter's memory: once a second */
/* A listening socket of a worker; takes fd. Partners and known users come to those of the first queue. */
void packets_listener(struct packets *, const struct msg_queue *, int fd);
/* A request with a member "filter", as JSON; the answer is written as JSON. */
bool packets_ask(struct packets *, uint32_t uid, struct str request, struct buf *answer);
bool packets_is_asked(struct str request); /* has that member */

/* ---- filter_desk.c */

/* Before the walls: reads record and journal. NULL: no memory. */
struct desk *desk_new(struct filter_role *);
void desk_free(struct desk *); /* NULL is fine */
/* Partners and clusters, as orders name them, are of this configuration from now on. The first call recovers
 * and publishes. False: it cannot be used, and why. */
bool desk_configure(struct desk *, const struct config *, struct buf *problem);
const struct isolation_state *desk_state(const struct desk *);
/* An order or a question of a person (uid), as JSON; the answer is written as JSON. */
bool desk_ask(struct desk *, uint32_t uid, struct str request, struct buf *answer);
void desk_tick(struct desk *); /* once a second */

#endif
