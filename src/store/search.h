/* store/search.h - a search as this store carries it out. Inside src/store only.
 *
 * For each resource type a plan: filters that all have to hold, and what the reader may see. One of the
 * filters drives: its keys are walked, and each resource found is a candidate, looked at by the others, the
 * cheap ones first. What no key can tell is asked of the resource itself (match.h), once for all filters. A
 * chain is solved from inside out: first the set of what is referred to.
 *
 * What always holds:
 *  1. A candidate is in the result only when every filter said yes and the view did; which filter drives
 *     changes time, never results.
 *  2. A resource comes up once, even when several keys lead to it.
 *  3. Every candidate is counted against the limit of the store (STORE_TOO_COSTLY). */
#ifndef POLDER_STORE_SEARCH_H
#define POLDER_STORE_SEARCH_H

#include "store/engine.h"
#include "store/match.h"

enum filter_kind {
    FILTER_NOTHING, /* nothing fits */
    FILTER_TERMS,   /* a key with one of the prefixes has the parameter */
    FILTER_SET,     /* it is one of these resources */
    FILTER_MISSING, /* its shape has the parameter, or not */
    FILTER_UPDATED,
    FILTER_LINK, /* it refers by the parameter to one of these resources */
    FILTER_DATES,
    FILTER_NUMBERS,
    FILTER_BODY, /* only the resource itself can tell */
};

struct prefix {
    uint8_t n;
    char p[6];
};

/* Numbers of resources, sorted. */
struct set {
    uint32_t *at;
    size_t n, room;
};

struct filter {
    enum filter_kind kind;
    bool is_negated;
    bool needs_body; /* what the keys say is necessary, not sufficient */
    uint8_t parameter;
    bool is_whose; /* the parameter is "patient" or "subject": see PLACE_IS_SUBJECT */
    const struct fhir_query_criterion *criterion;
    struct prefix *prefixes; /* sorted */
    size_t prefix_count, prefix_room;
    struct set set;   /* FILTER_SET; FILTER_LINK: targets; FILTER_MISSING: shapes that have the parameter */
    struct set found; /* once has_found: all that fits */
    bool has_found;
};

struct filters {
    struct filter *at;
    size_t n;
};

/* A view made ready, for the length of one call. */
struct seer;

struct plan {
    struct store *store;
    struct seer *seer;
    const struct fhir_type *type;
    uint8_t type_number;
    struct arena *arena;
    struct filter *filters;
    size_t filter_count, filter_room;
    uint32_t bound; /* resources above it are left out; 0: none */
    /* Patients the result is limited to; none: no limit. */
    uint32_t *patients;
    size_t patient_count;
    bool has_scope;
    bool is_hidden;              /* the view hides the type */
    struct filters denied, only; /* of the view */
};

struct candidate {
    struct place place;
    bool has_date;      /* false: place.date is not known yet */
    bool is_further;    /* from a key of another patient than its first */
    bool is_of_any_key; /* not found by a key of one patient: all its patients count */
    uint8_t type;
};

struct candidates {
    struct candidate *at;
    size_t n, room;
    uint64_t count; /* also of those that are only counted */
};

/* ---- search_set.c */
enum store_result set_add(struct set *, uint32_t, struct arena *);
void set_sort(struct set *); /* and without repetitions */
bool set_has(const struct set *, uint32_t);

/* ---- search_terms.c: the prefixes of a criterion's values */
enum store_result search_terms(struct plan *, struct filter *);

/* ---- search_compile.c */
enum store_result plan_init(struct plan *, struct store *, struct seer *, const struct fhir_type *,
                            struct arena *);
enum store_result plan_add(struct plan *, const struct fhir_query_criterion *);
/* Only what is in the compartment of that resource. */
enum store_result plan_add_compartment(struct plan *, const struct fhir_type *compartment, struct str id);
enum store_result search_compile(struct plan *, const struct fhir_query_criterion *, struct filter *ret);

/* ---- search_links.c: chains and _has */
enum store_result search_chain(struct plan *, struct filter *);
enum store_result search_has(struct plan *, struct filter *);
enum store_result search_alternatives(struct plan *, struct filter *);

/* ---- search_check.c */
enum store_result candidate_place(struct plan *, struct candidate *); /* has_date from now on */
enum store_result filter_check(struct plan *, struct filter *, struct candidate *, bool *ret);
/* All filters but what the driver has said already, and the view. */
enum store_result plan_check(struct plan *, struct candidate *, uint8_t driver, bool *ret);

/* ---- search_walk.c */
enum { FILTERS_MAX = 250, DRIVER_ALL = 0xff };
struct walk {
    uint8_t driver;            /* the index of a filter, or DRIVER_ALL */
    const struct place *after; /* of one range only: goes on behind that place */
    uint64_t limit;            /* ends when so many were found; 0: all */
    bool is_counted_only;
};
enum store_result plan_choose_driver(struct plan *, uint8_t *ret);
bool driver_is_one_range(const struct plan *, uint8_t driver);
enum store_result plan_walk(struct plan *, const struct walk *, struct candidates *);
enum store_result plan_solve(struct plan *, struct set *ret);
enum store_result filter_gather(struct plan *, struct filter *); /* all that its keys lead to, into found */
void candidates_sort(struct candidates *);

/* ---- search_view.c */
enum store_result seer_new(struct store *, const struct store_view *, struct arena *, struct seer **ret);
bool seer_sees_type(const struct seer *, const struct fhir_type *);
enum store_result seer_prepare(struct seer *, struct plan *);               /* the plan's denied and only */
enum store_result seer_check(struct plan *, struct candidate *, bool *ret); /* whose it is */
enum store_result seer_check_denied(struct plan *, struct candidate *, bool *ret); /* what it is */
bool seer_is_open(const struct seer *);                                            /* everything is seen */
/* Patients a view is limited to, when they are few and nothing else is seen of that type. */
bool seer_scope(const struct seer *, const struct fhir_type *, const uint32_t **ret, size_t *ret_n);
/* For parts of a version: whose it was, whether rules speak of its type, what it was. */
enum store_result seer_sees_head(struct seer *, const struct fhir_type *, const struct head *, bool *ret);
bool seer_has_rules(const struct seer *, const struct fhir_type *);
bool seer_sees_rows(const struct seer *, const struct fhir_type *, const struct fhir_index_rows *);
/* For a resource by its number. STORE_NOT_FOUND: it has no version, or was deleted. */
enum store_result seer_sees(struct seer *, const struct fhir_type *, uint32_t resource, struct arena *,
                            bool *ret);

/* ---- search_sort.c: candidates in order */
struct ranked {
    struct str key; /* memcmp orders; no two are the same */
    struct candidate candidate;
};
enum store_result search_rank(struct store *, const struct fhir_search_query *, const struct candidates *,
                              struct arena *, struct ranked **ret);

/* ---- search_position.c: places in a result, as letters and digits */
struct str position_write(struct str bytes, struct arena *); /* STR_NONE: no memory */
bool position_read(struct str text, struct buf *out);

/* ---- search_include.c */
struct found_resource {
    uint32_t resource;
    const struct fhir_type *type;
};
enum store_result search_include(struct store *, struct seer *, const struct fhir_search_query *,
                                 const struct found_resource *matches, size_t n, uint32_t most,
                                 struct arena *, struct set *ret);

/* ---- read.c */
enum store_result record_read(struct store *, uint32_t resource, bool with_body, struct arena *,
                              struct store_record *ret);
/* A version that the view shows; STORE_NOT_FOUND otherwise. */
enum store_result version_read(struct store *, struct seer *, const struct fhir_type *, uint32_t resource,
                               uint64_t version, struct arena *, struct store_record *ret);
/* Does the view show what the resource is now, deleted or not? */
enum store_result sees_current(struct store *, struct seer *, const struct fhir_type *, uint32_t resource,
                               bool *ret);
/* Has the type any resource? */
enum store_result type_is_used(struct store *, const struct fhir_type *, bool *ret);

#endif
