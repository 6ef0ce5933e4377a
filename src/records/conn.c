#include "records/conn.h"

#include "base/must.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    IN_BYTES = 16 * 1024,
    ARENA_BYTES = 512 << 20,
    BODY_FIRST = 64 * 1024,
    TURNS_MAX = 64, /* steps of one connection in one turn of the loop */
    LINGER_MS = 2000,
    LINGER_BYTES = 4 << 20,
};

static void run(struct conn *c);

/* ---- the end */

static void free_conn(struct conn *c)
{
    struct conn_owner *o = c->owner;
    if (c->is_stream)
        o->gone(o, c);
    timer_clear(o->loop, &c->timer);
    loop_undefer(&c->again);
    loop_close(o->loop, &c->io);
    list_remove(&c->node);
    o->count--;
    free(c->in);
    free(c->body);
    arena_free(c->arena);
    arena_free(c->scratch);
    free(c);
    o->closed(o);
}

/* While the worker is at its request it stays, without a socket. */
static void die(struct conn *c)
{
    c->is_dead = true;
    loop_close(c->owner->loop, &c->io);
    if (c->state != CONN_WORKING)
        loop_defer(c->owner->loop, &c->again);
}

static void timed_out(struct timer *t)
{
    die(container_of(t, struct conn, timer));
}

static void set_timeout(struct conn *c, uint32_t ms)
{
    timer_set(c->owner->loop, &c->timer, loop_now_ms(c->owner->loop) + ms);
}

/* ---- bytes in */

/* Reads into the room given; false: nothing more for now, or the end. */
static bool read_into(struct conn *c, char *to, size_t room, size_t *ret_n)
{
    ssize_t n = read(c->io.fd, to, room);
    if (n < 0 && errno == EINTR)
        n = read(c->io.fd, to, room);
    if (n > 0) {
        *ret_n = (size_t)n;
        if ((size_t)n < room && !c->has_ended)
            c->can_read = false; /* an edge comes when there is more; that of the end came already */
        return true;
    }
    if (n < 0 && errno == EAGAIN) {
        c->can_read = false;
        return false;
    }
    die(c); /* a client that shuts its side is served no further: it may have gone */
    return false;
}

static bool fill(struct conn *c)
{
    size_t n;
    if (!c->can_read || c->in_n == c->in_cap || !read_into(c, c->in + c->in_n, c->in_cap - c->in_n, &n))
        return false;
    c->in_n += n;
    return true;
}

/* ---- refusals below FHIR */

static void answer_plainly(struct conn *c, uint16_t status, struct str text)
{
    struct buf b = buf_over(c->head, sizeof c->head);
    struct str reason = http_reason(status);
    struct str body =
        arena_printf(c->arena,
                     "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":"
                     "\"invalid\",\"diagnostics\":\"%.*s\"}]}",
                     STR_ARG(text));
    buf_printf(&b, "HTTP/1.1 %u %.*s\r\nContent-Type: application/fhir+json; charset=utf-8\r\n", status,
               STR_ARG(reason));
    c->head_out = b.n;
    c->must_close = true;
    conn_answer(c, body);
}

/* ---- requests */

static void begin_request(struct conn *c)
{
    c->state = CONN_HEAD;
    c->scanned = c->head_n = 0;
    c->body_n = 0;
    c->said_continue = c->in_trailers = false;
    c->chunked = (struct h1_chunked){0};
    if (c->body_cap > BODY_FIRST) {
        free(c->body);
        c->body = NULL;
        c->body_cap = 0;
    }
    arena_reset(c->arena);
    arena_reset(c->scratch);
    set_timeout(c, c->owner->idle_ms);
}

static bool grow_body(struct conn *c, size_t more)
{
    if (more > c->owner->body_max - c->body_n)
        return false;
    if (c->body_n + more <= c->body_cap)
        return true;
    size_t cap = c->body_cap ? c->body_cap : BODY_FIRST;
    while (cap < c->body_n + more)
        cap *= 2;
    char *p = realloc(c->body, cap);
    if (!p)
        return false;
    c->body = p;
    c->body_cap = cap;
    return true;
}

static void drop_front(struct conn *c, size_t n)
{
    memmove(c->in + c->head_n, c->in + c->head_n + n, c->in_n - c->head_n - n);
    c->in_n -= n;
}

/* Bytes behind the head that belong to a chunked body. True: it is whole. */
static bool take_chunks(struct conn *c, bool *ret_bad)
{
    while (!c->in_trailers) {
        struct str left = {c->in + c->head_n, c->in_n - c->head_n}, data = STR_NONE;
        size_t taken = 0;
        enum h1_chunked_result result = h1_chunked_feed(&c->chunked, left, &taken, &data);
        *ret_bad = result == CHUNKED_BAD || (result == CHUNKED_DATA && !grow_body(c, data.n));
        if (*ret_bad)
            return false;
        if (result == CHUNKED_DATA && data.n) {
            memcpy(c->body + c->body_n, data.p, data.n);
            c->body_n += data.n;
        }
        drop_front(c, taken);
        if (result == CHUNKED_MORE)
            return false;
        c->in_trailers = result == CHUNKED_TRAILER;
    }
    struct http_field *fields;
    unsigned count;
    enum http_refusal refusal;
    size_t scanned = 0;
    ptrdiff_t n = h1_parse_trailers((struct str){c->in + c->head_n, c->in_n - c->head_n}, &scanned,
                                    &c->owner->limits, c->arena, &fields, &count, &refusal);
    *ret_bad = n < 0;
    if (n > 0)
        drop_front(c, (size_t)n);
    return n > 0;
}

/* A body that came with its head stays where it is; another one gets memory of its own. */
static bool take_length(struct conn *c)
{
    uint64_t length = c->request.content_length;
    size_t there = c->in_n - c->head_n;
    if (!c->body_n && there >= length)
        return true;
    if (!c->body_n) {
        if (!grow_body(c, (size_t)length))
            return false;
        memcpy(c->body, c->in + c->head_n, there);
        c->body_n = there;
        c->in_n = c->head_n;
    }
    while (c->body_n < length && c->can_read) {
        size_t n;
        if (!read_into(c, c->body + c->body_n, (size_t)length - c->body_n, &n))
            return false;
        c->body_n += n;
    }
    return c->body_n == length;
}

struct str conn_body(const struct conn *c)
{
    if (c->request.body == BODY_LENGTH && !c->body_n)
        return (struct str){c->in + c->head_n, (size_t)c->request.content_length};
    return (struct str){c->body, c->body_n};
}

static void work(struct conn *c)
{
    c->state = CONN_WORKING;
    timer_clear(c->owner->loop, &c->timer);
    c->owner->request(c->owner, c);
}

static void say_continue(struct conn *c)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (c->said_continue || !c->request.expects_continue || c->in_n > c->head_n)
        return;
    c->said_continue = true;
    if (write(c->io.fd, text, sizeof text - 1) != (ssize_t)sizeof text - 1)
        die(c); /* nothing was written on this connection before it: there is room */
}

/* Goes on with the body; true: something happened. */
static bool run_body(struct conn *c)
{
    bool bad = false, whole;
    say_continue(c);
    if (c->is_dead)
        return false;
    if (c->request.body == BODY_CHUNKED) {
        whole = take_chunks(c, &bad);
        if (bad) {
            bool large = c->body_n + 1024 >= c->owner->body_max;
            answer_plainly(c, large ? 413 : 400,
                           large ? STR("the body is too large") : STR("the body is framed wrongly"));
            return true;
        }
        if (!whole)
            return fill(c);
    } else {
        whole = take_length(c);
        if (!whole && !c->is_dead && c->can_read) { /* no memory */
            answer_plainly(c, 503, STR("there is no memory for this body at the moment"));
            return true;
        }
        if (!whole)
            return false;
    }
    work(c);
    return true;
}

static bool begin_body(struct conn *c)
{
    if (c->request.body == BODY_NONE) {
        work(c);
        return true;
    }
    c->state = CONN_BODY;
    set_timeout(c, c->owner->request_ms);
    if (c->request.body == BODY_LENGTH && c->request.content_length > c->owner->body_max)
        answer_plainly(c, 413, STR("the body is larger than this service takes"));
    return true;
}

static bool run_head(struct conn *c)
{
    enum http_refusal refusal = REFUSAL_NONE;
    ptrdiff_t n = c->in_n ? h1_parse_request((struct str){c->in, c->in_n}, &c->scanned, &c->owner->limits,
                                             c->arena, &c->request, &refusal)
                          : 0;
    if (n > 0) {
        c->head_n = (size_t)n;
        return begin_body(c);
    }
    if (n < 0) {
        answer_plainly(c, http_refusal_status(refusal), http_refusal_text(refusal));
        return true;
    }
    if (c->owner->is_draining && !c->in_n) {
        die(c);
        return false;
    }
    return fill(c);
}

/* ---- answers */

void conn_answer(struct conn *c, struct str body)
{
    struct buf b = buf_over(c->head, sizeof c->head);
    bool closes = c->must_close || c->owner->is_draining || !c->request.keep_alive;
    b.n = c->head_out;
    if (closes)
        BUF_LIT(&b, "Connection: close\r\n");
    BUF_LIT(&b, "\r\n");
    must(!buf_overflowed(&b));
    c->must_close = closes;
    c->head_out = b.n;
    c->out = c->request.method == METHOD_HEAD ? STR_NONE : body;
    c->sent = 0;
    c->state = CONN_WRITING;
    set_timeout(c, c->owner->request_ms);
    loop_defer(c->owner->loop, &c->again);
}

/* ---- streams */

void conn_stream_begin(struct conn *c, struct str piece)
{
    c->is_stream = c->must_close = true;
    conn_answer(c, piece);
}

static void write_piece(struct conn *c, struct str piece)
{
    c->head_out = c->sent = 0;
    c->out = piece;
    c->state = CONN_WRITING;
    set_timeout(c, c->owner->request_ms);
    loop_defer(c->owner->loop, &c->again);
}

void conn_stream_send(struct conn *c, struct str piece)
{
    write_piece(c, piece);
}

void conn_stream_hold(struct conn *c)
{
    c->state = CONN_WORKING;
}

void conn_stream_end(struct conn *c)
{
    c->is_over = true;
    write_piece(c, STR_NONE);
}

static void wait_for_piece(struct conn *c)
{
    c->state = CONN_STREAM;
    timer_clear(c->owner->loop, &c->timer);
    c->owner->sent(c->owner, c);
}

static void end_request(struct conn *c)
{
    if (c->is_stream && !c->is_over && !c->owner->is_draining) {
        wait_for_piece(c);
        return;
    }
    size_t body_in_place =
        c->request.body == BODY_LENGTH && !c->body_n ? (size_t)c->request.content_length : 0;
    if (c->must_close) {
        shutdown(c->io.fd, SHUT_WR);
        c->state = CONN_LINGER;
        c->body_n = 0;
        set_timeout(c, LINGER_MS);
        return;
    }
    size_t used = c->head_n + body_in_place;
    memmove(c->in, c->in + used, c->in_n - used);
    c->in_n -= used;
    begin_request(c);
}

static bool run_writing(struct conn *c)
{
    size_t total = c->head_out + c->out.n;
    if (!c->can_write)
        return false;
    struct iovec parts[2];
    int n = 0;
    if (c->sent < c->head_out)
        parts[n++] = (struct iovec){c->head + c->sent, c->head_out - c->sent};
    size_t from = c->sent > c->head_out ? c->sent - c->head_out : 0;
    if (c->out.n > from) {
        union {
            const char *in;
            void *out;
        } body = {c->out.p + from};
        parts[n++] = (struct iovec){body.out, c->out.n - from};
    }
    ssize_t sent = writev(c->io.fd, parts, n);
    if (sent < 0) {
        if (errno == EAGAIN)
            c->can_write = false;
        else if (errno != EINTR)
            die(c);
        return errno == EINTR;
    }
    c->sent += (size_t)sent;
    if (c->sent == total)
        end_request(c);
    return true;
}

/* Nobody who listens has anything to say: what comes is only looked at for the end. */
static bool run_stream(struct conn *c)
{
    char nothing[512];
    size_t n;
    if (c->owner->is_draining) {
        end_request(c);
        return true;
    }
    if (!c->can_read || !read_into(c, nothing, sizeof nothing, &n))
        return false;
    c->body_n += n;
    if (c->body_n > LINGER_BYTES)
        die(c);
    return true;
}

static bool run_linger(struct conn *c)
{
    size_t n;
    if (!c->can_read || !read_into(c, c->in, c->in_cap, &n))
        return false;
    c->body_n += n;
    if (c->body_n > LINGER_BYTES)
        die(c);
    return true;
}

/* ---- the machine */

static bool step(struct conn *c)
{
    switch (c->state) {
    case CONN_HEAD:
        return run_head(c);
    case CONN_BODY:
        return run_body(c);
    case CONN_WRITING:
        return run_writing(c);
    case CONN_LINGER:
        return run_linger(c);
    case CONN_STREAM:
        return run_stream(c);
    case CONN_WORKING:
        break;
    }
    return false;
}

static void run(struct conn *c)
{
    unsigned turns = 0;
    while (!c->is_dead && turns++ < TURNS_MAX && step(c))
        continue;
    if (!c->is_dead && turns > TURNS_MAX)
        loop_defer(c->owner->loop, &c->again);
}

static void run_again(struct deferred *d)
{
    struct conn *c = container_of(d, struct conn, again);
    if (!c->is_dead)
        run(c);
    if (c->is_dead && c->state != CONN_WORKING)
        free_conn(c);
}

static void ready(struct io *io, uint32_t events)
{
    struct conn *c = container_of(io, struct conn, io);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        c->can_read = true;
    if (events & EPOLLRDHUP)
        c->has_ended = true;
    if (events & EPOLLOUT)
        c->can_write = true;
    if (events & (EPOLLHUP | EPOLLERR)) {
        die(c);
        return;
    }
    run(c);
}

bool conn_accept(struct conn_owner *o, int take_fd, const struct addr *peer, bool is_behind_gate)
{
    struct conn *c = calloc(1, sizeof *c);
    char *in = malloc(IN_BYTES + o->limits.head_bytes);
    if (c) {
        c->arena = arena_new(ARENA_BYTES);
        c->scratch = arena_new(ARENA_BYTES);
    }
    if (!c || !in || !c->arena || !c->scratch) {
        if (c) {
            arena_free(c->arena);
            arena_free(c->scratch);
        }
        free(c);
        free(in);
        close(take_fd);
        return false;
    }
    struct buf address = buf_over(c->address, sizeof c->address);
    addr_write_ip(&address, peer);
    c->address_n = address.n;
    c->is_behind_gate = is_behind_gate;
    c->owner = o;
    c->in = in;
    c->in_cap = IN_BYTES + o->limits.head_bytes;
    c->can_write = true;
    c->io = (struct io){.ready = ready, .fd = take_fd, .is_sole = true};
    list_init(&c->node);
    list_push_back(&o->conns, &c->node);
    o->count++;
    timer_init(&c->timer, timed_out);
    deferred_init(&c->again, run_again);
    begin_request(c);
    if (loop_add(o->loop, &c->io, EPOLLIN | EPOLLOUT | EPOLLRDHUP) < 0)
        die(c);
    return true;
}

void conn_drain(struct conn_owner *o)
{
    o->is_draining = true;
    for (struct list *n = o->conns.next; n != &o->conns; n = n->next)
        loop_defer(o->loop, &container_of(n, struct conn, node)->again);
}

void conn_end_all(struct conn_owner *o)
{
    for (struct list *n = o->conns.next; n != &o->conns; n = n->next)
        die(container_of(n, struct conn, node));
}
