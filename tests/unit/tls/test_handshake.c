/* Handshakes: TLS 1.3 and 1.2, ECDSA and RSA, SNI, ALPN, input in any pieces, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kit.h"

#include <openssl/err.h>

static struct kit_cert *ca, *ecdsa, *ecdsa384, *rsa, *other;
static struct kit_pair pair;

static int set_up(void **state)
{
    if (tls_init() != 0)
        return -1;
    ca = kit_cert(&(struct kit_spec){.subject = "ca", .is_ca = true});
    ecdsa = kit_cert(
        &(struct kit_spec){.subject = "a", .names = "DNS:a.example,DNS:*.wild.example", .issuer = ca});
    ecdsa384 =
        kit_cert(&(struct kit_spec){.subject = "c", .names = "DNS:c.example", .key = "P-384", .issuer = ca});
    rsa = kit_cert(
        &(struct kit_spec){.subject = "a", .names = "DNS:A.example", .key = "RSA-3072", .issuer = ca});
    other =
        kit_cert(&(struct kit_spec){.subject = "b", .names = "DNS:b.example,DNS:*.b.example", .issuer = ca});
    return 0;
}

static int tear_down(void **state)
{
    kit_free_all();
    return 0;
}

static void say_both_ways(void)
{
    char out_memory[4096], plain[64] = "";
    size_t taken = 0;
    struct buf out = buf_over(out_memory, sizeof out_memory);
    assert_int_equal(tls_conn_write(pair.gate, STR("from the gate"), &taken, &out), TLS_DONE);
    assert_int_equal(taken, 13);
    kit_give(&pair, buf_text(&out));
    assert_int_equal(SSL_read(pair.client, plain, sizeof plain), 13);
    assert_memory_equal(plain, "from the gate", 13);
    assert_int_equal(SSL_write(pair.client, "from the client", 15), 15);
    pair.got_n = 0;
    kit_feed(&pair);
    assert_int_equal(pair.got_n, 15);
    assert_memory_equal(pair.got, "from the client", 15);
}

static void handshake_with(const struct kit_cert *const *certs, const char *ciphers, const char *sigalgs,
                           int version, const char *name)
{
    struct kit_side side;
    kit_side_init(&side, certs);
    side.listener.tls12 = version == TLS1_2_VERSION;
    assert_true(kit_open(&side, NULL));
    SSL_CTX *client = kit_client_ctx(ca);
    SSL_CTX_set_max_proto_version(client, version);
    if (ciphers)
        assert_int_equal(SSL_CTX_set_ciphersuites(client, ciphers), 1);
    if (sigalgs)
        assert_int_equal(SSL_CTX_set1_sigalgs_list(client, unconst(sigalgs)), 1);
    kit_join(&pair, &side, client, name);
    kit_handshake(&pair);
    if (!kit_is_up(&pair))
        fail_msg("no handshake: %.*s", STR_ARG(kit_failure(&pair)));
    assert_int_equal(side.sent_n, 1);
    struct tls_info info;
    tls_conn_info(pair.gate, &info);
    assert_int_equal(info.version, version == TLS1_3_VERSION ? 4 : 3);
    if (ciphers)
        assert_true(str_eq(info.cipher, str_of(ciphers)));
    assert_false(info.resumed);
    assert_false(info.has_client_cert);
    say_both_ways();
    kit_part(&pair);
    SSL_CTX_free(client);
    kit_side_done(&side);
}

static void test_ecdsa(void **state)
{
    const struct kit_cert *certs[] = {ecdsa, NULL};
    handshake_with(certs, NULL, NULL, TLS1_3_VERSION, "a.example");
}

static void test_ciphers(void **state)
{
    const struct kit_cert *certs[] = {ecdsa, NULL};
    handshake_with(certs, "TLS_AES_256_GCM_SHA384", NULL, TLS1_3_VERSION, "a.example");
    handshake_with(certs, "TLS_AES_128_GCM_SHA256", NULL, TLS1_3_VERSION, "a.example");
    handshake_with(certs, "TLS_CHACHA20_POLY1305_SHA256", NULL, TLS1_3_VERSION, "a.example");
}

static void test_other_keys(void **state)
{
    const struct kit_cert *only_rsa[] = {rsa, NULL}, *only_384[] = {ecdsa384, NULL};
    handshake_with(only_rsa, NULL, NULL, TLS1_3_VERSION, "a.example");
    handshake_with(only_rsa, NULL, "rsa_pss_rsae_sha512:ECDSA+SHA256", TLS1_3_VERSION, "a.example");
    handshake_with(only_384, NULL, NULL, TLS1_3_VERSION, NULL);
}

static void test_tls12(void **state)
{
    const struct kit_cert *only_rsa[] = {rsa, NULL}, *only_ecdsa[] = {ecdsa, NULL};
    handshake_with(only_ecdsa, NULL, NULL, TLS1_2_VERSION, "a.example");
    handshake_with(only_rsa, NULL, NULL, TLS1_2_VERSION, "a.example");
}

/* Which certificate does a client see that names that host and signs with these? */
static X509 *shown(struct kit_side *side, const char *name, const char *sigalgs)
{
    SSL_CTX *client = kit_client_ctx(NULL);
    SSL_CTX_set1_sigalgs_list(client, unconst(sigalgs));
    kit_join(&pair, side, client, name);
    kit_handshake(&pair);
    assert_true(kit_is_up(&pair));
    const X509 *x = SSL_get0_peer_certificate(pair.client);
    X509 *known = X509_cmp(x, ecdsa->x509) == 0   ? ecdsa->x509
                  : X509_cmp(x, rsa->x509) == 0   ? rsa->x509
                  : X509_cmp(x, other->x509) == 0 ? other->x509
                                                  : NULL;
    kit_part(&pair);
    SSL_CTX_free(client);
    return known;
}

static void test_server_names(void **state)
{
    const struct kit_cert *certs[] = {ecdsa, rsa, other, NULL};
    struct kit_side side;
    kit_side_init(&side, certs);
    assert_true(kit_open(&side, NULL));
    const char *both = "ECDSA+SHA256:rsa_pss_rsae_sha256", *rsa_only = "rsa_pss_rsae_sha256";
    assert_ptr_equal(shown(&side, "a.example", both), ecdsa->x509);
    assert_ptr_equal(shown(&side, "A.EXAMPLE", both), ecdsa->x509);
    assert_ptr_equal(shown(&side, "a.example", rsa_only), rsa->x509);
    assert_ptr_equal(shown(&side, "x.wild.example", both), ecdsa->x509);
    assert_ptr_equal(shown(&side, "b.example", both), other->x509);
    assert_ptr_equal(shown(&side, "www.b.example", both), other->x509);
    assert_ptr_equal(shown(&side, "not.www.b.example", both),
                     ecdsa->x509); /* a star is one label: the default */
    assert_ptr_equal(shown(&side, "unknown.example", both), ecdsa->x509);
    assert_ptr_equal(shown(&side, "unknown.example", rsa_only), rsa->x509);
    assert_ptr_equal(shown(&side, NULL, both), ecdsa->x509);
    kit_side_done(&side);
}

static void test_info_and_coverage(void **state)
{
    const struct kit_cert *certs[] = {ecdsa, other, NULL};
    struct kit_side side;
    kit_side_init(&side, certs);
    assert_true(kit_open(&side, NULL));
    SSL_CTX *client = kit_client_ctx(ca);
    SSL_CTX_set_alpn_protos(client, (const unsigned char *)"\x08http/1.1\x02h2", 12);
    kit_join(&pair, &side, client, "WWW.b.example");
    kit_handshake(&pair);
    assert_true(kit_is_up(&pair));
    struct tls_info info;
    tls_conn_info(pair.gate, &info);
    assert_str(info.server_name, "www.b.example");
    assert_true(info.is_h2); /* our order, not the client's */
    assert_str(info.cipher, "TLS_AES_256_GCM_SHA384");
    assert_true(tls_conn_covers(pair.gate, STR("b.example")));
    assert_true(tls_conn_covers(pair.gate, STR("api.b.example")));
    assert_false(tls_conn_covers(pair.gate, STR("a.example")));
    assert_false(tls_conn_covers(pair.gate, STR("x.y.b.example")));
    kit_part(&pair);
    SSL_CTX_free(client);
    kit_side_done(&side);
}

static bool alpn_is_taken(bool http2, const char *protocols, unsigned n, bool *ret_h2)
{
    const struct kit_cert *certs[] = {ecdsa, NULL};
    struct kit_side side;
    struct tls_info info;
    kit_side_init(&side, certs);
    side.listener.http2 = http2;
    assert_true(kit_open(&side, NULL));
    SSL_CTX *client = kit_client_ctx(ca);
    if (n)
        SSL_CTX_set_alpn_protos(client, (const unsigned char *)protocols, n);
    kit_join(&pair, &side, client, NULL);
    kit_handshake(&pair);
    bool is_up = kit_is_up(&pair);
    tls_conn_info(pair.gate, &info);
    *ret_h2 = info.is_h2;
    if (!is_up)
        assert_str(kit_failure(&pair), "no_application_protocol");
    kit_part(&pair);
    SSL_CTX_free(client);
    kit_side_done(&side);
    return is_up;
}

static void test_alpn(void **state)
{
    bool h2 = false;
    assert_true(alpn_is_taken(true, "", 0, &h2));
    assert_false(h2);
    assert_true(alpn_is_taken(true, "\x02h2", 3, &h2));
    assert_true(h2);
    assert_true(alpn_is_taken(true, "\x08http/1.1", 9, &h2));
    assert_false(h2);
    assert_true(alpn_is_taken(false, "\x02h2\x08http/1.1", 12, &h2));
    assert_false(h2);
    assert_false(alpn_is_taken(false, "\x02h2", 3, &h2));
    assert_false(alpn_is_taken(true, "\x03gopher", 4, &h2));
}

/* The client prefers ChaCha20 (it has no AES in hardware): it gets it. */
static void test_chacha_preference(void **state)
{
    const struct kit_cert *certs[] = {ecdsa, NULL};
    struct kit_side side;
    struct tls_info info;
    kit_side_init(&side, certs);
    assert_true(kit_open(&side, NULL));
    SSL_CTX *client = kit_client_ctx(ca);
    SSL_CTX_set_ciphersuites(client, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384");
    kit_join(&pair, &side, client, NULL);
    kit_handshake(&pair);
    tls_conn_info(pair.gate, &info);
    assert_str(info.cipher, "TLS_CHACHA20_POLY1305_SHA256");
    kit_part(&pair);
    SSL_CTX_set_ciphersuites(client, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384");
    kit_join(&pair, &side, client, NULL);
    kit_handshake(&pair);
    tls_conn_info(pair.gate, &info);
    assert_str(info.cipher, "TLS_AES_256_GCM_SHA384");
    kit_part(&pair);
    SSL_CTX_free(client);
    kit_side_done(&side);
}

/* A byte at a time, and every first piece: the same handshake. */
static void test_split_input(void **state)
{
    const struct kit_cert *certs[] = {ecdsa, NULL};
    struct kit_side side;
    kit_side_init(&side, certs);
    side.listener.tls12 = true;
    assert_true(kit_open(&side, NULL));
    SSL_CTX *client = kit_client_ctx(ca);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_max_proto_version(client, version);
        for (size_t chunk = 1; chunk < 300; chunk += chunk < 20 ? 1 : 37) {
            kit_join(&pair, &side, client, "a.example");
            pair.chunk = chunk;
            kit_handshake(&pair);
            assert_true(kit_is_up(&pair));
            say_both_ways();
            kit_part(&pair);
        }
    }
    SSL_CTX_free(client);
    kit_side_done(&side);
}

/* What comes together with the client's Finished is not lost. */
static void test_early_request(void **state)
{
    const struct kit_cert *certs[] = {ecdsa, NULL};
    struct kit_side side;
    struct tls_tickets *tickets = tls_tickets_new();
    char keys[80] = "a key of the master's";
    tls_tickets_set(tickets, (struct str){keys, sizeof keys});
    kit_side_init(&side, certs);
    side.listener.session_tickets = true;
    assert_true(kit_open(&side, tickets));
    SSL_CTX *client = kit_client_ctx(ca);
    kit_join(&pair, &side, client, "a.example");
    static char out_memory[1 << 16], in[1 << 16];
    struct buf out = buf_over(out_memory, sizeof out_memory);
    assert_int_equal(SSL_do_handshake(pair.client), -1);
    int n = BIO_read(pair.from_client, in, sizeof in);
    assert_int_equal(tls_conn_handshake(pair.gate, (struct str){in, (size_t)n}, &out), TLS_WANT_INPUT);
    kit_give(&pair, buf_text(&out));
    assert_int_equal(SSL_do_handshake(pair.client), 1);
    assert_int_equal(SSL_write(pair.client, "GET / HTTP/1.1\r\n", 16), 16);
    n = BIO_read(pair.from_client, in, sizeof in);
    out.n = 0;
    assert_int_equal(tls_conn_handshake(pair.gate, (struct str){in, (size_t)n}, &out), TLS_DONE);
    kit_give(&pair, buf_text(&out));
    char plain[64];
    size_t plain_n = 0;
    assert_int_equal(tls_conn_read(pair.gate, STR_NONE, plain, sizeof plain, &plain_n, &out), TLS_DONE);
    assert_int_equal(plain_n, 16);
    say_both_ways();
    kit_part(&pair);
    SSL_CTX_free(client);
    kit_side_done(&side);
    tls_tickets_free(tickets);
}

static void refused(struct kit_side *side, struct str input, const char *why)
{
    static char out_memory[1 << 16];
    struct buf out = buf_over(out_memory, sizeof out_memory);
    struct tls_conn *conn = tls_conn_new(side->context, NULL, NULL);
    assert_non_null(conn);
    assert_int_equal(tls_conn_handshake(conn, input, &out), TLS_FAILED);
    assert_true(str_eq(tls_conn_failure(conn), str_of(why)));
    assert_int_equal(tls_conn_handshake(conn, input, &out), TLS_FAILED);
    size_t n = 1;
    char plain[16];
    assert_int_equal(tls_conn_read(conn, input, plain, sizeof plain, &n, &out), TLS_FAILED);
    assert_int_equal(n, 0);
    assert_int_equal(tls_conn_write(conn, input, &n, &out), TLS_FAILED);
    tls_conn_free(conn);
}

static void test_not_tls(void **state)
{
    const struct kit_cert *certs[] = {ecdsa, NULL};
    struct kit_side side;
    kit_side_init(&side, certs);
    assert_true(kit_open(&side, NULL));
    refused(&side, STR("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), "not_tls");
    refused(&side, STR("POST / HTTP/1.1\r\n"), "not_tls");
    refused(&side, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "not_tls");
    refused(&side, STR("SSH-2.0-OpenSSH_9.2\r\n"), "not_tls");
    kit_side_done(&side);
}

static void test_tls12_off(void **state)
{
    const struct kit_cert *certs[] = {ecdsa, NULL};
    struct kit_side side;
    kit_side_init(&side, certs);
    assert_true(kit_open(&side, NULL));
    SSL_CTX *client = kit_client_ctx(ca);
    SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION);
    kit_join(&pair, &side, client, "a.example");
    assert_int_equal(SSL_do_handshake(pair.client), -1);
    kit_handshake(&pair);
    assert_int_equal(pair.status, TLS_FAILED);
    assert_str(kit_failure(&pair), "protocol_version");
    assert_true(pair.client_failed);
    assert_int_equal(side.sent_n, 0);
    kit_part(&pair);
    SSL_CTX_free(client);
    kit_side_done(&side);
}

static void test_peer_alert(void **state)
{
    const struct kit_cert *certs[] = {ecdsa, NULL};
    struct kit_side side;
    kit_side_init(&side, certs);
    assert_true(kit_open(&side, NULL));
    SSL_CTX *client = kit_client_ctx(other); /* does not know our authority */
    kit_join(&pair, &side, client, "a.example");
    kit_handshake(&pair);
    assert_true(pair.client_failed);
    assert_int_equal(pair.status, TLS_FAILED);
    assert_str(kit_failure(&pair), "peer_unknown_ca");
    kit_part(&pair);
    SSL_CTX_free(client);
    kit_side_done(&side);
}

/* A ClientHello that asks for a group the client sent no share of: HelloRetryRequest, then one signature. */
static void test_hello_retry(void **state)
{
    const struct kit_cert *certs[] = {ecdsa, NULL};
    struct kit_side side;
    kit_side_init(&side, certs);
    assert_true(kit_open(&side, NULL));
    SSL_CTX *client = kit_client_ctx(ca);
    SSL_CTX_set1_groups_list(client, unconst("P-521:P-256"));
    kit_join(&pair, &side, client, "a.example");
    kit_handshake(&pair);
    assert_true(kit_is_up(&pair));
    assert_int_equal(side.sent_n, 1);
    say_both_ways();
    kit_part(&pair);
    SSL_CTX_free(client);
    kit_side_done(&side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ecdsa),        cmocka_unit_test(test_ciphers),
        cmocka_unit_test(test_other_keys),   cmocka_unit_test(test_tls12),
        cmocka_unit_test(test_server_names), cmocka_unit_test(test_info_and_coverage),
        cmocka_unit_test(test_alpn),         cmocka_unit_test(test_chacha_preference),
        cmocka_unit_test(test_split_input),  cmocka_unit_test(test_early_request),
        cmocka_unit_test(test_not_tls),      cmocka_unit_test(test_tls12_off),
        cmocka_unit_test(test_peer_alert),   cmocka_unit_test(test_hello_retry),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
