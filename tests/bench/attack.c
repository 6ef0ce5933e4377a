/* tests/bench/attack.c - what strangers do to a gate, each kind with bytes that are made once, so that an
 * attacker costs less than who is attacked. Bounded: so many connections, so many new ones a second, so many
 * seconds.
 *
 *   bench-attack KIND ADDRESS PORT WORD=VALUE ...
 *
 *   flood         valid requests, the next one as soon as the answer is there
 *   open          valid requests at a rate, whether answered or not, each given up after `patience`
 *   hello         a ClientHello, and off as soon as the gate has worked for its answer
 *   handshakes    full handshakes, and off
 *   slowloris     a head that comes a line at a time and never ends
 *   slow-bodies   a long body that comes a byte at a time
 *   h2-streams    HTTP/2: `streams` requests at once on each connection, a new one for each that is answered
 *   h2-resets     HTTP/2: requests that are reset at once
 *   h2-control    HTTP/2: PING and SETTINGS; on every fourth connection a head of CONTINUATION frames without
 * end
 *
 *   connections=2000  at once            addresses=2000  they come from so many, from=127.2.0.1 on
 *   connects=1000     new ones a second  rate=0          requests or resets a second in all; 0: as it comes
 *   host= path= cookie= streams=100 patience=2 every=1 (seconds between two slow pieces) clear=1
 *   at=T for=S        begins at CLOCK_MONOTONIC second T and lasts S seconds; count=C: counts from second C
 * on
 *
 * Prints one line of JSON with what happened. */
#include "attack.h"

#include <arpa/inet.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

enum { EVENTS = 256, BOTS_MAX = 16'384, TICK_MS = 20, READ_ROOM = 16'384 };

static const struct kind KINDS[] = {
    {"flood", NULL, h1_up, h1_bytes, NULL},
    {"open", NULL, NULL, h1_bytes, NULL},
    {"hello", NULL, hello_up, hello_bytes, NULL},
    {"handshakes", NULL, handshake_up, NULL, NULL},
    {"slowloris", NULL, slow_head_up, NULL, slow_head_tick},
    {"slow-bodies", NULL, slow_body_up, NULL, slow_body_tick},
    {"h2-streams", "h2", streams_up, streams_bytes, NULL},
    {"h2-resets", "h2", h2_up, h2_bytes, resets_tick},
    {"h2-control", "h2", h2_up, h2_bytes, control_tick},
};

struct plan plan = {.host = "noord.example",
                    .path = "/",
                    .cookie = "",
                    .connections = 100,
                    .addresses = 100,
                    .connects = 1000,
                    .streams = 100,
                    .every_s = 1,
                    .patience_s = 2,
                    .for_s = 5};
struct counts counts;

static struct sockaddr_in to;
static struct bot *bots;
static int epoll_fd;
static SSL_CTX *ctx;
static double connect_tokens, request_tokens, now;
static unsigned next_closed;

bool is_counting(void)
{
    return now - plan.at_s >= plan.count_s;
}

static void bot_close(struct bot *b, bool failed)
{
    counts.up -= b->is_up;
    counts.failed += failed && is_counting();
    wire_close(&b->wire, true);
    b->is_up = b->is_busy = false;
    b->out_n = 0;
    plan.closed++;
}

void bot_done(struct bot *b)
{
    bot_close(b, false);
}

static void bot_open(struct bot *b)
{
    unsigned serial = (unsigned)(b - bots);
    plan.closed--;
    counts.opened += is_counting();
    memset(&b->answer, 0, offsetof(struct answer, head));
    b->h2 = (struct h2_side){.next_stream = 1, .most = plan.streams};
    b->ticks = 0;
    b->out_n = 0;
    b->is_up = b->is_busy = b->is_raw = false;
    b->serial = serial;
    b->next_s = now;
    if (!wire_open(&b->wire, epoll_fd, b, &to, plan.from + serial % plan.addresses,
                   plan.kind->up == hello_up ? NULL : ctx, plan.host)) {
        b->wire.phase = WIRE_CLOSED;
        plan.closed++;
        counts.failed++;
    }
}

bool bot_send(struct bot *b, const char *p, size_t n)
{
    b->out = p;
    b->out_n = n;
    return wire_send(&b->wire, &b->out, &b->out_n) != WIRE_FAILED;
}

static bool bot_read(struct bot *b)
{
    static char in[READ_ROOM];
    for (;;) {
        size_t n = 0;
        enum wire_step step = wire_read(&b->wire, in, sizeof in, &n);
        if (step == WIRE_FAILED && b->answer.until_close && b->is_busy)
            h1_answered(b);
        if (step != WIRE_OK)
            return step == WIRE_WAIT;
        if (plan.kind->bytes && !plan.kind->bytes(b, in, n))
            return false;
        if (b->wire.phase != WIRE_UP)
            return true; /* done with it */
    }
}

static void bot_ready(struct bot *b, uint32_t events)
{
    if (b->wire.phase != WIRE_UP) {
        enum wire_step step = wire_advance(&b->wire, events);
        if (step != WIRE_OK) {
            if (step == WIRE_FAILED)
                bot_close(b, true);
            return;
        }
        b->is_up = true;
        counts.up++;
        counts.most_up = counts.up > counts.most_up ? counts.up : counts.most_up;
        if (plan.kind->up && !plan.kind->up(b)) {
            bot_close(b, true);
            return;
        }
    }
    if (b->wire.phase == WIRE_UP && b->out_n && wire_send(&b->wire, &b->out, &b->out_n) == WIRE_FAILED) {
        bot_close(b, true);
        return;
    }
    if (b->wire.phase == WIRE_UP && !bot_read(b))
        bot_close(b, true);
}

/* ---- time */

static void tokens_fill(void)
{
    static double filled;
    double passed = filled > 0 ? now - filled : 0;
    filled = now;
    connect_tokens = fmin(connect_tokens + passed * plan.connects, fmax(plan.connects * 0.05, 1));
    request_tokens = fmin(request_tokens + passed * plan.rate, fmax(plan.rate * 0.05, 1));
}

bool may_request(void)
{
    if (!plan.rate)
        return true;
    if (request_tokens < 1)
        return false;
    request_tokens -= 1;
    return true;
}

static void open_closed(void)
{
    for (unsigned i = 0; plan.closed && connect_tokens >= 1 && i < plan.connections; i++) {
        struct bot *b = &bots[next_closed];
        next_closed = (next_closed + 1) % plan.connections;
        if (b->wire.phase == WIRE_CLOSED) {
            connect_tokens -= 1;
            bot_open(b);
        }
    }
}

/* Requests of `open`: each takes a connection that waits; where none does, one fewer is asked, and counted.
 */
static void ask_open(void)
{
    static unsigned at;
    for (; request_tokens >= 1; request_tokens -= 1) {
        struct bot *b = NULL;
        for (unsigned i = 0; i < plan.connections && !b; i++, at = (at + 1) % plan.connections)
            b = bots[at].is_up && !bots[at].is_busy ? &bots[at] : NULL;
        counts.asked += is_counting();
        counts.no_connection += !b && is_counting();
        if (!b)
            continue;
        b->next_s = now + plan.patience_s;
        if (!h1_up(b))
            bot_close(b, true);
    }
}

static void ticks(void)
{
    for (unsigned i = 0; i < plan.connections; i++) {
        struct bot *b = &bots[i];
        if (!b->is_up)
            continue;
        bool is_fine = true;
        if (plan.is_open && b->is_busy && now > b->next_s)
            is_fine = false;
        else if (plan.kind->tick && now >= b->next_s && !b->out_n)
            is_fine = plan.kind->tick(b, now);
        if (!is_fine)
            bot_close(b, true);
    }
}

static void run(void)
{
    struct epoll_event events[EVENTS];
    double end = plan.at_s + plan.for_s, ticked = 0;
    while ((now = wire_now_s()) < plan.at_s)
        nanosleep(&(struct timespec){.tv_nsec = 1'000'000}, NULL);
    for (; now < end; now = wire_now_s()) {
        tokens_fill();
        open_closed();
        if (plan.is_open)
            ask_open();
        if (now - ticked > TICK_MS / 1e3) {
            ticks();
            ticked = now;
        }
        int n = epoll_wait(epoll_fd, events, EVENTS, plan.is_open || plan.closed ? 1 : TICK_MS / 2);
        now = wire_now_s();
        for (int i = 0; i < n; i++) {
            struct bot *b = events[i].data.ptr;
            if (b->wire.phase != WIRE_CLOSED)
                bot_ready(b, events[i].events);
        }
    }
}

static void print_result(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("{\"opened\": %llu, \"failed\": %llu, \"most_up\": %u, \"up\": %u, \"asked\": %llu, \"good\": "
           "%llu, \"refused\": %llu, "
           "\"no_connection\": %llu, \"pieces\": %llu, \"counted_s\": %.2f, \"cpu_s\": %.2f}\n",
           (unsigned long long)counts.opened, (unsigned long long)counts.failed, counts.most_up, counts.up,
           (unsigned long long)counts.asked, (unsigned long long)counts.good,
           (unsigned long long)counts.refused, (unsigned long long)counts.no_connection,
           (unsigned long long)counts.pieces, plan.for_s - plan.count_s,
           (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}

/* ---- what was asked for */

static bool word(const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **text;
        unsigned *count;
        double *number;
    } words[] = {
        {"host", &plan.host, NULL, NULL},           {"path", &plan.path, NULL, NULL},
        {"cookie", &plan.cookie, NULL, NULL},       {"connections", NULL, &plan.connections, NULL},
        {"addresses", NULL, &plan.addresses, NULL}, {"streams", NULL, &plan.streams, NULL},
        {"clear", NULL, &plan.is_clear, NULL},      {"connects", NULL, NULL, &plan.connects},
        {"rate", NULL, NULL, &plan.rate},           {"every", NULL, NULL, &plan.every_s},
        {"patience", NULL, NULL, &plan.patience_s}, {"at", NULL, NULL, &plan.at_s},
        {"for", NULL, NULL, &plan.for_s},           {"count", NULL, NULL, &plan.count_s},
    };
    if (strcmp(name, "from") == 0) {
        plan.from = ntohl(inet_addr(value));
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(name, words[i].name) != 0)
            continue;
        if (words[i].text)
            *words[i].text = value;
        else if (words[i].count)
            *words[i].count = (unsigned)strtoul(value, NULL, 10);
        else
            *words[i].number = strtod(value, NULL);
        return true;
    }
    return false;
}

static bool arguments(int argc, char **argv)
{
    for (size_t i = 0; argc > 3 && i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(argv[1], KINDS[i].name) == 0)
            plan.kind = &KINDS[i];
    for (int i = 4; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value)
            return false;
        *value++ = '\0';
        if (!word(argv[i], value))
            return false;
    }
    plan.is_open = plan.kind == &KINDS[1];
    return plan.kind && plan.connections >= 1 && plan.connections <= BOTS_MAX && plan.addresses &&
           plan.for_s <= 60;
}

int main(int argc, char **argv)
{
    if (!arguments(argc, argv)) {
        fprintf(stderr, "usage: bench-attack KIND ADDRESS PORT WORD=VALUE ...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    wire_files(BOTS_MAX + 64);
    to = (struct sockaddr_in){.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10)),
                              .sin_addr.s_addr = inet_addr(argv[2])};
    bots = calloc(plan.connections, sizeof *bots);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    ctx = plan.is_clear ? NULL : wire_context(plan.kind->alpn);
    if (!bots || !bytes_make(ctx))
        return 1;
    plan.closed = plan.connections;
    run();
    print_result();
    return 0;
}
