/* filter/filter_abi.h - what the packet programs in the kernel and their loader share.
 *
 * Fixed width, no pointers, sizes asserted. struct filter_control stands at the head of everything: its first
 * five words never change their place, so that any version can read the level that another one recorded. A
 * change of any other struct or map takes a new FILTER_LAYOUT. */
#ifndef POLDER_FILTER_ABI_H
#define POLDER_FILTER_ABI_H

#include <linux/bpf.h>
#include <linux/types.h>

#define FILTER_MAGIC  0x504f4c44u /* "POLD" */
#define FILTER_LAYOUT 2u

enum filter_reason {
#define REASON(name, kind, text) FILTER_##name,
#include "base/filter_reasons.def"
#undef REASON
    FILTER_REASON_COUNT,
    FILTER_REASON_MAX = 64,
};

enum filter_class {
#define CLASS(name, word, text) FILTER_CLASS_##name,
#include "filter/classes.def"
#undef CLASS
    FILTER_CLASS_COUNT,
    FILTER_CLASS_MAX = 8,
};

enum filter_service {
#define SERVICE(name, word, text) FILTER_SERVICE_##name,
#include "filter/services.def"
#undef SERVICE
    FILTER_SERVICE_COUNT,
};
#define FILTER_SERVES(name) (1u << FILTER_SERVICE_##name)
#define FILTER_SERVES_ALL   ((1u << FILTER_SERVICE_COUNT) - 1)

enum filter_level_number {
#define LEVEL(name, word) FILTER_LEVEL_##name,
#include "filter/levels.def"
#undef LEVEL
    FILTER_LEVEL_COUNT,
    FILTER_LEVEL_MAX = 8,
};

enum filter_direction { FILTER_IN, FILTER_OUT };

enum {
    FILTER_CLUSTERS = 256,
    FILTER_OWN_MAX = 1024,        /* addresses that belong to the gate or to the site behind it */
    FILTER_RULES_A_SET = 16,      /* that can hold for one prefix */
    FILTER_SETS = 1024,           /* in two halves: one in force, one being written */
    FILTER_NETS_MAX = 65'536,     /* prefixes that need a look-up of their own */
    FILTER_HOSTS_MAX = 131'072,   /* addresses with a class of their own */
    FILTER_UDP_SEEN_MAX = 65'536, /* questions over UDP that may be answered */
    FILTER_FRAGMENT_SLOTS = 4096,
    FILTER_FRAGMENT_PARTS = 8,
    FILTER_GATE_ROWS = 4096,    /* x 256 bytes: hashed IPv6 networks */
    FILTER_GROUPS = 64,         /* addresses that are listened on */
    FILTER_GROUP_SOCKETS = 128, /* of one: two for each worker */
    FILTER_SAMPLE_BYTES = 192,
    FILTER_SAMPLE_RING = 1 << 20,
};

/* Rates count in epochs of 2^28 ns (268 ms) that halve at every turn, so a steady rate of r packets a second
 * stands at 2 * r * 0.268. */
#define FILTER_EPOCH_SHIFT 28
#define FILTER_RATE(per_s) ((__u32)((__u64)(per_s)*537 / 1000))
#define FILTER_UDP_SEEN_NS 60000000000ull
#define FILTER_FRAGMENT_NS 30000000000ull

struct filter_control {
    __u32 magic;
    __u32 layout;
    __u32 level;      /* of the whole site: one store here changes everything */
    __u32 rules_half; /* of `rules`, that is in force */
    __u32 reserved;
    __u32 cluster_level[FILTER_CLUSTERS]; /* what is stricter holds */
};

enum {
    FILTER_ASKED_FOR = 1 << 0, /* settings: the egress program remembers questions over UDP */
    FILTER_COOKIES = 1 << 1,   /* settings: answer SYNs for own sockets */
    FILTER_TIMESTAMPS =
        1 << 2, /* settings: the kernel reads options out of timestamps (tcp_timestamps = 2) */
    FILTER_ALWAYS_NETS6 = 1 << 3, /* settings: a listed IPv6 network is larger than /32 */
    FILTER_OWN_ONLY = 1 << 4,     /* settings: ports are services only at the addresses in `own` */
};

struct filter_limits { /* 0: none. source and prefix count for one packet source, total for each CPU */
    __u32 source, prefix, total, unused;
};

struct filter_settings {
    __u64 dry_run; /* bit of a reason: only count */
    __u32 flags;
    __u32 syn_limit;  /* of each CPU, above it cookies are tried; 0: only where the level says always */
    __u16 mss4, mss6; /* announced in a cookie's SYN-ACK */
    __u8 wscale, ttl;
    __u8 unused[2];
    __u32 sample_drops, sample_passes;                /* of each CPU in an epoch */
    struct filter_limits limits[2][FILTER_CLASS_MAX]; /* [0] at open, [1] where the level says limited */
};

enum {
    FILTER_LEVEL_COOKIES = 1 << 0, /* every SYN of a stranger is answered with a cookie */
    FILTER_LEVEL_LIMITED = 1 << 1, /* the narrower limits hold */
    FILTER_LEVEL_STRICT = 1 << 2,  /* what is unknown is refused; no dry run for what would open it */
    FILTER_LEVEL_CUTS = 1 << 3,    /* established connections that it refuses are ended */
};

struct filter_right { /* masks of services */
    __u32 in;         /* that this peer may begin with us */
    __u32 out;        /* that we may begin with this peer */
};

struct filter_level {
    struct filter_right right[FILTER_CLASS_MAX];
    __u32 flags;
    __u32 unused;
};

/* A byte of class16 and class24 (one for each IPv4 /16 and /24) and of gate6 (flags only, one for each hash).
 */
enum {
    FILTER_CELL_CLASS = 0x0f,
    FILTER_CELL_FINER = 0x20, /* of class16: class24 tells */
    FILTER_CELL_NET = 0x40,   /* something longer or a rule stands in nets4, nets6 */
    FILTER_CELL_HOST = 0x80,  /* an address of it stands in hosts4, hosts6 */
};

struct filter_net_key4 {
    __u32 bits;
    __u32 ip; /* network order, as in the packet */
};

struct filter_net_key6 {
    __u32 bits;
    __u32 ip[4];
};

struct filter_net {
    __u16 rules; /* a set; 0: none */
    __u8 class;
    __u8 unused;
};

struct filter_host {
    __u64 until_ns; /* CLOCK_BOOTTIME; a class that was earned always ends */
    __u8 class;
    __u8 is_ordered; /* by a person: what was earned does not change it */
    __u8 unused[6];
};

enum filter_action { FILTER_RULE_ABSENT, FILTER_RULE_ALLOW, FILTER_RULE_BLOCK };

struct filter_rule {
    __u64 until_ns;           /* CLOCK_BOOTTIME; 0: no end */
    __u16 port_from, port_to; /* of the side that was called; 0..65535: any, also what has no ports */
    __u8 action;
    __u8 direction;  /* who begins: FILTER_IN the peer, FILTER_OUT we */
    __u8 protocol;   /* 0: any */
    __u8 last_level; /* an ALLOW holds up to this level */
};

struct filter_rule_set {
    struct filter_rule rule[FILTER_RULES_A_SET]; /* the first that fits decides */
};

union filter_ip { /* IPv4: ::ffff:a.b.c.d */
    __u32 word[4];
    __u64 half[2];
    __u8 byte[16];
};

struct filter_own {
    __u16 slot; /* of cluster_counts */
    __u8 cluster;
    __u8 unused;
};

struct filter_group_key { /* an address that is listened on; its port in host order */
    union filter_ip ip;
    __u32 port, unused;
};

struct filter_group {
    __u32 number, workers;
};

/* Where a worker's listening socket stands. */
static inline __u32 filter_group_socket(__u32 group, __u32 worker, __u32 is_first)
{
    return group * FILTER_GROUP_SOCKETS + worker * 2 + is_first;
}

struct filter_udp_key {
    union filter_ip peer, local;
    __u16 peer_port, local_port;
    __u32 unused;
};

struct filter_fragments {
    struct bpf_spin_lock lock;
    __u32 tag;
    __u64 since_ns;
    struct {
        __u16 from, to; /* in units of 8 bytes; to 0: free */
    } part[FILTER_FRAGMENT_PARTS];
};

struct filter_counts {                   /* of one CPU */
    __u64 packets[2][FILTER_REASON_MAX]; /* [direction][reason] */
    __u64 bytes[2][FILTER_REASON_MAX];
    __u64 dry[2][FILTER_REASON_MAX];
    __u64 class_passed[2][FILTER_CLASS_MAX];
    __u64 class_dropped[2][FILTER_CLASS_MAX];
    __u64 samples_lost;
    /* from here on state, not statistics */
    __u32 class_epoch[FILTER_CLASS_MAX];
    __u32 class_used[FILTER_CLASS_MAX];
    __u32 syn_epoch, syn_used, syn_hot_epoch;
    __u32 sample_epoch, sampled_drops, sampled_passes;
    __u32 cookie_port; /* see cookie.bpf.h, socket_of */
    __u32 unused;
};

struct filter_own_counts {
    __u64 passed[2], dropped[2], bytes[2];
};

struct filter_sample {
    __u64 at_ns; /* CLOCK_BOOTTIME */
    __u32 interface;
    __u32 bytes; /* of the frame */
    __u16 kept;  /* of them, below */
    __u8 reason, class, direction, level, dropped, unused;
    __u8 frame[FILTER_SAMPLE_BYTES];
};

/* Where a network stands in gate6. Not a secret: a collision costs a look-up, nothing else. */
static inline __u32 filter_gate6_hash(__u64 network)
{
    network ^= network >> 33;
    network *= 0xff51afd7ed558ccdull;
    network ^= network >> 33;
    network *= 0xc4ceb9fe1a85ec53ull;
    network ^= network >> 33;
    return (__u32)network & (FILTER_GATE_ROWS * 256 - 1);
}

_Static_assert(FILTER_REASON_COUNT <= FILTER_REASON_MAX, "a set of reasons is one word");
_Static_assert(FILTER_CLASS_COUNT <= FILTER_CLASS_MAX, "three bits and a table");
_Static_assert(FILTER_LEVEL_COUNT <= FILTER_LEVEL_MAX, "a table");
_Static_assert(sizeof(struct filter_control) == 20 + 4 * FILTER_CLUSTERS, "control");
_Static_assert(sizeof(struct filter_settings) == 32 + 16 * 2 * FILTER_CLASS_MAX, "settings");
_Static_assert(sizeof(struct filter_level) == 8 * FILTER_CLASS_MAX + 8, "level");
_Static_assert(sizeof(struct filter_net) == 4, "net");
_Static_assert(sizeof(struct filter_host) == 16, "host");
_Static_assert(sizeof(struct filter_rule) == 16, "rule");
_Static_assert(sizeof(struct filter_group_key) == 24, "group key");
_Static_assert(sizeof(struct filter_udp_key) == 40, "udp key");
_Static_assert(sizeof(struct filter_fragments) == 16 + 4 * FILTER_FRAGMENT_PARTS, "fragments");
_Static_assert(sizeof(struct filter_sample) == 24 + FILTER_SAMPLE_BYTES, "sample");

#endif
