/* tests/bench/application.c - an application of fixed capacity, as real ones are: it works on so many
 * requests at once, each takes its time, and what comes on top waits inside it, first come, first served.
 *
 *   bench-application PORT PLACES MS [FACTOR]
 *
 * POST /inloggen logs in: 200 with a session cookie that only this process can make. A path below /dossier
 * wants one and answers 401 without. A path below /rapport takes FACTOR (10) times as long. All else is for
 * everybody. 1,000 bytes each. A request whose connection ended while it waited is not worked on.
 *
 * Signal USR1 prints a line of JSON: requests answered, milliseconds of places used, most that waited at
 * once, and by how much its own timer was late at worst (99 %) since the last such line: late means that the
 * machine, not the application, was slow. For trusted clients only. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

enum { FDS_MAX = 32'768, EVENTS = 256, HEAD_ROOM = 4096, BODY = 1000, LATE_MAX = 1 << 16 };
enum state { IDLE, WAITS, WORKS };

struct client { /* by descriptor */
    enum state state;
    uint32_t serial; /* tells a descriptor that was used again from the one that waited */
    uint8_t kind;    /* of the request: see answer_send */
    bool is_slow;
    size_t n, body_left;
    char head[HEAD_ROOM];
};

struct job {
    int fd;
    uint32_t serial;
    double until_s; /* of one that is worked on */
};

static struct client clients[FDS_MAX];
static struct job waiting[FDS_MAX], working[2048];
static unsigned waiting_at, waiting_count, working_count, places;
static uint32_t serials;
static double service_s, slow_factor = 10;
static uint64_t secret, sessions;
static int epoll_fd, listen_fd;

static struct {
    uint64_t answered, refused;
    double used_s, since_s;
    unsigned most_waiting, late_count;
    float late_ms[LATE_MAX];
} stats;

static uint64_t mix(uint64_t x)
{
    x = (x ^ secret) * 0x9e37'79b9'7f4a'7c15u;
    x = (x ^ x >> 29) * 0xbf58'476d'1ce4'e5b9u;
    return x ^ x >> 32;
}

static void client_close(int fd)
{
    clients[fd].state = IDLE;
    clients[fd].serial = 0;
    close(fd);
}

/* ---- work */

static void work_begin(struct job j, double now)
{
    double takes = service_s * (clients[j.fd].is_slow ? slow_factor : 1);
    j.until_s = now + takes;
    clients[j.fd].state = WORKS;
    working[working_count++] = j;
    stats.used_s += takes;
}

static void work_next(double now)
{
    while (working_count < places && waiting_count) {
        struct job j = waiting[waiting_at];
        waiting_at = (waiting_at + 1) % FDS_MAX;
        waiting_count--;
        if (clients[j.fd].serial == j.serial)
            work_begin(j, now);
    }
}

static void work_come(int fd)
{
    struct job j = {.fd = fd, .serial = clients[fd].serial};
    if (working_count < places) {
        work_begin(j, wire_now_s());
        return;
    }
    clients[fd].state = WAITS;
    waiting[(waiting_at + waiting_count++) % FDS_MAX] = j;
    if (waiting_count > stats.most_waiting)
        stats.most_waiting = waiting_count;
}

static void answer_send(int fd)
{
    enum { ALLOWED, LOGGED_IN, REFUSED };
    static char body[BODY], out[BODY + 512];
    struct client *c = &clients[fd];
    char cookie[96] = "";
    if (c->kind == LOGGED_IN) {
        sessions++;
        (void)snprintf(cookie, sizeof cookie,
                       "Set-Cookie: session=%016llx%016llx; HttpOnly; Secure; Path=/\r\n",
                       (unsigned long long)sessions, (unsigned long long)mix(sessions));
    }
    memset(body, 'x', sizeof body);
    int n = snprintf(
        out, sizeof out,
        "HTTP/1.1 %s\r\nServer: application\r\nContent-Type: text/plain\r\n%sContent-Length: %d\r\n\r\n",
        c->kind == REFUSED ? "401 Unauthorized" : "200 OK", cookie, BODY);
    memcpy(out + n, body, BODY);
    stats.answered += c->kind != REFUSED;
    stats.refused += c->kind == REFUSED;
    c->state = IDLE;
    if (send(fd, out, (size_t)n + BODY, MSG_NOSIGNAL) != n + BODY)
        client_close(fd); /* a client that does not read is none of ours */
}

/* Ends what is done; gives the time until the next one is, in ns, -1: none works. */
static int64_t work_turn(void)
{
    double now = wire_now_s(), first = 1e300;
    for (unsigned i = 0; i < working_count;) {
        struct job j = working[i];
        if (j.until_s > now) {
            first = j.until_s < first ? j.until_s : first;
            i++;
            continue;
        }
        if (stats.late_count < LATE_MAX)
            stats.late_ms[stats.late_count++] = (float)((now - j.until_s) * 1e3);
        working[i] = working[--working_count];
        if (clients[j.fd].serial == j.serial)
            answer_send(j.fd);
    }
    work_next(now);
    for (unsigned i = 0; i < working_count; i++)
        first = working[i].until_s < first ? working[i].until_s : first;
    return working_count ? (int64_t)((first > now ? first - now : 0) * 1e9) : -1;
}

/* ---- requests */

static bool has_session(const char *head)
{
    const char *at = strstr(head, "session=");
    char number[17] = "", proof[17] = "";
    if (!at || strlen(at) < 40)
        return false;
    memcpy(number, at + 8, 16);
    memcpy(proof, at + 24, 16);
    uint64_t n = strtoull(number, NULL, 16);
    return n && n <= sessions && strtoull(proof, NULL, 16) == mix(n);
}

/* 0: everybody's, 1: a log-in, 2: not without a session. */
static uint8_t kind_of(const char *head)
{
    if (strncmp(head, "POST /inloggen", 14) == 0)
        return 1;
    return strstr(head, " /dossier") && !has_session(head) ? 2 : 0;
}

static size_t length_of(const char *head)
{
    const char *at = strcasestr(head, "\r\ncontent-length:");
    return at ? strtoul(at + 17, NULL, 10) : 0;
}

/* Bytes of the head or of the body; a gate sends the next request only after the answer. */
static void take(int fd, const char *p, size_t n)
{
    struct client *c = &clients[fd];
    if (c->body_left) {
        size_t taken = n < c->body_left ? n : c->body_left;
        c->body_left -= taken;
        if (!c->body_left)
            work_come(fd);
        return;
    }
    if (c->state != IDLE || n >= sizeof c->head - c->n) {
        client_close(fd);
        return;
    }
    memcpy(c->head + c->n, p, n);
    c->n += n;
    c->head[c->n] = '\0';
    const char *end = strstr(c->head, "\r\n\r\n");
    if (!end)
        return;
    size_t length = length_of(c->head), came = c->n - (size_t)(end + 4 - c->head);
    c->kind = kind_of(c->head);
    c->is_slow = strstr(c->head, " /rapport") != NULL;
    c->n = 0;
    c->body_left = length > came ? length - came : 0;
    if (!c->body_left)
        work_come(fd);
}

static void readable(int fd)
{
    static char in[65'536];
    ssize_t n = recv(fd, in, sizeof in, 0);
    if (n > 0)
        take(fd, in, (size_t)n);
    else if (n == 0 || errno != EAGAIN)
        client_close(fd);
}

static void accept_all(void)
{
    for (;;) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
        if (fd < 0)
            return;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (fd >= FDS_MAX || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
            close(fd);
            continue;
        }
        clients[fd].state = IDLE;
        clients[fd].n = clients[fd].body_left = 0;
        clients[fd].serial = ++serials;
    }
}

/* ---- telling */

static int by_size(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void report(void)
{
    double now = wire_now_s(), ahead = 0;
    for (unsigned i = 0; i < working_count; i++) /* what is begun counts as far as it is done */
        ahead += working[i].until_s > now ? working[i].until_s - now : 0;
    qsort(stats.late_ms, stats.late_count, sizeof *stats.late_ms, by_size);
    double late = stats.late_count ? (double)stats.late_ms[(size_t)(stats.late_count - 1) * 99 / 100] : 0;
    printf("{\"answered\": %llu, \"refused\": %llu, \"used_ms\": %.0f, \"over_ms\": %.0f, \"places\": %u, "
           "\"most_waiting\": %u, \"late_p99_ms\": %.2f}\n",
           (unsigned long long)stats.answered, (unsigned long long)stats.refused,
           (stats.used_s - ahead) * 1e3, (now - stats.since_s) * 1e3, places, stats.most_waiting, late);
    fflush(stdout);
    stats.answered = stats.refused = stats.late_count = 0;
    stats.most_waiting = waiting_count;
    stats.used_s = ahead;
    stats.since_s = now;
}

static int listen_on(unsigned port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 4096) < 0) {
        perror("bench-application: listen");
        exit(1);
    }
    return fd;
}

static int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void dispatch(int fd, int signal_fd)
{
    struct signalfd_siginfo info;
    if (fd == listen_fd)
        accept_all();
    else if (fd != signal_fd)
        readable(fd);
    else if (read(signal_fd, &info, sizeof info) > 0)
        report();
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: bench-application PORT PLACES MS [FACTOR]\n");
        return 2;
    }
    places = (unsigned)strtoul(argv[2], NULL, 10);
    service_s = strtod(argv[3], NULL) / 1e3;
    slow_factor = argc == 5 ? strtod(argv[4], NULL) : slow_factor;
    if (places < 1 || places > 2048 || getrandom(&secret, sizeof secret, 0) != sizeof secret)
        return 2;
    wire_files(FDS_MAX);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    listen_fd = listen_on((unsigned)strtoul(argv[1], NULL, 10));
    int signal_fd = signals_open();
    stats.since_s = wire_now_s();
    for (int i = 0, own[] = {listen_fd, signal_fd}; i < 2; i++)
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, own[i],
                  &(struct epoll_event){.events = EPOLLIN, .data.fd = own[i]});
    for (;;) {
        struct epoll_event events[EVENTS];
        int64_t wait_ns = work_turn();
        struct timespec wait = {wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
        int n = epoll_pwait2(epoll_fd, events, EVENTS, wait_ns < 0 ? NULL : &wait, NULL);
        for (int i = 0; i < n; i++)
            dispatch(events[i].data.fd, signal_fd);
    }
}
