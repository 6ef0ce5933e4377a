/* Random resources, random searches, random views: what the store finds by its keys is what an evaluation of
 * every resource finds, by an indexer that evaluates every expression as it is written. */
#include "store/match.h"
#include "store_test.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

enum { MODEL_MAX = 400, NAME_BYTES = 48 };

struct known {
    char name[NAME_BYTES]; /* "Patient/p1" */
    const struct fhir_type *type;
    struct str id;
    bool is_there;
    struct fhir_index_rows rows;
};

static struct known model[MODEL_MAX];
static size_t model_count;
static uint64_t random_state;

static unsigned pick(unsigned n)
{
    return (unsigned)(hash_mix(++random_state) >> 20) % n;
}

/* ---- resources */

static const char *const families[] = {"Jansen", "de Vries",     "JANSSEN",
                                       "Bakker", "van den Berg", "\\u00c9mile"};
static const char *const codes[] = {"1", "2", "3", "10", "X"};
static const char *const systems[] = {"http://a", "http://b", ""};

static void add_coding(struct buf *b)
{
    const char *system = systems[pick(3)];
    buf_printf(b, "{");
    if (*system)
        buf_printf(b, "'system':'%s',", system);
    buf_printf(b, "'code':'%s','display':'%s %u'}", codes[pick(5)], families[pick(6)], pick(3));
}

static void add_concept(struct buf *b, const char *name)
{
    buf_printf(b, ",'%s':{'coding':[", name);
    add_coding(b);
    if (pick(3) == 0) {
        buf_char(b, ',');
        add_coding(b);
    }
    buf_printf(b, "]%s}", pick(2) ? ",'text':'Some text'" : "");
}

static void add_date(struct buf *b)
{
    unsigned year = 2018 + pick(6), month = 1 + pick(12), day = 1 + pick(28);
    switch (pick(4)) {
    case 0:
        buf_printf(b, "'%u'", year);
        break;
    case 1:
        buf_printf(b, "'%u-%02u'", year, month);
        break;
    case 2:
        buf_printf(b, "'%u-%02u-%02u'", year, month, day);
        break;
    default:
        buf_printf(b, "'%u-%02u-%02uT%02u:30:00.%03uZ'", year, month, day, pick(24), pick(1000));
    }
}

static void add_period(struct buf *b, const char *name)
{
    buf_printf(b, ",'%s':{", name);
    unsigned which = pick(4);
    if (which != 1) {
        buf_printf(b, "'start':");
        add_date(b);
    }
    if (which == 0)
        buf_char(b, ',');
    if (which < 2) {
        buf_printf(b, "'end':'%u-12-31'", 2024 + pick(2));
    }
    buf_char(b, '}');
}

static void add_quantity(struct buf *b, const char *name)
{
    static const char *const units[] = {"g", "mg", "kg", "mmol/L", "/min"};
    buf_printf(b, ",'%s':{'value':%u.%u", name, pick(20), pick(10));
    if (pick(8) == 0)
        buf_printf(b, ",'comparator':'%s'", pick(2) ? "<" : ">=");
    if (pick(6))
        buf_printf(b, ",'system':'http://unitsofmeasure.org','code':'%s'", units[pick(5)]);
    buf_printf(b, ",'unit':'%s'}", units[pick(5)]);
}

static void add_reference(struct buf *b, const char *name, const char *type, char letter, unsigned n)
{
    buf_printf(b, ",'%s':{'reference':'%s/%c%u'", name, type, letter, pick(n));
    if (pick(5) == 0)
        buf_printf(b, ",'identifier':{'system':'http://i','value':'%u'},'display':'%s'", pick(4),
                   families[pick(6)]);
    buf_char(b, '}');
}

static void add_common(struct buf *b)
{
    buf_printf(b, ",'meta':{'tag':[{'system':'http://t','code':'%u'}]", pick(4));
    if (pick(4) == 0)
        buf_printf(b, ",'security':[{'code':'R'}]");
    if (pick(3) == 0)
        buf_printf(b, ",'profile':['http://x.nl/p/%u']", pick(3));
    buf_char(b, '}');
}

static void write_patient(struct buf *b)
{
    buf_printf(b, ",'name':[{'family':'%s','given':['%s']}],'gender':'%s'", families[pick(6)],
               families[pick(6)], pick(2) ? "female" : "male");
    buf_printf(
        b,
        ",'identifier':[{'system':'%s','value':'%u','type':{'coding':[{'system':'http://y','code':'NI'}]}}]",
        systems[pick(2)], pick(30));
    if (pick(3))
        buf_printf(b, ",'birthDate':'19%02u-0%u-0%u'", pick(90) + 10, 1 + pick(9), 1 + pick(9));
    if (pick(3))
        add_reference(b, "managingOrganization", "Organization", 'o', 3);
    if (pick(5) == 0) {
        buf_printf(b, ",'link':[{'type':'seealso','other':{'reference':'Patient/p%u'}}]", pick(12));
    }
}

static void write_observation(struct buf *b)
{
    buf_printf(b, ",'status':'%s'", pick(3) ? "final" : "amended");
    add_concept(b, "code");
    if (pick(12) == 0)
        add_reference(b, "subject", "Group", 'g', 5);
    else if (pick(10))
        add_reference(b, "subject", "Patient", 'p', 12);
    if (pick(2))
        add_reference(b, "encounter", "Encounter", 'e', 10);
    if (pick(3) == 0) {
        buf_printf(b, ",'performer':[{'reference':'Patient/p%u'},{'reference':'Practitioner/d%u'}]", pick(12),
                   pick(4));
    }
    if (pick(4)) {
        buf_printf(b, ",'effectiveDateTime':");
        add_date(b);
    } else if (pick(2)) {
        add_period(b, "effectivePeriod");
    }
    if (pick(3))
        add_quantity(b, "valueQuantity");
    else if (pick(2))
        add_concept(b, "valueCodeableConcept");
    else
        buf_printf(b, ",'valueString':'%s'", families[pick(6)]);
    if (pick(4) == 0) {
        buf_printf(b, ",'component':[{'x':1");
        add_concept(b, "code");
        add_quantity(b, "valueQuantity");
        buf_printf(b, "}]");
    }
}

static void write_other(struct buf *b, const char *type)
{
    if (strcmp(type, "Encounter") == 0) {
        buf_printf(b, ",'status':'finished'");
        add_reference(b, "subject", "Patient", 'p', 12);
        add_period(b, "period");
        if (pick(2))
            add_reference(b, "serviceProvider", "Organization", 'o', 3);
    } else if (strcmp(type, "Appointment") == 0) {
        buf_printf(b, ",'status':'booked','participant':[");
        for (unsigned i = 0, n = 1 + pick(4); i < n; i++)
            buf_printf(b, "%s{'actor':{'reference':'%s%u'}}", i ? "," : "",
                       pick(3) ? "Patient/p" : "Practitioner/d", pick(6));
        buf_printf(b, "],'start':'2022-0%u-01T10:00:00Z'", 1 + pick(9));
    } else if (strcmp(type, "Condition") == 0) {
        add_concept(b, "code");
        add_reference(b, "subject", "Patient", 'p', 12);
        if (pick(2))
            add_reference(b, "asserter", "Practitioner", 'd', 4);
        if (pick(2)) {
            buf_printf(b, ",'onsetDateTime':");
            add_date(b);
        }
    } else if (strcmp(type, "ValueSet") == 0) {
        buf_printf(b, ",'status':'draft','url':'http://x.nl/a%s%s'", pick(2) ? "/b" : "",
                   pick(2) ? "/c" : "bc");
    } else {
        buf_printf(b, ",'name':'%s'", families[pick(6)]);
    }
}

static void make_body(const char *type, const char *id, struct buf *b)
{
    buf_printf(b, "{'resourceType':'%s','id':'%s'", type, id);
    add_common(b);
    if (strcmp(type, "Patient") == 0)
        write_patient(b);
    else if (strcmp(type, "Observation") == 0)
        write_observation(b);
    else if (strcmp(type, "Practitioner") == 0)
        buf_printf(b, ",'name':[{'family':'%s'}]", families[pick(6)]);
    else
        write_other(b, type);
    buf_printf(b, "}%c", 0);
}

static struct known *known_of(const char *name)
{
    for (size_t i = 0; i < model_count; i++) {
        if (strcmp(model[i].name, name) == 0)
            return &model[i];
    }
    struct known *k = &model[model_count++];
    *k = (struct known){0};
    snprintf(k->name, sizeof k->name, "%s", name);
    k->id = str_of(k->name);
    k->type = fhir_type_find(str_cut(&k->id, '/'));
    return k;
}

static void index_slowly(struct known *k, struct str body)
{
    struct json_tape *tape = arena_alloc(kit.arena, sizeof *tape);
    struct fhir_value value;
    struct fhir_path_env env = {.steps_max = 100'000, .hash_key = {1, 2}};
    struct json_node *nodes = arena_alloc(kit.arena, json_nodes_max(body.n) * sizeof *nodes);
    assert_int_equal(json_parse(body, 100, nodes, json_nodes_max(body.n), tape, NULL), JSON_FINE);
    assert_true(fhir_value_of_resource(tape, 0, &value));
    assert_int_equal(fhir_index_resource(kit.slow, &value, &env, kit.arena, &k->rows), FHIR_INDEX_FINE);
}

static void change_something(void)
{
    static const struct {
        const char *type;
        char letter;
        unsigned n;
    } kinds[] = {{"Patient", 'p', 12},    {"Practitioner", 'd', 4}, {"Organization", 'o', 3},
                 {"Encounter", 'e', 10},  {"Appointment", 'a', 8},  {"Condition", 'c', 10},
                 {"ValueSet", 'v', 5},    {"Observation", 'x', 60}, {"Observation", 'x', 60},
                 {"Observation", 'x', 60}};
    static char body[4'000];
    char name[NAME_BYTES], id[16];
    unsigned kind = pick(10);
    snprintf(id, sizeof id, "%c%u", kinds[kind].letter, pick(kinds[kind].n));
    snprintf(name, sizeof name, "%s/%s", kinds[kind].type, id);
    struct known *k = known_of(name);
    if (k->is_there && pick(6) == 0) {
        assert_int_equal(kit_do(STORE_DELETE, k->name, NULL, STORE_ANY_VERSION), STORE_FINE);
        k->is_there = false;
        return;
    }
    struct buf b = buf_over(body, sizeof body);
    make_body(kinds[kind].type, id, &b);
    struct store_write w = kit_write(STORE_UPDATE, k->name, body, STORE_ANY_VERSION);
    kit_put(k->name, body);
    k->is_there = true;
    index_slowly(k, w.body);
}

/* ---- the slow evaluation */

static bool sees(const struct store_view *, const struct known *);

static bool refers_to(const struct known *from, const struct fhir_search_parameter *parameter,
                      const struct known *to)
{
    for (size_t i = 0; i < from->rows.n; i++) {
        const struct fhir_index_value *v = &from->rows.at[i].values[0];
        if (from->rows.at[i].parameter == parameter && from->rows.at[i].count == 1 &&
            v->type == FHIR_SEARCH_REFERENCE && v->reference.type == to->type && !v->reference.base.n &&
            str_eq(v->reference.id, to->id))
            return true;
    }
    return false;
}

static bool fits(const struct fhir_query_criterion *c, const struct known *k, const struct store_view *view);

static bool fits_link(const struct fhir_query_criterion *c, const struct known *k,
                      const struct store_view *view)
{
    bool is_chain = c->kind == FHIR_QUERY_CHAIN;
    for (size_t i = 0; i < model_count; i++) {
        const struct known *other = &model[i];
        if (!other->is_there || !sees(view, other) ||
            !(is_chain ? refers_to(k, c->parameter, other) : refers_to(other, c->parameter, k)))
            continue;
        for (uint32_t n = 0; n < c->inner_count; n++) {
            if (c->inner[n].type == other->type && fits(&c->inner[n], other, view))
                return true;
        }
    }
    return false;
}

static bool fits(const struct fhir_query_criterion *c, const struct known *k, const struct store_view *view)
{
    bool found = false;
    switch (c->kind) {
    case FHIR_QUERY_PARAMETER:
        return match_rows(c, &k->rows);
    case FHIR_QUERY_ID:
        for (uint32_t i = 0; i < c->value_count; i++)
            found |= str_eq(c->values[i].is.token.code, k->id);
        return found != (c->modifier == FHIR_QUERY_NOT);
    default:
        return fits_link(c, k, view);
    }
}

static bool is_in_file(const struct known *k, const struct known *patient)
{
    struct str parameters = fhir_compartment_parameters(patient->type, k->type);
    if (k == patient)
        return true;
    while (parameters.n) {
        const struct fhir_search_parameter *p = fhir_search_find(k->type, str_cut(&parameters, ' '));
        if (p && refers_to(k, p, patient))
            return true;
    }
    return false;
}

static bool opens(const struct store_view *view, const struct known *patient)
{
    for (size_t i = 0; i < view->hidden_patient_count; i++) {
        if (str_eq(view->hidden_patients[i], patient->id))
            return false;
    }
    for (size_t i = 0; i < view->patient_count; i++) {
        if (str_eq(view->patients[i], patient->id))
            return true;
    }
    if (view->has_all_patients)
        return true;
    for (size_t i = 0; i < view->patient_criterion_count && patient->is_there; i++) {
        if (fits(&view->patient_criteria[i], patient, NULL))
            return true;
    }
    return false;
}

static bool is_listed(const struct fhir_type *const *types, size_t n, const struct fhir_type *type)
{
    for (size_t i = 0; i < n; i++) {
        if (types[i] == type)
            return true;
    }
    return false;
}

/* Files of patients who are only referred to count too. */
static bool is_file_open(const struct store_view *view, const struct known *k)
{
    bool has_file = false, is_open = false;
    static struct known named;
    for (unsigned i = 0; i < 12; i++) {
        snprintf(named.name, sizeof named.name, "Patient/p%u", i);
        named.type = fhir_type_find(STR("Patient"));
        named.id = str_of(named.name + 8);
        const struct known *patient = &named;
        for (size_t m = 0; m < model_count; m++)
            patient = strcmp(model[m].name, named.name) == 0 ? &model[m] : patient;
        if (!is_in_file(k, patient))
            continue;
        has_file = true;
        is_open |= opens(view, patient);
    }
    return has_file
               ? is_open
               : view->has_all_patients || is_listed(view->common_types, view->common_type_count, k->type);
}

static bool sees(const struct store_view *view, const struct known *k)
{
    bool has_only = false, fits_only = false;
    if (!view)
        return true;
    if (view->type_count && !is_listed(view->types, view->type_count, k->type))
        return false;
    if (!is_file_open(view, k))
        return false;
    for (size_t i = 0; i < view->denied_count; i++) {
        if ((!view->denied[i].type || view->denied[i].type == k->type) && fits(&view->denied[i], k, NULL))
            return false;
    }
    for (size_t i = 0; i < view->only_count; i++) {
        if (view->only[i].type && view->only[i].type != k->type)
            continue;
        has_only = true;
        fits_only |= fits(&view->only[i], k, NULL);
    }
    return !has_only || fits_only;
}

/* ---- queries */

static struct str random_query(void)
{
    static const char *const dates[] = {"2020",       "2021-06", "2019-03-04", "2022-01-01T10:00:00Z",
                                        "2024-12-31", "2018"};
    static const char *const prefixes[] = {"", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"};
    static const char *const templates[] = {
        "Patient?family=%F",
        "Patient?name:contains=%f",
        "Patient?family:exact=%F",
        "Patient?gender=male&name=%F",
        "Patient?identifier=%S|%n",
        "Patient?identifier=%n,%n",
        "Patient?identifier=%S|",
        "Patient?identifier:of-type=http://y|NI|%n",
        "Patient?birthdate=%P19%m%m-01",
        "Patient?birthdate:missing=true",
        "Patient?organization=Organization/o%m",
        "Patient?organization.name=%F",
        "Patient?_has:Observation:patient:code=%c",
        "Patient?_has:Observation:subject:status=amended&gender=female",
        "Patient?_has:Encounter:patient:service-provider.name=%F",
        "Patient?_id=p%n,p%m",
        "Patient?_id:not=p%m&_tag=http://t|%m",
        "Patient?link=Patient/p%n",
        "Patient?organization:missing=false&_security=R",
        "Patient?_security:not=R",
        "Observation?code=%c",
        "Observation?code=%S|%c",
        "Observation?code:not=%c&status=final",
        "Observation?code=|%c",
        "Observation?code:text=%f",
        "Observation?subject=Patient/p%n&code=%c",
        "Observation?patient=p%n",
        "Observation?patient=p%n&date=%P%D",
        "Observation?date=%P%D",
        "Observation?date=%P%D,%P%D",
        "Observation?date=%P%D&code=%c",
        "Observation?value-quantity=%P%n|http://unitsofmeasure.org|g",
        "Observation?value-quantity=%P%n.5||mg",
        "Observation?value-quantity=%P%n",
        "Observation?code-value-quantity=%c$%P%n",
        "Observation?component-value-quantity=lt%n|http://unitsofmeasure.org|kg",
        "Observation?combo-code=%c,%c",
        "Observation?value-string=%F",
        "Observation?value-concept:missing=%B&_tag=%m",
        "Observation?encounter=Encounter/e%m",
        "Observation?encounter.date=%P%D",
        "Observation?subject:Patient.name=%F",
        "Observation?patient.organization.name=%F&code=%c",
        "Observation?patient.gender=male&patient=p%n",
        "Observation?performer=Patient/p%n",
        "Observation?performer=d%m",
        "Observation?performer:Practitioner.name=%F",
        "Observation?subject:identifier=http://i|%m",
        "Observation?subject:text=%f",
        "Observation?_profile=http://x.nl/p/%m",
        "Observation?_profile:below=http://x.nl/p",
        "Observation?patient=p%n,p%m&status=final",
        "Observation?subject=Group/g%m",
        "Observation?subject=p%n",
        "Observation?_tag=http://t|%m&date=%P%D",
        "Encounter?date=%P%D",
        "Encounter?patient=p%n&date=%P%D",
        "Encounter?_has:Observation:encounter:code=%c",
        "Encounter?service-provider:missing=true",
        "Appointment?patient=p%m",
        "Appointment?patient=p%m,p%n",
        "Appointment?actor=Practitioner/d%m&patient=p%m",
        "Appointment?date=%P%D",
        "Condition?patient=p%n&code=%c",
        "Condition?onset-date=%P%D",
        "Condition?asserter.name=%F",
        "Condition?code:not=%c&patient=p%n",
        "ValueSet?url=http://x.nl/a",
        "ValueSet?url:below=http://x.nl/a",
        "ValueSet?url:above=http://x.nl/a/b/c/d",
        "ValueSet?url:below=http://x.nl/a/b",
        "Patient/p%n/Observation?code=%c",
        "Patient/p%n/Appointment?",
        "Practitioner/d%m/Observation?",
        "Encounter/e%m/Observation?status=final",
        "Patient/p%m/Condition?",
        "Organization?name=%F",
        "Practitioner?name=%F",
        "Practitioner/d%m/Condition?code=%c"};
    struct buf b = buf_over(arena_bytes(kit.arena, 300), 300);
    const char *t = templates[pick(sizeof templates / sizeof *templates)];
    for (; *t; t++) {
        if (*t != '%') {
            buf_char(&b, *t);
            continue;
        }
        switch (*++t) {
        case 'F':
            buf_str(&b, str_of((const char *[]){"jansen", "Jans", "de%20vries", "b", "emile",
                                                "JANSSEN"}[pick(6)]));
            break;
        case 'f':
            buf_str(&b, str_of((const char *[]){"jan", "ss", "de", "e", "some", "berg"}[pick(6)]));
            break;
        case 'c':
            buf_str(&b, str_of(codes[pick(5)]));
            break;
        case 'S':
            buf_str(&b, str_of(systems[pick(2)]));
            break;
        case 'n':
            buf_u64(&b, pick(12));
            break;
        case 'm':
            buf_u64(&b, pick(5));
            break;
        case 'P':
            buf_str(&b, str_of(prefixes[pick(10)]));
            break;
        case 'D':
            buf_str(&b, str_of(dates[pick(6)]));
            break;
        case 'B':
            buf_str(&b, pick(2) ? STR("true") : STR("false"));
            break;
        }
    }
    buf_char(&b, 0);
    return buf_text(&b);
}

static const struct store_view *random_view(void)
{
    static const char *const denied[] = {"Observation?code=1",  "Observation?encounter.date=2021",
                                         "Condition?code=2",    "Encounter?_tag=1",
                                         "Patient?gender=male", "Appointment?actor=Practitioner/d1"};
    static const char *const only[] = {"Observation?status=final", "Condition?_tag=1",
                                       "Patient?organization.name=jansen"};
    static const char *const rules[] = {"Patient?organization=Organization/o1", "Patient?gender=female",
                                        "Patient?_has:Condition:patient:code=1"};
    struct store_view *v = arena_alloc(kit.arena, sizeof *v);
    struct str *patients = arena_alloc(kit.arena, 3 * sizeof *patients);
    const struct fhir_type **types = arena_alloc(kit.arena, 4 * sizeof *types);
    struct str *hidden = arena_alloc(kit.arena, sizeof *hidden);
    if (pick(3) == 0)
        return NULL;
    v->has_all_patients = pick(3) == 0;
    v->patient_count = pick(4);
    v->patients = patients;
    for (size_t i = 0; i < v->patient_count; i++)
        patients[i] = arena_printf(kit.arena, "p%u", pick(12));
    if (pick(3) == 0) {
        hidden[0] = arena_printf(kit.arena, "p%u", pick(12));
        v->hidden_patients = hidden;
        v->hidden_patient_count = 1;
    }
    if (pick(3) == 0)
        v->patient_criteria = kit_criteria(rules[pick(3)], &v->patient_criterion_count);
    types[0] = fhir_type_find(STR("Organization"));
    types[1] = fhir_type_find(STR("Practitioner"));
    types[2] = fhir_type_find(STR("Observation"));
    types[3] = fhir_type_find(STR("Patient"));
    v->common_types = types;
    v->common_type_count = pick(4);
    v->types = types;
    v->type_count = pick(5) ? 0 : 4;
    if (pick(2))
        v->denied = kit_criteria(denied[pick(6)], &v->denied_count);
    if (pick(3) == 0)
        v->only = kit_criteria(only[pick(3)], &v->only_count);
    return v;
}

/* ---- the comparison */

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static size_t evaluate(const struct fhir_search_query *q, const struct store_view *view,
                       char names[][NAME_BYTES])
{
    size_t n = 0;
    for (size_t i = 0; i < model_count; i++) {
        const struct known *k = &model[i];
        bool is_found = k->is_there && k->type == q->types[0] && sees(view, k);
        for (uint32_t c = 0; c < q->criterion_count && is_found; c++)
            is_found = fits(&q->criteria[c], k, view);
        if (q->compartment && is_found) {
            struct known owner = {.type = q->compartment, .id = q->compartment_id};
            is_found = is_in_file(k, &owner);
        }
        if (is_found)
            snprintf(names[n++], NAME_BYTES, "%s", k->name);
    }
    qsort(names, n, NAME_BYTES, compare_names);
    return n;
}

static size_t found_names(struct str text, char names[][NAME_BYTES])
{
    size_t n = 0;
    while (text.n) {
        struct str name = str_cut(&text, ' ');
        if (name.n && name.p[0] != '=')
            snprintf(names[n++], NAME_BYTES, "%.*s", STR_ARG(name));
    }
    qsort(names, n, NAME_BYTES, compare_names);
    return n;
}

static void print_view(const struct store_view *v)
{
    if (!v)
        return;
    print_message("  all patients %d, types %zu, common types %zu, patients:", v->has_all_patients,
                  v->type_count, v->common_type_count);
    for (size_t i = 0; i < v->patient_count; i++)
        print_message(" %.*s", STR_ARG(v->patients[i]));
    for (size_t i = 0; i < v->patient_criterion_count; i++)
        print_message(", who fit %.*s=%.*s", STR_ARG(v->patient_criteria[i].name),
                      STR_ARG(v->patient_criteria[i].text));
    for (size_t i = 0; i < v->denied_count; i++)
        print_message(", not %.*s=%.*s", STR_ARG(v->denied[i].name), STR_ARG(v->denied[i].text));
    for (size_t i = 0; i < v->only_count; i++)
        print_message(", only %.*s=%.*s", STR_ARG(v->only[i].name), STR_ARG(v->only[i].text));
    print_message("\n");
}

static void print_resource(const char *name)
{
    struct store_record r;
    struct str id = str_of(name), type = str_cut(&id, '/');
    if (store_read(kit.reader, NULL, fhir_type_find(type), id, kit.arena, &r) == STORE_FINE)
        print_message("  %.*s\n", STR_ARG(r.body));
}

static unsigned compare_one(uint64_t seed)
{
    static char wanted[MODEL_MAX * 4][NAME_BYTES], got[MODEL_MAX * 4][NAME_BYTES];
    struct str text = random_query();
    const struct store_view *view = random_view();
    struct fhir_search_query *q = kit_query(text.p);
    size_t n = evaluate(q, view, wanted);
    struct str found = kit_find(text.p, view, 1 + pick(5));
    size_t m = found_names(found, got);
    bool same = n == m;
    for (size_t i = 0; i < n && same; i++)
        same = strcmp(wanted[i], got[i]) == 0;
    if (!same) {
        print_message("seed %llu%s: %s\n  wanted:", (unsigned long long)seed, view ? " with a view" : "",
                      text.p);
        for (size_t i = 0; i < n; i++)
            print_message(" %s", wanted[i]);
        print_message("\n  found: %.*s\n  in one page: %.*s\n", STR_ARG(found),
                      STR_ARG(kit_find(text.p, view, 1'000)));
        print_view(view);
        for (size_t i = 0; i < n; i++)
            print_resource(wanted[i]);
        fail();
    }
    struct str counted = arena_printf(kit.arena, "%.*s&_summary=count%c", (int)text.n - 1, text.p, 0);
    struct str total = kit_find(counted.p, view, 5);
    struct str said = arena_printf(kit.arena, "=%zu", n);
    if (!str_eq(total, said)) {
        print_message("seed %llu: %s: total %.*s instead of %zu\n", (unsigned long long)seed, text.p,
                      STR_ARG(total), n);
        fail();
    }
    return n > 0;
}

static void test_searches_are_evaluations(void **)
{
    unsigned fruitful = 0, rounds = 0;
    const char *asked = getenv("POLDER_SEED");
    uint64_t seed = asked ? strtoull(asked, NULL, 10) : 1;
    random_state = seed << 32;
    model_count = 0;
    for (unsigned i = 0; i < 250; i++)
        change_something();
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < 60; i++, rounds++)
            fruitful += compare_one(seed);
        for (unsigned i = 0; i < 8; i++)
            change_something();
    }
    assert_true(fruitful > rounds / 5); /* not all of them find nothing */
    assert_int_equal(kit_verify(), 0);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_searches_are_evaluations, kit_begin, kit_end),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}

int main(int argc, char **argv)
{
    return kit_main(argc, argv, all_tests);
}
