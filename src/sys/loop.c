/* sys/loop.c - epoll, a hashed timing wheel and a list of deferred work.
 *
 * The wheel is after Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987), scheme 6, with two
 * liberties: a timer further away than one round waits in the last slot and is looked at again there, and a
 * timer that was pushed forward stays where it is until its old slot comes up.
 *
 * What always holds:
 * 1. The wheel has been turned up to tick `done`; a queued timer stands in a slot of (done, done + SLOTS).
 * 2. A slot's bit is set exactly when its list is not empty; a word's bit in `summary` exactly when the word
 *    is not zero.
 * 3. While events are handled, entries after `at` whose io was closed or removed are NULL. */
#include "sys/loop.h"

#include "base/must.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_MS = 16,
    SLOTS = 4096, /* one round: 65.5 s */
    WORD_BITS = 64,
    WORDS = SLOTS / WORD_BITS,
    EVENTS_A_TURN = 512,
    SLEPT_US = 20,             /* epoll did not answer at once */
    WALL_REFRESH_US = 100'000, /* how long a step of the wall clock may go unseen */
};

struct wheel {
    uint64_t done; /* the last tick that was looked at */
    uint64_t summary;
    uint64_t words[WORDS];
    struct list slots[SLOTS];
};

_Static_assert(WORDS == WORD_BITS, "one summary word covers the bitmap");

struct loop {
    int epoll_fd;
    bool is_stopped;
    unsigned at, count;                         /* of the events of this turn */
    uint64_t now_us, now_ms, turn_us, begun_us; /* turn_us: see loop_turn_us; begun_us: this turn */
    struct deferred *soon;
    uint64_t soon_ms; /* when `soon` is due */
    int64_t wall_minus_now_us;
    uint64_t wall_read_us;
    struct list deferred;
    struct epoll_event events[EVENTS_A_TURN];
    struct wheel wheel;
};

/* -- clock */

static int64_t clock_read_us(clockid_t clock)
{
    struct timespec t;
    must(clock_gettime(clock, &t) == 0);
    return t.tv_sec * INT64_C(1'000'000) + t.tv_nsec / 1000;
}

static void refresh_wall(struct loop *l)
{
    l->wall_minus_now_us = clock_read_us(CLOCK_REALTIME) - (int64_t)l->now_us;
    l->wall_read_us = l->now_us;
}

void loop_refresh_now(struct loop *l)
{
    l->now_us = (uint64_t)clock_read_us(CLOCK_MONOTONIC);
    l->now_ms = l->now_us / 1000;
    if (l->now_us - l->wall_read_us >= WALL_REFRESH_US)
        refresh_wall(l);
}

uint64_t loop_now_us(const struct loop *l)
{
    return l->now_us;
}

uint64_t loop_turn_us(const struct loop *l)
{
    return l->turn_us;
}

uint64_t loop_clock_us(void)
{
    return (uint64_t)clock_read_us(CLOCK_MONOTONIC);
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_ms;
}

int64_t loop_wall_us(const struct loop *l)
{
    return (int64_t)l->now_us + l->wall_minus_now_us;
}

/* -- wheel */

static void wheel_init(struct wheel *w, uint64_t now_ms)
{
    w->done = now_ms / TICK_MS;
    for (unsigned i = 0; i < SLOTS; i++)
        list_init(&w->slots[i]);
}

static void wheel_mark(struct wheel *w, unsigned slot)
{
    w->words[slot / WORD_BITS] |= UINT64_C(1) << slot % WORD_BITS;
    w->summary |= UINT64_C(1) << slot / WORD_BITS;
}

static void wheel_unmark(struct wheel *w, unsigned slot)
{
    unsigned word = slot / WORD_BITS;
    w->words[word] &= ~(UINT64_C(1) << slot % WORD_BITS);
    if (!w->words[word])
        w->summary &= ~(UINT64_C(1) << word);
}

/* The lowest set bit at or above `from`, or -1. */
static int bit_from(uint64_t bits, unsigned from)
{
    if (from >= WORD_BITS)
        return -1;
    bits &= ~UINT64_C(0) << from;
    return bits ? __builtin_ctzll(bits) : -1;
}

/* The first slot at or above `from` (not wrapping) that holds a timer, or -1. */
static int wheel_slot_from(const struct wheel *w, unsigned from)
{
    unsigned word = from / WORD_BITS;
    int bit = bit_from(w->words[word], from % WORD_BITS);
    if (bit >= 0)
        return (int)(word * WORD_BITS) + bit;
    int later = bit_from(w->summary, word + 1);
    return later < 0 ? -1 : later * WORD_BITS + __builtin_ctzll(w->words[later]);
}

/* The first tick after `done` with a timer in its slot; UINT64_MAX: no timer at all. */
static uint64_t wheel_next_tick(const struct wheel *w)
{
    if (!w->summary)
        return UINT64_MAX;
    unsigned from = (unsigned)((w->done + 1) % SLOTS);
    int slot = wheel_slot_from(w, from);
    if (slot < 0)
        slot = wheel_slot_from(w, 0);
    return w->done + 1 + ((unsigned)slot - from) % SLOTS;
}

static void wheel_put(struct wheel *w, struct timer *t)
{
    uint64_t tick = t->due_ms / TICK_MS + (t->due_ms % TICK_MS != 0); /* rounded up: never early */
    if (tick <= w->done)
        tick = w->done + 1;
    if (tick >= w->done + SLOTS)
        tick = w->done + SLOTS - 1;
    t->queued_ms = tick * TICK_MS;
    unsigned slot = (unsigned)(tick % SLOTS);
    list_push_back(&w->slots[slot], &t->node);
    wheel_mark(w, slot);
}

static void wheel_take(struct wheel *w, struct timer *t)
{
    unsigned slot = (unsigned)(t->queued_ms / TICK_MS % SLOTS);
    list_remove(&t->node);
    t->queued_ms = 0;
    if (list_is_empty(&w->slots[slot]))
        wheel_unmark(w, slot);
}

/* Appends all of `from`, which is empty afterwards. */
static void list_move_all(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* Takes every timer whose slot has come up to `tick` into `ret`, which is an empty list. */
static void wheel_collect(struct wheel *w, uint64_t tick, struct list *ret)
{
    for (uint64_t next; (next = wheel_next_tick(w)) <= tick;) {
        unsigned slot = (unsigned)(next % SLOTS);
        list_move_all(ret, &w->slots[slot]);
        wheel_unmark(w, slot);
    }
    w->done = tick;
}

static void fire_timers(struct loop *l)
{
    struct wheel *w = &l->wheel;
    uint64_t tick = l->now_ms / TICK_MS;
    if (tick == w->done)
        return;
    struct list due;
    list_init(&due);
    wheel_collect(w, tick, &due);
    for (struct list *node; (node = list_pop_front(&due));) {
        struct timer *t = container_of(node, struct timer, node);
        t->queued_ms = 0;
        if (t->due_ms > l->now_ms) {
            wheel_put(w, t);
            continue;
        }
        t->due_ms = 0;
        t->fire(t);
    }
}

void timer_init(struct timer *t, void (*fire)(struct timer *))
{
    *t = (struct timer){.fire = fire};
    list_init(&t->node);
}

void timer_set(struct loop *l, struct timer *t, uint64_t due_ms)
{
    t->due_ms = due_ms ? due_ms : 1; /* 0 means not set; both are long ago */
    if (t->queued_ms) {
        if (due_ms > t->queued_ms - TICK_MS)
            return; /* the wheel looks at it in time */
        wheel_take(&l->wheel, t);
    }
    wheel_put(&l->wheel, t);
}

void timer_clear(struct loop *l, struct timer *t)
{
    t->due_ms = 0;
    if (t->queued_ms)
        wheel_take(&l->wheel, t);
}

/* -- deferred */

void deferred_init(struct deferred *d, void (*run)(struct deferred *))
{
    list_init(&d->node);
    d->run = run;
}

void loop_defer(struct loop *l, struct deferred *d)
{
    if (list_is_empty(&d->node))
        list_push_back(&l->deferred, &d->node);
}

void loop_undefer(struct deferred *d)
{
    list_remove(&d->node);
}

void loop_defer_until(struct loop *l, struct deferred *d, uint64_t due_ms)
{
    l->soon = d;
    l->soon_ms = due_ms;
}

void loop_undefer_until(struct loop *l)
{
    l->soon = NULL;
}

static void run_deferred(struct loop *l)
{
    if (list_is_empty(&l->deferred))
        return;
    struct list now;
    list_init(&now);
    list_move_all(&now, &l->deferred);
    for (struct list *node; (node = list_pop_front(&now));) {
        struct deferred *d = container_of(node, struct deferred, node);
        d->run(d);
    }
}

/* -- descriptors */

int loop_add(struct loop *l, struct io *io, uint32_t events)
{
    struct epoll_event event = {.events = events | EPOLLET, .data.ptr = io};
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, io->fd, &event) ? -errno : 0;
}

/* The owner may free the io as soon as it is out: what epoll already told about it must not be followed. */
static void drop_pending_events(struct loop *l, const struct io *io)
{
    for (unsigned i = l->at + 1; i < l->count; i++)
        if (l->events[i].data.ptr == io)
            l->events[i].data.ptr = NULL;
}

void loop_remove(struct loop *l, struct io *io)
{
    if (io->fd < 0)
        return;
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL); /* ENOENT: it never came in, which is as good */
    drop_pending_events(l, io);
}

void loop_close(struct loop *l, struct io *io)
{
    if (io->fd < 0)
        return;
    /* epoll watches the open file, not the number: as long as another process holds the same file, its
     * events go on after our close, with a pointer to an io that may be gone. */
    if (!io->is_sole)
        epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
    close(io->fd);
    io->fd = -1;
    drop_pending_events(l, io);
}

/* -- turning */

struct loop *loop_new(void)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0) {
        free(l);
        return NULL;
    }
    list_init(&l->deferred);
    loop_refresh_now(l);
    refresh_wall(l);
    wheel_init(&l->wheel, l->now_ms);
    return l;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    close(l->epoll_fd);
    free(l);
}

void loop_stop(struct loop *l)
{
    l->is_stopped = true;
}

/* How long epoll may sleep, in the unit and with the meaning of epoll_wait(2). */
static int wait_ms(const struct loop *l)
{
    if (!list_is_empty(&l->deferred))
        return 0;
    uint64_t tick = wheel_next_tick(&l->wheel), at_ms = tick == UINT64_MAX ? tick : tick * TICK_MS;
    if (l->soon && l->soon_ms < at_ms)
        at_ms = l->soon_ms;
    if (at_ms == UINT64_MAX)
        return -1;
    return at_ms > l->now_ms ? (int)(at_ms - l->now_ms) : 0; /* at most one round: fits */
}

static void handle_events(struct loop *l)
{
    for (l->at = 0; l->at < l->count; l->at++) {
        /* Between two events of thousands of connections the next one has left the cache. */
        if (l->at + 1 < l->count)
            __builtin_prefetch(l->events[l->at + 1].data.ptr);
        struct io *io = l->events[l->at].data.ptr;
        if (io)
            io->ready(io, l->events[l->at].events);
    }
    l->count = 0;
}

/* What waited already when epoll was asked came at some time of the turn before. */
static void note_turn(struct loop *l, uint64_t asked_us)
{
    bool has_slept = l->now_us - asked_us > SLEPT_US;
    l->turn_us = has_slept ? l->now_us : asked_us - (asked_us - l->begun_us) / 2;
    l->begun_us = l->now_us;
}

int loop_run(struct loop *l)
{
    l->is_stopped = false;
    l->begun_us = l->now_us;
    while (!l->is_stopped) {
        uint64_t asked_us = loop_clock_us();
        int n = epoll_wait(l->epoll_fd, l->events, EVENTS_A_TURN, wait_ms(l));
        if (n < 0 && errno != EINTR)
            return -errno;
        l->count = n > 0 ? (unsigned)n : 0;
        loop_refresh_now(l);
        note_turn(l, asked_us);
        handle_events(l);
        fire_timers(l);
        if (l->soon && l->now_ms >= l->soon_ms) {
            loop_defer(l, l->soon);
            l->soon = NULL;
        }
        run_deferred(l);
    }
    return 0;
}
