/* tests/bench/origin.c - answers every request at once with 1,000 bytes and keeps the connection.
 *
 *   bench-origin PORT
 *
 * It does as little as an HTTP server can: the end of a head is all it looks for, so it is no bottleneck
 * beside the load generator on the same core. For trusted clients only. */
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

struct origin {
    int epoll_fd, listen_fd;
    unsigned char matched[FDS_MAX];         /* how much of CR LF CR LF was seen, by descriptor */
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
        o->matched[fd] = 0;
        watch(o, fd);
    }
}

/* How many heads ended in these bytes. */
static unsigned count_heads(struct origin *o, int fd, const char *p, size_t n)
{
    static const char END[] = "\r\n\r\n";
    unsigned heads = 0, matched = o->matched[fd];
    for (size_t i = 0; i < n; i++) {
        matched = p[i] == END[matched] ? matched + 1 : p[i] == '\r';
        if (matched == 4) {
            heads++;
            matched = 0;
        }
    }
    o->matched[fd] = (unsigned char)matched;
    return heads;
}

static void answer(struct origin *o, int fd)
{
    ssize_t n = recv(fd, o->in, sizeof o->in, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    unsigned heads = n > 0 ? count_heads(o, fd, o->in, (size_t)n) : 0;
    size_t size = (size_t)heads * ANSWER_LEN;
    if (n <= 0 || heads > ANSWERS_MAX || (heads && send(fd, o->answers, size, MSG_NOSIGNAL) != (ssize_t)size))
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
