/* Walks a resource along the tree of its type and makes rows. */
#include "fhir/search_plan.h"

enum { PAIRS_MAX = 256 };

void index_add_row(struct index_run *run, const struct fhir_search_parameter *parameter,
                   const struct fhir_index_value *values, uint32_t count)
{
    if (run->n == FHIR_INDEX_ROWS_MAX || run->is_full) {
        run->is_full = true;
        return;
    }
    if (run->n == run->room) {
        size_t room = run->room ? run->room * 2 : 32;
        struct fhir_index_row *rows = arena_alloc(run->arena, room * sizeof *rows);
        if (!rows) {
            run->is_full = true;
            return;
        }
        if (run->n)
            memcpy(rows, run->rows, run->n * sizeof *rows);
        run->rows = rows;
        run->room = room;
    }
    run->rows[run->n++] = (struct fhir_index_row){parameter, values, count};
}

/* ---- actions */

/* The values of an element, which nobody changes afterwards. */
static struct index_values element_values(struct index_run *run, enum fhir_search_type type,
                                          const struct fhir_type *target, const struct fhir_value *v)
{
    struct fhir_item item = {.kind = FHIR_ITEM_ELEMENT, .element = *v};
    for (unsigned i = 0; i < INDEX_KEPT; i++) {
        const struct index_kept *kept = &run->kept[i];
        if (kept->node == v->node && kept->node && kept->type == type && kept->target == target)
            return kept->values;
    }
    struct index_kept *kept = &run->kept[run->next_kept++ % INDEX_KEPT];
    *kept = (struct index_kept){.node = v->node, .type = (uint8_t)type, .target = target};
    index_add_values(run, type, target, &item, &kept->values);
    return kept->values;
}

static void emit(struct index_run *run, const struct plan_action *action, const struct fhir_item *item)
{
    struct index_values values = {0};
    if (item->kind == FHIR_ITEM_ELEMENT && item->element.tape == run->resource.tape)
        values = element_values(run, action->type, action->target, &item->element);
    else
        index_add_values(run, action->type, action->target, item, &values);
    for (uint32_t i = 0; i < values.n; i++)
        index_add_row(run, action->parameter, &values.at[i], 1);
}

static bool evaluate(struct index_run *run, const struct fhir_path *path, const struct fhir_value *context,
                     struct fhir_items *ret)
{
    struct fhir_path_env env = *run->env;
    env.resource = env.root_resource = run->resource;
    enum fhir_path_result result = fhir_path_eval(path, context, &env, run->arena, ret, NULL);
    run->is_full |= result == FHIR_PATH_TOO_COSTLY;
    return result == FHIR_PATH_FINE;
}

/* One row of each part's values, chosen by its number: the last part turns quickest. */
static void emit_pair(struct index_run *run, const struct plan_action *action,
                      const struct index_values *parts, uint32_t number)
{
    struct fhir_index_value *values = arena_alloc(run->arena, action->part_count * sizeof *values);
    for (unsigned i = action->part_count; values && i > 0; i--) {
        values[i - 1] = parts[i - 1].at[number % parts[i - 1].n];
        number /= parts[i - 1].n;
    }
    if (values)
        index_add_row(run, action->parameter, values, action->part_count);
    else
        run->is_full = true;
}

/* Adds those values that are the element itself, not for :text and the like. */
static void keep_values(struct index_run *run, const struct index_values *all, struct index_values *out)
{
    if (!all->n || run->is_full)
        return;
    struct fhir_index_value *at = arena_alloc(run->arena, (out->n + all->n) * sizeof *at);
    if (!at || out->n + all->n > PAIRS_MAX) {
        run->is_full = true;
        return;
    }
    if (out->n)
        memcpy(at, out->at, out->n * sizeof *at);
    out->at = at;
    for (uint32_t i = 0; i < all->n; i++) {
        if (all->at[i].role == FHIR_INDEX_VALUE)
            at[out->n++] = all->at[i];
    }
}

static void part_member(struct index_run *run, const struct plan_part *part,
                        const struct fhir_element *element, const struct fhir_value *context,
                        struct index_values *out)
{
    const struct json_tape *t = context->tape;
    struct fhir_value v = {t, fhir_element_type(element), element, JSON_NONE, JSON_NONE};
    v.node = fhir_member(t, context->node, fhir_element_name(element));
    if (v.node == JSON_NONE)
        return;
    bool is_list = json_type(t, v.node) == JSON_ARRAY;
    uint32_t left = is_list ? json_count(t, v.node) : 1;
    v.node = is_list ? json_first(t, v.node) : v.node;
    for (; left > 0 && !run->is_full; left--, v.node = json_next(t, v.node)) {
        struct index_values all = element_values(run, part->type, NULL, &v);
        keep_values(run, &all, out);
    }
}

static void part_values(struct index_run *run, const struct plan_part *part, const struct fhir_value *context,
                        struct index_values *ret)
{
    struct fhir_items items;
    for (unsigned i = 0; i < part->member_count; i++)
        part_member(run, part, part->members[i], context, ret);
    if (part->member_count || !evaluate(run, part->path, context, &items))
        return;
    for (uint32_t i = 0; i < items.n && !run->is_full; i++) {
        struct index_values all = {0};
        index_add_values(run, part->type, NULL, &items.at[i], &all);
        keep_values(run, &all, ret);
    }
}

static void emit_composite(struct index_run *run, const struct plan_action *action,
                           const struct fhir_value *context)
{
    enum { PARTS_MAX = 4 };
    struct index_values parts[PARTS_MAX] = {0};
    uint32_t pairs = 1;
    /* The last part first: it is the value, which most often is not there or of another type. */
    for (unsigned i = action->part_count < PARTS_MAX ? action->part_count : PARTS_MAX; i > 0 && pairs; i--) {
        part_values(run, &action->parts[i - 1], context, &parts[i - 1]);
        if (parts[i - 1].n > PAIRS_MAX || pairs * parts[i - 1].n > PAIRS_MAX)
            run->is_full = true;
        pairs = run->is_full ? 0 : pairs * parts[i - 1].n;
    }
    for (uint32_t i = 0; i < pairs; i++)
        emit_pair(run, action, parts, i);
}

static void emit_evaluated(struct index_run *run, const struct plan_action *action)
{
    struct fhir_items items;
    if (!evaluate(run, action->path, &run->resource, &items))
        return;
    for (uint32_t i = 0; i < items.n && !run->is_full; i++) {
        if (action->parts && items.at[i].kind == FHIR_ITEM_ELEMENT)
            emit_composite(run, action, &items.at[i].element);
        else if (!action->parts)
            emit(run, action, &items.at[i]);
    }
}

static void act(struct index_run *run, uint32_t index, const struct fhir_value *v)
{
    for (; index != PLAN_NONE && !run->is_full; index = run->indexer->actions[index].next) {
        const struct plan_action *action = &run->indexer->actions[index];
        if (action->path) {
            emit_evaluated(run, action);
        } else if (action->parts) {
            emit_composite(run, action, v);
        } else {
            struct fhir_item item = {.kind = FHIR_ITEM_ELEMENT, .element = *v};
            emit(run, action, &item);
        }
    }
}

/* ---- the walk. Its depth is that of the tree, which is as deep as the longest expression. */

static void walk(struct index_run *, uint32_t node, const struct fhir_value *);

static uint32_t find_child(const struct fhir_indexer *x, uint32_t node, const struct fhir_element *element)
{
    uint32_t child = x->nodes[node].child;
    while (child != PLAN_NONE && x->nodes[child].element != element)
        child = x->nodes[child].sibling;
    return child;
}

static void walk_member(struct index_run *run, uint32_t node, const struct fhir_element *element,
                        uint32_t value)
{
    const struct json_tape *t = run->resource.tape;
    struct fhir_value v = {t, fhir_element_type(element), element, value, JSON_NONE};
    if (json_type(t, value) != JSON_ARRAY) {
        walk(run, node, &v);
        return;
    }
    v.node = json_first(t, value);
    for (uint32_t left = json_count(t, value); left > 0 && !run->is_full;
         left--, v.node = json_next(t, v.node))
        walk(run, node, &v);
}

static void walk_members(struct index_run *run, uint32_t node, const struct fhir_value *v)
{
    const struct json_tape *t = v->tape;
    uint32_t key = json_first(t, v->node);
    for (uint32_t left = json_count(t, v->node); left > 0 && !run->is_full;
         left--, key = json_next_member(t, key)) {
        const struct fhir_element *element =
            t->nodes[key].has_escapes ? NULL : fhir_element_find(v->type, json_text(t, key));
        uint32_t child = element ? find_child(run->indexer, node, element) : PLAN_NONE;
        if (child != PLAN_NONE)
            walk_member(run, child, element, key + 1);
    }
}

static void walk(struct index_run *run, uint32_t node, const struct fhir_value *v)
{
    const struct plan_node *plan = &run->indexer->nodes[node];
    if (json_type(v->tape, v->node) == JSON_NULL)
        return;
    act(run, plan->action, v);
    if (plan->child != PLAN_NONE && json_type(v->tape, v->node) == JSON_OBJECT)
        walk_members(run, node, v);
}

enum fhir_index_result fhir_index_resource(const struct fhir_indexer *indexer,
                                           const struct fhir_value *resource, const struct fhir_path_env *env,
                                           struct arena *arena, struct fhir_index_rows *ret)
{
    struct index_run run = {.indexer = indexer, .env = env, .resource = *resource, .arena = arena};
    uint32_t root = indexer->roots[fhir_type_index(resource->type)];
    if (root != PLAN_NONE)
        walk(&run, root, resource);
    if (run.is_full || arena_overflowed(arena))
        return FHIR_INDEX_TOO_MANY;
    *ret = (struct fhir_index_rows){run.rows, run.n};
    return FHIR_INDEX_FINE;
}
