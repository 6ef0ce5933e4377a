/* fhir/search_plan.h - the compiled parameters of a type as a tree of elements, and the making of rows.
 * Inside src/fhir only. */
#ifndef POLDER_FHIR_SEARCH_PLAN_H
#define POLDER_FHIR_SEARCH_PLAN_H

#include "fhir/search_index.h"

#define PLAN_NONE UINT32_MAX

/* What an element is to an index, by its type. */
enum index_shape {
    SHAPE_OTHER,
    SHAPE_BOOLEAN,
    SHAPE_NUMBER,
    SHAPE_MOMENT,
    SHAPE_TEXT,
    SHAPE_CODING,
    SHAPE_CODEABLE_CONCEPT,
    SHAPE_IDENTIFIER,
    SHAPE_CONTACT_POINT,
    SHAPE_REFERENCE,
    SHAPE_PERIOD,
    SHAPE_TIMING,
    SHAPE_QUANTITY,
    SHAPE_MONEY,
    SHAPE_RANGE,
    SHAPE_SAMPLED_DATA,
    SHAPE_HUMAN_NAME,
    SHAPE_ADDRESS,
};

/* Part of a composite: members of where it stands, or (none) what a path gives. */
struct plan_part {
    enum fhir_search_type type;
    const struct fhir_path *path;
    const struct fhir_element **members;
    unsigned member_count;
};

/* A parameter that takes its values where the action stands. */
struct plan_action {
    const struct fhir_search_parameter *parameter;
    const struct fhir_type *target; /* only references to that type; NULL: all */
    const struct fhir_path *path;   /* at the root only: evaluated over the whole resource */
    const struct plan_part *parts;  /* of a composite */
    uint8_t type, part_count;
    uint32_t next;
};

struct plan_node {
    const struct fhir_element *element;
    uint32_t child, sibling, action;
};

struct fhir_indexer {
    struct plan_node *nodes;
    struct plan_action *actions;
    uint32_t node_count, action_count;
    uint32_t *roots; /* for each type; PLAN_NONE: no resource */
    uint8_t *shapes; /* for each type */
};

/* Values under way: of one parameter, or of one part of a composite. */
struct index_values {
    struct fhir_index_value *at;
    uint32_t n, room;
};

/* An element is asked for by several parameters of one type one after another: its values are kept a while.
 */
enum { INDEX_KEPT = 8 };
struct index_kept {
    uint32_t node; /* 0: empty, for that is the resource */
    uint8_t type;
    const struct fhir_type *target;
    struct index_values values;
};

/* Rows under way. */
struct index_run {
    const struct fhir_indexer *indexer;
    const struct fhir_path_env *env;
    struct fhir_value resource;
    struct arena *arena;
    struct fhir_index_row *rows;
    size_t n, room;
    bool is_full;
    struct index_kept kept[INDEX_KEPT];
    unsigned next_kept;
};

void index_add_row(struct index_run *, const struct fhir_search_parameter *, const struct fhir_index_value *,
                   uint32_t count);
/* The same in UCUM's base units, when its unit is one of UCUM's that is known. */
void index_set_base(struct fhir_index_number *, struct arena *);
/* What an element or item is for a parameter of that type. target: only references to it. */
void index_add_values(struct index_run *, enum fhir_search_type, const struct fhir_type *target,
                      const struct fhir_item *, struct index_values *);

#endif
