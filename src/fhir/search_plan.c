/* Compiles search parameters into trees. An expression is cut at its '|'; a part that is a chain of names,
 * with types ("as Quantity") and at the end "where(resolve() is Patient)", becomes a way through the tree of
 * its type; any other part an action at the root that is evaluated. */
#include "fhir/search_plan.h"
#include "fhir/path_internal.h"

enum { PLACES_MAX = 64, NODES_MAX = 1 << 15 };

/* Where a chain of names has come: below a node, at one element of it. */
struct place {
    uint32_t node;                      /* of the tree */
    const struct fhir_element *element; /* not in the tree yet; NULL: node itself */
    const struct fhir_type *type;
};

struct places {
    struct place at[PLACES_MAX];
    unsigned n;
};

struct planner {
    struct fhir_indexer *indexer;
    struct arena *arena;
    const struct fhir_type *type; /* the resource type */
    const struct fhir_path *path;
    uint32_t root;
    enum fhir_index_way way;
};

/* ---- the tree */

static uint32_t add_node(struct planner *p, const struct fhir_element *element)
{
    struct fhir_indexer *x = p->indexer;
    if (x->node_count == NODES_MAX)
        return PLAN_NONE;
    x->nodes[x->node_count] = (struct plan_node){element, PLAN_NONE, PLAN_NONE, PLAN_NONE};
    return x->node_count++;
}

static uint32_t child_node(struct planner *p, uint32_t parent, const struct fhir_element *element)
{
    struct fhir_indexer *x = p->indexer;
    for (uint32_t i = x->nodes[parent].child; i != PLAN_NONE; i = x->nodes[i].sibling) {
        if (x->nodes[i].element == element)
            return i;
    }
    uint32_t node = add_node(p, element);
    if (node != PLAN_NONE) {
        x->nodes[node].sibling = x->nodes[parent].child;
        x->nodes[parent].child = node;
    }
    return node;
}

static bool add_action(struct planner *p, uint32_t node, struct plan_action action)
{
    struct fhir_indexer *x = p->indexer;
    if (node == PLAN_NONE || x->action_count == NODES_MAX)
        return false;
    action.next = x->nodes[node].action;
    x->actions[x->action_count] = action;
    x->nodes[node].action = x->action_count++;
    return true;
}

static uint32_t node_of(struct planner *p, const struct place *place)
{
    if (!place->element || place->node == PLAN_NONE)
        return place->node;
    return child_node(p, place->node, place->element);
}

/* ---- chains */

static void add_place(struct places *places, uint32_t node, const struct fhir_element *element)
{
    if (places->n < PLACES_MAX)
        places->at[places->n++] = (struct place){node, element, fhir_element_type(element)};
}

/* One name further from every place: to an element, or to all that a choice has. */
static void step_name(struct planner *p, struct places *places, struct str name)
{
    struct places further = {.n = 0};
    for (unsigned i = 0; i < places->n; i++) {
        const struct fhir_type *type = places->at[i].type;
        const struct fhir_element *first = fhir_element_find(type, name);
        if (!first)
            first = fhir_element_find_choice(type, name);
        uint32_t node = first ? node_of(p, &places->at[i]) : PLAN_NONE;
        for (unsigned e = 0; first && e < fhir_element_count(type); e++) {
            if (fhir_element_same_choice(fhir_element_at(type, e), first))
                add_place(&further, node, fhir_element_at(type, e));
        }
    }
    *places = further;
}

static void step_type(struct places *places, const struct path_type *type)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < places->n; i++) {
        struct fhir_item item = {.kind = FHIR_ITEM_ELEMENT, .element.type = places->at[i].type};
        if (path_as_type_of(&item, type))
            places->at[kept++] = places->at[i];
    }
    places->n = kept;
}

/* resolve() is Patient, as the argument of where(). */
static const struct fhir_type *resolved_type(const struct planner *p, const struct path_node *where)
{
    const struct path_node *is = &p->path->nodes[where->right];
    if (path_functions[where->function].run != path_where || is->op != PATH_IS || is->left == PATH_NO_NODE)
        return NULL;
    const struct path_node *call = &p->path->nodes[is->left];
    bool is_resolve = call->op == PATH_CALL && call->left == PATH_NO_NODE &&
                      path_functions[call->function].run == path_resolve;
    return is_resolve ? is->type->fhir : NULL;
}

static bool is_type_call(const struct path_node *node)
{
    return node->op == PATH_AS ||
           (node->op == PATH_CALL && (path_functions[node->function].run == path_as_type ||
                                      path_functions[node->function].run == path_filter_type));
}

/* Walks a chain from its beginning. False: it is no chain. *ret_target: of the where() it ends in. */
static bool walk_chain(struct planner *p, uint32_t index, struct places *places,
                       const struct fhir_type **ret_target)
{
    const struct path_node *node = &p->path->nodes[index];
    if (node->op == PATH_MEMBER && node->left == PATH_NO_NODE) {
        const struct fhir_type *type = fhir_type_find(node->name);
        places->at[0] = (struct place){p->root, NULL, p->type};
        places->n = type && fhir_type_is_a(p->type, type);
        return type != NULL;
    }
    bool is_chain =
        node->op == PATH_MEMBER || is_type_call(node) || (node->op == PATH_CALL && resolved_type(p, node));
    if (!is_chain || node->left == PATH_NO_NODE || *ret_target ||
        !walk_chain(p, node->left, places, ret_target))
        return false;
    if (*ret_target) /* nothing follows where() */
        return false;
    if (node->op == PATH_MEMBER)
        step_name(p, places, node->name);
    else if (is_type_call(node))
        step_type(places, node->type);
    else
        *ret_target = resolved_type(p, node);
    return true;
}

/* ---- parameters */

/* "Observation-value-quantity", "clinical-code": the code stands behind the first '-'. */
enum fhir_search_type fhir_index_part_type(const struct fhir_type *type,
                                           const struct fhir_search_parameter *parameter, unsigned part)
{
    struct str name, expression;
    fhir_search_component(parameter, part, &name, &expression);
    (void)str_cut(&name, '-');
    const struct fhir_search_parameter *found = fhir_search_find(type, name);
    return found ? fhir_search_type(found) : FHIR_SEARCH_SPECIAL;
}

static const struct fhir_path *compile(struct str expression, struct arena *arena)
{
    struct fhir_path_error error;
    return fhir_path_compile(expression, FHIR_PATH_LOOSE_TYPES, arena, &error);
}

static bool is_as(const struct path_node *node)
{
    return node->op == PATH_AS ||
           (node->op == PATH_CALL && path_functions[node->function].run == path_as_type);
}

/* Adds the members that a part's expression names ("code", "value.as(Quantity)", unions of such) in that
 * type; false: it is something else. */
static bool add_members(const struct fhir_path *path, uint32_t index, const struct fhir_type *type,
                        struct plan_part *part)
{
    const struct path_node *node = &path->nodes[index];
    if (node->op == PATH_UNION)
        return add_members(path, node->left, type, part) && add_members(path, node->right, type, part);
    const struct path_type *as = is_as(node) ? node->type : NULL;
    const struct path_node *name = as && node->left != PATH_NO_NODE ? &path->nodes[node->left] : node;
    if (name->op != PATH_MEMBER || name->left != PATH_NO_NODE)
        return false;
    for (unsigned i = 0; i < fhir_element_count(type); i++) {
        const struct fhir_element *element = fhir_element_at(type, i);
        struct fhir_item item = {.kind = FHIR_ITEM_ELEMENT, .element.type = fhir_element_type(element)};
        if (str_eq(fhir_element_stem(element), name->name) && (!as || path_as_type_of(&item, as)) &&
            part->member_count < PLACES_MAX)
            part->members[part->member_count++] = element;
    }
    return true;
}

static void find_members(struct planner *p, const struct fhir_type *base, struct plan_part *part)
{
    part->members = arena_alloc(p->arena, PLACES_MAX * sizeof *part->members);
    if (!part->members || !add_members(part->path, part->path->root, base, part))
        part->member_count = 0;
}

/* The parts of a composite that stands at elements of type base; NULL: anywhere. */
static const struct plan_part *make_parts(struct planner *p, const struct fhir_search_parameter *parameter,
                                          const struct fhir_type *base)
{
    unsigned count = fhir_search_component_count(parameter);
    struct plan_part *parts = arena_alloc(p->arena, (count ? count : 1) * sizeof *parts);
    for (unsigned i = 0; parts && i < count; i++) {
        struct str name, expression;
        fhir_search_component(parameter, i, &name, &expression);
        parts[i] =
            (struct plan_part){fhir_index_part_type(p->type, parameter, i), compile(expression, p->arena)};
        if (!parts[i].path)
            return NULL;
        if (base)
            find_members(p, base, &parts[i]);
    }
    return parts;
}

static bool set_parts(struct planner *p, struct plan_action *action, const struct fhir_type *base)
{
    if (action->type != FHIR_SEARCH_COMPOSITE)
        return true;
    action->part_count = (uint8_t)fhir_search_component_count(action->parameter);
    action->parts = make_parts(p, action->parameter, base);
    return action->parts;
}

static bool add_evaluated(struct planner *p, uint32_t term, struct plan_action action)
{
    struct fhir_path *path = arena_alloc(p->arena, sizeof *path);
    if (!path || !set_parts(p, &action, NULL))
        return false;
    *path = (struct fhir_path){p->path->nodes, p->path->count, term};
    action.path = path;
    return add_action(p, p->root, action);
}

/* Is the expression's first name of this type? Other parts are for other types. */
static bool is_about(const struct planner *p, uint32_t index)
{
    const struct path_node *node = &p->path->nodes[index];
    while (node->left != PATH_NO_NODE)
        node = &p->path->nodes[node->left];
    const struct fhir_type *type = node->op == PATH_MEMBER ? fhir_type_find(node->name) : NULL;
    return !type || fhir_type_is_a(p->type, type);
}

static bool add_term(struct planner *p, uint32_t term, struct plan_action action)
{
    struct places places = {.n = 0};
    const struct fhir_type *target = NULL;
    if (!is_about(p, term))
        return true;
    if (p->way == FHIR_INDEX_BY_EVALUATION || !walk_chain(p, term, &places, &target))
        return add_evaluated(p, term, action);
    action.target = target;
    for (unsigned i = 0; i < places.n; i++) {
        if (!set_parts(p, &action, places.at[i].type) || !add_action(p, node_of(p, &places.at[i]), action))
            return false;
    }
    return true;
}

static bool add_terms(struct planner *p, uint32_t index, struct plan_action action)
{
    const struct path_node *node = &p->path->nodes[index];
    if (node->op == PATH_UNION)
        return add_terms(p, node->left, action) && add_terms(p, node->right, action);
    return add_term(p, index, action);
}

static bool add_parameter(struct planner *p, const struct fhir_search_parameter *parameter)
{
    struct str expression = fhir_search_expression(parameter);
    struct plan_action action = {.parameter = parameter, .type = (uint8_t)fhir_search_type(parameter)};
    if (!expression.n || action.type == FHIR_SEARCH_SPECIAL)
        return true;
    p->path = compile(expression, p->arena);
    if (!p->path)
        return false;
    return add_terms(p, p->path->root, action);
}

static bool add_type(struct planner *p, const struct fhir_type *type)
{
    p->type = type;
    p->root = p->indexer->roots[fhir_type_index(type)] = add_node(p, NULL);
    for (const struct fhir_type *of = type; of && p->root != PLAN_NONE; of = fhir_type_base(of)) {
        for (unsigned i = 0; i < fhir_search_count(of); i++) {
            if (!add_parameter(p, fhir_search_at(of, i)))
                return false;
        }
    }
    return p->root != PLAN_NONE;
}

/* ---- shapes */

static enum index_shape primitive_shape(enum fhir_primitive type)
{
    switch (type) {
    case FHIR_BOOLEAN:
        return SHAPE_BOOLEAN;
    case FHIR_DECIMAL:
    case FHIR_INTEGER:
    case FHIR_POSITIVE_INT:
    case FHIR_UNSIGNED_INT:
        return SHAPE_NUMBER;
    case FHIR_DATE:
    case FHIR_DATE_TIME:
    case FHIR_INSTANT:
        return SHAPE_MOMENT;
    default:
        return SHAPE_TEXT;
    }
}

static enum index_shape shape_of(const struct fhir_type *type)
{
    static const struct {
        const char *name;
        enum index_shape shape;
    } rows[] = {
        {"Coding", SHAPE_CODING},
        {"CodeableConcept", SHAPE_CODEABLE_CONCEPT},
        {"Identifier", SHAPE_IDENTIFIER},
        {"ContactPoint", SHAPE_CONTACT_POINT},
        {"Reference", SHAPE_REFERENCE},
        {"Period", SHAPE_PERIOD},
        {"Timing", SHAPE_TIMING},
        {"Quantity", SHAPE_QUANTITY},
        {"Money", SHAPE_MONEY},
        {"Range", SHAPE_RANGE},
        {"HumanName", SHAPE_HUMAN_NAME},
        {"Address", SHAPE_ADDRESS},
        {"SampledData", SHAPE_SAMPLED_DATA},
    };
    if (fhir_type_primitive(type) != FHIR_NO_PRIMITIVE)
        return primitive_shape(fhir_type_primitive(type));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (fhir_type_is_a(type, fhir_type_find(str_of(rows[i].name))))
            return rows[i].shape;
    }
    return SHAPE_OTHER;
}

const struct fhir_indexer *fhir_indexer_new(enum fhir_index_way way, struct arena *arena)
{
    struct fhir_indexer *x = arena_alloc(arena, sizeof *x);
    struct planner p = {.indexer = x, .arena = arena, .way = way};
    if (!x)
        return NULL;
    x->nodes = arena_alloc(arena, NODES_MAX * sizeof *x->nodes);
    x->actions = arena_alloc(arena, NODES_MAX * sizeof *x->actions);
    x->roots = arena_alloc(arena, fhir_type_count() * sizeof *x->roots);
    x->shapes = arena_alloc(arena, fhir_type_count());
    if (arena_overflowed(arena))
        return NULL;
    for (unsigned i = 0; i < fhir_type_count(); i++) {
        const struct fhir_type *type = fhir_type_at(i);
        x->roots[i] = PLAN_NONE;
        x->shapes[i] = (uint8_t)shape_of(type);
        if (fhir_type_is_resource(type) && !add_type(&p, type))
            return NULL;
    }
    return x;
}
