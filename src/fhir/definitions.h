/* fhir/definitions.h - what FHIR R4 (4.0.1) defines: types with their elements, codes, search parameters and
 * compartments. Tables, made from FHIR's own definitions (tools/fhir_tables.py).
 *
 * A backbone element is a type of its own, named by its path: "Observation.component". Of every type all
 * elements are there, those of its bases first, and each type of a choice by its name in JSON. Everything is
 * const and static; names are borrowed for ever. */
#ifndef POLDER_FHIR_DEFINITIONS_H
#define POLDER_FHIR_DEFINITIONS_H

#include "base/str.h"

enum fhir_kind { FHIR_PRIMITIVE, FHIR_COMPLEX, FHIR_RESOURCE, FHIR_BACKBONE };

/* The primitive types of R4; embed.py has them in the same order. */
enum fhir_primitive {
    FHIR_NO_PRIMITIVE,
    FHIR_BASE64_BINARY,
    FHIR_BOOLEAN,
    FHIR_CANONICAL,
    FHIR_CODE,
    FHIR_DATE,
    FHIR_DATE_TIME,
    FHIR_DECIMAL,
    FHIR_ID,
    FHIR_INSTANT,
    FHIR_INTEGER,
    FHIR_MARKDOWN,
    FHIR_OID,
    FHIR_POSITIVE_INT,
    FHIR_STRING,
    FHIR_TIME,
    FHIR_UNSIGNED_INT,
    FHIR_URI,
    FHIR_URL,
    FHIR_UUID,
    FHIR_XHTML,
};

enum fhir_element_flag {
    FHIR_MODIFIER = 1 << 0,
    FHIR_SUMMARY = 1 << 1,
    FHIR_CHOICE = 1 << 2,
    FHIR_REQUIRED_BINDING = 1 << 3,
    FHIR_XML_ATTRIBUTE = 1 << 4, /* Element.id, Extension.url */
};

enum fhir_search_type {
    FHIR_SEARCH_NUMBER,
    FHIR_SEARCH_DATE,
    FHIR_SEARCH_STRING,
    FHIR_SEARCH_TOKEN,
    FHIR_SEARCH_REFERENCE,
    FHIR_SEARCH_COMPOSITE,
    FHIR_SEARCH_QUANTITY,
    FHIR_SEARCH_URI,
    FHIR_SEARCH_SPECIAL,
};

struct fhir_type;
struct fhir_element;
struct fhir_value_set;
struct fhir_search_parameter;

/* ---- types. An index below fhir_type_count() stands for a type in stored keys only within one build. */
const struct fhir_type *fhir_type_find(struct str name); /* NULL: there is none */
unsigned fhir_type_count(void);
const struct fhir_type *fhir_type_at(unsigned index);
unsigned fhir_type_index(const struct fhir_type *);
struct str fhir_type_name(const struct fhir_type *);
enum fhir_kind fhir_type_kind(const struct fhir_type *);
enum fhir_primitive fhir_type_primitive(const struct fhir_type *);
const struct fhir_type *fhir_type_base(const struct fhir_type *); /* NULL: it has none */
bool fhir_type_is_resource(
    const struct fhir_type *); /* one that there can be: not Resource or DomainResource */
bool fhir_type_is_a(const struct fhir_type *, const struct fhir_type *base); /* itself included */

/* ---- elements */
/* By the name in JSON. NULL: the type has no such element. */
const struct fhir_element *fhir_element_find(const struct fhir_type *, struct str name);
unsigned fhir_element_count(const struct fhir_type *);
const struct fhir_element *fhir_element_at(const struct fhir_type *,
                                           unsigned index); /* in the order of XML */
struct str fhir_element_name(const struct fhir_element *);
struct str fhir_element_stem(const struct fhir_element *); /* "value" of valueString */
const struct fhir_type *fhir_element_type(const struct fhir_element *);
unsigned fhir_element_least(const struct fhir_element *); /* of all types of a choice together */
unsigned fhir_element_most(const struct fhir_element *);  /* 0: no limit */
unsigned fhir_element_flags(const struct fhir_element *); /* enum fhir_element_flag */
unsigned fhir_element_index(
    const struct fhir_element *); /* below fhir_element_total(); see fhir_type_index */
unsigned fhir_element_total(void);
/* The first element of a choice by its stem ("value"), others follow it; NULL: the type has no such choice.
 */
const struct fhir_element *fhir_element_find_choice(const struct fhir_type *, struct str stem);
bool fhir_element_same_choice(const struct fhir_element *, const struct fhir_element *);
/* Resource types that a reference may point to; 0: any. */
unsigned fhir_element_target_count(const struct fhir_element *);
const struct fhir_type *fhir_element_target(const struct fhir_element *, unsigned index);

/* ---- codes */
/* The value set an element's codes must (FHIR_REQUIRED_BINDING) or should be of; NULL: none, or it cannot be
 * listed here. */
const struct fhir_value_set *fhir_element_value_set(const struct fhir_element *);
struct str fhir_value_set_url(const struct fhir_value_set *);
/* system may be { NULL, 0 }: of any system. */
bool fhir_value_set_has(const struct fhir_value_set *, struct str system, struct str code);
/* The system a code of the set is of; { NULL, 0 } when the set has no such code, or several. */
struct str fhir_value_set_system(const struct fhir_value_set *, struct str code);

/* ---- invariants: FHIRPath expressions that have to hold. */
struct fhir_rule {
    struct str key, expression;
    bool is_error; /* else a warning */
};
unsigned fhir_type_rule_count(const struct fhir_type *); /* its own; its bases have theirs */
struct fhir_rule fhir_type_rule(const struct fhir_type *, unsigned index);
unsigned fhir_element_rule_count(const struct fhir_element *);
struct fhir_rule fhir_element_rule(const struct fhir_element *, unsigned index);

/* ---- search parameters */
/* Of the type or its bases (_id, _lastUpdated, ...). NULL: unknown. */
const struct fhir_search_parameter *fhir_search_find(const struct fhir_type *, struct str code);
/* The type's own, by code; those of its bases are asked of them. */
unsigned fhir_search_count(const struct fhir_type *);
const struct fhir_search_parameter *fhir_search_at(const struct fhir_type *, unsigned index);
struct str fhir_search_code(const struct fhir_search_parameter *);
enum fhir_search_type fhir_search_type(const struct fhir_search_parameter *);
struct str fhir_search_type_name(enum fhir_search_type);
struct str fhir_search_expression(const struct fhir_search_parameter *); /* FHIRPath, of all its types */
unsigned fhir_search_target_count(const struct fhir_search_parameter *);
const struct fhir_type *fhir_search_target(const struct fhir_search_parameter *, unsigned index);
/* Of a composite: the parameter of each part (the tail of its URL) and its expression from the whole's. */
unsigned fhir_search_component_count(const struct fhir_search_parameter *);
void fhir_search_component(const struct fhir_search_parameter *, unsigned index, struct str *ret_name,
                           struct str *ret_expression);

/* ---- compartments */
/* Codes, between blanks, of the parameters by which a resource of the type belongs to the compartment
 * ("Patient"); empty: never. */
struct str fhir_compartment_parameters(const struct fhir_type *compartment, const struct fhir_type *);

#endif
