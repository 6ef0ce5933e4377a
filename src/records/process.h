/* records/process.h - how the processes of polder-records are started, and what every role does the same way:
 * arguments, configuration, sandbox, hello, the ducts to others, the end.
 *
 * The master executes the own binary anew for every role: "polder-records", "role=owner", "slot=0",
 * "user=polder". Descriptors 0 and 1 are /dev/null, 2 is the master's standard error, 3 the channel to the
 * master, 4 the configuration bundle. Everything else comes over the channel (ipc/messages.def).
 *
 * Unlike the gate's roles, a role of the records does not outlive its master: when the channel closes it
 * finishes what it is at and ends. */
#ifndef POLDER_RECORDS_PROCESS_H
#define POLDER_RECORDS_PROCESS_H

#include "config/config.h"
#include "ipc/duct.h"
#include "ipc/messages.h"
#include "store/store.h"
#include "sys/sandbox.h"

/* In the number of the cluster, from a worker to the audit: no line, but a question about lines. */
#define AUDIT_IS_ASKED (UINT32_C(1) << 31)

enum {
    FD_CHANNEL = 3,
    FD_BUNDLE = 4,
    RECORDS_CLUSTERS_MAX = 1024,
    RECORDS_WORKERS_MAX = 32,
    RECORDS_OWNERS_MAX = 16
};

struct rest_guard;

struct process_start {
    enum role role;
    unsigned slot;
    struct str user;
};
/* False: this is no start of a role. */
[[nodiscard]] bool process_start_parse(int argc, char *const argv[], struct process_start *ret);
enum { PROCESS_ARGV_MAX = 5 };
[[nodiscard]] bool process_argv(const struct process_start *, struct buf *memory,
                                char *ret_argv[PROCESS_ARGV_MAX]);

struct process {
    enum role role;
    struct process_start start;
    struct loop *loop;
    struct channel *master;
    struct signals *signals;
    struct config *config;
    uint32_t walls;
    struct duct_parts arriving;
    struct store_link **store_links; /* of each cluster; NULL: none, or taken */
    /* A duct to another role is there; takes the parts. False: not wanted, the role ends. */
    bool (*link)(struct process *, enum role other, unsigned slot, struct duct_parts take, unsigned side);
    /* A listening socket; takes it. NULL: none are expected. */
    bool (*listen)(struct process *, int take_fd);
    void (*stop)(struct process *, uint32_t drain_ms); /* NULL: at once */
};

/* Everything up to hello; the callbacks and the role must be set. `prepare` runs inside the walls (may be
 * NULL). False: it said why on standard error; return 1 from the role's main. */
[[nodiscard]] bool process_begin(struct process *, int argc, char **argv, bool (*prepare)(struct process *));
void process_end(struct process *);
/* The clusters whose writes go to this owner. */
unsigned process_owner_of(const struct config *, unsigned cluster);
/* The store of a cluster, in its folder or its database; that one once. Sets the link of the options. */
enum store_result process_open_store(struct process *, unsigned cluster, struct store_options *,
                                     struct store **ret);
/* A line on standard error. */
[[gnu::format(printf, 2, 3)]] void process_say(const struct process *, const char *format, ...);

/* The guard (records/access.h); false: it said why. */
[[nodiscard]] bool process_make_guard(const struct process *, struct rest_guard **ret);

/* "DATA/CLUSTER" and "DATA/CLUSTER/audit", NUL-terminated. */
void records_folder(const struct config *, unsigned cluster, struct buf *ret);
void records_audit_folder(const struct config *, unsigned cluster, struct buf *ret);

int worker_main(int argc, char **argv);
int owner_main(int argc, char **argv);
int audit_main(int argc, char **argv);
int exporter_main(int argc, char **argv);

#endif
