/* What the observer answers: status and top are JSON, metrics pass promtool; with everything there and with
 * nothing. */
#include "gate/observer.h"
#include "json/tape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 2, ANSWER_MAX = 1 << 20 };

static struct config_endpoint endpoints[2];
static struct config_upstream upstream;
static struct config_route route;
static struct config_cluster cluster;
static struct config_listener listener;
static struct config_certificate certificate;
static char answer[ANSWER_MAX];

static struct config *make_config(void)
{
    struct arena *arena = arena_new(1 << 16);
    struct config *c = arena_alloc(arena, sizeof *c);
    assert_non_null(c);
    endpoints[0] = (struct config_endpoint){.host = STR("10.0.0.5"), .port = 8080, .weight = 1};
    assert_true(addr_parse(STR("10.0.0.5:8080"), &endpoints[0].address));
    endpoints[1] =
        (struct config_endpoint){.host = STR("app.internal"), .port = 80, .is_name = true, .weight = 1};
    upstream = (struct config_upstream){.name = STR("app"), .endpoints = endpoints, .endpoint_count = 2};
    route = (struct config_route){.path = STR("/"), .upstream = &upstream};
    cluster = (struct config_cluster){.name = STR("no\"ord\\"), .routes = &route, .route_count = 1};
    listener = (struct config_listener){.name = STR("public"), .has_tls = true, .http2 = true};
    certificate = (struct config_certificate){.name = STR("main"), .chain_pem = STR("no certificate")};
    *c = (struct config){.arena = arena,
                         .path = STR("polder.yaml"),
                         .certificates = &certificate,
                         .certificate_count = 1,
                         .listeners = &listener,
                         .listener_count = 1,
                         .clusters = &cluster,
                         .cluster_count = 1,
                         .upstreams = &upstream,
                         .upstream_count = 1,
                         .endpoint_count = 2};
    return c;
}

static void fill_shared(struct observer *o)
{
    size_t size = shared_size(WORKERS);
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(memory != MAP_FAILED);
    shared_init(memory, WORKERS, (struct hash_key){1, 2}, &o->shared);
    uint32_t slot = shared_cluster_claim(&o->shared, shared_cluster_key(STR("no\"ord\\")), 1, 1);
    for (unsigned i = 0; i < 2; i++)
        shared_endpoint_claim(&o->shared,
                              shared_endpoint_key(STR("app"), endpoints[i].host, endpoints[i].port), 1, 1);
    shared_count_request(shared_worker(&o->shared, 0), slot, 200, 1000, 1, 2);
    shared_count_request(shared_worker(&o->shared, 1), slot, 404, 1000, 1, 2);
    counter_add(shared_worker(&o->shared, 1), COUNTER_requests_total, 2);
    shared_count_refusal(shared_worker(&o->shared, 1), REFUSAL_CHUNK);
    atomic_store(&shared_endpoint(&o->shared, 0)->health, ENDPOINT_DOWN);
}

static struct observer *make_observer(bool is_full)
{
    static struct observer o;
    o = (struct observer){.access_log = {.fd = -1}, .event_log = {.fd = -1}};
    o.loop = loop_new();
    o.config_error = buf_over(o.config_error_memory, sizeof o.config_error_memory);
    if (!is_full)
        return &o;
    struct config *config = make_config();
    fill_shared(&o);
    o.current = observed_config_of(config, 3, &o.shared);
    assert_non_null(o.current);
    observer_role_state(
        &o, &(struct msg_role_state){.role = ROLE_WORKER, .pid = 7, .state = ROLE_RUN_UP, .walls = 9});
    struct msg_config_state state = {.generation = 3, .digest_len = 32, .error_len = 9};
    memcpy(state.error, "bad\nthing", 9);
    observer_config_state(&o, &state);
    return &o;
}

static void free_observer(struct observer *o)
{
    observed_config_free(o->current);
    if (o->shared.header)
        munmap(o->shared.reader, o->shared.size);
    loop_free(o->loop);
}

static struct json_node nodes[8192];

static struct json_tape parsed(void (*write)(struct observer *, struct buf *), struct observer *o)
{
    struct json_tape tape;
    struct buf out = buf_over(answer, sizeof answer);
    write(o, &out);
    assert_false(buf_overflowed(&out));
    assert_int_equal(json_parse(buf_text(&out), 8, nodes, 8192, &tape, NULL), JSON_FINE);
    struct arena *scratch = arena_new(1 << 16);
    assert_int_equal(json_find_repeated(&tape, 0, &(struct hash_key){1, 2}, scratch), JSON_NONE);
    arena_free(scratch);
    return tape;
}

static void test_status(void **)
{
    uint64_t number;
    struct observer *o = make_observer(true);
    struct json_tape t = parsed(observer_status_write, o);
    uint32_t config = json_get(&t, 0, STR("config"));
    assert_true(json_string_is(&t, json_get(&t, config, STR("last_error")), STR("bad\nthing")));
    uint32_t clusters = json_get(&t, 0, STR("clusters"));
    assert_int_equal(json_count(&t, clusters), 1);
    assert_true(json_string_is(&t, json_get(&t, clusters + 1, STR("name")), STR("no\"ord\\")));
    assert_true(json_get_u64(&t, json_get(&t, clusters + 1, STR("requests")), &number) && number == 2);
    uint32_t list = json_get(&t, 0, STR("endpoints"));
    assert_int_equal(json_count(&t, list), 2);
    assert_true(json_string_is(&t, json_get(&t, list + 1, STR("health")), STR("down")));
    uint32_t role = json_get(&t, 0, STR("roles")) + 1;
    assert_int_equal(json_count(&t, json_get(&t, role, STR("walls"))), 2);
    assert_true(json_count(&t, json_get(&t, role, STR("missing_walls"))) >= 8);
    free_observer(o);
}

static void test_top(void **)
{
    uint64_t number;
    struct observer *o = make_observer(true);
    struct json_tape t = parsed(observer_top_write, o);
    uint32_t latency = json_get(&t, json_get(&t, 0, STR("clusters")) + 1, STR("latency"));
    assert_int_equal(json_count(&t, latency), 2);
    assert_true(json_get_u64(&t, latency + 1, &number) && number == latency_bucket(1000));
    assert_true(json_get_u64(&t, latency + 2, &number) && number == 2);
    free_observer(o);
}

static void test_nothing_there_yet(void **)
{
    struct observer *o = make_observer(false);
    parsed(observer_status_write, o);
    parsed(observer_top_write, o);
    struct buf out = buf_over(answer, sizeof answer);
    observer_metrics_write(o, &out);
    assert_false(buf_overflowed(&out));
    free_observer(o);
}

static void test_metrics(void **)
{
    struct observer *o = make_observer(true);
    struct buf out = buf_over(answer, sizeof answer);
    observer_metrics_write(o, &out);
    assert_false(buf_overflowed(&out));
    struct str text = buf_text(&out);
    assert_true(str_find(text, STR("\npolder_requests_total{worker=\"1\"} 2\n")) > 0);
    assert_true(str_find(text, STR("\npolder_refusals_total{reason=\"chunk\"} 1\n")) > 0);
    assert_true(
        str_find(text, STR("\npolder_cluster_requests_total{cluster=\"no\\\"ord\\\\\",code=\"4xx\"} 1\n")) >
        0);
    assert_true(
        str_find(text, STR("polder_upstream_endpoint_up{upstream=\"app\",endpoint=\"10.0.0.5:8080\"} 0\n")) >
        0);
    assert_true(
        str_find(text,
                 STR("polder_upstream_endpoint_up{upstream=\"app\",endpoint=\"app.internal:80\"} 1\n")) > 0);
    assert_true(str_find(text, STR(",le=\"+Inf\"} 2\n")) > 0);
    assert_true(str_find(text, STR("polder_config_last_load_successful 0\n")) > 0);
    free_observer(o);
}

/* promtool comes with Debian's package prometheus; without it this part is skipped. */
static void test_promtool_agrees(void **)
{
    static const char promtool[] = "/usr/bin/promtool";
    char path[] = "/tmp/observer-metrics-XXXXXX";
    if (access(promtool, X_OK) != 0)
        skip();
    struct observer *o = make_observer(true);
    struct buf out = buf_over(answer, sizeof answer);
    observer_metrics_write(o, &out);
    free_observer(o);
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, out.p, out.n) == (ssize_t)out.n && lseek(fd, 0, SEEK_SET) == 0);
    unlink(path);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(fd, STDIN_FILENO);
        execl(promtool, promtool, "check", "metrics", (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),          cmocka_unit_test(test_top),
        cmocka_unit_test(test_metrics),         cmocka_unit_test(test_nothing_there_yet),
        cmocka_unit_test(test_promtool_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
