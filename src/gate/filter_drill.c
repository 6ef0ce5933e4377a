/* gate/filter_drill.c - the whole exercise on a copy of the state: shut, what that would cut, and the way
 * back of every partner up to open. Nothing is enforced and nothing recorded, but every order of it stands in
 * the journal, marked as a drill. Time between the stages is the exercise's own: it passes at once. */
#include "gate/filter_desk.h"

#include "base/utc.h"

struct drill {
    struct desk *desk;
    struct json_writer *w;
    struct isolation_policy policy; /* nobody has to approve an exercise */
    struct isolation_order first;   /* who, and why */
    int64_t now_us;
    unsigned steps, refused;
    bool is_written;
};

static void put_step(struct drill *g, const struct isolation_order *o, enum isolation_refusal refusal)
{
    char memory[32];
    struct buf at = buf_over(memory, sizeof memory);
    time_write_utc(&at, g->now_us);
    json_object_begin(g->w);
    json_put_str(g->w, STR("at"), buf_text(&at));
    json_put_str(g->w, STR("event"), isolation_event_word(o->event));
    if (o->event == ISOLATION_EVENT_ISOLATE)
        json_put_str(g->w, STR("level"), isolation_level_word(o->level));
    if (o->partner.n) {
        json_put_str(g->w, STR("partner"), ISOLATION_STR(o->partner));
        json_put_str(g->w, STR("stage"),
                     isolation_stage_word(isolation_stage(g->desk->strict, ISOLATION_STR(o->cluster),
                                                          ISOLATION_STR(o->partner), NULL)));
    }
    json_put_bool(g->w, STR("ok"), refusal == ISOLATION_ACCEPTED);
    if (refusal)
        json_put_str(g->w, STR("why"), isolation_refusal_text(refusal, ISOLATION_EN));
    json_object_end(g->w);
}

/* The exercise's state goes from desk.strict through desk.next back to desk.strict. */
static bool step(struct drill *g, const struct isolation_order *o)
{
    struct desk *d = g->desk;
    struct isolation_work work;
    struct isolation_moment now = {g->now_us, true};
    enum isolation_refusal refusal =
        isolation_apply(d->strict, o, &d->inventory.shown, &g->policy, now, d->next);
    g->steps++;
    g->refused += refusal != ISOLATION_ACCEPTED;
    if (!refusal) {
        isolation_work_make(d->strict, d->next, d->spare, &work);
        g->is_written &= desk_journal_drill(d, d->next, &work);
        *d->strict = *d->next;
    }
    put_step(g, o, refusal);
    return !refusal;
}

static struct isolation_order order_like(const struct drill *g, enum isolation_event event)
{
    struct isolation_order o = {.event = (uint8_t)event};
    o.who = g->first.who;
    o.role = g->first.role;
    o.cluster = g->first.cluster;
    o.reason = g->first.reason;
    return o;
}

static void bring_back(struct drill *g, struct str partner)
{
    struct isolation_order o = order_like(g, ISOLATION_EVENT_NEXT);
    if (!isolation_name_set(&o.partner, partner))
        return;
    for (unsigned stages = 0; stages < ISOLATION_STAGE_COUNT; stages++) {
        if (isolation_stage(g->desk->strict, ISOLATION_STR(o.cluster), partner, NULL) == ISOLATION_STAGE_FULL)
            return;
        g->now_us += g->policy.stage_us + g->policy.quiet_us;
        if (!step(g, &o))
            return;
    }
}

static void exercise(struct drill *g)
{
    const struct isolation_inventory *all = &g->desk->inventory.shown;
    if (!step(g, &g->first))
        return;
    struct isolation_order lower = order_like(g, ISOLATION_EVENT_ISOLATE);
    if (g->first.level == ISOLATION_SEALED) { /* where nobody is reconnected */
        lower.level = ISOLATION_CLOSED;
        (void)step(g, &lower);
    }
    for (size_t i = 0; i < all->partner_count; i++)
        bring_back(g, all->partners[i].name);
    lower.level = ISOLATION_OPEN;
    (void)step(g, &lower);
}

bool desk_drill(struct desk *d, const struct isolation_order *o, const struct request *r, struct buf *answer)
{
    struct drill g = {.desk = d, .policy = d->policy, .first = *o, .now_us = r->now_us, .is_written = true};
    struct isolation_moment now = {.us = r->now_us};
    if (o->event != ISOLATION_EVENT_ISOLATE) {
        answer_error(answer, STR("request"),
                     STR("an exercise begins with a level: polder isolation drill LEVEL"));
        return false;
    }
    g.policy.two_to_close = g.policy.two_to_open = false;
    enum isolation_refusal refusal =
        isolation_apply(d->state, o, &d->inventory.shown, &g.policy, now, d->next);
    if (refusal) {
        answer_error(answer, isolation_refusal_word(refusal), isolation_refusal_text(refusal, ISOLATION_EN));
        return false;
    }
    struct json_writer w = json_writer_over(answer);
    g.w = &w;
    json_object_begin(&w);
    json_key(&w, STR("plan"));
    if (!answer_plan(d, answer, r->now_us))
        return false;
    w.needs_comma = true;
    isolation_state_drill(d->state, d->strict);
    json_put_array(&w, STR("steps"));
    exercise(&g);
    json_array_end(&w);
    json_put_str(&w, STR("outcome"), STR("drill"));
    json_put_u64(&w, STR("refused"), g.refused);
    json_put_bool(&w, STR("is_journalled"), g.is_written);
    json_object_end(&w);
    buf_char(answer, '\n');
    return g.refused == 0;
}
