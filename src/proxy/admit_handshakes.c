/* proxy/admit_handshakes.c - see admit_handshakes.h. */
#include "proxy/admit_handshakes.h"

#include "proxy/classes.h"

#include "base/must.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum {
    HANDSHAKES_WAITING = 1024,
    SLICE_US = 1000,     /* of one turn */
    WINDOW_US = 100'000, /* over which the CPU of known users is measured */
    SHARE_LEAST = 50,    /* permille of the CPU */
    SHARE_MOST = 950,
    TOKENS_MOST_US = 20'000,
    KNOWN_LASTS_US = 2'000'000, /* nobody known for so long: strangers may have it all */
    SIGNING_FIRST = 16,
    SIGNING_LEAST = 2,
    SIGNING_MOST = 64,
    SIGNING_US = 3000, /* a signature that takes longer says that too many are asked for */
    REFILL_MS = 10,
};

struct handshakes {
    struct proxy *proxy;
    struct list waiting[2]; /* client.turn: unknown ones, suspects */
    unsigned count;
    unsigned signing, signing_most;
    struct deferred again;
    struct timer refill;
    uint64_t known_us; /* when somebody known was last here */
    int64_t tokens_us;
    uint64_t refilled_us;
    unsigned share; /* permille */
    uint64_t window_us, window_cpu_us,
        spent_us; /* of this window: when it began, CPU then, strangers' since */
};

static void again(struct deferred *d);
static void refill_due(struct timer *t);

struct handshakes *handshakes_new(struct proxy *p)
{
    struct handshakes *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->proxy = p;
    h->signing_most = SIGNING_FIRST;
    h->share = SHARE_MOST;
    list_init(&h->waiting[0]);
    list_init(&h->waiting[1]);
    deferred_init(&h->again, again);
    timer_init(&h->refill, refill_due);
    return h;
}

void handshakes_free(struct handshakes *h)
{
    if (!h)
        return;
    loop_undefer(&h->again);
    timer_clear(h->proxy->loop, &h->refill);
    free(h);
}

void handshakes_known_is_here(struct proxy *p)
{
    p->handshakes->known_us = loop_now_us(p->loop);
}

/* ---- the budget */

static uint64_t cpu_us(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0
               ? (uint64_t)t.tv_sec * 1'000'000 + (uint64_t)t.tv_nsec / 1000
               : 0;
}

/* What everything else took of the last window is theirs in this one too. */
static void measure(struct handshakes *h, uint64_t now_us)
{
    uint64_t cpu = cpu_us(), elapsed = now_us - h->window_us;
    uint64_t others = cpu - h->window_cpu_us > h->spent_us ? cpu - h->window_cpu_us - h->spent_us : 0;
    uint64_t left = others < elapsed ? (elapsed - others) * 1000 / elapsed : 0;
    h->share = left < SHARE_LEAST ? SHARE_LEAST : left > SHARE_MOST ? SHARE_MOST : (unsigned)left;
    h->window_us = now_us;
    h->window_cpu_us = cpu;
    h->spent_us = 0;
}

static void refill(struct handshakes *h)
{
    uint64_t now_us = loop_now_us(h->proxy->loop), elapsed = now_us - h->refilled_us;
    if (now_us - h->window_us >= WINDOW_US)
        measure(h, now_us);
    elapsed = elapsed < WINDOW_US ? elapsed : WINDOW_US;
    h->tokens_us += (int64_t)(elapsed * h->share / 1000);
    h->tokens_us = h->tokens_us < TOKENS_MOST_US ? h->tokens_us : TOKENS_MOST_US;
    h->refilled_us = now_us;
}

static bool has_tokens(const struct handshakes *h)
{
    return h->tokens_us > 0 || loop_now_us(h->proxy->loop) - h->known_us > KNOWN_LASTS_US;
}

static void charge(struct handshakes *h, uint64_t us)
{
    h->tokens_us -= (int64_t)us;
    h->spent_us += us;
}

/* ---- turns */

static bool is_stranger(const struct client *c)
{
    return c->class >= ADMISSION_UNKNOWN;
}

static void look_again(struct handshakes *h)
{
    if (!h->count || h->signing >= h->signing_most)
        return; /* a signature that comes looks again */
    if (has_tokens(h))
        loop_defer(h->proxy->loop, &h->again);
    else
        timer_set(h->proxy->loop, &h->refill, loop_now_ms(h->proxy->loop) + REFILL_MS);
}

static struct client *take_first(struct handshakes *h)
{
    struct list *queue = &h->waiting[list_is_empty(&h->waiting[0])];
    struct list *node = list_pop_front(queue);
    must(node);
    struct client *c = container_of(node, struct client, turn);
    h->count--;
    GAUGE_DOWN(h->proxy, handshakes_waiting);
    c->handshake = HANDSHAKE_GOES;
    return c;
}

static void again(struct deferred *d)
{
    struct handshakes *h = container_of(d, struct handshakes, again);
    struct loop *loop = h->proxy->loop;
    loop_refresh_now(loop);
    uint64_t began_us = loop_now_us(loop);
    refill(h);
    while (h->count && has_tokens(h) && h->signing < h->signing_most &&
           loop_now_us(loop) - began_us < SLICE_US) {
        uint64_t from_us = loop_now_us(loop);
        struct client *c = take_first(h);
        c->t.io.ready(&c->t.io, 0); /* it may be gone afterwards */
        loop_refresh_now(loop);
        charge(h, loop_now_us(loop) - from_us);
    }
    look_again(h);
}

static void refill_due(struct timer *t)
{
    struct handshakes *h = container_of(t, struct handshakes, refill);
    refill(h);
    look_again(h);
}

/* Nothing is made ready for a connection over which nothing came. */
static enum handshake_verdict look_for_hello(struct client *c)
{
    char byte;
    if (!c->t.may_read)
        return HANDSHAKE_LATER;
    ssize_t n = recv(c->t.io.fd, &byte, 1, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        c->t.may_read = false;
        return HANDSHAKE_LATER;
    }
    return n == 1 ? HANDSHAKE_NOW : HANDSHAKE_CLOSE;
}

enum handshake_verdict handshakes_ask(struct client *c)
{
    struct handshakes *h = c->proxy->handshakes;
    if (c->handshake >= HANDSHAKE_GOES || !is_stranger(c)) {
        c->handshake = c->handshake == HANDSHAKE_NONE ? HANDSHAKE_GOES : c->handshake;
        return HANDSHAKE_NOW;
    }
    if (c->handshake == HANDSHAKE_WAITS)
        return HANDSHAKE_LATER;
    enum handshake_verdict verdict = look_for_hello(c);
    if (verdict != HANDSHAKE_NOW)
        return verdict;
    if (h->count >= HANDSHAKES_WAITING) {
        COUNT(c->proxy, handshakes_refused_total);
        return HANDSHAKE_CLOSE;
    }
    c->handshake = HANDSHAKE_WAITS;
    list_push_back(&h->waiting[c->class > ADMISSION_UNKNOWN], &c->turn);
    h->count++;
    GAUGE_UP(c->proxy, handshakes_waiting);
    look_again(h);
    return HANDSHAKE_LATER;
}

/* ---- signatures */

static void signature_came(struct client *c)
{
    struct handshakes *h = c->proxy->handshakes;
    uint64_t took = loop_now_us(c->proxy->loop) - c->sign_asked_us;
    h->signing--;
    if (took > SIGNING_US)
        h->signing_most = h->signing_most * 7 / 8 > SIGNING_LEAST ? h->signing_most * 7 / 8 : SIGNING_LEAST;
    else if (h->signing_most < SIGNING_MOST)
        h->signing_most++;
    c->handshake = HANDSHAKE_GOES;
    look_again(h);
}

void handshakes_stepped(struct client *c, enum tls_status status)
{
    bool signs = status == TLS_WANT_SIGNATURE;
    if (c->handshake == HANDSHAKE_SIGNING && !signs)
        signature_came(c);
    if (!signs || c->handshake == HANDSHAKE_SIGNING || !is_stranger(c))
        return;
    c->handshake = HANDSHAKE_SIGNING;
    c->sign_asked_us = loop_now_us(c->proxy->loop);
    c->proxy->handshakes->signing++;
}

void handshakes_leave(struct client *c)
{
    struct handshakes *h = c->proxy->handshakes;
    if (c->handshake == HANDSHAKE_WAITS) {
        list_remove(&c->turn);
        h->count--;
        GAUGE_DOWN(c->proxy, handshakes_waiting);
    } else if (c->handshake == HANDSHAKE_SIGNING) {
        h->signing--;
        look_again(h);
    }
    c->handshake = HANDSHAKE_NONE;
}
