/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* filter/fragment.bpf.h - fragments that overlap (RFC 5722, RFC 1858).
 *
 * A table of fixed size, one slot for the hash of a datagram, in which the parts seen so far stand. A flood
 * of fragments can push a datagram out of its slot: then an overlap goes unseen here, and the kernel's own
 * reassembly, which refuses them too, is what is left; where the level refuses what cannot be looked into,
 * later fragments do not pass at all. Nobody is refused because of somebody else's slot. */
#ifndef POLDER_FILTER_FRAGMENT_BPF_H
#define POLDER_FILTER_FRAGMENT_BPF_H

#include "filter/packet.bpf.h"
#include "filter/rate.bpf.h"

/* Puts [from, to) into the slot; the lock is held. */
ALWAYS_INLINE enum filter_reason fragments_take(struct filter_fragments *slot, __u16 from, __u16 to)
{
    int place = -1;
    bool overlaps = false;
#pragma unroll
    for (int i = 0; i < FILTER_FRAGMENT_PARTS; i++) {
        __u16 part_from = slot->part[i].from, part_to = slot->part[i].to;
        if (from < part_to && to > part_from)
            overlaps = true;
        if (part_to == 0 || part_to == from)
            place = i;
    }
    if (overlaps)
        return FILTER_FRAGMENT_OVERLAP;
#pragma unroll
    for (int i = 0; i < FILTER_FRAGMENT_PARTS; i++) {
        if (i != place)
            continue;
        if (slot->part[i].to != from || from == 0)
            slot->part[i].from = from;
        slot->part[i].to = to;
    }
    return place < 0 ? FILTER_FRAGMENT_SCATTER : FILTER_PASSED;
}

ONE_BY_ONE int fragment_check(const struct packet *p)
{
    if (!p)
        return FILTER_FRAGMENT_SCATTER;
    __u64 hash = mix(p->peer.half[0] ^ mix(p->peer.half[1] ^ mix(p->local.half[1])) ^
                     ((__u64)p->fragment_id << 8 | p->family));
    __u32 index = (__u32)hash & (FILTER_FRAGMENT_SLOTS - 1), tag = (__u32)(hash >> 32);
    __u16 from = p->fragment_from, to = p->fragment_to;
    struct filter_fragments *slot = bpf_map_lookup_elem(&fragments, &index);
    if (!slot)
        return FILTER_FRAGMENT_SCATTER;
    __u64 now = bpf_ktime_get_coarse_ns();
    bpf_spin_lock(&slot->lock);
    if (slot->tag != tag || now - slot->since_ns > FILTER_FRAGMENT_NS) {
        slot->tag = tag;
        slot->since_ns = now;
#pragma unroll
        for (int i = 0; i < FILTER_FRAGMENT_PARTS; i++)
            slot->part[i].from = slot->part[i].to = 0;
    }
    enum filter_reason bad = fragments_take(slot, from, to);
    bpf_spin_unlock(&slot->lock);
    return bad;
}

#endif
