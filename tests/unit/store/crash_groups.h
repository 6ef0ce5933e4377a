/* tests/unit/store/crash_groups.h - groups of writes of which it can be told afterwards whether they are
 * there, all of each and in order. */
#ifndef POLDER_TESTS_CRASH_GROUPS_H
#define POLDER_TESTS_CRASH_GROUPS_H

#include "store_test.h"

enum { CRASH_GROUPS = 4 };

/* What a writing process says of a group. */
struct told {
    uint8_t group, result;
};

/* Two transactions: new patients; and one that every group changes. */
enum store_result crash_write_group(struct store *, unsigned group);
/* How many groups are there, seen by kit.reader. *ret_lied: one is there in part, or one before it is not. */
unsigned crash_read_back(enum store_result *ret_last, bool *ret_lied);

#endif
