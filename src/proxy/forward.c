#include "proxy/forward.h"

#include "proxy/inspect.h"
#include "proxy/upstream.h"

/* What happens to a field on its way, by what it is. */
enum fate { PASS, DROP, ADDED };

/* Dropped because they are hop-by-hop, because the gate writes them itself, or because a client could use
 * them to pass for somebody else. */
static const uint8_t request_fate[FIELD_ID_COUNT] = {
    [FIELD_HOST] = DROP,
    [FIELD_CONNECTION] = DROP,
    [FIELD_CONTENT_LENGTH] = DROP,
    [FIELD_TRANSFER_ENCODING] = DROP,
    [FIELD_TE] = DROP,
    [FIELD_UPGRADE] = DROP,
    [FIELD_KEEP_ALIVE] = DROP,
    [FIELD_PROXY_CONNECTION] = DROP,
    [FIELD_EXPECT] = DROP,
    [FIELD_FORWARDED] = DROP,
    [FIELD_X_FORWARDED_FOR] = DROP,
    [FIELD_X_FORWARDED_PROTO] = DROP,
    [FIELD_X_FORWARDED_HOST] = DROP,
    [FIELD_X_FORWARDED_PORT] = DROP,
    [FIELD_X_FORWARDED_OTHER] = DROP,
    [FIELD_X_REAL_IP] = DROP,
    [FIELD_X_REQUEST_ID] = DROP,
    [FIELD_TRACEPARENT] = DROP,
    [FIELD_HTTP2_SETTINGS] = DROP,
    [FIELD_POLDER] = DROP,
    [FIELD_COOKIE] = ADDED, /* crumbs of HTTP/2 are joined (RFC 9113 8.2.3) */
    [FIELD_SEC_WEBSOCKET_KEY] = ADDED,
};

static const uint8_t response_fate[FIELD_ID_COUNT] = {
    [FIELD_CONNECTION] = DROP, [FIELD_CONTENT_LENGTH] = ADDED, [FIELD_TRANSFER_ENCODING] = DROP,
    [FIELD_UPGRADE] = DROP,    [FIELD_KEEP_ALIVE] = DROP,      [FIELD_PROXY_CONNECTION] = DROP,
    [FIELD_POLDER] = DROP,     [FIELD_X_REQUEST_ID] = DROP,    [FIELD_STRICT_TRANSPORT_SECURITY] = ADDED,
};

static void add_field(struct buf *b, struct str name, struct str value)
{
    buf_str(b, name);
    BUF_LIT(b, ": ");
    buf_str(b, value);
    BUF_LIT(b, "\r\n");
}

#define ADD(b, name, value) add_field((b), STR(name), (value))

/* Fields that a Connection field names are for this hop only (RFC 9110 7.6.1). */
static bool named_by_connection(const struct http_field *fields, unsigned count, struct str name)
{
    for (unsigned i = 0; i < count; i++)
        if (fields[i].id == FIELD_CONNECTION && http_list_has(fields[i].value, name))
            return true;
    return false;
}

static bool names_a_field(struct str value)
{
    while (value.n) {
        struct str token = str_trim(str_cut(&value, ','));
        if (!str_eq_nocase(token, STR("close")) && !str_eq_nocase(token, STR("keep-alive")) &&
            !str_eq_nocase(token, STR("upgrade")) && !str_eq_nocase(token, STR("te")))
            return true;
    }
    return false;
}

static bool connection_names_fields(const struct http_field *fields, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (fields[i].id == FIELD_CONNECTION && names_a_field(fields[i].value))
            return true;
    return false;
}

static bool edited_away(const struct config_header_edit *edits, unsigned count, struct str name)
{
    for (unsigned i = 0; i < count; i++)
        if (edits[i].op != EDIT_ADD && str_eq_nocase(edits[i].name, name))
            return true;
    return false;
}

static void write_target(struct exchange *ex, struct buf *b)
{
    const struct config_route *r = ex->route;
    struct str path = ex->req.path;
    if (r->has_rewrite && path.n && path.p[0] == '/') {
        struct str rest = str_skip(path, r->path.n);
        buf_str(b, r->rewrite);
        bool slash = r->rewrite.n && r->rewrite.p[r->rewrite.n - 1] == '/';
        if (slash && str_starts(rest, STR("/")))
            rest = str_skip(rest, 1);
        else if (!slash && !str_starts(rest, STR("/")) && (rest.n || r->rewrite.n == 0))
            buf_char(b, '/');
        path = rest;
    }
    buf_str(b, path);
    if (ex->req.has_query) {
        buf_char(b, '?');
        buf_str(b, ex->req.query);
    }
}

static void write_cookies(struct exchange *ex, struct buf *b)
{
    bool any = false;
    for (unsigned i = 0; i < ex->req.field_count; i++) {
        if (ex->req.fields[i].id != FIELD_COOKIE)
            continue;
        buf_str(b, any ? STR("; ") : STR("Cookie: "));
        buf_str(b, ex->req.fields[i].value);
        any = true;
    }
    if (any)
        BUF_LIT(b, "\r\n");
}

/* "X_Real_Ip": applications behind CGI-like interfaces read '_' and '-' alike (RFC 3875 4.1.18), so what
 * would be dropped with the one is dropped with the other. */
static bool is_dropped_name_in_disguise(struct str name)
{
    char dashed[64]; /* longer than any name that is known, and than the beginning of any family of names */
    name = str_take(name, sizeof dashed);
    for (size_t i = 0; i < name.n; i++)
        dashed[i] = name.p[i] == '_' ? '-' : name.p[i];
    return request_fate[http_field_id((struct str){dashed, name.n})] == DROP;
}

static void write_fields(struct exchange *ex, struct buf *b)
{
    const struct config_route *r = ex->route;
    bool underscores = client_limits(ex->client)->underscores == UNDERSCORE_KEEP;
    bool names = connection_names_fields(ex->req.fields, ex->req.field_count);
    bool wants_plain = inspect_wants_answer(ex); /* what is compressed cannot be looked into */
    bool cookies = false;
    for (unsigned i = 0; i < ex->req.field_count; i++) {
        const struct http_field *f = &ex->req.fields[i];
        cookies |= f->id == FIELD_COOKIE;
        if (wants_plain && str_eq_nocase(f->name, STR("accept-encoding")))
            continue;
        if (request_fate[f->id] != PASS ||
            (names && named_by_connection(ex->req.fields, ex->req.field_count, f->name)) ||
            (r->request_edit_count && edited_away(r->request_edits, r->request_edit_count, f->name)) ||
            (underscores && f->id == FIELD_OTHER && is_dropped_name_in_disguise(f->name)))
            continue;
        add_field(b, f->name, f->value);
    }
    if (wants_plain)
        ADD(b, "Accept-Encoding", STR("identity"));
    if (cookies && !edited_away(r->request_edits, r->request_edit_count, STR("cookie")))
        write_cookies(ex, b);
    for (unsigned i = 0; i < r->request_edit_count; i++)
        if (r->request_edits[i].op != EDIT_REMOVE)
            add_field(b, r->request_edits[i].name, r->request_edits[i].value);
}

/* RFC 7239, and the older fields that say the same. */
static void write_forwarded(struct exchange *ex, struct buf *b)
{
    const struct client *c = ex->client;
    struct str ip = {c->ip_text, c->ip_text_n};
    BUF_LIT(b, "Forwarded: for=");
    buf_str(b, c->peer.is_v4 ? STR("") : STR("\"["));
    buf_str(b, ip);
    buf_str(b, c->peer.is_v4 ? STR("") : STR("]\""));
    if (ex->req.authority.n) {
        BUF_LIT(b, ";host=\"");
        buf_str(b, ex->req.authority);
        buf_char(b, '"');
    }
    BUF_LIT(b, ";proto=");
    buf_str(b, ex->req.scheme);
    BUF_LIT(b, "\r\nX-Forwarded-For: ");
    buf_str(b, ip);
    BUF_LIT(b, "\r\nX-Forwarded-Proto: ");
    buf_str(b, ex->req.scheme);
    if (ex->req.authority.n) {
        BUF_LIT(b, "\r\nX-Forwarded-Host: ");
        buf_str(b, ex->req.authority);
    }
    BUF_LIT(b, "\r\n");
}

static void write_hex16(struct buf *b, uint64_t value)
{
    uint64_t big_endian = __builtin_bswap64(value);
    buf_hex(b, &big_endian, sizeof big_endian);
}

/* "00-" 32 hex "-" 16 hex "-" 2 hex, neither id all zeros (W3C Trace Context, level 1). */
static bool traceparent_is_valid(struct str v)
{
    if (v.n != 55 || !str_starts(v, STR("00-")) || v.p[35] != '-' || v.p[52] != '-')
        return false;
    for (size_t i = 3; i < v.n; i++) {
        bool hex = (v.p[i] >= '0' && v.p[i] <= '9') || (v.p[i] >= 'a' && v.p[i] <= 'f');
        if (i != 35 && i != 52 && !hex)
            return false;
    }
    return !str_eq(str_take(str_skip(v, 3), 32), STR("00000000000000000000000000000000")) &&
           !str_eq(str_take(str_skip(v, 36), 16), STR("0000000000000000"));
}

static void write_trace(struct exchange *ex, struct buf *b)
{
    const struct http_field *parent = http_find(ex->req.fields, ex->req.field_count, FIELD_TRACEPARENT);
    bool valid = parent && traceparent_is_valid(parent->value);
    BUF_LIT(b, "X-Request-Id: ");
    write_hex16(b, ex->id[0]);
    write_hex16(b, ex->id[1]);
    BUF_LIT(b, "\r\nTraceparent: 00-");
    if (valid) {
        buf_add(b, parent->value.p + 3, 32);
    } else {
        write_hex16(b, ex->id[0]);
        write_hex16(b, ex->id[1]);
    }
    buf_char(b, '-');
    write_hex16(b, proxy_random(ex->proxy) | 1);
    buf_str(b, valid ? str_skip(parent->value, 52) : STR("-00"));
    BUF_LIT(b, "\r\n");
}

static void write_client_certificate(struct exchange *ex, struct buf *b)
{
    struct tls_info info;
    if (!client_tls_info(ex->client, &info) || !info.has_client_cert)
        return;
    ADD(b, "X-Polder-Client-Verified", STR("yes"));
    ADD(b, "X-Polder-Client-Subject", info.client_subject);
    ADD(b, "X-Polder-Client-Sha256", info.client_sha256);
    ADD(b, "X-Polder-Client-Serial", info.client_serial);
}

static void write_request_framing(struct exchange *ex, struct buf *b)
{
    if (ex->req.has_upgrade) {
        const struct http_field *key =
            http_find(ex->req.fields, ex->req.field_count, FIELD_SEC_WEBSOCKET_KEY);
        BUF_LIT(b, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
        if (key)
            ADD(b, "Sec-WebSocket-Key", key->value);
        return;
    }
    if (ex->body_chunked_up) {
        BUF_LIT(b, "Transfer-Encoding: chunked\r\n");
    } else if (ex->req.body == BODY_LENGTH) {
        BUF_LIT(b, "Content-Length: ");
        buf_u64(b, ex->req.content_length);
        BUF_LIT(b, "\r\n");
    }
    if (ex->req.te_trailers)
        BUF_LIT(b, "Connection: TE\r\nTE: trailers\r\n");
}

void forward_request_head(struct exchange *ex, struct buf *b)
{
    const struct config_upstream *u = ex->pool->config;
    buf_str(b, ex->req.has_upgrade ? STR("GET") : ex->req.method_text);
    buf_char(b, ' ');
    write_target(ex, b);
    BUF_LIT(b, " HTTP/1.1\r\nHost: ");
    buf_str(b, u->host_header.n ? u->host_header : ex->req.authority);
    BUF_LIT(b, "\r\n");
    write_fields(ex, b);
    write_forwarded(ex, b);
    write_trace(ex, b);
    write_client_certificate(ex, b);
    write_request_framing(ex, b);
    BUF_LIT(b, "Via: 1.1 polder\r\n\r\n");
}

static void add_own_response_fields(struct exchange *ex, void (*field)(void *, struct str, struct str),
                                    void *self)
{
    const struct config_listener *l = ex->client->listener->config;
    char text[128];
    struct buf b = buf_over(text, sizeof text);
    if (!http_find(ex->resp.fields, ex->resp.field_count, FIELD_DATE))
        field(self, STR("Date"), proxy_date(ex->proxy));
    if (l->hsts_max_age_s) {
        BUF_LIT(&b, "max-age=");
        buf_u64(&b, l->hsts_max_age_s);
        field(self, STR("Strict-Transport-Security"), buf_text(&b));
    }
    b.n = 0;
    write_hex16(&b, ex->id[0]);
    write_hex16(&b, ex->id[1]);
    field(self, STR("X-Request-Id"), buf_text(&b));
    if (!ex->set_sticky || !ex->pool)
        return;
    b.n = 0;
    buf_str(&b, str_take(ex->pool->config->sticky_cookie, 64));
    buf_char(&b, '=');
    buf_hex_u64(&b, ex->sticky);
    buf_str(&b, ex->client->t.tls ? STR("; Path=/; HttpOnly; SameSite=Lax; Secure")
                                  : STR("; Path=/; HttpOnly; SameSite=Lax"));
    if (!buf_overflowed(&b))
        field(self, STR("Set-Cookie"), buf_text(&b));
}

/* Content-Length is written by the side from the framing; but an answer to HEAD, and 304, says a length
 * without a body (RFC 9110 8.6). */
static bool passes_length(const struct exchange *ex)
{
    return ex->resp.body == BODY_NONE && (ex->req.method == METHOD_HEAD || ex->resp.status == 304);
}

void forward_response_fields(struct exchange *ex, void (*field)(void *, struct str, struct str), void *self)
{
    const struct config_route *r = ex->is_notice ? NULL : ex->route;
    bool names = connection_names_fields(ex->resp.fields, ex->resp.field_count);
    unsigned edits = r ? r->response_edit_count : 0;
    bool hsts = ex->client->listener->config->hsts_max_age_s != 0;
    for (unsigned i = 0; i < ex->resp.field_count; i++) {
        const struct http_field *f = &ex->resp.fields[i];
        if (response_fate[f->id] == DROP || (f->id == FIELD_CONTENT_LENGTH && !passes_length(ex)) ||
            (f->id == FIELD_STRICT_TRANSPORT_SECURITY && hsts) ||
            (names && named_by_connection(ex->resp.fields, ex->resp.field_count, f->name)) ||
            (edits && edited_away(r->response_edits, edits, f->name)))
            continue;
        field(self, f->name, f->value);
    }
    if (ex->resp.status >= 200 || ex->resp.status == 101)
        add_own_response_fields(ex, field, self);
    for (unsigned i = 0; i < edits && ex->resp.status >= 200; i++)
        if (r->response_edits[i].op != EDIT_REMOVE)
            field(self, r->response_edits[i].name, r->response_edits[i].value);
}

bool forward_trailer_allowed(const struct http_field *f)
{
    return f->id == FIELD_OTHER && !str_eq_nocase(f->name, STR("authorization"));
}
