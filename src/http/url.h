/* http/url.h - the request target, decoded and normalised once (RFC 3986, RFC 9112 3.2).
 *
 * The result is the only reading there is: where two readings are possible the target is refused, and what
 * goes upstream is written from the result. url_canonical_path(url_canonical_path(x)) == itself. */
#ifndef POLDER_HTTP_URL_H
#define POLDER_HTTP_URL_H

#include "http/message.h"

/* Path: must begin with '/'. Percent-encoded unreserved characters are decoded, other encodings kept with
 * upper-case digits, bytes that need it encoded, dot segments removed. Refused as ambiguous: %2F, %5C, '\',
 * %00 and other encoded controls, encoded dots that form a dot segment, ';' in a dot segment ("..;"), dot
 * segments that climb above the root or stand next to an empty segment ("//.."), malformed or overlong UTF-8
 * (encoded or raw),
 * "%" without two hex digits. Already canonical input is returned as it is, without copying. */
enum http_refusal url_canonical_path(struct str path, struct arena *, struct str *ret);

/* Query: no controls, no '#', no raw byte above 0x7e except valid UTF-8 (which is encoded), "%" only with two
 * hex digits. */
enum http_refusal url_canonical_query(struct str query, struct arena *, struct str *ret);

/* host[:port], lower-cased; reg-name of letters, digits, '-', '.', '_', IPv4 or [IPv6]; at most 255 bytes;
 * no userinfo; port 1..65535 without leading zeros. ret_host is the authority without the port. */
enum http_refusal url_canonical_authority(struct str authority, struct arena *, struct str *ret_authority,
                                          struct str *ret_host);

/* Splits "http://authority/path?query" (absolute-form). False: not of that form. */
bool url_split_absolute(struct str target, struct str *ret_scheme, struct str *ret_authority,
                        struct str *ret_path, struct str *ret_query, bool *ret_has_query);

#endif
