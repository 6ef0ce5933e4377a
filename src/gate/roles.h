/* gate/roles.h - how the processes of the gate are started, and which descriptor is what.
 *
 * The master executes the own binary anew for every role, with role_argv() as arguments: "polder-gate",
 * "role=worker", "slot=0", "user=polder" and, in breach builds, "without=N" (walls to leave out) and
 * "breach=FD" (where its commands come from). Descriptors
 * 0 and 1 are /dev/null, 2 is the master's standard error; from 3 on they are as listed here, in this order
 * (process_start puts fds[i] at 3 + i). Everything else comes over the channel, as messages. */
#ifndef POLDER_GATE_ROLES_H
#define POLDER_GATE_ROLES_H

#include "ipc/messages.h"

enum role_run {
    ROLE_RUN_STARTING,
    ROLE_RUN_UP,
    ROLE_RUN_DRAINING,
    ROLE_RUN_STOPPED,
    ROLE_RUN_DIED,
    ROLE_RUN_COUNT
};

enum order_kind { ORDER_RELOAD = 1, ORDER_DRAIN, ORDER_UPGRADE };

enum log_kind { LOG_ACCESS = 1, LOG_EVENT, LOG_WAF };

enum {
    FD_CHANNEL = 3, /* every role: SOCK_SEQPACKET to the master */

    /* The observer's. What is switched off is passed as /dev/null. */
    FD_CONTROL = 4,    /* listening UNIX socket */
    FD_MANAGEMENT = 5, /* listening TCP socket */
    FD_ACCESS_LOG = 6, /* opened for appending */
    FD_EVENT_LOG = 7,
    FD_WAF_LOG = 8,
    FD_OBSERVER_END,

    /* A worker's: the bundle it will be told to prepare first, for what must be made before the walls. */
    FD_BUNDLE = 4,

    FD_ISOLATION = 4,     /* the filter's: the folder of record and journal; /dev/null: it cannot be opened */
    FD_FILTER_BUNDLE = 5, /* the filter's: as FD_BUNDLE */

    FD_RESULT = 4, /* a compiler's: the memfd for what it makes */
};

/* Users of their own, where the machine has no "polder-worker", "polder-observer", ...: uid base + role. */
enum { ROLE_FALLBACK_UID = 64'400 };

struct role_start {
    enum role role;
    unsigned slot;
    struct str user;  /* gate.user of the configuration: the role's user is USER-ROLE */
    uint32_t without; /* enum sandbox_wall */
#ifdef POLDER_BREACH
    int breach_fd; /* tests/breach/live.c; 0: none */
#endif
};

/* Reads the arguments the master gave; false: this is no start of a role. */
[[nodiscard]] bool role_start_parse(int argc, char *const argv[], struct role_start *ret);
/* Writes them, each ending in a NUL, into memory; ret_argv has room for ROLE_ARGV_MAX and ends in NULL.
 * False: the memory is too small. */
enum { ROLE_ARGV_MAX = 7 };
[[nodiscard]] bool role_argv(const struct role_start *, struct buf *memory, char *ret_argv[ROLE_ARGV_MAX]);

struct str role_run_name(enum role_run);     /* "up" */
struct str order_kind_name(enum order_kind); /* "reload" */

/* Each role's main, called by polder-gate's main() when role_start_parse says so. */
int worker_main(int argc, char **argv);
int signer_main(int argc, char **argv);
int dialer_main(int argc, char **argv);
int observer_main(int argc, char **argv);
int filter_main(int argc, char **argv);
int compiler_main(int argc, char **argv);

#endif
