/* FHIR between XML and JSON. */
#include "fhir_test.h"

#include "fhir/xml_write.h"

#include <stdio.h>

static const struct hash_key test_key = {1, 2};
static struct arena *arena;
static struct test_resource resource;
static char memory[3][1 << 16];
static struct fhir_xml_error error;

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
static struct str text_of(const char *text)
{
    char *bytes = arena_copy_z(arena, str_of(text));
    for (char *p = bytes; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    return str_of(bytes);
}

static struct str to_xml(struct fhir_value *v, bool is_pretty)
{
    struct buf out = buf_over(memory[0], sizeof memory[0]);
    if (!fhir_xml_write(v, is_pretty, &test_key, arena, &out, &error))
        fail_msg("%.*s: %.*s", STR_ARG(error.path), STR_ARG(error.what));
    return buf_text(&out);
}

static struct str to_json(struct str xml)
{
    struct buf out = buf_over(memory[1], sizeof memory[1]);
    if (!fhir_xml_read(xml, &test_key, arena, &out, &error))
        fail_msg("%u:%u %.*s: %.*s", error.line, error.column, STR_ARG(error.path), STR_ARG(error.what));
    return buf_text(&out);
}

/* The JSON becomes that XML, and the same JSON again; so does the XML with line ends. */
static void expect_both(const char *json, const char *xml)
{
    struct fhir_value *v = test_resource_read(&resource, arena, json);
    struct str written = to_xml(v, false);
    if (xml && !str_eq(written, text_of(xml)))
        fail_msg("%.*s", STR_ARG(written));
    assert_true(str_eq(to_json(written), text_of(json)));
    assert_true(str_eq(to_json(to_xml(v, true)), text_of(json)));
    arena_reset(arena);
}

static void expect_xml_fault(const char *xml, const char *wanted)
{
    struct buf out = buf_over(memory[1], sizeof memory[1]);
    if (fhir_xml_read(text_of(xml), &test_key, arena, &out, &error))
        fail_msg("%s was read", xml);
    EXPECT_TEXT(arena_printf(arena, "%u:%u %.*s: %.*s", error.line, error.column, STR_ARG(error.path),
                             STR_ARG(error.what)),
                wanted);
    arena_reset(arena);
}

static void expect_json_fault(const char *json, const char *wanted)
{
    struct buf out = buf_over(memory[1], sizeof memory[1]);
    struct fhir_value *v = test_resource_read(&resource, arena, json);
    if (fhir_xml_write(v, false, &test_key, arena, &out, &error))
        fail_msg("%s was written", json);
    EXPECT_TEXT(arena_printf(arena, "%.*s: %.*s", STR_ARG(error.path), STR_ARG(error.what)), wanted);
    arena_reset(arena);
}

#define NS  "xmlns='http://hl7.org/fhir'"
#define DIV "<div xmlns='http://www.w3.org/1999/xhtml'>"

/* ---- what is the same */

static void test_primitives(void **)
{
    expect_both(
        "{'resourceType':'Patient','id':'a','active':true,'birthDate':'1974-12-25','multipleBirthInteger':2}",
        "<Patient " NS "><id value='a'/><active value='true'/><birthDate "
        "value='1974-12-25'/><multipleBirthInteger value='2'/></Patient>");
    expect_both("{'resourceType':'Observation','valueQuantity':{'value':1.500}}",
                "<Observation " NS "><valueQuantity><value value='1.500'/></valueQuantity></Observation>");
    expect_both("{'resourceType':'RiskAssessment','prediction':[{'probabilityDecimal':1.0e-3}]}", NULL);
    expect_both("{'resourceType':'Patient'}", "<Patient " NS "/>");
    expect_both("{'resourceType':'Patient','name':[{'text':'\xc3\xa9 \xf0\x9f\x98\x80'}]}", NULL);
    expect_both("{'resourceType':'Basic','code':{'text':'a\\nb\\tc\\r\\n<&>\\u007f'}}",
                "<Basic " NS "><code><text value='a&#10;b&#9;c&#13;&#10;&lt;&amp;&gt;\x7f'/></code></Basic>");
}

static void test_companions(void **)
{
    expect_both(
        "{'resourceType':'Patient','name':[{'given':['A',null,'B'],'_given':[null,{'id':'x'},{'extension':[{'"
        "url':'http://e','valueCode':'c'}]}]}],'_birthDate':{'id':'b'}}",
        "<Patient " NS
        "><name><given value='A'/><given id='x'/><given value='B'><extension url='http://e'><valueCode "
        "value='c'/></extension></given></name><birthDate id='b'/></Patient>");
    expect_both("{'resourceType':'Patient','name':[{'_given':[{'id':'x'}]}]}", NULL);
    expect_both("{'resourceType':'Patient','maritalStatus':{'id':'1','extension':[{'id':'2','url':'http://"
                "e','_valueString':{'id':'3'}}]}}",
                NULL);
}

static void test_resources_inside(void **)
{
    expect_both("{'resourceType':'Observation','contained':[{'resourceType':'Patient','id':'p'},{'"
                "resourceType':'Device'}],'subject':{'reference':'#p'}}",
                "<Observation " NS "><contained><Patient><id "
                "value='p'/></Patient></contained><contained><Device/></"
                "contained><subject><reference value='#p'/></subject></Observation>");
    expect_both("{'resourceType':'Bundle','type':'batch','entry':[{'resource':{'resourceType':'Parameters','"
                "parameter':[{'name':'a','resource':{'resourceType':'Slot','id':'s'}}]}}]}",
                NULL);
}

static void test_narrative(void **)
{
    static const char *const divs[] = {"a", "<p>&amp; &#160; <![CDATA[<x>]]> <!-- c --></p>\\n  b",
                                       "<b title=\\'x\\'>y</b>\\r\\n"};
    for (size_t i = 0; i < sizeof divs / sizeof *divs; i++) {
        char json[512];
        (void)snprintf(json, sizeof json,
                       "{'resourceType':'Patient','text':{'status':'generated','div':'<div "
                       "xmlns=\\'http://www.w3.org/1999/xhtml\\'>%s</div>'}}",
                       divs[i]);
        expect_both(json, NULL);
    }
    EXPECT_TEXT(
        to_json(text_of("<f:Patient xmlns:f='http://hl7.org/fhir' "
                        "xmlns='http://www.w3.org/1999/xhtml'><f:text><div>x</div></f:text></f:Patient>")),
        "{\"resourceType\":\"Patient\",\"text\":{\"div\":\"<div "
        "xmlns=\\\"http://www.w3.org/1999/xhtml\\\">x</div>\"}}");
}

static void test_leniency(void **)
{
    EXPECT_TEXT(
        to_json(text_of("\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?>\n<!-- c --><Patient " NS
                        " xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xsi:schemaLocation='x y'>\n "
                        "<!-- c -->\n <active value='true'><!-- c --></active>\n</Patient>\n")),
        "{\"resourceType\":\"Patient\",\"active\":true}");
}

/* ---- faults */

static void test_xml_faults(void **)
{
    expect_xml_fault("", "0:0 : nothing there");
    expect_xml_fault("<Patient " NS ">", "1:38 Patient: not well-formed XML: no element found");
    expect_xml_fault("<Patient/>", "1:1 : \"Patient\" is not of FHIR's namespace (http://hl7.org/fhir)");
    expect_xml_fault("<Patiend " NS "/>", "1:1 : \"Patiend\" is no resource type of FHIR R4");
    expect_xml_fault("<Patient " NS ">\n <nmae/></Patient>",
                     "2:2 Patient: there is no element \"nmae\" in Patient, did you mean \"name\"?");
    expect_xml_fault("<Patient " NS "><name><given value='a'/></name><name><x/></name></Patient>",
                     "1:75 Patient.name[1]: there is no element \"x\" in HumanName");
    expect_xml_fault("<Patient " NS "><active value='maybe'/></Patient>",
                     "1:38 Patient.active: \"maybe\" is no boolean");
    expect_xml_fault("<Patient " NS "><active value='true'/><active value='true'/></Patient>",
                     "1:60 Patient: \"active\" stands there twice");
    expect_xml_fault("<Patient " NS "><gender value='male'/><active value='true'/></Patient>",
                     "1:60 Patient: \"active\" stands behind \"gender\": in XML the order of elements is "
                     "that of the definitions");
    expect_xml_fault("<Patient " NS "><name/></Patient>", "1:45 Patient.name[0]: an empty element");
    expect_xml_fault("<Patient " NS "><gender value=''/></Patient>", "1:38 Patient.gender: an empty value");
    expect_xml_fault("<Patient " NS "><name value='x'/></Patient>",
                     "1:38 Patient.name[0]: HumanName has no value of its own");
    expect_xml_fault("<Patient " NS " id='x'/>", "1:1 Patient: there is no attribute \"id\" in Patient");
    expect_xml_fault("<Patient " NS ">x</Patient>", "1:38 Patient: text between elements: \"x\"");
    expect_xml_fault("<Patient " NS "><contained><Patient/><Patient/></contained></Patient>",
                     "1:59 Patient.contained[0]: there are two resources where one may stand");
}

static void test_hostile_xml(void **)
{
    expect_xml_fault("<!DOCTYPE Patient><Patient " NS "/>", "1:18 : a document type: FHIR has none");
    expect_xml_fault("<!DOCTYPE x [<!ENTITY a 'b'>]><Patient " NS "/>",
                     "1:13 : a document type: FHIR has none");
    expect_xml_fault("<?php x?><Patient " NS "/>", "1:1 : a processing instruction: FHIR has none");
    expect_xml_fault("<?xml version='1.0' encoding='iso-8859-1'?><Patient " NS "/>",
                     "1:1 : FHIR is written in UTF-8");
    expect_xml_fault("<Patient " NS "><gender value='&nbsp;'/></Patient>",
                     "1:38 Patient: not well-formed XML: undefined entity");
    expect_xml_fault("<Patient " NS "><gender value='\xff'/></Patient>",
                     "1:53 Patient: not well-formed XML: not well-formed (invalid token)");
    expect_xml_fault("<Patient " NS "><text><div>x</div></text></Patient>",
                     "1:44 Patient.text: a div has the namespace of XHTML as its own: <div "
                     "xmlns=\"http://www.w3.org/1999/xhtml\">");
    expect_xml_fault("<Patient " NS "><text>" DIV "<x xmlns='urn:x'/></div></text></Patient>",
                     "1:86 Patient.text.div: \"x\" in a narrative is not XHTML without a prefix");
    expect_xml_fault("<Patient " NS "><text>" DIV "<?x?></div></text></Patient>",
                     "1:86 Patient.text.div: a processing instruction: FHIR has none");
}

static void test_depth(void **)
{
    static const char open[] = "<extension url=\"u\">", first[] = "<Patient xmlns=\"http://hl7.org/fhir\">";
    char *xml = calloc(1, sizeof first + 300 * sizeof open);
    memcpy(xml, first, sizeof first - 1);
    for (size_t i = 0; i < 300; i++)
        memcpy(xml + sizeof first - 1 + i * (sizeof open - 1), open, sizeof open - 1);
    struct buf out = buf_over(memory[1], sizeof memory[1]);
    assert_false(fhir_xml_read(str_of(xml), &test_key, arena, &out, &error));
    EXPECT_TEXT(error.what, "elements nested more than 200 deep");
    free(xml);
    arena_reset(arena);
}

static void test_json_faults(void **)
{
    expect_json_fault("{'resourceType':'Patient','nmae':1}",
                      "Patient: there is no element \"nmae\" in Patient");
    expect_json_fault("{'resourceType':'Patient','active':true,'active':true}",
                      "Patient: \"active\" stands there twice");
    expect_json_fault("{'resourceType':'Patient','active':'true'}",
                      "Patient.active: not true or false, without quotes");
    expect_json_fault("{'resourceType':'Patient','active':[true]}",
                      "Patient.active: not true or false, without quotes");
    expect_json_fault("{'resourceType':'Patient','name':{}}",
                      "Patient.name: not a list with something in it");
    expect_json_fault("{'resourceType':'Patient','name':[]}",
                      "Patient.name: not a list with something in it");
    expect_json_fault("{'resourceType':'Patient','name':[{}]}", "Patient.name[0]: an empty element");
    expect_json_fault("{'resourceType':'Patient','name':[5]}", "Patient.name[0]: not an object");
    expect_json_fault("{'resourceType':'Patient','_name':[{}]}",
                      "Patient: there is no element \"_name\" in Patient");
    expect_json_fault("{'resourceType':'Patient','gender':'\\u0001'}",
                      "Patient.gender: a control character, which XML cannot hold");
    expect_json_fault("{'resourceType':'Patient','gender':'\xef\xbf\xbf'}",
                      "Patient.gender: a control character, which XML cannot hold");
    expect_json_fault("{'resourceType':'Patient','text':{'div':'<p/>'}}",
                      "Patient.text.div: the narrative is not one well-formed <div "
                      "xmlns=\"http://www.w3.org/1999/xhtml\">");
    expect_json_fault("{'resourceType':'Patient','contained':[{'resourceType':'X'}]}",
                      "Patient.contained[0]: not a resource of FHIR R4");
}

static void test_div(void **)
{
    static const struct {
        const char *text;
        bool is_fine;
    } rows[] = {
        {DIV "</div>", true},
        {DIV "<p a='b'/></div>", true},
        {DIV "</div> ", false},
        {DIV "<p></div>", false},
        {DIV "&nbsp;</div>", false},
        {DIV "</div>" DIV "</div>", false},
        {"<div></div>", false},
        {" " DIV "</div>", false},
        {"<!DOCTYPE div>" DIV "</div>", false},
        {DIV "<h:p xmlns:h='http://www.w3.org/1999/xhtml'/></div>", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (fhir_xml_div_is_well_formed(text_of(rows[i].text), &test_key) != rows[i].is_fine)
            fail_msg("%s", rows[i].text);
    }
}

static void test_no_room(void **)
{
    struct buf small = buf_over(memory[1], 20);
    assert_false(fhir_xml_read(text_of("<Patient " NS "><active value='true'/></Patient>"), &test_key, arena,
                               &small, &error));
    EXPECT_TEXT(error.what, "the document is too large");
    small = buf_over(memory[1], 40);
    struct fhir_value *v = test_resource_read(&resource, arena, "{'resourceType':'Patient','active':true}");
    assert_false(fhir_xml_write(v, false, &test_key, arena, &small, &error));
    EXPECT_TEXT(error.what, "the resource is too large");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_primitives),       cmocka_unit_test(test_companions),
        cmocka_unit_test(test_resources_inside), cmocka_unit_test(test_narrative),
        cmocka_unit_test(test_leniency),         cmocka_unit_test(test_xml_faults),
        cmocka_unit_test(test_hostile_xml),      cmocka_unit_test(test_depth),
        cmocka_unit_test(test_json_faults),      cmocka_unit_test(test_div),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
