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
    FILTER_OUTSIDE_MAX = 64,
    FILTER_SWEEP_KEYS = 1024,
};

enum filter_kept { /* what is pinned of a build's programs (keep.c) */
                   FILTER_KEPT_IN,
                   FILTER_KEPT_OUT,
                   FILTER_KEPT_JUDGE_IN,
                   FILTER_KEPT_JUDGE_OUT,
                   FILTER_KEPT_JUDGE_DATA,
                   FILTER_KEPT_ACCEPT,
                   FILTER_KEPT
};

struct filter {
    int program[2], judge[2]; /* [direction]; judge: -1 until somebody asks */
    int judge_data;
    uint32_t *judged_level; /* the judge's own variable, mapped */
    uint64_t build;         /* hash of the objects that programs come from */
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
    bool is_adopted;
    struct filter_accept *accept; /* NULL: not loaded */
    unsigned outside[FILTER_OUTSIDE_MAX];
    size_t outside_count;
    uint64_t swept[2]; /* keys of hosts4 and hosts6, as far as a sweep has come */
    bool is_sweeping[2];
};

[[gnu::format(printf, 3, 4)]] int filter_problem_set(struct filter_problem *, int error, const char *format,
                                                     ...);

/* load.c */
int filter_judge_load(struct filter *, struct filter_problem *);
int filter_judge_run(struct filter *, uint32_t level, enum filter_direction, const void *frame, size_t n);
const char *filter_pin_path(const struct filter *, const char *name, unsigned number, char *memory,
                            size_t cap);

/* keep.c */
void filter_keep_name(struct filter *, const void *object, size_t n); /* before all else */
/* Descriptors of those from first to last; false: not all of them are there, and none was opened. */
bool filter_keep_find(struct filter *, enum filter_kept first, enum filter_kept last, int ret[]);
void filter_keep_store(struct filter *, enum filter_kept, int fd);
void filter_keep_forget_others(const struct filter *);

/* accept.c */
const void *filter_accept_object(size_t *ret_n);

/* level.c */
void filter_wait_for_programs(const struct filter *); /* until every program that runs now has ended */
void filter_sysctls_find(struct filter *, bool may_set);
void filter_sysctls_close(struct filter *);

/* apply.c: the key of hosts4 or hosts6, and which of them it is. */
int filter_host_key(const struct filter *, const struct addr *, uint64_t *ret);

/* route.c */
int filter_route_socket(void);                                  /* negative errno */
unsigned filter_route_interface(int fd, const struct addr *to); /* 0: nobody knows */

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
