/* The memory that workers and observer share: rings, histograms, sums, slots; and what a worker gone wild may
 * write. */
#include "proxy/shared.h"
#include "sys/shm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 3 };

struct area {
    int fd;
    struct shared master; /* as master and workers see it */
    struct shared reader; /* as the observer does */
};

static int area_open(void **state)
{
    static struct area a;
    a.fd = shm_create("shared", shared_size(WORKERS));
    assert_true(a.fd >= 0);
    void *memory = shm_map(a.fd, shared_size(WORKERS), true);
    assert_non_null(memory);
    shared_init(memory, WORKERS, (struct hash_key){11, 22}, &a.master);
    assert_int_equal(shared_map_reader(a.fd, &a.reader), 0);
    *state = &a;
    return 0;
}

static int area_close(void **state)
{
    struct area *a = *state;
    munmap(a->master.reader, a->master.size);
    shared_unmap(&a->reader);
    close(a->fd);
    return 0;
}

static void test_opening(void **state)
{
    struct area *a = *state;
    struct shared view;
    assert_true(shared_open(a->master.reader, a->master.size, &view));
    assert_int_equal(view.worker_count, WORKERS);
    assert_false(shared_open(a->master.reader, a->master.size - SHARED_PAGE, &view));
    a->master.header->worker_count = SHARED_WORKERS_MAX + 1;
    assert_false(shared_open(a->master.reader, a->master.size, &view));
    a->master.header->worker_count = WORKERS;
    a->master.header->version++;
    assert_false(shared_open(a->master.reader, a->master.size, &view));
    a->master.header->version--;
    int other = shm_create("other", 4096);
    assert_true(shared_map_reader(other, &view) < 0);
    close(other);
}

static struct access_event event_of(uint16_t status)
{
    struct access_event e = {.status = status, .path_len = 1};
    e.path[0] = '/';
    return e;
}

static void test_ring_keeps_order(void **state)
{
    struct area *a = *state;
    struct access_event e;
    assert_false(shared_event_take(&a->reader, 1, &e));
    uint16_t wrote = 0, read = 0;
    for (unsigned turn = 0; turn < 10; turn++) { /* round and round */
        for (unsigned i = 0; i < 1000; i++) {
            struct access_event in = event_of(wrote++);
            shared_event_push(&a->master, 1, &in);
        }
        assert_int_equal(shared_events_waiting(&a->reader, 1), 1000);
        while (shared_event_take(&a->reader, 1, &e))
            assert_int_equal(e.status, read++);
    }
    assert_int_equal(read, 10'000);
    assert_int_equal(shared_counter_sum(&a->reader, COUNTER_events_lost_total), 0);
}

static void test_a_full_ring_loses_and_counts(void **state)
{
    struct area *a = *state;
    struct access_event e = event_of(200);
    for (unsigned i = 0; i < SHARED_EVENTS + 7; i++)
        shared_event_push(&a->master, 0, &e);
    assert_int_equal(shared_counter_sum(&a->reader, COUNTER_events_lost_total), 7);
    assert_int_equal(shared_events_waiting(&a->reader, 0), SHARED_EVENTS);
    for (unsigned i = 0; i < SHARED_EVENTS; i++)
        assert_true(shared_event_take(&a->reader, 0, &e));
    assert_false(shared_event_take(&a->reader, 0, &e));
    shared_event_push(&a->master, 0, &e);
    assert_true(shared_event_take(&a->reader, 0, &e));
}

static void test_a_new_reader_goes_on_where_the_last_one_stopped(void **state)
{
    struct area *a = *state;
    struct access_event e;
    for (uint16_t i = 0; i < 4; i++) {
        e = event_of(i);
        shared_event_push(&a->master, 2, &e);
    }
    assert_true(shared_event_take(&a->reader, 2, &e));
    shared_unmap(&a->reader);
    assert_int_equal(shared_map_reader(a->fd, &a->reader), 0);
    assert_true(shared_event_take(&a->reader, 2, &e));
    assert_int_equal(e.status, 1);
}

static void test_a_wild_writer_harms_nobody(void **state)
{
    struct area *a = *state;
    struct access_event e, wild;
    struct shared_worker *w = &a->master.workers[0];
    memset(&wild, 0xff, sizeof wild);
    shared_event_push(&a->master, 0, &wild);
    assert_true(shared_event_take(&a->reader, 0, &e));
    assert_int_equal(e.method_len, sizeof e.method);
    assert_int_equal(e.host_len, sizeof e.host);
    assert_int_equal(e.agent_len, sizeof e.agent);
    assert_int_equal(e.path_len, sizeof e.path);
    assert_int_equal(e.refusal, REFUSAL_NONE);
    atomic_store(&w->events_written, 1'000'000);
    assert_false(shared_event_take(&a->reader, 0, &e)); /* and it is skipped over */
    assert_int_equal(shared_events_waiting(&a->reader, 0), 0);
    atomic_store(&w->events_written, 5); /* backwards */
    assert_false(shared_event_take(&a->reader, 0, &e));
    a->master.header->worker_count = 60; /* what was read at opening counts */
    assert_int_equal(a->reader.worker_count, WORKERS);
    assert_int_equal(shared_counter_sum(&a->reader, COUNTER_requests_total), 0);
}

static void test_buckets_cover_every_value(void **)
{
    unsigned before = 0;
    for (uint64_t us = 0; us < 1 << 20; us++) {
        unsigned bucket = latency_bucket(us);
        assert_true(bucket == before || bucket == before + 1);
        assert_true(us < latency_bucket_end_us(bucket));
        assert_true(bucket == 0 || us >= latency_bucket_end_us(bucket - 1));
        before = bucket;
    }
    assert_int_equal(latency_bucket(UINT64_MAX), LATENCY_BUCKETS - 1);
    assert_int_equal(latency_bucket((1 << 26) - 1), LATENCY_BUCKETS - 2);
    assert_int_equal(latency_bucket(1 << 26), LATENCY_BUCKETS - 1);
    assert_int_equal(latency_bucket_end_us(LATENCY_BUCKETS - 2), 1 << 26);
}

static void test_quantiles(void **)
{
    uint64_t counts[LATENCY_BUCKETS] = {0};
    assert_int_equal(latency_quantile_us(counts, 500), 0);
    for (uint64_t us = 0; us < 10'000; us++)
        counts[latency_bucket(us)]++;
    assert_in_range(latency_quantile_us(counts, 500), 4800, 5200);
    assert_in_range(latency_quantile_us(counts, 990), 9500, 10'240);
    assert_in_range(latency_quantile_us(counts, 1000), 9999, 10'240);
    uint64_t slow[LATENCY_BUCKETS] = {[LATENCY_BUCKETS - 1] = 1};
    assert_int_equal(latency_quantile_us(slow, 500), 1 << 26);
}

static void test_sums_over_workers(void **state)
{
    struct area *a = *state;
    struct cluster_sum cluster;
    struct endpoint_sum endpoint;
    for (unsigned slot = 0; slot < WORKERS; slot++) {
        struct shared_worker *w = shared_worker(&a->master, slot);
        counter_add(w, COUNTER_requests_total, slot + 1);
        counter_inc(w, COUNTER_connections_open);
        shared_count_refusal(w, REFUSAL_CHUNK);
        shared_count_request(w, 7, 200, 100, 10, 20);
        shared_count_request(w, 7, 503, 3000, 0, 5);
        shared_count_request(w, 7, 999, 0, 0, 0);
        shared_count_request(w, SHARED_NO_SLOT, 200, 0, 0, 0);
        shared_add(&w->endpoints[9].requests, 3);
        shared_add32(&w->endpoints[9].active, 2);
        shared_add32(&w->endpoints[9].active, -1);
    }
    assert_int_equal(shared_counter_sum(&a->reader, COUNTER_requests_total), 6);
    assert_int_equal(shared_refusal_sum(&a->reader, REFUSAL_CHUNK), 3);
    shared_cluster_sum(&a->reader, 7, &cluster);
    assert_int_equal(cluster.requests, 9);
    assert_int_equal(cluster.status[2], 3);
    assert_int_equal(cluster.status[5], 3);
    assert_int_equal(cluster.status[0], 3);
    assert_int_equal(cluster.bytes_out, 75);
    assert_int_equal(cluster.duration_us, 9300);
    shared_endpoint_sum(&a->reader, 9, &endpoint);
    assert_int_equal(endpoint.requests, 9);
    assert_int_equal(endpoint.active, 3);

    shared_worker_reset(&a->master, 1); /* it died: gauges go, totals stay */
    assert_int_equal(shared_endpoint_active(&a->reader, 9), 2);
    assert_int_equal(shared_counter_sum(&a->reader, COUNTER_connections_open), 2);
    assert_int_equal(shared_counter_sum(&a->reader, COUNTER_requests_total), 6);
    shared_add32(&shared_worker(&a->master, 1)->endpoints[9].active, -1); /* late: never below 0 */
    assert_int_equal(shared_endpoint_active(&a->reader, 9), 2);
}

static void test_slots_survive_a_reload(void **state)
{
    struct area *a = *state;
    uint64_t one = shared_cluster_key(STR("noord")), two = shared_cluster_key(STR("zuid"));
    uint32_t slot = shared_cluster_claim(&a->master, one, 1, 1);
    assert_int_not_equal(slot, shared_cluster_claim(&a->master, two, 1, 1));
    shared_count_request(shared_worker(&a->master, 0), slot, 200, 1, 0, 0);
    assert_int_equal(shared_cluster_claim(&a->master, one, 2, 1), slot);
    assert_int_equal(shared_cluster_find(&a->reader, one), slot);
    assert_int_equal(shared_cluster_find(&a->reader, shared_cluster_key(STR("oost"))), SHARED_NO_SLOT);
    /* "noord" is gone from generation 3 on; its slot is free when nobody uses generation 2 any more. */
    assert_int_not_equal(shared_cluster_claim(&a->master, shared_cluster_key(STR("oost")), 3, 2), slot);
    uint32_t free_slot = SHARED_NO_SLOT;
    for (unsigned i = 0; i < SHARED_CLUSTERS_MAX && free_slot != slot; i++)
        free_slot = shared_cluster_claim(&a->master, 1000 + i, 4, 3);
    assert_int_equal(free_slot, slot);
    struct cluster_sum sum;
    shared_cluster_sum(&a->reader, slot, &sum);
    assert_int_equal(sum.requests, 0); /* not the old one's numbers */
}

static void test_slots_run_out(void **state)
{
    struct area *a = *state;
    for (unsigned i = 0; i < SHARED_ENDPOINTS_MAX; i++)
        assert_int_not_equal(
            shared_endpoint_claim(&a->master, shared_endpoint_key(STR("u"), STR("h"), (uint16_t)i), 1, 1),
            SHARED_NO_SLOT);
    assert_int_equal(shared_endpoint_claim(&a->master, 42, 1, 1), SHARED_NO_SLOT);
    assert_int_equal(shared_endpoint_claim(&a->master, 42, 3, 2), 0);
}

static void test_addresses_of_endpoints(void **state)
{
    struct area *a = *state;
    struct addr in, out;
    struct shared_endpoint *e = shared_endpoint(&a->master, 5);
    const struct shared_endpoint *seen = shared_endpoint(&a->reader, 5);
    assert_false(shared_endpoint_address(seen, &out));
    assert_true(addr_parse(STR("192.0.2.7:8080"), &in));
    shared_endpoint_set_address(e, &in);
    assert_true(shared_endpoint_address(seen, &out));
    assert_true(addr_eq(&in, &out) && out.is_v4);
    assert_true(addr_parse(STR("[2001:db8::1]:443"), &in));
    shared_endpoint_set_address(e, &in);
    assert_true(shared_endpoint_address(seen, &out));
    assert_true(addr_eq(&in, &out) && !out.is_v4);
    atomic_fetch_or(&e->address_sequence, 1); /* the writer died while writing */
    assert_false(shared_endpoint_address(seen, &out));
    shared_endpoint_set_address(e, &in);
    assert_true(shared_endpoint_address(seen, &out));
}

static void test_one_worker_checks(void **state)
{
    struct area *a = *state;
    struct shared_endpoint *e = shared_endpoint(&a->master, 0);
    assert_true(shared_endpoint_take_check(e, 1000, 500));
    assert_false(shared_endpoint_take_check(e, 1000, 500));
    assert_false(shared_endpoint_take_check(e, 1499, 500));
    assert_true(shared_endpoint_take_check(e, 1500, 500));
    assert_true(shared_endpoint_is_usable(e, 0));
    atomic_store(&e->ejected_until_ms, 2000);
    assert_false(shared_endpoint_is_usable(e, 1999));
    assert_true(shared_endpoint_is_usable(e, 2000));
    atomic_store(&e->health, ENDPOINT_DOWN);
    assert_false(shared_endpoint_is_usable(e, 2000));
}

static void test_connections_of_an_address(void **state)
{
    struct area *a = *state;
    struct addr one, two, six, neighbour;
    assert_true(addr_parse(STR("192.0.2.7:1"), &one));
    assert_true(addr_parse(STR("192.0.2.8:1"), &two));
    assert_true(addr_parse(STR("[2001:db8::1]:1"), &six));
    assert_true(addr_parse(STR("[2001:db8::ffff]:2"), &neighbour));
    uint64_t h1 = shared_address_hash(&a->master, &one), h2 = shared_address_hash(&a->master, &two);
    assert_int_not_equal(h1, h2);
    assert_int_equal(shared_address_hash(&a->master, &six),
                     shared_address_hash(&a->master, &neighbour)); /* one /64 */
    shared_address_opened(shared_worker(&a->master, 0), h1);
    shared_address_opened(shared_worker(&a->master, 2), h1);
    assert_int_equal(shared_address_count(&a->master, h1), 2);
    assert_int_equal(shared_address_count(&a->master, h2), 0);
    shared_address_closed(shared_worker(&a->master, 0), h1);
    shared_address_closed(shared_worker(&a->master, 0), h1); /* never below 0 */
    assert_int_equal(shared_address_count(&a->master, h1), 1);
}

static void test_counter_names(void **)
{
    assert_true(str_eq(counter_name(COUNTER_requests_total), STR("requests_total")));
    assert_false(counter_is_gauge(COUNTER_requests_total));
    assert_true(counter_is_gauge(COUNTER_requests_active));
    for (unsigned c = 0; c < COUNTER_COUNT; c++) /* what promtool asks of names */
        assert_int_equal(str_ends(counter_name((enum counter)c), STR("_total")),
                         !counter_is_gauge((enum counter)c));
}

#define WITH_AREA(test) cmocka_unit_test_setup_teardown(test, area_open, area_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_AREA(test_opening),
        WITH_AREA(test_ring_keeps_order),
        WITH_AREA(test_a_full_ring_loses_and_counts),
        WITH_AREA(test_a_new_reader_goes_on_where_the_last_one_stopped),
        WITH_AREA(test_a_wild_writer_harms_nobody),
        cmocka_unit_test(test_buckets_cover_every_value),
        cmocka_unit_test(test_quantiles),
        WITH_AREA(test_sums_over_workers),
        WITH_AREA(test_slots_survive_a_reload),
        WITH_AREA(test_slots_run_out),
        WITH_AREA(test_addresses_of_endpoints),
        WITH_AREA(test_one_worker_checks),
        WITH_AREA(test_connections_of_an_address),
        cmocka_unit_test(test_counter_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
