#include "packets.h"

#include "base/must.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

void frame_put16(struct frame *f, size_t at, uint16_t value)
{
    f->bytes[at] = (uint8_t)(value >> 8);
    f->bytes[at + 1] = (uint8_t)value;
}

static void add(struct frame *f, const void *bytes, size_t n)
{
    must(f->n + n <= sizeof f->bytes);
    if (n)
        memcpy(f->bytes + f->n, bytes, n);
    f->n += n;
}

static void add16(struct frame *f, uint16_t value)
{
    f->n += 2;
    must(f->n <= sizeof f->bytes);
    frame_put16(f, f->n - 2, value);
}

struct addr addr_of(const char *text)
{
    struct addr a;
    must(addr_parse_ip(str_of(text), &a));
    return a;
}

struct addr_prefix prefix_of(const char *text)
{
    struct addr_prefix p;
    must(addr_parse_prefix(str_of(text), &p));
    return p;
}

static void add_ethernet(struct frame *f, unsigned tags, uint16_t type)
{
    static const uint8_t stations[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
    add(f, stations, sizeof stations);
    for (unsigned i = 0; i < tags; i++) {
        add16(f, i + 1 < tags ? ETH_P_8021AD : ETH_P_8021Q);
        add16(f, (uint16_t)(100 + i));
    }
    add16(f, type);
    f->ip_at = f->n;
}

static void add_ip4(struct frame *f, const struct shape *s, uint8_t protocol)
{
    struct addr from = addr_of(s->from), to = addr_of(s->to);
    struct iphdr ip = {.version = 4,
                       .ihl = (uint8_t)(5 + s->extra_bytes / 4) & 15,
                       .protocol = protocol,
                       .ttl = s->hops ? s->hops : 64,
                       .id = htons((uint16_t)s->fragment_id)};
    if (s->is_fragment)
        ip.frag_off = htons((uint16_t)(s->offset / 8 | (s->more ? 0x2000 : 0)));
    memcpy(&ip.saddr, from.ip + 12, 4);
    memcpy(&ip.daddr, to.ip + 12, 4);
    add(f, &ip, sizeof ip);
    add(f, s->extra, s->extra_bytes);
}

static void add_ip6(struct frame *f, const struct shape *s, uint8_t protocol)
{
    struct addr from = addr_of(s->from), to = addr_of(s->to);
    uint8_t inner = s->is_fragment ? IPPROTO_FRAGMENT : protocol;
    struct ipv6hdr ip = {.version = 6,
                         .hop_limit = s->hops ? s->hops : 64,
                         .nexthdr = s->extra_bytes ? s->extra_first : inner};
    memcpy(&ip.saddr, from.ip, 16);
    memcpy(&ip.daddr, to.ip, 16);
    add(f, &ip, sizeof ip);
    add(f, s->extra, s->extra_bytes);
    if (s->is_fragment) {
        uint8_t head[4] = {protocol, 0};
        uint32_t id = htonl(s->fragment_id);
        uint16_t piece = htons((uint16_t)(s->offset | s->more));
        memcpy(head + 2, &piece, 2);
        add(f, head, 4);
        add(f, &id, 4);
    }
}

static void add_tcp(struct frame *f, const struct shape *s)
{
    struct tcphdr tcp = {.source = htons(s->from_port ? s->from_port : 40'000),
                         .doff = 5,
                         .window = htons(1000),
                         .dest = htons(s->to_port ? s->to_port : 443),
                         .seq = htonl(1),
                         .ack_seq = htonl(1)};
    uint8_t bytes[sizeof tcp];
    memcpy(bytes, &tcp, sizeof tcp);
    bytes[13] = s->flags ? s->flags : ACK;
    add(f, bytes, sizeof bytes);
}

static void add_transport(struct frame *f, const struct shape *s, uint8_t protocol)
{
    struct udphdr udp = {.source = htons(s->from_port ? s->from_port : 40'000),
                         .dest = htons(s->to_port ? s->to_port : 443),
                         .len = htons((uint16_t)(8 + s->payload + (s->is_fragment ? 1400 : 0)))};
    uint8_t icmp[8] = {s->icmp_type};
    f->transport_at = f->n;
    if (s->is_fragment && s->offset)
        return; /* a later fragment is payload alone */
    if (protocol == IPPROTO_TCP)
        add_tcp(f, s);
    else if (protocol == IPPROTO_UDP)
        add(f, &udp, sizeof udp);
    else if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
        add(f, icmp, sizeof icmp);
}

struct frame frame_of(struct shape s)
{
    struct frame f = {0};
    static const uint8_t zeros[2048];
    uint8_t protocol = s.protocol ? s.protocol : IPPROTO_TCP;
    bool is_v4 = addr_of(s.from).is_v4;
    add_ethernet(&f, s.tags, is_v4 ? ETH_P_IP : ETH_P_IPV6);
    if (is_v4)
        add_ip4(&f, &s, protocol);
    else
        add_ip6(&f, &s, protocol);
    add_transport(&f, &s, protocol);
    add(&f, zeros, s.payload);
    frame_put16(&f, f.ip_at + (is_v4 ? 2 : 4), (uint16_t)(f.n - f.ip_at - (is_v4 ? 0 : 40)));
    return f;
}

struct outcome run_frame(struct filter *f, enum filter_direction direction, const struct frame *frame)
{
    struct filter_counts before, after;
    struct outcome o = {.reason = FILTER_REASON_MAX, .dry = FILTER_REASON_MAX};
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame->bytes, .data_size_in = (__u32)frame->n,
                .data_out = o.answer, .data_size_out = sizeof o.answer, .repeat = 1);
    assert_int_equal(filter_counts_read(f, &before), 0);
    int error = bpf_prog_test_run_opts(filter_program_fd(f, direction), &run);
    if (error && error != -ENOSPC)
        fail_msg("bpf_prog_test_run: %s", strerror(-error));
    assert_int_equal(filter_counts_read(f, &after), 0);
    o.action = (int)run.retval;
    o.answer_bytes = run.data_size_out < sizeof o.answer ? run.data_size_out : sizeof o.answer;
    for (unsigned i = 0; i < FILTER_REASON_MAX; i++) {
        if (after.packets[direction][i] != before.packets[direction][i])
            o.reason = i;
        if (after.dry[direction][i] != before.dry[direction][i])
            o.dry = i;
    }
    return o;
}

[[gnu::noreturn]] static void give_up(const char *what)
{
    printf("skipped: %s: %s\n", what, strerror(errno));
    exit(77);
}

void enter_own_world(char *ret_pins, size_t cap)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
        give_up("name spaces need root");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("tmpfs", "/mnt", "tmpfs", 0, NULL) < 0)
        give_up("no mount in a name space of our own");
    if (mkdir("/mnt/bpf", 0700) < 0 || mount("bpf", "/mnt/bpf", "bpf", 0, NULL) < 0)
        give_up("no BPF file system");
    (void)snprintf(ret_pins, cap, "/mnt/bpf/polder");
}

struct filter *filter_for_test(const char *pins, uint32_t level)
{
    struct filter_problem problem = {""};
    struct filter_options options = {.pins = pins, .level = level, .set_sysctls = true};
    int error;
    struct filter *f = filter_open(&options, &problem, &error);
    if (!f && error == -EPERM) {
        printf("skipped: %s\n", problem.text);
        exit(77);
    }
    if (!f)
        fail_msg("filter_open: %d, %s", error, problem.text);
    return f;
}

void list_add(struct filter_list *l, const char *prefix, enum filter_class class)
{
    l->prefix = prefix_of(prefix);
    l->class = class;
}

struct filter_policy plain_policy(void)
{
    static const struct filter_port ports[] = {
        {443, false, FILTER_SERVES(WEB)},
        {8080, false, FILTER_SERVES(NOTICE)},
        {9000, false, FILTER_SERVES(LINK)},
        {9443, false, FILTER_SERVES(MANAGE)},
    };
    return (struct filter_policy){.ports = ports, .port_count = sizeof ports / sizeof *ports};
}
