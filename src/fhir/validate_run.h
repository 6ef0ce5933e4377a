/* fhir/validate_run.h - what the parts of the validation share. Inside src/fhir only. */
#ifndef POLDER_FHIR_VALIDATE_RUN_H
#define POLDER_FHIR_VALIDATE_RUN_H

#include "fhir/validate.h"

/* ---- compiled rules */

enum rule_way {
    RULE_EVALUATED,
    RULE_BY_STRUCTURE, /* ele-1: the walk itself refuses empty elements */
    RULE_CONTAINED,    /* dom-3 */
    RULE_LOCAL,        /* ref-1 */
};

struct validate_rule {
    struct str key, expression;
    const struct fhir_path *path;
    bool is_error;
    enum rule_way way;
};

struct validate_rules {
    const struct validate_rule *at;
    unsigned n;
};

struct fhir_validator {
    struct validate_rules *of_type; /* by index */
    struct validate_rules *of_element;
};

/* ---- a run */

/* Where an element stands, linked from the inside out. */
struct place {
    const struct place *up;
    struct str name; /* of a resource: its type */
    int64_t index;   /* -1: no list */
};

/* An element's members of the object under way. */
struct slot {
    uint32_t value, companion;
};

struct validate_run {
    const struct fhir_validator *validator;
    const struct json_tape *tape;
    struct fhir_path_env env;
    uint64_t steps_left;
    bool wants_warnings, is_full;
    struct arena *arena, *scratch;
    struct fhir_issue *issues;
    size_t n;
    struct slot *slots; /* a stack: each object under way takes one for each element of its type */
    uint32_t slots_used;
    unsigned depth;
    /* Of the resource that contains others: ids of what it contains, and "#..." found in it, both sorted. */
    struct str *contained, *locals;
    uint32_t contained_count, local_count;
};

[[gnu::format(printf, 7, 8)]] void validate_add(struct validate_run *, enum fhir_issue_code, bool is_error,
                                                const struct place *, uint32_t node, const char *rule,
                                                const char *format, ...);

/* ---- values (validate_values.c) */
void validate_primitive(struct validate_run *, const struct fhir_value *, const struct place *);
void validate_binding(struct validate_run *, const struct fhir_value *, const struct place *);
void validate_reference(struct validate_run *, const struct fhir_value *, const struct place *);

/* ---- rules (validate_rules.c) */
void validate_rules(struct validate_run *, const struct fhir_value *, const struct place *);
/* Gathers what the local rules need, for a resource that is not contained in another one. */
void validate_gather_locals(struct validate_run *, const struct fhir_value *resource);
bool validate_has_text(const struct str *sorted, uint32_t n, struct str text);

#endif
