/* One frame for each reason that makes a packet malformed, in both families; and sound ones that must pass.
 */
#include "packets.h"

#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define V4 .from = "203.0.113.9", .to = "192.0.2.1"
#define V6 .from = "2001:db8:f::9", .to = "2001:db8::1"

static struct filter *filter;

static void expect(struct frame f, unsigned reason, const char *what)
{
    struct outcome o = run_frame(filter, FILTER_IN, &f);
    int action = reason == FILTER_PASSED || reason == FILTER_LINK ? XDP_PASS : XDP_DROP;
    if (o.reason != reason || o.action != action)
        fail_msg("%s: expected %s, was %s (action %d)", what, filter_reason_name(reason),
                 filter_reason_name(o.reason), o.action);
}

#define EXPECT(reason, frame) expect((frame), FILTER_##reason, #frame)

static struct frame with_byte(struct frame f, size_t at, uint8_t value)
{
    f.bytes[at] = value;
    return f;
}

static struct frame with_word(struct frame f, size_t at, uint16_t value)
{
    frame_put16(&f, at, value);
    return f;
}

static struct frame cut(struct frame f, size_t n)
{
    f.n = n;
    return f;
}

enum { IP = 14, T4 = 34, T6 = 54 };

static void test_sound_packets_pass(void **state [[maybe_unused]])
{
    for (unsigned tags = 0; tags <= 2; tags++) {
        EXPECT(PASSED, frame_of((struct shape){V4, .tags = tags}));
        EXPECT(PASSED, frame_of((struct shape){V6, .tags = tags}));
        EXPECT(PASSED, frame_of((struct shape){V4, .tags = tags, .protocol = IPPROTO_UDP, .payload = 100}));
        EXPECT(PASSED, frame_of((struct shape){V6, .tags = tags, .protocol = IPPROTO_UDP, .payload = 100}));
    }
    EXPECT(PASSED, frame_of((struct shape){V4, .protocol = IPPROTO_ICMP, .icmp_type = 8}));
    EXPECT(PASSED, frame_of((struct shape){V6, .protocol = IPPROTO_ICMPV6, .icmp_type = 128}));
    EXPECT(PASSED, frame_of((struct shape){V4, .flags = SYN}));
    EXPECT(PASSED, frame_of((struct shape){V4, .flags = FIN | ACK}));
    EXPECT(PASSED, frame_of((struct shape){V4, .flags = RST}));
    EXPECT(PASSED, frame_of((struct shape){V4, .payload = 1400}));
    /* padding behind the packet, as short frames have */
    struct frame padded = frame_of((struct shape){V4});
    padded.n = 64;
    EXPECT(PASSED, padded);
}

static void test_links_own_protocols_pass(void **state [[maybe_unused]])
{
    struct frame arp = frame_of((struct shape){V4});
    EXPECT(LINK, with_word(arp, 12, 0x0806));
    EXPECT(LINK, frame_of((struct shape){V6, .protocol = IPPROTO_ICMPV6, .icmp_type = 135, .hops = 255}));
    EXPECT(LINK, frame_of((struct shape){.from = "::",
                                         .to = "ff02::1:ff00:1",
                                         .protocol = IPPROTO_ICMPV6,
                                         .icmp_type = 135,
                                         .hops = 255}));
    static const uint8_t alert[] = {IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0};
    EXPECT(LINK, frame_of((struct shape){V6, .protocol = IPPROTO_ICMPV6, .icmp_type = 143, .hops = 1,
                                         .extra = alert, .extra_bytes = sizeof alert, .extra_first = 0}));
}

static void test_frames(void **state [[maybe_unused]])
{
    struct frame f = frame_of((struct shape){V4});
    EXPECT(FRAME_TAGS, frame_of((struct shape){V4, .tags = 3}));
    EXPECT(FRAME_TAGS, frame_of((struct shape){V6, .tags = 4}));
    EXPECT(FRAME_SHORT, cut(with_word(f, 12, 0x8100), 16));
    EXPECT(IP4_SHORT, cut(f, 33));
    EXPECT(IP6_SHORT, cut(frame_of((struct shape){V6}), 53));
}

static void test_ip4_lies(void **state [[maybe_unused]])
{
    struct frame f = frame_of((struct shape){V4, .payload = 10});
    EXPECT(IP4_HEADER, with_byte(f, IP, 0x65));
    EXPECT(IP4_HEADER, with_byte(f, IP, 0x44));
    EXPECT(IP4_LENGTH, with_word(f, IP + 2, 19));
    EXPECT(IP4_LENGTH, with_word(f, IP + 2, (uint16_t)(f.n - IP + 1)));
    EXPECT(IP4_LENGTH, with_word(f, IP + 2, 65'535));
    EXPECT(IP4_LENGTH, with_word(f, IP + 2, 0));
    EXPECT(IP4_HEADER, with_word(f, IP + 6, 0x8000));
    EXPECT(IP4_LENGTH, with_byte(with_word(f, IP + 2, 30), IP, 0x48)); /* header of 32 in 30 bytes */
}

static void test_ip4_options(void **state [[maybe_unused]])
{
    static const uint8_t fine[] = {1, 1, 7, 7, 4, 0, 0, 0, 0, 0, 0, 0},
                         loose[] = {131, 7, 4, 192, 0, 2, 7, 0}, strict[] = {1, 137, 7, 4, 192, 0, 2, 7},
                         beyond[] = {7, 9, 4, 0}, empty[] = {7, 1, 0, 0}, last[] = {1, 1, 1, 1},
                         cut_off[] = {1, 1, 1, 7};
#define OPTIONS(bytes) frame_of((struct shape){V4, .extra = (bytes), .extra_bytes = sizeof(bytes)})
    EXPECT(PASSED, OPTIONS(fine));
    EXPECT(PASSED, OPTIONS(last));
    EXPECT(IP4_OPTIONS, OPTIONS(loose));
    EXPECT(IP4_OPTIONS, OPTIONS(strict));
    EXPECT(IP4_OPTIONS, OPTIONS(beyond));
    EXPECT(IP4_OPTIONS, OPTIONS(empty));
    EXPECT(IP4_OPTIONS, OPTIONS(cut_off));
}

static void test_addresses(void **state [[maybe_unused]])
{
    static const char *const sources4[] = {"127.0.0.1", "224.0.0.1", "255.255.255.255",
                                           "0.0.0.0",   "240.0.0.1", "192.0.2.1"};
    static const char *const sources6[] = {"::1", "ff02::1", "::ffff:1.2.3.4", "::", "2001:db8::1"};
    for (size_t i = 0; i < sizeof sources4 / sizeof *sources4; i++)
        EXPECT(ADDRESS, frame_of((struct shape){.from = sources4[i], .to = "192.0.2.1"}));
    for (size_t i = 0; i < sizeof sources6 / sizeof *sources6; i++) {
        struct frame f = frame_of((struct shape){V6});
        memcpy(f.bytes + IP + 8, addr_of(sources6[i]).ip, 16);
        EXPECT(ADDRESS, f);
    }
    EXPECT(ADDRESS, frame_of((struct shape){.from = "203.0.113.9", .to = "127.0.0.1"}));
}

static void test_ip6_lies(void **state [[maybe_unused]])
{
    struct frame f = frame_of((struct shape){V6, .payload = 10});
    EXPECT(IP6_VERSION, with_byte(f, IP, 0x45));
    EXPECT(IP6_LENGTH, with_word(f, IP + 4, (uint16_t)(f.n - T6 + 1)));
    EXPECT(IP6_LENGTH, with_word(f, IP + 4, 0));
    EXPECT(IP6_LENGTH, with_word(f, IP + 4, 65'535));
    EXPECT(TCP_SHORT, with_word(f, IP + 4, 19));
}

#define HEADERS(first, ...)                                                                                  \
    frame_of((struct shape){V6, .extra = (const uint8_t[]){__VA_ARGS__},                                     \
                            .extra_bytes = sizeof((const uint8_t[]){__VA_ARGS__}), .extra_first = first})
#define HOPS(next)   next, 0, 1, 4, 0, 0, 0, 0
#define TARGET(next) next, 0, 1, 4, 0, 0, 0, 0
#define PIECE(next)  next, 0, 0, 0, 0, 0, 0, 1

static void test_ip6_headers(void **state [[maybe_unused]])
{
    EXPECT(PASSED, HEADERS(0, HOPS(6)));
    EXPECT(PASSED, HEADERS(60, TARGET(6)));
    EXPECT(PASSED, HEADERS(0, HOPS(60), TARGET(44), PIECE(60), TARGET(6)));
    EXPECT(PASSED, HEADERS(44, PIECE(6))); /* an atomic fragment (RFC 6946) */
    EXPECT(IP6_HEADERS, HEADERS(60, TARGET(0), HOPS(6)));
    EXPECT(IP6_HEADERS, HEADERS(0, HOPS(0), HOPS(6)));
    EXPECT(IP6_HEADERS, HEADERS(44, PIECE(44), PIECE(6)));
    EXPECT(IP6_HEADERS, HEADERS(60, TARGET(60), TARGET(60), TARGET(6)));
    EXPECT(IP6_ROUTING,
           HEADERS(43, 6, 2, 0, 1, 0, 0, 0, 0, 0x20, 1, 13, 184, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT(IP6_ROUTING, HEADERS(43, 6, 0, 0, 0, 0, 0, 0, 0));
    EXPECT(IP6_ROUTING, HEADERS(43, 6, 0, 4, 1, 0, 0, 0, 0));
    EXPECT(PASSED, HEADERS(43, 6, 0, 4, 0, 0, 0, 0, 0));
    EXPECT(IP6_SHORT, HEADERS(60, 6, 200, 1, 4, 0, 0, 0, 0)); /* longer than the packet */
    EXPECT(TCP_SHORT, HEADERS(60, 6, 1, 1, 4, 0, 0, 0, 0));   /* takes half of the TCP header along */
}

static void test_tcp_lies(void **state [[maybe_unused]])
{
    static const uint8_t bad_flags[] = {
        0, FIN, SYN | FIN, SYN | RST, FIN | RST | ACK, URG | PSH | FIN, PSH, SYN | ACK | FIN};
    struct frame f4 = frame_of((struct shape){V4}), f6 = frame_of((struct shape){V6});
    for (size_t i = 0; i < sizeof bad_flags; i++) {
        EXPECT(TCP_FLAGS, with_byte(f4, T4 + 13, bad_flags[i]));
        EXPECT(TCP_FLAGS, with_byte(f6, T6 + 13, bad_flags[i]));
    }
    EXPECT(TCP_OFFSET, with_byte(f4, T4 + 12, 0x40));
    EXPECT(TCP_OFFSET, with_byte(f4, T4 + 12, 0x60));
    EXPECT(TCP_OFFSET, with_byte(f6, T6 + 12, 0xf0));
    EXPECT(TCP_SHORT, with_word(f4, IP + 2, 39));
    EXPECT(PORT_ZERO, with_word(f4, T4, 0));
    EXPECT(PORT_ZERO, with_word(f6, T6 + 2, 0));
}

static void test_udp_lies(void **state [[maybe_unused]])
{
    struct frame f4 = frame_of((struct shape){V4, .protocol = IPPROTO_UDP, .payload = 20});
    struct frame f6 = frame_of((struct shape){V6, .protocol = IPPROTO_UDP, .payload = 20});
    EXPECT(UDP_LENGTH, with_word(f4, T4 + 4, 29));
    EXPECT(UDP_LENGTH, with_word(f4, T4 + 4, 27));
    EXPECT(UDP_LENGTH, with_word(f4, T4 + 4, 7));
    EXPECT(UDP_LENGTH, with_word(f6, T6 + 4, 0));
    EXPECT(UDP_SHORT, with_word(f4, IP + 2, 27));
    EXPECT(PORT_ZERO, with_word(f6, T6 + 2, 0));
    EXPECT(PASSED, with_word(f4, T4, 0));
}

static void test_icmp_lies(void **state [[maybe_unused]])
{
    EXPECT(ICMP_SHORT,
           with_word(frame_of((struct shape){V4, .protocol = IPPROTO_ICMP, .icmp_type = 8}), IP + 2, 27));
    EXPECT(ICMP_TYPE, frame_of((struct shape){V4, .protocol = IPPROTO_ICMP, .icmp_type = 5}));
    EXPECT(ICMP_TYPE, frame_of((struct shape){V4, .protocol = IPPROTO_ICMPV6, .icmp_type = 128}));
    EXPECT(ICMP_TYPE, frame_of((struct shape){V6, .protocol = IPPROTO_ICMP, .icmp_type = 8}));
    EXPECT(ICMP_TYPE,
           frame_of((struct shape){V6, .protocol = IPPROTO_ICMPV6, .icmp_type = 135, .hops = 254}));
    EXPECT(ICMP_TYPE, frame_of((struct shape){V6, .protocol = IPPROTO_ICMPV6, .icmp_type = 134, .hops = 64}));
    EXPECT(ICMP_TYPE,
           frame_of((struct shape){V6, .protocol = IPPROTO_ICMPV6, .icmp_type = 137, .hops = 255}));
}

/* The n-th fragment of a datagram of that number. */
static struct frame piece(const char *from, const char *to, uint8_t protocol, uint32_t id, unsigned offset,
                          unsigned n, bool more)
{
    return frame_of((struct shape){.from = from,
                                   .to = to,
                                   .protocol = protocol,
                                   .is_fragment = true,
                                   .more = more,
                                   .offset = (uint16_t)offset,
                                   .fragment_id = id,
                                   .payload = n});
}

static void fragments(const char *from, const char *to, uint32_t id)
{
#define PART(protocol, number, offset, n, more) piece(from, to, protocol, number, offset, n, more)
    EXPECT(PASSED, PART(IPPROTO_UDP, id, 0, 8, true)); /* 0..16 with its header */
    EXPECT(PASSED, PART(IPPROTO_UDP, id, 16, 16, true));
    EXPECT(FRAGMENT_OVERLAP, PART(IPPROTO_UDP, id, 16, 16, true));
    EXPECT(FRAGMENT_OVERLAP, PART(IPPROTO_UDP, id, 8, 16, true));
    EXPECT(FRAGMENT_OVERLAP, PART(IPPROTO_UDP, id, 24, 100, false));
    EXPECT(PASSED, PART(IPPROTO_UDP, id, 64, 16, true)); /* a gap, out of order */
    EXPECT(FRAGMENT_OVERLAP, PART(IPPROTO_UDP, id, 40, 32, true));
    EXPECT(PASSED, PART(IPPROTO_UDP, id, 32, 32, true)); /* the gap filled */
    EXPECT(PASSED, PART(IPPROTO_UDP, id, 80, 11, false));
    EXPECT(PASSED, PART(IPPROTO_UDP, id + 1, 16, 16, true)); /* another datagram */
    EXPECT(FRAGMENT_LENGTH, PART(IPPROTO_UDP, id + 2, 16, 15, true));
    EXPECT(FRAGMENT_LENGTH, PART(IPPROTO_UDP, id + 2, 16, 0, false));
    EXPECT(FRAGMENT_END, PART(IPPROTO_UDP, id + 2, 65'528, 100, false));
    EXPECT(FRAGMENT_TINY, PART(IPPROTO_TCP, id + 2, 8, 16, false)); /* would rewrite the flags */
    for (unsigned i = 0; i < 8; i++)
        EXPECT(PASSED, PART(IPPROTO_UDP, id + 3, 8 + i * 32, 8, true));
    EXPECT(FRAGMENT_SCATTER, PART(IPPROTO_UDP, id + 3, 8 + 8 * 32, 8, true));
}

static void test_fragments(void **state [[maybe_unused]])
{
    fragments("203.0.113.9", "192.0.2.1", 700);
    fragments("2001:db8:f::9", "2001:db8::1", 70'000);
}

static void test_tiny_first_fragments(void **state [[maybe_unused]])
{
    struct frame f4 =
        frame_of((struct shape){V4, .is_fragment = true, .more = true, .fragment_id = 90, .payload = 4});
    EXPECT(FRAGMENT_TINY, with_word(f4, IP + 2, 20 + 16)); /* 16 bytes of TCP's 20 */
    struct frame f6 =
        frame_of((struct shape){V6, .is_fragment = true, .more = true, .fragment_id = 90, .payload = 4});
    EXPECT(FRAGMENT_TINY, with_word(f6, IP + 4, 8 + 16));
    /* its extension headers go on in the next fragment (RFC 7112) */
    EXPECT(FRAGMENT_TINY, HEADERS(44, 60, 0, 0, 1, 0, 0, 0, 9, 6, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    struct frame udp = frame_of((struct shape){V4, .protocol = IPPROTO_UDP, .is_fragment = true, .more = true,
                                               .fragment_id = 91, .payload = 8});
    EXPECT(UDP_LENGTH, with_word(udp, T4 + 4, 16)); /* says that it is whole */
}

static void test_every_length_and_byte_ends_somewhere(void **state [[maybe_unused]])
{
    /* No frame, however cut or changed in one byte, may fail to be counted exactly once. */
    struct frame whole[] = {
        frame_of((struct shape){V4, .payload = 6, .tags = 1}),
        HEADERS(0, HOPS(60), TARGET(44), PIECE(60), TARGET(6)),
    };
    for (size_t w = 0; w < 2; w++)
        for (size_t n = 14; n < whole[w].n; n++) {
            struct frame f = cut(whole[w], n), g = with_byte(whole[w], n, whole[w].bytes[n] ^ 0xff);
            struct outcome o = run_frame(filter, FILTER_IN, &f), q = run_frame(filter, FILTER_IN, &g);
            assert_true(o.reason < FILTER_REASON_COUNT && q.reason < FILTER_REASON_COUNT);
            assert_int_equal(o.action, XDP_DROP);
        }
}

static void test_dry_run_of_malformed(void **state [[maybe_unused]])
{
    struct filter_policy p = plain_policy();
    struct filter_problem problem;
    struct frame f = with_byte(frame_of((struct shape){V4}), T4 + 13, 0);
    p.dry_run = 1ull << FILTER_TCP_FLAGS;
    assert_int_equal(filter_apply(filter, &p, &problem), 0);
    struct outcome o = run_frame(filter, FILTER_IN, &f);
    assert_int_equal(o.action, XDP_PASS);
    assert_int_equal(o.dry, FILTER_TCP_FLAGS);
    assert_int_equal(o.reason, FILTER_PASSED);
    /* where what is unknown is refused, reading is no dry run */
    filter_level_set(filter, 0, FILTER_LEVEL_PARTNERS);
    o = run_frame(filter, FILTER_IN, &f);
    assert_int_equal(o.action, XDP_DROP);
    assert_int_equal(o.reason, FILTER_TCP_FLAGS);
    filter_level_set(filter, 0, FILTER_LEVEL_OPEN);
    p.dry_run = 0;
    assert_int_equal(filter_apply(filter, &p, &problem), 0);
    EXPECT(TCP_FLAGS, f);
}

int main(void)
{
    char pins[64];
    enter_own_world(pins, sizeof pins);
    filter = filter_for_test(NULL, FILTER_LEVEL_OPEN);
    struct filter_policy policy = plain_policy();
    struct filter_problem problem;
    if (filter_apply(filter, &policy, &problem) != 0) {
        printf("filter_apply: %s\n", problem.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_packets_pass),
        cmocka_unit_test(test_links_own_protocols_pass),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_ip4_lies),
        cmocka_unit_test(test_ip4_options),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_ip6_lies),
        cmocka_unit_test(test_ip6_headers),
        cmocka_unit_test(test_tcp_lies),
        cmocka_unit_test(test_udp_lies),
        cmocka_unit_test(test_icmp_lies),
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_tiny_first_fragments),
        cmocka_unit_test(test_every_length_and_byte_ends_somewhere),
        cmocka_unit_test(test_dry_run_of_malformed),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    filter_close(filter);
    return failed;
}
