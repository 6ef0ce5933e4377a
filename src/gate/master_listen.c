/* gate/master_listen.c - the sockets and files that only the master may open. */
#include "gate/master.h"

#include "sys/channel.h"
#include "sys/net.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, MANAGEMENT_BACKLOG = 64 };

static int find(const struct master *m, const struct addr *address, unsigned slot, bool is_first)
{
    for (unsigned i = 0; i < m->listening_count; i++)
        if (m->listening[i].slot == slot && m->listening[i].is_first == is_first &&
            addr_eq(&m->listening[i].address, address))
            return m->listening[i].fd;
    return -1;
}

int listening_find(const struct master *m, const struct addr *address, unsigned slot)
{
    return find(m, address, slot, false);
}

int listening_find_first(const struct master *m, const struct addr *address, unsigned slot)
{
    return find(m, address, slot, true);
}

bool listening_add(struct master *m, const struct addr *address, unsigned slot, int fd)
{
    if (m->listening_count == m->listening_room) {
        unsigned room = m->listening_room ? 2 * m->listening_room : 16;
        struct listening *more = reallocarray(m->listening, room, sizeof *more);
        if (!more)
            return false;
        m->listening = more;
        m->listening_room = room;
    }
    m->listening[m->listening_count++] = (struct listening){*address, slot, fd, net_is_first(fd)};
    return true;
}

static void explain(char *ret_why, size_t cap, const struct addr *address, struct str name, int error)
{
    char text[ADDR_TEXT_MAX];
    struct buf b = buf_over(text, sizeof text), why = buf_over(ret_why, cap);
    addr_write(&b, address);
    buf_printf(&why, "%.*s cannot listen on %.*s: %s%s%c", STR_ARG(name), STR_ARG(buf_text(&b)),
               strerror(-error),
               error == -EADDRINUSE ? ". Another program has that port: `ss -ltnp` shows which"
               : error == -EACCES   ? ". Ports below 1024 need root or CAP_NET_BIND_SERVICE"
                                    : "",
               0);
}

/* SO_REUSEPORT lets two programs of one user share a port without a word, and each gets half of the
 * connections. A bind without it finds the other one. Roles of a gate before us may listen there: then it is
 * meant. */
static int port_taken(const struct master *m, const struct addr *address)
{
    struct sockaddr_storage sa;
    socklen_t len;
    int one = 1;
    if (adopt_has_roles(m))
        return 0;
    addr_to_sockaddr(address, &sa, &len);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int error = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
                        bind(fd, (const struct sockaddr *)&sa, len) < 0
                    ? -errno
                    : 0;
    close(fd);
    return error;
}

static bool is_listening_on(const struct master *m, const struct addr *address)
{
    for (unsigned i = 0; i < m->listening_count; i++)
        if (addr_eq(&m->listening[i].address, address))
            return true;
    return false;
}

static int open_one(struct master *m, const struct addr *address, unsigned slot, int backlog, bool is_first)
{
    int error = is_listening_on(m, address) ? 0 : port_taken(m, address);
    int fd = error ? error : net_listen(address, true, backlog);
    if (fd >= 0 && is_first && (error = net_mark_first(fd)) < 0) {
        close(fd);
        return error;
    }
    if (fd >= 0 && !listening_add(m, address, slot, fd)) {
        close(fd);
        return -ENOMEM;
    }
    return fd;
}

bool listening_has_first(const struct config *config)
{
    return config->filter.interface_count && config->filter.accept_queues == ACCEPT_QUEUES_AUTO;
}

static int open_both(struct master *m, const struct config *config, const struct addr *address, unsigned slot)
{
    int fd = find(m, address, slot, false);
    if (fd < 0)
        fd = open_one(m, address, slot, BACKLOG, false);
    if (fd >= 0 && listening_has_first(config) && find(m, address, slot, true) < 0)
        fd = open_one(m, address, slot, BACKLOG, true);
    return fd;
}

/* Sockets of its own for every worker (SO_REUSEPORT): no two workers wake for one connection, and the queue
 * of a worker that died waits here for its successor. Where packets are filtered there are two for each: the
 * second is that of partners and known users. */
bool listening_open(struct master *m, const struct config *config, char *ret_why, size_t cap)
{
    for (unsigned i = 0; i < config->listener_count; i++) {
        const struct config_listener *l = &config->listeners[i];
        for (unsigned slot = 0; slot < m->worker_count; slot++) {
            int fd = open_both(m, config, &l->address, slot);
            if (fd < 0) {
                explain(ret_why, cap, &l->address, l->name, fd);
                return false;
            }
        }
    }
    return true;
}

/* config NULL: no listener is used any more. */
static bool is_used(const struct master *m, const struct config *config, const struct listening *l)
{
    if (l->slot == UINT_MAX)
        return l->fd == m->management_fd;
    if (l->is_first && !(config && listening_has_first(config)))
        return false;
    for (unsigned i = 0; config && l->slot < m->worker_count && i < config->listener_count; i++)
        if (addr_eq(&config->listeners[i].address, &l->address))
            return true;
    return false;
}

void listening_close_unused(struct master *m, const struct config *config)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < m->listening_count; i++) {
        if (is_used(m, config, &m->listening[i]))
            m->listening[kept++] = m->listening[i];
        else
            close(m->listening[i].fd);
    }
    m->listening_count = kept;
}

void listening_tell_filter(struct child *filter)
{
    const struct master *m = filter->master;
    for (unsigned i = 0; i < m->listening_count; i++) {
        const struct listening *l = &m->listening[i];
        struct msg_queue told = {
            .slot = (uint8_t)l->slot, .workers = (uint8_t)m->worker_count, .first = l->is_first};
        if (l->slot >= m->worker_count || !filter->channel)
            continue;
        if (msg_queue_send(filter->channel, &told, l->fd) < 0) {
            master_say("the filter did not get every listening socket; those connections wait in any queue");
            return;
        }
    }
}

/* ---- logs */

static int open_log(struct str path)
{
    char z[PATH_MAX];
    struct buf b = buf_over(z, sizeof z - 1);
    if (str_eq(path, STR("off")))
        return open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (str_eq(path, STR("-")))
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    buf_str(&b, path);
    z[b.n] = '\0';
    int fd = open(z, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
    return fd < 0 ? -errno : fd;
}

static bool open_log_as(struct str path, int *ret_fd, char *ret_why, size_t cap)
{
    struct buf why = buf_over(ret_why, cap);
    int fd = open_log(path);
    if (fd < 0)
        buf_printf(&why, "the log %.*s cannot be opened: %s%c", STR_ARG(path), strerror(-fd), 0);
    else
        *ret_fd = fd;
    return fd >= 0;
}

bool listening_open_logs(struct loaded_config *l, const struct config_gate *before, char *ret_why, size_t cap)
{
    const struct config_gate *g = &l->config->gate;
    if ((!before || !str_eq(before->access_log, g->access_log)) &&
        !open_log_as(g->access_log, &l->access_log_fd, ret_why, cap))
        return false;
    if ((!before || !str_eq(before->waf_log, g->waf_log)) &&
        !open_log_as(g->waf_log, &l->waf_log_fd, ret_why, cap))
        return false;
    return (before && str_eq(before->event_log, g->event_log)) ||
           open_log_as(g->event_log, &l->event_log_fd, ret_why, cap);
}

static void take_log(struct master *m, int *place, int *fresh, enum log_kind kind)
{
    struct child *observer = master_child(m, ROLE_OBSERVER, 0);
    struct msg_log_file message = {.kind = (uint8_t)kind};
    if (*fresh < 0)
        return;
    bool is_first = *place < 0;
    if (!is_first)
        close(*place);
    *place = *fresh;
    *fresh = -1;
    if (!is_first && observer && observer->channel &&
        msg_log_file_send(observer->channel, &message, *place) < 0)
        master_say("the observer did not get the new log file");
}

void listening_take_logs(struct master *m, struct loaded_config *l)
{
    take_log(m, &m->access_log_fd, &l->access_log_fd, LOG_ACCESS);
    take_log(m, &m->event_log_fd, &l->event_log_fd, LOG_EVENT);
    take_log(m, &m->waf_log_fd, &l->waf_log_fd, LOG_WAF);
}

void listening_reopen_logs(struct master *m)
{
    char why[512];
    if (!listening_open_logs(m->current, NULL, why, sizeof why))
        master_say("%s; the old one stays open", why);
    listening_take_logs(m, m->current);
}

/* ---- where the gate is asked and ordered */

/* Whoever belongs to the group of the gate's user may ask (the observer checks it). */
static int open_control_socket(const char *path, struct str user)
{
    char name[64];
    struct buf b = buf_over(name, sizeof name - 1);
    buf_str(&b, user);
    name[b.n] = '\0';
    const struct group *group = getgrnam(name);
    int fd = net_listen_unix(path, 0660);
    if (fd >= 0 && group && geteuid() == 0 && chown(path, (uid_t)-1, group->gr_gid) < 0)
        master_say("the control socket cannot be given to the group %s: %s; only root may use it", name,
                   strerror(errno));
    return fd;
}

static void control_paths(const struct master *m, struct buf *ret_fresh, struct buf *ret_path)
{
    buf_printf(ret_path, "%s/control.sock%c", m->run_directory, 0);
    buf_printf(ret_fresh, "%s/control.sock.new%c", m->run_directory, 0);
}

/* Under another name until the gate is ready: until then an older one may answer at its own. */
bool listening_open_control(struct master *m, const struct config_gate *g, char *ret_why, size_t cap)
{
    char fresh[128], path[128];
    struct buf f = buf_over(fresh, sizeof fresh), p = buf_over(path, sizeof path),
               why = buf_over(ret_why, cap);
    control_paths(m, &f, &p);
    unlink(fresh); /* we hold the lock: what lies there is of a start that failed */
    int fd = open_control_socket(fresh, g->user);
    if (fd < 0)
        buf_printf(&why, "the control socket %s cannot be made: %s%c", fresh, strerror(-fd), 0);
    else
        m->control_fd = fd;
    return fd >= 0;
}

void listening_place_control(struct master *m)
{
    char fresh[128], path[128];
    struct buf f = buf_over(fresh, sizeof fresh), p = buf_over(path, sizeof path);
    if (m->control_in_place)
        return;
    control_paths(m, &f, &p);
    if (rename(fresh, path) < 0)
        master_say("the control socket %s cannot be put in place: %s", path, strerror(errno));
    m->control_in_place = true;
}

bool listening_open_management(struct master *m, const struct config_gate *g, char *ret_why, size_t cap)
{
    int fd = g->management.port == 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC)
                                     : listening_find(m, &g->management, UINT_MAX);
    if (g->management.port && fd < 0)
        fd = open_one(m, &g->management, UINT_MAX, MANAGEMENT_BACKLOG, false);
    if (fd < 0)
        explain(ret_why, cap, &g->management, STR("gate.management"), fd);
    m->management_fd = fd;
    return fd >= 0;
}
