#include "proxy/shared.h"
#include "sys/shm.h"

#include <errno.h>
#include <sys/stat.h>

/* Readers and writers are processes of one build, so the layout need only be the same in all of them; what
 * must hold is that a worker's place and the reader's page share no page with anything else. */
_Static_assert(sizeof(struct shared_reader) == SHARED_PAGE, "the reader's page is one page");
_Static_assert(sizeof(struct shared_header) % SHARED_PAGE == 0, "the workers begin on a page");
_Static_assert(sizeof(struct shared_worker) % SHARED_PAGE == 0, "every worker begins on a page");

static uint64_t load(const shared_u64 *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

size_t shared_size(unsigned worker_count)
{
    must(worker_count > 0 && worker_count <= SHARED_WORKERS_MAX);
    return sizeof(struct shared_reader) + sizeof(struct shared_header) +
           worker_count * sizeof(struct shared_worker);
}

static struct shared shared_view(void *reader, void *header, unsigned worker_count)
{
    struct shared s = {.reader = reader, .header = header, .worker_count = worker_count};
    s.workers = (struct shared_worker *)(s.header + 1);
    s.hash_key = s.header->hash_key;
    s.size = shared_size(worker_count);
    return s;
}

void shared_init(void *memory, unsigned worker_count, struct hash_key key, struct shared *ret)
{
    struct shared_reader *reader = memory;
    struct shared_header *header = (struct shared_header *)(reader + 1);
    header->magic = SHARED_MAGIC;
    header->version = SHARED_VERSION;
    header->worker_count = worker_count;
    header->size = shared_size(worker_count);
    header->hash_key = key;
    *ret = shared_view(reader, header, worker_count);
}

static bool header_is_ours(const struct shared_header *h, size_t size, unsigned *ret_worker_count)
{
    unsigned workers = h->worker_count;
    if (h->magic != SHARED_MAGIC || h->version != SHARED_VERSION || workers == 0 ||
        workers > SHARED_WORKERS_MAX)
        return false;
    *ret_worker_count = workers;
    return size == shared_size(workers) && h->size == size;
}

bool shared_open(void *memory, size_t size, struct shared *ret)
{
    struct shared_reader *reader = memory;
    struct shared_header *header = (struct shared_header *)(reader + 1);
    unsigned workers;
    if (size < shared_size(1) || !header_is_ours(header, size, &workers))
        return false;
    *ret = shared_view(reader, header, workers);
    return true;
}

int shared_map_reader(int fd, struct shared *ret)
{
    struct stat file;
    struct shared s;
    if (fstat(fd, &file) != 0)
        return -errno;
    size_t size = (size_t)file.st_size;
    if (size < shared_size(1))
        return -EPROTO;
    void *all = shm_map(fd, size, false);
    if (!all)
        return -errno;
    void *reader = shm_map(fd, sizeof(struct shared_reader), true);
    if (!reader || !shared_open(all, size, &s)) {
        int error = reader ? -EPROTO : -errno;
        shm_unmap(all, size);
        if (reader)
            shm_unmap(reader, sizeof(struct shared_reader));
        return error;
    }
    s.reader = reader;
    *ret = s;
    return 0;
}

void shared_unmap(struct shared *s)
{
    if (!s->header)
        return;
    shm_unmap((struct shared_reader *)(void *)s->header - 1, s->size);
    shm_unmap(s->reader, sizeof(struct shared_reader));
    *s = (struct shared){0};
}

void shared_worker_reset(struct shared *s, unsigned slot)
{
    struct shared_worker *w = shared_worker(s, slot);
    for (unsigned c = 0; c < COUNTER_COUNT; c++)
        if (counter_is_gauge((enum counter)c))
            counter_set(w, (enum counter)c, 0);
    for (unsigned e = 0; e < SHARED_ENDPOINTS_MAX; e++) {
        atomic_store_explicit(&w->endpoints[e].active, 0, memory_order_relaxed);
        atomic_store_explicit(&w->endpoints[e].connections, 0, memory_order_relaxed);
    }
    for (unsigned row = 0; row < 2; row++)
        for (unsigned cell = 0; cell < SHARED_ADDRESS_CELLS; cell++)
            atomic_store_explicit(&w->addresses[row][cell], 0, memory_order_relaxed);
    atomic_store_explicit(&w->isolation_applied, 0, memory_order_relaxed); /* who is gone serves nobody */
}

uint64_t latency_bucket_end_us(unsigned bucket)
{
    if (bucket == 0)
        return 1u << LATENCY_FIRST_BIT;
    if (bucket >= LATENCY_BUCKETS - 1)
        return UINT64_MAX;
    unsigned bit = LATENCY_FIRST_BIT + (bucket - 1) / 4, quarter = (bucket - 1) % 4;
    return (UINT64_C(1) << bit) + (quarter + 1) * (UINT64_C(1) << (bit - 2));
}

uint64_t latency_quantile_us(const uint64_t counts[LATENCY_BUCKETS], unsigned permille)
{
    uint64_t total = 0, below = 0;
    for (unsigned b = 0; b < LATENCY_BUCKETS; b++)
        total += counts[b];
    if (total == 0)
        return 0;
    double rank = (double)total * permille / 1000;
    for (unsigned b = 0; b < LATENCY_BUCKETS; b++) {
        if (counts[b] && (double)(below + counts[b]) >= rank) {
            uint64_t start = b ? latency_bucket_end_us(b - 1) : 0, end = latency_bucket_end_us(b);
            if (end == UINT64_MAX)
                return start;
            return start + (uint64_t)((rank - (double)below) / (double)counts[b] * (double)(end - start));
        }
        below += counts[b];
    }
    return latency_bucket_end_us(LATENCY_BUCKETS - 2);
}

/* Names come from the operator, so the key of the hash need not be secret; 0 is kept for "nobody's". */
static const struct hash_key name_key = {0x706f6c646572, 0x736c6f7473};

static uint64_t name_hash(uint64_t seed, struct str name)
{
    struct hash_key key = {name_key.k0 ^ seed, name_key.k1};
    uint64_t h = hash_bytes(&key, name.n ? name.p : "", name.n);
    return h ? h : 1;
}

uint64_t shared_cluster_key(struct str cluster)
{
    return name_hash(0, cluster);
}

uint64_t shared_endpoint_key(struct str upstream, struct str host, uint16_t port)
{
    return name_hash(name_hash(port + UINT64_C(1), upstream), host);
}

static bool is_free(const shared_u64 *key, const shared_u64 *generation, uint64_t oldest)
{
    return load(key) == 0 || load(generation) < oldest;
}

uint32_t shared_cluster_find(const struct shared *s, uint64_t key)
{
    for (uint32_t i = 0; i < SHARED_CLUSTERS_MAX; i++)
        if (load(&s->header->clusters[i].key) == key)
            return i;
    return SHARED_NO_SLOT;
}

uint32_t shared_endpoint_find(const struct shared *s, uint64_t key)
{
    for (uint32_t i = 0; i < SHARED_ENDPOINTS_MAX; i++)
        if (load(&s->header->endpoints[i].key) == key)
            return i;
    return SHARED_NO_SLOT;
}

uint32_t shared_cluster_claim(struct shared *s, uint64_t key, uint64_t generation, uint64_t oldest)
{
    uint32_t slot = shared_cluster_find(s, key);
    for (uint32_t i = 0; slot == SHARED_NO_SLOT && i < SHARED_CLUSTERS_MAX; i++)
        if (is_free(&s->header->clusters[i].key, &s->header->clusters[i].generation, oldest))
            slot = i;
    if (slot == SHARED_NO_SLOT)
        return slot;
    struct shared_cluster *c = &s->header->clusters[slot];
    if (load(&c->key) != key) { /* another one's totals would be taken for this one's */
        for (unsigned w = 0; w < s->worker_count; w++)
            memset((void *)&s->workers[w].clusters[slot], 0, sizeof s->workers[w].clusters[slot]);
        if (load(&c->key) != 0) /* fresh memory needs no search */
            shared_rules_clear(s, slot);
    }
    atomic_store(&c->generation, generation);
    atomic_store(&c->key, key);
    return slot;
}

uint32_t shared_endpoint_claim(struct shared *s, uint64_t key, uint64_t generation, uint64_t oldest)
{
    uint32_t slot = shared_endpoint_find(s, key);
    for (uint32_t i = 0; slot == SHARED_NO_SLOT && i < SHARED_ENDPOINTS_MAX; i++)
        if (is_free(&s->header->endpoints[i].key, &s->header->endpoints[i].generation, oldest))
            slot = i;
    if (slot == SHARED_NO_SLOT)
        return slot;
    struct shared_endpoint *e = &s->header->endpoints[slot];
    if (load(&e->key) != key) {
        memset((void *)e, 0, sizeof *e);
        for (unsigned w = 0; w < s->worker_count; w++)
            memset((void *)&s->workers[w].endpoints[slot], 0, sizeof s->workers[w].endpoints[slot]);
    }
    atomic_store(&e->generation, generation);
    atomic_store(&e->key, key);
    return slot;
}

/* A sequence lock: odd while it is being written, and unchanged over a read that is whole. */
void shared_endpoint_set_address(struct shared_endpoint *e, const struct addr *a)
{
    uint64_t words[3] = {0};
    uint32_t sequence = atomic_load_explicit(&e->address_sequence, memory_order_relaxed) | 1;
    _Static_assert(sizeof *a <= sizeof words, "an address fits");
    memcpy(words, a, sizeof *a);
    atomic_store_explicit(&e->address_sequence, sequence, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (unsigned i = 0; i < 3; i++)
        atomic_store_explicit(&e->address[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&e->address_sequence, sequence + 1 ? sequence + 1 : 2, memory_order_release);
}

bool shared_endpoint_address(const struct shared_endpoint *e, struct addr *ret)
{
    enum { TRIES = 64 };
    uint64_t words[3] = {0};
    for (unsigned try = 0; try < TRIES; try++) {
        uint32_t before = atomic_load_explicit(&e->address_sequence, memory_order_acquire);
        if (before == 0)
            return false;
        for (unsigned i = 0; i < 3; i++)
            words[i] = load(&e->address[i]);
        atomic_thread_fence(memory_order_acquire);
        if (before % 2 == 0 && before == atomic_load_explicit(&e->address_sequence, memory_order_relaxed)) {
            const uint8_t *bytes = (const uint8_t *)words;
            memcpy(ret->ip, bytes, sizeof ret->ip);
            memcpy(&ret->port, bytes + offsetof(struct addr, port), sizeof ret->port);
            ret->is_v4 = bytes[offsetof(struct addr, is_v4)] != 0; /* a bool of 2 would be undefined */
            return true;
        }
    }
    return false;
}

/* Whatever a stranger wrote, text ends inside its place and flags are flags. */
static void event_clamp(struct access_event *e)
{
    e->method_len = e->method_len > sizeof e->method ? sizeof e->method : e->method_len;
    e->host_len = e->host_len > sizeof e->host ? sizeof e->host : e->host_len;
    e->agent_len = e->agent_len > sizeof e->agent ? sizeof e->agent : e->agent_len;
    e->path_len = e->path_len > sizeof e->path ? sizeof e->path : e->path_len;
    uint8_t is_v4;
    memcpy(&is_v4, &e->client.is_v4, 1);
    e->client.is_v4 = is_v4 != 0;
    e->refusal = e->refusal < REFUSAL_COUNT ? e->refusal : REFUSAL_NONE;
}

uint64_t shared_events_waiting(const struct shared *s, unsigned slot)
{
    uint64_t written = atomic_load_explicit(&shared_worker(s, slot)->events_written, memory_order_acquire);
    return written - load(&s->reader->events_read[slot]);
}

void shared_events_skip(const struct shared *s, unsigned slot)
{
    uint64_t written = atomic_load_explicit(&shared_worker(s, slot)->events_written, memory_order_acquire);
    atomic_store_explicit(&s->reader->events_read[slot], written, memory_order_release);
}

bool shared_event_take(const struct shared *s, unsigned slot, struct access_event *ret)
{
    struct shared_worker *w = shared_worker(s, slot);
    uint64_t written = atomic_load_explicit(&w->events_written, memory_order_acquire);
    uint64_t read = load(&s->reader->events_read[slot]);
    if (written == read)
        return false;
    if (written - read > SHARED_EVENTS) { /* cannot be: start again where it says it is */
        atomic_store_explicit(&s->reader->events_read[slot], written, memory_order_release);
        return false;
    }
    *ret = w->events[read % SHARED_EVENTS];
    event_clamp(ret);
    atomic_store_explicit(&s->reader->events_read[slot], read + 1, memory_order_release);
    return true;
}

uint64_t shared_address_hash(const struct shared *s, const struct addr *a)
{
    return hash_bytes(&s->hash_key, a->ip, a->is_v4 ? sizeof a->ip : 8);
}

uint32_t shared_address_count(const struct shared *s, uint64_t hash)
{
    uint32_t rows[2] = {0, 0};
    for (unsigned w = 0; w < s->worker_count; w++)
        for (unsigned row = 0; row < 2; row++)
            rows[row] +=
                atomic_load_explicit(shared_address_cell(&s->workers[w], row, hash), memory_order_relaxed);
    return rows[0] < rows[1] ? rows[0] : rows[1];
}

uint64_t shared_endpoint_active(const struct shared *s, uint32_t slot)
{
    uint64_t sum = 0;
    must(slot < SHARED_ENDPOINTS_MAX);
    for (unsigned w = 0; w < s->worker_count; w++)
        sum += atomic_load_explicit(&s->workers[w].endpoints[slot].active, memory_order_relaxed);
    return sum;
}

uint64_t shared_counter_sum(const struct shared *s, enum counter c)
{
    uint64_t sum = 0;
    for (unsigned w = 0; w < s->worker_count; w++)
        sum += load(&s->workers[w].counters[c]);
    return sum;
}

uint64_t shared_isolation_sum(const struct shared *s, unsigned level, unsigned answer)
{
    uint64_t sum = 0;
    for (unsigned slot = 0; slot < s->worker_count; slot++)
        sum += atomic_load_explicit(&s->workers[slot].isolation[level][answer], memory_order_relaxed);
    return sum;
}

uint64_t shared_refusal_sum(const struct shared *s, enum http_refusal why)
{
    uint64_t sum = 0;
    for (unsigned w = 0; w < s->worker_count; w++)
        sum += load(&s->workers[w].refusals[why]);
    return sum;
}

void shared_cluster_sum(const struct shared *s, uint32_t slot, struct cluster_sum *ret)
{
    must(slot < SHARED_CLUSTERS_MAX);
    *ret = (struct cluster_sum){0};
    for (unsigned w = 0; w < s->worker_count; w++) {
        const struct shared_cluster_stats *c = &s->workers[w].clusters[slot];
        for (unsigned i = 0; i < 6; i++)
            ret->status[i] += load(&c->status[i]);
        for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
            ret->latency[i] += load(&c->latency[i]);
        for (unsigned i = 0; i < INSPECT_OUTCOMES; i++)
            ret->inspected[i] += load(&c->inspected[i]);
        ret->inspected_us += load(&c->inspected_us);
        ret->bytes_in += load(&c->bytes_in);
        ret->bytes_out += load(&c->bytes_out);
        ret->duration_us += load(&c->duration_us);
    }
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        ret->requests += ret->latency[i];
}

void shared_endpoint_sum(const struct shared *s, uint32_t slot, struct endpoint_sum *ret)
{
    must(slot < SHARED_ENDPOINTS_MAX);
    *ret = (struct endpoint_sum){.active = shared_endpoint_active(s, slot)};
    for (unsigned w = 0; w < s->worker_count; w++) {
        const struct shared_endpoint_stats *e = &s->workers[w].endpoints[slot];
        ret->requests += load(&e->requests);
        ret->failures += load(&e->failures);
        ret->connections += atomic_load_explicit(&e->connections, memory_order_relaxed);
    }
}

static const struct {
    struct str name, help;
    bool is_gauge;
} counters[COUNTER_COUNT] = {
#define COUNTER_TYPE_counter            false
#define COUNTER_TYPE_gauge              true
#define COUNTER(symbol, type, sentence) {STR(#symbol), STR(sentence), COUNTER_TYPE_##type},
#include "base/counters.def"
#undef COUNTER
};

struct str counter_name(enum counter c)
{
    return counters[c].name;
}

struct str counter_help(enum counter c)
{
    return counters[c].help;
}

bool counter_is_gauge(enum counter c)
{
    return counters[c].is_gauge;
}
