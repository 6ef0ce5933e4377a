/* fhir/moment.h - dates, times and moments as FHIR and FHIRPath write them, with their precision.
 *
 * A moment is the stretch of time its text can mean: "2024-02" is the whole of February. Times are
 * microseconds of Unix time in UTC, of a time of day since midnight. A text without a zone counts as UTC.
 * Source: https://hl7.org/fhir/R4/datatypes.html#dateTime, http://hl7.org/fhirpath/N1 (literals). */
#ifndef POLDER_FHIR_MOMENT_H
#define POLDER_FHIR_MOMENT_H

#include "base/str.h"

enum fhir_moment_kind { FHIR_MOMENT_DATE, FHIR_MOMENT_DATE_TIME, FHIR_MOMENT_TIME };

enum fhir_precision {
    FHIR_TO_YEAR,
    FHIR_TO_MONTH,
    FHIR_TO_DAY,
    FHIR_TO_HOUR,
    FHIR_TO_MINUTE,
    FHIR_TO_SECOND,
    FHIR_TO_FRACTION,
};

struct fhir_moment {
    const char *text;        /* as it was written, borrowed */
    int64_t low_us, high_us; /* [low, high) */
    int16_t zone_minutes;    /* east of Greenwich */
    uint8_t n;               /* length of the text */
    uint8_t kind : 2, precision : 3, has_zone : 1;
};

/* Of any precision, also to the hour or the minute, and with or without a zone: FHIRPath's own, which FHIR's
 * types narrow (fhir/primitive.h). False: it is none, or no such day exists. A date with a 'T' behind it
 * ("2015T") is a dateTime. */
bool fhir_moment_parse(struct str text, struct fhir_moment *ret);
bool fhir_time_parse(struct str text, struct fhir_moment *ret); /* a time of day, without FHIRPath's 'T' */
struct str fhir_moment_text(const struct fhir_moment *);

enum fhir_order { FHIR_LESS = -1, FHIR_SAME = 0, FHIR_MORE = 1, FHIR_UNKNOWN = 2 };
/* Unknown where the precision or a missing zone leaves it open, and between a time and a date. */
enum fhir_order fhir_moment_compare(const struct fhir_moment *, const struct fhir_moment *);

#endif
