/* The value of an operation of FHIRPath Patch, as the JSON of an element of the document. */
#include "fhir/patch_path.h"

#include "fhir/primitive.h"
#include "json/writer.h"

static struct str source(const struct json_tape *t, uint32_t node)
{
    return node == JSON_NONE || json_type(t, node) == JSON_NULL ? STR_NONE : json_source(t, node);
}

/* ---- types */

/* One primitive may stand for another when it is written the same way and reads as one. */
static bool fits_primitive(struct patch_doc *d, const struct fhir_value *v, const struct fhir_type *type)
{
    enum fhir_primitive wanted = fhir_type_primitive(type);
    if (v->node == JSON_NONE)
        return true;
    bool is_same_kind = fhir_primitive_json_type(wanted) == fhir_primitive_json_type(fhir_value_primitive(v));
    return is_same_kind && fhir_primitive_is_valid(wanted, json_string(v->tape, v->node, d->arena));
}

static bool fits(struct patch_doc *d, const struct fhir_value *v, const struct fhir_type *type)
{
    if (fhir_type_primitive(type) != FHIR_NO_PRIMITIVE && fhir_value_primitive(v) != FHIR_NO_PRIMITIVE)
        return v->type == type || fits_primitive(d, v, type);
    return fhir_type_is_a(v->type, type) || fhir_type_is_a(type, v->type);
}

/* The element of that name, or of a choice the one whose type is the value's. */
static const struct fhir_element *choose(const struct fhir_type *owner, struct str name,
                                         const struct fhir_type *value)
{
    const struct fhir_element *first = fhir_element_find(owner, name);
    if (first)
        return first;
    first = fhir_element_find_choice(owner, name);
    for (unsigned i = 0; first && value && i < fhir_element_count(owner); i++) {
        const struct fhir_element *element = fhir_element_at(owner, i);
        if (fhir_element_same_choice(element, first) && fhir_element_type(element) == value)
            return element;
    }
    return NULL;
}

/* ---- the value of a part */

static bool find_value(const struct fhir_value *part, struct fhir_value *ret)
{
    return fhir_child(part, STR("value"), ret) || fhir_child(part, STR("resource"), ret);
}

const struct fhir_element *patch_choose_element(struct patch_doc *d, const struct fhir_type *owner,
                                                struct str name, const struct fhir_value *part)
{
    struct fhir_value value;
    const struct fhir_element *element = choose(owner, name, find_value(part, &value) ? value.type : NULL);
    if (!element)
        (void)patch_fail(d, FHIR_PATCH_NOT_POSSIBLE,
                         "%.*s has no element \"%.*s\" that such a value could be",
                         STR_ARG(fhir_type_name(owner)), STR_ARG(str_take(name, 60)));
    return element;
}

static enum fhir_patch_result write_parts(struct patch_doc *, const struct fhir_value *part,
                                          const struct fhir_type *, struct json_writer *);

/* An object made of parts, for types that have no name. */
static enum fhir_patch_result build_object(struct patch_doc *d, const struct fhir_value *part,
                                           const struct fhir_type *type, struct patch_item *ret)
{
    size_t room = 6 * (size_t)part->tape->nodes[part->node].length + 16;
    char *memory = patch_work(d, room) ? arena_bytes(d->arena, room) : NULL;
    struct buf out = buf_over(memory, memory ? room : 0);
    struct json_writer w = json_writer_over(&out);
    json_object_begin(&w);
    enum fhir_patch_result result = write_parts(d, part, type, &w);
    json_object_end(&w);
    *ret = (struct patch_item){.value = buf_text(&out)};
    return result == FHIR_PATCH_FINE && buf_overflowed(&out) ? patch_too_much(d) : result;
}

enum fhir_patch_result patch_read_value(struct patch_doc *d, const struct fhir_value *part,
                                        const struct fhir_element *element, struct patch_item *ret)
{
    struct fhir_value value;
    const struct fhir_type *type = fhir_element_type(element);
    if (!find_value(part, &value)) {
        bool is_built = fhir_type_kind(type) == FHIR_BACKBONE || fhir_type_kind(type) == FHIR_COMPLEX;
        if (is_built && fhir_child(part, STR("part"), &value))
            return build_object(d, part, type, ret);
        return patch_fail(d, FHIR_PATCH_BAD, "a part without a value");
    }
    if (!fits(d, &value, type))
        return patch_fail(d, FHIR_PATCH_NOT_POSSIBLE, "a %.*s cannot stand for %.*s, which is a %.*s",
                          STR_ARG(fhir_type_name(value.type)), STR_ARG(fhir_element_name(element)),
                          STR_ARG(fhir_type_name(type)));
    *ret = (struct patch_item){source(value.tape, value.node), source(value.tape, value.companion)};
    return FHIR_PATCH_FINE;
}

/* ---- objects from parts */

static void write_side(struct json_writer *w, const struct patch_items *items, bool is_list,
                       bool is_companion)
{
    if (is_list)
        json_array_begin(w);
    for (uint32_t i = 0; i < items->n; i++) {
        struct str text = is_companion ? items->at[i].companion : items->at[i].value;
        json_raw(w, text.p ? text : STR("null"));
    }
    if (is_list)
        json_array_end(w);
}

static enum fhir_patch_result write_member(struct patch_doc *d, const struct fhir_element *element,
                                           const struct patch_items *items, struct json_writer *w)
{
    bool is_list = fhir_element_most(element) != 1, has_values = false, has_companions = false;
    if (items->n > 1 && !is_list)
        return patch_fail(d, FHIR_PATCH_BAD, "two parts for one %.*s", STR_ARG(fhir_element_name(element)));
    for (uint32_t i = 0; i < items->n; i++) {
        has_values |= items->at[i].value.p != NULL;
        has_companions |= items->at[i].companion.p != NULL;
    }
    if (has_values) {
        json_key(w, fhir_element_name(element));
        write_side(w, items, is_list, false);
    }
    if (has_companions) {
        json_key(w, arena_printf(d->arena, "_%.*s", STR_ARG(fhir_element_name(element))));
        write_side(w, items, is_list, true);
    }
    return FHIR_PATCH_FINE;
}

/* A part of a value that is made of parts, with what it becomes. */
struct made {
    const struct fhir_element *element;
    struct patch_item item;
};

static enum fhir_patch_result make_parts(struct patch_doc *d, const struct fhir_value *whole,
                                         const struct fhir_type *type, struct made *made, uint32_t n)
{
    struct fhir_children parts = fhir_children_named(whole, STR("part"));
    struct fhir_value part;
    for (uint32_t i = 0; i < n && fhir_children_next(&parts, &part); i++) {
        made[i].element = patch_choose_element(d, type, fhir_child_text(&part, STR("name"), d->arena), &part);
        if (!made[i].element)
            return FHIR_PATCH_NOT_POSSIBLE;
        enum fhir_patch_result result = patch_read_value(d, &part, made[i].element, &made[i].item);
        if (result != FHIR_PATCH_FINE)
            return result;
    }
    return FHIR_PATCH_FINE;
}

/* All that are of the same element as the i-th, which stands for none afterwards, as they do. */
static void take_same(struct made *made, uint32_t i, uint32_t n, struct patch_items *ret)
{
    const struct fhir_element *element = made[i].element;
    ret->n = 0;
    for (uint32_t j = i; j < n && element; j++) {
        if (made[j].element != element)
            continue;
        ret->at[ret->n++] = made[j].item;
        made[j].element = NULL;
    }
}

static enum fhir_patch_result write_parts(struct patch_doc *d, const struct fhir_value *whole,
                                          const struct fhir_type *type, struct json_writer *w)
{
    struct fhir_children parts = fhir_children_named(whole, STR("part"));
    struct fhir_value part;
    uint32_t n = 0;
    while (fhir_children_next(&parts, &part))
        n++;
    struct made *made = arena_alloc(d->arena, n * sizeof *made);
    struct patch_items items = {arena_alloc(d->arena, n * sizeof *items.at), 0, n};
    if (!made || !items.at || !patch_work(d, (uint64_t)n * n))
        return patch_too_much(d);
    enum fhir_patch_result result = make_parts(d, whole, type, made, n);
    for (uint32_t i = 0; i < n && result == FHIR_PATCH_FINE; i++) {
        const struct fhir_element *element = made[i].element;
        take_same(made, i, n, &items);
        if (items.n)
            result = write_member(d, element, &items, w);
    }
    return result;
}
