/* proxy/client_h1.c - HTTP/1 towards the client: heads and bodies in, answers out, one request after another.
 *
 * Invariants:
 *  1. At most one exchange at a time; bytes of a pipelined request wait in c->in (or in the socket).
 *  2. c->ex exists from a request's first byte until its answer was sent whole (c->answer_ended, c->out
 * empty).
 *  3. Functions called by the exchange (the side) never free the client: they mark it (client_fail). */
#include "base/unconst.h"
#include "proxy/client.h"
#include "proxy/forward.h"
#include "proxy/upstream.h"

#include "base/must.h"

#include <errno.h>

enum { SMALL_BODY_BYTES = 4096, STEPS_PER_TURN = 32 };

/* ---- input */

static struct h1_limits head_limits(const struct client *c)
{
    const struct config_limits *l = client_limits(c);
    return (struct h1_limits){l->header_bytes, l->header_count, l->target_bytes,
                              l->underscores == UNDERSCORE_KEEP};
}

/* More than 0: bytes came. 0: the client closed its side. -EAGAIN: later. Other: broken. */
static ssize_t fill(struct client *c)
{
    if (!transport_can_read(&c->t))
        return -EAGAIN;
    if (!chunk_make_room(&c->in, &c->proxy->chunks))
        return -ENOMEM;
    ssize_t n = transport_read(&c->t, &c->proxy->io, c->in->data + c->in->end, chunk_room(c->in));
    if (n > 0) {
        c->in->end += (uint32_t)n;
        COUNT_BY(c->proxy, client_bytes_in_total, (uint64_t)n);
    }
    return n;
}

static void drop_empty_input(struct client *c)
{
    if (c->in && c->in->at == c->in->end) {
        chunk_put(&c->proxy->chunks, c->in);
        c->in = NULL;
    }
}

static const struct exchange_side h1_side;

/* The body takes the place of the head's bytes, and a page of the gate's own that comes after it still asks
 * for the form and the language that are wanted. */
static void keep_accept(struct exchange *ex)
{
    for (unsigned i = 0; i < ex->req.field_count; i++) {
        struct http_field *f = &ex->req.fields[i];
        if (f->id == FIELD_ACCEPT || str_eq_nocase(f->name, STR("accept-language"))) {
            f->name = arena_copy(ex->arena, f->name);
            f->value = arena_copy(ex->arena, f->value);
        }
    }
    ex->req.query = arena_copy(ex->arena, ex->req.query);
}

static void begin_request(struct client *c, size_t head_bytes)
{
    struct exchange *ex = c->ex;
    c->in->at += (uint32_t)head_bytes;
    c->head_waits = c->in_trailers = c->sent_continue = false;
    c->scanned = 0;
    c->chunked = (struct h1_chunked){0};
    ex->req.scheme = c->t.tls ? STR("https") : STR("http");
    ex->body_done = ex->req.body == BODY_NONE || (ex->req.body == BODY_LENGTH && ex->req.content_length == 0);
    if (!ex->body_done)
        keep_accept(ex);
    exchange_begin(ex);
}

/* A connection that ends between requests, or inside a head, ends without a word. */
static bool head_input_ended(struct client *c, ssize_t n)
{
    if (n == -ENOMEM && c->ex) {
        exchange_refuse(c->ex, REFUSAL_HEAD_TOO_LARGE);
        return false;
    }
    client_fail(c);
    return false;
}

/* HTTP/2 with prior knowledge on a clear-text listener (RFC 9113 3.3): 1 it is, 0 it may be, -1 it is not. */
static int h2_preface(const struct client *c)
{
    static const struct str preface = STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    struct str begin = str_take(chunk_text(c->in), preface.n);
    if (!c->is_first || c->t.tls || !c->listener->config->http2 || !str_starts(preface, begin))
        return -1;
    return begin.n == preface.n;
}

static bool become_h2(struct client *c)
{
    c->state = CLIENT_H2;
    if (!client_h2_start(c))
        client_fail(c);
    else
        loop_defer(c->proxy->loop, &c->again);
    return false;
}

/* True: a request began. False: more input is needed, or the connection is done for. */
static bool take_head(struct client *c)
{
    struct h1_limits limits = head_limits(c);
    for (;;) {
        int preface = c->is_first && c->in ? h2_preface(c) : -1;
        if (preface > 0)
            return become_h2(c);
        if (preface < 0 && c->in && c->in->end > c->in->at) {
            enum http_refusal why = REFUSAL_NONE;
            if (!c->ex) {
                client_refresh_snapshot(c);
                c->ex = exchange_new(c, &h1_side, NULL);
            }
            if (!c->ex)
                return head_input_ended(c, -EIO);
            ptrdiff_t n =
                h1_parse_request(chunk_text(c->in), &c->scanned, &limits, c->ex->arena, &c->ex->req, &why);
            if (n > 0) {
                begin_request(c, (size_t)n);
                return true;
            }
            if (n < 0) {
                exchange_refuse(c->ex, why);
                return false;
            }
        }
        ssize_t n = fill(c);
        if (n == -EAGAIN) {
            drop_empty_input(c);
            if (c->ex && !c->head_waits)
                client_set_timeout(c, client_limits(c)->header_timeout_ms);
            c->head_waits = c->ex != NULL;
            return false;
        }
        if (n <= 0)
            return head_input_ended(c, n);
    }
}

/* ---- request bodies: each returns true when it used something, false when it needs more bytes */

static void body_refused(struct client *c, enum http_refusal why)
{
    c->close_after = true;
    if (c->ex->answer_begun || c->answer_ended)
        client_fail(c);
    else
        exchange_refuse(c->ex, why);
}

static bool take_length_body(struct client *c)
{
    struct exchange *ex = c->ex;
    uint64_t left = ex->req.content_length - ex->body_received;
    struct str bytes = str_take(chunk_text(c->in), left);
    c->in->at += (uint32_t)bytes.n;
    bool ended = bytes.n == left;
    if (bytes.n)
        exchange_request_body(ex, bytes);
    if (ended && c->ex == ex && ex->state != EXCHANGE_BROKEN)
        exchange_request_end(ex, NULL, 0);
    return true;
}

static bool take_trailers(struct client *c)
{
    struct h1_limits limits = head_limits(c);
    struct http_field *fields = NULL;
    unsigned count = 0;
    enum http_refusal why = REFUSAL_NONE;
    ptrdiff_t n =
        h1_parse_trailers(chunk_text(c->in), &c->scanned, &limits, c->ex->arena, &fields, &count, &why);
    if (n == 0)
        return false;
    c->scanned = 0;
    if (n < 0) {
        body_refused(c, why);
        return true;
    }
    c->in->at += (uint32_t)n;
    c->in_trailers = false;
    exchange_request_end(c->ex, fields, count);
    return true;
}

static bool take_chunked_body(struct client *c)
{
    size_t taken = 0;
    struct str data = STR_NONE;
    if (c->in_trailers)
        return take_trailers(c);
    enum h1_chunked_result result = h1_chunked_feed(&c->chunked, chunk_text(c->in), &taken, &data);
    c->in->at += (uint32_t)taken;
    switch (result) {
    case CHUNKED_DATA:
        exchange_request_body(c->ex, data);
        return true;
    case CHUNKED_TRAILER:
        c->in_trailers = true;
        return true;
    case CHUNKED_MORE:
        return false;
    case CHUNKED_END:
    case CHUNKED_BAD:
        break;
    }
    body_refused(c, REFUSAL_CHUNK);
    return true;
}

static void send_continue(struct client *c)
{
    if (!c->ex->req.expects_continue || c->sent_continue || c->ex->answer_begun ||
        (c->in && c->in->end > c->in->at))
        return;
    c->sent_continue = true;
    if (outq_add(&c->out, &c->proxy->chunks, STR("HTTP/1.1 100 Continue\r\n\r\n")))
        client_flush(c);
}

/* True: some of the body was used. False: wait. */
static bool take_body(struct client *c)
{
    if (c->in && c->in->end > c->in->at) {
        bool used = c->ex->req.body == BODY_CHUNKED ? take_chunked_body(c) : take_length_body(c);
        if (used)
            return true;
    }
    if (c->ex->state >= EXCHANGE_ANSWER && c->close_after && c->ex->answer_begun)
        return false; /* answered already: the rest of the body is dropped while lingering */
    drop_empty_input(c);
    send_continue(c);
    ssize_t n = fill(c);
    if (n == -EAGAIN) {
        client_transfer_waits(c);
        return false;
    }
    if (n > 0) {
        client_transfer_moved(c, (size_t)n);
        return true;
    }
    client_fail(c);
    return false;
}

/* ---- the connection */

static void finish_answer(struct client *c)
{
    struct exchange *ex = c->ex;
    must(ex);
    bool close = c->close_after || ex->close_client || !ex->req.keep_alive || !ex->body_done;
    c->ex = NULL;
    c->answer_ended = c->transfer_waits = c->head_waits = c->is_first = false;
    c->scanned = 0;
    exchange_free(ex);
    drop_empty_input(c);
    if (close || c->dead) {
        client_linger(c);
        return;
    }
    client_set_timeout(c, client_limits(c)->idle_timeout_ms);
    if (c->in || transport_can_read(&c->t))
        loop_defer(c->proxy->loop, &c->again);
}

static bool all_sent(const struct client *c)
{
    return c->out.bytes == 0 && c->t.cipher.bytes == 0;
}

/* Sends what waits. False: nothing else can be done now. */
static bool push_out(struct client *c)
{
    if (!all_sent(c) && !client_flush(c))
        return false;
    if (!all_sent(c))
        client_transfer_waits(c);
    else if (c->ex && c->ex->body_done)
        c->transfer_waits = false;
    if (c->answer_ended) {
        if (all_sent(c))
            finish_answer(c);
        return false;
    }
    if (c->ex && c->ex->answer_paused && c->out.bytes < EXCHANGE_QUEUE_HIGH / 2)
        exchange_answer_drained(c->ex);
    return !c->dead;
}

/* Who closes while the request waits for its turn has gone: what is left of it is a place that others want.
 */
static bool gave_up_waiting(struct client *c)
{
    if (!c->ex || c->ex->state != EXCHANGE_ADMIT || !c->t.hung_up)
        return false;
    COUNT(c->proxy, admission_hung_up_total);
    return true;
}

/* The client closed or reset while its answer is being made. A half-close is legal (RFC 9112 9.6): only a
 * reset, which comes as EPOLLERR, ends the request. */
void client_h1_ready(struct client *c)
{
    if (!push_out(c))
        return;
    for (unsigned steps = 0; !c->dead && !c->answer_ended && c->state == CLIENT_H1; steps++) {
        bool went_on;
        if (steps == STEPS_PER_TURN) { /* others want their turn */
            loop_defer(c->proxy->loop, &c->again);
            break;
        }
        if (!c->ex || c->ex->state == EXCHANGE_READ)
            went_on = take_head(c);
        else if (c->ex->body_done || c->ex->body_paused || c->ex->tunnel)
            break;
        else
            went_on = take_body(c);
        if (!went_on)
            break;
    }
    if (c->state == CLIENT_TUNNEL)
        client_tunnel_ready(c);
    else if (gave_up_waiting(c))
        client_fail(c);
    else if (c->ex && c->ex->state < EXCHANGE_DONE) /* an answer may begin before the body is whole */
        exchange_request_flush(c->ex);
}

void client_h1_timeout(struct client *c)
{
    struct exchange *ex = c->ex;
    if (ex && ex->state != EXCHANGE_READ) {
        if (!c->transfer_waits) { /* it is the upstream's turn, and the upstream has its own limits */
            client_set_timeout(c, client_limits(c)->stall_timeout_ms);
            return;
        }
        if (!client_transfer_too_slow(c)) {
            client_set_timeout(c, 1000);
            return;
        }
    }
    COUNT(c->proxy, timeouts_total);
    if (ex && !ex->answer_begun) {
        exchange_refuse(ex, ex->state == EXCHANGE_READ ? REFUSAL_HEADER_TIMEOUT : REFUSAL_BODY_TIMEOUT);
        return;
    }
    client_close(c);
}

/* ---- the side: what the exchange calls */

struct head_writer {
    struct buf *b;
};

static void write_field(void *self, struct str name, struct str value)
{
    struct head_writer *w = self;
    buf_str(w->b, name);
    BUF_LIT(w->b, ": ");
    buf_str(w->b, value);
    BUF_LIT(w->b, "\r\n");
}

static void write_status_line(struct buf *b, uint16_t status)
{
    BUF_LIT(b, "HTTP/1.1 ");
    buf_u64(b, status);
    buf_char(b, ' ');
    buf_str(b, http_reason(status));
    BUF_LIT(b, "\r\n");
}

static void write_framing(struct client *c, struct buf *b)
{
    struct exchange *ex = c->ex;
    c->chunked_out = false;
    switch (ex->resp.body) {
    case BODY_LENGTH:
        BUF_LIT(b, "Content-Length: ");
        buf_u64(b, ex->resp.content_length);
        BUF_LIT(b, "\r\n");
        break;
    case BODY_CHUNKED:
    case BODY_UNTIL_CLOSE:
        if (ex->req.version == HTTP_1_0) {
            c->close_after = true;
        } else {
            c->chunked_out = true;
            BUF_LIT(b, "Transfer-Encoding: chunked\r\n");
        }
        break;
    case BODY_NONE:
        break;
    }
    if (ex->tunnel)
        BUF_LIT(b, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    else if (c->close_after || !ex->req.keep_alive || ex->close_client)
        BUF_LIT(b, "Connection: close\r\n");
    else if (ex->req.version == HTTP_1_0)
        BUF_LIT(b, "Connection: keep-alive\r\n");
}

static void write_head(struct client *c, struct buf *b)
{
    struct head_writer w = {b};
    write_status_line(b, c->ex->resp.status);
    forward_response_fields(c->ex, write_field, &w);
    write_framing(c, b);
    BUF_LIT(b, "\r\n");
}

static void side_head(struct exchange *ex)
{
    struct client *c = ex->client;
    if (c->proxy->draining || (!ex->body_done && !ex->tunnel && ex->by_gate))
        c->close_after = true;
    for (size_t room = CHUNK_BYTES / 2; room <= CHUNK_BIG_BYTES; room *= 8) {
        struct chunk *chunk = outq_reserve(&c->out, &c->proxy->chunks, room);
        if (!chunk)
            break;
        struct buf b = buf_over(chunk->data + chunk->end, chunk_room(chunk));
        write_head(c, &b);
        if (!buf_overflowed(&b)) {
            outq_commit(&c->out, chunk, b.n);
            return;
        }
    }
    client_fail(c);
}

static void side_interim(struct exchange *ex)
{
    struct client *c = ex->client;
    char text[4096];
    struct buf b = buf_over(text, sizeof text);
    struct head_writer w = {&b};
    if (ex->req.version == HTTP_1_0)
        return;
    write_status_line(&b, ex->resp.status);
    forward_response_fields(ex, write_field, &w);
    BUF_LIT(&b, "\r\n");
    if (!buf_overflowed(&b) && !outq_add(&c->out, &c->proxy->chunks, buf_text(&b)))
        client_fail(c);
}

/* A large piece that need not be encrypted goes from the upstream's buffer straight to the socket. */
static struct str write_directly(struct client *c, struct str bytes)
{
    struct iovec iov[16];
    unsigned count = outq_iov(&c->out, iov, 15);
    iov[count] = (struct iovec){unconst(bytes.p), bytes.n};
    ssize_t n = transport_writev(&c->t, &c->proxy->io, iov, count + 1);
    if (n < 0) {
        if (n != -EAGAIN)
            client_fail(c);
        return bytes;
    }
    client_transfer_moved(c, (size_t)n);
    COUNT_BY(c->proxy, client_bytes_out_total, (uint64_t)n);
    size_t queued = c->out.bytes < (size_t)n ? c->out.bytes : (size_t)n;
    outq_consume(&c->out, &c->proxy->chunks, queued);
    return str_skip(bytes, (size_t)n - queued);
}

static void side_body(struct exchange *ex, struct str bytes)
{
    struct client *c = ex->client;
    char size[20];
    struct buf b = buf_over(size, sizeof size);
    bool ok = true;
    if (c->dead)
        return;
    if (c->chunked_out) {
        h1_chunk_write_size(&b, bytes.n);
        ok = outq_add(&c->out, &c->proxy->chunks, buf_text(&b));
    }
    if (!c->t.tls && bytes.n > SMALL_BODY_BYTES && c->t.may_write)
        bytes = write_directly(c, bytes);
    ok = ok && outq_add(&c->out, &c->proxy->chunks, bytes);
    if (c->chunked_out)
        ok = ok && outq_add(&c->out, &c->proxy->chunks, STR("\r\n"));
    if (!ok)
        client_fail(c);
    else if (c->out.bytes > EXCHANGE_QUEUE_HIGH / 2)
        client_flush(c);
}

static void side_flush(struct exchange *ex)
{
    struct client *c = ex->client;
    if (c->dead)
        return;
    client_flush(c);
    if (!all_sent(c))
        client_transfer_waits(c);
}

static void write_last_chunk(struct client *c, const struct http_field *trailers, unsigned count)
{
    char text[8192];
    struct buf b = buf_over(text, sizeof text);
    struct head_writer w = {&b};
    BUF_LIT(&b, "0\r\n");
    for (unsigned i = 0; i < count; i++)
        if (forward_trailer_allowed(&trailers[i]))
            write_field(&w, trailers[i].name, trailers[i].value);
    if (buf_overflowed(&b)) {
        b = buf_over(text, sizeof text);
        BUF_LIT(&b, "0\r\n");
    }
    BUF_LIT(&b, "\r\n");
    if (!outq_add(&c->out, &c->proxy->chunks, buf_text(&b)))
        client_fail(c);
}

static void side_end(struct exchange *ex, const struct http_field *trailers, unsigned count)
{
    struct client *c = ex->client;
    if (c->chunked_out)
        write_last_chunk(c, trailers, count);
    c->answer_ended = true;
    if (c->dead || !client_flush(c))
        return;
    if (all_sent(c))
        finish_answer(c);
    else
        client_transfer_waits(c);
}

/* What came so far is sent, so that the client sees an answer cut short and not none at all. */
static void side_broken(struct exchange *ex)
{
    if (!ex->client->dead && ex->answer_begun)
        client_flush(ex->client);
    client_fail(ex->client);
}

static size_t side_queued(const struct exchange *ex)
{
    return ex->client->out.bytes;
}

static void side_read_more(struct exchange *ex)
{
    loop_defer(ex->proxy->loop, &ex->client->again);
}

static const struct exchange_side h1_side = {
    .interim = side_interim,
    .head = side_head,
    .body = side_body,
    .end = side_end,
    .broken = side_broken,
    .flush = side_flush,
    .queued = side_queued,
    .read_more = side_read_more,
};
