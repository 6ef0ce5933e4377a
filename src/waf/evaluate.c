/* The reference evaluator: every rule of a phase in order, every value of every target, every transformation
 * anew. Slow, and easy to check against the language's description; the fast engine is held against it.
 *
 *  1. Rules of a phase run in the order of the files; a marker only ends a skip.
 *  2. A chain matches when each of its links matched at least one value; links are tried in order.
 *  3. setvar, ctl and the like of a link run once for each value it matched, at once, whether or not the rest
 * of the chain matches; the decision is taken once for each value the last link matched.
 *  4. After a decision no further rule runs but those of phase 5. */
#include "waf/tx.h"

/* Does the operator hold for this text? Then what follows from it is done. */
static bool try_text(struct waf_tx *tx, const struct rule *link, const struct value *value, struct str text)
{
    struct operator_outcome outcome;
    struct str argument = macro_expand(tx, &link->argument, tx->scratch);
    bool holds =
        operator_run(link->op, &link->compiled, tx->rules->room, argument, text, tx->scratch, &outcome);
    tx->hit_regex_limit |= outcome.hit_limit;
    if (outcome.hit_limit)
        tx_set(tx, VAR_TX, STR("MSC_PCRE_LIMITS_EXCEEDED"), STR("1"));
    if (holds == link->is_negated)
        return false;
    if (link->has_capture && holds)
        outcome_captures(tx, &outcome);
    outcome_match(tx, link, value, text, false);
    return true;
}

/* multiMatch: the text as it came, and after every transformation that changed it. */
bool reference_try_value(struct waf_tx *tx, const struct rule *link, const struct value *value)
{
    struct str text = value->text;
    bool has_matched = false, is_new = true;
    tx_work(tx, text.n + 64);
    for (size_t i = 0; i < link->transformations.count; i++) {
        if (link->has_multi_match && is_new)
            has_matched |= try_text(tx, link, value, text);
        if (outcome_is_final(tx))
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

bool reference_run_link(struct waf_tx *tx, const struct rule *link)
{
    struct values values;
    bool has_matched = false;
    collect_values(tx, tx->head, link, &values);
    for (size_t i = 0; i < values.n && !outcome_is_final(tx); i++)
        has_matched |= reference_try_value(tx, link, &values.items[i]);
    return has_matched;
}

static bool run_chain(struct waf_tx *tx, const struct rule *head)
{
    outcome_begin_chain(tx, head);
    for (const struct rule *link = head; link; link = link->next) {
        outcome_begin_link(tx);
        bool has_matched = reference_run_link(tx, link);
        if (arena_overflowed(tx->arena) || arena_overflowed(tx->scratch))
            note_memory(tx);
        arena_reset(tx->scratch);
        if (!has_matched)
            return false;
        if (outcome_is_final(tx))
            return true;
    }
    return true;
}

void reference_run_phase(struct waf_tx *tx, uint8_t phase)
{
    const struct waf_rules *rules = tx->rules;
    tx->phase = phase;
    tx->is_phase_allowed = false;
    for (size_t i = 0; i < rules->count && !is_phase_over(tx); i++) {
        const struct rule *rule = rules->items[i];
        if (rule->is_marker || rule->phase != phase || is_removed(tx, rule))
            continue;
        if (run_chain(tx, rule) && rule->skip_to)
            i = rule->skip_to->index;
    }
}
