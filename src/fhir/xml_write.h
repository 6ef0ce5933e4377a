/* fhir/xml_write.h - FHIR in JSON becomes FHIR in XML (https://hl7.org/fhir/R4/xml.html, json.html).
 *
 * Elements are written in the order of the schema, numbers as they stand. The resource was validated, or an
 * error tells what XML cannot say: a name that its type does not have, a list where one value may stand, a
 * control character, a div that is no well-formed XHTML. fhir_xml_read() of what comes out is the same
 * resource. */
#ifndef POLDER_FHIR_XML_WRITE_H
#define POLDER_FHIR_XML_WRITE_H

#include "fhir/value.h"
#include "fhir/xml_read.h"

/* With or without line ends and indentation, which are no part of the resource. False: *ret says why, its
 * texts in the scratch arena; "too large" when out is full. */
[[nodiscard]] bool fhir_xml_write(const struct fhir_value *resource, bool is_pretty, const struct hash_key *,
                                  struct arena *scratch, struct buf *out, struct fhir_xml_error *ret);

/* Is the text one div of XHTML's namespace, well-formed, without document type, processing instructions and
 * prefixed names? What XHTML it may hold (https://hl7.org/fhir/R4/narrative.html) is not looked at. */
bool fhir_xml_div_is_well_formed(struct str text, const struct hash_key *);

#endif
