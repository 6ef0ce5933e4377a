/* gate/breach.h - in breach builds (-Dbreach=true) a role of a running gate attacks on command; elsewhere
 * nothing of it exists and these are empty. What is behind them stands in tests/breach/live.c. */
#ifndef POLDER_GATE_BREACH_H
#define POLDER_GATE_BREACH_H

#include "gate/role_process.h"

#ifdef POLDER_BREACH
/* Before the sandbox is raised; nothing happens without a socket to be commanded by. False: errno. */
[[nodiscard]] bool breach_begin(struct role_process *);
/* The channel to that role, for forged messages; NULL: it is gone. */
void breach_channel(enum role to, struct channel *);
/* What another role answered. */
void breach_heard(enum role from, struct str bytes);
#else
[[nodiscard]] static inline bool breach_begin(struct role_process *r [[maybe_unused]])
{
    return true;
}
static inline void breach_channel(enum role to [[maybe_unused]], struct channel *channel [[maybe_unused]])
{
}
static inline void breach_heard(enum role from [[maybe_unused]], struct str bytes [[maybe_unused]])
{
}
#endif

#endif
