/* proxy/balance.c - which endpoint gets a request, and what becomes known of endpoints from requests. */
#include "proxy/client.h"
#include "proxy/upstream.h"

enum { SLOW_START_STEPS = 10, BOUND_PERCENT = 125, EJECT_TIMES_MAX = 10 };

static struct shared_endpoint *state_of(const struct endpoint *e)
{
    return shared_endpoint(e->pool->snapshot->proxy->shared, e->shared);
}

bool endpoint_usable(const struct endpoint *e, uint64_t now_ms)
{
    return shared_endpoint_is_usable(state_of(e), now_ms);
}

/* Weight times 10; an endpoint that came back grows to it over slow_start_ms. */
static int32_t weight_now(const struct endpoint *e, uint64_t now_ms)
{
    uint32_t slow = e->pool->config->slow_start_ms;
    int32_t full = e->config->weight * SLOW_START_STEPS;
    uint64_t since = atomic_load_explicit(&state_of(e)->since_ms, memory_order_relaxed);
    if (!slow || since == 0 || now_ms >= since + slow || now_ms < since)
        return full;
    int32_t part = (int32_t)((uint64_t)full * (now_ms - since) / slow);
    return part > 0 ? part : 1;
}

static bool eligible(const struct endpoint *e, const struct endpoint *not_this, uint64_t now_ms)
{
    return e != not_this && !e->config->drain && endpoint_usable(e, now_ms);
}

/* Smooth weighted round robin: each turn everybody gains its weight, the richest is chosen and pays the
 * total. */
static struct endpoint *round_robin(struct pool *pool, const struct endpoint *not_this, uint64_t now_ms)
{
    struct endpoint *best = NULL;
    int32_t total = 0;
    for (unsigned i = 0; i < pool->endpoint_count; i++) {
        struct endpoint *e = &pool->endpoints[i];
        if (!eligible(e, not_this, now_ms))
            continue;
        int32_t weight = weight_now(e, now_ms);
        total += weight;
        e->round_robin += weight;
        if (!best || e->round_robin > best->round_robin)
            best = e;
    }
    if (best)
        best->round_robin -= total;
    return best;
}

static uint64_t active(const struct endpoint *e)
{
    return shared_endpoint_active(e->pool->snapshot->proxy->shared, e->shared);
}

/* The less loaded of two drawn at random (Mitzenmacher 2001), loads counted over all workers and by weight.
 */
static struct endpoint *least_of_two(struct proxy *p, struct pool *pool, const struct endpoint *not_this,
                                     uint64_t now_ms)
{
    struct endpoint *candidates[64];
    unsigned count = 0;
    for (unsigned i = 0; i < pool->endpoint_count && count < 64; i++)
        if (eligible(&pool->endpoints[i], not_this, now_ms))
            candidates[count++] = &pool->endpoints[i];
    if (count == 0)
        return NULL;
    uint64_t random = proxy_random(p);
    struct endpoint *a = candidates[(random & 0xffffffff) % count], *b = candidates[(random >> 32) % count];
    uint64_t load_a = (active(a) + 1) * (uint64_t)weight_now(b, now_ms);
    uint64_t load_b = (active(b) + 1) * (uint64_t)weight_now(a, now_ms);
    return load_b < load_a ? b : a;
}

/* The next point on the ring whose endpoint is below 1.25 times the average load. */
static struct endpoint *on_ring(struct pool *pool, uint64_t hash, const struct endpoint *not_this,
                                uint64_t now_ms)
{
    uint64_t total = 1;
    unsigned usable = 0, low = 0, high = pool->ring_count;
    uint32_t at = (uint32_t)(hash >> 32);
    struct endpoint *fallback = NULL;
    for (unsigned i = 0; i < pool->endpoint_count; i++) {
        if (!eligible(&pool->endpoints[i], not_this, now_ms))
            continue;
        usable++;
        total += active(&pool->endpoints[i]);
    }
    if (!usable)
        return NULL;
    uint64_t bound = (total * BOUND_PERCENT + 100 * usable - 1) / (100 * usable);
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (pool->ring[middle].at < at)
            low = middle + 1;
        else
            high = middle;
    }
    for (unsigned i = 0; i < pool->ring_count; i++) {
        struct endpoint *e = &pool->endpoints[pool->ring[(low + i) % pool->ring_count].endpoint];
        if (!eligible(e, not_this, now_ms))
            continue;
        if (!fallback)
            fallback = e;
        if (active(e) < bound)
            return e;
    }
    return fallback;
}

static struct endpoint *sticky(struct exchange *ex, const struct endpoint *not_this, uint64_t now_ms)
{
    for (unsigned i = 0; ex->sticky && i < ex->pool->endpoint_count; i++) {
        struct endpoint *e = &ex->pool->endpoints[i];
        if (e->sticky == ex->sticky && e != not_this && endpoint_usable(e, now_ms))
            return e;
    }
    return NULL;
}

static struct endpoint *choose(struct exchange *ex, const struct endpoint *not_this, uint64_t now_ms)
{
    switch (ex->pool->config->balance) {
    case BALANCE_LEAST_REQUESTS:
        return least_of_two(ex->proxy, ex->pool, not_this, now_ms);
    case BALANCE_HASH:
        return on_ring(ex->pool, ex->hash, not_this, now_ms);
    case BALANCE_ROUND_ROBIN:
        break;
    }
    return round_robin(ex->pool, not_this, now_ms);
}

struct endpoint *balance_choose(struct exchange *ex, const struct endpoint *not_this)
{
    uint64_t now_ms = loop_now_ms(ex->proxy->loop);
    struct endpoint *e = sticky(ex, not_this, now_ms);
    if (e)
        return e;
    e = choose(ex, not_this, now_ms);
    if (!e && not_this)
        e = choose(ex, NULL, now_ms);
    if (e && ex->pool->config->sticky_cookie.n) {
        ex->sticky = e->sticky;
        ex->set_sticky = true;
    }
    return e;
}

/* ---- passive checks (outlier ejection) */

static unsigned ejected_count(const struct pool *pool, uint64_t now_ms)
{
    unsigned count = 0;
    for (unsigned i = 0; i < pool->endpoint_count; i++)
        count += atomic_load_explicit(&state_of(&pool->endpoints[i])->ejected_until_ms,
                                      memory_order_relaxed) > now_ms;
    return count;
}

static void eject(struct endpoint *e, struct shared_endpoint *state, uint64_t now_ms)
{
    const struct config_upstream *c = e->pool->config;
    unsigned allowed = e->pool->endpoint_count * c->outlier_max_percent / 100;
    if (ejected_count(e->pool, now_ms) >= allowed)
        return;
    uint32_t times = atomic_load_explicit(&state->ejections, memory_order_relaxed) + 1;
    if (times > EJECT_TIMES_MAX)
        times = EJECT_TIMES_MAX;
    uint64_t until = now_ms + (uint64_t)c->outlier_eject_ms * times;
    atomic_store_explicit(&state->ejections, times, memory_order_relaxed);
    atomic_store_explicit(&state->failures, 0, memory_order_relaxed);
    atomic_store_explicit(&state->ejected_until_ms, until, memory_order_relaxed);
    atomic_store_explicit(&state->since_ms, until, memory_order_relaxed);
    upstream_close_idle(e);
}

void endpoint_note_result(struct endpoint *e, bool failed)
{
    struct shared_endpoint *state = state_of(e);
    const struct config_upstream *c = e->pool->config;
    if (!failed) {
        if (atomic_load_explicit(&state->failures, memory_order_relaxed))
            atomic_store_explicit(&state->failures, 0, memory_order_relaxed);
        return;
    }
    struct proxy *p = e->pool->snapshot->proxy;
    uint64_t now_ms = loop_now_ms(p->loop);
    shared_add(&p->counts->endpoints[e->shared].failures, 1);
    if (c->outlier_failures &&
        atomic_fetch_add_explicit(&state->failures, 1, memory_order_relaxed) + 1 >= c->outlier_failures &&
        endpoint_usable(e, now_ms))
        eject(e, state, now_ms);
}
