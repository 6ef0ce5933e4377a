/* PROXY headers, versions 1 and 2: read, refused, written and read back. */
#include "parsed.h"

#include "http/proxy_protocol.h"

enum { LOCAL, IPV4, IPV6, BAD };

struct row {
    const char *name;
    const char *bytes;
    size_t n;
    int kind;
    const char *source, *destination; /* with ports */
};

#define ROW(name, bytes, kind, source, destination)                                                          \
    {                                                                                                        \
        name, bytes, sizeof(bytes) - 1, kind, source, destination                                            \
    }
#define REFUSED(name, bytes)                                                                                 \
    {                                                                                                        \
        name, bytes, sizeof(bytes) - 1, BAD, NULL, NULL                                                      \
    }
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4_PAIR   "\xc0\x00\x02\x01\xc0\x00\x02\x02\x9c\x40\x01\xbb"
#define V6_ONE    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"

static const struct row rows[] = {
    ROW("v1 IPv4", "PROXY TCP4 192.0.2.1 192.0.2.2 40000 443\r\n", IPV4, "192.0.2.1:40000", "192.0.2.2:443"),
    ROW("v1 IPv6", "PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", IPV6, "[2001:db8::1]:0", "[::1]:65535"),
    ROW("v1 unknown", "PROXY UNKNOWN\r\n", LOCAL, NULL, NULL),
    ROW("v1 unknown with more", "PROXY UNKNOWN ffff::1 what ever\r\n", LOCAL, NULL, NULL),
    REFUSED("another word", "GET / HTTP/1.1\r\n"),
    REFUSED("lower case", "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    REFUSED("v1 no family", "PROXY \r\n"),
    REFUSED("v1 other family", "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    REFUSED("v1 family in lower case", "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n"),
    REFUSED("v1 unknown and letters", "PROXY UNKNOWNX\r\n"),
    REFUSED("v1 bare LF", "PROXY TCP4 192.0.2.1 192.0.2.2 1 23\n"),
    REFUSED("v1 bare LF at once", "PROXY \n"),
    REFUSED("v1 two spaces", "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"),
    REFUSED("v1 tab", "PROXY TCP4\t192.0.2.1 192.0.2.2 1 2\r\n"),
    REFUSED("v1 space at the end", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n"),
    REFUSED("v1 words missing", "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"),
    REFUSED("v1 words too many", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"),
    REFUSED("v1 bad address", "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n"),
    REFUSED("v1 address with leading zeros", "PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n"),
    REFUSED("v1 IPv6 as TCP4", "PROXY TCP4 ::1 ::1 1 2\r\n"),
    REFUSED("v1 IPv4 as TCP6", "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"),
    REFUSED("v1 NUL in an address", "PROXY TCP4 192.0.2.1\0x 192.0.2.2 1 "
                                    "2\r\n"),
    REFUSED("v1 port too large", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n"),
    REFUSED("v1 port with a sign", "PROXY TCP4 192.0.2.1 192.0.2.2 +1 "
                                   "2\r\n"),
    REFUSED("v1 port with leading zeros", "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"),
    REFUSED("v1 port empty", "PROXY TCP4 192.0.2.1 192.0.2.2  2\r\n"),
    REFUSED("v1 108 bytes", "PROXY UNKNOWN "
                            "012345678901234567890123456789012345678901234567890123456789"
                            "0123456789"
                            "01234567890123456789012\r\n"),
    ROW("v2 local", SIGNATURE "\x20\x00\x00\x00", LOCAL, NULL, NULL),
    ROW("v2 local with an address", SIGNATURE "\x20\x11\x00\x0c" V4_PAIR, LOCAL, NULL, NULL),
    ROW("v2 unspecified", SIGNATURE "\x21\x00\x00\x03\x01\x02\x03", LOCAL, NULL, NULL),
    ROW("v2 UDP", SIGNATURE "\x21\x12\x00\x0c" V4_PAIR, LOCAL, NULL, NULL),
    ROW("v2 IPv4", SIGNATURE "\x21\x11\x00\x0c" V4_PAIR, IPV4, "192.0.2.1:40000", "192.0.2.2:443"),
    ROW("v2 IPv6", SIGNATURE "\x21\x21\x00\x24" V6_ONE V6_ONE "\x00\x01\x00\x02", IPV6, "[2001:db8::1]:1",
        "[2001:db8::1]:2"),
    ROW("v2 with rows",
        SIGNATURE "\x21\x11"
                  "\x00"
                  "\x16" V4_PAIR "\x04\x00"
                  "\x00\x03"
                  "\x00\x04"
                  "abcd",
        IPV4, "192.0.2.1:40000", "192.0.2.2:443"),
    REFUSED("v2 broken signature", "\r\n\r\n\0\r"
                                   "\nQUIT\r\x21"
                                   "\x11\x00"
                                   "\x0c" V4_PAIR),
    REFUSED("v2 version 1", SIGNATURE "\x11\x11\x00\x0c" V4_PAIR),
    REFUSED("v2 version 3", SIGNATURE "\x31"
                                      "\x11"
                                      "\x00"
                                      "\x0c" V4_PAIR),
    REFUSED("v2 unknown command", SIGNATURE "\x22\x11\x00\x0c" V4_PAIR),
    REFUSED("v2 unknown family", SIGNATURE "\x21\x41\x00"
                                           "\x0c" V4_PAIR),
    REFUSED("v2 unknown transport", SIGNATURE "\x21\x13\x00\x0c" V4_PAIR),
    REFUSED("v2 too short for "
            "IPv4",
            SIGNATURE "\x21\x11\x00\x0b"
                      "\xc0\x00\x02\x01\xc0"
                      "\x00\x02\x02\x9c\x40"
                      "\x01"),
    REFUSED("v2 too short "
            "for IPv6",
            SIGNATURE "\x21\x21\x00"
                      "\x0c" V4_PAIR),
    REFUSED("v2 too long", SIGNATURE "\x21\x11\x02"
                                     "\x09" V4_PAIR),
    REFUSED("v2 much too "
            "long",
            SIGNATURE "\x21\x11\xff"
                      "\xff" V4_PAIR),
    REFUSED("v2 row "
            "cut off",
            SIGNATURE "\x21\x11"
                      "\x00"
                      "\x0e" V4_PAIR "\x04"
                      "\x00"),
    REFUSED("v2 "
            "row "
            "long"
            "er "
            "than"
            " the"
            " hea"
            "der",
            SIGNATURE "\x21"
                      "\x11"
                      "\x00"
                      "\x10" V4_PAIR "\x04"
                      "\x00"
                      "\x02"
                      "a"),
};

static void expect_addr(const char *row, const struct addr *got, const char *expected)
{
    char memory[ADDR_TEXT_MAX];
    struct buf b = buf_over(memory, sizeof memory);
    addr_write(&b, got);
    expect_text(row, "address", buf_text(&b), str_of(expected));
}

static void expect_row(const struct row *row, ptrdiff_t n, const struct proxy_header *header)
{
    if ((n > 0) != (row->kind != BAD))
        print_error("row '%s': returned %td\n", row->name, n);
    assert_int_equal(n, row->kind == BAD ? -1 : (ptrdiff_t)row->n);
    if (row->kind == BAD)
        return;
    assert_int_equal(header->is_local, row->kind == LOCAL);
    if (row->kind == LOCAL)
        return;
    assert_int_equal(header->source.is_v4, row->kind == IPV4);
    expect_addr(row->name, &header->source, row->source);
    expect_addr(row->name, &header->destination, row->destination);
}

static void each_row_byte_by_byte(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct proxy_header header = {0};
        ptrdiff_t n = 0;
        for (size_t have = 0; have <= rows[i].n && n == 0; have++) {
            struct parsed p = parsed_over((struct str){rows[i].bytes, have});
            n = proxy_header_parse((struct str){p.bytes, have}, &header);
            parsed_done(&p);
        }
        expect_row(&rows[i], n, &header);
    }
}

static void each_row_at_once(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct proxy_header header = {0};
        expect_row(&rows[i], proxy_header_parse((struct str){rows[i].bytes, rows[i].n}, &header), &header);
    }
}

static void expect_same(const struct proxy_header *a, const struct proxy_header *b)
{
    assert_int_equal(a->is_local, b->is_local);
    assert_true(a->is_local ||
                (addr_eq(&a->source, &b->source) && addr_eq(&a->destination, &b->destination)));
}

static void what_is_written_reads_back(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct proxy_header header = {0}, again = {0};
        char memory[PROXY_HEADER_MAX];
        struct buf v1 = buf_over(memory, sizeof memory);
        if (proxy_header_parse((struct str){rows[i].bytes, rows[i].n}, &header) < 0)
            continue;
        proxy_header_write_v1(&v1, &header);
        assert_int_equal(proxy_header_parse(buf_text(&v1), &again), v1.n);
        expect_same(&header, &again);
        struct buf v2 = buf_over(memory, sizeof memory);
        proxy_header_write_v2(&v2, &header);
        assert_int_equal(proxy_header_parse(buf_text(&v2), &again), v2.n);
        expect_same(&header, &again);
    }
}

static void mixed_families_are_written_as_ipv6(void **state)
{
    struct proxy_header header = {0}, again = {0};
    char memory[PROXY_HEADER_MAX];
    struct buf b = buf_over(memory, sizeof memory);
    assert_true(addr_parse(STR("192.0.2.1:1"), &header.source));
    assert_true(addr_parse(STR("[::1]:2"), &header.destination));
    proxy_header_write_v1(&b, &header);
    expect_text("mixed", "header", buf_text(&b), STR("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"));
    assert_int_equal(proxy_header_parse(buf_text(&b), &again), b.n);
    expect_same(&header, &again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_at_once),
        cmocka_unit_test(each_row_byte_by_byte),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(mixed_families_are_written_as_ipv6),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
