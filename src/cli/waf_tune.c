/* cli/waf_tune.c - `polder waf tune`: proposals out of the gate's records, and what else they would let
 * through, among those records and among requests in files. */
#include "cli/waf.h"

#include "base/unconst.h"
#include "waf/tune.h"
#include "json/writer.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    ASK_TIMEOUT_S = 30,
    RECORDS_MAX = 8192,
    ARENA_BYTES = 256 << 20,
    SHOWN_MAX = 20,
    FILES_MAX = 4096,
    RUN_ARENA_BYTES = 256 << 20,
    PATH_RULE_FIRST = 8'700'000
};

struct tuning {
    const struct cli *cli;
    struct document d;
    struct arena *arena;
    struct tune_record *records;
    unsigned record_count;
    struct tune_proposal *proposals;
    unsigned proposal_count;
    /* of --replay, for each proposal */
    unsigned *now_passing;
    unsigned replayed, passed_before;
};

/* ---- the records */

static bool read_records(struct tuning *t)
{
    uint32_t count, node = document_list(&t->d, 0, "records", &count);
    t->records = arena_alloc(t->arena, RECORDS_MAX * sizeof *t->records);
    for (uint32_t i = 0; t->records && i < count && t->record_count < RECORDS_MAX;
         i++, node = json_next(&t->d.tape, node))
        t->record_count += tune_record_read(&t->d.tape, node, t->arena, &t->records[t->record_count]);
    return t->records != NULL;
}

static bool make_proposals(struct tuning *t)
{
    struct str reference = t->cli->reference ? str_of(t->cli->reference) : STR("");
    t->proposals = tune_propose(t->records, t->record_count, reference, t->arena, &t->proposal_count);
    if (t->proposal_count > SHOWN_MAX)
        t->proposal_count = SHOWN_MAX;
    t->now_passing = arena_alloc(t->arena, (SHOWN_MAX + 1) * sizeof *t->now_passing);
    return t->proposals && t->now_passing;
}

/* ---- --replay: requests in files, with and without each proposal */

static bool passes(const struct waf_overlay *overlay, struct str raw, const struct h1_limits *limits)
{
    struct arena *arena = arena_new(RUN_ARENA_BYTES);
    struct waf_offline result;
    if (!arena)
        return false;
    waf_offline_run(overlay, raw, limits, time(NULL), arena, &result);
    bool is_passed = waf_offline_passes(&result);
    arena_free(arena);
    return is_passed;
}

static void replay_file(struct tuning *t, const struct waf_setup *s, struct waf_overlay *const *overlays,
                        const char *path)
{
    struct str raw;
    if (!waf_request_read(path, &raw))
        return;
    bool before = passes(overlays[0], raw, &s->limits);
    t->replayed++;
    t->passed_before += before;
    for (unsigned i = 0; i < t->proposal_count && !before; i++)
        t->now_passing[i] += overlays[i + 1] && passes(overlays[i + 1], raw, &s->limits);
    free(unconst(raw.p));
}

static struct waf_overlay *overlay_with(const struct waf_setup *s, const struct tune_proposal *p)
{
    char text[512];
    struct buf line = buf_over(text, sizeof text);
    tune_write_exclusion(&line, p);
    return line.n ? waf_setup_overlay(s, buf_text(&line)) : NULL;
}

static bool replay_folder(struct tuning *t, const struct waf_setup *s, struct waf_overlay *const *overlays)
{
    DIR *folder = opendir(t->cli->replay);
    struct dirent *entry;
    if (!folder) {
        cli_complain("cannot read the folder %s: %s", t->cli->replay, strerror(errno));
        return false;
    }
    while ((entry = readdir(folder)) && t->replayed < FILES_MAX) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", t->cli->replay, entry->d_name);
        replay_file(t, s, overlays, path);
    }
    closedir(folder);
    return true;
}

static enum exit_status replay(struct tuning *t)
{
    struct waf_overlay *overlays[SHOWN_MAX + 1] = {0};
    struct str host = t->record_count && !t->cli->cluster ? t->records[0].cluster : STR("");
    struct waf_setup setup;
    struct cli cli = *t->cli;
    char cluster[128];
    if (host.n) { /* of the first record: exclusions belong to a cluster */
        snprintf(cluster, sizeof cluster, "%.*s", STR_ARG(host));
        cli.cluster = cluster;
    }
    enum exit_status status = waf_setup_open(&setup, &cli, STR(""));
    if (status != EXIT_FINE)
        return status;
    overlays[0] = waf_setup_overlay(&setup, STR(""));
    for (unsigned i = 0; i < t->proposal_count; i++)
        overlays[i + 1] = overlay_with(&setup, &t->proposals[i]);
    bool is_fine = overlays[0] && replay_folder(t, &setup, overlays);
    for (unsigned i = 0; i <= t->proposal_count; i++)
        waf_overlay_free(overlays[i]);
    waf_setup_close(&setup);
    return is_fine ? EXIT_FINE : EXIT_PROBLEMS;
}

/* ---- the report */

static struct str line_of(const struct tune_proposal *p, struct arena *arena, bool for_path, unsigned index)
{
    char text[2048];
    struct buf out = buf_over(text, sizeof text);
    if (for_path)
        tune_write_path_rule(&out, p, PATH_RULE_FIRST + index);
    else
        tune_write_exclusion(&out, p);
    return buf_overflowed(&out) ? STR("") : arena_copy(arena, buf_text(&out));
}

static void write_json(const struct tuning *t, struct buf *out)
{
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    json_put_u64(&w, STR("records"), t->record_count);
    if (t->cli->replay)
        json_put_u64(&w, STR("replayed"), t->replayed);
    json_put_array(&w, STR("proposals"));
    for (unsigned i = 0; i < t->proposal_count; i++) {
        const struct tune_proposal *p = &t->proposals[i];
        json_object_begin(&w);
        json_put_u64(&w, STR("rule"), p->rule);
        json_put_str(&w, STR("message"), p->message);
        json_put_str(&w, STR("target"), p->target);
        json_put_str(&w, STR("exclusion"), line_of(p, t->arena, false, i));
        json_put_str(&w, STR("for_path"), line_of(p, t->arena, true, i));
        json_put_bool(&w, STR("is_patch"), p->kind == TUNE_PATCH);
        json_put_u64(&w, STR("requests"), p->requests);
        json_put_u64(&w, STR("clients"), p->clients);
        json_put_str(&w, STR("path"), p->path);
        json_put_u64(&w, STR("would_pass"), p->would_pass);
        json_put_u64(&w, STR("still_blocked"), p->still_blocked);
        json_put_u64(&w, STR("uncertain"), p->uncertain);
        if (t->cli->replay)
            json_put_u64(&w, STR("replay_would_pass"), t->now_passing[i]);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    buf_char(out, '\n');
}

static void write_effect(const struct tuning *t, struct buf *out, unsigned index)
{
    const struct tune_proposal *p = &t->proposals[index];
    buf_printf(out, "   With it %u of the requests on record would have passed, %u would still not",
               p->would_pass, p->still_blocked);
    if (p->uncertain)
        buf_printf(out, ", and of %u nobody can tell", p->uncertain);
    BUF_LIT(out, ".\n");
    for (unsigned i = 0; i < p->would_pass && i < 8; i++) {
        BUF_LIT(out, "      ");
        print_safe(out, p->would_pass_references[i]);
        buf_char(out, '\n');
    }
    if (t->cli->replay)
        buf_printf(out, "   Of %u requests in files, %u more would pass.\n", t->replayed,
                   t->now_passing[index]);
}

static void write_proposal(const struct tuning *t, struct buf *out, unsigned index)
{
    const struct tune_proposal *p = &t->proposals[index];
    struct str for_path = line_of(p, t->arena, true, index);
    buf_printf(out, "\n%u. rule %llu, ", index + 1, (unsigned long long)p->rule);
    print_safe(out, p->message);
    buf_printf(out, "\n   in %u requests of %u%s clients, ", p->requests, p->clients,
               p->clients >= 100 ? " or more" : "");
    print_safe(out, p->target);
    if (p->path.n) {
        BUF_LIT(out, ", all to ");
        print_safe(out, p->path);
    }
    BUF_LIT(out, "\n   for example ");
    print_safe(out, p->excerpt);
    buf_char(out, '\n');
    if (p->kind == TUNE_PATCH) {
        BUF_LIT(
            out,
            "   It belongs to a virtual patch: see `polder patches`; only patch_exceptions takes it away.\n");
    } else {
        BUF_LIT(out, "   exclusions of the cluster:\n      ");
        print_safe(out, line_of(p, t->arena, false, index));
        buf_char(out, '\n');
    }
    if (p->kind == TUNE_RULE)
        BUF_LIT(out, "   (The whole rule: the target has no name that may be shown. `polder waf excerpts "
                     "--clear` shows "
                     "it in requests to come.)\n");
    if (for_path.n) {
        BUF_LIT(out, "   or, for that path only but in all clusters, a rule of your own before the Core Rule "
                     "Set:\n      ");
        print_safe(out, for_path);
        buf_char(out, '\n');
    }
    write_effect(t, out, index);
}

static void write_text(const struct tuning *t, struct buf *out)
{
    buf_printf(out, "%u records", t->record_count);
    if (t->proposal_count == 0)
        BUF_LIT(out,
                ", and none of a request that was stopped, or would have been: there is nothing to tune\n");
    else
        BUF_LIT(out, "; what follows is only right where the requests were regular ones. `polder waf "
                     "explain` helps to "
                     "judge.\n");
    for (unsigned i = 0; i < t->proposal_count; i++)
        write_proposal(t, out, i);
}

static enum exit_status report(const struct tuning *t)
{
    char *memory = malloc(WAF_PAGE_BYTES);
    struct buf out = buf_over(memory, memory ? WAF_PAGE_BYTES : 0);
    if (t->cli->json)
        write_json(t, &out);
    else
        write_text(t, &out);
    bool is_printed = !buf_overflowed(&out) && cli_print(buf_text(&out));
    free(memory);
    return is_printed ? EXIT_FINE : EXIT_BROKEN;
}

enum exit_status waf_tune(const struct cli *cli)
{
    struct tuning t = {.cli = cli};
    uint64_t since_us;
    char command[256];
    if (!waf_since(cli, &since_us))
        return EXIT_USAGE;
    snprintf(command, sizeof command, "waf-records %s %llu", cli->cluster ? cli->cluster : "-",
             (unsigned long long)since_us);
    enum exit_status status = gate_ask_document(cli, command, ASK_TIMEOUT_S, false, &t.d);
    if (status != EXIT_FINE)
        return status;
    t.arena = arena_new(ARENA_BYTES);
    if (!t.arena || !read_records(&t) || !make_proposals(&t)) {
        cli_complain("out of memory");
        status = EXIT_BROKEN;
    }
    if (status == EXIT_FINE && cli->replay)
        status = replay(&t);
    if (status == EXIT_FINE)
        status = report(&t);
    arena_free(t.arena);
    document_close(&t.d);
    return status;
}
