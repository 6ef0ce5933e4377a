/* Virtual patches as files: what they say, every mistake with its line, and the bytes their requests become.
 */
#include "waf/patch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ARENA_BYTES = 32 << 20 };

#define HEAD                                                                                                 \
    "id: CVE-2026-0001\n"                                                                                    \
    "title: A hole\n"                                                                                        \
    "severity: high\n"                                                                                       \
    "references: [https://example.org/1]\n"
#define RULES                                                                                                \
    "rules: |\n"                                                                                             \
    "  SecRule REQUEST_URI \"@contains evil\" \\\n"                                                          \
    "      \"id:8800001,phase:1,deny,status:403,log,msg:'evil'\"\n"
#define BLOCK                                                                                                \
    "must_block:\n"                                                                                          \
    "  - name: evil path\n"                                                                                  \
    "    request: |\n"                                                                                       \
    "      GET /evil HTTP/1.1\n"                                                                             \
    "      Host: [[host]]\n"
#define PASS                                                                                                 \
    "must_pass:\n"                                                                                           \
    "  - name: good path\n"                                                                                  \
    "    request: |\n"                                                                                       \
    "      GET /good HTTP/1.1\n"                                                                             \
    "      Host: [[host]]\n"

struct read_patch {
    struct arena *arena;
    struct waf_patch patch;
    struct config_problem *problems;
    unsigned count;
    bool is_fine;
};

static struct read_patch read_text(const char *yaml)
{
    struct read_patch r = {.arena = arena_new(ARENA_BYTES)};
    assert_non_null(r.arena);
    r.is_fine = waf_patch_read(STR("p.yaml"), str_of(yaml), r.arena, &r.patch, &r.problems, &r.count);
    return r;
}

static void test_all_of_it(void **)
{
    struct read_patch r = read_text(HEAD "description: |\n  Two\n  lines.\n" RULES BLOCK PASS);
    if (!r.is_fine)
        fail_msg("%u: %.*s", r.problems[0].line, STR_ARG(r.problems[0].text));
    assert_true(str_eq(r.patch.id, STR("CVE-2026-0001")));
    assert_true(str_eq(r.patch.title, STR("A hole")) && str_eq(r.patch.severity, STR("high")));
    assert_true(str_eq(r.patch.description, STR("Two\nlines.\n")));
    assert_int_equal(r.patch.reference_count, 1);
    assert_int_equal(r.patch.rule_count, 1);
    assert_int_equal(r.patch.rule_ids[0], 8800001);
    assert_int_equal(r.patch.block_count, 1);
    assert_int_equal(r.patch.pass_count, 1);
    assert_true(str_eq(r.patch.requests[1].name, STR("good path")));
    arena_free(r.arena);
}

static const struct {
    const char *yaml;
    unsigned line;
    const char *text;
} mistakes[] = {
    {"", 0, "empty"},
    {"- a\n", 1, "section of keys"},
    {"id: [\n", 2, "not valid YAML"},
    {HEAD RULES BLOCK, 1, "the key 'must_pass' is missing"},
    {HEAD RULES PASS, 1, "the key 'must_block' is missing"},
    {HEAD BLOCK PASS, 1, "the key 'rules' is missing"},
    {"title: A\nseverity: low\nreferences: [https://x]\n" RULES BLOCK PASS, 1, "the key 'id' is missing"},
    {HEAD "titel: B\n" RULES BLOCK PASS, 5, "knows no key 'titel'"},
    {HEAD "title: B\n" RULES BLOCK PASS, 5, "given twice"},
    {"id: 'CVE 1'\ntitle: A\nseverity: low\nreferences: [https://x]\n" RULES BLOCK PASS, 1, "is no id"},
    {"id:\ntitle: A\nseverity: low\nreferences: [https://x]\n" RULES BLOCK PASS, 1, "'id' must be a text"},
    {"id: A1\ntitle: [A]\nseverity: low\nreferences: [https://x]\n" RULES BLOCK PASS, 2,
     "'title' must be a text"},
    {"id: A1\ntitle: |\n  A\nseverity: low\nreferences: [https://x]\n" RULES BLOCK PASS, 3, "several lines"},
    {"id: A1\ntitle: A\nseverity: hihg\nreferences: [https://x]\n" RULES BLOCK PASS, 3, "not 'hihg'"},
    {"id: A1\ntitle: A\nseverity: low\nreferences: https://x\n" RULES BLOCK PASS, 4, "must be a list"},
    {"id: A1\ntitle: A\nseverity: low\nreferences: []\n" RULES BLOCK PASS, 4, "must be a list"},
    {"id: A1\ntitle: A\nseverity: low\nreferences: [http://x]\n" RULES BLOCK PASS, 4, "no address"},
    {HEAD "rules: ''\n" BLOCK PASS, 5, "'rules' must be a text"},
    {HEAD "rules: |\n  # nothing\n" BLOCK PASS, 5, "no rule of the patch blocks"},
    {HEAD "rules: |\n  SecRuleEngine Off\n" BLOCK PASS, 6, "'SecRuleEngine' has no place"},
    {HEAD "rules: |\n\n  Include /etc/shadow\n" BLOCK PASS, 7, "'Include' has no place"},
    {HEAD "rules: |\n  SecRuleRemoveById 1-999999\n" BLOCK PASS, 6, "has no place"},
    {HEAD "rules: |\n  SecRule ARGS \"@rx (\" \"id:8800001,phase:1,deny,log,msg:'x'\"\n" BLOCK PASS, 6, ""},
    {HEAD "rules: |\n  # one\n  # two\n  SecRule NONSENSE \"@rx a\" "
          "\"id:8800001,phase:1,deny,log,msg:'x'\"\n" BLOCK PASS,
     8, "NONSENSE"},
    {HEAD "rules: |\n  SecRule ARGS \"@rx a\" \"id:942100,phase:1,deny,log,msg:'x'\"\n" BLOCK PASS, 6,
     "rule id 942100 is not one of virtual patches"},
    {HEAD "rules: |\n  SecRule ARGS \"@rx a\" \"id:8800001,phase:1,deny,log\"\n" BLOCK PASS, 6,
     "needs a message"},
    {HEAD "rules: |\n  SecRule ARGS \"@rx a\" \"id:8800001,phase:1,deny,nolog,msg:'x'\"\n" BLOCK PASS, 6,
     "needs a message"},
    {HEAD "rules: |\n  SecRule ARGS \"@rx a\" \"id:8800001,phase:1,pass,log,msg:'x'\"\n" BLOCK PASS, 5,
     "no rule of the patch blocks"},
    {HEAD "rules: |\n  SecRule ARGS \"@rx a\" \"id:8800001,phase:1,allow,log,msg:'x'\"\n" BLOCK PASS, 6,
     "may not let requests by"},
    {HEAD "rules: |\n  SecRule ARGS \"@rx a\" "
          "\"id:8800001,phase:1,deny,log,msg:'x',ctl:ruleEngine=Off\"\n" BLOCK PASS,
     6, "may not switch"},
    {HEAD "rules: |\n  SecRule ARGS \"@rx a\" \"id:8800001,phase:1,deny,log,msg:'x'\"\n"
          "  SecRule ARGS \"@rx a\" \"id:8800001,phase:1,deny,log,msg:'x'\"\n" BLOCK PASS,
     7, "8800001"},
    {HEAD RULES "must_block: evil\n" PASS, 8, "must be a list of 1 to 64"},
    {HEAD RULES "must_block: []\n" PASS, 8, "must be a list of 1 to 64"},
    {HEAD RULES "must_block:\n  - evil\n" PASS, 9, "a name and a text"},
    {HEAD RULES "must_block:\n  - name: x\n" PASS, 9, "lacks its text"},
    {HEAD RULES "must_block:\n  - request: |\n      GET / HTTP/1.1\n      Host: a\n" PASS, 9,
     "lacks its name"},
    {HEAD RULES
     "must_block:\n  - name: x\n    wants: 403\n    request: |\n      GET / HTTP/1.1\n      Host: a\n" PASS,
     10, "a request knows no key 'wants'"},
    {HEAD RULES "must_block:\n  - name: x\n    request: |\n      GET /\n      Host: a\n" PASS, 11,
     "no request line"},
    {HEAD RULES "must_block:\n  - name: x\n    request: |\n      GET / HTTP/1.1\n      Hots: a\n" PASS, 11,
     "no Host field"},
    {HEAD RULES
     "must_block:\n  - name: x\n    request: |\n      GET / HTTP/1.1\n      Host: a\n      nonsense\n" PASS,
     13, "'nonsense' is no header field"},
    {HEAD RULES "must_block:\n  - name: x\n    request: |\n      GET / HTTP/1.1\n      Host: [[hots]]\n" PASS,
     11, "[['hots']] is not known"},
    {HEAD RULES
     "must_block:\n  - name: x\n    request: |\n      GET / HTTP/1.1\n      Host: [[a*99999999]]\n" PASS,
     11, "is not known"},
    {HEAD RULES
     "must_block:\n  - name: x\n    request: |\n      GET / HTTP/1.1\n      Host: [[abc*60000]]\n" PASS,
     11, "longer than 60 KiB"},
    {HEAD RULES "must_block:\n  - name: x\n    request: |\n      POST / HTTP/1.1\n      Host: a\n"
                "      Transfer-Encoding: chunked\n\n      body\n" PASS,
     13, "not in chunks"},
    {HEAD RULES BLOCK
     "must_pass:\n  - name: evil path\n    request: |\n      GET / HTTP/1.1\n      Host: a\n",
     16, "two requests are called 'evil path'"},
};

static void test_mistakes(void **)
{
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct read_patch r = read_text(mistakes[i].yaml);
        bool is_said = false;
        for (unsigned k = 0; k < r.count; k++)
            is_said = is_said || (r.problems[k].line == mistakes[i].line &&
                                  str_find(r.problems[k].text, str_of(mistakes[i].text)) >= 0);
        if (r.is_fine || !is_said)
            fail_msg("mistake %zu: said %u:%.*s instead of %u:%s", i, r.count ? r.problems[0].line : 0,
                     r.count ? (int)r.problems[0].text.n : 4, r.count ? r.problems[0].text.p : "none",
                     mistakes[i].line, mistakes[i].text);
        arena_free(r.arena);
    }
}

static void expect_bytes(const char *text, const char *bytes)
{
    char memory[4096];
    struct buf out = buf_over(memory, sizeof memory);
    struct waf_patch_request request = {.name = STR("x"), .text = str_of(text)};
    assert_true(waf_patch_request_write(&out, &request, STR("a.example")));
    if (!str_eq(buf_text(&out), str_of(bytes)))
        fail_msg("became <%.*s>", STR_ARG(buf_text(&out)));
}

static void test_bytes(void **)
{
    expect_bytes("GET / HTTP/1.1\nHost: [[host]]\n", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    expect_bytes("GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_bytes("POST / HTTP/1.1\nHost: a\n\na=[[b*3]]\n",
                 "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na=bbb");
    expect_bytes("POST / HTTP/1.1\nHost: a\ncontent-length: 9\n\nx\ny\n",
                 "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 9\r\n\r\nx\ny");
    expect_bytes("GET /[[[*2]]${jndi:x} HTTP/1.1\nHost: a\n", "GET /[[${jndi:x} HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void test_no_room(void **)
{
    char memory[20];
    struct buf out = buf_over(memory, sizeof memory);
    struct waf_patch_request request = {.text = STR("GET / HTTP/1.1\nHost: a\n")};
    assert_false(waf_patch_request_write(&out, &request, STR("a")));
}

static void test_clashes(void **)
{
    struct read_patch r = read_text(HEAD RULES BLOCK PASS);
    struct waf_patch two[2] = {r.patch, r.patch};
    assert_true(r.is_fine);
    assert_null(waf_patches_clash(two, 1, r.arena));
    assert_non_null(strstr(waf_patches_clash(two, 2, r.arena), "are both the virtual patch CVE-2026-0001"));
    two[1].id = STR("other");
    assert_non_null(strstr(waf_patches_clash(two, 2, r.arena), "8800001"));
    two[1].rule_ids[0] = 8800002;
    assert_null(waf_patches_clash(two, 2, r.arena));
    arena_free(r.arena);
}

static void test_exclusion(void **)
{
    char memory[128];
    struct buf out = buf_over(memory, sizeof memory);
    struct read_patch r = read_text(HEAD RULES BLOCK PASS);
    waf_patch_write_exclusion(&out, &r.patch);
    assert_true(str_eq(buf_text(&out), STR("SecRuleRemoveById 8800001\n")));
    arena_free(r.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_of_it), cmocka_unit_test(test_mistakes), cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_no_room),   cmocka_unit_test(test_clashes),  cmocka_unit_test(test_exclusion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
