/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* filter/class.bpf.h - who a peer is, and which rules hold for it.
 *
 * One byte for its network is read first. Only when that byte says that there is more (a longer prefix, a
 * rule, a single address) is anything else looked up: random sources cost one cache line, not a trie.
 *
 * Invariant: a class that was earned, or lost, at run time never weakens what is listed. A partner, the
 * inside and the management line stay what they are whatever happens to one of their addresses. */
#ifndef POLDER_FILTER_CLASS_BPF_H
#define POLDER_FILTER_CLASS_BPF_H

#include "filter/maps.bpf.h"

struct peer {
    __u32 class;
    __u32 rules; /* 0: none */
};

ALWAYS_INLINE bool class_is_listed(__u32 class)
{
    return class >= FILTER_CLASS_PARTNER;
}

ALWAYS_INLINE void peer_take_net(struct peer *peer, const struct filter_net *net)
{
    if (!net)
        return;
    peer->class = net->class;
    peer->rules = net->rules;
}

ALWAYS_INLINE void peer_take_host(struct peer *peer, const struct filter_host *host)
{
    if (!host || class_is_listed(peer->class) || host->until_ns < bpf_ktime_get_boot_ns())
        return;
    peer->class = host->class;
}

ALWAYS_INLINE __u8 cell_of4(__be32 ip)
{
    __u32 host = bpf_ntohl(ip), row = index16(host >> 16);
    struct cells16 *wide = table_only(&class16);
    if (wide && !(wide->of[row] & FILTER_CELL_FINER))
        return wide->of[row];
    struct cells *cells = bpf_map_lookup_elem(&class24, &row);
    return cells ? cells->of[index16(host >> 8) & 0xff] : FILTER_CELL_NET;
}

ALWAYS_INLINE void peer_find4(struct peer *peer, __be32 ip)
{
    __u8 cell = cell_of4(ip);
    peer->class = cell & FILTER_CELL_CLASS;
    if (cell & FILTER_CELL_NET) {
        struct filter_net_key4 key = {.bits = 32, .ip = ip};
        peer_take_net(peer, bpf_map_lookup_elem(&nets4, &key));
    }
    if (cell & FILTER_CELL_HOST)
        peer_take_host(peer, bpf_map_lookup_elem(&hosts4, &ip));
}

ALWAYS_INLINE __u8 cell_of6(__u64 network)
{
    __u32 hash = filter_gate6_hash(network), row = hash >> 8;
    struct cells *cells = bpf_map_lookup_elem(&gate6, &row);
    return cells ? cells->of[hash & 0xff] : FILTER_CELL_NET;
}

ALWAYS_INLINE void peer_find6(struct peer *peer, const union filter_ip *ip, __u32 flags)
{
    __u64 upper = bpf_be64_to_cpu(ip->half[0]);
    __u8 cell = cell_of6(upper >> 16 << 16 | 48) | cell_of6(upper >> 32 << 32 | 32);
    if ((cell & FILTER_CELL_NET) || (flags & FILTER_ALWAYS_NETS6)) {
        struct filter_net_key6 key = {.bits = 128};
        __builtin_memcpy(key.ip, ip, 16);
        peer_take_net(peer, bpf_map_lookup_elem(&nets6, &key));
    }
    if (cell & FILTER_CELL_HOST)
        peer_take_host(peer, bpf_map_lookup_elem(&hosts6, &upper));
}

#endif
