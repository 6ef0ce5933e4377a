/* Starting a process: descriptors in their places, nothing else inherited, failures told. */
#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char *no_env[] = {NULL};

struct pipe {
    int read_fd, write_fd;
};

static struct pipe pipe_new(void)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    return (struct pipe){fds[0], fds[1]};
}

/* All that comes until the last writer is gone. */
static struct str pipe_finish(struct pipe p, char *memory, size_t cap)
{
    size_t n = 0;
    ssize_t got;
    close(p.write_fd);
    while (n < cap && (got = read(p.read_fd, memory + n, cap - n)) > 0)
        n += (size_t)got;
    close(p.read_fd);
    return (struct str){memory, n};
}

static int shell(const char *script, char *const env[], const int *fds, unsigned fd_count)
{
    char name[] = "sh", option[] = "-c";
    char *copy = strdup(script);
    char *argv[] = {name, option, copy, NULL};
    int pidfd = -1, status;
    pid_t pid = process_start("/bin/sh", argv, env, fds, fd_count, &pidfd);
    free(copy);
    assert_true(pid > 0);
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, 5000), 1); /* the pidfd tells the end */
    close(pidfd);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void assert_shell_says(const char *script, char *const env[], const char *expected)
{
    char memory[1024];
    struct pipe p = pipe_new();
    assert_int_equal(shell(script, env, &p.write_fd, 1), 0);
    struct str said = pipe_finish(p, memory, sizeof memory);
    assert_int_equal(said.n, strlen(expected));
    assert_memory_equal(said.p, expected, said.n);
}

static void test_only_what_was_given_is_open(void **state)
{
    int stray = fcntl(STDOUT_FILENO, F_DUPFD, 20); /* without close-on-exec */
    assert_true(stray >= 20);
    assert_shell_says("for f in 4 5 6 7 8 9; do (true >&$f) 2>/dev/null && echo $f >&3; done; "
                      "test -e /proc/$$/fd/20 && echo stray >&3; echo done >&3",
                      no_env, "done\n");
    close(stray);
}

/* Out of the way of the low numbers, which the test below fills. */
static struct pipe pipe_new_high(void)
{
    struct pipe low = pipe_new();
    struct pipe high = {fcntl(low.read_fd, F_DUPFD_CLOEXEC, 40), fcntl(low.write_fd, F_DUPFD_CLOEXEC, 40)};
    assert_true(high.read_fd >= 40 && high.write_fd >= 40);
    close(low.read_fd);
    close(low.write_fd);
    return high;
}

/* The sources stand exactly where others have to go: 3, 4, 5 hold what must become 4, 5, 3. */
static void test_descriptors_that_cross(void **state)
{
    char memory[16];
    struct pipe p[3] = {pipe_new_high(), pipe_new_high(), pipe_new_high()};
    int fds[3];
    for (int i = 0; i < 3; i++)
        fds[(i + 1) % 3] = dup2(p[(i + 1) % 3].write_fd, 3 + i);
    assert_int_equal(shell("echo 0 >&3; echo 1 >&4; echo 2 >&5", no_env, fds, 3), 0);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    for (int i = 0; i < 3; i++) {
        struct str said = pipe_finish(p[i], memory, sizeof memory);
        assert_int_equal(said.n, 2);
        assert_int_equal(said.p[0], '0' + i);
    }
}

static void test_one_descriptor_in_two_places(void **state)
{
    char memory[16];
    struct pipe p = pipe_new();
    const int fds[] = {p.write_fd, p.write_fd};
    assert_int_equal(shell("echo a >&3; echo b >&4", no_env, fds, 2), 0);
    assert_true(str_eq(pipe_finish(p, memory, sizeof memory), STR("a\nb\n")));
}

static void test_the_environment_is_what_was_given(void **state)
{
    char variable[] = "POLDER_TEST=1";
    char *env[] = {variable, NULL};
    setenv("POLDER_LEAK", "1", 1);
    assert_shell_says("echo \"$POLDER_TEST$POLDER_LEAK\" >&3", env, "1\n");
}

static void test_signals_are_at_their_defaults(void **state)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    assert_shell_says(
        /* 32 and 33 are the C library's own: make leaves them ignored, and sigaction() refuses to touch them.
         */
        "while read -r name value; do case $name in SigBlk:|SigIgn:) echo $((0x$value & ~0x180000000)) >&3;; "
        "esac; done"
        " </proc/$$/status",
        no_env, "0\n0\n");
    sigset_t now;
    sigprocmask(SIG_UNBLOCK, &set, &now);
    assert_true(sigismember(&now, SIGUSR1)); /* ours is as it was */
    assert_false(sigismember(&now, SIGTERM));
}

static void test_an_exec_that_fails_is_told(void **state)
{
    char name[] = "x";
    char *argv[] = {name, NULL};
    int pidfd = -7;
    assert_int_equal(process_start("/nonexistent/program", argv, no_env, NULL, 0, &pidfd), -ENOENT);
    assert_int_equal(process_start("/etc/passwd", argv, no_env, NULL, 0, &pidfd), -EACCES);
    const int closed_fd = 999;
    assert_int_equal(process_start("/bin/true", argv, no_env, &closed_fd, 1, &pidfd), -EBADF);
    static const int fds[100];
    assert_int_equal(process_start("/bin/true", argv, no_env, fds, 100, &pidfd), -E2BIG);
    assert_int_equal(pidfd, -7);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left to reap */
    assert_int_equal(errno, ECHILD);
}

static void assert_described(const char *script, const char *expected)
{
    char memory[64];
    struct str text = process_describe_exit(shell(script, no_env, NULL, 0), memory, sizeof memory);
    assert_true(str_eq(text, str_of(expected)));
}

static void test_ends_are_described(void **state)
{
    assert_described("exit 3", "exited with status 3");
    assert_described("kill -9 $$", "was killed by signal 9 (KILL)");
    assert_described("kill -31 $$", "was killed by its sandbox");
    assert_described("kill -40 $$", "was killed by signal 40 (real-time)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_was_given_is_open),
        cmocka_unit_test(test_descriptors_that_cross),
        cmocka_unit_test(test_one_descriptor_in_two_places),
        cmocka_unit_test(test_the_environment_is_what_was_given),
        cmocka_unit_test(test_signals_are_at_their_defaults),
        cmocka_unit_test(test_an_exec_that_fails_is_told),
        cmocka_unit_test(test_ends_are_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
