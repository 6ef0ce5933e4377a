/* gate/filter_steps.c - the steps of isolation/work.c carried out, and what becomes of them when the disk
 * fails.
 *
 *   carry out:  FILTER WORKERS WRITE JOURNAL_ORDER ... CUT JOURNAL_DONE          all done: reported as done
 *                       |        |        |      |
 *                       |        +--------+------+-- the disk fails
 *                       |                 |
 *                       |     something was closed already: it stays in force, OWED
 *                       |     nothing was:                  dropped, as if never ordered
 *                       v
 *   settle (every second, and before an order): what is in force -> record; then as after a crash,
 * desk_recover
 *
 * A recovery compares what is on disk with what is enforced: the kernel's levels and what workers act by. */
#include "gate/filter_desk.h"

#include "sys/channel.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

enum {
    WAIT_FIRST_US = 20,
    WAIT_STEP_MAX_US = 500,
    WORKERS_US = 1'000'000, /* a worker that does not act in that time is ended */
    ENDED_US = 1'000'000,   /* and is waited for */
};

static int64_t boot_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1'000'000 + t.tv_nsec / 1000;
}

static void note(struct outcome *o, struct str text)
{
    struct buf b = buf_over(o->note, sizeof o->note);
    b.n = o->note_n;
    if (b.n && text.n)
        BUF_LIT(&b, " ");
    buf_str(&b, str_take(text, b.cap - b.n));
    o->note_n = b.n;
}

/* ---- workers */

/* A worker that ended acts by nothing: the master clears its place. Without a master a place whose channel is
 * closed is as good as cleared. */
static bool lags(const struct desk *d, unsigned slot, uint64_t sequence)
{
    const struct filter_role *f = d->role;
    uint64_t acts_by = atomic_load_explicit(&f->shared.workers[slot].isolation_applied, memory_order_acquire);
    return acts_by && acts_by < sequence && (f->process.master || f->workers[slot]);
}

static unsigned lagging(const struct desk *d, uint64_t sequence)
{
    unsigned count = 0;
    for (unsigned slot = 0; d->role->has_shared && slot < d->role->shared.worker_count; slot++)
        count += lags(d, slot, sequence);
    return count;
}

/* In short sleeps: it is done in less time than another turn of the loop would take. */
static bool wait_for_workers(const struct desk *d, uint64_t sequence, int64_t for_us)
{
    int64_t end_us = boot_us() + for_us;
    long pause_us = WAIT_FIRST_US;
    while (lagging(d, sequence)) {
        if (boot_us() >= end_us)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = pause_us * 1000}, NULL);
        pause_us = pause_us * 2 < WAIT_STEP_MAX_US ? pause_us * 2 : WAIT_STEP_MAX_US;
    }
    return true;
}

static void end_lagging(struct desk *d, uint64_t sequence, struct outcome *o)
{
    struct channel *master = d->role->process.master;
    for (unsigned slot = 0; slot < d->role->shared.worker_count; slot++) {
        struct msg_overdue m = {.slot = (uint8_t)slot};
        if (!lags(d, slot, sequence))
            continue;
        o->workers_ended++;
        if (!master || msg_overdue_send(master, &m, -1) < 0)
            filter_say("worker %u does not act by the new level and cannot be ended", slot);
    }
    if (!wait_for_workers(d, sequence, ENDED_US))
        note(o, STR("A worker neither acts by the new level nor ends; end it by hand, `polder status` lists "
                    "it."));
}

static void publish(struct desk *d, const struct isolation_state *state, struct outcome *o)
{
    uint64_t sequence = perimeter_publish(&d->role->perimeter, state);
    filter_wake_workers(d->role);
    if (!wait_for_workers(d, sequence, WORKERS_US))
        end_lagging(d, sequence, o);
}

static bool has_adopted(const struct desk *d)
{
    return d->role->has_shared &&
           atomic_load_explicit(&d->role->shared.header->adopted_workers, memory_order_acquire) > 0;
}

/* Who cannot hear of a newer level: the master ends them, and they are waited for. */
static void end_adopted(const struct desk *d, uint64_t order, struct outcome *o)
{
    struct msg_end_adopted m = {.order = order};
    int64_t until_us = boot_us() + ENDED_US;
    if (!d->role->process.master || !has_adopted(d))
        return;
    if (msg_end_adopted_send(d->role->process.master, &m, -1) < 0)
        filter_say("the master cannot be told to end roles of an older gate");
    while (has_adopted(d) && boot_us() < until_us)
        nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_MAX_US * 1000}, NULL);
    if (has_adopted(d))
        note(o, STR("Workers of the gate before an upgrade are still there; `polder status` lists them."));
}

/* ---- the packet filter. What it cannot do is told, and does not keep the workers from it. */

static void enforce(struct desk *d, const struct isolation_state *state, struct outcome *o)
{
    struct buf problem = buf_over(d->problem, sizeof d->problem);
    bool ok = d->has_begun ? packets_enforce(d->role->packets, state, &problem)
                           : packets_configure(d->role->packets, d->config, state, &problem);
    d->problem_n = ok ? 0 : problem.n;
    if (ok)
        return;
    filter_say("the packet filter could not take the level: %.*s", STR_ARG(buf_text(&problem)));
    note(o, STR("The packet filter could not take the level; the gate's own processes act by it:"));
    note(o, buf_text(&problem));
}

static uint64_t cut_by_workers(const struct desk *d)
{
    return d->role->has_shared ? shared_counter_sum(&d->role->shared, COUNTER_isolation_cut_total) : 0;
}

/* The workers have reset theirs by now; what the kernel still has of others is ended here. */
static void cut(struct desk *d, const struct isolation_state *state, uint64_t cut_before, struct outcome *o)
{
    char memory[DESK_NOTE_BYTES];
    struct buf problem = buf_over(memory, sizeof memory);
    struct isolation_results results = {0};
    if (!packets_cut(d->role->packets, state, &results, &problem))
        note(o, buf_text(&problem));
    o->results.sessions_cut += results.sessions_cut + (cut_by_workers(d) - cut_before);
    o->results.last_in_us = results.last_in_us;
    o->results.last_out_us = results.last_out_us;
}

/* ---- the journal */

static int journal_order(struct desk *d, const struct isolation_state *state,
                         const struct isolation_work *work)
{
    struct isolation_anchor before = d->books.chain.end;
    struct buf line = books_line(&d->books);
    isolation_journal_order(&d->books.chain, &line, state, work, desk_now_us());
    return books_append(&d->books, &line, &before);
}

/* The record follows once more, for its anchor alone: without it the lines of the last order could be cut off
 * and nobody would see (decision 29). */
static int journal_done(struct desk *d, const struct isolation_state *state, enum isolation_recovery how,
                        struct outcome *o)
{
    struct isolation_anchor before = d->books.chain.end;
    struct buf line = books_line(&d->books);
    o->results.duration_us = o->effective_us;
    isolation_journal_done(&d->books.chain, &line, state, how, &o->results, desk_now_us());
    int error = books_append(&d->books, &line, &before);
    return error || state->is_drill ? error : books_record(&d->books, state, d->spare);
}

bool desk_journal_refused(struct desk *d, const struct isolation_order *order, enum isolation_refusal refusal)
{
    struct isolation_anchor before = d->books.chain.end;
    struct buf line = books_line(&d->books);
    isolation_journal_refused(&d->books.chain, &line, order, refusal, desk_now_us());
    return books_append(&d->books, &line, &before) == 0;
}

bool desk_journal_drill(struct desk *d, const struct isolation_state *state,
                        const struct isolation_work *work)
{
    struct outcome none = {0};
    return journal_order(d, state, work) == 0 && journal_done(d, state, ISOLATION_SETTLED, &none) == 0;
}

/* ---- steps */

struct progress {
    struct outcome *outcome;
    const struct isolation_work *work;
    enum isolation_recovery how;
    int64_t begin_us;
    uint64_t cut_before; /* connections that workers had ever cut */
    bool has_enforced;   /* the state in force is another one than before */
};

static void workers_step(struct desk *d, const struct isolation_state *state, struct progress *p)
{
    publish(d, state, p->outcome);
    if (p->work->tightens)
        end_adopted(d, state->order, p->outcome);
    *d->state = *state;
    p->has_enforced = true;
    p->outcome->effective_us = (uint64_t)(boot_us() - p->begin_us);
}

/* 0, or the disk's error. */
static int step_do(struct desk *d, const struct isolation_step *step, struct progress *p)
{
    switch (step->effect) {
    case ISOLATION_EFFECT_FILTER:
        enforce(d, step->state, p->outcome);
        return 0;
    case ISOLATION_EFFECT_WORKERS:
        workers_step(d, step->state, p);
        return 0;
    case ISOLATION_EFFECT_WRITE:
        return books_record(&d->books, step->state, d->spare);
    case ISOLATION_EFFECT_JOURNAL_ORDER:
        return journal_order(d, step->state, p->work);
    case ISOLATION_EFFECT_CUT:
        cut(d, step->state, p->cut_before, p->outcome);
        return 0;
    case ISOLATION_EFFECT_JOURNAL_DONE:
        return journal_done(d, step->state, p->how, p->outcome);
    case ISOLATION_EFFECTS:
        break;
    }
    return -EINVAL;
}

static bool perform(struct desk *d, struct progress *p)
{
    p->begin_us = boot_us();
    p->cut_before = cut_by_workers(d);
    for (unsigned i = 0; i < p->work->count; i++) {
        int error = step_do(d, &p->work->step[i], p);
        if (error) {
            p->outcome->disk_error = error;
            return false;
        }
    }
    return true;
}

bool desk_carry_out(struct desk *d, struct outcome *ret)
{
    struct isolation_work work;
    bool was_owing = d->owes != 0;
    *ret = (struct outcome){0};
    isolation_work_make(d->state, d->next, d->strict, &work);
    if (was_owing && (!work.tightens || work.opens)) {
        ret->disk_error = d->owes;
        ret->is_dropped = true;
        return false;
    }
    struct progress p = {.outcome = ret, .work = &work, .how = ISOLATION_SETTLED};
    if (perform(d, &p)) {
        *d->state = *d->next;
        if (!p.has_enforced) /* it changes nothing for anybody; whoever looks sees that it was given */
            perimeter_publish(&d->role->perimeter, d->state);
        d->owes = was_owing ? d->owes : 0;
        return true;
    }
    d->owes = ret->disk_error;
    ret->is_dropped = !p.has_enforced;
    return p.has_enforced;
}

/* ---- after a crash, and after the disk failed */

static size_t found_add(struct desk *d, size_t n, struct str cluster, uint8_t level)
{
    if (n < DESK_FOUND_MAX && level > ISOLATION_OPEN)
        d->found[n++] = (struct isolation_found_level){cluster, level};
    return n;
}

/* The kernel has one word for a cluster, the stricter of the site's and its own: only what goes beyond the
 * site's is the cluster's. */
static size_t found_in_kernel(struct desk *d)
{
    struct isolation_found_level all[ISOLATION_SCOPES];
    size_t count = packets_levels(d->role->packets, all, ISOLATION_SCOPES), n = 0;
    uint8_t site = ISOLATION_OPEN;
    for (size_t i = 0; i < count && i < ISOLATION_SCOPES; i++)
        site = all[i].cluster.n ? site : all[i].level;
    for (size_t i = 0; i < count && i < ISOLATION_SCOPES; i++)
        if (!all[i].cluster.n || all[i].level > site)
            n = found_add(d, n, all[i].cluster, all[i].level);
    return n;
}

/* What the kernel enforces, and what the workers were last told: either may be stricter than the record. The
 * names lie in `told`. */
static size_t found_levels(struct desk *d, struct isolation_state *told)
{
    size_t n = found_in_kernel(d);
    if (!perimeter_read(&d->role->perimeter, told))
        return n;
    for (unsigned i = 0; i < told->scope_count && i < ISOLATION_SCOPES; i++) {
        const struct isolation_scope *scope = &told->scope[i];
        n = found_add(d, n, ISOLATION_STR(scope->cluster), scope->now.layer[scope->now.depth - 1].level);
    }
    return n;
}

enum isolation_recovery desk_recover(struct desk *d, struct outcome *ret)
{
    struct isolation_work work;
    *ret = (struct outcome){0};
    int error = books_read(&d->books, d->next, &d->choice);
    size_t found = found_levels(d, d->spare);
    enum isolation_recovery how =
        isolation_recover(d->choice == ISOLATION_RECORD_NONE ? NULL : d->next, &d->books.finding.tail,
                          d->found, found, desk_now_us(), d->strict, &work);
    struct progress p = {.outcome = ret, .work = &work, .how = how};
    if (perform(d, &p))
        *d->state = *d->strict;
    d->owes = ret->disk_error ? ret->disk_error : error;
    ret->disk_error = d->owes;
    return how;
}

/* The record first, as it is in force: then nothing that was ordered is lost to what the recovery finds. */
bool desk_settle(struct desk *d)
{
    struct outcome outcome;
    if (!d->owes)
        return true;
    int error = books_record(&d->books, d->state, d->spare);
    if (error) {
        d->owes = error;
        return false;
    }
    enum isolation_recovery how = desk_recover(d, &outcome);
    struct str text = isolation_recovery_text(how, ISOLATION_EN);
    if (!d->owes)
        filter_say("the disk takes the level of isolation again. %.*s", STR_ARG(text));
    return !d->owes;
}
