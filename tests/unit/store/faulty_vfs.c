#include "faulty_vfs.h"

#include "base/hash.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 4'096 };

struct faulty faulty;

/* A write that no sync has covered yet. */
struct unsynced {
    struct unsynced *next; /* older */
    char path[200];
    sqlite3_int64 at, old_size;
    int n, old_n;
    char *old, *new;
};
static struct unsynced *unsynced; /* newest first */

struct faulty_file {
    sqlite3_file base;
    char path[200];
    sqlite3_file *real; /* behind this struct */
};

static sqlite3_vfs *under;

static struct faulty_file *of(sqlite3_file *f)
{
    return (struct faulty_file *)(void *)f;
}

/* ---- losing power */

static void remember(struct faulty_file *f, const void *bytes, int n, sqlite3_int64 at)
{
    struct unsynced *u = calloc(1, sizeof *u);
    u->n = n;
    u->at = at;
    u->new = malloc((size_t)n);
    u->old = malloc((size_t)n);
    memcpy(u->new, bytes, (size_t)n);
    snprintf(u->path, sizeof u->path, "%s", f->path);
    f->real->pMethods->xFileSize(f->real, &u->old_size);
    int fd = open(f->path, O_RDONLY);
    ssize_t got = fd < 0 ? 0 : pread(fd, u->old, (size_t)n, at);
    u->old_n = got > 0 ? (int)got : 0;
    if (fd >= 0)
        close(fd);
    u->next = unsynced;
    unsynced = u;
}

static void forget(const char *path)
{
    for (struct unsynced **at = &unsynced; *at;) {
        struct unsynced *u = *at;
        if (strcmp(u->path, path) != 0) {
            at = &u->next;
            continue;
        }
        *at = u->next;
        free(u->old);
        free(u->new);
        free(u);
    }
}

static void put(const struct unsynced *u, const char *bytes, int n)
{
    int fd = open(u->path, O_WRONLY);
    if (fd >= 0 && pwrite(fd, bytes, (size_t)n, u->at) != n)
        abort();
    if (fd >= 0)
        close(fd);
}

/* All is undone, newest first; then some of it is done again, oldest first. */
static void lose_power(void)
{
    struct unsynced *kept = NULL;
    uint64_t number = faulty.seed;
    while (unsynced) {
        struct unsynced *u = unsynced;
        put(u, u->old, u->old_n);
        if (truncate(u->path, u->old_size) != 0 && access(u->path, F_OK) == 0)
            abort();
        unsynced = u->next;
        u->next = kept;
        kept = u;
    }
    for (; kept; kept = kept->next) {
        if (hash_mix(++number) % 3 != 0)
            put(kept, kept->new, kept->n);
    }
    kill(getpid(), SIGKILL);
}

/* ---- the Nth call */

/* SQLITE_OK: it may go on. */
static int count_call(int error, sqlite3_file *real, const void *bytes, int n, sqlite3_int64 at)
{
    bool stays = faulty.kind == FAULT_ERROR_STAYS;
    faulty.calls++;
    bool is_now =
        faulty.at && (stays                       ? faulty.calls >= faulty.at
                      : faulty.kind == FAULT_FULL ? faulty.calls >= faulty.at && faulty.calls < faulty.at + 3
                                                  : faulty.calls == faulty.at);
    if (!is_now || faulty.kind == FAULT_NONE)
        return SQLITE_OK;
    if (faulty.kind == FAULT_FULL)
        return bytes ? SQLITE_FULL : SQLITE_OK;
    if (faulty.kind == FAULT_POWER)
        lose_power();
    if (bytes && (faulty.kind == FAULT_HALF || faulty.kind == FAULT_KILL))
        real->pMethods->xWrite(real, bytes, n / 2, at);
    if (faulty.kind == FAULT_KILL)
        kill(getpid(), SIGKILL);
    return error;
}

static int write_piece(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
    int code = count_call(SQLITE_IOERR_WRITE, of(f)->real, bytes, n, at);
    faulty.writes++;
    if (code != SQLITE_OK)
        return code;
    if (faulty.kind == FAULT_POWER)
        remember(of(f), bytes, n, at);
    return of(f)->real->pMethods->xWrite(of(f)->real, bytes, n, at);
}

/* A large write is many: it fails, ends or is lost between any two of its pieces. */
static int f_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
    int code = SQLITE_OK;
    for (int done = 0; done < n && code == SQLITE_OK; done += PIECE_BYTES) {
        int piece = n - done < PIECE_BYTES ? n - done : PIECE_BYTES;
        code = write_piece(f, (const char *)bytes + done, piece, at + done);
    }
    return code;
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    int code = count_call(SQLITE_IOERR_TRUNCATE, of(f)->real, NULL, 0, 0);
    if (code == SQLITE_OK && faulty.kind == FAULT_POWER)
        forget(of(f)->path); /* taken as durable: only writes are lost */
    return code == SQLITE_OK ? of(f)->real->pMethods->xTruncate(of(f)->real, size) : code;
}

static int f_sync(sqlite3_file *f, int flags)
{
    int code = count_call(SQLITE_IOERR_FSYNC, of(f)->real, NULL, 0, 0);
    faulty.syncs++;
    if (code != SQLITE_OK)
        return code;
    forget(of(f)->path);
    return of(f)->real->pMethods->xSync(of(f)->real, flags);
}

/* ---- passed on */

static int f_close(sqlite3_file *f)
{
    int code = of(f)->real->pMethods ? of(f)->real->pMethods->xClose(of(f)->real) : SQLITE_OK;
    f->pMethods = NULL;
    return code;
}

static int f_read(sqlite3_file *f, void *out, int n, sqlite3_int64 at)
{
    return of(f)->real->pMethods->xRead(of(f)->real, out, n, at);
}

static int f_file_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    return of(f)->real->pMethods->xFileSize(of(f)->real, ret);
}

static int f_lock(sqlite3_file *f, int level)
{
    return of(f)->real->pMethods->xLock(of(f)->real, level);
}

static int f_unlock(sqlite3_file *f, int level)
{
    return of(f)->real->pMethods->xUnlock(of(f)->real, level);
}

static int f_check_lock(sqlite3_file *f, int *ret)
{
    return of(f)->real->pMethods->xCheckReservedLock(of(f)->real, ret);
}

static int f_control(sqlite3_file *f, int what, void *arg)
{
    return of(f)->real->pMethods->xFileControl(of(f)->real, what, arg);
}

static int f_sector_size(sqlite3_file *f)
{
    return of(f)->real->pMethods->xSectorSize(of(f)->real);
}

static int f_characteristics(sqlite3_file *f)
{
    return of(f)->real->pMethods->xDeviceCharacteristics(of(f)->real);
}

static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    return of(f)->real->pMethods->xShmMap(of(f)->real, page, size, extend, ret);
}

static int f_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return of(f)->real->pMethods->xShmLock(of(f)->real, offset, n, flags);
}

static void f_shm_barrier(sqlite3_file *f)
{
    of(f)->real->pMethods->xShmBarrier(of(f)->real);
}

static int f_shm_unmap(sqlite3_file *f, int drop)
{
    return of(f)->real->pMethods->xShmUnmap(of(f)->real, drop);
}

static const sqlite3_io_methods methods = {2,
                                           f_close,
                                           f_read,
                                           f_write,
                                           f_truncate,
                                           f_sync,
                                           f_file_size,
                                           f_lock,
                                           f_unlock,
                                           f_check_lock,
                                           f_control,
                                           f_sector_size,
                                           f_characteristics,
                                           f_shm_map,
                                           f_shm_lock,
                                           f_shm_barrier,
                                           f_shm_unmap,
                                           NULL,
                                           NULL};

static int v_open(sqlite3_vfs *, sqlite3_filename name, sqlite3_file *f, int flags, int *ret_flags)
{
    struct faulty_file *file = of(f);
    file->real = (sqlite3_file *)(void *)(file + 1);
    snprintf(file->path, sizeof file->path, "%s", name ? name : "");
    f->pMethods = NULL;
    int code = under->xOpen(under, name, file->real, flags, ret_flags);
    if (code == SQLITE_OK)
        f->pMethods = &methods;
    return code;
}

static int v_delete(sqlite3_vfs *, const char *name, int sync)
{
    int code = count_call(SQLITE_IOERR_DELETE, NULL, NULL, 0, 0);
    if (code == SQLITE_OK && faulty.kind == FAULT_POWER)
        forget(name);
    return code == SQLITE_OK ? under->xDelete(under, name, sync) : code;
}

const char *faulty_vfs(void)
{
    static sqlite3_vfs vfs;
    if (!under) {
        under = sqlite3_vfs_find(NULL);
        vfs = *under;
        vfs.zName = "faulty";
        vfs.szOsFile = (int)sizeof(struct faulty_file) + under->szOsFile;
        vfs.xOpen = v_open;
        vfs.xDelete = v_delete;
        sqlite3_vfs_register(&vfs, 0);
    }
    return "faulty";
}
