/* base/utc.c - calendar time without time zone data. */
#include "base/utc.h"

/* Days since 1970-01-01 to a date of the proleptic Gregorian calendar: eras of 400 years that begin on 1
 * March, so that the leap day is the last one (E. M. Reingold and N. Dershowitz, "Calendrical Calculations").
 */
static void civil_from_days(int64_t days, int *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    int64_t shifted = days + 719'468; /* days since 0000-03-01 */
    int64_t era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
    unsigned day_of_era = (unsigned)(shifted - era * 146'097);
    unsigned year = (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
    unsigned day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* from March */
    *ret_day = day_of_year - (153 * month + 2) / 5 + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_year = (int)(year + era * 400) + (*ret_month <= 2);
}

int64_t time_from_civil(int year, unsigned month, unsigned day, unsigned hour, unsigned minute,
                        unsigned second)
{
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t days =
        era * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719'468;
    return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

static void write_digits(struct buf *out, unsigned value, unsigned digits)
{
    char text[8];
    for (unsigned i = digits; i > 0; i--, value /= 10)
        text[i - 1] = (char)('0' + value % 10);
    buf_add(out, text, digits);
}

void time_write_utc(struct buf *out, int64_t unix_us)
{
    int64_t seconds = unix_us / 1'000'000, us = unix_us % 1'000'000;
    int year;
    unsigned month, day;
    if (unix_us < 0 ||
        seconds > 253'402'300'799) /* what stands there is no time: 9999-12-31 is the last RFC 3339 has */
        seconds = us = 0;
    civil_from_days(seconds / 86'400, &year, &month, &day);
    unsigned of_day = (unsigned)(seconds % 86'400);
    const unsigned parts[] = {(unsigned)year, month, day, of_day / 3600, of_day / 60 % 60, of_day % 60};
    static const char after[] = "--T::.";
    for (unsigned i = 0; i < 6; i++) {
        write_digits(out, parts[i], i == 0 ? 4 : 2);
        buf_char(out, after[i]);
    }
    write_digits(out, (unsigned)us, 6);
    buf_char(out, 'Z');
}

/* The last Sunday of a month of 31 days, at 01:00 UTC, in seconds. 1 January 1970 was a Thursday. */
static int64_t last_sunday(int year, unsigned month)
{
    int64_t last_day = time_from_civil(year, month, 31, 0, 0, 0) / 86'400;
    return (last_day - (last_day + 4) % 7) * 86'400 + 3600;
}

int time_offset_minutes(enum time_zone zone, int64_t unix_us)
{
    enum { MARCH = 3, OCTOBER = 10 };
    int64_t seconds = unix_us > 0 ? unix_us / 1'000'000 : 0;
    int year;
    unsigned month, day;
    if (zone != TIME_ZONE_AMSTERDAM)
        return zone == TIME_ZONE_CURACAO ? -240 : 0;
    civil_from_days(seconds / 86'400, &year, &month, &day);
    return seconds >= last_sunday(year, MARCH) && seconds < last_sunday(year, OCTOBER) ? 120 : 60;
}
