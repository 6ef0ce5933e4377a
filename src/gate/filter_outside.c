/* gate/filter_outside.c - the outside interfaces. One that goes away takes its programs along; when one of
 * that name is there again, it is filtered again at once: the kernel tells (rtnetlink(7), RTNLGRP_LINK). */
#include "gate/filter_packets.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENT_BYTES = 8192 };

/* 0: there is none. */
static unsigned index_of(const struct packets *p, struct str name)
{
    struct ifreq ask = {0};
    if (name.n >= sizeof ask.ifr_name)
        return 0;
    memcpy(ask.ifr_name, name.p, name.n);
    return ioctl(p->names_fd, SIOCGIFINDEX, &ask) == 0 ? (unsigned)ask.ifr_ifindex : 0;
}

bool outside_check(const struct packets *p, const struct config *c, struct buf *problem)
{
    for (unsigned i = 0; i < c->filter.interface_count; i++)
        if (!index_of(p, c->filter.interfaces[i])) {
            buf_printf(problem,
                       "filter.interfaces: there is no interface %.*s on this machine. `ip link` shows them",
                       STR_ARG(c->filter.interfaces[i]));
            return false;
        }
    return true;
}

/* ---- attaching */

static struct outside *outside_of(struct packets *p, struct str name)
{
    for (unsigned i = 0; i < p->outside_count; i++)
        if (str_eq(str_of(p->outside[i].name), name))
            return &p->outside[i];
    return NULL;
}

static void tell_generic(struct packets *p, const struct outside *o)
{
    if (o->how.ingress == FILTER_INGRESS_GENERIC)
        packets_notice(
            p,
            "%s has no packet programs in its driver (%s): they run in the kernel's generic way, which "
            "costs more for each packet",
            o->name, o->how.native_refused ? strerror(o->how.native_refused) : "so it was before");
}

static bool attach_one(struct packets *p, struct outside *o)
{
    struct filter_problem why = {""};
    unsigned index = index_of(p, str_of(o->name));
    if (o->is_attached && o->index == index)
        return true;
    o->index = index;
    o->is_attached = index && filter_attach(p->filter, index, &o->how, &why) == 0;
    if (!o->is_attached && index)
        packets_notice(p, "nftables filters %s, which has no rates, cookies or classes: %s", o->name,
                       why.text);
    if (o->is_attached)
        tell_generic(p, o);
    return o->is_attached;
}

static void take_list(struct packets *p, const struct config *c)
{
    struct outside fresh[PACKETS_OUTSIDE_MAX] = {0};
    unsigned count = 0;
    for (; count < c->filter.interface_count && count < PACKETS_OUTSIDE_MAX; count++) {
        struct str name = c->filter.interfaces[count];
        const struct outside *old = outside_of(p, name);
        if (old)
            fresh[count] = *old;
        memcpy(fresh[count].name, name.p, name.n < 15 ? name.n : 15);
    }
    memcpy(p->outside, fresh, sizeof fresh);
    p->outside_count = count;
}

/* Sessions over other interfaces are not cut. */
static void tell_filter(struct packets *p)
{
    unsigned indexes[PACKETS_OUTSIDE_MAX];
    for (unsigned i = 0; i < p->outside_count; i++)
        indexes[i] = p->outside[i].index;
    filter_outside_set(p->filter, indexes, p->outside_count);
}

void outside_attach(struct packets *p, const struct config *c)
{
    take_list(p, c);
    for (unsigned i = 0; p->filter && i < p->outside_count; i++)
        (void)attach_one(p, &p->outside[i]);
    if (p->filter)
        tell_filter(p);
}

/* ---- what is not listed any more */

static bool is_listed(const struct packets *p, const struct config *c, unsigned index)
{
    for (unsigned i = 0; i < c->filter.interface_count; i++)
        if (index_of(p, c->filter.interfaces[i]) == index)
            return true;
    return false;
}

unsigned outside_unlisted(const struct packets *p, const struct config *c)
{
    unsigned pinned[64], unlisted = 0;
    size_t count = filter_pinned_interfaces(p->pins, pinned, 64);
    for (size_t i = 0; i < count && i < 64; i++)
        unlisted += !is_listed(p, c, pinned[i]);
    return unlisted;
}

bool outside_release(struct packets *p, struct buf *problem)
{
    unsigned pinned[64];
    struct filter_problem why = {""};
    size_t count = filter_pinned_interfaces(p->pins, pinned, 64);
    for (size_t i = 0; i < count && i < 64; i++)
        if (!is_listed(p, p->config, pinned[i]) && filter_detach(p->pins, pinned[i], &why) != 0) {
            buf_str(problem, str_of(why.text));
            return false;
        }
    return true;
}

/* ---- interfaces that come and go */

static void link_changed(struct io *io, uint32_t events [[maybe_unused]])
{
    struct packets *p = container_of(io, struct packets, link_events);
    char bytes[EVENT_BYTES];
    while (recv(io->fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0 || errno == ENOBUFS || errno == EINTR)
        errno = 0; /* what it says is looked up anew below */
    for (unsigned i = 0; p->is_configured && p->mode == PERIMETER_PROGRAMS && i < p->outside_count; i++) {
        struct outside *o = &p->outside[i];
        bool was_attached = o->is_attached && index_of(p, str_of(o->name)) == o->index;
        if (!was_attached && attach_one(p, o))
            filter_say("%s is there again and is filtered", o->name);
        else if (!was_attached && o->index == 0)
            o->is_attached = false;
    }
    if (p->filter)
        tell_filter(p);
}

bool outside_open(struct packets *p)
{
    struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    p->names_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    p->link_events =
        (struct io){link_changed, socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)};
    return p->names_fd >= 0 && p->link_events.fd >= 0 &&
           bind(p->link_events.fd, (struct sockaddr *)&to, sizeof to) == 0 &&
           loop_add(p->role->process.loop, &p->link_events, EPOLLIN) == 0;
}

void outside_close(struct packets *p)
{
    if (p->names_fd >= 0)
        close(p->names_fd);
    if (p->link_events.fd >= 0)
        loop_close(p->role->process.loop, &p->link_events);
}
