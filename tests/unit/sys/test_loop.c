/* The event loop: edges, closing in the middle of a turn, timers and deferred work in the real clock. */
#include "sys/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Ends a run that would otherwise never end. */
struct guard {
    struct timer timer;
    struct loop *loop;
};

static void guard_fired(struct timer *t)
{
    loop_stop(container_of(t, struct guard, timer)->loop);
}

static void run_for(struct loop *l, uint64_t ms)
{
    struct guard guard = {.loop = l};
    timer_init(&guard.timer, guard_fired);
    loop_refresh_now(l);
    timer_set(l, &guard.timer, loop_now_ms(l) + ms);
    assert_int_equal(loop_run(l), 0);
    timer_clear(l, &guard.timer);
}

static struct loop *new_loop(void)
{
    struct loop *l = loop_new();
    assert_non_null(l);
    return l;
}

/* -- events */

struct end {
    struct io io;
    struct loop *loop;
    int other_fd;
    unsigned calls;
    uint32_t events;
    struct end *victim; /* closed when this one is called */
};

static void end_ready(struct io *io, uint32_t events)
{
    struct end *e = container_of(io, struct end, io);
    e->calls++;
    e->events = events;
    if (e->victim)
        loop_close(e->loop, &e->victim->io);
}

static void end_open(struct end *e, struct loop *l)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *e = (struct end){.io = {.ready = end_ready, .fd = fds[0]}, .loop = l, .other_fd = fds[1]};
    assert_int_equal(loop_add(l, &e->io, EPOLLIN), 0);
}

static void end_poke(const struct end *e)
{
    assert_int_equal(write(e->other_fd, "x", 1), 1);
}

static void end_done(struct end *e)
{
    loop_close(e->loop, &e->io);
    close(e->other_fd);
}

static void test_an_edge_comes_once(void **state)
{
    struct loop *l = new_loop();
    struct end e;
    end_open(&e, l);
    end_poke(&e);
    run_for(l, 50);
    assert_int_equal(e.calls, 1);
    assert_int_equal(e.events, EPOLLIN);
    end_poke(&e); /* still unread, but new */
    run_for(l, 50);
    assert_int_equal(e.calls, 2);
    loop_remove(l, &e.io);
    end_poke(&e);
    run_for(l, 50);
    assert_int_equal(e.calls, 2);
    end_done(&e);
    loop_free(l);
}

static void test_an_io_closed_in_its_turn_gets_no_event(void **state)
{
    struct loop *l = new_loop();
    struct end *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    assert_true(a && b);
    end_open(a, l);
    end_open(b, l);
    a->victim = b;
    b->victim = a;
    end_poke(a);
    end_poke(b);
    run_for(l, 50);
    assert_int_equal(a->calls + b->calls, 1);
    assert_int_equal((a->io.fd < 0) + (b->io.fd < 0), 1);
    end_done(a);
    end_done(b);
    free(a);
    free(b);
    loop_free(l);
}

static void test_closing_itself(void **state)
{
    struct loop *l = new_loop();
    struct end e;
    end_open(&e, l);
    e.victim = &e;
    end_poke(&e);
    run_for(l, 50);
    assert_int_equal(e.calls, 1);
    assert_int_equal(e.io.fd, -1);
    end_done(&e); /* closing twice is fine */
    loop_free(l);
}

/* The open file lives on in another process (here: in a duplicate); its events must not. */
static void test_a_file_that_is_shared_is_forgotten_too(void **state)
{
    struct loop *l = new_loop();
    struct end e;
    end_open(&e, l);
    int elsewhere = dup(e.io.fd);
    assert_true(elsewhere >= 0);
    loop_close(l, &e.io);
    end_poke(&e);
    run_for(l, 50);
    assert_int_equal(e.calls, 0);
    close(elsewhere);
    end_done(&e);
    loop_free(l);
}

static void test_what_epoll_refuses_is_reported(void **state)
{
    struct loop *l = new_loop();
    struct io io = {.ready = end_ready, .fd = open("/dev/null", O_RDONLY | O_CLOEXEC)};
    assert_int_equal(loop_add(l, &io, EPOLLIN), -EPERM);
    loop_close(l, &io);
    loop_free(l);
}

/* More events than one turn takes: all come. */
static void test_many_descriptors(void **state)
{
    enum { COUNT = 400 };
    static struct end ends[COUNT];
    struct loop *l = new_loop();
    for (int i = 0; i < COUNT; i++) {
        end_open(&ends[i], l);
        ends[i].io.is_sole = true;
        end_poke(&ends[i]);
    }
    run_for(l, 50);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(ends[i].calls, 1);
        end_done(&ends[i]);
    }
    loop_free(l);
}

/* -- timers */

struct alarm {
    struct timer timer;
    struct loop *loop;
    uint64_t fired_ms;
    unsigned calls;
    struct alarm *victim; /* cleared and freed when this one fires */
};

static void alarm_fired(struct timer *t)
{
    struct alarm *a = container_of(t, struct alarm, timer);
    a->fired_ms = loop_now_ms(a->loop);
    a->calls++;
    if (a->victim)
        timer_clear(a->loop, &a->victim->timer);
    free(a->victim);
    a->victim = NULL;
}

static void test_timers_fire_once_and_not_early(void **state)
{
    struct loop *l = new_loop();
    struct alarm soon = {.loop = l}, later = {.loop = l}, cleared = {.loop = l};
    uint64_t start_ms = loop_now_ms(l);
    timer_init(&soon.timer, alarm_fired);
    timer_init(&later.timer, alarm_fired);
    timer_init(&cleared.timer, alarm_fired);
    timer_set(l, &soon.timer, start_ms + 5000);
    timer_set(l, &soon.timer, start_ms + 20); /* earlier: counts */
    timer_set(l, &later.timer, start_ms + 20);
    timer_set(l, &later.timer, start_ms + 90); /* later: counts too */
    timer_set(l, &cleared.timer, start_ms + 20);
    timer_clear(l, &cleared.timer);
    timer_clear(l, &cleared.timer);
    run_for(l, 200);
    assert_int_equal(soon.calls, 1);
    assert_in_range(soon.fired_ms, start_ms + 20, start_ms + 89);
    assert_int_equal(later.calls, 1);
    assert_true(later.fired_ms >= start_ms + 90);
    assert_int_equal(cleared.calls, 0);
    assert_false(timer_is_set(&soon.timer));
    loop_free(l);
}

static void test_a_timer_freed_by_another_in_the_same_tick(void **state)
{
    struct loop *l = new_loop();
    struct alarm killer = {.loop = l, .victim = malloc(sizeof(struct alarm))};
    assert_non_null(killer.victim);
    *killer.victim = (struct alarm){.loop = l};
    timer_init(&killer.timer, alarm_fired);
    timer_init(&killer.victim->timer, alarm_fired);
    timer_set(l, &killer.timer, loop_now_ms(l) + 20);
    timer_set(l, &killer.victim->timer, loop_now_ms(l) + 20);
    run_for(l, 60);
    assert_int_equal(killer.calls, 1);
    loop_free(l);
}

static void test_a_moment_that_is_over_fires_soon(void **state)
{
    struct loop *l = new_loop();
    struct alarm a = {.loop = l};
    timer_init(&a.timer, alarm_fired);
    timer_set(l, &a.timer, 0);
    assert_true(timer_is_set(&a.timer));
    run_for(l, 60);
    assert_int_equal(a.calls, 1);
    loop_free(l);
}

/* -- deferred */

struct chore {
    struct deferred deferred;
    struct loop *loop;
    unsigned runs, again;
    const struct end *end; /* must have had its event by then */
};

static void chore_run(struct deferred *d)
{
    struct chore *c = container_of(d, struct chore, deferred);
    c->runs++;
    assert_true(!c->end || c->end->calls == 1);
    if (c->runs <= c->again)
        loop_defer(c->loop, d);
}

static void test_deferred_work_runs_once_after_the_events(void **state)
{
    struct loop *l = new_loop();
    struct end e;
    end_open(&e, l);
    end_poke(&e);
    struct chore once = {.loop = l, .end = &e}, thrice = {.loop = l, .again = 2}, never = {.loop = l};
    deferred_init(&once.deferred, chore_run);
    deferred_init(&thrice.deferred, chore_run);
    deferred_init(&never.deferred, chore_run);
    loop_defer(l, &once.deferred);
    loop_defer(l, &once.deferred);
    loop_defer(l, &thrice.deferred);
    loop_defer(l, &never.deferred);
    loop_undefer(&never.deferred);
    loop_undefer(&never.deferred);
    run_for(l, 50);
    assert_int_equal(once.runs, 1);
    assert_int_equal(thrice.runs, 3);
    assert_int_equal(never.runs, 0);
    end_done(&e);
    loop_free(l);
}

/* -- clock */

struct moment {
    struct deferred deferred;
    struct loop *loop;
    uint64_t at_us;
};

static void moment_run(struct deferred *d)
{
    struct moment *a = container_of(d, struct moment, deferred);
    a->at_us = loop_now_us(a->loop);
    loop_stop(a->loop);
}

static void test_work_deferred_until_a_moment(void **state)
{
    struct loop *l = new_loop();
    struct moment taken_back = {.loop = l}, due = {.loop = l};
    uint64_t due_ms = loop_now_ms(l) + 3;
    deferred_init(&taken_back.deferred, moment_run);
    deferred_init(&due.deferred, moment_run);
    loop_defer_until(l, &taken_back.deferred, due_ms - 2);
    loop_undefer_until(l);
    loop_defer_until(l, &taken_back.deferred, due_ms - 1);
    loop_defer_until(l, &due.deferred, due_ms); /* the last call counts */
    assert_int_equal(loop_run(l), 0);
    assert_true(due.at_us >= due_ms * 1000);
    assert_int_equal(taken_back.at_us, 0);
    loop_free(l);
}

static void test_clocks(void **state)
{
    struct loop *l = new_loop();
    uint64_t before_us = loop_now_us(l);
    assert_int_equal(loop_now_ms(l), before_us / 1000);
    assert_in_range(loop_wall_us(l) / 1'000'000, time(NULL) - 2, time(NULL) + 2);
    usleep(20'000);
    assert_int_equal(loop_now_us(l), before_us);
    loop_refresh_now(l);
    assert_true(loop_now_us(l) >= before_us + 20'000);
    loop_free(l);
    loop_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_edge_comes_once),
        cmocka_unit_test(test_an_io_closed_in_its_turn_gets_no_event),
        cmocka_unit_test(test_closing_itself),
        cmocka_unit_test(test_a_file_that_is_shared_is_forgotten_too),
        cmocka_unit_test(test_what_epoll_refuses_is_reported),
        cmocka_unit_test(test_many_descriptors),
        cmocka_unit_test(test_timers_fire_once_and_not_early),
        cmocka_unit_test(test_a_timer_freed_by_another_in_the_same_tick),
        cmocka_unit_test(test_a_moment_that_is_over_fires_soon),
        cmocka_unit_test(test_deferred_work_runs_once_after_the_events),
        cmocka_unit_test(test_work_deferred_until_a_moment),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
