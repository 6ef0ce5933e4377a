/* Addresses: text, prefixes, socket addresses. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct addr parsed(const char *text)
{
    struct addr a;
    assert_true(addr_parse(str_of(text), &a));
    return a;
}

static struct addr parsed_ip(const char *text)
{
    struct addr a;
    assert_true(addr_parse_ip(str_of(text), &a));
    return a;
}

static void test_text_goes_both_ways(void **state)
{
    static const char *const texts[] = {"192.0.2.1:80", "0.0.0.0:0",          "255.255.255.255:65535",
                                        "[::]:443",     "[2001:db8::1]:8080", "[fe80::1:2:3:4]:1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char memory[ADDR_TEXT_MAX];
        struct buf b = buf_over(memory, sizeof memory);
        struct addr a = parsed(texts[i]);
        addr_write(&b, &a);
        assert_true(str_eq(buf_text(&b), str_of(texts[i])));
    }
}

static void test_the_longest_text_fits(void **state)
{
    char memory[ADDR_TEXT_MAX];
    struct buf b = buf_over(memory, sizeof memory);
    struct addr a = parsed("[1111:2222:3333:4444:5555:6666:7777:8888]:65535");
    addr_write(&b, &a);
    assert_false(buf_overflowed(&b));
}

static void test_what_is_no_address(void **state)
{
    static const char *const texts[] = {"",
                                        "localhost:80",
                                        "192.0.2.1",
                                        "192.0.2.1:",
                                        "192.0.2.1:65536",
                                        "192.0.2.1:-1",
                                        "192.0.2:80",
                                        "256.0.0.1:80",
                                        "::1:80",
                                        "[::1]",
                                        "[::1]80",
                                        "[::1:80",
                                        "[192.0.2.1]:80",
                                        "192.0.2.1:080000",
                                        "[]:80",
                                        "192.0.2.1:80 "};
    struct addr a = {.port = 7};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(addr_parse(str_of(texts[i]), &a));
    assert_int_equal(a.port, 7);
}

static void assert_in(const char *ip, const char *prefix, bool expected)
{
    struct addr a = parsed_ip(ip);
    struct addr_prefix p;
    assert_true(addr_parse_prefix(str_of(prefix), &p));
    assert_int_equal(addr_in_prefix(&a, &p), expected);
}

static void test_prefixes(void **state)
{
    assert_in("10.1.2.3", "10.0.0.0/8", true);
    assert_in("11.1.2.3", "10.0.0.0/8", false);
    assert_in("10.1.2.3", "0.0.0.0/0", true);
    assert_in("2001:db8::1", "0.0.0.0/0", false);
    assert_in("10.1.2.3", "10.1.2.3", true);
    assert_in("10.1.2.2", "10.1.2.3", false);
    assert_in("172.31.255.255", "172.16.0.0/12", true);
    assert_in("172.32.0.0", "172.16.0.0/12", false);
    assert_in("2001:db8:ffff::1", "2001:db8::/32", true);
    assert_in("2001:db9::1", "2001:db8::/32", false);
    assert_in("::ffff:10.1.2.3", "10.0.0.0/8", true); /* the same host, written in the mapped form */
    assert_in("10.1.2.3", "::/0", true);
}

static void test_what_is_no_prefix(void **state)
{
    static const char *const texts[] = {"", "/", "10.0.0.0/33", "10.0.0.0/", "::/129", "10.0.0.0/8/8", "a/8"};
    struct addr_prefix p;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(addr_parse_prefix(str_of(texts[i]), &p));
}

static void test_socket_addresses_go_both_ways(void **state)
{
    static const char *const texts[] = {"192.0.2.1:80", "[2001:db8::1]:443"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct addr a = parsed(texts[i]), back;
        struct sockaddr_storage sa;
        socklen_t len;
        addr_to_sockaddr(&a, &sa, &len);
        assert_true(addr_from_sockaddr(&sa, len, &back));
        assert_true(addr_eq(&a, &back));
        assert_int_equal(a.is_v4, back.is_v4);
        assert_false(addr_from_sockaddr(&sa, len - 1, &back));
    }
}

static void test_other_families_are_refused(void **state)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};
    struct addr a;
    assert_false(addr_from_sockaddr(&sa, sizeof sa, &a));
    assert_false(addr_from_sockaddr(&sa, 1, &a));
}

/* A client on a "[::]" listener that came over IPv4 is an IPv4 client. */
static void test_mapped_clients_are_v4(void **state)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(5)};
    struct addr a, expected = parsed("192.0.2.9:5");
    memcpy(&in6.sin6_addr, expected.ip, 16);
    assert_true(addr_from_sockaddr(&in6, sizeof in6, &a));
    assert_true(a.is_v4);
    assert_true(addr_eq(&a, &expected));
    expected.port = 6;
    assert_false(addr_eq(&a, &expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_goes_both_ways),
        cmocka_unit_test(test_the_longest_text_fits),
        cmocka_unit_test(test_what_is_no_address),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_what_is_no_prefix),
        cmocka_unit_test(test_socket_addresses_go_both_ways),
        cmocka_unit_test(test_other_families_are_refused),
        cmocka_unit_test(test_mapped_clients_are_v4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
