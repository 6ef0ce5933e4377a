/* gate/filter_packets.h - what the files that drive src/filter share. Internal to the filter role.
 *
 *   filter_packets.c   begin and end, configurations, levels
 *   filter_policy.c    a configuration and a state of isolation as a policy
 *   filter_outside.c   interfaces: found, attached, found again when they come back
 *   filter_classes.c   classes of single addresses: earned, lost, ordered
 *   filter_cuts.c      sessions, counts, samples
 *   filter_ask.c       questions and orders of people
 *
 * Invariants
 *  1. What tightens is in the kernel before what opens: words that rise, then rules, then words that fall.
 *  2. A class that a worker reports never changes what is listed, what a person ordered, or an upstream; and
 *     whoever is known stays known: many share an address, and the workers judge each of them.
 *  3. Nothing opens because something failed: what could not be put in force leaves what was there. */
#ifndef POLDER_GATE_FILTER_PACKETS_H
#define POLDER_GATE_FILTER_PACKETS_H

#include "filter/filter.h"
#include "gate/filter_role.h"

enum {
    PACKETS_RULES_MAX = 4096,
    PACKETS_OUTSIDE_MAX = PERIMETER_INTERFACES_MAX,
    PACKETS_ORDERS_MAX = 256,   /* addresses that people blocked, as far as this process remembers */
    PACKETS_SAMPLES_MAX = 4096, /* kept for a capture */
};

struct outside {
    char name[16]; /* ends in a NUL */
    unsigned index;
    struct filter_attachment how;
    bool is_attached;
};

struct ordered_block { /* by a person */
    struct addr address;
    int64_t until_us; /* wall clock */
    uint32_t uid;
    char reason[120]; /* ends in a NUL */
};

struct bucket { /* of what a worker may report */
    uint64_t at_ms;
    uint32_t tokens;
};

struct packets {
    struct filter_role *role;
    struct filter *filter;  /* NULL: no programs */
    struct filter_nft *nft; /* NULL: no nftables */
    enum perimeter_mode mode;
    char why[240];
    char *pins;   /* that this process began with; NULL: it was off */
    int names_fd; /* to ask for the number of an interface; -1: none */
    struct io link_events;
    struct outside outside[PACKETS_OUTSIDE_MAX];
    unsigned outside_count;
    const struct config *config; /* in force; before that, the first that was checked */
    bool is_configured;
    bool has_table;               /* of nftables */
    bool is_open;                 /* an interface that should be filtered is not */
    struct isolation_rule *rules; /* of the state in force */
    size_t rule_count;
    uint32_t level; /* in force, where there are no programs that know */
    struct bucket buckets[SHARED_WORKERS_MAX];
    uint64_t ignored; /* reports of workers beyond what they may */
    struct ordered_block blocks[PACKETS_ORDERS_MAX];
    unsigned block_count;
    struct filter_sample *samples; /* PACKETS_SAMPLES_MAX; sample k lies at k % that */
    uint64_t sample_end;
};

void packets_notice(struct packets *, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t packets_wall_us(void);
uint64_t packets_boot_ns(void);

/* ---- filter_policy.c */
struct policy {
    struct filter_policy p; /* points into the rest */
    struct filter_list *lists;
    struct filter_order *orders;
    struct filter_address *addresses;
    struct filter_port *ports;
};

/* rules may be none. False: no memory, or more clusters with addresses than there are levels. */
bool policy_make(const struct config *, const struct isolation_rule *, size_t count, struct policy *ret,
                 struct buf *problem);
void policy_done(struct policy *);
/* The rules of a state; the caller frees them. False: no memory, or too many. */
bool policy_rules(const struct config *, const struct isolation_state *, struct isolation_rule **ret,
                  size_t *ret_count, struct buf *problem);
/* The number of a cluster in the filter's table of levels; 0: it has no address of its own there. Depends on
 * names alone, so that a level that the kernel kept is that of the same cluster after a restart. */
void policy_cluster_numbers(const struct config *, uint8_t *ret_numbers);

/* ---- filter_outside.c */
bool outside_open(struct packets *); /* before the walls */
void outside_close(struct packets *);
/* False: one of them is not there. */
bool outside_check(const struct packets *, const struct config *, struct buf *problem);
/* Takes the list of the configuration and attaches what is new on it. What cannot be is nftables' business.
 */
void outside_attach(struct packets *, const struct config *);
/* Takes the programs off what is not on the list any more. Opens: only at level open. */
bool outside_release(struct packets *, struct buf *problem);
unsigned outside_unlisted(const struct packets *, const struct config *); /* attached, and not on the list */

/* ---- filter_classes.c */
bool classes_is_needed(const struct packets *, const struct addr *, const char **ret_why); /* never blocked */
bool classes_block(struct packets *, uint32_t uid, const struct addr *, uint64_t for_s, struct str reason,
                   const char **ret_why);
bool classes_unblock(struct packets *, const struct addr *, const char **ret_why);

/* ---- filter_cuts.c */
void samples_take(struct packets *);

#endif
