/* From criteria to filters, and what a plan is limited to. */
#include "store/search.h"

enum { SCOPE_MAX = 16 };

enum store_result plan_init(struct plan *p, struct store *store, struct seer *seer,
                            const struct fhir_type *type, struct arena *arena)
{
    *p = (struct plan){.store = store,
                       .seer = seer,
                       .type = type,
                       .type_number = number_of_type(engine_numbers(store), type),
                       .arena = arena};
    return seer_prepare(seer, p);
}

/* ---- one criterion */

static enum store_result compile_ids(struct plan *p, struct filter *f)
{
    enum store_result result = STORE_FINE;
    f->kind = FILTER_SET;
    for (uint32_t i = 0; i < f->criterion->value_count && result == STORE_FINE; i++) {
        uint32_t number;
        result = engine_ident(p->store, p->type, f->criterion->values[i].is.token.code, &number);
        if (result == STORE_FINE)
            result = set_add(&f->set, number, p->arena);
        else if (result == STORE_NOT_FOUND)
            result = STORE_FINE;
    }
    set_sort(&f->set);
    return result;
}

struct gathering {
    struct set *set;
    struct arena *arena;
    enum store_result result;
};

static bool gather(void *context, uint32_t resource)
{
    struct gathering *g = context;
    g->result = set_add(g->set, resource, g->arena);
    return g->result == STORE_FINE;
}

static enum store_result compile_words(struct plan *p, struct filter *f)
{
    struct gathering g = {&f->set, p->arena, STORE_FINE};
    enum engine_words where = f->criterion->kind == FHIR_QUERY_CONTENT ? ENGINE_CONTENT : ENGINE_NARRATIVE;
    f->kind = FILTER_SET;
    for (uint32_t i = 0; i < f->criterion->value_count; i++) {
        const struct fhir_index_value *v = &f->criterion->values[i].is;
        struct str words = v->string.exact.n ? v->string.exact : v->string.folded;
        enum store_result result = engine_words(p->store, where, words, gather, &g);
        if (result != STORE_FINE || g.result != STORE_FINE)
            return result != STORE_FINE ? result : g.result;
    }
    set_sort(&f->set);
    return STORE_FINE;
}

/* The shapes of the type that have the parameter. */
static enum store_result compile_missing(struct plan *p, struct filter *f)
{
    char high[4] = {TERM_SHAPE, (char)p->type_number, (char)0xff, (char)0xff};
    struct str key;
    f->kind = FILTER_MISSING;
    f->is_negated = f->criterion->is_missing;
    enum store_result result =
        engine_walk(p->store, ENGINE_TEXTS, (struct str){high, 2}, (struct str){high, 4}, false);
    while (result == STORE_FINE && engine_next(p->store, ENGINE_TEXTS, &key)) {
        enum { NUMBER_BYTES = 5 };
        struct str list =
            key.n > 2 + NUMBER_BYTES ? (struct str){key.p + 2, key.n - 2 - NUMBER_BYTES} : STR_NONE;
        if (str_find_char(list, (char)f->parameter) >= 0)
            result = set_add(&f->set, (uint32_t)key_read(key.p + key.n - 4, 4), p->arena);
    }
    enum store_result ended = engine_walk_end(p->store, ENGINE_TEXTS);
    set_sort(&f->set);
    return result == STORE_FINE ? ended : result;
}

static enum store_result compile_parameter(struct plan *p, struct filter *f)
{
    const struct fhir_query_criterion *c = f->criterion;
    f->is_negated = c->modifier == FHIR_QUERY_NOT;
    if (!match_is_possible(c))
        return engine_fail(p->store, STORE_NOT_INDEXED,
                           "codes above, below or in a value set are not known here");
    if (c->modifier == FHIR_QUERY_MISSING)
        return compile_missing(p, f);
    switch (fhir_search_type(c->parameter)) {
    case FHIR_SEARCH_DATE:
        f->kind = FILTER_DATES;
        return STORE_FINE;
    case FHIR_SEARCH_NUMBER:
    case FHIR_SEARCH_QUANTITY:
        f->kind = FILTER_NUMBERS;
        f->needs_body = true;
        return STORE_FINE;
    case FHIR_SEARCH_SPECIAL:
        return engine_fail(p->store, STORE_NOT_INDEXED, "there is no index for places (near)");
    default:
        break;
    }
    enum store_result result = search_terms(p, f);
    if (result == STORE_FINE && f->kind == FILTER_TERMS && f->is_negated && f->needs_body)
        f->kind = FILTER_BODY;
    if (f->kind == FILTER_BODY) { /* match_rows knows the modifier itself */
        f->is_negated = false;
        f->needs_body = true;
    }
    return result;
}

static bool is_whose(const struct plan *p, const struct fhir_search_parameter *parameter)
{
    const struct type_plan *plan = plan_of_type(engine_numbers(p->store), p->type);
    return parameter == plan->whose[0] || parameter == plan->whose[1];
}

enum store_result search_compile(struct plan *p, const struct fhir_query_criterion *c, struct filter *f)
{
    *f = (struct filter){.criterion = c};
    if (c->parameter && c->kind != FHIR_QUERY_HAS) {
        f->parameter = number_of_parameter(engine_numbers(p->store), p->type, c->parameter);
        f->is_whose = is_whose(p, c->parameter);
    }
    switch (c->kind) {
    case FHIR_QUERY_PARAMETER:
        if (!f->parameter) { /* a type that has no such parameter has no value of it */
            f->kind = FILTER_NOTHING;
            f->is_negated =
                c->modifier == FHIR_QUERY_NOT || (c->modifier == FHIR_QUERY_MISSING && c->is_missing);
            return STORE_FINE;
        }
        return compile_parameter(p, f);
    case FHIR_QUERY_ID:
        if (c->modifier == FHIR_QUERY_MISSING) {
            f->kind = FILTER_NOTHING;
            f->is_negated = !c->is_missing;
            return STORE_FINE;
        }
        f->is_negated = c->modifier == FHIR_QUERY_NOT;
        return compile_ids(p, f);
    case FHIR_QUERY_UPDATED:
        f->kind = FILTER_UPDATED;
        f->is_negated = c->modifier == FHIR_QUERY_NOT;
        return STORE_FINE;
    case FHIR_QUERY_NARRATIVE:
    case FHIR_QUERY_CONTENT:
        return compile_words(p, f);
    case FHIR_QUERY_CHAIN:
        return search_chain(p, f);
    case FHIR_QUERY_HAS:
        return search_has(p, f);
    case FHIR_QUERY_ALTERNATIVES:
        return search_alternatives(p, f);
    }
    return engine_fail(p->store, STORE_NOT_INDEXED, "a kind of criterion that is not known here");
}

/* ---- the plan */

static struct filter *new_filter(struct plan *p)
{
    if (p->filter_count == FILTERS_MAX)
        return NULL;
    if (p->filter_count == p->filter_room) {
        size_t room = p->filter_room ? p->filter_room * 2 : 4;
        struct filter *filters = arena_alloc(p->arena, room * sizeof *filters);
        if (!filters)
            return NULL;
        if (p->filter_count)
            memcpy(filters, p->filters, p->filter_count * sizeof *filters);
        p->filters = filters;
        p->filter_room = room;
    }
    return &p->filters[p->filter_count++];
}

/* References to patients by a parameter of the compartment: what fits lies in the files of these patients. */
static enum store_result set_scope(struct plan *p, const struct filter *f)
{
    if (p->has_scope || f->kind != FILTER_TERMS || f->is_negated || !f->prefix_count ||
        f->prefix_count > SCOPE_MAX ||
        !is_compartment_parameter(engine_numbers(p->store), p->type, f->criterion->parameter))
        return STORE_FINE;
    uint32_t *patients = arena_alloc(p->arena, f->prefix_count * sizeof *patients);
    if (!patients)
        return STORE_NO_MEMORY;
    for (size_t i = 0; i < f->prefix_count; i++) {
        if (f->prefixes[i].p[0] != KEY_REFERENCE)
            return STORE_FINE;
        patients[i] = (uint32_t)key_read(f->prefixes[i].p + 2, 4);
        for (uint32_t v = 0; v < f->criterion->value_count; v++) {
            const struct fhir_index_value *value = &f->criterion->values[v].is;
            if (value->type != FHIR_SEARCH_REFERENCE || !value->reference.type ||
                !str_eq(fhir_type_name(value->reference.type), STR("Patient")))
                return STORE_FINE;
        }
    }
    p->patients = patients;
    p->patient_count = f->prefix_count;
    p->has_scope = true;
    return STORE_FINE;
}

enum store_result plan_add(struct plan *p, const struct fhir_query_criterion *c)
{
    struct filter filter = {.kind = FILTER_NOTHING, .criterion = c};
    bool is_of_other = c->type && c->type != p->type && !fhir_type_is_a(p->type, c->type);
    enum store_result result = is_of_other ? STORE_FINE : search_compile(p, c, &filter);
    if (result != STORE_FINE)
        return result;
    struct filter *f = new_filter(p);
    if (!f)
        return STORE_NO_MEMORY;
    *f = filter;
    return set_scope(p, f);
}

/* ---- compartments */

static enum store_result add_compartment_set(struct plan *p, const struct fhir_type *compartment,
                                             uint32_t owner, struct filter *f)
{
    struct str parameters = fhir_compartment_parameters(compartment, p->type);
    enum store_result result = STORE_FINE;
    if (compartment == p->type)
        result = set_add(&f->set, owner, p->arena);
    while (parameters.n && result == STORE_FINE) {
        const struct fhir_search_parameter *parameter = fhir_search_find(p->type, str_cut(&parameters, ' '));
        struct filter link = {.kind = FILTER_LINK};
        if (!parameter || fhir_search_type(parameter) != FHIR_SEARCH_REFERENCE)
            continue;
        link.parameter = number_of_parameter(engine_numbers(p->store), p->type, parameter);
        link.is_whose = is_whose(p, parameter);
        result = set_add(&link.set, owner, p->arena);
        if (result == STORE_FINE)
            result = filter_gather(p, &link);
        for (size_t i = 0; i < link.found.n && result == STORE_FINE; i++)
            result = set_add(&f->set, link.found.at[i], p->arena);
    }
    set_sort(&f->set);
    return result;
}

enum store_result plan_add_compartment(struct plan *p, const struct fhir_type *compartment, struct str id)
{
    uint32_t owner;
    enum store_result result = engine_ident(p->store, compartment, id, &owner);
    if (result == STORE_FINE && str_eq(fhir_type_name(compartment), STR("Patient"))) {
        p->patients = arena_alloc(p->arena, sizeof *p->patients);
        if (!p->patients)
            return STORE_NO_MEMORY;
        p->patients[0] = owner;
        p->patient_count = 1;
        p->has_scope = true;
        return STORE_FINE;
    }
    struct filter *f = new_filter(p);
    if (!f)
        return STORE_NO_MEMORY;
    *f = (struct filter){.kind = result == STORE_FINE ? FILTER_SET : FILTER_NOTHING};
    if (result != STORE_FINE)
        return result == STORE_NOT_FOUND ? STORE_FINE : result;
    return add_compartment_set(p, compartment, owner, f);
}
