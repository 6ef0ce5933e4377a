/* tls/tickets.h - session tickets (RFC 5077 section 4, RFC 8446 4.6.1) under keys that all workers share. */
#ifndef POLDER_TLS_TICKETS_H
#define POLDER_TLS_TICKETS_H

#include "tls/context.h"

#include <openssl/ssl.h>

/* Makes an SSL_CTX use the tickets of the tls_context it belongs to. */
bool tickets_install(SSL_CTX *);

#endif
