/* gate/observer_waf_answers.c - what `polder waf` and `polder patches` ask, and the firewall's part of status
 * and metrics. Commands: waf-top [CLUSTER], waf-explain REFERENCE, waf-records [CLUSTER|-] [SINCE_US],
 * waf-excerpts [masked | clear SECONDS REASON], patches. */
#include "gate/observer.h"

enum { TOP_ROWS = 1000, METRIC_ROWS = 200, REASON_MAX = 200 };

/* ---- hits of rules */

static struct str name_of_rule(const struct observer_waf *w, uint64_t id)
{
    for (unsigned i = 0; i < w->name_count; i++)
        if (w->names[i].id == id)
            return (struct str){w->names[i].text, w->names[i].length};
    return STR("");
}

/* The cluster in force that counts in that slot; empty: none (any more). */
static struct str cluster_of_slot(const struct observer *o, uint32_t slot)
{
    for (unsigned i = 0; o->current && slot != SHARED_NO_SLOT && i < o->current->config->cluster_count; i++)
        if (o->current->cluster_slots[i] == slot)
            return o->current->config->clusters[i].name;
    return STR("");
}

static void write_rule(const struct observer *o, struct json_writer *w, const struct rule_sum *sum,
                       struct str cluster)
{
    json_object_begin(w);
    json_put_str(w, STR("cluster"), cluster);
    json_put_u64(w, STR("rule"), sum->rule_id);
    json_put_str(w, STR("message"), name_of_rule(&o->waf, sum->rule_id));
    json_put_u64(w, STR("detected"), sum->detected);
    json_put_u64(w, STR("blocked"), sum->blocked);
    json_object_end(w);
}

static void answer_top(const struct observer *o, struct json_writer *w, struct str wanted)
{
    static struct rule_sum sums[TOP_ROWS];
    size_t n = o->shared.header ? shared_rule_sums(&o->shared, sums, TOP_ROWS) : 0;
    uint64_t overflow = 0;
    json_put_array(w, STR("rules"));
    for (size_t i = 0; i < n; i++) {
        struct str cluster = cluster_of_slot(o, sums[i].cluster_slot);
        if (sums[i].cluster_slot == SHARED_NO_SLOT)
            overflow += sums[i].detected + sums[i].blocked;
        else if (cluster.n && (!wanted.n || str_eq(wanted, cluster)))
            write_rule(o, w, &sums[i], cluster);
    }
    json_array_end(w);
    json_put_u64(w, STR("not_told_apart"), overflow);
}

/* ---- records */

static struct str record_text(const struct observer_waf *w, uint64_t k)
{
    const struct kept_record *record = &w->kept[k % KEPT_MAX];
    return (struct str){w->memory + record->at, record->n - 1}; /* without its line feed */
}

static void put_log_path(const struct observer *o, struct json_writer *w)
{
    if (o->current)
        json_put_str(w, STR("log"), o->current->config->gate.waf_log);
}

static void answer_explain(const struct observer *o, struct json_writer *w, struct str reference)
{
    const struct observer_waf *waf = &o->waf;
    put_log_path(o, w);
    for (uint64_t k = waf->end; k > waf->first; k--) {
        const struct kept_record *record = &waf->kept[(k - 1) % KEPT_MAX];
        if (!str_eq((struct str){record->reference, sizeof record->reference}, reference))
            continue;
        json_key(w, STR("record"));
        json_raw(w, record_text(waf, k - 1));
        return;
    }
}

static bool is_of(struct observer *o, struct str text, struct str cluster, uint64_t since_us)
{
    struct json_tape tape;
    if (json_parse(text, 8, o->waf.nodes, json_nodes_max(SHARED_AUDIT_RECORD_MAX), &tape, NULL) != JSON_FINE)
        return false;
    char since[40];
    struct buf moment = buf_over(since, sizeof since);
    time_write_utc(&moment, (int64_t)since_us);
    uint32_t at = json_get(&tape, 0, STR("@timestamp")), name = json_get(&tape, 0, STR("polder.cluster"));
    if (at == JSON_NONE || json_type(&tape, at) != JSON_STRING ||
        str_compare(json_text(&tape, at), buf_text(&moment)) < 0) /* one form, so text is in order of time */
        return false;
    return !cluster.n || (name != JSON_NONE && json_string_is(&tape, name, cluster));
}

static void answer_records(struct observer *o, struct json_writer *w, struct str cluster, struct str since)
{
    uint64_t since_us = 0;
    (void)str_parse_u64(since, &since_us);
    if (str_eq(cluster, STR("-")))
        cluster = STR("");
    put_log_path(o, w);
    json_put_array(w, STR("records"));
    for (uint64_t k = o->waf.first; k < o->waf.end; k++)
        if (is_of(o, record_text(&o->waf, k), cluster, since_us))
            json_raw(w, record_text(&o->waf, k));
    json_array_end(w);
}

/* ---- excerpts in clear */

static void put_excerpts(const struct observer *o, struct json_writer *w)
{
    uint64_t until = atomic_load_explicit(&o->shared.reader->excerpts_clear_until_ms, memory_order_relaxed);
    uint64_t now = loop_now_ms(o->loop);
    bool is_clear = shared_excerpts_are_clear(&o->shared, now);
    json_put_bool(w, STR("excerpts_clear"), is_clear);
    if (is_clear)
        json_put_u64(w, STR("excerpts_clear_s"), (until - now + 999) / 1000);
}

static void show_clear(struct observer *o, struct json_writer *w, struct str words, uid_t uid)
{
    uint64_t seconds = 0;
    struct str time = str_cut(&words, ' '), reason = str_take(str_trim(words), REASON_MAX);
    if (!str_parse_u64(time, &seconds) || seconds == 0 || seconds > SHARED_EXCERPTS_CLEAR_MS / 1000) {
        json_put_str(w, STR("error"),
                     STR("excerpts can be in clear for at least a second and at most 24 hours"));
        return;
    }
    if (!reason.n) {
        json_put_str(w, STR("error"), STR("say why excerpts are to be in clear: it is logged"));
        return;
    }
    shared_excerpts_set_clear(&o->shared, loop_now_ms(o->loop) + seconds * 1000);
    o->waf.is_clear = true;
    observer_say(o, EVENT_waf_excerpts_clear, "user %u asked for excerpts in clear for %llu s: %.*s",
                 (unsigned)uid, (unsigned long long)seconds, STR_ARG(reason));
    put_excerpts(o, w);
}

static void answer_excerpts(struct observer *o, struct json_writer *w, struct str words, uid_t uid)
{
    struct str what = str_cut(&words, ' ');
    if (!o->shared.header) {
        json_put_str(w, STR("error"), STR("the gate has not come up yet"));
    } else if (str_eq(what, STR("clear"))) {
        show_clear(o, w, words, uid);
    } else if (what.n && !str_eq(what, STR("masked"))) {
        json_put_str(w, STR("error"), STR("waf-excerpts takes masked, or clear SECONDS REASON"));
    } else {
        if (what.n)
            shared_excerpts_set_clear(&o->shared, 0); /* the watch says so in the event log */
        put_excerpts(o, w);
    }
}

/* ---- virtual patches */

struct str patch_state_word(enum patch_state state)
{
    static const char *const words[PATCH_STATE_COUNT] = {[PATCH_UNTESTED] = "not tested yet",
                                                         [PATCH_EFFECTIVE] = "effective",
                                                         [PATCH_NOT_EFFECTIVE] = "not effective",
                                                         [PATCH_CANNOT_TELL] = "cannot tell"};
    return str_of(words[state < PATCH_STATE_COUNT ? state : PATCH_UNTESTED]);
}

void patch_reason_write(struct buf *out, const struct waf_patch *patch, const struct patch_result *result)
{
    struct str request = result->request < patch->block_count + patch->pass_count
                             ? patch->requests[result->request].name
                             : STR("?");
    switch (result->reason) {
    case PATCH_LET_THROUGH:
        buf_printf(
            out,
            "its request '%.*s' is let through; look whether exclusions, or the mode of a route, take its "
            "rules away",
            STR_ARG(request));
        break;
    case PATCH_STOPPED:
        buf_printf(
            out,
            "its regular request '%.*s' is stopped; look with `polder waf top` which rule does that, and "
            "exclude it",
            STR_ARG(request));
        break;
    case PATCH_MODE_DETECT:
        BUF_LIT(out, "the cluster's mode is detect; set it to block");
        break;
    case PATCH_MODE_OFF:
        BUF_LIT(out, "the cluster's mode is off; set it to block");
        break;
    case PATCH_EXCLUDED:
        BUF_LIT(out, "the cluster does without it (patch_exceptions)");
        break;
    case PATCH_NO_ROUTE:
        buf_printf(out, "the cluster has no route for its regular request '%.*s'", STR_ARG(request));
        break;
    case PATCH_BUSY:
        BUF_LIT(out, "there was no memory for the test; a reload repeats it");
        break;
    case PATCH_FINE:
    case PATCH_REASON_COUNT:
        break;
    }
}

bool observed_patch_result(const struct observer *o, unsigned cluster, unsigned patch,
                           struct patch_result *ret)
{
    if (!o->current || !o->shared.header)
        return false;
    return shared_patch_get(&o->shared, o->current->cluster_slots[cluster], patch,
                            (uint32_t)o->current->generation, ret);
}

static void write_in_cluster(const struct observer *o, struct json_writer *w, unsigned cluster,
                             unsigned patch)
{
    char text[512];
    struct buf reason = buf_over(text, sizeof text);
    struct patch_result result = {.state = PATCH_UNTESTED};
    bool is_tested = observed_patch_result(o, cluster, patch, &result);
    json_object_begin(w);
    json_put_str(w, STR("cluster"), o->current->config->clusters[cluster].name);
    json_put_str(w, STR("state"), patch_state_word(result.state));
    if (is_tested) {
        patch_reason_write(&reason, &o->current->patches[patch], &result);
        json_put_str(w, STR("reason"), buf_text(&reason));
        json_key(w, STR("at"));
        json_str_begin(w);
        time_write_utc(w->out, result.at_us);
        json_str_end(w);
    }
    json_object_end(w);
}

static void answer_patches(const struct observer *o, struct json_writer *w)
{
    const struct config *config = o->current ? o->current->config : NULL;
    json_put_array(w, STR("patches"));
    for (unsigned p = 0; config && p < config->waf.patch_count; p++) {
        const struct waf_patch *patch = &o->current->patches[p];
        json_object_begin(w);
        json_put_str(w, STR("id"), patch->id);
        json_put_str(w, STR("title"), patch->title);
        json_put_str(w, STR("severity"), patch->severity);
        json_put_str(w, STR("file"), patch->path);
        json_put_u64(w, STR("must_block"), patch->block_count);
        json_put_u64(w, STR("must_pass"), patch->pass_count);
        json_put_array(w, STR("clusters"));
        for (unsigned c = 0; c < config->cluster_count; c++)
            write_in_cluster(o, w, c, p);
        json_array_end(w);
        json_object_end(w);
    }
    json_array_end(w);
}

/* ---- the commands */

bool observer_waf_command(struct observer *o, struct str command, uid_t uid, struct buf *out)
{
    struct str words = command, name = str_cut(&words, ' ');
    struct json_writer w = json_writer_over(out);
    bool is_records = str_eq(name, STR("waf-records"));
    json_object_begin(&w);
    if (str_eq(name, STR("waf-top")))
        answer_top(o, &w, str_trim(words));
    else if (str_eq(name, STR("waf-explain")))
        answer_explain(o, &w, str_trim(words));
    else if (str_eq(name, STR("waf-excerpts")))
        answer_excerpts(o, &w, words, uid);
    else if (str_eq(command, STR("patches")))
        answer_patches(o, &w);
    else if (!is_records)
        return false;
    if (is_records) {
        struct str cluster = str_cut(&words, ' ');
        answer_records(o, &w, cluster, words);
    }
    json_object_end(&w);
    buf_char(out, '\n');
    return true;
}

/* ---- status and metrics */

static void count_patches(const struct observer *o, uint64_t ret[PATCH_STATE_COUNT])
{
    const struct config *config = o->current->config;
    for (unsigned c = 0; c < config->cluster_count; c++)
        for (unsigned p = 0; p < config->waf.patch_count; p++) {
            struct patch_result result;
            ret[observed_patch_result(o, c, p, &result) ? result.state : PATCH_UNTESTED]++;
        }
}

void observer_waf_write_status(const struct observer *o, struct json_writer *w)
{
    uint64_t patches[PATCH_STATE_COUNT] = {0};
    json_put_object(w, STR("waf"));
    json_put_bool(w, STR("configured"), o->current && o->current->config->waf.is_set);
    json_put_u64(w, STR("records"), o->waf.records);
    json_put_u64(w, STR("records_kept"), o->waf.end - o->waf.first);
    if (o->shared.header)
        put_excerpts(o, w);
    if (o->current) {
        count_patches(o, patches);
        json_put_object(w, STR("patches"));
        json_put_u64(w, STR("effective"), patches[PATCH_EFFECTIVE]);
        json_put_u64(w, STR("not_effective"), patches[PATCH_NOT_EFFECTIVE]);
        json_put_u64(w, STR("cannot_tell"), patches[PATCH_CANNOT_TELL]);
        json_put_u64(w, STR("not_tested"), patches[PATCH_UNTESTED]);
        json_object_end(w);
    }
    json_object_end(w);
}

static void write_hits(struct buf *out, struct str cluster, const struct rule_sum *sum, const char *outcome,
                       uint64_t value)
{
    BUF_LIT(out, "polder_waf_rule_hits_total{cluster=");
    metric_write_value(out, cluster);
    buf_printf(out, ",rule=\"%llu\",outcome=\"%s\"} %llu\n", (unsigned long long)sum->rule_id, outcome,
               (unsigned long long)value);
}

static void write_rule_hits(const struct observer *o, struct buf *out)
{
    static struct rule_sum sums[METRIC_ROWS];
    size_t n = shared_rule_sums(&o->shared, sums, METRIC_ROWS);
    uint64_t overflow = 0;
    metric_write_head(out, "waf_rule_hits_total", "counter",
                      STR("Requests in which a rule matched; the 200 most frequent ones."));
    for (size_t i = 0; i < n; i++) {
        struct str cluster = cluster_of_slot(o, sums[i].cluster_slot);
        if (sums[i].cluster_slot == SHARED_NO_SLOT)
            overflow = sums[i].detected + sums[i].blocked;
        if (!cluster.n)
            continue;
        write_hits(out, cluster, &sums[i], "detected", sums[i].detected);
        write_hits(out, cluster, &sums[i], "blocked", sums[i].blocked);
    }
    metric_write_head(out, "waf_rule_hits_untold_total", "counter",
                      STR("Hits of rules that found no place of their own."));
    buf_printf(out, "polder_waf_rule_hits_untold_total %llu\n", (unsigned long long)overflow);
}

static void write_patch_metrics(const struct observer *o, struct buf *out)
{
    const struct config *config = o->current->config;
    metric_write_head(out, "patch_effective", "gauge",
                      STR("1 when a replay showed it to be effective, 0 when it did not."));
    for (unsigned c = 0; c < config->cluster_count; c++)
        for (unsigned p = 0; p < config->waf.patch_count; p++) {
            struct patch_result result;
            if (!observed_patch_result(o, c, p, &result) || result.state == PATCH_CANNOT_TELL)
                continue;
            BUF_LIT(out, "polder_patch_effective{cluster=");
            metric_write_value(out, config->clusters[c].name);
            BUF_LIT(out, ",patch=");
            metric_write_value(out, o->current->patches[p].id);
            buf_printf(out, "} %d\n", result.state == PATCH_EFFECTIVE);
        }
}

void observer_waf_write_metrics(const struct observer *o, struct buf *out)
{
    metric_write_head(out, "waf_records_total", "counter", STR("Records of the firewall."));
    buf_printf(out, "polder_waf_records_total %llu\n", (unsigned long long)o->waf.records);
    metric_write_head(out, "waf_records_broken_total", "counter", STR("Records that were none."));
    buf_printf(out, "polder_waf_records_broken_total %llu\n", (unsigned long long)o->waf.broken);
    if (!o->current || !o->shared.header)
        return;
    write_rule_hits(o, out);
    write_patch_metrics(o, out);
}
