/* tests/bench/origin.c - answers every request at once with 1,000 bytes and keeps the connection.
 *
 *   bench-origin PORT
 *
 * It does as little as an HTTP server can: the end of a head and the length of a body are all it looks for,
 * so it is no bottleneck beside the load generator on the same core. For trusted clients only. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODY = 1000, FDS_MAX = 65'536, EVENTS = 256, READ_ROOM = 65'536, ANSWERS_MAX = 64 };

static const char HEAD[] =
    "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n";
enum { HEAD_LEN = sizeof HEAD - 1, ANSWER_LEN = HEAD_LEN + BODY };

struct connection {
    unsigned char end_matched, name_matched; /* how much of CR LF CR LF, and of Content-Length, was seen */
    size_t length, left;                     /* of the body that is announced; that is still to come */
};

struct origin {
    int epoll_fd, listen_fd;
    struct connection connections[FDS_MAX]; /* by descriptor */
    char answers[ANSWERS_MAX * ANSWER_LEN]; /* the same answer again and again, for pipelined requests */
    char in[READ_ROOM];
};

static int listen_on(unsigned port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 4096) < 0) {
        perror("bench-origin: listen");
        exit(1);
    }
    return fd;
}

static void watch(struct origin *o, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(o->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        close(fd);
}

static void accept_all(struct origin *o)
{
    for (;;) {
        int fd = accept4(o->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        if (fd >= FDS_MAX) {
            close(fd);
            continue;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        o->connections[fd] = (struct connection){0};
        watch(o, fd);
    }
}

/* One byte of a head; true: it was the last one. */
static bool ends_head(struct connection *c, char byte)
{
    static const char END[] = "\r\n\r\n", NAME[] = "\ncontent-length:";
    enum { NAME_LEN = sizeof NAME - 1 };
    char lower = byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
    c->end_matched = byte == END[c->end_matched] ? c->end_matched + 1 : byte == '\r';
    if (c->name_matched == NAME_LEN && byte >= '0' && byte <= '9')
        c->length = c->length * 10 + (size_t)(byte - '0');
    else if (c->name_matched == NAME_LEN)
        c->name_matched = byte == ' ' ? NAME_LEN : 0;
    else
        c->name_matched = lower == NAME[c->name_matched] ? c->name_matched + 1 : byte == '\n';
    return c->end_matched == 4;
}

/* How many requests ended in these bytes. */
static unsigned count_requests(struct connection *c, const char *p, size_t n)
{
    unsigned requests = 0;
    for (size_t i = 0; i < n;) {
        if (c->left) {
            size_t taken = c->left < n - i ? c->left : n - i;
            c->left -= taken;
            i += taken;
            requests += c->left == 0;
        } else if (ends_head(c, p[i++])) {
            size_t length = c->length;
            *c = (struct connection){.left = length};
            requests += length == 0;
        }
    }
    return requests;
}

static void answer(struct origin *o, int fd)
{
    ssize_t n = recv(fd, o->in, sizeof o->in, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    unsigned requests = n > 0 ? count_requests(&o->connections[fd], o->in, (size_t)n) : 0;
    size_t size = (size_t)requests * ANSWER_LEN;
    if (n <= 0 || requests > ANSWERS_MAX ||
        (requests && send(fd, o->answers, size, MSG_NOSIGNAL) != (ssize_t)size))
        close(fd); /* a client that does not read is none of ours */
}

int main(int argc, char **argv)
{
    static struct origin o;
    unsigned long port = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (!port || port > UINT16_MAX) {
        fprintf(stderr, "usage: bench-origin PORT\n");
        return 2;
    }
    for (unsigned i = 0; i < ANSWERS_MAX; i++) {
        memcpy(o.answers + (size_t)i * ANSWER_LEN, HEAD, HEAD_LEN);
        memset(o.answers + (size_t)i * ANSWER_LEN + HEAD_LEN, 'x', BODY);
    }
    o.listen_fd = listen_on((unsigned)port);
    o.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(&o, o.listen_fd);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(o.epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == o.listen_fd)
                accept_all(&o);
            else
                answer(&o, events[i].data.fd);
        }
    }
}
