/* _include and _revinclude: what a page's matches refer to, and what refers to them, as far as the view goes.
 */
#include "store/search.h"

/* Numbers that are in already: a table with open addressing, never more than half full. */
struct seen {
    uint32_t *at;
    size_t mask, n;
};

struct including {
    struct store *store;
    struct seer *seer;
    const struct fhir_search_query *query;
    struct arena *arena;
    struct seen seen;
    uint32_t most;
    struct set *out;
    struct found_resource *fresh; /* included in this round, whose own references may be followed */
    size_t fresh_count, fresh_room;
};

static bool add_seen(struct seen *s, uint32_t value)
{
    size_t at = value * 2'654'435'761U & s->mask;
    while (s->at[at]) {
        if (s->at[at] == value)
            return false;
        at = (at + 1) & s->mask;
    }
    s->at[at] = value;
    s->n++;
    return true;
}

static enum store_result take(struct including *x, const struct fhir_type *type, uint32_t resource)
{
    if (!add_seen(&x->seen, resource))
        return STORE_FINE;
    if (x->out->n == x->most)
        return engine_fail(x->store, STORE_TOO_COSTLY, "too many resources would be included");
    if (x->fresh_count == x->fresh_room) {
        size_t room = x->fresh_room ? x->fresh_room * 2 : 64;
        struct found_resource *fresh = arena_alloc(x->arena, room * sizeof *fresh);
        if (!fresh)
            return STORE_NO_MEMORY;
        if (x->fresh_count)
            memcpy(fresh, x->fresh, x->fresh_count * sizeof *fresh);
        x->fresh = fresh;
        x->fresh_room = room;
    }
    x->fresh[x->fresh_count++] = (struct found_resource){resource, type};
    return set_add(x->out, resource, x->arena);
}

/* ---- forwards */

static bool asks_for(const struct fhir_query_include *include, const struct fhir_type *source,
                     const struct fhir_index_row *row)
{
    const struct fhir_index_value *v = &row->values[0];
    return row->count == 1 && v->type == FHIR_SEARCH_REFERENCE && v->reference.type && v->reference.id.n &&
           !v->reference.base.n && fhir_type_is_resource(v->reference.type) &&
           (!include->source || include->source == source) &&
           (!include->parameter || include->parameter == row->parameter) &&
           (!include->target || include->target == v->reference.type);
}

static bool is_asked_for(const struct including *x, bool iterated_only, const struct fhir_type *source,
                         const struct fhir_index_row *row)
{
    for (uint32_t i = 0; i < x->query->include_count; i++) {
        const struct fhir_query_include *include = &x->query->includes[i];
        if ((!iterated_only || include->is_iterated) && asks_for(include, source, row))
            return true;
    }
    return false;
}

struct target {
    const struct fhir_type *type;
    uint32_t resource;
};

/* First all targets, since looking whether one may be seen opens other resources. */
static enum store_result find_targets(struct including *x, const struct found_resource *from,
                                      bool iterated_only, struct target **ret, size_t *ret_n)
{
    const struct opened *opened;
    enum store_result result = engine_open_resource(x->store, from->resource, &opened);
    if (result != STORE_FINE)
        return result;
    *ret_n = 0;
    *ret = arena_alloc(x->arena, (opened->indexed.rows.n + 1) * sizeof **ret);
    if (!*ret)
        return STORE_NO_MEMORY;
    for (size_t i = 0; i < opened->indexed.rows.n && result == STORE_FINE; i++) {
        const struct fhir_index_row *row = &opened->indexed.rows.at[i];
        struct target *t = &(*ret)[*ret_n];
        if (!is_asked_for(x, iterated_only, from->type, row))
            continue;
        t->type = row->values[0].reference.type;
        result = engine_ident(x->store, t->type, row->values[0].reference.id, &t->resource);
        *ret_n += result == STORE_FINE;
        result = result == STORE_NOT_FOUND ? STORE_FINE : result;
    }
    return result;
}

static enum store_result is_there(struct including *x, const struct target *t, bool *ret)
{
    struct head head;
    enum store_result result = engine_head(x->store, t->resource, &head);
    *ret = result == STORE_FINE && head.verb != STORE_DELETE;
    if (result != STORE_FINE || !*ret)
        return result == STORE_NOT_FOUND ? STORE_FINE : result;
    return seer_sees(x->seer, t->type, t->resource, x->arena, ret);
}

static enum store_result include_from(struct including *x, const struct found_resource *from,
                                      bool iterated_only)
{
    struct target *targets;
    size_t n;
    enum store_result result = find_targets(x, from, iterated_only, &targets, &n);
    for (size_t i = 0; i < n && result == STORE_FINE; i++) {
        bool may = false;
        result = is_there(x, &targets[i], &may);
        if (result == STORE_FINE && may)
            result = take(x, targets[i].type, targets[i].resource);
    }
    return result == STORE_NOT_FOUND ? STORE_FINE : result;
}

/* ---- backwards */

static enum store_result include_by(struct including *x, const struct fhir_type *source,
                                    const struct fhir_search_parameter *parameter, const struct set *targets)
{
    struct plan plan;
    struct candidates found = {0};
    struct walk w = {.driver = 0};
    struct filter link = {.kind = FILTER_LINK, .set = *targets};
    enum store_result result = plan_init(&plan, x->store, x->seer, source, x->arena);
    if (result != STORE_FINE)
        return result;
    const struct type_plan *own = plan_of_type(engine_numbers(x->store), source);
    link.parameter = number_of_parameter(engine_numbers(x->store), source, parameter);
    link.is_whose = parameter == own->whose[0] || parameter == own->whose[1];
    plan.filters = &link;
    plan.filter_count = 1;
    if (link.parameter)
        result = plan_walk(&plan, &w, &found);
    candidates_sort(&found);
    for (size_t i = 0; i < found.n && result == STORE_FINE; i++)
        result = take(x, source, found.at[i].place.resource);
    return result;
}

static enum store_result include_by_all(struct including *x, const struct fhir_query_include *include,
                                        const struct fhir_type *source, const struct set *targets)
{
    enum store_result result = STORE_FINE;
    if (include->parameter)
        return include_by(x, source, include->parameter, targets);
    for (const struct fhir_type *owner = source; owner; owner = fhir_type_base(owner)) {
        for (unsigned i = 0; i < fhir_search_count(owner) && result == STORE_FINE; i++) {
            const struct fhir_search_parameter *parameter = fhir_search_at(owner, i);
            if (fhir_search_type(parameter) == FHIR_SEARCH_REFERENCE)
                result = include_by(x, source, parameter, targets);
        }
    }
    return result;
}

static enum store_result targets_of(struct including *x, const struct fhir_query_include *include,
                                    const struct found_resource *from, size_t n, struct set *ret)
{
    enum store_result result = STORE_FINE;
    for (size_t i = 0; i < n && result == STORE_FINE; i++) {
        if (!include->target || include->target == from[i].type)
            result = set_add(ret, from[i].resource, x->arena);
    }
    set_sort(ret);
    return result;
}

static enum store_result include_back(struct including *x, const struct fhir_query_include *include,
                                      const struct found_resource *from, size_t n)
{
    struct set targets = {0};
    enum store_result result = targets_of(x, include, from, n, &targets);
    if (result != STORE_FINE || !targets.n)
        return result;
    if (include->source)
        return include_by_all(x, include, include->source, &targets);
    for (unsigned i = 0; i < fhir_type_count() && result == STORE_FINE; i++) {
        bool is_used = false;
        if (fhir_type_is_resource(fhir_type_at(i)))
            result = type_is_used(x->store, fhir_type_at(i), &is_used);
        if (result == STORE_FINE && is_used)
            result = include_by_all(x, include, fhir_type_at(i), &targets);
    }
    return result;
}

/* ---- rounds */

static enum store_result include_round(struct including *x, const struct found_resource *from, size_t n,
                                       bool iterated_only)
{
    enum store_result result = STORE_FINE;
    for (size_t i = 0; i < n && result == STORE_FINE && x->query->include_count; i++)
        result = include_from(x, &from[i], iterated_only);
    for (uint32_t i = 0; i < x->query->revinclude_count && result == STORE_FINE; i++) {
        if (!iterated_only || x->query->revincludes[i].is_iterated)
            result = include_back(x, &x->query->revincludes[i], from, n);
    }
    return result;
}

enum store_result search_include(struct store *store, struct seer *seer,
                                 const struct fhir_search_query *query, const struct found_resource *matches,
                                 size_t n, uint32_t most, struct arena *arena, struct set *ret)
{
    struct including x = {
        .store = store, .seer = seer, .query = query, .arena = arena, .most = most, .out = ret};
    if (!query->include_count && !query->revinclude_count)
        return STORE_FINE;
    size_t room = 64;
    while (room < (n + most) * 2 + 2)
        room *= 2;
    x.seen = (struct seen){arena_alloc(arena, room * sizeof *x.seen.at), room - 1, 0};
    if (!x.seen.at)
        return STORE_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        (void)add_seen(&x.seen, matches[i].resource);
    enum store_result result = include_round(&x, matches, n, false);
    while (result == STORE_FINE && x.fresh_count) {
        const struct found_resource *from = x.fresh;
        size_t count = x.fresh_count;
        x.fresh = NULL;
        x.fresh_count = x.fresh_room = 0;
        result = include_round(&x, from, count, true);
    }
    return result;
}
