/* cli/waf.c - `polder waf`: which of its parts is meant; the live ones that are tables. `polder patches`. */
#include "cli/waf.h"

#include "base/unconst.h"
#include "base/utc.h"
#include "config/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct {
    const char *name, *arguments;
    unsigned least, most;
    enum exit_status (*run)(const struct cli *);
    const char *help;
} parts[] = {
#define WAF_COMMAND(name, arguments, least, most, function, help)                                            \
    {name, arguments, least, most, function, help},
#include "cli/waf_commands.def"
#undef WAF_COMMAND
};
enum { PARTS = sizeof parts / sizeof *parts };

static enum exit_status list_parts(void)
{
    for (unsigned i = 0; i < PARTS; i++)
        cli_complain("polder waf %s %s", parts[i].name, parts[i].arguments);
    return EXIT_USAGE;
}

enum exit_status command_waf(const struct cli *cli)
{
    struct cli rest = *cli;
    for (unsigned i = 0; i < PARTS; i++) {
        if (cli->argument_count == 0 || strcmp(parts[i].name, cli->arguments[0]) != 0)
            continue;
        rest.arguments++;
        rest.argument_count--;
        if (rest.argument_count >= parts[i].least && rest.argument_count <= parts[i].most)
            return parts[i].run(&rest);
        cli_complain("usage: polder waf %s %s", parts[i].name, parts[i].arguments);
        return EXIT_USAGE;
    }
    cli_complain("polder waf knows:");
    return list_parts();
}

/* "2026-01-31T09:41:07", with what may stand behind it ("Z", parts of a second) left aside. */
static bool read_moment(struct str text, uint64_t *ret_us)
{
    static const char between[] = "--T::";
    uint64_t numbers[6];
    for (unsigned i = 0; i < 6; i++) {
        size_t digits = i == 0 ? 4 : 2;
        if (!str_parse_u64(str_take(text, digits), &numbers[i]) || text.n < digits)
            return false;
        text = str_skip(text, digits);
        if (i < 5 && (text.n == 0 || text.p[0] != between[i]))
            return false;
        text = str_skip(text, i < 5);
    }
    if (numbers[0] < 1970 || numbers[1] < 1 || numbers[1] > 12 || numbers[2] < 1 || numbers[2] > 31)
        return false;
    *ret_us = (uint64_t)time_from_civil((int)numbers[0], (unsigned)numbers[1], (unsigned)numbers[2],
                                        (unsigned)numbers[3], (unsigned)numbers[4], (unsigned)numbers[5]) *
              1'000'000;
    return true;
}

bool waf_since(const struct cli *cli, uint64_t *ret_us)
{
    uint64_t ms;
    int64_t now_s = time(NULL);
    *ret_us = 0;
    if (!cli->since)
        return true;
    if (value_duration_ms(str_of(cli->since), &ms)) {
        *ret_us = (uint64_t)now_s * 1'000'000 > ms * 1000 ? (uint64_t)now_s * 1'000'000 - ms * 1000 : 0;
        return true;
    }
    if (read_moment(str_of(cli->since), ret_us))
        return true;
    cli_complain("--since is a time back, like 30m or 2h, or a moment like 2026-01-31T09:41:07, not '%s'",
                 cli->since);
    return false;
}

/* ---- asking, with the answer as it came for --json */

static enum exit_status ask(const struct cli *cli, const char *command, struct document *ret)
{
    struct str answer;
    if (!cli->json)
        return gate_ask_document(cli, command, WAF_ASK_TIMEOUT_S, false, ret);
    enum exit_status status = gate_ask(cli, command, WAF_ASK_TIMEOUT_S, false, &answer);
    if (status != EXIT_FINE)
        return status;
    if (!document_open(ret, answer)) {
        cli_complain("the gate's answer is no JSON document; are polder and polder-gate of one version?");
        return EXIT_BROKEN;
    }
    if (json_get(&ret->tape, 0, STR("error")) != JSON_NONE)
        status = EXIT_PROBLEMS;
    if (!cli_print(ret->tape.text))
        status = EXIT_BROKEN;
    if (status != EXIT_FINE)
        document_close(ret);
    return status;
}

static enum exit_status print_page(struct buf *page, bool overflowed)
{
    bool is_printed = !overflowed && !buf_overflowed(page) && cli_print(buf_text(page));
    if (overflowed || buf_overflowed(page))
        cli_complain("the answer is too long to be shown");
    free(page->p);
    return is_printed ? EXIT_FINE : EXIT_BROKEN;
}

/* ---- top */

static void add_rule(struct table *t, const struct document *d, uint32_t row)
{
    char number[32];
    static const char *const counts[] = {"detected", "blocked"};
    table_text(t, document_text(d, row, "cluster"));
    table_printf(t, "%llu", (unsigned long long)document_number(d, row, "rule"));
    for (unsigned i = 0; i < 2; i++) {
        struct buf out = buf_over(number, sizeof number);
        print_count(&out, document_number(d, row, counts[i]));
        table_text(t, buf_text(&out));
    }
    table_text(t, str_take(document_text(d, row, "message"), 90));
}

enum exit_status waf_top(const struct cli *cli)
{
    static const char *const heads[] = {"CLUSTER", ">RULE", ">DETECTED", ">BLOCKED", "MESSAGE", NULL};
    char command[256];
    struct document d;
    struct table t;
    uint32_t count;
    (void)snprintf(command, sizeof command, "waf-top %s", cli->cluster ? cli->cluster : "");
    enum exit_status status = ask(cli, command, &d);
    if (status != EXIT_FINE)
        return status;
    struct buf page = buf_over(malloc(WAF_PAGE_BYTES), WAF_PAGE_BYTES);
    uint32_t row = document_list(&d, 0, "rules", &count);
    if (cli->json || !page.p) { /* the answer was printed as it came */
        status = page.p ? EXIT_FINE : EXIT_BROKEN;
        free(page.p);
        document_close(&d);
        return status;
    }
    table_begin(&t, d.arena, heads);
    for (uint32_t i = 0; i < count; i++, row = json_next(&d.tape, row))
        add_rule(&t, &d, row);
    if (count)
        table_print(&t, &page, cli->color);
    else
        BUF_LIT(&page, "no rule of the firewall has matched yet\n");
    bool overflowed = t.overflowed;
    document_close(&d);
    return print_page(&page, overflowed);
}

/* ---- excerpts */

static bool clear_command(const struct cli *cli, char *command, size_t cap)
{
    uint64_t ms = 0;
    if (!cli->for_time || !value_duration_ms(str_of(cli->for_time), &ms) || ms < 1000) {
        cli_complain("--clear needs --for TIME, at most 24h: excerpts are masked again by themselves");
        return false;
    }
    if (!cli->reason || !*cli->reason || strchr(cli->reason, '\n')) {
        cli_complain("--clear needs --reason TEXT: who asks for patients' data in a log says why");
        return false;
    }
    (void)snprintf(command, cap, "waf-excerpts clear %llu %s", (unsigned long long)(ms / 1000), cli->reason);
    return true;
}

enum exit_status waf_excerpts(const struct cli *cli)
{
    char command[1024];
    struct document d;
    if (cli->clear && cli->masked) {
        cli_complain("excerpts are shown --clear or --masked");
        return EXIT_USAGE;
    }
    (void)snprintf(command, sizeof command, "waf-excerpts%s", cli->masked ? " masked" : "");
    if (cli->clear && !clear_command(cli, command, sizeof command))
        return EXIT_USAGE;
    enum exit_status status = ask(cli, command, &d);
    if (status != EXIT_FINE || cli->json) {
        if (status == EXIT_FINE)
            document_close(&d);
        return status;
    }
    char text[256];
    struct buf out = buf_over(text, sizeof text);
    if (document_flag(&d, 0, "excerpts_clear")) {
        BUF_LIT(&out, "excerpts of requests are in clear for ");
        print_duration_s(&out, document_number(&d, 0, "excerpts_clear_s"));
        BUF_LIT(&out, "; they may hold patients' data\n");
    } else {
        BUF_LIT(&out, "excerpts of requests are masked\n");
    }
    document_close(&d);
    return cli_print(buf_text(&out)) ? EXIT_FINE : EXIT_BROKEN;
}

/* ---- polder patches */

static bool add_patch(struct table *t, const struct document *d, uint32_t patch)
{
    uint32_t count, row = document_list(d, patch, "clusters", &count);
    bool is_fine = true;
    for (uint32_t i = 0; i < count; i++, row = json_next(&d->tape, row)) {
        struct str state = document_text(d, row, "state");
        table_text(t, document_text(d, patch, "id"));
        table_text(t, document_text(d, row, "cluster"));
        table_text(t, state);
        table_text(t, str_take(document_text(d, row, "at"), 19));
        table_text(t, document_text(d, row, "reason"));
        is_fine = is_fine && !str_eq(state, STR("not effective"));
    }
    return is_fine;
}

enum exit_status command_patches(const struct cli *cli)
{
    static const char *const heads[] = {"PATCH", "CLUSTER", "STATE", "TESTED (UTC)", "WHY", NULL};
    struct document d;
    struct table t;
    uint32_t count;
    bool is_fine = true;
    enum exit_status status = ask(cli, "patches", &d);
    if (status != EXIT_FINE)
        return status;
    struct buf page = buf_over(malloc(WAF_PAGE_BYTES), WAF_PAGE_BYTES);
    uint32_t patch = document_list(&d, 0, "patches", &count);
    table_begin(&t, d.arena, heads);
    for (uint32_t i = 0; i < count; i++, patch = json_next(&d.tape, patch))
        is_fine = add_patch(&t, &d, patch) && is_fine;
    if (page.p && !count)
        BUF_LIT(&page, "this configuration has no virtual patches\n");
    else if (page.p)
        table_print(&t, &page, cli->color);
    page.n = cli->json ? 0 : page.n; /* it was printed as it came */
    bool overflowed = t.overflowed;
    document_close(&d);
    status = page.p ? print_page(&page, overflowed) : EXIT_BROKEN;
    return status == EXIT_FINE && !is_fine ? EXIT_PROBLEMS : status;
}
