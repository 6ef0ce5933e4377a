/* Functions that stop in the middle and go on: order, many at once, dropped ones, a stack that is too small.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sys/fiber.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK = 64 * 1024, MANY = 50 };

struct work {
    struct fiber *fiber;
    unsigned steps, done;
    unsigned left;
};

static void step_by_step(void *context)
{
    struct work *w = context;
    volatile char kept[1000];
    for (size_t i = 0; i < sizeof kept; i++)
        kept[i] = (char)i;
    for (w->done = 0; w->done < w->steps; w->done++)
        fiber_pause(w->fiber);
    for (size_t i = 0; i < sizeof kept; i++)
        assert_int_equal(kept[i], (char)i);
    w->left++;
}

static void test_goes_on_where_it_paused(void **)
{
    struct work w = {.fiber = fiber_new(STACK), .steps = 3};
    assert_non_null(w.fiber);
    for (unsigned round = 0; round < 2; round++) { /* a fiber is used again */
        fiber_set(w.fiber, step_by_step, &w);
        for (unsigned i = 0; i < 3; i++) {
            assert_false(fiber_run(w.fiber));
            assert_int_equal(w.done, i);
        }
        assert_int_equal(w.left, round);
        assert_true(fiber_run(w.fiber));
        assert_int_equal(w.left, round + 1);
    }
    fiber_free(w.fiber);
}

static void test_many_take_turns(void **)
{
    struct work w[MANY];
    unsigned over = 0;
    for (unsigned i = 0; i < MANY; i++) {
        w[i] = (struct work){.fiber = fiber_new(STACK), .steps = i};
        assert_non_null(w[i].fiber);
        fiber_set(w[i].fiber, step_by_step, &w[i]);
    }
    for (unsigned turn = 0; turn < MANY; turn++)
        for (unsigned i = turn; i < MANY; i++) {
            bool is_over = fiber_run(w[i].fiber);
            assert_int_equal(is_over, i == turn);
            over += is_over;
        }
    assert_int_equal(over, MANY);
    for (unsigned i = 0; i < MANY; i++)
        fiber_free(w[i].fiber);
}

/* Its client went away: the function is never gone on with, and the stack serves the next one. */
static void test_a_paused_one_is_dropped(void **)
{
    struct work w = {.fiber = fiber_new(STACK), .steps = 5};
    for (unsigned i = 0; i < 100; i++) {
        fiber_set(w.fiber, step_by_step, &w);
        assert_false(fiber_run(w.fiber));
        assert_false(fiber_run(w.fiber));
    }
    assert_int_equal(w.left, 0);
    fiber_set(w.fiber, step_by_step, &w);
    while (!fiber_run(w.fiber))
        ;
    assert_int_equal(w.left, 1);
    fiber_set(w.fiber, step_by_step, &w); /* set and never run */
    fiber_free(w.fiber);
    w.fiber = fiber_new(STACK);
    fiber_set(w.fiber, step_by_step, &w);
    assert_false(fiber_run(w.fiber));
    fiber_free(w.fiber); /* paused */
    fiber_free(NULL);
}

[[gnu::noinline]] static unsigned fall(unsigned depth, char *from)
{
    char here[4096];
    memset(here, (int)depth, sizeof here);
    if (from)
        here[0] ^= from[7];
    return depth == 0 ? 0 : fall(depth - 1, here) + (unsigned char)here[5];
}

static void fall_deep(void *context)
{
    *(volatile unsigned *)context = fall(1000, NULL);
}

/* The page below the stack ends who runs over it, rather than whatever lies there. */
static void test_a_stack_that_is_too_small(void **)
{
    unsigned result;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGSEGV, SIG_DFL);
        struct fiber *f = fiber_new(STACK);
        close(STDERR_FILENO);
        fiber_set(f, fall_deep, &result);
        fiber_run(f);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on_where_it_paused),
        cmocka_unit_test(test_many_take_turns),
        cmocka_unit_test(test_a_paused_one_is_dropped),
        cmocka_unit_test(test_a_stack_that_is_too_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
