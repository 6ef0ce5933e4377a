/* admission/area.c - making, opening and repairing the shared area. */
#include "admission/area.h"

#include "base/must.h"

static bool shape_is_sane(const struct admission_shape *s)
{
    return s->workers >= 1 && s->workers <= ADMISSION_WORKERS_MAX && s->pools >= 1 &&
           s->pools <= ADMISSION_POOLS_MAX && s->flows >= 1 && s->flows <= ADMISSION_FLOWS_MAX &&
           s->source_buckets >= 1 && s->source_buckets <= 1u << 22 &&
           (s->source_buckets & (s->source_buckets - 1)) == 0;
}

static size_t flows_size(const struct admission_shape *s) /* whole lines, for a bucket of sources is one */
{
    return (s->flows * sizeof(struct area_flow) + 63) / 64 * 64;
}

size_t admission_area_size(const struct admission_shape *s)
{
    if (!shape_is_sane(s))
        return 0;
    return sizeof(struct area_header) + s->pools * sizeof(struct area_pool) + flows_size(s) +
           (size_t)s->source_buckets * AREA_SOURCE_WAYS * sizeof(area_u64);
}

static void view_of(struct area_header *h, const struct admission_shape *shape, struct area *ret)
{
    *ret = (struct area){.header = h, .shape = *shape, .key = h->key};
    ret->pools = (struct area_pool *)(h + 1);
    ret->flows = (struct area_flow *)(ret->pools + shape->pools);
    ret->sources = (area_u64 *)(void *)((char *)ret->flows + flows_size(shape));
}

void admission_area_init(void *memory, const struct admission_shape *shape, struct hash_key key)
{
    struct area_header *h = memory;
    must(shape_is_sane(shape));
    h->magic = AREA_MAGIC;
    h->version = AREA_VERSION;
    h->shape = *shape;
    h->size = admission_area_size(shape);
    h->key = key;
}

bool area_view(void *memory, size_t size, struct area *ret)
{
    struct area_header *h = memory;
    if (size < sizeof *h || h->magic != AREA_MAGIC || h->version != AREA_VERSION)
        return false;
    struct admission_shape shape = h->shape; /* read once: what is checked is what is used */
    if (admission_area_size(&shape) != size || h->size != size)
        return false;
    view_of(h, &shape, ret);
    return true;
}

void admission_worker_reset(void *memory, size_t size, unsigned worker)
{
    struct area a;
    if (!area_view(memory, size, &a) || worker >= a.shape.workers)
        return;
    for (unsigned i = 0; i < a.shape.pools; i++) {
        struct area_pool *p = &a.pools[i];
        if (!(area_get(&a.header->used[i / 64]) >> i % 64 & 1)) /* untouched memory stays that */
            continue;
        for (unsigned lane = 0; lane < AREA_LANES; lane++)
            atomic_fetch_and(&p->wanting[lane], ~(UINT64_C(1) << worker));
        atomic_store(&p->held[worker], 0);
    }
}
