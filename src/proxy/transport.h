/* proxy/transport.h - bytes to and from a peer, through TLS or not, over one non-blocking socket.
 *
 * Edge-triggered: the transport remembers whether the socket may have more to read or take, so no system
 * call is made that is known to answer EAGAIN. A read that came back short has emptied the socket. */
#ifndef POLDER_PROXY_TRANSPORT_H
#define POLDER_PROXY_TRANSPORT_H

#include "proxy/chunk.h"
#include "sys/loop.h"
#include "tls/conn.h"

/* Memory that all transports of a worker use in turn, never across two calls. */
struct transport_shared {
    struct loop *loop;
    struct chunk_pool *chunks;
    char *rx; /* TRANSPORT_RX_BYTES of ciphertext just received */
    char *tx; /* TRANSPORT_TX_BYTES of ciphertext to send */
};

enum { TRANSPORT_RX_BYTES = 32 * 1024, TRANSPORT_TX_BYTES = 96 * 1024 };

struct transport {
    struct io io;
    struct tls_conn *tls;     /* NULL: clear */
    struct outq cipher;       /* ciphertext the socket did not take */
    bool may_read, may_write; /* edges not yet used up */
    bool hung_up;             /* the peer closed its side: read until 0 */
    bool plain_waits;         /* TLS has plaintext that did not fit last time */
};

void transport_init(struct transport *, void (*ready)(struct io *, uint32_t));
/* Takes fd; adds it to the loop. Negative errno: the fd was closed. */
int transport_open(struct transport *, struct transport_shared *, int fd);
void transport_close(struct transport *,
                     struct transport_shared *);          /* says close_notify if it can; fine when closed */
void transport_note(struct transport *, uint32_t events); /* call first in `ready` */

/* More than 0: bytes read. 0: the peer closed. -EAGAIN: later. Other negative errno: broken; -EPROTO: TLS
 * failed. */
ssize_t transport_read(struct transport *, struct transport_shared *, char *p, size_t cap);
/* Bytes of the vector that were taken (TLS takes at most 64 KiB at once), or -EAGAIN, or broken. */
ssize_t transport_writev(struct transport *, struct transport_shared *, const struct iovec *, unsigned count);
/* Sends ciphertext that waits. 0: nothing waits any more; -EAGAIN; broken. */
int transport_flush(struct transport *, struct transport_shared *);
/* TLS_DONE, TLS_WANT_INPUT (the loop tells when), TLS_WANT_SIGNATURE, TLS_CLOSED, TLS_FAILED. */
enum tls_status transport_handshake(struct transport *, struct transport_shared *);

static inline bool transport_can_read(const struct transport *t)
{
    return t->may_read || t->plain_waits;
}

#endif
