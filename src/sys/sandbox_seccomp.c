/* sys/sandbox_seccomp.c - the system calls of each role, seccomp(2) by libseccomp.
 *
 * Two filters, both of which must agree to a call:
 *   the allow-list: what is not on it kills the process. A role is given everything it needs before it
 * enters, so a call that is not listed is a mistake of ours or somebody else's code; both end here; write xor
 * execute: no memory becomes executable, whatever the allow-list says.
 *
 * A call that is allowed whatever its arguments costs nothing: the kernel (5.11 and later) keeps a bitmap of
 * those. A call whose arguments are looked at (send, sendto, sendmsg, mmap, setsockopt) runs both filters,
 * about 0.1 us: on the hot path prefer read, write, readv, writev and recv.
 *
 * A role that was killed here died of SIGSYS ("was killed by its sandbox"). To find the call:
 *   journalctl -k | grep type=1326      audit names it: syscall=NUMBER
 *   ausearch -m SECCOMP                 the same, where auditd runs
 *   strace -f -p PID                    shows the call, then "+++ killed by SIGSYS +++"
 *   scmp_sys_resolver NUMBER            number to name (package seccomp)
 * Then ask first whether the role should make that call at all, and before or after it enters. */
#include "sys/sandbox_walls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* include/uapi/linux/prctl.h of 6.3 */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

/* include/uapi/linux/shm.h; in this tree <sys/shm.h> is our own header */
#ifndef SHM_EXEC
#define SHM_EXEC 0100000
#endif

/* Conditions on argument n. The kernel reads an int from the low half of the register, and so do we. */
#define LOW_32 UINT64_C(0xffffffff)
#define INT_IS(n, value)                                                                                     \
    {                                                                                                        \
        (n), SCMP_CMP_MASKED_EQ, LOW_32, (uint32_t)(value)                                                   \
    }
#define BITS_ARE(n, mask, is)                                                                                \
    {                                                                                                        \
        (n), SCMP_CMP_MASKED_EQ, (uint32_t)(mask), (uint32_t)(is)                                            \
    }
#define IS_NULL(n)                                                                                           \
    {                                                                                                        \
        (n), SCMP_CMP_EQ, 0, 0                                                                               \
    }

/* A call that is allowed (error 0) or fails with an errno, when all its conditions hold. */
struct rule {
    int call;
    int error;
    unsigned conditions;
    struct scmp_arg_cmp when[3];
};

/* -- every role */

static const int calls_all[] = {
    /* the loop, and descriptors that are there already */
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(pread64),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(lseek),
    SCMP_SYS(fstat),
    SCMP_SYS(close),
    /* memory; whether it may be executable is not asked here but by the other filter */
    SCMP_SYS(mmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    /* time and chance; how large the machine is: sysinfo is qsort's question (glibc 2.36) */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(getrandom),
    SCMP_SYS(sysinfo),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getrusage),
    SCMP_SYS(sched_yield),
    SCMP_SYS(getcpu),
    /* who am I, signals, the end */
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

static const struct rule rules_all[] = {
    /* glibc's fstat (2.33 to 2.38). The path cannot be looked at: a role can learn that a file exists. */
    {SCMP_SYS(newfstatat), 0, 1, {BITS_ARE(3, AT_EMPTY_PATH, AT_EMPTY_PATH)}},
    {SCMP_SYS(fcntl), 0, 1, {INT_IS(1, F_GETFD)}},
    {SCMP_SYS(fcntl), 0, 1, {INT_IS(1, F_SETFD)}},
    {SCMP_SYS(fcntl), 0, 1, {INT_IS(1, F_GETFL)}},
    {SCMP_SYS(fcntl), 0, 1, {INT_IS(1, F_SETFL)}},
    {SCMP_SYS(fcntl), 0, 1, {INT_IS(1, F_DUPFD_CLOEXEC)}}, /* a descriptor that waits in a channel */
    {SCMP_SYS(fcntl), 0, 1, {INT_IS(1, F_GET_SEALS)}},
    {SCMP_SYS(ioctl), 0, 1, {INT_IS(1, FIONREAD)}},
    {SCMP_SYS(ioctl), 0, 1, {INT_IS(1, FIONBIO)}},
    {SCMP_SYS(ioctl), ENOTTY, 1, {INT_IS(1, TCGETS)}}, /* stdio asks whether its stream is a terminal */
    /* No address and no MSG_FASTOPEN, which would connect an unconnected socket. */
    {SCMP_SYS(sendto), 0, 2, {BITS_ARE(3, MSG_FASTOPEN, 0), IS_NULL(4)}},
    {SCMP_SYS(sendmsg), 0, 1, {BITS_ARE(2, MSG_FASTOPEN, 0)}},
};

/* -- roles with connections */

static const int calls_connections[] = {
    SCMP_SYS(getsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
};

/* Reading stays open: SHUT_RD would take a listening socket down for good, also in the master that keeps it
 * for the successor of this role. SHUT_WR does nothing to one (inet_shutdown). */
static const struct rule rules_connections[] = {
    {SCMP_SYS(shutdown), 0, 1, {INT_IS(1, SHUT_WR)}},
};

static const int calls_accepting[] = {SCMP_SYS(accept4)};

/* No filters (SO_ATTACH_*), no devices, no TCP_REPAIR: only these. */
static const struct {
    int level, option;
} socket_options[] = {
    {SOL_SOCKET, SO_LINGER},         {SOL_SOCKET, SO_KEEPALIVE},      {SOL_SOCKET, SO_SNDBUF},
    {SOL_SOCKET, SO_RCVBUF},         {SOL_SOCKET, SO_RCVLOWAT},       {SOL_SOCKET, SO_INCOMING_CPU},
    {IPPROTO_TCP, TCP_NODELAY},      {IPPROTO_TCP, TCP_CORK},         {IPPROTO_TCP, TCP_QUICKACK},
    {IPPROTO_TCP, TCP_KEEPIDLE},     {IPPROTO_TCP, TCP_KEEPINTVL},    {IPPROTO_TCP, TCP_KEEPCNT},
    {IPPROTO_TCP, TCP_LINGER2},      {IPPROTO_TCP, TCP_USER_TIMEOUT}, {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT}, {IPPROTO_TCP, TCP_MAXSEG},
};

/* -- the signer: keys in memory that is not swapped, dumped or mapped by the kernel */

static const int calls_signer[] = {
    SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(munlock), SCMP_SYS(memfd_secret), SCMP_SYS(ftruncate),
};

/* -- the observer: logs are appended to descriptors that the master opened */

static const int calls_observer[] = {SCMP_SYS(fsync), SCMP_SYS(fdatasync)};

/* -- the records: SQLite's files, and files that grow. Which ones is Landlock's question. */

static const int calls_databases[] = {
    SCMP_SYS(newfstatat),
    SCMP_SYS(access),
    SCMP_SYS(readlink),
    SCMP_SYS(getcwd),
};

/* Landlock before kernel 6.2 does not see that a file which is opened for reading is emptied on the way. */
static const struct rule rules_opening[] = {
    {SCMP_SYS(openat), 0, 1, {BITS_ARE(2, O_TRUNC, 0)}},
};

static const struct rule rules_databases[] = {
    {SCMP_SYS(fcntl), 0, 1, {INT_IS(1, F_SETLK)}},
    {SCMP_SYS(fcntl), 0, 1, {INT_IS(1, F_SETLKW)}},
    {SCMP_SYS(fcntl), 0, 1, {INT_IS(1, F_GETLK)}},
};

static const int calls_writing[] = {
    SCMP_SYS(pwrite64), SCMP_SYS(pwritev),  SCMP_SYS(fsync),  SCMP_SYS(fdatasync), SCMP_SYS(ftruncate),
    SCMP_SYS(unlink),   SCMP_SYS(unlinkat), SCMP_SYS(rename), SCMP_SYS(fchmod),    SCMP_SYS(fallocate),
    SCMP_SYS(mkdir),    SCMP_SYS(flock),    SCMP_SYS(fchown),
};

/* -- the audit's logs, which only grow: until they are open it may open them and cut off a line that was not
 * finished, then sandbox_append_only takes both away. */

static const int calls_appending[] = {SCMP_SYS(fdatasync), SCMP_SYS(ftruncate), SCMP_SYS(seccomp)};

/* seccomp(2) would do no harm to the logs, but nobody needs it twice. O_APPEND stays on what has it. */
static const struct rule rules_append_only[] = {
    {SCMP_SYS(openat), 0, 0, {{0}}},
    {SCMP_SYS(ftruncate), 0, 0, {{0}}},
    {SCMP_SYS(seccomp), 0, 0, {{0}}},
    {SCMP_SYS(fcntl), 0, 2, {INT_IS(1, F_SETFL), BITS_ARE(2, O_APPEND, 0)}},
};

/* -- the filter: tables and links of programs that were loaded before the walls, netlink, files of its
 * folders. Reading and writing goes through bpf(2); loading a program or making a table does not. */

static const int calls_filter[] = {
    SCMP_SYS(membarrier),    SCMP_SYS(memfd_create), SCMP_SYS(newfstatat),  SCMP_SYS(getdents64),
    SCMP_SYS(access),        SCMP_SYS(faccessat),    SCMP_SYS(pwrite64),    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),     SCMP_SYS(ftruncate),    SCMP_SYS(unlink),      SCMP_SYS(unlinkat),
    SCMP_SYS(rename),        SCMP_SYS(renameat),     SCMP_SYS(renameat2),   SCMP_SYS(rmdir),
    SCMP_SYS(fallocate),     SCMP_SYS(bind),         SCMP_SYS(getsockname), SCMP_SYS(getsockopt),
    SCMP_SYS(select),        SCMP_SYS(pselect6),     SCMP_SYS(uname),       SCMP_SYS(adjtimex),
    SCMP_SYS(clock_adjtime), /* read; to set it takes a capability */
};

static const struct rule rules_filter[] = {
    {SCMP_SYS(socket), 0, 2, {INT_IS(0, AF_NETLINK), INT_IS(2, NETLINK_ROUTE)}},
    {SCMP_SYS(socket), 0, 2, {INT_IS(0, AF_NETLINK), INT_IS(2, NETLINK_SOCK_DIAG)}},
    {SCMP_SYS(socket), 0, 2, {INT_IS(0, AF_NETLINK), INT_IS(2, NETLINK_NETFILTER)}},
    /* libnftables asks the name service of glibc, which goes on without. */
    {SCMP_SYS(socket), EAFNOSUPPORT, 1, {INT_IS(0, AF_UNIX)}},
    {SCMP_SYS(socket), EAFNOSUPPORT, 1, {INT_IS(0, AF_INET)}},
    {SCMP_SYS(socket), EAFNOSUPPORT, 1, {INT_IS(0, AF_INET6)}},
    {SCMP_SYS(sendto), 0, 1, {BITS_ARE(3, MSG_FASTOPEN, 0)}}, /* it has netlink sockets only */
    {SCMP_SYS(setsockopt), 0, 1, {INT_IS(1, SOL_NETLINK)}},
    {SCMP_SYS(setsockopt), 0, 2, {INT_IS(1, SOL_SOCKET), INT_IS(2, SO_SNDBUF)}},
    {SCMP_SYS(setsockopt), 0, 2, {INT_IS(1, SOL_SOCKET), INT_IS(2, SO_RCVBUF)}},
    {SCMP_SYS(setsockopt), 0, 2, {INT_IS(1, SOL_SOCKET), INT_IS(2, SO_SNDBUFFORCE)}},
    {SCMP_SYS(setsockopt), 0, 2, {INT_IS(1, SOL_SOCKET), INT_IS(2, SO_RCVBUFFORCE)}},
    {SCMP_SYS(setsockopt), 0, 2, {INT_IS(1, SOL_SOCKET), INT_IS(2, SO_ATTACH_REUSEPORT_EBPF)}},
    {SCMP_SYS(ioctl), 0, 1, {INT_IS(1, SIOCGIFINDEX)}},
    {SCMP_SYS(fcntl), 0, 1, {INT_IS(1, F_ADD_SEALS)}},
    {SCMP_SYS(fcntl), 0, 1, {INT_IS(1, F_SETLK)}},
    {SCMP_SYS(bpf), 0, 1, {INT_IS(0, BPF_MAP_LOOKUP_ELEM)}},
    {SCMP_SYS(bpf), 0, 1, {INT_IS(0, BPF_MAP_UPDATE_ELEM)}},
    {SCMP_SYS(bpf), 0, 1, {INT_IS(0, BPF_MAP_DELETE_ELEM)}},
    {SCMP_SYS(bpf), 0, 1, {INT_IS(0, BPF_MAP_GET_NEXT_KEY)}},
    {SCMP_SYS(bpf), 0, 1, {INT_IS(0, BPF_OBJ_PIN)}},
    {SCMP_SYS(bpf), 0, 1, {INT_IS(0, BPF_OBJ_GET)}},
    {SCMP_SYS(bpf), 0, 1, {INT_IS(0, BPF_PROG_TEST_RUN)}},
    {SCMP_SYS(bpf), 0, 1, {INT_IS(0, BPF_OBJ_GET_INFO_BY_FD)}},
    {SCMP_SYS(bpf), 0, 1, {INT_IS(0, BPF_LINK_CREATE)}},
    {SCMP_SYS(bpf), 0, 1, {INT_IS(0, BPF_LINK_UPDATE)}},
    {SCMP_SYS(bpf), 0, 1, {INT_IS(0, BPF_LINK_DETACH)}},
};

/* -- the dialer: connections, and getaddrinfo(3) with all it does */

static const int calls_dialer[] = {SCMP_SYS(connect), SCMP_SYS(uname), SCMP_SYS(readlink)};

static const struct rule rules_dialer[] = {
    /* Protocol 0 or the one that goes with the type: Landlock watches TCP, not MPTCP or SMC. */
    {SCMP_SYS(socket), 0, 3, {INT_IS(0, AF_INET), BITS_ARE(1, 0xf, SOCK_STREAM), INT_IS(2, 0)}},
    {SCMP_SYS(socket), 0, 3, {INT_IS(0, AF_INET), BITS_ARE(1, 0xf, SOCK_STREAM), INT_IS(2, IPPROTO_TCP)}},
    {SCMP_SYS(socket), 0, 3, {INT_IS(0, AF_INET6), BITS_ARE(1, 0xf, SOCK_STREAM), INT_IS(2, 0)}},
    {SCMP_SYS(socket), 0, 3, {INT_IS(0, AF_INET6), BITS_ARE(1, 0xf, SOCK_STREAM), INT_IS(2, IPPROTO_TCP)}},
    {SCMP_SYS(socket), 0, 3, {INT_IS(0, AF_INET), BITS_ARE(1, 0xf, SOCK_DGRAM), INT_IS(2, 0)}},
    {SCMP_SYS(socket), 0, 3, {INT_IS(0, AF_INET), BITS_ARE(1, 0xf, SOCK_DGRAM), INT_IS(2, IPPROTO_UDP)}},
    {SCMP_SYS(socket), 0, 3, {INT_IS(0, AF_INET6), BITS_ARE(1, 0xf, SOCK_DGRAM), INT_IS(2, 0)}},
    {SCMP_SYS(socket), 0, 3, {INT_IS(0, AF_INET6), BITS_ARE(1, 0xf, SOCK_DGRAM), INT_IS(2, IPPROTO_UDP)}},
    /* getaddrinfo asks nscd and the kernel's interfaces first and goes on without them. */
    {SCMP_SYS(socket), EAFNOSUPPORT, 1, {INT_IS(0, AF_UNIX)}},
    {SCMP_SYS(socket), EAFNOSUPPORT, 1, {INT_IS(0, AF_NETLINK)}},
    /* Reading only; which files is Landlock's question. */
    {SCMP_SYS(openat), 0, 1, {BITS_ARE(2, O_ACCMODE | O_CREAT | O_TRUNC | O_TMPFILE, 0)}},
    {SCMP_SYS(newfstatat), 0, 1, {INT_IS(3, 0)}},
    {SCMP_SYS(sendmmsg), 0, 1, {BITS_ARE(3, MSG_FASTOPEN, 0)}},
    {SCMP_SYS(setsockopt), 0, 2, {INT_IS(1, IPPROTO_IP), INT_IS(2, IP_RECVERR)}},
    {SCMP_SYS(setsockopt), 0, 2, {INT_IS(1, IPPROTO_IP), INT_IS(2, IP_MTU_DISCOVER)}},
    {SCMP_SYS(setsockopt), 0, 2, {INT_IS(1, IPPROTO_IPV6), INT_IS(2, IPV6_RECVERR)}},
    {SCMP_SYS(setsockopt), 0, 2, {INT_IS(1, IPPROTO_IPV6), INT_IS(2, IPV6_MTU_DISCOVER)}},
    {SCMP_SYS(setsockopt), 0, 2, {INT_IS(1, IPPROTO_IPV6), INT_IS(2, IPV6_V6ONLY)}},
};

/* -- write xor execute. MDWE alone lets a file that was written be mapped executable, and came in 6.3. */

static const struct rule rules_write_xor_execute[] = {
    {SCMP_SYS(mmap), 0, 1, {BITS_ARE(2, PROT_EXEC, PROT_EXEC)}},
    {SCMP_SYS(mprotect), 0, 1, {BITS_ARE(2, PROT_EXEC, PROT_EXEC)}},
    {SCMP_SYS(pkey_mprotect), 0, 1, {BITS_ARE(2, PROT_EXEC, PROT_EXEC)}},
    {SCMP_SYS(shmat), 0, 1, {BITS_ARE(2, SHM_EXEC, SHM_EXEC)}},
    {SCMP_SYS(personality), 0, 0, {{0}}}, /* READ_IMPLIES_EXEC */
};

/* -- filters under construction: the first error sticks */

struct filter {
    scmp_filter_ctx ctx;
    int error;
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

static struct filter filter_new(uint32_t otherwise)
{
    struct filter f = {seccomp_init(otherwise), 0};
    if (!f.ctx) {
        f.error = -ENOMEM;
        return f;
    }
    /* Another architecture's calls (int 0x80, x32) have other numbers: never. */
    f.error = seccomp_attr_set(f.ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    /* no_new_privs is a wall of its own, not a side effect. */
    if (!f.error)
        f.error = seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_NNP, 0);
    if (!f.error)
        f.error = seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
    return f;
}

static void filter_calls(struct filter *f, const int *calls, size_t n)
{
    for (size_t i = 0; !f->error && i < n; i++)
        f->error = seccomp_rule_add(f->ctx, SCMP_ACT_ALLOW, calls[i], 0);
}

static void filter_rules(struct filter *f, uint32_t action, const struct rule *rules, size_t n)
{
    for (size_t i = 0; !f->error && i < n; i++) {
        uint32_t act = rules[i].error ? SCMP_ACT_ERRNO((uint32_t)rules[i].error) : action;
        f->error = seccomp_rule_add_array(f->ctx, act, rules[i].call, rules[i].conditions, rules[i].when);
    }
}

static void filter_socket_options(struct filter *f)
{
    for (size_t i = 0; i < COUNT(socket_options); i++) {
        struct rule rule = {SCMP_SYS(setsockopt),
                            0,
                            2,
                            {INT_IS(1, socket_options[i].level), INT_IS(2, socket_options[i].option)}};
        filter_rules(f, SCMP_ACT_ALLOW, &rule, 1);
    }
}

/* abort(3) sends itself SIGABRT; nobody else is signalled. */
static void filter_own_signals(struct filter *f)
{
    const struct rule rule = {SCMP_SYS(tgkill), 0, 1, {INT_IS(0, getpid())}};
    filter_rules(f, SCMP_ACT_ALLOW, &rule, 1);
}

/* Loads and frees it. */
static int filter_load(struct filter *f)
{
    if (!f->error)
        f->error = seccomp_load(f->ctx);
    if (f->ctx)
        seccomp_release(f->ctx);
    return f->error;
}

static bool kernel_has_seccomp(void)
{
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0 || errno != EINVAL;
}

int seccomp_raise_write_xor_execute(const struct sandbox_options *o, uint32_t walls, uint32_t *stands)
{
    if (!kernel_has_seccomp())
        return 0;
    if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0 && errno != EINVAL)
        return -errno;
    struct filter f = filter_new(SCMP_ACT_ALLOW);
    filter_rules(&f, SCMP_ACT_KILL_PROCESS, rules_write_xor_execute, COUNT(rules_write_xor_execute));
    int e = filter_load(&f);
    if (!e)
        *stands |= WALL_WRITE_XOR_EXECUTE;
    return e;
}

int sandbox_append_only(uint32_t walls)
{
    if (!(walls & WALL_SECCOMP))
        return 0;
    struct filter f = filter_new(SCMP_ACT_ALLOW);
    filter_rules(&f, SCMP_ACT_KILL_PROCESS, rules_append_only, COUNT(rules_append_only));
    return filter_load(&f);
}

static void filter_profile(struct filter *f, enum sandbox_profile profile)
{
    if (profile == SANDBOX_WORKER || profile == SANDBOX_OBSERVER || profile == SANDBOX_DIALER ||
        profile == SANDBOX_RECORDS_WORKER) {
        filter_calls(f, calls_connections, COUNT(calls_connections));
        filter_rules(f, SCMP_ACT_ALLOW, rules_connections, COUNT(rules_connections));
        filter_socket_options(f);
    }
    if (profile == SANDBOX_RECORDS_WORKER || profile == SANDBOX_RECORDS_OWNER ||
        profile == SANDBOX_RECORDS_EXPORTER || profile == SANDBOX_RECORDS_AUDIT) {
        filter_calls(f, calls_databases, COUNT(calls_databases));
        filter_rules(f, SCMP_ACT_ALLOW, rules_databases, COUNT(rules_databases));
        filter_rules(f, SCMP_ACT_ALLOW, rules_opening, COUNT(rules_opening));
    }
    if (profile == SANDBOX_RECORDS_OWNER || profile == SANDBOX_RECORDS_EXPORTER)
        filter_calls(f, calls_writing, COUNT(calls_writing));
    if (profile == SANDBOX_RECORDS_AUDIT)
        filter_calls(f, calls_appending, COUNT(calls_appending));
    if (profile == SANDBOX_WORKER || profile == SANDBOX_OBSERVER || profile == SANDBOX_RECORDS_WORKER)
        filter_calls(f, calls_accepting, COUNT(calls_accepting));
    if (profile == SANDBOX_SIGNER)
        filter_calls(f, calls_signer, COUNT(calls_signer));
    if (profile == SANDBOX_OBSERVER)
        filter_calls(f, calls_observer, COUNT(calls_observer));
    if (profile == SANDBOX_FILTER) {
        filter_calls(f, calls_filter, COUNT(calls_filter));
        filter_rules(f, SCMP_ACT_ALLOW, rules_filter, COUNT(rules_filter));
        filter_rules(f, SCMP_ACT_ALLOW, rules_opening, COUNT(rules_opening));
    }
    if (profile == SANDBOX_DIALER) {
        filter_calls(f, calls_dialer, COUNT(calls_dialer));
        filter_rules(f, SCMP_ACT_ALLOW, rules_dialer, COUNT(rules_dialer));
    }
}

int seccomp_raise_allow_list(const struct sandbox_options *o, uint32_t walls, uint32_t *stands)
{
    if (!kernel_has_seccomp())
        return 0;
    struct filter f = filter_new(SCMP_ACT_KILL_PROCESS);
    filter_calls(&f, calls_all, COUNT(calls_all));
    filter_rules(&f, SCMP_ACT_ALLOW, rules_all, COUNT(rules_all));
    filter_own_signals(&f);
    filter_profile(&f, o->profile);
    int e = filter_load(&f);
    if (!e)
        *stands |= WALL_SECCOMP;
    return e;
}
