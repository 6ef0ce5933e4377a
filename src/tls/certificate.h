/* tls/certificate.h - one certificate of a listener or towards an upstream: chain, names, the stand-in for
 * its private key, its OCSP answer. */
#ifndef POLDER_TLS_CERTIFICATE_H
#define POLDER_TLS_CERTIFICATE_H

#include "tls/context.h"

#include <openssl/ssl.h>

enum { CERTIFICATES_IN_CHAIN_MAX = 10 };

struct tls_certificate {
    X509 *leaf;
    STACK_OF(X509) * chain; /* without the leaf */
    EVP_PKEY *key;          /* of our provider: public half and name */
    bool is_rsa;
    struct str *names; /* dNSNames of the leaf, lower case, in one allocation with their text */
    unsigned name_count;
    struct str ocsp;               /* DER, owned; empty: none */
    int64_t ocsp_from, ocsp_until; /* seconds since 1970: stapled within these */
};

/* False: *ret_error in `arena` says why; ret is empty then. ocsp_der may be empty. */
bool certificate_read(struct str chain_pem, struct str ocsp_der, struct tls_certificate *ret, struct arena *,
                      struct str *ret_error);
void certificate_done(struct tls_certificate *);

/* Does the certificate's name (which may begin with "*.") cover host (lower case)? RFC 6125 6.4.3: a star
 * stands for exactly one label. */
bool certificate_name_covers(struct str name, struct str host);
bool certificate_covers(const struct tls_certificate *, struct str host);

/* PEM to certificates; NULL when there is none or one cannot be read. The caller frees with sk_X509_pop_free.
 */
STACK_OF(X509) * certificates_read(struct str pem, unsigned max);

#endif
