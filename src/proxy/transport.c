#include "proxy/transport.h"

#include "base/must.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

void transport_init(struct transport *t, void (*ready)(struct io *, uint32_t))
{
    *t = (struct transport){.io = {.ready = ready, .fd = -1}};
}

int transport_open(struct transport *t, struct transport_shared *s, int fd)
{
    t->io.fd = fd;
    int error = loop_add(s->loop, &t->io, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    if (error < 0) {
        close(fd);
        t->io.fd = -1;
    }
    return error;
}

void transport_close(struct transport *t, struct transport_shared *s)
{
    if (t->io.fd >= 0) {
        if (t->tls && t->may_write && t->cipher.bytes == 0) {
            struct buf out = buf_over(s->tx, TRANSPORT_TX_BYTES);
            tls_conn_close_notify(t->tls, &out);
            if (out.n && send(t->io.fd, out.p, out.n, MSG_NOSIGNAL) < 0)
                t->may_write = false; /* the peer is gone: nothing to add */
        }
        loop_close(s->loop, &t->io);
    }
    tls_conn_free(t->tls);
    t->tls = NULL;
    outq_clear(&t->cipher, s->chunks);
    t->may_read = t->may_write = t->plain_waits = false;
}

void transport_note(struct transport *t, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        t->may_read = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        t->may_write = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        t->hung_up = true;
}

/* recv is shorter in the kernel than read; write and writev, unlike send and sendmsg, pass the sandbox
 * without a look at their arguments (SIGPIPE is ignored). */
static ssize_t receive(struct transport *t, char *p, size_t cap)
{
    ssize_t n;
    if (!t->may_read)
        return -EAGAIN;
    do
        n = recv(t->io.fd, p, cap, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno == EAGAIN)
            t->may_read = false;
        return -errno;
    }
    if ((size_t)n < cap && !t->hung_up)
        t->may_read = false;
    return n;
}

static ssize_t send_some(struct transport *t, const struct iovec *iov, unsigned count)
{
    ssize_t n;
    size_t total = 0;
    if (!t->may_write)
        return -EAGAIN;
    for (unsigned i = 0; i < count; i++)
        total += iov[i].iov_len;
    do
        n = count == 1 ? write(t->io.fd, iov[0].iov_base, iov[0].iov_len) : writev(t->io.fd, iov, (int)count);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
        return -errno;
    if (n < 0 || (size_t)n < total)
        t->may_write = false;
    return n < 0 ? -EAGAIN : n;
}

int transport_flush(struct transport *t, struct transport_shared *s)
{
    while (t->cipher.bytes) {
        struct iovec iov[8];
        ssize_t n = send_some(t, iov, outq_iov(&t->cipher, iov, 8));
        if (n < 0)
            return (int)n;
        outq_consume(&t->cipher, s->chunks, (size_t)n);
    }
    return 0;
}

/* Sends what TLS produced; what the socket does not take now is kept. */
static int send_cipher(struct transport *t, struct transport_shared *s, const struct buf *out)
{
    must(!buf_overflowed(out));
    struct str rest = buf_text(out);
    if (rest.n && t->cipher.bytes == 0) {
        struct iovec iov = {out->p, out->n};
        ssize_t n = send_some(t, &iov, 1);
        if (n < 0 && n != -EAGAIN)
            return (int)n;
        rest = str_skip(rest, n > 0 ? (size_t)n : 0);
    }
    return outq_add(&t->cipher, s->chunks, rest) ? 0 : -ENOMEM;
}

static ssize_t read_tls(struct transport *t, struct transport_shared *s, char *p, size_t cap)
{
    for (;;) {
        struct buf out = buf_over(s->tx, TRANSPORT_TX_BYTES);
        struct str in = {s->rx, 0};
        size_t n = 0;
        if (!t->plain_waits) {
            ssize_t got = receive(t, s->rx, TRANSPORT_RX_BYTES);
            if (got <= 0)
                return got;
            in.n = (size_t)got;
        }
        enum tls_status status = tls_conn_read(t->tls, in, p, cap, &n, &out);
        t->plain_waits = status == TLS_WANT_ROOM;
        int error = send_cipher(t, s, &out);
        if (n)
            return (ssize_t)n;
        if (status == TLS_CLOSED)
            return 0;
        if (status == TLS_FAILED)
            return -EPROTO;
        if (error < 0)
            return error;
    }
}

ssize_t transport_read(struct transport *t, struct transport_shared *s, char *p, size_t cap)
{
    return t->tls ? read_tls(t, s, p, cap) : receive(t, p, cap);
}

/* TLS adds at most 5 + 1 + 16 (1.3) or 5 + 8 + 16 (1.2) bytes to a record of 16 KiB: 64 KiB fit into tx. */
static ssize_t write_tls(struct transport *t, struct transport_shared *s, const struct iovec *iov,
                         unsigned count)
{
    struct buf out = buf_over(s->tx, TRANSPORT_TX_BYTES);
    size_t taken = 0;
    int error = transport_flush(t, s);
    if (error < 0)
        return error;
    for (unsigned i = 0; i < count && out.n < CHUNK_BIG_BYTES; i++) {
        struct str plain = {iov[i].iov_base, iov[i].iov_len};
        size_t n = 0;
        enum tls_status status = tls_conn_write(t->tls, plain, &n, &out);
        taken += n;
        if (status == TLS_FAILED)
            return -EPROTO;
        if (n < plain.n)
            break;
    }
    error = send_cipher(t, s, &out);
    return error < 0 ? error : (ssize_t)taken;
}

ssize_t transport_writev(struct transport *t, struct transport_shared *s, const struct iovec *iov,
                         unsigned count)
{
    return t->tls ? write_tls(t, s, iov, count) : send_some(t, iov, count);
}

enum tls_status transport_handshake(struct transport *t, struct transport_shared *s)
{
    struct str in = {s->rx, 0};
    for (;;) {
        struct buf out = buf_over(s->tx, TRANSPORT_TX_BYTES);
        enum tls_status status = tls_conn_handshake(t->tls, in, &out);
        if (send_cipher(t, s, &out) < 0)
            return TLS_FAILED;
        if (status == TLS_DONE)
            t->plain_waits = true; /* the first request may have come along with the Finished */
        if (status != TLS_WANT_INPUT)
            return status;
        ssize_t got = receive(t, s->rx, TRANSPORT_RX_BYTES);
        if (got == -EAGAIN)
            return TLS_WANT_INPUT;
        if (got <= 0)
            return TLS_CLOSED;
        in = (struct str){s->rx, (size_t)got};
    }
}
