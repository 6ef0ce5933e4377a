#include "waf/plan.h"

#include "base/must.h"
#include "waf/room.h"

/* ---- how a link is run */

static enum steadiness least_steady(const struct rule *link)
{
    enum steadiness least = LASTING;
    for (size_t i = 0; i < link->targets.count; i++) {
        enum steadiness one = variable_steadiness(link->targets.items[i].variable);
        least = one < least ? one : least;
    }
    return least;
}

static bool has_count(const struct rule *link)
{
    for (size_t i = 0; i < link->targets.count; i++) {
        if (link->targets.items[i].is_count)
            return true;
    }
    return false;
}

/* The reference decides which values are taken out before it tries the first. */
static bool changes_exclusions(const struct rule *link)
{
    for (size_t i = 0; i < link->step_count; i++) {
        if (link->steps[i].kind == STEP_CTL && link->steps[i].ctl >= CTL_RULE_REMOVE_TARGET_BY_ID)
            return true;
    }
    return false;
}

static bool has_only_slots(const struct rule *link)
{
    for (size_t i = 0; i < link->targets.count; i++) {
        if (!link->targets.items[i].slot)
            return false;
    }
    return link->targets.count <= LINK_TX_MAX;
}

static enum link_how how_to_run(const struct rule *link)
{
    if (link->is_unconditional)
        return LINK_ACTION;
    if (changes_exclusions(link) || !link->targets.count)
        return LINK_REFERENCE;
    if (has_only_slots(link))
        return LINK_TX;
    return least_steady(link) == VOLATILE ? LINK_REFERENCE : LINK_TEXTS;
}

/* ---- growing lists in the rules' arena */

static bool grow(struct arena *arena, void *items, size_t size, uint32_t count, uint32_t *cap)
{
    void **list = items;
    if (count < *cap)
        return true;
    uint32_t more = *cap ? *cap * 2 : 16;
    void *copy = arena_alloc(arena, more * size);
    if (!copy)
        return false;
    if (count)
        memcpy(copy, *list, count * size);
    *list = copy;
    *cap = more;
    return true;
}

/* ---- chains */

static bool has_items(const struct chain *chain, const struct transformations *list)
{
    if (chain->whole.n != list->count)
        return false;
    for (size_t i = 0; i < list->count; i++) {
        if (chain->whole.steps[i].is != list->items[i])
            return false;
    }
    return true;
}

/* UINT32_MAX: no memory. */
static uint32_t find_chain(struct waf_rules *rules, const struct transformations *list)
{
    struct plan *plan = rules->plan;
    for (uint32_t i = 0; i < plan->chain_count; i++) {
        if (has_items(&plan->chains[i], list))
            return i;
    }
    if (list->count > CHAIN_MAX || plan->chain_count == UINT16_MAX ||
        !grow(rules->arena, &plan->chains, sizeof *plan->chains, plan->chain_count, &plan->chain_cap))
        return UINT32_MAX;
    chain_make(&plan->chains[plan->chain_count], list);
    return plan->chain_count++;
}

/* ---- lanes */

enum lane_kind {
    LANE_HEAD,    /* nothing of a body */
    LANE_HEADERS, /* all fields of the head, and more */
    LANE_BODY,
    LANE_CHANGED, /* through transformations that change most texts */
    LANE_WIDE,    /* through utf8toUnicode, which changes every text with an accent */
    LANE_RAW,     /* the body as it came, too: a form's fields once more, and longer */
};

/* A tag of the Core Rule Set; a hint for speed, nothing else. */
static uint8_t level_of(const struct rule *head)
{
    for (size_t i = 0; i < head->tag_count; i++) {
        struct str tag = head->tags[i];
        ptrdiff_t at = str_find(tag, STR("paranoia-level/"));
        struct str level = str_skip(tag, (size_t)at + 15);
        if (at >= 0 && level.n == 1 && level.p[0] >= '1' && level.p[0] <= '4')
            return (uint8_t)(level.p[0] - '0');
    }
    return 1;
}

static bool is_of_head(enum variable v)
{
    return v >= VAR_QUERY_STRING && v <= VAR_RESPONSE_STATUS && v != VAR_REQUEST_BODY &&
           v != VAR_RESPONSE_BODY;
}

static enum lane_kind kind_of_lane(const struct rule *head, const struct rule *link,
                                   const struct chain *chain)
{
    bool is_head = true, has_headers = false, has_raw = false;
    if (head->phase == 1)
        return LANE_HEAD; /* there is nothing else yet but the query's arguments */
    for (size_t i = 0; i < link->targets.count; i++) {
        const struct target *target = &link->targets.items[i];
        is_head = is_head && is_of_head(target->variable);
        has_headers |= target->variable == VAR_REQUEST_HEADERS && target->selector == SELECT_ALL;
        has_raw |= target->variable == VAR_REQUEST_BODY;
    }
    if (is_head && level_of(head) == 1)
        return LANE_HEAD;
    if (has_headers && level_of(head) == 1)
        return LANE_HEADERS;
    if (has_raw)
        return LANE_RAW;
    if (chain->scan.n && chain->scan.steps[0].is == TRANSFORM_utf8_to_unicode)
        return LANE_WIDE;
    return chain->scan.kinds & KIND(SPACE) ? LANE_CHANGED : LANE_BODY;
}

static uint32_t find_lane(struct waf_rules *rules, uint8_t phase, uint8_t level, uint8_t kind)
{
    struct plan *plan = rules->plan;
    for (uint32_t i = 0; i < plan->lane_count; i++) {
        const struct lane *lane = &plan->lanes[i];
        if (lane->phase == phase && lane->level == level && lane->kind == kind)
            return i;
    }
    if (!grow(rules->arena, &plan->lanes, sizeof *plan->lanes, plan->lane_count, &plan->lane_cap))
        return UINT32_MAX;
    plan->lanes[plan->lane_count] = (struct lane){.phase = phase, .level = level, .kind = kind};
    return plan->lane_count++;
}

static bool is_same_target(const struct target *a, const struct target *b)
{
    return a->variable == b->variable && a->selector == b->selector && str_eq_nocase(a->name, b->name);
}

static struct lane_target *find_target(struct waf_rules *rules, struct lane *lane,
                                       const struct target *target)
{
    for (uint32_t i = 0; i < lane->target_count; i++) {
        if (is_same_target(&lane->targets[i].target, target))
            return &lane->targets[i];
    }
    if (!grow(rules->arena, &lane->targets, sizeof *lane->targets, lane->target_count, &lane->target_cap))
        return NULL;
    lane->targets[lane->target_count] = (struct lane_target){.target = *target};
    return &lane->targets[lane->target_count++];
}

static bool add_chain(struct waf_rules *rules, struct lane_target *to, uint32_t chain)
{
    for (uint32_t i = 0; i < to->chain_count; i++) {
        if (to->chains[i] == chain)
            return true;
    }
    if (!grow(rules->arena, &to->chains, sizeof *to->chains, to->chain_count, &to->chain_cap))
        return false;
    to->chains[to->chain_count++] = (uint16_t)chain;
    to->kinds |= rules->plan->chains[chain].scan.kinds;
    return true;
}

/* With multiMatch what comes out of every step counts. */
static bool add_chains(struct waf_rules *rules, struct lane_target *to, const struct rule *link)
{
    const struct transformations *all = &link->transformations;
    for (size_t n = link->has_multi_match ? 0 : all->count; n <= all->count; n++) {
        struct transformations some = {all->items, n};
        uint32_t chain = find_chain(rules, &some);
        if (chain == UINT32_MAX || !add_chain(rules, to, chain))
            return false;
    }
    return true;
}

/* ---- patterns */

static bool may_select(const struct rule *link)
{
    switch (link->op) {
    case OP_BEGINS_WITH:
    case OP_CONTAINS:
    case OP_ENDS_WITH:
    case OP_PM:
    case OP_PM_FROM_FILE:
    case OP_RX:
    case OP_STREQ:
        return link->plan.how == LINK_TEXTS && !link->is_negated && !link->argument.count &&
               !has_count(link) && least_steady(link) == LASTING;
    default:
        return false;
    }
}

static struct prefilter_pattern pattern_of(const struct rule *link, bool is_caseless)
{
    struct prefilter_pattern pattern = {.op = link->op,
                                        .argument = link->argument.source,
                                        .lane = link->plan.lane,
                                        .is_caseless = is_caseless};
    if (link->compiled.pm)
        pattern.words = pm_words(link->compiled.pm, &pattern.word_count);
    return pattern;
}

static bool is_same(const struct prefilter_pattern *a, const struct prefilter_pattern *b)
{
    return a->op == b->op && a->is_caseless == b->is_caseless && a->words == b->words &&
           str_eq(a->argument, b->argument);
}

/* The number of the link's pattern; lanes are filled one after the other. UINT32_MAX: no memory. */
static uint32_t add_pattern(struct waf_rules *rules, const struct rule *link, struct lane *lane)
{
    struct plan *plan = rules->plan;
    struct prefilter_pattern pattern = pattern_of(link, plan->chains[link->plan.chain].is_caseless);
    for (uint32_t i = lane->first_pattern; i < plan->pattern_count; i++) {
        if (is_same(&plan->patterns[i], &pattern))
            return i;
    }
    if (!grow(rules->arena, &plan->patterns, sizeof *plan->patterns, plan->pattern_count, &plan->pattern_cap))
        return UINT32_MAX;
    plan->patterns[plan->pattern_count] = pattern;
    lane->pattern_count++;
    return plan->pattern_count++;
}

static bool add_lane_patterns(struct waf_rules *rules, uint32_t number)
{
    struct lane *lane = &rules->plan->lanes[number];
    lane->first_pattern = rules->plan->pattern_count;
    for (size_t i = 0; i < rules->count; i++) {
        for (struct rule *link = rules->items[i]; link; link = link->next) {
            if (!may_select(link) || link->plan.lane != number)
                continue;
            link->plan.pattern = add_pattern(rules, link, lane);
            if (link->plan.pattern == UINT32_MAX)
                return false;
        }
    }
    uint32_t end = lane->first_pattern + lane->pattern_count;
    lane->first_word = lane->first_pattern / 64;
    lane->word_count = (end + 63) / 64 - lane->first_word;
    return true;
}

static bool plan_lane(struct waf_rules *rules, const struct rule *head, struct rule *link)
{
    const struct chain *chain = &rules->plan->chains[link->plan.chain];
    uint32_t number = find_lane(rules, head->phase, level_of(head), kind_of_lane(head, link, chain));
    if (number >= UINT16_MAX)
        return false;
    link->plan.lane = (uint16_t)number;
    for (size_t i = 0; i < link->targets.count; i++) {
        struct lane_target *target = find_target(rules, &rules->plan->lanes[number], &link->targets.items[i]);
        if (!target || !add_chains(rules, target, link))
            return false;
    }
    return true;
}

static bool plan_link(struct waf_rules *rules, const struct rule *head, struct rule *link)
{
    uint32_t chain = find_chain(rules, &link->transformations);
    if (chain == UINT32_MAX)
        return false;
    link->plan = (struct link_plan){
        .how = (uint8_t)how_to_run(link), .chain = (uint16_t)chain, .pattern = PATTERN_NONE};
    if (link->op == OP_VALIDATE_BYTE_RANGE)
        link->plan.bad_kinds = kinds_outside(link->compiled.allowed);
    return !may_select(link) || plan_lane(rules, head, link);
}

/* ---- rows */

static bool is_numeric(enum operator_kind op)
{
    return op == OP_EQ || op == OP_GE || op == OP_GT || op == OP_LE || op == OP_LT;
}

static struct comparison comparison_of(const struct rule *link)
{
    struct comparison none = {.op = OPERATOR_COUNT},
                      c = {.op = (uint8_t)link->op, .is_negated = link->is_negated};
    const struct macro *argument = &link->argument;
    bool is_ours = link->plan.how == LINK_TX && link->targets.count == 1;
    if (!is_ours || !is_numeric(link->op) || link->transformations.count)
        return none;
    c.slot = link->targets.items[0].slot;
    c.is_count = link->targets.items[0].is_count;
    if (!argument->count)
        c.number = text_number(argument->source);
    else if (argument->count == 1 && argument->parts[0].slot)
        c.other_slot = argument->parts[0].slot;
    else
        return none;
    return c;
}

static bool make_rows(struct waf_rules *rules, unsigned phase)
{
    struct plan *plan = rules->plan;
    struct row *rows = arena_alloc(rules->arena, (rules->count + 1) * sizeof *rows);
    uint32_t *row_at = arena_alloc(rules->arena, (rules->count + 1) * sizeof *row_at), n = 0;
    if (!rows || !row_at)
        return false;
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = rules->items[i];
        row_at[i] = n;
        if (rule->is_marker || rule->phase != phase + 1)
            continue;
        rows[n++] = (struct row){.rule = rule,
                                 .comparison = comparison_of(rule),
                                 .pattern = PATTERN_NONE,
                                 .lane = rule->plan.lane};
    }
    for (uint32_t i = 0; i < n; i++)
        rows[i].skip_to = rows[i].rule->skip_to ? row_at[rows[i].rule->skip_to->index] : i + 1;
    plan->rows[phase] = rows;
    plan->row_count[phase] = n;
    return true;
}

bool plan_make(struct waf_rules *rules)
{
    bool fine = true;
    rules->plan = arena_alloc(rules->arena, sizeof *rules->plan);
    if (!rules->plan)
        return false;
    for (size_t i = 0; fine && i < rules->count; i++) {
        for (struct rule *link = rules->items[i]; fine && link; link = link->next)
            fine = plan_link(rules, rules->items[i], link);
    }
    for (uint32_t lane = 0; fine && lane < rules->plan->lane_count; lane++)
        fine = add_lane_patterns(rules, lane);
    for (unsigned phase = 0; fine && phase < PHASES; phase++)
        fine = make_rows(rules, phase);
    return fine;
}

void plan_done(struct waf_rules *rules)
{
    if (!rules->plan)
        return;
    rooms_free(rules->plan);
    prefilter_room_free(rules->plan->prefilter_room);
    prefilter_close(rules->plan->prefilter);
}
