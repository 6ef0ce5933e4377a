/* base/buf.h - the one way to write bytes into memory of a given size.
 *
 * Everything that formats output goes through here: truncation is remembered, never silently
 * written past, and no function returns a "would have written" length (the mistake behind
 * CVE-2023-4966). Write all, then ask buf_overflowed() once. */
#ifndef POLDER_BASE_BUF_H
#define POLDER_BASE_BUF_H

#include "base/str.h"

struct buf {
    char *p;
    size_t n, cap;
    bool overflowed;
};

static inline struct buf buf_over(void *memory, size_t cap)
{
    return (struct buf){memory, 0, cap, false};
}

static inline void buf_add(struct buf *b, const void *bytes, size_t n)
{
    if (__builtin_expect(n > b->cap - b->n, 0)) {
        b->overflowed = true;
        return;
    }
    memcpy(b->p + b->n, bytes, n);
    b->n += n;
}

static inline void buf_str(struct buf *b, struct str s)
{
    if (s.n)
        buf_add(b, s.p, s.n);
}

static inline void buf_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_u64(struct buf *, uint64_t value);              /* decimal */
void buf_hex(struct buf *, const void *bytes, size_t n); /* lower case, two digits a byte */
void buf_hex_u64(struct buf *, uint64_t value);          /* without leading zeros */
[[gnu::format(printf, 2, 3)]] void buf_printf(struct buf *, const char *format, ...);

static inline bool buf_overflowed(const struct buf *b)
{
    return b->overflowed;
}

static inline struct str buf_text(const struct buf *b)
{
    return (struct str){b->p, b->n};
}

#define BUF_LIT(b, literal) buf_add((b), (literal), sizeof(literal) - 1)

#endif
