/* tls/suite.c - TLS 1.3 key derivation, and the cache of set-up ciphers. */
#include "tls/suite.h"

#include <openssl/crypto.h>

#include <stdlib.h>

/* Set-up ciphers kept per suite: some 1 KB each. 512 busy connections keep theirs without a miss. */
enum { CACHE_MAX = 1024 };

static const struct tls_suite known[] = {
    /* 2^24.5 records for AES-GCM (RFC 8446 5.5), rounded down; ChaCha20-Poly1305 has no limit that is
       reached. */
    {.number = 0x1301,
     .cipher_name = "AES-128-GCM",
     .hash = HKDF_SHA256,
     .key_n = 16,
     .secret_n = 32,
     .record_limit = 1U << 24},
    {.number = 0x1302,
     .cipher_name = "AES-256-GCM",
     .hash = HKDF_SHA384,
     .key_n = 32,
     .secret_n = 48,
     .record_limit = 1U << 24},
    {.number = 0x1303,
     .cipher_name = "ChaCha20-Poly1305",
     .hash = HKDF_SHA256,
     .key_n = 32,
     .secret_n = 32,
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
        ok &= s->all[i].cipher != NULL;
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

static void expand(const struct hkdf_key *k, struct str label, uint8_t *ret, size_t n)
{
    hkdf_expand_label(k, STR("tls13 "), label, STR_NONE, ret, n);
}

void suite_derive(const struct tls_suite *s, const uint8_t *secret, uint8_t *ret_key, uint8_t *ret_iv)
{
    struct hkdf_key k;
    hkdf_key_set(&k, s->hash, (struct str){(const char *)secret, s->secret_n});
    expand(&k, STR("key"), ret_key, s->key_n);
    expand(&k, STR("iv"), ret_iv, SUITE_IV_BYTES);
    OPENSSL_cleanse(&k, sizeof k);
}

void suite_next_secret(const struct tls_suite *s, uint8_t *secret)
{
    struct hkdf_key k;
    hkdf_key_set(&k, s->hash, (struct str){(const char *)secret, s->secret_n});
    expand(&k, STR("traffic upd"), secret, s->secret_n);
    OPENSSL_cleanse(&k, sizeof k);
}

/* ---- the cache */

/* One that nobody holds: a new one while there is room, else the one unused longest. */
static struct suite_cipher *cipher_take(struct tls_suite *s)
{
    if (s->cache_n >= CACHE_MAX ||
        (!list_is_empty(&s->cache) && !container_of(s->cache.prev, struct suite_cipher, node)->borrower)) {
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
