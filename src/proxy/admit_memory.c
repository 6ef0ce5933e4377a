#include "proxy/admit_memory.h"

#include "base/must.h"

enum { AREA_AT = (sizeof(struct admit_slots) + 4095) / 4096 * 4096 };

static struct admission_shape shape_for(unsigned workers)
{
    return (struct admission_shape){workers, ADMIT_POOLS, ADMIT_FLOWS, ADMIT_SOURCE_BUCKETS};
}

size_t admit_memory_size(unsigned workers)
{
    struct admission_shape shape = shape_for(workers);
    return AREA_AT + admission_area_size(&shape);
}

void admit_memory_init(void *memory, unsigned workers, struct hash_key key)
{
    struct admission_shape shape = shape_for(workers);
    admission_area_init((char *)memory + AREA_AT, &shape, key);
}

bool admit_memory_open(void *memory, size_t size, struct admit_memory *ret)
{
    if (size <= AREA_AT)
        return false;
    *ret = (struct admit_memory){memory, (char *)memory + AREA_AT, size - AREA_AT};
    return true;
}

/* Names come from the operator, so the key need not be secret; 0 is kept for "empty". */
static uint64_t key_of(uint64_t seed, struct str name)
{
    const struct hash_key key = {0x706f6c646572 ^ seed, 0x61646d6974};
    uint64_t hash = hash_bytes(&key, name.n ? name.p : "", name.n);
    return hash ? hash : 1;
}

uint64_t admit_pool_key(struct str upstream)
{
    return key_of(0, upstream);
}

uint64_t admit_flow_key(struct str cluster, struct str upstream)
{
    return key_of(key_of(1, upstream), cluster);
}

static uint64_t load(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

static uint16_t find(const struct admit_slot *table, unsigned size, uint64_t key)
{
    for (unsigned i = 0; i < size; i++) {
        unsigned at = (unsigned)(key + i) & (size - 1);
        uint64_t has = load(&table[at].key);
        if (has == key)
            return (uint16_t)at;
        if (has == 0)
            break;
    }
    return ADMIT_NO_SLOT;
}

/* An empty place rather than one that had an owner: requests of that one may still be under way somewhere. */
static uint16_t find_free(const struct admit_slot *table, unsigned size, uint64_t key, uint64_t oldest)
{
    uint16_t used = ADMIT_NO_SLOT;
    for (unsigned i = 0; i < size; i++) {
        unsigned at = (unsigned)(key + i) & (size - 1);
        if (load(&table[at].key) == 0)
            return (uint16_t)at;
        if (used == ADMIT_NO_SLOT && load(&table[at].generation) < oldest)
            used = (uint16_t)at;
    }
    return used;
}

static uint16_t claim(struct admit_slot *table, unsigned size, uint64_t key, uint64_t generation,
                      uint64_t oldest)
{
    uint16_t slot = find(table, size, key);
    if (slot == ADMIT_NO_SLOT)
        slot = find_free(table, size, key, oldest);
    if (slot == ADMIT_NO_SLOT)
        return slot;
    atomic_store(&table[slot].generation, generation);
    atomic_store(&table[slot].key, key);
    return slot;
}

uint16_t admit_pool_claim(struct admit_memory *m, uint64_t key, uint64_t generation, uint64_t oldest)
{
    return claim(m->slots->pools, ADMIT_POOLS, key, generation, oldest);
}

uint16_t admit_flow_claim(struct admit_memory *m, uint64_t key, uint64_t generation, uint64_t oldest)
{
    return claim(m->slots->flows, ADMIT_FLOWS, key, generation, oldest);
}

uint16_t admit_pool_find(const struct admit_memory *m, uint64_t key)
{
    return find(m->slots->pools, ADMIT_POOLS, key);
}

uint16_t admit_flow_find(const struct admit_memory *m, uint64_t key)
{
    return find(m->slots->flows, ADMIT_FLOWS, key);
}
