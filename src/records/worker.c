#include "records/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ANSWER_MAX = 128 << 20, /* of an owner: a transaction with all its resources */
    BACKLOG_MAX = 64 << 20,
    TASKS = 16'384,
};

/* ---- accepting */

/* They came in the order of the configuration. */
static const struct config_records_listener *listener_of(const struct worker *w, const struct io *io)
{
    return &w->process.config->records.listeners[io - w->listeners];
}

static void accept_some(struct worker *w, struct io *io)
{
    for (;;) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        struct addr peer;
        int fd = accept4(io->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0)
            return;
        if (!addr_from_sockaddr(&from, len, &peer) ||
            w->conns.count >= w->process.config->records.connections)
            close(fd);
        else
            conn_accept(&w->conns, fd, &peer, listener_of(w, io)->is_behind_gate);
    }
}

static struct worker
    *the_worker; /* listeners are plain ios: what they point at is the role of this process */

static void accept_ready(struct io *io, uint32_t events [[maybe_unused]])
{
    accept_some(the_worker, io);
}

static bool is_linked(const struct worker *w)
{
    for (unsigned i = 0; i < w->process.config->records.owners; i++)
        if (!w->owners[i].duct)
            return false;
    return w->audit != NULL;
}

/* Once everybody is there; later an owner or the audit may be away for a moment. */
static void accept_when_linked(struct worker *w)
{
    if (w->is_accepting || !is_linked(w))
        return;
    w->is_accepting = true;
    for (unsigned i = 0; i < w->listener_count; i++)
        if (loop_add(w->process.loop, &w->listeners[i], EPOLLIN) < 0)
            process_say(&w->process, "a listener cannot be waited for");
}

static bool listener_came(struct process *p, int take_fd)
{
    struct worker *w = container_of(p, struct worker, process);
    if (w->listener_count == sizeof w->listeners / sizeof *w->listeners || w->is_accepting) {
        close(take_fd);
        return false;
    }
    w->listeners[w->listener_count++] = (struct io){.ready = accept_ready, .fd = take_fd};
    return true;
}

/* ---- the others */

static bool owner_said(void *self, struct duct *duct [[maybe_unused]], struct str bytes)
{
    struct owner_link *o = self;
    task_owner_answered(o->worker, bytes);
    return true;
}

static void owner_broke(void *self, struct duct *duct)
{
    struct owner_link *o = self;
    process_say(&o->worker->process, "the owner %u writes nonsense; its duct is closed", o->index);
    duct_close(duct);
    o->duct = NULL;
    task_owner_gone(o->worker, o->index);
}

static bool audit_said(void *self, struct duct *duct [[maybe_unused]], struct str bytes)
{
    uint64_t sequence;
    if (bytes.n > sizeof sequence) {
        task_audit_answered(self, bytes);
        return true;
    }
    if (bytes.n != sizeof sequence)
        return false;
    memcpy(&sequence, bytes.p, sizeof sequence);
    task_confirmed(self, sequence);
    return true;
}

static void audit_broke(void *self, struct duct *duct)
{
    struct worker *w = self;
    process_say(&w->process, "the audit writes nonsense; its duct is closed");
    duct_close(duct);
    w->audit = NULL;
}

static bool exporter_said(void *self, struct duct *duct [[maybe_unused]], struct str bytes)
{
    task_owner_answered(self, bytes);
    return true;
}

static void exporter_broke(void *self, struct duct *duct)
{
    struct worker *w = self;
    process_say(&w->process, "the exporter writes nonsense; its duct is closed");
    duct_close(duct);
    w->exporter = NULL;
    task_exporter_gone(w);
}

static bool link_exporter(struct worker *w, struct duct_parts take, unsigned side)
{
    duct_close(w->exporter);
    w->exporter = NULL;
    task_exporter_gone(w);
    w->exporter = duct_open(w->process.loop, take, side, ANSWER_MAX, BACKLOG_MAX,
                            (struct duct_events){exporter_said, exporter_broke, w});
    return w->exporter != NULL;
}

static bool link_owner(struct worker *w, unsigned slot, struct duct_parts take, unsigned side)
{
    struct owner_link *o = &w->owners[slot];
    duct_close(o->duct);
    o->duct = NULL;
    task_owner_gone(w, slot);
    *o = (struct owner_link){.index = slot, .worker = w};
    o->duct = duct_open(w->process.loop, take, side, ANSWER_MAX, BACKLOG_MAX,
                        (struct duct_events){owner_said, owner_broke, o});
    return o->duct != NULL;
}

static bool link_came(struct process *p, enum role other, unsigned slot, struct duct_parts take,
                      unsigned side)
{
    struct worker *w = container_of(p, struct worker, process);
    if (other == ROLE_OWNER && slot < p->config->records.owners) {
        if (!link_owner(w, slot, take, side))
            return false;
    } else if (other == ROLE_EXPORTER && slot == 0) {
        if (!link_exporter(w, take, side))
            return false;
    } else if (other == ROLE_AUDIT && slot == 0) {
        duct_close(w->audit);
        w->audit = duct_open(p->loop, take, side, REST_AUDIT_LINES_MAX + 64, BACKLOG_MAX,
                             (struct duct_events){audit_said, audit_broke, w});
        if (!w->audit)
            return false;
        task_send_again(w);
    } else {
        duct_parts_close(&take);
        return false;
    }
    accept_when_linked(w);
    return true;
}

/* ---- requests */

static void request_came(struct conn_owner *o, struct conn *c)
{
    task_begin(container_of(o, struct worker, conns), c);
}

static void conn_closed(struct conn_owner *o)
{
    if (o->is_draining && o->count == 0)
        loop_stop(o->loop);
}

static void drain_over(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, drain);
    loop_stop(w->process.loop);
}

/* A connection to a database that is lost: the next worker makes a new one, before its walls. */
static bool has_lost_store(const struct worker *w)
{
    for (unsigned i = 0; i < w->process.config->records.cluster_count; i++)
        if (store_is_stopped(w->sites[i].store))
            return true;
    return false;
}

static void look_for_overdue(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, overdue);
    task_end_overdue(w);
    if (has_lost_store(w)) {
        process_say(&w->process, "the connection to a database is lost: another worker begins anew");
        loop_stop(w->process.loop);
        return;
    }
    timer_set(w->process.loop, t, loop_now_ms(w->process.loop) + TASK_LOOK_MS);
}

static void stop(struct process *p, uint32_t drain_ms)
{
    struct worker *w = container_of(p, struct worker, process);
    for (unsigned i = 0; i < w->listener_count; i++)
        loop_close(p->loop, &w->listeners[i]);
    w->listener_count = 0;
    conn_drain(&w->conns);
    timer_set(p->loop, &w->drain, loop_now_ms(p->loop) + drain_ms + 1);
    if (w->conns.count == 0)
        loop_stop(p->loop);
}

/* ---- the start */

static bool open_site(struct worker *w, unsigned i)
{
    const struct config_records *r = &w->process.config->records;
    struct rest_site *site = &w->sites[i];
    struct store_options options = {
        .role = STORE_READER, .cluster = r->clusters[i].name, .indexer = w->engine.indexer};
    *site = (struct rest_site){.engine = &w->engine,
                               .name = r->clusters[i].name,
                               .organisation = r->clusters[i].organisation,
                               .base_url = r->clusters[i].url,
                               .page_entries = r->page_entries,
                               .page_entries_max = r->page_entries_max,
                               .guard = w->guard};
    enum store_result result = process_open_store(&w->process, i, &options, &site->store);
    if (result != STORE_FINE)
        process_say(&w->process, "the records of %.*s cannot be opened: %.*s", STR_ARG(site->name),
                    STR_ARG(store_result_text(result)));
    return result == STORE_FINE;
}

static bool prepare(struct process *p)
{
    struct worker *w = container_of(p, struct worker, process);
    struct hash_key key;
    unsigned n = p->config->records.cluster_count;
    w->sites = calloc(n, sizeof *w->sites);
    w->reading = calloc(n, sizeof *w->reading);
    w->tasks = calloc(TASKS, sizeof(struct task *));
    w->task_room = TASKS;
    if (!w->sites || !w->tasks || !w->reading || getrandom(&key, sizeof key, 0) != sizeof key ||
        !rest_engine_init(&w->engine, key)) {
        process_say(p, "there is no memory");
        return false;
    }
    if (!process_make_guard(p, &w->guard))
        return false;
    for (unsigned i = 0; i < n; i++) {
        list_init(&w->reading[i]);
        if (!open_site(w, i))
            return false;
    }
    return true;
}

static void set_up_conns(struct worker *w)
{
    const struct config_records *r = &w->process.config->records;
    w->conns.loop = w->process.loop;
    w->conns.body_max = r->body_bytes;
    w->conns.idle_ms = r->idle_timeout_ms;
    w->conns.request_ms = r->request_timeout_ms;
    w->conns.limits =
        (struct h1_limits){.head_bytes = 32 << 10, .field_count = 100, .target_bytes = 16 << 10};
    w->conns.request = request_came;
    w->conns.closed = conn_closed;
    w->conns.sent = stream_sent;
    w->conns.gone = stream_gone;
}

int worker_main(int argc, char **argv)
{
    static struct worker w;
    the_worker = &w;
    w.process =
        (struct process){.role = ROLE_WORKER, .link = link_came, .listen = listener_came, .stop = stop};
    list_init(&w.conns.conns);
    list_init(&w.unconfirmed);
    list_init(&w.streams);
    timer_init(&w.look, stream_look);
    timer_init(&w.drain, drain_over);
    deferred_init(&w.read_turn, task_read_all);
    if (!process_begin(&w.process, argc, argv, prepare))
        return 1;
    set_up_conns(&w);
    timer_init(&w.overdue, look_for_overdue);
    timer_set(w.process.loop, &w.overdue, loop_now_ms(w.process.loop) + TASK_LOOK_MS);
    int error = loop_run(w.process.loop);
    return error < 0 || has_lost_store(&w) ? 1 : 0; /* the system takes everything back */
}
