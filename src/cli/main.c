/* cli/main.c - polder: what an operator types. Reads options and command, and hands over to the command's
 * function. */
#include "base/must.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct command {
    const char *name, *arguments, *help, *more;
    enum exit_status (*run)(const struct cli *);
};

static const struct command commands[] = {
#define COMMAND(name, arguments, function, help, more) {#name, arguments, help, more, function},
#include "cli/commands.def"
#undef COMMAND
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static const struct {
    const char *name, *argument, *help;
} options[] = {
    {"--socket", "PATH",
     "The control socket of the gate. Default: control.sock in the run_directory of --config, else "
     "/run/polder/control.sock."},
    {"--config", "FILE", "The configuration the gate was started with, to find its control socket."},
    {"--json", NULL, "Answer in JSON, for programs."},
    {"--once", NULL, "top: one picture, then stop."},
    {"--cluster", "NAME", "waf: only that cluster. records: which one."},
    {"--since", "TIME", "waf tune: only what came since then, like 2h or 2026-01-31T09:41:07."},
    {"--reference", "REF", "waf tune: only the request with that reference."},
    {"--paranoia", "N", "waf test: another paranoia level, 1 to 4."},
    {"--replay", "FOLDER", "waf tune: try requests in files with and without each proposal."},
    {"--clear", NULL,
     "waf excerpts: show excerpts in clear, with --for TIME (at most 24h) and --reason TEXT."},
    {"--masked", NULL, "waf excerpts: mask them again."},
    {"--until", "TIME",
     "isolate: when the level ends, like 18:00 or 2026-01-31T18:00. --for TIME: after that time, like 8h."},
    {"--except", "PARTNER",
     "isolate: who keeps access: PARTNER[:in|:out][:PORT[-PORT]]; may be given again."},
    {"--dry-run", NULL, "isolate, reconnect: say what would change, and change nothing."},
    {"--confirm-within", "TIME",
     "isolate: goes back by itself unless `polder isolate confirm` comes in that time, like 5m."},
    {"--partners-back", NULL,
     "isolate: with a lower level, every partner comes back at once (after a false alarm)."},
    {"--yes", NULL, "isolate: do not ask back."},
    {"--rate", "N", "reconnect next: requests a second of the partner on probation."},
    {"--from", "TIME",
     "report, journal show, audit: only what happened since, like 2h or 2026-01-31T09:00. records restore: "
     "the "
     "backup's file."},
    {"--letter", "PARTNER", "isolation report: a letter to that partner, before it is reconnected."},
    {"--follow", NULL, "journal show: go on with what is added."},
    {"--state", "FOLDER",
     "isolation and journal: the state directory, where there is no configuration at hand."},
    {"--out", "FILE", "capture, records backup, records export: the file or folder to be made."},
    {"--to", "DIR", "records move: the new data directory. audit: only what happened before that TIME."},
    {"--url", "BASE",
     "records load: the base URL, like http://127.0.0.1:8090/noord/fhir, instead of --config."},
    {"--token", "FILE", "records load: a file that holds an access token."},
    {"--patient", "ID", "audit: only accesses to the record of that patient."},
    {"--user", "WHO", "audit: only accesses by that user, like Practitioner/17."},
    {"--verify", NULL, "audit: show nothing, check the chain."},
    {"--no-color", NULL,
     "No colors. They are also off when standard output is no terminal or NO_COLOR is set."},
};

static const char exit_help[] =
    "Exit status: 0 fine; 1 the configuration has mistakes, or the order failed; 2 wrong usage; 3 "
    "no gate\nanswers at the socket, or it does not let you; 4 an answer could not be read or "
    "printed.\n";

void cli_complain(const char *format, ...)
{
    va_list args;
    fputs("polder: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

bool cli_print(struct str text)
{
    while (text.n) {
        ssize_t n = write(STDOUT_FILENO, text.p, text.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno != EPIPE)
                cli_complain("cannot write to standard output: %s", strerror(errno));
            return false;
        }
        text = str_skip(text, (size_t)n);
    }
    return true;
}

static const struct command *find_command(const char *name)
{
    for (unsigned i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* ---- help */

static void write_overview(struct buf *out)
{
    BUF_LIT(out,
            "polder - operate a polder-gate\n\nUsage: polder [OPTIONS] COMMAND [ARGUMENTS]\n\nCommands:\n");
    for (unsigned i = 0; i < COMMAND_COUNT; i++)
        buf_printf(out, "  %-8s %-10s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
    BUF_LIT(out, "\nOptions:\n");
    for (unsigned i = 0; i < sizeof options / sizeof *options; i++)
        buf_printf(out, "  %-11s %-8s %s\n", options[i].name, options[i].argument ? options[i].argument : "",
                   options[i].help);
    buf_char(out, '\n');
    buf_str(out, STR(exit_help));
}

static void write_command_help(struct buf *out, const struct command *c)
{
    buf_printf(out, "Usage: polder %s%s%s\n\n%s\n", c->name, *c->arguments ? " " : "", c->arguments, c->help);
    if (*c->more)
        buf_printf(out, "%s\n", c->more);
}

enum exit_status command_help(const struct cli *cli)
{
    char memory[8192];
    struct buf out = buf_over(memory, sizeof memory);
    if (cli->argument_count > 0) {
        const struct command *c = find_command(cli->arguments[0]);
        if (!c) {
            cli_complain("there is no command '%s'; `polder help` lists them", cli->arguments[0]);
            return EXIT_USAGE;
        }
        write_command_help(&out, c);
    } else {
        write_overview(&out);
    }
    return cli_print(buf_text(&out)) ? EXIT_FINE : EXIT_BROKEN;
}

enum exit_status command_version(const struct cli *cli)
{
    struct str text =
        cli->json ? STR("{\"version\":\"" POLDER_VERSION "\"}\n") : STR("polder " POLDER_VERSION "\n");
    return cli_print(text) ? EXIT_FINE : EXIT_BROKEN;
}

/* ---- arguments: options may stand anywhere, as --name VALUE or --name=VALUE */

/* The value of option `name` when argv[*at] is that option; NULL: it is another one, or its value is missing.
 */
static const char *option_value(char **argv, int argc, int *at, const char *name)
{
    size_t n = strlen(name);
    must(argv[*at]);
    if (strncmp(argv[*at], name, n) != 0)
        return NULL;
    if (argv[*at][n] == '=')
        return argv[*at] + n + 1;
    if (argv[*at][n] != '\0' || *at + 1 >= argc)
        return NULL;
    return argv[++*at];
}

static bool parse_except(struct cli *cli, char **argv, int argc, int *at)
{
    const char *value = option_value(argv, argc, at, "--except");
    if (!value || cli->except_count == CLI_EXCEPT_MAX)
        return false;
    cli->except[cli->except_count++] = value;
    return true;
}

static bool parse_value_option(struct cli *cli, char **argv, int argc, int *at)
{
    const struct {
        const char *name, **place;
    } values[] = {{"--cluster", &cli->cluster},
                  {"--since", &cli->since},
                  {"--reference", &cli->reference},
                  {"--paranoia", &cli->paranoia},
                  {"--replay", &cli->replay},
                  {"--for", &cli->for_time},
                  {"--reason", &cli->reason},
                  {"--until", &cli->until},
                  {"--confirm-within", &cli->confirm_within},
                  {"--rate", &cli->rate},
                  {"--from", &cli->from},
                  {"--letter", &cli->letter},
                  {"--state", &cli->state},
                  {"--out", &cli->out},
                  {"--to", &cli->to},
                  {"--url", &cli->url},
                  {"--token", &cli->token},
                  {"--patient", &cli->patient},
                  {"--user", &cli->user}};
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
        const char *value = option_value(argv, argc, at, values[i].name);
        if (value) {
            *values[i].place = value;
            return true;
        }
    }
    return false;
}

static bool parse_flag(struct cli *cli, const char *argument)
{
    const struct {
        const char *name;
        bool *place;
    } flags[] = {{"--dry-run", &cli->dry_run},
                 {"--partners-back", &cli->partners_back},
                 {"--yes", &cli->yes},
                 {"--follow", &cli->follow},
                 {"--verify", &cli->verify}};
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (strcmp(argument, flags[i].name) != 0)
            continue;
        *flags[i].place = true;
        return true;
    }
    return false;
}

static bool parse_option(struct cli *cli, char **argv, int argc, int *at)
{
    const char *value;
    if (strcmp(argv[*at], "--json") == 0)
        cli->json = true;
    else if (strcmp(argv[*at], "--once") == 0)
        cli->once = true;
    else if (strcmp(argv[*at], "--no-color") == 0)
        cli->color = false;
    else if (strcmp(argv[*at], "--clear") == 0)
        cli->clear = true;
    else if (strcmp(argv[*at], "--masked") == 0)
        cli->masked = true;
    else if ((value = option_value(argv, argc, at, "--socket")))
        cli->socket = value;
    else if ((value = option_value(argv, argc, at, "--config")))
        cli->config = value;
    else
        return parse_flag(cli, argv[*at]) || parse_except(cli, argv, argc, at) ||
               parse_value_option(cli, argv, argc, at);
    return true;
}

/* The first word is the command; the words after it, in their order, are its arguments. */
static bool parse_arguments(struct cli *cli, int argc, char **argv, const char **ret_command)
{
    char **words = argv + 1;
    unsigned count = 0;
    *ret_command = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *ret_command = "help";
            cli->argument_count = 0;
            return true;
        }
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            if (parse_option(cli, argv, argc, &i))
                continue;
            cli_complain("the option '%s' is not known, or lacks its value; `polder help` lists them",
                         argv[i]);
            return false;
        }
        words[count++] = argv[i];
    }
    if (count == 0)
        return true;
    *ret_command = words[0];
    cli->arguments = words + 1;
    cli->argument_count = count - 1;
    return true;
}

static bool argument_count_is_right(const struct command *c, unsigned count)
{
    unsigned max = *c->arguments ? 1 : 0, min = max && c->arguments[0] != '[' ? 1 : 0;
    if (strstr(c->arguments, "...") || (count >= min && count <= max))
        return true;
    if (max == 0)
        cli_complain("%s takes no argument", c->name);
    else
        cli_complain("%s takes one argument: polder %s %s", c->name, c->name, c->arguments);
    return false;
}

int main(int argc, char **argv)
{
    struct cli cli = {.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR")};
    const char *name;
    if (!parse_arguments(&cli, argc, argv, &name))
        return EXIT_USAGE;
    if (!name) {
        command_help(&cli);
        return EXIT_USAGE;
    }
    const struct command *c = find_command(name);
    if (!c) {
        cli_complain("there is no command '%s'; `polder help` lists them", name);
        return EXIT_USAGE;
    }
    if (!argument_count_is_right(c, cli.argument_count))
        return EXIT_USAGE;
    return c->run(&cli);
}
