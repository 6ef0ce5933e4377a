/* tests/bench/store_corpus.h - resources to fill a store with: of FHIR bundles in a folder (transactions as
 * Synthea writes them), or made up. */
#ifndef POLDER_TESTS_BENCH_STORE_CORPUS_H
#define POLDER_TESTS_BENCH_STORE_CORPUS_H

#include "fhir/search_index.h"

struct corpus_resource {
    const struct fhir_type *type;
    struct str id, body; /* references resolved, without white space, meta.versionId and lastUpdated set */
};

struct corpus {
    struct corpus_resource *at;
    size_t n;
};

/* copies: so many times, each with other ids. False: nothing could be read. */
bool corpus_load(const char *folder, unsigned copies, struct arena *, struct corpus *ret);
void corpus_make(unsigned patients, struct arena *,
                 struct corpus *ret); /* 40 observations for each patient */

#endif
