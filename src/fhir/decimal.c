#include "fhir/decimal.h"

#include "fhir/chars.h"

typedef __int128 i128;
typedef unsigned __int128 u128;

static u128 power(unsigned n) /* n <= FHIR_DECIMAL_DIGITS + 2 */
{
    u128 value = 1;
    while (n--)
        value *= 10;
    return value;
}

static u128 magnitude(i128 digits)
{
    return digits < 0 ? -(u128)digits : (u128)digits;
}

static unsigned count_digits(u128 value)
{
    unsigned n = 0;
    for (; value >= 1'000'000'000'000; value /= 1'000'000'000'000)
        n += 12;
    for (uint64_t low = (uint64_t)value; low; low /= 10)
        n++;
    return n;
}

static struct fhir_decimal make(bool is_negative, u128 digits, int32_t exponent)
{
    return (struct fhir_decimal){is_negative ? -(i128)digits : (i128)digits, exponent};
}

/* ---- reading */

static bool take_exponent(struct str *rest, int32_t *ret)
{
    bool is_negative = take_char(rest, '-');
    if (!is_negative)
        (void)take_char(rest, '+');
    struct str digits = *rest;
    size_t n = take_digits(rest);
    int32_t value = 0;
    for (size_t i = 0; i < n; i++) {
        value = value * 10 + (digits.p[i] - '0');
        if (value > FHIR_DECIMAL_EXPONENT_MAX)
            return false;
    }
    *ret = is_negative ? -value : value;
    return n > 0;
}

/* Adds a run of digits, cutting off those for which there is no room; *exponent says how they stand. */
static void add_digits(struct str run, bool is_fraction, u128 *digits, unsigned *used, int32_t *exponent)
{
    for (size_t i = 0; i < run.n; i++) {
        bool has_room = *used < FHIR_DECIMAL_DIGITS;
        if (has_room) {
            *digits = *digits * 10 + (unsigned)(run.p[i] - '0');
            *used += *digits != 0;
        }
        *exponent += is_fraction ? -has_room : !has_room;
    }
}

bool fhir_decimal_parse(struct str text, struct fhir_decimal *ret)
{
    struct str rest = text;
    u128 digits = 0;
    unsigned used = 0;
    int32_t exponent = 0, written = 0;
    if (text.n > 2'000)
        return false;
    bool is_negative = take_char(&rest, '-');
    struct str whole = rest;
    whole.n = take_digits(&rest);
    if (!whole.n || (whole.n > 1 && whole.p[0] == '0'))
        return false;
    add_digits(whole, false, &digits, &used, &exponent);
    if (take_char(&rest, '.')) {
        struct str fraction = rest;
        fraction.n = take_digits(&rest);
        if (!fraction.n)
            return false;
        add_digits(fraction, true, &digits, &used, &exponent);
    }
    if ((take_char(&rest, 'e') || take_char(&rest, 'E')) && !take_exponent(&rest, &written))
        return false;
    exponent += written;
    if (rest.n || exponent > FHIR_DECIMAL_EXPONENT_MAX || exponent < -FHIR_DECIMAL_EXPONENT_MAX)
        return false;
    *ret = make(is_negative, digits, exponent);
    return true;
}

struct fhir_decimal fhir_decimal_of(int64_t value)
{
    return (struct fhir_decimal){value, 0};
}

struct fhir_decimal fhir_decimal_trim(struct fhir_decimal d)
{
    if (d.digits == 0)
        return (struct fhir_decimal){0, 0};
    while (d.digits % 10 == 0) {
        d.digits /= 10;
        d.exponent++;
    }
    return d;
}

/* ---- order */

/* Of two numbers of the same sign that are not zero: their magnitudes. */
static int compare_magnitudes(struct fhir_decimal a, struct fhir_decimal b)
{
    u128 x = magnitude(a.digits), y = magnitude(b.digits);
    int32_t top_a = (int32_t)count_digits(x) + a.exponent, top_b = (int32_t)count_digits(y) + b.exponent;
    if (top_a != top_b)
        return top_a < top_b ? -1 : 1;
    if (a.exponent > b.exponent)
        x *= power((unsigned)(a.exponent - b.exponent));
    else
        y *= power((unsigned)(b.exponent - a.exponent));
    return x < y ? -1 : x > y;
}

int fhir_decimal_compare(struct fhir_decimal a, struct fhir_decimal b)
{
    int sign_a = (a.digits > 0) - (a.digits < 0), sign_b = (b.digits > 0) - (b.digits < 0);
    if (sign_a != sign_b || sign_a == 0)
        return sign_a - sign_b;
    return sign_a * compare_magnitudes(a, b);
}

/* ---- whole numbers */

/* Drops n digits at the end; *ret_first: the first of those dropped. */
static u128 drop_digits(u128 digits, unsigned n, unsigned *ret_first)
{
    *ret_first = 0;
    if (n > FHIR_DECIMAL_DIGITS + 2)
        return 0;
    if (n == 0)
        return digits;
    digits /= power(n - 1);
    *ret_first = (unsigned)(digits % 10);
    return digits / 10;
}

struct fhir_decimal fhir_decimal_round(struct fhir_decimal d, unsigned places)
{
    int32_t least = -(int32_t)places;
    if (d.exponent >= least)
        return d;
    unsigned first;
    u128 digits = drop_digits(magnitude(d.digits), (unsigned)(least - d.exponent), &first);
    return make(d.digits < 0, digits + (first >= 5), least);
}

struct fhir_decimal fhir_decimal_cut(struct fhir_decimal d)
{
    unsigned first;
    if (d.exponent >= 0)
        return d;
    return make(d.digits < 0, drop_digits(magnitude(d.digits), (unsigned)-d.exponent, &first), 0);
}

bool fhir_decimal_is_whole(struct fhir_decimal d)
{
    return fhir_decimal_compare(d, fhir_decimal_cut(d)) == 0;
}

bool fhir_decimal_to_i64(struct fhir_decimal d, int64_t *ret)
{
    d = fhir_decimal_trim(fhir_decimal_cut(d));
    if (d.exponent > 19 || d.digits > INT64_MAX || d.digits < INT64_MIN)
        return false;
    i128 value = d.digits * (i128)power((unsigned)d.exponent);
    if (value > INT64_MAX || value < INT64_MIN)
        return false;
    *ret = (int64_t)value;
    return true;
}

/* ---- arithmetic */

struct fhir_decimal fhir_decimal_negate(struct fhir_decimal d)
{
    d.digits = -d.digits;
    return d;
}

static bool keep(struct fhir_decimal d, struct fhir_decimal *ret)
{
    u128 digits = magnitude(d.digits);
    unsigned n = count_digits(digits), first;
    if (n > FHIR_DECIMAL_DIGITS) {
        digits = drop_digits(digits, n - FHIR_DECIMAL_DIGITS, &first) + (first >= 5);
        d = make(d.digits < 0, digits, d.exponent + (int32_t)(n - FHIR_DECIMAL_DIGITS));
    }
    if (d.exponent > FHIR_DECIMAL_EXPONENT_MAX || d.exponent < -FHIR_DECIMAL_EXPONENT_MAX)
        return false;
    *ret = d;
    return true;
}

bool fhir_decimal_add(struct fhir_decimal a, struct fhir_decimal b, struct fhir_decimal *ret)
{
    struct fhir_decimal high = a.exponent >= b.exponent ? a : b, low = a.exponent >= b.exponent ? b : a;
    if (high.digits == 0 || low.digits == 0)
        return keep(high.digits == 0 ? low : high, ret);
    /* The higher one takes as many zeros as it has room for, the other one loses what is still below it. */
    unsigned room = FHIR_DECIMAL_DIGITS - count_digits(magnitude(high.digits)), first;
    unsigned apart = (unsigned)(high.exponent - low.exponent), shift = apart < room ? apart : room;
    high.digits *= (i128)power(shift);
    high.exponent -= (int32_t)shift;
    u128 rest = drop_digits(magnitude(low.digits), apart - shift, &first) + (first >= 5);
    return keep(
        (struct fhir_decimal){high.digits + (low.digits < 0 ? -(i128)rest : (i128)rest), high.exponent}, ret);
}

bool fhir_decimal_multiply(struct fhir_decimal a, struct fhir_decimal b, struct fhir_decimal *ret)
{
    i128 digits;
    if (__builtin_mul_overflow(a.digits, b.digits, &digits)) {
        a = fhir_decimal_trim(a);
        b = fhir_decimal_trim(b);
        while (__builtin_mul_overflow(a.digits, b.digits, &digits)) { /* the longer one gives up a digit */
            struct fhir_decimal *longer = magnitude(a.digits) > magnitude(b.digits) ? &a : &b;
            longer->digits /= 10;
            longer->exponent++;
        }
    }
    return keep((struct fhir_decimal){digits, a.exponent + b.exponent}, ret);
}

bool fhir_decimal_divide(struct fhir_decimal a, struct fhir_decimal b, struct fhir_decimal *ret)
{
    if (b.digits == 0)
        return false;
    b = fhir_decimal_trim(b);
    u128 rest = magnitude(a.digits), divisor = magnitude(b.digits), digits = rest / divisor;
    int32_t exponent = a.exponent - b.exponent;
    rest %= divisor;
    /* One digit after another: ten times the rest always has room, since a divisor has 36 digits at most. */
    while (rest && count_digits(digits) < FHIR_DECIMAL_DIGITS - 4) {
        rest *= 10;
        digits = digits * 10 + rest / divisor;
        rest %= divisor;
        exponent--;
    }
    return keep(make((a.digits < 0) != (b.digits < 0), digits, exponent), ret);
}

/* ---- ranges */

void fhir_decimal_range(struct fhir_decimal d, struct fhir_decimal *ret_low, struct fhir_decimal *ret_high)
{
    /* A lone digit with an exponent counts as two: so FHIR reads 1e2. */
    if (d.exponent > 0 && magnitude(d.digits) < 10) {
        d.digits *= 10;
        d.exponent--;
    }
    struct fhir_decimal half = {5, d.exponent - 1}, low = d, high = d;
    (void)fhir_decimal_add(d, fhir_decimal_negate(half), &low);
    (void)fhir_decimal_add(d, half, &high);
    *ret_low = low;
    *ret_high = high;
}

/* ---- writing */

static void write_digits(u128 value, unsigned n, struct buf *out)
{
    char text[40];
    for (unsigned i = n; i > 0; i--, value /= 10)
        text[i - 1] = (char)('0' + (unsigned)(value % 10));
    buf_add(out, text, n);
}

void fhir_decimal_write(struct fhir_decimal d, struct buf *out)
{
    u128 digits = magnitude(d.digits);
    unsigned n = count_digits(digits);
    int32_t point = (int32_t)n + d.exponent; /* digits before the point */
    if (d.digits < 0)
        buf_char(out, '-');
    if (d.exponent > 0 || point < -20) {
        write_digits(digits, n ? n : 1, out);
        if (n)
            buf_printf(out, "e%d", d.exponent);
        return;
    }
    if (point <= 0)
        buf_char(out, '0');
    else
        write_digits(digits / power((unsigned)-d.exponent), (unsigned)point, out);
    if (d.exponent == 0)
        return;
    buf_char(out, '.');
    unsigned places = (unsigned)-d.exponent;
    for (; places > 38; places--) /* zero with many places */
        buf_char(out, '0');
    write_digits(places > FHIR_DECIMAL_DIGITS ? digits : digits % power(places), places, out);
}

/* Sign, exponent of the first digit, then pairs of digits plus one, which end in a zero byte. Of a negative
 * number everything behind the sign is turned around. */
void fhir_decimal_write_key(struct fhir_decimal d, struct buf *out)
{
    char key[FHIR_DECIMAL_KEY_MAX];
    d = fhir_decimal_trim(d);
    u128 digits = magnitude(d.digits);
    unsigned n = count_digits(digits), length = 3;
    if (n == 0) {
        buf_char(out, (char)0x80);
        return;
    }
    int32_t top = d.exponent + (int32_t)n + 0x8000;
    key[0] = d.digits < 0 ? 0x40 : (char)0xc0;
    key[1] = (char)(top >> 8);
    key[2] = (char)top;
    for (unsigned left = n; left > 0;) {
        unsigned take = left < 2 ? 1 : 2;
        unsigned pair =
            (unsigned)(digits / power(left - take) % (take == 2 ? 100 : 10)) * (take == 2 ? 1 : 10);
        key[length++] = (char)(pair + 1);
        left -= take;
    }
    key[length++] = 0;
    for (unsigned i = 1; d.digits < 0 && i < length; i++)
        key[i] = (char)~key[i];
    buf_add(out, key, length);
}
