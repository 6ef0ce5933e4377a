/* json/tape.h - a strict JSON parser (RFC 8259) that leaves the text where it is.
 *
 * A document becomes a flat array of nodes in the order of the text: a container, then its children; an
 * object's children come in pairs, key and value. A node says where its text lies and where the next value
 * after it is, so that a subtree is skipped in one step. Nothing is copied, no number is converted (a decimal
 * keeps its precision), nothing is allocated: the caller brings the nodes, json_nodes_max() of them always
 * suffice.
 *
 * Stricter than the grammar in two places where it leaves readings open: a lone surrogate in \u escapes is
 * refused (it is no Unicode text; RFC 8259 8.2, RFC 7493 2.1), and so is a byte order mark (8.1). Repeated
 * names are accepted, since finding them costs; json_find_repeated() tells. */
#ifndef POLDER_JSON_TAPE_H
#define POLDER_JSON_TAPE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_node {
    uint32_t at;     /* where the text begins; of a string: after the quote */
    uint32_t length; /* of the text; of a string: without quotes, still with its escapes; of a container: with
                        brackets */
    uint32_t next;   /* index of the node that follows, the whole subtree skipped */
    uint32_t type : 3, has_escapes : 1, count : 28; /* enum json_type; count: elements, or members */
};

struct json_tape {
    struct str text;
    const struct json_node *nodes;
    uint32_t count;
};

enum json_error {
    JSON_FINE,
    JSON_ENDS_EARLY, /* more text is needed */
    JSON_UNEXPECTED, /* a character that cannot stand there, also after the end of the value */
    JSON_BAD_STRING, /* a control character or an escape that is none */
    JSON_BAD_UTF8,
    JSON_BAD_NUMBER,
    JSON_TOO_DEEP,
    JSON_TOO_LARGE, /* more nodes than there is room for, or more than 128 MiB */
};

enum { JSON_TEXT_MAX = 1 << 27, JSON_DEPTH_MAX = 1000 };
#define JSON_NONE UINT32_MAX

static inline size_t json_nodes_max(size_t text_bytes) /* "[1,1]": a value takes two characters */
{
    return text_bytes / 2 + 1;
}

/* depth_max: how many containers may be open at once. On an error *ret_error_at (may be NULL) is the offset
 * of what cannot be read and *ret is untouched. The text and the nodes must outlive the tape. */
[[nodiscard]] enum json_error json_parse(struct str text, unsigned depth_max, struct json_node *nodes,
                                         size_t node_max, struct json_tape *ret, size_t *ret_error_at);
struct str json_error_text(enum json_error); /* "the text ends too early" */
/* Line and column, both from 1, columns in bytes, of an offset. */
void json_position(struct str text, size_t at, unsigned *ret_line, unsigned *ret_column);

static inline enum json_type json_type(const struct json_tape *t, uint32_t node)
{
    return (enum json_type)t->nodes[node].type;
}

/* To walk: for (uint32_t i = json_first(t, node), n = json_count(t, node); n > 0; n--, i = json_next(t, i)).
 * Of an object, i is a key and i + 1 its value; json_next(t, i) of a key is its value, so step with
 * json_next_member. */
static inline uint32_t json_first(const struct json_tape *t, uint32_t container)
{
    (void)t;
    return container + 1;
}

static inline uint32_t json_count(const struct json_tape *t, uint32_t container)
{
    return t->nodes[container].count;
}

static inline uint32_t json_next(const struct json_tape *t, uint32_t node)
{
    return t->nodes[node].next;
}

static inline uint32_t json_next_member(const struct json_tape *t, uint32_t key)
{
    return t->nodes[key + 1].next;
}

/* The text of a node as it stands in the document; json_source with the quotes of a string. */
static inline struct str json_text(const struct json_tape *t, uint32_t node)
{
    return (struct str){t->text.p + t->nodes[node].at, t->nodes[node].length};
}
struct str json_source(const struct json_tape *, uint32_t node);

/* The value of that name in an object: the first one. JSON_NONE: none, or not an object (JSON_NONE itself is
 * none). */
uint32_t json_get(const struct json_tape *, uint32_t object, struct str name);
bool json_string_is(const struct json_tape *, uint32_t string, struct str value);
/* What a string says, without its escapes. */
void json_string_write(const struct json_tape *, uint32_t string, struct buf *);
struct str json_string(const struct json_tape *, uint32_t string,
                       struct arena *); /* copies only what has escapes */
/* A number that is an integer in range, without fraction or exponent. False for everything else. */
bool json_get_u64(const struct json_tape *, uint32_t node, uint64_t *ret);
bool json_get_i64(const struct json_tape *, uint32_t node, int64_t *ret);

/* The first key of an object that repeats an earlier one; JSON_NONE: all differ. In linear time; large
 * objects take scratch memory for a table. An arena that ran out counts as "repeats". */
uint32_t json_find_repeated(const struct json_tape *, uint32_t object, const struct hash_key *,
                            struct arena *scratch);

#endif
