#include "postgres_server.h"

#include "base/must.h"

#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char programs[128], folder[64], uri[256];
static pid_t server;
static int log_end = -1;

/* Debian's place; 15 or later. */
static bool find_programs(void)
{
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            if (atoi(found.gl_pathv[i] + strlen("/usr/lib/postgresql/")) >= 15)
                snprintf(programs, sizeof programs, "%.*s",
                         (int)(strlen(found.gl_pathv[i]) - strlen("/initdb")), found.gl_pathv[i]);
        }
    }
    globfree(&found);
    return programs[0];
}

/* PostgreSQL refuses to run as root. */
static void become_ordinary(void)
{
    const struct passwd *nobody = getuid() == 0 ? getpwnam("nobody") : NULL;
    if (nobody && (setgroups(0, NULL) != 0 || setgid(nobody->pw_gid) != 0 || setuid(nobody->pw_uid) != 0))
        _exit(126);
}

/* The child after a fork: nothing of the test's but where its output goes. */
static void prepare(int out)
{
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(out >= 0 ? out : null, 1);
    dup2(out >= 0 ? out : null, 2);
    become_ordinary();
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    setenv("LC_ALL", "C", 1);
}

static bool make_folder(void)
{
    const struct passwd *nobody = getuid() == 0 ? getpwnam("nobody") : NULL;
    snprintf(folder, sizeof folder, "/dev/shm/polder-pg-XXXXXX");
    if (!mkdtemp(folder)) {
        snprintf(folder, sizeof folder, "/tmp/polder-pg-XXXXXX");
        if (!mkdtemp(folder))
            return false;
    }
    return !nobody || chown(folder, nobody->pw_uid, nobody->pw_gid) == 0;
}

bool postgres_server_make(void)
{
    char data[96], path[160];
    int status = 0;
    if (!find_programs()) {
        printf("skipped: PostgreSQL 15 is not installed\n");
        return false;
    }
    must(make_folder());
    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(path, sizeof path, "%s/initdb", programs);
    pid_t child = fork();
    if (child == 0) {
        prepare(-1);
        execl(path, "initdb", "-D", data, "-U", "polder", "-A", "trust", "--no-sync", "-E", "UTF8",
              "--locale=C", "--data-checksums", NULL);
        _exit(127);
    }
    must(waitpid(child, &status, 0) == child && status == 0);
    return true;
}

bool postgres_server_wait(void)
{
    enum { KEPT = 64 };
    char text[4'096] = "";
    size_t n = 0;
    for (ssize_t got; (got = read(log_end, text + n, sizeof text - 1 - n)) > 0;) {
        n += (size_t)got;
        text[n] = 0;
        if (strstr(text, "ready to accept connections"))
            return true;
        if (n > KEPT) { /* what was looked for may have come in half */
            memmove(text, text + n - KEPT, KEPT);
            n = KEPT;
        }
    }
    fprintf(stderr, "%s\n", text);
    return false;
}

bool postgres_server_start(void)
{
    char data[96], path[160];
    int ends[2];
    snprintf(data, sizeof data, "%s/data", folder);
    must(pipe2(ends, O_CLOEXEC) == 0);
    snprintf(path, sizeof path, "%s/postgres", programs);
    server = fork();
    if (server == 0) {
        prepare(ends[1]);
        execl(path, "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c",
              "max_connections=20", "-c", "shared_buffers=32MB", "-c", "log_min_messages=log", "-c",
              "log_checkpoints=off", "-c", "fsync=on", NULL);
        _exit(127);
    }
    close(ends[1]);
    close(log_end);
    log_end = ends[0];
    return postgres_server_wait();
}

void postgres_server_end(int signal)
{
    int status;
    if (server > 0 && kill(server, signal) == 0)
        waitpid(server, &status, 0);
    server = 0;
}

void postgres_server_remove(void)
{
    char command[128];
    postgres_server_end(SIGQUIT);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (folder[0] && system(command) != 0)
        perror(folder);
    close(log_end);
    log_end = -1;
}

const char *postgres_server_folder(void)
{
    return folder;
}

pid_t postgres_server_pid(void)
{
    return server;
}

const char *postgres_server_uri(const char *database)
{
    snprintf(uri, sizeof uri, "postgresql://polder@/%s?host=%s", database, folder);
    return uri;
}

void postgres_server_do(const char *database, const char *sql)
{
    PGconn *connection = PQconnectdb(postgres_server_uri(database));
    PGresult *r = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(r);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fprintf(stderr, "%s: %s", sql, PQerrorMessage(connection));
    PQclear(r);
    PQfinish(connection);
    must(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK);
}
