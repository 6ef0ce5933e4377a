/* Records of the firewall in the observer: what is taken for one, what is kept, and what commands answer. */
#include "gate/observer.h"
#include "sys/shm.h"
#include "json/tape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 1, ANSWER_BYTES = 8 << 20 };
static char answer[ANSWER_BYTES];
static char event_log_path[] = "/tmp/polder-test-events-XXXXXX";

static struct observer *begin(void)
{
    static struct observer o;
    o = (struct observer){.access_log = {.fd = -1}, .event_log = {.fd = -1}, .waf = {.log = {.fd = -1}}};
    o.loop = loop_new();
    void *memory =
        mmap(NULL, shared_size(WORKERS), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED && o.loop && observer_waf_init(&o));
    shared_init(memory, WORKERS, (struct hash_key){1, 2}, &o.shared);
    return &o;
}

static void finish(struct observer *o)
{
    observer_waf_done(o);
    munmap(o->shared.reader, o->shared.size);
    loop_free(o->loop);
}

static struct str record_text(char *memory, size_t cap, unsigned number, unsigned pad)
{
    int n = snprintf(
        memory, cap,
        "{\"@timestamp\":\"2026-01-02T03:04:%02u.000000Z\",\"http.request.id\":\"%032x\","
        "\"polder.cluster\":\"%s\",\"pad\":\"%*s\",\"polder.waf.matches\":[{\"rule\":%u,\"message\":"
        "\"m\\u0022%u\"}]}\n",
        number % 60, number, number % 2 ? "noord" : "zuid", (int)pad, "", 942000 + number % 5, number % 5);
    return (struct str){memory, (size_t)n};
}

static struct str ask(struct observer *o, const char *command)
{
    struct buf out = buf_over(answer, sizeof answer);
    assert_true(observer_waf_command(o, str_of(command), 7, &out));
    assert_false(buf_overflowed(&out));
    return buf_text(&out);
}

static bool holds(struct str text, const char *what)
{
    return str_find(text, str_of(what)) >= 0;
}

static void test_what_is_no_record(void **)
{
    struct observer *o = begin();
    static const char *const none[] = {
        "",
        "\n",
        "{}\n",
        "[]\n",
        "{\"http.request.id\":\"0123456789abcdef0123456789abcdef\"}",     /* no line feed */
        "{\"http.request.id\":\"0123456789abcdef0123456789abcdef\"\n}\n", /* two lines */
        "{\"http.request.id\":\"0123456789abcdef0123456789abcdef\"}\r\n",
        "{\"http.request.id\":\"0123456789ABCDEF0123456789abcdef\"}\n",
        "{\"http.request.id\":\"0123456789abcdef0123456789abcde\"}\n",
        "{\"http.request.id\":7}\n",
        "{\"http.request.id\":\"0123456789abcdef0123456789abcdef\"} {}\n",
        "{\"http.request.id\":\"0123456789abcdef0123456789abcdef\",\"x\":\"\xff\"}\n",
        "{\"http.request.id\":\"0123456789abcdef0123456789abcdef\",\"x\":[[[[[[[[[1]]]]]]]]]}\n",
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (observer_waf_take(o, str_of(none[i])))
            fail_msg("%zu was taken", i);
    assert_int_equal(o->waf.end, 0);
    assert_true(
        observer_waf_take(o, STR("{\"http.request.id\":\"0123456789abcdef0123456789abcdef\",\"polder.waf."
                                 "matches\":[1,{\"rule\":\"x\"},{\"message\":7}]}\n")));
    assert_int_equal(o->waf.end, 1);
    assert_int_equal(o->waf.name_count, 0);
    finish(o);
}

/* Far more than there is room for: the last ones are kept, whole. */
static void test_the_last_are_kept(void **)
{
    enum { RECORDS = 20000 };
    static char memory[SHARED_AUDIT_RECORD_MAX];
    struct observer *o = begin();
    for (unsigned i = 0; i < RECORDS; i++)
        assert_true(observer_waf_take(o, record_text(memory, sizeof memory, i, i * 37 % 7000)));
    assert_int_equal(o->waf.records, RECORDS);
    assert_true(o->waf.end - o->waf.first > 500 && o->waf.end - o->waf.first <= KEPT_MAX);
    for (uint64_t k = o->waf.first; k < o->waf.end; k++) {
        const struct kept_record *record = &o->waf.kept[k % KEPT_MAX];
        struct str text = record_text(memory, sizeof memory, (unsigned)k, (unsigned)k * 37 % 7000);
        assert_true(str_eq((struct str){o->waf.memory + record->at, record->n}, text));
    }
    char command[64];
    snprintf(command, sizeof command, "waf-explain %032x", RECORDS - 1);
    assert_true(holds(ask(o, command), "\"record\":{\"@timestamp\""));
    assert_false(holds(ask(o, "waf-explain 00000000000000000000000000000000"), "record"));
    finish(o);
}

static void test_records_are_chosen(void **)
{
    char memory[1024];
    struct observer *o = begin();
    for (unsigned i = 0; i < 20; i++)
        assert_true(observer_waf_take(o, record_text(memory, sizeof memory, i, 0)));
    struct str all = ask(o, "waf-records - 0");
    assert_true(holds(all, "noord") && holds(all, "zuid"));
    struct str some = ask(o, "waf-records noord 0");
    assert_true(holds(some, "noord") && !holds(some, "zuid"));
    some = ask(o, "waf-records - 1767323050000000"); /* 03:04:10 */
    assert_true(holds(some, "03:04:10") && holds(some, "03:04:19") && !holds(some, "03:04:09"));
    assert_false(holds(ask(o, "waf-records - 9999999999999999"), "noord"));
    finish(o);
}

static void test_ring_to_record(void **)
{
    char memory[1024];
    struct observer *o = begin();
    assert_true(shared_audit_push(&o->shared, 0, record_text(memory, sizeof memory, 1, 0)));
    assert_true(shared_audit_push(&o->shared, 0, STR("nonsense")));
    assert_true(shared_audit_push(&o->shared, 0, record_text(memory, sizeof memory, 2, 0)));
    observer_waf_drain(o);
    assert_int_equal(o->waf.records, 2);
    assert_int_equal(o->waf.broken, 1);
    shared_worker(&o->shared, 0)->audit_written += 7; /* a writer gone wild */
    observer_waf_drain(o);
    assert_int_equal(o->waf.broken, 2);
    finish(o);
}

static void test_excerpts(void **)
{
    struct observer *o = begin();
    int fd = mkstemp(event_log_path);
    assert_true(fd >= 0 && log_out_init(&o->event_log, fd));
    assert_true(holds(ask(o, "waf-excerpts"), "\"excerpts_clear\":false"));
    assert_true(holds(ask(o, "waf-excerpts clear"), "error"));
    assert_true(holds(ask(o, "waf-excerpts clear 0 why"), "error"));
    assert_true(holds(ask(o, "waf-excerpts clear 86401 why"), "at most 24 hours"));
    assert_true(holds(ask(o, "waf-excerpts clear 60"), "say why"));
    assert_true(holds(ask(o, "waf-excerpts clear 60   "), "say why"));
    assert_true(holds(ask(o, "waf-excerpts nonsense"), "error"));
    assert_false(shared_excerpts_are_clear(&o->shared, loop_now_ms(o->loop)));
    assert_true(holds(ask(o, "waf-excerpts clear 60 a \"reason\""),
                      "\"excerpts_clear\":true,\"excerpts_clear_s\":60"));
    assert_true(shared_excerpts_are_clear(&o->shared, loop_now_ms(o->loop)));
    observer_waf_watch(o);
    assert_true(holds(ask(o, "waf-excerpts masked"), "\"excerpts_clear\":false"));
    observer_waf_watch(o);
    char text[4096];
    ssize_t n = pread(fd, text, sizeof text, 0);
    struct str log = {text, n > 0 ? (size_t)n : 0};
    assert_true(holds(log, "waf_excerpts_clear") &&
                holds(log, "user 7 asked for excerpts in clear for 60 s: a \\\"reason"));
    assert_true(holds(log, "waf_excerpts_masked"));
    unlink(event_log_path);
    log_out_done(&o->event_log);
    finish(o);
}

static void test_other_commands(void **)
{
    struct observer *o = begin();
    struct buf out = buf_over(answer, sizeof answer);
    assert_true(holds(ask(o, "patches"), "\"patches\":[]"));
    assert_true(holds(ask(o, "waf-top"), "\"rules\":[]"));
    assert_false(observer_waf_command(o, STR("waf"), 0, &out));
    assert_false(observer_waf_command(o, STR("reload"), 0, &out));
    assert_false(observer_waf_command(o, STR(""), 0, &out));
    finish(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_record),  cmocka_unit_test(test_the_last_are_kept),
        cmocka_unit_test(test_records_are_chosen), cmocka_unit_test(test_ring_to_record),
        cmocka_unit_test(test_excerpts),           cmocka_unit_test(test_other_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
