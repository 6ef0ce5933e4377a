/* cli/records_status.c - `polder records status`: what each cluster holds, and the room there is. */
#include "cli/records.h"

#include "json/writer.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { TEXT_BYTES = 1 << 20, LOCKS_LINE = 256 };

struct seen {
    const struct config_records_cluster *cluster;
    struct store_size size;
    const char *state; /* "in use", "at rest", "none", "unreadable" */
};

/* Does a writer hold the folder? Looked up, not tried: a try would be in the way of who opens it just then.
 */
static bool is_locked(const char *folder)
{
    struct stat s;
    char line[LOCKS_LINE], wanted[64];
    FILE *locks = stat(folder, &s) == 0 ? fopen("/proc/locks", "re") : NULL;
    bool found = false;
    if (!locks)
        return false;
    struct buf b = buf_over(wanted, sizeof wanted);
    buf_printf(&b, " %02x:%02x:%llu ", major(s.st_dev), minor(s.st_dev), (unsigned long long)s.st_ino);
    while (fgets(line, sizeof line, locks))
        found |= str_find(str_of(line), STR("FLOCK")) >= 0 && str_find(str_of(line), buf_text(&b)) >= 0;
    fclose(locks);
    return found;
}

static void look(struct records_place *p, struct seen *seen)
{
    struct str folder = records_folder_of(p, seen->cluster), file = records_file_in(p, folder, "records.db");
    struct store_options options;
    struct store *store = NULL;
    p->cluster = seen->cluster;
    seen->state = "none";
    if (!seen->cluster->store.n && access(file.p, F_OK) != 0)
        return;
    seen->state = seen->cluster->store.n ? "in a database" : is_locked(folder.p) ? "in use" : "at rest";
    enum store_result result = STORE_NO_MEMORY;
    if (records_options(p, STORE_READER, &options))
        result = store_open(records_location_of(p, seen->cluster), &options, &store);
    if (result == STORE_FINE)
        result = store_measure(store, &seen->size);
    if (result != STORE_FINE) {
        seen->state = "unreadable";
        records_complain(p, "read", result, store);
    }
    store_close(store);
}

static void write_json(struct buf *out, const struct seen *seen, unsigned n, uint64_t disk)
{
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    json_put_array(&w, STR("clusters"));
    for (unsigned i = 0; i < n; i++) {
        json_object_begin(&w);
        json_put_str(&w, STR("name"), seen[i].cluster->name);
        json_put_str(&w, STR("state"), str_of(seen[i].state));
        json_put_u64(&w, STR("resources"), seen[i].size.resources);
        json_put_u64(&w, STR("versions"), seen[i].size.versions);
        json_put_u64(&w, STR("file_bytes"), seen[i].size.file_bytes);
        json_put_u64(&w, STR("log_bytes"), seen[i].size.log_bytes);
        json_put_u64(&w, STR("free_bytes"), seen[i].size.free_bytes);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_put_u64(&w, STR("disk_free_bytes"), disk);
    json_object_end(&w);
    buf_char(out, '\n');
}

static void cell_bytes(struct table *t, uint64_t bytes)
{
    char memory[32];
    struct buf b = buf_over(memory, sizeof memory);
    print_bytes(&b, bytes);
    table_text(t, buf_text(&b));
}

static void cell_count(struct table *t, uint64_t n)
{
    char memory[32];
    struct buf b = buf_over(memory, sizeof memory);
    print_count(&b, n);
    table_text(t, buf_text(&b));
}

static void write_table(struct records_place *p, struct buf *out, const struct seen *seen, unsigned n,
                        uint64_t disk, bool color)
{
    static const char *const heads[] = {"CLUSTER", "STATE", ">RESOURCES", ">VERSIONS",
                                        ">FILE",   ">LOG",  ">UNUSED",    NULL};
    struct table t;
    table_begin(&t, p->arena, heads);
    for (unsigned i = 0; i < n; i++) {
        table_text(&t, seen[i].cluster->name);
        table_text(&t, str_of(seen[i].state));
        cell_count(&t, seen[i].size.resources);
        cell_count(&t, seen[i].size.versions);
        cell_bytes(&t, seen[i].size.file_bytes);
        cell_bytes(&t, seen[i].size.log_bytes);
        cell_bytes(&t, seen[i].size.free_bytes);
    }
    table_print(&t, out, color);
    buf_printf(out, "Free on the disk of %.*s: ", STR_ARG(p->config->records.data_directory));
    print_bytes(out, disk);
    buf_char(out, '\n');
}

static uint64_t disk_free(const struct records_place *p)
{
    struct statvfs v;
    const char *path = arena_copy_z(p->arena, p->config->records.data_directory);
    return path && statvfs(path, &v) == 0 ? (uint64_t)v.f_bavail * v.f_frsize : 0;
}

static enum exit_status show(struct records_place *p, const struct cli *cli)
{
    const struct config_records *r = &p->config->records;
    const struct config_records_cluster *only = p->cluster;
    struct seen *seen = arena_alloc(p->arena, r->cluster_count * sizeof *seen);
    char *memory = arena_bytes(p->arena, TEXT_BYTES);
    struct buf out = buf_over(memory, memory ? TEXT_BYTES : 0);
    enum exit_status status = EXIT_FINE;
    unsigned n = 0;
    for (unsigned i = 0; seen && i < r->cluster_count; i++) {
        if (only && only != &r->clusters[i])
            continue;
        seen[n].cluster = &r->clusters[i];
        look(p, &seen[n]);
        status = strcmp(seen[n].state, "unreadable") == 0 ? EXIT_PROBLEMS : status;
        n++;
    }
    if (cli->json)
        write_json(&out, seen, n, disk_free(p));
    else
        write_table(p, &out, seen, n, disk_free(p), cli->color);
    return !buf_overflowed(&out) && cli_print(buf_text(&out)) ? status : EXIT_BROKEN;
}

enum exit_status records_status(const struct cli *cli)
{
    struct records_place place;
    enum exit_status status = records_place_open(&place, cli, true);
    if (status == EXIT_FINE)
        status = show(&place, cli);
    records_place_close(&place);
    return status;
}
