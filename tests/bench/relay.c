/* tests/bench/relay.c - the bound of `make bench`: passes bytes on and parses nothing. One upstream
 * connection for each client connection, one read and one write for each piece, edge-triggered: what any
 * proxy on this kernel must pay at least. Pieces are small here (a request, an answer of 1,000 bytes), so a
 * short write ends the pair. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, PIECE = 16 * 1024 };

struct end {
    int fd;
    struct end *other;
};

static int epoll_fd;

static int port_of(const char *text)
{
    int port = atoi(text);
    if (port < 1 || port > 65535) {
        fprintf(stderr, "usage: bench-relay PORT UPSTREAM-PORT\n");
        exit(2);
    }
    return port;
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_on(int port)
{
    struct sockaddr_in at = loopback(port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 4096) < 0) {
        perror("bench-relay");
        exit(1);
    }
    return fd;
}

static int connect_to(int port)
{
    struct sockaddr_in to = loopback(port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void watch(int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = what};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        perror("bench-relay");
        exit(1);
    }
}

static void accept_all(int listener, int upstream_port)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct end *pair = calloc(2, sizeof *pair);
        int upstream = connect_to(upstream_port);
        if (!pair || upstream < 0) {
            free(pair);
            close(fd);
            continue;
        }
        pair[0] = (struct end){fd, &pair[1]};
        pair[1] = (struct end){upstream, &pair[0]};
        watch(fd, &pair[0]);
        watch(upstream, &pair[1]);
    }
}

/* The memory of a pair is left: an event of the same turn may still point at it, and a benchmark ends soon.
 */
static void close_pair(struct end *e)
{
    close(e->fd);
    close(e->other->fd);
    e->fd = e->other->fd = -1;
}

static void pass_on(struct end *e)
{
    static char piece[PIECE];
    if (e->fd < 0)
        return;
    ssize_t n = recv(e->fd, piece, sizeof piece, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 || write(e->other->fd, piece, (size_t)n) != n)
        close_pair(e);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    if (argc != 3)
        port_of("0");
    int upstream_port = port_of(argv[2]), listener = listen_on(port_of(argv[1]));
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(listener, NULL);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                pass_on(events[i].data.ptr);
            else
                accept_all(listener, upstream_port);
        }
    }
}
