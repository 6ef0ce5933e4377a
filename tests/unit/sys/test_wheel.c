/* The timing wheel against the plainest model there is: an array of moments. loop.c is taken in whole, so
 * that the clock is the test's own and hours pass at once. */
#include "sys/loop.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { TIMERS = 64, STEPS = 200'000 };

struct subject {
    struct timer timer;
    uint64_t due_ms; /* what the model says; 0: not set */
    bool fired;
};

static struct subject subjects[TIMERS];
static unsigned fired_total;
static uint64_t random_state;

static uint64_t random_below(uint64_t n)
{
    random_state = random_state * 6364136223846793005 + 1442695040888963407;
    return (random_state >> 33) % n;
}

static void fired(struct timer *t)
{
    container_of(t, struct subject, timer)->fired = true;
    fired_total++;
}

static struct loop *loop_at(uint64_t now_ms)
{
    struct loop *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->epoll_fd = -1;
    l->now_ms = now_ms;
    list_init(&l->deferred);
    wheel_init(&l->wheel, now_ms);
    for (unsigned i = 0; i < TIMERS; i++) {
        subjects[i] = (struct subject){0};
        timer_init(&subjects[i].timer, fired);
    }
    return l;
}

static void assert_bitmap_tells_the_truth(const struct wheel *w)
{
    for (unsigned word = 0; word < WORDS; word++) {
        for (unsigned bit = 0; bit < WORD_BITS; bit++)
            assert_int_equal(w->words[word] >> bit & 1, !list_is_empty(&w->slots[word * WORD_BITS + bit]));
        assert_int_equal(w->summary >> word & 1, w->words[word] != 0);
    }
}

/* Near, around the end of a round, and rounds away. */
static uint64_t random_delay_ms(void)
{
    static const uint64_t ranges[] = {2, 40, 5'000, 70'000, 400'000};
    return random_below(ranges[random_below(5)]);
}

static void change_one(struct loop *l)
{
    struct subject *s = &subjects[random_below(TIMERS)];
    if (random_below(4) == 0) {
        timer_clear(l, &s->timer);
        s->due_ms = 0;
    } else {
        s->due_ms = l->now_ms + random_delay_ms();
        timer_set(l, &s->timer, s->due_ms);
    }
}

/* Never before its time; at the latest when two ticks are over (one of rounding, one that was under way). */
static void assert_fired_in_time(struct loop *l, struct subject *s)
{
    if (s->fired) {
        assert_true(s->due_ms != 0 && s->due_ms <= l->now_ms);
        assert_false(timer_is_set(&s->timer));
        s->due_ms = 0;
        s->fired = false;
    } else if (s->due_ms) {
        assert_true(s->due_ms + 2 * TICK_MS > l->now_ms);
        assert_true(timer_is_set(&s->timer));
    }
}

/* As loop_run does: sleeps no longer than the wheel says, sometimes less because an event came. */
static void sleep_a_while(struct loop *l)
{
    int ms = wait_ms(l);
    uint64_t most = ms < 0 ? 1000 : (uint64_t)ms;
    l->now_ms += random_below(3) ? most : random_below(most + 1);
    fire_timers(l);
}

static void test_against_the_model(void **state)
{
    struct loop *l = loop_at(123'456'789);
    random_state = 1;
    fired_total = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        if (random_below(2))
            change_one(l);
        sleep_a_while(l);
        for (unsigned i = 0; i < TIMERS; i++)
            assert_fired_in_time(l, &subjects[i]);
        if (step % 1000 == 0)
            assert_bitmap_tells_the_truth(&l->wheel);
    }
    assert_true(fired_total > STEPS / 10); /* the test did see timers */
    free(l);
}

static void test_pushing_forward_leaves_the_wheel_alone(void **state)
{
    struct loop *l = loop_at(16'000);
    struct timer *t = &subjects[0].timer;
    timer_set(l, t, 16'100);
    uint64_t queued_ms = t->queued_ms;
    for (uint64_t due_ms = 16'100; due_ms < 80'000; due_ms += 777) {
        timer_set(l, t, due_ms);
        assert_int_equal(t->queued_ms, queued_ms);
    }
    timer_set(l, t, 16'050);
    assert_true(t->queued_ms < queued_ms);
    free(l);
}

static void test_the_wait_ends_at_the_next_timer(void **state)
{
    struct loop *l = loop_at(16'000);
    assert_int_equal(wait_ms(l), -1);
    timer_set(l, &subjects[0].timer, 16'000 + 1'000);
    timer_set(l, &subjects[1].timer, 16'000 + 3'600'000);
    assert_in_range(wait_ms(l), 1'000, 1'000 + TICK_MS);
    timer_clear(l, &subjects[0].timer);
    assert_in_range(wait_ms(l), 1'000 + TICK_MS, SLOTS * TICK_MS); /* one round, then it looks again */
    timer_clear(l, &subjects[1].timer);
    assert_int_equal(wait_ms(l), -1);
    free(l);
}

/* A loop without timers may sleep for hours; the wheel is that far behind when the first event sets one. */
static void test_a_timer_set_after_a_long_sleep(void **state)
{
    struct loop *l = loop_at(16'000);
    l->now_ms += 36'000'000;
    subjects[0].due_ms = l->now_ms + 500;
    timer_set(l, &subjects[0].timer, subjects[0].due_ms);
    fire_timers(l);
    assert_false(subjects[0].fired);
    assert_in_range(wait_ms(l), 484, 516);
    l->now_ms += 516;
    fire_timers(l);
    assert_true(subjects[0].fired);
    free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_the_model),
        cmocka_unit_test(test_pushing_forward_leaves_the_wheel_alone),
        cmocka_unit_test(test_the_wait_ends_at_the_next_timer),
        cmocka_unit_test(test_a_timer_set_after_a_long_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
