/* admission/queue.c - the lists and heaps of one worker's waiting requests, see queue.h. */
#include "admission/queue.h"

#include "base/must.h"

enum {
    GAP_SERVED = 32, /* what a gap is measured over: so many, or so long */
    GAP_LEAST_US = 250'000,
};

unsigned queue_band(enum admission_class class, enum admission_criticality criticality)
{
    static const uint8_t bands[][3] = {
#define BAND(name, accepted, unknown, suspect) [ADMISSION_##name] = {accepted, unknown, suspect},
#include "admission/bands.def"
#undef BAND
    };
    must(criticality <= ADMISSION_BULK);
    return bands[criticality][class <= ADMISSION_KNOWN ? 0 : class == ADMISSION_UNKNOWN ? 1 : 2];
}

void queue_init(struct queue *q, unsigned flow)
{
    *q = (struct queue){.flow = (uint16_t)flow};
    for (unsigned b = 0; b < BAND_COUNT; b++)
        list_init(&q->bands[b]);
}

/* ---- the heap */

static bool is_before(const struct queue *a, const struct queue *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static struct queue *heap_merge(struct queue *a, struct queue *b)
{
    if (!a || !b)
        return a ? a : b;
    if (is_before(b, a)) {
        struct queue *swap = a;
        a = b;
        b = swap;
    }
    b->sibling = a->child;
    a->child = b;
    return a;
}

static void heap_push(struct queue **top, struct queue *q)
{
    q->child = q->sibling = NULL;
    q->is_in_heap = true;
    *top = heap_merge(*top, q);
}

static void heap_pop(struct queue **top) /* two passes: pairs from the left, then all from the right */
{
    struct queue *pairs = NULL, *at = (*top)->child, *merged = NULL;
    (*top)->is_in_heap = false;
    while (at) {
        struct queue *a = at, *b = at->sibling;
        at = b ? b->sibling : NULL;
        a->sibling = NULL;
        if (b)
            b->sibling = NULL;
        a = heap_merge(a, b);
        a->sibling = pairs;
        pairs = a;
    }
    while (pairs) {
        struct queue *next = pairs->sibling;
        pairs->sibling = NULL;
        merged = heap_merge(merged, pairs);
        pairs = next;
    }
    *top = merged;
}

struct queue *queue_first(struct pool *p, unsigned lane, const struct area_flow *flows)
{
    struct queue **top = &p->heap[lane];
    while (*top) {
        struct queue *q = *top;
        uint64_t finish = area_get(&flows[q->flow].finish);
        if (q->waiting && q->key >= finish)
            return q;
        heap_pop(top);
        if (!q->waiting)
            continue;
        q->key = finish;
        q->order = ++p->order;
        heap_push(top, q);
    }
    return NULL;
}

/* ---- tickets */

void queue_push(struct pool *p, struct flow *f, struct admission_ticket *t, uint64_t tag, uint64_t now_us)
{
    struct queue *q = &f->lanes[t->lane];
    if (f->lanes[0].waiting + f->lanes[1].waiting == 0) {
        list_push_back(&p->backlogged, &f->node);
        p->flows_waiting++;
    }
    if (q->counts[t->band]++ == 0) {
        q->from_us[t->band] = now_us;
        q->served[t->band] = 0;
    }
    list_push_back(&q->bands[t->band], &t->node);
    q->mask |= (uint16_t)(1u << t->band);
    q->waiting++;
    p->waiting++;
    t->state = TICKET_WAITS;
    if (q->is_in_heap)
        return;
    q->key = tag;
    q->order = ++p->order;
    heap_push(&p->heap[t->lane], q);
}

/* Slots come in bursts, so single gaps say little. */
static void note_gap(struct queue *q, unsigned band, uint64_t now_us)
{
    uint64_t passed = now_us > q->from_us[band] ? now_us - q->from_us[band] : 0;
    if (++q->served[band] < GAP_SERVED && passed < GAP_LEAST_US)
        return;
    uint64_t gap = passed / q->served[band] + 1, old = q->gap_us[band];
    gap = old ? (gap + old) / 2 : gap;
    q->gap_us[band] = gap < UINT32_MAX ? (uint32_t)gap : UINT32_MAX;
    q->served[band] = 0;
    q->from_us[band] = now_us;
}

void queue_remove(struct pool *p, struct flow *f, struct admission_ticket *t, bool is_served, uint64_t now_us)
{
    struct queue *q = &f->lanes[t->lane];
    must(t->state == TICKET_WAITS && q->counts[t->band] > 0);
    list_remove(&t->node);
    t->state = TICKET_IDLE;
    if (is_served)
        note_gap(q, t->band, now_us);
    if (--q->counts[t->band] == 0)
        q->mask &= (uint16_t) ~(1u << t->band);
    q->waiting--;
    p->waiting--;
    if (f->lanes[0].waiting + f->lanes[1].waiting == 0) {
        list_remove(&f->node);
        p->flows_waiting--;
    }
}

static struct admission_ticket *ticket_of(struct list *node)
{
    return container_of(node, struct admission_ticket, node);
}

struct admission_ticket *queue_oldest(const struct queue *q)
{
    struct admission_ticket *oldest = NULL;
    for (unsigned left = q->mask; left; left &= left - 1) {
        struct admission_ticket *t = ticket_of(q->bands[__builtin_ctz(left)].next);
        if (!oldest || t->since_us < oldest->since_us)
            oldest = t;
    }
    return oldest;
}

struct admission_ticket *queue_head(const struct queue *q, bool is_oldest)
{
    if (is_oldest || !q->mask)
        return queue_oldest(q);
    return ticket_of(q->bands[__builtin_ctz(q->mask)].next);
}

struct admission_ticket *queue_newest_least(const struct queue *q)
{
    if (!q->mask)
        return NULL;
    return ticket_of(q->bands[31 - __builtin_clz((unsigned)q->mask)].prev);
}

/* ---- waiting times */

/* As measured, or as it looks now when that is longer; before there is a measure, what is known of the pool.
 */
static uint64_t band_gap_us(const struct pool *p, const struct queue *q, unsigned band, uint64_t now_us)
{
    uint64_t gap =
        q->gap_us[band] ? q->gap_us[band] : p->pool_gap_us * (p->flows_waiting ? p->flows_waiting : 1);
    uint64_t passed = q->counts[band] && now_us > q->from_us[band] ? now_us - q->from_us[band] : 0;
    uint64_t now = passed >= GAP_LEAST_US ? passed / (q->served[band] + 1) : 0;
    return now > gap ? now : gap;
}

uint64_t queue_wait_us(const struct pool *p, const struct queue *q, unsigned band, uint64_t now_us)
{
    uint64_t wait = 0;
    for (unsigned left = q->mask & ((2u << band) - 1); left; left &= left - 1) {
        unsigned b = (unsigned)__builtin_ctz(left);
        wait += q->counts[b] * band_gap_us(p, q, b, now_us);
    }
    return wait;
}
