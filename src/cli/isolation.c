/* cli/isolation.c - `polder isolation`: which of its parts is meant; status and drill. */
#include "cli/isolation.h"

#include <stdlib.h>

static enum exit_status show(const struct cli *cli, struct isolation_request *r,
                             void (*print)(struct buf *, const struct document *))
{
    struct document d;
    enum exit_status status;
    char *memory;
    if (!isolation_request_ask(r, cli, &d, &status))
        return status;
    if (!cli->json && (memory = malloc(ISOLATION_PAGE_BYTES))) {
        struct buf out = buf_over(memory, ISOLATION_PAGE_BYTES);
        print(&out, &d);
        status = !buf_overflowed(&out) && cli_print(buf_text(&out)) ? EXIT_FINE : EXIT_BROKEN;
        free(memory);
    }
    document_close(&d);
    return status;
}

static enum exit_status status_of(const struct cli *cli)
{
    struct isolation_request r;
    isolation_request_begin(&r, cli, "status");
    return show(cli, &r, isolation_print_status);
}

static enum exit_status drill(const struct cli *cli)
{
    struct isolation_request r;
    if (cli->argument_count != 2) {
        cli_complain(
            "usage: polder isolation drill LEVEL --reason TEXT [--cluster C] [--except PARTNER ...]");
        return EXIT_USAGE;
    }
    isolation_request_begin(&r, cli, "drill");
    return isolation_request_level(&r, cli, cli->arguments[1]) ? show(cli, &r, isolation_print_drill)
                                                               : EXIT_USAGE;
}

enum exit_status command_isolation(const struct cli *cli)
{
    const char *word = cli->argument_count ? cli->arguments[0] : "";
    if (strcmp(word, "drill") == 0)
        return drill(cli);
    if (strcmp(word, "status") == 0 && cli->argument_count == 1)
        return status_of(cli);
    if (strcmp(word, "init") == 0 && cli->argument_count == 1)
        return isolation_init(cli);
    if (strcmp(word, "report") == 0 && cli->argument_count == 1)
        return isolation_report(cli);
    cli_complain("usage: polder isolation status; init --config FILE; report [--from TIME] [--letter "
                 "PARTNER]; drill LEVEL "
                 "--reason TEXT");
    return EXIT_USAGE;
}
