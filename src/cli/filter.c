/* cli/filter.c - `polder filter` and `polder capture`: what the packet filter does, whom it blocks, and the
 * packets it kept. The filter role is asked by the same way as about isolation. */
#include "cli/cli.h"

#include "config/value.h"
#include "json/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_BYTES = 1024, TIMEOUT_S = 40, PAGE_BYTES = 1 << 20, CAPTURE_STEP_MS = 500 };

struct filter_request {
    char memory[REQUEST_BYTES + 16];
    struct buf text;
    struct json_writer w;
};

static void request_begin(struct filter_request *r, const char *what)
{
    r->text = buf_over(r->memory, sizeof r->memory - 1);
    BUF_LIT(&r->text, "isolation ");
    r->w = json_writer_over(&r->text);
    json_object_begin(&r->w);
    json_put_str(&r->w, STR("filter"), str_of(what));
}

static bool request_end(struct filter_request *r)
{
    json_object_end(&r->w);
    if (buf_overflowed(&r->text)) {
        cli_complain("that is too long to be asked");
        return false;
    }
    r->memory[r->text.n] = '\0';
    return true;
}

/* The answer as it came (--json), or opened in ret. */
static enum exit_status request_ask(struct filter_request *r, const struct cli *cli, struct document *ret,
                                    bool *ret_is_open)
{
    struct str answer;
    *ret_is_open = false;
    if (!request_end(r))
        return EXIT_USAGE;
    if (!cli->json) {
        enum exit_status status = gate_ask_document(cli, r->memory, TIMEOUT_S, false, ret);
        *ret_is_open = status == EXIT_FINE;
        return status;
    }
    enum exit_status status = gate_ask(cli, r->memory, TIMEOUT_S, false, &answer);
    if (status != EXIT_FINE || !document_open(ret, answer))
        return status == EXIT_FINE ? EXIT_BROKEN : status;
    bool is_refused = json_get(&ret->tape, 0, STR("error")) != JSON_NONE;
    status = !cli_print(ret->tape.text) || !cli_print(STR("\n")) ? EXIT_BROKEN
             : is_refused                                        ? EXIT_PROBLEMS
                                                                 : EXIT_FINE;
    document_close(ret);
    return status;
}

/* ---- a line of status and top */

static void print_flow(struct buf *out, const struct document *d, uint32_t at, const char *word,
                       const char *passed, const char *dropped)
{
    buf_printf(out, "  %s ", word);
    print_count(out, document_number(d, at, passed));
    BUF_LIT(out, " passed, ");
    print_count(out, document_number(d, at, dropped));
    BUF_LIT(out, " dropped;");
}

void print_packets(struct buf *out, const struct document *d)
{
    uint32_t packets = json_get(&d->tape, 0, STR("packets")), n, at;
    if (packets == JSON_NONE)
        return;
    struct str mode = document_text(d, packets, "mode");
    buf_printf(out, "packets ");
    print_safe(out, mode);
    at = document_list(d, packets, "interfaces", &n);
    for (; n > 0; n--, at = json_next(&d->tape, at)) {
        BUF_LIT(out, "  ");
        print_safe(out, document_text(d, at, "name"));
        struct str in = document_text(d, at, "in"), way = document_text(d, at, "out");
        buf_printf(out, " (%.*s, %.*s)", STR_ARG(in), STR_ARG(way));
    }
    if (str_eq(mode, STR("programs"))) {
        print_flow(out, d, packets, "in:", "passed_in", "dropped_in");
        print_flow(out, d, packets, "out:", "passed_out", "dropped_out");
    }
    buf_char(out, '\n');
    if (document_text(d, packets, "notice").n) {
        BUF_LIT(out, "  notice: ");
        print_safe(out, document_text(d, packets, "notice"));
        buf_char(out, '\n');
    }
}

/* ---- show */

static void print_interfaces(struct buf *out, const struct document *d)
{
    uint32_t n, at = document_list(d, 0, "interfaces", &n);
    for (; n > 0; n--, at = json_next(&d->tape, at)) {
        BUF_LIT(out, "  ");
        print_safe(out, document_text(d, at, "name"));
        struct str in = document_text(d, at, "in"), way = document_text(d, at, "out");
        buf_printf(out, "  in: %.*s  out: %.*s\n", STR_ARG(in), STR_ARG(way));
    }
}

static void count_cell(struct table *t, uint64_t n)
{
    char text[32];
    struct buf b = buf_over(text, sizeof text);
    print_count(&b, n);
    table_text(t, buf_text(&b));
}

static void print_table(struct buf *out, const struct document *d, const struct cli *cli, const char *list,
                        const char *const heads[], const char *const names[])
{
    struct table t;
    uint32_t n, at = document_list(d, 0, list, &n);
    if (!n)
        return;
    buf_char(out, '\n');
    table_begin(&t, d->arena, heads);
    for (; n > 0; n--, at = json_next(&d->tape, at))
        for (unsigned i = 0; names[i]; i++) {
            if (heads[i][0] == '>')
                count_cell(&t, document_number(d, at, names[i]));
            else
                table_text(&t, document_text(d, at, names[i]));
        }
    table_print(&t, out, cli->color);
}

static void print_all(struct buf *out, const struct document *d, const struct cli *cli)
{
    struct str mode = document_text(d, 0, "mode"), level = document_text(d, 0, "level");
    buf_printf(out, "packet filter: %.*s, level %.*s, accept queues by class: %s\n", STR_ARG(mode),
               STR_ARG(level), document_flag(d, 0, "accept_queues") ? "yes" : "no");
    if (document_text(d, 0, "notice").n) {
        BUF_LIT(out, "notice: ");
        print_safe(out, document_text(d, 0, "notice"));
        buf_char(out, '\n');
    }
    print_interfaces(out, d);
    print_table(out, d, cli, "reasons",
                (const char *const[]){"REASON", ">IN", ">OUT", ">DRY IN", ">DRY OUT", "MEANING", NULL},
                (const char *const[]){"name", "in", "out", "dry_in", "dry_out", "text", NULL});
    print_table(
        out, d, cli, "classes",
        (const char *const[]){"CLASS", ">PASSED IN", ">DROPPED IN", ">PASSED OUT", ">DROPPED OUT", NULL},
        (const char *const[]){"class", "passed_in", "dropped_in", "passed_out", "dropped_out", NULL});
    print_table(out, d, cli, "addresses",
                (const char *const[]){"ADDRESS", "CLUSTER", ">PASSED IN", ">DROPPED IN", ">PASSED OUT",
                                      ">DROPPED OUT", NULL},
                (const char *const[]){"address", "cluster", "passed_in", "dropped_in", "passed_out",
                                      "dropped_out", NULL});
    print_table(out, d, cli, "blocks",
                (const char *const[]){"BLOCKED", ">SECONDS LEFT", ">BY UID", "REASON", NULL},
                (const char *const[]){"address", "seconds_left", "uid", "reason", NULL});
}

static enum exit_status show(const struct cli *cli)
{
    struct filter_request r;
    struct document d;
    bool is_open;
    request_begin(&r, "show");
    enum exit_status status = request_ask(&r, cli, &d, &is_open);
    char *memory = is_open ? malloc(PAGE_BYTES) : NULL;
    if (memory) {
        struct buf out = buf_over(memory, PAGE_BYTES);
        print_all(&out, &d, cli);
        status = cli_print(buf_text(&out)) ? EXIT_FINE : EXIT_BROKEN;
    }
    free(memory);
    if (is_open)
        document_close(&d);
    return status;
}

/* ---- one address */

static void print_class(struct buf *out, const struct document *d)
{
    struct str class = document_text(d, 0, "class"), why = document_text(d, 0, "why");
    buf_printf(out, "%.*s: %.*s", STR_ARG(class), STR_ARG(why));
    if (document_number(d, 0, "seconds_left")) {
        BUF_LIT(out, ", for another ");
        print_duration_s(out, document_number(d, 0, "seconds_left"));
    }
    buf_str(out, document_flag(d, 0, "has_rules") ? STR("; rules for its network hold too\n") : STR("\n"));
}

static void print_done(struct buf *out, const struct document *d)
{
    struct str address = document_text(d, 0, "address"), done = document_text(d, 0, "done");
    buf_printf(out, "%.*s: %.*s\n", STR_ARG(address), STR_ARG(done));
}

static enum exit_status ask_of_one(const struct cli *cli, const char *what, uint64_t seconds,
                                   void (*print)(struct buf *, const struct document *))
{
    struct filter_request r;
    struct document d;
    bool is_open;
    char memory[REQUEST_BYTES];
    struct buf out = buf_over(memory, sizeof memory);
    request_begin(&r, what);
    json_put_str(&r.w, STR("address"), str_of(cli->arguments[1]));
    if (seconds) {
        json_put_u64(&r.w, STR("seconds"), seconds);
        json_put_str(&r.w, STR("reason"), str_of(cli->reason));
    }
    enum exit_status status = request_ask(&r, cli, &d, &is_open);
    if (!is_open)
        return status;
    print(&out, &d);
    status = cli_print(buf_text(&out)) ? EXIT_FINE : EXIT_BROKEN;
    document_close(&d);
    return status;
}

static enum exit_status block(const struct cli *cli)
{
    uint64_t ms;
    if (!cli->reason || !cli->for_time || !value_duration_ms(str_of(cli->for_time), &ms) || ms < 1000) {
        cli_complain("a block has an end and a reason: polder filter block ADDRESS --for 2h --reason TEXT");
        return EXIT_USAGE;
    }
    return ask_of_one(cli, "block", ms / 1000, print_done);
}

enum exit_status command_filter(const struct cli *cli)
{
    const char *word = cli->argument_count ? cli->arguments[0] : "show";
    if (strcmp(word, "show") == 0 && cli->argument_count <= 1)
        return show(cli);
    if (strcmp(word, "class") == 0 && cli->argument_count == 2)
        return ask_of_one(cli, "class", 0, print_class);
    if (strcmp(word, "block") == 0 && cli->argument_count == 2)
        return block(cli);
    if (strcmp(word, "unblock") == 0 && cli->argument_count == 2)
        return ask_of_one(cli, "unblock", 0, print_done);
    cli_complain("usage: polder filter [show]; class ADDRESS; block ADDRESS --for TIME --reason TEXT; "
                 "unblock ADDRESS");
    return EXIT_USAGE;
}

/* ---- capture */

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool write_hex(int fd, struct str hex)
{
    char bytes[4096];
    size_t n = 0;
    for (size_t i = 0; i + 1 < hex.n; i += 2) {
        int high = digit_of(hex.p[i]), low = digit_of(hex.p[i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[n++] = (char)(high << 4 | low);
        if ((n == sizeof bytes || i + 3 >= hex.n) && write(fd, bytes, n) != (ssize_t)n)
            return false;
        n = n == sizeof bytes ? 0 : n;
    }
    return true;
}

/* What was kept since `from`; what comes next in it. */
static enum exit_status capture_step(const struct cli *cli, int fd, uint64_t *from, uint64_t *missed)
{
    struct filter_request r;
    struct document d;
    request_begin(&r, "capture");
    json_put_u64(&r.w, STR("from"), *from);
    if (!request_end(&r))
        return EXIT_USAGE;
    enum exit_status status = gate_ask_document(cli, r.memory, TIMEOUT_S, false, &d);
    if (status != EXIT_FINE)
        return status;
    *from = document_number(&d, 0, "next");
    *missed += document_number(&d, 0, "missed");
    if (!write_hex(fd, document_text(&d, 0, "pcapng"))) {
        cli_complain("%s cannot be written: %s", cli->out, strerror(errno));
        status = EXIT_BROKEN;
    }
    document_close(&d);
    return status;
}

static enum exit_status capture_into(const struct cli *cli, int fd, uint64_t for_ms)
{
    const struct timespec pause = {.tv_nsec = CAPTURE_STEP_MS * 1'000'000L};
    uint64_t from = 0, missed = 0;
    enum exit_status status = capture_step(cli, fd, &from, &missed);
    for (uint64_t gone = 0; status == EXIT_FINE && gone < for_ms; gone += CAPTURE_STEP_MS) {
        nanosleep(&pause, NULL);
        status = capture_step(cli, fd, &from, &missed);
    }
    if (missed)
        cli_complain("%llu packets came faster than they were fetched and are not in the file",
                     (unsigned long long)missed);
    return status;
}

enum exit_status command_capture(const struct cli *cli)
{
    uint64_t for_ms = 0;
    if (!cli->out || cli->argument_count ||
        (cli->for_time && !value_duration_ms(str_of(cli->for_time), &for_ms))) {
        cli_complain("usage: polder capture --out FILE [--for TIME]");
        return EXIT_USAGE;
    }
    /* Packets hold what patients sent: for nobody else's eyes, and never over what is there. */
    int fd = open(cli->out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        cli_complain("%s cannot be made: %s", cli->out, strerror(errno));
        return EXIT_BROKEN;
    }
    enum exit_status status = capture_into(cli, fd, for_ms);
    if (close(fd) < 0 && status == EXIT_FINE)
        status = EXIT_BROKEN;
    return status;
}
