/* cli/records_export.c - `polder records export`: all resources of a cluster as they are now, NDJSON by type
 * (https://hl7.org/fhir/uv/bulkdata/export.html has the same form), so that a cluster can take its records
 * elsewhere.
 *
 * Made from a copy of one moment, so that it fits together and the service is not held up, in a folder
 * DIR.part. The folder gets its name when it is complete: as many resources as the store counts. */
#include "cli/records.h"

#include "json/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 500, PAGE_BYTES = 1 << 30, TEXT_BYTES = 64 << 10, QUERY_BYTES = 1 << 20 };

struct exporting {
    struct records_place *place;
    const struct cli *cli;
    struct str part, copy; /* folders */
    struct store *store;   /* of the copy */
    struct store_size size;
    struct records_progress progress;
    struct arena *page;
    struct json_writer *json;
    uint64_t done, types;
};

static bool copying(void *context, uint64_t done, uint64_t all)
{
    records_progress_show(context, done, all, STR("copying"));
    return true;
}

static enum exit_status complain_of(const char *path)
{
    cli_complain("%s cannot be written: %s", path, strerror(errno));
    return EXIT_PROBLEMS;
}

/* ---- the copy */

static enum exit_status copy(struct exporting *e)
{
    struct store *store;
    struct store_options options;
    enum exit_status status = records_open(e->place, STORE_READER, &store);
    if (status != EXIT_FINE)
        return status;
    enum store_result result =
        store_backup(store, records_file_in(e->place, e->copy, "records.db"), copying, &e->progress);
    if (result == STORE_FINE && records_options(e->place, STORE_READER, &options)) {
        options.candidates_max = UINT32_MAX;
        result = store_open(e->copy, &options, &e->store);
    }
    if (result == STORE_FINE)
        result = store_measure(e->store, &e->size);
    if (result != STORE_FINE)
        status = records_complain(e->place, "copied", result, e->store ? e->store : store);
    store_close(store);
    return status;
}

static void remove_copy(const struct exporting *e)
{
    static const char *const names[] = {"records.db", "records.db-wal", "records.db-shm", "records.db.part"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        (void)unlink(records_file_in(e->place, e->copy, names[i]).p);
    (void)rmdir(e->copy.p);
}

/* ---- a type */

/* White space may stand between tokens alone, so a line end is a blank as well (RFC 8259 2, 7). */
static bool write_resource(FILE *out, struct str body)
{
    size_t from = 0;
    for (size_t i = 0; i <= body.n; i++) {
        if (i < body.n && body.p[i] != '\n' && body.p[i] != '\r')
            continue;
        if (fwrite(body.p + from, 1, i - from, out) != i - from || fputc(i < body.n ? ' ' : '\n', out) < 0)
            return false;
        from = i + 1;
    }
    return true;
}

static void show(struct exporting *e)
{
    char memory[100];
    struct buf extra = buf_over(memory, sizeof memory);
    print_count(&extra, e->done);
    BUF_LIT(&extra, " resources");
    records_progress_show(&e->progress, e->done, e->size.resources, buf_text(&extra));
}

static bool query_of(struct arena *arena, const struct fhir_type *type, struct fhir_search_query *ret)
{
    struct fhir_query_context context = {.type = type, .count_max = PAGE};
    struct fhir_query_problems problems = {0};
    return fhir_search_query_parse(STR_NONE, STR_NONE, &context, arena, ret, &problems);
}

/* STORE_BROKEN with errno: the file cannot be written. */
static enum store_result write_pages(struct exporting *e, const struct fhir_search_query *query, FILE *out,
                                     uint64_t *ret_count)
{
    char memory[1024];
    struct store_search search = {.query = query, .count = PAGE};
    do {
        struct store_found f;
        arena_reset(e->page);
        enum store_result result = store_search(e->store, NULL, &search, e->page, &f);
        if (result != STORE_FINE)
            return result;
        for (size_t i = 0; i < f.match_count; i++)
            if (!write_resource(out, f.matches[i].body))
                return STORE_BROKEN;
        *ret_count += f.match_count;
        e->done += f.match_count;
        struct buf position = buf_over(memory, sizeof memory);
        buf_str(&position, f.next);
        search.position = buf_text(&position);
        if (buf_overflowed(&position))
            return STORE_BAD_POSITION;
        show(e);
    } while (search.position.n);
    return STORE_FINE;
}

static bool close_durably(FILE *out)
{
    bool ok = fflush(out) == 0 && fsync(fileno(out)) == 0;
    return fclose(out) == 0 && ok;
}

static void tell_type(struct exporting *e, struct str name, uint64_t count)
{
    if (!e->json)
        return;
    json_object_begin(e->json);
    json_put_str(e->json, STR("type"), name);
    json_put_u64(e->json, STR("count"), count);
    json_object_end(e->json);
}

static enum exit_status export_type(struct exporting *e, const struct fhir_type *type, struct arena *arena)
{
    struct fhir_search_query query;
    struct str name = fhir_type_name(type);
    char file[200];
    struct buf b = buf_over(file, sizeof file);
    uint64_t count = 0;
    buf_printf(&b, "%.*s.ndjson%c", STR_ARG(name), 0);
    struct str path = records_file_in(e->place, e->part, file);
    FILE *out = path.n ? fopen(path.p, "wxe") : NULL;
    if (!out)
        return complain_of(file);
    enum store_result result =
        query_of(arena, type, &query) ? write_pages(e, &query, out, &count) : STORE_NO_MEMORY;
    bool is_written = result != STORE_BROKEN && close_durably(out);
    if (result == STORE_BROKEN)
        fclose(out);
    if (result != STORE_FINE && result != STORE_BROKEN)
        return records_complain(e->place, "exported", result, e->store);
    if (!is_written)
        return complain_of(path.p);
    if (count == 0)
        return unlink(path.p) == 0 ? EXIT_FINE : complain_of(path.p);
    e->types++;
    tell_type(e, name, count);
    return EXIT_FINE;
}

static enum exit_status export_types(struct exporting *e)
{
    struct arena *arena = arena_new(QUERY_BYTES);
    enum exit_status status = arena ? EXIT_FINE : EXIT_PROBLEMS;
    for (unsigned i = 0; status == EXIT_FINE && i < fhir_type_count(); i++) {
        const struct fhir_type *type = fhir_type_at(i);
        arena_reset(arena);
        if (fhir_type_is_resource(type))
            status = export_type(e, type, arena);
    }
    arena_free(arena);
    if (status == EXIT_FINE && e->done != e->size.resources) {
        cli_complain("%llu resources were written, but the records of %.*s count %llu: nothing is exported. "
                     "`polder records verify` says what is wrong",
                     (unsigned long long)e->done, STR_ARG(e->place->cluster->name),
                     (unsigned long long)e->size.resources);
        return EXIT_PROBLEMS;
    }
    return status;
}

/* ---- the folder */

static enum exit_status make_folders(struct exporting *e)
{
    struct arena *arena = e->place->arena;
    struct str part = arena_printf(arena, "%s.part%c", e->cli->out, 0);
    e->part = str_take(part, part.n ? part.n - 1 : 0);
    e->copy = records_file_in(e->place, e->part, "copy");
    if (access(e->cli->out, F_OK) == 0 || access(e->part.p, F_OK) == 0) {
        cli_complain("%s is there already: an export never overwrites; remove it or choose another name",
                     access(e->cli->out, F_OK) == 0 ? e->cli->out : e->part.p);
        return EXIT_PROBLEMS;
    }
    if (mkdir(e->part.p, 0700) != 0 || mkdir(e->copy.p, 0700) != 0)
        return complain_of(e->part.p);
    return EXIT_FINE;
}

static enum exit_status give_name(const struct exporting *e)
{
    int fd = open(e->part.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    if (ok && rename(e->part.p, e->cli->out) == 0)
        return EXIT_FINE;
    return complain_of(e->cli->out);
}

static enum exit_status tell(const struct exporting *e, struct buf *out)
{
    if (!e->json) {
        buf_printf(out, "%.*s: ", STR_ARG(e->place->cluster->name));
        print_count(out, e->done);
        buf_printf(out, " resources of %llu types in %s, in %.1f s\n", (unsigned long long)e->types,
                   e->cli->out, records_progress_seconds(&e->progress));
    }
    return !buf_overflowed(out) && cli_print(buf_text(out)) ? EXIT_FINE : EXIT_BROKEN;
}

static enum exit_status carry_out(struct exporting *e)
{
    enum exit_status status = make_folders(e);
    if (status != EXIT_FINE)
        return status;
    status = copy(e);
    if (status == EXIT_FINE)
        status = export_types(e);
    store_close(e->store);
    records_progress_end(&e->progress);
    remove_copy(e);
    if (status == EXIT_FINE)
        status = give_name(e);
    if (status != EXIT_FINE)
        cli_complain("what was written stays in %s and is not complete", e->part.p);
    return status;
}

static enum exit_status export_cluster(struct records_place *p, const struct cli *cli)
{
    char *memory = arena_bytes(p->arena, TEXT_BYTES);
    struct buf out = buf_over(memory, memory ? TEXT_BYTES : 0);
    struct json_writer w = json_writer_over(&out);
    struct exporting e = {
        .place = p, .cli = cli, .page = arena_new(PAGE_BYTES), .json = cli->json ? &w : NULL};
    if (cli->json) {
        json_object_begin(&w);
        json_put_str(&w, STR("cluster"), p->cluster->name);
        json_put_array(&w, STR("types"));
    }
    records_progress_begin(&e.progress, "export");
    enum exit_status status = e.page ? carry_out(&e) : EXIT_PROBLEMS;
    arena_free(e.page);
    if (cli->json) {
        json_array_end(&w);
        json_put_u64(&w, STR("resources"), e.done);
        json_object_end(&w);
        buf_char(&out, '\n');
    }
    return status == EXIT_FINE ? tell(&e, &out) : status;
}

enum exit_status records_export(const struct cli *cli)
{
    struct records_place place;
    if (!cli->out) {
        cli_complain("--out DIR is missing: polder records export --cluster C --out DIR");
        return EXIT_USAGE;
    }
    enum exit_status status = records_place_open(&place, cli, false);
    if (status == EXIT_FINE)
        status = export_cluster(&place, cli);
    records_place_close(&place);
    return status;
}
