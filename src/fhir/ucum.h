/* fhir/ucum.h - the common part of UCUM (https://ucum.org/ucum): a unit's code becomes powers of base units
 * and an exact factor, so that 1 g and 1000 mg are the same quantity.
 *
 * Known are the units of ucum.def with UCUM's prefixes, powers, '.', '/', brackets and {annotations}. Units
 * with an offset (Cel, [degF]) and arbitrary ones ([iU], [pH]) are base units of their own: they are compared
 * only with themselves. Mol is a base unit too: UCUM makes it a number, but nobody compares moles with
 * pieces. */
#ifndef POLDER_FHIR_UCUM_H
#define POLDER_FHIR_UCUM_H

#include "fhir/decimal.h"

enum { FHIR_UNIT_BASES = 8, FHIR_UNIT_NAME_MAX = 96 };

struct fhir_unit {
    int8_t powers[FHIR_UNIT_BASES];      /* of m, g, s, rad, K, C, cd, mol */
    struct fhir_decimal factor, divisor; /* to base units: value * factor / divisor */
    struct str own;                      /* of an arbitrary unit: its code, borrowed */
    int8_t own_power;
};

bool fhir_unit_parse(struct str code, struct fhir_unit *ret); /* false: it is none that is known */
bool fhir_unit_is_same_kind(const struct fhir_unit *, const struct fhir_unit *);
bool fhir_unit_convert(const struct fhir_unit *, struct fhir_decimal value, struct fhir_decimal *ret);
/* The unit that converted values have, the same for all units of one kind: "g.m-3". At most
 * FHIR_UNIT_NAME_MAX bytes, or buf_overflowed(). */
void fhir_unit_write_base(const struct fhir_unit *, struct buf *);

#endif
