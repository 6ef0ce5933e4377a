/* What stands in a key: stretches of time in order, places, parameters. Keys that are read may be damaged:
 * nothing behind their end is looked at. */
#include "store/keys.h"

/* ---- dates */

static const int64_t day_us = 86'400'000'000;

int64_t key_date_span_us(enum key_date_class class)
{
    return class == DATE_OF_DAY ? day_us : class == DATE_OF_YEAR ? 366 * day_us : 0;
}

void key_write_i64(struct buf *out, int64_t value)
{
    key_write(out, (uint64_t)value ^ 1ULL << 63, 8);
}

int64_t key_read_i64(const char *p)
{
    return (int64_t)(key_read(p, 8) ^ 1ULL << 63);
}

static enum key_date_class class_of(int64_t low_us, int64_t high_us)
{
    int64_t length;
    if (low_us == INT64_MIN)
        return DATE_OPEN_LOW;
    if (high_us == INT64_MAX)
        return DATE_OPEN_HIGH;
    if (__builtin_sub_overflow(high_us, low_us, &length) || length < 0 || length > 366 * day_us)
        return DATE_LONG;
    return length <= day_us ? DATE_OF_DAY : DATE_OF_YEAR;
}

void key_write_date(struct buf *out, int64_t low_us, int64_t high_us)
{
    enum key_date_class class = class_of(low_us, high_us);
    buf_char(out, (char)class);
    key_write_i64(out, class == DATE_OPEN_LOW ? high_us : low_us);
    if (class == DATE_OF_DAY)
        key_write(out, (uint64_t)(high_us - low_us), 5);
    else if (class != DATE_OPEN_LOW && class != DATE_OPEN_HIGH)
        key_write_i64(out, high_us);
}

struct key_date key_read_date(enum key_date_class class, const char *p)
{
    int64_t first = key_read_i64(p);
    switch (class) {
    case DATE_OPEN_LOW:
        return (struct key_date){INT64_MIN, first, 8};
    case DATE_OPEN_HIGH:
        return (struct key_date){first, INT64_MAX, 8};
    case DATE_OF_DAY:
        return (struct key_date){first, first + (int64_t)key_read(p + 8, 5), 13};
    default:
        return (struct key_date){first, key_read_i64(p + 8), 16};
    }
}

enum { PLACE_DATE_BITS = 46 };
static const int64_t year_1000_us = -30'610'224'000'000'000;

static uint64_t date_floor(int64_t low_us)
{
    const uint64_t most = (1ULL << PLACE_DATE_BITS) - 1;
    if (low_us <= year_1000_us)
        return 0;
    uint64_t ms = ((uint64_t)low_us - (uint64_t)year_1000_us) / 1'000;
    return (ms > most ? most : ms) << PLACE_DATE_SHIFT;
}

uint64_t key_date_of(int64_t low_us, int64_t high_us)
{
    uint64_t date = date_floor(low_us);
    bool is_exact = date && date >> PLACE_DATE_SHIFT < (1ULL << PLACE_DATE_BITS) - 1;
    return date | (is_exact && class_of(low_us, high_us) == DATE_OF_DAY ? PLACE_IS_SHORT : 0);
}

bool key_date_known(uint64_t date, int64_t *ret_low_us, int64_t *ret_last_us)
{
    uint64_t ms = date >> PLACE_DATE_SHIFT;
    if (ms == 0 || ms == (1ULL << PLACE_DATE_BITS) - 1)
        return false;
    *ret_low_us = year_1000_us + (int64_t)ms * 1'000;
    *ret_last_us = *ret_low_us + 999;
    return true;
}

/* ---- reading keys */

static size_t value_bytes(struct str key)
{
    switch (key.n > 3 ? key.p[0] : 0) {
    case KEY_ALL:
        return 2;
    case KEY_TERM:
        return 5;
    case KEY_REFERENCE:
        return 6;
    case KEY_DATE:
        return key.p[2] == DATE_OF_DAY                                   ? 16
               : key.p[2] == DATE_OF_YEAR || key.p[2] == DATE_LONG       ? 19
               : key.p[2] == DATE_OPEN_HIGH || key.p[2] == DATE_OPEN_LOW ? 11
                                                                         : 0;
    case KEY_NUMBER: {
        size_t end = (size_t)(uint8_t)key.p[key.n - 1] + 1 + KEY_SPOT_BYTES;
        return key.n > end ? key.n - end : 0;
    }
    default:
        return 0;
    }
}

bool key_read_end(struct str key, struct key_end *ret)
{
    size_t at = value_bytes(key);
    *ret = (struct key_end){.value_bytes = at};
    if (!at)
        return false;
    ret->is_spot = key.p[0] == KEY_DATE || key.p[0] == KEY_NUMBER;
    size_t place = ret->is_spot ? KEY_SPOT_BYTES : KEY_PLACE_BYTES;
    if (key.n < at + place + 1)
        return false;
    if (ret->is_spot)
        ret->place =
            (struct place){0, (uint32_t)key_read(key.p + at, 4), (uint32_t)key_read(key.p + at + 4, 4)};
    else
        ret->place = key_place(key.p + at);
    ret->parameters = str_skip(key, at + place);
    if (key.p[0] == KEY_NUMBER)
        ret->parameters.n--;
    ret->is_further =
        key.p[0] == KEY_ALL ? ret->parameters.n == 5 : ret->parameters.n && !ret->parameters.p[0];
    if (ret->is_further)
        ret->parameters = str_skip(ret->parameters, 1);
    return ret->parameters.n > 0;
}
