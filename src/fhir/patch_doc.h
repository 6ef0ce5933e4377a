/* fhir/patch_doc.h - a JSON document that is changed by cutting into its text. Inside src/fhir only.
 *
 * After each cut the text is parsed anew, so nodes found before are worth nothing. The work this takes is
 * bounded (PATCH_WORK_MAX bytes for all operations together). */
#ifndef POLDER_FHIR_PATCH_DOC_H
#define POLDER_FHIR_PATCH_DOC_H

#include "base/arena.h"
#include "fhir/patch.h"
#include "json/tape.h"

enum { PATCH_WORK_MAX = 1 << 28 };

struct patch_doc {
    struct json_tape tape;
    struct arena *arena;
    struct {
        char *text;
        struct json_node *nodes;
        size_t room; /* of text; nodes are json_nodes_max() of it */
    } sides[2];      /* the document, and the next one under way */
    unsigned side;
    size_t bytes_max;
    uint64_t work;
    struct fhir_patch_error *error;
};

bool patch_doc_init(struct patch_doc *, const struct json_tape *, size_t bytes_max, struct arena *,
                    struct fhir_patch_error *);

/* Puts text in the place of n bytes at an offset. */
enum fhir_patch_result patch_splice(struct patch_doc *, size_t at, size_t n, struct str text);
enum fhir_patch_result patch_replace(struct patch_doc *, uint32_t node, struct str json);
enum fhir_patch_result patch_add_member(struct patch_doc *, uint32_t object, struct str name,
                                        struct str json);
enum fhir_patch_result patch_insert(struct patch_doc *, uint32_t array, uint32_t index, struct str json);
/* child: an element of the array, or the key of a member of the object. */
enum fhir_patch_result patch_remove(struct patch_doc *, uint32_t container, uint32_t child);

/* Spends work; false: there is none left. */
bool patch_work(struct patch_doc *, uint64_t amount);
[[gnu::format(printf, 3, 4)]] enum fhir_patch_result patch_fail(struct patch_doc *, enum fhir_patch_result,
                                                                const char *format, ...);
enum fhir_patch_result patch_too_much(struct patch_doc *);

static inline uint32_t patch_step(const struct json_tape *t, uint32_t container, uint32_t child)
{
    return json_type(t, container) == JSON_OBJECT ? json_next_member(t, child) : json_next(t, child);
}

#endif
