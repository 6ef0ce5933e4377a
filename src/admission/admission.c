/* admission/admission.c - go, wait or come back later: the steps of a request through one worker.
 *
 * Invariants:
 *  1. A ticket in state TICKET_RUNS holds exactly one slot in this worker's cell, from GO to leave.
 *  2. When next has returned NULL, no slot is free that a request waiting in this worker may take now, or the
 * worker it belongs to was granted it and stands in the wakes.
 *  3. A request is refused before it costs the upstream anything, never after it went there. */
#include "admission/budget.h"
#include "admission/fair.h"
#include "admission/pace.h"
#include "admission/reserve.h"
#include "admission/worker.h"

#include "base/must.h"

#include <stdlib.h>

enum {
    FIRST_COST_US = 20'000, /* of a kind nobody has seen */
    COST_SHIFT = 3,         /* an average over about eight */
    POOL_FIRST = 6,
    POOL_LEAST = 2,
    TRIM_MOST = 64, /* tickets of one flow, in one tick */
    RETRY_AFTER_MOST_S = 60,
    STAY_LEAST_US = 500'000,
};

struct admission *admission_new(void *memory, size_t size, unsigned worker)
{
    struct area area;
    if (!area_view(memory, size, &area) || worker >= area.shape.workers)
        return NULL;
    struct admission *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->area = area;
    a->worker = worker;
    a->pools = calloc(area.shape.pools, sizeof *a->pools);
    a->flows = calloc(area.shape.flows, sizeof(struct flow *));
    if (!a->pools || !a->flows) {
        admission_free(a);
        return NULL;
    }
    for (unsigned i = 0; i < area.shape.pools; i++) {
        struct pool *p = &a->pools[i];
        p->shared = &area.pools[i];
        p->pool_gap_us = FIRST_COST_US / POOL_FIRST;
        list_init(&p->backlogged);
        list_init(&p->refused);
        admission_pool_set(a, i, POOL_LEAST, POOL_FIRST, ADMISSION_LIMIT_MAX);
    }
    return a;
}

void admission_free(struct admission *a)
{
    if (!a)
        return;
    for (unsigned i = 0; a->flows && i < a->area.shape.flows; i++)
        free(a->flows[i]);
    free(a->flows);
    free(a->pools);
    free(a);
}

bool admission_flow_set(struct admission *a, unsigned flow, unsigned pool, unsigned weight)
{
    must(flow < a->area.shape.flows && pool < a->area.shape.pools && weight >= 1);
    struct flow *f = a->flows[flow];
    if (!f) {
        f = calloc(1, sizeof *f);
        if (!f)
            return false;
        list_init(&f->node);
        for (unsigned lane = 0; lane < AREA_LANES; lane++)
            queue_init(&f->lanes[lane], flow);
        a->flows[flow] = f;
    }
    f->stay_us = f->pool == pool ? f->stay_us : 0;
    f->pool = pool;
    f->weight = weight;
    atomic_fetch_or(&a->area.header->used[pool / 64], UINT64_C(1) << pool % 64);
    return true;
}

void admission_pool_set(struct admission *a, unsigned pool, unsigned least, unsigned first, unsigned most)
{
    must(pool < a->area.shape.pools && least >= 1 && least <= first && first <= most);
    a->pools[pool].least = least;
    a->pools[pool].first = first;
    a->pools[pool].most = most < ADMISSION_LIMIT_MAX ? most : ADMISSION_LIMIT_MAX;
}

/* ---- parts */

static struct flow *flow_at(const struct admission *a, unsigned flow)
{
    must(flow < a->area.shape.flows && a->flows[flow]);
    return a->flows[flow];
}

static uint32_t lane_limit(const struct pool *p, unsigned lane)
{
    return lane == LANE_HEAVY ? reserve_heavy_limit(p) : limit_slots(p);
}

static uint64_t lane_slot(unsigned lane)
{
    return lane == LANE_HEAVY ? SLOT_ONE + SLOT_HEAVY : SLOT_ONE;
}

/* A slot is held for it: it goes. */
static void start(struct admission *a, struct pool *p, struct flow *f, struct admission_ticket *t,
                  uint64_t tag, uint64_t now_us)
{
    fair_charge(p->shared, &a->area.flows[t->flow], tag, t->cost_us, f->weight);
    t->state = TICKET_RUNS;
    t->started_us = now_us;
    pace_note_start(p, t->band, now_us);
}

/* Seconds after which the load may have gone, and not the same for all. */
static uint32_t retry_after_s(struct pool *p, uint64_t wait_us)
{
    uint64_t s = 1 + wait_us / 1'000'000;
    s += hash_mix(++p->refusals) % (s + 1);
    return s < RETRY_AFTER_MOST_S ? (uint32_t)s : RETRY_AFTER_MOST_S;
}

static void refuse_waiting(struct pool *p, struct flow *f, struct admission_ticket *t)
{
    queue_remove(p, f, t, false, 0);
    t->state = TICKET_REFUSED;
    list_push_back(&p->refused, &t->node);
}

static void publish(struct admission *a, struct pool *p)
{
    for (unsigned lane = 0; lane < AREA_LANES; lane++)
        fair_publish(p->shared, a->worker, lane, queue_first(p, lane, a->area.flows), p->waiting);
}

/* ---- patience */

static uint64_t deadline_us(const struct flow *f, const struct admission_ticket *t)
{
    uint64_t stays_us = t->since_us + f->stay_us - f->stay_us / 10;
    return f->stay_us && t->band >= BAND_STRANGERS && stays_us < t->deadline_us ? stays_us : t->deadline_us;
}

/* Those whose users have given up, or will have before the answer. In a queue these stand in front: what is
 * sent for them is work for nobody. */
static bool is_too_late(const struct flow *f, const struct admission_ticket *t, uint64_t now_us)
{
    return now_us + t->cost_us > deadline_us(f, t);
}

/* Most who left stayed longer than that. Who leaves early and often can only bring it down for strangers of
 * the same flow, and as many of them are served as before, others. */
void admission_note_left(struct admission *a, const struct admission_ticket *t, uint64_t now_us)
{
    enum { DOWN = 4, UP = 64 };
    struct flow *f = flow_at(a, t->flow);
    if (t->band < BAND_STRANGERS || now_us < t->since_us)
        return;
    int64_t stayed = (int64_t)(now_us - t->since_us), most = (int64_t)(t->deadline_us - t->since_us);
    int64_t old = f->stay_us ? f->stay_us : most;
    stayed = stayed < most ? stayed : most;
    int64_t now = old + (stayed - old) / (stayed < old ? DOWN : UP);
    f->stay_us = (uint32_t)(now > STAY_LEAST_US ? now : STAY_LEAST_US);
}

/* ---- enter */

/* What it will cost, by what is known now. */
static void ticket_price(const struct pool *p, struct admission_ticket *t)
{
    uint32_t cost = area_get32(&p->shared->kinds[t->kind].cost_us);
    t->cost_us = cost ? cost : FIRST_COST_US;
    t->lane = reserve_is_heavy(p, t->kind) ? LANE_HEAVY : LANE_LIGHT;
}

static void ticket_init(struct admission *a, struct pool *p, struct admission_ticket *t,
                        const struct admission_request *r, uint64_t now_us)
{
    *t = (struct admission_ticket){.since_us = now_us, .deadline_us = now_us + r->patience_us};
    list_init(&t->node);
    t->flow = (uint16_t)r->flow;
    t->kind = (uint8_t)r->kind;
    t->band = (uint8_t)queue_band(r->class, r->criticality);
    ticket_price(p, t);
}

/* Something has to wait: because of the limit, or of what is left of it for heavy ones? */
static void note_full(struct admission *a, struct pool *p)
{
    if (slots_used(slots_sum(p->shared, a->area.shape.workers)) >= limit_slots(p))
        limit_note_full(p);
    else if (p->heap[LANE_HEAVY])
        limit_note_heavy_full(p);
}

/* Nobody waits anywhere and a slot is free. */
static bool enter_at_once(struct admission *a, struct pool *p, struct flow *f, struct admission_ticket *t,
                          uint64_t now_us)
{
    struct area_pool *s = p->shared;
    uint32_t used;
    if (atomic_load(&s->wanting[LANE_LIGHT]) | atomic_load(&s->wanting[LANE_HEAVY]))
        return false;
    if (pace_holds(p, t->band, now_us))
        return false;
    if (!slots_take(s, a->area.shape.workers, a->worker, lane_slot(t->lane), lane_limit(p, t->lane), &used))
        return false;
    limit_note_use(p, used);
    if (t->lane == LANE_LIGHT)
        reserve_note_light(p, used - slots_heavy(slots_sum(s, a->area.shape.workers)));
    start(a, p, f, t, fair_start(s, &a->area.flows[t->flow]), now_us);
    return true;
}

/* The queue is full: the newest of the least important band of the longest flow makes room. False: that would
 * be the new one itself. */
static bool make_room(struct pool *p, const struct flow *own, const struct admission_ticket *t)
{
    struct flow *longest = NULL;
    uint32_t most = 0;
    for (struct list *at = p->backlogged.next; at != &p->backlogged; at = at->next) {
        struct flow *f = container_of(at, struct flow, node);
        uint32_t waiting = f->lanes[0].waiting + f->lanes[1].waiting;
        if (waiting > most) {
            most = waiting;
            longest = f;
        }
    }
    must(longest);
    struct admission_ticket *light = queue_newest_least(&longest->lanes[LANE_LIGHT]);
    struct admission_ticket *victim = queue_newest_least(&longest->lanes[LANE_HEAVY]);
    if (!victim || (light && light->band > victim->band))
        victim = light;
    if (longest == own && victim->band <= t->band)
        return false;
    refuse_waiting(p, longest, victim);
    return true;
}

enum admission_answer admission_enter(struct admission *a, struct admission_ticket *t,
                                      const struct admission_request *r, uint64_t now_us,
                                      uint32_t *ret_retry_after_s)
{
    struct flow *f = flow_at(a, r->flow);
    struct pool *p = &a->pools[f->pool];
    must(r->kind < ADMISSION_KINDS);
    ticket_init(a, p, t, r, now_us);
    if (budget_sheds(&a->area, r->class, r->criticality)) {
        *ret_retry_after_s = retry_after_s(p, 4'000'000);
        return ADMISSION_REFUSE;
    }
    if (enter_at_once(a, p, f, t, now_us))
        return ADMISSION_GO;
    note_full(a, p);
    struct queue *q = &f->lanes[t->lane];
    uint64_t wait = queue_wait_us(p, q, t->band, now_us);
    if (is_too_late(f, t, now_us + wait) || (p->waiting >= ADMISSION_WAITING_MAX && !make_room(p, f, t))) {
        *ret_retry_after_s = retry_after_s(p, wait);
        return ADMISSION_REFUSE;
    }
    t->is_first = wait == 0;
    queue_push(p, f, t, fair_start(p->shared, &a->area.flows[t->flow]), now_us);
    publish(a, p);
    return ADMISSION_WAIT;
}

/* ---- next */

/* Takes out of the way what comes too late, and what turned out to be heavy, until the lane's first can go.
 */
static void lane_clear(struct admission *a, struct pool *p, unsigned lane, uint64_t now_us)
{
    struct queue *q;
    while ((q = queue_first(p, lane, a->area.flows))) {
        struct admission_ticket *t = queue_head(q, fair_is_oldest_turn(&a->area.flows[q->flow]));
        struct flow *f = a->flows[t->flow];
        uint64_t tag = q->key;
        if (is_too_late(f, t, now_us)) {
            refuse_waiting(p, f, t);
            continue;
        }
        ticket_price(p, t);
        if (t->lane == lane || lane == LANE_HEAVY) {
            t->lane = (uint8_t)lane;
            return;
        }
        t->lane = (uint8_t)lane;
        queue_remove(p, f, t, false, now_us);
        t->lane = LANE_HEAVY;
        queue_push(p, f, t, tag, now_us);
    }
}

/* The lanes that may take a slot now, a bit each. */
static unsigned lanes_open(const struct admission *a, const struct pool *p)
{
    uint32_t used = slots_used(slots_sum(p->shared, a->area.shape.workers));
    unsigned open = used < limit_slots(p) ? 1u << LANE_LIGHT : 0;
    return open && used < reserve_heavy_limit(p) ? open | 1u << LANE_HEAVY : open;
}

/* Takes a slot that another worker, or this one, was granted. The lane: light, unless only heavy ones wait.
 */
static bool claim_granted(struct admission *a, struct pool *p, unsigned *ret_lane)
{
    struct area_pool *s = p->shared;
    while (slots_granted(atomic_load(&s->held[a->worker]))) {
        bool may_heavy = slots_used(slots_sum(s, a->area.shape.workers)) <= reserve_heavy_limit(p);
        struct queue *light = queue_first(p, LANE_LIGHT, a->area.flows);
        struct queue *heavy = may_heavy ? queue_first(p, LANE_HEAVY, a->area.flows) : NULL;
        if (!light && !heavy) {
            slots_revoke(s, a->worker);
            continue;
        }
        *ret_lane = light && (!heavy || light->key <= heavy->key) ? LANE_LIGHT : LANE_HEAVY;
        if (slots_take_granted(s, a->worker, *ret_lane == LANE_HEAVY ? SLOT_HEAVY : 0))
            return true;
    }
    return false;
}

/* Gives free slots to whoever is first, until this worker is (true), or none is left that anybody may take.
 */
static bool claim_free(struct admission *a, struct pool *p, uint64_t now_us, unsigned *ret_lane)
{
    struct area_pool *s = p->shared;
    unsigned lanes, workers = a->area.shape.workers;
    uint32_t used;
    while ((lanes = lanes_open(a, p))) {
        unsigned who = fair_first(s, a->area.flows, a->area.shape.flows, workers, lanes, ret_lane);
        if (who == FAIR_NOBODY || pace_holds(p, fair_band(s, who, *ret_lane), now_us))
            return false;
        uint64_t what = who == a->worker ? lane_slot(*ret_lane) : SLOT_ONE;
        if (!slots_take(s, workers, a->worker, what, lane_limit(p, *ret_lane), &used))
            return false;
        limit_note_use(p, used);
        if (who == a->worker)
            return true;
        slots_give(s, a->worker, who);
        p->wakes |= UINT64_C(1) << who;
    }
    return false;
}

static struct admission_ticket *run_head(struct admission *a, struct pool *p, unsigned lane, uint64_t now_us)
{
    struct queue *q = queue_first(p, lane, a->area.flows);
    struct area_flow *shared = &a->area.flows[q->flow];
    struct admission_ticket *t = queue_head(q, fair_is_oldest_turn(shared));
    struct flow *f = a->flows[t->flow];
    uint64_t tag = q->key;
    q->last_turn = (uint16_t)atomic_fetch_add_explicit(&shared->turn, 1, memory_order_relaxed);
    queue_remove(p, f, t, true, now_us);
    if (t->is_first && lane == LANE_LIGHT)
        pace_note_first(p, now_us - t->since_us, now_us);
    start(a, p, f, t, tag, now_us);
    if (lane == LANE_LIGHT) {
        uint64_t sum = slots_sum(p->shared, a->area.shape.workers);
        reserve_note_light(p, slots_in_use(sum) - slots_heavy(sum));
    }
    return t;
}

struct admission_ticket *admission_next(struct admission *a, unsigned pool, uint64_t now_us,
                                        enum admission_answer *ret, uint32_t *ret_retry_after_s)
{
    must(pool < a->area.shape.pools);
    struct pool *p = &a->pools[pool];
    struct admission_ticket *t = NULL;
    unsigned lane;
    for (unsigned l = 0; p->waiting && l < AREA_LANES; l++)
        lane_clear(a, p, l, now_us);
    if (!list_is_empty(&p->refused)) {
        t = container_of(list_pop_front(&p->refused), struct admission_ticket, node);
        t->state = TICKET_IDLE;
        *ret_retry_after_s = retry_after_s(p, 2 * (now_us - t->since_us));
        *ret = ADMISSION_REFUSE;
        return t;
    }
    publish(a, p);
    if (claim_granted(a, p, &lane) || claim_free(a, p, now_us, &lane)) {
        t = run_head(a, p, lane, now_us);
        *ret = ADMISSION_GO;
        publish(a, p);
    } else if (p->waiting)
        note_full(a, p);
    return t;
}

uint64_t admission_next_at_us(const struct admission *a, unsigned pool, uint64_t now_us)
{
    must(pool < a->area.shape.pools);
    return a->pools[pool].waiting ? pace_next_us(&a->pools[pool], now_us) : 0;
}

/* ---- leave */

static void note_cost(struct area_kind *k, uint64_t took_us, uint64_t now_us)
{
    int64_t took = took_us < UINT32_MAX / 2 ? (int64_t)took_us + 1 : UINT32_MAX / 2;
    int64_t old = area_get32(&k->cost_us);
    area_set32(&k->cost_us, (uint32_t)(old ? old + (took - old) / (1 << COST_SHIFT) : took));
    area_set32(&k->seen_ms, (uint32_t)(now_us / 1000));
}

void admission_leave(struct admission *a, struct admission_ticket *t, enum admission_outcome outcome,
                     uint64_t latency_us, uint64_t now_us)
{
    struct flow *f = flow_at(a, t->flow);
    struct pool *p = &a->pools[f->pool];
    uint64_t took = now_us > t->started_us ? now_us - t->started_us : 0;
    must(t->state == TICKET_RUNS);
    t->state = TICKET_IDLE;
    atomic_fetch_sub(&p->shared->held[a->worker], lane_slot(t->lane));
    fair_correct(&a->area.flows[t->flow], t->cost_us, took, f->weight);
    if (outcome == ADMISSION_FAILED)
        return;
    note_cost(&p->shared->kinds[t->kind], took, now_us);
    pace_note_took(p, took);
    limit_note_answer(p, t->kind, latency_us, outcome == ADMISSION_TIMED_OUT, now_us);
}

void admission_cancel(struct admission *a, struct admission_ticket *t)
{
    struct flow *f = flow_at(a, t->flow);
    struct pool *p = &a->pools[f->pool];
    must(t->state == TICKET_WAITS || t->state == TICKET_REFUSED);
    if (t->state == TICKET_REFUSED)
        list_remove(&t->node);
    else
        queue_remove(p, f, t, false, 0);
    t->state = TICKET_IDLE;
    publish(a, p);
}

/* ---- tick */

/* Those at the end that would be served after their users have gone: now, so that they need not wait for it.
 */
static void trim(struct pool *p, struct flow *f, uint64_t now_us)
{
    for (unsigned lane = 0; lane < AREA_LANES; lane++) {
        struct queue *q = &f->lanes[lane];
        for (unsigned n = 0; n < TRIM_MOST && q->waiting; n++) {
            struct admission_ticket *t = queue_newest_least(q);
            uint64_t ahead = queue_wait_us(p, q, t->band, now_us);
            uint64_t own = ahead / q->waiting;
            if (now_us + ahead - own + t->cost_us <= deadline_us(f, t) + p->pool_gap_us)
                break;
            refuse_waiting(p, f, t);
        }
    }
}

/* Grants that a worker did not take although nothing waits there (it was replaced, or its requests left
 * meanwhile) come back at the second tick. */
static void revoke_idle(struct admission *a, struct pool *p)
{
    struct area_pool *s = p->shared;
    uint64_t wanting = atomic_load(&s->wanting[0]) | atomic_load(&s->wanting[1]), idle = 0;
    for (unsigned w = 0; w < a->area.shape.workers; w++)
        if (slots_granted(atomic_load(&s->held[w])) && !(wanting >> w & 1))
            idle |= UINT64_C(1) << w;
    for (uint64_t left = idle & p->idle_grants; left; left &= left - 1)
        slots_revoke(s, (unsigned)__builtin_ctzll(left));
    p->idle_grants = idle;
}

/* Slots come free for all workers in which something waits. */
static void measure_gap(struct pool *p)
{
    uint64_t wanting = atomic_load(&p->shared->wanting[0]) | atomic_load(&p->shared->wanting[1]);
    unsigned sharers = (unsigned)__builtin_popcountll(wanting);
    uint64_t sum = 0, count = 0;
    for (unsigned k = 0; k < ADMISSION_KINDS; k++) {
        uint32_t cost = area_get32(&p->shared->kinds[k].cost_us);
        sum += cost;
        count += cost != 0;
    }
    p->pool_gap_us = (count ? sum / count : FIRST_COST_US) * (sharers ? sharers : 1) / limit_slots(p) + 1;
}

void admission_tick(struct admission *a, unsigned pool, uint64_t now_us)
{
    must(pool < a->area.shape.pools);
    struct pool *p = &a->pools[pool];
    reserve_tick(p, now_us);
    measure_gap(p);
    revoke_idle(a, p);
    for (struct list *at = p->backlogged.next, *next; at != &p->backlogged; at = next) {
        next = at->next;
        trim(p, container_of(at, struct flow, node), now_us);
    }
}

uint64_t admission_take_wakes(struct admission *a, unsigned pool)
{
    must(pool < a->area.shape.pools);
    uint64_t wakes = a->pools[pool].wakes;
    a->pools[pool].wakes = 0;
    return wakes;
}

uint32_t admission_cost_us(const struct admission *a, unsigned pool, unsigned kind)
{
    must(pool < a->area.shape.pools && kind < ADMISSION_KINDS);
    uint32_t cost_us = area_get32(&a->pools[pool].shared->kinds[kind].cost_us);
    return cost_us ? cost_us : FIRST_COST_US;
}

void admission_look(const struct admission *a, unsigned pool, struct admission_view *ret)
{
    must(pool < a->area.shape.pools);
    const struct pool *p = &a->pools[pool];
    uint64_t sum = slots_sum(p->shared, a->area.shape.workers);
    *ret = (struct admission_view){.limit = limit_slots(p),
                                   .in_use = slots_in_use(sum),
                                   .granted = slots_granted(sum),
                                   .heavy = slots_heavy(sum),
                                   .waiting = p->waiting};
}
