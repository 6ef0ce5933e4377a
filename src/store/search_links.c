/* Chains and _has: first what is on the other side, which the view limits as well, then what refers to it. */
#include "store/search.h"

/* All resources of the criterion's type that fit it and may be seen. */
static enum store_result solve(struct plan *outer, const struct fhir_query_criterion *c,
                               const struct fhir_type *type, struct set *ret)
{
    struct plan inner;
    enum store_result result = plan_init(&inner, outer->store, outer->seer, type, outer->arena);
    if (result == STORE_FINE)
        result = plan_add(&inner, c);
    return result == STORE_FINE ? plan_solve(&inner, ret) : result;
}

/* A parameter that all types have (_id, _security) is asked of all that the reference may point to. */
static enum store_result solve_any(struct plan *p, const struct fhir_query_criterion *c, struct filter *f)
{
    const struct fhir_search_parameter *reference = f->criterion->parameter;
    unsigned n = fhir_search_target_count(reference), all = fhir_type_count();
    enum store_result result = STORE_FINE;
    for (unsigned i = 0; i < (n ? n : all) && result == STORE_FINE; i++) {
        const struct fhir_type *type = n ? fhir_search_target(reference, i) : fhir_type_at(i);
        bool is_used = fhir_type_is_resource(type);
        if (is_used)
            result = type_is_used(p->store, type, &is_used);
        if (result == STORE_FINE && is_used)
            result = solve(p, c, type, &f->set);
    }
    return result;
}

enum store_result search_chain(struct plan *p, struct filter *f)
{
    enum store_result result = STORE_FINE;
    f->kind = f->parameter ? FILTER_LINK : FILTER_NOTHING;
    for (uint32_t i = 0; i < f->criterion->inner_count && result == STORE_FINE && f->parameter; i++) {
        const struct fhir_query_criterion *inner = &f->criterion->inner[i];
        result = inner->type ? solve(p, inner, inner->type, &f->set) : solve_any(p, inner, f);
    }
    set_sort(&f->set);
    if (f->kind == FILTER_LINK && !f->set.n)
        f->kind = FILTER_NOTHING;
    return result;
}

/* ---- _has */

static enum store_result add_targets(struct plan *p, struct filter *f, uint32_t resource)
{
    const struct opened *opened;
    enum store_result result = engine_open_resource(p->store, resource, &opened);
    for (size_t i = 0; result == STORE_FINE && i < opened->indexed.rows.n; i++) {
        const struct fhir_index_row *row = &opened->indexed.rows.at[i];
        const struct fhir_index_value *v = &row->values[0];
        uint32_t target;
        if (row->parameter != f->criterion->parameter || row->count != 1 ||
            v->type != FHIR_SEARCH_REFERENCE || v->reference.type != p->type || !v->reference.id.n ||
            v->reference.base.n)
            continue;
        result = engine_ident(p->store, v->reference.type, v->reference.id, &target);
        if (result == STORE_FINE)
            result = set_add(&f->set, target, p->arena);
        else if (result == STORE_NOT_FOUND)
            result = STORE_FINE;
    }
    return result;
}

static enum store_result add_referred(struct plan *p, struct plan *inner, struct filter *f,
                                      struct candidate *c)
{
    const struct type_plan *plan = plan_of_type(engine_numbers(p->store), inner->type);
    bool is_whose = f->criterion->parameter == plan->whose[0] || f->criterion->parameter == plan->whose[1];
    enum store_result result = candidate_place(inner, c);
    if (result != STORE_FINE || !is_whose || !(c->place.date & PLACE_IS_SUBJECT))
        return result == STORE_FINE ? add_targets(p, f, c->place.resource) : result;
    return str_eq(fhir_type_name(p->type), STR("Patient")) ? set_add(&f->set, c->place.patient, p->arena)
                                                           : STORE_FINE;
}

enum store_result search_has(struct plan *p, struct filter *f)
{
    const struct fhir_query_criterion *c = &f->criterion->inner[0];
    struct plan inner;
    struct candidates found = {0};
    struct walk w = {0};
    f->kind = FILTER_SET;
    enum store_result result = plan_init(&inner, p->store, p->seer, c->type, p->arena);
    if (result == STORE_FINE)
        result = plan_add(&inner, c);
    if (result == STORE_FINE)
        result = plan_choose_driver(&inner, &w.driver);
    if (result == STORE_FINE)
        result = plan_walk(&inner, &w, &found);
    candidates_sort(&found);
    for (size_t i = 0; i < found.n && result == STORE_FINE; i++)
        result = add_referred(p, &inner, f, &found.at[i]);
    set_sort(&f->set);
    return result;
}

/* ---- one of several */

enum store_result search_alternatives(struct plan *p, struct filter *f)
{
    enum store_result result = STORE_FINE;
    f->kind = FILTER_SET;
    for (uint32_t i = 0; i < f->criterion->inner_count && result == STORE_FINE; i++) {
        const struct fhir_query_criterion *c = &f->criterion->inner[i];
        struct plan own;
        if (c->type && c->type != p->type)
            continue;
        result = plan_init(&own, p->store, p->seer, p->type, p->arena);
        if (result == STORE_FINE)
            result = plan_add(&own, c);
        if (result == STORE_FINE)
            result = plan_solve(&own, &f->set);
    }
    set_sort(&f->set);
    return result;
}
