/* rest/rest.h - FHIR R4's RESTful interface over a store (https://hl7.org/fhir/R4/http.html): a request
 * becomes an interaction, an interaction an answer. No sockets, no clocks: time, randomness and the store are
 * arguments.
 *
 *   rest_request_parse   method, path, query and fields -> struct rest_request    (request.h)
 *   rest_prepare         what the body must be: parsed, validated                 (write.h; in a worker)
 *   rest_answer_read     reads, searches, histories, operations                   (read.h; in a worker)
 *   rest_answer_write    all that changes something, inside the store's group     (write.h; in the owner)
 *
 * What always holds: every call of the store passes the view of the caller (access.h). Whatever is refused is
 * answered by an OperationOutcome that says where, by which rule and what to do. What is stored are the bytes
 * that came, but for id and meta (splice.h). Everything made for a request lies in its arena. */
#ifndef POLDER_REST_REST_H
#define POLDER_REST_REST_H

#include "fhir/search_index.h"
#include "fhir/validate.h"
#include "http/message.h"
#include "rest/access.h"
#include "store/store.h"

/* Compiled once for each process; never changes. */
struct rest_engine {
    struct arena *arena;
    const struct fhir_indexer *indexer;
    const struct fhir_validator *validator;
    struct hash_key key; /* secret: of tables that are filled with what strangers send */
};
/* False: no memory. */
[[nodiscard]] bool rest_engine_init(struct rest_engine *, struct hash_key);
void rest_engine_done(struct rest_engine *);

/* A cluster. */
struct rest_site {
    const struct rest_engine *engine;
    struct store *store;
    struct str name, organisation;
    struct str base_url; /* without a '/' at its end */
    uint32_t page_entries, page_entries_max;
    struct rest_guard *guard; /* NULL: everything is open to everybody (access.h) */
};

/* New ids, which nobody can foresee: the millisecond and 74 bits of a keyed hash over a counter, written as a
 * UUID of version 7 (RFC 9562 5.7). What is made at the same time lies at the same place of the store's list
 * of ids. */
struct rest_ids {
    struct hash_key key;
    uint64_t next;
};
enum { REST_ID_BYTES = 36 };
struct str rest_id_new(struct rest_ids *, int64_t now_us, struct arena *);

/* One request under way. */
struct rest_call {
    const struct rest_site *site;
    const struct rest_caller *caller;
    const struct store_view *view;
    const struct access_decision *decision; /* NULL: everything may be done */
    const struct str *new_patients;         /* ids that this transaction makes */
    unsigned new_patient_count;
    struct arena *arena, *scratch; /* the scratch arena is reset at any time */
    int64_t now_us;
    struct rest_ids *ids; /* of who writes; NULL elsewhere */
};

/* What was touched, for the audit (audit.h). */
struct rest_touched {
    struct rest_touched *next;
    const struct fhir_type *type;
    struct str id, patient; /* patient: whose record it is, where that is known; may be empty */
    uint64_t version;
};

struct rest_answer {
    uint16_t status;
    struct str body;      /* JSON; empty: none */
    struct str location;  /* below the base URL: "Patient/1/_history/2"; empty: none */
    struct str allow;     /* of 405 */
    struct str progress;  /* X-Progress, of 202; empty: none */
    struct str challenge; /* WWW-Authenticate, of 401 and 403; empty: none */
    uint64_t version;     /* for ETag; 0: none */
    int64_t modified_us;  /* INT64_MIN: none */
    struct rest_touched *touched;
    unsigned touched_count;
    bool retry_later;
    enum store_result failure; /* why the store refused; STORE_FINE: it did not */
};

/* Can there be resources of that type in R4? The tables know SubscriptionStatus as well, of the backport of
 * R5's subscriptions, which is sent and never kept. */
bool rest_type_is_kept(const struct fhir_type *);

void rest_touch(const struct rest_call *, struct rest_answer *, const struct fhir_type *, struct str id,
                uint64_t version, struct str patient);
/* The same from a record: the patient is found in the body. */
void rest_touch_record(const struct rest_call *, struct rest_answer *, const struct store_record *);

#endif
