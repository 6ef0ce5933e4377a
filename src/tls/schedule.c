/* tls/schedule.c - derivations of one handshake. Secrets are used three or four times in a row, so the last
 * few are kept made ready; what comes before any secret is in (RFC 8446 7.1, the early secret without a PSK)
 * is computed once.
 *
 * Takes the parameters as libssl gives them, all with the call; anything else is refused. */
#include "tls/schedule.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

enum { READY_MAX = 4, HASHES = 2 };

/* Part of the one exception to "no global state" that provider.c explains: OpenSSL does not tell a provider
 * for which connection it works. */
static struct {
    const struct schedule_sink *sink;
    struct ready {
        uint8_t secret[HKDF_MAX];
        uint8_t secret_n; /* 0: free */
        struct hkdf_key key;
    } ready[READY_MAX];
    unsigned next;
    struct constants {
        bool is_known;
        uint8_t early[HKDF_MAX], derived[HKDF_MAX]; /* of a handshake without a PSK */
    } constants[HASHES];
} now;

struct request {
    enum hkdf_hash hash;
    bool has_hash;
    int mode;
    struct str key, salt, prefix, label, data;
};

void schedule_enter(const struct schedule_sink *sink)
{
    now.sink = sink;
}

void schedule_leave(void)
{
    now.sink = NULL;
    OPENSSL_cleanse(now.ready, sizeof now.ready);
}

/* ---- derivations */

static const struct hkdf_key *make_ready(enum hkdf_hash hash, struct str secret)
{
    for (unsigned i = 0; i < READY_MAX; i++) {
        struct ready *r = &now.ready[i];
        if (r->secret_n == secret.n && r->key.hash == hash &&
            CRYPTO_memcmp(r->secret, secret.p, secret.n) == 0)
            return &r->key;
    }
    struct ready *r = &now.ready[now.next++ % READY_MAX];
    hkdf_key_set(&r->key, hash, secret);
    memcpy(r->secret, secret.p, secret.n);
    r->secret_n = (uint8_t)secret.n;
    return &r->key;
}

static void hash_of_nothing(enum hkdf_hash hash, uint8_t ret[HKDF_MAX])
{
    if (hash == HKDF_SHA384)
        SHA384(NULL, 0, ret);
    else
        SHA256(NULL, 0, ret);
}

/* Derive-Secret(secret, label, "") */
static void derive_from_nothing(const struct request *r, struct str secret, uint8_t ret[HKDF_MAX])
{
    uint8_t empty[HKDF_MAX];
    hash_of_nothing(r->hash, empty);
    hkdf_expand_label(make_ready(r->hash, secret), r->prefix, r->label,
                      (struct str){(char *)empty, hkdf_size(r->hash)}, ret, hkdf_size(r->hash));
}

static const struct constants *constants_of(enum hkdf_hash hash)
{
    static const char zeros[HKDF_MAX];
    struct constants *c = &now.constants[hash];
    size_t n = hkdf_size(hash);
    if (c->is_known)
        return c;
    const struct request derived = {.hash = hash, .prefix = STR("tls13 "), .label = STR("derived")};
    hkdf_extract(hash, STR_NONE, (struct str){zeros, n}, c->early);
    derive_from_nothing(&derived, (struct str){(char *)c->early, n}, c->derived);
    c->is_known = true;
    return c;
}

/* The next secret down the schedule: HKDF-Extract of the input with Derive-Secret(previous, "derived", "").
 */
static bool next_secret(const struct request *r, uint8_t *ret, size_t n)
{
    static const char zeros[HKDF_MAX];
    const struct constants *c = constants_of(r->hash);
    size_t size = hkdf_size(r->hash);
    struct str input = r->key.p ? r->key : (struct str){zeros, size};
    uint8_t salt[HKDF_MAX], secret[HKDF_MAX];
    if (n != size || input.n > HKDF_LABEL_MAX * 4 || (r->salt.p && r->salt.n != size))
        return false;
    if (!r->salt.p && !r->key.p) {
        memcpy(ret, c->early, n);
        return true;
    }
    if (r->salt.p && memcmp(r->salt.p, c->early, size) == 0)
        memcpy(salt, c->derived, size);
    else if (r->salt.p)
        derive_from_nothing(r, r->salt, salt);
    hkdf_extract(r->hash, r->salt.p ? (struct str){(char *)salt, size} : STR_NONE, input, secret);
    memcpy(ret, secret, n);
    OPENSSL_cleanse(salt, sizeof salt);
    OPENSSL_cleanse(secret, sizeof secret);
    return true;
}

static bool expand(const struct request *r, uint8_t *ret, size_t n)
{
    size_t size = hkdf_size(r->hash);
    if (n > size || r->key.n != size || r->prefix.n + r->label.n > HKDF_LABEL_MAX || r->data.n > HKDF_MAX)
        return false;
    hkdf_expand_label(make_ready(r->hash, r->key), r->prefix, r->label, r->data, ret, n);
    if (!now.sink || n != size)
        return true;
    if (str_eq(r->label, STR("c ap traffic")))
        memcpy(now.sink->client_secret, ret, n);
    else if (str_eq(r->label, STR("s ap traffic")))
        memcpy(now.sink->server_secret, ret, n);
    return true;
}

/* ---- as OpenSSL asks */

static bool read_mode(struct request *r, const OSSL_PARAM *p)
{
    return OSSL_PARAM_get_int(p, &r->mode) == 1;
}

static bool read_digest(struct request *r, const OSSL_PARAM *p)
{
    r->has_hash = p->data_type == OSSL_PARAM_UTF8_STRING && hkdf_hash_named(p->data, &r->hash);
    return r->has_hash;
}

static bool read_bytes(struct str *ret, const OSSL_PARAM *p)
{
    if (p->data_type != OSSL_PARAM_OCTET_STRING)
        return false;
    *ret = (struct str){p->data ? p->data : "", p->data_size};
    return true;
}

static bool read_param(struct request *r, const OSSL_PARAM *p)
{
    struct str name = str_of(p->key);
    if (str_eq(name, STR(OSSL_KDF_PARAM_MODE)))
        return read_mode(r, p);
    if (str_eq(name, STR(OSSL_KDF_PARAM_DIGEST)))
        return read_digest(r, p);
    struct str *bytes = str_eq(name, STR(OSSL_KDF_PARAM_KEY))      ? &r->key
                        : str_eq(name, STR(OSSL_KDF_PARAM_SALT))   ? &r->salt
                        : str_eq(name, STR(OSSL_KDF_PARAM_PREFIX)) ? &r->prefix
                        : str_eq(name, STR(OSSL_KDF_PARAM_LABEL))  ? &r->label
                        : str_eq(name, STR(OSSL_KDF_PARAM_DATA))   ? &r->data
                                                                   : NULL;
    return bytes && read_bytes(bytes, p);
}

static int derive(void *unused, unsigned char *ret, size_t n, const OSSL_PARAM params[])
{
    struct request r = {.mode = -1};
    for (const OSSL_PARAM *p = params; p && p->key; p++)
        if (!read_param(&r, p))
            return 0;
    if (!r.has_hash)
        return 0;
    if (r.mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY)
        return next_secret(&r, ret, n);
    return r.mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY && expand(&r, ret, n);
}

/* There is nothing to keep between calls. OpenSSL only wants it not to be NULL. */
static void *context_new(void *provider)
{
    return &now;
}

static void context_free(void *unused)
{
}

#define DISPATCH(id, function)                                                                               \
    {                                                                                                        \
        id, (void (*)(void))(function)                                                                       \
    }

const OSSL_DISPATCH schedule_functions[] = {
    DISPATCH(OSSL_FUNC_KDF_NEWCTX, context_new),
    DISPATCH(OSSL_FUNC_KDF_FREECTX, context_free),
    DISPATCH(OSSL_FUNC_KDF_DERIVE, derive),
    {0, NULL},
};
