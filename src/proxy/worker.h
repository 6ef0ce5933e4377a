/* proxy/worker.h - what all parts of one worker's data path share. Internal to proxy/. */
#ifndef POLDER_PROXY_WORKER_H
#define POLDER_PROXY_WORKER_H

#include "base/hash.h"
#include "proxy/chunk.h"
#include "proxy/proxy.h"
#include "proxy/snapshot.h"
#include "proxy/transport.h"

struct admit;
struct classes;
struct handshakes;
struct exchange;
struct guard;
struct probe;
struct inspect_rules;
struct inspector;
struct upstream_conn;

/* Whoever waits for a connection from the dialer embeds one. */
struct dial_waiter {
    void (*dialed)(struct dial_waiter *, int fd, int error); /* fd is taken; -1: a positive errno */
    uint64_t id;                                             /* 0: waits for nothing */
    struct endpoint *endpoint;
};

/* Connections asked of the dialer, by id: low bits are the place here, high bits count its uses. */
struct dial_slot {
    struct dial_waiter
        *waiter; /* NULL: free; an answer with another id finds nobody and its descriptor is closed */
    uint64_t id;
};

enum { DIALS_MAX = 4096, EXCHANGES_KEPT = 256 };

struct proxy {
    struct loop *loop;
    struct chunk_pool chunks;
    struct transport_shared io;
    struct shared *shared;
    struct shared_worker *counts; /* this worker's slot */
    unsigned slot;
    struct proxy_events events;

    struct snapshot *snapshot; /* in force; NULL before the first commit */
    struct snapshot *prepared;
    struct tls_signer *signer;
    struct tls_tickets *tickets;

    struct perimeter perimeter;    /* isolation in force */
    struct guard *guard;           /* and what this worker knows of it */
    int wakes[SHARED_WORKERS_MAX]; /* eventfds of all workers; -1: none */
    struct io woken;               /* our own */

    struct admit *admit; /* NULL: its memory has not come yet, and there is no configuration either */

    struct classes *classes;
    struct handshakes *handshakes;

    struct inspector *inspector;
    struct inspect_rules *first_rules; /* made before the walls were raised; NULL: none. Never freed */

    struct list clients;
    unsigned client_count, tunnel_count;
    struct exchange *free_exchanges;
    unsigned free_exchange_count, least_free_exchanges;
    struct timer trim_timer; /* gives back what a burst needed */

    struct dial_slot *dials;
    unsigned dial_next;
    uint64_t dial_uses;

    struct hash_key seed; /* random per process: ids, tables, choices */
    uint64_t sequence;
    char date[32]; /* "Sun, 06 Nov 1994 08:49:37 GMT", of date_s */
    int64_t date_s;

    bool draining;
    struct timer drain_timer;
    struct timer check_timer; /* active health checks of the snapshot in force */
    struct list checks;       /* check connections under way */
    struct probe *probe;      /* of the virtual patches */
};

uint64_t proxy_random(struct proxy *); /* not for secrets: ids and choices */
struct str proxy_date(struct proxy *); /* the Date field's value now */

/* dial.c: false: too many are asked for already. */
bool dial_ask(struct proxy *, struct dial_waiter *, struct endpoint *);
void dial_forget(struct proxy *, struct dial_waiter *); /* fine when it waits for nothing */

#define COUNT(p, name)       counter_inc((p)->counts, COUNTER_##name)
#define COUNT_BY(p, name, n) counter_add((p)->counts, COUNTER_##name, (n))
#define GAUGE_UP(p, name)    counter_inc((p)->counts, COUNTER_##name)
#define GAUGE_DOWN(p, name)  counter_dec((p)->counts, COUNTER_##name)

#endif
