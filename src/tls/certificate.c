/* tls/certificate.c - reading and judging certificates. No clock: the moment is an argument. */
#include "tls/certificate.h"

#include "base/unconst.h"
#include "tls/ocsp.h"
#include "tls/provider.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdlib.h>
#include <time.h>

enum { RSA_MIN_BITS = 3072, EXPIRES_SOON_S = 30 * 86400 };

STACK_OF(X509) * certificates_read(struct str pem, unsigned max)
{
    BIO *bio = pem.n && pem.n <= (1U << 24) ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    STACK_OF(X509) *all = sk_X509_new_null();
    bool ok = bio && all;
    X509 *one;
    while (ok && (one = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        ok = (unsigned)sk_X509_num(all) < max && sk_X509_push(all, one) > 0;
        if (!ok)
            X509_free(one);
    }
    /* The end of the text is "no start line"; anything else is a broken certificate. */
    ok = ok && sk_X509_num(all) > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    BIO_free(bio);
    if (ok)
        return all;
    sk_X509_pop_free(all, X509_free);
    return NULL;
}

/* ---- names */

bool certificate_name_covers(struct str name, struct str host)
{
    if (!str_starts(name, STR("*.")))
        return str_eq(name, host);
    ptrdiff_t dot = str_find_char(host, '.');
    return dot > 0 && str_eq(str_skip(name, 1), str_skip(host, (size_t)dot));
}

bool certificate_covers(const struct tls_certificate *c, struct str host)
{
    for (unsigned i = 0; i < c->name_count; i++)
        if (certificate_name_covers(c->names[i], host))
            return true;
    return false;
}

static bool name_is_usable(const ASN1_IA5STRING *s)
{
    int n = ASN1_STRING_length(s);
    const unsigned char *p = ASN1_STRING_get0_data(s);
    for (int i = 0; i < n; i++)
        if (p[i] <= ' ' || p[i] >= 127)
            return false;
    return n > 0 && n <= 253;
}

/* The text lies behind the array of names. */
static bool names_copy(struct tls_certificate *c, const GENERAL_NAMES *all)
{
    size_t count = 0, bytes = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
        if (g->type != GEN_DNS || !name_is_usable(g->d.dNSName))
            continue;
        count++;
        bytes += (size_t)ASN1_STRING_length(g->d.dNSName);
    }
    c->names = calloc(1, count * sizeof *c->names + bytes + 1);
    if (!c->names)
        return false;
    char *text = (char *)(c->names + count);
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
        if (g->type != GEN_DNS || !name_is_usable(g->d.dNSName))
            continue;
        size_t n = (size_t)ASN1_STRING_length(g->d.dNSName);
        for (size_t j = 0; j < n; j++)
            text[j] = ascii_lower((char)ASN1_STRING_get0_data(g->d.dNSName)[j]);
        c->names[c->name_count++] = (struct str){text, n};
        text += n;
    }
    return true;
}

static bool names_read(struct tls_certificate *c)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
    bool ok = names_copy(c, all);
    GENERAL_NAMES_free(all);
    return ok;
}

/* ---- one certificate with all that belongs to it */

void certificate_done(struct tls_certificate *c)
{
    X509_free(c->leaf);
    sk_X509_pop_free(c->chain, X509_free);
    EVP_PKEY_free(c->key);
    free(c->names);
    free(unconst(c->ocsp.p));
    *c = (struct tls_certificate){0};
}

/* NULL, or why the key is too weak. */
static const char *key_weakness(EVP_PKEY *key)
{
    if (key && EVP_PKEY_is_a(key, "RSA"))
        return EVP_PKEY_get_bits(key) < RSA_MIN_BITS ? "its RSA key has fewer than 3072 bits" : NULL;
    char group[32] = "";
    if (key && EVP_PKEY_is_a(key, "EC"))
        EVP_PKEY_get_group_name(key, group, sizeof group, NULL);
    if (strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0)
        return NULL;
    return "its key is neither ECDSA on P-256 or P-384 nor RSA";
}

static bool staple_read(struct tls_certificate *c, struct str der)
{
    if (der.n == 0)
        return true;
    X509 *issuer = c->chain && sk_X509_num(c->chain) > 0 ? sk_X509_value(c->chain, 0) : NULL;
    if (!ocsp_read(der, c->leaf, issuer, &c->ocsp_from, &c->ocsp_until))
        return false;
    char *copy = malloc(der.n);
    if (!copy)
        return false;
    memcpy(copy, der.p, der.n);
    c->ocsp = (struct str){copy, der.n};
    return true;
}

static const char *certificate_fill(struct tls_certificate *c, struct str chain_pem, struct str ocsp_der)
{
    c->chain = certificates_read(chain_pem, CERTIFICATES_IN_CHAIN_MAX);
    if (!c->chain)
        return "it is no chain of at most ten certificates in PEM form";
    c->leaf = sk_X509_shift(c->chain);
    EVP_PKEY *public_key = X509_get0_pubkey(c->leaf);
    const char *weakness = key_weakness(public_key);
    if (weakness)
        return weakness;
    c->is_rsa = EVP_PKEY_is_a(public_key, "RSA") == 1;
    c->key = provider_key(public_key);
    if (!c->key || !names_read(c))
        return "out of memory";
    if (!staple_read(c, ocsp_der))
        return "its OCSP answer is not a good one for this certificate";
    return NULL;
}

bool certificate_read(struct str chain_pem, struct str ocsp_der, struct tls_certificate *ret,
                      struct arena *arena, struct str *ret_error)
{
    *ret = (struct tls_certificate){0};
    const char *error = certificate_fill(ret, chain_pem, ocsp_der);
    ERR_clear_error();
    if (!error)
        return true;
    *ret_error = arena_copy(arena, str_of(error));
    certificate_done(ret);
    return false;
}

/* ---- judging, for config checks */

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static struct str date_of(const ASN1_TIME *t, struct arena *arena)
{
    struct tm tm = {0};
    ASN1_TIME_to_tm(t, &tm);
    return arena_printf(arena, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

/* Empty, or why these certificates are not a chain from the first one up. */
static struct str chain_fault(STACK_OF(X509) * all, struct arena *arena)
{
    for (int i = 0; i + 1 < sk_X509_num(all); i++)
        if (X509_check_issued(sk_X509_value(all, i + 1), sk_X509_value(all, i)) != X509_V_OK)
            return arena_printf(arena, "certificate %d of the chain was not issued by the one after it",
                                i + 1);
    return STR_NONE;
}

static struct str leaf_fault(X509 *leaf, int64_t now_s, struct arena *arena)
{
    const char *weakness = key_weakness(X509_get0_pubkey(leaf));
    if (weakness)
        return arena_copy(arena, str_of(weakness));
    if (seconds_of(X509_get0_notAfter(leaf)) <= now_s) {
        struct str date = date_of(X509_get0_notAfter(leaf), arena);
        return arena_printf(arena, "it expired on %.*s", STR_ARG(date));
    }
    if (seconds_of(X509_get0_notBefore(leaf)) > now_s) {
        struct str date = date_of(X509_get0_notBefore(leaf), arena);
        return arena_printf(arena, "it is not valid before %.*s", STR_ARG(date));
    }
    return STR_NONE;
}

static struct str leaf_warning(X509 *leaf, int64_t now_s, struct arena *arena)
{
    int64_t left_s = seconds_of(X509_get0_notAfter(leaf)) - now_s;
    if (left_s >= EXPIRES_SOON_S)
        return STR_NONE;
    struct str date = date_of(X509_get0_notAfter(leaf), arena);
    return arena_printf(arena, "it expires on %.*s, in %lld days", STR_ARG(date),
                        (long long)(left_s / 86400));
}

bool tls_check_certificate(struct str chain_pem, int64_t now_s, struct arena *arena, struct str *ret_error,
                           struct str *ret_warning)
{
    *ret_warning = STR_NONE;
    STACK_OF(X509) *all = certificates_read(chain_pem, CERTIFICATES_IN_CHAIN_MAX);
    if (!all) {
        *ret_error = arena_copy(arena, STR("it is no chain of at most ten certificates in PEM form"));
        return false;
    }
    X509 *leaf = sk_X509_value(all, 0);
    struct str fault = leaf_fault(leaf, now_s, arena);
    if (fault.n == 0)
        fault = chain_fault(all, arena);
    if (fault.n == 0)
        *ret_warning = leaf_warning(leaf, now_s, arena);
    ERR_clear_error();
    sk_X509_pop_free(all, X509_free);
    if (fault.n)
        *ret_error = fault;
    return fault.n == 0;
}

bool tls_public_sha256(struct str chain_pem, uint8_t ret[32])
{
    STACK_OF(X509) *all = certificates_read(chain_pem, CERTIFICATES_IN_CHAIN_MAX);
    EVP_PKEY *key = all ? X509_get0_pubkey(sk_X509_value(all, 0)) : NULL;
    bool ok = key && provider_public_sha256(key, ret);
    ERR_clear_error();
    sk_X509_pop_free(all, X509_free);
    return ok;
}
