/* cli/records.c - `polder records`: which of its parts is meant; the cluster and its store. */
#include "cli/records.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARENA_BYTES = 128 << 20 };

static const char default_config[] = "/etc/polder/polder.yaml";

static const struct {
    const char *name, *arguments;
    unsigned least, most;
    enum exit_status (*run)(const struct cli *);
    const char *help;
} parts[] = {
#define RECORDS_COMMAND(name, arguments, least, most, function, help)                                        \
    {name, arguments, least, most, function, help},
#include "cli/records_commands.def"
#undef RECORDS_COMMAND
};
enum { PARTS = sizeof parts / sizeof *parts };

enum exit_status command_records(const struct cli *cli)
{
    struct cli rest = *cli;
    for (unsigned i = 0; i < PARTS; i++) {
        if (cli->argument_count == 0 || strcmp(parts[i].name, cli->arguments[0]) != 0)
            continue;
        rest.arguments++;
        rest.argument_count--;
        umask(0077); /* what is written here are patients' records */
        if (rest.argument_count >= parts[i].least && rest.argument_count <= parts[i].most)
            return parts[i].run(&rest);
        cli_complain("usage: polder records %s %s", parts[i].name, parts[i].arguments);
        return EXIT_USAGE;
    }
    cli_complain("polder records knows:");
    for (unsigned i = 0; i < PARTS; i++)
        cli_complain("polder records %s %s\n            %s", parts[i].name, parts[i].arguments,
                     parts[i].help);
    return EXIT_USAGE;
}

/* ---- the configuration */

static enum exit_status choose_cluster(struct records_place *p, const char *name, bool may_be_all)
{
    const struct config_records *r = &p->config->records;
    for (unsigned i = 0; i < r->cluster_count; i++) {
        if (name ? !str_eq(r->clusters[i].name, str_of(name)) : r->cluster_count > 1 || may_be_all)
            continue;
        p->cluster = &r->clusters[i];
        return EXIT_FINE;
    }
    if (!name && may_be_all)
        return EXIT_FINE;
    char memory[512];
    struct buf known = buf_over(memory, sizeof memory);
    for (unsigned i = 0; i < r->cluster_count; i++)
        buf_printf(&known, "%s%.*s", i ? ", " : "", STR_ARG(r->clusters[i].name));
    cli_complain("%s%s%s; the records know: %.*s",
                 name ? "there is no cluster '" : "say which cluster with --cluster", name ? name : "",
                 name ? "'" : "", STR_ARG(buf_text(&known)));
    return EXIT_USAGE;
}

enum exit_status records_place_open(struct records_place *p, const struct cli *cli, bool may_be_all)
{
    const char *path = cli->config ? cli->config : default_config;
    struct config_problem *problems;
    struct str yaml, error;
    unsigned count;
    *p = (struct records_place){.arena = arena_new(ARENA_BYTES), .disk = config_disk_new(str_of(path))};
    if (!p->arena || !p->disk) {
        cli_complain("out of memory");
        return EXIT_PROBLEMS;
    }
    if (!config_disk_open(p->disk, &yaml, &error)) {
        cli_complain("cannot read %s: %.*s%s", path, STR_ARG(error),
                     cli->config ? "" : "; name the configuration of the records with --config");
        return EXIT_PROBLEMS;
    }
    struct config_files files = config_disk_files(p->disk);
    p->config = config_parse(str_of(path), yaml, &files, p->arena, &problems, &count);
    if (p->config && p->config->records.is_set)
        return choose_cluster(p, cli->cluster, may_be_all);
    if (p->config)
        cli_complain("the configuration %s describes no record service (section 'records')", path);
    else
        cli_complain("the configuration %s cannot be used; `polder check %s` says why", path, path);
    return EXIT_PROBLEMS;
}

void records_place_close(struct records_place *p)
{
    config_free(p->config);
    config_disk_free(p->disk);
    arena_free(p->arena);
    *p = (struct records_place){0};
}

/* ---- files */

static struct str without_nul(struct str s)
{
    return str_take(s, s.n ? s.n - 1 : 0);
}

struct str records_location_of(const struct records_place *p, const struct config_records_cluster *c)
{
    return c->store.n ? c->store : records_folder_of(p, c);
}

struct str records_folder_of(const struct records_place *p, const struct config_records_cluster *c)
{
    struct str data = p->config->records.data_directory;
    return without_nul(arena_printf(p->arena, "%.*s/%.*s%c", STR_ARG(data), STR_ARG(c->name), 0));
}

struct str records_file_in(const struct records_place *p, struct str folder, const char *name)
{
    return without_nul(arena_printf(p->arena, "%.*s/%s%c", STR_ARG(folder), name, 0));
}

int records_lock(const struct records_place *p)
{
    struct str path = records_file_in(p, p->config->records.data_directory, "lock");
    int fd = open(path.p, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0 && errno == EWOULDBLOCK)
        cli_complain(
            "polder-records runs and has these records open: stop it first (systemctl stop polder-records), "
            "then try again");
    else
        cli_complain("cannot use %s: %s", path.p, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The user that the roles of the records take; see polder-records(8). */
static uid_t user_of_service(const struct records_place *p)
{
    struct str user = p->config->records.user;
    struct str name = arena_printf(p->arena, "%.*s-records%c", STR_ARG(user), 0);
    const struct passwd *known = name.p ? getpwnam(name.p) : NULL;
    return known ? known->pw_uid : RECORDS_UID;
}

bool records_give_to_service(const struct records_place *p, struct str folder)
{
    if (geteuid() != 0)
        return true;
    uid_t uid = user_of_service(p);
    struct str file = records_file_in(p, folder, "records.db");
    bool has_file = !p->cluster->store.n;
    if (lchown(folder.p, uid, uid) == 0 && chmod(folder.p, 0711) == 0 &&
        (!has_file || lchown(file.p, uid, uid) == 0))
        return true;
    cli_complain("%s cannot be given to the user of the service: %s", folder.p, strerror(errno));
    return false;
}

/* ---- the store */

bool records_options(struct records_place *p, enum store_role role, struct store_options *ret)
{
    if (!p->indexer)
        p->indexer = fhir_indexer_new(FHIR_INDEX_BY_TREE, p->arena);
    if (!p->indexer) {
        cli_complain("out of memory");
        return false;
    }
    *ret = (struct store_options){.role = role, .cluster = p->cluster->name, .indexer = p->indexer};
    return true;
}

static const char *advice(enum store_result result)
{
    switch (result) {
    case STORE_BUSY:
        return ". polder-records has it open: stop it first (systemctl stop polder-records)";
    case STORE_OLD_INDEX:
        return ". Stop polder-records and make them anew with `polder records reindex`";
    case STORE_CORRUPT:
        return ". `polder records verify` names what is damaged; a backup is put back with `polder records "
               "restore`";
    case STORE_NO_SPACE:
        return ". Make room and try again; nothing was changed";
    default:
        return "";
    }
}

enum exit_status records_complain(const struct records_place *p, const char *verb, enum store_result result,
                                  const struct store *store)
{
    struct str why = store_result_text(result), problem = store ? store_problem(store) : STR_NONE;
    cli_complain("the records of %.*s cannot be %s: %.*s%s%.*s%s", STR_ARG(p->cluster->name), verb,
                 STR_ARG(why), problem.n ? ": " : "", STR_ARG(problem), advice(result));
    return EXIT_PROBLEMS;
}

static bool is_there(const struct records_place *p, struct str folder)
{
    struct str file = records_file_in(p, folder, "records.db");
    if (file.n && access(file.p, R_OK | W_OK) == 0)
        return true;
    if (errno == ENOENT || errno == ENOTDIR)
        cli_complain("there are no records of %.*s in %s", STR_ARG(p->cluster->name), folder.p);
    else
        cli_complain("this user may not open %s (%s): run polder as root", file.p, strerror(errno));
    return false;
}

enum exit_status records_open(struct records_place *p, enum store_role role, struct store **ret)
{
    struct store_options options;
    struct str location = records_location_of(p, p->cluster);
    if ((!p->cluster->store.n && !is_there(p, location)) || !records_options(p, role, &options))
        return EXIT_PROBLEMS;
    enum store_result result = store_open(location, &options, ret);
    return result == STORE_FINE ? EXIT_FINE : records_complain(p, "opened", result, NULL);
}
