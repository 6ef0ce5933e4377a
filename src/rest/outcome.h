/* rest/outcome.h - what went wrong, as an OperationOutcome (https://hl7.org/fhir/R4/operationoutcome.html).
 */
#ifndef POLDER_REST_OUTCOME_H
#define POLDER_REST_OUTCOME_H

#include "fhir/validate.h"
#include "rest/rest.h"

/* Fills the answer: one issue. code: a word of issue-type ("not-found"); expression: FHIRPath or
 * "http.if-match" (http://hl7.org/fhir/R4/operationoutcome-definitions.html#OperationOutcome.issue.location),
 * may be empty. Always returns false, so that a refusal is one line. */
[[gnu::format(printf, 6, 7)]] bool rest_refuse(const struct rest_call *, struct rest_answer *,
                                               uint16_t status, const char *code, struct str expression,
                                               const char *format, ...);
/* The store's own words; its problem goes to nobody but the log. */
bool rest_refuse_store(const struct rest_call *, struct rest_answer *, enum store_result);
/* All issues of a validation. */
bool rest_refuse_invalid(const struct rest_call *, struct rest_answer *, uint16_t status,
                         const struct fhir_validation *);
/* An outcome of a validation, whatever it found; what is valid says so. */
struct str rest_outcome_of(const struct rest_call *, const struct fhir_validation *);
/* One informational issue. */
struct str rest_outcome_fine(const struct rest_call *, struct str text);
/* Of a query that could not be read: each problem an issue. */
bool rest_refuse_query(const struct rest_call *, struct rest_answer *, const struct fhir_query_problems *);
/* "{...OperationOutcome...}" of what a lenient search passed over; empty: nothing. */
struct str rest_outcome_ignored(const struct rest_call *, const struct fhir_query_problems *);

#endif
