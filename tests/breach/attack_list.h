/* tests/breach/attack_list.h - the functions behind attacks.def, spread over attacks_*.c. */
#ifndef POLDER_TESTS_BREACH_ATTACK_LIST_H
#define POLDER_TESTS_BREACH_ATTACK_LIST_H

#include "attacks.h"

#include <errno.h>

typedef int attack_function(const struct attack_world *);

#define ATTACK(name, ...) attack_function attack_##name;
#include "attacks.def"
#undef ATTACK

/* What an attack returns: 0, or the errno of the call that was just made. */
static inline int attack_outcome(bool succeeded)
{
    if (succeeded)
        return 0;
    return errno ? errno : EPROTO;
}

/* For calls of which only the permission can be tried: past that check they fail with `expected`. */
static inline int attack_outcome_past_check(int expected)
{
    return errno == expected ? 0 : attack_outcome(false);
}

#endif
