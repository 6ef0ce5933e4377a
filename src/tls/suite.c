/* tls/suite.c - TLS 1.3 key derivation, and the cache of set-up ciphers. */
#include "tls/suite.h"

#include "base/must.h"

#include <openssl/crypto.h>

#include <stdlib.h>

/* Set-up ciphers kept per suite: some 1 KB each. 512 busy connections keep theirs without a miss. */
enum { CACHE_MAX = 1024, HASH_BLOCK_MAX = 128 };

static const struct tls_suite known[] = {
    /* 2^24.5 records for AES-GCM (RFC 8446 5.5), rounded down; ChaCha20-Poly1305 has no limit that is reached. */
    {.number = 0x1301, .cipher_name = "AES-128-GCM", .digest_name = "SHA256", .key_n = 16, .secret_n = 32,
     .record_limit = 1U << 24},
    {.number = 0x1302, .cipher_name = "AES-256-GCM", .digest_name = "SHA384", .key_n = 32, .secret_n = 48,
     .record_limit = 1U << 24},
    {.number = 0x1303, .cipher_name = "ChaCha20-Poly1305", .digest_name = "SHA256", .key_n = 32, .secret_n = 32,
     .record_limit = UINT64_C(1) << 48},
};
enum { SUITE_COUNT = sizeof known / sizeof *known };

struct tls_suites {
    struct tls_suite all[SUITE_COUNT];
};

struct tls_suites *suites_new(void)
{
    struct tls_suites *s = calloc(1, sizeof *s);
    bool ok = s != NULL;
    for (unsigned i = 0; s && i < SUITE_COUNT; i++) {
        s->all[i] = known[i];
        list_init(&s->all[i].cache);
        s->all[i].cipher = EVP_CIPHER_fetch(NULL, known[i].cipher_name, NULL);
        s->all[i].digest = EVP_MD_fetch(NULL, known[i].digest_name, NULL);
        s->all[i].hash = EVP_MD_CTX_new();
        ok &= s->all[i].cipher && s->all[i].digest && s->all[i].hash;
    }
    if (ok)
        return s;
    suites_free(s);
    return NULL;
}

static void cipher_free(struct suite_cipher *c)
{
    if (c->borrower)
        *c->borrower = NULL;
    EVP_CIPHER_CTX_free(c->ctx);
    free(c);
}

void suites_free(struct tls_suites *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < SUITE_COUNT; i++) {
        for (struct list *l; s->all[i].cache.next && (l = list_pop_front(&s->all[i].cache));)
            cipher_free(container_of(l, struct suite_cipher, node));
        EVP_CIPHER_free(s->all[i].cipher);
        EVP_MD_free(s->all[i].digest);
        EVP_MD_CTX_free(s->all[i].hash);
    }
    free(s);
}

struct tls_suite *suite_find(struct tls_suites *s, uint16_t number)
{
    for (unsigned i = 0; i < SUITE_COUNT; i++)
        if (s->all[i].number == number)
            return &s->all[i];
    return NULL;
}

/* ---- key derivation */

static bool hash_two(struct tls_suite *s, const uint8_t *a, size_t a_n, const uint8_t *b, size_t b_n, uint8_t *ret)
{
    return EVP_DigestInit_ex2(s->hash, s->digest, NULL) == 1 && EVP_DigestUpdate(s->hash, a, a_n) == 1 &&
           EVP_DigestUpdate(s->hash, b, b_n) == 1 && EVP_DigestFinal_ex(s->hash, ret, NULL) == 1;
}

/* HMAC (RFC 2104) by hand: OpenSSL's own looks its algorithms up anew each time, which costs four times the hashing. */
static bool hmac(struct tls_suite *s, const uint8_t *key, const uint8_t *message, size_t n, uint8_t *ret)
{
    uint8_t inner[HASH_BLOCK_MAX], outer[HASH_BLOCK_MAX];
    size_t block = (size_t)EVP_MD_get_block_size(s->digest);
    for (size_t i = 0; i < block; i++) {
        uint8_t byte = i < s->secret_n ? key[i] : 0;
        inner[i] = byte ^ 0x36;
        outer[i] = byte ^ 0x5c;
    }
    bool ok = hash_two(s, inner, block, message, n, ret) && hash_two(s, outer, block, ret, s->secret_n, ret);
    OPENSSL_cleanse(inner, sizeof inner);
    OPENSSL_cleanse(outer, sizeof outer);
    return ok;
}

bool suite_expand_label(struct tls_suite *s, const uint8_t *secret, const char *label, uint8_t *ret, size_t n)
{
    char info[64];
    uint8_t block[EVP_MAX_MD_SIZE];
    struct buf b = buf_over(info, sizeof info);
    buf_char(&b, 0);
    buf_char(&b, (char)n);
    buf_char(&b, (char)(6 + strlen(label)));
    BUF_LIT(&b, "tls13 ");
    buf_str(&b, str_of(label));
    buf_char(&b, 0); /* no context */
    buf_char(&b, 1); /* the first block of HKDF-Expand, which is enough: RFC 5869 2.3 */
    must(n <= s->secret_n && !buf_overflowed(&b));
    bool ok = hmac(s, secret, (const uint8_t *)b.p, b.n, block);
    memcpy(ret, block, n);
    OPENSSL_cleanse(block, sizeof block);
    return ok;
}

/* ---- the cache */

/* One that nobody holds: a new one while there is room, else the one unused longest. */
static struct suite_cipher *cipher_take(struct tls_suite *s)
{
    if (s->cache_n >= CACHE_MAX || (!list_is_empty(&s->cache) &&
                                    !container_of(s->cache.prev, struct suite_cipher, node)->borrower)) {
        struct suite_cipher *oldest = container_of(s->cache.prev, struct suite_cipher, node);
        list_remove(&oldest->node);
        if (oldest->borrower)
            *oldest->borrower = NULL;
        return oldest;
    }
    struct suite_cipher *fresh = calloc(1, sizeof *fresh);
    if (!fresh || !(fresh->ctx = EVP_CIPHER_CTX_new())) {
        free(fresh);
        return NULL;
    }
    s->cache_n++;
    return fresh;
}

bool suite_borrow(struct tls_suite *s, struct suite_cipher **borrower, const uint8_t *key, bool encrypts)
{
    struct suite_cipher *c = *borrower;
    if (c) {
        if (s->cache.next != &c->node) {
            list_remove(&c->node);
            list_push_front(&s->cache, &c->node);
        }
        return true;
    }
    c = cipher_take(s);
    if (!c)
        return false;
    c->borrower = NULL;
    list_push_front(&s->cache, &c->node);
    if (EVP_CipherInit_ex2(c->ctx, s->cipher, key, NULL, encrypts, NULL) != 1)
        return false;
    c->borrower = borrower;
    *borrower = c;
    return true;
}

/* Goes to the end, where the next borrower looks first. The reset wipes the key: its connection is gone. */
void suite_give_back(struct tls_suite *s, struct suite_cipher **borrower)
{
    struct suite_cipher *c = *borrower;
    if (!c)
        return;
    *borrower = NULL;
    c->borrower = NULL;
    EVP_CIPHER_CTX_reset(c->ctx);
    list_remove(&c->node);
    list_push_back(&s->cache, &c->node);
}
