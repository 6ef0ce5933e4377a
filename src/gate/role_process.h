/* gate/role_process.h - what every role but the master does the same way: start, sandbox, hello, end.
 *
 * A role outlives the master: when the channel to it closes the role goes on, until SIGTERM tells it to end
 * (the new master sends that to the roles of the old one, after its own are up). */
#ifndef POLDER_GATE_ROLE_PROCESS_H
#define POLDER_GATE_ROLE_PROCESS_H

#include "gate/roles.h"
#include "sys/sandbox.h"

enum { ROLE_FOLDERS_MAX = 4 };

struct role_process {
    enum role role;
    struct role_start start;
    struct loop *loop;
    struct channel *master; /* NULL: the master is gone */
    struct signals *signals;
    uint32_t walls;
    /* One message of the master that msg_welcome let through; false: not acceptable, the role ends. */
    bool (*message)(struct role_process *, enum msg_number, struct str bytes, int fd);
    void (*terminate)(struct role_process *); /* SIGTERM; NULL: stop at once */
    /* Set by `prepare`, and kept by it: what may be opened behind the walls, where the profile has folders.
     */
    const char *folders[ROLE_FOLDERS_MAX + 1];
};

/* Who the role will be behind its walls. */
[[nodiscard]] bool role_process_identity(const struct role_process *, unsigned *ret_uid, unsigned *ret_gid);
/* In `prepare`. False: there are too many. The path is borrowed. */
[[nodiscard]] bool role_process_add_folder(struct role_process *, const char *path);

/* Everything up to hello. False: it said why on standard error; return 1 from the role's main. The fields
 * role, message and terminate must be set. `prepare` runs before the sandbox is raised (may be NULL). */
[[nodiscard]] bool role_process_begin(struct role_process *, int argc, char **argv, enum sandbox_profile,
                                      bool (*prepare)(struct role_process *));
void role_process_end(struct role_process *);
/* For who serves workers: that one's channel is being closed for what came over it; the master replaces it.
 */
void role_process_accuse(struct role_process *, unsigned worker_slot);
/* Says whether a configuration of that generation can be used; error is empty when it can. */
bool role_process_prepared(struct role_process *, uint64_t generation, bool ok, struct str error);

#endif
