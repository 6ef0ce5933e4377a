/* tls/signer.h - the worker's side of the key process. Asynchronous: a worker never waits.
 *
 * The worker sends the transcript hash; the signer builds the CertificateVerify input (RFC 8446 4.4.3) around
 * it, so that it can sign nothing else. When the signer dies, requests wait and are sent again to its
 * successor. */
#ifndef POLDER_TLS_SIGNER_H
#define POLDER_TLS_SIGNER_H

#include "base/arena.h"
#include "ipc/messages.h"

struct tls_signer;

struct tls_signer_events {
    bool (*send)(void *self,
                 const struct msg_sign *); /* false: no channel now; it is sent again by tls_signer_resend */
    void (*ready)(void *self,
                  void *conn_owner); /* call tls_conn_handshake on that owner's connection again */
    void *self;
};

struct tls_signer *tls_signer_new(struct tls_signer_events);
void tls_signer_free(struct tls_signer *);
void tls_signer_answer(struct tls_signer *, const struct msg_signature *); /* unknown ids are ignored */
void tls_signer_resend(struct tls_signer *);                               /* a new signer is there */
unsigned tls_signer_waiting(const struct tls_signer *);

/* ---- the signer's own side, pure but for OpenSSL: used by gate/signer.c and by tests */
struct keyring;
struct keyring *keyring_new(void);
void keyring_free(struct keyring *);
/* Reads a PEM private key (RSA of 3072 bits or more, EC P-256 or P-384, no password). The pem memory is the
 * caller's to wipe. */
bool keyring_add(struct keyring *, uint64_t generation, struct str pem, uint8_t ret_public_sha256[32],
                 struct arena *, struct str *ret_error);
void keyring_keep_from(struct keyring *,
                       uint64_t generation); /* forgets keys that only older generations had */
/* Builds the input after kind and scheme, signs; false: refused (unknown key, wrong shape, scheme that does
 * not fit the key, TLS 1.2 where it may not). */
bool keyring_sign(struct keyring *, const struct msg_sign *, bool tls12_allowed, struct msg_signature *ret);

#endif
