/* waf/tune.h - the tuning helper: out of audit records, the narrowest exclusions that would have spared the
 * requests in them, and what else each would have let through.
 *
 * It only proposes. A proposal takes one target away from one rule; where the target's name was masked there
 * is none so narrow, and that is said. Rules that sum up (TX) are never a proposal, virtual patches only as
 * the exception that they have.
 *
 * Pure: works on what audit.h writes. */
#ifndef POLDER_WAF_TUNE_H
#define POLDER_WAF_TUNE_H

#include "base/arena.h"
#include "base/buf.h"
#include "json/tape.h"

struct tune_match {
    uint64_t rule;
    struct str message, target, excerpt, severity;
    bool decides;
};

struct tune_record {
    struct str reference, cluster, path, action, client;
    uint64_t score, threshold; /* inbound, or outbound where that one was reached */
    uint64_t left_out;         /* matches that are not in the record */
    const struct tune_match *matches;
    unsigned match_count;
};

/* Reads one record, a JSON object at node. False: it is none, or no memory. Texts lie in the arena or the
 * tape's text. */
bool tune_record_read(const struct json_tape *, uint32_t node, struct arena *, struct tune_record *ret);

enum tune_kind {
    TUNE_TARGET, /* one target of one rule */
    TUNE_RULE,   /* the whole rule: the target has a name that is not shown */
    TUNE_PATCH,  /* a rule of a virtual patch */
};

struct tune_proposal {
    enum tune_kind kind;
    uint64_t rule;
    struct str message, target, excerpt; /* excerpt of the first match */
    unsigned requests;                   /* that were blocked, or would have been, and had this match */
    struct str path;                     /* of all of them; empty: there are several */
    unsigned clients;                    /* different addresses; counted up to 100 */
    /* Of all records: what would have passed with this exclusion alone, what would still not, and of which
     * nobody can tell, since the record does not hold all matches. */
    unsigned would_pass, still_blocked, uncertain;
    struct str would_pass_references[8];
};

/* From the records that were blocked or would have been; only those of `reference` when it is not empty. What
 * most requests have in common comes first. NULL: no memory. */
struct tune_proposal *tune_propose(const struct tune_record *, unsigned count, struct str reference,
                                   struct arena *, unsigned *ret_count);

/* Its line for a cluster's exclusions; of TUNE_PATCH, nothing. */
void tune_write_exclusion(struct buf *, const struct tune_proposal *);
/* The same for one path only, as a rule of the operator's own: for a file of waf.rules that stands before the
 * others, and so for all clusters. Nothing when there are several paths, or it is not about a target. */
void tune_write_path_rule(struct buf *, const struct tune_proposal *, uint64_t id);

#endif
