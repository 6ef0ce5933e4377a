/* gate/master_change.c - configurations: read, check, hand out, commit or abort. The states stand in master.h. */
#include "gate/master.h"

#include "sys/channel.h"
#include "sys/shm.h"
#include "tls/context.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CONFIG_BYTES_MAX = 4 << 20, PROBLEMS_TEXT = 256 * 1024, CHANGE_TIMEOUT_MS = 30'000 };

/* ---- reading and checking */

static struct str read_file(const char *path, struct str *ret_error)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > CONFIG_BYTES_MAX || !S_ISREG(st.st_mode)) {
        *ret_error = fd < 0                            ? str_of(strerror(errno))
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

static bool check_certificates(const struct config *config, struct buf *problems, struct buf *warnings, struct arena *arena)
{
    bool good = true;
    for (unsigned i = 0; i < config->certificate_count; i++) {
        const struct config_certificate *c = &config->certificates[i];
        struct str error = STR_NONE, warning = STR_NONE;
        if (!tls_check_certificate(c->chain_pem, (int64_t)time(NULL), arena, &error, &warning)) {
            buf_printf(problems, "certificate %.*s (%.*s): %.*s\n", STR_ARG(c->name), STR_ARG(c->chain_path), STR_ARG(error));
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
    unsigned count = 0;
    *ret_problems = STR("out of memory\n");
    if (!l || !text.p)
        goto failed;
    l->bundle_fd = -1;
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
    if (!l->config || !check_certificates(l->config, &text, &warnings, l->arena))
        goto failed;
    *ret_problems = STR("out of memory\n");
    if (!make_bundle(l))
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
    if (l->bundle_fd >= 0)
        close(l->bundle_fd);
    config_free(l->config);
    config_disk_free(l->disk);
    arena_free(l->arena);
    free((char *)(uintptr_t)l->yaml.p);
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

/* The master opens the key files and never reads them. */
bool send_keys(struct child *signer, const struct loaded_config *l)
{
    struct msg_signer_limits limits = {.signatures_per_second = l->config->gate.signatures_per_second,
                                       .tls12 = uses_tls12(l->config)};
    if (!signer->channel || msg_signer_limits_send(signer->channel, &limits, -1) < 0)
        return false;
    signer->keys_loaded = 0;
    for (unsigned i = 0; i < l->config->certificate_count; i++) {
        struct msg_load_key m = {.generation = l->generation, .index = (uint16_t)i};
        char path[PATH_MAX];
        struct buf b = buf_over(path, sizeof path - 1);
        buf_str(&b, config_disk_resolve(l->disk, l->config->certificates[i].key_path));
        path[b.n] = '\0';
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            master_say("the key file %s cannot be opened: %s", path, strerror(errno));
            return false;
        }
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
    }
    return true;
}

bool send_configuration(struct child *c, const struct loaded_config *l)
{
    struct msg_prepare m = {.generation = l->generation};
    c->prepared = false;
    if (!c->channel || msg_prepare_send(c->channel, &m, l->bundle_fd) < 0)
        return false;
    return c->role != ROLE_WORKER || send_listeners(c, l);
}

bool key_fits(const struct loaded_config *l, const struct msg_key_loaded *k, char *ret_why, size_t cap)
{
    struct buf why = buf_over(ret_why, cap);
    uint8_t expected[32];
    if (k->index >= l->config->certificate_count)
        return false;
    const struct config_certificate *c = &l->config->certificates[k->index];
    if (!k->ok) {
        buf_printf(&why, "the key of certificate %.*s (%.*s) cannot be used: %.*s%c", STR_ARG(c->name), STR_ARG(c->key_path),
                   (int)k->error_len, (const char *)k->error, 0);
        return false;
    }
    if (tls_public_sha256(c->chain_pem, expected) && memcmp(expected, k->public_sha256, 32) == 0)
        return true;
    buf_printf(&why, "the key %.*s does not belong to the certificate %.*s: they were mixed up, or one of them is older%c",
               STR_ARG(c->key_path), STR_ARG(c->chain_path), 0);
    return false;
}

/* ---- the transaction */

static void change_timed_out(struct timer *t)
{
    change_fail(container_of(t, struct master, change_timer), STR("a role did not answer within 30 seconds"));
}

static void claim_shared(struct master *m, const struct loaded_config *l)
{
    uint64_t oldest = m->current ? m->current->generation : l->generation;
    for (unsigned i = 0; i < l->config->cluster_count; i++)
        shared_cluster_claim(&m->shared, shared_cluster_key(l->config->clusters[i].name), l->generation, oldest);
    for (unsigned i = 0; i < l->config->upstream_count; i++) {
        const struct config_upstream *u = &l->config->upstreams[i];
        for (unsigned e = 0; e < u->endpoint_count; e++) {
            const struct config_endpoint *ep = &u->endpoints[e];
            uint32_t slot = shared_endpoint_claim(&m->shared, shared_endpoint_key(u->name, ep->host, ep->port), l->generation, oldest);
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

bool change_begin(struct master *m, uint64_t order_id)
{
    struct arena *problems = arena_new(8 << 20);
    struct str text = STR("out of memory");
    char why[1024] = "";
    if (m->change) {
        arena_free(problems);
        master_order_done(m, order_id, false, STR("another change of configuration is under way; try again in a moment"));
        return false;
    }
    struct loaded_config *l = problems ? loaded_config_new(m->config_path, &text, problems) : NULL;
    if (l && !listening_open(m, l->config, why, sizeof why)) {
        text = str_of(why);
        loaded_config_free(l);
        l = NULL;
    }
    if (!l) {
        keep_error(m, text);
        if (m->current)
            listening_close_unused(m, m->current->config);
        master_order_done(m, order_id, false, text);
        master_say("the configuration was not taken over:\n%.*s", STR_ARG(text));
        master_tell_config(m);
        arena_free(problems);
        return false;
    }
    arena_free(problems);
    l->generation = m->next_generation++;
    m->change = l;
    m->order_id = order_id;
    m->stage = CHANGE_KEYS;
    claim_shared(m, l);
    timer_init(&m->change_timer, change_timed_out);
    timer_set(m->loop, &m->change_timer, loop_now_ms(m->loop) + CHANGE_TIMEOUT_MS);
    struct child *signer = master_child(m, ROLE_SIGNER, 0);
    if (!signer || !send_keys(signer, l)) {
        change_fail(m, STR("a key file cannot be read, or the signer is not there"));
        return false;
    }
    if (l->config->certificate_count == 0)
        change_key_loaded(m, signer, NULL);
    return true;
}

static void to_all(struct master *m, bool commit)
{
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        struct child *c = &m->children[i];
        if (c->state != CHILD_UP || !c->channel)
            continue;
        struct msg_commit yes = {m->change->generation};
        struct msg_abort no = {m->change->generation};
        int error = commit ? msg_commit_send(c->channel, &yes, -1) : msg_abort_send(c->channel, &no, -1);
        if (error == 0 && commit)
            c->generation = m->change->generation;
    }
}

void change_fail(struct master *m, struct str why)
{
    if (!m->change)
        return;
    keep_error(m, why);
    to_all(m, false);
    timer_clear(m->loop, &m->change_timer);
    loaded_config_free(m->change);
    m->change = NULL;
    m->stage = CHANGE_NONE;
    if (m->current)
        listening_close_unused(m, m->current->config);
    master_say("the configuration was not taken over: %s", m->config_error);
    notify_systemd("READY=1");
    master_order_done(m, m->order_id, false, str_of(m->config_error));
    master_tell_config(m);
    if (!m->current) {
        m->exit_status = 1;
        master_stop(m, 1);
    }
}

static int64_t wall_ms(const struct master *m)
{
    return loop_wall_us(m->loop) / 1000;
}

static void commit(struct master *m)
{
    struct loaded_config *old = m->current;
    to_all(m, true);
    m->current = m->change;
    m->change = NULL;
    m->stage = CHANGE_NONE;
    m->config_error[0] = '\0';
    m->config_since_wall_ms = wall_ms(m);
    timer_clear(m->loop, &m->change_timer);
    listening_close_unused(m, m->current->config);
    bool workers_differ = m->worker_count != m->current->config->gate.workers;
    loaded_config_free(old);
    master_order_done(m, m->order_id, true,
                      workers_differ ? STR("the configuration is in force; the new number of workers counts from the next upgrade or restart")
                                     : STR("the configuration is in force"));
    master_tell_config(m);
    master_all_up(m);
}

static void prepare_all(struct master *m)
{
    m->stage = CHANGE_PREPARING;
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        struct child *c = &m->children[i];
        if (child_needs_config(c) && c->state == CHILD_UP && !send_configuration(c, m->change)) {
            change_fail(m, STR("a role could not be reached"));
            return;
        }
    }
}

bool change_key_loaded(struct master *m, struct child *signer, const struct msg_key_loaded *k)
{
    char why[1024];
    if (!m->change || m->stage != CHANGE_KEYS || (k && k->generation != m->change->generation))
        return true; /* of a change that was given up */
    if (k && !key_fits(m->change, k, why, sizeof why)) {
        change_fail(m, str_of(why));
        return true;
    }
    if (k)
        signer->keys_loaded++;
    if (signer->keys_loaded == m->change->config->certificate_count)
        prepare_all(m);
    return true;
}

bool change_prepared(struct master *m, struct child *c, const struct msg_prepared *p)
{
    if (!m->change || m->stage != CHANGE_PREPARING || p->generation != m->change->generation)
        return true;
    if (!p->ok) {
        change_fail(m, (struct str){(const char *)p->error, p->error_len});
        return true;
    }
    c->prepared = true;
    for (unsigned i = 0; i < CHILDREN_MAX; i++)
        if (child_needs_config(&m->children[i]) && m->children[i].state == CHILD_UP && !m->children[i].prepared)
            return true;
    commit(m);
    return true;
}
