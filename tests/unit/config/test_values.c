#include "fake.h"

#include "config/value.h"

static void assert_size(const char *text, uint64_t bytes, const char *written)
{
    char memory[32];
    struct buf b = buf_over(memory, sizeof memory);
    uint64_t value = 0;
    assert_true(value_size(str_of(text), &value));
    assert_int_equal(value, bytes);
    value_write_size(&b, value);
    assert_str(buf_text(&b), written);
}

static void sizes(void **state)
{
    uint64_t value;
    assert_size("0", 0, "0");
    assert_size("512", 512, "512");
    assert_size("16k", 16384, "16k");
    assert_size("16K", 16384, "16k");
    assert_size("1024k", 1 << 20, "1m");
    assert_size("1025", 1025, "1025");
    assert_size("3g", 3ULL << 30, "3g");
    static const char *const bad[] = {
        "", "k", "1kb", "-1", "1.5m", " 1", "1 k", "18446744073709551616", "18446744073709551615k"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(value_size(str_of(bad[i]), &value));
}

static void assert_duration(const char *text, uint64_t ms, const char *written)
{
    char memory[32];
    struct buf b = buf_over(memory, sizeof memory);
    uint64_t value = 0;
    assert_true(value_duration_ms(str_of(text), &value));
    assert_int_equal(value, ms);
    value_write_duration(&b, value);
    assert_str(buf_text(&b), written);
}

static void durations(void **state)
{
    uint64_t value;
    assert_duration("0", 0, "0");
    assert_duration("250ms", 250, "250ms");
    assert_duration("75s", 75'000, "75s");
    assert_duration("60s", 60'000, "1m");
    assert_duration("1h", 3'600'000, "1h");
    assert_duration("7d", 604'800'000, "7d");
    assert_duration("1y", 31'536'000'000, "1y");
    assert_false(value_duration_ms(STR("10"), &value));
    assert_false(value_duration_ms(STR("10 s"), &value));
    assert_false(value_duration_ms(STR("999999999999999y"), &value));
}

static void percents(void **state)
{
    uint64_t value = 0;
    assert_true(value_percent(STR("20%"), &value));
    assert_int_equal(value, 20);
    assert_true(value_percent(STR("7"), &value));
    assert_int_equal(value, 7);
    assert_false(value_percent(STR("%"), &value));
    assert_false(value_percent(STR("20%%"), &value));
}

static void hosts(void **state)
{
    static const char *const good[] = {"a",     "noord.example", "10.0.0.1", "xn--bcher-kva.example",
                                       "[::1]", "A-1.b"};
    static const char *const bad[] = {"",    ".",   "a.",         ".a",   "a..b", "-a", "a-",
                                      "a_b", "a:1", "[10.0.0.1]", "[::1", "a b",  "a/b"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(value_is_host(str_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(value_is_host(str_of(bad[i])));
}

static void paths(void **state)
{
    static const char *const good[] = {"/",    "/a",     "/a/", "/a/b.c", "/.well-known/x",
                                       "/...", "/a:b@c", "/a;b"};
    static const char *const bad[] = {"",       "a",    "//",   "/a//b", "/a/..", "/../a",    "/./",
                                      "/a%20b", "/a?b", "/a#b", "/a\\b", "/a b",  "/\xc3\xa9"};
    const char *why;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(value_is_canonical(str_of(good[i]), &why));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(value_is_canonical(str_of(bad[i]), &why));
    assert_false(value_is_canonical((struct str){"/a\0b", 4}, &why));
}

static void ports(void **state)
{
    struct str host;
    uint16_t port;
    assert_true(value_split_port(STR("[::1]:443"), &host, &port));
    assert_str(host, "[::1]");
    assert_int_equal(port, 443);
    assert_false(value_split_port(STR("a:0"), &host, &port));
    assert_false(value_split_port(STR("a:65536"), &host, &port));
    assert_false(value_split_port(STR("a"), &host, &port));
    assert_false(value_split_port(STR("a:"), &host, &port));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes), cmocka_unit_test(durations), cmocka_unit_test(percents),
        cmocka_unit_test(hosts), cmocka_unit_test(paths),     cmocka_unit_test(ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
