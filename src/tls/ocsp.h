/* tls/ocsp.h - an OCSP answer to staple (RFC 6960, RFC 6066 section 8). */
#ifndef POLDER_TLS_OCSP_H
#define POLDER_TLS_OCSP_H

#include "base/str.h"

#include <openssl/x509.h>

/* False unless der says "good" about leaf, and until when. Its signature is the client's to verify. */
bool ocsp_read(struct str der, X509 *leaf, X509 *issuer, int64_t *ret_from_s, int64_t *ret_until_s);

#endif
