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

/* ---- a cluster's overlay */

enum waf_mode { WAF_OFF, WAF_DETECT, WAF_BLOCK, WAF_AS_RULES_SAY };

struct waf_overlay_options {
    enum waf_mode mode;
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

/* One value that a rule matched. */
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

/* Everything comes out of the arena but a scratch of its own, which waf_tx_free gives back. store may be
 * NULL. NULL: no memory. */
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

/* Whether rules want to see a body with this content type at all (SecResponseBodyMimeType). */
bool waf_tx_wants_response_body(const struct waf_tx *);

#endif
