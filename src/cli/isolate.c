/* cli/isolate.c - `polder isolate`: a level ordered, confirmed, approved, or first looked at. */
#include "cli/isolation.h"

#include "config/value.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the request */

/* For display only: the gate goes by the user id that the kernel tells it. */
static void write_name(struct buf *out)
{
    const struct passwd *user = getpwuid(getuid());
    const char *sudo = getenv("SUDO_USER");
    if (user)
        buf_str(out, str_take(str_of(user->pw_name), 28));
    if (sudo && *sudo)
        buf_printf(out, "%sfor %.28s", user ? " " : "", sudo);
}

static void put_given(struct json_writer *w, const char *key, const char *value)
{
    if (value)
        json_put_str(w, str_of(key), str_of(value));
}

void isolation_request_begin(struct isolation_request *r, const struct cli *cli, const char *ask)
{
    char memory[64];
    struct buf name = buf_over(memory, sizeof memory);
    write_name(&name);
    r->text = buf_over(r->memory, sizeof r->memory - 1);
    BUF_LIT(&r->text, "isolation ");
    r->w = json_writer_over(&r->text);
    json_object_begin(&r->w);
    json_put_str(&r->w, STR("ask"), str_of(ask));
    json_put_str(&r->w, STR("name"), buf_text(&name));
    put_given(&r->w, "reason", cli->reason);
    put_given(&r->w, "cluster", cli->cluster);
    if (cli->dry_run)
        json_put_bool(&r->w, STR("dry_run"), true);
}

bool isolation_request_ask(struct isolation_request *r, const struct cli *cli, struct document *ret,
                           enum exit_status *ret_status)
{
    struct str answer;
    json_object_end(&r->w);
    if (buf_overflowed(&r->text)) {
        cli_complain(
            "the order is too long: a reason has at most 255 bytes, and at most 16 exceptions go into one");
        *ret_status = EXIT_USAGE;
        return false;
    }
    r->memory[r->text.n] = '\0';
    if (!cli->json) {
        *ret_status = gate_ask_document(cli, r->memory, ISOLATION_TIMEOUT_S, false, ret);
        return *ret_status == EXIT_FINE;
    }
    *ret_status = gate_ask(cli, r->memory, ISOLATION_TIMEOUT_S, false, &answer);
    if (*ret_status != EXIT_FINE)
        return false;
    if (!document_open(ret, answer)) {
        cli_complain("the gate's answer is no JSON document; are polder and polder-gate of one version?");
        *ret_status = EXIT_BROKEN;
        return false;
    }
    bool is_refused = json_get(&ret->tape, 0, STR("error")) != JSON_NONE;
    *ret_status = !cli_print(ret->tape.text) ? EXIT_BROKEN : is_refused ? EXIT_PROBLEMS : EXIT_FINE;
    if (*ret_status != EXIT_FINE)
        document_close(ret);
    return *ret_status == EXIT_FINE;
}

/* ---- parts of an order */

static bool put_duration(struct json_writer *w, const char *key, const char *option, const char *text)
{
    uint64_t ms;
    if (!text)
        return true;
    if (value_duration_ms(str_of(text), &ms) && ms) {
        json_put_u64(w, str_of(key), ms);
        return true;
    }
    cli_complain("%s is a time like 30m, 8h or 2d, not '%s'; nothing was ordered", option, text);
    return false;
}

static bool put_until(struct json_writer *w, const struct cli *cli)
{
    int64_t us;
    if (!cli->until)
        return put_duration(w, "for_ms", "--for", cli->for_time);
    if (cli->for_time) {
        cli_complain("--for and --until both say when the level ends; give one of them");
        return false;
    }
    if (!isolation_moment(str_of(cli->until), true, &us)) {
        cli_complain("--until is a moment like 18:00 or 2026-01-31T18:00, not '%s'; nothing was ordered",
                     cli->until);
        return false;
    }
    json_put_i64(w, STR("until_us"), us);
    return true;
}

static bool put_ports(struct json_writer *w, struct str text)
{
    uint64_t from, to;
    struct str first = str_cut(&text, '-');
    if (!str_parse_u64(first, &from) || from < 1 || from > 65535)
        return false;
    to = from;
    if (text.p && (!str_parse_u64(text, &to) || to < from || to > 65535))
        return false;
    json_put_u64(w, STR("port_from"), from);
    json_put_u64(w, STR("port_to"), to);
    return true;
}

/* PARTNER[:in|:out][:PORT[-PORT]] */
static bool put_exception(struct json_writer *w, const char *given)
{
    struct str rest = str_of(given), partner = str_cut(&rest, ':');
    bool ok = partner.n > 0, has_ports = false;
    json_object_begin(w);
    json_put_str(w, STR("partner"), partner);
    while (ok && rest.p) {
        struct str part = str_cut(&rest, ':');
        if (!has_ports && (str_eq(part, STR("in")) || str_eq(part, STR("out"))))
            json_put_str(w, STR("direction"), part);
        else
            ok = !has_ports && (has_ports = put_ports(w, part));
    }
    json_object_end(w);
    if (!ok)
        cli_complain(
            "--except is PARTNER, PARTNER:in, PARTNER:out or PARTNER:in:443, not '%s'; nothing was ordered",
            given);
    return ok;
}

static bool put_exceptions(struct json_writer *w, const struct cli *cli)
{
    if (!cli->except_count)
        return true;
    json_put_array(w, STR("except"));
    for (unsigned i = 0; i < cli->except_count; i++)
        if (!put_exception(w, cli->except[i]))
            return false;
    json_array_end(w);
    return true;
}

static bool has_reason(const struct cli *cli)
{
    if (cli->reason && *cli->reason)
        return true;
    cli_complain(
        "say why with --reason \"TEXT\": it stands in the journal, and others will ask; nothing was ordered");
    return false;
}

bool isolation_request_level(struct isolation_request *r, const struct cli *cli, const char *level)
{
    uint8_t number;
    if (!isolation_level_of(str_of(level), &number)) {
        cli_complain("there is no level '%s'; the levels are open, guarded, partners, closed and sealed",
                     level);
        return false;
    }
    if (!has_reason(cli))
        return false;
    json_put_str(&r->w, STR("event"), STR("isolate"));
    json_put_str(&r->w, STR("level"), str_of(level));
    if (cli->partners_back)
        json_put_bool(&r->w, STR("partners_back"), true);
    return put_until(&r->w, cli) &&
           put_duration(&r->w, "confirm_ms", "--confirm-within", cli->confirm_within) &&
           put_exceptions(&r->w, cli);
}

/* ---- giving it */

static enum exit_status print_page(void (*print)(struct buf *, const struct document *),
                                   const struct document *d)
{
    char *memory = malloc(ISOLATION_PAGE_BYTES);
    struct buf out = buf_over(memory, memory ? ISOLATION_PAGE_BYTES : 0);
    print(&out, d);
    bool is_printed = !buf_overflowed(&out) && cli_print(buf_text(&out));
    free(memory);
    return is_printed ? EXIT_FINE : EXIT_BROKEN;
}

static void print_dry_run(struct buf *out, const struct document *d)
{
    isolation_print_plan(out, d, 0);
    BUF_LIT(out, "This was a dry run: nothing has changed.\n");
}

enum exit_status isolation_order_give(struct isolation_request *r, const struct cli *cli)
{
    struct document d;
    enum exit_status status;
    if (!isolation_request_ask(r, cli, &d, &status))
        return status;
    struct str outcome = document_text(&d, 0, "outcome");
    bool is_kept = !str_eq(outcome, STR("not-recorded"));
    if (!cli->json)
        status = print_page(str_eq(outcome, STR("dry-run")) ? print_dry_run : isolation_print_done, &d);
    document_close(&d);
    return status == EXIT_FINE && !is_kept ? EXIT_PROBLEMS : status;
}

/* What it would do, and whether that is meant; only where somebody sits at a terminal. */
static bool is_meant(const struct cli *cli, const char *level)
{
    struct isolation_request r;
    struct cli dry = *cli;
    enum exit_status status;
    struct document d;
    char answer[16] = "";
    if (cli->yes || cli->json || cli->dry_run || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return true;
    dry.dry_run = true;
    isolation_request_begin(&r, &dry, "order");
    if (!isolation_request_level(&r, &dry, level))
        return false;
    if (!isolation_request_ask(&r, &dry, &d, &status))
        return false;
    status = print_page(print_dry_run, &d);
    document_close(&d);
    fputs("Order it? Type yes: ", stdout);
    fflush(stdout);
    return status == EXIT_FINE && fgets(answer, sizeof answer, stdin) && strcmp(answer, "yes\n") == 0;
}

static enum exit_status order_level(const struct cli *cli, const char *level)
{
    struct isolation_request r;
    isolation_request_begin(&r, cli, "order");
    if (!isolation_request_level(&r, cli, level))
        return EXIT_USAGE;
    if (!is_meant(cli, level)) {
        cli_complain("nothing was ordered");
        return EXIT_PROBLEMS;
    }
    return isolation_order_give(&r, cli);
}

static enum exit_status order_event(const struct cli *cli, const char *event, const char *key,
                                    const char *value)
{
    struct isolation_request r;
    uint64_t number;
    isolation_request_begin(&r, cli, "order");
    json_put_str(&r.w, STR("event"), str_of(event));
    if (key && strcmp(key, "proposal") == 0) {
        if (!str_parse_u64(str_of(value), &number)) {
            cli_complain("polder isolate %s takes the number of the order that waits, not '%s'", event,
                         value);
            return EXIT_USAGE;
        }
        json_put_u64(&r.w, str_of(key), number);
    } else if (key) {
        json_put_str(&r.w, str_of(key), str_of(value));
    }
    if (!put_until(&r.w, cli) || !put_exceptions(&r.w, cli))
        return EXIT_USAGE;
    return isolation_order_give(&r, cli);
}

static const struct {
    const char *word, *key; /* key: what its argument is; NULL: it has none */
    bool needs_reason;
} others[] = {{"confirm", NULL, false},
              {"approve", "proposal", false},
              {"withdraw", "proposal", false},
              {"except", NULL, true},
              {"revoke", "partner", true}};

enum exit_status command_isolate(const struct cli *cli)
{
    const char *word = cli->argument_count ? cli->arguments[0] : "";
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++) {
        if (strcmp(word, others[i].word) != 0)
            continue;
        if (cli->argument_count != (others[i].key ? 2u : 1u)) {
            cli_complain("usage: polder isolate %s%s%s", word, others[i].key ? " " : "",
                         others[i].key ? others[i].key : "");
            return EXIT_USAGE;
        }
        if (others[i].needs_reason && !has_reason(cli))
            return EXIT_USAGE;
        return order_event(cli, word, others[i].key, others[i].key ? cli->arguments[1] : NULL);
    }
    if (cli->argument_count == 1)
        return order_level(cli, word);
    cli_complain(
        "usage: polder isolate LEVEL --reason TEXT, with LEVEL one of open, guarded, partners, closed, "
        "sealed; "
        "or polder isolate confirm, approve N, withdraw N, except, revoke PARTNER (`polder help isolate`)");
    return EXIT_USAGE;
}
