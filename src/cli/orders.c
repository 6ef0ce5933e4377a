/* cli/orders.c - orders to the master, and the numbers as they come. */
#include "cli/cli.h"
#include "json/writer.h"

#include <stdlib.h>

enum { ORDER_TIMEOUT_S = 100, ASK_TIMEOUT_S = 10 };

static enum exit_status give_order(const struct cli *cli, const char *order, const char *done)
{
    struct document d;
    char memory[1 << 15];
    struct buf out = buf_over(memory, sizeof memory);
    enum exit_status status = gate_ask_document(cli, order, ORDER_TIMEOUT_S, false, &d);
    if (status != EXIT_FINE)
        return status;
    struct str text = document_text(&d, 0, "ok");
    if (cli->json) {
        struct json_writer w = json_writer_over(&out);
        json_object_begin(&w);
        json_put_str(&w, STR("ok"), text);
        json_object_end(&w);
    } else {
        print_safe(&out, text.n ? text : str_of(done));
    }
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

enum exit_status command_upgrade(const struct cli *cli)
{
    return give_order(cli, "upgrade", "the installed binary has taken over");
}

enum exit_status command_metrics(const struct cli *cli)
{
    struct str text;
    enum exit_status status = gate_ask(cli, "metrics", ASK_TIMEOUT_S, false, &text);
    if (status != EXIT_FINE)
        return status;
    bool is_printed = cli_print(text);
    free((void *)(uintptr_t)text.p);
    return is_printed ? EXIT_FINE : EXIT_BROKEN;
}
