/* The bounded writer: nothing is written past the end, and truncation is remembered. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_text(const struct buf *b, const char *expected)
{
    assert_true(str_eq(buf_text(b), str_of(expected)));
}

static void test_writes(void **state)
{
    char memory[128];
    struct buf b = buf_over(memory, sizeof memory);
    BUF_LIT(&b, "a");
    buf_str(&b, STR("bc"));
    buf_str(&b, STR_NONE);
    buf_char(&b, ' ');
    buf_u64(&b, 0);
    buf_char(&b, ' ');
    buf_u64(&b, UINT64_MAX);
    buf_char(&b, ' ');
    buf_hex(&b, "\x00\x9f", 2);
    buf_char(&b, ' ');
    buf_hex_u64(&b, 0xabc);
    buf_hex_u64(&b, 0);
    buf_printf(&b, " %d%s", -5, "x");
    assert_text(&b, "abc 0 18446744073709551615 009f abc0 -5x");
    assert_false(buf_overflowed(&b));
}

static void test_fits_exactly(void **state)
{
    char memory[4] = {'.', '.', '.', '.'};
    struct buf b = buf_over(memory, 3);
    BUF_LIT(&b, "abc");
    assert_false(buf_overflowed(&b));
    buf_char(&b, 'd');
    assert_true(buf_overflowed(&b));
    assert_text(&b, "abc");
    assert_int_equal(memory[3], '.');
}

/* Whatever does not fit leaves nothing half written and the flag stays. */
static void test_overflow_is_sticky(void **state)
{
    char memory[3];
    struct buf b = buf_over(memory, sizeof memory);
    buf_u64(&b, 1000);
    assert_true(buf_overflowed(&b));
    assert_int_equal(b.n, 0);
    buf_hex(&b, "ab", 2);
    buf_hex_u64(&b, 0x12345);
    buf_printf(&b, "%s", "long");
    assert_int_equal(b.n, 0);
    buf_char(&b, 'a');
    assert_text(&b, "a");
    assert_true(buf_overflowed(&b));
}

static void test_a_huge_length_does_not_wrap(void **state)
{
    char memory[8];
    struct buf b = buf_over(memory, sizeof memory);
    BUF_LIT(&b, "abcd");
    buf_add(&b, memory, SIZE_MAX);
    assert_true(buf_overflowed(&b));
    assert_int_equal(b.n, 4);
}

static void test_printf_beyond_its_own_memory(void **state)
{
    static char memory[2000];
    struct buf b = buf_over(memory, sizeof memory);
    buf_printf(&b, "%600d", 1);
    assert_true(buf_overflowed(&b));
    assert_int_equal(b.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_fits_exactly),
        cmocka_unit_test(test_overflow_is_sticky),
        cmocka_unit_test(test_a_huge_length_does_not_wrap),
        cmocka_unit_test(test_printf_beyond_its_own_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
