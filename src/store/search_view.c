/* What a reader may see, made ready for the length of one call. Applied to every candidate of every plan,
 * those inside chains too; without a view there is no seer. */
#include "store/search.h"

enum { OPEN_KEPT = 1'024, SCOPE_MAX = 16 };

struct kept_patient {
    uint32_t patient;
    bool is_known, is_open;
};

struct seer {
    struct store *store;
    const struct store_view *view;
    struct set patients;      /* named ones */
    struct set hidden;        /* whose files stay closed */
    struct plan patient_plan; /* of Patient; its `only` is what opens a file */
    struct kept_patient kept[OPEN_KEPT];
    struct plan *plans[256]; /* without filters, by the number of the type; for resources one by one */
};

static bool is_listed(const struct fhir_type *const *types, size_t n, const struct fhir_type *type)
{
    for (size_t i = 0; i < n; i++) {
        if (types[i] == type)
            return true;
    }
    return false;
}

bool seer_sees_type(const struct seer *s, const struct fhir_type *type)
{
    return !s || !s->view->type_count || is_listed(s->view->types, s->view->type_count, type);
}

bool seer_is_open(const struct seer *s)
{
    return !s || (s->view->has_all_patients && !s->hidden.n);
}

/* ---- making */

static enum store_result compile_list(struct plan *p, const struct fhir_query_criterion *criteria, size_t n,
                                      struct filters *ret)
{
    enum store_result result = STORE_FINE;
    ret->at = arena_alloc(p->arena, (n + 1) * sizeof *ret->at);
    if (!ret->at)
        return STORE_NO_MEMORY;
    for (size_t i = 0; i < n && result == STORE_FINE; i++) {
        if (!criteria[i].type || criteria[i].type == p->type)
            result = search_compile(p, &criteria[i], &ret->at[ret->n++]);
    }
    return result;
}

static enum store_result find_named(struct store *store, const struct str *ids, size_t n, struct arena *arena,
                                    struct set *ret)
{
    const struct fhir_type *patient = fhir_type_find(STR("Patient"));
    for (size_t i = 0; i < n; i++) {
        uint32_t number;
        enum store_result result = engine_ident(store, patient, ids[i], &number);
        if (result == STORE_FINE)
            result = set_add(ret, number, arena);
        if (result != STORE_FINE && result != STORE_NOT_FOUND)
            return result;
    }
    set_sort(ret);
    return STORE_FINE;
}

enum store_result seer_new(struct store *store, const struct store_view *view, struct arena *arena,
                           struct seer **ret)
{
    *ret = NULL;
    if (!view)
        return STORE_FINE;
    struct seer *s = arena_alloc(arena, sizeof *s);
    if (!s)
        return STORE_NO_MEMORY;
    s->store = store;
    s->view = view;
    *ret = s;
    enum store_result result =
        find_named(store, view->hidden_patients, view->hidden_patient_count, arena, &s->hidden);
    if (result == STORE_FINE && !view->has_all_patients)
        result = find_named(store, view->patients, view->patient_count, arena, &s->patients);
    if (result == STORE_FINE)
        result = plan_init(&s->patient_plan, store, NULL, fhir_type_find(STR("Patient")), arena);
    if (result == STORE_FINE && !view->has_all_patients)
        result = compile_list(&s->patient_plan, view->patient_criteria, view->patient_criterion_count,
                              &s->patient_plan.only);
    return result;
}

/* Criteria of a view see everything: they are compiled in a plan without a seer. */
enum store_result seer_prepare(struct seer *s, struct plan *p)
{
    if (!s)
        return STORE_FINE;
    p->is_hidden = !seer_sees_type(s, p->type);
    p->seer = NULL;
    enum store_result result = compile_list(p, s->view->denied, s->view->denied_count, &p->denied);
    if (result == STORE_FINE)
        result = compile_list(p, s->view->only, s->view->only_count, &p->only);
    p->seer = s;
    return result;
}

bool seer_scope(const struct seer *s, const struct fhir_type *type, const uint32_t **ret, size_t *ret_n)
{
    if (seer_is_open(s) || s->view->has_all_patients || s->view->patient_criterion_count ||
        s->patients.n > SCOPE_MAX || is_listed(s->view->common_types, s->view->common_type_count, type))
        return false;
    *ret = s->patients.at;
    *ret_n = s->patients.n;
    return true;
}

/* ---- patients */

static enum store_result fits_one(struct plan *p, const struct filters *filters, struct candidate *c,
                                  bool *ret)
{
    enum store_result result = STORE_FINE;
    *ret = false;
    for (size_t i = 0; i < filters->n && result == STORE_FINE && !*ret; i++)
        result = filter_check(p, &filters->at[i], c, ret);
    return result;
}

static enum store_result is_file_open(struct seer *s, const struct fhir_type *type, uint32_t patient,
                                      bool *ret)
{
    bool is_hidden = patient && set_has(&s->hidden, patient);
    *ret = !is_hidden && s->view->has_all_patients;
    if (is_hidden || *ret)
        return STORE_FINE;
    if (!patient) {
        *ret = is_listed(s->view->common_types, s->view->common_type_count, type);
        return STORE_FINE;
    }
    *ret = set_has(&s->patients, patient);
    if (*ret || !s->patient_plan.only.n)
        return STORE_FINE;
    struct kept_patient *kept = &s->kept[patient % OPEN_KEPT];
    if (kept->is_known && kept->patient == patient) {
        *ret = kept->is_open;
        return STORE_FINE;
    }
    struct candidate c = {.place.resource = patient, .is_of_any_key = true};
    enum store_result result = fits_one(&s->patient_plan, &s->patient_plan.only, &c, ret);
    if (result == STORE_NOT_FOUND) { /* a patient who is only referred to, or was deleted */
        *ret = false;
        result = STORE_FINE;
    }
    *kept = (struct kept_patient){patient, result == STORE_FINE, *ret};
    return result;
}

static enum store_result is_one_open(struct seer *s, const struct fhir_type *type, const struct head *head,
                                     uint32_t before, bool *ret)
{
    enum store_result result = STORE_FINE;
    *ret = false;
    for (unsigned i = 0; i < head->patient_count && result == STORE_FINE && !*ret; i++) {
        if (before && head->patients[i] == before)
            break;
        result = is_file_open(s, type, head->patients[i], ret);
    }
    return result;
}

enum store_result seer_sees_head(struct seer *s, const struct fhir_type *type, const struct head *head,
                                 bool *ret)
{
    if (!seer_sees_type(s, type)) {
        *ret = false;
        return STORE_FINE;
    }
    if (!seer_is_open(s))
        return is_one_open(s, type, head, 0, ret);
    *ret = true;
    return STORE_FINE;
}

/* A resource that several keys lead to is taken by the one of its first open patient; in a walk over named
 * files by any of them. */
enum store_result seer_check(struct plan *p, struct candidate *c, bool *ret)
{
    struct head head;
    bool is_open, is_earlier = false;
    *ret = true;
    if (seer_is_open(p->seer))
        return STORE_FINE;
    enum store_result result = is_file_open(p->seer, p->type, c->place.patient, &is_open);
    bool is_sure = !c->is_of_any_key && (p->has_scope ? is_open : !is_open || !c->is_further);
    *ret = is_open;
    if (result != STORE_FINE || is_sure)
        return result;
    result = engine_head(p->store, c->place.resource, &head);
    if (result != STORE_FINE)
        return result;
    if (c->is_of_any_key || p->has_scope)
        return is_one_open(p->seer, p->type, &head, 0, ret);
    result = is_one_open(p->seer, p->type, &head, c->place.patient, &is_earlier);
    *ret = !is_earlier;
    return result;
}

/* ---- what it is */

enum store_result seer_check_denied(struct plan *p, struct candidate *c, bool *ret)
{
    bool fits = true;
    enum store_result result = p->only.n ? fits_one(p, &p->only, c, &fits) : STORE_FINE;
    bool is_denied = false;
    if (result == STORE_FINE && fits)
        result = fits_one(p, &p->denied, c, &is_denied);
    *ret = fits && !is_denied;
    return result;
}

static enum store_result plan_for(struct seer *s, const struct fhir_type *type, struct arena *arena,
                                  struct plan **ret)
{
    uint8_t number = number_of_type(engine_numbers(s->store), type);
    *ret = s->plans[number];
    if (*ret)
        return STORE_FINE;
    struct plan *made = arena_alloc(arena, sizeof *made);
    if (!made)
        return STORE_NO_MEMORY;
    enum store_result result = plan_init(made, s->store, s, type, arena);
    *ret = s->plans[number] = made;
    return result;
}

enum store_result seer_sees(struct seer *s, const struct fhir_type *type, uint32_t resource,
                            struct arena *arena, bool *ret)
{
    struct plan *p;
    struct candidate c = {.place.resource = resource, .is_of_any_key = true};
    *ret = seer_sees_type(s, type);
    enum store_result result = s && *ret ? plan_for(s, type, arena, &p) : STORE_FINE;
    if (result == STORE_FINE && s && *ret)
        result = plan_check(p, &c, DRIVER_ALL, ret);
    return result;
}

bool seer_has_rules(const struct seer *s, const struct fhir_type *type)
{
    for (size_t i = 0; s && i < s->view->denied_count + s->view->only_count; i++) {
        const struct fhir_query_criterion *c =
            i < s->view->denied_count ? &s->view->denied[i] : &s->view->only[i - s->view->denied_count];
        if (!c->type || c->type == type)
            return true;
    }
    return false;
}

/* Rules that a version can tell by itself; the others (chains) are asked of what it is now. */
bool seer_sees_rows(const struct seer *s, const struct fhir_type *type, const struct fhir_index_rows *rows)
{
    bool has_only = false, fits = false;
    for (size_t i = 0; s && i < s->view->denied_count; i++) {
        const struct fhir_query_criterion *c = &s->view->denied[i];
        if ((!c->type || c->type == type) && c->kind == FHIR_QUERY_PARAMETER && match_rows(c, rows))
            return false;
    }
    for (size_t i = 0; s && i < s->view->only_count; i++) {
        const struct fhir_query_criterion *c = &s->view->only[i];
        if (c->type && c->type != type)
            continue;
        has_only = true;
        fits |= c->kind != FHIR_QUERY_PARAMETER || match_rows(c, rows);
    }
    return !has_only || fits;
}

bool store_view_fits(const struct store_view *view, const struct fhir_type *type,
                     const struct fhir_index_rows *rows)
{
    const struct seer s = {.view = view};
    return !view || (seer_sees_type(&s, type) && seer_sees_rows(&s, type, rows));
}
