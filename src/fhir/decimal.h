/* fhir/decimal.h - decimal numbers that stay exact: FHIR forbids to lose digits, and 0.1 is not a double.
 *
 * A number is digits * 10^exponent with at most 36 digits; digits beyond are cut off when a text is read.
 * Zeros at the end are kept, since they say how precise a value is. */
#ifndef POLDER_FHIR_DECIMAL_H
#define POLDER_FHIR_DECIMAL_H

#include "base/buf.h"

struct fhir_decimal {
    __int128 digits;
    int32_t exponent;
};

enum { FHIR_DECIMAL_DIGITS = 36, FHIR_DECIMAL_EXPONENT_MAX = 999, FHIR_DECIMAL_KEY_MAX = 24 };

/* As JSON writes numbers (RFC 8259 6). False: it is none, or its exponent is beyond 999. */
bool fhir_decimal_parse(struct str text, struct fhir_decimal *ret);
struct fhir_decimal fhir_decimal_of(int64_t);
int fhir_decimal_compare(struct fhir_decimal, struct fhir_decimal); /* <0, 0, >0: 1.0 is 1.00 */
bool fhir_decimal_is_whole(struct fhir_decimal);
bool fhir_decimal_to_i64(struct fhir_decimal,
                         int64_t *ret); /* cuts what is behind the point; false: too large */

/* False: the result has no place, or the divisor is zero. What needs more digits is rounded. */
bool fhir_decimal_add(struct fhir_decimal, struct fhir_decimal, struct fhir_decimal *ret);
bool fhir_decimal_multiply(struct fhir_decimal, struct fhir_decimal, struct fhir_decimal *ret);
bool fhir_decimal_divide(struct fhir_decimal, struct fhir_decimal, struct fhir_decimal *ret);
struct fhir_decimal fhir_decimal_negate(struct fhir_decimal);
/* To so many digits behind the point, halves away from zero. */
struct fhir_decimal fhir_decimal_round(struct fhir_decimal, unsigned places);
struct fhir_decimal fhir_decimal_cut(struct fhir_decimal);  /* towards zero, to a whole number */
struct fhir_decimal fhir_decimal_trim(struct fhir_decimal); /* without zeros at the end */

/* The range a written number stands for by its significant digits: 5.4 is [5.35, 5.45), 100 is [99.5, 100.5),
 * 1e2 is [95, 105). https://hl7.org/fhir/R4/search.html#number */
void fhir_decimal_range(struct fhir_decimal, struct fhir_decimal *ret_low, struct fhir_decimal *ret_high);

void fhir_decimal_write(struct fhir_decimal, struct buf *); /* without an exponent where it is short */
/* At most FHIR_DECIMAL_KEY_MAX bytes that sort by memcmp as the numbers do; equal for equal numbers. */
void fhir_decimal_write_key(struct fhir_decimal, struct buf *);

#endif
