/* tls/setup.h - the inside of a tls_context: the SSL_CTXs a handshake runs with, and what connections take
 * from it afterwards. For this folder only. */
#ifndef POLDER_TLS_SETUP_H
#define POLDER_TLS_SETUP_H

#include "tls/certificate.h"
#include "tls/suite.h"

/* The certificates for one name: at most one of each key type, so that every client gets what it can verify.
 */
struct tls_identity {
    struct tls_certificate *ecdsa, *rsa; /* one of them may be NULL */
    SSL_CTX *ctx;
};

struct tls_name {
    struct str name; /* lower case, may begin with "*."; lives with its certificate */
    struct tls_identity *identity;
};

struct tls_context {
    unsigned references;
    bool is_client, verifies_host; /* the latter: of the client side */
    bool http2;
    struct tls_signer *signer;
    struct tls_tickets *tickets; /* NULL: no session tickets */
    BIO_METHOD *bio_method;
    struct tls_suites *suites;
    struct tls_certificate *certificates;
    unsigned certificate_count;
    struct tls_identity *identities; /* the first is the default; a client context has just that one */
    unsigned identity_count;
    struct tls_name *names; /* in order of str_compare */
    unsigned name_count;
};

/* NULL: no certificate has that name. */
struct tls_identity *context_identity_for(const struct tls_context *, struct str host);

BIO_METHOD *conn_bio_method(void); /* OpenSSL's input and output over a tls_conn's memory */

#endif
