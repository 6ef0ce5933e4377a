/* proxy/admit_memory.h - the memory of admission: a piece that all workers share, made by the master.
 *
 * In front of what src/admission keeps there stand the numbers: which pool (an upstream) and which flow (a
 * cluster at an upstream) has which place. The master gives them out by a hash of the names while it prepares
 * a configuration, workers and observer find them by the same hash, and they survive a reload.
 *
 * The tables are open-addressed and only ever grow: a place that had an owner may get another one, but is
 * never empty again, so a search ends at the first empty place. A worker that was taken over can write
 * anything into them; whoever reads gets a number within bounds, and no decision about what may be reached
 * rests on it. */
#ifndef POLDER_PROXY_ADMIT_MEMORY_H
#define POLDER_PROXY_ADMIT_MEMORY_H

#include "admission/admission.h"
#include "base/str.h"

#include <stdatomic.h>

enum {
    ADMIT_POOLS = 2048, /* powers of two */
    ADMIT_FLOWS = 16384,
    ADMIT_SOURCE_BUCKETS = 32768,
    ADMIT_NO_SLOT = UINT16_MAX,
};

struct admit_slot {
    _Atomic uint64_t key, generation; /* 0: empty; the last configuration that has it */
};

struct admit_slots {
    struct admit_slot pools[ADMIT_POOLS], flows[ADMIT_FLOWS];
};

struct admit_memory { /* a process's own view, by value */
    struct admit_slots *slots;
    void *area; /* of src/admission */
    size_t area_size;
};

size_t admit_memory_size(unsigned workers);
/* memory: zeroed and page aligned. The key: of sources, which strangers choose. */
void admit_memory_init(void *memory, unsigned workers, struct hash_key);
/* False: not of this build. */
bool admit_memory_open(void *memory, size_t size, struct admit_memory *ret);

uint64_t admit_pool_key(struct str upstream);
uint64_t admit_flow_key(struct str cluster, struct str upstream);
/* The master's: a place whose last generation is older than `oldest` may get another owner. ADMIT_NO_SLOT:
 * full. */
uint16_t admit_pool_claim(struct admit_memory *, uint64_t key, uint64_t generation, uint64_t oldest);
uint16_t admit_flow_claim(struct admit_memory *, uint64_t key, uint64_t generation, uint64_t oldest);
/* ADMIT_NO_SLOT: nobody claimed it. */
uint16_t admit_pool_find(const struct admit_memory *, uint64_t key);
uint16_t admit_flow_find(const struct admit_memory *, uint64_t key);

#endif
