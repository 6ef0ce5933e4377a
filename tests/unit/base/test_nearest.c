/* "Did you mean": what comes nearest. */
#include "base/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void expect(const char *wanted, const char *const *candidates, const char *best)
{
    struct nearest near = nearest_to(str_of(wanted));
    for (; *candidates; candidates++)
        nearest_try(&near, str_of(*candidates));
    assert_true(str_eq(near.best, str_of(best)));
}

static void test_edits(void **)
{
    static const char *const names[] = {"name", "gender", "birthdate", "given", NULL};
    expect("nmae", names, "name");    /* swapped */
    expect("gendr", names, "gender"); /* left out */
    expect("givven", names, "given"); /* too many */
    expect("birthdatr", names, "birthdate");
    expect("NAME", names, "name"); /* case is no difference */
    expect("address", names, "");  /* too far */
    expect("", names, "");
    expect("x", names, "");
}

static void test_nearer_wins(void **)
{
    static const char *const names[] = {"subjects", "subject", "object", NULL};
    expect("subjct", names, "subject");
    expect("subjectss", names, "subjects");
}

/* Words beyond the limit are never compared: what a stranger writes may not cost. */
static void test_long_words(void **)
{
    char word[50];
    memset(word, 'a', sizeof word);
    struct nearest near = nearest_to((struct str){word, 49});
    nearest_try(&near, (struct str){word, 48});
    assert_false(near.best.n);
    near = nearest_to((struct str){word, 48});
    nearest_try(&near, (struct str){word, 47});
    assert_int_equal(near.best.n, 47);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_nearer_wins),
        cmocka_unit_test(test_long_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
