/* Equality, equivalence, order and hashes of items (http://hl7.org/fhirpath/N1/#equality). Elements with
 * children are compared as trees: names in any order, lists in theirs. */
#include "fhir/chars.h"
#include "fhir/path_internal.h"
#include "fhir/ucum.h"

enum { TREE_DEPTH_MAX = 100 };

/* ---- numbers and quantities */

static bool as_decimal(const struct fhir_item *item, struct fhir_decimal *ret)
{
    if (item->kind == FHIR_ITEM_DECIMAL)
        *ret = item->decimal;
    else if (item->kind == FHIR_ITEM_INTEGER)
        *ret = fhir_decimal_of(item->integer);
    return item->kind == FHIR_ITEM_DECIMAL || item->kind == FHIR_ITEM_INTEGER;
}

/* Two quantities in the same unit; false: their units have nothing in common. */
static bool same_unit(const struct fhir_item *a, const struct fhir_item *b, struct fhir_decimal *ret_x,
                      struct fhir_decimal *ret_y)
{
    struct fhir_unit of_a, of_b;
    *ret_x = *a->quantity.value;
    *ret_y = *b->quantity.value;
    if (str_eq(a->quantity.unit, b->quantity.unit))
        return true;
    return fhir_unit_parse(a->quantity.unit, &of_a) && fhir_unit_parse(b->quantity.unit, &of_b) &&
           fhir_unit_is_same_kind(&of_a, &of_b) && fhir_unit_convert(&of_a, *ret_x, ret_x) &&
           fhir_unit_convert(&of_b, *ret_y, ret_y);
}

static bool quantity_order(const struct fhir_item *a, const struct fhir_item *b, int *ret)
{
    struct fhir_decimal x, y;
    if (!same_unit(a, b, &x, &y))
        return false;
    *ret = fhir_decimal_compare(x, y);
    return true;
}

/* ---- trees */

/* Sorts children by their element, lists staying in order. They come sorted but for few, so that this is
 * linear; what is not costs steps. */
static bool sort_children(struct path_run *run, struct items children)
{
    for (uint32_t i = 1; i < children.n; i++) {
        struct fhir_item item = children.at[i];
        uint32_t at = i;
        while (at > 0 && children.at[at - 1].element.element > item.element.element) {
            children.at[at] = children.at[at - 1];
            at--;
        }
        children.at[at] = item;
        if (!path_spend(run, i - at))
            return false;
    }
    return true;
}

static bool sorted_children(struct path_run *run, const struct fhir_item *item, struct items *ret)
{
    return path_children(run, item, ret) && sort_children(run, *ret);
}

static bool trees_equal(struct path_run *run, const struct fhir_item *a, const struct fhir_item *b,
                        enum path_truth *ret)
{
    struct items of_a = {0}, of_b = {0};
    *ret = PATH_NO;
    if (a->element.type != b->element.type)
        return true;
    if (run->depth >= TREE_DEPTH_MAX)
        return path_fail(run, "elements are nested too deeply to compare");
    if (!sorted_children(run, a, &of_a) || !sorted_children(run, b, &of_b))
        return false;
    if (of_a.n != of_b.n)
        return true;
    *ret = PATH_YES;
    run->depth++;
    bool is_fine = true;
    for (uint32_t i = 0; i < of_a.n && is_fine && *ret == PATH_YES; i++) {
        if (of_a.at[i].element.element != of_b.at[i].element.element)
            *ret = PATH_NO;
        else
            is_fine = path_equal(run, &of_a.at[i], &of_b.at[i], ret);
    }
    run->depth--;
    return is_fine;
}

/* ---- equality */

static enum path_truth moments_equal(const struct fhir_item *a, const struct fhir_item *b)
{
    enum fhir_order order = fhir_moment_compare(&a->moment, &b->moment);
    if ((a->moment.kind == FHIR_MOMENT_TIME) != (b->moment.kind == FHIR_MOMENT_TIME))
        return PATH_NO;
    return order == FHIR_UNKNOWN ? PATH_UNKNOWN : truth_of(order == FHIR_SAME);
}

bool path_equal(struct path_run *run, const struct fhir_item *left, const struct fhir_item *right,
                enum path_truth *ret)
{
    struct fhir_item a = fhir_item_value(*left, run->arena), b = fhir_item_value(*right, run->arena);
    struct fhir_decimal x, y;
    int order;
    if (!path_spend(run, 1))
        return false;
    *ret = PATH_NO;
    if (as_decimal(&a, &x) && as_decimal(&b, &y)) {
        *ret = truth_of(fhir_decimal_compare(x, y) == 0);
        return true;
    }
    if (a.kind != b.kind)
        return true;
    switch (a.kind) {
    case FHIR_ITEM_ELEMENT:
        if (a.element.tape == b.element.tape && a.element.node == b.element.node &&
            a.element.companion == b.element.companion && a.element.type == b.element.type) {
            *ret = PATH_YES;
            return true;
        }
        return trees_equal(run, &a, &b, ret);
    case FHIR_ITEM_BOOLEAN:
        *ret = truth_of(a.boolean == b.boolean);
        return true;
    case FHIR_ITEM_STRING:
        *ret = truth_of(str_eq(a.string, b.string));
        return path_spend(run, a.string.n / 64);
    case FHIR_ITEM_MOMENT:
        *ret = moments_equal(&a, &b);
        return true;
    case FHIR_ITEM_QUANTITY:
        *ret = quantity_order(&a, &b, &order) ? truth_of(order == 0) : PATH_UNKNOWN;
        return true;
    default:
        return true;
    }
}

bool path_items_equal(struct path_run *run, struct items a, struct items b, enum path_truth *ret)
{
    *ret = a.n && b.n ? truth_of(a.n == b.n) : PATH_UNKNOWN;
    for (uint32_t i = 0; i < a.n && *ret == PATH_YES; i++) {
        if (!path_equal(run, &a.at[i], &b.at[i], ret))
            return false;
    }
    return true;
}

/* ---- equivalence */

/* Letters without case, and any white space as one blank. */
static bool texts_alike(struct str a, struct str b)
{
    size_t i = 0, j = 0;
    while (i < a.n && j < b.n) {
        if (is_space(a.p[i]) != is_space(b.p[j]) ||
            (!is_space(a.p[i]) && ascii_lower(a.p[i]) != ascii_lower(b.p[j])))
            return false;
        bool in_space = is_space(a.p[i]);
        i++;
        j++;
        while (in_space && i < a.n && is_space(a.p[i]))
            i++;
        while (in_space && j < b.n && is_space(b.p[j]))
            j++;
    }
    return i == a.n && j == b.n;
}

static unsigned places_of(struct fhir_decimal d)
{
    d = fhir_decimal_trim(d);
    return d.exponent < 0 ? (unsigned)-d.exponent : 0;
}

/* To the digits of the one that has fewer. */
static bool decimals_alike(struct fhir_decimal a, struct fhir_decimal b)
{
    unsigned places = places_of(a) < places_of(b) ? places_of(a) : places_of(b);
    return fhir_decimal_compare(fhir_decimal_round(a, places), fhir_decimal_round(b, places)) == 0;
}

static bool item_alike(struct path_run *run, const struct fhir_item *left, const struct fhir_item *right,
                       bool *ret)
{
    struct fhir_item a = fhir_item_value(*left, run->arena), b = fhir_item_value(*right, run->arena);
    struct fhir_decimal x, y;
    enum path_truth truth;
    if (!path_spend(run, 1))
        return false;
    if (as_decimal(&a, &x) && as_decimal(&b, &y)) {
        *ret = decimals_alike(x, y);
        return true;
    }
    if (a.kind == FHIR_ITEM_QUANTITY && b.kind == FHIR_ITEM_QUANTITY) {
        *ret = same_unit(&a, &b, &x, &y) && decimals_alike(x, y);
        return true;
    }
    if (a.kind == FHIR_ITEM_STRING && b.kind == FHIR_ITEM_STRING) {
        *ret = texts_alike(a.string, b.string);
        return path_spend(run, a.string.n / 64);
    }
    bool is_fine = path_equal(run, &a, &b, &truth);
    *ret = truth == PATH_YES;
    return is_fine;
}

bool path_items_alike(struct path_run *run, struct items a, struct items b, bool *ret)
{
    *ret = a.n == b.n;
    bool *taken = arena_alloc(run->arena, b.n ? b.n : 1);
    for (uint32_t i = 0; i < a.n && *ret && taken; i++) { /* in any order */
        bool found = false;
        for (uint32_t j = 0; j < b.n && !found; j++) {
            if (!taken[j] && !item_alike(run, &a.at[i], &b.at[j], &found))
                return false;
            taken[j] |= found;
        }
        *ret = found;
    }
    return taken || path_fail(run, "the evaluation needs too much memory");
}

/* ---- order */

bool path_order(struct path_run *run, const struct fhir_item *a, const struct fhir_item *b,
                enum fhir_order *ret)
{
    struct fhir_decimal x, y;
    int order;
    if (as_decimal(a, &x) && as_decimal(b, &y)) {
        order = fhir_decimal_compare(x, y);
    } else if (a->kind == FHIR_ITEM_STRING && b->kind == FHIR_ITEM_STRING) {
        order = str_compare(a->string, b->string);
    } else if (a->kind == FHIR_ITEM_MOMENT && b->kind == FHIR_ITEM_MOMENT) {
        *ret = fhir_moment_compare(&a->moment, &b->moment);
        return true;
    } else if (a->kind == FHIR_ITEM_QUANTITY && b->kind == FHIR_ITEM_QUANTITY) {
        *ret = FHIR_UNKNOWN;
        if (!quantity_order(a, b, &order))
            return true;
    } else if (a->kind == FHIR_ITEM_ELEMENT || b->kind == FHIR_ITEM_ELEMENT) {
        *ret = FHIR_UNKNOWN; /* an element without a value, such as a quantity with only a unit */
        return true;
    } else {
        return path_fail(run, "values of these types have no order");
    }
    *ret = order < 0 ? FHIR_LESS : order > 0 ? FHIR_MORE : FHIR_SAME;
    return true;
}

/* ---- hashes: equal items have the same */

static bool tree_hash(struct path_run *run, const struct fhir_item *item, uint64_t *ret)
{
    struct items children = {0};
    uint64_t hash = 1, child;
    if (run->depth >= TREE_DEPTH_MAX)
        return path_fail(run, "elements are nested too deeply to compare");
    if (!path_children(run, item, &children))
        return false;
    run->depth++;
    bool is_fine = true;
    for (uint32_t i = 0; i < children.n && is_fine; i++) {
        is_fine = path_hash(run, &children.at[i], &child);
        hash += hash_mix(child ^ (uint64_t)(uintptr_t)children.at[i].element.element);
    }
    run->depth--;
    *ret = hash;
    return is_fine;
}

bool path_hash(struct path_run *run, const struct fhir_item *raw, uint64_t *ret)
{
    struct fhir_item item = fhir_item_value(*raw, run->arena);
    struct fhir_decimal number;
    const void *bytes = &item.boolean;
    size_t n = sizeof item.boolean;
    *ret = (uint64_t)item.kind;
    if (!path_spend(run, 1))
        return false;
    if (as_decimal(&item, &number)) {
        struct {
            __int128 digits;
            int64_t exponent, rest;
        } plain;
        number = fhir_decimal_trim(number);
        memset(&plain, 0, sizeof plain);
        plain.digits = number.digits;
        plain.exponent = number.exponent;
        *ret = hash_bytes(&run->env->hash_key, &plain, sizeof plain);
        return true;
    }
    if (item.kind == FHIR_ITEM_ELEMENT)
        return tree_hash(run, &item, ret);
    if (item.kind == FHIR_ITEM_QUANTITY) /* equal ones may have other units */
        return true;
    if (item.kind == FHIR_ITEM_STRING) {
        bytes = item.string.n ? item.string.p : "";
        n = item.string.n;
    } else if (item.kind == FHIR_ITEM_MOMENT) {
        bytes = &item.moment.low_us;
        n = sizeof item.moment.low_us;
    }
    *ret += hash_bytes(&run->env->hash_key, bytes, n);
    return path_spend(run, n / 64);
}
