/* Bytes stay: only id and meta change, wherever they stand. */
#include "desk.h"
#include "rest/format.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct desk *d;

#define META  "\"versionId\":\"7\",\"lastUpdated\":\"2026-01-31T09:41:07.123Z\""
#define WHOLE "\"meta\":{" META "}"

static void check_identity(const char *text, const char *id, const char *expected)
{
    struct rest_edits edits = {0};
    struct json_tape t;
    const int64_t moment_us = INT64_C(1'769'852'467'123'000);
    arena_reset(d->arena);
    assert_int_equal(rest_json_parse(str_of(text), d->arena, &t, NULL), JSON_FINE);
    rest_edit_identity(&edits, d->arena, &t, 0, str_of(id), 7, moment_us);
    assert_str(rest_edits_apply(&edits, str_of(text), 0, d->arena), expected);
}

static void test_identity(void **state)
{
    check_identity("{\"resourceType\":\"A\"}", "x", "{\"resourceType\":\"A\",\"id\":\"x\"," WHOLE "}");
    check_identity("{\"resourceType\":\"A\",\"b\":1.50}", "x",
                   "{\"resourceType\":\"A\",\"id\":\"x\"," WHOLE ",\"b\":1.50}");
    check_identity("{\"id\":\"old\", \"b\":1,\"resourceType\":\"A\"}", "x",
                   "{\"id\":\"x\"," WHOLE ", \"b\":1,\"resourceType\":\"A\"}");
    check_identity("{ \"resourceType\" : \"A\" ,\n\"meta\":{}, \"id\":\"x\"}", "x",
                   "{ \"resourceType\" : \"A\" ,\n\"meta\":{" META "}, \"id\":\"x\"}");
    check_identity("{\"resourceType\":\"A\",\"id\":\"x\",\"meta\":{\"tag\":[]}}", "x",
                   "{\"resourceType\":\"A\",\"id\":\"x\",\"meta\":{" META ",\"tag\":[]}}");
    check_identity(
        "{\"resourceType\":\"A\",\"meta\":{\"lastUpdated\":\"y\",\"versionId\":\"1\"},\"id\":\"x\"}", "x",
        "{\"resourceType\":\"A\",\"meta\":{\"lastUpdated\":\"2026-01-31T09:41:07.123Z\",\"versionId\":\"7\"},"
        "\"id\":\"x\"}");
    check_identity(
        "{\"resourceType\":\"A\",\"meta\":{\"versionId\":\"1\"}}", "x",
        "{\"resourceType\":\"A\",\"id\":\"x\",\"meta\":{\"lastUpdated\":\"2026-01-31T09:41:07.123Z\","
        "\"versionId\":\"7\"}}");
}

static void test_edits_inside_a_larger_text(void **state)
{
    struct rest_edits edits = {0};
    rest_edit_add(&edits, d->arena, 8, 2, STR("xyz"));
    rest_edit_add(&edits, d->arena, 5, 0, STR("-"));
    rest_edit_add(&edits, d->arena, 10, 1, STR(""));
    assert_str(rest_edits_apply(&edits, STR("567890a"), 5, d->arena), "-567xyza");
}

static struct str render(const char *body, bool is_pretty, enum rest_format format)
{
    struct rest_call call = desk_call(d);
    struct rest_request r = {.is_pretty = is_pretty, .format = format};
    struct rest_answer a = {.status = 200, .body = str_of(body)};
    struct str type;
    return rest_render(&call, &r, &a, &type);
}

static void test_pretty(void **state)
{
    assert_str(render("{\"a\":[1,{}],\"b\":\"x\\\"{,\",\"c\":[]}", true, REST_JSON),
               "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": \"x\\\"{,\",\n  \"c\": []\n}\n");
}

static void test_xml(void **state)
{
    assert_str(render("{\"resourceType\":\"Patient\",\"active\":true}", false, REST_XML),
               "<Patient xmlns=\"http://hl7.org/fhir\"><active value=\"true\"/></Patient>");
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
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_edits_inside_a_larger_text),
        cmocka_unit_test(test_pretty),
        cmocka_unit_test(test_xml),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
