/* The chunked coding and its trailers; the first byte says how the rest is cut. Properties: however it is
 * cut, the data, the verdict and the place where it falls are the same; what was decoded, encoded anew,
 * decodes to itself; trailers that were accepted hold nothing that frames a message. */
#include "base/must.h"
#include "http/h1.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHUNK_OVERHEAD = 32 };

static const struct h1_limits limits = {.head_bytes = 1024, .field_count = 8, .target_bytes = 1};

struct decoded {
    enum h1_chunked_result last;
    size_t taken;
    struct buf data;
    struct h1_chunked decoder;
};

/* One call; false when the body is over, good or bad. */
static bool feed(struct decoded *d, struct str in)
{
    size_t taken = 0;
    struct str data = STR_NONE;
    d->last = h1_chunked_feed(&d->decoder, in, &taken, &data);
    d->taken += taken;
    must(taken <= in.n && d->last != CHUNKED_END);
    if (d->last == CHUNKED_DATA) {
        must(data.n > 0 && data.p + data.n == in.p + taken);
        buf_str(&d->data, data);
    }
    must(d->last != CHUNKED_MORE || taken == in.n);
    return d->last == CHUNKED_MORE || d->last == CHUNKED_DATA;
}

static struct decoded decode(struct str in, size_t step)
{
    struct decoded d = {.data = buf_over(malloc(in.n + 1), in.n)};
    must(d.data.p);
    for (size_t have = step; d.taken < in.n;) {
        size_t end = have < in.n ? have : in.n;
        if (!feed(&d, (struct str){in.p + d.taken, end - d.taken}))
            break;
        have += d.taken == end ? step : 0;
    }
    must(!buf_overflowed(&d.data));
    return d;
}

static void must_survive_encoding(struct str body)
{
    size_t cap = body.n + 2 * CHUNK_OVERHEAD;
    struct buf b = buf_over(malloc(cap), cap);
    must(b.p);
    if (body.n) {
        h1_chunk_write_size(&b, body.n);
        buf_str(&b, body);
        BUF_LIT(&b, "\r\n");
    }
    h1_chunk_write_size(&b, 0);
    must(!buf_overflowed(&b));
    struct decoded again = decode(buf_text(&b), b.n);
    must(again.last == CHUNKED_TRAILER && again.taken == b.n && str_eq(buf_text(&again.data), body));
    free(again.data.p);
    free(b.p);
}

static ptrdiff_t parse_trailers(struct str in, size_t first_part, enum http_refusal *ret_refusal)
{
    struct arena *arena = arena_new(1 << 16);
    struct http_field *fields = NULL;
    unsigned count = 0;
    size_t scanned = 0;
    ptrdiff_t n = 0;
    must(arena);
    for (size_t have = first_part; have <= in.n && n == 0; have++)
        n = h1_parse_trailers(str_take(in, have), &scanned, &limits, arena, &fields, &count, ret_refusal);
    for (unsigned i = 0; n > 0 && i < count; i++)
        must(fields[i].id == FIELD_OTHER && h1_is_token(fields[i].name) &&
             h1_is_field_value(fields[i].value));
    arena_free(arena);
    return n;
}

static void must_end_the_same(struct str trailers)
{
    enum http_refusal at_once = REFUSAL_NONE, dripped = REFUSAL_NONE;
    must(parse_trailers(trailers, trailers.n, &at_once) == parse_trailers(trailers, 0, &dripped));
    must(at_once == dripped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct str in = {(const char *)data + 1, size - 1};
    struct decoded whole = decode(in, in.n + 1), cut = decode(in, (size_t)data[0] + 1);
    must(whole.last == cut.last || in.n == 0 || whole.taken == in.n);
    must((whole.last == CHUNKED_BAD) == (cut.last == CHUNKED_BAD));
    must((whole.last == CHUNKED_TRAILER) == (cut.last == CHUNKED_TRAILER));
    must(whole.taken == cut.taken && str_eq(buf_text(&whole.data), buf_text(&cut.data)));
    must(whole.decoder.state == cut.decoder.state && whole.decoder.left == cut.decoder.left);
    if (whole.last == CHUNKED_TRAILER) {
        must_survive_encoding(buf_text(&whole.data));
        must_end_the_same(str_skip(in, whole.taken));
    }
    free(whole.data.p);
    free(cut.data.p);
    return 0;
}
