/* proxy/inspect_answer.c - an answer through phases 3 and 4.
 *
 *  1. The head is held until phase 3 is over, and the body with it when its type is one that the rules look
 * into: until it is whole, or as much as they look at is there. Then all of it goes, or an error page
 * instead.
 *  2. What they do not look into streams: other types, what is compressed, answers without a body.
 *  3. While an answer is held below a call of its upstream connection (in->is_below) nothing is decided: the
 * connection would be closed under its own feet. */
#include "proxy/inspect_parts.h"

#include "proxy/upstream.h"

bool inspect_wants_answer(const struct exchange *ex)
{
    const struct inspection *in = ex->inspection;
    return in && in->tx && in->stage == STAGE_FORWARDED && ex->route->waf.answers == WAF_ANSWERS_ON &&
           !ex->req.has_upgrade;
}

bool inspect_holds_answer(const struct exchange *ex)
{
    return ex->inspection && ex->inspection->holds_answer;
}

/* ---- in the fiber */

static bool is_readable(const struct exchange *ex)
{
    const struct http_response *r = &ex->resp;
    if (ex->req.method == METHOD_HEAD || r->body == BODY_NONE ||
        (r->body == BODY_LENGTH && r->content_length == 0))
        return false;
    for (unsigned i = 0; i < r->field_count; i++)
        if (str_eq_nocase(r->fields[i].name, STR("content-encoding")) &&
            !str_eq_nocase(r->fields[i].value, STR("identity")))
            return false;
    return true;
}

void inspect_answer_phase(struct inspection *in)
{
    if (in->stage == STAGE_ANSWER_BODY) {
        in->action = waf_tx_response_body(in->tx, inspect_held(in));
        return;
    }
    in->action = waf_tx_response_head(in->tx, &in->response);
    in->wants_body = in->wants_body && waf_tx_wants_response_body(in->tx);
    if (in->action == WAF_PASS && !in->wants_body)
        in->action = waf_tx_response_body(in->tx, STR(""));
}

/* ---- what follows */

static enum http_refusal refusal_of(const struct inspection *in)
{
    enum http_refusal why = inspect_refusal(in);
    return why == REFUSAL_NONE || why == REFUSAL_WAF_BUSY ? why : REFUSAL_WAF_ANSWER;
}

static void release(struct inspection *in)
{
    in->holds_answer = false;
    inspect_log(in);
    in->stage = STAGE_OVER;
    exchange_answer_inspected(in->ex, inspect_held(in), in->answer_ended, in->trailers, in->trailer_count);
}

/* The head is judged: the body may come. */
static void collect(struct inspection *in)
{
    struct exchange *ex = in->ex;
    in->stage = STAGE_ANSWER_COLLECT;
    if (in->answer_ended) {
        in->stage = STAGE_ANSWER_BODY;
        inspect_run(in);
        return;
    }
    ex->answer_paused = false;
    if (ex->up && !in->is_below)
        upstream_resume(ex);
}

void inspect_answer_phase_over(struct inspection *in)
{
    enum http_refusal why = refusal_of(in);
    in->is_judged = true;
    if (in->is_below)
        return;
    if (why != REFUSAL_NONE)
        inspect_refuse(in, why);
    else if (in->stage == STAGE_ANSWER_HEAD && in->wants_body && !in->is_over_limit)
        collect(in);
    else
        release(in);
}

/* ---- from the upstream connection */

/* The bytes the head stands in are the connection's. */
static bool keep_head(struct exchange *ex)
{
    for (unsigned i = 0; i < ex->resp.field_count; i++) {
        struct http_field *f = &ex->resp.fields[i];
        f->name = arena_copy(ex->arena, f->name);
        f->value = arena_copy(ex->arena, f->value);
    }
    return !arena_overflowed(ex->arena);
}

static void hold(struct inspection *in)
{
    struct exchange *ex = in->ex;
    in->holds_answer = true;
    in->has_failed |= !keep_head(ex);
    if (in->is_judged && refusal_of(in) == REFUSAL_NONE && !in->has_failed) {
        collect(in);
        return;
    }
    ex->answer_paused = true;
    if (in->is_judged)
        inspect_judge_later(in);
}

bool inspect_answer_head(struct exchange *ex)
{
    struct inspection *in = ex->inspection;
    if (!inspect_wants_answer(ex))
        return false;
    if (in->counted) /* of the request, which is sent */
        inspect_uncount(in);
    in->stage = STAGE_ANSWER_HEAD;
    in->is_over_limit = in->is_judged = false;
    in->trailer_count = 0;
    in->wants_body = is_readable(ex);
    in->limit = waf_rules_limits(inspect_rules_of(ex->snapshot->rules)).response_body_bytes;
    in->has_failed = !inspect_describe_answer(in);
    in->is_below = true;
    if (in->has_failed)
        in->is_judged = true;
    else
        inspect_run(in);
    bool is_fine = in->is_judged && refusal_of(in) == REFUSAL_NONE;
    if (is_fine && (!in->wants_body || in->has_failed)) {
        in->is_below = false;
        inspect_log(in);
        in->stage = STAGE_OVER;
        return false;
    }
    hold(in);
    in->is_below = false;
    return true;
}

/* More of it than is looked at: what is there is judged, and it goes on from there. */
static void judge_part(struct inspection *in, struct str bytes, bool has_room)
{
    in->is_over_limit = true;
    in->ex->answer_paused = true;
    in->has_failed |= !inspect_hold_last(in, bytes) || !has_room;
    if (in->stage != STAGE_ANSWER_COLLECT)
        return;
    in->stage = STAGE_ANSWER_BODY;
    if (in->has_failed)
        inspect_judge_later(in);
    else
        inspect_wait(in);
}

void inspect_answer_body(struct exchange *ex, struct str bytes)
{
    struct inspection *in = ex->inspection;
    uint64_t expected = ex->resp.body == BODY_LENGTH ? ex->resp.content_length : 0;
    switch (inspect_hold(in, bytes, expected)) {
    case HELD:
        break;
    case HOLD_TOO_LARGE:
        judge_part(in, bytes, true);
        break;
    case HOLD_NO_ROOM:
        judge_part(in, bytes, false);
        break;
    }
}

void inspect_answer_end(struct exchange *ex, const struct http_field *trailers, unsigned count)
{
    struct inspection *in = ex->inspection;
    in->answer_ended = true;
    in->trailers = trailers;
    in->trailer_count = count;
    if (in->stage != STAGE_ANSWER_COLLECT) /* it is judged, or about to be */
        return;
    in->stage = STAGE_ANSWER_BODY;
    inspect_run(in);
}
