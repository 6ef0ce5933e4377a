/* What must hold in every order of events: the limit, shares within one request, no slot idle beside a
 * waiter, nobody starves, and a worker that dies anywhere takes no capacity along. */
#include "kit.h"

enum { LIMIT = 7, WORKERS = 4, FLOWS = 5, TICKETS = 200, STEPS = 60'000 };

enum place { FREE, WAITS, RUNS };

static struct {
    struct kit k;
    struct admission_ticket tickets[TICKETS];
    enum place place[TICKETS];
    unsigned owner[TICKETS];
    uint64_t wakes, now, random;
} world;

static unsigned index_of(const struct admission_ticket *t)
{
    return (unsigned)(t - world.tickets);
}

static void drain(unsigned worker)
{
    struct admission *a = world.k.workers[worker];
    struct admission_ticket *t;
    enum admission_answer answer;
    uint32_t after;
    world.wakes &= ~(UINT64_C(1) << worker);
    while ((t = admission_next(a, 0, world.now, &answer, &after))) {
        assert_int_equal(world.place[index_of(t)], WAITS);
        world.place[index_of(t)] = answer == ADMISSION_GO ? RUNS : FREE;
    }
    world.wakes |= admission_take_wakes(a, 0);
}

static unsigned count(enum place place)
{
    unsigned n = 0;
    for (unsigned i = 0; i < TICKETS; i++)
        n += world.place[i] == place;
    return n;
}

static void check(bool is_settled)
{
    struct admission_view v = kit_look(&world.k, 0);
    assert_int_equal(v.in_use, count(RUNS));
    assert_true(v.in_use + v.granted <= LIMIT);
    if (!is_settled)
        return;
    assert_int_equal(v.granted, 0);
    assert_true(count(WAITS) == 0 || v.in_use == LIMIT);
}

static void dies(unsigned worker)
{
    admission_free(world.k.workers[worker]);
    for (unsigned i = 0; i < TICKETS; i++)
        if (world.owner[i] == worker)
            world.place[i] = FREE;
    admission_worker_reset(world.k.memory, world.k.size, worker);
    world.k.workers[worker] = kit_worker(&world.k, worker);
    world.wakes &= ~(UINT64_C(1) << worker);
    drain((worker + 1) % WORKERS); /* some other one looks after it, by its tick */
}

static void step(bool may_die)
{
    unsigned i = (unsigned)(kit_random(&world.random) % TICKETS);
    unsigned w = (unsigned)(kit_random(&world.random) % WORKERS);
    struct admission *own = world.k.workers[world.owner[i]];
    world.now += kit_random(&world.random) % 300;
    if (world.place[i] == FREE) {
        static const enum admission_answer waits = ADMISSION_WAIT;
        enum admission_class class = (enum admission_class)(kit_random(&world.random) % 4);
        world.owner[i] = w;
        enum admission_answer answer =
            kit_enter(world.k.workers[w], &world.tickets[i], i % FLOWS, class, world.now);
        world.place[i] = answer == ADMISSION_GO ? RUNS : answer == waits ? WAITS : FREE;
        drain(w);
    } else if (world.place[i] == RUNS) {
        world.place[i] = FREE;
        admission_leave(own, &world.tickets[i], (enum admission_outcome)(kit_random(&world.random) % 3), 900,
                        world.now);
        drain(world.owner[i]);
    } else if (kit_random(&world.random) % 8 == 0) {
        world.place[i] = FREE;
        admission_cancel(own, &world.tickets[i]);
        drain(world.owner[i]);
    }
    if (may_die && kit_random(&world.random) % 500 == 0)
        dies(w);
    check(false);
}

/* Wakes come late, in any order. */
static void test_limit_and_work_in_any_order(void **state)
{
    for (unsigned seed = 1; seed <= 4; seed++) {
        memset(&world, 0, sizeof world);
        world.random = seed * 7919;
        world.k = kit_new(WORKERS, FLOWS, LIMIT);
        for (unsigned n = 0; n < STEPS; n++) {
            step(seed % 2 == 0);
            if (world.wakes && kit_random(&world.random) % 4 == 0)
                drain((unsigned)__builtin_ctzll(world.wakes));
            if (n % 50 == 0) {
                while (world.wakes)
                    drain((unsigned)__builtin_ctzll(world.wakes));
                check(true);
            }
        }
        kit_free(&world.k);
    }
}

/* Two clusters that always have something waiting: cost served per weight never differs by more than one
 * request of each; one sends requests of ten times the cost. */
static void test_shares_within_one_request(void **state)
{
    enum { BIG = 10'000, SMALL = 1'000, EACH = 100 };
    static struct admission_ticket t[2 * EACH + 2];
    struct kit k = kit_new(1, 2, 1);
    struct admission *a = k.workers[0];
    struct admission_request r[2] = {kit_request(0, ADMISSION_UNKNOWN), kit_request(1, ADMISSION_UNKNOWN)};
    const uint64_t cost[2] = {SMALL, BIG}, weight[2] = {1, 3};
    double served[2] = {0, 0};
    uint64_t now = 1;
    uint32_t after;
    r[1].kind = 1;
    assert_true(admission_flow_set(a, 1, 0, 3));
    for (unsigned f = 0; f < 2; f++) { /* so that costs are known */
        r[f].patience_us = UINT32_MAX;
        assert_int_equal(admission_enter(a, &t[f], &r[f], now, &after), ADMISSION_GO);
        now += cost[f] - 1;
        admission_leave(a, &t[f], ADMISSION_ANSWERED, cost[f], now);
    }
    assert_int_equal(admission_enter(a, &t[0], &r[0], now, &after), ADMISSION_GO);
    for (unsigned i = 0; i < 2 * EACH; i++)
        assert_int_equal(admission_enter(a, &t[2 + i], &r[i % 2], now, &after), ADMISSION_WAIT);
    now += cost[0] - 1;
    admission_leave(a, &t[0], ADMISSION_ANSWERED, cost[0], now);
    for (unsigned left[2] = {EACH, EACH}; left[0] && left[1];) {
        struct admission_ticket *next = kit_next(a, now);
        assert_non_null(next);
        unsigned f = next->flow;
        left[f]--;
        served[f] += (double)cost[f] / (double)weight[f];
        double apart = served[0] > served[1] ? served[0] - served[1] : served[1] - served[0];
        assert_true(apart <= (double)cost[0] / (double)weight[0] + (double)cost[1] / (double)weight[1] + 1);
        now += cost[f] - 1;
        admission_leave(a, next, ADMISSION_ANSWERED, cost[f], now);
        assert_int_equal(admission_enter(a, next, &r[f], now, &after), ADMISSION_WAIT);
    }
    kit_free(&k);
}

/* Known users take all there is, in every worker; a stranger in another one is served all the same. */
static void test_nobody_starves(void **state)
{
    struct kit k = kit_new(2, 1, 1);
    static struct admission_ticket known[64], stranger, running;
    struct admission_request r = kit_request(0, ADMISSION_KNOWN);
    uint64_t now = 1;
    uint32_t after;
    r.patience_us = UINT32_MAX;
    assert_int_equal(kit_enter(k.workers[0], &running, 0, ADMISSION_KNOWN, now), ADMISSION_GO);
    assert_int_equal(kit_enter(k.workers[1], &stranger, 0, ADMISSION_UNKNOWN, now), ADMISSION_WAIT);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(admission_enter(k.workers[0], &known[i], &r, now += 10'000, &after), ADMISSION_WAIT);
    struct admission_ticket *at = &running;
    bool is_served = false;
    for (unsigned i = 0; i < 34 && !is_served; i++) {
        kit_leave(k.workers[0], at, ++now);
        at = kit_next(k.workers[0], now);
        if (!at) {
            assert_int_equal(admission_take_wakes(k.workers[0], 0), 2);
            assert_ptr_equal(kit_next(k.workers[1], now), &stranger);
            is_served = true;
        }
    }
    assert_true(is_served);
    kit_free(&k);
}

/* Three workers with one cluster each and one with two: shares of clusters, not of workers. */
static void test_clusters_share_over_workers(void **state)
{
    enum { ROUNDS = 4000, DEPTH = 20 };
    static struct admission_ticket t[5][DEPTH];
    static const unsigned worker_of[5] = {0, 0, 1, 2, 2}, flow_of[5] = {0, 1, 1, 2, 0};
    struct kit k = kit_new(3, 3, 4);
    struct {
        struct admission_ticket *ticket;
        unsigned worker;
    } running[4];
    unsigned served[3] = {0}, count = 0;
    uint64_t now = 1;
    for (unsigned s = 0; s < 5; s++)
        for (unsigned i = 0; i < DEPTH; i++) {
            struct admission_request r = kit_request(flow_of[s], ADMISSION_UNKNOWN);
            uint32_t after;
            r.patience_us = UINT32_MAX;
            if (admission_enter(k.workers[worker_of[s]], &t[s][i], &r, now, &after) == ADMISSION_GO) {
                running[count].ticket = &t[s][i];
                running[count++].worker = worker_of[s];
            }
        }
    assert_int_equal(count, 4);
    for (unsigned n = 0; n < ROUNDS; n++) {
        unsigned at = n % 4, w = running[at].worker;
        struct admission_ticket *old = running[at].ticket, *next;
        struct admission_request r = kit_request(old->flow, ADMISSION_UNKNOWN);
        uint32_t after;
        r.patience_us = UINT32_MAX;
        now += 1000;
        served[old->flow]++;
        admission_leave(k.workers[w], old, ADMISSION_ANSWERED, 4000, now);
        next = kit_next(k.workers[w], now);
        if (!next) {
            uint64_t wakes = admission_take_wakes(k.workers[w], 0);
            assert_true(wakes != 0);
            running[at].worker = (unsigned)__builtin_ctzll(wakes);
            next = kit_next(k.workers[running[at].worker], now);
        }
        assert_non_null(next);
        running[at].ticket = next;
        assert_int_equal(admission_enter(k.workers[w], old, &r, now, &after), ADMISSION_WAIT);
    }
    for (unsigned f = 0; f < 3; f++)
        assert_in_range(served[f], ROUNDS / 3 - 20, ROUNDS / 3 + 20);
    kit_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_and_work_in_any_order),
        cmocka_unit_test(test_shares_within_one_request),
        cmocka_unit_test(test_nobody_starves),
        cmocka_unit_test(test_clusters_share_over_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
