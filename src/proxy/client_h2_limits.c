/* proxy/client_h2_limits.c - what a client may not do however well-formed it is: flood, stall, crawl.
 *
 * Floods are legal frames in illegal numbers; they end the connection with ENHANCE_YOUR_CALM. Stalls end the
 * stream (or its request, with 408), looked at once a second. */
#include "admission/budget.h"
#include "proxy/classes.h"
#include "proxy/h2.h"

enum {
    TICK_MS = 1000,
    MINUTE_MS = 60'000,
    CHEAP_FRAMES_PER_MINUTE = 60'000, /* that only cost their parsing */
    BYTES_PER_WINDOW_UPDATE = 512,    /* a client that takes much may say so often */
    BODY_GRACE_MS = 6000,
    DROPPING_MS = 3000,
};

/* ---- floods */

void h2_flooded(struct h2_conn *h)
{
    if (h->flooded)
        return;
    h->flooded = true;
    COUNT(h->client->proxy, h2_floods_total);
    classes_note(h->client, CLASSES_FLOOD);
    nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

unsigned h2_streams_allowed(const struct h2_conn *h)
{
    const struct client *c = h->client;
    unsigned pressure = admission_pressure(admit_core(c->proxy)), most = client_limits(c)->h2_streams;
    if (pressure == 0) /* there is room for all */
        return most;
    return admission_streams((enum admission_class)c->class, pressure, most);
}

/* Streams are cheap to open, and the queue of an application is everybody's: where others wait too, one
 * connection has only so many there. */
bool client_h2_may_wait(struct exchange *ex)
{
    struct client *c = ex->client;
    unsigned waiting = 0;
    for (struct list *at = c->h2->streams.next; at != &c->h2->streams; at = at->next)
        waiting += container_of(at, struct h2_stream, node)->ex->state == EXCHANGE_ADMIT;
    unsigned most = admission_streams((enum admission_class)ex->admit.class,
                                      admission_pressure(admit_core(c->proxy)), client_limits(c)->h2_streams);
    return waiting <= most || waiting >= admit_waiting(ex);
}

void client_h2_refuse(struct exchange *ex)
{
    COUNT(ex->proxy, h2_streams_refused_total);
    h2_reset(ex->stream, NGHTTP2_REFUSED_STREAM);
}

/* It became known, or suspect, or the gate has too much to do. */
static void say_streams(struct h2_conn *h, unsigned allowed)
{
    const nghttp2_settings_entry setting = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, allowed};
    if (h->streams_said != allowed &&
        nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, &setting, 1) == 0)
        h->streams_said = allowed;
}

bool h2_may_begin(struct h2_stream *s)
{
    struct h2_conn *h = s->conn;
    unsigned allowed = h2_streams_allowed(h);
    say_streams(h, allowed);
    if (h->client->class == ADMISSION_BLOCKED)
        nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
    else if (h->stream_count <= allowed)
        return true;
    COUNT(h->client->proxy, h2_streams_refused_total);
    h2_reset(s, NGHTTP2_REFUSED_STREAM);
    return false;
}

static void begin_minute(struct h2_conn *h)
{
    uint64_t now = loop_now_ms(h->client->proxy->loop);
    if (now - h->minute_began_ms < MINUTE_MS)
        return;
    h->minute_began_ms = now;
    h->bytes_sent = 0;
    h->resets = h->controls = h->window_updates = 0;
}

static void judge(struct h2_conn *h)
{
    const struct config_limits *limits = client_limits(h->client);
    if (h->resets > limits->h2_resets_per_minute || h->controls > limits->h2_control_frames_per_minute ||
        h->window_updates > CHEAP_FRAMES_PER_MINUTE + h->bytes_sent / BYTES_PER_WINDOW_UPDATE)
        h2_flooded(h);
}

/* Late trailers of a stream that the gate reset may come; nghttp2 unpacks them and hands them to nobody. */
static bool is_for_nobody(const struct h2_conn *h, const nghttp2_frame_hd *hd)
{
    return hd->stream_id <= nghttp2_session_get_last_proc_stream_id(h->session) &&
           !nghttp2_session_find_stream(h->session, hd->stream_id);
}

/* CONTINUATION is bounded by nghttp2 for each head (8 frames), and by the size of a head. */
void h2_count_frame(struct h2_conn *h, const nghttp2_frame_hd *hd)
{
    begin_minute(h);
    switch (hd->type) {
    case NGHTTP2_DATA:
    case NGHTTP2_CONTINUATION:
        return;
    case NGHTTP2_HEADERS:
        h->resets += is_for_nobody(h, hd);
        break;
    case NGHTTP2_RST_STREAM:
        h->resets++;
        break;
    case NGHTTP2_PING: /* an acknowledgement too: nothing was asked */
    case NGHTTP2_SETTINGS:
        h->controls++;
        break;
    default: /* WINDOW_UPDATE, PRIORITY, kinds that are not known here */
        h->window_updates++;
    }
    judge(h);
}

void h2_count_empty_data(struct h2_conn *h)
{
    h->controls++;
    judge(h);
}

/* A client can have its streams reset without a reset of its own, by breaking a rule on each (CVE-2025-8671):
 * that counts as if it had. */
void h2_count_end(struct h2_conn *h, const nghttp2_frame *frame)
{
    struct proxy *p = h->client->proxy;
    uint32_t code =
        frame->hd.type == NGHTTP2_GOAWAY ? frame->goaway.error_code : frame->rst_stream.error_code;
    if (code == NGHTTP2_NO_ERROR || code == NGHTTP2_INTERNAL_ERROR || code == NGHTTP2_CANCEL ||
        code == NGHTTP2_CONNECT_ERROR || code == NGHTTP2_REFUSED_STREAM)
        return;
    if (code != NGHTTP2_ENHANCE_YOUR_CALM) {
        COUNT(p, h2_errors_total);
    } else if (!h->flooded) { /* nghttp2 saw it by itself */
        h->flooded = true;
        COUNT(p, h2_floods_total);
    }
    if (frame->hd.type == NGHTTP2_GOAWAY)
        return;
    begin_minute(h);
    h->resets++;
    judge(h);
}

/* ---- time */

void h2_watch(struct h2_conn *h)
{
    if (h->ticking)
        return;
    h->ticking = true;
    client_set_timeout(h->client, TICK_MS);
}

/* Streams share the rate that is asked of a connection: behind a slow line many of them crawl. */
static bool is_too_slow(const struct h2_stream *s, uint64_t bytes, uint64_t elapsed_ms)
{
    const struct config_limits *limits = client_limits(s->conn->client);
    return limits->min_body_rate_bps && elapsed_ms > BODY_GRACE_MS &&
           bytes * 1000 / elapsed_ms * s->conn->stream_count < limits->min_body_rate_bps;
}

static bool stands_still(const struct h2_stream *s, uint64_t since_ms, uint64_t now)
{
    uint32_t limit = client_limits(s->conn->client)->stall_timeout_ms;
    return limit && now - since_ms >= limit;
}

static bool request_stalls(const struct h2_stream *s, uint64_t now)
{
    bool waits = !s->ended && exchange_takes_body(s->ex) && !s->ex->body_paused && !s->answer_ended;
    return waits &&
           (stands_still(s, s->came_ms, now) || is_too_slow(s, s->ex->body_received, now - s->began_ms));
}

/* A stream whose own window is shut answers for itself; otherwise it may be waiting for its turn. While the
 * socket takes nothing the limits of the connection apply: see client_transfer_too_slow. */
static bool answer_stalls(const struct h2_stream *s, uint64_t now)
{
    const struct h2_conn *h = s->conn;
    if (s->out.bytes == 0 || h->client->transfer_waits)
        return false;
    bool is_shut = nghttp2_session_get_stream_remote_window_size(h->session, s->id) <= 0;
    uint64_t since = is_shut || h->left_ms < s->left_ms ? s->left_ms : h->left_ms;
    return stands_still(s, since, now) || is_too_slow(s, s->left_since, now - s->wait_began_ms);
}

static bool tunnel_is_idle(const struct h2_stream *s, uint64_t now)
{
    uint32_t limit = client_limits(s->conn->client)->tunnel_idle_timeout_ms;
    uint64_t moved = s->came_ms > s->left_ms ? s->came_ms : s->left_ms;
    return limit && now - moved >= limit;
}

static void count_timeout(struct h2_stream *s)
{
    COUNT(s->ex->proxy, timeouts_total);
    s->came_ms = s->left_ms = s->began_ms = s->wait_began_ms = loop_now_ms(s->ex->proxy->loop);
}

/* False: its head does not end, and behind it nothing else can come: the connection is over. */
static bool look_after(struct h2_stream *s, uint64_t now)
{
    const struct config_limits *limits = client_limits(s->conn->client);
    if (!s->begun) {
        if (!limits->header_timeout_ms || now - s->came_ms < limits->header_timeout_ms)
            return true;
        count_timeout(s);
        shared_count_refusal(s->ex->proxy->counts, REFUSAL_HEADER_TIMEOUT);
        return false;
    }
    if (s->answered_ms) {
        if (now - s->answered_ms >= DROPPING_MS)
            h2_reset(s, NGHTTP2_NO_ERROR);
    } else if (s->ex->tunnel ? tunnel_is_idle(s, now) : answer_stalls(s, now)) {
        count_timeout(s);
        h2_reset(s, NGHTTP2_CANCEL);
    } else if (!s->ex->tunnel && request_stalls(s, now)) {
        count_timeout(s);
        h2_refuse_body(s, REFUSAL_BODY_TIMEOUT);
    }
    return true;
}

static void look_after_streams(struct h2_conn *h, uint64_t now)
{
    bool goes_on = true;
    for (struct list *node = h->streams.next; node != &h->streams && goes_on; node = node->next)
        goes_on = look_after(container_of(node, struct h2_stream, node), now);
    if (!goes_on)
        nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* The next look: in a second while anything is under way, else when the connection was idle for long enough.
 */
static void set_timer(struct h2_conn *h, uint64_t now)
{
    uint32_t idle_ms = client_limits(h->client)->idle_timeout_ms;
    uint64_t idle = now - h->idle_since_ms;
    h->ticking = h->stream_count > 0 || h->client->transfer_waits || h->shutdown_noticed || idle >= idle_ms;
    client_set_timeout(h->client, h->ticking ? TICK_MS : idle_ms - (uint32_t)idle);
}

void client_h2_timeout(struct client *c)
{
    struct h2_conn *h = c->h2;
    uint64_t now = loop_now_ms(c->proxy->loop);
    bool idle = h->stream_count == 0 && now - h->idle_since_ms >= client_limits(c)->idle_timeout_ms;
    if (c->transfer_waits && client_transfer_too_slow(c)) {
        COUNT(c->proxy, timeouts_total);
        client_close(c);
        return;
    }
    if (h->shutdown_noticed && !h->goaway_sent) {
        h->goaway_sent = true;
        nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR, NULL, 0);
    } else if (idle || (h->shutdown_noticed && h->stream_count == 0)) {
        nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
    }
    look_after_streams(h, now);
    set_timer(h, now);
    client_h2_ready(c);
}
