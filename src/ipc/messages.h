/* ipc/messages.h - the messages of messages.def: structs, encoders, decoders.
 *
 * On the wire: the number (16 bits), then the fields in their order, little endian; BYTES as its length
 * (16 bits) and that many bytes. A message is consumed to the last byte or refused, and what a role has no
 * business to send is refused by msg_welcome(): the receiver then ends the channel. */
#ifndef POLDER_IPC_MESSAGES_H
#define POLDER_IPC_MESSAGES_H

#include "base/buf.h"
#include "sys/channel.h"

enum role {
    ROLE_ANY, /* only in the table: every role */
    ROLE_MASTER,
    ROLE_WORKER,
    ROLE_SIGNER,
    ROLE_DIALER,
    ROLE_OBSERVER,
    ROLE_FILTER,
    ROLE_COMPILER,
    ROLE_OWNER, /* of polder-records, as ROLE_AUDIT */
    ROLE_AUDIT,
    ROLE_EXPORTER,
};
enum { ROLE_COUNT = 11 };

struct str role_name(enum role); /* "worker"; empty for what is no role */

enum msg_number {
    MSG_NONE = 0,
#define MESSAGE(name, NAME, number, from, to, help, fields) MSG_##NAME = (number),
#include "ipc/messages.def"
#undef MESSAGE
};

#define U8(field)  uint8_t field;
#define U16(field) uint16_t field;
#define U32(field) uint32_t field;
#define U64(field) uint64_t field;
#define BYTES(field, max)                                                                                    \
    uint16_t field##_len;                                                                                    \
    uint8_t field[max];
#define FD_ONE
#define FD_MAYBE
#define MESSAGE(name, NAME, number, from, to, help, fields)                                                  \
    struct msg_##name {                                                                                      \
        fields                                                                                               \
    };
#include "ipc/messages.def"
#undef MESSAGE
#undef U8
#undef U16
#undef U32
#undef U64
#undef BYTES

/* The most bytes a message takes on the wire: MSG_<NAME>_MAX. */
#define U8(field)                                           +1
#define U16(field)                                          +2
#define U32(field)                                          +4
#define U64(field)                                          +8
#define BYTES(field, max)                                   +2 + (max)
#define MESSAGE(name, NAME, number, from, to, help, fields) MSG_##NAME##_MAX = 2 fields,
enum {
#include "ipc/messages.def"
};
#undef MESSAGE
#undef U8
#undef U16
#undef U32
#undef U64
#undef BYTES
#undef FD_ONE
#undef FD_MAYBE

/* Appends; false when the buffer is too small. A length above its maximum is our own fault. */
#define MESSAGE(name, NAME, number, from, to, help, fields)                                                  \
    [[nodiscard]] bool msg_##name##_encode(const struct msg_##name *, struct buf *);
#include "ipc/messages.def"
#undef MESSAGE

/* False unless the bytes are exactly that message; *ret may then be half written. Of BYTES only the length
 * used is copied. */
#define MESSAGE(name, NAME, number, from, to, help, fields)                                                  \
    [[nodiscard]] bool msg_##name##_decode(struct str bytes, struct msg_##name *ret);
#include "ipc/messages.def"
#undef MESSAGE

/* Encodes and sends; fd as the table says, -1 for none. Returns what channel_send returns. */
#define MESSAGE(name, NAME, number, from, to, help, fields)                                                  \
    [[nodiscard]] int msg_##name##_send(struct channel *, const struct msg_##name *, int fd);
#include "ipc/messages.def"
#undef MESSAGE

enum msg_number msg_number_of(struct str bytes); /* MSG_NONE: unknown */
struct str msg_name(enum msg_number);            /* "hello"; empty when unknown */
bool msg_may_come_from(enum msg_number, enum role from, enum role to);

enum msg_fd { MSG_FD_NONE, MSG_FD_ONE, MSG_FD_MAYBE };
enum msg_fd msg_fd_of(enum msg_number); /* whether a descriptor comes along */

/* The first look at whatever arrived on the channel to `from`: its number when `from` may send that to `to`,
 * with or without a descriptor as it came; MSG_NONE otherwise: close fd, end the channel. */
enum msg_number msg_welcome(struct str bytes, int fd, enum role from, enum role to);

#endif
