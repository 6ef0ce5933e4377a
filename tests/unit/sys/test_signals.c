/* Signals as events. */
#include "sys/signals.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

struct seen {
    struct loop *loop;
    unsigned usr1, usr2;
};

static void caught(void *self, int number)
{
    struct seen *s = self;
    s->usr1 += number == SIGUSR1;
    s->usr2 += number == SIGUSR2;
    if (s->usr1 && s->usr2)
        loop_stop(s->loop);
}

static void test_signals_arrive_in_the_loop(void **state)
{
    struct seen s = {.loop = loop_new()};
    struct signals *signals = signals_new(s.loop, (const int[]){SIGUSR1, SIGUSR2, 0}, caught, &s);
    assert_non_null(signals);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR2);
    assert_int_equal(s.usr1 + s.usr2, 0); /* only in the loop */
    assert_int_equal(loop_run(s.loop), 0);
    assert_int_equal(s.usr1, 1);
    assert_int_equal(s.usr2, 1);
    kill(getpid(), SIGPIPE); /* ignored: we live */
    signals_free(signals);
    signals_free(NULL);
    loop_free(s.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_signals_arrive_in_the_loop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
