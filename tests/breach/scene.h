/* tests/breach/scene.h - what lies around a role that is attacked from inside: files, services, descriptors.
 */
#ifndef POLDER_TESTS_BREACH_SCENE_H
#define POLDER_TESTS_BREACH_SCENE_H

#include "attacks.h"
#include "base/buf.h"
#include "scene_state.h"

enum { SCENE_UID = 64001 };

struct scene {
    struct attack_world world;
    uid_t uid;           /* the roles' user */
    bool is_own_machine; /* not a container that has part of root's powers taken away */
    int tcp_service, udp_service, unix_service, abstract_service, far_end, terminal_master;
    char directory[SCENE_PATH_MAX], file[SCENE_PATH_MAX], new_path[SCENE_PATH_MAX], key_file[SCENE_PATH_MAX],
        unix_path[SCENE_PATH_MAX], abstract_name[SCENE_PATH_MAX], setuid_program[SCENE_PATH_MAX];
    struct scene_state state;
};

/* What stays for the whole run. False: errno, nothing can be tested. */
bool scene_open(struct scene *, const char *helper_program);
/* What an attack may use up: the files, the listener and a connection to it. role: its user. False: errno. */
bool scene_prepare(struct scene *, const struct attack *, uid_t role);
void scene_clear(struct scene *); /* after each attack */
void scene_close(struct scene *); /* removes every file */

#endif
