/* config/parse.h - the reading itself, with the number of CPUs as an argument. */
#ifndef POLDER_CONFIG_PARSE_H
#define POLDER_CONFIG_PARSE_H

#include "config/config.h"

/* config_parse, where `workers: auto` means cpus. */
struct config *config_parse_for(unsigned cpus, struct str path, struct str yaml,
                                const struct config_files *files, struct arena *problems_arena,
                                struct config_problem **ret_problems, unsigned *ret_problem_count);
unsigned config_cpu_count(void); /* that this process may run on */

/* Under which name a bundle holds what a pattern matched: no path begins so. */
struct str config_list_name(struct arena *, struct str pattern);

#endif
