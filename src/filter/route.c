/* filter/route.c - over which interface the way to an address leads, as the kernel would route it now
 * (rtnetlink(7), RTM_GETROUTE). */
#include "filter/internal.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdalign.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_BYTES = 8192 };

struct question {
    struct nlmsghdr head;
    struct rtmsg route;
    struct {
        struct rtattr head;
        uint8_t ip[16];
    } to;
};

static size_t question_write(struct question *q, const struct addr *to)
{
    size_t bytes = to->is_v4 ? 4 : 16;
    *q = (struct question){
        .head = {.nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST},
        .route = {.rtm_family = to->is_v4 ? AF_INET : AF_INET6, .rtm_dst_len = (uint8_t)(bytes * 8)},
        .to = {.head = {(uint16_t)RTA_LENGTH(bytes), RTA_DST}}};
    memcpy(q->to.ip, to->ip + 16 - bytes, bytes);
    q->head.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof q->route) + RTA_LENGTH(bytes));
    return q->head.nlmsg_len;
}

/* 0: it does not say. */
static unsigned interface_in(struct nlmsghdr *m)
{
    unsigned interface = 0;
    if (m->nlmsg_type != RTM_NEWROUTE || m->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg)))
        return 0;
    struct rtmsg *route = NLMSG_DATA(m);
    int left = (int)RTM_PAYLOAD(m);
    for (struct rtattr *a = RTM_RTA(route); RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == RTA_OIF && RTA_PAYLOAD(a) >= sizeof interface)
            memcpy(&interface, RTA_DATA(a), sizeof interface);
    return interface;
}

int filter_route_socket(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    return fd < 0 ? -errno : fd;
}

unsigned filter_route_interface(int fd, const struct addr *to)
{
    alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
    struct question q;
    size_t bytes = question_write(&q, to);
    if (send(fd, &q, bytes, 0) != (ssize_t)bytes)
        return 0;
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    struct nlmsghdr *m = (struct nlmsghdr *)answer;
    return n > 0 && NLMSG_OK(m, (unsigned)n) ? interface_in(m) : 0;
}
