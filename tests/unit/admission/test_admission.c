/* The steps of a request: go, wait, refuse; several workers over one area; a worker that dies. */
#include "kit.h"

#include "admission/area.h"

static void test_goes_until_the_limit_then_waits_in_order(void **state)
{
    struct kit k = kit_new(1, 1, 2);
    struct admission *a = k.workers[0];
    struct admission_ticket t[4];
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(kit_enter(a, &t[i], 0, ADMISSION_UNKNOWN, 100 + i),
                         i < 2 ? ADMISSION_GO : ADMISSION_WAIT);
    assert_null(kit_next(a, 110));
    assert_int_equal(kit_look(&k, 0).in_use, 2);
    assert_int_equal(kit_look(&k, 0).waiting, 2);
    kit_leave(a, &t[1], 1100);
    assert_ptr_equal(kit_next(a, 1100), &t[2]);
    assert_null(kit_next(a, 1100));
    kit_leave(a, &t[0], 1200);
    assert_ptr_equal(kit_next(a, 1200), &t[3]);
    kit_leave(a, &t[2], 1300);
    kit_leave(a, &t[3], 1300);
    assert_int_equal(kit_look(&k, 0).in_use, 0);
    kit_free(&k);
}

static void test_known_before_strangers_before_suspects(void **state)
{
    static const struct {
        enum admission_class class;
        enum admission_criticality criticality;
    } order[] = {
        {ADMISSION_KNOWN, ADMISSION_PERSON_WRITE},   {ADMISSION_PARTNER, ADMISSION_PERSON_READ},
        {ADMISSION_KNOWN, ADMISSION_MACHINE_WRITE},  {ADMISSION_PARTNER, ADMISSION_MACHINE_READ},
        {ADMISSION_UNKNOWN, ADMISSION_PERSON_WRITE}, {ADMISSION_UNKNOWN, ADMISSION_MACHINE_READ},
        {ADMISSION_KNOWN, ADMISSION_BULK},           {ADMISSION_UNKNOWN, ADMISSION_BULK},
        {ADMISSION_SUSPECT, ADMISSION_PERSON_READ},  {ADMISSION_SUSPECT, ADMISSION_BULK},
    };
    enum { COUNT = sizeof order / sizeof *order };
    struct kit k = kit_new(1, 1, 1);
    struct admission *a = k.workers[0];
    struct admission_ticket first, t[COUNT];
    uint32_t after;
    assert_int_equal(kit_enter(a, &first, 0, ADMISSION_UNKNOWN, 1), ADMISSION_GO);
    for (unsigned i = COUNT; i-- > 0;) { /* the last one comes first */
        struct admission_request r = kit_request(0, order[i].class);
        r.criticality = order[i].criticality;
        assert_int_equal(admission_enter(a, &t[i], &r, 2, &after), ADMISSION_WAIT);
    }
    kit_leave(a, &first, 10);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_ptr_equal(kit_next(a, 20 + i), &t[i]);
        kit_leave(a, &t[i], 20 + i);
    }
    kit_free(&k);
}

static void test_blocked_is_refused(void **state)
{
    struct kit k = kit_new(1, 1, 4);
    struct admission_ticket t;
    struct admission_request r = kit_request(0, ADMISSION_BLOCKED);
    uint32_t after = 0;
    assert_int_equal(admission_enter(k.workers[0], &t, &r, 1, &after), ADMISSION_REFUSE);
    assert_in_range(after, 1, 60);
    kit_free(&k);
}

static void test_too_long_a_wait_is_refused_at_once(void **state)
{
    struct kit k = kit_new(1, 1, 1);
    struct admission *a = k.workers[0];
    static struct admission_ticket t[400];
    uint32_t after;
    unsigned waits = 0;
    admission_tick(a, 0, 1);
    for (unsigned i = 0; i < 400; i++) { /* 20 ms each, as long as nothing is known: 3 s are 150 of them */
        struct admission_request r = kit_request(0, ADMISSION_UNKNOWN);
        enum admission_answer answer = admission_enter(a, &t[i], &r, 1, &after);
        waits += answer == ADMISSION_WAIT;
        if (answer == ADMISSION_REFUSE)
            assert_in_range(after, 1, 60);
    }
    assert_in_range(waits, 140, 160);
    struct admission_request known = kit_request(0, ADMISSION_KNOWN);
    struct admission_ticket urgent; /* stands before all of them, so its wait is short */
    assert_int_equal(admission_enter(a, &urgent, &known, 1, &after), ADMISSION_WAIT);
    kit_free(&k);
}

static void test_nobody_is_served_after_he_has_gone(void **state)
{
    struct kit k = kit_new(1, 1, 1);
    struct admission *a = k.workers[0];
    struct admission_ticket first, late, good;
    struct admission_request r = kit_request(0, ADMISSION_UNKNOWN);
    enum admission_answer answer;
    uint32_t after = 0;
    kit_enter(a, &first, 0, ADMISSION_UNKNOWN, 1);
    r.patience_us = 100'000;
    assert_int_equal(admission_enter(a, &late, &r, 2, &after), ADMISSION_WAIT);
    assert_int_equal(kit_enter(a, &good, 0, ADMISSION_UNKNOWN, 3), ADMISSION_WAIT);
    kit_leave(a, &first, 90'000); /* 10 ms are left, its request would take 20 */
    assert_ptr_equal(admission_next(a, 0, 90'000, &answer, &after), &late);
    assert_int_equal(answer, ADMISSION_REFUSE);
    assert_in_range(after, 1, 60);
    assert_ptr_equal(admission_next(a, 0, 90'000, &answer, &after), &good);
    assert_int_equal(answer, ADMISSION_GO);
    kit_free(&k);
}

/* Strangers leave after a second, and nobody of them is served just before. */
static void test_it_is_learned_how_long_strangers_stay(void **state)
{
    struct kit k = kit_new(1, 2, 1);
    struct admission *a = k.workers[0];
    struct admission_ticket first, stranger, known, other;
    enum admission_answer answer;
    uint32_t after = 0;
    kit_enter(a, &first, 0, ADMISSION_UNKNOWN, 1);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(kit_enter(a, &stranger, 0, ADMISSION_UNKNOWN, 1000), ADMISSION_WAIT);
        admission_note_left(a, &stranger, 1'001'000);
        admission_cancel(a, &stranger);
    }
    kit_enter(a, &stranger, 0, ADMISSION_UNKNOWN, 2'000'000);
    admission_leave(a, &first, ADMISSION_FAILED, 0, 2'950'000);
    assert_ptr_equal(admission_next(a, 0, 2'950'000, &answer, &after), &stranger);
    assert_int_equal(answer, ADMISSION_REFUSE);
    assert_null(kit_next(a, 2'950'000));
    kit_enter(a, &first, 0, ADMISSION_UNKNOWN, 3'000'000);
    kit_enter(a, &known, 0, ADMISSION_KNOWN, 3'000'000);
    kit_enter(a, &other, 1, ADMISSION_UNKNOWN, 3'000'000); /* of another cluster */
    admission_leave(a, &first, ADMISSION_FAILED, 0, 3'950'000);
    struct admission_ticket *one = kit_next(a, 3'950'000);
    kit_leave(a, one, 3'960'000);
    struct admission_ticket *two = kit_next(a, 3'960'000);
    assert_true((one == &known && two == &other) || (one == &other && two == &known));
    kit_leave(a, two, 3'970'000);
    assert_null(kit_next(a, 3'970'000));
    /* Who leaves at once, again and again, cannot bring it below half a second. */
    for (unsigned i = 0; i < 1000; i++)
        admission_note_left(a, &stranger, stranger.since_us + 1);
    kit_enter(a, &first, 0, ADMISSION_UNKNOWN, 5'000'000);
    kit_enter(a, &stranger, 0, ADMISSION_UNKNOWN, 5'000'000);
    admission_leave(a, &first, ADMISSION_FAILED, 0, 5'300'000);
    assert_ptr_equal(kit_next(a, 5'300'000), &stranger);
    kit_free(&k);
}

enum { CROWD = 60, SLOTS = 20, TAKES_US = 50'000 };

struct in_step {
    struct kit k;
    struct admission_ticket crowd[CROWD], known;
    uint64_t ends[CROWD], known_ends;
};

static void end_those_due(struct in_step *s, uint64_t now)
{
    struct admission *a = s->k.workers[0];
    for (unsigned i = 0; i < CROWD; i++) {
        if (!s->ends[i] || s->ends[i] > now)
            continue;
        admission_leave(a, &s->crowd[i], ADMISSION_ANSWERED, TAKES_US, now);
        s->ends[i] =
            kit_enter(a, &s->crowd[i], 0, ADMISSION_UNKNOWN, now) == ADMISSION_GO ? now + TAKES_US : 0;
    }
    if (s->known_ends && s->known_ends <= now) {
        admission_leave(a, &s->known, ADMISSION_ANSWERED, TAKES_US, now);
        s->known_ends = 0;
    }
}

/* How long the known user waited, when he went now; else 0. */
static uint64_t let_go(struct in_step *s, uint64_t now)
{
    struct admission_ticket *t;
    uint64_t waited = 0;
    while ((t = kit_next(s->k.workers[0], now))) {
        if (t == &s->known) {
            waited = now - t->since_us;
            s->known_ends = now + TAKES_US;
        } else {
            s->ends[t - s->crowd] = now + TAKES_US;
        }
    }
    return waited;
}

/* All that run began together and would end together for ever; a known user comes at any time between. */
static void test_a_crowd_is_led_out_of_step(void **state)
{
    static struct in_step s;
    uint64_t worst_first = 0, worst_last = 0;
    s = (struct in_step){.k = kit_new(1, 1, SLOTS)};
    struct admission *a = s.k.workers[0];
    for (unsigned i = 0; i < CROWD; i++)
        s.ends[i] = kit_enter(a, &s.crowd[i], 0, ADMISSION_UNKNOWN, 1) == ADMISSION_GO ? 1 + TAKES_US : 0;
    for (uint64_t now = 1; now < 4'000'000; now += 500) {
        end_those_due(&s, now);
        if (now % 137'000 == 1 && kit_enter(a, &s.known, 0, ADMISSION_KNOWN, now) == ADMISSION_GO)
            s.known_ends = now + TAKES_US;
        if (now % 10'000 == 1)
            admission_tick(a, 0, now);
        uint64_t waited = let_go(&s, now);
        uint64_t *worst = now < 1'000'000 ? &worst_first : now > 3'000'000 ? &worst_last : &waited;
        *worst = waited > *worst ? waited : *worst;
    }
    assert_true(worst_first > 20'000);
    assert_true(worst_last < 8'000);
    kit_free(&s.k);
}

/* What another process wrote there holds nobody for long. */
static void test_rubbish_does_not_hold_strangers(void **state)
{
    struct kit k = kit_new(1, 1, 20);
    struct admission_ticket t;
    struct area area;
    assert_true(area_view(k.memory, k.size, &area));
    area_set(&area.pools[0].pace_from_us, 900);
    area_set(&area.pools[0].pace_next_us, UINT64_MAX / 2);
    area_set32(&area.pools[0].pace_cost_us, UINT32_MAX);
    assert_int_equal(kit_enter(k.workers[0], &t, 0, ADMISSION_UNKNOWN, 1000), ADMISSION_GO);
    kit_free(&k);
}

static void test_full_queue_drops_the_newest_of_the_least(void **state)
{
    struct kit k = kit_new(1, 2, 1);
    struct admission *a = k.workers[0];
    struct admission_ticket *t = calloc(ADMISSION_WAITING_MAX + 2, sizeof *t), known;
    struct admission_request r = kit_request(0, ADMISSION_UNKNOWN);
    enum admission_answer answer;
    uint32_t after;
    r.patience_us = UINT32_MAX;
    assert_int_equal(admission_enter(a, &t[0], &r, 1, &after), ADMISSION_GO);
    for (unsigned i = 1; i <= ADMISSION_WAITING_MAX; i++)
        assert_int_equal(admission_enter(a, &t[i], &r, 2, &after), ADMISSION_WAIT);
    assert_int_equal(admission_enter(a, &t[ADMISSION_WAITING_MAX + 1], &r, 3, &after), ADMISSION_REFUSE);
    r.class = ADMISSION_KNOWN;
    assert_int_equal(admission_enter(a, &known, &r, 3, &after), ADMISSION_WAIT);
    assert_ptr_equal(admission_next(a, 0, 3, &answer, &after), &t[ADMISSION_WAITING_MAX]);
    assert_int_equal(answer, ADMISSION_REFUSE);
    struct admission_ticket other; /* another cluster's stranger goes before the longest queue's */
    struct admission_request small = kit_request(1, ADMISSION_UNKNOWN);
    assert_int_equal(admission_enter(a, &other, &small, 3, &after), ADMISSION_WAIT);
    assert_ptr_equal(admission_next(a, 0, 3, &answer, &after), &t[ADMISSION_WAITING_MAX - 1]);
    free(t);
    kit_free(&k);
}

static void test_cancel_leaves_no_trace(void **state)
{
    struct kit k = kit_new(2, 1, 1);
    struct admission_ticket first, waits;
    kit_enter(k.workers[0], &first, 0, ADMISSION_UNKNOWN, 1);
    kit_enter(k.workers[1], &waits, 0, ADMISSION_UNKNOWN, 2);
    assert_null(kit_next(k.workers[1], 2));
    admission_cancel(k.workers[1], &waits);
    kit_leave(k.workers[0], &first, 3);
    assert_null(kit_next(k.workers[0], 3));
    assert_int_equal(admission_take_wakes(k.workers[0], 0), 0);
    assert_int_equal(kit_enter(k.workers[0], &first, 0, ADMISSION_UNKNOWN, 4), ADMISSION_GO);
    kit_free(&k);
}

static void test_a_slot_goes_to_the_worker_that_is_first(void **state)
{
    struct kit k = kit_new(2, 2, 1);
    struct admission_ticket first, mine, theirs;
    assert_int_equal(kit_enter(k.workers[0], &first, 0, ADMISSION_UNKNOWN, 1), ADMISSION_GO);
    assert_int_equal(kit_enter(k.workers[0], &mine, 0, ADMISSION_UNKNOWN, 2), ADMISSION_WAIT);
    assert_int_equal(kit_enter(k.workers[1], &theirs, 1, ADMISSION_UNKNOWN, 3), ADMISSION_WAIT);
    assert_null(kit_next(k.workers[1], 3));
    kit_leave(k.workers[0], &first, 20'000);
    assert_null(kit_next(k.workers[0], 20'000)); /* the other cluster was served less */
    assert_int_equal(admission_take_wakes(k.workers[0], 0), 2);
    assert_int_equal(kit_look(&k, 0).granted, 1);
    assert_ptr_equal(kit_next(k.workers[1], 20'010), &theirs);
    assert_int_equal(kit_look(&k, 0).granted, 0);
    kit_leave(k.workers[1], &theirs, 40'000);
    assert_null(kit_next(k.workers[1], 40'000));
    assert_int_equal(admission_take_wakes(k.workers[1], 0), 1);
    assert_ptr_equal(kit_next(k.workers[0], 40'010), &mine);
    kit_free(&k);
}

static void test_a_grant_nobody_uses_comes_back(void **state)
{
    struct kit k = kit_new(2, 1, 1);
    struct admission_ticket first, theirs, mine;
    kit_enter(k.workers[0], &first, 0, ADMISSION_UNKNOWN, 1);
    kit_enter(k.workers[1], &theirs, 0, ADMISSION_UNKNOWN, 2);
    kit_next(k.workers[1], 2);
    kit_leave(k.workers[0], &first, 3);
    assert_null(kit_next(k.workers[0], 3));
    assert_int_equal(kit_look(&k, 0).granted, 1);
    admission_cancel(k.workers[1], &theirs); /* and it never asks for the next one */
    assert_int_equal(kit_enter(k.workers[0], &mine, 0, ADMISSION_UNKNOWN, 4), ADMISSION_WAIT);
    assert_null(kit_next(k.workers[0], 4));
    admission_tick(k.workers[0], 0, 10'000);
    admission_tick(k.workers[0], 0, 20'000);
    assert_ptr_equal(kit_next(k.workers[0], 20'000), &mine);
    kit_free(&k);
}

static void test_a_dead_workers_share_comes_back(void **state)
{
    struct kit k = kit_new(2, 1, 2);
    struct admission_ticket lost[4], mine[2];
    for (unsigned i = 0; i < 4; i++) /* two run, two wait before everybody else */
        kit_enter(k.workers[1], &lost[i], 0, ADMISSION_KNOWN, 1);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(kit_enter(k.workers[0], &mine[i], 0, ADMISSION_UNKNOWN, 2), ADMISSION_WAIT);
    assert_null(kit_next(k.workers[0], 2));
    admission_free(k.workers[1]);
    admission_worker_reset(k.memory, k.size, 1);
    assert_ptr_equal(kit_next(k.workers[0], 3), &mine[0]);
    assert_ptr_equal(kit_next(k.workers[0], 3), &mine[1]);
    assert_int_equal(kit_look(&k, 0).in_use, 2);
    assert_int_equal(admission_take_wakes(k.workers[0], 0), 0);
    k.workers[1] = kit_worker(&k, 1);
    kit_free(&k);
}

static void test_strange_areas_are_refused(void **state)
{
    struct kit k = kit_new(1, 1, 1);
    assert_null(admission_new(k.memory, k.size - 64, 0));
    assert_null(admission_new(k.memory, 8, 0));
    assert_null(admission_new(k.memory, k.size, 1));
    struct admission_shape bad[] = {
        {0, 1, 1, 64}, {65, 1, 1, 64}, {1, 0, 1, 64}, {1, 1, 1, 63}, {1, 1, 99'999, 64}};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(admission_area_size(&bad[i]), 0);
    memset(k.memory, 0x55, 64);
    assert_null(admission_new(k.memory, k.size, 0));
    kit_free(&k);
}

/* A worker that was taken over writes what it likes: nobody crashes, nobody reads outside. */
static void test_rubbish_in_the_area_is_survived(void **state)
{
    struct kit k = kit_new(2, 4, 0);
    uint64_t random = 99;
    size_t header = 192; /* it is read once, at opening */
    static struct admission_ticket t[64];
    for (unsigned round = 0; round < 300; round++) {
        for (size_t i = header; i + 8 <= k.size; i += 8)
            if (kit_random(&random) % 4 == 0)
                memcpy((char *)k.memory + i, &(uint64_t){kit_random(&random)}, 8);
        for (unsigned w = 0; w < 2; w++) {
            struct admission *a = k.workers[w];
            unsigned running = 0;
            for (unsigned i = 0; i < 16; i++)
                if (kit_enter(a, &t[i], i % 4, ADMISSION_UNKNOWN, round * 1000) == ADMISSION_GO)
                    kit_leave(a, &t[i], round * 1000 + 500), running++;
            admission_tick(a, 0, round * 1000);
            struct admission_ticket *next;
            enum admission_answer answer;
            uint32_t after;
            while ((next = admission_next(a, 0, round * 1000 + 600, &answer, &after)))
                if (answer == ADMISSION_GO)
                    kit_leave(a, next, round * 1000 + 700);
            admission_take_wakes(a, 0);
        }
        for (unsigned w = 0; w < 2; w++) { /* what still waits belongs to t[]: begin anew */
            admission_free(k.workers[w]);
            k.workers[w] = kit_worker(&k, w);
        }
    }
    kit_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_until_the_limit_then_waits_in_order),
        cmocka_unit_test(test_known_before_strangers_before_suspects),
        cmocka_unit_test(test_blocked_is_refused),
        cmocka_unit_test(test_too_long_a_wait_is_refused_at_once),
        cmocka_unit_test(test_nobody_is_served_after_he_has_gone),
        cmocka_unit_test(test_it_is_learned_how_long_strangers_stay),
        cmocka_unit_test(test_a_crowd_is_led_out_of_step),
        cmocka_unit_test(test_rubbish_does_not_hold_strangers),
        cmocka_unit_test(test_full_queue_drops_the_newest_of_the_least),
        cmocka_unit_test(test_cancel_leaves_no_trace),
        cmocka_unit_test(test_a_slot_goes_to_the_worker_that_is_first),
        cmocka_unit_test(test_a_grant_nobody_uses_comes_back),
        cmocka_unit_test(test_a_dead_workers_share_comes_back),
        cmocka_unit_test(test_strange_areas_are_refused),
        cmocka_unit_test(test_rubbish_in_the_area_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
