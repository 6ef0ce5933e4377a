/* Lines of the access log and of the event log: times, masking, fields, and what strangers put into them. */
#include "base/mask.h"
#include "gate/observer.h"
#include "json/tape.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct str time_text(int64_t us)
{
    static char memory[64];
    struct buf out = buf_over(memory, sizeof memory);
    time_write_utc(&out, us);
    return buf_text(&out);
}

static void test_times(void **)
{
    assert_true(str_eq(time_text(0), STR("1970-01-01T00:00:00.000000Z")));
    assert_true(str_eq(time_text(951'827'696'000'001), STR("2000-02-29T12:34:56.000001Z")));
    assert_true(str_eq(time_text(4'107'542'399'999'999), STR("2100-02-28T23:59:59.999999Z")));
    assert_true(str_eq(time_text(-1), STR("1970-01-01T00:00:00.000000Z")));
    assert_true(str_eq(time_text(INT64_MAX), STR("1970-01-01T00:00:00.000000Z")));
    for (int64_t s = 0; s < 253'402'300'799; s += 86'399 * 1009) { /* against the C library */
        char expected[64];
        time_t t = (time_t)s;
        struct tm tm;
        assert_non_null(gmtime_r(&t, &tm));
        size_t n = strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000000Z", &tm);
        assert_true(str_eq(time_text(s * 1'000'000), (struct str){expected, n}));
        assert_true(time_from_civil(tm.tm_year + 1900, (unsigned)tm.tm_mon + 1, (unsigned)tm.tm_mday,
                                    (unsigned)tm.tm_hour, (unsigned)tm.tm_min, (unsigned)tm.tm_sec) == s);
    }
}

static void test_masking(void **)
{
    static const struct {
        struct str in, out;
        bool is_cut;
    } cases[] = {
        {STR("/patient/123456782/labs"), STR("/patient/*********/labs"), false}, /* passes the eleven-test */
        {STR("/patient/123456781/labs"), STR("/patient/123456781/labs"), false}, /* does not */
        {STR("/111222333"), STR("/*********"), false},
        {STR("/p/10000008"), STR("/p/********"), false}, /* eight digits: 010000008 */
        {STR("/p/10000009"), STR("/p/10000009"), false},
        {STR("/000000000"), STR("/000000000"), false},
        {STR("/1234567820"), STR("/1234567820"), false}, /* ten digits are no such number */
        {STR("/x123456782y-111222333.json"), STR("/x*********y-*********.json"), false},
        {STR("/a/1234"), STR("/a/1234"), true},
        {STR("/a/12345678"), STR("/a/********"), true}, /* cut: the ninth digit could be worked out */
        {STR("/a/12345678"), STR("/a/12345678"), false},
        {STR(""), STR(""), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char memory[64];
        struct str masked = mask_citizen_numbers(cases[i].in, cases[i].is_cut, memory);
        if (!str_eq(masked, cases[i].out))
            fail_msg("%.*s became %.*s", STR_ARG(cases[i].in), STR_ARG(masked));
    }
}

static void set(char *place, uint8_t *length, const char *text)
{
    *length = (uint8_t)strlen(text);
    memcpy(place, text, *length);
}

static struct access_event sample_event(void)
{
    struct access_event e = {
        .at_us = 1'767'323'045'123'456,
        .request_id = {0x0123456789abcdef, 0xfedcba9876543210},
        .bytes_in = 12,
        .bytes_out = 3456,
        .duration_us = 1500,
        .upstream_us = 1200,
        .endpoint = 0,
        .status = 200,
        .version = HTTP_2,
        .tls_version = 4,
        .flags = ACCESS_TLS | ACCESS_RESUMED | ACCESS_HAS_QUERY,
        .retries = 1,
    };
    set(e.method, &e.method_len, "GET");
    set(e.host, &e.host_len, "noord.example.nl");
    set(e.agent, &e.agent_len, "curl/7.88.1");
    memcpy(e.path, "/fhir/Patient/123456782", 23);
    e.path_len = 23;
    assert_true(addr_parse(STR("192.0.2.7:50123"), &e.client));
    return e;
}

static const struct access_names names = {
    .cluster = {"noord", 5},
    .route = {"/fhir", 5},
    .listener = {"public", 6},
    .upstream = {"records", 7},
    .endpoint_host = {"10.0.0.5", 8},
    .endpoint_port = 8080,
};

static void test_an_access_line(void **)
{
    char memory[LOG_LINE_MAX];
    struct buf out = buf_over(memory, sizeof memory);
    struct access_event e = sample_event();
    access_line_write(&out, &e, &names);
    assert_true(str_eq(
        buf_text(&out),
        STR("{\"@timestamp\":\"2026-01-02T03:04:05.123456Z\",\"ecs.version\":\"8.11\",\"event.dataset\":"
            "\"polder.access\","
            "\"event.duration\":1500000,\"http.request.id\":\"0123456789abcdeffedcba9876543210\",\"http."
            "version\":\"2\","
            "\"http.request.method\":\"GET\",\"url.domain\":\"noord.example.nl\",\"url.path\":\"/fhir/"
            "Patient/*********\","
            "\"http.response.status_code\":200,\"http.request.body.bytes\":12,\"http.response.body.bytes\":"
            "3456,"
            "\"user_agent.original\":\"curl/7.88.1\",\"source.ip\":\"192.0.2.7\",\"source.port\":50123,"
            "\"tls.version_protocol\":\"tls\",\"tls.version\":\"1.3\",\"tls.resumed\":true,\"polder."
            "listener\":\"public\","
            "\"polder.cluster\":\"noord\",\"polder.route\":\"/fhir\",\"polder.upstream\":\"records\","
            "\"polder.endpoint.address\":\"10.0.0.5\",\"polder.endpoint.port\":8080,\"polder.upstream_"
            "duration\":1200000,"
            "\"polder.retries\":1,\"polder.has_query\":true}\n")));
}

static void test_a_refused_request(void **)
{
    char memory[LOG_LINE_MAX];
    struct buf out = buf_over(memory, sizeof memory);
    struct access_event e = {
        .status = 400, .refusal = REFUSAL_LENGTH_AND_TRANSFER_ENCODING, .flags = ACCESS_BY_GATE};
    access_line_write(&out, &e, &(struct access_names){0});
    assert_true(
        str_find(buf_text(&out),
                 STR("\"polder.refusal\":\"length_and_transfer_encoding\",\"polder.by_gate\":true}\n")) > 0);
    assert_true(str_find(buf_text(&out), STR("polder.cluster")) < 0);
}

/* Whatever bytes a worker put there: one line, valid JSON, within the limit. */
static void test_any_bytes_make_one_line(void **)
{
    srandom(7);
    for (unsigned round = 0; round < 3000; round++) {
        char memory[LOG_LINE_MAX];
        struct json_node nodes[256];
        struct json_tape tape;
        struct buf out = buf_over(memory, sizeof memory);
        struct access_event e;
        uint8_t *bytes = (uint8_t *)&e;
        for (size_t i = 0; i < sizeof e; i++)
            bytes[i] = (uint8_t)(round == 0 ? 0x01 : random());
        e.method_len = e.method_len % (sizeof e.method + 1);
        e.host_len = e.host_len % (sizeof e.host + 1);
        e.agent_len = e.agent_len % (sizeof e.agent + 1);
        e.path_len = e.path_len % (sizeof e.path + 1);
        e.client.is_v4 = false;
        access_line_write(&out, &e, &names);
        assert_false(buf_overflowed(&out));
        assert_int_equal(str_find_char(buf_text(&out), '\n'), out.n - 1);
        assert_int_equal(json_parse(buf_text(&out), 8, nodes, 256, &tape, NULL), JSON_FINE);
    }
}

static void test_an_event_line(void **)
{
    char memory[LOG_LINE_MAX];
    struct buf out = buf_over(memory, sizeof memory);
    event_line_write(&out, &(struct event_line){.event = EVENT_role_died,
                                                .at_us = 1'767'323'045'000'000,
                                                .message = STR("worker 1 (pid 99) died: \"KILL\""),
                                                .role = STR("worker"),
                                                .pid = 99});
    assert_true(str_eq(
        buf_text(&out),
        STR("{\"@timestamp\":\"2026-01-02T03:04:05.000000Z\",\"ecs.version\":\"8.11\",\"event.dataset\":"
            "\"polder.gate\",\"event.action\":\"role_died\",\"log.level\":\"error\",\"message\":"
            "\"worker 1 (pid 99) died: \\\"KILL\\\"\",\"process.pid\":99,\"polder.role\":\"worker\"}\n")));
}

/* ---- the writer */

static void test_off_takes_nothing(void **)
{
    struct log_out log;
    assert_true(log_out_init(&log, open("/dev/null", O_WRONLY)));
    assert_int_equal(log.fd, -1);
    assert_true(log_out_has_room(&log));
    log_out_line(&log, STR("x\n"));
    log_out_flush(&log);
    assert_int_equal(log.lines, 0);
    log_out_done(&log);
}

/* A pipe nobody reads never blocks, nothing is lost while there is room, and it goes on when it is read. */
static void test_a_stalled_reader(void **)
{
    static char line[1000], read_back[1 << 19];
    struct log_out log;
    int ends[2];
    size_t wrote = 0, got = 0;
    assert_int_equal(pipe(ends), 0);
    assert_true(log_out_init(&log, ends[1]));
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    while (log_out_has_room(&log)) {
        log_out_line(&log, (struct str){line, sizeof line});
        wrote += sizeof line;
    }
    assert_true(wrote > LOG_BUFFER_BYTES - LOG_LINE_MAX);
    assert_int_equal(log.failures, 0);
    log_out_line(&log, (struct str){line, sizeof line});
    assert_int_equal(log.failures, 1); /* no room: dropped, and said so */
    while (got < wrote) {
        ssize_t n = read(ends[0], read_back + got, sizeof read_back - got);
        assert_true(n > 0);
        got += (size_t)n;
        log_out_flush(&log);
    }
    assert_int_equal(got, wrote);
    assert_int_equal(log.waiting.n, 0);
    log_out_done(&log);
    close(ends[0]);
}

static void test_reopening(void **)
{
    char first[] = "/tmp/observer-log-1-XXXXXX", second[] = "/tmp/observer-log-2-XXXXXX", text[16];
    struct log_out log;
    int one = mkstemp(first), two = mkstemp(second);
    assert_true(one >= 0 && two >= 0);
    assert_true(log_out_init(&log, dup(one)));
    log_out_line(&log, STR("old\n"));
    log_out_reopen(&log, dup(two));
    log_out_line(&log, STR("new\n"));
    log_out_done(&log);
    assert_int_equal(pread(one, text, sizeof text, 0), 4);
    assert_memory_equal(text, "old\n", 4);
    assert_int_equal(pread(two, text, sizeof text, 0), 4);
    assert_memory_equal(text, "new\n", 4);
    unlink(first);
    unlink(second);
    close(one);
    close(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_masking),
        cmocka_unit_test(test_an_access_line),
        cmocka_unit_test(test_a_refused_request),
        cmocka_unit_test(test_any_bytes_make_one_line),
        cmocka_unit_test(test_an_event_line),
        cmocka_unit_test(test_off_takes_nothing),
        cmocka_unit_test(test_a_stalled_reader),
        cmocka_unit_test(test_reopening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
