#include "fhir/ucum.h"

#include "fhir/chars.h"

enum { CODE_MAX = 64, BRACKETS_MAX = 4, POWER_MAX = 12 };

static const struct unit_row {
    struct str code;
    bool takes_prefixes;
    int64_t digits;
    int8_t exponent;
    uint8_t divisor;
    int8_t powers[FHIR_UNIT_BASES];
} units[] = {
#define U(code, takes_prefixes, digits, exponent, divisor, ...)                                              \
    {STR(code), takes_prefixes, digits, exponent, divisor, {__VA_ARGS__}},
#include "fhir/ucum.def"
#undef U
};

static const struct {
    struct str code;
    int8_t exponent;
} prefixes[] = {
    {STR("da"), 1},  {STR("Y"), 24},  {STR("Z"), 21},  {STR("E"), 18},  {STR("P"), 15},
    {STR("T"), 12},  {STR("G"), 9},   {STR("M"), 6},   {STR("k"), 3},   {STR("h"), 2},
    {STR("d"), -1},  {STR("c"), -2},  {STR("m"), -3},  {STR("u"), -6},  {STR("n"), -9},
    {STR("p"), -12}, {STR("f"), -15}, {STR("a"), -18}, {STR("z"), -21}, {STR("y"), -24},
};

/* Units that stand for themselves: with an offset, arbitrary, or logarithmic. */
static const struct str own_units[] = {STR("Cel"),     STR("[degF]"), STR("[iU]"),  STR("[IU]"),
                                       STR("[arb'U]"), STR("[pH]"),   STR("[CFU]"), STR("[PFU]"),
                                       STR("[diop]"),  STR("[HPF]"),  STR("[LPF]"), STR("[hp'_X]"),
                                       STR("[hp'_C]"), STR("B[SPL]"), STR("dB"),    STR("[APL'U]")};

/* FHIRPath's words for calendar durations. */
static const struct str words[][2] = {
    {STR("millisecond"), STR("ms")}, {STR("second"), STR("s")}, {STR("minute"), STR("min")},
    {STR("hour"), STR("h")},         {STR("day"), STR("d")},    {STR("week"), STR("wk")},
    {STR("month"), STR("mo")},       {STR("year"), STR("a")},
};

/* ---- combining */

static struct fhir_unit one(void)
{
    return (struct fhir_unit){.factor = {1, 0}, .divisor = {1, 0}};
}

/* into *= by, or /= by. */
static bool combine(struct fhir_unit *into, const struct fhir_unit *by, bool divides)
{
    const struct fhir_decimal *factor = divides ? &by->divisor : &by->factor;
    const struct fhir_decimal *divisor = divides ? &by->factor : &by->divisor;
    if (by->own_power && into->own_power && !str_eq(by->own, into->own))
        return false;
    if (by->own_power)
        into->own = by->own;
    into->own_power = (int8_t)(into->own_power + (divides ? -by->own_power : by->own_power));
    for (unsigned i = 0; i < FHIR_UNIT_BASES; i++) {
        int power = into->powers[i] + (divides ? -by->powers[i] : by->powers[i]);
        if (power > 100 || power < -100)
            return false;
        into->powers[i] = (int8_t)power;
    }
    return fhir_decimal_multiply(into->factor, *factor, &into->factor) &&
           fhir_decimal_multiply(into->divisor, *divisor, &into->divisor);
}

static bool raise(struct fhir_unit *unit, int power)
{
    struct fhir_unit base = *unit;
    *unit = one();
    for (int i = 0; i < (power < 0 ? -power : power); i++) {
        if (!combine(unit, &base, power < 0))
            return false;
    }
    return true;
}

/* ---- atoms */

static bool find_atom(struct str code, bool needs_prefix, struct fhir_unit *ret)
{
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        const struct unit_row *row = &units[i];
        if ((needs_prefix && !row->takes_prefixes) || !str_eq(code, row->code))
            continue;
        *ret = one();
        memcpy(ret->powers, row->powers, sizeof ret->powers);
        ret->factor = (struct fhir_decimal){row->digits, row->exponent};
        ret->divisor = fhir_decimal_of(row->divisor);
        return true;
    }
    return false;
}

static bool find_own(struct str code, struct fhir_unit *ret)
{
    for (size_t i = 0; i < sizeof own_units / sizeof *own_units; i++) {
        if (str_eq(code, own_units[i])) {
            *ret = one();
            ret->own = str_eq_nocase(code, STR("[iU]")) ? STR("[iU]") : own_units[i];
            ret->own_power = 1;
            return true;
        }
    }
    return false;
}

static bool find_unit(struct str code, struct fhir_unit *ret)
{
    if (find_atom(code, false, ret) || find_own(code, ret))
        return true;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        struct str prefix = prefixes[i].code, rest = str_skip(code, prefix.n);
        if (!str_starts(code, prefix) || !rest.n)
            continue;
        bool is_own = prefix.n && str_eq_nocase(rest, STR("[iU]")) && find_own(rest, ret);
        if (is_own || find_atom(rest, true, ret)) {
            ret->factor.exponent += prefixes[i].exponent;
            return true;
        }
    }
    return false;
}

/* ---- terms */

struct term {
    struct str rest;
    unsigned brackets;
};

static bool parse_term(struct term *, struct fhir_unit *ret);

/* {anything} */
static bool take_annotation(struct str *rest)
{
    ptrdiff_t end = rest->n && rest->p[0] == '{' ? str_find_char(*rest, '}') : -1;
    if (end < 0)
        return false;
    *rest = str_skip(*rest, (size_t)end + 1);
    return true;
}

/* A unit's letters: all up to a digit, sign or operator, but whatever stands in square brackets. */
static struct str take_symbol(struct str *rest)
{
    size_t n = 0;
    bool in_brackets = false;
    for (; n < rest->n; n++) {
        char c = rest->p[n];
        in_brackets = (in_brackets || c == '[') && c != ']';
        if (!in_brackets && (is_digit(c) || strchr(".+-/(){}*", c)))
            break;
    }
    struct str symbol = str_take(*rest, n);
    *rest = str_skip(*rest, n);
    return symbol;
}

static bool take_power(struct str *rest, int *ret)
{
    bool is_negative = take_char(rest, '-');
    if (!is_negative)
        (void)take_char(rest, '+');
    struct str digits = *rest;
    digits.n = take_digits(rest);
    uint64_t value;
    if (!str_parse_u64(digits, &value) || value > POWER_MAX)
        return false;
    *ret = is_negative ? -(int)value : (int)value;
    return true;
}

/* "100", "10*9", "10^9": a number, or a power of ten. */
static bool parse_number(struct term *t, struct fhir_unit *ret)
{
    struct str digits = t->rest;
    digits.n = take_digits(&t->rest);
    uint64_t value;
    int power;
    *ret = one();
    if (!str_parse_u64(digits, &value) || value == 0 || value > 1'000'000'000)
        return false;
    if (value != 10 || !(take_char(&t->rest, '*') || take_char(&t->rest, '^'))) {
        ret->factor = fhir_decimal_of((int64_t)value);
        return true;
    }
    if (!take_power(&t->rest, &power))
        return false;
    ret->factor = (struct fhir_decimal){1, power};
    return true;
}

static bool parse_component(struct term *t, struct fhir_unit *ret)
{
    int power;
    char c = t->rest.n ? t->rest.p[0] : 0;
    *ret = one();
    if (c == '{')
        return take_annotation(&t->rest);
    if (is_digit(c)) {
        if (!parse_number(t, ret))
            return false;
    } else if (take_char(&t->rest, '(')) {
        if (t->brackets++ == BRACKETS_MAX || !parse_term(t, ret) || !take_char(&t->rest, ')'))
            return false;
        t->brackets--;
    } else {
        if (!find_unit(take_symbol(&t->rest), ret))
            return false;
        c = t->rest.n ? t->rest.p[0] : 0;
        if ((is_digit(c) || c == '-' || c == '+') && (!take_power(&t->rest, &power) || !raise(ret, power)))
            return false;
    }
    (void)take_annotation(&t->rest);
    return true;
}

/* [/] component (('.' | '/') component)* */
static bool parse_term(struct term *t, struct fhir_unit *ret)
{
    struct fhir_unit part;
    bool divides = take_char(&t->rest, '/');
    *ret = one();
    do {
        if (!parse_component(t, &part) || !combine(ret, &part, divides))
            return false;
        divides = t->rest.n && t->rest.p[0] == '/';
    } while (take_char(&t->rest, '/') || take_char(&t->rest, '.'));
    return true;
}

static struct str without_word(struct str code)
{
    struct str singular = code.n > 1 && code.p[code.n - 1] == 's' ? str_take(code, code.n - 1) : code;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (str_eq(singular, words[i][0]))
            return words[i][1];
    }
    return code;
}

bool fhir_unit_parse(struct str code, struct fhir_unit *ret)
{
    struct term t = {.rest = without_word(code)};
    struct fhir_unit unit;
    if (!code.n || code.n > CODE_MAX || !parse_term(&t, &unit) || t.rest.n)
        return false;
    if (!unit.own_power)
        unit.own = STR_NONE;
    *ret = unit;
    return true;
}

bool fhir_unit_is_same_kind(const struct fhir_unit *a, const struct fhir_unit *b)
{
    return memcmp(a->powers, b->powers, sizeof a->powers) == 0 && a->own_power == b->own_power &&
           str_eq(a->own, b->own);
}

bool fhir_unit_convert(const struct fhir_unit *unit, struct fhir_decimal value, struct fhir_decimal *ret)
{
    struct fhir_decimal product;
    return fhir_decimal_multiply(value, unit->factor, &product) &&
           fhir_decimal_divide(product, unit->divisor, ret);
}

static void write_power(struct buf *out, struct str name, int power, bool *is_first)
{
    if (!power)
        return;
    if (!*is_first)
        buf_char(out, '.');
    *is_first = false;
    buf_str(out, name);
    if (power != 1)
        buf_printf(out, "%d", power);
}

void fhir_unit_write_base(const struct fhir_unit *unit, struct buf *out)
{
    static const char *const names[FHIR_UNIT_BASES] = {"m", "g", "s", "rad", "K", "C", "cd", "mol"};
    bool is_first = true;
    for (unsigned i = 0; i < FHIR_UNIT_BASES; i++)
        write_power(out, str_of(names[i]), unit->powers[i], &is_first);
    write_power(out, unit->own, unit->own_power, &is_first);
    if (is_first)
        buf_char(out, '1');
}
