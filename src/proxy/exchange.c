/* proxy/exchange.c - the steps of a request: route, admit, inspect, forward, answer, event. */
#include "proxy/exchange.h"

#include "base/must.h"
#include "proxy/classes.h"
#include "proxy/error_page.h"
#include "proxy/forward.h"
#include "proxy/guard.h"
#include "proxy/inspect.h"
#include "proxy/upstream.h"

#include <stdlib.h>

enum { GATES_MAX = 4 };

struct exchange *exchange_new(struct client *c, const struct exchange_side *side, void *stream)
{
    struct proxy *p = c->proxy;
    struct exchange *ex = p->free_exchanges;
    struct arena *arena;
    if (ex) {
        p->free_exchanges = ex->next_free;
        p->free_exchange_count--;
        if (p->free_exchange_count < p->least_free_exchanges)
            p->least_free_exchanges = p->free_exchange_count;
        arena = ex->arena;
    } else {
        ex = malloc(sizeof *ex);
        arena = arena_new(EXCHANGE_ARENA_BYTES);
        if (!ex || !arena) {
            free(ex);
            arena_free(arena);
            return NULL;
        }
    }
    memset(ex, 0, sizeof *ex);
    ex->proxy = p;
    ex->side = side;
    ex->client = c;
    ex->stream = stream;
    ex->arena = arena;
    ex->snapshot = snapshot_ref(c->snapshot);
    ex->began_us = loop_now_us(p->loop);
    ex->event.at_us = loop_wall_us(p->loop);
    return ex;
}

/* ---- the event */

static uint8_t copy_text(char *to, size_t cap, struct str from)
{
    size_t n = from.n < cap ? from.n : cap;
    if (n)
        memcpy(to, from.p, n);
    return (uint8_t)n;
}

static void note_request(struct exchange *ex)
{
    struct access_event *e = &ex->event;
    const struct http_field *agent = http_find(ex->req.fields, ex->req.field_count, FIELD_USER_AGENT);
    e->method_len = copy_text(e->method, sizeof e->method, ex->req.method_text);
    e->host_len = copy_text(e->host, sizeof e->host, ex->req.host);
    e->path_len = copy_text(e->path, sizeof e->path, ex->req.path);
    e->agent_len = agent ? copy_text(e->agent, sizeof e->agent, agent->value) : 0;
    e->version = (uint8_t)ex->req.version;
    e->flags |= ex->req.has_query ? ACCESS_HAS_QUERY : 0;
    ex->counted = !ex->is_probe;
    if (ex->counted)
        GAUGE_UP(ex->proxy, requests_active);
}

static uint16_t connection_flags(const struct exchange *ex, uint8_t *ret_tls_version)
{
    struct tls_info info;
    uint16_t flags = 0;
    if (!client_tls_info(ex->client, &info))
        return 0;
    *ret_tls_version = info.version;
    flags |= ACCESS_TLS;
    flags |= info.resumed ? ACCESS_RESUMED : 0;
    flags |= info.has_client_cert ? ACCESS_CLIENT_CERT : 0;
    return flags;
}

static uint32_t elapsed_us(const struct exchange *ex)
{
    uint64_t us = loop_now_us(ex->proxy->loop) - ex->began_us;
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static void count_status(struct exchange *ex)
{
    static const enum counter by_class[6] = {COUNTER_responses_5xx_total, COUNTER_responses_1xx_total,
                                             COUNTER_responses_2xx_total, COUNTER_responses_3xx_total,
                                             COUNTER_responses_4xx_total, COUNTER_responses_5xx_total};
    COUNT(ex->proxy, requests_total);
    if (ex->answer_begun)
        counter_inc(ex->proxy->counts, by_class[ex->resp.status < 600 ? ex->resp.status / 100 : 0]);
}

static void write_event(struct exchange *ex)
{
    struct access_event *e = &ex->event;
    uint32_t slot = ex->cluster ? ex->snapshot->cluster_slots[ex->cluster->index] : SHARED_NO_SLOT;
    e->request_id[0] = ex->id[0];
    e->request_id[1] = ex->id[1];
    e->bytes_in = ex->body_received;
    e->duration_us = elapsed_us(ex);
    e->generation = (uint32_t)ex->snapshot->generation;
    e->cluster = ex->cluster ? (uint16_t)ex->cluster->index : UINT16_MAX;
    e->route = ex->route ? (uint16_t)ex->route->index : UINT16_MAX;
    e->listener = (uint16_t)ex->client->listener->config->index;
    e->status = ex->answer_begun ? ex->resp.status : 0;
    e->flags |= connection_flags(ex, &e->tls_version);
    e->flags |= ex->by_gate ? ACCESS_BY_GATE : 0;
    e->flags |= ex->tunnel ? ACCESS_TUNNEL : 0;
    e->retries = ex->retries;
    e->client = ex->client->peer;
    if (!ex->pool)
        e->endpoint = UINT32_MAX;
    count_status(ex);
    shared_count_request(ex->proxy->counts, slot, e->status, e->duration_us, e->bytes_in, e->bytes_out);
    shared_event_push(ex->proxy->shared, ex->proxy->slot, e);
}

void exchange_free(struct exchange *ex)
{
    struct proxy *p = ex->proxy;
    if (ex->up)
        upstream_detach(ex);
    admit_leave(ex);
    inspect_end(ex);
    if (ex->state != EXCHANGE_READ && !ex->is_probe)
        write_event(ex);
    if (ex->counted)
        GAUGE_DOWN(p, requests_active);
    if (ex->tunnel) {
        GAUGE_DOWN(p, tunnels_open);
        p->tunnel_count--;
    }
    outq_clear(&ex->up_head, &p->chunks);
    outq_clear(&ex->req_body, &p->chunks);
    snapshot_unref(ex->snapshot);
    if (p->free_exchange_count >= EXCHANGES_KEPT) {
        arena_free(ex->arena);
        free(ex);
        return;
    }
    arena_reset(ex->arena);
    ex->next_free = p->free_exchanges;
    p->free_exchanges = ex;
    p->free_exchange_count++;
}

unsigned exchange_trim(struct proxy *p)
{
    unsigned freed = 0;
    for (; p->least_free_exchanges > 0; p->least_free_exchanges--, p->free_exchange_count--, freed++) {
        struct exchange *next = p->free_exchanges->next_free;
        arena_free(p->free_exchanges->arena);
        free(p->free_exchanges);
        p->free_exchanges = next;
    }
    p->least_free_exchanges = p->free_exchange_count;
    return freed;
}

/* ---- answers of the gate's own */

static void answer_own(struct exchange *ex, uint16_t status, const struct http_field *fields, unsigned count,
                       struct str body)
{
    ex->resp = (struct http_response){
        .version = HTTP_1_1, .status = status, .body = BODY_LENGTH, .content_length = body.n};
    ex->resp.fields = arena_alloc(ex->arena, count * sizeof *fields);
    ex->by_gate = true;
    ex->answer_begun = true;
    ex->state = EXCHANGE_ANSWER;
    ex->close_client |= !ex->body_done;
    if (!ex->resp.fields) {
        ex->state = EXCHANGE_BROKEN;
        ex->side->broken(ex);
        return;
    }
    memcpy(ex->resp.fields, fields, count * sizeof *fields);
    ex->resp.field_count = count;
    ex->side->head(ex);
    if (ex->req.method != METHOD_HEAD) {
        ex->side->body(ex, body);
        ex->event.bytes_out = body.n;
    }
    ex->state = EXCHANGE_DONE;
    ex->side->end(ex, NULL, 0);
}

static void make_id(struct exchange *ex)
{
    if (ex->id[0])
        return;
    ex->id[0] = proxy_random(ex->proxy);
    ex->id[1] = proxy_random(ex->proxy);
}

/* Whatever works on the request lets go of it. */
static void leave_all(struct exchange *ex)
{
    if (ex->up)
        upstream_detach(ex);
    admit_leave(ex);
    inspect_cancel(ex);
}

void exchange_answer_status(struct exchange *ex, uint16_t status, enum http_refusal why)
{
    if (ex->answer_begun) {
        ex->state = EXCHANGE_BROKEN;
        ex->side->broken(ex);
        return;
    }
    leave_all(ex);
    make_id(ex);
    ex->event.refusal = (uint16_t)why;
    struct error_page page;
    error_page_make(ex, status, why, &page);
    answer_own(ex, status, page.fields, page.field_count, page.body);
}

void exchange_answer_redirect(struct exchange *ex, uint16_t port)
{
    struct str colon = STR(":");
    char number[8];
    struct buf b = buf_over(number, sizeof number);
    buf_u64(&b, port);
    bool plain = port == 443;
    struct str to = arena_printf(ex->arena, "https://%.*s%.*s%.*s%.*s%s%.*s", STR_ARG(ex->req.host),
                                 plain ? 0 : 1, colon.p, plain ? 0 : (int)b.n, number, STR_ARG(ex->req.path),
                                 ex->req.has_query ? "?" : "", STR_ARG(ex->req.query));
    struct http_field location = {STR("Location"), to, FIELD_OTHER};
    make_id(ex);
    answer_own(ex, http_method_is_safe(ex->req.method) ? 301 : 308, &location, 1, STR_NONE);
}

static void count_refusal(struct exchange *ex, enum http_refusal why)
{
    if (ex->is_probe)
        return;
    shared_count_refusal(ex->proxy->counts, why);
    classes_refused(ex, why);
}

void exchange_refuse(struct exchange *ex, enum http_refusal why)
{
    count_refusal(ex, why);
    ex->close_client = true;
    if (ex->req.version == 0)
        ex->req.version = HTTP_1_1;
    if (ex->state == EXCHANGE_READ && !ex->counted)
        note_request(ex);
    exchange_answer_status(ex, http_refusal_status(why), why);
}

void exchange_refuse_with(struct exchange *ex, uint16_t status, enum http_refusal why)
{
    count_refusal(ex, why);
    exchange_answer_status(ex, status, why);
}

static void refuse_politely(struct exchange *ex, enum http_refusal why)
{
    exchange_refuse_with(ex, http_refusal_status(why), why);
}

void exchange_drop(struct exchange *ex, enum http_refusal why)
{
    count_refusal(ex, why);
    if (ex->up)
        upstream_detach(ex);
    admit_leave(ex);
    ex->event.refusal = (uint16_t)why;
    ex->state = EXCHANGE_BROKEN;
    ex->side->broken(ex);
}

void exchange_answer_notice(struct exchange *ex)
{
    struct notice_page page;
    must(!ex->answer_begun);
    COUNT(ex->proxy, isolation_notices_total);
    count_refusal(ex, REFUSAL_ISOLATION_NOTICE);
    leave_all(ex);
    make_id(ex);
    ex->event.refusal = REFUSAL_ISOLATION_NOTICE;
    ex->is_notice = true;
    ex->close_client = true; /* nobody whom the gate keeps out keeps a connection */
    notice_make(ex, &page);
    answer_own(ex, 503, page.fields, page.field_count, page.body);
}

void exchange_cut(struct exchange *ex)
{
    count_refusal(ex, REFUSAL_ISOLATION_CUT);
    leave_all(ex);
    ex->event.refusal = REFUSAL_ISOLATION_CUT;
    ex->state = EXCHANGE_BROKEN;
}

/* ---- route, admit, forward */

/* RFC 6455 4.2.1: one key, base64 of 16 bytes. Over HTTP/2 (RFC 8441) the client sends none and the gate
 * added its own. */
static bool upgrade_has_key(const struct http_request *r)
{
    unsigned keys = 0, good = 0;
    for (unsigned i = 0; i < r->field_count; i++) {
        struct str v = r->fields[i].value;
        if (r->fields[i].id != FIELD_SEC_WEBSOCKET_KEY)
            continue;
        keys++;
        good += v.n == 24 && str_eq(str_skip(v, 22), STR("=="));
    }
    return keys == 1 && good == 1;
}

/* Gates one behind another are fine, a circle of them is not (RFC 9110 7.6.3): each adds itself to Via. */
static bool goes_in_circles(const struct http_request *r)
{
    unsigned gates = 0;
    for (unsigned i = 0; i < r->field_count; i++) {
        struct str rest = r->fields[i].id == FIELD_VIA ? r->fields[i].value : STR_NONE;
        while (rest.n)
            gates += str_ends(str_trim(str_cut(&rest, ',')), STR(" polder"));
    }
    return gates >= GATES_MAX;
}

static enum http_refusal route(struct exchange *ex)
{
    struct tls_info info;
    bool has_tls = client_tls_info(ex->client, &info);
    /* A browser may use one connection for several hosts, but only those its certificate covers (RFC
     * 9113 9.1.1). */
    if (has_tls && info.is_h2 && info.server_name.n && !str_eq(info.server_name, ex->req.host) &&
        !tls_conn_covers(ex->client->t.tls, ex->req.host))
        return REFUSAL_MISDIRECTED;
    ex->cluster = snapshot_cluster(ex->snapshot, ex->req.host);
    if (!ex->cluster)
        return REFUSAL_MISDIRECTED;
    if (goes_in_circles(&ex->req))
        return REFUSAL_LOOP;
    ex->route = snapshot_route(ex->cluster, ex->req.path);
    if (!ex->route)
        return REFUSAL_NO_ROUTE;
    if (ex->route->client_certificate == CLIENT_CERT_REQUIRED && !(has_tls && info.has_client_cert) &&
        !ex->is_probe)
        return REFUSAL_CLIENT_CERTIFICATE;
    if (ex->req.has_upgrade && !ex->route->websocket)
        return REFUSAL_UPGRADE_NOT_ALLOWED;
    if (ex->req.has_upgrade && !upgrade_has_key(&ex->req))
        return REFUSAL_TUNNEL;
    return REFUSAL_NONE;
}

/* What the request may cost, before it costs anything. */
static enum http_refusal admit(struct exchange *ex)
{
    ex->body_limit = ex->route->body_bytes ? ex->route->body_bytes : client_limits(ex->client)->body_bytes;
    if (ex->req.body == BODY_LENGTH && ex->req.content_length > ex->body_limit)
        return REFUSAL_BODY_TOO_LARGE;
    return REFUSAL_NONE;
}

/* A cookie may stand in any of several fields: HTTP/2 sends them in crumbs (RFC 9113 8.2.3). */
static bool find_cookie(const struct http_request *r, struct str name, struct str *ret_value)
{
    for (unsigned i = 0; i < r->field_count; i++)
        if (r->fields[i].id == FIELD_COOKIE && http_cookie_get(r->fields[i].value, name, ret_value))
            return true;
    return false;
}

static void choose_affinity(struct exchange *ex)
{
    static const struct hash_key fixed = {0x706f6c646572ULL, 0x6b6579ULL};
    const struct config_upstream *u = ex->pool->config;
    struct str value = STR_NONE;
    if (u->sticky_cookie.n && find_cookie(&ex->req, u->sticky_cookie, &value)) {
        for (unsigned i = 0; i < ex->pool->endpoint_count && !ex->sticky; i++) {
            char hex[16];
            struct buf b = buf_over(hex, sizeof hex);
            buf_hex_u64(&b, ex->pool->endpoints[i].sticky);
            if (str_eq(buf_text(&b), value))
                ex->sticky = ex->pool->endpoints[i].sticky;
        }
    }
    if (u->balance != BALANCE_HASH)
        return;
    value = ex->req.path;
    if (u->hash_on == HASH_ON_SOURCE)
        value = (struct str){(const char *)ex->client->peer.ip, 16};
    for (unsigned i = 0; u->hash_on == HASH_ON_HEADER && i < ex->req.field_count; i++)
        if (str_eq_nocase(ex->req.fields[i].name, u->hash_name))
            value = ex->req.fields[i].value;
    if (u->hash_on == HASH_ON_COOKIE && !find_cookie(&ex->req, u->hash_name, &value))
        value = (struct str){(const char *)ex->client->peer.ip, 16};
    ex->hash = hash_bytes(&fixed, value.p, value.n);
}

static bool write_upstream_head(struct exchange *ex)
{
    for (size_t room = CHUNK_BYTES; room <= CHUNK_BIG_BYTES; room = room * 4) {
        struct chunk *chunk = outq_reserve(&ex->up_head, &ex->proxy->chunks, room);
        if (!chunk)
            return false;
        struct buf b = buf_over(chunk->data, chunk->cap);
        forward_request_head(ex, &b);
        if (!buf_overflowed(&b)) {
            outq_commit(&ex->up_head, chunk, b.n);
            return true;
        }
        outq_clear(&ex->up_head, &ex->proxy->chunks);
    }
    return false;
}

static bool write_last_chunk(struct exchange *ex, const struct http_field *trailers, unsigned count)
{
    char text[8192];
    struct buf b = buf_over(text, sizeof text);
    BUF_LIT(&b, "0\r\n");
    for (unsigned i = 0; i < count; i++) {
        if (!forward_trailer_allowed(&trailers[i]))
            continue;
        buf_str(&b, trailers[i].name);
        BUF_LIT(&b, ": ");
        buf_str(&b, trailers[i].value);
        BUF_LIT(&b, "\r\n");
    }
    BUF_LIT(&b, "\r\n");
    return !buf_overflowed(&b) && outq_add(&ex->req_body, &ex->proxy->chunks, buf_text(&b));
}

/* What the inspection held, and the end of it where it is whole. */
static bool take_held_body(struct exchange *ex)
{
    unsigned count = 0;
    if (ex->body_taken)
        return true;
    ex->body_taken = true;
    const struct http_field *trailers = inspect_trailers(ex, &count);
    if (!inspect_give_body(ex))
        return false;
    return !ex->inspection || !ex->body_done || !ex->body_chunked_up || write_last_chunk(ex, trailers, count);
}

static void forward(struct exchange *ex)
{
    ex->state = EXCHANGE_FORWARD;
    choose_affinity(ex);
    if (!write_upstream_head(ex)) {
        refuse_politely(ex, REFUSAL_HEAD_TOO_LARGE);
        return;
    }
    if (!take_held_body(ex)) {
        exchange_answer_status(ex, 503, REFUSAL_NONE);
        return;
    }
    admit_retry_earn(ex);
    upstream_attach(ex);
}

static void body_goes_on(struct exchange *ex)
{
    if (!ex->body_paused)
        return;
    ex->body_paused = false;
    ex->side->read_more(ex);
}

bool exchange_keep_head(struct exchange *ex)
{
    struct http_request *r = &ex->req;
    if (r->version == HTTP_2)
        return true;
    r->method_text = arena_copy(ex->arena, r->method_text);
    r->target = arena_copy(ex->arena, r->target);
    r->authority = arena_copy(ex->arena, r->authority);
    r->host = arena_copy(ex->arena, r->host);
    r->path = arena_copy(ex->arena, r->path);
    r->query = arena_copy(ex->arena, r->query);
    for (unsigned i = 0; i < r->field_count; i++) {
        r->fields[i].name = arena_copy(ex->arena, r->fields[i].name);
        r->fields[i].value = arena_copy(ex->arena, r->fields[i].value);
    }
    return !arena_overflowed(ex->arena);
}

/* What comes of the body meanwhile goes behind what the inspection held. */
static void wait_for_turn(struct exchange *ex)
{
    ex->state = EXCHANGE_ADMIT;
    if (ex->client->h2 && !client_h2_may_wait(ex) && !admit_step_aside(ex)) {
        ex->state = EXCHANGE_BROKEN;
        client_h2_refuse(ex);
        return;
    }
    ex->body_paused = !ex->body_done;
    if (!ex->body_done && !take_held_body(ex))
        exchange_answer_status(ex, 503, REFUSAL_NONE);
}

static void ask(struct exchange *ex)
{
    switch (admit_enter(ex)) {
    case ADMISSION_GO:
        body_goes_on(ex); /* it was not wanted for the inspection: it streams */
        forward(ex);
        break;
    case ADMISSION_WAIT:
        wait_for_turn(ex);
        break;
    case ADMISSION_REFUSE:
        refuse_politely(ex, REFUSAL_OVERLOAD);
        break;
    }
}

/* As much of the body as is wanted is there, or all. */
static void look_at_collected(struct exchange *ex)
{
    if (!admit_collects_on(ex))
        ask(ex);
}

static void collect(struct exchange *ex)
{
    ex->state = EXCHANGE_COLLECT;
    if (!exchange_keep_head(ex)) {
        refuse_politely(ex, REFUSAL_HEAD_TOO_LARGE);
        return;
    }
    if (!take_held_body(ex)) {
        exchange_answer_status(ex, 503, REFUSAL_NONE);
        return;
    }
    body_goes_on(ex);
    look_at_collected(ex);
}

static void enter(struct exchange *ex)
{
    if (ex->is_probe) {
        ex->probe_passed = true;
        ex->state = EXCHANGE_DONE;
        ex->side->end(ex, NULL, 0);
        return;
    }
    ex->pool = &ex->snapshot->pools[ex->route->upstream->index];
    ex->body_chunked_up = ex->req.body == BODY_CHUNKED || ex->req.body == BODY_UNTIL_CLOSE;
    if (admit_wants_body(ex))
        collect(ex);
    else
        ask(ex);
}

/* The body is whole, and its end had to wait: for a place, or no longer. */
static void ask_for_end(struct exchange *ex)
{
    switch (admit_enter(ex)) {
    case ADMISSION_GO:
        exchange_admitted(ex);
        break;
    case ADMISSION_WAIT:
        break;
    case ADMISSION_REFUSE:
        refuse_politely(ex, REFUSAL_OVERLOAD);
        break;
    }
}

void exchange_admitted(struct exchange *ex)
{
    if (ex->state == EXCHANGE_FORWARD) {
        admit_end_goes(ex);
        exchange_request_flush(ex);
        return;
    }
    body_goes_on(ex);
    forward(ex);
}

void exchange_inspected(struct exchange *ex)
{
    enter(ex);
}

void exchange_begin(struct exchange *ex)
{
    const struct config_listener *l = ex->client->listener->config;
    enum http_refusal why;
    ex->state = EXCHANGE_FORWARD;
    note_request(ex);
    make_id(ex);
    if (l->redirects &&
        snapshot_cluster(ex->snapshot, ex->req.host)) { /* never to a host that is not served */
        ex->cluster = snapshot_cluster(ex->snapshot, ex->req.host);
        if (!guard_answers_redirect(ex))
            exchange_answer_redirect(ex, l->redirect_port);
        return;
    }
    why = route(ex);
    if (guard_answers(ex)) /* whatever the route would have said: who is kept out learns nothing of it */
        return;
    if (why == REFUSAL_NONE)
        why = admit(ex);
    if (why == REFUSAL_BODY_TOO_LARGE)
        exchange_refuse(ex, why);
    else if (why != REFUSAL_NONE)
        refuse_politely(ex, why);
    else if (!inspect_begin(ex))
        enter(ex);
}

/* ---- the request body */

void exchange_request_flush(struct exchange *ex)
{
    if (ex->up && ex->up->state == UP_BUSY)
        upstream_send(ex);
}

void exchange_request_body(struct exchange *ex, struct str bytes)
{
    struct chunk_pool *pool = &ex->proxy->chunks;
    char size[20];
    struct buf b = buf_over(size, sizeof size);
    bool ok = true;
    ex->body_received += bytes.n;
    if (ex->body_received > ex->body_limit && exchange_takes_body(ex)) {
        exchange_refuse(ex, REFUSAL_BODY_TOO_LARGE);
        return;
    }
    if (ex->state == EXCHANGE_INSPECT) {
        inspect_body(ex, bytes);
        return;
    }
    if (!exchange_takes_body(ex)) /* answered early, or failed: what still comes is dropped */
        return;
    if (ex->body_chunked_up) {
        h1_chunk_write_size(&b, bytes.n);
        ok = outq_add(&ex->req_body, pool, buf_text(&b));
    }
    ok = ok && outq_add(&ex->req_body, pool, bytes);
    if (ex->body_chunked_up)
        ok = ok && outq_add(&ex->req_body, pool, STR("\r\n"));
    if (!ok) {
        exchange_answer_status(ex, 503, REFUSAL_NONE);
        return;
    }
    ex->body_paused = ex->state == EXCHANGE_ADMIT || ex->req_body.bytes > EXCHANGE_QUEUE_HIGH;
    if (ex->state == EXCHANGE_COLLECT)
        look_at_collected(ex);
    else if (ex->req_body.bytes > CHUNK_BYTES)
        exchange_request_flush(ex);
}

void exchange_request_end(struct exchange *ex, const struct http_field *trailers, unsigned count)
{
    ex->body_done = true;
    if (ex->state == EXCHANGE_INSPECT) {
        inspect_body_end(ex, trailers, count);
        return;
    }
    if (!exchange_takes_body(ex))
        return;
    if (ex->tunnel) { /* to be told to the upstream when all is sent: see upstream_tunnel_ready */
        loop_defer(ex->proxy->loop, &ex->up->again);
        return;
    }
    if (ex->body_chunked_up && !write_last_chunk(ex, trailers, count)) {
        exchange_answer_status(ex, 502, REFUSAL_NONE);
        return;
    }
    if (ex->state == EXCHANGE_COLLECT)
        look_at_collected(ex);
    else if (ex->admit.end_waits)
        ask_for_end(ex);
    else
        exchange_request_flush(ex);
}

void exchange_abort(struct exchange *ex)
{
    inspect_cancel(ex);
    if (ex->state >= EXCHANGE_INSPECT && ex->state <= EXCHANGE_ANSWER) {
        ex->state = EXCHANGE_BROKEN;
        ex->event.flags |= ACCESS_CLIENT_ABORT;
        if (!ex->is_probe)
            COUNT(ex->proxy, client_aborts_total);
    }
    if (ex->up)
        upstream_detach(ex);
    admit_abandon(ex);
}

void exchange_answer_drained(struct exchange *ex)
{
    if (inspect_holds_answer(ex)) /* nothing of it is with the client yet */
        return;
    ex->answer_paused = false;
    if (ex->up)
        upstream_resume(ex);
}

/* ---- from the upstream */

void exchange_upstream_connected(struct exchange *ex)
{
    upstream_send(ex);
}

static void upgrade_answered(struct exchange *ex)
{
    ex->tunnel = true;
    ex->answer_begun = true;
    ex->state = EXCHANGE_ANSWER;
    outq_clear(&ex->up_head, &ex->proxy->chunks);
    admit_answered(ex);
    ex->side->head(ex);
    tunnel_begin(ex);
}

static void begin_answer(struct exchange *ex)
{
    outq_clear(&ex->up_head, &ex->proxy->chunks);
    ex->answer_begun = true;
    ex->state = EXCHANGE_ANSWER;
    ex->side->head(ex);
}

void exchange_upstream_head(struct exchange *ex)
{
    if (ex->resp.status == 101) {
        upgrade_answered(ex);
        return;
    }
    if (ex->resp.status < 200) {
        if (ex->resp.status != 100)
            ex->side->interim(ex);
        return;
    }
    uint64_t us = loop_now_us(ex->proxy->loop) - ex->began_us;
    ex->event.upstream_us = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    admit_answered(ex);
    if (ex->admit.end_waits) { /* it did not wait for it */
        admit_leave(ex);
        exchange_request_flush(ex);
    }
    classes_answered(ex);
    if (!inspect_answer_head(ex))
        begin_answer(ex);
}

static void pass_body(struct exchange *ex, struct str bytes)
{
    ex->event.bytes_out += bytes.n;
    ex->side->body(ex, bytes);
    if (ex->side->queued(ex) > EXCHANGE_QUEUE_HIGH)
        ex->answer_paused = true;
}

void exchange_upstream_body(struct exchange *ex, struct str bytes)
{
    if (inspect_holds_answer(ex))
        inspect_answer_body(ex, bytes);
    else
        pass_body(ex, bytes);
    admit_passes_body(ex);
}

static void end_answer(struct exchange *ex, const struct http_field *trailers, unsigned count)
{
    ex->state = EXCHANGE_DONE;
    if (!ex->body_done)
        ex->close_client = true;
    if (ex->body_paused) { /* nobody waits for the rest of the body: let it come and be dropped */
        ex->body_paused = false;
        ex->side->read_more(ex);
    }
    ex->side->end(ex, trailers, count);
}

/* The last call of an upstream connection on this exchange: it is detached, and ex may be gone afterwards. */
void exchange_upstream_end(struct exchange *ex, const struct http_field *trailers, unsigned count)
{
    must(!ex->up);
    admit_leave(ex);
    if (inspect_holds_answer(ex))
        inspect_answer_end(ex, trailers, count);
    else
        end_answer(ex, trailers, count);
}

void exchange_answer_inspected(struct exchange *ex, struct str body, bool is_whole,
                               const struct http_field *trailers, unsigned count)
{
    ex->answer_paused = false;
    begin_answer(ex);
    if (body.n)
        pass_body(ex, body);
    if (is_whole) {
        end_answer(ex, trailers, count);
        return;
    }
    if (ex->up && !ex->answer_paused)
        upstream_resume(ex);
    ex->side->flush(ex);
}

static bool may_spend_retry(struct exchange *ex)
{
    const struct config_upstream *u = ex->pool->config;
    if (ex->retries >= u->max_retries)
        return false;
    if (admit_retry_take(ex))
        return true;
    COUNT(ex->proxy, upstream_retries_refused_total);
    return false;
}

void exchange_upstream_failed(struct exchange *ex, uint16_t status, bool may_retry)
{
    must(!ex->up);
    if (ex->answer_begun) {
        ex->state = EXCHANGE_BROKEN;
        ex->side->broken(ex);
        return;
    }
    if (may_retry && !ex->body_started && may_spend_retry(ex)) {
        ex->retries++;
        ex->admit.sent_us = 0;
        COUNT(ex->proxy, upstream_retries_total);
        upstream_attach(ex);
        return;
    }
    COUNT(ex->proxy, upstream_errors_total);
    if (status == 504)
        admit_timed_out(ex);
    exchange_answer_status(ex, status, REFUSAL_NONE);
}
