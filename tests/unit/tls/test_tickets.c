/* Session tickets: any worker opens another's, rotation, unknown and broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kit.h"

static struct kit_cert *ca, *cert;
static struct kit_side one, two; /* two workers */
static struct tls_tickets *tickets_one, *tickets_two;
static struct kit_pair pair;
static SSL_CTX *client;
static SSL_SESSION *session;
static char keys[3][80];

static int keep_session(SSL *ssl, SSL_SESSION *s)
{
    SSL_SESSION_free(session);
    session = s;
    return 1;
}

static int set_up(void **state)
{
    if (tls_init() != 0)
        return -1;
    ca = kit_cert(&(struct kit_spec){.subject = "ca", .is_ca = true});
    cert = kit_cert(&(struct kit_spec){.subject = "a", .names = "DNS:a.example", .issuer = ca});
    for (unsigned i = 0; i < 3; i++)
        memset(keys[i], 'a' + (int)i, sizeof keys[i]);
    return 0;
}

static int tear_down(void **state)
{
    kit_free_all();
    return 0;
}

static int sides_up(void **state)
{
    const struct kit_cert *certs[] = {cert, NULL};
    struct kit_side *sides[] = {&one, &two};
    struct tls_tickets **tickets[] = {&tickets_one, &tickets_two};
    for (unsigned i = 0; i < 2; i++) {
        *tickets[i] = tls_tickets_new();
        kit_side_init(sides[i], certs);
        sides[i]->listener.session_tickets = true;
        sides[i]->listener.tls12 = true;
        if (!kit_open(sides[i], *tickets[i]))
            return -1;
    }
    client = kit_client_ctx(ca);
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, keep_session);
    return 0;
}

static int sides_down(void **state)
{
    SSL_CTX_free(client);
    SSL_SESSION_free(session);
    session = NULL;
    kit_side_done(&one);
    kit_side_done(&two);
    tls_tickets_free(tickets_one);
    tls_tickets_free(tickets_two);
    return 0;
}

static void set_keys(struct tls_tickets *t, const char *newest_first)
{
    char all[3 * 80];
    size_t n = strlen(newest_first);
    for (size_t i = 0; i < n; i++)
        memcpy(all + 80 * i, keys[newest_first[i] - 'a'], 80);
    tls_tickets_set(t, (struct str){all, 80 * n});
}

static bool resumes(struct kit_side *side, int version)
{
    struct tls_info info;
    char byte;
    SSL_CTX_set_max_proto_version(client, version);
    kit_join(&pair, side, client, "a.example");
    if (session)
        SSL_set_session(pair.client, session);
    kit_handshake(&pair);
    assert_true(kit_is_up(&pair));
    assert_int_equal(SSL_read(pair.client, &byte, 1), -1); /* takes the tickets */
    assert_int_equal(SSL_write(pair.client, "x", 1), 1);
    kit_feed(&pair);
    assert_int_equal(pair.got_n, 1);
    tls_conn_info(pair.gate, &info);
    if (version == TLS1_2_VERSION) /* a renewed ticket is not told to keep_session */
        keep_session(pair.client, SSL_get1_session(pair.client));
    kit_part(&pair);
    return info.resumed;
}

static void forget(void)
{
    SSL_SESSION_free(session);
    session = NULL;
}

static void test_shared_by_workers(void **state)
{
    set_keys(tickets_one, "ab");
    set_keys(tickets_two, "ab");
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        forget();
        assert_false(resumes(&one, version));
        assert_true(resumes(&two, version));
        assert_true(resumes(&one, version));
        assert_int_equal(two.sent_n, 0);
    }
}

static void test_rotation(void **state)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        forget();
        set_keys(tickets_one, "a");
        assert_false(resumes(&one, version));
        set_keys(tickets_one, "ba"); /* the ticket of yesterday is good, and renewed */
        assert_true(resumes(&one, version));
        set_keys(tickets_one, "cb");
        assert_true(resumes(&one, version));
        set_keys(tickets_one, "a"); /* unknown: a full handshake, no failure */
        assert_false(resumes(&one, version));
    }
}

static void test_off(void **state)
{
    one.listener.session_tickets = false;
    assert_true(kit_open(&one, tickets_one));
    set_keys(tickets_one, "a");
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        assert_false(resumes(&one, version));
        assert_false(resumes(&one, version));
    }
    assert_true(kit_open(&one, NULL));
    assert_false(resumes(&one, TLS1_3_VERSION));
}

/* The master has not sent any key yet. */
static void test_no_keys(void **state)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        forget();
        assert_false(resumes(&one, version));
        assert_false(resumes(&one, version));
    }
}

static void test_damaged(void **state)
{
    set_keys(tickets_one, "a");
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        forget();
        assert_false(resumes(&one, version));
        set_keys(tickets_one, "b");
        char same_name[80];
        memcpy(same_name, keys[1], sizeof same_name);
        memcpy(same_name, keys[0], 16); /* the name of a, the secrets of b */
        tls_tickets_set(tickets_one, (struct str){same_name, sizeof same_name});
        assert_false(resumes(&one, version));
        set_keys(tickets_one, "a");
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sides_up, sides_down)
    const struct CMUnitTest tests[] = {
        TEST(test_shared_by_workers), TEST(test_rotation), TEST(test_off),
        TEST(test_no_keys),           TEST(test_damaged),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
