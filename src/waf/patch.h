/* waf/patch.h - virtual patches: what stops one vulnerability of a system behind the gate until it is patched
 * itself, and the proof that it does.
 *
 * A patch is one YAML file:
 *
 *     id: CVE-2019-19781
 *     title: Citrix ADC and Gateway, path traversal before login
 *     severity: critical               # low, medium, high, critical
 *     references: [https://...]
 *     description: |                   # what it stops and what it does not
 *       ...
 *     rules: |                         # SecRule, SecAction and SecMarker, ids 8,800,000 to 8,899,999
 *       SecRule REQUEST_URI "@contains /../" "id:8800100,phase:1,deny,status:403,log,msg:'...'"
 *     must_block:                      # raw requests that must not reach an application
 *       - name: plain traversal
 *         request: |
 *           GET /vpn/../vpns/cfg/smb.conf HTTP/1.1
 *           Host: [[host]]
 *     must_pass:                       # regular ones of the same application that must
 *       - name: log-on page
 *         request: |
 *           GET /vpn/index.html HTTP/1.1
 *           Host: [[host]]
 *
 * Lines of a request end in CR LF when it is sent, also if the file has LF; behind an empty line stands the
 * body, as it is but for its last line feed. [[host]] is a host of the cluster, [[TEXT*COUNT]] repeats TEXT.
 * A Content-Length that is not there is added to a body.
 *
 * Its rules decide by themselves (deny or drop), run before all others, and leave the engine alone: no ctl,
 * no allow. So a cluster that takes them away loses this patch and nothing else.
 *
 * Pure. */
#ifndef POLDER_WAF_PATCH_H
#define POLDER_WAF_PATCH_H

#include "base/buf.h"
#include "config/config.h"
#include "waf/waf.h"

#define WAF_PATCH_FIRST_RULE 8'800'000u
#define WAF_PATCH_LAST_RULE  8'899'999u

enum {
    WAF_PATCHES_MAX = 64,          /* of one configuration */
    WAF_PATCH_REQUESTS_MAX = 64,   /* of each kind */
    WAF_PATCH_RULES_MAX = 100,     /* with an id */
    WAF_PATCH_SENT_MAX = 60 << 10, /* bytes of one request as it is sent */
};

struct waf_patch_request {
    struct str name, text; /* text as in the file */
    unsigned line;
};

struct waf_patch {
    struct str id, title, severity, description;
    struct str path; /* of the file */
    const struct str *references;
    unsigned reference_count;
    struct str rules; /* behind as many line feeds as make its lines those of the file */
    uint64_t rule_ids[WAF_PATCH_RULES_MAX]; /* ascending */
    unsigned rule_count;
    /* Those that must be blocked, then those that must pass. */
    const struct waf_patch_request *requests;
    unsigned block_count, pass_count;
};

/* Reads and checks one file. Everything in *ret lies in the arena or points into yaml. False: *ret_problems
 * (in the arena too) say why, all in one run, in order of line. */
bool waf_patch_read(struct str path, struct str yaml, struct arena *, struct waf_patch *ret,
                    struct config_problem **ret_problems, unsigned *ret_problem_count);

/* What two patches may not share: id, rule ids. NULL: they do not; else a sentence, in the arena. */
const char *waf_patches_clash(const struct waf_patch *, unsigned count, struct arena *);

/* The bytes to send for a request; host: one of the cluster's. False: no room (WAF_PATCH_SENT_MAX are enough
 * for what waf_patch_read has checked). */
bool waf_patch_request_write(struct buf *, const struct waf_patch_request *, struct str host);

/* "SecRuleRemoveById 8800100 8800101": what a cluster's exclusions say to be without it. */
void waf_patch_write_exclusion(struct buf *, const struct waf_patch *);

#endif
