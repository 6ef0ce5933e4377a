/* tests/bench/users.c - regular users, whose requests are measured: an open loop, so a slow gate does not
 * make them ask less, and latency counts from the moment at which the request was due.
 *
 *   bench-users ADDRESS PORT WORD=VALUE ...
 *
 *   users=20         as many people, each with an address and a connection of his own
 *   from=127.1.0.1   the first one's address; the others have the next ones
 *   host=a.example   server name and Host; %u in it is the user's number: each in a cluster of his own
 *   path=/dossier    what they ask for
 *   rate=32          requests per second of all of them together, evenly spread with jitter
 *   patience=3       seconds until one gives up
 *   at=T for=S       the first request is due at CLOCK_MONOTONIC second T, the last one S seconds later
 *   login=1          each is sent away without a session, logs in, and shows his cookie from then on, all
 * before T new=1            a new connection, with a full handshake, for every request; else they are kept
 *   clear=1          without TLS
 *
 * Prints one line of JSON: for each request when it was due (ms after T), how long it took (ms), and the
 * status (0: gave up, or the connection ended; a user who gives up closes it); and by how much this process
 * itself was late at p99, for then what it measured is its own. */
#include "wire.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    USERS_MAX = 4096,
    SLOTS_MAX = 16'384,
    SAMPLES_MAX = 1 << 17,
    EVENTS = 256,
    REQUEST_ROOM = 512,
    READ_ROOM = 8192
};

struct user {
    char cookie[64], host[64];
    struct slot *kept; /* a connection that waits for his next request */
};

enum use { FREE, KEPT, OPENS, ARRIVES, LOGS_IN, ASKS };

struct slot { /* a connection, and the request that it is for */
    struct wire wire;
    enum use use;
    bool was_kept; /* the request came upon a connection that had waited */
    unsigned user, sample;
    double due_s;
    const char *out;
    size_t out_n;
    char request[REQUEST_ROOM];
    struct answer answer;
};

struct sample {
    float due_ms, took_ms;
    unsigned status;
};

static struct {
    struct sockaddr_in to;
    uint32_t from;
    unsigned users;
    const char *host, *path;
    double rate, patience_s, at_s, for_s;
    bool is_login, is_new, is_clear;
} plan = {.users = 20, .host = "noord.example", .path = "/dossier", .rate = 10, .patience_s = 3, .for_s = 5};

static struct user users[USERS_MAX];
static struct slot slots[SLOTS_MAX];
static struct sample samples[SAMPLES_MAX];
static float late_ms[SAMPLES_MAX];
static unsigned slots_used /* those behind were never touched */, sample_count, open_requests;
static int epoll_fd;
static SSL_CTX *ctx;

static unsigned random_next(void)
{
    static uint64_t state = 0x2545'f491'4f6c'dd1du; /* the same jitter in every run */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33);
}

static void slot_free(struct slot *s)
{
    if (users[s->user].kept == s)
        users[s->user].kept = NULL;
    wire_close(&s->wire, false);
    s->use = FREE;
}

static struct slot *slot_open(unsigned user)
{
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        struct slot *s = &slots[i];
        if (s->use != FREE)
            continue;
        slots_used = i + 1 > slots_used ? i + 1 : slots_used;
        s->user = user;
        s->was_kept = false;
        if (!wire_open(&s->wire, epoll_fd, s, &plan.to, plan.from + user, ctx, users[user].host))
            return NULL;
        s->use = OPENS;
        return s;
    }
    return NULL;
}

static void request_write(struct slot *s, bool is_login)
{
    const struct user *u = &users[s->user];
    int n =
        is_login
            ? snprintf(s->request, sizeof s->request,
                       "POST /inloggen HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0\r\nContent-Type: "
                       "application/x-www-form-urlencoded\r\nContent-Length: 12\r\n\r\nnaam=user%03u",
                       u->host, s->user % 1000)
            : snprintf(
                  s->request, sizeof s->request,
                  "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0\r\nAccept: text/html\r\n%s%s%s\r\n",
                  plan.path, u->host, u->cookie[0] ? "Cookie: " : "", u->cookie, u->cookie[0] ? "\r\n" : "");
    s->out = s->request;
    s->out_n = (size_t)n;
    memset(&s->answer, 0, sizeof s->answer - sizeof s->answer.head);
}

static void request_end(struct slot *s, unsigned status)
{
    samples[s->sample].took_ms = (float)((wire_now_s() - s->due_s) * 1e3);
    samples[s->sample].status = status;
    open_requests--;
}

static void request_put(struct slot *s, unsigned sample, double due)
{
    s->use = ASKS;
    s->due_s = due;
    s->sample = sample;
    request_write(s, false);
}

/* A kept connection may be closed just when it is wanted; browsers then ask again on a new one, and so do we.
 */
static void slot_fail(struct slot *s)
{
    struct slot *again =
        s->use == ASKS && s->was_kept && !s->answer.head_n && wire_now_s() - s->due_s < plan.patience_s
            ? slot_open(s->user)
            : NULL;
    if (again)
        request_put(again, s->sample, s->due_s);
    else if (s->use == ASKS)
        request_end(s, 0);
    slot_free(s);
}

static void slot_keep(struct slot *s)
{
    struct user *u = &users[s->user];
    if (plan.is_new || s->answer.is_last || u->kept) {
        slot_free(s);
        return;
    }
    s->use = KEPT;
    u->kept = s;
}

static void answer_done(struct slot *s)
{
    struct user *u = &users[s->user];
    if (s->use == ARRIVES && !s->answer.is_last) {
        s->use = LOGS_IN;
        request_write(s, true);
        (void)wire_send(&s->wire, &s->out, &s->out_n); /* the rest of it, if any, when there is room */
        return;
    }
    if (s->use == ASKS) {
        request_end(s, s->answer.status);
    } else if (s->use == LOGS_IN) {
        const char *cookie = answer_field(&s->answer, "set-cookie:");
        (void)snprintf(u->cookie, sizeof u->cookie, "%.*s", (int)strcspn(cookie, ";\r\n"), cookie);
    }
    slot_keep(s);
}

static enum wire_step slot_read(struct slot *s)
{
    char in[READ_ROOM];
    for (;;) {
        size_t n;
        enum wire_step step = wire_read(&s->wire, in, sizeof in, &n);
        if (step != WIRE_OK)
            return step == WIRE_FAILED && s->answer.until_close && s->use >= ARRIVES ? WIRE_OK : step;
        if (s->use < ARRIVES)
            return WIRE_FAILED; /* nobody asked */
        step = answer_take(&s->answer, in, n);
        if (step != WIRE_WAIT)
            return step;
    }
}

static void slot_turn(struct slot *s, uint32_t events)
{
    enum wire_step step = s->wire.phase == WIRE_UP ? WIRE_OK : wire_advance(&s->wire, events);
    if (step == WIRE_OK && s->use == OPENS) { /* opened before it was needed */
        s->use = KEPT;
        users[s->user].kept = s;
    }
    if (step == WIRE_OK && s->out_n)
        step = wire_send(&s->wire, &s->out, &s->out_n);
    if (step == WIRE_OK)
        step = slot_read(s);
    if (step == WIRE_OK)
        answer_done(s);
    else if (step == WIRE_FAILED)
        slot_fail(s);
}

/* ---- when they ask */

static void request_begin(unsigned user, double due)
{
    struct slot *s = users[user].kept ? users[user].kept : slot_open(user);
    if (sample_count == SAMPLES_MAX)
        return;
    struct sample *m = &samples[sample_count];
    *m = (struct sample){.due_ms = (float)((due - plan.at_s) * 1e3)};
    late_ms[sample_count++] = (float)((wire_now_s() - due) * 1e3);
    if (!s)
        return;
    users[user].kept = NULL;
    s->was_kept = s->use == KEPT;
    open_requests++;
    request_put(s, sample_count - 1, due);
    if (s->wire.phase == WIRE_UP)
        slot_turn(s, 0);
}

static void log_in(unsigned user)
{
    struct slot *s = slot_open(user);
    if (!s)
        return;
    s->use = ARRIVES;
    request_write(s, false);
}

static void give_up(double now)
{
    for (unsigned i = 0; i < slots_used; i++)
        if (slots[i].use == ASKS && now - slots[i].due_s > plan.patience_s)
            slot_fail(&slots[i]);
}

static void turn(double until)
{
    struct epoll_event events[EVENTS];
    double left = until - wire_now_s();
    struct timespec wait = {.tv_nsec = left <= 0 ? 0 : left > 0.05 ? 50'000'000 : (long)(left * 1e9)};
    int n = epoll_pwait2(epoll_fd, events, EVENTS, &wait, NULL);
    for (int i = 0; i < n; i++)
        if (((struct slot *)events[i].data.ptr)->use != FREE)
            slot_turn(events[i].data.ptr, events[i].events);
}

/* Before T: sessions and connections, spread over the time there is. */
static void prepare(void)
{
    double start = wire_now_s(), room = plan.at_s - start - 0.3;
    for (unsigned i = 0; i < plan.users; i++) {
        double due = start + (room > 0 ? room : 0) * i / plan.users;
        while (wire_now_s() < due)
            turn(due);
        if (plan.is_login)
            log_in(i);
        else if (!plan.is_new)
            (void)slot_open(i);
    }
    while (wire_now_s() < plan.at_s)
        turn(plan.at_s);
}

static void measure(void)
{
    double gap = 1 / plan.rate, end = plan.at_s + plan.for_s, swept = 0;
    double due = plan.at_s;
    unsigned asked = 0;
    while (due < end || open_requests) {
        double now = wire_now_s();
        if (due < end && now >= due) {
            request_begin(asked++ % plan.users, due);
            due = plan.at_s + gap * (asked + random_next() % 1024 / 1024.0);
            continue;
        }
        if (now - swept > 0.05) {
            give_up(now);
            swept = now;
        }
        turn(due < end ? due : now + 0.05);
    }
}

/* ---- what was asked for, and what came of it */

static int by_size(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void print_result(void)
{
    struct rusage used;
    unsigned with_session = 0;
    getrusage(RUSAGE_SELF, &used);
    for (unsigned i = 0; i < plan.users; i++)
        with_session += users[i].cookie[0] != '\0';
    qsort(late_ms, sample_count, sizeof *late_ms, by_size);
    printf("{\"late_p99_ms\": %.2f, \"sessions\": %u, \"cpu_s\": %.2f, \"samples\": [",
           sample_count ? (double)late_ms[(size_t)(sample_count - 1) * 99 / 100] : 0.0, with_session,
           (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    for (unsigned i = 0; i < sample_count; i++)
        printf("%s[%.1f, %.2f, %u]", i ? ", " : "", (double)samples[i].due_ms, (double)samples[i].took_ms,
               samples[i].status);
    printf("]}\n");
}

static bool word(const char *name, const char *value)
{
    if (strcmp(name, "users") == 0)
        plan.users = (unsigned)strtoul(value, NULL, 10);
    else if (strcmp(name, "from") == 0)
        plan.from = ntohl(inet_addr(value));
    else if (strcmp(name, "host") == 0)
        plan.host = value;
    else if (strcmp(name, "path") == 0)
        plan.path = value;
    else if (strcmp(name, "rate") == 0)
        plan.rate = strtod(value, NULL);
    else if (strcmp(name, "patience") == 0)
        plan.patience_s = strtod(value, NULL);
    else if (strcmp(name, "at") == 0)
        plan.at_s = strtod(value, NULL);
    else if (strcmp(name, "for") == 0)
        plan.for_s = strtod(value, NULL);
    else if (strcmp(name, "login") == 0)
        plan.is_login = value[0] == '1';
    else if (strcmp(name, "new") == 0)
        plan.is_new = value[0] == '1';
    else if (strcmp(name, "clear") == 0)
        plan.is_clear = value[0] == '1';
    else
        return false;
    return true;
}

static void host_write(unsigned user)
{
    const char *number = strstr(plan.host, "%u");
    if (number)
        (void)snprintf(users[user].host, sizeof users[user].host, "%.*s%u%s", (int)(number - plan.host),
                       plan.host, user, number + 2);
    else
        (void)snprintf(users[user].host, sizeof users[user].host, "%s", plan.host);
}

int main(int argc, char **argv)
{
    bool is_right = argc > 2;
    for (int i = 3; i < argc && is_right; i++) {
        char *value = strchr(argv[i], '=');
        if (value)
            *value++ = '\0';
        is_right = value && word(argv[i], value);
    }
    if (!is_right || plan.users < 1 || plan.users > USERS_MAX || plan.rate <= 0) {
        fprintf(stderr, "usage: bench-users ADDRESS PORT WORD=VALUE ...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    wire_files(SLOTS_MAX + 64);
    plan.to = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10)),
                                   .sin_addr.s_addr = inet_addr(argv[1])};
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    ctx = plan.is_clear ? NULL : wire_context(NULL);
    for (unsigned i = 0; i < plan.users; i++)
        host_write(i);
    prepare();
    measure();
    print_result();
    return 0;
}
