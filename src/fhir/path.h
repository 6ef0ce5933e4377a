/* fhir/path.h - FHIRPath: compiled once, evaluated over a resource on the tape.
 *
 * The language is that of http://hl7.org/fhirpath/N1 with FHIR R4's additions; what is left out stands in
 * docs/decisions/0022-fhir-core.md, and is refused when an expression is compiled. Both texts may come from a
 * stranger: an expression is bounded in length, size and depth, an evaluation in steps and in the memory of
 * its arena. A compiled expression never changes and may be shared. */
#ifndef POLDER_FHIR_PATH_H
#define POLDER_FHIR_PATH_H

#include "base/arena.h"
#include "base/hash.h"
#include "fhir/decimal.h"
#include "fhir/moment.h"
#include "fhir/value.h"

/* ---- what an evaluation gives */

enum fhir_item_kind {
    FHIR_ITEM_ELEMENT, /* of a resource; the others are computed or literals */
    FHIR_ITEM_BOOLEAN,
    FHIR_ITEM_INTEGER,
    FHIR_ITEM_DECIMAL,
    FHIR_ITEM_STRING,
    FHIR_ITEM_MOMENT,
    FHIR_ITEM_QUANTITY,
};

struct fhir_item {
    enum fhir_item_kind kind;
    union {
        struct fhir_value
            element; /* node JSON_NONE and no companion: a resource of which only the type is known */
        bool boolean;
        int64_t integer;
        struct fhir_decimal decimal;
        struct str string;
        struct fhir_moment moment;
        struct {
            const struct fhir_decimal *value;
            struct str unit; /* a UCUM code, or a word of FHIRPath's as "days" */
        } quantity;
    };
};

struct fhir_items {
    const struct fhir_item *at;
    uint32_t n;
};

/* ---- compiling */

enum { FHIR_PATH_BYTES_MAX = 1 << 14, FHIR_PATH_NODES_MAX = 2'048, FHIR_PATH_DEPTH_MAX = 200 };

enum fhir_path_flag {
    /* As HL7's own R4 definitions are written: "is Boolean" and "as(DateTime)" mean FHIR's types too. */
    FHIR_PATH_LOOSE_TYPES = 1 << 0,
};

struct fhir_path_error {
    size_t at;       /* offset in the expression */
    struct str what; /* "there is no such function" */
};

struct fhir_path;

/* Everything lies in the arena. NULL: *ret says why; an arena that ran out is "no memory". */
const struct fhir_path *fhir_path_compile(struct str expression, unsigned flags, struct arena *,
                                          struct fhir_path_error *ret);

/* ---- evaluating */

enum fhir_path_result {
    FHIR_PATH_FINE,
    FHIR_PATH_FAILED,     /* the expression does not fit the data: two items where there may be one, ... */
    FHIR_PATH_TOO_COSTLY, /* a limit was met */
};

struct fhir_path_variable {
    struct str name;
    struct fhir_item value;
};

struct fhir_path_env {
    struct fhir_value resource, root_resource; /* %resource, %rootResource; type NULL: the context itself */
    const struct fhir_path_variable *variables;
    size_t variable_count;
    uint64_t steps_max;
    uint64_t *spent;          /* may be NULL: the steps taken are added */
    struct hash_key hash_key; /* secret: tables are filled with what a stranger sent */
    struct str now;           /* "2026-01-31T09:41:07.123Z"; empty: now() and today() fail */
    /* What a reference points at. False: it cannot be had; then only the type that the reference names is
     * known. NULL: the same, for all. Contained resources are found without it. */
    bool (*resolve)(void *context, struct str reference, struct fhir_value *ret);
    bool (*html_is_fine)(void *context, struct str xhtml); /* NULL: htmlChecks() is true */
    void *context;
};

/* Temporary memory and the result lie in the scratch arena: reset it when the result is no longer needed. */
enum fhir_path_result fhir_path_eval(const struct fhir_path *, const struct fhir_value *context,
                                     const struct fhir_path_env *, struct arena *scratch,
                                     struct fhir_items *ret, struct str *ret_problem);

enum fhir_verdict { FHIR_HOLDS, FHIR_FAILS, FHIR_CANNOT_TELL, FHIR_COSTS_TOO_MUCH };
/* As an invariant is read: an empty result does not fail. */
enum fhir_verdict fhir_path_check(const struct fhir_path *, const struct fhir_value *context,
                                  const struct fhir_path_env *, struct arena *scratch);

/* A primitive element as the value it has; anything else as it is. */
struct fhir_item fhir_item_value(struct fhir_item, struct arena *);
/* As toString() has it; empty for what has no text. */
struct str fhir_item_text(struct fhir_item, struct arena *);

#endif
