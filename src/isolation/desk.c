/* isolation/desk.c - where orders arrive: checked whole, then carried over a copy of the state, or kept for a
 * second person.
 *
 *              order that takes two
 *     FREE --------------------------> WAITING (one order, until its time is over)
 *       ^ <--- orders that take one       |
 *       |                                 |
 *       +---- approve by somebody else, withdraw, time
 *
 * Invariants
 *  1. Every order that is accepted gets the next number, a proposal and its approval too.
 *  2. A proposal changes nothing but the desk. What it does is checked again when it is approved.
 *  3. Whether an order takes two depends on what it does, not on what it is called. Alarms never wait. */
#include "isolation/parts.h"

#define MINUTE_US INT64_C(60'000'000)
#define HOUR_US   (60 * MINUTE_US)
#define DAY_US    (24 * HOUR_US)

enum { LEVEL_DAYS = 90, EXCEPTION_DAYS = 30 };

static bool is_asked(const struct isolation_order *o, enum isolation_event event)
{
    return o->event == event;
}

static bool has_cluster(const struct isolation_state *s, const struct isolation_inventory *inventory,
                        struct str cluster)
{
    for (size_t i = 0; i < inventory->cluster_count; i++)
        if (str_eq(inventory->clusters[i], cluster))
            return true;
    return cluster.n == 0 || state_scope_const(s, cluster);
}

static const struct isolation_partner *find_partner(const struct isolation_inventory *inventory,
                                                    struct str name)
{
    for (size_t i = 0; i < inventory->partner_count; i++)
        if (name.n && str_eq(inventory->partners[i].name, name))
            return &inventory->partners[i];
    return NULL;
}

static bool lies_within(const struct addr_prefix *inner, const struct addr_prefix *outer)
{
    struct addr first = {.port = 0};
    memcpy(first.ip, inner->ip, sizeof first.ip);
    return inner->bits <= 128 && inner->bits >= outer->bits && addr_in_prefix(&first, outer);
}

static bool is_of_partner(const struct addr_prefix *prefix, const struct isolation_partner *partner)
{
    for (size_t i = 0; i < partner->prefix_count; i++)
        if (lies_within(prefix, &partner->prefixes[i]))
            return true;
    return false;
}

static enum isolation_refusal check_who(const struct isolation_order *o)
{
    struct isolation_name name;
    struct isolation_reason reason;
    bool may_be_silent = is_asked(o, ISOLATION_EVENT_CONFIRM) || is_asked(o, ISOLATION_EVENT_APPROVE) ||
                         is_asked(o, ISOLATION_EVENT_WITHDRAW);
    if (o->who.n == 0 || !isolation_name_set(&name, ISOLATION_STR(o->who)))
        return ISOLATION_REFUSED_WHO;
    if (!isolation_name_set(&name, ISOLATION_STR(o->role)))
        return ISOLATION_REFUSED_ROLE;
    if (!isolation_reason_set(&reason, ISOLATION_STR(o->reason)) || (o->reason.n == 0 && !may_be_silent))
        return ISOLATION_REFUSED_REASON;
    return ISOLATION_ACCEPTED;
}

static enum isolation_refusal check_level(const struct isolation_state *s, const struct isolation_order *o,
                                          int64_t now_us)
{
    const struct isolation_scope *scope = state_scope_const(s, ISOLATION_STR(o->cluster));
    uint8_t level = scope ? stack_top(&scope->now)->level : ISOLATION_OPEN;
    if (o->level >= ISOLATION_LEVEL_COUNT)
        return ISOLATION_REFUSED_LEVEL;
    if (o->until_us && o->until_us <= now_us)
        return ISOLATION_REFUSED_PAST;
    if (o->until_us > now_us + LEVEL_DAYS * DAY_US)
        return ISOLATION_REFUSED_FAR;
    if (o->confirm_by_us && (o->confirm_by_us < now_us + MINUTE_US || o->confirm_by_us > now_us + DAY_US ||
                             (o->until_us && o->confirm_by_us >= o->until_us)))
        return ISOLATION_REFUSED_CONFIRM_TIME;
    if (o->partners_back && (o->level >= ISOLATION_CLOSED || o->level > level))
        return ISOLATION_REFUSED_BACK_CLOSED;
    if (o->asked_count && o->level == ISOLATION_SEALED)
        return ISOLATION_REFUSED_EXCEPTION_SEALED;
    if (o->asked_count && o->level < ISOLATION_PARTNERS)
        return ISOLATION_REFUSED_EXCEPTION_NEEDLESS;
    return ISOLATION_ACCEPTED;
}

static enum isolation_refusal check_exception(const struct isolation_exception *e,
                                              const struct isolation_inventory *inventory,
                                              const struct isolation_policy *policy, int64_t now_us)
{
    const struct isolation_partner *partner = find_partner(inventory, ISOLATION_STR(e->partner));
    int64_t longest = policy->exception_us ? policy->exception_us : EXCEPTION_DAYS * DAY_US;
    if (!partner)
        return ISOLATION_REFUSED_PARTNER;
    if (e->has_prefix && !is_of_partner(&e->prefix, partner))
        return ISOLATION_REFUSED_PREFIX;
    if (e->direction < ISOLATION_IN || e->direction > ISOLATION_BOTH)
        return ISOLATION_REFUSED_DIRECTION;
    if (e->port_from > e->port_to)
        return ISOLATION_REFUSED_PORTS;
    if (!e->until_us)
        return ISOLATION_REFUSED_EXCEPTION_END;
    if (e->until_us <= now_us)
        return ISOLATION_REFUSED_PAST;
    return e->until_us > now_us + longest ? ISOLATION_REFUSED_FAR : ISOLATION_ACCEPTED;
}

/* How many a partner has after the order, in the layer that they would belong to. */
static unsigned exceptions_of(const struct isolation_state *s, const struct isolation_order *o,
                              const struct isolation_name *partner)
{
    const struct isolation_scope *scope = state_scope_const(s, ISOLATION_STR(o->cluster));
    uint64_t layer = scope && is_asked(o, ISOLATION_EVENT_EXCEPT) ? stack_top(&scope->now)->order : 0;
    unsigned count = 0;
    for (unsigned i = 0; i < o->asked_count; i++)
        count += name_eq(&o->asked[i].partner, partner);
    for (unsigned i = 0; layer && i < s->exception_count; i++)
        count += s->exception[i].order == layer && name_eq(&s->exception[i].partner, partner);
    return count;
}

static enum isolation_refusal check_exceptions(const struct isolation_state *s,
                                               const struct isolation_order *o,
                                               const struct isolation_inventory *inventory,
                                               const struct isolation_policy *policy, int64_t now_us)
{
    bool may_ask = is_asked(o, ISOLATION_EVENT_ISOLATE) || is_asked(o, ISOLATION_EVENT_EXCEPT);
    if (o->asked_count > ISOLATION_ASKED)
        return ISOLATION_REFUSED_EXCEPTIONS_FULL;
    if (may_ask ? is_asked(o, ISOLATION_EVENT_EXCEPT) && !o->asked_count : o->asked_count > 0)
        return ISOLATION_REFUSED_EXCEPTION_NONE;
    for (unsigned i = 0; i < o->asked_count; i++) {
        enum isolation_refusal refusal = check_exception(&o->asked[i], inventory, policy, now_us);
        if (refusal)
            return refusal;
        if (exceptions_of(s, o, &o->asked[i].partner) > ISOLATION_EXCEPTIONS_EACH)
            return ISOLATION_REFUSED_EXCEPTIONS_FULL;
    }
    return ISOLATION_ACCEPTED;
}

static enum isolation_refusal check_partner(const struct isolation_order *o,
                                            const struct isolation_inventory *inventory)
{
    bool is_known = find_partner(inventory, ISOLATION_STR(o->partner));
    switch (o->event) {
    case ISOLATION_EVENT_NEXT:
    case ISOLATION_EVENT_BACK:
    case ISOLATION_EVENT_ALARM:
        return is_known ? ISOLATION_ACCEPTED : ISOLATION_REFUSED_PARTNER;
    default:
        return o->rate_per_s ? ISOLATION_REFUSED_RATE : ISOLATION_ACCEPTED;
    }
}

static enum isolation_refusal order_check(const struct isolation_state *s, const struct isolation_order *o,
                                          const struct isolation_inventory *inventory,
                                          const struct isolation_policy *policy, int64_t now_us)
{
    if (o->event == ISOLATION_EVENT_NONE || o->event >= ISOLATION_EVENT_TIME)
        return ISOLATION_REFUSED_EVENT;
    enum isolation_refusal refusal = check_who(o);
    if (!refusal && !has_cluster(s, inventory, ISOLATION_STR(o->cluster)))
        refusal = ISOLATION_REFUSED_CLUSTER;
    if (!refusal && is_asked(o, ISOLATION_EVENT_ISOLATE))
        refusal = check_level(s, o, now_us);
    if (!refusal)
        refusal = check_partner(o, inventory);
    return refusal ? refusal : check_exceptions(s, o, inventory, policy, now_us);
}

/* Nothing that was not asked for goes into a record, and a network has no bits behind its length. */
static void keep_what_counts(struct isolation_order *o)
{
    for (unsigned i = o->asked_count; i < ISOLATION_ASKED; i++)
        o->asked[i] = (struct isolation_exception){0};
    for (unsigned i = 0; i < o->asked_count; i++) {
        struct addr_prefix *prefix = &o->asked[i].prefix;
        o->asked[i].cluster = (struct isolation_name){0};
        o->asked[i].order = 0;
        o->asked[i].from_us = 0;
        if (!o->asked[i].has_prefix)
            *prefix = (struct addr_prefix){0};
        for (unsigned bit = prefix->bits; bit < 128; bit++)
            prefix->ip[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
    }
}

static void number(const struct isolation_state *old, const struct isolation_order *o, int64_t now_us,
                   struct isolation_state *ret)
{
    *ret = *old;
    ret->order++;
    ret->at_us = now_us;
    ret->last = *o;
    keep_what_counts(&ret->last);
    ret->is_proposal = ret->is_half = ret->is_dropped = false;
}

static enum isolation_refusal carry_over(const struct isolation_state *old, const struct isolation_order *o,
                                         const struct isolation_policy *policy, int64_t now_us,
                                         struct isolation_state *ret)
{
    number(old, o, now_us, ret);
    bool is_partner = is_asked(o, ISOLATION_EVENT_NEXT) || is_asked(o, ISOLATION_EVENT_BACK) ||
                      is_asked(o, ISOLATION_EVENT_ALARM);
    enum isolation_refusal refusal =
        is_partner ? partner_order(ret, o, policy, now_us) : scope_order(ret, &ret->last, now_us);
    if (!refusal)
        state_tidy(ret);
    return refusal;
}

static void free_desk(struct isolation_state *s)
{
    s->proposal = (struct isolation_order){0};
    s->proposal_order = 0;
    s->proposal_until_us = 0;
}

static bool takes_two(const struct isolation_state *old, const struct isolation_state *new,
                      const struct isolation_order *o, const struct isolation_policy *policy)
{
    if (is_asked(o, ISOLATION_EVENT_ALARM) || !(policy->two_to_close || policy->two_to_open))
        return false;
    struct comparison c = state_compare(old, new);
    return (c.opens && policy->two_to_open) || (c.tightens && policy->two_to_close);
}

static enum isolation_refusal propose(const struct isolation_state *old, const struct isolation_order *o,
                                      const struct isolation_policy *policy, int64_t now_us,
                                      struct isolation_state *ret)
{
    if (old->proposal.event && now_us < old->proposal_until_us)
        return ISOLATION_REFUSED_PROPOSAL_WAITS;
    number(old, o, now_us, ret);
    ret->is_proposal = true;
    ret->proposal = ret->last;
    ret->proposal_order = ret->order;
    ret->proposal_until_us = now_us + (policy->approval_us ? policy->approval_us : HOUR_US);
    return ISOLATION_ACCEPTED;
}

static enum isolation_refusal approve(const struct isolation_state *old, const struct isolation_order *o,
                                      const struct isolation_inventory *inventory,
                                      const struct isolation_policy *policy, int64_t now_us,
                                      struct isolation_state *ret)
{
    struct isolation_order waiting = old->proposal;
    if (now_us >= old->proposal_until_us)
        return ISOLATION_REFUSED_PROPOSAL_OVER;
    if (str_eq_nocase(ISOLATION_STR(o->who), ISOLATION_STR(waiting.who)))
        return ISOLATION_REFUSED_SAME_PERSON;
    waiting.approved_by = o->who;
    enum isolation_refusal refusal = order_check(old, &waiting, inventory, policy, now_us);
    if (!refusal)
        refusal = carry_over(old, &waiting, policy, now_us, ret);
    if (!refusal)
        free_desk(ret);
    return refusal;
}

static enum isolation_refusal decide(const struct isolation_state *old, const struct isolation_order *o,
                                     const struct isolation_inventory *inventory,
                                     const struct isolation_policy *policy, int64_t now_us,
                                     struct isolation_state *ret)
{
    if (!old->proposal.event || o->proposal != old->proposal_order)
        return ISOLATION_REFUSED_PROPOSAL_NONE;
    if (is_asked(o, ISOLATION_EVENT_APPROVE))
        return approve(old, o, inventory, policy, now_us, ret);
    number(old, o, now_us, ret);
    free_desk(ret);
    return ISOLATION_ACCEPTED;
}

enum isolation_refusal isolation_apply(const struct isolation_state *old, const struct isolation_order *o,
                                       const struct isolation_inventory *inventory,
                                       const struct isolation_policy *policy, struct isolation_moment now,
                                       struct isolation_state *ret)
{
    enum isolation_refusal refusal = order_check(old, o, inventory, policy, now.us);
    if (refusal)
        return refusal;
    if (is_asked(o, ISOLATION_EVENT_APPROVE) || is_asked(o, ISOLATION_EVENT_WITHDRAW))
        return decide(old, o, inventory, policy, now.us, ret);
    refusal = carry_over(old, o, policy, now.us, ret);
    if (refusal || !takes_two(old, ret, o, policy))
        return refusal;
    return propose(old, o, policy, now.us, ret);
}

/* ---- time */

static void take_earlier(int64_t *earliest, int64_t us)
{
    if (us && (!*earliest || us < *earliest))
        *earliest = us;
}

static bool drop_over(struct isolation_state *s, int64_t now_us)
{
    unsigned kept = 0, count = s->exception_count;
    for (unsigned i = 0; i < count; i++)
        if (now_us < s->exception[i].until_us)
            s->exception[kept++] = s->exception[i];
    s->exception_count = kept;
    return kept < count;
}

static int64_t next_due(const struct isolation_state *s, int64_t now_us)
{
    int64_t next = 0;
    for (unsigned i = 0; i < s->scope_count; i++) {
        int64_t due = scope_due_us(&s->scope[i]);
        take_earlier(&next, due && due <= now_us ? now_us + 1'000'000 : due); /* waits for a sound clock */
    }
    for (unsigned i = 0; i < s->exception_count; i++)
        take_earlier(&next, s->exception[i].until_us);
    take_earlier(&next, s->proposal_until_us);
    return next;
}

bool isolation_tick(const struct isolation_state *old, struct isolation_moment now,
                    struct isolation_state *ret, int64_t *ret_next_us)
{
    struct isolation_order o = {.event = ISOLATION_EVENT_TIME};
    (void)isolation_name_set(&o.who, STR("polder"));
    (void)isolation_reason_set(&o.reason, STR("an end that was ordered has come"));
    number(old, &o, now.us, ret);
    bool did = drop_over(ret, now.us);
    for (unsigned i = 0; i < ret->scope_count; i++)
        did |= scope_time(ret, &ret->scope[i], now);
    if (ret->proposal_until_us && ret->proposal_until_us <= now.us) {
        free_desk(ret);
        did = true;
    }
    if (did)
        state_tidy(ret);
    else
        *ret = *old;
    *ret_next_us = next_due(ret, now.us);
    return did;
}
