/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* filter/maps.bpf.h - the tables that programs and loader share, and what one program was loaded with.
 *
 * All of them are pinned, so that a new program takes over what the old one knew. The sketch is not: it is
 * forgotten in a second anyway. */
#ifndef POLDER_FILTER_MAPS_BPF_H
#define POLDER_FILTER_MAPS_BPF_H

#include "filter/filter_abi.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#define TABLE(kind, key_type, value_type, entries, map_flag)                                                 \
    {                                                                                                        \
        __uint(type, kind);                                                                                  \
        __type(key, key_type);                                                                               \
        __type(value, value_type);                                                                           \
        __uint(max_entries, entries);                                                                        \
        __uint(map_flags, map_flag);                                                                         \
    }

struct cells {
    __u8 of[256];
};
struct cells16 {
    __u8 of[65'536];
};
struct port_services {
    __u16 of[2][65'536]; /* [UDP][port] */
};

struct TABLE(BPF_MAP_TYPE_ARRAY, __u32, struct filter_control, 1, BPF_F_MMAPABLE) control SEC(".maps");
struct TABLE(BPF_MAP_TYPE_ARRAY, __u32, struct filter_settings, 1, BPF_F_MMAPABLE) settings SEC(".maps");
struct TABLE(BPF_MAP_TYPE_ARRAY, __u32, struct filter_level, FILTER_LEVEL_MAX, 0) levels SEC(".maps");
struct TABLE(BPF_MAP_TYPE_ARRAY, __u32, struct cells16, 1, BPF_F_MMAPABLE) class16 SEC(".maps");
struct TABLE(BPF_MAP_TYPE_ARRAY, __u32, struct cells, 65'536, BPF_F_MMAPABLE) class24 SEC(".maps");
struct TABLE(BPF_MAP_TYPE_ARRAY, __u32, struct cells, FILTER_GATE_ROWS, BPF_F_MMAPABLE) gate6 SEC(".maps");
struct TABLE(BPF_MAP_TYPE_LPM_TRIE, struct filter_net_key4, struct filter_net, FILTER_NETS_MAX,
             BPF_F_NO_PREALLOC) nets4 SEC(".maps");
struct TABLE(BPF_MAP_TYPE_LPM_TRIE, struct filter_net_key6, struct filter_net, FILTER_NETS_MAX,
             BPF_F_NO_PREALLOC) nets6 SEC(".maps");
struct TABLE(BPF_MAP_TYPE_HASH, __u32, struct filter_host, FILTER_HOSTS_MAX, 0) hosts4 SEC(".maps");
struct TABLE(BPF_MAP_TYPE_HASH, __u64, struct filter_host, FILTER_HOSTS_MAX, 0) hosts6 SEC(".maps");
struct TABLE(BPF_MAP_TYPE_ARRAY, __u32, struct filter_rule_set, FILTER_SETS, 0) rules SEC(".maps");
struct TABLE(BPF_MAP_TYPE_HASH, union filter_ip, struct filter_own, FILTER_OWN_MAX, 0) own SEC(".maps");
struct TABLE(BPF_MAP_TYPE_ARRAY, __u32, struct port_services, 1, BPF_F_MMAPABLE) ports SEC(".maps");
struct TABLE(BPF_MAP_TYPE_LRU_HASH, struct filter_udp_key, __u64, FILTER_UDP_SEEN_MAX, 0) udp_seen
    SEC(".maps");
struct TABLE(BPF_MAP_TYPE_ARRAY, __u32, struct filter_fragments, FILTER_FRAGMENT_SLOTS, 0) fragments
    SEC(".maps");
struct TABLE(BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct filter_counts, 1, 0) counts SEC(".maps");
struct TABLE(BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct filter_own_counts, FILTER_OWN_MAX, 0) own_counts
    SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, FILTER_SAMPLE_RING);
} samples SEC(".maps");

/* What this copy of the program was loaded with. A judge answers what would become of a packet: it counts
 * nothing, remembers nothing, and may be asked about another level than the one in force. */
const volatile __u64 seed = 0;
const volatile __u32 is_judge = 0;
volatile __u32 judged_level = FILTER_LEVEL_MAX; /* FILTER_LEVEL_MAX: the one in force. Of this copy alone */

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NEVER_INLINE  static __attribute__((noinline))
/* A global function: the verifier looks at it once, for all arguments, and not again for each way to its
 * call. It must ask whether the pointers that it gets are there. */
#define ONE_BY_ONE __attribute__((noinline))

/* The compiler may prove a bound on one register and hand another one to the helper; the verifier wants to
 * see both bounds on the very register that is handed over. Nothing is known of the value after this. */
ALWAYS_INLINE __u32 bound_anew(__u32 value)
{
    asm volatile("" : "+r"(value));
    return value;
}

/* What comes out of a byte swap has no bounds for kernel 6.1. */
ALWAYS_INLINE __u32 index16(__u32 value)
{
    return bound_anew(value) & 0xffff;
}

/* The only entry of a table that has one. */
ALWAYS_INLINE void *table_only(void *table)
{
    __u32 first = 0;
    return bpf_map_lookup_elem(table, &first);
}

#endif
