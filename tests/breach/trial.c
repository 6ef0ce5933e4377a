/* tests/breach/trial.c - a child enters the sandbox and attacks; its parent judges by what is left of it.
 *
 * The child reports in a page shared with its parent, which needs no system call. A child that became another
 * program has lost that page, and shouts into the pipe it has as standard output. */
#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 10'000 };

/* Written by the child, read once it is dead. */
struct report {
    int enter_error, outcome;
    uint32_t walls;
    bool has_entered, has_attacked;
};

/* A process of the same role, with something to steal. */
struct victim {
    pid_t pid;
    int leash; /* it ends when this is closed */
};

static char victim_secret[sizeof ATTACK_SECRET]; /* filled in the victim only; at the same address in all */

static void stdio_replace(int from, int to)
{
    if (dup2(from, to) < 0)
        _exit(1);
}

[[gnu::noreturn]] static void victim_main(const struct sandbox_options *role, int leash, int ready)
{
    struct sandbox_options o = *role;
    uint32_t walls;
    char byte = 'r';
    o.without |= WALL_NET_NAMESPACE; /* nobody asks for its network, and making one takes time */
    stdio_replace(leash, STDIN_FILENO);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); /* Yama, where it is, would do our walls' work */
    if (sandbox_enter(&o, &walls) < 0)
        _exit(1);
    memcpy(victim_secret, ATTACK_SECRET, sizeof ATTACK_SECRET);
    if (write(ready, &byte, 1) != 1)
        _exit(1);
    _exit(read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1);
}

static bool victim_start(struct victim *v, const struct sandbox_options *role)
{
    int leash[2], ready[2];
    char byte;
    if (pipe2(leash, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0)
        return false;
    v->leash = leash[1];
    v->pid = fork();
    if (v->pid == 0) {
        close(leash[1]);
        victim_main(role, leash[0], ready[1]);
    }
    close(leash[0]);
    close(ready[1]);
    bool is_up = v->pid > 0 && read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    return is_up;
}

static void victim_stop(struct victim *v)
{
    if (v->pid <= 0)
        return;
    close(v->leash);
    kill(v->pid, SIGKILL); /* an attack may have stopped it */
    waitpid(v->pid, NULL, 0);
}

[[gnu::noreturn]] static void attacker_main(struct scene *s, const struct attack *attack,
                                            const struct sandbox_options *role, int output,
                                            struct report *report)
{
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    stdio_replace(nowhere, STDIN_FILENO);
    stdio_replace(output, STDOUT_FILENO);
    stdio_replace(nowhere, STDERR_FILENO);
    if (s->world.terminal >= 0 && (setsid() < 0 || ioctl(s->world.terminal, TIOCSCTTY, 0) < 0))
        _exit(1);
    report->enter_error = sandbox_enter(role, &report->walls);
    if (!report->enter_error && role->profile == SANDBOX_RECORDS_AUDIT)
        report->enter_error = sandbox_append_only(report->walls);
    if (report->enter_error)
        _exit(1);
    report->has_entered = true;
    report->outcome = attack_run(str_of(attack->name), &s->world);
    report->has_attacked = true;
    _exit(0);
}

/* True when the child, or the program it became, shouted. Waits until nobody holds the pipe any more. */
static bool listen_for_shout(int pipe_fd, pid_t pid)
{
    char heard[256];
    size_t n = 0;
    struct pollfd wait = {pipe_fd, POLLIN, 0};
    for (;;) {
        int ready = poll(&wait, 1, PATIENCE_MS);
        if (ready <= 0)
            kill(pid, SIGKILL);
        ssize_t more = ready > 0 ? read(pipe_fd, heard + n, sizeof heard - n) : 0;
        if (more <= 0)
            return str_find((struct str){heard, n}, STR(ATTACK_SHOUT)) >= 0;
        n += (size_t)more;
    }
}

static struct trial_result judge(const struct report *report, bool has_shouted, int status)
{
    struct trial_result r = {TRIAL_DIED, 0, report->walls};
    if (report->enter_error)
        return (struct trial_result){TRIAL_NO_SANDBOX, -report->enter_error, 0};
    if (has_shouted || (report->has_attacked && report->outcome == 0))
        r.end = TRIAL_SUCCEEDED;
    else if (report->has_attacked && report->outcome > 0)
        r = (struct trial_result){TRIAL_REFUSED, report->outcome, report->walls};
    else if (report->has_entered && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        r.end = TRIAL_KILLED;
    else if (report->has_entered && WIFEXITED(status) && !report->has_attacked)
        r = (struct trial_result){TRIAL_REFUSED, EPERM, report->walls}; /* another program that had no luck */
    else
        r.detail = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return r;
}

static struct trial_result attack_once(struct scene *s, const struct attack *attack,
                                       const struct sandbox_options *role)
{
    const struct trial_result failed = {TRIAL_NOT_PREPARED, errno, 0};
    int output[2], status = 0;
    struct report *report =
        mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED || pipe2(output, O_CLOEXEC) < 0)
        return failed;
    pid_t pid = fork();
    if (pid == 0)
        attacker_main(s, attack, role, output[1], report);
    close(output[1]);
    bool has_shouted = listen_for_shout(output[0], pid);
    close(output[0]);
    struct trial_result r = failed;
    if (pid > 0 && waitpid(pid, &status, 0) == pid)
        r = judge(report, has_shouted, status);
    munmap(report, sizeof *report);
    return r;
}

struct trial_result trial_run(struct scene *s, const struct attack *attack, enum sandbox_profile profile,
                              uint32_t without)
{
    struct sandbox_options role = {.profile = profile, .fallback_uid = SCENE_UID, .without = without};
    state_folders(&s->state, &role);
    struct trial_result r = {TRIAL_NOT_PREPARED, 0, 0};
    struct victim victim = {0};
    bool is_ready = scene_prepare(s, attack, role.fallback_uid) &&
                    (!(attack->needs & NEEDS_VICTIM) || victim_start(&victim, &role));
    r.detail = errno;
    if (is_ready) {
        s->world.victim = victim.pid;
        s->world.victim_secret = victim_secret;
        r = attack_once(s, attack, &role);
    }
    victim_stop(&victim);
    scene_clear(s);
    return r;
}

bool trial_was_blocked(struct trial_result r)
{
    return r.end == TRIAL_REFUSED || r.end == TRIAL_KILLED;
}

void trial_describe(struct buf *out, struct trial_result r)
{
    static const char *const ends[] = {
        [TRIAL_SUCCEEDED] = "succeeded",
        [TRIAL_REFUSED] = "refused",
        [TRIAL_KILLED] = "killed",
        [TRIAL_DIED] = "died of signal",
        [TRIAL_NO_SANDBOX] = "could not enter the sandbox",
        [TRIAL_NOT_PREPARED] = "could not be prepared",
    };
    buf_printf(out, "%s", ends[r.end]);
    if (r.end == TRIAL_DIED)
        buf_printf(out, " %d", r.detail);
    else if (r.end != TRIAL_SUCCEEDED && r.end != TRIAL_KILLED)
        buf_printf(out, ": %s", strerror(r.detail));
}
