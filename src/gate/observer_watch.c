/* gate/observer_watch.c - the event log: what changed with roles, configuration, endpoints, and what clients
 * do that is no normal use. One line a change, never one a request. */
#include "gate/observer.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    FLOOD_EVERY_MS = 10'000,
    CERTIFICATE_DAYS = 14,
    NEWS_MS = 5'000, /* what a new observer is told and is older than this, the last one has logged */
};

static bool is_news(const struct observer *o, uint64_t since_ms)
{
    return since_ms + NEWS_MS >= (uint64_t)loop_wall_us(o->loop) / 1000;
}

static const struct {
    struct str name, level;
} events[LOG_EVENT_COUNT] = {
#define LOG_EVENT_ROW(name, level, help) {STR(#name), STR(#level)},
#include "gate/log_events.def"
#undef LOG_EVENT_ROW
};

void event_line_write(struct buf *out, const struct event_line *line)
{
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    json_key(&w, STR("@timestamp"));
    json_str_begin(&w);
    time_write_utc(out, line->at_us);
    json_str_end(&w);
    json_put_str(&w, STR("ecs.version"), STR("8.11"));
    json_put_str(&w, STR("event.dataset"), STR("polder.gate"));
    json_put_str(&w, STR("event.action"), events[line->event].name);
    json_put_str(&w, STR("log.level"), events[line->event].level);
    json_put_str(&w, STR("message"), line->message);
    if (line->pid)
        json_put_u64(&w, STR("process.pid"), line->pid);
    const struct {
        struct str key, value;
    } texts[] = {{STR("polder.role"), line->role},
                 {STR("polder.cluster"), line->cluster},
                 {STR("polder.upstream"), line->upstream},
                 {STR("polder.endpoint"), line->endpoint}};
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].value.n)
            json_put_str(&w, texts[i].key, texts[i].value);
    json_object_end(&w);
    buf_char(out, '\n');
}

void observer_log(struct observer *o, const struct event_line *line)
{
    char memory[LOG_LINE_MAX];
    struct buf out = buf_over(memory, sizeof memory);
    struct event_line now = *line;
    now.at_us = loop_wall_us(o->loop);
    event_line_write(&out, &now);
    if (!buf_overflowed(&out))
        log_out_line(&o->event_log, buf_text(&out));
    log_out_flush(&o->event_log); /* rare, and wanted at once */
}

void observer_say(struct observer *o, enum log_event event, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args); /* cut where it is too long */
    va_end(args);
    observer_log(o, &(struct event_line){.event = event, .message = str_of(text)});
}

/* ---- roles */

static bool comes_before(const struct observed_role *r, enum role role, unsigned slot)
{
    return r->role < role || (r->role == role && r->slot < slot);
}

/* The row of that role, a new one in its order if there was none; NULL: the table is full. */
static struct observed_role *find_role(struct observer *o, enum role role, unsigned slot)
{
    unsigned at = 0;
    while (at < o->role_count && comes_before(&o->roles[at], role, slot))
        at++;
    struct observed_role *r = &o->roles[at];
    if (at < o->role_count && r->role == role && r->slot == slot)
        return r;
    if (o->role_count == OBSERVED_ROLES_MAX)
        return NULL;
    memmove(r + 1, r, (o->role_count - at) * sizeof *r);
    *r = (struct observed_role){.role = role, .slot = slot};
    o->role_count++;
    return r;
}

static void log_role(struct observer *o, const struct observed_role *r, uint32_t pid)
{
    static const enum log_event of_run[ROLE_RUN_COUNT] = {
        [ROLE_RUN_STARTING] = EVENT_role_starting, [ROLE_RUN_UP] = EVENT_role_up,
        [ROLE_RUN_DRAINING] = EVENT_role_draining, [ROLE_RUN_STOPPED] = EVENT_role_stopped,
        [ROLE_RUN_DIED] = EVENT_role_died,
    };
    char text[320];
    struct buf out = buf_over(text, sizeof text);
    struct str role = role_name(r->role), run = role_run_name(r->run), detail = {r->detail, r->detail_len};
    buf_str(&out, role);
    if (r->role == ROLE_WORKER || r->role == ROLE_DIALER)
        buf_printf(&out, " %u", r->slot);
    buf_printf(&out, " (pid %u) %s%.*s", pid,
               r->run == ROLE_RUN_UP || r->run == ROLE_RUN_DRAINING ? "is " : "", STR_ARG(run));
    if (detail.n) {
        BUF_LIT(&out, ": ");
        buf_str(&out, detail);
    }
    observer_log(o, &(struct event_line){
                        .event = of_run[r->run], .message = buf_text(&out), .role = role, .pid = pid});
}

void observer_role_state(struct observer *o, const struct msg_role_state *m)
{
    struct observed_role *r = find_role(o, (enum role)m->role, m->slot);
    if (!r || m->state >= ROLE_RUN_COUNT)
        return;
    bool is_change = r->pid != m->pid || r->run != (enum role_run)m->state;
    uint32_t pid = m->pid ? m->pid : r->pid; /* of one that died: which one it was */
    r->run = (enum role_run)m->state;
    r->pid = m->pid;
    r->restarts = m->restarts;
    r->walls = m->walls;
    r->since_ms = m->since_ms;
    r->detail_len = m->detail_len < sizeof r->detail ? m->detail_len : sizeof r->detail;
    memcpy(r->detail, m->detail, r->detail_len);
    if (is_change && is_news(o, m->since_ms))
        log_role(o, r, pid);
}

/* ---- configuration */

static void warn_of_certificates(struct observer *o)
{
    int64_t now_s = loop_wall_us(o->loop) / 1'000'000;
    for (unsigned i = 0; o->current && i < o->current->config->certificate_count; i++) {
        const struct observed_certificate *c = &o->current->certificates[i];
        int64_t days = (c->not_after_s - now_s) / 86'400;
        if (c->not_after_s == 0 || days > CERTIFICATE_DAYS)
            continue;
        if (c->not_after_s <= now_s)
            observer_say(o, EVENT_certificate_expires, "the certificate %.*s has expired", STR_ARG(c->name));
        else
            observer_say(o, EVENT_certificate_expires, "the certificate %.*s expires in %lld days",
                         STR_ARG(c->name), (long long)days);
    }
}

void observer_config_state(struct observer *o, const struct msg_config_state *m)
{
    struct str error = {(const char *)m->error, m->error_len};
    bool is_new_error = error.n && !str_eq(error, buf_text(&o->config_error));
    bool is_new = o->config_generation != m->generation;
    o->config_generation = m->generation;
    o->config_since_ms = m->since_ms;
    memset(o->config_digest, 0, sizeof o->config_digest);
    memcpy(o->config_digest, m->digest,
           m->digest_len < sizeof o->config_digest ? m->digest_len : sizeof o->config_digest);
    o->config_error = buf_over(o->config_error_memory, sizeof o->config_error_memory);
    buf_str(&o->config_error, error);
    if (is_new_error)
        observer_log(o, &(struct event_line){.event = EVENT_config_refused, .message = error});
    if (!is_new || !is_news(o, m->since_ms))
        return;
    observer_say(o, EVENT_config_loaded, "configuration %llu is in force", (unsigned long long)m->generation);
    warn_of_certificates(o);
}

/* ---- endpoints */

static void log_endpoint(struct observer *o, const struct observed_endpoint *e, enum log_event event,
                         const char *what)
{
    char text[512], place[256];
    struct buf out = buf_over(text, sizeof text), where = buf_over(place, sizeof place);
    buf_str(&where, str_take(e->endpoint->host, 240));
    buf_char(&where, ':');
    buf_u64(&where, e->endpoint->port);
    buf_str(&out, buf_text(&where));
    BUF_LIT(&out, " of upstream ");
    buf_str(&out, str_take(e->upstream->name, 100));
    buf_str(&out, str_of(what));
    observer_log(o, &(struct event_line){.event = event,
                                         .message = buf_text(&out),
                                         .upstream = e->upstream->name,
                                         .endpoint = buf_text(&where)});
}

static void watch_endpoint(struct observer *o, struct observed_endpoint *e, uint64_t now_ms)
{
    const struct shared_endpoint *state = shared_endpoint(&o->shared, e->slot);
    uint32_t health = atomic_load_explicit(&state->health, memory_order_relaxed);
    bool is_ejected = atomic_load_explicit(&state->ejected_until_ms, memory_order_relaxed) > now_ms;
    if (health != e->seen_health) {
        if (health == ENDPOINT_DOWN)
            log_endpoint(o, e, EVENT_endpoint_down, " fails its checks");
        else if (e->seen_health == ENDPOINT_DOWN)
            log_endpoint(o, e, EVENT_endpoint_up, " answers its checks");
        e->seen_health = health;
    }
    if (is_ejected != e->seen_ejected) {
        log_endpoint(o, e, is_ejected ? EVENT_endpoint_ejected : EVENT_endpoint_returned,
                     is_ejected ? " failed requests in a row and is left out for a while"
                                : " gets requests again");
        e->seen_ejected = is_ejected;
    }
}

/* ---- floods */

static uint64_t rise(uint64_t *seen, uint64_t now)
{
    uint64_t by = now > *seen ? now - *seen : 0;
    *seen = now;
    return by;
}

static void watch_floods(struct observer *o, uint64_t now_ms)
{
    if (o->flood_reported_ms && now_ms - o->flood_reported_ms < FLOOD_EVERY_MS)
        return;
    uint64_t floods = rise(&o->seen_floods, shared_counter_sum(&o->shared, COUNTER_h2_floods_total));
    uint64_t refused =
        rise(&o->seen_refused, shared_counter_sum(&o->shared, COUNTER_connections_refused_total));
    uint64_t lost = rise(&o->seen_lost, shared_counter_sum(&o->shared, COUNTER_events_lost_total));
    if (floods || refused)
        observer_say(o, EVENT_flood,
                     "%llu HTTP/2 connections ended because of floods, %llu connections refused",
                     (unsigned long long)floods, (unsigned long long)refused);
    if (lost)
        observer_say(o, EVENT_events_lost, "%llu requests are missing in the access log",
                     (unsigned long long)lost);
    if (floods || refused || lost)
        o->flood_reported_ms = now_ms;
}

void observer_watch(struct observer *o)
{
    uint64_t now_ms = loop_now_ms(o->loop);
    if (!o->shared.header)
        return;
    watch_floods(o, now_ms);
    observer_waf_watch(o);
    for (unsigned i = 0; o->current && i < o->current->config->endpoint_count; i++)
        if (o->current->endpoints[i].slot != SHARED_NO_SLOT)
            watch_endpoint(o, &o->current->endpoints[i], now_ms);
}
