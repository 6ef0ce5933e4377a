/* json/utf8.h - one well-formed UTF-8 sequence at a time (RFC 3629 4; Unicode 15, table 3-7). */
#ifndef POLDER_JSON_UTF8_H
#define POLDER_JSON_UTF8_H

#include "base/str.h"

static inline bool utf8_continues(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The length of the well-formed sequence that p begins with (n >= 1 bytes are there), or 0. Then *ret_bad is
 * how many bytes belong to the broken one, at least 1: what U+FFFD stands for (Unicode 15, 3.9, "maximal
 * subparts"). */
static inline unsigned utf8_sequence(const char *text, size_t n, unsigned *ret_bad)
{
    const uint8_t *p = (const uint8_t *)text;
    uint8_t low = 0x80,
            high = 0xbf; /* bounds of the second byte: no overlong form, surrogate or beyond U+10FFFF */
    unsigned length;
    *ret_bad = 1;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (n < 2 || p[1] < low || p[1] > high)
        return 0;
    for (unsigned i = 2; i < length; i++) {
        *ret_bad = i;
        if (i >= n || !utf8_continues(p[i]))
            return 0;
    }
    return length;
}

/* Writes code, a Unicode scalar value, into out; returns the length. */
static inline unsigned utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    unsigned length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (unsigned i = length - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00 >> length & 0xf0) | code);
    return length;
}

#endif
