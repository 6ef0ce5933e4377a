/* proxy/client_h2_answer.c - what the exchange calls to answer on an HTTP/2 stream. Nothing is sent here:
 * frames are submitted, and leave together at the end of the turn. */
#include "base/unconst.h"
#include "proxy/h2.h"

#include "proxy/forward.h"
#include "proxy/websocket.h"

#include "base/must.h"

enum {
    FIELDS_ADDED = 8,          /* :status, content-length, date, HSTS, request id, cookie, and two to spare */
    ANSWERS_HIGH = 512 * 1024, /* together above it, a stream gets no more than one read at a time */
};

struct collected {
    struct arena *arena;
    nghttp2_nv *nv;
    size_t count, room;
    bool is_tunnel;
};

static uint8_t *bytes_of(struct str s)
{
    return unconst(s.p);
}

/* Names in lower case (RFC 9113 8.2.1). Copies live in the exchange's arena until the stream is closed, so
 * nghttp2 need not copy them again. What is different in each answer, or secret, is kept out of the
 * compression table (RFC 7541 7.1.3). */
static void collect_field(void *self, struct str name, struct str value)
{
    struct collected *c = self;
    char *lower = arena_bytes(c->arena, name.n);
    struct str kept = arena_copy(c->arena, value);
    if (c->count == c->room || !lower || (!kept.p && value.n))
        return;
    if (c->is_tunnel && str_eq_nocase(name, STR("sec-websocket-accept")))
        return;
    for (size_t i = 0; i < name.n; i++)
        lower[i] = ascii_lower(name.p[i]);
    bool is_unique = str_eq_nocase(name, STR("x-request-id")) || str_eq_nocase(name, STR("set-cookie"));
    c->nv[c->count++] = (nghttp2_nv){.name = (uint8_t *)lower,
                                     .namelen = name.n,
                                     .value = bytes_of(kept),
                                     .valuelen = kept.n,
                                     .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE |
                                              (is_unique ? NGHTTP2_NV_FLAG_NO_INDEX : 0)};
}

/* Room for the answer's fields and what the gate adds: from the arena, for a fixed array would be wiped each
 * time. */
static struct collected collection(struct exchange *ex)
{
    size_t room = ex->resp.field_count + (ex->route ? ex->route->response_edit_count : 0) + FIELDS_ADDED;
    struct collected c = {ex->arena, arena_alloc(ex->arena, room * sizeof(nghttp2_nv)), 0, room, ex->tunnel};
    c.room = c.nv ? room : 0;
    return c;
}

static void collect_status(struct collected *c, uint16_t status)
{
    char text[8];
    struct buf b = buf_over(text, sizeof text);
    buf_u64(&b, status);
    collect_field(c, STR(":status"), buf_text(&b));
}

void h2_reset(struct h2_stream *s, uint32_t code)
{
    nghttp2_submit_rst_stream(s->conn->session, NGHTTP2_FLAG_NONE, s->id, code);
    h2_schedule(s->conn);
}

static ssize_t provide_data(nghttp2_session *session [[maybe_unused]], int32_t id [[maybe_unused]],
                            uint8_t *to [[maybe_unused]], size_t length, uint32_t *flags,
                            nghttp2_data_source *source, void *user [[maybe_unused]])
{
    struct h2_stream *s = source->ptr;
    size_t n = s->out.bytes < length ? s->out.bytes : length;
    if (n == 0 && !s->answer_ended) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (s->answer_ended && n == s->out.bytes) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->answer_trailer_count) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (nghttp2_submit_trailer(s->conn->session, s->id, s->answer_trailers,
                                       s->answer_trailer_count) != 0)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    }
    return (ssize_t)n;
}

static bool upgrade_is_good(const struct h2_stream *s)
{
    const struct http_response *resp = &s->ex->resp;
    const struct http_field *accept = http_find(resp->fields, resp->field_count, FIELD_SEC_WEBSOCKET_ACCEPT);
    char expected[WEBSOCKET_ACCEPT_BYTES];
    return accept &&
           websocket_accept_write(expected, (struct str){s->websocket_key, sizeof s->websocket_key}) &&
           str_eq(accept->value, (struct str){expected, sizeof expected});
}

static void collect_length(struct collected *c, const struct exchange *ex)
{
    char text[24];
    struct buf b = buf_over(text, sizeof text);
    if (ex->resp.body != BODY_LENGTH)
        return;
    buf_u64(&b, ex->resp.content_length);
    collect_field(c, STR("content-length"), buf_text(&b));
}

static void side_head(struct exchange *ex)
{
    struct h2_stream *s = ex->stream;
    struct collected c = collection(ex);
    bool bodyless = !ex->tunnel && (ex->resp.body == BODY_NONE || ex->req.method == METHOD_HEAD ||
                                    (ex->resp.body == BODY_LENGTH && ex->resp.content_length == 0));
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = provide_data};
    s->head_sent = true;
    if (ex->tunnel && !upgrade_is_good(s)) {
        outq_clear(&s->early, &ex->proxy->chunks);
        h2_reset(s, NGHTTP2_CONNECT_ERROR);
        return;
    }
    collect_status(&c, ex->tunnel ? 200 : ex->resp.status);
    forward_response_fields(ex, collect_field, &c);
    collect_length(&c, ex);
    if (arena_overflowed(ex->arena) ||
        nghttp2_submit_response(s->conn->session, s->id, c.nv, c.count, bodyless ? NULL : &provider) != 0)
        h2_reset(s, NGHTTP2_INTERNAL_ERROR);
}

static void side_interim(struct exchange *ex)
{
    struct h2_stream *s = ex->stream;
    struct collected c = collection(ex);
    collect_status(&c, ex->resp.status);
    forward_response_fields(ex, collect_field, &c);
    if (!arena_overflowed(ex->arena))
        nghttp2_submit_headers(s->conn->session, NGHTTP2_FLAG_NONE, s->id, NULL, c.nv, c.count, NULL);
    h2_schedule(s->conn);
}

static void resume(struct h2_stream *s)
{
    if (s->deferred)
        nghttp2_session_resume_data(s->conn->session, s->id);
    s->deferred = false;
    h2_schedule(s->conn);
}

static void side_body(struct exchange *ex, struct str bytes)
{
    struct h2_stream *s = ex->stream;
    if (s->out.bytes == 0) {
        s->left_ms = s->wait_began_ms = loop_now_ms(ex->proxy->loop);
        s->left_since = 0;
    }
    if (outq_add(&s->out, &ex->proxy->chunks, bytes))
        s->conn->answer_bytes_held += bytes.n;
    else
        h2_reset(s, NGHTTP2_INTERNAL_ERROR);
}

static void side_flush(struct exchange *ex)
{
    struct h2_stream *s = ex->stream;
    if (s->head_sent)
        resume(s);
}

static void keep_trailers(struct h2_stream *s, const struct http_field *trailers, unsigned count)
{
    struct exchange *ex = s->ex;
    struct collected c = {ex->arena, arena_alloc(ex->arena, count * sizeof(nghttp2_nv)), 0, count, false};
    for (unsigned i = 0; c.nv && i < count; i++)
        if (forward_trailer_allowed(&trailers[i]))
            collect_field(&c, trailers[i].name, trailers[i].value);
    s->answer_trailers = c.nv;
    s->answer_trailer_count = arena_overflowed(ex->arena) ? 0 : (unsigned)c.count;
}

static void side_end(struct exchange *ex, const struct http_field *trailers, unsigned count)
{
    struct h2_stream *s = ex->stream;
    if (count)
        keep_trailers(s, trailers, count);
    s->answer_ended = true;
    resume(s);
}

static void side_broken(struct exchange *ex)
{
    h2_reset(ex->stream, NGHTTP2_INTERNAL_ERROR);
}

static size_t side_queued(const struct exchange *ex)
{
    const struct h2_stream *s = ex->stream;
    return s->conn->answer_bytes_held > ANSWERS_HIGH ? EXCHANGE_QUEUE_HIGH + s->out.bytes : s->out.bytes;
}

/* The upstream took what waited: the client may send as much again. */
static void side_read_more(struct exchange *ex)
{
    struct h2_stream *s = ex->stream;
    h2_body_goes_on(s);
    h2_schedule(s->conn);
}

const struct exchange_side h2_side = {
    .interim = side_interim,
    .head = side_head,
    .body = side_body,
    .end = side_end,
    .broken = side_broken,
    .flush = side_flush,
    .queued = side_queued,
    .read_more = side_read_more,
};
