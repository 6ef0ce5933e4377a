/* waf/gates.h - operators on texts that are known by number: what is cheap to rule out is ruled out, what was
 * found once is remembered. Inside src/waf only. */
#ifndef POLDER_WAF_GATES_H
#define POLDER_WAF_GATES_H

#include "waf/room.h"

/* A text without these kinds of bytes does not satisfy the link's operator; KINDS_ANY: no telling. */
byte_kinds gate_kinds(const struct rule *link);

/* As operator_run(). */
bool gated_run(struct waf_tx *, const struct rule *link, struct str argument, uint32_t id,
               struct operator_outcome *ret);

bool gate_may_be_sqli(struct str, byte_kinds);

#endif
