#include "fhir/moment.h"

#include "base/utc.h"
#include "fhir/chars.h"

enum { TEXT_MAX = 64, ZONE_HOURS_MAX = 14 };
static const int64_t SECOND_US = 1'000'000;

struct reading {
    struct str rest;
    unsigned year, month, day, hour, minute, second, fraction_us, fraction_digits;
    enum fhir_precision precision;
};

/* So many digits, of a value from least to most. */
static bool take_number(struct str *rest, unsigned digits, unsigned least, unsigned most, unsigned *ret)
{
    unsigned value = 0;
    if (rest->n < digits)
        return false;
    for (unsigned i = 0; i < digits; i++) {
        if (!is_digit(rest->p[i]))
            return false;
        value = value * 10 + (unsigned)(rest->p[i] - '0');
    }
    *rest = str_skip(*rest, digits);
    *ret = value;
    return value >= least && value <= most;
}

static unsigned days_of(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && is_leap);
}

static bool take_date(struct reading *r)
{
    r->month = r->day = 1;
    r->precision = FHIR_TO_YEAR;
    if (!take_number(&r->rest, 4, 1, 9999, &r->year))
        return false;
    if (!take_char(&r->rest, '-'))
        return true;
    r->precision = FHIR_TO_MONTH;
    if (!take_number(&r->rest, 2, 1, 12, &r->month))
        return false;
    if (!take_char(&r->rest, '-'))
        return true;
    r->precision = FHIR_TO_DAY;
    return take_number(&r->rest, 2, 1, days_of(r->year, r->month), &r->day);
}

static bool take_fraction(struct reading *r)
{
    struct str digits = r->rest;
    r->fraction_digits = (unsigned)take_digits(&r->rest);
    for (unsigned i = 0, unit = 100'000; i < r->fraction_digits && unit; i++, unit /= 10)
        r->fraction_us += unit * (unsigned)(digits.p[i] - '0');
    r->precision = FHIR_TO_FRACTION;
    return r->fraction_digits > 0;
}

static bool take_time(struct reading *r)
{
    r->precision = FHIR_TO_HOUR;
    if (!take_number(&r->rest, 2, 0, 23, &r->hour))
        return false;
    if (!take_char(&r->rest, ':'))
        return true;
    r->precision = FHIR_TO_MINUTE;
    if (!take_number(&r->rest, 2, 0, 59, &r->minute))
        return false;
    if (!take_char(&r->rest, ':'))
        return true;
    r->precision = FHIR_TO_SECOND;
    if (!take_number(&r->rest, 2, 0, 60, &r->second)) /* 60: a leap second */
        return false;
    return !take_char(&r->rest, '.') || take_fraction(r);
}

static bool take_zone(struct str *rest, struct fhir_moment *m)
{
    unsigned hours, minutes;
    if (!rest->n)
        return true;
    m->has_zone = true;
    if (take_char(rest, 'Z'))
        return true;
    bool is_west = take_char(rest, '-');
    if (!is_west && !take_char(rest, '+'))
        return false;
    if (!take_number(rest, 2, 0, ZONE_HOURS_MAX, &hours) || !take_char(rest, ':') ||
        !take_number(rest, 2, 0, hours == ZONE_HOURS_MAX ? 0 : 59, &minutes))
        return false;
    int all = (int)(hours * 60 + minutes);
    m->zone_minutes = (int16_t)(is_west ? -all : all);
    return true;
}

/* How long the last part that was written is, where it is always the same length. */
static int64_t length_us(const struct reading *r)
{
    switch (r->precision) {
    case FHIR_TO_DAY:
        return 86'400 * SECOND_US;
    case FHIR_TO_HOUR:
        return 3'600 * SECOND_US;
    case FHIR_TO_MINUTE:
        return 60 * SECOND_US;
    case FHIR_TO_SECOND:
        return SECOND_US;
    default:
        break;
    }
    int64_t length = SECOND_US;
    for (unsigned i = 0; i < r->fraction_digits && length > 1; i++)
        length /= 10;
    return length;
}

static void set_stretch(const struct reading *r, struct fhir_moment *m)
{
    int64_t zone_us = m->zone_minutes * 60 * SECOND_US;
    m->low_us = time_from_civil((int)r->year, r->month, r->day, r->hour, r->minute, r->second) * SECOND_US +
                r->fraction_us;
    if (r->precision == FHIR_TO_YEAR)
        m->high_us = time_from_civil((int)r->year + 1, 1, 1, 0, 0, 0) * SECOND_US;
    else if (r->precision == FHIR_TO_MONTH)
        m->high_us = m->low_us + days_of(r->year, r->month) * 86'400 * SECOND_US;
    else
        m->high_us = m->low_us + length_us(r);
    m->low_us -= zone_us;
    m->high_us -= zone_us;
    m->precision = (unsigned)r->precision & 7;
}

bool fhir_moment_parse(struct str text, struct fhir_moment *ret)
{
    struct reading r = {.rest = text};
    struct fhir_moment m = {.text = text.p, .n = (uint8_t)text.n, .kind = FHIR_MOMENT_DATE};
    if (text.n > TEXT_MAX || !take_date(&r))
        return false;
    if (take_char(&r.rest, 'T')) {
        m.kind = FHIR_MOMENT_DATE_TIME;
        if (r.rest.n && (r.precision != FHIR_TO_DAY || !take_time(&r) || !take_zone(&r.rest, &m)))
            return false;
    }
    if (r.rest.n)
        return false;
    set_stretch(&r, &m);
    *ret = m;
    return true;
}

bool fhir_time_parse(struct str text, struct fhir_moment *ret)
{
    struct reading r = {.rest = text, .year = 1970, .month = 1, .day = 1};
    struct fhir_moment m = {.text = text.p, .n = (uint8_t)text.n, .kind = FHIR_MOMENT_TIME};
    if (text.n > TEXT_MAX || !take_time(&r) || r.rest.n)
        return false;
    set_stretch(&r, &m);
    *ret = m;
    return true;
}

struct str fhir_moment_text(const struct fhir_moment *m)
{
    return (struct str){m->text, m->n};
}

/* ---- order */

static bool has_time(const struct fhir_moment *m)
{
    return m->precision > FHIR_TO_DAY;
}

/* A date and a moment of that date anywhere in the world are compared by the moment's own calendar. */
static int64_t local_shift_us(const struct fhir_moment *m, const struct fhir_moment *other)
{
    return has_time(other) ? 0 : m->zone_minutes * 60 * SECOND_US;
}

enum fhir_order fhir_moment_compare(const struct fhir_moment *a, const struct fhir_moment *b)
{
    if ((a->kind == FHIR_MOMENT_TIME) != (b->kind == FHIR_MOMENT_TIME))
        return FHIR_UNKNOWN;
    if (has_time(a) && has_time(b) && a->has_zone != b->has_zone)
        return FHIR_UNKNOWN;
    int64_t shift_a = local_shift_us(a, b), shift_b = local_shift_us(b, a);
    int64_t low_a = a->low_us + shift_a, low_b = b->low_us + shift_b;
    bool are_alike =
        a->precision == b->precision || (a->precision >= FHIR_TO_SECOND && b->precision >= FHIR_TO_SECOND);
    if (are_alike)
        return low_a < low_b ? FHIR_LESS : low_a > low_b ? FHIR_MORE : FHIR_SAME;
    if (a->high_us + shift_a <= low_b)
        return FHIR_LESS;
    return b->high_us + shift_b <= low_a ? FHIR_MORE : FHIR_UNKNOWN;
}
