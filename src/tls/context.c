/* tls/context.c - the settings all connections of a listener, or towards an upstream, share.
 *
 * Versions, suites, groups and their order follow the NCSC guidelines of 2025 (decision 13): TLS 1.3, by
 * choice TLS 1.2 with ECDHE and AEAD. No renegotiation, no compression, no 0-RTT. */
#include "tls/setup.h"

#include "base/unconst.h"
#include "tls/provider.h"
#include "tls/tickets.h"

#include <openssl/async.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <stdlib.h>
#include <time.h>

static const char suites_tls13[] =
    "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
static const char suites_tls12[] = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                   "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
                                   "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256";
static const char groups[] = "X25519:P-256:P-384";
/* What our keys sign with, and what others' handshakes and chains may be signed with. */
static const char own_schemes[] =
    "ECDSA+SHA256:ECDSA+SHA384:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512";
static const char peer_schemes[] =
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_"
    "sha512:"
    "rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:RSA+SHA256:RSA+SHA384:RSA+SHA512";

enum { PEER_CHAIN_MAX_BYTES = 32768, PEER_CHAIN_MAX_DEPTH = 6, TICKET_LIFETIME_S = 7200 };

int tls_init(void)
{
    uint64_t flags =
        OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS;
    uint8_t seed[16];
    if (OPENSSL_init_ssl(flags, NULL) != 1 || !provider_register() || RAND_bytes(seed, sizeof seed) != 1)
        return -1;
    return ASYNC_init_thread(REQUESTS_MAX, 1) == 1 ? 0 : -1;
}

/* ---- names to identities */

struct tls_identity *context_identity_for(const struct tls_context *c, struct str host)
{
    char star[256];
    struct str wanted[2] = {host, STR_NONE};
    ptrdiff_t dot = str_find_char(host, '.');
    if (dot > 0 && host.n < sizeof star) {
        struct buf b = buf_over(star, sizeof star);
        buf_char(&b, '*');
        buf_str(&b, str_skip(host, (size_t)dot));
        wanted[1] = buf_text(&b);
    }
    for (unsigned i = 0; i < 2; i++)
        for (size_t low = 0, high = c->name_count; low < high;) {
            size_t middle = (low + high) / 2;
            int order = str_compare(wanted[i], c->names[middle].name);
            if (order == 0)
                return c->names[middle].identity;
            if (order < 0)
                high = middle;
            else
                low = middle + 1;
        }
    return NULL;
}

/* ---- callbacks of the server side */

static int fail_alert(int *ret_alert, int alert)
{
    *ret_alert = alert;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Unknown names get the default certificate: the client says what is wrong better than an alert does. */
static int server_name_callback(SSL *ssl, int *ret_alert, void *self)
{
    struct tls_context *c = self;
    struct str name = str_of(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    char lower[256];
    if (name.n == 0)
        return SSL_TLSEXT_ERR_OK;
    if (name.n >= sizeof lower)
        return fail_alert(ret_alert, SSL_AD_UNRECOGNIZED_NAME);
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] <= ' ' || name.p[i] >= 127)
            return fail_alert(ret_alert, SSL_AD_UNRECOGNIZED_NAME);
        lower[i] = ascii_lower(name.p[i]);
    }
    struct tls_identity *identity = context_identity_for(c, (struct str){lower, name.n});
    if (identity && identity->ctx != SSL_get_SSL_CTX(ssl) && !SSL_set_SSL_CTX(ssl, identity->ctx))
        return fail_alert(ret_alert, SSL_AD_INTERNAL_ERROR);
    return SSL_TLSEXT_ERR_OK;
}

static bool alpn_offers(const unsigned char *in, unsigned n, struct str wanted, const unsigned char **ret)
{
    for (unsigned at = 0; at < n && in[at] < n - at; at += 1U + in[at])
        if (str_eq((struct str){(const char *)in + at + 1, in[at]}, wanted)) {
            *ret = in + at + 1;
            return true;
        }
    return false;
}

/* Our order, not the client's; no overlap ends the handshake (RFC 7301 3.2). */
static int alpn_callback(SSL *ssl, const unsigned char **ret, unsigned char *ret_n, const unsigned char *in,
                         unsigned n, void *self)
{
    const struct tls_context *c = self;
    if (c->http2 && alpn_offers(in, n, STR("h2"), ret)) {
        *ret_n = 2;
        return SSL_TLSEXT_ERR_OK;
    }
    if (!alpn_offers(in, n, STR("http/1.1"), ret))
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret_n = 8;
    return SSL_TLSEXT_ERR_OK;
}

static int staple_callback(SSL *ssl, void *self)
{
    const struct tls_context *c = self;
    const X509 *shown = SSL_get_certificate(ssl);
    int64_t now_s = time(NULL);
    for (unsigned i = 0; i < c->certificate_count; i++) {
        const struct tls_certificate *one = &c->certificates[i];
        if (one->leaf != shown || one->ocsp.n == 0 || now_s < one->ocsp_from || now_s >= one->ocsp_until)
            continue;
        unsigned char *copy = OPENSSL_memdup(one->ocsp.p, one->ocsp.n);
        if (!copy)
            return SSL_TLSEXT_ERR_NOACK;
        SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)one->ocsp.n); /* takes it */
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* ---- SSL_CTXs */

static SSL_CTX *ctx_new(struct tls_context *c, const SSL_METHOD *method, bool tls12)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx)
        return NULL;
    SSL_CTX_set_app_data(ctx, c);
    SSL_CTX_set_security_level(ctx, 2);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ctx, PEER_CHAIN_MAX_BYTES);
    SSL_CTX_set_verify_depth(ctx, PEER_CHAIN_MAX_DEPTH);
    if (SSL_CTX_set_min_proto_version(ctx, tls12 ? TLS1_2_VERSION : TLS1_3_VERSION) == 1 &&
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
        SSL_CTX_set_ciphersuites(ctx, suites_tls13) == 1 && SSL_CTX_set_cipher_list(ctx, suites_tls12) == 1 &&
        SSL_CTX_set1_groups_list(ctx, unconst(groups)) == 1)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

static bool ctx_use_certificate(SSL_CTX *ctx, struct tls_certificate *c)
{
    return !c || SSL_CTX_use_cert_and_key(ctx, c->leaf, c->key, c->chain, 1) == 1;
}

/* Makes the store that verifies the peer. False: *ret_error. */
static bool ctx_trust(SSL_CTX *ctx, struct str ca_pem, struct str crl_pem, const char **ret_error);

/* A session is resumed only where the same rules for client certificates hold: by name of the listener (not
 * by generation of the configuration), and only while authorities and revocations are what they were. */
static bool ctx_session_id(SSL_CTX *ctx, const struct config_listener *l)
{
    uint8_t id[32];
    uint8_t mode = (uint8_t)l->client_certificate;
    uint64_t lengths[3] = {l->name.n, l->client_ca_pem.n, l->client_crl_pem.n};
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool ok = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(hash, lengths, sizeof lengths) == 1 && EVP_DigestUpdate(hash, &mode, 1) == 1 &&
              EVP_DigestUpdate(hash, l->name.p, l->name.n) == 1 &&
              EVP_DigestUpdate(hash, l->client_ca_pem.p, l->client_ca_pem.n) == 1 &&
              EVP_DigestUpdate(hash, l->client_crl_pem.p, l->client_crl_pem.n) == 1 &&
              EVP_DigestFinal_ex(hash, id, NULL) == 1 &&
              SSL_CTX_set_session_id_context(ctx, id, sizeof id) == 1;
    EVP_MD_CTX_free(hash);
    return ok;
}

static bool ctx_tickets(SSL_CTX *ctx, const struct tls_context *c)
{
    if (c->tickets) {
        SSL_CTX_set_timeout(ctx, TICKET_LIFETIME_S);
        return SSL_CTX_set_num_tickets(ctx, 1) == 1 && tickets_install(ctx);
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    return SSL_CTX_set_num_tickets(ctx, 0) == 1;
}

static bool ctx_client_certificates(SSL_CTX *ctx, const struct config_listener *l, const char **ret_error)
{
    if (l->client_certificate == CLIENT_CERT_OFF)
        return true;
    bool is_required = l->client_certificate == CLIENT_CERT_REQUIRED;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (is_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    if (SSL_CTX_set1_client_sigalgs_list(ctx, unconst(peer_schemes)) != 1)
        return false;
    STACK_OF(X509) *authorities = certificates_read(l->client_ca_pem, 1000);
    bool ok = authorities != NULL;
    if (!ok)
        *ret_error = "its client CA file has no certificates in PEM form";
    for (int i = 0; ok && i < sk_X509_num(authorities); i++)
        ok = SSL_CTX_add_client_CA(ctx, sk_X509_value(authorities, i)) == 1;
    sk_X509_pop_free(authorities, X509_free);
    return ok && ctx_trust(ctx, l->client_ca_pem, l->client_crl_pem, ret_error);
}

static SSL_CTX *ctx_server(struct tls_context *c, const struct config_listener *l, const char **ret_error)
{
    SSL_CTX *ctx = ctx_new(c, TLS_server_method(), l->tls12);
    if (!ctx)
        return NULL;
    SSL_CTX_set_tlsext_servername_callback(ctx, server_name_callback);
    SSL_CTX_set_tlsext_servername_arg(ctx, c);
    SSL_CTX_set_alpn_select_cb(ctx, alpn_callback, c);
    SSL_CTX_set_tlsext_status_cb(ctx, staple_callback);
    SSL_CTX_set_tlsext_status_arg(ctx, c);
    if (SSL_CTX_set1_sigalgs_list(ctx, unconst(own_schemes)) == 1 && ctx_session_id(ctx, l) &&
        ctx_tickets(ctx, c) && ctx_client_certificates(ctx, l, ret_error))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

/* ---- trust */

static bool store_add_crls(X509_STORE *store, struct str pem)
{
    BIO *bio = pem.n <= (1U << 28) ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    unsigned count = 0;
    bool ok = bio != NULL;
    X509_CRL *crl;
    while (ok && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL))) {
        ok = X509_STORE_add_crl(store, crl) == 1;
        X509_CRL_free(crl);
        count++;
    }
    BIO_free(bio);
    ERR_clear_error();
    return ok && count > 0;
}

static bool store_add_authorities(X509_STORE *store, struct str pem)
{
    STACK_OF(X509) *all = certificates_read(pem, 10000);
    bool ok = all != NULL;
    for (int i = 0; ok && i < sk_X509_num(all); i++)
        ok = X509_STORE_add_cert(store, sk_X509_value(all, i)) == 1;
    sk_X509_pop_free(all, X509_free);
    return ok;
}

static bool ctx_trust(SSL_CTX *ctx, struct str ca_pem, struct str crl_pem, const char **ret_error)
{
    X509_STORE *store = X509_STORE_new();
    bool ok = store != NULL;
    if (ok && !store_add_authorities(store, ca_pem)) {
        *ret_error = "its CA file has no certificates in PEM form";
        ok = false;
    }
    if (ok && crl_pem.n && !store_add_crls(store, crl_pem)) {
        *ret_error = "its revocation list has no CRL in PEM form";
        ok = false;
    }
    if (ok && crl_pem.n)
        ok = X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) == 1;
    ok = ok && SSL_CTX_set1_verify_cert_store(ctx, store) == 1;
    X509_STORE_free(store);
    return ok;
}

/* ---- contexts */

static struct tls_context *context_new(struct tls_signer *signer)
{
    struct tls_context *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->references = 1;
    c->signer = signer;
    c->bio_method = conn_bio_method();
    c->suites = suites_new();
    if (c->bio_method && c->suites)
        return c;
    tls_context_unref(c);
    return NULL;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    c->references++;
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (!c || --c->references > 0)
        return;
    for (unsigned i = 0; i < c->identity_count; i++)
        SSL_CTX_free(c->identities[i].ctx);
    for (unsigned i = 0; i < c->certificate_count; i++)
        certificate_done(&c->certificates[i]);
    free(c->identities);
    free(c->certificates);
    free(c->names);
    suites_free(c->suites);
    BIO_meth_free(c->bio_method);
    free(c);
}

static bool context_read_certificates(struct tls_context *c, const struct config_listener *l,
                                      struct arena *arena, struct str *ret_error)
{
    c->certificates = calloc(l->certificate_count, sizeof *c->certificates);
    for (unsigned i = 0; c->certificates && i < l->certificate_count; i++) {
        const struct config_certificate *from = l->certificates[i];
        struct str why = STR_NONE;
        if (!certificate_read(from->chain_pem, from->ocsp_der, &c->certificates[i], arena, &why)) {
            *ret_error = arena_printf(arena, "%.*s: %.*s", STR_ARG(from->chain_path), STR_ARG(why));
            return false;
        }
        c->certificate_count++;
    }
    return c->certificate_count > 0;
}

/* The first certificate of that key type that has this very name, else the first that covers it by a star. */
static struct tls_certificate *best_certificate(const struct tls_context *c, struct str name, bool is_rsa)
{
    struct tls_certificate *covering = NULL;
    for (unsigned i = 0; i < c->certificate_count; i++) {
        struct tls_certificate *one = &c->certificates[i];
        if (one->is_rsa != is_rsa)
            continue;
        for (unsigned j = 0; j < one->name_count; j++)
            if (str_eq(one->names[j], name))
                return one;
        if (!covering && certificate_covers(one, name))
            covering = one;
    }
    return covering;
}

/* The identity with these two certificates, made when there is none yet. NULL: *ret_error, or no memory. */
static struct tls_identity *identity_for(struct tls_context *c, const struct config_listener *l,
                                         struct tls_certificate *ecdsa, struct tls_certificate *rsa,
                                         const char **ret_error)
{
    for (unsigned i = 0; i < c->identity_count; i++)
        if (c->identities[i].ecdsa == ecdsa && c->identities[i].rsa == rsa)
            return &c->identities[i];
    SSL_CTX *ctx = ctx_server(c, l, ret_error);
    if (!ctx || !ctx_use_certificate(ctx, rsa) || !ctx_use_certificate(ctx, ecdsa)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    c->identities[c->identity_count] = (struct tls_identity){ecdsa, rsa, ctx};
    return &c->identities[c->identity_count++];
}

static int name_order(const void *a, const void *b)
{
    const struct tls_name *x = a, *y = b;
    return str_compare(x->name, y->name);
}

static bool context_add_default(struct tls_context *c, const struct config_listener *l,
                                const char **ret_error)
{
    struct tls_certificate *first = &c->certificates[0];
    struct tls_certificate *other =
        first->name_count ? best_certificate(c, first->names[0], !first->is_rsa) : NULL;
    return identity_for(c, l, first->is_rsa ? other : first, first->is_rsa ? first : other, ret_error) !=
           NULL;
}

/* Every name of every certificate to the identity that serves it. */
static bool context_index_names(struct tls_context *c, const struct config_listener *l,
                                const char **ret_error)
{
    size_t count = 0;
    for (unsigned i = 0; i < c->certificate_count; i++)
        count += c->certificates[i].name_count;
    c->names = calloc(count + 1, sizeof *c->names);
    c->identities = calloc(count + 1, sizeof *c->identities);
    if (!c->names || !c->identities || !context_add_default(c, l, ret_error))
        return false;
    for (unsigned i = 0; i < c->certificate_count; i++)
        for (unsigned j = 0; j < c->certificates[i].name_count; j++) {
            struct str name = c->certificates[i].names[j];
            struct tls_identity *identity = identity_for(c, l, best_certificate(c, name, false),
                                                         best_certificate(c, name, true), ret_error);
            if (!identity)
                return false;
            c->names[c->name_count++] = (struct tls_name){name, identity};
        }
    qsort(c->names, c->name_count, sizeof *c->names, name_order);
    return true;
}

struct tls_context *tls_context_server(const struct config_listener *l, struct tls_signer *signer,
                                       struct tls_tickets *tickets, struct arena *arena,
                                       struct str *ret_error)
{
    const char *error = "out of memory";
    *ret_error = STR_NONE;
    struct tls_context *c = context_new(signer);
    if (c) {
        c->http2 = l->http2;
        c->tickets = l->session_tickets ? tickets : NULL;
    }
    if (c && context_read_certificates(c, l, arena, ret_error) && context_index_names(c, l, &error))
        return c;
    if (ret_error->n == 0)
        *ret_error = arena_printf(arena, "listener %.*s: %s", STR_ARG(l->name), error);
    tls_context_unref(c);
    ERR_clear_error();
    return NULL;
}

/* ---- towards an upstream */

static bool context_client_certificate(struct tls_context *c, const struct config_upstream *u,
                                       struct arena *arena, struct str *ret_error)
{
    const struct config_certificate *from = u->tls_certificate;
    if (!from)
        return true;
    c->certificates = calloc(1, sizeof *c->certificates);
    struct str why = STR("out of memory");
    if (!c->certificates || !certificate_read(from->chain_pem, STR_NONE, &c->certificates[0], arena, &why)) {
        *ret_error = arena_printf(arena, "%.*s: %.*s", STR_ARG(from->chain_path), STR_ARG(why));
        return false;
    }
    c->certificate_count = 1;
    return true;
}

static SSL_CTX *ctx_client(struct tls_context *c, const struct config_upstream *u, const char **ret_error)
{
    static const unsigned char alpn[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    SSL_CTX *ctx = ctx_new(c, TLS_client_method(), true);
    if (!ctx)
        return NULL;
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_verify(ctx, u->tls_verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn) == 0 &&
        SSL_CTX_set1_sigalgs_list(ctx, unconst(peer_schemes)) == 1 &&
        (!u->tls_verify || ctx_trust(ctx, u->tls_ca_pem, STR_NONE, ret_error)) &&
        (c->certificate_count == 0 || ctx_use_certificate(ctx, &c->certificates[0])))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

struct tls_context *tls_context_client(const struct config_upstream *u, struct tls_signer *signer,
                                       struct arena *arena, struct str *ret_error)
{
    const char *error = "out of memory";
    *ret_error = STR_NONE;
    struct tls_context *c = context_new(signer);
    bool ok = c && context_client_certificate(c, u, arena, ret_error);
    if (ok) {
        c->is_client = true;
        c->verifies_host = u->tls_verify;
        c->identities = calloc(1, sizeof *c->identities);
        SSL_CTX *ctx = c->identities ? ctx_client(c, u, &error) : NULL;
        ok = ctx != NULL;
        if (ok)
            c->identities[c->identity_count++].ctx = ctx;
    }
    if (ok)
        return c;
    if (ret_error->n == 0)
        *ret_error = arena_printf(arena, "upstream %.*s: %s", STR_ARG(u->name), error);
    tls_context_unref(c);
    ERR_clear_error();
    return NULL;
}
