/* tests/breach/attacks_process.c - other processes, more processes, more rights. */
#include "attack_list.h"
#include "base/buf.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECRET_LEN = sizeof ATTACK_SECRET - 1 };

static int secret_outcome(const char *found, ssize_t n)
{
    return attack_outcome(n == SECRET_LEN && memcmp(found, ATTACK_SECRET, SECRET_LEN) == 0);
}

int attack_trace_victim(const struct attack_world *w)
{
    return attack_outcome(ptrace(PTRACE_ATTACH, w->victim, NULL, NULL) == 0);
}

int attack_open_victim_memory(const struct attack_world *w)
{
    char memory[64], found[SECRET_LEN];
    struct buf path = buf_over(memory, sizeof memory);
    buf_printf(&path, "/proc/%d/mem", (int)w->victim);
    buf_char(&path, '\0');
    int fd = open(memory, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return attack_outcome(false);
    return secret_outcome(found, pread(fd, found, SECRET_LEN, (off_t)(uintptr_t)w->victim_secret));
}

int attack_read_victim_memory(const struct attack_world *w)
{
    char found[SECRET_LEN];
    struct iovec here = {found, SECRET_LEN};
    struct iovec there = {w->victim_secret, SECRET_LEN};
    return secret_outcome(found, process_vm_readv(w->victim, &here, 1, &there, 1, 0));
}

int attack_take_victim_descriptor(const struct attack_world *w)
{
    int pidfd = (int)syscall(SYS_pidfd_open, w->victim, 0);
    return attack_outcome(pidfd >= 0 && syscall(SYS_pidfd_getfd, pidfd, STDIN_FILENO, 0) >= 0);
}

int attack_kill_victim(const struct attack_world *w)
{
    return attack_outcome(kill(w->victim, SIGKILL) == 0);
}

int attack_kill_victim_thread(const struct attack_world *w)
{
    return attack_outcome(syscall(SYS_tgkill, w->victim, w->victim, SIGKILL) == 0);
}

int attack_kill_victim_by_pidfd(const struct attack_world *w)
{
    int pidfd = (int)syscall(SYS_pidfd_open, w->victim, 0);
    return attack_outcome(pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0);
}

int attack_starve_victim(const struct attack_world *w)
{
    const struct rlimit none = {0, 0};
    return attack_outcome(prlimit(w->victim, RLIMIT_NOFILE, &none, NULL) == 0);
}

int attack_write_own_code(const struct attack_world *w)
{
    static const char read_only[] = "a page that nobody may write to";
    int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    return attack_outcome(fd >= 0 && pwrite(fd, "A", 1, (off_t)(uintptr_t)read_only) == 1);
}

static int child_outcome(pid_t pid)
{
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return attack_outcome(pid > 0);
}

int attack_fork(const struct attack_world *w)
{
    return child_outcome((pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

int attack_vfork(const struct attack_world *w)
{
    return child_outcome(vfork()); /* NOLINT: the point is this very call */
}

int attack_clone3(const struct attack_world *w)
{
    struct clone_args how = {.exit_signal = SIGCHLD};
    return child_outcome((pid_t)syscall(SYS_clone3, &how, sizeof how));
}

int attack_execute(const struct attack_world *w)
{
    char program[] = "/bin/echo", word[] = ATTACK_SHOUT;
    char *argv[] = {program, word, NULL}, *env[] = {NULL};
    execve(program, argv, env);
    return attack_outcome(false);
}

int attack_execute_memfd(const struct attack_world *w)
{
    char name[] = "echo", word[] = ATTACK_SHOUT, bytes[4096];
    char *argv[] = {name, word, NULL}, *env[] = {NULL};
    ssize_t n = 0;
    int fd = memfd_create("x", 0);
    for (off_t at = 0; fd >= 0 && (n = pread(w->program, bytes, sizeof bytes, at)) > 0; at += n)
        if (write(fd, bytes, (size_t)n) != n)
            return attack_outcome(false);
    if (fd >= 0)
        syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH);
    return attack_outcome(false);
}

int attack_execute_setuid(const struct attack_world *w)
{
    char name[] = "helper";
    char *argv[] = {name, NULL}, *env[] = {NULL};
    execve(w->setuid_program, argv, env);
    return attack_outcome(false);
}

int attack_become_root(const struct attack_world *w)
{
    return attack_outcome(setresuid(0, 0, 0) == 0);
}

int attack_take_capability(const struct attack_world *w)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};
    sets[0].effective = sets[0].permitted = 1U << CAP_SYS_PTRACE | 1U << CAP_NET_RAW;
    return attack_outcome(syscall(SYS_capset, &header, sets) == 0);
}

int attack_become_dumpable(const struct attack_world *w)
{
    return attack_outcome(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
}

int attack_raise_limits(const struct attack_world *w)
{
    const struct rlimit more = {10, 10};
    return attack_outcome(setrlimit(RLIMIT_NPROC, &more) == 0);
}
