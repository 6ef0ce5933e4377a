/* tests/breach/attacks_network.c - getting at somebody else's socket, or opening one. */
#include "attack_list.h"
#include "base/buf.h"

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static bool connects(int fd, uint16_t port)
{
    struct sockaddr_in there = loopback(port);
    return fd >= 0 && (connect(fd, (struct sockaddr *)&there, sizeof there) == 0 || errno == EINPROGRESS);
}

int attack_tcp_connect(const struct attack_world *w)
{
    return attack_outcome(connects(socket(AF_INET, SOCK_STREAM, 0), w->tcp_port));
}

int attack_tcp_listen(const struct attack_world *w)
{
    struct sockaddr_in any = loopback(0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    any.sin_addr.s_addr = htonl(INADDR_ANY);
    return attack_outcome(fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0 &&
                          listen(fd, 1) == 0);
}

int attack_tcp_listen_unbound(const struct attack_world *w)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return attack_outcome(fd >= 0 && listen(fd, 1) == 0);
}

int attack_udp_send(const struct attack_world *w)
{
    struct sockaddr_in there = loopback(w->udp_port);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return attack_outcome(fd >= 0 && sendto(fd, "x", 1, 0, (struct sockaddr *)&there, sizeof there) == 1);
}

int attack_abstract_connect(const struct attack_world *w)
{
    struct sockaddr_un there = {.sun_family = AF_UNIX};
    struct buf name = buf_over(there.sun_path, sizeof there.sun_path);
    buf_char(&name, '\0');
    buf_str(&name, str_of(w->abstract_name));
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name.n);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return attack_outcome(fd >= 0 && connect(fd, (struct sockaddr *)&there, len) == 0);
}

static struct sockaddr_un unix_address(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct buf name = buf_over(address.sun_path, sizeof address.sun_path - 1);
    buf_str(&name, str_of(path));
    return address;
}

int attack_unix_connect(const struct attack_world *w)
{
    struct sockaddr_un there = unix_address(w->unix_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return attack_outcome(fd >= 0 && connect(fd, (struct sockaddr *)&there, sizeof there) == 0);
}

int attack_unix_bind(const struct attack_world *w)
{
    struct sockaddr_un here = unix_address(w->new_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return attack_outcome(fd >= 0 && bind(fd, (struct sockaddr *)&here, sizeof here) == 0);
}

int attack_raw_socket(const struct attack_world *w)
{
    return attack_outcome(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0);
}

int attack_packet_socket(const struct attack_world *w)
{
    return attack_outcome(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)) >= 0);
}

int attack_netlink_dump(const struct attack_world *w)
{
    struct {
        struct nlmsghdr head;
        struct rtgenmsg what;
    } ask = {{.nlmsg_len = sizeof ask, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
             {AF_UNSPEC}};
    char answer[8192];
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    return attack_outcome(fd >= 0 && send(fd, &ask, sizeof ask, 0) > 0 &&
                          recv(fd, answer, sizeof answer, 0) > 0);
}

/* Gives the loopback interface the length of packets that it has already. */
int attack_change_interface(const struct attack_world *w)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg link;
        struct rtattr attribute;
        uint32_t mtu;
    } ask = {{.nlmsg_len = sizeof ask, .nlmsg_type = RTM_NEWLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
             {.ifi_family = AF_UNSPEC, .ifi_index = 1},
             {.rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = IFLA_MTU},
             65536};
    struct {
        struct nlmsghdr head;
        struct nlmsgerr result;
        char rest[512];
    } answer = {0};
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    if (fd < 0 || send(fd, &ask, sizeof ask, 0) < 0 || recv(fd, &answer, sizeof answer, 0) < 0)
        return attack_outcome(false);
    errno = -answer.result.error;
    return attack_outcome(answer.head.nlmsg_type == NLMSG_ERROR && answer.result.error == 0);
}

int attack_reconnect(const struct attack_world *w)
{
    const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    return attack_outcome(connect(w->connection, &nowhere, sizeof nowhere) == 0 &&
                          connects(w->connection, w->tcp_port));
}

/* Its first packet left, which is all it takes; the listener does not block, so it may still be under way. */
static int sent_outcome(ssize_t n)
{
    return attack_outcome(n >= 0 || errno == EINPROGRESS);
}

/* It would be gone for the role's successor too: the master keeps the same socket. */
int attack_shut_listener(const struct attack_world *w)
{
    return attack_outcome(shutdown(w->listener, SHUT_RDWR) == 0);
}

/* A listener that was shut down is an unconnected socket again, in the network it was made in. */
int attack_fastopen_sendto(const struct attack_world *w)
{
    struct sockaddr_in there = loopback(w->tcp_port);
    shutdown(w->listener, SHUT_RDWR);
    return sent_outcome(sendto(w->listener, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&there, sizeof there));
}

int attack_fastopen_sendmsg(const struct attack_world *w)
{
    struct sockaddr_in there = loopback(w->tcp_port);
    char byte = 'x';
    struct iovec bytes = {&byte, 1};
    struct msghdr message = {
        .msg_name = &there, .msg_namelen = sizeof there, .msg_iov = &bytes, .msg_iovlen = 1};
    shutdown(w->listener, SHUT_RDWR);
    return sent_outcome(sendmsg(w->listener, &message, MSG_FASTOPEN));
}

int attack_attach_filter(const struct attack_world *w)
{
    struct sock_filter accept_all = BPF_STMT(BPF_RET | BPF_K, 0xffff);
    struct sock_fprog program = {1, &accept_all};
    return attack_outcome(setsockopt(w->connection, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) ==
                          0);
}
