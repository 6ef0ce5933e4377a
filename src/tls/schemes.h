/* tls/schemes.h - what may be signed: shared by the provider (which asks) and the keyring (which signs). */
#ifndef POLDER_TLS_SCHEMES_H
#define POLDER_TLS_SCHEMES_H

#include "base/str.h"

/* SignatureScheme, RFC 8446 4.2.3: the ones the signer knows. */
enum {
    SCHEME_ECDSA_P256_SHA256 = 0x0403,
    SCHEME_ECDSA_P384_SHA384 = 0x0503,
    SCHEME_RSA_PSS_SHA256 = 0x0804,
    SCHEME_RSA_PSS_SHA384 = 0x0805,
    SCHEME_RSA_PSS_SHA512 = 0x0806,
};

/* msg_sign.kind */
enum sign_kind {
    SIGN_NOTHING = 0,
    SIGN_TLS13_SERVER = 1,
    SIGN_TLS13_CLIENT = 2,
    SIGN_TLS12_SERVER = 3,
};

/* RFC 8446 4.4.3: 64 spaces, a context string of 33 bytes, a zero; then the transcript hash. */
enum { SIGN_TLS13_PREFIX = 64 + 33 + 1, SIGN_INPUT_MAX = 512 };

/* Writes that prefix, for SIGN_TLS13_SERVER or SIGN_TLS13_CLIENT. */
void sign_prefix(enum sign_kind, uint8_t ret[SIGN_TLS13_PREFIX]);

/* What is this input? SIGN_NOTHING when it has none of the shapes a handshake signs: the TLS 1.3 prefix and a
 * hash of 32 or 48 bytes, or the randoms and ServerECDHParams of TLS 1.2 (RFC 8422 5.4). The two cannot be
 * taken for each other: a client random of 32 spaces is refused. */
enum sign_kind sign_kind_of(struct str input);

#endif
