/* proxy/inspect_report.c - what an inspection found, in the one place that tells it: counters, rules, audit.
 */
#include "proxy/inspect_parts.h"

#include "waf/audit.h"

static uint32_t slot_of(const struct inspection *in)
{
    const struct exchange *ex = in->ex;
    return ex->snapshot->cluster_slots[ex->cluster->index];
}

static bool was_blocked(const struct inspection *in)
{
    enum http_refusal why = (enum http_refusal)in->ex->event.refusal;
    return why == REFUSAL_WAF_BLOCKED || why == REFUSAL_WAF_ANSWER;
}

static bool was_limited(const struct inspection *in)
{
    return in->is_over_limit || in->is_unreadable || in->decoded > INFLATE_DONE ||
           (in->tx && waf_tx_verdict(in->tx).limit);
}

static enum inspect_outcome outcome_of(const struct inspection *in)
{
    if (was_blocked(in))
        return INSPECT_BLOCKED;
    if (was_limited(in))
        return INSPECT_LIMITED;
    const struct waf_verdict v = in->tx ? waf_tx_verdict(in->tx) : (struct waf_verdict){0};
    bool is_detected = v.match_count && waf_audit_would_block(inspect_rules_of(in->ex->snapshot->rules), &v);
    return is_detected ? INSPECT_DETECTED : INSPECT_PASSED;
}

static void count(const struct inspection *in)
{
    struct proxy *p = in->ex->proxy;
    enum inspect_outcome outcome = outcome_of(in);
    shared_count_inspection(p->counts, slot_of(in), outcome, in->spent_us);
    if (outcome == INSPECT_BLOCKED)
        COUNT(p, waf_blocked_total);
    if (outcome == INSPECT_LIMITED)
        COUNT(p, waf_limited_total);
    if (outcome == INSPECT_DETECTED)
        COUNT(p, waf_detected_total);
}

static void count_rules(const struct inspection *in, const struct waf_verdict *v)
{
    struct proxy *p = in->ex->proxy;
    for (size_t i = 0; i < v->match_count; i++)
        if (waf_audit_counts(v, i))
            shared_count_rule(p->shared, p->slot, slot_of(in), v->matches[i].rule_id, was_blocked(in));
}

static struct waf_audit audit_of(struct inspection *in, const struct waf_verdict *v)
{
    const struct exchange *ex = in->ex;
    const struct access_event *e = &ex->event;
    return (struct waf_audit){
        .request_id = {ex->id[0], ex->id[1]},
        .at_us = e->at_us,
        .cluster = ex->cluster->name,
        .listener = ex->client->listener->config->name,
        .route = ex->route->path,
        .client_ip = {ex->client->ip_text, ex->client->ip_text_n},
        .method = {e->method, e->method_len},
        .path = {e->path, e->path_len},
        .mode = in->mode == WAF_MODE_BLOCK ? WAF_BLOCK : WAF_DETECT,
        .status = ex->answer_begun ? ex->resp.status : 0,
        .scores = waf_tx_scores(in->tx),
        .rules = inspect_rules_of(ex->snapshot->rules),
        .verdict = v,
        .clear = shared_excerpts_are_clear(ex->proxy->shared, loop_now_ms(ex->proxy->loop)),
    };
}

void inspect_report(struct inspection *in)
{
    struct proxy *p = in->ex->proxy;
    if (in->ex->is_probe)
        return;
    count(in);
    if (!in->tx)
        return;
    const struct waf_verdict v = waf_tx_verdict(in->tx);
    const struct waf_audit audit = audit_of(in, &v);
    if (!waf_audit_is_due(&v))
        return;
    count_rules(in, &v);
    char record[WAF_AUDIT_BYTES_MAX];
    struct buf b = buf_over(record, sizeof record);
    waf_audit_write(&b, &audit);
    shared_audit_push(p->shared, p->slot, buf_text(&b));
}
