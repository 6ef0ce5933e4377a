/* Validation: what is refused, where, by which rule; and what passes. */
#include "fhir_test.h"

#include "fhir/validate.h"

static struct test_resource resource;
static struct arena *rules, *arena, *scratch;
static const struct fhir_validator *validator;

static int setup(void **)
{
    rules = arena_new(64 << 20);
    arena = arena_new(64 << 20);
    scratch = arena_new(64 << 20);
    validator = fhir_validator_new(rules);
    return validator ? 0 : -1;
}

static int teardown(void **)
{
    arena_free(rules);
    arena_free(arena);
    arena_free(scratch);
    return 0;
}

static bool refuses_html(void *context, struct str html)
{
    return str_find(html, STR("script")) < 0;
}

static struct fhir_validation validate(const struct json_tape *tape, uint64_t steps, bool wants_warnings)
{
    struct fhir_path_env env = {.steps_max = steps, .hash_key = {1, 2}, .html_is_fine = refuses_html};
    struct fhir_validate_input in = {tape, 0, &env, wants_warnings};
    struct fhir_validation result;
    fhir_validate(validator, &in, arena, scratch, &result);
    return result;
}

static const char *issues_text(const struct fhir_validation *v)
{
    static char memory[16'384];
    struct buf out = buf_over(memory, sizeof memory - 1);
    for (size_t i = 0; i < v->n; i++)
        buf_printf(&out, "%s%.*s %.*s %.*s", i ? "; " : "", STR_ARG(fhir_issue_code_text(v->issues[i].code)),
                   STR_ARG(v->issues[i].rule), STR_ARG(v->issues[i].location));
    memory[out.n] = 0;
    return memory;
}

/* A Patient with that inside; issues as "code rule location". */
static void expect(const char *members, const char *issues)
{
    char text[4'096];
    struct buf out = buf_over(text, sizeof text - 1);
    bool is_whole = members[0] == '{';
    buf_printf(&out, is_whole ? "%s" : "{'resourceType':'Patient',%s}", members);
    text[out.n] = 0;
    arena_reset(arena);
    test_resource_read(&resource, arena, text);
    struct fhir_validation v = validate(&resource.tape, 1'000'000, false);
    if (strcmp(issues_text(&v), issues) != 0)
        fail_msg("%s\ngives %s\nand not %s", text, issues_text(&v), issues);
    assert_int_equal(v.is_valid, issues[0] == 0);
    for (size_t i = 0; i < v.n; i++)
        assert_true(v.issues[i].text.n > 10 && v.issues[i].at < out.n);
}

static void test_what_passes(void **)
{
    static const char *const texts[] = {
        "'active':true",
        "'name':[{'given':['A',null],'_given':[null,{'extension':[{'url':'u','valueString':'x'}]}]}]",
        "'birthDate':'2024-02-29','_birthDate':{'id':'x','extension':[{'url':'u','valueDateTime':'2024-02-"
        "29T10:00:00Z'}]}",
        "'_birthDate':{'extension':[{'url':'u','valueCode':'x'}]}",
        "'extension':[{'url':'u','extension':[{'url':'v','valueDecimal':1.50}]}]",
        "'gender':'female','multipleBirthInteger':2",
        "'contained':[{'resourceType':'Organization','id':'o','name':'O'}],'managingOrganization':{'"
        "reference':'#o'}",
        "'managingOrganization':{'reference':'https://a.example/Organization/1','type':'Organization'}",
        "'managingOrganization':{'identifier':{'value':'1'}},'generalPractitioner':[{'reference':'urn:uuid:1'"
        "}]",
        "'text':{'status':'generated','div':'<div xmlns=\\'http://www.w3.org/1999/xhtml\\'>x</div>'}",
        "'fhir_comments':['old'],'active':true",
        "{'resourceType':'Bundle','type':'collection','entry':[{'fullUrl':'urn:uuid:1','resource':{'"
        "resourceType':'Patient',"
        "'active':true}}]}",
        "{'resourceType':'Observation','status':'final','code':{'text':'x'},'valueQuantity':{'value':1.0,'"
        "unit':'g'}}",
        "{'resourceType':'Parameters','parameter':[{'name':'x','valueString':'y'}]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect(texts[i], "");
}

static void test_structure(void **)
{
    expect("'nam':[]", "structure name Patient");
    expect("'n\\u0061me':[{'text':'x'}]", "structure name Patient");
    expect("'active':true,'active':true", "structure name Patient");
    expect("'_name':{'id':'a'}", "structure name Patient");
    expect("'deceased':true", "structure name Patient");
    expect("'resourceType':'Patient'", "structure name Patient");
    expect("'name':{'text':'x'}", "structure cardinality Patient.name");
    expect("'name':[]", "structure list Patient.name");
    expect("'name':[{'given':[],'_given':[{'extension':[{'url':'u','valueString':'x'}]}]}]",
           "structure list Patient.name[0].given");
    expect("'name':[null]", "structure list Patient.name[0]");
    expect("'name':[{}]", "structure empty Patient.name[0]");
    expect("'name':[{'id':'x'}]", "invariant ele-1 Patient.name[0]");
    expect("'_birthDate':{'id':'x'}", "invariant ele-1 Patient.birthDate");
    expect("'name':['x']", "structure type Patient.name[0]");
    expect("'birthDate':['2024']", "structure cardinality Patient.birthDate");
    expect("'birthDate':null", "structure type Patient.birthDate");
    expect("'name':[{'given':['a','b'],'_given':[null]}]", "structure list Patient.name[0].given");
    expect("'name':[{'given':['a',null]}]", "structure list Patient.name[0].given[1]");
    expect("'_active':'x'", "structure type Patient.active");
    expect("'_active':{'value':true}", "structure name Patient.active");
    expect("'deceasedBoolean':true,'deceasedDateTime':'2024'", "structure choice Patient");
    expect("'contained':[{'resourceType':'Nothing'}]",
           "structure type Patient.contained[0]; invariant dom-3 Patient");
    expect("'contained':[{'resourceType':'DomainResource'}]",
           "structure type Patient.contained[0]; invariant dom-3 Patient");
    expect("'contact':[{'relationship':[{'coding':[{'codes':'x'}]}],'name':{'text':'x'}}]",
           "structure name Patient.contact[0].relationship[0].coding[0]");
}

static void test_required(void **)
{
    expect("{'resourceType':'Observation','code':{'text':'x'}}", "required cardinality Observation");
    expect("'link':[{'type':'refer'}]", "required cardinality Patient.link[0]");
    expect("'communication':[{'preferred':true}]", "required cardinality Patient.communication[0]");
    expect("'extension':[{'valueString':'x'}]", "required cardinality Patient.extension[0]");
}

static void test_values(void **)
{
    expect("'active':'true'", "value type Patient.active");
    expect("'active':{'a':1}", "value type Patient.active");
    expect("'birthDate':'2023-02-29'", "value syntax Patient.birthDate");
    expect("'birthDate':''", "value syntax Patient.birthDate");
    expect("'id':'a_b'", "value syntax Patient.id");
    expect("'multipleBirthInteger':1.5", "value syntax Patient.multipleBirth");
    expect("'gender':'man'", "code-invalid binding Patient.gender");
    expect("'gender':' male'", "value syntax Patient.gender");
    expect("'name':[{'given':['a','']}]", "value syntax Patient.name[0].given[1]");
}

static void test_references(void **)
{
    expect("'managingOrganization':{'reference':'Patient/1'}",
           "value reference Patient.managingOrganization");
    expect("'managingOrganization':{'reference':'Organization/1','type':'Patient'}",
           "value reference Patient.managingOrganization");
    expect("'managingOrganization':{'type':'Patient','identifier':{'value':'1'}}",
           "value reference Patient.managingOrganization");
    expect("'managingOrganization':{'reference':'#o'}", "invariant ref-1 Patient.managingOrganization");
    expect("'contained':[{'resourceType':'Patient','id':'o','active':true}],'managingOrganization':{'"
           "reference':'#o'}",
           "value reference Patient.managingOrganization");
}

static void test_invariants(void **)
{
    expect("'contact':[{'gender':'male'}]", "invariant pat-1 Patient.contact[0]");
    expect("'telecom':[{'value':'1'}]", "invariant cpt-2 Patient.telecom[0]");
    expect("'name':[{'text':'x','period':{'start':'2024-02','end':'2024-01'}}]",
           "invariant per-1 Patient.name[0].period");
    expect("'extension':[{'url':'u'}]", "invariant ext-1 Patient.extension[0]");
    expect("'contained':[{'resourceType':'Organization','id':'o','name':'O'}]", "invariant dom-3 Patient");
    expect("'text':{'status':'generated','div':'<script/>'}",
           "invariant txt-1 Patient.text.div; invariant txt-2 Patient.text.div");
    expect("{'resourceType':'Observation','status':'final','code':{'coding':[{'code':'a'}]},'valueString':'x'"
           ",'component':"
           "[{'code':{'coding':[{'code':'a'}]},'valueString':'y'}]}",
           "invariant obs-7 Observation");
    expect("{'resourceType':'Bundle','type':'transaction','entry':[{'resource':{'resourceType':'Patient','"
           "active':true}}]}",
           "invariant bdl-3 Bundle");
}

static void test_warnings_when_wanted(void **)
{
    arena_reset(arena);
    test_resource_read(&resource, arena, "{'resourceType':'Patient','active':true}");
    struct fhir_validation v = validate(&resource.tape, 100'000, true);
    assert_true(v.is_valid);
    assert_string_equal(issues_text(&v), "invariant dom-6 Patient");
}

/* ---- bounds */

static struct fhir_validation validate_text(struct arena *memory, struct str text, uint64_t steps)
{
    struct json_tape *tape = arena_alloc(memory, sizeof *tape);
    struct json_node *nodes = arena_alloc(memory, json_nodes_max(text.n) * sizeof *nodes);
    assert_int_equal(json_parse(text, 1'000, nodes, json_nodes_max(text.n), tape, NULL), JSON_FINE);
    arena_reset(arena);
    return validate(tape, steps, false);
}

/* before, n times each, after. */
static struct str repeated(struct arena *memory, const char *before, const char *each, unsigned n,
                           const char *after)
{
    size_t room = strlen(before) + n * strlen(each) + strlen(after);
    struct buf out = buf_over(arena_bytes(memory, room), room);
    buf_str(&out, str_of(before));
    for (unsigned i = 0; i < n; i++)
        buf_str(&out, str_of(each));
    buf_str(&out, str_of(after));
    return buf_text(&out);
}

static void test_issues_are_bounded(void **)
{
    struct arena *memory = arena_new(64 << 20);
    struct str text = repeated(memory, "{\"resourceType\":\"Patient\"", ",\"bad\":1", 10'000, "}");
    struct fhir_validation v = validate_text(memory, text, 1'000);
    assert_int_equal(v.n, FHIR_VALIDATE_ISSUES_MAX);
    assert_int_equal(v.issues[v.n - 1].code, FHIR_ISSUE_INCOMPLETE);
    assert_false(v.is_valid);
    arena_free(memory);
}

static void test_depth_is_bounded(void **)
{
    struct arena *memory = arena_new(64 << 20);
    struct str open =
        repeated(memory, "{\"resourceType\":\"Patient\"", ",\"extension\":[{\"url\":\"u\"", 120, "");
    char *z = arena_copy_z(memory, open);
    struct str text = repeated(memory, z, "}]", 120, "}");
    struct fhir_validation v = validate_text(memory, text, 1'000'000);
    assert_int_equal(v.issues[0].code, FHIR_ISSUE_TOO_COSTLY);
    arena_free(memory);
}

static void expect_too_costly(const char *before, const char *each, const char *after)
{
    struct arena *memory = arena_new(256 << 20);
    struct fhir_validation v = validate_text(memory, repeated(memory, before, each, 20'000, after), 50'000);
    bool is_told = false;
    for (size_t i = 0; i < v.n; i++)
        is_told |= v.issues[i].code == FHIR_ISSUE_TOO_COSTLY;
    assert_true(is_told && !v.is_valid);
    arena_free(memory);
}

/* One rule that is too much, and many that are little. */
static void test_cost_is_bounded(void **)
{
    expect_too_costly("{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[{\"resource\":{"
                      "\"resourceType\":\"Basic\",\"code\":"
                      "{\"text\":\"x\"}}}",
                      ",{\"resource\":{\"resourceType\":\"Basic\",\"code\":{\"text\":\"x\"}}}", "]}");
    expect_too_costly("{\"resourceType\":\"Patient\",\"telecom\":[{\"system\":\"phone\",\"value\":\"1\"}",
                      ",{\"system\":\"phone\",\"value\":\"1\"}", "]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_passes),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_required),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_invariants),
        cmocka_unit_test(test_warnings_when_wanted),
        cmocka_unit_test(test_issues_are_bounded),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_cost_is_bounded),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
