/* config/value.h - words of the configuration as numbers and names. Pure. */
#ifndef POLDER_CONFIG_VALUE_H
#define POLDER_CONFIG_VALUE_H

#include "base/buf.h"

bool value_bool(struct str, bool *ret);            /* true, false, yes, no, on, off */
bool value_size(struct str, uint64_t *ret);        /* 512, 16k, 10m, 1g: powers of 1024 */
bool value_duration_ms(struct str, uint64_t *ret); /* 0, 500ms, 10s, 5m, 1h, 7d, 1y (365 days) */
bool value_percent(struct str, uint64_t *ret);     /* 20%, 20 */

bool value_moment_us(struct str,
                     int64_t *ret); /* RFC 3339, seconds may be left out: microseconds since 1970 */

void value_write_size(struct buf *, uint64_t bytes); /* in the largest unit that divides it */
void value_write_duration(struct buf *, uint64_t ms);

bool value_is_token(struct str); /* RFC 9110 5.6.2 */
bool value_is_host(struct str);  /* a name or an address: labels of letters, digits, '-', or [IPv6] */
bool value_is_canonical(struct str path, const char **ret_why); /* a path with one reading only */
bool value_split_port(struct str, struct str *ret_host, uint16_t *ret_port); /* host:port, [ipv6]:port */

#endif
