/* proxy/inspect_hold.c - a body in one piece, as the rules want it: grown as it comes, counted against the
 * worker's share, and handed on to the upstream's queue without being copied again. */
#include "proxy/inspect_parts.h"

#include "base/must.h"

#include <stdlib.h>

enum { FIRST_BYTES = 4096, SMALL_ARENA_BYTES = 128 * 1024 };

static void show_held(const struct proxy *p)
{
    counter_set(p->counts, COUNTER_waf_held_bytes, p->inspector->held_bytes);
}

static uint64_t may_hold(const struct inspection *in)
{
    return in->ex->snapshot->config->waf.memory_bytes;
}

/* Twice as much, but no more than is announced; what is announced but does not come costs nothing. */
static size_t next_cap(size_t now, size_t needed, uint64_t expected)
{
    size_t cap = 2 * now > FIRST_BYTES ? 2 * now : FIRST_BYTES;
    if (expected >= needed && cap > expected)
        cap = (size_t)expected;
    return cap > needed ? cap : needed;
}

static bool has_room(const struct inspection *in, size_t more)
{
    uint64_t held = in->ex->proxy->inspector->held_bytes;
    return more <= may_hold(in) && held <= may_hold(in) - more;
}

static enum hold_result grow(struct inspection *in, size_t needed, uint64_t expected, bool is_last)
{
    struct proxy *p = in->ex->proxy;
    struct chunk *old = in->held;
    size_t cap = is_last ? needed : next_cap(old ? old->cap : 0, needed, expected);
    size_t more = cap - in->counted;
    if (!is_last && !has_room(in, more))
        return HOLD_NO_ROOM;
    struct chunk *c = malloc(sizeof *c + cap);
    if (!c)
        return HOLD_NO_ROOM;
    *c = (struct chunk){.cap = (uint32_t)cap};
    if (old && old->end) {
        memcpy(c->data, old->data, old->end);
        c->end = old->end;
    }
    chunk_put(&p->chunks, old);
    in->held = c;
    in->counted += more;
    p->inspector->held_bytes += more;
    show_held(p);
    return HELD;
}

static enum hold_result add(struct inspection *in, struct str bytes, uint64_t expected, bool is_last)
{
    size_t has = in->held ? in->held->end : 0, needed = has + bytes.n;
    if (bytes.n == 0)
        return HELD;
    if (needed > UINT32_MAX / 2)
        return HOLD_TOO_LARGE;
    if (!in->held || needed > in->held->cap) {
        enum hold_result grown = grow(in, needed, expected, is_last);
        if (grown != HELD)
            return grown;
    }
    memcpy(in->held->data + has, bytes.p, bytes.n);
    in->held->end = (uint32_t)needed;
    return HELD;
}

enum hold_result inspect_hold(struct inspection *in, struct str bytes, uint64_t expected)
{
    if (inspect_held(in).n + bytes.n > in->limit)
        return HOLD_TOO_LARGE;
    return add(in, bytes, expected, false);
}

bool inspect_hold_last(struct inspection *in, struct str bytes)
{
    return add(in, bytes, 0, true) == HELD;
}

struct str inspect_held(const struct inspection *in)
{
    return in->held ? chunk_text(in->held) : STR("");
}

/* Known only once it is there: then the next body finds less room. A small request is not worth counting. */
void inspect_count_arena(struct inspection *in)
{
    struct proxy *p = in->ex->proxy;
    size_t used = arena_used(in->arena);
    if (used < SMALL_ARENA_BYTES || used <= in->remembered)
        return;
    p->inspector->held_bytes += used - in->remembered;
    in->remembered = used;
    show_held(p);
}

void inspect_uncount(struct inspection *in)
{
    struct proxy *p = in->ex->proxy;
    must(in->counted <= p->inspector->held_bytes);
    p->inspector->held_bytes -= in->counted;
    in->counted = 0;
    show_held(p);
}

void inspect_forget_arena(struct inspection *in)
{
    struct proxy *p = in->ex->proxy;
    waf_tx_free(in->tx);
    in->tx = NULL;
    arena_reset(in->arena);
    if (!in->remembered)
        return;
    must(in->remembered <= p->inspector->held_bytes);
    p->inspector->held_bytes -= in->remembered;
    in->remembered = 0;
    show_held(p);
}

void inspect_drop_held(struct inspection *in)
{
    chunk_put(&in->ex->proxy->chunks, in->held);
    in->held = NULL;
    if (in->counted)
        inspect_uncount(in);
}

/* It stays counted until the exchange has sent it: see inspect_end. */
bool inspect_give_body(struct exchange *ex)
{
    struct inspection *in = ex->inspection;
    if (!in || !in->held)
        return true;
    char size[20];
    struct buf b = buf_over(size, sizeof size);
    struct chunk *held = in->held;
    h1_chunk_write_size(&b, held->end);
    if (ex->body_chunked_up && !outq_add(&ex->req_body, &ex->proxy->chunks, buf_text(&b)))
        return false;
    outq_take_chunk(&ex->req_body, held);
    in->held = NULL;
    return !ex->body_chunked_up || outq_add(&ex->req_body, &ex->proxy->chunks, STR("\r\n"));
}
