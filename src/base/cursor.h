/* base/cursor.h - reads a binary message with a sticky error.
 *
 * After the first read past the end every call returns zero and moves nothing; ask cursor_ok()
 * or cursor_consumed() once. Integers are little endian (messages never leave the machine). */
#ifndef POLDER_BASE_CURSOR_H
#define POLDER_BASE_CURSOR_H

#include "base/str.h"

struct cursor {
    const uint8_t *at, *end;
    bool failed;
};

static inline struct cursor cursor_over(const void *bytes, size_t n)
{
    return (struct cursor){bytes, n ? (const uint8_t *)bytes + n : bytes, false};
}

/* The next n bytes, borrowed; NULL and a sticky failure when there are fewer. */
static inline const uint8_t *cursor_bytes(struct cursor *c, size_t n)
{
    if (c->failed || n > (size_t)(c->end - c->at)) {
        c->failed = true;
        return NULL;
    }
    const uint8_t *p = c->at;
    c->at += n;
    return p;
}

static inline uint64_t cursor_uint(struct cursor *c, unsigned bytes)
{
    const uint8_t *p = cursor_bytes(c, bytes);
    uint64_t value = 0;
    if (p)
        memcpy(&value, p, bytes);
    return value;
}

static inline uint64_t cursor_uint_be(struct cursor *c, unsigned bytes)
{
    const uint8_t *p = cursor_bytes(c, bytes);
    uint64_t value = 0;
    for (unsigned i = 0; p && i < bytes; i++)
        value = value << 8 | p[i];
    return value;
}

static inline size_t cursor_left(const struct cursor *c)
{
    return c->failed ? 0 : (size_t)(c->end - c->at);
}

static inline bool cursor_ok(const struct cursor *c)
{
    return !c->failed;
}

/* A message must be consumed to the last byte: anything else is not ours. */
static inline bool cursor_consumed(const struct cursor *c)
{
    return !c->failed && c->at == c->end;
}

#endif
