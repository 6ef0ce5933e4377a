/* proxy/admit.c - see admit.h: the steps of a request through admission, and who is let go when. */
#include "proxy/admit.h"

#include "proxy/admit_parts.h"
#include "proxy/classes.h"
#include "proxy/upstream.h"
#include "proxy/wake.h"

#include "admission/budget.h"
#include "base/must.h"

#include <stdlib.h>

enum {
    TICK_MS = 10,
    QUIET_TICKS = 3,              /* where nobody waits */
    POOL_FIRST = 6,               /* at a time, before anything is known */
    FIRST_RETRIES = 10,           /* that a pool may make before its requests have earned any */
    STREAMS_AFTER_US = 1'000'000, /* an answer that still comes then is no work of the upstream any more */
    SILENT_US = 1'000'000,        /* no answer came for so long: */
    GIVE_WAY_US = 50'000,         /* one gives way in so long */
    LONG_US = 400'000,            /* who has been inside for so long */
    GIVES_MOST = 8,
    HELD_LEAST_US = 50'000,
    /* On top of every latency: the time in which a busy loop comes to an answer would look like a queue at an
     * upstream that answers in less than that. */
    GRAIN_US = 4'000,
    HELD_MOST = 8192,
    STEP_ASIDE_S = 5, /* then it may come back */
};

static void tick(struct timer *t);
static void again(struct deferred *d);
static void pace(struct deferred *d);

struct admit *admit_new(struct proxy *p, void *memory, size_t size)
{
    struct admit *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->proxy = p;
    a->pools = calloc(ADMIT_POOLS, sizeof *a->pools);
    a->flows = calloc(ADMIT_FLOWS, sizeof *a->flows);
    list_init(&a->active);
    list_init(&a->ghosts);
    timer_init(&a->tick, tick);
    deferred_init(&a->pace, pace);
    deferred_init(&a->again, again);
    if (a->pools && a->flows && admit_memory_open(memory, size, &a->memory))
        a->core = admission_new(a->memory.area, a->memory.area_size, p->slot);
    if (a->core)
        return a;
    admit_free(a);
    return NULL;
}

void admit_free(struct admit *a)
{
    if (!a)
        return;
    if (a->core)
        admit_ghosts_end(a, UINT64_MAX);
    timer_clear(a->proxy->loop, &a->tick);
    loop_undefer_until(a->proxy->loop);
    loop_undefer(&a->pace);
    loop_undefer(&a->again);
    admission_free(a->core);
    free(a->pools);
    free(a->flows);
    free(a);
}

struct admission *admit_core(struct proxy *p)
{
    return p->admit ? p->admit->core : NULL;
}

/* ---- the places of a configuration */

void admit_pool_open(struct admit *a, unsigned pool, const struct config_upstream *u)
{
    unsigned least = u->concurrency_least, first = POOL_FIRST;
    first = first < least ? least : first > u->concurrency_most ? u->concurrency_most : first;
    admission_pool_set(a->core, pool, least, first, u->concurrency_most);
    if (!a->pools[pool].is_known)
        for (unsigned i = 0; i < FIRST_RETRIES; i++)
            admission_retry_earn(a->core, pool, 100);
    a->pools[pool].is_known = true;
}

bool admit_flow_open(struct admit *a, unsigned flow, unsigned pool, unsigned weight)
{
    struct admit_flow *f = &a->flows[flow];
    if (f->is_known && f->pool != pool && f->live)
        return false; /* requests of who had that place before are still under way */
    if (!admission_flow_set(a->core, flow, pool, weight))
        return false;
    f->is_known = true;
    f->pool = (uint16_t)pool;
    return true;
}

/* ---- who is let go */

static void set_tick(struct admit *a)
{
    a->ticked_us = loop_now_us(a->proxy->loop);
    timer_set(a->proxy->loop, &a->tick, loop_now_ms(a->proxy->loop) + TICK_MS);
}

static void be_active(struct admit *a, struct admit_pool *pool)
{
    if (pool->node.next)
        return;
    if (list_is_empty(&a->active))
        set_tick(a);
    list_push_back(&a->active, &pool->node);
    list_init(&pool->inside);
    list_init(&pool->uploads);
    pool->answered_us = loop_now_us(a->proxy->loop);
    pool->gives = 1;
}

static unsigned number_of(const struct admit *a, const struct admit_pool *pool)
{
    return (unsigned)(pool - a->pools);
}

static void wake_others(struct admit *a, unsigned pool)
{
    for (uint64_t wakes = admission_take_wakes(a->core, pool); wakes; wakes &= wakes - 1)
        wake_worker(a->proxy, (unsigned)__builtin_ctzll(wakes));
}

static void count_wait(struct exchange *ex)
{
    struct proxy *p = ex->proxy;
    uint64_t us = loop_now_us(p->loop) - ex->admit.ticket.since_us;
    p->admit->pools[p->admit->flows[ex->admit.ticket.flow].pool].waiting--;
    GAUGE_DOWN(p, admission_waiting);
    COUNT_BY(p, admission_wait_microseconds_total, us);
}

static void be_inside(struct admit_pool *pool, struct exchange *ex)
{
    pool->running++;
    list_push_back(&pool->inside, &ex->admit.inside);
    admit_upload_begin(pool, ex);
}

static void told(struct timer *t)
{
    struct exchange *ex = container_of(container_of(t, struct admit_ticket, held), struct exchange, admit);
    ex->proxy->admit->held--;
    ex->admit.state = ADMIT_OUTSIDE;
    exchange_refuse_with(ex, 503, REFUSAL_OVERLOAD);
}

/* False: it is told now. A person whom the application knows hears at once. */
static bool hold(struct exchange *ex)
{
    struct proxy *p = ex->proxy;
    struct admit_ticket *t = &ex->admit;
    uint64_t now_us = loop_now_us(p->loop), end_us = t->ticket.deadline_us;
    uint64_t left_us = end_us > now_us ? (end_us - now_us) / 8 * 7 : 0; /* not all at the same time */
    left_us -= left_us ? proxy_random(p) % (left_us / 8 + 1) : 0;
    if ((t->is_person && t->class <= ADMISSION_KNOWN) || left_us < HELD_LEAST_US ||
        p->admit->held >= HELD_MOST)
        return false;
    timer_init(&t->held, told);
    timer_set(p->loop, &t->held, (now_us + left_us) / 1000);
    t->state = ADMIT_HELD;
    p->admit->held++;
    return true;
}

static void let_go(struct admit *a, struct admission_ticket *t, enum admission_answer answer,
                   uint32_t retry_after_s)
{
    struct exchange *ex = container_of(container_of(t, struct admit_ticket, ticket), struct exchange, admit);
    count_wait(ex);
    if (answer == ADMISSION_GO) {
        ex->admit.state = ADMIT_INSIDE;
        be_inside(&a->pools[a->flows[t->flow].pool], ex);
        exchange_admitted(ex);
        return;
    }
    a->flows[t->flow].live--;
    ex->admit.state = ADMIT_OUTSIDE;
    ex->admit.retry_after_s = retry_after_s;
    COUNT(a->proxy, admission_refused_late_total);
    if (!hold(ex))
        exchange_refuse_with(ex, 503, REFUSAL_OVERLOAD);
}

/* The next one may go then. */
static void set_pace(struct admit *a, uint64_t at_us)
{
    uint64_t at_ms = (at_us + 999) / 1000;
    if (a->pace_ms && a->pace_ms <= at_ms)
        return;
    a->pace_ms = at_ms;
    loop_defer_until(a->proxy->loop, &a->pace, at_ms);
}

/* From the top of the loop only. What is let go may leave at once: the next one is asked for until there is
 * none. */
static void let_all_go(struct admit *a, struct admit_pool *pool)
{
    unsigned number = number_of(a, pool);
    struct admission_ticket *t;
    enum admission_answer answer;
    uint32_t retry_after_s;
    pool->is_due = false;
    while ((t = admission_next(a->core, number, loop_now_us(a->proxy->loop), &answer, &retry_after_s)))
        let_go(a, t, answer, retry_after_s);
    wake_others(a, number);
    uint64_t at_us = admission_next_at_us(a->core, number, loop_now_us(a->proxy->loop));
    if (at_us)
        set_pace(a, at_us);
}

static void pace(struct deferred *d)
{
    struct admit *a = container_of(d, struct admit, pace);
    a->pace_ms = 0;
    for (struct list *at = a->active.next, *next; at != &a->active; at = next) {
        struct admit_pool *pool = container_of(at, struct admit_pool, node);
        next = at->next;
        if (pool->waiting)
            let_all_go(a, pool);
    }
}

static void again(struct deferred *d)
{
    struct admit *a = container_of(d, struct admit, again);
    for (struct list *at = a->active.next, *next; at != &a->active; at = next) {
        struct admit_pool *pool = container_of(at, struct admit_pool, node);
        next = at->next;
        if (pool->is_due)
            let_all_go(a, pool);
    }
}

/* Something changed at this pool. Where nobody of this worker waits, others may have to hear of it. */
static void look_again(struct admit *a, struct admit_pool *pool)
{
    enum admission_answer answer;
    uint32_t retry_after_s;
    if (!pool->waiting) {
        unsigned number = number_of(a, pool);
        must(!admission_next(a->core, number, loop_now_us(a->proxy->loop), &answer, &retry_after_s));
        wake_others(a, number);
        return;
    }
    pool->is_due = true;
    loop_defer(a->proxy->loop, &a->again);
}

static void leave_untold(struct admit_ticket *t)
{
    t->is_overloaded = false;
    t->head_us = 0; /* nothing is learned of it */
    admit_leave(container_of(t, struct exchange, admit));
}

static bool is_full(struct admit *a, struct admit_pool *pool)
{
    struct admission_view view;
    admission_look(a->core, number_of(a, pool), &view);
    return view.in_use + view.granted >= view.limit;
}

static struct admit_ticket *oldest_inside(struct admit_pool *pool)
{
    return list_is_empty(&pool->inside) ? NULL : container_of(pool->inside.next, struct admit_ticket, inside);
}

/* Who is inside longest gives its slot to others when its answer streams, or when nothing is answered at all:
 * one, and soon more at a time as the silence lasts. */
static void give_way(struct admit *a, struct admit_pool *pool, uint64_t now_us)
{
    struct admit_ticket *t = oldest_inside(pool);
    if (t && t->head_us && now_us - t->head_us > STREAMS_AFTER_US)
        leave_untold(t);
    if (now_us - pool->answered_us <= SILENT_US || !is_full(a, pool))
        return;
    pool->answered_us = now_us - SILENT_US + GIVE_WAY_US;
    for (unsigned n = 0; n < pool->gives; n++) {
        t = oldest_inside(pool);
        if (!t || now_us - t->ticket.started_us <= LONG_US)
            return;
        leave_untold(t);
    }
    pool->gives = pool->gives < GIVES_MOST ? pool->gives * 2 : GIVES_MOST;
}

static void tick(struct timer *t)
{
    struct admit *a = container_of(t, struct admit, tick);
    uint64_t now_us = loop_now_us(a->proxy->loop);
    admit_note_lateness(a, (now_us - a->ticked_us) / 1000, now_us);
    admit_ghosts_end(a, now_us);
    a->ticks++;
    for (struct list *at = a->active.next, *next; at != &a->active; at = next) {
        struct admit_pool *pool = container_of(at, struct admit_pool, node);
        next = at->next;
        if (!pool->waiting && (a->ticks + number_of(a, pool)) % QUIET_TICKS)
            continue;
        admission_tick(a->core, number_of(a, pool), now_us);
        admit_uploads_look(a, pool, now_us);
        give_way(a, pool, now_us);
        let_all_go(a, pool);
        if (!pool->waiting && !pool->running) {
            list_remove(&pool->node);
            pool->node = (struct list){0};
        }
    }
    if (!list_is_empty(&a->active))
        set_tick(a);
}

void admit_woken(struct proxy *p)
{
    struct admit *a = p->admit;
    for (struct list *at = a ? a->active.next : NULL, *next; a && at != &a->active; at = next) {
        next = at->next;
        let_all_go(a, container_of(at, struct admit_pool, node));
    }
}

/* ---- the steps of a request */

static void count_class(struct proxy *p, enum admission_class class)
{
    static const enum counter by_class[] = {COUNTER_requests_partner_total, COUNTER_requests_known_total,
                                            COUNTER_requests_unknown_total, COUNTER_requests_suspect_total,
                                            COUNTER_requests_suspect_total};
    counter_inc(p->counts, by_class[class]);
}

enum admission_answer admit_enter(struct exchange *ex)
{
    struct proxy *p = ex->proxy;
    struct admit *a = p->admit;
    const struct admit_route *r = admit_route_of(ex);
    struct admit_pool *pool = &a->pools[r->pool];
    struct admission_request request = ex->admit.asked;
    if (!ex->admit.end_waits) { /* else the bytes of its head are gone: the body took their place */
        admit_describe(ex, &request);
        count_class(p, request.class);
    }
    ex->admit.asked = request;
    ex->admit.class = (uint8_t)request.class;
    ex->admit.is_person = request.criticality <= ADMISSION_PERSON_READ;
    enum admission_answer answer =
        admission_enter(a->core, &ex->admit.ticket, &request, loop_now_us(p->loop), &ex->admit.retry_after_s);
    be_active(a, pool);
    if (answer == ADMISSION_REFUSE) {
        COUNT(p, admission_refused_total);
        return hold(ex) ? ADMISSION_WAIT : ADMISSION_REFUSE;
    }
    a->flows[r->flow].live++;
    ex->admit.state = answer == ADMISSION_GO ? ADMIT_INSIDE : ADMIT_WAITS;
    if (answer == ADMISSION_GO) {
        be_inside(pool, ex);
        return answer;
    }
    pool->waiting++;
    COUNT(p, admission_waits_total);
    GAUGE_UP(p, admission_waiting);
    look_again(a, pool);
    return answer;
}

void admit_sent(struct exchange *ex)
{
    if (!ex->admit.sent_us)
        ex->admit.sent_us = loop_clock_us();
}

void admit_answered(struct exchange *ex)
{
    uint64_t came_us = loop_turn_us(ex->proxy->loop), sent_us = ex->admit.sent_us;
    ex->admit.head_us = sent_us && came_us <= sent_us ? sent_us + 1 : came_us;
    if (ex->admit.state == ADMIT_INSIDE) {
        struct admit_pool *pool = &ex->proxy->admit->pools[admit_route_of(ex)->pool];
        pool->answered_us = ex->admit.head_us;
        pool->gives = 1;
    }
    ex->admit.is_refused = ex->admit.class >= ADMISSION_UNKNOWN && ex->resp.status / 100 == 4;
    ex->admit.is_overloaded = ex->resp.status == 503 || ex->resp.status == 504;
    if (ex->admit.state == ADMIT_INSIDE && (ex->tunnel || admit_is_event_stream(ex)))
        admit_leave(ex);
}

void admit_passes_body(struct exchange *ex)
{
    if (ex->admit.state == ADMIT_INSIDE &&
        (ex->answer_paused || loop_now_us(ex->proxy->loop) - ex->admit.head_us > STREAMS_AFTER_US))
        admit_leave(ex);
}

void admit_timed_out(struct exchange *ex)
{
    ex->admit.is_overloaded = true;
    if (!ex->admit.head_us)
        ex->admit.head_us = loop_now_us(ex->proxy->loop);
}

/* Nothing is learned of a request whose answer came before it was sent whole, or that ended otherwise. */
static enum admission_outcome outcome_of(const struct admit_ticket *t, uint64_t *ret_latency_us)
{
    bool is_known = t->sent_us && t->head_us > t->sent_us;
    *ret_latency_us = is_known ? t->head_us - t->sent_us + GRAIN_US : 0;
    if (t->is_overloaded)
        return ADMISSION_TIMED_OUT;
    if (t->is_refused) /* strangers would teach it what nothing costs */
        return ADMISSION_FAILED;
    return is_known ? ADMISSION_ANSWERED : ADMISSION_FAILED;
}

void admit_leave(struct exchange *ex)
{
    struct admit *a = ex->proxy->admit;
    enum admit_state was = (enum admit_state)ex->admit.state;
    uint64_t latency_us;
    admit_collected(ex);
    admit_end_goes(ex);
    if (was == ADMIT_OUTSIDE)
        return;
    if (was == ADMIT_HELD) {
        timer_clear(ex->proxy->loop, &ex->admit.held);
        ex->admit.state = ADMIT_OUTSIDE;
        a->held--;
        return;
    }
    struct admit_flow *f = &a->flows[ex->admit.ticket.flow];
    struct admit_pool *pool = &a->pools[f->pool];
    ex->admit.state = ADMIT_OUTSIDE;
    if (was == ADMIT_WAITS) {
        count_wait(ex);
        admission_cancel(a->core, &ex->admit.ticket);
    } else {
        enum admission_outcome outcome = outcome_of(&ex->admit, &latency_us);
        pool->running--;
        list_remove(&ex->admit.inside);
        list_remove(&ex->admit.upload);
        admission_leave(a->core, &ex->admit.ticket, outcome, latency_us, loop_now_us(ex->proxy->loop));
    }
    f->live--;
    look_again(a, pool);
}

bool admit_step_aside(struct exchange *ex)
{
    admit_leave(ex);
    if (!ex->admit.retry_after_s)
        ex->admit.retry_after_s = STEP_ASIDE_S;
    return hold(ex);
}

void admit_abandon(struct exchange *ex)
{
    struct admit_ticket *t = &ex->admit;
    if (t->state == ADMIT_WAITS || t->state == ADMIT_HELD)
        admission_note_left(ex->proxy->admit->core, &t->ticket, loop_now_us(ex->proxy->loop));
    if (t->state == ADMIT_INSIDE && t->sent_us && !t->head_us &&
        admit_ghost_begin(ex->proxy->admit, &t->ticket)) {
        list_remove(&t->inside);
        list_remove(&t->upload);
        t->state = ADMIT_OUTSIDE;
        return;
    }
    admit_leave(ex);
}

unsigned admit_waiting(const struct exchange *ex)
{
    return ex->proxy->admit->pools[admit_route_of(ex)->pool].waiting;
}

/* ---- retries */

void admit_retry_earn(struct exchange *ex)
{
    admission_retry_earn(ex->proxy->admit->core, admit_route_of(ex)->pool,
                         ex->pool->config->retry_budget_percent);
}

bool admit_retry_take(struct exchange *ex)
{
    return admission_retry_take(ex->proxy->admit->core, admit_route_of(ex)->pool);
}
