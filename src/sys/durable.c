/* sys/durable.c - see durable.h. fsync(2) of a file does not sync the entry that leads to it: whoever makes
 * one syncs its folder too. */
#include "sys/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int sync_parent(const char *path)
{
    char parent[4096];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof parent)
        return -ENAMETOOLONG;
    memcpy(parent, slash && n == 0 ? "/" : n ? path : ".", n ? n : 1);
    parent[n ? n : 1] = '\0';
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return error;
}

int durable_folder(const char *path)
{
    struct stat st;
    int error = mkdir(path, 0700) == 0 ? sync_parent(path) : errno == EEXIST ? 0 : -errno;
    if (error)
        return error;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && (st.st_mode & 022) == 0)
        return fd;
    close(fd);
    return -EPERM;
}

int durable_open_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int plain_file(int fd)
{
    struct stat st;
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return -EINVAL;
}

int durable_open(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT)
        return plain_file(fd);
    fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (fsync(fd) == 0 && fsync(folder) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

int durable_open_reader(int folder, const char *name)
{
    return plain_file(openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
}

int durable_read(int fd, size_t limit, struct str *ret)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size < 0 || (uint64_t)st.st_size > limit)
        return -EFBIG;
    size_t room = (size_t)st.st_size, n = 0;
    char *bytes = malloc(room + 1);
    while (bytes && n < room) {
        ssize_t got = pread(fd, bytes + n, room - n, (off_t)n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int error = -errno;
            free(bytes);
            return error;
        }
        if (got == 0)
            break; /* it was cut meanwhile */
        n += (size_t)got;
    }
    if (!bytes)
        return -ENOMEM;
    *ret = (struct str){bytes, n};
    return 0;
}

static int write_at(int fd, uint64_t at, struct str bytes)
{
    while (bytes.n) {
        ssize_t n = pwrite(fd, bytes.p, bytes.n, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        bytes = str_skip(bytes, (size_t)n);
        at += (size_t)n;
    }
    return 0;
}

int durable_cut(int fd, uint64_t size)
{
    return ftruncate(fd, (off_t)size) < 0 || fdatasync(fd) < 0 ? -errno : 0;
}

int durable_replace(int fd, struct str bytes)
{
    int error = write_at(fd, 0, bytes);
    return error ? error : durable_cut(fd, bytes.n);
}

int durable_append(int fd, uint64_t at, struct str bytes)
{
    int error = write_at(fd, at, bytes);
    if (!error && fdatasync(fd) == 0)
        return 0;
    error = error ? error : -errno;
    (void)durable_cut(fd, at); /* what stays of it is a torn end, which readers leave out */
    return error;
}
