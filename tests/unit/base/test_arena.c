/* Arenas: zeroed, aligned, limited; overflow is remembered until reset. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_allocations_are_zeroed_and_aligned(void **state)
{
    struct arena *a = arena_new(1 << 20);
    assert_non_null(a);
    for (size_t n = 1; n < 3000; n = n * 3 + 1) {
        assert_non_null(arena_bytes(a, 1)); /* brings it out of step */
        unsigned char *p = arena_alloc(a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, n);
    }
    arena_free(a);
}

static void test_allocations_do_not_overlap(void **state)
{
    enum { COUNT = 500, SIZE = 37 };
    char *all[COUNT];
    struct arena *a = arena_new(COUNT * SIZE);
    for (int i = 0; i < COUNT; i++) {
        all[i] = arena_bytes(a, SIZE);
        assert_non_null(all[i]);
        memset(all[i], i & 0xff, SIZE);
    }
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < SIZE; k++)
            assert_int_equal((unsigned char)all[i][k], i & 0xff);
    assert_int_equal(arena_used(a), COUNT * SIZE);
    arena_free(a);
}

static void test_the_limit_holds_and_is_remembered(void **state)
{
    struct arena *a = arena_new(100);
    assert_non_null(arena_bytes(a, 60));
    assert_null(arena_alloc(a, 41));
    assert_true(arena_overflowed(a));
    assert_non_null(arena_bytes(a, 40)); /* what still fits is still given */
    assert_true(arena_overflowed(a));
    assert_null(arena_bytes(a, SIZE_MAX));
    arena_reset(a);
    assert_false(arena_overflowed(a));
    assert_int_equal(arena_used(a), 0);
    assert_non_null(arena_bytes(a, 100));
    arena_free(a);
}

static void test_copies(void **state)
{
    struct arena *a = arena_new(64);
    struct str copy = arena_copy(a, STR("a\0b"));
    assert_true(str_eq(copy, STR("a\0b")));
    assert_string_equal(arena_copy_z(a, STR("text")), "text");
    assert_string_equal(arena_copy_z(a, STR_NONE), "");
    assert_true(str_eq(arena_printf(a, "%d-%s", 12, "x"), STR("12-x")));
    assert_non_null(arena_copy(a, STR_NONE).p);
    assert_false(arena_overflowed(a));
    assert_null(arena_printf(a, "%100d", 1).p);
    assert_true(arena_overflowed(a));
    arena_free(a);
}

static void test_reset_keeps_working(void **state)
{
    struct arena *a = arena_new(1 << 20);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 50; i++)
            assert_non_null(arena_alloc(a, 1000));
        arena_reset(a);
    }
    arena_free(a);
    arena_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocations_are_zeroed_and_aligned),
        cmocka_unit_test(test_allocations_do_not_overlap),
        cmocka_unit_test(test_the_limit_holds_and_is_remembered),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_reset_keeps_working),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
