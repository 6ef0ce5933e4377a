#include "fake.h"

#include <arpa/inet.h>

#define MINIMAL                                                                                              \
    "listeners: [{name: http, address: 127.0.0.1:8080}]\n"                                                   \
    "upstreams: [{name: app, endpoints: ['127.0.0.1:8101']}]\n"                                              \
    "clusters: [{name: noord, hosts: noord.example, routes: [{path: /, upstream: app}]}]\n"

static void defaults_are_filled_in(void **state)
{
    struct parsed p = parse(MINIMAL);
    assert_non_null(p.config);
    assert_int_equal(p.count, 0);
    const struct config_gate *g = &p.config->gate;
    assert_in_range(g->workers, 1, 64);
    assert_str(g->user, "polder");
    assert_str(g->run_directory, "/run/polder");
    assert_str(g->event_log, "-");
    assert_int_equal(g->management.port, 0);
    assert_int_equal(g->ticket_rotation_ms, 8 * 3'600'000);
    assert_int_equal(g->signatures_per_second, 5'000);
    const struct config_limits *l = &p.config->listeners[0].limits;
    assert_int_equal(l->header_count, 100);
    assert_int_equal(l->header_bytes, 32 << 10);
    assert_int_equal(l->target_bytes, 8 << 10);
    assert_int_equal(l->body_bytes, 64 << 20);
    assert_int_equal(l->idle_timeout_ms, 75'000);
    assert_int_equal(l->min_body_rate_bps, 240);
    assert_int_equal(l->underscores, UNDERSCORE_REFUSE);
    const struct config_upstream *u = &p.config->upstreams[0];
    assert_int_equal(u->keepalive, 256);
    assert_int_equal(u->max_retries, 2);
    assert_int_equal(u->retry_budget_percent, 20);
    assert_int_equal(u->check, CHECK_OFF);
    assert_int_equal(u->check_status_high, 399);
    assert_int_equal(u->outlier_max_percent, 50);
    assert_true(u->tls_verify);
    assert_int_equal(u->endpoints[0].weight, 1);
    assert_false(u->endpoints[0].is_name);
    assert_false(p.config->listeners[0].http2);
    assert_true(p.config->clusters[0].routes[0].websocket);
    assert_int_equal(p.config->endpoint_count, 1);
    parsed_free(&p);
}

static const char full[] =
    "gate: { workers: 3, management: 127.0.0.1:9464, access_log: off }\n"
    "limits: { header_bytes: 16k, body_bytes: 1g }\n"
    "certificates:\n"
    "  - { name: noord, chain: noord.pem, key: noord.key, ocsp: noord.ocsp }\n"
    "  - { name: zuid, chain: zuid.pem, key: zuid.key }\n"
    "listeners:\n"
    "  - name: https\n"
    "    address: \"[::]:8443\"\n"
    "    tls: { certificates: [noord, zuid], versions: [1.2, 1.3], client_certificates: optional,\n"
    "           client_ca: ca.pem, client_crl: crl.pem, hsts: 1y, session_tickets: false }\n"
    "    proxy_protocol: { from: [10.0.0.0/8, 2001:db8::/32] }\n"
    "    limits: { header_count: 50 }\n"
    "  - { name: http, address: 0.0.0.0:8080, redirect_to_https: 8443 }\n"
    "clusters:\n"
    "  - name: noord\n"
    "    hosts: [Noord.Example, \"*.noord.example\"]\n"
    "    contact: 058-1234567\n"
    "    error_pages: { 503: 503.html }\n"
    "    routes:\n"
    "      - { path: /, upstream: app }\n"
    "      - { path: /fhir/, upstream: records, rewrite: /, client_certificates: required, body_limit: 10m,\n"
    "          response_timeout: 90s, websocket: false,\n"
    "          request_headers: { set: { X-A: b }, add: { x-c: '  d ' }, remove: [X-E] },\n"
    "          response_headers: { remove: server } }\n"
    "      - { path: /fhir/, exact: true, upstream: app }\n"
    "  - { name: rest, hosts: \"*\", routes: [{ path: /, upstream: app }] }\n"
    "upstreams:\n"
    "  - name: records\n"
    "    endpoints: [ \"127.0.0.1:8101\", { address: \"app2.noord.example:8102\", weight: 2, drain: true } "
    "]\n"
    "    balance: { hash: cookie:session }\n"
    "    tls: { ca: ca.pem, server_name: records.example, certificate: zuid }\n"
    "    check: { type: http, path: /health?deep=1, status: 204, interval: 1m, timeout: 500ms }\n"
    "    outlier: { failures: 0 }\n"
    "    retries: { max: 0, budget: 5 }\n"
    "    proxy_protocol: v2\n"
    "  - { name: app, endpoints: ['[::1]:80'], balance: least_requests, sticky_cookie: node }\n";

static void full_gate_and_listeners(void **state)
{
    struct parsed p = parse(full);
    assert_int_equal(p.count, 0);
    assert_non_null(p.config);
    assert_int_equal(p.config->gate.workers, 3);
    assert_str(p.config->gate.access_log, "off");
    assert_int_equal(p.config->gate.management.port, 9464);
    const struct config_listener *l = p.config->listeners;
    assert_true(l[0].has_tls && l[0].tls12 && l[0].http2 && !l[0].session_tickets && l[0].proxy_protocol);
    assert_int_equal(l[0].certificate_count, 2);
    assert_ptr_equal(l[0].certificates[1], &p.config->certificates[1]);
    assert_int_equal(l[0].client_certificate, CLIENT_CERT_OPTIONAL);
    assert_true(l[0].client_ca_pem.n && l[0].client_crl_pem.n);
    assert_int_equal(l[0].hsts_max_age_s, 31'536'000);
    assert_int_equal(l[0].proxy_protocol_from_count, 2);
    assert_int_equal(l[0].proxy_protocol_from[0].bits, 104);
    assert_int_equal(l[0].limits.header_count, 50);
    assert_int_equal(l[0].limits.header_bytes, 16 << 10);
    assert_int_equal(l[1].limits.header_count, 100);
    assert_int_equal(l[1].limits.body_bytes, 1 << 30);
    assert_true(l[1].redirects && !l[1].http2);
    assert_int_equal(l[1].redirect_port, 8443);
    assert_int_equal(l[1].index, 1);
    assert_str(p.config->certificates[0].key_path, "noord.key");
    assert_int_equal(p.config->certificates[0].ocsp_der.n, 5);
    parsed_free(&p);
}

static void full_clusters(void **state)
{
    struct parsed p = parse(full);
    assert_non_null(p.config);
    const struct config_cluster *c = p.config->clusters;
    assert_str(c[0].hosts[0], "noord.example");
    assert_str(c[0].contact, "058-1234567");
    assert_int_equal(c[0].error_pages[0].status, 503);
    assert_str(c[0].error_pages[0].html, "<p>$reference</p>");
    const struct config_route *r = c[0].routes;
    assert_int_equal(c[0].route_count, 3);
    assert_true(r[0].exact && !r[1].exact && r[2].path.n == 1);
    assert_int_equal(r[1].index, 1);
    assert_true(r[1].has_rewrite && !r[1].websocket && !r[2].has_rewrite);
    assert_int_equal(r[1].client_certificate, CLIENT_CERT_REQUIRED);
    assert_int_equal(r[1].body_bytes, 10 << 20);
    assert_int_equal(r[1].response_timeout_ms, 90'000);
    assert_int_equal(r[2].body_bytes, 0);
    assert_int_equal(r[1].request_edit_count, 3);
    assert_str(r[1].request_edits[0].name, "x-a");
    assert_str(r[1].request_edits[1].value, "d");
    assert_int_equal(r[1].request_edits[2].op, EDIT_REMOVE);
    assert_int_equal(r[1].response_edit_count, 1);
    assert_ptr_equal(r[1].upstream, &p.config->upstreams[0]);
    assert_str(c[1].hosts[0], "*");
    parsed_free(&p);
}

static void full_upstreams(void **state)
{
    struct parsed p = parse(full);
    assert_non_null(p.config);
    const struct config_upstream *u = p.config->upstreams;
    assert_int_equal(u[0].endpoint_count, 2);
    assert_true(u[0].endpoints[1].is_name && u[0].endpoints[1].drain);
    assert_str(u[0].endpoints[1].host, "app2.noord.example");
    assert_int_equal(u[0].endpoints[1].port, 8102);
    assert_int_equal(u[0].balance, BALANCE_HASH);
    assert_int_equal(u[0].hash_on, HASH_ON_COOKIE);
    assert_str(u[0].hash_name, "session");
    assert_true(u[0].tls && u[0].tls_verify);
    assert_ptr_equal(u[0].tls_certificate, &p.config->certificates[1]);
    assert_int_equal(u[0].check_status_low, 204);
    assert_int_equal(u[0].check_status_high, 204);
    assert_str(u[0].check_path, "/health?deep=1");
    assert_int_equal(u[0].retry_budget_percent, 5);
    assert_int_equal(u[0].proxy_protocol, PROXY_PROTOCOL_V2);
    assert_int_equal(u[1].first_endpoint, 2);
    assert_int_equal(u[1].index, 1);
    assert_false(u[1].endpoints[0].is_name);
    assert_str(u[1].endpoints[0].host, "[::1]");
    assert_str(u[1].sticky_cookie, "node");
    assert_int_equal(p.config->endpoint_count, 3);
    parsed_free(&p);
}

/* The digest changes with the text and with a file, not with the place the configuration lies at. */
static void digest_tells_what_is_in_force(void **state)
{
    struct parsed a = parse(full), b = parse(full), c = parse(MINIMAL), d = parse(MINIMAL "# x\n");
    assert_memory_equal(a.config->digest, b.config->digest, 32);
    assert_memory_not_equal(a.config->digest, c.config->digest, 32);
    assert_memory_not_equal(c.config->digest, d.config->digest, 32);
    parsed_free(&a);
    parsed_free(&b);
    parsed_free(&c);
    parsed_free(&d);
}

static void files_are_read_once_and_never_a_key(void **state)
{
    unsigned reads = 0, count;
    struct config_files files = {fake_read, &reads};
    struct config_problem *problems;
    struct arena *arena = arena_new(1 << 20);
    struct config *config = config_parse(STR("x"), STR(full), &files, arena, &problems, &count);
    assert_non_null(config);
    assert_int_equal(reads, 6); /* noord.pem, noord.ocsp, zuid.pem, ca.pem, crl.pem, 503.html */
    config_free(config);
    arena_free(arena);
}

static void the_file_with_every_key_works(void **state)
{
    char *text = malloc(CONFIG_TEXT_BYTES);
    struct buf b = buf_over(text, CONFIG_TEXT_BYTES);
    config_example_write(&b);
    assert_false(buf_overflowed(&b));
    struct parsed p = parse_str(buf_text(&b));
    assert_non_null(p.config);
    assert_int_equal(p.count, 0);
    parsed_free(&p);
    free(text);
}

/* The file that is installed: path as argument of the test program. */
static const char *installed_path;

static void the_installed_file_works(void **state)
{
    if (!installed_path)
        skip();
    struct config_disk *disk = config_disk_new(str_of(installed_path));
    struct str yaml, error;
    assert_true(config_disk_open(disk, &yaml, &error));
    struct parsed p = parse_str(yaml);
    assert_non_null(p.config);
    assert_int_equal(p.count, 0);
    assert_int_equal(p.config->cluster_count, 2);
    parsed_free(&p);
    config_disk_free(disk);
}

static void texts_made_from_the_table_fit(void **state)
{
    char *text = malloc(CONFIG_TEXT_BYTES);
    void (*const writers[])(struct buf *) = {config_schema_write, config_reference_write};
    for (size_t i = 0; i < 2; i++) {
        struct buf b = buf_over(text, CONFIG_TEXT_BYTES);
        writers[i](&b);
        assert_false(buf_overflowed(&b));
        assert_true(str_find(buf_text(&b), STR("tunnel_idle_timeout")) > 0);
    }
    free(text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_filled_in),
        cmocka_unit_test(full_gate_and_listeners),
        cmocka_unit_test(full_clusters),
        cmocka_unit_test(full_upstreams),
        cmocka_unit_test(digest_tells_what_is_in_force),
        cmocka_unit_test(files_are_read_once_and_never_a_key),
        cmocka_unit_test(the_file_with_every_key_works),
        cmocka_unit_test(the_installed_file_works),
        cmocka_unit_test(texts_made_from_the_table_fit),
    };
    installed_path = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
