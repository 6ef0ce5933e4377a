/* sys/shm.c - memfd_create(2) and its seals (fcntl(2), "File Sealing"). */
#include "sys/shm.h"
#include "base/unconst.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* from Linux 6.3 */
#endif

enum { SEALS_SIZE = F_SEAL_SHRINK | F_SEAL_GROW, SEALS_ALL = SEALS_SIZE | F_SEAL_WRITE };

static int memfd_new(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd < 0 ? -errno : fd;
}

static int close_with(int fd, int e)
{
    close(fd);
    return e;
}

int shm_create(const char *name, size_t size)
{
    int fd = memfd_new(name);
    if (fd < 0)
        return fd;
    if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, SEALS_SIZE | F_SEAL_SEAL) < 0)
        return close_with(fd, -errno);
    return fd;
}

void *shm_map(int fd, size_t size, bool writable)
{
    void *p = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

void shm_unmap(void *p, size_t size)
{
    if (p)
        munmap(p, size);
}

static int write_all(int fd, struct str bytes)
{
    while (bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        bytes = (struct str){bytes.p + n, bytes.n - (size_t)n};
    }
    return 0;
}

int shm_from_bytes(const char *name, struct str bytes)
{
    int fd = memfd_new(name);
    if (fd < 0)
        return fd;
    int e = write_all(fd, bytes);
    if (!e && fcntl(fd, F_ADD_SEALS, SEALS_ALL | F_SEAL_SEAL) < 0)
        e = -errno;
    return e ? close_with(fd, e) : fd;
}

bool shm_map_sealed(int fd, size_t limit_bytes, struct str *ret_bytes)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat info;
    if (seals < 0 || (seals & SEALS_ALL) != SEALS_ALL || fstat(fd, &info) < 0 || info.st_size < 0 ||
        (size_t)info.st_size > limit_bytes)
        return false;
    if (info.st_size == 0) {
        *ret_bytes = STR("");
        return true;
    }
    /* Private: before Linux 6.7 a shared mapping of what is sealed against writing is refused. */
    const char *p = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return false;
    *ret_bytes = (struct str){p, (size_t)info.st_size};
    return true;
}

void shm_unmap_sealed(struct str bytes)
{
    if (bytes.n)
        munmap(unconst(bytes.p), bytes.n);
}
