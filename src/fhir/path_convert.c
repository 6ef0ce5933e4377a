/* FHIRPath's conversions (http://hl7.org/fhirpath/N1/#conversion): toX gives nothing for what cannot be
 * converted, convertsToX says whether it can; and the functions of time, which the caller's clock answers. */
#include "fhir/chars.h"
#include "fhir/path_internal.h"
#include "fhir/ucum.h"

/* False: it cannot be converted. */
typedef bool conversion(struct path_run *, const struct fhir_item *, struct fhir_item *ret);

static bool is_one_of(struct str text, const char *const *list)
{
    for (; *list; list++) {
        if (str_eq_nocase(text, str_of(*list)))
            return true;
    }
    return false;
}

static bool as_boolean(struct path_run *run, const struct fhir_item *item, struct fhir_item *ret)
{
    static const char *const yes[] = {"true", "t", "yes", "y", "1", "1.0", NULL};
    static const char *const no[] = {"false", "f", "no", "n", "0", "0.0", NULL};
    *ret = (struct fhir_item){.kind = FHIR_ITEM_BOOLEAN};
    if (item->kind == FHIR_ITEM_BOOLEAN) {
        *ret = *item;
        return true;
    }
    if (item->kind == FHIR_ITEM_STRING) {
        ret->boolean = is_one_of(item->string, yes);
        return ret->boolean || is_one_of(item->string, no);
    }
    if (item->kind != FHIR_ITEM_INTEGER && item->kind != FHIR_ITEM_DECIMAL)
        return false;
    struct fhir_decimal value =
        item->kind == FHIR_ITEM_INTEGER ? fhir_decimal_of(item->integer) : item->decimal;
    ret->boolean = fhir_decimal_compare(value, fhir_decimal_of(1)) == 0;
    return ret->boolean || value.digits == 0;
}

static bool as_decimal(struct path_run *run, const struct fhir_item *item, struct fhir_item *ret)
{
    *ret = (struct fhir_item){.kind = FHIR_ITEM_DECIMAL};
    switch (item->kind) {
    case FHIR_ITEM_DECIMAL:
        *ret = *item;
        return true;
    case FHIR_ITEM_INTEGER:
        ret->decimal = fhir_decimal_of(item->integer);
        return true;
    case FHIR_ITEM_BOOLEAN:
        ret->decimal = fhir_decimal_of(item->boolean);
        return true;
    case FHIR_ITEM_STRING:
        return fhir_decimal_parse(str_skip(item->string, str_starts(item->string, STR("+"))), &ret->decimal);
    default:
        return false;
    }
}

static bool as_integer(struct path_run *run, const struct fhir_item *item, struct fhir_item *ret)
{
    struct fhir_item number;
    bool is_text = item->kind == FHIR_ITEM_STRING;
    if (item->kind == FHIR_ITEM_DECIMAL || (is_text && str_find_char(item->string, '.') >= 0))
        return false;
    *ret = (struct fhir_item){.kind = FHIR_ITEM_INTEGER};
    return as_decimal(run, item, &number) && fhir_decimal_to_i64(number.decimal, &ret->integer);
}

static bool as_string(struct path_run *run, const struct fhir_item *item, struct fhir_item *ret)
{
    *ret = (struct fhir_item){.kind = FHIR_ITEM_STRING, .string = fhir_item_text(*item, run->arena)};
    return item->kind != FHIR_ITEM_ELEMENT || fhir_value_primitive(&item->element) != FHIR_NO_PRIMITIVE;
}

static bool as_moment(const struct fhir_item *item, enum fhir_moment_kind kind, struct fhir_item *ret)
{
    *ret = *item;
    if (item->kind == FHIR_ITEM_STRING) {
        ret->kind = FHIR_ITEM_MOMENT;
        if (kind == FHIR_MOMENT_TIME)
            return fhir_time_parse(str_skip(item->string, str_starts(item->string, STR("T"))), &ret->moment);
        if (!fhir_moment_parse(item->string, &ret->moment))
            return false;
    }
    if (ret->kind != FHIR_ITEM_MOMENT || (ret->moment.kind == FHIR_MOMENT_TIME) != (kind == FHIR_MOMENT_TIME))
        return false;
    if (kind == FHIR_MOMENT_DATE && ret->moment.precision > FHIR_TO_DAY)
        return fhir_moment_parse(str_take(fhir_moment_text(&ret->moment), 10), &ret->moment);
    ret->moment.kind = (unsigned)kind & 3;
    return true;
}

static bool as_date(struct path_run *run, const struct fhir_item *item, struct fhir_item *ret)
{
    return as_moment(item, FHIR_MOMENT_DATE, ret);
}

static bool as_date_time(struct path_run *run, const struct fhir_item *item, struct fhir_item *ret)
{
    return as_moment(item, FHIR_MOMENT_DATE_TIME, ret);
}

static bool as_time(struct path_run *run, const struct fhir_item *item, struct fhir_item *ret)
{
    return as_moment(item, FHIR_MOMENT_TIME, ret);
}

/* "5.4", "5.4 'mg'", "4 days" */
static bool text_quantity(struct str text, struct fhir_decimal *ret_value, struct str *ret_unit)
{
    struct str rest = text, number = str_cut(&rest, ' ');
    struct fhir_unit unit;
    *ret_unit = STR("1");
    if (!fhir_decimal_parse(number, ret_value))
        return false;
    if (!rest.p)
        return true;
    bool is_quoted = rest.n > 2 && rest.p[0] == '\'' && rest.p[rest.n - 1] == '\'';
    *ret_unit = is_quoted ? str_take(str_skip(rest, 1), rest.n - 2) : rest;
    return is_quoted || (rest.n > 2 && fhir_unit_parse(rest, &unit));
}

static bool as_quantity(struct path_run *run, const struct fhir_item *item, struct fhir_item *ret)
{
    struct fhir_item number;
    struct fhir_decimal *value = arena_alloc(run->arena, sizeof *value);
    struct str unit = STR("1");
    *ret = *item;
    if (item->kind == FHIR_ITEM_QUANTITY)
        return true;
    if (!value)
        return false;
    if (item->kind == FHIR_ITEM_STRING) {
        if (!text_quantity(item->string, value, &unit))
            return false;
    } else {
        if (!as_decimal(run, item, &number))
            return false;
        *value = number.decimal;
    }
    *ret = (struct fhir_item){.kind = FHIR_ITEM_QUANTITY, .quantity = {value, unit}};
    return true;
}

static bool convert(struct path_run *run, struct items in, conversion *as, struct items *out)
{
    struct fhir_item item, result;
    enum path_taken taken = items_single(run, in, &item);
    if (taken != PATH_TOOK_ONE)
        return taken == PATH_TOOK_NONE;
    return !as(run, &item, &result) || items_add(run, out, result);
}

static bool can_convert(struct path_run *run, struct items in, conversion *as, struct items *out)
{
    struct items result = {0};
    if (!in.n)
        return true;
    return convert(run, in, as, &result) && items_add_boolean(run, out, result.n > 0);
}

/* Every conversion is two functions of FHIRPath. */
#define CONVERSION(name)                                                                                     \
    bool path_to_##name(struct path_run *run, const struct path_node *call, struct items in,                 \
                        struct items *out)                                                                   \
    {                                                                                                        \
        return convert(run, in, as_##name, out);                                                             \
    }                                                                                                        \
    bool path_converts_to_##name(struct path_run *run, const struct path_node *call, struct items in,        \
                                 struct items *out)                                                          \
    {                                                                                                        \
        return can_convert(run, in, as_##name, out);                                                         \
    }
CONVERSION(boolean)
CONVERSION(integer)
CONVERSION(decimal)
CONVERSION(date)
CONVERSION(date_time)
CONVERSION(time)
CONVERSION(quantity)

/* A number keeps the digits it was written with, so the item is taken before it becomes a value. */
bool path_to_string(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct fhir_item result;
    if (in.n > 1)
        return path_fail(run, "there is more than one item where only one can stand");
    return !in.n || !as_string(run, &in.at[0], &result) || items_add(run, out, result);
}

bool path_converts_to_string(struct path_run *run, const struct path_node *call, struct items in,
                             struct items *out)
{
    return can_convert(run, in, as_string, out);
}

/* ---- now */

static bool add_now(struct path_run *run, struct str text, bool is_time, struct items *out)
{
    struct fhir_item item = {.kind = FHIR_ITEM_MOMENT};
    if (!(is_time ? fhir_time_parse(text, &item.moment) : fhir_moment_parse(text, &item.moment)))
        return path_fail(run, "nobody told what time it is");
    return items_add(run, out, item);
}

bool path_now(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    return add_now(run, run->env->now, false, out);
}

bool path_today(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    return add_now(run, str_take(run->env->now, 10), false, out);
}

bool path_time_of_day(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct str text = str_skip(run->env->now, 11);
    size_t n = 0;
    while (n < text.n && (is_digit(text.p[n]) || text.p[n] == ':' || text.p[n] == '.'))
        n++;
    return add_now(run, str_take(text, n), true, out);
}
