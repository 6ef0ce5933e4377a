/* proxy/shared.h - the one memory area that workers and observer share.
 *
 * The master makes it (memfd), every role maps it, and every number has one writer: a worker writes only in
 * its own slot and only with relaxed stores, so counting costs no locked instruction. The exceptions, written
 * by any worker, are the health fields of the endpoints; they are atomics.
 *
 * The area is data from strangers: a worker that was taken over can write anything into it. Sizes are
 * therefore read once, at opening, into the struct shared of the reader's own memory; every index that comes
 * out of the area is checked or masked here before use; and no decision about what may be reached rests on
 * it. (The master clears a dead worker's gauges, and a slot that gets a new owner.)
 *
 * The observer maps everything read-only but the first page, which holds how far it has read and until when
 * excerpts are in clear (shared_map_reader): a replaced observer goes on where the last one stopped.
 *
 * Clusters and endpoints have places ("slots") that survive a reload: the master claims a slot by a hash of
 * the name while it prepares a configuration, the others find it by the same hash. Generations in flight
 * never mix. */
#ifndef POLDER_PROXY_SHARED_H
#define POLDER_PROXY_SHARED_H

#include "base/access_event.h"
#include "base/hash.h"
#include "base/must.h"
#include "http/message.h"

#include <stdatomic.h>

enum counter {
#define COUNTER(name, type, help) COUNTER_##name,
#include "base/counters.def"
#undef COUNTER
    COUNTER_COUNT
};

enum {
    SHARED_WORKERS_MAX = 64,
    SHARED_CLUSTERS_MAX = 2048,
    SHARED_ENDPOINTS_MAX = 2048,
    SHARED_EVENTS = 4096,        /* per worker; a power of two */
    SHARED_ADDRESS_CELLS = 8192, /* per row; a power of two */
    SHARED_PAGE = 4096,
    SHARED_VERSION = 4,
    SHARED_AUDIT_BYTES = 256 * 1024, /* per worker; a power of two */
    SHARED_AUDIT_RECORD_MAX = 8192,
    SHARED_RULE_ROWS = 8192, /* per worker; a power of two; the row behind them takes what finds no place */
    SHARED_PATCHES_MAX = 64,
    SHARED_RATE_CELLS = 16'384, /* of isolation: sources and partners with a rate */
    SHARED_LEVELS = 5,          /* of isolation, and its answers (isolation/types.h) */
    SHARED_ANSWERS = 5,
};
#define SHARED_MAGIC   0x7265646c6f70ULL /* "polder" */
#define SHARED_NO_SLOT UINT32_MAX

/* Latency buckets, four per doubling: bucket 0 is below 32 us, the last one is 2^26 us (67 s) and above. */
enum {
    LATENCY_FIRST_BIT = 5,
    LATENCY_LAST_BIT = 26,
    LATENCY_BUCKETS = 1 + 4 * (LATENCY_LAST_BIT - LATENCY_FIRST_BIT) + 1,
};

typedef _Atomic uint64_t shared_u64;
typedef _Atomic uint32_t shared_u32;

/* What became of a cluster's requests in the firewall. */
enum inspect_outcome { INSPECT_PASSED, INSPECT_DETECTED, INSPECT_BLOCKED, INSPECT_LIMITED, INSPECT_OUTCOMES };

struct shared_cluster_stats {
    shared_u64 status[6]; /* answers by status / 100; [0]: none was sent (the client left) */
    shared_u64 bytes_in, bytes_out;
    shared_u64 duration_us; /* sum */
    shared_u64 latency[LATENCY_BUCKETS];
    shared_u64 inspected[INSPECT_OUTCOMES], inspected_us; /* CPU time */
};

struct shared_endpoint_stats {
    shared_u64 requests, failures;  /* failures: connection errors, answers 5xx and broken answers */
    shared_u32 active, connections; /* requests being worked on; connections open, idle ones included */
};

/* How often requests of a cluster matched a rule. */
struct shared_rule_row {
    shared_u64 key; /* cluster and rule; 0: free. Once taken it stays so: a slot that gets a new cluster only
                       has its counts cleared */
    shared_u64 detected, blocked;
};

/* What a replay of a virtual patch's requests showed in one cluster. */
struct shared_patch_result {
    shared_u64 state; /* a struct patch_result in one word; 0: nothing yet */
    shared_u64 at_us; /* wall clock */
};

struct shared_worker { /* one worker's own place: nobody else writes here */
    alignas(SHARED_PAGE) shared_u64 counters[COUNTER_COUNT];
    alignas(64) shared_u64 refusals[REFUSAL_COUNT];
    alignas(64) shared_u64 events_written; /* ever; event n lies in events[n % SHARED_EVENTS] */
    alignas(64) struct shared_endpoint_stats endpoints[SHARED_ENDPOINTS_MAX];
    alignas(64) struct shared_cluster_stats clusters[SHARED_CLUSTERS_MAX];
    alignas(64) _Atomic uint16_t addresses[2][SHARED_ADDRESS_CELLS];
    alignas(64) struct access_event events[SHARED_EVENTS];
    alignas(64) struct shared_rule_row rules[SHARED_RULE_ROWS + 1];
    alignas(64) struct shared_patch_result patches[SHARED_CLUSTERS_MAX][SHARED_PATCHES_MAX];
    alignas(64) shared_u64 isolation[SHARED_LEVELS][SHARED_ANSWERS]; /* requests at a level, by answer */
    alignas(64)
        shared_u64 isolation_applied;     /* the perimeter's number it acts by: what that refuses is cut */
    alignas(64) shared_u64 audit_written; /* bytes ever; byte n lies in audit[n % SHARED_AUDIT_BYTES] */
    alignas(64) char audit[SHARED_AUDIT_BYTES];
};

enum endpoint_health { ENDPOINT_UNKNOWN, ENDPOINT_UP, ENDPOINT_DOWN }; /* as checked; unknown counts as up */

struct shared_endpoint {
    alignas(64) shared_u64 key; /* 0: nobody's */
    shared_u64 generation;      /* the last one that has this endpoint */
    shared_u64 next_check_at_ms, ejected_until_ms,
        since_ms;                       /* monotonic; since_ms: last change of health, or end
                                           of an ejection: slow start counts from here */
    shared_u32 health;                  /* enum endpoint_health */
    shared_u32 checks_good, checks_bad; /* in a row */
    shared_u32 failures;                /* of requests, in a row */
    shared_u32 ejections;               /* in a row: how long the next one lasts */
    shared_u32 address_sequence;        /* odd while the address is being written; 0: none yet */
    shared_u64 address[3];              /* only through shared_endpoint_address() */
};

struct shared_cluster {
    shared_u64 key, generation; /* as in struct shared_endpoint */
};

struct shared_reader { /* the observer's page */
    alignas(SHARED_PAGE) shared_u64 events_read[SHARED_WORKERS_MAX];
    shared_u64 audit_read[SHARED_WORKERS_MAX]; /* bytes */
    shared_u64 excerpts_clear_until_ms; /* monotonic: until then WAF excerpts are in clear; 0: they are not */
};

struct shared_header { /* written once, by the master, before anybody else maps it */
    alignas(SHARED_PAGE) uint64_t magic;
    uint32_t version, worker_count;
    uint64_t size;
    struct hash_key hash_key; /* for addresses, which strangers choose */
    struct shared_cluster clusters[SHARED_CLUSTERS_MAX];
    struct shared_endpoint endpoints[SHARED_ENDPOINTS_MAX];
    shared_u64 rates[SHARED_RATE_CELLS]; /* of guard_rate.c; any worker's */
    shared_u64 adopted_workers;          /* of an older gate, which still live; the master's */
};

/* A process's own view of the area. By value; holds no memory of its own. */
struct shared {
    struct shared_reader *reader;
    struct shared_header *header;
    struct shared_worker *workers;
    unsigned worker_count;
    struct hash_key hash_key;
    size_t size;
};

/* ---- making and mapping (master: shm_create(shared_size(n)), shm_map writable, shared_init) */
size_t shared_size(unsigned worker_count);
/* memory is zeroed, page aligned and shared_size(worker_count) long. */
void shared_init(void *memory, unsigned worker_count, struct hash_key, struct shared *ret);
/* False: this is not an area of this build. */
[[nodiscard]] bool shared_open(void *memory, size_t size, struct shared *ret);
/* Maps the memfd read-only but for the reader's page. Negative errno, or -EPROTO when it is not ours. */
[[nodiscard]] int shared_map_reader(int fd, struct shared *ret);
void shared_unmap(struct shared *); /* of shared_map_reader; an empty struct shared is fine */

/* A worker died or starts in this slot: its gauges, connections and active requests are gone; totals stay. */
void shared_worker_reset(struct shared *, unsigned slot);

static inline struct shared_worker *shared_worker(const struct shared *s, unsigned slot)
{
    must(slot < s->worker_count);
    return &s->workers[slot];
}

/* ---- counting, by the worker that owns the place: a load and a store, no lock */
static inline void shared_add(shared_u64 *cell, uint64_t n)
{
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void shared_add32(shared_u32 *cell, int32_t n) /* never below 0 */
{
    int64_t value = (int64_t)atomic_load_explicit(cell, memory_order_relaxed) + n;
    atomic_store_explicit(cell, value < 0 ? 0 : (uint32_t)value, memory_order_relaxed);
}

static inline void counter_add(struct shared_worker *w, enum counter c, uint64_t n)
{
    shared_add(&w->counters[c], n);
}

static inline void counter_inc(struct shared_worker *w, enum counter c)
{
    shared_add(&w->counters[c], 1);
}

static inline void counter_dec(struct shared_worker *w, enum counter c) /* gauges */
{
    shared_add(&w->counters[c], (uint64_t)-1);
}

static inline void counter_set(struct shared_worker *w, enum counter c, uint64_t value) /* gauges */
{
    atomic_store_explicit(&w->counters[c], value, memory_order_relaxed);
}

static inline void shared_count_refusal(struct shared_worker *w, enum http_refusal why)
{
    shared_add(&w->refusals[(unsigned)why < REFUSAL_COUNT ? (unsigned)why : REFUSAL_NONE], 1);
}

/* ---- latency */
static inline unsigned latency_bucket(uint64_t us)
{
    if (us < 1u << LATENCY_FIRST_BIT)
        return 0;
    if (us >= 1u << LATENCY_LAST_BIT)
        return LATENCY_BUCKETS - 1;
    unsigned bit = 63 - (unsigned)__builtin_clzll(us);
    return 1 + 4 * (bit - LATENCY_FIRST_BIT) + ((unsigned)(us >> (bit - 2)) & 3);
}

/* The first value that no longer falls into the bucket; UINT64_MAX for the last one. */
uint64_t latency_bucket_end_us(unsigned bucket);
/* The value below which `permille` of the counts lie, interpolated inside the bucket; 0 without any. */
uint64_t latency_quantile_us(const uint64_t counts[LATENCY_BUCKETS], unsigned permille);

/* One request of that cluster is answered. slot: of shared_cluster_find, SHARED_NO_SLOT is fine. */
static inline void shared_count_request(struct shared_worker *w, uint32_t slot, uint16_t status,
                                        uint64_t duration_us, uint64_t bytes_in, uint64_t bytes_out)
{
    if (slot >= SHARED_CLUSTERS_MAX)
        return;
    struct shared_cluster_stats *c = &w->clusters[slot];
    shared_add(&c->status[status < 600 ? status / 100 : 0], 1);
    shared_add(&c->bytes_in, bytes_in);
    shared_add(&c->bytes_out, bytes_out);
    shared_add(&c->duration_us, duration_us);
    shared_add(&c->latency[latency_bucket(duration_us)], 1);
}

/* One request of that cluster went through the firewall. */
static inline void shared_count_inspection(struct shared_worker *w, uint32_t slot,
                                           enum inspect_outcome outcome, uint64_t us)
{
    if (slot >= SHARED_CLUSTERS_MAX)
        return;
    shared_add(&w->clusters[slot].inspected[outcome], 1);
    shared_add(&w->clusters[slot].inspected_us, us);
}

/* ---- slots of clusters and endpoints */
uint64_t shared_cluster_key(struct str cluster);
uint64_t shared_endpoint_key(struct str upstream, struct str host, uint16_t port);
/* The master's, while it prepares `generation` (from 1): the slot of that key, taken for it when it has none.
 * A slot whose last generation is older than `oldest`, the oldest still in use, is free again.
 * SHARED_NO_SLOT: full. */
uint32_t shared_cluster_claim(struct shared *, uint64_t key, uint64_t generation, uint64_t oldest);
uint32_t shared_endpoint_claim(struct shared *, uint64_t key, uint64_t generation, uint64_t oldest);
/* SHARED_NO_SLOT: nobody claimed it. */
uint32_t shared_cluster_find(const struct shared *, uint64_t key);
uint32_t shared_endpoint_find(const struct shared *, uint64_t key);

static inline struct shared_endpoint *shared_endpoint(const struct shared *s, uint32_t slot)
{
    must(slot < SHARED_ENDPOINTS_MAX);
    return &s->header->endpoints[slot];
}

/* Requests of all workers on an endpoint, and connections. */
uint64_t shared_endpoint_active(const struct shared *, uint32_t slot);

/* Up as far as checks know, and not ejected. */
static inline bool shared_endpoint_is_usable(const struct shared_endpoint *e, uint64_t now_ms)
{
    return atomic_load_explicit(&e->health, memory_order_relaxed) != ENDPOINT_DOWN &&
           atomic_load_explicit(&e->ejected_until_ms, memory_order_relaxed) <= now_ms;
}

/* True for exactly one worker when a check is due; the next one is then due an interval later. */
static inline bool shared_endpoint_take_check(struct shared_endpoint *e, uint64_t now_ms,
                                              uint64_t interval_ms)
{
    uint64_t due = atomic_load_explicit(&e->next_check_at_ms, memory_order_relaxed);
    return due <= now_ms && atomic_compare_exchange_strong(&e->next_check_at_ms, &due, now_ms + interval_ms);
}

/* The address its name resolved to. Written by one process (the master). False: none yet, or the writer died
 * while writing: keep what you knew. */
void shared_endpoint_set_address(struct shared_endpoint *, const struct addr *);
[[nodiscard]] bool shared_endpoint_address(const struct shared_endpoint *, struct addr *ret);

/* ---- access events: one writer (the worker), one reader (the observer), never a wait */

/* The place for the next event, to be filled in place; NULL: the reader is behind; the loss was counted. */
static inline struct access_event *shared_event_begin(const struct shared *s, unsigned slot)
{
    struct shared_worker *w = shared_worker(s, slot);
    uint64_t written = atomic_load_explicit(&w->events_written, memory_order_relaxed);
    uint64_t read = atomic_load_explicit(&s->reader->events_read[slot], memory_order_acquire);
    if (written - read >= SHARED_EVENTS) {
        counter_inc(w, COUNTER_events_lost_total);
        return NULL;
    }
    return &w->events[written % SHARED_EVENTS];
}

/* What shared_event_begin gave can now be read. */
static inline void shared_event_commit(const struct shared *s, unsigned slot)
{
    struct shared_worker *w = shared_worker(s, slot);
    uint64_t written = atomic_load_explicit(&w->events_written, memory_order_relaxed);
    atomic_store_explicit(&w->events_written, written + 1, memory_order_release);
}

static inline void shared_event_push(const struct shared *s, unsigned slot, const struct access_event *event)
{
    struct access_event *place = shared_event_begin(s, slot);
    if (place) {
        *place = *event;
        shared_event_commit(s, slot);
    }
}

/* Copies the oldest unread event out, its lengths within bounds whatever stood there. False: none. A count
 * that cannot be (a worker gone wild) is skipped over. */
[[nodiscard]] bool shared_event_take(const struct shared *, unsigned slot, struct access_event *ret);
void shared_events_skip(const struct shared *, unsigned slot); /* nobody wants those that wait */
uint64_t shared_events_waiting(const struct shared *, unsigned slot);

/* ---- WAF audit records: a ring of bytes, one writer and one reader as above. A record is its length (four
 * bytes, the machine's order) and that many bytes; it may go over the end of the ring. */

/* False: it is longer than SHARED_AUDIT_RECORD_MAX, or the reader is behind; counted in
 * waf_audit_lost_total. */
bool shared_audit_push(const struct shared *, unsigned slot, struct str record);
/* Copies the oldest unread record out; 0: none. Lengths that cannot be (a worker gone wild, or killed) make
 * all that waits be skipped: *ret_broken. What was read is bytes of a stranger: parse before use. */
[[nodiscard]] size_t shared_audit_take(const struct shared *, unsigned slot,
                                       char ret_record[SHARED_AUDIT_RECORD_MAX], bool *ret_broken);

/* The operator wants excerpts in clear, for at most SHARED_EXCERPTS_CLEAR_MS from now whatever stands there.
 */
#define SHARED_EXCERPTS_CLEAR_MS (24u * 3600 * 1000)
bool shared_excerpts_are_clear(const struct shared *, uint64_t now_ms);
void shared_excerpts_set_clear(const struct shared *, uint64_t until_ms); /* the observer's; 0: no more */

/* ---- hits of WAF rules, for each cluster and rule: an open table in each worker's place. */

/* A request of that cluster matched the rule (once a request: waf_audit_counts), and was blocked or not.
 * SHARED_NO_SLOT and a full table are fine: then the overflow row counts. */
void shared_count_rule(const struct shared *, unsigned slot, uint32_t cluster_slot, uint64_t rule_id,
                       bool was_blocked);

struct rule_sum {
    uint32_t cluster_slot; /* SHARED_NO_SLOT: the overflow, rule_id 0 */
    uint64_t rule_id, detected, blocked;
};
/* The slot gets another cluster (the master's, in shared_cluster_claim). */
void shared_rules_clear(struct shared *, uint32_t cluster_slot);
/* Sums over the workers, most hits first; at most cap of them. Returns how many. */
size_t shared_rule_sums(const struct shared *, struct rule_sum *ret, size_t cap);

/* ---- virtual patches: what their replay showed; written by the worker that replayed */
enum patch_state {
    PATCH_UNTESTED,
    PATCH_EFFECTIVE,
    PATCH_NOT_EFFECTIVE,
    PATCH_CANNOT_TELL,
    PATCH_STATE_COUNT
};
enum patch_reason {
    PATCH_FINE,
    PATCH_LET_THROUGH, /* a request that must be blocked was not; request says which */
    PATCH_STOPPED,     /* a request that must pass was blocked */
    PATCH_MODE_DETECT, /* the cluster only detects */
    PATCH_MODE_OFF,    /* it does not look at all */
    PATCH_EXCLUDED,    /* the cluster takes the patch's rules away */
    PATCH_NO_ROUTE,    /* the cluster has no route the requests could take */
    PATCH_BUSY,        /* there was no room to inspect */
    PATCH_REASON_COUNT
};

struct patch_result {
    enum patch_state state;
    enum patch_reason reason;
    unsigned request;    /* index: must_block ones first, then must_pass ones */
    uint32_t generation; /* low bits of the configuration's, of which it is true */
    int64_t at_us;
};
void shared_patch_set(const struct shared *, unsigned slot, uint32_t cluster_slot, unsigned patch,
                      const struct patch_result *);
/* Of the worker that knows the most recent one. False: nobody has replayed it under that generation. */
bool shared_patch_get(const struct shared *, uint32_t cluster_slot, unsigned patch, uint32_t generation,
                      struct patch_result *ret);

/* ---- connections per address, over all workers: two rows of counts, the smaller one is the estimate, never
 * too low (Cormode and Muthukrishnan, "An improved data stream summary: the count-min sketch", 2005) */
uint64_t shared_address_hash(const struct shared *, const struct addr *); /* of the /32, or the /64 */
uint32_t shared_address_count(const struct shared *, uint64_t hash);

static inline _Atomic uint16_t *shared_address_cell(struct shared_worker *w, unsigned row, uint64_t hash)
{
    return &w->addresses[row][(row ? hash >> 32 : hash) % SHARED_ADDRESS_CELLS];
}

static inline void shared_address_opened(struct shared_worker *w, uint64_t hash)
{
    for (unsigned row = 0; row < 2; row++) {
        _Atomic uint16_t *cell = shared_address_cell(w, row, hash);
        uint16_t n = atomic_load_explicit(cell, memory_order_relaxed);
        if (n < UINT16_MAX)
            atomic_store_explicit(cell, (uint16_t)(n + 1), memory_order_relaxed);
    }
}

static inline void shared_address_closed(struct shared_worker *w, uint64_t hash)
{
    for (unsigned row = 0; row < 2; row++) {
        _Atomic uint16_t *cell = shared_address_cell(w, row, hash);
        uint16_t n = atomic_load_explicit(cell, memory_order_relaxed);
        if (n > 0)
            atomic_store_explicit(cell, (uint16_t)(n - 1), memory_order_relaxed);
    }
}

/* ---- sums over the workers, for the observer */
uint64_t shared_counter_sum(const struct shared *, enum counter);
uint64_t shared_refusal_sum(const struct shared *, enum http_refusal);
uint64_t shared_isolation_sum(const struct shared *, unsigned level, unsigned answer);

struct cluster_sum {
    uint64_t status[6], requests, bytes_in, bytes_out, duration_us;
    uint64_t latency[LATENCY_BUCKETS];
    uint64_t inspected[INSPECT_OUTCOMES], inspected_us;
};
void shared_cluster_sum(const struct shared *, uint32_t slot, struct cluster_sum *ret);

struct endpoint_sum {
    uint64_t requests, failures, active, connections;
};
void shared_endpoint_sum(const struct shared *, uint32_t slot, struct endpoint_sum *ret);

struct str counter_name(enum counter);
struct str counter_help(enum counter);
bool counter_is_gauge(enum counter);

#endif
