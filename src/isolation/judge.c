/* isolation/judge.c - who may pass: the levels' table, stages and exceptions, for one peer or as rules for
 * the packet filter.
 *
 * The stricter of what the site and what the cluster says holds. An exception opens only the scope that it
 * was ordered for. A level holds until isolation_tick ends it; an exception ends by the clock alone. */
#include "isolation/parts.h"

enum { ASK_STAGE = 0xff };

static const uint8_t answers[ISOLATION_LEVEL_COUNT][ISOLATION_PEERS] = {
#define PASS    ISOLATION_PASS
#define LIMITED ISOLATION_LIMITED
#define NOTICE  ISOLATION_NOTICE
#define REFUSE  ISOLATION_REFUSE
#define STAGE   ASK_STAGE
#define LEVEL(name, word, unknown, known, partner, inside, management, cuts, english, dutch)                 \
    {unknown, known, partner, inside, management},
#include "isolation/levels.def"
#undef LEVEL
#undef PASS
#undef LIMITED
#undef NOTICE
#undef REFUSE
#undef STAGE
};

static const uint8_t stage_answers[ISOLATION_STAGE_COUNT] = {
#define STAGE(name, word, answer, english, dutch) ISOLATION_##answer,
#include "isolation/stages.def"
#undef STAGE
};

static const bool cuts[ISOLATION_LEVEL_COUNT] = {
#define LEVEL(name, word, unknown, known, partner, inside, management, cuts, english, dutch) cuts,
#include "isolation/levels.def"
#undef LEVEL
};

bool isolation_level_cuts(unsigned level)
{
    return level >= ISOLATION_LEVEL_COUNT || cuts[level];
}

uint8_t isolation_level(const struct isolation_state *s, struct str cluster)
{
    const struct isolation_scope *own = cluster.n ? state_scope_const(s, cluster) : NULL;
    uint8_t site = stack_top(&s->scope[0].now)->level;
    uint8_t level = own ? stack_top(&own->now)->level : ISOLATION_OPEN;
    return level > site ? level : site;
}

static void take_rate(uint32_t *rate, const struct isolation_standing *own)
{
    if (own && own->stage == ISOLATION_STAGE_PROBATION && (*rate == 0 || own->rate_per_s < *rate))
        *rate = own->rate_per_s;
}

uint8_t isolation_stage(const struct isolation_state *s, struct str cluster, struct str partner,
                        uint32_t *ret_rate_per_s)
{
    uint8_t stage = scope_stage(s, &s->scope[0], STR_NONE, partner);
    uint32_t rate = 0;
    take_rate(&rate, state_standing_const(s, STR_NONE, partner));
    if (cluster.n) {
        uint8_t own = scope_stage(s, state_scope_const(s, cluster), cluster, partner);
        stage = own < stage ? own : stage;
        take_rate(&rate, state_standing_const(s, cluster, partner));
    }
    if (ret_rate_per_s)
        *ret_rate_per_s = stage == ISOLATION_STAGE_PROBATION ? rate : 0;
    return stage;
}

static bool fits(const struct isolation_exception *e, const struct isolation_question *q)
{
    return name_is(&e->partner, q->partner) && (e->direction & q->direction) && q->port >= e->port_from &&
           q->port <= e->port_to &&
           (!e->has_prefix || (q->address && addr_in_prefix(q->address, &e->prefix)));
}

static bool is_excepted(const struct isolation_state *s, const struct isolation_scope *scope,
                        const struct isolation_question *q, int64_t now_us)
{
    for (unsigned i = 0; i < s->exception_count; i++) {
        const struct isolation_exception *e = &s->exception[i];
        if (name_eq(&e->cluster, &scope->cluster) && exception_holds(e, scope, now_us) && fits(e, q))
            return true;
    }
    return false;
}

static enum isolation_answer judge_scope(const struct isolation_state *s, const struct isolation_scope *scope,
                                         struct str cluster, const struct isolation_question *q,
                                         int64_t now_us)
{
    uint8_t level = scope ? stack_top(&scope->now)->level : ISOLATION_OPEN;
    uint8_t answer = answers[level][q->class];
    if (answer == ASK_STAGE) {
        bool has_leave = scope && level >= ISOLATION_PARTNERS && is_excepted(s, scope, q, now_us);
        answer = has_leave ? ISOLATION_PASS : stage_answers[scope_stage(s, scope, cluster, q->partner)];
    }
    /* A notice is something to look at: nobody calls out to get one. */
    return answer == ISOLATION_NOTICE && q->direction == ISOLATION_OUT ? ISOLATION_REFUSE
                                                                       : (enum isolation_answer)answer;
}

enum isolation_answer isolation_judge(const struct isolation_state *s, const struct isolation_question *q,
                                      int64_t now_us)
{
    enum isolation_answer site = judge_scope(s, &s->scope[0], STR_NONE, q, now_us);
    if (!q->cluster.n)
        return site;
    enum isolation_answer own = judge_scope(s, state_scope_const(s, q->cluster), q->cluster, q, now_us);
    return own > site ? own : site;
}

/* ---- rules for the packet filter */

struct rules {
    struct isolation_rule *p;
    size_t count, room;
};

static void add_rule(struct rules *rules, const struct isolation_rule *rule)
{
    if (rules->count < rules->room)
        rules->p[rules->count] = *rule;
    rules->count++;
}

static void add_both(struct rules *rules, struct isolation_rule rule, unsigned direction)
{
    for (unsigned d = ISOLATION_IN; d <= ISOLATION_OUT; d++) {
        rule.direction = (uint8_t)d;
        if (direction & d)
            add_rule(rules, &rule);
    }
}

static void add_exceptions_of(struct rules *rules, const struct isolation_state *s,
                              const struct isolation_partner *partner, int64_t now_us)
{
    for (unsigned i = 0; i < s->exception_count; i++) {
        const struct isolation_exception *e = &s->exception[i];
        if (e->cluster.n || !name_is(&e->partner, partner->name) || !exception_holds(e, &s->scope[0], now_us))
            continue;
        struct isolation_rule rule = {.prefix = e->prefix,
                                      .until_us = e->until_us,
                                      .port_from = e->port_from,
                                      .port_to = e->port_to,
                                      .is_allow = true,
                                      .last_level = ISOLATION_CLOSED};
        for (size_t p = 0; p < (e->has_prefix ? 1 : partner->prefix_count); p++) {
            rule.prefix = e->has_prefix ? e->prefix : partner->prefixes[p];
            add_both(rules, rule, e->direction);
        }
    }
}

/* What the level alone would say otherwise: a partner cut off below closed, one reconnected at closed. */
static void add_stage_of(struct rules *rules, const struct isolation_state *s,
                         const struct addr_prefix *prefix, uint8_t stage, const uint16_t *ports,
                         size_t port_count)
{
    uint8_t level = stack_top(&s->scope[0].now)->level;
    bool is_cut = stage == ISOLATION_STAGE_CUT;
    struct isolation_rule rule = {.prefix = *prefix, .last_level = ISOLATION_CLOSED, .is_allow = true};
    if (level == ISOLATION_SEALED || (level == ISOLATION_CLOSED) == is_cut)
        return;
    for (size_t i = 0; is_cut && i < port_count; i++) {
        rule.port_from = rule.port_to = ports[i];
        add_both(rules, rule, ISOLATION_IN);
    }
    rule.port_from = 0;
    rule.port_to = 65535;
    rule.is_allow = !is_cut;
    add_both(rules, rule, ISOLATION_BOTH);
}

size_t isolation_rules(const struct isolation_state *s, const struct isolation_inventory *inventory,
                       const uint16_t *notice_ports, size_t notice_port_count, int64_t now_us,
                       struct isolation_rule *ret, size_t room)
{
    struct rules rules = {ret, 0, room};
    for (size_t i = 0; i < inventory->partner_count; i++) {
        const struct isolation_partner *partner = &inventory->partners[i];
        uint8_t stage = scope_stage(s, &s->scope[0], STR_NONE, partner->name);
        add_exceptions_of(&rules, s, partner, now_us);
        for (size_t p = 0; p < partner->prefix_count; p++)
            add_stage_of(&rules, s, &partner->prefixes[p], stage, notice_ports, notice_port_count);
    }
    return rules.count;
}
