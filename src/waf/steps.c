/* What a matching rule does beside deciding: setvar, expirevar, initcol, ctl. */
#include "waf/tx.h"

/* A number that setvar adds: "+5", "-5", "+%{tx.x}"; read as atoi() does. */
static int64_t amount(struct waf_tx *tx, const struct step *step)
{
    const struct macro *value = &step->value;
    if (!value->count)
        return step->number;
    struct str text = macro_expand(tx, value, tx->scratch);
    int64_t by = text_number(str_skip(text, 1));
    return text.n && text.p[0] == '-' ? -by : by;
}

/* A counter never falls below zero. */
static int64_t sum_of(int64_t before, int64_t by)
{
    return before + by < 0 ? 0 : before + by;
}

/* The variable of a step on TX, and in ret_name how a step that sets it spells it, lasting. NULL: no memory.
 */
static struct var *var_of(struct waf_tx *tx, const struct step *step, struct str *ret_name)
{
    *ret_name = step->name.source;
    if (step->slot)
        return &tx->vars.items[step->slot];
    struct str name = macro_expand(tx, &step->name, tx->scratch);
    struct var *var = vars_place(&tx->vars, SLOT_NONE, name);
    if (var)
        *ret_name = !var->is_set && !str_eq(var->name, name) ? arena_copy(tx->arena, name) : var->name;
    return var;
}

static void set_in_tx(struct waf_tx *tx, const struct step *step)
{
    struct str name, value = macro_expand(tx, &step->value, tx->scratch);
    struct var *var = var_of(tx, step, &name);
    if (var)
        var_set_text(&tx->vars, var, name, value, step->value.count == 0);
}

/* What is added is asked for first: a macro may name the variable itself. */
static void add_in_tx(struct waf_tx *tx, const struct step *step)
{
    int64_t by = amount(tx, step);
    struct str name;
    struct var *var = var_of(tx, step, &name);
    if (var)
        var_set_number(&tx->vars, var, name, sum_of(var->is_set ? var_number(var) : 0, by));
}

static void run_in_tx(struct waf_tx *tx, const struct step *step)
{
    if (step->kind == STEP_SET)
        set_in_tx(tx, step);
    else if (step->kind == STEP_ADD)
        add_in_tx(tx, step);
    else if (step->kind == STEP_UNSET)
        tx_unset(tx, VAR_TX, macro_expand(tx, &step->name, tx->scratch));
}

static void remove_rules(struct waf_tx *tx, const struct rule_set *rules)
{
    for (size_t i = 0; i < tx->rules->count / 64 + 1; i++)
        tx->removed.bits[i] |= rules->bits[i];
}

static void remove_target(struct waf_tx *tx, const struct target_exclusion *exclusion)
{
    if (tx->exclusion_count == tx->exclusion_cap) {
        size_t cap = tx->exclusion_cap ? tx->exclusion_cap * 2 : 16;
        struct target_exclusion *items = arena_alloc(tx->arena, cap * sizeof *items);
        if (!items)
            return; /* the arena remembers; less is excluded, not more */
        if (tx->exclusion_count)
            memcpy(items, tx->exclusions, tx->exclusion_count * sizeof *items);
        tx->exclusions = items;
        tx->exclusion_cap = cap;
    }
    tx->exclusions[tx->exclusion_count++] = *exclusion;
}

/* A cluster's mode is an upper bound: rules may look less, but never block where only detection is wanted. */
static void set_mode(struct waf_tx *tx, enum waf_mode mode)
{
    enum waf_mode most =
        tx->overlay->options.mode == WAF_AS_RULES_SAY ? WAF_BLOCK : tx->overlay->options.mode;
    tx->mode = mode < most ? mode : most;
}

static void run_ctl(struct waf_tx *tx, const struct step *step)
{
    switch (step->ctl) {
    case CTL_FORCE_REQUEST_BODY_VARIABLE:
        tx->force_request_body = step->setting;
        break;
    case CTL_REQUEST_BODY_ACCESS:
        tx->request_body_access = step->setting;
        break;
    case CTL_RESPONSE_BODY_ACCESS:
        tx->response_body_access = step->setting;
        break;
    case CTL_REQUEST_BODY_PROCESSOR:
        tx->wanted_processor = (enum body_processor)step->setting;
        break;
    case CTL_RULE_ENGINE:
        set_mode(tx, (enum waf_mode)step->setting);
        break;
    case CTL_RULE_REMOVE_BY_ID:
    case CTL_RULE_REMOVE_BY_MSG:
    case CTL_RULE_REMOVE_BY_TAG:
        remove_rules(tx, &step->exclusion.rules);
        break;
    case CTL_RULE_REMOVE_TARGET_BY_ID:
    case CTL_RULE_REMOVE_TARGET_BY_MSG:
    case CTL_RULE_REMOVE_TARGET_BY_TAG:
        remove_target(tx, &step->exclusion);
        break;
    case CTL_AUDIT_ENGINE: /* what is recorded is the gate's business */
    case CTL_AUDIT_LOG_PARTS:
    case CTL_COUNT:
        break;
    }
}

static void run_in_store(struct waf_tx *tx, const struct step *step)
{
    struct str name = macro_expand(tx, &step->name, tx->scratch);
    int64_t sum;
    switch (step->kind) {
    case STEP_SET:
        tx_set(tx, step->collection, name, macro_expand(tx, &step->value, tx->scratch));
        break;
    case STEP_ADD:
        sum = sum_of(tx_number(tx, step->collection, name), amount(tx, step));
        tx_set(tx, step->collection, name, text_of_number(tx->scratch, sum));
        break;
    case STEP_UNSET:
        tx_unset(tx, step->collection, name);
        break;
    case STEP_EXPIRE:
        tx_expire(tx, step->collection, name, text_number(macro_expand(tx, &step->value, tx->scratch)));
        break;
    case STEP_OPEN_COLLECTION:
        tx_open_collection(tx, step->collection, macro_expand(tx, &step->value, tx->scratch));
        break;
    case STEP_CTL:
        break;
    }
}

void steps_run(struct waf_tx *tx, const struct rule *link)
{
    for (size_t i = 0; i < link->step_count; i++) {
        const struct step *step = &link->steps[i];
        if (step->kind == STEP_CTL)
            run_ctl(tx, step);
        else if (step->collection == VAR_TX)
            run_in_tx(tx, step);
        else
            run_in_store(tx, step);
    }
}
