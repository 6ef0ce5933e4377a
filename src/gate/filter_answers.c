/* gate/filter_answers.c - what a person is told by the desk, as JSON. Sentences for people are made by
 * `polder` from these members; only what failed is a sentence here. */
#include "gate/filter_desk.h"

#include "base/utc.h"

#include <stdlib.h>
#include <string.h>

static void put_name(struct json_writer *w, const char *key, const struct isolation_name *name)
{
    if (name->n)
        json_put_str(w, str_of(key), ISOLATION_STR(*name));
}

static void put_time(struct json_writer *w, const char *key, int64_t us)
{
    char memory[32];
    struct buf text = buf_over(memory, sizeof memory);
    if (!us)
        return;
    time_write_utc(&text, us);
    json_put_str(w, str_of(key), buf_text(&text));
}

void answer_error(struct buf *out, struct str word, struct str text)
{
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    json_put_str(&w, STR("error"), text);
    json_put_str(&w, STR("refusal"), word);
    json_object_end(&w);
    buf_char(out, '\n');
}

/* ---- status */

static void put_layers(struct json_writer *w, const struct isolation_stack *stack)
{
    json_put_array(w, STR("beneath"));
    for (unsigned i = stack->depth - 1u; i-- > 0;) {
        json_object_begin(w);
        json_put_str(w, STR("level"), isolation_level_word(stack->layer[i].level));
        put_time(w, "until", stack->layer[i].until_us);
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_scope(struct json_writer *w, const struct isolation_scope *s)
{
    const struct isolation_layer *top = &s->now.layer[s->now.depth - 1];
    json_object_begin(w);
    put_name(w, "cluster", &s->cluster);
    json_put_str(w, STR("level"), isolation_level_word(top->level));
    put_time(w, "since", s->since_us);
    put_time(w, "until", top->until_us);
    put_time(w, "confirm_by", s->confirm_by_us);
    if (s->confirm_by_us)
        json_put_str(w, STR("else"), isolation_level_word(s->before.layer[s->before.depth - 1].level));
    put_name(w, "who", &s->who);
    if (s->reason.n)
        json_put_str(w, STR("reason"), ISOLATION_STR(s->reason));
    json_put_bool(w, STR("partners_cut"), top->cut != 0);
    put_layers(w, &s->now);
    json_object_end(w);
}

static void put_exception(struct json_writer *w, const struct isolation_exception *e)
{
    static const char *const words[] = {"", "in", "out", "both"};
    char memory[ADDR_TEXT_MAX];
    struct buf network = buf_over(memory, sizeof memory);
    json_object_begin(w);
    put_name(w, "cluster", &e->cluster);
    put_name(w, "partner", &e->partner);
    json_put_str(w, STR("direction"), str_of(words[e->direction & ISOLATION_BOTH]));
    json_put_u64(w, STR("port_from"), e->port_from);
    json_put_u64(w, STR("port_to"), e->port_to);
    if (e->has_prefix) {
        addr_write_prefix(&network, &e->prefix);
        json_put_str(w, STR("network"), buf_text(&network));
    }
    put_time(w, "until", e->until_us);
    json_object_end(w);
}

static void put_proposal(struct json_writer *w, const struct isolation_state *s)
{
    const struct isolation_order *o = &s->proposal;
    if (!o->event)
        return;
    json_put_object(w, STR("proposal"));
    json_put_u64(w, STR("number"), s->proposal_order);
    json_put_str(w, STR("event"), isolation_event_word(o->event));
    if (o->event == ISOLATION_EVENT_ISOLATE)
        json_put_str(w, STR("level"), isolation_level_word(o->level));
    put_name(w, "cluster", &o->cluster);
    put_name(w, "partner", &o->partner);
    put_name(w, "who", &o->who);
    json_put_str(w, STR("reason"), ISOLATION_STR(o->reason));
    put_time(w, "until", s->proposal_until_us);
    json_object_end(w);
}

static void put_last(struct json_writer *w, const struct isolation_state *s)
{
    json_put_object(w, STR("last"));
    json_put_u64(w, STR("order"), s->order);
    json_put_str(w, STR("event"), isolation_event_word(s->last.event));
    put_time(w, "at", s->at_us);
    put_name(w, "who", &s->last.who);
    put_name(w, "name", &s->last.role);
    put_name(w, "approved_by", &s->last.approved_by);
    json_put_str(w, STR("reason"), ISOLATION_STR(s->last.reason));
    json_put_bool(w, STR("is_half"), s->is_half);
    json_put_bool(w, STR("is_dropped"), s->is_dropped);
    json_object_end(w);
}

static void put_journal(struct json_writer *w, const struct books *b)
{
    const struct isolation_finding *f = &b->finding;
    json_put_object(w, STR("journal"));
    json_put_u64(w, STR("last_line"), b->chain.end.sequence);
    json_put_u64(w, STR("bytes"), b->journal_bytes);
    json_put_str(w, STR("chain"), isolation_break_word(f->how)); /* when it was last read */
    if (f->how) {
        json_put_u64(w, STR("line"), f->line);
        json_put_str(w, STR("meaning"), isolation_break_text(f->how, ISOLATION_EN));
    }
    json_object_end(w);
}

static void put_start(struct json_writer *w, const struct desk *d)
{
    static const char *const words[] = {[ISOLATION_RECORD_FINE] = "fine",
                                        [ISOLATION_RECORD_DAMAGED] = "one-slot",
                                        [ISOLATION_RECORD_NONE] = "none"};
    json_put_object(w, STR("start"));
    json_put_str(w, STR("record"), str_of(words[d->choice]));
    json_put_str(w, STR("meaning"), isolation_recovery_text(d->recovery, ISOLATION_EN));
    json_object_end(w);
    if (d->owes)
        json_put_str(w, STR("disk_error"), str_of(strerror(-d->owes)));
    if (d->problem_n)
        json_put_str(w, STR("filter_problem"), (struct str){d->problem, d->problem_n});
}

static void put_standings(struct json_writer *w, const struct isolation_state *s)
{
    json_put_array(w, STR("standings"));
    for (unsigned i = 0; i < s->standing_count; i++) {
        const struct isolation_standing *at = &s->standing[i];
        json_object_begin(w);
        put_name(w, "cluster", &at->cluster);
        put_name(w, "partner", &at->partner);
        json_put_str(w, STR("stage"), isolation_stage_word(at->stage));
        put_time(w, "since", at->since_us);
        put_time(w, "alarm", at->alarm_us);
        json_put_u64(w, STR("rate"), at->rate_per_s);
        json_object_end(w);
    }
    json_array_end(w);
}

void answer_status(const struct desk *d, struct buf *out, int64_t now_us)
{
    const struct isolation_state *s = d->state;
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    put_time(&w, "now", now_us);
    json_put_str(&w, STR("level"), isolation_level_word(isolation_level(s, STR_NONE)));
    json_put_str(&w, STR("meaning"), isolation_level_text(isolation_level(s, STR_NONE), ISOLATION_EN));
    put_last(&w, s);
    json_put_array(&w, STR("scopes"));
    for (unsigned i = 0; i < s->scope_count; i++)
        put_scope(&w, &s->scope[i]);
    json_array_end(&w);
    json_put_array(&w, STR("exceptions"));
    for (unsigned i = 0; i < s->exception_count; i++)
        put_exception(&w, &s->exception[i]);
    json_array_end(&w);
    put_standings(&w, s);
    put_proposal(&w, s);
    put_start(&w, d);
    put_journal(&w, &d->books);
    json_object_end(&w);
    buf_char(out, '\n');
}

/* ---- an order */

void answer_done(const struct desk *d, struct buf *out, const struct outcome *o, struct str word)
{
    const struct isolation_state *s = d->state;
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    json_put_str(&w, STR("outcome"), word);
    json_put_u64(&w, STR("order"), s->order);
    json_put_str(&w, STR("event"), isolation_event_word(s->last.event));
    json_put_str(&w, STR("level"), isolation_level_word(isolation_level(s, ISOLATION_STR(s->last.cluster))));
    json_put_str(&w, STR("meaning"),
                 isolation_level_text(isolation_level(s, ISOLATION_STR(s->last.cluster)), ISOLATION_EN));
    put_name(&w, "cluster", &s->last.cluster);
    put_name(&w, "partner", &s->last.partner);
    if (s->last.partner.n)
        json_put_str(&w, STR("stage"),
                     isolation_stage_word(isolation_stage(s, ISOLATION_STR(s->last.cluster),
                                                          ISOLATION_STR(s->last.partner), NULL)));
    put_time(&w, "until", s->last.until_us);
    put_time(&w, "confirm_by", s->last.confirm_by_us);
    if (s->is_proposal) {
        json_put_u64(&w, STR("proposal"), s->proposal_order);
        put_time(&w, "approve_by", s->proposal_until_us);
    }
    json_put_u64(&w, STR("effective_us"), o->effective_us);
    json_put_u64(&w, STR("sessions_cut"), o->results.sessions_cut);
    json_put_u64(&w, STR("workers_ended"), o->workers_ended);
    json_put_bool(&w, STR("is_half"), s->is_half);
    if (o->disk_error)
        json_put_str(&w, STR("disk_error"), str_of(strerror(-o->disk_error)));
    if (o->note_n)
        json_put_str(&w, STR("note"), (struct str){o->note, o->note_n});
    json_object_end(&w);
    buf_char(out, '\n');
}

/* ---- a dry run */

static struct str change_word(enum isolation_change change)
{
    static const struct str words[] = {[ISOLATION_SAME] = STR("same"),
                                       [ISOLATION_OPENS] = STR("opens"),
                                       [ISOLATION_TIGHTENS] = STR("tightens"),
                                       [ISOLATION_CUTS] = STR("cuts")};
    return words[change];
}

static void put_changes(struct json_writer *w, const char *key, const enum isolation_change *changes,
                        size_t count, const struct isolation_inventory *inventory, bool is_partner)
{
    json_put_array(w, str_of(key));
    for (size_t i = 0; i < count; i++) {
        if (changes[i] == ISOLATION_SAME)
            continue;
        json_object_begin(w);
        json_put_str(w, STR("name"), is_partner ? inventory->partners[i].name : inventory->clusters[i]);
        json_put_str(w, STR("change"), change_word(changes[i]));
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_session(struct json_writer *w, const struct isolation_session *s,
                        enum isolation_change change)
{
    char memory[ADDR_TEXT_MAX];
    struct buf peer = buf_over(memory, sizeof memory);
    addr_write(&peer, &s->peer);
    json_object_begin(w);
    json_put_str(w, STR("peer"), buf_text(&peer));
    json_put_u64(w, STR("port"), s->port);
    json_put_str(w, STR("direction"), s->direction == ISOLATION_OUT ? STR("out") : STR("in"));
    if (s->cluster.n)
        json_put_str(w, STR("cluster"), s->cluster);
    if (s->partner.n)
        json_put_str(w, STR("partner"), s->partner);
    json_put_str(w, STR("change"), change_word(change));
    json_object_end(w);
}

bool answer_plan(struct desk *d, struct buf *out, int64_t now_us)
{
    enum { SESSIONS_SHOWN = 200 };
    struct isolation_inventory all = d->inventory.shown;
    size_t sessions = packets_sessions(d->role->packets, d->inventory.sessions, DESK_SESSIONS_MAX);
    all.session_count = sessions < DESK_SESSIONS_MAX ? sessions : DESK_SESSIONS_MAX;
    enum isolation_change *changes =
        calloc(all.session_count + all.partner_count + all.cluster_count + 1, sizeof *changes);
    if (!changes) {
        answer_error(out, STR("memory"), STR("no memory for a plan"));
        return false;
    }
    struct isolation_plan plan = {.sessions = changes,
                                  .partners = changes + all.session_count,
                                  .clusters = changes + all.session_count + all.partner_count};
    isolation_plan(d->state, d->next, &all, now_us, &plan);
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    json_put_str(&w, STR("outcome"), STR("dry-run"));
    json_put_str(&w, STR("level"),
                 isolation_level_word(d->next->scope[0].now.layer[d->next->scope[0].now.depth - 1].level));
    json_put_u64(&w, STR("sessions_open"), sessions);
    if (d->role->has_shared)
        json_put_u64(&w, STR("connections_open"),
                     shared_counter_sum(&d->role->shared, COUNTER_connections_open));
    json_put_u64(&w, STR("sessions_cut"), plan.sessions_cut);
    json_put_u64(&w, STR("partners_cut"), plan.partners_cut);
    json_put_u64(&w, STR("clusters_cut"), plan.clusters_cut);
    json_put_array(&w, STR("sessions"));
    for (size_t i = 0, shown = 0; i < all.session_count && shown < SESSIONS_SHOWN; i++)
        if (plan.sessions[i] == ISOLATION_CUTS && ++shown)
            put_session(&w, &all.sessions[i], plan.sessions[i]);
    json_array_end(&w);
    put_changes(&w, "partners", plan.partners, all.partner_count, &all, true);
    put_changes(&w, "clusters", plan.clusters, all.cluster_count, &all, false);
    json_object_end(&w);
    buf_char(out, '\n');
    free(changes);
    return true;
}

/* ---- the way back */

/* When the machine would let a partner come one stage further (isolation/partner.c). */
static int64_t next_from_us(const struct desk *d, struct str cluster, const struct isolation_standing *at)
{
    int64_t since_us = at ? at->since_us : 0;
    int64_t quiet_us = at && at->alarm_us ? at->alarm_us + d->policy.quiet_us : 0;
    for (unsigned i = 0; !at && i < d->state->scope_count; i++)
        if (str_eq(ISOLATION_STR(d->state->scope[i].cluster), cluster))
            since_us = d->state->scope[i].since_us;
    return since_us + d->policy.stage_us > quiet_us ? since_us + d->policy.stage_us : quiet_us;
}

static const struct isolation_standing *standing_of(const struct isolation_state *s, struct str cluster,
                                                    struct str partner)
{
    for (unsigned i = 0; i < s->standing_count; i++)
        if (str_eq(ISOLATION_STR(s->standing[i].cluster), cluster) &&
            str_eq(ISOLATION_STR(s->standing[i].partner), partner))
            return &s->standing[i];
    return NULL;
}

void answer_reconnect(const struct desk *d, struct buf *out, struct str cluster, int64_t now_us)
{
    const struct isolation_inventory *all = &d->inventory.shown;
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    json_put_str(&w, STR("level"), isolation_level_word(isolation_level(d->state, cluster)));
    json_put_array(&w, STR("partners"));
    for (size_t i = 0; i < all->partner_count; i++) {
        uint32_t rate;
        struct str partner = all->partners[i].name;
        uint8_t stage = isolation_stage(d->state, cluster, partner, &rate);
        int64_t from_us = next_from_us(d, cluster, standing_of(d->state, cluster, partner));
        json_object_begin(&w);
        json_put_str(&w, STR("partner"), partner);
        json_put_str(&w, STR("stage"), isolation_stage_word(stage));
        json_put_str(&w, STR("meaning"), isolation_stage_text(stage, ISOLATION_EN));
        if (rate)
            json_put_u64(&w, STR("rate"), rate);
        if (stage != ISOLATION_STAGE_FULL) {
            json_put_str(&w, STR("next"), isolation_stage_word(stage + 1u));
            put_time(&w, "next_from", from_us > now_us ? from_us : 0);
        }
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    buf_char(out, '\n');
}
