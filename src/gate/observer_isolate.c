/* gate/observer_isolate.c - the way of a person's order about isolation: from the control socket to the
 * filter role and back, with the user id that the kernel vouches for.
 *
 * What always holds: a client waits for one answer; when the filter ends before it came, the client is told
 * so. */
#include "gate/observer.h"

#include "sys/channel.h"
#include "sys/shm.h"

#include <unistd.h>

enum { ANSWER_MAX = 16 << 20 };

bool observer_isolate(struct observer *o, uid_t uid, struct str request, uint64_t *ret_id)
{
    struct msg_isolate m = {.id = o->next_isolate + 1, .uid = (uint32_t)uid};
    if (!o->filter || request.n > sizeof m.request)
        return false;
    if (request.n)
        memcpy(m.request, request.p, request.n);
    m.request_len = (uint16_t)request.n;
    if (msg_isolate_send(o->filter, &m, -1) != 0)
        return false;
    *ret_id = ++o->next_isolate;
    return true;
}

/* A message of the filter. False: not acceptable. */
static bool filter_message(void *self, struct channel *channel [[maybe_unused]], struct str bytes, int fd)
{
    struct observer *o = self;
    struct msg_isolated m;
    struct str answer = STR_NONE;
    bool is_fine = msg_welcome(bytes, fd, ROLE_FILTER, ROLE_OBSERVER) == MSG_ISOLATED &&
                   msg_isolated_decode(bytes, &m) && shm_map_sealed(fd, ANSWER_MAX, &answer);
    if (fd >= 0)
        close(fd);
    if (!is_fine)
        return false;
    server_isolated(&o->control, m.id, answer);
    shm_unmap_sealed(answer);
    return true;
}

static void filter_closed(void *self, struct channel *channel)
{
    struct observer *o = self;
    o->filter = NULL;
    channel_free(channel);
    server_isolation_lost(&o->control);
}

bool observer_take_filter(struct observer *o, int fd)
{
    enum { QUEUE = 16 };
    channel_free(o->filter);
    server_isolation_lost(&o->control); /* what was asked of the one before */
    o->filter = channel_new(o->loop, fd, QUEUE, (struct channel_events){filter_message, filter_closed, o});
    return o->filter != NULL;
}
