#include "proxy/chunk.h"

#include "base/must.h"

#include <stdlib.h>

static struct chunk *chunk_new(uint32_t cap)
{
    struct chunk *c = malloc(sizeof *c + cap);
    if (c)
        *c = (struct chunk){.cap = cap};
    return c;
}

struct chunk *chunk_get(struct chunk_pool *pool)
{
    struct chunk *c = pool->free;
    if (!c)
        return chunk_new(CHUNK_BYTES);
    pool->free = c->next;
    pool->free_count--;
    if (pool->free_count < pool->least_free)
        pool->least_free = pool->free_count;
    c->next = NULL;
    return c;
}

struct chunk *chunk_get_big(struct chunk_pool *pool [[maybe_unused]])
{
    return chunk_new(CHUNK_BIG_BYTES);
}

/* A recycled chunk is wiped up to where it was filled: the next connection that gets it can never be made to
 * show what an earlier one left (the class of CVE-2023-4966 and CVE-2025-5777). Sanitizer builds recycle
 * nothing, so that a use after chunk_put is seen. */
void chunk_put(struct chunk_pool *pool, struct chunk *c)
{
    if (!c)
        return;
#ifndef __SANITIZE_ADDRESS__
    if (c->cap == CHUNK_BYTES && pool->free_count < CHUNKS_KEPT) {
        chunk_rewind(c);
        memset(c->data, 0, c->dirty);
        c->dirty = 0;
        c->next = pool->free;
        pool->free = c;
        pool->free_count++;
        return;
    }
#endif
    chunk_rewind(c);
    explicit_bzero(c->data, c->dirty);
    free(c);
}

unsigned chunk_pool_trim(struct chunk_pool *pool)
{
    unsigned freed = 0;
    for (; pool->least_free > 0; pool->least_free--, pool->free_count--, freed++) {
        struct chunk *next = pool->free->next;
        free(pool->free);
        pool->free = next;
    }
    pool->least_free = pool->free_count;
    return freed;
}

void chunk_pool_done(struct chunk_pool *pool)
{
    while (pool->free) {
        struct chunk *next = pool->free->next;
        free(pool->free);
        pool->free = next;
    }
    pool->free_count = 0;
}

void chunk_compact(struct chunk *c)
{
    uint32_t n = c->end - c->at;
    if (c->at == 0)
        return;
    memmove(c->data, c->data + c->at, n);
    memset(c->data + n, 0, c->end - n);
    c->at = 0;
    c->end = n;
}

bool chunk_make_room(struct chunk **c, struct chunk_pool *pool)
{
    struct chunk *now = *c ? *c : chunk_get(pool);
    if (!now)
        return false;
    *c = now;
    if (now->at == now->end)
        chunk_rewind(now);
    if (chunk_room(now) == 0)
        chunk_compact(now);
    if (chunk_room(now) > 0)
        return true;
    struct chunk *big = now->cap < CHUNK_BIG_BYTES ? chunk_get_big(pool) : NULL;
    if (!big)
        return false;
    memcpy(big->data, now->data, now->end);
    big->end = now->end;
    chunk_put(pool, now);
    *c = big;
    return true;
}

void outq_take_chunk(struct outq *q, struct chunk *c)
{
    c->next = NULL;
    if (q->tail)
        q->tail->next = c;
    else
        q->head = c;
    q->tail = c;
    q->bytes += c->end - c->at;
}

struct chunk *outq_reserve(struct outq *q, struct chunk_pool *pool, size_t room)
{
    must(room <= CHUNK_BIG_BYTES);
    if (q->tail && chunk_room(q->tail) >= room)
        return q->tail;
    struct chunk *c = room <= CHUNK_BYTES ? chunk_get(pool) : chunk_get_big(pool);
    if (c)
        outq_take_chunk(q, c);
    return c;
}

void outq_commit(struct outq *q, struct chunk *c, size_t n)
{
    must(c == q->tail && n <= chunk_room(c));
    c->end += (uint32_t)n;
    q->bytes += n;
}

bool outq_add(struct outq *q, struct chunk_pool *pool, struct str bytes)
{
    while (bytes.n) {
        struct chunk *c = outq_reserve(q, pool, 1);
        if (!c)
            return false;
        size_t n = bytes.n < chunk_room(c) ? bytes.n : chunk_room(c);
        memcpy(c->data + c->end, bytes.p, n);
        outq_commit(q, c, n);
        bytes = str_skip(bytes, n);
    }
    return true;
}

unsigned outq_iov(const struct outq *q, struct iovec *iov, unsigned max)
{
    unsigned count = 0;
    for (struct chunk *c = q->head; c && count < max; c = c->next)
        if (c->end > c->at)
            iov[count++] = (struct iovec){c->data + c->at, c->end - c->at};
    return count;
}

void outq_consume(struct outq *q, struct chunk_pool *pool, size_t n)
{
    must(n <= q->bytes);
    q->bytes -= n;
    while (q->head) {
        struct chunk *c = q->head;
        size_t here = c->end - c->at;
        if (n < here) {
            c->at += (uint32_t)n;
            return;
        }
        n -= here;
        q->head = c->next;
        if (!q->head)
            q->tail = NULL;
        chunk_put(pool, c);
    }
}

void outq_clear(struct outq *q, struct chunk_pool *pool)
{
    while (q->head) {
        struct chunk *next = q->head->next;
        chunk_put(pool, q->head);
        q->head = next;
    }
    *q = (struct outq){0};
}
