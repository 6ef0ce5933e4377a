/* http/proxy_protocol.h - the PROXY protocol, versions 1 and 2
 * (haproxy.org/download/2.9/doc/proxy-protocol.txt). */
#ifndef POLDER_HTTP_PROXY_PROTOCOL_H
#define POLDER_HTTP_PROXY_PROTOCOL_H

#include "base/addr.h"

struct proxy_header {
    bool is_local; /* LOCAL or UNKNOWN: keep the connection's own addresses */
    struct addr source, destination;
};

enum { PROXY_HEADER_MAX = 536 }; /* v1: 107; v2: at most this much is accepted, TLVs included */

/* Length of the header at the beginning of `in`; 0: more bytes needed; -1: not a PROXY header or malformed.
 */
ptrdiff_t proxy_header_parse(struct str in, struct proxy_header *ret);
void proxy_header_write_v1(struct buf *, const struct proxy_header *);
void proxy_header_write_v2(struct buf *, const struct proxy_header *);

#endif
