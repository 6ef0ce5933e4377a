/* rest/access_view.c - a decision as a view of the store: its searches parsed, its types listed. */
#include "rest/access_parts.h"

const struct store_view rest_sees_nothing = {0};

bool rest_criterion_parse(const struct rest_call *call, struct str text, struct arena *arena,
                          struct fhir_query_criterion *ret)
{
    struct fhir_search_query parsed;
    struct fhir_query_problems problems;
    struct str query = text, name = str_cut(&query, '?');
    struct fhir_query_context context = {.type = name.n ? fhir_type_find(name) : NULL,
                                         .base_url =
                                             arena_printf(arena, "%.*s/", STR_ARG(call->site->base_url)),
                                         .count_max = 1,
                                         .now_us = call->now_us};
    if ((name.n && !context.type) ||
        !fhir_search_query_parse(query, STR_NONE, &context, arena, &parsed, &problems) ||
        parsed.criterion_count != 1 || parsed.include_count || parsed.revinclude_count || parsed.is_type_said)
        return false;
    *ret = parsed.criteria[0];
    return true;
}

static enum store_result parse_all(const struct rest_call *call, const struct str *texts, size_t n,
                                   struct arena *arena, const struct fhir_query_criterion **io, size_t *io_n)
{
    struct fhir_query_criterion *all = arena_alloc(arena, (*io_n + n + 1) * sizeof *all);
    if (!all)
        return STORE_NO_MEMORY;
    if (*io_n)
        memcpy(all, *io, *io_n * sizeof *all);
    for (size_t i = 0; i < n; i++)
        if (!rest_criterion_parse(call, texts[i], arena, &all[*io_n + i]))
            return STORE_NOT_INDEXED;
    *io = all;
    *io_n += n;
    return STORE_FINE;
}

/* A list of types that is never empty: an empty one would stand for all. */
static enum store_result list_types(const struct access_decision *d, uint8_t letters, struct arena *arena,
                                    struct store_view *v)
{
    const struct fhir_type **types = arena_alloc(arena, (fhir_type_count() + 1) * sizeof *types), **common;
    unsigned commons = 0;
    while (access_common_type(commons).n)
        commons++;
    common = arena_alloc(arena, (commons + 1) * sizeof *common);
    if (!types || !common)
        return STORE_NO_MEMORY;
    for (unsigned i = 0; i < fhir_type_count(); i++) {
        const struct fhir_type *type = fhir_type_at(i);
        if (rest_type_is_kept(type) && (access_may(d, fhir_type_name(type)) & letters) == letters)
            types[v->type_count++] = type;
    }
    if (!v->type_count)
        types[v->type_count++] = fhir_type_find(STR("Element")); /* no resource is of that type */
    for (unsigned i = 0; i < commons; i++)
        common[i] = fhir_type_find(access_common_type(i));
    v->types = types;
    v->common_types = common;
    v->common_type_count = commons;
    return STORE_FINE;
}

/* Is the patient of the launch one whom the caller may see? */
static enum store_result narrow_to_launch(const struct rest_call *call, struct str patient,
                                          struct arena *arena, struct store_view *v)
{
    struct store_record record;
    struct store_view files = *v;
    struct str *one = arena_alloc(arena, sizeof *one);
    if (!one)
        return STORE_NO_MEMORY;
    files.type_count = files.only_count = 0;
    *one = str_starts(patient, STR("Patient/")) ? str_skip(patient, 8) : patient;
    enum store_result result =
        store_read(call->site->store, &files, fhir_type_find(STR("Patient")), *one, arena, &record);
    v->has_all_patients = false;
    v->patient_criterion_count = 0;
    v->patients = one;
    v->patient_count = result == STORE_FINE;
    return result == STORE_NOT_FOUND || result == STORE_DELETED ? STORE_FINE : result;
}

enum store_result rest_view_make(const struct rest_call *call, const struct access_decision *d,
                                 const struct rest_facts *f, uint8_t letters, struct arena *arena,
                                 struct store_view *ret)
{
    struct store_view v = {.has_all_patients = d->has_all_patients && d->kind != ACCESS_PARTNER,
                           .patients = d->patient.n ? &d->patient : f->open,
                           .patient_count = d->patient.n ? 1 : f->open_count,
                           .hidden_patients = f->hidden,
                           .hidden_patient_count = f->hidden_count};
    enum store_result result = parse_all(call, d->patient_criteria.at, d->patient_criteria.n, arena,
                                         &v.patient_criteria, &v.patient_criterion_count);
    if (result == STORE_FINE)
        result = parse_all(call, d->denied.at, d->denied.n, arena, &v.denied, &v.denied_count);
    if (result == STORE_FINE)
        result = parse_all(call, f->limited, f->limited_count, arena, &v.denied, &v.denied_count);
    if (result == STORE_FINE)
        result = parse_all(call, d->only.at, d->only.n, arena, &v.only, &v.only_count);
    if (result == STORE_FINE)
        result = list_types(d, letters, arena, &v);
    if (result == STORE_FINE && d->launch.n)
        result = narrow_to_launch(call, d->launch, arena, &v);
    *ret = v;
    return result;
}
