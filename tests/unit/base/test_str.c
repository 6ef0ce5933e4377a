/* Text slices: cutting, finding, comparing, numbers. */
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_str(struct str s, const char *expected)
{
    assert_true(str_eq(s, str_of(expected)));
}

static void test_equality(void **state)
{
    assert_true(str_eq(STR(""), STR_NONE));
    assert_true(str_eq(STR("a\0b"), STR("a\0b")));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_false(str_eq(STR("a"), STR("ab")));
    assert_true(str_eq_nocase(STR("Content-LENGTH"), STR("content-length")));
    assert_false(str_eq_nocase(STR("["), STR("{"))); /* 0x5b and 0x7b differ only in the case bit */
    assert_false(str_eq_nocase(STR("\xc4"), STR("\xe4")));
}

static void test_prefix_and_suffix(void **state)
{
    assert_true(str_starts(STR("/api/x"), STR("/api")));
    assert_true(str_starts(STR_NONE, STR_NONE));
    assert_false(str_starts(STR("/a"), STR("/api")));
    assert_true(str_ends(STR("a.example"), STR(".example")));
    assert_true(str_ends(STR("a"), STR("")));
    assert_false(str_ends(STR("e"), STR(".e")));
}

static void test_slices(void **state)
{
    assert_str(str_skip(STR("abc"), 1), "bc");
    assert_str(str_skip(STR("abc"), 9), "");
    assert_int_equal(str_skip(STR_NONE, 1).n, 0);
    assert_str(str_take(STR("abc"), 2), "ab");
    assert_str(str_take(STR("abc"), 9), "abc");
    assert_str(str_trim(STR(" \t a b\t ")), "a b");
    assert_str(str_trim(STR(" \t ")), "");
}

static void test_find(void **state)
{
    assert_int_equal(str_find_char(STR("a=b=c"), '='), 1);
    assert_int_equal(str_find_char(STR_NONE, '='), -1);
    assert_int_equal(str_find(STR("one two"), STR("two")), 4);
    assert_int_equal(str_find(STR("one tw"), STR("two")), -1);
    assert_int_equal(str_find(STR("abc"), STR("")), 0);
}

static void test_compare(void **state)
{
    assert_int_equal(str_compare(STR("a"), STR("a")), 0);
    assert_true(str_compare(STR("a"), STR("ab")) < 0);
    assert_true(str_compare(STR("b"), STR("ab")) > 0);
    assert_true(str_compare(STR("\xff"), STR("a")) > 0); /* bytes, not signed chars */
    assert_true(str_compare(STR_NONE, STR("a")) < 0);
}

static void test_cut(void **state)
{
    struct str rest = STR("a,,b");
    assert_str(str_cut(&rest, ','), "a");
    assert_str(str_cut(&rest, ','), "");
    assert_non_null(rest.p);
    assert_str(str_cut(&rest, ','), "b");
    assert_null(rest.p);

    rest = STR("last,");
    assert_str(str_cut(&rest, ','), "last");
    assert_non_null(rest.p); /* an empty last part is a part */
    assert_int_equal(rest.n, 0);
}

static void test_parse_u64(void **state)
{
    uint64_t value = 7;
    assert_true(str_parse_u64(STR("0"), &value));
    assert_int_equal(value, 0);
    assert_true(str_parse_u64(STR("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
    value = 7;
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "1a", "0x1", "18446744073709551616", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(str_parse_u64(str_of(bad[i]), &value));
    assert_int_equal(value, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equality),  cmocka_unit_test(test_prefix_and_suffix),
        cmocka_unit_test(test_slices),    cmocka_unit_test(test_find),
        cmocka_unit_test(test_compare),   cmocka_unit_test(test_cut),
        cmocka_unit_test(test_parse_u64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
