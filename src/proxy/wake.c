/* proxy/wake.c - being woken by another process: a sibling that gave this worker a free place, or the filter
 * that published another state of isolation. One eventfd for each worker; whoever wakes adds one to its
 * count. */
#include "proxy/wake.h"

#include "proxy/admit.h"
#include "proxy/guard.h"

#include <unistd.h>

static void woken(struct io *io, uint32_t events [[maybe_unused]])
{
    struct proxy *p = container_of(io, struct proxy, woken);
    uint64_t count;
    if (read(io->fd, &count, sizeof count) < 0)
        return; /* somebody else's edge: nothing is new */
    guard_look(p);
    admit_woken(p);
}

void wake_init(struct proxy *p)
{
    for (unsigned slot = 0; slot < SHARED_WORKERS_MAX; slot++)
        p->wakes[slot] = -1;
    p->woken = (struct io){.ready = woken, .fd = -1};
}

void wake_done(struct proxy *p)
{
    if (p->woken.fd >= 0)
        loop_close(p->loop, &p->woken);
    for (unsigned slot = 0; slot < SHARED_WORKERS_MAX; slot++)
        if (slot != p->slot && p->wakes[slot] >= 0)
            close(p->wakes[slot]);
}

void proxy_wake(struct proxy *p, unsigned slot, int fd)
{
    if (slot >= SHARED_WORKERS_MAX || p->wakes[slot] >= 0) {
        close(fd);
        return;
    }
    p->wakes[slot] = fd;
    if (slot != p->slot)
        return;
    p->woken.fd = fd;
    if (loop_add(p->loop, &p->woken, EPOLLIN | EPOLLET) < 0)
        p->woken.fd = -1; /* it still looks at every turn that matters: guard.h, admit.h */
}

void wake_worker(struct proxy *p, unsigned slot)
{
    const uint64_t one = 1;
    if (slot < SHARED_WORKERS_MAX && p->wakes[slot] >= 0 && write(p->wakes[slot], &one, sizeof one) < 0)
        return; /* its count is full: it will wake */
}
