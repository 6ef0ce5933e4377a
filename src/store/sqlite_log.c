/* The write-ahead log is written in large pieces.
 *
 * SQLite writes a page into its log by two calls, one of 24 bytes and one of 4096, and a group of writes
 * changes hundreds of pages. They follow one another, so this file layer (https://www.sqlite.org/vfs.html)
 * gathers them and hands them on by one call, when SQLite syncs the log. All other files are the layer's
 * below.
 *
 * What always holds: bytes that are held back are bytes that no sync was asked for yet, so nobody was told
 * that they are durable; and readers look only at what the log's index names, which SQLite writes after the
 * sync. Whatever else is asked of the log (a read, its size, a truncation) comes after what is held back was
 * handed on. */
#include "store/sqlite_store.h"

#include <stdlib.h>

/* SQLite's layer for Unix takes less than 128 KiB in one call, and says of more that the disk is full. */
enum { HELD_BYTES_MAX = 120 << 10, LAYERS_MAX = 4 };

struct log_file {
    sqlite3_file base;
    sqlite3_int64 at; /* where the bytes that are held belong */
    int n;
    char *held;         /* NULL: there is no memory for it, or nothing was written yet */
    sqlite3_file *real; /* behind this struct */
};

static struct log_file *of(sqlite3_file *f)
{
    return (struct log_file *)(void *)f;
}

/* What could not be written is not tried again: SQLite undoes the group. */
static int hand_on(struct log_file *l)
{
    int n = l->n;
    l->n = 0;
    return n ? l->real->pMethods->xWrite(l->real, l->held, n, l->at) : SQLITE_OK;
}

static int log_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
    struct log_file *l = of(f);
    bool follows = at == l->at + l->n && n <= HELD_BYTES_MAX - l->n;
    int code = l->n && !follows ? hand_on(l) : SQLITE_OK;
    if (code != SQLITE_OK)
        return code;
    if (!l->held && !(l->held = malloc(HELD_BYTES_MAX)))
        return l->real->pMethods->xWrite(l->real, bytes, n, at);
    if (n > HELD_BYTES_MAX)
        return l->real->pMethods->xWrite(l->real, bytes, n, at);
    if (!l->n)
        l->at = at;
    memcpy(l->held + l->n, bytes, (size_t)n);
    l->n += n;
    return SQLITE_OK;
}

static int log_sync(sqlite3_file *f, int flags)
{
    int code = hand_on(of(f));
    return code == SQLITE_OK ? of(f)->real->pMethods->xSync(of(f)->real, flags) : code;
}

static int log_read(sqlite3_file *f, void *out, int n, sqlite3_int64 at)
{
    int code = hand_on(of(f));
    return code == SQLITE_OK ? of(f)->real->pMethods->xRead(of(f)->real, out, n, at) : code;
}

static int log_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    int code = hand_on(of(f));
    return code == SQLITE_OK ? of(f)->real->pMethods->xTruncate(of(f)->real, size) : code;
}

static int log_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    int code = hand_on(of(f));
    return code == SQLITE_OK ? of(f)->real->pMethods->xFileSize(of(f)->real, ret) : code;
}

static int log_close(sqlite3_file *f)
{
    struct log_file *l = of(f);
    int handed = hand_on(l), closed = l->real->pMethods->xClose(l->real);
    free(l->held);
    f->pMethods = NULL;
    return handed == SQLITE_OK ? closed : handed;
}

/* ---- passed on */

static int log_lock(sqlite3_file *f, int level)
{
    return of(f)->real->pMethods->xLock(of(f)->real, level);
}

static int log_unlock(sqlite3_file *f, int level)
{
    return of(f)->real->pMethods->xUnlock(of(f)->real, level);
}

static int log_check_lock(sqlite3_file *f, int *ret)
{
    return of(f)->real->pMethods->xCheckReservedLock(of(f)->real, ret);
}

static int log_control(sqlite3_file *f, int what, void *argument)
{
    return of(f)->real->pMethods->xFileControl(of(f)->real, what, argument);
}

static int log_sector_size(sqlite3_file *f)
{
    return of(f)->real->pMethods->xSectorSize(of(f)->real);
}

static int log_characteristics(sqlite3_file *f)
{
    return of(f)->real->pMethods->xDeviceCharacteristics(of(f)->real);
}

/* Version 1: shared memory and mapping are asked of databases only. */
static const sqlite3_io_methods methods = {.iVersion = 1,
                                           .xClose = log_close,
                                           .xRead = log_read,
                                           .xWrite = log_write,
                                           .xTruncate = log_truncate,
                                           .xSync = log_sync,
                                           .xFileSize = log_size,
                                           .xLock = log_lock,
                                           .xUnlock = log_unlock,
                                           .xCheckReservedLock = log_check_lock,
                                           .xFileControl = log_control,
                                           .xSectorSize = log_sector_size,
                                           .xDeviceCharacteristics = log_characteristics};

/* ---- the layer */

struct layer {
    sqlite3_vfs vfs;
    sqlite3_vfs *below;
    char name[64];
};

static int open_file(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *ret_flags)
{
    sqlite3_vfs *below = ((struct layer *)(void *)vfs)->below;
    if (!(flags & SQLITE_OPEN_WAL))
        return below->xOpen(below, name, f, flags, ret_flags);
    struct log_file *l = of(f);
    *l = (struct log_file){.real = (sqlite3_file *)(void *)(l + 1)};
    int code = below->xOpen(below, name, l->real, flags, ret_flags);
    if (code == SQLITE_OK)
        f->pMethods = &methods;
    else if (l->real->pMethods) /* SQLite would close it; it sees only ours */
        l->real->pMethods->xClose(l->real);
    return code;
}

const char *sqlite_log_layer(const char *below)
{
    static struct layer layers[LAYERS_MAX];
    sqlite3_vfs *under = sqlite3_vfs_find(below);
    for (unsigned i = 0; under && i < LAYERS_MAX; i++) {
        struct layer *l = &layers[i];
        if (l->below == under)
            return l->name;
        if (l->below)
            continue;
        struct buf name = buf_over(l->name, sizeof l->name);
        buf_printf(&name, "polder-%s%c", under->zName, 0);
        l->vfs = *under;
        l->vfs.zName = l->name;
        l->vfs.szOsFile = (int)sizeof(struct log_file) + under->szOsFile;
        l->vfs.xOpen = open_file;
        if (buf_overflowed(&name) || sqlite3_vfs_register(&l->vfs, 0) != SQLITE_OK)
            return below;
        l->below = under;
        return l->name;
    }
    return below;
}
