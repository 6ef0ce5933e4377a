/* records/owner.c - the only writer of its clusters. All writes that arrived in one turn, from whichever
 * worker, are one group of the store: one commit, one fsync, then all answers.
 *
 *   jobs of a turn, by cluster -> store_begin -> each applied or refused -> store_commit -> answers
 *
 * What always holds: no answer leaves before its group is durable. When a group is lost, every job of it is
 * answered so. A store that failed is not written again: the role ends, and its successor opens it anew. */
#include "records/process.h"
#include "rest/job.h"
#include "rest/outcome.h"
#include "rest/write.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    GROUP_MAX = 1'024,
    JOB_MAX = 66 << 20, /* the largest body, and what stands in front of it */
    ARENA_BYTES = 1 << 30,
    BACKLOG_MAX = 512 << 20,
    LOG_BYTES_MAX = 64 << 20, /* of the write-ahead log: then it is moved into the database */
    IDLE_MS = 1'000,          /* without writes: then too, for readers look into the log first */
    SPARE_MAX = 256,
    DICTIONARY_IDLE = 1'000,  /* bodies of a type without a dictionary: one is made when nobody writes */
    DICTIONARY_BUSY = 10'000, /* an import that does not end: one is made in between */
};

struct job {
    struct list node;
    struct arena *arena;
    unsigned worker;
    struct rest_job job;
    struct rest_answer answer;
};

struct link {
    struct duct *duct;
    struct owner *owner;
    unsigned slot;
};

struct owner {
    struct process process;
    struct rest_engine engine;
    struct rest_site *sites; /* store NULL: another owner's */
    struct rest_guard *guard;
    struct list *waiting; /* jobs, by cluster */
    struct link links[RECORDS_WORKERS_MAX];
    struct deferred turn, upkeep;
    struct timer idle;
    struct rest_ids ids;
    struct arena *scratch;
    struct list spare; /* jobs whose arenas are used again */
    unsigned spare_count;
    bool is_broken, is_stopping;
};

/* ---- jobs */

static struct job *job_new(struct owner *o)
{
    struct list *node = list_pop_front(&o->spare);
    if (node) {
        o->spare_count--;
        return container_of(node, struct job, node);
    }
    struct job *j = calloc(1, sizeof *j);
    if (j && !(j->arena = arena_new(ARENA_BYTES))) {
        free(j);
        return NULL;
    }
    if (j)
        list_init(&j->node);
    return j;
}

static void job_done(struct owner *o, struct job *j)
{
    arena_reset(j->arena);
    if (o->spare_count < SPARE_MAX) {
        list_push_back(&o->spare, &j->node);
        o->spare_count++;
        return;
    }
    arena_free(j->arena);
    free(j);
}

static bool job_came(void *self, struct duct *duct [[maybe_unused]], struct str bytes)
{
    struct link *link = self;
    struct owner *o = link->owner;
    struct job *j = job_new(o);
    if (!j)
        return true; /* the worker's client waits in vain: there is no memory to tell him with */
    struct str copy = arena_copy(j->arena, bytes);
    j->worker = link->slot;
    j->answer = (struct rest_answer){.modified_us = INT64_MIN};
    if (!rest_job_decode(copy, j->arena, &j->job) ||
        j->job.cluster >= o->process.config->records.cluster_count || !o->sites[j->job.cluster].store) {
        job_done(o, j);
        return false;
    }
    list_push_back(&o->waiting[j->job.cluster], &j->node);
    loop_defer(o->process.loop, &o->turn);
    return true;
}

static void link_broke(void *self, struct duct *duct)
{
    struct link *link = self;
    process_say(&link->owner->process, "worker %u writes nonsense; its duct is closed", link->slot);
    duct_close(duct);
    link->duct = NULL;
}

/* ---- a group */

/* Sees nothing until it is judged. */
static struct rest_call call_of(struct owner *o, struct job *j, int64_t time_us)
{
    return (struct rest_call){.site = &o->sites[j->job.cluster],
                              .caller = &j->job.caller,
                              .view = &rest_sees_nothing,
                              .arena = j->arena,
                              .scratch = o->scratch,
                              .now_us = time_us,
                              .ids = &o->ids};
}

/* The worker has judged it too; what is written is decided here. */
static bool judge(struct job *j, struct rest_call *call, const struct rest_request *request)
{
    struct rest_judged judged;
    struct rest_grant grant;
    if (!rest_view_of(call, &j->job.http, request, &j->job.caller, &judged, &grant, &j->answer))
        return false;
    call->view = grant.view;
    call->decision = grant.decision;
    return rest_may_ask(call, request, &j->answer);
}

static enum rest_written run_job(struct owner *o, struct job *j, int64_t time_us)
{
    struct rest_request request;
    struct rest_call call = call_of(o, j, time_us);
    enum rest_written written = REST_ANSWERED;
    if (j->job.notice.n) {
        written = rest_notify_emergency(&call, j->job.notice, &j->answer);
    } else if (rest_request_parse(&call, &j->job.http, &request, &j->answer) && judge(j, &call, &request)) {
        if (request.writes)
            written = rest_answer_write(&call, &request, &j->answer);
        else
            rest_refuse(&call, &j->answer, 500, "exception", STR_NONE, "this is no write");
    }
    arena_reset(o->scratch);
    return written;
}

static void send_answer(struct owner *o, struct job *j)
{
    struct duct *duct = o->links[j->worker].duct;
    const struct str parts[] = {rest_answer_encode(j->job.id, &j->answer, j->arena), j->answer.body};
    if (duct && (!parts[0].n || !duct_send(duct, parts, 2)))
        process_say(&o->process, "worker %u does not read its answers", j->worker);
}

static void refuse_all(struct owner *o, struct list *group, enum store_result why)
{
    for (struct list *n = group->next; n != group; n = n->next) {
        struct job *j = container_of(n, struct job, node);
        struct rest_call call = call_of(o, j, 0);
        j->answer.touched = NULL;
        j->answer.touched_count = 0;
        rest_refuse_store(&call, &j->answer, why);
    }
}

/* Disk full: refused, and the next one may succeed. Anything else: somebody has to look, and open it anew. */
static void judge_failure(struct owner *o, unsigned cluster, enum store_result result)
{
    struct rest_site *site = &o->sites[cluster];
    struct str problem = store_problem(site->store);
    process_say(&o->process, "the records of %.*s cannot be written: %.*s: %.*s", STR_ARG(site->name),
                STR_ARG(store_result_text(result)), STR_ARG(problem));
    o->is_broken |= result != STORE_NO_SPACE && result != STORE_NO_MEMORY;
}

/* The result of the group: STORE_FINE, and its answers are true. */
static enum store_result run_group(struct owner *o, unsigned cluster, struct list *group)
{
    struct store *store = o->sites[cluster].store;
    int64_t time_us;
    enum store_result result = store_begin(store, loop_wall_us(o->process.loop), &time_us);
    if (result != STORE_FINE)
        return result;
    for (struct list *n = group->next; n != group; n = n->next) {
        struct job *j = container_of(n, struct job, node);
        if (run_job(o, j, time_us) == REST_GROUP_LOST)
            return j->answer.failure; /* the store has undone the group */
    }
    return store_commit(store);
}

static void end_group(struct owner *o, struct list *group)
{
    struct list *node;
    while ((node = list_pop_front(group))) {
        struct job *j = container_of(node, struct job, node);
        send_answer(o, j);
        job_done(o, j);
    }
}

static void do_group(struct owner *o, unsigned cluster)
{
    struct list group;
    list_init(&group);
    for (unsigned n = 0; n < GROUP_MAX && !list_is_empty(&o->waiting[cluster]); n++)
        list_push_back(&group, list_pop_front(&o->waiting[cluster]));
    enum store_result result = o->is_broken ? STORE_STOPPED : run_group(o, cluster, &group);
    if (result != STORE_FINE) {
        judge_failure(o, cluster, result);
        refuse_all(o, &group, result);
    }
    end_group(o, &group);
    loop_defer(o->process.loop, &o->upkeep); /* behind the bells of the answers: they do not wait for it */
}

/* ---- when nobody writes */

static struct store *open_store(struct owner *o, unsigned cluster, enum store_role role)
{
    struct str name = o->process.config->records.clusters[cluster].name;
    struct store_options options = {
        .role = role, .cluster = name, .indexer = o->engine.indexer, .may_create = role == STORE_WRITER};
    struct store *store = NULL;
    enum store_result result = process_open_store(&o->process, cluster, &options, &store);
    if (result != STORE_FINE)
        process_say(&o->process, "the records of %.*s cannot be opened: %.*s", STR_ARG(name),
                    STR_ARG(store_result_text(result)));
    return result == STORE_FINE ? store : NULL;
}

/* One dictionary for bodies, of the type that gains most by it: some tenths of a second. True: one was made.
 */
static bool make_dictionary(struct owner *o, unsigned cluster, uint32_t bodies)
{
    struct store *writer = o->sites[cluster].store;
    const struct fhir_type *type = store_wants_dictionary(writer, bodies);
    bool is_of_server = o->process.config->records.clusters[cluster].store.n > 0; /* it has one connection */
    struct store *reader = !type ? NULL : is_of_server ? writer : open_store(o, cluster, STORE_READER);
    struct str dictionary = STR_NONE;
    enum store_result result = reader ? store_train(reader, type, o->scratch, &dictionary) : STORE_NOT_FOUND;
    if (result == STORE_FINE && dictionary.n)
        result = store_add_dictionary(writer, type, dictionary);
    bool made = result == STORE_FINE && dictionary.n;
    if (reader != writer)
        store_close(reader);
    arena_reset(o->scratch);
    return made;
}

/* What cannot wait for a pause: an import may have none for hours. */
static void keep_up(struct deferred *d)
{
    struct owner *o = container_of(d, struct owner, upkeep);
    for (unsigned i = 0; i < o->process.config->records.cluster_count && !o->is_broken; i++) {
        if (!o->sites[i].store)
            continue;
        if (store_log_bytes(o->sites[i].store) > LOG_BYTES_MAX)
            store_checkpoint(o->sites[i].store);
        make_dictionary(o, i, DICTIONARY_BUSY);
    }
}

/* The log goes into the database; then, one at a time, what makes it smaller. */
static void is_idle(struct timer *t)
{
    struct owner *o = container_of(t, struct owner, idle);
    bool again = false;
    for (unsigned i = 0; i < o->process.config->records.cluster_count && !o->is_broken; i++) {
        if (!o->sites[i].store)
            continue;
        if (store_log_bytes(o->sites[i].store))
            store_checkpoint(o->sites[i].store);
        again |= make_dictionary(o, i, DICTIONARY_IDLE);
    }
    if (again)
        timer_set(o->process.loop, t, loop_now_ms(o->process.loop) + IDLE_MS);
}

static bool has_jobs(const struct owner *o)
{
    for (unsigned i = 0; i < o->process.config->records.cluster_count; i++)
        if (!list_is_empty(&o->waiting[i]))
            return true;
    return false;
}

static void take_turn(struct deferred *d)
{
    struct owner *o = container_of(d, struct owner, turn);
    for (unsigned i = 0; i < o->process.config->records.cluster_count; i++)
        if (!list_is_empty(&o->waiting[i]))
            do_group(o, i);
    timer_set(o->process.loop, &o->idle, loop_now_ms(o->process.loop) + IDLE_MS);
    if (has_jobs(o))
        loop_defer(o->process.loop, &o->turn);
    else if (o->is_broken || o->is_stopping)
        loop_stop(o->process.loop);
}

/* ---- the start and the end */

static bool link_came(struct process *p, enum role other, unsigned slot, struct duct_parts take,
                      unsigned side)
{
    struct owner *o = container_of(p, struct owner, process);
    if (other != ROLE_WORKER || slot >= RECORDS_WORKERS_MAX) {
        duct_parts_close(&take);
        return false;
    }
    struct link *link = &o->links[slot];
    duct_close(link->duct);
    *link = (struct link){.owner = o, .slot = slot};
    link->duct = duct_open(p->loop, take, side, JOB_MAX, BACKLOG_MAX,
                           (struct duct_events){job_came, link_broke, link});
    return link->duct != NULL;
}

static void stop(struct process *p, uint32_t drain_ms [[maybe_unused]])
{
    struct owner *o = container_of(p, struct owner, process);
    o->is_stopping = true;
    loop_defer(p->loop, &o->turn);
}

static bool open_site(struct owner *o, unsigned i)
{
    const struct config_records *r = &o->process.config->records;
    o->sites[i] = (struct rest_site){.engine = &o->engine,
                                     .store = open_store(o, i, STORE_WRITER),
                                     .name = r->clusters[i].name,
                                     .organisation = r->clusters[i].organisation,
                                     .base_url = r->clusters[i].url,
                                     .page_entries = r->page_entries,
                                     .page_entries_max = r->page_entries_max,
                                     .guard = o->guard};
    return o->sites[i].store != NULL;
}

static bool prepare(struct process *p)
{
    struct owner *o = container_of(p, struct owner, process);
    struct hash_key keys[2];
    unsigned n = p->config->records.cluster_count;
    o->sites = calloc(n, sizeof *o->sites);
    o->waiting = calloc(n, sizeof *o->waiting);
    o->scratch = arena_new(ARENA_BYTES);
    if (!o->sites || !o->waiting || !o->scratch || getrandom(keys, sizeof keys, 0) != sizeof keys ||
        !rest_engine_init(&o->engine, keys[0])) {
        process_say(p, "there is no memory");
        return false;
    }
    o->ids.key = keys[1];
    if (!process_make_guard(p, &o->guard))
        return false;
    for (unsigned i = 0; i < n; i++) {
        list_init(&o->waiting[i]);
        if (process_owner_of(p->config, i) == p->start.slot && !open_site(o, i))
            return false;
    }
    return true;
}

int owner_main(int argc, char **argv)
{
    static struct owner o;
    o.process = (struct process){.role = ROLE_OWNER, .link = link_came, .stop = stop};
    list_init(&o.spare);
    deferred_init(&o.turn, take_turn);
    deferred_init(&o.upkeep, keep_up);
    timer_init(&o.idle, is_idle);
    if (!process_begin(&o.process, argc, argv, prepare))
        return 1;
    int error = loop_run(o.process.loop);
    for (unsigned i = 0; i < o.process.config->records.cluster_count; i++) {
        if (!o.is_broken)
            store_checkpoint(o.sites[i].store); /* who stopped it finds one file, not a file and its log */
        store_close(o.sites[i].store);
    }
    return error < 0 || o.is_broken ? 1 : 0;
}
