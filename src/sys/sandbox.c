/* sys/sandbox.c - raises the walls, in the one order that works.
 *
 *   network namespace        needs CAP_SYS_ADMIN
 *   bounding set             needs CAP_SETPCAP
 *   user and group           needs CAP_SETUID and CAP_SETGID; takes the capabilities along
 *   capabilities             what is left
 *   no_new_privs             without it the kernel refuses the next ones to who has no capabilities
 *   dumpable                 after the change of user, which sets it too
 *   limits
 *   Landlock                 opens the paths it allows, so before seccomp
 *   write xor execute        a filter of its own, so that it stands without the allow-list too
 *   seccomp allow-list       last: it forbids all of the above
 *
 * A wall that the kernel does not have is missing and said so; one that it has and refuses is an error. */
#include "sys/sandbox.h"

#include "base/buf.h"
#include "base/must.h"
#include "sys/sandbox_walls.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { USER_NAME_MAX = 64, USER_RECORD_MAX = 4096 };

static const uint32_t walls_all = (1U << WALL_COUNT) - 1;

/* LeakSanitizer starts a thread that traces its own process; coverage writes files when the process ends,
 * into folders of who built it. */
#ifdef POLDER_COVERAGE
#define COVERAGE_NEEDS_NO WALL_USER
#else
#define COVERAGE_NEEDS_NO 0
#endif
static const uint32_t walls_not_instrumented = WALL_SECCOMP | WALL_LANDLOCK_FS | WALL_LANDLOCK_NET |
                                               WALL_LANDLOCK_SCOPE | WALL_NOT_DUMPABLE | WALL_LIMITS |
                                               COVERAGE_NEEDS_NO;

/* -- capabilities: capget(2) and capset(2) have no wrapper in glibc */

typedef struct __user_cap_data_struct cap_sets[_LINUX_CAPABILITY_U32S_3];

static int caps_read(cap_sets sets)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    return syscall(SYS_capget, &header, sets) < 0 ? -errno : 0;
}

static bool caps_has(unsigned cap)
{
    cap_sets sets = {0};
    return caps_read(sets) == 0 && (sets[cap / 32].effective & 1U << cap % 32);
}

static int caps_empty_bounding_set(const struct sandbox_options *o, uint32_t walls, uint32_t *stands)
{
    if (!caps_has(CAP_SETPCAP))
        return 0; /* an ordinary user; no_new_privs then makes the bounding set meaningless */
    for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return -errno;
    return 0;
}

/* The filter's two, as far as it has them. Everybody else has none. */
static int caps_kept(const struct sandbox_options *o, cap_sets ret)
{
    static const unsigned filter_caps[] = {CAP_NET_ADMIN, CAP_BPF};
    cap_sets now = {0};
    int e = o->profile == SANDBOX_FILTER ? caps_read(now) : 0;
    for (size_t i = 0; !e && i < sizeof filter_caps / sizeof *filter_caps; i++) {
        unsigned cap = filter_caps[i];
        ret[cap / 32].permitted |= now[cap / 32].permitted & 1U << cap % 32;
        ret[cap / 32].effective = ret[cap / 32].permitted;
    }
    return e;
}

static int caps_clear(const struct sandbox_options *o, uint32_t walls, uint32_t *stands)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    cap_sets kept = {0};
    int e = caps_kept(o, kept);
    if (e)
        return e;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    if (syscall(SYS_capset, &header, kept) < 0)
        return -errno;
    *stands |= WALL_CAPABILITIES;
    return 0;
}

/* -- user */

struct identity {
    uid_t uid;
    gid_t gid;
};

/* The user named, or the fallback when there is no such user. Never root. */
static int identity_find(const struct sandbox_options *o, struct identity *ret)
{
    char memory[USER_NAME_MAX], record[USER_RECORD_MAX];
    struct buf name = buf_over(memory, sizeof memory);
    struct passwd found, *p = NULL;
    buf_str(&name, o->user);
    buf_char(&name, '\0');
    if (buf_overflowed(&name))
        return -ENAMETOOLONG;
    int e = o->user.n ? getpwnam_r(memory, &found, record, sizeof record, &p) : 0;
    if (e && e != ENOENT && e != ESRCH)
        return -e;
    *ret = p ? (struct identity){p->pw_uid, p->pw_gid} : (struct identity){o->fallback_uid, o->fallback_uid};
    return ret->uid == 0 || ret->gid == 0 ? -EINVAL : 0;
}

static bool is_ordinary_user(void)
{
    uid_t real, effective, saved;
    return getresuid(&real, &effective, &saved) == 0 && real != 0 && effective != 0 && saved != 0;
}

int sandbox_identity(const struct sandbox_options *o, unsigned *ret_uid, unsigned *ret_gid)
{
    struct identity id = {getuid(), getgid()};
    int e = is_ordinary_user() ? 0 : identity_find(o, &id);
    *ret_uid = id.uid;
    *ret_gid = id.gid;
    return e;
}

static int user_raise(const struct sandbox_options *o, uint32_t walls, uint32_t *stands)
{
    struct identity id = {0};
    if (is_ordinary_user()) { /* has nothing to drop */
        *stands |= WALL_USER;
        return 0;
    }
    int e = identity_find(o, &id);
    if (e)
        return e;
    /* Without this the change of user takes the filter's capabilities along; caps_clear leaves it two. */
    if (o->profile == SANDBOX_FILTER && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return -errno;
    if (setgroups(0, NULL) < 0 || setresgid(id.gid, id.gid, id.gid) < 0 ||
        setresuid(id.uid, id.uid, id.uid) < 0)
        return -errno;
    must(geteuid() == id.uid && getegid() == id.gid);
    *stands |= WALL_USER;
    return 0;
}

/* -- the small ones */

static int net_namespace_raise(const struct sandbox_options *o, uint32_t walls, uint32_t *stands)
{
    bool needs_network = o->profile == SANDBOX_DIALER || o->profile == SANDBOX_FILTER;
    if (needs_network || !caps_has(CAP_SYS_ADMIN))
        return 0;
    if (unshare(CLONE_NEWNET) < 0)
        return errno == EINVAL || errno == ENOSYS ? 0 : -errno;
    *stands |= WALL_NET_NAMESPACE;
    return 0;
}

static int no_new_privs_raise(const struct sandbox_options *o, uint32_t walls, uint32_t *stands)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    *stands |= WALL_NO_NEW_PRIVS;
    return 0;
}

/* Always: the change of user sets it as a side effect, and who asked for no such wall gets none. */
static int dumpable_set(const struct sandbox_options *o, uint32_t walls, uint32_t *stands)
{
    if (prctl(PR_SET_DUMPABLE, walls & WALL_NOT_DUMPABLE ? 0 : 1, 0, 0, 0) < 0)
        return -errno;
    *stands |= walls & WALL_NOT_DUMPABLE;
    return 0;
}

static int limit_lower(int resource, rlim_t most)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        return -errno;
    if (limit.rlim_max > most)
        limit.rlim_max = most;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

static int limits_raise(const struct sandbox_options *o, uint32_t walls, uint32_t *stands)
{
    /* The signer keeps keys out of swap: mlock(2) and memfd_secret(2) are counted here. */
    rlim_t locked_bytes = o->profile == SANDBOX_SIGNER ? 4U << 20 : 0;
    int e = limit_lower(RLIMIT_NPROC, 0);
    if (!e)
        e = limit_lower(RLIMIT_CORE, 0);
    if (!e)
        e = limit_lower(RLIMIT_MEMLOCK, locked_bytes);
    if (!e)
        *stands |= WALL_LIMITS;
    return e;
}

/* -- all of it */

static const struct {
    uint32_t walls; /* the step is left out when none of these is wanted */
    int (*raise)(const struct sandbox_options *, uint32_t walls, uint32_t *stands);
} steps[] = {
    {WALL_NET_NAMESPACE, net_namespace_raise},
    {WALL_CAPABILITIES, caps_empty_bounding_set},
    {WALL_USER, user_raise},
    {WALL_CAPABILITIES, caps_clear},
    {WALL_NO_NEW_PRIVS, no_new_privs_raise},
    {UINT32_MAX, dumpable_set},
    {WALL_LIMITS, limits_raise},
    {WALL_LANDLOCK_FS | WALL_LANDLOCK_NET | WALL_LANDLOCK_SCOPE, landlock_raise},
    {WALL_WRITE_XOR_EXECUTE, seccomp_raise_write_xor_execute},
    {WALL_SECCOMP, seccomp_raise_allow_list},
};

static uint32_t walls_wanted(const struct sandbox_options *o)
{
    uint32_t wanted = walls_all;
    if (SANDBOX_INSTRUMENTED)
        wanted &= ~walls_not_instrumented;
#ifdef POLDER_BREACH
    wanted &= ~o->without;
#endif
    return wanted;
}

int sandbox_enter(const struct sandbox_options *o, uint32_t *ret_walls)
{
    uint32_t wanted = walls_wanted(o), stands = 0;
    tzset(); /* glibc opens /etc/localtime at the first use of a calendar date, gmtime's too: OpenSSL needs it
                later */
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (!(wanted & steps[i].walls))
            continue;
        int e = steps[i].raise(o, wanted & steps[i].walls, &stands);
        if (e)
            return e;
    }
    *ret_walls = stands;
    return 0;
}

/* -- names */

static const struct {
    enum sandbox_wall wall;
    struct str name, missing;
} names[WALL_COUNT] = {
    {WALL_NO_NEW_PRIVS, STR("no-new-privs"), STR("")},
    {WALL_USER, STR("user"), STR("")},
    {WALL_CAPABILITIES, STR("capabilities"), STR("")},
    {WALL_SECCOMP, STR("seccomp"), STR("needs a kernel with CONFIG_SECCOMP_FILTER")},
    {WALL_LANDLOCK_FS, STR("landlock-fs"), STR("needs kernel 5.13 with Landlock switched on")},
    {WALL_LANDLOCK_NET, STR("landlock-net"), STR("needs kernel 6.7")},
    {WALL_NET_NAMESPACE, STR("net-namespace"),
     STR("needs root; the dialer has none, it must reach upstreams, nor the filter, whose the interfaces "
         "are")},
    {WALL_WRITE_XOR_EXECUTE, STR("write-xor-execute"), STR("needs a kernel with CONFIG_SECCOMP_FILTER")},
    {WALL_NOT_DUMPABLE, STR("not-dumpable"), STR("")},
    {WALL_LIMITS, STR("limits"), STR("")},
    {WALL_LANDLOCK_SCOPE, STR("landlock-scope"), STR("needs kernel 6.12")},
};

struct str sandbox_wall_name(enum sandbox_wall wall)
{
    for (size_t i = 0; i < WALL_COUNT; i++)
        if (names[i].wall == wall)
            return names[i].name;
    return STR("unknown");
}

struct str sandbox_wall_missing(enum sandbox_wall wall)
{
    if (SANDBOX_INSTRUMENTED && (walls_not_instrumented & wall))
        return STR("left out in sanitizer and coverage builds");
    for (size_t i = 0; i < WALL_COUNT; i++)
        if (names[i].wall == wall)
            return names[i].missing;
    return STR_NONE;
}

bool sandbox_wall_named(struct str name, enum sandbox_wall *ret)
{
    for (size_t i = 0; i < WALL_COUNT; i++)
        if (str_eq(names[i].name, name)) {
            *ret = names[i].wall;
            return true;
        }
    return false;
}
