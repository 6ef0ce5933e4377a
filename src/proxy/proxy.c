/* proxy/proxy.c - the worker's data path as a whole: configurations in and out, listeners, draining. */
#include "proxy/proxy.h"

#include "base/must.h"
#include "proxy/admit.h"
#include "proxy/admit_handshakes.h"
#include "proxy/classes.h"
#include "proxy/client.h"
#include "proxy/guard.h"
#include "proxy/inspect.h"
#include "proxy/probe.h"
#include "proxy/upstream.h"
#include "proxy/wake.h"
#include "sys/net.h"
#include "tls/signer.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_TURN = 64,
    STRANGERS_AT_A_TIME = 8,
    FIRST_SHARE = 8,
    SHORT_DRAIN_MS = 10'000,
    TRIM_MS = 2000,
    MALLOC_TOP_KEPT = 256 * 1024
};

uint64_t proxy_random(struct proxy *p)
{
    uint64_t n = p->sequence++;
    return hash_bytes(&p->seed, &n, sizeof n);
}

struct str proxy_date(struct proxy *p)
{
    int64_t now_s = loop_wall_us(p->loop) / 1'000'000;
    if (now_s != p->date_s) {
        struct buf b = buf_over(p->date, sizeof p->date);
        http_date_write(&b, now_s);
        p->date_s = now_s;
    }
    return (struct str){p->date, 29};
}

static bool send_sign(void *self, const struct msg_sign *m)
{
    struct proxy *p = self;
    COUNT(p, signatures_requested_total);
    return p->events.sign(p->events.self, m);
}

static void signature_ready(void *self [[maybe_unused]], void *owner)
{
    struct transport *t = owner;
    t->io.ready(&t->io, 0); /* the handshake goes on where it stood */
}

static void drain_over(struct timer *t);

/* After a burst the memory of its buffers goes back to the system, so that idle connections cost what they
 * hold. */
static void trim(struct timer *t)
{
    struct proxy *p = container_of(t, struct proxy, trim_timer);
    unsigned freed = chunk_pool_trim(&p->chunks) + exchange_trim(p) + inspector_trim(p->inspector);
    if (freed > 0)
        malloc_trim(MALLOC_TOP_KEPT);
    timer_set(p->loop, t, loop_now_ms(p->loop) + TRIM_MS);
}

struct proxy *proxy_new(struct loop *loop, struct shared *shared, unsigned slot, struct proxy_events events)
{
    struct proxy *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    *p = (struct proxy){.loop = loop, .shared = shared, .slot = slot, .events = events};
    p->counts = shared_worker(shared, slot);
    p->io =
        (struct transport_shared){loop, &p->chunks, malloc(TRANSPORT_RX_BYTES), malloc(TRANSPORT_TX_BYTES)};
    p->dials = calloc(DIALS_MAX, sizeof *p->dials);
    p->guard = guard_new(p);
    p->inspector = inspector_new(p);
    p->probe = probe_new(p);
    p->classes = classes_new();
    p->handshakes = handshakes_new(p);
    p->signer = tls_signer_new((struct tls_signer_events){send_sign, signature_ready, p});
    p->tickets = tls_tickets_new();
    list_init(&p->clients);
    list_init(&p->checks);
    wake_init(p);
    timer_init(&p->drain_timer, drain_over);
    timer_init(&p->trim_timer, trim);
    timer_set(loop, &p->trim_timer, loop_now_ms(loop) + TRIM_MS);
    if (!p->io.rx || !p->io.tx || !p->dials || !p->guard || !p->inspector || !p->probe || !p->classes ||
        !p->handshakes || !p->signer || !p->tickets ||
        getrandom(&p->seed, sizeof p->seed, 0) != sizeof p->seed) {
        proxy_free(p);
        return NULL;
    }
    return p;
}

static void close_listener(struct proxy *p, struct listener *l)
{
    if (l->io.fd >= 0)
        loop_close(p->loop, &l->io);
    if (l->first.fd >= 0)
        loop_close(p->loop, &l->first);
}

static void retire(struct snapshot *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->config->listener_count; i++) {
        loop_undefer(&s->listeners[i].more);
        close_listener(s->proxy, &s->listeners[i]);
    }
    for (unsigned i = 0; i < s->config->upstream_count; i++)
        for (unsigned e = 0; e < s->pools[i].endpoint_count; e++)
            upstream_close_idle(&s->pools[i].endpoints[e]);
    snapshot_unref(s);
}

void proxy_free(struct proxy *p)
{
    if (!p)
        return;
    struct list *node;
    while ((node = p->clients.next) != &p->clients)
        client_close(container_of(node, struct client, node));
    wake_done(p);
    probe_free(p->probe);
    checks_stop(p);
    for (unsigned i = 0; p->snapshot && i < p->snapshot->config->upstream_count; i++)
        for (unsigned e = 0; e < p->snapshot->pools[i].endpoint_count; e++)
            upstream_close_all(&p->snapshot->pools[i].endpoints[e]);
    retire(p->prepared);
    retire(p->snapshot);
    while (p->free_exchanges) {
        struct exchange *next = p->free_exchanges->next_free;
        arena_free(p->free_exchanges->arena);
        free(p->free_exchanges);
        p->free_exchanges = next;
    }
    guard_free(p->guard);
    inspector_free(p->inspector);
    admit_free(p->admit);
    classes_free(p->classes);
    handshakes_free(p->handshakes);
    timer_clear(p->loop, &p->drain_timer);
    timer_clear(p->loop, &p->trim_timer);
    tls_signer_free(p->signer);
    tls_tickets_free(p->tickets);
    chunk_pool_done(&p->chunks);
    free(p->io.rx);
    free(p->io.tx);
    free(p->dials);
    free(p);
}

bool proxy_prepare(struct proxy *p, uint64_t generation, struct str bundle,
                   void (*release)(struct str bundle), struct arena *errors, struct str *ret_error)
{
    retire(p->prepared);
    p->prepared = snapshot_new(p, generation, bundle, release, errors, ret_error);
    return p->prepared != NULL;
}

void proxy_abort(struct proxy *p, uint64_t generation)
{
    if (p->prepared && p->prepared->generation == generation) {
        retire(p->prepared);
        p->prepared = NULL;
        if (p->snapshot)
            admit_apply(p->snapshot);
    }
}

static void accept_turn(struct listener *l);

static void accept_ready(struct io *io, uint32_t events [[maybe_unused]])
{
    accept_turn(container_of(io, struct listener, io));
}

static void first_ready(struct io *io, uint32_t events [[maybe_unused]])
{
    accept_turn(container_of(io, struct listener, first));
}

static void accept_more(struct deferred *d)
{
    accept_turn(container_of(d, struct listener, more));
}

bool proxy_listener(struct proxy *p, uint64_t generation, unsigned index, int fd)
{
    struct snapshot *s = p->prepared;
    if (!s || s->generation != generation || index >= s->config->listener_count ||
        s->listeners[index].io.fd >= 0) {
        close(fd);
        return false;
    }
    s->listeners[index].io = (struct io){.ready = accept_ready, .fd = fd};
    deferred_init(&s->listeners[index].more, accept_more);
    return true;
}

bool proxy_listener_first(struct proxy *p, uint64_t generation, unsigned index, int fd)
{
    struct snapshot *s = p->prepared;
    if (!s || s->generation != generation || index >= s->config->listener_count ||
        s->listeners[index].first.fd >= 0) {
        close(fd);
        return false;
    }
    s->listeners[index].first = (struct io){.ready = first_ready, .fd = fd};
    return true;
}

static bool has_address(const struct config *config, const struct addr *address)
{
    for (unsigned i = 0; i < config->listener_count; i++)
        if (addr_eq(&config->listeners[i].address, address))
            return true;
    return false;
}

/* Who already waits in the queue is served: nobody else may listen there after us. */
static void accept_all(struct listener *l)
{
    do
        loop_undefer(&l->more);
    while (accept_turn(l), !list_is_empty(&l->more.node));
}

static bool has_first_queue(const struct snapshot *s, const struct addr *address)
{
    for (unsigned i = 0; i < s->config->listener_count; i++)
        if (addr_eq(&s->config->listeners[i].address, address))
            return s->listeners[i].first.fd >= 0;
    return false;
}

/* Of listeners, or of second queues, that the new configuration has no more. */
static void accept_leftovers(struct snapshot *old, const struct snapshot *now)
{
    for (unsigned i = 0; i < old->config->listener_count; i++) {
        struct listener *l = &old->listeners[i];
        bool loses_first = l->first.fd >= 0 && !has_first_queue(now, &l->config->address);
        if (l->io.fd >= 0 && (loses_first || !has_address(now->config, &l->config->address)))
            accept_all(l);
    }
}

/* The descriptors of two generations may be one and the same socket: the old one is closed only after the new
 * one is watched, and what waits in its queue is taken by the new one. */
bool proxy_commit(struct proxy *p, uint64_t generation)
{
    struct snapshot *old = p->snapshot, *s = p->prepared;
    if (!s || s->generation != generation)
        return false;
    p->snapshot = s;
    p->prepared = NULL;
    guard_reconfigured(p);
    admit_apply(s);
    for (unsigned i = 0; i < s->config->listener_count && !p->draining; i++) {
        struct listener *l = &s->listeners[i];
        if (l->io.fd < 0 || loop_add(p->loop, &l->io, EPOLLIN | EPOLLET) < 0)
            continue;
        if (l->first.fd >= 0)
            must(loop_add(p->loop, &l->first, EPOLLIN | EPOLLET) == 0);
        loop_defer(p->loop, &l->more);
    }
    if (old)
        accept_leftovers(old, s);
    retire(old);
    checks_start(p);
    probe_start(p->probe);
    counter_set(p->counts, COUNTER_config_generation, generation);
    return true;
}

/* Strangers leave some connections free for those who go first. */
static bool has_room(const struct proxy *p, const struct listener *l, bool is_first)
{
    uint32_t most = l->config->limits.connections;
    return p->client_count < (is_first || l->first.fd < 0 ? most : most - most / FIRST_SHARE);
}

static bool may_accept(struct proxy *p, struct listener *l, const struct addr *peer, bool is_first)
{
    const struct config_limits *limits = &l->config->limits;
    if (!has_room(p, l, is_first))
        return false;
    if (!l->config->proxy_protocol && !guard_may_come(p, peer)) {
        COUNT(p, isolation_refused_total);
        return false;
    }
    return l->config->proxy_protocol || limits->connections_per_address == 0 ||
           shared_address_count(p->shared, shared_address_hash(p->shared, peer)) <
               limits->connections_per_address;
}

/* False: the queue is empty; or EMFILE, ENFILE, ENOMEM: they wait in it for the next edge. */
static bool accept_one(struct listener *l, bool is_first)
{
    struct proxy *p = l->proxy;
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    struct addr peer;
    int fd = accept4(is_first ? l->first.fd : l->io.fd, (struct sockaddr *)&from, &len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return errno == EINTR || errno == ECONNABORTED;
    if (addr_from_sockaddr(&from, len, &peer) && may_accept(p, l, &peer, is_first)) {
        client_accept(p, l, fd, &peer);
        return true;
    }
    COUNT(p, connections_refused_total);
    close(fd);
    return true;
}

/* True: nobody who goes first waits any more. */
static bool accept_first(struct listener *l, unsigned *taken)
{
    while (l->first.fd >= 0 && accept_one(l, true))
        if (++*taken >= ACCEPTS_PER_TURN)
            return false;
    return true;
}

/* After every few strangers it is looked again for somebody who goes first. */
static void accept_turn(struct listener *l)
{
    for (unsigned taken = 0, strangers = 0; taken < ACCEPTS_PER_TURN; taken++, strangers++) {
        if (strangers % STRANGERS_AT_A_TIME == 0 && !accept_first(l, &taken))
            break;
        if (!accept_one(l, false))
            return;
    }
    loop_defer(l->proxy->loop, &l->more);
}

static void check_drained(struct proxy *p)
{
    if (p->draining && p->client_count == 0)
        p->events.drained(p->events.self);
}

static void drain_over(struct timer *t)
{
    struct proxy *p = container_of(t, struct proxy, drain_timer);
    struct list *node;
    while ((node = p->clients.next) != &p->clients)
        client_close(container_of(node, struct client, node));
    check_drained(p);
}

static void stop_listening(struct proxy *p)
{
    for (unsigned i = 0; p->snapshot && i < p->snapshot->config->listener_count; i++) {
        struct listener *l = &p->snapshot->listeners[i];
        if (l->io.fd < 0)
            continue;
        accept_all(l);
        close_listener(p, l);
    }
}

/* Between two requests. A request that is on its way already is lost, so only when the time is short. */
static void close_idle(struct proxy *p)
{
    for (struct list *node = p->clients.next, *next; node != &p->clients; node = next) {
        struct client *c = container_of(node, struct client, node);
        next = node->next;
        if (c->state == CLIENT_H1 && !c->ex && !c->in && !c->is_first && !transport_can_read(&c->t))
            client_linger(c);
    }
}

uint32_t proxy_drain_timeout_ms(const struct proxy *p)
{
    return p->snapshot ? p->snapshot->config->gate.drain_timeout_ms : 1;
}

void proxy_drain(struct proxy *p, uint32_t timeout_ms)
{
    bool again = p->draining;
    uint64_t end_ms = loop_now_ms(p->loop) + timeout_ms;
    p->draining = true;
    if (!again) {
        stop_listening(p);
        checks_stop(p);
        probe_stop(p->probe);
    }
    if (timeout_ms && (!timer_is_set(&p->drain_timer) || end_ms < p->drain_timer.due_ms))
        timer_set(p->loop, &p->drain_timer, end_ms);
    for (struct list *node = p->clients.next; !again && node != &p->clients; node = node->next) {
        struct client *c = container_of(node, struct client, node);
        if (c->state == CLIENT_H2)
            client_h2_drain(c);
    }
    if (timeout_ms && timeout_ms <= SHORT_DRAIN_MS)
        close_idle(p);
    check_drained(p);
}

void proxy_signature(struct proxy *p, const struct msg_signature *m)
{
    if (m->signature_len == 0)
        COUNT(p, signatures_failed_total);
    tls_signer_answer(p->signer, m);
}

void proxy_sign_again(struct proxy *p)
{
    tls_signer_resend(p->signer);
}

void proxy_ticket_keys(struct proxy *p, struct str keys)
{
    tls_tickets_set(p->tickets, keys);
}

bool proxy_admission(struct proxy *p, void *memory, size_t size)
{
    if (!p->admit)
        p->admit = admit_new(p, memory, size);
    return p->admit != NULL;
}

void proxy_take_rules(struct proxy *p, struct inspect_rules *rules)
{
    p->first_rules = rules;
}

bool proxy_prefilter(struct proxy *p, struct str key, struct str bytes, void (*release)(struct str))
{
    struct inspect_prefilter *f = inspect_prefilter_new(key, bytes, release);
    if (f)
        inspector_take_prefilter(p->inspector, f);
    return f != NULL;
}
