/* proxy/client_h2_body.c - the request's body on a stream, or a tunnel's bytes: what was announced, in order,
 * and with the window given back only as somebody takes it.
 *
 * Before an application has agreed to an upgrade nothing of the tunnel may reach it: it would read the bytes
 * as its next request. They wait in `early`. */
#include "proxy/h2.h"

enum { DROPPED_MAX = 1 << 20 };

void h2_refuse_body(struct h2_stream *s, enum http_refusal why)
{
    struct exchange *ex = s->ex;
    if (ex->state == EXCHANGE_DONE || ex->state == EXCHANGE_BROKEN)
        return;
    if (!ex->answer_begun) {
        exchange_refuse(ex, why);
        return;
    }
    shared_count_refusal(ex->proxy->counts, why);
    exchange_abort(ex);
    h2_reset(s, NGHTTP2_PROTOCOL_ERROR);
}

static void give_back(struct h2_stream *s, size_t n)
{
    nghttp2_session_consume_stream(s->conn->session, s->id, n);
}

/* Answered already: so much is still read, so that the client comes to see the answer, but not more. */
static void drop(struct h2_stream *s, size_t n)
{
    bool was_enough = s->dropped > DROPPED_MAX;
    s->dropped += n;
    if (s->dropped <= DROPPED_MAX)
        give_back(s, n);
    else if (s->answered_ms && !was_enough)
        h2_reset(s, NGHTTP2_NO_ERROR);
}

static bool waits_for_agreement(const struct exchange *ex)
{
    return ex->req.has_upgrade && !ex->answer_begun;
}

static bool is_wanted(const struct exchange *ex)
{
    return exchange_takes_body(ex) && (ex->tunnel || !ex->req.has_upgrade);
}

void h2_take_body(struct h2_stream *s, struct str bytes)
{
    struct exchange *ex = s->ex;
    s->came_ms = loop_now_ms(ex->proxy->loop);
    if (waits_for_agreement(ex)) {
        s->unconsumed += bytes.n;
        if (!outq_add(&s->early, &ex->proxy->chunks, bytes))
            h2_reset(s, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    if (s->has_length && bytes.n > ex->req.content_length - ex->body_received && is_wanted(ex)) {
        h2_refuse_body(s, REFUSAL_BODY_LENGTH);
        return;
    }
    if (!is_wanted(ex)) {
        drop(s, bytes.n);
        return;
    }
    exchange_request_body(ex, bytes);
    s->unconsumed += bytes.n;
    if (!ex->body_paused)
        h2_body_goes_on(s);
    else if (!s->paused_ms)
        s->paused_ms = s->came_ms;
}

static void pass_early(struct h2_stream *s)
{
    struct exchange *ex = s->ex;
    struct iovec piece;
    while (ex->up && outq_iov(&s->early, &piece, 1) == 1) {
        exchange_request_body(ex, (struct str){piece.iov_base, piece.iov_len});
        outq_consume(&s->early, &ex->proxy->chunks, piece.iov_len);
    }
    if (s->ended)
        exchange_request_end(ex, NULL, 0);
}

void h2_body_goes_on(struct h2_stream *s)
{
    uint64_t now = loop_now_ms(s->ex->proxy->loop);
    if (s->paused_ms) { /* the time that it was made to wait is not the client's */
        s->began_ms += now - s->paused_ms;
        s->came_ms = now;
        s->paused_ms = 0;
    }
    give_back(s, s->unconsumed);
    s->unconsumed = 0;
    if (s->ex->tunnel && !s->ex->body_done && (s->early.bytes || s->ended))
        pass_early(s);
}

void h2_end_request(struct h2_stream *s)
{
    struct exchange *ex = s->ex;
    s->ended = true;
    s->answered_ms = 0;
    if (waits_for_agreement(ex) || !is_wanted(ex))
        return;
    if (s->refused != REFUSAL_NONE)
        h2_refuse_body(s, s->refused);
    else if (s->has_length && ex->body_received != ex->req.content_length)
        h2_refuse_body(s, REFUSAL_BODY_LENGTH);
    else
        exchange_request_end(ex, s->trailers, s->trailer_count);
}
