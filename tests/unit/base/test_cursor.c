/* The reading cursor: one error, and it stays. */
#include "base/cursor.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_reads_in_order(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 'x', 'y'};
    struct cursor c = cursor_over(bytes, sizeof bytes);
    assert_int_equal(cursor_uint(&c, 1), 1);
    assert_int_equal(cursor_uint(&c, 2), 0x0302);
    assert_int_equal(cursor_uint_be(&c, 4), 0x04050607);
    assert_int_equal(cursor_left(&c), 2);
    assert_false(cursor_consumed(&c));
    assert_memory_equal(cursor_bytes(&c, 2), "xy", 2);
    assert_true(cursor_consumed(&c));
}

static void test_the_error_is_sticky(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3};
    struct cursor c = cursor_over(bytes, sizeof bytes);
    assert_int_equal(cursor_uint(&c, 4), 0);
    assert_false(cursor_ok(&c));
    assert_int_equal(cursor_uint(&c, 1), 0); /* would fit, but nothing is read any more */
    assert_null(cursor_bytes(&c, 0));
    assert_int_equal(cursor_left(&c), 0);
    assert_false(cursor_consumed(&c));
}

static void test_empty(void **state)
{
    struct cursor c = cursor_over(NULL, 0);
    assert_true(cursor_consumed(&c));
    assert_int_equal(cursor_uint_be(&c, 1), 0);
    assert_false(cursor_ok(&c));
}

static void test_a_huge_length_does_not_wrap(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3};
    struct cursor c = cursor_over(bytes, sizeof bytes);
    assert_null(cursor_bytes(&c, SIZE_MAX));
    assert_false(cursor_ok(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_in_order),
        cmocka_unit_test(test_the_error_is_sticky),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_a_huge_length_does_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
