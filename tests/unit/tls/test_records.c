/* The TLS 1.3 record layer: two of its own ends, where every byte can be bent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tls/context.h"
#include "tls/record.h"

#include <stdlib.h>

enum { OUT_MAX = 1 << 17 };

static struct tls_suites *suites;
static struct record_layer gate, peer;
static char memory[OUT_MAX];
static struct buf wire;
static uint8_t plain[RECORD_SEALED_MAX];
static size_t plain_n;

static void start(uint16_t number)
{
    struct tls_suite *suite = suite_find(suites, number);
    record_done(&gate);
    record_done(&peer);
    memset(gate.in.secret, 1, sizeof gate.in.secret);
    memset(peer.out.secret, 1, sizeof peer.out.secret);
    memset(gate.out.secret, 2, sizeof gate.out.secret);
    memset(peer.in.secret, 2, sizeof peer.in.secret);
    record_start(&gate, suite, false, 0);
    record_start(&peer, suite, true, 0);
    wire = buf_over(memory, sizeof memory);
}

static int set_up(void **state)
{
    if (tls_init() != 0 || !(suites = suites_new()))
        return -1;
    start(0x1302);
    return 0;
}

static int tear_down(void **state)
{
    record_done(&gate);
    record_done(&peer);
    suites_free(suites);
    return 0;
}

/* Lets `to` open the first record on the wire, and takes it off. */
static enum record_event receive(struct record_layer *to)
{
    const uint8_t *p = (const uint8_t *)wire.p;
    size_t n = record_length(to, p);
    if (n == 0)
        return RECORD_FAILED;
    assert_true(n <= wire.n);
    enum record_event event = record_open(to, p, n, plain, &plain_n);
    memmove(wire.p, wire.p + n, wire.n - n);
    wire.n -= n;
    return event;
}

static void peer_sends(enum record_type type, const void *p, size_t n)
{
    assert_true(record_seal(&peer, type, (struct str){p, n}, &wire));
}

static void fails_as(const char *why, uint8_t alert)
{
    assert_int_equal(receive(&gate), RECORD_FAILED);
    if (!str_eq(gate.failure, str_of(why)) || gate.alert != alert)
        fail_msg("have %.*s %d, want %s %d", STR_ARG(gate.failure), gate.alert, why, alert);
    start(0x1302);
}

/* RFC 8448 section 3 (simple 1-RTT handshake): the server's application keys, from its traffic secret. */
static void test_known_keys(void **state)
{
    static const uint8_t secret[32] = {0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56, 0xad, 0x47, 0x11,
                                       0x6b, 0x45, 0xa9, 0x50, 0x32, 0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb,
                                       0x6b, 0x3a, 0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63, 0x16, 0x43};
    static const uint8_t key[16] = {0x9f, 0x02, 0x28, 0x3b, 0x6c, 0x9c, 0x07, 0xef,
                                    0xc2, 0x6b, 0xb9, 0xf2, 0xac, 0x92, 0xe3, 0x56};
    static const uint8_t iv[12] = {0xcf, 0x78, 0x2b, 0x88, 0xdd, 0x83, 0x54, 0x9a, 0xad, 0xf1, 0xe9, 0x84};
    uint8_t have_key[16], have_iv[12];
    suite_derive(suite_find(suites, 0x1301), secret, have_key, have_iv);
    assert_memory_equal(have_key, key, sizeof key);
    assert_memory_equal(have_iv, iv, sizeof iv);
}

static void test_every_length(void **state)
{
    static char text[RECORD_PLAIN_MAX];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7 + 1);
    for (uint16_t number = 0x1301; number <= 0x1303; number++) {
        start(number);
        for (size_t n = 0; n <= sizeof text; n += n < 300 ? 1 : 977) {
            peer_sends(RECORD_APPLICATION_DATA, text, n);
            assert_int_equal(wire.n, n + RECORD_OVERHEAD);
            assert_int_equal(receive(&gate), RECORD_DATA);
            assert_int_equal(plain_n, n);
            assert_memory_equal(plain, text, n);
            gate.barren = 0;
        }
        peer_sends(RECORD_APPLICATION_DATA, text, sizeof text);
        assert_int_equal(receive(&gate), RECORD_DATA);
    }
    start(0x1302);
}

static void test_no_room(void **state)
{
    char small[RECORD_OVERHEAD + 9];
    struct buf out = buf_over(small, sizeof small);
    assert_false(record_seal(&peer, RECORD_APPLICATION_DATA, STR("ten bytes!"), &out));
    assert_int_equal(out.n, 0);
    assert_int_equal(peer.out.sequence, 0);
    assert_true(record_seal(&peer, RECORD_APPLICATION_DATA, STR("nine only"), &out));
    assert_int_equal(out.n, sizeof small);
}

static void test_tampered(void **state)
{
    for (size_t i = 3; i < 5 + 4 + 17; i++) {
        peer_sends(RECORD_APPLICATION_DATA, "text", 4);
        wire.p[i] ^= 1;
        if (i == 3 || i == 4)
            wire.n += 256; /* another length: other bytes are taken for the tag */
        fails_as("bad_record_mac", 20);
    }
    peer_sends(RECORD_APPLICATION_DATA, "text", 4); /* the version is nothing to us, but authenticated */
    wire.p[1] = 1;
    fails_as("bad_record_mac", 20);
    peer_sends(RECORD_APPLICATION_DATA, "1", 1);
    peer_sends(RECORD_APPLICATION_DATA, "2", 1);
    memmove(wire.p, wire.p + 23, 23); /* a lost record */
    wire.n = 23;
    fails_as("bad_record_mac", 20);
    peer_sends(RECORD_APPLICATION_DATA, "1", 1);
    memcpy(wire.p + 23, wire.p, 23); /* a repeated one */
    wire.n = 46;
    assert_int_equal(receive(&gate), RECORD_DATA);
    fails_as("bad_record_mac", 20);
}

static void header_fails_as(const char *header, const char *why, uint8_t alert)
{
    memcpy(wire.p, header, RECORD_HEADER);
    wire.n = RECORD_HEADER;
    fails_as(why, alert);
}

static void test_headers(void **state)
{
    header_fails_as("\x17\x03\x03\x41\x01", "record_overflow", 22); /* 2^14 + 257 */
    header_fails_as("\x17\x03\x03\xff\xff", "record_overflow", 22);
    header_fails_as("\x17\x03\x03\x00\x10", "bad_record_mac", 20);
    header_fails_as("\x17\x03\x03\x00\x00", "bad_record_mac", 20);
    header_fails_as("\x14\x03\x03\x00\x01", "unexpected_record",
                    10); /* change_cipher_spec after the handshake */
    header_fails_as("\x15\x03\x03\x00\x02", "unexpected_record", 10); /* an alert in the clear */
    header_fails_as("\x16\x03\x03\x00\x10", "unexpected_record", 10);
    header_fails_as("\x00\x03\x03\x00\x20", "unexpected_record", 10);
    header_fails_as("GET /", "unexpected_record", 10);
}

/* Seals what record_seal would not: any inner plaintext, the type and padding included. */
static void send_inner(const char *inner, size_t n)
{
    assert_true(record_seal(&peer, (uint8_t)inner[n - 1], (struct str){inner, n - 1}, &wire));
}

static void test_padding(void **state)
{
    char inner[1000] = "text\x17";
    send_inner(inner, sizeof inner);
    assert_int_equal(receive(&gate), RECORD_DATA);
    assert_int_equal(plain_n, 4);
    memset(inner, 0, sizeof inner);
    send_inner(inner, sizeof inner); /* nothing but padding: no type */
    fails_as("unexpected_record", 10);
    send_inner("\x00", 1);
    fails_as("unexpected_record", 10);
}

static void test_types(void **state)
{
    for (unsigned type = 1; type < 256; type++) {
        char inner[3] = {1, 90, (char)type};
        if (type == RECORD_ALERT || type == RECORD_HANDSHAKE || type == RECORD_APPLICATION_DATA)
            continue;
        send_inner(inner, sizeof inner);
        fails_as("unexpected_record", 10);
    }
}

static void test_alerts(void **state)
{
    peer_sends(RECORD_ALERT, "\x01\x00", 2);
    assert_int_equal(receive(&gate), RECORD_CLOSED);
    peer_sends(RECORD_ALERT, "\x01\x5a", 2); /* user_canceled: close_notify follows */
    assert_int_equal(receive(&gate), RECORD_HANDLED);
    peer_sends(RECORD_ALERT, "\x02\x50", 2);
    fails_as("peer_internal_error", 0);
    peer_sends(RECORD_ALERT, "\x01\x50", 2); /* the level means nothing (RFC 8446 6) */
    fails_as("peer_internal_error", 0);
    peer_sends(RECORD_ALERT, "\x02\xfe", 2);
    fails_as("peer_alert", 0);
    peer_sends(RECORD_ALERT, "\x02", 1);
    fails_as("bad_alert", 50);
    peer_sends(RECORD_ALERT, "\x02\x50\x00", 3);
    fails_as("bad_alert", 50);
    peer_sends(RECORD_ALERT, "", 0);
    fails_as("bad_alert", 50);
}

static const char update_only[] = {24, 0, 0, 1, 0}, update_both[] = {24, 0, 0, 1, 1};

/* The peer's own outgoing key follows its KeyUpdate. */
static void peer_updates(const char *message, unsigned cut)
{
    start(0x1302);
    if (cut)
        peer_sends(RECORD_HANDSHAKE, message, cut);
    /* Sent by hand, so the key is moved by hand: a layer of its own seals what follows. */
    peer_sends(RECORD_HANDSHAKE, message + cut, 5 - cut);
    struct record_layer fresh = {0};
    memcpy(fresh.out.secret, peer.out.secret, sizeof fresh.out.secret);
    suite_next_secret(peer.suite, fresh.out.secret);
    record_start(&fresh, peer.suite, true, 0);
    assert_true(record_seal(&fresh, RECORD_APPLICATION_DATA, STR("after"), &wire));
    record_done(&fresh);
}

static void test_key_update(void **state)
{
    for (unsigned cut = 0; cut < 5; cut++) {
        peer_updates(update_only, cut);
        for (unsigned i = 0; i < (cut ? 2 : 1); i++)
            assert_int_equal(receive(&gate), RECORD_HANDLED);
        assert_false(gate.owes_update);
        assert_int_equal(receive(&gate), RECORD_DATA);
        assert_int_equal(plain_n, 5);
        assert_memory_equal(plain, "after", 5);
    }
    peer_updates(update_both, 0);
    assert_int_equal(receive(&gate), RECORD_HANDLED);
    assert_true(gate.owes_update);
    assert_int_equal(receive(&gate), RECORD_DATA);
    /* The answer is sent when there is room, once, before any data, and moves the key. */
    struct buf none = buf_over(memory, 5);
    record_pay_update(&gate, &none);
    assert_true(gate.owes_update);
    wire.n = 0;
    assert_true(record_seal(&gate, RECORD_APPLICATION_DATA, STR("answer"), &wire));
    assert_false(gate.owes_update);
    assert_int_equal(receive(&peer), RECORD_HANDLED);
    assert_int_equal(receive(&peer), RECORD_DATA);
    assert_int_equal(plain_n, 6);
    assert_int_equal(wire.n, 0);
    start(0x1302);
}

static void message_fails_as(const char *p, size_t n, const char *why, uint8_t alert)
{
    peer_sends(RECORD_HANDSHAKE, p, n);
    fails_as(why, alert);
}

static void test_messages_refused(void **state)
{
    message_fails_as("", 0, "unexpected_message", 10);
    message_fails_as("\x18\x00\x00\x01\x02", 5, "bad_key_update", 47);
    message_fails_as("\x18\x00\x00\x02\x00\x00", 6, "unexpected_message", 10);
    message_fails_as("\x18\x00\x00\x00", 4, "unexpected_message", 10);
    message_fails_as("\x18\x00\x00\x01\x00\x18\x00\x00\x01\x00", 10, "unexpected_message",
                     10);                                                  /* not at the end */
    message_fails_as("\x01\x00\x00\x01\x00", 5, "unexpected_message", 10); /* ClientHello: no renegotiation */
    message_fails_as("\x04\x00\x00\x01\x00", 5, "unexpected_message", 10); /* a ticket to a server */
    message_fails_as("\x0b\x00\x00\x01\x00", 5, "unexpected_message", 10);
    message_fails_as("\x0d\x00\x00\x01\x00", 5, "unexpected_message", 10);
    peer_sends(RECORD_HANDSHAKE, "\x18\x00", 2); /* something between the parts of a message */
    assert_int_equal(receive(&gate), RECORD_HANDLED);
    peer_sends(RECORD_APPLICATION_DATA, "x", 1);
    fails_as("unexpected_message", 10);
}

/* The client side skips session tickets, whole, cut or joined. */
static void test_tickets_skipped(void **state)
{
    char tickets[2 * 304];
    memset(tickets, 7, sizeof tickets);
    memcpy(tickets, "\x04\x00\x01\x2c", 4);
    memcpy(tickets + 304, "\x04\x00\x01\x2c", 4);
    for (size_t cut = 1; cut < sizeof tickets; cut += 13) {
        start(0x1302);
        assert_true(record_seal(&gate, RECORD_HANDSHAKE, (struct str){tickets, cut}, &wire));
        assert_true(
            record_seal(&gate, RECORD_HANDSHAKE, (struct str){tickets + cut, sizeof tickets - cut}, &wire));
        assert_true(record_seal(&gate, RECORD_APPLICATION_DATA, STR("data"), &wire));
        assert_int_equal(receive(&peer), RECORD_HANDLED);
        assert_int_equal(receive(&peer), RECORD_HANDLED);
        assert_int_equal(receive(&peer), RECORD_DATA);
    }
    assert_true(
        record_seal(&gate, RECORD_HANDSHAKE, STR("\x04\x02\x00\x00"), &wire)); /* longer than any ticket */
    assert_int_equal(receive(&peer), RECORD_FAILED);
    start(0x1302);
}

/* Work that brings nothing is bounded. */
static void test_barren(void **state)
{
    for (unsigned i = 0; i < 32; i++) {
        peer_sends(RECORD_APPLICATION_DATA, "", 0);
        assert_int_equal(receive(&gate), RECORD_DATA);
    }
    peer_sends(RECORD_APPLICATION_DATA, "x", 1);
    assert_int_equal(receive(&gate), RECORD_DATA);
    for (unsigned i = 0; i < 32; i++) {
        peer_sends(RECORD_APPLICATION_DATA, "", 0);
        assert_int_equal(receive(&gate), RECORD_DATA);
    }
    peer_sends(RECORD_APPLICATION_DATA, "", 0);
    fails_as("too_many_empty_records", 10);
    for (unsigned i = 0; i < 32; i++) {
        peer.owes_update = true;
        record_pay_update(&peer, &wire);
        assert_int_equal(receive(&gate), RECORD_HANDLED);
    }
    peer.owes_update = true;
    record_pay_update(&peer, &wire);
    fails_as("too_many_empty_records", 10);
}

/* A key is worn after so many records: the next one comes after a KeyUpdate. */
static void test_key_wears(void **state)
{
    peer.out.sequence = gate.in.sequence = peer.suite->record_limit - 1;
    peer_sends(RECORD_APPLICATION_DATA, "last", 4);
    peer_sends(RECORD_APPLICATION_DATA, "new key", 7);
    assert_int_equal(receive(&gate), RECORD_DATA);
    assert_int_equal(receive(&gate), RECORD_HANDLED);
    assert_int_equal(receive(&gate), RECORD_DATA);
    assert_memory_equal(plain, "new key", 7);
    assert_int_equal(peer.out.sequence, 1);
    start(0x1302);
}

/* More connections than the cache of ciphers holds: each goes on under its own key. */
static void test_cipher_cache(void **state)
{
    enum { MANY = 1500 };
    struct tls_suite *suite = suite_find(suites, 0x1302);
    struct record_layer *from = calloc(MANY, sizeof *from), *to = calloc(MANY, sizeof *to);
    for (unsigned i = 0; i < MANY; i++) {
        memset(from[i].out.secret, (int)(i & 0xff), 48);
        memset(to[i].in.secret, (int)(i & 0xff), 48);
        from[i].out.secret[47] = to[i].in.secret[47] = (uint8_t)(i >> 8);
        record_start(&from[i], suite, true, 0);
        record_start(&to[i], suite, false, 0);
    }
    for (unsigned round = 0; round < 6; round++)
        for (unsigned k = 0; k < MANY; k++) {
            unsigned i = round % 2 ? k * 7 % MANY : k;
            char text[16] = "text";
            memcpy(text + 4, &i, sizeof i);
            wire.n = 0;
            assert_true(
                record_seal(&from[i], RECORD_APPLICATION_DATA, (struct str){text, sizeof text}, &wire));
            assert_int_equal(receive(&to[i]), RECORD_DATA);
            assert_memory_equal(plain, text, sizeof text);
        }
    for (unsigned i = 0; i < MANY; i++) {
        record_done(&from[i]);
        record_done(&to[i]);
    }
    free(from);
    free(to);
    wire.n = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_keys),      cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_no_room),         cmocka_unit_test(test_tampered),
        cmocka_unit_test(test_headers),         cmocka_unit_test(test_padding),
        cmocka_unit_test(test_types),           cmocka_unit_test(test_alerts),
        cmocka_unit_test(test_key_update),      cmocka_unit_test(test_messages_refused),
        cmocka_unit_test(test_tickets_skipped), cmocka_unit_test(test_barren),
        cmocka_unit_test(test_key_wears),       cmocka_unit_test(test_cipher_cache),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
