/* config/disk.c - the files a configuration names, from the disk; each is read once and remembered. */
#include "config/parse.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DISK_BYTES_MAX = 512 << 20, DISK_FILE_MAX = 17 << 20 };

struct config_disk {
    struct arena *arena;
    struct str config_path, folder; /* both absolute where the file exists; folder without '/' at its end */
    struct config_bundle_entry *entries;
    unsigned count, cap;
};

static bool find_folder(struct config_disk *d)
{
    char *z = arena_copy_z(d->arena, d->config_path);
    char *full = z ? realpath(z, NULL) : NULL;
    struct str path = full ? str_of(full) : d->config_path;
    size_t n = path.n;
    while (n > 0 && path.p[n - 1] != '/')
        n--;
    d->folder = n ? arena_copy(d->arena, str_take(path, n - 1)) : STR(".");
    free(full);
    return z != NULL;
}

struct config_disk *config_disk_new(struct str config_path)
{
    struct arena *arena = arena_new(DISK_BYTES_MAX);
    struct config_disk *d = arena ? arena_alloc(arena, sizeof *d) : NULL;
    if (!d) {
        arena_free(arena);
        return NULL;
    }
    d->arena = arena;
    d->config_path = arena_copy(arena, config_path);
    if (!find_folder(d)) {
        arena_free(arena);
        return NULL;
    }
    return d;
}

void config_disk_free(struct config_disk *d)
{
    if (d)
        arena_free(d->arena);
}

struct str config_disk_resolve(struct config_disk *d, struct str path)
{
    if (path.n && path.p[0] == '/')
        return arena_copy(d->arena, path);
    return arena_printf(d->arena, "%.*s/%.*s", STR_ARG(d->folder), STR_ARG(path));
}

static const char *error_words(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return "no such file";
    case EACCES:
    case EPERM:
        return "no permission to read it";
    case EISDIR:
    case ENXIO:
    case EINVAL:
        return "not a regular file";
    case EFBIG:
        return "it is too large";
    case ENOMEM:
        return "no memory";
    default:
        return "it cannot be read";
    }
}

/* All of a regular file; a negative errno otherwise. */
static int read_all(struct arena *arena, int fd, struct str *ret)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EISDIR;
    if (st.st_size > DISK_FILE_MAX)
        return -EFBIG;
    size_t size = (size_t)st.st_size, n = 0;
    char *bytes = arena_bytes(arena, size + 1);
    if (!bytes)
        return -ENOMEM;
    while (n < size) {
        ssize_t got = read(fd, bytes + n, size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break; /* it shrank meanwhile */
        n += (size_t)got;
    }
    *ret = (struct str){bytes, n};
    return 0;
}

static int read_path(struct arena *arena, struct str path, struct str *ret)
{
    char *z = arena_copy_z(arena, path);
    if (!z)
        return -ENOMEM;
    int fd = open(z, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a FIFO must not hold us up */
    if (fd < 0)
        return -errno;
    int error = read_all(arena, fd, ret);
    close(fd);
    return error;
}

bool config_disk_open(struct config_disk *d, struct str *ret_yaml, struct str *ret_error)
{
    int error = read_path(d->arena, d->config_path, ret_yaml);
    if (error)
        *ret_error = str_of(error_words(-error));
    return error == 0;
}

static bool remember(struct config_disk *d, struct str path, struct str bytes)
{
    if (d->count == d->cap) {
        unsigned cap = d->cap ? d->cap * 2 : 32;
        struct config_bundle_entry *more = arena_alloc(d->arena, cap * sizeof *more);
        if (!more)
            return false;
        if (d->count)
            memcpy(more, d->entries, d->count * sizeof *more);
        d->entries = more;
        d->cap = cap;
    }
    d->entries[d->count++] = (struct config_bundle_entry){arena_copy(d->arena, path), bytes};
    return true;
}

static bool disk_file(void *self, struct str path, struct str *ret_bytes, struct str *ret_error)
{
    struct config_disk *d = self;
    for (unsigned i = 0; i < d->count; i++)
        if (str_eq(d->entries[i].path, path)) {
            *ret_bytes = d->entries[i].bytes;
            return true;
        }
    struct str full = config_disk_resolve(d, path), bytes = STR_NONE;
    int error = read_path(d->arena, full, &bytes);
    if (!error && !remember(d, path, bytes))
        error = -ENOMEM;
    if (error)
        *ret_error = arena_printf(d->arena, "%s", error_words(-error));
    else
        *ret_bytes = bytes;
    return error == 0;
}

/* What matches, as lines of absolute paths, sorted as the C locale does. */
static bool matches_of(struct config_disk *d, struct str pattern, struct str *ret_lines)
{
    glob_t found = {0};
    char *z = arena_copy_z(d->arena, config_disk_resolve(d, pattern));
    int error = z ? glob(z, 0, NULL, &found) : GLOB_NOSPACE;
    size_t n = 0;
    for (size_t i = 0; i < found.gl_pathc; i++)
        n += strlen(found.gl_pathv[i]) + 1;
    struct buf lines = buf_over(arena_bytes(d->arena, n + 1), n);
    for (size_t i = 0; lines.p && i < found.gl_pathc; i++) {
        buf_str(&lines, str_of(found.gl_pathv[i]));
        buf_char(&lines, '\n');
    }
    globfree(&found);
    *ret_lines = buf_text(&lines);
    return lines.p && (error == 0 || error == GLOB_NOMATCH);
}

/* Asked twice, the answer is the same: what goes into the bundle is what was used. */
static bool disk_list(void *self, struct str pattern, struct str *ret_lines)
{
    struct config_disk *d = self;
    struct str name = config_list_name(d->arena, pattern);
    for (unsigned i = 0; i < d->count; i++)
        if (str_eq(d->entries[i].path, name)) {
            *ret_lines = d->entries[i].bytes;
            return true;
        }
    return matches_of(d, pattern, ret_lines) && remember(d, name, *ret_lines);
}

struct config_files config_disk_files(struct config_disk *d)
{
    return (struct config_files){disk_file, d, disk_list};
}

const struct config_bundle_entry *config_disk_read(const struct config_disk *d, unsigned *ret_count)
{
    *ret_count = d->count;
    return d->entries;
}
