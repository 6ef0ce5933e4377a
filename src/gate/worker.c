/* gate/worker.c - a worker's process: the data path (proxy/) between the channels to master, signer and
 * dialer. */
#include "gate/role_process.h"

#include "gate/breach.h"
#include "gate/code_rules.h"
#include "proxy/proxy.h"
#include "sys/channel.h"
#include "sys/shm.h"
#include "tls/context.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    PEER_QUEUE = 16384,
    BUNDLE_LIMIT = 64 << 20,
    PREFILTER_LIMIT = 64 << 20,
    ERRORS_BYTES = 1 << 20,
    HURRY_MS = 5000
};

struct worker {
    struct role_process process;
    struct proxy *proxy; /* NULL until the shared memory came */
    struct shared shared;
    struct channel *signer, *dialer, *filter;
    struct inspect_rules *rules; /* compiled before the walls; NULL: none */
    bool told_to_end;
};

/* ---- channels to the other roles */

static bool peer_message(void *self, struct channel *channel, struct str bytes, int fd)
{
    struct worker *w = self;
    enum role from = channel == w->signer ? ROLE_SIGNER : channel == w->dialer ? ROLE_DIALER : ROLE_FILTER;
    breach_heard(from, bytes);
    switch (msg_welcome(bytes, fd, from, ROLE_WORKER)) {
    case MSG_SIGNATURE: {
        struct msg_signature m;
        if (!msg_signature_decode(bytes, &m))
            return false;
        proxy_signature(w->proxy, &m);
        return true;
    }
    case MSG_DIALED: {
        struct msg_dialed m;
        if (!msg_dialed_decode(bytes, &m))
            break;
        proxy_dialed(w->proxy, &m, fd);
        return true;
    }
    default:
        break;
    }
    if (fd >= 0)
        close(fd);
    return false;
}

/* What was asked waits for the successor, which the master announces. */
static void peer_closed(void *self, struct channel *channel)
{
    struct worker *w = self;
    breach_channel(channel == w->signer   ? ROLE_SIGNER
                   : channel == w->dialer ? ROLE_DIALER
                                          : ROLE_FILTER,
                   NULL);
    if (channel == w->signer)
        w->signer = NULL;
    if (channel == w->dialer)
        w->dialer = NULL;
    if (channel == w->filter)
        w->filter = NULL;
    channel_free(channel);
}

static bool send_dial(void *self, const struct msg_dial *m)
{
    struct worker *w = self;
    return w->dialer && msg_dial_send(w->dialer, m, -1) == 0;
}

static bool send_sign(void *self, const struct msg_sign *m)
{
    struct worker *w = self;
    return w->signer && msg_sign_send(w->signer, m, -1) == 0;
}

/* What is lost while there is no filter is learned again. */
static void classify(void *self, const struct msg_classify *m)
{
    struct worker *w = self;
    if (w->filter && msg_classify_send(w->filter, m, -1) == -EPIPE)
        return; /* its end is told in the loop */
}

static void drained(void *self)
{
    struct worker *w = self;
    struct msg_drained m = {.slot = (uint8_t)w->process.start.slot};
    bool is_told = w->process.master && msg_drained_send(w->process.master, &m, -1) == 0;
    (void)is_told; /* our exit says the same */
    loop_stop(w->process.loop);
}

static struct channel **peer_place(struct worker *w, unsigned role)
{
    return role == ROLE_SIGNER   ? &w->signer
           : role == ROLE_DIALER ? &w->dialer
           : role == ROLE_FILTER ? &w->filter
                                 : NULL;
}

static bool take_peer(struct worker *w, struct str bytes, int fd)
{
    struct msg_peer m;
    if (!w->proxy || !msg_peer_decode(bytes, &m) || !peer_place(w, m.role)) {
        close(fd);
        return false;
    }
    struct channel **place = peer_place(w, m.role);
    struct channel *old = *place;
    *place =
        channel_new(w->process.loop, fd, PEER_QUEUE, (struct channel_events){peer_message, peer_closed, w});
    channel_free(old);
    breach_channel((enum role)m.role, *place);
    if (!*place)
        return false;
    if (m.role == ROLE_SIGNER)
        proxy_sign_again(w->proxy);
    if (m.role == ROLE_DIALER)
        proxy_dial_again(w->proxy);
    return true;
}

/* ---- messages of the master */

static bool take_shared(struct worker *w, struct str bytes, int fd)
{
    struct msg_shared m;
    struct proxy_events events = {send_dial, send_sign, drained, classify, w};
    void *memory = msg_shared_decode(bytes, &m) && !w->proxy ? shm_map(fd, m.size, true) : NULL;
    close(fd);
    if (!memory || !shared_open(memory, m.size, &w->shared) ||
        w->process.start.slot >= w->shared.worker_count)
        return false;
    w->proxy = proxy_new(w->process.loop, &w->shared, w->process.start.slot, events);
    if (w->proxy && w->rules)
        proxy_take_rules(w->proxy, w->rules);
    return w->proxy != NULL;
}

static bool take_perimeter(struct worker *w, struct str bytes, int fd)
{
    struct msg_perimeter m;
    struct perimeter perimeter;
    void *memory = w->proxy && msg_perimeter_decode(bytes, &m) ? shm_map(fd, m.size, false) : NULL;
    close(fd);
    if (!memory || !perimeter_open(memory, m.size, false, &perimeter))
        return false;
    proxy_perimeter(w->proxy, &perimeter);
    return true;
}

static bool take_admission(struct worker *w, struct str bytes, int fd)
{
    struct msg_admission m;
    void *memory = w->proxy && msg_admission_decode(bytes, &m) ? shm_map(fd, m.size, true) : NULL;
    close(fd);
    return memory && proxy_admission(w->proxy, memory, m.size);
}

static bool take_wake(struct worker *w, struct str bytes, int fd)
{
    struct msg_wake m;
    if (!w->proxy || !msg_wake_decode(bytes, &m) || m.slot >= SHARED_WORKERS_MAX) {
        close(fd);
        return false;
    }
    proxy_wake(w->proxy, m.slot, fd);
    return true;
}

static bool take_prepare(struct worker *w, struct str bytes, int fd)
{
    struct msg_prepare m;
    struct str bundle, error = STR("the bundle cannot be mapped");
    struct arena *errors = arena_new(ERRORS_BYTES);
    bool decoded = errors && w->proxy && msg_prepare_decode(bytes, &m);
    bool mapped = decoded && shm_map_sealed(fd, BUNDLE_LIMIT, &bundle);
    close(fd);
    bool ok = mapped && proxy_prepare(w->proxy, m.generation, bundle, shm_unmap_sealed, errors, &error);
    if (mapped && !ok)
        shm_unmap_sealed(bundle);
    bool answered = decoded && role_process_prepared(&w->process, m.generation, ok, ok ? STR_NONE : error);
    arena_free(errors);
    return answered;
}

static bool take_prefilter(struct worker *w, struct str bytes, int fd)
{
    struct msg_prefilter m;
    struct str prefilter;
    bool decoded = w->proxy && msg_prefilter_decode(bytes, &m);
    bool mapped = decoded && shm_map_sealed(fd, PREFILTER_LIMIT, &prefilter);
    close(fd);
    if (mapped &&
        !proxy_prefilter(w->proxy, (struct str){(const char *)m.key, m.key_len}, prefilter, shm_unmap_sealed))
        shm_unmap_sealed(prefilter);
    return decoded; /* without it the rules are slower, and no less right */
}

static bool take_listener(struct worker *w, struct str bytes, int fd)
{
    struct msg_listener m;
    if (w->proxy && msg_listener_decode(bytes, &m)) {
        proxy_listener(w->proxy, m.generation, m.index, fd);
        return true;
    }
    close(fd);
    return false;
}

static bool take_listener_first(struct worker *w, struct str bytes, int fd)
{
    struct msg_listener_first m;
    if (w->proxy && msg_listener_first_decode(bytes, &m)) {
        proxy_listener_first(w->proxy, m.generation, m.index, fd);
        return true;
    }
    close(fd);
    return false;
}

static bool take_commit(struct worker *w, struct str bytes)
{
    struct msg_commit m;
    if (!w->proxy || !msg_commit_decode(bytes, &m) || !proxy_commit(w->proxy, m.generation))
        return false;
    const struct msg_committed done = {m.generation};
    bool is_told = w->process.master && msg_committed_send(w->process.master, &done, -1) == 0;
    (void)is_told; /* a master that died meanwhile is no reason not to serve */
    return true;
}

static bool take_abort(struct worker *w, struct str bytes)
{
    struct msg_abort m;
    if (!w->proxy || !msg_abort_decode(bytes, &m))
        return false;
    proxy_abort(w->proxy, m.generation);
    return true;
}

static bool take_stop(struct worker *w, struct str bytes)
{
    struct msg_stop m;
    if (!msg_stop_decode(bytes, &m))
        return false;
    if (w->proxy)
        proxy_drain(w->proxy, m.drain_timeout_ms);
    else
        loop_stop(w->process.loop);
    return true;
}

static bool take_ticket_keys(struct worker *w, struct str bytes)
{
    struct msg_ticket_keys m;
    if (!w->proxy || !msg_ticket_keys_decode(bytes, &m))
        return false;
    proxy_ticket_keys(w->proxy, (struct str){(const char *)m.keys, m.keys_len});
    explicit_bzero(&m, sizeof m);
    return true;
}

static bool message_came(struct role_process *r, enum msg_number number, struct str bytes, int fd)
{
    struct worker *w = container_of(r, struct worker, process);
    switch (number) {
    case MSG_SHARED:
        return take_shared(w, bytes, fd);
    case MSG_PERIMETER:
        return take_perimeter(w, bytes, fd);
    case MSG_ADMISSION:
        return take_admission(w, bytes, fd);
    case MSG_WAKE:
        return take_wake(w, bytes, fd);
    case MSG_PREPARE:
        return take_prepare(w, bytes, fd);
    case MSG_PEER:
        return take_peer(w, bytes, fd);
    case MSG_LISTENER:
        return take_listener(w, bytes, fd);
    case MSG_LISTENER_FIRST:
        return take_listener_first(w, bytes, fd);
    case MSG_PREFILTER:
        return take_prefilter(w, bytes, fd);
    case MSG_COMMIT:
        return take_commit(w, bytes);
    case MSG_ABORT:
        return take_abort(w, bytes);
    case MSG_STOP:
        return take_stop(w, bytes);
    case MSG_TICKET_KEYS:
        return take_ticket_keys(w, bytes);
    default:
        if (fd >= 0)
            close(fd);
        return false;
    }
}

/* The master of old is gone and a new one is up: answer what is open, then end. The second time: soon. */
static void terminate(struct role_process *r)
{
    struct worker *w = container_of(r, struct worker, process);
    if (w->proxy)
        proxy_drain(w->proxy, w->told_to_end ? HURRY_MS : proxy_drain_timeout_ms(w->proxy));
    else
        loop_stop(r->loop);
    w->told_to_end = true;
}

static bool prepare(struct role_process *r)
{
    struct worker *w = container_of(r, struct worker, process);
    if (tls_init() != 0)
        return false;
    w->rules = code_rules_make(FD_BUNDLE);
    close(FD_BUNDLE);
    return true;
}

int worker_main(int argc, char **argv)
{
    static struct worker w;
    w.process = (struct role_process){.role = ROLE_WORKER, .message = message_came, .terminate = terminate};
    if (!role_process_begin(&w.process, argc, argv, SANDBOX_WORKER, prepare))
        return 1;
    int error = loop_run(w.process.loop);
    proxy_free(w.proxy);
    channel_free(w.signer);
    channel_free(w.dialer);
    channel_free(w.filter);
    role_process_end(&w.process);
    return error < 0;
}
