/* gate/observer_serve.c - clients of the control socket and of the management address: one question, one
 * answer, close.
 *
 *   read --(line or head is there)--> answer --> close
 *                  |                    ^
 *                  +-> wait for master -+      (orders on the control socket)
 *
 * What always holds: a client has a time limit from its first byte to its last; there are never more than
 * CLIENTS_MAX of a kind; an answer is a copy of its own, so a slow reader holds up nobody. */
#include "gate/observer.h"
#include "http/h1.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 32,
    QUESTION_MAX = 8192,
    TIMEOUT_MS = 10'000,
    ORDER_TIMEOUT_MS = 90'000, /* an upgrade starts every role anew */
    ISOLATION_TIMEOUT_MS = 30'000,
    GROUPS_MAX = 256,
};

struct observer_client {
    struct io io;
    struct list node;
    struct timer timer;
    struct observer_server *server;
    uid_t uid;
    uint64_t order; /* waits for the master's answer to it; 0: none */
    uint64_t asked; /* waits for the filter's answer; 0: nothing */
    enum order_kind kind;
    char *answer; /* NULL: not yet */
    size_t answer_n, sent, question_n, scanned;
    char question[QUESTION_MAX];
};

static void client_free(struct observer_client *c)
{
    timer_clear(c->server->observer->loop, &c->timer);
    loop_close(c->server->observer->loop, &c->io);
    list_remove(&c->node);
    c->server->client_count--;
    free(c->answer);
    free(c);
}

/* ---- answering. These may free the client: nothing touches it afterwards. */

static void client_send(struct observer_client *c)
{
    while (c->sent < c->answer_n) {
        ssize_t n = send(c->io.fd, c->answer + c->sent, c->answer_n - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            break;
        c->sent += (size_t)n;
    }
    /* What the client sent behind its question is taken in, or closing would reset the connection and lose
     * the answer. */
    shutdown(c->io.fd, SHUT_WR);
    while (recv(c->io.fd, c->question, sizeof c->question, MSG_DONTWAIT) > 0)
        ;
    client_free(c);
}

static void client_answer(struct observer_client *c, struct str head, struct str body)
{
    c->answer_n = head.n + body.n;
    c->answer = malloc(c->answer_n + 1);
    if (!c->answer) {
        client_free(c);
        return;
    }
    struct buf out = buf_over(c->answer, c->answer_n);
    buf_str(&out, head);
    buf_str(&out, body);
    client_send(c);
}

typedef void answer_write(struct observer *, struct buf *);

/* Renders into the observer's scratch memory; empty when it did not fit. */
static struct str render(struct observer *o, answer_write *write)
{
    o->scratch.n = 0;
    o->scratch.overflowed = false;
    write(o, &o->scratch);
    return buf_overflowed(&o->scratch) ? STR("") : buf_text(&o->scratch);
}

/* ---- the control socket: a command and a line feed; the answer is one JSON document (metrics: text), until
 * close. A refusal or failure is {"error": "..."}. */

static void answer_json(struct observer_client *c, struct str key, struct str text)
{
    char memory[3 * LOG_LINE_MAX];
    struct buf out = buf_over(memory, sizeof memory);
    struct json_writer w = json_writer_over(&out);
    json_object_begin(&w);
    json_put_str(&w, key, text);
    json_object_end(&w);
    buf_char(&out, '\n');
    client_answer(c, STR(""),
                  buf_overflowed(&out) ? STR("{\"error\":\"the answer is too long\"}\n") : buf_text(&out));
}

static void command_order(struct observer_client *c, enum order_kind kind)
{
    struct observer *o = c->server->observer;
    struct str name = order_kind_name(kind);
    c->kind = kind;
    if (!observer_order(o, kind, &c->order)) {
        answer_json(c, STR("error"), STR("the master process cannot be reached; see the event log"));
        return;
    }
    observer_say(o, EVENT_order, "user %u ordered: %.*s", (unsigned)c->uid, STR_ARG(name));
    timer_set(o->loop, &c->timer, loop_now_ms(o->loop) + ORDER_TIMEOUT_MS);
}

/* Time is up: for its question, for the master's answer, or for taking ours. */
static void client_late(struct timer *t)
{
    struct observer_client *c = container_of(t, struct observer_client, timer);
    if (!(c->order || c->asked) || c->answer) {
        client_free(c);
        return;
    }
    timer_set(c->server->observer->loop, t, loop_now_ms(c->server->observer->loop) + TIMEOUT_MS);
    answer_json(c, STR("error"),
                c->asked
                    ? STR("the filter process did not answer in time; `polder status` shows what is in force")
                    : STR("the master process did not answer in time; see the event log"));
}

/* What follows the word is for the filter role, as it is. */
static bool answer_isolation(struct observer_client *c, struct str command)
{
    struct observer *o = c->server->observer;
    if (!str_eq(str_cut(&command, ' '), STR("isolation")))
        return false;
    if (!observer_isolate(o, c->uid, command, &c->asked)) {
        answer_json(
            c, STR("error"),
            STR("the filter process, which keeps the level, cannot be reached. What is in force stays so "
                "(`polder status` shows it). It is being replaced: try again in a moment"));
        return true;
    }
    timer_set(o->loop, &c->timer, loop_now_ms(o->loop) + ISOLATION_TIMEOUT_MS);
    return true;
}

void server_isolated(struct observer_server *s, uint64_t id, struct str answer)
{
    for (struct list *l = s->clients.next; l != &s->clients; l = l->next) {
        struct observer_client *c = container_of(l, struct observer_client, node);
        if (c->asked != id || c->answer)
            continue;
        client_answer(c, STR(""), answer);
        return;
    }
}

void server_isolation_lost(struct observer_server *s)
{
    struct list *next;
    for (struct list *l = s->clients.next; l && l != &s->clients; l = next) {
        struct observer_client *c = container_of(l, struct observer_client, node);
        next = l->next; /* answering may free the client */
        if (c->asked && !c->answer)
            answer_json(
                c, STR("error"),
                STR("the filter process ended before it answered. What the order closes is in force or will "
                    "be; `polder isolation status` says what became of it"));
    }
}

/* True: it was a command of the firewall, and the client is gone. */
static bool answer_waf(struct observer_client *c, struct str command)
{
    struct observer *o = c->server->observer;
    o->scratch.n = 0;
    o->scratch.overflowed = false;
    if (!observer_waf_command(o, command, c->uid, &o->scratch))
        return false;
    if (buf_overflowed(&o->scratch))
        answer_json(c, STR("error"), STR("the answer is too long"));
    else
        client_answer(c, STR(""), buf_text(&o->scratch));
    return true;
}

static void command_run(struct observer_client *c, struct str command)
{
    static const struct {
        struct str name;
        answer_write *write;
    } questions[] = {{STR("status"), observer_status_write},
                     {STR("top"), observer_top_write},
                     {STR("metrics"), observer_metrics_write}};
    for (unsigned i = 0; i < sizeof questions / sizeof *questions; i++) {
        if (!str_eq(command, questions[i].name))
            continue;
        struct str answer = render(c->server->observer, questions[i].write);
        if (answer.n)
            client_answer(c, STR(""), answer);
        else
            answer_json(c, STR("error"), STR("the answer is too long"));
        return;
    }
    if (answer_isolation(c, command) || answer_waf(c, command))
        return;
    for (unsigned kind = ORDER_RELOAD; kind <= ORDER_UPGRADE; kind++) {
        if (str_eq(command, order_kind_name((enum order_kind)kind))) {
            command_order(c, (enum order_kind)kind);
            return;
        }
    }
    answer_json(c, STR("error"),
                STR("this command is not known; known are status, top, metrics, patches, waf-top, "
                    "waf-explain, waf-records, "
                    "waf-excerpts, isolation, reload, drain, upgrade"));
}

/* True: the question was taken (the client may be gone). False: more is needed. */
static bool control_take(struct observer_client *c)
{
    struct str rest = {c->question, c->question_n};
    struct str line = str_cut(&rest, '\n');
    if (!rest.p && c->question_n < sizeof c->question)
        return false;
    command_run(c, str_trim(line));
    return true;
}

void server_order_result(struct observer_server *s, const struct msg_order_result *m)
{
    for (struct list *l = s->clients.next; l != &s->clients; l = l->next) {
        struct observer_client *c = container_of(l, struct observer_client, node);
        if (c->order != m->id || c->answer)
            continue;
        answer_json(c, m->ok ? STR("ok") : STR("error"), (struct str){(const char *)m->text, m->text_len});
        return;
    }
}

void server_succeeded(struct observer_server *s)
{
    struct list *next;
    if (s->io.fd >= 0)
        loop_close(s->observer->loop, &s->io);
    s->io.fd = -1;
    for (struct list *l = s->clients.next; l != &s->clients; l = next) {
        struct observer_client *c = container_of(l, struct observer_client, node);
        next = l->next; /* answering may free the client */
        if (!c->order || c->answer)
            continue;
        if (c->kind == ORDER_UPGRADE)
            answer_json(c, STR("ok"),
                        STR("the new binary has taken over; the old processes finish what they have"));
        else
            answer_json(c, STR("error"),
                        STR("the master process ended before it answered; see the event log"));
    }
}

/* ---- who may: root, who started the gate, and the group of the gate's user (SO_PEERCRED, SO_PEERGROUPS in
 * unix(7)) */

static bool is_in_group(int fd, gid_t first, gid_t wanted)
{
    gid_t groups[GROUPS_MAX];
    socklen_t size = sizeof groups;
    if (wanted == (gid_t)-1)
        return false;
    if (first == wanted)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0)
        return false;
    for (size_t i = 0; i < size / sizeof *groups; i++)
        if (groups[i] == wanted)
            return true;
    return false;
}

static bool may_ask(const struct observer *o, int fd, uid_t *ret_uid)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return false;
    *ret_uid = peer.uid;
    return peer.uid == 0 || peer.uid == o->starter || is_in_group(fd, peer.gid, o->group);
}

/* ---- the management address: GET, HTTP/1, one request a connection */

static void answer_http(struct observer_client *c, uint16_t status, struct str type, struct str body)
{
    char memory[512];
    struct buf head = buf_over(memory, sizeof memory);
    struct str reason = http_reason(status);
    buf_printf(&head,
               "HTTP/1.1 %u %.*s\r\nContent-Type: %.*s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
               "X-Content-Type-Options: nosniff\r\nConnection: close\r\n%s\r\n",
               status, STR_ARG(reason), STR_ARG(type), body.n, status == 405 ? "Allow: GET\r\n" : "");
    must(!buf_overflowed(&head));
    client_answer(c, buf_text(&head), body);
}

#define TEXT_TYPE STR("text/plain; charset=utf-8")

/* 200 while the gate serves: a configuration is in force and a worker is up. */
static void answer_health(struct observer_client *c)
{
    const struct observer *o = c->server->observer;
    bool serves = false;
    for (unsigned i = 0; o->current && i < o->role_count; i++)
        serves = serves || (o->roles[i].role == ROLE_WORKER && o->roles[i].run == ROLE_RUN_UP);
    answer_http(c, serves ? 200 : 503, TEXT_TYPE, serves ? STR("ok\n") : STR("no worker is up\n"));
}

static void http_run(struct observer_client *c, const struct http_request *r)
{
    struct observer *o = c->server->observer;
    bool is_metrics = str_eq(r->path, STR("/metrics"));
    if (r->method != METHOD_GET) {
        answer_http(c, 405, TEXT_TYPE, STR("only GET is served here\n"));
        return;
    }
    if (str_eq(r->path, STR("/healthz"))) {
        answer_health(c);
        return;
    }
    if (!is_metrics && !str_eq(r->path, STR("/status"))) {
        answer_http(c, 404, TEXT_TYPE, STR("here are /metrics, /status and /healthz\n"));
        return;
    }
    struct str body = render(o, is_metrics ? observer_metrics_write : observer_status_write);
    if (body.n == 0)
        answer_http(c, 500, TEXT_TYPE, STR("the answer is too long\n"));
    else
        answer_http(c, 200,
                    is_metrics ? STR("text/plain; version=0.0.4; charset=utf-8") : STR("application/json"),
                    body);
}

static bool management_take(struct observer_client *c)
{
    static const struct h1_limits limits = {
        .head_bytes = QUESTION_MAX - 1, .field_count = 64, .target_bytes = 1024};
    enum { ARENA_BYTES = 1 << 16 };
    struct http_request request = {0};
    enum http_refusal refusal = REFUSAL_NONE;
    struct arena *arena = arena_new(ARENA_BYTES);
    if (!arena) {
        client_free(c);
        return true;
    }
    ptrdiff_t n = h1_parse_request((struct str){c->question, c->question_n}, &c->scanned, &limits, arena,
                                   &request, &refusal);
    bool is_taken = true;
    if (n > 0)
        http_run(c, &request);
    else if (n < 0)
        answer_http(c, http_refusal_status(refusal), TEXT_TYPE, http_refusal_text(refusal));
    else if (c->question_n == sizeof c->question)
        answer_http(c, 431, TEXT_TYPE, http_refusal_text(REFUSAL_HEAD_TOO_LARGE));
    else
        is_taken = false;
    arena_free(arena);
    return is_taken;
}

/* ---- reading and accepting */

static void client_read(struct observer_client *c)
{
    bool (*const take)(struct observer_client *) =
        c->server->kind == CLIENT_CONTROL ? control_take : management_take;
    for (;;) {
        ssize_t n =
            recv(c->io.fd, c->question + c->question_n, sizeof c->question - c->question_n, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            client_free(c);
            return;
        }
        c->question_n += (size_t)n;
        if (take(c))
            return;
    }
}

static void client_ready(struct io *io, uint32_t events)
{
    struct observer_client *c = container_of(io, struct observer_client, io);
    bool nobody_waits =
        (c->order || c->asked) && events & EPOLLHUP; /* for the answer to an order, which stands */
    if (events & EPOLLERR || (nobody_waits && !c->answer))
        client_free(c);
    else if (c->answer)
        client_send(c);
    else if (c->order == 0 && c->asked == 0 && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
        client_read(c);
}

static void client_new(struct observer_server *s, int fd)
{
    uid_t uid = 0;
    struct observer_client *c = NULL;
    if (s->client_count < CLIENTS_MAX && (s->kind != CLIENT_CONTROL || may_ask(s->observer, fd, &uid)))
        c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return;
    }
    c->io = (struct io){client_ready, fd};
    c->server = s;
    c->uid = uid;
    timer_init(&c->timer, client_late);
    list_push_back(&s->clients, &c->node);
    s->client_count++;
    if (loop_add(s->observer->loop, &c->io, EPOLLIN | EPOLLOUT | EPOLLRDHUP) != 0) {
        client_free(c);
        return;
    }
    timer_set(s->observer->loop, &c->timer, loop_now_ms(s->observer->loop) + TIMEOUT_MS);
}

static void server_ready(struct io *io, uint32_t events)
{
    (void)events;
    struct observer_server *s = container_of(io, struct observer_server, io);
    for (;;) {
        int fd = accept4(s->io.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            client_new(s, fd);
        else if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

static bool is_listening_socket(int fd)
{
    int listens = 0;
    socklen_t size = sizeof listens;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens;
}

void server_init(struct observer_server *s, struct observer *o, enum client_kind kind, int fd)
{
    *s = (struct observer_server){.io = {server_ready, fd}, .observer = o, .kind = kind};
    list_init(&s->clients);
    if (!is_listening_socket(fd) || loop_add(o->loop, &s->io, EPOLLIN) != 0) {
        close(fd);
        s->io.fd = -1;
    }
}

void server_done(struct observer_server *s)
{
    while (!list_is_empty(&s->clients))
        client_free(container_of(s->clients.next, struct observer_client, node));
    if (s->io.fd >= 0)
        loop_close(s->observer->loop, &s->io);
}
