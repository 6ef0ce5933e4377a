/* records/exporter.c - the role that writes bulk exports: it reads the databases, writes below the folders of
 * exports, and has no connections. What is asked of it comes from the workers as a write comes to an owner,
 * and so does its answer.
 *
 *   GET [base]/$export, Patient/$export, Group/1/$export   -> 202, Content-Location
 *   GET [base]/$export-status?job=ID                       -> 202 with X-Progress, 200 with the manifest, or
 * 500 DELETE [base]/$export-status?job=ID                    -> 202: its files are gone GET
 * [base]/$export-file?job=ID&file=Patient.0          -> NDJSON
 *
 * What always holds: exports are for those alone who administer the cluster. One job makes one step in a
 * turn, so that whoever asks is answered in between. */
#include "records/bulk.h"
#include "records/process.h"
#include "rest/job.h"
#include "rest/outcome.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    JOB_MAX = 17 << 20,
    BACKLOG_MAX = 512 << 20,
    ARENA_BYTES = 512 << 20,
    FOLDER_BYTES = 512,
};
#define KEPT_US (24 * 3'600 * 1'000'000LL) /* a job that ended this long ago makes room for another */

struct link {
    struct duct *duct;
    struct exporter *exporter;
};

struct shelf { /* the exports of a cluster */
    char folder[FOLDER_BYTES];
    struct bulk_job *jobs;
};

struct exporter {
    struct process process;
    struct rest_engine engine;
    struct rest_site *sites;
    struct rest_guard *guard;
    struct shelf *shelves;
    struct link links[RECORDS_WORKERS_MAX];
    struct rest_ids ids;
    struct arena *arena, *scratch;
    struct timer step;
    unsigned next; /* whose turn it is: cluster * BULK_SLOTS + slot */
};

static struct rest_call call_of(struct exporter *e, unsigned cluster, const struct rest_caller *caller)
{
    return (struct rest_call){.site = &e->sites[cluster],
                              .caller = caller,
                              .view = &rest_sees_nothing,
                              .arena = e->arena,
                              .scratch = e->scratch,
                              .now_us = loop_wall_us(e->process.loop),
                              .ids = &e->ids};
}

/* ---- judging */

static bool judge(struct rest_call *call, const struct rest_http *http, const struct rest_request *r,
                  struct rest_caller *caller, struct rest_answer *answer)
{
    struct rest_judged judged;
    struct rest_grant grant;
    if (!rest_view_of(call, http, r, caller, &judged, &grant, answer))
        return false;
    call->view = grant.view;
    call->decision = grant.decision;
    return !call->decision || call->decision->kind == ACCESS_CLUSTER ||
           rest_refuse(call, answer, 403, "forbidden", STR_NONE,
                       "exports are for those who administer the cluster");
}

/* ---- steps */

static void work_on(struct exporter *e, unsigned cluster, struct bulk_job *j)
{
    struct rest_caller caller = j->caller;
    struct rest_request request;
    struct rest_answer refused = {.modified_us = INT64_MIN};
    struct rest_call call = call_of(e, cluster, &caller);
    if (rest_request_parse(&call, &j->http, &request, &refused) &&
        judge(&call, &j->http, &request, &caller, &refused))
        bulk_step(j, &call);
    else
        bulk_fail(
            j, STR("whoever asked for it may not any more: the token must be good for as long as it takes"));
    arena_reset(e->arena);
    arena_reset(e->scratch);
}

static void step(struct timer *t)
{
    struct exporter *e = container_of(t, struct exporter, step);
    unsigned all = e->process.config->records.cluster_count * BULK_SLOTS;
    for (unsigned i = 0; i < all; i++) {
        unsigned at = (e->next + i) % all;
        struct bulk_job *j = &e->shelves[at / BULK_SLOTS].jobs[at % BULK_SLOTS];
        if (j->state != BULK_RUNS)
            continue;
        work_on(e, at / BULK_SLOTS, j);
        e->next = at + 1;
        timer_set(e->process.loop, t, loop_now_ms(e->process.loop) + 1);
        return;
    }
}

/* ---- what is asked */

struct asking {
    struct exporter *exporter;
    struct shelf *shelf;
    const struct rest_call *call;
    const struct rest_http *http;
    const struct rest_request *request;
    struct rest_answer *answer;
};

static struct str parameter(const struct asking *a, struct str name)
{
    struct rest_pair *pairs;
    unsigned n;
    if (!a->request->query.n || !rest_pairs_parse(a->request->query, a->call->arena, &pairs, &n))
        return STR_NONE;
    for (unsigned i = 0; i < n; i++)
        if (str_eq(pairs[i].name, name))
            return pairs[i].value;
    return STR_NONE;
}

static struct bulk_job *free_slot(struct asking *a)
{
    for (unsigned i = 0; i < BULK_SLOTS; i++)
        if (a->shelf->jobs[i].state == BULK_FREE)
            return &a->shelf->jobs[i];
    for (unsigned i = 0; i < BULK_SLOTS; i++) {
        struct bulk_job *j = &a->shelf->jobs[i];
        if (j->state != BULK_RUNS && j->ended_us && j->ended_us < a->call->now_us - KEPT_US) {
            bulk_remove(j);
            return j;
        }
    }
    return NULL;
}

static struct bulk_job *named(const struct asking *a)
{
    struct str id = parameter(a, STR("job"));
    for (unsigned i = 0; id.n && i < BULK_SLOTS; i++)
        if (a->shelf->jobs[i].state != BULK_FREE && str_eq(a->shelf->jobs[i].id, id))
            return &a->shelf->jobs[i];
    rest_refuse(a->call, a->answer, 404, "not-found", STR("http.job"),
                "there is no such export: it was deleted, or never begun");
    return NULL;
}

static bool is_async(const struct rest_http *http)
{
    for (unsigned i = 0; i < http->field_count; i++)
        if (str_eq_nocase(http->fields[i].name, STR("prefer")) &&
            http_list_has(http->fields[i].value, STR("respond-async")))
            return true;
    return false;
}

static void begin(struct asking *a)
{
    struct bulk_job *j;
    if (a->http->method != METHOD_GET || a->request->element_count ||
        a->request->summary != FHIR_SUMMARY_FALSE) {
        rest_refuse(a->call, a->answer, 501, "not-supported", STR("http.method"),
                    "$export is asked by GET, without _elements and _summary");
        return;
    }
    if (!is_async(a->http)) {
        rest_refuse(a->call, a->answer, 400, "required", STR("http.prefer"),
                    "an export is asked for with \"Prefer: respond-async\"");
        return;
    }
    if (!(j = free_slot(a))) {
        rest_refuse(a->call, a->answer, 429, "throttled", STR_NONE,
                    "there are %u exports already: delete one that you have fetched", BULK_SLOTS);
        return;
    }
    if (!bulk_begin(j, a->call, a->request, a->http,
                    rest_id_new(&a->exporter->ids, a->call->now_us, a->call->arena), a->answer))
        return;
    a->answer->status = 202;
    a->answer->location = arena_printf(a->call->arena, "$export-status?job=%.*s", STR_ARG(j->id));
    timer_set(a->exporter->process.loop, &a->exporter->step, loop_now_ms(a->exporter->process.loop) + 1);
}

static void tell_status(struct asking *a)
{
    struct bulk_job *j = named(a);
    if (!j)
        return;
    if (a->http->method == METHOD_DELETE) {
        bulk_remove(j);
        a->answer->status = 202;
    } else if (j->state == BULK_FAILED) {
        rest_refuse(a->call, a->answer, 500, "exception", STR_NONE, "the export could not be finished: %.*s",
                    STR_ARG(j->problem));
    } else if (j->state == BULK_DONE) {
        a->answer->status = 200;
        a->answer->body = j->manifest;
    } else {
        a->answer->status = 202;
        a->answer->progress = arena_printf(a->call->arena, "%llu resources in %u files",
                                           (unsigned long long)j->resources, j->file_count);
    }
}

static void give_file(struct asking *a)
{
    struct bulk_job *j = named(a);
    if (!j)
        return;
    if (j->state == BULK_DONE && bulk_read(j, parameter(a, STR("file")), a->call->arena, &a->answer->body))
        a->answer->status = 200;
    else
        rest_refuse(a->call, a->answer, 404, "not-found", STR("http.file"),
                    "this export has no such file; its files stand in its manifest");
}

static void answer(struct asking *a)
{
    if (str_eq(a->request->operation, STR("export")))
        begin(a);
    else if (str_eq(a->request->operation, STR("export-status")))
        tell_status(a);
    else
        give_file(a);
}

/* ---- ducts */

static void send_answer(struct exporter *e, struct link *link, uint64_t id,
                        const struct rest_answer *answered)
{
    const struct str parts[] = {rest_answer_encode(id, answered, e->arena), answered->body};
    if (parts[0].n && !duct_send(link->duct, parts, 2))
        process_say(&e->process, "worker %u does not read its answers", (unsigned)(link - e->links));
}

static bool asked(void *self, struct duct *duct [[maybe_unused]], struct str bytes)
{
    struct link *link = self;
    struct exporter *e = link->exporter;
    struct rest_job job;
    struct rest_request request;
    struct rest_answer answered = {.modified_us = INT64_MIN};
    struct str copy = arena_copy(e->arena, bytes);
    if (!rest_job_decode(copy, e->arena, &job) || job.cluster >= e->process.config->records.cluster_count)
        return false;
    struct rest_call call = call_of(e, job.cluster, &job.caller);
    struct asking a = {e, &e->shelves[job.cluster], &call, &job.http, &request, &answered};
    if (rest_request_parse(&call, &job.http, &request, &answered) &&
        judge(&call, &job.http, &request, &job.caller, &answered))
        answer(&a);
    send_answer(e, link, job.id, &answered);
    arena_reset(e->arena);
    arena_reset(e->scratch);
    return true;
}

static void link_broke(void *self, struct duct *duct)
{
    struct link *link = self;
    process_say(&link->exporter->process, "worker %u writes nonsense; its duct is closed",
                (unsigned)(link - link->exporter->links));
    duct_close(duct);
    link->duct = NULL;
}

static bool link_came(struct process *p, enum role other, unsigned slot, struct duct_parts take,
                      unsigned side)
{
    struct exporter *e = container_of(p, struct exporter, process);
    if (other != ROLE_WORKER || slot >= RECORDS_WORKERS_MAX) {
        duct_parts_close(&take);
        return false;
    }
    struct link *link = &e->links[slot];
    duct_close(link->duct);
    *link = (struct link){.exporter = e};
    link->duct =
        duct_open(p->loop, take, side, JOB_MAX, BACKLOG_MAX, (struct duct_events){asked, link_broke, link});
    return link->duct != NULL;
}

/* ---- the start */

static bool open_shelf(struct exporter *e, unsigned cluster)
{
    const struct config_records *r = &e->process.config->records;
    char path[FOLDER_BYTES];
    struct buf b = buf_over(path, sizeof path), folder = buf_over(e->shelves[cluster].folder, FOLDER_BYTES);
    struct store_options options = {
        .role = STORE_READER, .cluster = r->clusters[cluster].name, .indexer = e->engine.indexer};
    e->sites[cluster] = (struct rest_site){.engine = &e->engine,
                                           .name = r->clusters[cluster].name,
                                           .organisation = r->clusters[cluster].organisation,
                                           .base_url = r->clusters[cluster].url,
                                           .page_entries = r->page_entries,
                                           .page_entries_max = r->page_entries_max,
                                           .guard = e->guard};
    records_folder(e->process.config, cluster, &b);
    buf_printf(&folder, "%s/export%c", path, 0);
    e->shelves[cluster].jobs = calloc(BULK_SLOTS, sizeof(struct bulk_job));
    enum store_result result = process_open_store(&e->process, cluster, &options, &e->sites[cluster].store);
    for (unsigned i = 0; e->shelves[cluster].jobs && i < BULK_SLOTS; i++) {
        e->shelves[cluster].jobs[i] = (struct bulk_job){.folder = e->shelves[cluster].folder, .slot = i};
        bulk_restore(&e->shelves[cluster].jobs[i]);
        e->shelves[cluster].jobs[i].ended_us = loop_wall_us(e->process.loop);
    }
    if (result != STORE_FINE)
        process_say(&e->process, "the records of %.*s cannot be opened: %.*s",
                    STR_ARG(r->clusters[cluster].name), STR_ARG(store_result_text(result)));
    return result == STORE_FINE && e->shelves[cluster].jobs && !buf_overflowed(&folder);
}

static bool prepare(struct process *p)
{
    struct exporter *e = container_of(p, struct exporter, process);
    struct hash_key keys[2];
    unsigned n = p->config->records.cluster_count;
    e->sites = calloc(n, sizeof *e->sites);
    e->shelves = calloc(n, sizeof *e->shelves);
    e->arena = arena_new(ARENA_BYTES);
    e->scratch = arena_new(ARENA_BYTES);
    if (!e->sites || !e->shelves || !e->arena || !e->scratch ||
        getrandom(keys, sizeof keys, 0) != sizeof keys || !rest_engine_init(&e->engine, keys[0])) {
        process_say(p, "there is no memory");
        return false;
    }
    e->ids.key = keys[1];
    if (!process_make_guard(p, &e->guard))
        return false;
    for (unsigned i = 0; i < n; i++)
        if (!open_shelf(e, i))
            return false;
    return true;
}

int exporter_main(int argc, char **argv)
{
    static struct exporter e;
    e.process = (struct process){.role = ROLE_EXPORTER, .link = link_came};
    timer_init(&e.step, step);
    if (!process_begin(&e.process, argc, argv, prepare))
        return 1;
    return loop_run(e.process.loop) < 0 ? 1 : 0;
}
