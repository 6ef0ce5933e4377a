/* tls/keyring.c - the private keys, and the only things they sign.
 *
 * Used by the signer alone. Whatever a worker asks, what is signed is either the CertificateVerify input of
 * TLS 1.3, built here around a hash (RFC 8446 4.4.3), or well-formed TLS 1.2 key exchange parameters. */
#include "tls/provider.h"
#include "tls/schemes.h"

#include "base/list.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <stdlib.h>

enum { RSA_MIN_BITS = 3072, RSA_MAX_BITS = 8192 }; /* NCSC 2025; a signature has 1024 bytes of room */

struct scheme {
    uint16_t number;
    const char *group; /* NULL: RSA-PSS */
    const char *digest;
};

static const struct scheme schemes[] = {
    {SCHEME_ECDSA_P256_SHA256, "prime256v1", "SHA256"},
    {SCHEME_ECDSA_P384_SHA384, "secp384r1", "SHA384"},
    {SCHEME_RSA_PSS_SHA256, NULL, "SHA256"},
    {SCHEME_RSA_PSS_SHA384, NULL, "SHA384"},
    {SCHEME_RSA_PSS_SHA512, NULL, "SHA512"},
};
enum { SCHEME_COUNT = sizeof schemes / sizeof *schemes };

struct key {
    struct list node;
    uint64_t generation; /* the newest that has it */
    uint8_t sha256[32];
    EVP_PKEY *private_key;
    EVP_PKEY_CTX *ready[SCHEME_COUNT]; /* set up to sign; NULL: the scheme does not fit this key */
};

struct keyring {
    struct list keys;
    EVP_MD_CTX *hash;
    EVP_MD *digests[SCHEME_COUNT];
};

struct keyring *keyring_new(void)
{
    struct keyring *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    list_init(&k->keys);
    k->hash = EVP_MD_CTX_new();
    bool ok = k->hash != NULL;
    for (unsigned i = 0; i < SCHEME_COUNT; i++)
        ok &= (k->digests[i] = EVP_MD_fetch(NULL, schemes[i].digest, NULL)) != NULL;
    if (ok)
        return k;
    keyring_free(k);
    return NULL;
}

static void key_free(struct key *key)
{
    for (unsigned i = 0; i < SCHEME_COUNT; i++)
        EVP_PKEY_CTX_free(key->ready[i]);
    EVP_PKEY_free(key->private_key); /* clears the private numbers */
    OPENSSL_cleanse(key, sizeof *key);
    free(key);
}

void keyring_free(struct keyring *k)
{
    if (!k)
        return;
    for (struct list *l; (l = list_pop_front(&k->keys));)
        key_free(container_of(l, struct key, node));
    for (unsigned i = 0; i < SCHEME_COUNT; i++)
        EVP_MD_free(k->digests[i]);
    EVP_MD_CTX_free(k->hash);
    free(k);
}

void keyring_keep_from(struct keyring *k, uint64_t generation)
{
    for (struct list *l = k->keys.next, *next; l != &k->keys; l = next) {
        struct key *key = container_of(l, struct key, node);
        next = l->next;
        if (key->generation >= generation)
            continue;
        list_remove(l);
        key_free(key);
    }
}

static struct key *key_find(struct keyring *k, const uint8_t sha256[32])
{
    for (struct list *l = k->keys.next; l != &k->keys; l = l->next) {
        struct key *key = container_of(l, struct key, node);
        if (memcmp(key->sha256, sha256, sizeof key->sha256) == 0)
            return key;
    }
    return NULL;
}

/* ---- reading keys */

/* Never prompts: a key with a password is a key that cannot be read. */
static int no_password(char *memory, int cap, int is_write, void *self)
{
    bool *was_asked = self;
    *was_asked = true;
    return -1;
}

static bool group_is(EVP_PKEY *key, const char *group)
{
    char name[32] = "";
    return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, name, sizeof name, NULL) == 1 &&
           strcmp(name, group) == 0;
}

static bool fits(EVP_PKEY *key, const struct scheme *scheme)
{
    return scheme->group ? group_is(key, scheme->group) : EVP_PKEY_is_a(key, "RSA") == 1;
}

/* NULL, or why the key is refused. */
static const char *key_weakness(EVP_PKEY *key)
{
    int bits = EVP_PKEY_get_bits(key);
    if (EVP_PKEY_is_a(key, "RSA"))
        return bits < RSA_MIN_BITS   ? "an RSA key needs 3072 bits or more"
               : bits > RSA_MAX_BITS ? "an RSA key of more than 8192 bits is not supported"
                                     : NULL;
    if (group_is(key, "prime256v1") || group_is(key, "secp384r1"))
        return NULL;
    return "only ECDSA keys on P-256 or P-384 and RSA keys of 3072 bits or more can be used";
}

static EVP_PKEY *key_read(struct str pem, const char **ret_error)
{
    bool was_asked = false;
    BIO *bio = pem.n && pem.n <= 65536 ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, &was_asked) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    *ret_error = key ? key_weakness(key)
                 : was_asked
                     ? "the key is protected by a password; store it without one, readable by root only"
                     : "no private key in PEM form was found";
    if (!*ret_error)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

static EVP_PKEY_CTX *key_prepare(EVP_PKEY *key, const struct scheme *scheme, const EVP_MD *digest)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1 && EVP_PKEY_CTX_set_signature_md(ctx, digest) == 1;
    if (ok && !scheme->group)
        ok = EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    if (ok)
        return ctx;
    EVP_PKEY_CTX_free(ctx);
    return NULL;
}

/* Takes private_key. NULL: no memory. */
static struct key *key_new(struct keyring *k, EVP_PKEY *take_private)
{
    struct key *key = calloc(1, sizeof *key);
    bool ok = key && provider_public_sha256(take_private, key->sha256);
    if (!key) {
        EVP_PKEY_free(take_private);
        return NULL;
    }
    list_init(&key->node);
    key->private_key = take_private;
    for (unsigned i = 0; ok && i < SCHEME_COUNT; i++)
        if (fits(take_private, &schemes[i]))
            ok = (key->ready[i] = key_prepare(take_private, &schemes[i], k->digests[i])) != NULL;
    if (ok)
        return key;
    key_free(key);
    return NULL;
}

bool keyring_add(struct keyring *k, uint64_t generation, struct str pem, uint8_t ret_public_sha256[32],
                 struct arena *arena, struct str *ret_error)
{
    const char *error = NULL;
    EVP_PKEY *private_key = key_read(pem, &error);
    struct key *key = private_key ? key_new(k, private_key) : NULL;
    if (!key) {
        *ret_error = arena_copy(arena, str_of(error ? error : "out of memory"));
        return false;
    }
    memcpy(ret_public_sha256, key->sha256, sizeof key->sha256);
    struct key *known = key_find(k, key->sha256);
    if (known) {
        known->generation = known->generation > generation ? known->generation : generation;
        key_free(key);
        return true;
    }
    key->generation = generation;
    list_push_back(&k->keys, &key->node);
    return true;
}

/* ---- signing */

/* The whole input as it will be signed; 0: refused. */
static size_t build_input(const struct msg_sign *m, bool tls12_allowed, uint8_t ret[SIGN_INPUT_MAX])
{
    size_t n = 0;
    if (m->kind == SIGN_TLS13_SERVER || m->kind == SIGN_TLS13_CLIENT) {
        sign_prefix(m->kind, ret);
        n = SIGN_TLS13_PREFIX;
    } else if (!tls12_allowed) {
        return 0;
    }
    if (m->input_len > SIGN_INPUT_MAX - n)
        return 0;
    memcpy(ret + n, m->input, m->input_len);
    n += m->input_len;
    return sign_kind_of((struct str){(const char *)ret, n}) == m->kind && m->kind != SIGN_NOTHING ? n : 0;
}

static bool sign(struct keyring *k, EVP_PKEY_CTX *ctx, const EVP_MD *digest, struct str input,
                 struct msg_signature *ret)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned hash_n = 0;
    size_t n = sizeof ret->signature;
    if (EVP_DigestInit_ex2(k->hash, digest, NULL) != 1 || EVP_DigestUpdate(k->hash, input.p, input.n) != 1 ||
        EVP_DigestFinal_ex(k->hash, hash, &hash_n) != 1 ||
        EVP_PKEY_sign(ctx, ret->signature, &n, hash, hash_n) != 1) {
        ERR_clear_error();
        return false;
    }
    ret->signature_len = (uint16_t)n;
    return true;
}

bool keyring_sign(struct keyring *k, const struct msg_sign *m, bool tls12_allowed, struct msg_signature *ret)
{
    ret->id = m->id;
    ret->signature_len = 0;
    uint8_t input[SIGN_INPUT_MAX];
    size_t n = build_input(m, tls12_allowed, input);
    struct key *key = m->public_sha256_len == 32 ? key_find(k, m->public_sha256) : NULL;
    if (!key || n == 0)
        return false;
    for (unsigned i = 0; i < SCHEME_COUNT; i++)
        if (schemes[i].number == m->scheme && key->ready[i])
            return sign(k, key->ready[i], k->digests[i], (struct str){(const char *)input, n}, ret);
    return false;
}
