/* tls/provider.c - key management and signatures for keys that the signer holds. Invariants:
 *
 * 1. Nothing private is ever in here: import takes and export gives the public half only.
 * 2. A signature is asked only over the two shapes a TLS handshake has; what is sent is the transcript hash,
 * or the randoms and parameters, never bytes of the caller's choice.
 * 3. A request on a fibre's stack is forgotten before the fibre goes on. */
#include "tls/provider.h"

#include "base/unconst.h"
#include "tls/schemes.h"

#include <openssl/async.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <stdlib.h>
#include <strings.h>

/* The exception to "no global state" in this folder, with schedule.c and the loaded providers themselves:
 * OpenSSL tells a provider which key to use but not for which connection. Set while SSL_do_handshake runs. */
static struct sign_asker *current_asker;

void provider_enter(struct sign_asker *asker, const struct schedule_sink *sink)
{
    current_asker = asker;
    schedule_enter(sink);
}

void provider_leave(void)
{
    current_asker = NULL;
    schedule_leave();
}

/* ---- keys */

struct remote_key {
    EVP_PKEY *public_key; /* in OpenSSL's default provider */
    uint8_t sha256[32];
    bool is_rsa;
    unsigned curve_bits; /* 256, 384; 0: RSA */
};

bool provider_public_sha256(EVP_PKEY *key, uint8_t ret[32])
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    bool ok = n > 0 && EVP_Digest(der, (size_t)n, ret, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    return ok;
}

static void *ec_key_new(void *provider)
{
    return calloc(1, sizeof(struct remote_key));
}

static void *rsa_key_new(void *provider)
{
    struct remote_key *k = calloc(1, sizeof *k);
    if (k)
        k->is_rsa = true;
    return k;
}

static void key_free(void *key)
{
    struct remote_key *k = key;
    if (!k)
        return;
    EVP_PKEY_free(k->public_key);
    free(k);
}

static int key_has(const void *key, int selection)
{
    const struct remote_key *k = key;
    return k && k->public_key;
}

static int key_import(void *key, int selection, const OSSL_PARAM params[])
{
    struct remote_key *k = key;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, k->is_rsa ? "RSA" : "EC", "provider=default");
    bool ok = ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &k->public_key, EVP_PKEY_PUBLIC_KEY, unconst(params)) == 1 &&
              provider_public_sha256(k->public_key, k->sha256);
    EVP_PKEY_CTX_free(ctx);
    if (ok && !k->is_rsa)
        k->curve_bits = (unsigned)EVP_PKEY_get_bits(k->public_key);
    return ok;
}

static int key_export(void *key, int selection, OSSL_CALLBACK *callback, void *arg)
{
    struct remote_key *k = key;
    if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
        return 0;
    return EVP_PKEY_export(k->public_key, EVP_PKEY_PUBLIC_KEY, callback, arg);
}

static const OSSL_PARAM *ec_key_types(int selection)
{
    static const OSSL_PARAM types[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_END,
    };
    return types;
}

static const OSSL_PARAM *rsa_key_types(int selection)
{
    static const OSSL_PARAM types[] = {
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
        OSSL_PARAM_END,
    };
    return types;
}

static int key_match(const void *a, const void *b, int selection)
{
    const struct remote_key *x = a, *y = b;
    return EVP_PKEY_eq(x->public_key, y->public_key) == 1;
}

static int key_get_params(void *key, OSSL_PARAM params[])
{
    struct remote_key *k = key;
    return EVP_PKEY_get_params(k->public_key, params);
}

static const OSSL_PARAM *key_gettable_params(void *provider)
{
    static const OSSL_PARAM types[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
        OSSL_PARAM_END,
    };
    return types;
}

static const char *ec_operation_name(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : "EC";
}

static const char *rsa_operation_name(int operation)
{
    return "RSA";
}

#define DISPATCH(id, function)                                                                               \
    {                                                                                                        \
        id, (void (*)(void))(function)                                                                       \
    }
#define KEYMGMT_COMMON                                                                                       \
    DISPATCH(OSSL_FUNC_KEYMGMT_FREE, key_free), DISPATCH(OSSL_FUNC_KEYMGMT_HAS, key_has),                    \
        DISPATCH(OSSL_FUNC_KEYMGMT_IMPORT, key_import), DISPATCH(OSSL_FUNC_KEYMGMT_EXPORT, key_export),      \
        DISPATCH(OSSL_FUNC_KEYMGMT_MATCH, key_match),                                                        \
        DISPATCH(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),                                              \
        DISPATCH(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable_params)

static const OSSL_DISPATCH ec_keymgmt[] = {
    DISPATCH(OSSL_FUNC_KEYMGMT_NEW, ec_key_new),
    KEYMGMT_COMMON,
    DISPATCH(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, ec_key_types),
    DISPATCH(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, ec_key_types),
    DISPATCH(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, ec_operation_name),
    {0, NULL},
};

static const OSSL_DISPATCH rsa_keymgmt[] = {
    DISPATCH(OSSL_FUNC_KEYMGMT_NEW, rsa_key_new),
    KEYMGMT_COMMON,
    DISPATCH(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, rsa_key_types),
    DISPATCH(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, rsa_key_types),
    DISPATCH(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, rsa_operation_name),
    {0, NULL},
};

/* ---- signatures */

struct signature {
    const struct remote_key *key;
    unsigned digest_bits;
    bool is_pss;
};

static void *signature_new(void *provider, const char *propq)
{
    return calloc(1, sizeof(struct signature));
}

static void signature_free(void *signature)
{
    free(signature);
}

static unsigned digest_bits(const char *name)
{
    static const struct {
        const char *name;
        unsigned bits;
    } digests[] = {
        {"SHA256", 256},   {"SHA2-256", 256}, {"SHA384", 384},
        {"SHA2-384", 384}, {"SHA512", 512},   {"SHA2-512", 512},
    };
    for (size_t i = 0; name && i < sizeof digests / sizeof *digests; i++)
        if (strcasecmp(name, digests[i].name) == 0)
            return digests[i].bits;
    return 0;
}

static bool set_padding(struct signature *s, const OSSL_PARAM *p)
{
    int mode = 0;
    if (p->data_type == OSSL_PARAM_UTF8_STRING)
        mode = p->data && strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0 ? RSA_PKCS1_PSS_PADDING : 0;
    else if (!OSSL_PARAM_get_int(p, &mode))
        return false;
    s->is_pss = mode == RSA_PKCS1_PSS_PADDING;
    return true;
}

/* Of the salt length nothing needs to be kept: TLS 1.3 knows only that of the digest (RFC 8446 4.2.3). */
static int signature_set_params(void *signature, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = params ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE) : NULL;
    return !p || set_padding(signature, p);
}

static const OSSL_PARAM *signature_settable_params(void *signature, void *provider)
{
    static const OSSL_PARAM types[] = {
        OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_END,
    };
    return types;
}

/* OpenSSL also asks this to learn which digests a key can sign with, so what the signer refuses is refused
 * here. */
static int signature_init(void *signature, const char *digest, void *key, const OSSL_PARAM params[])
{
    struct signature *s = signature;
    if (key)
        s->key = key;
    s->digest_bits = digest_bits(digest);
    if (!s->key || s->digest_bits == 0)
        return 0;
    if (!s->key->is_rsa && s->digest_bits != s->key->curve_bits)
        return 0;
    return signature_set_params(s, params);
}

static uint16_t signature_scheme(const struct signature *s)
{
    if (!s->key->is_rsa)
        return s->digest_bits == 256 ? SCHEME_ECDSA_P256_SHA256 : SCHEME_ECDSA_P384_SHA384;
    if (!s->is_pss)
        return 0;
    return s->digest_bits == 256   ? SCHEME_RSA_PSS_SHA256
           : s->digest_bits == 384 ? SCHEME_RSA_PSS_SHA384
                                   : SCHEME_RSA_PSS_SHA512;
}

/* What is to be signed, taken apart again: false when it is neither of the shapes a handshake signs. */
static bool request_fill(struct msg_sign *m, const struct signature *s, struct str input)
{
    m->scheme = signature_scheme(s);
    m->kind = sign_kind_of(input);
    if (m->scheme == 0 || m->kind == 0)
        return false;
    if (m->kind != SIGN_TLS12_SERVER)
        input = str_skip(input, SIGN_TLS13_PREFIX);
    if (input.n > sizeof m->input)
        return false;
    memcpy(m->input, input.p, input.n);
    m->input_len = (uint16_t)input.n;
    memcpy(m->public_sha256, s->key->sha256, sizeof m->public_sha256);
    m->public_sha256_len = sizeof m->public_sha256;
    return true;
}

/* Pauses the fibre it runs on until there is an answer. */
static void request_wait(struct sign_request *r)
{
    r->is_paused = true;
    r->asker->waiting = r;
    while (!r->is_answered)
        if (!ASYNC_pause_job())
            break;
    r->asker->waiting = NULL;
}

static int signature_sign(void *signature, unsigned char *sig, size_t *sig_n, size_t sig_max,
                          const unsigned char *input, size_t input_n)
{
    const struct signature *s = signature;
    if (!sig) {
        *sig_n = (size_t)EVP_PKEY_get_size(s->key->public_key);
        return 1;
    }
    struct sign_request r = {.asker = current_asker, .signature = sig, .signature_max = sig_max};
    if (!r.asker || !r.asker->signer || !ASYNC_get_current_job())
        return 0;
    r.asker->was_refused = true;
    if (!request_fill(&r.message, s, (struct str){(const char *)input, input_n}) || !request_send(&r))
        return 0;
    if (!r.is_answered)
        request_wait(&r);
    request_forget(&r);
    r.asker->was_refused = r.signature_n == 0;
    *sig_n = r.signature_n;
    return r.signature_n > 0;
}

static const OSSL_DISPATCH signature_functions[] = {
    DISPATCH(OSSL_FUNC_SIGNATURE_NEWCTX, signature_new),
    DISPATCH(OSSL_FUNC_SIGNATURE_FREECTX, signature_free),
    DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signature_init),
    DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signature_sign),
    DISPATCH(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signature_set_params),
    DISPATCH(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signature_settable_params),
    {0, NULL},
};

/* ---- the provider */

static const OSSL_ALGORITHM *provider_query(void *provider, int operation, int *ret_no_cache)
{
    static const OSSL_ALGORITHM keys[] = {
        {"EC:id-ecPublicKey:1.2.840.10045.2.1", "provider=polder,polder.remote=yes", ec_keymgmt, NULL},
        {"RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=polder,polder.remote=yes", rsa_keymgmt, NULL},
        {NULL, NULL, NULL, NULL},
    };
    static const OSSL_ALGORITHM signatures[] = {
        {"ECDSA", "provider=polder,polder.remote=yes", signature_functions, NULL},
        {"RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=polder,polder.remote=yes", signature_functions,
         NULL},
        {NULL, NULL, NULL, NULL},
    };
    static const OSSL_ALGORITHM derivations[] = {
        {"TLS13-KDF", "provider=polder,polder.schedule=yes", schedule_functions, NULL},
        {NULL, NULL, NULL, NULL},
    };
    *ret_no_cache = 0;
    return operation == OSSL_OP_KEYMGMT     ? keys
           : operation == OSSL_OP_SIGNATURE ? signatures
           : operation == OSSL_OP_KDF       ? derivations
                                            : NULL;
}

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                         void **ret_context)
{
    static const OSSL_DISPATCH functions[] = {
        DISPATCH(OSSL_FUNC_PROVIDER_QUERY_OPERATION, provider_query),
        {0, NULL},
    };
    *out = functions;
    /* Opaque to OpenSSL, which only wants it not to be NULL. */
    *ret_context = &current_asker;
    return 1;
}

/* Whoever does not ask for our keys by name gets OpenSSL's own: we have no key generation, no verification.
 * (What does not say otherwise counts as "polder.remote=no".) The key schedule is for everybody: only libssl
 * has a use for it. */
bool provider_register(void)
{
    static struct {
        OSSL_PROVIDER *theirs, *ours;
    } loaded; /* for the life of the process */
    if (loaded.theirs && loaded.ours)
        return true;
    loaded.theirs = OSSL_PROVIDER_load(NULL, "default");
    if (!loaded.theirs || OSSL_PROVIDER_add_builtin(NULL, "polder", provider_init) != 1)
        return false;
    loaded.ours = OSSL_PROVIDER_load(NULL, "polder");
    return loaded.ours && EVP_set_default_properties(NULL, "?polder.remote=no,?polder.schedule=yes") == 1;
}

EVP_PKEY *provider_key(EVP_PKEY *public_key)
{
    const char *type = EVP_PKEY_is_a(public_key, "EC")    ? "EC"
                       : EVP_PKEY_is_a(public_key, "RSA") ? "RSA"
                                                          : NULL;
    if (!type)
        return NULL;
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, "provider=polder");
    if (!ctx || EVP_PKEY_todata(public_key, EVP_PKEY_PUBLIC_KEY, &params) != 1 ||
        EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    return key;
}
