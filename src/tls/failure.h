/* tls/failure.h - OpenSSL's reasons as words for counters and logs. */
#ifndef POLDER_TLS_FAILURE_H
#define POLDER_TLS_FAILURE_H

#include "base/str.h"

#include <openssl/ssl.h>

/* Why the last call on that SSL failed; takes the error queue. Static text. */
struct str failure_of(const SSL *);

/* An alert the peer sent. */
struct str failure_alert(uint8_t alert);

#endif
