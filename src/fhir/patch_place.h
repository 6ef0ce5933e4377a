/* fhir/patch_place.h - elements of a document under patch: where one stands, and its list anew. Inside
 * src/fhir only. */
#ifndef POLDER_FHIR_PATCH_PLACE_H
#define POLDER_FHIR_PATCH_PLACE_H

#include "fhir/patch_doc.h"

/* An element's member of an object. */
struct patch_place {
    uint32_t object;              /* JSON_NONE: the resource itself */
    const struct fhir_type *type; /* of the object */
    const struct fhir_element *element;
    uint32_t index; /* of a list; else 0 */
};

/* Where the element stands whose value, or (JSON_NONE) whose companion, is this node. False: nowhere that R4
 * knows. */
bool patch_find_place(const struct patch_doc *, uint32_t node, struct patch_place *ret);

/* A value as JSON text, with its companion; p NULL: not there. */
struct patch_item {
    struct str value, companion;
};

struct patch_items {
    struct patch_item *at;
    uint32_t n, room;
};

/* All values at a place, in order: of a list, or the only one. There is room for one more. */
bool patch_load(struct patch_doc *, const struct patch_place *, struct patch_items *ret);
/* Writes them back. None left: the member goes, and objects that this leaves empty. */
enum fhir_patch_result patch_store(struct patch_doc *, const struct patch_place *,
                                   const struct patch_items *);

#endif
