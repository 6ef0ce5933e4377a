#include "http/h1_parse.h"

#include "base/must.h"
#include "http/chars.h"
#include "http/url.h"

enum { METHOD_BYTES_MAX = 32 }; /* longer than any registered one (IANA: 17) */

/* The one space between the parts of the request line (RFC 9112 3: lenient white space "can result in
 * request smuggling"). */
static enum http_refusal take_space(struct h1_reader *r)
{
    if (*r->at != ' ')
        return REFUSAL_REQUEST_LINE;
    r->at++;
    return REFUSAL_NONE;
}

static enum http_refusal take_method(struct h1_reader *r, struct http_request *ret)
{
    const char *begin = r->at;
    while (http_char_is(*r->at, CHAR_TOKEN))
        r->at++;
    size_t n = (size_t)(r->at - begin);
    if (n == 0 && (*begin == '\r' || *begin == ' '))
        return REFUSAL_REQUEST_LINE;
    if (n == 0 || n > METHOD_BYTES_MAX || (*r->at != ' ' && *r->at != '\r' && *r->at != '\n'))
        return REFUSAL_METHOD;
    ret->method_text = (struct str){begin, n};
    ret->method = http_method_of(ret->method_text);
    return take_space(r);
}

/* Everything up to the next space; what it may hold is url.h's word. */
static enum http_refusal take_target(struct h1_reader *r, struct str *ret)
{
    const char *begin = r->at;
    while ((uint8_t)*r->at > ' ' && *r->at != 0x7f)
        r->at++;
    *ret = (struct str){begin, (size_t)(r->at - begin)};
    if (ret->n > r->limits->target_bytes)
        return REFUSAL_TARGET_TOO_LONG;
    if (ret->n == 0 || *r->at == '\r' || *r->at == '\n') /* HTTP/0.9 has no version */
        return REFUSAL_REQUEST_LINE;
    return *r->at == ' ' ? take_space(r) : REFUSAL_TARGET;
}

static enum http_refusal take_request_line(struct h1_reader *r, struct http_request *ret,
                                           struct str *ret_target)
{
    bool supported = false;
    enum http_refusal refusal = take_method(r, ret);
    if (refusal == REFUSAL_NONE)
        refusal = take_target(r, ret_target);
    if (refusal != REFUSAL_NONE)
        return refusal;
    if (!h1_take_version(r, &ret->version, &supported))
        return REFUSAL_REQUEST_LINE;
    if (*r->at != '\r' && *r->at != '\n')
        return REFUSAL_REQUEST_LINE;
    if (!supported)
        return REFUSAL_VERSION;
    return h1_take_line_end(r);
}

/* Path and query, split at the first '?' and made canonical. */
static enum http_refusal set_path(struct http_request *ret, struct str path, struct str query,
                                  struct arena *arena)
{
    enum http_refusal refusal = url_canonical_path(path, arena, &ret->path);
    if (refusal == REFUSAL_NONE && ret->has_query)
        refusal = url_canonical_query(query, arena, &ret->query);
    return refusal;
}

/* absolute-form (RFC 9112 3.2.2): the authority must be the one that Host says. An empty path is "/", or "*"
 * for OPTIONS (3.2.4). */
static enum http_refusal set_absolute(struct http_request *ret, struct str target, struct arena *arena)
{
    struct str scheme, authority, path, query, canonical, host;
    if (!url_split_absolute(target, &scheme, &authority, &path, &query, &ret->has_query))
        return REFUSAL_TARGET;
    enum http_refusal refusal = url_canonical_authority(authority, arena, &canonical, &host);
    if (refusal != REFUSAL_NONE)
        return refusal;
    if (ret->authority.n && !str_eq(ret->authority, canonical))
        return REFUSAL_HOST_MISMATCH;
    ret->authority = canonical;
    ret->host = host;
    if (path.n == 0 && !ret->has_query && ret->method == METHOD_OPTIONS) {
        ret->path = STR("*");
        return REFUSAL_NONE;
    }
    return set_path(ret, path.n ? path : STR("/"), query, arena);
}

static enum http_refusal set_target(struct http_request *ret, struct str target, struct arena *arena)
{
    if (target.p[0] == '/') {
        struct str query = target;
        struct str path = str_cut(&query, '?');
        ret->has_query = query.p != NULL;
        return set_path(ret, path, query, arena);
    }
    if (str_eq(target, STR("*"))) {
        ret->path = target;
        return ret->method == METHOD_OPTIONS ? REFUSAL_NONE : REFUSAL_TARGET;
    }
    return set_absolute(ret, target, arena);
}

/* Host, once and not empty; HTTP/1.0 may come without (RFC 9112 3.2). */
static enum http_refusal set_host(struct http_request *ret, const struct h1_framing *f, struct arena *arena)
{
    if (f->hosts > 1)
        return REFUSAL_HOST_REPEATED;
    if (f->hosts == 0)
        return ret->version == HTTP_1_0 ? REFUSAL_NONE : REFUSAL_HOST_MISSING;
    if (f->host.n == 0)
        return REFUSAL_HOST_MISSING;
    return url_canonical_authority(f->host, arena, &ret->authority, &ret->host);
}

/* RFC 9110 7.8, RFC 6455 4.1. Other protocols are not offered, so asking for them changes nothing. */
static enum http_refusal set_upgrade(struct http_request *ret, const struct h1_framing *f)
{
    if (!f->wants_websocket || ret->version == HTTP_1_0)
        return REFUSAL_NONE;
    if (!f->says_upgrade || ret->method != METHOD_GET || ret->body == BODY_CHUNKED || ret->content_length)
        return REFUSAL_TUNNEL;
    ret->has_upgrade = true;
    return REFUSAL_NONE;
}

static enum http_refusal interpret(struct http_request *ret, const struct h1_framing *f, struct str target,
                                   struct arena *arena)
{
    enum http_refusal refusal = h1_judge_framing(f, ret->version, &ret->body);
    if (refusal != REFUSAL_NONE)
        return refusal;
    if (ret->method == METHOD_CONNECT || ret->method == METHOD_TRACE)
        return REFUSAL_METHOD_NOT_ALLOWED;
    ret->content_length = ret->body == BODY_LENGTH ? f->content_length : 0;
    ret->keep_alive = h1_stays_open(f, ret->version);
    ret->te_trailers = f->te_trailers;
    /* HTTP/1.0 cannot be sent an interim answer; without a body there is nothing to wait for (9110 10.1.1).
     */
    ret->expects_continue =
        f->expects_continue && ret->version == HTTP_1_1 && (ret->body == BODY_CHUNKED || ret->content_length);
    refusal = set_host(ret, f, arena);
    if (refusal == REFUSAL_NONE)
        refusal = set_target(ret, target, arena);
    return refusal == REFUSAL_NONE ? set_upgrade(ret, f) : refusal;
}

static enum http_refusal read_request(struct h1_reader *r, struct http_request *ret)
{
    struct http_request request = {0};
    struct h1_fields fields;
    struct str target;
    if (r->at[0] == '\r' && r->at[1] == '\n')
        r->at += 2;
    enum http_refusal refusal = take_request_line(r, &request, &target);
    if (refusal == REFUSAL_NONE)
        refusal = h1_take_fields(r, &fields);
    if (refusal == REFUSAL_NONE)
        refusal = interpret(&request, &fields.framing, target, r->arena);
    if (refusal != REFUSAL_NONE)
        return refusal;
    must(r->at == r->end);
    request.target = target;
    request.fields = fields.items;
    request.field_count = fields.count;
    *ret = request;
    return REFUSAL_NONE;
}

ptrdiff_t h1_parse_request(struct str in, size_t *scanned, const struct h1_limits *limits,
                           struct arena *arena, struct http_request *ret, enum http_refusal *ret_refusal)
{
    struct h1_reader reader;
    /* Nothing that begins so becomes a request: a TLS hello on the clear port is told so at once. */
    if (in.n && in.p[0] != '\r' && !http_char_is(in.p[0], CHAR_TOKEN)) {
        *ret_refusal = in.p[0] == '\n'  ? REFUSAL_LINE_END
                       : in.p[0] == ' ' ? REFUSAL_REQUEST_LINE
                                        : REFUSAL_METHOD;
        return -1;
    }
    ptrdiff_t n = h1_reader_init(&reader, H1_HEAD, in, scanned, limits, arena, ret_refusal);
    if (n <= 0)
        return n;
    enum http_refusal refusal = read_request(&reader, ret);
    if (refusal == REFUSAL_NONE)
        return n;
    *ret_refusal = refusal;
    return -1;
}
