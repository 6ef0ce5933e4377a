/* tls/digest.h - SHA-256, in one call. */
#ifndef POLDER_TLS_DIGEST_H
#define POLDER_TLS_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* Call it once before a sandbox is raised: OpenSSL looks its algorithms up the first time. */
void digest_sha256(const void *bytes, size_t n, uint8_t ret[32]);

#endif
