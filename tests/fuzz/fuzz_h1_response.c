/* What an upstream may send as a head; the first byte chooses the method it answers. Properties: bytes that
 * come one by one get the same verdict; what is accepted, written anew, is accepted and means the same. */
#include "base/must.h"
#include "http/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 1 << 18, WRITTEN_MAX = 1 << 14 };

static const struct h1_limits limits = {.head_bytes = 4096, .field_count = 32, .target_bytes = 512};
static const struct h1_limits wider = {.head_bytes = WRITTEN_MAX, .field_count = 32, .target_bytes = 512};

struct outcome {
    ptrdiff_t n;
    enum http_refusal refusal;
    struct http_response response;
    struct arena *arena;
};

static struct outcome parse(struct str in, size_t first_part, const struct h1_limits *with,
                            enum http_method method)
{
    struct outcome o = {.arena = arena_new(ARENA_BYTES)};
    size_t scanned = 0;
    must(o.arena);
    for (size_t have = first_part; have <= in.n && o.n == 0; have++)
        o.n = h1_parse_response(str_take(in, have), &scanned, with, method, o.arena, &o.response, &o.refusal);
    return o;
}

static void must_be_same(const struct http_response *a, const struct http_response *b)
{
    must(a->version == b->version && a->status == b->status && a->keep_alive == b->keep_alive);
    must(a->has_upgrade == b->has_upgrade && a->body == b->body && a->content_length == b->content_length);
    must(a->field_count == b->field_count);
    for (unsigned i = 0; i < a->field_count; i++) {
        must(a->fields[i].id == b->fields[i].id);
        must(str_eq(a->fields[i].name, b->fields[i].name) && str_eq(a->fields[i].value, b->fields[i].value));
    }
}

static void must_survive_writing(const struct http_response *r, enum http_method method)
{
    static char written[WRITTEN_MAX];
    struct buf b = buf_over(written, sizeof written);
    buf_printf(&b, "HTTP/1.%d %u \r\n", r->version == HTTP_1_1, (unsigned)r->status);
    for (unsigned i = 0; i < r->field_count; i++) {
        buf_str(&b, r->fields[i].name);
        BUF_LIT(&b, ": ");
        buf_str(&b, r->fields[i].value);
        BUF_LIT(&b, "\r\n");
    }
    BUF_LIT(&b, "\r\n");
    must(!buf_overflowed(&b));
    struct outcome again = parse(buf_text(&b), b.n, &wider, method);
    must(again.n == (ptrdiff_t)b.n);
    must_be_same(r, &again.response);
    arena_free(again.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct str in = {(const char *)data + 1, size - 1};
    enum http_method method = (enum http_method)(data[0] % (METHOD_TRACE + 1));
    struct outcome whole = parse(in, in.n, &limits, method), dripped = parse(in, 0, &limits, method);
    must(whole.n == dripped.n && whole.refusal == dripped.refusal);
    must((whole.n < 0) == (whole.refusal != REFUSAL_NONE));
    if (whole.n > 0) {
        must_be_same(&whole.response, &dripped.response);
        must_survive_writing(&whole.response, method);
        must(whole.response.body != BODY_UNTIL_CLOSE || !whole.response.keep_alive);
    }
    arena_free(whole.arena);
    arena_free(dripped.arena);
    return 0;
}
