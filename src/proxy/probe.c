/* proxy/probe.c - the state is a place in three nested rows: cluster, patch, request.
 *
 *   next --(exchange_begin)--> under way --(forward, or an answer of the gate's own)--> over --> judged -->
 * next
 *
 * Invariants:
 *  1. At most one exchange at a time; it is freed from the loop, never from below its own calls.
 *  2. A result is written once for each patch and cluster: at the first request that went otherwise than it
 *     must, or when all went as they must. */
#include "proxy/probe.h"

#include "base/must.h"
#include "proxy/client.h"
#include "proxy/inspect_patches.h"
#include "proxy/inspect_rules.h"

#include <stdlib.h>

enum { PERIOD_MS = 16, BUSY_BUDGET_US = 500, IDLE_BUDGET_US = 4000 };

struct probe {
    struct proxy *proxy;
    struct client client; /* whose requests they are; never in the list of clients */
    struct snapshot *snapshot;
    struct timer timer;
    struct deferred again; /* ex was over after a wait, and nobody else has anything to do */
    unsigned cluster, patch, request;
    struct exchange *ex;
    bool is_over;    /* ex has its outcome */
    bool is_running; /* inside run() */
    struct str body;
    struct patch_result result; /* of the present patch and cluster, so far */
    char raw[WAF_PATCH_SENT_MAX];
};

/* ---- the side of the exchange: nobody is there to be told but that it is over */

static struct probe *probe_of(const struct exchange *ex)
{
    return container_of(ex->client, struct probe, client);
}

static void side_nothing(struct exchange *ex [[maybe_unused]])
{
}

static void side_body(struct exchange *ex [[maybe_unused]], struct str bytes [[maybe_unused]])
{
}

static bool is_idle(const struct proxy *p)
{
    return atomic_load_explicit(&p->counts->counters[COUNTER_requests_active], memory_order_relaxed) == 0;
}

static void side_broken(struct exchange *ex)
{
    struct probe *probe = probe_of(ex);
    probe->is_over = true;
    if (!probe->is_running && is_idle(probe->proxy))
        loop_defer(probe->proxy->loop, &probe->again);
}

static void side_end(struct exchange *ex, const struct http_field *trailers [[maybe_unused]],
                     unsigned count [[maybe_unused]])
{
    side_broken(ex);
}

static size_t side_queued(const struct exchange *ex [[maybe_unused]])
{
    return 0;
}

/* The inspection wants the body, which is there. */
static void side_read_more(struct exchange *ex)
{
    struct probe *probe = probe_of(ex);
    struct str body = probe->body;
    if (probe->is_over || ex->body_done)
        return;
    probe->body = STR("");
    if (body.n)
        exchange_request_body(ex, body);
    if (!probe->is_over)
        exchange_request_end(ex, NULL, 0);
}

static const struct exchange_side probe_side = {
    .interim = side_nothing,
    .head = side_nothing,
    .body = side_body,
    .end = side_end,
    .broken = side_broken,
    .flush = side_nothing,
    .queued = side_queued,
    .read_more = side_read_more,
};

/* ---- one request */

static const struct inspect_patches *patches_of(const struct probe *probe)
{
    return inspect_rules_patches(probe->snapshot->rules);
}

/* A name under which the cluster is asked for. */
static struct str host_of(const struct config_cluster *c, struct arena *arena)
{
    struct str host = c->hosts[0];
    if (str_eq(host, STR("*")))
        return STR("polder-patch.invalid");
    if (str_starts(host, STR("*.")))
        return arena_printf(arena, "polder-patch%.*s", STR_ARG(str_skip(host, 1)));
    return host;
}

static void begin(struct probe *probe, struct str raw)
{
    struct exchange *ex = probe->ex;
    const struct config_limits *l = client_limits(&probe->client);
    const struct h1_limits limits = {l->header_bytes, l->header_count, l->target_bytes,
                                     l->underscores == UNDERSCORE_KEEP};
    enum http_refusal why = REFUSAL_HEAD_TOO_LARGE;
    size_t scanned = 0;
    ptrdiff_t n = h1_parse_request(raw, &scanned, &limits, ex->arena, &ex->req, &why);
    if (n <= 0) { /* a head that is not whole within the limit is refused as a client's would be */
        exchange_refuse(ex, why);
        return;
    }
    ex->req.scheme = STR("https");
    ex->body_done = ex->req.body == BODY_NONE;
    probe->body = str_take(str_skip(raw, (size_t)n), (size_t)ex->req.content_length);
    exchange_begin(ex);
    if (!probe->is_over && !ex->body_paused)
        side_read_more(ex);
}

/* False: it cannot be sent at all. */
static bool send_request(struct probe *probe, const struct config_cluster *c,
                         const struct waf_patch_request *r)
{
    struct buf raw = buf_over(probe->raw, sizeof probe->raw);
    probe->is_over = false;
    probe->ex = exchange_new(&probe->client, &probe_side, NULL);
    if (!probe->ex)
        return false;
    probe->ex->is_probe = true;
    if (!waf_patch_request_write(&raw, r, host_of(c, probe->ex->arena)))
        return false;
    begin(probe, buf_text(&raw));
    return true;
}

static void forget_exchange(struct probe *probe)
{
    if (!probe->ex)
        return;
    exchange_abort(probe->ex);
    exchange_free(probe->ex);
    probe->ex = NULL;
}

/* ---- what came of it */

static bool is_unreachable(enum http_refusal why)
{
    return why == REFUSAL_NO_ROUTE || why == REFUSAL_MISDIRECTED || why == REFUSAL_CLIENT_CERTIFICATE;
}

static enum patch_reason judge(const struct exchange *ex, bool must_pass)
{
    enum http_refusal why = (enum http_refusal)ex->event.refusal;
    if (ex->probe_passed)
        return must_pass ? PATCH_FINE : PATCH_LET_THROUGH;
    if (why == REFUSAL_WAF_BUSY)
        return PATCH_BUSY;
    if (!must_pass)
        return PATCH_FINE;
    return is_unreachable(why) ? PATCH_NO_ROUTE : PATCH_STOPPED;
}

static void write_result(struct probe *probe, enum patch_reason reason)
{
    static const enum patch_state states[PATCH_REASON_COUNT] = {
        [PATCH_FINE] = PATCH_EFFECTIVE,         [PATCH_LET_THROUGH] = PATCH_NOT_EFFECTIVE,
        [PATCH_STOPPED] = PATCH_NOT_EFFECTIVE,  [PATCH_MODE_DETECT] = PATCH_NOT_EFFECTIVE,
        [PATCH_MODE_OFF] = PATCH_NOT_EFFECTIVE, [PATCH_EXCLUDED] = PATCH_NOT_EFFECTIVE,
        [PATCH_NO_ROUTE] = PATCH_CANNOT_TELL,   [PATCH_BUSY] = PATCH_CANNOT_TELL,
    };
    const struct proxy *p = probe->proxy;
    struct patch_result result = {.state = states[reason],
                                  .reason = reason,
                                  .request = probe->request,
                                  .generation = (uint32_t)probe->snapshot->generation,
                                  .at_us = loop_wall_us(p->loop)};
    shared_patch_set(p->shared, p->slot, probe->snapshot->cluster_slots[probe->cluster], probe->patch,
                     &result);
    probe->request = 0;
    probe->patch++;
}

/* ---- the rows */

static bool is_excepted(const struct config_cluster *c, const struct waf_patch *patch)
{
    for (unsigned i = 0; i < c->waf.patch_exception_count; i++)
        if (str_eq_nocase(c->waf.patch_exceptions[i], patch->id))
            return true;
    return false;
}

/* What is known without asking; PATCH_FINE: nothing. */
static enum patch_reason known(const struct config_cluster *c, const struct waf_patch *patch)
{
    if (c->waf.mode == WAF_MODE_OFF)
        return PATCH_MODE_OFF;
    if (c->waf.mode == WAF_MODE_DETECT)
        return PATCH_MODE_DETECT;
    return is_excepted(c, patch) ? PATCH_EXCLUDED : PATCH_FINE;
}

/* Begins the next request, or writes a result. False: all is done. */
static bool step(struct probe *probe)
{
    const struct inspect_patches *patches = patches_of(probe);
    const struct config *config = probe->snapshot->config;
    if (probe->patch == patches->count) {
        probe->patch = 0;
        probe->cluster++;
    }
    if (patches->count == 0 || probe->cluster == config->cluster_count)
        return false;
    const struct config_cluster *c = &config->clusters[probe->cluster];
    const struct waf_patch *patch = &patches->items[probe->patch];
    enum patch_reason reason = known(c, patch);
    if (reason != PATCH_FINE || probe->request == patch->block_count + patch->pass_count)
        write_result(probe, reason);
    else if (!send_request(probe, c, &patch->requests[probe->request]))
        write_result(probe, PATCH_BUSY);
    return true;
}

static void finish_request(struct probe *probe)
{
    const struct waf_patch *patch = &patches_of(probe)->items[probe->patch];
    enum patch_reason reason = judge(probe->ex, probe->request >= patch->block_count);
    forget_exchange(probe);
    if (reason == PATCH_FINE)
        probe->request++;
    else
        write_result(probe, reason);
}

/* False: all is done. */
static bool run_for(struct probe *probe, uint64_t budget_us)
{
    struct loop *loop = probe->proxy->loop;
    loop_refresh_now(loop);
    for (uint64_t end_us = loop_now_us(loop) + budget_us; loop_now_us(loop) < end_us;
         loop_refresh_now(loop)) {
        if (probe->ex && !probe->is_over)
            return true; /* its inspection waits for its turn */
        if (probe->ex)
            finish_request(probe);
        else if (!step(probe))
            return false;
    }
    return true;
}

static void run(struct probe *probe)
{
    struct proxy *p = probe->proxy;
    probe->is_running = true;
    bool goes_on = run_for(probe, is_idle(p) ? IDLE_BUDGET_US : BUSY_BUDGET_US);
    probe->is_running = false;
    if (goes_on)
        timer_set(p->loop, &probe->timer, loop_now_ms(p->loop) + PERIOD_MS);
    else
        probe_stop(probe);
}

static void timer_due(struct timer *t)
{
    run(container_of(t, struct probe, timer));
}

static void again_due(struct deferred *d)
{
    run(container_of(d, struct probe, again));
}

/* ---- begin and end */

static struct listener *listener_of(const struct snapshot *s)
{
    for (unsigned i = 0; i < s->config->listener_count; i++)
        if (!s->listeners[i].config->redirects)
            return &s->listeners[i];
    return NULL;
}

struct probe *probe_new(struct proxy *p)
{
    struct probe *probe = calloc(1, sizeof *probe);
    if (!probe)
        return NULL;
    probe->proxy = p;
    timer_init(&probe->timer, timer_due);
    deferred_init(&probe->again, again_due);
    return probe;
}

void probe_stop(struct probe *probe)
{
    timer_clear(probe->proxy->loop, &probe->timer);
    loop_undefer(&probe->again);
    forget_exchange(probe);
    if (probe->snapshot)
        snapshot_unref(probe->snapshot);
    probe->snapshot = NULL;
}

void probe_free(struct probe *probe)
{
    if (!probe)
        return;
    probe_stop(probe);
    free(probe);
}

void probe_start(struct probe *probe)
{
    struct proxy *p = probe->proxy;
    probe_stop(probe);
    if (p->slot != 0 || !p->snapshot->rules || p->draining || !listener_of(p->snapshot))
        return;
    probe->snapshot = snapshot_ref(p->snapshot);
    probe->client = (struct client){.proxy = p,
                                    .snapshot = probe->snapshot,
                                    .listener = listener_of(probe->snapshot),
                                    .ip_text = "127.0.0.1",
                                    .ip_text_n = sizeof "127.0.0.1" - 1};
    probe->client.peer = (struct addr){.is_v4 = true};
    probe->cluster = probe->patch = probe->request = 0;
    timer_set(p->loop, &probe->timer, loop_now_ms(p->loop) + PERIOD_MS);
}
