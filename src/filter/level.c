/* filter/level.c - the level: one store, and then the certainty that nobody still looks at the old one. */
#include "filter/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void sysctl_write(int fd, char digit)
{
    if (fd >= 0)
        (void)!pwrite(fd, &digit, 1, 0);
}

/* A packet program runs inside an RCU read section, so all that began before this call have ended when a
 * grace period has gone by; that is what this membarrier waits for (membarrier(2), MEMBARRIER_CMD_GLOBAL).
 * Expedited, where we may ask for that, it takes a tenth of a millisecond instead of ten. */
void filter_wait_for_programs(const struct filter *f)
{
    sysctl_write(f->expedite_fd, '1');
    (void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
    sysctl_write(f->expedite_fd, '0');
}

static bool sysctl_read(const char *path, char *memory, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, memory, cap - 1);
    if (fd >= 0)
        close(fd);
    memory[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static unsigned long sysctl_last_number(const char *path, unsigned long otherwise)
{
    char text[96];
    if (!sysctl_read(path, text, sizeof text))
        return otherwise;
    char *at = text, *end;
    unsigned long number = otherwise;
    for (;; at = end) {
        unsigned long next = strtoul(at, &end, 10);
        if (end == at)
            return number;
        number = next;
    }
}

/* What tcp_select_initial_window() of the kernel arrives at for a socket without SO_RCVBUF. */
static uint8_t window_scale(void)
{
    unsigned long tcp = sysctl_last_number("/proc/sys/net/ipv4/tcp_rmem", 6'291'456);
    unsigned long core = sysctl_last_number("/proc/sys/net/core/rmem_max", 212'992);
    unsigned long space = tcp > core ? tcp : core;
    int bits = 63 - __builtin_clzl(space | 1), scale = bits - 15;
    return (uint8_t)(scale < 0 ? 0 : scale > 14 ? 14 : scale);
}

/* Descriptors stay open, for when the walls of the process leave no other way to them. */
void filter_sysctls_find(struct filter *f, bool may_set)
{
    if (may_set) {
        f->syncookies_fd = open("/proc/sys/net/ipv4/tcp_syncookies", O_WRONLY | O_CLOEXEC);
        if (sysctl_last_number("/sys/kernel/rcu_expedited", 1) ==
            0) /* 1: the machine's own choice, left alone */
            f->expedite_fd = open("/sys/kernel/rcu_expedited", O_WRONLY | O_CLOEXEC);
        int stamps = open("/proc/sys/net/ipv4/tcp_timestamps", O_WRONLY | O_CLOEXEC);
        sysctl_write(stamps, '2');
        if (stamps >= 0)
            close(stamps);
    }
    f->stamps = sysctl_last_number("/proc/sys/net/ipv4/tcp_timestamps", 1) == 2;
    f->wscale = window_scale();
}

void filter_sysctls_close(struct filter *f)
{
    if (f->syncookies_fd >= 0)
        close(f->syncookies_fd);
    if (f->expedite_fd >= 0)
        close(f->expedite_fd);
}

/* Where every stranger gets a cookie, the kernel must be willing to make one for each; elsewhere only when a
 * queue is full. */
static void syncookies_follow(struct filter *f)
{
    uint32_t level = filter_level(f, 0);
    for (unsigned i = 0; i < FILTER_CLUSTERS; i++)
        level = f->control->cluster_level[i] > level ? f->control->cluster_level[i] : level;
    bool always = filter_level_default(level)->flags & FILTER_LEVEL_COOKIES;
    sysctl_write(f->syncookies_fd, always ? '2' : '1');
}

int filter_level_set(struct filter *f, uint32_t cluster, uint32_t level)
{
    if (level >= FILTER_LEVEL_COUNT || cluster >= FILTER_CLUSTERS)
        return -EINVAL;
    uint32_t *slot = cluster == 0 ? &f->control->level : &f->control->cluster_level[cluster];
    __atomic_store_n(slot, level, __ATOMIC_SEQ_CST);
    syncookies_follow(f);
    filter_wait_for_programs(f);
    return 0;
}

uint32_t filter_level(const struct filter *f, uint32_t cluster)
{
    if (cluster >= FILTER_CLUSTERS)
        return FILTER_LEVEL_SEALED;
    uint32_t level = cluster == 0 ? __atomic_load_n(&f->control->level, __ATOMIC_SEQ_CST)
                                  : __atomic_load_n(&f->control->cluster_level[cluster], __ATOMIC_SEQ_CST);
    return level < FILTER_LEVEL_COUNT ? level : FILTER_LEVEL_SEALED;
}
