/* tests/bench/wire.c - see wire.h. */
#include "wire.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static char group[] = "X25519"; /* not const: OpenSSL's macro takes it as char * */

double wire_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void wire_files(unsigned most)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur >= most)
        return;
    struct rlimit more = {most, files.rlim_max < most ? most : files.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &more) == 0)
        return;
    files.rlim_cur = files.rlim_max; /* what is allowed will have to do; more fails where it is opened */
    setrlimit(RLIMIT_NOFILE, &files);
}

SSL_CTX *wire_context(const char *alpn)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_set1_groups_list(ctx, group)) {
        fprintf(stderr, "bench: no TLS context\n");
        exit(1);
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (alpn) {
        unsigned char list[16] = {(unsigned char)strlen(alpn)};
        memcpy(list + 1, alpn, list[0]);
        if (SSL_CTX_set_alpn_protos(ctx, list, list[0] + 1u) != 0)
            exit(1);
    }
    return ctx;
}

static int open_socket(const struct sockaddr_in *to, uint32_t from)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(from)};
    bool is_connecting = bind(fd, (struct sockaddr *)&own, sizeof own) == 0 &&
                         (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0 || errno == EINPROGRESS);
    if (is_connecting)
        return fd;
    close(fd);
    return -1;
}

bool wire_open(struct wire *w, int epoll_fd, void *tag, const struct sockaddr_in *to, uint32_t from,
               SSL_CTX *ctx, const char *server_name)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = tag};
    *w = (struct wire){.fd = open_socket(to, from), .phase = WIRE_CONNECTING};
    if (w->fd < 0)
        return w->phase = WIRE_CLOSED, false;
    if (ctx) {
        w->ssl = SSL_new(ctx);
        if (w->ssl && SSL_set_fd(w->ssl, w->fd) &&
            SSL_ctrl(w->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                     (char *)(uintptr_t)server_name))
            SSL_set_connect_state(w->ssl);
        else
            return wire_close(w, true), false;
    }
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, w->fd, &event) == 0)
        return true;
    wire_close(w, true);
    return false;
}

/* What OpenSSL's answer means for the connection. */
static enum wire_step tls_step(const struct wire *w, int result)
{
    if (result > 0)
        return WIRE_OK;
    int error = SSL_get_error(w->ssl, result);
    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? WIRE_WAIT : WIRE_FAILED;
}

enum wire_step wire_advance(struct wire *w, uint32_t events)
{
    if (w->phase == WIRE_CONNECTING) {
        if (events & (EPOLLERR | EPOLLHUP))
            return WIRE_FAILED;
        if (!(events & EPOLLOUT))
            return WIRE_WAIT;
        w->phase = w->ssl ? WIRE_HANDSHAKE : WIRE_UP;
    }
    if (w->phase == WIRE_HANDSHAKE) {
        enum wire_step step = tls_step(w, SSL_do_handshake(w->ssl));
        if (step != WIRE_OK)
            return step;
        w->phase = WIRE_UP;
    }
    return w->phase == WIRE_UP ? WIRE_OK : WIRE_FAILED;
}

enum wire_step wire_send(struct wire *w, const char **p, size_t *n)
{
    while (*n) {
        size_t sent = 0;
        if (w->ssl) {
            enum wire_step step = tls_step(w, SSL_write_ex(w->ssl, *p, *n, &sent));
            if (step != WIRE_OK)
                return step;
        } else {
            ssize_t result = send(w->fd, *p, *n, MSG_NOSIGNAL);
            if (result < 0)
                return errno == EAGAIN ? WIRE_WAIT : WIRE_FAILED;
            sent = (size_t)result;
        }
        *p += sent;
        *n -= sent;
    }
    return WIRE_OK;
}

enum wire_step wire_read(struct wire *w, char *into, size_t room, size_t *ret_n)
{
    if (w->ssl)
        return tls_step(w, SSL_read_ex(w->ssl, into, room, ret_n));
    ssize_t n = recv(w->fd, into, room, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN ? WIRE_WAIT : WIRE_FAILED;
    *ret_n = (size_t)n;
    return WIRE_OK;
}

void wire_close(struct wire *w, bool abruptly)
{
    struct linger none = {1, 0};
    if (w->phase == WIRE_CLOSED)
        return;
    if (abruptly && w->fd >= 0)
        setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    else if (w->ssl)
        SSL_shutdown(w->ssl);
    ERR_clear_error();
    SSL_free(w->ssl);
    if (w->fd >= 0)
        close(w->fd);
    *w = (struct wire){.fd = -1};
}

/* ---- answers */

const char *answer_field(const struct answer *a, const char *name_with_colon)
{
    size_t n = strlen(name_with_colon);
    for (const char *line = strstr(a->head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name_with_colon, n) == 0)
            return line + 2 + n + (line[2 + n] == ' ');
    return "";
}

static void read_head(struct answer *a)
{
    a->has_head = true;
    a->status = (unsigned)strtoul(a->head + 9, NULL, 10);
    a->is_last =
        strncmp(a->head, "HTTP/1.1", 8) != 0 || strncasecmp(answer_field(a, "connection:"), "close", 5) == 0;
    const char *length = answer_field(a, "content-length:");
    a->length = strtoul(length, NULL, 10);
    a->is_chunked = strncasecmp(answer_field(a, "transfer-encoding:"), "chunked", 7) == 0;
    a->until_close = !*length && !a->is_chunked;
}

static enum wire_step take_body(struct answer *a, const char *p, size_t n)
{
    a->body_n += n;
    if (a->is_chunked) {
        for (size_t i = n > 5 ? n - 5 : 0; i < n; i++) {
            memmove(a->tail, a->tail + 1, 4);
            a->tail[4] = p[i];
        }
        return memcmp(a->tail, "0\r\n\r\n", 5) == 0 ? WIRE_OK : WIRE_WAIT;
    }
    if (a->until_close || a->body_n < a->length)
        return WIRE_WAIT;
    return a->body_n == a->length ? WIRE_OK : WIRE_FAILED;
}

enum wire_step answer_take(struct answer *a, const char *p, size_t n)
{
    if (a->has_head)
        return take_body(a, p, n);
    size_t room = sizeof a->head - 1 - a->head_n, taken = n < room ? n : room;
    memcpy(a->head + a->head_n, p, taken);
    a->head[a->head_n + taken] = '\0';
    char *end = strstr(a->head, "\r\n\r\n");
    if (!end) {
        a->head_n += taken;
        return a->head_n < sizeof a->head - 1 ? WIRE_WAIT : WIRE_FAILED;
    }
    size_t of_head = (size_t)(end + 4 - a->head) - a->head_n;
    a->head_n += of_head;
    end[2] = '\0';
    read_head(a);
    return take_body(a, p + of_head, n - of_head);
}
