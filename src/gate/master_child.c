/* gate/master_child.c - one role's process: started, stopped, replaced when it dies. */
#include "gate/master.h"

#include "base/must.h"
#include "sys/channel.h"
#include "sys/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CHANNEL_QUEUE = 1024,
    RESTART_MIN_MS = 50,
    RESTART_MAX_MS = 5000,
    STABLE_MS = 10'000, /* a role that lived this long died once, not again */
    HELLO_MS = 20'000,
};

static void channel_gone(void *self, struct channel *channel);
static void exited(struct io *io, uint32_t events);
static void restart_due(struct timer *t);
static void hello_overdue(struct timer *t);

bool child_needs_config(const struct child *c)
{
    return c->role == ROLE_WORKER || c->role == ROLE_DIALER || c->role == ROLE_OBSERVER ||
           c->role == ROLE_FILTER;
}

static void set_state(struct child *c, enum child_state state)
{
    c->state = state;
    c->since_wall_ms = loop_wall_us(c->master->loop) / 1000;
}

void child_is_up(struct child *c, uint32_t walls)
{
    timer_clear(c->master->loop, &c->restart);
    c->walls = walls;
    set_state(c, CHILD_UP);
}

/* Descriptors 4 and on, after the channel. */
static unsigned collect_fds(struct child *c, int channel, int *fds)
{
    unsigned n = 0;
    fds[n++] = channel;
    if (c->role == ROLE_OBSERVER) {
        fds[n++] = c->master->control_fd;
        fds[n++] = c->master->management_fd;
        fds[n++] = c->master->access_log_fd;
        fds[n++] = c->master->event_log_fd;
        fds[n++] = c->master->waf_log_fd;
    }
    if (c->role == ROLE_FILTER)
        fds[n++] = c->master->isolation_fd;
    if (c->role == ROLE_COMPILER)
        fds[n++] = prefilter_result_fd(c->master);
    if (c->role == ROLE_WORKER || c->role == ROLE_FILTER) {
        const struct loaded_config *l = c->master->current ? c->master->current : c->master->change;
        must(l); /* nobody is started before there is a configuration */
        fds[n++] = l->bundle_fd;
    }
    return n;
}

#ifdef POLDER_BREACH
/* The last one: the socket that tells this role to attack. */
static unsigned add_breach_fd(const struct child *c, int *fds, unsigned n, struct role_start *start)
{
    const struct master *m = c->master;
    for (unsigned i = 0; i < m->breach_count; i++)
        if (m->breach_fds[i][0] == (int)(ROLE_COUNT * c->slot + c->role)) {
            start->breach_fd = FD_CHANNEL + (int)n;
            fds[n++] = m->breach_fds[i][1];
            break;
        }
    return n;
}
#else
static unsigned add_breach_fd(const struct child *c [[maybe_unused]], int *fds [[maybe_unused]], unsigned n,
                              struct role_start *start [[maybe_unused]])
{
    return n;
}
#endif

/* The first death is made good at once; one that dies again and again is given more and more time. */
static uint64_t next_wait_ms(struct child *c)
{
    bool was_stable = loop_now_ms(c->master->loop) - c->started_ms >= STABLE_MS;
    unsigned n = c->quick_deaths = was_stable ? 0 : c->quick_deaths + 1;
    if (n <= 1)
        return 0;
    uint64_t wait = n < 10 ? (uint64_t)RESTART_MIN_MS << (n - 2) : RESTART_MAX_MS;
    return wait < RESTART_MAX_MS ? wait : RESTART_MAX_MS;
}

static uint64_t try_later(struct child *c)
{
    uint64_t wait = next_wait_ms(c);
    set_state(c, CHILD_WAITS);
    timer_init(&c->restart, restart_due);
    timer_set(c->master->loop, &c->restart, loop_now_ms(c->master->loop) + wait);
    return wait;
}

void child_start(struct child *c)
{
    struct master *m = c->master;
    char memory[256], *argv[ROLE_ARGV_MAX], *env[] = {NULL};
    struct buf b = buf_over(memory, sizeof memory);
    struct str user = m->current  ? m->current->config->gate.user
                      : m->change ? m->change->config->gate.user
                                  : STR("polder");
    struct role_start start = {.role = c->role, .slot = c->slot, .user = user, .without = m->without};
    int pair[2], pidfd = -1, fds[8];
    c->started_ms = loop_now_ms(m->loop);
    if (channel_pair(pair) < 0) {
        try_later(c);
        return;
    }
    unsigned fd_count = add_breach_fd(c, fds, collect_fds(c, pair[1], fds), &start);
    pid_t pid = role_argv(&start, &b, argv)
                    ? process_start("/proc/self/exe", argv, env, fds, fd_count, &pidfd)
                    : -E2BIG;
    close(pair[1]);
    if (pid < 0) {
        master_say("the %.*s could not be started: %s", STR_ARG(role_name(c->role)), strerror((int)-pid));
        close(pair[0]);
        try_later(c);
        return;
    }
    c->pid = pid;
    c->generation = c->offered = c->prepared = 0;
    c->exited = (struct io){.ready = exited, .fd = pidfd};
    c->channel =
        channel_new(m->loop, pair[0], CHANNEL_QUEUE, (struct channel_events){child_message, channel_gone, c});
    set_state(c, CHILD_STARTED);
    timer_init(&c->restart, hello_overdue);
    timer_set(m->loop, &c->restart, loop_now_ms(m->loop) + HELLO_MS);
    if (!c->channel || loop_add(m->loop, &c->exited, EPOLLIN | EPOLLET) < 0)
        kill(pid, SIGKILL);
    adopt_write_state(m);
}

static void restart_due(struct timer *t)
{
    struct child *c = container_of(t, struct child, restart);
    if (!c->master->stopping || master_has_workers(c->master))
        child_start(c);
}

void child_stop(struct child *c, uint32_t drain_timeout_ms)
{
    struct msg_stop m = {drain_timeout_ms};
    if (c->state == CHILD_NONE) /* a place that was never used has no master either */
        return;
    timer_clear(c->master->loop, &c->restart);
    if (c->state == CHILD_WAITS)
        c->state = CHILD_NONE;
    if (c->state != CHILD_STARTED && c->state != CHILD_UP)
        return;
    set_state(c, CHILD_STOPPING);
    if (c->role == ROLE_COMPILER) { /* it listens to nobody before it is done, and nothing is lost with it */
        kill(c->pid, SIGKILL);
        return;
    }
    if (!c->channel || msg_stop_send(c->channel, &m, -1) < 0)
        kill(c->pid, SIGTERM);
}

/* Says why and ends it: it is started again, later and later. */
void child_give_up(struct child *c, const char *why)
{
    master_say("the %.*s %u is ended: %s", STR_ARG(role_name(c->role)), c->slot, why);
    kill(c->pid, SIGKILL);
}

static void hello_overdue(struct timer *t)
{
    child_give_up(container_of(t, struct child, restart), "it does not come up");
}

/* A role that says what it may not, or that closes its channel, is not trusted any further. */
static void channel_gone(void *self, struct channel *channel)
{
    struct child *c = self;
    channel_free(channel);
    c->channel = NULL;
    if (c->state != CHILD_STOPPING && c->pid > 0)
        kill(c->pid, SIGKILL);
}

/* ---- the end of a process */

/* Everybody else's death is made good, also while the last workers drain. */
static bool is_wanted_back(const struct child *c)
{
    struct master *m = c->master;
    if (c->state == CHILD_STOPPING || m->killed)
        return false;
    if (c->role == ROLE_COMPILER)
        return prefilter_wants_compiler_back(m);
    return !m->stopping || (c->role != ROLE_WORKER && master_has_workers(m));
}

static void clear(struct child *c)
{
    timer_clear(c->master->loop, &c->restart);
    loop_close(c->master->loop, &c->exited);
    channel_free(c->channel);
    c->channel = NULL;
    c->pid = 0;
    if (c->role == ROLE_WORKER) {
        shared_worker_reset(&c->master->shared, c->slot);
        perimeter_worker_ended(c->master, c->slot);
    }
}

static void exited(struct io *io, uint32_t events [[maybe_unused]])
{
    struct child *c = container_of(io, struct child, exited);
    struct master *m = c->master;
    char memory[128];
    int status = 0;
    if (waitpid(c->pid, &status, WNOHANG) <= 0)
        return;
    struct str how = process_describe_exit(status, memory, sizeof memory);
    uint64_t had = c->offered ? c->offered : c->prepared;
    clear(c);
    c->committing = 0;
    change_settle(m);
    if (!is_wanted_back(c)) {
        set_state(c, CHILD_NONE);
        master_tell_role(m, c, how);
        master_child_ended(m);
        if (c->role == ROLE_COMPILER)
            prefilter_need(m);
        return;
    }
    c->generation = c->offered = c->prepared = 0;
    c->restarts++;
    uint64_t wait = try_later(c);
    master_say("the %.*s %u %.*s; it is started again in %u ms%s", STR_ARG(role_name(c->role)), c->slot,
               STR_ARG(how), (unsigned)wait,
               c->quick_deaths > 3 ? " (it keeps dying: look above for the reason)" : "");
    master_tell_role(m, c, how);
    if (m->change && (!m->current || had == m->change->generation))
        change_fail(
            m,
            STR("a role died while the new configuration was handed out; the lines above say which and how"));
}
