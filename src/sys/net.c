/* sys/net.c - sockets, non-blocking and close-on-exec without exception. */
#include "sys/net.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { UNIX_BACKLOG = 64 };

static int close_with(int fd, int e)
{
    close(fd);
    return e;
}

static int socket_new(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) ? -errno : 0;
}

int net_set_nodelay(int fd)
{
    return set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

static bool is_any_v6(const struct addr *a)
{
    static const uint8_t any[sizeof a->ip] = {0};
    return !a->is_v4 && memcmp(a->ip, any, sizeof any) == 0;
}

static int set_listen_options(int fd, const struct addr *a, bool reuse_port)
{
    int e = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!e && reuse_port)
        e = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (!e && is_any_v6(a))
        e = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    return e ? e : net_set_nodelay(fd);
}

int net_listen(const struct addr *a, bool reuse_port, int backlog)
{
    struct sockaddr_storage sa;
    socklen_t len;
    addr_to_sockaddr(a, &sa, &len);
    int fd = socket_new(sa.ss_family);
    if (fd < 0)
        return fd;
    int e = set_listen_options(fd, a, reuse_port);
    if (!e && (bind(fd, (const struct sockaddr *)&sa, len) < 0 || listen(fd, backlog) < 0))
        e = -errno;
    return e ? close_with(fd, e) : fd;
}

int net_mark_first(int fd)
{
    int one = 1;
    return setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one) < 0 ? -errno : 0;
}

bool net_is_first(int fd)
{
    int is_marked = 0;
    socklen_t size = sizeof is_marked;
    return getsockopt(fd, IPPROTO_IP, IP_FREEBIND, &is_marked, &size) == 0 && is_marked;
}

int net_connect_start(const struct addr *a, int *ret_fd)
{
    struct sockaddr_storage sa;
    socklen_t len;
    addr_to_sockaddr(a, &sa, &len);
    int fd = socket_new(sa.ss_family);
    if (fd < 0)
        return fd;
    int e = net_set_nodelay(fd);
    if (!e && connect(fd, (const struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
        e = -errno;
    if (e)
        return close_with(fd, e);
    *ret_fd = fd;
    return 0;
}

int net_socket_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) ? errno : error;
}

/* -- UNIX sockets */

static bool unix_address(const char *path, struct sockaddr_un *ret)
{
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof ret->sun_path)
        return false;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, path, n);
    return true;
}

/* A socket file that nobody listens on any more. Anything else is somebody's and stays. */
static bool is_stale(const struct sockaddr_un *sa)
{
    struct stat info;
    if (lstat(sa->sun_path, &info) < 0 || !S_ISSOCK(info.st_mode))
        return false;
    int fd = socket_new(AF_UNIX);
    if (fd < 0)
        return false;
    bool refused = connect(fd, (const struct sockaddr *)sa, sizeof *sa) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int bind_unix(int fd, const struct sockaddr_un *sa)
{
    if (bind(fd, (const struct sockaddr *)sa, sizeof *sa) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return -errno;
    if (!is_stale(sa))
        return -EADDRINUSE;
    if (unlink(sa->sun_path) < 0 || bind(fd, (const struct sockaddr *)sa, sizeof *sa) < 0)
        return -errno;
    return 0;
}

int net_listen_unix(const char *path, unsigned mode)
{
    struct sockaddr_un sa;
    if (!unix_address(path, &sa))
        return -ENAMETOOLONG;
    int fd = socket_new(AF_UNIX);
    if (fd < 0)
        return fd;
    /* The file is born with the mode of the socket less the umask, so it is never wider than asked; chmod
     * then gives what the umask took. */
    int e = fchmod(fd, mode) < 0 ? -errno : bind_unix(fd, &sa);
    if (!e && (chmod(path, mode) < 0 || listen(fd, UNIX_BACKLOG) < 0)) {
        e = -errno;
        unlink(path);
    }
    return e ? close_with(fd, e) : fd;
}
