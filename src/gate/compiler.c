/* gate/compiler.c - makes the prefilter of the firewall's rules, which takes seconds, in a process that can
 * do nothing else: no network, no file; it gets the configuration's bundle, writes into the memfd it was
 * started with, and ends. It never sees a request. */
#include "gate/role_process.h"

#include "proxy/inspect_rules.h"
#include "sys/channel.h"
#include "sys/shm.h"
#include "tls/context.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    BUNDLE_LIMIT = 64 << 20,
    ERRORS_BYTES = 1 << 20,
    ARENA_BYTES = 256 << 20,
    NICE = 10,  /* requests go before */
    STEPS = 20, /* of progress that are told */
};

struct compiler {
    struct role_process process;
    size_t told;
};

static void progress(void *context, size_t done, size_t all)
{
    struct compiler *c = context;
    struct msg_compiling m = {(uint32_t)done, (uint32_t)all};
    size_t step = all ? done * STEPS / all : 0;
    if (step <= c->told || !c->process.master)
        return;
    c->told = step;
    (void)!msg_compiling_send(c->process.master, &m, -1); /* whoever reads it does so for people */
}

static bool write_all(struct str bytes)
{
    while (bytes.n) {
        ssize_t n = write(FD_RESULT, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = str_skip(bytes, (size_t)n);
    }
    return true;
}

/* Empty: it lies in the memfd. */
static struct str make(struct compiler *c, const struct inspect_rules *rules)
{
    struct arena *arena = arena_new(ARENA_BYTES);
    struct str bytes, error = STR_NONE;
    if (!arena || !waf_prefilter_compile(inspect_rules_of(rules), arena, progress, c, &bytes))
        error = STR("there is no memory for it");
    else if (!write_all(bytes))
        error = STR("there is no memory to hand it over");
    arena_free(arena);
    return error;
}

static struct inspect_rules *load(struct str bundle, struct arena *errors, struct str *ret_error)
{
    struct waf_problems problems;
    struct config_files files;
    struct config *config = config_from_bundle(bundle, errors, ret_error);
    struct inspect_rules *rules = NULL;
    if (config && config_bundle_files(bundle, errors, &files))
        rules = inspect_rules_load(config, &files, NULL, &problems);
    if (config && !rules)
        *ret_error = inspect_problem_text(&problems, errors);
    config_free(config);
    return rules;
}

static bool tell(struct compiler *c, const struct inspect_rules *rules, struct str error)
{
    struct msg_compiled m = {.ok = error.n == 0};
    struct str key = rules ? inspect_rules_key(rules) : STR_NONE;
    error = str_take(error, sizeof m.error);
    m.key_len = (uint16_t)key.n;
    m.error_len = (uint16_t)error.n;
    if (key.n)
        memcpy(m.key, key.p, key.n);
    if (error.n)
        memcpy(m.error, error.p, error.n);
    return c->process.master && msg_compiled_send(c->process.master, &m, -1) == 0;
}

static bool compile(struct compiler *c, int fd)
{
    struct str bundle, error = STR("no memory");
    struct arena *errors = arena_new(ERRORS_BYTES);
    bool mapped = errors && shm_map_sealed(fd, BUNDLE_LIMIT, &bundle);
    close(fd);
    struct inspect_rules *rules = mapped ? load(bundle, errors, &error) : NULL;
    if (rules)
        error = make(c, rules);
    bool told = tell(c, rules, error);
    inspect_rules_unref(rules);
    if (mapped)
        shm_unmap_sealed(bundle);
    arena_free(errors);
    return told;
}

static bool message_came(struct role_process *r, enum msg_number number, struct str bytes [[maybe_unused]],
                         int fd)
{
    if (number == MSG_COMPILE) {
        compile(container_of(r, struct compiler, process), fd);
        fd = -1;
    }
    if (fd >= 0)
        close(fd);
    loop_stop(r->loop); /* there is no other work */
    return true;
}

static bool prepare(struct role_process *r [[maybe_unused]])
{
    setpriority(PRIO_PROCESS, 0, NICE);
    return tls_init() == 0; /* the configuration is digested while it is read */
}

int compiler_main(int argc, char **argv)
{
    static struct compiler c;
    c.process = (struct role_process){.role = ROLE_COMPILER, .message = message_came};
    if (!role_process_begin(&c.process, argc, argv, SANDBOX_COMPILER, prepare))
        return 1;
    int error = loop_run(c.process.loop);
    role_process_end(&c.process);
    return error < 0;
}
