/* sys/channel.c - what the socket does not take waits in a list; what it brings goes straight to the owner.
 *
 * What always holds:
 * 1. While packets wait, nothing is sent past them: order is kept.
 * 2. A descriptor that arrives is either handed to `message` or closed here, whatever the packet was.
 * 3. After `closed` was called nothing of the channel is touched any more. */
#include "sys/channel.h"
#include "base/unconst.h"

#include "base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MESSAGES_A_TURN = 64, /* then the others get their turn */
    CONTROL_FDS = 4,      /* room to see, and close, what a misbehaving sender adds */
};

struct packet {
    struct list node;
    int fd; /* our own duplicate, or -1 */
    size_t n;
    char bytes[];
};

struct channel {
    struct io io;
    struct loop *loop;
    struct channel_events events;
    struct deferred more; /* a turn's share was read and there may be more */
    struct list queue;
    unsigned queued, queue_max;
};

union control {
    struct cmsghdr header; /* for its alignment */
    char space[CMSG_SPACE(CONTROL_FDS * sizeof(int))];
};

int channel_pair(int ret_fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds) ? -errno : 0;
}

bool channel_is_open(const struct channel *c)
{
    return c->io.fd >= 0;
}

/* -- sending */

static int errno_of_send(void)
{
    switch (errno) {
    case EAGAIN:
        return -EAGAIN;
    case EMSGSIZE:
        return -EMSGSIZE;
    case ENOBUFS:
    case ENOMEM:
    case ETOOMANYREFS:
        return -ENOBUFS;
    default:
        return -EPIPE; /* the reading side finds out and closes */
    }
}

static int send_now(int socket, struct str bytes, int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.space = {0}};
    struct iovec vector = {.iov_base = unconst(bytes.p), .iov_len = bytes.n};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (fd >= 0) {
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        message.msg_control = &control;
        message.msg_controllen = sizeof control.space;
    }
    ssize_t n;
    do
        n = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? errno_of_send() : 0;
}

static void packet_free(struct packet *p)
{
    if (p->fd >= 0)
        close(p->fd);
    free(p);
}

static int enqueue(struct channel *c, struct str bytes, int fd)
{
    if (c->queued == c->queue_max)
        return -ENOBUFS;
    struct packet *p = malloc(sizeof *p + bytes.n);
    if (!p)
        return -ENOBUFS;
    p->fd = -1;
    p->n = bytes.n;
    memcpy(p->bytes, bytes.p, bytes.n);
    if (fd >= 0 && (p->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0) {
        packet_free(p);
        return -ENOBUFS;
    }
    list_push_back(&c->queue, &p->node);
    c->queued++;
    return 0;
}

int channel_send(struct channel *c, struct str bytes, int fd)
{
    if (!channel_is_open(c))
        return -EPIPE;
    if (bytes.n == 0 || bytes.n > CHANNEL_MESSAGE_MAX)
        return -EMSGSIZE;
    if (c->queued)
        return enqueue(c, bytes, fd);
    int e = send_now(c->io.fd, bytes, fd);
    return e == -EAGAIN ? enqueue(c, bytes, fd) : e;
}

static void drop_first(struct channel *c)
{
    struct packet *p = container_of(c->queue.next, struct packet, node);
    list_remove(&p->node);
    packet_free(p);
    c->queued--;
}

static void flush_queue(struct channel *c)
{
    while (c->queued) {
        const struct packet *p = container_of(c->queue.next, struct packet, node);
        int e = send_now(c->io.fd, (struct str){p->bytes, p->n}, p->fd);
        if (e == -EAGAIN || e == -ENOBUFS)
            return;
        drop_first(c); /* sent, or nobody is there to read it: the reading side closes */
    }
}

/* -- receiving */

enum received { RECEIVED_MESSAGE, RECEIVED_NOTHING, RECEIVED_END };

struct packet_in {
    char bytes[CHANNEL_MESSAGE_MAX];
    size_t n;
    int fd;
};

/* Takes every descriptor that came along: the first into ret_fd, the others closed. False: more than one, or
 * something that is no descriptor. */
static bool take_fds(struct msghdr *message, int *ret_fd)
{
    bool is_fine = true;
    *ret_fd = -1;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h; h = CMSG_NXTHDR(message, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) {
            is_fine = false;
            continue;
        }
        size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
            if (*ret_fd < 0) {
                *ret_fd = fd;
            } else {
                close(fd);
                is_fine = false;
            }
        }
    }
    return is_fine;
}

static ssize_t receive_bytes(int socket, struct msghdr *message)
{
    bool was_reset = false;
    for (;;) {
        ssize_t n = recvmsg(socket, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n >= 0)
            return n;
        if (errno == EINTR)
            continue;
        /* The other side left without reading all of ours. Told once; what it sent before still waits. */
        if (errno == ECONNRESET && !was_reset) {
            was_reset = true;
            continue;
        }
        return -errno;
    }
}

static enum received receive(int socket, struct packet_in *in)
{
    union control control;
    struct iovec vector = {.iov_base = in->bytes, .iov_len = sizeof in->bytes};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space};
    ssize_t n = receive_bytes(socket, &message);
    if (n < 0)
        return n == -EAGAIN ? RECEIVED_NOTHING : RECEIVED_END;
    bool is_fine = take_fds(&message, &in->fd);
    if (n > 0 && is_fine && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        in->n = (size_t)n;
        return RECEIVED_MESSAGE;
    }
    if (in->fd >= 0)
        close(in->fd);
    return RECEIVED_END;
}

static void shut(struct channel *c)
{
    loop_undefer(&c->more);
    loop_close(c->loop, &c->io);
    while (c->queued)
        drop_first(c);
}

static void end(struct channel *c)
{
    shut(c);
    c->events.closed(c->events.self, c);
}

/* A turn's share of messages. Afterwards the channel may have ended and be gone. */
static void drain(struct channel *c)
{
    struct packet_in in;
    for (unsigned i = 0; i < MESSAGES_A_TURN; i++) {
        enum received what = receive(c->io.fd, &in);
        if (what == RECEIVED_NOTHING)
            return;
        if (what == RECEIVED_END ||
            !c->events.message(c->events.self, c, (struct str){in.bytes, in.n}, in.fd)) {
            end(c);
            return;
        }
    }
    loop_defer(c->loop, &c->more);
}

static void channel_ready(struct io *io, uint32_t events)
{
    struct channel *c = container_of(io, struct channel, io);
    if (events & EPOLLOUT)
        flush_queue(c);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        drain(c);
}

static void channel_more(struct deferred *d)
{
    drain(container_of(d, struct channel, more));
}

/* -- life */

struct channel *channel_new(struct loop *l, int fd, unsigned queue_max, struct channel_events events)
{
    must(events.message && events.closed);
    struct channel *c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return NULL;
    }
    c->io = (struct io){.ready = channel_ready, .fd = fd};
    c->loop = l;
    c->events = events;
    c->queue_max = queue_max;
    list_init(&c->queue);
    deferred_init(&c->more, channel_more);
    if (loop_add(l, &c->io, EPOLLIN | EPOLLOUT | EPOLLRDHUP) < 0) {
        close(fd);
        free(c);
        return NULL;
    }
    return c;
}

void channel_free(struct channel *c)
{
    if (!c)
        return;
    shut(c);
    free(c);
}
