/* waf/waf.h - the web application firewall: SecLang rules, compiled once, run over requests and answers.
 *
 * Pure: no system call, no clock. Rule files come through a callback, the time with each request, and what is
 * kept between requests (collections such as IP) lies in a store the caller owns.
 *
 *     rules    what the rule files say; immutable, shared by all clusters
 *     overlay  a cluster's own mode, paranoia level, thresholds and exclusions on top of it
 *     tx       one request and its answer, phase by phase, in an arena of the caller
 *
 * Meaning is that of ModSecurity 2.9; where we differ stands in
 * docs/decisions/0016-waf-reference-evaluator.md. */
#ifndef POLDER_WAF_WAF_H
#define POLDER_WAF_WAF_H

#include "base/arena.h"

struct waf_rules;
struct waf_overlay;
struct waf_store;
struct waf_tx;

/* ---- loading */

/* How rule files reach us. Paths are as written in the rules; read and list get the path of the file they
 * stand in, for names relative to it. Texts and lists are allocated from the arena and live as long as it. */
struct waf_files {
    void *context;
    bool (*read)(void *context, struct str from, struct str path, struct arena *, struct str *ret_text);
    /* The files that match the pattern of an Include, in order; false: none. */
    bool (*list)(void *context, struct str from, struct str pattern, struct arena *, struct str **ret_paths,
                 size_t *ret_count);
};

enum { WAF_PROBLEMS_MAX = 16, WAF_PROBLEM_TEXT_MAX = 240 };

struct waf_problem {
    char file[WAF_PROBLEM_TEXT_MAX];
    unsigned line, column; /* from 1; 0: the file as a whole */
    char what[WAF_PROBLEM_TEXT_MAX];
};

struct waf_problems {
    struct waf_problem items[WAF_PROBLEMS_MAX];
    size_t count; /* all that were met; only the first WAF_PROBLEMS_MAX are kept */
};

/* Compiles a text that usually includes others. NULL: ret_problems says why, with file, line and column.
 * Nothing that is not understood is skipped. */
struct waf_rules *waf_rules_load(struct str name, struct str text, const struct waf_files *,
                                 struct waf_problems *ret_problems);
/* The same; regular expressions that `like` (which may be NULL) has as well are not compiled again but used
 * there, with the code that was made for them: it must live longer. */
struct waf_rules *waf_rules_load_like(const struct waf_rules *like, struct str name, struct str text,
                                      const struct waf_files *, struct waf_problems *ret_problems);
/* Just-in-time compiles the regular expressions, which are interpreted otherwise: same verdicts, less time.
 * Makes memory executable, which a sandboxed process may not; call it before the walls are raised. */
void waf_rules_make_code(struct waf_rules *);
void waf_rules_free(struct waf_rules *); /* NULL is fine; no overlay or tx may use it any more */

struct waf_rule_info {
    uint64_t id;
    unsigned phase;
    struct str message, file; /* message with its macros unexpanded */
    unsigned line;
    const struct str *tags;
    size_t tag_count;
};

size_t waf_rules_count(const struct waf_rules *);
struct waf_rule_info waf_rules_info(const struct waf_rules *, size_t index);

/* What the rule files set that the caller has to heed: how much of a body to bring. */
struct waf_limits {
    uint64_t request_body_bytes, request_body_no_files_bytes, response_body_bytes;
    uint64_t arguments, json_depth;
    bool request_body, response_body; /* are bodies looked at */
};

struct waf_limits waf_rules_limits(const struct waf_rules *);

/* ---- the prefilter
 *
 * What tells in one pass over many texts which rules can match at all (Hyperscan). It selects rules, never
 * requests: without one, verdicts are the same and cost more. Its compilation takes seconds, so it is kept as
 * bytes, under a name that changes with whatever it was made from. */

/* Hexadecimal digits over the patterns, the way they are compiled and the machine's instruction set. */
enum { WAF_PREFILTER_KEY_BYTES = 64 };
void waf_prefilter_key(const struct waf_rules *, char ret_key[WAF_PREFILTER_KEY_BYTES]);
/* progress may be NULL; it hears how many of how many patterns are done. False: no memory. */
bool waf_prefilter_compile(const struct waf_rules *, struct arena *,
                           void (*progress)(void *context, size_t done, size_t all), void *context,
                           struct str *ret_bytes);
/* From now on the rules use it; bytes (64-byte aligned, may be read-only and shared between processes) are
 * borrowed until waf_rules_free. False: not made from these rules, for another machine, or damaged; the rules
 * go on without. */
bool waf_rules_take_prefilter(struct waf_rules *, struct str bytes);
bool waf_rules_has_prefilter(const struct waf_rules *);

/* ---- a cluster's overlay */

enum waf_mode { WAF_OFF, WAF_DETECT, WAF_BLOCK, WAF_AS_RULES_SAY };

/* Both give the same verdicts; the reference is there to hold the other against. */
enum waf_engine { WAF_ENGINE_FAST, WAF_ENGINE_REFERENCE };

/* What kind of traffic a cluster has. FHIR: bodies that are FHIR resources, and FHIR searches, are read by
 * the types of their elements (docs/care-traffic.md). */
enum waf_profile { WAF_PROFILE_PLAIN, WAF_PROFILE_FHIR };

struct waf_types; /* waf/types.h */

struct waf_overlay_options {
    enum waf_mode mode;
    enum waf_profile profile;
    const struct waf_types *types; /* what is known of FHIR's elements; NULL: R4's */
    enum waf_engine engine;
    unsigned paranoia;                              /* 1..4; 0: as the rules say */
    unsigned inbound_threshold, outbound_threshold; /* 0: as the rules say */
    /* SecRuleRemoveById, -ByTag, -ByMsg and SecRuleUpdateTargetById, -ByTag, -ByMsg; the latter may only take
     * targets away. */
    struct str exclusions;
};

struct waf_overlay *waf_overlay_new(const struct waf_rules *, const struct waf_overlay_options *,
                                    struct waf_problems *ret_problems); /* NULL: see the problems */
void waf_overlay_free(struct waf_overlay *);
size_t waf_overlay_bytes(const struct waf_overlay *);

/* ---- what is kept between requests */

struct waf_store *waf_store_new(size_t limit_records); /* NULL: no memory; the oldest record makes room */
void waf_store_free(struct waf_store *);

/* ---- a transaction */

struct waf_field {
    struct str name, value;
};

/* All texts are borrowed until waf_tx_free. */
struct waf_request {
    struct str line; /* as it came: method, target, protocol */
    struct str method, target, protocol;
    const struct waf_field *fields;
    size_t field_count;
    struct str client_ip, server_ip, server_name, unique_id;
    uint16_t client_port, server_port;
    int64_t now_s;
};

struct waf_response {
    unsigned status;
    struct str protocol;
    const struct waf_field *fields;
    size_t field_count;
};

enum waf_action { WAF_PASS, WAF_DENY, WAF_DROP };

/* A limit that was reached. The caller refuses the request whatever the rules said: what was not looked at
 * must not pass. */
enum waf_limit {
    WAF_WITHIN_LIMITS,
    WAF_LIMIT_BODY,      /* 413 */
    WAF_LIMIT_ARGUMENTS, /* 400 */
    WAF_LIMIT_DEPTH,     /* 400 */
    WAF_LIMIT_MEMORY,    /* 413: the arena is full */
};

/* One value that a rule matched. Each text is cut after WAF_MATCH_TEXT_MAX bytes. */
enum { WAF_MATCH_TEXT_MAX = 2048 };
struct waf_match {
    uint64_t rule_id;
    uint32_t rule; /* index, for waf_rules_info */
    uint8_t phase;
    uint8_t severity; /* 0 emergency .. 7 debug; 255: none */
    bool is_logged, is_audited;
    struct str message, data; /* macros expanded */
    struct str target;        /* "ARGS:name" */
    struct str value;         /* as matched, transformed */
};

struct waf_verdict {
    enum waf_action action; /* what a rule decided; always WAF_PASS unless the mode is WAF_BLOCK */
    unsigned status;        /* of WAF_DENY */
    uint64_t rule_id;       /* that decided */
    enum waf_limit limit;
    const struct waf_match *matches; /* in order; the verdict's matches live as long as the arena */
    size_t match_count, matches_left_out;
};

/* What is found comes out of the arena: about 30 KiB for a request without a body, and for one with a body
 * the texts of its parts, up to 6 KiB for each recorded match, and what rules keep of what matched. What it
 * works in beside that is given back by waf_tx_free, and kept for the next transaction as far as it is small:
 * about 100 KiB without a body, up to 1.5 MiB for 100 KiB of JSON in thousands of values. At the worst it is
 * 160 MiB (64 of scratch, 96 of texts that transformations made, of bitmaps and of numbers); what does not
 * fit in there is done again each time, or the transaction reaches WAF_LIMIT_MEMORY. store may be NULL. NULL:
 * no memory. */
struct waf_tx *waf_tx_new(const struct waf_overlay *, const struct waf_request *, struct waf_store *,
                          struct arena *);
void waf_tx_free(struct waf_tx *);

/* The phases, in this order; each may be left out from the end. Once one says other than WAF_PASS only
 * waf_tx_logging follows. */
enum waf_action waf_tx_request_head(struct waf_tx *);                  /* phase 1 */
enum waf_action waf_tx_request_body(struct waf_tx *, struct str body); /* phase 2; also without a body */
enum waf_action waf_tx_response_head(struct waf_tx *, const struct waf_response *); /* phase 3 */
enum waf_action waf_tx_response_body(struct waf_tx *, struct str body);             /* phase 4 */
void waf_tx_logging(struct waf_tx *, uint64_t duration_us);                         /* phase 5 */

struct waf_verdict waf_tx_verdict(const struct waf_tx *);

/* Sums of anomaly scores as the Core Rule Set keeps them (3.x and 4.x under different names) and the
 * thresholds they are held against; 0: the rules keep none, or did not get so far. */
struct waf_scores {
    uint32_t inbound, outbound, inbound_threshold, outbound_threshold;
};
struct waf_scores waf_tx_scores(struct waf_tx *);

/* A phase calls pause between pieces of work of some tens of microseconds. It may return much later, and
 * other transactions may have run meanwhile: that is how an inspection is sliced. It may also never return;
 * waf_tx_free then gives back all there is. Longer than that takes what cannot be cut: parsing a JSON or XML
 * body (3 us a KiB), one lane of the prefilter over one value (up to 13 us a KiB), one regular expression
 * over one value (up to SecPcreMatchLimit: 100'000 are about 10 ms). NULL: no pauses. */
typedef void waf_pause_fn(void *context);
void waf_tx_set_pause(struct waf_tx *, waf_pause_fn *, void *context);

/* Whether rules want to see a body with this content type at all (SecResponseBodyMimeType). */
bool waf_tx_wants_response_body(const struct waf_tx *);

#endif
