/* gate/observer_metrics.c - all numbers in the text format of Prometheus (prometheus.io/docs/instrumenting/
 * exposition_formats, version 0.0.4). Names, types and sentences of the counters come from base/counters.def.
 */
#include "gate/observer.h"

void metric_write_head(struct buf *out, const char *name, const char *type, struct str help)
{
    buf_printf(out, "# HELP polder_%s ", name);
    buf_str(out, help);
    buf_printf(out, "\n# TYPE polder_%s %s\n", name, type);
}

/* A label's value, quotes and all: backslash, quote and line feed are escaped. */
void metric_write_value(struct buf *out, struct str value)
{
    buf_char(out, '"');
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == '\n') {
            BUF_LIT(out, "\\n");
        } else {
            if (c == '\\' || c == '"')
                buf_char(out, '\\');
            buf_char(out, c);
        }
    }
    buf_char(out, '"');
}

static void write_sample_end(struct buf *out, uint64_t value)
{
    BUF_LIT(out, "} ");
    buf_u64(out, value);
    buf_char(out, '\n');
}

static void write_plain(struct buf *out, const char *name, const char *type, struct str help, uint64_t value)
{
    metric_write_head(out, name, type, help);
    buf_printf(out, "polder_%s %llu\n", name, (unsigned long long)value);
}

static void write_seconds(struct buf *out, uint64_t us)
{
    buf_printf(out, "%llu.%06llu", (unsigned long long)(us / 1'000'000),
               (unsigned long long)(us % 1'000'000));
}

/* Prometheus wants times in seconds; workers count microseconds. True: this one counts those, and the name
 * says seconds instead. */
static bool name_metric(struct str counter, char *name, size_t cap)
{
    static const struct str unit = {"microseconds", 12};
    struct buf z = buf_over(name, cap);
    ptrdiff_t at = str_find(counter, unit);
    buf_str(&z, at < 0 ? counter : str_take(counter, (size_t)at));
    if (at >= 0) {
        BUF_LIT(&z, "seconds");
        buf_str(&z, str_skip(counter, (size_t)at + unit.n));
    }
    buf_char(&z, '\0');
    must(!buf_overflowed(&z));
    return at >= 0;
}

static void write_counters(const struct observer *o, struct buf *out)
{
    char name[64];
    for (unsigned c = 0; c < COUNTER_COUNT; c++) {
        bool is_time = name_metric(counter_name((enum counter)c), name, sizeof name);
        metric_write_head(out, name, counter_is_gauge((enum counter)c) ? "gauge" : "counter",
                          counter_help((enum counter)c));
        for (unsigned w = 0; w < o->shared.worker_count; w++) {
            uint64_t value = atomic_load_explicit(&o->shared.workers[w].counters[c], memory_order_relaxed);
            buf_printf(out, "polder_%s{worker=\"%u\"} ", name, w);
            if (is_time)
                write_seconds(out, value);
            else
                buf_u64(out, value);
            buf_char(out, '\n');
        }
    }
}

static void write_refusals(const struct observer *o, struct buf *out)
{
    metric_write_head(out, "refusals_total", "counter", STR("Messages refused, by reason."));
    for (unsigned r = REFUSAL_NONE + 1; r < REFUSAL_COUNT; r++) {
        BUF_LIT(out, "polder_refusals_total{reason=");
        metric_write_value(out, http_refusal_name((enum http_refusal)r));
        write_sample_end(out, shared_refusal_sum(&o->shared, (enum http_refusal)r));
    }
}

static void write_isolation(const struct observer *o, struct buf *out)
{
    static const struct str answers[SHARED_ANSWERS] = {STR("pass"), STR("limited"), STR("read-only"),
                                                       STR("notice"), STR("refuse")};
    metric_write_head(
        out, "isolation_requests_total", "counter",
        STR("Requests while something was isolated, by the level for them and by what they got."));
    for (unsigned level = 0; level < SHARED_LEVELS; level++)
        for (unsigned answer = 0; answer < SHARED_ANSWERS; answer++) {
            BUF_LIT(out, "polder_isolation_requests_total{level=");
            metric_write_value(out, isolation_level_word(level));
            BUF_LIT(out, ",answer=");
            metric_write_value(out, answers[answer]);
            write_sample_end(out, shared_isolation_sum(&o->shared, level, answer));
        }
}

/* ---- clusters */

static void write_bucket(struct buf *out, struct str cluster, uint64_t end_us, uint64_t count)
{
    BUF_LIT(out, "polder_cluster_request_duration_seconds_bucket{cluster=");
    metric_write_value(out, cluster);
    BUF_LIT(out, ",le=\"");
    if (end_us == UINT64_MAX)
        BUF_LIT(out, "+Inf");
    else
        write_seconds(out, end_us);
    buf_char(out, '"');
    write_sample_end(out, count);
}

/* Of the four buckets a doubling one is shown: enough for a graph, and a quarter of the series. */
static void write_histogram(struct buf *out, struct str cluster, const struct cluster_sum *sum)
{
    uint64_t below = 0;
    for (unsigned b = 0; b < LATENCY_BUCKETS; b++) {
        below += sum->latency[b];
        if (b % 4 == 0 || b == LATENCY_BUCKETS - 1)
            write_bucket(out, cluster, latency_bucket_end_us(b), below);
    }
    BUF_LIT(out, "polder_cluster_request_duration_seconds_sum{cluster=");
    metric_write_value(out, cluster);
    BUF_LIT(out, "} ");
    write_seconds(out, sum->duration_us);
    BUF_LIT(out, "\npolder_cluster_request_duration_seconds_count{cluster=");
    metric_write_value(out, cluster);
    write_sample_end(out, below);
}

typedef void cluster_write(struct buf *, struct str cluster, const struct cluster_sum *);

static void for_clusters(const struct observer *o, struct buf *out, cluster_write *write)
{
    struct cluster_sum sum;
    for (unsigned i = 0; i < o->current->config->cluster_count; i++) {
        if (o->current->cluster_slots[i] == SHARED_NO_SLOT)
            continue;
        shared_cluster_sum(&o->shared, o->current->cluster_slots[i], &sum);
        write(out, o->current->config->clusters[i].name, &sum);
    }
}

static void write_codes(struct buf *out, struct str cluster, const struct cluster_sum *sum)
{
    static const char *const codes[6] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    for (unsigned i = 0; i < 6; i++) {
        BUF_LIT(out, "polder_cluster_requests_total{cluster=");
        metric_write_value(out, cluster);
        buf_printf(out, ",code=\"%s\"", codes[i]);
        write_sample_end(out, sum->status[i]);
    }
}

static void write_received(struct buf *out, struct str cluster, const struct cluster_sum *sum)
{
    BUF_LIT(out, "polder_cluster_received_bytes_total{cluster=");
    metric_write_value(out, cluster);
    write_sample_end(out, sum->bytes_in);
}

static void write_sent(struct buf *out, struct str cluster, const struct cluster_sum *sum)
{
    BUF_LIT(out, "polder_cluster_sent_bytes_total{cluster=");
    metric_write_value(out, cluster);
    write_sample_end(out, sum->bytes_out);
}

static void write_inspected(struct buf *out, struct str cluster, const struct cluster_sum *sum)
{
    static const struct str outcomes[INSPECT_OUTCOMES] = {
        [INSPECT_PASSED] = STR("passed"),
        [INSPECT_DETECTED] = STR("detected"),
        [INSPECT_BLOCKED] = STR("blocked"),
        [INSPECT_LIMITED] = STR("limited"),
    };
    for (unsigned i = 0; i < INSPECT_OUTCOMES; i++) {
        BUF_LIT(out, "polder_cluster_waf_requests_total{cluster=");
        metric_write_value(out, cluster);
        BUF_LIT(out, ",outcome=");
        metric_write_value(out, outcomes[i]);
        write_sample_end(out, sum->inspected[i]);
    }
}

static void write_inspected_time(struct buf *out, struct str cluster, const struct cluster_sum *sum)
{
    BUF_LIT(out, "polder_cluster_waf_cpu_seconds_total{cluster=");
    metric_write_value(out, cluster);
    BUF_LIT(out, "} ");
    write_seconds(out, sum->inspected_us);
    buf_char(out, '\n');
}

static void write_clusters(const struct observer *o, struct buf *out)
{
    metric_write_head(out, "cluster_requests_total", "counter",
                      STR("Requests of a cluster, by class of status."));
    for_clusters(o, out, write_codes);
    metric_write_head(out, "cluster_received_bytes_total", "counter",
                      STR("Bytes of request bodies of a cluster."));
    for_clusters(o, out, write_received);
    metric_write_head(out, "cluster_sent_bytes_total", "counter",
                      STR("Bytes of answers' bodies to a cluster's clients."));
    for_clusters(o, out, write_sent);
    metric_write_head(out, "cluster_waf_requests_total", "counter",
                      STR("Requests of a cluster that the firewall looked at, by what became of them."));
    for_clusters(o, out, write_inspected);
    metric_write_head(out, "cluster_waf_cpu_seconds_total", "counter",
                      STR("CPU time of a cluster's inspections."));
    for_clusters(o, out, write_inspected_time);
    metric_write_head(out, "cluster_request_duration_seconds", "histogram",
                      STR("Time from a request's first byte until its answer was handed over."));
    for_clusters(o, out, write_histogram);
}

/* ---- endpoints */

enum endpoint_number { E_UP, E_EJECTED, E_ACTIVE, E_CONNECTIONS, E_REQUESTS, E_FAILURES, E_COUNT };

static uint64_t endpoint_number(const struct observer *o, const struct observed_endpoint *e,
                                enum endpoint_number what)
{
    const struct shared_endpoint *state = shared_endpoint(&o->shared, e->slot);
    struct endpoint_sum sum;
    shared_endpoint_sum(&o->shared, e->slot, &sum);
    switch (what) {
    case E_UP:
        return atomic_load_explicit(&state->health, memory_order_relaxed) != ENDPOINT_DOWN;
    case E_EJECTED:
        return atomic_load_explicit(&state->ejected_until_ms, memory_order_relaxed) > loop_now_ms(o->loop);
    case E_ACTIVE:
        return sum.active;
    case E_CONNECTIONS:
        return sum.connections;
    case E_REQUESTS:
        return sum.requests;
    case E_FAILURES:
        return sum.failures;
    case E_COUNT:
        break;
    }
    return 0;
}

static void write_endpoints(const struct observer *o, struct buf *out)
{
    static const struct {
        const char *name, *type;
        struct str help;
    } rows[E_COUNT] = {
        [E_UP] = {"upstream_endpoint_up", "gauge", STR("1 unless checks say the endpoint is down.")},
        [E_EJECTED] = {"upstream_endpoint_ejected", "gauge",
                       STR("1 while the endpoint is left out for its failures.")},
        [E_ACTIVE] = {"upstream_endpoint_requests_active", "gauge",
                      STR("Requests an endpoint is working on.")},
        [E_CONNECTIONS] = {"upstream_endpoint_connections", "gauge", STR("Connections open to an endpoint.")},
        [E_REQUESTS] = {"upstream_endpoint_requests_total", "counter", STR("Requests sent to an endpoint.")},
        [E_FAILURES] = {"upstream_endpoint_failures_total", "counter",
                        STR("Requests an endpoint failed: no connection, a broken answer, or a 5xx status.")},
    };
    for (unsigned n = 0; n < E_COUNT; n++) {
        metric_write_head(out, rows[n].name, rows[n].type, rows[n].help);
        for (unsigned i = 0; i < o->current->config->endpoint_count; i++) {
            const struct observed_endpoint *e = &o->current->endpoints[i];
            if (e->slot == SHARED_NO_SLOT)
                continue;
            buf_printf(out, "polder_%s{upstream=", rows[n].name);
            metric_write_value(out, e->upstream->name);
            BUF_LIT(out, ",endpoint=\"");
            buf_str(out, e->endpoint->host);
            buf_printf(out, ":%u\"", e->endpoint->port);
            write_sample_end(out, endpoint_number(o, e, (enum endpoint_number)n));
        }
    }
}

/* ---- the gate itself */

static void write_roles(const struct observer *o, struct buf *out)
{
    metric_write_head(out, "role_up", "gauge", STR("1 while a process of the gate is up."));
    for (unsigned i = 0; i < o->role_count; i++) {
        struct str role = role_name(o->roles[i].role);
        buf_printf(out, "polder_role_up{role=\"%.*s\",slot=\"%u\"} %d\n", STR_ARG(role), o->roles[i].slot,
                   o->roles[i].run == ROLE_RUN_UP || o->roles[i].run == ROLE_RUN_DRAINING);
    }
    metric_write_head(out, "role_restarts_total", "counter",
                      STR("How often a process of the gate was replaced."));
    for (unsigned i = 0; i < o->role_count; i++) {
        struct str role = role_name(o->roles[i].role);
        buf_printf(out, "polder_role_restarts_total{role=\"%.*s\",slot=\"%u\"} %u\n", STR_ARG(role),
                   o->roles[i].slot, o->roles[i].restarts);
    }
}

static void write_certificates(const struct observer *o, struct buf *out)
{
    metric_write_head(out, "certificate_not_after_timestamp_seconds", "gauge",
                      STR("When a certificate ends."));
    for (unsigned i = 0; i < o->current->config->certificate_count; i++) {
        const struct observed_certificate *c = &o->current->certificates[i];
        BUF_LIT(out, "polder_certificate_not_after_timestamp_seconds{certificate=");
        metric_write_value(out, c->name);
        write_sample_end(out, c->not_after_s > 0 ? (uint64_t)c->not_after_s : 0);
    }
}

void observer_metrics_write(struct observer *o, struct buf *out)
{
    metric_write_head(out, "build_info", "gauge", STR("The version of the gate."));
    BUF_LIT(out, "polder_build_info{version=\"" POLDER_VERSION "\"} 1\n");
    write_plain(out, "config_last_load_successful", "gauge",
                STR("0 while a newer configuration was refused."), o->config_error.n == 0);
    write_plain(out, "config_loaded_timestamp_seconds", "gauge",
                STR("When the configuration in force was loaded."), o->config_since_ms / 1000);
    write_plain(out, "access_log_lines_total", "counter", STR("Lines written to the access log."),
                o->access_log.lines);
    write_plain(out, "log_write_failures_total", "counter",
                STR("Writes to a log file that failed, and lines dropped."),
                o->access_log.failures + o->event_log.failures + o->waf.log.failures);
    observer_packets_write_metrics(o, out);
    observer_waf_write_metrics(o, out);
    observer_admission_write_metrics(o, out);
    write_roles(o, out);
    if (o->shared.header) {
        write_counters(o, out);
        write_refusals(o, out);
        write_isolation(o, out);
    }
    if (o->current)
        write_certificates(o, out);
    if (o->current && o->shared.header) {
        write_clusters(o, out);
        write_endpoints(o, out);
    }
}
