/* filter/cut.c - TCP sessions that a level refuses, and their end.
 *
 * The kernel lists the sockets (sock_diag(7)); for each, a packet of that connection is put before the judge,
 * in both directions. One that would be refused is ended by SOCK_DESTROY: both programs see a reset instead
 * of a silence of many minutes. Where own addresses are configured only sessions at those are looked at, and
 * where the outside interfaces are known only sessions whose way leads over them: no others are filtered. */
#include "filter/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/inet_diag.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    STATES = 0xfff & ~(1 << 10) & ~(1 << 7) & ~(1 << 6), /* but LISTEN, CLOSE and TIME_WAIT */
    RECEIVE_BYTES = 32'768,
    SESSIONS_MAX = 1'000'000,
    ACK_FRAME_MAX = 80
};

struct found {
    struct filter_session session;
    struct inet_diag_sockid id;
    uint8_t family;
};

struct cutter {
    struct filter *filter;
    uint32_t level;
    bool own_only;
    int routes; /* -1: every way counts */
    struct found *found;
    size_t count, cap;
};

static size_t frame_v4(uint8_t *frame, const struct addr *from, const struct addr *to)
{
    struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP, .tot_len = htons(40)};
    memcpy(&ip.saddr, from->ip + 12, 4);
    memcpy(&ip.daddr, to->ip + 12, 4);
    memcpy(frame, &ip, sizeof ip);
    return sizeof ip;
}

static size_t frame_v6(uint8_t *frame, const struct addr *from, const struct addr *to)
{
    struct ipv6hdr ip = {.version = 6, .hop_limit = 64, .nexthdr = IPPROTO_TCP, .payload_len = htons(20)};
    memcpy(&ip.saddr, from->ip, 16);
    memcpy(&ip.daddr, to->ip, 16);
    memcpy(frame, &ip, sizeof ip);
    return sizeof ip;
}

/* A packet in the middle of that connection. */
static size_t ack_frame(uint8_t frame[ACK_FRAME_MAX], const struct addr *from, const struct addr *to)
{
    struct ethhdr ethernet = {.h_proto = htons(from->is_v4 ? ETH_P_IP : ETH_P_IPV6)};
    struct tcphdr tcp = {.source = htons(from->port), .dest = htons(to->port), .doff = 5, .ack = 1};
    size_t n = sizeof ethernet;
    memcpy(frame, &ethernet, n);
    n += from->is_v4 ? frame_v4(frame + n, from, to) : frame_v6(frame + n, from, to);
    memcpy(frame + n, &tcp, sizeof tcp);
    return n + sizeof tcp;
}

/* 1: the level refuses it, 0: not; or a negative errno. */
static int is_refused(const struct cutter *c, const struct filter_session *s)
{
    uint8_t frame[ACK_FRAME_MAX];
    size_t n = ack_frame(frame, &s->peer, &s->local);
    int passes = filter_judge_run(c->filter, c->level, FILTER_IN, frame, n);
    if (passes <= 0)
        return passes < 0 ? passes : 1;
    n = ack_frame(frame, &s->local, &s->peer);
    passes = filter_judge_run(c->filter, c->level, FILTER_OUT, frame, n);
    return passes < 0 ? passes : !passes;
}

static struct addr address_of(const __be32 ip[4], __be16 port, uint8_t family)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct addr a = {.port = ntohs(port)};
    if (family == AF_INET) {
        memcpy(a.ip, mapped, 12);
        memcpy(a.ip + 12, ip, 4);
    } else {
        memcpy(a.ip, ip, 16);
    }
    a.is_v4 = memcmp(a.ip, mapped, 12) == 0;
    return a;
}

static bool is_loopback(const struct addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    return a->is_v4 ? a->ip[12] == 127 : memcmp(a->ip, one, 16) == 0;
}

static bool crosses_outside(const struct cutter *c, const struct filter_session *s)
{
    struct filter_own own;
    if (is_loopback(&s->local) || is_loopback(&s->peer) || memcmp(s->local.ip, s->peer.ip, 16) == 0)
        return false;
    return !c->own_only || bpf_map_lookup_elem(c->filter->fd.own, s->local.ip, &own) == 0;
}

/* Whose way nobody knows is taken to be outside. */
static bool leads_outside(const struct cutter *c, const struct addr *peer)
{
    unsigned interface = c->routes >= 0 ? filter_route_interface(c->routes, peer) : 0;
    bool is_outside = interface == 0;
    for (size_t i = 0; i < c->filter->outside_count && !is_outside; i++)
        is_outside = c->filter->outside[i] == interface;
    return is_outside;
}

/* When data last moved, out of struct tcp_info, which comes as far as this kernel has it. */
static void take_info(struct filter_session *s, struct nlmsghdr *m)
{
    struct tcp_info info;
    const struct inet_diag_msg *head = NLMSG_DATA(m);
    size_t left = m->nlmsg_len - NLMSG_LENGTH(sizeof *head);
    const char *at = (const char *)(head + 1);
    s->quiet_in_ms = s->quiet_out_ms = UINT32_MAX;
    while (left >= sizeof(struct rtattr)) {
        struct rtattr a;
        memcpy(&a, at, sizeof a);
        if (a.rta_len < sizeof a || a.rta_len > left)
            return;
        if (a.rta_type == INET_DIAG_INFO && a.rta_len >= RTA_LENGTH(sizeof info)) {
            memcpy(&info, at + RTA_LENGTH(0), sizeof info);
            s->quiet_in_ms = info.tcpi_last_data_recv;
            s->quiet_out_ms = info.tcpi_last_data_sent;
        }
        size_t step = RTA_ALIGN(a.rta_len);
        if (step >= left)
            return;
        at += step;
        left -= step;
    }
}

static int session_take(struct cutter *c, const struct inet_diag_msg *m, struct nlmsghdr *whole)
{
    struct found one = {.session = {.local = address_of(m->id.idiag_src, m->id.idiag_sport, m->idiag_family),
                                    .peer = address_of(m->id.idiag_dst, m->id.idiag_dport, m->idiag_family),
                                    .state = m->idiag_state,
                                    .inode = m->idiag_inode},
                        .id = m->id,
                        .family = m->idiag_family};
    if (!crosses_outside(c, &one.session))
        return 0;
    int refused = is_refused(c, &one.session);
    if (refused <= 0 || !leads_outside(c, &one.session.peer))
        return refused < 0 ? refused : 0;
    take_info(&one.session, whole);
    if (c->count == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 64;
        struct found *more = c->cap < SESSIONS_MAX ? realloc(c->found, cap * sizeof *more) : NULL;
        if (!more)
            return -ENOMEM;
        c->found = more;
        c->cap = cap;
    }
    c->found[c->count++] = one;
    return 0;
}

static int ask(int fd, uint16_t type, uint16_t flags, const struct inet_diag_req_v2 *request)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } message = {
        {.nlmsg_len = sizeof message, .nlmsg_type = type, .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)},
        *request};
    ssize_t n = send(fd, &message, sizeof message, 0);
    return n < 0 ? -errno : 0;
}

/* 1: the last message, 0: more, or a negative errno. */
static int answer_take(struct cutter *c, struct nlmsghdr *m)
{
    if (m->nlmsg_type == NLMSG_DONE)
        return 1;
    if (m->nlmsg_type == NLMSG_ERROR) {
        struct nlmsgerr error;
        if (m->nlmsg_len < NLMSG_LENGTH(sizeof error))
            return -EPROTO;
        memcpy(&error, NLMSG_DATA(m), sizeof error);
        return error.error ? error.error : 1;
    }
    struct inet_diag_msg session;
    if (m->nlmsg_len < NLMSG_LENGTH(sizeof session) || !c)
        return -EPROTO;
    memcpy(&session, NLMSG_DATA(m), sizeof session);
    return session_take(c, &session, m);
}

static int answers_read(int fd, struct cutter *c)
{
    alignas(struct nlmsghdr) static _Thread_local char bytes[RECEIVE_BYTES];
    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EPROTO;
        int left = (int)n;
        for (struct nlmsghdr *m = (struct nlmsghdr *)bytes; NLMSG_OK(m, (unsigned)left);
             m = NLMSG_NEXT(m, left)) {
            int last = answer_take(c, m);
            if (last)
                return last < 0 ? last : 0;
        }
    }
}

static int dump(int fd, struct cutter *c, uint8_t family)
{
    struct inet_diag_req_v2 request = {.sdiag_family = family,
                                       .sdiag_protocol = IPPROTO_TCP,
                                       .idiag_ext = 1 << (INET_DIAG_INFO - 1),
                                       .idiag_states = (uint32_t)STATES};
    int error = ask(fd, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request);
    return error ? error : answers_read(fd, c);
}

/* A session that ended by itself meanwhile is as good. */
static int end_session(int fd, const struct found *one)
{
    struct inet_diag_req_v2 request = {.sdiag_family = one->family,
                                       .sdiag_protocol = IPPROTO_TCP,
                                       .idiag_states = (uint32_t)STATES,
                                       .id = one->id};
    int error = ask(fd, SOCK_DESTROY, NLM_F_ACK, &request);
    if (!error)
        error = answers_read(fd, NULL);
    return error == -ENOENT ? 0 : error;
}

static int sessions_end(int fd, const struct cutter *c)
{
    int error = 0;
    for (size_t i = 0; i < c->count && !error; i++)
        error = end_session(fd, &c->found[i]);
    return error;
}

static int run(struct cutter *c, bool end, filter_session_seen *seen, void *context)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return -errno;
    int error = dump(fd, c, AF_INET);
    if (!error)
        error = dump(fd, c, AF_INET6);
    for (size_t i = 0; i < c->count && !error && seen; i++)
        seen(&c->found[i].session, context);
    if (!error && end)
        error = sessions_end(fd, c);
    close(fd);
    return error ? error : (int)c->count;
}

int filter_sessions(struct filter *f, uint32_t level, bool end, filter_session_seen *seen, void *context,
                    struct filter_problem *problem)
{
    struct cutter c = {
        .filter = f, .level = level, .own_only = f->settings->flags & FILTER_OWN_ONLY, .routes = -1};
    int n = filter_judge_load(f, problem);
    if (n)
        return n;
    if (f->outside_count)
        c.routes = filter_route_socket();
    n = run(&c, end, seen, context);
    if (c.routes >= 0)
        close(c.routes);
    free(c.found);
    if (n < 0)
        return filter_problem_set(problem, n, "sessions cannot be %s: %s", end ? "ended" : "listed",
                                  strerror(-n));
    return n;
}

void filter_outside_set(struct filter *f, const unsigned *interfaces, size_t count)
{
    f->outside_count = count < FILTER_OUTSIDE_MAX ? count : 0;
    for (size_t i = 0; i < f->outside_count; i++)
        f->outside[i] = interfaces[i];
}
