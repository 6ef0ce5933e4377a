/* cli/isolation_report.c - `polder isolation report`: the timeline from the journal, or a letter for a
 * partner that asks whether it is safe to reconnect. It rests on the files; a gate that runs adds which
 * measures are effective. */
#include "cli/isolation.h"

#include "isolation/report.h"

#include <stdlib.h>
#include <time.h>

enum { MEASURES_MAX = 256 };

struct measures {
    struct isolation_measure rows[MEASURES_MAX];
    size_t count;
    struct arena *arena;
};

static void add(struct measures *m, struct str what, struct str version, struct str proof)
{
    if (m->count < MEASURES_MAX)
        m->rows[m->count++] = (struct isolation_measure){.what = what, .version = version, .proof = proof};
}

/* With what came of its probes, replayed through the gate that runs when it was last loaded. */
static void add_patch(struct measures *m, const struct document *d, uint32_t patch)
{
    uint32_t count, at = document_list(d, patch, "clusters", &count);
    struct str id = document_text(d, patch, "id");
    for (; count > 0; count--, at = json_next(&d->tape, at)) {
        struct str cluster = document_text(d, at, "cluster");
        add(m, arena_printf(m->arena, "Virtual patch %.*s", STR_ARG(id)),
            arena_printf(m->arena, "cluster %.*s", STR_ARG(cluster)),
            arena_copy(m->arena, document_text(d, at, "state")));
    }
}

static void add_patches(struct measures *m, const struct document *d)
{
    uint32_t count, at = document_list(d, 0, "patches", &count);
    for (; count > 0; count--, at = json_next(&d->tape, at))
        add_patch(m, d, at);
}

static void ask_gate(struct measures *m, const struct cli *cli)
{
    struct document d;
    if (gate_ask_document(cli, "status", ISOLATION_TIMEOUT_S, true, &d) == EXIT_FINE) {
        uint32_t config = json_get(&d.tape, 0, STR("config"));
        add(m, STR("Gate"), arena_copy(m->arena, document_text(&d, 0, "version")), STR_NONE);
        if (config != JSON_NONE)
            add(m, STR("Configuration"), STR("SHA-256"),
                arena_copy(m->arena, document_text(&d, config, "digest")));
        document_close(&d);
    }
    if (gate_ask_document(cli, "patches", ISOLATION_TIMEOUT_S, true, &d) == EXIT_FINE) {
        add_patches(m, &d);
        document_close(&d);
    }
}

static bool begin(const struct cli *cli, const struct isolation_files *f, struct isolation_report *ret)
{
    int64_t now_us = (int64_t)time(NULL) * 1'000'000;
    enum time_zone zone = f->config ? f->config->isolation.time_zone : TIME_ZONE_AMSTERDAM;
    *ret = (struct isolation_report){
        .site = f->config && f->config->isolation.site.n ? f->config->isolation.site : STR("this house"),
        .language = ISOLATION_EN,
        .offset_minutes = time_offset_minutes(zone, now_us),
        .now_us = now_us,
        .journal = f->journal,
        .finding = &f->finding,
        .scratch = f->scratch};
    const char *language = getenv("LANG");
    if (language && (strncmp(language, "nl", 2) == 0 || strncmp(language, "fy", 2) == 0)) {
        ret->language = ISOLATION_NL;
        ret->site = str_eq(ret->site, STR("this house")) ? STR("dit huis") : ret->site;
    }
    if (!cli->from || isolation_moment(str_of(cli->from), false, &ret->from_us))
        return true;
    cli_complain("--from is a time back, like 2h, or a moment like 2026-01-31T09:00, not '%s'", cli->from);
    return false;
}

static bool is_partner(const struct isolation_files *f, struct str name)
{
    for (unsigned i = 0; f->config && i < f->config->partner_count; i++)
        if (str_eq(f->config->partners[i].name, name))
            return true;
    return !f->config;
}

static bool write_letter(struct buf *out, const struct cli *cli, const struct isolation_files *f,
                         const struct isolation_report *r)
{
    struct measures *m = calloc(1, sizeof *m);
    if (!is_partner(f, str_of(cli->letter)) || !f->has_state || !m) {
        cli_complain(
            f->has_state
                ? "the configuration has no partner '%s'"
                : "there is no record of the level that can be read; a letter to '%s' would not be true",
            cli->letter);
        free(m);
        return false;
    }
    m->arena = arena_new(1 << 20);
    if (m->arena)
        ask_gate(m, cli);
    isolation_report_letter(out, r, str_of(cli->letter), f->state, STR(POLDER_VERSION), m->rows, m->count);
    arena_free(m->arena);
    free(m);
    return true;
}

static enum exit_status print(const struct cli *cli, struct buf *page)
{
    char *memory = cli->json ? malloc(2 * page->n + 64) : NULL;
    struct buf out = buf_over(memory, memory ? 2 * page->n + 64 : 0);
    if (memory) {
        struct json_writer w = json_writer_over(&out);
        json_object_begin(&w);
        json_put_str(&w, STR("text"), buf_text(page));
        json_object_end(&w);
        buf_char(&out, '\n');
    }
    bool is_printed =
        !buf_overflowed(page) && !buf_overflowed(&out) && cli_print(memory ? buf_text(&out) : buf_text(page));
    free(memory);
    return is_printed ? EXIT_FINE : EXIT_BROKEN;
}

enum exit_status isolation_report(const struct cli *cli)
{
    struct isolation_files f;
    struct isolation_report r;
    enum exit_status status = EXIT_BROKEN;
    if (isolation_files_open(&f, cli) && begin(cli, &f, &r)) {
        size_t room = f.journal.n + (4 << 20);
        char *memory = malloc(room);
        struct buf page = buf_over(memory, memory ? room : 0);
        bool ok = true;
        if (cli->letter)
            ok = write_letter(&page, cli, &f, &r);
        else
            isolation_report_timeline(&page, &r);
        status = ok ? print(cli, &page) : EXIT_PROBLEMS;
        free(memory);
    }
    isolation_files_close(&f);
    return status;
}
