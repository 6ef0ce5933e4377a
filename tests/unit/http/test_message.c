/* What every message has: field ids, methods, lists, cookies, dates, reasons and refusals. */
#include "parsed.h"

static void field_ids_whatever_the_case(void **state)
{
    static const struct {
        const char *lower, *mixed;
        enum http_field_id id;
    } names[] = {
        {"host", "Host", FIELD_HOST},
        {"connection", "Connection", FIELD_CONNECTION},
        {"content-length", "Content-Length", FIELD_CONTENT_LENGTH},
        {"transfer-encoding", "Transfer-Encoding", FIELD_TRANSFER_ENCODING},
        {"te", "TE", FIELD_TE},
        {"trailer", "Trailer", FIELD_TRAILER},
        {"upgrade", "Upgrade", FIELD_UPGRADE},
        {"keep-alive", "Keep-Alive", FIELD_KEEP_ALIVE},
        {"proxy-connection", "Proxy-Connection", FIELD_PROXY_CONNECTION},
        {"expect", "Expect", FIELD_EXPECT},
        {"cookie", "Cookie", FIELD_COOKIE},
        {"user-agent", "User-Agent", FIELD_USER_AGENT},
        {"accept", "Accept", FIELD_ACCEPT},
        {"accept-language", "Accept-Language", FIELD_ACCEPT_LANGUAGE},
        {"content-type", "Content-Type", FIELD_CONTENT_TYPE},
        {"forwarded", "Forwarded", FIELD_FORWARDED},
        {"x-forwarded-for", "X-Forwarded-For", FIELD_X_FORWARDED_FOR},
        {"x-forwarded-proto", "X-Forwarded-Proto", FIELD_X_FORWARDED_PROTO},
        {"x-forwarded-host", "X-Forwarded-Host", FIELD_X_FORWARDED_HOST},
        {"x-forwarded-port", "X-Forwarded-Port", FIELD_X_FORWARDED_PORT},
        {"x-real-ip", "X-Real-IP", FIELD_X_REAL_IP},
        {"x-request-id", "X-Request-ID", FIELD_X_REQUEST_ID},
        {"traceparent", "TraceParent", FIELD_TRACEPARENT},
        {"tracestate", "TraceState", FIELD_TRACESTATE},
        {"via", "Via", FIELD_VIA},
        {"http2-settings", "HTTP2-Settings", FIELD_HTTP2_SETTINGS},
        {"x-polder-subject", "X-Polder-Subject", FIELD_POLDER},
        {"x-polder-", "X-POLDER-", FIELD_POLDER},
        {"sec-websocket-key", "Sec-WebSocket-Key", FIELD_SEC_WEBSOCKET_KEY},
        {"sec-websocket-accept", "Sec-WebSocket-Accept", FIELD_SEC_WEBSOCKET_ACCEPT},
        {"sec-websocket-version", "Sec-WebSocket-Version", FIELD_SEC_WEBSOCKET_VERSION},
        {"set-cookie", "Set-Cookie", FIELD_SET_COOKIE},
        {"date", "Date", FIELD_DATE},
        {"server", "Server", FIELD_SERVER},
        {"retry-after", "Retry-After", FIELD_RETRY_AFTER},
        {"strict-transport-security", "Strict-Transport-Security", FIELD_STRICT_TRANSPORT_SECURITY},
        {"x-forwarded-client-cert", "X-Forwarded-Client-Cert", FIELD_X_FORWARDED_OTHER},
        {"x-forwarded-fox", "X-Forwarded-Fox", FIELD_X_FORWARDED_OTHER},
        {"x-polder", "X-Polder", FIELD_OTHER},
        {"x-forwarded", "X-Forwarded", FIELD_OTHER},
        {"hosts", "Hosts", FIELD_OTHER},
        {"hos", "Hos", FIELD_OTHER},
        {"hast", "Hast", FIELD_OTHER},
        {"content_length", "Content_Length", FIELD_OTHER},
        {"x", "X", FIELD_OTHER},
    };
    bool seen[FIELD_ID_COUNT] = {false};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(http_field_id(str_of(names[i].lower)), names[i].id);
        assert_int_equal(http_field_id(str_of(names[i].mixed)), names[i].id);
        seen[names[i].id] = true;
    }
    for (unsigned id = 0; id < FIELD_ID_COUNT; id++)
        assert_true(seen[id]); /* a new id needs a row here */
    assert_int_equal(http_field_id(STR_NONE), FIELD_OTHER);
}

static void methods(void **state)
{
    assert_int_equal(http_method_of(STR("GET")), METHOD_GET);
    assert_int_equal(http_method_of(STR("HEAD")), METHOD_HEAD);
    assert_int_equal(http_method_of(STR("POST")), METHOD_POST);
    assert_int_equal(http_method_of(STR("PUT")), METHOD_PUT);
    assert_int_equal(http_method_of(STR("DELETE")), METHOD_DELETE);
    assert_int_equal(http_method_of(STR("PATCH")), METHOD_PATCH);
    assert_int_equal(http_method_of(STR("OPTIONS")), METHOD_OPTIONS);
    assert_int_equal(http_method_of(STR("CONNECT")), METHOD_CONNECT);
    assert_int_equal(http_method_of(STR("TRACE")), METHOD_TRACE);
    assert_int_equal(http_method_of(STR("get")), METHOD_OTHER);
    assert_int_equal(http_method_of(STR("")), METHOD_OTHER);
    assert_true(http_method_is_safe(METHOD_GET) && http_method_is_safe(METHOD_OPTIONS));
    assert_false(http_method_is_safe(METHOD_PUT) || http_method_is_safe(METHOD_OTHER));
    assert_true(http_method_is_idempotent(METHOD_PUT) && http_method_is_idempotent(METHOD_DELETE));
    assert_false(http_method_is_idempotent(METHOD_POST) || http_method_is_idempotent(METHOD_PATCH));
}

static void lists(void **state)
{
    assert_true(http_list_has(STR("close"), STR("close")));
    assert_true(http_list_has(STR("a, ,\tCLOSE\t,b"), STR("close")));
    assert_true(http_list_has(STR("a,close"), STR("close")));
    assert_false(http_list_has(STR("closed, unclose, close;q=1"), STR("close")));
    assert_false(http_list_has(STR(""), STR("close")));
    assert_false(http_list_has(STR_NONE, STR("close")));
}

static void cookies(void **state)
{
    static const struct {
        const char *field, *name, *value; /* NULL: not there */
    } cases[] = {
        {"a=b", "a", "b"},      {"a=b; c=d", "c", "d"}, {"a=b;c=d", "c", "d"},   {"aa=1; a=2", "a", "2"},
        {"a=1; a=2", "a", "1"}, {"a=", "a", ""},        {"a=b=c", "a", "b=c"},   {"a=\"b c\"", "a", "b c"},
        {"a=\"", "a", "\""},    {"A=b", "a", NULL},     {"a", "a", NULL},        {"b; a=c", "a", "c"},
        {"x=a=b", "a", NULL},   {"", "a", NULL},        {"x=1; y=2", "z", NULL}, {"; ;a=b;", "a", "b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str value = STR("untouched");
        bool found = http_cookie_get(str_of(cases[i].field), str_of(cases[i].name), &value);
        assert_int_equal(found, cases[i].value != NULL);
        expect_text(cases[i].field, "cookie", value, str_of(found ? cases[i].value : "untouched"));
    }
}

static void dates(void **state)
{
    static const struct {
        int64_t at;
        const char *text;
    } cases[] = {
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},    {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {-1, "Thu, 01 Jan 1970 00:00:00 GMT"},           {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {951868799, "Tue, 29 Feb 2000 23:59:59 GMT"},    {1709164800, "Thu, 29 Feb 2024 00:00:00 GMT"},
        {1740787200, "Sat, 01 Mar 2025 00:00:00 GMT"},   {1798761599, "Thu, 31 Dec 2026 23:59:59 GMT"},
        {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},   {4107542399, "Sun, 28 Feb 2100 23:59:59 GMT"},
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"}, {INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char memory[29];
        struct buf b = buf_over(memory, sizeof memory);
        http_date_write(&b, cases[i].at);
        assert_false(buf_overflowed(&b));
        expect_text("date", "text", buf_text(&b), str_of(cases[i].text));
    }
}

static void reasons(void **state)
{
    assert_true(str_eq(http_reason(200), STR("OK")));
    assert_true(str_eq(http_reason(404), STR("Not Found")));
    assert_true(str_eq(http_reason(505), STR("HTTP Version Not Supported")));
    assert_int_equal(http_reason(299).n, 0);
    assert_int_equal(http_reason(0).n, 0);
}

static void every_refusal_can_be_told(void **state)
{
    assert_true(
        str_eq(http_refusal_name(REFUSAL_LENGTH_AND_TRANSFER_ENCODING), STR("length_and_transfer_encoding")));
    assert_int_equal(http_refusal_status(REFUSAL_VERSION), 505);
    for (unsigned i = 1; i < REFUSAL_COUNT; i++) {
        struct str name = http_refusal_name((enum http_refusal)i),
                   text = http_refusal_text((enum http_refusal)i);
        assert_in_range(http_refusal_status((enum http_refusal)i), 400, 599);
        assert_true(http_reason(http_refusal_status((enum http_refusal)i)).n > 0);
        assert_true(text.n > 0 && text.p[text.n - 1] == '.');
        assert_true(name.n > 0);
        for (size_t k = 0; k < name.n; k++)
            assert_true((name.p[k] >= 'a' && name.p[k] <= 'z') || name.p[k] == '_');
    }
    assert_int_equal(http_refusal_text((enum http_refusal)REFUSAL_COUNT).n, 0);
}

static void character_classes(void **state)
{
    assert_true(h1_is_token(STR("a!#$%&'*+-.^_`|~09Z")));
    assert_false(h1_is_token(STR("")));
    for (unsigned c = 0; c < 256; c++) {
        char text[3] = {'a', (char)c, 'a'};
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool is_token = is_alnum || (c && c < 0x80 && memchr("!#$%&'*+-.^_`|~", (int)c, 15));
        assert_int_equal(h1_is_token((struct str){text, 3}), is_token);
        assert_int_equal(h1_is_field_value((struct str){text, 3}), c == '\t' || (c >= 0x20 && c != 0x7f));
    }
    assert_true(h1_is_field_value(STR("")));
    assert_false(h1_is_field_value(STR(" a")));
    assert_false(h1_is_field_value(STR("a\t")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(field_ids_whatever_the_case),
        cmocka_unit_test(methods),
        cmocka_unit_test(lists),
        cmocka_unit_test(cookies),
        cmocka_unit_test(dates),
        cmocka_unit_test(reasons),
        cmocka_unit_test(every_refusal_can_be_told),
        cmocka_unit_test(character_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
