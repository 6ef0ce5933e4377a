/* tls/provider.h - an OpenSSL provider whose private keys are elsewhere.
 *
 * Its keys are a public key and the name (SHA-256 of the SubjectPublicKeyInfo) by which the signer knows the
 * private half. Its signatures pause the handshake (an OpenSSL async job) until the signer's answer is there.
 * It takes nothing but what a TLS handshake signs: RFC 8446 4.4.3, RFC 8422 5.4. It also brings the key
 * derivation of tls/schedule.h. */
#ifndef POLDER_TLS_PROVIDER_H
#define POLDER_TLS_PROVIDER_H

#include "tls/request.h"
#include "tls/schedule.h"

#include <openssl/evp.h>

bool provider_register(void); /* once a process */

/* A "private" key over that public one, to be given to an SSL_CTX. NULL: not EC or RSA, or no memory. */
EVP_PKEY *provider_key(EVP_PKEY *public_key);

/* SHA-256 of the key's SubjectPublicKeyInfo. */
bool provider_public_sha256(EVP_PKEY *, uint8_t ret[32]);

/* Signatures asked between enter and leave belong to that asker; traffic secrets derived go to that sink. */
void provider_enter(struct sign_asker *, const struct schedule_sink *);
void provider_leave(void);

#endif
