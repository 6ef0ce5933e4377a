#include "waf/tune.h"

#include "waf/audit.h"
#include "waf/patch.h"

#include <stdlib.h>

enum { MATCHES_MAX = 256, PROPOSALS_MAX = 512, CLIENTS_COUNTED = 100 };

/* ---- records */

static struct str text_of(const struct json_tape *t, uint32_t object, const char *key, struct arena *arena)
{
    uint32_t node = json_get(t, object, str_of(key));
    if (node == JSON_NONE || json_type(t, node) != JSON_STRING)
        return STR("");
    return json_string(t, node, arena);
}

static uint64_t number_of(const struct json_tape *t, uint32_t object, const char *key)
{
    uint64_t value = 0;
    uint32_t node = json_get(t, object, str_of(key));
    if (node != JSON_NONE)
        (void)json_get_u64(t, node, &value);
    return value;
}

static struct tune_match match_of(const struct json_tape *t, uint32_t node, struct arena *arena)
{
    uint32_t decides = json_get(t, node, STR("decides"));
    return (struct tune_match){.rule = number_of(t, node, "rule"),
                               .message = text_of(t, node, "message", arena),
                               .target = text_of(t, node, "target", arena),
                               .excerpt = text_of(t, node, "excerpt", arena),
                               .severity = text_of(t, node, "severity", arena),
                               .decides = decides != JSON_NONE && json_type(t, decides) == JSON_TRUE};
}

static bool read_matches(const struct json_tape *t, uint32_t record, struct arena *arena,
                         struct tune_record *ret)
{
    uint32_t list = json_get(t, record, STR("polder.waf.matches"));
    if (list == JSON_NONE || json_type(t, list) != JSON_ARRAY)
        return false;
    unsigned count = json_count(t, list) < MATCHES_MAX ? json_count(t, list) : MATCHES_MAX;
    struct tune_match *matches = arena_alloc(arena, (count + 1) * sizeof *matches);
    uint32_t at = json_first(t, list);
    for (unsigned i = 0; matches && i < count; i++, at = json_next(t, at)) {
        if (json_type(t, at) != JSON_OBJECT)
            return false;
        matches[i] = match_of(t, at, arena);
    }
    ret->matches = matches;
    ret->match_count = count;
    ret->left_out += json_count(t, list) - count;
    return matches != NULL;
}

bool tune_record_read(const struct json_tape *t, uint32_t node, struct arena *arena, struct tune_record *ret)
{
    if (json_type(t, node) != JSON_OBJECT)
        return false;
    *ret = (struct tune_record){.reference = text_of(t, node, "http.request.id", arena),
                                .cluster = text_of(t, node, "polder.cluster", arena),
                                .path = text_of(t, node, "url.path", arena),
                                .action = text_of(t, node, "event.action", arena),
                                .client = text_of(t, node, "source.ip", arena),
                                .score = number_of(t, node, "polder.waf.inbound_score"),
                                .threshold = number_of(t, node, "polder.waf.inbound_threshold"),
                                .left_out = number_of(t, node, "polder.waf.left_out")};
    uint64_t outbound = number_of(t, node, "polder.waf.outbound_score");
    uint64_t outbound_threshold = number_of(t, node, "polder.waf.outbound_threshold");
    if (outbound_threshold && outbound >= outbound_threshold && ret->score < ret->threshold) {
        ret->score = outbound;
        ret->threshold = outbound_threshold;
    }
    return ret->reference.n > 0 && read_matches(t, node, arena, ret);
}

/* ---- proposals */

static bool was_stopped(const struct tune_record *r)
{
    return str_eq(r->action, STR("blocked")) || str_eq(r->action, STR("detected"));
}

static bool sums_up(const struct tune_match *m)
{
    return str_starts(m->target, STR("TX:")) || str_starts(m->target, STR("&TX:"));
}

static bool is_of_patch(uint64_t rule)
{
    return rule >= WAF_PATCH_FIRST_RULE && rule <= WAF_PATCH_LAST_RULE;
}

/* A name that a rule can be given as it is: no pattern, no list. */
static bool can_be_named(struct str target)
{
    if (str_eq(target, STR("XML:/*")) || str_eq(target, STR("XML://@*")))
        return true;
    return waf_target_is_shown(target) && target.p[0] != '&' && str_find_char(target, '/') < 0 &&
           str_find_char(target, '*') < 0;
}

static enum tune_kind kind_of(const struct tune_match *m)
{
    if (is_of_patch(m->rule))
        return TUNE_PATCH;
    return can_be_named(m->target) ? TUNE_TARGET : TUNE_RULE;
}

static bool covers(const struct tune_proposal *p, const struct tune_match *m)
{
    return p->rule == m->rule && (p->kind != TUNE_TARGET || str_eq(p->target, m->target));
}

/* The proposal a match asks for, a new one if there was none; NULL: none. */
static struct tune_proposal *proposal_for(struct tune_proposal *all, unsigned *count,
                                          const struct tune_match *m)
{
    struct tune_proposal fresh = {.kind = kind_of(m),
                                  .rule = m->rule,
                                  .message = m->message,
                                  .target = m->target,
                                  .excerpt = m->excerpt};
    if (sums_up(m) || m->rule == 0)
        return NULL;
    for (unsigned i = 0; i < *count; i++)
        if (all[i].kind == fresh.kind && covers(&all[i], m))
            return &all[i];
    if (*count == PROPOSALS_MAX)
        return NULL;
    all[*count] = fresh;
    return &all[(*count)++];
}

static bool has_match_before(const struct tune_record *r, unsigned index, const struct tune_proposal *p)
{
    for (unsigned i = 0; i < index; i++)
        if (covers(p, &r->matches[i]))
            return true;
    return false;
}

static void gather(const struct tune_record *r, struct tune_proposal *all, unsigned *count)
{
    for (unsigned i = 0; i < r->match_count; i++) {
        struct tune_proposal *p = proposal_for(all, count, &r->matches[i]);
        if (!p || has_match_before(r, i, p))
            continue;
        if (p->requests == 0)
            p->path = r->path;
        else if (!str_eq(p->path, r->path))
            p->path = STR("");
        p->requests++;
    }
}

static bool record_has(const struct tune_record *r, const struct tune_proposal *p)
{
    return has_match_before(r, r->match_count, p);
}

static void count_clients(const struct tune_record *records, unsigned count, struct tune_proposal *p)
{
    struct str seen[CLIENTS_COUNTED];
    for (unsigned i = 0; i < count && p->clients < CLIENTS_COUNTED; i++) {
        bool is_new = record_has(&records[i], p);
        for (unsigned k = 0; is_new && k < p->clients; k++)
            is_new = !str_eq(seen[k], records[i].client);
        if (is_new)
            seen[p->clients++] = records[i].client;
    }
}

/* ---- what else */

/* As crs-setup.conf counts by severity. */
static uint64_t score_of(const struct tune_match *m)
{
    static const struct {
        const char *word;
        unsigned score;
    } scores[] = {{"critical", 5}, {"error", 4}, {"warning", 3}, {"notice", 2}};
    for (unsigned i = 0; i < sizeof scores / sizeof *scores; i++)
        if (str_eq(m->severity, str_of(scores[i].word)))
            return scores[i].score;
    return 0;
}

enum outcome { PASSES, STAYS_BLOCKED, UNKNOWN };

static enum outcome without(const struct tune_record *r, const struct tune_proposal *p)
{
    uint64_t taken = 0;
    bool decided_alone = false;
    for (unsigned i = 0; i < r->match_count; i++) {
        const struct tune_match *m = &r->matches[i];
        if (covers(p, m))
            taken += score_of(m);
        else if (m->decides && !sums_up(m))
            decided_alone = true; /* another rule stops it, whatever the score */
    }
    if (decided_alone)
        return STAYS_BLOCKED;
    if (r->threshold && r->score >= r->threshold &&
        r->score - (taken < r->score ? taken : r->score) >= r->threshold)
        return r->left_out ? UNKNOWN : STAYS_BLOCKED;
    return PASSES;
}

static void look_back(const struct tune_record *records, unsigned count, struct tune_proposal *p)
{
    for (unsigned i = 0; i < count; i++) {
        if (!was_stopped(&records[i]) || !record_has(&records[i], p))
            continue;
        enum outcome outcome = without(&records[i], p);
        if (outcome == PASSES &&
            p->would_pass < sizeof p->would_pass_references / sizeof *p->would_pass_references)
            p->would_pass_references[p->would_pass] = records[i].reference;
        *(outcome == PASSES ? &p->would_pass : outcome == UNKNOWN ? &p->uncertain : &p->still_blocked) += 1;
    }
}

static int by_requests(const void *a, const void *b)
{
    const struct tune_proposal *x = a, *y = b;
    if (x->requests != y->requests)
        return x->requests > y->requests ? -1 : 1;
    return x->rule < y->rule ? -1 : x->rule > y->rule ? 1 : str_compare(x->target, y->target);
}

struct tune_proposal *tune_propose(const struct tune_record *records, unsigned count, struct str reference,
                                   struct arena *arena, unsigned *ret_count)
{
    struct tune_proposal *all = arena_alloc(arena, PROPOSALS_MAX * sizeof *all);
    *ret_count = 0;
    if (!all)
        return NULL;
    for (unsigned i = 0; i < count; i++)
        if (was_stopped(&records[i]) && (!reference.n || str_eq(records[i].reference, reference)))
            gather(&records[i], all, ret_count);
    for (unsigned i = 0; i < *ret_count; i++) {
        count_clients(records, count, &all[i]);
        look_back(records, count, &all[i]);
    }
    qsort(all, *ret_count, sizeof *all, by_requests);
    return all;
}

/* ---- as rules */

void tune_write_exclusion(struct buf *out, const struct tune_proposal *p)
{
    if (p->kind == TUNE_TARGET)
        buf_printf(out, "SecRuleUpdateTargetById %llu \"!%.*s\"", (unsigned long long)p->rule,
                   STR_ARG(p->target));
    else if (p->kind == TUNE_RULE)
        buf_printf(out, "SecRuleRemoveById %llu", (unsigned long long)p->rule);
}

/* Nothing that would end the operator's text or begin a macro in it. */
static bool is_plain_path(struct str path)
{
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] <= ' ' || path.p[i] >= 0x7f || strchr("\"'\\%*", path.p[i]))
            return false;
    return path.n > 0;
}

void tune_write_path_rule(struct buf *out, const struct tune_proposal *p, uint64_t id)
{
    if (p->kind != TUNE_TARGET || !is_plain_path(p->path))
        return;
    buf_printf(out,
               "SecRule REQUEST_FILENAME \"@streq %.*s\" "
               "\"id:%llu,phase:1,pass,nolog,t:none,ctl:ruleRemoveTargetById=%llu;%.*s\"",
               STR_ARG(p->path), (unsigned long long)id, (unsigned long long)p->rule, STR_ARG(p->target));
}
