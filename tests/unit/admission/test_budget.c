/* Retries, streams, and what is shed under pressure. */
#include "kit.h"

#include "admission/budget.h"

#define SECOND UINT64_C(1'000'000)

static void test_retries_are_earned_by_all_and_bounded(void **state)
{
    struct kit k = kit_new(2, 1, 1);
    unsigned retries = 0;
    assert_false(admission_retry_take(k.workers[0], 0));
    for (unsigned i = 0; i < 100; i++)
        admission_retry_earn(k.workers[i % 2], 0, 20);
    while (admission_retry_take(k.workers[1], 0))
        retries++;
    assert_int_equal(retries, 20);
    for (unsigned i = 0; i < 100'000; i++)
        admission_retry_earn(k.workers[0], 0, 100);
    for (retries = 0; admission_retry_take(k.workers[1], 0); retries++)
        ;
    assert_int_equal(retries, 100);
    kit_free(&k);
}

static enum admission_answer ask(struct kit *k, enum admission_class class,
                                 enum admission_criticality criticality)
{
    struct admission_ticket t;
    struct admission_request r = kit_request(0, class);
    uint32_t after;
    r.criticality = criticality;
    enum admission_answer answer = admission_enter(k->workers[1], &t, &r, 1, &after);
    if (answer == ADMISSION_GO)
        kit_leave(k->workers[1], &t, 2);
    return answer;
}

static void test_pressure_sheds_strangers_first(void **state)
{
    static const struct {
        unsigned from; /* the level from which it is refused; 4: never */
        enum admission_class class;
        enum admission_criticality criticality;
    } rows[] = {
        {4, ADMISSION_PARTNER, ADMISSION_PERSON_READ}, {4, ADMISSION_KNOWN, ADMISSION_PERSON_WRITE},
        {3, ADMISSION_KNOWN, ADMISSION_MACHINE_WRITE}, {3, ADMISSION_PARTNER, ADMISSION_MACHINE_READ},
        {2, ADMISSION_PARTNER, ADMISSION_BULK},        {2, ADMISSION_UNKNOWN, ADMISSION_PERSON_WRITE},
        {1, ADMISSION_UNKNOWN, ADMISSION_BULK},        {1, ADMISSION_SUSPECT, ADMISSION_PERSON_READ},
        {0, ADMISSION_BLOCKED, ADMISSION_PERSON_READ},
    };
    static const struct admission_psi psi[] = {{0, 0, 0}, {600, 0, 0}, {0, 250, 0}, {0, 0, 100}};
    struct kit k = kit_new(2, 1, 4);
    for (unsigned level = 0; level < 4; level++) { /* rises at once; one worker notes, the other obeys */
        assert_int_equal(admission_pressure_note(k.workers[0], &psi[level], level * SECOND), level);
        for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
            assert_int_equal(ask(&k, rows[i].class, rows[i].criticality),
                             level >= rows[i].from ? ADMISSION_REFUSE : ADMISSION_GO);
    }
    kit_free(&k);
}

static void test_pressure_falls_slowly(void **state)
{
    struct kit k = kit_new(2, 1, 1);
    struct admission *a = k.workers[0];
    const struct admission_psi high = {950, 0, 0}, none = {0, 0, 0};
    assert_int_equal(admission_pressure_note(a, &high, 10 * SECOND), 3);
    assert_int_equal(admission_pressure_note(a, &none, 14 * SECOND), 3);
    assert_int_equal(admission_pressure_note(a, &none, 15 * SECOND), 2);
    assert_int_equal(admission_pressure_note(a, &none, 16 * SECOND), 2);
    assert_int_equal(admission_pressure_note(a, &none, 20 * SECOND), 1);
    assert_int_equal(admission_pressure_note(a, &none, 25 * SECOND), 0);
    assert_int_equal(admission_pressure(k.workers[1]), 0);
    kit_free(&k);
}

static void test_streams(void **state)
{
    assert_int_equal(admission_streams(ADMISSION_KNOWN, 3, 100), 100);
    assert_int_equal(admission_streams(ADMISSION_UNKNOWN, 0, 100), 25);
    assert_int_equal(admission_streams(ADMISSION_UNKNOWN, 1, 100), 12);
    assert_int_equal(admission_streams(ADMISSION_UNKNOWN, 99, 100), 1);
    assert_int_equal(admission_streams(ADMISSION_SUSPECT, 0, 100), 2);
    assert_int_equal(admission_streams(ADMISSION_SUSPECT, 0, 1), 1);
    assert_int_equal(admission_streams(ADMISSION_UNKNOWN, 0, 2), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retries_are_earned_by_all_and_bounded),
        cmocka_unit_test(test_pressure_sheds_strangers_first),
        cmocka_unit_test(test_pressure_falls_slowly),
        cmocka_unit_test(test_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
