/* rest/write.h - what changes something. A worker prepares a request (parsed and validated, so that what
 * reaches the owner is right); the owner answers it inside a group of the store, with all others that arrived
 * in the same turn. */
#ifndef POLDER_REST_WRITE_H
#define POLDER_REST_WRITE_H

#include "rest/document.h"
#include "rest/request.h"

/* False: refused. Of a patch only the current version tells whether it fits: the owner validates that. */
[[nodiscard]] bool rest_prepare(const struct rest_call *, const struct rest_request *, struct rest_answer *);

enum rest_written {
    REST_ANSWERED,   /* done or refused; the group goes on */
    REST_GROUP_LOST, /* the store has undone the whole group; the answer says why */
};
/* Between store_begin and store_commit; call->now_us is the time of the group. What the answer says is true
 * only once the group is committed. */
enum rest_written rest_answer_write(const struct rest_call *, const struct rest_request *,
                                    struct rest_answer *);

/* So too: tells the practice whose patient it is that a file was opened in an emergency (access.h), as a
 * Communication. 201: it was told. */
enum rest_written rest_notify_emergency(const struct rest_call *, struct str patient, struct rest_answer *);

/* ---- parts, for the files of the same name */

/* A write under way. */
struct rest_pending {
    struct store_write write;
    struct fhir_value resource;
    struct json_tape tape;
    bool exists;     /* there was one that is not deleted */
    struct str body; /* as it is stored */
};
/* What a write takes its body from: a resource on a tape, and changes to it that were found already. */
struct rest_source {
    const struct json_tape *tape;
    uint32_t object;
    struct rest_edits *edits;
};
/* The body with id, version and time in it, parsed and indexed. The source may be NULL for a deletion. False:
 * refused. */
[[nodiscard]] bool rest_pend(const struct rest_call *, struct rest_pending *, enum store_verb,
                             const struct fhir_type *, struct str id, int64_t expected,
                             const struct rest_source *, struct rest_answer *);
/* Answers for one that was applied: status, version, location, body as wanted. */
void rest_answer_pending(const struct rest_call *, const struct rest_request *, const struct rest_pending *,
                         struct rest_answer *);
/* What an error of the store means for a write. */
enum rest_written rest_refuse_write(const struct rest_call *, struct rest_answer *,
                                    const struct store_write *, enum store_result);

/* The one resource a condition finds. */
enum rest_condition { REST_CONDITION_NONE, REST_CONDITION_ONE, REST_CONDITION_FAILED };
enum rest_condition rest_condition_find(const struct rest_call *, const struct fhir_type *, struct str query,
                                        struct store_record *ret, struct rest_answer *);

enum rest_written rest_bundle_execute(const struct rest_call *, const struct rest_request *,
                                      struct rest_answer *);
/* The current version with the patch of the request in it, validated. False: refused. */
[[nodiscard]] bool rest_patch_make(const struct rest_call *, const struct rest_request *, struct str id,
                                   struct json_tape *ret, struct rest_answer *);
enum rest_written rest_patch(const struct rest_call *, const struct rest_request *, struct rest_answer *);
/* The resource on a tape with these codes of a system as tags, and no others of that system. Empty: no
 * memory, or too many. (meta.c) */
struct str rest_meta_tagged(const struct rest_call *, const struct json_tape *, struct str system,
                            const struct str *codes, unsigned n);
/* Is what the body says of itself what the address says? */
[[nodiscard]] bool rest_check_address(const struct rest_call *, const struct rest_request *,
                                      const struct json_tape *, uint32_t object, struct rest_answer *);
/* Of a body that is valid: BSN, AGB, UZI, URA and BIG numbers have their form. False: refused. */
[[nodiscard]] bool rest_check_identifiers(const struct rest_call *, const struct json_tape *, uint32_t object,
                                          struct rest_answer *);
[[nodiscard]] bool rest_validate_body(const struct rest_call *, const struct json_tape *, uint32_t object,
                                      struct rest_answer *);

#endif
