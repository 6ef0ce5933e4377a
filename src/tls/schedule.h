/* tls/schedule.h - the TLS 1.3 key schedule as OpenSSL asks for it (its TLS13-KDF), on top of hkdf.h: fast,
 * and the place where the traffic secrets of a connection are learned for our own record layer. */
#ifndef POLDER_TLS_SCHEDULE_H
#define POLDER_TLS_SCHEDULE_H

#include "tls/hkdf.h"

#include <openssl/core.h>

/* Where client_ and server_application_traffic_secret_0 go, 48 bytes each. */
struct schedule_sink {
    uint8_t *client_secret, *server_secret;
};

/* Secrets derived between enter and leave go there. Leave wipes what was remembered meanwhile. */
void schedule_enter(const struct schedule_sink *);
void schedule_leave(void);

extern const OSSL_DISPATCH schedule_functions[]; /* an EVP_KDF */

#endif
