/* base/hash.h - keyed hash for tables whose keys a stranger chooses.
 * SipHash-1-3 after Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012). */
#ifndef POLDER_BASE_HASH_H
#define POLDER_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t k0, k1;
};

uint64_t hash_bytes(const struct hash_key *, const void *bytes, size_t n);

/* For keys that are ours (numbers, indexes): a mixer, not a defence. */
static inline uint64_t hash_mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    return x ^ x >> 33;
}

#endif
