/* gate/master_child.c - one role's process: started, heard, replaced when it dies. */
#include "gate/master.h"

#include "sys/channel.h"
#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CHANNEL_QUEUE = 1024,
    RESTART_MIN_MS = 50,
    RESTART_MAX_MS = 5000,
    STABLE_MS = 10'000, /* a role that lived this long is started again at once */
    HELLO_MS = 10'000,
};

static bool message_came(void *self, struct channel *channel, struct str bytes, int fd);
static void channel_gone(void *self, struct channel *channel);
static void exited(struct io *io, uint32_t events);
static void restart_due(struct timer *t);

bool child_needs_config(const struct child *c)
{
    return c->role == ROLE_WORKER || c->role == ROLE_DIALER || c->role == ROLE_OBSERVER;
}

static void set_state(struct child *c, enum child_state state)
{
    c->state = state;
    c->since_wall_ms = loop_wall_us(c->master->loop) / 1000;
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
    }
    return n;
}

static void try_later(struct child *c)
{
    uint64_t lived = loop_now_ms(c->master->loop) - c->started_ms;
    uint64_t wait = c->restarts < 8 ? (uint64_t)RESTART_MIN_MS << c->restarts : RESTART_MAX_MS;
    if (lived >= STABLE_MS)
        wait = 0;
    if (wait > RESTART_MAX_MS)
        wait = RESTART_MAX_MS;
    set_state(c, CHILD_WAITS);
    timer_init(&c->restart, restart_due);
    timer_set(c->master->loop, &c->restart, loop_now_ms(c->master->loop) + wait);
}

void child_start(struct child *c)
{
    struct master *m = c->master;
    char memory[256], *argv[ROLE_ARGV_MAX], *env[] = {NULL};
    struct buf b = buf_over(memory, sizeof memory);
    struct str user = m->current ? m->current->config->gate.user : m->change ? m->change->config->gate.user : STR("polder");
    struct role_start start = {.role = c->role, .slot = c->slot, .user = user, .without = m->without};
    int pair[2], pidfd = -1, fds[8];
    c->started_ms = loop_now_ms(m->loop);
    if (!role_argv(&start, &b, argv) || channel_pair(pair) < 0) {
        try_later(c);
        return;
    }
    pid_t pid = process_start("/proc/self/exe", argv, env, fds, collect_fds(c, pair[1], fds), &pidfd);
    close(pair[1]);
    if (pid < 0) {
        master_say("the %.*s could not be started: %s", STR_ARG(role_name(c->role)), strerror((int)-pid));
        close(pair[0]);
        try_later(c);
        return;
    }
    c->pid = pid;
    c->generation = 0;
    c->prepared = false;
    c->exited = (struct io){.ready = exited, .fd = pidfd};
    c->channel = channel_new(m->loop, pair[0], CHANNEL_QUEUE, (struct channel_events){message_came, channel_gone, c});
    set_state(c, CHILD_STARTED);
    if (!c->channel || loop_add(m->loop, &c->exited, EPOLLIN | EPOLLET) < 0)
        kill(pid, SIGKILL);
    adopt_write_state(m);
}

static void restart_due(struct timer *t)
{
    struct child *c = container_of(t, struct child, restart);
    if (!c->master->stopping)
        child_start(c);
}

void child_stop(struct child *c, uint32_t drain_timeout_ms)
{
    struct msg_stop m = {drain_timeout_ms};
    timer_clear(c->master->loop, &c->restart);
    if (c->state == CHILD_WAITS)
        c->state = CHILD_NONE;
    if (c->state != CHILD_STARTED && c->state != CHILD_UP)
        return;
    set_state(c, CHILD_STOPPING);
    if (!c->channel || msg_stop_send(c->channel, &m, -1) < 0)
        kill(c->pid, SIGTERM);
}

/* ---- channels between the roles */

static void connect_pair(struct child *worker, struct child *other)
{
    struct msg_peer to_worker = {.role = (uint8_t)other->role, .slot = (uint8_t)other->slot};
    struct msg_peer to_other = {.role = ROLE_WORKER, .slot = (uint8_t)worker->slot};
    int pair[2];
    if (worker->state != CHILD_UP || other->state != CHILD_UP || !worker->channel || !other->channel || channel_pair(pair) < 0)
        return;
    if (msg_peer_send(other->channel, &to_other, pair[1]) < 0 || msg_peer_send(worker->channel, &to_worker, pair[0]) < 0)
        master_say("a worker could not be connected to the %.*s", STR_ARG(role_name(other->role)));
    close(pair[0]);
    close(pair[1]);
}

void children_connect(struct master *m, struct child *c)
{
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        struct child *other = &m->children[i];
        bool serves = (other->role == ROLE_SIGNER || other->role == ROLE_DIALER) && other->slot == 0;
        if (c->role == ROLE_WORKER && serves)
            connect_pair(c, other);
        else if (other->role == ROLE_WORKER && (c->role == ROLE_SIGNER || c->role == ROLE_DIALER) && c->slot == 0)
            connect_pair(other, c);
    }
}

/* ---- messages */

static bool send_basics(struct child *c)
{
    struct master *m = c->master;
    struct msg_shared shared = {.size = (uint32_t)m->shared_size};
    if (child_needs_config(c) && msg_shared_send(c->channel, &shared, m->shared_fd) < 0)
        return false;
    if (c->role != ROLE_WORKER)
        return true;
    struct msg_ticket_keys keys = {.keys_len = (uint16_t)(m->ticket_key_count * TICKET_KEY_BYTES)};
    memcpy(keys.keys, m->ticket_keys, keys.keys_len);
    int error = msg_ticket_keys_send(c->channel, &keys, -1);
    explicit_bzero(&keys, sizeof keys);
    return error == 0;
}

/* The roles of the first start all wait for the first change; one that is replaced is given what is in force. */
void child_catch_up(struct child *c)
{
    struct master *m = c->master;
    if (!m->current)
        return;
    bool ok = true;
    if (c->role == ROLE_SIGNER)
        ok = send_keys(c, m->current);
    else if (child_needs_config(c))
        ok = send_configuration(c, m->current);
    if (!ok)
        kill(c->pid, SIGKILL);
}

static void caught_up(struct child *c)
{
    struct msg_commit commit = {c->master->current->generation};
    if (msg_commit_send(c->channel, &commit, -1) < 0) {
        kill(c->pid, SIGKILL);
        return;
    }
    c->generation = commit.generation;
    if (c->role == ROLE_OBSERVER) {
        for (unsigned i = 0; i < CHILDREN_MAX; i++)
            if (c->master->children[i].state != CHILD_NONE)
                master_tell_role(c->master, &c->master->children[i], STR_NONE);
        master_tell_config(c->master);
    }
}

static bool all_said_hello(const struct master *m)
{
    for (unsigned i = 0; i < CHILDREN_MAX; i++)
        if (m->children[i].state == CHILD_STARTED || m->children[i].state == CHILD_WAITS)
            return false;
    return true;
}

static bool hello_came(struct child *c, struct str bytes)
{
    struct msg_hello h;
    struct master *m = c->master;
    if (!msg_hello_decode(bytes, &h) || h.role != c->role || h.slot != c->slot || c->state != CHILD_STARTED || !send_basics(c))
        return false;
    c->walls = h.walls;
    set_state(c, CHILD_UP);
    children_connect(m, c);
    master_tell_role(m, c, STR_NONE);
    if (m->current)
        child_catch_up(c);
    else if (!m->change && all_said_hello(m) && !change_begin(m, 0) && !m->current) {
        m->exit_status = 1;
        master_stop(m, 1);
    }
    return true;
}

static bool prepared_came(struct child *c, struct str bytes)
{
    struct msg_prepared p;
    struct master *m = c->master;
    if (!msg_prepared_decode(bytes, &p))
        return false;
    if (m->change && p.generation == m->change->generation)
        return change_prepared(m, c, &p);
    if (m->current && p.generation == m->current->generation) {
        if (!p.ok)
            return false;
        caught_up(c);
    }
    return true;
}

static bool key_loaded_came(struct child *c, struct str bytes)
{
    struct msg_key_loaded k;
    struct master *m = c->master;
    if (!msg_key_loaded_decode(bytes, &k))
        return false;
    if (m->change && k.generation == m->change->generation)
        return change_key_loaded(m, c, &k);
    if (m->current && k.generation == m->current->generation && ++c->keys_loaded == m->current->config->certificate_count)
        caught_up(c);
    return true;
}

static bool endpoint_address_came(struct child *c, struct str bytes)
{
    struct msg_endpoint_address a;
    struct addr address;
    struct master *m = c->master;
    const struct loaded_config *l = m->current;
    struct child *dialer = master_child(m, ROLE_DIALER, 0);
    if (!msg_endpoint_address_decode(bytes, &a) || !addr_parse((struct str){(const char *)a.address, a.address_len}, &address))
        return false;
    struct msg_resolved r = {.generation = a.generation, .endpoint = a.endpoint, .address_len = a.address_len};
    memcpy(r.address, a.address, a.address_len);
    if (dialer && dialer->channel && msg_resolved_send(dialer->channel, &r, -1) < 0)
        master_say("the dialer did not get a new address");
    for (unsigned i = 0; l && l->generation == a.generation && i < l->config->upstream_count; i++) {
        const struct config_upstream *u = &l->config->upstreams[i];
        if (a.endpoint < u->first_endpoint || a.endpoint >= u->first_endpoint + u->endpoint_count)
            continue;
        const struct config_endpoint *e = &u->endpoints[a.endpoint - u->first_endpoint];
        uint32_t slot = shared_endpoint_find(&m->shared, shared_endpoint_key(u->name, e->host, e->port));
        if (slot != SHARED_NO_SLOT)
            shared_endpoint_set_address(shared_endpoint(&m->shared, slot), &address);
    }
    return true;
}

static bool order_came(struct child *c, struct str bytes)
{
    struct msg_order o;
    struct master *m = c->master;
    struct str error = STR_NONE;
    if (!msg_order_decode(bytes, &o))
        return false;
    switch (o.kind) {
    case ORDER_RELOAD:
        notify_systemd("RELOADING=1");
        change_begin(m, o.id);
        return true;
    case ORDER_DRAIN:
        master_order_done(m, o.id, true, STR("no new connections are taken; the gate ends when the open ones are done"));
        master_stop(m, m->current ? m->current->config->gate.drain_timeout_ms : 1);
        return true;
    case ORDER_UPGRADE:
        if (!adopt_upgrade(m, &error))
            master_order_done(m, o.id, false, error);
        return true;
    default:
        return false;
    }
}

static bool message_came(void *self, struct channel *channel [[maybe_unused]], struct str bytes, int fd)
{
    struct child *c = self;
    switch (msg_welcome(bytes, fd, c->role, ROLE_MASTER)) {
    case MSG_HELLO:
        return hello_came(c, bytes);
    case MSG_PREPARED:
        return prepared_came(c, bytes);
    case MSG_KEY_LOADED:
        return key_loaded_came(c, bytes);
    case MSG_ENDPOINT_ADDRESS:
        return endpoint_address_came(c, bytes);
    case MSG_ORDER:
        return order_came(c, bytes);
    case MSG_DRAINED:
        return true; /* its exit follows */
    default:
        if (fd >= 0)
            close(fd);
        return false;
    }
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

static void exited(struct io *io, uint32_t events [[maybe_unused]])
{
    struct child *c = container_of(io, struct child, exited);
    struct master *m = c->master;
    char memory[128];
    int status = 0;
    if (waitpid(c->pid, &status, WNOHANG) <= 0)
        return;
    struct str how = process_describe_exit(status, memory, sizeof memory);
    bool expected = c->state == CHILD_STOPPING;
    loop_close(m->loop, io);
    channel_free(c->channel);
    c->channel = NULL;
    c->pid = 0;
    if (c->role == ROLE_WORKER)
        shared_worker_reset(&m->shared, c->slot);
    if (!expected)
        master_say("the %.*s %u %.*s; it is started again", STR_ARG(role_name(c->role)), c->slot, STR_ARG(how));
    if (expected || m->stopping) {
        set_state(c, CHILD_NONE);
        master_tell_role(m, c, how);
        master_child_ended(m);
        return;
    }
    if (m->change && child_needs_config(c))
        change_fail(m, STR("a role died while the new configuration was handed out"));
    if (m->stopping)
        return;
    try_later(c);
    c->restarts++;
    master_tell_role(m, c, how);
}
