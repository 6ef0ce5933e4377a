/* tests/breach/scene_state.c - see scene_state.h. Folders and files belong to whom they belong in an
 * installation. */
#include "scene_state.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void path_below(const char *folder, const char *name, char *ret_path)
{
    struct buf path = buf_over(ret_path, SCENE_PATH_MAX - 1);
    buf_printf(&path, "%s/%s", folder, name);
    ret_path[path.n] = '\0';
}

static bool make_folder(const char *path, uid_t uid)
{
    return mkdir(path, 0700) == 0 && chown(path, uid, uid == geteuid() ? getegid() : uid) == 0;
}

static bool make_file(const char *path, uid_t uid)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool fine = fd >= 0 && write(fd, "what it was before\n", 19) == 19 &&
                fchown(fd, uid, uid == geteuid() ? getegid() : uid) == 0;
    if (fd >= 0)
        close(fd);
    return fine;
}

static uid_t audit_uid(void)
{
    return geteuid() == 0 ? SCENE_AUDIT_UID : geteuid();
}

/* As the master makes the perimeter's: what may only be read is another open file of the same memory. */
static int read_only_memory(void)
{
    char memory[40];
    struct buf path = buf_over(memory, sizeof memory);
    int fd = memfd_create("perimeter", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 4096) < 0 || fchmod(fd, 0400) < 0)
        return -1;
    buf_printf(&path, "/proc/self/fd/%d%c", fd, 0);
    int reading = open(memory, O_RDONLY | O_CLOEXEC);
    close(fd);
    return reading;
}

/* Where there is no bpf(2) for us there is none to take. */
static bool pin_table(struct scene_state *s)
{
    union bpf_attr table = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    s->has_pins =
        geteuid() == 0 && make_folder(s->pins, 0) && mount("none", s->pins, "bpf", 0, "mode=0700") == 0;
    int fd = s->has_pins ? (int)syscall(SYS_bpf, BPF_MAP_CREATE, &table, sizeof table) : -1;
    if (fd < 0)
        return true;
    union bpf_attr pin = {.pathname = (uintptr_t)s->pinned, .bpf_fd = (uint32_t)fd};
    bool fine = syscall(SYS_bpf, BPF_OBJ_PIN, &pin, sizeof pin) == 0;
    close(fd);
    return fine;
}

bool state_open(struct scene_state *s, const char *directory, uid_t uid, struct attack_world *w)
{
    path_below(directory, "isolation", s->isolation);
    path_below(s->isolation, "record", s->isolation_record);
    path_below(directory, "records", s->records);
    path_below(s->records, "records.db", s->database);
    path_below(s->records, "records.db-shm", s->index);
    path_below(s->records, "records.db-journal", s->beside);
    path_below(s->records, "export", s->exports);
    path_below(s->records, "audit", s->audit);
    path_below(s->records, "elsewhere", s->elsewhere);
    path_below(s->audit, "accesses.jsonl", s->log);
    path_below(directory, "pins", s->pins);
    path_below(s->pins, "table", s->pinned);
    s->of_filter[0] = s->pins;
    s->of_records[0] = s->records;
    s->of_worker[0] = s->index;
    s->of_audit[0] = s->audit;
    s->of_exporter[0] = s->exports;
    w->isolation_record = s->isolation_record;
    w->pinned = s->pinned;
    w->database = s->database;
    w->beside_database = s->beside;
    w->log = s->log;
    w->log_folder = s->audit;
    w->log_elsewhere = s->elsewhere;
    w->log_append = -1;
    w->read_only = read_only_memory();
    return w->read_only >= 0 && make_folder(s->isolation, geteuid()) &&
           make_file(s->isolation_record, geteuid()) && make_folder(s->records, uid) &&
           chmod(s->records, 0711) == 0 && make_file(s->index, uid) && make_folder(s->exports, uid) &&
           make_folder(s->audit, audit_uid()) && pin_table(s);
}

bool state_prepare(const struct scene_state *s, uid_t uid, struct attack_world *w)
{
    if (!make_file(s->database, uid) || !make_file(s->log, audit_uid()))
        return false;
    w->log_append = open(s->log, O_WRONLY | O_APPEND | O_CLOEXEC);
    return w->log_append >= 0;
}

void state_clear(const struct scene_state *s, struct attack_world *w)
{
    if (w->log_append >= 0)
        close(w->log_append);
    w->log_append = -1;
    unlink(s->database);
    unlink(s->beside);
    rename(s->elsewhere, s->audit);
    unlink(s->log);
}

void state_close(const struct scene_state *s)
{
    if (s->has_pins)
        umount2(s->pins, MNT_DETACH);
    rmdir(s->pins);
    unlink(s->isolation_record);
    unlink(s->index);
    rmdir(s->isolation);
    rmdir(s->exports);
    rmdir(s->audit);
    rmdir(s->records);
}

void state_folders(const struct scene_state *s, struct sandbox_options *o)
{
    switch (o->profile) {
    case SANDBOX_FILTER:
        o->folders = s->of_filter;
        return;
    case SANDBOX_RECORDS_WORKER:
        o->folders = s->of_records;
        o->files = s->of_worker;
        return;
    case SANDBOX_RECORDS_OWNER:
        o->folders = s->of_records;
        return;
    case SANDBOX_RECORDS_AUDIT:
        o->fallback_uid = audit_uid();
        o->folders = s->of_audit;
        return;
    case SANDBOX_RECORDS_EXPORTER:
        o->folders = s->of_exporter;
        o->files = s->of_worker;
        o->readable = s->of_records;
        return;
    default:
        return;
    }
}
