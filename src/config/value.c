#include "config/value.h"

#include "base/addr.h"
#include "base/utc.h"

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* Largest first, for writing. */
static const struct unit durations[] = {{"y", 31'536'000'000}, {"d", 86'400'000}, {"h", 3'600'000},
                                        {"m", 60'000},         {"s", 1'000},      {"ms", 1}};
static const struct unit sizes[] = {{"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}, {"", 1}};

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

bool value_bool(struct str s, bool *ret)
{
    static const char *const words[2][3] = {{"false", "no", "off"}, {"true", "yes", "on"}};
    for (unsigned value = 0; value < 2; value++)
        for (unsigned i = 0; i < 3; i++)
            if (str_eq_nocase(s, str_of(words[value][i]))) {
                *ret = value;
                return true;
            }
    return false;
}

static bool parse_unit(struct str s, const struct unit *units, size_t count, uint64_t *ret)
{
    size_t digits = 0;
    uint64_t number;
    while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
        digits++;
    if (!str_parse_u64(str_take(s, digits), &number))
        return false;
    for (size_t i = 0; i < count; i++)
        if (str_eq_nocase(str_skip(s, digits), str_of(units[i].suffix)))
            return !__builtin_mul_overflow(number, units[i].factor, ret);
    return false;
}

bool value_size(struct str s, uint64_t *ret)
{
    return parse_unit(s, sizes, COUNT_OF(sizes), ret);
}

bool value_duration_ms(struct str s, uint64_t *ret)
{
    if (str_eq(s, STR("0"))) {
        *ret = 0;
        return true;
    }
    return parse_unit(s, durations, COUNT_OF(durations), ret);
}

bool value_percent(struct str s, uint64_t *ret)
{
    return str_parse_u64(str_ends(s, STR("%")) ? str_take(s, s.n - 1) : s, ret);
}

/* ---- moments: 2026-01-15T16:00:00+01:00; 'Z' and a space for 'T' are fine (RFC 3339 5.6) */

static unsigned digits_at(struct str s, size_t at, size_t n, bool *ok)
{
    unsigned value = 0;
    for (size_t i = at; i < at + n; i++) {
        *ok = *ok && i < s.n && s.p[i] >= '0' && s.p[i] <= '9';
        value = *ok ? value * 10 + (unsigned)(s.p[i] - '0') : 0;
    }
    return value;
}

static bool has_at(struct str s, size_t at, char c)
{
    return at < s.n && s.p[at] == c;
}

/* "Z", "+01:00", "-05:30" in minutes. */
static bool offset_of(struct str s, int *ret)
{
    bool ok = true;
    *ret = 0;
    if (str_eq(s, STR("Z")))
        return true;
    if (s.n != 6 || (s.p[0] != '+' && s.p[0] != '-') || s.p[3] != ':')
        return false;
    unsigned hours = digits_at(s, 1, 2, &ok), minutes = digits_at(s, 4, 2, &ok);
    *ret = (int)(hours * 60 + minutes) * (s.p[0] == '-' ? -1 : 1);
    return ok && hours <= 14 && minutes < 60;
}

static unsigned days_of(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && is_leap ? 29 : days[month - 1];
}

bool value_moment_us(struct str s, int64_t *ret)
{
    bool ok = has_at(s, 4, '-') && has_at(s, 7, '-') && (has_at(s, 10, 'T') || has_at(s, 10, ' ')) &&
              has_at(s, 13, ':');
    unsigned year = digits_at(s, 0, 4, &ok), month = digits_at(s, 5, 2, &ok), day = digits_at(s, 8, 2, &ok);
    unsigned hour = digits_at(s, 11, 2, &ok), minute = digits_at(s, 14, 2, &ok);
    bool has_seconds = has_at(s, 16, ':');
    unsigned second = has_seconds ? digits_at(s, 17, 2, &ok) : 0;
    int offset;
    if (!ok || !offset_of(str_skip(s, has_seconds ? 19 : 16), &offset) || year < 1970 || month < 1 ||
        month > 12 || day < 1 || day > days_of(year, month) || hour > 23 || minute > 59 || second > 59)
        return false;
    *ret = (time_from_civil((int)year, month, day, hour, minute, second) - (int64_t)offset * 60) * 1'000'000;
    return true;
}

static void write_unit(struct buf *b, const struct unit *units, uint64_t value)
{
    const struct unit *u = units;
    while (value % u->factor)
        u++;
    buf_u64(b, value / u->factor);
    buf_str(b, str_of(u->suffix));
}

void value_write_size(struct buf *b, uint64_t bytes)
{
    if (bytes == 0)
        buf_char(b, '0');
    else
        write_unit(b, sizes, bytes);
}

void value_write_duration(struct buf *b, uint64_t ms)
{
    if (ms == 0)
        buf_char(b, '0');
    else
        write_unit(b, durations, ms);
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

bool value_is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_alnum(s.p[i]) && (s.p[i] == '\0' || !strchr("!#$%&'*+-.^_`|~", s.p[i])))
            return false;
    return s.n > 0;
}

static bool is_label(struct str label)
{
    if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
        return false;
    for (size_t i = 0; i < label.n; i++)
        if (!is_alnum(label.p[i]) && label.p[i] != '-')
            return false;
    return true;
}

bool value_is_host(struct str s)
{
    struct addr ignored;
    if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
        return addr_parse_ip(str_skip(str_take(s, s.n - 1), 1), &ignored) && !ignored.is_v4;
    if (s.n == 0 || s.n > 253 || s.p[s.n - 1] == '.')
        return false;
    for (struct str rest = s; rest.p;)
        if (!is_label(str_cut(&rest, '.')))
            return false;
    return true;
}

bool value_is_canonical(struct str path, const char **ret_why)
{
    *ret_why = "it must begin with /";
    if (path.n == 0 || path.p[0] != '/')
        return false;
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        *ret_why = c < 0x80
                       ? "only what a path may hold unencoded: no %, ?, #, \\, spaces, quotes or brackets"
                       : "only ASCII letters are matched";
        if (c == 0 || (!is_alnum((char)c) && !strchr("/-._~!$&'()*+,;=:@", c)))
            return false;
    }
    *ret_why = "no empty segment (//) and no dot segment";
    struct str rest = str_skip(path, 1);
    while (rest.p) {
        struct str segment = str_cut(&rest, '/');
        if (str_eq(segment, STR(".")) || str_eq(segment, STR("..")) || (segment.n == 0 && rest.p))
            return false;
    }
    return true;
}

bool value_split_port(struct str s, struct str *ret_host, uint16_t *ret_port)
{
    size_t colon = s.n;
    uint64_t port;
    while (colon > 0 && s.p[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return false;
    struct str digits = str_skip(s, colon);
    if (digits.n > 5 || !str_parse_u64(digits, &port) || port == 0 || port > 65535)
        return false;
    *ret_host = str_take(s, colon - 1);
    *ret_port = (uint16_t)port;
    return true;
}
