/* gate/filter_orders.c - what a person asks of the desk: read from JSON, decided by src/isolation, carried
 * out.
 *
 *   {"ask": "status"}
 *   {"ask": "order", "event": "isolate", "level": "closed", "reason": "...", ...}   see filter_request.c
 *   {"ask": "drill", ...}           the same, on a copy
 *   {"ask": "reconnect", "cluster": "..."}   where partners stand
 *
 * Who asks is what the kernel says of the control socket's other end: a user id. The name that comes along is
 * shown and never counts. Whatever makes no sense is refused before anything changes, and stands in the
 * journal. */
#include "gate/filter_desk.h"

#include <stdio.h>

enum { REQUEST_ARENA = 1 << 20, REQUEST_DEPTH = 6 };

/* ---- deciding */

static bool refuse(struct desk *d, const struct isolation_order *o, enum isolation_refusal refusal,
                   bool is_written, struct buf *answer)
{
    if (is_written && !d->owes)
        (void)desk_journal_refused(d, o, refusal);
    answer_error(answer, isolation_refusal_word(refusal), isolation_refusal_text(refusal, ISOLATION_EN));
    return false;
}

static bool dry_run(struct desk *d, const struct isolation_order *o, int64_t now_us, struct buf *answer)
{
    struct isolation_policy alone = d->policy;
    alone.two_to_close = alone.two_to_open = false; /* what it would do once it is approved */
    struct isolation_moment now = {.us = now_us};
    enum isolation_refusal refusal = isolation_apply(d->state, o, &d->inventory.shown, &alone, now, d->next);
    return refusal ? refuse(d, o, refusal, false, answer) : answer_plan(d, answer, now_us);
}

static void tell_dropped(const struct outcome *o, struct buf *answer)
{
    char memory[600];
    struct buf text = buf_over(memory, sizeof memory);
    buf_printf(
        &text,
        "Nothing was changed: record and journal cannot be written (%s). What closes is carried out all the "
        "same; what opens has to be on disk first. Make room on the disk of the state directory, then order "
        "again.",
        strerror(-o->disk_error));
    answer_error(answer, STR("disk"), buf_text(&text));
}

/* Whoever sits behind a wire would lock himself out, and everybody else with him. */
static bool locks_out(const struct desk *d, const struct isolation_order *o)
{
    const struct config *c = d->config;
    return o->event == ISOLATION_EVENT_ISOLATE && o->level == ISOLATION_SEALED && !o->cluster.n &&
           !o->confirm_by_us && c->filter.interface_count && !c->networks.management_count;
}

static bool refuse_lockout(struct buf *answer)
{
    answer_error(answer, STR("management"),
                 STR("The configuration names no management line (networks.management): at level sealed "
                     "nobody could reach "
                     "this machine but from its console. Name one, order closed, or add --confirm-within, so "
                     "that it goes "
                     "back by itself."));
    return false;
}

static bool give(struct desk *d, const struct isolation_order *o, int64_t now_us, struct buf *answer)
{
    struct outcome outcome;
    struct isolation_moment now = {.us = now_us};
    if (locks_out(d, o))
        return refuse_lockout(answer);
    enum isolation_refusal refusal =
        isolation_apply(d->state, o, &d->inventory.shown, &d->policy, now, d->next);
    if (refusal)
        return refuse(d, o, refusal, true, answer);
    d->due_us = 1;
    bool is_proposal = d->next->is_proposal;
    if (!desk_carry_out(d, &outcome)) {
        tell_dropped(&outcome, answer);
        return false;
    }
    answer_done(d, answer, &outcome,
                outcome.disk_error ? STR("not-recorded")
                : is_proposal      ? STR("proposed")
                                   : STR("done"));
    return !outcome.disk_error;
}

static bool order(struct desk *d, const struct request *r, bool is_drill, struct buf *answer)
{
    struct isolation_order o;
    struct str why;
    if (!request_order(r, d->policy.exception_us, &o, &why)) {
        answer_error(answer, STR("request"), why);
        return false;
    }
    if (is_drill)
        return desk_drill(d, &o, r, answer);
    if (request_flag(r, "dry_run"))
        return dry_run(d, &o, r->now_us, answer);
    (void)desk_settle(d);
    return give(d, &o, r->now_us, answer);
}

static bool order_alone(struct desk *d, const struct request *r, bool is_drill, struct buf *answer)
{
    if (!desk_enter(d)) {
        answer_error(answer, STR("succeeded"),
                     STR("Another process of the gate is taking over (an upgrade). Nothing was changed; "
                         "order again in a "
                         "moment."));
        return false;
    }
    bool ok = order(d, r, is_drill, answer);
    desk_leave(d);
    return ok;
}

static bool ask(struct desk *d, const struct request *r, struct buf *answer)
{
    struct str what = request_text(r, "ask");
    if (str_eq(what, STR("order")) || str_eq(what, STR("drill")))
        return order_alone(d, r, str_eq(what, STR("drill")), answer);
    if (str_eq(what, STR("status")))
        answer_status(d, answer, r->now_us);
    else if (str_eq(what, STR("reconnect")))
        answer_reconnect(d, answer, request_text(r, "cluster"), r->now_us);
    else
        answer_error(answer, STR("request"),
                     STR("this question is not known; are polder and polder-gate of one version?"));
    return answer->n > 0;
}

bool desk_ask(struct desk *d, uint32_t uid, struct str text, struct buf *answer)
{
    struct json_tape tape;
    struct arena *arena = arena_new(REQUEST_ARENA);
    size_t room = json_nodes_max(text.n);
    struct json_node *nodes = arena ? arena_alloc(arena, room * sizeof *nodes) : NULL;
    struct request r = {&tape, arena, uid, desk_now_us()};
    bool ok = nodes && json_parse(text, REQUEST_DEPTH, nodes, room, &tape, NULL) == JSON_FINE &&
              json_type(&tape, 0) == JSON_OBJECT;
    if (!ok)
        answer_error(answer, STR("request"), STR("the question is no JSON document"));
    else if (!d->role->current.config)
        answer_error(answer, STR("early"), STR("the gate is starting; ask again in a moment"));
    else
        ok = ask(d, &r, answer);
    arena_free(arena);
    return ok;
}
