/* The fast engine: the same rules in the same order as the reference, with less work. Rows that cannot match
 * are passed over (plan.h); of the others every value is tried, but each distinct text goes through a
 * transformation once, and a text in which the prefilter found no sign of the pattern is not given to the
 * operator.
 *
 *  1. What a row or a lane rules out, the reference would not match.
 *  2. Values come in the reference's order, and what follows from a match (outcome.c) is the same code.
 *  3. What may change while a link runs is left to the reference's own way.
 *  4. Without a prefilter, or without memory for what is remembered, verdicts are the same and cost more. */
#include "waf/gates.h"

/* ---- one text */

static bool finish_text(struct waf_tx *tx, const struct rule *link, const struct value *value,
                        struct str text, bool holds, const struct operator_outcome *outcome)
{
    tx->hit_regex_limit |= outcome->hit_limit;
    if (outcome->hit_limit)
        tx_set(tx, VAR_TX, STR("MSC_PCRE_LIMITS_EXCEEDED"), STR("1"));
    if (holds == link->is_negated)
        return false;
    if (link->has_capture && holds)
        outcome_captures(tx, outcome);
    outcome_match(tx, link, value, text, true);
    return true;
}

static bool try_text(struct waf_tx *tx, const struct rule *link, const struct value *value, uint32_t id)
{
    struct operator_outcome outcome;
    struct str argument = link->argument.source;
    if (link->argument.count)
        argument = macro_expand(tx, &link->argument, tx->scratch);
    bool holds = gated_run(tx, link, argument, id, &outcome);
    if (holds == link->is_negated && !outcome.hit_limit)
        return false;
    return finish_text(tx, link, value, texts_str(&tx->room->texts, id), holds, &outcome);
}

/* multiMatch: the text as it came, and after every transformation that changed it. */
static bool try_each_form(struct waf_tx *tx, const struct rule *link, const struct value *value, uint32_t id)
{
    bool has_matched = false, is_new = true;
    for (size_t i = 0; i < link->transformations.count; i++) {
        if (is_new)
            has_matched |= try_text(tx, link, value, id);
        if (outcome_is_final(tx))
            return true;
        uint32_t next = texts_transform(&tx->room->texts, id, link->transformations.items[i]);
        if (next == TEXT_NONE) {
            note_memory(tx);
            return has_matched;
        }
        is_new = !str_eq(texts_str(&tx->room->texts, next), texts_str(&tx->room->texts, id));
        id = next;
    }
    return is_new ? try_text(tx, link, value, id) || has_matched : has_matched;
}

static bool try_value(struct waf_tx *tx, const struct rule *link, const struct value *value, uint32_t id)
{
    if (id == TEXT_NONE)
        return reference_try_value(tx, link, value);
    if (link->has_multi_match)
        return try_each_form(tx, link, value, id);
    uint32_t whole = chain_run(&tx->rules->plan->chains[link->plan.chain].whole, &tx->room->texts, id);
    return whole == TEXT_NONE ? reference_try_value(tx, link, value) : try_text(tx, link, value, whole);
}

/* ---- all texts of a link */

/* What is known beforehand about a link's texts. */
struct sieve {
    const struct chain *chain;
    const struct lane *lane; /* NULL: nothing */
    uint32_t number, pattern;
    uint32_t mark;    /* of texts that are known not to match */
    byte_kinds kinds; /* one of which a list must have; KINDS_ANY: no telling */
};

static struct sieve sieve_for(struct waf_tx *tx, const struct rule *link)
{
    const struct plan *plan = tx->rules->plan;
    struct sieve sieve = {.chain = &plan->chains[link->plan.chain],
                          .pattern = link->plan.pattern,
                          .mark = texts_new_mark(&tx->room->texts),
                          .kinds = link->is_negated || link->has_multi_match ? KINDS_ANY : gate_kinds(link)};
    if (!plan->prefilter || link->plan.pattern == PATTERN_NONE || link->has_multi_match ||
        !prefilter_selects(plan->prefilter, link->plan.pattern))
        return sieve;
    sieve.number = link->plan.lane;
    lane_scan(tx, sieve.number);
    sieve.lane = &plan->lanes[sieve.number];
    return sieve;
}

static inline bool may_match(struct waf_tx *tx, const struct sieve *sieve, uint32_t id)
{
    if (id == TEXT_NONE)
        return true;
    if (tx->room->texts.items[id].mark == sieve->mark)
        return false;
    if (!sieve->lane)
        return true;
    uint32_t shown = chain_run(&sieve->chain->scan, &tx->room->texts, id);
    return shown == TEXT_NONE || lane_text_has(tx->room, sieve->lane, sieve->number, shown, sieve->pattern);
}

static bool run_list(struct waf_tx *tx, const struct rule *link, const struct target *target,
                     const struct sieve *sieve, const struct view *view, unsigned l)
{
    const struct pairs *list = &view->lists[l];
    byte_kinds kinds = KINDS_ANY;
    bool is_lasting = list->n && variable_steadiness(target->variable) == LASTING, has_matched = false;
    const uint32_t *ids = is_lasting ? room_list(tx, list, view->takes_names, &kinds) : NULL;
    byte_kinds changing = sieve->chain->whole.kinds;
    if (ids && sieve->kinds != KINDS_ANY && changing != KINDS_ANY && !(kinds & (sieve->kinds | changing)))
        return false;
    for (size_t i = 0; i < list->n && !outcome_is_final(tx); i++) {
        const struct pair *pair = &list->items[i];
        uint32_t id = ids ? ids[i] : TEXT_NONE;
        if (!may_match(tx, sieve, id) || !target_names(target, pair->name, tx->rules->room))
            continue;
        struct value value = {.variable = target->variable,
                              .has_name = true,
                              .is_fhir_text = l == 2 && !view->takes_names,
                              .name = pair->name,
                              .text = view->takes_names ? pair->name : pair->value};
        if (collect_excludes(tx, tx->head, link, &value))
            continue;
        if (try_value(tx, link, &value, id))
            has_matched = true;
        else if (id != TEXT_NONE && !link->argument.count && !tx->hit_regex_limit)
            tx->room->texts.items[id].mark = sieve->mark;
    }
    return has_matched;
}

static bool run_one(struct waf_tx *tx, const struct rule *link, const struct target *target,
                    const struct sieve *sieve, struct str text)
{
    uint32_t id =
        variable_steadiness(target->variable) == LASTING ? room_one(tx, target->variable, text) : TEXT_NONE;
    struct value value = {.variable = target->variable,
                          .has_name = target->selector != SELECT_ALL,
                          .name = target->name,
                          .text = text};
    return may_match(tx, sieve, id) && !collect_excludes(tx, tx->head, link, &value) &&
           try_value(tx, link, &value, id);
}

static bool run_count(struct waf_tx *tx, const struct rule *link, const struct target *target)
{
    struct value value = collect_count(tx, target);
    return reference_try_value(tx, link, &value);
}

static bool run_target(struct waf_tx *tx, const struct rule *link, const struct target *target,
                       const struct sieve *sieve)
{
    bool has_matched = false;
    if (target->is_count)
        return run_count(tx, link, target);
    struct view view = collect_view(tx, target);
    if (view.is_one)
        return !view.is_absent && run_one(tx, link, target, sieve, view.one);
    for (unsigned l = 0; l < 3; l++)
        has_matched |= run_list(tx, link, target, sieve, &view, l);
    return has_matched;
}

static bool run_texts(struct waf_tx *tx, const struct rule *link)
{
    struct sieve sieve = sieve_for(tx, link);
    bool has_matched = false;
    if (sieve.lane && !lane_has(tx->room, sieve.pattern))
        return false;
    for (size_t i = 0; i < link->targets.count && !outcome_is_final(tx); i++)
        has_matched |= run_target(tx, link, &link->targets.items[i], &sieve);
    return has_matched;
}

/* ---- links that need no texts */

/* NULL: there is no such variable. A count is there always. */
static struct value *tx_value(struct waf_tx *tx, const struct target *target, struct value *ret)
{
    struct var *var = vars_at(&tx->vars, target->slot);
    *ret = (struct value){
        .variable = VAR_TX, .is_count = target->is_count, .has_name = true, .name = target->name};
    if (target->is_count) {
        ret->text = var ? STR("1") : STR("0");
        return ret;
    }
    if (!var)
        return NULL;
    ret->name = var->name;
    ret->text = arena_copy(tx->scratch, var_text(&tx->vars, var)); /* what follows may change the variable */
    return ret;
}

static bool run_one_tx(struct waf_tx *tx, const struct rule *link)
{
    struct value value;
    return tx_value(tx, &link->targets.items[0], &value) && !collect_excludes(tx, tx->head, link, &value) &&
           reference_try_value(tx, link, &value);
}

/* All values first: what the first match sets is not seen by the second. */
static bool run_some_tx(struct waf_tx *tx, const struct rule *link)
{
    struct value values[LINK_TX_MAX];
    size_t n = 0;
    bool has_matched = false;
    for (size_t i = 0; i < link->targets.count; i++) {
        const struct value *value = tx_value(tx, &link->targets.items[i], &values[n]);
        n += value && !collect_excludes(tx, tx->head, link, value);
    }
    for (size_t i = 0; i < n && !outcome_is_final(tx); i++)
        has_matched |= reference_try_value(tx, link, &values[i]);
    return has_matched;
}

/* A comparison that is known to hold. */
static bool run_compared(struct waf_tx *tx, const struct rule *link)
{
    struct value value;
    if (!tx_value(tx, &link->targets.items[0], &value) || collect_excludes(tx, tx->head, link, &value))
        return false;
    outcome_match(tx, link, &value, value.text, value.is_count);
    return true;
}

static bool run_action(struct waf_tx *tx, const struct rule *link)
{
    struct value value = {.variable = VAR_REMOTE_ADDR, .text = tx->request->client_ip};
    if (link->transformations.count || collect_excludes(tx, tx->head, link, &value))
        return reference_run_link(tx, link);
    outcome_match(tx, link, &value, value.text, true);
    return true;
}

static bool run_link(struct waf_tx *tx, const struct rule *link)
{
    switch ((enum link_how)link->plan.how) {
    case LINK_ACTION:
        return run_action(tx, link);
    case LINK_TX:
        return link->targets.count == 1 ? run_one_tx(tx, link) : run_some_tx(tx, link);
    case LINK_TEXTS:
        return run_texts(tx, link);
    case LINK_REFERENCE:
        break;
    }
    return reference_run_link(tx, link);
}

/* ---- chains and phases */

static bool run_chain(struct waf_tx *tx, const struct rule *head, bool is_compared)
{
    outcome_begin_chain(tx, head);
    for (const struct rule *link = head; link; link = link->next) {
        outcome_begin_link(tx);
        bool has_matched = is_compared && link == head ? run_compared(tx, link) : run_link(tx, link);
        if (arena_overflowed(tx->arena) || arena_overflowed(tx->scratch))
            note_memory(tx);
        if (arena_used(tx->scratch))
            arena_reset(tx->scratch);
        if (!has_matched)
            return false;
        if (outcome_is_final(tx))
            return true;
    }
    return true;
}

static bool compares(const struct comparison *c, int64_t left, int64_t right)
{
    switch (c->op) {
    case OP_EQ:
        return left == right;
    case OP_GE:
        return left >= right;
    case OP_GT:
        return left > right;
    case OP_LE:
        return left <= right;
    default:
        return left < right;
    }
}

static int64_t number_at(struct waf_tx *tx, uint32_t slot)
{
    struct var *var = vars_at(&tx->vars, slot);
    return var ? var_number(var) : 0;
}

/* A variable that is not set has no value to match, but a count. */
static bool comparison_holds(struct waf_tx *tx, const struct comparison *c)
{
    struct var *var = vars_at(&tx->vars, c->slot);
    int64_t right = c->other_slot ? number_at(tx, c->other_slot) : c->number;
    if (c->is_count)
        return compares(c, var != NULL, right) != c->is_negated;
    return var && compares(c, var_number(var), right) != c->is_negated;
}

static inline bool is_ruled_out(struct waf_tx *tx, const struct row *row)
{
    if (row->comparison.op != OPERATOR_COUNT)
        return !comparison_holds(tx, &row->comparison);
    if (row->pattern == PATTERN_NONE)
        return false;
    if (!tx->room->lanes[row->lane].is_scanned)
        lane_scan(tx, row->lane);
    return !lane_has(tx->room, row->pattern);
}

void fast_run_phase(struct waf_tx *tx, uint8_t phase)
{
    const struct plan *plan = tx->rules->plan;
    const struct row *rows = plan->rows[phase - 1];
    tx->phase = phase;
    tx->is_phase_allowed = false;
    if (is_phase_over(tx))
        return;
    for (uint32_t i = 0, count = plan->row_count[phase - 1]; i < count;) {
        const struct row *row = &rows[i++];
        if (is_ruled_out(tx, row) || is_removed(tx, row->rule))
            continue;
        tx_work(tx, 100);
        if (run_chain(tx, row->rule, row->comparison.op != OPERATOR_COUNT))
            i = row->skip_to;
        if (is_phase_over(tx))
            return;
    }
}
