/* proxy/upstream_h1.c - the answer of an upstream, in HTTP/1. As strict as towards clients: an upstream that
 * lies about lengths or sends nonsense ends its own request, with 502, and its connection. */
#include "proxy/client.h"
#include "proxy/upstream.h"

#include <errno.h>

/* So many interim answers (RFC 9110 15.2) fit in a request's arena with all their fields. */
enum {
    ANSWER_HEAD_BYTES = CHUNK_BIG_BYTES - 1024,
    ANSWER_FIELDS = 200,
    INTERIM_MAX = 16,
    STEPS_PER_TURN = 64
};

static const struct h1_limits answer_limits = {ANSWER_HEAD_BYTES, ANSWER_FIELDS, 0, true};

enum step { STEP_ON, STEP_MORE, STEP_OVER }; /* goes on; needs more bytes; the connection is done with */

static bool has_input(const struct upstream_conn *u)
{
    return u->in && u->in->end > u->in->at;
}

/* The upstream closed, or broke. */
static enum step input_ended(struct upstream_conn *u, ssize_t n)
{
    struct exchange *ex = u->ex;
    if (u->head_seen && ex->resp.body == BODY_UNTIL_CLOSE && n == 0) {
        endpoint_note_result(u->endpoint, ex->resp.status >= 500);
        upstream_finish(u, false);
        exchange_upstream_end(ex, NULL, 0);
        return STEP_OVER;
    }
    /* Nothing was sent, or nothing came back over a connection that had been kept: RFC 9110 9.2.2, RFC
     * 9112 9.3.1. */
    bool untouched = u->head_sent == 0;
    bool may_retry =
        !u->head_seen && !has_input(u) && (untouched || http_method_is_idempotent(ex->req.method));
    upstream_fail(u, 502, may_retry);
    return STEP_OVER;
}

static enum step fill(struct upstream_conn *u)
{
    if (!transport_can_read(&u->t))
        return STEP_MORE;
    if (!chunk_make_room(&u->in, &u->proxy->chunks)) {
        upstream_fail(u, 502, false);
        return STEP_OVER;
    }
    ssize_t n = transport_read(&u->t, &u->proxy->io, u->in->data + u->in->end, chunk_room(u->in));
    if (n == -EAGAIN)
        return STEP_MORE;
    if (n <= 0)
        return input_ended(u, n);
    u->in->end += (uint32_t)n;
    return STEP_ON;
}

static enum step complete(struct upstream_conn *u, const struct http_field *trailers, unsigned count)
{
    struct exchange *ex = u->ex;
    bool all_sent = ex->body_done && ex->req_body.bytes == 0;
    endpoint_note_result(u->endpoint, ex->resp.status >= 500);
    upstream_finish(u, all_sent && ex->resp.keep_alive && !has_input(u));
    exchange_upstream_end(ex, trailers, count);
    return STEP_OVER;
}

/* A head that can be read, but not here: an upgrade that nobody asked for, or one more interim answer. */
static bool is_out_of_place(struct upstream_conn *u)
{
    const struct exchange *ex = u->ex;
    if (ex->resp.status == 101)
        return !ex->req.has_upgrade || !ex->resp.has_upgrade;
    return ex->resp.status < 200 && u->interim_count++ == INTERIM_MAX;
}

static enum step take_head(struct upstream_conn *u)
{
    struct exchange *ex = u->ex;
    enum http_refusal why = REFUSAL_NONE;
    enum http_method method = ex->req.has_upgrade ? METHOD_GET : ex->req.method;
    ptrdiff_t n =
        h1_parse_response(chunk_text(u->in), &u->scanned, &answer_limits, method, ex->arena, &ex->resp, &why);
    if (n == 0)
        return STEP_MORE;
    if (n < 0 || is_out_of_place(u)) {
        upstream_fail(u, 502, false);
        return STEP_OVER;
    }
    u->in->at += (uint32_t)n;
    u->scanned = 0;
    bool interim = ex->resp.status < 200;
    u->head_seen = !interim;
    u->body_left = ex->resp.body == BODY_LENGTH ? ex->resp.content_length : 0;
    if (ex->resp.status == 101)
        u->state = UP_TUNNEL;
    exchange_upstream_head(ex);
    if (u->state == UP_TUNNEL)
        return STEP_OVER;
    if (interim)
        return STEP_ON;
    if (ex->resp.body == BODY_NONE || (ex->resp.body == BODY_LENGTH && u->body_left == 0))
        return complete(u, NULL, 0);
    return STEP_ON;
}

static enum step take_length(struct upstream_conn *u)
{
    struct str bytes = str_take(chunk_text(u->in), u->body_left);
    u->in->at += (uint32_t)bytes.n;
    u->body_left -= bytes.n;
    exchange_upstream_body(u->ex, bytes);
    return u->body_left == 0 ? complete(u, NULL, 0) : STEP_ON;
}

static enum step take_trailers(struct upstream_conn *u)
{
    struct http_field *fields = NULL;
    unsigned count = 0;
    enum http_refusal why = REFUSAL_NONE;
    ptrdiff_t n = h1_parse_trailers(chunk_text(u->in), &u->scanned, &answer_limits, u->ex->arena, &fields,
                                    &count, &why);
    if (n == 0)
        return STEP_MORE;
    if (n < 0) {
        upstream_fail(u, 502, false);
        return STEP_OVER;
    }
    u->in->at += (uint32_t)n;
    for (unsigned i = 0; i < count; i++) { /* the buffer goes before the exchange is told */
        fields[i].name = arena_copy(u->ex->arena, fields[i].name);
        fields[i].value = arena_copy(u->ex->arena, fields[i].value);
    }
    return complete(u, fields, arena_overflowed(u->ex->arena) ? 0 : count);
}

static enum step take_chunked(struct upstream_conn *u)
{
    size_t taken = 0;
    struct str data = STR_NONE;
    if (u->in_trailers)
        return take_trailers(u);
    enum h1_chunked_result result = h1_chunked_feed(&u->chunked, chunk_text(u->in), &taken, &data);
    u->in->at += (uint32_t)taken;
    switch (result) {
    case CHUNKED_DATA:
        exchange_upstream_body(u->ex, data);
        return STEP_ON;
    case CHUNKED_MORE:
        return STEP_MORE;
    case CHUNKED_TRAILER:
        u->in_trailers = true;
        return has_input(u) ? STEP_ON : STEP_MORE;
    case CHUNKED_END:
    case CHUNKED_BAD:
        break;
    }
    upstream_fail(u, 502, false);
    return STEP_OVER;
}

static enum step take_until_close(struct upstream_conn *u)
{
    struct str bytes = chunk_text(u->in);
    u->in->at = u->in->end;
    exchange_upstream_body(u->ex, bytes);
    return STEP_ON;
}

static enum step take_input(struct upstream_conn *u)
{
    if (!u->head_seen)
        return take_head(u);
    switch (u->ex->resp.body) {
    case BODY_LENGTH:
        return take_length(u);
    case BODY_CHUNKED:
        return take_chunked(u);
    case BODY_UNTIL_CLOSE:
        return take_until_close(u);
    case BODY_NONE:
        break;
    }
    upstream_fail(u, 502, false);
    return STEP_OVER;
}

/* What is left of a chunked body that came in part stays in the buffer: STEP_MORE with input. */
void upstream_h1_ready(struct upstream_conn *u)
{
    enum step step = STEP_ON;
    if (u->t.may_write)
        upstream_send(u->ex);
    for (unsigned steps = 0; step == STEP_ON && !u->ex->answer_paused; steps++) {
        if (steps == STEPS_PER_TURN) { /* others want their turn */
            loop_defer(u->proxy->loop, &u->again);
            break;
        }
        if (has_input(u))
            step = take_input(u);
        else
            step = STEP_MORE;
        if (step == STEP_MORE)
            step = fill(u);
    }
    if (step == STEP_OVER)
        return;
    if (u->head_seen)
        timer_set(u->proxy->loop, &u->timer,
                  loop_now_ms(u->proxy->loop) + client_limits(u->ex->client)->stall_timeout_ms);
    u->ex->side->flush(u->ex);
}
