/* waf/operator.h - SecLang operators: does a value satisfy a condition? Pure; by ModSecurity 2.9's reading.
 */
#ifndef POLDER_WAF_OPERATOR_H
#define POLDER_WAF_OPERATOR_H

#include "base/addr.h"
#include "waf/pm.h"
#include "waf/rx.h"

enum operator_kind {
#define OPERATOR(symbol, name, argument) OP_##symbol,
#include "waf/operators.def"
#undef OPERATOR
    OPERATOR_COUNT
};

enum operator_argument {
    ARGUMENT_NONE,
    ARGUMENT_TEXT,
    ARGUMENT_REGEX,
    ARGUMENT_WORDS,
    ARGUMENT_WORD_FILES,
    ARGUMENT_NETWORKS,
    ARGUMENT_BYTES,
};

/* What was compiled from the argument; which of them depends on the kind. */
struct operator_compiled {
    struct rx *rx; /* NULL for a pattern with macros: it is compiled when it runs */
    struct pm *pm;
    const struct addr_prefix *networks;
    size_t network_count;
    uint8_t *allowed; /* [256], validateByteRange */
};

struct operator_outcome {
    struct str captures[RX_CAPTURES]; /* borrowed from value, compiled or arena */
    unsigned capture_count;
    bool hit_limit; /* of the regular expression: the answer is not known, and false */
};

bool operator_find(struct str name, enum operator_kind *ret); /* without case */
enum operator_argument operator_argument(enum operator_kind);
struct str operator_name(enum operator_kind);

/* argument: with its macros expanded. */
bool operator_run(enum operator_kind, const struct operator_compiled *, struct rx_room *, struct str argument,
                  struct str value, struct arena *, struct operator_outcome *ret);

#endif
