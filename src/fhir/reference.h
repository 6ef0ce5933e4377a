/* fhir/reference.h - what a reference's text points at (https://hl7.org/fhir/R4/references.html#literal). */
#ifndef POLDER_FHIR_REFERENCE_H
#define POLDER_FHIR_REFERENCE_H

#include "fhir/definitions.h"

struct fhir_reference {
    const struct fhir_type *type; /* NULL: it does not say ("urn:uuid:...", a URL of something else) */
    struct str base;              /* of an absolute URL: before the type, with its '/' */
    struct str id, version;       /* empty: not there */
    bool is_contained;            /* "#id", "#": id is what follows */
};

/* All parts are borrowed from the text. A text that names nothing of FHIR's gives an empty result. */
struct fhir_reference fhir_reference_parse(struct str text);

#endif
