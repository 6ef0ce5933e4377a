/* fhir/validate.h - is a resource what R4 says it is: names, cardinality, types and their syntax, choices,
 * required codes, what references may point at, and invariants.
 *
 * A resource that passes can be read by everything else in this folder without surprises: every name is known
 * and stands once, every value has its type. Not looked at: profiles, codes that cannot be listed here, and
 * whether what is referred to exists. Objects are nested at most FHIR_VALIDATE_DEPTH_MAX deep. */
#ifndef POLDER_FHIR_VALIDATE_H
#define POLDER_FHIR_VALIDATE_H

#include "fhir/path.h"

enum { FHIR_VALIDATE_DEPTH_MAX = 100, FHIR_VALIDATE_ISSUES_MAX = 100 };

/* The words of OperationOutcome.issue.code (https://hl7.org/fhir/R4/valueset-issue-type.html) that occur. */
enum fhir_issue_code {
    FHIR_ISSUE_STRUCTURE,
    FHIR_ISSUE_REQUIRED,
    FHIR_ISSUE_VALUE,
    FHIR_ISSUE_INVARIANT,
    FHIR_ISSUE_CODE_INVALID,
    FHIR_ISSUE_TOO_COSTLY,
    FHIR_ISSUE_INCOMPLETE, /* there is more than is told */
};
struct str fhir_issue_code_text(enum fhir_issue_code); /* "code-invalid" */

struct fhir_issue {
    enum fhir_issue_code code;
    bool is_error;       /* else a warning */
    struct str location; /* FHIRPath: "Patient.name[0].given[1]" */
    struct str rule;     /* "cardinality", "pat-1" */
    struct str text;     /* what is wrong and what to do */
    uint32_t at;         /* offset in the resource's text */
};

struct fhir_validation {
    const struct fhir_issue *issues;
    size_t n;
    bool is_valid; /* no error among them */
};

struct fhir_validator;

/* Compiles the invariants of all types, once; never changes, may be shared. NULL: no memory. */
const struct fhir_validator *fhir_validator_new(struct arena *);

struct fhir_validate_input {
    const struct json_tape *tape;
    uint32_t object;                 /* the resource */
    const struct fhir_path_env *env; /* resource and root_resource are set here; steps_max is for all rules */
    bool wants_warnings;
};

/* Issues lie in the arena; the scratch arena is reset many times. At most FHIR_VALIDATE_ISSUES_MAX issues,
 * the last of which then says that there are more. */
void fhir_validate(const struct fhir_validator *, const struct fhir_validate_input *, struct arena *,
                   struct arena *scratch, struct fhir_validation *ret);

#endif
