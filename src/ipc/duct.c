/* ipc/duct.c - two rings of bytes in shared memory.
 *
 *   memory: [ state of ring 0 | state of ring 1 | bytes of ring 0 | bytes of ring 1 ], one page for both
 * states side s writes ring s and reads the other one
 *
 * What always holds:
 * 1. Who writes a ring alone moves `written`, who reads it alone moves `read`; each keeps its own index in
 * private memory too and never reads it back.
 * 2. 0 <= written - read <= DUCT_RING_BYTES, or the other side lies and the duct is broken.
 * 3. Whoever goes to sleep says so first and looks once more after it; whoever changes an index looks whether
 * the other one sleeps after it. So no bell is missed.
 * 4. What one turn of the loop sends is published at its end, all at once (sooner when it is much): who reads
 * does it in groups, with one fsync for each, and a reader that is awake does not take them one by one. */
#include "ipc/duct.h"

#include "base/must.h"
#include "sys/shm.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct ring_state {
    _Alignas(64) _Atomic uint64_t written;
    _Alignas(64) _Atomic uint64_t read;
    _Alignas(64) _Atomic uint32_t reader_sleeps; /* ring when something was written */
    _Alignas(64) _Atomic uint32_t writer_waits;  /* ring when something was read */
};

enum {
    STATE_BYTES = 4096,
    MEMORY_BYTES = STATE_BYTES + 2 * DUCT_RING_BYTES,
    KEPT_BYTES = 1 << 18,
    HELD_BYTES_MAX = DUCT_RING_BYTES / 4, /* written and not published yet */
};
_Static_assert(2 * sizeof(struct ring_state) <= STATE_BYTES, "both states fit the first page");

/* Bytes in order, grown as needed; `from` is where those begin that are not used up. */
struct bytes {
    char *p;
    size_t from, n, cap;
};

struct duct {
    struct loop *loop;
    struct duct_events events;
    struct io bell;
    int other_bell;
    void *memory;
    struct ring_state *out, *in;
    char *out_bytes, *in_bytes;
    uint64_t written, published, read; /* published: of what was written, what the other side may see */
    struct bytes backlog, message;
    size_t message_max, backlog_max, wanted; /* wanted: length of the message under way; 0: not known yet */
    struct deferred ringing, reading;
    bool is_broken, must_ring, is_in_message;
};

/* ---- parts */

int duct_parts_make(struct duct_parts *ret)
{
    struct duct_parts p = {-1, {-1, -1}};
    p.memory = shm_create("polder-duct", MEMORY_BYTES);
    int e = p.memory < 0 ? p.memory : 0;
    for (unsigned i = 0; !e && i < 2; i++)
        if ((p.bells[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
            e = -errno;
    if (e)
        duct_parts_close(&p);
    else
        *ret = p;
    return e;
}

void duct_parts_close(struct duct_parts *p)
{
    int *all[] = {&p->memory, &p->bells[0], &p->bells[1]};
    for (unsigned i = 0; i < 3; i++) {
        if (*all[i] >= 0)
            close(*all[i]);
        *all[i] = -1;
    }
}

/* ---- private bytes */

static bool bytes_room(struct bytes *b, size_t more)
{
    if (b->from && b->from == b->n)
        b->from = b->n = 0;
    if (more <= b->cap - b->n)
        return true;
    if (b->from) {
        memmove(b->p, b->p + b->from, b->n - b->from);
        b->n -= b->from;
        b->from = 0;
    }
    size_t cap = b->cap ? b->cap : 4096;
    while (cap - b->n < more)
        cap *= 2;
    char *p = cap == b->cap ? b->p : realloc(b->p, cap);
    if (!p)
        return false;
    b->p = p;
    b->cap = cap;
    return true;
}

/* What once was large does not stay so for ever. */
static void bytes_clear(struct bytes *b)
{
    b->from = b->n = 0;
    if (b->cap <= KEPT_BYTES)
        return;
    free(b->p);
    *b = (struct bytes){0};
}

/* ---- writing */

static void publish(struct duct *d)
{
    d->published = d->written;
    atomic_store_explicit(&d->out->written, d->written, memory_order_seq_cst);
    d->must_ring |= atomic_exchange_explicit(&d->out->reader_sleeps, 0, memory_order_seq_cst) != 0;
}

static void end_turn(struct deferred *deferred)
{
    struct duct *d = container_of(deferred, struct duct, ringing);
    const uint64_t one = 1;
    if (d->published != d->written)
        publish(d);
    if (d->must_ring && write(d->other_bell, &one, sizeof one) < 0)
        must(errno == EAGAIN); /* it has been rung often enough */
    d->must_ring = false;
}

static void become_broken(struct duct *d)
{
    if (d->is_broken)
        return;
    d->is_broken = true;
    loop_defer(d->loop, &d->reading);
}

static size_t room_in_ring(struct duct *d)
{
    uint64_t used = d->written - atomic_load_explicit(&d->out->read, memory_order_acquire);
    if (used > DUCT_RING_BYTES) {
        become_broken(d);
        return 0;
    }
    return DUCT_RING_BYTES - (size_t)used;
}

static void copy_in(struct duct *d, uint64_t at, const char *p, size_t n)
{
    size_t begin = at % DUCT_RING_BYTES, first = DUCT_RING_BYTES - begin;
    if (first > n)
        first = n;
    memcpy(d->out_bytes + begin, p, first);
    memcpy(d->out_bytes, p + first, n - first);
}

/* As much as fits; then the reader is asked to ring. */
static void push_backlog(struct duct *d)
{
    struct bytes *b = &d->backlog;
    while (b->from < b->n && !d->is_broken) {
        size_t n = room_in_ring(d);
        if (n == 0) {
            atomic_store_explicit(&d->out->writer_waits, 1, memory_order_seq_cst);
            if ((n = room_in_ring(d)) == 0)
                return;
        }
        if (n > b->n - b->from)
            n = b->n - b->from;
        copy_in(d, d->written, b->p + b->from, n);
        d->written += n;
        b->from += n;
        publish(d);
        loop_defer(d->loop, &d->ringing);
    }
    bytes_clear(b);
}

static bool add_to_backlog(struct duct *d, const struct str *parts, unsigned count, uint32_t length)
{
    struct bytes *b = &d->backlog;
    if (b->n - b->from + length > d->backlog_max || !bytes_room(b, length + sizeof length))
        return false;
    memcpy(b->p + b->n, &length, sizeof length);
    b->n += sizeof length;
    for (unsigned i = 0; i < count; i++) {
        if (parts[i].n)
            memcpy(b->p + b->n, parts[i].p, parts[i].n);
        b->n += parts[i].n;
    }
    push_backlog(d);
    return true;
}

bool duct_send(struct duct *d, const struct str *parts, unsigned count)
{
    size_t total = 0;
    for (unsigned i = 0; i < count; i++)
        total += parts[i].n;
    if (d->is_broken || total >= UINT32_MAX)
        return false;
    uint32_t length = (uint32_t)total;
    size_t room = room_in_ring(d);
    if (d->is_broken)
        return false;
    if (d->backlog.from < d->backlog.n || total + sizeof length > room)
        return add_to_backlog(d, parts, count, length);
    copy_in(d, d->written, (const char *)&length, sizeof length);
    d->written += sizeof length;
    for (unsigned i = 0; i < count; i++) {
        if (parts[i].n)
            copy_in(d, d->written, parts[i].p, parts[i].n);
        d->written += parts[i].n;
    }
    if (d->written - d->published > HELD_BYTES_MAX)
        publish(d);
    loop_defer(d->loop, &d->ringing);
    return true;
}

size_t duct_waiting(const struct duct *d)
{
    return d->backlog.n - d->backlog.from;
}

/* ---- reading */

static bool copy_out(struct duct *d, size_t n)
{
    struct bytes *b = &d->message;
    size_t begin = d->read % DUCT_RING_BYTES, first = DUCT_RING_BYTES - begin;
    if (!bytes_room(b, n))
        return false;
    if (first > n)
        first = n;
    memcpy(b->p + b->n, d->in_bytes + begin, first);
    memcpy(b->p + b->n + first, d->in_bytes, n - first);
    b->n += n;
    d->read += n;
    return true;
}

/* Hands on every message that is complete. False: the other side is not to be trusted, or memory ran out. */
static bool hand_on(struct duct *d)
{
    struct bytes *b = &d->message;
    uint32_t length;
    while (b->n - b->from >= sizeof length) {
        memcpy(&length, b->p + b->from, sizeof length);
        if (length > d->message_max)
            return false;
        if (b->n - b->from - sizeof length < length)
            return bytes_room(b, length + sizeof length); /* in one go, not by doubling */
        struct str bytes = {b->p + b->from + sizeof length, length};
        b->from += sizeof length + length;
        if (!d->events.message(d->events.self, d, bytes))
            return false;
    }
    if (b->from == b->n)
        bytes_clear(b);
    return true;
}

static void tell_writer(struct duct *d)
{
    atomic_store_explicit(&d->in->read, d->read, memory_order_seq_cst);
    if (atomic_exchange_explicit(&d->in->writer_waits, 0, memory_order_seq_cst)) {
        d->must_ring = true;
        loop_defer(d->loop, &d->ringing);
    }
}

static size_t to_read(struct duct *d)
{
    uint64_t n = atomic_load_explicit(&d->in->written, memory_order_seq_cst) - d->read;
    if (n > DUCT_RING_BYTES)
        become_broken(d);
    return d->is_broken ? 0 : (size_t)n;
}

/* At most what was there at first: whoever writes without an end does not keep the loop. */
static void read_some(struct duct *d)
{
    size_t n = to_read(d);
    if (n == 0) {
        atomic_store_explicit(&d->in->reader_sleeps, 1, memory_order_seq_cst);
        if ((n = to_read(d)) == 0)
            return;
        atomic_store_explicit(&d->in->reader_sleeps, 0, memory_order_relaxed);
    }
    d->is_in_message = true;
    bool fine = copy_out(d, n) && hand_on(d);
    d->is_in_message = false;
    if (!fine)
        become_broken(d);
    else
        tell_writer(d);
    loop_defer(d->loop, &d->reading); /* until nothing is left, which puts us to sleep */
}

static void read_more(struct deferred *deferred)
{
    struct duct *d = container_of(deferred, struct duct, reading);
    if (d->is_broken)
        d->events.broken(d->events.self, d);
    else
        read_some(d);
}

static void bell_rang(struct io *io, uint32_t events [[maybe_unused]])
{
    struct duct *d = container_of(io, struct duct, bell);
    if (d->is_broken)
        return;
    push_backlog(d);
    if (list_is_empty(&d->reading.node))
        read_some(d);
}

/* ---- from beginning to end */

static void take_halves(struct duct *d, unsigned side)
{
    struct ring_state *states = d->memory;
    char *bytes = (char *)d->memory + STATE_BYTES;
    d->out = &states[side];
    d->in = &states[!side];
    d->out_bytes = bytes + side * (size_t)DUCT_RING_BYTES;
    d->in_bytes = bytes + !side * (size_t)DUCT_RING_BYTES;
}

struct duct *duct_open(struct loop *l, struct duct_parts take, unsigned side, size_t message_max,
                       size_t backlog_max, struct duct_events events)
{
    struct duct *d = calloc(1, sizeof *d);
    must(side < 2);
    if (d)
        d->memory = shm_map(take.memory, MEMORY_BYTES, true);
    if (!d || !d->memory) {
        free(d);
        duct_parts_close(&take);
        return NULL;
    }
    close(take.memory);
    d->loop = l;
    d->events = events;
    d->bell = (struct io){.ready = bell_rang, .fd = take.bells[side]};
    d->other_bell = take.bells[!side];
    d->message_max = message_max;
    d->backlog_max = backlog_max;
    deferred_init(&d->ringing, end_turn);
    deferred_init(&d->reading, read_more);
    take_halves(d, side);
    if (loop_add(l, &d->bell, EPOLLIN) < 0) {
        duct_close(d);
        return NULL;
    }
    loop_defer(l, &d->reading); /* what came before we were there, and our first sleep */
    return d;
}

void duct_close(struct duct *d)
{
    if (!d)
        return;
    must(!d->is_in_message);
    loop_undefer(&d->ringing);
    loop_undefer(&d->reading);
    loop_close(d->loop, &d->bell);
    close(d->other_bell);
    shm_unmap(d->memory, MEMORY_BYTES);
    free(d->backlog.p);
    free(d->message.p);
    free(d);
}
