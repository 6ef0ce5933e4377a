/* cli/waf_setup.c - the rules of a configuration without a gate: read and compiled as a worker would, for one
 * cluster. Requests from files. */
#include "cli/waf.h"

#include "base/unconst.h"
#include "proxy/inspect_rules.h"
#include "tls/context.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ARENA_BYTES = 64 << 20, PROBLEMS_BYTES = 64 << 10, REQUEST_MAX = 16 << 20, READ_STEP = 1 << 16 };

static const char default_config[] = "/etc/polder/polder.yaml";

/* ---- the cluster */

static bool serves(const struct config_cluster *c, struct str host)
{
    for (unsigned i = 0; i < c->host_count; i++) {
        struct str pattern = c->hosts[i];
        bool is_suffix = str_starts(pattern, STR("*."));
        if (str_eq_nocase(pattern, host) || str_eq(pattern, STR("*")) ||
            (is_suffix && host.n > pattern.n - 1 &&
             str_eq_nocase(str_skip(host, host.n - (pattern.n - 1)), str_skip(pattern, 1))))
            return true;
    }
    return false;
}

static const struct config_cluster *choose(const struct config *config, const struct cli *cli,
                                           struct str host)
{
    struct str name = str_cut(&host, ':');
    for (unsigned i = 0; i < config->cluster_count; i++) {
        const struct config_cluster *c = &config->clusters[i];
        if (cli->cluster ? str_eq(c->name, str_of(cli->cluster))
                         : config->cluster_count == 1 || serves(c, name))
            return c;
    }
    if (cli->cluster)
        cli_complain("there is no cluster '%s' in the configuration", cli->cluster);
    else
        cli_complain("no cluster serves the host '%.*s'; choose one with --cluster", STR_ARG(name));
    return NULL;
}

static bool set_paranoia(struct waf_setup *s, const struct cli *cli)
{
    uint64_t level;
    if (!cli->paranoia)
        return true;
    if (!str_parse_u64(str_of(cli->paranoia), &level) || level < 1 || level > 4) {
        cli_complain("--paranoia is a level from 1 to 4, not '%s'", cli->paranoia);
        return false;
    }
    s->cluster.waf.paranoia = (uint32_t)level;
    return true;
}

/* ---- the configuration and its rules */

static bool read_config(struct waf_setup *s, const char *path, struct config_files *ret_files)
{
    struct config_problem *problems;
    struct str yaml, error;
    unsigned count;
    if (!config_disk_open(s->disk, &yaml, &error)) {
        cli_complain("cannot read %s: %.*s", path, STR_ARG(error));
        return false;
    }
    *ret_files = config_disk_files(s->disk);
    s->config = config_parse(str_of(path), yaml, ret_files, s->arena, &problems, &count);
    if (!s->config)
        cli_complain("the configuration %s cannot be used; `polder check %s` says why", path, path);
    else if (!s->config->waf.is_set)
        cli_complain("the configuration %s has no section 'waf': nothing is inspected", path);
    return s->config && s->config->waf.is_set;
}

static void complain_of_rules(const struct waf_problems *problems, struct arena *arena)
{
    struct str text = inspect_problem_text(problems, arena);
    cli_complain("%.*s", STR_ARG(text));
}

enum exit_status waf_setup_open(struct waf_setup *s, const struct cli *cli, struct str host)
{
    const char *path = cli->config ? cli->config : default_config;
    const struct config_cluster *chosen = NULL;
    struct waf_problems problems;
    struct config_files files;
    *s = (struct waf_setup){.arena = arena_new(ARENA_BYTES), .disk = config_disk_new(str_of(path))};
    bool is_ready = s->arena && s->disk && tls_init() == 0;
    if (!is_ready)
        cli_complain("out of memory");
    if (is_ready && read_config(s, path, &files)) {
        s->rules = inspect_rules_load(s->config, &files, NULL, &problems);
        if (!s->rules)
            complain_of_rules(&problems, s->arena);
        chosen = s->rules ? choose(s->config, cli, host) : NULL;
    }
    if (chosen) {
        const struct config_limits *l = &s->config->listeners[0].limits;
        s->cluster = *chosen;
        s->limits = (struct h1_limits){l->header_bytes, l->header_count, l->target_bytes,
                                       l->underscores == UNDERSCORE_KEEP};
    }
    if (chosen && set_paranoia(s, cli))
        return EXIT_FINE;
    waf_setup_close(s);
    return EXIT_PROBLEMS;
}

void waf_setup_close(struct waf_setup *s)
{
    inspect_rules_unref(s->rules);
    config_free(s->config);
    config_disk_free(s->disk);
    arena_free(s->arena);
    *s = (struct waf_setup){0};
}

struct waf_overlay *waf_setup_overlay(const struct waf_setup *s, struct str more)
{
    struct config_cluster cluster = s->cluster;
    struct waf_problems problems;
    cluster.waf.exclusions =
        arena_printf(s->arena, "%.*s\n%.*s\n", STR_ARG(s->cluster.waf.exclusions), STR_ARG(more));
    struct waf_overlay *overlay = inspect_overlay_new(s->rules, &cluster, WAF_MODE_BLOCK, &problems);
    if (!overlay)
        complain_of_rules(&problems, s->arena);
    return overlay;
}

/* ---- requests */

static bool read_all(int fd, const char *path, struct buf *into)
{
    for (;;) {
        if (into->cap - into->n < READ_STEP) {
            char *more = into->cap < REQUEST_MAX ? realloc(into->p, into->cap * 2) : NULL;
            if (!more) {
                cli_complain("%s is larger than 16 MiB", path);
                return false;
            }
            into->p = more;
            into->cap *= 2;
        }
        ssize_t n = read(fd, into->p + into->n, into->cap - into->n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            cli_complain("cannot read %s: %s", path, strerror(errno));
        if (n <= 0)
            return n == 0;
        into->n += (size_t)n;
    }
}

/* A head as an editor writes it: its lines get CR LF. The body stays. */
static bool has_bare_lines(struct str raw)
{
    ptrdiff_t at = str_find_char(raw, '\n');
    return at == 0 || (at > 0 && raw.p[at - 1] != '\r');
}

static bool mend_lines(struct str raw, struct str *ret)
{
    size_t lines = 1;
    for (size_t i = 0; i < raw.n; i++)
        lines += raw.p[i] == '\n';
    char *memory = malloc(raw.n + 2 * lines + 4);
    struct buf out = buf_over(memory, memory ? raw.n + 2 * lines + 4 : 0);
    bool is_head = true, had_end = false;
    for (size_t i = 0; memory && i < raw.n; i++) {
        if (is_head && raw.p[i] == '\n')
            buf_char(&out, '\r');
        buf_char(&out, raw.p[i]);
        had_end = had_end || (is_head && raw.p[i] == '\n' && i > 0 && raw.p[i - 1] == '\n');
        is_head = !had_end;
    }
    if (memory && !had_end)
        buf_str(&out, str_ends(raw, STR("\n")) ? STR("\r\n") : STR("\r\n\r\n"));
    *ret = buf_text(&out);
    return memory != NULL;
}

bool waf_request_read(const char *path, struct str *ret_raw)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct buf text = buf_over(malloc(2 * READ_STEP), 2 * READ_STEP);
    if (fd < 0)
        cli_complain("cannot read %s: %s", path, strerror(errno));
    bool is_read = text.p && fd >= 0 && read_all(fd, path, &text);
    if (fd >= 0 && !is_stdin)
        close(fd);
    *ret_raw = buf_text(&text);
    if (!is_read || !has_bare_lines(*ret_raw)) {
        if (!is_read)
            free(text.p);
        return is_read;
    }
    is_read = mend_lines(buf_text(&text), ret_raw);
    free(text.p);
    return is_read;
}

struct str waf_host_of(struct str raw)
{
    while (raw.n) {
        struct str line = str_cut(&raw, '\n'), name = str_cut(&line, ':');
        if (str_eq_nocase(name, STR("Host"))) {
            while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' '))
                line.n--;
            return str_trim(line);
        }
        if (name.n <= 1)
            break;
    }
    return STR("");
}
