/* waf/prefilter_tree.h - regular expressions as trees that may only grow: what a tree matches is what the
 * pattern does or more, never less. Inside the prefilter only.
 *
 * "More" is meant for one question: is there a match anywhere in values joined by '\n'? Where it begins and
 * ends, and what its groups hold, does not count. */
#ifndef POLDER_WAF_PREFILTER_TREE_H
#define POLDER_WAF_PREFILTER_TREE_H

#include "base/arena.h"
#include "base/buf.h"

struct bytes {
    uint64_t bits[4];
};

enum tree_kind {
    TREE_BYTE,   /* one of a set of bytes */
    TREE_EACH,   /* its children, one after the other; no child: the empty text */
    TREE_ANY,    /* one of its children */
    TREE_REPEAT, /* its child, least to most times */
    TREE_BORDER, /* a place between two bytes */
};

enum tree_border { BORDER_LINE_START, BORDER_LINE_END, BORDER_WORD, BORDER_NO_WORD };

enum { TREE_DEPTH_MAX = 100 };
#define TREE_NO_LIMIT UINT32_MAX

struct tree {
    enum tree_kind kind;
    enum tree_border border;
    uint32_t least, most;
    struct tree *first, *last, *next; /* children; the next child of the same parent */
    struct bytes bytes;
};

static inline bool bytes_has(const struct bytes *set, uint8_t c)
{
    return set->bits[c / 64] >> (c % 64) & 1;
}

static inline void bytes_put(struct bytes *set, uint8_t c)
{
    set->bits[c / 64] |= 1ULL << (c % 64);
}

void bytes_put_range(struct bytes *, uint8_t first, uint8_t last);
void bytes_merge(struct bytes *, const struct bytes *);
void bytes_invert(struct bytes *);
void bytes_ignore_case(struct bytes *); /* a letter in either case brings the other */
unsigned bytes_count(const struct bytes *);
bool bytes_equal(const struct bytes *, const struct bytes *);

/* NULL: no memory. */
struct tree *tree_new(struct arena *, enum tree_kind);
struct tree *tree_repeat(struct arena *, struct tree *what, uint32_t least, uint32_t most);
struct tree *tree_text(struct arena *, struct str, bool is_caseless);
struct tree *tree_copy(struct arena *, const struct tree *);
void tree_add(struct tree *parent, struct tree *child); /* child belongs to no parent yet */

/* The tree of a pattern of PCRE2 with the meaning of rx.h. NULL: no memory, or something in it that has no
 * superset here (prefilter_parse.c lists what). */
struct tree *tree_parse(struct arena *, struct str pattern);

void tree_ignore_case(struct tree *);
bool tree_may_be_empty(const struct tree *);  /* matches without a byte, borders taken as given */
bool tree_is_known_byte(const struct tree *); /* one byte, but for its case */
size_t tree_size(const struct tree *);        /* bytes it looks at, repetitions written out; saturates */
/* In Hyperscan's syntax, for HS_FLAG_DOTALL | HS_FLAG_MULTILINE. */
void tree_print(const struct tree *, struct buf *);

/* ---- made simpler, or to match more (prefilter_widen.c) */

/* Takes away what does not change whether there is a match: repetitions and options at both ends. False: no
 * memory. */
bool tree_trim(struct arena *, struct tree *);
bool tree_shorten(struct tree *);      /* long counted repetitions lose their count; false: there are none */
bool tree_drop_borders(struct tree *); /* false: there are none */
/* Of what stands before the last large alternatives of a sequence only the last byte stays. False: no memory,
 * or nothing stands before them. */
bool tree_cut_before_core(struct arena *, struct tree *);
bool tree_ends_in_any_text(const struct tree *); /* or one of its alternatives does: x.*, (?:x.*|y) */

/* ---- cut into several (prefilter_split.c): together they match what one did */

struct trees {
    struct tree **items;
    size_t count, cap;
};

/* One for each way through its alternatives and options, at most limit; alternatives that would make more
 * stay whole. False: no memory. */
bool tree_split_ways(struct arena *, const struct tree *, size_t limit, struct trees *ret);
/* Two: what ends in any text within the sequence, without what follows, and the rest. False: no memory, or
 * there is nothing of that kind. */
bool tree_split_any_text(struct arena *, const struct tree *, struct tree *ret[2]);
/* Two, each with half of the alternatives of its largest part. False: no memory, or nothing to halve. */
bool trees_add(struct arena *, struct trees *, struct tree *); /* false: no memory */
bool tree_split_halves(struct arena *, const struct tree *, struct tree *ret[2]);
/* The longest run of bytes that are known but for their case. */
size_t tree_literal_length(const struct tree *);
/* For words whose letters may be kept apart, as in r[\\'"]*m: see prefilter_skips.c. False: no memory, or it
 * is not of that kind. */
bool tree_split_skips(struct arena *, const struct tree *, struct trees *ret);

#endif
