/* records/master_files.c - folders, the lock, and the listening sockets: what only the master may make. */
#include "records/master.h"

#include "sys/net.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 1024, PATH_BYTES = 512 };

/* The users the roles take (sandbox.h): by name, or the numbers of process.h. */
static uid_t uid_of(const struct master *m, const char *role, uid_t otherwise)
{
    char name[64];
    struct buf b = buf_over(name, sizeof name);
    buf_printf(&b, "%.*s-%s%c", STR_ARG(m->config->records.user), role, 0);
    const struct passwd *p = buf_overflowed(&b) ? NULL : getpwnam(name);
    return p ? p->pw_uid : otherwise;
}

/* For one user alone; other roles may pass through to what lies below. */
static bool make_folder(const char *path, uid_t uid, mode_t mode)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST) {
        master_say("the folder %s cannot be made: %s", path, strerror(errno));
        return false;
    }
    if (geteuid() == 0 && (chown(path, uid, uid) < 0 || chmod(path, mode) < 0)) {
        master_say("the folder %s cannot be given to its user: %s", path, strerror(errno));
        return false;
    }
    return true;
}

static bool take_lock(struct master *m, const char *folder)
{
    char path[PATH_BYTES];
    struct buf b = buf_over(path, sizeof path);
    buf_printf(&b, "%s/lock%c", folder, 0);
    m->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (m->lock_fd >= 0 && flock(m->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    master_say("another polder-records works in %s (%s)", folder, strerror(errno));
    return false;
}

bool master_make_folders(struct master *m)
{
    char path[PATH_BYTES];
    struct buf b = buf_over(path, sizeof path);
    uid_t records = uid_of(m, "records", RECORDS_UID), audit = uid_of(m, "audit", AUDIT_UID);
    buf_printf(&b, "%.*s%c", STR_ARG(m->config->records.data_directory), 0);
    if (mkdir(path, 0755) < 0 && errno != EEXIST) {
        master_say("the folder %s cannot be made: %s", path, strerror(errno));
        return false;
    }
    if (!take_lock(m, path))
        return false;
    for (unsigned i = 0; i < m->config->records.cluster_count; i++) {
        b.n = 0;
        records_folder(m->config, i, &b);
        if (!make_folder(path, records, 0711))
            return false;
        b.n--;
        buf_printf(&b, "/export%c", 0);
        if (!make_folder(path, records, 0700))
            return false;
        b.n = 0;
        records_audit_folder(m->config, i, &b);
        if (!make_folder(path, audit, 0700))
            return false;
    }
    return true;
}

static bool listen_on(struct master *m, unsigned index, unsigned worker)
{
    const struct addr *address = &m->config->records.listeners[index].address;
    char text[ADDR_TEXT_MAX];
    struct buf b = buf_over(text, sizeof text);
    /* The first one without SO_REUSEPORT's company would not be told of another program on that port. */
    int fd = net_listen(address, true, BACKLOG);
    addr_write(&b, address);
    if (fd < 0)
        master_say("it cannot listen on %.*s: %s%s", STR_ARG(buf_text(&b)), strerror(-fd),
                   fd == -EADDRINUSE ? ". Another program has that port: `ss -ltnp` shows which" : "");
    m->listeners[index][worker] = fd;
    return fd >= 0;
}

/* A socket of its own for every worker (SO_REUSEPORT): what waits in the queue of one that died waits for its
 * successor. */
bool master_listen(struct master *m)
{
    for (unsigned i = 0; i < m->config->records.listener_count; i++) {
        int probe = net_listen(&m->config->records.listeners[i].address, false, 1);
        if (probe < 0 && probe != -EINVAL)
            return listen_on(m, i, 0) && false;
        close(probe);
        for (unsigned w = 0; w < m->config->records.workers; w++)
            if (!listen_on(m, i, w))
                return false;
    }
    return true;
}
