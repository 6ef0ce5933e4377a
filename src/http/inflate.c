/* Codings come off one after the other, the last applied first; what one gives is the next one's input.
 *
 *   pass     zlib's bits  at the end of the stream
 *   GZIP     31           the input must be used up
 *   ZLIB     15           the input must be used up
 *   RAW      -15          the input must be used up
 *   PROBE    -15          the body reads in two ways: refused. When it is damaged, as it should be: ZLIB
 *
 * Invariants
 * 1. No more than `limit` bytes are ever written for a pass, and all of them before the end was seen.
 * 2. A deflate body that begins as a zlib header does begins, read without wrapper, as a stored block. Only
 * if that block's length is consistent as well (once in 65,536 honest bodies) is it read as RAW first, to
 * see. */
#include "http/inflate.h"

#include "base/must.h"

#define ZLIB_CONST
#include <zlib.h>

enum { WRAPPED = 16, NO_HEADER_BYTES = 2, STORED_HEADER_BYTES = 5 };

enum pass { PASS_GZIP, PASS_ZLIB, PASS_RAW, PASS_PROBE };

struct http_inflate {
    struct arena *arena;
    struct http_codings codings; /* that are still to come off */
    struct str in;               /* of this pass */
    char *out[HTTP_CODINGS_MAX]; /* used in turn */
    size_t out_n, limit;
    z_stream stream;
    enum pass pass;
    enum http_inflate_result result;
};

static bool add_coding(struct http_codings *codings, struct str name)
{
    bool is_gzip = str_eq_nocase(name, STR("gzip")) || str_eq_nocase(name, STR("x-gzip"));
    if (name.n == 0 || str_eq_nocase(name, STR("identity")))
        return true;
    if ((!is_gzip && !str_eq_nocase(name, STR("deflate"))) || codings->count == HTTP_CODINGS_MAX)
        return false;
    codings->items[codings->count++] = is_gzip ? CODING_GZIP : CODING_DEFLATE;
    return true;
}

bool http_codings_add(struct http_codings *codings, struct str value)
{
    while (value.p)
        if (!add_coding(codings, str_trim(str_cut(&value, ','))))
            return false;
    return true;
}

static void *take_memory(void *arena, unsigned count, unsigned bytes)
{
    return arena_alloc(arena, (size_t)count * bytes);
}

static void leave_memory(void *arena, void *memory)
{
    /* it goes with the arena */
}

/* RFC 1950 2.2: method 8, and a check value over both bytes. */
static bool is_zlib_header(struct str in)
{
    if (in.n < NO_HEADER_BYTES)
        return false;
    unsigned cmf = (uint8_t)in.p[0], flg = (uint8_t)in.p[1];
    return (cmf & 0xf) == 8 && (cmf >> 4) <= 7 && (cmf << 8 | flg) % 31 == 0;
}

/* RFC 1951 3.2.4: behind the block's first bits, LEN and its complement. */
static bool is_stored_header(struct str in)
{
    return in.n >= STORED_HEADER_BYTES && (uint8_t)(in.p[1] ^ in.p[3]) == 0xff &&
           (uint8_t)(in.p[2] ^ in.p[4]) == 0xff;
}

static enum pass first_pass(enum http_coding coding, struct str in)
{
    if (coding == CODING_GZIP)
        return PASS_GZIP;
    if (!is_zlib_header(in))
        return PASS_RAW;
    return is_stored_header(in) ? PASS_PROBE : PASS_ZLIB;
}

static void begin_pass(struct http_inflate *f, enum pass pass)
{
    static const int bits[] = {
        [PASS_GZIP] = MAX_WBITS + WRAPPED,
        [PASS_ZLIB] = MAX_WBITS,
        [PASS_RAW] = -MAX_WBITS,
        [PASS_PROBE] = -MAX_WBITS,
    };
    f->stream = (z_stream){.zalloc = take_memory, .zfree = leave_memory, .opaque = f->arena};
    f->stream.next_in = (const Bytef *)f->in.p;
    f->pass = pass;
    f->out_n = 0;
    f->result = inflateInit2(&f->stream, bits[pass]) == Z_OK ? INFLATE_MORE : INFLATE_NO_MEMORY;
}

static void begin_coding(struct http_inflate *f)
{
    begin_pass(f, first_pass(f->codings.items[f->codings.count - 1], f->in));
}

static size_t limit_of(struct str in, const struct http_inflate_limits *limits)
{
    size_t by_ratio;
    if (__builtin_mul_overflow(in.n, limits->ratio, &by_ratio))
        by_ratio = SIZE_MAX;
    if (by_ratio < HTTP_INFLATE_FREE_BYTES)
        by_ratio = HTTP_INFLATE_FREE_BYTES;
    return by_ratio < limits->bytes ? by_ratio : limits->bytes;
}

struct http_inflate *http_inflate_new(const struct http_codings *codings, struct str in,
                                      const struct http_inflate_limits *limits, struct arena *arena)
{
    struct http_inflate *f = arena_alloc(arena, sizeof *f);
    must(codings->count > 0 && codings->count <= HTTP_CODINGS_MAX);
    if (!f)
        return NULL;
    f->arena = arena;
    f->codings = *codings;
    f->in = in;
    f->limit = limit_of(in, limits);
    f->result = INFLATE_DONE;
    for (unsigned i = 0; in.n > 0 && i < codings->count; i++)
        if (!(f->out[i] = arena_bytes(arena, f->limit)))
            return NULL;
    if (in.n > 0)
        begin_coding(f);
    return f->result == INFLATE_NO_MEMORY ? NULL : f;
}

static char *output_of(const struct http_inflate *f)
{
    return f->out[f->codings.count - 1];
}

/* The stream is at its end. */
static enum http_inflate_result end_pass(struct http_inflate *f)
{
    bool is_all = f->stream.next_in == (const Bytef *)f->in.p + f->in.n;
    if (f->pass == PASS_PROBE || !is_all)
        return INFLATE_AMBIGUOUS;
    if (f->codings.count == 1)
        return INFLATE_DONE;
    f->in = (struct str){output_of(f), f->out_n};
    f->codings.count--;
    begin_coding(f);
    return f->result;
}

static enum http_inflate_result fail_pass(struct http_inflate *f, int error)
{
    if (error == Z_MEM_ERROR)
        return INFLATE_NO_MEMORY;
    if (f->pass != PASS_PROBE)
        return INFLATE_DAMAGED;
    begin_pass(f, PASS_ZLIB);
    return f->result;
}

/* At the limit there is one byte to write to beside the output, to tell a stream that only has to end from
 * one that goes on. */
static enum http_inflate_result step(struct http_inflate *f)
{
    z_stream *z = &f->stream;
    size_t in_left = f->in.n - (size_t)((const char *)z->next_in - f->in.p), room = f->limit - f->out_n;
    uint8_t beyond;
    z->avail_in = (unsigned)(in_left < HTTP_INFLATE_STEP_IN ? in_left : HTTP_INFLATE_STEP_IN);
    z->avail_out = (unsigned)(room < HTTP_INFLATE_STEP_OUT ? room : HTTP_INFLATE_STEP_OUT);
    z->next_out = room ? (Bytef *)output_of(f) + f->out_n : &beyond;
    z->avail_out += room == 0;
    unsigned offered_in = z->avail_in, offered_out = z->avail_out;
    int said = inflate(z, Z_NO_FLUSH);
    unsigned written = offered_out - z->avail_out;
    if (written > room)
        return INFLATE_TOO_LARGE;
    f->out_n += written;
    if (said == Z_STREAM_END)
        return end_pass(f);
    if (said != Z_OK && said != Z_BUF_ERROR)
        return fail_pass(f, said);
    bool is_stuck = written == 0 && z->avail_in == offered_in;
    return is_stuck ? fail_pass(f, Z_DATA_ERROR) : INFLATE_MORE;
}

enum http_inflate_result http_inflate_step(struct http_inflate *f)
{
    if (f->result == INFLATE_MORE)
        f->result = step(f);
    return f->result;
}

struct str http_inflate_output(const struct http_inflate *f)
{
    must(f->result == INFLATE_DONE);
    return (struct str){output_of(f), f->out_n};
}

enum http_inflate_result http_inflate(const struct http_codings *codings, struct str in,
                                      const struct http_inflate_limits *limits, struct arena *arena,
                                      struct str *ret_out)
{
    struct http_inflate *f = http_inflate_new(codings, in, limits, arena);
    enum http_inflate_result result = f ? INFLATE_MORE : INFLATE_NO_MEMORY;
    while (result == INFLATE_MORE)
        result = http_inflate_step(f);
    if (result == INFLATE_DONE)
        *ret_out = http_inflate_output(f);
    return result;
}
