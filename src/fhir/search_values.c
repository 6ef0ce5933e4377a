/* What an element is worth to a search, by the parameter's type and the element's
 * (https://hl7.org/fhir/R4/search.html#token and the sections around it). */
#include "fhir/fold.h"
#include "fhir/reference.h"
#include "fhir/search_plan.h"
#include "fhir/ucum.h"

static void add(struct index_run *run, struct index_values *values, struct fhir_index_value value)
{
    if (values->n == values->room) {
        uint32_t room = values->room ? values->room * 2 : 2;
        struct fhir_index_value *at = arena_alloc(run->arena, room * sizeof *at);
        if (!at || room > FHIR_INDEX_ROWS_MAX) {
            run->is_full = true;
            return;
        }
        if (values->n)
            memcpy(at, values->at, values->n * sizeof *at);
        values->at = at;
        values->room = room;
    }
    values->at[values->n++] = value;
}

static struct str text_of(struct index_run *run, const struct fhir_value *v, const char *name)
{
    return fhir_member_text(v->tape, v->node, str_of(name), run->arena);
}

/* A member with its type known: no hash is looked up. */
static bool part_of(const struct fhir_value *v, const char *name, struct fhir_value *ret)
{
    *ret = (struct fhir_value){v->tape, NULL, NULL, fhir_member(v->tape, v->node, str_of(name)), JSON_NONE};
    return ret->node != JSON_NONE;
}

/* Calls f for each value of a member, which may be a list. */
typedef void add_function(struct index_run *, const struct fhir_value *, struct index_values *);
static void each(struct index_run *run, const struct fhir_value *v, const char *name, add_function *f,
                 struct index_values *out)
{
    struct fhir_value part;
    if (!part_of(v, name, &part))
        return;
    if (json_type(v->tape, part.node) != JSON_ARRAY) {
        f(run, &part, out);
        return;
    }
    uint32_t left = json_count(v->tape, part.node);
    part.node = json_first(v->tape, part.node);
    for (; left > 0 && !run->is_full; left--, part.node = json_next(v->tape, part.node))
        f(run, &part, out);
}

/* ---- strings */

static void add_text(struct index_run *run, struct str text, enum fhir_index_role role,
                     struct index_values *out)
{
    if (text.n)
        add(run, out,
            (struct fhir_index_value){
                .type = FHIR_SEARCH_STRING, .role = role, .string = {fhir_fold(text, run->arena), text}});
}

static void add_string_node(struct index_run *run, const struct fhir_value *v, struct index_values *out)
{
    if (json_type(v->tape, v->node) == JSON_STRING)
        add_text(run, json_string(v->tape, v->node, run->arena), FHIR_INDEX_VALUE, out);
}

static void add_string(struct index_run *run, enum index_shape shape, const struct fhir_value *v,
                       struct index_values *out)
{
    static const char *const name_parts[] = {"family", "given", "prefix", "suffix", "text", NULL};
    static const char *const address_parts[] = {"line",    "city",       "district", "state",
                                                "country", "postalCode", "text",     NULL};
    const char *const *part = shape == SHAPE_HUMAN_NAME ? name_parts
                              : shape == SHAPE_ADDRESS  ? address_parts
                                                        : NULL;
    if (shape == SHAPE_TEXT)
        add_string_node(run, v, out);
    for (; part && *part; part++)
        each(run, v, *part, add_string_node, out);
}

/* ---- tokens */

static void add_token(struct index_run *run, struct str system, struct str code, enum fhir_index_role role,
                      struct index_values *out)
{
    if (code.n || system.n)
        add(run, out,
            (struct fhir_index_value){
                .type = FHIR_SEARCH_TOKEN, .role = (uint8_t)role, .token = {system, code}});
}

static void add_coding(struct index_run *run, const struct fhir_value *v, struct index_values *out)
{
    add_token(run, text_of(run, v, "system"), text_of(run, v, "code"), FHIR_INDEX_VALUE, out);
    add_text(run, text_of(run, v, "display"), FHIR_INDEX_TEXT, out);
}

static void add_concept(struct index_run *run, const struct fhir_value *v, struct index_values *out)
{
    each(run, v, "coding", add_coding, out);
    add_text(run, text_of(run, v, "text"), FHIR_INDEX_TEXT, out);
}

/* "type code|value" under the type's system, for each coding of Identifier.type. */
static void add_of_type(struct index_run *run, const struct fhir_value *identifier, struct str value,
                        struct index_values *out)
{
    struct fhir_value type;
    struct index_values codings = {0};
    if (!value.n || !part_of(identifier, "type", &type))
        return;
    add_text(run, text_of(run, &type, "text"), FHIR_INDEX_TEXT, out);
    each(run, &type, "coding", add_coding, &codings);
    for (uint32_t i = 0; i < codings.n; i++) {
        const struct fhir_index_value *c = &codings.at[i];
        if (c->type != FHIR_SEARCH_TOKEN || !c->token.code.n)
            continue;
        struct str code = arena_printf(run->arena, "%.*s|%.*s", STR_ARG(c->token.code), STR_ARG(value));
        add_token(run, c->token.system, code, FHIR_INDEX_OF_TYPE, out);
    }
}

static void add_identifier(struct index_run *run, const struct fhir_value *v, enum fhir_index_role role,
                           struct index_values *out)
{
    struct str value = text_of(run, v, "value");
    if (value.n)
        add_token(run, text_of(run, v, "system"), value, role, out);
    if (role == FHIR_INDEX_VALUE)
        add_of_type(run, v, value, out);
}

/* A code is of the system that its binding says. */
static struct str system_of(const struct fhir_value *v, struct str code)
{
    const struct fhir_value_set *set = v->element ? fhir_element_value_set(v->element) : NULL;
    return set ? fhir_value_set_system(set, code) : STR_NONE;
}

static const struct str special_values = {"http://hl7.org/fhir/special-values", 34};

static void add_token_element(struct index_run *run, enum index_shape shape, const struct fhir_value *v,
                              struct index_values *out)
{
    struct str text;
    switch (shape) {
    case SHAPE_BOOLEAN:
        add_token(run, special_values, fhir_value_text(v, run->arena), FHIR_INDEX_VALUE, out);
        break;
    case SHAPE_TEXT:
    case SHAPE_MOMENT:
    case SHAPE_NUMBER:
        text = fhir_value_text(v, run->arena);
        if (text.n)
            add_token(run, system_of(v, text), text, FHIR_INDEX_VALUE, out);
        break;
    case SHAPE_CODING:
        add_coding(run, v, out);
        break;
    case SHAPE_CODEABLE_CONCEPT:
        add_concept(run, v, out);
        break;
    case SHAPE_IDENTIFIER:
        add_identifier(run, v, FHIR_INDEX_VALUE, out);
        break;
    case SHAPE_CONTACT_POINT:
        if (text_of(run, v, "value").n)
            add_token(run, text_of(run, v, "use"), text_of(run, v, "value"), FHIR_INDEX_VALUE, out);
        break;
    default:
        break;
    }
}

/* ---- references */

static void add_canonical(struct index_run *run, struct str text, struct index_values *out)
{
    struct str version = text, url = str_cut(&version, '|');
    struct fhir_reference r = fhir_reference_parse(url);
    struct fhir_index_value value = {.type = FHIR_SEARCH_REFERENCE};
    if (!url.n || r.is_contained)
        return;
    value.reference.url = url;
    value.reference.version = version.p ? version : STR("");
    value.reference.type = r.type;
    value.reference.id = r.id;
    value.reference.base = r.base;
    add(run, out, value);
}

/* The type a reference is known to have; NULL: it does not say. */
static const struct fhir_type *type_of(struct index_run *run, const struct fhir_value *v,
                                       const struct fhir_reference *r)
{
    return r->type ? r->type : fhir_type_find(text_of(run, v, "type"));
}

static void add_reference(struct index_run *run, const struct fhir_value *v, const struct fhir_type *target,
                          struct index_values *out)
{
    struct str text = text_of(run, v, "reference");
    struct fhir_reference r = fhir_reference_parse(text);
    const struct fhir_type *type = type_of(run, v, &r);
    struct fhir_value identifier;
    if (target && (!type || !fhir_type_is_a(type, target)))
        return;
    if (text.n && !r.is_contained) {
        struct fhir_index_value value = {.type = FHIR_SEARCH_REFERENCE};
        value.reference.type = type;
        value.reference.id = r.id;
        value.reference.version = r.version;
        value.reference.base = r.base;
        value.reference.url = text;
        add(run, out, value);
    }
    if (part_of(v, "identifier", &identifier))
        add_identifier(run, &identifier, FHIR_INDEX_IDENTIFIER, out);
    add_text(run, text_of(run, v, "display"), FHIR_INDEX_TEXT, out);
}

/* ---- dates */

static void add_date(struct index_run *run, int64_t low_us, int64_t high_us, struct index_values *out)
{
    add(run, out, (struct fhir_index_value){.type = FHIR_SEARCH_DATE, .date = {low_us, high_us}});
}

static void add_moment(struct index_run *run, struct str text, struct index_values *out)
{
    struct fhir_moment m;
    if (fhir_moment_parse(text, &m))
        add_date(run, m.low_us, m.high_us, out);
}

static void add_period(struct index_run *run, const struct fhir_value *v, struct index_values *out)
{
    struct fhir_moment start, end;
    bool has_start = fhir_moment_parse(text_of(run, v, "start"), &start);
    bool has_end = fhir_moment_parse(text_of(run, v, "end"), &end);
    if (has_start || has_end)
        add_date(run, has_start ? start.low_us : INT64_MIN, has_end ? end.high_us : INT64_MAX, out);
}

static void add_event(struct index_run *run, const struct fhir_value *v, struct index_values *out)
{
    if (json_type(v->tape, v->node) == JSON_STRING)
        add_moment(run, json_string(v->tape, v->node, run->arena), out);
}

/* From the first to the last of its events, and its bounds. */
static void add_timing(struct index_run *run, const struct fhir_value *v, struct index_values *out)
{
    struct index_values parts = {0};
    struct fhir_value repeat, bounds;
    each(run, v, "event", add_event, &parts);
    if (part_of(v, "repeat", &repeat) && part_of(&repeat, "boundsPeriod", &bounds))
        add_period(run, &bounds, &parts);
    int64_t low = INT64_MAX, high = INT64_MIN;
    for (uint32_t i = 0; i < parts.n; i++) {
        low = parts.at[i].date.low_us < low ? parts.at[i].date.low_us : low;
        high = parts.at[i].date.high_us > high ? parts.at[i].date.high_us : high;
    }
    if (parts.n)
        add_date(run, low, high, out);
}

/* ---- numbers */

void index_set_base(struct fhir_index_number *n, struct arena *arena)
{
    struct fhir_unit unit;
    char name[FHIR_UNIT_NAME_MAX];
    struct buf base = buf_over(name, sizeof name);
    if (!str_eq(n->system, STR("http://unitsofmeasure.org")) || !fhir_unit_parse(n->code, &unit))
        return;
    fhir_unit_write_base(&unit, &base);
    if (!buf_overflowed(&base) && fhir_unit_convert(&unit, n->low, &n->base_low) &&
        fhir_unit_convert(&unit, n->high, &n->base_high))
        n->base_unit = arena_copy(arena, buf_text(&base));
}

static struct fhir_index_number *new_number(struct index_run *run, struct str text)
{
    struct fhir_decimal value;
    struct fhir_index_number *n =
        fhir_decimal_parse(text, &value) ? arena_alloc(run->arena, sizeof *n) : NULL;
    if (!n)
        return NULL;
    n->value = value;
    fhir_decimal_range(value, &n->low, &n->high);
    n->has_low = n->has_high = true;
    return n;
}

static void add_number(struct index_run *run, enum fhir_search_type type, const struct fhir_index_number *n,
                       struct index_values *out)
{
    if (n)
        add(run, out, (struct fhir_index_value){.type = (uint8_t)type, .number = n});
}

static struct fhir_index_number *quantity_number(struct index_run *run, const struct fhir_value *v)
{
    struct fhir_index_number *n = new_number(run, text_of(run, v, "value"));
    struct str comparator = text_of(run, v, "comparator");
    if (!n)
        return NULL;
    n->system = text_of(run, v, "system");
    n->code = text_of(run, v, "code");
    n->unit = text_of(run, v, "unit");
    n->has_low = !comparator.n || comparator.p[0] != '<';
    n->has_high = !comparator.n || comparator.p[0] != '>';
    index_set_base(n, run->arena);
    return n;
}

static void add_money(struct index_run *run, const struct fhir_value *v, struct index_values *out)
{
    struct fhir_index_number *n = new_number(run, text_of(run, v, "value"));
    if (!n)
        return;
    n->code = text_of(run, v, "currency");
    n->system = n->code.n ? STR("urn:iso:std:iso:4217") : STR("");
    add_number(run, FHIR_SEARCH_QUANTITY, n, out);
}

/* From the low end of low to the high end of high; a missing one leaves that side open. */
static void add_range(struct index_run *run, const struct fhir_value *v, struct index_values *out)
{
    struct fhir_value part;
    struct fhir_index_number *low = part_of(v, "low", &part) ? quantity_number(run, &part) : NULL;
    struct fhir_index_number *high = part_of(v, "high", &part) ? quantity_number(run, &part) : NULL;
    struct fhir_index_number *n = low ? low : high;
    if (!n)
        return;
    n->has_low = low != NULL;
    n->has_high = high != NULL;
    if (low && high) {
        n->high = high->high;
        n->base_high = high->base_high;
        if (!str_eq(low->base_unit, high->base_unit))
            n->base_unit = STR_NONE;
    }
    add_number(run, FHIR_SEARCH_QUANTITY, n, out);
}

static void add_quantity(struct index_run *run, enum index_shape shape, const struct fhir_value *v,
                         struct index_values *out)
{
    struct fhir_value origin;
    if (shape == SHAPE_QUANTITY)
        add_number(run, FHIR_SEARCH_QUANTITY, quantity_number(run, v), out);
    else if (shape == SHAPE_MONEY)
        add_money(run, v, out);
    else if (shape == SHAPE_RANGE)
        add_range(run, v, out);
    else if (shape == SHAPE_SAMPLED_DATA && part_of(v, "origin", &origin))
        add_number(run, FHIR_SEARCH_QUANTITY, quantity_number(run, &origin), out);
}

/* ---- by type */

static void add_element(struct index_run *run, enum fhir_search_type type, const struct fhir_type *target,
                        const struct fhir_value *v, struct index_values *out)
{
    enum index_shape shape = v->type ? run->indexer->shapes[fhir_type_index(v->type)] : SHAPE_OTHER;
    switch (type) {
    case FHIR_SEARCH_TOKEN:
        add_token_element(run, shape, v, out);
        break;
    case FHIR_SEARCH_REFERENCE:
        if (shape == SHAPE_REFERENCE)
            add_reference(run, v, target, out);
        else if (shape == SHAPE_TEXT)
            add_canonical(run, fhir_value_text(v, run->arena), out);
        break;
    case FHIR_SEARCH_STRING:
        add_string(run, shape, v, out);
        break;
    case FHIR_SEARCH_DATE:
        if (shape == SHAPE_MOMENT)
            add_moment(run, fhir_value_text(v, run->arena), out);
        else if (shape == SHAPE_PERIOD)
            add_period(run, v, out);
        else if (shape == SHAPE_TIMING)
            add_timing(run, v, out);
        break;
    case FHIR_SEARCH_NUMBER:
        if (shape == SHAPE_NUMBER)
            add_number(run, type, new_number(run, fhir_value_text(v, run->arena)), out);
        else if (shape == SHAPE_RANGE)
            add_range(run, v, out);
        break;
    case FHIR_SEARCH_QUANTITY:
        add_quantity(run, shape, v, out);
        break;
    case FHIR_SEARCH_URI:
        if (shape == SHAPE_TEXT && fhir_value_text(v, run->arena).n)
            add(run, out,
                (struct fhir_index_value){.type = FHIR_SEARCH_URI, .uri = fhir_value_text(v, run->arena)});
        break;
    default:
        break;
    }
}

void index_add_values(struct index_run *run, enum fhir_search_type type, const struct fhir_type *target,
                      const struct fhir_item *item, struct index_values *out)
{
    if (item->kind == FHIR_ITEM_ELEMENT && item->element.tape && item->element.node != JSON_NONE)
        add_element(run, type, target, &item->element, out);
    else if (item->kind == FHIR_ITEM_BOOLEAN && type == FHIR_SEARCH_TOKEN)
        add_token(run, special_values, item->boolean ? STR("true") : STR("false"), FHIR_INDEX_VALUE, out);
}
