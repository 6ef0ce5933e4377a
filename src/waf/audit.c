/* waf/audit.c - one record: what was asked, what was decided, which rules matched on what.
 *
 *  1. A record never grows over WAF_AUDIT_BYTES_MAX: each match is written aside and taken over only when it
 *     fits before the end of the record, whose length is known.
 *  2. Names of fields are those of the Elastic Common Schema 8.11, and "polder." for what that has none for.
 */
#include "waf/audit.h"

#include "base/mask.h"
#include "base/must.h"
#include "base/utc.h"
#include "waf/rules.h"
#include "json/writer.h"

enum {
    NAME_BYTES = 128, /* of cluster, listener and route */
    PATH_BYTES = 240, /* as in an access event */
    METHOD_BYTES = 16,
    MESSAGE_BYTES = 200,
    TAGS_MAX = 8,
    TAG_BYTES = 48,
    MATCH_BYTES = 2048, /* of one match, all of its parts at their longest and escaped */
    TAIL_BYTES = 64,    /* behind the matches */
};

static const struct rule *rule_of(const struct waf_rules *rules, const struct waf_match *m)
{
    return m->rule < rules->count ? rules->items[m->rule] : NULL;
}

bool waf_audit_is_due(const struct waf_verdict *v)
{
    if (v->action != WAF_PASS || v->limit != WAF_WITHIN_LIMITS)
        return true;
    for (size_t i = 0; i < v->match_count; i++)
        if (v->matches[i].is_logged)
            return true;
    return false;
}

bool waf_audit_would_block(const struct waf_rules *rules, const struct waf_verdict *v)
{
    for (size_t i = 0; i < v->match_count; i++) {
        const struct rule *r = rule_of(rules, &v->matches[i]);
        if (r && (r->decision == DECIDE_DENY || r->decision == DECIDE_DROP))
            return true;
    }
    return v->action != WAF_PASS || v->limit != WAF_WITHIN_LIMITS;
}

/* ---- words */

static struct str mode_word(enum waf_mode mode)
{
    return mode == WAF_BLOCK ? STR("block") : mode == WAF_DETECT ? STR("detect") : STR("off");
}

static struct str limit_word(enum waf_limit limit)
{
    switch (limit) {
    case WAF_LIMIT_BODY:
        return STR("body");
    case WAF_LIMIT_ARGUMENTS:
        return STR("arguments");
    case WAF_LIMIT_DEPTH:
        return STR("depth");
    case WAF_LIMIT_MEMORY:
        return STR("memory");
    case WAF_WITHIN_LIMITS:
        break;
    }
    return STR("");
}

static struct str action_word(const struct waf_audit *a)
{
    if (a->verdict->action != WAF_PASS)
        return STR("blocked");
    if (a->verdict->limit != WAF_WITHIN_LIMITS)
        return STR("refused");
    return waf_audit_would_block(a->rules, a->verdict) ? STR("detected") : STR("passed");
}

static struct str severity_word(uint8_t severity)
{
    static const char *const words[] = {"emergency", "alert",  "critical", "error",
                                        "warning",   "notice", "info",     "debug"};
    return severity < sizeof words / sizeof *words ? str_of(words[severity]) : STR("");
}

/* ---- one match */

/* What made the rule fire, as the Core Rule Set's rules say it in their logdata; only used to find the place
 * in the value. */
static struct str matched_part(const struct waf_match *m)
{
    static const struct str before = {"Matched Data: ", 14}, behind = {" found within ", 14};
    if (!str_starts(m->data, before))
        return STR_NONE;
    struct str part = str_skip(m->data, before.n);
    ptrdiff_t end = str_find(part, behind);
    return end > 0 ? str_take(part, (size_t)end) : STR_NONE;
}

static bool is_small_number(struct str s)
{
    uint64_t value;
    return s.n <= 5 && str_parse_u64(s, &value);
}

/* In clear when the operator asked for it, or nothing in it can be about a person: names of formats and
 * programs, counts ("&ARGS") and what rules count themselves (TX). */
static bool may_be_clear(const struct waf_match *m, bool is_asked_for)
{
    if (is_asked_for || waf_target_is_technical(m->target))
        return true;
    return (str_starts(m->target, STR("&")) || str_starts(m->target, STR("TX:"))) &&
           is_small_number(m->value);
}

static void put_excerpt(struct json_writer *w, const struct waf_match *m, bool is_asked_for)
{
    char text[WAF_EXCERPT_BYTES_MAX];
    struct buf masked = buf_over(text, sizeof text);
    struct str part = matched_part(m), window = waf_excerpt_window(m->value, part);
    if (!m->value.n)
        return;
    if (may_be_clear(m, is_asked_for))
        buf_str(&masked, is_asked_for ? window : mask_citizen_numbers(window, window.n < m->value.n, text));
    else
        waf_mask_value(&masked, m->value, part);
    json_put_str(w, STR("excerpt"), buf_text(&masked));
    json_put_u64(w, STR("excerpt_from"), (uint64_t)(window.p - m->value.p));
    json_put_u64(w, STR("value_bytes"), m->value.n);
}

static bool is_worth_showing(struct str tag)
{
    static const char *const empty[] = {"application-", "language-", "platform-", "OWASP_CRS", "PCI/"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++)
        if (str_starts(tag, str_of(empty[i])))
            return false;
    return true;
}

static void put_tags(struct json_writer *w, const struct rule *r)
{
    unsigned count = 0;
    json_put_array(w, STR("tags"));
    for (size_t i = 0; i < r->tag_count && count < TAGS_MAX; i++) {
        if (!is_worth_showing(r->tags[i]))
            continue;
        json_str(w, str_take(r->tags[i], TAG_BYTES));
        count++;
    }
    json_array_end(w);
}

static void write_match(struct buf *out, const struct waf_audit *a, const struct waf_match *m)
{
    const struct rule *r = rule_of(a->rules, m);
    char text[256];
    struct buf target = buf_over(text, sizeof text);
    struct json_writer w = json_writer_over(out);
    waf_mask_target(&target, m->target);
    json_object_begin(&w);
    json_put_u64(&w, STR("rule"), m->rule_id);
    json_put_u64(&w, STR("phase"), m->phase);
    if (r) {
        json_put_str(&w, STR("message"), str_take(r->message.source, MESSAGE_BYTES));
        json_put_bool(&w, STR("decides"), r->decision == DECIDE_DENY || r->decision == DECIDE_DROP);
    }
    if (severity_word(m->severity).n)
        json_put_str(&w, STR("severity"), severity_word(m->severity));
    json_put_str(&w, STR("target"), buf_text(&target));
    put_excerpt(&w, m, a->clear);
    if (r)
        put_tags(&w, r);
    json_object_end(&w);
}

static void put_matches(struct json_writer *w, const struct waf_audit *a)
{
    const struct waf_verdict *v = a->verdict;
    uint64_t left_out = v->matches_left_out;
    json_put_array(w, STR("polder.waf.matches"));
    for (size_t i = 0; i < v->match_count; i++) {
        char memory[MATCH_BYTES];
        struct buf one = buf_over(memory, sizeof memory);
        if (!v->matches[i].is_logged)
            continue;
        write_match(&one, a, &v->matches[i]);
        if (buf_overflowed(&one) || w->out->n + one.n + TAIL_BYTES > WAF_AUDIT_BYTES_MAX)
            left_out++;
        else
            json_raw(w, buf_text(&one));
    }
    json_array_end(w);
    if (left_out)
        json_put_u64(w, STR("polder.waf.left_out"), left_out);
}

/* ---- the record */

static void put_text(struct json_writer *w, struct str key, struct str value, size_t max)
{
    if (value.n)
        json_put_str(w, key, str_take(value, max));
}

static void put_reference(struct json_writer *w, const struct waf_audit *a)
{
    char text[33];
    struct buf id = buf_over(text, sizeof text);
    buf_printf(&id, "%016llx%016llx", (unsigned long long)a->request_id[0],
               (unsigned long long)a->request_id[1]);
    json_put_str(w, STR("http.request.id"), buf_text(&id));
}

static void put_request(struct json_writer *w, const struct waf_audit *a)
{
    char masked[PATH_BYTES];
    put_reference(w, a);
    put_text(w, STR("polder.cluster"), a->cluster, NAME_BYTES);
    put_text(w, STR("polder.listener"), a->listener, NAME_BYTES);
    put_text(w, STR("polder.route"), a->route, NAME_BYTES);
    put_text(w, STR("source.ip"), a->client_ip, NAME_BYTES);
    put_text(w, STR("http.request.method"), a->method, METHOD_BYTES);
    put_text(w, STR("url.path"),
             mask_citizen_numbers(str_take(a->path, PATH_BYTES), a->path.n > PATH_BYTES, masked), PATH_BYTES);
    if (a->status)
        json_put_u64(w, STR("http.response.status_code"), a->status);
}

static void put_verdict(struct json_writer *w, const struct waf_audit *a)
{
    const struct waf_scores *s = &a->scores;
    json_put_str(w, STR("event.action"), action_word(a));
    json_put_str(w, STR("polder.waf.mode"), mode_word(a->mode));
    if (a->verdict->rule_id)
        json_put_u64(w, STR("polder.waf.rule"), a->verdict->rule_id);
    put_text(w, STR("polder.waf.limit"), limit_word(a->verdict->limit), NAME_BYTES);
    json_put_u64(w, STR("polder.waf.inbound_score"), s->inbound);
    json_put_u64(w, STR("polder.waf.inbound_threshold"), s->inbound_threshold);
    json_put_u64(w, STR("polder.waf.outbound_score"), s->outbound);
    json_put_u64(w, STR("polder.waf.outbound_threshold"), s->outbound_threshold);
    if (a->clear)
        json_put_bool(w, STR("polder.waf.clear"), true);
}

void waf_audit_write(struct buf *out, const struct waf_audit *a)
{
    char memory[WAF_AUDIT_BYTES_MAX];
    struct buf record = buf_over(memory, sizeof memory);
    struct json_writer w = json_writer_over(&record);
    json_object_begin(&w);
    json_key(&w, STR("@timestamp"));
    json_str_begin(&w);
    time_write_utc(&record, a->at_us);
    json_str_end(&w);
    json_put_str(&w, STR("ecs.version"), STR("8.11"));
    json_put_str(&w, STR("event.dataset"), STR("polder.waf"));
    put_request(&w, a);
    put_verdict(&w, a);
    put_matches(&w, a);
    json_object_end(&w);
    buf_char(&record, '\n');
    must(!buf_overflowed(&record)); /* the head is bounded, and the matches left room */
    buf_str(out, buf_text(&record));
}
