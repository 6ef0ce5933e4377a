/* proxy/guard_rate.c - how many in a second, over all workers: a moment for each key in shared memory, moved
 * forward by each one that is taken (the generic cell rate algorithm, ITU-T I.371).
 *
 * Cells are few and keys may be many: who shares a cell shares the rate, which is never more than what each
 * of them was given. A cell that says what cannot be (another rate wrote it, or a worker gone wild) counts as
 * fresh. */
#include "proxy/guard.h"

bool guard_rate_take(shared_u64 *cells, uint64_t key, uint64_t now_us, uint32_t per_s, uint32_t at_once)
{
    shared_u64 *cell = &cells[hash_mix(key) % SHARED_RATE_CELLS];
    uint64_t apart = 1'000'000 / (per_s ? per_s : 1), room = apart * (at_once ? at_once : 1);
    uint64_t due = atomic_load_explicit(cell, memory_order_relaxed), next;
    do {
        uint64_t from = due > now_us && due - now_us <= room ? due : now_us;
        next = from + apart;
        if (next - now_us > room)
            return false;
    } while (
        !atomic_compare_exchange_weak_explicit(cell, &due, next, memory_order_relaxed, memory_order_relaxed));
    return true;
}
