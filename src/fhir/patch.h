/* fhir/patch.h - changes to a resource: JSON Patch (RFC 6902) and FHIRPath Patch
 * (https://hl7.org/fhir/R4/fhirpatch.html).
 *
 * Each operation cuts into the text of the document: whatever it does not touch keeps its bytes, white space
 * and order. All operations are done or none. Whether the result is a valid resource, still of the same type
 * and id, is for the caller to look at. */
#ifndef POLDER_FHIR_PATCH_H
#define POLDER_FHIR_PATCH_H

#include "fhir/path.h"

enum { FHIR_PATCH_OPERATIONS_MAX = 1'000, FHIR_PATCH_DEPTH_MAX = 200 };

enum fhir_patch_result {
    FHIR_PATCH_FINE,
    FHIR_PATCH_BAD,          /* the patch itself is wrong: it can never be applied to anything */
    FHIR_PATCH_NOT_POSSIBLE, /* it does not fit this document */
    FHIR_PATCH_TEST_FAILED,  /* JSON Patch's test said no */
    FHIR_PATCH_TOO_MUCH,     /* a limit: operations, size, or work */
};

struct fhir_patch_error {
    uint32_t operation; /* which, from 0 */
    struct str what;    /* "there is nothing at \"/name/0\" to remove" */
};

/* document and patch are whole texts: their tapes' first node. bytes_max: what the document may grow to. The
 * result and all texts lie in the scratch arena, of which some ten times the document is needed. */
[[nodiscard]] enum fhir_patch_result fhir_json_patch(const struct json_tape *document,
                                                     const struct json_tape *patch, size_t bytes_max,
                                                     struct arena *scratch, struct str *ret,
                                                     struct fhir_patch_error *ret_error);

/* patch: a Parameters resource. Paths are evaluated with env, of which resource, root_resource and resolve
 * are set here: a path cannot leave the resource; steps_max is for all paths together. A value's type has to
 * be the element's own, or a primitive that reads the same. An object that a deletion leaves empty goes too.
 */
[[nodiscard]] enum fhir_patch_result fhir_path_patch(const struct json_tape *document,
                                                     const struct fhir_value *patch,
                                                     const struct fhir_path_env *, size_t bytes_max,
                                                     struct arena *scratch, struct str *ret,
                                                     struct fhir_patch_error *ret_error);

#endif
