/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* filter/ip4_options.bpf.h - options of IPv4: each within the header, none that names a way (RFC
 * 7126 4.3, 4.4). */
#ifndef POLDER_FILTER_IP4_OPTIONS_BPF_H
#define POLDER_FILTER_IP4_OPTIONS_BPF_H

#include "filter/packet.bpf.h"

enum { IP4_OPTIONS_MAX = 40, IP4_LOOSE_ROUTE = 131, IP4_STRICT_ROUTE = 137 };
enum { OPTION_LAST, OPTION_GOES_ON, OPTION_BAD };

struct ip4_options {
    __u8 bytes[IP4_OPTIONS_MAX + 4]; /* what was not there is 0: end of list */
    __u32 at, length;
};

ONE_BY_ONE int ip4_option_take(struct ip4_options *o)
{
    if (!o || o->at >= o->length || o->at >= IP4_OPTIONS_MAX)
        return OPTION_LAST;
    __u32 at = o->at;
    __u8 kind = o->bytes[at], length = o->bytes[at + 1];
    if (kind == 0)
        return OPTION_LAST;
    if (kind == 1)
        length = 1;
    else if (kind == IP4_LOOSE_ROUTE || kind == IP4_STRICT_ROUTE || length < 2)
        return OPTION_BAD;
    if (at + length > o->length)
        return OPTION_BAD;
    o->at = at + length;
    return OPTION_GOES_ON;
}

ONE_BY_ONE int ip4_options_are_bad(struct xdp_md *ctx, const struct packet *p)
{
    if (!p)
        return true;
    __u32 less_one = bound_anew(p->ip_options - 1u);
    if (less_one >= IP4_OPTIONS_MAX)
        return true;
    struct ip4_options options = {.length = p->ip_options};
    if (bpf_xdp_load_bytes(ctx, p->ip_at + sizeof(struct iphdr), options.bytes, less_one + 1))
        return true;
    int took = OPTION_GOES_ON;
    for (int i = 0; i <= IP4_OPTIONS_MAX && took == OPTION_GOES_ON; i++)
        took = ip4_option_take(&options);
    return took == OPTION_BAD;
}

#endif
