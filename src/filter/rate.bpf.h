/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* filter/rate.bpf.h - how much came lately from an address, a network, and a class as a whole.
 *
 * A count-min sketch of a fixed size: nothing is inserted for a stranger, so a flood of random sources finds
 * nothing to fill. Each cell carries the epoch of its last packet and halves for each epoch since
 * (FILTER_RATE). CPUs write without a lock: a lost count is a fraction of a percent, a lock would be half of
 * the cost. A cell that was last touched exactly 4,096 epochs (18 minutes) ago looks fresh; it holds one
 * address back for an epoch at most. */
#ifndef POLDER_FILTER_RATE_BPF_H
#define POLDER_FILTER_RATE_BPF_H

#include "filter/maps.bpf.h"

enum { SKETCH_CELLS = 65'536, CELL_COUNT_BITS = 20, CELL_COUNT_MAX = (1 << CELL_COUNT_BITS) - 1 };

__u32 sketch[3][SKETCH_CELLS]; /* two rows for addresses, one for networks */

ALWAYS_INLINE __u32 epoch_now(void)
{
    return (__u32)(bpf_ktime_get_coarse_ns() >> FILTER_EPOCH_SHIFT);
}

ALWAYS_INLINE __u64 mix(__u64 x)
{
    x ^= seed;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 32;
    x *= 0xc4ceb9fe1a85ec53ull;
    return x ^ x >> 29;
}

ALWAYS_INLINE __u32 cell_count(__u32 *cell, __u32 epoch)
{
    __u32 was = *cell;
    __u32 age = (epoch - (was >> CELL_COUNT_BITS)) & 0xfff;
    __u32 count = age > CELL_COUNT_BITS ? 0 : (was & CELL_COUNT_MAX) >> age;
    count += count < CELL_COUNT_MAX;
    *cell = epoch << CELL_COUNT_BITS | count;
    return count;
}

/* The address as one word: all of IPv4, the /64 of IPv6. */
ALWAYS_INLINE __u64 source_key(const union filter_ip *ip, bool is_v4)
{
    return is_v4 ? ip->word[3] : ip->half[0];
}

ALWAYS_INLINE __u64 prefix_key(const union filter_ip *ip, bool is_v4)
{
    __u64 mask = is_v4 ? bpf_htonl(0xffffff00) : bpf_cpu_to_be64(0xffffffffffff0000ull);
    return (source_key(ip, is_v4) & mask) ^ 0x9e3779b97f4a7c15ull;
}

ALWAYS_INLINE __u32 source_rate(const union filter_ip *ip, bool is_v4, __u32 epoch)
{
    __u64 hash = mix(source_key(ip, is_v4));
    __u32 a = cell_count(&sketch[0][hash & (SKETCH_CELLS - 1)], epoch);
    __u32 b = cell_count(&sketch[1][hash >> 32 & (SKETCH_CELLS - 1)], epoch);
    return a < b ? a : b;
}

ALWAYS_INLINE __u32 prefix_rate(const union filter_ip *ip, bool is_v4, __u32 epoch)
{
    return cell_count(&sketch[2][mix(prefix_key(ip, is_v4)) & (SKETCH_CELLS - 1)], epoch);
}

/* Counts in a number that starts anew in each epoch; what it stands at. */
ALWAYS_INLINE __u32 epoch_count(__u32 *at_epoch, __u32 *used, __u32 epoch)
{
    if (*at_epoch != epoch) {
        *at_epoch = epoch;
        *used = 0;
    }
    return ++*used;
}

ALWAYS_INLINE __u32 class_rate(struct filter_counts *counts, __u32 class, __u32 epoch)
{
    class &= FILTER_CLASS_MAX - 1;
    return epoch_count(&counts->class_epoch[class], &counts->class_used[class], epoch);
}

#endif
