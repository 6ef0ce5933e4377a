/* cli/top.c - `polder top`: two samples a second apart make a picture, as text or as JSON. */
#include "cli/sample.h"
#include "cli/terminal.h"
#include "json/writer.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_S = 5, INTERVAL_MS = 1000, PICTURE_BYTES = 1 << 20 };

/* What lies between two samples of a cluster. */
struct cluster_rates {
    uint64_t requests_x10, refused_x10, failed_x10, bytes_out;
    uint64_t p50_us, p95_us, p99_us;
};

static struct cluster_rates cluster_rates(const struct cluster_sample *before,
                                          const struct cluster_sample *now, uint64_t elapsed_us)
{
    static const struct cluster_sample none;
    uint64_t latency[LATENCY_BUCKETS];
    if (!before || now->requests < before->requests)
        before = &none;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        latency[i] = now->latency[i] > before->latency[i] ? now->latency[i] - before->latency[i] : 0;
    return (struct cluster_rates){
        .requests_x10 = rate_x10(before->requests, now->requests, elapsed_us),
        .refused_x10 = rate_x10(before->status[4], now->status[4], elapsed_us),
        .failed_x10 = rate_x10(before->status[5], now->status[5], elapsed_us),
        .bytes_out = rate_x10(before->bytes_out, now->bytes_out, elapsed_us) / 10,
        .p50_us = latency_quantile_us(latency, 500),
        .p95_us = latency_quantile_us(latency, 950),
        .p99_us = latency_quantile_us(latency, 990),
    };
}

/* ---- as text */

static void rate_cell(struct table *t, uint64_t rate)
{
    char memory[32];
    struct buf text = buf_over(memory, sizeof memory);
    if (rate < 1000)
        buf_printf(&text, "%llu.%llu", (unsigned long long)(rate / 10), (unsigned long long)(rate % 10));
    else
        print_count(&text, rate / 10);
    table_text(t, buf_text(&text));
}

static void duration_cell(struct table *t, uint64_t us)
{
    char memory[32];
    struct buf text = buf_over(memory, sizeof memory);
    print_duration_us(&text, us);
    table_text(t, us ? buf_text(&text) : STR("-"));
}

static void bytes_cell(struct table *t, uint64_t bytes)
{
    char memory[32];
    struct buf text = buf_over(memory, sizeof memory);
    print_bytes(&text, bytes);
    table_text(t, buf_text(&text));
}

static void print_rate(struct buf *out, const char *label, const struct sample *before,
                       const struct sample *now, const char *counter)
{
    uint64_t rate =
        rate_x10(sample_total(before, counter), sample_total(now, counter), now->at_us - before->at_us);
    buf_str(out, str_of(label));
    print_count(out, rate / 10);
}

static void print_gauge(struct buf *out, const char *label, const struct sample *now, const char *gauge)
{
    buf_str(out, str_of(label));
    print_count(out, sample_total(now, gauge));
}

static void print_head(struct buf *out, const struct sample *before, const struct sample *now, bool color)
{
    const struct document *d = &now->document;
    BUF_LIT(out, "polder-gate ");
    print_safe(out, document_text(d, 0, "version"));
    buf_printf(out, "  configuration %llu  ", (unsigned long long)document_number(d, 0, "generation"));
    print_safe(out, str_take(document_text(d, 0, "now"), 19));
    buf_char(out, '\n');
    print_rate(out, "requests/s ", before, now, "requests_total");
    print_rate(out, "  4xx/s ", before, now, "responses_4xx_total");
    print_rate(out, "  5xx/s ", before, now, "responses_5xx_total");
    print_rate(out, "  handshakes/s ", before, now, "handshakes_total");
    print_rate(out, " resumed ", before, now, "handshakes_resumed_total");
    print_rate(out, "  retries/s ", before, now, "upstream_retries_total");
    print_gauge(out, "\nconnections ", now, "connections_open");
    print_gauge(out, "  under way ", now, "requests_active");
    print_gauge(out, "  tunnels ", now, "tunnels_open");
    print_rate(out, "  refused/s ", before, now, "connections_refused_total");
    print_rate(out, "  floods/s ", before, now, "h2_floods_total");
    print_gauge(out, "  waiting ", now, "admission_waiting");
    print_rate(out, "  sent away/s ", before, now, "admission_refused_total");
    print_rate(out, "  events lost/s ", before, now, "events_lost_total");
    buf_char(out, '\n');
    print_isolation(out, d, color);
    print_packets(out, d);
    buf_char(out, '\n');
}

static void print_clusters(struct buf *out, const struct sample *before, const struct sample *now, bool color)
{
    static const char *const heads[] = {"CLUSTER", ">REQ/S", ">4XX/S", ">5XX/S", ">P50",
                                        ">P95",    ">P99",   ">OUT/S", NULL};
    struct table t;
    table_begin(&t, now->document.arena, heads);
    for (unsigned i = 0; i < now->cluster_count; i++) {
        const struct cluster_sample *c = &now->clusters[i];
        struct cluster_rates r = cluster_rates(sample_cluster(before, c), c, now->at_us - before->at_us);
        table_text(&t, c->name);
        rate_cell(&t, r.requests_x10);
        rate_cell(&t, r.refused_x10);
        rate_cell(&t, r.failed_x10);
        duration_cell(&t, r.p50_us);
        duration_cell(&t, r.p95_us);
        duration_cell(&t, r.p99_us);
        bytes_cell(&t, r.bytes_out);
    }
    table_print(&t, out, color);
    buf_char(out, '\n');
}

static void print_endpoints(struct buf *out, const struct sample *before, const struct sample *now,
                            bool color)
{
    static const char *const heads[] = {"UPSTREAM", "ENDPOINT", "HEALTH",  ">ACTIVE",
                                        ">CONNS",   ">REQ/S",   ">FAIL/S", NULL};
    struct table t;
    table_begin(&t, now->document.arena, heads);
    for (unsigned i = 0; i < now->endpoint_count; i++) {
        const struct endpoint_sample *e = &now->endpoints[i], *old = sample_endpoint(before, e);
        uint64_t elapsed_us = now->at_us - before->at_us;
        table_text(&t, e->upstream);
        table_printf(&t, "%.*s:%llu", STR_ARG(e->host), (unsigned long long)e->port);
        table_text(&t, e->health);
        table_printf(&t, "%llu", (unsigned long long)e->active);
        table_printf(&t, "%llu", (unsigned long long)e->connections);
        rate_cell(&t, rate_x10(old ? old->requests : 0, e->requests, elapsed_us));
        rate_cell(&t, rate_x10(old ? old->failures : 0, e->failures, elapsed_us));
    }
    table_print(&t, out, color);
    buf_char(out, '\n');
}

static void print_roles(struct buf *out, const struct sample *before, const struct sample *now, bool color)
{
    static const char *const heads[] = {"PROCESS", ">PID", ">CPU%", "STATE", ">UPTIME", ">RESTARTS", NULL};
    struct table t;
    table_begin(&t, now->document.arena, heads);
    for (unsigned i = 0; i < now->role_count; i++) {
        char memory[32];
        struct buf uptime = buf_over(memory, sizeof memory);
        const struct role_sample *r = &now->roles[i];
        uint64_t cpu = role_cpu_permille(sample_role(before, r), r, now->at_us - before->at_us);
        table_role(&t, r->role, r->slot);
        table_printf(&t, "%llu", (unsigned long long)r->pid);
        table_printf(&t, "%llu.%llu", (unsigned long long)(cpu / 10), (unsigned long long)(cpu % 10));
        table_text(&t, r->state);
        print_duration_s(&uptime, r->uptime_s);
        table_text(&t, buf_text(&uptime));
        table_printf(&t, "%llu", (unsigned long long)r->restarts);
    }
    table_print(&t, out, color);
}

static void print_picture(struct buf *out, const struct sample *before, const struct sample *now, bool color)
{
    print_head(out, before, now, color);
    print_clusters(out, before, now, color);
    print_endpoints(out, before, now, color);
    print_roles(out, before, now, color);
}

/* ---- as JSON */

static void write_cluster(struct json_writer *w, const struct cluster_sample *c,
                          const struct cluster_rates *r)
{
    json_object_begin(w);
    json_put_str(w, STR("name"), c->name);
    json_put_fixed(w, STR("requests_per_s"), (int64_t)r->requests_x10, 1);
    json_put_fixed(w, STR("responses_4xx_per_s"), (int64_t)r->refused_x10, 1);
    json_put_fixed(w, STR("responses_5xx_per_s"), (int64_t)r->failed_x10, 1);
    json_put_u64(w, STR("bytes_out_per_s"), r->bytes_out);
    json_put_u64(w, STR("p50_us"), r->p50_us);
    json_put_u64(w, STR("p95_us"), r->p95_us);
    json_put_u64(w, STR("p99_us"), r->p99_us);
    json_object_end(w);
}

static void write_endpoint(struct json_writer *w, const struct endpoint_sample *before,
                           const struct endpoint_sample *now, uint64_t elapsed_us)
{
    json_object_begin(w);
    json_put_str(w, STR("upstream"), now->upstream);
    json_put_str(w, STR("host"), now->host);
    json_put_u64(w, STR("port"), now->port);
    json_put_str(w, STR("health"), now->health);
    json_put_u64(w, STR("active"), now->active);
    json_put_u64(w, STR("connections"), now->connections);
    json_put_fixed(w, STR("requests_per_s"),
                   (int64_t)rate_x10(before ? before->requests : 0, now->requests, elapsed_us), 1);
    json_put_fixed(w, STR("failures_per_s"),
                   (int64_t)rate_x10(before ? before->failures : 0, now->failures, elapsed_us), 1);
    json_object_end(w);
}

static void write_role(struct json_writer *w, const struct role_sample *before, const struct role_sample *now,
                       uint64_t elapsed_us)
{
    json_object_begin(w);
    json_put_str(w, STR("role"), now->role);
    json_put_u64(w, STR("slot"), now->slot);
    json_put_u64(w, STR("pid"), now->pid);
    json_put_str(w, STR("state"), now->state);
    json_put_fixed(w, STR("cpu_percent"), (int64_t)role_cpu_permille(before, now, elapsed_us), 1);
    json_put_u64(w, STR("restarts"), now->restarts);
    json_object_end(w);
}

static void write_picture(struct buf *out, const struct sample *before, const struct sample *now)
{
    struct json_writer w = json_writer_over(out);
    uint64_t elapsed_us = now->at_us - before->at_us;
    static const char *const gauges[] = {"connections_open", "requests_active", "tunnels_open"};
    json_object_begin(&w);
    json_put_str(&w, STR("now"), document_text(&now->document, 0, "now"));
    json_put_fixed(&w, STR("interval_s"), (int64_t)elapsed_us, 6);
    json_put_fixed(&w, STR("requests_per_s"),
                   (int64_t)rate_x10(sample_total(before, "requests_total"),
                                     sample_total(now, "requests_total"), elapsed_us),
                   1);
    for (unsigned i = 0; i < sizeof gauges / sizeof *gauges; i++)
        json_put_u64(&w, str_of(gauges[i]), sample_total(now, gauges[i]));
    json_put_array(&w, STR("clusters"));
    for (unsigned i = 0; i < now->cluster_count; i++) {
        struct cluster_rates r =
            cluster_rates(sample_cluster(before, &now->clusters[i]), &now->clusters[i], elapsed_us);
        write_cluster(&w, &now->clusters[i], &r);
    }
    json_array_end(&w);
    json_put_array(&w, STR("endpoints"));
    for (unsigned i = 0; i < now->endpoint_count; i++)
        write_endpoint(&w, sample_endpoint(before, &now->endpoints[i]), &now->endpoints[i], elapsed_us);
    json_array_end(&w);
    json_put_array(&w, STR("roles"));
    for (unsigned i = 0; i < now->role_count; i++)
        write_role(&w, sample_role(before, &now->roles[i]), &now->roles[i], elapsed_us);
    json_array_end(&w);
    json_object_end(&w);
    buf_char(out, '\n');
}

/* ---- running */

static enum exit_status take_sample(const struct cli *cli, bool is_quiet, struct sample *ret)
{
    struct document d;
    enum exit_status status = gate_ask_document(cli, "top", TIMEOUT_S, is_quiet, &d);
    if (status != EXIT_FINE)
        return status;
    if (sample_open(ret, d))
        return EXIT_FINE;
    if (!is_quiet)
        cli_complain("the gate's answer cannot be read; are polder and polder-gate of one version?");
    return EXIT_BROKEN;
}

static void wait_interval(void)
{
    struct timespec t = {INTERVAL_MS / 1000, INTERVAL_MS % 1000 * 1'000'000};
    nanosleep(&t, NULL);
}

/* Without a terminal: one picture, or with --json one a second. */
static enum exit_status run_plain(const struct cli *cli, struct buf *out)
{
    struct sample before, now;
    enum exit_status status = take_sample(cli, false, &before);
    if (status != EXIT_FINE)
        return status;
    for (bool goes_on = true; goes_on;) {
        wait_interval();
        status = take_sample(cli, false, &now);
        if (status != EXIT_FINE)
            break;
        out->n = 0;
        if (cli->json)
            write_picture(out, &before, &now);
        else
            print_picture(out, &before, &now, cli->color);
        goes_on = cli_print(buf_text(out)) && cli->json && !cli->once;
        sample_close(&before);
        before = now;
    }
    sample_close(&before);
    return status;
}

static void draw_lost(struct buf *out, const char *why)
{
    out->n = 0;
    buf_printf(out, "%s\ntrying again every second; q quits\n", why);
    terminal_draw(buf_text(out));
}

/* In the terminal until q. The gate may go away and come back meanwhile. */
static enum exit_status run_live(const struct cli *cli, struct buf *out)
{
    struct sample before = {0}, now;
    enum exit_status status = take_sample(cli, false, &before);
    if (status != EXIT_FINE)
        return status;
    if (!terminal_enter()) {
        cli_complain("the terminal cannot be set up; try --once");
        sample_close(&before);
        return EXIT_BROKEN;
    }
    while (!terminal_wait_key(INTERVAL_MS, "q")) {
        if (take_sample(cli, true, &now) != EXIT_FINE) {
            draw_lost(out, "the gate does not answer");
            continue;
        }
        if (before.at_us && now.at_us > before.at_us) {
            out->n = 0;
            print_picture(out, &before, &now, cli->color);
            terminal_draw(buf_text(out));
        }
        sample_close(&before);
        before = now;
    }
    terminal_leave();
    sample_close(&before);
    return EXIT_FINE;
}

enum exit_status command_top(const struct cli *cli)
{
    char *memory = malloc(PICTURE_BYTES);
    if (!memory) {
        cli_complain("out of memory");
        return EXIT_BROKEN;
    }
    struct buf out = buf_over(memory, PICTURE_BYTES);
    bool is_live = !cli->json && !cli->once && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
    enum exit_status status = is_live ? run_live(cli, &out) : run_plain(cli, &out);
    free(memory);
    return status;
}
