/* proxy/client_h2.c - an HTTP/2 connection: bytes in and out, streams opened and closed, limits.
 *
 * Invariants:
 *  1. A stream has one exchange, made when its fields begin to come and freed when nghttp2 closes the stream.
 *  2. nghttp2_session_mem_recv and _mem_send are called from client_h2_ready only, never from below them.
 *  3. What is sent waits in client->out, bounded by OUT_HIGH: above it frames stay inside nghttp2, whose flow
 *     control bounds what they hold. Request bodies are given back to the window only as the upstream takes them. */
#include "proxy/h2.h"
#include "proxy/upstream.h"

#include "base/must.h"

#include <errno.h>
#include <stdlib.h>

enum {
    OUT_HIGH = 64 * 1024,
    CONNECTION_WINDOW = 1 << 20,
    TICK_MS = 1000,
    WINDOW_UPDATES_PER_MINUTE = 60'000,
    BODY_GRACE_MS = 6000,
    DROPPED_MAX = 1 << 20, /* bytes of a request that was answered already */
    DROPPING_MS = 3000,
};

void h2_schedule(struct h2_conn *h)
{
    loop_defer(h->client->proxy->loop, &h->client->again);
}

/* ---- streams */

static struct h2_stream *stream_new(struct h2_conn *h, int32_t id)
{
    struct h2_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    client_refresh_snapshot(h->client);
    s->conn = h;
    s->id = id;
    s->moved_at_ms = loop_now_ms(h->client->proxy->loop);
    s->ex = exchange_new(h->client, &h2_side, s);
    if (!s->ex) {
        free(s);
        return NULL;
    }
    list_push_back(&h->streams, &s->node);
    if (h->stream_count++ == 0)
        client_set_timeout(h->client, TICK_MS);
    return s;
}

static void stream_free(struct h2_stream *s)
{
    struct h2_conn *h = s->conn;
    struct chunk_pool *chunks = &h->client->proxy->chunks;
    if (s->ex->state != EXCHANGE_DONE || s->out.bytes)
        exchange_abort(s->ex);
    exchange_free(s->ex);
    outq_clear(&s->out, chunks);
    h->header_bytes_held -= s->header_bytes;
    list_remove(&s->node);
    free(s);
    if (--h->stream_count == 0)
        client_set_timeout(h->client, client_limits(h->client)->idle_timeout_ms);
}

/* ---- floods: legal frames, in illegal numbers */

static void flooded(struct h2_conn *h)
{
    if (h->flooded)
        return;
    h->flooded = true;
    COUNT(h->client->proxy, h2_floods_total);
    nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void count_frame(struct h2_conn *h, const nghttp2_frame_hd *hd)
{
    const struct config_limits *limits = client_limits(h->client);
    uint64_t now = loop_now_ms(h->client->proxy->loop);
    if (now - h->minute_began_ms >= 60'000) {
        h->minute_began_ms = now;
        h->resets = h->controls = h->window_updates = 0;
    }
    switch (hd->type) {
    case NGHTTP2_RST_STREAM:
        h->resets++;
        break;
    case NGHTTP2_WINDOW_UPDATE:
        h->window_updates++;
        break;
    case NGHTTP2_HEADERS:
        break;
    case NGHTTP2_DATA:
        h->controls += hd->length == 0 && !(hd->flags & NGHTTP2_FLAG_END_STREAM);
        break;
    default: /* PING, SETTINGS, PRIORITY, CONTINUATION, unknown ones */
        h->controls += !(hd->flags & NGHTTP2_FLAG_ACK) || hd->type == NGHTTP2_CONTINUATION;
    }
    if (h->resets > limits->h2_resets_per_minute || h->controls > limits->h2_control_frames_per_minute ||
        h->window_updates > WINDOW_UPDATES_PER_MINUTE)
        flooded(h);
}

/* ---- what nghttp2 calls */

static int frame_begins(nghttp2_session *session [[maybe_unused]], const nghttp2_frame_hd *hd, void *user)
{
    count_frame(user, hd);
    return 0;
}

static int headers_begin(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_conn *h = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct h2_stream *s = stream_new(h, frame->hd.stream_id);
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    nghttp2_session_set_stream_user_data(session, s->id, s);
    return 0;
}

static int field_came(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
                      const uint8_t *value, size_t value_n, uint8_t flags [[maybe_unused]], void *user)
{
    struct h2_conn *h = user;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (h2_take_field(s, (struct str){(const char *)name, name_n}, (struct str){(const char *)value, value_n}, s->begun))
        return 0;
    flooded(h);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* nghttp2 would drop a field with bytes that are not allowed and go on; here the request is refused. */
static int bad_field_came(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name [[maybe_unused]],
                          size_t name_n [[maybe_unused]], const uint8_t *value [[maybe_unused]],
                          size_t value_n [[maybe_unused]], uint8_t flags [[maybe_unused]], void *user [[maybe_unused]])
{
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (s && s->refused == REFUSAL_NONE)
        s->refused = REFUSAL_FIELD_VALUE;
    return 0;
}

static void request_ended(struct h2_stream *s)
{
    struct exchange *ex = s->ex;
    if (s->refused != REFUSAL_NONE && !ex->answer_begun) {
        exchange_refuse(ex, REFUSAL_TRAILER);
        return;
    }
    if (!ex->body_done)
        exchange_request_end(ex, s->trailers, s->trailer_count);
}

static int frame_came(nghttp2_session *session, const nghttp2_frame *frame, void *user [[maybe_unused]])
{
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!s)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !s->begun)
        h2_begin_request(s, !ends);
    else if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) && ends)
        request_ended(s);
    return 0;
}

static int data_came(nghttp2_session *session, uint8_t flags [[maybe_unused]], int32_t id, const uint8_t *data, size_t n,
                     void *user)
{
    struct h2_conn *h = user;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    nghttp2_session_consume_connection(session, n);
    if (!s)
        return 0;
    s->moved_at_ms = loop_now_ms(h->client->proxy->loop);
    if (s->answered_ms && (s->dropped += n) > DROPPED_MAX)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
    exchange_request_body(s->ex, (struct str){(const char *)data, n});
    if (s->ex->body_paused)
        s->unconsumed += n;
    else
        nghttp2_session_consume_stream(session, id, n + s->unconsumed);
    if (!s->ex->body_paused)
        s->unconsumed = 0;
    return 0;
}

static int stream_closed(nghttp2_session *session, int32_t id, uint32_t code [[maybe_unused]], void *user [[maybe_unused]])
{
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (s)
        stream_free(s);
    return 0;
}

/* An answer that ended before the request did: what still comes is dropped, and after a while the client is told to
 * stop (RFC 9113 8.1). Telling it at once makes some clients lose the answer. */
static int frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user [[maybe_unused]])
{
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    bool ends = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
                (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    if (s && ends && !s->ex->body_done)
        s->answered_ms = loop_now_ms(s->ex->proxy->loop);
    return 0;
}

/* A DATA frame: its header, then bytes moved from the stream's queue to the connection's, without a copy in between. */
static int send_data(nghttp2_session *session [[maybe_unused]], nghttp2_frame *frame, const uint8_t *header, size_t length,
                     nghttp2_data_source *source, void *user)
{
    struct h2_conn *h = user;
    struct h2_stream *s = source->ptr;
    struct chunk_pool *chunks = &h->client->proxy->chunks;
    must(frame->data.padlen == 0);
    if (!outq_add(&h->client->out, chunks, (struct str){(const char *)header, 9}))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    while (length) {
        struct iovec piece;
        must(outq_iov(&s->out, &piece, 1) == 1);
        size_t n = piece.iov_len < length ? piece.iov_len : length;
        if (!outq_add(&h->client->out, chunks, (struct str){piece.iov_base, n}))
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        outq_consume(&s->out, chunks, n);
        length -= n;
    }
    s->moved_at_ms = loop_now_ms(h->client->proxy->loop);
    if (s->ex->answer_paused && s->out.bytes < EXCHANGE_QUEUE_HIGH / 2)
        exchange_answer_drained(s->ex);
    return 0;
}

/* ---- the session */

static nghttp2_session_callbacks *callbacks(void)
{
    static nghttp2_session_callbacks *c;
    if (c || nghttp2_session_callbacks_new(&c) != 0)
        return c;
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, frame_begins);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, headers_begin);
    nghttp2_session_callbacks_set_on_header_callback(c, field_came);
    nghttp2_session_callbacks_set_on_invalid_header_callback(c, bad_field_came);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, frame_came);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, data_came);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, stream_closed);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, frame_sent);
    nghttp2_session_callbacks_set_send_data_callback(c, send_data);
    return c;
}

static nghttp2_option *options(void)
{
    static nghttp2_option *o;
    if (o || nghttp2_option_new(&o) != 0)
        return o;
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_settings(o, 32);
    nghttp2_option_set_max_outbound_ack(o, 100);
    return o;
}

static bool say_settings(struct h2_conn *h)
{
    const struct config_limits *limits = client_limits(h->client);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->h2_streams},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->header_bytes},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
    };
    return nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings) == 0 &&
           nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) == 0;
}

bool client_h2_start(struct client *c)
{
    struct h2_conn *h = calloc(1, sizeof *h);
    if (!h)
        return false;
    h->client = c;
    h->minute_began_ms = loop_now_ms(c->proxy->loop);
    list_init(&h->streams);
    c->h2 = h;
    if (!callbacks() || !options() || nghttp2_session_server_new2(&h->session, callbacks(), h, options()) != 0)
        return false;
    COUNT(c->proxy, h2_connections_total);
    client_set_timeout(c, client_limits(c)->idle_timeout_ms);
    return say_settings(h);
}

void client_h2_free(struct client *c)
{
    struct h2_conn *h = c->h2;
    while (!list_is_empty(&h->streams))
        stream_free(container_of(h->streams.next, struct h2_stream, node));
    nghttp2_session_del(h->session);
    free(h);
    c->h2 = NULL;
}

/* ---- bytes */

/* False: nothing more may come in: the peer broke the protocol, or there is no memory. */
static bool feed(struct h2_conn *h)
{
    struct client *c = h->client;
    struct str bytes = chunk_text(c->in);
    ssize_t n = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes.p, bytes.n);
    h->bytes_in += bytes.n;
    c->in->at = c->in->end;
    return n == (ssize_t)bytes.n;
}

static bool read_all(struct h2_conn *h)
{
    struct client *c = h->client;
    if (c->in && c->in->end > c->in->at && !feed(h))
        return false;
    while (c->out.bytes < OUT_HIGH && transport_can_read(&c->t)) {
        if (!c->in)
            c->in = chunk_get(&c->proxy->chunks);
        if (!c->in)
            return false;
        c->in->at = c->in->end = 0;
        ssize_t n = transport_read(&c->t, &c->proxy->io, c->in->data, c->in->cap);
        if (n == -EAGAIN)
            break;
        if (n <= 0)
            return false;
        c->in->end = (uint32_t)n;
        COUNT_BY(c->proxy, client_bytes_in_total, (uint64_t)n);
        if (!feed(h))
            return false;
    }
    chunk_put(&c->proxy->chunks, c->in);
    c->in = NULL;
    return true;
}

static bool gather(struct h2_conn *h)
{
    struct client *c = h->client;
    while (c->out.bytes < OUT_HIGH) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(h->session, &data);
        if (n < 0)
            return false;
        if (n == 0)
            break;
        if (!outq_add(&c->out, &c->proxy->chunks, (struct str){(const char *)data, (size_t)n}))
            return false;
    }
    return true;
}

static bool write_all(struct h2_conn *h)
{
    struct client *c = h->client;
    do {
        if (!gather(h) || !client_flush(c))
            return false;
    } while (c->out.bytes == 0 && c->t.may_write && nghttp2_session_want_write(h->session) &&
             nghttp2_session_get_outbound_queue_size(h->session) > 0);
    return true;
}

/* Bodies that came whole or in part in this turn go to their upstreams now. */
static void flush_requests(struct h2_conn *h)
{
    struct list *next;
    for (struct list *node = h->streams.next; node != &h->streams; node = next) {
        struct h2_stream *s = container_of(node, struct h2_stream, node);
        next = node->next;
        if (s->ex->state == EXCHANGE_FORWARD || s->ex->tunnel)
            exchange_request_flush(s->ex);
    }
}

void client_h2_ready(struct client *c)
{
    struct h2_conn *h = c->h2;
    if (c->close_after || c->proxy->draining)
        client_h2_drain(c);
    bool alive = read_all(h);
    flush_requests(h);
    bool sent = write_all(h);
    if (c->out.bytes || c->t.cipher.bytes)
        client_transfer_waits(c);
    else
        c->transfer_waits = false;
    if (!sent || !alive ||
        (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session) && c->out.bytes == 0)) {
        if (sent && c->out.bytes == 0 && c->t.cipher.bytes == 0 && h->stream_count == 0 && alive)
            client_linger(c);
        else
            client_close(c);
    }
}

void client_h2_drain(struct client *c)
{
    struct h2_conn *h = c->h2;
    if (h->shutdown_noticed)
        return;
    h->shutdown_noticed = true;
    nghttp2_submit_shutdown_notice(h->session);
    client_set_timeout(c, TICK_MS);
    h2_schedule(h);
}

/* ---- time */

static bool stream_stalls(const struct h2_stream *s, uint64_t now)
{
    const struct config_limits *limits = client_limits(s->conn->client);
    const struct exchange *ex = s->ex;
    if (ex->tunnel)
        return limits->tunnel_idle_timeout_ms && now - s->moved_at_ms >= limits->tunnel_idle_timeout_ms;
    bool waits_for_body = s->begun && !ex->body_done && !ex->body_paused && !s->answer_ended;
    bool waits_for_window = s->out.bytes > 0 || (s->head_sent && s->answer_ended);
    if (!waits_for_body && !waits_for_window && s->begun)
        return false;
    uint32_t limit = s->begun ? limits->stall_timeout_ms : limits->header_timeout_ms;
    if (limit && now - s->moved_at_ms >= limit)
        return true;
    uint64_t elapsed = now - s->body_began_ms;
    return waits_for_body && limits->min_body_rate_bps && elapsed > BODY_GRACE_MS &&
           ex->body_received * 1000 / elapsed < limits->min_body_rate_bps;
}

static void end_stalled_streams(struct h2_conn *h)
{
    uint64_t now = loop_now_ms(h->client->proxy->loop);
    for (struct list *node = h->streams.next; node != &h->streams; node = node->next) {
        struct h2_stream *s = container_of(node, struct h2_stream, node);
        if (s->answered_ms && now - s->answered_ms >= DROPPING_MS)
            nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
        if (s->answered_ms || !stream_stalls(s, now))
            continue;
        COUNT(h->client->proxy, timeouts_total);
        s->moved_at_ms = now;
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
    }
}

void client_h2_timeout(struct client *c)
{
    struct h2_conn *h = c->h2;
    if (h->shutdown_noticed && !h->goaway_sent) {
        h->goaway_sent = true;
        nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->session),
                              NGHTTP2_NO_ERROR, NULL, 0);
    } else if (h->stream_count == 0) {
        nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
    }
    end_stalled_streams(h);
    client_set_timeout(c, TICK_MS);
    if (c->out.bytes && client_transfer_too_slow(c)) {
        COUNT(c->proxy, timeouts_total);
        client_close(c);
        return;
    }
    client_h2_ready(c);
}
