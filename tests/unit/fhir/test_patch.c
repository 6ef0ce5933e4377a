/* JSON Patch and FHIRPath Patch. */
#include "fhir_test.h"

#include "fhir/patch.h"

#include <stdio.h>

static struct arena *arena;

static int setup(void **)
{
    arena = arena_new(64 << 20);
    return arena ? 0 : -1;
}

static int teardown(void **)
{
    arena_free(arena);
    return 0;
}

/* A single quote stands for a double one. */
static struct json_tape tape_of(const char *text)
{
    char *bytes = arena_copy_z(arena, str_of(text));
    size_t n = strlen(text), max = json_nodes_max(n);
    struct json_node *nodes = arena_alloc(arena, max * sizeof *nodes);
    struct json_tape tape;
    for (size_t i = 0; i < n; i++)
        bytes[i] = bytes[i] == '\'' ? '"' : bytes[i];
    if (json_parse((struct str){bytes, n}, 300, nodes, max, &tape, NULL) != JSON_FINE)
        fail_msg("not JSON: %s", text);
    return tape;
}

static struct str answer_of(enum fhir_patch_result result, struct str text,
                            const struct fhir_patch_error *error)
{
    static const char *const words[] = {"", "bad", "not possible", "test failed", "too much"};
    if (result != FHIR_PATCH_FINE)
        return arena_printf(arena, "%s %u: %.*s", words[result], error->operation, STR_ARG(error->what));
    char *bytes = arena_copy_z(arena, text);
    for (char *p = bytes; *p; p++)
        *p = *p == '"' ? '\'' : *p;
    return str_of(bytes);
}

static void expect_json(const char *document, const char *patch, const char *wanted)
{
    struct json_tape d = tape_of(document), p = tape_of(patch);
    struct fhir_patch_error error;
    struct str text = STR("");
    enum fhir_patch_result result = fhir_json_patch(&d, &p, 1 << 16, arena, &text, &error);
    EXPECT_TEXT(answer_of(result, text, &error), wanted);
    arena_reset(arena);
}

static struct fhir_path_env env_of(void)
{
    return (struct fhir_path_env){
        .steps_max = 100'000, .hash_key = {1, 2}, .now = STR("2026-01-31T09:41:07.123Z")};
}

/* patch: the parts of operations, each in brackets. */
static void expect_path(const char *document, const char *patch, const char *wanted)
{
    char parameters[4'096];
    (void)snprintf(parameters, sizeof parameters, "{'resourceType':'Parameters','parameter':[%s]}", patch);
    struct json_tape d = tape_of(document), p = tape_of(parameters);
    struct fhir_patch_error error;
    struct fhir_path_env env = env_of();
    struct fhir_value v;
    struct str text = STR("");
    assert_true(fhir_value_of_resource(&p, 0, &v));
    enum fhir_patch_result result = fhir_path_patch(&d, &v, &env, 1 << 16, arena, &text, &error);
    EXPECT_TEXT(answer_of(result, text, &error), wanted);
    arena_reset(arena);
}

#define OPERATION(type, path, ...)                                                                           \
    "{'name':'operation','part':[{'name':'type','valueCode':'" type "'},{'name':'path','valueString':'" path \
    "'}" __VA_ARGS__ "]}"
#define NAME(name)         ",{'name':'name','valueString':'" name "'}"
#define VALUE(value)       ",{'name':'value'," value "}"
#define INDEX(name, value) ",{'name':'" name "','valueInteger':" value "}"

/* ---- JSON Patch. What HL7 and the RFC have as examples is in tests/suites. */

static void test_bytes_are_kept(void **)
{
    expect_json("{ 'a' : 1.50 ,\n 'b':[ 1 , 2,3 ], 'c' : {} }", "[{'op':'remove','path':'/b/1'}]",
                "{ 'a' : 1.50 ,\n 'b':[ 1,3 ], 'c' : {} }");
    expect_json("{ 'a' : 1.50 , 'b':[ ] }",
                "[{'op':'add','path':'/b/-','value':1.0},{'op':'add','path':'/b/0','value':'x'}]",
                "{ 'a' : 1.50 , 'b':['x',1.0 ] }");
    expect_json("{ 'a' : 1 , 'b': 2 }", "[{'op':'remove','path':'/a'}]", "{ 'b': 2 }");
    expect_json("{ 'a' : 1 , 'b': 2 }", "[{'op':'remove','path':'/b'}]", "{ 'a' : 1 }");
    expect_json("{ 'a' : 1 }", "[{'op':'remove','path':'/a'}]", "{  }");
    expect_json("{ 'a' : 1 } ", "[]", "{ 'a' : 1 } ");
    expect_json(" [1] ", "[{'op':'replace','path':'','value':{}}]", " {} ");
    expect_json("{}", "[{'op':'add','path':'/','value':1},{'op':'add','path':'/~1~0 \\u00e9','value':2}]",
                "{'':1,'/~ \xc3\xa9':2}");
}

static void test_json_operations(void **)
{
    expect_json("{'a':{'b':1},'c':[]}", "[{'op':'copy','from':'/a','path':'/c/-'}]",
                "{'a':{'b':1},'c':[{'b':1}]}");
    expect_json("{'a':[1,2,3]}", "[{'op':'move','from':'/a/0','path':'/a/2'}]", "{'a':[2,3,1]}");
    expect_json("{'a':1}", "[{'op':'move','from':'/a','path':'/a'}]", "{'a':1}");
    expect_json("{'a':[1,2.0,{'x':null,'y':'\\u0041'}]}",
                "[{'op':'test','path':'/a','value':[1.0,2,{'y':'A','x':null}]}]",
                "{'a':[1,2.0,{'x':null,'y':'\\u0041'}]}");
    expect_json("{'a':{'x':1}}", "[{'op':'test','path':'/a','value':{'x':1,'y':2}}]",
                "test failed 0: what stands at \"/a\" is not what the test expects");
    expect_json("{'a':1}", "[{'op':'test','path':'/b','value':null}]",
                "test failed 0: there is nothing at \"/b\"");
    expect_json("{'a':1}", "[{'op':'test','path':'/a','value':true}]",
                "test failed 0: what stands at \"/a\" is not what the test expects");
}

static void test_json_faults(void **)
{
    expect_json("{}", "{}", "bad 0: a JSON Patch is a list of operations");
    expect_json("{}", "[1]", "bad 0: an operation is an object");
    expect_json("{}", "[{'path':''}]", "bad 0: an operation without the text \"op\"");
    expect_json("{}", "[{'op':'put','path':''}]",
                "bad 0: \"put\" is no operation: add, remove, replace, move, copy and test are");
    expect_json("{}", "[{'op':'add','path':'/a'}]", "bad 0: an operation without \"value\"");
    expect_json("{}", "[{'op':'add','path':'/a','value':1,'path':'/b'}]",
                "bad 0: \"path\" stands there twice");
    expect_json("{}", "[{'op':'add','path':5,'value':1}]", "bad 0: an operation without the text \"path\"");
    expect_json("{}", "[{'op':'add','path':'a','value':1}]", "bad 0: \"a\" is no JSON pointer");
    expect_json("{}", "[{'op':'add','path':'/~2','value':1}]",
                "bad 0: \"/~2\" is no JSON pointer: '~' stands only before 0 or 1");
    expect_json("{'a':1}", "[{'op':'add','path':'/b','value':1},{'op':'remove','path':'/c'}]",
                "not possible 1: there is nothing at \"/c\"");
    expect_json("{'a':[]}", "[{'op':'add','path':'/a/1','value':1}]",
                "not possible 0: there is no place \"/a/1\": it ends before \"1\"");
    expect_json("{'a':[1,2]}", "[{'op':'remove','path':'/a/01'}]",
                "not possible 0: there is no place \"/a/01\": it ends before \"01\"");
    expect_json("{'a':[1,2]}", "[{'op':'remove','path':'/a/-'}]",
                "not possible 0: there is nothing at \"/a/-\"");
    expect_json("{}", "[{'op':'remove','path':''}]", "not possible 0: the whole document cannot be removed");
    expect_json("{'a':{'b':1}}", "[{'op':'move','from':'/a','path':'/a/c'}]",
                "not possible 0: \"/a\" cannot be moved into itself");
}

/* Doubling again and again meets the limit of size. */
static void test_json_limits(void **)
{
    char memory[8'192] = "";
    struct buf patch = buf_over(memory, sizeof memory - 1);
    for (int i = 0; i < 40; i++)
        buf_printf(&patch, "%s{'op':'copy','from':'/a','path':'/a/-'}", i ? "," : "[");
    BUF_LIT(&patch, "]");
    expect_json("{'a':['xxxxxxxxxx']}", memory,
                "too much 12: the patch asks for too much: apply it in parts");
}

/* ---- FHIRPath Patch */

static void test_add(void **)
{
    expect_path("{'resourceType':'Patient'}",
                OPERATION("add", "Patient", NAME("deceased") VALUE("'valueBoolean':true")),
                "{'resourceType':'Patient','deceasedBoolean':true}");
    expect_path("{'resourceType':'Patient','name':[{'given':['A'],'_given':[{'id':'x'}]}]}",
                OPERATION("add", "Patient.name", NAME("given") VALUE("'valueString':'B'")),
                "{'resourceType':'Patient','name':[{'given':['A','B'],'_given':[{'id':'x'},null]}]}");
    expect_path("{'resourceType':'Patient','birthDate':'2000'}",
                OPERATION("add", "Patient.birthDate", NAME("extension") VALUE("'valueString':'x'")),
                "not possible 0: a string cannot stand for extension, which is a Extension");
    expect_path("{'resourceType':'Patient','birthDate':'2000'}",
                OPERATION("add", "Patient.birthDate", NAME("id") VALUE("'valueString':'x'")),
                "{'resourceType':'Patient','birthDate':'2000','_birthDate':{'id':'x'}}");
    expect_path("{'resourceType':'Patient','birthDate':'2000'}",
                OPERATION("add", "Patient", NAME("birthDate") VALUE("'valueDate':'2001'")),
                "not possible 0: there is a birthDate already: replace it");
    expect_path("{'resourceType':'Patient'}",
                OPERATION("add", "Patient", NAME("birthDate") VALUE("'valueString':'x'")),
                "not possible 0: a string cannot stand for birthDate, which is a date");
    expect_path("{'resourceType':'Patient'}",
                OPERATION("add", "Patient", NAME("nmae") VALUE("'valueString':'x'")),
                "not possible 0: Patient has no element \"nmae\" that such a value could be");
    expect_path("{'resourceType':'Patient'}",
                OPERATION("add", "Patient",
                          NAME("contained") ",{'name':'value','resource':{'resourceType':'Slot','id':'s'}}"),
                "{'resourceType':'Patient','contained':[{'resourceType':'Slot','id':'s'}]}");
    expect_path(
        "{'resourceType':'Patient'}",
        OPERATION("add", "Patient",
                  NAME("contact") ",{'name':'value','part':[{'name':'relationship','valueCodeableConcept':{'"
                                  "text':'a'}},{'name':'gender','valueCode':'male'},{'name':'relationship','"
                                  "valueCodeableConcept':{'text':'b'}}]}"),
        "{'resourceType':'Patient','contact':[{'relationship':[{'text':'a'},{'text':'b'}],'gender':'male'}]"
        "}");
}

static void test_delete(void **)
{
    expect_path("{'resourceType':'Patient','name':[{'given':['A','B'],'_given':[null,{'id':'x'}]}]}",
                OPERATION("delete", "Patient.name.given[1]"),
                "{'resourceType':'Patient','name':[{'given':['A']}]}");
    expect_path("{'resourceType':'Patient','contact':[{'name':{'text':'x'}}],'active':true}",
                OPERATION("delete", "Patient.contact.name.text"), "{'resourceType':'Patient','active':true}");
    expect_path("{'resourceType':'Patient','_birthDate':{'extension':[{'url':'u'}]}}",
                OPERATION("delete", "Patient.birthDate.extension"), "{'resourceType':'Patient'}");
    expect_path("{'resourceType':'Patient','birthDate':'2000','_birthDate':{'extension':[{'url':'u'}]}}",
                OPERATION("delete", "Patient.birthDate.extension"),
                "{'resourceType':'Patient','birthDate':'2000'}");
    expect_path("{'resourceType':'Patient'}", OPERATION("delete", "Patient.name"),
                "{'resourceType':'Patient'}");
    expect_path("{'resourceType':'Patient','name':[{'text':'a'},{'text':'b'}]}",
                OPERATION("delete", "Patient.name"),
                "not possible 0: \"Patient.name\" leads to 2 elements: one is deleted at once");
    expect_path("{'resourceType':'Patient'}", OPERATION("delete", "Patient"),
                "not possible 0: \"Patient\" is the resource itself");
    expect_path("{'resourceType':'Patient','active':true}", OPERATION("delete", "Patient.active and true"),
                "not possible 0: \"Patient.active and true\" does not lead to elements of the resource");
}

static void test_replace(void **)
{
    expect_path("{'resourceType':'Observation','valueString':'x','_valueString':{'id':'i'}}",
                OPERATION("replace", "Observation.value", VALUE("'valueQuantity':{'value':1.50}")),
                "{'resourceType':'Observation','valueQuantity':{'value':1.50}}");
    expect_path(
        "{'resourceType':'Observation','status':'final'}",
        OPERATION("replace", "Observation.status", VALUE("'valueCode':'amended','_valueCode':{'id':'i'}")),
        "{'resourceType':'Observation','status':'amended','_status':{'id':'i'}}");
    expect_path("{'resourceType':'Observation'}",
                OPERATION("replace", "Observation.status", VALUE("'valueCode':'final'")),
                "not possible 0: \"Observation.status\" leads to 0 elements, not to one");
    expect_path("{'resourceType':'Observation','contained':[{'resourceType':'Patient','active':true}]}",
                OPERATION("replace", "Observation.contained.active", VALUE("'valueBoolean':false")),
                "{'resourceType':'Observation','contained':[{'resourceType':'Patient','active':false}]}");
}

static void test_lists(void **)
{
    expect_path(
        "{'resourceType':'Patient'}",
        OPERATION("insert", "Patient.name", VALUE("'valueHumanName':{'text':'a'}") INDEX("index", "0")),
        "{'resourceType':'Patient','name':[{'text':'a'}]}");
    expect_path(
        "{'resourceType':'Patient','name':[{'text':'a'}]}",
        OPERATION("insert", "Patient.name", VALUE("'valueHumanName':{'text':'b'}") INDEX("index", "2")),
        "not possible 0: the index has to be from 0 to 1");
    expect_path(
        "{'resourceType':'Patient','name':[{'text':'a'},{'text':'b'}]}",
        OPERATION("insert", "Patient.name[0]", VALUE("'valueHumanName':{'text':'b'}") INDEX("index", "0")),
        "not possible 0: \"Patient.name[0]\" is not a list as a whole");
    expect_path(
        "{'resourceType':'Patient','name':[{'text':'a'},{'text':'b'}],'contact':[{'name':{'text':'c'}}]}",
        OPERATION("move", "Patient.name[0] | Patient.contact.name",
                  INDEX("source", "0") INDEX("destination", "1")),
        "not possible 0: \"Patient.name[0] | Patient.contact.name\" is not a list as a whole");
    expect_path("{'resourceType':'Patient','birthDate':'2000'}",
                OPERATION("insert", "Patient.birthDate", VALUE("'valueDate':'2001'") INDEX("index", "0")),
                "not possible 0: birthDate is no list");
    expect_path(
        "{'resourceType':'Patient','name':[{'given':['A','B','C'],'_given':[{'id':'a'},null,null]}]}",
        OPERATION("move", "Patient.name.given", INDEX("source", "0") INDEX("destination", "2")),
        "{'resourceType':'Patient','name':[{'given':['B','C','A'],'_given':[null,null,{'id':'a'}]}]}");
    expect_path("{'resourceType':'Patient','name':[{'text':'a'}]}",
                OPERATION("move", "Patient.name", INDEX("source", "0") INDEX("destination", "1")),
                "not possible 0: the destination has to be from 0 to 0");
}

static void test_path_faults(void **)
{
    expect_path("{'resourceType':'Patient'}", "{'name':'x'}",
                "bad 0: each parameter of a patch is called \"operation\"");
    expect_path("{'resourceType':'Patient'}", OPERATION("put", "Patient"),
                "bad 0: \"put\" is no operation: add, insert, delete, replace and move are");
    expect_path(
        "{'resourceType':'Patient'}", OPERATION("delete", "Patient.name("),
        "bad 0: \"Patient.name(\" is not FHIRPath that is supported: there is no such function (at 8)");
    expect_path("{'resourceType':'Patient'}", OPERATION("add", "Patient", NAME("name")),
                "bad 0: add without value");
    expect_path("{'resourceType':'Patient'}", OPERATION("delete", "Patient", NAME("a") NAME("b")),
                "bad 0: the part \"name\" stands there twice");
    expect_path("{'resourceType':'Patient'}", OPERATION("delete", "Patient", ",{'name':'x','valueCode':'y'}"),
                "bad 0: \"x\" is no part of an operation");
    expect_path(
        "{'resourceType':'Observation','subject':{'reference':'Patient/1'}}",
        OPERATION("delete", "Observation.subject.resolve()"),
        "not possible 0: \"Observation.subject.resolve()\" does not lead to elements of the resource");
}

static void test_path_steps(void **)
{
    struct json_tape d = tape_of("{'resourceType':'Patient'}");
    struct json_tape p = tape_of("{'resourceType':'Parameters','parameter':[" OPERATION(
        "delete", "Patient.name") "," OPERATION("delete", "Patient.name") "]}");
    struct fhir_patch_error error;
    struct fhir_path_env env = env_of();
    struct fhir_value v;
    struct str text;
    env.steps_max = 3; /* enough for one path */
    assert_true(fhir_value_of_resource(&p, 0, &v));
    assert_int_equal(fhir_path_patch(&d, &v, &env, 1 << 16, arena, &text, &error), FHIR_PATCH_TOO_MUCH);
    assert_int_equal(error.operation, 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_kept),
        cmocka_unit_test(test_json_operations),
        cmocka_unit_test(test_json_faults),
        cmocka_unit_test(test_json_limits),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_delete),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_path_faults),
        cmocka_unit_test(test_path_steps),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
