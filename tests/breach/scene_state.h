/* tests/breach/scene_state.h - what the roles keep that keep something: the record of isolation, a table of
 * the kernel, memory that only one role may write to, a database and its log of accesses. */
#ifndef POLDER_TESTS_BREACH_SCENE_STATE_H
#define POLDER_TESTS_BREACH_SCENE_STATE_H

#include "attacks.h"

enum { SCENE_AUDIT_UID = 64002 }; /* as root; else all have one user */
enum { SCENE_PATH_MAX = 100 };    /* short enough for a UNIX socket's address */

struct scene_state {
    char isolation[SCENE_PATH_MAX], isolation_record[SCENE_PATH_MAX];
    char records[SCENE_PATH_MAX], database[SCENE_PATH_MAX], index[SCENE_PATH_MAX], beside[SCENE_PATH_MAX];
    char exports[SCENE_PATH_MAX], audit[SCENE_PATH_MAX], elsewhere[SCENE_PATH_MAX], log[SCENE_PATH_MAX];
    char pins[SCENE_PATH_MAX], pinned[SCENE_PATH_MAX];
    const char *of_filter[2], *of_records[2], *of_worker[2], *of_audit[2],
        *of_exporter[2]; /* lists, ending in NULL */
    bool has_pins;
};

/* Below that folder, for roles that run as `uid`. False: errno. */
bool state_open(struct scene_state *, const char *directory, uid_t uid, struct attack_world *);
/* What an attack may use up. */
bool state_prepare(const struct scene_state *, uid_t uid, struct attack_world *);
void state_clear(const struct scene_state *, struct attack_world *);
void state_close(const struct scene_state *);
/* What the profile may open below, and write to there, as its role would say it. */
void state_folders(const struct scene_state *, struct sandbox_options *);

#endif
