/* fhir/patch_path.h - values of FHIRPath Patch. Inside src/fhir only. */
#ifndef POLDER_FHIR_PATCH_PATH_H
#define POLDER_FHIR_PATCH_PATH_H

#include "fhir/patch_place.h"

/* The element of that name for the value that a part of the patch has; of a choice the one of its type. NULL:
 * there is none, and the fault is told. */
const struct fhir_element *patch_choose_element(struct patch_doc *, const struct fhir_type *owner,
                                                struct str name, const struct fhir_value *part);
/* The part's value as the element's JSON, borrowed from the patch or in the arena. */
enum fhir_patch_result patch_read_value(struct patch_doc *, const struct fhir_value *part,
                                        const struct fhir_element *, struct patch_item *ret);

#endif
