/* What a matching rule does beside deciding: setvar, expirevar, initcol, ctl. */
#include "waf/tx.h"

/* setvar:'tx.x=+5': numbers as atoi() reads them, and a counter never falls below zero. */
static void add_to(struct waf_tx *tx, const struct step *step, struct str name, struct str value)
{
    const struct pairs *vars = vars_of(tx, step->collection);
    const struct pair *pair = vars ? pairs_find(vars, name) : NULL;
    int64_t by = text_number(str_skip(value, 1));
    int64_t sum = (pair ? text_number(pair->value) : 0) + (value.n && value.p[0] == '-' ? -by : by);
    vars_set(tx, step->collection, name, text_of_number(tx->scratch, sum < 0 ? 0 : sum));
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

static void run_step(struct waf_tx *tx, const struct step *step)
{
    struct str name = macro_expand(tx, &step->name, tx->scratch),
               value = macro_expand(tx, &step->value, tx->scratch);
    switch (step->kind) {
    case STEP_SET:
        vars_set(tx, step->collection, name, value);
        break;
    case STEP_ADD:
        add_to(tx, step, name, value);
        break;
    case STEP_UNSET:
        vars_unset(tx, step->collection, name);
        break;
    case STEP_EXPIRE:
        vars_expire(tx, step->collection, name, text_number(value));
        break;
    case STEP_OPEN_COLLECTION:
        vars_open(tx, step->collection, value);
        break;
    case STEP_CTL:
        run_ctl(tx, step);
        break;
    }
}

void steps_run(struct waf_tx *tx, const struct rule *link)
{
    for (size_t i = 0; i < link->step_count; i++)
        run_step(tx, &link->steps[i]);
}
