/* waf/offline.h - one request from its bytes to the rules' verdict, without a gate: the same strict parser,
 * the same canonical form, the same decoding of bodies. For `polder waf test`, the tuning helper and tests.
 */
#ifndef POLDER_WAF_OFFLINE_H
#define POLDER_WAF_OFFLINE_H

#include "http/h1.h"
#include "waf/waf.h"

/* What the rules are told of a request: the canonical one, the target as it came in the request line only.
 * The fields are those that came; Host from the authority when there was none. Client and server are left to
 * the caller. False: no memory. */
bool waf_describe(const struct http_request *, struct arena *, struct waf_request *ret);

enum waf_offline_end {
    WAF_OFFLINE_INSPECTED,  /* the rules have seen it */
    WAF_OFFLINE_REFUSED,    /* the parser, or the decoder of its body, refuses it before any rule */
    WAF_OFFLINE_INCOMPLETE, /* there is no end of its head, or its body is shorter than announced */
    WAF_OFFLINE_NO_MEMORY,
};

struct waf_offline {
    enum waf_offline_end end;
    enum http_refusal refusal; /* of REFUSED; REFUSAL_NONE: its coding cannot be taken off */
    struct http_request
        request;     /* once its head was read (INSPECTED, and INCOMPLETE or REFUSED in its body) */
    struct str body; /* as the rules saw it */
    struct waf_verdict verdict;
    struct waf_scores scores;
    size_t taken; /* bytes of the input that are this request */
};

/* Phases 1 and 2 (and 5, which decides nothing). raw is borrowed as long as *ret is used; texts lie in the
 * arena. */
void waf_offline_run(const struct waf_overlay *, struct str raw, const struct h1_limits *, int64_t now_s,
                     struct arena *, struct waf_offline *ret);

/* Would the gate forward it: it was inspected, and nothing speaks against it. */
bool waf_offline_passes(const struct waf_offline *);

#endif
