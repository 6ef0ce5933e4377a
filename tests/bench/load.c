/* tests/bench/load.c - the two loads that wrk and h2load cannot make.
 *
 *   bench-load handshakes PORT SECONDS CONNECTIONS   a new TLS connection for every request, never resumed
 *   bench-load idle-tls|idle-clear PORT CONNECTIONS  opens them, one request on each, then holds them still
 * until standard input ends
 *
 * One line of JSON says what happened. An answer counts only when it is a 200 with a body of 1,000 bytes.
 * Connections come from many loopback addresses, so that neither ports nor limits per address run out. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BODY = 1000, HEAD_ROOM = 2048, SOURCES = 200, EVENTS = 256, SETTLE_S = 20 };

static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench-load\r\n\r\n";
enum { REQUEST_LEN = sizeof REQUEST - 1 };

/* Not const: OpenSSL's macros take them as char *. */
static char server_name[] = "localhost", group[] = "X25519";

enum phase { PHASE_CONNECT, PHASE_HANDSHAKE, PHASE_REQUEST, PHASE_ANSWER, PHASE_IDLE };
enum step { STEP_WAIT, STEP_GO_ON, STEP_DONE, STEP_FAILED };

struct conn {
    int fd;
    enum phase phase;
    SSL *ssl; /* NULL: clear text */
    size_t head_len, body_len;
    bool has_head;
    char head[HEAD_ROOM];
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

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A socket from the next of 127.0.1.1 .. 127.0.1.200, connecting. */
static int open_socket(struct load *l)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    uint32_t source = 0x7f000101u + l->next_source++ % SOURCES;
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(source)};
    bool is_connecting = bind(fd, (struct sockaddr *)&from, sizeof from) == 0 &&
                         (connect(fd, (struct sockaddr *)&l->to, sizeof l->to) == 0 || errno == EINPROGRESS);
    if (is_connecting)
        return fd;
    close(fd);
    return -1;
}

static bool conn_open(struct load *l, struct conn *c)
{
    c->fd = open_socket(l);
    c->phase = PHASE_CONNECT;
    c->head_len = c->body_len = 0;
    c->has_head = false;
    if (c->fd < 0)
        return false;
    if (l->ctx) {
        c->ssl = SSL_new(l->ctx);
        if (!c->ssl || !SSL_set_fd(c->ssl, c->fd) || !SSL_set_tlsext_host_name(c->ssl, server_name))
            return false;
        SSL_set_connect_state(c->ssl);
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

static void conn_close(struct conn *c)
{
    if (c->ssl) {
        SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

/* What OpenSSL's answer means for the connection. */
static enum step tls_step(struct conn *c, int result)
{
    if (result > 0)
        return STEP_GO_ON;
    int error = SSL_get_error(c->ssl, result);
    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? STEP_WAIT : STEP_FAILED;
}

static void describe_session(struct load *l, SSL *ssl)
{
    const X509 *certificate = SSL_get0_peer_certificate(ssl);
    const EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate) : NULL;
    snprintf(l->cipher, sizeof l->cipher, "%s %s %s", SSL_get_version(ssl), SSL_get_cipher_name(ssl),
             key ? EVP_PKEY_get0_type_name(key) : "?");
}

static enum step do_handshake(struct load *l, struct conn *c)
{
    enum step step = tls_step(c, SSL_do_handshake(c->ssl));
    if (step != STEP_GO_ON)
        return step;
    l->resumed += SSL_session_reused(c->ssl) ? 1 : 0;
    if (!l->cipher[0])
        describe_session(l, c->ssl);
    c->phase = PHASE_REQUEST;
    return STEP_GO_ON;
}

static enum step send_request(struct conn *c)
{
    if (c->ssl) {
        enum step step = tls_step(c, SSL_write(c->ssl, REQUEST, REQUEST_LEN));
        if (step == STEP_GO_ON)
            c->phase = PHASE_ANSWER;
        return step;
    }
    if (send(c->fd, REQUEST, REQUEST_LEN, MSG_NOSIGNAL) != REQUEST_LEN)
        return errno == EAGAIN ? STEP_WAIT : STEP_FAILED;
    c->phase = PHASE_ANSWER;
    return STEP_GO_ON;
}

/* Takes bytes of the answer; STEP_DONE when all of it is there. */
static enum step take_answer(struct conn *c, const char *p, size_t n)
{
    if (!c->has_head) {
        size_t room = sizeof c->head - 1 - c->head_len;
        size_t taken = n < room ? n : room;
        memcpy(c->head + c->head_len, p, taken);
        c->head_len += taken;
        c->head[c->head_len] = '\0';
        const char *end = strstr(c->head, "\r\n\r\n");
        if (!end)
            return c->head_len < sizeof c->head - 1 ? STEP_GO_ON : STEP_FAILED;
        if (strncmp(c->head, "HTTP/1.1 200", 12) != 0)
            return STEP_FAILED;
        c->has_head = true;
        n = c->head_len + (n - taken) - (size_t)(end + 4 - c->head);
    }
    c->body_len += n;
    return c->body_len < BODY ? STEP_GO_ON : c->body_len == BODY ? STEP_DONE : STEP_FAILED;
}

static enum step read_answer(struct conn *c)
{
    char in[16'384];
    if (c->ssl) {
        int n = SSL_read(c->ssl, in, sizeof in);
        enum step step = tls_step(c, n);
        return step == STEP_GO_ON ? take_answer(c, in, (size_t)n) : step;
    }
    ssize_t n = recv(c->fd, in, sizeof in, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN ? STEP_WAIT : STEP_FAILED;
    return take_answer(c, in, (size_t)n);
}

static enum step conn_step(struct load *l, struct conn *c, uint32_t events)
{
    switch (c->phase) {
    case PHASE_CONNECT:
        if (events & (EPOLLERR | EPOLLHUP))
            return STEP_FAILED;
        c->phase = c->ssl ? PHASE_HANDSHAKE : PHASE_REQUEST;
        return STEP_GO_ON;
    case PHASE_HANDSHAKE:
        return do_handshake(l, c);
    case PHASE_REQUEST:
        return send_request(c);
    case PHASE_ANSWER:
        return read_answer(c);
    case PHASE_IDLE: /* the proxy closed what should stay, or sent what nobody asked for */
        return events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP) ? STEP_FAILED : STEP_WAIT;
    }
    return STEP_FAILED;
}

static void conn_ready(struct load *l, struct conn *c, uint32_t events)
{
    enum step step;
    do
        step = conn_step(l, c, events);
    while (step == STEP_GO_ON);
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
    double start = now_s();
    for (unsigned i = 0; i < count; i++)
        l->failed += !conn_open(l, &conns[i]);
    while (now_s() - start < seconds)
        turn(l, 100);
    print_result(l, now_s() - start);
    for (unsigned i = 0; i < count; i++)
        conn_close(&conns[i]);
}

static void run_idle(struct load *l, struct conn *conns, unsigned count)
{
    enum { AT_ONCE = 4 };
    double start = now_s();
    unsigned opened = 0;
    while (l->done + l->failed < count && now_s() - start < SETTLE_S) {
        for (; opened < count && opened < l->done + l->failed + AT_ONCE; opened++)
            l->failed += !conn_open(l, &conns[opened]);
        turn(l, 100);
    }
    l->failed += count - (l->done < count ? l->done : count);
    print_result(l, now_s() - start);
    while (getchar() != EOF)
        continue;
    for (unsigned i = 0; i < count; i++)
        conn_close(&conns[i]);
}

static SSL_CTX *client_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_set1_groups_list(ctx, group)) {
        fprintf(stderr, "bench-load: no TLS context\n");
        exit(1);
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL); /* the load costs as little as it can */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    return ctx;
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
    struct rlimit files = {(rlim_t)count + 64, (rlim_t)count + 64};
    struct load l = {.epoll_fd = epoll_create1(EPOLL_CLOEXEC),
                     .is_again = is_handshakes,
                     .ctx = is_tls ? client_context() : NULL};
    if (!count || !conns || l.epoll_fd < 0 || (count > 900 && setrlimit(RLIMIT_NOFILE, &files) < 0)) {
        perror("bench-load");
        return 1;
    }
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
