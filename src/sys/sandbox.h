/* sys/sandbox.h - the walls around a role. Raised once, after everything was opened, never lowered.
 *
 * Each wall stands by itself: a test removes one at a time and sees the attack it held off succeed. */
#ifndef POLDER_SYS_SANDBOX_H
#define POLDER_SYS_SANDBOX_H

#include "base/str.h"

/* Which walls stand; what sandbox_enter returns and `polder status` shows. */
enum sandbox_wall {
    WALL_NO_NEW_PRIVS = 1 << 0,      /* prctl(2) PR_SET_NO_NEW_PRIVS */
    WALL_USER = 1 << 1,              /* an own user and group, no supplementary groups */
    WALL_CAPABILITIES = 1 << 2,      /* none left, bounding set empty */
    WALL_SECCOMP = 1 << 3,           /* system call allow-list; what is not on it kills the process */
    WALL_LANDLOCK_FS = 1 << 4,       /* no path can be opened, but for what the profile lists */
    WALL_LANDLOCK_NET = 1 << 5,      /* no TCP bind or connect (kernel 6.7 and later) */
    WALL_NET_NAMESPACE = 1 << 6,     /* an empty network namespace: inherited sockets only */
    WALL_WRITE_XOR_EXECUTE = 1 << 7, /* no memory becomes executable: seccomp, and PR_SET_MDWE from 6.3 */
    WALL_NOT_DUMPABLE = 1 << 8,      /* no ptrace or /proc/PID/mem by others of the same user, no core */
    WALL_LIMITS = 1 << 9,            /* RLIMIT_NPROC, CORE, and MEMLOCK as the profile says */
    WALL_LANDLOCK_SCOPE = 1 << 10,   /* no signal to, no abstract UNIX socket of others (kernel 6.12) */
};
enum { WALL_COUNT = 11 };

/* One a role; the system calls of each stand in sandbox_seccomp.c, the paths in sandbox_landlock.c. */
enum sandbox_profile {
    SANDBOX_WORKER,   /* inherited and passed descriptors only: no open, no socket, no exec */
    SANDBOX_SIGNER,   /* channels and memory, nothing else */
    SANDBOX_DIALER,   /* creates TCP sockets, connects, and looks names up (reads /etc, sends UDP) */
    SANDBOX_OBSERVER, /* as the worker, and may wait for its logs to be on disk */
    SANDBOX_FILTER,   /* keeps CAP_BPF and CAP_NET_ADMIN, in the machine's network; reads and writes below its
                         folders; loads no program */
    SANDBOX_COMPILER, /* memory, and descriptors it holds: as little as the filter */
    SANDBOX_RECORDS_WORKER,   /* as the worker, and reads the databases in its folders */
    SANDBOX_RECORDS_OWNER,    /* writes databases in its folders; no connections */
    SANDBOX_RECORDS_AUDIT,    /* appends to files in its folders (see sandbox_append_only); no connections */
    SANDBOX_RECORDS_EXPORTER, /* reads databases, writes files in its folders; no connections */
};

struct sandbox_options {
    enum sandbox_profile profile;
    struct str user; /* e.g. "polder-worker"; when root and no such user exists: a fixed uid of its own */
    unsigned fallback_uid; /* that uid */
    uint32_t without;      /* walls to leave out; only honoured in builds with POLDER_BREACH */
    /* Of profiles that have any, both ending in NULL: folders below which may be opened what the profile
     * says, and files there that may be written as well. */
    const char *const *folders, *const *files;
    const char *const
        *readable; /* so too: folders below which may be read, whatever the profile says of others */
};

/* Who a role becomes by WALL_USER: for what must belong to it before. As an ordinary user: oneself. */
int sandbox_identity(const struct sandbox_options *, unsigned *ret_uid, unsigned *ret_gid);

/* Raises every wall the kernel has. Returns 0 and the walls that stand; a negative errno when one that the
 * kernel has could not be raised (the caller must exit: a role never runs half protected). As an ordinary
 * user WALL_USER, WALL_CAPABILITIES count as standing when there is nothing to drop; WALL_NET_NAMESPACE needs
 * root. */
int sandbox_enter(const struct sandbox_options *, uint32_t *ret_walls);

/* For SANDBOX_RECORDS_AUDIT, behind these walls, once its files are open: from now on it opens nothing and
 * cuts nothing off, and what was opened with O_APPEND keeps it. That a file cannot be changed by mapping it
 * takes more: no descriptor of it may both read and write. Negative errno: it must not run. */
int sandbox_append_only(uint32_t walls);

/* For the dialer, before sandbox_enter: loads the name service modules that /etc/nsswitch.conf lists for
 * hosts, because code cannot be loaded inside. Asks no server; a module that is not there is skipped. */
void sandbox_warm_resolver(void);

struct str sandbox_wall_name(enum sandbox_wall); /* "seccomp" */
/* Why a wall that is missing is missing, for people: "needs kernel 6.7", "needs root". Empty when unknown. */
struct str sandbox_wall_missing(enum sandbox_wall);
bool sandbox_wall_named(struct str name, enum sandbox_wall *ret);

#endif
