/* Requests that must be refused, one by one and each with its reason, and requests that must not. */
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

/* Most rows differ from a good request in one place only. */
#define LINE(line)      line "\r\nHost: a\r\n\r\n"
#define TARGET(target)  LINE("GET " target " HTTP/1.1")
#define FIELD(field)    "GET / HTTP/1.1\r\nHost: a\r\n" field "\r\n\r\n"
#define POST(fields)    "POST / HTTP/1.1\r\nHost: a\r\n" fields "\r\n\r\n"
#define HOST(host)      "GET / HTTP/1.1\r\nHost:" host "\r\n\r\n"
#define TEN(x)          x x x x x x x x x x
#define UPGRADE(fields) FIELD("Connection: upgrade\r\nUpgrade: websocket" fields)

static const struct row rows[] = {
    /* The request line, RFC 9112 3 */
    TAKEN("plain", LINE("GET / HTTP/1.1")),
    TAKEN("one empty line first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    TAKEN("unknown method", LINE("PROPFIND / HTTP/1.1")),
    TAKEN("odd method token", LINE("M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1")),
    TAKEN("http/1.0", LINE("GET / HTTP/1.0")),
    REFUSED("two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST_LINE),
    REFUSED("bare LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", LINE_END),
    REFUSED("bare CR first", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST_LINE),
    REFUSED("space first", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST_LINE),
    REFUSED("tab after the method", LINE("GET\t/ HTTP/1.1"), METHOD),
    REFUSED("two spaces after the method", LINE("GET  / HTTP/1.1"), REQUEST_LINE),
    REFUSED("two spaces before the version", LINE("GET /  HTTP/1.1"), REQUEST_LINE),
    REFUSED("tab before the version", LINE("GET /\tHTTP/1.1"), TARGET),
    REFUSED("vertical tab before the version", LINE("GET /\x0bHTTP/1.1"), TARGET),
    REFUSED("space after the version", LINE("GET / HTTP/1.1 "), REQUEST_LINE),
    REFUSED("words after the version", LINE("GET / HTTP/1.1 x"), REQUEST_LINE),
    REFUSED("no target", LINE("GET HTTP/1.1"), REQUEST_LINE),
    REFUSED("no target but its spaces", LINE("GET  HTTP/1.1"), REQUEST_LINE),
    REFUSED("no version", LINE("GET /"), REQUEST_LINE),
    REFUSED("no version but its space", LINE("GET / "), REQUEST_LINE),
    REFUSED("method only", LINE("GET"), REQUEST_LINE),
    REFUSED("control in the method", LINE("G\x01T / HTTP/1.1"), METHOD),
    REFUSED("NUL in the method", LINE("GE\0T / HTTP/1.1"), METHOD),
    REFUSED("colon in the method", LINE("GET: / HTTP/1.1"), METHOD),
    REFUSED("parentheses in the method", LINE("G(E)T / HTTP/1.1"), METHOD),
    REFUSED("method of 8-bit bytes", LINE("G\xc3\x89T / HTTP/1.1"), METHOD),
    REFUSED("method of 33 bytes", LINE("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1"), METHOD),
    REFUSED("TLS hello", "\x16\x03\x01\x02", METHOD),
    REFUSED("TRACE", LINE("TRACE / HTTP/1.1"), METHOD_NOT_ALLOWED),
    REFUSED("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", METHOD_NOT_ALLOWED),
    /* The version, RFC 9112 2.3 */
    REFUSED("lower-case http", LINE("GET / http/1.1"), REQUEST_LINE),
    REFUSED("mixed case", LINE("GET / Http/1.1"), REQUEST_LINE),
    REFUSED("other protocol", LINE("GET / ICAP/1.1"), REQUEST_LINE),
    REFUSED("HTTP/1", LINE("GET / HTTP/1"), REQUEST_LINE),
    REFUSED("HTTP/1.", LINE("GET / HTTP/1."), REQUEST_LINE),
    REFUSED("HTTP/11", LINE("GET / HTTP/11"), REQUEST_LINE),
    REFUSED("HTTP/1.10", LINE("GET / HTTP/1.10"), REQUEST_LINE),
    REFUSED("HTTP/01.1", LINE("GET / HTTP/01.1"), REQUEST_LINE),
    REFUSED("HTTP/1,1", LINE("GET / HTTP/1,1"), REQUEST_LINE),
    REFUSED("HTTP 1.1", LINE("GET / HTTP 1.1"), REQUEST_LINE),
    REFUSED("HTTP/-1.1", LINE("GET / HTTP/-1.1"), REQUEST_LINE),
    REFUSED("HTTP/0.9", LINE("GET / HTTP/0.9"), VERSION),
    REFUSED("HTTP/1.2", LINE("GET / HTTP/1.2"), VERSION),
    REFUSED("HTTP/2.0", "PRI * HTTP/2.0\r\n\r\n", VERSION),
    REFUSED("HTTP/3.1", LINE("GET / HTTP/3.1"), VERSION),
    /* Line ends, RFC 9112 2.2 */
    REFUSED("bare LF ends the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", LINE_END),
    REFUSED("bare LF ends a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", LINE_END),
    REFUSED("bare LF is the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", LINE_END),
    REFUSED("LF LF", "GET / HTTP/1.1\r\nHost: a\n\n", LINE_END),
    REFUSED("bare CR in the request line", LINE("GET /\rx HTTP/1.1"), REQUEST_LINE),
    REFUSED("bare CR after the version", LINE("GET / HTTP/1.1\rx"), LINE_END),
    REFUSED("CR CR LF after the version", LINE("GET / HTTP/1.1\r"), LINE_END),
    REFUSED("bare CR in a value", FIELD("X: a\rb"), LINE_END),
    REFUSED("CR CR LF after a value", FIELD("X: a\r"), LINE_END),
    REFUSED("bare CR begins a field", FIELD("\rX: a"), LINE_END),
    REFUSED("bare CR ends a field name", FIELD("X\r: a"), FIELD_NAME),
    REFUSED("smuggled line behind CR", FIELD("X: a\rContent-Length: 5"), LINE_END),
    REFUSED("smuggled line behind LF", FIELD("X: a\nContent-Length: 5"), LINE_END),
    /* The target, RFC 9112 3.2 (the paths have their own tests) */
    TAKEN("path and query", TARGET("/a/b?c=d&e")),
    TAKEN("empty query", TARGET("/?")),
    TAKEN("UTF-8 as it is", TARGET("/caf\xc3\xa9")),
    TAKEN("absolute-form", TARGET("http://a/b?c")),
    TAKEN("absolute-form without a path", TARGET("http://a")),
    TAKEN("absolute-form, query only", TARGET("http://a?b")),
    TAKEN("absolute-form in capitals", TARGET("HTTPS://A/")),
    TAKEN("absolute-form, HTTP/1.0 without Host", "GET http://a/ HTTP/1.0\r\n\r\n"),
    TAKEN("asterisk-form", LINE("OPTIONS * HTTP/1.1")),
    TAKEN("absolute-form for OPTIONS", LINE("OPTIONS http://a HTTP/1.1")),
    REFUSED("asterisk-form for GET", TARGET("*"), TARGET),
    REFUSED("asterisk and more", LINE("OPTIONS */ HTTP/1.1"), TARGET),
    REFUSED("authority-form for GET", TARGET("a:80"), TARGET),
    REFUSED("no slash first", TARGET("a/b"), TARGET),
    REFUSED("fragment", TARGET("/a#b"), TARGET),
    REFUSED("fragment in the query", TARGET("/a?b#c"), TARGET),
    REFUSED("backslash", TARGET("/a\\b"), TARGET_AMBIGUOUS),
    REFUSED("backslash first", TARGET("\\a"), TARGET),
    REFUSED("control in the path", TARGET("/a\x01"), TARGET),
    REFUSED("DEL in the path", TARGET("/a\x7f"), TARGET),
    REFUSED("NUL in the path", TARGET("/a\0b"), TARGET),
    REFUSED("encoded NUL", TARGET("/a%00"), TARGET_AMBIGUOUS),
    REFUSED("encoded CR LF", TARGET("/a%0d%0aX:b"), TARGET_AMBIGUOUS),
    REFUSED("encoded slash", TARGET("/a%2fb"), TARGET_AMBIGUOUS),
    REFUSED("climb above the root", TARGET("/../etc/passwd"), TARGET_AMBIGUOUS),
    REFUSED("overlong slash", TARGET("/..%c0%af"), TARGET_AMBIGUOUS),
    REFUSED("half an encoding", TARGET("/%4"), TARGET_AMBIGUOUS),
    REFUSED("half an encoding in the query", TARGET("/?%4"), TARGET),
    REFUSED("other scheme", TARGET("ftp://a/"), TARGET),
    REFUSED("javascript", TARGET("javascript:alert(1)"), TARGET),
    REFUSED("scheme without slashes", TARGET("http:a"), TARGET),
    REFUSED("absolute-form, other host", TARGET("http://b/"), HOST_MISMATCH),
    REFUSED("absolute-form, other port", TARGET("http://a:80/"), HOST_MISMATCH),
    REFUSED("absolute-form with userinfo", TARGET("http://u:p@a/"), AUTHORITY),
    REFUSED("absolute-form, userinfo that looks like the host", TARGET("http://a@b/"), AUTHORITY),
    REFUSED("absolute-form, empty authority", TARGET("http:///a"), AUTHORITY),
    REFUSED("absolute-form, no Host", "GET http://a/ HTTP/1.1\r\n\r\n", HOST_MISSING),
    /* Host, RFC 9112 3.2 */
    TAKEN("host and port", HOST(" example.nl:8443")),
    TAKEN("host in capitals", HOST(" EXAMPLE.nl")),
    TAKEN("host without white space", HOST("a")),
    TAKEN("host with white space around", HOST(" \t a \t ")),
    TAKEN("IPv4", HOST(" 127.0.0.1:80")),
    TAKEN("IPv6", HOST(" [::1]:80")),
    TAKEN("no Host, HTTP/1.0", "GET / HTTP/1.0\r\n\r\n"),
    REFUSED("no Host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", HOST_MISSING),
    REFUSED("no fields at all", "GET / HTTP/1.1\r\n\r\n", HOST_MISSING),
    REFUSED("empty Host", HOST(""), HOST_MISSING),
    REFUSED("blank Host", HOST("  "), HOST_MISSING),
    REFUSED("Host twice", FIELD("Host: b"), HOST_REPEATED),
    REFUSED("Host twice, equal", FIELD("Host: a"), HOST_REPEATED),
    REFUSED("Host twice, other case", FIELD("hOST: a"), HOST_REPEATED),
    REFUSED("Host twice, HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", HOST_REPEATED),
    REFUSED("Host with two names", HOST(" a, b"), AUTHORITY),
    REFUSED("Host with a space", HOST(" a b"), AUTHORITY),
    REFUSED("Host with userinfo", HOST(" u@a"), AUTHORITY),
    REFUSED("Host with a path", HOST(" a/b"), AUTHORITY),
    REFUSED("Host with a scheme", HOST(" http://a"), AUTHORITY),
    REFUSED("Host with an empty port", HOST(" a:"), AUTHORITY),
    REFUSED("Host with port 0", HOST(" a:0"), AUTHORITY),
    REFUSED("Host with port 65536", HOST(" a:65536"), AUTHORITY),
    REFUSED("Host with a word for a port", HOST(" a:http"), AUTHORITY),
    REFUSED("Host with two ports", HOST(" a:80:80"), AUTHORITY),
    REFUSED("Host with an encoding", HOST(" a%2eb"), AUTHORITY),
    REFUSED("Host of 8-bit bytes", HOST(" caf\xc3\xa9"), AUTHORITY),
    REFUSED("Host is a dot", HOST(" ."), AUTHORITY),
    REFUSED("Host is a port", HOST(" :80"), AUTHORITY),
    REFUSED("Host: IPv6 without brackets", HOST(" ::1"), AUTHORITY),
    REFUSED("Host: open bracket", HOST(" [::1"), AUTHORITY),
    REFUSED("Host with NUL", HOST(" a\0b"), FIELD_VALUE),
    /* Field lines, RFC 9112 5 and RFC 9110 5 */
    TAKEN("no white space", FIELD("X:a")),
    TAKEN("empty value", FIELD("X:")),
    TAKEN("blank value", FIELD("X: \t ")),
    TAKEN("tab in a value", FIELD("X: a\tb")),
    TAKEN("8-bit bytes in a value", FIELD("X: \xe9\xff\x80")),
    TAKEN("all token characters", FIELD("a-z!#$%&'*+.^`|~09: b")),
    TAKEN("colons in a value", FIELD("X: a:b::c")),
    REFUSED("space before the colon", FIELD("X : a"), FIELD_NAME),
    REFUSED("tab before the colon", FIELD("X\t: a"), FIELD_NAME),
    REFUSED("space in the name", FIELD("X Y: a"), FIELD_NAME),
    REFUSED("no colon", FIELD("X"), FIELD_NAME),
    REFUSED("no name", FIELD(": a"), FIELD_NAME),
    REFUSED("control in the name", FIELD("X\x02: a"), FIELD_NAME),
    REFUSED("NUL in the name", FIELD("X\0Y: a"), FIELD_NAME),
    REFUSED("DEL in the name", FIELD("X\x7f: a"), FIELD_NAME),
    REFUSED("8-bit byte in the name", FIELD("X\xe9: a"), FIELD_NAME),
    REFUSED("quote in the name", FIELD("\"X\": a"), FIELD_NAME),
    REFUSED("slash in the name", FIELD("X/Y: a"), FIELD_NAME),
    REFUSED("bracket in the name", FIELD("X[]: a"), FIELD_NAME),
    REFUSED("pseudo-header", FIELD(":path: /"), FIELD_NAME),
    REFUSED("underscore", FIELD("X_Y: a"), FIELD_UNDERSCORE),
    REFUSED("underscore that looks like framing", FIELD("Content_Length: 5"), FIELD_UNDERSCORE),
    REFUSED("NUL in a value", FIELD("X: a\0b"), FIELD_VALUE),
    REFUSED("control in a value", FIELD("X: a\x1f"), FIELD_VALUE),
    REFUSED("control in a long value",
            FIELD("X: 0123456789abcdef0123456789abcdef\x08"
                  "0123456789abcdef"),
            FIELD_VALUE),
    REFUSED("DEL in a value",
            FIELD("X: a\x7f"
                  "b"),
            FIELD_VALUE),
    REFUSED("vertical tab before a value",
            FIELD("X:\x0b"
                  "a"),
            FIELD_VALUE),
    REFUSED("form feed after a value", FIELD("X: a\x0c"), FIELD_VALUE),
    REFUSED("ESC in a value", FIELD("X: \x1b[31m"), FIELD_VALUE),
    REFUSED("obs-fold with a space", FIELD("X: a\r\n b"), FIELD_FOLDED),
    REFUSED("obs-fold with a tab", FIELD("X: a\r\n\tb"), FIELD_FOLDED),
    REFUSED("obs-fold of blanks", FIELD("X: a\r\n "), FIELD_FOLDED),
    REFUSED("white space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", FIELD_FOLDED),
    REFUSED("21 fields", FIELD(TEN("X: a\r\n") TEN("X: a\r\n")), TOO_MANY_FIELDS),
    REFUSED("30 fields", FIELD(TEN("X: a\r\n") TEN("X: a\r\n") TEN("X: a\r\n") "X: a"), TOO_MANY_FIELDS),
    TAKEN("20 fields", FIELD(TEN("X: a\r\n") "X: a\r\nX: a\r\nX: a\r\nX: a\r\nX: "
                                             "a\r\nX: a\r\nX: a\r\nX: a\r\nX: a")),
    /* Content-Length, RFC 9112 6.3 and RFC 9110 8.6 */
    TAKEN("length", POST("Content-Length: 5")),
    TAKEN("length 0", POST("Content-Length: 0")),
    TAKEN("length with leading zeros", POST("Content-Length: 005")),
    TAKEN("length on GET", FIELD("Content-Length: 5")),
    TAKEN("largest length", POST("Content-Length: 9223372036854775807")),
    REFUSED("length twice", POST("Content-Length: 5\r\nContent-Length: 6"), LENGTH),
    REFUSED("length twice, equal", POST("Content-Length: 5\r\nContent-Length: 5"), LENGTH),
    REFUSED("length three times", POST("Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 5"),
            LENGTH),
    REFUSED("length as a list", POST("Content-Length: 5, 5"), LENGTH),
    REFUSED("length with a comma", POST("Content-Length: 5,"), LENGTH),
    REFUSED("length with a plus", POST("Content-Length: +1"), LENGTH),
    REFUSED("length with a minus", POST("Content-Length: -1"), LENGTH),
    REFUSED("length with a space", POST("Content-Length:  1 2"), LENGTH),
    REFUSED("length with a point", POST("Content-Length: 1.0"), LENGTH),
    REFUSED("length in hex", POST("Content-Length: 0x5"), LENGTH),
    REFUSED("length as 1e3", POST("Content-Length: 1e3"), LENGTH),
    REFUSED("length in quotes", POST("Content-Length: \"5\""), LENGTH),
    REFUSED("length with an underscore", POST("Content-Length: 1_0"), LENGTH),
    REFUSED("length of other digits", POST("Content-Length: \xd9\xa5"), LENGTH),
    REFUSED("length empty", POST("Content-Length:"), LENGTH),
    REFUSED("length blank", POST("Content-Length:  "), LENGTH),
    REFUSED("length 2^63", POST("Content-Length: 9223372036854775808"), LENGTH),
    REFUSED("length 2^64", POST("Content-Length: 18446744073709551616"), LENGTH),
    REFUSED("length 2^64 + 5", POST("Content-Length: 18446744073709551621"), LENGTH),
    REFUSED("length of 40 digits",
            POST("Content-Length: "
                 "1000000000000000000000000000000000000000"),
            LENGTH),
    /* Transfer-Encoding, RFC 9112 6.1 */
    TAKEN("chunked", POST("Transfer-Encoding: chunked")),
    TAKEN("chunked in capitals", POST("transfer-ENCODING: Chunked")),
    REFUSED("length, then chunked", POST("Content-Length: 5\r\nTransfer-Encoding: chunked"),
            LENGTH_AND_TRANSFER_ENCODING),
    REFUSED("chunked, then length", POST("Transfer-Encoding: chunked\r\nContent-Length: 5"),
            LENGTH_AND_TRANSFER_ENCODING),
    REFUSED("length 0 and chunked", POST("Content-Length: 0\r\nTransfer-Encoding: chunked"),
            LENGTH_AND_TRANSFER_ENCODING),
    REFUSED("bad length and bad coding", POST("Content-Length: x\r\nTransfer-Encoding: y"),
            LENGTH_AND_TRANSFER_ENCODING),
    REFUSED("chunked twice", POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            TRANSFER_ENCODING),
    REFUSED("chunked twice in a list", POST("Transfer-Encoding: chunked, chunked"), TRANSFER_ENCODING),
    REFUSED("gzip, chunked", POST("Transfer-Encoding: gzip, chunked"), TRANSFER_ENCODING),
    REFUSED("chunked, gzip", POST("Transfer-Encoding: chunked, gzip"), TRANSFER_ENCODING),
    REFUSED("identity", POST("Transfer-Encoding: identity"), TRANSFER_ENCODING),
    REFUSED("identity, then chunked", POST("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
            TRANSFER_ENCODING),
    REFUSED("xchunked", POST("Transfer-Encoding: xchunked"), TRANSFER_ENCODING),
    REFUSED("chunkedx", POST("Transfer-Encoding: chunkedx"), TRANSFER_ENCODING),
    REFUSED("chunked;q=1", POST("Transfer-Encoding: chunked;q=1"), TRANSFER_ENCODING),
    REFUSED("chunked in quotes", POST("Transfer-Encoding: \"chunked\""), TRANSFER_ENCODING),
    REFUSED("chunked with a comma", POST("Transfer-Encoding: chunked,"), TRANSFER_ENCODING),
    REFUSED("comma, chunked", POST("Transfer-Encoding: ,chunked"), TRANSFER_ENCODING),
    REFUSED("vertical tab and chunked",
            POST("Transfer-Encoding: \x0b"
                 "chunked"),
            FIELD_VALUE),
    REFUSED("chunked behind a fold", POST("Transfer-Encoding:\r\n chunked"), FIELD_FOLDED),
    REFUSED("coding empty", POST("Transfer-Encoding:"), TRANSFER_ENCODING),
    REFUSED("coding with a space before the colon", POST("Transfer-Encoding : chunked"), FIELD_NAME),
    REFUSED("chunked in HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: "
            "a\r\nTransfer-Encoding: chunked\r\n\r\n",
            TRANSFER_ENCODING),
    /* Connection and Expect, RFC 9110 7.6.1 and 10.1.1 */
    TAKEN("close", FIELD("Connection: close")),
    TAKEN("options in a list", FIELD("Connection: TE, keep-alive,, x-own")),
    REFUSED("Connection names Content-Length", FIELD("Connection: content-length"), CONNECTION),
    REFUSED("Connection names Transfer-Encoding", FIELD("Connection: close, Transfer-Encoding"), CONNECTION),
    REFUSED("Connection names Host", FIELD("Connection: HOST"), CONNECTION),
    REFUSED("Connection names a cookie", FIELD("Connection: Cookie"), CONNECTION),
    REFUSED("Connection names X-Forwarded-For", FIELD("Connection: close, X-Forwarded-For"), CONNECTION),
    REFUSED("Connection names our own field", FIELD("Connection: x-polder-subject"), CONNECTION),
    REFUSED("Connection with a space", FIELD("Connection: keep alive"), CONNECTION),
    REFUSED("Connection with a quote", FIELD("Connection: \"close\""), CONNECTION),
    TAKEN("Expect", POST("Expect: 100-Continue\r\nContent-Length: 1")),
    REFUSED("Expect something else", POST("Expect: 200-ok\r\nContent-Length: 1"), EXPECTATION),
    REFUSED("Expect a list", POST("Expect: 100-continue, x\r\nContent-Length: 1"), EXPECTATION),
    REFUSED("Expect empty", POST("Expect:\r\nContent-Length: 1"), EXPECTATION),
    /* Upgrade, RFC 9110 7.8 and RFC 6455 4.1 */
    TAKEN("websocket", UPGRADE("")),
    TAKEN("h2c is not offered",
          FIELD("Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA")),
    TAKEN("websocket in HTTP/1.0", "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    REFUSED("websocket without Connection", FIELD("Upgrade: websocket"), TUNNEL),
    REFUSED("websocket by POST", POST("Connection: upgrade\r\nUpgrade: websocket"), TUNNEL),
    REFUSED("websocket with a body", UPGRADE("\r\nContent-Length: 1"), TUNNEL),
    REFUSED("websocket with chunks", UPGRADE("\r\nTransfer-Encoding: chunked"), TUNNEL),
};

static struct parsed parse(struct str bytes, const struct h1_limits *limits)
{
    struct parsed p = parsed_over(bytes);
    size_t scanned = 0;
    p.n = h1_parse_request((struct str){p.bytes, bytes.n}, &scanned, limits, p.arena, &p.request, &p.refusal);
    return p;
}

static void each_row_at_once(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct parsed p = parse((struct str){rows[i].bytes, rows[i].n}, &usual_limits);
        expect_refusal(rows[i].name, &p, rows[i].expected);
        if (p.n > 0)
            assert_int_equal(p.n, rows[i].n);
        parsed_done(&p);
    }
}

/* A byte at a time: the same verdict, and never one before its time. */
static void each_row_byte_by_byte(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct parsed p = parsed_over((struct str){rows[i].bytes, rows[i].n});
        size_t scanned = 0;
        for (size_t n = 0; n <= rows[i].n && p.n == 0; n++)
            p.n = h1_parse_request((struct str){p.bytes, n}, &scanned, &usual_limits, p.arena, &p.request,
                                   &p.refusal);
        expect_refusal(rows[i].name, &p, rows[i].expected);
        if (p.n > 0)
            assert_int_equal(p.n, rows[i].n);
        parsed_done(&p);
    }
}

/* Fed in two parts, cut anywhere: the same request. */
static void each_split_of_each_good_row(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t cut = 0; rows[i].expected == REFUSAL_NONE && cut < rows[i].n; cut++) {
            struct parsed whole = parse((struct str){rows[i].bytes, rows[i].n}, &usual_limits);
            struct parsed p = parsed_over((struct str){rows[i].bytes, rows[i].n});
            size_t scanned = 0;
            assert_int_equal(h1_parse_request((struct str){p.bytes, cut}, &scanned, &usual_limits, p.arena,
                                              &p.request, &p.refusal),
                             0);
            assert_int_equal(arena_used(p.arena), 0);
            p.n = h1_parse_request((struct str){p.bytes, rows[i].n}, &scanned, &usual_limits, p.arena,
                                   &p.request, &p.refusal);
            assert_int_equal(p.n, whole.n);
            assert_true(str_eq(p.request.path, whole.request.path));
            assert_int_equal(p.request.body, whole.request.body);
            expect_same_fields(p.request.fields, p.request.field_count, whole.request.fields,
                               whole.request.field_count);
            parsed_done(&p);
            parsed_done(&whole);
        }
    }
}

static void what_follows_the_head_is_left_alone(void **state)
{
    struct parsed p =
        parse(STR("POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nX\n\0GET"), &usual_limits);
    assert_int_equal(p.n, 50);
    assert_int_equal(p.request.body, BODY_LENGTH);
    assert_int_equal(p.request.content_length, 3);
    parsed_done(&p);
}

static void the_request_is_filled(void **state)
{
    struct parsed p =
        parse(STR("PUT /%7ea/./b?q=%2f&r HTTP/1.1\r\nHOST:\tExample.NL:8443 \r\nte: gzip, Trailers\r\n"
                  "Transfer-Encoding: CHUNKED\r\nExpect: 100-continue\r\nX-Empty: \r\n\r\n"),
              &usual_limits);
    const struct http_request *r = &p.request;
    assert_true(p.n > 0);
    assert_int_equal(r->version, HTTP_1_1);
    assert_int_equal(r->method, METHOD_PUT);
    expect_text("filled", "method", r->method_text, STR("PUT"));
    expect_text("filled", "path", r->path, STR("/~a/b"));
    expect_text("filled", "query", r->query, STR("q=%2f&r"));
    expect_text("filled", "authority", r->authority, STR("example.nl:8443"));
    expect_text("filled", "host", r->host, STR("example.nl"));
    expect_text("filled", "first value", r->fields[0].value, STR("Example.NL:8443"));
    expect_text("filled", "empty value", r->fields[4].value, STR(""));
    assert_true(r->has_query && r->keep_alive && r->expects_continue && r->te_trailers && !r->has_upgrade);
    assert_int_equal(r->body, BODY_CHUNKED);
    assert_int_equal(r->field_count, 5);
    assert_int_equal(r->fields[2].id, FIELD_TRANSFER_ENCODING);
    parsed_done(&p);
}

static void how_long_the_connection_lives(void **state)
{
    static const struct {
        const char *version, *fields;
        bool keep_alive;
    } cases[] = {
        {"1.1", "", true},
        {"1.1", "Connection: close\r\n", false},
        {"1.1", "Connection: Keep-Alive, CLOSE\r\n", false},
        {"1.1", "Connection: keep-alive\r\nConnection: close\r\n", false},
        {"1.1", "Connection: closed\r\n", true},
        {"1.0", "", false},
        {"1.0", "Connection: keep-alive\r\n", true},
        {"1.0", "Connection: x, Keep-Alive\r\n", true},
        {"1.0", "Connection: keep-alive, close\r\n", false},
        {"1.0", "Proxy-Connection: keep-alive\r\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char bytes[256];
        struct buf b = buf_over(bytes, sizeof bytes);
        buf_printf(&b, "GET / HTTP/%s\r\nHost: a\r\n%s\r\n", cases[i].version, cases[i].fields);
        struct parsed p = parse(buf_text(&b), &usual_limits);
        expect_refusal(cases[i].fields, &p, REFUSAL_NONE);
        assert_int_equal(p.request.keep_alive, cases[i].keep_alive);
        parsed_done(&p);
    }
}

static void upgrade_and_continue_only_where_they_mean_something(void **state)
{
    struct parsed p = parse(STR(UPGRADE("")), &usual_limits);
    assert_true(p.request.has_upgrade);
    parsed_done(&p);
    p = parse(STR("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), &usual_limits);
    assert_false(p.request.has_upgrade);
    assert_int_equal(p.request.authority.n, 0);
    parsed_done(&p);
    p = parse(STR(FIELD("Expect: 100-continue")), &usual_limits);
    assert_false(p.request.expects_continue);
    parsed_done(&p);
    p = parse(STR("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"), &usual_limits);
    assert_false(p.request.expects_continue);
    parsed_done(&p);
}

static void options_without_a_path_is_asterisk(void **state)
{
    struct parsed p = parse(STR(LINE("OPTIONS http://a HTTP/1.1")), &usual_limits);
    expect_text("OPTIONS", "path", p.request.path, STR("*"));
    parsed_done(&p);
    p = parse(STR(TARGET("http://a?b")), &usual_limits);
    expect_text("GET", "path", p.request.path, STR("/"));
    expect_text("GET", "query", p.request.query, STR("b"));
    parsed_done(&p);
}

/* `n` bytes: the text and a run of 'a'. */
static struct str text_of(char *memory, const char *begin, size_t n)
{
    struct buf b = buf_over(memory, n);
    buf_str(&b, str_of(begin));
    while (b.n < n)
        buf_char(&b, 'a');
    return buf_text(&b);
}

static void limits_are_told_at_once(void **state)
{
    char bytes[8192];
    struct parsed p = parse(text_of(bytes, "GET /", 4095), &usual_limits);
    assert_int_equal(p.n, 0);
    parsed_done(&p);
    p = parse(text_of(bytes, "GET /", 4096), &usual_limits);
    expect_refusal("endless target", &p, REFUSAL_TARGET_TOO_LONG);
    parsed_done(&p);
    p = parse(text_of(bytes, "GET / HTTP/1.1\r\nX: ", 4096), &usual_limits);
    expect_refusal("endless field", &p, REFUSAL_HEAD_TOO_LARGE);
    parsed_done(&p);
    struct str big = text_of(bytes, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 4093);
    memcpy(bytes + big.n, "\r\n\r\n", 4);
    p = parse((struct str){bytes, 4097}, &usual_limits);
    expect_refusal("a byte too large", &p, REFUSAL_HEAD_TOO_LARGE);
    parsed_done(&p);
    memcpy(bytes + 4092, "\r\n\r\n", 4);
    p = parse((struct str){bytes, 4096}, &usual_limits);
    expect_refusal("just fits", &p, REFUSAL_NONE);
    parsed_done(&p);
    text_of(bytes, "GET /", 1029);
    memcpy(bytes + 1029, " HTTP/1.1\r\nHost: a\r\n\r\n", 22);
    p = parse((struct str){bytes, 1051}, &usual_limits);
    expect_refusal("target a byte too long", &p, REFUSAL_TARGET_TOO_LONG);
    parsed_done(&p);
}

static void underscores_are_kept_by_choice(void **state)
{
    struct h1_limits limits = usual_limits;
    limits.keep_underscores = true;
    struct parsed p = parse(STR(FIELD("X_Y: a")), &limits);
    expect_refusal("kept", &p, REFUSAL_NONE);
    assert_int_equal(p.request.fields[1].id, FIELD_OTHER);
    parsed_done(&p);
}

static void an_arena_that_is_too_small_is_no_request(void **state)
{
    struct http_request request;
    enum http_refusal refusal = REFUSAL_NONE;
    struct arena *arena = arena_new(16);
    size_t scanned = 0;
    assert_int_equal(h1_parse_request(STR(FIELD("X: a")), &scanned, &usual_limits, arena, &request, &refusal),
                     -1);
    assert_int_equal(refusal, REFUSAL_HEAD_TOO_LARGE);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_at_once),
        cmocka_unit_test(each_row_byte_by_byte),
        cmocka_unit_test(each_split_of_each_good_row),
        cmocka_unit_test(what_follows_the_head_is_left_alone),
        cmocka_unit_test(the_request_is_filled),
        cmocka_unit_test(how_long_the_connection_lives),
        cmocka_unit_test(upgrade_and_continue_only_where_they_mean_something),
        cmocka_unit_test(options_without_a_path_is_asterisk),
        cmocka_unit_test(limits_are_told_at_once),
        cmocka_unit_test(underscores_are_kept_by_choice),
        cmocka_unit_test(an_arena_that_is_too_small_is_no_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
