/* The prefilter of a rule set: its name, its compilation, and taking it into use. */
#include "waf/plan.h"

_Static_assert(WAF_PREFILTER_KEY_BYTES == 64, "prefilter_key() writes as much");

void waf_prefilter_key(const struct waf_rules *rules, char ret_key[WAF_PREFILTER_KEY_BYTES])
{
    prefilter_key(rules->plan->patterns, rules->plan->pattern_count, ret_key);
}

bool waf_prefilter_compile(const struct waf_rules *rules, struct arena *arena,
                           void (*progress)(void *context, size_t done, size_t all), void *context,
                           struct str *ret_bytes)
{
    const struct plan *plan = rules->plan;
    return prefilter_compile(plan->patterns, plan->pattern_count, plan->lane_count, arena, progress, context,
                             ret_bytes);
}

static void select_rows(struct plan *plan)
{
    for (unsigned phase = 0; phase < PHASES; phase++) {
        for (uint32_t i = 0; i < plan->row_count[phase]; i++) {
            struct row *row = &plan->rows[phase][i];
            uint32_t pattern = row->rule->plan.pattern;
            if (pattern != PATTERN_NONE && prefilter_selects(plan->prefilter, pattern))
                row->pattern = pattern;
        }
    }
}

bool waf_rules_take_prefilter(struct waf_rules *rules, struct str bytes)
{
    struct plan *plan = rules->plan;
    char key[WAF_PREFILTER_KEY_BYTES];
    if (plan->prefilter)
        return false;
    waf_prefilter_key(rules, key);
    struct prefilter *prefilter = prefilter_open(bytes, key);
    struct prefilter_room *room = prefilter ? prefilter_room_new(prefilter) : NULL;
    if (!room) {
        prefilter_close(prefilter);
        return false;
    }
    plan->prefilter = prefilter;
    plan->prefilter_room = room;
    select_rows(plan);
    return true;
}

bool waf_rules_has_prefilter(const struct waf_rules *rules)
{
    return rules->plan->prefilter != NULL;
}
