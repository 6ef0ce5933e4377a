/* Content-Encoding: what zlib compressed comes back, and nothing that can be read in two ways does. */
#include "http/inflate.h"

#include "base/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

enum { GZIP = 31, ZLIB = 15, RAW = -15, ROOM = 1 << 20 };

static const struct http_inflate_limits roomy = {.bytes = 8 << 20, .ratio = 2000};
static const struct str hello = {"hello hello hello", 17};

struct made {
    char bytes[ROOM];
    size_t n;
};

static struct made made[3]; /* what the tests compress into */

static struct str compressed(struct made *m, int bits, int level, struct str text)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)text.p, .avail_in = (unsigned)text.n};
    assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = (Bytef *)m->bytes;
    z.avail_out = sizeof m->bytes;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    m->n = sizeof m->bytes - z.avail_out;
    deflateEnd(&z);
    return (struct str){m->bytes, m->n};
}

static struct http_codings codings_of(const char *value)
{
    struct http_codings codings = {0};
    assert_true(http_codings_add(&codings, str_of(value)));
    return codings;
}

/* Decodes and says how it went; a body that came out must be `wanted`. */
static enum http_inflate_result decoded(const char *coding, struct str in, struct http_inflate_limits limits,
                                        struct str wanted)
{
    struct http_codings codings = codings_of(coding);
    struct arena *arena = arena_new(32 << 20);
    struct str out = STR_NONE;
    assert_non_null(arena);
    enum http_inflate_result result = http_inflate(&codings, in, &limits, arena, &out);
    if (result == INFLATE_DONE)
        assert_true(str_eq(out, wanted));
    arena_free(arena);
    return result;
}

static void lists_of_codings(void **state)
{
    static const struct {
        const char *value;
        bool is_known;
        unsigned count;
    } rows[] = {
        {"gzip", true, 1},       {"GZip", true, 1},
        {"x-gzip", true, 1},     {"deflate", true, 1},
        {"", true, 0},           {"identity", true, 0},
        {" , gzip ,", true, 1},  {"gzip, deflate", true, 2},
        {"br", false, 0},        {"gzip, zstd", false, 1},
        {"compress", false, 0},  {"gzip;q=1", false, 0},
        {"gzip gzip", false, 0}, {"gzip,gzip,gzip", false, 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct http_codings codings = {0};
        print_message("%s\n", rows[i].value);
        assert_int_equal(http_codings_add(&codings, str_of(rows[i].value)), rows[i].is_known);
        assert_int_equal(codings.count, rows[i].count);
    }
}

static void fields_add_up(void **state)
{
    struct http_codings codings = {0};
    assert_true(http_codings_add(&codings, STR("deflate")));
    assert_true(http_codings_add(&codings, STR("gzip")));
    assert_int_equal(codings.count, 2);
    assert_int_equal(codings.items[0], CODING_DEFLATE);
    assert_int_equal(codings.items[1], CODING_GZIP);
}

static void each_coding_comes_back(void **state)
{
    for (int level = 0; level <= 9; level += 3) {
        assert_int_equal(decoded("gzip", compressed(&made[0], GZIP, level, hello), roomy, hello),
                         INFLATE_DONE);
        assert_int_equal(decoded("deflate", compressed(&made[0], ZLIB, level, hello), roomy, hello),
                         INFLATE_DONE);
        assert_int_equal(decoded("deflate", compressed(&made[0], RAW, level, hello), roomy, hello),
                         INFLATE_DONE);
    }
    assert_int_equal(decoded("gzip", compressed(&made[0], GZIP, 9, STR("")), roomy, STR("")), INFLATE_DONE);
}

/* A member as `gzip -c NAME` writes it, from RFC 1952 by hand: with a name, and a stored block. */
static void a_file_name_in_the_header_is_skipped(void **state)
{
    static const char member[] = "\x1f\x8b\x08\x08\0\0\0\0\0\x03"
                                 "a.txt\0"
                                 "\x01\x03\x00\xfc\xff"
                                 "abc"
                                 "\xc2\x41\x24\x35\x03\0\0\0";
    assert_int_equal(decoded("gzip", (struct str){member, sizeof member - 1}, roomy, STR("abc")),
                     INFLATE_DONE);
}

static void the_last_applied_comes_off_first(void **state)
{
    struct str inner = compressed(&made[0], ZLIB, 6, hello), outer = compressed(&made[1], GZIP, 6, inner);
    assert_int_equal(decoded("deflate, gzip", outer, roomy, hello), INFLATE_DONE);
    assert_int_equal(decoded("gzip, deflate", outer, roomy, hello), INFLATE_DAMAGED);
    assert_int_equal(decoded("gzip", outer, roomy, inner), INFLATE_DONE);
}

static void an_empty_body_is_an_empty_body(void **state)
{
    assert_int_equal(decoded("gzip", STR(""), roomy, STR("")), INFLATE_DONE);
    assert_int_equal(decoded("deflate, gzip", STR(""), roomy, STR("")), INFLATE_DONE);
    assert_int_equal(decoded("gzip, gzip", compressed(&made[0], GZIP, 6, STR("")), roomy, STR("")),
                     INFLATE_DAMAGED); /* but nothing inside a coding is not one */
}

static void whatever_is_cut_off_is_damaged(void **state)
{
    static const int bits[] = {GZIP, ZLIB, RAW};
    for (size_t i = 0; i < 3; i++) {
        struct str all = compressed(&made[0], bits[i], 6, hello);
        for (size_t n = 1; n < all.n; n++)
            assert_int_equal(decoded(bits[i] == GZIP ? "gzip" : "deflate", str_take(all, n), roomy, hello),
                             INFLATE_DAMAGED);
    }
}

/* Some bits are nobody's data: the time, the system, what fills the last byte. */
static void no_bit_turned_changes_the_text(void **state)
{
    struct str all = compressed(&made[0], GZIP, 6, hello);
    unsigned refused = 0;
    for (size_t bit = 0; bit < 8 * all.n; bit++) {
        made[0].bytes[bit / 8] ^= (char)(1 << bit % 8);
        refused += decoded("gzip", all, roomy, hello) != INFLATE_DONE;
        made[0].bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(refused >= 8 * (all.n - 8));
}

static void bytes_behind_the_end_are_refused(void **state)
{
    static const int bits[] = {GZIP, ZLIB, RAW};
    for (size_t i = 0; i < 3; i++) {
        struct str all = compressed(&made[0], bits[i], 6, hello);
        made[0].bytes[all.n++] = '\0';
        assert_int_equal(decoded(bits[i] == GZIP ? "gzip" : "deflate", all, roomy, hello), INFLATE_AMBIGUOUS);
    }
}

static void a_second_member_is_refused(void **state)
{
    struct str first = compressed(&made[0], GZIP, 6, hello), second = compressed(&made[1], GZIP, 6, hello);
    memcpy(made[0].bytes + first.n, second.p, second.n);
    assert_int_equal(decoded("gzip", (struct str){first.p, first.n + second.n}, roomy, hello),
                     INFLATE_AMBIGUOUS);
}

/* 78 da as a zlib header; as a stored block 25 da bits are padding, da 00 its length, 25 ff the complement.
 * Read so it is 218 bytes and another block; with wrapper it starts in the middle of those. */
static void deflate_in_two_readings_is_refused(void **state)
{
    char body[512] = "\x78\xda\x00\x25\xff";
    struct str inside = compressed(&made[0], RAW, 6, STR("<script>"));
    memset(body + 5, 'x', 218);
    memcpy(body + 5 + 218, inside.p, inside.n);
    assert_int_equal(decoded("deflate", (struct str){body, 5 + 218 + inside.n}, roomy, STR("")),
                     INFLATE_AMBIGUOUS);
}

/* The same five bytes in an honest zlib body, which a stored block first makes possible: no refusal. */
static void a_coincidence_is_no_second_reading(void **state)
{
    /* 78 01, then a block that is not last and stored, of 0xfe bytes less one: 00 fe ff. 01 00 | fe ff match.
     */
    char body[600] = "\x78\x01\x00\xfe\xff\x01\x00";
    struct str text = {body + 7, 0xfffe};
    static char large[0x10020];
    memcpy(large, body, 7);
    memset(large + 7, 'y', text.n);
    memcpy(large + 7 + text.n, "\x03\x00", 2);
    uLong sum = adler32(adler32(0, NULL, 0), (const Bytef *)large + 7, (unsigned)text.n);
    for (size_t i = 0; i < 4; i++)
        large[7 + text.n + 2 + i] = (char)(sum >> (24 - 8 * i));
    assert_int_equal(
        decoded("deflate", (struct str){large, 7 + text.n + 6}, roomy, (struct str){large + 7, text.n}),
        INFLATE_DONE);
}

static void a_preset_dictionary_is_damage(void **state)
{
    assert_int_equal(decoded("deflate", (struct str){"\x78\x20\0\0\0\1\3\0\0\0\0\1", 12}, roomy, STR("")),
                     INFLATE_DAMAGED);
}

static char *zeros(size_t n)
{
    char *p = calloc(1, n);
    assert_non_null(p);
    return p;
}

static void bombs_end_at_the_limit(void **state)
{
    const size_t n = 64 << 20;
    char *text = zeros(n);
    struct str bomb = compressed(&made[0], GZIP, 9, (struct str){text, n});
    struct str twice = compressed(&made[1], GZIP, 9, bomb);
    assert_true(twice.n < 2000);
    assert_int_equal(decoded("gzip", bomb, roomy, STR("")), INFLATE_TOO_LARGE);
    assert_int_equal(decoded("gzip, gzip", twice, roomy, STR("")), INFLATE_TOO_LARGE);
    free(text);
}

static void the_limit_is_exact(void **state)
{
    struct str body = compressed(&made[0], GZIP, 6, hello);
    struct http_inflate_limits exact = {.bytes = hello.n, .ratio = 1},
                               less = {.bytes = hello.n - 1, .ratio = 1};
    assert_int_equal(decoded("gzip", body, exact, hello), INFLATE_DONE);
    assert_int_equal(decoded("gzip", body, less, hello), INFLATE_TOO_LARGE);
}

static void a_ratio_counts_beyond_what_is_free(void **state)
{
    const size_t n = HTTP_INFLATE_FREE_BYTES;
    char *text = zeros(n + 1);
    struct http_inflate_limits tight = {.bytes = 8 << 20, .ratio = 10};
    struct str free_of_charge = {text, n}, more = {text, n + 1};
    assert_int_equal(decoded("gzip", compressed(&made[0], GZIP, 9, free_of_charge), tight, free_of_charge),
                     INFLATE_DONE);
    assert_int_equal(decoded("gzip", compressed(&made[0], GZIP, 9, more), tight, more), INFLATE_TOO_LARGE);
    free(text);
}

static void an_arena_that_is_too_small_says_so(void **state)
{
    struct str body = compressed(&made[0], GZIP, 6, hello), out;
    struct http_codings codings = codings_of("gzip");
    enum http_inflate_result last = INFLATE_NO_MEMORY;
    for (size_t limit = 64; limit < 80'000; limit += 500) {
        struct arena *arena = arena_new(limit);
        assert_non_null(arena);
        enum http_inflate_result result =
            http_inflate(&codings, body, &(struct http_inflate_limits){1024, 1}, arena, &out);
        assert_true(result == INFLATE_DONE || (result == INFLATE_NO_MEMORY && last == INFLATE_NO_MEMORY));
        last = result;
        arena_free(arena);
    }
    assert_int_equal(last, INFLATE_DONE);
}

/* A large body takes many steps, each of them small, whatever it is made of. */
static void steps_are_bounded(void **state)
{
    const size_t n = 700'000;
    char *text = zeros(n);
    struct http_codings codings = codings_of("gzip");
    for (size_t i = 0; i < n; i++)
        text[i] = (char)((i * i >> 3) & 0x3f);
    struct str body = compressed(&made[0], GZIP, 1, (struct str){text, n});
    struct arena *arena = arena_new(32 << 20);
    struct http_inflate *f = http_inflate_new(&codings, body, &roomy, arena);
    size_t steps = 0;
    assert_non_null(f);
    while (http_inflate_step(f) == INFLATE_MORE)
        steps++;
    assert_true(steps >= n / HTTP_INFLATE_STEP_OUT && steps >= body.n / HTTP_INFLATE_STEP_IN);
    assert_true(str_eq(http_inflate_output(f), (struct str){text, n}));
    assert_int_equal(http_inflate_step(f), INFLATE_DONE);
    arena_free(arena);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_codings),
        cmocka_unit_test(fields_add_up),
        cmocka_unit_test(each_coding_comes_back),
        cmocka_unit_test(a_file_name_in_the_header_is_skipped),
        cmocka_unit_test(the_last_applied_comes_off_first),
        cmocka_unit_test(an_empty_body_is_an_empty_body),
        cmocka_unit_test(whatever_is_cut_off_is_damaged),
        cmocka_unit_test(no_bit_turned_changes_the_text),
        cmocka_unit_test(bytes_behind_the_end_are_refused),
        cmocka_unit_test(a_second_member_is_refused),
        cmocka_unit_test(deflate_in_two_readings_is_refused),
        cmocka_unit_test(a_coincidence_is_no_second_reading),
        cmocka_unit_test(a_preset_dictionary_is_damage),
        cmocka_unit_test(bombs_end_at_the_limit),
        cmocka_unit_test(the_limit_is_exact),
        cmocka_unit_test(a_ratio_counts_beyond_what_is_free),
        cmocka_unit_test(an_arena_that_is_too_small_says_so),
        cmocka_unit_test(steps_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
