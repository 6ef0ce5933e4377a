/* store/match.h - does a resource fit a criterion, by the rows it is indexed with? What every search means;
 * an engine's keys only find out faster. Pure. */
#ifndef POLDER_STORE_MATCH_H
#define POLDER_STORE_MATCH_H

#include "fhir/search_query.h"

/* Only of FHIR_QUERY_PARAMETER, and of modifiers that need no terminology: match_is_possible(). */
bool match_rows(const struct fhir_query_criterion *, const struct fhir_index_rows *);
bool match_is_possible(const struct fhir_query_criterion *);
/* A stretch of time and a value with its prefix. */
bool match_stretch(enum fhir_query_prefix, int64_t low_us, int64_t high_us, const struct fhir_query_value *);

/* The same when only parts are known: low in [low_us, low_last_us], high above low_us and at most
 * high_most_us. */
enum match_guess { MATCH_NO, MATCH_YES, MATCH_UNKNOWN };
enum match_guess match_guess_stretch(enum fhir_query_prefix, int64_t low_us, int64_t low_last_us,
                                     int64_t high_most_us, const struct fhir_query_value *);

#endif
