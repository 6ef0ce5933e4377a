/* tests/fuzz/fuzz_tls_record.c - a peer with the right keys that says anything, on a wire that may be bent.
 *
 * The input is a script: the peer seals application data, handshake messages, alerts and other types with
 * content of the fuzzer's choice, updates its key, and the wire is bent or gets bytes of its own. Property:
 * what the gate delivers is a prefix of the application data the peer sealed, and nothing comes after a
 * failure or a close. */
#include "base/must.h"
#include "tls/context.h"
#include "tls/record.h"

enum { WIRE_MAX = 1 << 18 };

static struct record_layer gate, peer;
static char wire_memory[WIRE_MAX], said_memory[WIRE_MAX], answer_memory[64];
static struct buf wire, said;
static size_t heard_n;

static void start(uint8_t choice)
{
    static struct tls_suites *suites;
    if (!suites) {
        must(tls_init() == 0);
        suites = suites_new();
        must(suites);
    }
    struct tls_suite *suite = suite_find(suites, (uint16_t)(0x1301 + choice % 3));
    record_done(&gate);
    record_done(&peer);
    memset(gate.in.secret, 1, sizeof gate.in.secret);
    memset(peer.out.secret, 1, sizeof peer.out.secret);
    bool gate_is_client = choice & 0x80;
    record_start(&gate, suite, gate_is_client, 0);
    record_start(&peer, suite, !gate_is_client, 0);
    wire = buf_over(wire_memory, sizeof wire_memory);
    said = buf_over(said_memory, sizeof said_memory);
    heard_n = 0;
}

/* One record, or what is left of the wire when that is no whole one. False: the connection is over. */
static bool hear_one(size_t *at)
{
    uint8_t plain[RECORD_SEALED_MAX];
    const uint8_t *p = (const uint8_t *)wire.p + *at;
    size_t left = wire.n - *at, n = left < RECORD_HEADER ? 0 : record_length(&gate, p), got = 0;
    if (n == 0 || n > left)
        return false;
    enum record_event event = record_open(&gate, p, n, plain, &got);
    *at += n;
    must(event == RECORD_DATA || got == 0);
    must(heard_n + got <= said.n && memcmp(plain, said.p + heard_n, got) == 0);
    heard_n += got;
    must((event == RECORD_FAILED) == (gate.failure.n > 0));
    must(gate.barren <= 33);
    struct buf answer = buf_over(answer_memory, sizeof answer_memory);
    record_pay_update(&gate, &answer);
    return event == RECORD_DATA || event == RECORD_HANDLED;
}

static void step(uint8_t what, struct str bytes)
{
    static char zeros[300];
    switch (what % 8) {
    case 0:
    case 1:
        if (record_seal(&peer, RECORD_APPLICATION_DATA, bytes, &wire))
            buf_str(&said, bytes);
        break;
    case 2:
        (void)record_seal(&peer, RECORD_HANDSHAKE, bytes, &wire);
        break;
    case 3:
        (void)record_seal(&peer, RECORD_ALERT, bytes, &wire);
        break;
    case 4: { /* any type; 0 is none, and 23 with zeros is data that looks like padding */
        uint8_t type = bytes.n ? (uint8_t)bytes.p[0] : 0;
        bool is_zeros = type == 0 || type == RECORD_APPLICATION_DATA;
        struct str content = is_zeros ? (struct str){zeros, bytes.n} : bytes;
        if (record_seal(&peer, type, content, &wire) && type == RECORD_APPLICATION_DATA)
            buf_str(&said, content);
        break;
    }
    case 5:
        peer.owes_update = true;
        record_pay_update(&peer, &wire);
        break;
    case 6:
        buf_str(&wire, bytes);
        break;
    default:
        if (bytes.n >= 2 && wire.n)
            wire.p[((uint8_t)bytes.p[0] << 8 | (uint8_t)bytes.p[1]) % wire.n] ^= (char)(1 << (what >> 5));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    start(data[0]);
    for (size_t i = 1; i + 2 <= n;) {
        size_t length = data[i + 1] < n - i - 2 ? data[i + 1] : n - i - 2;
        step(data[i], (struct str){(const char *)data + i + 2, length});
        i += 2 + length;
    }
    for (size_t at = 0; hear_one(&at);)
        ;
    return 0;
}
