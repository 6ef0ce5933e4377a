/* proxy/inspect.c - a request through phases 1 and 2; the drawing stands in inspect.h. */
#include "proxy/inspect_parts.h"

#include "base/must.h"
#include "waf/audit.h"

#include <stdlib.h>

enum {
    KEPT = 256,
    ARENA_BYTES = 64 << 20, /* what one transaction may take: a body of 1 MiB in many small parts takes 10 */
    STORE_RECORDS = 256,    /* of 10 KiB each, for each cluster: addresses, sessions */
    INFLATE_RATIO = 100,
};

/* ---- a worker's inspector */

struct inspector *inspector_new(struct proxy *p)
{
    struct inspector *i = calloc(1, sizeof *i);
    if (!i)
        return NULL;
    i->proxy = p;
    list_init(&i->memories);
    list_init(&i->round);
    list_init(&i->judged);
    deferred_init(&i->turn, inspect_turn);
    return i;
}

static void inspection_free(struct inspection *in)
{
    arena_free(in->arena);
    free(in);
}

void inspector_free(struct inspector *i)
{
    if (!i)
        return;
    must(list_is_empty(&i->round) && list_is_empty(&i->judged));
    loop_undefer(&i->turn);
    while (i->free) {
        struct inspection *next = i->free->next_free;
        inspection_free(i->free);
        i->free = next;
    }
    for (unsigned n = 0; n < i->idle_count; n++)
        fiber_free(i->idle_fibers[n]);
    inspect_prefilter_unref(i->prefilter);
    free(i);
}

unsigned inspector_trim(struct inspector *i)
{
    unsigned freed = 0;
    for (; i->least_free > 0; i->least_free--, i->free_count--, freed++) {
        struct inspection *next = i->free->next_free;
        inspection_free(i->free);
        i->free = next;
    }
    i->least_free = i->free_count;
    return freed;
}

static struct inspection *take_inspection(struct inspector *i)
{
    struct inspection *in = i->free;
    struct arena *arena;
    if (in) {
        i->free = in->next_free;
        i->free_count--;
        if (i->free_count < i->least_free)
            i->least_free = i->free_count;
        arena = in->arena;
    } else {
        in = malloc(sizeof *in);
        arena = arena_new(ARENA_BYTES);
        if (!in || !arena) {
            free(in);
            arena_free(arena);
            return NULL;
        }
    }
    *in = (struct inspection){.arena = arena};
    list_init(&in->node);
    return in;
}

static void give_inspection(struct inspector *i, struct inspection *in)
{
    if (i->free_count >= KEPT) {
        inspection_free(in);
        return;
    }
    in->next_free = i->free;
    i->free = in;
    i->free_count++;
}

/* ---- in the fiber */

static void read_head(struct inspection *in)
{
    const struct waf_overlay *overlay = in->mode == WAF_MODE_BLOCK ? in->cluster->block : in->cluster->detect;
    in->tx = inspect_describe_request(in)
                 ? waf_tx_new(overlay, &in->request, in->cluster->memory->store, in->arena)
                 : NULL;
    in->has_failed = !in->tx;
    if (!in->tx)
        return;
    waf_tx_set_pause(in->tx, inspect_pause, in);
    in->action = waf_tx_request_head(in->tx);
    if (in->action == WAF_PASS && !in->wants_body)
        in->action = waf_tx_request_body(in->tx, STR(""));
}

/* What the rules look at is what the application will see once it has taken the coding off. */
static bool decode_body(struct inspection *in, struct str *body)
{
    const struct http_inflate_limits limits = {(size_t)in->limit, INFLATE_RATIO};
    struct http_inflate *z = http_inflate_new(&in->codings, *body, &limits, in->arena);
    if (!z) {
        in->decoded = INFLATE_NO_MEMORY;
        return false;
    }
    while ((in->decoded = http_inflate_step(z)) == INFLATE_MORE)
        inspect_pause(in);
    if (in->decoded == INFLATE_DONE)
        *body = http_inflate_output(z);
    return in->decoded == INFLATE_DONE;
}

static void read_body(struct inspection *in)
{
    struct str body = inspect_held(in);
    if (in->codings.count && body.n && !decode_body(in, &body))
        return;
    in->action = waf_tx_request_body(in->tx, body);
}

void inspect_phase(struct inspection *in)
{
    switch (in->stage) {
    case STAGE_HEAD:
        read_head(in);
        break;
    case STAGE_BODY:
        read_body(in);
        break;
    case STAGE_ANSWER_HEAD:
    case STAGE_ANSWER_BODY:
        inspect_answer_phase(in);
        break;
    case STAGE_COLLECT:
    case STAGE_FORWARDED:
    case STAGE_ANSWER_COLLECT:
    case STAGE_OVER:
        must(false);
    }
}

/* ---- the verdict on a request */

static enum http_refusal refusal_of_limit(enum waf_limit limit)
{
    switch (limit) {
    case WAF_WITHIN_LIMITS:
        return REFUSAL_NONE;
    case WAF_LIMIT_BODY:
    case WAF_LIMIT_MEMORY:
        return REFUSAL_WAF_BODY;
    case WAF_LIMIT_ARGUMENTS:
    case WAF_LIMIT_DEPTH:
        return REFUSAL_WAF_PARTS;
    }
    return REFUSAL_WAF_PARTS;
}

static enum http_refusal refusal_of_coding(const struct inspection *in)
{
    if (in->is_unreadable)
        return REFUSAL_WAF_CODING;
    switch (in->decoded) {
    case INFLATE_MORE:
    case INFLATE_DONE:
        return REFUSAL_NONE;
    case INFLATE_DAMAGED:
    case INFLATE_AMBIGUOUS:
        return REFUSAL_WAF_DAMAGED;
    case INFLATE_TOO_LARGE:
    case INFLATE_NO_MEMORY:
        return REFUSAL_WAF_BODY;
    }
    return REFUSAL_WAF_DAMAGED;
}

enum http_refusal inspect_refusal(const struct inspection *in)
{
    if (in->mode != WAF_MODE_BLOCK)
        return REFUSAL_NONE;
    if (in->has_failed)
        return REFUSAL_WAF_BUSY;
    enum http_refusal why = refusal_of_coding(in);
    if (why == REFUSAL_NONE && in->tx && in->action == WAF_PASS)
        why = refusal_of_limit(waf_tx_verdict(in->tx).limit);
    return why == REFUSAL_NONE && in->action != WAF_PASS ? REFUSAL_WAF_BLOCKED : why;
}

/* What a rule asks for, when that is an error's status. */
static uint16_t status_of(const struct inspection *in, enum http_refusal why)
{
    unsigned status = in->tx ? waf_tx_verdict(in->tx).status : 0;
    bool is_rules_own = why == REFUSAL_WAF_BLOCKED || why == REFUSAL_WAF_ANSWER;
    return is_rules_own && status >= 400 && status <= 599 ? (uint16_t)status : http_refusal_status(why);
}

void inspect_refuse(struct inspection *in, enum http_refusal why)
{
    struct exchange *ex = in->ex;
    bool is_dropped = why == REFUSAL_WAF_BLOCKED && in->action == WAF_DROP;
    inspect_stop(in);
    in->stage = STAGE_OVER;
    in->holds_answer = false;
    inspect_drop_held(in);
    if (is_dropped)
        exchange_drop(ex, why);
    else
        exchange_refuse_with(ex, status_of(in, why), why);
}

/* What the rules keep of a request can be much, and its answer can take long. */
static void forget_if_clean(struct inspection *in)
{
    if (in->tx) {
        const struct waf_verdict v = waf_tx_verdict(in->tx);
        if (waf_audit_is_due(&v))
            return;
    }
    inspect_forget_arena(in);
}

/* The rules are through with a request whose answer they do not see. */
static void pass(struct inspection *in)
{
    in->stage = STAGE_FORWARDED;
    if (!inspect_wants_answer(in->ex)) {
        inspect_log(in);
        forget_if_clean(in);
        in->stage = STAGE_OVER;
    }
    exchange_inspected(in->ex);
}

static void let_body_come(struct exchange *ex)
{
    if (!ex->body_paused)
        return;
    ex->body_paused = false;
    ex->side->read_more(ex);
}

/* The rules have seen the head and say nothing against it. */
static void head_over(struct inspection *in)
{
    struct exchange *ex = in->ex;
    if (!in->wants_body || in->has_failed || in->is_over_limit) {
        pass(in);
        return;
    }
    if (ex->body_done) {
        in->stage = STAGE_BODY;
        inspect_run(in);
        return;
    }
    in->stage = STAGE_COLLECT;
    let_body_come(ex);
}

void inspect_phase_over(struct inspection *in)
{
    inspect_count_arena(in);
    enum http_refusal why = inspect_refusal(in);
    if (in->stage >= STAGE_ANSWER_HEAD)
        inspect_answer_phase_over(in);
    else if (why != REFUSAL_NONE)
        inspect_refuse(in, why);
    else if (in->stage == STAGE_HEAD)
        head_over(in);
    else
        pass(in);
}

/* ---- begin */

static bool find_codings(struct inspection *in)
{
    const struct http_request *r = &in->ex->req;
    for (unsigned i = 0; i < r->field_count; i++)
        if (str_eq_nocase(r->fields[i].name, STR("content-encoding")) &&
            !http_codings_add(&in->codings, r->fields[i].value))
            return false;
    return true;
}

static bool has_body(const struct exchange *ex)
{
    return !ex->body_done && !ex->req.has_upgrade;
}

static void begin(struct inspection *in)
{
    struct exchange *ex = in->ex;
    const struct waf_limits rules = waf_rules_limits(inspect_rules_of(ex->snapshot->rules));
    in->wants_body = has_body(ex) && rules.request_body;
    in->limit = inspect_body_limit(in);
    ex->state = EXCHANGE_INSPECT;
    ex->body_paused = has_body(ex);
    if (has_body(ex) && !exchange_keep_head(ex)) {
        inspect_refuse(in, REFUSAL_HEAD_TOO_LARGE);
        return;
    }
    in->is_unreadable = in->wants_body && !find_codings(in);
    bool is_too_large = in->wants_body && ex->req.body == BODY_LENGTH && ex->req.content_length > in->limit;
    in->is_over_limit = is_too_large;
    if (in->mode == WAF_MODE_BLOCK && is_too_large) {
        inspect_refuse(in, REFUSAL_WAF_BODY);
        return;
    }
    if (is_too_large || in->is_unreadable) /* in mode detect nobody looks into it */
        in->wants_body = in->mode == WAF_MODE_BLOCK;
    inspect_run(in);
}

bool inspect_begin(struct exchange *ex)
{
    struct proxy *p = ex->proxy;
    enum config_waf_mode mode = ex->route->waf.mode;
    if (mode == WAF_MODE_OFF)
        return false;
    if (ex->is_strict)
        mode = WAF_MODE_BLOCK;
    struct inspection *in = take_inspection(p->inspector);
    if (!in) {
        if (mode == WAF_MODE_BLOCK)
            exchange_refuse_with(ex, 503, REFUSAL_WAF_BUSY);
        return mode == WAF_MODE_BLOCK;
    }
    in->ex = ex;
    in->mode = mode;
    in->decoded = INFLATE_DONE;
    in->cluster = &ex->snapshot->inspected[ex->cluster->index];
    ex->inspection = in;
    if (!ex->is_probe)
        COUNT(p, waf_requests_total);
    GAUGE_UP(p, waf_inspections);
    begin(in);
    return true;
}

/* ---- the body of the request */

/* More than is looked at. In mode detect what came goes on, and the rest as if nobody looked. */
static void body_over_limit(struct inspection *in, struct str bytes, enum http_refusal why)
{
    in->is_over_limit = true;
    if (in->mode == WAF_MODE_BLOCK)
        inspect_refuse(in, why);
    else if (!inspect_hold_last(in, bytes))
        inspect_refuse(in, REFUSAL_WAF_BUSY);
    else if (in->stage == STAGE_COLLECT)
        pass(in);
}

/* While phase 1 runs HTTP/2 may bring as much as the stream's window is wide. */
void inspect_body(struct exchange *ex, struct str bytes)
{
    struct inspection *in = ex->inspection;
    uint64_t expected = ex->req.body == BODY_LENGTH ? ex->req.content_length : 0;
    switch (in->wants_body                 ? inspect_hold(in, bytes, expected)
            : inspect_hold_last(in, bytes) ? HELD
                                           : HOLD_NO_ROOM) {
    case HELD:
        break;
    case HOLD_TOO_LARGE:
        body_over_limit(in, bytes, REFUSAL_WAF_BODY);
        break;
    case HOLD_NO_ROOM:
        body_over_limit(in, bytes, REFUSAL_WAF_BUSY);
        break;
    }
}

static bool keep_trailers(struct inspection *in, const struct http_field *trailers, unsigned count)
{
    struct exchange *ex = in->ex;
    struct http_field *kept = count ? arena_alloc(ex->arena, count * sizeof *kept) : NULL;
    for (unsigned i = 0; kept && i < count; i++)
        kept[i] = (struct http_field){arena_copy(ex->arena, trailers[i].name),
                                      arena_copy(ex->arena, trailers[i].value), trailers[i].id};
    in->trailers = kept;
    in->trailer_count = kept ? count : 0;
    return !arena_overflowed(ex->arena);
}

const struct http_field *inspect_trailers(const struct exchange *ex, unsigned *ret_count)
{
    const struct inspection *in = ex->inspection;
    *ret_count = in ? in->trailer_count : 0;
    return in ? in->trailers : NULL;
}

void inspect_body_end(struct exchange *ex, const struct http_field *trailers, unsigned count)
{
    struct inspection *in = ex->inspection;
    if (!keep_trailers(in, trailers, count)) {
        inspect_refuse(in, REFUSAL_HEAD_TOO_LARGE);
        return;
    }
    if (in->stage != STAGE_COLLECT) /* phase 1 still runs: head_over goes on */
        return;
    in->stage = STAGE_BODY;
    inspect_run(in);
}

/* ---- the end */

void inspect_log(struct inspection *in)
{
    if (in->is_logged || !in->tx)
        return;
    in->is_logged = true;
    waf_tx_set_pause(in->tx, NULL, NULL);
    waf_tx_logging(in->tx, loop_now_us(in->ex->proxy->loop) - in->ex->began_us);
}

void inspect_cancel(struct exchange *ex)
{
    struct inspection *in = ex->inspection;
    if (!in || in->stage == STAGE_OVER)
        return;
    in->is_logged |= in->fiber != NULL; /* it stands in the middle of a phase: no other may begin */
    inspect_stop(in);
    in->holds_answer = false;
    in->stage = STAGE_OVER;
    inspect_drop_held(in);
}

void inspect_end(struct exchange *ex)
{
    struct inspection *in = ex->inspection;
    if (!in)
        return;
    inspect_cancel(ex);
    inspect_log(in);
    inspect_report(in);
    inspect_drop_held(in);
    inspect_forget_arena(in);
    GAUGE_DOWN(ex->proxy, waf_inspections);
    ex->inspection = NULL;
    give_inspection(ex->proxy->inspector, in);
}
