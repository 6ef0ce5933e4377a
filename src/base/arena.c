#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Blocks grow geometrically; the first lies in the same malloc as the arena itself. */
enum { FIRST_BLOCK_BYTES = 4096 - 128, ALIGN = 16 };

struct block {
    struct block *next;
    size_t cap;
    alignas(16) char data[];
};

struct arena {
    size_t limit, used;
    bool overflowed;
    char *at, *end;
    struct block *blocks; /* newest first; the inline one is not in the list */
    alignas(16) char first[];
};

#if defined(__SANITIZE_ADDRESS__)
#define EACH_ALONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EACH_ALONE 1
#endif
#endif
#ifndef EACH_ALONE
#define EACH_ALONE 0
#endif

static size_t first_bytes(size_t limit)
{
    return limit < FIRST_BLOCK_BYTES ? limit : FIRST_BLOCK_BYTES;
}

struct arena *arena_new(size_t limit_bytes)
{
    size_t first = EACH_ALONE ? 0 : first_bytes(limit_bytes);
    struct arena *a = malloc(sizeof *a + first);
    if (!a)
        return NULL;
    *a = (struct arena){.limit = limit_bytes};
    a->at = a->first;
    a->end = a->first + first;
    return a;
}

static bool add_block(struct arena *a, size_t n)
{
    size_t cap = EACH_ALONE ? n : 2 * (size_t)FIRST_BLOCK_BYTES;
    if (a->blocks && !EACH_ALONE && a->blocks->cap * 2 > cap)
        cap = a->blocks->cap * 2;
    if (cap < n)
        cap = n;
    struct block *b = malloc(sizeof *b + cap);
    if (!b)
        return false;
    b->next = a->blocks;
    b->cap = cap;
    a->blocks = b;
    a->at = b->data;
    a->end = b->data + cap;
    return true;
}

static char *take(struct arena *a, size_t n, size_t align)
{
    size_t pad = (size_t)(-(uintptr_t)a->at) & (align - 1);
    if (n > a->limit - a->used) {
        a->overflowed = true;
        return NULL;
    }
    if (EACH_ALONE || n + pad > (size_t)(a->end - a->at)) {
        if (!add_block(a, n)) {
            a->overflowed = true;
            return NULL;
        }
        pad = 0;
    }
    char *p = a->at + pad;
    a->at = p + n;
    a->used += n;
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    char *p = take(a, n, ALIGN);
    return p ? memset(p, 0, n) : NULL;
}

char *arena_bytes(struct arena *a, size_t n)
{
    return take(a, n, 1);
}

struct str arena_copy(struct arena *a, struct str s)
{
    char *p = take(a, s.n, 1);
    if (!p)
        return STR_NONE;
    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

char *arena_copy_z(struct arena *a, struct str s)
{
    char *p = take(a, s.n + 1, 1);
    if (!p)
        return NULL;
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

struct str arena_printf(struct arena *a, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *p = n < 0 ? NULL : take(a, (size_t)n + 1, 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return p ? (struct str){p, (size_t)n} : STR_NONE;
}

bool arena_overflowed(const struct arena *a)
{
    return a->overflowed;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}

static void free_blocks(struct arena *a)
{
    while (a->blocks) {
        struct block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
}

void arena_reset(struct arena *a)
{
    free_blocks(a);
    a->used = 0;
    a->overflowed = false;
    a->at = a->first;
    a->end = a->first + (EACH_ALONE ? 0 : first_bytes(a->limit));
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    free_blocks(a);
    free(a);
}
