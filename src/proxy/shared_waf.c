/* proxy/shared_waf.c - the WAF's part of the shared area: audit records, hits of rules, what replays of
 * virtual patches showed. What holds for the area (shared.h) holds here: one writer for each number, and a
 * reader that trusts none. */
#include "proxy/shared.h"

#include <stdlib.h>

static uint64_t load(const shared_u64 *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

/* ---- audit records */

enum { LENGTH_BYTES = sizeof(uint32_t) };

_Static_assert((SHARED_AUDIT_BYTES & (SHARED_AUDIT_BYTES - 1)) == 0, "positions are masked");
_Static_assert(SHARED_AUDIT_RECORD_MAX + LENGTH_BYTES < SHARED_AUDIT_BYTES, "one record always fits");

static void ring_put(char *ring, uint64_t at, const void *from, size_t n)
{
    size_t begin = at & (SHARED_AUDIT_BYTES - 1), room = SHARED_AUDIT_BYTES - begin;
    size_t first = n < room ? n : room;
    memcpy(ring + begin, from, first);
    memcpy(ring, (const char *)from + first, n - first);
}

static void ring_get(const char *ring, uint64_t at, void *to, size_t n)
{
    size_t begin = at & (SHARED_AUDIT_BYTES - 1), room = SHARED_AUDIT_BYTES - begin;
    size_t first = n < room ? n : room;
    memcpy(to, ring + begin, first);
    memcpy((char *)to + first, ring, n - first);
}

bool shared_audit_push(const struct shared *s, unsigned slot, struct str record)
{
    struct shared_worker *w = shared_worker(s, slot);
    uint64_t written = load(&w->audit_written);
    uint64_t waiting = written - atomic_load_explicit(&s->reader->audit_read[slot], memory_order_acquire);
    uint32_t length = (uint32_t)record.n;
    if (record.n == 0 || record.n > SHARED_AUDIT_RECORD_MAX || waiting > SHARED_AUDIT_BYTES ||
        SHARED_AUDIT_BYTES - waiting < LENGTH_BYTES + record.n) {
        counter_inc(w, COUNTER_waf_audit_lost_total);
        return false;
    }
    ring_put(w->audit, written, &length, sizeof length);
    ring_put(w->audit, written + LENGTH_BYTES, record.p, record.n);
    atomic_store_explicit(&w->audit_written, written + LENGTH_BYTES + record.n, memory_order_release);
    return true;
}

size_t shared_audit_take(const struct shared *s, unsigned slot, char ret_record[SHARED_AUDIT_RECORD_MAX],
                         bool *ret_broken)
{
    struct shared_worker *w = shared_worker(s, slot);
    uint64_t written = atomic_load_explicit(&w->audit_written, memory_order_acquire);
    uint64_t read = load(&s->reader->audit_read[slot]);
    uint64_t waiting = written - read;
    uint32_t length = 0;
    *ret_broken = false;
    if (waiting == 0)
        return 0;
    if (waiting > LENGTH_BYTES && waiting <= SHARED_AUDIT_BYTES)
        ring_get(w->audit, read, &length, sizeof length); /* once: it may change under our eyes */
    if (length == 0 || length > SHARED_AUDIT_RECORD_MAX || LENGTH_BYTES + length > waiting) {
        *ret_broken = true;
        atomic_store_explicit(&s->reader->audit_read[slot], written, memory_order_release);
        return 0;
    }
    ring_get(w->audit, read + LENGTH_BYTES, ret_record, length);
    atomic_store_explicit(&s->reader->audit_read[slot], read + LENGTH_BYTES + length, memory_order_release);
    return length;
}

bool shared_excerpts_are_clear(const struct shared *s, uint64_t now_ms)
{
    uint64_t until = load(&s->reader->excerpts_clear_until_ms);
    return until > now_ms && until - now_ms <= SHARED_EXCERPTS_CLEAR_MS;
}

void shared_excerpts_set_clear(const struct shared *s, uint64_t until_ms)
{
    atomic_store_explicit(&s->reader->excerpts_clear_until_ms, until_ms, memory_order_relaxed);
}

/* ---- hits of rules */

enum { PROBES = 32, ID_BITS = 48 };

/* The cluster's slot and the rule in one word, never 0. Rule ids of more than 48 bits share a key with
 * others: no rule set has any. */
static uint64_t rule_key(uint32_t cluster_slot, uint64_t rule_id)
{
    return ((uint64_t)cluster_slot + 1) << ID_BITS | (rule_id & ((UINT64_C(1) << ID_BITS) - 1));
}

static struct shared_rule_row *rule_row(struct shared_worker *w, uint64_t key)
{
    uint64_t hash = hash_mix(key);
    for (unsigned i = 0; i < PROBES; i++) {
        struct shared_rule_row *row = &w->rules[(hash + i) % SHARED_RULE_ROWS];
        uint64_t there = load(&row->key);
        if (there == 0)
            atomic_store_explicit(&row->key, key, memory_order_relaxed);
        if (there == 0 || there == key)
            return row;
    }
    return &w->rules[SHARED_RULE_ROWS];
}

void shared_count_rule(const struct shared *s, unsigned slot, uint32_t cluster_slot, uint64_t rule_id,
                       bool was_blocked)
{
    struct shared_worker *w = shared_worker(s, slot);
    struct shared_rule_row *row = cluster_slot < SHARED_CLUSTERS_MAX
                                      ? rule_row(w, rule_key(cluster_slot, rule_id))
                                      : &w->rules[SHARED_RULE_ROWS];
    shared_add(was_blocked ? &row->blocked : &row->detected, 1);
}

void shared_rules_clear(struct shared *s, uint32_t cluster_slot)
{
    for (unsigned w = 0; w < s->worker_count; w++) {
        for (unsigned i = 0; i < SHARED_RULE_ROWS; i++) {
            struct shared_rule_row *row = &s->workers[w].rules[i];
            if (load(&row->key) >> ID_BITS != (uint64_t)cluster_slot + 1)
                continue;
            atomic_store_explicit(&row->detected, 0, memory_order_relaxed);
            atomic_store_explicit(&row->blocked, 0, memory_order_relaxed);
        }
        memset((void *)s->workers[w].patches[cluster_slot], 0, sizeof s->workers[w].patches[cluster_slot]);
    }
}

/* ---- their sums */

static int by_key(const void *a, const void *b)
{
    const struct rule_sum *x = a, *y = b;
    if (x->cluster_slot != y->cluster_slot)
        return x->cluster_slot < y->cluster_slot ? -1 : 1;
    return x->rule_id < y->rule_id ? -1 : x->rule_id > y->rule_id;
}

static int by_hits(const void *a, const void *b)
{
    const struct rule_sum *x = a, *y = b;
    uint64_t hits_x = x->detected + x->blocked, hits_y = y->detected + y->blocked;
    if (hits_x != hits_y)
        return hits_x > hits_y ? -1 : 1;
    return by_key(a, b);
}

/* All rows of all workers that count something. */
static size_t gather(const struct shared *s, struct rule_sum *all)
{
    size_t n = 0;
    for (unsigned w = 0; w < s->worker_count; w++) {
        for (unsigned i = 0; i <= SHARED_RULE_ROWS; i++) {
            const struct shared_rule_row *row = &s->workers[w].rules[i];
            struct rule_sum sum = {SHARED_NO_SLOT, 0, load(&row->detected), load(&row->blocked)};
            uint64_t key = load(&row->key);
            if (sum.detected == 0 && sum.blocked == 0)
                continue;
            if (i < SHARED_RULE_ROWS && key >> ID_BITS != 0 && key >> ID_BITS <= SHARED_CLUSTERS_MAX) {
                sum.cluster_slot = (uint32_t)(key >> ID_BITS) - 1;
                sum.rule_id = key & ((UINT64_C(1) << ID_BITS) - 1);
            }
            all[n++] = sum;
        }
    }
    return n;
}

/* Rows of one key become one; they stand beside each other. */
static size_t merge(struct rule_sum *all, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept && by_key(&all[kept - 1], &all[i]) == 0) {
            all[kept - 1].detected += all[i].detected;
            all[kept - 1].blocked += all[i].blocked;
        } else {
            all[kept++] = all[i];
        }
    }
    return kept;
}

size_t shared_rule_sums(const struct shared *s, struct rule_sum *ret, size_t cap)
{
    struct rule_sum *all = calloc(s->worker_count, (SHARED_RULE_ROWS + 1) * sizeof *all);
    if (!all)
        return 0;
    size_t n = gather(s, all);
    qsort(all, n, sizeof *all, by_key);
    n = merge(all, n);
    qsort(all, n, sizeof *all, by_hits);
    n = n < cap ? n : cap;
    if (n)
        memcpy(ret, all, n * sizeof *all);
    free(all);
    return n;
}

/* ---- replays of virtual patches: one word, so that it is never half written */

enum { STATE_BITS = 8, REASON_BITS = 8, REQUEST_BITS = 16 };

void shared_patch_set(const struct shared *s, unsigned slot, uint32_t cluster_slot, unsigned patch,
                      const struct patch_result *result)
{
    if (cluster_slot >= SHARED_CLUSTERS_MAX || patch >= SHARED_PATCHES_MAX)
        return;
    struct shared_patch_result *place = &shared_worker(s, slot)->patches[cluster_slot][patch];
    uint64_t packed = (uint64_t)result->generation << (STATE_BITS + REASON_BITS + REQUEST_BITS) |
                      (uint64_t)(result->request & 0xffff) << (STATE_BITS + REASON_BITS) |
                      (uint64_t)result->reason << STATE_BITS | (uint64_t)result->state;
    atomic_store_explicit(&place->at_us, (uint64_t)result->at_us, memory_order_relaxed);
    atomic_store_explicit(&place->state, packed, memory_order_release);
}

static bool patch_unpack(uint64_t packed, struct patch_result *ret)
{
    unsigned state = packed & 0xff, reason = packed >> STATE_BITS & 0xff;
    if (state == PATCH_UNTESTED || state >= PATCH_STATE_COUNT || reason >= PATCH_REASON_COUNT)
        return false;
    *ret = (struct patch_result){.state = (enum patch_state)state,
                                 .reason = (enum patch_reason)reason,
                                 .request = packed >> (STATE_BITS + REASON_BITS) & 0xffff,
                                 .generation = (uint32_t)(packed >> 32)};
    return true;
}

bool shared_patch_get(const struct shared *s, uint32_t cluster_slot, unsigned patch, uint32_t generation,
                      struct patch_result *ret)
{
    bool is_found = false;
    if (cluster_slot >= SHARED_CLUSTERS_MAX || patch >= SHARED_PATCHES_MAX)
        return false;
    for (unsigned w = 0; w < s->worker_count; w++) {
        const struct shared_patch_result *place = &s->workers[w].patches[cluster_slot][patch];
        struct patch_result one;
        uint64_t packed = atomic_load_explicit(&place->state, memory_order_acquire);
        if (!patch_unpack(packed, &one) || one.generation != generation)
            continue;
        one.at_us = (int64_t)load(&place->at_us);
        if (!is_found || one.at_us > ret->at_us)
            *ret = one;
        is_found = true;
    }
    return is_found;
}
