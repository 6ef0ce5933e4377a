/* Numbers of types and parameters: one sorted list of parameters for each resource type. */
#include "store/numbers.h"

#include <stdlib.h>

struct parameter_number {
    const struct fhir_search_parameter *parameter;
    uint8_t number;
    bool is_compartment;
};

struct type_numbers {
    const struct fhir_type *type;
    struct parameter_number *at; /* sorted by the pointer */
    unsigned n;
    uint8_t number, last; /* the highest number given to a parameter, also of what this build does not know */
    struct type_plan plan;
};

struct numbers {
    struct type_numbers *types; /* by fhir_type_index() */
    const struct fhir_type *by_number[256];
    uint8_t last;
};

/* The first of these that a type has orders its resources. It has one value at most in each of them, or is
 * treated as unknown. */
static const char *const date_codes[] = {
    "authoredon",     "authored", "authored-on", "date",       "onset-date", "effective-time", "effective",
    "whenhandedover", "sent",     "created",     "started",    "start",      "recorded",       "datewritten",
    "datetime",       "period",   "start-date",  "occurrence", "collected",  "identified",     "issued",
};

static int compare_parameters(const void *a, const void *b)
{
    const struct parameter_number *x = a, *y = b;
    return x->parameter < y->parameter ? -1 : x->parameter > y->parameter;
}

static bool has_word(struct str words, struct str word)
{
    while (words.n) {
        if (str_eq(str_cut(&words, ' '), word))
            return true;
    }
    return false;
}

/* "patient" and "subject" are not in FHIR's lists where another parameter has the same element, but all they
 * refer to of patients is. */
static bool leads_to_compartment(struct str compartment, struct str code)
{
    return has_word(compartment, code) ||
           (compartment.n && (str_eq(code, STR("patient")) || str_eq(code, STR("subject"))));
}

static const struct fhir_search_parameter *find_date(const struct fhir_type *type)
{
    for (size_t i = 0; i < sizeof date_codes / sizeof *date_codes; i++) {
        const struct fhir_search_parameter *found = fhir_search_find(type, str_of(date_codes[i]));
        if (found && fhir_search_type(found) == FHIR_SEARCH_DATE)
            return found;
    }
    return NULL;
}

static bool init_type(struct type_numbers *t, const struct fhir_type *type, struct arena *arena)
{
    struct str compartment = fhir_compartment_parameters(fhir_type_find(STR("Patient")), type);
    *t = (struct type_numbers){.type = type};
    unsigned n = 0;
    for (const struct fhir_type *owner = type; owner; owner = fhir_type_base(owner))
        n += fhir_search_count(owner);
    t->at = arena_alloc(arena, (n + 1) * sizeof *t->at);
    if (!t->at)
        return false;
    for (const struct fhir_type *owner = type; owner; owner = fhir_type_base(owner)) {
        for (unsigned i = 0; i < fhir_search_count(owner); i++) {
            const struct fhir_search_parameter *p = fhir_search_at(owner, i);
            t->at[t->n++] =
                (struct parameter_number){p, 0, leads_to_compartment(compartment, fhir_search_code(p))};
        }
    }
    qsort(t->at, t->n, sizeof *t->at, compare_parameters);
    t->plan =
        (struct type_plan){find_date(type),
                           {fhir_search_find(type, STR("patient")), fhir_search_find(type, STR("subject"))},
                           fhir_search_find(type, STR("_id")),
                           fhir_search_find(type, STR("_lastUpdated"))};
    for (unsigned i = 0; i < 2; i++) {
        if (!compartment.n)
            t->plan.whose[i] = NULL;
    }
    return true;
}

struct numbers *numbers_new(struct arena *arena)
{
    struct numbers *n = arena_alloc(arena, sizeof *n);
    struct type_numbers *types = arena_alloc(arena, fhir_type_count() * sizeof *types);
    if (!n || !types)
        return NULL;
    n->types = types;
    for (unsigned i = 0; i < fhir_type_count(); i++) {
        const struct fhir_type *type = fhir_type_at(i);
        if (fhir_type_is_resource(type) && !init_type(&types[i], type, arena))
            return NULL;
    }
    return n;
}

static struct type_numbers *of_type(const struct numbers *n, const struct fhir_type *type)
{
    return &n->types[fhir_type_index(type)];
}

static struct parameter_number *find_parameter(const struct type_numbers *t,
                                               const struct fhir_search_parameter *parameter)
{
    struct parameter_number key = {.parameter = parameter};
    return t->n ? bsearch(&key, t->at, t->n, sizeof *t->at, compare_parameters) : NULL;
}

static bool load_type(struct numbers *n, uint8_t number, const struct fhir_type *type)
{
    n->last = number > n->last ? number : n->last;
    if (!type)
        return true;
    struct type_numbers *t = of_type(n, type);
    if (t->number || n->by_number[number])
        return false;
    t->number = number;
    n->by_number[number] = type;
    return true;
}

bool numbers_load(struct numbers *n, uint32_t number, struct str name)
{
    struct str code = name, type_name = str_cut(&code, ' ');
    const struct fhir_type *type = fhir_type_find(type_name);
    uint8_t type_number = (uint8_t)(number >> 8), own = (uint8_t)number;
    if (number > UINT16_MAX || !type_number)
        return false;
    if (type && !fhir_type_is_resource(type))
        type = NULL;
    if (!own)
        return load_type(n, type_number, type);
    if (!type)
        return true;
    struct type_numbers *t = of_type(n, type);
    const struct fhir_search_parameter *parameter = fhir_search_find(type, code);
    struct parameter_number *p = parameter ? find_parameter(t, parameter) : NULL;
    t->last = own > t->last ? own : t->last;
    if (t->number != type_number || (p && p->number))
        return false;
    if (p)
        p->number = own;
    return true;
}

struct completion {
    bool (*add)(void *context, uint32_t number, struct str name);
    void *context;
};

static bool complete_parameters(struct type_numbers *t, const struct completion *c)
{
    char memory[256];
    for (unsigned i = 0; i < t->n; i++) {
        struct parameter_number *p = &t->at[i];
        if (p->number)
            continue;
        if (t->last == NUMBERS_PARAMETERS_MAX)
            return false;
        p->number = ++t->last;
        struct buf name = buf_over(memory, sizeof memory);
        buf_printf(&name, "%.*s %.*s", STR_ARG(fhir_type_name(t->type)),
                   STR_ARG(fhir_search_code(p->parameter)));
        if (buf_overflowed(&name) ||
            !c->add(c->context, (uint32_t)t->number << 8 | p->number, buf_text(&name)))
            return false;
    }
    return true;
}

bool numbers_complete(struct numbers *n, bool (*add)(void *context, uint32_t number, struct str name),
                      void *context)
{
    struct completion c = {add, context};
    for (unsigned i = 0; i < fhir_type_count(); i++) {
        struct type_numbers *t = &n->types[i];
        if (!t->type)
            continue;
        if (!t->number) {
            if (n->last == UINT8_MAX)
                return false;
            t->number = ++n->last;
            n->by_number[t->number] = t->type;
            if (!add(context, (uint32_t)t->number << 8, fhir_type_name(t->type)))
                return false;
        }
        if (!complete_parameters(t, &c))
            return false;
    }
    return true;
}

bool numbers_are_complete(const struct numbers *n)
{
    for (unsigned i = 0; i < fhir_type_count(); i++) {
        const struct type_numbers *t = &n->types[i];
        if (t->type && !t->number)
            return false;
        for (unsigned k = 0; k < t->n; k++) {
            if (!t->at[k].number)
                return false;
        }
    }
    return true;
}

uint8_t number_of_type(const struct numbers *n, const struct fhir_type *type)
{
    return of_type(n, type)->number;
}

const struct fhir_type *type_of_number(const struct numbers *n, uint8_t number)
{
    return n->by_number[number];
}

uint8_t number_of_parameter(const struct numbers *n, const struct fhir_type *type,
                            const struct fhir_search_parameter *parameter)
{
    const struct parameter_number *p = find_parameter(of_type(n, type), parameter);
    return p ? p->number : 0;
}

const struct type_plan *plan_of_type(const struct numbers *n, const struct fhir_type *type)
{
    return &of_type(n, type)->plan;
}

bool is_compartment_parameter(const struct numbers *n, const struct fhir_type *type,
                              const struct fhir_search_parameter *parameter)
{
    const struct parameter_number *p = find_parameter(of_type(n, type), parameter);
    return p && p->is_compartment;
}
