/* access/base64url.h - base64url without padding (RFC 4648 5, RFC 7515 2). */
#ifndef POLDER_ACCESS_BASE64URL_H
#define POLDER_ACCESS_BASE64URL_H

#include "base/arena.h"

/* False: a character that cannot stand there, a length that cannot be, or bits at the end that are not zero:
 * so one run of bytes has one spelling. No memory counts as that. */
[[nodiscard]] bool base64url_decode(struct str text, struct arena *, struct str *ret);

#endif
