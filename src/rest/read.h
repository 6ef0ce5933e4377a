/* rest/read.h - what changes nothing: read, vread, history, search, capabilities, operations. */
#ifndef POLDER_REST_READ_H
#define POLDER_REST_READ_H

#include "rest/request.h"

/* Answers a request that does not write. The store of the call is a reader's. */
void rest_answer_read(const struct rest_call *, const struct rest_request *, struct rest_answer *);

/* [base]/.well-known/smart-configuration (SMART App Launch 2.0, "Conformance"); and the same for a
 * CapabilityStatement. Empty: no memory. */
struct str rest_smart_configuration(const struct rest_call *);
struct json_writer;
void rest_smart_write_security(const struct rest_call *, struct json_writer *);

/* Parts, one file each. */
void rest_read(const struct rest_call *, const struct rest_request *, struct rest_answer *);
void rest_history(const struct rest_call *, const struct rest_request *, struct rest_answer *);
void rest_search(const struct rest_call *, const struct rest_request *, struct rest_answer *);
void rest_capabilities(const struct rest_call *, const struct rest_request *, struct rest_answer *);
void rest_operation(const struct rest_call *, const struct rest_request *, struct rest_answer *);

/* Parses the query of a search on a type; false: refused. others: what the caller reads itself. */
[[nodiscard]] bool rest_query_parse(const struct rest_call *, const struct fhir_type *, struct str query,
                                    struct fhir_search_query *ret, struct rest_answer *);
/* The query string of what was understood. */
struct str rest_query_text(const struct rest_call *, const struct fhir_search_query *, size_t came_bytes);
/* Where a search was asked, for its links: "Patient", "name=a", and the page. */
struct rest_search_place {
    struct str path, query, position;
};
/* A searchset of what was found. */
void rest_search_answer(const struct rest_call *, const struct fhir_search_query *,
                        const struct store_found *, const struct rest_search_place *, struct rest_answer *);
/* 200 with a record. */
void rest_answer_record(const struct rest_call *, const struct rest_request *, const struct store_record *,
                        struct rest_answer *);

#endif
