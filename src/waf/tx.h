/* waf/tx.h - one transaction, as the parts of the evaluator see it. Inside src/waf only. */
#ifndef POLDER_WAF_TX_H
#define POLDER_WAF_TX_H

#include "waf/fhir.h"
#include "waf/rules.h"
#include "waf/text.h"
#include "waf/vars.h"

/* What a multipart body did wrong. MULTIPART_STRICT_ERROR is any of the first ones, or that it could not be
 * read to its end. */
enum multipart_flag {
    MULTIPART_BOUNDARY_QUOTED = 1 << 0,
    MULTIPART_BOUNDARY_WHITESPACE = 1 << 1,
    MULTIPART_DATA_BEFORE = 1 << 2,
    MULTIPART_DATA_AFTER = 1 << 3,
    MULTIPART_HEADER_FOLDING = 1 << 4,
    MULTIPART_LF_LINE = 1 << 5,
    MULTIPART_MISSING_SEMICOLON = 1 << 6,
    MULTIPART_INVALID_QUOTING = 1 << 7,
    MULTIPART_INVALID_PART = 1 << 8,
    MULTIPART_INVALID_HEADER_FOLDING = 1 << 9,
    MULTIPART_FILE_LIMIT = 1 << 10,
    MULTIPART_BROKEN = 1 << 13,
    MULTIPART_STRICT = ((1 << 11) - 1) | MULTIPART_BROKEN,
    MULTIPART_CRLF_LINE = 1 << 11, /* a line ended in CR LF; wrong only beside one that ended in LF */
    MULTIPART_UNMATCHED_BOUNDARY = 1 << 12,
};

/* What a body's parser found. Lists grow in the transaction's arena. */
struct body {
    enum body_processor processor;
    bool was_parsed, has_error;
    struct str error;
    unsigned multipart;
    struct pairs args;
    struct pairs files;       /* name of the part, name of the file */
    struct pairs file_sizes;  /* name of the part, size */
    struct pairs part_fields; /* name of the part, "Header: value" */
    struct str multipart_name, multipart_filename;
    uint64_t file_bytes;
    struct str xml_text;
    bool has_xml;
    struct pairs xml_attributes;
    struct fhir_values fhir;
    unsigned bad_encodings;
    enum waf_limit limit;
};

/* A parser reads bytes and fills in body; it says what it could not read in body->error. */
struct body_input {
    struct str bytes, content_type;
    const struct waf_limits *limits;
    size_t args_before; /* already there, from the query */
    enum waf_profile profile;
    const struct waf_types *types; /* NULL: R4's */
    struct arena *arena;
    struct waf_tx *tx; /* asked to pause between arguments; may be NULL */
};

/* What a parser holds beyond the arena while it may pause: who paused may never go on, and waf_tx_free gives
 * it back. One at a time. */
void body_hold(const struct body_input *, void *held, void (*release)(void *));
void body_release(const struct body_input *, void *held, void (*release)(void *));

void body_parse_urlencoded(const struct body_input *, struct body *);
void body_parse_multipart(const struct body_input *, struct body *);
void body_parse_json(const struct body_input *, struct body *);
void body_parse_xml(const struct body_input *, struct body *);
/* One more argument. False: one too many, or no memory; both are noted in body. */
bool body_add_arg(const struct body_input *, struct body *, struct str name, struct str value);
void body_fail(struct body *, const struct body_input *, const char *what);
/* "a=1&b=2" */
void form_parse(const struct body_input *, struct body *, struct str text);

/* A record of a store: what a collection such as IP holds for one key. */
struct store_record;

struct collection {
    enum variable variable;
    struct store_record *record; /* NULL: not opened */
};

enum { COLLECTIONS = 5 };

/* One value of a target. Its name in full is "ARGS:name", or "REQUEST_URI" when it has none. */
struct value {
    enum variable variable;
    bool is_count, has_name;
    bool is_fhir_text; /* !FHIR_TEXT takes it away, under whatever variable it comes */
    struct str name, text;
};

struct values {
    struct value *items;
    size_t n, cap;
};

struct room;

struct waf_tx {
    const struct waf_rules *rules;
    const struct waf_overlay *overlay;
    const struct waf_request *request;
    struct waf_store *store;
    struct arena *arena, *scratch;

    enum waf_mode mode; /* may be changed by ctl */
    bool request_body_access, response_body_access, force_request_body;
    enum body_processor wanted_processor;

    struct str path, query, uri, basename;
    bool has_query, has_basename;
    struct pairs fields, cookies, get;
    struct body body;       /* its args are the ones of the body */
    struct body query_body; /* only its args count: those of the query */
    struct str request_bytes;
    bool has_request_bytes;
    size_t body_length;

    const struct waf_response *response;
    struct pairs response_fields;
    struct str response_type, response_bytes;
    bool has_response_bytes;
    uint64_t duration_us;

    struct vars vars; /* TX */
    struct collection collections[COLLECTIONS];
    struct pairs matched, matched_before; /* full name and value: of this link, of the one before */
    struct value last;                    /* what matched last; its text is the one that matched */
    bool has_last;
    char *kept; /* where last.text lies when nobody else keeps it */
    size_t kept_cap;
    unsigned highest_severity;
    bool hit_regex_limit;

    struct rule_set removed;
    struct target_exclusion *exclusions;
    size_t exclusion_count, exclusion_cap;

    const struct rule *head; /* of the chain that runs: what %{RULE.id} means */
    uint8_t phase;
    bool is_decided, is_allowed, is_request_allowed, is_phase_allowed;
    struct waf_verdict verdict;
    struct waf_match *matches;
    size_t match_cap;

    struct room *room; /* of the fast engine */
    struct {
        void *p;
        void (*release)(void *);
    } held; /* by a body's parser */
    waf_pause_fn *pause;
    void *pause_context;
    uint32_t work; /* since the last pause */
};

/* What a variable is: one text, or lists of pairs of which values or names count. */
struct view {
    struct str one;
    bool is_one, is_absent, takes_names;
    struct pairs lists[3]; /* of arguments: the query's, the body's, and FHIR's (fhir.h) */
};

struct view collect_view(struct waf_tx *, const struct target *);
/* Taken out by the link's own "!", or from outside for the chain's first rule. */
bool collect_excludes(struct waf_tx *, const struct rule *head, const struct rule *link,
                      const struct value *);
struct value collect_count(struct waf_tx *, const struct target *);
/* All values a link of a chain looks at, exclusions applied; in the scratch. */
void collect_values(struct waf_tx *, const struct rule *head, const struct rule *link, struct values *ret);
/* One value, for a macro; false: there is none. selector may be { NULL, 0 }. */
bool collect_one(struct waf_tx *, enum variable, struct str selector, struct str *ret);
struct str value_full_name(const struct value *, struct arena *, size_t most);

/* In the arena given, unless there is nothing to put in; at most so many bytes of it. */
struct str macro_put_in(struct waf_tx *, const struct macro *, struct arena *, size_t most);

static inline struct str macro_expand_some(struct waf_tx *tx, const struct macro *macro, struct arena *arena,
                                           size_t most)
{
    return macro->count ? macro_put_in(tx, macro, arena, most) : str_take(macro->source, most);
}

static inline struct str macro_expand(struct waf_tx *tx, const struct macro *macro, struct arena *arena)
{
    return macro->count ? macro_put_in(tx, macro, arena, SIZE_MAX) : macro->source;
}

/* TX and the collections of the store, by any name. */
void tx_set(struct waf_tx *, enum variable collection, struct str name, struct str value);
void tx_unset(struct waf_tx *, enum variable collection, struct str name);
void tx_expire(struct waf_tx *, enum variable collection, struct str name, int64_t seconds);
/* At least those that the target takes, in the order they were set; for TX made anew in the scratch. */
struct pairs tx_list(struct waf_tx *, const struct target *);
int64_t tx_number(struct waf_tx *, enum variable collection, struct str name); /* 0: not set */
void tx_open_collection(struct waf_tx *, enum variable collection, struct str key);
void tx_pin(struct waf_tx *); /* what the cluster sets and no rule may change */

void steps_run(struct waf_tx *, const struct rule *link);

/* What follows when a value matches: both engines say the same. */
bool outcome_is_final(const struct waf_tx *); /* only phase 5 goes on, and it decides nothing */
void outcome_captures(struct waf_tx *, const struct operator_outcome *);
/* lasts: the text lives as long as the transaction. */
void outcome_match(struct waf_tx *, const struct rule *link, const struct value *, struct str text,
                   bool lasts);
void outcome_begin_chain(struct waf_tx *, const struct rule *head);
void outcome_begin_link(struct waf_tx *);

static inline bool is_removed(const struct waf_tx *tx, const struct rule *rule)
{
    return rule_set_has(&tx->removed, rule->index) || rule_set_has(&tx->overlay->removed, rule->index);
}

bool is_phase_over(const struct waf_tx *);
void note_memory(struct waf_tx *);

/* The reference: all of a phase; one link of a chain; one value (did it match?). The fast engine uses the
 * latter for what is too rare to be made fast. */
void reference_run_phase(struct waf_tx *, uint8_t phase);
bool reference_run_link(struct waf_tx *, const struct rule *link);
bool reference_try_value(struct waf_tx *, const struct rule *link, const struct value *);
void fast_run_phase(struct waf_tx *, uint8_t phase);

/* Work in nanoseconds, roughly; now and then the caller of the transaction is asked to do something else.
 * Nothing that transactions share is in use. */
enum { WORK_BETWEEN_PAUSES = 30'000 };
static inline void tx_work(struct waf_tx *tx, size_t work)
{
    tx->work += (uint32_t)work;
    if (tx->work < WORK_BETWEEN_PAUSES)
        return;
    tx->work = 0;
    if (tx->pause)
        tx->pause(tx->pause_context);
}

struct store_record *waf_record_open(struct waf_store *, enum variable collection, struct str key,
                                     int64_t now_s, uint64_t timeout_s);
void waf_record_close(struct store_record *); /* NULL is fine; until then it is nobody else's */
const struct pairs *store_vars(const struct store_record *);
bool store_set(struct store_record *, struct str name, struct str value);
void store_unset(struct store_record *, struct str name);
void store_expire(struct store_record *, struct str name, int64_t at_s);

#endif
