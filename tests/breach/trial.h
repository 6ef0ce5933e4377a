/* tests/breach/trial.h - one attack, from inside one role, behind a chosen set of walls. */
#ifndef POLDER_TESTS_BREACH_TRIAL_H
#define POLDER_TESTS_BREACH_TRIAL_H

#include "scene.h"

enum trial_end {
    TRIAL_SUCCEEDED,
    TRIAL_REFUSED,      /* detail: errno */
    TRIAL_KILLED,       /* by the sandbox */
    TRIAL_DIED,         /* detail: another signal, or 0 */
    TRIAL_NO_SANDBOX,   /* it could not be entered; detail: errno */
    TRIAL_NOT_PREPARED, /* the test itself failed; detail: errno */
};

struct trial_result {
    enum trial_end end;
    int detail;
    uint32_t walls; /* those that stood */
};

struct trial_result trial_run(struct scene *, const struct attack *, enum sandbox_profile, uint32_t without);
bool trial_was_blocked(struct trial_result);
void trial_describe(struct buf *, struct trial_result); /* "refused: Permission denied" */

#endif
