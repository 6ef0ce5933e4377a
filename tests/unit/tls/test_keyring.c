/* The keyring signs handshakes and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kit.h"

#include "tls/schemes.h"

#include <openssl/pem.h>

static struct kit_cert *p256, *p384, *rsa;
static struct keyring *ring;
static struct arena *arena;
static uint8_t p256_sha[32], p384_sha[32], rsa_sha[32];

static bool add(uint64_t generation, const struct kit_cert *c, uint8_t *sha)
{
    struct str error = STR_NONE;
    bool ok = keyring_add(ring, generation, c->key_pem, sha, arena, &error);
    assert_int_equal(ok, error.n == 0);
    return ok;
}

static int set_up(void **state)
{
    if (tls_init() != 0)
        return -1;
    p256 = kit_cert(&(struct kit_spec){.subject = "p256"});
    p384 = kit_cert(&(struct kit_spec){.subject = "p384", .key = "P-384"});
    rsa = kit_cert(&(struct kit_spec){.subject = "rsa", .key = "RSA-3072"});
    return 0;
}

static int tear_down(void **state)
{
    kit_free_all();
    return 0;
}

static int ring_up(void **state)
{
    arena = arena_new(1 << 16);
    ring = keyring_new();
    add(1, p256, p256_sha);
    add(1, p384, p384_sha);
    add(2, rsa, rsa_sha);
    return 0;
}

static int ring_down(void **state)
{
    keyring_free(ring);
    arena_free(arena);
    return 0;
}

static struct msg_sign request(uint8_t kind, uint16_t scheme, const uint8_t *sha, size_t input_n)
{
    struct msg_sign m = {.id = 7, .kind = kind, .scheme = scheme, .public_sha256_len = 32};
    memcpy(m.public_sha256, sha, 32);
    memset(m.input, 0x5a, input_n);
    m.input_len = (uint16_t)input_n;
    return m;
}

static bool verifies(EVP_PKEY *key, const char *digest, bool is_pss, const uint8_t *tbs, size_t tbs_n,
                     const struct msg_signature *s)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    bool ok = EVP_DigestVerifyInit_ex(ctx, &pctx, digest, NULL, NULL, key, NULL) == 1;
    if (ok && is_pss)
        ok = EVP_PKEY_CTX_set_rsa_padding(pctx, 6) == 1 && EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, -1) == 1;
    ok = ok && EVP_DigestVerify(ctx, s->signature, s->signature_len, tbs, tbs_n) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static void test_signs_tls13(void **state)
{
    static const struct {
        uint16_t scheme;
        const char *digest;
        bool is_pss;
    } cases[] = {{SCHEME_ECDSA_P256_SHA256, "SHA256", false},
                 {SCHEME_ECDSA_P384_SHA384, "SHA384", false},
                 {SCHEME_RSA_PSS_SHA256, "SHA256", true},
                 {SCHEME_RSA_PSS_SHA384, "SHA384", true},
                 {SCHEME_RSA_PSS_SHA512, "SHA512", true}};
    for (unsigned i = 0; i < 5; i++)
        for (uint8_t kind = SIGN_TLS13_SERVER; kind <= SIGN_TLS13_CLIENT; kind++)
            for (size_t n = 32; n <= 48; n += 16) {
                const struct kit_cert *c = i == 0 ? p256 : i == 1 ? p384 : rsa;
                struct msg_sign m = request(kind, cases[i].scheme,
                                            i == 0   ? p256_sha
                                            : i == 1 ? p384_sha
                                                     : rsa_sha,
                                            n);
                struct msg_signature s;
                assert_true(keyring_sign(ring, &m, false, &s));
                assert_int_equal(s.id, 7);
                uint8_t tbs[SIGN_INPUT_MAX];
                sign_prefix(kind, tbs);
                memcpy(tbs + SIGN_TLS13_PREFIX, m.input, n);
                assert_true(
                    verifies(c->key, cases[i].digest, cases[i].is_pss, tbs, SIGN_TLS13_PREFIX + n, &s));
                assert_false(verifies(c->key, cases[i].digest, cases[i].is_pss, m.input, n, &s));
            }
}

static void refused(struct msg_sign *m, bool tls12)
{
    struct msg_signature s;
    memset(&s, 0xff, sizeof s);
    assert_false(keyring_sign(ring, m, tls12, &s));
    assert_int_equal(s.id, m->id);
    assert_int_equal(s.signature_len, 0);
}

static void test_refuses_lengths(void **state)
{
    for (size_t n = 0; n <= 512; n++) {
        struct msg_sign m = request(SIGN_TLS13_SERVER, SCHEME_ECDSA_P256_SHA256, p256_sha, n);
        if (n != 32 && n != 48)
            refused(&m, true);
    }
}

static void test_refuses_kinds_and_schemes(void **state)
{
    for (unsigned kind = 0; kind < 256; kind++) {
        struct msg_sign m = request((uint8_t)kind, SCHEME_ECDSA_P256_SHA256, p256_sha, 32);
        if (kind != SIGN_TLS13_SERVER && kind != SIGN_TLS13_CLIENT)
            refused(&m, true);
    }
    for (unsigned scheme = 0; scheme < 65536; scheme++) {
        struct msg_sign m = request(SIGN_TLS13_SERVER, (uint16_t)scheme, p256_sha, 32);
        if (scheme != SCHEME_ECDSA_P256_SHA256)
            refused(&m, true);
        memcpy(m.public_sha256, p384_sha, 32);
        if (scheme != SCHEME_ECDSA_P384_SHA384)
            refused(&m, true);
        memcpy(m.public_sha256, rsa_sha, 32);
        if (scheme < SCHEME_RSA_PSS_SHA256 || scheme > SCHEME_RSA_PSS_SHA512)
            refused(&m, true);
    }
}

static void test_refuses_unknown_keys(void **state)
{
    struct msg_sign m = request(SIGN_TLS13_SERVER, SCHEME_ECDSA_P256_SHA256, p256_sha, 32);
    m.public_sha256[31] ^= 1;
    refused(&m, true);
    m.public_sha256[31] ^= 1;
    m.public_sha256_len = 31;
    refused(&m, true);
    m.public_sha256_len = 0;
    refused(&m, true);
}

/* Client random, server random, ServerECDHParams. */
static struct msg_sign request12(uint8_t group, uint8_t point_n, uint8_t form)
{
    struct msg_sign m = request(SIGN_TLS12_SERVER, SCHEME_ECDSA_P256_SHA256, p256_sha, 64 + 4 + point_n);
    const uint8_t head[5] = {3, 0, group, point_n, form};
    memcpy(m.input + 64, head, sizeof head);
    return m;
}

static void test_signs_tls12(void **state)
{
    static const struct {
        uint8_t group, n, form;
    } good[] = {{29, 32, 9}, {23, 65, 4}, {24, 97, 4}};
    for (unsigned i = 0; i < 3; i++) {
        struct msg_sign m = request12(good[i].group, good[i].n, good[i].form);
        struct msg_signature s;
        assert_true(keyring_sign(ring, &m, true, &s));
        assert_true(verifies(p256->key, "SHA256", false, m.input, m.input_len, &s));
        refused(&m, false); /* not where TLS 1.2 is off */
        memset(m.input, ' ', 32);
        refused(&m, true); /* could pass for the beginning of a TLS 1.3 input */
    }
}

static void test_refuses_tls12_shapes(void **state)
{
    for (unsigned group = 0; group < 256; group++)
        for (unsigned n = 1; n < 256; n++) {
            bool is_good = (group == 29 && n == 32) || (group == 23 && n == 65) || (group == 24 && n == 97);
            struct msg_sign m = request12((uint8_t)group, (uint8_t)n, 4);
            if (!is_good)
                refused(&m, true);
        }
    struct msg_sign m = request12(23, 65, 2); /* a compressed point */
    refused(&m, true);
    m = request12(29, 32, 0);
    m.input[64] = 1; /* explicit_prime */
    refused(&m, true);
    m = request12(29, 32, 0);
    m.input_len++;
    refused(&m, true);
    m.input_len -= 2;
    refused(&m, true);
    m = request12(29, 32, 0);
    m.input_len = 64;
    refused(&m, true);
    m.input_len = 0;
    refused(&m, true);
    /* A whole TLS 1.3 input as kind 3 */
    m = request(SIGN_TLS12_SERVER, SCHEME_ECDSA_P256_SHA256, p256_sha, SIGN_TLS13_PREFIX + 32);
    sign_prefix(SIGN_TLS13_SERVER, m.input);
    refused(&m, true);
}

static void test_generations(void **state)
{
    uint8_t sha[32];
    struct msg_sign with_p256 = request(SIGN_TLS13_SERVER, SCHEME_ECDSA_P256_SHA256, p256_sha, 32);
    struct msg_sign with_p384 = request(SIGN_TLS13_SERVER, SCHEME_ECDSA_P384_SHA384, p384_sha, 32);
    struct msg_signature s;
    assert_true(add(3, p256, sha)); /* the same key again */
    assert_memory_equal(sha, p256_sha, 32);
    keyring_keep_from(ring, 2);
    assert_true(keyring_sign(ring, &with_p256, false, &s));
    refused(&with_p384, false);
    keyring_keep_from(ring, 4);
    refused(&with_p256, false);
    assert_true(add(5, p384, sha));
    assert_true(keyring_sign(ring, &with_p384, false, &s));
}

static void cannot_add(struct str pem, const char *why)
{
    uint8_t sha[32];
    struct str error = STR_NONE;
    assert_false(keyring_add(ring, 1, pem, sha, arena, &error));
    if (str_find(error, str_of(why)) < 0)
        fail_msg("%.*s does not say %s", STR_ARG(error), why);
}

static void test_refuses_keys(void **state)
{
    cannot_add(kit_cert(&(struct kit_spec){.subject = "weak", .key = "RSA-2048"})->key_pem, "3072");
    cannot_add(kit_cert(&(struct kit_spec){.subject = "odd", .key = "P-521"})->key_pem, "P-256");
    cannot_add(STR_NONE, "PEM");
    cannot_add(STR("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "PEM");
    cannot_add(p256->chain_pem, "PEM");
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, ed, NULL, NULL, 0, NULL, NULL);
    char *p = NULL;
    long n = BIO_get_mem_data(bio, &p);
    cannot_add((struct str){p, (size_t)n}, "ECDSA");
    BIO_free(bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, p256->key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL,
                             NULL);
    n = BIO_get_mem_data(bio, &p);
    cannot_add((struct str){p, (size_t)n}, "password");
    BIO_free(bio);
    EVP_PKEY_free(ed);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, ring_up, ring_down)
    const struct CMUnitTest tests[] = {
        TEST(test_signs_tls13),          TEST(test_refuses_lengths), TEST(test_refuses_kinds_and_schemes),
        TEST(test_refuses_unknown_keys), TEST(test_signs_tls12),     TEST(test_refuses_tls12_shapes),
        TEST(test_generations),          TEST(test_refuses_keys),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
