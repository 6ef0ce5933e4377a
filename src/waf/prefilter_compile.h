/* waf/prefilter_compile.h - what compiling and using a prefilter share. Inside the prefilter only. */
#ifndef POLDER_WAF_PREFILTER_COMPILE_H
#define POLDER_WAF_PREFILTER_COMPILE_H

#include "waf/prefilter.h"
#include "waf/prefilter_tree.h"

/* Changes whenever what is compiled, or how it is laid out, changes: older bytes are then made anew. */
enum { PREFILTER_VERSION = 1, PREFILTER_ALIGN = 64 };

/* ---- expressions: what Hyperscan is given */

/* How far an expression has gone from what it was, because the library refused it. */
enum expression_stage {
    STAGE_FIRST,
    STAGE_SHORTENED,
    STAGE_CUT,
    STAGE_HALVED,
    STAGE_NO_BORDERS,
    STAGE_FILTER
};

struct expression {
    const char *text;
    unsigned flags;
    uint32_t pattern; /* whose bit it sets */
    enum expression_stage stage;
    const struct tree *tree;
};

struct expressions {
    struct arena *arena;
    struct expression *items;
    size_t count, cap;
    bool failed; /* no memory */
};

/* Adds the expressions of a pattern. False: it cannot be selected, and none was added. */
bool expressions_add(struct expressions *, const struct prefilter_pattern *, uint32_t pattern);
/* Puts others in the place of one that the library refused; they match more. False: none is left to try. */
bool expressions_widen(struct expressions *, size_t at);

/* ---- the bytes: header, bitmap of the patterns that can be selected, lanes, databases */

struct prefilter_header {
    char magic[8];
    uint64_t checksum[2]; /* over all that follows */
    uint64_t size_bytes;  /* of all */
    char key[64];
    uint64_t cpu_features;
    uint32_t cpu_tune, version, patterns, lanes;
};

struct prefilter_lane {
    uint64_t offset, size_bytes; /* 0: nothing to scan for */
};

static inline size_t prefilter_bitmap_bytes(size_t patterns)
{
    return (patterns + 63) / 64 * sizeof(uint64_t);
}

void prefilter_checksum(struct str bytes, uint64_t ret[2]);
bool prefilter_platform(uint64_t *ret_cpu_features, uint32_t *ret_cpu_tune); /* of this machine */

#endif
