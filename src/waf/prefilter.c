/* Using a prefilter: open checks the bytes once, scan trusts them from then on and allocates nothing. */
#include "waf/prefilter_compile.h"

#include "base/hash.h"

#include <hs/hs.h>
#include <limits.h>
#include <stdlib.h>

struct prefilter {
    const struct prefilter_header *header;
    const uint64_t *selected;
    const struct prefilter_lane *lanes;
    const char *bytes;
};

struct prefilter_room {
    hs_scratch_t *scratch;
};

bool prefilter_platform(uint64_t *ret_cpu_features, uint32_t *ret_cpu_tune)
{
    hs_platform_info_t platform;
    if (hs_valid_platform() != HS_SUCCESS || hs_populate_platform(&platform) != HS_SUCCESS)
        return false;
    *ret_cpu_features = platform.cpu_features;
    *ret_cpu_tune = platform.tune;
    return true;
}

/* Against damage, not against forgery: whoever can write the cache can write the rules. */
void prefilter_checksum(struct str bytes, uint64_t ret[2])
{
    static const struct hash_key keys[2] = {{0x706f6c646572, 1}, {0x706f6c646572, 2}};
    struct str all = str_skip(bytes, offsetof(struct prefilter_header, size_bytes));
    for (size_t i = 0; i < 2; i++)
        ret[i] = hash_bytes(&keys[i], all.p, all.n);
}

/* ---- opening */

static bool is_ours(struct str bytes, const char key[64])
{
    const struct prefilter_header *header = (const void *)bytes.p;
    uint64_t checksum[2], cpu_features;
    uint32_t cpu_tune;
    if (bytes.n < sizeof *header || (uintptr_t)bytes.p % PREFILTER_ALIGN || header->size_bytes != bytes.n ||
        memcmp(header->magic, "PLDRPRE", 8) != 0 || header->version != PREFILTER_VERSION ||
        memcmp(header->key, key, sizeof header->key) != 0)
        return false;
    if (!prefilter_platform(&cpu_features, &cpu_tune) || header->cpu_features != cpu_features ||
        header->cpu_tune != cpu_tune)
        return false;
    prefilter_checksum(bytes, checksum);
    return memcmp(checksum, header->checksum, sizeof checksum) == 0;
}

static const hs_database_t *database(const struct prefilter *p, unsigned lane)
{
    return (const void *)(p->bytes + p->lanes[lane].offset);
}

static bool lane_is_sound(const struct prefilter *p, unsigned lane, size_t begin)
{
    const struct prefilter_lane *l = &p->lanes[lane];
    size_t size;
    if (l->size_bytes == 0)
        return true;
    if (l->offset < begin || l->offset % PREFILTER_ALIGN || l->offset > p->header->size_bytes ||
        l->size_bytes > p->header->size_bytes - l->offset)
        return false;
    return hs_database_size(database(p, lane), &size) == HS_SUCCESS && size == l->size_bytes;
}

static bool is_sound(const struct prefilter *p)
{
    size_t begin = sizeof *p->header + prefilter_bitmap_bytes(p->header->patterns) +
                   (size_t)p->header->lanes * sizeof *p->lanes;
    if (begin > p->header->size_bytes)
        return false;
    for (unsigned lane = 0; lane < p->header->lanes; lane++) {
        if (!lane_is_sound(p, lane, begin))
            return false;
    }
    return true;
}

struct prefilter *prefilter_open(struct str bytes, const char key[64])
{
    if (!is_ours(bytes, key))
        return NULL;
    struct prefilter *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->bytes = bytes.p;
    p->header = (const void *)bytes.p;
    p->selected = (const void *)(bytes.p + sizeof *p->header);
    p->lanes = (const void *)(bytes.p + sizeof *p->header + prefilter_bitmap_bytes(p->header->patterns));
    if (!is_sound(p)) {
        prefilter_close(p);
        return NULL;
    }
    return p;
}

void prefilter_close(struct prefilter *p)
{
    free(p);
}

bool prefilter_selects(const struct prefilter *p, uint32_t pattern)
{
    return pattern < p->header->patterns && p->selected[pattern / 64] >> (pattern % 64) & 1;
}

bool prefilter_has_lane(const struct prefilter *p, unsigned lane)
{
    return lane < p->header->lanes && p->lanes[lane].size_bytes > 0;
}

/* ---- scanning */

struct prefilter_room *prefilter_room_new(const struct prefilter *p)
{
    struct prefilter_room *room = calloc(1, sizeof *room);
    for (unsigned lane = 0; room && lane < p->header->lanes; lane++) {
        if (prefilter_has_lane(p, lane) &&
            hs_alloc_scratch(database(p, lane), &room->scratch) != HS_SUCCESS) {
            prefilter_room_free(room);
            return NULL;
        }
    }
    return room;
}

void prefilter_room_free(struct prefilter_room *room)
{
    if (!room)
        return;
    (void)hs_free_scratch(room->scratch);
    free(room);
}

struct hits {
    uint64_t *bits;
    uint32_t patterns;
};

static int on_match(unsigned id, unsigned long long, unsigned long long, unsigned, void *context)
{
    const struct hits *hits = context;
    if (id < hits->patterns)
        hits->bits[id / 64] |= 1ULL << (id % 64);
    return 0;
}

bool prefilter_scan(const struct prefilter *p, struct prefilter_room *room, unsigned lane, struct str text,
                    uint64_t *bits)
{
    struct hits hits = {bits, p->header->patterns};
    if (!text.n || !prefilter_has_lane(p, lane))
        return true; /* nothing selectable matches the empty text */
    if (text.n > UINT_MAX)
        return false;
    return hs_scan(database(p, lane), text.p, (unsigned)text.n, 0, room->scratch, on_match, &hits) ==
           HS_SUCCESS;
}
