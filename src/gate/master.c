/* gate/master.c - polder-gate's own process from start to end. */
#include "gate/master.h"

#include "base/must.h"
#include "sys/channel.h"
#include "sys/shm.h"
#include "sys/signals.h"
#include "tls/context.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { TERM_DRAIN_MS = 5000, KILL_AFTER_MS = 10'000, SPARE_SLOTS = 2 };

void master_say(const char *format, ...)
{
    char text[8192] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args); /* what does not fit is cut off */
    va_end(args);
    fprintf(stderr, "polder-gate: %s\n", text);
}

struct child *master_child(struct master *m, enum role role, unsigned slot)
{
    for (unsigned i = 0; i < CHILDREN_MAX; i++)
        if (m->children[i].state != CHILD_NONE && m->children[i].role == role && m->children[i].slot == slot)
            return &m->children[i];
    return NULL;
}

static struct channel *observer_channel(struct master *m)
{
    struct child *observer = master_child(m, ROLE_OBSERVER, 0);
    return observer && observer->state == CHILD_UP ? observer->channel : NULL;
}

void master_order_done(struct master *m, uint64_t order_id, bool ok, struct str text)
{
    struct channel *to = observer_channel(m);
    struct msg_order_result r = {.id = order_id, .ok = ok};
    if (order_id == 0 || !to)
        return;
    text = str_take(text, sizeof r.text);
    r.text_len = (uint16_t)text.n;
    memcpy(r.text, text.p, text.n);
    if (msg_order_result_send(to, &r, -1) < 0)
        master_say("the result of an order could not be told");
}

void master_tell_role(struct master *m, const struct child *c, struct str detail)
{
    static const enum role_run runs[] = {[CHILD_NONE] = ROLE_RUN_STOPPED,
                                         [CHILD_WAITS] = ROLE_RUN_DIED,
                                         [CHILD_STARTED] = ROLE_RUN_STARTING,
                                         [CHILD_UP] = ROLE_RUN_UP,
                                         [CHILD_STOPPING] = ROLE_RUN_DRAINING};
    struct channel *to = observer_channel(m);
    struct msg_role_state s = {.role = (uint8_t)c->role,
                               .slot = (uint8_t)c->slot,
                               .pid = (uint32_t)c->pid,
                               .state = (uint8_t)runs[c->state],
                               .restarts = c->restarts,
                               .walls = c->walls,
                               .since_ms = (uint64_t)c->since_wall_ms};
    if (!to)
        return;
    detail = str_take(detail, sizeof s.detail);
    s.detail_len = (uint16_t)detail.n;
    if (detail.n)
        memcpy(s.detail, detail.p, detail.n);
    if (msg_role_state_send(to, &s, -1) < 0 && !m->stopping)
        master_say("the observer does not listen");
}

static void tell_self(struct master *m)
{
    struct channel *to = observer_channel(m);
    struct msg_role_state s = {.role = ROLE_MASTER,
                               .pid = (uint32_t)getpid(),
                               .state = m->stopping ? ROLE_RUN_DRAINING : ROLE_RUN_UP,
                               .since_ms = (uint64_t)m->started_wall_ms};
    if (to && msg_role_state_send(to, &s, -1) < 0 && !m->stopping)
        master_say("the observer does not listen");
}

void master_tell_all(struct master *m)
{
    tell_self(m);
    for (unsigned i = 0; i < CHILDREN_MAX; i++)
        if (m->children[i].state != CHILD_NONE)
            master_tell_role(m, &m->children[i], STR_NONE);
    master_tell_config(m);
}

void master_tell_config(struct master *m)
{
    struct channel *to = observer_channel(m);
    struct msg_config_state s = {.since_ms = (uint64_t)m->config_since_wall_ms, .digest_len = 32};
    if (!to || !m->current)
        return;
    s.generation = m->current->generation;
    memcpy(s.digest, m->current->config->digest, 32);
    s.error_len = (uint16_t)strlen(m->config_error);
    memcpy(s.error, m->config_error, s.error_len);
    if (msg_config_state_send(to, &s, -1) < 0)
        master_say("the observer does not listen");
}

void master_all_up(struct master *m)
{
    listening_place_control(m);
    notify_systemd("READY=1");
    adopt_end_old_roles(m);
    if (!m->ready_said)
        master_say("ready (version %s, %u worker%s)", POLDER_VERSION, m->worker_count,
                   m->worker_count == 1 ? "" : "s");
    m->ready_said = true;
}

/* ---- session ticket keys */

static void rotate_ticket_keys(struct master *m)
{
    memmove(m->ticket_keys + TICKET_KEY_BYTES, m->ticket_keys, (TICKET_KEYS - 1) * TICKET_KEY_BYTES);
    must(getrandom(m->ticket_keys, TICKET_KEY_BYTES, 0) == TICKET_KEY_BYTES);
    if (m->ticket_key_count < TICKET_KEYS)
        m->ticket_key_count++;
}

static void rotation_due(struct timer *t)
{
    struct master *m = container_of(t, struct master, ticket_timer);
    rotate_ticket_keys(m);
    struct msg_ticket_keys keys = {.keys_len = (uint16_t)(m->ticket_key_count * TICKET_KEY_BYTES)};
    memcpy(keys.keys, m->ticket_keys, keys.keys_len);
    for (unsigned i = 0; i < CHILDREN_MAX; i++)
        if (m->children[i].role == ROLE_WORKER && m->children[i].state == CHILD_UP &&
            m->children[i].channel && msg_ticket_keys_send(m->children[i].channel, &keys, -1) < 0)
            master_say("worker %u did not get the new ticket keys", m->children[i].slot);
    explicit_bzero(&keys, sizeof keys);
    if (m->current) /* else the gate is about to end */
        timer_set(m->loop, t, loop_now_ms(m->loop) + m->current->config->gate.ticket_rotation_ms);
}

/* ---- stopping */

bool master_has_workers(const struct master *m)
{
    for (unsigned i = 0; i < CHILDREN_MAX; i++)
        if (m->children[i].pid > 0 && m->children[i].role == ROLE_WORKER)
            return true;
    return false;
}

static bool has_processes(const struct master *m)
{
    for (unsigned i = 0; i < CHILDREN_MAX; i++)
        if (m->children[i].pid > 0)
            return true;
    return m->ready_said && adopt_has_roles(m);
}

void master_child_ended(struct master *m)
{
    if (!m->stopping)
        return;
    for (unsigned i = 0; i < CHILDREN_MAX && !master_has_workers(m); i++)
        child_stop(&m->children[i], 0);
    if (!has_processes(m))
        loop_stop(m->loop);
}

/* First the old workers of an upgrade, whose time is up like everybody's; then whoever does not come to an
 * end. */
static void stop_overdue(struct timer *t)
{
    struct master *m = container_of(t, struct master, stop_timer);
    adopt_kill(m);
    if (!m->stop_overdue) {
        m->stop_overdue = true;
        timer_set(m->loop, t, loop_now_ms(m->loop) + KILL_AFTER_MS);
        return;
    }
    m->killed = true;
    for (unsigned i = 0; i < CHILDREN_MAX; i++)
        if (m->children[i].pid > 0)
            kill(m->children[i].pid, SIGKILL);
}

/* Workers first; the roles that serve them when the last one is gone. The second time everything ends at
 * once. */
void master_stop(struct master *m, uint32_t drain_timeout_ms)
{
    bool again = m->stopping;
    m->stopping = true;
    if (m->change)
        change_fail(m, STR("the gate is being stopped"));
    if (again) {
        master_say("ending at once");
    } else {
        if (m->current && drain_timeout_ms)
            master_say("draining: what is open gets up to %u s; a second signal ends at once",
                       drain_timeout_ms / 1000);
        else if (m->current)
            master_say("draining: what is open gets its time; a second signal ends at once");
        notify_systemd("STOPPING=1");
        tell_self(m);
        listening_close_unused(
            m, NULL); /* before the workers: each empties and closes what is then the last of its sockets */
    }
    for (unsigned i = 0; i < CHILDREN_MAX; i++)
        if (m->children[i].role == ROLE_WORKER)
            child_stop(&m->children[i], drain_timeout_ms);
    adopt_stop(m, again || (drain_timeout_ms && drain_timeout_ms <= TERM_DRAIN_MS));
    m->stop_overdue |= again;
    if (again || drain_timeout_ms)
        timer_set(m->loop, &m->stop_timer, loop_now_ms(m->loop) + (again ? 1 : drain_timeout_ms));
    master_child_ended(m);
}

static void signal_came(void *self, int number)
{
    struct master *m = self;
    struct str error;
    switch (number) {
    case SIGHUP:
        if (m->current && !m->stopping)
            listening_reopen_logs(m);
        if (m->current)
            change_begin(m, 0);
        break;
    case SIGUSR2:
        if (m->current && !adopt_upgrade(m, &error))
            master_say("%.*s", STR_ARG(error));
        break;
    case SIGTERM:
    case SIGINT:
        master_stop(m, TERM_DRAIN_MS);
        break;
    case SIGQUIT:
        master_stop(m, m->current ? m->current->config->gate.drain_timeout_ms : 1);
        break;
    default:
        break;
    }
}

/* ---- start */

struct child *master_add_child(struct master *m, enum role role, unsigned slot)
{
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        struct child *c = &m->children[i];
        if (c->state != CHILD_NONE)
            continue;
        *c = (struct child){.master = m, .role = role, .slot = slot, .state = CHILD_WAITS, .exited.fd = -1};
        timer_init(&c->restart, NULL);
        return c;
    }
    return NULL;
}

static void start_children(struct master *m, const struct config *config)
{
    static const enum role singles[] = {ROLE_SIGNER, ROLE_DIALER, ROLE_OBSERVER, ROLE_FILTER};
    for (unsigned i = 0; i < sizeof singles / sizeof *singles; i++)
        master_add_child(m, singles[i], 0);
    if (config_has_names(config) && !master_child(m, ROLE_DIALER, 1))
        master_add_child(m, ROLE_DIALER, 1);
    for (unsigned slot = 0; slot < m->worker_count; slot++)
        master_add_child(m, ROLE_WORKER, slot);
    for (unsigned i = 0; i < CHILDREN_MAX; i++)
        if (m->children[i].state == CHILD_WAITS)
            child_start(&m->children[i]);
}

static bool make_shared(struct master *m)
{
    struct hash_key key;
    m->shared_size = shared_size(m->worker_count + SPARE_SLOTS);
    m->shared_fd = shm_create("polder-shared", m->shared_size);
    void *memory = m->shared_fd >= 0 ? shm_map(m->shared_fd, m->shared_size, true) : NULL;
    if (!memory || getrandom(&key, sizeof key, 0) != sizeof key)
        return false;
    shared_init(memory, m->worker_count + SPARE_SLOTS, key, &m->shared);
    return true;
}

static void raise_limits(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

unsigned master_workers_of(const struct config *config)
{
    return config->gate.workers < WORKERS_MAX ? config->gate.workers : WORKERS_MAX;
}

/* The control socket last: a start that fails before it leaves an older gate's alone. */
static bool open_everything(struct master *m, struct loaded_config *l, char *ret_why, size_t cap)
{
    const struct config_gate *g = &l->config->gate;
    if (!adopt_lock(m, g, ret_why, cap))
        return false;
    adopt_read_state(m);
    return listening_open(m, l->config, ret_why, cap) && listening_open_management(m, g, ret_why, cap) &&
           listening_open_logs(l, NULL, ret_why, cap) && listening_open_control(m, g, ret_why, cap);
}

static bool make_parts(struct master *m, const struct config *config)
{
    static const int caught[] = {SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR2, SIGCHLD, 0};
    m->loop = loop_new();
    m->signals = m->loop ? signals_new(m->loop, caught, signal_came, m) : NULL;
    m->started_wall_ms = m->loop ? loop_wall_us(m->loop) / 1000 : 0;
    m->worker_count = master_workers_of(config);
    timer_init(&m->change_timer, change_timed_out);
    timer_init(&m->again_timer, change_again);
    timer_init(&m->ticket_timer, rotation_due);
    timer_init(&m->stop_timer, stop_overdue);
    rotate_ticket_keys(m);
    return m->signals && make_shared(m) && perimeter_make(m);
}

static int run(struct master *m, struct loaded_config *first)
{
    char why[1024] = "out of memory";
    raise_limits();
    if (geteuid() != 0)
        master_say("not started as root: the roles run as this user, and what only root can raise around "
                   "them is missing "
                   "(`polder status` lists it)");
    if (!make_parts(m, first->config) || !open_everything(m, first, why, sizeof why)) {
        master_say("cannot start: %s", why);
        loaded_config_free(first);
        return 1;
    }
    listening_take_logs(m, first);
    perimeter_open_state(m, &first->config->gate);
    change_start(m, first);
    start_children(m, first->config);
    timer_set(m->loop, &m->ticket_timer, loop_now_ms(m->loop) + first->config->gate.ticket_rotation_ms);
    int error = loop_run(m->loop);
    adopt_leave(m);
    return error < 0 ? 1 : m->exit_status;
}

static void usage(FILE *to)
{
    fputs("usage: polder-gate --config FILE [--check | --boot]\n"
          "       polder-gate --version\n"
          "The access gateway. It runs in the foreground; `polder` is the operator's command. See "
          "polder-gate(8).\n",
          to);
}

#ifdef POLDER_BREACH
/* --breach=ROLE:SLOT:FD */
static bool add_breach(struct master *m, struct str value)
{
    struct str role = str_cut(&value, ':'), slot = str_cut(&value, ':');
    uint64_t number, fd;
    if (m->breach_count == CHILDREN_MAX || !str_parse_u64(slot, &number) || number >= CHILDREN_MAX ||
        !str_parse_u64(value, &fd) || fd > INT_MAX)
        return false;
    for (unsigned r = ROLE_WORKER; r < ROLE_COUNT; r++)
        if (str_eq(role, role_name((enum role)r))) {
            m->breach_fds[m->breach_count][0] = (int)(ROLE_COUNT * number + r);
            m->breach_fds[m->breach_count++][1] = (int)fd;
            return true;
        }
    return false;
}
#endif

static int master_main(int argc, char **argv)
{
    static struct master m;
    bool check = false, boot = false;
    m = (struct master){.argv = argv,
                        .config_path = "/etc/polder/polder.yaml",
                        .lock_fd = -1,
                        .control_fd = -1,
                        .management_fd = -1,
                        .access_log_fd = -1,
                        .event_log_fd = -1,
                        .waf_log_fd = -1,
                        .shared_fd = -1,
                        .perimeter_fd = -1,
                        .isolation_fd = -1,
                        .perimeter_read_fd = -1,
                        .prefilter_fd = -1,
                        .next_generation = 1};
    for (int i = 1; i < argc; i++) {
        struct str arg = str_of(argv[i]);
        if (str_eq(arg, STR("--version"))) {
            puts("polder-gate " POLDER_VERSION);
            return 0;
        }
        if (str_eq(arg, STR("--help"))) {
            usage(stdout);
            return 0;
        }
        if (str_eq(arg, STR("--check")))
            check = true;
        else if (str_eq(arg, STR("--boot")))
            boot = true;
        else if (str_eq(arg, STR("--config")) && i + 1 < argc)
            m.config_path = argv[++i];
#ifdef POLDER_BREACH
        else if (str_starts(arg, STR("--without=")))
            m.without = (uint32_t)strtoul(argv[i] + strlen("--without="), NULL, 10);
        else if (str_starts(arg, STR("--breach=")) && add_breach(&m, str_skip(arg, strlen("--breach="))))
            continue;
#endif
        else {
            usage(stderr);
            return 2;
        }
    }
    if (boot)
        return boot_main(m.config_path);
    struct arena *problems = arena_new(8 << 20);
    struct str text = STR("out of memory\n");
    struct loaded_config *first = problems ? loaded_config_new(m.config_path, &text, problems) : NULL;
    fprintf(stderr, "%.*s", STR_ARG(first ? first->warnings : text));
    arena_free(problems);
    if (!first || check) {
        loaded_config_free(first);
        return first ? 0 : 1;
    }
    return run(&m, first);
}

int main(int argc, char **argv)
{
    struct role_start start;
    if (!role_start_parse(argc, argv, &start))
        return master_main(argc, argv);
    switch (start.role) {
    case ROLE_WORKER:
        return worker_main(argc, argv);
    case ROLE_SIGNER:
        return signer_main(argc, argv);
    case ROLE_DIALER:
        return dialer_main(argc, argv);
    case ROLE_OBSERVER:
        return observer_main(argc, argv);
    case ROLE_FILTER:
        return filter_main(argc, argv);
    case ROLE_COMPILER:
        return compiler_main(argc, argv);
    case ROLE_OWNER:
    case ROLE_AUDIT:
    case ROLE_EXPORTER:
    case ROLE_ANY:
    case ROLE_MASTER:
        break;
    }
    return 2;
}
