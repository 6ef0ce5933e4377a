/* gate/master_change.c - configurations: read, check, hand out, commit or abort. The states stand in
 * master.h. */
#include "base/unconst.h"
#include "gate/master.h"

#include "sys/channel.h"
#include "sys/shm.h"
#include "tls/context.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CONFIG_BYTES_MAX = 4 << 20, PROBLEMS_TEXT = 256 * 1024, CHANGE_TIMEOUT_MS = 30'000, AGAIN_MS = 50 };

/* ---- reading and checking */

static struct str read_file(const char *path, struct str *ret_error)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hold the master up */
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > CONFIG_BYTES_MAX || !S_ISREG(st.st_mode)) {
        *ret_error = fd < 0                          ? str_of(strerror(errno))
                     : st.st_size > CONFIG_BYTES_MAX ? STR("it is larger than 4 MiB")
                                                     : STR("it is not a regular file");
        if (fd >= 0)
            close(fd);
        return STR_NONE;
    }
    char *bytes = malloc((size_t)st.st_size + 1);
    ssize_t n = bytes ? read(fd, bytes, (size_t)st.st_size) : -1;
    close(fd);
    if (n < 0) {
        free(bytes);
        *ret_error = STR("it cannot be read");
        return STR_NONE;
    }
    bytes[n] = '\0';
    return (struct str){bytes, (size_t)n};
}

static bool check_certificates(const struct config *config, struct buf *problems, struct buf *warnings,
                               struct arena *arena)
{
    bool good = true;
    for (unsigned i = 0; i < config->certificate_count; i++) {
        const struct config_certificate *c = &config->certificates[i];
        struct str error = STR_NONE, warning = STR_NONE;
        if (!tls_check_certificate(c->chain_pem, (int64_t)time(NULL), arena, &error, &warning)) {
            buf_printf(problems, "certificate %.*s (%.*s): %.*s\n", STR_ARG(c->name), STR_ARG(c->chain_path),
                       STR_ARG(error));
            good = false;
        } else if (warning.n) {
            buf_printf(warnings, "certificate %.*s: %.*s\n", STR_ARG(c->name), STR_ARG(warning));
        }
    }
    return good;
}

static bool make_bundle(struct loaded_config *l)
{
    unsigned count = 0;
    const struct config_bundle_entry *files = config_disk_read(l->disk, &count);
    size_t size = config_bundle_size(l->config->path, l->yaml, files, count);
    struct buf b = buf_over(malloc(size), size);
    if (!b.p)
        return false;
    config_bundle_write(&b, l->config->path, l->yaml, files, count);
    l->bundle_fd = buf_overflowed(&b) ? -1 : shm_from_bytes("polder-configuration", buf_text(&b));
    free(b.p);
    return l->bundle_fd >= 0;
}

struct loaded_config *loaded_config_new(const char *path, struct str *ret_problems, struct arena *problems)
{
    struct loaded_config *l = calloc(1, sizeof *l);
    struct buf text = buf_over(arena_bytes(problems, PROBLEMS_TEXT), PROBLEMS_TEXT), warnings = {0};
    struct str error = STR_NONE;
    struct config_problem *list = NULL;
    struct inspect_rules *rules = NULL;
    unsigned count = 0;
    *ret_problems = STR("out of memory\n");
    if (!l || !text.p)
        goto failed;
    l->bundle_fd = l->prefilter_fd = l->access_log_fd = l->event_log_fd = l->waf_log_fd = -1;
    l->yaml = read_file(path, &error);
    if (!l->yaml.p) {
        buf_printf(&text, "%s: the configuration cannot be used: %.*s\n", path, STR_ARG(error));
        *ret_problems = buf_text(&text);
        goto failed;
    }
    l->disk = config_disk_new(str_of(path));
    l->arena = arena_new(1 << 20);
    warnings = buf_over(l->arena ? arena_bytes(l->arena, 64 * 1024) : NULL, 64 * 1024);
    if (!l->disk || !warnings.p)
        goto failed;
    struct config_files files = config_disk_files(l->disk);
    l->config = config_parse(str_of(path), l->yaml, &files, problems, &list, &count);
    config_problems_print(&text, str_of(path), l->yaml, list, count, isatty(STDERR_FILENO));
    *ret_problems = buf_text(&text);
    if (l->config && !l->config->listener_count) {
        buf_printf(&text, "%s: it describes no gate (listeners, upstreams, clusters)\n", path);
        goto failed;
    }
    if (!l->config || !check_certificates(l->config, &text, &warnings, l->arena))
        goto failed;
    if (!inspect_check(l->config, &files, &text, &rules))
        goto failed;
    prefilter_find(l, rules);
    inspect_rules_unref(rules);
    *ret_problems = STR("out of memory\n");
    l->resolved = calloc(l->config->endpoint_count + 1, sizeof *l->resolved);
    if (!l->resolved || !make_bundle(l))
        goto failed;
    buf_str(&warnings, buf_text(&text));
    l->warnings = buf_text(&warnings);
    return l;
failed:
    if (l && text.n)
        *ret_problems = buf_text(&text);
    loaded_config_free(l);
    return NULL;
}

void loaded_config_free(struct loaded_config *l)
{
    if (!l)
        return;
    const int fds[] = {l->bundle_fd, l->prefilter_fd, l->access_log_fd, l->event_log_fd, l->waf_log_fd};
    for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(l->resolved);
    config_free(l->config);
    config_disk_free(l->disk);
    arena_free(l->arena);
    free(unconst(l->yaml.p));
    free(l);
}

/* ---- handing out */

static bool uses_tls12(const struct config *config)
{
    for (unsigned i = 0; i < config->listener_count; i++)
        if (config->listeners[i].tls12)
            return true;
    return false;
}

static int open_key(const struct loaded_config *l, const struct config_certificate *c, char *ret_why,
                    size_t cap)
{
    char path[PATH_MAX];
    struct stat st;
    struct buf b = buf_over(path, sizeof path - 1), why = buf_over(ret_why, cap);
    buf_str(&b, config_disk_resolve(l->disk, c->key_path));
    path[b.n] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    buf_printf(&why, "the key file %s of certificate %.*s cannot be read: %s%c", path, STR_ARG(c->name),
               fd < 0 ? strerror(errno) : "it is not a regular file", 0);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The master opens the key files and never reads them. */
bool send_keys(struct child *signer, const struct loaded_config *l, char *ret_why, size_t cap)
{
    struct msg_signer_limits limits = {.signatures_per_second = l->config->gate.signatures_per_second,
                                       .tls12 = uses_tls12(l->config)};
    signer->keys_loaded = 0;
    if (!signer->channel || msg_signer_limits_send(signer->channel, &limits, -1) < 0)
        return false;
    for (unsigned i = 0; i < l->config->certificate_count; i++) {
        struct msg_load_key m = {.generation = l->generation, .index = (uint16_t)i};
        int fd = open_key(l, &l->config->certificates[i], ret_why, cap);
        if (fd < 0)
            return false;
        int error = msg_load_key_send(signer->channel, &m, fd);
        close(fd);
        if (error < 0)
            return false;
    }
    return true;
}

static bool send_listeners(struct child *c, const struct loaded_config *l)
{
    for (unsigned i = 0; i < l->config->listener_count; i++) {
        struct msg_listener m = {.generation = l->generation, .index = (uint16_t)i};
        int fd = listening_find(c->master, &l->config->listeners[i].address, c->slot);
        if (fd < 0 || msg_listener_send(c->channel, &m, fd) < 0)
            return false;
        struct msg_listener_first first = {.generation = l->generation, .index = (uint16_t)i};
        fd = listening_find_first(c->master, &l->config->listeners[i].address, c->slot);
        if (fd >= 0 && listening_has_first(l->config) && msg_listener_first_send(c->channel, &first, fd) < 0)
            return false;
    }
    return true;
}

bool send_configuration(struct child *c, const struct loaded_config *l)
{
    struct msg_prepare m = {.generation = l->generation};
    if (c->role == ROLE_WORKER && !prefilter_send(c, l))
        return false;
    if (!c->channel || msg_prepare_send(c->channel, &m, l->bundle_fd) < 0)
        return false;
    return c->role != ROLE_WORKER || send_listeners(c, l);
}

bool key_fits(const struct loaded_config *l, const struct msg_key_loaded *k, char *ret_why, size_t cap)
{
    struct buf why = buf_over(ret_why, cap);
    uint8_t expected[32];
    if (k->index >= l->config->certificate_count || k->public_sha256_len != sizeof expected) {
        BUF_LIT(&why, "the signer's answer cannot be\0");
        return false;
    }
    const struct config_certificate *c = &l->config->certificates[k->index];
    if (!k->ok) {
        buf_printf(&why, "the key of certificate %.*s (%.*s) cannot be used: %.*s%c", STR_ARG(c->name),
                   STR_ARG(c->key_path), (int)k->error_len, (const char *)k->error, 0);
        return false;
    }
    if (tls_public_sha256(c->chain_pem, expected) && memcmp(expected, k->public_sha256, 32) == 0)
        return true;
    buf_printf(
        &why,
        "the key %.*s does not belong to the certificate %.*s: they were mixed up, or one of them is older%c",
        STR_ARG(c->key_path), STR_ARG(c->chain_path), 0);
    return false;
}

/* ---- names */

bool config_has_names(const struct config *config)
{
    for (unsigned u = 0; u < config->upstream_count; u++)
        for (unsigned e = 0; e < config->upstreams[u].endpoint_count; e++)
            if (config->upstreams[u].endpoints[e].is_name)
                return true;
    return false;
}

static struct addr resolved_before(const struct loaded_config *old, const struct config_endpoint *wanted)
{
    for (unsigned u = 0; u < old->config->upstream_count; u++) {
        const struct config_upstream *up = &old->config->upstreams[u];
        for (unsigned e = 0; e < up->endpoint_count; e++)
            if (up->endpoints[e].port == wanted->port && str_eq(up->endpoints[e].host, wanted->host))
                return old->resolved[up->first_endpoint + e];
    }
    return (struct addr){0};
}

/* What the names meant until now counts until they are looked up anew. */
static void inherit_resolved(struct loaded_config *l, const struct loaded_config *old)
{
    for (unsigned u = 0; old && u < l->config->upstream_count; u++) {
        const struct config_upstream *up = &l->config->upstreams[u];
        for (unsigned e = 0; e < up->endpoint_count; e++)
            if (up->endpoints[e].is_name)
                l->resolved[up->first_endpoint + e] = resolved_before(old, &up->endpoints[e]);
    }
}

/* ---- the transaction */

void change_timed_out(struct timer *t)
{
    change_fail(container_of(t, struct master, change_timer), STR("a role did not answer within 30 seconds"));
}

static void claim_shared(struct master *m, const struct loaded_config *l)
{
    uint64_t oldest = m->current ? m->current->generation : l->generation;
    for (unsigned i = 0; i < l->config->cluster_count; i++)
        shared_cluster_claim(&m->shared, shared_cluster_key(l->config->clusters[i].name), l->generation,
                             oldest);
    perimeter_claim(m, l->config, l->generation, oldest);
    for (unsigned i = 0; i < l->config->upstream_count; i++) {
        const struct config_upstream *u = &l->config->upstreams[i];
        for (unsigned e = 0; e < u->endpoint_count; e++) {
            const struct config_endpoint *ep = &u->endpoints[e];
            uint32_t slot = shared_endpoint_claim(
                &m->shared, shared_endpoint_key(u->name, ep->host, ep->port), l->generation, oldest);
            if (slot != SHARED_NO_SLOT && !ep->is_name)
                shared_endpoint_set_address(shared_endpoint(&m->shared, slot), &ep->address);
        }
    }
}

static void keep_error(struct master *m, struct str why)
{
    struct buf b = buf_over(m->config_error, sizeof m->config_error - 1);
    buf_str(&b, str_take(why, sizeof m->config_error - 1));
    m->config_error[b.n] = '\0';
}

/* Everything is as it was. */
static void refuse(struct master *m, uint64_t order_id, struct str why)
{
    keep_error(m, why);
    if (m->current)
        listening_close_unused(m, m->current->config);
    master_say("%s: %s",
               m->current ? "the new configuration was not taken over, the old one stays in force"
                          : "cannot start",
               m->config_error);
    if (m->current)
        notify_systemd("READY=1");
    master_tell_config(m); /* first: who asked may look at once */
    master_order_done(m, order_id, false, str_of(m->config_error));
}

void change_again(struct timer *t)
{
    change_begin(container_of(t, struct master, again_timer), 0);
}

/* An order is told; a signal is remembered: the file may have changed since it was read. */
static void is_busy(struct master *m, uint64_t order_id)
{
    static const struct str stops = STR("the gate is being stopped"),
                            busy = STR("another change of configuration is under way; try again in a moment");
    if (order_id == 0 && !m->stopping)
        timer_set(m->loop, &m->again_timer, loop_now_ms(m->loop) + AGAIN_MS);
    master_order_done(m, order_id, false, m->stopping ? stops : busy);
}

bool change_begin(struct master *m, uint64_t order_id)
{
    if (m->change || m->stopping) {
        is_busy(m, order_id);
        return false;
    }
    for (unsigned i = 0; i < CHILDREN_MAX; i++) /* the change before this one is as good as done */
        m->children[i].committing = 0;
    change_settle(m);
    struct arena *problems = arena_new(8 << 20);
    struct str text = STR("out of memory");
    char why[1024] = "out of memory";
    notify_systemd("RELOADING=1");
    struct loaded_config *l = problems ? loaded_config_new(m->config_path, &text, problems) : NULL;
    if (l && (!listening_open(m, l->config, why, sizeof why) ||
              !listening_open_logs(l, m->current ? &m->current->config->gate : NULL, why, sizeof why))) {
        text = str_of(why);
        loaded_config_free(l);
        l = NULL;
    }
    if (!l)
        refuse(m, order_id, text);
    arena_free(problems);
    if (!l)
        return false;
    m->order_id = order_id;
    change_start(m, l);
    return true;
}

void change_start(struct master *m, struct loaded_config *l)
{
    struct child *signer = master_child(m, ROLE_SIGNER, 0);
    l->generation = m->next_generation++;
    inherit_resolved(l, m->current);
    if (m->current)
        prefilter_inherit(l, m->current);
    m->change = l;
    m->stage = CHANGE_KEYS;
    claim_shared(m, l);
    timer_set(m->loop, &m->change_timer, loop_now_ms(m->loop) + CHANGE_TIMEOUT_MS);
    if (config_has_names(l->config) && !master_child(m, ROLE_DIALER, 1)) {
        struct child *resolver = master_add_child(m, ROLE_DIALER, 1);
        if (resolver)
            child_start(resolver);
    }
    if (signer)
        child_bring_on(signer);
}

static void give_up(struct master *m)
{
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        struct child *c = &m->children[i];
        struct msg_abort no = {m->change->generation};
        bool takes_part = c->offered == m->change->generation || c->prepared == m->change->generation;
        if (c->state == CHILD_UP && takes_part && c->channel && msg_abort_send(c->channel, &no, -1) < 0)
            kill(c->pid, SIGKILL);
    }
    timer_clear(m->loop, &m->change_timer);
    loaded_config_free(m->change);
    m->change = NULL;
    m->stage = CHANGE_NONE;
}

void change_fail(struct master *m, struct str why)
{
    char text[sizeof m->config_error];
    struct buf b = buf_over(text, sizeof text);
    if (!m->change)
        return;
    buf_str(&b, str_take(why, sizeof text)); /* it may lie in what is freed now */
    give_up(m);
    refuse(m, m->order_id, buf_text(&b));
    for (unsigned i = 0; m->current && i < CHILDREN_MAX; i++)
        child_bring_on(&m->children[i]); /* who came up meanwhile */
    if (!m->current) {
        m->exit_status = 1;
        master_stop(m, 1);
    }
}

/* Keys that are read once, when the gate starts. */
static struct str what_waits(const struct master *m, const struct config *old, struct buf *b)
{
    const struct config_gate *was = &old->gate, *is = &m->current->config->gate;
    const struct {
        const char *key;
        bool differs;
    } keys[] = {{"workers", m->worker_count != master_workers_of(m->current->config)},
                {"user", !str_eq(was->user, is->user)},
                {"run_directory", !str_eq(was->run_directory, is->run_directory)},
                {"state_directory", !str_eq(was->state_directory, is->state_directory)},
                {"management", !addr_eq(&was->management, &is->management)}};
    BUF_LIT(b, "the configuration is in force");
    const char *between = "; these count from the next restart: gate.";
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!keys[i].differs)
            continue;
        buf_printf(b, "%s%s", between, keys[i].key);
        between = ", gate.";
    }
    return buf_text(b);
}

void change_settle(struct master *m)
{
    if (!m->is_settling)
        return;
    for (unsigned i = 0; i < CHILDREN_MAX; i++)
        if (m->children[i].committing)
            return;
    m->is_settling = false;
    master_order_done(m, m->order_id, true, (struct str){m->settled_text, m->settled_n});
}

static void begin_settling(struct master *m, const struct config *old)
{
    struct buf text = buf_over(m->settled_text, sizeof m->settled_text);
    (void)what_waits(m, old, &text);
    m->settled_n = text.n;
    m->is_settling = true;
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        struct child *c = &m->children[i];
        bool is_told = c->state == CHILD_UP && c->channel && c->generation == m->current->generation;
        bool says_so = c->role == ROLE_WORKER || c->role == ROLE_FILTER;
        c->committing = says_so && is_told ? m->current->generation : 0;
    }
    change_settle(m);
}

static void commit(struct master *m)
{
    struct loaded_config *old = m->current;
    m->current = m->change;
    m->change = NULL;
    m->stage = CHANGE_NONE;
    m->config_error[0] = '\0';
    m->config_since_wall_ms = loop_wall_us(m->loop) / 1000;
    timer_clear(m->loop, &m->change_timer);
    for (unsigned i = 0; i < CHILDREN_MAX; i++)
        if (m->children[i].state == CHILD_UP && m->children[i].prepared == m->current->generation)
            child_commit(&m->children[i], m->current);
    listening_take_logs(m, m->current);
    listening_close_unused(m, m->current->config);
    master_tell_config(m);
    master_all_up(m);
    begin_settling(m, old ? old->config : m->current->config);
    loaded_config_free(old);
    m->prefilter_failures = 0;
    prefilter_need(m);
}

bool change_wants(const struct master *m, const struct child *c)
{
    return m->stage == CHANGE_KEYS ? c->role == ROLE_SIGNER : child_needs_config(c);
}

static bool has_all(const struct master *m)
{
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        const struct child *c = &m->children[i];
        bool is_there = c->state != CHILD_NONE && c->state != CHILD_STOPPING;
        if (is_there && change_wants(m, c) && c->prepared != m->change->generation)
            return false;
    }
    return true;
}

void change_step(struct master *m)
{
    if (m->stage == CHANGE_KEYS && has_all(m)) {
        m->stage = CHANGE_PREPARING;
        for (unsigned i = 0; i < CHILDREN_MAX && m->change; i++)
            child_bring_on(&m->children[i]);
    }
    if (m->stage == CHANGE_PREPARING && has_all(m))
        commit(m);
}
