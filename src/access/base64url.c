/* access/base64url.c - see base64url.h. */
#include "access/base64url.h"

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool base64url_decode(struct str text, struct arena *arena, struct str *ret)
{
    size_t n = 0;
    uint32_t bits = 0, held = 0;
    if (text.n % 4 == 1)
        return false;
    char *out = arena_bytes(arena, text.n / 4 * 3 + 2);
    for (size_t i = 0; out && i < text.n; i++) {
        int v = value_of(text.p[i]);
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        out[n++] = (char)(bits >> held & 0xff);
    }
    if (!out || (bits & ((1u << held) - 1)) != 0)
        return false;
    *ret = (struct str){out, n};
    return true;
}
