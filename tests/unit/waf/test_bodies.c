#include "kit.h"

#include "base/buf.h"

static const char base[] = "SecRequestBodyAccess On\nSecArgumentsLimit 20\nSecRequestBodyNoFilesLimit "
                           "4000\nSecRequestBodyLimit 8000\n"
                           "SecRequestBodyJsonDepthLimit 8\n"
                           "SecRule REQUEST_HEADERS:Content-Type \"@rx json\" "
                           "\"id:1,phase:1,nolog,pass,ctl:requestBodyProcessor=JSON\"\n"
                           "SecRule REQUEST_HEADERS:Content-Type \"@rx xml\" "
                           "\"id:2,phase:1,nolog,pass,ctl:requestBodyProcessor=XML\"\n";

/* What a POST with that body gives for one target: "name=value;..." of what it matched, in order. */
static void expect(const char *content_type, const char *body, const char *target, const char *expected)
{
    struct kit k = {0};
    char rules[2048];
    struct buf text = buf_over(rules, sizeof rules - 1);
    BUF_LIT(&text, base);
    buf_printf(&text, "SecRule %s \"@unconditionalMatch\" \"id:9,phase:2,pass\"\n", target);
    rules[text.n] = 0;
    kit_load(&k, rules, NULL);
    kit_field(&k, "Content-Type", content_type);
    struct waf_verdict verdict = kit_run(&k, "POST", "/", body);
    struct str seen = STR("");
    for (size_t i = 0; i < verdict.match_count; i++) {
        const struct waf_match *match = &verdict.matches[i];
        struct str name = match->target;
        if (match->rule_id != 9)
            continue;
        (void)str_cut(&name, ':');
        seen = arena_printf(k.arena, "%.*s%.*s=%.*s;", STR_ARG(seen), STR_ARG(name), STR_ARG(match->value));
    }
    if (!str_eq(seen, str_of(expected)))
        fail_msg("%s of %s\n%s\nis %.*s\nnot %s", target, content_type, body, STR_ARG(seen), expected);
    kit_free(&k);
}

#define FORM             "application/x-www-form-urlencoded"
#define MULTIPART        "multipart/form-data; boundary=B"
#define PART(name, more) "--B\r\nContent-Disposition: form-data; name=\"" name "\"" more "\r\n"

static void test_form(void **)
{
    expect(FORM, "a=1&b=%41+c&d&&e==&f=", "ARGS_POST", "a=1;b=A c;d=;=;e==;f=;");
    expect(FORM, "a=1", "REQUEST_BODY", "=a=1;");
    expect(FORM, "a=%zz", "URLENCODED_ERROR", "=1;");
    expect(FORM, "abc=12&d=3", "ARGS_COMBINED_SIZE", "=7;");
    expect("text/plain", "a=1", "ARGS|REQUEST_BODY", "");
    expect(FORM, "a=1", "REQBODY_PROCESSOR", "=URLENCODED;");
}

static void test_json(void **)
{
    expect("application/json", "{\"a\":1,\"b\":{\"c\":[true,{\"d\":\"x\\u0041\"}]},\"e\":null}", "ARGS",
           "a=1;b.c.c=true;b.c.c.d=xA;e=;");
    expect("application/json", "[1,[2]]", "ARGS", "array.array=1;array.array.array=2;");
    expect("application/json", "\"x\"", "ARGS", "=x;");
    expect("application/json", "{\"a\":", "REQBODY_ERROR|ARGS", "=1;");
    expect("application/json", "{\"a\":1}", "REQUEST_BODY|REQBODY_ERROR", "=0;");
    expect("application/fhir+json", "{\"a\":1}", "REQBODY_PROCESSOR", "=JSON;");
}

static void test_xml(void **)
{
    expect("text/xml",
           "<?xml version=\"1.0\"?><a b=\"1\">x<c d=\"&lt;2\">y</c><!-- no --><![CDATA[<z>]]></a>", "XML:/*",
           "/*=xy<z>;");
    expect("text/xml", "<a b=\"1\"><c d=\"&lt;2\"/></a>", "XML://@*", "//@*=1;//@*=<2;");
    expect("text/xml", "<a b=\"1\">x</a>", "XML:/*|XML://@*|!XML:/*", "//@*=1;");
    expect("text/xml", "<n:a xmlns=\"urn:d\" xmlns:n=\"urn:n\" n:b=\"1\" xmlnsx=\"2\"/>", "XML://@*",
           "//@*=1;//@*=2;");
    expect("text/xml", "<a>x", "REQBODY_ERROR", "=1;");
    expect("text/xml", "<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>", "REQBODY_ERROR_MSG",
           "=XML parser parsing error: XML: entity declarations are refused;");
    expect("application/x-none", "<a>x</a>", "XML:/*", "");
}

static void test_multipart(void **)
{
    static const char body[] = PART("a", "") "\r\none\r\ntwo\r\n" PART(
        "f", "; filename=\"x.txt\"") "Content-Type: text/plain\r\n\r\n12345\r\n--B--\r\n";
    expect(MULTIPART, body, "ARGS_POST", "a=one\r\ntwo;");
    expect(MULTIPART, body, "FILES", "f=x.txt;");
    expect(MULTIPART, body, "FILES_NAMES", "f=f;");
    expect(MULTIPART, body, "FILES_SIZES", "f=5;");
    expect(MULTIPART, body, "FILES_COMBINED_SIZE", "=5;");
    expect(MULTIPART, body, "MULTIPART_PART_HEADERS:f",
           "f=Content-Disposition: form-data; name=\"f\"; filename=\"x.txt\";f=Content-Type: text/plain;");
    expect(MULTIPART, body, "MULTIPART_STRICT_ERROR", "=0;");
    expect(MULTIPART, body, "REQBODY_ERROR", "=0;");
    expect(MULTIPART, "--B\r\nContent-Disposition: form-data; name=\"a\\\"b\"\r\n\r\n\r\n--B--", "ARGS",
           "a\"b=;");
    expect("multipart/form-data; boundary=----WebKitFormBoundaryX",
           "------WebKitFormBoundaryX\r\nContent-Disposition: form-data; "
           "name=a\r\n\r\n1\r\n------WebKitFormBoundaryX--\r\n",
           "ARGS", "a=1;");
}

static void test_multipart_flags(void **)
{
    static const struct {
        const char *type, *body, *flag;
    } rows[] = {
        {"multipart/form-data; boundary=\"B\"", PART("a", "") "\r\n1\r\n--B--\r\n", "BOUNDARY_QUOTED"},
        {"multipart/form-data; boundary =B", PART("a", "") "\r\n1\r\n--B--\r\n", "BOUNDARY_WHITESPACE"},
        {"multipart/form-data boundary=B", PART("a", "") "\r\n1\r\n--B--\r\n", "MISSING_SEMICOLON"},
        {MULTIPART, "x\r\n" PART("a", "") "\r\n1\r\n--B--\r\n", "DATA_BEFORE"},
        {MULTIPART, PART("a", "") "\r\n1\r\n--B--\r\nx", "DATA_AFTER"},
        {MULTIPART, PART("a", "") "X-A: 1\r\n 2\r\n\r\n1\r\n--B--\r\n", "HEADER_FOLDING"},
        {MULTIPART, PART("a", "") "X-A: 1\r\n\v2\r\n\r\n1\r\n--B--\r\n", "HEADER_FOLDING"},
        {MULTIPART, PART("a", "") "X-A: 1\r\n\v2\r\n\r\n1\r\n--B--\r\n", "INVALID_HEADER_FOLDING"},
        {MULTIPART, "--B\nContent-Disposition: form-data; name=\"a\"\n\n1\n--B--\n", "LF_LINE"},
        {MULTIPART, PART("a", "") "X-A: 1\n\r\n1\r\n--B--\r\n", "CRLF_LF_LINES"},
        {MULTIPART, "--B\r\nContent-Disposition: form-data; name='a'\r\n\r\n1\r\n--B--\r\n",
         "INVALID_QUOTING"},
        {MULTIPART, "--B\r\nContent-Disposition: form-data; name=a'b\r\n\r\n1\r\n--B--\r\n",
         "INVALID_QUOTING"},
        {MULTIPART, PART("", "") "\r\n1\r\n--B--\r\n", "INVALID_PART"},
        {MULTIPART, PART("a", "") "--B--\r\n", "INVALID_PART"},
        {MULTIPART, PART("a", "") "\r\n1\r\n--C\r\n--B--\r\n", "UNMATCHED_BOUNDARY"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char target[64];
        struct buf text = buf_over(target, sizeof target - 1);
        buf_printf(&text, "MULTIPART_%s", rows[i].flag);
        target[text.n] = 0;
        expect(rows[i].type, rows[i].body, target, "=1;");
        expect(MULTIPART, PART("a", "") "\r\n1\r\n--B--\r\n", target, "=0;");
    }
}

static void test_multipart_refused(void **)
{
    static const struct {
        const char *type, *body;
    } rows[] = {
        {"multipart/form-data", "--B--\r\n"},
        {"multipart/form-data; boundary=", "--B--\r\n"},
        {"multipart/form-data; boundary=B; boundary=C", "--B--\r\n"},
        {"multipart/form-data; charset=x; boundary=B", "--B--\r\n"},
        {"multipart/form-data; boundary=\"B", "--B--\r\n"},
        {"multipart/form-data; boundary=B;x", "--B--\r\n"},
        {MULTIPART, PART("a", "") "\r\n1\r\n"},
        {MULTIPART, PART("a", "; name=\"b\"") "\r\n1\r\n--B--\r\n"},
        {MULTIPART, PART("a", "; filename*=utf-8''x") "\r\n1\r\n--B--\r\n"},
        {MULTIPART, PART("a", " x") "\r\n1\r\n--B--\r\n"},
        {MULTIPART, "--B\r\nX: y\r\n\r\n1\r\n--B--\r\n"},
        {MULTIPART, "--B\r\nContent-Disposition: form-data\r\n\r\n1\r\n--B--\r\n"},
        {MULTIPART, "--B\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--B--\r\n"},
        {MULTIPART, PART("a", "") "X\x0e: y\r\n\r\n1\r\n--B--\r\n"},
        {MULTIPART, PART("a", "") "X y\r\n\r\n1\r\n--B--\r\n"},
        {MULTIPART, PART("a", "") "X: y\r\nx: z\r\n\r\n1\r\n--B--\r\n"},
        {MULTIPART, PART("a", "") "\r\n1\r\n--Bx\r\n--B--\r\n"},
        {MULTIPART, PART("a", "") "\r\n1\r\n-- B\r\n--B--\r\n"},
        {MULTIPART, "--B\r\n folded: x\r\n\r\n--B--\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        expect(rows[i].type, rows[i].body, "REQBODY_ERROR", "=1;");
        expect(rows[i].type, rows[i].body, "MULTIPART_STRICT_ERROR", "=1;");
    }
}

static enum waf_limit limit_of(const char *content_type, const char *body)
{
    struct kit k = {0};
    kit_load(&k, base, NULL);
    kit_field(&k, "Content-Type", content_type);
    enum waf_limit limit = kit_run(&k, "POST", "/?q=1", body).limit;
    kit_free(&k);
    return limit;
}

static enum waf_limit multipart_limit(const char *more, const char *data)
{
    static char body[5000];
    struct buf text = buf_over(body, sizeof body - 1);
    BUF_LIT(&text, "--B\r\nContent-Disposition: form-data; name=\"a\"");
    buf_str(&text, str_of(more));
    BUF_LIT(&text, "\r\n\r\n");
    buf_str(&text, str_of(data));
    BUF_LIT(&text, "\r\n--B--\r\n");
    body[text.n] = 0;
    return limit_of(MULTIPART, body);
}

static void test_limits_refuse(void **)
{
    char large[4002] = "";
    memset(large, 'a', sizeof large - 1);
    assert_int_equal(limit_of(FORM, "a=1"), WAF_WITHIN_LIMITS);
    assert_int_equal(limit_of(FORM, large), WAF_LIMIT_BODY);
    assert_int_equal(limit_of("text/plain", large), WAF_LIMIT_BODY);
    assert_int_equal(multipart_limit("", large), WAF_LIMIT_BODY);
    assert_int_equal(multipart_limit("; filename=\"x\"", large), WAF_WITHIN_LIMITS);
    assert_int_equal(limit_of(FORM, "a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a"), WAF_WITHIN_LIMITS);
    assert_int_equal(limit_of(FORM, "a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a"), WAF_LIMIT_ARGUMENTS);
    assert_int_equal(limit_of("application/json", "[[[[[[[[1]]]]]]]]"), WAF_WITHIN_LIMITS);
    assert_int_equal(limit_of("application/json", "[[[[[[[[[1]]]]]]]]]"), WAF_LIMIT_DEPTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_xml),
        cmocka_unit_test(test_multipart),
        cmocka_unit_test(test_multipart_flags),
        cmocka_unit_test(test_multipart_refused),
        cmocka_unit_test(test_limits_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
