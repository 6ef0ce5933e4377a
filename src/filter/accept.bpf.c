/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* filter/accept.bpf.c - who waits in which accept queue: chosen at the SYN, by the class that the packet
 * programs see too.
 *
 * Each worker has two listening sockets for an address: one for partners, the inside, management and known
 * users, which it empties first, and one for everybody else. What cannot be decided here is left to the
 * kernel, which takes any of them.
 *
 * The kernel asks again at the last packet of a handshake that was begun with a cookie: then there is no
 * other memory of it. */
#include "filter/class.bpf.h"

#include <linux/if_ether.h>

enum { SOURCE_AT_4 = 12, SOURCE_AT_6 = 8, FAMILY_4 = 2 };

struct TABLE(BPF_MAP_TYPE_HASH, struct filter_group_key, struct filter_group, FILTER_GROUPS, 0) accept_groups
    SEC(".maps");
struct TABLE(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, __u32, __u64, FILTER_GROUPS *FILTER_GROUP_SOCKETS,
             0) accept_sockets SEC(".maps");

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* volatile: each field is read at its own fixed offset, or the verifier sees arithmetic on a socket. */
ALWAYS_INLINE struct filter_group *group_of(const volatile struct bpf_sock *sk)
{
    struct filter_group_key key = {.port = sk->src_port};
    __u32 four = sk->src_ip4, a = sk->src_ip6[0], b = sk->src_ip6[1], c = sk->src_ip6[2], d = sk->src_ip6[3];
    bool is_v4 = sk->family == FAMILY_4;
    key.ip.word[0] = is_v4 ? 0 : a;
    key.ip.word[1] = is_v4 ? 0 : b;
    key.ip.word[2] = is_v4 ? bpf_htonl(0xffff) : c;
    key.ip.word[3] = is_v4 ? four : d;
    return bpf_map_lookup_elem(&accept_groups, &key);
}

ALWAYS_INLINE bool peer_find(struct sk_reuseport_md *ctx, struct peer *peer)
{
    const struct filter_settings *set = table_only(&settings);
    union filter_ip ip = {};
    if (!set)
        return false;
    if (ctx->eth_protocol == bpf_htons(ETH_P_IP)) {
        __be32 source = 0;
        if (bpf_skb_load_bytes_relative(ctx, SOURCE_AT_4, &source, sizeof source, BPF_HDR_START_NET))
            return false;
        peer_find4(peer, source);
        return true;
    }
    if (bpf_skb_load_bytes_relative(ctx, SOURCE_AT_6, &ip, sizeof ip, BPF_HDR_START_NET))
        return false;
    peer_find6(peer, &ip, set->flags);
    return true;
}

ALWAYS_INLINE bool goes_first(__u32 class)
{
    return class >= FILTER_CLASS_KNOWN && class < FILTER_CLASS_BLOCKED;
}

SEC("sk_reuseport")
int polder_accept(struct sk_reuseport_md *ctx)
{
    struct peer peer = {};
    struct filter_group *group = ctx->sk ? group_of(ctx->sk) : 0;
    if (!group || !group->workers || !peer_find(ctx, &peer))
        return SK_PASS;
    __u32 slot = ctx->hash % group->workers;
    __u32 key = filter_group_socket(group->number, slot, goes_first(peer.class));
    if (bpf_sk_select_reuseport(ctx, &accept_sockets, &key, 0) && goes_first(peer.class)) {
        key = filter_group_socket(group->number, slot, 0);
        bpf_sk_select_reuseport(ctx, &accept_sockets, &key, 0);
    }
    return SK_PASS;
}
