/* Answers of an upstream: what is refused (it becomes a 502), and how the body is framed. */
#include "parsed.h"

struct row {
    const char *name;
    const char *bytes;
    size_t n;
    enum http_refusal expected;
};

#define REFUSED(name, bytes, why)                                                                            \
    {                                                                                                        \
        name, bytes, sizeof(bytes) - 1, REFUSAL_##why                                                        \
    }
#define TAKEN(name, bytes)                                                                                   \
    {                                                                                                        \
        name, bytes, sizeof(bytes) - 1, REFUSAL_NONE                                                         \
    }
#define LINE(line)   line "\r\nContent-Length: 0\r\n\r\n"
#define FIELD(field) "HTTP/1.1 200 OK\r\n" field "\r\n\r\n"

static const struct row rows[] = {
    TAKEN("plain", LINE("HTTP/1.1 200 OK")),
    TAKEN("no phrase", LINE("HTTP/1.1 200 ")),
    TAKEN("no phrase and no space", LINE("HTTP/1.1 200")),
    TAKEN("long phrase", LINE("HTTP/1.1 404 Not\tFound here, caf\xe9 (sorry)")),
    TAKEN("HTTP/1.0", LINE("HTTP/1.0 200 OK")),
    TAKEN("no fields", "HTTP/1.1 204 No Content\r\n\r\n"),
    TAKEN("unknown status", LINE("HTTP/1.1 599 x")),
    TAKEN("interim", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    REFUSED("empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", STATUS_LINE),
    REFUSED("another protocol", LINE("ICY 200 OK"), STATUS_LINE),
    REFUSED("HTML", "Hello\r\n\r\n", STATUS_LINE),
    REFUSED("lower-case http", LINE("http/1.1 200 OK"), STATUS_LINE),
    REFUSED("two spaces", LINE("HTTP/1.1  200 OK"), STATUS_LINE),
    REFUSED("tab", LINE("HTTP/1.1\t200 OK"), STATUS_LINE),
    REFUSED("HTTP/2.0", LINE("HTTP/2.0 200 OK"), VERSION),
    REFUSED("HTTP/1.2", LINE("HTTP/1.2 200 OK"), VERSION),
    REFUSED("HTTP/1.11", LINE("HTTP/1.11 200 OK"), STATUS_LINE),
    REFUSED("status of two digits", LINE("HTTP/1.1 20 OK"), STATUS_LINE),
    REFUSED("status of four digits", LINE("HTTP/1.1 2000 OK"), STATUS_LINE),
    REFUSED("status of letters", LINE("HTTP/1.1 2xx OK"), STATUS_LINE),
    REFUSED("status with a sign", LINE("HTTP/1.1 +20 OK"), STATUS_LINE),
    REFUSED("status 099", LINE("HTTP/1.1 099 OK"), STATUS_LINE),
    REFUSED("status 600", LINE("HTTP/1.1 600 OK"), STATUS_LINE),
    REFUSED("no status", LINE("HTTP/1.1 "), STATUS_LINE),
    REFUSED("nothing behind the version", "HTTP/1.1\r\n\r\n", STATUS_LINE),
    REFUSED("tab behind the status", LINE("HTTP/1.1 200\tOK"), STATUS_LINE),
    REFUSED("control in the phrase", LINE("HTTP/1.1 200 O\x01K"), STATUS_LINE),
    REFUSED("NUL in the phrase", LINE("HTTP/1.1 200 O\0K"), STATUS_LINE),
    REFUSED("bare CR in the phrase", LINE("HTTP/1.1 200 O\rK"), LINE_END),
    REFUSED("bare LF behind the phrase", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", LINE_END),
    REFUSED("bare LF behind a field", "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n", LINE_END),
    REFUSED("obs-fold", FIELD("X: a\r\n b"), FIELD_FOLDED),
    REFUSED("space before the colon", FIELD("X : a"), FIELD_NAME),
    REFUSED("control in a value", FIELD("X: \x02"), FIELD_VALUE),
    REFUSED("21 fields",
            FIELD("X:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:"
                  "\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:\r\nX:"),
            TOO_MANY_FIELDS),
    REFUSED("length and chunked", FIELD("Content-Length: 5\r\nTransfer-Encoding: chunked"),
            LENGTH_AND_TRANSFER_ENCODING),
    REFUSED("two lengths", FIELD("Content-Length: 5\r\nContent-Length: 6"), LENGTH),
    REFUSED("two lengths, equal", FIELD("Content-Length: 5\r\nContent-Length: 5"), LENGTH),
    REFUSED("length as a list", FIELD("Content-Length: 5, 5"), LENGTH),
    REFUSED("length with a plus", FIELD("Content-Length: +5"), LENGTH),
    REFUSED("gzip, chunked", FIELD("Transfer-Encoding: gzip, chunked"), TRANSFER_ENCODING),
    REFUSED("chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            TRANSFER_ENCODING),
    REFUSED("204 that announces a body", "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", LENGTH),
    REFUSED("204 with chunks", "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", TRANSFER_ENCODING),
    REFUSED("100 that announces a body", "HTTP/1.1 100 x\r\nContent-Length: 5\r\n\r\n", LENGTH),
    REFUSED("Connection names Content-Length", FIELD("Connection: content-length"), CONNECTION),
};

static struct parsed parse(struct str bytes, enum http_method method)
{
    struct parsed p = parsed_over(bytes);
    size_t scanned = 0;
    p.n = h1_parse_response((struct str){p.bytes, bytes.n}, &scanned, &usual_limits, method, p.arena,
                            &p.response, &p.refusal);
    return p;
}

static void each_row_at_once(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct parsed p = parse((struct str){rows[i].bytes, rows[i].n}, METHOD_GET);
        expect_refusal(rows[i].name, &p, rows[i].expected);
        if (p.n > 0)
            assert_int_equal(p.n, rows[i].n);
        parsed_done(&p);
    }
}

static void each_row_byte_by_byte(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct parsed p = parsed_over((struct str){rows[i].bytes, rows[i].n});
        size_t scanned = 0;
        for (size_t n = 0; n <= rows[i].n && p.n == 0; n++)
            p.n = h1_parse_response((struct str){p.bytes, n}, &scanned, &usual_limits, METHOD_GET, p.arena,
                                    &p.response, &p.refusal);
        expect_refusal(rows[i].name, &p, rows[i].expected);
        parsed_done(&p);
    }
}

/* RFC 9112 6.3 and 9.3 */
static void framing(void **state)
{
    static const struct {
        const char *bytes;
        enum http_method method;
        enum http_body body;
        uint64_t length;
        bool keep_alive;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", METHOD_GET, BODY_LENGTH, 7, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", METHOD_GET, BODY_LENGTH, 0, true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_POST, BODY_CHUNKED, 0, true},
        {"HTTP/1.1 200 OK\r\n\r\n", METHOD_GET, BODY_UNTIL_CLOSE, 0, false},
        {"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", METHOD_GET, BODY_UNTIL_CLOSE, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", METHOD_HEAD, BODY_NONE, 7, true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_HEAD, BODY_NONE, 0, true},
        {"HTTP/1.1 200 OK\r\n\r\n", METHOD_HEAD, BODY_NONE, 0, true},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", METHOD_GET, BODY_NONE, 7, true},
        {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", METHOD_GET, BODY_NONE, 0, true},
        {"HTTP/1.1 100 Continue\r\n\r\n", METHOD_POST, BODY_NONE, 0, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n", METHOD_GET, BODY_LENGTH, 7,
         false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n", METHOD_GET, BODY_LENGTH, 7, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n", METHOD_GET, BODY_LENGTH, 7,
         true},
        {"HTTP/1.0 200 OK\r\n\r\n", METHOD_GET, BODY_UNTIL_CLOSE, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed p = parse(str_of(cases[i].bytes), cases[i].method);
        expect_refusal(cases[i].bytes, &p, REFUSAL_NONE);
        assert_int_equal(p.response.body, cases[i].body);
        assert_int_equal(p.response.content_length, cases[i].length);
        assert_int_equal(p.response.keep_alive, cases[i].keep_alive);
        parsed_done(&p);
    }
}

static void switching_protocols(void **state)
{
    struct parsed p =
        parse(STR("HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05"),
              METHOD_GET);
    expect_refusal("101", &p, REFUSAL_NONE);
    assert_true(p.response.has_upgrade);
    assert_int_equal(p.response.body, BODY_NONE);
    assert_non_null(http_find(p.response.fields, p.response.field_count, FIELD_SEC_WEBSOCKET_ACCEPT));
    parsed_done(&p);
    p = parse(STR("HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), METHOD_GET);
    assert_false(p.response.has_upgrade);
    parsed_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_at_once),
        cmocka_unit_test(each_row_byte_by_byte),
        cmocka_unit_test(framing),
        cmocka_unit_test(switching_protocols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
