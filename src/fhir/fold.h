/* fhir/fold.h - text as string search compares it: without case, without accents, white space as one blank
 * (https://hl7.org/fhir/R4/search.html#string). */
#ifndef POLDER_FHIR_FOLD_H
#define POLDER_FHIR_FOLD_H

#include "base/arena.h"

enum { FHIR_FOLD_BYTES_MAX = 1'024 }; /* of the text; what follows is not looked at */

/* In the arena, or the text itself when nothing changes. Empty once the arena ran out. */
struct str fhir_fold(struct str text, struct arena *);

#endif
