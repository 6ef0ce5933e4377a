/* gate/observer_status.c - what `polder status` and `polder top` show, as JSON. */
#include "gate/observer.h"
#include "sys/sandbox.h"

static uint64_t wall_ms(const struct observer *o)
{
    return (uint64_t)loop_wall_us(o->loop) / 1000;
}

static void put_time(struct json_writer *w, struct str key, uint64_t unix_ms)
{
    json_key(w, key);
    json_str_begin(w);
    time_write_utc(w->out, (int64_t)unix_ms * 1000);
    json_str_end(w);
}

static void put_addr(struct json_writer *w, struct str key, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];
    struct buf out = buf_over(text, sizeof text);
    addr_write(&out, a);
    json_put_str(w, key, buf_text(&out));
}

/* ---- roles */

static void write_walls(struct json_writer *w, uint32_t walls)
{
    json_put_array(w, STR("walls"));
    for (unsigned i = 0; i < WALL_COUNT; i++)
        if (walls & 1u << i)
            json_str(w, sandbox_wall_name((enum sandbox_wall)(1u << i)));
    json_array_end(w);
    json_put_array(w, STR("missing_walls"));
    for (unsigned i = 0; i < WALL_COUNT; i++) {
        if (walls & 1u << i)
            continue;
        json_object_begin(w);
        json_put_str(w, STR("wall"), sandbox_wall_name((enum sandbox_wall)(1u << i)));
        json_put_str(w, STR("reason"), sandbox_wall_missing((enum sandbox_wall)(1u << i)));
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_role(const struct observer *o, struct json_writer *w, const struct observed_role *r)
{
    uint64_t now = wall_ms(o);
    json_object_begin(w);
    json_put_str(w, STR("role"), role_name(r->role));
    json_put_u64(w, STR("slot"), r->slot);
    json_put_u64(w, STR("pid"), r->pid);
    json_put_str(w, STR("state"), role_run_name(r->run));
    json_put_u64(w, STR("uptime_s"), now > r->since_ms ? (now - r->since_ms) / 1000 : 0);
    json_put_u64(w, STR("restarts"), r->restarts);
    json_put_str(w, STR("detail"), (struct str){r->detail, r->detail_len});
    if (r->role != ROLE_MASTER && r->run == ROLE_RUN_UP)
        write_walls(w, r->walls);
    json_object_end(w);
}

static void write_roles(const struct observer *o, struct json_writer *w)
{
    json_put_array(w, STR("roles"));
    for (unsigned i = 0; i < o->role_count; i++)
        write_role(o, w, &o->roles[i]);
    json_array_end(w);
}

/* ---- configuration */

static void write_config(const struct observer *o, struct json_writer *w)
{
    char hex[64];
    struct buf digest = buf_over(hex, sizeof hex);
    buf_hex(&digest, o->config_digest, sizeof o->config_digest);
    json_put_object(w, STR("config"));
    json_put_u64(w, STR("generation"), o->config_generation);
    json_put_str(w, STR("path"), o->current ? o->current->config->path : STR(""));
    json_put_str(w, STR("digest"), buf_text(&digest));
    put_time(w, STR("since"), o->config_since_ms);
    json_put_str(w, STR("last_error"), buf_text(&o->config_error));
    json_object_end(w);
}

static void write_listeners(const struct config *config, struct json_writer *w)
{
    json_put_array(w, STR("listeners"));
    for (unsigned i = 0; i < config->listener_count; i++) {
        const struct config_listener *l = &config->listeners[i];
        json_object_begin(w);
        json_put_str(w, STR("name"), l->name);
        put_addr(w, STR("address"), &l->address);
        json_put_bool(w, STR("tls"), l->has_tls);
        json_put_bool(w, STR("tls12"), l->has_tls && l->tls12);
        json_put_bool(w, STR("http2"), l->http2);
        json_put_bool(w, STR("redirects"), l->redirects);
        json_put_bool(w, STR("proxy_protocol"), l->proxy_protocol);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_certificates(const struct observer *o, struct json_writer *w)
{
    int64_t now_s = loop_wall_us(o->loop) / 1'000'000;
    json_put_array(w, STR("certificates"));
    for (unsigned i = 0; i < o->current->config->certificate_count; i++) {
        const struct observed_certificate *c = &o->current->certificates[i];
        json_object_begin(w);
        json_put_str(w, STR("name"), c->name);
        if (c->not_after_s) {
            put_time(w, STR("not_after"), c->not_after_s > 0 ? (uint64_t)c->not_after_s * 1000 : 0);
            json_put_i64(w, STR("days_left"), (c->not_after_s - now_s) / 86'400);
        }
        json_object_end(w);
    }
    json_array_end(w);
}

/* ---- numbers */

static void write_cluster(const struct observer *o, struct json_writer *w, unsigned index, bool with_latency)
{
    const struct config_cluster *c = &o->current->config->clusters[index];
    uint32_t slot = o->current->cluster_slots[index];
    struct cluster_sum sum = {0};
    if (o->shared.header && slot != SHARED_NO_SLOT)
        shared_cluster_sum(&o->shared, slot, &sum);
    json_object_begin(w);
    json_put_str(w, STR("name"), c->name);
    json_put_array(w, STR("hosts"));
    for (unsigned i = 0; i < c->host_count && !with_latency; i++)
        json_str(w, c->hosts[i]);
    json_array_end(w);
    json_put_u64(w, STR("requests"), sum.requests);
    json_put_array(w, STR("status"));
    for (unsigned i = 0; i < 6; i++)
        json_u64(w, sum.status[i]);
    json_array_end(w);
    json_put_u64(w, STR("bytes_in"), sum.bytes_in);
    json_put_u64(w, STR("bytes_out"), sum.bytes_out);
    json_put_u64(w, STR("p50_us"), latency_quantile_us(sum.latency, 500));
    json_put_u64(w, STR("p95_us"), latency_quantile_us(sum.latency, 950));
    json_put_u64(w, STR("p99_us"), latency_quantile_us(sum.latency, 990));
    json_put_array(w, STR("latency")); /* pairs of bucket and count, for those that are not 0 */
    for (unsigned b = 0; b < LATENCY_BUCKETS && with_latency; b++) {
        if (sum.latency[b] == 0)
            continue;
        json_u64(w, b);
        json_u64(w, sum.latency[b]);
    }
    json_array_end(w);
    json_object_end(w);
}

static void write_clusters(const struct observer *o, struct json_writer *w, bool with_latency)
{
    json_put_array(w, STR("clusters"));
    for (unsigned i = 0; o->current && i < o->current->config->cluster_count; i++)
        write_cluster(o, w, i, with_latency);
    json_array_end(w);
}

static struct str health_text(const struct observer *o, const struct shared_endpoint *e)
{
    if (atomic_load_explicit(&e->ejected_until_ms, memory_order_relaxed) > loop_now_ms(o->loop))
        return STR("ejected");
    switch (atomic_load_explicit(&e->health, memory_order_relaxed)) {
    case ENDPOINT_UP:
        return STR("up");
    case ENDPOINT_DOWN:
        return STR("down");
    default:
        return STR("unchecked");
    }
}

static void write_endpoint(const struct observer *o, struct json_writer *w, const struct observed_endpoint *e)
{
    struct endpoint_sum sum = {0};
    struct addr address = e->endpoint->address;
    bool has_address = !e->endpoint->is_name;
    struct str health = STR("unknown");
    if (o->shared.header && e->slot != SHARED_NO_SLOT) {
        const struct shared_endpoint *state = shared_endpoint(&o->shared, e->slot);
        shared_endpoint_sum(&o->shared, e->slot, &sum);
        has_address = has_address || shared_endpoint_address(state, &address);
        health = health_text(o, state);
    }
    json_object_begin(w);
    json_put_str(w, STR("upstream"), e->upstream->name);
    json_put_str(w, STR("host"), e->endpoint->host);
    json_put_u64(w, STR("port"), e->endpoint->port);
    if (has_address)
        put_addr(w, STR("address"), &address);
    json_put_str(w, STR("health"), e->endpoint->drain ? STR("draining") : health);
    json_put_u64(w, STR("active"), sum.active);
    json_put_u64(w, STR("connections"), sum.connections);
    json_put_u64(w, STR("requests"), sum.requests);
    json_put_u64(w, STR("failures"), sum.failures);
    json_object_end(w);
}

static void write_endpoints(const struct observer *o, struct json_writer *w)
{
    json_put_array(w, STR("endpoints"));
    for (unsigned i = 0; o->current && i < o->current->config->endpoint_count; i++)
        write_endpoint(o, w, &o->current->endpoints[i]);
    json_array_end(w);
}

static void write_totals(const struct observer *o, struct json_writer *w)
{
    json_put_object(w, STR("totals"));
    for (unsigned c = 0; o->shared.header && c < COUNTER_COUNT; c++)
        json_put_u64(w, counter_name((enum counter)c), shared_counter_sum(&o->shared, (enum counter)c));
    json_object_end(w);
    json_put_object(w, STR("refusals"));
    for (unsigned r = REFUSAL_NONE + 1; o->shared.header && r < REFUSAL_COUNT; r++) {
        uint64_t n = shared_refusal_sum(&o->shared, (enum http_refusal)r);
        if (n)
            json_put_u64(w, http_refusal_name((enum http_refusal)r), n);
    }
    json_object_end(w);
}

static void write_workers(const struct observer *o, struct json_writer *w)
{
    static const enum counter shown[] = {COUNTER_connections_open, COUNTER_requests_total,
                                         COUNTER_requests_active, COUNTER_tunnels_open,
                                         COUNTER_events_lost_total};
    json_put_array(w, STR("workers"));
    for (unsigned slot = 0; slot < o->shared.worker_count; slot++) {
        json_object_begin(w);
        json_put_u64(w, STR("slot"), slot);
        for (unsigned i = 0; i < sizeof shown / sizeof *shown; i++)
            json_put_u64(
                w, counter_name(shown[i]),
                atomic_load_explicit(&o->shared.workers[slot].counters[shown[i]], memory_order_relaxed));
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_head(const struct observer *o, struct json_writer *w)
{
    json_put_str(w, STR("version"), STR(POLDER_VERSION));
    put_time(w, STR("now"), wall_ms(o));
    json_put_u64(w, STR("now_us"), loop_now_us(o->loop));
}

void observer_status_write(struct observer *o, struct buf *out)
{
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    write_head(o, &w);
    write_config(o, &w);
    write_roles(o, &w);
    if (o->current) {
        write_listeners(o->current->config, &w);
        write_certificates(o, &w);
    }
    write_clusters(o, &w, false);
    write_endpoints(o, &w);
    write_totals(o, &w);
    observer_waf_write_status(o, &w);
    observer_isolation_write_status(o, &w);
    observer_packets_write_status(o, &w);
    observer_admission_write_status(o, &w);
    json_put_object(&w, STR("logs"));
    json_put_u64(&w, STR("access_lines"), o->access_log.lines);
    json_put_u64(&w, STR("write_failures"),
                 o->access_log.failures + o->event_log.failures + o->waf.log.failures);
    json_object_end(&w);
    json_object_end(&w);
    buf_char(out, '\n');
}

void observer_top_write(struct observer *o, struct buf *out)
{
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    write_head(o, &w);
    json_put_u64(&w, STR("generation"), o->config_generation);
    write_roles(o, &w);
    write_workers(o, &w);
    write_clusters(o, &w, true);
    write_endpoints(o, &w);
    write_totals(o, &w);
    observer_isolation_write_status(o, &w);
    observer_packets_write_status(o, &w);
    observer_admission_write_status(o, &w);
    json_object_end(&w);
    buf_char(out, '\n');
}
