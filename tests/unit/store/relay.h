/* tests/unit/store/relay.h - stands between a client and PostgreSQL on a socket of its own, and lets
 * something happen at a byte of the conversation. */
#ifndef POLDER_TESTS_RELAY_H
#define POLDER_TESTS_RELAY_H

#include <stdint.h>
#include <sys/types.h>

enum relay_event {
    RELAY_COUNT,        /* nothing: all goes through */
    RELAY_CUT,          /* the connection ends; the server has what came before */
    RELAY_CUT_ANSWERS,  /* the same, counted in bytes of answers: the last are not delivered */
    RELAY_KILL_BACKEND, /* the process that serves the client dies by SIGKILL */
    RELAY_KILL_SERVER,  /* the whole server ends as by a crash (SIGQUIT) */
};

enum { RELAY_HAS_KILLED = 10 }; /* how the process ends after RELAY_KILL_BACKEND has found one to kill */

/* A process that serves one connection. at: byte of the client's, or of the answers. It listens when this
 * returns. */
pid_t relay_start(const char *listen_path, const char *server_path, enum relay_event, uint64_t at,
                  pid_t server, int report); /* the bytes of both, 8 each, are written there at the end */

#endif
