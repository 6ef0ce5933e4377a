/* proxy/client_h2_request.c - a stream's fields become the same canonical request that HTTP/1 gives (RFC
 * 9113 8.3). */
#include "proxy/h2.h"

#include "http/url.h"
#include "proxy/websocket.h"

enum {
    FIELD_OVERHEAD = 32,              /* RFC 9113 6.5.2: how a field counts for limits */
    HELD_BYTES_PER_STREAM = 5 * 1024, /* a full table (4 kB) and what is commonly sent beside it */
    DECODED_TIMES_MAX = 4, /* a head that unpacks to so many times its limit is a bomb, not an accident */
    FIRST_FIELDS = 16,
};

/* Header compression lets one byte stand for kilobytes. Regular use does not go beyond one full table of it
 * for each stream; what is held more than that may not grow faster than two bytes for each byte received. A
 * field is held twice: here, and in the head for the upstream. */
static bool charge(struct h2_stream *s, size_t bytes)
{
    struct h2_conn *h = s->conn;
    s->header_bytes += bytes;
    h->header_bytes_held += bytes;
    return h->header_bytes_held <=
           HELD_BYTES_PER_STREAM * (uint64_t)client_limits(h->client)->h2_streams + h->bytes_in;
}

static bool add_field(struct arena *arena, struct http_field **fields, unsigned *count, unsigned *room,
                      struct http_field f)
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
    f.name = arena_copy(arena, f.name);
    f.value = arena_copy(arena, f.value);
    if (arena_overflowed(arena))
        return false;
    (*fields)[(*count)++] = f;
    return true;
}

/* RFC 9113 8.3: known ones only, each once, before all other fields. */
static bool take_pseudo(struct h2_stream *s, struct str name, struct str value, bool is_trailer)
{
    static const struct str names[PSEUDO_COUNT] = {STR(":method"), STR(":scheme"), STR(":authority"),
                                                   STR(":path"), STR(":protocol")};
    for (unsigned i = 0; i < PSEUDO_COUNT && !is_trailer && s->ex->req.field_count == 0; i++)
        if (str_eq(name, names[i]) && !s->pseudo[i].p) {
            s->pseudo[i] = arena_copy(s->ex->arena, value);
            return s->pseudo[i].p != NULL;
        }
    s->refused = is_trailer ? REFUSAL_TRAILER : REFUSAL_PSEUDO_FIELD;
    return true;
}

static bool is_lower_case(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] >= 'A' && name.p[i] <= 'Z')
            return false;
    return true;
}

/* RFC 9113 8.2.2 */
static bool is_of_connection(const struct http_field *f)
{
    switch (f->id) {
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_UPGRADE:
        return true;
    case FIELD_TE:
        return !str_eq(f->value, STR("trailers"));
    default:
        return false;
    }
}

static enum http_refusal check_field(const struct config_limits *limits, const struct http_field *f,
                                     bool is_trailer)
{
    if (!h1_is_token(f->name) || !is_lower_case(f->name))
        return REFUSAL_FIELD_NAME;
    if (limits->underscores == UNDERSCORE_REFUSE && str_find_char(f->name, '_') >= 0)
        return REFUSAL_FIELD_UNDERSCORE;
    if (!h1_is_field_value(f->value))
        return REFUSAL_FIELD_VALUE;
    if (is_trailer && !h1_may_trail(f))
        return REFUSAL_TRAILER;
    return is_of_connection(f) ? REFUSAL_CONNECTION : REFUSAL_NONE;
}

/* What was refused is still counted, so that decoding for nothing has an end. */
bool h2_take_field(struct h2_stream *s, struct str name, struct str value, bool is_trailer)
{
    const struct config_limits *limits = client_limits(s->conn->client);
    struct exchange *ex = s->ex;
    unsigned *count = is_trailer ? &s->trailer_count : &ex->req.field_count;
    if (!charge(s, name.n + value.n + FIELD_OVERHEAD) ||
        s->header_bytes / DECODED_TIMES_MAX > limits->header_bytes)
        return false;
    if (s->refused != REFUSAL_NONE)
        return true;
    if (s->header_bytes > limits->header_bytes) {
        s->refused = REFUSAL_HEAD_TOO_LARGE;
        return true;
    }
    if (name.n && name.p[0] == ':')
        return take_pseudo(s, name, value, is_trailer);
    struct http_field f = {name, value, http_field_id(name)};
    s->refused =
        *count >= limits->header_count ? REFUSAL_TOO_MANY_FIELDS : check_field(limits, &f, is_trailer);
    if (s->refused != REFUSAL_NONE)
        return true;
    return add_field(ex->arena, is_trailer ? &s->trailers : &ex->req.fields, count,
                     is_trailer ? &s->trailer_room : &s->field_room, f);
}

static enum http_refusal read_target(struct h2_stream *s)
{
    struct http_request *req = &s->ex->req;
    struct str query = s->pseudo[PSEUDO_PATH];
    enum http_refusal why;
    req->target = query;
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
    if (!req->method_text.p)
        return REFUSAL_PSEUDO_FIELD;
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

static enum http_refusal read_scheme(const struct h2_stream *s)
{
    struct str scheme = s->pseudo[PSEUDO_SCHEME];
    bool known = str_eq(scheme, STR("https")) || str_eq(scheme, STR("http"));
    return known && s->pseudo[PSEUDO_PATH].p ? REFUSAL_NONE : REFUSAL_PSEUDO_FIELD;
}

static enum http_refusal read_body_fields(struct h2_stream *s, bool has_body)
{
    struct http_request *req = &s->ex->req;
    const struct http_field *expect = http_find(req->fields, req->field_count, FIELD_EXPECT);
    for (unsigned i = 0; i < req->field_count; i++) {
        req->te_trailers |= req->fields[i].id == FIELD_TE;
        if (req->fields[i].id != FIELD_CONTENT_LENGTH)
            continue;
        if (s->has_length || !str_parse_u64(req->fields[i].value, &req->content_length))
            return REFUSAL_LENGTH;
        s->has_length = true;
    }
    req->body = !has_body ? BODY_NONE : s->has_length ? BODY_LENGTH : BODY_UNTIL_CLOSE;
    if (req->has_upgrade)
        req->body = BODY_NONE;
    if (req->has_upgrade ? s->has_length : !has_body && s->has_length && req->content_length != 0)
        return REFUSAL_BODY_LENGTH;
    if (expect && !str_eq_nocase(expect->value, STR("100-continue")))
        return REFUSAL_EXPECTATION;
    req->expects_continue = expect && has_body;
    return REFUSAL_NONE;
}

/* The upstream speaks HTTP/1.1 and wants the key that HTTP/2 leaves out (RFC 8441 5). */
static enum http_refusal add_websocket_key(struct h2_stream *s)
{
    struct http_request *req = &s->ex->req;
    uint64_t random[2] = {proxy_random(s->ex->proxy), proxy_random(s->ex->proxy)};
    websocket_key_write(s->websocket_key, random);
    struct http_field key = {
        STR("sec-websocket-key"), {s->websocket_key, sizeof s->websocket_key}, FIELD_SEC_WEBSOCKET_KEY};
    return add_field(s->ex->arena, &req->fields, &req->field_count, &s->field_room, key)
               ? REFUSAL_NONE
               : REFUSAL_HEAD_TOO_LARGE;
}

static enum http_refusal read_request(struct h2_stream *s, bool has_body)
{
    enum http_refusal why = s->refused;
    if (why == REFUSAL_NONE)
        why = read_method(s);
    if (why == REFUSAL_NONE)
        why = read_scheme(s);
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

/* It waits for this before it sends its body; an answer that is there already says more. */
static void say_continue(struct h2_stream *s)
{
    static char name[] = ":status", value[] = "100";
    const nghttp2_nv nv = {(uint8_t *)name, (uint8_t *)value, sizeof name - 1, sizeof value - 1,
                           NGHTTP2_NV_FLAG_NONE};
    if (s->ex->req.expects_continue && !s->head_sent)
        nghttp2_submit_headers(s->conn->session, NGHTTP2_FLAG_NONE, s->id, NULL, &nv, 1, NULL);
}

void h2_begin_request(struct h2_stream *s, bool has_body)
{
    struct exchange *ex = s->ex;
    enum http_refusal why;
    s->begun = true;
    s->ended = !has_body;
    s->began_ms = s->came_ms = loop_now_ms(ex->proxy->loop);
    ex->req.version = HTTP_2;
    ex->req.scheme = s->conn->client->t.tls ? STR("https") : STR("http");
    ex->req.keep_alive = true;
    why = read_request(s, has_body);
    ex->body_done = !has_body || ex->req.has_upgrade;
    COUNT(ex->proxy, h2_streams_total);
    if (!h2_may_begin(s))
        return;
    if (why != REFUSAL_NONE) {
        exchange_refuse(ex, why);
        return;
    }
    if (!has_body) {
        s->is_due = true;
        return;
    }
    exchange_begin(ex);
    say_continue(s);
}
