/* tls/context.h - what all connections of a listener, or towards an upstream, share. Reference counted:
 * a reload makes new ones, old connections keep theirs. */
#ifndef POLDER_TLS_CONTEXT_H
#define POLDER_TLS_CONTEXT_H

#include "base/arena.h"
#include "config/config.h"

struct tls_signer;
struct tls_tickets;
struct tls_context;

/* Once a process, before the sandbox: loads what OpenSSL would otherwise load lazily (providers, error
 * strings, random). 0 or -1. */
int tls_init(void);

/* Certificates by SNI (ECDSA and RSA of one name together), ALPN, client certificates with revocation, OCSP
 * answers, versions and ciphers after the NCSC guidelines of 2025 (decision 13). NULL: *ret_error in `errors`
 * says which file and why. Keys are with the signer; they are known here by their public half only. */
struct tls_context *tls_context_server(const struct config_listener *, struct tls_signer *,
                                       struct tls_tickets *, struct arena *errors, struct str *ret_error);
struct tls_context *tls_context_client(const struct config_upstream *, struct tls_signer *,
                                       struct arena *errors, struct str *ret_error);
struct tls_context *tls_context_ref(struct tls_context *);
void tls_context_unref(struct tls_context *); /* NULL is fine */

/* Everything config_parse cannot see for itself: is that PEM a chain whose first certificate matches no key
 * yet known, in its dates, not weaker than RSA 3072 or P-256? Returns false with words; warns in *ret_warning
 * (expires soon). Pure. */
bool tls_check_certificate(struct str chain_pem, int64_t now_s, struct arena *, struct str *ret_error,
                           struct str *ret_warning);
/* SHA-256 of the SubjectPublicKeyInfo of the first certificate: how key and certificate find each other. */
bool tls_public_sha256(struct str chain_pem, uint8_t ret[32]);

/* ---- session tickets: keys come from the master, newest first, 80 bytes each (messages.def: ticket_keys) */
struct tls_tickets *tls_tickets_new(void);
void tls_tickets_set(struct tls_tickets *, struct str keys);
void tls_tickets_free(struct tls_tickets *);

#endif
