/* access/jwks.c - see jwks.h. A key is made once, when a configuration is read; verifying allocates what
 * OpenSSL does and nothing of ours. */
#include "access/jwks.h"

#include "access/base64url.h"
#include "base/unconst.h"
#include "json/tape.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

enum { RSA_BITS_LEAST = 2048, RSA_BITS_MOST = 8192, KEY_ID_MAX = 128, P256_BYTES = 32, DEPTH_MAX = 8 };

struct access_key {
    EVP_PKEY *key;
    char id[KEY_ID_MAX];
    size_t id_n;
    bool is_ec, is_bound; /* bound: to `only` */
    enum access_algorithm only;
};

struct access_keys {
    struct access_key key[ACCESS_KEYS_MAX];
    unsigned count;
};

/* ---- from JSON to OpenSSL's keys */

static struct str member(const struct json_tape *t, uint32_t object, const char *name, struct arena *arena)
{
    uint32_t at = json_get(t, object, str_of(name));
    return at != JSON_NONE && json_type(t, at) == JSON_STRING ? json_string(t, at, arena) : STR_NONE;
}

static bool bytes_member(const struct json_tape *t, uint32_t object, const char *name, struct arena *arena,
                         struct str *ret)
{
    struct str text = member(t, object, name, arena);
    return text.n && base64url_decode(text, arena, ret);
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = params ? EVP_PKEY_CTX_new_from_name(NULL, type, NULL) : NULL;
    if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static BIGNUM *number(struct str bytes)
{
    return bytes.n <= RSA_BITS_MOST / 8 ? BN_bin2bn((const unsigned char *)bytes.p, (int)bytes.n, NULL)
                                        : NULL;
}

static EVP_PKEY *rsa_key(const struct json_tape *t, uint32_t jwk, struct arena *arena)
{
    struct str n = STR_NONE, e = STR_NONE;
    EVP_PKEY *key = NULL;
    if (!bytes_member(t, jwk, "n", arena, &n) || !bytes_member(t, jwk, "e", arena, &e) || e.n > 8)
        return NULL;
    BIGNUM *modulus = number(n), *exponent = number(e);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (modulus && exponent && builder && BN_num_bits(modulus) >= RSA_BITS_LEAST &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        key = key_from("RSA", OSSL_PARAM_BLD_to_param(builder));
    OSSL_PARAM_BLD_free(builder);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

/* An uncompressed point: 4, x, y (SEC 1, 2.3.3). OpenSSL refuses one that is not on the curve. */
static EVP_PKEY *ec_key(const struct json_tape *t, uint32_t jwk, struct arena *arena)
{
    struct str x = STR_NONE, y = STR_NONE;
    unsigned char point[1 + 2 * P256_BYTES] = {4};
    if (!str_eq(member(t, jwk, "crv", arena), STR("P-256")) || !bytes_member(t, jwk, "x", arena, &x) ||
        !bytes_member(t, jwk, "y", arena, &y) || x.n != P256_BYTES || y.n != P256_BYTES)
        return NULL;
    memcpy(point + 1, x.p, P256_BYTES);
    memcpy(point + 1 + P256_BYTES, y.p, P256_BYTES);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (builder &&
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1)
        key = key_from("EC", OSSL_PARAM_BLD_to_param(builder));
    OSSL_PARAM_BLD_free(builder);
    return key;
}

static bool is_for_signatures(const struct json_tape *t, uint32_t jwk, struct arena *arena)
{
    struct str use = member(t, jwk, "use", arena);
    return !use.n || str_eq(use, STR("sig"));
}

static bool bind_algorithm(struct access_key *k, struct str name)
{
    static const char *const names[] = {
        [ACCESS_RS256] = "RS256", [ACCESS_PS256] = "PS256", [ACCESS_ES256] = "ES256"};
    for (unsigned i = 0; i < ACCESS_ALGORITHMS; i++)
        if (str_eq(name, str_of(names[i]))) {
            k->only = (enum access_algorithm)i;
            k->is_bound = true;
            return (i == ACCESS_ES256) == k->is_ec;
        }
    return name.n == 0;
}

static bool take_key(struct access_keys *keys, const struct json_tape *t, uint32_t jwk, struct arena *arena)
{
    struct access_key *k = &keys->key[keys->count];
    struct str id = member(t, jwk, "kid", arena), kind = member(t, jwk, "kty", arena);
    *k = (struct access_key){.is_ec = str_eq(kind, STR("EC")), .id_n = id.n};
    if (id.n > KEY_ID_MAX || !is_for_signatures(t, jwk, arena) ||
        !bind_algorithm(k, member(t, jwk, "alg", arena)))
        return false;
    k->key = k->is_ec ? ec_key(t, jwk, arena) : str_eq(kind, STR("RSA")) ? rsa_key(t, jwk, arena) : NULL;
    if (id.n)
        memcpy(k->id, id.p, id.n);
    keys->count += k->key != NULL;
    return k->key != NULL;
}

static bool take_set(struct access_keys *keys, const struct json_tape *t, struct arena *arena,
                     struct buf *problem)
{
    uint32_t list = json_type(t, 0) == JSON_OBJECT ? json_get(t, 0, STR("keys")) : JSON_NONE;
    if (list == JSON_NONE || json_type(t, list) != JSON_ARRAY || json_count(t, list) > ACCESS_KEYS_MAX) {
        buf_printf(problem, "it is no JWK Set: an object with at most %d \"keys\" is needed",
                   ACCESS_KEYS_MAX);
        return false;
    }
    unsigned passed_over = 0;
    for (uint32_t i = json_first(t, list), n = json_count(t, list); n > 0; n--, i = json_next(t, i))
        passed_over += json_type(t, i) != JSON_OBJECT || !take_key(keys, t, i, arena);
    if (keys->count == 0)
        buf_printf(
            problem,
            "none of its %u keys can be used: RSA of %d bits and more, or P-256, for signatures, is needed",
            passed_over, RSA_BITS_LEAST);
    return keys->count > 0;
}

struct access_keys *access_keys_new(struct str json, struct buf *problem)
{
    struct access_keys *keys = calloc(1, sizeof *keys);
    struct arena *arena = arena_new(1 << 20);
    size_t room = json_nodes_max(json.n), at = 0;
    struct json_node *nodes = json.n <= ACCESS_JWKS_BYTES_MAX ? calloc(room, sizeof *nodes) : NULL;
    struct json_tape tape;
    bool ok = false;
    if (!keys || !arena || !nodes)
        BUF_LIT(problem, "it is larger than 64 KiB, or there is no memory");
    else if (json_parse(json, DEPTH_MAX, nodes, room, &tape, &at) != JSON_FINE)
        buf_printf(problem, "it is not JSON (at byte %zu)", at);
    else
        ok = take_set(keys, &tape, arena, problem);
    free(nodes);
    arena_free(arena);
    if (ok)
        return keys;
    access_keys_free(keys);
    return NULL;
}

void access_keys_free(struct access_keys *keys)
{
    for (unsigned i = 0; keys && i < keys->count; i++)
        EVP_PKEY_free(keys->key[i].key);
    free(keys);
}

unsigned access_keys_count(const struct access_keys *keys)
{
    return keys->count;
}

/* ---- verifying */

/* JWS writes r and s side by side (RFC 7518 3.4); OpenSSL reads a DER sequence. */
static int ecdsa_to_der(struct str signature, unsigned char *ret, size_t room)
{
    const unsigned char *p = (const unsigned char *)signature.p;
    int n = -1;
    if (signature.n != 2 * P256_BYTES)
        return -1;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(p, P256_BYTES, NULL), *s = BN_bin2bn(p + P256_BYTES, P256_BYTES, NULL);
    if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
    } else if (i2d_ECDSA_SIG(sig, NULL) <= (int)room) {
        n = i2d_ECDSA_SIG(sig, &ret);
    }
    ECDSA_SIG_free(sig);
    return n;
}

static bool verify_with(const struct access_key *k, enum access_algorithm algorithm, struct str bytes,
                        struct str signature)
{
    unsigned char der[80];
    EVP_PKEY_CTX *settings = NULL;
    if (algorithm == ACCESS_ES256) {
        int n = ecdsa_to_der(signature, der, sizeof der);
        signature = (struct str){(const char *)der, n > 0 ? (size_t)n : 0};
    }
    EVP_MD_CTX *ctx = signature.n ? EVP_MD_CTX_new() : NULL;
    bool ok = ctx && EVP_DigestVerifyInit(ctx, &settings, EVP_sha256(), NULL, k->key) == 1;
    if (ok && algorithm == ACCESS_PS256) /* the salt is as long as the hash (RFC 7518 3.5) */
        ok = EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST) == 1;
    ok = ok && EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n,
                                (const unsigned char *)bytes.p, bytes.n) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool fits(const struct access_key *k, struct str key_id, enum access_algorithm algorithm)
{
    return k->is_ec == (algorithm == ACCESS_ES256) && (!k->is_bound || k->only == algorithm) &&
           (!key_id.n || str_eq(key_id, (struct str){k->id, k->id_n}));
}

enum access_signature access_keys_verify(const struct access_keys *keys, struct str key_id,
                                         enum access_algorithm algorithm, struct str signed_bytes,
                                         struct str signature)
{
    bool has_tried = false;
    for (unsigned i = 0; i < keys->count; i++) {
        if (!fits(&keys->key[i], key_id, algorithm))
            continue;
        has_tried = true;
        if (verify_with(&keys->key[i], algorithm, signed_bytes, signature))
            return ACCESS_SIGNATURE_FINE;
    }
    return has_tried ? ACCESS_SIGNATURE_BAD : ACCESS_SIGNATURE_NO_KEY;
}
