/* ipc/duct.h - messages of any size between two processes, through shared memory.
 *
 * A channel (sys/channel.h) carries small messages and descriptors; a duct carries bodies. It is one memfd
 * with a ring of bytes for each direction, and an eventfd for each side as its bell. The bell is rung once a
 * turn, and only when the other side sleeps: two processes that are busy exchange messages without a system
 * call.
 *
 * What lies in shared memory is the other side's to change at any moment: a message is copied out before
 * anybody looks at it, indexes are checked, and a side that writes nonsense is cut off (`broken`). What does
 * not fit waits with the sender, in order, up to a bound. */
#ifndef POLDER_IPC_DUCT_H
#define POLDER_IPC_DUCT_H

#include "base/str.h"
#include "sys/loop.h"

enum { DUCT_RING_BYTES = 1 << 20 };

/* What a duct is made of; the master makes one and passes it to both sides. Side s waits for bells[s]. */
struct duct_parts {
    int memory, bells[2];
};
int duct_parts_make(struct duct_parts *ret); /* 0 or a negative errno */
void duct_parts_close(struct duct_parts *);  /* those that are open (>= 0), which are -1 afterwards */

struct duct;

struct duct_events {
    /* One whole message; the bytes live until the return. False: it was not acceptable, the duct is broken.
     */
    bool (*message)(void *self, struct duct *, struct str bytes);
    void (*broken)(void *self, struct duct *); /* nothing comes any more; the duct may be closed from here */
    void *self;
};

/* Takes the parts. message_max: of what comes in; backlog_max: bytes that may wait here. NULL: no memory. */
struct duct *duct_open(struct loop *, struct duct_parts take, unsigned side, size_t message_max,
                       size_t backlog_max, struct duct_events);
void duct_close(struct duct *); /* NULL is fine; not from within `message` */
/* The parts one after another are one message. False: too much waits already; nothing was sent. */
[[nodiscard]] bool duct_send(struct duct *, const struct str *parts, unsigned count);
/* Bytes that wait here because the other side does not read. */
size_t duct_waiting(const struct duct *);

#endif
