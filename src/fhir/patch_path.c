/* FHIRPath Patch (https://hl7.org/fhir/R4/fhirpatch.html): operations in a Parameters resource. */
#include "fhir/patch_path.h"

enum { QUOTE_MAX = 100 };

struct patching {
    struct patch_doc doc;
    struct fhir_path_env env; /* its steps_max: what is left of them */
};

/* An operation's parts, as they were read. */
struct operation {
    struct str type, path, name;
    struct fhir_value value;            /* the part; type NULL: none */
    int64_t index, source, destination; /* -1: none */
    unsigned seen;                      /* bits of part_names */
};

/* What a path found: elements of the document. */
struct found {
    const struct fhir_item *at;
    uint32_t n;
};

static struct str quote(struct str text)
{
    return str_take(text, QUOTE_MAX);
}

/* The node by which an element is known: its value, or its companion alone. */
static uint32_t node_of(const struct fhir_item *item)
{
    return item->element.node != JSON_NONE ? item->element.node : item->element.companion;
}

static enum fhir_patch_result evaluate(struct patching *p, struct str path, struct found *ret)
{
    struct patch_doc *d = &p->doc;
    struct fhir_path_error error;
    struct fhir_value root;
    struct fhir_items items = {0};
    struct str problem = STR("");
    uint64_t spent = 0;
    if (!fhir_value_of_resource(&d->tape, 0, &root))
        return patch_fail(d, FHIR_PATCH_NOT_POSSIBLE, "the document is not a resource");
    const struct fhir_path *compiled = fhir_path_compile(path, 0, d->arena, &error);
    if (!compiled)
        return patch_fail(d, FHIR_PATCH_BAD, "\"%.*s\" is not FHIRPath that is supported: %.*s (at %zu)",
                          STR_ARG(quote(path)), STR_ARG(error.what), error.at);
    p->env.resource = p->env.root_resource = root;
    p->env.spent = &spent;
    enum fhir_path_result result = fhir_path_eval(compiled, &root, &p->env, d->arena, &items, &problem);
    p->env.steps_max -= spent < p->env.steps_max ? spent : p->env.steps_max;
    switch (result) {
    case FHIR_PATH_TOO_COSTLY:
        return patch_too_much(d);
    case FHIR_PATH_FAILED:
        return patch_fail(d, FHIR_PATCH_NOT_POSSIBLE, "\"%.*s\" cannot be evaluated: %.*s",
                          STR_ARG(quote(path)), STR_ARG(problem));
    default:
        break;
    }
    for (uint32_t i = 0; i < items.n; i++) {
        if (items.at[i].kind != FHIR_ITEM_ELEMENT || items.at[i].element.tape != &d->tape ||
            node_of(&items.at[i]) == JSON_NONE)
            return patch_fail(d, FHIR_PATCH_NOT_POSSIBLE,
                              "\"%.*s\" does not lead to elements of the resource", STR_ARG(quote(path)));
    }
    *ret = (struct found){items.at, items.n};
    return FHIR_PATCH_FINE;
}

static enum fhir_patch_result evaluate_one(struct patching *p, struct str path, struct found *ret)
{
    enum fhir_patch_result result = evaluate(p, path, ret);
    if (result != FHIR_PATCH_FINE || ret->n == 1)
        return result;
    (void)patch_fail(&p->doc, FHIR_PATCH_NOT_POSSIBLE, "\"%.*s\" leads to %u elements, not to one",
                     STR_ARG(quote(path)), ret->n);
    return FHIR_PATCH_NOT_POSSIBLE;
}

static enum fhir_patch_result place_of(struct patching *p, struct str path, const struct fhir_item *item,
                                       struct patch_place *ret)
{
    if (!patch_find_place(&p->doc, node_of(item), ret))
        return patch_fail(&p->doc, FHIR_PATCH_NOT_POSSIBLE, "\"%.*s\" leads to no element of FHIR R4",
                          STR_ARG(quote(path)));
    if (ret->object == JSON_NONE)
        return patch_fail(&p->doc, FHIR_PATCH_NOT_POSSIBLE, "\"%.*s\" is the resource itself",
                          STR_ARG(quote(path)));
    return FHIR_PATCH_FINE;
}

/* ---- add */

/* The object that holds an element's children: of a primitive its companion. JSON_NONE: it has none yet. */
static struct patch_place open_object(const struct patching *p, const struct fhir_item *item)
{
    const struct fhir_value *v = &item->element;
    bool is_primitive = fhir_value_primitive(v) != FHIR_NO_PRIMITIVE;
    struct patch_place place = {is_primitive ? v->companion : v->node,
                                is_primitive ? fhir_type_find(STR("Element")) : v->type, NULL, 0};
    if (place.object != JSON_NONE && json_type(&p->doc.tape, place.object) != JSON_OBJECT)
        place.object = JSON_NONE;
    return place;
}

/* A primitive without a companion gets one, with the one element in it. */
static enum fhir_patch_result add_companion(struct patching *p, const struct operation *o,
                                            const struct fhir_item *item, const struct fhir_element *element)
{
    struct patch_doc *d = &p->doc;
    struct patch_place place = {0};
    struct patch_items items;
    struct patch_item child;
    enum fhir_patch_result result = place_of(p, o->path, item, &place);
    if (result == FHIR_PATCH_FINE)
        result = patch_read_value(d, &o->value, element, &child);
    if (result != FHIR_PATCH_FINE)
        return result;
    if (!child.value.p || fhir_value_primitive(&item->element) == FHIR_NO_PRIMITIVE)
        return patch_fail(d, FHIR_PATCH_NOT_POSSIBLE, "\"%.*s\" has no children", STR_ARG(quote(o->path)));
    if (!patch_load(d, &place, &items))
        return patch_too_much(d);
    bool is_list = fhir_element_most(element) != 1;
    items.at[place.index].companion =
        arena_printf(d->arena, "{\"%.*s\":%s%.*s%s}", STR_ARG(fhir_element_name(element)), is_list ? "[" : "",
                     STR_ARG(child.value), is_list ? "]" : "");
    return items.at[place.index].companion.p ? patch_store(d, &place, &items) : patch_too_much(d);
}

static enum fhir_patch_result run_add(struct patching *p, const struct operation *o)
{
    struct patch_doc *d = &p->doc;
    struct found found = {0};
    struct patch_place place = {0};
    struct patch_items items;
    enum fhir_patch_result result = evaluate_one(p, o->path, &found);
    if (result != FHIR_PATCH_FINE)
        return result;
    place = open_object(p, found.at);
    place.element = patch_choose_element(d, place.type, o->name, &o->value);
    if (!place.element)
        return FHIR_PATCH_NOT_POSSIBLE;
    if (place.object == JSON_NONE)
        return add_companion(p, o, found.at, place.element);
    if (!patch_load(d, &place, &items))
        return patch_too_much(d);
    if (items.n && fhir_element_most(place.element) == 1)
        return patch_fail(d, FHIR_PATCH_NOT_POSSIBLE, "there is a %.*s already: replace it",
                          STR_ARG(fhir_element_name(place.element)));
    result = patch_read_value(d, &o->value, place.element, &items.at[items.n]);
    items.n++;
    return result == FHIR_PATCH_FINE ? patch_store(d, &place, &items) : result;
}

/* ---- insert, move: lists */

/* A list that is empty has no elements to be found by: what stands before the last name leads to its object.
 */
static enum fhir_patch_result empty_list(struct patching *p, const struct operation *o,
                                         struct patch_place *ret)
{
    size_t cut = o->path.n;
    struct found found = {0};
    while (cut > 0 && o->path.p[cut - 1] != '.')
        cut--;
    if (!cut)
        return patch_fail(&p->doc, FHIR_PATCH_NOT_POSSIBLE, "\"%.*s\" leads to no list",
                          STR_ARG(quote(o->path)));
    enum fhir_patch_result result = evaluate_one(p, str_take(o->path, cut - 1), &found);
    if (result != FHIR_PATCH_FINE)
        return result;
    *ret = open_object(p, found.at);
    ret->element = fhir_element_find(ret->type, str_skip(o->path, cut));
    return ret->element && ret->object != JSON_NONE
               ? FHIR_PATCH_FINE
               : patch_fail(&p->doc, FHIR_PATCH_NOT_POSSIBLE, "\"%.*s\" leads to no list",
                            STR_ARG(quote(o->path)));
}

/* The whole list that a path names. */
static enum fhir_patch_result find_list(struct patching *p, const struct operation *o,
                                        struct patch_place *place, struct patch_items *items)
{
    struct patch_doc *d = &p->doc;
    struct found found = {0};
    enum fhir_patch_result result = evaluate(p, o->path, &found);
    if (result == FHIR_PATCH_FINE)
        result = found.n ? place_of(p, o->path, found.at, place) : empty_list(p, o, place);
    if (result != FHIR_PATCH_FINE)
        return result;
    if (!patch_load(d, place, items))
        return patch_too_much(d);
    if (fhir_element_most(place->element) == 1)
        return patch_fail(d, FHIR_PATCH_NOT_POSSIBLE, "%.*s is no list",
                          STR_ARG(fhir_element_name(place->element)));
    bool is_all = items->n == found.n;
    for (uint32_t i = 1; i < found.n && is_all; i++) {
        struct patch_place other;
        is_all = patch_work(d, d->tape.count / 8) && patch_find_place(d, node_of(&found.at[i]), &other) &&
                 other.object == place->object && other.element == place->element && other.index == i;
    }
    return is_all ? FHIR_PATCH_FINE
                  : patch_fail(d, FHIR_PATCH_NOT_POSSIBLE, "\"%.*s\" is not a list as a whole",
                               STR_ARG(quote(o->path)));
}

static enum fhir_patch_result bad_index(struct patching *p, const char *name, uint32_t most)
{
    return patch_fail(&p->doc, FHIR_PATCH_NOT_POSSIBLE, "the %s has to be from 0 to %u", name, most);
}

static enum fhir_patch_result run_insert(struct patching *p, const struct operation *o)
{
    struct patch_place place = {0};
    struct patch_items items;
    struct patch_item item;
    enum fhir_patch_result result = find_list(p, o, &place, &items);
    if (result != FHIR_PATCH_FINE)
        return result;
    if (o->index < 0 || o->index > items.n)
        return bad_index(p, "index", items.n);
    result = patch_read_value(&p->doc, &o->value, place.element, &item);
    if (result != FHIR_PATCH_FINE)
        return result;
    for (uint32_t i = items.n; i > o->index; i--)
        items.at[i] = items.at[i - 1];
    items.at[o->index] = item;
    items.n++;
    return patch_store(&p->doc, &place, &items);
}

static enum fhir_patch_result run_move(struct patching *p, const struct operation *o)
{
    struct patch_place place = {0};
    struct patch_items items;
    enum fhir_patch_result result = find_list(p, o, &place, &items);
    if (result != FHIR_PATCH_FINE)
        return result;
    if (!items.n)
        return patch_fail(&p->doc, FHIR_PATCH_NOT_POSSIBLE, "the list is empty");
    if (o->source < 0 || o->source >= items.n)
        return bad_index(p, "source", items.n - 1);
    if (o->destination < 0 || o->destination >= items.n)
        return bad_index(p, "destination", items.n - 1);
    struct patch_item moved = items.at[o->source];
    int64_t step = o->source < o->destination ? 1 : -1;
    for (int64_t i = o->source; i != o->destination; i += step)
        items.at[i] = items.at[i + step];
    items.at[o->destination] = moved;
    return patch_store(&p->doc, &place, &items);
}

/* ---- delete, replace */

static enum fhir_patch_result run_delete(struct patching *p, const struct operation *o)
{
    struct found found = {0};
    struct patch_place place = {0};
    struct patch_items items;
    enum fhir_patch_result result = evaluate(p, o->path, &found);
    if (result != FHIR_PATCH_FINE || !found.n) /* "if found" */
        return result;
    if (found.n > 1)
        return patch_fail(&p->doc, FHIR_PATCH_NOT_POSSIBLE,
                          "\"%.*s\" leads to %u elements: one is deleted at once", STR_ARG(quote(o->path)),
                          found.n);
    result = place_of(p, o->path, found.at, &place);
    if (result != FHIR_PATCH_FINE)
        return result;
    if (!patch_load(&p->doc, &place, &items))
        return patch_too_much(&p->doc);
    for (uint32_t i = place.index; i + 1 < items.n; i++)
        items.at[i] = items.at[i + 1];
    items.n--;
    return patch_store(&p->doc, &place, &items);
}

/* The same element, or of its choice the one of the value's type. */
static const struct fhir_element *replacing_element(struct patching *p, const struct operation *o,
                                                    const struct patch_place *place)
{
    if (!(fhir_element_flags(place->element) & FHIR_CHOICE))
        return place->element;
    return patch_choose_element(&p->doc, place->type, fhir_element_stem(place->element), &o->value);
}

static enum fhir_patch_result run_replace(struct patching *p, const struct operation *o)
{
    struct patch_doc *d = &p->doc;
    struct found found = {0};
    struct patch_place place = {0};
    struct patch_items items;
    enum fhir_patch_result result = evaluate_one(p, o->path, &found);
    if (result == FHIR_PATCH_FINE)
        result = place_of(p, o->path, found.at, &place);
    if (result != FHIR_PATCH_FINE)
        return result;
    if (!patch_load(d, &place, &items))
        return patch_too_much(d);
    struct patch_place other = place;
    other.element = replacing_element(p, o, &place);
    if (!other.element)
        return FHIR_PATCH_NOT_POSSIBLE;
    result = patch_read_value(d, &o->value, other.element, &items.at[place.index]);
    if (result == FHIR_PATCH_FINE)
        result = patch_store(d, &other, &items);
    items.n = 0;
    return result == FHIR_PATCH_FINE && other.element != place.element ? patch_store(d, &place, &items)
                                                                       : result;
}

/* ---- reading a patch */

static const struct {
    struct str type;
    bool has_name, has_value, has_index, has_places;
    enum fhir_patch_result (*run)(struct patching *, const struct operation *);
} operations[] = {
    {STR("add"), true, true, false, false, run_add},
    {STR("insert"), false, true, true, false, run_insert},
    {STR("delete"), false, false, false, false, run_delete},
    {STR("replace"), false, true, false, false, run_replace},
    {STR("move"), false, false, false, true, run_move},
};
enum { OPERATION_COUNT = sizeof operations / sizeof *operations };

static int64_t read_integer(const struct fhir_value *value)
{
    int64_t number;
    if (value->node == JSON_NONE || !json_get_i64(value->tape, value->node, &number) || number < 0)
        return -1;
    return number;
}

/* Parts by name: which member of an operation each one is. */
static const char *const part_names[] = {"value", "type", "path", "name", "index", "source", "destination"};
enum { PART_COUNT = sizeof part_names / sizeof *part_names };

static void set_part(struct operation *o, unsigned row, const struct fhir_value *part, struct str text,
                     int64_t number)
{
    struct str *const texts[] = {&o->type, &o->path, &o->name};
    int64_t *const numbers[] = {&o->index, &o->source, &o->destination};
    if (row == 0)
        o->value = *part;
    else if (row <= 3)
        *texts[row - 1] = text;
    else
        *numbers[row - 4] = number;
}

static enum fhir_patch_result read_part(struct patching *p, const struct fhir_value *part,
                                        struct operation *o)
{
    struct str name = fhir_child_text(part, STR("name"), p->doc.arena), text = STR("");
    struct fhir_value value;
    unsigned row = 0;
    while (row < PART_COUNT && !str_eq(name, str_of(part_names[row])))
        row++;
    if (row == PART_COUNT)
        return patch_fail(&p->doc, FHIR_PATCH_BAD, "\"%.*s\" is no part of an operation",
                          STR_ARG(quote(name)));
    if (o->seen & 1u << row)
        return patch_fail(&p->doc, FHIR_PATCH_BAD, "the part \"%.*s\" stands there twice", STR_ARG(name));
    o->seen |= 1u << row;
    bool has_value = fhir_child(part, STR("value"), &value);
    if (row > 0 && (!has_value || fhir_value_primitive(&value) == FHIR_NO_PRIMITIVE))
        return patch_fail(&p->doc, FHIR_PATCH_BAD, "the part \"%.*s\" has no plain value", STR_ARG(name));
    if (row > 0)
        text = fhir_value_text(&value, p->doc.arena);
    set_part(o, row, part, text, row > 3 ? read_integer(&value) : -1);
    return FHIR_PATCH_FINE;
}

static enum fhir_patch_result check(struct patching *p, const struct operation *o, unsigned row)
{
    const char *missing = !o->path.n                                    ? "path"
                          : operations[row].has_name && !o->name.n      ? "name"
                          : operations[row].has_value && !o->value.type ? "value"
                          : operations[row].has_index && o->index < 0   ? "index"
                          : operations[row].has_places && (o->source < 0 || o->destination < 0)
                              ? "source or destination"
                              : NULL;
    if (missing)
        return patch_fail(&p->doc, FHIR_PATCH_BAD, "%.*s without %s", STR_ARG(operations[row].type), missing);
    return FHIR_PATCH_FINE;
}

static enum fhir_patch_result run_operation(struct patching *p, const struct fhir_value *parameter)
{
    struct operation o = {.index = -1, .source = -1, .destination = -1};
    struct fhir_children parts = fhir_children_named(parameter, STR("part"));
    struct fhir_value part;
    unsigned row = 0;
    if (!str_eq(fhir_child_text(parameter, STR("name"), p->doc.arena), STR("operation")))
        return patch_fail(&p->doc, FHIR_PATCH_BAD, "each parameter of a patch is called \"operation\"");
    while (fhir_children_next(&parts, &part)) {
        enum fhir_patch_result result = read_part(p, &part, &o);
        if (result != FHIR_PATCH_FINE)
            return result;
    }
    while (row < OPERATION_COUNT && !str_eq(o.type, operations[row].type))
        row++;
    if (row == OPERATION_COUNT)
        return patch_fail(&p->doc, FHIR_PATCH_BAD,
                          "\"%.*s\" is no operation: add, insert, delete, replace and move are",
                          STR_ARG(quote(o.type)));
    enum fhir_patch_result result = check(p, &o, row);
    return result == FHIR_PATCH_FINE ? operations[row].run(p, &o) : result;
}

enum fhir_patch_result fhir_path_patch(const struct json_tape *document, const struct fhir_value *patch,
                                       const struct fhir_path_env *env, size_t bytes_max,
                                       struct arena *scratch, struct str *ret,
                                       struct fhir_patch_error *ret_error)
{
    struct patching p = {.env = *env};
    struct fhir_children parameters = fhir_children_named(patch, STR("parameter"));
    struct fhir_value parameter;
    p.env.resolve = NULL;
    if (!patch_doc_init(&p.doc, document, bytes_max, scratch, ret_error))
        return patch_too_much(&p.doc);
    if (!str_eq(fhir_type_name(patch->type), STR("Parameters")))
        return patch_fail(&p.doc, FHIR_PATCH_BAD, "a FHIRPath Patch is a Parameters resource");
    while (fhir_children_next(&parameters, &parameter)) {
        if (ret_error->operation == FHIR_PATCH_OPERATIONS_MAX)
            return patch_fail(&p.doc, FHIR_PATCH_TOO_MUCH, "more than %d operations",
                              FHIR_PATCH_OPERATIONS_MAX);
        enum fhir_patch_result result = run_operation(&p, &parameter);
        if (result != FHIR_PATCH_FINE)
            return result;
        if (arena_overflowed(scratch))
            return patch_too_much(&p.doc);
        ret_error->operation++;
    }
    *ret = p.doc.tape.text;
    return FHIR_PATCH_FINE;
}
