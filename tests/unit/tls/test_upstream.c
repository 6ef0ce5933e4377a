/* The client side: towards upstreams, with verification and with the gate's own certificate. The other end is
 * OpenSSL's server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kit.h"

#include <openssl/err.h>

static struct kit_cert *ca, *other_ca, *cert, *gate_cert;
static struct kit_side side; /* its signer serves the client side too */
static struct config_upstream upstream;
static struct config_certificate own;
static struct tls_context *context;
static struct tls_conn *conn;
static SSL_CTX *server_ctx;
static SSL *server;
static BIO *to_server, *from_server;
static enum tls_status status;
static char out_memory[1 << 16];

static int set_up(void **state)
{
    if (tls_init() != 0)
        return -1;
    ca = kit_cert(&(struct kit_spec){.subject = "ca", .is_ca = true});
    other_ca = kit_cert(&(struct kit_spec){.subject = "other", .is_ca = true});
    cert = kit_cert(&(struct kit_spec){
        .subject = "app", .names = "DNS:app.example,DNS:*.apps.example,IP:192.0.2.1", .issuer = ca});
    gate_cert = kit_cert(&(struct kit_spec){.subject = "gate", .key = "P-384", .issuer = ca});
    return 0;
}

static int tear_down(void **state)
{
    kit_free_all();
    return 0;
}

static int side_up(void **state)
{
    const struct kit_cert *certs[] = {gate_cert, NULL};
    kit_side_init(&side, certs);
    own = (struct config_certificate){.chain_path = STR("gate.pem"), .chain_pem = gate_cert->chain_pem};
    upstream = (struct config_upstream){
        .name = STR("app"), .tls = true, .tls_verify = true, .tls_ca_pem = ca->chain_pem};
    server_ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(server_ctx, cert->x509);
    SSL_CTX_use_PrivateKey(server_ctx, cert->key);
    return 0;
}

static int side_down(void **state)
{
    SSL_CTX_free(server_ctx);
    kit_side_done(&side);
    return 0;
}

static void start(const char *name)
{
    struct arena *arena = arena_new(1 << 16);
    struct str error;
    context = tls_context_client(&upstream, side.signer, arena, &error);
    assert_non_null(context);
    arena_free(arena);
    conn = tls_conn_new(context, name, &conn);
    assert_non_null(conn);
    tls_context_unref(context);
    server = SSL_new(server_ctx);
    to_server = BIO_new(BIO_s_mem());
    from_server = BIO_new(BIO_s_mem());
    SSL_set_bio(server, to_server, from_server);
    SSL_set_accept_state(server);
    status = TLS_WANT_INPUT;
}

static void run(void)
{
    char in[1 << 15];
    for (unsigned i = 0; i < 10 && (status == TLS_WANT_INPUT || status == TLS_WANT_SIGNATURE); i++) {
        struct buf out = buf_over(out_memory, sizeof out_memory);
        int n = BIO_read(from_server, in, sizeof in);
        status = tls_conn_handshake(conn, (struct str){in, n > 0 ? (size_t)n : 0}, &out);
        BIO_write(to_server, out.p, (int)out.n);
        SSL_do_handshake(server);
        ERR_clear_error();
        if (status == TLS_WANT_SIGNATURE)
            return;
    }
}

static void stop(void)
{
    tls_conn_free(conn);
    SSL_free(server);
    ERR_clear_error();
}

static void say_both_ways(void)
{
    char plain[100], in[1 << 15];
    size_t n = 0;
    struct buf out = buf_over(out_memory, sizeof out_memory);
    assert_int_equal(tls_conn_write(conn, STR("GET / HTTP/1.1"), &n, &out), TLS_DONE);
    BIO_write(to_server, out.p, (int)out.n);
    assert_int_equal(SSL_read(server, plain, sizeof plain), 14);
    assert_int_equal(SSL_write(server, "200", 3), 3);
    int r = BIO_read(from_server, in, sizeof in); /* with the session tickets before it */
    assert_int_equal(tls_conn_read(conn, (struct str){in, (size_t)r}, plain, sizeof plain, &n, &out),
                     TLS_DONE);
    assert_int_equal(n, 3);
    assert_memory_equal(plain, "200", 3);
}

static void connects(const char *name)
{
    start(name);
    run();
    if (status != TLS_DONE)
        fail_msg("%s: %.*s", name ? name : "-", STR_ARG(tls_conn_failure(conn)));
    say_both_ways();
    stop();
}

static void fails_as(const char *name, const char *why)
{
    start(name);
    run();
    assert_int_equal(status, TLS_FAILED);
    if (!str_eq(tls_conn_failure(conn), str_of(why)))
        fail_msg("have %.*s, want %s", STR_ARG(tls_conn_failure(conn)), why);
    stop();
}

static void test_verified(void **state)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_max_proto_version(server_ctx, version);
        connects("app.example");
        connects("one.apps.example");
        connects("192.0.2.1");
        fails_as("other.example", "wrong_host");
        fails_as("a.b.apps.example", "wrong_host");
        fails_as("192.0.2.2", "wrong_host");
        upstream.tls_ca_pem = other_ca->chain_pem;
        fails_as("app.example", "unknown_authority");
        upstream.tls_ca_pem = ca->chain_pem;
    }
}

static void test_unverified(void **state)
{
    upstream.tls_verify = false;
    upstream.tls_ca_pem = STR_NONE;
    connects("other.example");
    connects(NULL);
}

static void test_old_versions(void **state)
{
    SSL_CTX_set_min_proto_version(server_ctx, TLS1_1_VERSION);
    SSL_CTX_set_max_proto_version(server_ctx, TLS1_1_VERSION);
    SSL_CTX_set_security_level(server_ctx, 0);
    start("app.example");
    run();
    assert_int_equal(status, TLS_FAILED);
    stop();
}

/* The gate's own certificate, its key with the signer. */
static void test_own_certificate(void **state)
{
    upstream.tls_certificate = &own;
    SSL_CTX_set_verify(server_ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(server_ctx), ca->x509);
    connects("app.example");
    assert_int_equal(side.sent_n, 1);
    side.holds_requests = true;
    start("app.example");
    run();
    assert_int_equal(status, TLS_WANT_SIGNATURE);
    assert_int_equal(side.waiting[0].kind, 2);
    kit_answer(&side);
    assert_ptr_equal(side.ready_owner, &conn);
    run();
    assert_int_equal(status, TLS_DONE);
    assert_int_equal(X509_cmp(SSL_get0_peer_certificate(server), gate_cert->x509), 0);
    say_both_ways();
    stop();
    start("app.example"); /* gone while it waits */
    run();
    assert_int_equal(status, TLS_WANT_SIGNATURE);
    stop();
    assert_int_equal(tls_signer_waiting(side.signer), 0);
    /* TLS 1.2 would sign the whole transcript: the signer knows no such thing. */
    side.holds_requests = false;
    SSL_CTX_set_max_proto_version(server_ctx, TLS1_2_VERSION);
    fails_as("app.example", "signature_refused");
}

static void test_unusable(void **state)
{
    struct arena *arena = arena_new(1 << 16);
    struct str error;
    upstream.tls_ca_pem = STR("nothing");
    assert_null(tls_context_client(&upstream, side.signer, arena, &error));
    assert_true(str_find(error, STR("upstream app")) >= 0);
    upstream.tls_ca_pem = ca->chain_pem;
    own.chain_pem = STR("nothing");
    upstream.tls_certificate = &own;
    assert_null(tls_context_client(&upstream, side.signer, arena, &error));
    assert_true(str_find(error, STR("gate.pem")) >= 0);
    arena_free(arena);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, side_up, side_down)
    const struct CMUnitTest tests[] = {
        TEST(test_verified),        TEST(test_unverified), TEST(test_old_versions),
        TEST(test_own_certificate), TEST(test_unusable),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
