/* The reference evaluator: every rule of a phase in order, every value of every target, every transformation
 * anew. Slow, and easy to check against the language's description; the fast engine is held against it.
 *
 *  1. Rules of a phase run in the order of the files; a marker only ends a skip.
 *  2. A chain matches when each of its links matched at least one value; links are tried in order.
 *  3. setvar, ctl and the like of a link run once for each value it matched, at once, whether or not the rest
 * of the chain matches; the decision is taken once for each value the last link matched.
 *  4. After a decision no further rule runs but those of phase 5. */
#include "waf/tx.h"

enum { MATCHES_MAX = 1000 };

/* Once there is a decision only phase 5 goes on: it tells what happened and decides nothing. */
static bool has_stopped(const struct waf_tx *tx)
{
    return tx->is_decided && tx->phase != 5;
}

static void add_match(struct waf_tx *tx, const struct waf_match *match)
{
    struct waf_verdict *verdict = &tx->verdict;
    if (verdict->match_count == MATCHES_MAX) {
        verdict->matches_left_out++;
        return;
    }
    if (verdict->match_count == tx->match_cap) {
        size_t cap = tx->match_cap ? tx->match_cap * 2 : 16;
        struct waf_match *matches = arena_alloc(tx->arena, cap * sizeof *matches);
        if (!matches) {
            verdict->matches_left_out++;
            return;
        }
        if (verdict->match_count)
            memcpy(matches, tx->matches, verdict->match_count * sizeof *matches);
        tx->matches = matches;
        tx->match_cap = cap;
        verdict->matches = matches;
    }
    tx->matches[verdict->match_count++] = *match;
}

static void record_match(struct waf_tx *tx)
{
    const struct rule *head = tx->head;
    add_match(tx, &(struct waf_match){
                      .rule_id = head->id,
                      .rule = head->index,
                      .phase = head->phase,
                      .severity = head->severity,
                      .is_logged = head->is_logged,
                      .is_audited = head->is_audited,
                      .message = macro_expand(tx, &head->message, tx->arena),
                      .data = macro_expand(tx, &head->data, tx->arena),
                      .target = tx->matched_name,
                      .value = tx->matched_value,
                  });
}

static void decide(struct waf_tx *tx)
{
    const struct rule *head = tx->head;
    switch (head->decision) {
    case DECIDE_DENY:
    case DECIDE_DROP:
        if (tx->mode != WAF_BLOCK || tx->phase == 5)
            return;
        tx->is_decided = true;
        tx->verdict.action = head->decision == DECIDE_DENY ? WAF_DENY : WAF_DROP;
        tx->verdict.status = head->status;
        tx->verdict.rule_id = head->id;
        return;
    case DECIDE_ALLOW:
        tx->is_allowed = tx->mode == WAF_BLOCK;
        return;
    case DECIDE_ALLOW_PHASE:
        tx->is_phase_allowed = tx->mode == WAF_BLOCK;
        return;
    case DECIDE_ALLOW_REQUEST:
        tx->is_request_allowed = tx->mode == WAF_BLOCK;
        return;
    case DECIDE_UNSET:
    case DECIDE_PASS:
    case DECIDE_BLOCK:
        return;
    }
}

static void store_captures(struct waf_tx *tx, const struct operator_outcome *outcome)
{
    static const char digits[RX_CAPTURES] = "0123456789";
    if (!outcome->capture_count)
        return;
    for (unsigned i = 0; i < RX_CAPTURES; i++) {
        struct str name = {&digits[i], 1};
        if (i < outcome->capture_count)
            vars_set(tx, VAR_TX, name, outcome->captures[i]);
        else
            vars_unset(tx, VAR_TX, name);
    }
}

static void on_match(struct waf_tx *tx, const struct rule *link, const struct value *value, struct str text)
{
    tx->matched_name = value_full_name(value, tx->arena);
    tx->matched_value = arena_copy(tx->arena, text);
    (void)pairs_add(&tx->matched, tx->arena, tx->matched_name, tx->matched_value);
    if (tx->head->severity < tx->highest_severity)
        tx->highest_severity = tx->head->severity;
    steps_run(tx, link);
    if (link->next)
        return;
    record_match(tx);
    decide(tx);
}

/* Does the operator hold for this text? Then what follows from it is done. */
static bool try_text(struct waf_tx *tx, const struct rule *link, const struct value *value, struct str text)
{
    struct operator_outcome outcome;
    struct str argument = macro_expand(tx, &link->argument, tx->scratch);
    bool holds =
        operator_run(link->op, &link->compiled, tx->rules->room, argument, text, tx->scratch, &outcome);
    tx->hit_regex_limit |= outcome.hit_limit;
    if (outcome.hit_limit)
        vars_set(tx, VAR_TX, STR("MSC_PCRE_LIMITS_EXCEEDED"), STR("1"));
    if (holds == link->is_negated)
        return false;
    if (link->has_capture && holds)
        store_captures(tx, &outcome);
    on_match(tx, link, value, text);
    return true;
}

/* multiMatch: the text as it came, and after every transformation that changed it. */
static bool try_value(struct waf_tx *tx, const struct rule *link, const struct value *value)
{
    struct str text = value->text;
    bool has_matched = false, is_new = true;
    for (size_t i = 0; i < link->transformations.count; i++) {
        if (link->has_multi_match && is_new)
            has_matched |= try_text(tx, link, value, text);
        if (has_stopped(tx))
            return true;
        struct str next = transform((enum transformation)link->transformations.items[i], text,
                                    tx->rules->unicode, tx->scratch);
        is_new = !str_eq(next, text);
        text = next;
    }
    if (!link->has_multi_match || is_new)
        has_matched |= try_text(tx, link, value, text);
    return has_matched;
}

static bool run_link(struct waf_tx *tx, const struct rule *link)
{
    struct values values;
    bool has_matched = false;
    tx->matched_before = tx->matched;
    tx->matched = (struct pairs){0};
    collect_values(tx, tx->head, link, &values);
    for (size_t i = 0; i < values.n && !has_stopped(tx); i++)
        has_matched |= try_value(tx, link, &values.items[i]);
    return has_matched;
}

static bool has_overflowed(const struct waf_tx *tx)
{
    return arena_overflowed(tx->arena) || arena_overflowed(tx->scratch);
}

static bool run_chain(struct waf_tx *tx, const struct rule *head)
{
    tx->head = head;
    tx->matched = (struct pairs){0};
    for (const struct rule *link = head; link; link = link->next) {
        bool has_matched = run_link(tx, link);
        if (has_overflowed(tx) && !tx->verdict.limit)
            tx->verdict.limit = WAF_LIMIT_MEMORY;
        arena_reset(tx->scratch);
        if (!has_matched)
            return false;
        if (has_stopped(tx))
            return true;
    }
    return true;
}

static bool is_removed(const struct waf_tx *tx, const struct rule *rule)
{
    return rule_set_has(&tx->removed, rule->index) || rule_set_has(&tx->overlay->removed, rule->index);
}

static bool is_over(const struct waf_tx *tx)
{
    if (tx->phase == 5)
        return tx->mode == WAF_OFF;
    return tx->mode == WAF_OFF || has_stopped(tx) || tx->is_phase_allowed || tx->is_allowed ||
           (tx->is_request_allowed && tx->phase <= 2) || has_overflowed(tx);
}

void run_phase(struct waf_tx *tx, uint8_t phase)
{
    const struct waf_rules *rules = tx->rules;
    tx->phase = phase;
    tx->is_phase_allowed = false;
    for (size_t i = 0; i < rules->count && !is_over(tx); i++) {
        const struct rule *rule = rules->items[i];
        if (rule->is_marker || rule->phase != phase || is_removed(tx, rule))
            continue;
        if (run_chain(tx, rule) && rule->skip_to)
            i = rule->skip_to->index;
    }
}
