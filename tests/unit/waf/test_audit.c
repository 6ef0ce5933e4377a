/* Audit records: enough to say why, bounded whatever comes, and nothing of a patient in them. */
#include "kit.h"
#include "waf/audit.h"
#include "json/tape.h"

enum { NODES = 4096 };

static struct str record_of(struct kit *k, struct waf_verdict *v, bool clear,
                            char memory[WAF_AUDIT_BYTES_MAX])
{
    struct buf out = buf_over(memory, WAF_AUDIT_BYTES_MAX);
    struct waf_audit a = {.request_id = {0x0123456789abcdef, 0xfedcba9876543210},
                          .at_us = 1'767'323'045'123'456,
                          .cluster = STR("noord"),
                          .listener = STR("https"),
                          .route = STR("/"),
                          .client_ip = STR("192.0.2.7"),
                          .method = k->request.method,
                          .path = STR("/patient/123456782/notes"),
                          .mode = WAF_BLOCK,
                          .status = 403,
                          .scores = waf_tx_scores(k->tx),
                          .rules = k->rules,
                          .verdict = v,
                          .clear = clear};
    waf_audit_write(&out, &a);
    assert_false(buf_overflowed(&out));
    return buf_text(&out);
}

static bool holds(struct str text, const char *what)
{
    return str_find(text, str_of(what)) >= 0;
}

static void check_json(struct str record)
{
    static struct json_node nodes[NODES];
    struct json_tape tape;
    assert_true(record.n > 0 && record.p[record.n - 1] == '\n');
    assert_int_equal(str_find_char(record, '\n'), record.n - 1);
    assert_int_equal(json_parse(str_take(record, record.n - 1), 16, nodes, NODES, &tape, NULL), JSON_FINE);
    assert_int_equal(json_type(&tape, 0), JSON_OBJECT);
}

static const char sqli[] =
    "SecRuleEngine On\nSecRequestBodyAccess On\n"
    "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.inbound_anomaly_score_threshold=5\"\n"
    "SecRule ARGS|ARGS_NAMES|REQUEST_HEADERS \"@rx (?i)(union select|or 1=1|<script)\" "
    "\"id:942100,phase:2,block,capture,log,severity:CRITICAL,tag:'attack-sqli',tag:'platform-multi',"
    "msg:'SQL injection in %{MATCHED_VAR_NAME}',logdata:'Matched Data: %{TX.0} found within "
    "%{MATCHED_VAR_NAME}: %{MATCHED_VAR}',setvar:tx.anomaly_score_pl1=+5,setvar:tx.anomaly_score=+5\"\n"
    "SecRule TX:ANOMALY_SCORE \"@ge %{tx.inbound_anomaly_score_threshold}\" "
    "\"id:949110,phase:2,deny,status:403,log,severity:CRITICAL,msg:'Score %{TX.ANOMALY_SCORE}'\"\n";

static void test_record(void **)
{
    struct kit k = {0};
    char memory[WAF_AUDIT_BYTES_MAX];
    kit_load(&k, sqli, NULL);
    struct waf_verdict v = kit_run(&k, "GET", "/?notitie=Mevr.+Jansen+123456782%27+union+select+1--", "");
    assert_int_equal(v.action, WAF_DENY);
    assert_true(waf_audit_is_due(&v));
    struct str record = record_of(&k, &v, false, memory);
    check_json(record);
    assert_true(holds(record, "\"http.request.id\":\"0123456789abcdeffedcba9876543210\""));
    assert_true(holds(record, "\"event.action\":\"blocked\""));
    assert_true(holds(record, "\"url.path\":\"/patient/*********/notes\""));
    assert_true(holds(record, "\"polder.waf.rule\":949110"));
    assert_true(holds(record, "\"polder.waf.inbound_score\":5,\"polder.waf.inbound_threshold\":5"));
    assert_true(holds(
        record, "\"target\":\"ARGS:notitie\",\"excerpt\":\"aaaa. aaaaaa 999999999' union select 9--\""));
    assert_true(holds(record, "SQL injection in %{MATCHED_VAR_NAME}"));
    assert_true(holds(record, "\"tags\":[\"attack-sqli\"]"));
    assert_true(holds(record, "\"target\":\"TX:anomaly_score\",\"excerpt\":\"5\""));
    assert_false(holds(record, "Jansen") || holds(record, "Mevr") || holds(record, "123456782"));
    record = record_of(&k, &v, true, memory);
    assert_true(holds(record, "Mevr. Jansen 123456782' union select 1--"));
    assert_true(holds(record, "\"polder.waf.clear\":true"));
    kit_free(&k);
}

/* Wherever a patient's data comes in, none of it comes out. */
static void test_nothing_of_a_patient(void **)
{
    static const char *const secrets[] = {"123456782", "Jansen", "jansen", "Wilhelmina",  "suicidale",
                                          "1971",      "9711AB", "06-123", "4a616e73656e"};
    static const char *const targets[] = {
        "/?note=Jansen+suicidale+gedachten+or+1%3d1+BSN+123456782",
        "/?Wilhelmina+Jansen+union+select=1",
        "/?123456782+or+1%3d1=x",
        "/?q=4a616e73656e+or+1%3d1+%255a%256a+%5cu004a",
        "/?geboren=12-03-1971+%3cscript",
        "/?pc=9711AB+or+1%3d1+06-12345678",
        "/?x=%3cscript%3eWilhelmina%3c/script%3e",
    };
    struct kit k = {0};
    kit_load(&k, sqli, NULL);
    kit_field(&k, "Referer", "https://x/Jansen?bsn=123456782 or 1=1");
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        char memory[WAF_AUDIT_BYTES_MAX];
        struct waf_verdict v = kit_run(&k, "GET", targets[i], "");
        assert_true(v.match_count >= 2);
        struct str record = record_of(&k, &v, false, memory);
        check_json(record);
        for (size_t s = 0; s < sizeof secrets / sizeof *secrets; s++)
            if (holds(record, secrets[s]))
                fail_msg("%s: the record holds %s: %.*s", targets[i], secrets[s], STR_ARG(record));
    }
    kit_free(&k);
}

/* Each word of the list is found by itself, so the list is in order. */
static void test_words(void **)
{
    static const struct str words[] = {
#define ATTACK_WORD(text) {text, sizeof(text) - 1},
#include "waf/attack_words.def"
#undef ATTACK_WORD
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char memory[64];
        struct buf out = buf_over(memory, sizeof memory);
        waf_mask_value(&out, words[i], STR_NONE);
        if (!str_eq(buf_text(&out), words[i]))
            fail_msg("%.*s is not found", STR_ARG(words[i]));
    }
}

static void test_shapes(void **)
{
    static const struct {
        struct str value, part, shape;
    } cases[] = {
        {STR("O'Brien; DROP"), STR_NONE, STR("a'aaaaa; aaaa")},
        {STR("SELECT selecteren"), STR_NONE, STR("select aaaaaaaaaa")},
        {STR("../../etc/passwd"), STR("../"), STR("../../etc/passwd")},
        {STR("${jndi:ldap://h/x}"), STR_NONE, STR("${jndi:ldap://a/a}")},
        {STR("%4A%61%u004a\\x4a\\u004a%zz%"), STR_NONE, STR("%hh%hh%uhhhh\\xhh\\uhhhh%aa%")},
        {STR("caf\xc3\xa9 \xff\n\x01\"<>"), STR_NONE, STR("aaaa a??\"<>")},
        {STR("a1b2 12"), STR_NONE, STR("a9a9 99")},
        {STR("%61passwd select%61 union%20select \\u0061or"), STR_NONE,
         STR("%hhaaaaaa aaaaaa%hh union%hhselect \\uhhhhaa")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char memory[256];
        struct buf out = buf_over(memory, sizeof memory);
        waf_mask_value(&out, cases[i].value, cases[i].part);
        if (!str_eq(buf_text(&out), cases[i].shape))
            fail_msg("%.*s became %.*s", STR_ARG(cases[i].value), STR_ARG(buf_text(&out)));
    }
}

/* The window lies around what matched; a word it cuts through is no word of attacks. */
static void test_window(void **)
{
    char value[600], memory[256];
    struct buf text = buf_over(value, sizeof value), out = buf_over(memory, sizeof memory);
    for (unsigned i = 0; i < 40; i++)
        BUF_LIT(&text, "selectie ");
    BUF_LIT(&text, "' or 1=1");
    for (unsigned i = 0; i < 20; i++)
        BUF_LIT(&text, " scripts");
    struct str window = waf_excerpt_window(buf_text(&text), STR("' or 1=1"));
    assert_int_equal(window.n, WAF_EXCERPT_AROUND * 2 + 8);
    assert_int_equal(window.p - value, 40 * 9 - WAF_EXCERPT_AROUND);
    for (size_t cut = 0; cut < 9; cut++) {
        out.n = 0;
        waf_mask_value(&out, str_take(str_skip(buf_text(&text), cut), 360), STR_NONE);
        assert_false(holds(buf_text(&out), "select") || holds(buf_text(&out), "script"));
    }
    out.n = 0;
    waf_mask_value(&out, buf_text(&text), STR("' or 1=1"));
    assert_true(holds(buf_text(&out), "aaa ' or 9=9 aaa"));
    assert_false(holds(buf_text(&out), "script"));
}

static void test_targets(void **)
{
    static const struct {
        struct str target, shown;
        bool is_shown;
    } cases[] = {
        {STR("ARGS:comment"), STR("ARGS:comment"), true},
        {STR("REQUEST_URI"), STR("REQUEST_URI"), true},
        {STR("&ARGS:x"), STR("&ARGS:x"), true},
        {STR("ARGS:entry.resource.name[0].family"), STR("ARGS:entry.resource.name[0].family"), true},
        {STR("ARGS_NAMES:Jan Jansen"), STR("ARGS_NAMES:aaa aaaaaa"), false},
        {STR("ARGS:123456782"), STR("ARGS:999999999"), false},
        {STR("ARGS:1971-03-12"), STR("ARGS:9999-99-99"), false},
        {STR("ARGS:"), STR("ARGS:"), false},
        {STR("pijn in de rug:x"), STR("aaaa aa aa aaa:x"), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char memory[256];
        struct buf out = buf_over(memory, sizeof memory);
        waf_mask_target(&out, cases[i].target);
        if (!str_eq(buf_text(&out), cases[i].shown))
            fail_msg("%.*s became %.*s", STR_ARG(cases[i].target), STR_ARG(buf_text(&out)));
        assert_int_equal(waf_target_is_shown(cases[i].target), cases[i].is_shown);
    }
}

/* A thousand matches with everything at its longest: the record stays within its bound, and is whole. */
static void test_bound(void **)
{
    enum { MATCHES = 1000, LONG = 4000 };
    static struct waf_match matches[MATCHES];
    static char text[LONG], memory[WAF_AUDIT_BYTES_MAX];
    struct kit k = {0};
    kit_load(&k, sqli, NULL);
    struct waf_verdict v = kit_run(&k, "GET", "/?a=or+1%3d1", "");
    for (int fill = 1; fill < 256; fill += 10) {
        memset(text, fill, sizeof text);
        struct str longest = {text, sizeof text};
        for (size_t i = 0; i < MATCHES; i++)
            matches[i] = (struct waf_match){.rule_id = 942100 + i % 3,
                                            .rule = i % 5 ? v.matches[0].rule : UINT32_MAX,
                                            .is_logged = true,
                                            .message = longest,
                                            .data = longest,
                                            .target = longest,
                                            .value = longest};
        struct waf_verdict many = {.matches = matches, .match_count = MATCHES, .matches_left_out = 7};
        k.request.method = longest;
        struct str record = record_of(&k, &many, fill & 1, memory);
        check_json(record);
        assert_true(holds(record, "\"polder.waf.left_out\":"));
    }
    kit_free(&k);
}

static void test_what_is_due(void **)
{
    struct kit k = {0};
    struct waf_overlay_options detect = {.mode = WAF_DETECT};
    kit_load(&k, sqli, &detect);
    struct waf_verdict v = kit_run(&k, "GET", "/?a=b", "");
    assert_false(waf_audit_is_due(&v));
    v = kit_run(&k, "GET", "/?a=or+1%3d1", "");
    assert_int_equal(v.action, WAF_PASS);
    assert_true(waf_audit_is_due(&v));
    assert_true(waf_audit_would_block(k.rules, &v));
    assert_false(waf_audit_counts(&v, 0)); /* its rule is not logged */
    assert_true(waf_audit_counts(&v, 1));
    struct waf_match twice[2] = {v.matches[1], v.matches[1]};
    struct waf_verdict same = {.matches = twice, .match_count = 2};
    assert_false(waf_audit_counts(&same, 1));
    assert_false(waf_audit_would_block(k.rules, &same));
    same.limit = WAF_LIMIT_DEPTH;
    same.match_count = 0;
    assert_true(waf_audit_is_due(&same));
    kit_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record), cmocka_unit_test(test_nothing_of_a_patient),
        cmocka_unit_test(test_shapes), cmocka_unit_test(test_words),
        cmocka_unit_test(test_window), cmocka_unit_test(test_targets),
        cmocka_unit_test(test_bound),  cmocka_unit_test(test_what_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
