/* The packet filter between two hosts: attached, adopted, replaced, flipped under load; cookies; sessions
 * that are cut; the same level by nftables. Every wait ends by an event or a deadline that fails the test. */
#include "world.h"

#include "base/must.h"
#include "base/unconst.h"
#include "sys/net.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PORT = 443, FLIPS = 1000, DEADLINE_MS = 10'000, EXCHANGE_BYTES = 400'000 };

static struct world world;

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1'000'000;
}

static void apply(struct filter *f)
{
    struct filter_problem problem = {""};
    struct filter_policy p = plain_policy();
    struct filter_list lists[2];
    list_add(&lists[0], "198.51.100.0/24", FILTER_CLASS_PARTNER);
    list_add(&lists[1], "2001:db8:4::/48", FILTER_CLASS_PARTNER);
    p.lists = lists;
    p.list_count = 2;
    p.cookies = true;
    if (filter_apply(f, &p, &problem) != 0)
        fail_msg("%s", problem.text);
}

static struct filter_attachment attach(struct filter *f, unsigned interface)
{
    struct filter_problem problem = {""};
    struct filter_attachment made;
    if (filter_attach(f, interface, &made, &problem) != 0)
        fail_msg("%s", problem.text);
    return made;
}

static void detach(void)
{
    struct filter_problem problem = {""};
    if (filter_detach(world.pins, world.interface, &problem) != 0)
        fail_msg("%s", problem.text);
}

static struct addr at(const char *text, uint16_t port)
{
    struct addr a = addr_of(text);
    a.port = port;
    return a;
}

static int socket_at(const struct addr *a, int type)
{
    struct sockaddr_storage address;
    socklen_t size;
    int one = 1, fd = socket(a->is_v4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0);
    addr_to_sockaddr(a, &address, &size);
    must(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
    if (bind(fd, (struct sockaddr *)&address, size) < 0)
        fail_msg("bind: %s", strerror(errno));
    return fd;
}

/* ---- UDP */

struct datagram {
    const char *from, *to;
    uint16_t from_port, to_port;
};

static int send_one(void *context)
{
    const struct datagram *d = context;
    struct sockaddr_storage to;
    socklen_t size;
    struct addr from = at(d->from, d->from_port), target = at(d->to, d->to_port);
    int fd = socket_at(&from, SOCK_DGRAM);
    addr_to_sockaddr(&target, &to, &size);
    return sendto(fd, "x", 1, 0, (struct sockaddr *)&to, size) == 1 ? 0 : 1;
}

/* A veth hands over before sendto returns to the sender's exit at the latest, so what has not come then was
 * dropped; the poll is for the softirq of another core. */
static bool arrives(int fd, const struct datagram *d, int patience_ms)
{
    char byte;
    assert_int_equal(outside_run(&world, send_one, unconst(d)), 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    bool came = poll(&p, 1, patience_ms) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) == 1;
    return came;
}

static const struct datagram stranger4 = {"203.0.113.1", "192.0.2.1", 7000, PORT},
                             stranger6 = {"2001:db8:1::1", "2001:db8::1", 7000, PORT},
                             partner4 = {"198.51.100.1", "192.0.2.1", 7000, PORT},
                             partner6 = {"2001:db8:4::1", "2001:db8::1", 7000, PORT};

static void expect_strangers(int fd4, int fd6, bool pass)
{
    assert_int_equal(arrives(fd4, &stranger4, pass ? DEADLINE_MS : 50), pass);
    assert_int_equal(arrives(fd6, &stranger6, pass ? DEADLINE_MS : 50), pass);
}

static void expect_partners(int fd4, int fd6, bool pass)
{
    assert_int_equal(arrives(fd4, &partner4, pass ? DEADLINE_MS : 50), pass);
    assert_int_equal(arrives(fd6, &partner6, pass ? DEADLINE_MS : 50), pass);
}

static void receivers(int *ret4, int *ret6)
{
    struct addr four = at("192.0.2.1", PORT), six = at("2001:db8::1", PORT);
    *ret4 = socket_at(&four, SOCK_DGRAM);
    *ret6 = socket_at(&six, SOCK_DGRAM);
}

/* ---- the tests */

static void test_attach_needs_pins(void **state [[maybe_unused]])
{
    struct filter_problem problem = {""};
    struct filter_attachment made;
    struct filter *f = filter_for_test(NULL, FILTER_LEVEL_OPEN);
    assert_int_equal(filter_attach(f, world.interface, &made, &problem), -EINVAL);
    filter_close(f);
    struct filter_options options = {.pins = "/tmp"};
    int error;
    assert_null(filter_open(&options, &problem, &error));
    assert_int_equal(error, -EINVAL);
    assert_non_null(strstr(problem.text, "BPF file system"));
}

static void load_attach_and_close_the_door(int said)
{
    struct filter *f = filter_for_test(world.pins, FILTER_LEVEL_OPEN);
    apply(f);
    attach(f, world.interface);
    must(filter_level_set(f, 0, FILTER_LEVEL_PARTNERS) == 0);
    must(write(said, "x", 1) == 1);
    for (;;)
        pause();
}

static void test_killed_loader_leaves_the_door_closed(void **state [[maybe_unused]])
{
    int said[2], fd4, fd6;
    char byte;
    must(pipe(said) == 0);
    receivers(&fd4, &fd6);
    expect_strangers(fd4, fd6, true);
    pid_t loader = fork();
    if (loader == 0)
        load_attach_and_close_the_door(said[1]);
    must(read(said[0], &byte, 1) == 1);
    outside_kill(loader);
    expect_strangers(fd4, fd6, false);
    expect_partners(fd4, fd6, true);

    /* the next one adopts, whatever it was told for the case that there is nothing */
    struct filter *f = filter_for_test(world.pins, FILTER_LEVEL_OPEN);
    assert_int_equal(filter_level(f, 0), FILTER_LEVEL_PARTNERS);
    apply(f);
    struct filter_attachment made = attach(f, world.interface);
    assert_true(made.was_there);
    assert_int_equal(made.ingress, FILTER_INGRESS_NATIVE);
    assert_int_not_equal(made.egress, FILTER_EGRESS_NONE);
    expect_strangers(fd4, fd6, false);
    assert_int_equal(filter_level_set(f, 0, FILTER_LEVEL_OPEN), 0);
    expect_strangers(fd4, fd6, true);
    filter_close(f);
    expect_strangers(fd4, fd6, true);
    detach();
    close(fd4);
    close(fd6);
}

static int send_from_gate(int fd, const char *to, uint16_t port)
{
    struct sockaddr_storage address;
    socklen_t size;
    struct addr target = at(to, port);
    addr_to_sockaddr(&target, &address, &size);
    return (int)sendto(fd, "x", 1, 0, (struct sockaddr *)&address, size);
}

static uint64_t dropped(const struct filter *f, enum filter_direction way, unsigned reason)
{
    struct filter_counts counts;
    assert_int_equal(filter_counts_read(f, &counts), 0);
    return counts.packets[way][reason];
}

static void test_both_directions(void **state [[maybe_unused]])
{
    struct filter *f = filter_for_test(world.pins, FILTER_LEVEL_OPEN);
    int fd4, fd6;
    receivers(&fd4, &fd6);
    apply(f);
    attach(f, world.interface);
    /* an answer passes when it was asked for */
    struct datagram answer4 = {"203.0.113.1", "192.0.2.1", 53, PORT},
                    answer6 = {"2001:db8:1::1", "2001:db8::1", 53, PORT};
    assert_false(arrives(fd4, &answer4, 50));
    assert_false(arrives(fd6, &answer6, 50));
    assert_int_equal(dropped(f, FILTER_IN, FILTER_AMPLIFICATION), 2);
    assert_int_equal(send_from_gate(fd4, "203.0.113.1", 53), 1);
    assert_int_equal(send_from_gate(fd6, "2001:db8:1::1", 53), 1);
    assert_true(arrives(fd4, &answer4, DEADLINE_MS));
    assert_true(arrives(fd6, &answer6, DEADLINE_MS));
    /* and nothing leaves that the level refuses */
    filter_level_set(f, 0, FILTER_LEVEL_CLOSED);
    uint64_t before = dropped(f, FILTER_OUT, FILTER_LEVEL);
    (void)send_from_gate(fd4, "203.0.113.1", 53);
    (void)send_from_gate(fd6, "2001:db8:1::1", 53);
    (void)send_from_gate(fd4, "198.51.100.1", 53);
    assert_int_equal(dropped(f, FILTER_OUT, FILTER_LEVEL) - before, 3);
    filter_close(f);
    detach();
    close(fd4);
    close(fd6);
}

/* Datagrams without end; the receiver's queue does not matter, the counters do. */
static int flood(void *context [[maybe_unused]])
{
    struct addr from = at("203.0.113.2", 7001), to = at("192.0.2.1", PORT);
    struct sockaddr_storage address;
    socklen_t size;
    static char byte[1];
    struct iovec one = {byte, 1};
    struct mmsghdr batch[64] = {0};
    int fd = socket_at(&from, SOCK_DGRAM);
    addr_to_sockaddr(&to, &address, &size);
    must(connect(fd, (struct sockaddr *)&address, size) == 0);
    for (unsigned i = 0; i < 64; i++)
        batch[i].msg_hdr = (struct msghdr){.msg_iov = &one, .msg_iovlen = 1};
    for (;;)
        (void)sendmmsg(fd, batch, 64, 0);
    return 0;
}

static void wait_until_grows(const struct filter *f, unsigned reason, uint64_t from, uint64_t by)
{
    uint64_t deadline = now_ms() + DEADLINE_MS;
    while (dropped(f, FILTER_IN, reason) < from + by)
        if (now_ms() > deadline)
            fail_msg("no more packets are counted as \"%s\"", filter_reason_text(reason));
}

static uint64_t median_us(uint64_t *values, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && values[k - 1] > values[k]; k--) {
            uint64_t keep = values[k];
            values[k] = values[k - 1];
            values[k - 1] = keep;
        }
    return values[n / 2];
}

static uint64_t flip_us[FLIPS];

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1'000'000 + (uint64_t)t.tv_nsec / 1000;
}

/* 1,000 times: closed, and from the moment it is said not one packet more; while programs are replaced as
 * well. */
static void test_flips_under_load(void **state [[maybe_unused]])
{
    struct filter *two[2] = {filter_for_test(world.pins, FILTER_LEVEL_OPEN), NULL};
    uint64_t after_return = 0, seen = 0;
    apply(two[0]);
    attach(two[0], world.interface);
    filter_level_set(two[0], 0, FILTER_LEVEL_OPEN);
    two[1] = filter_for_test(world.pins, FILTER_LEVEL_SEALED);
    pid_t flooder = outside_start(&world, flood, NULL);
    for (unsigned i = 0; i < FLIPS; i++) {
        struct filter *f = two[i & 1];
        if (i % 10 == 0)
            assert_true(attach(two[i / 10 & 1], world.interface).was_there);
        wait_until_grows(f, FILTER_PASSED, dropped(f, FILTER_IN, FILTER_PASSED), 1);
        uint64_t start = now_us();
        assert_int_equal(filter_level_set(f, 0, i % 3 ? FILTER_LEVEL_CLOSED : FILTER_LEVEL_SEALED), 0);
        flip_us[i] = now_us() - start;
        uint64_t passed = dropped(f, FILTER_IN, FILTER_PASSED);
        if (i % 10 == 5)
            attach(two[i / 10 & 1], world.interface);
        wait_until_grows(f, FILTER_LEVEL, dropped(f, FILTER_IN, FILTER_LEVEL), 20);
        after_return += dropped(f, FILTER_IN, FILTER_PASSED) - passed;
        seen += 20;
        assert_int_equal(filter_level_set(f, 0, FILTER_LEVEL_OPEN), 0);
    }
    outside_kill(flooder);
    uint64_t median = median_us(flip_us, FLIPS);
    printf("%d flips: %llu packets passed after the return, at least %llu were refused; a flip took %llu us "
           "in the "
           "median, %llu us at most\n",
           FLIPS, (unsigned long long)after_return, (unsigned long long)seen, (unsigned long long)median,
           (unsigned long long)flip_us[FLIPS - 1]);
    assert_int_equal(after_return, 0);
    filter_close(two[0]);
    filter_close(two[1]);
    detach();
}

/* ---- TCP */

struct visit {
    const char *from, *to;
    uint16_t to_port;
    bool stay; /* after the exchange, until the other side ends it: 42 then */
};

static int read_all(int fd, size_t n)
{
    static char bytes[65'536];
    while (n) {
        ssize_t got = read(fd, bytes, n < sizeof bytes ? n : sizeof bytes);
        if (got <= 0)
            return -1;
        n -= (size_t)got;
    }
    return 0;
}

static int write_all(int fd, size_t n)
{
    static char bytes[65'536];
    while (n) {
        ssize_t put = write(fd, bytes, n < sizeof bytes ? n : sizeof bytes);
        if (put <= 0)
            return -1;
        n -= (size_t)put;
    }
    return 0;
}

static int visit(void *context)
{
    const struct visit *v = context;
    struct addr from = at(v->from, 0), to = at(v->to, v->to_port);
    struct sockaddr_storage address;
    socklen_t size;
    char byte;
    struct timeval patience = {.tv_sec = 20};
    int fd = socket_at(&from, SOCK_STREAM);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    addr_to_sockaddr(&to, &address, &size);
    if (connect(fd, (struct sockaddr *)&address, size) < 0)
        return 1;
    if (write_all(fd, EXCHANGE_BYTES) < 0 || read_all(fd, EXCHANGE_BYTES) < 0)
        return 2;
    if (!v->stay)
        return 0;
    return read(fd, &byte, 1) < 0 && errno == ECONNRESET ? 42 : 3;
}

static int accept_within(int listener)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    if (poll(&p, 1, DEADLINE_MS) != 1)
        fail_msg("nobody came");
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    must(fd >= 0 && fcntl(fd, F_SETFL, 0) == 0);
    return fd;
}

static void exchange(int fd)
{
    assert_int_equal(read_all(fd, EXCHANGE_BYTES), 0);
    assert_int_equal(write_all(fd, EXCHANGE_BYTES), 0);
}

static int listen_at(const char *address, uint16_t port)
{
    struct addr a = at(address, port);
    int fd = net_listen(&a, false, 64);
    if (fd < 0)
        fail_msg("listen: %s", strerror(-fd));
    return fd;
}

static uint64_t netstat(const char *name)
{
    char names[8192], values[8192];
    uint64_t found = 0;
    FILE *file = fopen("/proc/net/netstat", "r");
    must(file && fgets(names, sizeof names, file) && fgets(values, sizeof values, file));
    fclose(file);
    struct str heads = str_of(names), numbers = str_of(values);
    while (heads.n) {
        struct str head = str_cut(&heads, ' '), number = str_cut(&numbers, ' ');
        if (str_eq(head, str_of(name)))
            (void)str_parse_u64(
                str_take(number, number.n && number.p[number.n - 1] == '\n' ? number.n - 1 : number.n),
                &found);
    }
    return found;
}

static void expect_cookie_connection(struct filter *f, const char *from, const char *to)
{
    int listener = listen_at(to, PORT);
    struct visit v = {from, to, PORT, false};
    uint64_t sent = dropped(f, FILTER_IN, FILTER_COOKIE_SENT), kernel = netstat("SyncookiesSent"),
             taken = netstat("SyncookiesRecv");
    pid_t client = outside_start(&world, visit, &v);
    int fd = accept_within(listener), status = 0;
    struct tcp_info info;
    socklen_t size = sizeof info;
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    assert_int_equal(info.tcpi_options & 7, 7); /* timestamps, SACK, window scale */
    assert_true(info.tcpi_snd_wscale > 0 && info.tcpi_rcv_wscale > 0);
    exchange(fd);
    waitpid(client, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(dropped(f, FILTER_IN, FILTER_COOKIE_SENT) - sent, 1);
    assert_int_equal(netstat("SyncookiesSent") - kernel, 0); /* the stack itself never saw the SYN */
    assert_int_equal(netstat("SyncookiesRecv") - taken, 1);
    close(fd);
    close(listener);
}

static void test_cookies(void **state [[maybe_unused]])
{
    struct filter *f = filter_for_test(world.pins, FILTER_LEVEL_OPEN);
    apply(f);
    attach(f, world.interface);
    filter_level_set(f, 0, FILTER_LEVEL_GUARDED);
    expect_cookie_connection(f, "203.0.113.1", "192.0.2.1");
    expect_cookie_connection(f, "2001:db8:1::1", "2001:db8::1");
    filter_close(f);
    detach();
}

static void count_session(const struct filter_session *s, void *context)
{
    unsigned *count = context;
    assert_int_equal(s->local.port, PORT);
    ++*count;
}

static void test_sessions_are_cut(void **state [[maybe_unused]])
{
    struct filter *f = filter_for_test(world.pins, FILTER_LEVEL_OPEN);
    struct filter_problem problem = {""};
    struct visit visits[] = {{"203.0.113.1", "192.0.2.1", PORT, true},
                             {"2001:db8:1::1", "2001:db8::1", PORT, true},
                             {"198.51.100.1", "192.0.2.1", PORT, true}};
    int listeners[2] = {listen_at("192.0.2.1", PORT), listen_at("2001:db8::1", PORT)}, fds[3];
    unsigned listed = 0;
    char byte;
    pid_t clients[3];
    apply(f);
    attach(f, world.interface);
    filter_level_set(f, 0, FILTER_LEVEL_OPEN);
    for (int i = 0; i < 3; i++) {
        clients[i] = outside_start(&world, visit, &visits[i]);
        fds[i] = accept_within(listeners[i == 1]);
        exchange(fds[i]);
    }
    /* a look at what would be cut cuts nothing */
    assert_int_equal(filter_sessions(f, FILTER_LEVEL_PARTNERS, false, count_session, &listed, &problem), 2);
    assert_int_equal(listed, 2);
    assert_int_equal(filter_sessions(f, FILTER_LEVEL_CLOSED, false, NULL, NULL, &problem), 3);
    assert_int_equal(filter_sessions(f, FILTER_LEVEL_MAX, true, NULL, NULL, &problem), 0);
    filter_level_set(f, 0, FILTER_LEVEL_PARTNERS);
    int ended = filter_sessions(f, FILTER_LEVEL_MAX, true, NULL, NULL, &problem);
    if (ended != 2)
        fail_msg("%d: %s", ended, problem.text);
    assert_true(read(fds[0], &byte, 1) < 0 && errno == ECONNABORTED);
    assert_true(read(fds[1], &byte, 1) < 0 && errno == ECONNABORTED);
    assert_int_equal(recv(fds[2], &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN); /* the partner's goes on */
    for (int i = 0; i < 3; i++) {
        outside_kill(clients[i]);
        close(fds[i]);
    }
    close(listeners[0]);
    close(listeners[1]);
    filter_close(f);
    detach();
}

static void test_generic_where_native_is_refused(void **state [[maybe_unused]])
{
    struct filter_problem problem = {""};
    struct filter *f = filter_for_test(world.pins, FILTER_LEVEL_OPEN);
    unsigned lo = if_nametoindex("lo");
    apply(f);
    struct filter_attachment made = attach(f, lo);
    assert_int_equal(made.ingress, FILTER_INGRESS_GENERIC);
    assert_int_not_equal(made.native_refused, 0);
    assert_int_equal(attach(f, lo).ingress, FILTER_INGRESS_GENERIC);
    assert_int_equal(filter_detach(world.pins, lo, &problem), 0);
    assert_int_equal(filter_detach(world.pins, lo, &problem), 0); /* again: nothing to do */
    filter_close(f);
}

/* Tables of a layout that is not ours, with a level in them. */
static void make_other_layout(const char *pins, uint32_t number, uint32_t magic, uint32_t level)
{
    char path[128];
    uint32_t first = 0;
    struct filter_control other = {.magic = magic, .layout = number, .level = level};
    (void)snprintf(path, sizeof path, "%s/layout-%u", pins, number);
    must((mkdir(pins, 0700) == 0 || errno == EEXIST) && mkdir(path, 0700) == 0);
    strncat(path, "/control", sizeof path - strlen(path) - 1);
    int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "control", 4, sizeof other, 1, NULL);
    must(fd >= 0 && bpf_map_update_elem(fd, &first, &other, BPF_ANY) == 0 && bpf_obj_pin(fd, path) == 0);
    close(fd);
}

static void test_level_outlives_a_layout(void **state [[maybe_unused]])
{
    static const struct {
        uint32_t magic, level, expected;
    } rows[] = {{FILTER_MAGIC, FILTER_LEVEL_PARTNERS, FILTER_LEVEL_PARTNERS},
                {FILTER_MAGIC, 77, FILTER_LEVEL_SEALED},
                {1, FILTER_LEVEL_OPEN, FILTER_LEVEL_SEALED}};
    for (size_t i = 0; i < 3; i++) {
        char pins[96];
        (void)snprintf(pins, sizeof pins, "/mnt/bpf/other%zu", i);
        make_other_layout(pins, 900, rows[i].magic, rows[i].level);
        struct filter *f = filter_for_test(pins, FILTER_LEVEL_OPEN);
        assert_int_equal(filter_level(f, 0), rows[i].expected);
        assert_int_equal(filter_forget_others(f), 0);
        strcat(pins, "/layout-900");
        assert_int_equal(access(pins, F_OK), -1);
        filter_close(f);
    }
}

/* Our layout's number on a table of another shape: refused, and what is attached filters on. */
static void test_a_table_of_another_shape_is_refused(void **state [[maybe_unused]])
{
    struct filter_options options = {.pins = "/mnt/bpf/shape", .level = FILTER_LEVEL_OPEN};
    struct filter_problem problem = {""};
    int error;
    must(mkdir("/mnt/bpf/shape", 0700) == 0);
    char folder[64];
    (void)snprintf(folder, sizeof folder, "/mnt/bpf/shape/layout-%u", FILTER_LAYOUT);
    must(mkdir(folder, 0700) == 0);
    strcat(folder, "/control");
    int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "control", 4, 8, 1, NULL);
    must(fd >= 0 && bpf_obj_pin(fd, folder) == 0);
    assert_null(filter_open(&options, &problem, &error));
    assert_true(error < 0);
    assert_non_null(strstr(problem.text, "filters on"));
}

static void nft(const struct filter_policy *p, uint32_t level)
{
    static char memory[65'536];
    struct buf out = buf_over(memory, sizeof memory);
    struct filter_problem problem = {""};
    assert_true(filter_nft_render(&out, p, level, STR("g0"), 0));
    assert_false(buf_overflowed(&out));
    if (filter_nft_apply(buf_text(&out), &problem) != 0)
        fail_msg("%s\n%.*s", problem.text, STR_ARG(buf_text(&out)));
}

static void test_nftables_instead(void **state [[maybe_unused]])
{
    struct filter_policy p = plain_policy();
    struct filter_list lists[2];
    struct filter_order order = {prefix_of("203.0.113.1/32"),
                                 {.until_ns = 1'000'000'000'000,
                                  .port_from = PORT,
                                  .port_to = PORT,
                                  .action = FILTER_RULE_ALLOW,
                                  .direction = FILTER_IN,
                                  .protocol = IPPROTO_UDP,
                                  .last_level = FILTER_LEVEL_CLOSED}};
    int fd4, fd6;
    receivers(&fd4, &fd6);
    list_add(&lists[0], "198.51.100.0/24", FILTER_CLASS_PARTNER);
    list_add(&lists[1], "2001:db8:4::/48", FILTER_CLASS_PARTNER);
    p.lists = lists;
    p.list_count = 2;
    for (unsigned level = 0; level < FILTER_LEVEL_COUNT; level++) {
        nft(&p, level);
        expect_strangers(fd4, fd6, level < FILTER_LEVEL_PARTNERS);
        expect_partners(fd4, fd6, level <= FILTER_LEVEL_PARTNERS);
    }
    p.orders = &order;
    p.order_count = 1;
    nft(&p, FILTER_LEVEL_CLOSED);
    assert_true(arrives(fd4, &stranger4, DEADLINE_MS));
    assert_false(arrives(fd6, &stranger6, 50));
    nft(NULL, FILTER_LEVEL_OPEN); /* a policy that cannot be read */
    expect_strangers(fd4, fd6, false);
    expect_partners(fd4, fd6, false);
    char memory[256];
    struct buf out = buf_over(memory, sizeof memory);
    struct filter_problem problem = {""};
    filter_nft_render_removal(&out);
    assert_int_equal(filter_nft_apply(buf_text(&out), &problem), 0);
    expect_strangers(fd4, fd6, true);
    assert_int_equal(filter_nft_apply(STR("table nonsense {\n"), &problem), -EINVAL);
    assert_false(filter_nft_render(&out, &p, 0, STR("g0; flush ruleset"), 0));
    close(fd4);
    close(fd6);
}

/* ---- accept queues */

static int queue_at(struct filter *f, unsigned slot, bool is_first, unsigned workers)
{
    struct filter_problem problem = {""};
    struct addr any = {.port = PORT};
    int fd = net_listen(&any, true, 16);
    must(fd >= 0);
    if (filter_accept_add(f, fd, slot, is_first, workers, &problem) != 0)
        fail_msg("%s", problem.text);
    assert_int_equal(filter_accept_add(f, fd, slot, is_first, workers, &problem), 0); /* changes nothing */
    return fd;
}

static int call(void *context)
{
    struct sockaddr_storage to;
    socklen_t size;
    const struct datagram *d = context;
    struct addr from = at(d->from, 0), target = at(d->to, d->to_port);
    int fd = socket_at(&from, SOCK_STREAM);
    addr_to_sockaddr(&target, &to, &size);
    return connect(fd, (struct sockaddr *)&to, size) == 0 ? 0 : 1;
}

static unsigned waiting(int fd)
{
    unsigned n = 0;
    for (int one; (one = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0; n++)
        close(one);
    return n;
}

static void expect_queues(const int *regular, const int *first, unsigned n)
{
    static const struct datagram *const callers[] = {&stranger4, &stranger6, &partner4, &partner6};
    unsigned strangers = 0, others = 0;
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(outside_run(&world, call, unconst(callers[i % 4])), 0);
    for (unsigned i = 0; i < n; i++) {
        strangers += waiting(regular[i]);
        others += waiting(first[i]);
    }
    assert_int_equal(strangers, 8);
    assert_int_equal(others, 8);
}

static void test_accept_queues(void **)
{
    struct filter *f = filter_for_test(world.pins, FILTER_LEVEL_OPEN);
    struct filter_problem problem = {""};
    int regular[2], first[2];
    apply(f);
    if (filter_accept_open(f, &problem) != 0)
        fail_msg("%s", problem.text);
    for (unsigned slot = 0; slot < 2; slot++) {
        regular[slot] = queue_at(f, slot, false, 2);
        first[slot] = queue_at(f, slot, true, 2);
    }
    expect_queues(regular, first, 2);
    struct addr stranger = at("203.0.113.1", 0);
    assert_int_equal(filter_host_set(f, &stranger, FILTER_CLASS_KNOWN, 3'600'000'000'000), 0);
    assert_int_equal(outside_run(&world, call, unconst(&stranger4)), 0);
    assert_int_equal(waiting(first[0]) + waiting(first[1]), 1); /* earned */
    assert_int_equal(filter_host_clear(f, &stranger), 0);
    filter_close(f); /* program and tables stay with the sockets */
    expect_queues(regular, first, 2);
    f = filter_for_test(world.pins, FILTER_LEVEL_OPEN);
    assert_int_equal(filter_accept_open(f, &problem), 0);
    close(first[1]); /* a place that is empty: those who go first take the queue beside it */
    close(first[0]);
    assert_int_equal(outside_run(&world, call, unconst(&partner4)), 0);
    assert_int_equal(waiting(regular[0]) + waiting(regular[1]), 1);
    close(regular[0]);
    close(regular[1]);
    filter_close(f);
}

int main(void)
{
    world_make(&world);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attach_needs_pins),
        cmocka_unit_test(test_killed_loader_leaves_the_door_closed),
        cmocka_unit_test(test_both_directions),
        cmocka_unit_test(test_flips_under_load),
        cmocka_unit_test(test_cookies),
        cmocka_unit_test(test_sessions_are_cut),
        cmocka_unit_test(test_generic_where_native_is_refused),
        cmocka_unit_test(test_level_outlives_a_layout),
        cmocka_unit_test(test_a_table_of_another_shape_is_refused),
        cmocka_unit_test(test_nftables_instead),
        cmocka_unit_test(test_accept_queues),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_end(&world);
    return failed;
}
