/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* filter/cookie.bpf.h - a SYN for one of our own sockets is answered from here, with the kernel's cookie.
 *
 * The cookie is the kernel's (bpf_tcp_gen_syncookie), so the kernel itself takes the last packet of the
 * handshake; nothing is remembered for the first. It makes one when net.ipv4.tcp_syncookies is 2 or the
 * socket's queue of half-open connections is full, and refuses otherwise: then the SYN goes on to the kernel
 * as if we were not there. What a cookie has no room for travels in the timestamp, laid out as the kernel
 * reads it back (net/ipv4/syncookies.c: window scale in 4 bits, SACK in the next), which needs
 * net.ipv4.tcp_timestamps = 2: at 1 it adds a secret that we do not have, and no timestamp is offered. */
#ifndef POLDER_FILTER_COOKIE_BPF_H
#define POLDER_FILTER_COOKIE_BPF_H

#include "filter/packet.bpf.h"

enum {
    TCP_BYTES = 20,
    TCP_BYTES_MAX = 60,
    SYN_ACK_BYTES = 40, /* a header with 20 bytes of options, unused ones zero: end of list */
    OPTION_MSS = 2,
    OPTION_SCALE = 3,
    OPTION_SACK = 4,
    OPTION_TIMESTAMP = 8,
    STAMP_BITS = 6,
    STAMP_SACK = 1 << 4,
    STAMP_NO_SCALE = 0xf,
    /* What the kernel grants at first at least; a larger promise would be broken by it. */
    FIRST_WINDOW = 64'000,
};

struct tcp_copy {
    struct tcphdr head;
    __u8 options[TCP_BYTES_MAX - sizeof(struct tcphdr) + 12]; /* the rest stays 0 */
    /* what they say */
    __u32 at;
    __u32 stamp;
    __u8 has_stamp, has_sack, has_scale, scale;
};

union any_ip {
    struct iphdr v4;
    struct ipv6hdr v6;
};

/* any_peer: the listening socket, whoever asks. A look-up of the connection first costs a cache miss for each
 * random source; it is left out in a flood only, because a SYN for a connection that the kernel still
 * remembers (a port used again within a minute) should go to the kernel.
 *
 * Where several sockets share an address (SO_REUSEPORT) the kernel takes one of them by a hash of the tuple,
 * for here it asks no program which. While net.ipv4.tcp_syncookies is 1 only one whose queue is full makes
 * cookies, and those of partners' queues never are: so another port is tried after one that made none, and
 * the one that did is kept. */
ALWAYS_INLINE struct bpf_sock *socket_of(struct xdp_md *ctx, const struct packet *p, bool any_peer)
{
    struct bpf_sock_tuple tuple = {};
    __u32 bytes;
    if (p->family == 4) {
        tuple.ipv4.saddr = any_peer ? 0 : p->peer.word[3];
        tuple.ipv4.daddr = p->local.word[3];
        tuple.ipv4.sport = bpf_htons(any_peer ? p->cookie_port : p->peer_port);
        tuple.ipv4.dport = bpf_htons(p->local_port);
        bytes = sizeof tuple.ipv4;
    } else {
        if (!any_peer)
            __builtin_memcpy(tuple.ipv6.saddr, &p->peer, 16);
        __builtin_memcpy(tuple.ipv6.daddr, &p->local, 16);
        tuple.ipv6.sport = bpf_htons(any_peer ? p->cookie_port : p->peer_port);
        tuple.ipv6.dport = bpf_htons(p->local_port);
        bytes = sizeof tuple.ipv6;
    }
    return bpf_skc_lookup_tcp(ctx, &tuple, bytes, BPF_F_CURRENT_NETNS, 0);
}

/* The helpers look at version and addresses only. */
ALWAYS_INLINE __u32 addresses_of(const struct packet *p, union any_ip *ret)
{
    if (p->family == 4) {
        ret->v4.version = 4;
        ret->v4.ihl = 5;
        ret->v4.saddr = p->peer.word[3];
        ret->v4.daddr = p->local.word[3];
        return sizeof ret->v4;
    }
    ret->v6.version = 6;
    __builtin_memcpy(&ret->v6.saddr, &p->peer, 16);
    __builtin_memcpy(&ret->v6.daddr, &p->local, 16);
    return sizeof ret->v6;
}

/* Its length, or 0. */
ALWAYS_INLINE __u32 tcp_copy_take(struct xdp_md *ctx, __u32 at, struct tcp_copy *ret)
{
    if (bpf_xdp_load_bytes(ctx, at, &ret->head, sizeof ret->head))
        return 0;
    __u32 options = ret->head.doff * 4 - sizeof ret->head;
    if (options == 0)
        return sizeof ret->head;
    __u32 less_one = bound_anew(options - 1);
    if (less_one >= 40 || bpf_xdp_load_bytes(ctx, at + sizeof ret->head, ret->options, less_one + 1))
        return 0;
    return sizeof ret->head + options;
}

/* Reads one option. False: that was the last. */
ONE_BY_ONE int syn_option_take(struct tcp_copy *tcp)
{
    if (!tcp || tcp->at >= 40)
        return false;
    __u32 at = tcp->at;
    __u8 kind = tcp->options[at], length = tcp->options[at + 1];
    if (kind == 1) {
        tcp->at = at + 1;
        return true;
    }
    if (kind == 0 || length < 2 || at + length > 40)
        return false;
    tcp->at = at + length;
    if (kind == OPTION_SACK) {
        tcp->has_sack = 1;
    } else if (kind == OPTION_SCALE && length == 3) {
        __u8 scale = tcp->options[at + 2];
        tcp->has_scale = 1;
        tcp->scale = scale > 14 ? 14 : scale; /* RFC 7323 2.3 */
    } else if (kind == OPTION_TIMESTAMP && length == 10) {
        tcp->has_stamp = 1;
        __builtin_memcpy(&tcp->stamp, &tcp->options[at + 2], 4);
    }
    return true;
}

/* The kernel's clock of timestamps, with what it shall remember in its last bits, and never ahead of it. */
ALWAYS_INLINE __u32 stamp_now(const struct tcp_copy *syn)
{
    __u32 now = (__u32)(bpf_ktime_get_ns() / 1000000);
    __u32 kept = (syn->has_scale ? syn->scale : STAMP_NO_SCALE) | (syn->has_sack ? STAMP_SACK : 0);
    __u32 stamp = now >> STAMP_BITS << STAMP_BITS | kept;
    return stamp > now ? stamp - (1 << STAMP_BITS) : stamp;
}

struct syn_ack {
    struct tcphdr head;
    __u8 mss_kind, mss_length;
    __be16 mss;
    __u8 sack_kind, sack_length; /* or two NOPs */
    __u8 stamp_kind, stamp_length;
    __be32 stamp, stamp_echo;
    __u8 nop, scale_kind, scale_length, scale;
} __attribute__((packed));

ALWAYS_INLINE void syn_ack_write(struct syn_ack *to, const struct tcp_copy *syn,
                                 const struct filter_settings *settings, __u32 cookie, bool is_v4)
{
    __builtin_memset(to, 0, sizeof *to);
    to->head.source = syn->head.dest;
    to->head.dest = syn->head.source;
    to->head.seq = bpf_htonl(cookie);
    to->head.ack_seq = bpf_htonl(bpf_ntohl(syn->head.seq) + 1);
    to->head.doff = SYN_ACK_BYTES / 4;
    to->head.syn = to->head.ack = 1;
    to->head.window = bpf_htons(FIRST_WINDOW);
    to->mss_kind = OPTION_MSS;
    to->mss_length = 4;
    to->mss = bpf_htons(is_v4 ? settings->mss4 : settings->mss6);
    if (!syn->has_stamp || !(settings->flags & FILTER_TIMESTAMPS))
        return;
    to->sack_kind = syn->has_sack ? OPTION_SACK : 1;
    to->sack_length = syn->has_sack ? 2 : 1;
    to->stamp_kind = OPTION_TIMESTAMP;
    to->stamp_length = 10;
    to->stamp = bpf_htonl(stamp_now(syn));
    to->stamp_echo = syn->stamp;
    if (!syn->has_scale)
        return;
    to->nop = 1;
    to->scale_kind = OPTION_SCALE;
    to->scale_length = 3;
    to->scale = settings->wscale;
}

ALWAYS_INLINE __u16 sum_fold(__u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (__u16)~sum;
}

/* The helper for this costs more than the additions. */
ALWAYS_INLINE __u64 sum_of(const __be32 *words, int n)
{
    __u64 sum = 0;
#pragma unroll
    for (int i = 0; i < n; i++)
        sum += words[i];
    return sum;
}

/* Of pseudo header and segment; the addresses add up the same whichever way round they stand. */
ALWAYS_INLINE __u16 syn_ack_sum(const struct syn_ack *segment, const struct packet *p)
{
    __u64 sum = bpf_htonl(SYN_ACK_BYTES) + bpf_htonl(IPPROTO_TCP);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (p->family == 4 && i < 3)
            continue;
        sum += (__u64)p->peer.word[i] + p->local.word[i];
    }
    return sum_fold(sum + sum_of((const __be32 *)segment, SYN_ACK_BYTES / 4));
}

ALWAYS_INLINE void ethernet_turn(struct ethhdr *ethernet)
{
    __u8 was[ETH_ALEN];
    __builtin_memcpy(was, ethernet->h_dest, ETH_ALEN);
    __builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
    __builtin_memcpy(ethernet->h_source, was, ETH_ALEN);
}

ALWAYS_INLINE void ip4_answer(struct iphdr *ip, const struct packet *p, __u8 ttl)
{
    __builtin_memset(ip, 0, sizeof *ip);
    ip->version = 4;
    ip->ihl = 5;
    ip->tot_len = bpf_htons(sizeof *ip + SYN_ACK_BYTES);
    ip->frag_off = bpf_htons(IP4_DF);
    ip->ttl = ttl;
    ip->protocol = IPPROTO_TCP;
    ip->saddr = p->local.word[3];
    ip->daddr = p->peer.word[3];
    ip->check = sum_fold(sum_of((const __be32 *)ip, sizeof *ip / 4));
}

ALWAYS_INLINE void ip6_answer(struct ipv6hdr *ip, const struct packet *p, __u8 ttl)
{
    __builtin_memset(ip, 0, sizeof *ip);
    ip->version = 6;
    ip->payload_len = bpf_htons(SYN_ACK_BYTES);
    ip->nexthdr = IPPROTO_TCP;
    ip->hop_limit = ttl;
    __builtin_memcpy(&ip->saddr, &p->local, 16);
    __builtin_memcpy(&ip->daddr, &p->peer, 16);
}

enum cookie_outcome { COOKIE_NOT_OURS, COOKIE_SENT, COOKIE_SPOILT };

/* The frame becomes the answer. Nothing was changed before this. A buffer may have no room for an answer that
 * is longer than the SYN (a virtual interface's is as long as its frame): then the kernel answers. */
ALWAYS_INLINE enum cookie_outcome answer_write(struct xdp_md *ctx, const struct packet *p,
                                               const struct filter_settings *settings,
                                               const struct tcp_copy *syn, __u32 cookie)
{
    bool is_v4 = p->family == 4;
    __u32 ip_at = p->ip_at & 31, ip_bytes = is_v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
    if (bpf_xdp_adjust_tail(ctx, (int)(ip_at + ip_bytes + SYN_ACK_BYTES) - (int)p->frame_bytes))
        return COOKIE_NOT_OURS;
    void *at = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    if (at + sizeof(struct ethhdr) > end)
        return COOKIE_SPOILT;
    ethernet_turn(at);
    at += ip_at;
    struct syn_ack *segment = at + sizeof(struct iphdr);
    if (is_v4) {
        if ((void *)(segment + 1) > end)
            return COOKIE_SPOILT;
        ip4_answer(at, p, settings->ttl);
    } else {
        segment = at + sizeof(struct ipv6hdr);
        if ((void *)(segment + 1) > end)
            return COOKIE_SPOILT;
        ip6_answer(at, p, settings->ttl);
    }
    syn_ack_write(segment, syn, settings, cookie, is_v4);
    segment->head.check = syn_ack_sum(segment, p);
    return COOKIE_SENT;
}

ONE_BY_ONE int cookie_answer(struct xdp_md *ctx, const struct packet *p)
{
    if (!p)
        return COOKIE_NOT_OURS;
    struct tcp_copy syn = {};
    union any_ip ip = {};
    const struct filter_settings *set = table_only(&settings);
    __u32 ip_bytes = addresses_of(p, &ip),
          options = bound_anew(tcp_copy_take(ctx, p->transport_at, &syn) - TCP_BYTES);
    if (!set || options > TCP_BYTES_MAX - TCP_BYTES)
        return COOKIE_NOT_OURS;
    struct bpf_sock *socket = socket_of(ctx, p, p->in_flood);
    if (!socket)
        return COOKIE_NOT_OURS;
    __s64 made = -1;
    if (socket->state == BPF_TCP_LISTEN)
        made = bpf_tcp_gen_syncookie(socket, &ip, ip_bytes, &syn.head, options + TCP_BYTES);
    bpf_sk_release(socket);
    if (made < 0)
        return COOKIE_NOT_OURS;
    for (int i = 0; i < 40 && syn_option_take(&syn); i++)
        ;
    return answer_write(ctx, p, set, &syn, (__u32)made);
}

/* An acknowledgement that reaches a listening socket ends a handshake that began with a cookie, or is noise.
 */
ONE_BY_ONE int ack_is_unasked(struct xdp_md *ctx, const struct packet *p)
{
    if (!p)
        return false;
    struct tcp_copy ack = {};
    union any_ip ip = {};
    __u32 ip_bytes = addresses_of(p, &ip),
          options = bound_anew(tcp_copy_take(ctx, p->transport_at, &ack) - TCP_BYTES);
    if (options > TCP_BYTES_MAX - TCP_BYTES)
        return false;
    struct bpf_sock *socket = socket_of(ctx, p, false);
    if (!socket)
        return false;
    bool unasked = socket->state == BPF_TCP_LISTEN &&
                   bpf_tcp_check_syncookie(socket, &ip, ip_bytes, &ack.head, options + TCP_BYTES) != 0;
    bpf_sk_release(socket);
    return unasked;
}

#endif
