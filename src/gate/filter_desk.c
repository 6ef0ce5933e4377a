/* gate/filter_desk.c - the desk where orders about isolation are taken: how it begins, what a configuration
 * changes for it, and what time does. See filter_desk.h. */
#include "gate/filter_desk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* ---- begin and end */

static bool make_states(struct desk *d)
{
    struct isolation_state **const all[] = {&d->state, &d->next, &d->strict, &d->spare};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        if (!(*all[i] = calloc(1, sizeof **all[i])))
            return false;
    d->found = calloc(DESK_FOUND_MAX, sizeof *d->found);
    isolation_state_init(d->state, 0);
    return d->found != NULL;
}

/* The master puts /dev/null there when it could not open the folder. */
static int inherited_folder(void)
{
    int fd = fcntl(FD_ISOLATION, F_GETFD) >= 0 ? FD_ISOLATION : -1;
    return fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? fd : -1;
}

struct desk *desk_new(struct filter_role *role)
{
    struct desk *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->role = role;
    if (books_open(&d->books, inherited_folder()) && make_states(d)) {
        clock_begin(&d->clock);
        return d;
    }
    desk_free(d);
    return NULL;
}

static void inventory_done(struct inventory *i)
{
    free(i->clusters);
    free(i->partners);
    free(i->sessions);
    *i = (struct inventory){0};
}

void desk_free(struct desk *d)
{
    if (!d)
        return;
    books_close(&d->books);
    inventory_done(&d->inventory);
    free(d->state);
    free(d->next);
    free(d->strict);
    free(d->spare);
    free(d->found);
    free(d);
}

const struct isolation_state *desk_state(const struct desk *d)
{
    return d->state;
}

/* ---- configurations */

static bool inventory_make(struct inventory *i, const struct config *config)
{
    *i = (struct inventory){.clusters = calloc(config->cluster_count + 1, sizeof *i->clusters),
                            .partners = calloc(config->partner_count + 1, sizeof *i->partners),
                            .sessions = calloc(DESK_SESSIONS_MAX, sizeof *i->sessions)};
    if (!i->clusters || !i->partners || !i->sessions) {
        inventory_done(i);
        return false;
    }
    for (unsigned c = 0; c < config->cluster_count; c++)
        i->clusters[c] = config->clusters[c].name;
    for (unsigned p = 0; p < config->partner_count; p++)
        i->partners[p] = (struct isolation_partner){config->partners[p].name, config->partners[p].networks,
                                                    config->partners[p].network_count};
    i->shown = (struct isolation_inventory){.clusters = i->clusters,
                                            .cluster_count = config->cluster_count,
                                            .partners = i->partners,
                                            .partner_count = config->partner_count,
                                            .sessions = i->sessions};
    return true;
}

static struct isolation_policy policy_of(const struct config_isolation *c)
{
    return (struct isolation_policy){.two_to_close = c->two_to_close,
                                     .two_to_open = c->two_to_open,
                                     .approval_us = c->approval_ms * INT64_C(1000),
                                     .exception_us = c->exception_ms * INT64_C(1000),
                                     .stage_us = c->stage_ms * INT64_C(1000),
                                     .quiet_us = c->quiet_ms * INT64_C(1000),
                                     .probation_per_s = c->probation_per_s};
}

static void tell_journal(const struct isolation_finding *f)
{
    struct str what = isolation_break_text(f->how, ISOLATION_EN);
    if (f->how)
        filter_say("the journal of isolation was tampered with or damaged. Line %llu: %.*s The level stays "
                   "as it is. "
                   "`polder journal verify` says the same; keep the file as evidence.",
                   (unsigned long long)f->line, STR_ARG(what));
    if (f->torn_bytes)
        filter_say(
            "the last line of the journal of isolation was being written when the gate stopped; it never "
            "counted and was removed");
}

static void tell_beginning(const struct desk *d)
{
    struct str level = isolation_level_word(isolation_level(d->state, STR_NONE));
    struct str text = isolation_recovery_text(d->recovery, ISOLATION_EN);
    tell_journal(&d->books.finding);
    if (d->choice == ISOLATION_RECORD_NONE)
        filter_say(
            "no record of the level of isolation can be read, so level %.*s holds: clients see the notice "
            "page. If this gate is new, or its state was lost: `polder isolate open --reason TEXT` opens it, "
            "and `polder isolation init` before the first start avoids this",
            STR_ARG(level));
    else if (d->recovery != ISOLATION_SETTLED)
        filter_say("isolation, level %.*s: %.*s", STR_ARG(level), STR_ARG(text));
    if (d->owes)
        filter_say(
            "the level of isolation is in force but cannot be written to disk: %s. It is tried again every "
            "second; until then nothing can be opened",
            strerror(-d->owes));
}

static void begin(struct desk *d)
{
    struct outcome outcome;
    enum ownership was = owner_enter(&d->books.owner, true);
    d->recovery = desk_recover(d, &outcome);
    d->has_begun = true;
    if (was != OWNER_OTHER)
        owner_leave(&d->books.owner);
    else
        d->owes = -EBUSY; /* another one has not let go for seconds: what is in force is written later, by
                             settling */
    tell_beginning(d);
}

bool desk_enter(struct desk *d)
{
    struct outcome outcome;
    switch (owner_enter(&d->books.owner, d->owes == -EBUSY)) {
    case OWNER_NEW:
        filter_say("this process keeps the level of isolation again: the one that had taken over is gone");
        d->recovery = desk_recover(d, &outcome);
        return true;
    case OWNER_OTHER:
        return false;
    default:
        return true;
    }
}

void desk_leave(struct desk *d)
{
    owner_leave(&d->books.owner);
}

bool desk_configure(struct desk *d, const struct config *config, struct buf *problem)
{
    struct inventory fresh;
    if (!inventory_make(&fresh, config)) {
        BUF_LIT(problem, "no memory for isolation");
        return false;
    }
    inventory_done(&d->inventory);
    d->inventory = fresh;
    d->config = config;
    d->policy = policy_of(&config->isolation);
    if (!d->has_begun)
        begin(d);
    d->due_us = 1; /* what ends is looked up anew */
    return true;
}

/* ---- time */

static void time_came(struct desk *d)
{
    struct isolation_moment now = clock_moment(&d->clock, d->state);
    struct outcome outcome;
    if (!d->due_us || now.us < d->due_us)
        return;
    if (isolation_tick(d->state, now, d->next, &d->due_us)) {
        if (!desk_carry_out(d, &outcome))
            d->due_us = now.us + 1'000'000;
        else if (!outcome.disk_error)
            filter_say("isolation: an end that was ordered has come; level %.*s",
                       STR_ARG(isolation_level_word(isolation_level(d->state, STR_NONE))));
    }
}

static bool is_something_due(const struct desk *d)
{
    return d->owes || (d->due_us && desk_now_us() >= d->due_us);
}

void desk_tick(struct desk *d)
{
    if (!is_something_due(d) || !desk_enter(d))
        return;
    (void)desk_settle(d);
    time_came(d);
    desk_leave(d);
}
