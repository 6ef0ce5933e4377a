/* cli/records_load_send.c - a connection to a record service: one parcel there, one answer back. */
#include "cli/records_load.h"

#include "http/h1.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 16 << 10,
    ANSWER_STEP = 1 << 16,
    ANSWER_MAX = 64 << 20,
    ANSWER_DEPTH = 64,
    SEND_TIMEOUT_S = 120,
    TRIES_MAX = 60,
    WAIT_MS = 1'000,
};

/* ---- the connection */

void link_close(struct link *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    l->in.n = 0;
}

static bool link_connect(struct link *l, const struct addr *to)
{
    struct sockaddr_storage address;
    socklen_t length;
    struct timeval limit = {.tv_sec = SEND_TIMEOUT_S};
    addr_to_sockaddr(to, &address, &length);
    l->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return false;
    if (connect(l->fd, (const struct sockaddr *)&address, length) != 0) {
        int error = errno;
        link_close(l);
        errno = error;
        return false;
    }
    return setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
           setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0;
}

static bool send_all(int fd, struct str bytes)
{
    while (bytes.n) {
        ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = str_skip(bytes, (size_t)n);
    }
    return true;
}

static void write_head(struct buf *out, const struct load_target *t, const char *method, struct str below,
                       size_t body_bytes)
{
    buf_printf(out, "%s %.*s%s%.*s HTTP/1.1\r\nHost: %.*s\r\nAccept: application/fhir+json\r\n", method,
               STR_ARG(t->path), below.n ? "/" : "", STR_ARG(below), STR_ARG(t->authority));
    if (t->token.n)
        buf_printf(out, "Authorization: Bearer %.*s\r\n", STR_ARG(t->token));
    if (body_bytes)
        buf_printf(out,
                   "Content-Type: application/fhir+json\r\nPrefer: return=minimal\r\nContent-Length: %zu\r\n",
                   body_bytes);
    BUF_LIT(out, "\r\n");
}

bool link_send(struct link *l, const struct load_target *t, struct parcel *p)
{
    char memory[HEAD_BYTES];
    struct buf head = buf_over(memory, sizeof memory);
    write_head(&head, t, "POST", STR_NONE, p->text.n);
    l->parcel = p;
    l->in.n = 0;
    p->tries++;
    if (l->fd < 0 && !link_connect(l, &t->address))
        return false;
    /* What breaks here is seen when the answer is read: it may say why. */
    if (!send_all(l->fd, buf_text(&head)) || !send_all(l->fd, buf_text(&p->text)))
        shutdown(l->fd, SHUT_WR);
    return true;
}

/* ---- the answer */

static bool room(struct buf *b)
{
    if (b->cap - b->n >= ANSWER_STEP)
        return true;
    size_t cap = b->cap ? b->cap * 2 : 2 * ANSWER_STEP;
    char *memory = cap <= ANSWER_MAX ? realloc(b->p, cap) : NULL;
    if (!memory)
        return false;
    *b = (struct buf){memory, b->n, cap, false};
    return true;
}

/* The body of chunks, put together where it lies when is_moved; looked at first, for more may have to come.
 */
static bool unchunk(char *bytes, size_t n, bool is_moved, size_t *ret_n)
{
    struct h1_chunked c = {0};
    size_t at = 0, out = 0;
    for (;;) {
        size_t taken;
        struct str data;
        switch (h1_chunked_feed(&c, (struct str){bytes + at, n - at}, &taken, &data)) {
        case CHUNKED_DATA:
            if (is_moved)
                memmove(bytes + out, data.p, data.n);
            out += data.n;
            at += taken;
            break;
        case CHUNKED_TRAILER: /* and the empty line behind it; who sends trailers is not waited for */
            *ret_n = out;
            return n - at - taken >= 2;
        default:
            return false;
        }
    }
}

enum whole { WHOLE, PARTLY, NONSENSE };

static enum whole parse_answer(struct link *l, bool has_ended, struct arena *arena, struct http_response *ret,
                               struct str *ret_body)
{
    static const struct h1_limits limits = {HEAD_BYTES, 100, 8192, true};
    enum http_refusal refusal;
    size_t scanned = 0, n = 0;
    ptrdiff_t head =
        h1_parse_response(buf_text(&l->in), &scanned, &limits, METHOD_POST, arena, ret, &refusal);
    if (head <= 0)
        return head < 0 ? NONSENSE : PARTLY;
    char *body = l->in.p + head;
    size_t there = l->in.n - (size_t)head;
    bool is_whole = ret->body == BODY_NONE     ? true
                    : ret->body == BODY_LENGTH ? (n = (size_t)ret->content_length) <= there
                    : ret->body == BODY_CHUNKED
                        ? unchunk(body, there, false, &n) && unchunk(body, there, true, &n)
                        : (n = there, has_ended);
    *ret_body = (struct str){body, n};
    return is_whole ? WHOLE : PARTLY;
}

/* ---- what an OperationOutcome says */

static struct str outcome_text(const struct json_tape *t, uint32_t outcome, struct arena *arena)
{
    uint32_t issues = json_get(t, outcome, STR("issue"));
    if (issues == JSON_NONE || json_type(t, issues) != JSON_ARRAY || json_count(t, issues) == 0)
        return STR_NONE;
    uint32_t issue = json_first(t, issues), text = json_get(t, issue, STR("diagnostics"));
    uint32_t places = json_get(t, issue, STR("expression"));
    struct str said =
        text != JSON_NONE && json_type(t, text) == JSON_STRING ? json_string(t, text, arena) : STR_NONE;
    if (places == JSON_NONE || json_type(t, places) != JSON_ARRAY || json_count(t, places) == 0 ||
        json_type(t, json_first(t, places)) != JSON_STRING)
        return said;
    struct str place = json_string(t, json_first(t, places), arena);
    return arena_printf(arena, "%.*s (%.*s)", STR_ARG(said), STR_ARG(place));
}

static bool parse_body(struct str body, struct arena *arena, struct json_tape *ret)
{
    struct json_node *nodes = arena_alloc(arena, json_nodes_max(body.n) * sizeof *nodes);
    return body.n && nodes &&
           json_parse(body, ANSWER_DEPTH, nodes, json_nodes_max(body.n), ret, NULL) == JSON_FINE;
}

static struct str text_of(struct str body, struct arena *arena)
{
    struct json_tape t;
    struct str said = parse_body(body, arena, &t) ? outcome_text(&t, 0, arena) : STR_NONE;
    return said.n ? said : STR("it does not say why");
}

/* ---- an answer that was read */

/* Of a batch, and of a Bundle that was one: which entries are written. False: it cannot be read. */
static bool judge_entries(struct load *load, const struct parcel *p, struct str body, struct arena *arena)
{
    struct json_tape t;
    uint32_t list = parse_body(body, arena, &t) ? json_get(&t, 0, STR("entry")) : JSON_NONE;
    if (list == JSON_NONE || json_type(&t, list) != JSON_ARRAY)
        return false;
    uint32_t at = json_first(&t, list), n = json_count(&t, list);
    for (uint32_t i = 0; i < n && (p->is_whole || i < p->count); i++, at = json_next(&t, at)) {
        uint32_t response = json_get(&t, at, STR("response")), status = json_get(&t, response, STR("status"));
        struct str code = status != JSON_NONE ? json_text(&t, status) : STR_NONE;
        const struct load_entry *e = &p->entries[p->is_whole ? 0 : i];
        if (code.n && code.p[0] == '2') {
            load->loaded++;
            continue;
        }
        struct str why = outcome_text(&t, json_get(&t, response, STR("outcome")), arena);
        if (p->is_whole)
            load_failed(load, e->line, 1, "entry %u: %.*s: %.*s", i, STR_ARG(code), STR_ARG(why));
        else
            load_failed(load, e->line, 1, "%s: %.*s: %.*s", e->name, STR_ARG(code), STR_ARG(why));
    }
    return true;
}

static unsigned wait_of(const struct http_response *r)
{
    const struct http_field *f = http_find(r->fields, r->field_count, FIELD_RETRY_AFTER);
    uint64_t seconds;
    return f && str_parse_u64(f->value, &seconds) && seconds > 0 && seconds < 60 ? (unsigned)seconds * 1000
                                                                                 : WAIT_MS;
}

static enum load_sent refuse_access(const struct load *load, unsigned status, struct str why)
{
    cli_complain("%.*s answers %u: %.*s%s", STR_ARG(load->target.base), status, STR_ARG(why),
                 status == 404          ? ". Is that the base URL of the cluster?"
                 : load->target.token.n ? ". Take a token that may write all types (system/*.cruds)"
                                        : ". It wants a token: name a file that holds one with --token");
    return SENT_HOPELESS;
}

static enum load_sent judge(struct load *load, struct parcel *p, const struct http_response *r,
                            struct str body, struct arena *arena, unsigned *ret_wait_ms)
{
    bool is_busy = r->status == 408 || r->status == 429 || r->status >= 500;
    *ret_wait_ms = 0;
    if (r->status == 401 || r->status == 403 || (r->status == 404 && !p->is_whole))
        return refuse_access(load, r->status, text_of(body, arena));
    if (is_busy && p->tries < (r->status == 500 ? 3 : TRIES_MAX)) {
        *ret_wait_ms = wait_of(r);
        return SENT_AGAIN;
    }
    if (r->status / 100 == 2 && !p->is_batch && !p->is_whole) {
        load->loaded += p->count;
        return SENT_FINE;
    }
    if (r->status / 100 == 2 && judge_entries(load, p, body, arena))
        return SENT_FINE;
    if (r->status / 100 == 4 && !p->is_batch && !p->is_whole && r->status != 413) {
        parcel_make_batch(p);
        return SENT_AGAIN;
    }
    struct str why = text_of(body, arena);
    load_failed(load, p->entries[0].line, p->count, "%s%s: %u: %.*s", p->entries[0].name,
                p->count > 1 ? " and those after it" : "", r->status, STR_ARG(why));
    return SENT_REFUSED;
}

static enum load_sent was_broken(struct link *l, struct load *load, unsigned *ret_wait_ms)
{
    link_close(l);
    *ret_wait_ms = WAIT_MS / 10 * l->parcel->tries;
    if (l->parcel->tries < 10)
        return SENT_AGAIN;
    cli_complain("%.*s ends every connection without an answer", STR_ARG(load->target.base));
    return SENT_HOPELESS;
}

enum load_sent link_receive(struct link *l, struct load *load, unsigned *ret_wait_ms)
{
    struct http_response response = {0};
    struct str body;
    if (!room(&l->in)) {
        cli_complain("an answer of %.*s is larger than 64 MiB", STR_ARG(load->target.base));
        return SENT_HOPELESS;
    }
    ssize_t n = recv(l->fd, l->in.p + l->in.n, l->in.cap - l->in.n, 0);
    if (n < 0 && errno == EINTR)
        return SENT_WAITS;
    l->in.n += n > 0 ? (size_t)n : 0;
    struct arena *arena = arena_new(256 << 20);
    enum whole whole = arena ? parse_answer(l, n <= 0, arena, &response, &body) : NONSENSE;
    enum load_sent sent = SENT_WAITS;
    if (whole == WHOLE)
        sent = judge(load, l->parcel, &response, body, arena, ret_wait_ms);
    else if (whole == NONSENSE || n <= 0)
        sent = was_broken(l, load, ret_wait_ms);
    if (whole == WHOLE && (!response.keep_alive || n <= 0))
        link_close(l);
    arena_free(arena);
    return sent;
}

/* ---- a question */

bool load_is_there(const struct load_target *t, struct str name)
{
    char memory[HEAD_BYTES];
    struct buf out = buf_over(memory, sizeof memory);
    struct link l = {.fd = -1};
    write_head(&out, t, "HEAD", name, 0);
    bool is_there = link_connect(&l, &t->address) && send_all(l.fd, buf_text(&out));
    ssize_t n = is_there ? recv(l.fd, memory, sizeof memory, 0) : 0;
    is_there = n > 12 && memcmp(memory, "HTTP/1.1 200", 12) == 0;
    link_close(&l);
    return is_there;
}
