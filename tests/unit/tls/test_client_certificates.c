/* Client certificates: required, optional, revoked, expired, unknown; what is passed on about them;
 * resumption. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kit.h"

static struct kit_cert *ca, *cert, *client_ca, *good, *expired, *stranger;
static struct kit_side side;
static struct kit_pair pair;
static SSL_CTX *client;
static struct tls_tickets *tickets;

static int set_up(void **state)
{
    if (tls_init() != 0)
        return -1;
    ca = kit_cert(&(struct kit_spec){.subject = "ca", .is_ca = true});
    cert = kit_cert(&(struct kit_spec){.subject = "a", .names = "DNS:a.example", .issuer = ca});
    client_ca = kit_cert(&(struct kit_spec){.subject = "client ca", .is_ca = true});
    good = kit_cert(&(struct kit_spec){.subject = "De Vries, huisarts\n", .issuer = client_ca});
    expired =
        kit_cert(&(struct kit_spec){.subject = "late", .issuer = client_ca, .from_s = -7200, .until_s = -60});
    stranger = kit_cert(&(struct kit_spec){.subject = "stranger", .issuer = ca});
    tickets = tls_tickets_new();
    char keys[80] = "one key";
    tls_tickets_set(tickets, (struct str){keys, sizeof keys});
    return 0;
}

static int tear_down(void **state)
{
    tls_tickets_free(tickets);
    kit_free_all();
    return 0;
}

static int side_up(void **state)
{
    const struct kit_cert *certs[] = {cert, NULL};
    kit_side_init(&side, certs);
    side.listener.client_certificate = CLIENT_CERT_REQUIRED;
    side.listener.client_ca_pem = client_ca->chain_pem;
    side.listener.tls12 = true;
    side.listener.session_tickets = true;
    client = kit_client_ctx(ca);
    return 0;
}

static int side_down(void **state)
{
    SSL_CTX_free(client);
    kit_side_done(&side);
    return 0;
}

static void show(const struct kit_cert *c)
{
    SSL_CTX_use_certificate(client, c->x509);
    SSL_CTX_use_PrivateKey(client, c->key);
}

/* Runs a handshake in that version; the pair stays for questions, to be parted. */
static bool connects(int version)
{
    SSL_CTX_set_max_proto_version(client, version);
    kit_join(&pair, &side, client, "a.example");
    kit_handshake(&pair);
    return pair.status == TLS_DONE;
}

static void fails_as(const char *why)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        assert_false(connects(version));
        if (!str_eq(kit_failure(&pair), str_of(why)))
            fail_msg("have %.*s, want %s", STR_ARG(kit_failure(&pair)), why);
        kit_part(&pair);
    }
}

static void test_required(void **state)
{
    assert_true(kit_open(&side, tickets));
    fails_as("no_certificate");
    show(stranger);
    fails_as("unknown_authority");
    show(expired);
    fails_as("expired_certificate");
    show(good);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct tls_info info;
        assert_true(connects(version));
        tls_conn_info(pair.gate, &info);
        assert_true(info.has_client_cert);
        assert_str(info.client_subject,
                   "CN=De Vries\\, huisarts\\0A,O=Polder\\, tests"); /* nothing to split a header with */
        assert_int_equal(info.client_sha256.n, 64);
        assert_true(info.client_serial.n > 0);
        kit_part(&pair);
    }
}

static void test_optional(void **state)
{
    side.listener.client_certificate = CLIENT_CERT_OPTIONAL;
    assert_true(kit_open(&side, tickets));
    struct tls_info info;
    assert_true(connects(TLS1_3_VERSION));
    tls_conn_info(pair.gate, &info);
    assert_false(info.has_client_cert);
    assert_int_equal(info.client_subject.n, 0);
    kit_part(&pair);
    show(stranger);
    fails_as("unknown_authority");
    show(good);
    assert_true(connects(TLS1_3_VERSION));
    tls_conn_info(pair.gate, &info);
    assert_true(info.has_client_cert);
    kit_part(&pair);
}

static void test_revocation(void **state)
{
    side.listener.client_crl_pem = kit_crl(client_ca, NULL, 3600);
    assert_true(kit_open(&side, tickets));
    show(good);
    assert_true(connects(TLS1_3_VERSION));
    kit_part(&pair);
    side.listener.client_crl_pem = kit_crl(client_ca, good, 3600);
    assert_true(kit_open(&side, tickets));
    fails_as("revoked_certificate");
    side.listener.client_crl_pem = kit_crl(client_ca, NULL, -60);
    assert_true(kit_open(&side, tickets));
    fails_as("expired_revocation_list"); /* what cannot be known is closed */
    side.listener.client_crl_pem = kit_crl(ca, NULL, 3600);
    assert_true(kit_open(&side, tickets));
    fails_as("no_revocation_list");
}

static SSL_SESSION *session;

static int keep_session(SSL *ssl, SSL_SESSION *s)
{
    SSL_SESSION_free(session);
    session = s;
    return 1;
}

/* A connection with (or without) the last session; it stays, to be parted. */
static bool resumes(int version)
{
    SSL_CTX_set_max_proto_version(client, version);
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, keep_session);
    kit_join(&pair, &side, client, "a.example");
    if (session)
        SSL_set_session(pair.client, session);
    kit_handshake(&pair);
    char byte;
    if (pair.client_done)
        SSL_read(pair.client, &byte, 1); /* takes the tickets */
    struct tls_info info;
    tls_conn_info(pair.gate, &info);
    return pair.status == TLS_DONE && info.resumed;
}

static void forget_session(void)
{
    SSL_SESSION_free(session);
    session = NULL;
}

static void test_resumption_keeps_identity(void **state)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct tls_info info;
        forget_session();
        assert_true(kit_open(&side, tickets));
        show(good);
        assert_false(resumes(version));
        kit_part(&pair);
        unsigned signatures = side.sent_n;
        assert_true(resumes(version));
        tls_conn_info(pair.gate, &info);
        assert_true(info.has_client_cert);
        assert_str(info.client_subject, "CN=De Vries\\, huisarts\\0A,O=Polder\\, tests");
        assert_int_equal(side.sent_n, signatures); /* nothing was signed */
        kit_part(&pair);
        /* A reload that changes nothing keeps sessions; one that revokes somebody does not. */
        assert_true(kit_open(&side, tickets));
        assert_true(resumes(version));
        kit_part(&pair);
        side.listener.client_crl_pem = kit_crl(client_ca, good, 3600);
        assert_true(kit_open(&side, tickets));
        assert_false(resumes(version));
        assert_str(kit_failure(&pair), "revoked_certificate");
        kit_part(&pair);
        side.listener.client_crl_pem = STR_NONE;
    }
    forget_session();
}

/* A session of a listener without client certificates opens nothing at one that requires them, and vice
 * versa. */
static void test_sessions_stay_at_their_listener(void **state)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        forget_session();
        side.listener.client_certificate = CLIENT_CERT_OFF;
        assert_true(kit_open(&side, tickets));
        assert_false(resumes(version));
        kit_part(&pair);
        assert_true(resumes(version));
        kit_part(&pair);
        side.listener.client_certificate = CLIENT_CERT_REQUIRED;
        assert_true(kit_open(&side, tickets));
        assert_false(resumes(version));
        assert_int_equal(pair.status, TLS_FAILED);
        assert_str(kit_failure(&pair), "no_certificate");
        kit_part(&pair);
        side.listener.client_certificate = CLIENT_CERT_OFF;
        side.listener.name = STR("another");
        assert_true(kit_open(&side, tickets));
        assert_false(resumes(version));
        assert_int_equal(pair.status, TLS_DONE);
        kit_part(&pair);
        side.listener.name = STR("public");
    }
    forget_session();
}

static void test_unusable_files(void **state)
{
    side.listener.client_ca_pem = STR("no certificate");
    assert_false(kit_open(&side, tickets));
    assert_true(str_find(side.error, STR("client CA")) >= 0);
    side.listener.client_ca_pem = client_ca->chain_pem;
    side.listener.client_crl_pem = STR("no list");
    assert_false(kit_open(&side, tickets));
    assert_true(str_find(side.error, STR("revocation list")) >= 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, side_up, side_down)
    const struct CMUnitTest tests[] = {
        TEST(test_required),
        TEST(test_optional),
        TEST(test_revocation),
        TEST(test_resumption_keeps_identity),
        TEST(test_sessions_stay_at_their_listener),
        TEST(test_unusable_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
