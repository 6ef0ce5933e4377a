/* records/access.h - the guard of a process, from the configuration: issuers with their keys, partners,
 * roles. */
#ifndef POLDER_RECORDS_ACCESS_H
#define POLDER_RECORDS_ACCESS_H

#include "config/config.h"
#include "rest/access.h"

/* *ret is NULL when access is off. False: ret_problem says why. Lives as long as the process; borrows from
 * the configuration. */
[[nodiscard]] bool records_guard_make(const struct config *, struct buf *ret_problem,
                                      struct rest_guard **ret);

#endif
