/* proxy/upstream.c - connections towards upstream endpoints: asked for, kept, given out, closed.
 *
 *   upstream_attach --- an idle one ------------------------------> BUSY --> finish --> IDLE
 *        \--- dialer -> DIALING -> CONNECTING -> [HANDSHAKE] -> BUSY   \--> TUNNEL        \--> closed
 *
 * Invariants:
 *  1. A connection is in endpoint.idle when IDLE, in endpoint.busy otherwise; it holds a snapshot reference
 * unless IDLE (whoever retires a snapshot closes its idle ones).
 *  2. conn->ex->up == conn whenever conn->ex is set.
 *  3. A kept connection has nothing unread and nothing unsent: what arrives on it closes it.
 *  4. upstream_send never fails an exchange from below its own call: a broken send is looked at in the next
 * turn. */
#include "proxy/upstream.h"

#include "base/must.h"
#include "proxy/client.h"
#include "sys/net.h"

#include <errno.h>
#include <stdlib.h>

static void ready(struct io *io, uint32_t events);
static void timed_out(struct timer *t);
static void dialed(struct dial_waiter *w, int fd, int error);
static void again(struct deferred *d);

static struct shared_endpoint_stats *stats(const struct upstream_conn *u)
{
    return &u->proxy->counts->endpoints[u->endpoint->shared];
}

static void set_timeout(struct upstream_conn *u, uint32_t ms)
{
    if (ms)
        timer_set(u->proxy->loop, &u->timer, loop_now_ms(u->proxy->loop) + ms);
    else
        timer_clear(u->proxy->loop, &u->timer);
}

uint32_t upstream_response_timeout_ms(const struct exchange *ex)
{
    return ex->route->response_timeout_ms ? ex->route->response_timeout_ms
                                          : ex->pool->config->response_timeout_ms;
}

static struct upstream_conn *conn_new(struct proxy *p, struct endpoint *e)
{
    struct upstream_conn *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    u->proxy = p;
    u->endpoint = e;
    u->snapshot = snapshot_ref(e->pool->snapshot);
    u->dial.dialed = dialed;
    transport_init(&u->t, ready);
    timer_init(&u->timer, timed_out);
    deferred_init(&u->again, again);
    list_push_back(&e->busy, &u->node);
    e->open_count++;
    shared_add32(&stats(u)->connections, 1);
    return u;
}

static void uncount(struct upstream_conn *u)
{
    if (u->counted)
        shared_add32(&stats(u)->active, -1);
    u->counted = false;
}

void upstream_close(struct upstream_conn *u)
{
    struct proxy *p = u->proxy;
    struct snapshot *held = u->state == UP_IDLE ? NULL : u->snapshot;
    must(!u->ex);
    if (u->state == UP_IDLE)
        u->endpoint->idle_count--;
    u->endpoint->open_count--;
    uncount(u);
    shared_add32(&stats(u)->connections, -1);
    dial_forget(p, &u->dial);
    timer_clear(p->loop, &u->timer);
    loop_undefer(&u->again);
    transport_close(&u->t, &p->io);
    chunk_put(&p->chunks, u->in);
    list_remove(&u->node);
    free(u);
    snapshot_unref(held);
}

void upstream_close_idle(struct endpoint *e)
{
    while (!list_is_empty(&e->idle))
        upstream_close(container_of(e->idle.next, struct upstream_conn, node));
}

void upstream_close_all(struct endpoint *e)
{
    upstream_close_idle(e);
    while (!list_is_empty(&e->busy))
        upstream_close(container_of(e->busy.next, struct upstream_conn, node));
}

void upstream_fail(struct upstream_conn *u, uint16_t status, bool may_retry)
{
    struct exchange *ex = u->ex;
    if (u->state < UP_IDLE) {
        COUNT(u->proxy, upstream_connect_errors_total);
        if (ex)
            ex->failed_endpoint = u->endpoint;
    }
    if (!u->reused || u->head_seen || status == 504)
        endpoint_note_result(u->endpoint, true);
    u->ex = NULL;
    if (ex)
        ex->up = NULL;
    upstream_close(u);
    if (ex)
        exchange_upstream_failed(ex, status, may_retry);
}

/* ---- idle connections */

static void make_idle(struct upstream_conn *u)
{
    struct endpoint *e = u->endpoint;
    struct snapshot *held = u->snapshot;
    chunk_put(&u->proxy->chunks, u->in);
    u->in = NULL;
    list_remove(&u->node);
    list_push_front(&e->idle, &u->node);
    e->idle_count++;
    u->state = UP_IDLE;
    set_timeout(u, e->pool->config->keepalive_timeout_ms);
    snapshot_unref(held);
}

static bool may_keep(const struct upstream_conn *u)
{
    const struct config_upstream *c = u->endpoint->pool->config;
    return u->snapshot == u->proxy->snapshot && !u->proxy->draining &&
           u->endpoint->idle_count < c->keepalive && c->proxy_protocol == PROXY_PROTOCOL_OFF &&
           !u->t.hung_up && !u->send_failed;
}

void upstream_finish(struct upstream_conn *u, bool reusable)
{
    u->ex->up = NULL;
    u->ex = NULL;
    uncount(u);
    if (reusable && may_keep(u))
        make_idle(u);
    else
        upstream_close(u);
}

/* Something came over an idle connection: a TLS message without data is fine, all else ends it. */
static void idle_ready(struct upstream_conn *u)
{
    char byte;
    if (!transport_can_read(&u->t))
        return;
    if (transport_read(&u->t, &u->proxy->io, &byte, 1) != -EAGAIN)
        upstream_close(u);
}

/* ---- a request on a connection */

static void begin(struct upstream_conn *u)
{
    struct exchange *ex = u->ex;
    u->state = UP_BUSY;
    u->scanned = u->head_sent = 0;
    u->interim_count = 0;
    u->chunked = (struct h1_chunked){0};
    u->in_trailers = u->head_seen = false;
    u->counted = true;
    shared_add32(&stats(u)->active, 1);
    shared_add(&stats(u)->requests, 1);
    set_timeout(u, upstream_response_timeout_ms(ex));
    /* A body on its way is sent together with the head: see exchange_request_flush. */
    if (ex->body_done || ex->req_body.bytes || !u->reused)
        exchange_upstream_connected(ex);
}

static bool attach_idle(struct exchange *ex, struct endpoint *e)
{
    struct proxy *p = ex->proxy;
    if (list_is_empty(&e->idle) || ex->retries)
        return false;
    struct upstream_conn *u = container_of(e->idle.next, struct upstream_conn, node);
    list_remove(&u->node);
    list_push_back(&e->busy, &u->node);
    e->idle_count--;
    snapshot_ref(u->snapshot);
    u->ex = ex;
    u->reused = true;
    ex->up = u;
    ex->event.flags |= ACCESS_UPSTREAM_REUSED;
    COUNT(p, upstream_reuses_total);
    begin(u);
    return true;
}

void upstream_attach(struct exchange *ex)
{
    struct proxy *p = ex->proxy;
    struct endpoint *e = balance_choose(ex, ex->failed_endpoint);
    if (!e) {
        COUNT(p, pool_exhausted_total);
        exchange_upstream_failed(ex, 503, false);
        return;
    }
    ex->event.endpoint = e->global;
    if (attach_idle(ex, e))
        return;
    ex->event.flags &= (uint16_t)~ACCESS_UPSTREAM_REUSED;
    struct upstream_conn *u = conn_new(p, e);
    if (!u) {
        exchange_upstream_failed(ex, 503, false);
        return;
    }
    u->ex = ex;
    ex->up = u;
    set_timeout(u, e->pool->config->connect_timeout_ms);
    if (!dial_ask(p, &u->dial, e))
        upstream_fail(u, 503, false);
}

void upstream_detach(struct exchange *ex)
{
    struct upstream_conn *u = ex->up;
    ex->up = NULL;
    u->ex = NULL;
    if (u->state >= UP_BUSY)
        upstream_close(u);
}

static unsigned collect(struct exchange *ex, struct upstream_conn *u, struct iovec *iov, unsigned max)
{
    unsigned count = 0;
    struct chunk *head = ex->up_head.head;
    if (head && u->head_sent < ex->up_head.bytes)
        iov[count++] = (struct iovec){head->data + head->at + u->head_sent, ex->up_head.bytes - u->head_sent};
    return count + outq_iov(&ex->req_body, iov + count, max - count);
}

static void note_sent(struct exchange *ex, struct upstream_conn *u, size_t n)
{
    size_t head_left =
        ex->up_head.bytes - (u->head_sent < ex->up_head.bytes ? u->head_sent : ex->up_head.bytes);
    size_t of_head = n < head_left ? n : head_left;
    u->head_sent += of_head;
    if (n > of_head) {
        ex->body_started = true;
        outq_consume(&ex->req_body, &ex->proxy->chunks, n - of_head);
    }
}

void upstream_send(struct exchange *ex)
{
    struct upstream_conn *u = ex->up;
    if (admit_holds_end(ex))
        return;
    while (!u->send_failed && (u->head_sent < ex->up_head.bytes || ex->req_body.bytes)) {
        struct iovec iov[16];
        ssize_t n = transport_writev(&u->t, &ex->proxy->io, iov, collect(ex, u, iov, 16));
        if (n == -EAGAIN)
            break;
        if (n < 0) {
            u->send_failed = true;
            u->t.may_read = true;
            loop_defer(u->proxy->loop, &u->again);
            return;
        }
        note_sent(ex, u, (size_t)n);
        set_timeout(u, upstream_response_timeout_ms(ex));
    }
    if (ex->body_done && u->head_sent >= ex->up_head.bytes && ex->req_body.bytes == 0)
        admit_sent(ex);
    if (ex->body_paused && ex->req_body.bytes < EXCHANGE_QUEUE_HIGH / 2) {
        ex->body_paused = false;
        ex->side->read_more(ex);
    }
}

void upstream_resume(struct exchange *ex)
{
    loop_defer(ex->proxy->loop, &ex->up->again);
}

/* ---- a new connection */

static void connected(struct upstream_conn *u)
{
    u->reused = false;
    if (u->ex) {
        begin(u);
        return;
    }
    if (u->endpoint->pool->config->proxy_protocol == PROXY_PROTOCOL_OFF && u->snapshot == u->proxy->snapshot)
        make_idle(u);
    else
        upstream_close(u);
}

static void handshake(struct upstream_conn *u)
{
    switch (transport_handshake(&u->t, &u->proxy->io)) {
    case TLS_DONE:
        connected(u);
        return;
    case TLS_CLOSED:
    case TLS_FAILED:
        upstream_fail(u, 502, true);
        return;
    case TLS_WANT_INPUT:
    case TLS_WANT_SIGNATURE:
    case TLS_WANT_ROOM:
        return;
    }
}

/* Written before anything else, on a fresh socket, whose buffer takes it whole. */
static bool send_proxy_header(struct upstream_conn *u)
{
    enum config_proxy_protocol kind = u->endpoint->pool->config->proxy_protocol;
    struct proxy_header h = {.is_local = true};
    char text[PROXY_HEADER_MAX];
    struct buf b = buf_over(text, sizeof text);
    if (kind == PROXY_PROTOCOL_OFF)
        return true;
    if (u->ex) {
        h.is_local = false;
        h.source = u->ex->client->peer;
        h.destination = u->ex->client->listener->config->address;
        h.destination.is_v4 = h.source.is_v4;
    }
    if (kind == PROXY_PROTOCOL_V1)
        proxy_header_write_v1(&b, &h);
    else
        proxy_header_write_v2(&b, &h);
    struct tls_conn *tls = u->t.tls;
    u->t.tls = NULL;
    ssize_t n = transport_writev(&u->t, &u->proxy->io, &(struct iovec){b.p, b.n}, 1);
    u->t.tls = tls;
    return n == (ssize_t)b.n;
}

static bool begin_tls(struct upstream_conn *u)
{
    const struct config_upstream *c = u->endpoint->pool->config;
    char name[256];
    struct str host = c->tls_server_name.n ? c->tls_server_name : u->endpoint->config->host;
    struct buf b = buf_over(name, sizeof name - 1);
    buf_str(&b, host);
    name[b.n] = '\0';
    u->t.tls = tls_conn_new(u->endpoint->pool->tls, name, &u->t);
    return u->t.tls != NULL;
}

static void connecting(struct upstream_conn *u, uint32_t events)
{
    if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
        return;
    if (net_socket_error(u->t.io.fd) != 0 || !send_proxy_header(u)) {
        upstream_fail(u, 502, true);
        return;
    }
    if (!u->endpoint->pool->tls) {
        connected(u);
        return;
    }
    u->state = UP_HANDSHAKE;
    if (begin_tls(u))
        handshake(u);
    else
        upstream_fail(u, 503, false);
}

static void dialed(struct dial_waiter *w, int fd, int error [[maybe_unused]])
{
    struct upstream_conn *u = container_of(w, struct upstream_conn, dial);
    u->state = UP_CONNECTING;
    if (fd < 0 || transport_open(&u->t, &u->proxy->io, fd) < 0)
        upstream_fail(u, 502, true);
}

static void dispatch(struct upstream_conn *u, uint32_t events)
{
    switch (u->state) {
    case UP_DIALING:
        break;
    case UP_CONNECTING:
        connecting(u, events);
        break;
    case UP_HANDSHAKE:
        handshake(u);
        break;
    case UP_IDLE:
        idle_ready(u);
        break;
    case UP_BUSY:
        upstream_h1_ready(u);
        break;
    case UP_TUNNEL:
        upstream_tunnel_ready(u);
        break;
    }
}

static void ready(struct io *io, uint32_t events)
{
    struct upstream_conn *u = container_of(container_of(io, struct transport, io), struct upstream_conn, t);
    transport_note(&u->t, events);
    dispatch(u, events);
}

static void again(struct deferred *d)
{
    dispatch(container_of(d, struct upstream_conn, again), 0);
}

/* The client is what everybody waits for when it reads slowly or sends slowly: its own limits apply. */
static bool client_is_the_slow_one(const struct upstream_conn *u)
{
    return u->ex && (u->ex->answer_paused || admit_holds_end(u->ex) ||
                     (!u->ex->body_done && !u->head_seen && u->ex->req_body.bytes == 0));
}

static void timed_out(struct timer *t)
{
    struct upstream_conn *u = container_of(t, struct upstream_conn, timer);
    switch (u->state) {
    case UP_IDLE:
        upstream_close(u);
        break;
    case UP_BUSY:
        if (client_is_the_slow_one(u)) {
            set_timeout(u, upstream_response_timeout_ms(u->ex));
            break;
        }
        COUNT(u->proxy, timeouts_total);
        upstream_fail(u, 504, false);
        break;
    case UP_DIALING:
    case UP_CONNECTING:
    case UP_HANDSHAKE:
        COUNT(u->proxy, timeouts_total);
        upstream_fail(u, 504, true);
        break;
    case UP_TUNNEL:
        break;
    }
}
