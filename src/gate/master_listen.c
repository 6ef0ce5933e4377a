/* gate/master_listen.c - the sockets and files that only the master may open. */
#include "gate/master.h"

#include "sys/channel.h"
#include "sys/net.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

int listening_find(const struct master *m, const struct addr *address, unsigned slot)
{
    for (unsigned i = 0; i < m->listening_count; i++)
        if (m->listening[i].slot == slot && addr_eq(&m->listening[i].address, address))
            return m->listening[i].fd;
    return -1;
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
    m->listening[m->listening_count++] = (struct listening){*address, slot, fd};
    return true;
}

static void explain(char *ret_why, size_t cap, const struct addr *address, struct str name, int error)
{
    char text[ADDR_TEXT_MAX];
    struct buf b = buf_over(text, sizeof text), why = buf_over(ret_why, cap);
    addr_write(&b, address);
    buf_printf(&why, "listener %.*s cannot listen on %.*s: %s%s%c", STR_ARG(name), STR_ARG(buf_text(&b)), strerror(-error),
               error == -EADDRINUSE ? ". Another program has that port: `ss -ltnp` shows which"
               : error == -EACCES   ? ". Ports below 1024 need root or CAP_NET_BIND_SERVICE"
                                    : "",
               0);
}

/* A socket of its own for every worker (SO_REUSEPORT): no two workers wake for one connection, and the queue of a
 * worker that died waits here for its successor. */
bool listening_open(struct master *m, const struct config *config, char *ret_why, size_t cap)
{
    for (unsigned i = 0; i < config->listener_count; i++) {
        const struct config_listener *l = &config->listeners[i];
        for (unsigned slot = 0; slot < m->worker_count; slot++) {
            if (listening_find(m, &l->address, slot) >= 0)
                continue;
            int fd = net_listen(&l->address, true, BACKLOG);
            if (fd < 0 || !listening_add(m, &l->address, slot, fd)) {
                explain(ret_why, cap, &l->address, l->name, fd < 0 ? fd : -ENOMEM);
                return false;
            }
        }
    }
    return true;
}

static bool is_used(const struct config *config, const struct addr *address)
{
    for (unsigned i = 0; i < config->listener_count; i++)
        if (addr_eq(&config->listeners[i].address, address))
            return true;
    return false;
}

void listening_close_unused(struct master *m, const struct config *config)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < m->listening_count; i++) {
        if (is_used(config, &m->listening[i].address) && m->listening[i].slot < m->worker_count)
            m->listening[kept++] = m->listening[i];
        else
            close(m->listening[i].fd);
    }
    m->listening_count = kept;
}

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
    int fd = open(z, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    return fd < 0 ? -errno : fd;
}

static bool open_logs(struct master *m, const struct config_gate *g, char *ret_why, size_t cap)
{
    int access = open_log(g->access_log), events = open_log(g->event_log);
    if (access < 0 || events < 0) {
        struct str path = access < 0 ? g->access_log : g->event_log;
        struct buf why = buf_over(ret_why, cap);
        buf_printf(&why, "the log %.*s cannot be opened: %s%c", STR_ARG(path), strerror(access < 0 ? -access : -events), 0);
        return false;
    }
    if (m->access_log_fd >= 0)
        close(m->access_log_fd);
    if (m->event_log_fd >= 0)
        close(m->event_log_fd);
    m->access_log_fd = access;
    m->event_log_fd = events;
    return true;
}

/* An ordinary user has no /run/polder: then the control socket lies wherever the configuration says, and no folder
 * above it is made. */
static bool make_directory(struct str path, char *ret_why, size_t cap)
{
    char z[PATH_MAX];
    struct buf b = buf_over(z, sizeof z - 1), why = buf_over(ret_why, cap);
    buf_str(&b, path);
    z[b.n] = '\0';
    if (mkdir(z, 0755) == 0 || errno == EEXIST)
        return true;
    buf_printf(&why, "the folder %s cannot be made: %s. Make it, or set gate.run_directory to one this user may write%c", z,
               strerror(errno), 0);
    return false;
}

static bool open_control(struct master *m, const struct config_gate *g, char *ret_why, size_t cap)
{
    struct buf b = buf_over(m->control_path, sizeof m->control_path - 1), why = buf_over(ret_why, cap);
    if (!make_directory(g->run_directory, ret_why, cap))
        return false;
    buf_str(&b, g->run_directory);
    BUF_LIT(&b, "/control.sock");
    m->control_path[b.n] = '\0';
    int fd = buf_overflowed(&b) ? -ENAMETOOLONG : net_listen_unix(m->control_path, 0660);
    if (fd < 0)
        buf_printf(&why, "the control socket %s cannot be made: %s%c", m->control_path, strerror(-fd), 0);
    else
        m->control_fd = fd;
    return fd >= 0;
}

static bool open_management(struct master *m, const struct config_gate *g, char *ret_why, size_t cap)
{
    int fd = g->management.port == 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : listening_find(m, &g->management, UINT_MAX);
    if (g->management.port && fd < 0) {
        fd = net_listen(&g->management, true, 64);
        if (fd < 0) {
            explain(ret_why, cap, &g->management, STR("gate.management"), fd);
            return false;
        }
        if (!listening_add(m, &g->management, UINT_MAX, fd))
            return false;
    }
    m->management_fd = fd;
    return fd >= 0;
}

bool listening_open_services(struct master *m, const struct config *config, char *ret_why, size_t cap)
{
    return open_control(m, &config->gate, ret_why, cap) && open_management(m, &config->gate, ret_why, cap) &&
           open_logs(m, &config->gate, ret_why, cap);
}

void listening_reopen_logs(struct master *m)
{
    char why[512];
    struct child *observer = master_child(m, ROLE_OBSERVER, 0);
    if (!open_logs(m, &m->current->config->gate, why, sizeof why)) {
        master_say("%s; the old one stays open", why);
        return;
    }
    if (!observer || !observer->channel)
        return;
    struct msg_log_file access = {.kind = LOG_ACCESS}, events = {.kind = LOG_EVENT};
    if (msg_log_file_send(observer->channel, &access, m->access_log_fd) < 0 ||
        msg_log_file_send(observer->channel, &events, m->event_log_fd) < 0)
        master_say("the observer did not get the new log files");
}
