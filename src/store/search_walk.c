/* Driving: the keys of one filter are walked, and what they lead to is looked at. */
#include "store/search.h"

#include "base/must.h"

enum {
    PROBE_SCOPED = 32,
    PROBE_ALL = 512,
    DRIVING_PREFIXES_MAX = 5'000,
    KEYS_FOR_EACH = 50, /* keys that may be passed for each candidate that may be looked at */
};

struct driving {
    struct plan *plan;
    struct filter *filter; /* NULL: all of the type */
    uint8_t driver;
    const struct walk *walk;
    struct candidates *out;
    struct set *gathered;            /* instead of candidates: whatever the keys lead to */
    uint64_t passed, seen, seen_max; /* keys, candidates; the end of probing */
    bool is_probe, is_enough;
};

/* ---- what is found */

static enum store_result keep_candidate(struct driving *d, const struct candidate *c)
{
    struct candidates *out = d->out;
    out->count++;
    d->is_enough = d->walk->limit && out->count >= d->walk->limit;
    if (d->walk->is_counted_only)
        return STORE_FINE;
    if (out->n == out->room) {
        size_t room = out->room ? out->room * 2 : 64;
        struct candidate *at = arena_alloc(d->plan->arena, room * sizeof *at);
        if (!at)
            return STORE_NO_MEMORY;
        if (out->n)
            memcpy(at, out->at, out->n * sizeof *at);
        out->at = at;
        out->room = room;
    }
    out->at[out->n++] = *c;
    return STORE_FINE;
}

static enum store_result consider(struct driving *d, struct candidate *c)
{
    struct plan *p = d->plan;
    bool fits = false;
    d->seen++;
    if (d->is_probe) {
        d->is_enough = d->seen >= d->seen_max;
        return STORE_FINE;
    }
    if (d->gathered) {
        if (d->seen > engine_candidates_max(p->store))
            return engine_fail(p->store, STORE_TOO_COSTLY, "the search would look at too many resources");
        return set_add(d->gathered, c->place.resource, p->arena);
    }
    if (p->bound && c->place.resource > p->bound)
        return STORE_FINE;
    if (d->seen > engine_candidates_max(p->store) && !d->walk->is_counted_only)
        return engine_fail(p->store, STORE_TOO_COSTLY, "the search would look at too many resources");
    c->type = p->type_number;
    enum store_result result = c->is_of_any_key ? candidate_place(p, c) : STORE_FINE;
    if (result == STORE_FINE)
        result = plan_check(p, c, d->driver, &fits);
    if (result == STORE_FINE && fits && !d->walk->is_counted_only)
        result = candidate_place(p, c);
    if (result == STORE_NOT_FOUND) /* a number without a version, or of another type */
        return STORE_FINE;
    return result == STORE_FINE && fits ? keep_candidate(d, c) : result;
}

/* ---- ranges of keys */

struct range {
    struct str low, high;
    bool is_whose; /* KEY_ALL of a patient, standing for a reference to them */
};

static bool is_wanted(const struct driving *d, const struct range *r, struct str key, struct key_end *end)
{
    if (!key_read_end(key, end))
        return false;
    if (end->is_further && !d->plan->has_scope && seer_is_open(d->plan->seer) && !d->gathered)
        return false; /* its first patient's key leads to it */
    if (r->is_whose)
        return end->place.date & PLACE_IS_SUBJECT;
    return !d->filter || str_find_char(end->parameters, (char)d->filter->parameter) >= 0;
}

static bool is_same_place(const struct place *a, const struct place *b)
{
    return a->date == b->date && a->patient == b->patient && a->resource == b->resource;
}

static bool date_fits(const struct driving *d, struct str key)
{
    struct key_date date = key_read_date((enum key_date_class)key.p[2], key.p + 3);
    for (uint32_t i = 0; i < d->filter->criterion->value_count; i++) {
        const struct fhir_query_value *v = &d->filter->criterion->values[i];
        if (match_stretch((enum fhir_query_prefix)v->prefix, date.low_us, date.high_us, v))
            return true;
    }
    return false;
}

static enum store_result walk_range(struct driving *d, const struct range *r)
{
    struct str key;
    struct key_end end;
    enum store_result result = engine_walk(d->plan->store, ENGINE_KEYS, r->low, r->high, false);
    while (result == STORE_FINE && !d->is_enough && engine_next(d->plan->store, ENGINE_KEYS, &key)) {
        if (++d->passed / KEYS_FOR_EACH > engine_candidates_max(d->plan->store)) {
            result = engine_fail(d->plan->store, STORE_TOO_COSTLY, "the search would look at too many keys");
            break;
        }
        if (!is_wanted(d, r, key, &end) || (key.p[0] == KEY_DATE && !date_fits(d, key)))
            continue;
        struct candidate c = {.place = end.place, .has_date = !end.is_spot, .is_further = end.is_further};
        if (!d->walk || !d->walk->after || !is_same_place(d->walk->after, &end.place))
            result = consider(d, &c);
    }
    enum store_result ended = engine_walk_end(d->plan->store, ENGINE_KEYS);
    return result == STORE_FINE ? ended : result;
}

/* All keys that begin so, behind a place when the walk goes on there. */
static enum store_result walk_prefix(struct driving *d, struct str prefix, bool is_whose)
{
    char low[KEY_PREFIX_MAX + KEY_PLACE_BYTES], high[KEY_PREFIX_MAX + KEY_PLACE_BYTES];
    struct buf from = buf_over(low, sizeof low), to = buf_over(high, sizeof high);
    bool is_patient = d->plan->has_scope;
    buf_str(&from, prefix);
    buf_str(&to, prefix);
    if (d->walk && d->walk->after) {
        from.n -= is_patient ? 4 : 0;
        key_write_place(&from, d->walk->after);
    }
    for (unsigned i = 0; i < KEY_PLACE_BYTES - (is_patient ? 4 : 0); i++)
        buf_char(&to, (char)0xff);
    buf_char(&to, (char)0xff);
    must(!buf_overflowed(&to) && !buf_overflowed(&from));
    struct range r = {buf_text(&from), buf_text(&to), is_whose};
    return walk_range(d, &r);
}

/* The beginning of keys, in each file the plan is limited to. */
static enum store_result walk_files(struct driving *d, struct str prefix, bool is_whose)
{
    struct plan *p = d->plan;
    enum store_result result = STORE_FINE;
    if (!p->has_scope)
        return walk_prefix(d, prefix, is_whose);
    for (size_t i = 0; i < p->patient_count && result == STORE_FINE && !d->is_enough; i++) {
        char memory[KEY_PREFIX_MAX];
        struct buf out = buf_over(memory, sizeof memory);
        buf_str(&out, prefix);
        key_write(&out, p->patients[i], 4);
        result = walk_prefix(d, buf_text(&out), is_whose);
    }
    return result;
}

static enum store_result walk_all(struct driving *d)
{
    char prefix[2] = {KEY_ALL, (char)d->plan->type_number};
    return walk_files(d, (struct str){prefix, 2}, false);
}

/* Resources that refer to one by the parameter: by keys of their own, or as the file they lie in. */
static enum store_result walk_references(struct driving *d, struct str prefix)
{
    char memory[6];
    struct buf out = buf_over(memory, sizeof memory);
    enum store_result result = walk_files(d, prefix, false);
    if (result != STORE_FINE || !d->filter->is_whose || d->plan->has_scope)
        return result;
    buf_char(&out, KEY_ALL);
    buf_char(&out, (char)d->plan->type_number);
    buf_add(&out, prefix.p + 2, 4);
    return walk_prefix(d, buf_text(&out), true);
}

static enum store_result walk_terms(struct driving *d)
{
    const struct filter *f = d->filter;
    enum store_result result = STORE_FINE;
    for (size_t i = 0; i < f->prefix_count && result == STORE_FINE && !d->is_enough; i++) {
        struct str prefix = {f->prefixes[i].p, f->prefixes[i].n};
        result = prefix.p[0] == KEY_REFERENCE ? walk_references(d, prefix) : walk_files(d, prefix, false);
    }
    return result;
}

static enum store_result walk_links(struct driving *d)
{
    enum store_result result = STORE_FINE;
    for (size_t i = 0; i < d->filter->set.n && result == STORE_FINE && !d->is_enough; i++) {
        char memory[6];
        struct buf out = buf_over(memory, sizeof memory);
        buf_char(&out, KEY_REFERENCE);
        buf_char(&out, (char)d->plan->type_number);
        key_write(&out, d->filter->set.at[i], 4);
        result = walk_references(d, buf_text(&out));
    }
    return result;
}

static enum store_result walk_set(struct driving *d)
{
    enum store_result result = STORE_FINE;
    for (size_t i = 0; i < d->filter->set.n && result == STORE_FINE && !d->is_enough; i++) {
        struct candidate c = {.place.resource = d->filter->set.at[i], .is_of_any_key = true};
        result = consider(d, &c);
    }
    return result;
}

/* ---- dates and numbers */

static int64_t minus(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_sub_overflow(a, b, &r) ? INT64_MIN : r;
}

/* Where stretches of a class may begin that fit a value. */
static void begins(const struct fhir_query_value *v, enum key_date_class class, int64_t *low, int64_t *high)
{
    int64_t span = key_date_span_us(class), from = v->is.date.low_us, to = v->is.date.high_us;
    *low = INT64_MIN;
    *high = INT64_MAX;
    if (class == DATE_OPEN_LOW)
        return;
    bool is_bound = span > 0;
    switch (v->prefix) {
    case FHIR_QUERY_EQ:
        *low = from;
        *high = to;
        break;
    case FHIR_QUERY_GT:
        *low = is_bound ? minus(to, span) : INT64_MIN;
        break;
    case FHIR_QUERY_GE:
    case FHIR_QUERY_AP:
        *low = is_bound ? minus(from, span) : INT64_MIN;
        break;
    case FHIR_QUERY_SA:
        *low = to;
        break;
    default:
        break;
    }
    if (v->prefix == FHIR_QUERY_LT || v->prefix == FHIR_QUERY_EB)
        *high = from;
    else if (v->prefix == FHIR_QUERY_LE || v->prefix == FHIR_QUERY_AP)
        *high = to;
}

static enum store_result walk_class(struct driving *d, const struct fhir_query_value *v,
                                    enum key_date_class class)
{
    char low[16], high[16];
    struct buf from = buf_over(low, sizeof low), to = buf_over(high, sizeof high);
    int64_t low_us, high_us;
    begins(v, class, &low_us, &high_us);
    char head[3] = {KEY_DATE, (char)d->plan->type_number, (char)class};
    buf_add(&from, head, 3);
    buf_add(&to, head, 3);
    key_write_i64(&from, low_us);
    key_write_i64(&to, high_us);
    buf_char(&to, (char)0xff);
    struct range r = {buf_text(&from), buf_text(&to), false};
    return walk_range(d, &r);
}

static enum store_result walk_dates(struct driving *d)
{
    enum store_result result = STORE_FINE;
    for (uint32_t i = 0; i < d->filter->criterion->value_count; i++) {
        const struct fhir_query_value *v = &d->filter->criterion->values[i];
        for (unsigned class = 0; class < DATE_CLASSES && result == STORE_FINE && !d->is_enough; class ++)
            result = walk_class(d, v, (enum key_date_class) class);
    }
    return result;
}

/* An end of what is asked for, in the unit that keys of its kind are ordered in. */
static struct fhir_decimal end_of(const struct fhir_index_number *n, bool high)
{
    if (n->base_unit.n)
        return high ? n->base_high : n->base_low;
    return high ? n->high : n->low;
}

/* Numbers of one unit between two values; what is not a point stands behind them all. */
static enum store_result walk_unit(struct driving *d, const struct fhir_query_value *v, uint32_t unit,
                                   bool is_wide)
{
    char low[KEY_PREFIX_MAX], high[KEY_PREFIX_MAX];
    struct buf from = buf_over(low, sizeof low), to = buf_over(high, sizeof high);
    buf_char(&from, KEY_NUMBER);
    buf_char(&from, (char)d->plan->type_number);
    key_write(&from, unit, 4);
    buf_char(&from, is_wide);
    buf_str(&to, buf_text(&from));
    bool has_low = v->prefix == FHIR_QUERY_EQ || v->prefix == FHIR_QUERY_GT || v->prefix == FHIR_QUERY_GE ||
                   v->prefix == FHIR_QUERY_SA;
    bool has_high = v->prefix == FHIR_QUERY_EQ || v->prefix == FHIR_QUERY_LT || v->prefix == FHIR_QUERY_LE ||
                    v->prefix == FHIR_QUERY_EB;
    if (!is_wide && has_low)
        fhir_decimal_write_key(end_of(v->is.number, false), &from);
    if (!is_wide && has_high)
        fhir_decimal_write_key(end_of(v->is.number, true), &to);
    for (unsigned i = 0; i < 12; i++)
        buf_char(&to, (char)0xff);
    struct range r = {buf_text(&from), buf_text(&to), false};
    return walk_range(d, &r);
}

static enum store_result walk_number(struct driving *d, const struct fhir_query_value *v)
{
    struct plan *p = d->plan;
    bool is_quantity = v->is.type == FHIR_SEARCH_QUANTITY;
    uint32_t unit = 0;
    if (is_quantity && (v->any_code || v->any_system)) {
        char low[2] = {KEY_NUMBER, (char)p->type_number},
             high[3] = {KEY_NUMBER, (char)p->type_number, (char)0xff};
        struct range r = {{low, 2}, {high, 3}, false};
        return walk_range(d, &r);
    }
    struct str text = is_quantity ? key_unit_text(v->is.number, p->arena) : STR_NONE;
    enum store_result result = text.n ? engine_term(p->store, text, &unit) : STORE_FINE;
    if (result != STORE_FINE)
        return result == STORE_NOT_FOUND ? STORE_FINE : result;
    result = walk_unit(d, v, unit, false);
    return result == STORE_FINE && !d->is_enough ? walk_unit(d, v, unit, true) : result;
}

static enum store_result walk_numbers(struct driving *d)
{
    enum store_result result = STORE_FINE;
    for (uint32_t i = 0; i < d->filter->criterion->value_count && result == STORE_FINE && !d->is_enough; i++)
        result = walk_number(d, &d->filter->criterion->values[i]);
    return result;
}

/* ---- choosing */

static enum store_result drive(struct driving *d)
{
    if (!d->filter)
        return walk_all(d);
    switch (d->filter->kind) {
    case FILTER_NOTHING:
        return STORE_FINE;
    case FILTER_TERMS:
        return walk_terms(d);
    case FILTER_SET:
        return walk_set(d);
    case FILTER_LINK:
        return walk_links(d);
    case FILTER_DATES:
        return walk_dates(d);
    case FILTER_NUMBERS:
        return walk_numbers(d);
    default:
        return STORE_BROKEN;
    }
}

/* Within a patient's file only what keys say by place: dates, numbers and links are walked over all files. */
static bool can_drive(const struct plan *p, const struct filter *f)
{
    if (f->is_negated)
        return false;
    switch (f->kind) {
    case FILTER_NOTHING:
    case FILTER_SET:
        return true;
    case FILTER_TERMS:
        return f->prefix_count <= DRIVING_PREFIXES_MAX && !(f->is_whose && p->has_scope);
    case FILTER_LINK:
    case FILTER_DATES:
    case FILTER_NUMBERS:
        return !p->has_scope;
    default:
        return false;
    }
}

static enum store_result probe(struct plan *p, struct filter *f, uint64_t most, uint64_t *ret)
{
    struct driving d = {.plan = p, .filter = f, .is_probe = true, .seen_max = most};
    if (f && f->kind == FILTER_SET) {
        *ret = f->set.n < most ? f->set.n : most;
        return STORE_FINE;
    }
    enum store_result result = drive(&d);
    *ret = d.seen;
    return result;
}

enum store_result plan_choose_driver(struct plan *p, uint8_t *ret)
{
    const uint32_t *patients;
    if (!p->has_scope && seer_scope(p->seer, p->type, &patients, &p->patient_count)) {
        p->has_scope = true;
        p->patients = arena_alloc(p->arena, (p->patient_count + 1) * sizeof *p->patients);
        if (!p->patients)
            return STORE_NO_MEMORY;
        if (p->patient_count)
            memcpy(p->patients, patients, p->patient_count * sizeof *p->patients);
    }
    uint64_t best = p->has_scope ? PROBE_SCOPED : PROBE_ALL, n;
    enum store_result result = STORE_FINE;
    unsigned possible = 0;
    *ret = DRIVER_ALL;
    for (size_t i = 0; i < p->filter_count; i++) {
        if (!can_drive(p, &p->filters[i]))
            continue;
        possible++;
        if (*ret == DRIVER_ALL || p->filters[i].kind == FILTER_NOTHING)
            *ret = (uint8_t)i;
    }
    for (size_t i = 0; possible > 1 && i < p->filter_count && result == STORE_FINE; i++) {
        if (!can_drive(p, &p->filters[i]))
            continue;
        result = probe(p, &p->filters[i], best, &n);
        if (result == STORE_FINE && n < best) {
            best = n;
            *ret = (uint8_t)i;
        }
    }
    return result;
}

bool driver_is_one_range(const struct plan *p, uint8_t driver)
{
    if (p->has_scope && p->patient_count != 1)
        return false;
    if (driver == DRIVER_ALL)
        return true;
    const struct filter *f = &p->filters[driver];
    return f->kind == FILTER_TERMS && f->prefix_count == 1 &&
           !(f->is_whose && f->prefixes[0].p[0] == KEY_REFERENCE);
}

/* ---- whole walks */

enum store_result plan_walk(struct plan *p, const struct walk *w, struct candidates *out)
{
    struct driving d = {.plan = p, .driver = w->driver, .walk = w, .out = out};
    d.filter = w->driver == DRIVER_ALL ? NULL : &p->filters[w->driver];
    enum store_result result = p->is_hidden ? STORE_FINE : drive(&d);
    if (result == STORE_FINE && arena_overflowed(p->arena))
        return engine_fail(p->store, STORE_TOO_COSTLY, "the search needs too much memory");
    return result;
}

enum store_result plan_solve(struct plan *p, struct set *ret)
{
    struct candidates found = {0};
    struct walk w = {0};
    enum store_result result = plan_choose_driver(p, &w.driver);
    if (result == STORE_FINE)
        result = plan_walk(p, &w, &found);
    for (size_t i = 0; i < found.n && result == STORE_FINE; i++)
        result = set_add(ret, found.at[i].place.resource, p->arena);
    set_sort(ret);
    return result;
}

enum store_result filter_gather(struct plan *p, struct filter *f)
{
    struct driving d = {.plan = p, .filter = f, .gathered = &f->found};
    enum store_result result = drive(&d);
    set_sort(&f->found);
    f->has_found = result == STORE_FINE;
    return result;
}
