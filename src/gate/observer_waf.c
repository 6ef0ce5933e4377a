/* gate/observer_waf.c - records of the firewall, from the workers' rings into the log and, the last of them,
 * into memory; and what the event log has to know about the firewall.
 *
 * What comes out of a ring was written by a worker that a stranger may have taken over: it is taken for a
 * record only when it is one JSON object in one line, with a reference as the gate makes them. */
#include "gate/observer.h"

#include <stdlib.h>

enum { RECORDS_PER_DRAIN = 1024, RECORD_DEPTH = 8, REASON_BYTES = 400 };

bool observer_waf_init(struct observer *o)
{
    struct observer_waf *w = &o->waf;
    w->memory = malloc(KEPT_BYTES);
    w->kept = calloc(KEPT_MAX, sizeof *w->kept);
    w->names = calloc(RULE_NAMES_MAX, sizeof *w->names);
    w->nodes = calloc(json_nodes_max(SHARED_AUDIT_RECORD_MAX), sizeof *w->nodes);
    return w->memory && w->kept && w->names && w->nodes;
}

void observer_waf_done(struct observer *o)
{
    free(o->waf.memory);
    free(o->waf.kept);
    free(o->waf.names);
    free(o->waf.nodes);
}

/* ---- in memory: a record never lies over the end, and the oldest make room */

static bool overlaps(const struct kept_record *k, uint32_t at, uint32_t n)
{
    return k->at < at + n && at < k->at + k->n;
}

static void keep(struct observer_waf *w, struct str record, struct str reference)
{
    uint32_t n = (uint32_t)record.n;
    if (KEPT_BYTES - w->write_at < n)
        w->write_at = 0;
    while (w->first < w->end &&
           (w->end - w->first == KEPT_MAX || overlaps(&w->kept[w->first % KEPT_MAX], w->write_at, n)))
        w->first++;
    struct kept_record *k = &w->kept[w->end++ % KEPT_MAX];
    *k = (struct kept_record){.at = w->write_at, .n = n};
    memcpy(k->reference, reference.p, sizeof k->reference);
    memcpy(w->memory + k->at, record.p, n);
    w->write_at += n;
}

/* ---- names of rules, as their records say them */

static bool has_name(const struct observer_waf *w, uint64_t id)
{
    for (unsigned i = 0; i < w->name_count; i++)
        if (w->names[i].id == id)
            return true;
    return false;
}

static void note_name(struct observer_waf *w, const struct json_tape *t, uint32_t match)
{
    uint64_t id;
    uint32_t message = json_get(t, match, STR("message"));
    if (w->name_count == RULE_NAMES_MAX || message == JSON_NONE || json_type(t, message) != JSON_STRING ||
        !json_get_u64(t, json_get(t, match, STR("rule")), &id) || has_name(w, id))
        return;
    char text[SHARED_AUDIT_RECORD_MAX];
    struct buf said = buf_over(text, sizeof text);
    json_string_write(t, message, &said);
    struct rule_name *name = &w->names[w->name_count++];
    struct str cut = str_take(buf_text(&said), sizeof name->text);
    name->id = id;
    name->length = (unsigned)cut.n;
    memcpy(name->text, cut.p, cut.n);
}

static void note_names(struct observer_waf *w, const struct json_tape *t)
{
    uint32_t matches = json_get(t, 0, STR("polder.waf.matches"));
    if (matches == JSON_NONE || json_type(t, matches) != JSON_ARRAY)
        return;
    uint32_t i = json_first(t, matches);
    for (uint32_t n = json_count(t, matches); n > 0; n--, i = json_next(t, i))
        if (json_type(t, i) == JSON_OBJECT)
            note_name(w, t, i);
}

/* ---- taking */

static bool is_reference(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return s.n == sizeof((struct kept_record *)NULL)->reference;
}

static bool is_one_line(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ')
            return false;
    return s.n > 0;
}

bool observer_waf_take(struct observer *o, struct str record)
{
    struct observer_waf *w = &o->waf;
    struct json_tape tape;
    struct str text = str_ends(record, STR("\n")) ? str_take(record, record.n - 1) : STR("");
    if (!is_one_line(text) || record.n > SHARED_AUDIT_RECORD_MAX ||
        json_parse(text, RECORD_DEPTH, w->nodes, json_nodes_max(SHARED_AUDIT_RECORD_MAX), &tape, NULL) !=
            JSON_FINE ||
        json_type(&tape, 0) != JSON_OBJECT)
        return false;
    uint32_t id = json_get(&tape, 0, STR("http.request.id"));
    if (id == JSON_NONE || json_type(&tape, id) != JSON_STRING || !is_reference(json_text(&tape, id)))
        return false;
    note_names(w, &tape);
    keep(w, record, json_text(&tape, id));
    w->records++;
    log_out_line(&w->log, record);
    return true;
}

static void drain_slot(struct observer *o, unsigned slot)
{
    char record[SHARED_AUDIT_RECORD_MAX];
    for (unsigned i = 0; i < RECORDS_PER_DRAIN && log_out_has_room(&o->waf.log); i++) {
        bool is_broken;
        size_t n = shared_audit_take(&o->shared, slot, record, &is_broken);
        if (is_broken || (n > 0 && !observer_waf_take(o, (struct str){record, n})))
            o->waf.broken++;
        if (n == 0)
            return;
    }
}

void observer_waf_drain(struct observer *o)
{
    for (unsigned slot = 0; slot < o->shared.worker_count; slot++)
        drain_slot(o, slot);
    log_out_flush(&o->waf.log);
}

/* ---- events */

static void watch_excerpts(struct observer *o)
{
    bool is_clear = shared_excerpts_are_clear(&o->shared, loop_now_ms(o->loop));
    if (o->waf.is_clear && !is_clear)
        observer_say(o, EVENT_waf_excerpts_masked, "excerpts in the firewall's records are masked again");
    o->waf.is_clear = is_clear;
}

static void watch_losses(struct observer *o)
{
    uint64_t lost = shared_counter_sum(&o->shared, COUNTER_waf_audit_lost_total);
    if (lost > o->waf.seen_lost)
        observer_say(o, EVENT_waf_records_lost, "%llu records of the firewall are missing in its log",
                     (unsigned long long)(lost - o->waf.seen_lost));
    o->waf.seen_lost = lost;
}

static void tell_patch(struct observer *o, const struct config_cluster *c, const struct waf_patch *patch,
                       const struct patch_result *result)
{
    char text[REASON_BYTES + 256];
    struct buf message = buf_over(text, sizeof text);
    buf_printf(&message, "the virtual patch %.*s is not effective in cluster %.*s: ", STR_ARG(patch->id),
               STR_ARG(c->name));
    patch_reason_write(&message, patch, result);
    observer_log(o, &(struct event_line){.event = EVENT_patch_not_effective,
                                         .message = buf_text(&message),
                                         .cluster = c->name});
}

/* Of what an operator chose (the mode, an exception) the event log says nothing. */
static bool is_news(const struct patch_result *r)
{
    return r->reason == PATCH_LET_THROUGH || r->reason == PATCH_STOPPED;
}

static void watch_patches(struct observer *o)
{
    const struct config *config = o->current ? o->current->config : NULL;
    for (unsigned c = 0; config && c < config->cluster_count; c++) {
        for (unsigned p = 0; p < config->waf.patch_count; p++) {
            struct patch_result result;
            bool *told = &o->current->patch_told[c * config->waf.patch_count + p];
            if (*told || !observed_patch_result(o, c, p, &result))
                continue;
            *told = true;
            if (is_news(&result))
                tell_patch(o, &config->clusters[c], &o->current->patches[p], &result);
        }
    }
}

void observer_waf_watch(struct observer *o)
{
    watch_excerpts(o);
    watch_losses(o);
    watch_patches(o);
}
