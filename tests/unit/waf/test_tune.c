/* The tuning helper: out of records, the narrowest exclusion, and what else it would let through. */
#include "waf/tune.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NODES = 4096 };

static struct arena *arena;
static struct tune_record records[16];
static unsigned count;

static int begin(void **)
{
    arena = arena_new(8 << 20);
    count = 0;
    return arena ? 0 : -1;
}

static int end(void **)
{
    arena_free(arena);
    return 0;
}

#define MATCH(rule, severity, target)                                                                        \
    "{\"rule\":" #rule ",\"message\":\"m\",\"decides\":false,\"severity\":\"" severity                       \
    "\",\"target\":\"" target "\",\"excerpt\":\"e\"}"
#define SUM "{\"rule\":949110,\"message\":\"s\",\"decides\":true,\"target\":\"TX:anomaly_score\"}"

static void add(const char *reference, const char *action, const char *path, unsigned score,
                unsigned left_out, const char *matches)
{
    struct json_node *nodes = arena_alloc(arena, NODES * sizeof *nodes);
    struct json_tape tape;
    struct str text = arena_printf(
        arena,
        "{\"http.request.id\":\"%s\",\"event.action\":\"%s\",\"url.path\":\"%s\",\"source.ip\":\"192.0.2."
        "%u\",\"polder.cluster\":\"noord\",\"polder.waf.inbound_score\":%u,"
        "\"polder.waf.inbound_threshold\":5,\"polder.waf.left_out\":%u,\"polder.waf.matches\":[%s]}",
        reference, action, path, count, score, left_out, matches);
    assert_int_equal(json_parse(text, 8, nodes, NODES, &tape, NULL), JSON_FINE);
    assert_true(tune_record_read(&tape, 0, arena, &records[count]));
    count++;
}

static struct tune_proposal *propose(const char *reference, unsigned *ret_count)
{
    struct tune_proposal *all = tune_propose(records, count, str_of(reference), arena, ret_count);
    assert_non_null(all);
    return all;
}

static void expect_line(const struct tune_proposal *p, const char *line)
{
    char memory[512];
    struct buf out = buf_over(memory, sizeof memory);
    tune_write_exclusion(&out, p);
    if (!str_eq(buf_text(&out), str_of(line)))
        fail_msg("proposed %.*s", STR_ARG(buf_text(&out)));
}

static void test_narrowest(void **)
{
    char memory[512];
    struct buf out = buf_over(memory, sizeof memory);
    unsigned n;
    add("r1", "blocked", "/notities", 5, 0, MATCH(942100, "critical", "ARGS:opmerking") "," SUM);
    add("r2", "blocked", "/notities", 10, 0,
        MATCH(942100, "critical", "ARGS:opmerking") "," MATCH(942100, "critical", "ARGS:zoek") "," SUM);
    add("r3", "passed", "/", 2, 0, MATCH(942440, "notice", "ARGS:x"));
    struct tune_proposal *p = propose("", &n);
    assert_int_equal(n, 2); /* nothing for what passed, nothing for the rule that sums up */
    expect_line(&p[0], "SecRuleUpdateTargetById 942100 \"!ARGS:opmerking\"");
    assert_int_equal(p[0].requests, 2);
    assert_int_equal(p[0].clients, 2);
    assert_int_equal(p[0].would_pass, 1);
    assert_int_equal(p[0].still_blocked, 1);
    assert_true(str_eq(p[0].would_pass_references[0], STR("r1")));
    expect_line(&p[1], "SecRuleUpdateTargetById 942100 \"!ARGS:zoek\"");
    assert_int_equal(p[1].requests, 1);
    tune_write_path_rule(&out, &p[0], 8700000);
    assert_true(
        str_eq(buf_text(&out),
               STR("SecRule REQUEST_FILENAME \"@streq /notities\" \"id:8700000,phase:1,pass,nolog,t:none,"
                   "ctl:ruleRemoveTargetById=942100;ARGS:opmerking\"")));
}

static void test_one_reference(void **)
{
    unsigned n;
    add("r1", "detected", "/a", 5, 0, MATCH(942100, "critical", "ARGS:a") "," SUM);
    add("r2", "detected", "/b", 5, 0, MATCH(941100, "critical", "ARGS:b") "," SUM);
    add("r3", "detected", "/c", 5, 0, MATCH(941100, "critical", "ARGS:b") "," SUM);
    struct tune_proposal *p = propose("r2", &n);
    assert_int_equal(n, 1);
    expect_line(&p[0], "SecRuleUpdateTargetById 941100 \"!ARGS:b\"");
    assert_int_equal(p[0].requests, 1);
    assert_int_equal(p[0].would_pass, 2); /* the other one too: that is what there is to know */
}

static void test_severities(void **)
{
    unsigned n;
    add("r1", "blocked", "/a", 8, 0,
        MATCH(920270, "warning", "ARGS:a") "," MATCH(942100, "critical", "ARGS:b") "," SUM);
    struct tune_proposal *p = propose("", &n);
    assert_int_equal(n, 2);
    assert_true(p[0].rule == 920270 && p[0].would_pass == 0 && p[0].still_blocked == 1); /* 8 - 3 is 5 */
    assert_true(p[1].rule == 942100 && p[1].would_pass == 1);                            /* 8 - 5 is 3 */
}

static void test_what_nobody_can_tell(void **)
{
    unsigned n;
    add("r1", "blocked", "/a", 50, 7, MATCH(942100, "critical", "ARGS:a") "," SUM);
    struct tune_proposal *p = propose("", &n);
    assert_true(n == 1 && p[0].uncertain == 1 && p[0].would_pass == 0 && p[0].still_blocked == 0);
}

static void test_masked_names(void **)
{
    char memory[512];
    struct buf out = buf_over(memory, sizeof memory);
    unsigned n;
    add("r1", "blocked", "/a", 5, 0, MATCH(942100, "critical", "ARGS:aaa aaaaaa") "," SUM);
    add("r2", "blocked", "/a", 5, 0, MATCH(920300, "notice", "&REQUEST_HEADERS:Accept") "," SUM);
    add("r3", "blocked", "/a", 5, 0, MATCH(941100, "critical", "XML:/*") "," SUM);
    add("r4", "blocked", "/a", 5, 0, MATCH(941110, "critical", "ARGS:/x/") "," SUM); /* would be a pattern */
    struct tune_proposal *p = propose("", &n);
    assert_int_equal(n, 4);
    expect_line(&p[0], "SecRuleRemoveById 920300");
    expect_line(&p[1], "SecRuleUpdateTargetById 941100 \"!XML:/*\"");
    expect_line(&p[2], "SecRuleRemoveById 941110");
    expect_line(&p[3], "SecRuleRemoveById 942100");
    tune_write_path_rule(&out, &p[3], 1);
    assert_int_equal(out.n, 0);
}

static void test_patches_are_no_false_alarms(void **)
{
    unsigned n;
    add("r1", "blocked", "/vpns/cfg", 0, 0,
        "{\"rule\":8800101,\"message\":\"m\",\"decides\":true,\"severity\":\"critical\",\"target\":"
        "\"REQUEST_FILENAME\",\"excerpt\":\"e\"}");
    struct tune_proposal *p = propose("", &n);
    assert_true(n == 1 && p[0].kind == TUNE_PATCH && p[0].would_pass == 1);
    expect_line(&p[0], "");
}

static void test_another_rule_decides(void **)
{
    unsigned n;
    add("r1", "blocked", "/a", 0, 0,
        MATCH(942100, "critical",
              "ARGS:a") ",{\"rule\":1000,\"message\":\"own\",\"decides\":true,\"target\":\"ARGS:a\"}");
    struct tune_proposal *p = propose("", &n);
    assert_int_equal(n, 2);
    assert_true(p[0].rule == 1000 && p[0].would_pass == 1);
    assert_true(p[1].rule == 942100 && p[1].still_blocked == 1);
}

/* Paths and names that would end the operator's text are no part of a proposal. */
static void test_hostile_texts(void **)
{
    char memory[512];
    struct buf out = buf_over(memory, sizeof memory);
    unsigned n;
    add("r1", "blocked", "/a\\\" \\\"id:1", 5, 0, MATCH(942100, "critical", "ARGS:a") "," SUM);
    add("r2", "blocked", "/b", 5, 0, MATCH(942110, "critical", "ARGS:a\\\" \\\"x") "," SUM);
    struct tune_proposal *p = propose("", &n);
    tune_write_path_rule(&out, &p[0], 1);
    assert_int_equal(out.n, 0);
    expect_line(&p[1], "SecRuleRemoveById 942110");
}

static void test_no_records(void **)
{
    unsigned n;
    propose("", &n);
    assert_int_equal(n, 0);
    struct json_node nodes[64];
    struct json_tape tape;
    static const char *const none[] = {"{}", "[]", "{\"http.request.id\":\"x\"}",
                                       "{\"http.request.id\":\"x\",\"polder.waf.matches\":[1]}",
                                       "{\"http.request.id\":7,\"polder.waf.matches\":[]}"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(json_parse(str_of(none[i]), 8, nodes, 64, &tape, NULL), JSON_FINE);
        assert_false(tune_record_read(&tape, 0, arena, &records[0]));
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_narrowest),
        TEST(test_one_reference),
        TEST(test_severities),
        TEST(test_what_nobody_can_tell),
        TEST(test_masked_names),
        TEST(test_patches_are_no_false_alarms),
        TEST(test_another_rule_decides),
        TEST(test_hostile_texts),
        TEST(test_no_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
