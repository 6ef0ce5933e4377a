/* cli/check.c - `polder check` and `polder schema`: the configuration, read as the gate would read it. */
#include "base/must.h"
#include "cli/cli.h"
#include "config/config.h"
#include "proxy/inspect_rules.h"
#include "tls/context.h"
#include "tls/signer.h"
#include "json/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PROBLEMS_BYTES = 4 << 20, EXTRA_MAX = 256, KEY_MAX = 1 << 16, RULE_PROBLEMS_BYTES = 64 << 10 };

/* A run of `polder check`: what config_parse found, and after it what only OpenSSL can tell. */
struct check {
    struct arena *arena;
    struct config_disk *disk;
    struct config *config;
    struct str path, yaml;
    struct config_problem *problems;
    unsigned count;
    struct config_problem extra[EXTRA_MAX];
    unsigned extra_count;
};

static void add_problem(struct check *c, bool is_warning, struct str text, struct str hint)
{
    if (c->extra_count < EXTRA_MAX)
        c->extra[c->extra_count++] =
            (struct config_problem){.is_warning = is_warning, .text = text, .hint = hint};
}

/* ---- certificates and their keys */

/* Reads a key file into memory; negative errno. The memory must be wiped. */
static ssize_t read_key(const char *path, char memory[KEY_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, memory, KEY_MAX);
    int error = errno;
    close(fd);
    return n < 0 ? -error : n;
}

static void compare_key(struct check *c, const struct config_certificate *cert, struct str pem)
{
    uint8_t of_key[32], of_chain[32];
    struct str error;
    struct keyring *keys = keyring_new();
    if (!keys)
        return;
    if (!keyring_add(keys, 1, pem, of_key, c->arena, &error))
        add_problem(c, false,
                    arena_printf(c->arena, "the private key %.*s of certificate '%.*s' cannot be used: %.*s",
                                 STR_ARG(cert->key_path), STR_ARG(cert->name), STR_ARG(error)),
                    STR(""));
    else if (tls_public_sha256(cert->chain_pem, of_chain) && memcmp(of_key, of_chain, sizeof of_key) != 0)
        add_problem(c, false,
                    arena_printf(c->arena,
                                 "the private key %.*s does not belong to the certificate '%.*s' (%.*s)",
                                 STR_ARG(cert->key_path), STR_ARG(cert->name), STR_ARG(cert->chain_path)),
                    STR("the first certificate of the chain must be the server's own"));
    keyring_free(keys);
}

static void check_key(struct check *c, const struct config_certificate *cert)
{
    static char pem[KEY_MAX];
    char *path = arena_copy_z(c->arena, config_disk_resolve(c->disk, cert->key_path));
    ssize_t n = path ? read_key(path, pem) : -ENOMEM;
    if (n == -EACCES)
        add_problem(c, true,
                    arena_printf(c->arena,
                                 "this user may not read %s: the key was not compared with its certificate",
                                 path),
                    STR("run polder check as root to have keys checked too"));
    else if (n < 0)
        add_problem(c, false,
                    arena_printf(c->arena, "the private key %.*s of certificate '%.*s' cannot be read: %s",
                                 STR_ARG(cert->key_path), STR_ARG(cert->name), strerror((int)-n)),
                    STR(""));
    else
        compare_key(c, cert, (struct str){pem, (size_t)n});
    explicit_bzero(pem, sizeof pem);
}

static void check_certificates(struct check *c)
{
    for (unsigned i = 0; i < c->config->certificate_count; i++) {
        const struct config_certificate *cert = &c->config->certificates[i];
        struct str error = STR(""), warning = STR("");
        bool is_usable = tls_check_certificate(cert->chain_pem, time(NULL), c->arena, &error, &warning);
        if (!is_usable || warning.n)
            add_problem(c, is_usable,
                        arena_printf(c->arena, "certificate '%.*s' (%.*s): %.*s", STR_ARG(cert->name),
                                     STR_ARG(cert->chain_path), STR_ARG(is_usable ? warning : error)),
                        STR(""));
        if (is_usable)
            check_key(c, cert);
    }
}

/* ---- the rules of the firewall */

static void check_rules(struct check *c, const struct config_files *files)
{
    struct buf problems = buf_over(arena_bytes(c->arena, RULE_PROBLEMS_BYTES), RULE_PROBLEMS_BYTES);
    if (!problems.p || inspect_check(c->config, files, &problems, NULL))
        return;
    for (struct str rest = buf_text(&problems); rest.n;)
        add_problem(c, false, str_cut(&rest, '\n'), STR(""));
}

/* ---- the report */

static bool is_fine(const struct check *c)
{
    for (unsigned i = 0; i < c->extra_count; i++)
        if (!c->extra[i].is_warning)
            return false;
    return c->config != NULL;
}

static void write_problem(struct json_writer *w, const struct config_problem *p)
{
    json_object_begin(w);
    json_put_str(w, STR("level"), p->is_warning ? STR("warning") : STR("error"));
    json_put_u64(w, STR("line"), p->line);
    json_put_u64(w, STR("column"), p->column);
    json_put_str(w, STR("text"), p->text);
    json_put_str(w, STR("hint"), p->hint);
    json_object_end(w);
}

static void write_json(const struct check *c, struct buf *out)
{
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    json_put_str(&w, STR("file"), c->path);
    json_put_bool(&w, STR("ok"), is_fine(c));
    json_put_array(&w, STR("problems"));
    for (unsigned i = 0; i < c->count; i++)
        write_problem(&w, &c->problems[i]);
    for (unsigned i = 0; i < c->extra_count; i++)
        write_problem(&w, &c->extra[i]);
    json_array_end(&w);
    json_object_end(&w);
    buf_char(out, '\n');
}

static void write_text(const struct check *c, struct buf *out, bool color)
{
    config_problems_print(out, c->path, c->yaml, c->problems, c->count, color);
    config_problems_print(out, c->path, c->yaml, c->extra, c->extra_count, color);
    if (!is_fine(c))
        return;
    must(c->config);
    print_safe(out, c->path);
    buf_printf(out, ": can be used (listeners %u, clusters %u, upstreams %u, certificates %u",
               c->config->listener_count, c->config->cluster_count, c->config->upstream_count,
               c->config->certificate_count);
    if (c->config->records.is_set)
        buf_printf(out, "; records: listeners %u, clusters %u", c->config->records.listener_count,
                   c->config->records.cluster_count);
    BUF_LIT(out, ")\n");
}

static enum exit_status report(const struct check *c, const struct cli *cli)
{
    char *memory = malloc(PROBLEMS_BYTES);
    struct buf out = buf_over(memory, memory ? PROBLEMS_BYTES : 0);
    enum exit_status status = is_fine(c) ? EXIT_FINE : EXIT_PROBLEMS;
    if (cli->json)
        write_json(c, &out);
    else
        write_text(c, &out, cli->color);
    if (buf_overflowed(&out)) {
        cli_complain("there are too many problems to show them all");
        status = EXIT_PROBLEMS;
    }
    if (!cli_print(buf_text(&out)))
        status = EXIT_BROKEN;
    free(memory);
    return status;
}

static enum exit_status run(struct check *c, const struct cli *cli)
{
    struct str error;
    if (!c->arena || !c->disk || tls_init() != 0) {
        cli_complain("out of memory");
        return EXIT_BROKEN;
    }
    if (!config_disk_open(c->disk, &c->yaml, &error)) {
        cli_complain("cannot read %.*s: %.*s", STR_ARG(c->path), STR_ARG(error));
        return EXIT_PROBLEMS;
    }
    struct config_files files = config_disk_files(c->disk);
    c->config = config_parse(c->path, c->yaml, &files, c->arena, &c->problems, &c->count);
    if (c->config) {
        check_certificates(c);
        check_rules(c, &files);
    }
    return report(c, cli);
}

enum exit_status command_check(const struct cli *cli)
{
    static struct check c;
    c.path = str_of(cli->arguments[0]);
    c.arena = arena_new(PROBLEMS_BYTES);
    c.disk = config_disk_new(c.path);
    enum exit_status status = run(&c, cli);
    config_free(c.config);
    config_disk_free(c.disk);
    arena_free(c.arena);
    return status;
}

enum exit_status command_schema(const struct cli *cli)
{
    static char memory[CONFIG_TEXT_BYTES];
    struct buf out = buf_over(memory, sizeof memory);
    (void)cli;
    config_schema_write(&out);
    return !buf_overflowed(&out) && cli_print(buf_text(&out)) ? EXIT_FINE : EXIT_BROKEN;
}
