/* fhir/xml_read.h - FHIR in XML becomes FHIR in JSON (https://hl7.org/fhir/R4/xml.html, json.html).
 *
 * By the tables of types: an element is known, stands where the schema has it, and as often as it may; what
 * may stand more than once becomes an array, booleans and numbers stay as they were written, ids and
 * extensions of primitives become "_name". The narrative's div is taken as it stands, byte for byte. Whether
 * the values are good ones is for validation to say, but for what JSON could not hold.
 *
 * Refused: document types (hence entities), processing instructions, encodings other than UTF-8, names of
 * other namespaces, text between elements, empty elements, attributes that FHIR does not have. Comments are
 * left out. Expat reads; while it does it allocates memory of its own, some times the size of the largest
 * tag. */
#ifndef POLDER_FHIR_XML_READ_H
#define POLDER_FHIR_XML_READ_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "fhir/definitions.h"

enum { FHIR_XML_BYTES_MAX = 1 << 27, FHIR_XML_DEPTH_MAX = 200 };

struct fhir_xml_error {
    unsigned line, column; /* from 1, columns in bytes; 0: in JSON, or nowhere */
    struct str path;       /* "Patient.contact[1].name"; empty: not in a resource */
    struct str what;       /* "there is no element \"nmae\" in HumanName" */
};

/* The JSON is written to out, at most six bytes for each byte of the XML, mostly less than one. Scratch
 * memory: about 150 bytes for each element; hash_key: a secret, for expat's tables. False: *ret says why, its
 * texts in the scratch arena, and what stands in out is worth nothing. */
[[nodiscard]] bool fhir_xml_read(struct str xml, const struct hash_key *, struct arena *scratch,
                                 struct buf *out, struct fhir_xml_error *ret);

#endif
