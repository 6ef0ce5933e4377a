/* The fast engine says what the reference says: on rules of all sorts, with and without a prefilter, on
 * requests of all sorts and thousands made from them by chance; also when another transaction runs in each of
 * its pauses. */
#include "engines.h"
#include "kit.h"

#include "base/buf.h"

enum { MUTATIONS = 4000, PAUSED_MUTATIONS = 60 };

/* Every way a link is run, most operators, lists of transformations with and without case, chains, captures,
 * exclusions, numbers that count up, texts that many rules match. */
static const char rules[] =
    "SecRequestBodyAccess On\nSecResponseBodyAccess On\nSecResponseBodyMimeType text/plain\n"
    "SecDefaultAction \"phase:1,log,pass\"\nSecDefaultAction \"phase:2,log,pass\"\n"
    "SecRule REQUEST_HEADERS:Content-Type \"json\" "
    "\"id:1,phase:1,nolog,pass,ctl:requestBodyProcessor=JSON\"\n"
    "SecRule REQUEST_HEADERS:Content-Type \"xml\" \"id:2,phase:1,nolog,pass,ctl:requestBodyProcessor=XML\"\n"
    "SecAction \"id:3,phase:1,nolog,pass,setvar:tx.level=2,setvar:tx.step=5,setvar:'tx.allowed=GET POST'\"\n"
    "SecRule &TX:unset \"@eq 0\" \"id:4,phase:1,pass,nolog,setvar:tx.unset=7\"\n"
    "SecRule TX:level \"@lt 3\" \"id:5,phase:1,pass,nolog,setvar:tx.score=+%{tx.step}\"\n"
    "SecRule &TX:nothing|TX:nothing \"@eq 0\" \"id:6,phase:1,pass,nolog,setvar:tx.nothing=0\"\n"
    "SecRule REQUEST_METHOD \"!@within %{tx.allowed}\" \"id:7,phase:1,msg:'method %{MATCHED_VAR}'\"\n"
    "SecRule REQUEST_HEADERS|REQUEST_HEADERS_NAMES \"@pm scanner evil sqlmap\" \"id:8,phase:1,t:lowercase\"\n"
    "SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES|!REQUEST_COOKIES:/^__/|XML:/*|XML://@* \"@rx "
    "(?i)<script[^>]*>\" "
    "\"id:20,phase:2,capture,t:none,t:urlDecodeUni,t:htmlEntityDecode,t:jsDecode,t:removeNulls,"
    "tag:paranoia-level/1,msg:'script %{TX.0}',logdata:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}',severity:2,"
    "setvar:tx.score=+5\"\n"
    "SecRule ARGS \"@rx union.{1,20}select|' or \\d\" "
    "\"id:21,phase:2,capture,t:none,t:urlDecodeUni,t:lowercase,"
    "t:compressWhitespace,tag:paranoia-level/2,setvar:'tx.hit_%{MATCHED_VAR_NAME}=%{TX.0}'\"\n"
    "SecRule ARGS|ARGS_NAMES \"@pm /etc/passwd cmd.exe boot.ini\" \"id:22,phase:2,t:none,t:utf8toUnicode,"
    "t:urlDecodeUni,t:normalizePathWin,t:cmdLine\"\n"
    "SecRule ARGS \"@detectSQLi\" \"id:23,phase:2,capture,t:none,t:urlDecodeUni,logdata:'%{TX.0}'\"\n"
    "SecRule ARGS|ARGS_NAMES \"@detectXSS\" \"id:24,phase:2,t:none,t:htmlEntityDecode,t:cssDecode\"\n"
    "SecRule ARGS|REQUEST_URI|REQUEST_BODY \"@validateByteRange 9,10,13,32-126\" "
    "\"id:25,phase:2,t:urlDecodeUni\"\n"
    "SecRule ARGS|REQUEST_BODY \"!@validateUtf8Encoding\" \"id:26,phase:2,nolog\"\n"
    "SecRule REQUEST_URI|REQUEST_BODY \"@validateUrlEncoding\" \"id:27,phase:2\"\n"
    "SecRule ARGS \"@rx e\" \"id:28,phase:2,chain,nolog,capture\"\nSecRule MATCHED_VARS \"@rx (v)il\" "
    "\"chain,capture\"\n"
    "SecRule TX:1 \"@streq v\" \"setvar:tx.chained=+1\"\n"
    "SecRule ARGS \"@rx ^a|A\" \"id:29,phase:2,multiMatch,t:lowercase,t:removeWhitespace,t:jsDecode\"\n"
    "SecRule ARGS \"@contains sleep(\" \"id:30,phase:2,t:lowercase,t:jsDecode,setvar:tx.score=+%{tx.step}\"\n"
    "SecRule ARGS \"@streq evil\" \"id:31,phase:2,t:lowercase,t:base64Decode\"\n"
    "SecRule ARGS \"@endsWith .ini\" \"id:32,phase:2,t:escapeSeqDecode,t:lowercase\"\n"
    "SecRule ARGS \"@beginsWith ../\" \"id:33,phase:2,t:replaceComments\"\n"
    "SecRule ARGS \"@gt 30\" \"id:34,phase:2,t:length,nolog\"\nSecRule &ARGS \"@gt 3\" \"id:35,phase:2\"\n"
    "SecRule ARGS|!ARGS:note \"!@rx ^[\\w .,/=+-]*$\" \"id:36,phase:2,nolog,t:removeCommentsChar\"\n"
    "SecRule ARGS_NAMES \"@rx .\" \"id:37,phase:2,nolog,setvar:'tx.seen_%{MATCHED_VAR}=+1'\"\n"
    "SecRule TX:/^seen_/ \"@gt 1\" \"id:38,phase:2,msg:'%{MATCHED_VAR_NAME}'\"\n"
    "SecRule ARGS:skip \"@rx .\" \"id:39,phase:2,skipAfter:END,nolog\"\n"
    "SecRule ARGS:off \"@rx .\" "
    "\"id:40,phase:2,nolog,ctl:ruleRemoveTargetById=41;ARGS:a,ctl:ruleRemoveById=42\"\n"
    "SecRule ARGS \"@rx (?<!x)y\" \"id:41,phase:2,t:cmdLine\"\nSecRule ARGS \"@rx (a)\\1\" "
    "\"id:42,phase:2\"\n"
    "SecMarker END\n"
    "SecRule FILES|FILES_NAMES|MULTIPART_PART_HEADERS \"@rx \\.php|script\" \"id:43,phase:2,t:lowercase\"\n"
    "SecRule REQBODY_ERROR|MULTIPART_STRICT_ERROR \"!@eq 0\" \"id:44,phase:2,msg:'%{REQBODY_ERROR_MSG}'\"\n"
    "SecRule REQUEST_FILENAME|REQUEST_BASENAME \"@rx \\.ini$\" "
    "\"id:45,phase:2,t:normalizePath,t:lowercase\"\n"
    "SecRule ARGS \"@rx ^$\" \"id:46,phase:2,nolog\"\nSecRule ARGS \"@rx %{args.p}\" "
    "\"id:47,phase:2,nolog\"\n"
    "SecRule ARGS \"@rx [^\\n]x$\" \"id:48,phase:2,t:hexEncode,t:lowercase\"\n"
    "SecRule TX:score \"@ge 10\" \"id:60,phase:2,deny,status:403,chain\"\nSecRule ARGS:deny \"@rx .\"\n"
    "SecRule RESPONSE_BODY|RESPONSE_HEADERS \"@rx secret|stack trace\" \"id:70,phase:4,t:lowercase\"\n"
    "SecRule TX:score \"@gt 0\" \"id:80,phase:5,nolog,msg:'score %{tx.score}'\"\n";

struct sample {
    const char *method, *target, *type, *body, *cookie;
};

static const struct sample samples[] = {
    {"GET", "/", NULL, "", NULL},
    {"GET", "/a/b.html?naam=de+Vries&plaats=Den%20Haag&a=1", NULL, "", "sessie=abc; __x=<script>; taal=nl"},
    {"GET", "/?a=%3Cscript%3Ealert(1)%3C/script%3E&b=&lt;SCRIPT&gt;&c=\\x3cscript>", NULL, "", "x=<script>"},
    {"GET", "/?q=1'+OR+1=1--+&q=union++all+SELECT&q=Union%0aSelect", NULL, "", NULL},
    {"GET", "/?f=../../../../etc/passwd&g=..\\..\\BOOT.ini&h=c^m^d.exe&y=zyy&z=aa", NULL, "", NULL},
    {"GET", "/x.INI?skip=1&off=1&a=y&b=aa", NULL, "", NULL},
    {"GET", "/?off=1&a=y&b=xy&c=aa&deny=1&d=SLEEP(5)&e=sleep(1)", NULL, "", NULL},
    {"GET", "/?p=evil&a=evil&b=ZXZpbA==&c=EVIL&p=x&empty=&=1", NULL, "", NULL},
    {"PUT", "/?a=%u0041%C3%A9%C0%AF&b=%ff%fe&c=%zz&d=%", "text/plain", "rest", NULL},
    {"POST", "/form", "application/x-www-form-urlencoded",
     "naam=de+Vries&note=geen+klachten;+controle+over+2+weken&a=%3Cscript%3E&b=A+a&c=/*x*/../", "a=b"},
    {"POST", "/form?x=1", "application/x-www-form-urlencoded",
     "a=union/**/select&a=1'+or+2&a=A%20A&off=1&deny=1&sleep=sleep(9)&b=javascript:alert(1)&d=onerror%3Dx",
     NULL},
    {"POST", "/up", "multipart/form-data; boundary=B",
     "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n<script>\r\n--B\r\nContent-Disposition: "
     "form-data; "
     "name=\"f\"; filename=\"x.PHP\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--B--\r\n",
     NULL},
    {"POST", "/j", "application/json",
     "{\"a\":[1,\"evil\",{\"b\":\"<SCRIPT>x\",\"c\":\"1' or 1\"}],\"d\":\"\",\"e\":null,\"a\":\"union "
     "select\","
     "\"note\":\"Pati\\u00ebnt, 52 jaar; geen koorts (37.1)\",\"z\":\"y\\\\x3cscript>\"}",
     NULL},
    {"POST", "/j", "application/json",
     "{\"list\":[\"<script>\",\"<script>\",\"rustig\",\"1' or "
     "1=1--\",\"rustig\",\"cmd.exe\",\"/etc/passwd\",\"aa\",\"yy\","
     "\"<script>a\",\"<script>b\",\"<script>c\",\"sleep(1)\",\"sleep(2)\",\"EVIL\",\"evil\",\"x\",\"\",\"\"]"
     "}",
     NULL},
    {"POST", "/x", "text/xml", "<r a=\"&lt;script&gt;\"><b>Union  Select</b>tekst<c d='evil'/></r>", NULL},
    {"POST", "/x", "text/xml", "<r><b>kapot", NULL},
};

enum { SAMPLES = sizeof samples / sizeof *samples };

struct bench {
    struct waf_rules *with, *without;
    struct waf_overlay *reference, *fast, *prefiltered;
    struct arena *kept, *arena;
    struct waf_problems problems;
    char *prefilter;
};

static struct waf_overlay *overlay(struct bench *b, const struct waf_rules *of, enum waf_engine engine)
{
    struct waf_overlay_options options = {
        .mode = WAF_BLOCK,
        .engine = engine,
        .exclusions = STR("SecRuleUpdateTargetById 41 \"!ARGS:z\"\nSecRuleRemoveById 9")};
    struct waf_overlay *made = waf_overlay_new(of, &options, &b->problems);
    assert_non_null(made);
    return made;
}

static void take_prefilter(struct bench *b)
{
    struct str bytes;
    assert_true(waf_prefilter_compile(b->with, b->kept, NULL, NULL, &bytes));
    char *aligned = aligned_alloc(64, (bytes.n + 63) / 64 * 64);
    assert_non_null(aligned);
    memcpy(aligned, bytes.p, bytes.n);
    assert_false(waf_rules_has_prefilter(b->with));
    assert_true(waf_rules_take_prefilter(b->with, (struct str){aligned, bytes.n}));
    assert_true(waf_rules_has_prefilter(b->with));
    assert_false(waf_rules_take_prefilter(b->with, (struct str){aligned, bytes.n})); /* there is one */
    b->prefilter = aligned;
}

static int set_up(void **state)
{
    static struct bench b;
    b.kept = arena_new(256 << 20);
    b.arena = arena_new(256 << 20);
    b.with = waf_rules_load(STR("rules"), STR(rules), &kit_files, &b.problems);
    if (!b.with)
        fail_msg("line %u: %s", b.problems.items[0].line, b.problems.items[0].what);
    b.without = waf_rules_load(STR("rules"), STR(rules), &kit_files, &b.problems);
    assert_true(b.kept && b.arena && b.without);
    take_prefilter(&b);
    b.reference = overlay(&b, b.without, WAF_ENGINE_REFERENCE);
    b.fast = overlay(&b, b.without, WAF_ENGINE_FAST);
    b.prefiltered = overlay(&b, b.with, WAF_ENGINE_FAST);
    *state = &b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    waf_overlay_free(b->reference);
    waf_overlay_free(b->fast);
    waf_overlay_free(b->prefiltered);
    waf_rules_free(b->with);
    waf_rules_free(b->without);
    free(b->prefilter);
    arena_free(b->kept);
    arena_free(b->arena);
    return 0;
}

static struct exchange exchange_of(const struct sample *s, struct arena *arena)
{
    static const struct waf_field plain = {{"Content-Type", 12}, {"text/plain", 10}};
    static const struct waf_response response = {
        .status = 200, .protocol = {"HTTP/1.1", 8}, .fields = &plain, .field_count = 1};
    struct waf_field *fields = arena_alloc(arena, 4 * sizeof *fields);
    assert_non_null(fields);
    size_t n = 0;
    fields[n++] = (struct waf_field){STR("Host"), STR("zorg.example.nl")};
    fields[n++] = (struct waf_field){STR("User-Agent"), STR("Mozilla/5.0 (X11; Linux) evil+%41")};
    if (s->type)
        fields[n++] = (struct waf_field){STR("Content-Type"), str_of(s->type)};
    if (s->cookie)
        fields[n++] = (struct waf_field){STR("Cookie"), str_of(s->cookie)};
    return (struct exchange){.request = {.line = arena_printf(arena, "%s %s HTTP/1.1", s->method, s->target),
                                         .method = str_of(s->method),
                                         .target = str_of(s->target),
                                         .protocol = STR("HTTP/1.1"),
                                         .fields = fields,
                                         .field_count = n,
                                         .client_ip = STR("192.0.2.7"),
                                         .unique_id = STR("id")},
                             .body = str_of(s->body),
                             .response = &response,
                             .answer = STR("here is a Secret")};
}

static void expect_alike(struct bench *b, const struct exchange *e, const char *name, unsigned number)
{
    const char *what = engines_differ(b->reference, b->fast, e, b->arena);
    if (what)
        fail_msg("%s %u, without prefilter: %s; target %.*s body %.*s", name, number, what,
                 STR_ARG(e->request.target), STR_ARG(e->body));
    what = engines_differ(b->reference, b->prefiltered, e, b->arena);
    if (what)
        fail_msg("%s %u, with prefilter: %s; target %.*s body %.*s", name, number, what,
                 STR_ARG(e->request.target), STR_ARG(e->body));
}

static void test_samples(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct exchange e = exchange_of(&samples[i], b->arena);
        expect_alike(b, &e, "sample", i);
        arena_reset(b->arena);
    }
}

static void test_mutations(void **state)
{
    struct bench *b = *state;
    struct chance chance = {0x9e3779b97f4a7c15};
    for (unsigned i = 0; i < MUTATIONS; i++) {
        struct exchange e = exchange_of(&samples[chance_next(&chance) % SAMPLES], b->arena);
        e = chance_exchange(&chance, &e, b->arena);
        expect_alike(b, &e, "mutation", i);
        arena_reset(b->arena);
    }
}

enum body_shape { FEW_DISTINCT, ALL_DISTINCT, LARGE_VALUES };

/* One value larger than a piece, many small ones, all of them changed by some transformation. */
static struct exchange large_exchange(struct bench *b, enum body_shape shape, unsigned values)
{
    static const char *const texts[] = {"rustig", "Pati\xc3\xabnt, 52", "%3Cscript%3E", "&lt;script&gt;+A",
                                        "1' or 1=1 --"};
    enum { ROOM = 256 << 10 };
    char *memory = arena_bytes(b->arena, ROOM);
    assert_non_null(memory);
    struct buf body = buf_over(memory, ROOM);
    for (unsigned i = 0; i < values; i++) {
        buf_printf(&body, "%sn%u=", i ? "&" : "", shape == FEW_DISTINCT ? i % 7 : i);
        for (unsigned k = 0; k < (shape == LARGE_VALUES ? 3000 : 1); k++)
            buf_str(&body, str_of(texts[(i + k / 600) % 5]));
        buf_printf(&body, "%u", shape == ALL_DISTINCT ? i : 0);
    }
    assert_false(buf_overflowed(&body));
    struct exchange e = exchange_of(&samples[9], b->arena);
    e.body = buf_text(&body);
    return e;
}

static void test_large_bodies(void **state)
{
    struct bench *b = *state;
    for (enum body_shape shape = FEW_DISTINCT; shape <= LARGE_VALUES; shape++) {
        struct exchange e = large_exchange(b, shape, shape == LARGE_VALUES ? 2 : 900);
        expect_alike(b, &e, "body", shape);
        arena_reset(b->arena);
    }
}

/* ---- pauses */

struct guest {
    struct bench *b;
    struct exchange e;
    unsigned runs;
};

/* Another transaction on the same rules, from begin to end, in the middle of the first. */
static void run_guest(void *context)
{
    struct guest *guest = context;
    struct arena *arena = arena_new(64 << 20);
    assert_non_null(arena);
    struct waf_tx *tx = waf_tx_new(guest->b->prefiltered, &guest->e.request, NULL, arena);
    assert_non_null(tx);
    (void)waf_tx_request_head(tx);
    (void)waf_tx_request_body(tx, guest->e.body);
    waf_tx_free(tx);
    arena_free(arena);
    guest->runs++;
}

static struct waf_verdict run_with(struct bench *b, const struct exchange *e, struct guest *guest)
{
    struct waf_tx *tx = waf_tx_new(b->prefiltered, &e->request, NULL, b->arena);
    assert_non_null(tx);
    if (guest)
        waf_tx_set_pause(tx, run_guest, guest);
    if (waf_tx_request_head(tx) == WAF_PASS)
        (void)waf_tx_request_body(tx, e->body);
    struct waf_verdict verdict = waf_tx_verdict(tx);
    waf_tx_free(tx);
    return verdict;
}

static void test_pauses_change_nothing(void **state)
{
    struct bench *b = *state;
    struct chance chance = {42};
    struct guest guest = {.b = b, .e = exchange_of(&samples[13], b->kept)};
    for (unsigned i = 0; i < PAUSED_MUTATIONS; i++) {
        struct exchange e = large_exchange(b, i % 2 ? ALL_DISTINCT : FEW_DISTINCT, 60);
        e = chance_exchange(&chance, &e, b->arena);
        struct waf_verdict alone = run_with(b, &e, NULL), paused = run_with(b, &e, &guest);
        assert_int_equal(alone.match_count, paused.match_count);
        for (size_t k = 0; k < alone.match_count; k++) {
            assert_int_equal(alone.matches[k].rule_id, paused.matches[k].rule_id);
            assert_true(str_eq(alone.matches[k].value, paused.matches[k].value));
            assert_true(str_eq(alone.matches[k].data, paused.matches[k].data));
        }
        arena_reset(b->arena);
    }
    assert_true(guest.runs > PAUSED_MUTATIONS);
}

static void test_damaged_prefilter_is_not_taken(void **state)
{
    struct bench *b = *state;
    static const char nothing[128];
    assert_false(waf_rules_take_prefilter(b->without, (struct str){nothing, sizeof nothing}));
    assert_false(waf_rules_take_prefilter(b->without, STR("")));
    assert_false(waf_rules_has_prefilter(b->without));
}

static void test_key_follows_patterns(void **)
{
    struct waf_problems problems;
    char one[WAF_PREFILTER_KEY_BYTES], same[WAF_PREFILTER_KEY_BYTES], other[WAF_PREFILTER_KEY_BYTES];
    const char *const texts[] = {"SecRule ARGS \"@rx abc\" \"id:1,phase:2,msg:'a'\"",
                                 "SecRule ARGS \"@rx abc\" \"id:2,phase:2,msg:'b'\"",
                                 "SecRule ARGS \"@rx abd\" \"id:1,phase:2,msg:'a'\""};
    char *const keys[] = {one, same, other};
    for (unsigned i = 0; i < 3; i++) {
        struct waf_rules *of = waf_rules_load(STR("rules"), str_of(texts[i]), &kit_files, &problems);
        assert_non_null(of);
        waf_prefilter_key(of, keys[i]);
        waf_rules_free(of);
    }
    assert_memory_equal(one, same, sizeof one);
    assert_memory_not_equal(one, other, sizeof one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_large_bodies),
        cmocka_unit_test(test_pauses_change_nothing),
        cmocka_unit_test(test_damaged_prefilter_is_not_taken),
        cmocka_unit_test(test_key_follows_patterns),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
