/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* filter/packet.bpf.h - one reading of a frame, or the reason why it has none.
 *
 * Invariants
 * 1. Nothing behind what the outermost length says is looked at, and a length that the frame does not have is
 *    never believed.
 * 2. Addresses, protocol and ports are only set once all headers before them made sense.
 * 3. What has no ports has a kind that says so (later fragments and unknown protocols are OPAQUE, packets
 * inside packets TUNNEL); it is never taken for port 0.
 * 4. Going out, lengths are the kernel's own: a segment that the card will cut may be longer than its header
 *    says (`is_out`). */
#ifndef POLDER_FILTER_PACKET_BPF_H
#define POLDER_FILTER_PACKET_BPF_H

#include "filter/maps.bpf.h"

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

enum packet_kind {
    PACKET_FLOW,   /* TCP, UDP, ICMP */
    PACKET_OPAQUE, /* cannot be looked into */
    PACKET_TUNNEL,
    PACKET_LINK, /* what a link needs to work at all: ARP, neighbour discovery, multicast membership */
    PACKET_ODD,  /* not IP */
};

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32 };
enum { WHOLE, FIRST_FRAGMENT, LATER_FRAGMENT };
enum { IP4_DF = 0x4000, IP4_MF = 0x2000, IP4_RESERVED = 0x8000, IP4_OFFSET = 0x1fff };
enum { IP6_HEADERS_MAX = 5 };

/* As seen from here: the peer is whoever is on the other side, whoever sent it. No pointers: it is handed to
 * functions that the verifier looks at one by one. */
struct packet {
    union filter_ip peer, local;
    __u32 frame_bytes;
    __u32 fragment_id;
    __u16 fragment_from, fragment_to; /* units of 8 bytes */
    __u16 ip_at, transport_at;        /* offsets in the frame */
    __u16 peer_port, local_port;      /* host order */
    __u8 family;                      /* 4, 6, or 0: not IP */
    __u8 protocol, tcp_flags, icmp_type, kind, fragment, is_plain_ip /* no options or extension headers */;
    __u8 ip_options; /* bytes of IPv4 options, which ip4_options.bpf.h reads */
    __u8 is_out;
    __u8 is_opening;   /* nothing went before it: TCP's SYN */
    __u8 level;        /* under which it stands */
    __u8 in_flood;     /* SYNs come faster than usual */
    __u16 cookie_port; /* then asked for with this one */
    __u32 services;    /* what it may be for, if the peer began */
    __u32 asked;       /* what it may be for, if we began */
};

/* Of either family; <linux/icmp.h> would bring the C library along. */
struct icmp_head {
    __u8 type, code;
    __be16 checksum;
    __be32 rest;
};

enum { ICMP4_REDIRECT = 5, ICMP4_LAST = 18 };

struct vlan_tag {
    __be16 tci, type;
};

ALWAYS_INLINE void take_ports(struct packet *p, __be16 source, __be16 target)
{
    p->peer_port = bpf_ntohs(p->is_out ? target : source);
    p->local_port = bpf_ntohs(p->is_out ? source : target);
}

ALWAYS_INLINE enum filter_reason parse_tcp(struct packet *p, void *at, void *end, __u32 bytes)
{
    struct tcphdr *tcp = at;
    if ((void *)(tcp + 1) > end || bytes < sizeof *tcp)
        return p->fragment == FIRST_FRAGMENT ? FILTER_FRAGMENT_TINY : FILTER_TCP_SHORT;
    __u32 header = tcp->doff * 4;
    if (header < sizeof *tcp || header > bytes)
        return p->fragment == FIRST_FRAGMENT && header > bytes ? FILTER_FRAGMENT_TINY : FILTER_TCP_OFFSET;
    p->tcp_flags = ((__u8 *)tcp)[13] & 0x3f;
    __u8 f = p->tcp_flags;
    if (!(f & (TCP_SYN | TCP_RST | TCP_ACK)) || ((f & TCP_SYN) && (f & (TCP_FIN | TCP_RST))) ||
        ((f & TCP_FIN) && (f & TCP_RST)) || ((f & TCP_FIN) && !(f & TCP_ACK)))
        return FILTER_TCP_FLAGS;
    p->is_opening = (f & (TCP_SYN | TCP_ACK)) == TCP_SYN;
    take_ports(p, tcp->source, tcp->dest);
    return tcp->source && tcp->dest ? FILTER_PASSED : FILTER_PORT_ZERO;
}

ALWAYS_INLINE enum filter_reason parse_udp(struct packet *p, void *at, void *end, __u32 bytes)
{
    struct udphdr *udp = at;
    if ((void *)(udp + 1) > end || bytes < sizeof *udp)
        return p->fragment == FIRST_FRAGMENT ? FILTER_FRAGMENT_TINY : FILTER_UDP_SHORT;
    __u32 said = bpf_ntohs(udp->len);
    /* A first fragment is shorter than its datagram. */
    if (said < sizeof *udp || (p->fragment == WHOLE && !p->is_out && said != bytes) ||
        (p->fragment == FIRST_FRAGMENT && said <= bytes))
        return FILTER_UDP_LENGTH;
    take_ports(p, udp->source, udp->dest);
    return udp->dest ? FILTER_PASSED : FILTER_PORT_ZERO; /* a source port of 0 is legal (RFC 768) */
}

ALWAYS_INLINE enum filter_reason parse_icmp(struct packet *p, void *at, void *end, __u32 bytes)
{
    struct icmp_head *icmp = at;
    if ((void *)(icmp + 1) > end || bytes < sizeof *icmp)
        return p->fragment == FIRST_FRAGMENT ? FILTER_FRAGMENT_TINY : FILTER_ICMP_SHORT;
    p->icmp_type = icmp->type;
    /* Redirects change routes: nobody outside may ask for that. An error needs no fragments. */
    if (icmp->type == ICMP4_REDIRECT || icmp->type > ICMP4_LAST)
        return FILTER_ICMP_TYPE;
    return FILTER_PASSED;
}

/* Neighbour discovery must come from the link itself: hop limit 255 (RFC 4861 6.1), never fragmented (RFC
 * 6980). Multicast membership travels with hop limit 1 (RFC 3810 5). */
ALWAYS_INLINE enum filter_reason parse_icmp6(struct packet *p, void *at, void *end, __u32 bytes, __u8 hops)
{
    struct icmp_head *icmp = at;
    if ((void *)(icmp + 1) > end || bytes < sizeof *icmp)
        return p->fragment == FIRST_FRAGMENT ? FILTER_FRAGMENT_TINY : FILTER_ICMP_SHORT;
    __u8 type = p->icmp_type = icmp->type;
    if (type >= 133 && type <= 137) {
        if (hops != 255 || p->fragment != WHOLE || (type == 137 && !p->is_out))
            return FILTER_ICMP_TYPE;
        p->kind = PACKET_LINK;
    } else if ((type >= 130 && type <= 132) || type == 143) {
        if (hops != 1)
            return FILTER_ICMP_TYPE;
        p->kind = PACKET_LINK;
    }
    return FILTER_PASSED;
}

ALWAYS_INLINE enum filter_reason parse_transport(struct packet *p, void *at, void *end, __u32 bytes,
                                                 __u8 hops)
{
    if (p->fragment == LATER_FRAGMENT) {
        p->kind = PACKET_OPAQUE;
        return FILTER_PASSED;
    }
    switch (p->protocol) {
    case IPPROTO_TCP:
        return parse_tcp(p, at, end, bytes);
    case IPPROTO_UDP:
        return parse_udp(p, at, end, bytes);
    case IPPROTO_ICMP:
        return p->family == 4 ? parse_icmp(p, at, end, bytes) : FILTER_ICMP_TYPE;
    case IPPROTO_ICMPV6:
        return p->family == 6 ? parse_icmp6(p, at, end, bytes, hops) : FILTER_ICMP_TYPE;
    case IPPROTO_IPIP:
    case IPPROTO_IPV6:
    case IPPROTO_GRE:
    case 137: /* MPLS in IP */
        p->kind = PACKET_TUNNEL;
        return FILTER_PASSED;
    default:
        p->kind = PACKET_OPAQUE;
        return FILTER_PASSED;
    }
}

/* Common to both families. offset and bytes in bytes, limit: the largest packet there can be. */
ALWAYS_INLINE enum filter_reason parse_fragment(struct packet *p, __u32 offset, __u32 bytes, bool more,
                                                __u32 limit)
{
    if (offset == 0 && !more)
        return FILTER_PASSED;
    if (bytes == 0 || (more && bytes % 8))
        return FILTER_FRAGMENT_LENGTH;
    if (offset + bytes > limit)
        return FILTER_FRAGMENT_END;
    if (offset == 8 && p->protocol == IPPROTO_TCP) /* would rewrite the flags (RFC 3128) */
        return FILTER_FRAGMENT_TINY;
    p->fragment = offset ? LATER_FRAGMENT : FIRST_FRAGMENT;
    p->fragment_from = (__u16)(offset / 8);
    p->fragment_to = (__u16)((offset + bytes + 7) / 8);
    return FILTER_PASSED;
}

ALWAYS_INLINE bool ip4_is_possible_source(__be32 ip)
{
    __u32 host = bpf_ntohl(ip);
    return host >> 28 < 14 && host >> 24 != 127 &&
           host >> 24 != 0; /* multicast, reserved, loopback, nothing */
}

ALWAYS_INLINE void ip4_mapped(union filter_ip *ret, __be32 ip)
{
    ret->half[0] = 0;
    ret->word[2] = bpf_htonl(0xffff);
    ret->word[3] = ip;
}

ALWAYS_INLINE enum filter_reason parse_ip4(struct packet *p, void *at, void *end, __u32 left)
{
    struct iphdr *ip = at;
    if ((void *)(ip + 1) > end)
        return FILTER_IP4_SHORT;
    __u32 header = ip->ihl * 4;
    if (ip->version != 4 || header < sizeof *ip)
        return FILTER_IP4_HEADER;
    __u32 total = bpf_ntohs(ip->tot_len);
    if (p->is_out && (total == 0 || total > left))
        total = left;
    if (total < header || total > left)
        return FILTER_IP4_LENGTH;
    p->family = 4;
    p->is_plain_ip = header == sizeof *ip;
    p->ip_options = (__u8)(header - sizeof *ip);
    p->protocol = ip->protocol;
    ip4_mapped(&p->peer, p->is_out ? ip->daddr : ip->saddr);
    ip4_mapped(&p->local, p->is_out ? ip->saddr : ip->daddr);
    if (!p->is_out && (!ip4_is_possible_source(ip->saddr) || ip->saddr == ip->daddr ||
                       bpf_ntohl(ip->daddr) >> 24 == 127 || ip->daddr == 0))
        return FILTER_ADDRESS;
    __u32 piece = bpf_ntohs(ip->frag_off);
    if (piece & IP4_RESERVED)
        return FILTER_IP4_HEADER;
    p->fragment_id = ip->id;
    enum filter_reason bad =
        parse_fragment(p, (piece & IP4_OFFSET) * 8, total - header, piece & IP4_MF, 65'535 - header);
    if (bad)
        return bad;
    header &= 63;
    p->transport_at = (__u16)(p->ip_at + header);
    return parse_transport(p, at + header, end, total - header, ip->ttl);
}

ALWAYS_INLINE bool ip6_is_possible_source(const union filter_ip *ip)
{
    if (ip->byte[0] == 0xff)
        return false;
    if (ip->half[0])
        return true;
    /* loopback, and an IPv4 address in disguise (RFC 4942 2.2); none at all is right in ICMPv6 only */
    return !(ip->word[2] == 0 && ip->word[3] == bpf_htonl(1)) && ip->word[2] != bpf_htonl(0xffff);
}

struct header6 { /* how all extension headers begin */
    __u8 next, length;
    __be16 piece; /* of a fragment header, or type and segments left of a routing header */
    __be32 id;
};

struct chain6 {
    void *at, *end;
    __u32 left;
    __u8 seen;
    __u8 ended;
};

enum { SEEN_HOPS = 1, SEEN_ROUTING = 2, SEEN_FRAGMENT = 4, SEEN_TARGET = 8, SEEN_TARGET_AGAIN = 16 };

/* The bit of an extension header, or 0: not one. */
ALWAYS_INLINE __u8 header6_bit(const struct chain6 *c, __u8 next)
{
    if (next == IPPROTO_HOPOPTS)
        return SEEN_HOPS;
    if (next == IPPROTO_ROUTING)
        return SEEN_ROUTING;
    if (next == IPPROTO_FRAGMENT)
        return SEEN_FRAGMENT;
    if (next == IPPROTO_DSTOPTS)
        return c->seen & SEEN_TARGET ? SEEN_TARGET_AGAIN : SEEN_TARGET;
    return 0;
}

ALWAYS_INLINE enum filter_reason parse_header6(struct packet *p, struct chain6 *c)
{
    __u8 bit = header6_bit(c, p->protocol);
    if (!bit) {
        c->ended = true;
        return FILTER_PASSED;
    }
    if ((c->seen & bit) || (bit == SEEN_HOPS && c->seen))
        return FILTER_IP6_HEADERS;
    struct header6 *h = c->at;
    if ((void *)(h + 1) > c->end || c->left < sizeof *h)
        return p->fragment == FIRST_FRAGMENT ? FILTER_FRAGMENT_TINY : FILTER_IP6_SHORT;
    __u32 bytes = bit == SEEN_FRAGMENT ? 8 : (h->length + 1u) * 8;
    if (bytes > c->left)
        return p->fragment == FIRST_FRAGMENT ? FILTER_FRAGMENT_TINY : FILTER_IP6_SHORT;
    c->seen |= bit;
    c->at += bytes;
    c->left -= bytes;
    p->protocol = h->next;
    __u32 piece = bpf_ntohs(h->piece);
    if (bit == SEEN_ROUTING && ((piece >> 8) == 0 || (piece & 0xff))) /* type 0 (RFC 5095), or a way to go */
        return FILTER_IP6_ROUTING;
    if (bit != SEEN_FRAGMENT)
        return FILTER_PASSED;
    p->fragment_id = h->id;
    enum filter_reason bad = parse_fragment(p, piece & 0xfff8, c->left, piece & 1, 65'535);
    c->ended = p->fragment == LATER_FRAGMENT;
    return bad;
}

ALWAYS_INLINE enum filter_reason parse_ip6(struct packet *p, void *at, void *end, __u32 left)
{
    struct ipv6hdr *ip = at;
    if ((void *)(ip + 1) > end)
        return FILTER_IP6_SHORT;
    if (ip->version != 6)
        return FILTER_IP6_VERSION;
    __u32 payload = bpf_ntohs(ip->payload_len);
    if (p->is_out && (payload == 0 || payload + sizeof *ip > left))
        payload = left - sizeof *ip;
    if (payload == 0 || payload + sizeof *ip > left) /* 0: a jumbogram, which no interface here carries */
        return FILTER_IP6_LENGTH;
    p->family = 6;
    p->protocol = ip->nexthdr;
    __builtin_memcpy(&p->peer, p->is_out ? &ip->daddr : &ip->saddr, 16);
    __builtin_memcpy(&p->local, p->is_out ? &ip->saddr : &ip->daddr, 16);
    struct chain6 chain = {.at = ip + 1, .end = end, .left = payload};
    for (int i = 0; i < IP6_HEADERS_MAX && !chain.ended; i++) {
        enum filter_reason bad = parse_header6(p, &chain);
        if (bad)
            return bad;
    }
    if (!chain.ended && header6_bit(&chain, p->protocol))
        return FILTER_IP6_HEADERS;
    p->is_plain_ip = chain.seen == 0;
    p->transport_at = (__u16)(p->ip_at + sizeof *ip);
    bool has_source = p->peer.half[0] | p->peer.half[1];
    if (!p->is_out && (!ip6_is_possible_source(&p->peer) || (!has_source && p->protocol != IPPROTO_ICMPV6) ||
                       (p->peer.half[0] == p->local.half[0] && p->peer.half[1] == p->local.half[1])))
        return FILTER_ADDRESS;
    return parse_transport(p, chain.at, end, chain.left, ip->hop_limit);
}

/* A frame of frame_bytes, of which what lies between at and end can be seen. */
ALWAYS_INLINE enum filter_reason parse_frame(struct packet *p, void *at, void *end)
{
    struct ethhdr *ethernet = at;
    if ((void *)(ethernet + 1) > end)
        return FILTER_FRAME_SHORT;
    __be16 type = ethernet->h_proto;
    __u32 ip_at = sizeof *ethernet;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
            break;
        struct vlan_tag *tag = at + ip_at;
        if ((void *)(tag + 1) > end)
            return FILTER_FRAME_SHORT;
        type = tag->type;
        ip_at += sizeof *tag;
    }
    p->ip_at = (__u16)ip_at;
    if (type == bpf_htons(ETH_P_IP))
        return parse_ip4(p, at + ip_at, end, p->frame_bytes - ip_at);
    if (type == bpf_htons(ETH_P_IPV6))
        return parse_ip6(p, at + ip_at, end, p->frame_bytes - ip_at);
    if (type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD))
        return FILTER_FRAME_TAGS;
    p->kind = type == bpf_htons(ETH_P_ARP) ? PACKET_LINK : PACKET_ODD;
    return FILTER_PASSED;
}

#endif
