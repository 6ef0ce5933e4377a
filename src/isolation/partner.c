/* isolation/partner.c - the machine of one partner in one scope: the way back.
 *
 *            next           next             next
 *     CUT ---------> READ_ONLY ---------> PROBATION ---------> FULL
 *      ^  <---------           <---------            <---------
 *      |    back, alarm          back, alarm            back
 *      +--- every partner, when the level is raised to closed or sealed (scope.c)
 *
 * Invariants
 *  1. One order moves a partner by one stage.
 *  2. Nothing moves a partner forward but `next`: no time, no pause. After a stage began, and after an alarm,
 *     the policy's waits must be over.
 *  3. An alarm concerns only who is on the way back. */
#include "isolation/parts.h"

enum { STAY = ISOLATION_STAGE_COUNT };

static const struct {
    enum isolation_event event;
    uint8_t to[ISOLATION_STAGE_COUNT]; /* from each stage; STAY: refused */
    enum isolation_refusal refusal;
} transitions[] = {
    {ISOLATION_EVENT_NEXT,
     {ISOLATION_STAGE_READ_ONLY, ISOLATION_STAGE_PROBATION, ISOLATION_STAGE_FULL, STAY},
     ISOLATION_REFUSED_STAGE_LAST},
    {ISOLATION_EVENT_BACK,
     {STAY, ISOLATION_STAGE_CUT, ISOLATION_STAGE_READ_ONLY, ISOLATION_STAGE_PROBATION},
     ISOLATION_REFUSED_STAGE_FIRST},
    {ISOLATION_EVENT_ALARM,
     {STAY, ISOLATION_STAGE_CUT, ISOLATION_STAGE_READ_ONLY, STAY},
     ISOLATION_REFUSED_STAGE_CALM},
};

static enum isolation_refusal waits_over(const struct isolation_standing *own,
                                         const struct isolation_scope *scope,
                                         const struct isolation_policy *policy, int64_t now_us)
{
    int64_t since_us = own ? own->since_us : scope ? scope->since_us : 0;
    if (policy->stage_us && now_us - since_us < policy->stage_us)
        return ISOLATION_REFUSED_STAGE_SOON;
    if (own && own->alarm_us && now_us - own->alarm_us < policy->quiet_us)
        return ISOLATION_REFUSED_STAGE_ALARM;
    return ISOLATION_ACCEPTED;
}

static enum isolation_refusal move(struct isolation_state *s, const struct isolation_order *o,
                                   const struct isolation_policy *policy, uint8_t stage, int64_t now_us)
{
    struct isolation_standing *own =
        state_standing_make(s, ISOLATION_STR(o->cluster), ISOLATION_STR(o->partner));
    uint32_t standard = policy->probation_per_s ? policy->probation_per_s : 10;
    if (!own)
        return ISOLATION_REFUSED_PARTNERS_FULL;
    own->stage = stage;
    own->order = s->order;
    own->since_us = now_us;
    own->rate_per_s = stage != ISOLATION_STAGE_PROBATION ? 0 : o->rate_per_s ? o->rate_per_s : standard;
    if (o->event == ISOLATION_EVENT_ALARM)
        own->alarm_us = now_us;
    else if (stage == ISOLATION_STAGE_FULL)
        own->alarm_us = 0;
    return ISOLATION_ACCEPTED;
}

enum isolation_refusal partner_order(struct isolation_state *s, const struct isolation_order *o,
                                     const struct isolation_policy *policy, int64_t now_us)
{
    struct str cluster = ISOLATION_STR(o->cluster), partner = ISOLATION_STR(o->partner);
    const struct isolation_scope *scope = state_scope_const(s, cluster);
    const struct isolation_standing *own = state_standing_const(s, cluster, partner);
    uint8_t from = scope_stage(s, scope, cluster, partner);
    bool is_next = o->event == ISOLATION_EVENT_NEXT;
    if (is_next && isolation_level(s, cluster) == ISOLATION_SEALED)
        return ISOLATION_REFUSED_STAGE_SEALED;
    for (size_t i = 0; i < sizeof transitions / sizeof *transitions; i++) {
        if (transitions[i].event != o->event)
            continue;
        uint8_t to = transitions[i].to[from];
        if (to == STAY)
            return transitions[i].refusal;
        if (o->rate_per_s && to != ISOLATION_STAGE_PROBATION)
            return ISOLATION_REFUSED_RATE;
        enum isolation_refusal waits = is_next ? waits_over(own, scope, policy, now_us) : ISOLATION_ACCEPTED;
        return waits ? waits : move(s, o, policy, to, now_us);
    }
    return ISOLATION_REFUSED_EVENT;
}
