/* proxy/inspect_turns.c - who is inspected when: fibers, slices of time, and whose turn it is.
 *
 *  1. A phase runs at once while the inspections of this turn of the loop have used less than TURN_US, so
 * that a short one costs its request no wait. What is not over then waits in its cluster's list.
 *  2. Each turn of the loop ends with one slice for the cluster at the head of the round, which then goes to
 * its end: a cluster that posts a hundred large bodies gets as many slices as one that posts a single one.
 *  3. Inside a cluster those to begin and those under way take turns, each first come, first served.
 *  4. A fiber is held from a phase's begin to its end. They are bounded, for all and for each cluster; who
 * finds none waits without. */
#include "proxy/inspect_parts.h"

#include "base/must.h"

#include <stdlib.h>
#include <time.h>

enum {
    /* A slice is some pieces of work long, so that switching costs nothing beside it, and short beside the
     * 0.5 ms that nothing may hold the loop: a phase overruns its slice by one piece. */
    SLICE_US = 100,
    TURN_US = 250,
    FIBERS_PER_CLUSTER = 16,
    STACK_BYTES = 256 * 1024,
};

static uint64_t now_us(void)
{
    struct timespec t;
    must(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * 1'000'000 + (uint64_t)t.tv_nsec / 1000;
}

void inspect_cluster_init(struct inspect_cluster *c)
{
    *c = (struct inspect_cluster){0};
    list_init(&c->node);
    list_init(&c->fresh);
    list_init(&c->started);
}

/* ---- fibers */

static bool has_fiber(const struct inspector *i, const struct inspect_cluster *c)
{
    return c->fibers < FIBERS_PER_CLUSTER && (i->idle_count > 0 || i->fiber_count < INSPECT_FIBERS_MAX);
}

static bool take_fiber(struct inspection *in)
{
    struct inspector *i = in->ex->proxy->inspector;
    if (!has_fiber(i, in->cluster))
        return false;
    if (i->idle_count == 0) {
        struct fiber *made = fiber_new(STACK_BYTES);
        if (!made)
            return false;
        i->fiber_count++;
        i->idle_fibers[i->idle_count++] = made;
    }
    in->fiber = i->idle_fibers[--i->idle_count];
    in->cluster->fibers++;
    return true;
}

/* It may have paused in the middle: setting it anew forgets that. */
static void give_fiber_back(struct inspection *in)
{
    struct inspector *i = in->ex->proxy->inspector;
    i->idle_fibers[i->idle_count++] = in->fiber;
    in->cluster->fibers--;
    in->fiber = NULL;
}

/* ---- slices */

static void run_phase_of(void *context)
{
    inspect_phase(context);
}

static void slice(struct inspection *in)
{
    struct proxy *p = in->ex->proxy;
    struct inspector *i = p->inspector;
    uint64_t began_us = now_us();
    must(!i->running);
    i->running = in;
    i->slice_began_us = began_us;
    bool is_over = fiber_run(in->fiber);
    uint64_t took_us = now_us() - began_us;
    i->running = NULL;
    i->turn_spent_us += took_us;
    in->spent_us += took_us;
    in->slices++;
    COUNT(p, waf_slices_total);
    if (took_us > i->longest_us) {
        i->longest_us = took_us;
        counter_set(p->counts, COUNTER_waf_longest_slice_microseconds, took_us);
    }
    COUNT_BY(p, waf_microseconds_total, took_us);
    if (!is_over) {
        inspect_wait(in);
        return;
    }
    give_fiber_back(in);
    inspect_phase_over(in);
}

void inspect_pause(void *inspection)
{
    struct inspection *in = inspection;
    if (now_us() - in->ex->proxy->inspector->slice_began_us >= SLICE_US)
        fiber_pause(in->fiber);
}

static bool begin_phase(struct inspection *in)
{
    if (!in->fiber) {
        if (!take_fiber(in))
            return false;
        fiber_set(in->fiber, run_phase_of, in);
    }
    slice(in);
    return true;
}

void inspect_run(struct inspection *in)
{
    struct inspector *i = in->ex->proxy->inspector;
    uint64_t turn_us = loop_now_us(i->proxy->loop);
    if (turn_us != i->turn_us) {
        i->turn_us = turn_us;
        i->turn_spent_us = 0;
    }
    if (i->turn_spent_us >= TURN_US || !begin_phase(in))
        inspect_wait(in);
}

/* ---- the round */

void inspect_wait(struct inspection *in)
{
    struct inspector *i = in->ex->proxy->inspector;
    struct inspect_cluster *c = in->cluster;
    COUNT(i->proxy, waf_waits_total);
    list_push_back(in->fiber ? &c->started : &c->fresh, &in->node);
    if (list_is_empty(&c->node))
        list_push_back(&i->round, &c->node);
    loop_defer(i->proxy->loop, &i->turn);
}

void inspect_judge_later(struct inspection *in)
{
    struct inspector *i = in->ex->proxy->inspector;
    list_push_back(&i->judged, &in->node);
    loop_defer(i->proxy->loop, &i->turn);
}

static void leave_round_if_done(struct inspect_cluster *c)
{
    if (list_is_empty(&c->fresh) && list_is_empty(&c->started))
        list_remove(&c->node);
}

void inspect_stop(struct inspection *in)
{
    must(in->ex->proxy->inspector->running != in);
    list_remove(&in->node);
    if (in->fiber)
        give_fiber_back(in);
    leave_round_if_done(in->cluster);
}

/* NULL: it only has some to begin, and there is no fiber for them. */
static struct inspection *choose(const struct inspector *i, struct inspect_cluster *c)
{
    bool may_begin = !list_is_empty(&c->fresh) && has_fiber(i, c);
    struct list *from =
        may_begin && (!c->started_is_next || list_is_empty(&c->started)) ? &c->fresh : &c->started;
    c->started_is_next = from == &c->fresh;
    return list_is_empty(from) ? NULL : container_of(from->next, struct inspection, node);
}

/* The cluster at the head goes to the end, or out when this was its last. */
static struct inspection *next_of_round(struct inspector *i)
{
    const struct list *last = i->round.prev;
    for (bool again = !list_is_empty(&i->round); again;) {
        struct inspect_cluster *c = container_of(i->round.next, struct inspect_cluster, node);
        struct inspection *in = choose(i, c);
        again = &c->node != last;
        list_remove(&c->node);
        list_push_back(&i->round, &c->node);
        if (!in)
            continue;
        list_remove(&in->node);
        leave_round_if_done(c);
        return in;
    }
    return NULL;
}

void inspect_turn(struct deferred *d)
{
    struct inspector *i = container_of(d, struct inspector, turn);
    struct list judged;
    list_init(&judged);
    for (struct list *node; (node = list_pop_front(&i->judged));)
        list_push_back(&judged, node);
    for (struct list *node; (node = list_pop_front(&judged));)
        inspect_phase_over(container_of(node, struct inspection, node));
    struct inspection *in = next_of_round(i);
    if (in && !begin_phase(in))
        inspect_wait(in); /* no memory for a stack: others will give theirs back */
    if (!list_is_empty(&i->round) || !list_is_empty(&i->judged))
        loop_defer(i->proxy->loop, d);
}
