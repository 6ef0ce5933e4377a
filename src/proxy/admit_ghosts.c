/* proxy/admit_ghosts.c - places of requests whose client left after they had gone to the upstream.
 *
 * The upstream does not know and works on. Gave the place back at once, whoever opens requests and drops them
 * (HTTP/2 makes that one small frame) would send more to the application than it can do. So it is held for as
 * long as such a request takes, a second at most. A ghost holds a slot, so there are never more of them than
 * slots. */
#include "proxy/admit_parts.h"

#include <stdlib.h>

enum { GHOST_MOST_US = 1'000'000, GHOST_LEAST_US = 5'000 };

struct ghost {
    struct list node;
    struct admission_ticket ticket;
    uint64_t until_us;
};

bool admit_ghost_begin(struct admit *a, const struct admission_ticket *t)
{
    uint64_t now_us = loop_now_us(a->proxy->loop);
    uint64_t cost_us = admission_cost_us(a->core, a->flows[t->flow].pool, t->kind);
    uint64_t until_us = t->started_us + (cost_us < GHOST_MOST_US ? cost_us : GHOST_MOST_US);
    struct ghost *g = until_us > now_us + GHOST_LEAST_US ? malloc(sizeof *g) : NULL;
    if (!g)
        return false;
    g->ticket = *t;
    list_init(&g->ticket.node);
    g->until_us = until_us;
    list_push_back(&a->ghosts, &g->node);
    return true;
}

static void end(struct admit *a, struct ghost *g, uint64_t now_us)
{
    struct admit_flow *f = &a->flows[g->ticket.flow];
    f->live--;
    a->pools[f->pool].running--;
    admission_leave(a->core, &g->ticket, ADMISSION_FAILED, 0, now_us);
    list_remove(&g->node);
    free(g);
}

void admit_ghosts_end(struct admit *a, uint64_t now_us)
{
    for (struct list *at = a->ghosts.next, *next; at != &a->ghosts; at = next) {
        struct ghost *g = container_of(at, struct ghost, node);
        next = at->next;
        if (g->until_us <= now_us)
            end(a, g, now_us);
    }
}
