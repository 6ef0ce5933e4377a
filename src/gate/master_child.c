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
    STABLE_MS = 10'000, /* a role that lived this long died once, not again */
    HELLO_MS = 20'000,
};

static bool message_came(void *self, struct channel *channel, struct str bytes, int fd);
static void channel_gone(void *self, struct channel *channel);
static void exited(struct io *io, uint32_t events);
static void restart_due(struct timer *t);
static void hello_overdue(struct timer *t);

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
    struct str user = m->current ? m->current->config->gate.user : m->change ? m->change->config->gate.user : STR("polder");
    struct role_start start = {.role = c->role, .slot = c->slot, .user = user, .without = m->without};
    int pair[2], pidfd = -1, fds[8];
    c->started_ms = loop_now_ms(m->loop);
    if (channel_pair(pair) < 0) {
        try_later(c);
        return;
    }
    unsigned fd_count = add_breach_fd(c, fds, collect_fds(c, pair[1], fds), &start);
    pid_t pid = role_argv(&start, &b, argv) ? process_start("/proc/self/exe", argv, env, fds, fd_count, &pidfd) : -E2BIG;
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
    c->channel = channel_new(m->loop, pair[0], CHANNEL_QUEUE, (struct channel_events){message_came, channel_gone, c});
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
    if (!c->channel || msg_stop_send(c->channel, &m, -1) < 0)
        kill(c->pid, SIGTERM);
}

/* ---- channels between the roles */

static void connect_pair(struct child *worker, struct child *other)
{
    struct msg_peer to_worker = {.role = (uint8_t)other->role, .slot = (uint8_t)other->slot};
    struct msg_peer to_other = {.role = ROLE_WORKER, .slot = (uint8_t)worker->slot};
    int pair[2];
    if (!worker->channel || !other->channel || channel_pair(pair) < 0)
        return;
    if (msg_peer_send(other->channel, &to_other, pair[1]) < 0 || msg_peer_send(worker->channel, &to_worker, pair[0]) < 0)
        master_say("a worker could not be connected to the %.*s", STR_ARG(role_name(other->role)));
    close(pair[0]);
    close(pair[1]);
}

static bool serves_workers(const struct child *c)
{
    return c->slot == 0 && (c->role == ROLE_SIGNER || c->role == ROLE_DIALER);
}

/* With those that have a configuration already; the others are connected when they get theirs. */
static void connect_to_all(struct child *c)
{
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        struct child *other = &c->master->children[i];
        if (other->generation == 0)
            continue;
        if (c->role == ROLE_WORKER && serves_workers(other))
            connect_pair(c, other);
        else if (other->role == ROLE_WORKER && serves_workers(c))
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

/* ---- configurations */

/* Says why and ends it: it is started again, later and later. */
static void give_up(struct child *c, const char *why)
{
    master_say("the %.*s %u is ended: %s", STR_ARG(role_name(c->role)), c->slot, why);
    kill(c->pid, SIGKILL);
}

static void hello_overdue(struct timer *t)
{
    give_up(container_of(t, struct child, restart), "it does not come up");
}

static void offer_answered(struct child *c);

static void offer(struct child *c, const struct loaded_config *l)
{
    char why[512] = "it cannot be reached";
    bool is_signer = c->role == ROLE_SIGNER;
    c->offered = l->generation;
    if (!(is_signer ? send_keys(c, l, why, sizeof why) : send_configuration(c, l))) {
        c->offered = 0; /* what it answers to a part of it no longer counts */
        if (l == c->master->change)
            change_fail(c->master, str_of(why));
        else
            give_up(c, why);
        return;
    }
    if (is_signer && l->config->certificate_count == 0)
        offer_answered(c);
}

void child_bring_on(struct child *c)
{
    const struct master *m = c->master;
    if (c->state != CHILD_UP || c->offered || !(child_needs_config(c) || c->role == ROLE_SIGNER))
        return;
    if (m->current && c->generation != m->current->generation)
        offer(c, m->current);
    else if (m->change && c->prepared != m->change->generation && change_wants(m, c))
        offer(c, m->change);
}

static void send_resolved(struct child *dialer, const struct loaded_config *l, unsigned endpoint)
{
    struct msg_resolved r = {.generation = l->generation, .endpoint = endpoint};
    struct buf b = buf_over(r.address, sizeof r.address);
    addr_write(&b, &l->resolved[endpoint]);
    r.address_len = (uint16_t)b.n;
    if (msg_resolved_send(dialer->channel, &r, -1) < 0)
        master_say("the dialer did not get a new address");
}

void child_commit(struct child *c, const struct loaded_config *l)
{
    struct msg_commit m = {l->generation};
    bool is_first = c->generation == 0;
    if (!c->channel || msg_commit_send(c->channel, &m, -1) < 0) {
        give_up(c, "it cannot be reached");
        return;
    }
    c->generation = l->generation;
    if (!is_first)
        return;
    for (unsigned i = 0; c->role == ROLE_DIALER && c->slot == 0 && i < l->config->endpoint_count; i++)
        if (l->resolved[i].port)
            send_resolved(c, l, i);
    connect_to_all(c);
    if (c->role == ROLE_OBSERVER)
        master_tell_all(c->master);
}

/* It can use what was offered. */
static void offer_answered(struct child *c)
{
    struct master *m = c->master;
    c->prepared = c->offered;
    c->offered = 0;
    if (m->current && c->prepared == m->current->generation)
        child_commit(c, m->current);
    change_step(m);
    child_bring_on(c);
}

static bool hello_came(struct child *c, struct str bytes)
{
    struct msg_hello h;
    if (!msg_hello_decode(bytes, &h) || h.role != c->role || h.slot != c->slot || c->state != CHILD_STARTED || !send_basics(c))
        return false;
    c->walls = h.walls;
    timer_clear(c->master->loop, &c->restart);
    set_state(c, CHILD_UP);
    master_tell_role(c->master, c, STR_NONE);
    child_bring_on(c);
    return true;
}

static bool prepared_came(struct child *c, struct str bytes)
{
    struct msg_prepared p;
    struct master *m = c->master;
    if (!msg_prepared_decode(bytes, &p) || p.generation != c->offered || c->role == ROLE_SIGNER)
        return false;
    if (p.ok) {
        offer_answered(c);
        return true;
    }
    struct str why = {(const char *)p.error, p.error_len};
    c->offered = 0;
    if (m->change && p.generation == m->change->generation) {
        change_fail(m, why);
        return true;
    }
    if (m->current && p.generation == m->current->generation) {
        master_say("the %.*s %u cannot use the configuration in force: %.*s", STR_ARG(role_name(c->role)), c->slot, STR_ARG(why));
        return false;
    }
    child_bring_on(c); /* it was of a change that is given up by now */
    return true;
}

static bool key_loaded_came(struct child *c, struct str bytes)
{
    struct msg_key_loaded k;
    char why[1024] = "";
    struct master *m = c->master;
    if (!msg_key_loaded_decode(bytes, &k))
        return false;
    if (k.generation != c->offered)
        return true; /* of a change that is given up by now */
    const struct loaded_config *l = m->change && k.generation == m->change->generation ? m->change : m->current;
    if (!l || l->generation != k.generation)
        return false;
    if (!key_fits(l, &k, why, sizeof why)) {
        c->offered = 0;
        if (l == m->change)
            change_fail(m, str_of(why));
        else
            give_up(c, why);
    } else if (++c->keys_loaded == l->config->certificate_count) {
        offer_answered(c);
    }
    return true;
}

/* ---- names of endpoints */

static const struct config_upstream *upstream_of(const struct config *config, unsigned endpoint)
{
    for (unsigned i = 0; i < config->upstream_count; i++) {
        const struct config_upstream *u = &config->upstreams[i];
        if (endpoint >= u->first_endpoint && endpoint - u->first_endpoint < u->endpoint_count)
            return u;
    }
    return NULL;
}

/* Kept here too: a dialer that is replaced must not wait for the next look-up. */
static bool endpoint_address_came(struct child *c, struct str bytes)
{
    struct msg_endpoint_address a;
    struct addr address;
    struct master *m = c->master;
    if (c->slot != 1 || !msg_endpoint_address_decode(bytes, &a) ||
        !addr_parse((struct str){(const char *)a.address, a.address_len}, &address))
        return false;
    struct loaded_config *l = m->change && m->change->generation == a.generation ? m->change : m->current;
    const struct config_upstream *u = l && l->generation == a.generation ? upstream_of(l->config, a.endpoint) : NULL;
    if (!u)
        return true; /* of a configuration that is gone */
    const struct config_endpoint *e = &u->endpoints[a.endpoint - u->first_endpoint];
    if (!e->is_name || address.port != e->port)
        return false;
    l->resolved[a.endpoint] = address;
    struct child *dialer = master_child(m, ROLE_DIALER, 0);
    if (dialer && dialer->channel && (dialer->generation || dialer->prepared == l->generation))
        send_resolved(dialer, l, a.endpoint);
    uint32_t slot = shared_endpoint_find(&m->shared, shared_endpoint_key(u->name, e->host, e->port));
    if (slot != SHARED_NO_SLOT)
        shared_endpoint_set_address(shared_endpoint(&m->shared, slot), &address);
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

static bool take_message(struct child *c, enum msg_number number, struct str bytes)
{
    switch (number) {
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
        return false;
    }
}

static bool message_came(void *self, struct channel *channel [[maybe_unused]], struct str bytes, int fd)
{
    struct child *c = self;
    enum msg_number number = msg_welcome(bytes, fd, c->role, ROLE_MASTER);
    if (fd >= 0)
        close(fd); /* nobody sends the master a descriptor */
    if (take_message(c, number, bytes))
        return true;
    master_say("the %.*s %u said what it may not (message %u) and is ended", STR_ARG(role_name(c->role)), c->slot, (unsigned)number);
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

/* ---- the end of a process */

/* Everybody else's death is made good, also while the last workers drain. */
static bool is_wanted_back(const struct child *c)
{
    const struct master *m = c->master;
    if (c->state == CHILD_STOPPING || m->killed)
        return false;
    return !m->stopping || (c->role != ROLE_WORKER && master_has_workers(m));
}

static void clear(struct child *c)
{
    timer_clear(c->master->loop, &c->restart);
    loop_close(c->master->loop, &c->exited);
    channel_free(c->channel);
    c->channel = NULL;
    c->pid = 0;
    if (c->role == ROLE_WORKER)
        shared_worker_reset(&c->master->shared, c->slot);
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
    if (!is_wanted_back(c)) {
        set_state(c, CHILD_NONE);
        master_tell_role(m, c, how);
        master_child_ended(m);
        return;
    }
    c->generation = c->offered = c->prepared = 0;
    c->restarts++;
    uint64_t wait = try_later(c);
    master_say("the %.*s %u %.*s; it is started again in %u ms%s", STR_ARG(role_name(c->role)), c->slot, STR_ARG(how),
               (unsigned)wait, c->quick_deaths > 3 ? " (it keeps dying: look above for the reason)" : "");
    master_tell_role(m, c, how);
    if (m->change && (!m->current || had == m->change->generation))
        change_fail(m, STR("a role died while the new configuration was handed out; the lines above say which and how"));
}
