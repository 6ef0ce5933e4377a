/* admission/sources.c - the table of sources, see sources.h.
 *
 * An entry: bits 0-31 the upper half of the key, 32-39 points, 40-41 type, 42-63 time in units of 8.4 s: when
 * the points were last counted, or when the block ends. 2^22 units are 407 days; entries are forgotten long
 * before. */
#include "admission/sources.h"

#include "admission/worker.h"

enum entry_type { ENTRY_EMPTY, ENTRY_PROOF, ENTRY_SUSPICION, ENTRY_BLOCK };

enum {
    UNIT_SHIFT = 23, /* of microseconds */
    TIME_BITS = 22,
    TIME_MASK = (1 << TIME_BITS) - 1,
    PROOF_HALF = 72'000, /* units: 7 days */
    SUSPICION_HALF = 72, /* 10 minutes */
    POINTS_MOST = 255,
    WAYS_DISTRUST = 3, /* of a bucket, for suspicion and blocks each */
};

static uint32_t units_at(uint64_t now_us)
{
    return (uint32_t)(now_us >> UNIT_SHIFT) & TIME_MASK;
}

static enum entry_type entry_type(uint64_t e)
{
    return (e >> 40) & 3;
}

static uint64_t entry_make(uint64_t key, enum entry_type type, unsigned points, uint32_t units)
{
    return key >> 32 | (uint64_t)points << 32 | (uint64_t)type << 40 | (uint64_t)(units & TIME_MASK) << 42;
}

static bool entry_is(uint64_t e, uint64_t key, enum entry_type type)
{
    return (uint32_t)e == (uint32_t)(key >> 32) && entry_type(e) == type;
}

/* Halved once for each half-life, and on a straight line between. */
static unsigned decayed(unsigned points, uint32_t age, uint32_t half)
{
    uint32_t times = age / half, rest = age % half;
    if (times >= 8)
        return 0;
    points >>= times;
    return points - points * rest / (2 * half);
}

/* What an entry is worth now: points, or the units that a block still lasts. 0: forgotten. */
static unsigned entry_worth(uint64_t e, uint32_t now)
{
    uint32_t then = (uint32_t)(e >> 42);
    uint32_t age = (now - then) & TIME_MASK;
    switch (entry_type(e)) {
    case ENTRY_PROOF:
        return decayed((unsigned)(e >> 32) & 255, age, PROOF_HALF);
    case ENTRY_SUSPICION:
        return decayed((unsigned)(e >> 32) & 255, age, SUSPICION_HALF);
    case ENTRY_BLOCK: /* its end is ahead; behind, it looks as if it were very far ahead */
        return ((then - now) & TIME_MASK) <= (ADMISSION_BLOCK_MOST_S >> 3) ? (then - now) & TIME_MASK : 0;
    case ENTRY_EMPTY:
        break;
    }
    return 0;
}

static area_u64 *bucket_of(const struct admission *a, uint64_t key)
{
    return &a->area.sources[(key & (a->area.shape.source_buckets - 1)) * AREA_SOURCE_WAYS];
}

/* Where a new entry of that type may go: empty or forgotten, else the least worth of those it may push out.
 * NULL: nowhere. Proof may push out distrust, and proof worth less than what comes. */
static area_u64 *place_for(area_u64 *bucket, enum entry_type type, unsigned worth, uint32_t now)
{
    area_u64 *free_place = NULL, *weakest = NULL;
    unsigned least = UINT32_MAX, of_type = 0;
    for (unsigned i = 0; i < AREA_SOURCE_WAYS; i++) {
        uint64_t e = area_get(&bucket[i]);
        unsigned has = entry_worth(e, now);
        bool is_same = entry_type(e) == type;
        if (has == 0) {
            free_place = free_place ? free_place : &bucket[i];
            continue;
        }
        of_type += is_same;
        if (!is_same && type != ENTRY_PROOF)
            continue;
        has = is_same ? has : 0;
        if (has < least && has <= worth) {
            least = has;
            weakest = &bucket[i];
        }
    }
    if (type != ENTRY_PROOF && of_type >= WAYS_DISTRUST)
        return weakest;
    return free_place ? free_place : weakest;
}

/* Adds points to the entry of that type, or makes one. A few tries: under contention a point may be lost. */
static void add_points(struct admission *a, uint64_t key, enum entry_type type, unsigned points,
                       uint64_t now_us)
{
    area_u64 *bucket = bucket_of(a, key);
    uint32_t now = units_at(now_us);
    points = points < POINTS_MOST ? points : POINTS_MOST;
    for (unsigned tries = 0; tries < 4; tries++) {
        area_u64 *place = NULL;
        for (unsigned i = 0; i < AREA_SOURCE_WAYS && !place; i++)
            place = entry_is(area_get(&bucket[i]), key, type) ? &bucket[i] : NULL;
        if (!place)
            place = place_for(bucket, type, points, now);
        if (!place)
            return;
        uint64_t old = area_get(place);
        unsigned sum = points + (entry_is(old, key, type) ? entry_worth(old, now) : 0);
        uint64_t fresh = entry_make(key, type, sum < POINTS_MOST ? sum : POINTS_MOST, now);
        if (old == fresh || atomic_compare_exchange_strong(place, &old, fresh))
            return;
    }
}

/* ---- keys */

static uint64_t key_of(const struct admission *a, uint64_t salt, const void *bytes, size_t n)
{
    struct hash_key key = {a->area.key.k0 ^ salt, a->area.key.k1};
    uint64_t hash = hash_bytes(&key, bytes, n);
    return hash ? hash : 1;
}

uint64_t admission_address_key(const struct admission *a, const struct addr *address)
{
    return key_of(a, 0, address->ip, address->is_v4 ? sizeof address->ip : 8);
}

uint64_t admission_user_key(const struct admission *a, struct str credential)
{
    return key_of(a, 0x75736572, credential.p, credential.n);
}

/* ---- what is noted */

void admission_note_accepted(struct admission *a, uint64_t key, unsigned points, uint64_t now_us)
{
    add_points(a, key, ENTRY_PROOF, points, now_us);
}

void admission_note_suspect(struct admission *a, uint64_t key, unsigned points, uint64_t now_us)
{
    add_points(a, key, ENTRY_SUSPICION, points, now_us);
}

void admission_unblock(struct admission *a, uint64_t key)
{
    area_u64 *bucket = bucket_of(a, key);
    for (unsigned i = 0; i < AREA_SOURCE_WAYS; i++) {
        uint64_t e = area_get(&bucket[i]);
        if (entry_is(e, key, ENTRY_BLOCK))
            (void)atomic_compare_exchange_strong(&bucket[i], &e, 0);
    }
}

bool admission_block(struct admission *a, uint64_t key, uint32_t seconds, uint64_t now_us)
{
    struct admission_standing standing;
    uint32_t now = units_at(now_us);
    seconds = seconds < ADMISSION_BLOCK_MOST_S ? seconds : ADMISSION_BLOCK_MOST_S;
    uint32_t units = (uint32_t)(((uint64_t)seconds * 1'000'000 >> UNIT_SHIFT) + 1);
    admission_standing(a, key, now_us, &standing);
    if (standing.proof >= ADMISSION_KNOWN_POINTS)
        return false;
    admission_unblock(a, key);
    area_u64 *place = place_for(bucket_of(a, key), ENTRY_BLOCK, units, now);
    if (!place)
        return false;
    uint64_t old = area_get(place);
    return atomic_compare_exchange_strong(place, &old, entry_make(key, ENTRY_BLOCK, 0, now + units));
}

/* ---- what is known */

void admission_standing(const struct admission *a, uint64_t key, uint64_t now_us,
                        struct admission_standing *ret)
{
    const area_u64 *bucket = bucket_of(a, key);
    uint32_t now = units_at(now_us);
    *ret = (struct admission_standing){0};
    for (unsigned i = 0; i < AREA_SOURCE_WAYS; i++) {
        uint64_t e = area_get(&bucket[i]);
        unsigned worth = (uint32_t)e == (uint32_t)(key >> 32) ? entry_worth(e, now) : 0;
        if (entry_type(e) == ENTRY_PROOF && worth > ret->proof)
            ret->proof = worth;
        if (entry_type(e) == ENTRY_SUSPICION && worth > ret->suspicion)
            ret->suspicion = worth;
        if (entry_type(e) == ENTRY_BLOCK && worth)
            ret->is_blocked = true;
    }
}

enum admission_class admission_classify(const struct admission *a, const struct admission_source *s,
                                        uint64_t now_us)
{
    struct admission_standing user = {0}, address;
    if (s->user)
        admission_standing(a, s->user, now_us, &user);
    if (user.is_blocked)
        return ADMISSION_BLOCKED;
    if (s->is_partner)
        return ADMISSION_PARTNER;
    if (user.suspicion >= ADMISSION_SUSPECT_POINTS)
        return ADMISSION_SUSPECT;
    if (user.proof >= ADMISSION_KNOWN_POINTS)
        return ADMISSION_KNOWN;
    admission_standing(a, s->address, now_us, &address);
    if (address.is_blocked)
        return ADMISSION_BLOCKED;
    if (s->connection_points >= ADMISSION_SUSPECT_POINTS)
        return ADMISSION_SUSPECT;
    bool is_suspect = address.suspicion >= ADMISSION_SUSPECT_POINTS;
    if (address.proof >= ADMISSION_KNOWN_POINTS)
        return is_suspect ? ADMISSION_UNKNOWN : ADMISSION_KNOWN;
    return is_suspect ? ADMISSION_SUSPECT : ADMISSION_UNKNOWN;
}
