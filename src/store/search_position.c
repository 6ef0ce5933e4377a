/* Base64url without padding (RFC 4648 5). */
#include "store/search.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct str position_write(struct str bytes, struct arena *arena)
{
    size_t room = bytes.n / 3 * 4 + 4;
    char *p = arena_bytes(arena, room);
    struct buf out = buf_over(p, p ? room : 0);
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; p && i < bytes.n; i++) {
        bits = bits << 8 | (uint8_t)bytes.p[i];
        for (held += 8; held >= 6; held -= 6)
            buf_char(&out, digits[bits >> (held - 6) & 0x3f]);
    }
    if (p && held)
        buf_char(&out, digits[bits << (6 - held) & 0x3f]);
    return p ? buf_text(&out) : STR_NONE;
}

bool position_read(struct str text, struct buf *out)
{
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < text.n; i++) {
        const char *at = text.p[i] ? strchr(digits, text.p[i]) : NULL;
        if (!at)
            return false;
        bits = bits << 6 | (uint32_t)(at - digits);
        held += 6;
        if (held >= 8) {
            held -= 8;
            buf_char(out, (char)(bits >> held));
        }
    }
    return !buf_overflowed(out) && text.n % 4 != 1;
}
