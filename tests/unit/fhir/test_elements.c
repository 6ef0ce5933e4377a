/* Parts of a resource, and the layout for people. */
#include "fhir_test.h"

#include "fhir/elements.h"

static struct arena *arena;
static struct test_resource resource;

static int setup(void **)
{
    arena = arena_new(8 << 20);
    return arena ? 0 : -1;
}

static int teardown(void **)
{
    arena_free(arena);
    return 0;
}

/* SUBSETTED stands for the tag, single quotes for double ones. */
static void expect_part(const char *json, enum fhir_summary summary, const char *names, const char *wanted)
{
    static const char tag[] =
        "{'system':'http://terminology.hl7.org/CodeSystem/v3-ObservationValue','code':'SUBSETTED'}";
    static char memory[4'096], expected[4'096];
    memset(expected, 0, sizeof expected);
    struct str elements[4], rest = str_of(names);
    struct fhir_part part = {.summary = summary, .elements = elements};
    while (rest.n)
        elements[part.element_count++] = str_cut(&rest, ',');
    struct buf out = buf_over(memory, sizeof memory), want = buf_over(expected, sizeof expected - 1);
    fhir_part_write(test_resource_read(&resource, arena, json), &part, &out);
    for (size_t i = 0; i < out.n; i++)
        memory[i] = memory[i] == '"' ? '\'' : memory[i];
    ptrdiff_t at = str_find(str_of(wanted), STR("SUBSETTED"));
    buf_str(&want, str_take(str_of(wanted), at < 0 ? strlen(wanted) : (size_t)at));
    if (at >= 0) {
        buf_str(&want, str_of(tag));
        buf_str(&want, str_skip(str_of(wanted), (size_t)at + 9));
    }
    EXPECT_TEXT(buf_text(&out), expected);
    arena_reset(arena);
}

static const char observation[] = "{'id':'a','resourceType':'Observation','meta':{'versionId':'1' , "
                                  "'tag':[{'code':'t'}]},'text':{'status':'empty'},"
                                  "'extension':[{'url':'u'}],'status':'final','_status':{'id':'s'},'code':{'"
                                  "coding':[{'code':'c','display':'d'}],"
                                  "'extension':[{'url':'u'}],'text':'x'},'note':[{'text':'n'}],'"
                                  "valueQuantity':{'value':1.50},'modifierExtension'"
                                  ":[{'url':'u'}]}";

static void test_summary(void **)
{
    expect_part(observation, FHIR_SUMMARY_TRUE, "",
                "{'resourceType':'Observation','id':'a','meta':{'versionId':'1','tag':[{'code':'t'},"
                "SUBSETTED]},'status'"
                ":'final','_status':{'id':'s'},'code':{'coding':[{'code':'c','display':'d'}],'text':'x'},"
                "'valueQuantity':{'value':1.50},'modifierExtension':[{'url':'u'}]}");
    expect_part(observation, FHIR_SUMMARY_TEXT, "",
                "{'resourceType':'Observation','id':'a','meta':{'versionId':'1','tag':[{'code':'t'},"
                "SUBSETTED]},'text':{"
                "'status':'empty'},'status':'final','_status':{'id':'s'},'code':{'coding':[{'code':'c','"
                "display':'d'}],"
                "'extension':[{'url':'u'}],'text':'x'}}");
    expect_part("{'resourceType':'Patient','text':{'status':'empty'},'active':true,'nmae':1}",
                FHIR_SUMMARY_DATA, "", "{'resourceType':'Patient','meta':{'tag':[SUBSETTED]},'active':true}");
    expect_part("{'resourceType':'Patient','photo':[{'contentType':'a','data':'AAAA','title':'t'}]}",
                FHIR_SUMMARY_TRUE, "", "{'resourceType':'Patient','meta':{'tag':[SUBSETTED]}}");
    expect_part(
        "{'resourceType':'DiagnosticReport','media':[{'comment':'x','link':{'display':'y'}}]}",
        FHIR_SUMMARY_TRUE, "",
        "{'resourceType':'DiagnosticReport','meta':{'tag':[SUBSETTED]},'media':[{'link':{'display':'y'}}]}");
}

static void test_nothing_left(void **)
{
    expect_part(
        "{'resourceType':'Observation','focus':[{'extension':[{'url':'u'}]}],'subject':{'extension':[{'url':'"
        "u'}]},'code':{'coding':[{'id':'x'},{"
        "'extension':[]}]},'performer':[{'extension':[{'url':'u'}]},{'display':'d'}]}",
        FHIR_SUMMARY_TRUE, "",
        "{'resourceType':'Observation','meta':{'tag':[SUBSETTED]},'code':{'coding':[{'id':'x'}]},'performer':"
        "[{"
        "'display':'d'}]}");
}

static void test_named(void **)
{
    expect_part(observation, FHIR_SUMMARY_FALSE, "value,note",
                "{'resourceType':'Observation','id':'a','meta':{'versionId':'1','tag':[{'code':'t'},"
                "SUBSETTED]},'status'"
                ":'final','_status':{'id':'s'},'code':{'coding':[{'code':'c','display':'d'}],'extension':[{'"
                "url':'u'}]"
                ",'text':'x'},'note':[{'text':'n'}],'valueQuantity':{'value':1.50},'modifierExtension':[{'"
                "url':'u'}]}");
    expect_part("{'resourceType':'Patient','active':true,'gender':'male'}", FHIR_SUMMARY_FALSE, "gender",
                "{'resourceType':'Patient','meta':{'tag':[SUBSETTED]},'active':true,'gender':'male'}");
    expect_part("{'resourceType':'Patient','name':[{'text':'x'}],'gender':'male'}", FHIR_SUMMARY_FALSE,
                "gender", "{'resourceType':'Patient','meta':{'tag':[SUBSETTED]},'gender':'male'}");
}

static void test_whole(void **)
{
    expect_part("{'resourceType':'Patient' , 'nmae':1.0 }", FHIR_SUMMARY_FALSE, "",
                "{'resourceType':'Patient' , 'nmae':1.0 }");
    expect_part("{'resourceType':'Patient','meta':{'tag':[{'system':'http://terminology.hl7.org/CodeSystem/"
                "v3-ObservationValue','code':'SUBSETTED'}]}}",
                FHIR_SUMMARY_DATA, "", "{'resourceType':'Patient','meta':{'tag':[SUBSETTED]}}");
}

static void test_pretty(void **)
{
    char memory[500];
    struct buf out = buf_over(memory, sizeof memory);
    test_resource_read(&resource, arena, "{'resourceType':'Basic','a':[1.50,{ },[]],'b':{'c':'\\u0041'}}");
    fhir_pretty_write(&resource.tape, &out);
    EXPECT_TEXT(
        buf_text(&out),
        "{\n  \"resourceType\": \"Basic\",\n  \"a\": [\n    1.50,\n    {},\n    []\n  ],\n  \"b\": {\n"
        "    \"c\": \"\\u0041\"\n  }\n}\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_summary), cmocka_unit_test(test_nothing_left), cmocka_unit_test(test_named),
        cmocka_unit_test(test_whole),   cmocka_unit_test(test_pretty),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
