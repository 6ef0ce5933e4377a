/* tests/breach/scene.c - a directory in /tmp, services on loopback, and what a role inherits. */
#include "scene.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Below the ephemeral range, so that nobody's outgoing connection sits there. */
enum { PORT_FIRST = 23'000, PORT_LAST = 23'999, BACKLOG = 128, PATIENCE_MS = 5000 };

static void path_in(struct scene *s, const char *name, char *ret_path)
{
    struct buf path = buf_over(ret_path, SCENE_PATH_MAX - 1);
    buf_printf(&path, "%s/%s", s->directory, name);
    ret_path[path.n] = '\0';
}

static bool write_file(const char *path, mode_t mode, uid_t owner, int from_fd)
{
    char bytes[4096] = "what it was before\n";
    ssize_t n = from_fd < 0 ? 20 : 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool fine = from_fd >= 0 || write(fd, bytes, (size_t)n) == n;
    for (off_t at = 0; from_fd >= 0 && fine && (n = pread(from_fd, bytes, sizeof bytes, at)) > 0; at += n)
        fine = write(fd, bytes, (size_t)n) == n;
    fine = fine && fchown(fd, owner, owner == geteuid() ? getegid() : owner) == 0 && fchmod(fd, mode) == 0;
    close(fd);
    return fine;
}

static bool bind_loopback(int fd, uint16_t *ret_port)
{
    for (unsigned port = PORT_FIRST; port <= PORT_LAST; port++) {
        struct sockaddr_in here = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (bind(fd, (struct sockaddr *)&here, sizeof here) == 0) {
            *ret_port = (uint16_t)port;
            return true;
        }
        if (errno != EADDRINUSE)
            return false;
    }
    return false;
}

static int listen_loopback(uint16_t *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        !bind_loopback(fd, ret_port) || listen(fd, BACKLOG) < 0)
        return -1;
    return fd;
}

static int listen_unix(struct str name)
{
    struct sockaddr_un here = {.sun_family = AF_UNIX};
    struct buf path = buf_over(here.sun_path, sizeof here.sun_path);
    buf_str(&path, name);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&here, len) < 0 || listen(fd, BACKLOG) < 0)
        return -1;
    return fd;
}

static bool files_open(struct scene *s, const char *helper_program)
{
    struct buf name = buf_over(s->abstract_name, sizeof s->abstract_name - 1);
    memcpy(s->directory, "/tmp/polder-breach-XXXXXX", sizeof "/tmp/polder-breach-XXXXXX");
    if (!mkdtemp(s->directory) || chmod(s->directory, 0777) < 0)
        return false;
    path_in(s, "file", s->file);
    path_in(s, "new", s->new_path);
    path_in(s, "key.pem", s->key_file);
    path_in(s, "socket", s->unix_path);
    path_in(s, "helper", s->setuid_program);
    buf_printf(&name, "polder-breach-%d", (int)getpid());
    int helper = open(helper_program, O_RDONLY | O_CLOEXEC);
    bool fine = helper >= 0 && write_file(s->key_file, 0600, geteuid(), -1) &&
                write_file(s->setuid_program, 04755, geteuid(), helper);
    if (helper >= 0)
        close(helper);
    return fine;
}

static bool services_open(struct scene *s)
{
    char abstract[SCENE_PATH_MAX] = {0};
    size_t n = strlen(s->abstract_name);
    memcpy(abstract + 1, s->abstract_name, n);
    s->tcp_service = listen_loopback(&s->world.tcp_port);
    s->udp_service = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    s->unix_service = listen_unix(str_of(s->unix_path));
    s->abstract_service = listen_unix((struct str){abstract, n + 1});
    return s->tcp_service >= 0 && s->udp_service >= 0 && bind_loopback(s->udp_service, &s->world.udp_port) &&
           s->unix_service >= 0 && s->abstract_service >= 0 && chmod(s->unix_path, 0777) == 0;
}

/* As root: what a canary mounts stays with this process. In a container no canary can mount either. */
static bool own_mounts(const struct scene *s)
{
    if (geteuid() != 0 || !s->is_own_machine)
        return true;
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

bool scene_open(struct scene *s, const char *helper_program)
{
    *s = (struct scene){.uid = geteuid() == 0 ? SCENE_UID : geteuid(), .far_end = -1, .terminal_master = -1};
    s->is_own_machine = prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 1;
    s->world = (struct attack_world){.listener = -1,
                                     .connection = -1,
                                     .terminal = -1,
                                     .program = open("/bin/echo", O_RDONLY | O_CLOEXEC),
                                     .net_namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC),
                                     .unix_path = s->unix_path,
                                     .abstract_name = s->abstract_name,
                                     .key_file = s->key_file,
                                     .directory = s->directory,
                                     .file = s->file,
                                     .new_path = s->new_path,
                                     .setuid_program = s->setuid_program};
    return own_mounts(s) && s->world.program >= 0 && s->world.net_namespace >= 0 &&
           files_open(s, helper_program) && services_open(s) &&
           state_open(&s->state, s->directory, s->uid, &s->world);
}

static bool connection_prepare(struct scene *s)
{
    struct sockaddr_in here;
    socklen_t len = sizeof here;
    uint16_t port;
    s->world.listener = listen_loopback(&port);
    s->far_end = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->world.listener < 0 || s->far_end < 0 ||
        getsockname(s->world.listener, (struct sockaddr *)&here, &len) < 0 ||
        connect(s->far_end, (struct sockaddr *)&here, len) < 0)
        return false;
    struct pollfd wait = {s->world.listener, POLLIN,
                          0}; /* the handshake's last packet may still be under way */
    if (poll(&wait, 1, PATIENCE_MS) != 1)
        return false;
    s->world.connection = accept4(s->world.listener, NULL, NULL, SOCK_CLOEXEC);
    return s->world.connection >= 0;
}

/* The child makes it its controlling terminal. */
static bool terminal_prepare(struct scene *s)
{
    char name[SCENE_PATH_MAX];
    s->terminal_master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (s->terminal_master < 0 || grantpt(s->terminal_master) < 0 || unlockpt(s->terminal_master) < 0 ||
        ptsname_r(s->terminal_master, name, sizeof name) != 0)
        return false;
    s->world.terminal = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return s->world.terminal >= 0;
}

bool scene_prepare(struct scene *s, const struct attack *attack, uid_t role)
{
    return write_file(s->file, 0666, geteuid() == 0 ? role : geteuid(), -1) &&
           state_prepare(&s->state, s->uid, &s->world) && connection_prepare(s) &&
           (!(attack->needs & NEEDS_TERMINAL) || terminal_prepare(s));
}

static void close_if_open(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void connections_drain(int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
        close(fd);
}

void scene_clear(struct scene *s)
{
    close_if_open(&s->far_end); /* the far end first: the near one then leaves no TIME_WAIT on its port */
    close_if_open(&s->world.connection);
    close_if_open(&s->world.listener);
    close_if_open(&s->world.terminal);
    close_if_open(&s->terminal_master);
    state_clear(&s->state, &s->world);
    connections_drain(s->tcp_service);
    connections_drain(s->unix_service);
    connections_drain(s->abstract_service);
    unlink(s->file);
    if (unlink(s->new_path) < 0)
        rmdir(s->new_path);
}

void scene_close(struct scene *s)
{
    state_close(&s->state);
    unlink(s->key_file);
    unlink(s->setuid_program);
    unlink(s->unix_path);
    rmdir(s->directory);
}
