/* fhir/definitions_data.h - the layout of the tables that embed.py makes. Inside src/fhir only; others use
 * definitions.h. */
#ifndef POLDER_FHIR_DEFINITIONS_DATA_H
#define POLDER_FHIR_DEFINITIONS_DATA_H

#include "fhir/definitions.h"

enum { FHIR_NO_INDEX = 0xFFFF };

struct fhir_text_at { /* in fhir_text */
    uint32_t at;
    uint16_t n;
};

struct fhir_type {
    struct fhir_text_at name;
    enum fhir_kind kind;
    enum fhir_primitive primitive;
    uint16_t base; /* FHIR_NO_INDEX: none */
    uint16_t first_element, element_count;
    uint16_t first_invariant, invariant_count;
};

struct fhir_element {
    struct fhir_text_at name, stem; /* "valueString", "value" */
    uint16_t owner, type;           /* in fhir_types */
    uint16_t group;                 /* the first element of the choice; of no choice: itself */
    uint16_t first_target, target_count;
    uint16_t value_set;
    uint16_t first_invariant, invariant_count;
    uint8_t least;
    uint8_t most; /* 0: no limit */
    uint8_t flags;
};

struct fhir_value_set {
    struct fhir_text_at url;
    uint16_t first, count; /* in fhir_codes, by code */
};

struct fhir_code {
    struct fhir_text_at system, code;
};

struct fhir_invariant {
    struct fhir_text_at key, expression;
    bool is_error;
};

struct fhir_search_parameter {
    struct fhir_text_at code;
    enum fhir_search_type type;
    struct fhir_text_at expression;
    uint16_t first_target, target_count;
    uint16_t first_component, component_count;
};

struct fhir_search_component {
    struct fhir_text_at name, expression; /* the last part of the parameter's URL: "clinical-code" */
};

struct fhir_search_base {
    uint16_t type, parameter;
};

struct fhir_compartment_row {
    uint16_t compartment, type;
    struct fhir_text_at parameters; /* between blanks */
};

struct fhir_counts {
    unsigned types, elements, value_sets, search_parameters, search_bases, compartments, type_slots,
        element_slots, search_slots;
};

extern const struct fhir_type fhir_types[];
extern const struct fhir_element fhir_elements[];
extern const uint16_t fhir_targets[];
extern const struct fhir_value_set fhir_value_sets[];
extern const struct fhir_code fhir_codes[];
extern const struct fhir_invariant fhir_invariants[];
extern const struct fhir_search_parameter fhir_search_parameters[];
extern const struct fhir_search_component fhir_search_components[];
extern const struct fhir_search_base fhir_search_bases[]; /* by type, then code */
extern const struct fhir_compartment_row fhir_compartments[];
extern const uint16_t fhir_type_slots[], fhir_element_slots[], fhir_search_slots[]; /* open addressing */
extern const char fhir_text[];
extern const struct fhir_counts fhir_counts;

#endif
