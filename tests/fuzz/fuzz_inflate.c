/* Content-Encoding. Properties: whatever the bytes, no result is larger than the limit, the verdict is the
 * same at once and step by step, and what was decoded is what zlib alone makes of it; and the bytes,
 * compressed by zlib in any of the codings, come back. The first two bytes choose codings and limit. */
#include "base/must.h"
#include "http/inflate.h"

#include <stdlib.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 16, ARENA_BYTES = 4 << 20, MADE_BYTES = INPUT_MAX + 1024 };

static const char *const lists[] = {"gzip", "deflate", "gzip, deflate", "deflate, gzip"};
static const int bits_of[] = {[CODING_GZIP] = 31, [CODING_DEFLATE] = 15};

static enum http_inflate_result by_steps(const struct http_codings *codings, struct str in,
                                         const struct http_inflate_limits *limits, struct arena *arena,
                                         struct str *ret_out)
{
    struct http_inflate *f = http_inflate_new(codings, in, limits, arena);
    enum http_inflate_result result;
    must(f);
    while ((result = http_inflate_step(f)) == INFLATE_MORE)
        continue;
    must(http_inflate_step(f) == result);
    if (result == INFLATE_DONE)
        *ret_out = http_inflate_output(f);
    return result;
}

/* zlib, all in one call. */
static bool plainly(int bits, struct str in, char *out, size_t cap, size_t *ret_n)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.p, .avail_in = (unsigned)in.n};
    must(inflateInit2(&z, bits) == Z_OK);
    z.next_out = (Bytef *)out;
    z.avail_out = (unsigned)cap;
    bool is_fine = inflate(&z, Z_FINISH) == Z_STREAM_END && z.avail_in == 0;
    *ret_n = cap - z.avail_out;
    inflateEnd(&z);
    return is_fine;
}

static void must_be_what_zlib_says(enum http_coding coding, struct str in, struct str out)
{
    static char plain[1 << 18];
    size_t n = 0;
    bool is_fine = plainly(bits_of[coding], in, plain, sizeof plain, &n);
    if (!is_fine && coding == CODING_DEFLATE)
        is_fine = plainly(-15, in, plain, sizeof plain, &n);
    must(is_fine && str_eq(out, (struct str){plain, n}));
}

static struct str compressed(char *memory, int bits, struct str text)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)text.p, .avail_in = (unsigned)text.n};
    must(deflateInit2(&z, 1, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_out = (Bytef *)memory;
    z.avail_out = MADE_BYTES;
    must(deflate(&z, Z_FINISH) == Z_STREAM_END);
    deflateEnd(&z);
    return (struct str){memory, MADE_BYTES - z.avail_out};
}

static void must_come_back(const struct http_codings *codings, struct str text)
{
    static char made[HTTP_CODINGS_MAX][MADE_BYTES];
    static const struct http_inflate_limits roomy = {.bytes = MADE_BYTES, .ratio = 2000};
    struct arena *arena = arena_new(ARENA_BYTES);
    struct str body = text, out = STR_NONE;
    must(arena);
    for (unsigned i = 0; i < codings->count; i++)
        body = compressed(made[i], bits_of[codings->items[i]], body);
    must(http_inflate(codings, body, &roomy, arena, &out) == INFLATE_DONE && str_eq(out, text));
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_codings codings = {0};
    struct str once = STR_NONE, stepped = STR_NONE;
    if (size < 2 || size > INPUT_MAX)
        return 0;
    must(http_codings_add(&codings, str_of(lists[data[0] % 4])));
    const struct http_inflate_limits limits = {.bytes = (size_t)data[1] << 10, .ratio = 1U << data[0] / 32};
    const struct str in = {(const char *)data + 2, size - 2};
    struct arena *arena = arena_new(ARENA_BYTES);
    must(arena);
    enum http_inflate_result result = http_inflate(&codings, in, &limits, arena, &once);
    must(result != INFLATE_MORE && result != INFLATE_NO_MEMORY);
    must(by_steps(&codings, in, &limits, arena, &stepped) == result && str_eq(once, stepped));
    must(once.n <= limits.bytes);
    if (result == INFLATE_DONE && in.n > 0 && codings.count == 1)
        must_be_what_zlib_says(codings.items[0], in, once);
    must_come_back(&codings, in);
    arena_free(arena);
    return 0;
}
