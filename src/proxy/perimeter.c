/* proxy/perimeter.c - see perimeter.h. The packets' part is a sequence lock: its writer makes the number odd,
 * writes, and makes it even again. */
#include "proxy/perimeter.h"

#include "base/must.h"

#include <stdalign.h>

#define PERIMETER_MAGIC 0x7265746d697265ULL /* "erimter" */

struct perimeter_area {
    uint64_t magic;
    uint32_t version, size;
    alignas(64) _Atomic uint64_t sequence; /* of isolation; what is in force lies in state[sequence % 2] */
    alignas(64) _Atomic uint64_t packet_sequence; /* odd while they are written */
    struct perimeter_packets packets;
    struct isolation_state state[2];
};

size_t perimeter_size(void)
{
    return (sizeof(struct perimeter_area) + 4095) & ~(size_t)4095;
}

void perimeter_init(void *memory)
{
    struct perimeter_area *a = memory;
    a->magic = PERIMETER_MAGIC;
    a->version = PERIMETER_VERSION;
    a->size = sizeof *a;
}

bool perimeter_open(void *memory, size_t size, bool is_writer, struct perimeter *ret)
{
    struct perimeter_area *a = memory;
    if (size < sizeof *a || a->magic != PERIMETER_MAGIC || a->version != PERIMETER_VERSION ||
        a->size != sizeof *a)
        return false;
    *ret = (struct perimeter){a, is_writer};
    return true;
}

uint64_t perimeter_sequence(const struct perimeter *p)
{
    return atomic_load_explicit(&p->area->sequence, memory_order_relaxed);
}

uint64_t perimeter_publish(struct perimeter *p, const struct isolation_state *state)
{
    must(p->is_writer);
    uint64_t next = perimeter_sequence(p) + 1;
    atomic_thread_fence(
        memory_order_release); /* who sees a byte of what is written now sees the number before it too */
    p->area->state[next % 2] = *state;
    atomic_store_explicit(&p->area->sequence, next, memory_order_release);
    return next;
}

uint64_t perimeter_read(const struct perimeter *p, struct isolation_state *ret)
{
    for (;;) {
        uint64_t before = atomic_load_explicit(&p->area->sequence, memory_order_acquire);
        if (before == 0)
            return 0;
        *ret = p->area->state[before % 2];
        atomic_thread_fence(memory_order_acquire);
        if (perimeter_sequence(p) == before)
            return before;
    }
}

void perimeter_packets_write(struct perimeter *p, const struct perimeter_packets *packets)
{
    must(p->is_writer);
    _Atomic uint64_t *sequence = &p->area->packet_sequence;
    uint64_t before = atomic_load_explicit(sequence, memory_order_relaxed) & ~1ULL;
    atomic_store_explicit(sequence, before + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    p->area->packets = *packets;
    atomic_store_explicit(sequence, before + 2, memory_order_release);
}

/* A writer that died in the middle leaves it odd for good: what lies there are counts, and a torn one is
 * better than none. */
void perimeter_packets_read(const struct perimeter *p, struct perimeter_packets *ret)
{
    for (unsigned tries = 0; tries < 100; tries++) {
        uint64_t before = atomic_load_explicit(&p->area->packet_sequence, memory_order_acquire);
        *ret = p->area->packets;
        atomic_thread_fence(memory_order_acquire);
        if (!(before & 1) && atomic_load_explicit(&p->area->packet_sequence, memory_order_relaxed) == before)
            break;
    }
    ret->why[sizeof ret->why - 1] = '\0';
    for (unsigned i = 0; i < PERIMETER_INTERFACES_MAX; i++)
        ret->interfaces[i].name[sizeof ret->interfaces[i].name - 1] = '\0';
    if (ret->interface_count > PERIMETER_INTERFACES_MAX)
        ret->interface_count = PERIMETER_INTERFACES_MAX;
}
