/* Unit tests of sys/sandbox: the names, and that no role is hindered in its lawful work. What the walls hold
 * off is shown by tests/breach. */
#include "sys/sandbox.h"

#include "lawful.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEST_UID = 64001 };

static struct sandbox_options role(enum sandbox_profile profile)
{
    return (struct sandbox_options){profile, STR("no-such-user-here"), TEST_UID, 0};
}

/* Runs `work` inside and returns how the child ended. */
static int status_inside(struct sandbox_options o, const char *(*work)(struct lawful *))
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        struct lawful l = {0};
        uint32_t walls;
        const char *failed = lawful_prepare(&l);
        if (o.profile == SANDBOX_DIALER)
            sandbox_warm_resolver();
        if (!failed && sandbox_enter(&o, &walls) != 0)
            failed = "sandbox_enter";
        if (!failed)
            failed = work(&l);
        if (failed)
            fprintf(stderr, "failed: %s\n", failed);
        _exit(failed ? 1 : 0);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    return status;
}

static void every_wall_has_a_name(void **state)
{
    for (unsigned i = 0; i < WALL_COUNT; i++) {
        enum sandbox_wall wall = (enum sandbox_wall)(1U << i), found;
        assert_true(sandbox_wall_named(sandbox_wall_name(wall), &found));
        assert_int_equal(found, wall);
    }
}

static void unknown_names_are_no_walls(void **state)
{
    enum sandbox_wall found;
    assert_false(sandbox_wall_named(STR("moat"), &found));
    assert_false(sandbox_wall_named(STR(""), &found));
}

static void newer_walls_say_what_they_need(void **state)
{
    assert_true(sandbox_wall_missing(WALL_LANDLOCK_NET).n > 0);
    assert_true(sandbox_wall_missing(WALL_LANDLOCK_SCOPE).n > 0);
    assert_true(sandbox_wall_missing(WALL_NET_NAMESPACE).n > 0);
}

static void lawful_work_is_let(void **state)
{
    assert_int_equal(status_inside(role(SANDBOX_WORKER), lawful_worker), 0);
    assert_int_equal(status_inside(role(SANDBOX_SIGNER), lawful_signer), 0);
    assert_int_equal(status_inside(role(SANDBOX_OBSERVER), lawful_observer), 0);
    assert_int_equal(status_inside(role(SANDBOX_DIALER), lawful_dialer), 0);
    assert_int_equal(status_inside(role(SANDBOX_FILTER), lawful_common), 0);
}

static const char *abort_here(struct lawful *l)
{
    abort();
}

static void a_failed_assertion_shows_as_abort(void **state)
{
    int status = status_inside(role(SANDBOX_WORKER), abort_here);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static const char *open_a_socket(struct lawful *l)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? NULL : "socket";
}

/* Of a child that leaves out what `without` says: the walls it stands behind. */
static uint32_t walls_of_child(uint32_t without)
{
    int pipe_fds[2], status = -1;
    uint32_t walls = 0;
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sandbox_options o = role(SANDBOX_WORKER);
        o.without = without;
        _exit(sandbox_enter(&o, &walls) == 0 && write(pipe_fds[1], &walls, sizeof walls) > 0 ? 0 : 1);
    }
    close(pipe_fds[1]);
    assert_int_equal(read(pipe_fds[0], &walls, sizeof walls), sizeof walls);
    close(pipe_fds[0]);
    assert_true(waitpid(pid, &status, 0) == pid && status == 0);
    return walls;
}

static void a_call_that_is_not_listed_kills(void **state)
{
    int status = status_inside(role(SANDBOX_WORKER), open_a_socket);
    if (walls_of_child(0) & WALL_SECCOMP)
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    else
        skip();
}

static void walls_can_be_left_out_in_breach_builds_only(void **state)
{
#ifdef POLDER_BREACH
    assert_false(walls_of_child(WALL_SECCOMP) & WALL_SECCOMP);
#else
    assert_int_equal(walls_of_child(UINT32_MAX), walls_of_child(0));
#endif
}

static const char *nothing(struct lawful *l)
{
    return NULL;
}

static void no_role_runs_as_root(void **state)
{
    struct sandbox_options as_root = {SANDBOX_WORKER, STR("root"), TEST_UID, 0};
    struct sandbox_options no_fallback = {SANDBOX_WORKER, STR("no-such-user-here"), 0, 0};
    if (geteuid() != 0 || !(walls_of_child(0) & WALL_USER)) /* coverage builds keep their user */
        skip();
    assert_int_not_equal(status_inside(as_root, nothing), 0);
    assert_int_not_equal(status_inside(no_fallback, nothing), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_wall_has_a_name),
        cmocka_unit_test(unknown_names_are_no_walls),
        cmocka_unit_test(newer_walls_say_what_they_need),
        cmocka_unit_test(lawful_work_is_let),
        cmocka_unit_test(a_failed_assertion_shows_as_abort),
        cmocka_unit_test(a_call_that_is_not_listed_kills),
        cmocka_unit_test(walls_can_be_left_out_in_breach_builds_only),
        cmocka_unit_test(no_role_runs_as_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
