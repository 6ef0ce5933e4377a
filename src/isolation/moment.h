/* isolation/moment.h - a moment in words, for people: "woensdag 15 januari 2020 om 14.30 uur". The caller
 * says how far local time is from UTC at that moment; no time zone data is read. */
#ifndef POLDER_ISOLATION_MOMENT_H
#define POLDER_ISOLATION_MOMENT_H

#include "isolation/types.h"

void moment_write(struct buf *, int64_t unix_us, int offset_minutes, enum isolation_language);
/* For machines: "2020-01-15T13:30:00Z". */
void moment_write_utc(struct buf *, int64_t unix_us);

#endif
