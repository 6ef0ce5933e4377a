/* Calendar time: the zones against the C library's own data, hour by hour around each change of 40 years. */
#include "base/utc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { FIRST_YEAR = 2000, LAST_YEAR = 2037, HOUR_S = 3600 }; /* tables of zones end in 2037 */

static void compare(enum time_zone zone, const char *name)
{
    assert_int_equal(setenv("TZ", name, 1), 0);
    tzset();
    time_t from = (time_t)time_from_civil(FIRST_YEAR, 1, 1, 0, 0, 0),
           to = (time_t)time_from_civil(LAST_YEAR, 12, 31, 0, 0, 0);
    for (time_t at = from; at < to; at += HOUR_S) {
        struct tm tm;
        for (time_t around = at - 1; around <= at; around++) {
            assert_non_null(localtime_r(&around, &tm));
            if (time_offset_minutes(zone, (int64_t)around * 1'000'000) * 60 != tm.tm_gmtoff)
                fail_msg("%s at %lld: %d minutes, not %ld s", name, (long long)around,
                         time_offset_minutes(zone, (int64_t)around * 1'000'000), tm.tm_gmtoff);
        }
    }
}

static void test_zones_are_those_of_the_law(void **state)
{
    compare(TIME_ZONE_AMSTERDAM, "Europe/Amsterdam");
    compare(TIME_ZONE_CURACAO, "America/Curacao");
    compare(TIME_ZONE_UTC, "UTC");
}

static void test_no_moment_is_out_of_range(void **state)
{
    assert_int_equal(time_offset_minutes(TIME_ZONE_AMSTERDAM, INT64_MIN), 60);
    assert_int_equal(time_offset_minutes(TIME_ZONE_AMSTERDAM, 0), 60);
    assert_in_range(time_offset_minutes(TIME_ZONE_AMSTERDAM, INT64_MAX), 60, 120);
    assert_int_equal(time_offset_minutes(TIME_ZONE_CURACAO, INT64_MAX), -240);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zones_are_those_of_the_law),
        cmocka_unit_test(test_no_moment_is_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
