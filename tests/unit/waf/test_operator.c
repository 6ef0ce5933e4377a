#include "waf/operator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct row {
    enum operator_kind op;
    const char *argument, *value;
    bool holds;
};

static bool run(enum operator_kind op, const struct operator_compiled *compiled, struct str argument,
                struct str value, struct operator_outcome *ret)
{
    struct arena *arena = arena_new(1 << 16);
    struct rx_room *room = rx_room_new(1000);
    assert_true(arena && room);
    bool holds = operator_run(op, compiled, room, argument, value, arena, ret);
    rx_room_free(room);
    arena_free(arena);
    return holds;
}

static void test_texts_and_numbers(void **)
{
    static const struct row rows[] = {
        {OP_BEGINS_WITH, "ab", "abc", true},
        {OP_BEGINS_WITH, "ab", "xab", false},
        {OP_BEGINS_WITH, "", "x", true},
        {OP_CONTAINS, "b", "abc", true},
        {OP_CONTAINS, "", "", true},
        {OP_CONTAINS, "B", "abc", false},
        {OP_ENDS_WITH, "bc", "abc", true},
        {OP_ENDS_WITH, "abcd", "abc", false},
        {OP_STREQ, "a", "a", true},
        {OP_STREQ, "a", "A", false},
        {OP_WITHIN, "GET POST", "POST", true},
        {OP_WITHIN, "GET POST", "", true},
        {OP_WITHIN, "GET POST", "PUT", false},
        {OP_EQ, "0", "", true},
        {OP_EQ, "5", " +5x", true},
        {OP_EQ, "5", "-5", false},
        {OP_GE, "5", "5", true},
        {OP_GT, "5", "5", false},
        {OP_LE, "5", "5", true},
        {OP_LT, "5", "abc", true},
        {OP_LT, "5", "99999999999999", false},
        {OP_VALIDATE_URL_ENCODING, "", "%41", false},
        {OP_VALIDATE_URL_ENCODING, "", "%4", true},
        {OP_VALIDATE_URL_ENCODING, "", "%zz", true},
        {OP_VALIDATE_UTF8_ENCODING, "", "\xc3\xa9", false},
        {OP_VALIDATE_UTF8_ENCODING, "", "\xc0\xaf", true},
        {OP_VALIDATE_UTF8_ENCODING, "", "\xed\xa0\x80", true},
        {OP_UNCONDITIONAL_MATCH, "", "", true},
        {OP_GEO_LOOKUP, "", "192.0.2.1", false},
        {OP_RBL, "x", "192.0.2.1", false},
    };
    static const struct operator_compiled nothing;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct operator_outcome outcome;
        bool holds = run(rows[i].op, &nothing, str_of(rows[i].argument), str_of(rows[i].value), &outcome);
        if (holds != rows[i].holds)
            fail_msg("row %zu: @%.*s \"%s\" on \"%s\" is %d", i, STR_ARG(operator_name(rows[i].op)),
                     rows[i].argument, rows[i].value, holds);
    }
}

static void test_rx(void **)
{
    struct rx_problem problem;
    struct operator_outcome outcome;
    struct operator_compiled compiled = {.rx = rx_new(STR("^a(.)(x)?(c)$"), RX_OPERATOR, &problem)};
    assert_non_null(compiled.rx);
    assert_true(run(OP_RX, &compiled, STR_NONE, STR("a\nc"), &outcome));
    assert_int_equal(outcome.capture_count, 4);
    assert_true(str_eq(outcome.captures[1], STR("\n")) && !outcome.captures[2].p &&
                str_eq(outcome.captures[3], STR("c")));
    assert_false(run(OP_RX, &compiled, STR_NONE, STR("abc\n"), &outcome)); /* $ is the very end */
    assert_false(run(OP_RX, &compiled, STR_NONE, STR("ABC"), &outcome));
    rx_free(compiled.rx);
}

static void test_rx_that_costs_too_much(void **)
{
    struct rx_problem problem;
    struct operator_outcome outcome;
    struct operator_compiled compiled = {.rx = rx_new(STR("^(a+)+$"), RX_OPERATOR, &problem)};
    assert_false(
        run(OP_RX, &compiled, STR_NONE, STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), &outcome));
    assert_true(outcome.hit_limit);
    rx_free(compiled.rx);
    assert_null(rx_new(STR("a(b"), RX_OPERATOR, &problem));
    assert_int_equal(problem.at, 3);
}

static void test_rx_compiled_when_it_runs(void **)
{
    static const struct operator_compiled nothing;
    struct operator_outcome outcome;
    assert_true(run(OP_RX, &nothing, STR("^(a|b)$"), STR("b"), &outcome));
    assert_false(run(OP_RX, &nothing, STR("^(a|b$"), STR("b"), &outcome));
    assert_true(outcome.hit_limit);
}

static bool finds(const char *const *words, size_t count, struct str text, struct str *ret)
{
    struct arena *arena = arena_new(1 << 16);
    struct pm *pm = pm_new(arena, count, 1000);
    for (size_t i = 0; i < count; i++)
        pm_add(pm, str_of(words[i]));
    assert_true(pm_build(pm, arena));
    bool found = pm_find(pm, text, ret);
    arena_free(arena);
    return found;
}

static void test_pm(void **)
{
    static const char *const words[] = {"she", "HERS", "his", "he", "his"};
    struct str word = STR_NONE;
    assert_true(finds(words, 5, STR("uSHErs"), &word) && str_eq(word, STR("she")));
    assert_true(finds(words, 5, STR("xxhexx"), &word) && str_eq(word, STR("he")));
    assert_true(finds(words, 5, STR("hhis"), &word) && str_eq(word, STR("his")));
    assert_false(finds(words, 5, STR("h is"), &word));
    assert_false(finds(words, 5, STR(""), &word));
    assert_false(finds(words, 0, STR("he"), &word));
}

/* Against a search word by word. */
static void test_pm_finds_what_a_search_finds(void **)
{
    static const char *const words[] = {"aab", "ba", "bbb", "abab"};
    struct str word = STR_NONE;
    for (unsigned bits = 0; bits < 1 << 10; bits++) {
        char text[10];
        bool expected = false;
        for (unsigned i = 0; i < sizeof text; i++)
            text[i] = bits >> i & 1 ? 'a' : 'b';
        for (size_t i = 0; i < 4; i++)
            expected |= str_find((struct str){text, sizeof text}, str_of(words[i])) >= 0;
        assert_int_equal(finds(words, 4, (struct str){text, sizeof text}, &word), expected);
    }
}

static void test_networks_and_bytes(void **)
{
    struct addr_prefix networks[2];
    uint8_t allowed[256] = {['a'] = 1};
    struct operator_compiled compiled = {.networks = networks, .network_count = 2, .allowed = allowed};
    struct operator_outcome outcome;
    assert_true(addr_parse_prefix(STR("192.0.2.0/24"), &networks[0]) &&
                addr_parse_prefix(STR("2001:db8::/32"), &networks[1]));
    assert_true(run(OP_IP_MATCH, &compiled, STR_NONE, STR("192.0.2.9"), &outcome));
    assert_true(run(OP_IP_MATCH, &compiled, STR_NONE, STR("2001:db8::1"), &outcome));
    assert_false(run(OP_IP_MATCH, &compiled, STR_NONE, STR("192.0.3.9"), &outcome));
    assert_false(run(OP_IP_MATCH, &compiled, STR_NONE, STR("localhost"), &outcome));
    assert_false(run(OP_VALIDATE_BYTE_RANGE, &compiled, STR_NONE, STR("aaa"), &outcome));
    assert_true(run(OP_VALIDATE_BYTE_RANGE, &compiled, STR_NONE, STR("ab"), &outcome));
}

static void test_libinjection(void **)
{
    static const struct operator_compiled nothing;
    struct operator_outcome outcome;
    assert_true(run(OP_DETECT_SQLI, &nothing, STR_NONE, STR("1' or '1'='1"), &outcome));
    assert_int_equal(outcome.capture_count, 1);
    assert_false(run(OP_DETECT_SQLI, &nothing, STR_NONE, STR("geen bijzonderheden"), &outcome));
    assert_false(run(OP_DETECT_SQLI, &nothing, STR_NONE, STR(""), &outcome));
    assert_true(run(OP_DETECT_XSS, &nothing, STR_NONE, STR("<script>alert(1)</script>"), &outcome));
    assert_false(run(OP_DETECT_XSS, &nothing, STR_NONE, STR("bloeddruk < 140"), &outcome));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_and_numbers),
        cmocka_unit_test(test_rx),
        cmocka_unit_test(test_rx_that_costs_too_much),
        cmocka_unit_test(test_rx_compiled_when_it_runs),
        cmocka_unit_test(test_pm),
        cmocka_unit_test(test_pm_finds_what_a_search_finds),
        cmocka_unit_test(test_networks_and_bytes),
        cmocka_unit_test(test_libinjection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
