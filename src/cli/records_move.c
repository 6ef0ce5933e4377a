/* cli/records_move.c - `polder records move`: a cluster's records at another data directory.
 *
 *   the service does not run (its lock is ours) -> copy of the store, checked -> copy of the log of accesses
 *   -> durable under the new place -> the old folder gets a name under which nobody looks for records
 *
 * Until the last step all is at the old place as before, and what was made at the new one is harmless. */
#include "cli/records.h"

#include "json/writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

struct moving {
    struct records_place *place;
    const struct cli *cli;
    struct str from, to, copy;
    struct records_progress progress;
};

static bool copying(void *context, uint64_t done, uint64_t all)
{
    records_progress_show(context, done, all, STR_NONE);
    return true;
}

static bool trouble(const char *path)
{
    cli_complain("%s: %s", path, strerror(errno));
    return false;
}

/* ---- the store */

static bool has_room(const struct moving *m, const struct store_size *size)
{
    struct statvfs v;
    char memory[64];
    struct buf b = buf_over(memory, sizeof memory);
    if (statvfs(m->cli->to, &v) != 0)
        return trouble(m->cli->to);
    if ((uint64_t)v.f_bavail * v.f_frsize > 2 * size->file_bytes)
        return true;
    print_bytes(&b, 2 * size->file_bytes);
    cli_complain("there is too little room in %s: %.*s are needed", m->cli->to, STR_ARG(buf_text(&b)));
    return false;
}

/* What the last writer left in the log goes into the file; then a copy of it. */
static bool copy_store(struct moving *m)
{
    struct store_size size;
    struct store *store;
    if (records_open(m->place, STORE_WRITER, &store) != EXIT_FINE)
        return false;
    enum store_result result = store_checkpoint(store);
    if (result == STORE_FINE)
        result = store_measure(store, &size);
    bool ok = result == STORE_FINE && has_room(m, &size);
    if (ok)
        result = store_backup(store, m->copy, copying, &m->progress);
    if (result != STORE_FINE)
        records_complain(m->place, "copied", result, store);
    store_close(store);
    return ok && result == STORE_FINE;
}

static bool place_store(struct moving *m)
{
    struct store_options options;
    if (!records_options(m->place, STORE_WRITER, &options))
        return false;
    options.may_create = true;
    enum store_result result = store_restore(m->copy, m->to, &options);
    (void)unlink(m->copy.p);
    if (result != STORE_FINE)
        records_complain(m->place, "put in place", result, NULL);
    return result == STORE_FINE && records_give_to_service(m->place, m->to);
}

/* ---- the log of accesses */

static bool copy_bytes(int in, int out)
{
    char bytes[1 << 16];
    for (;;) {
        ssize_t n = read(in, bytes, sizeof bytes);
        if (n <= 0)
            return n == 0 && fsync(out) == 0;
        for (ssize_t at = 0, done; at < n; at += done)
            if ((done = write(out, bytes + at, (size_t)(n - at))) < 0)
                return false;
    }
}

/* With its owner and mode. */
static bool copy_file(int from, int to, const char *name)
{
    struct stat s;
    int in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (in < 0 || fstat(in, &s) != 0)
        return trouble(name);
    if (!S_ISREG(s.st_mode)) {
        close(in);
        return true;
    }
    int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = out >= 0 && copy_bytes(in, out) && fchmod(out, s.st_mode & 07777) == 0 &&
              (geteuid() != 0 || fchown(out, s.st_uid, s.st_gid) == 0);
    if (!ok)
        trouble(name);
    if (out >= 0)
        close(out);
    close(in);
    return ok;
}

static bool copy_files(int from, int to)
{
    int again = dup(from);
    DIR *list = again >= 0 ? fdopendir(again) : NULL;
    bool ok = list != NULL;
    for (struct dirent *d; ok && (d = readdir(list));)
        ok = d->d_name[0] == '.' || copy_file(from, to, d->d_name);
    if (list)
        closedir(list);
    return ok && fsync(to) == 0;
}

static bool copy_audit(struct moving *m)
{
    struct str old = records_file_in(m->place, m->from, "audit"),
               new = records_file_in(m->place, m->to, "audit");
    struct stat s;
    int from = open(old.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0)
        return errno == ENOENT || trouble(old.p);
    if (mkdir(new.p, 0700) != 0) {
        close(from);
        return trouble(new.p);
    }
    int to = open(new.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    bool ok = to >= 0 && fstat(from, &s) == 0 && copy_files(from, to) && fchmod(to, s.st_mode & 07777) == 0 &&
              (geteuid() != 0 || fchown(to, s.st_uid, s.st_gid) == 0);
    if (!ok)
        trouble(new.p);
    if (to >= 0)
        close(to);
    close(from);
    return ok;
}

/* ---- the names */

static bool sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok || trouble(path);
}

static bool make_places(struct moving *m)
{
    struct arena *arena = m->place->arena;
    struct str name = m->place->cluster->name;
    struct str to = arena_printf(arena, "%s/%.*s%c", m->cli->to, STR_ARG(name), 0);
    m->from = records_folder_of(m->place, m->place->cluster);
    m->to = str_take(to, to.n ? to.n - 1 : 0);
    m->copy = records_file_in(m->place, m->to, "moving.db");
    if (mkdir(m->cli->to, 0755) == 0)
        (void)chmod(m->cli->to, 0755); /* other users pass through it, to what is theirs */
    else if (errno != EEXIST)
        return trouble(m->cli->to);
    if (mkdir(m->to.p, 0711) == 0)
        return true;
    if (errno == EEXIST)
        cli_complain("%s is there already: move never overwrites; look what it is, and remove it", m->to.p);
    else
        trouble(m->to.p);
    return false;
}

static bool retire(struct moving *m, struct str *ret_old)
{
    struct tm t;
    time_t now = time(NULL);
    gmtime_r(&now, &t);
    struct str old =
        arena_printf(m->place->arena, "%.*s.moved-%04d%02d%02dT%02d%02d%02dZ%c", STR_ARG(m->from),
                     t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, 0);
    if (!old.p || rename(m->from.p, old.p) != 0)
        return trouble(m->from.p);
    *ret_old = str_take(old, old.n - 1);
    const char *data = arena_copy_z(m->place->arena, m->place->config->records.data_directory);
    return data && sync_folder(data);
}

static enum exit_status tell(const struct moving *m, struct str old)
{
    char memory[4096];
    struct buf out = buf_over(memory, sizeof memory);
    struct json_writer w = json_writer_over(&out);
    if (m->cli->json) {
        json_object_begin(&w);
        json_put_str(&w, STR("cluster"), m->place->cluster->name);
        json_put_str(&w, STR("folder"), m->to);
        json_put_str(&w, STR("old_folder"), old);
        json_object_end(&w);
        buf_char(&out, '\n');
    } else {
        buf_printf(&out,
                   "%.*s: moved to %.*s in %.1f s. Set data_directory of the records that serve it to %s.\n"
                   "The old records stand in %.*s; remove them when the service has shown that it has the "
                   "new ones.\n",
                   STR_ARG(m->place->cluster->name), STR_ARG(m->to), records_progress_seconds(&m->progress),
                   m->cli->to, STR_ARG(old));
    }
    return cli_print(buf_text(&out)) ? EXIT_FINE : EXIT_BROKEN;
}

static enum exit_status move(struct records_place *p, const struct cli *cli)
{
    struct moving m = {.place = p, .cli = cli};
    struct str old;
    records_progress_begin(&m.progress, "move");
    if (!make_places(&m))
        return EXIT_PROBLEMS;
    bool ok = copy_store(&m) && place_store(&m) && copy_audit(&m) && sync_folder(m.to.p) &&
              sync_folder(cli->to) && retire(&m, &old);
    records_progress_end(&m.progress);
    if (ok)
        return tell(&m, old);
    cli_complain("%.*s was not moved: its records are where they were. Remove %s before the next try",
                 STR_ARG(p->cluster->name), m.to.p);
    return EXIT_PROBLEMS;
}

enum exit_status records_move(const struct cli *cli)
{
    struct records_place place;
    if (!cli->to) {
        cli_complain("--to DIR is missing: polder records move --cluster C --to DIR");
        return EXIT_USAGE;
    }
    enum exit_status status = records_place_open(&place, cli, false);
    if (status == EXIT_FINE && place.cluster->store.n) {
        cli_complain(
            "the records of %.*s lie in a database: polder records backup and restore take them elsewhere",
            STR_ARG(place.cluster->name));
        records_place_close(&place);
        return EXIT_PROBLEMS;
    }
    int lock = status == EXIT_FINE ? records_lock(&place) : -1;
    if (status == EXIT_FINE)
        status = lock >= 0 ? move(&place, cli) : EXIT_PROBLEMS;
    if (lock >= 0)
        close(lock);
    records_place_close(&place);
    return status;
}
