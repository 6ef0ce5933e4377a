/* Orders one by one: every transition of the three machines, every refusal, time, plans, and the rules for
 * the packet filter. */
#include "kit.h"

#include "filter/filter_abi.h"
#include "json/tape.h"

/* The packet filter numbers the levels as we do. */
#define LEVEL(name, ...) _Static_assert((int)FILTER_LEVEL_##name == (int)ISOLATION_##name, #name);
#include "isolation/levels.def"
#undef LEVEL
_Static_assert((int)FILTER_LEVEL_COUNT == (int)ISOLATION_LEVEL_COUNT, "levels");

struct setting {
    struct kit kit;
    struct isolation_state *s;
    struct isolation_order o;
};

static void setting_init(struct setting *t)
{
    kit_init(&t->kit);
    t->s = kit_state();
    t->o = (struct isolation_order){0};
}

static void must_do(struct setting *t, int64_t us)
{
    kit_must(&t->kit, t->s, &t->o, us);
}

static void must_refuse(struct setting *t, enum isolation_refusal expected, int64_t us)
{
    enum isolation_refusal is = kit_apply(&t->kit, t->s, &t->o, us);
    if (is != expected)
        fail_msg("%.*s, and should be: %.*s", STR_ARG(isolation_refusal_text(is, ISOLATION_EN)),
                 STR_ARG(isolation_refusal_text(expected, ISOLATION_EN)));
}

static uint8_t level(const struct setting *t, const char *cluster)
{
    return isolation_level(t->s, str_of(cluster));
}

static uint8_t stage(const struct setting *t, const char *cluster, const char *partner)
{
    return isolation_stage(t->s, str_of(cluster), str_of(partner), NULL);
}

static void test_levels(void **)
{
    struct setting t;
    setting_init(&t);
    static const struct {
        enum isolation_level level;
        enum isolation_answer answers[ISOLATION_PEERS];
    } rows[] = {
        {ISOLATION_OPEN, {ISOLATION_PASS, ISOLATION_PASS, ISOLATION_PASS, ISOLATION_PASS, ISOLATION_PASS}},
        {ISOLATION_GUARDED,
         {ISOLATION_LIMITED, ISOLATION_PASS, ISOLATION_PASS, ISOLATION_PASS, ISOLATION_PASS}},
        {ISOLATION_PARTNERS,
         {ISOLATION_NOTICE, ISOLATION_NOTICE, ISOLATION_PASS, ISOLATION_PASS, ISOLATION_PASS}},
        {ISOLATION_CLOSED,
         {ISOLATION_NOTICE, ISOLATION_NOTICE, ISOLATION_NOTICE, ISOLATION_PASS, ISOLATION_PASS}},
        {ISOLATION_SEALED,
         {ISOLATION_REFUSE, ISOLATION_REFUSE, ISOLATION_REFUSE, ISOLATION_REFUSE, ISOLATION_PASS}},
    };
    for (unsigned i = 0; i < ISOLATION_LEVEL_COUNT; i++) {
        t.o = kit_isolate(rows[i].level, "noord");
        must_do(&t, KIT_BEGIN);
        for (unsigned p = 0; p < ISOLATION_PEERS; p++) {
            const char *partner = p == ISOLATION_PARTNER ? "umc" : "";
            assert_int_equal(kit_judge(t.s, "noord", (enum isolation_peer)p, partner, KIT_BEGIN),
                             rows[i].answers[p]);
            assert_int_equal(kit_judge(t.s, "zuid", (enum isolation_peer)p, partner, KIT_BEGIN),
                             ISOLATION_PASS);
        }
    }
    free(t.s);
}

static void test_stricter_wins(void **)
{
    struct setting t;
    setting_init(&t);
    t.o = kit_isolate(ISOLATION_CLOSED, "noord");
    must_do(&t, KIT_BEGIN);
    t.o = kit_isolate(ISOLATION_PARTNERS, "");
    must_do(&t, KIT_BEGIN);
    assert_true(level(&t, "") == ISOLATION_PARTNERS && level(&t, "noord") == ISOLATION_CLOSED &&
                level(&t, "zuid") == ISOLATION_PARTNERS);
    t.o = kit_isolate(ISOLATION_SEALED, "");
    must_do(&t, KIT_BEGIN);
    assert_true(level(&t, "noord") == ISOLATION_SEALED);
    t.o = kit_isolate(ISOLATION_OPEN, "");
    must_do(&t, KIT_BEGIN);
    assert_true(level(&t, "noord") == ISOLATION_CLOSED && level(&t, "zuid") == ISOLATION_OPEN);
    free(t.s);
}

/* The heart of scope.c: what is drawn at its head. */
static void test_scope_machine(void **)
{
    struct setting t;
    setting_init(&t);
    t.o = kit_isolate(ISOLATION_GUARDED, "");
    must_do(&t, KIT_BEGIN);
    t.o = kit_isolate(ISOLATION_CLOSED, ""); /* steady to timed */
    t.o.until_us = KIT_BEGIN + 8 * KIT_HOUR;
    must_do(&t, KIT_BEGIN);
    t.o = kit_isolate(ISOLATION_SEALED, ""); /* timed over timed */
    t.o.until_us = KIT_BEGIN + KIT_HOUR;
    must_do(&t, KIT_BEGIN);
    t.o = kit_order(ISOLATION_EVENT_CONFIRM, "");
    must_refuse(&t, ISOLATION_REFUSED_NOTHING_PROVISIONAL, KIT_BEGIN);
    assert_false(kit_tick(t.s, kit_at(KIT_BEGIN + KIT_HOUR - 1)));
    assert_true(kit_tick(t.s, kit_at(KIT_BEGIN + KIT_HOUR)) && level(&t, "") == ISOLATION_CLOSED);
    assert_true(t.s->last.event == ISOLATION_EVENT_TIME);
    t.o = kit_isolate(ISOLATION_OPEN, ""); /* provisional, and back to timed */
    t.o.confirm_by_us = KIT_BEGIN + 2 * KIT_HOUR;
    must_do(&t, KIT_BEGIN + KIT_HOUR);
    assert_true(level(&t, "") == ISOLATION_OPEN);
    assert_true(kit_tick(t.s, kit_at(KIT_BEGIN + 2 * KIT_HOUR)) && level(&t, "") == ISOLATION_CLOSED);
    t.o = kit_isolate(ISOLATION_PARTNERS, ""); /* provisional, confirmed */
    t.o.confirm_by_us = KIT_BEGIN + 3 * KIT_HOUR;
    must_do(&t, KIT_BEGIN + 2 * KIT_HOUR);
    t.o = kit_order(ISOLATION_EVENT_CONFIRM, "");
    must_do(&t, KIT_BEGIN + 2 * KIT_HOUR);
    assert_false(kit_tick(t.s, kit_at(KIT_BEGIN + KIT_DAY)) || level(&t, "") != ISOLATION_PARTNERS);
    t.o = kit_isolate(ISOLATION_CLOSED, ""); /* provisional, settled by the next order */
    t.o.confirm_by_us = KIT_BEGIN + KIT_DAY + KIT_HOUR;
    must_do(&t, KIT_BEGIN + KIT_DAY);
    t.o = kit_isolate(ISOLATION_SEALED, "");
    t.o.until_us = KIT_BEGIN + 2 * KIT_DAY;
    must_do(&t, KIT_BEGIN + KIT_DAY);
    assert_true(kit_tick(t.s, kit_at(KIT_BEGIN + 3 * KIT_DAY)) && level(&t, "") == ISOLATION_CLOSED);
    free(t.s);
}

static void test_unsound_clock(void **)
{
    struct setting t;
    setting_init(&t);
    struct isolation_moment doubtful = {KIT_BEGIN + KIT_DAY, false};
    t.o = kit_isolate(ISOLATION_CLOSED, "");
    t.o.until_us = KIT_BEGIN + KIT_HOUR;
    kit_ask(&t.o, "umc", KIT_BEGIN + KIT_MINUTE);
    must_do(&t, KIT_BEGIN);
    t.o = kit_isolate(ISOLATION_OPEN, "zuid");
    must_do(&t, KIT_BEGIN);
    assert_true(kit_tick(t.s, doubtful)); /* the exception goes */
    assert_false(kit_tick(t.s, doubtful));
    assert_int_equal(level(&t, ""), ISOLATION_CLOSED);
    doubtful.is_sound = true;
    assert_true(kit_tick(t.s, doubtful) && level(&t, "") == ISOLATION_OPEN);
    free(t.s);
}

/* The same level below, but with a partner who was back: that opens too. */
static void test_unsound_clock_and_partners(void **)
{
    struct setting t;
    setting_init(&t);
    struct isolation_moment doubtful = {KIT_BEGIN + KIT_DAY, false};
    t.o = kit_isolate(ISOLATION_CLOSED, "");
    must_do(&t, KIT_BEGIN);
    t.o = kit_partner(ISOLATION_EVENT_NEXT, "umc", "");
    must_do(&t, KIT_BEGIN);
    t.o = kit_isolate(ISOLATION_OPEN, "");
    t.o.until_us = KIT_BEGIN + KIT_HOUR;
    must_do(&t, KIT_BEGIN);
    t.o = kit_isolate(ISOLATION_CLOSED, "");
    t.o.until_us = KIT_BEGIN + 2 * KIT_HOUR;
    must_do(&t, KIT_BEGIN);
    assert_int_equal(stage(&t, "", "umc"), ISOLATION_STAGE_CUT);
    assert_false(kit_tick(t.s, doubtful));
    assert_int_equal(stage(&t, "", "umc"), ISOLATION_STAGE_CUT);
    doubtful.is_sound = true;
    assert_true(kit_tick(t.s, doubtful) && level(&t, "") == ISOLATION_CLOSED);
    assert_int_equal(stage(&t, "", "umc"), ISOLATION_STAGE_READ_ONLY);
    free(t.s);
}

/* And the same level below with an exception that the one above does not have. */
static void test_unsound_clock_and_exceptions(void **)
{
    struct setting t;
    setting_init(&t);
    struct isolation_moment doubtful = {KIT_BEGIN + 2 * KIT_HOUR, false};
    t.o = kit_isolate(ISOLATION_CLOSED, "");
    kit_ask(&t.o, "umc", KIT_BEGIN + KIT_DAY);
    must_do(&t, KIT_BEGIN);
    t.o = kit_isolate(ISOLATION_CLOSED, "");
    t.o.until_us = KIT_BEGIN + KIT_HOUR;
    must_do(&t, KIT_BEGIN);
    assert_false(kit_tick(t.s, doubtful));
    assert_int_equal(kit_judge(t.s, "", ISOLATION_PARTNER, "umc", doubtful.us), ISOLATION_NOTICE);
    doubtful.is_sound = true;
    assert_true(kit_tick(t.s, doubtful));
    assert_int_equal(kit_judge(t.s, "", ISOLATION_PARTNER, "umc", doubtful.us), ISOLATION_PASS);
    free(t.s);
}

/* A clock that goes back before the order ends an exception too: it may not live longer than was said. */
static void test_exceptions(void **)
{
    struct setting t;
    setting_init(&t);
    t.o = kit_isolate(ISOLATION_CLOSED, "");
    struct isolation_exception *e = kit_ask(&t.o, "umc", KIT_BEGIN + KIT_HOUR);
    e->direction = ISOLATION_IN;
    e->port_from = e->port_to = 443;
    e->has_prefix = true;
    assert_true(addr_parse_prefix(STR("192.0.2.0/28"), &e->prefix));
    must_do(&t, KIT_BEGIN);
    struct addr inside, outside;
    assert_true(addr_parse(STR("192.0.2.7:0"), &inside) && addr_parse(STR("192.0.2.99:0"), &outside));
    struct isolation_question q = {STR("noord"), STR("umc"), &inside, ISOLATION_PARTNER, ISOLATION_IN, 443};
    assert_int_equal(isolation_judge(t.s, &q, KIT_BEGIN), ISOLATION_PASS);
    assert_int_equal(isolation_judge(t.s, &q, KIT_BEGIN - 1), ISOLATION_NOTICE);
    assert_int_equal(isolation_judge(t.s, &q, KIT_BEGIN + KIT_HOUR), ISOLATION_NOTICE);
    q.port = 80;
    assert_int_equal(isolation_judge(t.s, &q, KIT_BEGIN), ISOLATION_NOTICE);
    q.port = 443;
    q.direction = ISOLATION_OUT;
    assert_int_equal(isolation_judge(t.s, &q, KIT_BEGIN), ISOLATION_REFUSE);
    q.direction = ISOLATION_IN;
    q.address = &outside;
    assert_int_equal(isolation_judge(t.s, &q, KIT_BEGIN), ISOLATION_NOTICE);
    q.address = &inside;
    t.o = kit_isolate(ISOLATION_SEALED, ""); /* at sealed it is nothing; afterwards it is there again */
    t.o.until_us = KIT_BEGIN + KIT_MINUTE;
    must_do(&t, KIT_BEGIN);
    assert_int_equal(isolation_judge(t.s, &q, KIT_BEGIN), ISOLATION_REFUSE);
    kit_tick(t.s, kit_at(KIT_BEGIN + KIT_MINUTE));
    assert_int_equal(isolation_judge(t.s, &q, KIT_BEGIN + KIT_MINUTE), ISOLATION_PASS);
    t.o = kit_isolate(ISOLATION_CLOSED, "noord"); /* what the site leaves open its cluster may close */
    must_do(&t, KIT_BEGIN + KIT_MINUTE);
    assert_int_equal(isolation_judge(t.s, &q, KIT_BEGIN + KIT_MINUTE), ISOLATION_NOTICE);
    q.cluster = STR("zuid");
    assert_int_equal(isolation_judge(t.s, &q, KIT_BEGIN + KIT_MINUTE), ISOLATION_PASS);
    t.o = kit_partner(ISOLATION_EVENT_REVOKE, "umc", "");
    must_do(&t, KIT_BEGIN + KIT_MINUTE);
    assert_int_equal(isolation_judge(t.s, &q, KIT_BEGIN + KIT_MINUTE), ISOLATION_NOTICE);
    must_refuse(&t, ISOLATION_REFUSED_EXCEPTION_NONE, KIT_BEGIN + KIT_MINUTE);
    free(t.s);
}

static void test_partner_machine(void **)
{
    static const struct {
        enum isolation_event event;
        int to[ISOLATION_STAGE_COUNT]; /* from each stage; negative: refused so */
    } rows[] = {
        {ISOLATION_EVENT_NEXT, {1, 2, 3, -ISOLATION_REFUSED_STAGE_LAST}},
        {ISOLATION_EVENT_BACK, {-ISOLATION_REFUSED_STAGE_FIRST, 0, 1, 2}},
        {ISOLATION_EVENT_ALARM, {-ISOLATION_REFUSED_STAGE_CALM, 0, 1, -ISOLATION_REFUSED_STAGE_CALM}},
    };
    struct setting t;
    for (unsigned i = 0; i < 3; i++) {
        for (int from = 0; from < ISOLATION_STAGE_COUNT; from++) {
            setting_init(&t);
            t.o = kit_isolate(ISOLATION_CLOSED, "");
            must_do(&t, KIT_BEGIN);
            t.o = kit_partner(ISOLATION_EVENT_NEXT, "umc", "");
            for (int step = 0; step < from; step++)
                must_do(&t, KIT_BEGIN);
            assert_int_equal(stage(&t, "noord", "umc"), from);
            t.o = kit_partner(rows[i].event, "umc", "");
            int to = rows[i].to[from];
            if (to < 0)
                must_refuse(&t, (enum isolation_refusal) - to, KIT_BEGIN);
            else
                must_do(&t, KIT_BEGIN);
            assert_int_equal(stage(&t, "noord", "umc"), to < 0 ? from : to);
            assert_int_equal(stage(&t, "", "z-cert"), ISOLATION_STAGE_CUT);
            free(t.s);
        }
    }
}

static void test_way_back(void **)
{
    struct setting t;
    setting_init(&t);
    t.kit.policy.stage_us = KIT_HOUR;
    t.kit.policy.quiet_us = KIT_DAY;
    t.o = kit_isolate(ISOLATION_CLOSED, "");
    must_do(&t, KIT_BEGIN);
    t.o = kit_isolate(ISOLATION_OPEN, ""); /* to lower the level reconnects nobody */
    must_do(&t, KIT_BEGIN);
    assert_int_equal(stage(&t, "", "umc"), ISOLATION_STAGE_CUT);
    assert_int_equal(kit_judge(t.s, "zuid", ISOLATION_PARTNER, "umc", KIT_BEGIN), ISOLATION_NOTICE);
    t.o = kit_partner(ISOLATION_EVENT_NEXT, "umc", "");
    must_refuse(&t, ISOLATION_REFUSED_STAGE_SOON, KIT_BEGIN + KIT_HOUR - 1);
    must_do(&t, KIT_BEGIN + KIT_HOUR);
    assert_int_equal(kit_judge(t.s, "zuid", ISOLATION_PARTNER, "umc", KIT_BEGIN), ISOLATION_READ_ONLY);
    must_refuse(&t, ISOLATION_REFUSED_STAGE_SOON, KIT_BEGIN + 2 * KIT_HOUR - 1);
    t.o.rate_per_s = 25;
    must_do(&t, KIT_BEGIN + 2 * KIT_HOUR);
    uint32_t rate;
    assert_int_equal(isolation_stage(t.s, STR_NONE, STR("umc"), &rate), ISOLATION_STAGE_PROBATION);
    assert_int_equal(rate, 25);
    t.o = kit_partner(ISOLATION_EVENT_ALARM, "umc", "");
    must_do(&t, KIT_BEGIN + 3 * KIT_HOUR);
    assert_int_equal(stage(&t, "", "umc"), ISOLATION_STAGE_READ_ONLY);
    t.o = kit_partner(ISOLATION_EVENT_NEXT, "umc", "");
    must_refuse(&t, ISOLATION_REFUSED_STAGE_ALARM, KIT_BEGIN + 3 * KIT_HOUR + KIT_DAY - 1);
    /* partners_back leaves who had an alarm where he is. */
    t.o = kit_isolate(ISOLATION_OPEN, "");
    t.o.partners_back = true;
    must_do(&t, KIT_BEGIN + 4 * KIT_HOUR);
    assert_int_equal(stage(&t, "", "apotheek"), ISOLATION_STAGE_FULL);
    assert_int_equal(stage(&t, "", "umc"), ISOLATION_STAGE_READ_ONLY);
    /* What was full is cut again when the level is raised again, and back when that ends by its time. */
    t.o = kit_isolate(ISOLATION_CLOSED, "");
    t.o.until_us = KIT_BEGIN + 6 * KIT_HOUR;
    must_do(&t, KIT_BEGIN + 5 * KIT_HOUR);
    assert_int_equal(stage(&t, "", "apotheek"), ISOLATION_STAGE_CUT);
    kit_tick(t.s, kit_at(KIT_BEGIN + 6 * KIT_HOUR));
    assert_int_equal(stage(&t, "", "apotheek"), ISOLATION_STAGE_FULL);
    assert_int_equal(stage(&t, "", "umc"), ISOLATION_STAGE_READ_ONLY);
    /* No time brings anybody further: days pass, and nothing is due. */
    assert_false(kit_tick(t.s, kit_at(KIT_BEGIN + 60 * KIT_DAY)));
    free(t.s);
}

static void test_two_persons(void **)
{
    struct setting t;
    setting_init(&t);
    t.kit.policy.two_to_open = true;
    t.o = kit_isolate(ISOLATION_CLOSED, ""); /* to close takes one */
    must_do(&t, KIT_BEGIN);
    assert_true(!t.s->is_proposal && level(&t, "") == ISOLATION_CLOSED);
    t.o = kit_isolate(ISOLATION_PARTNERS, "");
    must_do(&t, KIT_BEGIN);
    assert_true(t.s->is_proposal && level(&t, "") == ISOLATION_CLOSED && t.s->proposal_order == 2);
    must_refuse(&t, ISOLATION_REFUSED_PROPOSAL_WAITS, KIT_BEGIN);
    t.o = kit_order(ISOLATION_EVENT_APPROVE, "");
    must_refuse(&t, ISOLATION_REFUSED_PROPOSAL_NONE, KIT_BEGIN);
    t.o.proposal = 2;
    must_refuse(&t, ISOLATION_REFUSED_SAME_PERSON, KIT_BEGIN);
    assert_true(isolation_name_set(&t.o.who, STR("J.Dijkstra")));
    must_refuse(&t, ISOLATION_REFUSED_SAME_PERSON, KIT_BEGIN);
    assert_true(isolation_name_set(&t.o.who, STR("h.bakker")));
    must_refuse(&t, ISOLATION_REFUSED_PROPOSAL_OVER, KIT_BEGIN + KIT_HOUR);
    must_do(&t, KIT_BEGIN + KIT_MINUTE);
    assert_true(level(&t, "") == ISOLATION_PARTNERS && !t.s->is_proposal &&
                t.s->proposal.event == ISOLATION_EVENT_NONE);
    assert_true(str_eq(ISOLATION_STR(t.s->last.approved_by), STR("h.bakker")) &&
                str_eq(ISOLATION_STR(t.s->last.who), STR("j.dijkstra")));
    t.o = kit_partner(ISOLATION_EVENT_NEXT, "umc", ""); /* a way back opens too */
    must_do(&t, KIT_BEGIN + KIT_MINUTE);
    assert_true(t.s->is_proposal && stage(&t, "", "umc") == ISOLATION_STAGE_CUT);
    uint64_t waiting = t.s->proposal_order;
    t.o = kit_isolate(ISOLATION_SEALED, ""); /* to close goes on beside it */
    must_do(&t, KIT_BEGIN + KIT_MINUTE);
    t.o = kit_order(ISOLATION_EVENT_APPROVE, "");
    assert_true(isolation_name_set(&t.o.who, STR("h.bakker")));
    t.o.proposal = waiting;
    must_refuse(&t, ISOLATION_REFUSED_STAGE_SEALED, KIT_BEGIN + 2 * KIT_MINUTE); /* it is looked at anew */
    t.o.event = ISOLATION_EVENT_WITHDRAW;
    must_do(&t, KIT_BEGIN + 2 * KIT_MINUTE);
    must_refuse(&t, ISOLATION_REFUSED_PROPOSAL_NONE, KIT_BEGIN + 2 * KIT_MINUTE);
    t.o = kit_isolate(ISOLATION_OPEN, ""); /* its own end has come before it was approved */
    t.o.until_us = KIT_BEGIN + 10 * KIT_MINUTE;
    must_do(&t, KIT_BEGIN + 2 * KIT_MINUTE);
    t.o = kit_order(ISOLATION_EVENT_APPROVE, "");
    assert_true(isolation_name_set(&t.o.who, STR("h.bakker")));
    t.o.proposal = t.s->proposal_order;
    must_refuse(&t, ISOLATION_REFUSED_PAST, KIT_BEGIN + 11 * KIT_MINUTE);
    t.o.event = ISOLATION_EVENT_WITHDRAW;
    must_do(&t, KIT_BEGIN + 2 * KIT_MINUTE);
    t.kit.policy.two_to_close = true;
    t.o = kit_isolate(ISOLATION_OPEN, "");
    must_do(&t, KIT_BEGIN + 2 * KIT_MINUTE);
    assert_true(t.s->is_proposal);
    assert_true(kit_tick(t.s, kit_at(KIT_BEGIN + 2 * KIT_HOUR)) &&
                t.s->proposal.event == ISOLATION_EVENT_NONE);
    free(t.s);
}

/* ---- refusals: one change to an order that is fine */

typedef void spoil(struct setting *);

static void no_event(struct setting *t)
{
    t->o.event = ISOLATION_EVENT_TIME;
}
static void no_who(struct setting *t)
{
    t->o.who.n = 0;
}
static void bad_who(struct setting *t)
{
    t->o.who.p[0] = '\n';
}
static void bad_role(struct setting *t)
{
    t->o.role.p[0] = '\xff';
}
static void no_reason(struct setting *t)
{
    t->o.reason.n = 0;
}
static void bad_reason(struct setting *t)
{
    t->o.reason.p[3] = '\x1b';
}
static void bad_level(struct setting *t)
{
    t->o.level = ISOLATION_LEVEL_COUNT;
}
static void bad_cluster(struct setting *t)
{
    assert_true(isolation_name_set(&t->o.cluster, STR("west")));
}
static void bad_partner(struct setting *t)
{
    assert_true(isolation_name_set(&t->o.asked[0].partner, STR("umcg")));
}
static void no_partner(struct setting *t)
{
    t->o.event = ISOLATION_EVENT_NEXT;
    t->o.asked_count = 0;
}
static void wide_prefix(struct setting *t)
{
    t->o.asked[0].has_prefix = true;
    assert_true(addr_parse_prefix(STR("192.0.2.0/23"), &t->o.asked[0].prefix));
}
static void other_prefix(struct setting *t)
{
    t->o.asked[0].has_prefix = true;
    assert_true(addr_parse_prefix(STR("198.51.100.0/24"), &t->o.asked[0].prefix));
}
static void endless_prefix(struct setting *t)
{
    t->o.asked[0].has_prefix = true;
    t->o.asked[0].prefix = t->kit.prefixes[0][0];
    t->o.asked[0].prefix.bits = 200;
}
static void bad_direction(struct setting *t)
{
    t->o.asked[0].direction = 4;
}
static void bad_ports(struct setting *t)
{
    t->o.asked[0].port_from = 444;
    t->o.asked[0].port_to = 443;
}
static void past(struct setting *t)
{
    t->o.until_us = KIT_BEGIN;
}
static void past_exception(struct setting *t)
{
    t->o.asked[0].until_us = KIT_BEGIN;
}
static void far(struct setting *t)
{
    t->o.until_us = KIT_BEGIN + 91 * KIT_DAY;
}
static void far_exception(struct setting *t)
{
    t->o.asked[0].until_us = KIT_BEGIN + 31 * KIT_DAY;
}
static void endless_exception(struct setting *t)
{
    t->o.asked[0].until_us = 0;
}
static void confirm_now(struct setting *t)
{
    t->o.confirm_by_us = KIT_BEGIN + KIT_SECOND;
}
static void confirm_late(struct setting *t)
{
    t->o.confirm_by_us = KIT_BEGIN + 2 * KIT_HOUR;
    t->o.until_us = KIT_BEGIN + KIT_HOUR;
}
static void sealed_exception(struct setting *t)
{
    t->o.level = ISOLATION_SEALED;
}
static void needless_exception(struct setting *t)
{
    t->o.level = ISOLATION_GUARDED;
}
static void no_exception(struct setting *t)
{
    t->o.event = ISOLATION_EVENT_EXCEPT;
    t->o.asked_count = 0;
}
static void exception_open(struct setting *t)
{
    t->o.event = ISOLATION_EVENT_EXCEPT;
}
static void asked_elsewhere(struct setting *t)
{
    t->o.event = ISOLATION_EVENT_CONFIRM;
}
static void too_many_asked(struct setting *t)
{
    t->o.asked_count = ISOLATION_ASKED + 1;
}
static void too_many_each(struct setting *t)
{
    while (t->o.asked_count <= ISOLATION_EXCEPTIONS_EACH)
        kit_ask(&t->o, "umc", KIT_BEGIN + KIT_HOUR);
}
static void back_closed(struct setting *t)
{
    t->o.partners_back = true;
}
static void back_raising(struct setting *t)
{
    t->o.level = ISOLATION_PARTNERS;
    t->o.partners_back = true;
}
static void rate(struct setting *t)
{
    t->o.rate_per_s = 5;
}

static void test_refusals(void **)
{
    static const struct {
        spoil *spoil;
        enum isolation_refusal refusal;
    } rows[] = {
        {no_event, ISOLATION_REFUSED_EVENT},
        {no_who, ISOLATION_REFUSED_WHO},
        {bad_who, ISOLATION_REFUSED_WHO},
        {bad_role, ISOLATION_REFUSED_ROLE},
        {no_reason, ISOLATION_REFUSED_REASON},
        {bad_reason, ISOLATION_REFUSED_REASON},
        {bad_level, ISOLATION_REFUSED_LEVEL},
        {bad_cluster, ISOLATION_REFUSED_CLUSTER},
        {bad_partner, ISOLATION_REFUSED_PARTNER},
        {no_partner, ISOLATION_REFUSED_PARTNER},
        {wide_prefix, ISOLATION_REFUSED_PREFIX},
        {other_prefix, ISOLATION_REFUSED_PREFIX},
        {endless_prefix, ISOLATION_REFUSED_PREFIX},
        {bad_direction, ISOLATION_REFUSED_DIRECTION},
        {bad_ports, ISOLATION_REFUSED_PORTS},
        {past, ISOLATION_REFUSED_PAST},
        {past_exception, ISOLATION_REFUSED_PAST},
        {far, ISOLATION_REFUSED_FAR},
        {far_exception, ISOLATION_REFUSED_FAR},
        {confirm_now, ISOLATION_REFUSED_CONFIRM_TIME},
        {confirm_late, ISOLATION_REFUSED_CONFIRM_TIME},
        {endless_exception, ISOLATION_REFUSED_EXCEPTION_END},
        {sealed_exception, ISOLATION_REFUSED_EXCEPTION_SEALED},
        {needless_exception, ISOLATION_REFUSED_EXCEPTION_NEEDLESS},
        {exception_open, ISOLATION_REFUSED_EXCEPTION_NEEDLESS},
        {no_exception, ISOLATION_REFUSED_EXCEPTION_NONE},
        {asked_elsewhere, ISOLATION_REFUSED_EXCEPTION_NONE},
        {too_many_asked, ISOLATION_REFUSED_EXCEPTIONS_FULL},
        {too_many_each, ISOLATION_REFUSED_EXCEPTIONS_FULL},
        {back_closed, ISOLATION_REFUSED_BACK_CLOSED},
        {back_raising, ISOLATION_REFUSED_BACK_CLOSED},
        {rate, ISOLATION_REFUSED_RATE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct setting t;
        setting_init(&t);
        t.o = kit_isolate(ISOLATION_CLOSED, "");
        kit_ask(&t.o, "umc", KIT_BEGIN + KIT_HOUR);
        rows[i].spoil(&t);
        must_refuse(&t, rows[i].refusal, KIT_BEGIN);
        assert_int_equal(t.s->order, 0);
        free(t.s);
    }
}

static void test_rooms(void **)
{
    struct setting t;
    setting_init(&t);
    for (unsigned i = ISOLATION_LAYERS; i > 0; i--) {
        t.o = kit_isolate(ISOLATION_GUARDED, "");
        t.o.until_us = KIT_BEGIN + (int64_t)i * KIT_HOUR;
        if (i > 1)
            must_do(&t, KIT_BEGIN);
        else
            must_refuse(&t, ISOLATION_REFUSED_LAYERS_FULL, KIT_BEGIN);
    }
    t.o = kit_isolate(ISOLATION_CLOSED, "");
    must_do(&t, KIT_BEGIN);
    for (unsigned i = 0; i < ISOLATION_EXCEPTIONS_EACH; i++) {
        t.o = kit_order(ISOLATION_EVENT_EXCEPT, "");
        kit_ask(&t.o, "umc", KIT_BEGIN + KIT_HOUR);
        must_do(&t, KIT_BEGIN);
    }
    must_refuse(&t, ISOLATION_REFUSED_EXCEPTIONS_FULL, KIT_BEGIN);
    t.o = kit_isolate(ISOLATION_SEALED, "");
    must_do(&t, KIT_BEGIN);
    t.o = kit_order(ISOLATION_EVENT_EXCEPT, "");
    kit_ask(&t.o, "umc", KIT_BEGIN + KIT_HOUR);
    must_refuse(&t, ISOLATION_REFUSED_EXCEPTION_SEALED, KIT_BEGIN);
    t.o = kit_partner(ISOLATION_EVENT_NEXT, "umc", "");
    must_refuse(&t, ISOLATION_REFUSED_STAGE_SEALED, KIT_BEGIN);
    t.o = kit_isolate(ISOLATION_OPEN, "");
    must_do(&t, KIT_BEGIN);
    t.o = kit_partner(ISOLATION_EVENT_NEXT, "umc", "");
    t.o.rate_per_s = 5; /* from cut to read-only: no rate there */
    must_refuse(&t, ISOLATION_REFUSED_RATE, KIT_BEGIN);
    free(t.s);
}

static void test_many(void **)
{
    struct setting t;
    struct str *names = calloc(ISOLATION_SCOPES, sizeof *names);
    struct isolation_partner *partners = calloc(ISOLATION_STANDINGS + 1, sizeof *partners);
    char(*text)[8] = calloc(ISOLATION_SCOPES + 1, sizeof *text);
    assert_true(names && partners && text);
    setting_init(&t);
    for (unsigned i = 0; i <= ISOLATION_SCOPES; i++) {
        snprintf(text[i], sizeof text[i], "n%u", i);
        if (i < ISOLATION_SCOPES)
            names[i] = str_of(text[i]);
        partners[i] = (struct isolation_partner){str_of(text[i]), t.kit.prefixes[0], 1};
    }
    t.kit.inventory.clusters = names;
    t.kit.inventory.cluster_count = ISOLATION_SCOPES;
    t.kit.inventory.partners = partners;
    t.kit.inventory.partner_count = ISOLATION_STANDINGS + 1;
    for (unsigned i = 0; i < ISOLATION_SCOPES; i++) {
        t.o = kit_isolate(ISOLATION_CLOSED, text[i]);
        if (i + 1 < ISOLATION_SCOPES)
            must_do(&t, KIT_BEGIN);
        else
            must_refuse(&t, ISOLATION_REFUSED_SCOPES_FULL, KIT_BEGIN);
    }
    for (unsigned i = 0; i <= ISOLATION_STANDINGS; i++) {
        t.o = kit_partner(ISOLATION_EVENT_BACK, text[i], "");
        if (i < ISOLATION_STANDINGS)
            must_do(&t, KIT_BEGIN);
        else
            must_refuse(&t, ISOLATION_REFUSED_PARTNERS_FULL, KIT_BEGIN);
    }
    /* The fullest state has room in a record, and comes back. */
    struct buf out = buf_over(malloc(ISOLATION_RECORD_MAX), ISOLATION_RECORD_MAX);
    struct arena *arena = arena_new(ISOLATION_RECORD_ARENA);
    uint64_t sequence;
    isolation_record_write(&out, t.s, 1);
    assert_false(buf_overflowed(&out));
    assert_true(isolation_record_read(buf_text(&out), arena, t.s, &sequence));
    print_message("%zu bytes\n", out.n);
    arena_free(arena);
    free(out.p);
    free(names);
    free(partners);
    free(text);
    free(t.s);
}

static void test_plan(void **)
{
    struct setting t;
    setting_init(&t);
    struct isolation_session sessions[] = {
        {.cluster = STR("noord"), .class = ISOLATION_UNKNOWN, .direction = ISOLATION_IN, .port = 443},
        {.cluster = STR("noord"),
         .class = ISOLATION_PARTNER,
         .direction = ISOLATION_IN,
         .port = 443,
         .partner = STR("umc")},
        {.cluster = STR("noord"),
         .class = ISOLATION_PARTNER,
         .direction = ISOLATION_IN,
         .port = 443,
         .partner = STR("z-cert")},
        {.cluster = STR("noord"), .class = ISOLATION_INSIDE, .direction = ISOLATION_IN, .port = 443},
        {.class = ISOLATION_MANAGEMENT, .direction = ISOLATION_IN, .port = 9000},
    };
    enum isolation_change by_session[5], by_partner[KIT_PARTNERS], by_cluster[KIT_CLUSTERS];
    struct isolation_plan plan = {by_session, by_partner, by_cluster, 0, 0, 0};
    t.kit.inventory.sessions = sessions;
    t.kit.inventory.session_count = 5;
    struct isolation_state *old = malloc(sizeof *old);
    *old = *t.s;
    t.o = kit_isolate(ISOLATION_CLOSED, "");
    kit_ask(&t.o, "umc", KIT_BEGIN + KIT_HOUR);
    must_do(&t, KIT_BEGIN);
    isolation_plan(old, t.s, &t.kit.inventory, KIT_BEGIN, &plan);
    assert_true(by_session[0] == ISOLATION_CUTS && by_session[1] == ISOLATION_SAME &&
                by_session[2] == ISOLATION_CUTS && by_session[3] == ISOLATION_SAME &&
                by_session[4] == ISOLATION_SAME);
    assert_true(by_partner[0] == ISOLATION_SAME && by_partner[1] == ISOLATION_CUTS &&
                by_cluster[0] == ISOLATION_CUTS);
    assert_true(plan.sessions_cut == 2 && plan.partners_cut == 2 && plan.clusters_cut == 2);
    isolation_plan(t.s, old, &t.kit.inventory, KIT_BEGIN, &plan);
    assert_true(by_session[0] == ISOLATION_OPENS && plan.sessions_cut == 0);
    free(old);
    free(t.s);
}

static void test_rules(void **)
{
    struct setting t;
    struct isolation_rule rules[64];
    const uint16_t notice[] = {443};
    setting_init(&t);
    assert_int_equal(isolation_rules(t.s, &t.kit.inventory, notice, 1, KIT_BEGIN, rules, 64), 0);
    t.o = kit_isolate(ISOLATION_CLOSED, "");
    kit_ask(&t.o, "umc", KIT_BEGIN + KIT_HOUR)->direction = ISOLATION_OUT;
    must_do(&t, KIT_BEGIN);
    t.o = kit_partner(ISOLATION_EVENT_NEXT, "apotheek", "");
    must_do(&t, KIT_BEGIN);
    size_t count = isolation_rules(t.s, &t.kit.inventory, notice, 1, KIT_BEGIN, rules, 64);
    assert_int_equal(count, 2 + 4); /* both networks of one, out; both of the other, both ways */
    assert_true(rules[0].is_allow && rules[0].direction == ISOLATION_OUT &&
                rules[0].until_us == KIT_BEGIN + KIT_HOUR && rules[0].last_level == ISOLATION_CLOSED);
    assert_true(rules[2].is_allow && rules[2].until_us == 0 && rules[2].last_level == ISOLATION_CLOSED);
    assert_int_equal(isolation_rules(t.s, &t.kit.inventory, notice, 1, KIT_BEGIN, rules, 1), count);
    t.o = kit_isolate(ISOLATION_OPEN, ""); /* who is still cut off is blocked, but for the notice */
    must_do(&t, KIT_BEGIN);
    count = isolation_rules(t.s, &t.kit.inventory, notice, 1, KIT_BEGIN, rules, 64);
    assert_int_equal(count, 2 * 2 * 3);
    assert_true(rules[0].is_allow && rules[0].port_from == 443 && rules[0].direction == ISOLATION_IN);
    assert_true(!rules[1].is_allow && rules[1].port_to == 65535 && !rules[2].is_allow &&
                rules[2].direction == ISOLATION_OUT);
    t.o = kit_isolate(ISOLATION_SEALED, "");
    must_do(&t, KIT_BEGIN);
    assert_int_equal(isolation_rules(t.s, &t.kit.inventory, notice, 1, KIT_BEGIN, rules, 64), 0);
    free(t.s);
}

static void test_words(void **)
{
    uint8_t number;
    assert_true(isolation_level_of(STR("partners"), &number) && number == ISOLATION_PARTNERS);
    assert_false(isolation_level_of(STR("Partners"), &number) || isolation_level_of(STR_NONE, &number));
    assert_true(isolation_level_cuts(ISOLATION_PARTNERS) && !isolation_level_cuts(ISOLATION_GUARDED) &&
                isolation_level_cuts(ISOLATION_LEVEL_COUNT));
    assert_true(str_eq(isolation_effect_word(ISOLATION_EFFECT_CUT), STR("cut")));
    for (unsigned i = 0; i < ISOLATION_REFUSAL_COUNT; i++)
        for (unsigned l = 0; l < ISOLATION_LANGUAGES; l++) {
            struct str text = isolation_refusal_text((enum isolation_refusal)i, (enum isolation_language)l);
            assert_true(text.n > 10 && str_ends(text, STR(".")));
        }
    for (unsigned i = 0; i < ISOLATION_RECOVERIES; i++)
        assert_true(isolation_recovery_text((enum isolation_recovery)i, ISOLATION_NL).n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_stricter_wins),
        cmocka_unit_test(test_scope_machine),
        cmocka_unit_test(test_unsound_clock),
        cmocka_unit_test(test_unsound_clock_and_partners),
        cmocka_unit_test(test_unsound_clock_and_exceptions),
        cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_partner_machine),
        cmocka_unit_test(test_way_back),
        cmocka_unit_test(test_two_persons),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_rooms),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
