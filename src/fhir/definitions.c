/* Looks up what embed.py's tables hold. */
#include "fhir/definitions_data.h"

#include "base/must.h"

static struct str text(struct fhir_text_at at)
{
    return (struct str){fhir_text + at.at, at.n};
}

/* embed.py's name_hash. */
static uint32_t name_hash(unsigned key, struct str name)
{
    uint32_t value = (2'166'136'261U ^ key) * 16'777'619U;
    for (size_t i = 0; i < name.n; i++)
        value = (value ^ (uint8_t)name.p[i]) * 16'777'619U;
    return value ^ value >> 15;
}

/* ---- types */

const struct fhir_type *fhir_type_find(struct str name)
{
    for (uint32_t at = name_hash(0, name);; at++) {
        uint16_t index = fhir_type_slots[at & (fhir_counts.type_slots - 1)];
        if (index == FHIR_NO_INDEX)
            return NULL;
        if (str_eq(text(fhir_types[index].name), name))
            return &fhir_types[index];
    }
}

unsigned fhir_type_count(void)
{
    return fhir_counts.types;
}

const struct fhir_type *fhir_type_at(unsigned index)
{
    must(index < fhir_counts.types);
    return &fhir_types[index];
}

unsigned fhir_type_index(const struct fhir_type *type)
{
    return (unsigned)(type - fhir_types);
}

struct str fhir_type_name(const struct fhir_type *type)
{
    return text(type->name);
}

enum fhir_kind fhir_type_kind(const struct fhir_type *type)
{
    return type->kind;
}

enum fhir_primitive fhir_type_primitive(const struct fhir_type *type)
{
    return type->primitive;
}

const struct fhir_type *fhir_type_base(const struct fhir_type *type)
{
    return type->base == FHIR_NO_INDEX ? NULL : &fhir_types[type->base];
}

bool fhir_type_is_resource(const struct fhir_type *type)
{
    struct str name = text(type->name);
    return type->kind == FHIR_RESOURCE && !str_eq(name, STR("Resource")) &&
           !str_eq(name, STR("DomainResource"));
}

bool fhir_type_is_a(const struct fhir_type *type, const struct fhir_type *base)
{
    while (type && type != base)
        type = fhir_type_base(type);
    return type != NULL;
}

/* ---- elements */

const struct fhir_element *fhir_element_find(const struct fhir_type *type, struct str name)
{
    unsigned owner = fhir_type_index(type);
    for (uint32_t at = name_hash(owner, name);; at++) {
        uint16_t index = fhir_element_slots[at & (fhir_counts.element_slots - 1)];
        if (index == FHIR_NO_INDEX)
            return NULL;
        if (fhir_elements[index].owner == owner && str_eq(text(fhir_elements[index].name), name))
            return &fhir_elements[index];
    }
}

unsigned fhir_element_count(const struct fhir_type *type)
{
    return type->element_count;
}

const struct fhir_element *fhir_element_at(const struct fhir_type *type, unsigned index)
{
    must(index < type->element_count);
    return &fhir_elements[type->first_element + index];
}

struct str fhir_element_name(const struct fhir_element *element)
{
    return text(element->name);
}

struct str fhir_element_stem(const struct fhir_element *element)
{
    return text(element->stem);
}

const struct fhir_type *fhir_element_type(const struct fhir_element *element)
{
    return &fhir_types[element->type];
}

unsigned fhir_element_least(const struct fhir_element *element)
{
    return element->least;
}

unsigned fhir_element_most(const struct fhir_element *element)
{
    return element->most;
}

unsigned fhir_element_flags(const struct fhir_element *element)
{
    return element->flags;
}

unsigned fhir_element_index(const struct fhir_element *element)
{
    return (unsigned)(element - fhir_elements);
}

unsigned fhir_element_total(void)
{
    return fhir_counts.elements;
}

const struct fhir_element *fhir_element_find_choice(const struct fhir_type *type, struct str stem)
{
    const struct fhir_element *element = &fhir_elements[type->first_element];
    for (const struct fhir_element *end = element + type->element_count; element < end; element++) {
        if ((element->flags & FHIR_CHOICE) && str_eq(text(element->stem), stem))
            return element;
    }
    return NULL;
}

bool fhir_element_same_choice(const struct fhir_element *a, const struct fhir_element *b)
{
    return a->group == b->group;
}

unsigned fhir_element_target_count(const struct fhir_element *element)
{
    return element->target_count;
}

const struct fhir_type *fhir_element_target(const struct fhir_element *element, unsigned index)
{
    must(index < element->target_count);
    return &fhir_types[fhir_targets[element->first_target + index]];
}

/* ---- codes */

const struct fhir_value_set *fhir_element_value_set(const struct fhir_element *element)
{
    return element->value_set == FHIR_NO_INDEX ? NULL : &fhir_value_sets[element->value_set];
}

struct str fhir_value_set_url(const struct fhir_value_set *set)
{
    return text(set->url);
}

static int compare(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* The first row of the code, or where it would stand. */
static unsigned first_code(const struct fhir_value_set *set, struct str code)
{
    unsigned low = set->first, high = low + set->count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (compare(text(fhir_codes[middle].code), code) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool fhir_value_set_has(const struct fhir_value_set *set, struct str system, struct str code)
{
    unsigned low = first_code(set, code), end = set->first + set->count;
    for (; low < end && str_eq(text(fhir_codes[low].code), code); low++) {
        if (!system.p || str_eq(text(fhir_codes[low].system), system))
            return true;
    }
    return false;
}

struct str fhir_value_set_system(const struct fhir_value_set *set, struct str code)
{
    unsigned low = first_code(set, code), end = set->first + set->count;
    if (low == end || !str_eq(text(fhir_codes[low].code), code))
        return STR_NONE;
    if (low + 1 < end && str_eq(text(fhir_codes[low + 1].code), code))
        return STR_NONE;
    return text(fhir_codes[low].system);
}

/* ---- invariants */

static struct fhir_rule rule_at(unsigned index)
{
    const struct fhir_invariant *invariant = &fhir_invariants[index];
    return (struct fhir_rule){text(invariant->key), text(invariant->expression), invariant->is_error};
}

unsigned fhir_type_rule_count(const struct fhir_type *type)
{
    return type->invariant_count;
}

struct fhir_rule fhir_type_rule(const struct fhir_type *type, unsigned index)
{
    must(index < type->invariant_count);
    return rule_at(type->first_invariant + index);
}

unsigned fhir_element_rule_count(const struct fhir_element *element)
{
    return element->invariant_count;
}

struct fhir_rule fhir_element_rule(const struct fhir_element *element, unsigned index)
{
    must(index < element->invariant_count);
    return rule_at(element->first_invariant + index);
}

/* ---- search parameters */

static const struct fhir_search_parameter *own_search(const struct fhir_type *type, struct str code)
{
    unsigned owner = fhir_type_index(type);
    for (uint32_t at = name_hash(owner, code);; at++) {
        uint16_t index = fhir_search_slots[at & (fhir_counts.search_slots - 1)];
        if (index == FHIR_NO_INDEX)
            return NULL;
        const struct fhir_search_base *base = &fhir_search_bases[index];
        if (base->type == owner && str_eq(text(fhir_search_parameters[base->parameter].code), code))
            return &fhir_search_parameters[base->parameter];
    }
}

const struct fhir_search_parameter *fhir_search_find(const struct fhir_type *type, struct str code)
{
    for (; type; type = fhir_type_base(type)) {
        const struct fhir_search_parameter *found = own_search(type, code);
        if (found)
            return found;
    }
    return NULL;
}

/* The first row of a type in fhir_search_bases, which is sorted by type. */
static unsigned first_base(unsigned type)
{
    unsigned low = 0, high = fhir_counts.search_bases;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (fhir_search_bases[middle].type < type)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

unsigned fhir_search_count(const struct fhir_type *type)
{
    unsigned index = fhir_type_index(type);
    return first_base(index + 1) - first_base(index);
}

const struct fhir_search_parameter *fhir_search_at(const struct fhir_type *type, unsigned index)
{
    must(index < fhir_search_count(type));
    return &fhir_search_parameters[fhir_search_bases[first_base(fhir_type_index(type)) + index].parameter];
}

struct str fhir_search_code(const struct fhir_search_parameter *parameter)
{
    return text(parameter->code);
}

enum fhir_search_type fhir_search_type(const struct fhir_search_parameter *parameter)
{
    return parameter->type;
}

struct str fhir_search_type_name(enum fhir_search_type type)
{
    static const char *const names[] = {"number",    "date",     "string", "token",  "reference",
                                        "composite", "quantity", "uri",    "special"};
    return str_of(names[type]);
}

struct str fhir_search_expression(const struct fhir_search_parameter *parameter)
{
    return text(parameter->expression);
}

unsigned fhir_search_target_count(const struct fhir_search_parameter *parameter)
{
    return parameter->target_count;
}

const struct fhir_type *fhir_search_target(const struct fhir_search_parameter *parameter, unsigned index)
{
    must(index < parameter->target_count);
    return &fhir_types[fhir_targets[parameter->first_target + index]];
}

unsigned fhir_search_component_count(const struct fhir_search_parameter *parameter)
{
    return parameter->component_count;
}

void fhir_search_component(const struct fhir_search_parameter *parameter, unsigned index,
                           struct str *ret_name, struct str *ret_expression)
{
    must(index < parameter->component_count);
    const struct fhir_search_component *component =
        &fhir_search_components[parameter->first_component + index];
    *ret_name = text(component->name);
    *ret_expression = text(component->expression);
}

/* ---- compartments */

struct str fhir_compartment_parameters(const struct fhir_type *compartment, const struct fhir_type *type)
{
    for (unsigned i = 0; i < fhir_counts.compartments; i++) {
        const struct fhir_compartment_row *row = &fhir_compartments[i];
        if (row->compartment == fhir_type_index(compartment) && row->type == fhir_type_index(type))
            return text(row->parameters);
    }
    return STR_NONE;
}
