/* proxy/snapshot.c - builds and takes down what a configuration needs at run time. */
#include "proxy/snapshot.h"

#include "base/must.h"
#include "proxy/classes.h"
#include "proxy/inspect.h"
#include "proxy/upstream.h"

#include <stdlib.h>

enum { RING_POINTS_PER_WEIGHT = 64 };

struct host_entry {
    struct str host;
    const struct config_cluster *cluster;
};

static uint64_t host_hash(const struct proxy *p, struct str host)
{
    return hash_bytes(&p->seed, host.p, host.n);
}

static bool build_hosts(struct snapshot *s)
{
    unsigned count = 0, size = 16;
    for (unsigned c = 0; c < s->config->cluster_count; c++)
        count += s->config->clusters[c].host_count;
    while (size < 2 * count)
        size *= 2;
    s->hosts = calloc(size, sizeof *s->hosts);
    if (!s->hosts)
        return false;
    s->host_mask = size - 1;
    for (unsigned c = 0; c < s->config->cluster_count; c++) {
        const struct config_cluster *cluster = &s->config->clusters[c];
        for (unsigned h = 0; h < cluster->host_count; h++) {
            uint64_t at = host_hash(s->proxy, cluster->hosts[h]);
            while (s->hosts[at & s->host_mask].cluster)
                at++;
            s->hosts[at & s->host_mask] = (struct host_entry){cluster->hosts[h], cluster};
        }
    }
    return true;
}

static const struct config_cluster *find_host(const struct snapshot *s, struct str host)
{
    uint64_t at = host_hash(s->proxy, host);
    for (; s->hosts[at & s->host_mask].cluster; at++)
        if (str_eq(s->hosts[at & s->host_mask].host, host))
            return s->hosts[at & s->host_mask].cluster;
    return NULL;
}

/* Exact name, then "*.rest" from the longest rest to the shortest, then "*". */
const struct config_cluster *snapshot_cluster(const struct snapshot *s, struct str host)
{
    const struct config_cluster *cluster = find_host(s, host);
    char wild[260] = "*";
    ptrdiff_t dot;
    while (!cluster && (dot = str_find_char(host, '.')) >= 0 && host.n < sizeof wild - 1) {
        host = str_skip(host, (size_t)dot);
        memcpy(wild + 1, host.p, host.n);
        cluster = find_host(s, (struct str){wild, host.n + 1});
        host = str_skip(host, 1);
    }
    return cluster ? cluster : find_host(s, STR("*"));
}

static bool route_matches(const struct config_route *r, struct str path)
{
    if (r->exact)
        return str_eq(r->path, path);
    if (!str_starts(path, r->path))
        return false;
    return path.n == r->path.n || r->path.p[r->path.n - 1] == '/' || path.p[r->path.n] == '/';
}

const struct config_route *snapshot_route(const struct config_cluster *cluster, struct str path)
{
    for (unsigned i = 0; i < cluster->route_count; i++)
        if (route_matches(&cluster->routes[i], path))
            return &cluster->routes[i];
    return NULL;
}

struct listener *snapshot_listener(struct snapshot *s, struct str name)
{
    for (unsigned i = 0; i < s->config->listener_count; i++)
        if (str_eq(s->listeners[i].config->name, name))
            return &s->listeners[i];
    return NULL;
}

static int compare_points(const void *a, const void *b)
{
    const struct ring_point *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* Every worker, and every restart, must place the same endpoints at the same points: a fixed key. */
static bool build_ring(struct pool *pool)
{
    static const struct hash_key fixed = {0x706f6c646572ULL, 0x72696e67ULL};
    unsigned total = 0;
    for (unsigned e = 0; e < pool->endpoint_count; e++)
        total += RING_POINTS_PER_WEIGHT * pool->endpoints[e].config->weight;
    pool->ring = calloc(total, sizeof *pool->ring);
    if (!pool->ring)
        return false;
    for (unsigned e = 0; e < pool->endpoint_count; e++)
        for (unsigned i = 0; i < RING_POINTS_PER_WEIGHT * pool->endpoints[e].config->weight; i++) {
            uint64_t key[2] = {pool->endpoints[e].sticky, i};
            pool->ring[pool->ring_count++] =
                (struct ring_point){(uint32_t)(hash_bytes(&fixed, key, sizeof key) >> 32), e};
        }
    qsort(pool->ring, pool->ring_count, sizeof *pool->ring, compare_points);
    return true;
}

static bool build_pool(struct snapshot *s, struct pool *pool, const struct config_upstream *config,
                       struct arena *errors, struct str *ret_error)
{
    *pool = (struct pool){.config = config, .snapshot = s};
    pool->endpoints = calloc(config->endpoint_count, sizeof *pool->endpoints);
    if (!pool->endpoints)
        return false;
    for (unsigned e = 0; e < config->endpoint_count; e++) {
        const struct config_endpoint *c = &config->endpoints[e];
        uint64_t key = shared_endpoint_key(config->name, c->host, c->port);
        uint32_t slot = shared_endpoint_find(s->proxy->shared, key);
        pool->endpoint_count++;
        pool->endpoints[e] = (struct endpoint){
            .config = c, .pool = pool, .global = config->first_endpoint + e, .shared = slot, .sticky = key};
        list_init(&pool->endpoints[e].idle);
        list_init(&pool->endpoints[e].busy);
        if (slot == SHARED_NO_SLOT) {
            *ret_error = arena_printf(errors, "upstream %.*s: its endpoints have no place in shared memory",
                                      STR_ARG(config->name));
            return false;
        }
    }
    if (config->balance == BALANCE_HASH && !build_ring(pool))
        return false;
    if (config->tls) {
        pool->tls = tls_context_client(config, s->proxy->signer, errors, ret_error);
        return pool->tls != NULL;
    }
    return true;
}

static bool build_listeners(struct snapshot *s, struct arena *errors, struct str *ret_error)
{
    s->listeners = calloc(s->config->listener_count, sizeof *s->listeners);
    if (!s->listeners)
        return false;
    for (unsigned i = 0; i < s->config->listener_count; i++) {
        struct listener *l = &s->listeners[i];
        *l = (struct listener){.io.fd = -1,
                               .first.fd = -1,
                               .proxy = s->proxy,
                               .snapshot = s,
                               .config = &s->config->listeners[i]};
        deferred_init(&l->more, NULL);
    }
    for (unsigned i = 0; i < s->config->listener_count; i++) {
        struct listener *l = &s->listeners[i];
        if (!l->config->has_tls)
            continue;
        l->tls = tls_context_server(l->config, s->proxy->signer, s->proxy->tickets, errors, ret_error);
        if (!l->tls)
            return false;
    }
    return true;
}

static bool build(struct snapshot *s, struct arena *errors, struct str *ret_error)
{
    s->config = config_from_bundle(s->bundle, errors, ret_error);
    if (!s->config)
        return false;
    *ret_error = STR("out of memory");
    s->cluster_slots = calloc(s->config->cluster_count, sizeof *s->cluster_slots);
    s->pools = calloc(s->config->upstream_count, sizeof *s->pools);
    if (!s->cluster_slots || !s->pools || !build_hosts(s) || !build_listeners(s, errors, ret_error))
        return false;
    for (unsigned i = 0; i < s->config->cluster_count; i++)
        s->cluster_slots[i] =
            shared_cluster_find(s->proxy->shared, shared_cluster_key(s->config->clusters[i].name));
    s->partners = classes_networks_new(s->config);
    if (!s->partners || !inspect_snapshot_build(s, errors, ret_error) ||
        !admit_snapshot_build(s, errors, ret_error))
        return false;
    for (unsigned i = 0; i < s->config->upstream_count; i++)
        if (!build_pool(s, &s->pools[i], &s->config->upstreams[i], errors, ret_error))
            return false;
    return true;
}

static void take_down(struct snapshot *s)
{
    for (unsigned i = 0; s->listeners && i < s->config->listener_count; i++) {
        if (s->listeners[i].io.fd >= 0)
            loop_close(s->proxy->loop, &s->listeners[i].io);
        if (s->listeners[i].first.fd >= 0)
            loop_close(s->proxy->loop, &s->listeners[i].first);
        loop_undefer(&s->listeners[i].more);
        tls_context_unref(s->listeners[i].tls);
    }
    for (unsigned i = 0; s->pools && i < s->config->upstream_count; i++) {
        for (unsigned e = 0; e < s->pools[i].endpoint_count; e++)
            must(list_is_empty(&s->pools[i].endpoints[e].idle));
        tls_context_unref(s->pools[i].tls);
        free(s->pools[i].ring);
        free(s->pools[i].endpoints);
    }
    inspect_snapshot_done(s);
    admit_snapshot_done(s);
    classes_networks_free(s->partners);
    free(s->pools);
    free(s->listeners);
    free(s->hosts);
    free(s->cluster_slots);
    config_free(s->config);
}

struct snapshot *snapshot_new(struct proxy *p, uint64_t generation, struct str bundle,
                              void (*release)(struct str bundle), struct arena *errors, struct str *ret_error)
{
    struct snapshot *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    *s = (struct snapshot){
        .proxy = p, .refs = 1, .generation = generation, .bundle = bundle, .release = release};
    if (!build(s, errors, ret_error)) {
        take_down(s);
        free(s);
        return NULL;
    }
    return s;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    s->refs++;
    return s;
}

/* Idle upstream connections hold a reference too; whoever retires a snapshot closes them first. */
void snapshot_unref(struct snapshot *s)
{
    if (!s || --s->refs > 0)
        return;
    struct str bundle = s->bundle;
    void (*release)(struct str) = s->release;
    take_down(s);
    free(s);
    if (release)
        release(bundle);
}
