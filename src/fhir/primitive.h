/* fhir/primitive.h - is a text a value of a primitive type? Syntax of
 * https://hl7.org/fhir/R4/datatypes.html#primitive, and dates that exist. */
#ifndef POLDER_FHIR_PRIMITIVE_H
#define POLDER_FHIR_PRIMITIVE_H

#include "fhir/definitions.h"
#include "json/tape.h"

enum { FHIR_STRING_BYTES_MAX = 1 << 20, FHIR_ID_MAX = 64 };

/* The text as it stands in JSON without quotes and escapes. xhtml is text here: what it may hold is looked at
 * elsewhere. */
bool fhir_primitive_is_valid(enum fhir_primitive, struct str text);
/* What JSON writes a value of the type as. */
enum json_type fhir_primitive_json_type(enum fhir_primitive); /* JSON_TRUE stands for both booleans */
struct str fhir_primitive_hint(enum fhir_primitive);          /* "a date: YYYY, YYYY-MM or YYYY-MM-DD" */

#endif
