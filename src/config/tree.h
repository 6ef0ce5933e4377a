/* config/tree.h - YAML text as a tree of nodes that know their place in the file.
 *
 * Only the part of YAML that a configuration needs: one document of mappings, sequences and scalars.
 * Refused with their place: anchors, aliases, tags, merge keys, directives, further documents, keys that
 * are not plain words, repeated keys, control characters, broken UTF-8. Bounded, so that nonsense is
 * refused fast: TREE_BYTES_MAX, TREE_LINE_MAX, TREE_DEPTH_MAX, TREE_NODES_MAX, TREE_KEYS_MAX. */
#ifndef POLDER_CONFIG_TREE_H
#define POLDER_CONFIG_TREE_H

#include "config/problems.h"

enum {
    TREE_BYTES_MAX = 4 << 20,
    TREE_LINE_MAX = 16 << 10, /* libfyaml's look-ahead for keys is quadratic in a line's length */
    TREE_DEPTH_MAX = 16,
    TREE_NODES_MAX = 200'000,
    TREE_KEYS_MAX = 256, /* of one mapping */
};

enum node_type { NODE_SCALAR, NODE_SEQUENCE, NODE_MAPPING };

struct node {
    enum node_type type;
    bool is_quoted; /* a scalar in quotes or a block: never null */
    bool is_block;  /* a literal block (`|`): its text may hold line feeds */
    struct place at;
    struct str text; /* of a scalar */
    struct str key;  /* of a mapping's child */
    struct place key_at;
    struct node *first, *last, *next; /* children; the next sibling */
    unsigned child_count;
};

/* NULL: nothing to read, the problems say why. The nodes and their texts lie in the arena. */
struct node *tree_read(struct str yaml, struct arena *, struct problems *);

bool node_is_null(const struct node *); /* an empty value, `~` or `null` */
const struct node *node_child(const struct node *mapping, const char *key);

/* Where to point: the child's value, or its parent when the child is missing. */
struct place node_place(const struct node *mapping, const char *key);

#endif
