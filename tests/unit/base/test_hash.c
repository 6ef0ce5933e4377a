/* SipHash-1-3: known answers for the key 00..0f (as a little-endian number each), and structure. */
#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

static const struct hash_key known_key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

static uint64_t hash_of_first(size_t n)
{
    uint8_t bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    return hash_bytes(&known_key, bytes, n);
}

static void test_known_answers(void **state)
{
    assert_true(hash_of_first(0) == 0xabac0158050fc4dc);
    assert_true(hash_of_first(1) == 0xc9f49bf37d57ca93);
}

static void test_length_content_and_key_all_count(void **state)
{
    const uint8_t zeros[64] = {0};
    uint64_t seen[65];
    for (size_t n = 0; n <= 64; n++) {
        seen[n] = hash_bytes(&known_key, zeros, n);
        for (size_t k = 0; k < n; k++)
            assert_true(seen[k] != seen[n]);
    }
    const struct hash_key other = {known_key.k0 ^ 1, known_key.k1};
    assert_true(hash_bytes(&other, zeros, 8) != seen[8]);
}

static void test_every_bit_counts(void **state)
{
    uint8_t bytes[19] = {0};
    uint64_t before = hash_bytes(&known_key, bytes, sizeof bytes);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(hash_bytes(&known_key, bytes, sizeof bytes) != before);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void test_alignment_does_not_matter(void **state)
{
    uint8_t bytes[40];
    for (size_t shift = 0; shift < 8; shift++) {
        for (size_t i = 0; i < 20; i++)
            bytes[shift + i] = (uint8_t)i;
        assert_true(hash_bytes(&known_key, bytes + shift, 20) == hash_of_first(20));
    }
}

static void test_mix_spreads(void **state)
{
    bool used[64] = {false};
    unsigned buckets = 0;
    for (uint64_t i = 0; i < 64; i++) {
        unsigned bucket = hash_mix(i) % 64;
        buckets += !used[bucket];
        used[bucket] = true;
    }
    assert_in_range(buckets, 30, 64); /* 64 balls into 64 bins leave about 40 bins used */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),    cmocka_unit_test(test_length_content_and_key_all_count),
        cmocka_unit_test(test_every_bit_counts), cmocka_unit_test(test_alignment_does_not_matter),
        cmocka_unit_test(test_mix_spreads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
