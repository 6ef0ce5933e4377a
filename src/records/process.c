#include "records/process.h"

#include "records/access.h"

#include "sys/channel.h"
#include "sys/shm.h"
#include "sys/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MASTER_QUEUE = 256, BUNDLE_LIMIT = 1 << 30, PATH_BYTES = 512 };

/* ---- arguments */

static enum role role_named(struct str name)
{
    static const enum role roles[] = {ROLE_WORKER, ROLE_OWNER, ROLE_AUDIT, ROLE_EXPORTER};
    for (unsigned i = 0; i < sizeof roles / sizeof *roles; i++)
        if (str_eq(name, role_name(roles[i])))
            return roles[i];
    return ROLE_ANY;
}

bool process_start_parse(int argc, char *const argv[], struct process_start *ret)
{
    struct process_start start = {.role = ROLE_ANY, .user = STR("polder")};
    for (int i = 1; i < argc; i++) {
        struct str value = str_of(argv[i]);
        struct str key = str_cut(&value, '=');
        uint64_t number = 0;
        if (str_eq(key, STR("role")))
            start.role = role_named(value);
        else if (str_eq(key, STR("slot")) && str_parse_u64(value, &number) && number < 256)
            start.slot = (unsigned)number;
        else if (str_eq(key, STR("user")) && value.n)
            start.user = value;
        else
            return false;
    }
    if (start.role == ROLE_ANY)
        return false;
    *ret = start;
    return true;
}

bool process_argv(const struct process_start *start, struct buf *memory, char *ret_argv[PROCESS_ARGV_MAX])
{
    struct str role = role_name(start->role);
    ret_argv[0] = memory->p + memory->n;
    BUF_LIT(memory, "polder-records\0");
    ret_argv[1] = memory->p + memory->n;
    buf_printf(memory, "role=%.*s%c", STR_ARG(role), 0);
    ret_argv[2] = memory->p + memory->n;
    buf_printf(memory, "slot=%u%c", start->slot, 0);
    ret_argv[3] = memory->p + memory->n;
    buf_printf(memory, "user=%.*s%c", STR_ARG(start->user), 0);
    ret_argv[4] = NULL;
    return !buf_overflowed(memory);
}

void process_say(const struct process *p, const char *format, ...)
{
    char text[2048] = "";
    struct str role = role_name(p->role);
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args); /* what does not fit is cut off */
    va_end(args);
    fprintf(stderr, "polder-records: %.*s %u: %s\n", STR_ARG(role), p->start.slot, text);
}

/* ---- folders */

void records_folder(const struct config *c, unsigned cluster, struct buf *ret)
{
    buf_str(ret, c->records.data_directory);
    buf_char(ret, '/');
    buf_str(ret, c->records.clusters[cluster].name);
    buf_char(ret, '\0');
}

void records_audit_folder(const struct config *c, unsigned cluster, struct buf *ret)
{
    buf_str(ret, c->records.data_directory);
    buf_char(ret, '/');
    buf_str(ret, c->records.clusters[cluster].name);
    BUF_LIT(ret, "/audit\0");
}

unsigned process_owner_of(const struct config *c, unsigned cluster)
{
    return cluster % c->records.owners;
}

static bool wants_folder(const struct process *p, unsigned cluster)
{
    return p->role != ROLE_OWNER || process_owner_of(p->config, cluster) == p->start.slot;
}

/* ---- stores */

/* Connections to database servers, which no role can make inside its walls. */
static bool connect_stores(struct process *p)
{
    unsigned n = p->config->records.cluster_count;
    bool has_stores = p->role == ROLE_WORKER || p->role == ROLE_OWNER || p->role == ROLE_EXPORTER;
    p->store_links = calloc(n + 1, sizeof(struct store_link *));
    for (unsigned i = 0; p->store_links && has_stores && i < n; i++) {
        const struct config_records_cluster *c = &p->config->records.clusters[i];
        char text[300];
        struct buf problem = buf_over(text, sizeof text);
        if (!c->store.n || !wants_folder(p, i) ||
            store_link_open(c->store, &p->store_links[i], &problem) == STORE_FINE)
            continue;
        process_say(p, "the database of %.*s cannot be reached: %.*s", STR_ARG(c->name),
                    STR_ARG(buf_text(&problem)));
        return false;
    }
    return p->store_links != NULL;
}

enum store_result process_open_store(struct process *p, unsigned cluster, struct store_options *o,
                                     struct store **ret)
{
    char path[PATH_BYTES];
    struct buf b = buf_over(path, sizeof path);
    struct str store = p->config->records.clusters[cluster].store;
    if (!store.n) {
        records_folder(p->config, cluster, &b);
        return store_open((struct str){path, b.n - 1}, o, ret);
    }
    o->link = p->store_links[cluster];
    p->store_links[cluster] = NULL;
    return o->link ? store_open(store, o, ret) : STORE_OTHER;
}

/* A list of paths that ends in NULL; their memory lies behind it and is freed as one. NULL: no memory. */
static const char **paths_of(const struct process *p, const char *behind, bool is_of_sqlite)
{
    unsigned n = p->config->records.cluster_count, at = 0;
    size_t list_bytes = (n + 1) * sizeof(char *);
    const char **list = calloc(1, list_bytes + (size_t)n * PATH_BYTES);
    if (!list)
        return NULL;
    struct buf b = buf_over((char *)list + list_bytes, (size_t)n * PATH_BYTES);
    for (unsigned i = 0; i < n; i++) {
        if (!wants_folder(p, i) || (is_of_sqlite && p->config->records.clusters[i].store.n))
            continue;
        list[at++] = b.p + b.n;
        if (p->role == ROLE_AUDIT)
            records_audit_folder(p->config, i, &b);
        else
            records_folder(p->config, i, &b);
        b.n--; /* the NUL comes behind what follows */
        buf_printf(&b, "%s%c", behind, 0);
    }
    return list;
}

/* ---- messages of the master */

static void forget_arriving(struct process *p)
{
    duct_parts_close(&p->arriving);
}

static bool duct_part_came(struct process *p, struct str bytes, int fd)
{
    struct msg_duct m;
    if (!msg_duct_decode(bytes, &m) || m.side > 1 || m.part > 2) {
        close(fd);
        return false;
    }
    if (m.part == 0) {
        forget_arriving(p);
        p->arriving.memory = fd;
        return true;
    }
    if (p->arriving.bells[m.part - 1] >= 0) {
        close(fd);
        return false;
    }
    p->arriving.bells[m.part - 1] = fd;
    if (m.part == 1)
        return true;
    struct duct_parts whole = p->arriving;
    p->arriving = (struct duct_parts){-1, {-1, -1}};
    return p->link(p, (enum role)m.role, m.slot, whole, m.side);
}

static void stop(struct process *p, uint32_t drain_ms)
{
    if (p->stop)
        p->stop(p, drain_ms);
    else
        loop_stop(p->loop);
}

static bool stop_came(struct process *p, struct str bytes)
{
    struct msg_stop m;
    if (!msg_stop_decode(bytes, &m))
        return false;
    stop(p, m.drain_timeout_ms);
    return true;
}

static bool message_came(void *self, struct channel *channel [[maybe_unused]], struct str bytes, int fd)
{
    struct process *p = self;
    switch (msg_welcome(bytes, fd, ROLE_MASTER, p->role)) {
    case MSG_DUCT:
        return duct_part_came(p, bytes, fd);
    case MSG_LISTENER:
        if (p->listen)
            return p->listen(p, fd);
        break;
    case MSG_STOP:
        return stop_came(p, bytes);
    default:
        break;
    }
    if (fd >= 0)
        close(fd);
    return false;
}

static void master_gone(void *self, struct channel *channel)
{
    struct process *p = self;
    channel_free(channel);
    p->master = NULL;
    stop(p, 1);
}

static void signal_came(void *self, int number)
{
    if (number == SIGTERM)
        stop(self, 1);
}

bool process_make_guard(const struct process *p, struct rest_guard **ret)
{
    char text[512];
    struct buf problem = buf_over(text, sizeof text);
    if (records_guard_make(p->config, &problem, ret))
        return true;
    process_say(p, "access cannot be guarded: %.*s", STR_ARG(buf_text(&problem)));
    return false;
}

/* ---- the start */

static bool close_standard_streams(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool ok = fd >= 0 && dup2(fd, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0;
    if (fd > STDERR_FILENO)
        close(fd);
    return ok;
}

static bool read_bundle(struct process *p)
{
    struct str bundle, error = STR("out of memory");
    struct arena *errors = arena_new(1 << 20);
    if (errors && shm_map_sealed(FD_BUNDLE, BUNDLE_LIMIT, &bundle)) {
        p->config = config_from_bundle(bundle, errors, &error);
        shm_unmap_sealed(bundle);
    }
    if (!p->config)
        process_say(p, "the configuration cannot be read: %.*s", STR_ARG(error));
    arena_free(errors);
    close(FD_BUNDLE);
    return p->config != NULL;
}

static enum sandbox_profile profile_of(enum role role)
{
    return role == ROLE_WORKER  ? SANDBOX_RECORDS_WORKER
           : role == ROLE_OWNER ? SANDBOX_RECORDS_OWNER
           : role == ROLE_AUDIT ? SANDBOX_RECORDS_AUDIT
                                : SANDBOX_RECORDS_EXPORTER;
}

static bool enter(struct process *p)
{
    char memory[80];
    struct buf user = buf_over(memory, sizeof memory);
    bool is_audit = p->role == ROLE_AUDIT;
    /* A reader of a database in WAL mode takes part in its locking: it writes the index that all of them map,
     * and nothing else. */
    bool is_exporter = p->role == ROLE_EXPORTER, is_reader = p->role == ROLE_WORKER || is_exporter;
    const char **folders = paths_of(p, is_exporter ? "/export" : "", false),
               **files = is_reader ? paths_of(p, "/records.db-shm", true) : NULL,
               **readable = is_exporter ? paths_of(p, "", false) : NULL;
    buf_str(&user, p->start.user);
    buf_str(&user, is_audit ? STR("-audit") : STR("-records"));
    struct sandbox_options options = {.profile = profile_of(p->role),
                                      .user = buf_text(&user),
                                      .fallback_uid = is_audit ? AUDIT_UID : RECORDS_UID,
                                      .folders = folders,
                                      .files = files,
                                      .readable = readable};
    int error = !folders                ? -ENOMEM
                : buf_overflowed(&user) ? -ENAMETOOLONG
                                        : sandbox_enter(&options, &p->walls);
    free(folders);
    free(files);
    free(readable);
    if (error < 0)
        process_say(p, "the sandbox could not be raised (%s); it does not run without it", strerror(-error));
    return error == 0;
}

static bool say_hello(struct process *p)
{
    struct channel_events events = {message_came, master_gone, p};
    struct msg_hello hello = {.role = (uint8_t)p->role,
                              .slot = (uint8_t)p->start.slot,
                              .pid = (uint32_t)getpid(),
                              .walls = p->walls};
    p->master = channel_new(p->loop, FD_CHANNEL, MASTER_QUEUE, events);
    return p->master && msg_hello_send(p->master, &hello, -1) == 0;
}

/* Each request takes memory and gives it back: without this a tenth of all system calls would move the end of
 * the heap up and down. What is larger than the threshold still goes back at once. */
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 8 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    mallopt(M_TOP_PAD, 1 << 20);
}

bool process_begin(struct process *p, int argc, char **argv, bool (*prepare)(struct process *))
{
    /* What a terminal sends to everybody in the foreground is the master's business. */
    static const int caught[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, 0};
    p->arriving = (struct duct_parts){-1, {-1, -1}};
    if (!process_start_parse(argc, argv, &p->start) || !close_standard_streams() || !(p->loop = loop_new()) ||
        !(p->signals = signals_new(p->loop, caught, signal_came, p))) {
        process_say(p, "it could not start: out of memory, or not started by the master");
        return false;
    }
    umask(0077);
    keep_memory();
    return read_bundle(p) && connect_stores(p) && enter(p) && (!prepare || prepare(p)) && say_hello(p);
}

void process_end(struct process *p)
{
    forget_arriving(p);
    channel_free(p->master);
    signals_free(p->signals);
    config_free(p->config);
    loop_free(p->loop);
}
