/* store/numbers.h - the numbers that stand for resource types and search parameters in stored keys.
 *
 * FHIR's tables number types and parameters within one build only; a store's numbers are given once and kept
 * in it. A number is 256 * type + parameter; parameter 0 is the type itself. Pure: who keeps them loads and
 * stores them.
 *
 * For each type this also knows what its keys need: which parameters put it into a patient's compartment,
 * which two say whose it is, and which date orders it. */
#ifndef POLDER_STORE_NUMBERS_H
#define POLDER_STORE_NUMBERS_H

#include "base/arena.h"
#include "base/buf.h"
#include "fhir/definitions.h"

struct numbers;

enum { NUMBERS_PARAMETERS_MAX = 255 };

struct numbers *numbers_new(struct arena *); /* of this build's tables, none given yet. NULL: no memory */

/* As it was stored: "Observation" or "Observation code". False: two numbers for one name, or one for two.
 * What this build does not know is kept out of the way of new ones. */
bool numbers_load(struct numbers *, uint32_t number, struct str name);
/* Gives numbers to what has none and calls add for each; its false ends it. False: no number is left, or add
 * has ended it. */
bool numbers_complete(struct numbers *, bool (*add)(void *context, uint32_t number, struct str name),
                      void *context);
bool numbers_are_complete(const struct numbers *);

uint8_t number_of_type(const struct numbers *, const struct fhir_type *);
const struct fhir_type *type_of_number(const struct numbers *, uint8_t); /* NULL: unknown to this build */
/* 0: the type has no such parameter. */
uint8_t number_of_parameter(const struct numbers *, const struct fhir_type *,
                            const struct fhir_search_parameter *);

struct type_plan {
    const struct fhir_search_parameter *date;     /* NULL: the type has none */
    const struct fhir_search_parameter *whose[2]; /* "patient" and "subject", as far as they are there */
    const struct fhir_search_parameter *id, *updated;
};
const struct type_plan *plan_of_type(const struct numbers *, const struct fhir_type *);
/* Does a reference to a Patient in that parameter put the resource into the patient's compartment? */
bool is_compartment_parameter(const struct numbers *, const struct fhir_type *,
                              const struct fhir_search_parameter *);

#endif
