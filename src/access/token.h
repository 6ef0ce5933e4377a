/* access/token.h - bearer tokens: signed JWTs (RFC 7519, RFC 9068 where the issuer follows it), checked as
 * RFC 8725 asks: one algorithm for a key, no "none", nothing believed before the signature is verified. */
#ifndef POLDER_ACCESS_TOKEN_H
#define POLDER_ACCESS_TOKEN_H

#include "access/jwks.h"

struct access_issuer {
    struct str url;      /* what `iss` must be, to the letter */
    struct str audience; /* what `aud` must hold */
    const struct access_keys *keys;
};

enum { ACCESS_TOKEN_MAX = 8192, ACCESS_LEEWAY_US = 30'000'000 };

enum access_token_result {
    ACCESS_TOKEN_FINE,
    ACCESS_TOKEN_MALFORMED, /* no JWS in compact form, or its parts say what they may not */
    ACCESS_TOKEN_ALGORITHM, /* not one of RS256, PS256, ES256, or with extensions that must be understood */
    ACCESS_TOKEN_UNKNOWN_ISSUER, /* of none of ours */
    ACCESS_TOKEN_UNKNOWN_KEY,    /* signed by a key that its issuer does not publish here */
    ACCESS_TOKEN_BAD_SIGNATURE,
    ACCESS_TOKEN_WRONG_AUDIENCE, /* meant for somebody else */
    ACCESS_TOKEN_EXPIRED,
    ACCESS_TOKEN_NOT_YET,
};
struct str access_token_text(enum access_token_result); /* "the token has expired" */

/* What a token says; text lies in the arena, what it does not say is empty or 0. */
struct access_claims {
    const struct access_issuer *issuer;
    struct str subject, client, id, scope;
    struct str user;               /* fhirUser: who it is, as a reference (SMART App Launch 2.0) */
    struct str patient, encounter; /* the launch's context */
    struct str organisation;       /* in whose name, as a reference */
    struct str purpose;            /* purpose_of_use: a code of v3-ActReason, for example TREAT or BTG */
    int64_t issued_us, expires_us;
};

enum access_token_result access_token_verify(struct str token, const struct access_issuer *,
                                             size_t issuer_count, int64_t now_us, struct arena *,
                                             struct access_claims *ret);

#endif
