/* What is written is read; conditions, versions, transactions; refusals leave nothing behind. */
#include "desk.h"
#include "rest/audit.h"
#include "rest/job.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct desk *d;

#define PATIENT "{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"Jansen\"}]}"

/* The number of Patients. */
static uint64_t count_patients(void)
{
    uint64_t n = 0;
    struct rest_answer a = desk_ask(d, "GET Patient?_summary=count", NULL, NULL);
    assert_int_equal(a.status, 200);
    assert_true(str_parse_u64(desk_text(d, a.body, "total"), &n));
    return n;
}

static void test_create_read_update(void **state)
{
    struct rest_answer a = desk_ask(d, "PUT Patient/a", NULL, "{\"resourceType\":\"Patient\",\"id\":\"a\"}");
    assert_int_equal(a.status, 201);
    assert_int_equal(a.version, 1);
    assert_str(a.location, "Patient/a/_history/1");
    assert_int_equal(desk_ask(d, "PUT Patient/a", "content-type: application/fhir+json\nif-match: W/\"2\"",
                              "{\"resourceType\":\"Patient\",\"id\":\"a\"}")
                         .status,
                     412);
    a = desk_ask(d, "PUT Patient/a", "content-type: application/fhir+json\nif-match: W/\"1\"",
                 "{\"resourceType\":\"Patient\",\"id\":\"a\",\"active\":true}");
    assert_int_equal(a.status, 200);
    a = desk_ask(d, "GET Patient/a", NULL, NULL);
    assert_str(desk_text(d, a.body, "meta.versionId"), "2");
    assert_str(desk_text(d, a.body, "active"), "true");
    assert_int_equal(a.touched_count, 1);
    assert_str(a.touched->patient, "a");
    assert_int_equal(desk_ask(d, "PUT Patient/a", "content-type: application/fhir+json\nif-none-match: *",
                              "{\"resourceType\":\"Patient\",\"id\":\"a\"}")
                         .status,
                     412);
    assert_int_equal(desk_ask(d, "DELETE Patient/a", NULL, NULL).status, 204);
    assert_int_equal(desk_ask(d, "GET Patient/a", NULL, NULL).status, 410);
    a = desk_ask(d, "GET Patient/a/_history", NULL, NULL);
    assert_str(desk_text(d, a.body, "total"), "3");
}

static void test_ids_differ(void **state)
{
    char first[64] = "";
    struct rest_answer a = desk_ask(d, "POST Patient", NULL, PATIENT);
    struct str id = desk_text(d, a.body, "id");
    assert_int_equal(id.n, REST_ID_BYTES);
    assert_int_equal(id.p[14], '7'); /* a UUID of version 7 */
    memcpy(first, id.p, id.n);
    a = desk_ask(d, "POST Patient", NULL, PATIENT);
    id = desk_text(d, a.body, "id");
    assert_false(str_eq(id, str_of(first)));
}

#define ENTRY(url, resource)                                                                                 \
    "{\"resource\":" resource ",\"request\":{\"method\":\"POST\",\"url\":\"" url "\"}}"

static void test_transaction_is_whole(void **state)
{
    uint64_t before = count_patients();
    /* The second one fits no resource: nothing of the first one stays. */
    struct rest_answer a =
        desk_ask(d, "POST ", NULL,
                 "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[" ENTRY(
                     "Patient", PATIENT) "," ENTRY("Flag", "{\"resourceType\":\"Flag\",\"status\":\"active\","
                                                           "\"code\":{\"text\":\"x\"},\"subject\":{"
                                                           "\"reference\":\"Patient?_id=nergens\"}}") "]}");
    assert_int_equal(a.status, 412);
    assert_str(desk_text(d, a.body, "issue.0.expression.0"), "Bundle.entry[1].resource");
    assert_int_equal(count_patients(), before);
}

static void test_transaction_references(void **state)
{
    struct rest_answer a =
        desk_ask(d, "POST ", NULL,
                 "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":["
                 "{\"fullUrl\":\"urn:uuid:0d7a4b3e-8a5e-4c58-9a53-2b1f6e3c0001\",\"resource\":" PATIENT
                 ",\"request\":{\"method\":\"POST\",\"url\":\"Patient\"}},"
                 "{\"resource\":{\"resourceType\":\"Flag\",\"id\":\"vlag\",\"status\":\"active\",\"code\":{"
                 "\"text\":\"x\"},"
                 "\"identifier\":[{\"system\":\"urn:ietf:rfc:3986\",\"value\":\"urn:uuid:0d7a4b3e-8a5e-4c58-"
                 "9a53-2b1f6e3c0001\"}],"
                 "\"subject\":{\"reference\":\"urn:uuid:0d7a4b3e-8a5e-4c58-9a53-2b1f6e3c0001\"}},"
                 "\"request\":{\"method\":\"PUT\",\"url\":\"Flag/vlag\"}}]}");
    assert_int_equal(a.status, 200);
    struct str location = desk_text(d, a.body, "entry.0.response.location");
    char patient[64] = "";
    memcpy(patient, location.p, location.n - strlen("/_history/1"));
    a = desk_ask(d, "GET Flag/vlag", NULL, NULL);
    assert_str(desk_text(d, a.body, "subject.reference"), patient);
    /* What only looks like it, in an identifier, stays. */
    assert_str(desk_text(d, a.body, "identifier.0.value"), "urn:uuid:0d7a4b3e-8a5e-4c58-9a53-2b1f6e3c0001");
}

static void test_conflict_in_a_transaction(void **state)
{
    desk_ask(d, "PUT Patient/b", NULL, "{\"resourceType\":\"Patient\",\"id\":\"b\"}");
    uint64_t before = count_patients();
    struct rest_answer a = desk_ask(
        d, "POST ", NULL,
        "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[" ENTRY(
            "Patient",
            PATIENT) ","
                     "{\"resource\":{\"resourceType\":\"Patient\",\"id\":\"b\"},"
                     "\"request\":{\"method\":\"PUT\",\"url\":\"Patient/b\",\"ifMatch\":\"W/\\\"9\\\"\"}}]}");
    assert_int_equal(a.status, 412);
    assert_str(desk_text(d, a.body, "issue.0.expression.0"), "Bundle.entry[1]");
    assert_int_equal(count_patients(), before);
}

static void test_answers_survive_the_way(void **state)
{
    struct rest_answer a = desk_ask(d, "PUT Patient/weg", NULL,
                                    "{\"resourceType\":\"Patient\",\"id\":\"weg\"}"),
                       back;
    uint64_t id;
    struct str head = rest_answer_encode(42, &a, d->arena);
    char *bytes = arena_bytes(d->arena, head.n + a.body.n);
    memcpy(bytes, head.p, head.n);
    memcpy(bytes + head.n, a.body.p, a.body.n);
    assert_true(rest_answer_decode((struct str){bytes, head.n + a.body.n}, d->arena, &id, &back));
    assert_int_equal(id, 42);
    assert_int_equal(back.status, 201);
    assert_true(str_eq(back.body, a.body) && str_eq(back.location, a.location));
    assert_int_equal(back.modified_us, a.modified_us);
    assert_int_equal(back.touched_count, 1);
    assert_str(back.touched->id, "weg");
    for (size_t n = 0; n < head.n + a.body.n; n++)
        assert_false(rest_answer_decode((struct str){bytes, n}, d->arena, &id, &back));
}

static void test_audit(void **state)
{
    struct rest_judged judged = {.authorised = REST_YES, .emergency = REST_NO};
    struct rest_caller caller = {
        .user = STR("arts \"1\""), .address = STR("192.0.2.7"), .reference = STR("r-1")};
    struct rest_answer a =
        desk_ask(d, "PUT Patient/log", NULL, "{\"resourceType\":\"Patient\",\"id\":\"log\"}");
    struct rest_access access = {&caller, &judged, &d->request, &a, INT64_C(1'769'852'467'123'000)};
    assert_str(
        rest_audit_write(&access, d->arena),
        "\"at\":\"2026-01-31T09:41:07.123Z\",\"user\":\"arts "
        "\\\"1\\\"\",\"from\":\"192.0.2.7\",\"request\":\"r-1\","
        "\"action\":\"U\",\"interaction\":\"update\",\"type\":\"Patient\",\"id\":\"log\",\"status\":201,"
        "\"patients\":[\"log\"],\"objects\":[\"Patient/log/_history/1\"],\"outcome\":\"Y--N\"");
}

static void test_capabilities_are_valid(void **state)
{
    struct rest_answer a = desk_ask(d, "GET metadata", NULL, NULL);
    struct rest_call call = desk_call(d);
    struct json_tape t;
    assert_int_equal(a.status, 200);
    assert_int_equal(rest_json_parse(a.body, d->arena, &t, NULL), JSON_FINE);
    struct rest_answer judged = {0};
    if (!rest_validate_body(&call, &t, 0, &judged))
        print_message("%.*s\n", STR_ARG(judged.body));
    assert_int_equal(judged.status, 0);
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
        cmocka_unit_test(test_create_read_update),
        cmocka_unit_test(test_ids_differ),
        cmocka_unit_test(test_transaction_is_whole),
        cmocka_unit_test(test_transaction_references),
        cmocka_unit_test(test_conflict_in_a_transaction),
        cmocka_unit_test(test_answers_survive_the_way),
        cmocka_unit_test(test_audit),
        cmocka_unit_test(test_capabilities_are_valid),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
