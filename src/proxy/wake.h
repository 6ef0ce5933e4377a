/* proxy/wake.h - waking and being woken, see wake.c. */
#ifndef POLDER_PROXY_WAKE_H
#define POLDER_PROXY_WAKE_H

#include "proxy/worker.h"

void wake_init(struct proxy *);
void wake_done(struct proxy *);
void wake_worker(struct proxy *, unsigned slot); /* nothing when there is none */

#endif
