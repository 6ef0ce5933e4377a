/* sys/channel.h - messages with descriptors between two processes, over SOCK_SEQPACKET.
 *
 * One packet is one message. Sending never blocks: what the socket does not take is queued up to a bound;
 * beyond it channel_send fails with -ENOBUFS and the caller decides. A packet that is too large, or
 * carries more than one descriptor, closes the channel. */
#ifndef POLDER_SYS_CHANNEL_H
#define POLDER_SYS_CHANNEL_H

#include "base/str.h"
#include "sys/loop.h"

enum { CHANNEL_MESSAGE_MAX = 8192 };

struct channel;

struct channel_events {
    /* A message; fd is -1 or a descriptor that now belongs to the receiver. False: the message was not
     * acceptable; the channel is closed and `closed` called. */
    bool (*message)(void *self, struct channel *, struct str bytes, int fd);
    /* The other side is gone or misbehaved. The channel may be freed from here. */
    void (*closed)(void *self, struct channel *);
    void *self;
};

int channel_pair(int ret_fds[2]); /* close-on-exec; negative errno */
/* Takes fd. queue_max: messages that may wait when the other side is slow. NULL: no memory. */
struct channel *channel_new(struct loop *, int fd, unsigned queue_max, struct channel_events);
void channel_free(struct channel *); /* closes; NULL is fine; not from within `message` */
/* fd -1: none; it is duplicated, the caller keeps its own. 0, or -ENOBUFS, -EPIPE, -EMSGSIZE. `closed` is
 * never called from here: after -EPIPE it comes in the loop. */
[[nodiscard]] int channel_send(struct channel *, struct str bytes, int fd);
bool channel_is_open(const struct channel *);

#endif
