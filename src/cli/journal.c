/* cli/journal.c - `polder journal`: the lines of the journal of isolation, and whether their chain holds. */
#include "cli/isolation.h"

#include "base/unconst.h"
#include "sys/durable.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { FOLLOW_MS = 300 };

/* ---- verify */

static void put_hash(struct json_writer *w, const struct isolation_finding *f)
{
    char memory[2 * ISOLATION_HASH_BYTES];
    struct buf hash = buf_over(memory, sizeof memory);
    buf_hex(&hash, f->end.hash, sizeof f->end.hash);
    json_put_str(w, STR("last_hash"), buf_text(&hash));
}

static void write_finding_json(struct buf *out, const struct isolation_files *f)
{
    const struct isolation_finding *found = &f->finding;
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    json_put_bool(&w, STR("whole"), found->how == ISOLATION_CHAIN_WHOLE);
    json_put_str(&w, STR("chain"), isolation_break_word(found->how));
    if (found->how) {
        json_put_u64(&w, STR("line"), found->line);
        json_put_str(&w, STR("meaning"), isolation_break_text(found->how, ISOLATION_EN));
    }
    json_put_u64(&w, STR("lines"), found->lines);
    json_put_u64(&w, STR("torn_bytes"), found->torn_bytes);
    json_put_bool(&w, STR("has_record"), f->has_state);
    put_hash(&w, found);
    json_object_end(&w);
    buf_char(out, '\n');
}

static void write_finding(struct buf *out, const struct isolation_files *f)
{
    const struct isolation_finding *found = &f->finding;
    if (found->how)
        buf_printf(out,
                   "THE CHAIN IS BROKEN. Line %llu: %.*s\nThe level of isolation is not changed by this. "
                   "Keep the file as "
                   "evidence: copy %s before anything else is done.\n",
                   (unsigned long long)found->line, STR_ARG(isolation_break_text(found->how, ISOLATION_EN)),
                   f->folder);
    else
        buf_printf(out, "The chain of %llu lines is whole", (unsigned long long)found->lines);
    if (!found->how)
        buf_str(out, f->has_state ? STR(", and the record of the level agrees.\n")
                                  : STR(". There is no record of the level to compare it with.\n"));
    if (found->torn_bytes)
        buf_printf(out, "Its last %zu bytes are a line that was being written; they do not count.\n",
                   found->torn_bytes);
    BUF_LIT(out, "Last hash: ");
    buf_hex(out, found->end.hash, sizeof found->end.hash);
    buf_char(out, '\n');
}

static enum exit_status verify(const struct cli *cli)
{
    struct isolation_files f;
    char memory[2048];
    struct buf out = buf_over(memory, sizeof memory);
    enum exit_status status = EXIT_BROKEN;
    if (isolation_files_open(&f, cli)) {
        (cli->json ? write_finding_json : write_finding)(&out, &f);
        status = f.finding.how ? EXIT_PROBLEMS : EXIT_FINE;
        status = cli_print(buf_text(&out)) ? status : EXIT_BROKEN;
    }
    isolation_files_close(&f);
    return status;
}

/* ---- show */

static void say(struct buf *out, const char *before, struct str text, const char *after)
{
    if (!text.n)
        return;
    buf_str(out, str_of(before));
    print_safe(out, text);
    buf_str(out, str_of(after));
}

static void write_moment(struct buf *out, int64_t us)
{
    char text[40];
    struct tm local;
    time_t at = (time_t)(us / 1'000'000);
    if (localtime_r(&at, &local))
        buf_add(out, text, strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local));
}

static void write_order(struct buf *out, const struct isolation_line *l)
{
    say(out, "", isolation_event_word(l->event), "");
    if (l->event == ISOLATION_EVENT_ISOLATE)
        say(out, " ", isolation_level_word(l->level), "");
    say(out, " ", l->partner, "");
    if (l->partner.n && l->kind == ISOLATION_KIND_ORDER)
        say(out, " (", isolation_stage_word(l->stage), ")");
    say(out, ", cluster ", l->cluster, "");
    if (l->who.n) {
        BUF_LIT(out, ", by ");
        isolation_print_who(out, l->who);
    }
    say(out, ", typed by ", l->role, "");
    say(out, ", approved by ", l->approved_by, "");
    say(out, ": ", l->reason, "");
    if (l->is_proposal)
        BUF_LIT(out, " [waits for a second person]");
}

static void write_line(struct buf *out, const struct isolation_line *l)
{
    write_moment(out, l->at_us);
    buf_printf(out, "  %llu  %s", (unsigned long long)l->sequence, l->is_drill ? "[drill] " : "");
    if (l->kind == ISOLATION_KIND_REFUSED) {
        say(out, "refused (", l->outcome, "): ");
        write_order(out, l);
    } else {
        buf_printf(out, "order %llu: ", (unsigned long long)l->order);
    }
    if (l->kind == ISOLATION_KIND_ORDER)
        write_order(out, l);
    if (l->kind == ISOLATION_KIND_DONE) {
        say(out, "", l->outcome, ", effective after ");
        print_duration_us(out, l->results.duration_us);
        buf_printf(out, ", sessions cut: %llu", (unsigned long long)l->results.sessions_cut);
    }
    buf_char(out, '\n');
}

static bool show_line(const struct cli *cli, struct str text, struct arena *scratch, int64_t from_us)
{
    char memory[ISOLATION_LINE_MAX + 1];
    struct buf out = buf_over(memory, sizeof memory);
    struct isolation_line line;
    arena_reset(scratch);
    bool is_ours = isolation_line_read(text, scratch, &line);
    if (is_ours && line.at_us < from_us)
        return true;
    if (cli->json) {
        print_safe(&out, str_take(text, ISOLATION_LINE_MAX));
        buf_char(&out, '\n');
    } else if (is_ours) {
        write_line(&out, &line);
    } else {
        BUF_LIT(&out, "a line that is none of the journal's; `polder journal verify` says more\n");
    }
    return buf_overflowed(&out) || cli_print(buf_text(&out));
}

/* Whole lines only; *at moves behind them. */
static bool show_lines(const struct cli *cli, struct str journal, size_t *at, struct arena *scratch,
                       int64_t from_us)
{
    for (struct str rest = str_skip(journal, *at); rest.n && str_find_char(rest, '\n') >= 0;) {
        struct str line = str_cut(&rest, '\n');
        if (!show_line(cli, line, scratch, from_us))
            return false;
        *at += line.n + 1;
    }
    return true;
}

static bool follow(const struct cli *cli, struct isolation_files *f, size_t at)
{
    static const struct timespec pause = {.tv_nsec = FOLLOW_MS * 1'000'000L};
    int folder = durable_open_folder(f->folder),
        fd = folder >= 0 ? durable_open_reader(folder, "journal") : -1;
    bool ok = fd >= 0;
    struct str text;
    while (ok && durable_read(fd, SIZE_MAX, &text) == 0) {
        if (text.n < at)
            at = 0; /* another one was put in its place */
        ok = show_lines(cli, text, &at, f->scratch, 0);
        free(unconst(text.p));
        nanosleep(&pause, NULL);
    }
    if (fd >= 0)
        close(fd);
    if (folder >= 0)
        close(folder);
    return ok;
}

static enum exit_status show(const struct cli *cli)
{
    struct isolation_files f;
    int64_t from_us = 0;
    size_t at = 0;
    if (cli->from && !isolation_moment(str_of(cli->from), false, &from_us)) {
        cli_complain("--from is a time back, like 2h, or a moment like 2026-01-31T09:00, not '%s'",
                     cli->from);
        return EXIT_USAGE;
    }
    bool ok = isolation_files_open(&f, cli) && show_lines(cli, f.journal, &at, f.scratch, from_us) &&
              (!cli->follow || follow(cli, &f, at));
    isolation_files_close(&f);
    return ok ? EXIT_FINE : EXIT_BROKEN;
}

enum exit_status command_journal(const struct cli *cli)
{
    const char *word = cli->argument_count == 1 ? cli->arguments[0] : "";
    if (strcmp(word, "verify") == 0)
        return verify(cli);
    if (strcmp(word, "show") == 0)
        return show(cli);
    cli_complain("usage: polder journal verify; polder journal show [--from TIME] [--follow]");
    return EXIT_USAGE;
}
