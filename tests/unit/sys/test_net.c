/* Sockets on the loopback. */
#include "sys/net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { FIRST_PORT = 21'000, LAST_PORT = 22'000 };

/* Listens on a free port of the loopback, which it puts into *ret. */
static int listen_somewhere(const char *ip, bool reuse_port, struct addr *ret)
{
    assert_true(addr_parse_ip(str_of(ip), ret));
    int first = FIRST_PORT + getpid() % (LAST_PORT - FIRST_PORT);
    for (int port = first; port < first + 100; port++) {
        ret->port = (uint16_t)port;
        int fd = net_listen(ret, reuse_port, 16);
        if (fd >= 0)
            return fd;
        assert_int_equal(fd, -EADDRINUSE);
    }
    fail_msg("no free port");
    return -1;
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void assert_non_blocking_and_private(int fd)
{
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static int connected(const struct addr *a)
{
    int fd = -1;
    assert_int_equal(net_connect_start(a, &fd), 0);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    assert_int_equal(poll(&p, 1, 2000), 1);
    return fd;
}

static int accepted(int listener)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 2000), 1);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void test_listen_and_connect(void **state)
{
    struct addr a;
    int listener = listen_somewhere("127.0.0.1", false, &a);
    int client = connected(&a);
    int server = accepted(listener);
    assert_non_blocking_and_private(listener);
    assert_non_blocking_and_private(client);
    assert_int_equal(net_socket_error(client), 0);
    assert_int_equal(option(client, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option(server, IPPROTO_TCP, TCP_NODELAY), 1); /* handed on by the listener */
    assert_int_equal(option(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
    close(client);
    close(server);
    close(listener);
}

static void test_nobody_listens(void **state)
{
    struct addr a;
    close(listen_somewhere("127.0.0.1", false, &a));
    int fd = -1;
    int e = net_connect_start(&a, &fd);
    if (e == 0) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        assert_int_equal(poll(&p, 1, 2000), 1);
        e = -net_socket_error(fd);
        close(fd);
    }
    assert_int_equal(e, -ECONNREFUSED);
}

static void test_a_port_is_taken_unless_shared(void **state)
{
    struct addr a;
    int alone = listen_somewhere("127.0.0.1", false, &a);
    assert_int_equal(net_listen(&a, true, 16), -EADDRINUSE);
    close(alone);
    int first = listen_somewhere("127.0.0.1", true, &a);
    int second = net_listen(&a, true, 16);
    assert_true(second >= 0);
    close(first);
    close(second);
}

static void test_an_address_that_is_not_ours(void **state)
{
    struct addr a;
    assert_true(addr_parse(STR("192.0.2.1:21000"), &a));
    assert_int_equal(net_listen(&a, false, 16), -EADDRNOTAVAIL);
}

static void test_any_v6_takes_v4_too(void **state)
{
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0)
        skip(); /* a machine without IPv6 */
    close(probe);
    struct addr a;
    int listener = listen_somewhere("::", false, &a);
    uint16_t port = a.port;
    assert_true(addr_parse_ip(STR("127.0.0.1"), &a));
    a.port = port;
    int client = connected(&a);
    close(accepted(listener));
    close(client);
    close(listener);
}

/* -- UNIX sockets */

static int setup_folder(void **state)
{
    static char folder[] = "/tmp/polder-test-XXXXXX";
    *state = mkdtemp(folder);
    return *state ? 0 : -1;
}

static int teardown_folder(void **state)
{
    return rmdir(*state);
}

static void path_in(char *ret, size_t cap, void **state, const char *name)
{
    struct buf b = buf_over(ret, cap);
    buf_printf(&b, "%s/%s", (const char *)*state, name);
    buf_char(&b, '\0');
    assert_false(buf_overflowed(&b));
}

static unsigned mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(lstat(path, &info), 0);
    return info.st_mode & 07777;
}

static void test_a_unix_socket_and_its_mode(void **state)
{
    char path[100];
    path_in(path, sizeof path, state, "socket");
    mode_t before = umask(077);
    int fd = net_listen_unix(path, 0666);
    umask(before);
    assert_true(fd >= 0);
    assert_non_blocking_and_private(fd);
    assert_int_equal(mode_of(path), 0666);
    assert_int_equal(net_listen_unix(path, 0600), -EADDRINUSE); /* somebody listens */
    close(fd);
    fd = net_listen_unix(path, 0600); /* nobody any more: replaced */
    assert_true(fd >= 0);
    assert_int_equal(mode_of(path), 0600);
    close(fd);
    unlink(path);
}

static void test_a_file_in_the_way_stays(void **state)
{
    char path[100];
    path_in(path, sizeof path, state, "file");
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(net_listen_unix(path, 0600), -EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

static void test_paths_that_do_not_fit(void **state)
{
    char path[200];
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(net_listen_unix(path, 0600), -ENAMETOOLONG);
    assert_int_equal(net_listen_unix("", 0600), -ENAMETOOLONG); /* would be a socket without a name */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listen_and_connect),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_a_port_is_taken_unless_shared),
        cmocka_unit_test(test_an_address_that_is_not_ours),
        cmocka_unit_test(test_any_v6_takes_v4_too),
        cmocka_unit_test(test_a_unix_socket_and_its_mode),
        cmocka_unit_test(test_a_file_in_the_way_stays),
        cmocka_unit_test(test_paths_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, setup_folder, teardown_folder);
}
