/* fhir/xml_tree.h - the elements of a document that is read, between expat and JSON. Inside src/fhir only. */
#ifndef POLDER_FHIR_XML_TREE_H
#define POLDER_FHIR_XML_TREE_H

#include "fhir/xml_read.h"

#define XML_FHIR  "http://hl7.org/fhir"
#define XML_XHTML "http://www.w3.org/1999/xhtml"

struct xml_node {
    const struct fhir_type *type;
    const struct fhir_element *element; /* NULL: a resource, whose name is its type's */
    struct str value;                   /* of a primitive; p is NULL when it has none */
    struct xml_node *parent, *first, *last, *next;
    unsigned index;                        /* among those of its name */
    const struct fhir_element *last_child; /* what stood last, for the order */
};

static inline bool xml_node_may_repeat(const struct xml_node *node)
{
    return node->element && fhir_element_most(node->element) != 1;
}

/* Is the text one div of XHTML, from its first byte to its last, with at most that many elements in one
 * another? */
bool xml_div_is_fine(struct str text, unsigned depth_max, const struct hash_key *);

/* Writes a resource and all below it. */
void xml_write_json(const struct xml_node *resource, struct buf *out);

#endif
