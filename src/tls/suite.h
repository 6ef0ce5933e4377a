/* tls/suite.h - the cipher suites of TLS 1.3 (RFC 8446 B.4) as the record layer uses them: fetched
 * algorithms, key derivation, and a bounded cache of set-up ciphers.
 *
 * A connection keeps its keys (some 100 bytes); the expanded cipher (1 KB each direction) is lent to it and
 * taken back when others need it more, so that an idle connection costs next to nothing. */
#ifndef POLDER_TLS_SUITE_H
#define POLDER_TLS_SUITE_H

#include "tls/hkdf.h"

#include "base/list.h"
#include "base/str.h"

#include <openssl/evp.h>

enum { SUITE_SECRET_MAX = 48, SUITE_KEY_MAX = 32, SUITE_IV_BYTES = 12, SUITE_TAG_BYTES = 16 };

struct tls_suites;

struct tls_suite {
    uint16_t number;
    const char *cipher_name;
    enum hkdf_hash hash;
    uint8_t key_n, secret_n;
    uint64_t record_limit; /* records under one key, RFC 8446 5.5 */
    EVP_CIPHER *cipher;
    struct list cache; /* struct suite_cipher, most recently used first */
    unsigned cache_n;
};

/* A set-up cipher, lent to whom `borrower` says. */
struct suite_cipher {
    struct list node;
    EVP_CIPHER_CTX *ctx;
    struct suite_cipher **borrower; /* set to NULL when it is taken away */
};

struct tls_suites *suites_new(void); /* NULL: no memory */
void suites_free(struct tls_suites *);
struct tls_suite *suite_find(struct tls_suites *, uint16_t number); /* NULL: not one of ours */

/* The record keys of a traffic secret (RFC 8446 7.3), and the secret after it (7.2). */
void suite_derive(const struct tls_suite *, const uint8_t *secret, uint8_t *ret_key, uint8_t *ret_iv);
void suite_next_secret(const struct tls_suite *, uint8_t *secret);

/* Makes *borrower a cipher with that key, unless it has one. False: no memory. */
bool suite_borrow(struct tls_suite *, struct suite_cipher **borrower, const uint8_t *key, bool encrypts);
void suite_give_back(struct tls_suite *, struct suite_cipher **borrower); /* wiped; fine when there is none */

#endif
