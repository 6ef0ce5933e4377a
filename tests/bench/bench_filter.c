/* bench_filter.c - what a packet costs, in nanoseconds of CPU: the programs by bpf_prog_test_run, then live
 * over veth with one core that generates, receives and filters, beside nftables and the kernel's own cookies
 * on the same path. Prints one table; the least of many short runs, and their median: other work on the
 * machine only ever adds. */
#include "filter/filter.h"
#include "packets.h"

#include "base/must.h"
#include "sys/net.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual" /* the generated code */
#include "flood.skel.h"
#pragma GCC diagnostic pop

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 60, PACKETS = 32'768, TEST_RUN_REPEATS = 400'000, TEST_RUNS = 9 };

static struct flood_bpf *generator;
static unsigned outside_interface, gate_interface;
static const char *only = ""; /* rows with these words */

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Of this process, softirqs that run on its back included, and of the kernel thread that takes the rest. */
static uint64_t cpu_ns(void)
{
    static char path[64];
    struct timespec t;
    char text[96] = "";
    for (int pid = 2; !path[0] && pid < 400; pid++) {
        char name[64], comm[64] = "", wanted[32];
        (void)snprintf(name, sizeof name, "/proc/%d/comm", pid);
        (void)snprintf(wanted, sizeof wanted, "ksoftirqd/%ld\n", sysconf(_SC_NPROCESSORS_ONLN) - 1);
        int fd = open(name, O_RDONLY);
        if (fd >= 0 && read(fd, comm, sizeof comm - 1) > 0 && strcmp(comm, wanted) == 0)
            (void)snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
        close(fd);
    }
    int fd = open(path, O_RDONLY);
    must(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1'000'000'000u + (uint64_t)t.tv_nsec + strtoull(text, NULL, 10);
}

static void row(const char *what, double *values, size_t n, const char *note)
{
    qsort(values, n, sizeof *values, by_value);
    printf("| %-66s | %6.0f | %6.0f | %s |\n", what, values[0], values[n / 2], note);
    fflush(stdout);
}

static void run_ip(const char *line)
{
    char words[256], *argv[24], *rest = words;
    size_t n = 0;
    int status = 0;
    (void)snprintf(words, sizeof words, "%s", line);
    for (char *word; (word = strsep(&rest, " ")) && n + 1 < 24;)
        argv[n++] = word;
    argv[n] = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        execv(argv[0], argv);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    must(status == 0);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    must(fd >= 0 && write(fd, text, strlen(text)) > 0);
    close(fd);
}

/* GRO makes a veth poll its ring without a program on it. */
static void gro_on(const char *name)
{
    struct ethtool_value value = {.cmd = ETHTOOL_SGRO, .data = 1};
    struct ifreq request = {.ifr_data = (char *)&value};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    must(fd >= 0 && ioctl(fd, SIOCETHTOOL, &request) == 0);
    close(fd);
}

static void scene_make(char *pins, size_t cap)
{
    cpu_set_t one;
    enter_own_world(pins, cap);
    CPU_ZERO(&one);
    CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &one);
    must(sched_setaffinity(0, sizeof one, &one) == 0);
    run_ip("/sbin/ip link set lo up");
    run_ip("/sbin/ip link add g0 address 02:00:00:00:00:01 type veth peer name o0 address 02:00:00:00:00:02");
    run_ip("/sbin/ip addr add 192.0.2.1/24 dev g0");
    run_ip("/sbin/ip -6 addr add 2001:db8::1/64 dev g0 nodad");
    run_ip("/sbin/ip link set g0 up");
    run_ip("/sbin/ip link set o0 up");
    run_ip("/sbin/ip route add default via 203.0.113.1 dev g0 onlink");
    run_ip("/sbin/ip neigh add 203.0.113.1 lladdr 02:00:00:00:00:02 dev g0");
    write_file("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
    write_file("/proc/sys/net/ipv4/conf/g0/rp_filter", "0");
    outside_interface = if_nametoindex("o0");
    gate_interface = if_nametoindex("g0");
    generator = flood_bpf__open_and_load();
    must(generator);
    generator->bss->target_interface = outside_interface;
    must(bpf_link_create(bpf_program__fd(generator->progs.drop), (int)outside_interface, BPF_XDP, NULL) >= 0);
}

static void sources(uint32_t base, uint32_t mask)
{
    generator->bss->source_base = htonl(base);
    generator->bss->source_mask = htonl(mask);
}

/* How many went out in how many ns; each run is a sample. */
static void flood(const struct frame *frame, double *ret_ns)
{
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame->bytes, .data_size_in = (__u32)frame->n,
                .repeat = PACKETS, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = 64);
    memcpy(generator->bss->template, frame->bytes, frame->n < 80 ? frame->n : 80);
    for (unsigned i = 0; i < RUNS; i++) {
        uint64_t start = cpu_ns();
        int error = bpf_prog_test_run_opts(bpf_program__fd(generator->progs.flood), &run);
        ret_ns[i] = (double)(cpu_ns() - start) / PACKETS;
        if (error) {
            printf("live frames: %s\n", strerror(-error));
            exit(1);
        }
    }
}

static uint64_t reason_count(struct filter *f, unsigned reason)
{
    struct filter_counts counts;
    must(filter_counts_read(f, &counts) == 0);
    return counts.packets[FILTER_IN][reason];
}

/* A flood whose packets must all end with one reason. */
static void live(struct filter *f, const char *what, const struct frame *frame, unsigned reason)
{
    if (!strstr(what, only))
        return;
    double ns[RUNS];
    char note[64];
    uint64_t before = reason_count(f, reason);
    flood(frame, ns);
    double share = 100.0 * (double)(reason_count(f, reason) - before) / ((double)RUNS * PACKETS);
    (void)snprintf(note, sizeof note, "%.1f %% %s", share, filter_reason_name(reason));
    row(what, ns, RUNS, note);
}

/* What arrived at the gate's interface, whoever took it from there. */
static uint64_t arrived(void)
{
    char text[4096] = "", *at;
    int fd = open("/proc/self/net/dev", O_RDONLY);
    must(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    at = strstr(text, "g0:");
    must(at);
    (void)strtoull(at + 3, &at, 10); /* bytes */
    return strtoull(at, NULL, 10);
}

/* Where the stack cannot keep up, the link loses packets before they cost anything: the price is that of the
 * others. */
static void live_plain(const char *what, const struct frame *frame, const char *words)
{
    double ns[RUNS];
    char note[64];
    if (!strstr(what, only))
        return;
    uint64_t before = arrived();
    flood(frame, ns);
    double share = (double)(arrived() - before) / ((double)RUNS * PACKETS);
    for (unsigned i = 0; i < RUNS && share > 0; i++)
        ns[i] /= share;
    (void)snprintf(note, sizeof note, "%s; %.1f %% arrived", words, 100 * share);
    row(what, ns, RUNS, note);
}

static void apply(struct filter *f, const struct filter_policy *p)
{
    struct filter_problem problem = {""};
    if (filter_apply(f, p, &problem) != 0) {
        printf("%s\n", problem.text);
        exit(1);
    }
}

/* ---- without an interface */

static void test_run(int program, const char *what, const struct frame *frame, const char *note)
{
    if (!strstr(what, only))
        return;
    double ns[TEST_RUNS];
    memcpy(generator->bss->template, frame->bytes, frame->n < 80 ? frame->n : 80);
    for (unsigned i = 0; i < TEST_RUNS; i++) {
        LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame->bytes, .data_size_in = (__u32)frame->n,
                    .repeat = TEST_RUN_REPEATS);
        must(bpf_prog_test_run_opts(program, &run) == 0);
        ns[i] = run.duration;
    }
    row(what, ns, TEST_RUNS, note);
}

static struct filter_policy flood_policy(void)
{
    struct filter_policy p = plain_policy();
    p.rates[0][FILTER_CLASS_UNKNOWN] = (struct filter_rate){.source = 2000, .prefix = 20'000, .total = 1};
    p.cookies = true;
    return p;
}

static void test_runs(struct filter *f)
{
    struct frame udp4 = frame_of((struct shape){
        .from = "203.0.113.1", .to = "192.0.2.1", .protocol = IPPROTO_UDP, .to_port = 5555, .payload = 18});
    struct frame udp6 = frame_of((struct shape){.from = "2001:db8:f::1",
                                                .to = "2001:db8::1",
                                                .protocol = IPPROTO_UDP,
                                                .to_port = 5555,
                                                .payload = 18});
    struct filter_policy p = flood_policy(), none = plain_policy();
    int ours = filter_program_fd(f, FILTER_IN), random = bpf_program__fd(generator->progs.first_random);
    uint32_t first = 0;
    must(bpf_map_update_elem(bpf_map__fd(generator->maps.measured), &first, &ours, BPF_ANY) == 0);
    sources(0, 0xffff'ffff);
    test_run(bpf_program__fd(generator->progs.drop), "test_run: return XDP_DROP", &udp4, "");
    apply(f, &none);
    test_run(ours, "test_run: everything looked at, passes, one source", &udp4, "no rate limits");
    filter_level_set(f, 0, FILTER_LEVEL_CLOSED);
    test_run(ours, "test_run: level closed, dropped, one source", &udp4, "");
    test_run(random, "test_run: level closed, dropped, random IPv4 sources", &udp4,
             "8 ns are the generator's");
    test_run(random, "test_run: level closed, dropped, random IPv6 /64s", &udp6, "");
    filter_level_set(f, 0, FILTER_LEVEL_OPEN);
    apply(f, &p);
    test_run(ours, "test_run: class table, sketch, rate; one source", &udp4, "");
    test_run(random, "test_run: class table, sketch, rate; random IPv4 sources", &udp4, "");
    test_run(random, "test_run: class table, sketch, rate; random IPv6 /64s", &udp6, "");
    test_run(filter_program_fd(f, FILTER_OUT), "test_run: outgoing, passes", &udp4, "tc");
}

/* ---- over veth */

static void nft(const char *text)
{
    struct filter_problem problem = {""};
    if (filter_nft_apply(str_of(text), &problem) != 0) {
        printf("%s\n", problem.text);
        exit(1);
    }
}

static void block_list(struct filter_list *lists, char *nft_set, size_t cap)
{
    struct buf out = buf_over(nft_set, cap);
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t ip = 0x0b00'0000u | (i * 16'777u & 0xff'ffffu & ~0xffu) | (i & 1 ? 0x80 : 0);
        char text[40];
        (void)snprintf(text, sizeof text, "%u.%u.%u.%u/%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255,
                       i & 1 ? 25u : 24u);
        list_add(&lists[i], text, FILTER_CLASS_BLOCKED);
        buf_printf(&out, "%s%s", i ? ", " : "", text);
    }
    buf_char(&out, '\0');
    must(!buf_overflowed(&out));
}

static void veth_ours(struct filter *f, const struct frame *udp, const struct frame *udp6,
                      const struct frame *syn, const struct frame *syn6, struct filter_list *lists)
{
    struct filter_policy p = flood_policy(), none = plain_policy(), many = plain_policy();
    struct filter_attachment made;
    struct filter_problem problem;
    many.lists = lists;
    many.list_count = 1000;
    none.cookies = true;
    none.syn_per_s = 1000;
    must(filter_attach(f, gate_interface, &made, &problem) == 0);
    apply(f, &p);
    live(f, "veth: class table, sketch, rate; random IPv4 sources", udp, FILTER_RATE_CLASS);
    live(f, "veth: class table, sketch, rate; random IPv6 /64s", udp6, FILTER_RATE_CLASS);
    apply(f, &many);
    filter_level_set(f, 0, FILTER_LEVEL_CLOSED);
    live(f, "veth: level closed, 1,000 networks blocked; random sources", udp, FILTER_LEVEL);
    sources(0x0b00'0000, 0x00ff'ffff);
    live(f, "veth: the same, sources among the blocked networks", udp, FILTER_LEVEL);
    sources(0, 0xffff'ffff);
    apply(f, &none);
    filter_level_set(f, 0, FILTER_LEVEL_GUARDED);
    live(f, "veth: SYN answered with a cookie (XDP), IPv4", syn, FILTER_COOKIE_SENT);
    live(f, "veth: SYN answered with a cookie (XDP), IPv6", syn6, FILTER_COOKIE_SENT);
    filter_level_set(f, 0, FILTER_LEVEL_OPEN);
}

static void veth_peers(const struct frame *udp, const struct frame *syn, const char *set)
{
    static char text[65'536], fallback[65'536];
    struct filter_policy p = plain_policy();
    struct buf out = buf_over(fallback, sizeof fallback - 1);
    gro_on("g0");
    live_plain("veth: nothing at all, UDP to a closed port", udp, "the stack");
    live_plain("veth: the kernel's SYN cookies", syn, "tcp_syncookies = 2");
    (void)snprintf(
        text, sizeof text,
        "table netdev bench { set s { type ipv4_addr; flags interval; elements = { %s }; }; chain in { type "
        "filter hook ingress device g0 priority 0; ip saddr @s drop; udp dport 5555 drop; }; }\n",
        set);
    nft(text);
    live_plain("veth: nftables at ingress, a set of 1,000 networks", udp, "drop");
    nft("delete table netdev bench\n");
    (void)snprintf(
        text, sizeof text,
        "table ip bench { set s { type ipv4_addr; flags interval; elements = { %s }; }; chain in { type "
        "filter hook input priority 0; ct state established accept; ip saddr @s drop; udp dport 5555 drop; "
        "}; "
        "}\n",
        set);
    nft(text);
    live_plain("veth: nftables at input, connection tracking, the same set", udp, "drop");
    nft("delete table ip bench\n");
    must(filter_nft_render(&out, &p, FILTER_LEVEL_CLOSED, STR("g0"), 0) && !buf_overflowed(&out));
    fallback[out.n] = '\0';
    nft(fallback);
    live_plain("veth: what stands in for us where there is no BPF, closed", udp, "drop");
}

int main(int argc, char **argv)
{
    static struct filter_list lists[1000];
    static char set[32'768];
    char pins[64];
    struct filter_problem problem;
    only = argc > 1 ? argv[1] : "";
    scene_make(pins, sizeof pins);
    struct filter *f = filter_for_test(pins, FILTER_LEVEL_OPEN);
    struct frame udp = frame_of((struct shape){
        .from = "203.0.113.1", .to = "192.0.2.1", .protocol = IPPROTO_UDP, .to_port = 5555, .payload = 18});
    struct frame udp6 = frame_of((struct shape){
        .from = "2001:db8:f::1", .to = "2001:db8::1", .protocol = IPPROTO_UDP, .to_port = 5555});
    struct frame syn = frame_of((struct shape){.from = "203.0.113.1", .to = "192.0.2.1", .flags = SYN});
    struct frame syn6 = frame_of((struct shape){.from = "2001:db8:f::1", .to = "2001:db8::1", .flags = SYN});
    struct frame *all[] = {&udp, &udp6, &syn, &syn6};
    for (size_t i = 0; i < 4; i++)
        memcpy(all[i]->bytes, (const uint8_t[]){2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, 12);
    struct addr four = addr_of("192.0.2.1"), six = addr_of("2001:db8::1");
    four.port = six.port = 443;
    must(net_listen(&four, false, 4096) >= 0 && net_listen(&six, false, 4096) >= 0);
    block_list(lists, set, sizeof set);
    printf("| %-66s | least  | median | ns of CPU a packet |\n|---|---|---|---|\n", "what");
    test_runs(f);
    int link = bpf_link_create(bpf_program__fd(generator->progs.drop), (int)gate_interface, BPF_XDP, NULL);
    must(link >= 0);
    live_plain("veth: return XDP_DROP", &udp, "the way there: generator and driver");
    close(link);
    veth_ours(f, &udp, &udp6, &syn, &syn6, lists);
    must(filter_detach(pins, gate_interface, &problem) == 0);
    write_file("/proc/sys/net/ipv4/tcp_syncookies", "2");
    veth_peers(&udp, &syn, set);
    filter_close(f);
    flood_bpf__destroy(generator);
    return 0;
}
