/* tests/bench/attack_kinds.c - what each kind of attack sends, and what it makes of what comes; see attack.c.
 */
#include "attack.h"

#include <openssl/bio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* HTTP/2, RFC 9113 6 and 7. */
enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, FRAME_HEAD = 9, CANCEL = 8 };
enum { SETTING_N = 6, SETTING_STREAMS = 3 };
enum { RESETS_AT_ONCE = 60, CONTROLS_AT_ONCE = 200 };

static char request[1024], slow_head[1024], slow_body[1024], block[1024], hello[2048];
static size_t request_n, slow_head_n, slow_body_n, block_n, hello_n;
static const char SLOW_LINE[] = "X-Piece: 1\r\n";
static const char H2_START[] =
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    "\0\0\x06\4\0\0\0\0\0\0\x04\x7f\xff\xff\xff" /* SETTINGS: streams' windows, the largest */
    "\0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0";        /* WINDOW_UPDATE of the connection */
static const char SETTINGS_ACK[] = "\0\0\0\4\1\0\0\0\0";

/* ---- bytes */

static void block_text(unsigned char name, const char *text)
{
    size_t n = strlen(text);
    if (name >= 15) { /* an index of 4 bits does not hold it, RFC 7541 5.1 */
        block[block_n++] = 15;
        block[block_n++] = (char)(name - 15);
    } else {
        block[block_n++] = (char)name;
    }
    block[block_n++] = (char)n;
    memcpy(block + block_n, text, n);
    block_n += n;
}

/* One ClientHello of OpenSSL's, for everybody: the gate has its work with it all the same. */
static bool hello_make(SSL_CTX *ctx)
{
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (!ssl || !in || !out)
        return false;
    SSL_set_bio(ssl, in, out);
    SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (char *)(uintptr_t)plan.host);
    SSL_set_connect_state(ssl);
    (void)SSL_do_handshake(ssl);
    int n = BIO_read(out, hello, sizeof hello);
    hello_n = n > 0 ? (size_t)n : 0;
    SSL_free(ssl);
    return hello_n > 0;
}

bool bytes_make(SSL_CTX *ctx)
{
    const char *before = plan.cookie[0] ? "Cookie: " : "", *after = plan.cookie[0] ? "\r\n" : "";
    request_n = (size_t)snprintf(
        request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n%s%s%s\r\n", plan.path,
        plan.host, before, plan.cookie, after);
    slow_head_n = (size_t)snprintf(slow_head, sizeof slow_head, "GET %s HTTP/1.1\r\nHost: %s\r\n", plan.path,
                                   plan.host);
    slow_body_n =
        (size_t)snprintf(slow_body, sizeof slow_body,
                         "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\nContent-Length: "
                         "100000\r\n\r\n",
                         plan.path, plan.host);
    block[block_n++] = (char)0x82; /* :method GET and :scheme https, from the static table */
    block[block_n++] = (char)0x87;
    block_text(4, plan.path);
    block_text(1, plan.host);
    block_text(58, "Mozilla/5.0");
    return !ctx || hello_make(ctx);
}

static char *frame_head(char *p, size_t n, unsigned type, unsigned flags, uint32_t stream)
{
    const unsigned char head[FRAME_HEAD] = {
        (unsigned char)(n >> 16),      (unsigned char)(n >> 8),      (unsigned char)n,
        (unsigned char)type,           (unsigned char)flags,         (unsigned char)(stream >> 24),
        (unsigned char)(stream >> 16), (unsigned char)(stream >> 8), (unsigned char)stream};
    memcpy(p, head, sizeof head);
    return p + sizeof head;
}

static char *request_frame(struct bot *b, char *p)
{
    p = frame_head(p, block_n, HEADERS, END_STREAM | END_HEADERS, b->h2.next_stream);
    memcpy(p, block, block_n);
    b->h2.next_stream += 2;
    return p + block_n;
}

/* ---- HTTP/1.1 */

bool h1_up(struct bot *b)
{
    memset(&b->answer, 0, offsetof(struct answer, head));
    b->is_busy = true;
    counts.asked += !plan.is_open && is_counting();
    return bot_send(b, request, request_n);
}

void h1_answered(struct bot *b)
{
    b->is_busy = false;
    counts.good += b->answer.status == 200 && is_counting();
    counts.refused += b->answer.status != 200 && is_counting();
}

bool h1_bytes(struct bot *b, const char *p, size_t n)
{
    enum wire_step step = b->is_busy ? answer_take(&b->answer, p, n) : WIRE_FAILED;
    if (step != WIRE_OK)
        return step == WIRE_WAIT;
    h1_answered(b);
    if (b->answer.is_last)
        return bot_done(b), true;
    return plan.is_open || h1_up(b);
}

/* ---- handshakes */

bool hello_up(struct bot *b)
{
    counts.pieces += is_counting();
    return bot_send(b, hello, hello_n);
}

bool hello_bytes(struct bot *b, const char *p, size_t n)
{
    counts.good += n && p[0] == 22 && is_counting(); /* a handshake record: it has signed */
    bot_done(b);
    return true;
}

bool handshake_up(struct bot *b)
{
    counts.good += is_counting();
    bot_done(b);
    return true;
}

/* ---- slow */

bool slow_head_up(struct bot *b)
{
    return bot_send(b, slow_head, slow_head_n);
}

bool slow_head_tick(struct bot *b, double now)
{
    b->next_s = now + plan.every_s;
    counts.pieces += is_counting();
    return bot_send(b, SLOW_LINE, sizeof SLOW_LINE - 1);
}

bool slow_body_up(struct bot *b)
{
    return bot_send(b, slow_body, slow_body_n);
}

bool slow_body_tick(struct bot *b, double now)
{
    b->next_s = now + plan.every_s;
    counts.pieces += is_counting();
    return bot_send(b, "x", 1);
}

/* ---- HTTP/2 */

bool h2_up(struct bot *b)
{
    return bot_send(b, H2_START, sizeof H2_START - 1);
}

/* What there is to say goes out in one piece; what the socket does not take yet, later. */
static bool own_send(struct bot *b, const char *end)
{
    return end == b->own || bot_send(b, b->own, (size_t)(end - b->own));
}

static bool streams_fill(struct bot *b)
{
    char *p = b->own;
    if (b->out_n)
        return true;
    if (b->h2.is_settings_due) {
        memcpy(p, SETTINGS_ACK, FRAME_HEAD);
        p += FRAME_HEAD;
        b->h2.is_settings_due = false;
    }
    while (plan.kind->up == streams_up && b->h2.running < b->h2.most && may_request() &&
           (size_t)(p - b->own) + FRAME_HEAD + block_n < sizeof b->own) {
        p = request_frame(b, p);
        b->h2.running++;
        counts.asked += is_counting();
    }
    return own_send(b, p);
}

bool streams_up(struct bot *b)
{
    return h2_up(b) && streams_fill(b);
}

static void settings_came(struct h2_side *h)
{
    for (unsigned i = FRAME_HEAD; i + SETTING_N <= h->head_n; i += SETTING_N) {
        const unsigned char *p = h->head + i;
        uint32_t value = (uint32_t)p[2] << 24 | (uint32_t)p[3] << 16 | (uint32_t)p[4] << 8 | p[5];
        if (p[1] == SETTING_STREAMS && value < h->most)
            h->most = value;
    }
    h->is_settings_due = true;
}

/* How much of a frame is looked at: of SETTINGS all, of an answer's head the first byte. */
static unsigned frame_wanted(const struct h2_side *h, unsigned size)
{
    unsigned most = h->head[3] == SETTINGS ? H2_HEAD_ROOM - FRAME_HEAD : 1;
    return FRAME_HEAD + (size < most ? size : most);
}

/* The first byte 0x88 of a head is status 200 (RFC 7541, A). */
static bool frame_came(struct bot *b)
{
    unsigned type = b->h2.head[3], flags = b->h2.head[4];
    if (type == SETTINGS && !(flags & ACK))
        settings_came(&b->h2);
    if (type == HEADERS) {
        counts.good += b->h2.head[9] == 0x88 && is_counting();
        counts.refused += b->h2.head[9] != 0x88 && is_counting();
    }
    bool ends = ((type == DATA || type == HEADERS) && flags & END_STREAM) || type == RST_STREAM;
    b->h2.running -= ends && b->h2.running;
    return type != GOAWAY;
}

bool h2_bytes(struct bot *b, const char *p, size_t n)
{
    struct h2_side *h = &b->h2;
    while (n) {
        if (h->skip) {
            size_t taken = n < h->skip ? n : h->skip;
            h->skip -= (unsigned)taken;
            p += taken;
            n -= taken;
            continue;
        }
        h->head[h->head_n++] = (unsigned char)*p++;
        n--;
        unsigned size = (unsigned)h->head[0] << 16 | (unsigned)h->head[1] << 8 | h->head[2];
        if (h->head_n < FRAME_HEAD || h->head_n < frame_wanted(h, size))
            continue;
        h->skip = size - (h->head_n - FRAME_HEAD);
        bool is_fine = frame_came(b);
        h->head_n = 0;
        if (!is_fine)
            return false;
    }
    return streams_fill(b);
}

bool streams_bytes(struct bot *b, const char *p, size_t n)
{
    return h2_bytes(b, p, n);
}

bool resets_tick(struct bot *b, double now)
{
    char *p = b->own;
    b->next_s = now;
    for (unsigned i = 0; i < RESETS_AT_ONCE && may_request(); i++) {
        uint32_t stream = b->h2.next_stream;
        p = request_frame(b, p);
        p = frame_head(p, 4, RST_STREAM, 0, stream);
        memcpy(p, (const char[]){0, 0, 0, CANCEL}, 4);
        p += 4;
        counts.pieces += is_counting();
    }
    return own_send(b, p);
}

static char *continuation(struct bot *b, char *p)
{
    /* The same short field again and again: "x: y", never added to the table. */
    static const char FIELD[] = "\0\1x\1y";
    if (!b->h2.has_gone_on) {
        p = frame_head(p, block_n, HEADERS, END_STREAM, 1);
        memcpy(p, block, block_n);
        p += block_n;
        b->h2.has_gone_on = true;
    }
    p = frame_head(p, sizeof FIELD - 1, CONTINUATION, 0, 1);
    memcpy(p, FIELD, sizeof FIELD - 1);
    return p + sizeof FIELD - 1;
}

bool control_tick(struct bot *b, double now)
{
    char *p = b->own;
    b->next_s = now;
    for (unsigned i = 0; i < CONTROLS_AT_ONCE && may_request(); i++) {
        counts.pieces += is_counting();
        if (b->serial % 4 == 3) {
            p = continuation(b, p);
        } else if (i % 2) {
            p = frame_head(p, 0, SETTINGS, 0, 0);
        } else {
            p = frame_head(p, 8, PING, 0, 0);
            memset(p, 0, 8);
            p += 8;
        }
    }
    return own_send(b, p);
}
