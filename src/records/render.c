/* records/render.c - an answer as HTTP. */
#include "records/worker.h"

#include "rest/format.h"

static void put_date(struct buf *b, const char *name, int64_t unix_s)
{
    buf_printf(b, "%s: ", name);
    http_date_write(b, unix_s);
    BUF_LIT(b, "\r\n");
}

static void put_fields(struct task *t, struct buf *b)
{
    const struct rest_answer *a = &t->answer;
    const struct rest_site *site = &t->worker->sites[t->cluster];
    if (a->version)
        buf_printf(b, "ETag: W/\"%llu\"\r\n", (unsigned long long)a->version);
    if (a->modified_us != INT64_MIN)
        put_date(b, "Last-Modified", a->modified_us / 1'000'000);
    if (a->location.n)
        buf_printf(b, "%s: %.*s/%.*s\r\n", a->status == 202 ? "Content-Location" : "Location",
                   STR_ARG(site->base_url), STR_ARG(a->location));
    if (a->progress.n)
        buf_printf(b, "X-Progress: %.*s\r\n", STR_ARG(a->progress));
    if (a->allow.n)
        buf_printf(b, "Allow: %.*s\r\n", STR_ARG(a->allow));
    if (a->challenge.n)
        buf_printf(b, "WWW-Authenticate: %.*s\r\n", STR_ARG(a->challenge));
    if (a->retry_later)
        BUF_LIT(b, "Retry-After: 2\r\n");
    if (t->caller.reference.n && t->caller.reference.n <= 128)
        buf_printf(b, "X-Request-Id: %.*s\r\n", STR_ARG(t->caller.reference));
}

struct str render_answer(struct task *t)
{
    struct conn *c = t->conn;
    struct buf b = buf_over(c->head, sizeof c->head - 64); /* room for what conn_answer adds */
    struct rest_call call = {.site = &t->worker->sites[t->cluster], .arena = c->arena, .scratch = c->scratch};
    struct str type = STR_NONE, body = rest_render(&call, &t->request, &t->answer, &type), reason;
    reason = http_reason(t->answer.status);
    buf_printf(&b, "HTTP/1.1 %u %.*s\r\n", t->answer.status, STR_ARG(reason));
    put_date(&b, "Date", loop_wall_us(t->worker->process.loop) / 1'000'000);
    if (body.n)
        buf_printf(&b, "Content-Type: %.*s\r\n", STR_ARG(type));
    if (t->request.is_native) /* somebody's bytes under our name: no browser shall run them */
        BUF_LIT(&b,
                "X-Content-Type-Options: nosniff\r\nContent-Security-Policy: sandbox; default-src 'none'\r\n"
                "Content-Disposition: attachment\r\nVary: Accept\r\n");
    BUF_LIT(&b, "Cache-Control: private, no-cache\r\n");
    put_fields(t, &b);
    if (t->answer.status != 204 && t->answer.status != 304)
        buf_printf(&b, "Content-Length: %zu\r\n", body.n);
    if (buf_overflowed(&b)) { /* a location longer than any we make */
        b = buf_over(c->head, sizeof c->head - 64);
        BUF_LIT(&b, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n");
        body = STR_NONE;
    }
    c->head_out = b.n;
    return body;
}
