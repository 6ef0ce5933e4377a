/* isolation/isolation.h - graded isolation: who may pass, which orders change that, and how an order is
 * carried out so that no crash opens anything. Pure: time, inventory and policy are arguments; every function
 * works on values of the caller's. A state is 240 KB: keep it on the heap.
 *
 *   isolation_apply -> isolation_plan (for a dry run)
 *                   -> isolation_work_make -> the caller performs each step -> done
 *   isolation_tick, every second and before a boot unit uses a state
 *   isolation_judge for one peer, isolation_rules for the packet filter
 *
 * Invariants
 *  1. An order is looked at whole before anything changes: apply writes a new state or none.
 *  2. What a site or a cluster says holds for the cluster: the stricter answer of the two.
 *  3. At closed and sealed every partner is cut off by the order that raised the level, and stays cut off
 * when the level is lowered; each comes back by itself, or all with partners_back.
 *  4. An exception has an end, belongs to the layer it was ordered with, and is nothing at sealed.
 *  5. Nothing opens by time on a clock that is not sound, nor by a pause: only ends that were ordered do.
 *  6. At every instant, crashes included, what is enforced is at least as strict as what is recorded
 * (work.c). */
#ifndef POLDER_ISOLATION_ISOLATION_H
#define POLDER_ISOLATION_ISOLATION_H

#include "isolation/types.h"

/* ---- words (words.c) */

struct str isolation_level_word(unsigned level); /* "?" when it is none */
struct str isolation_level_text(unsigned level, enum isolation_language);
bool isolation_level_of(struct str word, uint8_t *ret);
bool isolation_level_cuts(unsigned level);
struct str isolation_stage_word(unsigned stage);
struct str isolation_stage_text(unsigned stage, enum isolation_language);
bool isolation_stage_of(struct str word, uint8_t *ret);
struct str isolation_event_word(unsigned event);
struct str isolation_event_text(unsigned event, enum isolation_language);
bool isolation_event_of(struct str word, uint8_t *ret);
struct str isolation_refusal_word(enum isolation_refusal);
struct str isolation_refusal_text(enum isolation_refusal,
                                  enum isolation_language); /* Dutch also for Frisian */
struct str isolation_effect_word(unsigned effect);
/* False: too long, not UTF-8, or with control characters. Empty is fine. */
bool isolation_name_set(struct isolation_name *, struct str);
bool isolation_reason_set(struct isolation_reason *, struct str);

/* ---- what the configuration says */

struct isolation_partner {
    struct str name;
    const struct addr_prefix *prefixes;
    size_t prefix_count;
};

struct isolation_session { /* one that is open now */
    struct str cluster;    /* none: not one's own */
    struct str partner;    /* of a peer of class partner */
    struct addr peer;
    uint16_t port; /* of the side that was called */
    enum isolation_peer class;
    enum isolation_direction direction;
};

struct isolation_inventory {
    const struct str *clusters;
    size_t cluster_count;
    const struct isolation_partner *partners;
    size_t partner_count;
    const struct isolation_session *sessions; /* for isolation_plan only */
    size_t session_count;
};

struct isolation_policy {
    bool two_to_close, two_to_open; /* a second person approves before an order closes, or opens, anything */
    int64_t approval_us;            /* how long an order waits for its second person; 0: one hour */
    int64_t exception_us;           /* the longest exception; 0: 30 days */
    int64_t stage_us;               /* a partner stays at a stage this long at least */
    int64_t quiet_us;               /* and after an alarm this long */
    uint32_t probation_per_s;       /* 0: 10 */
};

/* ---- orders (apply.c and the machines: scope.c, partner.c, desk.c) */

/* Nothing is isolated, order 0. For the installation and for tests: a state that is missing is not that. */
void isolation_state_init(struct isolation_state *ret, int64_t now_us);
/* A copy to practise on: its work writes only the journal, and it cannot become a record. */
void isolation_state_drill(const struct isolation_state *, struct isolation_state *ret);

/* The state after an order. When it is accepted, ret->is_proposal says whether it waits for a second person;
 * when it is refused, *ret means nothing. ret must not be old. */
enum isolation_refusal isolation_apply(const struct isolation_state *old, const struct isolation_order *,
                                       const struct isolation_inventory *, const struct isolation_policy *,
                                       struct isolation_moment now, struct isolation_state *ret);
/* What time does: exceptions and proposals end, levels end, what was not confirmed goes back. False: nothing
 * is due. What would open waits for a sound clock. *ret_next_us: when to ask again, 0: nothing has an end. */
bool isolation_tick(const struct isolation_state *old, struct isolation_moment now,
                    struct isolation_state *ret, int64_t *ret_next_us);

/* ---- who may (judge.c) */

struct isolation_question {
    struct str cluster, partner;
    const struct addr *address; /* NULL: exceptions for single networks do not count */
    enum isolation_peer class;
    enum isolation_direction direction; /* in or out */
    uint16_t port;
};

enum isolation_answer isolation_judge(const struct isolation_state *, const struct isolation_question *,
                                      int64_t now_us);
uint8_t isolation_level(const struct isolation_state *, struct str cluster); /* none: the site's */
/* Where a partner stands: the lower of site and cluster. *ret_rate_per_s (may be NULL): of its probation. */
uint8_t isolation_stage(const struct isolation_state *, struct str cluster, struct str partner,
                        uint32_t *ret_rate_per_s);

/* What the packet filter must know of the site beside the level: rules for networks, in the order in which
 * they are tried. Clusters are the workers' business. */
struct isolation_rule {
    struct addr_prefix prefix;
    int64_t until_us; /* 0: no end */
    uint16_t port_from, port_to;
    bool is_allow;
    uint8_t direction;  /* ISOLATION_IN or ISOLATION_OUT */
    uint8_t last_level; /* an allowance holds up to it */
};
/* How many there are; only the first `room` are written. notice_ports stay open for who is cut off. */
size_t isolation_rules(const struct isolation_state *, const struct isolation_inventory *,
                       const uint16_t *notice_ports, size_t notice_port_count, int64_t now_us,
                       struct isolation_rule *ret, size_t room);

/* ---- what an order would do (plan.c) */

enum isolation_change { ISOLATION_SAME, ISOLATION_OPENS, ISOLATION_TIGHTENS, ISOLATION_CUTS };

struct isolation_plan { /* arrays of the inventory's lengths, the caller's; NULL: not wanted */
    enum isolation_change *sessions, *partners, *clusters;
    size_t sessions_cut, partners_cut, clusters_cut;
};
/* A partner is cut when it can begin nothing any more, a cluster when strangers see only the notice. */
void isolation_plan(const struct isolation_state *old, const struct isolation_state *new,
                    const struct isolation_inventory *, int64_t now_us, struct isolation_plan *);

/* ---- carrying it out (work.c) and going on after a crash (recover.c) */

enum isolation_effect {
#define EFFECT(name, word) ISOLATION_EFFECT_##name,
#include "isolation/effects.def"
#undef EFFECT
    ISOLATION_EFFECTS
};

struct isolation_step {
    enum isolation_effect effect;
    const struct isolation_state *state;
};

enum { ISOLATION_STEPS = 10 };
struct isolation_work {
    struct isolation_step step[ISOLATION_STEPS];
    unsigned count;
    bool tightens, opens;
};

/* The steps from old to new, in their order. strict: room for a state, which must live as long as the work. A
 * step that fails ends the work: recover as after a crash. */
void isolation_work_make(const struct isolation_state *old, const struct isolation_state *new,
                         struct isolation_state *strict, struct isolation_work *ret);

enum isolation_recovery {
    ISOLATION_SETTLED,    /* the last order was carried out */
    ISOLATION_KEPT,       /* the kernel is stricter than the record: kept, and recorded */
    ISOLATION_RESUMED,    /* the last order was recorded, and is carried out now */
    ISOLATION_COMPLETED,  /* the same, and its line in the journal was missing */
    ISOLATION_HALVED,     /* what it closes is carried out, what it opens is dropped */
    ISOLATION_ABANDONED,  /* it only opened, and had not reached the record: dropped */
    ISOLATION_LOST,       /* the journal knows of a stricter record: closed, or as strict as that */
    ISOLATION_UNREADABLE, /* there is no record that can be read: closed, or as strict as the journal knows */
    ISOLATION_JOURNAL_SHORT, /* the record knows of orders that the journal does not: the record holds */
    ISOLATION_RECOVERIES
};
struct str isolation_recovery_text(enum isolation_recovery, enum isolation_language);

struct isolation_tail { /* what the journal says last, from isolation_journal_verify */
    bool has_order, is_done, tightens;
    uint64_t order;
    uint8_t site_level, scope_level; /* after that order */
    struct isolation_name cluster;   /* the scope of scope_level */
};

struct isolation_found_level { /* in the kernel; cluster none: the site */
    struct str cluster;
    uint8_t level;
};

/* state NULL: no record can be read. The state to go on with, never more open than the record, the journal or
 * (where the record is settled) the kernel; and the steps to perform. */
enum isolation_recovery isolation_recover(const struct isolation_state *, const struct isolation_tail *,
                                          const struct isolation_found_level *found, size_t found_count,
                                          int64_t now_us, struct isolation_state *ret,
                                          struct isolation_work *ret_work);

#endif
