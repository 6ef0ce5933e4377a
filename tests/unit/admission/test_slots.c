/* The slots under every kind of interleaving: several workers as coroutines in one thread, and before each
 * atomic operation of slots.h a seeded scheduler may let another one run. So a race is found, or not, the
 * same every time. */
#include "kit.h"

#include "admission/area.h"

static void switch_here(void);

#undef atomic_load
#undef atomic_fetch_add
#undef atomic_fetch_sub
#undef atomic_fetch_and
#undef atomic_compare_exchange_weak
#define atomic_load(p)         (switch_here(), atomic_load_explicit((p), memory_order_seq_cst))
#define atomic_fetch_add(p, n) (switch_here(), atomic_fetch_add_explicit((p), (n), memory_order_seq_cst))
#define atomic_fetch_sub(p, n) (switch_here(), atomic_fetch_sub_explicit((p), (n), memory_order_seq_cst))
#define atomic_fetch_and(p, n) (switch_here(), atomic_fetch_and_explicit((p), (n), memory_order_seq_cst))
#define atomic_compare_exchange_weak(p, e, v)                                                                \
    (switch_here(),                                                                                          \
     atomic_compare_exchange_strong_explicit((p), (e), (v), memory_order_seq_cst, memory_order_seq_cst))
#include "admission/slots.h"

#include <ucontext.h>

enum { WORKERS = 4, LIMIT = 3, STACK = 64 * 1024, ROUNDS = 60, SEEDS = 400 };

static struct {
    struct area_pool pool;
    ucontext_t main, contexts[WORKERS];
    char stacks[WORKERS][STACK];
    bool is_done[WORKERS];
    unsigned running, let_through, most, held[WORKERS], granted[WORKERS], taken;
    uint64_t random;
    bool is_running;
} s;

static void switch_here(void)
{
    if (s.is_running && kit_random(&s.random) % 2)
        swapcontext(&s.contexts[s.running], &s.main);
}

static void check(void)
{
    assert_true(s.let_through <= LIMIT);
    s.most = s.let_through > s.most ? s.let_through : s.most;
}

static void take(unsigned w)
{
    uint32_t used;
    if (!slots_take(&s.pool, WORKERS, w, SLOT_ONE, LIMIT, &used))
        return;
    s.let_through++;
    s.held[w]++;
    s.taken++;
    check();
}

static void release(unsigned w)
{
    if (!s.held[w])
        return;
    s.held[w]--;
    s.let_through--; /* before it is: never more than are there */
    atomic_fetch_sub(&s.pool.held[w], SLOT_ONE);
}

static void give(unsigned w)
{
    unsigned to = (w + 1 + (unsigned)kit_random(&s.random) % (WORKERS - 1)) % WORKERS;
    if (!s.held[w])
        return;
    s.held[w]--;
    slots_give(&s.pool, w, to);
    s.granted[to]++;
}

static void accept_grant(unsigned w)
{
    if (s.granted[w] && slots_take_granted(&s.pool, w, 0)) {
        s.granted[w]--;
        s.held[w]++;
    }
}

static void worker_main(unsigned w)
{
    for (unsigned n = 0; n < ROUNDS; n++) {
        switch (kit_random(&s.random) % 4) {
        case 0:
            release(w);
            break;
        case 1:
            give(w);
            break;
        case 2:
            accept_grant(w);
            break;
        default:
            take(w);
        }
    }
    s.is_done[w] = true;
}

static void prepare(unsigned w)
{
    getcontext(&s.contexts[w]);
    s.contexts[w].uc_stack.ss_sp = s.stacks[w];
    s.contexts[w].uc_stack.ss_size = STACK;
    s.contexts[w].uc_link = &s.main;
    makecontext(&s.contexts[w], (void (*)(void))worker_main, 1, w);
}

static void run(uint64_t seed)
{
    memset(&s, 0, sizeof s);
    s.random = seed;
    for (unsigned w = 0; w < WORKERS; w++)
        prepare(w);
    s.is_running = true;
    for (unsigned done = 0; done < WORKERS;) {
        s.running = (unsigned)(kit_random(&s.random) % WORKERS);
        if (!s.is_done[s.running])
            swapcontext(&s.main, &s.contexts[s.running]);
        done = 0;
        for (unsigned w = 0; w < WORKERS; w++)
            done += s.is_done[w];
    }
    s.is_running = false;
}

static void test_never_above_the_limit_and_nothing_lost(void **state)
{
    unsigned most = 0, taken = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run(seed * 0x9e3779b97f4a7c15ULL);
        most = s.most > most ? s.most : most;
        taken += s.taken;
        for (unsigned w = 0; w < WORKERS; w++) {
            assert_int_equal(slots_in_use(s.pool.held[w]), s.held[w]);
            assert_int_equal(slots_granted(s.pool.held[w]), s.granted[w]);
        }
        for (unsigned w = 0; w < WORKERS; w++) { /* and what nobody uses can be had again */
            slots_revoke(&s.pool, w);
            while (s.held[w])
                release(w);
        }
        assert_int_equal(slots_sum(&s.pool, WORKERS), 0);
    }
    assert_int_equal(most, LIMIT);
    assert_true(taken > SEEDS * LIMIT);
}

static void test_a_grant_is_a_slot(void **state)
{
    uint32_t used;
    memset(&s, 0, sizeof s);
    assert_true(slots_take(&s.pool, WORKERS, 0, SLOT_ONE, 1, &used));
    assert_false(slots_take(&s.pool, WORKERS, 1, SLOT_ONE, 1, &used));
    slots_give(&s.pool, 0, 1);
    assert_false(slots_take(&s.pool, WORKERS, 2, SLOT_ONE, 1, &used));
    assert_false(slots_take_granted(&s.pool, 0, 0));
    assert_true(slots_take_granted(&s.pool, 1, SLOT_HEAVY));
    assert_int_equal(slots_heavy(slots_sum(&s.pool, WORKERS)), 1);
    assert_false(slots_take_granted(&s.pool, 1, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_above_the_limit_and_nothing_lost),
        cmocka_unit_test(test_a_grant_is_a_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
