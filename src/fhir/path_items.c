/* Collections of FHIRPath and the table in which each value stands once. */
#include "fhir/path_internal.h"

enum { FIRST_ROOM = 4 };

static bool grow(struct path_run *run, struct items *items, uint32_t room)
{
    struct fhir_item *at = arena_alloc(run->arena, room * sizeof *at);
    if (!at) {
        run->result = FHIR_PATH_TOO_COSTLY;
        return path_fail(run, "the evaluation needs too much memory");
    }
    if (items->n)
        memcpy(at, items->at, items->n * sizeof *at);
    items->at = at;
    items->room = room;
    return true;
}

bool items_add(struct path_run *run, struct items *items, struct fhir_item item)
{
    if (!path_spend(run, 1))
        return false;
    if (items->n == items->room && !grow(run, items, items->room ? items->room * 2 : FIRST_ROOM))
        return false;
    items->at[items->n++] = item;
    return true;
}

bool items_add_all(struct path_run *run, struct items *items, struct items more)
{
    if (!items->n && !items->room) { /* slices are never written to: room is what they hold */
        *items = items_slice(more, 0, more.n);
        return true;
    }
    for (uint32_t i = 0; i < more.n; i++) {
        if (!items_add(run, items, more.at[i]))
            return false;
    }
    return true;
}

bool items_add_boolean(struct path_run *run, struct items *items, bool boolean)
{
    return items_add(run, items, (struct fhir_item){.kind = FHIR_ITEM_BOOLEAN, .boolean = boolean});
}

bool items_add_integer(struct path_run *run, struct items *items, int64_t integer)
{
    return items_add(run, items, (struct fhir_item){.kind = FHIR_ITEM_INTEGER, .integer = integer});
}

bool items_add_string(struct path_run *run, struct items *items, struct str string)
{
    return items_add(run, items, (struct fhir_item){.kind = FHIR_ITEM_STRING, .string = string});
}

bool items_add_truth(struct path_run *run, struct items *items, enum path_truth truth)
{
    return truth == PATH_UNKNOWN || items_add_boolean(run, items, truth == PATH_YES);
}

/* ---- values */

static struct fhir_item text_value(struct fhir_item item, enum fhir_primitive type, struct str text)
{
    struct fhir_item value = {.kind = FHIR_ITEM_MOMENT};
    int64_t whole;
    switch (type) {
    case FHIR_BOOLEAN:
        return (struct fhir_item){.kind = FHIR_ITEM_BOOLEAN, .boolean = str_eq(text, STR("true"))};
    case FHIR_INTEGER:
    case FHIR_POSITIVE_INT:
    case FHIR_UNSIGNED_INT:
        if (json_get_i64(item.element.tape, item.element.node, &whole))
            return (struct fhir_item){.kind = FHIR_ITEM_INTEGER, .integer = whole};
        [[fallthrough]];
    case FHIR_DECIMAL:
        value.kind = FHIR_ITEM_DECIMAL;
        return fhir_decimal_parse(text, &value.decimal) ? value : item;
    case FHIR_DATE:
    case FHIR_DATE_TIME:
    case FHIR_INSTANT:
        if (!fhir_moment_parse(text, &value.moment))
            return item;
        value.moment.kind = type == FHIR_DATE ? FHIR_MOMENT_DATE : FHIR_MOMENT_DATE_TIME;
        return value;
    case FHIR_TIME:
        return fhir_time_parse(text, &value.moment) ? value : item;
    default:
        return (struct fhir_item){.kind = FHIR_ITEM_STRING, .string = text};
    }
}

/* A Quantity with a value and nothing that changes its meaning. */
static struct fhir_item quantity_value(struct fhir_item item, struct arena *arena)
{
    const struct fhir_value *v = &item.element;
    struct fhir_decimal *value = arena_alloc(arena, sizeof *value);
    struct str unit = fhir_child_text(v, STR("code"), arena);
    if (!value || fhir_child_text(v, STR("comparator"), arena).n ||
        !fhir_decimal_parse(fhir_child_text(v, STR("value"), arena), value))
        return item;
    if (!unit.n)
        unit = fhir_child_text(v, STR("unit"), arena);
    return (struct fhir_item){.kind = FHIR_ITEM_QUANTITY, .quantity = {value, unit.n ? unit : STR("1")}};
}

static bool is_quantity(const struct fhir_type *type)
{
    const struct fhir_type *base = fhir_type_base(type);
    return str_eq(fhir_type_name(type), STR("Quantity")) ||
           (base && str_eq(fhir_type_name(base), STR("Quantity")));
}

struct fhir_item fhir_item_value(struct fhir_item item, struct arena *arena)
{
    if (item.kind != FHIR_ITEM_ELEMENT || item.element.node == JSON_NONE)
        return item;
    enum fhir_primitive type = fhir_value_primitive(&item.element);
    enum json_type json = json_type(item.element.tape, item.element.node);
    if (type != FHIR_NO_PRIMITIVE)
        return json == JSON_NULL || json >= JSON_ARRAY
                   ? item
                   : text_value(item, type, fhir_value_text(&item.element, arena));
    return item.element.type && is_quantity(item.element.type) ? quantity_value(item, arena) : item;
}

static struct str quantity_text(const struct fhir_item *item, struct arena *arena)
{
    char number[64];
    struct buf out = buf_over(number, sizeof number);
    struct str unit = item->quantity.unit;
    bool is_word =
        unit.n > 3 && unit.p[0] >= 'a' && str_find_char(unit, '/') < 0 && str_find_char(unit, '[') < 0;
    fhir_decimal_write(*item->quantity.value, &out);
    return arena_printf(arena, is_word ? "%.*s %.*s" : "%.*s '%.*s'", STR_ARG(buf_text(&out)), STR_ARG(unit));
}

struct str fhir_item_text(struct fhir_item item, struct arena *arena)
{
    char number[64];
    struct buf out = buf_over(number, sizeof number);
    if (item.kind == FHIR_ITEM_ELEMENT && fhir_value_primitive(&item.element) != FHIR_NO_PRIMITIVE)
        return fhir_value_text(&item.element, arena); /* a number keeps the digits it was written with */
    item = fhir_item_value(item, arena);
    switch (item.kind) {
    case FHIR_ITEM_ELEMENT:
        return STR("");
    case FHIR_ITEM_BOOLEAN:
        return item.boolean ? STR("true") : STR("false");
    case FHIR_ITEM_INTEGER:
        fhir_decimal_write(fhir_decimal_of(item.integer), &out);
        return arena_copy(arena, buf_text(&out));
    case FHIR_ITEM_DECIMAL:
        fhir_decimal_write(item.decimal, &out);
        return arena_copy(arena, buf_text(&out));
    case FHIR_ITEM_STRING:
        return item.string;
    case FHIR_ITEM_MOMENT:
        return fhir_moment_text(&item.moment);
    case FHIR_ITEM_QUANTITY:
        return quantity_text(&item, arena);
    }
    return STR("");
}

/* ---- singletons */

bool items_truth(struct path_run *run, struct items items, enum path_truth *ret)
{
    *ret = PATH_UNKNOWN;
    if (!items.n)
        return true;
    if (items.n > 1)
        return path_fail(run, "a condition has more than one item");
    struct fhir_item value = fhir_item_value(items.at[0], run->arena);
    *ret = truth_of(value.kind != FHIR_ITEM_BOOLEAN || value.boolean);
    return true;
}

enum path_taken items_single(struct path_run *run, struct items items, struct fhir_item *ret)
{
    if (!items.n)
        return PATH_TOOK_NONE;
    if (items.n > 1) {
        path_fail(run, "there is more than one item where only one can stand");
        return PATH_TOOK_FAILED;
    }
    *ret = fhir_item_value(items.at[0], run->arena);
    return PATH_TOOK_ONE;
}

enum path_taken items_string(struct path_run *run, struct items items, struct str *ret)
{
    struct fhir_item item;
    enum path_taken taken = items_single(run, items, &item);
    if (taken != PATH_TOOK_ONE)
        return taken;
    if (item.kind == FHIR_ITEM_ELEMENT && fhir_value_primitive(&item.element) != FHIR_NO_PRIMITIVE)
        return PATH_TOOK_NONE; /* it has no value */
    if (item.kind != FHIR_ITEM_STRING) {
        path_fail(run, "text is needed here");
        return PATH_TOOK_FAILED;
    }
    *ret = item.string;
    return PATH_TOOK_ONE;
}

enum path_taken items_integer(struct path_run *run, struct items items, int64_t *ret)
{
    struct fhir_item item;
    enum path_taken taken = items_single(run, items, &item);
    if (taken != PATH_TOOK_ONE)
        return taken;
    if (item.kind != FHIR_ITEM_INTEGER) {
        path_fail(run, "a whole number is needed here");
        return PATH_TOOK_FAILED;
    }
    *ret = item.integer;
    return PATH_TOOK_ONE;
}

/* ---- sets: open addressing, at most half full, slot 0 is none */

bool path_set_begin(struct path_run *run, struct path_set *set, uint32_t items_max)
{
    *set = (struct path_set){.size = 8};
    while (set->size < items_max * 2)
        set->size *= 2;
    set->slots = arena_alloc(run->arena, set->size * sizeof *set->slots);
    if (set->slots)
        return path_spend(run, items_max);
    run->result = FHIR_PATH_TOO_COSTLY;
    return path_fail(run, "the evaluation needs too much memory");
}

/* The slot of the item: what stands there, or where it would. */
static bool find_slot(struct path_run *run, const struct path_set *set, const struct fhir_item *item,
                      uint32_t **ret)
{
    uint64_t hash;
    if (!path_hash(run, item, &hash))
        return false;
    for (uint32_t at = (uint32_t)hash;; at++) {
        uint32_t *slot = &set->slots[at & (set->size - 1)];
        enum path_truth is_same = PATH_YES;
        if (*slot && !path_equal(run, &set->items.at[*slot - 1], item, &is_same))
            return false;
        if (is_same == PATH_YES) {
            *ret = slot;
            return true;
        }
    }
}

bool path_set_add(struct path_run *run, struct path_set *set, const struct fhir_item *item, bool *ret_is_new)
{
    uint32_t *slot;
    if (!find_slot(run, set, item, &slot))
        return false;
    *ret_is_new = !*slot;
    if (*slot)
        return true;
    if (!items_add(run, &set->items, *item))
        return false;
    *slot = set->items.n;
    return true;
}

bool path_set_has(struct path_run *run, const struct path_set *set, const struct fhir_item *item, bool *ret)
{
    uint32_t *slot;
    if (!find_slot(run, set, item, &slot))
        return false;
    *ret = *slot != 0;
    return true;
}
