/* sys/loop.h - one event loop (epoll, edge triggered) with coarse timers. One a process, no threads.
 *
 * A timer costs nothing while it is only pushed forward: timer_set() stores the new moment and leaves the
 * wheel alone; the wheel looks again when the old moment comes.
 *
 * One turn: wait, read the clock once, all events, then timers that are due, then what was deferred. */
#ifndef POLDER_SYS_LOOP_H
#define POLDER_SYS_LOOP_H

#include "base/list.h"

#include <stdint.h>
#include <sys/epoll.h>

struct loop;

/* What epoll points at. Embed it; `ready` gets EPOLL* bits. */
struct io {
    void (*ready)(struct io *, uint32_t events);
    int fd; /* -1: closed */
    /* No other process holds this socket or file (say, it was accepted here and never passed on). Only then
     * does close(2) alone make epoll forget it; loop_close() then saves a system call. False is always safe.
     */
    bool is_sole;
};

struct timer {
    struct list node;
    uint64_t due_ms;    /* 0: not set */
    uint64_t queued_ms; /* when the wheel looks at it, never later than a tick after due_ms; 0: not on it */
    void (*fire)(struct timer *);
};

/* Runs once, after all events of this turn were handled. Deferred again from `run`: in the next turn. */
struct deferred {
    struct list node;
    void (*run)(struct deferred *);
};

struct loop *loop_new(void); /* NULL: errno */
void loop_free(struct loop *);
int loop_run(struct loop *);   /* until loop_stop; negative errno */
void loop_stop(struct loop *); /* the turn is finished first */

/* Adds fd with EPOLLET and the events given; never changed afterwards (edges are remembered by the owner).
 * Negative errno. */
int loop_add(struct loop *, struct io *, uint32_t events);
/* Takes it out of epoll without closing it; no event of this turn still reaches it. */
void loop_remove(struct loop *, struct io *);
/* Closes the fd (epoll forgets it) and makes sure that no event of this turn still reaches it. Fine when it
 * is closed already. */
void loop_close(struct loop *, struct io *);

uint64_t loop_now_us(const struct loop *); /* monotonic, read once a turn */
uint64_t loop_now_ms(const struct loop *);
int64_t loop_wall_us(const struct loop *);  /* microseconds since 1970, for logs and Date */
void loop_refresh_now(struct loop *);       /* after long work within a turn */
uint64_t loop_turn_us(const struct loop *); /* when what is read in this turn came, as far as can be told */
uint64_t loop_clock_us(void);               /* the clock itself, where a turn is too coarse */

void timer_init(struct timer *, void (*fire)(struct timer *));
/* Monotonic ms; never fires early, and late by one tick of 16 ms at most (by the turn's length more). */
void timer_set(struct loop *, struct timer *, uint64_t due_ms);
void timer_clear(struct loop *, struct timer *); /* fine when not set; its memory may go afterwards */
static inline bool timer_is_set(const struct timer *t)
{
    return t->due_ms != 0;
}

void deferred_init(struct deferred *, void (*run)(struct deferred *));
void loop_defer(struct loop *, struct deferred *); /* fine when already queued */
void loop_undefer(struct deferred *);              /* fine when not queued */
/* At the end of the first turn from then on, to the millisecond, where a timer's tick is too coarse. One in a
 * loop: the last call counts. */
void loop_defer_until(struct loop *, struct deferred *, uint64_t due_ms);
void loop_undefer_until(struct loop *);

#endif
