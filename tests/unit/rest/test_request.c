/* What a request asks for: paths, methods, fields, parameters; and what is refused, with its place. */
#include "desk.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct desk *d;

static void test_interactions(void **state)
{
    static const struct {
        const char *what, *body;
        enum rest_interaction interaction;
    } cases[] = {
        {"GET metadata", NULL, REST_CAPABILITIES},
        {"GET Patient/1", NULL, REST_READ},
        {"HEAD Patient/1", NULL, REST_READ},
        {"GET Patient/1/_history/2", NULL, REST_VREAD},
        {"GET Patient/1/_history", NULL, REST_HISTORY},
        {"GET Patient/_history", NULL, REST_HISTORY},
        {"GET _history", NULL, REST_HISTORY},
        {"GET Patient", NULL, REST_SEARCH},
        {"GET Patient/1/Observation", NULL, REST_SEARCH},
        {"GET Patient/1/*", NULL, REST_SEARCH},
        {"GET ?_type=Patient", NULL, REST_SEARCH_SYSTEM},
        {"POST Patient", "{}", REST_CREATE},
        {"PUT Patient/1", "{}", REST_UPDATE},
        {"PUT Patient?name=x", "{}", REST_UPDATE},
        {"DELETE Patient/1", NULL, REST_DELETE},
        {"PATCH Patient/1", "{}", REST_PATCH},
        {"POST ", "{}", REST_BUNDLE},
        {"POST Patient/$validate", "{}", REST_OPERATION},
        {"GET Patient/1/$everything", NULL, REST_OPERATION},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        desk_ask(d, cases[i].what, NULL, cases[i].body);
        assert_int_equal(d->request.interaction, cases[i].interaction);
    }
}

static void check_refused(const char *what, const char *fields, const char *body, int status,
                          const char *place)
{
    struct rest_answer a = desk_ask(d, what, fields, body);
    if (a.status != status)
        print_message("%s: %.*s\n", what, STR_ARG(a.body));
    assert_int_equal(a.status, status);
    assert_str(desk_text(d, a.body, "issue.0.expression.0"), place);
}

static void test_refusals(void **state)
{
    check_refused("GET Pationt/1", NULL, NULL, 404, "http.path");
    check_refused("GET Patient/a_b", NULL, NULL, 400, "http.path");
    check_refused("GET Patient/1/2/3/4", NULL, NULL, 404, "http.path");
    check_refused("PUT metadata", NULL, NULL, 405, "http.method");
    check_refused("GET Patient/1", "accept: image/png", NULL, 406, "http.accept");
    check_refused("GET Patient/1?_format=pdf", NULL, NULL, 406, "http._format");
    check_refused("GET Patient/1?kleur=x", NULL, NULL, 400, "http.kleur");
    check_refused("GET Patient/1/_history?_since=x", NULL, NULL, 400, "http._since");
    check_refused("PUT Patient/1", "content-type: text/plain", "{}", 415, "http.content-type");
    check_refused("PUT Patient/1", "content-type: application/json\nif-match: 7", "{}", 400, "http.if-match");
    check_refused("GET $klopt-niet", NULL, NULL, 501, "http.path");
}

static void test_accept(void **state)
{
    static const struct {
        const char *accept;
        enum rest_format format;
    } cases[] = {
        {"accept: */*", REST_JSON},
        {"accept: application/fhir+xml", REST_XML},
        {"accept: application/fhir+json, application/fhir+xml", REST_JSON},
        {"accept: application/fhir+json;q=0.5, application/fhir+xml;q=0.9", REST_XML},
        {"accept: text/html, */*;q=0.1", REST_JSON},
        {"accept: application/xml;fhirVersion=4.0", REST_XML},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        desk_ask(d, "GET Patient/1", cases[i].accept, NULL);
        assert_int_equal(d->request.format, cases[i].format);
    }
    desk_ask(d, "GET Patient/1?_format=application/fhir+xml", "accept: application/fhir+json", NULL);
    assert_int_equal(d->request.format, REST_XML); /* the parameter goes before the field */
}

static void test_prefer(void **state)
{
    desk_ask(d, "GET Patient", "prefer: return=minimal; handling=lenient", NULL);
    assert_int_equal(d->request.wanted, REST_RETURN_MINIMAL);
    assert_true(d->request.is_lenient);
    desk_ask(d, "GET Patient", "prefer: handling=strict, return=OperationOutcome", NULL);
    assert_int_equal(d->request.wanted, REST_RETURN_OUTCOME);
    assert_false(d->request.is_lenient);
}

static void test_dates(void **state)
{
    int64_t s;
    assert_true(rest_http_date_parse(STR("Sun, 06 Nov 1994 08:49:37 GMT"), &s));
    assert_int_equal(s, 784'111'777);
    assert_false(rest_http_date_parse(STR("Sun, 06 Nov 1994 08:49:37 CET"), &s));
    assert_false(rest_http_date_parse(STR("Sun, 06 Nxv 1994 08:49:37 GMT"), &s));
    assert_false(rest_http_date_parse(STR("Sunday, 06-Nov-94 08:49:37 GMT"), &s));
    assert_false(rest_http_date_parse(STR("Sun, 06 Nov 1994 28:49:37 GMT"), &s));
}

static int set_up(void **state)
{
    d = desk_open();
    return 0;
}

static int tear_down(void **state)
{
    desk_close(d);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interactions), cmocka_unit_test(test_refusals), cmocka_unit_test(test_accept),
        cmocka_unit_test(test_prefer),       cmocka_unit_test(test_dates),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
