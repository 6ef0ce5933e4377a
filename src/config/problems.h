/* config/problems.h - the mistakes found in one reading, with their places and hints.
 *
 * Whatever text of the configuration goes into a message goes through problem_quote: cut to a line's
 * share and without control characters, so that a file cannot play tricks on the operator's terminal. */
#ifndef POLDER_CONFIG_PROBLEMS_H
#define POLDER_CONFIG_PROBLEMS_H

#include "base/nearest.h"
#include "config/config.h"

struct place {
    unsigned line, column; /* from 1; 0: the file as a whole */
};

enum { PROBLEMS_MAX = 100 };

/* After PROBLEMS_MAX the rest is only counted: nobody reads more, and a file of nonsense stays cheap. */
struct problems {
    struct arena *arena; /* texts */
    struct config_problem list[PROBLEMS_MAX + 1];
    unsigned count;
    unsigned error_count; /* all of them, listed or not */
    unsigned unlisted_count;
};

[[gnu::format(printf, 4, 5)]] void problem_error(struct problems *, struct place, struct str hint,
                                                 const char *format, ...);
[[gnu::format(printf, 4, 5)]] void problem_warn(struct problems *, struct place, struct str hint,
                                                const char *format, ...);

/* 'text', shortened and cleaned, as a NUL-terminated string in the problems' arena. Never NULL. */
const char *problem_quote(struct problems *, struct str text);

/* Orders by place and appends how many more there were. The list lies in the arena. */
void problems_finish(struct problems *, struct config_problem **ret_list, unsigned *ret_count);

/* "did you mean ...?" for people; empty when nothing is near. */
struct str nearest_hint(const struct nearest *, struct problems *);

#endif
