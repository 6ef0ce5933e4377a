/* store/engine.h - what searching, verifying and key making ask of an engine: texts, resources and keys in
 * order. Inside src/store only. All reads of one call are of one state: engine_read_begin. */
#ifndef POLDER_STORE_ENGINE_H
#define POLDER_STORE_ENGINE_H

#include "store/head.h"

const struct numbers *engine_numbers(const struct store *);
uint32_t engine_candidates_max(const struct store *);
/* Memory that is gone with the next call of store.h; and memory for one resource after another. */
struct arena *engine_scratch(struct store *);
/* Sets what store_problem() says; returns the result. */
enum store_result engine_fail(struct store *, enum store_result, const char *what);

/* Nests. The outermost one opens the state and empties the scratch memory. */
enum store_result engine_read_begin(struct store *);
void engine_read_end(struct store *);
enum store_result engine_read_alone(
    struct store *); /* for one statement: it opens and ends its state itself */

/* STORE_NOT_FOUND: it has no number. */
enum store_result engine_term(struct store *, struct str text, uint32_t *ret);
enum store_result engine_ident(struct store *, const struct fhir_type *, struct str id, uint32_t *ret);
struct key_source engine_source(struct store *); /* that only looks */

/* The current version, also a deleted one. STORE_NOT_FOUND: it has none. The head's id is borrowed until the
 * next call. */
enum store_result engine_head(struct store *, uint32_t resource, struct head *ret);
/* These will be asked for one after another: a database at the other end of a wire fetches them at once. Only
 * inside a state; an error is told by whoever asks. */
enum { ENGINE_EXPECTED_MAX = 256 };
void engine_expect(struct store *, const uint32_t *resources, size_t n);
/* With its body, checked, in the arena. */
enum store_result engine_body(struct store *, uint32_t resource, struct arena *, struct head *ret,
                              struct str *ret_body);
enum store_result engine_body_of(struct store *, uint32_t resource, uint64_t version, struct arena *,
                                 struct head *ret, struct str *ret_body);
uint32_t engine_last_resource(struct store *);

/* Parsed and indexed; everything is in the arena. Of what was stored: a body that cannot be parsed is
 * STORE_CORRUPT. */
struct indexed {
    struct json_tape tape;
    struct fhir_value value;
    struct fhir_index_rows rows;
};
enum store_result engine_index(struct store *, struct str body, struct arena *, struct indexed *ret);

/* A current resource with its rows: the last one asked for stays open until another is, or the call ends.
 * STORE_NOT_FOUND: it has no version, or was deleted. */
struct opened {
    bool is_open;
    uint32_t resource;
    struct head head;
    struct str body;
    struct indexed indexed;
};
enum store_result engine_open_resource(struct store *, uint32_t resource, const struct opened **ret);

/* One walk over keys in order at a time, and one over texts: begin, next until false, end, which tells of
 * errors. A key is borrowed until the next step. [low, high) */
enum engine_list { ENGINE_KEYS, ENGINE_TEXTS, ENGINE_LISTS };
enum store_result engine_walk(struct store *, enum engine_list, struct str low, struct str high,
                              bool backwards);
bool engine_next(struct store *, enum engine_list, struct str *ret);
enum store_result engine_walk_end(struct store *, enum engine_list);
/* The first key of [low, high), in out. STORE_NOT_FOUND: there is none. May be called while walking. */
enum store_result engine_first(struct store *, struct str low, struct str high, struct buf *out);

/* Resources whose narrative or content has all words of a text. STORE_NOT_INDEXED: not kept. */
enum engine_words { ENGINE_NARRATIVE, ENGINE_CONTENT };
enum store_result engine_words(struct store *, enum engine_words, struct str words,
                               bool (*each)(void *context, uint32_t resource), void *context);

/* The list of all writes. */
struct engine_change {
    uint64_t sequence, version;
    uint32_t resource;
    uint8_t type;
};
enum store_result engine_change(struct store *, uint64_t sequence, struct engine_change *ret);
enum engine_step { ENGINE_GO_ON, ENGINE_ENOUGH };
/* Those below a sequence, newest first. */
enum store_result engine_changes_before(struct store *, uint64_t sequence,
                                        enum engine_step (*each)(void *context, const struct engine_change *),
                                        void *context);

#endif
