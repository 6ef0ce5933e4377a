/* SHA-1 (RFC 3174), for the transformation of that name only: rules use it to spread values, nothing rests on
 * its strength. */
#include "waf/transform.h"

static uint32_t rotate(uint32_t x, unsigned by)
{
    return x << by | x >> (32 - by);
}

static uint32_t mix(unsigned round, uint32_t b, uint32_t c, uint32_t d)
{
    switch (round / 20) {
    case 0:
        return ((b & c) | (~b & d)) + 0x5a827999;
    case 1:
        return (b ^ c ^ d) + 0x6ed9eba1;
    case 2:
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    default:
        return (b ^ c ^ d) + 0xca62c1d6;
    }
}

static void add_block(uint32_t state[5], const uint8_t block[64])
{
    uint32_t w[80], s[5];
    for (unsigned i = 0; i < 16; i++) {
        const uint8_t *p = block + 4 * (size_t)i;
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
    for (unsigned i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    memcpy(s, state, sizeof s);
    for (unsigned i = 0; i < 80; i++) {
        uint32_t next = rotate(s[0], 5) + mix(i, s[1], s[2], s[3]) + s[4] + w[i];
        s[4] = s[3];
        s[3] = s[2];
        s[2] = rotate(s[1], 30);
        s[1] = s[0];
        s[0] = next;
    }
    for (unsigned i = 0; i < 5; i++)
        state[i] += s[i];
}

struct str transform_sha1(struct str in, const struct unicode_map *, struct arena *arena)
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t tail[128] = {0};
    size_t whole = in.n / 64 * 64, left = in.n - whole, tail_n = left + 9 <= 64 ? 64 : 128;
    uint8_t *out = (uint8_t *)arena_bytes(arena, 20);
    if (!out)
        return STR_NONE;
    for (size_t i = 0; i < whole; i += 64)
        add_block(state, (const uint8_t *)in.p + i);
    if (left)
        memcpy(tail, in.p + whole, left);
    tail[left] = 0x80;
    for (unsigned i = 0; i < 8; i++)
        tail[tail_n - 1 - i] = (uint8_t)((uint64_t)in.n * 8 >> (8 * i));
    for (size_t i = 0; i < tail_n; i += 64)
        add_block(state, tail + i);
    for (unsigned i = 0; i < 20; i++)
        out[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
    return (struct str){(const char *)out, 20};
}
