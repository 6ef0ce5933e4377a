/* waf/offline.c - the way of a request through parser, decoder and rules, in one go. */
#include "waf/offline.h"

#include "http/inflate.h"
#include "waf/rules.h"

enum { INFLATE_RATIO = 100 };

/* ---- what the rules are told */

static struct str joined(struct arena *arena, struct str a, struct str between, struct str b)
{
    size_t n = a.n + between.n + b.n;
    struct buf out = buf_over(arena_bytes(arena, n), n);
    if (!out.p)
        return STR_NONE;
    buf_str(&out, a);
    buf_str(&out, between);
    buf_str(&out, b);
    return buf_text(&out);
}

static struct str protocol_of(enum http_version v)
{
    return v == HTTP_2 ? STR("HTTP/2.0") : v == HTTP_1_0 ? STR("HTTP/1.0") : STR("HTTP/1.1");
}

/* The crumbs of HTTP/2 as one field (RFC 9113 8.2.3). */
static struct str cookies_of(const struct http_request *r, struct arena *arena)
{
    size_t n = 0;
    for (unsigned i = 0; i < r->field_count; i++)
        n += r->fields[i].id == FIELD_COOKIE ? r->fields[i].value.n + 2 : 0;
    struct buf out = buf_over(arena_bytes(arena, n), n);
    for (unsigned i = 0; out.p && i < r->field_count; i++) {
        if (r->fields[i].id != FIELD_COOKIE)
            continue;
        buf_str(&out, out.n ? STR("; ") : STR(""));
        buf_str(&out, r->fields[i].value);
    }
    return buf_text(&out);
}

static bool describe_fields(const struct http_request *r, struct arena *arena, struct waf_request *ret)
{
    struct waf_field *fields = arena_alloc(arena, (r->field_count + 2) * sizeof *fields);
    bool has_host = false, has_cookies = false;
    size_t count = 0;
    if (!fields)
        return false;
    for (unsigned i = 0; i < r->field_count; i++) {
        const struct http_field *f = &r->fields[i];
        bool is_crumb = f->id == FIELD_COOKIE && r->version == HTTP_2;
        if (!is_crumb || !has_cookies)
            fields[count++] = (struct waf_field){f->name, is_crumb ? cookies_of(r, arena) : f->value};
        has_cookies |= is_crumb;
        has_host |= f->id == FIELD_HOST;
    }
    if (!has_host && r->authority.n)
        fields[count++] = (struct waf_field){STR("Host"), r->authority};
    ret->fields = fields;
    ret->field_count = count;
    return true;
}

bool waf_describe(const struct http_request *r, struct arena *arena, struct waf_request *ret)
{
    *ret = (struct waf_request){.method = r->has_upgrade ? STR("GET") : r->method_text,
                                .target = r->path,
                                .protocol = protocol_of(r->version),
                                .server_name = r->host};
    if (r->has_query)
        ret->target = joined(arena, r->path, STR("?"), r->query);
    struct str rest = joined(arena, r->target, STR(" "), ret->protocol);
    ret->line = joined(arena, ret->method, STR(" "), rest);
    return describe_fields(r, arena, ret) && !arena_overflowed(arena);
}

/* ---- the body */

/* False: ret->end says why. */
static bool read_chunks(struct waf_offline *ret, struct str in, const struct h1_limits *limits,
                        struct arena *arena)
{
    struct h1_chunked state = {0};
    struct buf body = buf_over(arena_bytes(arena, in.n), in.n);
    struct http_field *trailers;
    size_t taken, scanned = 0;
    unsigned trailer_count;
    struct str data;
    ret->end = body.p ? WAF_OFFLINE_REFUSED : WAF_OFFLINE_NO_MEMORY;
    for (enum h1_chunked_result step; body.p;) {
        step = h1_chunked_feed(&state, in, &taken, &data);
        in = str_skip(in, taken);
        ret->taken += taken;
        if (step == CHUNKED_DATA) {
            buf_str(&body, data);
        } else if (step == CHUNKED_TRAILER) {
            ptrdiff_t n =
                h1_parse_trailers(in, &scanned, limits, arena, &trailers, &trailer_count, &ret->refusal);
            ret->body = buf_text(&body);
            ret->taken += n > 0 ? (size_t)n : 0;
            ret->end = n > 0 ? WAF_OFFLINE_INSPECTED : n == 0 ? WAF_OFFLINE_INCOMPLETE : WAF_OFFLINE_REFUSED;
            return n > 0;
        } else if (step == CHUNKED_MORE) {
            ret->end = WAF_OFFLINE_INCOMPLETE;
            return false;
        } else {
            ret->refusal = REFUSAL_CHUNK;
            return false;
        }
    }
    return false;
}

static bool read_body(struct waf_offline *ret, struct str rest, const struct h1_limits *limits,
                      struct arena *arena)
{
    ret->end = WAF_OFFLINE_INSPECTED;
    if (ret->request.body == BODY_CHUNKED)
        return read_chunks(ret, rest, limits, arena);
    if (ret->request.body != BODY_LENGTH)
        return true;
    if (rest.n < ret->request.content_length) {
        ret->end = WAF_OFFLINE_INCOMPLETE;
        return false;
    }
    ret->body = str_take(rest, (size_t)ret->request.content_length);
    ret->taken += ret->body.n;
    return true;
}

/* What the application will see once it has taken the coding off. */
static bool decode_body(struct waf_offline *ret, const struct waf_limits *rules, struct arena *arena)
{
    const struct http_inflate_limits limits = {(size_t)rules->request_body_bytes, INFLATE_RATIO};
    struct http_codings codings = {0};
    bool is_known = true;
    for (unsigned i = 0; i < ret->request.field_count; i++)
        if (str_eq_nocase(ret->request.fields[i].name, STR("content-encoding")))
            is_known = is_known && http_codings_add(&codings, ret->request.fields[i].value);
    if (is_known && (!codings.count || !ret->body.n))
        return true;
    if (is_known && http_inflate(&codings, ret->body, &limits, arena, &ret->body) == INFLATE_DONE)
        return true;
    ret->end = WAF_OFFLINE_REFUSED;
    ret->refusal = REFUSAL_NONE;
    return false;
}

/* ---- the rules */

static void inspect(const struct waf_overlay *overlay, int64_t now_s, struct arena *arena,
                    struct waf_offline *ret)
{
    struct waf_request *request = arena_alloc(arena, sizeof *request);
    ret->end = WAF_OFFLINE_NO_MEMORY;
    if (!request || !waf_describe(&ret->request, arena, request))
        return;
    request->client_ip = request->server_ip = STR("127.0.0.1");
    request->client_port = 40'000;
    request->server_port = 443;
    request->unique_id = STR("00000000000000000000000000000000");
    request->now_s = now_s;
    struct waf_tx *tx = waf_tx_new(overlay, request, NULL, arena);
    if (!tx)
        return;
    if (waf_tx_request_head(tx) == WAF_PASS)
        (void)waf_tx_request_body(tx, ret->body);
    waf_tx_logging(tx, 0);
    ret->verdict = waf_tx_verdict(tx);
    ret->scores = waf_tx_scores(tx);
    ret->end = WAF_OFFLINE_INSPECTED;
    waf_tx_free(tx);
}

void waf_offline_run(const struct waf_overlay *overlay, struct str raw, const struct h1_limits *limits,
                     int64_t now_s, struct arena *arena, struct waf_offline *ret)
{
    size_t scanned = 0;
    *ret = (struct waf_offline){.end = WAF_OFFLINE_INCOMPLETE};
    ptrdiff_t n = h1_parse_request(raw, &scanned, limits, arena, &ret->request, &ret->refusal);
    if (n < 0)
        ret->end = WAF_OFFLINE_REFUSED;
    if (n <= 0)
        return;
    ret->taken = (size_t)n;
    ret->request.scheme = STR("https");
    const struct waf_limits rules = waf_rules_limits(overlay->rules);
    if (read_body(ret, str_skip(raw, (size_t)n), limits, arena) && decode_body(ret, &rules, arena))
        inspect(overlay, now_s, arena, ret);
}

bool waf_offline_passes(const struct waf_offline *r)
{
    return r->end == WAF_OFFLINE_INSPECTED && r->verdict.action == WAF_PASS &&
           r->verdict.limit == WAF_WITHIN_LIMITS;
}
