/* waf/plan.h - the rules as the fast engine runs them: made once when they are loaded. Inside src/waf only.
 *
 * Each phase is an array of rows, in order. A row knows what can be told of its rule without looking at any
 * value: a comparison with a variable of TX, or a pattern that the prefilter looks for. What it cannot rule
 * out is run in full, so a row may err only towards running.
 *
 * Patterns that look at the same texts in the same phase form a lane, which is scanned when the first of its
 * rules is about to run. */
#ifndef POLDER_WAF_PLAN_H
#define POLDER_WAF_PLAN_H

#include "waf/chains.h"
#include "waf/prefilter.h"

#define PATTERN_NONE UINT32_MAX
enum { LINK_TX_MAX = 4 };

enum link_how {
    LINK_REFERENCE, /* as the reference does */
    LINK_ACTION,    /* SecAction: it matches */
    LINK_TX,        /* variables of TX by name, or whether there are such */
    LINK_TEXTS,     /* values that stay the same as long as the link runs */
};

/* Does this link's operator hold for a number, without which it cannot match? */
struct comparison {
    uint8_t op; /* operator_kind; OPERATOR_COUNT: nothing to compare */
    bool is_negated, is_count;
    uint32_t slot;       /* what is compared */
    uint32_t other_slot; /* with what: another variable, or */
    int64_t number;
};

struct row {
    const struct rule *rule;
    struct comparison comparison;
    uint32_t pattern; /* PATTERN_NONE: no pattern, or one that the prefilter cannot look for */
    uint16_t lane;
    uint32_t skip_to; /* the row after its marker */
};

/* What rules of a lane look at, and through which transformations. */
struct lane_target {
    struct target target;
    uint16_t *chains;
    uint32_t chain_count, chain_cap;
    byte_kinds kinds; /* a text with none of these comes out of all chains as it went in */
};

struct lane {
    uint8_t phase, level, kind;
    struct lane_target *targets; /* each once */
    uint32_t target_count, target_cap;
    uint32_t first_pattern, pattern_count;
    uint32_t first_word, word_count; /* where their bits lie in a bitmap over all patterns */
};

struct plan {
    struct chain *chains;
    uint32_t chain_count, chain_cap;
    struct lane *lanes;
    uint32_t lane_count, lane_cap;
    struct prefilter_pattern *patterns; /* by lane */
    uint32_t pattern_count, pattern_cap;
    struct row *rows[PHASES];
    uint32_t row_count[PHASES];
    struct prefilter *prefilter; /* NULL: none */
    struct prefilter_room *prefilter_room;
    struct room *rooms; /* that no transaction uses now */
    uint32_t room_count;
};

/* After the rules are known. False: no memory. */
bool plan_make(struct waf_rules *);
void plan_done(struct waf_rules *);

enum steadiness {
    VOLATILE, /* may change while a link runs */
    STEADY,   /* a number or the like, made anew each time somebody asks */
    LASTING,  /* texts that lie where they lie for the rest of the phase */
};

enum steadiness variable_steadiness(enum variable);

#endif
