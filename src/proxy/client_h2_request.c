/* proxy/client_h2_request.c - a stream's fields become the same canonical request that HTTP/1 gives (RFC 9113 8.3). */
#include "proxy/h2.h"

#include "http/url.h"
#include "proxy/websocket.h"

enum {
    FIELD_OVERHEAD = 32,         /* RFC 9113 6.5.2: how a field counts for limits */
    HELD_ALLOWANCE = 128 * 1024, /* decoded bytes a connection may hold however little it sent */
    FIRST_FIELDS = 16,
};

/* Header compression lets one byte stand for kilobytes. What a connection makes us hold may not grow faster than
 * two bytes for each byte it sends, beyond an allowance that regular use never exceeds. */
static bool charge(struct h2_stream *s, size_t bytes)
{
    struct h2_conn *h = s->conn;
    s->header_bytes += bytes;
    h->header_bytes_held += bytes;
    return h->header_bytes_held <= HELD_ALLOWANCE + 2 * h->bytes_in;
}

static bool add_field(struct arena *arena, struct http_field **fields, unsigned *count, unsigned *room, struct str name,
                      struct str value)
{
    if (*count == *room) {
        unsigned more = *room ? 2 * *room : FIRST_FIELDS;
        struct http_field *bigger = arena_alloc(arena, more * sizeof *bigger);
        if (!bigger)
            return false;
        if (*count)
            memcpy(bigger, *fields, *count * sizeof *bigger);
        *fields = bigger;
        *room = more;
    }
    struct http_field f = {arena_copy(arena, name), arena_copy(arena, value), http_field_id(name)};
    if (arena_overflowed(arena))
        return false;
    (*fields)[(*count)++] = f;
    return true;
}

static bool take_pseudo(struct h2_stream *s, struct str name, struct str value)
{
    static const struct str names[PSEUDO_COUNT] = {STR(":method"), STR(":scheme"), STR(":authority"), STR(":path"),
                                                   STR(":protocol")};
    for (unsigned i = 0; i < PSEUDO_COUNT; i++)
        if (str_eq(name, names[i])) {
            s->pseudo[i] = arena_copy(s->ex->arena, value);
            return s->pseudo[i].p != NULL;
        }
    s->refused = REFUSAL_PSEUDO_FIELD;
    return true;
}

bool h2_take_field(struct h2_stream *s, struct str name, struct str value, bool is_trailer)
{
    const struct config_limits *limits = client_limits(s->conn->client);
    struct exchange *ex = s->ex;
    if (s->refused != REFUSAL_NONE)
        return true;
    if (!charge(s, name.n + value.n + FIELD_OVERHEAD))
        return false;
    if (s->header_bytes > limits->header_bytes) {
        s->refused = REFUSAL_HEAD_TOO_LARGE;
        return true;
    }
    if (name.n && name.p[0] == ':')
        return take_pseudo(s, name, value);
    unsigned *count = is_trailer ? &s->trailer_count : &ex->req.field_count;
    if (*count >= limits->header_count)
        s->refused = REFUSAL_TOO_MANY_FIELDS;
    else if (!h1_is_token(name))
        s->refused = REFUSAL_FIELD_NAME;
    else if (limits->underscores == UNDERSCORE_REFUSE && str_find_char(name, '_') >= 0)
        s->refused = REFUSAL_FIELD_UNDERSCORE;
    else if (!h1_is_field_value(value))
        s->refused = REFUSAL_FIELD_VALUE;
    if (s->refused != REFUSAL_NONE)
        return true;
    return add_field(ex->arena, is_trailer ? &s->trailers : &ex->req.fields, count,
                     is_trailer ? &s->trailer_room : &s->field_room, name, value);
}

static enum http_refusal read_target(struct h2_stream *s)
{
    struct http_request *req = &s->ex->req;
    struct str query = s->pseudo[PSEUDO_PATH];
    enum http_refusal why;
    if (query.n > client_limits(s->conn->client)->target_bytes)
        return REFUSAL_TARGET_TOO_LONG;
    if (str_eq(query, STR("*")) && req->method == METHOD_OPTIONS) {
        req->path = query;
        return REFUSAL_NONE;
    }
    struct str path = str_cut(&query, '?');
    req->has_query = query.p != NULL;
    why = url_canonical_path(path, s->ex->arena, &req->path);
    if (why == REFUSAL_NONE && req->has_query)
        why = url_canonical_query(query, s->ex->arena, &req->query);
    return why;
}

static enum http_refusal read_authority(struct h2_stream *s)
{
    struct http_request *req = &s->ex->req;
    const struct http_field *host = NULL;
    struct str authority = s->pseudo[PSEUDO_AUTHORITY], again, again_host;
    enum http_refusal why;
    for (unsigned i = 0; i < req->field_count; i++) {
        if (req->fields[i].id != FIELD_HOST)
            continue;
        if (host)
            return REFUSAL_HOST_REPEATED;
        host = &req->fields[i];
    }
    if (!authority.p && host)
        authority = host->value;
    if (authority.n == 0)
        return REFUSAL_HOST_MISSING;
    why = url_canonical_authority(authority, s->ex->arena, &req->authority, &req->host);
    if (why != REFUSAL_NONE || !host)
        return why;
    why = url_canonical_authority(host->value, s->ex->arena, &again, &again_host);
    if (why == REFUSAL_NONE && !str_eq(again, req->authority))
        why = REFUSAL_HOST_MISMATCH;
    return why;
}

static enum http_refusal read_method(struct h2_stream *s)
{
    struct http_request *req = &s->ex->req;
    req->method_text = s->pseudo[PSEUDO_METHOD];
    req->method = http_method_of(req->method_text);
    if (!h1_is_token(req->method_text))
        return REFUSAL_METHOD;
    if (req->method == METHOD_TRACE)
        return REFUSAL_METHOD_NOT_ALLOWED;
    if (req->method != METHOD_CONNECT)
        return s->pseudo[PSEUDO_PROTOCOL].p ? REFUSAL_PSEUDO_FIELD : REFUSAL_NONE;
    if (!str_eq(s->pseudo[PSEUDO_PROTOCOL], STR("websocket"))) /* RFC 8441 */
        return REFUSAL_METHOD_NOT_ALLOWED;
    req->has_upgrade = true;
    return REFUSAL_NONE;
}

static enum http_refusal read_body_fields(struct h2_stream *s, bool has_body)
{
    struct http_request *req = &s->ex->req;
    const struct http_field *expect = http_find(req->fields, req->field_count, FIELD_EXPECT);
    bool has_length = false;
    for (unsigned i = 0; i < req->field_count; i++) {
        if (req->fields[i].id == FIELD_TE)
            req->te_trailers = true; /* nghttp2 lets no other value through (RFC 9113 8.2.2) */
        if (req->fields[i].id != FIELD_CONTENT_LENGTH)
            continue;
        if (has_length || !str_parse_u64(req->fields[i].value, &req->content_length))
            return REFUSAL_LENGTH;
        has_length = true;
    }
    req->body = !has_body ? BODY_NONE : has_length ? BODY_LENGTH : BODY_UNTIL_CLOSE;
    if (req->has_upgrade)
        req->body = BODY_NONE;
    if (!has_body && has_length && req->content_length != 0)
        return REFUSAL_BODY_LENGTH;
    if (expect && !str_eq_nocase(expect->value, STR("100-continue")))
        return REFUSAL_EXPECTATION;
    req->expects_continue = expect != NULL;
    return REFUSAL_NONE;
}

/* The upstream speaks HTTP/1.1 and wants the key that HTTP/2 left out (RFC 8441 5). */
static enum http_refusal add_websocket_key(struct h2_stream *s)
{
    struct http_request *req = &s->ex->req;
    uint64_t random[2] = {proxy_random(s->ex->proxy), proxy_random(s->ex->proxy)};
    websocket_key_write(s->websocket_key, random);
    bool ok = add_field(s->ex->arena, &req->fields, &req->field_count, &s->field_room, STR("sec-websocket-key"),
                        (struct str){s->websocket_key, sizeof s->websocket_key});
    return ok ? REFUSAL_NONE : REFUSAL_HEAD_TOO_LARGE;
}

static enum http_refusal read_request(struct h2_stream *s, bool has_body)
{
    enum http_refusal why = s->refused;
    if (why == REFUSAL_NONE && (!s->pseudo[PSEUDO_METHOD].p || !s->pseudo[PSEUDO_SCHEME].p || !s->pseudo[PSEUDO_PATH].p))
        why = REFUSAL_PSEUDO_FIELD;
    if (why == REFUSAL_NONE)
        why = read_method(s);
    if (why == REFUSAL_NONE)
        why = read_target(s);
    if (why == REFUSAL_NONE)
        why = read_authority(s);
    if (why == REFUSAL_NONE)
        why = read_body_fields(s, has_body);
    if (why == REFUSAL_NONE && s->ex->req.has_upgrade)
        why = add_websocket_key(s);
    return why;
}

void h2_begin_request(struct h2_stream *s, bool has_body)
{
    struct exchange *ex = s->ex;
    enum http_refusal why;
    s->begun = true;
    s->body_began_ms = s->moved_at_ms = loop_now_ms(ex->proxy->loop);
    ex->req.version = HTTP_2;
    ex->req.scheme = s->conn->client->t.tls ? STR("https") : STR("http");
    ex->req.keep_alive = true;
    why = read_request(s, has_body);
    ex->body_done = !has_body || ex->req.has_upgrade;
    COUNT(ex->proxy, h2_streams_total);
    if (why != REFUSAL_NONE)
        exchange_refuse(ex, why);
    else
        exchange_begin(ex);
}
