/* access/jwks.h - the public keys by which an issuer's tokens are verified: a JWK Set (RFC 7517).
 *
 * Taken are RSA keys of 2048 bits and more (RFC 7518 6.3) and P-256 keys (6.2). Keys for encryption and keys
 * of other kinds are passed over, as RFC 7517 5 asks; a set without any key that can be used is refused. */
#ifndef POLDER_ACCESS_JWKS_H
#define POLDER_ACCESS_JWKS_H

#include "base/arena.h"
#include "base/buf.h"

enum access_algorithm { ACCESS_RS256, ACCESS_PS256, ACCESS_ES256, ACCESS_ALGORITHMS };

struct access_keys;

enum { ACCESS_KEYS_MAX = 32, ACCESS_JWKS_BYTES_MAX = 1 << 16 };

/* NULL: `problem` says why, for people. Keeps nothing of the text. */
struct access_keys *access_keys_new(struct str json, struct buf *problem);
void access_keys_free(struct access_keys *); /* NULL is fine */
unsigned access_keys_count(const struct access_keys *);

enum access_signature { ACCESS_SIGNATURE_FINE, ACCESS_SIGNATURE_BAD, ACCESS_SIGNATURE_NO_KEY };

/* key_id empty: the token names none, and every key that fits the algorithm is tried. A key that names an
 * algorithm is used with no other (RFC 8725 3.1). */
enum access_signature access_keys_verify(const struct access_keys *, struct str key_id, enum access_algorithm,
                                         struct str signed_bytes, struct str signature);

#endif
