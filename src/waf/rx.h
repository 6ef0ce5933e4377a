/* waf/rx.h - regular expressions (PCRE2, just-in-time compiled where that may be), with limits on what a
 * match may cost. */
#ifndef POLDER_WAF_RX_H
#define POLDER_WAF_RX_H

#include "base/str.h"

struct rx;
struct rx_room; /* what a match works in; one at a time uses it */

enum { RX_CAPTURES = 10 }; /* TX.0 to TX.9 */

enum rx_kind {
    RX_OPERATOR, /* @rx: '.' takes newlines, '$' only the end; case counts */
    RX_SELECTOR, /* names and tags: the same without case */
};

enum rx_result { RX_MISS, RX_HIT, RX_LIMIT };

struct rx_problem {
    char text[120];
    size_t at; /* offset in the pattern */
};

struct rx *rx_new(struct str pattern, enum rx_kind, struct rx_problem *ret); /* NULL: see ret */
/* Just-in-time compiles it: matches are faster. Makes executable memory, so never inside a sandbox. */
void rx_make_code(struct rx *);
void rx_free(struct rx *);

/* match_limit: see pcre2api; NULL: no memory. */
struct rx_room *rx_room_new(uint32_t match_limit);
void rx_room_free(struct rx_room *);

/* captures may be NULL; unset groups are { NULL, 0 }. */
enum rx_result rx_match(const struct rx *, struct rx_room *, struct str subject,
                        struct str captures[RX_CAPTURES], unsigned *ret_count);

#endif
