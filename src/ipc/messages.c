/* ipc/messages.c - the table of messages.def made into code. Every loop over messages is written by the
 * preprocessor: each section defines what a field and a message mean there and includes the table. */
#include "ipc/messages.h"

#include "base/cursor.h"
#include "base/must.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "integers go to the wire as they lie in memory");

#define MESSAGE(name, NAME, number, from, to, help, fields)                                                  \
    _Static_assert((size_t)MSG_##NAME##_MAX <= (size_t)CHANNEL_MESSAGE_MAX, #name " fits a packet");
#include "ipc/messages.def"
#undef MESSAGE

/* -- encoding */

static void put(struct buf *b, const void *value, size_t n)
{
    buf_add(b, value, n);
}

static void put_bytes(struct buf *b, const uint8_t *bytes, uint16_t n, size_t max)
{
    must(n <= max);
    put(b, &n, sizeof n);
    put(b, bytes, n);
}

#define FD_ONE
#define FD_MAYBE
#define U8(field)         put(b, &m->field, 1);
#define U16(field)        put(b, &m->field, 2);
#define U32(field)        put(b, &m->field, 4);
#define U64(field)        put(b, &m->field, 8);
#define BYTES(field, max) put_bytes(b, m->field, m->field##_len, (max));
#define MESSAGE(name, NAME, number, from, to, help, fields)                                                  \
    bool msg_##name##_encode(const struct msg_##name *m, struct buf *b)                                      \
    {                                                                                                        \
        const uint16_t own_number = (number);                                                                \
        put(b, &own_number, sizeof own_number);                                                              \
        fields return !buf_overflowed(b);                                                                    \
    }
#include "ipc/messages.def"
#undef MESSAGE
#undef U8
#undef U16
#undef U32
#undef U64
#undef BYTES

/* -- decoding */

static uint16_t get_bytes(struct cursor *c, uint8_t *ret, size_t max)
{
    size_t n = cursor_uint(c, 2);
    const uint8_t *p = n <= max ? cursor_bytes(c, n) : NULL;
    if (!p) {
        c->failed = true;
        return 0;
    }
    memcpy(ret, p, n);
    return (uint16_t)n;
}

#define U8(field)         m->field = (uint8_t)cursor_uint(&c, 1);
#define U16(field)        m->field = (uint16_t)cursor_uint(&c, 2);
#define U32(field)        m->field = (uint32_t)cursor_uint(&c, 4);
#define U64(field)        m->field = cursor_uint(&c, 8);
#define BYTES(field, max) m->field##_len = get_bytes(&c, m->field, (max));
#define MESSAGE(name, NAME, number, from, to, help, fields)                                                  \
    bool msg_##name##_decode(struct str bytes, struct msg_##name *m)                                         \
    {                                                                                                        \
        struct cursor c = cursor_over(bytes.p, bytes.n);                                                     \
        if (cursor_uint(&c, 2) != (number))                                                                  \
            return false;                                                                                    \
        fields return cursor_consumed(&c);                                                                   \
    }
#include "ipc/messages.def"
#undef MESSAGE
#undef U8
#undef U16
#undef U32
#undef U64
#undef BYTES
#undef FD_ONE
#undef FD_MAYBE

/* -- who may say what */

struct row {
    struct str name;
    enum role from, to;
    enum msg_fd fd;
};

#define U8(field)
#define U16(field)
#define U32(field)
#define U64(field)
#define BYTES(field, max)
#define FD_ONE   +MSG_FD_ONE
#define FD_MAYBE +MSG_FD_MAYBE
#define MESSAGE(name, NAME, number, from, to, help, fields)                                                  \
    case MSG_##NAME: {                                                                                       \
        static const struct row row = {{#name, sizeof #name - 1}, ROLE_##from, ROLE_##to, 0 fields};         \
        return &row;                                                                                         \
    }

static const struct row *row_of(enum msg_number number)
{
    switch (number) {
#include "ipc/messages.def"
    case MSG_NONE:
        break;
    }
    return NULL;
}
#undef MESSAGE
#undef U8
#undef U16
#undef U32
#undef U64
#undef BYTES
#undef FD_ONE
#undef FD_MAYBE

enum msg_number msg_number_of(struct str bytes)
{
    struct cursor c = cursor_over(bytes.p, bytes.n);
    enum msg_number number = (enum msg_number)cursor_uint(&c, 2);
    return row_of(number) ? number : MSG_NONE;
}

struct str msg_name(enum msg_number number)
{
    const struct row *row = row_of(number);
    return row ? row->name : STR("");
}

enum msg_fd msg_fd_of(enum msg_number number)
{
    const struct row *row = row_of(number);
    return row ? row->fd : MSG_FD_NONE;
}

static bool role_matches(enum role in_table, enum role role)
{
    return in_table == ROLE_ANY || in_table == role;
}

bool msg_may_come_from(enum msg_number number, enum role from, enum role to)
{
    const struct row *row = row_of(number);
    return row && role_matches(row->from, from) && role_matches(row->to, to);
}

static bool fd_is_right(enum msg_number number, int fd)
{
    enum msg_fd wanted = msg_fd_of(number);
    return wanted == MSG_FD_MAYBE || (fd >= 0) == (wanted == MSG_FD_ONE);
}

enum msg_number msg_welcome(struct str bytes, int fd, enum role from, enum role to)
{
    enum msg_number number = msg_number_of(bytes);
    return msg_may_come_from(number, from, to) && fd_is_right(number, fd) ? number : MSG_NONE;
}

struct str role_name(enum role role)
{
    static const struct str names[ROLE_COUNT] = {
        [ROLE_ANY] = {"any", 3},       [ROLE_MASTER] = {"master", 6},     [ROLE_WORKER] = {"worker", 6},
        [ROLE_SIGNER] = {"signer", 6}, [ROLE_DIALER] = {"dialer", 6},     [ROLE_OBSERVER] = {"observer", 8},
        [ROLE_FILTER] = {"filter", 6}, [ROLE_COMPILER] = {"compiler", 8}, [ROLE_OWNER] = {"owner", 5},
        [ROLE_AUDIT] = {"audit", 5},   [ROLE_EXPORTER] = {"exporter", 8},
    };
    return (unsigned)role < ROLE_COUNT ? names[role] : STR("");
}

/* -- sending */

#define MESSAGE(name, NAME, number, from, to, help, fields)                                                  \
    int msg_##name##_send(struct channel *c, const struct msg_##name *m, int fd)                             \
    {                                                                                                        \
        char memory[MSG_##NAME##_MAX];                                                                       \
        struct buf b = buf_over(memory, sizeof memory);                                                      \
        must(fd_is_right(MSG_##NAME, fd));                                                                   \
        must(msg_##name##_encode(m, &b)); /* the memory is as large as it can become */                      \
        return channel_send(c, buf_text(&b), fd);                                                            \
    }
#include "ipc/messages.def"
#undef MESSAGE
