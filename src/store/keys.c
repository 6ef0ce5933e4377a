/* Keys of a resource: for each value where it stands, merged over parameters, then one for each patient. */
#include "store/keys.h"

#include "base/hash.h"

#include <stdlib.h>

enum { PARAMETER_LIST_MAX = 256 };

/* A value's place with one parameter that has it. */
struct entry {
    uint8_t n, parameter;
    bool is_spot; /* no date in its place */
    char prefix[KEY_PREFIX_MAX];
};

struct making {
    const struct key_source *source;
    const struct fhir_type *type;
    uint8_t type_number;
    struct arena *arena;
    enum store_result result;
    struct entry *entries;
    size_t n, room;
    bool has_parameter[PARAMETER_LIST_MAX];
    struct keys *out;
};

/* ---- texts */

struct str key_term_of(enum term_kind kind, uint8_t type_number, struct str text, struct str tail,
                       struct arena *arena)
{
    static const struct hash_key halves[2] = {{0x706f6c6465722d31, 1}, {0x706f6c6465722d32, 2}};
    size_t cut = text.n > KEY_TEXT_MAX ? KEY_TEXT_MAX : text.n;
    char *p = arena_bytes(arena, 2 + cut + 17 + tail.n);
    if (!p)
        return STR_NONE;
    struct buf out = buf_over(p, 2 + cut + 17 + tail.n);
    buf_char(&out, (char)kind);
    buf_char(&out, (char)type_number);
    buf_str(&out, str_take(text, cut));
    if (cut < text.n) { /* 0xff stands in no UTF-8: no whole text looks so */
        buf_char(&out, (char)0xff);
        key_write(&out, hash_bytes(&halves[0], text.p, text.n), 8);
        key_write(&out, hash_bytes(&halves[1], text.p, text.n), 8);
    }
    buf_str(&out, tail);
    return buf_text(&out);
}

static enum store_result system_number(const struct key_source *s, struct str system, struct arena *arena,
                                       uint32_t *ret)
{
    *ret = 0;
    if (!system.n)
        return STORE_FINE;
    struct str text = key_term_of(TERM_SYSTEM, 0, system, STR_NONE, arena);
    return text.n ? s->term(s->context, text, ret) : STORE_NO_MEMORY;
}

static struct str token_text(const struct key_source *s, enum term_kind kind, uint8_t type_number,
                             const struct fhir_index_value *v, struct arena *arena, enum store_result *ret)
{
    char memory[5];
    struct buf tail = buf_over(memory, sizeof memory);
    uint32_t system;
    *ret = system_number(s, v->token.system, arena, &system);
    if (*ret != STORE_FINE)
        return STR_NONE;
    buf_char(&tail, 0);
    key_write(&tail, system, 4);
    return key_term_of(kind, type_number, v->token.code, buf_text(&tail), arena);
}

static struct str reference_text(const struct fhir_index_value *v, uint8_t type_number, struct arena *arena)
{
    struct str url = v->reference.url;
    if (v->reference.id.n && v->reference.type)
        url = arena_printf(arena, "%.*s%.*s/%.*s", STR_ARG(v->reference.base),
                           STR_ARG(fhir_type_name(v->reference.type)), STR_ARG(v->reference.id));
    return key_term_of(TERM_REFERENCE, type_number, url, STR_NONE, arena);
}

static bool is_of_this_store(const struct fhir_index_value *v)
{
    return v->reference.type && v->reference.id.n && v->reference.id.n <= 64 && !v->reference.base.n &&
           fhir_type_is_resource(v->reference.type);
}

struct str key_term_text(const struct key_source *s, uint8_t type_number, const struct fhir_index_value *v,
                         struct arena *arena, enum store_result *ret)
{
    static const uint8_t token_kinds[] = {TERM_TOKEN, TERM_TOKEN, TERM_OF_TYPE, TERM_IDENTIFIER};
    *ret = STORE_FINE;
    switch (v->type) {
    case FHIR_SEARCH_TOKEN:
        return token_text(s, token_kinds[v->role], type_number, v, arena, ret);
    case FHIR_SEARCH_STRING:
        return key_term_of(TERM_STRING, type_number, v->string.folded, STR_NONE, arena);
    case FHIR_SEARCH_URI:
        return key_term_of(TERM_URI, type_number, v->uri, STR_NONE, arena);
    case FHIR_SEARCH_REFERENCE:
        return is_of_this_store(v) ? STR_NONE : reference_text(v, type_number, arena);
    default:
        return STR_NONE;
    }
}

/* ---- dates */

static uint64_t date_of_rows(const struct making *m, const struct fhir_index_rows *rows)
{
    const struct type_plan *plan = plan_of_type(m->source->numbers, m->type);
    const struct fhir_index_value *found = NULL;
    for (size_t i = 0; plan->date && i < rows->n; i++) {
        if (rows->at[i].parameter != plan->date || rows->at[i].values[0].type != FHIR_SEARCH_DATE)
            continue;
        if (found)
            return 0; /* which of them counts, nobody can say */
        found = &rows->at[i].values[0];
    }
    return found ? key_date_of(found->date.low_us, found->date.high_us) : 0;
}

/* ---- patients */

static void add_patient(struct making *m, uint32_t patient)
{
    struct keys *out = m->out;
    for (unsigned i = 0; i < out->patient_count; i++) {
        if (out->patients[i] == patient)
            return;
    }
    if (out->patient_count < KEY_PATIENTS_MAX)
        out->patients[out->patient_count++] = patient;
}

static bool is_patient_reference(const struct fhir_index_value *v)
{
    return v->type == FHIR_SEARCH_REFERENCE && is_of_this_store(v) &&
           str_eq(fhir_type_name(v->reference.type), STR("Patient"));
}

static uint32_t resource_number(struct making *m, const struct fhir_index_value *v)
{
    uint32_t number = 0;
    enum store_result r =
        m->source->resource(m->source->context, v->reference.type, v->reference.id, &number);
    m->result = r == STORE_FINE ? m->result : r;
    return number;
}

static void find_patients(struct making *m, uint32_t resource, const struct fhir_index_rows *rows)
{
    if (str_eq(fhir_type_name(m->type), STR("Patient")))
        add_patient(m, resource);
    for (size_t i = 0; i < rows->n && m->result == STORE_FINE; i++) {
        const struct fhir_index_row *row = &rows->at[i];
        if (row->count == 1 && is_patient_reference(&row->values[0]) &&
            is_compartment_parameter(m->source->numbers, m->type, row->parameter))
            add_patient(m, resource_number(m, &row->values[0]));
    }
    if (!m->out->patient_count)
        add_patient(m, 0);
}

/* ---- values */

static void add_entry(struct making *m, uint8_t parameter, const struct buf *prefix, bool is_spot)
{
    if (m->n == m->room) {
        size_t room = m->room ? m->room * 2 : 32;
        struct entry *entries = arena_alloc(m->arena, room * sizeof *entries);
        if (!entries) {
            m->result = STORE_NO_MEMORY;
            return;
        }
        if (m->n)
            memcpy(entries, m->entries, m->n * sizeof *entries);
        m->entries = entries;
        m->room = room;
    }
    struct entry *e = &m->entries[m->n++];
    *e = (struct entry){.n = (uint8_t)prefix->n, .parameter = parameter, .is_spot = is_spot};
    memcpy(e->prefix, prefix->p, prefix->n);
}

/* The value in the unit it is compared in: the middle of its ends, since units only stretch. */
static bool compared_value(const struct fhir_index_number *n, struct fhir_decimal *ret)
{
    const struct fhir_decimal half = {5, -1};
    *ret = n->value;
    return !n->base_unit.n ||
           (fhir_decimal_add(n->base_low, n->base_high, ret) && fhir_decimal_multiply(*ret, half, ret));
}

static bool is_point(const struct fhir_index_number *n)
{
    struct fhir_decimal low, high;
    fhir_decimal_range(n->value, &low, &high);
    return n->has_low && n->has_high && fhir_decimal_compare(low, n->low) == 0 &&
           fhir_decimal_compare(high, n->high) == 0;
}

struct str key_unit_text(const struct fhir_index_number *n, struct arena *arena)
{
    struct str unit = n->base_unit.n ? n->base_unit : n->code;
    return unit.n ? key_term_of(TERM_UNIT, n->base_unit.n ? 1 : 0, unit, STR_NONE, arena) : STR_NONE;
}

static void write_number(struct making *m, const struct fhir_index_number *n, struct buf *out)
{
    struct fhir_decimal value;
    uint32_t unit = 0;
    struct str text = key_unit_text(n, m->arena);
    enum store_result r = text.n ? m->source->term(m->source->context, text, &unit) : STORE_FINE;
    m->result = r == STORE_FINE ? m->result : r;
    bool is_wide = !compared_value(n, &value) || !is_point(n);
    key_write(out, unit, 4);
    buf_char(out, is_wide);
    fhir_decimal_write_key(value, out);
}

static void add_reference(struct making *m, uint8_t parameter, const struct fhir_index_value *v)
{
    char memory[KEY_PREFIX_MAX];
    struct buf prefix = buf_over(memory, sizeof memory);
    buf_char(&prefix, KEY_REFERENCE);
    buf_char(&prefix, (char)m->type_number);
    key_write(&prefix, resource_number(m, v), 4);
    add_entry(m, parameter, &prefix, false);
}

static void add_term(struct making *m, uint8_t parameter, const struct fhir_index_value *v)
{
    char memory[KEY_PREFIX_MAX];
    struct buf prefix = buf_over(memory, sizeof memory);
    enum store_result r;
    struct str text = key_term_text(m->source, m->type_number, v, m->arena, &r);
    uint32_t term = 0;
    if (r == STORE_FINE)
        r = text.n ? m->source->term(m->source->context, text, &term) : STORE_NO_MEMORY;
    m->result = r == STORE_FINE ? m->result : r;
    buf_char(&prefix, KEY_TERM);
    key_write(&prefix, term, 4);
    add_entry(m, parameter, &prefix, false);
}

static void add_value(struct making *m, uint8_t parameter, const struct fhir_index_value *v)
{
    char memory[KEY_PREFIX_MAX];
    struct buf prefix = buf_over(memory, sizeof memory);
    switch (v->type) {
    case FHIR_SEARCH_DATE:
        buf_char(&prefix, KEY_DATE);
        buf_char(&prefix, (char)m->type_number);
        key_write_date(&prefix, v->date.low_us, v->date.high_us);
        add_entry(m, parameter, &prefix, true);
        break;
    case FHIR_SEARCH_NUMBER:
    case FHIR_SEARCH_QUANTITY:
        buf_char(&prefix, KEY_NUMBER);
        buf_char(&prefix, (char)m->type_number);
        write_number(m, v->number, &prefix);
        add_entry(m, parameter, &prefix, true);
        break;
    case FHIR_SEARCH_REFERENCE:
        if (is_of_this_store(v)) {
            add_reference(m, parameter, v);
            break;
        }
        [[fallthrough]];
    default:
        add_term(m, parameter, v);
        break;
    }
}

/* A composite is found by its first part that has a term; the others are for the resource to say. */
static void add_row(struct making *m, uint8_t parameter, const struct fhir_index_row *row)
{
    for (uint32_t i = 0; i < row->count; i++) {
        uint8_t type = row->values[i].type;
        if (row->count > 1 &&
            (type == FHIR_SEARCH_DATE || type == FHIR_SEARCH_NUMBER || type == FHIR_SEARCH_QUANTITY))
            continue;
        add_value(m, parameter, &row->values[i]);
        return;
    }
}

static void add_rows(struct making *m, const struct fhir_index_rows *rows)
{
    const struct type_plan *plan = plan_of_type(m->source->numbers, m->type);
    for (size_t i = 0; i < rows->n && m->result == STORE_FINE; i++) {
        const struct fhir_index_row *row = &rows->at[i];
        if (row->parameter == plan->id || row->parameter == plan->updated)
            continue;
        uint8_t parameter = number_of_parameter(m->source->numbers, m->type, row->parameter);
        if (!parameter)
            continue;
        m->has_parameter[parameter] = true;
        add_row(m, parameter, row);
    }
}

/* ---- merging */

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = str_compare((struct str){x->prefix, x->n}, (struct str){y->prefix, y->n});
    return order ? order : (int)x->parameter - (int)y->parameter;
}

static bool is_same_value(const struct entry *a, const struct entry *b)
{
    return a->n == b->n && memcmp(a->prefix, b->prefix, a->n) == 0;
}

/* The number of the type's "patient" and "subject" that refer to its only patient, or nothing else. */
static bool is_whose(const struct making *m, const struct entry *e)
{
    const struct type_plan *plan = plan_of_type(m->source->numbers, m->type);
    for (unsigned w = 0; w < 2; w++) {
        if (plan->whose[w] &&
            number_of_parameter(m->source->numbers, m->type, plan->whose[w]) == e->parameter)
            return e->prefix[0] == KEY_REFERENCE;
    }
    return false;
}

static void find_subjects(struct making *m)
{
    const struct type_plan *plan = plan_of_type(m->source->numbers, m->type);
    unsigned wanted = (plan->whose[0] != NULL) + (plan->whose[1] != NULL), found = 0;
    for (size_t i = 0; i < m->n && m->out->patient_count == 1; i++) {
        const struct entry *e = &m->entries[i];
        bool is_again = i > 0 && is_same_value(e, e - 1) && e[-1].parameter == e->parameter;
        found += !is_again && is_whose(m, e) && key_read(e->prefix + 2, 4) == m->out->patients[0];
    }
    m->out->subjects = wanted > 0 && found == wanted;
}

static bool is_said_by_place(const struct making *m, const struct entry *e)
{
    return m->out->subjects && is_whose(m, e) && key_read(e->prefix + 2, 4) == m->out->patients[0];
}

struct key_maker {
    struct making *m;
    struct str *keys;
    size_t n;
    uint32_t resource;
};

static void make_key(struct key_maker *k, struct str prefix, bool is_spot, unsigned patient, struct str tail)
{
    struct keys *out = k->m->out;
    struct place place = {out->date | (out->subjects), out->patients[patient], k->resource};
    size_t room = prefix.n + KEY_PLACE_BYTES + 2 + tail.n;
    char *p = arena_bytes(k->m->arena, room);
    if (!p) {
        k->m->result = STORE_NO_MEMORY;
        return;
    }
    struct buf b = buf_over(p, room);
    buf_str(&b, prefix);
    if (is_spot) {
        key_write(&b, place.patient, 4);
        key_write(&b, place.resource, 4);
    } else {
        key_write_place(&b, &place);
    }
    if (patient > 0)
        buf_char(&b, 0);
    buf_str(&b, tail);
    if (prefix.p[0] == KEY_NUMBER)
        buf_char(&b, (char)(tail.n + (patient > 0)));
    k->keys[k->n++] = buf_text(&b);
}

static void make_group(struct key_maker *k, const struct entry *first, size_t n)
{
    char parameters[PARAMETER_LIST_MAX];
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_said_by_place(k->m, &first[i]) &&
            (!count || (uint8_t)parameters[count - 1] != first[i].parameter))
            parameters[count++] = (char)first[i].parameter;
    }
    for (unsigned p = 0; count && p < k->m->out->patient_count && k->m->result == STORE_FINE; p++)
        make_key(k, (struct str){first->prefix, first->n}, first->is_spot, p,
                 (struct str){parameters, count});
}

static void make_all(struct key_maker *k)
{
    struct making *m = k->m;
    char list[PARAMETER_LIST_MAX], shape[4], prefix[2] = {KEY_ALL, (char)m->type_number};
    struct buf out = buf_over(list, sizeof list), tail = buf_over(shape, sizeof shape);
    for (unsigned i = 1; i < PARAMETER_LIST_MAX; i++) {
        if (m->has_parameter[i])
            buf_char(&out, (char)i);
    }
    struct str text = key_term_of(TERM_SHAPE, m->type_number, buf_text(&out), STR_NONE, m->arena);
    uint32_t number = 0;
    enum store_result r = text.n ? m->source->term(m->source->context, text, &number) : STORE_NO_MEMORY;
    m->result = r == STORE_FINE ? m->result : r;
    key_write(&tail, number, 4);
    for (unsigned p = 0; p < m->out->patient_count && m->result == STORE_FINE; p++)
        make_key(k, (struct str){prefix, 2}, false, p, buf_text(&tail));
}

static int compare_keys(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static enum store_result make_keys(struct making *m, uint32_t resource)
{
    struct key_maker k = {.m = m, .resource = resource};
    size_t most = (m->n + 1) * m->out->patient_count;
    if (most > KEY_KEYS_MAX)
        return STORE_TOO_LARGE;
    k.keys = arena_alloc(m->arena, most * sizeof *k.keys);
    if (!k.keys)
        return STORE_NO_MEMORY;
    if (m->n)
        qsort(m->entries, m->n, sizeof *m->entries, compare_entries);
    find_subjects(m);
    make_all(&k);
    for (size_t first = 0, end; first < m->n && m->result == STORE_FINE; first = end) {
        for (end = first + 1; end < m->n && is_same_value(&m->entries[first], &m->entries[end]);)
            end++;
        make_group(&k, &m->entries[first], end - first);
    }
    qsort(k.keys, k.n, sizeof *k.keys, compare_keys);
    m->out->at = k.keys;
    m->out->n = k.n;
    return m->result;
}

enum store_result keys_make(const struct key_source *source, const struct fhir_type *type, uint32_t resource,
                            const struct fhir_index_rows *rows, struct arena *arena, struct keys *ret)
{
    struct making m = {.source = source,
                       .type = type,
                       .type_number = number_of_type(source->numbers, type),
                       .arena = arena,
                       .out = ret};
    *ret = (struct keys){0};
    find_patients(&m, resource, rows);
    ret->date = date_of_rows(&m, rows);
    if (m.result == STORE_FINE)
        add_rows(&m, rows);
    return m.result == STORE_FINE ? make_keys(&m, resource) : m.result;
}
