/* gate/observer.c - the observer's process: messages of the master, and the timers that drain and watch.
 *
 * What always holds: it never waits for anything but its loop; everything it was given was opened by somebody
 * else; when it dies the next one goes on reading the event rings where it stopped. */
#include "gate/observer.h"
#include "sys/channel.h"
#include "sys/shm.h"
#include "tls/context.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    CHANNEL_QUEUE = 64,
    DRAIN_MIN_MS = 16, /* the loop's resolution: 4,096 events in that time are 256,000 a second and worker */
    DRAIN_MAX_MS = 48,
    WATCH_MS = 250,
    SCRATCH_BYTES = 8 << 20, /* address space; only what an answer needs is ever touched */
    ERRORS_BYTES = 1 << 16,
};

/* ---- the access log */

static const struct observed_config *config_of_event(const struct observer *o, const struct access_event *e)
{
    if (o->current && (e->generation == 0 || (uint32_t)o->current->generation == e->generation))
        return o->current;
    if (o->previous && (uint32_t)o->previous->generation == e->generation)
        return o->previous;
    return NULL;
}

static void log_access(struct observer *o, const struct access_event *e)
{
    char memory[LOG_LINE_MAX];
    struct buf line = buf_over(memory, sizeof memory);
    struct access_names names = access_names_of(config_of_event(o, e), e);
    access_line_write(&line, e, &names);
    if (buf_overflowed(&line))
        o->access_log.failures++;
    else
        log_out_line(&o->access_log, buf_text(&line));
}

/* Takes at most what was there at the beginning, so that it ends. Returns how full the fullest ring was. */
static uint64_t drain_rings(struct observer *o)
{
    struct access_event event;
    uint64_t fullest = 0;
    for (unsigned slot = 0; slot < o->shared.worker_count; slot++) {
        uint64_t waiting = shared_events_waiting(&o->shared, slot);
        fullest = waiting > fullest ? waiting : fullest;
        if (o->access_log.fd < 0)
            shared_events_skip(&o->shared, slot);
        while (waiting-- > 0 && log_out_has_room(&o->access_log) &&
               shared_event_take(&o->shared, slot, &event))
            log_access(o, &event);
    }
    log_out_flush(&o->access_log);
    observer_waf_drain(o);
    return fullest;
}

static void drain_due(struct timer *t)
{
    struct observer *o = container_of(t, struct observer, drain_timer);
    uint64_t fullest = drain_rings(o);
    o->drain_interval_ms = fullest > SHARED_EVENTS / 8 ? DRAIN_MIN_MS : DRAIN_MAX_MS;
    loop_refresh_now(o->loop);
    timer_set(o->loop, t, loop_now_ms(o->loop) + o->drain_interval_ms);
}

static void watch_due(struct timer *t)
{
    struct observer *o = container_of(t, struct observer, watch_timer);
    observer_watch(o);
    observer_isolation_watch(o);
    observer_packets_watch(o);
    timer_set(o->loop, t, loop_now_ms(o->loop) + WATCH_MS);
}

/* ---- messages of the master. False: not acceptable. */

static bool take_shared(struct observer *o, struct str bytes, int fd)
{
    struct msg_shared m;
    struct shared shared;
    bool is_ours = msg_shared_decode(bytes, &m) && shared_map_reader(fd, &shared) == 0;
    close(fd);
    if (!is_ours)
        return false;
    shared_unmap(&o->shared);
    o->shared = shared;
    if (o->current)
        observed_config_bind(o->current, &shared, loop_now_ms(o->loop));
    o->seen_floods = shared_counter_sum(&shared, COUNTER_h2_floods_total);
    o->seen_refused = shared_counter_sum(&shared, COUNTER_connections_refused_total);
    o->seen_lost = shared_counter_sum(&shared, COUNTER_events_lost_total);
    o->waf.seen_lost = shared_counter_sum(&shared, COUNTER_waf_audit_lost_total);
    return true;
}

static bool take_admission(struct observer *o, struct str bytes, int fd)
{
    struct msg_admission m;
    struct admit_memory memory;
    void *mapped = msg_admission_decode(bytes, &m) ? shm_map(fd, m.size, false) : NULL;
    close(fd);
    if (!mapped || !admit_memory_open(mapped, m.size, &memory))
        return false;
    o->admission_places = memory;
    o->admission = admission_new(memory.area, memory.area_size, 0);
    return o->admission != NULL;
}

static bool take_perimeter(struct observer *o, struct str bytes, int fd)
{
    struct msg_perimeter m;
    void *memory = msg_perimeter_decode(bytes, &m) ? shm_map(fd, m.size, false) : NULL;
    close(fd);
    return memory && perimeter_open(memory, m.size, false, &o->perimeter);
}

/* To the filter: for orders of people. */
static bool take_peer(struct observer *o, struct str bytes, int fd)
{
    struct msg_peer m;
    if (!msg_peer_decode(bytes, &m) || m.role != ROLE_FILTER) {
        close(fd);
        return false;
    }
    return observer_take_filter(o, fd);
}

static bool take_prepare(struct observer *o, struct str bytes, int fd)
{
    struct msg_prepare m;
    struct arena *errors = arena_new(ERRORS_BYTES);
    struct str error = STR("the observer has no memory for it");
    if (!errors || !msg_prepare_decode(bytes, &m)) {
        close(fd);
        arena_free(errors);
        return false;
    }
    observed_config_free(o->prepared);
    o->prepared = observed_config_new(fd, m.generation, &o->shared, errors, &error);
    bool is_told =
        role_process_prepared(&o->process, m.generation, o->prepared != NULL, o->prepared ? STR("") : error);
    arena_free(errors);
    return is_told;
}

static bool take_commit(struct observer *o, struct str bytes)
{
    struct msg_commit m;
    if (!msg_commit_decode(bytes, &m) || !o->prepared || o->prepared->generation != m.generation)
        return false;
    drain_rings(o); /* with the names that are still in force */
    observer_watch(o);
    observed_config_free(o->previous);
    o->previous = o->current;
    o->current = o->prepared;
    o->prepared = NULL;
    observed_config_bind(o->current, &o->shared, loop_now_ms(o->loop));
    return true;
}

static bool take_abort(struct observer *o, struct str bytes)
{
    struct msg_abort m;
    if (!msg_abort_decode(bytes, &m))
        return false;
    if (o->prepared && o->prepared->generation == m.generation) {
        observed_config_free(o->prepared);
        o->prepared = NULL;
    }
    return true;
}

static bool take_role_state(struct observer *o, struct str bytes)
{
    struct msg_role_state m;
    if (!msg_role_state_decode(bytes, &m))
        return false;
    observer_role_state(o, &m);
    return true;
}

static bool take_config_state(struct observer *o, struct str bytes)
{
    struct msg_config_state m;
    if (!msg_config_state_decode(bytes, &m))
        return false;
    observer_config_state(o, &m);
    return true;
}

static bool take_order_result(struct observer *o, struct str bytes)
{
    struct msg_order_result m;
    if (!msg_order_result_decode(bytes, &m))
        return false;
    server_order_result(&o->control, &m);
    return true;
}

static bool take_log_file(struct observer *o, struct str bytes, int fd)
{
    struct msg_log_file m;
    if (!msg_log_file_decode(bytes, &m) || m.kind < LOG_ACCESS || m.kind > LOG_WAF) {
        close(fd);
        return false;
    }
    struct log_out *const logs[] = {
        [LOG_ACCESS] = &o->access_log, [LOG_EVENT] = &o->event_log, [LOG_WAF] = &o->waf.log};
    static const char *const names[] = {
        [LOG_ACCESS] = "access", [LOG_EVENT] = "event", [LOG_WAF] = "firewall's"};
    log_out_reopen(logs[m.kind], fd);
    observer_say(o, EVENT_log_reopened, "the %s log was opened anew", names[m.kind]);
    return true;
}

static bool take_stop(struct observer *o, struct str bytes)
{
    struct msg_stop m;
    if (!msg_stop_decode(bytes, &m))
        return false;
    loop_stop(o->loop);
    return true;
}

static bool message_came(struct role_process *process, enum msg_number number, struct str bytes, int fd)
{
    struct observer *o = container_of(process, struct observer, process);
    switch (number) {
    case MSG_SHARED:
        return take_shared(o, bytes, fd);
    case MSG_PREPARE:
        return take_prepare(o, bytes, fd);
    case MSG_COMMIT:
        return take_commit(o, bytes);
    case MSG_ABORT:
        return take_abort(o, bytes);
    case MSG_ROLE_STATE:
        return take_role_state(o, bytes);
    case MSG_CONFIG_STATE:
        return take_config_state(o, bytes);
    case MSG_ORDER_RESULT:
        return take_order_result(o, bytes);
    case MSG_LOG_FILE:
        return take_log_file(o, bytes, fd);
    case MSG_ADMISSION:
        return take_admission(o, bytes, fd);
    case MSG_PERIMETER:
        return take_perimeter(o, bytes, fd);
    case MSG_PEER:
        return take_peer(o, bytes, fd);
    case MSG_STOP:
        return take_stop(o, bytes);
    default:
        if (fd >= 0)
            close(fd);
        return false;
    }
}

/* Without a master it goes on to answer, and the first SIGTERM then comes from the next one, when that one's
 * observer answers at the same addresses: this one goes on with the log of its own workers, until the second.
 * An upgrade that succeeded looks just like that from here. */
static void terminate(struct role_process *process)
{
    struct observer *o = container_of(process, struct observer, process);
    if (process->master || o->is_succeeded) {
        loop_stop(o->loop);
        return;
    }
    o->is_succeeded = true;
    server_succeeded(&o->control);
    server_succeeded(&o->management);
}

bool observer_order(struct observer *o, enum order_kind kind, uint64_t *ret_id)
{
    struct msg_order m = {.id = o->next_order + 1, .kind = (uint8_t)kind};
    if (!o->process.master || msg_order_send(o->process.master, &m, -1) != 0)
        return false;
    *ret_id = ++o->next_order;
    return true;
}

/* ---- start and end */

static gid_t group_of(struct str user)
{
    char z[64];
    struct buf name = buf_over(z, sizeof z);
    buf_str(&name, user);
    buf_char(&name, '\0');
    const struct group *group = buf_overflowed(&name) ? NULL : getgrnam(z);
    return group ? group->gr_gid : (gid_t)-1;
}

/* When a process started, in milliseconds since 1970: field 22 of /proc/PID/stat (proc(5)), ticks since boot.
 */
static uint64_t started_ms(pid_t pid, int64_t wall_us)
{
    char path[64], text[1024];
    struct timespec since_boot;
    struct buf name = buf_over(path, sizeof path);
    buf_printf(&name, "/proc/%d/stat%c", (int)pid, 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    uint64_t ticks = 0, now_ms = (uint64_t)wall_us / 1000;
    if (fd >= 0)
        close(fd);
    struct str rest = {text, n > 0 ? (size_t)n : 0};
    for (ptrdiff_t at; (at = str_find_char(rest, ')')) >= 0;) /* the name may hold brackets: the last one */
        rest = str_skip(rest, (size_t)at + 2);
    for (unsigned field = 3; field < 22; field++)
        str_cut(&rest, ' ');
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    if (!str_parse_u64(str_cut(&rest, ' '), &ticks))
        return now_ms;
    uint64_t boot_ms =
        now_ms - ((uint64_t)since_boot.tv_sec * 1000 + (uint64_t)since_boot.tv_nsec / 1'000'000);
    return boot_ms + ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* The one role that no message is about. */
static void note_master(struct observer *o)
{
    pid_t master = getppid();
    o->roles[o->role_count++] = (struct observed_role){.role = ROLE_MASTER,
                                                       .run = ROLE_RUN_UP,
                                                       .pid = (uint32_t)master,
                                                       .since_ms = started_ms(master, loop_wall_us(o->loop))};
}

/* Runs before the sandbox is raised: whatever has to be looked up or opened. */
static bool prepare(struct role_process *process)
{
    struct observer *o = container_of(process, struct observer, process);
    void *scratch =
        mmap(NULL, SCRATCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (scratch == MAP_FAILED || tls_init() != 0)
        return false;
    o->loop = process->loop;
    o->scratch = buf_over(scratch, SCRATCH_BYTES);
    o->config_error = buf_over(o->config_error_memory, sizeof o->config_error_memory);
    o->starter = getuid();
    o->group = group_of(process->start.user);
    note_master(o);
    if (!log_out_init(&o->access_log, FD_ACCESS_LOG) || !log_out_init(&o->event_log, FD_EVENT_LOG) ||
        !log_out_init(&o->waf.log, FD_WAF_LOG) || !observer_waf_init(o))
        return false;
    server_init(&o->control, o, CLIENT_CONTROL, FD_CONTROL);
    server_init(&o->management, o, CLIENT_MANAGEMENT, FD_MANAGEMENT);
    return true;
}

static int run(struct observer *o)
{
    timer_init(&o->drain_timer, drain_due);
    timer_init(&o->watch_timer, watch_due);
    timer_set(o->loop, &o->drain_timer, loop_now_ms(o->loop) + DRAIN_MAX_MS);
    timer_set(o->loop, &o->watch_timer, loop_now_ms(o->loop) + WATCH_MS);
    int error = loop_run(o->loop);
    drain_rings(o);
    return error;
}

static void done(struct observer *o)
{
    timer_clear(o->loop, &o->drain_timer);
    timer_clear(o->loop, &o->watch_timer);
    server_done(&o->control);
    server_done(&o->management);
    log_out_done(&o->access_log);
    log_out_done(&o->event_log);
    log_out_done(&o->waf.log);
    observer_waf_done(o);
    observed_config_free(o->prepared);
    observed_config_free(o->current);
    observed_config_free(o->previous);
    channel_free(o->filter);
    shared_unmap(&o->shared);
    role_process_end(&o->process);
}

int observer_main(int argc, char **argv)
{
    static struct observer o;
    o.process = (struct role_process){.role = ROLE_OBSERVER, .message = message_came, .terminate = terminate};
    if (!role_process_begin(&o.process, argc, argv, SANDBOX_OBSERVER, prepare))
        return 1;
    int error = run(&o);
    done(&o);
    return error < 0;
}
