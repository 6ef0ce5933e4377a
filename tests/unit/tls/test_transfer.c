/* Data after the handshake, against OpenSSL's own client: large transfers in any pieces, key updates,
 * closing, tampering; TLS 1.3 through our record layer and TLS 1.2 through OpenSSL behave alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kit.h"

#include <openssl/err.h>

#include <stdlib.h>

enum { BIG = 1 << 20, OUT_MAX = 1 << 15 };

static struct kit_cert *ca, *cert;
static struct kit_side side;
static struct kit_pair pair;
static SSL_CTX *client;
static char *text, *got;

static int set_up(void **state)
{
    if (tls_init() != 0)
        return -1;
    ca = kit_cert(&(struct kit_spec){.subject = "ca", .is_ca = true});
    cert = kit_cert(&(struct kit_spec){.subject = "a", .names = "DNS:a.example", .issuer = ca});
    const struct kit_cert *certs[] = {cert, NULL};
    kit_side_init(&side, certs);
    side.listener.tls12 = true;
    client = kit_client_ctx(ca);
    text = malloc(BIG);
    got = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        text[i] = (char)(i * i >> 7 ^ i);
    return kit_open(&side, NULL) ? 0 : -1;
}

static int tear_down(void **state)
{
    free(text);
    free(got);
    SSL_CTX_free(client);
    kit_side_done(&side);
    kit_free_all();
    return 0;
}

static void connect_as(int version, const char *suite)
{
    SSL_CTX_set_max_proto_version(client, version);
    SSL_CTX_set_ciphersuites(client, suite ? suite : "TLS_AES_256_GCM_SHA384");
    kit_join(&pair, &side, client, "a.example");
    kit_handshake(&pair);
    assert_true(kit_is_up(&pair));
}

/* Small numbers that look random and are the same every time. */
static size_t some(size_t max)
{
    static uint32_t x = 12345;
    x = x * 1664525 + 1013904223;
    return (x >> 8) % max + 1;
}

/* The gate sends text in pieces of up to `piece`, into an out of up to `room` bytes. */
static void gate_sends(size_t total, size_t piece, size_t room)
{
    static char memory[OUT_MAX];
    size_t sent = 0, read_n = 0;
    while (read_n < total) {
        struct buf out = buf_over(memory, some(room) + 100);
        size_t n = some(piece), taken = 0;
        n = n < total - sent ? n : total - sent;
        enum tls_status status = tls_conn_write(pair.gate, (struct str){text + sent, n}, &taken, &out);
        assert_true(status == TLS_DONE ? taken == n : status == TLS_WANT_ROOM && taken < n);
        sent += taken;
        kit_give(&pair, buf_text(&out));
        for (int r; (r = SSL_read(pair.client, got + read_n, (int)(BIG - read_n))) > 0;)
            read_n += (size_t)r;
        ERR_clear_error();
    }
    assert_int_equal(read_n, total);
    assert_memory_equal(got, text, total);
}

/* The client sends; the gate gets pieces of up to `piece` and has room for up to `cap`. */
static void gate_receives(size_t total, size_t piece, size_t cap)
{
    static char in[1 << 16], plain[1 << 16], memory[OUT_MAX];
    size_t sent = 0, read_n = 0;
    while (read_n < total) {
        if (sent < total && BIO_pending(pair.from_client) < (1 << 15)) {
            size_t n = some(40000);
            n = n < total - sent ? n : total - sent;
            int w = SSL_write(pair.client, text + sent, (int)n);
            assert_true(w > 0);
            sent += (size_t)w;
        }
        struct buf out = buf_over(memory, sizeof memory);
        int r = BIO_read(pair.from_client, in, (int)some(piece));
        struct str now = {in, r > 0 ? (size_t)r : 0};
        enum tls_status status;
        do {
            size_t n = 0;
            status = tls_conn_read(pair.gate, now, plain, some(cap), &n, &out);
            assert_true(status == TLS_DONE || status == TLS_WANT_INPUT || status == TLS_WANT_ROOM);
            assert_true(read_n + n <= total);
            assert_memory_equal(plain, text + read_n, n);
            read_n += n;
            now = STR_NONE;
        } while (status == TLS_WANT_ROOM);
        kit_give(&pair, buf_text(&out));
    }
    assert_int_equal(read_n, total);
}

static void transfer_as(int version, const char *suite)
{
    connect_as(version, suite);
    gate_sends(BIG, 100000, OUT_MAX - 100);
    gate_sends(BIG / 8, 3000, 300);
    gate_receives(BIG, 1 << 16, 1 << 16);
    gate_receives(BIG / 4, 5000, 17000);
    gate_receives(BIG / 8, 700, 100);
    gate_receives(BIG / 32, 3, 60000);
    kit_part(&pair);
}

static void test_transfer(void **state)
{
    transfer_as(TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384");
    transfer_as(TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
    transfer_as(TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256");
    transfer_as(TLS1_2_VERSION, NULL);
}

static void test_client_key_updates(void **state)
{
    static const char *const suites[] = {"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256",
                                         "TLS_CHACHA20_POLY1305_SHA256"};
    for (unsigned i = 0; i < 3; i++) {
        connect_as(TLS1_3_VERSION, suites[i]);
        for (unsigned round = 0; round < 12; round++) {
            int kind = round % 3 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED;
            assert_int_equal(SSL_key_update(pair.client, kind), 1);
            gate_receives(20000, 3000, 5000);
            gate_sends(20000, 3000, 9000);
        }
        kit_part(&pair);
    }
}

static void test_close(void **state)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        connect_as(version, NULL);
        char memory[256], byte;
        size_t n;
        struct buf out = buf_over(memory, sizeof memory);
        tls_conn_close_notify(pair.gate, &out);
        assert_true(out.n > 0);
        size_t said = out.n;
        tls_conn_close_notify(pair.gate, &out); /* once is enough */
        assert_int_equal(out.n, said);
        assert_int_equal(tls_conn_write(pair.gate, STR("more"), &n, &out), TLS_FAILED);
        kit_give(&pair, buf_text(&out));
        int r = SSL_read(pair.client, &byte, 1);
        assert_int_equal(SSL_get_error(pair.client, r), SSL_ERROR_ZERO_RETURN);
        /* The other direction is still open. */
        assert_int_equal(SSL_write(pair.client, "last words", 10), 10);
        SSL_shutdown(pair.client);
        pair.got_n = 0;
        kit_feed(&pair);
        assert_int_equal(pair.got_n, 10);
        assert_int_equal(pair.status, TLS_CLOSED);
        kit_feed(&pair);
        assert_int_equal(pair.status, TLS_CLOSED);
        kit_part(&pair);
    }
}

static void test_answer_after_their_close(void **state)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        connect_as(version, NULL);
        assert_int_equal(SSL_write(pair.client, "question", 8), 8);
        SSL_shutdown(pair.client);
        kit_feed(&pair);
        assert_int_equal(pair.status, TLS_CLOSED);
        assert_int_equal(pair.got_n, 8);
        gate_sends(5000, 5000, 9000);
        kit_part(&pair);
    }
}

/* A bent record ends the connection, and the client is told why. */
static void test_tampered(void **state)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        connect_as(version, NULL);
        char in[200], plain[200], memory[1000];
        size_t n = 1;
        assert_int_equal(SSL_write(pair.client, "an order", 8), 8);
        int r = BIO_read(pair.from_client, in, sizeof in);
        assert_true(r > 0);
        in[r - 1] ^= 1;
        struct buf out = buf_over(memory, sizeof memory);
        enum tls_status status =
            tls_conn_read(pair.gate, (struct str){in, (size_t)r}, plain, sizeof plain, &n, &out);
        assert_int_equal(status, TLS_FAILED);
        assert_int_equal(n, 0);
        assert_str(tls_conn_failure(pair.gate), "bad_record_mac");
        kit_give(&pair, buf_text(&out));
        r = SSL_read(pair.client, plain, sizeof plain);
        assert_int_equal(SSL_get_error(pair.client, r), SSL_ERROR_SSL);
        assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_AD_REASON_OFFSET + 20);
        ERR_clear_error();
        out.n = 0;
        assert_int_equal(tls_conn_write(pair.gate, STR("x"), &n, &out), TLS_FAILED);
        assert_int_equal(out.n, 0);
        kit_part(&pair);
    }
}

static void test_renegotiation(void **state)
{
    connect_as(TLS1_2_VERSION, NULL);
    SSL_renegotiate(pair.client);
    assert_int_equal(SSL_do_handshake(pair.client), -1);
    kit_feed(&pair);
    assert_true(pair.status == TLS_FAILED || pair.got_n == 0);
    assert_int_equal(SSL_do_handshake(pair.client), -1); /* no_renegotiation */
    kit_part(&pair);
}

/* An owner that never empties `plain` is told so, and memory is bounded. */
static void test_back_pressure(void **state)
{
    static char in[60000];
    connect_as(TLS1_3_VERSION, NULL);
    char memory[1000], one;
    size_t n = 0, fed = 0;
    enum tls_status status = TLS_WANT_ROOM;
    struct buf out = buf_over(memory, sizeof memory);
    while (status == TLS_WANT_ROOM && fed < (1 << 23)) {
        assert_true(SSL_write(pair.client, text, 30000) > 0);
        int r = BIO_read(pair.from_client, in, sizeof in);
        status = tls_conn_read(pair.gate, (struct str){in, (size_t)r}, &one, 1, &n, &out);
        fed += (size_t)r;
    }
    assert_int_equal(status, TLS_FAILED);
    assert_true(fed <= (1 << 21));
    assert_str(tls_conn_failure(pair.gate), "too_much_input");
    kit_part(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfer),      cmocka_unit_test(test_client_key_updates),
        cmocka_unit_test(test_close),         cmocka_unit_test(test_answer_after_their_close),
        cmocka_unit_test(test_tampered),      cmocka_unit_test(test_renegotiation),
        cmocka_unit_test(test_back_pressure),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
