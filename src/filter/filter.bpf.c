/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* filter/filter.bpf.c - the two programs: what comes in (XDP) and what goes out (tc).
 *
 *   in:  read -> whose, which level -> who -> blocked? -> rules, level -> answer nobody asked for?
 *        -> fragments -> rates -> cookie -> on
 *   out: read -> whose, which level -> to whom -> blocked? -> rules, level -> remember questions over UDP ->
 * on
 *
 * Invariants
 * 1. A table that cannot be read drops.
 * 2. What a dry run lets through is counted as what it would have been refused for. Where the level is
 * strict, there is no dry run of the level, nor of reading the packet.
 * 3. A judge (maps.bpf.h) leaves no trace. */
#include "filter/cookie.bpf.h"
#include "filter/decide.bpf.h"
#include "filter/fragment.bpf.h"
#include "filter/ip4_options.bpf.h"

#include <linux/pkt_cls.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct scene {
    struct packet packet;
    struct peer peer;
    struct filter_counts *counts;
    const struct filter_settings *settings;
    const struct filter_level *level;
    struct filter_own *own;
    __u32 reason;
};

ALWAYS_INLINE bool is_dry(const struct scene *s, __u32 reason)
{
    if (!(s->settings->dry_run >> (reason & 63) & 1))
        return false;
    bool opens = reason < FILTER_NESTED || reason == FILTER_LEVEL || reason == FILTER_LEVEL_UNKNOWN ||
                 reason == FILTER_ODD_FRAME || reason == FILTER_NESTED;
    return !opens || !s->level || !(s->level->flags & FILTER_LEVEL_STRICT);
}

/* True: the packet ends here. */
ALWAYS_INLINE bool refuse(struct scene *s, __u32 reason)
{
    if (is_dry(s, reason)) {
        if (!is_judge)
            s->counts->dry[s->packet.is_out & 1][reason & 63]++;
        return false;
    }
    s->reason = reason;
    return true;
}

ALWAYS_INLINE bool scene_begin(struct scene *s)
{
    s->counts = table_only(&counts);
    s->settings = table_only(&settings);
    return s->counts && s->settings;
}

/* Whose packet it is and under which level it stands. False: cannot be told. */
ALWAYS_INLINE bool scene_find_level(struct scene *s)
{
    struct filter_control *of = table_only(&control);
    if (!of)
        return false;
    __u32 cluster = 0;
    if (s->packet.family) {
        s->own = bpf_map_lookup_elem(&own, &s->packet.local);
        if (s->own)
            cluster = s->own->cluster;
    }
    __u32 number = level_number(of, cluster);
    s->packet.level = (__u8)number;
    s->level = bpf_map_lookup_elem(&levels, &number);
    return s->level;
}

ALWAYS_INLINE bool is_strict(const struct scene *s)
{
    return s->level->flags & FILTER_LEVEL_STRICT;
}

ALWAYS_INLINE __u32 level_reason(const struct packet *p)
{
    if (p->kind == PACKET_TUNNEL)
        return FILTER_NESTED;
    return p->kind == PACKET_OPAQUE ? FILTER_LEVEL_UNKNOWN : FILTER_LEVEL;
}

/* Lists, rules and level, the same for both directions. True: refused. */
ALWAYS_INLINE bool is_refused(struct scene *s)
{
    struct packet *p = &s->packet;
    if (p->family == 4)
        peer_find4(&s->peer, p->peer.word[3]);
    else
        peer_find6(&s->peer, &p->peer, s->settings->flags);
    if (s->peer.class >= FILTER_CLASS_BLOCKED) {
        if (refuse(s, FILTER_BLOCKED))
            return true;
        s->peer.class = FILTER_CLASS_UNKNOWN; /* a dry run: the levels give who is blocked nothing */
    }
    packet_find_services(p, s->own || !(s->settings->flags & FILTER_OWN_ONLY));
    int rule = s->peer.rules ? rules_find(p, s->peer.rules) : FILTER_RULE_ABSENT;
    if (rule == FILTER_RULE_BLOCK && refuse(s, FILTER_RULE))
        return true;
    return rule != FILTER_RULE_ALLOW && !level_allows(s->level, p, s->peer.class) &&
           refuse(s, level_reason(p));
}

ALWAYS_INLINE bool is_amplifier(__u16 port)
{
    switch (port) {
#define AMPLIFIER(number, name) case number:
#include "filter/amplifiers.def"
#undef AMPLIFIER
        return true;
    default:
        return false;
    }
}

ALWAYS_INLINE bool is_unasked_answer(struct scene *s)
{
    const struct packet *p = &s->packet;
    if (p->protocol != IPPROTO_UDP || p->kind != PACKET_FLOW || class_is_listed(s->peer.class) ||
        !is_amplifier(p->peer_port))
        return false;
    if ((s->settings->flags & FILTER_ASKED_FOR) && udp_was_asked(p))
        return false;
    return refuse(s, FILTER_AMPLIFICATION);
}

ALWAYS_INLINE bool is_too_much(struct scene *s, __u32 epoch)
{
    __u32 class = s->peer.class & (FILTER_CLASS_MAX - 1);
    bool is_limited = s->level->flags & FILTER_LEVEL_LIMITED, is_v4 = s->packet.family == 4;
    const struct filter_limits *limits = &s->settings->limits[is_limited][class];
    if (limits->source && source_rate(&s->packet.peer, is_v4, epoch) > limits->source &&
        refuse(s, FILTER_RATE_SOURCE))
        return true;
    if (limits->prefix && prefix_rate(&s->packet.peer, is_v4, epoch) > limits->prefix &&
        refuse(s, FILTER_RATE_PREFIX))
        return true;
    return limits->total && class_rate(s->counts, class, epoch) > limits->total &&
           refuse(s, FILTER_RATE_CLASS);
}

/* Cookies go to strangers only; they are in force by the level, or for the rest of this epoch and the next
 * once SYNs come faster than usual. */
ALWAYS_INLINE bool cookies_hold(struct scene *s, __u32 epoch)
{
    struct filter_counts *c = s->counts;
    const struct filter_settings *set = s->settings;
    if (!(set->flags & FILTER_COOKIES) || !s->packet.is_plain_ip || s->packet.fragment != WHOLE ||
        class_is_listed(s->peer.class) || s->peer.class == FILTER_CLASS_KNOWN)
        return false;
    if (s->packet.is_opening && set->syn_limit &&
        epoch_count(&c->syn_epoch, &c->syn_used, epoch) > set->syn_limit)
        c->syn_hot_epoch = epoch + 1;
    s->packet.in_flood = epoch - c->syn_hot_epoch + 1 <= 1;
    s->packet.cookie_port = (__u16)c->cookie_port;
    return s->level->flags & FILTER_LEVEL_COOKIES || s->packet.in_flood;
}

ALWAYS_INLINE int after_cookie(struct xdp_md *ctx, struct scene *s)
{
    if (s->packet.is_opening) {
        int outcome = cookie_answer(ctx, &s->packet);
        if (outcome == COOKIE_NOT_OURS) {
            s->counts->cookie_port += s->packet.in_flood;
            return XDP_PASS;
        }
        s->reason = outcome == COOKIE_SENT ? FILTER_COOKIE_SENT : FILTER_FRAME_SHORT;
        return outcome == COOKIE_SENT ? XDP_TX : XDP_DROP;
    }
    if ((s->packet.tcp_flags & (TCP_ACK | TCP_RST | TCP_SYN)) == TCP_ACK && ack_is_unasked(ctx, &s->packet) &&
        refuse(s, FILTER_ACK_UNASKED))
        return XDP_DROP;
    return XDP_PASS;
}

ALWAYS_INLINE int in_judge_frame(struct xdp_md *ctx, struct scene *s)
{
    struct packet *p = &s->packet;
    enum filter_reason bad = parse_frame(p, (void *)(long)ctx->data, (void *)(long)ctx->data_end);
    if (!bad && p->ip_options && ip4_options_are_bad(ctx, p))
        bad = FILTER_IP4_OPTIONS;
    if (!scene_find_level(s))
        return XDP_DROP;
    if (bad)
        return refuse(s, bad) ? XDP_DROP : XDP_PASS;
    if (p->kind == PACKET_LINK) {
        s->reason = FILTER_LINK;
        return XDP_PASS;
    }
    if (p->kind == PACKET_ODD)
        return is_strict(s) && refuse(s, FILTER_ODD_FRAME) ? XDP_DROP : XDP_PASS;
    if (is_refused(s))
        return XDP_DROP;
    if (is_judge)
        return XDP_PASS;
    if (is_unasked_answer(s))
        return XDP_DROP;
    if (p->fragment != WHOLE) {
        bad = fragment_check(p);
        if (bad && refuse(s, bad))
            return XDP_DROP;
    }
    __u32 epoch = epoch_now();
    if (is_too_much(s, epoch))
        return XDP_DROP;
    if (p->kind == PACKET_FLOW && p->protocol == IPPROTO_TCP && cookies_hold(s, epoch))
        return after_cookie(ctx, s);
    return XDP_PASS;
}

ONE_BY_ONE int question_remember(const struct packet *p)
{
    if (!p)
        return 0;
    struct filter_udp_key key = {
        .peer = p->peer, .local = p->local, .peer_port = p->peer_port, .local_port = p->local_port};
    __u64 until = bpf_ktime_get_coarse_ns() + FILTER_UDP_SEEN_NS;
    __u64 *was = bpf_map_lookup_elem(&udp_seen, &key);
    if (was && until - *was < FILTER_UDP_SEEN_NS / 4)
        return 0;
    return (int)bpf_map_update_elem(&udp_seen, &key, &until, BPF_ANY);
}

ALWAYS_INLINE int out_judge_frame(struct __sk_buff *skb, struct scene *s)
{
    struct packet *p = &s->packet;
    enum filter_reason bad = parse_frame(p, (void *)(long)skb->data, (void *)(long)skb->data_end);
    if (!scene_find_level(s))
        return TC_ACT_SHOT;
    if (bad) /* it is our own: only where what is unknown is refused */
        return is_strict(s) && refuse(s, bad) ? TC_ACT_SHOT : TC_ACT_OK;
    if (p->kind == PACKET_LINK) {
        s->reason = FILTER_LINK;
        return TC_ACT_OK;
    }
    if (p->kind == PACKET_ODD)
        return is_strict(s) && refuse(s, FILTER_ODD_FRAME) ? TC_ACT_SHOT : TC_ACT_OK;
    if (is_refused(s))
        return TC_ACT_SHOT;
    if (!is_judge && p->kind == PACKET_FLOW && p->protocol == IPPROTO_UDP)
        question_remember(p);
    return TC_ACT_OK;
}

ALWAYS_INLINE void scene_count(struct scene *s, bool dropped)
{
    __u32 way = s->packet.is_out & 1, class = s->peer.class & (FILTER_CLASS_MAX - 1);
    s->counts->packets[way][s->reason & 63]++;
    s->counts->bytes[way][s->reason & 63] += s->packet.frame_bytes;
    if (dropped)
        s->counts->class_dropped[way][class]++;
    else
        s->counts->class_passed[way][class]++;
    if (!s->own)
        return;
    __u32 slot = s->own->slot;
    struct filter_own_counts *of = bpf_map_lookup_elem(&own_counts, &slot);
    if (!of)
        return;
    of->bytes[way] += s->packet.frame_bytes;
    if (dropped)
        of->dropped[way]++;
    else
        of->passed[way]++;
}

/* So many of each CPU in an epoch, dropped and passed ones apart. */
ALWAYS_INLINE bool sample_is_due(struct scene *s, bool dropped)
{
    struct filter_counts *c = s->counts;
    const struct filter_settings *set = s->settings;
    if (!(dropped ? set->sample_drops : set->sample_passes))
        return false;
    __u32 epoch = epoch_now();
    if (c->sample_epoch != epoch) {
        c->sample_epoch = epoch;
        c->sampled_drops = c->sampled_passes = 0;
    }
    return dropped ? c->sampled_drops++ < set->sample_drops : c->sampled_passes++ < set->sample_passes;
}

ALWAYS_INLINE struct filter_sample *sample_begin(struct scene *s, __u32 interface, bool dropped)
{
    struct filter_sample *sample = bpf_ringbuf_reserve(&samples, sizeof *sample, 0);
    if (!sample) {
        s->counts->samples_lost++;
        return 0;
    }
    sample->at_ns = bpf_ktime_get_boot_ns();
    sample->interface = interface;
    sample->bytes = s->packet.frame_bytes;
    sample->reason = (__u8)s->reason;
    sample->class = (__u8)s->peer.class;
    sample->direction = s->packet.is_out;
    sample->level = s->packet.level;
    sample->dropped = dropped;
    sample->unused = 0;
    return sample;
}

ALWAYS_INLINE __u32 sample_length_less_one(__u32 bytes)
{
    return bound_anew((bytes < FILTER_SAMPLE_BYTES ? bytes : FILTER_SAMPLE_BYTES) - 1);
}

ALWAYS_INLINE void sample_end(struct filter_sample *sample, __u32 kept, long failed)
{
    sample->kept = failed ? 0 : (__u16)kept;
    bpf_ringbuf_submit(sample, 0);
}

ALWAYS_INLINE void in_sample(struct xdp_md *ctx, struct scene *s, bool dropped)
{
    struct filter_sample *sample = sample_begin(s, ctx->ingress_ifindex, dropped);
    if (!sample)
        return;
    __u32 less_one = sample_length_less_one(s->packet.frame_bytes);
    long failed = -1;
    if (less_one < FILTER_SAMPLE_BYTES)
        failed = bpf_xdp_load_bytes(ctx, 0, sample->frame, less_one + 1);
    sample_end(sample, less_one + 1, failed);
}

ALWAYS_INLINE void out_sample(struct __sk_buff *skb, struct scene *s, bool dropped)
{
    struct filter_sample *sample = sample_begin(s, skb->ifindex, dropped);
    if (!sample)
        return;
    __u32 less_one = sample_length_less_one(s->packet.frame_bytes);
    long failed = -1;
    if (less_one < FILTER_SAMPLE_BYTES)
        failed = bpf_skb_load_bytes(skb, 0, sample->frame, less_one + 1);
    sample_end(sample, less_one + 1, failed);
}

SEC("xdp.frags")
int polder_in(struct xdp_md *ctx)
{
    struct scene s = {};
    if (!scene_begin(&s))
        return XDP_DROP;
    s.packet.frame_bytes = (__u32)bpf_xdp_get_buff_len(ctx);
    int action = in_judge_frame(ctx, &s);
    if (is_judge)
        return action;
    bool dropped = action == XDP_DROP;
    scene_count(&s, dropped);
    if (sample_is_due(&s, dropped) && action != XDP_TX)
        in_sample(ctx, &s, dropped);
    return action;
}

SEC("tc")
int polder_out(struct __sk_buff *skb)
{
    struct scene s = {};
    if (!scene_begin(&s))
        return TC_ACT_SHOT;
    s.packet.frame_bytes = skb->len;
    s.packet.is_out = true;
    __u32 wanted = skb->len < 128 ? skb->len : 128;
    if ((void *)(long)skb->data + wanted > (void *)(long)skb->data_end)
        bpf_skb_pull_data(skb, wanted);
    int action = out_judge_frame(skb, &s);
    if (is_judge)
        return action;
    bool dropped = action == TC_ACT_SHOT;
    scene_count(&s, dropped);
    if (sample_is_due(&s, dropped))
        out_sample(skb, &s, dropped);
    return action;
}
