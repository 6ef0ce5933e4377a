/* gate/filter_owner.c - one filter role at a time keeps record and journal, also while an upgrade has two of
 * them.
 *
 * The file `owner` holds the number of the one that keeps them. Its first byte is locked while somebody
 * reads, decides and writes; and each filter role holds, for as long as it lives, a lock on the byte whose
 * place is its own number. So who comes later takes over at once, who came before finds out before it does
 * anything, and when the later one is dead the earlier one takes over again. Locks are the kernel's
 * (fcntl(2), F_SETLK): they go with the process. */
#include "gate/filter_desk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 5000, PAUSE_NS = 1'000'000 };

static int lock_byte(int fd, uint64_t at, short kind)
{
    struct flock lock = {.l_type = kind, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1};
    return fcntl(fd, F_SETLK, &lock) == 0 ? 0 : -errno;
}

/* In short sleeps: an order of another one takes milliseconds. */
static bool take_turn(int fd)
{
    static const struct timespec pause = {.tv_nsec = PAUSE_NS};
    for (unsigned i = 0; i < TRIES; i++) {
        int error = lock_byte(fd, 0, F_WRLCK);
        if (error != -EAGAIN && error != -EACCES)
            return error == 0;
        nanosleep(&pause, NULL);
    }
    return false;
}

static bool is_alive(int fd, uint64_t number)
{
    if (number == 0 || lock_byte(fd, number, F_WRLCK) != 0)
        return number != 0;
    lock_byte(fd, number, F_UNLCK);
    return false;
}

static uint64_t owner_of(int fd)
{
    uint64_t number = 0;
    return pread(fd, &number, sizeof number, 0) == sizeof number ? number : 0;
}

void owner_open(struct owner *o, int fd)
{
    *o = (struct owner){.fd = fd};
    if (fd < 0 || getrandom(&o->number, sizeof o->number, 0) != sizeof o->number)
        return;
    o->number =
        (o->number & (UINT64_MAX >> 2)) | 1 << 20; /* a place in a file, and not that of the first byte */
    if (lock_byte(fd, o->number, F_WRLCK) != 0)
        o->number = 0;
}

enum ownership owner_enter(struct owner *o, bool takes_over)
{
    if (o->fd < 0 || !o->number)
        return OWNER_ALONE; /* nothing is kept here by anybody */
    if (!take_turn(o->fd))
        return OWNER_OTHER;
    uint64_t owner = owner_of(o->fd);
    if (owner == o->number)
        return OWNER_SAME;
    if (!takes_over && is_alive(o->fd, owner)) {
        owner_leave(o);
        return OWNER_OTHER;
    }
    if (pwrite(o->fd, &o->number, sizeof o->number, 0) == sizeof o->number)
        return OWNER_NEW;
    owner_leave(o); /* a disk that takes no eight bytes: whoever owned them still does */
    return takes_over ? OWNER_ALONE : OWNER_OTHER;
}

void owner_leave(struct owner *o)
{
    if (o->fd >= 0)
        lock_byte(o->fd, 0, F_UNLCK);
}
