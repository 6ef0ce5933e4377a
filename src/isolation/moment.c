/* isolation/moment.c - days and months in Dutch, English and Frisian. */
#include "isolation/moment.h"

#include "base/must.h"
#include "base/utc.h"

static const char *const days[ISOLATION_LANGUAGES][7] = {
    [ISOLATION_NL] = {"donderdag", "vrijdag", "zaterdag", "zondag", "maandag", "dinsdag", "woensdag"},
    [ISOLATION_EN] = {"Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"},
    [ISOLATION_FY] = {"tongersdei", "freed", "sneon", "snein", "moandei", "tiisdei", "woansdei"},
};

static const char *const months[ISOLATION_LANGUAGES][12] = {
    [ISOLATION_NL] = {"januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus", "september",
                      "oktober", "november", "december"},
    [ISOLATION_EN] = {"January", "February", "March", "April", "May", "June", "July", "August", "September",
                      "October", "November", "December"},
    [ISOLATION_FY] = {"jannewaris", "febrewaris", "maart", "april", "maaie", "juny", "july", "augustus",
                      "septimber", "oktober", "novimber", "desimber"},
};

static unsigned two_digits(const char *p)
{
    return (unsigned)(p[0] - '0') * 10 + (unsigned)(p[1] - '0');
}

void moment_write(struct buf *out, int64_t unix_us, int offset_minutes, enum isolation_language language)
{
    char memory[32];
    struct buf text = buf_over(memory, sizeof memory);
    int64_t local_us = unix_us + offset_minutes * INT64_C(60'000'000);
    if (local_us < 0)
        local_us = 0;
    time_write_utc(&text, local_us);
    must(!buf_overflowed(&text) && text.n == sizeof "2020-01-15T13:30:00.000000Z" - 1);
    const char *day = days[language][local_us / 86'400'000'000 % 7]; /* 1 January 1970 was a Thursday */
    const char *month = months[language][two_digits(memory + 5) - 1];
    switch (language) {
    case ISOLATION_EN:
        buf_printf(out, "%s %u %s %.4s at %.2s:%.2s", day, two_digits(memory + 8), month, memory, memory + 11,
                   memory + 14);
        break;
    default:
        buf_printf(out, "%s %u %s %.4s om %.2s.%.2s %s", day, two_digits(memory + 8), month, memory,
                   memory + 11, memory + 14, language == ISOLATION_FY ? "oere" : "uur");
    }
}

void moment_write_utc(struct buf *out, int64_t unix_us)
{
    char memory[32];
    struct buf text = buf_over(memory, sizeof memory);
    time_write_utc(&text, unix_us);
    buf_str(out, str_take(buf_text(&text), sizeof "2020-01-15T13:30:00" - 1));
    buf_char(out, 'Z');
}
