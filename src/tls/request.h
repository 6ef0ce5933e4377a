/* tls/request.h - a signature on its way: what the provider asks and the worker's side of the signer carries.
 *
 * A request lives on the stack of the paused handshake (an OpenSSL fibre) that waits for it, from
 * request_send to request_forget; the signer only points at it. */
#ifndef POLDER_TLS_REQUEST_H
#define POLDER_TLS_REQUEST_H

#include "tls/signer.h"

/* Handshakes that may wait at one time. Each holds a fibre with a 32 KiB stack: beyond this a handshake is
 * refused rather than 64 MiB exceeded. About half a second of full load on two cores. */
enum { REQUESTS_MAX = 2048 };

/* Who asks: one per handshake, embedded in the connection. */
struct sign_asker {
    struct tls_signer *signer;
    void *owner;                  /* for tls_signer_events.ready */
    struct sign_request *waiting; /* NULL: no handshake is paused */
    bool was_refused;
};

struct sign_request {
    struct sign_asker *asker;
    struct msg_sign message;
    uint8_t *signature; /* where it goes */
    size_t signature_max, signature_n;
    bool is_answered, is_paused; /* answered with signature_n 0: refused */
};

/* Sends it, or keeps it until tls_signer_resend. False: too many wait. */
bool request_send(struct sign_request *);
/* Forgets a request: its answer will be ignored. Fine when it was never sent. */
void request_forget(struct sign_request *);

#endif
