/* cli/records_keep.c - backup, restore, verify, reindex: a cluster's records as a whole.
 *
 * A backup is one file, a store by itself. The log of accesses is not in it: it lies beside the records, in
 * the cluster's folder "audit", only ever grows, and any program that copies files takes it. */
#include "cli/records.h"

#include "json/writer.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PART_BYTES = 4096 };

static bool copying(void *context, uint64_t done, uint64_t all)
{
    records_progress_show(context, done, all, STR_NONE);
    return true;
}

static uint64_t size_of(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 ? (uint64_t)s.st_size : 0;
}

/* "noord: PATH, 12.3 MB, in 1.2 s" */
static enum exit_status tell(const struct cli *cli, const struct records_place *p, const char *done,
                             const char *path, uint64_t bytes, const struct records_progress *progress)
{
    char memory[2 * PART_BYTES];
    struct buf out = buf_over(memory, sizeof memory);
    double seconds = records_progress_seconds(progress);
    if (cli->json) {
        struct json_writer w = json_writer_over(&out);
        json_object_begin(&w);
        json_put_str(&w, STR("cluster"), p->cluster->name);
        json_put_str(&w, STR("done"), str_of(done));
        json_put_str(&w, STR("path"), str_of(path));
        json_put_u64(&w, STR("bytes"), bytes);
        json_put_fixed(&w, STR("seconds"), (int64_t)(seconds * 1000), 3);
        json_object_end(&w);
        buf_char(&out, '\n');
    } else {
        buf_printf(&out, "%.*s: %s %s, ", STR_ARG(p->cluster->name), done, path);
        print_bytes(&out, bytes);
        buf_printf(&out, ", in %.1f s\n", seconds);
    }
    return cli_print(buf_text(&out)) ? EXIT_FINE : EXIT_BROKEN;
}

static bool is_given(const char *value, const char *option, const char *part)
{
    if (!value)
        cli_complain("%s is missing: polder records %s", option, part);
    return value != NULL;
}

/* ---- backup */

static enum exit_status backup(struct records_place *p, const struct cli *cli)
{
    struct records_progress progress;
    struct store *store;
    enum exit_status status = records_open(p, STORE_READER, &store);
    if (status != EXIT_FINE)
        return status;
    records_progress_begin(&progress, "backup");
    enum store_result result = store_backup(store, str_of(cli->out), copying, &progress);
    records_progress_end(&progress);
    status = result == STORE_FINE ? tell(cli, p, "copied to", cli->out, size_of(cli->out), &progress)
                                  : records_complain(p, "copied", result, store);
    store_close(store);
    return status;
}

enum exit_status records_backup(const struct cli *cli)
{
    struct records_place place;
    if (!is_given(cli->out, "--out FILE", "backup --cluster C --out FILE"))
        return EXIT_USAGE;
    if (access(cli->out, F_OK) == 0) {
        cli_complain("%s is there already: a backup never overwrites; choose another name", cli->out);
        return EXIT_PROBLEMS;
    }
    enum exit_status status = records_place_open(&place, cli, false);
    if (status == EXIT_FINE)
        status = backup(&place, cli);
    records_place_close(&place);
    return status;
}

/* ---- restore */

static enum exit_status refuse_restore(const struct records_place *p, enum store_result result,
                                       const char *from)
{
    if (result == STORE_OTHER)
        cli_complain("%s is no backup of the records of %.*s", from, STR_ARG(p->cluster->name));
    else if (result == STORE_CORRUPT)
        cli_complain("%s is damaged; nothing was restored. Take another backup", from);
    else
        return records_complain(p, "restored", result, NULL);
    return EXIT_PROBLEMS;
}

static bool make_folders(const struct records_place *p, struct str folder)
{
    const char *data = arena_copy_z(p->arena, p->config->records.data_directory);
    if (data && mkdir(data, 0755) == 0)
        (void)chmod(data, 0755); /* other users pass through it, to what is theirs */
    if (mkdir(folder.p, 0711) == 0 || errno == EEXIST)
        return true;
    cli_complain("the folder %s cannot be made: %s", folder.p, strerror(errno));
    return false;
}

static enum exit_status restore(struct records_place *p, const struct cli *cli)
{
    struct str folder = records_folder_of(p, p->cluster), file = records_file_in(p, folder, "records.db");
    struct records_progress progress;
    struct store_options options;
    if (!p->cluster->store.n && access(file.p, F_OK) == 0) {
        cli_complain(
            "there are records of %.*s in %s already: restore never overwrites. Move that folder away first",
            STR_ARG(p->cluster->name), folder.p);
        return EXIT_PROBLEMS;
    }
    if (!records_options(p, STORE_WRITER, &options))
        return EXIT_PROBLEMS;
    options.may_create = true;
    records_progress_begin(&progress, "restore");
    if (!make_folders(p, folder))
        return EXIT_PROBLEMS;
    enum store_result result = store_restore(str_of(cli->from), records_location_of(p, p->cluster), &options);
    if (result != STORE_FINE)
        return refuse_restore(p, result, cli->from);
    if (!records_give_to_service(p, folder))
        return EXIT_PROBLEMS;
    return p->cluster->store.n ? tell(cli, p, "restored to", "its database", size_of(cli->from), &progress)
                               : tell(cli, p, "restored to", folder.p, size_of(file.p), &progress);
}

enum exit_status records_restore(const struct cli *cli)
{
    struct records_place place;
    if (!is_given(cli->from, "--from FILE", "restore --cluster C --from FILE"))
        return EXIT_USAGE;
    if (access(cli->from, R_OK) != 0) {
        cli_complain("cannot read %s: %s", cli->from, strerror(errno));
        return EXIT_PROBLEMS;
    }
    enum exit_status status = records_place_open(&place, cli, false);
    if (status == EXIT_FINE)
        status = restore(&place, cli);
    records_place_close(&place);
    return status;
}

/* ---- verify */

struct verifying {
    const struct cli *cli;
    struct str cluster;
    bool can_print;
};

static struct str fault_name(enum store_fault fault)
{
    static const struct str names[] = {[STORE_FAULT_PAGE] = STR("page"),
                                       [STORE_FAULT_BODY] = STR("body"),
                                       [STORE_FAULT_VERSION] = STR("version"),
                                       [STORE_FAULT_KEY] = STR("key")};
    return names[fault];
}

/* What the engine says may have several lines. */
static void print_lines(struct buf *out, struct str text)
{
    while (text.n) {
        print_safe(out, str_cut(&text, '\n'));
        if (text.n)
            BUF_LIT(out, "; ");
    }
}

static void found(void *context, const struct store_finding *f)
{
    struct verifying *v = context;
    char memory[PART_BYTES];
    struct buf out = buf_over(memory, sizeof memory);
    struct json_writer w = json_writer_over(&out);
    struct str type = f->type ? fhir_type_name(f->type) : STR_NONE;
    if (v->cli->json) { /* a line for each fault, one for each cluster at its end */
        json_object_begin(&w);
        json_put_str(&w, STR("cluster"), v->cluster);
        json_put_str(&w, STR("fault"), fault_name(f->fault));
        if (f->type) {
            json_put_str(&w, STR("type"), type);
            json_put_str(&w, STR("id"), f->id);
            json_put_u64(&w, STR("version"), f->version);
        }
        json_put_str(&w, STR("what"), str_take(f->what, 1000));
        json_object_end(&w);
    } else {
        struct str kind = fault_name(f->fault);
        buf_printf(&out, "%.*s: %.*s: ", STR_ARG(v->cluster), STR_ARG(kind));
        if (f->type)
            buf_printf(&out, "%.*s/%.*s version %llu: ", STR_ARG(type), STR_ARG(f->id),
                       (unsigned long long)f->version);
        print_lines(&out, str_take(f->what, 1000));
    }
    buf_char(&out, '\n');
    v->can_print = cli_print(buf_text(&out)) && v->can_print;
}

static bool tell_verified(const struct verifying *v, const struct store_verified *r, double seconds)
{
    char memory[PART_BYTES];
    struct buf out = buf_over(memory, sizeof memory);
    struct json_writer w = json_writer_over(&out);
    if (v->cli->json) {
        json_object_begin(&w);
        json_put_str(&w, STR("cluster"), v->cluster);
        json_put_u64(&w, STR("resources"), r->resources);
        json_put_u64(&w, STR("versions"), r->versions);
        json_put_u64(&w, STR("keys"), r->keys);
        json_put_u64(&w, STR("faults"), r->faults);
        json_object_end(&w);
    } else {
        buf_printf(&out, "%.*s: ", STR_ARG(v->cluster));
        print_count(&out, r->resources);
        BUF_LIT(&out, " resources, ");
        print_count(&out, r->versions);
        BUF_LIT(&out, " versions, ");
        print_count(&out, r->keys);
        buf_printf(&out, " keys looked at in %.1f s: ", seconds);
        if (r->faults)
            print_count(&out, r->faults);
        buf_printf(&out, "%s", r->faults == 0 ? "all is well" : r->faults == 1 ? " fault" : " faults");
    }
    buf_char(&out, '\n');
    return cli_print(buf_text(&out));
}

static enum exit_status verify(struct records_place *p, const struct cli *cli)
{
    struct verifying v = {.cli = cli, .cluster = p->cluster->name, .can_print = true};
    struct records_progress progress;
    struct store_verified r;
    struct store *store;
    enum exit_status status = records_open(p, STORE_READER, &store);
    if (status != EXIT_FINE)
        return status;
    records_progress_begin(&progress, "verify");
    enum store_result result = store_verify(store, found, &v, &r);
    if (result != STORE_FINE)
        status = records_complain(p, "looked at as a whole", result, store);
    else if (!tell_verified(&v, &r, records_progress_seconds(&progress)) || !v.can_print)
        status = EXIT_BROKEN;
    else
        status = r.faults ? EXIT_PROBLEMS : EXIT_FINE;
    store_close(store);
    return status;
}

enum exit_status records_verify(const struct cli *cli)
{
    struct records_place place;
    enum exit_status status = records_place_open(&place, cli, true), worst = status;
    const struct config_records_cluster *only = place.cluster;
    for (unsigned i = 0; status == EXIT_FINE && i < place.config->records.cluster_count; i++) {
        place.cluster = &place.config->records.clusters[i];
        if (only && only != place.cluster)
            continue;
        enum exit_status one = verify(&place, cli);
        worst = one > worst ? one : worst;
    }
    records_place_close(&place);
    return worst;
}

/* ---- reindex */

static enum exit_status reindex(struct records_place *p, const struct cli *cli)
{
    struct str folder = records_folder_of(p, p->cluster), file = records_file_in(p, folder, "records.db");
    struct records_progress progress;
    struct store_options options;
    bool is_of_server = p->cluster->store.n > 0;
    if (!is_of_server && access(file.p, F_OK) != 0) {
        cli_complain("there are no records of %.*s in %s", STR_ARG(p->cluster->name), folder.p);
        return EXIT_PROBLEMS;
    }
    if (!records_options(p, STORE_WRITER, &options))
        return EXIT_PROBLEMS;
    records_progress_begin(&progress, "reindex");
    enum store_result result = store_reindex(records_location_of(p, p->cluster), &options);
    if (result != STORE_FINE)
        return records_complain(p, "given new keys", result, NULL);
    return tell(cli, p, "keys made anew in", is_of_server ? "its database" : folder.p,
                is_of_server ? 0 : size_of(file.p), &progress);
}

enum exit_status records_reindex(const struct cli *cli)
{
    struct records_place place;
    enum exit_status status = records_place_open(&place, cli, false);
    int lock = status == EXIT_FINE ? records_lock(&place) : -1;
    if (status == EXIT_FINE)
        status = lock >= 0 ? reindex(&place, cli) : EXIT_PROBLEMS;
    if (lock >= 0)
        close(lock);
    records_place_close(&place);
    return status;
}
