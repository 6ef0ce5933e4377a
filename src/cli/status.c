/* cli/status.c - `polder status`: the gate's answer as a page of text. */
#include "cli/cli.h"

#include <stdlib.h>

enum { TIMEOUT_S = 10, PAGE_BYTES = 4 << 20 };

struct page {
    const struct document *d;
    struct buf out;
    bool color;
};

static void heading(struct page *p, const char *text)
{
    buf_printf(&p->out, p->color ? "\n\x1b[1m%s\x1b[0m\n" : "\n%s\n", text);
}

/* ---- the head */

static void print_config(struct page *p)
{
    const struct document *d = p->d;
    uint32_t config = json_get(&d->tape, 0, STR("config"));
    struct str error = document_text(d, config, "last_error");
    BUF_LIT(&p->out, "polder-gate ");
    print_safe(&p->out, document_text(d, 0, "version"));
    BUF_LIT(&p->out, "\nconfiguration ");
    buf_u64(&p->out, document_number(d, config, "generation"));
    BUF_LIT(&p->out, "  ");
    print_safe(&p->out, document_text(d, config, "path"));
    BUF_LIT(&p->out, "  digest ");
    print_safe(&p->out, str_take(document_text(d, config, "digest"), 16));
    BUF_LIT(&p->out, "  since ");
    print_safe(&p->out, document_text(d, config, "since"));
    buf_char(&p->out, '\n');
    if (error.n) {
        buf_str(&p->out, p->color ? STR("\x1b[31m") : STR(""));
        BUF_LIT(&p->out, "a newer configuration was refused:\n");
        for (struct str rest = error; rest.n;) {
            BUF_LIT(&p->out, "  ");
            print_safe(&p->out, str_cut(&rest, '\n'));
            buf_char(&p->out, '\n');
        }
        buf_str(&p->out, p->color ? STR("\x1b[0m") : STR(""));
    }
}

static void print_totals(struct page *p)
{
    uint32_t totals = json_get(&p->d->tape, 0, STR("totals"));
    static const struct {
        const char *name, *label;
    } shown[] = {{"connections_open", "connections "},
                 {"requests_active", ", requests under way "},
                 {"tunnels_open", ", tunnels "},
                 {"requests_total", ", requests answered "},
                 {"upstream_errors_total", ", upstream errors "}};
    for (unsigned i = 0; i < sizeof shown / sizeof *shown; i++) {
        buf_str(&p->out, str_of(shown[i].label));
        print_count(&p->out, document_number(p->d, totals, shown[i].name));
    }
    buf_char(&p->out, '\n');
}

/* ---- processes */

static void uptime_cell(struct table *t, uint64_t seconds)
{
    char memory[32];
    struct buf text = buf_over(memory, sizeof memory);
    print_duration_s(&text, seconds);
    table_text(t, buf_text(&text));
}

static void count_cell(struct table *t, uint64_t n)
{
    char memory[32];
    struct buf text = buf_over(memory, sizeof memory);
    print_count(&text, n);
    table_text(t, buf_text(&text));
}

static void walls_cell(const struct document *d, uint32_t role, struct table *t)
{
    uint32_t standing, missing;
    document_list(d, role, "walls", &standing);
    document_list(d, role, "missing_walls", &missing);
    if (standing + missing == 0)
        table_text(t, STR("-"));
    else
        table_printf(t, "%u of %u", standing, standing + missing);
}

static void print_roles(struct page *p)
{
    static const char *const heads[] = {"PROCESS",   ">PID",  "STATE",  ">UPTIME",
                                        ">RESTARTS", "WALLS", "DETAIL", NULL};
    const struct document *d = p->d;
    struct table t;
    uint32_t count, role = document_list(d, 0, "roles", &count);
    table_begin(&t, d->arena, heads);
    for (; count > 0; count--, role = json_next(&d->tape, role)) {
        table_role(&t, document_text(d, role, "role"), document_number(d, role, "slot"));
        table_printf(&t, "%llu", (unsigned long long)document_number(d, role, "pid"));
        table_text(&t, document_text(d, role, "state"));
        uptime_cell(&t, document_number(d, role, "uptime_s"));
        count_cell(&t, document_number(d, role, "restarts"));
        walls_cell(d, role, &t);
        table_text(&t, document_text(d, role, "detail"));
    }
    heading(p, "Processes");
    table_print(&t, &p->out, p->color);
}

/* A wall is named once, with the processes that lack it: mostly all do, for the same reason. */
struct missing_wall {
    struct str wall, reason, processes;
};

static void note_missing(struct page *p, struct missing_wall *walls, unsigned max, unsigned *count,
                         struct str process, uint32_t entry)
{
    struct str wall = document_text(p->d, entry, "wall"), reason = document_text(p->d, entry, "reason");
    unsigned i = 0;
    while (i < *count && !(str_eq(walls[i].wall, wall) && str_eq(walls[i].reason, reason)))
        i++;
    if (i == max)
        return;
    if (i == *count)
        walls[(*count)++] = (struct missing_wall){wall, reason, process};
    else if (!str_ends(walls[i].processes, process)) /* workers come one after the other */
        walls[i].processes =
            arena_printf(p->d->arena, "%.*s, %.*s", STR_ARG(walls[i].processes), STR_ARG(process));
}

static void print_missing_walls(struct page *p)
{
    enum { WALLS_MAX = 64 };
    struct missing_wall walls[WALLS_MAX];
    unsigned found = 0;
    const struct document *d = p->d;
    uint32_t count, role = document_list(d, 0, "roles", &count);
    for (; count > 0; count--, role = json_next(&d->tape, role)) {
        uint32_t left, entry = document_list(d, role, "missing_walls", &left);
        for (; left > 0; left--, entry = json_next(&d->tape, entry))
            note_missing(p, walls, WALLS_MAX, &found, document_text(d, role, "role"), entry);
    }
    if (found == 0)
        return;
    heading(p, "Walls that do not stand");
    for (unsigned i = 0; i < found; i++) {
        BUF_LIT(&p->out, "  ");
        print_safe(&p->out, walls[i].wall);
        BUF_LIT(&p->out, " (");
        print_safe(&p->out, walls[i].processes);
        BUF_LIT(&p->out, "): ");
        print_safe(&p->out, walls[i].reason.n ? walls[i].reason : STR("left out"));
        buf_char(&p->out, '\n');
    }
}

/* ---- the firewall */

static void print_waf(struct page *p)
{
    const struct document *d = p->d;
    uint32_t waf = json_get(&d->tape, 0, STR("waf"));
    uint32_t patches = waf == JSON_NONE ? JSON_NONE : json_get(&d->tape, waf, STR("patches"));
    static const char *const states[] = {"effective", "not_effective", "cannot_tell", "not_tested"};
    uint64_t counts[4], total = 0;
    if (waf != JSON_NONE && !document_flag(d, waf, "configured")) {
        heading(p, "Firewall");
        BUF_LIT(&p->out, "  off: the configuration has no `waf`, so no request is looked at\n");
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        counts[i] = patches == JSON_NONE ? 0 : document_number(d, patches, states[i]);
        total += counts[i];
    }
    if (total == 0 && document_number(d, waf, "records") == 0)
        return;
    heading(p, "Firewall");
    buf_printf(&p->out, "  records %llu", (unsigned long long)document_number(d, waf, "records"));
    if (total)
        buf_printf(&p->out,
                   "; virtual patches, over all clusters: %llu effective, %llu not, of %llu nobody can tell",
                   (unsigned long long)counts[0], (unsigned long long)counts[1],
                   (unsigned long long)(counts[2] + counts[3]));
    if (document_flag(d, waf, "excerpts_clear"))
        BUF_LIT(&p->out, "\n  excerpts of requests are in clear: records may hold patients' data");
    buf_char(&p->out, '\n');
}

/* ---- what the configuration names */

static void print_listeners(struct page *p)
{
    static const char *const heads[] = {"LISTENER", "ADDRESS", "SPEAKS", NULL};
    const struct document *d = p->d;
    struct table t;
    uint32_t count, l = document_list(d, 0, "listeners", &count);
    table_begin(&t, d->arena, heads);
    for (; count > 0; count--, l = json_next(&d->tape, l)) {
        bool tls = document_flag(d, l, "tls");
        table_text(&t, document_text(d, l, "name"));
        table_text(&t, document_text(d, l, "address"));
        table_printf(&t, "%s%s%s%s%s", document_flag(d, l, "proxy_protocol") ? "PROXY protocol, " : "",
                     tls ? (document_flag(d, l, "tls12") ? "TLS 1.3 and 1.2, " : "TLS 1.3, ")
                         : "clear text, ",
                     "HTTP/1.1", document_flag(d, l, "http2") ? " and HTTP/2" : "",
                     document_flag(d, l, "redirects") ? ", redirects to https" : "");
    }
    heading(p, "Listeners");
    table_print(&t, &p->out, p->color);
}

static struct str joined(const struct document *d, uint32_t object, const char *name)
{
    uint32_t count, item = document_list(d, object, name, &count);
    struct str text = STR("");
    for (; count > 0; count--, item = json_next(&d->tape, item)) {
        struct str one = json_string(&d->tape, item, d->arena);
        text = text.n ? arena_printf(d->arena, "%.*s %.*s", STR_ARG(text), STR_ARG(one)) : one;
    }
    return text;
}

static void duration_cell(struct table *t, uint64_t us)
{
    char memory[32];
    struct buf text = buf_over(memory, sizeof memory);
    print_duration_us(&text, us);
    table_text(t, us ? buf_text(&text) : STR("-"));
}

static void print_clusters(struct page *p)
{
    static const char *const heads[] = {"CLUSTER", "HOSTS", ">REQUESTS", ">5XX", ">P50", ">P99", NULL};
    const struct document *d = p->d;
    struct table t;
    uint32_t count, c = document_list(d, 0, "clusters", &count);
    table_begin(&t, d->arena, heads);
    for (; count > 0; count--, c = json_next(&d->tape, c)) {
        uint32_t classes, status = document_list(d, c, "status", &classes);
        uint64_t failed = 0;
        if (classes == 6)
            json_get_u64(&d->tape, status + 5, &failed);
        table_text(&t, document_text(d, c, "name"));
        table_text(&t, joined(d, c, "hosts"));
        count_cell(&t, document_number(d, c, "requests"));
        count_cell(&t, failed);
        duration_cell(&t, document_number(d, c, "p50_us"));
        duration_cell(&t, document_number(d, c, "p99_us"));
    }
    heading(p, "Clusters (since the start)");
    table_print(&t, &p->out, p->color);
}

static void print_endpoints(struct page *p)
{
    static const char *const heads[] = {"UPSTREAM",     "ENDPOINT",  "ADDRESS",   "HEALTH", ">ACTIVE",
                                        ">CONNECTIONS", ">REQUESTS", ">FAILURES", NULL};
    const struct document *d = p->d;
    struct table t;
    uint32_t count, e = document_list(d, 0, "endpoints", &count);
    table_begin(&t, d->arena, heads);
    for (; count > 0; count--, e = json_next(&d->tape, e)) {
        struct str host = document_text(d, e, "host"), address = document_text(d, e, "address");
        table_text(&t, document_text(d, e, "upstream"));
        table_printf(&t, "%.*s:%llu", STR_ARG(host), (unsigned long long)document_number(d, e, "port"));
        table_text(&t, address.n ? address : STR("not resolved"));
        table_text(&t, document_text(d, e, "health"));
        count_cell(&t, document_number(d, e, "active"));
        count_cell(&t, document_number(d, e, "connections"));
        count_cell(&t, document_number(d, e, "requests"));
        count_cell(&t, document_number(d, e, "failures"));
    }
    heading(p, "Upstreams");
    table_print(&t, &p->out, p->color);
}

static void print_certificates(struct page *p)
{
    static const char *const heads[] = {"CERTIFICATE", ">DAYS LEFT", "ENDS", NULL};
    const struct document *d = p->d;
    struct table t;
    uint32_t count, c = document_list(d, 0, "certificates", &count);
    if (count == 0)
        return;
    table_begin(&t, d->arena, heads);
    for (; count > 0; count--, c = json_next(&d->tape, c)) {
        struct str end = document_text(d, c, "not_after");
        table_text(&t, document_text(d, c, "name"));
        if (end.n)
            table_printf(&t, "%lld", (long long)document_integer(d, c, "days_left"));
        else
            table_text(&t, STR("?"));
        table_text(&t, end.n ? str_take(end, 19) : STR("cannot be read"));
    }
    heading(p, "Certificates");
    table_print(&t, &p->out, p->color);
}

static void print_page(struct page *p)
{
    print_config(p);
    print_totals(p);
    print_isolation(&p->out, p->d, p->color);
    print_packets(&p->out, p->d);
    print_roles(p);
    print_missing_walls(p);
    print_listeners(p);
    print_clusters(p);
    print_endpoints(p);
    print_certificates(p);
    print_waf(p);
}

static enum exit_status show(const struct cli *cli, const struct document *d)
{
    char *memory = malloc(PAGE_BYTES);
    struct page page = {d, buf_over(memory, memory ? PAGE_BYTES : 0), cli->color};
    enum exit_status status = EXIT_FINE;
    print_page(&page);
    if (buf_overflowed(&page.out))
        cli_complain("the page is too long and was cut; --json has all of it");
    if (!cli_print(buf_text(&page.out)))
        status = EXIT_BROKEN;
    free(memory);
    return status;
}

enum exit_status command_status(const struct cli *cli)
{
    struct document d;
    enum exit_status status = gate_ask_document(cli, "status", TIMEOUT_S, false, &d);
    if (status != EXIT_FINE)
        return status;
    if (cli->json)
        status = cli_print(d.tape.text) ? EXIT_FINE : EXIT_BROKEN;
    else
        status = show(cli, &d);
    document_close(&d);
    return status;
}
