/* Every transformation on every text: it ends, it says the same twice, it leaves its input alone, what it
 * returns is no longer than it may be; those that tidy up find nothing left to do the second time. */
#include "base/must.h"
#include "waf/transform.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 14 };

static bool is_idempotent(enum transformation t)
{
    switch (t) {
    case TRANSFORM_compress_whitespace:
    case TRANSFORM_lowercase:
    case TRANSFORM_normalize_path:
    case TRANSFORM_normalize_path_win:
    case TRANSFORM_remove_nulls:
    case TRANSFORM_remove_whitespace:
    case TRANSFORM_utf8_to_unicode:
        return true;
    default:
        return false;
    }
}

static size_t longest(enum transformation t, size_t n)
{
    switch (t) {
    case TRANSFORM_hex_encode:
        return 2 * n;
    case TRANSFORM_utf8_to_unicode: /* two bytes become %u and four digits */
        return 3 * n;
    case TRANSFORM_length:
    case TRANSFORM_sha1:
        return 20;
    default:
        return n;
    }
}

static void check(enum transformation t, struct str in, struct arena *arena)
{
    struct str out = transform(t, in, NULL, arena), again = transform(t, in, NULL, arena);
    must(!arena_overflowed(arena));
    must(str_eq(out, again));
    must(out.n <= longest(t, in.n));
    if (is_idempotent(t))
        must(str_eq(transform(t, out, NULL, arena), out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX)
        return 0;
    struct arena *arena = arena_new(64 << 20);
    char *copy = malloc(size + 1); /* exactly as long: an overrun is seen */
    must(arena && copy);
    if (size)
        memcpy(copy, data, size);
    for (unsigned t = 0; t < TRANSFORMATION_COUNT; t++)
        check((enum transformation)t, (struct str){copy, size}, arena);
    must(size == 0 || memcmp(copy, data, size) == 0);
    free(copy);
    arena_free(arena);
    return 0;
}
