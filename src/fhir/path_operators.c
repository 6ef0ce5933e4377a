/* FHIRPath's operators. Where an operand is empty the result is, but for & and the logic of three values. */
#include "fhir/path_internal.h"

/* ---- logic */

static enum path_truth logic_and(enum path_truth a, enum path_truth b)
{
    if (a == PATH_NO || b == PATH_NO)
        return PATH_NO;
    return a == PATH_YES && b == PATH_YES ? PATH_YES : PATH_UNKNOWN;
}

static enum path_truth logic_not(enum path_truth a)
{
    return a == PATH_UNKNOWN ? a : truth_of(a == PATH_NO);
}

static enum path_truth logic_or(enum path_truth a, enum path_truth b)
{
    return logic_not(logic_and(logic_not(a), logic_not(b)));
}

static enum path_truth logic_xor(enum path_truth a, enum path_truth b)
{
    return a == PATH_UNKNOWN || b == PATH_UNKNOWN ? PATH_UNKNOWN : truth_of(a != b);
}

static bool eval_truth(struct path_run *run, uint32_t node, enum path_truth *ret)
{
    struct items items = {0};
    return path_eval(run, node, &items) && items_truth(run, items, ret);
}

/* The right side is not looked at when the left one decides. */
static bool operate_logic(struct path_run *run, const struct path_node *node, struct items *ret)
{
    enum path_truth a, b = PATH_UNKNOWN;
    if (!eval_truth(run, node->left, &a))
        return false;
    bool is_decided = (node->op == PATH_AND && a == PATH_NO) || (node->op == PATH_OR && a == PATH_YES) ||
                      (node->op == PATH_IMPLIES && a == PATH_NO);
    if (!is_decided && !eval_truth(run, node->right, &b))
        return false;
    switch (node->op) {
    case PATH_AND:
        return items_add_truth(run, ret, logic_and(a, b));
    case PATH_OR:
        return items_add_truth(run, ret, logic_or(a, b));
    case PATH_XOR:
        return items_add_truth(run, ret, logic_xor(a, b));
    default:
        return items_add_truth(run, ret, logic_or(logic_not(a), b));
    }
}

/* ---- comparing */

static bool operate_equality(struct path_run *run, enum path_op op, struct items a, struct items b,
                             struct items *ret)
{
    enum path_truth truth;
    bool is_alike;
    if (op == PATH_EQUAL || op == PATH_NOT_EQUAL) {
        if (!path_items_equal(run, a, b, &truth))
            return false;
        return items_add_truth(run, ret, op == PATH_EQUAL ? truth : logic_not(truth));
    }
    return path_items_alike(run, a, b, &is_alike) &&
           items_add_boolean(run, ret, is_alike == (op == PATH_ALIKE));
}

static bool operate_order(struct path_run *run, enum path_op op, const struct fhir_item *a,
                          const struct fhir_item *b, struct items *ret)
{
    enum fhir_order order;
    if (!path_order(run, a, b, &order))
        return false;
    if (order == FHIR_UNKNOWN)
        return true;
    bool holds = op == PATH_LESS           ? order == FHIR_LESS
                 : op == PATH_LESS_OR_SAME ? order != FHIR_MORE
                 : op == PATH_MORE         ? order == FHIR_MORE
                                           : order != FHIR_LESS;
    return items_add_boolean(run, ret, holds);
}

/* ---- collections */

static bool operate_union(struct path_run *run, struct items a, struct items b, struct items *ret)
{
    struct path_set set;
    bool is_new;
    if (!path_set_begin(run, &set, a.n + b.n))
        return false;
    for (uint32_t i = 0; i < a.n + b.n; i++) {
        if (!path_set_add(run, &set, i < a.n ? &a.at[i] : &b.at[i - a.n], &is_new))
            return false;
    }
    *ret = set.items;
    return true;
}

static bool operate_in(struct path_run *run, struct items one, struct items all, struct items *ret)
{
    enum path_truth found = PATH_NO;
    if (!one.n)
        return true;
    if (one.n > 1)
        return path_fail(run, "only one item can be looked for in a collection");
    for (uint32_t i = 0; i < all.n && found != PATH_YES; i++) {
        if (!path_equal(run, &one.at[0], &all.at[i], &found))
            return false;
    }
    return items_add_boolean(run, ret, found == PATH_YES);
}

/* ---- arithmetic */

static bool as_number(const struct fhir_item *item, struct fhir_decimal *ret)
{
    if (item->kind == FHIR_ITEM_QUANTITY)
        *ret = *item->quantity.value;
    else
        *ret = item->kind == FHIR_ITEM_INTEGER ? fhir_decimal_of(item->integer) : item->decimal;
    return item->kind == FHIR_ITEM_INTEGER || item->kind == FHIR_ITEM_DECIMAL ||
           item->kind == FHIR_ITEM_QUANTITY;
}

static bool divide_whole(enum path_op op, struct fhir_decimal a, struct fhir_decimal b,
                         struct fhir_decimal *ret)
{
    struct fhir_decimal quotient, product;
    if (!fhir_decimal_divide(a, b, &quotient))
        return false;
    quotient = fhir_decimal_cut(quotient);
    *ret = quotient;
    if (op == PATH_DIV)
        return true;
    return fhir_decimal_multiply(quotient, b, &product) &&
           fhir_decimal_add(a, fhir_decimal_negate(product), ret);
}

/* False: there is no result, as of a division by zero. */
static bool compute(enum path_op op, struct fhir_decimal a, struct fhir_decimal b, struct fhir_decimal *ret)
{
    switch (op) {
    case PATH_PLUS:
        return fhir_decimal_add(a, b, ret);
    case PATH_MINUS:
        return fhir_decimal_add(a, fhir_decimal_negate(b), ret);
    case PATH_MULTIPLY:
        return fhir_decimal_multiply(a, b, ret);
    case PATH_DIVIDE:
        return fhir_decimal_divide(a, b, ret);
    default:
        return divide_whole(op, a, b, ret);
    }
}

static bool add_number(struct path_run *run, struct fhir_decimal value, bool is_whole, struct items *ret)
{
    struct fhir_item item = {.kind = FHIR_ITEM_DECIMAL, .decimal = value};
    int64_t whole;
    if (!is_whole)
        return items_add(run, ret, item);
    return !fhir_decimal_to_i64(value, &whole) || items_add_integer(run, ret, whole);
}

static bool add_quantity(struct path_run *run, struct fhir_decimal value, struct str unit, struct items *ret)
{
    struct fhir_decimal *kept = arena_alloc(run->arena, sizeof *kept);
    if (!kept)
        return path_fail(run, "the evaluation needs too much memory");
    *kept = value;
    return items_add(run, ret, (struct fhir_item){.kind = FHIR_ITEM_QUANTITY, .quantity = {kept, unit}});
}

/* Quantities are added when they have the same unit, and multiplied and divided by plain numbers. */
static bool operate_quantity(struct path_run *run, enum path_op op, const struct fhir_item *a,
                             const struct fhir_item *b, struct fhir_decimal value, struct items *ret)
{
    bool are_both = a->kind == b->kind;
    bool is_sum = op == PATH_PLUS || op == PATH_MINUS;
    if (is_sum != are_both || (are_both && !str_eq(a->quantity.unit, b->quantity.unit)) ||
        (op != PATH_MULTIPLY && !are_both && (op != PATH_DIVIDE || a->kind != FHIR_ITEM_QUANTITY)))
        return path_fail(run, "quantities of these units cannot be computed with");
    return add_quantity(run, value, a->kind == FHIR_ITEM_QUANTITY ? a->quantity.unit : b->quantity.unit, ret);
}

static bool operate_numbers(struct path_run *run, enum path_op op, const struct fhir_item *a,
                            const struct fhir_item *b, struct items *ret)
{
    struct fhir_decimal x, y, value;
    if (!as_number(a, &x) || !as_number(b, &y))
        return path_fail(run, "this operator does not take values of these types");
    if (!compute(op, x, y, &value))
        return true;
    if (a->kind == FHIR_ITEM_QUANTITY || b->kind == FHIR_ITEM_QUANTITY)
        return operate_quantity(run, op, a, b, value, ret);
    bool are_whole = a->kind == FHIR_ITEM_INTEGER && b->kind == FHIR_ITEM_INTEGER;
    return add_number(run, value, op == PATH_DIV || (are_whole && op != PATH_DIVIDE), ret);
}

static bool join_texts(struct path_run *run, struct str a, struct str b, struct items *ret)
{
    char *memory = arena_bytes(run->arena, a.n + b.n);
    struct buf out = buf_over(memory, memory ? a.n + b.n : 0);
    buf_str(&out, a);
    buf_str(&out, b);
    if (!memory || !path_spend(run, (a.n + b.n) / 64))
        return path_fail(run, "the evaluation needs too much memory");
    return items_add_string(run, ret, buf_text(&out));
}

/* a & b: what is empty is an empty text. */
static bool operate_join(struct path_run *run, struct items a, struct items b, struct items *ret)
{
    struct str texts[2] = {STR(""), STR("")};
    return items_string(run, a, &texts[0]) != PATH_TOOK_FAILED &&
           items_string(run, b, &texts[1]) != PATH_TOOK_FAILED && join_texts(run, texts[0], texts[1], ret);
}

static bool operate_singles(struct path_run *run, enum path_op op, struct items a, struct items b,
                            struct items *ret)
{
    struct fhir_item left, right;
    enum path_taken took_a = items_single(run, a, &left), took_b = items_single(run, b, &right);
    if (took_a != PATH_TOOK_ONE || took_b != PATH_TOOK_ONE)
        return took_a != PATH_TOOK_FAILED && took_b != PATH_TOOK_FAILED;
    if (op >= PATH_LESS && op <= PATH_MORE_OR_SAME)
        return operate_order(run, op, &left, &right, ret);
    if (op == PATH_PLUS && left.kind == FHIR_ITEM_STRING && right.kind == FHIR_ITEM_STRING)
        return join_texts(run, left.string, right.string, ret);
    return operate_numbers(run, op, &left, &right, ret);
}

/* ---- one operand */

static bool operate_negate(struct path_run *run, struct items in, struct items *ret)
{
    struct fhir_item item;
    struct fhir_decimal value;
    enum path_taken taken = items_single(run, in, &item);
    if (taken != PATH_TOOK_ONE)
        return taken == PATH_TOOK_NONE;
    if (!as_number(&item, &value))
        return path_fail(run, "only a number has a sign");
    value = fhir_decimal_negate(value);
    if (item.kind == FHIR_ITEM_QUANTITY)
        return add_quantity(run, value, item.quantity.unit, ret);
    return add_number(run, value, item.kind == FHIR_ITEM_INTEGER, ret);
}

static bool operate_type(struct path_run *run, const struct path_node *node, struct items in,
                         struct items *ret)
{
    if (node->op == PATH_AS) {
        for (uint32_t i = 0; i < in.n; i++) {
            if (path_as_type_of(&in.at[i], node->type) && !items_add(run, ret, in.at[i]))
                return false;
        }
        return true;
    }
    if (in.n > 1)
        return path_fail(run, "the type of more than one item is asked for");
    return !in.n || items_add_boolean(run, ret, path_of_type(&in.at[0], node->type));
}

bool path_operate(struct path_run *run, const struct path_node *node, struct items *ret)
{
    struct items a = {0}, b = {0};
    if (node->op >= PATH_AND)
        return operate_logic(run, node, ret);
    if (!path_eval(run, node->left, &a))
        return false;
    if (node->op == PATH_NEGATE)
        return operate_negate(run, a, ret);
    if (node->op == PATH_IS || node->op == PATH_AS)
        return operate_type(run, node, a, ret);
    if (!path_eval(run, node->right, &b))
        return false;
    switch ((enum path_op)node->op) {
    case PATH_EQUAL:
    case PATH_NOT_EQUAL:
    case PATH_ALIKE:
    case PATH_NOT_ALIKE:
        return operate_equality(run, node->op, a, b, ret);
    case PATH_UNION:
        return operate_union(run, a, b, ret);
    case PATH_IN:
        return operate_in(run, a, b, ret);
    case PATH_CONTAINS:
        return operate_in(run, b, a, ret);
    case PATH_JOIN:
        return operate_join(run, a, b, ret);
    default:
        return operate_singles(run, node->op, a, b, ret);
    }
}
