/* From the values of a criterion to the beginnings of the keys that have them. A text that no resource has is
 * not in the list of texts: it gives no prefix. */
#include "store/search.h"

#include <stdlib.h>

enum { PREFIXES_MAX = 200'000, TEXTS_FOR_EACH = 10 /* for each candidate that may be looked at */ };

static enum store_result add_prefix(struct plan *p, struct filter *f, enum key_kind kind, uint32_t number)
{
    char memory[6];
    struct buf out = buf_over(memory, sizeof memory);
    if (f->prefix_count == f->prefix_room) {
        size_t room = f->prefix_room ? f->prefix_room * 2 : 4;
        struct prefix *at = room > PREFIXES_MAX ? NULL : arena_alloc(p->arena, room * sizeof *at);
        if (!at)
            return engine_fail(p->store, STORE_TOO_COSTLY, "too many values fit");
        if (f->prefix_count)
            memcpy(at, f->prefixes, f->prefix_count * sizeof *at);
        f->prefixes = at;
        f->prefix_room = room;
    }
    buf_char(&out, (char)kind);
    if (kind == KEY_REFERENCE)
        buf_char(&out, (char)p->type_number);
    key_write(&out, number, 4);
    struct prefix *added = &f->prefixes[f->prefix_count++];
    added->n = (uint8_t)out.n;
    memcpy(added->p, memory, out.n);
    return STORE_FINE;
}

static enum store_result add_text(struct plan *p, struct filter *f, struct str text)
{
    uint32_t number;
    enum store_result result = text.n ? engine_term(p->store, text, &number) : STORE_NO_MEMORY;
    if (result == STORE_NOT_FOUND)
        return STORE_FINE;
    return result == STORE_FINE ? add_prefix(p, f, KEY_TERM, number) : result;
}

/* ---- walks over the list of texts */

/* What a text has to be like. */
struct wanted {
    enum { WANT_ALL, WANT_CODE, WANT_SYSTEM, WANT_PART, WANT_BELOW } how;
    struct str text;
    uint32_t system;
};

enum { NUMBER_BYTES = 5, SYSTEM_BYTES = 5 }; /* both with the zero before them */

static bool is_cut(struct str text)
{
    return text.n >= KEY_TEXT_MAX + 17 && (uint8_t)text.p[KEY_TEXT_MAX] == 0xff;
}

static bool fits(const struct wanted *w, struct str text, bool *ret_needs_body)
{
    if (is_cut(text)) {
        *ret_needs_body = true;
        return true;
    }
    switch (w->how) {
    case WANT_ALL:
        return true;
    case WANT_CODE:
        return text.n == w->text.n + SYSTEM_BYTES;
    case WANT_SYSTEM:
        return text.n >= SYSTEM_BYTES && key_read(text.p + text.n - 4, 4) == w->system;
    case WANT_PART:
        return str_find(text, w->text) >= 0;
    case WANT_BELOW:
        return text.n == w->text.n || text.p[w->text.n] == '/' ||
               (w->text.n && w->text.p[w->text.n - 1] == '/');
    }
    return false;
}

static enum store_result add_range(struct plan *p, struct filter *f, struct str from, const struct wanted *w)
{
    char memory[KEY_TEXT_MAX + 32];
    struct buf end = buf_over(memory, sizeof memory);
    struct str key;
    uint64_t passed = 0;
    buf_str(&end, from);
    buf_char(&end, (char)0xff); /* above all UTF-8 */
    buf_char(&end, (char)0xff);
    if (buf_overflowed(&end))
        return engine_fail(p->store, STORE_TOO_LARGE, "a value is too long");
    enum store_result result = engine_walk(p->store, ENGINE_TEXTS, from, buf_text(&end), false);
    while (result == STORE_FINE && engine_next(p->store, ENGINE_TEXTS, &key)) {
        if (++passed / TEXTS_FOR_EACH > engine_candidates_max(p->store))
            result = engine_fail(p->store, STORE_TOO_COSTLY, "the search would look at too many values");
        if (key.n < 2 + NUMBER_BYTES || result != STORE_FINE)
            continue;
        struct str text = {key.p + 2, key.n - 2 - NUMBER_BYTES};
        if (fits(w, text, &f->needs_body))
            result = add_prefix(p, f, KEY_TERM, (uint32_t)key_read(key.p + key.n - 4, 4));
    }
    enum store_result ended = engine_walk_end(p->store, ENGINE_TEXTS);
    return result == STORE_FINE ? ended : result;
}

/* ---- by type of value */

static enum term_kind token_kind(const struct fhir_query_value *v)
{
    return v->is.role == FHIR_INDEX_OF_TYPE      ? TERM_OF_TYPE
           : v->is.role == FHIR_INDEX_IDENTIFIER ? TERM_IDENTIFIER
                                                 : TERM_TOKEN;
}

static enum store_result system_of(struct plan *p, struct str system, uint32_t *ret)
{
    *ret = 0;
    if (!system.n)
        return STORE_FINE;
    struct str text = key_term_of(TERM_SYSTEM, 0, system, STR_NONE, p->arena);
    return text.n ? engine_term(p->store, text, ret) : STORE_NO_MEMORY;
}

static enum store_result add_token(struct plan *p, struct filter *f, const struct fhir_query_value *v)
{
    enum term_kind kind = token_kind(v);
    struct wanted w = {.how = WANT_CODE, .text = v->is.token.code};
    enum store_result result;
    if (v->any_system && !v->any_code) {
        struct str from = key_term_of(kind, p->type_number, v->is.token.code, STR_NONE, p->arena);
        struct str zero = arena_printf(p->arena, "%c", 0);
        if (v->is.token.code.n > KEY_TEXT_MAX) /* what is cut has its hash behind it: all systems follow */
            return from.n ? add_range(p, f, from, &(struct wanted){.how = WANT_ALL}) : STORE_NO_MEMORY;
        from = key_term_of(kind, p->type_number, v->is.token.code, (struct str){zero.p, 1}, p->arena);
        return from.n && zero.p ? add_range(p, f, from, &w) : STORE_NO_MEMORY;
    }
    if (v->any_code) {
        w.how = v->any_system ? WANT_ALL : WANT_SYSTEM;
        result = system_of(p, v->is.token.system, &w.system);
        struct str from = key_term_of(kind, p->type_number, STR_NONE, STR_NONE, p->arena);
        return result == STORE_FINE        ? add_range(p, f, from, &w)
               : result == STORE_NOT_FOUND ? STORE_FINE
                                           : result;
    }
    struct key_source source = engine_source(p->store);
    struct fhir_index_value value = v->is;
    struct str text = key_term_text(&source, p->type_number, &value, p->arena, &result);
    if (result == STORE_NOT_FOUND)
        return STORE_FINE;
    return result == STORE_FINE ? add_text(p, f, text) : result;
}

static enum store_result add_string(struct plan *p, struct filter *f, const struct fhir_query_value *v)
{
    uint8_t modifier = f->criterion->modifier;
    struct str folded = v->is.string.folded;
    if (modifier == FHIR_QUERY_EXACT) {
        f->needs_body = true;
        return add_text(p, f, key_term_of(TERM_STRING, p->type_number, folded, STR_NONE, p->arena));
    }
    if (modifier == FHIR_QUERY_CONTAINS) {
        struct wanted w = {.how = WANT_PART, .text = folded};
        return add_range(p, f, key_term_of(TERM_STRING, p->type_number, STR_NONE, STR_NONE, p->arena), &w);
    }
    f->needs_body |= folded.n > KEY_TEXT_MAX;
    struct wanted w = {.how = WANT_ALL};
    struct str from =
        key_term_of(TERM_STRING, p->type_number, str_take(folded, KEY_TEXT_MAX), STR_NONE, p->arena);
    return from.n ? add_range(p, f, from, &w) : STORE_NO_MEMORY;
}

/* What a URI begins with, up to each of its slashes. */
static enum store_result add_above(struct plan *p, struct filter *f, struct str uri)
{
    enum store_result result = STORE_FINE;
    for (size_t n = 1; n <= uri.n && result == STORE_FINE; n++) {
        if (n == uri.n || uri.p[n] == '/' || uri.p[n - 1] == '/')
            result =
                add_text(p, f, key_term_of(TERM_URI, p->type_number, str_take(uri, n), STR_NONE, p->arena));
    }
    return result;
}

static enum store_result add_uri(struct plan *p, struct filter *f, const struct fhir_query_value *v)
{
    if (f->criterion->modifier == FHIR_QUERY_ABOVE)
        return add_above(p, f, v->is.uri);
    struct str text = key_term_of(TERM_URI, p->type_number, v->is.uri, STR_NONE, p->arena);
    if (f->criterion->modifier != FHIR_QUERY_BELOW)
        return add_text(p, f, text);
    struct wanted w = {.how = WANT_BELOW, .text = v->is.uri};
    if (v->is.uri.n > KEY_TEXT_MAX) {
        f->needs_body = true;
        w.how = WANT_ALL;
        text = key_term_of(TERM_URI, p->type_number, str_take(v->is.uri, KEY_TEXT_MAX), STR_NONE, p->arena);
    }
    return add_range(p, f, text, &w);
}

static enum store_result add_target(struct plan *p, struct filter *f, const struct fhir_type *type,
                                    struct str id)
{
    uint32_t number;
    enum store_result result = engine_ident(p->store, type, id, &number);
    if (result == STORE_NOT_FOUND)
        return STORE_FINE;
    return result == STORE_FINE ? add_prefix(p, f, KEY_REFERENCE, number) : result;
}

static enum store_result add_targets(struct plan *p, struct filter *f, struct str id)
{
    const struct fhir_search_parameter *parameter = f->criterion->parameter;
    unsigned n = fhir_search_target_count(parameter);
    enum store_result result = STORE_FINE;
    for (unsigned i = 0; i < (n ? n : fhir_type_count()) && result == STORE_FINE; i++) {
        const struct fhir_type *type = n ? fhir_search_target(parameter, i) : fhir_type_at(i);
        if (fhir_type_is_resource(type))
            result = add_target(p, f, type, id);
    }
    return result;
}

static enum store_result add_reference(struct plan *p, struct filter *f, const struct fhir_query_value *v)
{
    f->needs_body |= v->is.reference.version.n > 0;
    if (v->is.reference.id.n && !v->is.reference.base.n && v->is.reference.id.n <= 64)
        return v->is.reference.type ? add_target(p, f, v->is.reference.type, v->is.reference.id)
                                    : add_targets(p, f, v->is.reference.id);
    struct key_source source = engine_source(p->store);
    enum store_result result;
    if (v->is.reference.id.n && !v->is.reference.type) {
        f->kind = FILTER_BODY;
        return STORE_FINE;
    }
    struct fhir_index_value value = v->is;
    struct str text = key_term_text(&source, p->type_number, &value, p->arena, &result);
    return result == STORE_FINE ? add_text(p, f, text) : result;
}

static enum store_result add_value(struct plan *, struct filter *, const struct fhir_query_value *);

/* By the first part that has a term; the resource says the rest. */
static enum store_result add_composite(struct plan *p, struct filter *f, const struct fhir_query_value *v)
{
    f->needs_body = true;
    for (uint32_t i = 0; i < v->part_count; i++) {
        uint8_t type = v->parts[i].is.type;
        if (type != FHIR_SEARCH_DATE && type != FHIR_SEARCH_NUMBER && type != FHIR_SEARCH_QUANTITY)
            return add_value(p, f, &v->parts[i]);
    }
    f->kind = FILTER_BODY;
    return STORE_FINE;
}

static enum store_result add_value(struct plan *p, struct filter *f, const struct fhir_query_value *v)
{
    switch (v->is.type) {
    case FHIR_SEARCH_TOKEN:
        return add_token(p, f, v);
    case FHIR_SEARCH_STRING:
        return add_string(p, f, v);
    case FHIR_SEARCH_URI:
        return add_uri(p, f, v);
    case FHIR_SEARCH_REFERENCE:
        return add_reference(p, f, v);
    case FHIR_SEARCH_COMPOSITE:
        return add_composite(p, f, v);
    default:
        f->kind = FILTER_BODY;
        return STORE_FINE;
    }
}

static int compare_prefixes(const void *a, const void *b)
{
    const struct prefix *x = a, *y = b;
    return str_compare((struct str){x->p, x->n}, (struct str){y->p, y->n});
}

enum store_result search_terms(struct plan *p, struct filter *f)
{
    enum store_result result = STORE_FINE;
    f->kind = FILTER_TERMS;
    for (uint32_t i = 0; i < f->criterion->value_count && result == STORE_FINE; i++)
        result = add_value(p, f, &f->criterion->values[i]);
    if (f->prefix_count)
        qsort(f->prefixes, f->prefix_count, sizeof *f->prefixes, compare_prefixes);
    size_t n = 0;
    for (size_t i = 0; i < f->prefix_count; i++) {
        if (i == 0 || compare_prefixes(&f->prefixes[i], &f->prefixes[n - 1]) != 0)
            f->prefixes[n++] = f->prefixes[i];
    }
    f->prefix_count = n;
    if (f->kind == FILTER_TERMS && !n && !f->is_negated)
        f->kind = FILTER_NOTHING;
    return arena_overflowed(p->arena) ? STORE_NO_MEMORY : result;
}
