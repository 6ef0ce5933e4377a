/* waf/transform.h - SecLang transformations: pure functions from bytes to bytes, by ModSecurity 2.9's
 * reading.
 *
 * A function returns its input when nothing changes, else text in the arena. Once the arena is full it
 * returns an empty text: the caller asks arena_overflowed() and refuses. */
#ifndef POLDER_WAF_TRANSFORM_H
#define POLDER_WAF_TRANSFORM_H

#include "base/arena.h"

enum transformation {
#define TRANSFORMATION(symbol, name) TRANSFORM_##symbol,
#include "waf/transformations.def"
#undef TRANSFORMATION
    TRANSFORMATION_COUNT
};

/* What a SecUnicodeMapFile says: the byte a code point falls back to, or -1. */
struct unicode_map {
    int16_t byte_of[65'536];
};

bool transformation_find(struct str name, enum transformation *ret); /* without case; not "none" */
struct str transformation_name(enum transformation);
/* map may be NULL. */
struct str transform(enum transformation, struct str in, const struct unicode_map *map, struct arena *);

#define TRANSFORMATION(symbol, name)                                                                         \
    struct str transform_##symbol(struct str in, const struct unicode_map *, struct arena *);
#include "waf/transformations.def"
#undef TRANSFORMATION

#endif
