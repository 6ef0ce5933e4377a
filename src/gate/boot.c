/* gate/boot.c - `polder-gate --boot`: the recorded level of isolation back in force before any interface is
 * up, by nftables, until the gate's own programs hold and take this table away. It starts nothing and leaves
 * nothing but the table.
 *
 * What always holds: what cannot be read closes. A configuration that cannot be read leaves only the link's
 * own protocols; a record that cannot be read, or one of whose slots is damaged, is level closed. Nothing
 * opens by time here, for the clock of a machine that has just started is not known to be right. */
#include "gate/filter_packets.h"
#include "gate/master.h"

#include "base/unconst.h"
#include "isolation/record.h"
#include "sys/durable.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BOOT_ARENA = 64 << 20, BOOT_TEXT = 8 << 20 };

struct boot {
    struct arena *arena;
    struct config_disk *disk;
    struct config *config; /* NULL: it cannot be read */
    struct isolation_state *state, *scratch2;
    enum isolation_choice choice;
    struct buf text;
};

static void read_config(struct boot *b, const char *path)
{
    struct config_problem *problems;
    unsigned count;
    struct str yaml, error = STR("no memory");
    b->disk = config_disk_new(str_of(path));
    if (b->disk && config_disk_open(b->disk, &yaml, &error)) {
        struct config_files files = config_disk_files(b->disk);
        b->config = config_parse(str_of(path), yaml, &files, b->arena, &problems, &count);
        error = STR("it has mistakes; `polder check` says which");
    }
    if (!b->config)
        master_say("the configuration %s cannot be used (%.*s): everything is closed, in both directions",
                   path, STR_ARG(error));
}

static struct str read_slot(int folder, const char *name)
{
    struct str text = STR_NONE;
    int fd = folder >= 0 ? durable_open_reader(folder, name) : folder;
    if (fd == -ENOENT)
        return STR_NONE;
    int error = fd < 0 ? fd : durable_read(fd, ISOLATION_RECORD_MAX, &text);
    if (fd >= 0)
        close(fd);
    return error ? STR("?") : text;
}

static void free_slot(struct str text)
{
    if (!str_eq(text, STR("?")))
        free(unconst(text.p));
}

static void read_record(struct boot *b)
{
    char path[300];
    struct buf name = buf_over(path, sizeof path);
    struct arena *scratch = arena_new(ISOLATION_RECORD_ARENA);
    struct timespec now;
    buf_printf(&name, "%.*s/isolation%c", STR_ARG(b->config->gate.state_directory), 0);
    int folder = buf_overflowed(&name) ? -ENAMETOOLONG : durable_open_folder(path);
    struct str slots[2] = {read_slot(folder, "record.0"), read_slot(folder, "record.1")};
    b->choice = ISOLATION_RECORD_NONE;
    if (scratch && folder >= 0)
        b->choice = isolation_record_choose(slots[0], slots[1], scratch, b->state).choice;
    clock_gettime(CLOCK_REALTIME, &now);
    struct isolation_moment moment = {(int64_t)now.tv_sec * 1'000'000 + now.tv_nsec / 1000, false};
    isolation_record_boot(b->choice, b->state, moment, b->scratch2);
    if (b->choice != ISOLATION_RECORD_FINE)
        master_say("the record of the level in %s %s: the level is at least closed", path,
                   b->choice == ISOLATION_RECORD_NONE ? "cannot be read" : "is damaged in part");
    free_slot(slots[0]);
    free_slot(slots[1]);
    if (folder >= 0)
        close(folder);
    arena_free(scratch);
}

static uint64_t boot_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1'000'000'000 + (uint64_t)t.tv_nsec;
}

static void write_interfaces(const struct config *c, struct buf *out)
{
    for (unsigned i = 0; i < c->filter.interface_count; i++) {
        buf_str(out, i ? STR(" ") : STR_NONE);
        buf_str(out, c->filter.interfaces[i]);
    }
}

/* False: it cannot be expressed, and then it has to be closed. */
static bool render_state(struct boot *b)
{
    struct isolation_rule *rules = NULL;
    struct policy policy = {0};
    char names[600], memory[400];
    struct buf interfaces = buf_over(names, sizeof names), problem = buf_over(memory, sizeof memory);
    size_t count = 0;
    write_interfaces(b->config, &interfaces);
    bool ok = policy_rules(b->config, b->state, &rules, &count, &problem) &&
              policy_make(b->config, rules, count, &policy, &problem);
    free(rules);
    if (!ok) {
        master_say("the level cannot be put into rules: %.*s", STR_ARG(buf_text(&problem)));
        return false;
    }
    ok = filter_nft_render(&b->text, &policy.p, isolation_level(b->state, STR_NONE), buf_text(&interfaces),
                           boot_ns()) &&
         !buf_overflowed(&b->text);
    policy_done(&policy);
    return ok;
}

static bool render_closed(struct boot *b)
{
    b->text.n = 0;
    b->text.overflowed = false;
    return filter_nft_render(&b->text, NULL, ISOLATION_CLOSED, STR_NONE, boot_ns()) &&
           !buf_overflowed(&b->text);
}

static int apply(struct boot *b)
{
    struct filter_problem problem = {""};
    bool is_known = b->config && render_state(b);
    if (is_known && filter_nft_apply(buf_text(&b->text), &problem) == 0) {
        master_say("level %.*s is in force until the gate has started",
                   STR_ARG(isolation_level_word(isolation_level(b->state, STR_NONE))));
        return 0;
    }
    if (is_known)
        master_say("%s", problem.text);
    if (render_closed(b) && filter_nft_apply(buf_text(&b->text), &problem) == 0)
        return is_known; /* what is known and could not be put in force is worth a failed unit; it is closed
                            meanwhile */
    master_say("the outside could not be closed before the network is up: %s", problem.text);
    return 1;
}

static bool begin(struct boot *b)
{
    *b = (struct boot){.arena = arena_new(BOOT_ARENA)};
    b->state = calloc(1, sizeof *b->state);
    b->scratch2 = calloc(2, sizeof *b->scratch2);
    char *memory = malloc(BOOT_TEXT);
    b->text = buf_over(memory, memory ? BOOT_TEXT : 0);
    return b->arena && b->state && b->scratch2 && memory;
}

int boot_main(const char *config_path)
{
    struct boot b;
    int status = 1;
    if (!begin(&b)) {
        master_say("no memory to read the level of isolation");
        return 1;
    }
    read_config(&b, config_path);
    if (b.config)
        read_record(&b);
    if (b.config && !b.config->filter.interface_count)
        status =
            0; /* there is no packet filter in this house; the gate itself begins with the recorded level */
    else
        status = apply(&b);
    config_free(b.config);
    config_disk_free(b.disk);
    arena_free(b.arena);
    free(b.text.p);
    free(b.state);
    free(b.scratch2);
    return status;
}
