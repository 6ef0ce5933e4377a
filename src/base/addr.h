/* base/addr.h - an IP address with a port, and prefixes. Pure: no look-ups, no sockets. */
#ifndef POLDER_BASE_ADDR_H
#define POLDER_BASE_ADDR_H

#include "base/buf.h"

#include <netinet/in.h>

/* IPv4 is kept as an IPv4-mapped IPv6 address (RFC 4291 2.5.5.2); is_v4 says how it came. */
struct addr {
    uint8_t ip[16];
    uint16_t port; /* host order */
    bool is_v4;
};

struct addr_prefix {
    uint8_t ip[16];
    uint8_t bits; /* 0..128, counted in the mapped form for IPv4 */
};

enum { ADDR_TEXT_MAX = 54 }; /* [ipv6]:port */

/* "192.0.2.1:80", "[2001:db8::1]:80". Names are not addresses: false. */
bool addr_parse(struct str text, struct addr *ret);
bool addr_parse_ip(struct str text, struct addr *ret); /* without a port; port becomes 0 */
bool addr_parse_prefix(struct str text, struct addr_prefix *ret);
void addr_write(struct buf *, const struct addr *);               /* with the port */
void addr_write_ip(struct buf *, const struct addr *);            /* without it, no brackets */
void addr_write_prefix(struct buf *, const struct addr_prefix *); /* "192.0.2.0/24" */
bool addr_in_prefix(const struct addr *, const struct addr_prefix *);
bool addr_eq(const struct addr *, const struct addr *); /* port too */

void addr_to_sockaddr(const struct addr *, struct sockaddr_storage *ret, socklen_t *ret_len);
bool addr_from_sockaddr(const void *sockaddr, socklen_t len, struct addr *ret); /* false: not IP */

#endif
