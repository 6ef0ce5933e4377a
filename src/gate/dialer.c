/* gate/dialer.c - the dialer's process: opens connections to configured endpoints and hands them to the
 * workers.
 *
 * Slot 0 dials. Slot 1, started only when an endpoint is written as a name, resolves: looking a name up can
 * take seconds, and nobody's connection waits for that. What it finds goes through the master to slot 0. Only
 * a name that was never found yet makes its askers wait: in the list `waiting`, until it is found or they
 * give up by themselves. */
#include "base/must.h"
#include "gate/role_process.h"

#include "config/config.h"
#include "proxy/shared.h"
#include "sys/channel.h"
#include "sys/net.h"
#include "sys/shm.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 64, PEER_QUEUE = 16384, GENERATIONS = 4, BUNDLE_LIMIT = 64 << 20, ERRORS_BYTES = 1 << 16 };
enum { WAITING_MAX = 1024, ADDRESSES_MAX = 16, TRY_MS = 500, UNRESOLVED_RETRY_MS = 1000 };

struct dialer;

struct asker {
    struct dialer *dialer;
    struct channel *channel;
};

struct known {           /* a configuration: the newest few, since workers may still ask for an older one */
    uint64_t generation; /* 0: free */
    struct str bundle;
    struct config *config;
    struct addr *addresses; /* by endpoint; port 0: not known yet */
};

struct waiting {   /* for an address */
    unsigned slot; /* the asker's */
    struct msg_dial what;
};

struct dialer {
    struct role_process process;
    struct asker askers[SLOTS];
    struct known known[GENERATIONS];
    struct timer resolve_timer;
    struct waiting waiting[WAITING_MAX];
    unsigned waiting_count;
};

static struct known *find(struct dialer *d, uint64_t generation)
{
    for (unsigned i = 0; i < GENERATIONS; i++)
        if (d->known[i].generation == generation)
            return &d->known[i];
    return NULL;
}

static void forget(struct known *k)
{
    if (k->generation == 0)
        return;
    config_free(k->config);
    shm_unmap_sealed(k->bundle);
    free(k->addresses);
    *k = (struct known){0};
}

/* ---- dialing */

static int dial(struct dialer *d, const struct msg_dial *m)
{
    struct known *k = m->generation ? find(d, m->generation) : NULL; /* 0 is a free place */
    int fd;
    if (!k || m->endpoint >= k->config->endpoint_count)
        return -EINVAL;
    if (k->addresses[m->endpoint].port == 0)
        return -EDESTADDRREQ;
    int error = net_connect_start(&k->addresses[m->endpoint], &fd);
    return error < 0 ? error : fd;
}

/* 0, or what msg_dialed_send says. */
static int answer(struct channel *channel, uint64_t id, int conn)
{
    struct msg_dialed m = {.id = id, .error = conn < 0 ? (uint32_t)-conn : 0};
    int error = msg_dialed_send(channel, &m, conn < 0 ? -1 : conn);
    if (conn >= 0)
        close(conn);
    return error;
}

static bool asked(void *self, struct channel *channel, struct str bytes, int fd)
{
    struct asker *a = self;
    struct dialer *d = a->dialer;
    unsigned slot = (unsigned)(a - d->askers);
    struct msg_dial m;
    if (msg_welcome(bytes, fd, ROLE_WORKER, ROLE_DIALER) != MSG_DIAL || !msg_dial_decode(bytes, &m)) {
        if (fd >= 0)
            close(fd);
        role_process_accuse(&d->process, slot);
        return false;
    }
    int conn = dial(d, &m);
    if (conn == -EDESTADDRREQ && d->waiting_count < WAITING_MAX) {
        d->waiting[d->waiting_count++] = (struct waiting){slot, m};
        return true;
    }
    int error = answer(channel, m.id, conn);
    if (error == -ENOBUFS)
        role_process_accuse(&d->process, slot);
    return error == 0;
}

/* An address was found, or a configuration is gone. */
static void dial_waiting(struct dialer *d)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < d->waiting_count; i++) {
        struct waiting w = d->waiting[i];
        struct channel *channel = d->askers[w.slot].channel;
        int conn = channel ? dial(d, &w.what) : -EPIPE;
        if (conn == -EDESTADDRREQ)
            d->waiting[kept++] = w;
        else if (channel && answer(channel, w.what.id, conn) < 0)
            continue; /* its queue is full: it gives up by itself */
    }
    d->waiting_count = kept;
}

static void forget_waiting(struct dialer *d, unsigned slot)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < d->waiting_count; i++)
        if (d->waiting[i].slot != slot)
            d->waiting[kept++] = d->waiting[i];
    d->waiting_count = kept;
}

static void asker_gone(void *self, struct channel *channel)
{
    struct asker *a = self;
    channel_free(channel);
    a->channel = NULL;
    forget_waiting(a->dialer, (unsigned)(a - a->dialer->askers));
}

static bool take_peer(struct dialer *d, struct str bytes, int fd)
{
    struct msg_peer m;
    if (!msg_peer_decode(bytes, &m) || m.role != ROLE_WORKER || m.slot >= SLOTS) {
        close(fd);
        return false;
    }
    struct asker *a = &d->askers[m.slot];
    channel_free(a->channel);
    forget_waiting(d, m.slot);
    a->dialer = d;
    a->channel = channel_new(d->process.loop, fd, PEER_QUEUE, (struct channel_events){asked, asker_gone, a});
    return a->channel != NULL;
}

/* ---- configurations */

/* Addresses that an older configuration already knew for the same name are kept until they are looked up
 * anew. */
static struct addr known_address(struct dialer *d, const struct config_endpoint *e)
{
    for (unsigned i = 0; i < GENERATIONS; i++) {
        const struct known *k = &d->known[i];
        for (unsigned u = 0; k->generation && u < k->config->upstream_count; u++) {
            const struct config_upstream *up = &k->config->upstreams[u];
            for (unsigned j = 0; j < up->endpoint_count; j++)
                if (up->endpoints[j].port == e->port && str_eq(up->endpoints[j].host, e->host))
                    return k->addresses[up->first_endpoint + j];
        }
    }
    return (struct addr){0};
}

static void fill_addresses(struct dialer *d, struct known *k)
{
    must(k->config);
    for (unsigned u = 0; u < k->config->upstream_count; u++) {
        const struct config_upstream *up = &k->config->upstreams[u];
        for (unsigned j = 0; j < up->endpoint_count; j++)
            k->addresses[up->first_endpoint + j] =
                up->endpoints[j].is_name ? known_address(d, &up->endpoints[j]) : up->endpoints[j].address;
    }
}

static struct known *oldest(struct dialer *d)
{
    struct known *k = &d->known[0];
    for (unsigned i = 1; i < GENERATIONS; i++)
        if (d->known[i].generation < k->generation)
            k = &d->known[i];
    return k;
}

static bool take_prepare(struct dialer *d, struct str bytes, int fd)
{
    struct msg_prepare m;
    struct known fresh = {0};
    struct str error = STR("the bundle cannot be read");
    struct arena *errors = arena_new(ERRORS_BYTES);
    bool decoded = errors && msg_prepare_decode(bytes, &m);
    bool mapped = decoded && shm_map_sealed(fd, BUNDLE_LIMIT, &fresh.bundle);
    close(fd);
    if (mapped)
        fresh.config = config_from_bundle(fresh.bundle, errors, &error);
    if (fresh.config)
        fresh.addresses = calloc(fresh.config->endpoint_count + 1, sizeof *fresh.addresses);
    if (fresh.addresses) {
        fresh.generation = m.generation;
        fill_addresses(d, &fresh);
        struct known *place = find(d, m.generation);
        if (!place)
            place = oldest(d);
        forget(place);
        *place = fresh;
    } else {
        config_free(fresh.config);
        if (mapped)
            shm_unmap_sealed(fresh.bundle);
    }
    bool ok = decoded && role_process_prepared(&d->process, m.generation, fresh.addresses != NULL,
                                               fresh.addresses ? STR_NONE : error);
    arena_free(errors);
    return ok;
}

static bool take_abort(struct dialer *d, struct str bytes)
{
    struct msg_abort m;
    if (!msg_abort_decode(bytes, &m))
        return false;
    struct known *k = find(d, m.generation);
    if (k && m.generation)
        forget(k);
    return true;
}

static const struct config_endpoint *endpoint_of(const struct known *k, unsigned number)
{
    for (unsigned u = 0; u < k->config->upstream_count; u++) {
        const struct config_upstream *up = &k->config->upstreams[u];
        if (number >= up->first_endpoint && number - up->first_endpoint < up->endpoint_count)
            return &up->endpoints[number - up->first_endpoint];
    }
    return NULL;
}

/* For that name in every configuration: a request of an older one goes to the new address too. */
static void learn(struct dialer *d, const struct config_endpoint *named, const struct addr *address)
{
    for (unsigned i = 0; i < GENERATIONS; i++) {
        struct known *k = &d->known[i];
        for (unsigned n = 0; k->generation && n < k->config->endpoint_count; n++) {
            const struct config_endpoint *e = endpoint_of(k, n);
            if (e && e->is_name && e->port == named->port && str_eq(e->host, named->host))
                k->addresses[n] = *address;
        }
    }
}

static bool take_resolved(struct dialer *d, struct str bytes)
{
    struct msg_resolved m;
    struct addr address;
    if (!msg_resolved_decode(bytes, &m) ||
        !addr_parse((struct str){(const char *)m.address, m.address_len}, &address))
        return false;
    struct known *k = find(d, m.generation);
    const struct config_endpoint *e = k && m.generation ? endpoint_of(k, m.endpoint) : NULL;
    if (e)
        learn(d, e, &address);
    dial_waiting(d);
    return true;
}

/* ---- resolving (slot 1): it may wait, nobody waits for it */

static unsigned look_up(const struct config_endpoint *e, struct addr ret[ADDRESSES_MAX])
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    char name[256];
    unsigned n = 0;
    struct buf b = buf_over(name, sizeof name - 1);
    buf_str(&b, e->host);
    name[b.n] = '\0';
    if (buf_overflowed(&b) || getaddrinfo(name, NULL, &hints, &list) != 0)
        return 0;
    for (const struct addrinfo *at = list; at && n < ADDRESSES_MAX; at = at->ai_next) {
        if (!addr_from_sockaddr(at->ai_addr, at->ai_addrlen, &ret[n]))
            continue;
        ret[n++].port = e->port;
    }
    freeaddrinfo(list);
    return n;
}

static bool answers(const struct addr *a)
{
    struct pollfd p = {.events = POLLOUT};
    if (net_connect_start(a, &p.fd) < 0)
        return false;
    bool ok = poll(&p, 1, TRY_MS) == 1 && net_socket_error(p.fd) == 0;
    close(p.fd);
    return ok;
}

/* Of several addresses (IPv6 and IPv4, or a name server that turns them round) the present one while it
 * answers, else the first that does; when none does nothing changes, unless the present one is no longer
 * among them. */
static const struct addr *choose(const struct addr *found, unsigned count, const struct addr *present)
{
    const struct addr *kept = NULL;
    for (unsigned i = 0; i < count; i++)
        if (addr_eq(&found[i], present))
            kept = &found[i];
    if (count == 1 || (kept && answers(kept)))
        return kept ? kept : &found[0];
    for (unsigned i = 0; i < count; i++)
        if (&found[i] != kept && answers(&found[i]))
            return &found[i];
    return kept ? kept : &found[0];
}

static void tell(struct dialer *d, const struct known *k, unsigned endpoint)
{
    struct msg_endpoint_address m = {.generation = k->generation, .endpoint = endpoint};
    struct buf b = buf_over(m.address, sizeof m.address);
    addr_write(&b, &k->addresses[endpoint]);
    m.address_len = (uint16_t)b.n;
    if (d->process.master && msg_endpoint_address_send(d->process.master, &m, -1) < 0)
        loop_stop(d->process.loop);
}

/* False: a name is still without an address. */
static bool resolve_all(struct dialer *d, struct known *k)
{
    bool all_known = true;
    for (unsigned n = 0; n < k->config->endpoint_count; n++) {
        struct addr found[ADDRESSES_MAX];
        const struct config_endpoint *e = endpoint_of(k, n);
        if (!e || !e->is_name)
            continue;
        unsigned count = look_up(e, found);
        const struct addr *chosen = count ? choose(found, count, &k->addresses[n]) : NULL;
        if (chosen && !addr_eq(chosen, &k->addresses[n])) {
            k->addresses[n] = *chosen;
            tell(d, k, n);
        }
        all_known &= k->addresses[n].port != 0;
    }
    return all_known;
}

static void resolve_due(struct timer *t)
{
    struct dialer *d = container_of(t, struct dialer, resolve_timer);
    struct known *newest = NULL;
    for (unsigned i = 0; i < GENERATIONS; i++)
        if (d->known[i].generation && (!newest || d->known[i].generation > newest->generation))
            newest = &d->known[i];
    uint32_t interval_ms =
        newest && resolve_all(d, newest) ? newest->config->gate.resolve_interval_ms : UNRESOLVED_RETRY_MS;
    loop_refresh_now(d->process.loop);
    timer_set(d->process.loop, t, loop_now_ms(d->process.loop) + interval_ms);
}

/* ---- the process */

static bool message_came(struct role_process *r, enum msg_number number, struct str bytes, int fd)
{
    struct dialer *d = container_of(r, struct dialer, process);
    switch (number) {
    case MSG_PREPARE:
        return take_prepare(d, bytes, fd);
    case MSG_COMMIT:
        if (r->start.slot == 1)
            timer_set(r->loop, &d->resolve_timer, loop_now_ms(r->loop));
        return true;
    case MSG_ABORT:
        return take_abort(d, bytes);
    case MSG_RESOLVED:
        return take_resolved(d, bytes);
    case MSG_PEER:
        return take_peer(d, bytes, fd);
    case MSG_STOP:
        loop_stop(r->loop);
        return true;
    default:
        if (fd >= 0)
            close(fd);
        return number == MSG_SHARED;
    }
}

static bool prepare(struct role_process *r [[maybe_unused]])
{
    sandbox_warm_resolver();
    return true;
}

int dialer_main(int argc, char **argv)
{
    static struct dialer d;
    d.process = (struct role_process){.role = ROLE_DIALER, .message = message_came};
    timer_init(&d.resolve_timer, resolve_due);
    if (!role_process_begin(&d.process, argc, argv, SANDBOX_DIALER, prepare))
        return 1;
    int error = loop_run(d.process.loop);
    for (unsigned i = 0; i < SLOTS; i++)
        channel_free(d.askers[i].channel);
    for (unsigned i = 0; i < GENERATIONS; i++)
        forget(&d.known[i]);
    role_process_end(&d.process);
    return error < 0;
}
