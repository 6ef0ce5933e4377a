/* filter/nft.c - policy and level as nftables text.
 *
 * For machines without the capability for packet programs, and for the time before any interface is up. One
 * table, replaced in one transaction. It comes after reassembly and connection tracking (priority -150), so
 * fragments are whole and answers over UDP are known.
 *
 * The text is written so that it can only be stricter than the programs: each direction of each class ends in
 * a drop, the base chains drop by themselves, and what has no counterpart (rates, cookies, dry runs, earned
 * classes, levels of clusters) lets nobody in.
 *
 * Longest prefix first: networks of one length cannot overlap, so one rule for each length and class, from
 * long to short, is the same as the longest match. */
#include "filter/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define TABLE "polder_filter"

enum { NFT_COMPLAINT_BYTES = 200 };

struct writer {
    struct buf *out;
    const struct filter_policy *policy;
    uint32_t level;
    uint64_t now_ns;
    bool is_out;
};

static bool name_is_writable(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!((name.p[i] >= 'a' && name.p[i] <= 'z') || (name.p[i] >= 'A' && name.p[i] <= 'Z') ||
              (name.p[i] >= '0' && name.p[i] <= '9') || memchr("._-@:", name.p[i], 5)))
            return false;
    return name.n > 0 && name.n < 16;
}

/* What is not said to be outside is not ours to filter; lo never is. */
static bool write_interfaces(struct buf *b, const char *way, struct str names)
{
    buf_printf(b, "        %s \"lo\" accept\n", way);
    if (names.n == 0)
        return true;
    buf_printf(b, "        %s != {", way);
    for (bool first = true; names.n; first = false) {
        struct str name = str_cut(&names, ' ');
        if (name.n == 0)
            continue;
        if (!name_is_writable(name))
            return false;
        buf_printf(b, "%s \"%.*s\"", first ? "" : ",", STR_ARG(name));
    }
    BUF_LIT(b, " } accept\n");
    return true;
}

/* Neighbour discovery and multicast membership: without them a link carries nothing. ARP is no business of an
 * inet table. */
static void write_link(struct buf *b)
{
    BUF_LIT(b, "        icmpv6 type { 133, 134, 135, 136 } ip6 hoplimit 255 accept\n"
               "        icmpv6 type { 130, 131, 132, 143 } ip6 hoplimit 1 accept\n");
}

static bool list_is(const struct filter_list *l, bool is_v4, unsigned bits, unsigned class)
{
    return (unsigned)l->class == class && l->prefix.bits == bits && filter_prefix_is_v4(&l->prefix) == is_v4;
}

static void write_networks(struct writer *w, bool is_v4, unsigned bits, unsigned class)
{
    const struct filter_policy *p = w->policy;
    bool any = false;
    for (size_t i = 0; i < p->list_count; i++) {
        if (!list_is(&p->lists[i], is_v4, bits, class))
            continue;
        if (!any)
            buf_printf(w->out, "        %s %s {", is_v4 ? "ip" : "ip6", w->is_out ? "daddr" : "saddr");
        buf_printf(w->out, "%s ", any ? "," : "");
        addr_write_prefix(w->out, &p->lists[i].prefix);
        any = true;
    }
    if (any)
        buf_printf(w->out, " } goto %s_%s\n", w->is_out ? "out" : "in", filter_class_word(class));
}

static void write_classes(struct writer *w)
{
    bool has[2][129][FILTER_CLASS_COUNT] = {0};
    for (size_t i = 0; w->policy && i < w->policy->list_count; i++) {
        const struct filter_list *l = &w->policy->lists[i];
        if (l->prefix.bits <= 128 && (unsigned)l->class < FILTER_CLASS_COUNT)
            has[filter_prefix_is_v4(&l->prefix)][l->prefix.bits][l->class] = true;
    }
    for (unsigned bits = 129; bits-- > 0;)
        for (unsigned class = 0; class < FILTER_CLASS_COUNT; class ++) {
            if (has[0][bits][class])
                write_networks(w, false, bits, class);
            if (has[1][bits][class])
                write_networks(w, true, bits, class);
        }
    buf_printf(w->out, "        goto %s_%s\n", w->is_out ? "out" : "in",
               filter_class_word(FILTER_CLASS_UNKNOWN));
}

/* The ports that may (or, `refused`, may not) be reached by a mask of services. How many. */
static unsigned write_ports(struct writer *w, bool is_udp, uint32_t mask, bool refused, bool count_only)
{
    unsigned n = 0;
    for (size_t i = 0; w->policy && i < w->policy->port_count; i++) {
        const struct filter_port *port = &w->policy->ports[i];
        if (port->is_udp != is_udp || !(port->services & mask) != refused)
            continue;
        if (!count_only)
            buf_printf(w->out, "%s %u", n ? "," : "", port->port);
        n++;
    }
    return n;
}

/* On the way out a packet that the peer began is an answer: it opens nothing. */
static const char *answer_only(bool is_out, bool is_udp)
{
    return is_out && !is_udp ? " tcp flags & (syn | ack) != syn" : "";
}

static void write_ports_begun_by_peer(struct writer *w, bool is_udp, uint32_t mask)
{
    bool others = mask & FILTER_SERVES(OTHER);
    const char *protocol = is_udp ? "udp" : "tcp", *port = w->is_out ? "sport" : "dport";
    if (write_ports(w, is_udp, mask, others, true) == 0) {
        if (others)
            buf_printf(w->out, "        meta l4proto %s%s accept\n", protocol,
                       answer_only(w->is_out, is_udp));
        return;
    }
    buf_printf(w->out, "        %s %s %s{", protocol, port, others ? "!= " : "");
    write_ports(w, is_udp, mask, others, false);
    buf_printf(w->out, " }%s accept\n", answer_only(w->is_out, is_udp));
}

static void write_begun_by_us(struct writer *w, uint32_t mask)
{
    if (!(mask & FILTER_SERVES(OTHER)))
        return;
    if (w->is_out)
        BUF_LIT(w->out, "        meta l4proto { tcp, udp } accept\n");
    else
        BUF_LIT(w->out, "        tcp flags & (syn | ack) != syn accept\n"
                        "        meta l4proto udp ct state established,related accept\n");
}

static void write_icmp(struct writer *w, uint32_t mask)
{
    if (mask & FILTER_SERVES(ERROR))
        BUF_LIT(w->out,
                "        icmp type { 3, 11, 12 } accept\n        icmpv6 type { 1, 2, 3, 4 } accept\n");
    if (mask & FILTER_SERVES(PING))
        BUF_LIT(w->out, "        icmp type { 0, 8 } accept\n        icmpv6 type { 128, 129 } accept\n");
}

static void write_others(struct writer *w, uint32_t mask)
{
    if (mask & FILTER_SERVES(TUNNEL))
        BUF_LIT(w->out, "        meta l4proto { 4, 41, 47, 137 } accept\n");
    if (mask & FILTER_SERVES(OPAQUE))
        BUF_LIT(w->out, "        meta l4proto != { 1, 4, 6, 17, 41, 47, 58, 137 } accept\n");
}

/* One class in one direction. */
static void write_class_chain(struct writer *w, unsigned class)
{
    struct filter_right right = filter_level_default(w->level)->right[class];
    const char *way = w->is_out ? "out" : "in";
    buf_printf(w->out, "    chain %s_%s {\n", way, filter_class_word(class));
    if (class != FILTER_CLASS_BLOCKED && w->policy) {
        buf_printf(w->out, "        jump orders_%s\n", way);
        write_begun_by_us(w, right.out);
        write_ports_begun_by_peer(w, false, right.in);
        write_ports_begun_by_peer(w, true, right.in);
        write_icmp(w, right.in | right.out);
        write_others(w, right.in | right.out);
    }
    BUF_LIT(w->out, "        counter drop\n    }\n");
}

static bool order_holds(const struct writer *w, const struct filter_rule *rule)
{
    if (rule->until_ns && rule->until_ns <= w->now_ns)
        return false;
    return rule->action == FILTER_RULE_BLOCK || rule->last_level >= w->level;
}

/* What ends by itself stands in a set whose element the kernel forgets in time. */
static void write_order_sets(struct writer *w)
{
    for (size_t i = 0; i < w->policy->order_count; i++) {
        const struct filter_order *o = &w->policy->orders[i];
        if (!o->rule.until_ns || !order_holds(w, &o->rule))
            continue;
        buf_printf(
            w->out,
            "    set order%zu {\n        type %s\n        flags interval, timeout\n        elements = { ", i,
            filter_prefix_is_v4(&o->prefix) ? "ipv4_addr" : "ipv6_addr");
        addr_write_prefix(w->out, &o->prefix);
        uint64_t left_s = (o->rule.until_ns - w->now_ns) / 1'000'000'000u;
        buf_printf(w->out, " timeout %llus }\n    }\n", (unsigned long long)(left_s ? left_s : 1));
    }
}

static void write_order_ports(struct writer *w, const struct filter_rule *r)
{
    bool any_port = r->port_from == 0 && r->port_to == 65'535;
    bool at_peer = r->direction == FILTER_OUT, is_source = at_peer != w->is_out;
    if (r->protocol)
        buf_printf(w->out, " meta l4proto %u", r->protocol);
    else if (!any_port)
        BUF_LIT(w->out, " meta l4proto { tcp, udp }");
    if (!any_port)
        buf_printf(w->out, " th %s %u-%u", is_source ? "sport" : "dport", r->port_from, r->port_to);
}

static void write_order(struct writer *w, size_t number, const char *more)
{
    const struct filter_order *o = &w->policy->orders[number];
    buf_printf(w->out, "        %s %s ", filter_prefix_is_v4(&o->prefix) ? "ip" : "ip6",
               w->is_out ? "daddr" : "saddr");
    if (o->rule.until_ns)
        buf_printf(w->out, "@order%zu", number);
    else
        addr_write_prefix(w->out, &o->prefix);
    write_order_ports(w, &o->rule);
    buf_printf(w->out, "%s %s\n", more, o->rule.action == FILTER_RULE_BLOCK ? "counter drop" : "accept");
}

/* As in the programs: whoever did not begin only answers. */
static void write_order_both(struct writer *w, size_t number)
{
    const struct filter_rule *r = &w->policy->orders[number].rule;
    bool begins = (r->direction == FILTER_OUT) == w->is_out;
    if (begins) {
        write_order(w, number, "");
        return;
    }
    if (r->protocol == 0 || r->protocol == IPPROTO_TCP)
        write_order(w, number, " tcp flags & (syn | ack) != syn");
    if (r->protocol != IPPROTO_TCP)
        write_order(w, number,
                    r->direction == FILTER_OUT ? " meta l4proto != tcp ct state established,related"
                                               : " meta l4proto != tcp");
}

static void write_orders(struct writer *w)
{
    buf_printf(w->out, "    chain orders_%s {\n", w->is_out ? "out" : "in");
    for (unsigned bits = 129; bits-- > 0;)
        for (size_t i = 0; i < w->policy->order_count; i++) {
            const struct filter_order *o = &w->policy->orders[i];
            if (o->prefix.bits == bits && order_holds(w, &o->rule))
                write_order_both(w, i);
        }
    BUF_LIT(w->out, "    }\n");
}

static bool write_direction(struct writer *w, struct str interfaces)
{
    if (w->policy)
        write_orders(w);
    for (unsigned class = 0; class < FILTER_CLASS_COUNT; class ++)
        write_class_chain(w, class);
    buf_printf(w->out, "    chain %s {\n        type filter hook %s priority -150; policy drop;\n",
               w->is_out ? "out" : "in", w->is_out ? "postrouting" : "prerouting");
    if (!write_interfaces(w->out, w->is_out ? "oifname" : "iifname", interfaces))
        return false;
    write_link(w->out);
    write_classes(w);
    BUF_LIT(w->out, "    }\n");
    return true;
}

bool filter_nft_render(struct buf *out, const struct filter_policy *policy, uint32_t level,
                       struct str interfaces, uint64_t now_ns)
{
    struct writer w = {.out = out,
                       .policy = policy,
                       .level = level < FILTER_LEVEL_COUNT && policy ? level : FILTER_LEVEL_SEALED,
                       .now_ns = now_ns};
    filter_nft_render_removal(out);
    BUF_LIT(out, "table inet " TABLE " {\n");
    if (policy)
        write_order_sets(&w);
    for (int way = 0; way < 2; way++) {
        w.is_out = way;
        if (!write_direction(&w, interfaces))
            return false;
    }
    BUF_LIT(out, "}\n");
    return true;
}

/* Adding before deleting makes the deletion succeed whether the table was there or not. */
void filter_nft_render_removal(struct buf *out)
{
    BUF_LIT(out, "table inet " TABLE "\ndelete table inet " TABLE "\n");
}

static int text_file(struct str text)
{
    int fd = memfd_create("nft", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (write(fd, text.p, text.n) != (ssize_t)text.n || lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        return -EIO;
    }
    return fd;
}

static int start(int input, int output, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    char name[] = "nft", option[] = "-f", file[] = "-";
    char *const arguments[] = {name, option, file, NULL}, *const environment[] = {NULL};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_adddup2(&actions, output, 2);
    int error = posix_spawn(ret, "/usr/sbin/nft", &actions, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    return -error;
}

/* Its first words; the rest is read too, so that it never waits for us. */
static void complaint_read(int fd, char *memory, size_t cap)
{
    size_t n = 0;
    char rest[512];
    for (;;) {
        bool full = n == cap - 1;
        ssize_t got = full ? read(fd, rest, sizeof rest) : read(fd, memory + n, cap - 1 - n);
        if (got <= 0)
            break;
        n += full ? 0 : (size_t)got;
    }
    memory[n] = '\0';
    memory[strcspn(memory, "\n")] = '\0';
}

static int run_nft(int input, struct filter_problem *problem)
{
    int ends[2], status = 0;
    char complaint[NFT_COMPLAINT_BYTES];
    pid_t pid;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return filter_problem_set(problem, -errno, "no pipe to nft");
    int error = start(input, ends[1], &pid);
    close(ends[1]);
    if (!error) {
        complaint_read(ends[0], complaint, sizeof complaint);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    close(ends[0]);
    if (error)
        return filter_problem_set(problem, error, "nft cannot be started: %s", strerror(-error));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return filter_problem_set(problem, -EINVAL, "nft refuses the rules, and what was there holds: %s",
                                  complaint);
    return 0;
}

int filter_nft_apply(struct str text, struct filter_problem *problem)
{
    int input = text_file(text);
    if (input < 0)
        return filter_problem_set(problem, input, "no memory for the rules");
    int error = run_nft(input, problem);
    close(input);
    return error;
}
