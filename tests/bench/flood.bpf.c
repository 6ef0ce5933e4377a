/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* flood.bpf.c - the generator of bench_filter.c: frames with random sources, made inside the kernel.
 *
 * `flood` runs by bpf_prog_test_run with live frames: it writes a source address and sends the frame into a
 * veth. `first_random` does the same and goes on to the program that is measured, for runs without an
 * interface. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u32 target_interface;
__u32 source_mask; /* network order: which bits are random */
__u32 source_base;
__u8 template[80]; /* the frame: whoever answers in place leaves another one in the page that comes around */

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} measured SEC(".maps");

static inline __attribute__((always_inline)) __u16 sum_of(__be16 *words, int n, __u32 sum)
{
#pragma unroll
    for (int i = 0; i < n; i++)
        sum += words[i];
    sum = (sum & 0xffff) + (sum >> 16);
    return (__u16) ~((sum & 0xffff) + (sum >> 16));
}

/* A SYN without payload: the kernel looks at its checksum (programs do not). */
static inline __attribute__((always_inline)) void tcp_sum(struct iphdr *ip)
{
    struct tcphdr *tcp = (void *)(ip + 1);
    __u32 addresses = (ip->saddr & 0xffff) + (ip->saddr >> 16) + (ip->daddr & 0xffff) + (ip->daddr >> 16);
    tcp->check = 0;
    tcp->check =
        sum_of((__be16 *)tcp, sizeof *tcp / 2, addresses + bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof *tcp));
}

static inline __attribute__((always_inline)) int source_write(struct xdp_md *ctx)
{
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    struct ethhdr *ethernet = data;
    struct iphdr *ip = data + sizeof *ethernet;
    struct ipv6hdr *ip6 = data + sizeof *ethernet;
    if (data + 74 <= end)
        __builtin_memcpy(data, template, 74);
    else if (data + 54 <= end)
        __builtin_memcpy(data, template, 54);
    else
        return -1;
    __u32 source = bpf_ntohl(source_base | (bpf_get_prandom_u32() & source_mask));
    if (source >> 24 == 0 || source >> 24 == 127 || source >> 28 >= 14)
        source ^= 0x55000000; /* no address of a host */
    source = bpf_htonl(source);
    if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
        ip6->saddr.in6_u.u6_addr32[1] = source;
        return 0;
    }
    ip->saddr = source;
    ip->check = 0;
    ip->check = sum_of((__be16 *)ip, sizeof *ip / 2, 0);
    if (ip->protocol == IPPROTO_TCP)
        tcp_sum(ip);
    return 0;
}

SEC("xdp")
int flood(struct xdp_md *ctx)
{
    return source_write(ctx) ? XDP_DROP : bpf_redirect(target_interface, 0);
}

SEC("xdp.frags")
int first_random(struct xdp_md *ctx)
{
    if (source_write(ctx) == 0)
        bpf_tail_call(ctx, &measured, 0);
    return XDP_ABORTED;
}

SEC("xdp")
int drop(struct xdp_md *ctx)
{
    return XDP_DROP;
}
