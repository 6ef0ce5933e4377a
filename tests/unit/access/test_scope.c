/* SMART scopes: what is read, what is refused, and that a list with one bad scope allows nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "access/scope.h"
#include "base/buf.h"

static const uint8_t all = ACCESS_CREATE | ACCESS_READ | ACCESS_UPDATE | ACCESS_DELETE | ACCESS_SEARCH;

static struct access_scope one(const char *text)
{
    struct access_scopes s;
    assert_true(access_scopes_parse(str_of(text), &s));
    assert_int_equal(s.count, 1);
    return s.scope[0];
}

static void test_reads_context_type_and_letters(void **state)
{
    struct access_scope s = one("patient/Observation.rs?category=vital-signs");
    assert_int_equal(s.context, ACCESS_PATIENT);
    assert_true(str_eq(s.type, STR("Observation")));
    assert_true(str_eq(s.query, STR("category=vital-signs")));
    assert_int_equal(s.may, ACCESS_READ | ACCESS_SEARCH);
    assert_int_equal(one("user/*.cruds").may, all);
    assert_int_equal(one("system/Patient.c").may, ACCESS_CREATE);
    assert_int_equal(one("system/Patient.cs").context, ACCESS_SYSTEM);
}

static void test_version_1_means_what_the_guide_says(void **state)
{
    assert_int_equal(one("user/Patient.read").may, ACCESS_READ | ACCESS_SEARCH);
    assert_int_equal(one("user/Patient.write").may, ACCESS_CREATE | ACCESS_UPDATE | ACCESS_DELETE);
    assert_int_equal(one("user/*.*").may, all);
}

static void test_others_are_passed_over(void **state)
{
    struct access_scopes s;
    assert_true(
        access_scopes_parse(STR("openid fhirUser launch/patient offline_access  user/Patient.r"), &s));
    assert_int_equal(s.count, 1);
    assert_true(access_scopes_parse(STR(""), &s));
    assert_int_equal(s.count, 0);
}

static void test_what_cannot_be_understood_is_refused_whole(void **state)
{
    static const char *const bad[] = {"patient/Observation",
                                      "patient/Observation.",
                                      "patient/Observation.sr",
                                      "patient/Observation.rr",
                                      "patient/Observation.x",
                                      "patient/observation.r",
                                      "patient/.r",
                                      "patient/Obs1.r",
                                      "user/Patient.r openid user/",
                                      "user/Patient.r?",
                                      "user/Patient.read.write"};
    struct access_scopes s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (access_scopes_parse(str_of(bad[i]), &s))
            fail_msg("%s was accepted", bad[i]);
}

static void test_allows_only_what_stands_in_one_scope(void **state)
{
    struct access_scopes s;
    assert_true(access_scopes_parse(STR("user/Patient.r user/Observation.cu user/Patient.s"), &s));
    assert_true(access_scopes_allow(&s, STR("Patient"), ACCESS_READ));
    assert_false(access_scopes_allow(&s, STR("Patient"), ACCESS_READ | ACCESS_SEARCH));
    assert_false(access_scopes_allow(&s, STR("Observation"), ACCESS_READ));
    assert_false(access_scopes_allow(&s, STR("Condition"), ACCESS_READ));
}

static void test_too_many_are_refused(void **state)
{
    char text[80 * 20];
    struct buf b = buf_over(text, sizeof text);
    struct access_scopes s;
    for (unsigned i = 0; i <= ACCESS_SCOPES_MAX; i++)
        buf_printf(&b, "user/Patient.r ");
    assert_false(access_scopes_parse(buf_text(&b), &s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_context_type_and_letters),
        cmocka_unit_test(test_version_1_means_what_the_guide_says),
        cmocka_unit_test(test_others_are_passed_over),
        cmocka_unit_test(test_what_cannot_be_understood_is_refused_whole),
        cmocka_unit_test(test_allows_only_what_stands_in_one_scope),
        cmocka_unit_test(test_too_many_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
