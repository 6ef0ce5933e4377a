/* proxy/client_h2.c - an HTTP/2 connection: bytes in and out, streams opened and closed.
 *
 * Invariants:
 *  1. A stream has one exchange, made when its fields begin to come and freed when nghttp2 closes the stream.
 *  2. nghttp2_session_mem_recv and _mem_send are called from client_h2_ready only, never from below them.
 *  3. What is sent waits in client->out, bounded by OUT_HIGH: above it frames stay inside nghttp2, whose flow
 *     control bounds what they hold. Request bodies are given back to the window only as the upstream takes
 * them.
 *  4. nghttp2 frames; what a message may say is checked here (client_h2_request.c), so that a client gets an
 * answer and a counter for what it did wrong, the same as in HTTP/1. */
#include "proxy/h2.h"
#include "proxy/upstream.h"

#include "base/must.h"

#include <errno.h>
#include <stdlib.h>

enum { OUT_HIGH = 64 * 1024, CONNECTION_WINDOW = 1 << 20, READ_PER_TURN = 256 * 1024 };

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
    s->came_ms = loop_now_ms(h->client->proxy->loop);
    s->ex = exchange_new(h->client, &h2_side, s);
    if (!s->ex) {
        free(s);
        return NULL;
    }
    list_push_back(&h->streams, &s->node);
    h->stream_count++;
    h2_watch(h);
    return s;
}

static void stream_free(struct h2_stream *s)
{
    struct h2_conn *h = s->conn;
    struct exchange *ex = s->ex;
    struct chunk_pool *chunks = &h->client->proxy->chunks;
    if (ex->state == EXCHANGE_DONE && s->out.bytes)
        ex->state = EXCHANGE_ANSWER; /* complete for the upstream, but the client never got the end of it */
    if (ex->state != EXCHANGE_BROKEN)
        exchange_abort(ex);
    exchange_free(ex);
    h->header_bytes_held -= s->header_bytes;
    h->answer_bytes_held -= s->out.bytes;
    outq_clear(&s->out, chunks);
    outq_clear(&s->early, chunks);
    list_remove(&s->node);
    free(s);
    if (--h->stream_count == 0)
        h->idle_since_ms = loop_now_ms(h->client->proxy->loop);
}

/* ---- what nghttp2 calls */

static int frame_begins(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    h2_count_frame(user, hd);
    if (hd->type == NGHTTP2_PRIORITY && hd->stream_id == 0) /* nghttp2 looks away: RFC 9113 6.3 */
        nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR);
    return 0;
}

static int headers_begin(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    static const nghttp2_extpri in_turns = {NGHTTP2_EXTPRI_DEFAULT_URGENCY, 1};
    struct h2_conn *h = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct h2_stream *s = h->flooded ? NULL : stream_new(h, frame->hd.stream_id);
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    nghttp2_session_set_stream_user_data(session, s->id, s);
    if (nghttp2_session_change_extpri_stream_priority(session, s->id, &in_turns, 1) != 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return 0;
}

static int field_came(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                      size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags [[maybe_unused]],
                      void *user)
{
    struct h2_conn *h = user;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (h2_take_field(s, (struct str){(const char *)name, name_n}, (struct str){(const char *)value, value_n},
                      s->begun))
        return 0;
    h2_flooded(h);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int frame_came(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct h2_stream *s;
    if (frame->hd.type == NGHTTP2_DATA && !ends && frame->hd.length == frame->data.padlen)
        h2_count_empty_data(user);
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!s)
        return 0;
    if (!s->begun)
        h2_begin_request(s, !ends);
    else if (ends)
        h2_end_request(s);
    else if (frame->hd.type == NGHTTP2_HEADERS) /* trailers that do not end the stream (RFC 9113 8.1) */
        h2_refuse_body(s, REFUSAL_TRAILER);
    return 0;
}

static int data_came(nghttp2_session *session, uint8_t flags [[maybe_unused]], int32_t id,
                     const uint8_t *data, size_t n, void *user [[maybe_unused]])
{
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    nghttp2_session_consume_connection(session, n);
    if (s)
        h2_take_body(s, (struct str){(const char *)data, n});
    return 0;
}

static int stream_closed(nghttp2_session *session, int32_t id, uint32_t code [[maybe_unused]],
                         void *user [[maybe_unused]])
{
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (s)
        stream_free(s);
    return 0;
}

/* An answer that ended before the request did: what still comes is dropped, and after a while the client is
 * told to stop (RFC 9113 8.1). Telling it at once makes some clients lose the answer. */
static int frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    if (frame->hd.type == NGHTTP2_RST_STREAM || frame->hd.type == NGHTTP2_GOAWAY)
        h2_count_end(user, frame);
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (s && !s->ended)
        s->answered_ms = loop_now_ms(s->ex->proxy->loop);
    return 0;
}

/* A DATA frame: its header, then bytes moved from the stream's queue to the connection's. */
static int send_data(nghttp2_session *session [[maybe_unused]], nghttp2_frame *frame, const uint8_t *header,
                     size_t length, nghttp2_data_source *source, void *user)
{
    struct h2_conn *h = user;
    struct h2_stream *s = source->ptr;
    struct chunk_pool *chunks = &h->client->proxy->chunks;
    must(frame->data.padlen == 0);
    if (h->client->out.bytes >= OUT_HIGH)
        return NGHTTP2_ERR_WOULDBLOCK;
    if (!outq_add(&h->client->out, chunks, (struct str){(const char *)header, 9}))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    h->bytes_sent += length;
    h->answer_bytes_held -= length;
    s->left_since += length;
    s->left_ms = h->left_ms = loop_now_ms(h->client->proxy->loop);
    while (length) {
        struct iovec piece;
        must(outq_iov(&s->out, &piece, 1) == 1);
        size_t n = piece.iov_len < length ? piece.iov_len : length;
        if (!outq_add(&h->client->out, chunks, (struct str){piece.iov_base, n}))
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        outq_consume(&s->out, chunks, n);
        length -= n;
    }
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
    nghttp2_option_set_no_http_messaging(o, 1);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_settings(o, 32);
    nghttp2_option_set_max_outbound_ack(o, 100);
    return o;
}

/* The tree of priorities of RFC 7540 is not kept: streams take turns (RFC 9218 2.1). */
static bool say_settings(struct h2_conn *h)
{
    const struct config_limits *limits = client_limits(h->client);
    h->streams_said = h2_streams_allowed(h);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->streams_said},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->header_bytes},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    return nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
                                   sizeof settings / sizeof *settings) == 0 &&
           nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) == 0;
}

bool client_h2_start(struct client *c)
{
    struct h2_conn *h = calloc(1, sizeof *h);
    if (!h)
        return false;
    h->client = c;
    h->minute_began_ms = h->idle_since_ms = loop_now_ms(c->proxy->loop);
    list_init(&h->streams);
    c->h2 = h;
    if (!callbacks() || !options() ||
        nghttp2_session_server_new2(&h->session, callbacks(), h, options()) != 0)
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

/* False: nothing more may come in: this is not HTTP/2, or no end of answers is asked for, or there is no
 * memory. */
static bool feed(struct h2_conn *h)
{
    struct client *c = h->client;
    struct str bytes = chunk_text(c->in);
    ssize_t n = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes.p, bytes.n);
    h->bytes_in += bytes.n;
    c->in->at = c->in->end;
    if (n == NGHTTP2_ERR_FLOODED || n == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS)
        h2_flooded(h);
    if (n == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
        shared_count_refusal(c->proxy->counts, REFUSAL_VERSION);
    return n == (ssize_t)bytes.n;
}

static bool may_read(const struct h2_conn *h)
{
    return h->client->out.bytes < OUT_HIGH && transport_can_read(&h->client->t) && !h->flooded;
}

static bool read_all(struct h2_conn *h)
{
    struct client *c = h->client;
    if (c->in && c->in->end > c->in->at && !feed(h))
        return false;
    for (size_t taken = 0; may_read(h) && taken < READ_PER_TURN;) {
        if (!c->in)
            c->in = chunk_get(&c->proxy->chunks);
        if (!c->in)
            return false;
        chunk_rewind(c->in);
        ssize_t n = transport_read(&c->t, &c->proxy->io, c->in->data, c->in->cap);
        if (n == -EAGAIN)
            break;
        if (n <= 0)
            return false;
        c->in->end = (uint32_t)n;
        taken += (size_t)n;
        COUNT_BY(c->proxy, client_bytes_in_total, (uint64_t)n);
        if (!feed(h))
            return false;
    }
    chunk_put(&c->proxy->chunks, c->in);
    c->in = NULL;
    return true;
}

/* False: broken. *ret_more: there may be more to send than fits now. */
static bool gather(struct h2_conn *h, bool *ret_more)
{
    struct client *c = h->client;
    *ret_more = false;
    for (;;) {
        const uint8_t *data;
        if (c->out.bytes >= OUT_HIGH) {
            *ret_more = true;
            return true;
        }
        ssize_t n = nghttp2_session_mem_send(h->session, &data);
        if (n < 0)
            return false;
        if (n == 0 && c->out.bytes < OUT_HIGH)
            return true;
        if (n > 0 && !outq_add(&c->out, &c->proxy->chunks, (struct str){(const char *)data, (size_t)n}))
            return false;
    }
}

static bool write_all(struct h2_conn *h)
{
    bool more;
    do {
        if (!gather(h, &more) || !client_flush(h->client))
            return false;
    } while (more && h->client->out.bytes == 0);
    return true;
}

/* A request and its reset that come together are no work for anybody: nothing is begun before all that came
 * was read (CVE-2023-44487). */
static void begin_due(struct h2_conn *h)
{
    for (struct list *node = h->streams.next; node != &h->streams; node = node->next) {
        struct h2_stream *s = container_of(node, struct h2_stream, node);
        bool is_due = s->is_due;
        s->is_due = false;
        if (is_due)
            exchange_begin(s->ex);
    }
}

/* Bodies that came whole or in part in this turn go to their upstreams now. */
static void flush_requests(struct h2_conn *h)
{
    struct list *next;
    for (struct list *node = h->streams.next; node != &h->streams; node = next) {
        struct exchange *ex = container_of(node, struct h2_stream, node)->ex;
        next = node->next;
        if (ex->tunnel && ex->up)
            upstream_send(ex);
        else
            exchange_request_flush(ex);
    }
}

/* Nothing more is to be said or heard: after the last bytes, or at once when the client is gone. */
static void finish(struct client *c, bool is_readable)
{
    bool all_sent = c->out.bytes == 0 && c->t.cipher.bytes == 0;
    if (!all_sent || !is_readable) {
        client_close(c);
        return;
    }
    client_h2_free(c);
    client_linger(c);
}

void client_h2_ready(struct client *c)
{
    struct h2_conn *h = c->h2;
    if (c->close_after || c->proxy->draining)
        client_h2_drain(c);
    bool alive = read_all(h);
    if (alive)
        begin_due(h);
    flush_requests(h);
    bool sent = write_all(h);
    bool waits = c->out.bytes || c->t.cipher.bytes;
    bool over = !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session) && !waits;
    if (!sent || !alive || over) {
        finish(c, sent && over);
        return;
    }
    if (waits) {
        client_transfer_waits(c);
        h2_watch(h);
    } else {
        c->transfer_waits = false;
    }
    if (may_read(h))
        h2_schedule(h);
}

void client_h2_drain(struct client *c)
{
    struct h2_conn *h = c->h2;
    if (h->shutdown_noticed)
        return;
    h->shutdown_noticed = true;
    nghttp2_submit_shutdown_notice(h->session);
    h2_watch(h);
    h2_schedule(h);
}
