/* proxy/checks.c - active health checks. Every worker looks around at each tick; the shared table gives each
 * due check to exactly one of them, so that checks go on when a worker dies and do not multiply with workers.
 */
#include "proxy/client.h"
#include "proxy/upstream.h"
#include "sys/net.h"

#include <errno.h>
#include <stdlib.h>

enum { TICK_MS = 250, ANSWER_BYTES = 4096 };

struct check {
    struct transport t;
    struct timer timer;
    struct list node; /* proxy.checks */
    struct dial_waiter dial;
    struct proxy *proxy;
    struct endpoint *endpoint;
    struct snapshot *snapshot;
    bool connected, asked;
    size_t got;
    char answer[ANSWER_BYTES];
};

static struct shared_endpoint *state_of(const struct endpoint *e)
{
    return shared_endpoint(e->pool->snapshot->proxy->shared, e->shared);
}

static void set_health(struct endpoint *e, enum endpoint_health health, uint64_t now_ms)
{
    struct shared_endpoint *s = state_of(e);
    enum endpoint_health was = (enum endpoint_health)atomic_load(&s->health);
    if (was == health)
        return;
    if (was == ENDPOINT_DOWN || health == ENDPOINT_DOWN)
        atomic_store(&s->since_ms, now_ms);
    atomic_store(&s->health, health);
}

static void note(struct endpoint *e, bool good, uint64_t now_ms)
{
    struct shared_endpoint *s = state_of(e);
    const struct config_upstream *c = e->pool->config;
    bool unknown = atomic_load(&s->health) == ENDPOINT_UNKNOWN;
    if (good) {
        atomic_store(&s->checks_bad, 0);
        if (atomic_fetch_add(&s->checks_good, 1) + 1 >= c->check_rise || unknown)
            set_health(e, ENDPOINT_UP, now_ms);
    } else {
        atomic_store(&s->checks_good, 0);
        if (atomic_fetch_add(&s->checks_bad, 1) + 1 >= c->check_fall)
            set_health(e, ENDPOINT_DOWN, now_ms);
    }
}

static void check_free(struct check *c)
{
    struct snapshot *held = c->snapshot;
    dial_forget(c->proxy, &c->dial);
    timer_clear(c->proxy->loop, &c->timer);
    transport_close(&c->t, &c->proxy->io);
    list_remove(&c->node);
    free(c);
    snapshot_unref(held);
}

static void finish(struct check *c, bool good)
{
    note(c->endpoint, good, loop_now_ms(c->proxy->loop));
    check_free(c);
}

static void timed_out(struct timer *t)
{
    finish(container_of(t, struct check, timer), false);
}

static bool ask(struct check *c)
{
    const struct config_upstream *u = c->endpoint->pool->config;
    char text[1024];
    struct buf b = buf_over(text, sizeof text);
    struct str host = u->check_host.n ? u->check_host : c->endpoint->config->host;
    BUF_LIT(&b, "GET ");
    buf_str(&b, u->check_path.n ? u->check_path : STR("/"));
    BUF_LIT(&b, " HTTP/1.1\r\nHost: ");
    buf_str(&b, host);
    BUF_LIT(&b, "\r\nUser-Agent: polder-check\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    c->asked = true;
    if (buf_overflowed(&b))
        return false;
    return transport_writev(&c->t, &c->proxy->io, &(struct iovec){b.p, b.n}, 1) == (ssize_t)b.n;
}

/* Done as soon as the head is there: the body does not matter. */
static void read_answer(struct check *c)
{
    const struct config_upstream *u = c->endpoint->pool->config;
    static const struct h1_limits limits = {ANSWER_BYTES, 100, 0, true};
    ssize_t n = transport_read(&c->t, &c->proxy->io, c->answer + c->got, sizeof c->answer - c->got);
    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        finish(c, false);
        return;
    }
    c->got += (size_t)n;
    struct arena *arena = arena_new(EXCHANGE_ARENA_BYTES);
    struct http_response resp;
    enum http_refusal why;
    size_t scanned = 0;
    ptrdiff_t head = arena ? h1_parse_response((struct str){c->answer, c->got}, &scanned, &limits, METHOD_GET,
                                               arena, &resp, &why)
                           : -1;
    arena_free(arena);
    if (head > 0)
        finish(c, resp.status >= u->check_status_low && resp.status <= u->check_status_high);
    else if (head < 0 || c->got == sizeof c->answer)
        finish(c, false);
}

static void go_on(struct check *c)
{
    if (c->t.tls && !c->asked) {
        enum tls_status status = transport_handshake(&c->t, &c->proxy->io);
        if (status == TLS_CLOSED || status == TLS_FAILED)
            finish(c, false);
        if (status != TLS_DONE)
            return;
    }
    if (!c->asked && !ask(c))
        finish(c, false);
    else
        read_answer(c);
}

static void ready(struct io *io, uint32_t events)
{
    struct check *c = container_of(container_of(io, struct transport, io), struct check, t);
    const struct config_upstream *u = c->endpoint->pool->config;
    transport_note(&c->t, events);
    if (!c->connected) {
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        if (net_socket_error(c->t.io.fd) != 0) {
            finish(c, false);
            return;
        }
        c->connected = true;
        if (u->check == CHECK_TCP) {
            finish(c, true);
            return;
        }
        if (c->endpoint->pool->tls) {
            char name[256];
            struct buf b = buf_over(name, sizeof name - 1);
            buf_str(&b, u->tls_server_name.n ? u->tls_server_name : c->endpoint->config->host);
            name[b.n] = '\0';
            c->t.tls = tls_conn_new(c->endpoint->pool->tls, name, &c->t);
        }
    }
    go_on(c);
}

static void dialed(struct dial_waiter *w, int fd, int error [[maybe_unused]])
{
    struct check *c = container_of(w, struct check, dial);
    if (fd < 0 || transport_open(&c->t, &c->proxy->io, fd) < 0)
        finish(c, false);
}

static void start(struct proxy *p, struct endpoint *e)
{
    struct check *c = calloc(1, sizeof *c);
    if (!c)
        return;
    c->proxy = p;
    c->endpoint = e;
    c->snapshot = snapshot_ref(e->pool->snapshot);
    c->dial.dialed = dialed;
    transport_init(&c->t, ready);
    timer_init(&c->timer, timed_out);
    list_push_back(&p->checks, &c->node);
    timer_set(p->loop, &c->timer, loop_now_ms(p->loop) + e->pool->config->check_timeout_ms);
    if (!dial_ask(p, &c->dial, e))
        check_free(c);
}

static void tick(struct timer *t)
{
    struct proxy *p = container_of(t, struct proxy, check_timer);
    uint64_t now_ms = loop_now_ms(p->loop);
    for (unsigned i = 0; i < p->snapshot->config->upstream_count; i++) {
        struct pool *pool = &p->snapshot->pools[i];
        for (unsigned e = 0; pool->config->check != CHECK_OFF && e < pool->endpoint_count; e++)
            if (shared_endpoint_take_check(state_of(&pool->endpoints[e]), now_ms,
                                           pool->config->check_interval_ms))
                start(p, &pool->endpoints[e]);
    }
    timer_set(p->loop, t, now_ms + TICK_MS);
}

void checks_stop(struct proxy *p)
{
    if (timer_is_set(&p->check_timer))
        timer_clear(p->loop, &p->check_timer);
    while (!list_is_empty(&p->checks))
        check_free(container_of(p->checks.next, struct check, node));
}

void checks_start(struct proxy *p)
{
    bool any = false;
    checks_stop(p);
    timer_init(&p->check_timer, tick);
    for (unsigned i = 0; i < p->snapshot->config->upstream_count; i++)
        any |= p->snapshot->config->upstreams[i].check != CHECK_OFF;
    if (any && !p->draining)
        timer_set(p->loop, &p->check_timer, loop_now_ms(p->loop) + TICK_MS / 10);
}
