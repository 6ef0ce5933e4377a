/* tls/hkdf.c - HKDF over OpenSSL's plain SHA functions. Those are marked deprecated in favour of EVP, but
 * EVP's HMAC and HKDF look up, allocate and free some dozen objects for each of the 30 or so uses in a
 * handshake: a fifth of all its instructions. The hashing itself is the same assembly code. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tls/hkdf.h"

#include "base/buf.h"
#include "base/must.h"

#include <openssl/crypto.h>

#include <strings.h>

size_t hkdf_size(enum hkdf_hash hash)
{
    return hash == HKDF_SHA384 ? SHA384_DIGEST_LENGTH : SHA256_DIGEST_LENGTH;
}

bool hkdf_hash_named(const char *name, enum hkdf_hash *ret)
{
    bool is_384 = name && (strcasecmp(name, "SHA2-384") == 0 || strcasecmp(name, "SHA384") == 0);
    *ret = is_384 ? HKDF_SHA384 : HKDF_SHA256;
    return is_384 || (name && (strcasecmp(name, "SHA2-256") == 0 || strcasecmp(name, "SHA256") == 0));
}

static void start(union hkdf_state *s, enum hkdf_hash hash)
{
    if (hash == HKDF_SHA384)
        SHA384_Init(&s->sha384);
    else
        SHA256_Init(&s->sha256);
}

static void add(union hkdf_state *s, enum hkdf_hash hash, const void *p, size_t n)
{
    if (hash == HKDF_SHA384)
        SHA384_Update(&s->sha384, p, n);
    else
        SHA256_Update(&s->sha256, p, n);
}

static void finish(union hkdf_state *s, enum hkdf_hash hash, uint8_t *ret)
{
    if (hash == HKDF_SHA384)
        SHA384_Final(ret, &s->sha384);
    else
        SHA256_Final(ret, &s->sha256);
}

/* RFC 2104; a key longer than a block does not occur in TLS 1.3. */
void hkdf_key_set(struct hkdf_key *k, enum hkdf_hash hash, struct str secret)
{
    uint8_t block[SHA512_CBLOCK] = {0};
    size_t n = hash == HKDF_SHA384 ? SHA512_CBLOCK : SHA256_CBLOCK;
    must(secret.n <= n);
    if (secret.n)
        memcpy(block, secret.p, secret.n);
    k->hash = hash;
    for (size_t i = 0; i < n; i++)
        block[i] ^= 0x36;
    start(&k->inner, hash);
    add(&k->inner, hash, block, n);
    for (size_t i = 0; i < n; i++)
        block[i] ^= 0x36 ^ 0x5c;
    start(&k->outer, hash);
    add(&k->outer, hash, block, n);
    OPENSSL_cleanse(block, sizeof block);
}

static void hmac(const struct hkdf_key *k, struct str message, uint8_t ret[HKDF_MAX])
{
    union hkdf_state state = k->inner;
    add(&state, k->hash, message.p, message.n);
    finish(&state, k->hash, ret);
    state = k->outer;
    add(&state, k->hash, ret, hkdf_size(k->hash));
    finish(&state, k->hash, ret);
    OPENSSL_cleanse(&state, sizeof state);
}

void hkdf_extract(enum hkdf_hash hash, struct str salt, struct str input, uint8_t ret[HKDF_MAX])
{
    struct hkdf_key k;
    hkdf_key_set(&k, hash, salt);
    hmac(&k, input, ret);
    OPENSSL_cleanse(&k, sizeof k);
}

void hkdf_expand_label(const struct hkdf_key *k, struct str prefix, struct str label, struct str context,
                       uint8_t *ret, size_t n)
{
    char info[2 + 1 + HKDF_LABEL_MAX + 1 + HKDF_MAX + 1];
    uint8_t block[HKDF_MAX];
    struct buf b = buf_over(info, sizeof info);
    buf_char(&b, 0);
    buf_char(&b, (char)n);
    buf_char(&b, (char)(prefix.n + label.n));
    buf_str(&b, prefix);
    buf_str(&b, label);
    buf_char(&b, (char)context.n);
    buf_str(&b, context);
    buf_char(&b, 1); /* the first block of HKDF-Expand: enough up to the hash's size, RFC 5869 2.3 */
    must(n <= hkdf_size(k->hash) && !buf_overflowed(&b));
    hmac(k, buf_text(&b), block);
    memcpy(ret, block, n);
    OPENSSL_cleanse(block, sizeof block);
}
