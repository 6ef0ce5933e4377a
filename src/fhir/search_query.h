/* fhir/search_query.h - what a search asks for: the query string of a search on a type, in a compartment or
 * on the whole system becomes a plain value in an arena, and a value becomes the query string again.
 *
 * Strict (https://hl7.org/fhir/R4/search.html leaves it to the server): an unknown parameter, a modifier that
 * does not fit, a value that its type cannot read, a result parameter that stands there twice: each is an
 * error that says which parameter, where in it, and what is possible. Lenient (Prefer: handling=lenient)
 * passes over unknown and unsupported parameters, tells which, and is as strict with the rest: to read
 * "gt2O24" as nothing would find more than was asked for.
 *
 * All criteria have to hold (AND); of a criterion's values, or of what stands inside it, one has to (OR).
 * A value is written in the form of the index rows it is compared with (fhir/search_index.h), so that an
 * executor compares like with like. Which rows fit, with [l, h) a row's stretch and [low, high) the value's:
 *
 *   eq  low <= l && h <= high       ne  not eq             ap  l < high && low < h
 *   gt  h > high                    lt  l < low            ge  gt or eq     le  lt or eq
 *   sa  l >= high                   eb  h <= low
 *
 * Numbers: with gt lt ge le sa eb the digits written say nothing of precision, so low and high are the number
 * itself; a row's number is a point as well (its value), unless it is a range. ap has been widened already: a
 * number by a tenth, a date by a tenth of its distance from now. */
#ifndef POLDER_FHIR_SEARCH_QUERY_H
#define POLDER_FHIR_SEARCH_QUERY_H

#include "fhir/search_index.h"

enum {
    FHIR_QUERY_BYTES_MAX = 1 << 16,  /* of a query string */
    FHIR_QUERY_PAIRS_MAX = 200,      /* name=value */
    FHIR_QUERY_VALUES_MAX = 1'000,   /* of one criterion */
    FHIR_QUERY_CRITERIA_MAX = 1'000, /* inner ones counted too: a chain through any type counts them all */
    FHIR_QUERY_DEPTH_MAX = 5,        /* of chains and _has */
    FHIR_QUERY_INCLUDES_MAX = 50,
    FHIR_QUERY_SORTS_MAX = 10,
    FHIR_QUERY_ELEMENTS_MAX = 200,
    FHIR_QUERY_PROBLEMS_MAX = 20,
};

enum fhir_query_modifier {
    FHIR_QUERY_PLAIN,
    FHIR_QUERY_MISSING, /* is_missing says which; no values */
    FHIR_QUERY_EXACT,
    FHIR_QUERY_CONTAINS,
    FHIR_QUERY_TEXT,
    FHIR_QUERY_NOT,    /* also those that have no value at all */
    FHIR_QUERY_IN,     /* the values are URIs of value sets */
    FHIR_QUERY_NOT_IN, /* so too */
    FHIR_QUERY_ABOVE,
    FHIR_QUERY_BELOW,
    FHIR_QUERY_OF_TYPE,
    FHIR_QUERY_IDENTIFIER,
    FHIR_QUERY_OF_RESOURCE, /* "subject:Patient=23": the type stands in the values */
};

enum fhir_query_prefix {
    FHIR_QUERY_EQ,
    FHIR_QUERY_NE,
    FHIR_QUERY_GT,
    FHIR_QUERY_LT,
    FHIR_QUERY_GE,
    FHIR_QUERY_LE,
    FHIR_QUERY_SA,
    FHIR_QUERY_EB,
    FHIR_QUERY_AP,
};

/* How a value is read. is.type tells the member of the union, is.role the rows it is compared with:
 *   string     folded: rows that begin with it; :exact: exact is the same; :contains: folded is in it.
 *              :text of a token or reference: a string, role FHIR_INDEX_TEXT.
 *   token      "code": any_system. "|code": of no system. "system|code". "system|": any_code.
 *              :of-type: role FHIR_INDEX_OF_TYPE, system of the type, code "type code|value" as rows have it.
 *              :identifier of a reference: a token, role FHIR_INDEX_IDENTIFIER.
 *              :in, :not-in: a uri, of the value set. :above, :below: the code to compare with.
 *   reference  id not empty: id, base (empty: our own), type (NULL: of any), version (empty: any).
 *              id empty: url and version (empty: any).
 *   uri        the same text; :below: rows that begin with it, :above: rows that it begins with. Both end at
 *              a '/' or the end.
 *   number     low and high of struct fhir_index_number.
 *   quantity   any_code: whatever the unit. Else any_system: rows whose code or unit is number->code. Else
 *              rows of that system and code, or, when base_unit is not empty, of that base_unit with
 *              base_low and base_high.
 *   date       low_us, high_us.
 *   composite  parts, one for each component; `is` then says no more than its type. */
struct fhir_query_value {
    struct fhir_index_value is;
    uint8_t prefix; /* enum fhir_query_prefix; of dates, numbers and quantities */
    bool any_system, any_code;
    const struct fhir_query_value *parts;
    uint32_t part_count;
};

enum fhir_query_kind {
    FHIR_QUERY_PARAMETER, /* one of the values fits a row of the parameter */
    FHIR_QUERY_ID,        /* _id: the same; a store knows it without rows */
    FHIR_QUERY_UPDATED,   /* _lastUpdated */
    FHIR_QUERY_NARRATIVE, /* _text: words in the narrative; a string */
    FHIR_QUERY_CONTENT,   /* _content: words anywhere */
    FHIR_QUERY_CHAIN,     /* what the parameter refers to fits one of the inner ones, each of another type */
    FHIR_QUERY_HAS,       /* a resource of the inner one's type refers here by `parameter`, and fits it */
    FHIR_QUERY_ALTERNATIVES, /* the inner one of the resource's own type: `_type=A,B` where A's and B's differ
                              */
};

struct fhir_query_criterion {
    uint8_t kind, modifier; /* enum fhir_query_kind, enum fhir_query_modifier */
    bool is_missing;
    const struct fhir_type
        *type; /* of the resources it is asked of; NULL: of any (a parameter they all have) */
    const struct fhir_search_parameter *parameter; /* NULL: FHIR_QUERY_ALTERNATIVES */
    const struct fhir_query_value *values;         /* none: a chain, _has, :missing */
    uint32_t value_count;
    const struct fhir_query_criterion *inner; /* of FHIR_QUERY_HAS one */
    uint32_t inner_count;
    struct str name, text; /* as they were written ("subject:Patient.name"), decoded; of outer ones only */
};

struct fhir_query_sort {
    const struct fhir_search_parameter *parameter;
    bool is_descending;
};

struct fhir_query_include {
    const struct fhir_type *source;                /* whose parameter it is; NULL: "*", of any */
    const struct fhir_search_parameter *parameter; /* a reference; NULL: "*", all of them */
    const struct fhir_type *target;                /* NULL: of any type */
    bool is_iterated;
};

enum fhir_query_total {
    FHIR_TOTAL_UNSAID,
    FHIR_TOTAL_NONE,
    FHIR_TOTAL_ESTIMATE,
    FHIR_TOTAL_ACCURATE,
};

enum fhir_summary {
    FHIR_SUMMARY_FALSE,
    FHIR_SUMMARY_TRUE,
    FHIR_SUMMARY_TEXT,
    FHIR_SUMMARY_DATA,
    FHIR_SUMMARY_COUNT,
};

enum fhir_query_fault {
    FHIR_QUERY_UNKNOWN,       /* no such parameter */
    FHIR_QUERY_BAD_MODIFIER,  /* it has no such modifier */
    FHIR_QUERY_BAD_VALUE,     /* not a value of its type */
    FHIR_QUERY_NOT_SUPPORTED, /* FHIR has it, we do not */
    FHIR_QUERY_TOO_MUCH,      /* a limit */
    FHIR_QUERY_BAD_TEXT,      /* percent encoding, UTF-8, or a name without a value */
};

struct fhir_query_problem {
    enum fhir_query_fault fault;
    struct str name; /* of the parameter, as it was written; shown to people: it has no control characters */
    bool is_in_name; /* at is an offset in the name, not in the value */
    size_t at;       /* bytes, of the decoded text */
    struct str what; /* "Patient has no search parameter \"nmae\"" */
    struct str hint; /* "did you mean \"name\"?"; may be empty */
};

struct fhir_query_problems {
    const struct fhir_query_problem *at;
    uint32_t n;
};

struct fhir_search_query {
    const struct fhir_type *compartment; /* NULL: none */
    struct str compartment_id;
    const struct fhir_type *const *types; /* none: all. One of a search on a type; else what _type says */
    uint32_t type_count;
    bool is_type_said; /* they are _type's */

    const struct fhir_query_criterion *criteria;
    uint32_t criterion_count;
    const struct fhir_query_sort *sorts;
    uint32_t sort_count;
    const struct fhir_query_include *includes, *revincludes;
    uint32_t include_count, revinclude_count;
    const struct str *elements; /* names of top-level elements */
    uint32_t element_count;

    bool has_count; /* _count was said; 0 asks for the total alone */
    uint32_t count;
    enum fhir_query_total total;
    bool has_summary;
    enum fhir_summary summary;
    struct str format; /* _format; empty: not said. What it may be is the caller's to judge */
    bool has_pretty, is_pretty;
    struct fhir_query_problems ignored; /* lenient: what was passed over */
};

struct fhir_query_context {
    const struct fhir_type *type;        /* NULL: all types, or those of the compartment */
    const struct fhir_type *compartment; /* NULL: none */
    struct str compartment_id;           /* valid: the caller has looked */
    struct str base_url; /* ours, with the '/' at its end: references below it are our own. May be empty */
    bool is_lenient;
    uint32_t count_max; /* a larger _count becomes this */
    int64_t now_us;     /* for the prefix ap of dates */
    const struct str
        *others; /* names of parameters that the caller reads itself: passed over, never written */
    size_t other_count;
};

/* query: what stands behind '?', still encoded as application/x-www-form-urlencoded ('+' is a blank). form:
 * the body of POST _search, so too; its parameters are added. Both may be empty. Everything lies in the
 * arena, and borrows nothing from query and form (but the compartment's id from the context). False:
 * ret_problems has what is wrong, at least one, and *ret is untouched; an arena that ran out is
 * FHIR_QUERY_TOO_MUCH. */
[[nodiscard]] bool fhir_search_query_parse(struct str query, struct str form,
                                           const struct fhir_query_context *, struct arena *,
                                           struct fhir_search_query *ret,
                                           struct fhir_query_problems *ret_problems);

/* The query string of what was understood, for the self link: criteria in their order, then _type, _sort,
 * _include and the rest in an order of its own. Parsed in the same context it gives the same value again.
 * All but what RFC 3986 2.3 calls unreserved and a few signs that read well (comma, colon, slash, '$', '|',
 * '*') is percent-encoded. */
void fhir_search_query_write(const struct fhir_search_query *, struct buf *);

struct str fhir_query_modifier_name(enum fhir_query_modifier); /* "exact"; empty for the plain one */
struct str fhir_query_prefix_name(enum fhir_query_prefix);     /* "eq" */

#endif
