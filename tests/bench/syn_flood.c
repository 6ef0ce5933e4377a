/* tests/bench/syn_flood.c - SYNs from random sources out of a raw socket: for bench_perimeter.py, into one
 * end of a pair of virtual interfaces in a network namespace of its own and nowhere else.
 *
 *   bench-syn-flood DEVICE MAC ADDRESS PORT RATE AT SECONDS
 *
 * Frames go out a few at a time, RATE a second if the processor can, from CLOCK_MONOTONIC second AT on.
 * Prints one line of JSON. */
#include "wire.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { AT_ONCE = 32, SECONDS_MAX = 10 };

struct frame {
    struct ethhdr ethernet;
    struct iphdr ip;
    struct tcphdr tcp;
    uint8_t options[20]; /* as Linux begins: MSS, SACK, timestamp, window scale */
} __attribute__((packed));

static struct frame frames[AT_ONCE];
static uint32_t ip_sum, tcp_sum; /* of what is the same in all */

static uint32_t sum_of(const void *bytes, size_t n)
{
    uint32_t sum = 0;
    uint16_t word;
    for (size_t i = 0; i + 1 < n; i += 2) {
        memcpy(&word, (const uint8_t *)bytes + i, 2);
        sum += word;
    }
    return sum;
}

static uint16_t folded(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

static bool frames_make(const char *mac, const char *to, const char *port)
{
    struct frame f = {
        .ethernet = {.h_source = {2, 0, 0, 0, 0, 99},
                     .h_proto = htons(ETH_P_IP)}, /* nobody: answers end at the wire */
        .ip = {.version = 4,
               .ihl = 5,
               .ttl = 64,
               .protocol = IPPROTO_TCP,
               .tot_len = htons(sizeof f - ETH_HLEN)},
        .tcp = {.doff = (sizeof f.tcp + sizeof f.options) / 4, .syn = 1, .window = htons(64240)},
        .options = {2, 4, 1460 >> 8, 1460 & 255, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7},
    };
    uint8_t *m = f.ethernet.h_dest;
    if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", m, m + 1, m + 2, m + 3, m + 4, m + 5) != 6)
        return false;
    f.ip.daddr = inet_addr(to);
    f.tcp.dest = htons((uint16_t)strtoul(port, NULL, 10));
    ip_sum = sum_of(&f.ip, sizeof f.ip);
    tcp_sum = sum_of(&f.tcp, sizeof f.tcp + sizeof f.options) + sum_of(&f.ip.daddr, 4) + htons(IPPROTO_TCP) +
              htons(sizeof f.tcp + sizeof f.options);
    for (unsigned i = 0; i < AT_ONCE; i++)
        frames[i] = f;
    return true;
}

/* Any source that a host could have, any port. */
static void frame_from_somewhere(struct frame *f)
{
    static uint64_t state = 0x9e37'79b9'7f4a'7c15u;
    state = state * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
    uint32_t source = (uint32_t)(state >> 32);
    if (source >> 24 == 0 || source >> 24 == 127 || source >> 28 >= 14 || source >> 8 == 0xc00002)
        source ^= 0x5500'0000;
    f->ip.saddr = htonl(source);
    f->tcp.source = htons((uint16_t)(1024 + (state >> 16) % 60'000));
    f->tcp.seq = (uint32_t)(state >> 8);
    uint32_t addresses = sum_of(&f->ip.saddr, 4);
    f->ip.check = folded(ip_sum + addresses);
    f->tcp.check = folded(tcp_sum + addresses + f->tcp.source + sum_of(&f->tcp.seq, 4));
}

static int socket_open(const char *device)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1, room = 16 << 20;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(device)};
    if (fd < 0 || !to.sll_ifindex || bind(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        perror("bench-syn-flood");
        exit(1);
    }
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room,
               sizeof room); /* who floods does not wait for the flooded */
    return fd;
}

static unsigned send_some(int fd)
{
    static struct mmsghdr messages[AT_ONCE];
    static struct iovec parts[AT_ONCE];
    for (unsigned i = 0; i < AT_ONCE; i++) {
        frame_from_somewhere(&frames[i]);
        parts[i] = (struct iovec){&frames[i], sizeof frames[i]};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    int sent = sendmmsg(fd, messages, AT_ONCE, 0);
    return sent > 0 ? (unsigned)sent : 0;
}

int main(int argc, char **argv)
{
    if (argc != 8 || !frames_make(argv[2], argv[3], argv[4]) || strtod(argv[7], NULL) > SECONDS_MAX) {
        fprintf(stderr, "usage: bench-syn-flood DEVICE MAC ADDRESS PORT RATE AT SECONDS\n");
        return 2;
    }
    double rate = strtod(argv[5], NULL), at = strtod(argv[6], NULL), end = at + strtod(argv[7], NULL),
           sent = 0, now;
    int fd = socket_open(argv[1]);
    struct rusage used;
    while ((now = wire_now_s()) < end) {
        if (now >= at && sent <= rate * (now - at))
            sent += send_some(fd);
        else
            nanosleep(&(struct timespec){.tv_nsec = 50'000}, NULL);
    }
    getrusage(RUSAGE_SELF, &used);
    printf("{\"opened\": %.0f, \"most_up\": 0, \"good\": 0, \"counted_s\": %.2f, \"cpu_s\": %.2f}\n", sent,
           end - at,
           (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    return 0;
}
