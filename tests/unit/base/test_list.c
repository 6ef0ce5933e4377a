/* The intrusive list. */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int number;
    struct list node;
};

static void assert_numbers(const struct list *head, const int *numbers, size_t n)
{
    const struct list *at = head->next;
    for (size_t i = 0; i < n; i++, at = at->next) {
        assert_ptr_not_equal(at, head);
        assert_ptr_equal(at->next->prev, at);
        assert_int_equal(
            ((const struct item *)(const void *)((const char *)at - offsetof(struct item, node)))->number,
            numbers[i]);
    }
    assert_ptr_equal(at, head);
}

static void test_push_remove_pop(void **state)
{
    struct list head;
    struct item items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_null(list_pop_front(&head));
    list_push_back(&head, &items[0].node);
    list_push_back(&head, &items[1].node);
    list_push_front(&head, &items[2].node);
    assert_numbers(&head, (const int[]){2, 0, 1}, 3);

    list_remove(&items[0].node);
    assert_numbers(&head, (const int[]){2, 1}, 2);
    assert_true(list_is_empty(&items[0].node));
    list_remove(&items[0].node); /* again is fine */
    list_insert_before(&items[1].node, &items[0].node);
    assert_numbers(&head, (const int[]){2, 0, 1}, 3);

    assert_ptr_equal(list_pop_front(&head), &items[2].node);
    assert_true(list_is_empty(&items[2].node));
    assert_numbers(&head, (const int[]){0, 1}, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_push_remove_pop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
