/* cli/isolation_print.c - what the desk of isolation answers, for people: short sentences, local times.
 * Whatever came from others goes through print_safe. */
#include "cli/isolation.h"

#include "base/utc.h"

#include <pwd.h>
#include <time.h>

static bool read_utc(struct str utc, time_t *ret)
{
    uint64_t n[6];
    static const uint8_t at[] = {0, 5, 8, 11, 14, 17};
    if (utc.n < sizeof "2026-01-31T09:41:07" - 1)
        return false;
    for (unsigned i = 0; i < 6; i++)
        if (!str_parse_u64(str_take(str_skip(utc, at[i]), i ? 2 : 4), &n[i]))
            return false;
    *ret = (time_t)time_from_civil((int)n[0], (unsigned)n[1], (unsigned)n[2], (unsigned)n[3], (unsigned)n[4],
                                   (unsigned)n[5]);
    return true;
}

void isolation_print_moment(struct buf *out, struct str utc)
{
    char text[40];
    struct tm local;
    time_t at;
    if (!read_utc(utc, &at) || !localtime_r(&at, &local)) {
        print_safe(out, utc);
        return;
    }
    buf_add(out, text, strftime(text, sizeof text, "%Y-%m-%d %H:%M %Z", &local));
}

void isolation_print_who(struct buf *out, struct str who)
{
    uint64_t uid;
    const struct passwd *user =
        str_starts(who, STR("uid ")) && str_parse_u64(str_skip(who, 4), &uid) && uid < UINT32_MAX
            ? getpwuid((uid_t)uid)
            : NULL;
    if (user)
        print_safe(out, str_of(user->pw_name));
    buf_str(out, user ? STR(" (") : STR_NONE);
    print_safe(out, who);
    buf_str(out, user ? STR(")") : STR_NONE);
}

static void say_who(struct buf *out, const char *before, struct str who)
{
    if (!who.n)
        return;
    buf_str(out, str_of(before));
    isolation_print_who(out, who);
}

static void say_text(struct buf *out, const char *before, struct str text, const char *after)
{
    if (!text.n)
        return;
    buf_str(out, str_of(before));
    print_safe(out, text);
    buf_str(out, str_of(after));
}

static void say_moment(struct buf *out, const char *before, struct str utc, const char *after)
{
    if (!utc.n)
        return;
    buf_str(out, str_of(before));
    isolation_print_moment(out, utc);
    buf_str(out, str_of(after));
}

static void say_count(struct buf *out, uint64_t n, const char *one, const char *many)
{
    print_count(out, n);
    buf_printf(out, " %s", n == 1 ? one : many);
}

/* ---- an order that was given */

static void print_disk(struct buf *out, const struct document *d)
{
    struct str error = document_text(d, 0, "disk_error");
    if (!error.n)
        return;
    BUF_LIT(out, "NOT ON DISK: record or journal cannot be written (");
    print_safe(out, error);
    BUF_LIT(
        out,
        "). What closes is in force now, but would be forgotten by a restart of the machine, and what opens "
        "was not carried out. Make room on the disk of the state directory: it is tried again every second. "
        "`polder isolation status` says when it is on disk.\n");
}

static void print_proposal(struct buf *out, const struct document *d)
{
    unsigned long long number = document_number(d, 0, "proposal");
    buf_printf(out,
               "Order %llu waits for a second person and has changed nothing yet.\nSomebody else approves it "
               "with `polder "
               "isolate approve %llu`",
               number, number);
    say_moment(out, " until ", document_text(d, 0, "approve_by"), "");
    buf_printf(out, "; it is taken back with `polder isolate withdraw %llu`.\n", number);
}

static void print_level(struct buf *out, const struct document *d)
{
    say_text(out, "Level ", document_text(d, 0, "level"), " is in force");
    say_text(out, " for cluster ", document_text(d, 0, "cluster"), "");
    buf_printf(out, " (order %llu), effective after ", (unsigned long long)document_number(d, 0, "order"));
    print_duration_us(out, document_number(d, 0, "effective_us"));
    BUF_LIT(out, "; ");
    say_count(out, document_number(d, 0, "sessions_cut"), "session was cut.\n", "sessions were cut.\n");
    say_text(out, "", document_text(d, 0, "meaning"), "\n");
    say_moment(out, "It ends by itself on ", document_text(d, 0, "until"), ".\n");
    say_moment(out, "It goes back by itself on ", document_text(d, 0, "confirm_by"),
               " unless you confirm: polder isolate confirm\n");
}

static void print_stage(struct buf *out, const struct document *d)
{
    say_text(out, "Partner ", document_text(d, 0, "partner"), "");
    say_text(out, ", cluster ", document_text(d, 0, "cluster"), "");
    say_text(out, ": ", document_text(d, 0, "stage"), "");
    buf_printf(out, " (order %llu), effective after ", (unsigned long long)document_number(d, 0, "order"));
    print_duration_us(out, document_number(d, 0, "effective_us"));
    BUF_LIT(out, ".\n");
}

void isolation_print_done(struct buf *out, const struct document *d)
{
    if (str_eq(document_text(d, 0, "outcome"), STR("proposed")))
        print_proposal(out, d);
    else if (document_text(d, 0, "stage").n)
        print_stage(out, d);
    else
        print_level(out, d);
    uint64_t ended = document_number(d, 0, "workers_ended");
    if (ended) {
        say_count(out, ended, "worker", "workers");
        BUF_LIT(out, " did not act in time and had to be ended; what was open there is gone.\n");
    }
    say_text(out, "Note: ", document_text(d, 0, "note"), "\n");
    print_disk(out, d);
}

/* ---- a dry run */

static void print_changes(struct buf *out, const struct document *d, uint32_t plan, const char *list,
                          const char *what)
{
    uint32_t count, at = document_list(d, plan, list, &count);
    for (; count > 0; count--, at = json_next(&d->tape, at)) {
        struct str change = document_text(d, at, "change");
        buf_printf(out, "  %-8s ",
                   str_eq(change, STR("cuts"))    ? "cut"
                   : str_eq(change, STR("opens")) ? "opened"
                                                  : "limited");
        buf_str(out, str_of(what));
        say_text(out, " ", document_text(d, at, "name"), "\n");
    }
}

static void print_sessions(struct buf *out, const struct document *d, uint32_t plan)
{
    uint32_t count, at = document_list(d, plan, "sessions", &count);
    for (; count > 0; count--, at = json_next(&d->tape, at)) {
        BUF_LIT(out, "  cut      session ");
        say_text(out, "", document_text(d, at, "direction"), " ");
        print_safe(out, document_text(d, at, "peer"));
        buf_printf(out, ", port %llu", (unsigned long long)document_number(d, at, "port"));
        say_text(out, ", partner ", document_text(d, at, "partner"), "");
        say_text(out, ", cluster ", document_text(d, at, "cluster"), "");
        buf_char(out, '\n');
    }
}

void isolation_print_plan(struct buf *out, const struct document *d, uint32_t plan)
{
    BUF_LIT(out, "It would cut ");
    say_count(out, document_number(d, plan, "sessions_cut"), "session", "sessions");
    BUF_LIT(out, " of ");
    print_count(out, document_number(d, plan, "sessions_open"));
    BUF_LIT(out, ", ");
    say_count(out, document_number(d, plan, "partners_cut"), "partner", "partners");
    BUF_LIT(out, " and ");
    say_count(out, document_number(d, plan, "clusters_cut"), "cluster", "clusters");
    BUF_LIT(out, " (whose strangers would see only the notice). The gate itself has ");
    say_count(out, document_number(d, plan, "connections_open"), "connection open.\n", "connections open.\n");
    print_changes(out, d, plan, "partners", "partner");
    print_changes(out, d, plan, "clusters", "cluster");
    print_sessions(out, d, plan);
}

/* ---- status */

static void print_scope(struct buf *out, const struct document *d, uint32_t at)
{
    struct str cluster = document_text(d, at, "cluster");
    buf_str(out, cluster.n ? STR("Cluster ") : STR("Site"));
    print_safe(out, cluster);
    say_text(out, ": level ", document_text(d, at, "level"), "");
    say_moment(out, ", since ", document_text(d, at, "since"), "");
    say_who(out, ", by ", document_text(d, at, "who"));
    say_text(out, ": ", document_text(d, at, "reason"), "");
    buf_char(out, '\n');
    say_moment(out, "  ends on ", document_text(d, at, "until"), "\n");
    struct str confirm_by = document_text(d, at, "confirm_by");
    if (confirm_by.n) {
        say_text(out, "  not confirmed: goes back to ", document_text(d, at, "else"), "");
        say_moment(out, " on ", confirm_by, " (polder isolate confirm)\n");
    }
    uint32_t count, layer = document_list(d, at, "beneath", &count);
    for (; count > 0; count--, layer = json_next(&d->tape, layer)) {
        say_text(out, "  then ", document_text(d, layer, "level"), "");
        say_moment(out, ", until ", document_text(d, layer, "until"), "");
        buf_char(out, '\n');
    }
}

static void print_exceptions(struct buf *out, const struct document *d)
{
    uint32_t count, at = document_list(d, 0, "exceptions", &count);
    for (; count > 0; count--, at = json_next(&d->tape, at)) {
        say_text(out, "Exception: ", document_text(d, at, "partner"), "");
        say_text(out, " ", document_text(d, at, "direction"), "");
        say_text(out, " ", document_text(d, at, "network"), "");
        buf_printf(out, ", ports %llu to %llu", (unsigned long long)document_number(d, at, "port_from"),
                   (unsigned long long)document_number(d, at, "port_to"));
        say_text(out, ", cluster ", document_text(d, at, "cluster"), "");
        say_moment(out, ", until ", document_text(d, at, "until"), "\n");
    }
}

static void print_last(struct buf *out, const struct document *d)
{
    uint32_t last = json_get(&d->tape, 0, STR("last"));
    buf_printf(out, "Last order: %llu, ", (unsigned long long)document_number(d, last, "order"));
    print_safe(out, document_text(d, last, "event"));
    say_moment(out, ", ", document_text(d, last, "at"), "");
    say_who(out, ", by ", document_text(d, last, "who"));
    say_text(out, ", typed by ", document_text(d, last, "name"), "");
    say_who(out, ", approved by ", document_text(d, last, "approved_by"));
    say_text(out, ": ", document_text(d, last, "reason"), "");
    buf_char(out, '\n');
    if (document_flag(d, last, "is_half"))
        BUF_LIT(out, "  Only what it closes is in force; what it opens was dropped: give it again.\n");
}

static void print_waiting(struct buf *out, const struct document *d)
{
    uint32_t p = json_get(&d->tape, 0, STR("proposal"));
    if (p == JSON_NONE)
        return;
    unsigned long long number = document_number(d, p, "number");
    buf_printf(out, "Waits for a second person: order %llu, ", number);
    print_safe(out, document_text(d, p, "event"));
    say_text(out, " ", document_text(d, p, "level"), "");
    say_text(out, " ", document_text(d, p, "partner"), "");
    say_text(out, ", cluster ", document_text(d, p, "cluster"), "");
    say_who(out, ", by ", document_text(d, p, "who"));
    say_text(out, ": ", document_text(d, p, "reason"), "");
    say_moment(out, "; until ", document_text(d, p, "until"), "");
    buf_printf(out, " (polder isolate approve %llu)\n", number);
}

static void print_care(struct buf *out, const struct document *d)
{
    uint32_t journal = json_get(&d->tape, 0, STR("journal")), start = json_get(&d->tape, 0, STR("start"));
    struct str meaning = document_text(d, journal, "meaning");
    say_text(out, "At the last start: ", document_text(d, start, "meaning"), "\n");
    buf_printf(out, "Journal: last line %llu", (unsigned long long)document_number(d, journal, "last_line"));
    if (meaning.n) {
        buf_printf(out, ". BROKEN at line %llu: ", (unsigned long long)document_number(d, journal, "line"));
        print_safe(out, meaning);
    } else {
        BUF_LIT(out, ", whole when it was last read");
    }
    buf_char(out, '\n');
    say_text(out, "Packet filter: ", document_text(d, 0, "filter_problem"), "\n");
    say_text(out, "NOT ON DISK: what is in force cannot be written (", document_text(d, 0, "disk_error"),
             "); it is tried again every second, and until then nothing can be opened.\n");
}

void isolation_print_status(struct buf *out, const struct document *d)
{
    uint32_t count, at = document_list(d, 0, "scopes", &count);
    for (; count > 0; count--, at = json_next(&d->tape, at))
        print_scope(out, d, at);
    say_text(out, "", document_text(d, 0, "meaning"), "\n");
    print_exceptions(out, d);
    print_waiting(out, d);
    print_last(out, d);
    print_care(out, d);
}

/* ---- the way back, and the exercise */

void isolation_print_partners(struct buf *out, const struct document *d, bool color)
{
    static const char *const heads[] = {"PARTNER", "STAGE", "RATE", "NEXT", "NOT BEFORE", NULL};
    struct table table;
    uint32_t count, at = document_list(d, 0, "partners", &count);
    table_begin(&table, d->arena, heads);
    say_text(out, "Level ", document_text(d, 0, "level"), ".\n");
    for (; count > 0; count--, at = json_next(&d->tape, at)) {
        char memory[64];
        struct buf from = buf_over(memory, sizeof memory);
        uint64_t rate = document_number(d, at, "rate");
        struct str next_from = document_text(d, at, "next_from");
        say_moment(&from, "", next_from, "");
        table_text(&table, document_text(d, at, "partner"));
        table_text(&table, document_text(d, at, "stage"));
        if (rate)
            table_printf(&table, "%llu/s", (unsigned long long)rate);
        else
            table_text(&table, STR_NONE);
        table_text(&table, document_text(d, at, "next"));
        table_text(&table, arena_copy(d->arena, buf_text(&from)));
    }
    table_print(&table, out, color);
}

void isolation_print_drill(struct buf *out, const struct document *d)
{
    uint32_t plan = json_get(&d->tape, 0, STR("plan")), count, at = document_list(d, 0, "steps", &count);
    BUF_LIT(out, "DRILL: nothing has changed. ");
    if (plan != JSON_NONE)
        isolation_print_plan(out, d, plan);
    for (unsigned number = 1; count > 0; count--, number++, at = json_next(&d->tape, at)) {
        buf_printf(out, "%2u. ", number);
        isolation_print_moment(out, document_text(d, at, "at"));
        say_text(out, "  ", document_text(d, at, "event"), "");
        say_text(out, " ", document_text(d, at, "level"), "");
        say_text(out, " ", document_text(d, at, "partner"), "");
        say_text(out, ": ", document_text(d, at, "stage"), "");
        say_text(out, "  REFUSED: ", document_text(d, at, "why"), "");
        buf_char(out, '\n');
    }
    if (document_flag(d, 0, "is_journalled"))
        BUF_LIT(out, "Every step stands in the journal as a drill: polder isolation report\n");
    else
        BUF_LIT(out,
                "NOT ON DISK: the journal could not be written, so there is no evidence of this exercise.\n");
}
