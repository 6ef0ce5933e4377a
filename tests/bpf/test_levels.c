/* Level x class x direction x service, against a table written down here a second time; lists, rules and
 * their ends. */
#include "packets.h"

#include <errno.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct filter *filter;

/* One address of each class, in both families, in the order of the classes. */
static const char *const peers[2][FILTER_CLASS_COUNT] = {
    {"203.0.113.1", "203.0.114.1", "203.0.115.1", "198.51.100.1", "10.1.2.3", "10.9.0.1", "192.88.1.1"},
    {"2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1", "2001:db8:4::1", "fd00::1", "fd00:9::1",
     "2001:db8:6::1"},
};
static const char *const own[2] = {"192.0.2.1", "2001:db8::1"};

static struct filter_list lists[64];
static size_t list_count;

static void apply(const struct filter_policy *p)
{
    struct filter_problem problem = {""};
    if (filter_apply(filter, p, &problem) != 0)
        fail_msg("filter_apply: %s", problem.text);
}

static struct filter_policy policy_with_lists(void)
{
    struct filter_policy p = plain_policy();
    list_count = 0;
    list_add(&lists[list_count++], "198.51.100.0/24", FILTER_CLASS_PARTNER);
    list_add(&lists[list_count++], "2001:db8:4::/48", FILTER_CLASS_PARTNER);
    list_add(&lists[list_count++], "10.0.0.0/8", FILTER_CLASS_INSIDE);
    list_add(&lists[list_count++], "fd00::/16", FILTER_CLASS_INSIDE);
    list_add(&lists[list_count++], "10.9.0.0/30", FILTER_CLASS_MANAGEMENT);
    list_add(&lists[list_count++], "fd00:9::/64", FILTER_CLASS_MANAGEMENT);
    list_add(&lists[list_count++], "192.88.0.0/16", FILTER_CLASS_BLOCKED);
    list_add(&lists[list_count++], "2001:db8:6::/64", FILTER_CLASS_BLOCKED);
    list_add(&lists[list_count++], "203.0.114.0/24", FILTER_CLASS_SUSPECT);
    list_add(&lists[list_count++], "2001:db8:2::/48", FILTER_CLASS_SUSPECT);
    list_add(&lists[list_count++], "203.0.115.0/25", FILTER_CLASS_KNOWN);
    list_add(&lists[list_count++], "2001:db8:3::1/128", FILTER_CLASS_KNOWN);
    p.lists = lists;
    p.list_count = list_count;
    return p;
}

/* What passes: bits. WEB SYN in, NOTICE SYN in, management SYN in, other SYN in, answer to our call, a call
 * of ours, our answer to a call at WEB. */
enum { WEB = 1, NOTE = 2, MANAGE = 4, ELSE = 8, ANSWERED = 16, CALL = 32, ANSWER = 64 };
#define STRANGER (WEB | NOTE | ELSE | ANSWERED | CALL | ANSWER)

static const uint8_t expected[FILTER_LEVEL_COUNT][FILTER_CLASS_COUNT] = {
    /*               unknown   suspect                              known     partner   inside management
       blocked */
    [FILTER_LEVEL_OPEN] = {STRANGER, STRANGER, STRANGER, STRANGER, STRANGER | MANAGE, STRANGER | MANAGE, 0},
    [FILTER_LEVEL_GUARDED] = {STRANGER, WEB | NOTE | ANSWERED | CALL | ANSWER, STRANGER, STRANGER,
                              STRANGER | MANAGE, STRANGER | MANAGE, 0},
    [FILTER_LEVEL_PARTNERS] = {NOTE, NOTE, NOTE, STRANGER, STRANGER | MANAGE, STRANGER | MANAGE, 0},
    [FILTER_LEVEL_CLOSED] = {NOTE, NOTE, NOTE, NOTE, STRANGER | MANAGE, STRANGER | MANAGE, 0},
    [FILTER_LEVEL_SEALED] = {0, 0, 0, 0, 0, MANAGE, 0},
};

static uint8_t what_passes(int family, unsigned class)
{
    const char *peer = peers[family][class], *me = own[family];
    const struct {
        struct shape shape;
        enum filter_direction direction;
        uint8_t bit;
    } tries[] = {
        {{.from = peer, .to = me, .to_port = 443, .flags = SYN}, FILTER_IN, WEB},
        {{.from = peer, .to = me, .to_port = 8080, .flags = SYN}, FILTER_IN, NOTE},
        {{.from = peer, .to = me, .to_port = 9443, .flags = SYN}, FILTER_IN, MANAGE},
        {{.from = peer, .to = me, .to_port = 5555, .flags = SYN}, FILTER_IN, ELSE},
        {{.from = peer, .to = me, .from_port = 443, .to_port = 33'333, .flags = SYN | ACK},
         FILTER_IN,
         ANSWERED},
        {{.from = me, .to = peer, .from_port = 33'333, .to_port = 443, .flags = SYN}, FILTER_OUT, CALL},
        {{.from = me, .to = peer, .from_port = 443, .to_port = 33'333, .flags = SYN | ACK},
         FILTER_OUT,
         ANSWER},
    };
    uint8_t passes = 0;
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        struct frame f = frame_of(tries[i].shape);
        struct outcome o = run_frame(filter, tries[i].direction, &f);
        bool passed = tries[i].direction == FILTER_IN ? o.action == XDP_PASS : o.action == 0;
        assert_true(passed == (o.reason == FILTER_PASSED));
        passes |= passed ? tries[i].bit : 0;
    }
    return passes;
}

static void test_matrix(void **state [[maybe_unused]])
{
    struct filter_policy p = policy_with_lists();
    apply(&p);
    for (unsigned level = 0; level < FILTER_LEVEL_COUNT; level++) {
        assert_int_equal(filter_level_set(filter, 0, level), 0);
        for (unsigned class = 0; class < FILTER_CLASS_COUNT; class ++)
            for (int family = 0; family < 2; family++) {
                uint8_t passes = what_passes(family, class);
                if (passes != expected[level][class])
                    fail_msg("%s, %s, IPv%d: expected %#x, was %#x", filter_level_word(level),
                             filter_class_word(class), family ? 6 : 4, expected[level][class], passes);
            }
    }
    filter_level_set(filter, 0, FILTER_LEVEL_OPEN);
}

static struct outcome in(struct shape s)
{
    struct frame f = frame_of(s);
    return run_frame(filter, FILTER_IN, &f);
}

#define V4 .from = peers[0][FILTER_CLASS_UNKNOWN], .to = own[0]
#define V6 .from = peers[1][FILTER_CLASS_UNKNOWN], .to = own[1]

static void test_what_cannot_be_read_passes_only_below_the_strict_levels(void **state [[maybe_unused]])
{
    struct filter_policy p = policy_with_lists();
    static const unsigned reasons[] = {FILTER_PASSED, FILTER_LEVEL_UNKNOWN, FILTER_LEVEL_UNKNOWN,
                                       FILTER_LEVEL_UNKNOWN, FILTER_LEVEL_UNKNOWN};
    apply(&p);
    for (unsigned level = 0; level < FILTER_LEVEL_COUNT; level++) {
        filter_level_set(filter, 0, level);
        assert_int_equal(in((struct shape){V4, .protocol = 132, .payload = 16}).reason,
                         reasons[level]); /* SCTP */
        assert_int_equal(in((struct shape){V6, .protocol = 50, .payload = 16}).reason,
                         reasons[level]); /* ESP */
        assert_int_equal(in((struct shape){V4, .is_fragment = true, .offset = 800,
                                           .fragment_id = 7000 + level, .payload = 80})
                             .reason,
                         reasons[level]);
        struct frame f = frame_of((struct shape){V4});
        frame_put16(&f, 12, 0x88cc); /* LLDP */
        struct outcome o = run_frame(filter, FILTER_IN, &f);
        assert_int_equal(o.reason, level >= FILTER_LEVEL_PARTNERS ? FILTER_ODD_FRAME : FILTER_PASSED);
    }
    filter_level_set(filter, 0, FILTER_LEVEL_OPEN);
}

static void test_nested_packets(void **state [[maybe_unused]])
{
    static const uint8_t protocols[] = {4, 41, 47, 137};
    struct filter_policy p = policy_with_lists();
    apply(&p);
    for (size_t i = 0; i < sizeof protocols; i++) {
        assert_int_equal(in((struct shape){V4, .protocol = protocols[i], .payload = 40}).reason,
                         FILTER_NESTED);
        assert_int_equal(in((struct shape){V6, .protocol = protocols[i], .payload = 40}).reason,
                         FILTER_NESTED);
        assert_int_equal(in((struct shape){.from = peers[0][FILTER_CLASS_PARTNER],
                                           .to = own[0],
                                           .protocol = protocols[i],
                                           .payload = 40})
                             .reason,
                         FILTER_PASSED);
    }
}

static void test_unknown_level_is_sealed(void **state [[maybe_unused]])
{
    struct filter_policy p = policy_with_lists();
    apply(&p);
    assert_int_equal(filter_level_set(filter, 0, FILTER_LEVEL_COUNT), -EINVAL);
    assert_int_equal(in((struct shape){V4}).reason, FILTER_PASSED);
}

static void test_longest_prefix(void **state [[maybe_unused]])
{
    struct filter_policy p = plain_policy();
    struct filter_list l[9];
    list_add(&l[0], "192.88.0.0/16", FILTER_CLASS_BLOCKED);
    list_add(&l[1], "192.88.7.0/24", FILTER_CLASS_PARTNER);
    list_add(&l[2], "192.88.7.128/25", FILTER_CLASS_BLOCKED);
    list_add(&l[3], "192.88.7.200/32", FILTER_CLASS_KNOWN);
    list_add(&l[4], "2001:db0::/28", FILTER_CLASS_BLOCKED);
    list_add(&l[5], "2001:db8:7::/48", FILTER_CLASS_PARTNER);
    list_add(&l[6], "2001:db8:7:80::/57", FILTER_CLASS_BLOCKED);
    list_add(&l[7], "2001:db8:7:80::5/128", FILTER_CLASS_KNOWN);
    list_add(&l[8], "0.0.0.0/0", FILTER_CLASS_SUSPECT);
    p.lists = l;
    p.list_count = 9;
    apply(&p);
    static const struct {
        const char *from, *to;
        unsigned reason;
    } rows[] = {
        {"192.88.6.255", "192.0.2.1", FILTER_BLOCKED},  {"192.88.7.127", "192.0.2.1", FILTER_PASSED},
        {"192.88.7.128", "192.0.2.1", FILTER_BLOCKED},  {"192.88.7.200", "192.0.2.1", FILTER_PASSED},
        {"192.88.7.201", "192.0.2.1", FILTER_BLOCKED},  {"192.88.8.0", "192.0.2.1", FILTER_BLOCKED},
        {"192.89.0.0", "192.0.2.1", FILTER_PASSED},     {"2001:db8:6::1", "2620::1", FILTER_BLOCKED},
        {"2001:db8:7::1", "2620::1", FILTER_PASSED},    {"2001:db8:7:80::4", "2620::1", FILTER_BLOCKED},
        {"2001:db8:7:80::5", "2620::1", FILTER_PASSED}, {"2001:db8:7:100::1", "2620::1", FILTER_PASSED},
        {"2001:1000::1", "2620::1", FILTER_PASSED},     {"192.87.255.255", "192.0.2.1", FILTER_PASSED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct outcome o = in((struct shape){.from = rows[i].from, .to = rows[i].to});
        if (o.reason != rows[i].reason)
            fail_msg("%s: expected %s, was %s", rows[i].from, filter_reason_name(rows[i].reason),
                     filter_reason_name(o.reason));
    }
    /* and all of it is gone with the next policy */
    p = plain_policy();
    apply(&p);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(in((struct shape){.from = rows[i].from, .to = rows[i].to}).reason, FILTER_PASSED);
}

static uint64_t boot_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1'000'000'000u + (uint64_t)t.tv_nsec;
}

static struct filter_order order(const char *prefix, enum filter_action action,
                                 enum filter_direction direction, uint8_t protocol, uint16_t from,
                                 uint16_t to, uint8_t last_level)
{
    return (struct filter_order){prefix_of(prefix),
                                 {.port_from = from,
                                  .port_to = to,
                                  .action = (uint8_t)action,
                                  .direction = (uint8_t)direction,
                                  .protocol = protocol,
                                  .last_level = last_level}};
}

static void test_rules(void **state [[maybe_unused]])
{
    struct filter_policy p = plain_policy();
    struct filter_order orders[] = {
        order("203.0.113.0/24", FILTER_RULE_ALLOW, FILTER_IN, IPPROTO_TCP, 443, 443, FILTER_LEVEL_CLOSED),
        order("203.0.113.7/32", FILTER_RULE_BLOCK, FILTER_IN, IPPROTO_TCP, 443, 443, 0),
        order("203.0.0.0/16", FILTER_RULE_ALLOW, FILTER_OUT, IPPROTO_TCP, 25, 25, FILTER_LEVEL_CLOSED),
        order("2001:db8:1::/64", FILTER_RULE_ALLOW, FILTER_IN, 0, 0, 65'535, FILTER_LEVEL_CLOSED),
    };
    p.orders = orders;
    p.order_count = 4;
    apply(&p);
    filter_level_set(filter, 0, FILTER_LEVEL_CLOSED);
    assert_int_equal(in((struct shape){V4, .flags = SYN}).reason, FILTER_PASSED);
    assert_int_equal(in((struct shape){V4, .flags = SYN, .to_port = 444}).reason, FILTER_LEVEL);
    assert_int_equal(in((struct shape){V4, .flags = SYN, .protocol = IPPROTO_UDP}).reason, FILTER_LEVEL);
    assert_int_equal(in((struct shape){.from = "203.0.113.7", .to = own[0], .flags = SYN}).reason,
                     FILTER_RULE);
    assert_int_equal(in((struct shape){.from = "203.0.112.7", .to = own[0], .flags = SYN}).reason,
                     FILTER_LEVEL);
    /* the wider network's rule holds in the narrower ones too: what we call may answer, and open nothing */
    assert_int_equal(in((struct shape){V4, .from_port = 25, .to_port = 33'000, .flags = SYN | ACK}).reason,
                     FILTER_PASSED);
    assert_int_equal(in((struct shape){V4, .from_port = 25, .to_port = 33'000, .flags = SYN}).reason,
                     FILTER_LEVEL);
    struct frame call =
        frame_of((struct shape){.from = own[0], .to = "203.0.112.7", .to_port = 25, .flags = SYN});
    assert_int_equal(run_frame(filter, FILTER_OUT, &call).reason, FILTER_PASSED);
    call = frame_of((struct shape){.from = own[0], .to = "203.0.112.7", .to_port = 26, .flags = SYN});
    assert_int_equal(run_frame(filter, FILTER_OUT, &call).reason, FILTER_LEVEL);
    assert_int_equal(in((struct shape){V6, .protocol = IPPROTO_UDP}).reason, FILTER_PASSED);
    filter_level_set(filter, 0, FILTER_LEVEL_SEALED);
    assert_int_equal(in((struct shape){V4, .flags = SYN}).reason, FILTER_LEVEL);
    filter_level_set(filter, 0, FILTER_LEVEL_OPEN);
    assert_int_equal(in((struct shape){.from = "203.0.113.7", .to = own[0], .flags = SYN}).reason,
                     FILTER_RULE);
}

static void test_exceptions_end_by_themselves(void **state [[maybe_unused]])
{
    struct filter_policy p = plain_policy();
    struct filter_order orders[] = {
        order("203.0.113.1/32", FILTER_RULE_ALLOW, FILTER_IN, 0, 0, 65'535, FILTER_LEVEL_CLOSED),
        order("2001:db8:1::1/128", FILTER_RULE_ALLOW, FILTER_IN, 0, 0, 65'535, FILTER_LEVEL_CLOSED),
    };
    p.orders = orders;
    p.order_count = 2;
    for (int over = 0; over < 2; over++) {
        orders[0].rule.until_ns = orders[1].rule.until_ns =
            over ? boot_ns() - 1 : boot_ns() + 60'000'000'000ull;
        apply(&p);
        filter_level_set(filter, 0, FILTER_LEVEL_CLOSED);
        assert_int_equal(in((struct shape){V4}).reason, over ? FILTER_LEVEL : FILTER_PASSED);
        assert_int_equal(in((struct shape){V6}).reason, over ? FILTER_LEVEL : FILTER_PASSED);
    }
    filter_level_set(filter, 0, FILTER_LEVEL_OPEN);
}

static void test_earned_classes(void **state [[maybe_unused]])
{
    struct filter_policy p = policy_with_lists();
    apply(&p);
    for (int family = 0; family < 2; family++) {
        struct addr stranger = addr_of(peers[family][FILTER_CLASS_UNKNOWN]);
        struct addr partner = addr_of(peers[family][FILTER_CLASS_PARTNER]);
        struct shape from_stranger = {.from = peers[family][FILTER_CLASS_UNKNOWN], .to = own[family]};
        struct shape from_partner = {.from = peers[family][FILTER_CLASS_PARTNER], .to = own[family]};
        assert_int_equal(filter_host_set(filter, &stranger, FILTER_CLASS_BLOCKED, 60'000'000'000ull), 0);
        assert_int_equal(in(from_stranger).reason, FILTER_BLOCKED);
        assert_int_equal(filter_host_set(filter, &partner, FILTER_CLASS_BLOCKED, 60'000'000'000ull), 0);
        assert_int_equal(in(from_partner).reason, FILTER_PASSED); /* a partner is never blocked by accident */
        assert_int_equal(filter_host_set(filter, &stranger, FILTER_CLASS_BLOCKED, 0), 0); /* over */
        assert_int_equal(in(from_stranger).reason, FILTER_PASSED);
        assert_int_equal(filter_host_set(filter, &stranger, FILTER_CLASS_BLOCKED, 60'000'000'000ull), 0);
        apply(&p); /* a new policy keeps it */
        assert_int_equal(in(from_stranger).reason, FILTER_BLOCKED);
        assert_int_equal(filter_host_clear(filter, &stranger), 0);
        assert_int_equal(in(from_stranger).reason, FILTER_PASSED);
        assert_int_equal(filter_host_set(filter, &stranger, FILTER_CLASS_PARTNER, 1), -EINVAL);
    }
}

static void test_clusters_have_levels_and_counters(void **state [[maybe_unused]])
{
    struct filter_policy p = policy_with_lists();
    struct filter_address addresses[] = {{addr_of("192.0.2.1"), 1, 10}, {addr_of("192.0.2.2"), 2, 20}};
    struct filter_own_counts counts;
    p.addresses = addresses;
    p.address_count = 2;
    apply(&p);
    filter_level_set(filter, 2, FILTER_LEVEL_CLOSED);
    assert_int_equal(in((struct shape){V4}).reason, FILTER_PASSED);
    assert_int_equal(in((struct shape){.from = peers[0][0], .to = "192.0.2.2"}).reason, FILTER_LEVEL);
    /* a port of ours means nothing at an address that is not */
    filter_level_set(filter, 0, FILTER_LEVEL_CLOSED);
    assert_int_equal(in((struct shape){V4, .to_port = 8080}).reason, FILTER_PASSED);
    assert_int_equal(in((struct shape){.from = peers[0][0], .to = "192.0.2.3", .to_port = 8080}).reason,
                     FILTER_LEVEL);
    filter_level_set(filter, 0, FILTER_LEVEL_OPEN);
    filter_level_set(filter, 2, FILTER_LEVEL_OPEN);
    assert_int_equal(filter_own_counts_read(filter, 20, &counts), 0);
    assert_int_equal(counts.dropped[FILTER_IN], 1);
    assert_int_equal(filter_own_counts_read(filter, 10, &counts), 0);
    assert_int_equal(counts.passed[FILTER_IN], 2);
}

static void test_amplified_answers(void **state [[maybe_unused]])
{
    static const uint16_t ports[] = {17, 19, 53, 123, 161, 389, 1900, 11'211};
    struct filter_policy p = policy_with_lists();
    apply(&p);
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        struct shape answer = {V4, .protocol = IPPROTO_UDP, .from_port = ports[i], .to_port = 40'000,
                               .payload = 400};
        assert_int_equal(in(answer).reason, FILTER_AMPLIFICATION);
        answer.from = peers[0][FILTER_CLASS_PARTNER];
        assert_int_equal(in(answer).reason, FILTER_PASSED);
    }
    assert_int_equal(
        in((struct shape){V4, .protocol = IPPROTO_UDP, .from_port = 40'000, .payload = 40}).reason,
        FILTER_PASSED);
}

static void test_rates(void **state [[maybe_unused]])
{
    struct filter_policy p = policy_with_lists();
    p.rates[0][FILTER_CLASS_UNKNOWN] = (struct filter_rate){.source = 100, .prefix = 400};
    apply(&p);
    for (int family = 0; family < 2; family++) {
        unsigned passed = 0, last = 0;
        struct shape s = {.from = peers[family][0], .to = own[family], .protocol = IPPROTO_UDP};
        for (unsigned i = 0; i < 200; i++) {
            last = in(s).reason;
            passed += last == FILTER_PASSED;
        }
        assert_in_range(passed, 40, 120); /* 54 in one epoch, more where an epoch ends meanwhile */
        assert_int_equal(last, FILTER_RATE_SOURCE);
        s.from = peers[family][FILTER_CLASS_KNOWN]; /* whoever is known is not concerned */
        for (unsigned i = 0; i < 100; i++)
            assert_int_equal(in(s).reason, FILTER_PASSED);
    }
    /* a network, address by address */
    unsigned refused = 0;
    for (unsigned i = 0; i < 600; i++) {
        char from[32];
        (void)snprintf(from, sizeof from, "203.0.99.%u", i % 250 + 1);
        refused += in((struct shape){.from = from, .to = own[0]}).reason == FILTER_RATE_PREFIX;
    }
    assert_in_range(refused, 100, 500);
    p.dry_run = 1ull << FILTER_RATE_SOURCE;
    apply(&p);
    unsigned dry = 0;
    for (unsigned i = 0; i < 100; i++) {
        struct outcome o = in((struct shape){V4, .protocol = IPPROTO_UDP});
        assert_int_not_equal(o.reason, FILTER_RATE_SOURCE);
        dry += o.dry == FILTER_RATE_SOURCE;
    }
    assert_true(dry > 0);
}

static void refused(struct filter_policy p, const char *words)
{
    struct filter_problem problem = {""};
    assert_int_equal(filter_apply(filter, &p, &problem), -EINVAL);
    if (!strstr(problem.text, words))
        fail_msg("expected \"%s\" in \"%s\"", words, problem.text);
}

static void test_policies_that_make_no_sense(void **state [[maybe_unused]])
{
    struct filter_policy good = policy_with_lists(), p;
    struct filter_list l[2];
    struct filter_order o[20];
    struct filter_address a = {addr_of("192.0.2.1"), 1, 0};
    struct filter_port port = {0, false, 1};
    apply(&good);
    p = good;
    p.lists = l;
    p.list_count = 2;
    list_add(&l[0], "192.0.2.0/24", FILTER_CLASS_PARTNER);
    list_add(&l[1], "192.0.2.0/24", FILTER_CLASS_BLOCKED);
    refused(p, "192.0.2.0/24 is listed as");
    l[1].prefix.ip[15] = 7;
    refused(p, "is not a network");
    l[1] = l[0];
    l[1].class = FILTER_CLASS_COUNT;
    refused(p, "which there is not");
    p = good;
    p.orders = o;
    p.order_count = 1;
    o[0] = order("192.0.2.0/24", FILTER_RULE_ALLOW, FILTER_IN, IPPROTO_TCP, 5, 4, 0);
    refused(p, "no range");
    o[0] = order("192.0.2.0/24", FILTER_RULE_ALLOW, FILTER_IN, IPPROTO_ICMP, 5, 6, 0);
    refused(p, "has no ports");
    o[0] = order("192.0.2.0/24", FILTER_RULE_ALLOW, FILTER_IN, 0, 0, 65'535, FILTER_LEVEL_COUNT);
    refused(p, "holds up to level");
    p.order_count = 20;
    for (unsigned i = 0; i < 20; i++)
        o[i] = order("192.0.2.0/24", FILTER_RULE_ALLOW, FILTER_IN, IPPROTO_TCP, (uint16_t)i, (uint16_t)i, 0);
    refused(p, "more than 16 rules hold for 192.0.2.0/24");
    p = good;
    p.addresses = &a;
    p.address_count = 1;
    refused(p, "has counter 0");
    p = good;
    p.ports = &port;
    p.port_count = 1;
    refused(p, "makes no sense");
    /* nothing of it came through */
    assert_int_equal(in((struct shape){.from = peers[0][FILTER_CLASS_BLOCKED], .to = own[0]}).reason,
                     FILTER_BLOCKED);
}

static void test_judge_leaves_no_trace(void **state [[maybe_unused]])
{
    struct filter_policy p = policy_with_lists();
    struct filter_problem problem = {""};
    struct filter_counts before, after;
    struct filter_verdict verdict;
    struct frame f = frame_of((struct shape){V4});
    struct str text = {(const char *)f.bytes, f.n};
    apply(&p);
    filter_counts_read(filter, &before);
    for (unsigned level = 0; level < FILTER_LEVEL_COUNT; level++) {
        assert_int_equal(filter_judge(filter, level, FILTER_IN, text, &verdict, &problem), 0);
        assert_int_equal(verdict.passes, level < FILTER_LEVEL_PARTNERS);
    }
    assert_int_equal(filter_judge(filter, FILTER_LEVEL_MAX, FILTER_IN, text, &verdict, &problem), 0);
    assert_true(verdict.passes);
    filter_counts_read(filter, &after);
    assert_memory_equal(&before, &after, sizeof before);
}

static unsigned samples_seen[2];

static void sample_seen(const struct filter_sample *s, void *context)
{
    struct buf *out = context;
    samples_seen[s->dropped]++;
    assert_int_equal(s->kept, s->bytes);
    assert_int_equal(s->reason, s->dropped ? FILTER_TCP_FLAGS : FILTER_PASSED);
    filter_pcapng_add(out, s, 0);
}

static void test_samples(void **state [[maybe_unused]])
{
    struct filter_policy p = policy_with_lists();
    static char memory[65'536];
    struct buf out = buf_over(memory, sizeof memory);
    struct frame bad = frame_of((struct shape){V4, .payload = 9});
    bad.bytes[34 + 13] = 0;
    p.samples_per_s = 80;
    apply(&p);
    for (unsigned i = 0; i < 100; i++) {
        in((struct shape){V4});
        run_frame(filter, FILTER_IN, &bad);
    }
    filter_pcapng_begin(&out);
    assert_true(filter_samples_fd(filter) >= 0);
    assert_true(filter_samples_take(filter, sample_seen, &out) > 0);
    assert_in_range(samples_seen[0], 1, 99); /* so many in an epoch */
    assert_in_range(samples_seen[1], 1, 99);
    assert_false(buf_overflowed(&out));
    const char *path = getenv("POLDER_TEST_PCAPNG"); /* to look at it with other programs */
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        fwrite(out.p, 1, out.n, file);
        fclose(file);
    }
    /* blocks say their length at both ends */
    for (size_t at = 0; at < out.n;) {
        uint32_t length, again;
        memcpy(&length, out.p + at + 4, 4);
        assert_true(length % 4 == 0 && length >= 12 && at + length <= out.n);
        memcpy(&again, out.p + at + length - 4, 4);
        assert_int_equal(length, again);
        at += length;
    }
}

int main(void)
{
    char pins[64];
    enter_own_world(pins, sizeof pins);
    filter = filter_for_test(pins, FILTER_LEVEL_OPEN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_what_cannot_be_read_passes_only_below_the_strict_levels),
        cmocka_unit_test(test_nested_packets),
        cmocka_unit_test(test_unknown_level_is_sealed),
        cmocka_unit_test(test_longest_prefix),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_exceptions_end_by_themselves),
        cmocka_unit_test(test_earned_classes),
        cmocka_unit_test(test_clusters_have_levels_and_counters),
        cmocka_unit_test(test_amplified_answers),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_policies_that_make_no_sense),
        cmocka_unit_test(test_judge_leaves_no_trace),
        cmocka_unit_test(test_samples),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    filter_close(filter);
    return failed;
}
