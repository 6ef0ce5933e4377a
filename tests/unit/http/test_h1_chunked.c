/* The chunked coding: whole bodies, every way to cut them in two, and trailers. */
#include "parsed.h"

struct row {
    const char *name;
    const char *bytes;
    size_t n;
    const char *data; /* NULL: refused */
};

#define BODY(name, bytes, data)                                                                              \
    {                                                                                                        \
        name, bytes, sizeof(bytes) - 1, data                                                                 \
    }
#define BAD(name, bytes)                                                                                     \
    {                                                                                                        \
        name, bytes, sizeof(bytes) - 1, NULL                                                                 \
    }

static const struct row rows[] = {
    BODY("empty", "0\r\n", ""),
    BODY("one chunk", "5\r\nhello\r\n0\r\n", "hello"),
    BODY("two chunks", "5\r\nhello\r\n6\r\n world\r\n0\r\n", "hello world"),
    BODY("data that looks like framing", "7\r\n\r\n0\r\n\r\n\r\n0\r\n", "\r\n0\r\n\r\n"),
    BODY("hex in both cases", "a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n", "01234567890123456789a"),
    BODY("leading zeros", "0005\r\nhello\r\n0000\r\n", "hello"),
    BODY("sixteen digits", "0000000000000005\r\nhello\r\n0000000000000000\r\n", "hello"),
    BODY("extension name", "5;a\r\nhello\r\n0\r\n", "hello"),
    BODY("extension value", "5;a=b;c=d\r\nhello\r\n0;e\r\n", "hello"),
    BODY("extension in quotes", "5;a=\"b;\\\"\\\\ c\";d\r\nhello\r\n0\r\n", "hello"),
    BODY("empty quotes", "5;a=\"\"\r\nhello\r\n0\r\n", "hello"),
    BAD("no size", "\r\nhello\r\n"),
    BAD("size of a letter", "g\r\n"),
    BAD("size with a sign", "+5\r\nhello"),
    BAD("size with a minus", "-1\r\n"),
    BAD("size with 0x", "0x5\r\nhello"),
    BAD("space before the size", " 5\r\nhello"),
    BAD("space behind the size", "5 \r\nhello"),
    BAD("tab behind the size", "5\t\r\nhello"),
    BAD("size of 17 digits", "00000000000000005\r\nhello"),
    BAD("size 2^63", "8000000000000000"
                     "\r\n"),
    BAD("size 2^64 - 1", "ffffffffffffffff\r\n"),
    BAD("size 2^64 + 5", "10000000000000005\r\nhello"),
    BAD("bare LF behind the size", "5\nhello\r\n"),
    BAD("bare CR behind the size", "5\rhello\r\n"),
    BAD("CR CR LF behind the size", "5\r\r\nhello\r\n"),
    BAD("NUL behind the size", "5\0\r\nhello\r\n"),
    BAD("comma behind the size", "5,\r\nhello\r\n"),
    BAD("data too long", "5\r\nhello!\r\n"),
    BAD("data too short", "5\r\nhell\r\n0\r\n"),
    BAD("bare LF behind the data", "5\r\nhello\n0\r\n"),
    BAD("bare CR behind the data", "5\r\nhello\r0\r\n"),
    BAD("nothing behind the data", "5\r\nhello0\r\n"),
    BAD("another byte for the CR", "5\r\nhellox\n0\r\n"),
    BAD("empty extension", "5;\r\nhello\r\n"),
    BAD("two semicolons", "5;;a\r\nhello\r\n"),
    BAD("extension with a space before it", "5 ;a\r\nhello\r\n"),
    BAD("extension with a space in it", "5; a\r\nhello\r\n"),
    BAD("extension with a space behind it", "5;a \r\nhello\r\n"),
    BAD("extension without a name", "5;=b\r\nhello\r\n"),
    BAD("extension without a value", "5;a=\r\nhello\r\n"),
    BAD("extension with two equal signs", "5;a=b=c\r\nhello\r\n"),
    BAD("bare LF in an extension", "5;a\nhello\r\n"),
    BAD("bare CR in an extension", "5;a\rb\r\nhello\r\n"),
    BAD("LF in quotes", "5;a="
                        "\"\n\"\r\nhello\r\n"),
    BAD("CR LF in quotes", "5;a=\"\r\n\"\r\nhello\r\n"),
    BAD("escaped LF in quotes", "5;a=\"\\\n\"\r\nhello\r\n"),
    BAD("control in quotes", "5;a=\"\x01\"\r\nhello\r\n"),
    BAD("token behind quotes", "5;a=\"b\"c\r\nhello\r\n"),
    BAD("quotes that never close", "5;a=\"b\r\nhello\r\n"),
    BAD("slash in an extension", "5;a/b\r\nhello\r\n"),
    BAD("NUL in an extension", "5;a\0\r\nhello\r\n"),
    BAD("8-bit byte in "
        "an extension",
        "5;"
        "caf\xc3\xa9\r\nh"
        "ello\r\n"),
};

struct decoded {
    struct h1_chunked decoder;
    struct buf data;
    size_t taken;
    enum h1_chunked_result last;
    char memory[256];
};

/* Feeds all of `in` or up to the verdict. */
static void feed(struct decoded *d, struct str in)
{
    for (size_t at = 0, taken; at < in.n || in.n == 0; at += taken) {
        struct str data = STR_NONE;
        d->last = h1_chunked_feed(&d->decoder, str_skip(in, at), &taken, &data);
        assert_true(taken <= in.n - at);
        d->taken += taken;
        if (d->last == CHUNKED_DATA)
            buf_str(&d->data, data);
        else if (d->last != CHUNKED_MORE || at + taken == in.n)
            return;
        else
            fail_msg("MORE, but not everything was taken");
    }
}

static void decoded_init(struct decoded *d)
{
    *d = (struct decoded){0};
    d->data = buf_over(d->memory, sizeof d->memory);
}

static void expect_row(const struct row *row, const struct decoded *d)
{
    enum h1_chunked_result expected = row->data ? CHUNKED_TRAILER : CHUNKED_BAD;
    if (d->last != expected)
        print_error("row '%s': %d, expected %d\n", row->name, (int)d->last, (int)expected);
    assert_int_equal(d->last, expected);
    if (row->data) {
        expect_text(row->name, "data", buf_text(&d->data), str_of(row->data));
        assert_int_equal(d->taken, row->n);
    }
}

static void each_row_cut_anywhere(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t cut = 0; cut <= rows[i].n; cut++) {
            struct decoded d;
            decoded_init(&d);
            feed(&d, (struct str){rows[i].bytes, cut});
            if (d.last != CHUNKED_BAD && d.last != CHUNKED_TRAILER)
                feed(&d, (struct str){rows[i].bytes + cut, rows[i].n - cut});
            expect_row(&rows[i], &d);
        }
    }
}

static void each_row_byte_by_byte(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct decoded d;
        decoded_init(&d);
        for (size_t at = 0; at < rows[i].n && d.last != CHUNKED_BAD; at++)
            feed(&d, (struct str){rows[i].bytes + at, 1});
        expect_row(&rows[i], &d);
    }
}

static void a_bad_body_stays_bad(void **state)
{
    struct decoded d;
    decoded_init(&d);
    feed(&d, STR("x"));
    assert_int_equal(d.last, CHUNKED_BAD);
    feed(&d, STR("5\r\nhello\r\n"));
    assert_int_equal(d.last, CHUNKED_BAD);
    assert_int_equal(d.data.n, 0);
}

static void extensions_have_a_bound(void **state)
{
    struct decoded d;
    unsigned chunks = 0;
    decoded_init(&d);
    for (; d.last != CHUNKED_BAD && chunks < 10'000; chunks++)
        feed(&d, STR("1;0123456789=abcdefgh\r\nx\r\n")), d.data.n = 0;
    assert_int_equal(d.last, CHUNKED_BAD);
    assert_in_range(chunks, 100, 400);
}

static void the_largest_size_is_counted_right(void **state)
{
    struct decoded d;
    decoded_init(&d);
    feed(&d, STR("7fffffffffffffff\r\nab"));
    assert_int_equal(d.last, CHUNKED_DATA);
    assert_int_equal(d.decoder.left, INT64_MAX - 2);
}

static void size_line(void **state)
{
    char memory[64];
    struct buf b = buf_over(memory, sizeof memory);
    h1_chunk_write_size(&b, 0);
    h1_chunk_write_size(&b, 4096);
    h1_chunk_write_size(&b, UINT64_MAX);
    assert_true(str_eq(buf_text(&b), STR("0\r\n1000\r\nffffffffffffffff\r\n")));
}

struct trailer_row {
    const char *name;
    struct str bytes;
    int count; /* -1: refused */
    enum http_refusal refusal;
};

static const struct trailer_row trailer_rows[] = {
    {"none", STR("\r\n"), 0, REFUSAL_NONE},
    {"one", STR("X-Checksum: 5\r\n\r\n"), 1, REFUSAL_NONE},
    {"two", STR("X: 5\r\ngrpc-status: 0\r\n\r\n"), 2, REFUSAL_NONE},
    {"bare LF", STR("\n"), -1, REFUSAL_TRAILER},
    {"bare LF behind a field", STR("X: 5\n\r\n"), -1, REFUSAL_TRAILER},
    {"CR without LF", STR("\rX: a\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"space before the colon", STR("X : 5\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"fold", STR("X: 5\r\n a\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"no colon", STR("GET / HTTP/1.1\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"Content-Length", STR("Content-Length: 5\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"Transfer-Encoding", STR("X: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"Host", STR("host: a\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"Connection", STR("Connection: close\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"Trailer", STR("Trailer: x\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"Cookie", STR("Cookie: a=b\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"Set-Cookie", STR("Set-Cookie: a=b\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"Authorization", STR("AUTHORIZATION: Basic x\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"Content-Encoding", STR("Content-Encoding: gzip\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"X-Forwarded-For", STR("X-Forwarded-For: 192.0.2.1\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"X-Forwarded-anything", STR("X-Forwarded-Client-Cert: x\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"our own", STR("X-Polder-Subject: x\r\n\r\n"), -1, REFUSAL_TRAILER},
    {"too many",
     STR("X:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:"
         "\r\nX:\r\n"
         "X:\r\nX:\r\nX:\r\n\r\n"),
     -1, REFUSAL_TOO_MANY_FIELDS},
};

static void expect_trailers(const struct trailer_row *row, size_t first_part)
{
    struct parsed p = parsed_over(row->bytes);
    struct http_field *fields = NULL;
    unsigned count = 0;
    size_t scanned = 0;
    for (size_t n = first_part; n <= row->bytes.n && p.n == 0; n++)
        p.n = h1_parse_trailers((struct str){p.bytes, n}, &scanned, &usual_limits, p.arena, &fields, &count,
                                &p.refusal);
    expect_refusal(row->name, &p, row->refusal);
    if (row->count >= 0) {
        assert_int_equal(count, row->count);
        assert_int_equal(p.n, row->bytes.n);
    }
    parsed_done(&p);
}

static void trailers(void **state)
{
    for (size_t i = 0; i < sizeof trailer_rows / sizeof *trailer_rows; i++)
        for (size_t first_part = 0; first_part <= trailer_rows[i].bytes.n; first_part++)
            expect_trailers(&trailer_rows[i], first_part);
}

static void endless_trailers(void **state)
{
    char bytes[5000];
    struct http_field *fields = NULL;
    unsigned count = 0;
    size_t scanned = 0;
    memset(bytes, 'a', sizeof bytes);
    struct parsed p = parsed_over((struct str){bytes, sizeof bytes});
    p.n = h1_parse_trailers((struct str){p.bytes, sizeof bytes}, &scanned, &usual_limits, p.arena, &fields,
                            &count, &p.refusal);
    expect_refusal("endless", &p, REFUSAL_HEAD_TOO_LARGE);
    parsed_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_cut_anywhere),
        cmocka_unit_test(each_row_byte_by_byte),
        cmocka_unit_test(a_bad_body_stays_bad),
        cmocka_unit_test(extensions_have_a_bound),
        cmocka_unit_test(the_largest_size_is_counted_right),
        cmocka_unit_test(size_line),
        cmocka_unit_test(trailers),
        cmocka_unit_test(endless_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
