/* proxy/tunnel.c - after an upgrade (RFC 6455, RFC 8441): bytes both ways until one side ends.
 *
 * Towards the client they go through the exchange's side, towards the upstream through its body queue, so the
 * same bounds and back-pressure hold as for requests. Over HTTP/2 the client's half lives in client_h2.c. */
#include "proxy/client.h"
#include "proxy/upstream.h"

#include <errno.h>
#include <sys/socket.h>

static uint32_t idle_ms(const struct exchange *ex)
{
    return client_limits(ex->client)->tunnel_idle_timeout_ms;
}

/* The client's half in HTTP/1: true while it goes on. */
static bool pump_client(struct client *c)
{
    struct exchange *ex = c->ex;
    if (c->in && c->in->end > c->in->at) {
        struct str bytes = chunk_text(c->in);
        c->in->at = c->in->end;
        exchange_request_body(ex, bytes);
    }
    while (!c->dead && c->ex == ex && !ex->body_paused && !ex->body_done && transport_can_read(&c->t)) {
        if (!c->in)
            c->in = chunk_get(&c->proxy->chunks);
        if (!c->in)
            return false;
        chunk_rewind(c->in);
        ssize_t n = transport_read(&c->t, &c->proxy->io, c->in->data, c->in->cap);
        if (n == -EAGAIN)
            break;
        if (n <= 0) {
            exchange_request_end(ex, NULL, 0);
            break;
        }
        c->in->end = (uint32_t)n;
        exchange_request_body(ex, chunk_text(c->in));
    }
    chunk_put(&c->proxy->chunks, c->in);
    c->in = NULL;
    return true;
}

void client_tunnel_ready(struct client *c)
{
    struct exchange *ex = c->ex;
    if (!client_flush(c))
        return;
    if (c->answer_ended) {
        if (c->out.bytes == 0 && c->t.cipher.bytes == 0)
            client_fail(c);
        return;
    }
    client_set_timeout(c, idle_ms(ex));
    if (ex->answer_paused && c->out.bytes < EXCHANGE_QUEUE_HIGH / 2)
        exchange_answer_drained(ex);
    if (!pump_client(c))
        client_fail(c);
    else if (!c->dead && c->ex == ex && ex->up)
        upstream_send(ex);
}

static void upstream_ended(struct upstream_conn *u)
{
    struct exchange *ex = u->ex;
    upstream_finish(u, false);
    exchange_upstream_end(ex, NULL, 0);
}

void upstream_tunnel_ready(struct upstream_conn *u)
{
    struct exchange *ex = u->ex;
    upstream_send(ex);
    if (ex->body_done && ex->req_body.bytes == 0 && u->t.cipher.bytes == 0)
        shutdown(u->t.io.fd, SHUT_WR);
    while (!ex->answer_paused) {
        if (!u->in)
            u->in = chunk_get(&u->proxy->chunks);
        if (!u->in) {
            upstream_ended(u);
            return;
        }
        if (u->in->end > u->in->at) {
            struct str bytes = chunk_text(u->in);
            u->in->at = u->in->end;
            exchange_upstream_body(ex, bytes);
            continue;
        }
        chunk_rewind(u->in);
        ssize_t n = transport_read(&u->t, &u->proxy->io, u->in->data, u->in->cap);
        if (n == -EAGAIN)
            break;
        if (n <= 0 || u->send_failed) {
            upstream_ended(u);
            return;
        }
        u->in->end = (uint32_t)n;
    }
    chunk_put(&u->proxy->chunks, u->in);
    u->in = NULL;
    if (ex->client->state == CLIENT_TUNNEL)
        client_set_timeout(ex->client, idle_ms(ex));
    ex->side->flush(ex);
}

void tunnel_begin(struct exchange *ex)
{
    struct client *c = ex->client;
    ex->body_limit = UINT64_MAX;
    ex->body_chunked_up = false;
    ex->body_done = false;
    ex->up->state = UP_TUNNEL;
    timer_clear(ex->proxy->loop, &ex->up->timer);
    COUNT(ex->proxy, tunnels_total);
    GAUGE_UP(ex->proxy, tunnels_open);
    ex->proxy->tunnel_count++;
    if (c->state == CLIENT_H1) {
        c->state = CLIENT_TUNNEL;
        c->close_after = true;
        c->chunked_out = false;
        client_set_timeout(c, idle_ms(ex));
        loop_defer(ex->proxy->loop, &c->again);
    } else {
        ex->side->read_more(ex);
    }
    loop_defer(ex->proxy->loop, &ex->up->again);
}
