/* What values mean, order, pages, includes, words. Sets of results by chance: test_property.c. */
#include "store_test.h"

#include "base/utc.h"

static void put_patient(const char *id, const char *family, const char *birth)
{
    kit_put(arena_printf(kit.arena, "Patient/%s%c", id, 0).p,
            arena_printf(kit.arena,
                         "{'resourceType':'Patient','id':'%s','name':[{'family':'%s'}],'birthDate':'%s'}%c",
                         id, family, birth, 0)
                .p);
}

static void put_value(const char *id, const char *value)
{
    kit_put(
        arena_printf(kit.arena, "Observation/%s%c", id, 0).p,
        arena_printf(
            kit.arena,
            "{'resourceType':'Observation','id':'%s','status':'final','code':{'coding':[{'system':'l','code':"
            "'c'}]},'subject':{'reference':'Patient/a'},%s}%c",
            id, value, 0)
            .p);
}

#define UCUM "'system':'http://unitsofmeasure.org'"

static void test_quantities(void **)
{
    put_value("a", "'valueQuantity':{'value':5.4," UCUM ",'code':'mg'}");
    put_value("b", "'valueQuantity':{'value':0.0054," UCUM ",'code':'g'}");
    put_value("c", "'valueQuantity':{'value':5.40,'unit':'mg'}");
    put_value("d", "'valueQuantity':{'value':5,'comparator':'>'," UCUM ",'code':'mg'}");
    FINDS("Observation?value-quantity=5.4|http://unitsofmeasure.org|mg", "Observation/a Observation/b");
    FINDS("Observation?value-quantity=5.4||mg", "Observation/a Observation/c");
    FINDS("Observation?value-quantity=5.4", "Observation/a Observation/c");
    FINDS("Observation?value-quantity=5.40", "Observation/c");
    FINDS("Observation?value-quantity=gt5.4|http://unitsofmeasure.org|mg", "Observation/d");
    FINDS("Observation?value-quantity=ge5.4|http://unitsofmeasure.org|mg",
          "Observation/a Observation/b Observation/d");
    FINDS("Observation?value-quantity=lt0.006|http://unitsofmeasure.org|g",
          "Observation/a Observation/b Observation/d");
    FINDS("Observation?value-quantity=sa5.4|http://unitsofmeasure.org|mg", "=0");
    FINDS("Observation?code-value-quantity=c$ge5.4|http://unitsofmeasure.org|mg&subject=Patient/a",
          "Observation/a Observation/b Observation/d");
    FINDS("Observation?code-value-quantity=x$ge5", "=0");
}

static void test_dates(void **)
{
    put_value("a", "'effectiveDateTime':'2020-02-03'");
    put_value("b", "'effectiveDateTime':'2020-02-03T10:00:00Z'");
    put_value("c", "'effectivePeriod':{'start':'2019-01-01'}");
    put_value("d", "'effectivePeriod':{'end':'2020-02-03'}");
    put_value("e", "'effectiveDateTime':'2020'");
    /* newest first; what has no begin comes last */
    FINDS("Observation?date=2020-02-03", "Observation/b Observation/a");
    FINDS("Observation?date=2020", "Observation/b Observation/a Observation/e");
    FINDS("Observation?date=gt2020-02-03", "Observation/e Observation/c");
    FINDS("Observation?date=lt2020-02-03", "Observation/e Observation/c Observation/d");
    FINDS("Observation?date=sa2019-12-31", "Observation/b Observation/a Observation/e");
    FINDS("Observation?date=eb2020-02-04&patient=a", "Observation/b Observation/a Observation/d");
    FINDS("Observation?date=ge2020-02-03&date=lt2020-02-04&patient=a",
          "Observation/b Observation/a Observation/e Observation/c"); /* what covers the day fits both */
}

static void test_order(void **)
{
    put_patient("a", "Bakker", "1970-01-01");
    put_patient("b", "aalders", "1980-01-01");
    put_patient("c", "Bak", "1960-01-01");
    kit_put("Patient/d", "{'resourceType':'Patient','id':'d'}");
    FINDS("Patient?_sort=family", "Patient/b Patient/c Patient/a Patient/d");
    FINDS("Patient?_sort=-family", "Patient/a Patient/c Patient/b Patient/d");
    FINDS("Patient?_sort=birthdate&_count=1", "Patient/c Patient/a Patient/b Patient/d");
    FINDS("Patient?_sort=-_lastUpdated", "Patient/d Patient/c Patient/b Patient/a");
    FINDS("Patient?_sort=-_id&_count=2", "Patient/d Patient/c Patient/b Patient/a");
    kit_put("Patient/a", "{'resourceType':'Patient','id':'a','name':[{'family':'x'}],'gender':'male'}");
    FINDS("Patient?_sort=gender,-family", "Patient/a Patient/c Patient/b Patient/d");
    put_value("x", "'effectiveDateTime':'2020-02-03'");
    put_value("y", "'effectiveDateTime':'2022-02-03'");
    put_value("z", "'effectiveDateTime':'2021-02-03'");
    FINDS("Observation?patient=a&_sort=-date&_count=1", "Observation/y Observation/z Observation/x");
    FINDS("Observation?patient=a&_sort=date&_count=1", "Observation/x Observation/z Observation/y");
}

static struct str page_of(const char *text, struct str *position, uint32_t count)
{
    struct store_search search = {.query = kit_query(text), .count = count, .position = *position};
    struct store_found page;
    struct buf out = buf_over(arena_bytes(kit.arena, 4'096), 4'096);
    assert_int_equal(store_search(kit.reader, NULL, &search, kit.arena, &page), STORE_FINE);
    for (size_t i = 0; i < page.match_count; i++)
        buf_printf(&out, "%.*s ", STR_ARG(page.matches[i].id));
    *position = page.next;
    return str_trim(buf_text(&out));
}

static void pages_stay_true(const char *text, const char *fresh)
{
    struct str position = STR_NONE;
    kit_expect(page_of(text, &position, 2), "e d", __FILE__, __LINE__);
    put_value(fresh, "'effectiveDateTime':'2020-01-03'"); /* stands on no page */
    put_value("e", "'effectiveDateTime':'2010-01-01'");   /* moved behind: seen again, as it is now */
    kit_do(STORE_DELETE, "Observation/d", NULL, STORE_ANY_VERSION); /* the place itself is gone */
    kit_expect(page_of(text, &position, 2), "c b", __FILE__, __LINE__);
    kit_expect(page_of(text, &position, 2), "a e", __FILE__, __LINE__);
    assert_int_equal(position.n, 0);
    kit_do(STORE_DELETE, arena_printf(kit.arena, "Observation/%s%c", fresh, 0).p, NULL, STORE_ANY_VERSION);
    put_value("e", "'effectiveDateTime':'2020-01-05'");
    put_value("d", "'effectiveDateTime':'2020-01-04'");
}

static void test_pages_stay_true(void **)
{
    static const char *const ids[] = {"a", "b", "c", "d", "e"};
    for (unsigned i = 0; i < 5; i++)
        put_value(ids[i], arena_printf(kit.arena, "'effectiveDateTime':'2020-01-0%u'%c", i + 1, 0).p);
    pages_stay_true("Observation?code=c", "n1");
    pages_stay_true("Observation?code=c&patient=a", "n2");
    pages_stay_true("Observation?patient=a&_sort=-date", "n3");
    pages_stay_true("Observation?code=c&_sort=-date&_total=accurate", "n4");
    pages_stay_true("Observation?status=final,amended", "n5");
}

static void test_positions_of_others(void **)
{
    struct store_found page;
    static const char *const positions[] = {"!", "AAAA", "UwAAAAAA", "U0FBQUFBQUFBQUFBQUFBQUFBQUFBQUE",
                                            "QwAAAAAAAAAA"};
    put_patient("a", "Bakker", "1970-01-01");
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        struct store_search search = {.query = kit_query("Patient?family=bakker&birthdate=1970"),
                                      .count = 1,
                                      .position = str_of(positions[i])};
        enum store_result r = store_search(kit.reader, NULL, &search, kit.arena, &page);
        assert_true(r == STORE_BAD_POSITION || r == STORE_FINE);
    }
}

static void put_story(void)
{
    kit_put("Organization/o", "{'resourceType':'Organization','id':'o','name':'Practice'}");
    kit_put("Organization/up", "{'resourceType':'Organization','id':'up'}");
    kit_put("Organization/o",
            "{'resourceType':'Organization','id':'o','partOf':{'reference':'Organization/up'}}");
    kit_put("Patient/a",
            "{'resourceType':'Patient','id':'a','managingOrganization':{'reference':'Organization/o'},"
            "'generalPractitioner':[{'reference':'Practitioner/gone'}]}");
    kit_put("Encounter/e", "{'resourceType':'Encounter','id':'e','subject':{'reference':'Patient/a'}}");
    put_value("x", "'encounter':{'reference':'Encounter/e'}");
    put_value("y", "'performer':[{'reference':'Patient/a'}]");
}

static void test_includes(void **)
{
    put_story();
    FINDS("Patient?_id=a&_include=Patient:organization", "Patient/a |Organization/o");
    FINDS("Patient?_id=a&_include=Patient:organization&_include:iterate=Organization:partof",
          "Patient/a |Organization/o Organization/up");
    FINDS("Patient?_id=a&_include=Patient:general-practitioner", "Patient/a");
    FINDS("Observation?_id=x&_include=Observation:subject&_include=Observation:encounter",
          "Observation/x |Patient/a Encounter/e");
    FINDS("Observation?_id=x&_include=Observation:*", "Observation/x |Patient/a Encounter/e");
    FINDS("Patient?_id=a&_revinclude=Observation:subject", "Patient/a |Observation/x Observation/y");
    FINDS("Patient?_id=a&_revinclude=Observation:performer", "Patient/a |Observation/y");
    FINDS("Encounter?_revinclude=Observation:encounter&_include=Encounter:patient",
          "Encounter/e |Patient/a Observation/x");
    FINDS("Organization?_id=up&_revinclude:iterate=Organization:partof&_revinclude:iterate=Patient:"
          "organization",
          "Organization/up |Organization/o Patient/a");
    struct store_search search = {
        .query = kit_query("Patient?_id=a&_revinclude=Observation:subject"), .count = 10, .include_max = 1};
    struct store_found page;
    assert_int_equal(store_search(kit.reader, NULL, &search, kit.arena, &page), STORE_TOO_COSTLY);
}

static void test_words(void **)
{
    kit_put(
        "Patient/a",
        "{'resourceType':'Patient','id':'a','text':{'status':'generated','div':'<div xmlns=\\\"x\\\">Broken "
        "<b>w\\u00e9rk</b>s</div>'},'name':[{'family':'Hidden'}]}");
    kit_put("Patient/b", "{'resourceType':'Patient','id':'b','name':[{'family':'werk'}]}");
    FINDS("Patient?_text=werk", "Patient/a");
    FINDS("Patient?_text=broken werk", "Patient/a");
    FINDS("Patient?_text=broken hidden", "=0");
    FINDS("Patient?_text=OR", "=0");
    FINDS("Patient?_content=werk", "Patient/a Patient/b");
    FINDS("Patient?_content=hidden", "Patient/a");
    kit_put("Patient/a", "{'resourceType':'Patient','id':'a'}");
    FINDS("Patient?_text=werk", "=0");
    FINDS("Patient?_content=werk", "Patient/b");
    kit_do(STORE_DELETE, "Patient/b", NULL, STORE_ANY_VERSION);
    FINDS("Patient?_content=werk", "=0");
}

static void test_system_and_time(void **)
{
    put_story();
    struct store_record r;
    assert_int_equal(store_read(kit.reader, NULL, fhir_type_find(STR("Encounter")), STR("e"), kit.arena, &r),
                     STORE_FINE);
    struct buf at = buf_over(arena_bytes(kit.arena, 64), 64);
    time_write_utc(&at, r.time_us);
    struct str text = arena_printf(kit.arena, "?_type=Encounter,Observation,Patient&_lastUpdated=gt%.*s%c",
                                   STR_ARG(buf_text(&at)), 0);
    FINDS(text.p, "Observation/x Observation/y");
    FINDS("?_id=a,e&_type=Encounter,Patient&_count=1", "Encounter/e Patient/a");
    FINDS("?_id=up", "Organization/up");
    FINDS("Patient/a/*?_type=Observation", "Observation/x Observation/y");
}

static void test_limits(void **)
{
    struct store_options o = {
        .role = STORE_READER, .cluster = STR("test"), .indexer = kit.indexer, .candidates_max = 5};
    for (unsigned i = 0; i < 20; i++)
        put_value(arena_printf(kit.arena, "x%u%c", i, 0).p, "'valueString':'some'");
    store_close(kit.reader);
    assert_int_equal(store_open(str_of(kit.location), &o, &kit.reader), STORE_FINE);
    FINDS("Observation?status=final&_summary=count", "=20");
    FINDS("Observation?status:not=final", "!7");
    FINDS("Observation?status=final&_sort=_id", "!7");
    FINDS("Observation?status=final&status:not=final", "!7"); /* a page that would never be full */
}

static void test_refused(void **)
{
    struct store_search search = {.query = kit_query("Observation?status=final"), .count = 10};
    struct fhir_query_criterion c = search.query->criteria[0];
    struct store_found page;
    c.modifier = FHIR_QUERY_IN;
    struct fhir_search_query q = *search.query;
    q.criteria = &c;
    search.query = &q;
    assert_int_equal(store_search(kit.reader, NULL, &search, kit.arena, &page), STORE_NOT_INDEXED);
}

static void test_long_values(void **)
{
    char text[1'200];
    memset(text, 'a', sizeof text);
    for (unsigned i = 0; i < 2; i++) {
        text[900] = (char)('b' + i);
        struct str body = arena_printf(kit.arena,
                                       "{'resourceType':'Patient','id':'p%u','identifier':[{'value':'%.*s'}],"
                                       "'name':[{'family':'%.*s'}]}%c",
                                       i, 950, text, 950, text, 0);
        kit_put(i ? "Patient/p1" : "Patient/p0", body.p);
    }
    FINDS(arena_printf(kit.arena, "Patient?identifier=%.*s%c", 950, text, 0).p, "Patient/p1");
    FINDS(arena_printf(kit.arena, "Patient?family=%.*s%c", 930, text, 0).p, "Patient/p1");
    FINDS(arena_printf(kit.arena, "Patient?family=%.*s%c", 500, text, 0).p, "Patient/p0 Patient/p1");
    FINDS("Patient?family:contains=aab", "Patient/p0");
    assert_int_equal(kit_verify(), 0);
}

static int begin_with_content(void **state)
{
    kit.has_content = true;
    return kit_begin(state);
}

static int end_with_content(void **state)
{
    kit.has_content = false;
    return kit_end(state);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_quantities, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_dates, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_order, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_pages_stay_true, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_positions_of_others, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_includes, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_words, begin_with_content, end_with_content),
        cmocka_unit_test_setup_teardown(test_system_and_time, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_limits, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_refused, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_long_values, kit_begin, kit_end),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}

int main(int argc, char **argv)
{
    return kit_main(argc, argv, all_tests);
}
