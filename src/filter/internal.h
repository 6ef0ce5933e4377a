/* filter/internal.h - what the files of this folder share. */
#ifndef POLDER_FILTER_INTERNAL_H
#define POLDER_FILTER_INTERNAL_H

#include "filter/filter.h"

struct polder_filter; /* the generated skeleton; only load.c looks into it */
struct ring_buffer;

/* Every table of maps.bpf.h. TABLE(name) */
#define FILTER_TABLES(TABLE)                                                                                 \
    TABLE(control)                                                                                           \
    TABLE(settings)                                                                                          \
    TABLE(levels)                                                                                            \
    TABLE(class16)                                                                                           \
    TABLE(class24)                                                                                           \
    TABLE(gate6)                                                                                             \
    TABLE(nets4)                                                                                             \
    TABLE(nets6)                                                                                             \
    TABLE(hosts4)                                                                                            \
    TABLE(hosts6)                                                                                            \
    TABLE(rules)                                                                                             \
    TABLE(own)                                                                                               \
    TABLE(ports)                                                                                             \
    TABLE(udp_seen)                                                                                          \
    TABLE(fragments)                                                                                         \
    TABLE(counts)                                                                                            \
    TABLE(own_counts)                                                                                        \
    TABLE(samples)

struct filter_fds {
#define TABLE(name) int name;
    FILTER_TABLES(TABLE)
#undef TABLE
};

enum {
    FILTER_CELLS16 = 65'536,
    FILTER_CELLS24 = 65'536 * 256,
    FILTER_CELLS6 = FILTER_GATE_ROWS * 256,
    FILTER_PORT_BYTES = 2 * 65'536 * 2,
    FILTER_SETS_HALF = FILTER_SETS / 2,
};

struct filter {
    struct polder_filter *programs, *judge; /* judge: NULL until somebody asks */
    struct filter_fds fd;
    char *pins; /* NULL: nothing is pinned */
    /* Tables mapped into our memory: a store is in force at once. */
    struct filter_control *control;
    struct filter_settings *settings;
    uint8_t *class16, *class24, *gate6;
    uint16_t *ports;
    struct ring_buffer *ring;
    int syncookies_fd; /* the sysctl; -1: not ours to set */
    int expedite_fd;   /* /sys/kernel/rcu_expedited; -1: not ours to set */
    bool stamps;       /* tcp_timestamps is 2 */
    uint8_t wscale;    /* what this kernel announces */
};

[[gnu::format(printf, 3, 4)]] int filter_problem_set(struct filter_problem *, int error, const char *format,
                                                     ...);

/* load.c */
int filter_judge_load(struct filter *, struct filter_problem *);
int filter_judge_run(struct filter *, uint32_t level, enum filter_direction, const void *frame, size_t n);
const char *filter_pin_path(const struct filter *, const char *name, unsigned number, char *memory,
                            size_t cap);

/* level.c */
void filter_wait_for_programs(const struct filter *); /* until every program that runs now has ended */
void filter_sysctls_find(struct filter *, bool may_set);
void filter_sysctls_close(struct filter *);

/* compile.c: a policy as tables. Pure. */
struct filter_net_row {
    struct addr_prefix prefix;
    struct filter_net net; /* .rules counts from 1 within its half; 0: none */
};

struct filter_tables {
    uint8_t *class24, *gate6; /* as the programs read them, without FILTER_CELL_HOST */
    struct filter_net_row *nets;
    size_t net_count;
    struct filter_rule_set *sets; /* [0] is not used */
    size_t set_count;
    bool always_nets6;
};

int filter_compile(const struct filter_policy *, struct filter_tables *ret, struct filter_problem *);
void filter_tables_done(struct filter_tables *);
static inline bool filter_prefix_is_v4(const struct addr_prefix *p)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return p->bits >= 96 && memcmp(p->ip, mapped, 12) == 0;
}
uint32_t filter_gate6_of(const uint8_t ip[16], unsigned bits); /* 32 or 48 */

#endif
