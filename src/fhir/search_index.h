/* fhir/search_index.h - from a resource to the rows by which it is found: for each search parameter the
 * values that a search compares (https://hl7.org/fhir/R4/search.html).
 *
 * The expressions of all parameters are compiled once into one tree of elements for each resource type, so
 * that a resource is walked once; what does not fit into a tree is evaluated as FHIRPath. Resources contained
 * in another one are not indexed: references to them are no rows. */
#ifndef POLDER_FHIR_SEARCH_INDEX_H
#define POLDER_FHIR_SEARCH_INDEX_H

#include "fhir/path.h"

enum fhir_index_role {
    FHIR_INDEX_VALUE,
    FHIR_INDEX_TEXT,       /* a string for :text, of a token or reference parameter */
    FHIR_INDEX_OF_TYPE,    /* a token for :of-type; its code is "type code|value", its system the type's */
    FHIR_INDEX_IDENTIFIER, /* a token for :identifier, of a reference parameter */
};

/* A number or quantity. As written, the range by its digits, and (where the unit is known) both in UCUM's
 * base units. A comparator in the data opens the range. */
struct fhir_index_number {
    struct fhir_decimal value, low, high;
    struct fhir_decimal base_low, base_high;
    struct str system, code, unit, base_unit; /* base_unit empty: none */
    bool has_low, has_high;                   /* false: no bound on that side */
};

struct fhir_index_value {
    uint8_t type; /* enum fhir_search_type; FHIR_SEARCH_COMPOSITE never */
    uint8_t role; /* enum fhir_index_role */
    union {
        struct {
            struct str system, code; /* system empty: none */
        } token;
        struct {
            const struct fhir_type *type; /* NULL: only url is known */
            struct str id, version, base; /* base: of an absolute URL */
            struct str url;               /* the whole text; of a canonical without "|version" */
        } reference;
        struct {
            struct str folded, exact; /* fhir_fold() */
        } string;
        struct {
            int64_t low_us, high_us; /* [low, high); INT64_MIN and INT64_MAX: open */
        } date;
        const struct fhir_index_number *number; /* of numbers and quantities */
        struct str uri;
    };
};

struct fhir_index_row {
    const struct fhir_search_parameter *parameter;
    const struct fhir_index_value *values; /* one; of a composite one for each part */
    uint32_t count;
};

struct fhir_index_rows {
    const struct fhir_index_row *at;
    size_t n;
};

struct fhir_indexer;

enum { FHIR_INDEX_ROWS_MAX = 20'000 };

enum fhir_index_way {
    FHIR_INDEX_BY_TREE,
    FHIR_INDEX_BY_EVALUATION, /* every expression by itself: the slow reference that tests compare with */
};

/* Compiles the parameters of all types: some milliseconds and megabytes, once. Never changes; may be shared.
 * Lies in the arena. NULL: no memory. */
const struct fhir_indexer *fhir_indexer_new(enum fhir_index_way, struct arena *);

enum fhir_index_result {
    FHIR_INDEX_FINE,
    FHIR_INDEX_TOO_MANY, /* more rows, steps or memory than a resource may take */
};

/* Rows in the order of the document. They borrow from the tape and lie in the arena. Of the environment
 * resource and root_resource are set here; steps_max is for each expression that is evaluated. An expression
 * that does not fit the data gives no row. */
enum fhir_index_result fhir_index_resource(const struct fhir_indexer *, const struct fhir_value *resource,
                                           const struct fhir_path_env *, struct arena *,
                                           struct fhir_index_rows *ret);

/* The type of the parameter that a part of a composite is compared as. */
enum fhir_search_type fhir_index_part_type(const struct fhir_type *, const struct fhir_search_parameter *,
                                           unsigned part);

#endif
