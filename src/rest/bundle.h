/* rest/bundle.h - answers of several resources: Bundles of search results and of versions. The bodies stand
 * in them as they are stored. */
#ifndef POLDER_REST_BUNDLE_H
#define POLDER_REST_BUNDLE_H

#include "rest/request.h"

enum rest_entry_mode { REST_ENTRY_MATCH, REST_ENTRY_INCLUDE, REST_ENTRY_OUTCOME, REST_ENTRY_VERSION };

struct rest_entry {
    enum rest_entry_mode mode;
    const struct store_record *record; /* NULL: an outcome */
    struct str body;                   /* empty: of a deleted version */
};

struct rest_bundle {
    const char *type; /* "searchset" */
    bool has_total;
    uint64_t total;
    struct str self, next; /* below the base URL: "Patient?name=a"; next may be empty */
    const struct rest_entry *entries;
    size_t n;
};
/* Empty: no memory. */
struct str rest_bundle_write(const struct rest_call *, const struct rest_bundle *);

/* The body as the client wants it (_summary, _elements). Empty: no memory. */
struct str rest_subset(const struct rest_call *, struct str body, enum fhir_summary,
                       const struct str *elements, unsigned element_count);

#endif
