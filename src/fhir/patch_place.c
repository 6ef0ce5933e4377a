#include "fhir/patch_place.h"

/* ---- where a node stands */

/* The type whose elements the members of an object are. */
static const struct fhir_type *object_type(const struct patch_doc *d, uint32_t object,
                                           const struct fhir_element *element)
{
    const struct fhir_type *type = fhir_element_type(element);
    struct fhir_value resource;
    if (fhir_type_primitive(type) != FHIR_NO_PRIMITIVE)
        return fhir_type_find(STR("Element"));
    if (fhir_type_kind(type) != FHIR_RESOURCE)
        return type;
    return fhir_value_of_resource(&d->tape, object, &resource) ? resource.type : NULL;
}

/* The child of a container whose subtree has the node: of an object its key. JSON_NONE: none has. */
static uint32_t child_with(const struct json_tape *t, uint32_t container, uint32_t node, uint32_t *ret_index)
{
    uint32_t child = json_first(t, container);
    for (*ret_index = 0; *ret_index < json_count(t, container); ++*ret_index) {
        uint32_t next = patch_step(t, container, child);
        if (node < next)
            return child;
        child = next;
    }
    return JSON_NONE;
}

static bool find_element(const struct patch_doc *d, uint32_t key, struct patch_place *place)
{
    struct str name = json_text(&d->tape, key);
    if (name.n > 1 && name.p[0] == '_')
        name = str_skip(name, 1);
    place->element = place->type ? fhir_element_find(place->type, name) : NULL;
    return place->element;
}

bool patch_find_place(const struct patch_doc *d, uint32_t node, struct patch_place *ret)
{
    const struct json_tape *t = &d->tape;
    struct fhir_value resource;
    struct patch_place place = {.object = JSON_NONE};
    if (node == 0 || !fhir_value_of_resource(t, 0, &resource)) {
        *ret = place;
        return node == 0;
    }
    place.type = resource.type;
    for (uint32_t at = 0, ignored;;) { /* at: an object around the node */
        place.object = at;
        uint32_t key = child_with(t, at, node, &ignored);
        if (key == JSON_NONE || key == node || !find_element(d, key, &place))
            return false;
        at = key + 1;
        place.index = 0;
        if (at != node && json_type(t, at) == JSON_ARRAY)
            at = child_with(t, at, node, &place.index);
        if (at == node) {
            *ret = place;
            return true;
        }
        if (at == JSON_NONE || json_type(t, at) != JSON_OBJECT)
            return false;
        place.type = object_type(d, at, place.element);
    }
}

/* ---- values */

static struct str companion_name(struct patch_doc *d, const struct patch_place *place)
{
    return arena_printf(d->arena, "_%.*s", STR_ARG(fhir_element_name(place->element)));
}

static bool is_primitive(const struct patch_place *place)
{
    return fhir_type_primitive(fhir_element_type(place->element)) != FHIR_NO_PRIMITIVE;
}

/* A JSON value as text; of null none. */
static struct str source(const struct patch_doc *d, uint32_t node)
{
    return json_type(&d->tape, node) == JSON_NULL ? STR_NONE : json_source(&d->tape, node);
}

static uint32_t count_of(const struct patch_doc *d, uint32_t node)
{
    if (node == JSON_NONE)
        return 0;
    return json_type(&d->tape, node) == JSON_ARRAY ? json_count(&d->tape, node) : 1;
}

static void load_side(const struct patch_doc *d, uint32_t node, bool is_companion, struct patch_items *items)
{
    uint32_t count = count_of(d, node);
    bool is_list = count && json_type(&d->tape, node) == JSON_ARRAY;
    uint32_t at = is_list ? json_first(&d->tape, node) : node;
    for (uint32_t i = 0; i < count; i++) {
        *(is_companion ? &items->at[i].companion : &items->at[i].value) = source(d, at);
        at = is_list ? json_next(&d->tape, at) : at;
    }
}

bool patch_load(struct patch_doc *d, const struct patch_place *place, struct patch_items *ret)
{
    uint32_t value = fhir_member(&d->tape, place->object, fhir_element_name(place->element));
    uint32_t companion =
        is_primitive(place) ? fhir_member(&d->tape, place->object, companion_name(d, place)) : JSON_NONE;
    uint32_t values = count_of(d, value), companions = count_of(d, companion);
    ret->n = values > companions ? values : companions;
    ret->room = ret->n + 1;
    ret->at = patch_work(d, ret->room) ? arena_alloc(d->arena, ret->room * sizeof *ret->at) : NULL;
    if (!ret->at)
        return false;
    load_side(d, value, false, ret);
    load_side(d, companion, true, ret);
    return true;
}

/* The member's new text; p NULL: there is none any more. */
static bool write_side(struct patch_doc *d, const struct patch_place *place, const struct patch_items *items,
                       bool is_companion, struct str *ret)
{
    bool is_list = fhir_element_most(place->element) != 1;
    size_t room = 2;
    unsigned there = 0;
    for (uint32_t i = 0; i < items->n; i++) {
        struct str text = is_companion ? items->at[i].companion : items->at[i].value;
        room += text.n + 6;
        there += text.p != NULL;
    }
    *ret = STR_NONE;
    if (!there)
        return true;
    char *memory = room <= d->bytes_max * 8 ? arena_bytes(d->arena, room) : NULL;
    struct buf out = buf_over(memory, memory ? room : 0);
    buf_str(&out, is_list ? STR("[") : STR(""));
    for (uint32_t i = 0; i < items->n; i++) {
        struct str text = is_companion ? items->at[i].companion : items->at[i].value;
        buf_str(&out, i ? STR(",") : STR(""));
        buf_str(&out, text.p ? text : STR("null"));
    }
    buf_str(&out, is_list ? STR("]") : STR(""));
    *ret = buf_text(&out);
    return !buf_overflowed(&out);
}

/* Sets, adds or (p NULL) removes a member. */
static enum fhir_patch_result set_member(struct patch_doc *d, uint32_t object, struct str name,
                                         struct str json)
{
    uint32_t value = fhir_member(&d->tape, object, name);
    if (value == JSON_NONE)
        return json.p ? patch_add_member(d, object, name, json) : FHIR_PATCH_FINE;
    return json.p ? patch_replace(d, value, json) : patch_remove(d, object, value - 1);
}

/* An object that has become empty stands for nothing: it goes, and so on outwards. */
static enum fhir_patch_result prune(struct patch_doc *d, uint32_t object)
{
    struct patch_place place;
    struct patch_items items;
    if (object == 0 || json_count(&d->tape, object) || !patch_find_place(d, object, &place))
        return FHIR_PATCH_FINE;
    if (!patch_load(d, &place, &items))
        return patch_too_much(d);
    bool is_companion = is_primitive(&place);
    *(is_companion ? &items.at[place.index].companion : &items.at[place.index].value) = STR_NONE;
    if (!items.at[place.index].value.p && !items.at[place.index].companion.p) {
        for (uint32_t i = place.index; i + 1 < items.n; i++)
            items.at[i] = items.at[i + 1];
        items.n--;
    }
    return patch_store(d, &place, &items);
}

/* A cut behind an object's beginning leaves the object's number as it was; one of two cuts inside it too. */
enum fhir_patch_result patch_store(struct patch_doc *d, const struct patch_place *place,
                                   const struct patch_items *items)
{
    struct str values, companions;
    if (!write_side(d, place, items, false, &values) || !write_side(d, place, items, true, &companions))
        return patch_too_much(d);
    enum fhir_patch_result result = set_member(d, place->object, fhir_element_name(place->element), values);
    if (result == FHIR_PATCH_FINE && is_primitive(place))
        result = set_member(d, place->object, companion_name(d, place), companions);
    return result == FHIR_PATCH_FINE ? prune(d, place->object) : result;
}
