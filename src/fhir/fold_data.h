/* fhir/fold_data.h - the table that fold.py makes. Inside src/fhir only. */
#ifndef POLDER_FHIR_FOLD_DATA_H
#define POLDER_FHIR_FOLD_DATA_H

#include <stdint.h>

extern const char fhir_fold_unicode[];      /* the version of Unicode */
extern const uint16_t fhir_fold_pages[256]; /* 0xffff: nothing on this page changes */
extern const uint16_t fhir_fold_rows[];     /* 256 for each page: 0, or one more than where in the pool */
extern const char fhir_fold_pool[];         /* length, then bytes */

#endif
