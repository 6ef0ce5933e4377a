/* gate/filter_packets.c - the packet filter, driven: how it begins, what a configuration and a state of
 * isolation change in it. See filter_packets.h.
 *
 * Programs are loaded before the walls, as root; behind them the role can write tables and move links, and no
 * more. Where programs cannot be loaded the same policy goes to nftables. */
#include "gate/filter_packets.h"

#include "base/must.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { NFT_BYTES = 8 << 20, NAMES_BYTES = 400 };

void packets_notice(struct packets *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(p->why, sizeof p->why, format, args);
    va_end(args);
    filter_say("%s", p->why);
}

int64_t packets_wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1'000'000 + t.tv_nsec / 1000;
}

uint64_t packets_boot_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1'000'000'000u + (uint64_t)t.tv_nsec;
}

/* ---- begin and end */

/* What is first done here would need files behind the walls. */
static void warm_up(struct filter *f)
{
    static const char frame[60] = {[12] = 8, [14] = 0x45};
    struct filter_verdict verdict;
    struct filter_problem problem;
    struct filter_counts *counts = malloc(sizeof *counts);
    (void)filter_judge(f, FILTER_LEVEL_OPEN, FILTER_IN, (struct str){frame, sizeof frame}, &verdict,
                       &problem);
    (void)filter_samples_fd(f);
    if (counts)
        (void)filter_counts_read(f, counts);
    free(counts);
}

/* From here on by relative paths: /sys/fs/bpf is root's alone, what is ours in it is given to the role. */
static bool keep_pins(struct packets *p, struct filter_problem *problem)
{
    unsigned uid, gid;
    if (!role_process_identity(&p->role->process, &uid, &gid) || filter_pins_give(p->pins, uid, gid) != 0 ||
        chdir(p->pins) < 0 || !role_process_add_folder(&p->role->process, ".")) {
        (void)snprintf(problem->text, sizeof problem->text, "%s cannot be given to the filter's user: %s",
                       p->pins, strerror(errno));
        return false;
    }
    filter_pins_are_here(p->filter);
    p->pins[0] = '.';
    p->pins[1] = '\0';
    return true;
}

static bool open_programs(struct packets *p, struct filter_problem *problem)
{
    struct filter_options options = {.pins = p->pins, .level = FILTER_LEVEL_CLOSED, .set_sysctls = true};
    struct filter_problem no_queues = {""};
    int error = 0;
    /* An earlier role's: without CAP_DAC_OVERRIDE root opens only what is its own. */
    (void)filter_pins_give(p->pins, geteuid(), getegid());
    p->filter = filter_open(&options, problem, &error);
    if (!p->filter)
        return false;
    warm_up(p->filter);
    if (filter_accept_open(p->filter, &no_queues) != 0)
        packets_notice(p, "%s", no_queues.text);
    filter_forget_programs(p->filter);
    if (keep_pins(p, problem))
        return true;
    filter_close(p->filter);
    p->filter = NULL;
    return false;
}

/* The programs, or nftables, or neither, which is no reason not to start: the configuration is refused. */
static void begin(struct packets *p)
{
    struct filter_problem problem = {""};
    p->nft = filter_nft_open();
    p->samples = calloc(PACKETS_SAMPLES_MAX, sizeof *p->samples);
    if (open_programs(p, &problem)) {
        p->mode = PERIMETER_PROGRAMS;
    } else if (p->nft) {
        p->mode = PERIMETER_NFTABLES;
        packets_notice(
            p, "nftables filters instead of packet programs, which has no rates, cookies or classes: %s",
            problem.text);
    } else {
        p->mode = PERIMETER_FAILED;
        packets_notice(p, "nothing can be filtered: %s", problem.text);
    }
}

static char *text_of(struct str s)
{
    char *z = malloc(s.n + 1);
    if (z)
        memcpy(z, s.p, s.n);
    if (z)
        z[s.n] = '\0';
    return z;
}

/* Also where nothing is to be filtered any more, but programs are still attached. */
static bool is_wanted(const struct config *c, const char *pins)
{
    return c && (c->filter.interface_count || filter_pinned_interfaces(pins, NULL, 0));
}

struct packets *packets_new(struct filter_role *role)
{
    struct packets *p = calloc(1, sizeof *p);
    const struct config *c = role->starting;
    if (!p)
        return NULL;
    *p = (struct packets){.role = role, .names_fd = -1, .link_events.fd = -1, .level = FILTER_LEVEL_CLOSED};
    p->pins = text_of(c && c->filter.is_set ? c->filter.pins : STR("/sys/fs/bpf/polder"));
    if (!p->pins || !outside_open(p)) {
        packets_free(p);
        return NULL;
    }
    if (is_wanted(c, p->pins))
        begin(p);
    return p;
}

void packets_free(struct packets *p)
{
    if (!p)
        return;
    outside_close(p);
    filter_close(p->filter);
    filter_nft_close(p->nft);
    free(p->rules);
    free(p->samples);
    free(p->pins);
    free(p);
}

/* ---- configurations */

static bool check_start(const struct packets *p, const struct config *c, struct buf *problem)
{
    bool is_on = p->mode == PERIMETER_PROGRAMS || p->mode == PERIMETER_NFTABLES;
    if (c->filter.interface_count && p->mode == PERIMETER_FAILED)
        buf_str(problem, str_of(p->why));
    else if (c->filter.interface_count && !is_on)
        BUF_LIT(problem,
                "the packet filter was off when the gate started, and its programs are loaded at a start "
                "only: `polder upgrade` or a restart turns it on");
    else
        return true;
    return false;
}

/* Taking a filter off an interface opens it. */
static bool check_release(const struct packets *p, const struct config *c, struct buf *problem)
{
    if (!p->filter || !outside_unlisted(p, c) || filter_level(p->filter, 0) == FILTER_LEVEL_OPEN)
        return true;
    buf_printf(problem,
               "an interface that is filtered now is not in filter.interfaces any more, and the level is %s: "
               "leaving "
               "it out would open it. `polder isolate open` first",
               filter_level_word(filter_level(p->filter, 0)));
    return false;
}

bool packets_check(struct packets *p, const struct config *c, struct buf *problem)
{
    struct policy policy;
    struct filter_problem why = {""};
    struct isolation_rule *rules = NULL;
    size_t count = 0;
    const struct isolation_state *state = p->is_configured ? desk_state(p->role->desk) : NULL;
    if (!check_start(p, c, problem) || !check_release(p, c, problem) || !outside_check(p, c, problem) ||
        !policy_rules(c, state, &rules, &count, problem))
        return false;
    bool is_made = policy_make(c, rules, count, &policy, problem), ok = is_made;
    free(rules);
    if (is_made && filter_policy_check(&policy.p, &why) != 0) {
        buf_printf(problem, "the packet filter cannot use this: %s", why.text);
        ok = false;
    }
    if (is_made)
        policy_done(&policy);
    if (ok && !p->is_configured)
        p->config = c; /* its names are those of levels that the kernel kept */
    return ok;
}

/* ---- putting a state in force: programs */

/* Padding may make equal rules look different: then they are written once more. */
static bool rules_differ(const struct packets *p, const struct isolation_rule *rules, size_t count)
{
    return count != p->rule_count || (count && memcmp(rules, p->rules, count * sizeof *rules) != 0);
}

static bool apply(struct packets *p, const struct config *c, struct isolation_rule *take_rules, size_t count,
                  struct buf *problem)
{
    struct policy policy;
    struct filter_problem why = {""};
    bool ok = policy_make(c, take_rules, count, &policy, problem);
    if (ok && filter_apply(p->filter, &policy.p, &why) != 0) {
        buf_str(problem, str_of(why.text));
        ok = false;
    }
    if (ok || policy.lists)
        policy_done(&policy);
    free(ok ? p->rules : take_rules);
    if (ok) {
        p->rules = take_rules;
        p->rule_count = count;
    }
    return ok;
}

/* The words of site and clusters; only those that rise, or only those that fall. */
static void store_levels(struct packets *p, const struct config *c, const struct isolation_state *state,
                         bool rising)
{
    uint32_t wanted[FILTER_CLUSTERS] = {0};
    uint8_t *numbers = calloc(c->cluster_count + 1, 1);
    wanted[0] = state ? isolation_level(state, STR_NONE) : FILTER_LEVEL_CLOSED;
    if (numbers)
        policy_cluster_numbers(c, numbers);
    for (unsigned i = 0; numbers && i < c->cluster_count; i++)
        if (numbers[i])
            wanted[numbers[i]] = state ? isolation_level(state, c->clusters[i].name) : FILTER_LEVEL_CLOSED;
    for (unsigned number = 0; number < FILTER_CLUSTERS; number++) {
        uint32_t now = filter_level(p->filter, number);
        if (rising ? wanted[number] > now : wanted[number] < now)
            must(filter_level_set(p->filter, number, wanted[number]) == 0);
    }
    free(numbers);
}

/* fresh: the configuration is another one, so the policy is written in any case. */
static bool enforce_programs(struct packets *p, const struct config *c, const struct isolation_state *state,
                             bool fresh, struct buf *problem)
{
    struct isolation_rule *rules = NULL;
    size_t count = 0;
    store_levels(p, c, state, true);
    if (!policy_rules(c, state, &rules, &count, problem))
        return false;
    bool ok = true;
    if (fresh || rules_differ(p, rules, count))
        ok = apply(p, c, rules, count, problem);
    else
        free(rules);
    if (ok && fresh && !p->is_configured && !filter_is_adopted(p->filter))
        store_levels(p, c, state, false); /* nothing is attached yet that this could open */
    if (ok && fresh)
        outside_attach(p, c);
    if (ok)
        store_levels(p, c, state, false);
    return ok;
}

/* ---- nftables */

/* Those that no program filters. */
static void write_names(const struct packets *p, struct buf *out)
{
    for (unsigned i = 0; i < p->outside_count; i++)
        if (!p->outside[i].is_attached) {
            buf_str(out, str_of(p->outside[i].name));
            buf_char(out, ' ');
        }
}

static bool needs_nft(const struct packets *p)
{
    bool needs = false;
    for (unsigned i = 0; i < p->outside_count && !needs; i++)
        needs = !p->outside[i].is_attached;
    return needs;
}

static bool run_nft(struct packets *p, const struct filter_policy *policy, uint32_t level,
                    struct buf *problem)
{
    char names[NAMES_BYTES];
    struct buf list = buf_over(names, sizeof names);
    char *memory = malloc(NFT_BYTES);
    struct buf text = buf_over(memory, memory ? NFT_BYTES : 0);
    struct filter_problem why = {"nftables cannot be used, or the rules are too long for it"};
    write_names(p, &list);
    bool ok = memory && p->nft &&
              filter_nft_render(&text, policy, level, buf_text(&list), packets_boot_ns()) &&
              !buf_overflowed(&text) && filter_nft_run(p->nft, buf_text(&text), &why) == 0;
    free(memory);
    if (!ok)
        buf_str(problem, str_of(why.text));
    return ok;
}

static bool enforce_nft(struct packets *p, const struct config *c, const struct isolation_state *state,
                        struct buf *problem)
{
    struct isolation_rule *rules = NULL;
    struct policy policy;
    size_t count = 0;
    uint32_t level = state ? isolation_level(state, STR_NONE) : FILTER_LEVEL_CLOSED;
    if (!policy_rules(c, state, &rules, &count, problem))
        return false;
    bool ok = policy_make(c, rules, count, &policy, problem);
    free(rules);
    if (!ok)
        return false;
    ok = run_nft(p, &policy.p, level, problem);
    policy_done(&policy);
    if (ok)
        p->level = level;
    p->has_table = p->has_table || ok;
    return ok;
}

/* The boot unit's table, or one of a start without programs: the programs hold now. */
static void remove_nft(struct packets *p)
{
    char memory[200];
    struct buf text = buf_over(memory, sizeof memory);
    struct filter_problem why;
    filter_nft_render_removal(&text);
    if (p->nft && filter_nft_run(p->nft, buf_text(&text), &why) != 0)
        filter_say("a table of nftables may still filter beside the packet programs: %s", why.text);
    else
        p->has_table = false;
}

/* ---- both */

static bool turn_off(struct packets *p, struct buf *problem)
{
    bool ok = !p->filter || outside_release(p, problem);
    if (ok && p->has_table)
        remove_nft(p);
    p->outside_count = 0;
    return ok;
}

static bool enforce(struct packets *p, const struct config *c, const struct isolation_state *state,
                    bool fresh, struct buf *problem)
{
    bool ok = true;
    if (p->filter)
        ok = enforce_programs(p, c, state, fresh, problem);
    else if (fresh)
        outside_attach(p, c);
    if (needs_nft(p))
        ok = enforce_nft(p, c, state, problem) && ok;
    else if (p->has_table)
        remove_nft(p);
    p->is_open = !ok;
    return ok;
}

bool packets_configure(struct packets *p, const struct config *c, const struct isolation_state *state,
                       struct buf *problem)
{
    bool is_on = c->filter.interface_count, is_first = !p->is_configured, ok;
    p->config = c;
    p->has_table = p->has_table || (is_first && is_on); /* a boot unit may have left one */
    ok = is_on ? enforce(p, c, state, true, problem) : turn_off(p, problem);
    if (ok && is_on && p->filter) {
        ok = outside_release(p, problem);
        if (is_first)
            (void)filter_forget_others(p->filter);
    }
    p->is_configured = p->is_configured || ok;
    packets_report(p);
    return ok;
}

bool packets_enforce(struct packets *p, const struct isolation_state *state, struct buf *problem)
{
    bool is_on = p->config && p->config->filter.interface_count;
    return !is_on || enforce(p, p->config, state, false, problem);
}

bool packets_hold(const struct packets *p, struct buf *problem)
{
    if (p->is_open)
        BUF_LIT(problem,
                "an interface of filter.interfaces cannot be filtered, neither by packet programs nor by "
                "nftables; the lines above say why");
    return !p->is_open;
}

/* Only what an earlier process left: the level that a fresh table begins with says nothing. */
size_t packets_levels(const struct packets *p, struct isolation_found_level *ret, size_t room)
{
    size_t count = 0;
    if (!p->filter || !filter_is_adopted(p->filter) || !p->config)
        return 0;
    uint8_t *numbers = calloc(p->config->cluster_count + 1, 1);
    if (room > count)
        ret[count++] = (struct isolation_found_level){STR_NONE, (uint8_t)filter_level(p->filter, 0)};
    if (numbers)
        policy_cluster_numbers(p->config, numbers);
    for (unsigned i = 0; numbers && i < p->config->cluster_count; i++)
        if (numbers[i] && count < room)
            ret[count++] = (struct isolation_found_level){p->config->clusters[i].name,
                                                          (uint8_t)filter_level(p->filter, numbers[i])};
    free(numbers);
    return count;
}

void packets_listener(struct packets *p, const struct msg_queue *m, int fd)
{
    struct filter_problem why = {""};
    if (p->filter && filter_accepts(p->filter) &&
        filter_accept_add(p->filter, fd, m->slot, m->first, m->workers, &why) != 0)
        filter_say("%s", why.text);
    close(fd);
}
