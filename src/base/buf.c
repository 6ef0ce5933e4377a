#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

static const char hex_digits[16] = "0123456789abcdef";

void buf_u64(struct buf *b, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    buf_add(b, digits + at, sizeof digits - at);
}

void buf_hex(struct buf *b, const void *bytes, size_t n)
{
    const uint8_t *in = bytes;
    if (n > (b->cap - b->n) / 2) {
        b->overflowed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        b->p[b->n++] = hex_digits[in[i] >> 4];
        b->p[b->n++] = hex_digits[in[i] & 15];
    }
}

void buf_hex_u64(struct buf *b, uint64_t value)
{
    char digits[16];
    size_t at = sizeof digits;
    do {
        digits[--at] = hex_digits[value & 15];
        value >>= 4;
    } while (value);
    buf_add(b, digits + at, sizeof digits - at);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text) {
        b->overflowed = true;
        return;
    }
    buf_add(b, text, (size_t)n);
}
