#include "fake.h"

/* One mistake in an otherwise good configuration: %LISTENER%, %UPSTREAM%, %ROUTE%, %CLUSTER%, %TOP% are empty
 * or what the case puts there. */
struct mistake {
    const char *top, *listener, *upstream, *cluster, *route;
    unsigned line;
    const char *text, *hint; /* of the first problem; parts are enough */
    bool is_warning;
};

static struct str fill(struct arena *arena, const struct mistake *m)
{
#define PART(field) (m->field ? m->field : "")
    return arena_printf(arena,
                        "listeners:\n"
                        "  - name: web\n"
                        "    address: 127.0.0.1:8080\n"
                        "    %s\n" /* line 4 */
                        "upstreams:\n"
                        "  - name: app\n"
                        "    endpoints: ['127.0.0.1:8101']\n"
                        "    %s\n" /* line 8 */
                        "clusters:\n"
                        "  - name: noord\n"
                        "    hosts: [noord.example]\n"
                        "    %s\n" /* line 12 */
                        "    routes:\n"
                        "      - path: /\n"
                        "        upstream: app\n"
                        "        %s\n" /* line 16 */
                        "%s\n",        /* line 17 */
                        PART(listener), PART(upstream), PART(cluster), PART(route), PART(top));
}

static const struct mistake mistakes[] = {
    /* keys */
    {.top = "listners: []",
     .line = 17,
     .text = "unknown key 'listners' in the configuration",
     .hint = "did you mean 'listeners'?"},
    {.top = "gate: {wrokers: 2}", .line = 17, .text = "unknown key 'wrokers' in gate", .hint = "'workers'"},
    {.top = "gate: {zzzzzzzzz: 2}",
     .line = 17,
     .text = "unknown key 'zzzzzzzzz'",
     .hint = "the keys here are workers, user"},
    {.listener = "hsts: 1y",
     .line = 4,
     .text = "unknown key 'hsts' in a listener",
     .hint = "it belongs in `tls`"},
    {.route = "upstream: app", .line = 16, .text = "'upstream' is given twice; the first stands in line 15"},
    {.upstream = "check: {path: /}", .line = 8, .text = "check needs 'type'", .hint = "add `type: http`"},
    {.listener = "tls:", .line = 4, .text = "tls needs 'certificates'"},
    /* types */
    {.top = "gate: []", .line = 17, .text = "gate is a section of keys, not a list"},
    {.top = "gate: 5", .line = 17, .text = "gate is a section of keys, not '5'"},
    {.top = "certificates: {a: b}", .line = 17, .text = "'certificates' is a list, not a section"},
    {.top = "gate: {workers: [1]}", .line = 17, .text = "'workers' must be a number, or auto, not a list"},
    {.top = "gate: {workers: }", .line = 17, .text = "'workers' has no value"},
    {.top = "gate: {workers: ~}", .line = 17, .text = "'workers' has no value"},
    {.top = "limits: {idle_timeout: 75}", .line = 17, .text = "'idle_timeout' needs a unit"},
    {.top = "limits: {body_bytes: 1.5m}",
     .line = 17,
     .text = "'body_bytes' must be a size",
     .hint = "body_bytes: 64m"},
    {.top = "limits: {underscores: drop}",
     .line = 17,
     .text = "'underscores' must be refuse or keep, not 'drop'"},
    {.route = "websocket: 2", .line = 16, .text = "'websocket' must be true or false, not '2'"},
    {.top = "gate: {run_directory: run}", .line = 17, .text = "'run_directory' must be an absolute path"},
    {.upstream = "balance: fastest", .line = 8, .text = "'balance' must be round_robin, least_requests or"},
    {.upstream = "balance: {hash: header}", .line = 8, .text = "'hash' must be source, path, header:NAME"},
    {.upstream = "balance: {hash: source:x}", .line = 8, .text = "'hash' must be source, path, header:NAME"},
    {.upstream = "check: {type: http, status: 399-200}",
     .line = 8,
     .text = "'status' must be a status or a range"},
    {.cluster = "contact: [a]", .line = 12, .text = "'contact' must be text, not a list"},
    /* bounds */
    {.top = "gate: {workers: 63}", .line = 17, .text = "'workers' must be from 1 to 62, not '63'"},
    {.top = "limits: {header_bytes: 64k}",
     .line = 17,
     .text = "'header_bytes' must be from 1k to 63k, not '64k'"},
    {.top = "gate: {drain_timeout: 8d}", .line = 17, .text = "must be from 0 to 7d, not '8d'"},
    {.upstream = "retries: {budget: 101%}", .line = 8, .text = "'budget' must be from 0% to 100%"},
    {.listener = "redirect_to_https: 0", .line = 4, .text = "must be from 1 to 65535"},
    {.top = "gate: {user: abcdefghijklmnopqrstuvwxyz}",
     .line = 17,
     .text = "'user' has 26 characters: at most 24"},
    /* names and references */
    {.listener = "tls: {certificates: [nord]}\ncertificates: [{name: noord, chain: a.pem, key: a.key}]",
     .line = 4,
     .text = "there is no certificate called 'nord'",
     .hint = "did you mean 'noord'?"},
    {.route = "# x\n      - {path: /a, upstream: ap}",
     .line = 17,
     .text = "there is no upstream called 'ap'",
     .hint = "'app'"},
    {.top = "certificates: [{name: a b, chain: a.pem, key: a.key}]",
     .line = 17,
     .text = "'name' must not be 'a b'"},
    {.listener = "# x\n  - {name: web, address: 127.0.0.1:81}",
     .line = 5,
     .text = "the name 'web' is already taken in line 2"},
    {.listener = "# x\n  - {name: b, address: 127.0.0.1:8080}",
     .line = 5,
     .text = "the address '127.0.0.1:8080' is already taken in line 3"},
    {.top = "gate: {management: 127.0.0.1:8080}",
     .line = 17,
     .text = "the address '127.0.0.1:8080' is already taken in line 3"},
    {.route = "# x\n  - {name: z, hosts: NOORD.example, routes: [{path: /, upstream: app}]}",
     .line = 17,
     .text = "the host 'noord.example' is already taken in line 11"},
    {.route = "# x\n      - {path: /, upstream: app}",
     .line = 17,
     .text = "the path '/' is already taken in line 14"},
    {.upstream = "# x\n  - {name: b, endpoints: ['a:1', 'a:1']}",
     .line = 9,
     .text = "the endpoint 'a:1' is already taken in line 9"},
    /* files */
    {.top = "certificates: [{name: a, chain: gone, key: a.key}]",
     .line = 17,
     .text = "'chain' cannot be read from 'gone': no such file"},
    {.top = "certificates: [{name: a, chain: both.pem, key: a.key}]",
     .line = 17,
     .text = "holds a private key, which no worker may see"},
    {.top = "certificates: [{name: a, chain: x.html, key: a.key}]",
     .line = 17,
     .text = "does not hold a PEM certificate"},
    {.cluster = "error_pages: {503: gone}", .line = 12, .text = "'error_pages' cannot be read from 'gone'"},
    {.cluster = "error_pages: {200: a.html}", .line = 12, .text = "a status from 400 to 599, not '200'"},
    /* contradictions */
    {.route = "client_certificates: required",
     .line = 16,
     .text = "no listener asks for client certificates"},
    {.listener = "tls: {certificates: a, client_certificates: required}\ncertificates: [{name: a, chain: "
                 "a.pem, key: a.key}]",
     .line = 4,
     .text = "cannot be verified without 'client_ca'"},
    {.listener =
         "tls: {certificates: a, client_crl: crl.pem}\ncertificates: [{name: a, chain: a.pem, key: a.key}]",
     .line = 4,
     .text = "'client_crl' needs 'client_ca'"},
    {.listener = "redirect_to_https: 443\n    tls: {certificates: a}\ncertificates: [{name: a, chain: a.pem, "
                 "key: a.key}]",
     .line = 4,
     .text = "a listener with tls serves"},
    {.listener =
         "http2: true\n    tls: {certificates: a}\ncertificates: [{name: a, chain: a.pem, key: a.key}]",
     .line = 4,
     .text = "'http2' beside 'tls' is for clear text only"},
    {.listener = "tls: {certificates: a, versions: 1.2}\ncertificates: [{name: a, chain: a.pem, key: a.key}]",
     .line = 4,
     .text = "TLS 1.3 cannot be left out"},
    {.listener = "limits: {header_bytes: 4k}",
     .line = 4,
     .text = "target_bytes (8192) cannot be more than header_bytes (4096)"},
    {.upstream = "tls: {}", .line = 8, .text = "tls to an upstream needs 'ca'"},
    {.upstream = "check: {type: http, timeout: 10s}",
     .line = 8,
     .text = "cannot be longer than its interval"},
    {.route = "request_headers: {set: {Content-Length: 1}}",
     .line = 16,
     .text = "the header field 'content-length' cannot be edited"},
    {.route = "request_headers: {remove: x-polder-subject}",
     .line = 16,
     .text = "'x-polder-subject' cannot be edited"},
    {.route = "request_headers: {set: {host: a}}",
     .line = 16,
     .text = "'host' cannot be edited",
     .hint = "host_header"},
    {.route = "response_headers: {set: {a: b}, remove: A}",
     .line = 16,
     .text = "the header field 'a' is already taken"},
    {.route = "response_headers: {set: {'a b': b}}",
     .line = 16,
     .text = "'a b' is not the name of a header field"},
    {.route = "response_headers: {zet: {a: b}}", .line = 16, .text = "unknown key 'zet' in response_headers"},
    {.route = "rewrite: /a/../b", .line = 16, .text = "'rewrite' cannot be '/a/../b'"},
    {.route = "rewrite: '/%61'", .line = 16, .text = "'rewrite' cannot be '/%61'"},
    /* YAML */
    {.top = "a: [", .line = 18, .text = "this is not valid YAML"},
    {.top = "\ta: b", .line = 17, .text = "this is not valid YAML"},
    {.top = "gate: &a {}", .line = 17, .text = "anchors, aliases and tags are not allowed"},
    {.top = "gate: *a", .line = 17, .text = "anchors, aliases and tags are not allowed"},
    {.top = "gate: !!map {}", .line = 17, .text = "anchors, aliases and tags are not allowed"},
    {.top = "<<: {}", .line = 17, .text = "YAML merge keys are not allowed"},
    {.top = "---\na: b", .line = 17, .text = "one YAML document"},
    {.top = "%YAML 1.2", .line = 17, .text = "YAML directives are not used"},
    {.top = "? [a]\n: b", .line = 17, .text = "a key is expected here"},
    {.top = "gate: {user: \"a\\0b\"}", .line = 17, .text = "may not hold line breaks or control characters"},
    {.top = "gate: {user: \x01}", .line = 17, .text = "a control character (byte 0x01)"},
    {.top = "gate: {user: \xc3\x28}", .line = 17, .text = "this is not UTF-8 text (byte 0xc3)"},
    /* warnings */
    {.listener = "proxy_protocol:",
     .line = 4,
     .text = "anyone who can connect here may claim",
     .hint = "from:",
     .is_warning = true},
    {.listener = "redirect_to_https: 443",
     .line = 4,
     .text = "no listener with tls has port 443",
     .is_warning = true},
    {.top = "gate: {management: 0.0.0.0:9464}", .line = 17, .text = "shown to anyone", .is_warning = true},
    {.upstream = "tls: {verify: false}", .line = 8, .text = "can pretend to be it", .is_warning = true},
    {.upstream = "# x\n  - {name: spare, endpoints: ['a:1']}",
     .line = 9,
     .text = "the upstream is not used by any route",
     .is_warning = true},
    {.top = "certificates: [{name: a, chain: a.pem, key: a.key}]",
     .line = 17,
     .text = "the certificate is not used",
     .is_warning = true},
    {.upstream = "check: {type: tcp, path: /}",
     .line = 8,
     .text = "'path' has no effect",
     .is_warning = true},
};

static bool matches(const struct config_problem *p, const struct mistake *m)
{
    return p->line == m->line && p->is_warning == m->is_warning && str_find(p->text, str_of(m->text)) >= 0 &&
           (!m->hint || str_find(p->hint, str_of(m->hint)) >= 0);
}

static void each_mistake_is_told_with_its_place(void **state)
{
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct arena *arena = arena_new(1 << 16);
        struct parsed p = parse_str(fill(arena, &mistakes[i]));
        bool found = false;
        for (unsigned j = 0; j < p.count; j++)
            found = found || matches(&p.problems[j], &mistakes[i]);
        if (!found)
            fail_msg("not told: line %u: %s (but: %u: %.*s; %.*s)", mistakes[i].line, mistakes[i].text,
                     p.count ? p.problems[0].line : 0, STR_ARG(p.count ? p.problems[0].text : STR_NONE),
                     STR_ARG(p.count ? p.problems[0].hint : STR_NONE));
        assert_int_equal(p.config != NULL, mistakes[i].is_warning);
        parsed_free(&p);
        arena_free(arena);
    }
}

static void the_frame_itself_is_good(void **state)
{
    struct arena *arena = arena_new(1 << 16);
    struct parsed p = parse_str(fill(arena, &(struct mistake){0}));
    assert_non_null(p.config);
    assert_int_equal(p.count, 0);
    parsed_free(&p);
    arena_free(arena);
}

static void assert_printed(const char *yaml, const char *expected)
{
    char text[4096];
    struct buf b = buf_over(text, sizeof text);
    struct parsed p = parse(yaml);
    config_problems_print(&b, STR("polder.yaml"), str_of(yaml), p.problems, p.count, false);
    assert_str(buf_text(&b), expected);
    parsed_free(&p);
}

static void all_mistakes_in_one_run_as_printed(void **state)
{
    assert_printed(
        "gate: { workers: 99, acess_log: off }\n"
        "listeners:\n"
        "  - { name: web, address: 127.0.0.1 }\n"
        "upstreams:\n"
        "  - { name: app, endpoints: ['127.0.0.1:8101'], keepalive_timeout: 50 }\n"
        "clusters:\n"
        "  - { name: \"\xc3\xa9\xc3\xa9n\", hosts: [a], routes: [{ path: /, upstream: apq }] }\n",
        "polder.yaml:1:18: error: 'workers' must be from 1 to 62, not '99'\n"
        "    1 | gate: { workers: 99, acess_log: off }\n"
        "      |                  ^\n"
        "polder.yaml:1:22: error: unknown key 'acess_log' in gate\n"
        "    1 | gate: { workers: 99, acess_log: off }\n"
        "      |                      ^\n"
        "help: did you mean 'access_log'?\n"
        "polder.yaml:3:27: error: 'address' must be an IP address and port, like 127.0.0.1:8080 or "
        "\"[::]:8443\", not '127.0.0.1'\n"
        "    3 |   - { name: web, address: 127.0.0.1 }\n"
        "      |                           ^\n"
        "help: for example `address: \"[::]:8443\"`\n"
        "polder.yaml:5:68: error: 'keepalive_timeout' needs a unit: ms, s, m, h, d or y\n"
        "    5 |   - { name: app, endpoints: ['127.0.0.1:8101'], keepalive_timeout: 50 }\n"
        "      |                                                                    ^\n"
        "help: for example 50s\n"
        "polder.yaml:7:14: error: 'name' must not be '\xc3\xa9\xc3\xa9n'\n"
        "    7 |   - { name: \"\xc3\xa9\xc3\xa9n\", hosts: [a], routes: [{ path: /, upstream: apq }] }\n"
        "      |              ^\n"
        "help: use letters, digits, - and _\n"
        "polder.yaml:7:62: error: there is no upstream called 'apq'\n"
        "    7 |   - { name: \"\xc3\xa9\xc3\xa9n\", hosts: [a], routes: [{ path: /, upstream: apq }] }\n"
        "      |                                                              ^\n"
        "help: did you mean 'app'?\n");
}

static void syntax_errors_as_printed(void **state)
{
    assert_printed(
        "gate: {}\nlisteners: \"open\n",
        "polder.yaml:2:13: error: this is not valid YAML: double-quoted scalar without closing quote\n"
        "    2 | listeners: \"open\n"
        "      |             ^\n"
        "help: check indentation, quotes and brackets here and just above\n");
    assert_printed("", "polder.yaml: error: the configuration is empty\n"
                       "help: it needs at least listeners, clusters and upstreams\n");
    assert_printed("- a\n", "polder.yaml:1:1: error: a configuration is a section of keys\n"
                            "    1 | - a\n"
                            "      | ^\n"
                            "help: it begins with a key, like `listeners:`\n");
}

/* A million of something: refused, at once, with one message or a bounded number of them. */
static void nonsense_is_refused(void **state)
{
    static const char *const bits[] = {"[",   "{",  "- ",  "a: ", "[\n",  "{}\n", "- a\n", "a: b\n",
                                       "%",   "\"", "&a ", "\n",  "#",    "? ",   "---\n", "'",
                                       "|\n", ",",  ":",   "[]",  "a: {", "\t",   "*a\n",  "!x "};
    enum { BYTES = 1 << 20 };
    char *text = malloc(BYTES);
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        size_t n = strlen(bits[i]);
        for (size_t at = 0; at < BYTES; at++)
            text[at] = bits[i][at % n];
        struct parsed p = parse_str((struct str){text, BYTES});
        assert_null(p.config);
        assert_true(error_count(&p) > 0 && p.count <= 101);
        parsed_free(&p);
    }
    free(text);
}

static void too_large_is_refused(void **state)
{
    size_t n = (4 << 20) + 1;
    char *text = malloc(n);
    memset(text, '\n', n);
    struct parsed p = parse_str((struct str){text, n});
    assert_null(p.config);
    assert_true(str_find(p.problems[0].text, STR("larger than 4 MiB")) >= 0);
    parsed_free(&p);
    free(text);
}

static void only_so_many_problems_are_listed(void **state)
{
    struct arena *arena = arena_new(1 << 20);
    struct str yaml = STR("listeners:\n");
    for (unsigned i = 0; i < 60; i++)
        yaml = arena_printf(arena, "%.*s  - {nam: a, addres: b}\n", STR_ARG(yaml));
    struct parsed p = parse_str(yaml);
    assert_null(p.config);
    assert_int_equal(p.count, 101);
    assert_true(str_find(p.problems[100].text, STR("more problems are not shown")) > 0);
    parsed_free(&p);
    arena_free(arena);
}

static void a_small_problems_arena_still_refuses(void **state)
{
    struct config_problem *problems;
    unsigned count;
    struct arena *arena = arena_new(16);
    assert_null(config_parse(STR("x"), STR("a: b"), &fake_files, arena, &problems, &count));
    assert_int_equal(count, 0);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_frame_itself_is_good),
        cmocka_unit_test(each_mistake_is_told_with_its_place),
        cmocka_unit_test(all_mistakes_in_one_run_as_printed),
        cmocka_unit_test(syntax_errors_as_printed),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(too_large_is_refused),
        cmocka_unit_test(only_so_many_problems_are_listed),
        cmocka_unit_test(a_small_problems_arena_still_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
