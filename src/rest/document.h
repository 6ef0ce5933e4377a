/* rest/document.h - a body as a tape, and a text with some places changed. */
#ifndef POLDER_REST_DOCUMENT_H
#define POLDER_REST_DOCUMENT_H

#include "rest/rest.h"

/* Parses JSON; the nodes lie in the arena, and no more of them than the text needs. */
enum json_error rest_json_parse(struct str text, struct arena *, struct json_tape *ret, size_t *ret_error_at);
/* The same of what a client sent; a resource, whose type is found. False: the answer says where it is wrong.
 */
[[nodiscard]] bool rest_resource_parse(const struct rest_call *, struct str text, struct json_tape *ret_tape,
                                       struct fhir_value *ret, struct rest_answer *);

/* Changes of a text: what lies at [at, at + length) becomes `text`. Added in any order, never overlapping. */
struct rest_edit {
    size_t at, length;
    struct str text;
};
struct rest_edits {
    struct rest_edit *list;
    size_t n, room;
    bool failed; /* memory ran out */
};
void rest_edit_add(struct rest_edits *, struct arena *, size_t at, size_t length, struct str text);
/* text: the part of the edited text that is wanted, which begins at offset `from` of it; every edit lies in
 * it. { NULL, 0 }: no memory. */
struct str rest_edits_apply(struct rest_edits *, struct str text, size_t from, struct arena *);

/* The edits that give a resource this id, and meta.versionId and meta.lastUpdated; everything else stays as
 * it came. id empty: as it is. */
void rest_edit_identity(struct rest_edits *, struct arena *, const struct json_tape *, uint32_t object,
                        struct str id, uint64_t version, int64_t time_us);
/* "2026-01-31T09:41:07.123Z" */
void rest_instant_write(struct buf *, int64_t time_us);

#endif
