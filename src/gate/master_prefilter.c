/* gate/master_prefilter.c - the prefilter of the firewall's rules: found in the cache, or made by a compiler
 * (compiler.c) and kept there; handed to every worker as one sealed memfd that all of them share.
 *
 * A file of the cache is named after what is in it (waf_prefilter_key). It is written beside and renamed, so
 * a reader sees all of it or none; one that is damaged all the same is seen as such when it is opened, told,
 * and made anew. Workers go on without it until then: same verdicts, more work. */
#include "base/unconst.h"
#include "gate/master.h"

#include "sys/channel.h"
#include "sys/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PREFILTER_LIMIT = 64 << 20, FAILURES_MAX = 3 };

/* ---- the cache */

static bool cache_path(const struct loaded_config *l, const char *end, char path[PATH_MAX])
{
    struct buf b = buf_over(path, PATH_MAX);
    buf_printf(&b, "%.*s/%s%s%c", STR_ARG(l->config->waf.cache_directory), l->prefilter_key, end, 0);
    return !buf_overflowed(&b);
}

/* All of the file; empty: there is none, or it cannot be read. The memory is the caller's. */
static struct str read_cached(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct str bytes = STR_NONE;
    if (fd < 0)
        return STR_NONE;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= PREFILTER_LIMIT) {
        char *p = malloc((size_t)st.st_size);
        ssize_t n = p ? read(fd, p, (size_t)st.st_size) : -1;
        if (n > 0)
            bytes = (struct str){p, (size_t)n};
        else
            free(p);
    }
    close(fd);
    return bytes;
}

/* Do these rules take what is in the memfd? */
static bool fits(struct inspect_rules *rules, int fd)
{
    struct str bytes;
    if (!shm_map_sealed(fd, PREFILTER_LIMIT, &bytes))
        return false;
    struct inspect_prefilter *f = inspect_prefilter_new(inspect_rules_key(rules), bytes, shm_unmap_sealed);
    if (!f) {
        shm_unmap_sealed(bytes);
        return false;
    }
    bool ok = inspect_rules_use(rules, f);
    inspect_prefilter_unref(f);
    return ok;
}

void prefilter_find(struct loaded_config *l, struct inspect_rules *rules)
{
    char path[PATH_MAX];
    if (!rules)
        return;
    struct str key = inspect_rules_key(rules);
    memcpy(l->prefilter_key, key.p, key.n);
    struct str bytes = cache_path(l, "", path) ? read_cached(path) : STR_NONE;
    if (!bytes.n)
        return;
    int fd = shm_from_bytes("polder-prefilter", bytes);
    free(unconst(bytes.p));
    if (fd >= 0 && fits(rules, fd)) {
        l->prefilter_fd = fd;
        return;
    }
    if (fd >= 0)
        close(fd);
    master_say("the file %s in the cache is damaged, or of another version: it is made anew", path);
}

void prefilter_inherit(struct loaded_config *l, const struct loaded_config *from)
{
    if (l->prefilter_fd < 0 && from->prefilter_fd >= 0 && strcmp(l->prefilter_key, from->prefilter_key) == 0)
        l->prefilter_fd = fcntl(from->prefilter_fd, F_DUPFD_CLOEXEC, 3);
}

static bool write_file(const char *path, struct str bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0;
    while (ok && bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        ok = n > 0 || (n < 0 && errno == EINTR);
        bytes = n > 0 ? str_skip(bytes, (size_t)n) : bytes;
    }
    ok = ok && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* That it cannot be kept costs the next start some seconds of slower inspection, and nothing else. */
static void keep(const struct loaded_config *l)
{
    char folder[PATH_MAX], path[PATH_MAX], fresh[PATH_MAX];
    struct buf b = buf_over(folder, sizeof folder);
    struct str bytes;
    buf_printf(&b, "%.*s%c", STR_ARG(l->config->waf.cache_directory), 0);
    if (buf_overflowed(&b) || !cache_path(l, "", path) || !cache_path(l, ".new", fresh) ||
        !shm_map_sealed(l->prefilter_fd, PREFILTER_LIMIT, &bytes))
        return;
    mkdir(folder, 0700);
    if (!write_file(fresh, bytes) || rename(fresh, path) < 0) {
        master_say(
            "what was made out of the firewall's rules cannot be kept in %s: %s; the next start makes it "
            "again",
            folder, strerror(errno));
        unlink(fresh);
    }
    shm_unmap_sealed(bytes);
}

/* ---- workers */

bool prefilter_send(const struct child *worker, const struct loaded_config *l)
{
    struct msg_prefilter m = {.key_len = WAF_PREFILTER_KEY_BYTES};
    if (l->prefilter_fd < 0)
        return true;
    memcpy(m.key, l->prefilter_key, sizeof m.key);
    return worker->channel && msg_prefilter_send(worker->channel, &m, l->prefilter_fd) == 0;
}

static void send_to_workers(struct master *m)
{
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        struct child *c = &m->children[i];
        if (c->role == ROLE_WORKER && c->state == CHILD_UP && c->generation == m->current->generation &&
            !prefilter_send(c, m->current))
            child_give_up(c, "it cannot be reached");
    }
}

/* ---- the compiler */

static bool is_lacking(const struct master *m)
{
    return m->current && m->current->prefilter_key[0] && m->current->prefilter_fd < 0 && !m->stopping &&
           m->prefilter_failures < FAILURES_MAX;
}

void prefilter_need(struct master *m)
{
    struct child *c = master_child(m, ROLE_COMPILER, 0);
    if (c)
        child_stop(c, 0); /* it works on another configuration's; its end calls us again */
    if (c || !is_lacking(m))
        return;
    c = master_add_child(m, ROLE_COMPILER, 0);
    if (c)
        child_start(c);
}

bool prefilter_wants_compiler_back(struct master *m)
{
    m->prefilter_failures++;
    if (m->prefilter_failures == FAILURES_MAX)
        master_say("the firewall goes on without its prefilter, and is slower for it, until the next reload");
    return is_lacking(m);
}

int prefilter_result_fd(struct master *m)
{
    if (m->prefilter_fd >= 0)
        close(m->prefilter_fd);
    m->prefilter_fd = memfd_create("polder-prefilter", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return m->prefilter_fd;
}

bool prefilter_compiler_up(const struct child *c)
{
    const struct loaded_config *l = c->master->current;
    const struct msg_compile m = {.generation = l ? l->generation : 0};
    return l && msg_compile_send(c->channel, &m, l->bundle_fd) == 0;
}

bool prefilter_progress_came(const struct child *c, struct str bytes)
{
    char text[64];
    struct msg_compiling p;
    struct buf b = buf_over(text, sizeof text);
    if (!msg_compiling_decode(bytes, &p))
        return false;
    buf_printf(&b, "%u of %u patterns are compiled", p.done, p.all);
    master_tell_role(c->master, c, buf_text(&b));
    return true;
}

/* Nobody can write into it any more, the compiler neither. */
static bool seal(int fd)
{
    struct stat st;
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0 &&
           fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size <= PREFILTER_LIMIT;
}

bool prefilter_came(struct child *c, struct str bytes)
{
    struct msg_compiled r;
    struct master *m = c->master;
    if (!msg_compiled_decode(bytes, &r) || m->prefilter_fd < 0)
        return false;
    struct loaded_config *l = m->current;
    c->state = CHILD_STOPPING; /* it ends now */
    if (l->prefilter_fd >= 0 || r.key_len != WAF_PREFILTER_KEY_BYTES ||
        memcmp(l->prefilter_key, r.key, sizeof r.key) != 0)
        return true; /* of a configuration that is not in force any more */
    if (!r.ok || !seal(m->prefilter_fd)) {
        master_say("the firewall's prefilter could not be made, and without it inspection is slower: %.*s",
                   (int)r.error_len, (const char *)r.error);
        m->prefilter_failures = FAILURES_MAX; /* it would come to the same again */
        return true;
    }
    l->prefilter_fd = m->prefilter_fd;
    m->prefilter_fd = -1;
    keep(l);
    send_to_workers(m);
    return true;
}
