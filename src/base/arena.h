/* base/arena.h - many small allocations, one free. One owner, one thread.
 *
 * An arena that ran out says so once, in arena_overflowed(): build all you need, check at the end.
 * In sanitizer builds every allocation has its own malloc, so that AddressSanitizer sees overruns. */
#ifndef POLDER_BASE_ARENA_H
#define POLDER_BASE_ARENA_H

#include "base/str.h"

#include <stdalign.h>

struct arena;

struct arena *arena_new(size_t limit_bytes); /* NULL: no memory */
[[nodiscard]] void *arena_alloc(struct arena *,
                                size_t n); /* zeroed, aligned for any type; NULL once over the limit */
[[nodiscard]] char *arena_bytes(struct arena *, size_t n); /* not zeroed, not aligned, for text */
struct str arena_copy(struct arena *, struct str);         /* { NULL, 0 } once over the limit */
char *arena_copy_z(struct arena *, struct str); /* the copy ends in a NUL; NULL once over the limit */
[[gnu::format(printf, 2, 3)]] struct str arena_printf(struct arena *, const char *format, ...);
bool arena_overflowed(const struct arena *);
size_t arena_used(const struct arena *); /* bytes handed out since new or reset */
void arena_reset(struct arena *);        /* every pointer dies; the first block is kept */
void arena_free(struct arena *);         /* NULL is fine */

#endif
