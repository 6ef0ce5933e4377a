#include "http/h1_parse.h"

#include "base/must.h"
#include "http/chars.h"

/* "HTTP/1.1 200 OK". The phrase may be empty, and its space may be missing with it: RFC 9112 4 asks for the
 * space, widely used servers leave it out, and there is no second way to read the line. */
static enum http_refusal take_status_line(struct h1_reader *r, struct http_response *ret)
{
    bool supported = false;
    if (!h1_take_version(r, &ret->version, &supported) || r->end - r->at < 5 || r->at[0] != ' ')
        return REFUSAL_STATUS_LINE;
    if (!supported)
        return REFUSAL_VERSION;
    uint64_t status = 0;
    if (!str_parse_u64((struct str){r->at + 1, 3}, &status) || status < 100 || status > 599)
        return REFUSAL_STATUS_LINE;
    ret->status = (uint16_t)status;
    r->at += 4;
    if (*r->at == ' ')
        r->at = h1_skip_value(r, r->at);
    return *r->at == '\r' || *r->at == '\n' ? h1_take_line_end(r) : REFUSAL_STATUS_LINE;
}

/* RFC 9112 6.3, in its order. */
static enum http_refusal set_body(struct http_response *ret, const struct h1_framing *f,
                                  enum http_method request)
{
    bool never_has_one = ret->status < 200 || ret->status == 204;
    enum http_refusal refusal = h1_judge_framing(f, ret->version, &ret->body);
    if (refusal != REFUSAL_NONE)
        return refusal;
    ret->content_length = f->lengths ? f->content_length : 0;
    /* Announcing a body where none can be is how two readers of one connection come apart. */
    if (never_has_one && ret->content_length)
        return REFUSAL_LENGTH;
    if (never_has_one && f->codings)
        return REFUSAL_TRANSFER_ENCODING;
    if (never_has_one || ret->status == 304 || request == METHOD_HEAD)
        ret->body = BODY_NONE;
    else if (ret->body == BODY_NONE)
        ret->body = BODY_UNTIL_CLOSE;
    return REFUSAL_NONE;
}

static enum http_refusal read_response(struct h1_reader *r, enum http_method request,
                                       struct http_response *ret)
{
    struct http_response response = {0};
    struct h1_fields fields;
    enum http_refusal refusal = take_status_line(r, &response);
    if (refusal == REFUSAL_NONE)
        refusal = h1_take_fields(r, &fields);
    if (refusal == REFUSAL_NONE)
        refusal = set_body(&response, &fields.framing, request);
    if (refusal != REFUSAL_NONE)
        return refusal;
    must(r->at == r->end);
    response.keep_alive =
        response.body != BODY_UNTIL_CLOSE && h1_stays_open(&fields.framing, response.version);
    response.has_upgrade =
        response.status == 101 && fields.framing.says_upgrade && fields.framing.wants_websocket;
    response.fields = fields.items;
    response.field_count = fields.count;
    *ret = response;
    return REFUSAL_NONE;
}

ptrdiff_t h1_parse_response(struct str in, size_t *scanned, const struct h1_limits *limits,
                            enum http_method request, struct arena *arena, struct http_response *ret,
                            enum http_refusal *ret_refusal)
{
    struct h1_reader reader;
    if (in.n && in.p[0] != 'H') {
        *ret_refusal = REFUSAL_STATUS_LINE;
        return -1;
    }
    ptrdiff_t n = h1_reader_init(&reader, H1_HEAD, in, scanned, limits, arena, ret_refusal);
    if (n <= 0)
        return n;
    enum http_refusal refusal = read_response(&reader, request, ret);
    if (refusal == REFUSAL_NONE)
        return n;
    *ret_refusal = refusal;
    return -1;
}
