/* gate/master_talk.c - what the master tells a role and hears from it: connections to the others,
 * configurations, names of endpoints, orders. */
#include "gate/master.h"

#include "sys/channel.h"

#include <string.h>
#include <unistd.h>

/* ---- channels between the roles */

static void connect_pair(struct child *asker, struct child *server)
{
    struct msg_peer to_asker = {.role = (uint8_t)server->role, .slot = (uint8_t)server->slot};
    struct msg_peer to_server = {.role = (uint8_t)asker->role, .slot = (uint8_t)asker->slot};
    int pair[2];
    if (!asker->channel || !server->channel || channel_pair(pair) < 0)
        return;
    if (msg_peer_send(server->channel, &to_server, pair[1]) < 0 ||
        msg_peer_send(asker->channel, &to_asker, pair[0]) < 0)
        master_say("the %.*s could not be connected to the %.*s", STR_ARG(role_name(asker->role)),
                   STR_ARG(role_name(server->role)));
    close(pair[0]);
    close(pair[1]);
}

static bool serves_workers(const struct child *c)
{
    return c->slot == 0 && (c->role == ROLE_SIGNER || c->role == ROLE_DIALER || c->role == ROLE_FILTER);
}

static bool asks(const struct child *asker, const struct child *server)
{
    if (asker->role == ROLE_OBSERVER)
        return server->role == ROLE_FILTER;
    return asker->role == ROLE_WORKER && serves_workers(server);
}

/* With those that have a configuration already; the others are connected when they get theirs. */
static void connect_to_all(struct child *c)
{
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        struct child *other = &c->master->children[i];
        if (other->generation == 0)
            continue;
        if (asks(c, other))
            connect_pair(c, other);
        else if (asks(other, c))
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
    if (!perimeter_send(c))
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
            child_give_up(c, why);
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
    /* A signer without keys takes those of a change first: the key files of the configuration in force may
     * have been replaced already, and then it could never take them. */
    if (c->role == ROLE_SIGNER && c->generation == 0 && m->change && change_wants(m, c)) {
        if (c->prepared != m->change->generation)
            offer(c, m->change);
        return;
    }
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
        child_give_up(c, "it cannot be reached");
        return;
    }
    c->generation = l->generation;
    if (c->role == ROLE_FILTER && l->config->filter.interface_count)
        listening_tell_filter(c);
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
    if (!msg_hello_decode(bytes, &h) || h.role != c->role || h.slot != c->slot || c->state != CHILD_STARTED ||
        !send_basics(c))
        return false;
    child_is_up(c, h.walls);
    if (c->role == ROLE_COMPILER && !prefilter_compiler_up(c))
        return false;
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
        master_say("the %.*s %u cannot use the configuration in force: %.*s", STR_ARG(role_name(c->role)),
                   c->slot, STR_ARG(why));
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
    const struct loaded_config *l =
        m->change && k.generation == m->change->generation ? m->change : m->current;
    if (!l || l->generation != k.generation)
        return false;
    if (!key_fits(l, &k, why, sizeof why)) {
        c->offered = 0;
        if (l == m->change)
            change_fail(m, str_of(why));
        else
            child_give_up(c, why);
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
    const struct config_upstream *u =
        l && l->generation == a.generation ? upstream_of(l->config, a.endpoint) : NULL;
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
        master_order_done(m, o.id, true,
                          STR("no new connections are taken; the gate ends when the open ones are done"));
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

/* Who is accused late, of what its predecessor did, is not up yet. */
static bool misbehaved_came(struct child *c, struct str bytes)
{
    struct msg_misbehaved b;
    if (!serves_workers(c) || !msg_misbehaved_decode(bytes, &b))
        return false;
    struct child *worker = master_child(c->master, ROLE_WORKER, b.slot);
    if (worker && worker->state == CHILD_UP)
        child_give_up(worker, c->role == ROLE_SIGNER ? "the signer closed their channel for what came over it"
                              : c->role == ROLE_DIALER
                                  ? "the dialer closed their channel for what came over it"
                                  : "the filter closed their channel for what came over it");
    return true;
}

static bool committed_came(struct child *c, struct str bytes)
{
    struct msg_committed m;
    bool may_say = c->role == ROLE_WORKER || c->role == ROLE_FILTER;
    if (!may_say || !msg_committed_decode(bytes, &m) || m.generation > c->generation)
        return false;
    if (m.generation == c->committing)
        c->committing = 0;
    change_settle(c->master);
    return true;
}

static bool take_message(struct child *c, enum msg_number number, struct str bytes)
{
    switch (number) {
    case MSG_HELLO:
        return hello_came(c, bytes);
    case MSG_PREPARED:
        return prepared_came(c, bytes);
    case MSG_COMMITTED:
        return committed_came(c, bytes);
    case MSG_KEY_LOADED:
        return key_loaded_came(c, bytes);
    case MSG_ENDPOINT_ADDRESS:
        return endpoint_address_came(c, bytes);
    case MSG_ORDER:
        return order_came(c, bytes);
    case MSG_MISBEHAVED:
        return misbehaved_came(c, bytes);
    case MSG_OVERDUE:
        return perimeter_overdue_came(c, bytes);
    case MSG_END_ADOPTED:
        return perimeter_end_adopted_came(c, bytes);
    case MSG_COMPILING:
        return prefilter_progress_came(c, bytes);
    case MSG_COMPILED:
        return prefilter_came(c, bytes);
    case MSG_DRAINED: {
        struct msg_drained d;
        return msg_drained_decode(bytes, &d) && d.slot == c->slot; /* its exit follows */
    }
    default:
        return false;
    }
}

bool child_message(void *self, struct channel *channel [[maybe_unused]], struct str bytes, int fd)
{
    struct child *c = self;
    enum msg_number number = msg_welcome(bytes, fd, c->role, ROLE_MASTER);
    if (fd >= 0)
        close(fd); /* nobody sends the master a descriptor */
    if (take_message(c, number, bytes))
        return true;
    master_say("the %.*s %u said what it may not (message %u) and is ended", STR_ARG(role_name(c->role)),
               c->slot, (unsigned)number);
    return false;
}
