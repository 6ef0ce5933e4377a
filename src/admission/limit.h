/* admission/limit.h - how many requests a pool takes at once, found from latency.
 *
 * The upstream answers in its own time as long as it has room; beyond that point (the knee) every further
 * request only waits inside it. With N requests at it, latency R and a wait W inside, N W / R of them wait
 * there (Little's law). The limit is kept where about one in 64 waits, and at least half a request. Why each
 * part is as it is:
 *
 *  - W is measured twice: by the mean of all answers, which is exact but uneven latency blurs it, and by
 * their quickest quarter, which slow kinds, two humps and a few lame requests do not move. Each is held
 * against the base of the request's own kind: its latency without a queue. A measure counts where it stands
 * outside its own statistical error. The limit falls when one of them shows a queue, and grows when the
 * quarter shows none and the mean does not contradict.
 *  - R is the geometric mean of the whole mean latency (right when requests queue for a place) and of the
 * quarter's (right when they share a processor, which stretches each by the same factor).
 *  - A base falls when latency is clearly below it. It rises only when the pool has at most
 * half of the limit in use the whole time, for then nothing queues. No phase with fewer requests is ever
 * forced.
 *  - The limit grows only when it was in the way: an idle or half-used pool keeps what it had.
 *  - A shrink is an experiment: with a queue, latency falls as N falls. If it falls less than half as much,
 * the limit goes back, and if latency does not rise with it either, the upstream has become slower for
 * another reason, and the base is moved there. So a wrong base, or an upstream whose latency rises smoothly
 * with its load, does not pull the limit down for ever.
 *  - Rarely (every 16 to 256 epochs) and only while requests wait, the limit is raised by a tenth for an
 * epoch, the same experiment upwards. It costs a few per cent of latency and refuses nobody.
 *
 * An epoch is as many answers as the limit, at least 16, and begins when what was sent under the former limit
 * is out. Invariants: least <= limit <= most; one change is at most to 0.7 or to twice and one; without
 * samples nothing changes. Whoever counts the last sample of an epoch ends it; nobody waits for anybody. */
#ifndef POLDER_ADMISSION_LIMIT_H
#define POLDER_ADMISSION_LIMIT_H

#include "admission/queue.h"

enum limit_phase { LIMIT_START, LIMIT_STEADY, LIMIT_SHRINKING, LIMIT_PROBING };

static inline uint32_t limit_slots(const struct pool *p)
{
    uint32_t slots = area_get32(&p->shared->limit.slots);
    slots = slots ? slots : p->first;
    return slots < p->least ? p->least : slots > p->most ? p->most : slots;
}

/* So many were in use after a request was let through. */
static inline void limit_note_use(struct pool *p, uint32_t used)
{
    if (used > area_get32(&p->shared->limit.peak))
        area_set32(&p->shared->limit.peak, used);
}

/* A request could not go because of the limit. */
static inline void limit_note_full(struct pool *p)
{
    if (!area_get32(&p->shared->limit.full))
        area_set32(&p->shared->limit.full, 1);
}

/* A heavy request could not go because of what is kept free for others (reserve.h). */
static inline void limit_note_heavy_full(struct pool *p)
{
    if (!area_get32(&p->shared->limit.heavy_full))
        area_set32(&p->shared->limit.heavy_full, 1);
}

/* An answer came after latency_us, or none came in time. */
void limit_note_answer(struct pool *, unsigned kind, uint64_t latency_us, bool is_timeout, uint64_t now_us);

#endif
