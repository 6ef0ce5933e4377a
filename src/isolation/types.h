/* isolation/types.h - the state of isolation and the orders that change it: plain values without pointers, so
 * that a copy is a drill and a record is the whole of it.
 *
 * Times are microseconds since 1970 (UTC); 0 is none. A scope is the whole site (no name) or one cluster. */
#ifndef POLDER_ISOLATION_TYPES_H
#define POLDER_ISOLATION_TYPES_H

#include "base/addr.h"

enum isolation_level {
#define LEVEL(name, ...) ISOLATION_##name,
#include "isolation/levels.def"
#undef LEVEL
    ISOLATION_LEVEL_COUNT
};

enum isolation_stage {
#define STAGE(name, ...) ISOLATION_STAGE_##name,
#include "isolation/stages.def"
#undef STAGE
    ISOLATION_STAGE_COUNT
};

enum isolation_event {
    ISOLATION_EVENT_NONE,
#define EVENT(name, ...) ISOLATION_EVENT_##name,
#include "isolation/events.def"
#undef EVENT
    ISOLATION_EVENT_COUNT
};

enum isolation_refusal {
    ISOLATION_ACCEPTED,
#define REFUSAL(name, ...) ISOLATION_REFUSED_##name,
#include "isolation/refusals.def"
#undef REFUSAL
    ISOLATION_REFUSAL_COUNT
};

enum isolation_language { ISOLATION_NL, ISOLATION_EN, ISOLATION_FY, ISOLATION_LANGUAGES };

/* Who begins. */
enum isolation_direction { ISOLATION_IN = 1, ISOLATION_OUT = 2, ISOLATION_BOTH = 3 };

/* What a peer gets, each one stricter than the one before. */
enum isolation_answer {
    ISOLATION_PASS,
    ISOLATION_LIMITED,   /* with a rate */
    ISOLATION_READ_ONLY, /* safe methods only (RFC 9110 9.2.1) */
    ISOLATION_NOTICE,    /* the notice page and nothing else */
    ISOLATION_REFUSE,
};

enum isolation_peer {
    ISOLATION_UNKNOWN, /* suspects too */
    ISOLATION_KNOWN,
    ISOLATION_PARTNER,
    ISOLATION_INSIDE,
    ISOLATION_MANAGEMENT,
    ISOLATION_PEERS
};

enum {
    ISOLATION_NAME_MAX = 63,
    ISOLATION_REASON_MAX = 255,
    ISOLATION_LAYERS = 4,
    ISOLATION_SCOPES = 256, /* the site is one */
    ISOLATION_EXCEPTIONS = 128,
    ISOLATION_EXCEPTIONS_EACH = 8, /* of one partner: the filter has room for 16 rules at a network */
    ISOLATION_STANDINGS = 256,
    ISOLATION_ASKED = 16, /* exceptions in one order */
    ISOLATION_HASH_BYTES = 32,
};

struct isolation_name {
    uint8_t n;
    char p[ISOLATION_NAME_MAX];
};

struct isolation_reason {
    uint8_t n;
    char p[ISOLATION_REASON_MAX];
};

struct isolation_moment {
    int64_t us;
    bool is_sound; /* the clock is synchronised, or has run on without a step since it was: only then may time
                      open anything */
};

/* One level with its end. A later one lies over it; when it ends, what lies below holds again. */
struct isolation_layer {
    int64_t until_us; /* 0: no end */
    uint64_t order;   /* that put it there */
    uint64_t cut;     /* the order that cut the partners off; 0: they are not */
    uint8_t level;
};

struct isolation_stack { /* layer[0] has no end, ends come sooner from there on; the last one holds */
    struct isolation_layer layer[ISOLATION_LAYERS];
    uint8_t depth;
};

struct isolation_scope {
    struct isolation_name cluster;
    struct isolation_stack now;
    struct isolation_stack before; /* what comes back when nobody confirms */
    int64_t confirm_by_us;         /* 0: nothing is provisional */
    int64_t since_us;
    struct isolation_name who;
    struct isolation_reason reason;
};

struct isolation_exception {
    struct isolation_name cluster, partner;
    struct addr_prefix prefix; /* where has_prefix; else all networks of the partner */
    int64_t from_us, until_us; /* a clock that shows a moment before `from` ends it too */
    uint64_t order;            /* of the layer it belongs to: without it an exception is nothing */
    uint16_t port_from, port_to;
    uint8_t direction;
    bool has_prefix;
};

struct isolation_standing { /* a partner that has a stage of its own */
    struct isolation_name cluster, partner;
    int64_t since_us, alarm_us;
    uint64_t order;
    uint32_t rate_per_s;
    uint8_t stage;
};

struct isolation_order {
    uint8_t event; /* enum isolation_event */
    uint8_t level;
    bool partners_back; /* with a lower level below closed: every partner is reconnected at once, but for
                           those with an alarm */
    struct isolation_name who, role;
    struct isolation_name approved_by; /* of an order that took two: set by isolation_apply */
    struct isolation_name cluster;     /* none: the site */
    struct isolation_name partner;     /* of next, back, alarm, revoke */
    struct isolation_reason reason;
    int64_t until_us;
    int64_t confirm_by_us;
    uint32_t rate_per_s; /* of probation; 0: the configuration's */
    uint64_t proposal;   /* the order that approve and withdraw mean */
    unsigned asked_count;
    struct isolation_exception asked[ISOLATION_ASKED]; /* cluster, from_us and order are not looked at */
};

struct isolation_anchor { /* the last line of the journal that was known */
    uint64_t sequence;
    uint8_t hash[ISOLATION_HASH_BYTES];
};

struct isolation_state {
    uint64_t order; /* number of the last one */
    int64_t at_us;
    bool is_drill;
    bool is_half;     /* what the last order opens is not in it, see work.c */
    bool is_dropped;  /* the last order only opened and was dropped by a recovery */
    bool is_proposal; /* the last order waits for its second person and changed nothing else */
    struct isolation_anchor anchor;
    struct isolation_order last;
    struct isolation_order proposal; /* event NONE: nothing waits */
    uint64_t proposal_order;
    int64_t proposal_until_us;
    unsigned scope_count, exception_count, standing_count;
    struct isolation_scope scope[ISOLATION_SCOPES]; /* [0]: the site */
    struct isolation_exception exception[ISOLATION_EXCEPTIONS];
    struct isolation_standing standing[ISOLATION_STANDINGS];
};

#define ISOLATION_STR(text) ((struct str){(text).p, (text).n})

#endif
