/* proxy/chunk.h - the buffers of the data path, recycled, and queues of them.
 *
 * A connection holds a chunk only while bytes are in it, so an idle one costs none. One pool a worker. */
#ifndef POLDER_PROXY_CHUNK_H
#define POLDER_PROXY_CHUNK_H

#include "base/buf.h"

#include <sys/uio.h>

enum {
    CHUNK_BYTES = 16 * 1024,     /* room in a common chunk */
    CHUNK_BIG_BYTES = 64 * 1024, /* for heads that do not fit, and for ciphertext */
    CHUNKS_KEPT = 256,           /* free ones a pool keeps */
};

struct chunk {
    struct chunk *next;
    uint32_t at, end, cap; /* bytes wait in data[at..end) */
    uint32_t dirty;        /* how far it was ever filled, beyond `end`: wiped when it is given back */
    char data[];
};

struct chunk_pool {
    struct chunk *free;
    unsigned free_count;
    unsigned least_free; /* since the last trim: what nobody needed */
};

struct chunk *chunk_get(struct chunk_pool *);        /* empty; NULL: no memory */
struct chunk *chunk_get_big(struct chunk_pool *);    /* CHUNK_BIG_BYTES */
void chunk_put(struct chunk_pool *, struct chunk *); /* NULL is fine; bytes are wiped lazily: see chunk.c */
unsigned chunk_pool_trim(struct chunk_pool *); /* frees what was not needed since the last call: how many */
void chunk_pool_done(struct chunk_pool *);

static inline struct str chunk_text(const struct chunk *c)
{
    return (struct str){c->data + c->at, c->end - c->at};
}

static inline size_t chunk_room(const struct chunk *c)
{
    return c->cap - c->end;
}

/* Moves what waits to the front, so that the room is at the end in one piece. */
void chunk_compact(struct chunk *);

/* Empties it, to be filled again from the front. */
static inline void chunk_rewind(struct chunk *c)
{
    if (c->end > c->dirty)
        c->dirty = c->end;
    c->at = c->end = 0;
}

/* Room at the end of *c for reading on: a fresh chunk when there is none, the same one emptied or compacted,
 * a big one with the same bytes when it is full. False: no memory, or the big one is full. */
[[nodiscard]] bool chunk_make_room(struct chunk **c, struct chunk_pool *);

/* A queue of bytes in chunks. Zero-initialised is empty. */
struct outq {
    struct chunk *head, *tail;
    size_t bytes;
};

/* False: no memory, nothing was added. */
[[nodiscard]] bool outq_add(struct outq *, struct chunk_pool *, struct str bytes);
/* Takes the chunk with what waits in it. */
void outq_take_chunk(struct outq *, struct chunk *);
/* A chunk at the tail with at least `room` (at most CHUNK_BIG_BYTES) contiguous free bytes, to write into
 * through a buf and then outq_commit. NULL: no memory. */
struct chunk *outq_reserve(struct outq *, struct chunk_pool *, size_t room);
void outq_commit(struct outq *, struct chunk *, size_t n);
unsigned outq_iov(const struct outq *, struct iovec *, unsigned max);
void outq_consume(struct outq *, struct chunk_pool *, size_t n);
void outq_clear(struct outq *, struct chunk_pool *);

#endif
