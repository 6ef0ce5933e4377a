/* What a client may send as a head. Properties:
 *  - bytes that come one by one get the same verdict, for the same reason and at the same length;
 *  - what is accepted, written anew from its canonical form, is accepted and means the same. */
#include "base/must.h"
#include "http/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 1 << 18, WRITTEN_MAX = 1 << 16 };

static const struct h1_limits limits = {.head_bytes = 4096, .field_count = 32, .target_bytes = 512};
/* Encoding takes three bytes where raw UTF-8 took one. */
static const struct h1_limits wider = {.head_bytes = WRITTEN_MAX, .field_count = 32, .target_bytes = 2048};

struct outcome {
    ptrdiff_t n;
    enum http_refusal refusal;
    struct http_request request;
    struct arena *arena;
};

static struct outcome parse_at_once(struct str in, const struct h1_limits *with)
{
    struct outcome o = {.arena = arena_new(ARENA_BYTES)};
    size_t scanned = 0;
    must(o.arena);
    o.n = h1_parse_request(in, &scanned, with, o.arena, &o.request, &o.refusal);
    return o;
}

static struct outcome parse_byte_by_byte(struct str in)
{
    struct outcome o = {.arena = arena_new(ARENA_BYTES)};
    size_t scanned = 0;
    must(o.arena);
    for (size_t have = 0; have <= in.n && o.n == 0; have++)
        o.n = h1_parse_request(str_take(in, have), &scanned, &limits, o.arena, &o.request, &o.refusal);
    return o;
}

/* Host apart: it is written from the authority. */
static bool next_field(const struct http_request *r, unsigned *at, struct http_field *ret)
{
    for (; *at < r->field_count; ++*at) {
        if (r->fields[*at].id == FIELD_HOST)
            continue;
        *ret = r->fields[(*at)++];
        return true;
    }
    return false;
}

static void must_be_same(const struct http_request *a, const struct http_request *b)
{
    struct http_field field, other;
    unsigned i = 0, k = 0;
    must(a->version == b->version && a->method == b->method && str_eq(a->method_text, b->method_text));
    must(str_eq(a->authority, b->authority) && str_eq(a->host, b->host));
    must(str_eq(a->path, b->path) && str_eq(a->query, b->query) && a->has_query == b->has_query);
    must(a->body == b->body && a->content_length == b->content_length);
    must(a->keep_alive == b->keep_alive && a->expects_continue == b->expects_continue);
    must(a->has_upgrade == b->has_upgrade && a->te_trailers == b->te_trailers);
    while (next_field(a, &i, &field)) {
        must(next_field(b, &k, &other));
        must(field.id == other.id && str_eq(field.name, other.name) && str_eq(field.value, other.value));
    }
    must(!next_field(b, &k, &other));
}

static void write_request(struct buf *b, const struct http_request *r)
{
    struct http_field field;
    buf_str(b, r->method_text);
    buf_char(b, ' ');
    buf_str(b, r->path);
    if (r->has_query) {
        buf_char(b, '?');
        buf_str(b, r->query);
    }
    buf_str(b, r->version == HTTP_1_0 ? STR(" HTTP/1.0\r\n") : STR(" HTTP/1.1\r\n"));
    if (r->authority.n)
        buf_printf(b, "Host: %.*s\r\n", STR_ARG(r->authority));
    for (unsigned at = 0; next_field(r, &at, &field);) {
        buf_str(b, field.name);
        buf_char(b, ':');
        buf_str(b, field.value);
        BUF_LIT(b, "\r\n");
    }
    BUF_LIT(b, "\r\n");
}

static void must_survive_writing(const struct http_request *r)
{
    static char written[WRITTEN_MAX];
    struct buf b = buf_over(written, sizeof written);
    write_request(&b, r);
    must(!buf_overflowed(&b));
    struct outcome again = parse_at_once(buf_text(&b), &wider);
    must(again.n == (ptrdiff_t)b.n);
    must_be_same(r, &again.request);
    arena_free(again.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str in = {(const char *)data, size};
    struct outcome whole = parse_at_once(in, &limits), dripped = parse_byte_by_byte(in);
    must(whole.n == dripped.n && whole.refusal == dripped.refusal);
    must(whole.n <= (ptrdiff_t)size && whole.n <= (ptrdiff_t)limits.head_bytes);
    must((whole.n < 0) == (whole.refusal != REFUSAL_NONE));
    if (whole.n > 0) {
        must_be_same(&whole.request, &dripped.request);
        must_survive_writing(&whole.request);
    }
    arena_free(whole.arena);
    arena_free(dripped.arena);
    return 0;
}
