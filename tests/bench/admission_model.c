/* tests/bench/admission_model.c - the discrete-event machine of admission_model.h: a heap of events, requests
 * in a pool, one struct admission for each worker over one shared area. */
#include "admission_model.h"

#include "base/must.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum event_type { ARRIVES, AT_ORIGIN, DONE, ANSWER, GIVES_UP, TICK, WAKES, PACED };
enum { TICK_US = 10'000, REQUESTS_MAX = 1 << 17 };

struct event {
    uint64_t at_us, order;
    enum event_type type;
    uint32_t what, stamp;
};

struct request {
    struct admission_ticket ticket;
    uint64_t began_us, sent_us, work_us;
    double left_us; /* shared origins: work left */
    uint32_t stamp, next, client;
    uint16_t group;
    uint8_t worker;
    bool waits, runs, has_left;
};

struct samples {
    float *ms;
    size_t count, room;
};

struct sim {
    const struct model *m;
    struct model_result *result;
    uint64_t now, order, random, end_us, warm_us;
    struct event *heap;
    size_t events, room;
    struct request *requests;
    uint32_t free_request;
    struct admission *workers[ADMISSION_WORKERS_MAX];
    uint64_t woken, paced_us[ADMISSION_WORKERS_MAX];
    uint32_t *queue, queue_head, queue_count; /* requests inside the origin that are not worked on; a ring */
    uint32_t *active, active_count;
    uint32_t shared_stamp, servers;
    uint64_t advanced_us;
    double busy_us, slower, limit_sum;
    uint64_t limit_looks, limit_before;
    struct samples samples[MODEL_GROUPS_MAX], origin;
};

static uint64_t draw(struct sim *s)
{
    uint64_t z = s->random += 0x9e3779b97f4a7c15ULL; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static double uniform(struct sim *s)
{
    return ((double)(draw(s) >> 11) + 0.5) / 9007199254740992.0;
}

static double exponential(struct sim *s, double mean)
{
    return -mean * log(uniform(s));
}

static void *room_for(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return array;
    *room = *room ? *room * 2 : 1024;
    array = realloc(array, *room * size);
    must(array);
    return array;
}

static void sample(struct samples *l, double ms)
{
    l->ms = room_for(l->ms, l->count, &l->room, sizeof *l->ms);
    l->ms[l->count++] = (float)ms;
}

/* ---- events */

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void post(struct sim *s, double at_us, enum event_type type, uint32_t what, uint32_t stamp)
{
    s->heap = room_for(s->heap, s->events, &s->room, sizeof *s->heap);
    struct event e = {(uint64_t)at_us, s->order++, type, what, stamp};
    size_t i = s->events++;
    for (; i > 0 && earlier(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = e;
}

static struct event pop(struct sim *s)
{
    struct event first = s->heap[0], last = s->heap[--s->events];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->events; i = child) {
        child += child + 1 < s->events && earlier(&s->heap[child + 1], &s->heap[child]);
        if (!earlier(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return first;
}

/* ---- the origin */

static void advance(struct sim *s)
{
    double passed = (double)(s->now - s->advanced_us);
    double working = s->active_count < s->servers ? s->active_count : s->servers;
    if (s->now > s->warm_us)
        s->busy_us += passed * working / s->servers;
    for (uint32_t i = 0; s->m->is_shared && i < s->active_count; i++)
        s->requests[s->active[i]].left_us -= passed * working / s->active_count;
    s->advanced_us = s->now;
}

static void shared_plan(struct sim *s)
{
    uint32_t first = UINT32_MAX;
    for (uint32_t i = 0; i < s->active_count; i++)
        if (first == UINT32_MAX || s->requests[s->active[i]].left_us < s->requests[first].left_us)
            first = s->active[i];
    if (first == UINT32_MAX)
        return;
    double rate = s->active_count > s->servers ? (double)s->servers / s->active_count : 1;
    double left = s->requests[first].left_us / rate;
    post(s, (double)s->now + (left > 0 ? ceil(left) : 0), DONE, first, ++s->shared_stamp);
}

static void origin_begin(struct sim *s, uint32_t id)
{
    struct request *r = &s->requests[id];
    s->active[s->active_count++] = id;
    if (!s->m->is_shared)
        post(s, (double)s->now + (double)r->work_us * (1 + s->m->slope * s->active_count), DONE, id,
             r->stamp);
}

static void origin_arrive(struct sim *s, uint32_t id)
{
    advance(s);
    s->requests[id].left_us = (double)s->requests[id].work_us;
    if (s->m->is_shared || s->active_count < s->servers)
        origin_begin(s, id);
    else
        s->queue[(s->queue_head + s->queue_count++) % REQUESTS_MAX] = id;
    if (s->m->is_shared)
        shared_plan(s);
}

static void origin_done(struct sim *s, uint32_t id, uint32_t stamp)
{
    if (s->m->is_shared && stamp != s->shared_stamp)
        return;
    advance(s);
    for (uint32_t i = 0; i < s->active_count; i++)
        if (s->active[i] == id)
            s->active[i] = s->active[--s->active_count];
    post(s, (double)s->now + s->m->net_ms * 1000, ANSWER, id, 0);
    while (s->queue_count && s->active_count < s->servers) {
        uint32_t next = s->queue[s->queue_head];
        s->queue_head = (s->queue_head + 1) % REQUESTS_MAX;
        s->queue_count--;
        origin_begin(s, next);
    }
    if (s->m->is_shared)
        shared_plan(s);
}

/* ---- the gate */

static const struct model_group *group_of(const struct sim *s, const struct request *r)
{
    return &s->m->groups[r->group];
}

static void count(struct sim *s, struct request *r, bool served, bool refused)
{
    if (r->began_us < s->warm_us)
        return;
    s->result->groups[r->group].offered++;
    s->result->groups[r->group].served += served;
    s->result->groups[r->group].refused += refused;
    s->result->groups[r->group].gave_up += !served && !refused;
    if (served)
        sample(&s->samples[r->group], (double)(s->now - r->began_us) / 1000);
}

/* The client of a request is free for its next one. */
static void client_goes_on(struct sim *s, struct request *r, double pause_us)
{
    const struct model_group *g = group_of(s, r);
    if (g->rate_per_s == 0)
        post(s, (double)s->now + pause_us, ARRIVES, r->group, r->client);
}

static void forget(struct sim *s, uint32_t id)
{
    s->requests[id].stamp++;
    s->requests[id].next = s->free_request;
    s->free_request = id;
}

static void go(struct sim *s, uint32_t id)
{
    struct request *r = &s->requests[id];
    r->waits = false;
    r->runs = true;
    r->sent_us = s->now;
    post(s, (double)s->now + s->m->net_ms * 1000, AT_ORIGIN, id, 0);
}

static void refused(struct sim *s, uint32_t id)
{
    struct request *r = &s->requests[id];
    count(s, r, false, true);
    double returns_us = group_of(s, r)->returns_ms * 1000;
    client_goes_on(s, r, exponential(s, returns_us > 0 ? returns_us : 1'000'000));
    forget(s, id);
}

static void check(struct sim *s)
{
    struct admission_view v;
    unsigned waiting = 0;
    for (unsigned w = 0; w < s->m->workers; w++) {
        admission_look(s->workers[w], 0, &v);
        waiting += v.waiting;
    }
    uint64_t most = v.limit > s->limit_before ? v.limit : s->limit_before;
    s->result->over_limit += v.in_use + v.granted > most;
    s->result->idle_waits += waiting > v.granted && !v.heavy && v.in_use + v.granted < v.limit;
    if (v.in_use + v.granted <= v.limit)
        s->limit_before = v.limit; /* a lower limit holds once those above it have left */
    if (s->now < s->warm_us)
        return;
    s->limit_sum += v.limit;
    if (!s->limit_looks++ || v.limit < s->result->limit_low)
        s->result->limit_low = v.limit;
    if (v.limit > s->result->limit_high)
        s->result->limit_high = v.limit;
}

static void pump(struct sim *s, unsigned worker)
{
    struct admission *a = s->workers[worker];
    struct admission_ticket *t;
    enum admission_answer answer;
    uint32_t after;
    while ((t = admission_next(a, 0, s->now, &answer, &after))) {
        struct request *r = container_of(t, struct request, ticket);
        uint32_t id = (uint32_t)(r - s->requests);
        if (answer == ADMISSION_GO)
            go(s, id);
        else
            refused(s, id);
    }
    uint64_t at_us = admission_next_at_us(a, 0, s->now);
    if (at_us && (s->paced_us[worker] <= s->now || s->paced_us[worker] > at_us)) {
        s->paced_us[worker] = at_us > s->now ? at_us : s->now + 1;
        post(s, (double)s->paced_us[worker], PACED, worker, 0);
    }
    for (uint64_t left = admission_take_wakes(a, 0); left; left &= left - 1) {
        unsigned other = (unsigned)__builtin_ctzll(left);
        if (!(s->woken >> other & 1))
            post(s, (double)s->now + s->m->wake_us, WAKES, other, 0);
        s->woken |= UINT64_C(1) << other;
    }
    check(s);
}

static uint64_t work_us(struct sim *s, const struct model_group *g)
{
    double ms = g->service_ms + (g->jitter_ms > 0 ? exponential(s, g->jitter_ms) : 0);
    if (g->other_share > 0 && (double)s->now >= g->mix_from_s * 1e6 && uniform(s) < g->other_share)
        ms = g->other_ms;
    return (uint64_t)(ms * 1000 * s->slower);
}

static void arrives(struct sim *s, uint32_t group, uint32_t client)
{
    const struct model_group *g = &s->m->groups[group];
    if (g->rate_per_s > 0)
        post(s, (double)s->now + (g->is_even ? 1e6 / g->rate_per_s : exponential(s, 1e6 / g->rate_per_s)),
             ARRIVES, group, client + 1);
    if (g->until_s > 0 && (double)s->now > g->until_s * 1e6)
        return;
    uint32_t id = s->free_request, after;
    must(id != UINT32_MAX);
    struct request *r = &s->requests[id];
    s->free_request = r->next;
    *r = (struct request){.stamp = r->stamp, .group = (uint16_t)group, .client = client, .began_us = s->now};
    r->worker = (uint8_t)(hash_mix(client + 7919 * group) % s->m->workers);
    r->work_us = work_us(s, g);
    struct admission_request ask = {.flow = g->flow + (g->flows ? client % g->flows : 0),
                                    .kind = g->kind,
                                    .class = g->class,
                                    .criticality = g->criticality,
                                    .patience_us = (uint32_t)(g->patience_ms * 1000)};
    enum admission_answer answer = admission_enter(s->workers[r->worker], &r->ticket, &ask, s->now, &after);
    if (answer == ADMISSION_REFUSE) {
        refused(s, id);
        return;
    }
    post(s, (double)s->now + g->patience_ms * 1000, GIVES_UP, id, r->stamp);
    r->waits = answer == ADMISSION_WAIT;
    if (answer == ADMISSION_GO)
        go(s, id);
    pump(s, r->worker);
}

static void gives_up(struct sim *s, uint32_t id, uint32_t stamp)
{
    struct request *r = &s->requests[id];
    if (r->stamp != stamp || r->has_left)
        return;
    count(s, r, false, false);
    client_goes_on(s, r, 0);
    r->has_left = true;
    if (!r->waits)
        return;
    admission_cancel(s->workers[r->worker], &r->ticket);
    pump(s, r->worker);
    forget(s, id);
}

static void answered(struct sim *s, uint32_t id)
{
    struct request *r = &s->requests[id];
    uint64_t latency = s->now - r->sent_us;
    if (r->began_us >= s->warm_us)
        sample(&s->origin, (double)latency / 1000);
    s->result->wasted += r->has_left;
    if (!r->has_left) {
        count(s, r, true, false);
        double think = group_of(s, r)->think_ms;
        client_goes_on(s, r, think > 0 ? exponential(s, think * 1000) : 0);
    }
    admission_leave(s->workers[r->worker], &r->ticket, ADMISSION_ANSWERED, latency, s->now);
    unsigned worker = r->worker;
    forget(s, id);
    pump(s, worker);
}

static void change_origin(struct sim *s)
{
    if (s->m->later_s <= 0 || (double)s->now < s->m->later_s * 1e6)
        return;
    advance(s);
    s->servers = s->m->later_servers ? s->m->later_servers : s->servers;
    s->slower = s->m->later_slower > 0 ? s->m->later_slower : s->slower;
}

static void handle(struct sim *s, const struct event *e)
{
    switch (e->type) {
    case ARRIVES:
        arrives(s, e->what, e->stamp);
        break;
    case AT_ORIGIN:
        origin_arrive(s, e->what);
        break;
    case DONE:
        origin_done(s, e->what, e->stamp);
        break;
    case ANSWER:
        answered(s, e->what);
        break;
    case GIVES_UP:
        gives_up(s, e->what, e->stamp);
        break;
    case TICK:
        change_origin(s);
        admission_tick(s->workers[e->what], 0, s->now);
        pump(s, e->what);
        post(s, (double)s->now + TICK_US, TICK, e->what, 0);
        break;
    case WAKES:
        s->woken &= ~(UINT64_C(1) << e->what);
        pump(s, e->what);
        break;
    case PACED:
        pump(s, e->what);
        break;
    }
}

/* ---- begin and end */

static unsigned flows_of(const struct model *m)
{
    unsigned flows = 1;
    for (unsigned g = 0; g < MODEL_GROUPS_MAX; g++) {
        unsigned end = m->groups[g].flow + (m->groups[g].flows ? m->groups[g].flows : 1);
        flows = end > flows ? end : flows;
    }
    return flows;
}

static void *gate_make(struct sim *s)
{
    struct admission_shape shape = {s->m->workers, 1, flows_of(s->m), 64};
    size_t size = (admission_area_size(&shape) + 63) / 64 * 64;
    void *memory = aligned_alloc(64, size);
    must(memory);
    memset(memory, 0, size);
    admission_area_init(memory, &shape, (struct hash_key){1, 2});
    for (unsigned w = 0; w < s->m->workers; w++) {
        s->workers[w] = admission_new(memory, admission_area_size(&shape), w);
        must(s->workers[w]);
        for (unsigned f = 0; f < shape.flows; f++)
            must(admission_flow_set(s->workers[w], f, 0, 1));
        post(s, (double)TICK_US * (w + 1) / s->m->workers, TICK, w, 0);
    }
    return memory;
}

static void groups_start(struct sim *s)
{
    for (unsigned g = 0; g < MODEL_GROUPS_MAX; g++) {
        const struct model_group *of = &s->m->groups[g];
        if (of->rate_per_s > 0)
            post(s, of->from_s * 1e6, ARRIVES, g, 0);
        for (uint32_t c = 0; c < of->clients; c++) /* they come within 100 ms, or spread over their pause */
            post(s, of->from_s * 1e6 + uniform(s) * (of->think_ms > 100 ? of->think_ms : 100) * 1000, ARRIVES,
                 g, c);
    }
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile(struct samples *l, double share)
{
    if (!l->count)
        return 0;
    qsort(l->ms, l->count, sizeof *l->ms, by_value);
    size_t at = (size_t)(share * (double)l->count);
    return (double)l->ms[at < l->count ? at : l->count - 1];
}

static void report(struct sim *s)
{
    for (unsigned g = 0; g < MODEL_GROUPS_MAX; g++) {
        s->result->groups[g].p50_ms = quantile(&s->samples[g], 0.5);
        s->result->groups[g].p99_ms = quantile(&s->samples[g], 0.99);
        free(s->samples[g].ms);
    }
    s->result->origin_p99_ms = quantile(&s->origin, 0.99);
    s->result->used = s->busy_us / (double)(s->end_us - s->warm_us);
    s->result->limit_mean = s->limit_looks ? s->limit_sum / (double)s->limit_looks : 0;
}

void model_run(const struct model *m, struct model_result *ret)
{
    struct sim *s = calloc(1, sizeof *s);
    must(s);
    *ret = (struct model_result){0};
    *s = (struct sim){.m = m, .result = ret, .random = m->seed, .slower = 1, .servers = m->servers};
    s->warm_us = (uint64_t)(m->warm_s * 1e6);
    s->end_us = (uint64_t)(m->end_s * 1e6);
    s->requests = calloc(REQUESTS_MAX, sizeof *s->requests);
    s->queue = calloc(REQUESTS_MAX, sizeof *s->queue);
    s->active = calloc(REQUESTS_MAX, sizeof *s->active);
    must(s->requests && s->queue && s->active);
    s->free_request = UINT32_MAX;
    for (uint32_t i = REQUESTS_MAX; i-- > 0;) {
        s->requests[i].next = s->free_request;
        s->free_request = i;
    }
    void *memory = gate_make(s);
    groups_start(s);
    while (s->events && s->heap[0].at_us <= s->end_us) {
        struct event e = pop(s);
        s->now = e.at_us;
        handle(s, &e);
    }
    s->now = s->end_us;
    advance(s);
    report(s);
    for (unsigned w = 0; w < m->workers; w++)
        admission_free(s->workers[w]);
    free(memory);
    free(s->requests);
    free(s->queue);
    free(s->active);
    free(s->heap);
    free(s->origin.ms);
    free(s);
}
