/* tests/unit/store/postgres_server.h - a PostgreSQL of the test's own: a fresh cluster in a temporary folder,
 * as an ordinary user, on a socket in that folder and no port, with fsync on. It ends with the test, however
 * that ends. */
#ifndef POLDER_TESTS_POSTGRES_SERVER_H
#define POLDER_TESTS_POSTGRES_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

bool postgres_server_make(void); /* false: it is not installed, which was printed */
bool postgres_server_start(void);
bool postgres_server_wait(void); /* until it is ready (once more, after one of its processes was killed) */
void postgres_server_end(int signal); /* and waits: SIGINT in order, SIGQUIT at once, SIGKILL as by power */
void postgres_server_remove(void);

const char *postgres_server_folder(void); /* of its socket */
pid_t postgres_server_pid(void);
const char *postgres_server_uri(const char *database);          /* until the next call */
void postgres_server_do(const char *database, const char *sql); /* fails the test when it fails */

#endif
