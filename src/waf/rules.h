/* waf/rules.h - the compiled form of rules. Inside src/waf only; immutable once loaded. */
#ifndef POLDER_WAF_RULES_H
#define POLDER_WAF_RULES_H

#include "waf/operator.h"
#include "waf/slots.h"
#include "waf/transform.h"
#include "waf/waf.h"

enum variable {
#define VARIABLE(symbol, name, kind) VAR_##symbol,
#include "waf/variables.def"
#undef VARIABLE
    VARIABLE_COUNT
};

enum variable_kind { KIND_ONE, KIND_MANY, KIND_XPATH };

bool variable_find(struct str name, enum variable *ret); /* without case */
struct str variable_name(enum variable);
enum variable_kind variable_kind(enum variable);

enum { PHASES = 5 };

/* Text with %{...} in it: a list of parts, each either text or a value to put in. */
struct macro_part {
    struct str text; /* the part's text, or the selector of the variable */
    enum variable variable;
    uint32_t slot; /* of TX */
    bool is_value, has_selector;
};

struct macro {
    struct str source;
    const struct macro_part *parts;
    size_t count; /* 0: source is all there is */
};

/* Which values of a variable. */
enum selector { SELECT_ALL, SELECT_NAME, SELECT_REGEX, SELECT_XML_TEXT, SELECT_XML_ATTRIBUTES };

struct target {
    enum variable variable;
    enum selector selector;
    bool is_count;
    struct str name; /* as written */
    const struct rx *rx;
    uint32_t slot;         /* of TX:name */
    const uint64_t *taken; /* of TX:/regex/: the slots whose names it takes; NULL: not known */
};

struct targets {
    const struct target *items;
    size_t count;
};

/* A set of rules, as bits by index. */
struct rule_set {
    uint64_t *bits;
};

static inline bool rule_set_has(const struct rule_set *set, uint32_t rule)
{
    return set->bits[rule / 64] >> (rule % 64) & 1;
}

static inline void rule_set_put(struct rule_set *set, uint32_t rule)
{
    set->bits[rule / 64] |= 1ULL << (rule % 64);
}

/* These rules do not look at that target. */
struct target_exclusion {
    struct rule_set rules;
    struct target target;
};

/* Which rules an exclusion is about, before all rules are known. */
enum rule_choice { BY_ID, BY_TAG, BY_MESSAGE };

struct rule_selection {
    enum rule_choice by;
    uint64_t first, last; /* BY_ID */
    const struct rx *rx;  /* BY_TAG, BY_MESSAGE */
};

enum ctl {
#define CTL(symbol, name, value) CTL_##symbol,
#include "waf/ctl.def"
#undef CTL
    CTL_COUNT
};

enum body_processor {
    PROCESSOR_NONE,
    PROCESSOR_URLENCODED,
    PROCESSOR_MULTIPART,
    PROCESSOR_JSON,
    PROCESSOR_XML
};

/* What a rule does beyond deciding, in the order written. */
enum step_kind { STEP_SET, STEP_ADD, STEP_UNSET, STEP_EXPIRE, STEP_OPEN_COLLECTION, STEP_CTL };

struct step {
    enum step_kind kind;
    enum variable collection;
    struct macro name, value;
    uint32_t slot;  /* of a name of TX without macros */
    int64_t number; /* of a value without macros, as added or set */
    enum ctl ctl;
    int setting; /* of ctl: a switch, a waf_mode or a body_processor */
    struct rule_selection selection;
    struct target_exclusion exclusion; /* of ctl:ruleRemove...: its rules are known once all are loaded */
};

enum decision {
    DECIDE_UNSET,
    DECIDE_PASS,
    DECIDE_BLOCK,
    DECIDE_DENY,
    DECIDE_DROP,
    DECIDE_ALLOW,
    DECIDE_ALLOW_PHASE,
    DECIDE_ALLOW_REQUEST
};

struct transformations {
    const uint8_t *items;
    size_t count;
};

/* How the fast engine runs a link (plan.h). */
struct link_plan {
    uint8_t how;        /* enum link_how */
    uint16_t chain;     /* its transformations: plan.chains */
    uint16_t lane;      /* of its pattern */
    uint32_t pattern;   /* PATTERN_NONE: nothing tells beforehand whether it can match */
    uint32_t bad_kinds; /* @validateByteRange: only texts with these can match */
};

struct rule {
    uint64_t id;
    uint32_t index; /* of the chain's first rule */
    uint8_t phase, severity;
    bool is_marker, has_capture, has_multi_match, is_logged, is_audited, is_unconditional;
    bool keeps_matched; /* of a chain's first: something in it asks for MATCHED_VARS */
    enum decision decision;
    unsigned status;
    struct str marker;    /* its own name, or where skipAfter leads */
    struct rule *skip_to; /* the marker */
    struct targets targets, excluded;
    enum operator_kind op;
    bool is_negated;
    struct operator_compiled compiled;
    struct macro argument, message, data;
    struct transformations transformations;
    const struct step *steps;
    size_t step_count;
    const struct str *tags;
    size_t tag_count;
    struct str file;
    unsigned line;
    struct rule *next; /* in the chain */
    struct link_plan plan;
};

/* Regular expressions to be freed with what uses them. */
struct regex {
    struct rx *rx;
    struct str pattern;
    enum rx_kind kind;
    bool is_borrowed; /* of other rules, which live longer */
};

struct regexes {
    struct regex *items;
    size_t count, cap;
};

void regexes_free(struct regexes *);

struct waf_rules {
    struct arena *arena;
    struct rule **items; /* first rules of chains, and markers, in order */
    size_t count, cap;
    struct slots slots;
    struct regexes regexes;
    struct rx_room *room;
    struct plan *plan;
    struct unicode_map *unicode;
    enum waf_mode mode;
    struct waf_limits limits;
    bool limit_is_partial; /* of answers: what lies beyond the limit passes */
    uint32_t match_limit;
    uint64_t collection_timeout_s;
    struct str *response_types;
    size_t response_type_count;
};

struct waf_overlay {
    const struct waf_rules *rules;
    struct arena *arena;
    struct regexes regexes;
    struct waf_overlay_options options;
    struct rule_set removed;
    const struct target_exclusion *exclusions;
    size_t exclusion_count;
};

bool rule_selected(const struct rule *, const struct rule_selection *, struct rx_room *);
/* Memory for a set over all rules, empty. */
bool rule_set_init(struct rule_set *, const struct waf_rules *, struct arena *);
void rule_set_select(struct rule_set *, const struct waf_rules *, const struct rule_selection *);

bool target_names(const struct target *, struct str name,
                  struct rx_room *); /* does its selector take that name */

#endif
