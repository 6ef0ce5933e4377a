/* gate/dialer.c - the dialer's process: opens connections to configured endpoints and hands them to the workers.
 *
 * Slot 0 dials. Slot 1, started only when an endpoint is written as a name, resolves: looking a name up can take
 * seconds, and nobody's connection waits for that. What it finds goes through the master to slot 0. */
#include "gate/role_process.h"

#include "config/config.h"
#include "proxy/shared.h"
#include "sys/channel.h"
#include "sys/net.h"
#include "sys/shm.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 64, PEER_QUEUE = 16384, GENERATIONS = 4, BUNDLE_LIMIT = 64 << 20, ERRORS_BYTES = 1 << 16 };

struct dialer;

struct asker {
    struct dialer *dialer;
    struct channel *channel;
};

struct known { /* a configuration: the newest few, since workers may still ask for an older one */
    uint64_t generation; /* 0: free */
    struct str bundle;
    struct config *config;
    struct addr *addresses; /* by endpoint; port 0: not known yet */
};

struct dialer {
    struct role_process process;
    struct asker askers[SLOTS];
    struct known known[GENERATIONS];
    struct timer resolve_timer;
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
    struct known *k = find(d, m->generation);
    int fd;
    if (!k || m->endpoint >= k->config->endpoint_count)
        return -EINVAL;
    if (k->addresses[m->endpoint].port == 0)
        return -EDESTADDRREQ;
    int error = net_connect_start(&k->addresses[m->endpoint], &fd);
    return error < 0 ? error : fd;
}

static bool asked(void *self, struct channel *channel, struct str bytes, int fd)
{
    struct asker *a = self;
    struct msg_dial m;
    if (msg_welcome(bytes, fd, ROLE_WORKER, ROLE_DIALER) != MSG_DIAL || !msg_dial_decode(bytes, &m)) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    int conn = dial(a->dialer, &m);
    struct msg_dialed answer = {.id = m.id, .error = conn < 0 ? (uint32_t)-conn : 0};
    int error = msg_dialed_send(channel, &answer, conn < 0 ? -1 : conn);
    if (conn >= 0)
        close(conn);
    return error == 0;
}

static void asker_gone(void *self, struct channel *channel)
{
    struct asker *a = self;
    channel_free(channel);
    a->channel = NULL;
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
    a->dialer = d;
    a->channel = channel_new(d->process.loop, fd, PEER_QUEUE, (struct channel_events){asked, asker_gone, a});
    return a->channel != NULL;
}

/* ---- configurations */

/* Addresses that an older configuration already knew for the same name are kept until they are looked up anew. */
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
        fresh.addresses = calloc(fresh.config->endpoint_count, sizeof *fresh.addresses);
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

static bool take_resolved(struct dialer *d, struct str bytes)
{
    struct msg_resolved m;
    struct addr address;
    if (!msg_resolved_decode(bytes, &m) ||
        !addr_parse((struct str){(const char *)m.address, m.address_len}, &address))
        return false;
    struct known *k = find(d, m.generation);
    if (k && m.generation && m.endpoint < k->config->endpoint_count)
        k->addresses[m.endpoint] = address;
    return true;
}

/* ---- resolving (slot 1) */

static bool look_up(const struct config_endpoint *e, struct addr *ret)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list = NULL;
    char name[256];
    struct buf b = buf_over(name, sizeof name - 1);
    buf_str(&b, e->host);
    name[b.n] = '\0';
    if (buf_overflowed(&b) || getaddrinfo(name, NULL, &hints, &list) != 0)
        return false;
    bool found = list && addr_from_sockaddr(list->ai_addr, list->ai_addrlen, ret);
    freeaddrinfo(list);
    ret->port = e->port;
    return found;
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

static void resolve_all(struct dialer *d, struct known *k)
{
    for (unsigned u = 0; u < k->config->upstream_count; u++) {
        const struct config_upstream *up = &k->config->upstreams[u];
        for (unsigned j = 0; j < up->endpoint_count; j++) {
            struct addr found, *was = &k->addresses[up->first_endpoint + j];
            if (!up->endpoints[j].is_name || !look_up(&up->endpoints[j], &found) || addr_eq(&found, was))
                continue;
            *was = found;
            tell(d, k, up->first_endpoint + j);
        }
    }
}

static void resolve_due(struct timer *t)
{
    struct dialer *d = container_of(t, struct dialer, resolve_timer);
    struct known *newest = NULL;
    for (unsigned i = 0; i < GENERATIONS; i++)
        if (d->known[i].generation && (!newest || d->known[i].generation > newest->generation))
            newest = &d->known[i];
    uint32_t interval_ms = newest ? newest->config->gate.resolve_interval_ms : 1000;
    if (newest)
        resolve_all(d, newest);
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
