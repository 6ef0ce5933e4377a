/* records/stream.c - server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): a
 * connection on which a subscriber hears what happened, for as long as it is open.
 *
 *   asked -> judged -> logged -> head and handshake written -> LISTENING
 *   LISTENING -> the store has more -> judged anew, collected -> logged -> written -> LISTENING
 *
 * What always holds:
 *  1. What is told was committed, and its line in the log of accesses is durable.
 *  2. Events come in the order of the store's sequence. Each message's id is the sequence up to which all was
 *     told: whoever comes back with it (Last-Event-ID) misses nothing, and hears at most one message again.
 *  3. Who may see what is decided anew for every message. A token that is over ends the stream. */
#include "records/worker.h"

#include "rest/outcome.h"
#include "rest/subscription.h"

#include <stdlib.h>

enum {
    LOOK_MS = 50,
    EVENTS_MAX = 50, /* in one message */
    LOOKS_MAX = 20,  /* of one stream in one turn, over writes that are not for it */
    STREAMS_MAX = 1'000,
    LISTENERS_MAX = 8, /* of one Subscription, at each worker */
    ARENA_BYTES = 256 << 20,
    QUIET_MS = 15'000, /* then a line that says nothing, so that nobody in between takes it for dead */
};

struct stream {
    struct list node;
    struct task *task;
    struct rest_caller base; /* as the request said it, before anybody was judged */
    struct arena *arena;     /* of the message under way */
    uint64_t told, telling;  /* sequences: up to where it was told, and will be with the message under way */
    struct str message;
    uint64_t beat_due_ms, quiet_due_ms;
    uint32_t beat_ms; /* 0: no heartbeat was asked for */
    bool is_open;     /* its head was written */
};

/* ---- messages */

static struct rest_call call_of(struct stream *s)
{
    struct task *t = s->task;
    return (struct rest_call){.site = &t->worker->sites[t->cluster],
                              .caller = &t->caller,
                              .view = &rest_sees_nothing,
                              .arena = s->arena,
                              .scratch = t->conn->scratch,
                              .now_us = loop_wall_us(t->worker->process.loop)};
}

/* A line of the message for each line of the text: whatever ends one there would end the field here. */
static void put_data(struct buf *b, struct str text)
{
    size_t from = 0;
    for (size_t i = 0; i <= text.n; i++) {
        if (i < text.n && text.p[i] != '\n' && text.p[i] != '\r')
            continue;
        if (i > from) {
            BUF_LIT(b, "data: ");
            buf_add(b, text.p + from, i - from);
            buf_char(b, '\n');
        }
        from = i + 1;
    }
}

static struct str write_message(struct stream *s, struct str kind, struct str bundle)
{
    size_t lines = 1;
    for (size_t i = 0; i < bundle.n; i++)
        lines += bundle.p[i] == '\n' || bundle.p[i] == '\r';
    size_t cap = bundle.n + lines * 8 + 256;
    char *memory = bundle.n ? arena_bytes(s->arena, cap) : NULL;
    struct buf b = buf_over(memory, memory ? cap : 0);
    buf_printf(&b, "id: %llu\nevent: %.*s\n", (unsigned long long)s->telling, STR_ARG(kind));
    put_data(&b, bundle);
    buf_char(&b, '\n');
    return buf_overflowed(&b) ? STR_NONE : buf_text(&b);
}

static void end(struct stream *s)
{
    conn_stream_end(s->task->conn);
}

static void wait_anew(struct stream *s, bool is_told)
{
    uint64_t now = loop_now_ms(s->task->worker->process.loop);
    s->quiet_due_ms = now + QUIET_MS;
    if (is_told)
        s->beat_due_ms = s->beat_ms ? now + s->beat_ms : UINT64_MAX;
}

static void put_out(struct stream *s, struct str message, bool is_told)
{
    wait_anew(s, is_told);
    conn_stream_send(s->task->conn, message);
}

/* ---- looking */

/* Judged anew; what was decided is used again while nothing changed (rest/access.h). */
static bool judge(struct stream *s, struct rest_call *call)
{
    struct task *t = s->task;
    struct rest_grant grant;
    t->caller = s->base;
    t->answer = (struct rest_answer){.modified_us = INT64_MIN};
    if (!rest_view_of(call, &t->http, &t->request, &t->caller, &t->judged, &grant, &t->answer))
        return false;
    call->view = grant.view;
    call->decision = grant.decision;
    return !grant.emergency_patient.n && rest_may_ask(call, &t->request, &t->answer);
}

static void tell(struct stream *s, const struct rest_call *call, const struct rest_subscription *subscription,
                 const struct rest_events *events)
{
    struct task *t = s->task;
    s->telling = events->upto;
    s->message =
        write_message(s, STR("event-notification"),
                      rest_notification_write(call, subscription, STR("event-notification"), events));
    if (!s->message.n) {
        end(s);
        return;
    }
    for (size_t i = 0; i < events->n; i++)
        rest_touch_record(call, &t->answer, &events->at[i].record);
    t->answer.status = 200;
    t->at_us = call->now_us;
    conn_stream_hold(t->conn);
    task_finish(t);
}

/* Looks at what was written since; true: there may be more to look at, and nothing is being told. */
static bool look_once(struct stream *s)
{
    struct rest_subscription subscription;
    struct rest_events events;
    arena_reset(s->arena);
    struct rest_call call = call_of(s);
    struct task *t = s->task;
    if (!judge(s, &call) || !rest_subscription_find(&call, t->request.id, &subscription, &t->answer) ||
        !subscription.is_active) {
        end(s);
        return false;
    }
    if (rest_subscription_events(&call, &subscription, s->told, EVENTS_MAX, &events) != STORE_FINE) {
        end(s);
        return false;
    }
    if (events.n) {
        tell(s, &call, &subscription, &events);
        return false;
    }
    s->told = events.upto;
    return events.has_more;
}

static void beat(struct stream *s)
{
    struct rest_subscription subscription;
    arena_reset(s->arena);
    struct rest_call call = call_of(s);
    if (!judge(s, &call) ||
        !rest_subscription_find(&call, s->task->request.id, &subscription, &s->task->answer)) {
        end(s);
        return;
    }
    s->telling = s->told;
    struct str message = write_message(s, STR("heartbeat"),
                                       rest_notification_write(&call, &subscription, STR("heartbeat"), NULL));
    if (message.n)
        put_out(s, message, true);
    else
        end(s);
}

static void attend(struct stream *s, uint64_t last)
{
    const struct conn *c = s->task->conn;
    if (c->state != CONN_STREAM || c->is_dead) /* a message is under way, or it is over */
        return;
    uint64_t now = loop_now_ms(s->task->worker->process.loop);
    if (s->told < last)
        for (unsigned i = 0; i < LOOKS_MAX && look_once(s); i++)
            continue;
    else if (s->beat_due_ms <= now)
        beat(s);
    else if (s->quiet_due_ms <= now)
        put_out(s, STR(":\n\n"), false);
}

void stream_look(struct timer *timer)
{
    struct worker *w = container_of(timer, struct worker, look);
    uint64_t last = 0;
    unsigned cluster = RECORDS_CLUSTERS_MAX;
    for (struct list *n = w->streams.next, *next; n != &w->streams; n = next) {
        struct stream *s = container_of(n, struct stream, node);
        next = n->next; /* one that ends is taken out in a later turn (conn.c: die) */
        if (s->task->cluster != cluster) {
            cluster = s->task->cluster;
            last = store_last_sequence(w->sites[cluster].store);
        }
        attend(s, last);
    }
    if (!list_is_empty(&w->streams))
        timer_set(w->process.loop, timer, loop_now_ms(w->process.loop) + LOOK_MS);
}

/* ---- the beginning */

bool stream_is_asked(const struct task *t)
{
    const struct rest_request *r = &t->request;
    return r->interaction == REST_OPERATION && !r->is_head && t->http.method == METHOD_GET &&
           r->shape == REST_SHAPE_INSTANCE_OPERATION && str_eq(r->operation, STR("events")) &&
           str_eq(fhir_type_name(r->type), STR("Subscription"));
}

/* Where it goes on: behind what the client heard last, or now. A number of another store than this one, which
 * has not come so far, is no place: then it is told all that is new. */
static uint64_t begin_at(const struct rest_http *http, uint64_t last)
{
    uint64_t at;
    for (unsigned i = 0; i < http->field_count; i++)
        if (str_eq_nocase(http->fields[i].name, STR("last-event-id")) &&
            str_parse_u64(http->fields[i].value, &at))
            return at < last ? at : last;
    return last;
}

static unsigned count_listeners(struct worker *w, const struct task *t)
{
    unsigned n = 0;
    for (struct list *node = w->streams.next; node != &w->streams; node = node->next) {
        const struct task *other = container_of(node, struct stream, node)->task;
        n += other->cluster == t->cluster && str_eq(other->request.id, t->request.id);
    }
    return n;
}

static struct stream *stream_new(struct task *t)
{
    struct worker *w = t->worker;
    struct stream *s = w->stream_count < STREAMS_MAX ? calloc(1, sizeof *s) : NULL;
    if (!s || !(s->arena = arena_new(ARENA_BYTES))) {
        free(s);
        return NULL;
    }
    s->task = t;
    list_init(&s->node);
    rest_caller_read(&t->http, (struct str){t->conn->address, t->conn->address_n}, &s->base);
    list_push_back(&w->streams, &s->node);
    w->stream_count++;
    if (!timer_is_set(&w->look))
        timer_set(w->process.loop, &w->look, loop_now_ms(w->process.loop) + LOOK_MS);
    return s;
}

void stream_begin(struct task *t, const struct rest_call *call)
{
    struct rest_subscription subscription;
    struct store *store = call->site->store;
    if (!rest_subscription_find(call, t->request.id, &subscription, &t->answer)) {
        task_finish(t);
        return;
    }
    if (!subscription.is_active) {
        rest_refuse(call, &t->answer, 409, "conflict", STR("Subscription.status"),
                    "this Subscription is off, or over: it tells nothing");
        task_finish(t);
        return;
    }
    if (count_listeners(t->worker, t) >= LISTENERS_MAX) {
        rest_refuse(call, &t->answer, 429, "throttled", STR_NONE,
                    "this Subscription has %u listeners already", LISTENERS_MAX);
        task_finish(t);
        return;
    }
    struct stream *s = t->stream = stream_new(t);
    if (!s) {
        rest_refuse_store(call, &t->answer, STORE_NO_MEMORY);
        task_finish(t);
        return;
    }
    s->told = s->telling = begin_at(&t->http, store_last_sequence(store));
    s->beat_ms = subscription.heartbeat_s * 1'000;
    struct rest_call own = *call;
    own.arena = s->arena;
    s->message = write_message(s, STR("handshake"),
                               rest_notification_write(&own, &subscription, STR("handshake"), NULL));
    t->answer.status = 200;
    task_finish(t);
}

struct arena *stream_arena(struct stream *s)
{
    return s->arena;
}

/* ---- what became of a message */

bool stream_logged(struct task *t)
{
    struct stream *s = t->stream;
    struct conn *c = t->conn;
    if (t->answer.status != 200 || !s->message.n) { /* the log cannot be written: nothing is told */
        if (s->is_open)
            conn_stream_end(c);
        return s->is_open; /* one that is not open is refused like any request */
    }
    if (!s->is_open) {
        struct buf b = buf_over(c->head, sizeof c->head - 64);
        BUF_LIT(&b, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
                    "X-Accel-Buffering: no\r\n");
        c->head_out = b.n;
        s->is_open = true;
        wait_anew(s, true);
        conn_stream_begin(c, s->message);
        return true;
    }
    put_out(s, s->message, true);
    return true;
}

void stream_sent(struct conn_owner *o [[maybe_unused]], struct conn *c)
{
    struct task *t = c->work;
    struct stream *s = t->stream;
    s->told = s->telling > s->told ? s->telling : s->told; /* a line that says nothing tells nothing */
}

void stream_gone(struct conn_owner *o, struct conn *c)
{
    struct worker *w = container_of(o, struct worker, conns);
    struct task *t = c->work;
    struct stream *s = t->stream;
    list_remove(&s->node);
    w->stream_count--;
    arena_free(s->arena);
    free(s);
    t->stream = NULL;
}
