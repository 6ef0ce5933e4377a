/* proxy/snapshot.h - one configuration, built for use by a worker: contexts, routing tables, pools.
 *
 * Reference counted: the worker holds the one in force; every client connection and request holds the one it
 * began with. Immutable but for the pools' idle connections. */
#ifndef POLDER_PROXY_SNAPSHOT_H
#define POLDER_PROXY_SNAPSHOT_H

#include "base/list.h"
#include "config/config.h"
#include "http/message.h"
#include "sys/loop.h"
#include "tls/context.h"

struct proxy;

struct listener {
    struct io io; /* the listening socket */
    struct io
        first; /* a second one, whose queue is emptied before: of partners and known users; fd -1: none */
    struct proxy *proxy;
    struct snapshot *snapshot;
    const struct config_listener *config;
    struct tls_context *tls;
    struct deferred more; /* accept queue not yet empty, or pressed back by a limit */
};

struct ring_point { /* consistent hash (Karger et al. 1997), with bounded load (Mirrokni et al. 2018) */
    uint32_t at, endpoint;
};

struct endpoint {
    const struct config_endpoint *config;
    struct pool *pool;
    unsigned global;  /* place over all upstreams of this configuration, as in messages and events */
    unsigned shared;  /* place in the shared endpoint table */
    struct list idle; /* upstream_conn.node, most recently used first */
    struct list busy; /* all others */
    unsigned idle_count, open_count;
    int32_t round_robin; /* current weight: smooth weighted round robin */
    uint64_t sticky;     /* hash of host:port, for the cookie */
};

struct pool { /* an upstream */
    const struct config_upstream *config;
    struct snapshot *snapshot;
    struct tls_context *tls;
    struct endpoint *endpoints;
    unsigned endpoint_count;
    struct ring_point *ring; /* only for BALANCE_HASH */
    unsigned ring_count;
};

struct snapshot {
    struct proxy *proxy;
    unsigned refs;
    uint64_t generation;
    struct config *config;
    struct str bundle;
    void (*release)(struct str bundle);
    uint32_t *cluster_slots; /* in the shared area, by config_cluster.index */
    struct listener *listeners;
    struct pool *pools;
    struct inspect_rules *rules;       /* NULL: nothing is inspected */
    struct inspect_cluster *inspected; /* by config_cluster.index */
    struct admit_routes *admit;        /* the places of its routes in admission */
    struct classes_networks *partners; /* by address */
    struct host_entry *hosts;          /* open addressing, exact names */
    unsigned host_mask;
};

struct snapshot *snapshot_new(struct proxy *, uint64_t generation, struct str bundle,
                              void (*release)(struct str bundle), struct arena *errors,
                              struct str *ret_error); /* NULL: why not; bundle is not released then */
struct snapshot *snapshot_ref(struct snapshot *);
void snapshot_unref(struct snapshot *);

/* Where a request belongs. NULL: no cluster answers to that host / no route of the cluster matches. */
const struct config_cluster *snapshot_cluster(const struct snapshot *, struct str host);
const struct config_route *snapshot_route(const struct config_cluster *, struct str path);
/* The listener of the same name, or NULL when this configuration has none. */
struct listener *snapshot_listener(struct snapshot *, struct str name);

#endif
