/* Search index: which rows a resource gives. */
#include "fhir_test.h"

#include "fhir/fold.h"
#include "fhir/search_index.h"

static struct test_resource resource;
static struct arena *plans, *arena;
static const struct fhir_indexer *indexer;

static int setup(void **)
{
    plans = arena_new(64 << 20);
    arena = arena_new(8 << 20);
    indexer = fhir_indexer_new(FHIR_INDEX_BY_TREE, plans);
    return indexer ? 0 : -1;
}

static int teardown(void **)
{
    arena_free(plans);
    arena_free(arena);
    return 0;
}

static void write_decimal(struct buf *out, struct fhir_decimal d)
{
    fhir_decimal_write(fhir_decimal_trim(d), out);
}

static void write_value(struct buf *out, const struct fhir_index_value *v)
{
    static const char *const roles[] = {"", "text:", "of-type:", "identifier:"};
    buf_str(out, str_of(roles[v->role]));
    switch (v->type) {
    case FHIR_SEARCH_TOKEN:
        buf_printf(out, "%.*s|%.*s", STR_ARG(v->token.system), STR_ARG(v->token.code));
        break;
    case FHIR_SEARCH_REFERENCE:
        buf_printf(out, "%.*s/%.*s",
                   STR_ARG(v->reference.type ? fhir_type_name(v->reference.type) : STR("?")),
                   STR_ARG(v->reference.type ? v->reference.id : v->reference.url));
        break;
    case FHIR_SEARCH_STRING:
        buf_str(out, v->string.folded);
        break;
    case FHIR_SEARCH_DATE:
        buf_printf(out, "%lld..%lld", (long long)v->date.low_us, (long long)v->date.high_us);
        break;
    case FHIR_SEARCH_URI:
        buf_str(out, v->uri);
        break;
    default:
        buf_str(out, v->number->has_low ? STR("[") : STR("(-"));
        write_decimal(out, v->number->low);
        buf_char(out, ' ');
        write_decimal(out, v->number->high);
        buf_str(out, v->number->has_high ? STR(")") : STR("+)"));
        buf_str(out, v->number->code);
        if (v->number->base_unit.n) {
            buf_char(out, '=');
            write_decimal(out, v->number->base_low);
            buf_str(out, v->number->base_unit);
        }
        break;
    }
}

/* The rows of one parameter: values between '&', rows between ';', in the order they come. */
static struct str rows_of(const char *text, const char *code)
{
    static char memory[8'192];
    struct buf out = buf_over(memory, sizeof memory);
    struct fhir_path_env env = {.steps_max = 100'000, .hash_key = {1, 2}};
    struct fhir_index_rows rows;
    arena_reset(arena);
    test_resource_read(&resource, arena, text);
    assert_int_equal(fhir_index_resource(indexer, &resource.value, &env, arena, &rows), FHIR_INDEX_FINE);
    for (size_t i = 0; i < rows.n; i++) {
        const struct fhir_index_row *row = &rows.at[i];
        if (!str_eq(fhir_search_code(row->parameter), str_of(code)))
            continue;
        buf_str(&out, out.n ? STR(";") : STR(""));
        for (uint32_t k = 0; k < row->count; k++) {
            buf_str(&out, k ? STR("&") : STR(""));
            write_value(&out, &row->values[k]);
        }
    }
    return buf_text(&out);
}

static const char observation[] =
    "{'resourceType':'Observation','id':'o','status':'final','code':{'text':'Gl\\u00fccose','coding':[{'"
    "system':'http://loinc.org',"
    "'code':'15074-8','display':'Glucose'},{'system':'http://snomed.info/"
    "sct','code':'365812005'}]},'subject':{'reference':'Patient/p',"
    "'display':'P.'},'effectiveDateTime':'2024-02','valueQuantity':{'value':6.3,'code':'mmol/"
    "L','system':'http://unitsofmeasure.org'},"
    "'component':[{'code':{'coding':[{'code':'c'}]},'valueQuantity':{'value':5,'comparator':'<','code':'q'}}]"
    ","
    "'performer':[{'reference':'https://a.example/fhir/Practitioner/d/_history/"
    "2'},{'identifier':{'system':'s','value':'v'}},"
    "{'reference':'#c'}],'focus':[{'reference':'urn:uuid:c757873d-ec9a-4326-a141-556f43239520'}],"
    "'derivedFrom':[{'reference':'Observation/x'}],'meta':{'profile':['http://"
    "p|1'],'lastUpdated':'2024-01-01T00:00:00Z'}}";

static void test_observation(void **)
{
    static const char *const rows[][2] = {
        {"_id", "|o"},
        {"status", "http://hl7.org/fhir/observation-status|final"},
        {"code", "http://loinc.org|15074-8;text:glucose;http://snomed.info/sct|365812005;text:glucose"},
        {"subject", "Patient/p;text:p."},
        {"patient", "Patient/p;text:p."},
        {"performer", "Practitioner/d;identifier:s|v"},
        {"focus", "?/urn:uuid:c757873d-ec9a-4326-a141-556f43239520"},
        {"derived-from", "Observation/x"},
        {"date", "1706745600000000..1709251200000000"},
        {"value-quantity", "[6.25 6.35)mmol/L=6.25m-3.mol"},
        {"component-value-quantity", "(-4.5 5.5)q"},
        {"combo-value-quantity", "[6.25 6.35)mmol/L=6.25m-3.mol;(-4.5 5.5)q"},
        {"code-value-quantity", "http://loinc.org|15074-8&[6.25 6.35)mmol/L=6.25m-3.mol;"
                                "http://snomed.info/sct|365812005&[6.25 6.35)mmol/L=6.25m-3.mol"},
        {"component-code-value-quantity", "|c&(-4.5 5.5)q"},
        {"value-string", ""},
        {"_profile", "http://p|1"},
        {"_lastUpdated", "1704067200000000..1704067201000000"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct str got = rows_of(observation, rows[i][0]);
        if (!str_eq(got, str_of(rows[i][1])))
            fail_msg("%s: %.*s", rows[i][0], STR_ARG(got));
    }
}

static void test_patient(void **)
{
    static const char patient[] = "{'resourceType':'Patient','name':[{'family':'\\u00c5ngstr\\u00f6m','given'"
                                  ":['\\u00c9ric','J\\u00f8rn'],'text':'  E.  "
                                  "\\u00c5. "
                                  "'}],'telecom':[{'system':'phone','value':'06','use':'mobile'},{'system':'"
                                  "email','value':'a@b.example'}],"
                                  "'identifier':[{'system':'s','value':'1','type':{'coding':[{'system':'t','"
                                  "code':'MR'}],'text':'Number'}}],"
                                  "'deceasedDateTime':'2020','birthDate':'1950-06-15','active':false,"
                                  "'address':[{'city':'Utrecht','line':['Kade "
                                  "1','achter']}],'link':[{'other':{'reference':'RelatedPerson/r'}}]}";
    static const char *const rows[][2] = {
        {"family", "angstrom"},
        {"given", "eric;jorn"},
        {"name", "angstrom;eric;jorn;e. a."},
        {"phone", "mobile|06"},
        {"email", "|a@b.example"},
        {"telecom", "mobile|06;|a@b.example"},
        {"identifier", "s|1;text:number;of-type:t|MR|1"},
        {"deceased", "http://hl7.org/fhir/special-values|true"},
        {"death-date", "1577836800000000..1609459200000000"},
        {"active", "http://hl7.org/fhir/special-values|false"},
        {"address", "utrecht;kade 1;achter"},
        {"address-city", "utrecht"},
        {"link", "RelatedPerson/r"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct str got = rows_of(patient, rows[i][0]);
        /* an address's parts come in the order of the type, not of the text */
        const char *wanted = strcmp(rows[i][0], "address") == 0 ? "kade 1;achter;utrecht" : rows[i][1];
        if (!str_eq(got, str_of(wanted)))
            fail_msg("%s: %.*s", rows[i][0], STR_ARG(got));
    }
}

static void test_other_shapes(void **)
{
    static const struct {
        const char *text, *code, *rows;
    } cases[] = {
        {"{'resourceType':'Observation','subject':{'reference':'Group/g'}}", "subject", "Group/g"},
        {"{'resourceType':'Observation','subject':{'reference':'Group/g'}}", "patient", ""},
        {"{'resourceType':'Observation','subject':{'type':'Patient','identifier':{'value':'1'}}}", "patient",
         "identifier:|1"},
        {"{'resourceType':'Encounter','period':{'end':'1970-01-02'}}", "date",
         "-9223372036854775808..172800000000"},
        {"{'resourceType':'Encounter','period':{'start':'2024-01-01T10:00:00+01:00'}}", "date",
         "1704099600000000..9223372036854775807"},
        {"{'resourceType':'RiskAssessment','prediction':[{'probabilityDecimal':0.50}]}", "probability",
         "[0.495 0.505)"},
        {"{'resourceType':'Condition','onsetRange':{'low':{'value':1,'code':'a','system':'http://"
         "unitsofmeasure.org'},"
         "'high':{'value':2,'code':'a','system':'http://unitsofmeasure.org'}}}",
         "onset-age", "[0.5 2.5)a=157788e2s"},
        {"{'resourceType':'Invoice','totalNet':{'value':10.00,'currency':'EUR'}}", "totalnet",
         "[9.995 10.005)EUR"},
        {"{'resourceType':'CarePlan','activity':[{'detail':{'scheduledTiming':{'event':['2024','2022-05-01']}"
         "}}]}",
         "activity-date", "1651363200000000..1735689600000000"},
        {"{'resourceType':'CarePlan','instantiatesCanonical':['http://a/PlanDefinition/1|2.0']}",
         "instantiates-canonical", "PlanDefinition/1"},
        {"{'resourceType':'Library','relatedArtifact':[{'type':'composed-of','resource':'http://a/"
         "b'},{'type':'other',"
         "'resource':'http://a/c'}]}",
         "composed-of", "?/http://a/b"},
        {"{'resourceType':'Location','position':{'longitude':1,'latitude':2}}", "near", ""},
        {"{'resourceType':'MolecularSequence','referenceSeq':{'windowStart':1,'windowEnd':2,'chromosome':{'"
         "coding':[{'code':'X'}"
         "]}}}",
         "chromosome-window-coordinate", "|X&[0.5 1.5)&[1.5 2.5)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str got = rows_of(cases[i].text, cases[i].code);
        if (!str_eq(got, str_of(cases[i].rows)))
            fail_msg("%s: %.*s", cases[i].code, STR_ARG(got));
    }
}

static void test_rows_are_bounded(void **)
{
    struct arena *memory = arena_new(64 << 20), *roomy = arena_new(256 << 20);
    size_t room = 4 << 20;
    char *text = arena_bytes(memory, room);
    struct buf out = buf_over(text, room);
    struct json_tape tape;
    struct fhir_value value;
    struct fhir_index_rows rows;
    struct fhir_path_env env = {.steps_max = 100'000, .hash_key = {1, 2}};
    buf_printf(&out, "{\"resourceType\":\"Patient\",\"communication\":[");
    for (unsigned i = 0; i < 40'000; i++)
        buf_printf(&out, "%s{\"language\":{\"text\":\"%u\"}}", i ? "," : "", i);
    buf_printf(&out, "]}");
    struct json_node *nodes = arena_alloc(memory, json_nodes_max(out.n) * sizeof *nodes);
    assert_int_equal(json_parse(buf_text(&out), 100, nodes, json_nodes_max(out.n), &tape, NULL), JSON_FINE);
    assert_true(fhir_value_of_resource(&tape, 0, &value));
    assert_int_equal(fhir_index_resource(indexer, &value, &env, roomy, &rows), FHIR_INDEX_TOO_MANY);
    assert_true(arena_used(roomy) < 32 << 20);
    arena_free(roomy);
    arena_free(memory);
}

/* What is evaluated as it is written gives what the tree gives. */
static void test_every_part_of_a_composite_has_a_type(void **)
{
    unsigned parts = 0;
    for (unsigned i = 0; i < fhir_type_count(); i++) {
        const struct fhir_type *type = fhir_type_at(i);
        for (unsigned p = 0; p < fhir_search_count(type); p++) {
            const struct fhir_search_parameter *parameter = fhir_search_at(type, p);
            for (unsigned c = 0; c < fhir_search_component_count(parameter); c++, parts++)
                assert_true(fhir_index_part_type(type, parameter, c) < FHIR_SEARCH_SPECIAL);
        }
    }
    assert_true(parts > 100);
}

static void test_folding(void **)
{
    static const char *const rows[][2] = {{"abc", "abc"},
                                          {"ABC", "abc"},
                                          {"\xc3\x89t\xc3\xa9", "ete"},
                                          {"Stra\xc3\x9f"
                                           "e",
                                           "strasse"},
                                          {" a \t b ", "a b"},
                                          {"e\xcc\x81", "e"},
                                          {"\xc5\x82\xc3\xb8", "lo"},
                                          {"", ""},
                                          {"\xce\x91\xce\x92", "\xce\xb1\xce\xb2"},
                                          {"\xea\xb0\x80", "\xea\xb0\x80"},
                                          {"a'b-c", "a'b-c"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        EXPECT_TEXT(fhir_fold(str_of(rows[i][0]), arena), rows[i][1]);
    char text[FHIR_FOLD_BYTES_MAX + 8];
    memset(text, 'A', sizeof text);
    memcpy(text + FHIR_FOLD_BYTES_MAX - 1, "\xc3\xa9", 2);
    assert_int_equal(fhir_fold((struct str){text, sizeof text}, arena).n, FHIR_FOLD_BYTES_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_observation),
        cmocka_unit_test(test_patient),
        cmocka_unit_test(test_other_shapes),
        cmocka_unit_test(test_rows_are_bounded),
        cmocka_unit_test(test_every_part_of_a_composite_has_a_type),
        cmocka_unit_test(test_folding),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
