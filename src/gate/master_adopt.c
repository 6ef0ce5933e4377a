/* gate/master_adopt.c - taking over from an older master: after its death, or at an upgrade of the binary.
 *
 * run_directory/gate.state says who the roles are and, for an upgrade (same process, new binary), which descriptor is
 * which listening socket. Lines: "master PID", "role PID STARTTIME", "listening FD SLOT ADDRESS". A role is only ever
 * signalled when its PID still has the start time that stands there: a PID used again by somebody else is left alone. */
#include "gate/master.h"

#include "sys/channel.h"
#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATE_BYTES = 64 * 1024, OLD_ROLES_MAX = 256 };

struct old_role {
    struct io exited; /* pidfd */
    struct adopted *adopted;
    pid_t pid;
    enum role role;
};

struct adopted {
    struct master *master;
    struct old_role roles[OLD_ROLES_MAX];
    unsigned count, workers_left;
    bool ended;
};

/* Field 22 of /proc/PID/stat, in clock ticks since boot; 0: no such process. */
static uint64_t start_time(pid_t pid)
{
    char path[64], text[1024];
    struct buf b = buf_over(path, sizeof path - 1);
    buf_printf(&b, "/proc/%d/stat", (int)pid);
    path[b.n] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    struct str rest = {text, (size_t)n};
    for (size_t i = rest.n; i > 0; i--) /* the name in field 2 may hold anything: count from its last ')' */
        if (text[i - 1] == ')') {
            rest = str_skip(rest, i + 1);
            break;
        }
    uint64_t value = 0;
    for (int field = 3; field <= 22; field++) {
        struct str word = str_cut(&rest, ' ');
        if (field == 22 && !str_parse_u64(word, &value))
            return 0;
    }
    return value;
}

static bool state_path(const struct master *m, char *ret, size_t cap)
{
    const struct loaded_config *l = m->current ? m->current : m->change;
    struct buf b = buf_over(ret, cap - 1);
    buf_str(&b, str_take(str_of(m->control_path), strlen(m->control_path) - strlen("control.sock")));
    BUF_LIT(&b, "gate.state");
    ret[b.n] = '\0';
    (void)l;
    return !buf_overflowed(&b);
}

static void write_state(const struct master *m, struct buf *b)
{
    buf_printf(b, "master %d %" PRIu64 "\n", (int)getpid(), start_time(getpid()));
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        const struct child *c = &m->children[i];
        if (c->pid > 0)
            buf_printf(b, "role %d %" PRIu64 " %d\n", (int)c->pid, start_time(c->pid), (int)c->role);
    }
    for (unsigned i = 0; m->adopted && i < m->adopted->count; i++)
        if (m->adopted->roles[i].exited.fd >= 0)
            buf_printf(b, "role %d %" PRIu64 " %d\n", (int)m->adopted->roles[i].pid, start_time(m->adopted->roles[i].pid),
                       (int)m->adopted->roles[i].role);
    for (unsigned i = 0; i < m->listening_count; i++) {
        buf_printf(b, "listening %d %u ", m->listening[i].fd, m->listening[i].slot);
        addr_write(b, &m->listening[i].address);
        buf_char(b, '\n');
    }
}

/* Written beside and renamed over: a reader sees one whole state or the other. */
void adopt_write_state(struct master *m)
{
    char path[PATH_MAX], fresh[PATH_MAX];
    char *text = malloc(STATE_BYTES);
    struct buf b = buf_over(text, STATE_BYTES), name = buf_over(fresh, sizeof fresh - 1);
    if (!text || !m->control_path[0] || !state_path(m, path, sizeof path)) {
        free(text);
        return;
    }
    write_state(m, &b);
    buf_str(&name, str_of(path));
    BUF_LIT(&name, ".new");
    fresh[name.n] = '\0';
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && !buf_overflowed(&b) && write(fd, b.p, b.n) == (ssize_t)b.n;
    if (fd >= 0)
        close(fd);
    if (!ok || rename(fresh, path) < 0)
        master_say("the state file %s cannot be written: %s. A next master would not find our roles", path, strerror(errno));
    free(text);
}

static bool take_role(struct adopted *a, struct str line)
{
    uint64_t pid, ticks, role;
    if (!str_parse_u64(str_cut(&line, ' '), &pid) || !str_parse_u64(str_cut(&line, ' '), &ticks) ||
        !str_parse_u64(line, &role) || pid == 0 || pid > INT_MAX || role >= ROLE_COUNT || a->count == OLD_ROLES_MAX)
        return false;
    if (start_time((pid_t)pid) != ticks || ticks == 0)
        return true; /* gone */
    int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (pidfd < 0)
        return true;
    fcntl(pidfd, F_SETFD, FD_CLOEXEC);
    a->roles[a->count++] = (struct old_role){.exited.fd = pidfd, .adopted = a, .pid = (pid_t)pid, .role = (enum role)role};
    a->workers_left += role == ROLE_WORKER;
    return true;
}

static void take_listening(struct master *m, struct str line)
{
    uint64_t fd, slot;
    struct addr address;
    if (!str_parse_u64(str_cut(&line, ' '), &fd) || !str_parse_u64(str_cut(&line, ' '), &slot) || !addr_parse(line, &address) ||
        fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
        return;
    listening_add(m, &address, (unsigned)slot, (int)fd);
}

static struct str read_state(const char *path)
{
    char *text = malloc(STATE_BYTES);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = text && fd >= 0 ? read(fd, text, STATE_BYTES) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0) {
        free(text);
        return STR_NONE;
    }
    return (struct str){text, (size_t)n};
}

bool adopt_read_state(struct master *m, char *ret_why, size_t cap)
{
    char path[PATH_MAX];
    bool same_process = false, refused = false;
    struct adopted *a = calloc(1, sizeof *a);
    if (!a || !state_path(m, path, sizeof path)) {
        free(a);
        return true;
    }
    a->master = m;
    struct str text = read_state(path), rest = text;
    while (rest.n && !refused) {
        struct str line = str_cut(&rest, '\n'), word = str_cut(&line, ' ');
        uint64_t pid = 0, ticks = 0;
        if (str_eq(word, STR("master")) && str_parse_u64(str_cut(&line, ' '), &pid) && str_parse_u64(line, &ticks)) {
            same_process = (pid_t)pid == getpid() && start_time(getpid()) == ticks;
            refused = !same_process && start_time((pid_t)pid) == ticks && ticks != 0;
        } else if (str_eq(word, STR("role"))) {
            take_role(a, line);
        } else if (str_eq(word, STR("listening")) && same_process) {
            take_listening(m, line);
        }
    }
    free((char *)(uintptr_t)text.p);
    m->adopted = a;
    if (refused) {
        struct buf why = buf_over(ret_why, cap);
        buf_printf(&why, "a gate is running already with the folder of %s. `polder status` shows it; `polder reload` gives it a new "
                         "configuration, `polder upgrade` a new binary%c", path, 0);
    }
    return !refused;
}

static void end_rest(struct adopted *a)
{
    for (unsigned i = 0; i < a->count; i++)
        if (a->roles[i].role != ROLE_WORKER && a->roles[i].exited.fd >= 0)
            syscall(SYS_pidfd_send_signal, a->roles[i].exited.fd, SIGTERM, NULL, 0);
}

static void old_role_exited(struct io *io, uint32_t events [[maybe_unused]])
{
    struct old_role *r = container_of(io, struct old_role, exited);
    struct adopted *a = r->adopted;
    waitpid(r->pid, NULL, WNOHANG); /* ours after an upgrade; somebody else's otherwise */
    loop_close(a->master->loop, io);
    if (r->role == ROLE_WORKER && --a->workers_left == 0)
        end_rest(a);
    adopt_write_state(a->master);
}

/* Old workers answer what is open, and need their signer and dialer for that; those end last. The old observer must
 * leave the event rings of its own workers drained, so it stays too; its control socket was replaced by ours. */
void adopt_end_old_roles(struct master *m)
{
    struct adopted *a = m->adopted;
    if (!a || a->ended)
        return;
    a->ended = true;
    for (unsigned i = 0; i < a->count; i++) {
        a->roles[i].exited.ready = old_role_exited;
        if (loop_add(m->loop, &a->roles[i].exited, EPOLLIN | EPOLLET) < 0)
            continue;
        if (a->roles[i].role == ROLE_WORKER)
            syscall(SYS_pidfd_send_signal, a->roles[i].exited.fd, SIGTERM, NULL, 0);
    }
    if (a->workers_left == 0)
        end_rest(a);
}

/* ---- upgrade */

static bool new_binary_accepts(const struct master *m, const char *binary, struct str *ret_error)
{
    char check[] = "--check", config[] = "--config";
    char *argv[] = {m->argv[0], check, config, (char *)(uintptr_t)m->config_path, NULL}, *env[] = {NULL};
    int pidfd, status = 0;
    pid_t pid = process_start(binary, argv, env, NULL, 0, &pidfd);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        *ret_error = STR("the new binary does not start, or does not accept the configuration; the old one goes on");
        return false;
    }
    close(pidfd);
    return true;
}

/* Where the binary lies now: /proc/self/exe of a file that was replaced ends in " (deleted)". */
static bool binary_path(char *ret, size_t cap)
{
    static const char deleted[] = " (deleted)";
    ssize_t n = readlink("/proc/self/exe", ret, cap - 1);
    if (n <= 0)
        return false;
    ret[n] = '\0';
    size_t tail = sizeof deleted - 1;
    if ((size_t)n > tail && memcmp(ret + n - tail, deleted, tail) == 0)
        ret[(size_t)n - tail] = '\0';
    return true;
}

bool adopt_upgrade(struct master *m, struct str *ret_error)
{
    char binary[PATH_MAX];
    *ret_error = STR("the place of the binary is not known");
    if (!binary_path(binary, sizeof binary) || !new_binary_accepts(m, binary, ret_error))
        return false;
    notify_systemd("RELOADING=1");
    for (unsigned i = 0; i < m->listening_count; i++)
        fcntl(m->listening[i].fd, F_SETFD, 0);
    adopt_write_state(m);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(binary, m->argv);
    *ret_error = STR("the new binary could not be executed; the old one goes on");
    for (unsigned i = 0; i < m->listening_count; i++)
        fcntl(m->listening[i].fd, F_SETFD, FD_CLOEXEC);
    return false;
}
