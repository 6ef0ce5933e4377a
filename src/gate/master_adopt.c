/* gate/master_adopt.c - taking over from an older master: after its death, or at an upgrade of the binary.
 *
 * run_directory/gate.state says who the roles are and, for an upgrade (same process, new binary), which
 * descriptor is which listening socket. Lines: "master PID STARTTIME", "role PID STARTTIME ROLE SLOT TOLD"
 * (1: it was told to end), "listening FD SLOT ADDRESS". A role is only ever signalled when its PID still has
 * the start time that stands there: a PID used again by somebody else is left alone.
 *
 * Whatever the reason, the successor listens on the very sockets of its predecessor: connections in their
 * queues, and handshakes half way into them, are lost to nobody. After a death they are copied out of the
 * workers that hold them (pidfd_getfd(2)); where that is not allowed, new sockets join them, and the old
 * workers empty their own. */
#include "base/unconst.h"
#include "gate/master.h"

#include "sys/channel.h"
#include "sys/net.h"
#include "sys/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    END_AGAIN_MS = 200,
    STATE_BYTES = 64 * 1024,
    OLD_ROLES_MAX = 256,
    PATH_ROOM = 128 /* run_directory has 95 at most */
};

struct old_role {
    struct io exited; /* pidfd */
    struct adopted *adopted;
    pid_t pid;
    enum role role;
    unsigned slot;
    bool is_told; /* to end: a second time would hurry it */
};

struct adopted {
    struct master *master;
    struct old_role roles[OLD_ROLES_MAX];
    struct timer end_timer;
    unsigned count, left, workers_left;
    bool ended;
};

static void end_rest_again(struct timer *t);

/* Field 22 of /proc/PID/stat, in clock ticks since boot; 0: no such process, or a corpse that is not ours to
 * bury. */
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
    uint64_t parent = 0, value = 0;
    bool is_corpse = str_eq(str_cut(&rest, ' '), STR("Z"));
    if (!str_parse_u64(str_cut(&rest, ' '), &parent) || (is_corpse && (pid_t)parent != getpid()))
        return 0;
    for (int field = 5; field < 22; field++)
        str_cut(&rest, ' ');
    return str_parse_u64(str_cut(&rest, ' '), &value) ? value : 0;
}

static const char *state_path(const struct master *m, char *memory, size_t cap)
{
    struct buf b = buf_over(memory, cap);
    buf_printf(&b, "%s/gate.state%c", m->run_directory, 0);
    return memory;
}

static void write_role(struct buf *b, pid_t pid, enum role role, unsigned slot, bool is_told)
{
    buf_printf(b, "role %d %" PRIu64 " %d %u %d\n", (int)pid, start_time(pid), (int)role, slot, is_told);
}

static void write_state(const struct master *m, struct buf *b)
{
    buf_printf(b, "master %d %" PRIu64 "\n", (int)getpid(), start_time(getpid()));
    for (unsigned i = 0; i < CHILDREN_MAX; i++)
        if (m->children[i].pid > 0)
            write_role(b, m->children[i].pid, m->children[i].role, m->children[i].slot, false);
    for (unsigned i = 0; m->adopted && i < m->adopted->count; i++) {
        const struct old_role *r = &m->adopted->roles[i];
        if (r->exited.fd >= 0)
            write_role(b, r->pid, r->role, r->slot, r->is_told);
    }
    for (unsigned i = 0; i < m->listening_count; i++) {
        buf_printf(b, "listening %d %u ", m->listening[i].fd, m->listening[i].slot);
        addr_write(b, &m->listening[i].address);
        buf_char(b, '\n');
    }
}

static bool write_file(const char *path, struct str bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, bytes.p, bytes.n) == (ssize_t)bytes.n;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Written beside and renamed over: a reader sees one whole state or the other. */
void adopt_write_state(struct master *m)
{
    char memory[PATH_ROOM], fresh[PATH_ROOM];
    const char *path = state_path(m, memory, sizeof memory);
    char *text = malloc(STATE_BYTES);
    struct buf b = buf_over(text, STATE_BYTES), name = buf_over(fresh, sizeof fresh);
    if (!text)
        return;
    write_state(m, &b);
    buf_printf(&name, "%s.new%c", path, 0);
    if (buf_overflowed(&b) || !write_file(fresh, buf_text(&b)) || rename(fresh, path) < 0)
        master_say("the state file %s cannot be written: %s. A next master would not find our roles", path,
                   strerror(errno));
    free(text);
}

/* ---- one gate to a run directory */

/* An ordinary user has no /run/polder: then it lies wherever the configuration says, and no folder above it
 * is made. */
static bool make_directory(const char *path, char *ret_why, size_t cap)
{
    struct buf why = buf_over(ret_why, cap);
    if (mkdir(path, 0755) == 0 || errno == EEXIST)
        return true;
    buf_printf(
        &why,
        "the folder %s cannot be made: %s. Make it, or set gate.run_directory to one this user may write%c",
        path, strerror(errno), 0);
    return false;
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

static unsigned master_pid_of(struct str state)
{
    uint64_t pid = 0;
    struct str line = str_cut(&state, '\n');
    bool is_known = str_eq(str_cut(&line, ' '), STR("master")) && str_parse_u64(str_cut(&line, ' '), &pid);
    return is_known ? (unsigned)pid : 0;
}

/* The kernel lets go of the lock when the master ends, however it ends. */
bool adopt_lock(struct master *m, const struct config_gate *g, char *ret_why, size_t cap)
{
    char memory[PATH_ROOM];
    struct buf name = buf_over(m->run_directory, sizeof m->run_directory - 1), why = buf_over(ret_why, cap);
    buf_str(&name, g->run_directory); /* at most 80: keys.def */
    m->run_directory[name.n] = '\0';
    if (!make_directory(m->run_directory, ret_why, cap))
        return false;
    m->lock_fd = open(m->run_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m->lock_fd < 0) {
        buf_printf(&why, "the folder %s cannot be opened: %s%c", m->run_directory, strerror(errno), 0);
        return false;
    }
    if (flock(m->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    struct str state = read_state(state_path(m, memory, sizeof memory));
    buf_printf(
        &why,
        "a gate is running already in %s (pid %u). `polder status` shows it; `polder reload` gives it a new "
        "configuration, `polder upgrade` a new binary%c",
        m->run_directory, master_pid_of(state), 0);
    free(unconst(state.p));
    return false;
}

/* ---- who is there */

static bool is_still(pid_t pid, uint64_t ticks)
{
    return ticks && start_time(pid) == ticks;
}

/* The filter waits for them when an order about isolation closes: they cannot hear of it. */
static void tell_left(const struct adopted *a)
{
    atomic_store_explicit(&a->master->shared.header->adopted_workers, a->workers_left, memory_order_release);
}

static void take_role(struct adopted *a, struct str line)
{
    uint64_t pid, ticks, role, slot, told;
    if (!str_parse_u64(str_cut(&line, ' '), &pid) || !str_parse_u64(str_cut(&line, ' '), &ticks) ||
        !str_parse_u64(str_cut(&line, ' '), &role) || !str_parse_u64(str_cut(&line, ' '), &slot) ||
        !str_parse_u64(line, &told) || pid == 0 || pid > INT_MAX || role >= ROLE_COUNT ||
        a->count == OLD_ROLES_MAX)
        return;
    int pidfd = is_still((pid_t)pid, ticks) ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;
    if (pidfd < 0)
        return;
    if (!is_still((pid_t)pid, ticks)) { /* it ended in between, and the PID may be somebody else's */
        close(pidfd);
        return;
    }
    fcntl(pidfd, F_SETFD, FD_CLOEXEC);
    a->roles[a->count++] = (struct old_role){.exited.fd = pidfd,
                                             .adopted = a,
                                             .pid = (pid_t)pid,
                                             .role = (enum role)role,
                                             .slot = (unsigned)slot,
                                             .is_told = told != 0};
    a->workers_left += role == ROLE_WORKER;
    a->left++;
    tell_left(a);
}

static void take_listening(struct master *m, struct str line)
{
    uint64_t fd, slot;
    struct addr address;
    if (!str_parse_u64(str_cut(&line, ' '), &fd) || !str_parse_u64(str_cut(&line, ' '), &slot) ||
        !addr_parse(line, &address) || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
        return;
    listening_add(m, &address, (unsigned)slot, (int)fd);
}

/* The address of a listening TCP socket; false: it is something else. */
static bool listening_address(int fd, struct addr *ret)
{
    struct sockaddr_storage sa;
    int listens = 0;
    socklen_t size = sizeof listens, len = sizeof sa;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens &&
           getsockname(fd, (struct sockaddr *)&sa, &len) == 0 && addr_from_sockaddr(&sa, len, ret);
}

static void copy_listening(struct master *m, const struct old_role *r, int number)
{
    unsigned slot = r->role == ROLE_WORKER ? r->slot : UINT_MAX;
    struct addr address;
    int fd = (int)syscall(SYS_pidfd_getfd, r->exited.fd, number, 0); /* close-on-exec */
    if (fd < 0)
        return;
    if (!listening_address(fd, &address) ||
        (net_is_first(fd) ? listening_find_first(m, &address, slot) : listening_find(m, &address, slot)) >=
            0 ||
        !listening_add(m, &address, slot, fd))
        close(fd);
}

static void copy_listening_of(struct master *m, const struct old_role *r)
{
    char path[64];
    struct buf b = buf_over(path, sizeof path);
    buf_printf(&b, "/proc/%d/fd%c", (int)r->pid, 0);
    DIR *folder = opendir(path);
    for (const struct dirent *e; folder && (e = readdir(folder));) {
        uint64_t number;
        if (str_parse_u64(str_of(e->d_name), &number) && number <= INT_MAX)
            copy_listening(m, r, (int)number);
    }
    if (folder)
        closedir(folder);
}

void adopt_read_state(struct master *m)
{
    char memory[PATH_ROOM];
    bool same_process = false;
    struct adopted *a = calloc(1, sizeof *a);
    if (!a)
        return;
    a->master = m;
    timer_init(&a->end_timer, end_rest_again);
    struct str text = read_state(state_path(m, memory, sizeof memory)), rest = text;
    while (rest.n) {
        struct str line = str_cut(&rest, '\n'), word = str_cut(&line, ' ');
        uint64_t pid = 0, ticks = 0;
        if (str_eq(word, STR("master")) && str_parse_u64(str_cut(&line, ' '), &pid) &&
            str_parse_u64(line, &ticks))
            same_process = (pid_t)pid == getpid() && is_still(getpid(), ticks);
        else if (str_eq(word, STR("role")))
            take_role(a, line);
        else if (str_eq(word, STR("listening")) && same_process)
            take_listening(m, line);
    }
    free(unconst(text.p));
    m->adopted = a;
    for (unsigned i = 0; i < a->count; i++)
        if (a->roles[i].role == ROLE_WORKER || a->roles[i].role == ROLE_OBSERVER)
            copy_listening_of(m, &a->roles[i]);
    if (a->count)
        master_say("taking over from %u roles of an older gate, which finish what they have", a->count);
}

bool adopt_has_roles(const struct master *m)
{
    return m->adopted && m->adopted->left;
}

/* ---- and how they end */

static void signal_role(const struct old_role *r, int number)
{
    if (r->exited.fd >= 0)
        syscall(SYS_pidfd_send_signal, r->exited.fd, number, NULL, 0);
}

/* Until they are gone: a signal that comes right after another of its kind is one with it. */
static void end_rest(struct adopted *a)
{
    struct loop *loop = a->master->loop;
    if (a->left)
        timer_set(loop, &a->end_timer, loop_now_ms(loop) + END_AGAIN_MS);
    for (unsigned i = 0; i < a->count; i++)
        if (a->roles[i].role != ROLE_WORKER)
            signal_role(&a->roles[i], SIGTERM);
}

static void end_rest_again(struct timer *t)
{
    end_rest(container_of(t, struct adopted, end_timer));
}

static void old_role_exited(struct io *io, uint32_t events [[maybe_unused]])
{
    struct old_role *r = container_of(io, struct old_role, exited);
    struct adopted *a = r->adopted;
    waitpid(r->pid, NULL, WNOHANG); /* ours after an upgrade; somebody else's otherwise */
    loop_close(a->master->loop, io);
    a->left--;
    a->workers_left -= r->role == ROLE_WORKER;
    tell_left(a);
    if (r->role == ROLE_WORKER && a->workers_left == 0)
        end_rest(a);
    adopt_write_state(a->master);
    master_child_ended(a->master);
}

/* Old workers answer what is open, and need their signer and dialer for that, and their observer for the log;
 * those end last. The observer is told at once all the same: it stops to serve at the first SIGTERM, and ends
 * at the second. */
void adopt_end_old_roles(struct master *m)
{
    struct adopted *a = m->adopted;
    if (!a || a->ended)
        return;
    a->ended = true;
    for (unsigned i = 0; i < a->count; i++) {
        struct old_role *r = &a->roles[i];
        r->exited.ready = old_role_exited;
        if (loop_add(m->loop, &r->exited, EPOLLIN | EPOLLET) < 0)
            continue;
        if ((r->role == ROLE_WORKER || r->role == ROLE_OBSERVER) && !r->is_told)
            signal_role(r, SIGTERM);
        r->is_told = true;
    }
    if (a->workers_left == 0)
        end_rest(a);
    adopt_write_state(m);
}

/* A worker that drains already hurries at the second SIGTERM. */
void adopt_stop(struct master *m, bool soon)
{
    for (unsigned i = 0; soon && m->adopted && m->adopted->ended && i < m->adopted->count; i++)
        if (m->adopted->roles[i].role == ROLE_WORKER)
            signal_role(&m->adopted->roles[i], SIGTERM);
}

void adopt_kill(struct master *m)
{
    for (unsigned i = 0; m->adopted && m->adopted->ended && i < m->adopted->count; i++)
        signal_role(&m->adopted->roles[i], SIGKILL);
}

/* Roles that were never ours, because the start failed, stay for the next master. */
void adopt_leave(struct master *m)
{
    char memory[PATH_ROOM], name[PATH_ROOM];
    struct buf b = buf_over(name, sizeof name);
    if (m->lock_fd < 0)
        return;
    if (adopt_has_roles(m))
        adopt_write_state(m);
    else
        unlink(state_path(m, memory, sizeof memory));
    buf_printf(&b, "%s/control.sock%s%c", m->run_directory, m->control_in_place ? "" : ".new", 0);
    if (m->control_fd >= 0)
        unlink(name);
}

/* ---- upgrade */

static bool new_binary_accepts(const struct master *m, const char *binary, struct str *ret_error)
{
    char check[] = "--check", config[] = "--config";
    char *argv[] = {m->argv[0], check, config, unconst(m->config_path), NULL}, *env[] = {NULL};
    int pidfd = -1, status = 0;
    pid_t pid = process_start(binary, argv, env, NULL, 0, &pidfd);
    bool ok = pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
    if (pid > 0)
        close(pidfd);
    if (!ok)
        *ret_error =
            STR("the new binary does not start, or does not accept the configuration; the old one goes on");
    return ok;
}

/* What only a start can change would leave the successor without its predecessor's sockets. */
static bool finds_us(const struct master *m, struct str *ret_error)
{
    struct arena *problems = arena_new(8 << 20);
    struct str text;
    struct loaded_config *l = problems ? loaded_config_new(m->config_path, &text, problems) : NULL;
    bool ok = l && str_eq(l->config->gate.run_directory, str_of(m->run_directory));
    *ret_error =
        l ? STR("gate.run_directory was changed, which only a restart can do; the old binary goes on")
          : STR("the configuration cannot be used (polder check says why); the old binary goes on");
    loaded_config_free(l);
    arena_free(problems);
    return ok;
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

static void listening_outlive_exec(struct master *m, bool outlive)
{
    for (unsigned i = 0; i < m->listening_count; i++)
        fcntl(m->listening[i].fd, F_SETFD, outlive ? 0 : FD_CLOEXEC);
}

/* The signals we catch stay blocked: one that comes in between waits for the new binary. */
bool adopt_upgrade(struct master *m, struct str *ret_error)
{
    char binary[PATH_MAX];
    if (m->change || m->stopping) {
        *ret_error = STR(
            "a change of configuration is under way, or the gate is being stopped; try again in a moment");
        return false;
    }
    *ret_error = STR("the place of the binary is not known");
    if (!binary_path(binary, sizeof binary) || !finds_us(m, ret_error) ||
        !new_binary_accepts(m, binary, ret_error))
        return false;
    notify_systemd("RELOADING=1");
    listening_outlive_exec(m, true);
    adopt_write_state(m);
    execv(binary, m->argv);
    *ret_error = STR("the new binary could not be executed; the old one goes on");
    listening_outlive_exec(m, false);
    notify_systemd("READY=1");
    return false;
}
