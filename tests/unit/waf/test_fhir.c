#include "kit.h"

#include "waf/fhir.h"

#include "base/buf.h"

/* ---- values */

struct value_row {
    enum waf_kind kind;
    const char *value;
    enum fhir_finding finding;
};

static const struct value_row values[] = {
    {WAF_KIND_CODE, "final", FHIR_HARMLESS},
    {WAF_KIND_CODE, "K86.01", FHIR_HARMLESS},
    {WAF_KIND_CODE, "1234-5", FHIR_HARMLESS},
    {WAF_KIND_CODE, "entered-in-error", FHIR_HARMLESS},
    {WAF_KIND_CODE, "mmol/L", FHIR_HARMLESS},
    {WAF_KIND_CODE, "mm[Hg]", FHIR_HARMLESS},
    {WAF_KIND_CODE, "mL/min/{1.73_m2}", FHIR_HARMLESS},
    {WAF_KIND_CODE, "10*9/L", FHIR_HARMLESS},
    {WAF_KIND_CODE, "/min", FHIR_HARMLESS},
    {WAF_KIND_CODE, "%", FHIR_HARMLESS},
    {WAF_KIND_CODE, "a[b", FHIR_UNUSUAL},
    {WAF_KIND_CODE, "a[b}", FHIR_UNUSUAL},
    {WAF_KIND_CODE, "etc/passwd", FHIR_UNUSUAL},
    {WAF_KIND_CODE, "/etc/passwd", FHIR_UNUSUAL},
    {WAF_KIND_CODE, "%2e%2e%2f%2e", FHIR_UNUSUAL},
    {WAF_KIND_CODE, "text/html; charset=UTF-8", FHIR_HARMLESS},
    {WAF_KIND_CODE, "application/vnd.ms-word", FHIR_HARMLESS},
    {WAF_KIND_CODE, "application/fhir+json", FHIR_HARMLESS},
    {WAF_KIND_CODE, "application/../x", FHIR_UNUSUAL},
    {WAF_KIND_CODE, "text/html;x=y", FHIR_UNUSUAL},
    {WAF_KIND_CODE, "<=", FHIR_HARMLESS},
    {WAF_KIND_CODE, "<b", FHIR_UNUSUAL},
    {WAF_KIND_CODE, "web.config", FHIR_UNUSUAL},
    {WAF_KIND_CODE, "..", FHIR_UNUSUAL},
    {WAF_KIND_CODE, "a--", FHIR_UNUSUAL},
    {WAF_KIND_CODE, "a--b", FHIR_UNUSUAL},
    {WAF_KIND_CODE, "__proto__", FHIR_UNUSUAL},
    {WAF_KIND_CODE, "a b", FHIR_UNUSUAL},
    {WAF_KIND_CODE, "a  b", FHIR_INVALID},
    {WAF_KIND_CODE, " final", FHIR_LOOSE},
    {WAF_KIND_CODE, " x' or 1", FHIR_INVALID},
    {WAF_KIND_ID, "pat-1.2", FHIR_HARMLESS},
    {WAF_KIND_ID, "a.b", FHIR_UNUSUAL},
    {WAF_KIND_ID, "..", FHIR_UNUSUAL},
    {WAF_KIND_ID, "obs_1", FHIR_LOOSE},
    {WAF_KIND_ID, "../x", FHIR_INVALID},
    {WAF_KIND_ID, "0123456789012345678901234567890123456789012345678901234567890123", FHIR_HARMLESS},
    {WAF_KIND_ID, "01234567890123456789012345678901234567890123456789012345678901234", FHIR_LOOSE},
    {WAF_KIND_DATE, "2024", FHIR_HARMLESS},
    {WAF_KIND_DATE, "2024-02", FHIR_HARMLESS},
    {WAF_KIND_DATE, "2024-02-30", FHIR_LOOSE},
    {WAF_KIND_DATE, "2024-13-01", FHIR_LOOSE},
    {WAF_KIND_DATE, "2024-01-01T00:00:00Z", FHIR_LOOSE},
    {WAF_KIND_DATE, "12-3-2024", FHIR_LOOSE},
    {WAF_KIND_DATE, "2024-01-01--", FHIR_INVALID},
    {WAF_KIND_DATE, "gisteren", FHIR_INVALID},
    {WAF_KIND_DATE_TIME, "2024-01-01T10:00:00+01:00", FHIR_HARMLESS},
    {WAF_KIND_DATE_TIME, "2024-01-01T10:00:00.123456Z", FHIR_HARMLESS},
    {WAF_KIND_DATE_TIME, "2024-01-01T10:00:00", FHIR_LOOSE},
    {WAF_KIND_DATE_TIME, "2024-01T10:00:00Z", FHIR_LOOSE},
    {WAF_KIND_DATE_TIME, "2024-01-01T10:00:00Z'", FHIR_INVALID},
    {WAF_KIND_INSTANT, "2024-01-01T10:00:00Z", FHIR_HARMLESS},
    {WAF_KIND_INSTANT, "2024-01-01", FHIR_LOOSE},
    {WAF_KIND_TIME, "23:59:60.5", FHIR_HARMLESS},
    {WAF_KIND_TIME, "24:00:00", FHIR_LOOSE},
    {WAF_KIND_TIME, "noon", FHIR_INVALID},
    {WAF_KIND_DECIMAL, "-0.50e-10", FHIR_HARMLESS},
    {WAF_KIND_DECIMAL, "5,4", FHIR_LOOSE},
    {WAF_KIND_DECIMAL, "1e9999", FHIR_INVALID},
    {WAF_KIND_DECIMAL, "NaN", FHIR_INVALID},
    {WAF_KIND_INTEGER, "-12", FHIR_HARMLESS},
    {WAF_KIND_INTEGER, "012", FHIR_LOOSE},
    {WAF_KIND_INTEGER, "1|id", FHIR_INVALID},
    {WAF_KIND_POSITIVE, "0", FHIR_LOOSE},
    {WAF_KIND_POSITIVE, "+3", FHIR_HARMLESS},
    {WAF_KIND_UNSIGNED, "0", FHIR_HARMLESS},
    {WAF_KIND_UNSIGNED, "-1", FHIR_LOOSE},
    {WAF_KIND_BOOLEAN, "true", FHIR_HARMLESS},
    {WAF_KIND_BOOLEAN, "True", FHIR_LOOSE},
    {WAF_KIND_BOOLEAN, "ja", FHIR_INVALID},
    {WAF_KIND_BASE64, "YWJj", FHIR_HARMLESS},
    {WAF_KIND_BASE64, "YW Jj\nYQ==", FHIR_HARMLESS},
    {WAF_KIND_BASE64, "YWJ", FHIR_LOOSE},
    {WAF_KIND_BASE64, "YWJj=YWJj", FHIR_LOOSE},
    {WAF_KIND_BASE64, "<b>", FHIR_INVALID},
    {WAF_KIND_STRING, "mg", FHIR_HARMLESS},
    {WAF_KIND_STRING, "O'Brien", FHIR_UNUSUAL},
    {WAF_KIND_STRING, "a\x01", FHIR_INVALID},
    {WAF_KIND_URI, "http://loinc.org", FHIR_HARMLESS},
    {WAF_KIND_URI, "https://x.nl:8443/fhir/Patient/1/_history/2", FHIR_HARMLESS},
    {WAF_KIND_URI, "http://hl7.org/fhir/StructureDefinition/x#Patient|4.0.1", FHIR_HARMLESS},
    {WAF_KIND_URI, "urn:oid:2.16.840.1", FHIR_HARMLESS},
    {WAF_KIND_URI, "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a", FHIR_HARMLESS},
    {WAF_KIND_URI, "urn:uuid:61ebe359", FHIR_UNUSUAL},
    {WAF_KIND_URI, "Patient/1", FHIR_HARMLESS},
    {WAF_KIND_URI, "Patient?name=x", FHIR_UNUSUAL},
    {WAF_KIND_URI, "http://x.nl/a?b=c", FHIR_UNUSUAL},
    {WAF_KIND_URI, "http://x.nl/../a", FHIR_UNUSUAL},
    {WAF_KIND_URI, "http://x.nl/a//b", FHIR_UNUSUAL},
    {WAF_KIND_URI, "http://x.nl/shell.php", FHIR_UNUSUAL},
    {WAF_KIND_URI, "http://u@x.nl/", FHIR_UNUSUAL},
    {WAF_KIND_URI, "http://x.nl%2f@y/", FHIR_UNUSUAL},
    {WAF_KIND_URI, "http://a--b.nl/", FHIR_UNUSUAL},
    {WAF_KIND_URI, "http://127.0.0.1/", FHIR_UNUSUAL},
    {WAF_KIND_URI, "http://2130706433/", FHIR_UNUSUAL},
    {WAF_KIND_URI, "http://0x7f.1/", FHIR_UNUSUAL},
    {WAF_KIND_URI, "http://localhost/", FHIR_UNUSUAL},
    {WAF_KIND_URI, "http://metadata.google.internal/", FHIR_UNUSUAL},
    {WAF_KIND_URI, "http://[::1]/", FHIR_UNUSUAL},
    {WAF_KIND_URI, "http://x.nl:99999/", FHIR_UNUSUAL},
    {WAF_KIND_URI, "data:image/png;base64,AA==", FHIR_UNUSUAL},
    {WAF_KIND_URI, "data:text/html,x", FHIR_INVALID},
    {WAF_KIND_URI, "JavaScript:alert(1)", FHIR_INVALID},
    {WAF_KIND_URI, "file:///etc/passwd", FHIR_INVALID},
    {WAF_KIND_URI, "http://x.nl/a b", FHIR_INVALID},
    {WAF_KIND_REFERENCE, "#med", FHIR_HARMLESS},
    {WAF_KIND_REFERENCE, "Patient/1/_history/3", FHIR_HARMLESS},
    {WAF_KIND_REFERENCE, "Patient/1/x/3", FHIR_UNUSUAL},
    {WAF_KIND_REFERENCE, "see letter", FHIR_UNUSUAL},
    {WAF_KIND_REFERENCE, " javascript:x", FHIR_INVALID},
    {WAF_KIND_DATE, "", FHIR_HARMLESS},
};

static void test_values(void **)
{
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        enum fhir_finding finding = fhir_check(values[i].kind, str_of(values[i].value));
        if (finding != values[i].finding)
            fail_msg("%s \"%s\" is %d", fhir_kind_name(values[i].kind), values[i].value, (int)finding);
    }
}

/* ---- bodies: what a target has, "name=value;" in order */

static const char base[] = "SecRequestBodyAccess On\nSecArgumentsLimit 12\nSecRequestBodyNoFilesLimit 40000\n"
                           "SecRequestBodyLimit 80000\nSecRequestBodyJsonDepthLimit 16\n"
                           "SecRule REQUEST_HEADERS:Content-Type \"@rx /json\" "
                           "\"id:1,phase:1,nolog,pass,ctl:requestBodyProcessor=JSON\"\n"
                           "SecRule REQUEST_HEADERS:Content-Type \"@rx /xml\" "
                           "\"id:2,phase:1,nolog,pass,ctl:requestBodyProcessor=XML\"\n";

static struct str seen_of(struct kit *k, struct waf_verdict verdict)
{
    struct str seen = STR("");
    for (size_t i = 0; i < verdict.match_count; i++) {
        const struct waf_match *match = &verdict.matches[i];
        struct str name = match->target;
        if (match->rule_id != 9)
            continue;
        (void)str_cut(&name, ':');
        seen = arena_printf(k->arena, "%.*s%.*s=%.*s;", STR_ARG(seen), STR_ARG(name), STR_ARG(match->value));
    }
    return seen;
}

static void expect_with(const struct waf_overlay_options *options, const char *type, const char *path,
                        const char *body, const char *target, const char *expected)
{
    struct kit k = {0};
    char rules[2048];
    struct buf text = buf_over(rules, sizeof rules - 1);
    BUF_LIT(&text, base);
    buf_printf(&text, "SecRule %s \"@unconditionalMatch\" \"id:9,phase:2,pass\"\n", target);
    rules[text.n] = 0;
    kit_load(&k, rules, options);
    kit_field(&k, "Content-Type", type);
    struct str seen = seen_of(&k, kit_run(&k, "POST", path, body));
    if (!str_eq(seen, str_of(expected)))
        fail_msg("%s of %s\n%s\nis %.*s\nnot %s", target, type, body, STR_ARG(seen), expected);
    kit_free(&k);
}

static const struct waf_overlay_options fhir = {.mode = WAF_BLOCK, .profile = WAF_PROFILE_FHIR};
static const struct waf_overlay_options slow = {
    .mode = WAF_BLOCK, .profile = WAF_PROFILE_FHIR, .engine = WAF_ENGINE_REFERENCE};
static const struct waf_overlay_options plain = {.mode = WAF_BLOCK};

/* Both engines. */
static void expect(const char *type, const char *body, const char *target, const char *expected)
{
    expect_with(&fhir, type, "/", body, target, expected);
    expect_with(&slow, type, "/", body, target, expected);
}

#define JSON "application/fhir+json"
#define XML  "application/fhir+xml"

static const char patient[] =
    "{\"resourceType\":\"Patient\",\"id\":\"p1\",\"active\":true,\"gender\":\"x' or 1\","
    "\"name\":[{\"family\":\"O'Brien\",\"given\":[\"An\",\"B. C.\"]}],\"birthDate\":\"1 maart\"}";

static void test_json_leaves(void **)
{
    expect(JSON, patient, "FHIR_TYPED", "resourceType=Patient;id=p1;active=true;name.given=An;");
    expect(JSON, patient, "FHIR_TEXT", "name.family=O'Brien;name.given=B. C.;");
    expect(JSON, patient, "FHIR_TYPE_ERROR", "birthDate=not a date;");
    expect(JSON, patient, "ARGS", "gender=x' or 1;birthDate=1 maart;name.family=O'Brien;name.given=B. C.;");
    expect(JSON, patient, "ARGS_NAMES", "");
    expect(JSON, patient, "REQBODY_ERROR|PROFILE", "=0;=fhir;");
    expect("application/json", patient, "FHIR_TYPE_ERROR", "birthDate=not a date;");
}

static void test_text_is_excluded(void **)
{
    expect(JSON, patient, "ARGS|!FHIR_TEXT", "gender=x' or 1;birthDate=1 maart;");
    expect(JSON, patient, "ARGS_POST|!FHIR_TEXT:name.family",
           "gender=x' or 1;birthDate=1 maart;name.given=B. C.;");
    expect(JSON, patient, "&FHIR_TEXT", "=2;");
}

/* An unknown element is text, its name an argument's name; what hangs below it is read as ever. */
static void test_unknown(void **)
{
    static const char body[] =
        "{\"resourceType\":\"Patient\",\"a'b\":{\"status\":\"final\",\"x\":[\"1 2\",{\"y\":3}]}}";
    expect(JSON, body, "ARGS_NAMES", "a'b=a'b;x=x;y=y;");
    expect(JSON, body, "ARGS", "a'b.x=1 2;a'b.x.y=3;");
    expect(JSON, body, "FHIR_TYPED", "resourceType=Patient;a'b.status=final;");
    expect(JSON,
           "{\"resourceType\":\"New\",\"code\":\"a b\",\"text\":{\"div\":\"<p/>\"},\"birthDate\":\"x y\"}",
           "FHIR_TEXT", "code=a b;birthDate=x y;");
}

static void test_shapes(void **)
{
    expect(JSON, "{\"resourceType\":\"Patient\",\"active\":{\"$ne\":1}}", "FHIR_TYPE_ERROR|ARGS_NAMES",
           "active=an object where a primitive type stands;$ne=$ne;");
    expect(JSON, "{\"resourceType\":\"Patient\",\"name\":\"a b\"}", "ARGS", "name=a b;");
    expect(JSON, "{\"resourceType\":\"Patient\",\"gender\":null,\"_gender\":{\"id\":\"a b\"}}", "ARGS",
           "_gender.id=a b;");
    expect(JSON, "{\"resourceType\":\"Patient\",\"id\":\"a_b\"}", "FHIR_TYPE_ERROR", "id=loosely a id;");
    expect(JSON, "{\"resourceType\":\"Patient\",\"\":\"a b\",\"__x\":1}", "ARGS", "=a b;__x=1;");
}

static void test_choices(void **)
{
    static const char body[] = "{\"resourceType\":\"Observation\",\"valueQuantity\":{\"value\":\"x\"},"
                               "\"extension\":[{\"url\":\"http://x.nl\",\"valueInstant\":\"now\"}],"
                               "\"contained\":[{\"resourceType\":\"Slot\",\"start\":\"now\"}]}";
    expect(JSON, body, "FHIR_TYPE_ERROR",
           "valueQuantity.value=not a decimal;extension.valueInstant=not a instant;contained.start=not a "
           "instant;");
}

static void test_repeated_names(void **)
{
    expect(JSON, "{\"resourceType\":\"Patient\",\"id\":\"1\",\"\\u0069d\":\"2\"}", "FHIR_TYPE_ERROR",
           "JSON=a name comes twice in one object;");
    expect("application/json", "{\"a\":[{\"b\":1,\"b\":2}]}", "FHIR_TYPE_ERROR",
           "JSON=a name comes twice in one object;");
    expect("application/json", "{\"a\":[1,1],\"c\":{\"a\":1}}", "FHIR_TYPE_ERROR", "");
}

static void test_narrative(void **)
{
#define DIV(inside)                                                                                          \
    "{\"resourceType\":\"Patient\",\"text\":{\"status\":\"generated\",\"div\":\"<div>" inside "</div>\"}}"
    expect(JSON, DIV("a <b>b</b> &lt;c"), "FHIR_TEXT|FHIR_TYPE_ERROR", "text.div=a b <c;");
    expect(JSON, DIV("<i onclick='x'>a</i>"), "FHIR_TYPE_ERROR|FHIR_TEXT",
           "text.div=narrative: event attribute;");
    expect(JSON, DIV("<script/>"), "ARGS", "text.div=<div><script/></div>;");
    expect(XML,
           "<Patient xmlns=\"http://hl7.org/fhir\"><text><div xmlns=\"http://www.w3.org/1999/xhtml\">a "
           "<b>b</b></div></text><contained><Patient><text><div><p onclick=\"x\">c</p></div></text></Patient>"
           "</contained></Patient>",
           "FHIR_TEXT|FHIR_TYPE_ERROR", "text.div=a b;contained.text.div=narrative: event attribute;");
}

static void test_attachments(void **)
{
#define ATTACHED(type, data) "{\"resourceType\":\"Patient\",\"photo\":[{\"data\":\"" data "\"" type "}]}"
    expect(JSON, ATTACHED(",\"contentType\":\"text/html\"", "YSA8Yj4="), "FHIR_ATTACHMENT",
           "photo.data=a <b>;");
    expect(JSON, ATTACHED(",\"contentType\":\"image/png\"", "YSA8Yj4="), "FHIR_ATTACHMENT", "");
    expect(JSON, ATTACHED(",\"contentType\":\"image/png\"", "PGI+YQ=="), "FHIR_ATTACHMENT",
           "photo.data=<b>a;");
    expect(JSON, ATTACHED("", "YSA8Yj4="), "FHIR_ATTACHMENT", "photo.data=a <b>;");
    expect(JSON, ATTACHED("", "AAECAw=="), "FHIR_ATTACHMENT", "");
    expect(JSON, ATTACHED(",\"contentType\":\"image/png\"", "//48AGIAPgA="), "&FHIR_ATTACHMENT", "=1;");
}

static void test_xml(void **)
{
    static const char body[] =
        "<Patient xmlns=\"http://hl7.org/fhir\" x=\"a b\"><id value=\"p1\"/><extension url=\"http://x.nl\">"
        "<valueDate value=\"now\"/></extension><name><family value=\"O'Brien\"/></name>text</Patient>";
    expect(XML, body, "FHIR_TYPED", "id=p1;extension.url=http://x.nl;");
    expect(XML, body, "FHIR_TEXT", "x=a b;name.family=O'Brien;");
    expect(XML, body, "FHIR_TYPE_ERROR", "extension.valueDate=not a date;=text between elements;");
    expect(XML, body, "ARGS_NAMES", "x=x;");
    expect(XML, body, "XML:/*|REQBODY_ERROR", "=0;");
    expect("text/xml", "<a><b c=\"d\">e</b></a>", "XML:/*|XML://@*|FHIR_TEXT", "/*=e;//@*=d;");
    expect(XML, "<!DOCTYPE a><Patient xmlns=\"http://hl7.org/fhir\"/>", "REQBODY_ERROR", "=1;");
    expect("text/xml", "<!DOCTYPE a><a>b</a>", "XML:/*|REQBODY_ERROR", "/*=b;=0;");
    expect(XML, "<?x y?><Patient xmlns=\"http://hl7.org/fhir\"/>", "FHIR_TYPE_ERROR",
           "XML=a processing instruction;");
    expect(XML, "<Patient xmlns=\"http://hl7.org/fhir\"><a>", "REQBODY_ERROR", "=1;");
}

static void test_search(void **)
{
    expect_with(&fhir, "", "/fhir/Observation?code=http://loinc.org|1-2,a|&date=ge2024-01&name=O%27B&x=a;b",
                "", "ARGS", "name=O'B;x=a;b;");
    expect_with(&fhir, "", "/fhir/Observation?_include=Patient:organization&_sort=-date&a$b=1", "", "ARGS",
                "a$b=1;");
    expect_with(&fhir, "", "/fhir/Observation?code=javascript:alert&v=1--", "", "ARGS",
                "code=javascript:alert;v=1--;");
    expect_with(&fhir, "", "/portaal?code=a", "", "ARGS", "code=a;");
    expect_with(&fhir, "application/x-www-form-urlencoded", "/fhir/Patient/_search", "name=a&b=c+d", "ARGS",
                "b=c d;");
}

static void test_other_profile(void **)
{
    expect_with(&plain, "application/json", "/fhir/Patient?code=a",
                "{\"resourceType\":\"Patient\",\"id\":\"1\"}", "ARGS|FHIR_TYPED|FHIR_TEXT|PROFILE",
                "code=a;resourceType=Patient;id=1;=plain;");
}

/* What rules look at counts, what is typed does not. */
static void test_limits(void **)
{
    struct kit k = {0};
    char body[4096];
    struct buf out = buf_over(body, sizeof body - 1);
    kit_load(&k, base, &fhir);
    kit_field(&k, "Content-Type", JSON);
    BUF_LIT(&out, "{\"resourceType\":\"Patient\",\"name\":[{\"given\":[");
    for (unsigned i = 0; i < 100; i++)
        buf_printf(&out, "\"n%u\",", i);
    size_t typed = out.n;
    BUF_LIT(&out, "\"x\"]}]}");
    body[out.n] = 0;
    assert_int_equal(kit_run(&k, "POST", "/", body).limit, WAF_WITHIN_LIMITS);
    out.n = typed;
    for (unsigned i = 0; i < 13; i++)
        buf_printf(&out, "\"a b%u\",", i);
    BUF_LIT(&out, "\"x\"]}]}");
    body[out.n] = 0;
    assert_int_equal(kit_run(&k, "POST", "/", body).limit, WAF_LIMIT_ARGUMENTS);
    kit_free(&k);
}

/* Another table behind the same interface. */
static struct waf_type all_dates(const void *, struct waf_type, struct str, bool)
{
    return (struct waf_type){.kind = WAF_KIND_DATE};
}

static struct waf_type one_resource(const void *, struct str)
{
    return (struct waf_type){.kind = WAF_KIND_COMPLEX, .which = 7};
}

static void test_other_table(void **)
{
    static const struct waf_types types = {.resource = one_resource, .child = all_dates};
    struct waf_overlay_options options = fhir;
    options.types = &types;
    expect_with(&options, JSON, "/", "{\"resourceType\":\"2024\",\"a\":\"2024-01\",\"b\":\"x\"}",
                "ARGS|FHIR_TYPED", "resourceType=2024;a=2024-01;b=x;");
    expect_with(&options, JSON, "/", "{\"resourceType\":\"Pa\",\"a\":\"2024-01\",\"b\":\"x\"}",
                "FHIR_TYPE_ERROR", "resourceType=not a date;b=not a date;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),           cmocka_unit_test(test_json_leaves),
        cmocka_unit_test(test_text_is_excluded), cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_shapes),           cmocka_unit_test(test_choices),
        cmocka_unit_test(test_repeated_names),   cmocka_unit_test(test_narrative),
        cmocka_unit_test(test_attachments),      cmocka_unit_test(test_xml),
        cmocka_unit_test(test_search),           cmocka_unit_test(test_other_profile),
        cmocka_unit_test(test_limits),           cmocka_unit_test(test_other_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
