#include "kit.h"

struct row {
    const char *rules, *target, *ids;
};

/* One rule set and one GET request each. */
static const struct row rows[] = {
    {"SecRule ARGS \"@rx ^evil$\" \"id:1,phase:1\"", "/?a=evil&b=good&c=evil", "1 1"},
    {"SecRule ARGS:B \"@rx evil\" \"id:1,phase:1\"", "/?a=evil&b=evil", "1"},
    {"SecRule ARGS:/^x/ \"@rx evil\" \"id:1,phase:1\"", "/?ax=evil&X1=evil&xyz=evil", "1 1"},
    {"SecRule ARGS|!ARGS:a|!ARGS:/^x/ \"@rx evil\" \"id:1,phase:1\"", "/?A=evil&x1=evil", ""},
    {"SecRule &ARGS \"@eq 2\" \"id:1,phase:1\"", "/?a&b", "1"},
    {"SecRule &ARGS:a \"@eq 2\" \"id:1,phase:1\"", "/?a&b&A=1", "1"},
    {"SecRule &REQUEST_HEADERS:Nope \"@eq 0\" \"id:1,phase:1\"", "/", "1"},
    {"SecRule ARGS_NAMES \"@streq evil\" \"id:1,phase:1\"", "/?evil=1", "1"},
    {"SecRule ARGS \"!@rx ^[a-z]*$\" \"id:1,phase:1\"", "/?a=abc&b=1", "1"},
    {"SecRule ARGS \"@streq abc\" \"id:1,phase:1,t:lowercase\"", "/?a=ABC", "1"},
    {"SecRule ARGS \"@streq A\" \"id:1,phase:1,t:urlDecodeUni,t:none\"", "/?a=%2541", ""},
    {"SecRule ARGS \"@pmFromFile words.data\" \"id:1,phase:1\"", "/?a=EVIL&b=#&c=aworseb", "1"},
    {"SecRule REQUEST_FILENAME \"@streq /a b/c.txt\" \"id:1,phase:1\"\n"
     "SecRule REQUEST_BASENAME \"@streq c.txt\" \"id:2,phase:1\"\n"
     "SecRule REQUEST_URI \"@streq /a%20b/c.txt?q=1\" \"id:3,phase:1\"\n"
     "SecRule QUERY_STRING \"@streq q=1\" \"id:4,phase:1\"",
     "/a%20b/c.txt?q=1", "1 2 3 4"},
    {"SecRule REQUEST_URI \"@streq /x?y\" \"id:1,phase:1\"\nSecRule REQUEST_URI_RAW \"@streq "
     "http://h/x?y#f\" \"id:2,phase:1\"",
     "http://h/x?y#f", "1 2"},
    {"SecRule REQUEST_LINE \"@streq GET /x HTTP/1.1\" \"id:1,phase:1\"", "/x", "1"},
    /* chains */
    {"SecRule ARGS:a \"@rx .\" \"id:1,phase:1,chain\"\nSecRule ARGS:b \"@rx .\"", "/?a=1&b=1", "1"},
    {"SecRule ARGS:a \"@rx .\" \"id:1,phase:1,chain\"\nSecRule ARGS:b \"@rx .\"", "/?a=1", ""},
    {"SecRule ARGS \"@rx ^e\" \"id:1,phase:1,chain\"\nSecRule MATCHED_VARS \"@rx l$\"", "/?a=evil&b=exit&c=l",
     "1"},
    {"SecRule ARGS \"@rx ^(e)(.)\" \"id:1,phase:1,capture,chain\"\nSecRule TX:2 \"@streq v\"", "/?a=evil",
     "1"},
    {"SecRule ARGS \"@rx ^e\" \"id:1,phase:1,chain\"\nSecRule MATCHED_VAR_NAME \"@streq ARGS:b\"",
     "/?a=x&b=e", "1"},
    /* a link's setvar runs though the chain fails later */
    {"SecRule ARGS:a \"@rx .\" \"id:1,phase:1,setvar:tx.seen=1,chain\"\nSecRule ARGS:b \"@rx .\" \"t:none\"\n"
     "SecRule TX:seen \"@eq 1\" \"id:2,phase:1\"",
     "/?a=1", "2"},
    /* setvar once for every value */
    {"SecRule ARGS \"@rx e\" \"id:1,phase:1,nolog,setvar:tx.score=+5\"\nSecRule TX:SCORE \"@eq 10\" "
     "\"id:2,phase:1\"",
     "/?a=e&b=e&c=x", "1 1 2"},
    {"SecAction \"id:1,phase:1,setvar:tx.n=3,setvar:tx.n=-5\"\nSecRule TX:n \"@streq 0\" \"id:2,phase:1\"",
     "/", "1 2"},
    {"SecAction \"id:1,phase:1,setvar:tx.n=3,setvar:!tx.n\"\nSecRule &TX:n \"@eq 0\" \"id:2,phase:1\"", "/",
     "1 2"},
    {"SecAction \"id:1,phase:1,setvar:tx.n\"\nSecRule TX:n \"@streq 1\" \"id:2,phase:1\"", "/", "1 2"},
    {"SecAction \"id:1,phase:1,setvar:'tx.a_%{args.k}=<%{ARGS.v}%{args.none}>'\"\nSecRule TX:a_x \"@streq "
     "<y>\" \"id:2,phase:1\"",
     "/?k=x&v=y", "1 2"},
    {"SecRule ARGS \"@within %{args.set}\" \"id:1,phase:1\"", "/?a=b&set=abc", "1 1"},
    {"SecRule ARGS \"@rx ^%{args.p}$\" \"id:1,phase:1\"", "/?a=bbb&p=b.b", "1 1"},
    /* markers, removal, targets taken away, while it runs */
    {"SecAction \"id:1,phase:1,skipAfter:END\"\nSecAction \"id:2,phase:1\"\nSecMarker END\nSecAction "
     "\"id:3,phase:1\"",
     "/", "1 3"},
    {"SecRule ARGS:a \"@rx .\" \"id:1,phase:1,skipAfter:END,chain\"\nSecRule ARGS:b \"@rx .\"\nSecAction "
     "\"id:2,phase:1\"\nSecMarker END",
     "/?a=1", "2"},
    {"SecAction \"id:1,phase:1,ctl:ruleRemoveById=2-3\"\nSecAction \"id:2,phase:1\"\nSecAction "
     "\"id:4,phase:1\"",
     "/", "1 4"},
    {"SecAction \"id:1,phase:1,ctl:ruleRemoveByTag=^x\"\nSecAction \"id:2,phase:1,tag:X1\"\nSecAction "
     "\"id:3,phase:1\"",
     "/", "1 3"},
    {"SecAction \"id:1,phase:1,ctl:ruleRemoveTargetById=2;ARGS:a\"\nSecRule ARGS \"@rx .\" \"id:2,phase:1\"",
     "/?a=1&b=1", "1 2"},
    {"SecAction \"id:1,phase:1,ctl:ruleRemoveTargetByTag=x;ARGS\"\nSecRule ARGS|ARGS_NAMES \"@rx .\" "
     "\"id:2,phase:1,tag:x\"",
     "/?a=1", "1 2"},
    {"SecAction \"id:1,phase:1,ctl:ruleEngine=Off\"\nSecAction \"id:2,phase:1\"", "/", "1"},
    {"SecRule ARGS \"@rx .\" \"id:2,phase:1\"\nSecRuleUpdateTargetById 2 \"!ARGS:a,REQUEST_METHOD\"", "/?a=1",
     "2"},
    /* multiMatch: as it came, and after each change */
    {"SecRule ARGS \"@rx ^A|a\" \"id:1,phase:1,multiMatch,t:lowercase,t:removeWhitespace\"", "/?x=A%20a",
     "1 1 1"},
    {"SecRule ARGS \"@rx a\" \"id:1,phase:1,multiMatch,t:lowercase\"", "/?x=a", "1"},
    /* default actions */
    {"SecDefaultAction \"phase:1,log,pass,t:lowercase\"\nSecRule ARGS \"@streq a\" \"id:1,phase:1\"\n"
     "SecRule ARGS \"@streq a\" \"id:2,phase:1,t:none\"",
     "/?x=A", "1"},
    {"SecRule RULE:id \"@streq 1\" \"id:1,phase:1\"", "/", "1"},
    /* phases */
    {"SecAction \"id:5,phase:5\"\nSecAction \"id:3,phase:3\"\nSecAction \"id:1,phase:1\"\nSecAction "
     "\"id:4,phase:4\"\nSecAction \"id:2,phase:2\"",
     "/", "1 2 3 4 5"},
    {"SecRule RESPONSE_STATUS \"@streq 200\" \"id:1,phase:3\"\nSecRule RESPONSE_BODY \"@rx answer\" "
     "\"id:2,phase:4\"\n"
     "SecRule DURATION \"@eq 5\" \"id:3,phase:5\"\nSecResponseBodyAccess On\nSecResponseBodyMimeType "
     "text/plain",
     "/", "1 2 3"},
    {"SecUnicodeMapFile unicode.mapping 20127\nSecRule REQUEST_URI \"@streq /'\" "
     "\"id:1,phase:1,t:urlDecodeUni\"",
     "/%u2019", "1"},
};

static void test_rows(void **)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct kit k = {0};
        kit_load(&k, rows[i].rules, NULL);
        struct waf_verdict verdict = kit_run(&k, "GET", rows[i].target, "");
        if (verdict.limit)
            fail_msg("row %zu reached a limit", i);
        print_message("row %zu\n", i);
        kit_expect(&k, verdict, rows[i].ids);
        kit_free(&k);
    }
}

static void test_match_says_what_and_where(void **)
{
    struct kit k = {0};
    kit_load(&k,
             "SecRule ARGS \"@rx v(i)\" \"id:1,phase:1,capture,nolog,severity:CRITICAL,t:lowercase,msg:'seen "
             "%{ARGS.a}',"
             "logdata:'%{TX.0} %{TX.1} in %{MATCHED_VAR_NAME}: %{MATCHED_VAR}'\"",
             NULL);
    struct waf_verdict verdict = kit_run(&k, "GET", "/?a=EVIL", "");
    assert_int_equal(verdict.match_count, 1);
    const struct waf_match *match = &verdict.matches[0];
    assert_false(match->is_logged || match->is_audited);
    assert_int_equal(match->severity, 2);
    assert_true(str_eq(match->message, STR("seen EVIL")));
    assert_true(str_eq(match->data, STR("vi i in ARGS:a: evil")));
    assert_true(str_eq(match->target, STR("ARGS:a")) && str_eq(match->value, STR("evil")));
    kit_free(&k);
}

static const char blocking[] = "SecDefaultAction \"phase:1,log,deny,status:406\"\n"
                               "SecRule ARGS \"@streq deny\" \"id:1,phase:1,deny\"\n"
                               "SecRule ARGS \"@streq block\" \"id:2,phase:1,block\"\n"
                               "SecRule ARGS \"@streq drop\" \"id:3,phase:1,drop\"\n"
                               "SecRule ARGS \"@streq teapot\" \"id:4,phase:1,deny,status:418\"\n"
                               "SecAction \"id:9,phase:1,pass\"\n"
                               "SecAction \"id:10,phase:5,pass\"\n";

static void test_decisions(void **)
{
    static const struct {
        const char *target;
        enum waf_action action;
        unsigned status;
        const char *ids;
    } cases[] = {
        {"/?a=deny", WAF_DENY, 406, "1 10"}, {"/?a=block&b=block", WAF_DENY, 406, "2 10"},
        {"/?a=drop", WAF_DROP, 406, "3 10"}, {"/?a=teapot", WAF_DENY, 418, "4 10"},
        {"/?a=x", WAF_PASS, 0, "9 10"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kit k = {0};
        kit_load(&k, blocking, NULL);
        struct waf_verdict verdict = kit_run(&k, "GET", cases[i].target, "");
        assert_int_equal(verdict.action, cases[i].action);
        if (cases[i].action == WAF_DENY)
            assert_int_equal(verdict.status, cases[i].status);
        kit_expect(&k, verdict, cases[i].ids);
        kit_free(&k);
    }
}

static void test_modes(void **)
{
    struct waf_overlay_options detect = {.mode = WAF_DETECT}, off = {.mode = WAF_OFF};
    struct kit k = {0}, l = {0};
    kit_load(&k, blocking, &detect);
    struct waf_verdict verdict = kit_run(&k, "GET", "/?a=deny", "");
    assert_int_equal(verdict.action, WAF_PASS);
    kit_expect(&k, verdict, "1 9 10");
    kit_free(&k);
    kit_load(&l, blocking, &off);
    kit_expect(&l, kit_run(&l, "GET", "/?a=deny", ""), "");
    kit_free(&l);
}

static void test_rules_cannot_raise_the_mode(void **)
{
    struct waf_overlay_options detect = {.mode = WAF_DETECT};
    struct kit k = {0};
    kit_load(&k, "SecAction \"id:1,phase:1,pass,ctl:ruleEngine=On\"\nSecAction \"id:2,phase:1,deny\"",
             &detect);
    assert_int_equal(kit_run(&k, "GET", "/", "").action, WAF_PASS);
    kit_free(&k);
}

static void test_allow(void **)
{
    struct kit k = {0};
    kit_load(&k,
             "SecRuleEngine On\nSecRule ARGS:a \"@rx phase\" \"id:1,phase:1,allow:phase\"\n"
             "SecRule ARGS:a \"@rx request\" \"id:2,phase:1,allow:request\"\nSecRule ARGS:a \"@rx all\" "
             "\"id:3,phase:1,allow\"\n"
             "SecAction \"id:11,phase:1,pass\"\nSecAction \"id:12,phase:2,pass\"\nSecAction "
             "\"id:13,phase:3,pass\"",
             NULL);
    kit_expect(&k, kit_run(&k, "GET", "/?a=phase", ""), "1 12 13");
    kit_expect(&k, kit_run(&k, "GET", "/?a=request", ""), "2 13");
    kit_expect(&k, kit_run(&k, "GET", "/?a=all", ""), "3");
    kit_free(&k);
}

static void test_overlay_settings(void **)
{
    struct waf_overlay_options options = {
        .mode = WAF_BLOCK,
        .paranoia = 3,
        .inbound_threshold = 7,
        .exclusions = STR("SecRuleRemoveById 3\nSecRuleUpdateTargetById 4 \"!ARGS:a\"\n"
                          "SecRuleUpdateTargetByTag ^x \"!ARGS:/^b/\"\n")};
    struct kit k = {0};
    kit_load(&k,
             "SecAction \"id:1,phase:1,pass,setvar:tx.paranoia_level=1,setvar:!tx.paranoia_level\"\n"
             "SecRule TX:paranoia_level \"@eq 3\" \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:1,pass\"\n"
             "SecRule ARGS \"@rx .\" \"id:4,phase:1,pass,tag:x1\"\n"
             "SecRule TX:inbound_anomaly_score_threshold \"@eq 7\" \"id:5,phase:1,pass\"",
             &options);
    kit_expect(&k, kit_run(&k, "GET", "/?a=1&b1=1", ""), "1 2 5");
    kit_expect(&k, kit_run(&k, "GET", "/?c=1", ""), "1 2 4 5");
    assert_true(waf_overlay_bytes(k.overlay) < 100 << 10);
    kit_free(&k);
}

static void test_collections(void **)
{
    struct kit k = {0};
    kit_load(&k,
             "SecAction \"id:1,phase:1,pass,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1,expirevar:ip.n=60\"\n"
             "SecRule IP:n \"@ge 3\" \"id:2,phase:1,pass\"",
             NULL);
    kit_expect(&k, kit_run(&k, "GET", "/", ""), "1");
    kit_expect(&k, kit_run(&k, "GET", "/", ""), "1");
    kit_expect(&k, kit_run(&k, "GET", "/", ""), "1 2");
    k.request.client_ip = STR("192.0.2.8");
    kit_expect(&k, kit_run(&k, "GET", "/", ""), "1");
    k.request.client_ip = STR("192.0.2.7");
    kit_expect(&k, kit_run(&k, "GET", "/", ""), "1 2");
    k.request.now_s += 61;
    kit_expect(&k, kit_run(&k, "GET", "/", ""), "1");
    kit_free(&k);
}

static void test_store_makes_room(void **)
{
    static const char *const clients[] = {"a", "b", "c", "d", "e"};
    struct kit k = {0};
    kit_load(&k,
             "SecAction \"id:1,phase:1,pass,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1\"\nSecRule IP:n \"@ge "
             "2\" \"id:2,phase:1,pass\"",
             NULL);
    for (size_t i = 0; i < 5; i++) { /* the store takes four */
        k.request.client_ip = str_of(clients[i]);
        kit_expect(&k, kit_run(&k, "GET", "/", ""), "1");
    }
    k.request.client_ip = STR("e");
    kit_expect(&k, kit_run(&k, "GET", "/", ""), "1 2");
    k.request.client_ip = STR("a");
    kit_expect(&k, kit_run(&k, "GET", "/", ""), "1");
    kit_free(&k);
}

static void test_regex_limit_is_told(void **)
{
    struct kit k = {0};
    kit_load(&k,
             "SecRule ARGS \"@rx ^(a+)+$\" \"id:1,phase:1,pass\"\nSecRule TX:/^MSC_/ \"!@streq 0\" "
             "\"id:2,phase:1,pass\"",
             NULL);
    kit_expect(
        &k, kit_run(&k, "GET", "/?a=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", ""), "2");
    kit_free(&k);
}

static void test_cookies_and_headers(void **)
{
    struct kit k = {0};
    kit_load(&k,
             "SecRule REQUEST_COOKIES:b \"@streq 2=x%20\" \"id:1,phase:1\"\nSecRule &REQUEST_COOKIES_NAMES "
             "\"@eq 3\" \"id:2,phase:1\"\n"
             "SecRule REQUEST_HEADERS|!REQUEST_HEADERS:cookie \"@rx .\" \"id:3,phase:1\"\n"
             "SecRule REQUEST_HEADERS_NAMES \"@streq X-One\" \"id:4,phase:1\"",
             NULL);
    kit_field(&k, "Cookie", "a=1; b=2=x%20; =3;c");
    kit_field(&k, "X-One", "1");
    kit_expect(&k, kit_run(&k, "GET", "/", ""), "1 2 3 4");
    kit_free(&k);
}

/* Whatever the arena holds: the verdict is the right one, or it says that memory ran out. */
static void test_without_memory(void **)
{
    struct kit k = {0};
    unsigned refused = 0, whole = 0;
    kit_load(
        &k,
        "SecRequestBodyAccess On\nSecRule ARGS|ARGS_NAMES|REQUEST_HEADERS \"@rx (.)\" "
        "\"id:1,phase:2,pass,capture,t:urlDecodeUni,t:lowercase,setvar:'tx.a_%{MATCHED_VAR_NAME}=+%{TX.1}',"
        "logdata:'%{MATCHED_VAR}'\"",
        NULL);
    kit_field(&k, "Content-Type", "application/x-www-form-urlencoded");
    kit_field(&k, "Cookie", "a=1; b=2");
    struct waf_verdict expected = kit_run(&k, "POST", "/a?x=1&y=2", "a=%41&b=c&d=e");
    size_t needed = expected.match_count;
    for (size_t limit = 256; limit < 64 << 10; limit += 96) {
        struct arena *arena = arena_new(limit);
        struct waf_tx *tx = waf_tx_new(k.overlay, &k.request, NULL, arena);
        if (tx) {
            (void)waf_tx_request_head(tx);
            (void)waf_tx_request_body(tx, STR("a=%41&b=c&d=e"));
            struct waf_verdict verdict = waf_tx_verdict(tx);
            refused += verdict.limit == WAF_LIMIT_MEMORY;
            whole += verdict.limit == WAF_WITHIN_LIMITS;
            assert_true(verdict.limit != WAF_WITHIN_LIMITS || verdict.match_count == needed);
        }
        waf_tx_free(tx);
        arena_free(arena);
    }
    assert_true(refused > 0 && whole > 0);
    kit_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_match_says_what_and_where),
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_rules_cannot_raise_the_mode),
        cmocka_unit_test(test_allow),
        cmocka_unit_test(test_overlay_settings),
        cmocka_unit_test(test_collections),
        cmocka_unit_test(test_store_makes_room),
        cmocka_unit_test(test_regex_limit_is_told),
        cmocka_unit_test(test_cookies_and_headers),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
