/* The signer as a process of its own: handshakes that wait, answers that come late, twice or never. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kit.h"

#include "tls/request.h"

static struct kit_cert *ca, *cert;
static struct kit_side side;
static struct kit_pair pair, second;
static SSL_CTX *client;

static int set_up(void **state)
{
    if (tls_init() != 0)
        return -1;
    ca = kit_cert(&(struct kit_spec){.subject = "ca", .is_ca = true});
    cert = kit_cert(&(struct kit_spec){.subject = "a", .names = "DNS:a.example", .issuer = ca});
    client = kit_client_ctx(ca);
    return 0;
}

static int tear_down(void **state)
{
    SSL_CTX_free(client);
    kit_free_all();
    return 0;
}

static int side_up(void **state)
{
    const struct kit_cert *certs[] = {cert, NULL};
    kit_side_init(&side, certs);
    side.holds_requests = true;
    side.listener.tls12 = true;
    SSL_CTX_set_max_proto_version(client, TLS1_3_VERSION);
    return kit_open(&side, NULL) ? 0 : -1;
}

static int side_down(void **state)
{
    kit_side_done(&side);
    return 0;
}

static void start(struct kit_pair *p)
{
    kit_join(p, &side, client, "a.example");
    kit_handshake(p);
    assert_int_equal(p->status, TLS_WANT_SIGNATURE);
}

static void test_waits_for_the_answer(void **state)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_max_proto_version(client, version);
        side.ready_n = 0;
        start(&pair);
        assert_int_equal(tls_signer_waiting(side.signer), 1);
        assert_int_equal(side.waiting_n, 1);
        /* Called again without an answer: nothing happens, nothing is lost. */
        char memory[32768];
        struct buf out = buf_over(memory, sizeof memory);
        assert_int_equal(tls_conn_handshake(pair.gate, STR_NONE, &out), TLS_WANT_SIGNATURE);
        assert_int_equal(out.n, 0);
        kit_answer(&side);
        assert_int_equal(side.ready_n, 1);
        assert_ptr_equal(side.ready_owner, &pair);
        kit_handshake(&pair);
        assert_true(kit_is_up(&pair));
        assert_int_equal(tls_signer_waiting(side.signer), 0);
        kit_part(&pair);
    }
}

static void test_many_wait(void **state)
{
    static struct kit_pair pairs[6];
    for (unsigned i = 0; i < 6; i++)
        start(&pairs[i]);
    assert_int_equal(tls_signer_waiting(side.signer), 6);
    tls_conn_free(pairs[3].gate);
    pairs[3].gate = NULL;
    assert_int_equal(tls_signer_waiting(side.signer), 5);
    kit_answer(&side);
    assert_int_equal(side.ready_n, 5);
    for (unsigned i = 0; i < 6; i++) {
        if (i != 3) {
            kit_handshake(&pairs[i]);
            assert_true(kit_is_up(&pairs[i]));
        }
        kit_part(&pairs[i]);
    }
}

static void test_freed_while_waiting(void **state)
{
    start(&pair);
    struct msg_signature late = {.id = side.waiting[0].id, .signature_len = 70};
    kit_part(&pair);
    assert_int_equal(tls_signer_waiting(side.signer), 0);
    tls_signer_answer(side.signer, &late); /* to nobody */
    assert_int_equal(side.ready_n, 0);
    /* The slot's next request is not answered by what was meant for the former one. */
    side.waiting_n = 0;
    start(&second);
    assert_true(side.waiting[0].id != late.id);
    tls_signer_answer(side.signer, &late);
    assert_int_equal(side.ready_n, 0);
    kit_answer(&side);
    kit_handshake(&second);
    assert_true(kit_is_up(&second));
    kit_part(&second);
}

static void test_signer_dies(void **state)
{
    side.loses_requests = true; /* no channel at all */
    start(&pair);
    assert_int_equal(side.waiting_n, 0);
    side.loses_requests = false;
    tls_signer_resend(side.signer);
    assert_int_equal(side.waiting_n, 1);
    side.waiting_n = 0; /* it dies with the request in hand */
    start(&second);
    side.waiting_n = 0;
    tls_signer_resend(side.signer);
    assert_int_equal(side.waiting_n, 2);
    kit_answer(&side);
    assert_int_equal(side.ready_n, 2);
    kit_handshake(&pair);
    kit_handshake(&second);
    assert_true(kit_is_up(&pair));
    assert_true(kit_is_up(&second));
    kit_part(&pair);
    kit_part(&second);
}

static void answer_with(struct msg_signature *m, const char *why)
{
    start(&pair);
    m->id = side.waiting[0].id;
    side.waiting_n = 0;
    tls_signer_answer(side.signer, m);
    assert_int_equal(side.ready_n, 1);
    side.ready_n = 0;
    kit_handshake(&pair);
    assert_false(kit_is_up(&pair));
    if (why) {
        assert_int_equal(pair.status, TLS_FAILED);
        assert_true(str_eq(kit_failure(&pair), str_of(why)));
    }
    kit_part(&pair);
}

static void test_bad_answers(void **state)
{
    answer_with(&(struct msg_signature){.signature_len = 0}, "signature_refused");
    answer_with(&(struct msg_signature){.signature_len = 1024},
                "signature_refused");                                /* longer than any of that key */
    answer_with(&(struct msg_signature){.signature_len = 70}, NULL); /* nonsense: the client refuses it */
}

static void test_input_while_waiting(void **state)
{
    start(&pair);
    char memory[32768];
    struct buf out = buf_over(memory, sizeof memory);
    assert_int_equal(tls_conn_handshake(pair.gate,
                                        STR("\x17\x03\x03\x00\x14"
                                            "not sealed with a key"),
                                        &out),
                     TLS_WANT_SIGNATURE);
    kit_answer(&side);
    kit_handshake(&pair);
    assert_int_equal(pair.status, TLS_FAILED);
    kit_part(&pair);
    /* Without end: refused before it costs much memory. */
    static char flood[60000];
    start(&pair);
    enum tls_status status = TLS_WANT_SIGNATURE;
    for (unsigned i = 0; i < 100 && status == TLS_WANT_SIGNATURE; i++)
        status = tls_conn_handshake(pair.gate, (struct str){flood, sizeof flood}, &out);
    assert_int_equal(status, TLS_FAILED);
    assert_str(kit_failure(&pair), "too_much_input");
    kit_part(&pair);
}

static void test_context_outlives_reload(void **state)
{
    start(&pair);
    struct tls_context *old = side.context;
    side.context = NULL;
    assert_true(kit_open(&side, NULL));
    tls_context_unref(old); /* the connection holds it */
    kit_answer(&side);
    kit_handshake(&pair);
    assert_true(kit_is_up(&pair));
    kit_part(&pair);
}

static bool drop(void *self, const struct msg_sign *m)
{
    return false;
}

static void never(void *self, void *owner)
{
    fail();
}

/* More handshakes than there are fibres: the next one fails, the others wait on. */
static void test_too_many(void **state)
{
    struct tls_signer *signer = tls_signer_new((struct tls_signer_events){drop, never, NULL});
    struct arena *arena = arena_new(1 << 16);
    struct str error;
    struct tls_context *context = tls_context_server(&side.listener, signer, NULL, arena, &error);
    static struct tls_conn *conns[REQUESTS_MAX + 1];
    static char memory[1 << 16], hello[4096];
    SSL *ssl = SSL_new(client);
    BIO *to = BIO_new(BIO_s_mem()), *from = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, to, from);
    assert_int_equal(SSL_connect(ssl), -1);
    int n = BIO_read(from, hello, sizeof hello);
    for (unsigned i = 0; i <= REQUESTS_MAX; i++) {
        struct buf out = buf_over(memory, sizeof memory);
        conns[i] = tls_conn_new(context, NULL, NULL);
        enum tls_status status = tls_conn_handshake(conns[i], (struct str){hello, (size_t)n}, &out);
        assert_int_equal(status, i < REQUESTS_MAX ? TLS_WANT_SIGNATURE : TLS_FAILED);
    }
    assert_str(tls_conn_failure(conns[REQUESTS_MAX]), "too_many_handshakes");
    assert_int_equal(tls_signer_waiting(signer), REQUESTS_MAX);
    for (unsigned i = 0; i <= REQUESTS_MAX; i++)
        tls_conn_free(conns[i]);
    assert_int_equal(tls_signer_waiting(signer), 0);
    SSL_free(ssl);
    tls_context_unref(context);
    tls_signer_free(signer);
    arena_free(arena);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, side_up, side_down)
    const struct CMUnitTest tests[] = {
        TEST(test_waits_for_the_answer),
        TEST(test_many_wait),
        TEST(test_freed_while_waiting),
        TEST(test_signer_dies),
        TEST(test_bad_answers),
        TEST(test_input_while_waiting),
        TEST(test_context_outlives_reload),
        TEST(test_too_many),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
