/* sys/sandbox_landlock.c - no path, no TCP bind or connect, nobody outside: Landlock, landlock(7).
 *
 * Landlock denies what a ruleset "handles" and no rule allows. Everything the running kernel can handle is
 * handled; the only rules are the files of the dialer's name look-ups and the folders of the records' roles.
 * It reaches what is opened from now on: descriptors held before stay usable, which is how a role works at
 * all.
 *
 * What it does not see, so that seccomp has to: stat(2), chmod(2), chown(2), UDP, listen(2) without bind(2),
 * a connection made by MSG_FASTOPEN, and connecting to a UNIX socket that has a path. */
#include "sys/sandbox_walls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Bits newer than Debian 12's headers (6.1); from include/uapi/linux/landlock.h of 6.12. */
#define FS_TRUNCATE         (UINT64_C(1) << 14) /* ABI 3, kernel 6.2 */
#define FS_IOCTL_DEV        (UINT64_C(1) << 15) /* ABI 5, kernel 6.10 */
#define NET_BIND_TCP        (UINT64_C(1) << 0)  /* ABI 4, kernel 6.7 */
#define NET_CONNECT_TCP     (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT_UNIX (UINT64_C(1) << 0) /* ABI 6, kernel 6.12 */
#define SCOPE_SIGNAL        (UINT64_C(1) << 1)
#define FS_ABI_1            ((UINT64_C(1) << 13) - 1) /* the 13 rights of the first version */

/* struct landlock_ruleset_attr as of ABI 6: an older kernel takes it while the fields it lacks are zero. */
struct ruleset {
    uint64_t fs, net, scoped;
};
_Static_assert(sizeof(struct ruleset) == 24, "the kernel's layout");

/* What getaddrinfo(3) reads. A file is allowed as the one that is there now: a resolv.conf put in its place
 * later is not readable, and the dialer has to be replaced (as every reload does). */
static const char *const dialer_reads[] = {
    "/etc/resolv.conf", "/etc/hosts",    "/etc/nsswitch.conf",    "/etc/gai.conf",
    "/etc/host.conf",   "/etc/services", "/run/systemd/resolve/",
};

static int landlock_abi(void)
{
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static uint64_t fs_rights(int abi)
{
    return FS_ABI_1 | (abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
           (abi >= 5 ? FS_IOCTL_DEV : 0);
}

static struct ruleset ruleset_for(const struct sandbox_options *o, uint32_t walls, int abi)
{
    struct ruleset r = {0};
    if (walls & WALL_LANDLOCK_FS)
        r.fs = fs_rights(abi);
    if (abi >= 4 && (walls & WALL_LANDLOCK_NET))
        r.net = NET_BIND_TCP | (o->profile == SANDBOX_DIALER ? 0 : NET_CONNECT_TCP);
    if (abi >= 6 && (walls & WALL_LANDLOCK_SCOPE))
        r.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
    return r;
}

/* What is not there, or cannot be looked at, need not be allowed. */
static int allow_below(int ruleset_fd, const char *path, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = rights};
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return errno == ENOENT || errno == EACCES ? 0 : -errno;
    long e = syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    int error = e < 0 ? -errno : 0;
    close(rule.parent_fd);
    return error;
}

static uint64_t folder_rights(enum sandbox_profile profile, int abi)
{
    const uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    const uint64_t growing =
        reading | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | (abi >= 3 ? FS_TRUNCATE : 0);
    const uint64_t writing = growing | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE;
    switch (profile) {
    case SANDBOX_RECORDS_WORKER:
        return reading;
    case SANDBOX_RECORDS_AUDIT:
        return growing;
    case SANDBOX_RECORDS_OWNER:
    case SANDBOX_FILTER:
        return writing;
    case SANDBOX_RECORDS_EXPORTER:
        return writing & ~(uint64_t)LANDLOCK_ACCESS_FS_MAKE_DIR;
    default:
        return 0;
    }
}

static int allow_profile_paths(int ruleset_fd, const struct sandbox_options *o, int abi)
{
    int e = 0;
    uint64_t rights = folder_rights(o->profile, abi);
    for (size_t i = 0; rights && o->folders && !e && o->folders[i]; i++)
        e = allow_below(ruleset_fd, o->folders[i], rights);
    for (size_t i = 0; rights && o->readable && !e && o->readable[i]; i++)
        e = allow_below(ruleset_fd, o->readable[i],
                        LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR);
    for (size_t i = 0; rights && o->files && !e && o->files[i]; i++)
        e = allow_below(ruleset_fd, o->files[i],
                        LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
    if (o->profile != SANDBOX_DIALER)
        return e;
    for (size_t i = 0; !e && i < sizeof dialer_reads / sizeof *dialer_reads; i++)
        e = allow_below(ruleset_fd, dialer_reads[i], LANDLOCK_ACCESS_FS_READ_FILE);
    return e;
}

int landlock_raise(const struct sandbox_options *o, uint32_t walls, uint32_t *stands)
{
    int abi = landlock_abi();
    if (abi < 1)
        return 0; /* not built in, or not switched on at boot */
    struct ruleset r = ruleset_for(o, walls, abi);
    if (!r.fs && !r.net && !r.scoped)
        return 0;
    int fd = (int)syscall(SYS_landlock_create_ruleset, &r, sizeof r, 0);
    if (fd < 0)
        return -errno;
    int e = r.fs ? allow_profile_paths(fd, o, abi) : 0;
    if (!e && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        e = -errno;
    close(fd);
    if (!e)
        *stands |= (r.fs ? WALL_LANDLOCK_FS : 0U) | (r.net ? WALL_LANDLOCK_NET : 0U) |
                   (r.scoped ? WALL_LANDLOCK_SCOPE : 0U);
    return e;
}
