/* What was written since, in order; which of it a subscription hears of; documents and labels. */
#include "desk.h"
#include "rest/binary.h"
#include "rest/subscription.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct desk *d;

#define EXTENSION "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"
#define CHANNEL                                                                                              \
    "\"channel\":{\"_type\":{\"extension\":[{\"url\":\"" EXTENSION                                           \
    "channel-type\",\"valueCoding\":{\"code\":\"server-sent-events\"}}]}}"
#define SUBSCRIPTION(id, topic, filter)                                                                      \
    "{\"resourceType\":\"Subscription\",\"id\":\"" id "\",\"status\":\"requested\",\"reason\":\"a\","        \
    "\"criteria\":\"urn:polder:topic:" topic "\",\"_criteria\":{\"extension\":[{\"url\":\"" EXTENSION        \
    "filter-criteria\",\"valueString\":\"" filter "\"}]}," CHANNEL "}"
#define TASK(id, status)                                                                                     \
    "{\"resourceType\":\"Task\",\"id\":\"" id "\",\"status\":\"" status "\",\"intent\":\"order\"}"

static uint64_t last(void)
{
    return store_last_sequence(d->site.store);
}

/* "a1 b2": ids and versions of what comes after a sequence, as "count" at a time. */
static const char *told(const char *id, uint64_t after, unsigned count)
{
    static char text[1024];
    struct buf b = buf_over(text, sizeof text - 1);
    struct rest_call call = desk_call(d);
    struct rest_subscription s;
    struct rest_answer refused = {0};
    struct rest_events events = {.has_more = true};
    call.view = NULL;
    assert_true(rest_subscription_find(&call, str_of(id), &s, &refused));
    while (events.has_more) {
        uint64_t before = after;
        assert_int_equal(rest_subscription_events(&call, &s, after, count, &events), STORE_FINE);
        for (size_t i = 0; i < events.n; i++) {
            const struct store_record *r = &events.at[i].record;
            assert_true(r->sequence > after && r->sequence <= events.upto);
            after = r->sequence;
            buf_printf(&b, "%s%.*s%u", b.n ? " " : "", STR_ARG(r->id), (unsigned)r->version);
        }
        after = events.upto;
        assert_true(after > before || !events.has_more);
    }
    text[b.n] = '\0';
    return text;
}

static void test_changes_in_order(void **state)
{
    assert_int_equal(
        desk_ask(d, "PUT Subscription/s", NULL, SUBSCRIPTION("s", "task", "Task?intent=order")).status, 201);
    uint64_t from = last();
    desk_ask(d, "PUT Task/a", NULL, TASK("a", "requested"));
    desk_ask(d, "PUT Patient/p", NULL, "{\"resourceType\":\"Patient\",\"id\":\"p\"}");
    desk_ask(d, "PUT Task/b", NULL, TASK("b", "requested"));
    desk_ask(d, "PUT Task/a", NULL, TASK("a", "completed"));
    assert_string_equal(told("s", from, 50), "a1 b1 a2");
    assert_string_equal(told("s", from, 1), "a1 b1 a2");
    assert_string_equal(told("s", last() - 1, 50), "a2");
    assert_string_equal(told("s", last(), 50), "");
    desk_ask(d, "DELETE Task/b", NULL, NULL);
    assert_string_equal(told("s", from, 50), "a1 a2");
}

static void test_filters(void **state)
{
    uint64_t from = last();
    assert_int_equal(
        desk_ask(d, "PUT Subscription/f", NULL, SUBSCRIPTION("f", "task", "Task?status=draft")).status, 201);
    desk_ask(d, "PUT Task/c", NULL, TASK("c", "draft"));
    desk_ask(d, "PUT Task/d", NULL, TASK("d", "requested"));
    assert_string_equal(told("f", from, 50), "c1");
    assert_int_equal(
        desk_ask(d, "PUT Subscription/x", NULL, SUBSCRIPTION("x", "task", "Patient?name=a")).status, 422);
    assert_int_equal(
        desk_ask(d, "PUT Subscription/x", NULL, SUBSCRIPTION("x", "nowhere", "Task?status=a")).status, 422);
    assert_int_equal(desk_ask(d, "GET Subscription/x", NULL, NULL).status, 404);
}

static void test_requested_becomes_active(void **state)
{
    desk_ask(d, "PUT Subscription/r", NULL, SUBSCRIPTION("r", "task", "Task?status=draft"));
    struct rest_answer a = desk_ask(d, "GET Subscription/r", NULL, NULL);
    assert_str(desk_text(d, a.body, "status"), "active");
    assert_str(desk_text(d, a.body, "id"), "r");
    a = desk_ask(d, "GET Subscription/r/$status", NULL, NULL);
    assert_str(desk_text(d, a.body, "entry.0.resource.parameter.2.valueCode"), "active");
}

static void test_labels_keep_the_rest(void **state)
{
    desk_ask(d, "PUT Patient/l", NULL,
             "{\"resourceType\":\"Patient\",\"id\":\"l\",\"meta\":{\"source\":\"urn:x\",\"tag\":[{\"code\":"
             "\"a\"}]},"
             "\"multipleBirthInteger\":1}");
    struct rest_answer a =
        desk_ask(d, "POST Patient/l/$meta-add", NULL,
                 "{\"resourceType\":\"Parameters\",\"parameter\":[{\"name\":\"meta\",\"valueMeta\":{\"tag\":["
                 "{\"code\":\"a\"},{\"code\":\"b\"}]}}]}");
    assert_int_equal(a.status, 200);
    a = desk_ask(d, "GET Patient/l", NULL, NULL);
    assert_str(desk_text(d, a.body, "meta.source"), "urn:x");
    assert_str(desk_text(d, a.body, "meta.tag.0.code"), "a");
    assert_str(desk_text(d, a.body, "meta.tag.1.code"), "b");
    assert_str(desk_text(d, a.body, "meta.tag.2.code"), "");
    assert_str(desk_text(d, a.body, "meta.versionId"), "2");
}

/* Whatever bytes go in come out. */
static void test_content_comes_back(void **state)
{
    char bytes[300];
    for (size_t n = 1; n < sizeof bytes; n += 1 + n / 8) {
        struct rest_call call = desk_call(d);
        struct http_field field = {STR("content-type"), STR("image/png"), FIELD_CONTENT_TYPE};
        struct rest_request r = {.type = fhir_type_find(STR("Binary")), .interaction = REST_CREATE};
        struct rest_http http = {.fields = &field, .field_count = 1};
        struct rest_answer answer = {0};
        struct str type, got;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)(i * 97 + n);
        r.body = http.body = (struct str){bytes, n};
        assert_true(rest_binary_is_content(&r, field.value, r.body));
        assert_true(rest_binary_wrap(&call, &r, &http, &answer));
        assert_true(rest_binary_content(&call, r.body, &type, &got));
        assert_str(type, "image/png");
        assert_int_equal(got.n, n);
        assert_memory_equal(got.p, bytes, n);
        assert_str(http.fields[0].value, "application/fhir+json");
    }
}

static void test_content_that_is_none(void **state)
{
    static const char *const bad[] = {"{\"data\":\"YQ=\"}x", "{\"data\":\"Y*==\"}", "{\"data\":\"YQ==YQ==\"}",
                                      "{\"data\":\"Y===\"}"};
    struct rest_call call = desk_call(d);
    struct str type, got;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(rest_binary_content(&call, str_of(bad[i]), &type, &got));
    assert_true(rest_binary_content(&call, STR("{\"data\":\"Y Q\\n==\",\"contentType\":\"a/b\\nx: y\"}"),
                                    &type, &got));
    assert_str(got, "a");
    assert_str(type, "application/octet-stream");
}

static int open_desk(void **state)
{
    d = desk_open();
    return d ? 0 : -1;
}

static int close_desk(void **state)
{
    desk_close(d);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes_in_order),         cmocka_unit_test(test_filters),
        cmocka_unit_test(test_requested_becomes_active), cmocka_unit_test(test_labels_keep_the_rest),
        cmocka_unit_test(test_content_comes_back),       cmocka_unit_test(test_content_that_is_none),
    };
    return cmocka_run_group_tests(tests, open_desk, close_desk);
}
