/* tests/bench/admission_model.h - clients, a gate of several workers around src/admission, and an origin, in
 * virtual time. The same seed gives the same run to the last event. */
#ifndef POLDER_TESTS_ADMISSION_MODEL_H
#define POLDER_TESTS_ADMISSION_MODEL_H

#include "admission/admission.h"

enum { MODEL_GROUPS_MAX = 8 };

struct model_group { /* clients of one sort; times in ms of virtual time */
    const char *name;
    unsigned flow, flows; /* the first cluster, and over how many the group is spread (0: one) */
    unsigned kind;
    enum admission_class class;
    enum admission_criticality criticality;
    double rate_per_s;            /* open loop: requests come whatever happens; 0: closed loop */
    bool is_even;                 /* open loop: evenly spaced, not at random */
    unsigned clients;             /* closed loop: each has one request at a time */
    double think_ms;              /* closed loop: mean pause after an answer */
    double returns_ms;            /* closed loop: pause after a refusal */
    double patience_ms;           /* then the user gives up */
    double service_ms, jitter_ms; /* at the origin: fixed part, and mean of a random one */
    double other_share, other_ms; /* this share takes other_ms instead */
    double from_s, until_s;       /* when it comes; until 0: to the end */
    double mix_from_s;            /* other_share only from here */
};

struct model {
    const char *name;
    uint64_t seed;
    unsigned workers;
    unsigned servers;             /* of the origin: requests it works on at once; the others queue in it */
    bool is_shared;               /* it works on all at once, each the slower for it */
    double slope;                 /* every request it has makes all of them slower by this share */
    unsigned later_servers;       /* from later_s on; 0: no change */
    double later_s, later_slower; /* and all service times so much longer; 0: no change */
    double net_ms, wake_us;       /* gate to origin, one way; until a woken worker runs */
    double warm_s, end_s;         /* measured between these */
    struct model_group groups[MODEL_GROUPS_MAX];
};

struct model_result {
    struct {
        uint64_t offered, served, refused, gave_up; /* gave_up: also those served too late */
        double p50_ms, p99_ms;
    } groups[MODEL_GROUPS_MAX];
    double used;          /* share of the origin's capacity */
    double origin_p99_ms; /* of what the gate sent there */
    double limit_low, limit_high, limit_mean;
    uint64_t over_limit; /* moments with more at the origin than the limit in force or before it */
    uint64_t idle_waits; /* moments with a free slot and a waiting request after the gate had done its work */
    uint64_t wasted;     /* worked on by the origin for nobody */
};

void model_run(const struct model *, struct model_result *ret);

#endif
