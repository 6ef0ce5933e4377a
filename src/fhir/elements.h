/* fhir/elements.h - parts of a resource, for _summary and _elements, and a layout for people to read
 * (https://hl7.org/fhir/R4/search.html#summary, #elements).
 *
 * What is kept keeps its bytes: numbers, escapes and white space stand as they came. What is left out is told
 * by the tag SUBSETTED in meta, so that nobody takes the part for the whole and writes it back. */
#ifndef POLDER_FHIR_ELEMENTS_H
#define POLDER_FHIR_ELEMENTS_H

#include "fhir/search_query.h"

/* Both may be asked for; then an element has to pass both. */
struct fhir_part {
    enum fhir_summary
        summary; /* FHIR_SUMMARY_FALSE: not asked for; FHIR_SUMMARY_COUNT: nobody asks for resources */
    const struct str *elements;
    uint32_t element_count; /* 0: not asked for */
};

/* Kept are, beside resourceType, id and meta:
 *   true   the elements that R4 marks for summaries, at every level, those that have to be there, and those
 * that modify the meaning of others; what this leaves empty goes text   text, and those of the top level that
 * have to be there data   all but text elements  those that are named ("value" of a choice), and those of the
 * top level that have to be there or that modify the meaning of others Members that R4 does not know are left
 * out. Some 110 bytes more than the resource always suffice; ask buf_overflowed(). */
void fhir_part_write(const struct fhir_value *resource, const struct fhir_part *, struct buf *);

/* A line for each member and element, two blanks for each level; a line end behind the last. */
void fhir_pretty_write(const struct json_tape *, struct buf *);

#endif
