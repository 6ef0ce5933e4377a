/* The run of a compiled expression: steps are counted, depth is that of the nodes, and everything made lies
 * in the run's arena. */
#include "fhir/path_internal.h"

bool path_fail(struct path_run *run, const char *problem)
{
    if (run->result == FHIR_PATH_FINE)
        run->result = FHIR_PATH_FAILED;
    if (!run->problem.n)
        run->problem = str_of(problem);
    return false;
}

bool path_spend(struct path_run *run, uint64_t steps)
{
    run->steps += steps;
    if (run->steps <= run->env->steps_max)
        return true;
    run->result = FHIR_PATH_TOO_COSTLY;
    return path_fail(run, "the evaluation takes too many steps");
}

/* ---- elements */

static struct fhir_item element_item(struct fhir_value v)
{
    return (struct fhir_item){.kind = FHIR_ITEM_ELEMENT, .element = v};
}

/* Looking for a name costs as much as there are members. */
static bool spend_members(struct path_run *run, const struct fhir_value *v)
{
    if (v->node == JSON_NONE || json_type(v->tape, v->node) != JSON_OBJECT)
        return path_spend(run, 1);
    return path_spend(run, 1 + json_count(v->tape, v->node) / 8);
}

bool path_members(struct path_run *run, struct items in, struct str name, struct items *out)
{
    struct fhir_value child;
    for (uint32_t i = 0; i < in.n; i++) {
        const struct fhir_item *item = &in.at[i];
        if (item->kind != FHIR_ITEM_ELEMENT || !item->element.tape)
            continue;
        if (!spend_members(run, &item->element))
            return false;
        struct fhir_children children = fhir_children_named(&item->element, name);
        while (fhir_children_next(&children, &child)) {
            if (!items_add(run, out, element_item(child)))
                return false;
        }
    }
    return true;
}

bool path_children(struct path_run *run, const struct fhir_item *item, struct items *out)
{
    struct fhir_value child;
    if (item->kind != FHIR_ITEM_ELEMENT || !item->element.tape)
        return true;
    struct fhir_children children = fhir_children_all(&item->element);
    while (fhir_children_next(&children, &child)) {
        /* The companion of a name was looked for among all names. */
        if (!path_spend(run, json_count(child.tape, children.object) / 8) ||
            !items_add(run, out, element_item(child)))
            return false;
    }
    return true;
}

static bool is_system_type(const struct fhir_item *item, const struct path_type *type)
{
    if (item->kind == FHIR_ITEM_ELEMENT || type->system != (int)item->kind)
        return false;
    return item->kind != FHIR_ITEM_MOMENT || item->moment.kind == (unsigned)type->moment;
}

bool path_of_type(const struct fhir_item *item, const struct path_type *type)
{
    if (item->kind != FHIR_ITEM_ELEMENT)
        return is_system_type(item, type);
    if (!item->element.type)
        return false;
    if (type->fhir && fhir_type_is_a(item->element.type, type->fhir))
        return true;
    if (!type->is_loose || type->system < 0)
        return false;
    struct str name = fhir_type_name(item->element.type);
    static const char *const names[] = {
        [FHIR_ITEM_BOOLEAN] = "boolean", [FHIR_ITEM_INTEGER] = "integer",   [FHIR_ITEM_DECIMAL] = "decimal",
        [FHIR_ITEM_STRING] = "string",   [FHIR_ITEM_QUANTITY] = "Quantity",
    };
    static const char *const moments[] = {"date", "dateTime", "time"};
    return str_eq(name,
                  str_of(type->system == FHIR_ITEM_MOMENT ? moments[type->moment] : names[type->system]));
}

/* As as() and ofType() ask it: a code is a string, but not as a string. */
bool path_as_type_of(const struct fhir_item *item, const struct path_type *type)
{
    bool is_primitive = type->fhir && fhir_type_primitive(type->fhir) != FHIR_NO_PRIMITIVE;
    if (item->kind == FHIR_ITEM_ELEMENT && is_primitive)
        return item->element.type == type->fhir;
    return path_of_type(item, type);
}

/* A name at the beginning: of the type itself ("Patient.name"), or of an element. */
static bool eval_first_name(struct path_run *run, struct str name, struct items *ret)
{
    if (name.p[0] >= 'A' && name.p[0] <= 'Z' && run->this.n == 1 &&
        run->this.at[0].kind == FHIR_ITEM_ELEMENT) {
        const struct fhir_type *type = fhir_type_find(name);
        const struct fhir_type *own = run->this.at[0].element.type;
        if (type && own && fhir_type_is_a(own, type)) {
            *ret = run->this;
            return true;
        }
    }
    return path_members(run, run->this, name, ret);
}

static bool eval_member(struct path_run *run, const struct path_node *node, struct items *ret)
{
    struct items left = {0};
    if (!node->name.n)
        return true;
    if (node->left == PATH_NO_NODE)
        return eval_first_name(run, node->name, ret);
    return path_eval(run, node->left, &left) && path_members(run, left, node->name, ret);
}

/* ---- the rest of the nodes */

static bool eval_variable(struct path_run *run, struct str name, struct items *ret)
{
    if (str_eq(name, STR("context")))
        return items_add(run, ret, element_item(run->context));
    if (str_eq(name, STR("resource")))
        return items_add(run, ret, element_item(run->env->resource.type ? run->env->resource : run->context));
    if (str_eq(name, STR("rootResource")))
        return items_add(run, ret,
                         element_item(run->env->root_resource.type ? run->env->root_resource : run->context));
    for (size_t i = 0; i < run->env->variable_count; i++) {
        if (str_eq(run->env->variables[i].name, name))
            return items_add(run, ret, run->env->variables[i].value);
    }
    return path_fail(run, "a variable has no value");
}

static bool eval_at(struct path_run *run, const struct path_node *node, struct items *ret)
{
    struct items left = {0}, index = {0};
    int64_t at;
    if (!path_eval(run, node->left, &left) || !path_eval(run, node->right, &index))
        return false;
    enum path_taken taken = items_integer(run, index, &at);
    if (taken == PATH_TOOK_ONE && at >= 0 && at < left.n)
        *ret = items_slice(left, (uint32_t)at, 1);
    return taken != PATH_TOOK_FAILED;
}

static bool eval_call(struct path_run *run, const struct path_node *node, struct items *ret)
{
    struct items in = run->this;
    if (node->left != PATH_NO_NODE) {
        in = (struct items){0};
        if (!path_eval(run, node->left, &in))
            return false;
    }
    return path_functions[node->function].run(run, node, in, ret);
}

bool path_eval(struct path_run *run, uint32_t index, struct items *ret)
{
    const struct path_node *node = &run->path->nodes[index];
    if (!path_spend(run, 1))
        return false;
    switch ((enum path_op)node->op) {
    case PATH_NOTHING:
        return true;
    case PATH_CONSTANT:
        return items_add(run, ret, *node->constant);
    case PATH_THIS:
        *ret = items_slice(run->this, 0, run->this.n);
        return true;
    case PATH_INDEX:
        return items_add_integer(run, ret, run->index);
    case PATH_TOTAL:
        *ret = items_slice(run->total, 0, run->total.n);
        return true;
    case PATH_VARIABLE:
        return eval_variable(run, node->name, ret);
    case PATH_MEMBER:
        return eval_member(run, node, ret);
    case PATH_AT:
        return eval_at(run, node, ret);
    case PATH_CALL:
        return eval_call(run, node, ret);
    default:
        return path_operate(run, node, ret);
    }
}

bool path_eval_on(struct path_run *run, uint32_t node, struct items this, int64_t index, struct items *ret)
{
    struct items this_before = run->this;
    int64_t index_before = run->index;
    run->this = items_slice(this, 0, this.n);
    run->index = index;
    bool is_fine = path_eval(run, node, ret);
    run->this = this_before;
    run->index = index_before;
    return is_fine;
}

enum fhir_path_result fhir_path_eval(const struct fhir_path *path, const struct fhir_value *context,
                                     const struct fhir_path_env *env, struct arena *scratch,
                                     struct fhir_items *ret, struct str *ret_problem)
{
    struct fhir_item first = element_item(*context);
    struct path_run run = {.path = path, .env = env, .arena = scratch, .context = *context};
    struct items result = {0};
    run.this = (struct items){&first, 1, 1};
    bool is_fine = path_eval(&run, path->root, &result);
    if (env->spent)
        *env->spent += run.steps;
    if (!is_fine) {
        if (arena_overflowed(scratch))
            run.result = FHIR_PATH_TOO_COSTLY;
        if (ret_problem)
            *ret_problem = run.problem;
        return run.result;
    }
    if (arena_overflowed(scratch))
        return FHIR_PATH_TOO_COSTLY;
    if (result.at == &first) { /* it must outlive this frame */
        struct items copy = {0};
        if (!items_add(&run, &copy, first))
            return run.result;
        result = copy;
    }
    *ret = (struct fhir_items){result.at, result.n};
    return FHIR_PATH_FINE;
}

enum fhir_verdict fhir_path_check(const struct fhir_path *path, const struct fhir_value *context,
                                  const struct fhir_path_env *env, struct arena *scratch)
{
    struct fhir_items items;
    enum fhir_path_result result = fhir_path_eval(path, context, env, scratch, &items, NULL);
    if (result == FHIR_PATH_TOO_COSTLY)
        return FHIR_COSTS_TOO_MUCH;
    if (result != FHIR_PATH_FINE || items.n > 1)
        return FHIR_CANNOT_TELL;
    struct fhir_item value = items.n ? fhir_item_value(items.at[0], scratch) : (struct fhir_item){0};
    return value.kind == FHIR_ITEM_BOOLEAN && !value.boolean ? FHIR_FAILS : FHIR_HOLDS;
}
