/* tls/hkdf.h - the key derivation of TLS 1.3 (RFC 5869, RFC 8446 7.1), for outputs no longer than the hash.
 */
#ifndef POLDER_TLS_HKDF_H
#define POLDER_TLS_HKDF_H

#include "base/str.h"

#define OPENSSL_SUPPRESS_DEPRECATED /* see hkdf.c */
#include <openssl/sha.h>

enum hkdf_hash { HKDF_SHA256, HKDF_SHA384 };
enum { HKDF_MAX = 48, HKDF_LABEL_MAX = 64 };

/* A secret made ready: HMAC's two key blocks are hashed already. Wipe it like the secret itself. */
struct hkdf_key {
    enum hkdf_hash hash;
    union hkdf_state {
        SHA256_CTX sha256;
        SHA512_CTX sha384;
    } inner, outer;
};

bool hkdf_hash_named(const char *openssl_name, enum hkdf_hash *ret); /* false: another hash */
size_t hkdf_size(enum hkdf_hash);
void hkdf_key_set(struct hkdf_key *, enum hkdf_hash, struct str secret);
/* HKDF-Extract */
void hkdf_extract(enum hkdf_hash, struct str salt, struct str input, uint8_t ret[HKDF_MAX]);
/* HKDF-Expand-Label; the label with its prefix ("tls13 key"). n at most the hash's size; must() otherwise. */
void hkdf_expand_label(const struct hkdf_key *, struct str prefix, struct str label, struct str context,
                       uint8_t *ret, size_t n);

#endif
