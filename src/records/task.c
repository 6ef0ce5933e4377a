/* records/task.c - the way of one request through a worker. */
#include "records/worker.h"

#include "rest/binary.h"
#include "rest/format.h"
#include "rest/operations.h"
#include "rest/outcome.h"

enum { SLOT_BITS = 20, TASKS_MAX = 1 << SLOT_BITS, OVERDUE_US = 10'000'000 };

/* Sees nothing until it is judged. */
static struct rest_call call_of(struct task *t)
{
    struct worker *w = t->worker;
    return (struct rest_call){.site = &w->sites[t->cluster],
                              .caller = &t->caller,
                              .view = &rest_sees_nothing,
                              .arena = t->conn->arena,
                              .scratch = t->conn->scratch,
                              .now_us = t->at_us};
}

/* ---- answering */

static void answer(struct task *t)
{
    struct conn *c = t->conn;
    if (t->stream && stream_logged(t))
        return;
    if (t->stream)
        stream_gone(c->owner, c);
    struct str body = render_answer(t);
    c->work = NULL;
    conn_answer(c, body);
}

static bool send_line(struct worker *w, struct task *t)
{
    uint8_t head[12];
    uint32_t cluster = t->cluster;
    memcpy(head, &cluster, 4);
    memcpy(head + 4, &t->sequence, 8);
    const struct str parts[] = {{(const char *)head, sizeof head}, t->line};
    return duct_send(w->audit, parts, 2);
}

/* The answer waits until its line is durable. Without an audit it waits for the next one. */
static void finish(struct task *t)
{
    struct worker *w = t->worker;
    struct rest_access access = {&t->caller, &t->judged, &t->request, &t->answer, t->at_us};
    t->line = rest_audit_write(&access, t->stream ? stream_arena(t->stream) : t->conn->arena);
    if (!t->line.n) { /* what cannot be written down is not told */
        struct rest_call call = call_of(t);
        t->answer.touched = NULL;
        t->answer.touched_count = 0;
        rest_refuse_store(&call, &t->answer, STORE_NO_MEMORY);
        t->line = STR("\"action\":\"E\",\"interaction\":\"unknown\",\"lost\":true");
    }
    t->sequence = ++w->next_sequence;
    t->waits_since_us = loop_wall_us(w->process.loop);
    list_push_back(&w->unconfirmed, &t->node);
    if (w->audit)
        send_line(w, t); /* one that finds no room is sent again when the audit is a new one */
}

void task_finish(struct task *t)
{
    finish(t);
}

void task_confirmed(struct worker *w, uint64_t sequence)
{
    while (!list_is_empty(&w->unconfirmed)) {
        struct task *t = container_of(w->unconfirmed.next, struct task, node);
        if (t->sequence > sequence)
            return;
        list_remove(&t->node);
        answer(t);
    }
}

void task_send_again(struct worker *w)
{
    for (struct list *n = w->unconfirmed.next; n != &w->unconfirmed; n = n->next)
        send_line(w, container_of(n, struct task, node));
}

/* ---- to the owner */

static void free_slot(struct worker *w, unsigned slot)
{
    w->tasks[slot] = NULL;
    w->task_count--;
}

static bool take_slot(struct worker *w, struct task *t)
{
    for (unsigned i = 0; i < w->task_room; i++) {
        unsigned slot = (w->generation + i) % w->task_room;
        if (w->tasks[slot])
            continue;
        w->tasks[slot] = t;
        w->task_count++;
        t->waits_since_us = loop_wall_us(w->process.loop);
        t->id = (uint64_t)++w->generation << SLOT_BITS | slot;
        return true;
    }
    return false;
}

static void refuse_busy(struct task *t, const char *text)
{
    struct rest_call call = call_of(t);
    rest_refuse(&call, &t->answer, 503, "transient", STR_NONE, "%s", text);
    t->answer.retry_later = true;
    finish(t);
}

/* What it asks; or, where `notice` names a patient, that an emergency is to be told. */
static void send_to_owner(struct task *t, struct str notice)
{
    struct worker *w = t->worker;
    struct owner_link *o = &w->owners[process_owner_of(w->process.config, t->cluster)];
    struct rest_job job = {.cluster = t->cluster, .caller = t->caller, .notice = notice, .http = t->http};
    if (!o->duct || !take_slot(w, t)) {
        refuse_busy(t, "nothing can be written at this moment; try again in a few seconds");
        return;
    }
    job.id = t->id;
    const struct str parts[] = {rest_job_encode(&job, t->conn->arena), t->http.body};
    if (parts[0].n && duct_send(o->duct, parts, 2))
        return;
    free_slot(w, (unsigned)(t->id & (TASKS_MAX - 1)));
    refuse_busy(t, "too many writes are waiting; try again in a few seconds");
}

static void send_to_exporter(struct task *t)
{
    struct worker *w = t->worker;
    struct rest_job job = {.cluster = t->cluster, .caller = t->caller, .http = t->http};
    if (!w->exporter || !take_slot(w, t)) {
        refuse_busy(t, "nothing can be exported at this moment; try again in a few seconds");
        return;
    }
    t->is_bulk = true;
    job.id = t->id;
    const struct str parts[] = {rest_job_encode(&job, t->conn->arena), t->http.body};
    if (parts[0].n && duct_send(w->exporter, parts, 2))
        return;
    free_slot(w, (unsigned)(t->id & (TASKS_MAX - 1)));
    refuse_busy(t, "too much is asked of the exporter; try again in a few seconds");
}

static struct task *task_of(struct worker *w, uint64_t id)
{
    unsigned slot = (unsigned)(id & (TASKS_MAX - 1));
    struct task *t = slot < w->task_room ? w->tasks[slot] : NULL;
    if (!t || t->id != id)
        return NULL;
    free_slot(w, slot);
    return t;
}

/* The answer lives as long as the request: its body goes out from there. */
void task_owner_answered(struct worker *w, struct str bytes)
{
    uint64_t id;
    if (bytes.n < sizeof id)
        return;
    memcpy(&id, bytes.p, sizeof id);
    struct task *t = task_of(w, id);
    if (!t) /* of an earlier life, or nonsense */
        return;
    struct str copy = arena_copy(t->conn->arena, bytes);
    if (!rest_answer_decode(copy, t->conn->arena, &id, &t->answer)) {
        struct rest_call call = call_of(t);
        rest_refuse(&call, &t->answer, 500, "exception", STR_NONE,
                    "the write was not answered properly; it is not known whether it was stored");
    }
    if (t->is_noticing && t->answer.status == 201) {
        t->is_noticing = false;
        t->is_noticed = true;
        t->answer = (struct rest_answer){.modified_us = INT64_MIN};
        list_push_back(&w->reading[t->cluster], &t->node);
        loop_defer(w->process.loop, &w->read_turn);
        return;
    }
    finish(t);
}

void task_owner_gone(struct worker *w, unsigned owner)
{
    for (unsigned i = 0; i < w->task_room; i++) {
        struct task *t = w->tasks[i];
        if (!t || t->is_bulk || process_owner_of(w->process.config, t->cluster) != owner)
            continue;
        free_slot(w, i);
        refuse_busy(
            t,
            "the writing process ended under this request: it may have been stored or not. Read before you "
            "send it again");
    }
}

void task_exporter_gone(struct worker *w)
{
    for (unsigned i = 0; i < w->task_room; i++) {
        struct task *t = w->tasks[i];
        if (!t || !t->is_bulk)
            continue;
        free_slot(w, i);
        refuse_busy(t, "the exporting process ended under this request; ask again");
    }
}

/* ---- waiting has an end */

/* Whatever it was, it is not told: no answer without its line. */
static void refuse_unlogged(struct task *t)
{
    struct rest_call call = call_of(t);
    struct rest_answer *a = &t->answer;
    a->touched = NULL;
    a->touched_count = 0;
    rest_refuse(&call, a, 503, "transient", STR_NONE,
                "the access cannot be logged at this moment, and is therefore not answered%s",
                t->request.writes
                    ? "; what was to be written may have been stored: read before you send it again"
                    : "");
    a->retry_later = true;
    list_remove(&t->node);
    answer(t);
}

void task_end_overdue(struct worker *w)
{
    int64_t before_us = loop_wall_us(w->process.loop) - OVERDUE_US;
    while (!list_is_empty(&w->unconfirmed)) {
        struct task *t = container_of(w->unconfirmed.next, struct task, node);
        if (t->waits_since_us > before_us)
            break;
        refuse_unlogged(t);
    }
    for (unsigned i = 0; i < w->task_room && w->task_count; i++) {
        struct task *t = w->tasks[i];
        if (!t || t->waits_since_us > before_us)
            continue;
        free_slot(w, i);
        refuse_busy(t, "the write was not answered in time: it may have been stored or not. Read before you "
                       "send it again");
    }
}

/* ---- from the beginning */

/* The cluster whose path the request lies below; its number, or -1. */
static int cluster_of(const struct config *config, struct str path, struct str *ret_below)
{
    for (unsigned i = 0; i < config->records.cluster_count; i++) {
        struct str base = config->records.clusters[i].path;
        if (str_starts(path, base) && (path.n == base.n || path.p[base.n] == '/')) {
            *ret_below = str_skip(path, base.n);
            return (int)i;
        }
    }
    return -1;
}

/* Outside all clusters: nobody's record, so nothing to write down. */
static void answer_nowhere(struct conn *c)
{
    struct buf b = buf_over(c->head, sizeof c->head);
    static const struct str body = STR(
        "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":\"not-found\","
        "\"diagnostics\":\"no cluster has its records at this path\"}]}");
    BUF_LIT(&b, "HTTP/1.1 404 Not Found\r\nContent-Type: application/fhir+json; charset=utf-8\r\n");
    buf_printf(&b, "Content-Length: %zu\r\n", body.n);
    c->head_out = b.n;
    conn_answer(c, body);
}

/* False: refused, or waiting until the practice was told of an emergency. */
static bool judge(struct task *t, struct rest_call *call)
{
    struct rest_grant grant;
    if (!rest_view_of(call, &t->http, &t->request, &t->caller, &t->judged, &grant, &t->answer)) {
        finish(t);
        return false;
    }
    call->view = grant.view;
    call->decision = grant.decision;
    if (!rest_may_ask(call, &t->request, &t->answer)) {
        t->judged.authorised = REST_NO;
        finish(t);
        return false;
    }
    if (!grant.emergency_patient.n || t->is_noticed)
        return true;
    t->is_noticing = true;
    send_to_owner(t, grant.emergency_patient);
    return false;
}

/* Written by no client: nobody's record is in it. */
static void answer_smart(struct conn *c, struct task *t)
{
    struct rest_call call = call_of(t);
    struct buf b = buf_over(c->head, sizeof c->head);
    struct str body = rest_smart_configuration(&call);
    BUF_LIT(&b, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n");
    buf_printf(&b, "Content-Length: %zu\r\n", body.n);
    c->head_out = b.n;
    conn_answer(c, body);
}

/* What cannot be unpacked is still asked of something: the log says of what. */
static bool decode(struct task *t, struct rest_call *call)
{
    struct rest_answer refused = {.modified_us = INT64_MIN};
    if (rest_body_decode(call, &t->http, t->worker->conns.body_max, &refused))
        return true;
    struct rest_http without = t->http;
    without.body = STR_NONE;
    (void)!rest_request_parse(call, &without, &t->request, &t->answer);
    t->answer = refused;
    return false;
}

static void run(struct task *t)
{
    struct rest_call call = call_of(t);
    bool is_fine = decode(t, &call) && rest_request_parse(&call, &t->http, &t->request, &t->answer) &&
                   rest_body_to_json(&call, &t->request, &t->http, &t->answer);
    if (is_fine && !t->request.writes) {
        list_push_back(&t->worker->reading[t->cluster], &t->node);
        loop_defer(t->worker->process.loop, &t->worker->read_turn);
    } else if (!is_fine) {
        finish(t);
    } else if (!judge(t, &call)) {
        return;
    } else if (rest_prepare(&call, &t->request, &t->answer)) {
        send_to_owner(t, STR_NONE);
    } else {
        finish(t);
    }
}

/* The log is the audit's alone to read. */
static void ask_audit(struct task *t, const struct rest_call *call)
{
    struct worker *w = t->worker;
    struct rest_audit_question question;
    uint8_t head[12];
    uint32_t cluster = t->cluster | AUDIT_IS_ASKED;
    if (!rest_audit_question_read(call, &t->request, &question, &t->answer)) {
        finish(t);
        return;
    }
    struct str text = rest_audit_question_write(&question, t->conn->arena);
    if (text.n && w->audit && take_slot(w, t)) {
        memcpy(head, &cluster, 4);
        memcpy(head + 4, &t->id, 8);
        const struct str parts[] = {{(const char *)head, sizeof head}, text};
        if (duct_send(w->audit, parts, 2))
            return;
        free_slot(w, (unsigned)(t->id & (TASKS_MAX - 1)));
    }
    refuse_busy(t, "the log of accesses cannot be read at this moment; try again in a few seconds");
}

/* id, whether there may be older ones, lines. Whose accesses they are is in the question: it is what was
 * read. */
void task_audit_answered(struct worker *w, struct str bytes)
{
    uint64_t id;
    if (bytes.n < sizeof id + 1)
        return;
    memcpy(&id, bytes.p, sizeof id);
    struct task *t = task_of(w, id);
    if (!t)
        return;
    struct rest_call call = call_of(t);
    struct str lines = arena_copy(t->conn->arena, str_skip(bytes, sizeof id + 1));
    rest_audit_answer(&call, &t->request, lines, bytes.p[sizeof id] != 0, &t->answer);
    finish(t);
}

static void read_cluster(struct worker *w, unsigned cluster)
{
    struct store *store = w->sites[cluster].store;
    struct list *node;
    bool is_one = w->reading[cluster].next == w->reading[cluster].prev;
    bool begun = !is_one && store_snapshot_begin(store) == STORE_FINE; /* without it each reads by itself */
    while ((node = list_pop_front(&w->reading[cluster]))) {
        struct task *t = container_of(node, struct task, node);
        struct rest_call call = call_of(t);
        if (!judge(t, &call))
            continue;
        if (rest_operation_is_bulk(&t->request)) {
            send_to_exporter(t);
            continue;
        }
        if (stream_is_asked(t)) {
            stream_begin(t, &call);
            continue;
        }
        if (rest_audit_is_asked(&call, &t->request)) {
            ask_audit(t, &call);
            continue;
        }
        rest_answer_read(&call, &t->request, &t->answer);
        finish(t);
    }
    if (begun)
        store_snapshot_end(store);
}

void task_read_all(struct deferred *read_turn)
{
    struct worker *w = container_of(read_turn, struct worker, read_turn);
    for (unsigned i = 0; i < w->process.config->records.cluster_count; i++)
        if (!list_is_empty(&w->reading[i]))
            read_cluster(w, i);
}

void task_begin(struct worker *w, struct conn *c)
{
    struct str below;
    int cluster = cluster_of(w->process.config, c->request.path, &below);
    struct task *t = cluster >= 0 ? arena_alloc(c->arena, sizeof *t) : NULL;
    if (!t) {
        answer_nowhere(c);
        return;
    }
    *t = (struct task){
        .worker = w, .conn = c, .cluster = (unsigned)cluster, .at_us = loop_wall_us(w->process.loop)};
    list_init(&t->node);
    t->http = (struct rest_http){.method = c->request.method,
                                 .path = below,
                                 .query = c->request.query,
                                 .fields = c->request.fields,
                                 .field_count = c->request.field_count,
                                 .body = conn_body(c),
                                 .is_behind_gate = c->is_behind_gate};
    rest_caller_read(&t->http, (struct str){c->address, c->address_n}, &t->caller);
    if (t->http.method == METHOD_GET && str_eq(below, STR("/.well-known/smart-configuration"))) {
        answer_smart(c, t);
        return;
    }
    c->work = t;
    run(t);
}
