/* FHIRPath functions on numbers, all exact. */
#include "fhir/path_internal.h"

/* What becomes of a decimal; a whole number is left as it is but for its sign. */
enum change { CHANGE_ABS, CHANGE_CEILING, CHANGE_FLOOR, CHANGE_CUT };

static struct fhir_decimal magnitude(struct fhir_decimal d)
{
    return d.digits < 0 ? fhir_decimal_negate(d) : d;
}

/* Towards up when step is 1, down when it is -1. */
static struct fhir_decimal to_whole(struct fhir_decimal d, int step)
{
    struct fhir_decimal whole = fhir_decimal_cut(d);
    if (fhir_decimal_compare(whole, d) * step < 0)
        whole.digits += step;
    return whole;
}

static struct fhir_decimal change_decimal(struct fhir_decimal d, enum change change)
{
    if (change == CHANGE_ABS)
        return magnitude(d);
    return change == CHANGE_CUT ? fhir_decimal_cut(d) : to_whole(d, change == CHANGE_CEILING ? 1 : -1);
}

static bool change_quantity(struct path_run *run, struct fhir_item item, enum change change,
                            struct items *out)
{
    struct fhir_decimal *value = arena_alloc(run->arena, sizeof *value);
    if (!value)
        return path_fail(run, "the evaluation needs too much memory");
    *value = change_decimal(*item.quantity.value, change);
    item.quantity.value = value;
    return items_add(run, out, item);
}

static bool change(struct path_run *run, struct items in, enum change change, struct items *out)
{
    struct fhir_item item;
    int64_t whole;
    enum path_taken taken = items_single(run, in, &item);
    if (taken != PATH_TOOK_ONE)
        return taken == PATH_TOOK_NONE;
    if (item.kind == FHIR_ITEM_QUANTITY)
        return change_quantity(run, item, change, out);
    if (item.kind != FHIR_ITEM_INTEGER && item.kind != FHIR_ITEM_DECIMAL)
        return path_fail(run, "a number is needed here");
    struct fhir_decimal value = item.kind == FHIR_ITEM_INTEGER ? fhir_decimal_of(item.integer) : item.decimal;
    struct fhir_decimal changed = change_decimal(value, change);
    if (item.kind == FHIR_ITEM_DECIMAL && change == CHANGE_ABS)
        return items_add(run, out, (struct fhir_item){.kind = FHIR_ITEM_DECIMAL, .decimal = changed});
    return !fhir_decimal_to_i64(changed, &whole) || items_add_integer(run, out, whole);
}

bool path_abs(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    return change(run, in, CHANGE_ABS, out);
}

bool path_ceiling(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    return change(run, in, CHANGE_CEILING, out);
}

bool path_floor(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    return change(run, in, CHANGE_FLOOR, out);
}

bool path_truncate(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    return change(run, in, CHANGE_CUT, out);
}

bool path_round(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct fhir_item item;
    struct items argument = {0};
    int64_t places = 0;
    enum path_taken taken = items_single(run, in, &item);
    if (taken != PATH_TOOK_ONE)
        return taken == PATH_TOOK_NONE;
    if (item.kind == FHIR_ITEM_INTEGER)
        return items_add(run, out, item);
    if (item.kind != FHIR_ITEM_DECIMAL)
        return path_fail(run, "a number is needed here");
    if (call->arguments && (!path_eval_argument(run, call, 0, &argument) ||
                            items_integer(run, argument, &places) == PATH_TOOK_FAILED))
        return false;
    if (places < 0 || places > FHIR_DECIMAL_DIGITS)
        return path_fail(run, "round() takes from 0 to 36 digits");
    item.decimal = fhir_decimal_round(item.decimal, (unsigned)places);
    return items_add(run, out, item);
}
