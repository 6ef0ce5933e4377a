/* base/utc.h - moments as text and back. Touches no time zone data, which the sandbox would not let a role
 * read. */
#ifndef POLDER_BASE_UTC_H
#define POLDER_BASE_UTC_H

#include "base/buf.h"

/* "2026-01-31T09:41:07.123456Z" (RFC 3339); the first moment of 1970 for what is no time. */
void time_write_utc(struct buf *, int64_t unix_us);
int64_t time_from_civil(int year, unsigned month, unsigned day, unsigned hour, unsigned minute,
                        unsigned second);

#endif
