/* sys/process.c - fork, put the descriptors in place, execute.
 *
 * Between fork and exec only system calls: the child shares nothing with the parent but the pipe that closes
 * by itself when the exec succeeds, and brings the errno when it does not. */
#include "sys/process.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_FD = 3, FDS_MAX = 64 };

struct start {
    const char *path;
    char *const *argv, *const *env;
    const int *fds;
    unsigned fd_count;
    int report_fd; /* where the child writes the errno of what failed */
};

/* Sources may lie anywhere, also where another one has to go: first all move out of the way. */
static int place_fds(const int *fds, unsigned count)
{
    int moved[FDS_MAX];
    for (unsigned i = 0; i < count; i++)
        if ((moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST_FD + (int)count)) < 0)
            return -errno;
    for (unsigned i = 0; i < count; i++)
        if (dup2(moved[i], FIRST_FD + (int)i) < 0) /* the copy is not close-on-exec */
            return -errno;
    return close_range(FIRST_FD + count, ~0u, CLOSE_RANGE_CLOEXEC) ? -errno : 0;
}

/* exec keeps what is ignored and what is blocked; a role starts with neither. */
static int default_signals(void)
{
    const struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &action, NULL); /* KILL, STOP and the C library's own refuse, as they should */
    sigset_t none;
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL) ? -errno : 0;
}

[[gnu::noreturn]] static void run_child(const struct start *s)
{
    int report = fcntl(s->report_fd, F_DUPFD_CLOEXEC, FIRST_FD + (int)s->fd_count);
    int e = report < 0 ? -errno : default_signals();
    if (!e)
        e = place_fds(s->fds, s->fd_count);
    if (!e) {
        execve(s->path, s->argv, s->env);
        e = -errno;
    }
    if (write(report, &e, sizeof e) != sizeof e)
        _exit(126);
    _exit(127);
}

/* No handler of the parent may run in the child, so nothing is delivered until the child has its defaults. */
static pid_t fork_quietly(const struct start *s)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        run_child(s);
    int e = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid < 0 ? -e : pid;
}

/* 0 when the exec succeeded: the pipe closed without a word. */
static int read_report(int fd)
{
    int e = 0;
    ssize_t n;
    do
        n = read(fd, &e, sizeof e);
    while (n < 0 && errno == EINTR);
    return n == sizeof e ? e : 0;
}

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

static pid_t start_and_wait_for_exec(const struct start *s, int pipe_fds[2], int *ret_pidfd)
{
    pid_t pid = fork_quietly(s);
    close(pipe_fds[1]);
    if (pid < 0)
        return pid;
    int e = read_report(pipe_fds[0]);
    int pidfd = e ? -1 : pidfd_open(pid, 0); /* not reaped yet: the number is still its own */
    if (!e && pidfd < 0) {
        e = -errno;
        kill(pid, SIGKILL);
    }
    if (e) {
        reap(pid);
        return e;
    }
    *ret_pidfd = pidfd;
    return pid;
}

pid_t process_start(const char *path, char *const argv[], char *const env[], const int *fds,
                    unsigned fd_count, int *ret_pidfd)
{
    if (fd_count > FDS_MAX)
        return -E2BIG;
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return -errno;
    struct start s = {path, argv, env, fds, fd_count, pipe_fds[1]};
    pid_t pid = start_and_wait_for_exec(&s, pipe_fds, ret_pidfd);
    close(pipe_fds[0]);
    return pid;
}

struct str process_describe_exit(int wait_status, char *memory, size_t cap)
{
    struct buf b = buf_over(memory, cap);
    if (WIFEXITED(wait_status)) {
        buf_printf(&b, "exited with status %d", WEXITSTATUS(wait_status));
    } else if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGSYS) {
        BUF_LIT(&b, "was killed by its sandbox");
    } else if (WIFSIGNALED(wait_status)) {
        const char *name = sigabbrev_np(WTERMSIG(wait_status));
        buf_printf(&b, "was killed by signal %d (%s)", WTERMSIG(wait_status), name ? name : "real-time");
    } else {
        buf_printf(&b, "changed state (%#x)", (unsigned)wait_status);
    }
    return buf_text(&b);
}
