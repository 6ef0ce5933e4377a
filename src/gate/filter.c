/* gate/filter.c - the filter role's process: what it is told, by whom, and in which order it acts on it.
 * See filter_role.h. */
#include "gate/filter_role.h"

#include "sys/channel.h"
#include "sys/shm.h"
#include "tls/context.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PEER_QUEUE = 256,
    BUNDLE_LIMIT = 64 << 20,
    ERRORS_BYTES = 1 << 20,
    ANSWER_BYTES = 8 << 20,
    TICK_MS = 1000,
};

struct keeper { /* with what no other file needs to see */
    struct filter_role shown;
    struct timer tick;
};

void filter_say(const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "polder-gate: filter: %s\n", text);
}

void filter_wake_workers(struct filter_role *f)
{
    const uint64_t one = 1;
    for (unsigned slot = 0; slot < SHARED_WORKERS_MAX; slot++)
        if (f->wakes[slot] >= 0 && write(f->wakes[slot], &one, sizeof one) < 0)
            continue; /* its count is full: it has more than enough to wake up for */
}

/* ---- observer and workers */

static bool answer(struct filter_role *f, uint64_t id, bool ok, struct str text)
{
    int fd = shm_from_bytes("polder-answer", text);
    struct msg_isolated m = {.id = id, .ok = ok};
    if (fd < 0)
        return false;
    int error = msg_isolated_send(f->observer, &m, fd);
    close(fd);
    return error == 0;
}

static bool isolate_came(struct filter_role *f, struct str bytes)
{
    struct msg_isolate m;
    char *memory = malloc(ANSWER_BYTES);
    struct buf b = buf_over(memory, ANSWER_BYTES);
    bool ok = memory && msg_isolate_decode(bytes, &m);
    if (ok) {
        struct str request = {(const char *)m.request, m.request_len};
        bool is_done = packets_is_asked(request) ? packets_ask(f->packets, m.uid, request, &b)
                                                 : desk_ask(f->desk, m.uid, request, &b);
        ok = answer(f, m.id, is_done, buf_text(&b));
    }
    free(memory);
    return ok;
}

static unsigned worker_of(const struct filter_role *f, const struct channel *channel)
{
    unsigned slot = 0;
    while (slot < SHARED_WORKERS_MAX && f->workers[slot] != channel)
        slot++;
    return slot;
}

static bool observer_message(struct filter_role *f, struct str bytes, int fd)
{
    bool is_fine = msg_welcome(bytes, fd, ROLE_OBSERVER, ROLE_FILTER) == MSG_ISOLATE;
    if (fd >= 0)
        close(fd);
    return is_fine && isolate_came(f, bytes);
}

static bool worker_message(struct filter_role *f, unsigned slot, struct str bytes, int fd)
{
    struct msg_classify c;
    bool is_fine = msg_welcome(bytes, fd, ROLE_WORKER, ROLE_FILTER) == MSG_CLASSIFY &&
                   msg_classify_decode(bytes, &c) && packets_classify(f->packets, slot, &c);
    if (fd >= 0)
        close(fd);
    if (!is_fine)
        role_process_accuse(&f->process, slot);
    return is_fine;
}

static bool peer_message(void *self, struct channel *channel, struct str bytes, int fd)
{
    struct filter_role *f = self;
    return channel == f->observer ? observer_message(f, bytes, fd)
                                  : worker_message(f, worker_of(f, channel), bytes, fd);
}

static void peer_closed(void *self, struct channel *channel)
{
    struct filter_role *f = self;
    unsigned slot = worker_of(f, channel);
    if (slot < SHARED_WORKERS_MAX)
        f->workers[slot] = NULL;
    else
        f->observer = NULL;
    channel_free(channel);
}

static bool take_peer(struct filter_role *f, struct str bytes, int fd)
{
    struct msg_peer m;
    if (!msg_peer_decode(bytes, &m) || m.slot >= SHARED_WORKERS_MAX ||
        (m.role != ROLE_WORKER && m.role != ROLE_OBSERVER)) {
        close(fd);
        return false;
    }
    struct channel **place = m.role == ROLE_OBSERVER ? &f->observer : &f->workers[m.slot];
    channel_free(*place);
    *place =
        channel_new(f->process.loop, fd, PEER_QUEUE, (struct channel_events){peer_message, peer_closed, f});
    return *place != NULL;
}

/* ---- the master */

static bool take_shared(struct filter_role *f, int fd)
{
    struct shared shared;
    bool is_ours = shared_map_reader(fd, &shared) == 0;
    close(fd);
    if (!is_ours)
        return false;
    f->shared = shared;
    f->has_shared = true;
    return true;
}

static bool take_perimeter(struct filter_role *f, struct str bytes, int fd)
{
    struct msg_perimeter m;
    void *memory = msg_perimeter_decode(bytes, &m) && !f->perimeter.area ? shm_map(fd, m.size, true) : NULL;
    close(fd);
    return memory && perimeter_open(memory, m.size, true, &f->perimeter);
}

static bool take_wake(struct filter_role *f, struct str bytes, int fd)
{
    struct msg_wake m;
    if (!msg_wake_decode(bytes, &m) || m.slot >= SHARED_WORKERS_MAX) {
        close(fd);
        return false;
    }
    if (f->wakes[m.slot] >= 0)
        close(f->wakes[m.slot]);
    f->wakes[m.slot] = fd;
    return true;
}

static bool take_queue(struct filter_role *f, struct str bytes, int fd)
{
    struct msg_queue m;
    if (!msg_queue_decode(bytes, &m)) {
        close(fd);
        return false;
    }
    packets_listener(f->packets, &m, fd);
    return true;
}

static void forget(struct filter_config *c)
{
    config_free(c->config);
    if (c->bundle.n)
        shm_unmap_sealed(c->bundle);
    *c = (struct filter_config){0};
}

/* The first one recovers what holds and publishes it, before anybody can begin to serve. */
static bool can_use(struct filter_role *f, struct filter_config *c, struct buf *why)
{
    if (!packets_check(f->packets, c->config, why))
        return false;
    if (f->current.config)
        return true;
    return desk_configure(f->desk, c->config, why) &&
           packets_hold(f->packets, why); /* the first configures both */
}

static bool take_prepare(struct filter_role *f, struct str bytes, int fd)
{
    struct msg_prepare m;
    struct filter_config fresh = {0};
    char memory[900] = "";
    struct buf why = buf_over(memory, sizeof memory);
    struct str error = STR("the bundle cannot be read");
    struct arena *errors = arena_new(ERRORS_BYTES);
    bool decoded = errors && f->perimeter.area && f->has_shared && msg_prepare_decode(bytes, &m);
    if (decoded && shm_map_sealed(fd, BUNDLE_LIMIT, &fresh.bundle))
        fresh.config = config_from_bundle(fresh.bundle, errors, &error);
    close(fd);
    bool ok = fresh.config && can_use(f, &fresh, &why);
    if (fresh.config && !ok)
        error = buf_text(&why);
    forget(ok ? &f->prepared : &fresh);
    if (ok) {
        fresh.generation = m.generation;
        f->prepared = fresh;
    }
    bool is_told = decoded && role_process_prepared(&f->process, m.generation, ok, ok ? STR_NONE : error);
    arena_free(errors);
    return is_told;
}

static bool take_commit(struct filter_role *f, struct str bytes)
{
    struct msg_commit m;
    char memory[900];
    struct buf why = buf_over(memory, sizeof memory);
    if (!msg_commit_decode(bytes, &m) || !f->prepared.config || f->prepared.generation != m.generation)
        return false;
    bool is_first = !f->current.config;
    struct filter_config old = f->current;
    f->current = f->prepared;
    f->prepared = (struct filter_config){0};
    bool ok = is_first || desk_configure(f->desk, f->current.config, &why);
    ok = (is_first || packets_configure(f->packets, f->current.config, desk_state(f->desk), &why)) && ok;
    if (!ok)
        filter_say("the new configuration is not wholly in force: %.*s", STR_ARG(buf_text(&why)));
    forget(&old);
    const struct msg_committed done = {f->current.generation};
    bool is_told = f->process.master && msg_committed_send(f->process.master, &done, -1) == 0;
    (void)is_told; /* a master that died meanwhile is no reason not to filter */
    return true;
}

static bool take_abort(struct filter_role *f, struct str bytes)
{
    struct msg_abort m;
    if (!msg_abort_decode(bytes, &m))
        return false;
    if (f->prepared.config && f->prepared.generation == m.generation)
        forget(&f->prepared);
    return true;
}

static bool message_came(struct role_process *r, enum msg_number number, struct str bytes, int fd)
{
    struct filter_role *f = container_of(r, struct filter_role, process);
    switch (number) {
    case MSG_SHARED:
        return take_shared(f, fd);
    case MSG_PERIMETER:
        return take_perimeter(f, bytes, fd);
    case MSG_WAKE:
        return take_wake(f, bytes, fd);
    case MSG_PREPARE:
        return take_prepare(f, bytes, fd);
    case MSG_COMMIT:
        return take_commit(f, bytes);
    case MSG_ABORT:
        return take_abort(f, bytes);
    case MSG_PEER:
        return take_peer(f, bytes, fd);
    case MSG_QUEUE:
        return take_queue(f, bytes, fd);
    case MSG_STOP:
        loop_stop(r->loop);
        return true;
    default:
        if (fd >= 0)
            close(fd);
        return false;
    }
}

static void tick_due(struct timer *t)
{
    struct keeper *r = container_of(t, struct keeper, tick);
    struct filter_role *f = &r->shown;
    if (f->current.config) {
        desk_tick(f->desk);
        packets_report(f->packets);
    }
    loop_refresh_now(f->process.loop);
    timer_set(f->process.loop, t, loop_now_ms(f->process.loop) + TICK_MS);
}

/* What will be told to be prepared first; NULL: it cannot be read, and then prepare says why. */
static struct config *starting_config(void)
{
    struct str bundle, error;
    struct arena *errors = arena_new(ERRORS_BYTES);
    struct config *config = NULL;
    if (errors && shm_map_sealed(FD_FILTER_BUNDLE, BUNDLE_LIMIT, &bundle)) {
        config = config_from_bundle(bundle, errors, &error);
        shm_unmap_sealed(bundle);
    }
    close(FD_FILTER_BUNDLE);
    arena_free(errors);
    return config;
}

static bool prepare(struct role_process *r)
{
    struct filter_role *f = container_of(r, struct filter_role, process);
    if (tls_init() != 0) /* a configuration's digest is OpenSSL's, which reads files the first time */
        return false;
    struct config *config = starting_config();
    f->starting = config;
    f->packets = packets_new(f);
    f->desk = f->packets ? desk_new(f) : NULL;
    f->starting = NULL;
    config_free(config);
    struct stat folder;
    bool has_folder = fstat(FD_ISOLATION, &folder) == 0 && S_ISDIR(folder.st_mode);
    return f->desk && (!has_folder || role_process_add_folder(r, "/proc/self/fd/4"));
}

int filter_main(int argc, char **argv)
{
    static struct keeper r;
    struct filter_role *f = &r.shown;
    f->process = (struct role_process){.role = ROLE_FILTER, .message = message_came};
    for (unsigned slot = 0; slot < SHARED_WORKERS_MAX; slot++)
        f->wakes[slot] = -1;
    if (!role_process_begin(&f->process, argc, argv, SANDBOX_FILTER, prepare))
        return 1;
    timer_init(&r.tick, tick_due);
    timer_set(f->process.loop, &r.tick, loop_now_ms(f->process.loop) + TICK_MS);
    int error = loop_run(f->process.loop);
    timer_clear(f->process.loop, &r.tick);
    desk_free(f->desk);
    packets_free(f->packets);
    role_process_end(&f->process);
    return error < 0;
}
