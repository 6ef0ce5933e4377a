/* proxy/admit_snapshot.c - a configuration's places in admission: for each route its flow and its pool. */
#include "proxy/admit_parts.h"

#include "base/must.h"

#include <stdlib.h>

struct admit_routes {
    struct admit_route *routes;
    unsigned *first; /* of a cluster's, by config_cluster.index */
    uint16_t *pools; /* by config_upstream.index */
};

static struct admit_routes *routes_new(const struct config *config)
{
    unsigned count = 0;
    struct admit_routes *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    for (unsigned i = 0; i < config->cluster_count; i++)
        count += config->clusters[i].route_count;
    s->routes = calloc(count + 1, sizeof *s->routes);
    s->first = calloc(config->cluster_count + 1, sizeof *s->first);
    s->pools = calloc(config->upstream_count + 1, sizeof *s->pools);
    count = 0;
    for (unsigned i = 0; s->first && i < config->cluster_count; i++) {
        s->first[i] = count;
        count += config->clusters[i].route_count;
    }
    return s;
}

static bool find_pools(struct admit *a, const struct config *config, struct admit_routes *s)
{
    for (unsigned i = 0; i < config->upstream_count; i++) {
        s->pools[i] = admit_pool_find(&a->memory, admit_pool_key(config->upstreams[i].name));
        if (s->pools[i] >= ADMIT_POOLS)
            return false;
        admit_pool_open(a, s->pools[i], &config->upstreams[i]);
    }
    return true;
}

static bool find_flows(struct admit *a, const struct config_cluster *c, struct admit_routes *s)
{
    for (unsigned i = 0; i < c->route_count; i++) {
        const struct config_upstream *u = c->routes[i].upstream;
        struct admit_route *r = &s->routes[s->first[c->index] + i];
        r->pool = s->pools[u->index];
        r->flow = admit_flow_find(&a->memory, admit_flow_key(c->name, u->name));
        if (r->flow >= ADMIT_FLOWS || !admit_flow_open(a, r->flow, r->pool, c->weight))
            return false;
    }
    return true;
}

bool admit_snapshot_build(struct snapshot *snapshot, struct arena *errors, struct str *ret_error)
{
    struct admit *a = snapshot->proxy->admit;
    const struct config *config = snapshot->config;
    struct admit_routes *s = snapshot->admit = a ? routes_new(config) : NULL;
    if (!s || !s->routes || !s->first || !s->pools)
        return false;
    if (!find_pools(a, config, s)) {
        *ret_error = STR("an upstream has no place in the memory of admission");
        return false;
    }
    for (unsigned i = 0; i < config->cluster_count; i++) {
        if (find_flows(a, &config->clusters[i], s))
            continue;
        *ret_error = arena_printf(errors, "cluster %.*s has no place in the memory of admission",
                                  STR_ARG(config->clusters[i].name));
        return false;
    }
    return true;
}

void admit_snapshot_done(struct snapshot *snapshot)
{
    struct admit_routes *s = snapshot->admit;
    if (!s)
        return;
    free(s->routes);
    free(s->first);
    free(s->pools);
    free(s);
}

/* One that was prepared and forgotten may have left its own. */
void admit_apply(const struct snapshot *snapshot)
{
    for (unsigned i = 0; i < snapshot->config->cluster_count; i++) {
        const struct config_cluster *c = &snapshot->config->clusters[i];
        for (unsigned k = 0; k < c->route_count; k++) {
            const struct admit_route *r = &snapshot->admit->routes[snapshot->admit->first[i] + k];
            must(admit_flow_open(snapshot->proxy->admit, r->flow, r->pool, c->weight)); /* it is open */
        }
    }
    for (unsigned i = 0; i < snapshot->config->upstream_count; i++)
        admit_pool_open(snapshot->proxy->admit, snapshot->admit->pools[i], &snapshot->config->upstreams[i]);
}

const struct admit_route *admit_route_of(const struct exchange *ex)
{
    const struct admit_routes *s = ex->snapshot->admit;
    return &s->routes[s->first[ex->cluster->index] + ex->route->index];
}
