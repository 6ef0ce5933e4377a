/* The goals of fair admission, held against the model (tests/bench/admission_model.h): virtual time, so the
 * same on every machine. The bench prints the longer runs. */
#include "admission_scenarios.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct model_result run_for(enum scenario which, double seconds, uint64_t seed)
{
    struct model m = scenarios[which];
    struct model_result r;
    m.seed = seed;
    m.end_s = m.warm_s + seconds;
    model_run(&m, &r);
    assert_int_equal(r.over_limit, 0);
    return r;
}

static double served(const struct model_result *r, unsigned group)
{
    return (double)r->groups[group].served / (double)r->groups[group].offered;
}

/* Victim against neighbour: every request served, p99 within so much of quiet, capacity used. */
static void neighbour(enum scenario quiet, enum scenario noisy, double seconds, double times, double used)
{
    struct model_result q = run_for(quiet, 100, 1);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct model_result r = run_for(noisy, seconds, seed);
        assert_true(served(&r, 0) == 1);
        assert_true(r.groups[0].p99_ms <= times * q.groups[0].p99_ms);
        assert_true(r.used >= used);
    }
}

static void test_a_noisy_neighbour_is_not_felt(void **state)
{
    neighbour(VICTIM_QUIET, VICTIM_200, 60, 1.25, 0.97);
    neighbour(VICTIM_QUIET, VICTIM_2000, 60, 1.25, 0.97);
    neighbour(VICTIM_QUIET, VICTIM_KNOWN_2000, 60, 1.25, 0.97);
}

static void test_among_a_thousand_clusters(void **state)
{
    neighbour(CLUSTERS_QUIET, CLUSTERS_1000, 60, 1.3, 0.97);
}

/* Requests of ten times the cost cannot be interrupted: the users' time goes before the last slots. */
static void test_slow_requests_of_a_neighbour(void **state)
{
    neighbour(VICTIM_QUIET, VICTIM_SLOW_2000, 300, 1.5, 0.8);
}

static void test_a_swarm_in_the_users_own_cluster(void **state)
{
    neighbour(REGULARS_QUIET, REGULARS_SWARM, 60, 1.5, 0.97);
    neighbour(REGULARS_QUIET, REGULARS_SWARM_RUDE, 10, 1.5, 0.97);
}

/* From the first moment on: the upstream's own latency stays near what it is without a queue. */
static void test_a_step_over_capacity(void **state)
{
    struct model_result r = run_for(STEP_1_4, 20, 1);
    assert_true(served(&r, 0) == 1);
    assert_true(r.used >= 0.97);
    assert_true(r.origin_p99_ms <= 1.5 * 57);
    assert_true(r.groups[1].gave_up <= r.groups[1].offered / 100);
}

static void test_ten_times_the_capacity(void **state)
{
    struct model_result r = run_for(OVERLOAD_10, 20, 1);
    double done = (double)(r.groups[0].served + r.groups[1].served), wasted = (double)r.wasted;
    assert_true(served(&r, 0) == 1);
    assert_true(r.used * done / (done + wasted) >= 0.97); /* of all work the origin could do */
}

/* The limit does not collapse, whatever the latency looks like. */
static void test_uneven_latency(void **state)
{
    assert_true(run_for(HUMPS_10, 60, 1).used >= 0.95);
    assert_true(run_for(HUMPS_50, 60, 1).used >= 0.9);
    assert_true(run_for(MIX_CHANGES, 60, 1).used >= 0.95);
}

static void test_an_origin_that_changes(void **state)
{
    struct model_result slower = run_for(BECOMES_SLOWER, 30, 1), half = run_for(LOSES_HALF, 30, 1);
    assert_true(slower.used >= 0.95);
    assert_true(half.used >= 0.97);
    assert_true(half.limit_mean < 14);
}

static void test_other_origins(void **state)
{
    struct model_result shared = run_for(SHARED_CPU, 30, 1), smooth = run_for(SMOOTH, 60, 1);
    assert_true(shared.used >= 0.97);
    assert_true(shared.origin_p99_ms < 80); /* without a limit: 500 */
    assert_true(smooth.limit_mean > 25);    /* where latency begins to rise as fast as the load: 33 */
}

static void test_an_idle_pool_learns_nothing_wrong(void **state)
{
    struct model_result r = run_for(IDLE_THEN_CROWD, 10, 1);
    assert_true(served(&r, 0) == 1);
    assert_true(r.used >= 0.95);
    assert_true(r.limit_high <= 30);
}

static void test_the_same_seed_gives_the_same_run(void **state)
{
    struct model_result a = run_for(VICTIM_200, 10, 7), b = run_for(VICTIM_200, 10, 7);
    assert_memory_equal(&a, &b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_noisy_neighbour_is_not_felt),
        cmocka_unit_test(test_among_a_thousand_clusters),
        cmocka_unit_test(test_slow_requests_of_a_neighbour),
        cmocka_unit_test(test_a_swarm_in_the_users_own_cluster),
        cmocka_unit_test(test_a_step_over_capacity),
        cmocka_unit_test(test_ten_times_the_capacity),
        cmocka_unit_test(test_uneven_latency),
        cmocka_unit_test(test_an_origin_that_changes),
        cmocka_unit_test(test_other_origins),
        cmocka_unit_test(test_an_idle_pool_learns_nothing_wrong),
        cmocka_unit_test(test_the_same_seed_gives_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
