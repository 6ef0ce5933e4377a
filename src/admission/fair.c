/* admission/fair.c - what the workers tell each other of their waiting requests, and who of them is first.
 *
 * Of one request: bits 0-15 its flow, 16-19 its band, 20-31 how many wait (4095: or more), 32-47 since when
 * the oldest waits, in units of 8.2 ms, 48-63 the flow's turn in which this worker last served it. It and its
 * tag are two cells and not read together: a torn pair makes a wrong order once, never a wrong count of
 * slots. */
#include "admission/fair.h"

#include "admission/slots.h"

enum { WAITING_MOST = 4095 };

struct want {
    uint64_t tag;
    uint16_t flow, waiting, since, turn;
    uint8_t band, lane, worker;
};

void fair_publish(struct area_pool *p, unsigned worker, unsigned lane, const struct queue *q,
                  unsigned waiting)
{
    uint64_t bit = UINT64_C(1) << worker;
    if (!q) {
        if (area_get(&p->wanting[lane]) & bit)
            atomic_fetch_and(&p->wanting[lane], ~bit);
        return;
    }
    uint64_t what = q->flow | (uint64_t)(unsigned)__builtin_ctz(q->mask) << 16 |
                    (uint64_t)(waiting < WAITING_MOST ? waiting : WAITING_MOST) << 20 |
                    (queue_oldest(q)->since_us >> 13 & 0xffff) << 32 | (uint64_t)q->last_turn << 48;
    area_set(&p->want_what[lane][worker], what);
    area_set(&p->want_tag[lane][worker], q->key);
    if (!(area_get(&p->wanting[lane]) & bit))
        atomic_fetch_or(&p->wanting[lane], bit);
}

unsigned fair_band(const struct area_pool *p, unsigned worker, unsigned lane)
{
    return area_get(&p->want_what[lane][worker]) >> 16 & 15;
}

static bool want_read(const struct area_pool *p, const struct area_flow *flows, unsigned flow_count,
                      unsigned worker, unsigned lane, struct want *ret)
{
    uint64_t what = area_get(&p->want_what[lane][worker]);
    ret->flow = (uint16_t)what;
    if (ret->flow >= flow_count)
        return false;
    uint64_t finish = area_get(&flows[ret->flow].finish);
    ret->tag = area_get(&p->want_tag[lane][worker]);
    if (ret->tag < finish)
        ret->tag = finish;
    ret->band = (what >> 16) & 15;
    ret->waiting = (what >> 20) & WAITING_MOST;
    ret->since = (uint16_t)(what >> 32);
    ret->turn = (uint16_t)(what >> 48);
    ret->lane = (uint8_t)lane;
    ret->worker = (uint8_t)worker;
    return true;
}

static bool is_first(const struct want *a, const struct want *b) /* of two flows */
{
    return a->tag != b->tag ? a->tag < b->tag : (int16_t)(a->since - b->since) < 0;
}

/* Workers take turns, so that each is served at the same pace, and what it measures holds for what comes. */
static bool is_first_of_flow(const struct want *a, const struct want *b, bool is_oldest_turn)
{
    if (is_oldest_turn)
        return (int16_t)(a->since - b->since) < 0;
    return a->band != b->band ? a->band < b->band : (int16_t)(a->turn - b->turn) < 0;
}

/* One that was granted slots has asked for more than it got, or is left out. */
static bool may_choose(const struct area_pool *p, const struct want *w, bool is_second_look)
{
    uint32_t granted = slots_granted(atomic_load(&p->held[w->worker]));
    return is_second_look ? granted < w->waiting : granted == 0;
}

static bool better(const struct want *a, const struct want *b, const struct area_flow *flows,
                   bool is_same_flow)
{
    return is_same_flow ? is_first_of_flow(a, b, fair_is_oldest_turn(&flows[a->flow])) : is_first(a, b);
}

/* The best of all that wait, or of those of one flow. */
static bool search(const struct area_pool *p, const struct area_flow *flows, unsigned flow_count,
                   uint64_t workers, unsigned lanes, bool is_second_look, bool is_same_flow,
                   struct want *best)
{
    bool found = is_same_flow;
    for (unsigned lane = 0; lane < AREA_LANES; lane++) {
        uint64_t left = lanes >> lane & 1 ? atomic_load(&p->wanting[lane]) & workers : 0;
        for (; left; left &= left - 1) {
            struct want w;
            if (!want_read(p, flows, flow_count, (unsigned)__builtin_ctzll(left), lane, &w) ||
                !may_choose(p, &w, is_second_look) || (is_same_flow && w.flow != best->flow))
                continue;
            if (!found || better(&w, best, flows, is_same_flow))
                *best = w;
            found = true;
        }
    }
    return found;
}

/* First whose flow is due; then, among the workers in which that flow waits, whose band is first. In this
 * order the answer does not depend on where the search begins. */
static unsigned look(const struct area_pool *p, const struct area_flow *flows, unsigned flow_count,
                     unsigned workers, unsigned lanes, bool is_second_look, unsigned *ret_lane)
{
    uint64_t all = workers < 64 ? (UINT64_C(1) << workers) - 1 : UINT64_MAX;
    struct want best;
    if (!search(p, flows, flow_count, all, lanes, is_second_look, false, &best))
        return FAIR_NOBODY;
    if (workers > 1 || lanes == (1 << LANE_LIGHT | 1 << LANE_HEAVY))
        search(p, flows, flow_count, all, lanes, is_second_look, true, &best);
    *ret_lane = best.lane;
    return best.worker;
}

unsigned fair_first(const struct area_pool *p, const struct area_flow *flows, unsigned flow_count,
                    unsigned workers, unsigned lanes, unsigned *ret_lane)
{
    unsigned worker = look(p, flows, flow_count, workers, lanes, false, ret_lane);
    return worker != FAIR_NOBODY ? worker : look(p, flows, flow_count, workers, lanes, true, ret_lane);
}
