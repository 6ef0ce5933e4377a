#include "kit.h"

struct row {
    const char *rules;
    unsigned line, column;
    const char *what; /* begins so */
};

#define RULE "SecRule ARGS \"@rx a\" \"id:1,phase:2,pass\"\n"

static const struct row refused[] = {
    {"SecNonsense On\n", 1, 1, "unknown directive"},
    {"\n  SecRuleEngine Maybe\n", 2, 17, "expected On"},
    {"SecRule ARGZ \"@rx a\" \"id:1\"\n", 1, 9, "unknown variable"},
    {"SecRule ARGS|REQUEST_URI:x \"@rx a\" \"id:1\"\n", 1, 26, "REQUEST_URI is a single value"},
    {"SecRule ARGS \"@rxx a\" \"id:1\"\n", 1, 16, "unknown operator"},
    {"SecRule ARGS \"@rx a(\" \"id:1\"\n", 1, 21, "regular expression"},
    {"SecRule ARGS:/(/ \"@rx a\" \"id:1\"\n", 1, 16, "regular expression"},
    {"SecRule ARGS \"@rx a\" \"id:1,phase:6\"\n", 1, 34, "\"6\" is not a number from 1 to 5"},
    {"SecRule ARGS \"@rx a\" \\\n    \"id:1,\\\n    t:rot13\"\n", 3, 7, "unknown transformation"},
    {"SecRule ARGS \"@rx a\" \"id:1,explode\"\n", 1, 28, "unknown action"},
    {"SecRule ARGS \"@rx a\" \"id:1,msg:'open\"\n", 1, 32, "the quote"},
    {"SecRule ARGS \"@rx a\" \"id:1,deny:x\"\n", 1, 28, "deny takes no value"},
    {"SecRule ARGS \"@rx a\" \"id:1,ctl:x=1\"\n", 1, 32, "unknown ctl"},
    {"SecRule ARGS \"@rx a\" \"id:1,ctl:ruleEngine=Maybe\"\n", 1, 43, "\"Maybe\" cannot stand here"},
    {"SecRule ARGS \"@rx a\" \"id:1,setvar:args.x=1\"\n", 1, 35, "\"args.x\" is no collection"},
    {"SecRule ARGS \"@rx a\" \"id:1,setvar:'tx.x=%{nope}'\"\n", 1, 43, "unknown variable"},
    {"SecRule ARGS \"@rx a\" \"id:1,logdata:'%{tx}'\"\n", 1, 39, "tx needs a name"},
    {"SecRule ARGS \"@rx a\" \"phase:2\"\n", 1, 1, "a rule needs an id"},
    {"SecRule ARGS \"@rx a\"\n", 1, 1, "a rule needs actions"},
    {RULE RULE, 2, 1, "there is a rule 1 already"},
    {"SecRule ARGS \"@rx a\" \"id:1,chain\"\n", 1, 1, "the last rule wants another"},
    {"SecRule ARGS \"@rx a\" \"id:1,chain\"\nSecMarker X\n", 2, 1, "the rule before this wants"},
    {"SecRule ARGS \"@rx a\" \"id:1,chain\"\nSecRule ARGS \"@rx b\" \"deny\"\n", 2, 23,
     "deny may only stand in the first"},
    {"\nSecRule ARGS \"@rx a\" \"id:1,skipAfter:NOWHERE\"\n", 2, 1, "no SecMarker \"NOWHERE\" follows"},
    {"SecRule XML:/a/b \"@rx a\" \"id:1\"\n", 1, 13, "XML takes only"},
    {"SecRule ARGS \"@pmFromFile none.data\" \"id:1\"\n", 1, 27, "cannot read the file"},
    {"SecRule REMOTE_ADDR \"@ipMatch 192.0.2.0/24,x\" \"id:1\"\n", 1, 44, "\"x\" is neither"},
    {"SecRule ARGS \"@validateByteRange 1-300\" \"id:1\"\n", 1, 34, "\"1-300\" is no byte"},
    {"SecRequestBodyLimitAction ProcessPartial\n", 1, 27, "only Reject"},
    {"SecRule ARGS \"@rx a\n", 1, 14, "the quote"},
    {"Include none.conf\n", 1, 9, "no file matches"},
    {"SecDefaultAction \"phase:2,block\"\n", 1, 19, "SecDefaultAction needs"},
    {"SecRuleUpdateTargetById x \"!ARGS\"\n", 1, 25, "\"x\" is no id"},
    {"SecCookieFormat 1\n", 1, 17, "only format 0"},
};

static void test_refused(void **)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct kit k = {0};
        const struct waf_problem *problem = kit_refuses(&k, refused[i].rules);
        if (problem->line != refused[i].line || problem->column != refused[i].column ||
            !str_starts(str_of(problem->what), str_of(refused[i].what)))
            fail_msg("row %zu: %s\nat %u:%u: %s", i, refused[i].rules, problem->line, problem->column,
                     problem->what);
        kit_free(&k);
    }
}

static void test_all_problems_in_one_run(void **)
{
    struct kit k = {0};
    kit_refuses(&k, "SecA\nSecRuleEngine On\nSecB\nInclude broken.conf\nSecC\n");
    assert_int_equal(k.problems.count, 4);
    assert_string_equal(k.problems.items[2].file, "broken.conf");
    assert_int_equal(k.problems.items[2].line, 2);
    assert_int_equal(k.problems.items[3].line, 5);
    kit_free(&k);
}

static void test_many_problems_are_counted(void **)
{
    struct kit k = {0};
    char text[100 * 6 + 1] = "";
    for (size_t i = 0; i < 100; i++)
        memcpy(text + i * 6, "SecX1\n", 6);
    kit_refuses(&k, text);
    assert_int_equal(k.problems.count, 100);
    kit_free(&k);
}

static void test_quotes_and_continuation(void **)
{
    struct kit k = {0};
    kit_load(&k,
             "# a comment \\\nSecNonsense that is still comment\n"
             "SecRule ARGS '@rx \\\"\\\\w' \\\r\n  \"id:7,phase:2,pass,\\\n   msg:'it\\'s, "
             "so',tag:a,tag:'b,c'\"\n",
             NULL);
    struct waf_rule_info info = waf_rules_info(k.rules, 0);
    assert_int_equal(waf_rules_count(k.rules), 1);
    assert_int_equal(info.id, 7);
    assert_int_equal(info.line, 3);
    assert_true(str_eq(info.message, STR("it's, so")));
    assert_int_equal(info.tag_count, 2);
    assert_true(str_eq(info.tags[1], STR("b,c")));
    kit_free(&k);
}

static void test_includes_and_limits(void **)
{
    struct kit k = {0};
    kit_load(&k,
             "Include more.conf\nIncludeOptional none.conf\nSecRequestBodyAccess On\nSecRequestBodyLimit 77\n"
             "SecResponseBodyAccess Off\nSecArgumentsLimit 5\n",
             NULL);
    struct waf_limits limits = waf_rules_limits(k.rules);
    assert_true(limits.request_body && !limits.response_body);
    assert_int_equal(limits.request_body_bytes, 77);
    assert_int_equal(limits.arguments, 5);
    assert_int_equal(waf_rules_info(k.rules, 0).id, 900);
    kit_free(&k);
}

static void test_taking_rules_away(void **)
{
    struct kit k = {0};
    kit_load(&k,
             "SecAction \"id:1,phase:1,tag:'a/x'\"\nSecAction \"id:2,phase:1,msg:'hello'\"\nSecAction "
             "\"id:3,phase:1\"\n"
             "SecAction \"id:10,phase:1\"\nSecAction \"id:12,phase:1\"\nSecAction \"id:20,phase:1\"\n"
             "SecRuleRemoveByTag ^a/\nSecRuleRemoveByMsg ell\nSecRuleRemoveById 10-15 \"3 99\"\n",
             NULL);
    kit_expect(&k, kit_run(&k, "GET", "/", ""), "20");
    kit_free(&k);
}

static void test_overlay_refuses(void **)
{
    static const char *const texts[] = {"SecRuleEngine Off\n", "SecRuleUpdateTargetById 1 ARGS\n",
                                        "SecRuleRemoveById x\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct kit k = {0};
        kit_load(&k, RULE, NULL);
        struct waf_overlay_options options = {.mode = WAF_BLOCK, .exclusions = str_of(texts[i])};
        assert_null(waf_overlay_new(k.rules, &options, &k.problems));
        assert_int_equal(k.problems.count, 1);
        assert_int_equal(k.problems.items[0].line, 1);
        kit_free(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_all_problems_in_one_run),
        cmocka_unit_test(test_many_problems_are_counted),
        cmocka_unit_test(test_quotes_and_continuation),
        cmocka_unit_test(test_includes_and_limits),
        cmocka_unit_test(test_taking_rules_away),
        cmocka_unit_test(test_overlay_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
