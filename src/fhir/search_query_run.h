/* fhir/search_query_run.h - a query string under way from text to struct fhir_search_query. Inside src/fhir
 * only.
 *
 * Every function that may find a fault returns false then and has told it with query_fault(); what is wrong
 * is told by a piece of the name or the value under way, so that its place is known. */
#ifndef POLDER_FHIR_SEARCH_QUERY_RUN_H
#define POLDER_FHIR_SEARCH_QUERY_RUN_H

#include "base/nearest.h"
#include "fhir/search_query.h"

struct query_list {
    struct fhir_query_problem at[FHIR_QUERY_PROBLEMS_MAX];
    uint32_t n;
};

/* The values read last. In a chain many types have the same parameter: what it means for one of them it means
 * for all, and is read once. */
struct query_kept {
    const char *text; /* where they stand; NULL: none yet */
    enum fhir_search_type type;
    enum fhir_query_modifier modifier;
    const struct fhir_type *implied; /* of references by their id alone */
    bool is_id;
    const struct fhir_query_value *values;
    uint32_t count;
};

struct query_run {
    const struct fhir_query_context *context;
    struct arena *arena;
    struct fhir_search_query query;
    struct query_list problems, ignored;
    struct fhir_query_criterion *criteria; /* of query: FHIR_QUERY_PAIRS_MAX of them */
    struct fhir_query_sort *sorts;
    struct fhir_query_include *includes, *revincludes;
    struct str *elements;
    const struct fhir_type **types;
    struct str name, value; /* the pair under way, decoded, not empty */
    uint64_t seen;          /* bits of result parameters (search_query_results.c) */
    unsigned criterion_total, looks;
    struct query_kept kept;
};

/* Always false. at: a piece of name or value; anything else is the whole of it. */
[[gnu::format(printf, 5, 6)]] bool query_fault(struct query_run *, enum fhir_query_fault, struct str at,
                                               struct str hint, const char *format, ...);
/* For messages: shortened between quotes. */
struct str query_quote(struct query_run *, struct str);
/* "did you mean \"name\"?", or empty. */
struct str query_hint(struct query_run *, const struct nearest *);

/* ---- pieces of a value: '\' takes the meaning from one of ",|$\" behind it */
/* Cuts at the first c that stands free, as str_cut() does. */
struct str query_cut(struct str *rest, char c);
/* The text without its backslashes; in the arena when it has some. */
bool query_unescape(struct query_run *, struct str raw, struct str *ret);

/* ---- search_query_values.c */
struct query_asked {
    const struct fhir_type *type;                  /* NULL: any */
    const struct fhir_search_parameter *parameter; /* of a part of a composite: the whole's */
    enum fhir_query_modifier modifier;
    const struct fhir_type *of_resource; /* of FHIR_QUERY_OF_RESOURCE */
};
/* The values between commas of a parameter. */
bool query_read_values(struct query_run *, const struct query_asked *, struct fhir_query_criterion *ret);

bool query_bad_value(struct query_run *, struct str at,
                     struct str wanted); /* a fault: at is not what is wanted */
/* A fault when something is left behind the last '|' that a value may have (rest is not NULL). */
bool query_ends_bars(struct query_run *, struct str rest, const char *wanted);

/* ---- search_query_ranges.c */
bool query_read_date(struct query_run *, struct str raw, struct fhir_query_value *ret);
bool query_read_number(struct query_run *, struct str raw, struct fhir_query_value *ret);
bool query_read_quantity(struct query_run *, struct str raw, struct fhir_query_value *ret);

/* ---- search_query_names.c */
/* Reads name and value into a criterion for what is searched. */
bool query_read_criterion(struct query_run *, struct fhir_query_criterion *ret);
/* Of a type (NULL: of all); NULL: there is none. */
const struct fhir_search_parameter *query_find_parameter(const struct fhir_type *, struct str code);
/* A resource type, or a fault that names at. */
const struct fhir_type *query_read_type(struct query_run *, struct str at);
/* A fault: the type has no such parameter. */
bool query_unknown_parameter(struct query_run *, const struct fhir_type *, struct str code);
/* Can a reference by the parameter point to the type? */
bool query_may_refer(const struct fhir_search_parameter *, const struct fhir_type *);

/* ---- search_query_results.c */
enum query_result { QUERY_NO_RESULT, QUERY_RESULT_READ, QUERY_RESULT_BAD };
/* Parameters that say how the answer looks (_sort, _count, ...), when the one under way is such. */
enum query_result query_read_result(struct query_run *);
/* Names to suggest. */
void query_try_results(struct nearest *);

#endif
