/* The table of functions, and those about collections: which items there are, and which are taken. */
#include "fhir/path_internal.h"

#define F(name, least, most, function) {STR(#name), least, most, function},
#define U(name)                        {STR(#name), 0, 255, NULL},
const struct path_function_row path_functions[] = {
#include "fhir/path_functions.def"
};
#undef F
#undef U
const unsigned path_function_count = sizeof path_functions / sizeof *path_functions;
_Static_assert(sizeof path_functions / sizeof *path_functions <= 256,
               "a node keeps a function's number in a byte");

uint32_t path_argument(const struct path_run *run, const struct path_node *call, unsigned index)
{
    uint32_t node = call->right;
    while (index--)
        node = run->path->nodes[node].next;
    return node;
}

bool path_eval_argument(struct path_run *run, const struct path_node *call, unsigned index, struct items *ret)
{
    return path_eval(run, path_argument(run, call, index), ret);
}

/* ---- existence */

bool path_empty(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    return items_add_boolean(run, out, in.n == 0);
}

bool path_count(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    return items_add_integer(run, out, in.n);
}

/* The argument as a condition for one item. */
static bool holds(struct path_run *run, const struct path_node *call, struct items in, uint32_t i,
                  enum path_truth *ret)
{
    struct items result = {0};
    return path_eval_on(run, call->right, items_slice(in, i, 1), i, &result) && items_truth(run, result, ret);
}

bool path_exists(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    enum path_truth truth = PATH_NO;
    if (!call->arguments)
        return items_add_boolean(run, out, in.n > 0);
    for (uint32_t i = 0; i < in.n && truth != PATH_YES; i++) {
        if (!holds(run, call, in, i, &truth))
            return false;
    }
    return items_add_boolean(run, out, truth == PATH_YES);
}

bool path_all(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    enum path_truth truth = PATH_YES;
    for (uint32_t i = 0; i < in.n && truth == PATH_YES; i++) {
        if (!holds(run, call, in, i, &truth))
            return false;
    }
    return items_add_boolean(run, out, truth == PATH_YES);
}

/* Is there an item that is so? *ret. All must be booleans. */
static bool has_boolean(struct path_run *run, struct items in, bool wanted, bool *ret)
{
    *ret = false;
    for (uint32_t i = 0; i < in.n; i++) {
        struct fhir_item value = fhir_item_value(in.at[i], run->arena);
        if (value.kind != FHIR_ITEM_BOOLEAN)
            return path_fail(run, "only booleans can stand here");
        *ret |= value.boolean == wanted;
    }
    return true;
}

bool path_all_true(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    bool found;
    return has_boolean(run, in, false, &found) && items_add_boolean(run, out, !found);
}

bool path_any_true(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    bool found;
    return has_boolean(run, in, true, &found) && items_add_boolean(run, out, found);
}

bool path_all_false(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    bool found;
    return has_boolean(run, in, true, &found) && items_add_boolean(run, out, !found);
}

bool path_any_false(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    bool found;
    return has_boolean(run, in, false, &found) && items_add_boolean(run, out, found);
}

bool path_not(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    enum path_truth truth;
    if (!items_truth(run, in, &truth))
        return false;
    return truth == PATH_UNKNOWN || items_add_boolean(run, out, truth == PATH_NO);
}

/* ---- filters and projections */

bool path_where(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    enum path_truth truth;
    for (uint32_t i = 0; i < in.n; i++) {
        if (!holds(run, call, in, i, &truth) || (truth == PATH_YES && !items_add(run, out, in.at[i])))
            return false;
    }
    return true;
}

bool path_select(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    for (uint32_t i = 0; i < in.n; i++) {
        struct items result = {0};
        if (!path_eval_on(run, call->right, items_slice(in, i, 1), i, &result) ||
            !items_add_all(run, out, result))
            return false;
    }
    return true;
}

/* What is found is asked again, each value once. */
bool path_repeat(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    enum { REPEAT_MAX = 1 << 14 };
    struct path_set set;
    bool is_new;
    uint32_t asked = 0;
    if (!path_set_begin(run, &set, REPEAT_MAX))
        return false;
    for (struct items round = in; round.n; round = items_slice(set.items, asked, set.items.n - asked)) {
        asked = set.items.n;
        for (uint32_t i = 0; i < round.n; i++) {
            struct items result = {0};
            if (!path_eval_on(run, call->right, items_slice(round, i, 1), i, &result))
                return false;
            for (uint32_t k = 0; k < result.n; k++) {
                if (set.items.n >= REPEAT_MAX) {
                    run->result = FHIR_PATH_TOO_COSTLY;
                    return path_fail(run, "repeat() finds too many items");
                }
                if (!path_set_add(run, &set, &result.at[k], &is_new))
                    return false;
            }
        }
    }
    *out = set.items;
    return true;
}

bool path_filter_type(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    for (uint32_t i = 0; i < in.n; i++) {
        if (path_as_type_of(&in.at[i], call->type) && !items_add(run, out, in.at[i]))
            return false;
    }
    return true;
}

/* HL7's own expressions use as() on lists too. */
bool path_as_type(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    if (in.n > 1 && !call->type->is_loose)
        return path_fail(run, "the type of more than one item is asked for");
    return path_filter_type(run, call, in, out);
}

bool path_is_type(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    if (in.n > 1)
        return path_fail(run, "the type of more than one item is asked for");
    return !in.n || items_add_boolean(run, out, path_of_type(&in.at[0], call->type));
}

/* ---- parts */

bool path_single(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    if (in.n > 1)
        return path_fail(run, "single() meets more than one item");
    *out = in;
    return true;
}

bool path_first(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    *out = items_slice(in, 0, 1);
    return true;
}

bool path_last(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    *out = items_slice(in, in.n ? in.n - 1 : 0, 1);
    return true;
}

bool path_tail(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    *out = items_slice(in, 1, in.n);
    return true;
}

/* A number of items: none and less than none are zero. */
static bool number_of_items(struct path_run *run, const struct path_node *call, uint32_t *ret)
{
    struct items argument = {0};
    int64_t n = 0;
    if (!path_eval_argument(run, call, 0, &argument) || items_integer(run, argument, &n) == PATH_TOOK_FAILED)
        return false;
    *ret = n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    return true;
}

bool path_skip(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    uint32_t n;
    if (!number_of_items(run, call, &n))
        return false;
    *out = items_slice(in, n, in.n);
    return true;
}

bool path_take(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    uint32_t n;
    if (!number_of_items(run, call, &n))
        return false;
    *out = items_slice(in, 0, n);
    return true;
}

/* ---- sets */

static bool add_each(struct path_run *run, struct path_set *set, struct items in, bool *ret_all_new)
{
    *ret_all_new = true;
    for (uint32_t i = 0; i < in.n; i++) {
        bool is_new;
        if (!path_set_add(run, set, &in.at[i], &is_new))
            return false;
        *ret_all_new &= is_new;
    }
    return true;
}

static bool make_set(struct path_run *run, struct items in, struct path_set *ret, bool *ret_all_new)
{
    return path_set_begin(run, ret, in.n) && add_each(run, ret, in, ret_all_new);
}

bool path_distinct(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct path_set set;
    bool all_new;
    if (!make_set(run, in, &set, &all_new))
        return false;
    *out = set.items;
    return true;
}

bool path_is_distinct(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct path_set set;
    bool all_new;
    return make_set(run, in, &set, &all_new) && items_add_boolean(run, out, all_new);
}

/* Adds the items of in that are (or are not) in the set. */
static bool pick(struct path_run *run, const struct path_set *set, struct items in, bool wanted,
                 struct items *out)
{
    bool has;
    for (uint32_t i = 0; i < in.n; i++) {
        if (!path_set_has(run, set, &in.at[i], &has) || (has == wanted && !items_add(run, out, in.at[i])))
            return false;
    }
    return true;
}

/* The argument as a set. */
static bool argument_set(struct path_run *run, const struct path_node *call, struct items *ret,
                         struct path_set *set)
{
    bool all_new;
    return path_eval_argument(run, call, 0, ret) && make_set(run, *ret, set, &all_new);
}

bool path_intersect(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct items other = {0}, found = {0};
    struct path_set set;
    return argument_set(run, call, &other, &set) && pick(run, &set, in, true, &found) &&
           path_distinct(run, call, found, out);
}

bool path_exclude(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct items other = {0};
    struct path_set set;
    return argument_set(run, call, &other, &set) && pick(run, &set, in, false, out);
}

bool path_union(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct items all = {0};
    return path_combine(run, call, in, &all) && path_distinct(run, call, all, out);
}

bool path_combine(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct items other = {0};
    return path_eval_argument(run, call, 0, &other) && items_add_all(run, out, in) &&
           items_add_all(run, out, other);
}

bool path_subset_of(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct items other = {0}, missing = {0};
    struct path_set set;
    return argument_set(run, call, &other, &set) && pick(run, &set, in, false, &missing) &&
           items_add_boolean(run, out, missing.n == 0);
}

bool path_superset_of(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct items other = {0}, missing = {0};
    struct path_set set;
    bool all_new;
    return path_eval_argument(run, call, 0, &other) && make_set(run, in, &set, &all_new) &&
           pick(run, &set, other, false, &missing) && items_add_boolean(run, out, missing.n == 0);
}

/* ---- control */

/* Its arguments are about the collection it is called on. */
bool path_iif(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct items condition = {0};
    enum path_truth truth;
    if (in.n > 1)
        return path_fail(run, "iif() is called on more than one item");
    if (!path_eval_on(run, call->right, in, run->index, &condition) || !items_truth(run, condition, &truth))
        return false;
    if (condition.n && fhir_item_value(condition.at[0], run->arena).kind != FHIR_ITEM_BOOLEAN)
        return path_fail(run, "the condition of iif() is no boolean");
    if (truth != PATH_YES && call->arguments < 3)
        return true;
    return path_eval_on(run, path_argument(run, call, truth == PATH_YES ? 1 : 2), in, run->index, out);
}

bool path_aggregate(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct items total = {0}, before = run->total;
    bool is_fine = call->arguments < 2 || path_eval_argument(run, call, 1, &total);
    for (uint32_t i = 0; i < in.n && is_fine; i++) {
        struct items result = {0};
        run->total = total;
        is_fine = path_eval_on(run, call->right, items_slice(in, i, 1), i, &result);
        total = result;
    }
    run->total = before;
    *out = items_slice(total, 0, total.n);
    return is_fine;
}

/* Nobody listens, but what it is asked to show is still evaluated: an error in it is one. */
bool path_trace(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct items shown = {0};
    *out = in;
    return call->arguments < 2 || path_eval_on(run, path_argument(run, call, 1), in, 0, &shown);
}
