#include "records/master.h"

#include "records/access.h"

#include "sys/channel.h"
#include "sys/shm.h"
#include "sys/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DRAIN_MS = 5000, KILL_AFTER_MS = 10'000, PROBLEMS_TEXT = 256 * 1024 };

void master_say(const char *format, ...)
{
    char text[4096] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args); /* what does not fit is cut off */
    va_end(args);
    fprintf(stderr, "polder-records: %s\n", text);
}

/* ---- tying roles together */

static bool send_parts(struct child *to, const struct child *other, const struct duct_parts *parts,
                       unsigned side)
{
    const int fds[] = {parts->memory, parts->bells[0], parts->bells[1]};
    for (unsigned part = 0; part < 3; part++) {
        struct msg_duct m = {.role = (uint8_t)other->role,
                             .slot = (uint8_t)other->slot,
                             .side = (uint8_t)side,
                             .part = (uint8_t)part};
        if (!to->channel || msg_duct_send(to->channel, &m, fds[part]) < 0)
            return false;
    }
    return true;
}

static void tie(struct child *a, struct child *b)
{
    struct duct_parts parts;
    if (duct_parts_make(&parts) < 0) {
        master_say("two roles cannot be connected: %s", strerror(errno));
        return;
    }
    if (!send_parts(a, b, &parts, 0) || !send_parts(b, a, &parts, 1))
        master_say("two roles cannot be connected: one does not listen");
    duct_parts_close(&parts);
}

static bool talk(enum role a, enum role b)
{
    return (a == ROLE_WORKER) != (b == ROLE_WORKER);
}

static bool send_listeners(struct child *worker)
{
    struct master *m = worker->master;
    for (unsigned i = 0; i < m->config->records.listener_count; i++) {
        struct msg_listener l = {.generation = 1, .index = (uint16_t)i};
        if (msg_listener_send(worker->channel, &l, m->listeners[i][worker->slot]) < 0)
            return false;
    }
    return true;
}

/* Who reads a store needs one that is there. */
static bool is_reader(enum role role)
{
    return role == ROLE_WORKER || role == ROLE_EXPORTER;
}

static bool all_up(const struct master *m, bool with_workers)
{
    for (unsigned i = 0; i < m->child_count; i++)
        if (m->children[i].state != CHILD_UP && (with_workers || !is_reader(m->children[i].role)))
            return false;
    return true;
}

static void start_workers(struct master *m)
{
    for (unsigned i = 0; i < m->child_count; i++)
        if (is_reader(m->children[i].role) && m->children[i].state == CHILD_NONE)
            child_start(&m->children[i]);
}

void master_child_up(struct child *c)
{
    struct master *m = c->master;
    if (m->is_stopping) {
        child_stop(c, DRAIN_MS);
        return;
    }
    if (c->role == ROLE_WORKER && !send_listeners(c))
        master_say("the worker %u does not listen", c->slot);
    for (unsigned i = 0; i < m->child_count; i++)
        if (m->children[i].state == CHILD_UP && talk(c->role, m->children[i].role))
            tie(c, &m->children[i]);
    if (all_up(m, false))
        start_workers(m);
    if (m->ready_said || !all_up(m, true))
        return;
    m->ready_said = true;
    master_say("ready (version %s, %u worker%s, %u cluster%s)", POLDER_VERSION, m->config->records.workers,
               m->config->records.workers == 1 ? "" : "s", m->config->records.cluster_count,
               m->config->records.cluster_count == 1 ? "" : "s");
}

/* ---- the end: workers first, then who serves them */

static bool has(const struct master *m, bool workers)
{
    for (unsigned i = 0; i < m->child_count; i++)
        if (m->children[i].pid > 0 && (m->children[i].role == ROLE_WORKER) == workers)
            return true;
    return false;
}

void master_child_ended(struct master *m)
{
    if (has(m, true))
        return;
    for (unsigned i = 0; i < m->child_count; i++)
        child_stop(&m->children[i], DRAIN_MS);
    if (!has(m, false))
        loop_stop(m->loop);
}

static void kill_all(struct master *m)
{
    for (unsigned i = 0; i < m->child_count; i++)
        if (m->children[i].pid > 0)
            kill(m->children[i].pid, SIGKILL);
}

static void stop_overdue(struct timer *t)
{
    kill_all(container_of(t, struct master, stop_timer));
}

static void begin_stop(struct master *m)
{
    if (m->is_stopping) {
        master_say("ending at once");
        kill_all(m);
        return;
    }
    m->is_stopping = true;
    timer_set(m->loop, &m->stop_timer, loop_now_ms(m->loop) + KILL_AFTER_MS);
    for (unsigned i = 0; i < m->child_count; i++)
        if (m->children[i].role == ROLE_WORKER)
            child_stop(&m->children[i], DRAIN_MS);
    master_child_ended(m);
}

static void signal_came(void *self, int number)
{
    if (number == SIGTERM || number == SIGINT || number == SIGQUIT)
        begin_stop(self);
    else if (number == SIGHUP)
        master_say("a changed configuration is taken over by a restart");
}

/* ---- the start */

static void add_child(struct master *m, enum role role, unsigned slot)
{
    struct child *c = &m->children[m->child_count++];
    *c = (struct child){.master = m, .role = role, .slot = slot, .exited.fd = -1};
    timer_init(&c->timer, NULL);
}

static void start_children(struct master *m)
{
    add_child(m, ROLE_AUDIT, 0);
    for (unsigned i = 0; i < m->config->records.owners; i++)
        add_child(m, ROLE_OWNER, i);
    unsigned first_worker = m->child_count;
    for (unsigned i = 0; i < m->config->records.workers; i++)
        add_child(m, ROLE_WORKER, i);
    add_child(m, ROLE_EXPORTER, 0);
    for (unsigned i = 0; i < first_worker; i++)
        child_start(&m->children[i]);
}

static void raise_limits(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int run(struct master *m)
{
    static const int caught[] = {SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGCHLD, 0};
    raise_limits();
    m->loop = loop_new();
    m->signals = m->loop ? signals_new(m->loop, caught, signal_came, m) : NULL;
    timer_init(&m->stop_timer, stop_overdue);
    if (geteuid() != 0)
        master_say(
            "not started as root: the roles run as this user, and what only root can raise around them is "
            "missing");
    if (!m->signals || !master_make_folders(m) || !master_listen(m))
        return 1;
    start_children(m);
    return loop_run(m->loop) < 0 ? 1 : 0;
}

static bool make_bundle(struct master *m, struct config_disk *disk, struct str yaml)
{
    unsigned count = 0;
    const struct config_bundle_entry *files = config_disk_read(disk, &count);
    size_t size = config_bundle_size(m->config->path, yaml, files, count);
    struct buf b = buf_over(malloc(size), size);
    if (!b.p)
        return false;
    config_bundle_write(&b, m->config->path, yaml, files, count);
    m->bundle_fd = buf_overflowed(&b) ? -1 : shm_from_bytes("polder-configuration", buf_text(&b));
    free(b.p);
    return m->bundle_fd >= 0;
}

/* Keys that cannot be used are found here, where somebody looks, and not by every role for itself. */
static bool check_guard(const struct master *m)
{
    char text[512];
    struct buf problem = buf_over(text, sizeof text);
    struct rest_guard *guard;
    if (!records_guard_make(m->config, &problem, &guard)) {
        master_say("the configuration cannot be used: %.*s", STR_ARG(buf_text(&problem)));
        return false;
    }
    if (!guard)
        master_say(
            "WARNING: access is off: everybody who reaches this machine's listeners sees and changes every "
            "record");
    rest_guard_free(guard);
    return true;
}

static bool read_config(struct master *m, const char *path, struct arena *arena)
{
    struct config_disk *disk = config_disk_new(str_of(path));
    struct buf text = buf_over(arena_bytes(arena, PROBLEMS_TEXT), PROBLEMS_TEXT);
    struct config_problem *list = NULL;
    struct str yaml, error = STR("out of memory");
    unsigned count = 0;
    if (!disk || !text.p || !config_disk_open(disk, &yaml, &error)) {
        master_say("%s: the configuration cannot be used: %.*s", path, STR_ARG(error));
        config_disk_free(disk);
        return false;
    }
    struct config_files files = config_disk_files(disk);
    m->config = config_parse(str_of(path), yaml, &files, arena, &list, &count);
    config_problems_print(&text, str_of(path), yaml, list, count, isatty(STDERR_FILENO));
    fprintf(stderr, "%.*s", STR_ARG(buf_text(&text)));
    bool ok = m->config && m->config->records.is_set && check_guard(m) && make_bundle(m, disk, yaml);
    if (m->config && !m->config->records.is_set)
        master_say("%s: it describes no record service (records)", path);
    config_disk_free(disk);
    return ok;
}

static int usage(FILE *to)
{
    fputs("usage: polder-records --config FILE [--check]\n"
          "       polder-records --version\n"
          "The record service. It runs in the foreground. See polder-records(8).\n",
          to);
    return to == stdout ? 0 : 2;
}

static int master_main(int argc, char **argv)
{
    static struct master m;
    const char *path = "/etc/polder/polder.yaml";
    bool check = false;
    m.bundle_fd = m.lock_fd = -1;
    for (int i = 1; i < argc; i++) {
        struct str arg = str_of(argv[i]);
        if (str_eq(arg, STR("--version")))
            return puts("polder-records " POLDER_VERSION) < 0;
        if (str_eq(arg, STR("--help")))
            return usage(stdout);
        if (str_eq(arg, STR("--check")))
            check = true;
        else if (str_eq(arg, STR("--config")) && i + 1 < argc)
            path = argv[++i];
        else
            return usage(stderr);
    }
    struct arena *arena = arena_new(8 << 20);
    bool ok = arena && read_config(&m, path, arena);
    arena_free(arena);
    if (!ok || check)
        return ok ? 0 : 1;
    return run(&m);
}

int main(int argc, char **argv)
{
    struct process_start start;
    if (!process_start_parse(argc, argv, &start))
        return master_main(argc, argv);
    return start.role == ROLE_WORKER  ? worker_main(argc, argv)
           : start.role == ROLE_OWNER ? owner_main(argc, argv)
           : start.role == ROLE_AUDIT ? audit_main(argc, argv)
                                      : exporter_main(argc, argv);
}
