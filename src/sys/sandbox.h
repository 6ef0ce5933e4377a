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
    SANDBOX_FILTER,   /* reserved */
    SANDBOX_COMPILER, /* memory, and descriptors it holds: as little as the filter */
};

struct sandbox_options {
    enum sandbox_profile profile;
    struct str user; /* e.g. "polder-worker"; when root and no such user exists: a fixed uid of its own */
    unsigned fallback_uid; /* that uid */
    uint32_t without;      /* walls to leave out; only honoured in builds with POLDER_BREACH */
};

/* Raises every wall the kernel has. Returns 0 and the walls that stand; a negative errno when one that the
 * kernel has could not be raised (the caller must exit: a role never runs half protected). As an ordinary
 * user WALL_USER, WALL_CAPABILITIES count as standing when there is nothing to drop; WALL_NET_NAMESPACE needs
 * root. */
int sandbox_enter(const struct sandbox_options *, uint32_t *ret_walls);

/* For the dialer, before sandbox_enter: loads the name service modules that /etc/nsswitch.conf lists for
 * hosts, because code cannot be loaded inside. Asks no server; a module that is not there is skipped. */
void sandbox_warm_resolver(void);

struct str sandbox_wall_name(enum sandbox_wall); /* "seccomp" */
/* Why a wall that is missing is missing, for people: "needs kernel 6.7", "needs root". Empty when unknown. */
struct str sandbox_wall_missing(enum sandbox_wall);
bool sandbox_wall_named(struct str name, enum sandbox_wall *ret);

#endif
