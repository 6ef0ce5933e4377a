/* tls/names.h - the names a certificate says of its owner. */
#ifndef POLDER_TLS_NAMES_H
#define POLDER_TLS_NAMES_H

#include "base/buf.h"

#include <openssl/x509.h>

enum { TLS_NAMES_MAX = 2048 }; /* bytes of all of them together */

/* Its DNS names and its common names in lower case, each with a line end behind it, TLS_NAMES_MAX bytes at
 * most: what finds no place is left out, and so is what holds anything but printable ASCII. */
void tls_names_write(struct buf *, const X509 *);

#endif
