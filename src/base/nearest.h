/* base/nearest.h - "did you mean": of all that is possible, what comes nearest to what was written. */
#ifndef POLDER_BASE_NEAREST_H
#define POLDER_BASE_NEAREST_H

#include "base/str.h"

/* Feed it candidates; the nearest within reach wins: a third of the letters may be wrong, in any case. Words
 * of more than 48 bytes are not compared, so that a stranger's words cost little. */
struct nearest {
    struct str wanted, best; /* best empty: nothing is near */
    unsigned best_distance;
};
struct nearest nearest_to(struct str wanted);
void nearest_try(struct nearest *, struct str candidate);

#endif
