/* sys/process.h - starting a role: fork, descriptors in place, execute the own binary anew. */
#ifndef POLDER_SYS_PROCESS_H
#define POLDER_SYS_PROCESS_H

#include "base/str.h"

#include <sys/types.h>

/* Starts path with argv; in the child descriptor `fds[i]` becomes 3 + i and every other one above 2 is
 * closed. The environment is empty but for what `env` lists (NULL-terminated). Signals are at their defaults.
 * Returns the pid and a pidfd, or a negative errno (an exec that fails is reported here too). */
pid_t process_start(const char *path, char *const argv[], char *const env[], const int *fds,
                    unsigned fd_count, int *ret_pidfd);

/* "exited with status 3", "was killed by signal 9 (KILL)", "was killed by its sandbox". */
struct str process_describe_exit(int wait_status, char *memory, size_t cap);

#endif
