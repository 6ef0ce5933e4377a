/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* filter/decide.bpf.h - does the level let it through, and do the rules?
 *
 * No connections are remembered. What a packet says of itself is enough for both directions together: a TCP
 * packet that opens nothing may be an answer, and at a level that refuses a peer neither its packets nor the
 * answers to them pass. UDP answers are looked up in what the egress program saw go out.
 *
 * Invariants
 * 1. A level that is not one of ours is the strictest one.
 * 2. Of two levels that concern a packet (site, cluster) the stricter holds.
 * 3. An exception ends by the clock here, whoever is still alive to take it back. */
#ifndef POLDER_FILTER_DECIDE_BPF_H
#define POLDER_FILTER_DECIDE_BPF_H

#include "filter/class.bpf.h"
#include "filter/packet.bpf.h"

ALWAYS_INLINE __u32 level_number(const struct filter_control *control, __u32 cluster)
{
    if (is_judge && judged_level < FILTER_LEVEL_COUNT)
        return judged_level;
    __u32 site = *(const volatile __u32 *)&control->level;
    __u32 own = *(const volatile __u32 *)&control->cluster_level[cluster & (FILTER_CLUSTERS - 1)];
    __u32 level = site > own ? site : own;
    return level < FILTER_LEVEL_COUNT ? level : FILTER_LEVEL_SEALED;
}

ALWAYS_INLINE __u32 services_of_icmp(const struct packet *p)
{
    bool is_v4 = p->family == 4;
    __u8 type = p->icmp_type;
    if (is_v4 ? type == 0 || type == 8 : type == 128 || type == 129)
        return FILTER_SERVES(PING);
    if (is_v4 ? type == 3 || type == 11 || type == 12 : type >= 1 && type <= 4)
        return FILTER_SERVES(ERROR);
    return FILTER_SERVES(OTHER);
}

ALWAYS_INLINE __u32 services_of_port(const struct packet *p, bool is_local)
{
    struct port_services *of = table_only(&ports);
    if (!of || !is_local)
        return FILTER_SERVES(OTHER);
    __u32 services = of->of[p->protocol == IPPROTO_UDP][index16(p->local_port)];
    return services ? services : FILTER_SERVES(OTHER);
}

/* is_local: ports of ours mean something there. */
ALWAYS_INLINE void packet_find_services(struct packet *p, bool is_local)
{
    if (p->kind == PACKET_TUNNEL)
        p->services = p->asked = FILTER_SERVES(TUNNEL);
    else if (p->kind != PACKET_FLOW)
        p->services = p->asked = FILTER_SERVES(OPAQUE);
    else if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
        p->services = p->asked = services_of_icmp(p);
    else {
        p->services = services_of_port(p, is_local);
        p->asked = FILTER_SERVES(OTHER);
    }
}

/* Did a question over UDP go out to which this is the answer? */
ONE_BY_ONE int udp_was_asked(const struct packet *p)
{
    if (!p)
        return 0;
    struct filter_udp_key key = {
        .peer = p->peer, .local = p->local, .peer_port = p->peer_port, .local_port = p->local_port};
    __u64 *until = bpf_map_lookup_elem(&udp_seen, &key);
    return until && *until > bpf_ktime_get_coarse_ns();
}

ALWAYS_INLINE bool packet_was_asked(const struct packet *p)
{
    if (p->is_out)
        return true;
    if (p->is_opening)
        return false;
    return p->kind != PACKET_FLOW || p->protocol != IPPROTO_UDP || udp_was_asked(p);
}

ALWAYS_INLINE bool may_be_begun_by_peer(const struct packet *p)
{
    return !p->is_out || !p->is_opening;
}

ALWAYS_INLINE bool level_allows(const struct filter_level *level, const struct packet *p, __u32 class)
{
    const struct filter_right *right = &level->right[class & (FILTER_CLASS_MAX - 1)];
    if ((right->in & p->services) && may_be_begun_by_peer(p))
        return true;
    return (right->out & p->asked) && packet_was_asked(p);
}

ALWAYS_INLINE bool rule_fits(const struct filter_rule *rule, const struct packet *p, __u64 now_ns)
{
    if (rule->protocol && rule->protocol != p->protocol)
        return false;
    if (rule->until_ns && rule->until_ns < now_ns)
        return false;
    if (rule->action == FILTER_RULE_ALLOW && rule->last_level < p->level)
        return false;
    bool any_port = rule->port_from == 0 && rule->port_to == 65'535;
    bool has_ports = p->kind == PACKET_FLOW && (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP);
    __u16 port = rule->direction == FILTER_IN ? p->local_port : p->peer_port;
    if (!any_port && (!has_ports || port < rule->port_from || port > rule->port_to))
        return false;
    return rule->direction == FILTER_IN ? may_be_begun_by_peer(p) : packet_was_asked(p);
}

/* What the first rule that fits says, FILTER_RULE_ABSENT when none does. */
ONE_BY_ONE int rules_find(const struct packet *p, __u32 set)
{
    struct filter_rule_set *of = bpf_map_lookup_elem(&rules, &set);
    if (!of || !p)
        return FILTER_RULE_BLOCK;
    __u64 now_ns = bpf_ktime_get_boot_ns();
    for (int i = 0; i < FILTER_RULES_A_SET; i++) {
        const struct filter_rule *rule = &of->rule[i];
        if (rule->action == FILTER_RULE_ABSENT)
            return FILTER_RULE_ABSENT;
        if (rule_fits(rule, p, now_ns))
            return rule->action;
    }
    return FILTER_RULE_ABSENT;
}

#endif
