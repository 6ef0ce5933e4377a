/* waf/audit.h - what is kept of a request in which rules matched: one bounded JSON record, for the log, for
 * `polder waf explain` and for the tuning helper.
 *
 * A record must be enough to say why a request was blocked and to correct a false alarm, and must not become
 * a second patient file. So:
 *  1. Nothing that a rule expands is written: no logdata, and messages with their macros as they stand in the
 *     rule. The query is never written, of a path every citizen service number is hidden.
 *  2. A matched value is shown as a shape, but where it can only be about programs (User-Agent): letters as
 * a, digits as 9, what is encoded as h; punctuation, and words of a fixed list that attacks are made of
 * (select, script, passwd ...), stay. Of a value at most WAF_EXCERPT_AROUND bytes on either side of the
 * matched part are looked at.
 *  3. A target's name stands in clear only while it looks like a name a program chose.
 *  4. In clear a value is only written while the operator has asked for it (waf_audit.clear), which ends by
 *     itself, and the record says so.
 *
 * What can still be told from a shape: which characters of syntax made the rule fire (quotes, comments,
 * brackets, dots and slashes), which attack words, how long and where. "'; aaaa aaaaa -- " is a note and
 * "' or 9=9 -- " is none.
 *
 * Pure. */
#ifndef POLDER_WAF_AUDIT_H
#define POLDER_WAF_AUDIT_H

#include "base/buf.h"
#include "waf/waf.h"

enum {
    WAF_AUDIT_BYTES_MAX = 8192, /* of one record, its line feed included */
    WAF_EXCERPT_AROUND = 64,    /* bytes looked at before and behind what matched */
    WAF_EXCERPT_BYTES_MAX = 192,
};

struct waf_audit {
    uint64_t request_id[2]; /* the reference of the error page and of the access log */
    int64_t at_us;          /* wall clock, when the request's first byte came */
    struct str cluster, listener, route;
    struct str client_ip, method, path; /* path without query; cut here */
    enum waf_mode mode;                 /* in force for this request */
    uint16_t status;                    /* answered to the client; 0: none was */
    struct waf_scores scores;           /* waf_tx_scores */
    const struct waf_rules *rules;
    const struct waf_verdict *verdict;
    bool clear; /* excerpts in clear: shared_excerpts_are_clear() */
};

/* Is there anything to keep: a match that its rule wants logged, a decision, or a limit that was reached. */
bool waf_audit_is_due(const struct waf_verdict *);

/* One line of JSON with its line feed, at most WAF_AUDIT_BYTES_MAX whatever the verdict holds: matches that
 * do not fit are counted in "left_out". out must have that much room. */
void waf_audit_write(struct buf *out, const struct waf_audit *);

/* Match i is the first of its rule, and logged: count the rule once for a request (shared_count_rule). */
static inline bool waf_audit_counts(const struct waf_verdict *v, size_t i)
{
    return v->matches[i].is_logged && (i == 0 || v->matches[i - 1].rule_id != v->matches[i].rule_id);
}

/* Did a rule decide against the request, or would it have in mode block. */
bool waf_audit_would_block(const struct waf_rules *, const struct waf_verdict *);

/* ---- masking; these only append printable ASCII */

/* The part of a value that an excerpt shows: what matched, with WAF_EXCERPT_AROUND bytes on either side.
 * matched: the part that made the rule fire; { NULL, 0 }: not known, then the value's begin. */
struct str waf_excerpt_window(struct str value, struct str matched);
void waf_mask_value(struct buf *out, struct str value, struct str matched); /* the window, as a shape */
void waf_mask_target(struct buf *out,
                     struct str target);         /* its full name, "ARGS:comment", if it may be shown */
bool waf_target_is_shown(struct str target);     /* waf_mask_target writes it as it is */
bool waf_target_is_technical(struct str target); /* a value that no patient data stands in: shown in clear */

#endif
