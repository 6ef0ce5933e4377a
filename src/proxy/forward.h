/* proxy/forward.h - heads written anew: the canonical request towards the upstream, the answer towards the
 * client.
 *
 * Nothing a client says about itself is passed on as fact: Forwarded, X-Forwarded-*, X-Real-IP, X-Request-Id
 * and X-Polder-* are removed and, where they apply, written from what the gate knows. Hop-by-hop fields (RFC
 * 9110 7.6.1) end here. */
#ifndef POLDER_PROXY_FORWARD_H
#define POLDER_PROXY_FORWARD_H

#include "proxy/client.h"

/* The request's head for the upstream, in HTTP/1.1. */
void forward_request_head(struct exchange *, struct buf *);

/* What the client's protocol does with the answer's fields: calls `field` for each that goes to the client,
 * after edits and additions (Date, HSTS, sticky cookie, request id). Names may come in any case. */
void forward_response_fields(struct exchange *, void (*field)(void *self, struct str name, struct str value),
                             void *self);

/* Trailer fields that may be forwarded: not those that frame or route (RFC 9110 6.5.1). */
bool forward_trailer_allowed(const struct http_field *);

#endif
