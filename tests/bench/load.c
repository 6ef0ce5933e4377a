/* tests/bench/load.c - the two loads that wrk and h2load cannot make.
 *
 *   bench-load handshakes PORT SECONDS CONNECTIONS   a new TLS connection for every request, never resumed
 *   bench-load idle-tls|idle-clear PORT CONNECTIONS  opens them, one request on each, then holds them still
 * until standard input ends
 *
 * One line of JSON says what happened. An answer counts only when it is a 200 with a body of 1,000 bytes.
 * Connections come from many loopback addresses, so that neither ports nor limits per address run out. */
#include "wire.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { BODY = 1000, SOURCES = 200, EVENTS = 256, SETTLE_S = 20 };

static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench-load\r\n\r\n";

enum phase { PHASE_OPEN, PHASE_ANSWER, PHASE_IDLE };
enum step { STEP_WAIT, STEP_DONE, STEP_FAILED };

struct conn {
    struct wire wire;
    enum phase phase;
    const char *out;
    size_t out_n;
    struct answer answer;
};

struct load {
    int epoll_fd;
    struct sockaddr_in to;
    SSL_CTX *ctx;  /* NULL: clear text */
    bool is_again; /* a connection that is done makes place for a new one */
    unsigned next_source;
    uint64_t done, failed, resumed;
    char cipher[64];
};

/* From the next of 127.0.1.1 .. 127.0.1.200. */
static bool conn_open(struct load *l, struct conn *c)
{
    uint32_t source = 0x7f000101u + l->next_source++ % SOURCES;
    c->phase = PHASE_OPEN;
    c->out = REQUEST;
    c->out_n = sizeof REQUEST - 1;
    memset(&c->answer, 0, sizeof c->answer);
    return wire_open(&c->wire, l->epoll_fd, c, &l->to, source, l->ctx, "localhost");
}

static void conn_close(struct conn *c)
{
    wire_close(&c->wire, false);
}

static void describe_session(struct load *l, SSL *ssl)
{
    const X509 *certificate = SSL_get0_peer_certificate(ssl);
    const EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate) : NULL;
    snprintf(l->cipher, sizeof l->cipher, "%s %s %s", SSL_get_version(ssl), SSL_get_cipher_name(ssl),
             key ? EVP_PKEY_get0_type_name(key) : "?");
}

static void note_session(struct load *l, SSL *ssl)
{
    l->resumed += ssl && SSL_session_reused(ssl) ? 1 : 0;
    if (ssl && !l->cipher[0])
        describe_session(l, ssl);
}

static enum step read_answer(struct conn *c)
{
    char in[16'384];
    for (;;) {
        size_t n;
        enum wire_step step = wire_read(&c->wire, in, sizeof in, &n);
        if (step != WIRE_OK)
            return step == WIRE_WAIT ? STEP_WAIT : STEP_FAILED;
        step = answer_take(&c->answer, in, n);
        if (step == WIRE_FAILED)
            return STEP_FAILED;
        if (step == WIRE_OK)
            return c->answer.status == 200 && c->answer.body_n == BODY ? STEP_DONE : STEP_FAILED;
    }
}

static enum step conn_step(struct load *l, struct conn *c, uint32_t events)
{
    enum wire_step step = WIRE_OK;
    if (c->phase == PHASE_IDLE) /* the proxy closed what should stay, or sent what nobody asked for */
        return events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP) ? STEP_FAILED : STEP_WAIT;
    if (c->phase == PHASE_OPEN) {
        step = wire_advance(&c->wire, events);
        if (step == WIRE_OK) {
            note_session(l, c->wire.ssl);
            c->phase = PHASE_ANSWER;
        }
    }
    if (step == WIRE_OK && c->out_n)
        step = wire_send(&c->wire, &c->out, &c->out_n);
    return step == WIRE_OK ? read_answer(c) : step == WIRE_WAIT ? STEP_WAIT : STEP_FAILED;
}

static void conn_ready(struct load *l, struct conn *c, uint32_t events)
{
    enum step step = conn_step(l, c, events);
    if (step == STEP_WAIT)
        return;
    l->done += step == STEP_DONE;
    l->failed += step == STEP_FAILED;
    if (step == STEP_DONE && !l->is_again) {
        c->phase = PHASE_IDLE;
        return;
    }
    conn_close(c);
    if (l->is_again && !conn_open(l, c)) {
        l->failed++;
        conn_close(c);
    }
}

static void turn(struct load *l, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(l->epoll_fd, events, EVENTS, timeout_ms);
    for (int i = 0; i < n; i++)
        conn_ready(l, events[i].data.ptr, events[i].events);
}

static void print_result(const struct load *l, double seconds)
{
    printf("{\"requests\": %llu, \"failed\": %llu, \"resumed\": %llu, \"seconds\": %.3f, \"tls\": \"%s\"}\n",
           (unsigned long long)l->done, (unsigned long long)l->failed, (unsigned long long)l->resumed,
           seconds, l->cipher);
    fflush(stdout);
}

static void run_handshakes(struct load *l, struct conn *conns, unsigned count, double seconds)
{
    double start = wire_now_s();
    for (unsigned i = 0; i < count; i++)
        l->failed += !conn_open(l, &conns[i]);
    while (wire_now_s() - start < seconds)
        turn(l, 100);
    print_result(l, wire_now_s() - start);
    for (unsigned i = 0; i < count; i++)
        conn_close(&conns[i]);
}

static void run_idle(struct load *l, struct conn *conns, unsigned count)
{
    enum { AT_ONCE = 4 };
    double start = wire_now_s();
    unsigned opened = 0;
    while (l->done + l->failed < count && wire_now_s() - start < SETTLE_S) {
        for (; opened < count && opened < l->done + l->failed + AT_ONCE; opened++)
            l->failed += !conn_open(l, &conns[opened]);
        turn(l, 100);
    }
    l->failed += count - (l->done < count ? l->done : count);
    print_result(l, wire_now_s() - start);
    while (getchar() != EOF)
        continue;
    for (unsigned i = 0; i < count; i++)
        conn_close(&conns[i]);
}

int main(int argc, char **argv)
{
    bool is_handshakes = argc == 5 && strcmp(argv[1], "handshakes") == 0;
    bool is_tls = is_handshakes || (argc == 4 && strcmp(argv[1], "idle-tls") == 0);
    if (!is_tls && !(argc == 4 && strcmp(argv[1], "idle-clear") == 0)) {
        fprintf(stderr, "usage: bench-load handshakes PORT SECONDS CONNECTIONS\n"
                        "       bench-load idle-tls|idle-clear PORT CONNECTIONS\n");
        return 2;
    }
    unsigned count = (unsigned)strtoul(argv[argc - 1], NULL, 10);
    struct conn *conns = calloc(count ? count : 1, sizeof *conns);
    struct load l = {.epoll_fd = epoll_create1(EPOLL_CLOEXEC),
                     .is_again = is_handshakes,
                     .ctx = is_tls ? wire_context(NULL) : NULL};
    if (!count || !conns || l.epoll_fd < 0) {
        perror("bench-load");
        return 1;
    }
    wire_files(count + 64);
    signal(SIGPIPE, SIG_IGN);
    l.to = (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (is_handshakes)
        run_handshakes(&l, conns, count, strtod(argv[3], NULL));
    else
        run_idle(&l, conns, count);
    SSL_CTX_free(l.ctx);
    free(conns);
    return 0;
}
