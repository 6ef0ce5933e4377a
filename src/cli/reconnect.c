/* cli/reconnect.c - `polder reconnect`: partners come back one by one, stage by stage, and can be sent back.
 */
#include "cli/isolation.h"

#include <stdlib.h>

static enum exit_status plan(const struct cli *cli)
{
    struct isolation_request r;
    struct document d;
    enum exit_status status;
    char *memory;
    isolation_request_begin(&r, cli, "reconnect");
    if (!isolation_request_ask(&r, cli, &d, &status))
        return status;
    if (!cli->json && (memory = malloc(ISOLATION_PAGE_BYTES))) {
        struct buf out = buf_over(memory, ISOLATION_PAGE_BYTES);
        isolation_print_partners(&out, &d, cli->color);
        status = !buf_overflowed(&out) && cli_print(buf_text(&out)) ? EXIT_FINE : EXIT_BROKEN;
        free(memory);
    }
    document_close(&d);
    return status;
}

static enum exit_status move(const struct cli *cli, const char *event)
{
    struct isolation_request r;
    uint64_t rate;
    if (!cli->reason || !*cli->reason) {
        cli_complain("say why with --reason \"TEXT\"; nothing was ordered");
        return EXIT_USAGE;
    }
    isolation_request_begin(&r, cli, "order");
    json_put_str(&r.w, STR("event"), str_of(event));
    json_put_str(&r.w, STR("partner"), str_of(cli->arguments[1]));
    if (cli->rate) {
        if (!str_parse_u64(str_of(cli->rate), &rate) || rate < 1 || rate > UINT32_MAX) {
            cli_complain("--rate is a number of requests a second, not '%s'; nothing was ordered", cli->rate);
            return EXIT_USAGE;
        }
        json_put_u64(&r.w, STR("rate"), rate);
    }
    return isolation_order_give(&r, cli);
}

enum exit_status command_reconnect(const struct cli *cli)
{
    static const struct {
        const char *word, *event;
    } moves[] = {{"next", "reconnect-next"}, {"back", "reconnect-back"}, {"alarm", "alarm"}};
    const char *word = cli->argument_count ? cli->arguments[0] : "";
    if (strcmp(word, "plan") == 0 && cli->argument_count == 1)
        return plan(cli);
    for (unsigned i = 0; i < sizeof moves / sizeof *moves; i++)
        if (strcmp(word, moves[i].word) == 0 && cli->argument_count == 2)
            return move(cli, moves[i].event);
    cli_complain(
        "usage: polder reconnect plan; polder reconnect next|back|alarm PARTNER --reason TEXT [--cluster C] "
        "[--rate N]");
    return EXIT_USAGE;
}
