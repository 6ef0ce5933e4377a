/* base/utc.h - moments as text and back. Touches no time zone data, which the sandbox would not let a role
 * read. */
#ifndef POLDER_BASE_UTC_H
#define POLDER_BASE_UTC_H

#include "base/buf.h"

/* "2026-01-31T09:41:07.123456Z" (RFC 3339); the first moment of 1970 for what is no time. */
void time_write_utc(struct buf *, int64_t unix_us);
int64_t time_from_civil(int year, unsigned month, unsigned day, unsigned hour, unsigned minute,
                        unsigned second);

/* Zones of the houses that Polder is for, by the law that holds there now: no time zone data is read. */
enum time_zone {
    TIME_ZONE_AMSTERDAM, /* CET, and CEST from the last Sunday of March to that of October, 01:00 UTC
                            (2000/84/EC) */
    TIME_ZONE_CURACAO,   /* AST all year: the Caribbean part of the Kingdom */
    TIME_ZONE_UTC,
};
int time_offset_minutes(enum time_zone, int64_t unix_us); /* of local time from UTC */

#endif
