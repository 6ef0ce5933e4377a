/* Does a candidate fit? By a look at one key where there is one, else by the resource itself. */
#include "store/search.h"

enum { LOOKUPS_MAX = 8 }; /* beyond, reading the resource is cheaper */

enum store_result candidate_place(struct plan *p, struct candidate *c)
{
    struct head head;
    if (c->has_date)
        return STORE_FINE;
    enum store_result result = engine_head(p->store, c->place.resource, &head);
    if (result != STORE_FINE)
        return result;
    if (head.verb == STORE_DELETE || head.type != p->type_number)
        return STORE_NOT_FOUND;
    c->place.date = head.date | (head.subjects ? PLACE_IS_SUBJECT : 0);
    if (c->is_of_any_key)
        c->place.patient = head.patients[0];
    c->has_date = true;
    return STORE_FINE;
}

static enum store_result body_fits(struct plan *p, struct filter *f, struct candidate *c, bool *ret)
{
    const struct opened *opened;
    enum store_result result = engine_open_resource(p->store, c->place.resource, &opened);
    if (result == STORE_FINE)
        *ret = match_rows(f->criterion, &opened->indexed.rows);
    return result;
}

/* The key with that beginning of this candidate: what is behind its place. */
static enum store_result find_key(struct plan *p, struct str prefix, const struct candidate *c,
                                  struct buf *out, struct key_end *ret)
{
    char low[KEY_PREFIX_MAX], high[KEY_PREFIX_MAX];
    struct buf from = buf_over(low, sizeof low), to = buf_over(high, sizeof high);
    buf_str(&from, prefix);
    key_write_place(&from, &c->place);
    buf_str(&to, buf_text(&from));
    buf_char(&to, (char)0xff);
    buf_char(&to, (char)0xff);
    buf_char(&to, (char)0xff);
    enum store_result result = engine_first(p->store, buf_text(&from), buf_text(&to), out);
    if (result == STORE_FINE && !key_read_end(buf_text(out), ret))
        return engine_fail(p->store, STORE_CORRUPT, "a key is damaged");
    return result;
}

enum { KEY_BYTES_MAX = 512 };

static enum store_result terms_fit(struct plan *p, struct filter *f, struct candidate *c, bool *ret)
{
    char memory[KEY_BYTES_MAX];
    struct key_end end;
    *ret = false;
    for (size_t i = 0; i < f->prefix_count && !*ret; i++) {
        const struct prefix *prefix = &f->prefixes[i];
        struct buf key = buf_over(memory, sizeof memory);
        if (f->is_whose && prefix->p[0] == KEY_REFERENCE && c->place.date & PLACE_IS_SUBJECT) {
            *ret = key_read(prefix->p + 2, 4) == c->place.patient;
            continue; /* all it refers to by this parameter is said */
        }
        enum store_result result = find_key(p, (struct str){prefix->p, prefix->n}, c, &key, &end);
        if (result != STORE_FINE && result != STORE_NOT_FOUND)
            return result;
        *ret = result == STORE_FINE && str_find_char(end.parameters, (char)f->parameter) >= 0;
    }
    return STORE_FINE;
}

static enum store_result shape_fits(struct plan *p, struct filter *f, struct candidate *c, bool *ret)
{
    char memory[KEY_BYTES_MAX], prefix[2] = {KEY_ALL, (char)p->type_number};
    struct buf key = buf_over(memory, sizeof memory);
    struct key_end end;
    enum store_result result = find_key(p, (struct str){prefix, 2}, c, &key, &end);
    if (result == STORE_NOT_FOUND || (result == STORE_FINE && end.parameters.n != 4))
        return engine_fail(p->store, STORE_CORRUPT, "a resource has no key of its own");
    if (result == STORE_FINE)
        *ret = set_has(&f->set, (uint32_t)key_read(end.parameters.p, 4));
    return result;
}

static enum store_result time_fits(struct plan *p, struct filter *f, struct candidate *c, bool *ret)
{
    struct head head;
    enum store_result result = engine_head(p->store, c->place.resource, &head);
    *ret = false;
    for (uint32_t i = 0; result == STORE_FINE && i < f->criterion->value_count && !*ret; i++) {
        const struct fhir_query_value *v = &f->criterion->values[i];
        *ret = match_stretch((enum fhir_query_prefix)v->prefix, head.time_us, head.time_us + 1, v);
    }
    return result;
}

/* What it refers to, by the resource itself. */
static enum store_result link_fits(struct plan *p, struct filter *f, struct candidate *c, bool *ret)
{
    const struct opened *opened;
    *ret = false;
    if (f->is_whose && c->place.date & PLACE_IS_SUBJECT) {
        *ret = set_has(&f->set, c->place.patient);
        return STORE_FINE;
    }
    enum store_result result = engine_open_resource(p->store, c->place.resource, &opened);
    for (size_t i = 0; result == STORE_FINE && i < opened->indexed.rows.n && !*ret; i++) {
        const struct fhir_index_row *row = &opened->indexed.rows.at[i];
        const struct fhir_index_value *v = &row->values[0];
        uint32_t target;
        if (row->count != 1 || row->parameter != f->criterion->parameter ||
            v->type != FHIR_SEARCH_REFERENCE || !v->reference.type || !v->reference.id.n ||
            v->reference.base.n || !fhir_type_is_resource(v->reference.type))
            continue;
        result = engine_ident(p->store, v->reference.type, v->reference.id, &target);
        *ret = result == STORE_FINE && set_has(&f->set, target);
        result = result == STORE_NOT_FOUND ? STORE_FINE : result;
    }
    return result;
}

/* A date that orders the type stands in the place, to the millisecond; false: it does not tell. */
static bool guess_by_place(struct plan *p, struct filter *f, const struct candidate *c, bool *ret)
{
    static const int64_t day_us = 86'400'000'000;
    enum match_guess all = MATCH_NO;
    int64_t low, last;
    if (plan_of_type(engine_numbers(p->store), p->type)->date != f->criterion->parameter ||
        !key_date_known(c->place.date, &low, &last))
        return false;
    int64_t most = c->place.date & PLACE_IS_SHORT ? last + day_us : INT64_MAX;
    for (uint32_t i = 0; i < f->criterion->value_count && all != MATCH_YES; i++) {
        const struct fhir_query_value *v = &f->criterion->values[i];
        enum match_guess guess = match_guess_stretch((enum fhir_query_prefix)v->prefix, low, last, most, v);
        all = guess == MATCH_NO ? all : guess;
    }
    if (all == MATCH_UNKNOWN)
        return false;
    *ret = all == MATCH_YES;
    return true;
}

/* Can it be told without the resource? */
static bool is_cheap(const struct filter *f)
{
    return f->kind == FILTER_NOTHING || f->kind == FILTER_SET || f->kind == FILTER_MISSING ||
           f->kind == FILTER_UPDATED || (f->kind == FILTER_TERMS && f->prefix_count <= LOOKUPS_MAX);
}

static enum store_result cheap_check(struct plan *p, struct filter *f, struct candidate *c, bool *ret)
{
    switch (f->kind) {
    case FILTER_SET:
        *ret = set_has(&f->set, c->place.resource);
        return STORE_FINE;
    case FILTER_MISSING:
        return shape_fits(p, f, c, ret);
    case FILTER_UPDATED:
        return time_fits(p, f, c, ret);
    case FILTER_TERMS:
        return terms_fit(p, f, c, ret);
    default:
        *ret = false;
        return STORE_FINE;
    }
}

/* The answer of keys alone, or of the place; *ret_is_sure is false where the resource has to be asked. */
static enum store_result first_look(struct plan *p, struct filter *f, struct candidate *c, bool *ret,
                                    bool *ret_is_sure)
{
    enum store_result result = candidate_place(p, c);
    *ret = true;
    *ret_is_sure = false;
    if (result != STORE_FINE)
        return result;
    if (f->has_found) {
        *ret = set_has(&f->found, c->place.resource);
        *ret_is_sure = true;
    } else if (is_cheap(f)) {
        result = cheap_check(p, f, c, ret);
        *ret_is_sure = !f->needs_body || !*ret;
        *ret = *ret != f->is_negated;
    } else if (f->kind == FILTER_DATES) {
        *ret_is_sure = guess_by_place(p, f, c, ret);
    }
    return result;
}

static enum store_result ask_resource(struct plan *p, struct filter *f, struct candidate *c, bool *ret)
{
    return f->kind == FILTER_LINK ? link_fits(p, f, c, ret) : body_fits(p, f, c, ret);
}

enum store_result filter_check(struct plan *p, struct filter *f, struct candidate *c, bool *ret)
{
    bool is_sure;
    enum store_result result = first_look(p, f, c, ret, &is_sure);
    return result == STORE_FINE && !is_sure ? ask_resource(p, f, c, ret) : result;
}

enum store_result plan_check(struct plan *p, struct candidate *c, uint8_t driver, bool *ret)
{
    bool unsure[FILTERS_MAX];
    enum store_result result = seer_check(p, c, ret);
    for (size_t i = 0; i < p->filter_count && result == STORE_FINE && *ret; i++) {
        bool is_sure = true;
        if (i != driver)
            result = first_look(p, &p->filters[i], c, ret, &is_sure);
        else
            is_sure = !p->filters[i].needs_body;
        unsure[i] = !is_sure;
    }
    for (size_t i = 0; i < p->filter_count && result == STORE_FINE && *ret; i++) {
        if (unsure[i])
            result = ask_resource(p, &p->filters[i], c, ret);
    }
    if (result == STORE_FINE && *ret)
        result = seer_check_denied(p, c, ret);
    return result;
}
