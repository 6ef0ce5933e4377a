/* tests/unit/waf/engines.h - a request through two overlays that must say the same of it, and requests made
 * from others by chance. */
#ifndef POLDER_TESTS_WAF_ENGINES_H
#define POLDER_TESTS_WAF_ENGINES_H

#include "waf/waf.h"

struct exchange {
    struct waf_request request;
    struct str body, answer;
    const struct waf_response *response; /* NULL: none came */
};

/* What differs, in words out of the arena: action, limit, each match in full, and what is left in TX. NULL:
 * nothing. */
const char *engines_differ(const struct waf_overlay *, const struct waf_overlay *, const struct exchange *,
                           struct arena *);

/* xorshift64: the same numbers for the same seed. */
struct chance {
    uint64_t state;
};

uint64_t chance_next(struct chance *);

/* A text with a few bytes of it changed, taken out, doubled, or something from attacks put in. */
struct str chance_mutate(struct chance *, struct str, struct arena *);
/* An exchange with some of its texts mutated. */
struct exchange chance_exchange(struct chance *, const struct exchange *, struct arena *);

#endif
