/* cli/orders.c - orders to the master, and the numbers as they come. */
#include "base/unconst.h"
#include "cli/cli.h"

#include <stdlib.h>
#include <time.h>

enum { ORDER_TIMEOUT_S = 100, ASK_TIMEOUT_S = 10 };

/* With --json: the gate's answer as it came, {"ok": ...} or {"error": ...}. */
static enum exit_status give_order_json(const struct cli *cli, const char *order)
{
    struct str answer;
    struct document d;
    enum exit_status status = gate_ask(cli, order, ORDER_TIMEOUT_S, false, &answer);
    if (status != EXIT_FINE)
        return status;
    if (!document_open(&d, answer)) {
        cli_complain("the gate's answer is no JSON document; are polder and polder-gate of one version?");
        return EXIT_BROKEN;
    }
    if (json_get(&d.tape, 0, STR("error")) != JSON_NONE)
        status = EXIT_PROBLEMS;
    if (!cli_print(d.tape.text))
        status = EXIT_BROKEN;
    document_close(&d);
    return status;
}

static enum exit_status give_order(const struct cli *cli, const char *order, const char *done)
{
    struct document d;
    char memory[1 << 15];
    struct buf out = buf_over(memory, sizeof memory);
    if (cli->json)
        return give_order_json(cli, order);
    enum exit_status status = gate_ask_document(cli, order, ORDER_TIMEOUT_S, false, &d);
    if (status != EXIT_FINE)
        return status;
    struct str text = document_text(&d, 0, "ok");
    print_safe(&out, text.n ? text : str_of(done));
    buf_char(&out, '\n');
    document_close(&d);
    return cli_print(buf_text(&out)) ? EXIT_FINE : EXIT_BROKEN;
}

enum exit_status command_reload(const struct cli *cli)
{
    return give_order(cli, "reload", "the configuration was read anew and is in force");
}

enum exit_status command_drain(const struct cli *cli)
{
    return give_order(cli, "drain", "the gate takes nothing new and stops when everything is finished");
}

/* Between the old observer and the new one nobody answers for a moment. */
static enum exit_status wait_for_gate(const struct cli *cli)
{
    enum { TRIES = 150 };
    static const struct timespec pause = {.tv_nsec = 200'000'000};
    struct document d;
    for (unsigned i = 0; i < TRIES; i++) {
        nanosleep(&pause, NULL);
        if (gate_ask_document(cli, "status", ASK_TIMEOUT_S, true, &d) != EXIT_FINE)
            continue;
        char memory[128];
        struct buf out = buf_over(memory, sizeof memory);
        BUF_LIT(&out, "polder-gate ");
        print_safe(&out, str_take(document_text(&d, 0, "version"), 64));
        BUF_LIT(&out, " has taken over\n");
        document_close(&d);
        return cli_print(buf_text(&out)) ? EXIT_FINE : EXIT_BROKEN;
    }
    cli_complain("the new binary does not answer yet; see the event log and `polder status`");
    return EXIT_NOT_RUNNING;
}

enum exit_status command_upgrade(const struct cli *cli)
{
    enum exit_status status = give_order(cli, "upgrade", "the installed binary takes over");
    return status == EXIT_FINE && !cli->json ? wait_for_gate(cli) : status;
}

enum exit_status command_metrics(const struct cli *cli)
{
    struct str text;
    enum exit_status status = gate_ask(cli, "metrics", ASK_TIMEOUT_S, false, &text);
    if (status != EXIT_FINE)
        return status;
    bool is_printed = cli_print(text);
    free(unconst(text.p));
    return is_printed ? EXIT_FINE : EXIT_BROKEN;
}
