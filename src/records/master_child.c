/* records/master_child.c - one role's process: started, stopped, replaced when it dies. */
#include "records/master.h"

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
    HELLO_MS = 60'000,  /* an owner recovers what its predecessor left */
};

static void restart_due(struct timer *t)
{
    struct child *c = container_of(t, struct child, timer);
    if (!c->master->is_stopping)
        child_start(c);
}

static void hello_overdue(struct timer *t)
{
    struct child *c = container_of(t, struct child, timer);
    master_say("the %.*s %u is ended: it does not come up", STR_ARG(role_name(c->role)), c->slot);
    kill(c->pid, SIGKILL);
}

/* At once the first time, then later and later. */
static uint64_t try_later(struct child *c)
{
    uint64_t now = loop_now_ms(c->master->loop), wait = RESTART_MIN_MS;
    c->quick_deaths = now - c->started_ms >= STABLE_MS ? 0 : c->quick_deaths + 1;
    for (unsigned i = 2; i < c->quick_deaths && wait < RESTART_MAX_MS; i++)
        wait *= 2;
    wait = c->quick_deaths <= 1 ? 0 : wait < RESTART_MAX_MS ? wait : RESTART_MAX_MS;
    c->state = CHILD_WAITS;
    timer_init(&c->timer, restart_due);
    timer_set(c->master->loop, &c->timer, now + wait + 1);
    return wait;
}

/* ---- what it says */

static bool hello_came(struct child *c, struct str bytes)
{
    struct msg_hello m;
    if (!msg_hello_decode(bytes, &m) || m.role != c->role || m.slot != c->slot || c->state != CHILD_STARTED)
        return false;
    timer_clear(c->master->loop, &c->timer);
    c->state = CHILD_UP;
    master_child_up(c);
    return true;
}

static bool message_came(void *self, struct channel *channel [[maybe_unused]], struct str bytes, int fd)
{
    struct child *c = self;
    if (msg_welcome(bytes, fd, c->role, ROLE_MASTER) == MSG_HELLO)
        return hello_came(c, bytes);
    if (fd >= 0)
        close(fd);
    return false;
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

/* ---- its life */

static void clear(struct child *c)
{
    timer_clear(c->master->loop, &c->timer);
    loop_close(c->master->loop, &c->exited);
    channel_free(c->channel);
    c->channel = NULL;
    c->pid = 0;
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
    bool was_told = c->state == CHILD_STOPPING;
    clear(c);
    if (was_told || m->is_stopping) {
        c->state = CHILD_NONE;
        master_child_ended(m);
        return;
    }
    uint64_t wait = try_later(c);
    master_say("the %.*s %u %.*s; it is started again in %u ms%s", STR_ARG(role_name(c->role)), c->slot,
               STR_ARG(how), (unsigned)wait,
               c->quick_deaths > 3 ? " (it keeps dying: look above for the reason)" : "");
}

void child_start(struct child *c)
{
    struct master *m = c->master;
    char memory[256], *argv[PROCESS_ARGV_MAX], *env[] = {NULL};
    struct buf b = buf_over(memory, sizeof memory);
    struct process_start start = {c->role, c->slot, m->config->records.user};
    int pair[2], pidfd = -1;
    c->started_ms = loop_now_ms(m->loop);
    if (channel_pair(pair) < 0) {
        try_later(c);
        return;
    }
    const int fds[] = {pair[1], m->bundle_fd};
    pid_t pid =
        process_argv(&start, &b, argv) ? process_start("/proc/self/exe", argv, env, fds, 2, &pidfd) : -E2BIG;
    close(pair[1]);
    if (pid < 0) {
        master_say("the %.*s could not be started: %s", STR_ARG(role_name(c->role)), strerror((int)-pid));
        close(pair[0]);
        try_later(c);
        return;
    }
    c->pid = pid;
    c->state = CHILD_STARTED;
    c->exited = (struct io){.ready = exited, .fd = pidfd};
    c->channel =
        channel_new(m->loop, pair[0], CHANNEL_QUEUE, (struct channel_events){message_came, channel_gone, c});
    timer_init(&c->timer, hello_overdue);
    timer_set(m->loop, &c->timer, c->started_ms + HELLO_MS);
    if (!c->channel || loop_add(m->loop, &c->exited, EPOLLIN) < 0)
        kill(pid, SIGKILL);
}

void child_stop(struct child *c, uint32_t drain_ms)
{
    struct msg_stop m = {drain_ms};
    if (c->state == CHILD_WAITS) {
        timer_clear(c->master->loop, &c->timer);
        c->state = CHILD_NONE;
    }
    if (c->state != CHILD_STARTED && c->state != CHILD_UP)
        return;
    timer_clear(c->master->loop, &c->timer);
    c->state = CHILD_STOPPING;
    if (!c->channel || msg_stop_send(c->channel, &m, -1) < 0)
        kill(c->pid, SIGTERM);
}
