/* What follows when a value matches: captures, the steps of the link, the record, the decision. The same for
 * both engines. */
#include "waf/tx.h"

#include <stdlib.h>

enum { MATCHES_MAX = 1000 };

bool outcome_is_final(const struct waf_tx *tx)
{
    return tx->is_decided && tx->phase != 5;
}

/* ---- the record */

static void add_match(struct waf_tx *tx, const struct waf_match *match)
{
    struct waf_verdict *verdict = &tx->verdict;
    if (verdict->match_count == tx->match_cap) {
        size_t cap = tx->match_cap ? tx->match_cap * 2 : 128;
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

static struct str clipped_copy(struct waf_tx *tx, struct str text)
{
    return arena_copy(tx->arena, str_take(text, WAF_MATCH_TEXT_MAX));
}

static void record_match(struct waf_tx *tx)
{
    const struct rule *head = tx->head;
    if (tx->verdict.match_count == MATCHES_MAX) {
        tx->verdict.matches_left_out++;
        return;
    }
    add_match(tx, &(struct waf_match){
                      .rule_id = head->id,
                      .rule = head->index,
                      .phase = head->phase,
                      .severity = head->severity,
                      .is_logged = head->is_logged,
                      .is_audited = head->is_audited,
                      .message = macro_expand_some(tx, &head->message, tx->arena, WAF_MATCH_TEXT_MAX),
                      .data = macro_expand_some(tx, &head->data, tx->arena, WAF_MATCH_TEXT_MAX),
                      .target = value_full_name(&tx->last, tx->arena, WAF_MATCH_TEXT_MAX),
                      .value = clipped_copy(tx, tx->last.text),
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

/* ---- what matched */

void outcome_captures(struct waf_tx *tx, const struct operator_outcome *outcome)
{
    struct vars *vars = &tx->vars;
    if (!outcome->capture_count)
        return;
    for (unsigned i = 0; i < RX_CAPTURES; i++) {
        struct var *var = &vars->items[SLOT_CAPTURES + i];
        if (i < outcome->capture_count)
            var_set_text(vars, var, vars->slots->names[SLOT_CAPTURES + i], outcome->captures[i], false);
        else
            var_unset(var);
    }
}

/* A place for the last text that matched, used again by the next. */
static struct str keep(struct waf_tx *tx, struct str text)
{
    if (text.n > tx->kept_cap) {
        size_t cap = text.n + text.n / 2 + 64;
        char *kept = realloc(tx->kept, cap);
        if (!kept) {
            note_memory(tx);
            return STR_NONE;
        }
        tx->kept = kept;
        tx->kept_cap = cap;
    }
    if (text.n)
        memmove(tx->kept, text.p, text.n);
    return (struct str){text.n ? tx->kept : "", text.n};
}

/* Names of the store's records may go when another transaction needs a record; all others last. */
static bool name_lasts(enum variable variable)
{
    return variable != VAR_IP && variable != VAR_GLOBAL && variable != VAR_SESSION && variable != VAR_USER &&
           variable != VAR_RESOURCE;
}

void outcome_match(struct waf_tx *tx, const struct rule *link, const struct value *value, struct str text,
                   bool lasts)
{
    tx->last = *value;
    tx->last.text = lasts ? text : keep(tx, text);
    if (value->has_name && !name_lasts(value->variable))
        tx->last.name = arena_copy(tx->arena, value->name);
    tx->has_last = true;
    if (tx->head->keeps_matched)
        (void)pairs_add(&tx->matched, tx->arena, value_full_name(value, tx->arena, SIZE_MAX),
                        arena_copy(tx->arena, text));
    if (tx->head->severity < tx->highest_severity)
        tx->highest_severity = tx->head->severity;
    steps_run(tx, link);
    if (link->next)
        return;
    record_match(tx);
    decide(tx);
}

void outcome_begin_chain(struct waf_tx *tx, const struct rule *head)
{
    tx->head = head;
    tx->matched = (struct pairs){0};
}

void outcome_begin_link(struct waf_tx *tx)
{
    tx->matched_before = tx->matched;
    tx->matched = (struct pairs){0};
}

/* ---- what both engines ask */

void note_memory(struct waf_tx *tx)
{
    if (!tx->verdict.limit)
        tx->verdict.limit = WAF_LIMIT_MEMORY;
}

bool is_phase_over(const struct waf_tx *tx)
{
    if (tx->phase == 5)
        return tx->mode == WAF_OFF;
    return tx->mode == WAF_OFF || outcome_is_final(tx) || tx->is_phase_allowed || tx->is_allowed ||
           (tx->is_request_allowed && tx->phase <= 2) || arena_overflowed(tx->arena) ||
           arena_overflowed(tx->scratch);
}
