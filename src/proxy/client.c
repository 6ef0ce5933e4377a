/* proxy/client.c - a client's connection from accept to close: PROXY protocol, TLS, which HTTP it speaks.
 *
 *   accept -> [PROXY_HEADER] -> [HANDSHAKE] -> H1 or H2 -> (TUNNEL) -> LINGER -> closed
 *
 * Invariants:
 *  1. A client is in proxy.clients from accept to client_close and nowhere after it.
 *  2. client->in is held only while bytes wait in it: an idle connection has no buffer.
 *  3. Every state has a time limit; client->timer enforces it. */
#include "proxy/client.h"

#include "base/must.h"
#include "http/proxy_protocol.h"
#include "proxy/admit_handshakes.h"
#include "proxy/classes.h"
#include "proxy/guard.h"
#include "proxy/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LINGER_MS = 2000,
    LINGER_BYTES_PER_TURN = 256 * 1024,
    LINGER_BYTES = 4 << 20,
    TRANSFER_CHECK_MS = 1000,
    TRANSFER_GRACE_MS = 6000
};

static void ready(struct io *io, uint32_t events);
static void timed_out(struct timer *t);
static void again(struct deferred *d);

const struct config_limits *client_limits(const struct client *c)
{
    return &c->listener->config->limits;
}

void client_set_timeout(struct client *c, uint32_t timeout_ms)
{
    if (timeout_ms)
        timer_set(c->proxy->loop, &c->timer, loop_now_ms(c->proxy->loop) + timeout_ms);
    else
        timer_clear(c->proxy->loop, &c->timer);
}

void client_transfer_waits(struct client *c)
{
    if (c->transfer_waits)
        return;
    c->transfer_waits = true;
    c->moved = 0;
    c->wait_began_ms = c->moved_at_ms = loop_now_ms(c->proxy->loop);
    client_set_timeout(c, TRANSFER_CHECK_MS);
}

void client_transfer_moved(struct client *c, size_t bytes)
{
    c->moved += bytes;
    c->moved_at_ms = loop_now_ms(c->proxy->loop);
}

bool client_transfer_too_slow(const struct client *c)
{
    const struct config_limits *limits = client_limits(c);
    uint64_t now = loop_now_ms(c->proxy->loop), elapsed = now - c->wait_began_ms;
    if (limits->stall_timeout_ms && now - c->moved_at_ms >= limits->stall_timeout_ms)
        return true;
    return limits->min_body_rate_bps && elapsed >= TRANSFER_GRACE_MS &&
           c->moved * 1000 / elapsed < limits->min_body_rate_bps;
}

void client_fail(struct client *c)
{
    c->dead = true;
    loop_defer(c->proxy->loop, &c->again);
}

static void set_peer(struct client *c, const struct addr *peer)
{
    struct buf text = buf_over(c->ip_text, sizeof c->ip_text);
    c->peer = *peer;
    addr_write_ip(&text, peer);
    c->ip_text_n = (uint8_t)text.n;
    classes_accepted(c);
}

static void count_address(struct client *c)
{
    uint64_t hash = shared_address_hash(c->proxy->shared, &c->peer);
    c->address_hash = hash;
    c->counted = true;
    shared_address_opened(c->proxy->counts, hash);
}

static void begin_http(struct client *c)
{
    struct tls_info info;
    bool h2 = client_tls_info(c, &info) ? info.is_h2 : false;
    c->is_first = true;
    if (h2) {
        c->state = CLIENT_H2;
        if (!client_h2_start(c))
            client_close(c);
        else
            client_h2_ready(c);
        return;
    }
    c->state = CLIENT_H1;
    client_set_timeout(c, client_limits(c)->header_timeout_ms);
    client_h1_ready(c);
}

static void begin_tls(struct client *c)
{
    if (c->class == ADMISSION_BLOCKED) {
        COUNT(c->proxy, connections_refused_total);
        client_close(c);
        return;
    }
    if (!c->listener->tls) {
        begin_http(c);
        return;
    }
    c->state = CLIENT_HANDSHAKE;
    client_set_timeout(c, client_limits(c)->handshake_timeout_ms);
    ready(&c->t.io, 0);
}

void client_accept(struct proxy *p, struct listener *l, int fd, const struct addr *peer)
{
    struct client *c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return;
    }
    c->proxy = p;
    c->listener = l;
    c->snapshot = snapshot_ref(l->snapshot);
    transport_init(&c->t, ready);
    timer_init(&c->timer, timed_out);
    deferred_init(&c->again, again);
    list_push_back(&p->clients, &c->node);
    p->client_count++;
    set_peer(c, peer);
    COUNT(p, connections_accepted_total);
    GAUGE_UP(p, connections_open);
    c->t.io.is_sole = true; /* accepted by this process: closing it is enough for epoll */
    if (transport_open(&c->t, &p->io, fd) < 0) {
        client_close(c);
        return;
    }
    c->t.may_read = c->t.may_write = true;
    if (l->config->proxy_protocol) {
        c->state = CLIENT_PROXY_HEADER;
        client_set_timeout(c, client_limits(c)->handshake_timeout_ms);
        ready(&c->t.io, 0);
        return;
    }
    count_address(c);
    begin_tls(c);
}

void client_close(struct client *c)
{
    struct proxy *p = c->proxy;
    if (c->h2)
        client_h2_free(c);
    if (c->ex) {
        struct exchange *ex = c->ex;
        c->ex = NULL;
        exchange_abort(ex);
        exchange_free(ex);
    }
    if (c->counted)
        shared_address_closed(p->counts, c->address_hash);
    handshakes_leave(c);
    timer_clear(p->loop, &c->timer);
    loop_undefer(&c->again);
    transport_close(&c->t, &p->io);
    chunk_put(&p->chunks, c->in);
    outq_clear(&c->out, &p->chunks);
    list_remove(&c->node);
    p->client_count--;
    GAUGE_DOWN(p, connections_open);
    snapshot_unref(c->snapshot);
    free(c);
    if (p->draining && p->client_count == 0)
        p->events.drained(p->events.self);
}

/* A reset makes the kernel drop what it has not sent yet (tcp(7), SO_LINGER of 0). */
void client_cut(struct client *c)
{
    const struct linger at_once = {.l_onoff = 1};
    c->t.may_write = false; /* no close_notify either */
    if (setsockopt(c->t.io.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) < 0)
        shutdown(c->t.io.fd, SHUT_WR); /* a socket without an end of its own: what waits may leave */
    client_close(c);
}

/* Closing with unread input makes the kernel send RST, and the peer may lose our answer (RFC 9112 9.6). */
void client_linger(struct client *c)
{
    c->state = CLIENT_LINGER;
    chunk_put(&c->proxy->chunks, c->in);
    c->in = NULL;
    if (c->t.tls) {
        struct buf out = buf_over(c->proxy->io.tx, TRANSPORT_TX_BYTES);
        tls_conn_close_notify(c->t.tls, &out);
        if (out.n && c->t.may_write && c->t.cipher.bytes == 0)
            (void)!send(c->t.io.fd, out.p, out.n, MSG_NOSIGNAL);
        tls_conn_free(c->t.tls);
        c->t.tls = NULL;
        c->t.plain_waits = false;
    }
    if (shutdown(c->t.io.fd, SHUT_WR) < 0) {
        client_fail(c);
        return;
    }
    c->moved = 0;
    client_set_timeout(c, LINGER_MS);
    loop_defer(c->proxy->loop, &c->again);
}

static void linger_ready(struct client *c)
{
    for (size_t dropped = 0; dropped < LINGER_BYTES_PER_TURN;) {
        ssize_t n = transport_read(&c->t, &c->proxy->io, c->proxy->io.rx, TRANSPORT_RX_BYTES);
        if (n == -EAGAIN)
            return;
        c->moved += n > 0 ? (uint64_t)n : 0;
        if (n <= 0 || c->moved > LINGER_BYTES) {
            client_close(c); /* it is done, or it pours on: enough */
            return;
        }
        dropped += (size_t)n;
    }
    loop_defer(c->proxy->loop, &c->again);
}

bool client_flush(struct client *c)
{
    while (c->out.bytes) {
        struct iovec iov[16];
        ssize_t n = transport_writev(&c->t, &c->proxy->io, iov, outq_iov(&c->out, iov, 16));
        if (n == -EAGAIN)
            return true;
        if (n < 0) {
            client_fail(c);
            return false;
        }
        client_transfer_moved(c, (size_t)n);
        COUNT_BY(c->proxy, client_bytes_out_total, (uint64_t)n);
        outq_consume(&c->out, &c->proxy->chunks, (size_t)n);
    }
    int error = c->t.cipher.bytes ? transport_flush(&c->t, &c->proxy->io) : 0;
    if (error < 0 && error != -EAGAIN) {
        client_fail(c);
        return false;
    }
    return true;
}

static bool proxied_from_allowed(const struct client *c)
{
    const struct config_listener *l = c->listener->config;
    for (unsigned i = 0; i < l->proxy_protocol_from_count; i++)
        if (addr_in_prefix(&c->peer, &l->proxy_protocol_from[i]))
            return true;
    return l->proxy_protocol_from_count == 0;
}

/* The header is peeked at and then taken exactly: what follows it belongs to TLS or HTTP. */
static void proxy_header_ready(struct client *c)
{
    char bytes[PROXY_HEADER_MAX];
    struct proxy_header header;
    if (!c->t.may_read)
        return;
    ssize_t n = recv(c->t.io.fd, bytes, sizeof bytes, MSG_PEEK);
    if (n < 0 && errno == EAGAIN) {
        c->t.may_read = false;
        return;
    }
    ptrdiff_t length = n > 0 ? proxy_header_parse((struct str){bytes, (size_t)n}, &header) : -1;
    if (length == 0 && !c->t.hung_up) {
        c->t.may_read = false;
        return;
    }
    if (length <= 0 || !proxied_from_allowed(c) || recv(c->t.io.fd, bytes, (size_t)length, 0) != length) {
        COUNT(c->proxy, connections_refused_total);
        client_close(c);
        return;
    }
    if (!header.is_local)
        set_peer(c, &header.source);
    if (!guard_may_come(c->proxy, &c->peer)) {
        COUNT(c->proxy, isolation_refused_total);
        client_cut(c);
        return;
    }
    uint32_t limit = client_limits(c)->connections_per_address;
    if (limit &&
        shared_address_count(c->proxy->shared, shared_address_hash(c->proxy->shared, &c->peer)) >= limit) {
        COUNT(c->proxy, connections_refused_total);
        client_close(c);
        return;
    }
    count_address(c);
    begin_tls(c);
}

/* False: it waits for its turn, or is closed. */
static bool handshake_has_turn(struct client *c)
{
    enum handshake_verdict verdict = handshakes_ask(c);
    if (verdict == HANDSHAKE_LATER)
        return false;
    if (verdict == HANDSHAKE_NOW && !c->t.tls)
        c->t.tls = tls_conn_new(c->listener->tls, NULL, &c->t);
    if (verdict == HANDSHAKE_NOW && c->t.tls)
        return true;
    client_close(c);
    return false;
}

static void handshake_ready(struct client *c)
{
    if (!handshake_has_turn(c))
        return;
    enum tls_status status = transport_handshake(&c->t, &c->proxy->io);
    handshakes_stepped(c, status);
    switch (status) {
    case TLS_DONE: {
        struct tls_info info;
        handshakes_leave(c);
        tls_conn_info(c->t.tls, &info);
        COUNT(c->proxy, handshakes_total);
        if (info.resumed)
            COUNT(c->proxy, handshakes_resumed_total);
        classes_handshaken(c);
        begin_http(c);
        return;
    }
    case TLS_WANT_INPUT:
    case TLS_WANT_SIGNATURE:
    case TLS_WANT_ROOM:
        return;
    case TLS_FAILED:
        classes_note(c, CLASSES_HANDSHAKE);
        [[fallthrough]];
    case TLS_CLOSED:
        COUNT(c->proxy, handshakes_failed_total);
        client_close(c);
        return;
    }
}

static void dispatch(struct client *c)
{
    if (c->dead) {
        client_close(c);
        return;
    }
    switch (c->state) {
    case CLIENT_PROXY_HEADER:
        proxy_header_ready(c);
        break;
    case CLIENT_HANDSHAKE:
        handshake_ready(c);
        break;
    case CLIENT_H1:
        client_h1_ready(c);
        break;
    case CLIENT_H2:
        client_h2_ready(c);
        break;
    case CLIENT_TUNNEL:
        client_tunnel_ready(c);
        break;
    case CLIENT_LINGER:
        linger_ready(c);
        break;
    }
}

static void ready(struct io *io, uint32_t events)
{
    struct client *c = container_of(container_of(io, struct transport, io), struct client, t);
    transport_note(&c->t, events);
    if (events & EPOLLERR) {
        client_close(c);
        return;
    }
    dispatch(c);
}

static void again(struct deferred *d)
{
    dispatch(container_of(d, struct client, again));
}

static void timed_out(struct timer *t)
{
    struct client *c = container_of(t, struct client, timer);
    if (c->state == CLIENT_H1) {
        client_h1_timeout(c);
        return;
    }
    if (c->state == CLIENT_H2) {
        client_h2_timeout(c);
        return;
    }
    if (c->state == CLIENT_HANDSHAKE)
        COUNT(c->proxy, handshakes_failed_total);
    COUNT(c->proxy, timeouts_total);
    client_close(c);
}

/* A reload took place while this connection was idle: it goes on under the configuration in force, if that
 * still has its listener. Otherwise it ends after the next answer. */
void client_refresh_snapshot(struct client *c)
{
    struct snapshot *now = c->proxy->snapshot;
    if (c->snapshot == now)
        return;
    struct listener *l = snapshot_listener(now, c->listener->config->name);
    if (!l) {
        c->close_after = true;
        return;
    }
    snapshot_ref(now);
    snapshot_unref(c->snapshot);
    c->snapshot = now;
    c->listener = l;
    classes_refresh(c);
}

bool client_tls_info(const struct client *c, struct tls_info *ret)
{
    if (!c->t.tls)
        return false;
    tls_conn_info(c->t.tls, ret);
    return true;
}
