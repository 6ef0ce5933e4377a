/* proxy/dial.c - asking the dialer for connections: the worker itself can create no socket. */
#include "proxy/upstream.h"

#include <errno.h>
#include <unistd.h>

/* The same endpoint in the configuration in force, or else itself: the dialer forgets old configurations
 * before the last of their requests has ended. */
static const struct endpoint *as_it_is_now(const struct proxy *p, const struct endpoint *e)
{
    const struct snapshot *now = p->snapshot;
    for (unsigned i = 0; now && now != e->pool->snapshot && i < now->config->upstream_count; i++) {
        const struct pool *pool = &now->pools[i];
        for (unsigned k = 0; str_eq(pool->config->name, e->pool->config->name) && k < pool->endpoint_count;
             k++)
            if (pool->endpoints[k].config->port == e->config->port &&
                str_eq(pool->endpoints[k].config->host, e->config->host))
                return &pool->endpoints[k];
    }
    return e;
}

static void send_dial(struct proxy *p, const struct dial_waiter *w)
{
    const struct endpoint *e = as_it_is_now(p, w->endpoint);
    struct msg_dial m = {.id = w->id, .generation = e->pool->snapshot->generation, .endpoint = e->global};
    p->events.dial(p->events.self, &m); /* false: proxy_dial_again sends it when a dialer is there */
}

bool dial_ask(struct proxy *p, struct dial_waiter *w, struct endpoint *e)
{
    for (unsigned tries = 0; tries < DIALS_MAX; tries++) {
        unsigned at = p->dial_next++ % DIALS_MAX;
        struct dial_slot *slot = &p->dials[at];
        if (slot->waiter)
            continue;
        w->id = slot->id = ++p->dial_uses * DIALS_MAX + at;
        w->endpoint = e;
        slot->waiter = w;
        COUNT(p, upstream_connects_total);
        send_dial(p, w);
        return true;
    }
    return false;
}

void dial_forget(struct proxy *p, struct dial_waiter *w)
{
    if (w->id)
        p->dials[w->id % DIALS_MAX].waiter = NULL;
    w->id = 0;
}

void proxy_dialed(struct proxy *p, const struct msg_dialed *m, int fd)
{
    struct dial_slot *slot = &p->dials[m->id % DIALS_MAX];
    struct dial_waiter *w = slot->waiter;
    if (!w || slot->id != m->id) {
        if (fd >= 0)
            close(fd);
        return;
    }
    dial_forget(p, w);
    w->dialed(w, fd, fd >= 0 ? 0 : m->error ? (int)m->error : ECONNREFUSED);
}

void proxy_dial_again(struct proxy *p)
{
    for (unsigned i = 0; i < DIALS_MAX; i++)
        if (p->dials[i].waiter)
            send_dial(p, p->dials[i].waiter);
}
