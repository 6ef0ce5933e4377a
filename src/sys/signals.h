/* sys/signals.h - signals as loop events (signalfd). SIGPIPE is ignored everywhere. */
#ifndef POLDER_SYS_SIGNALS_H
#define POLDER_SYS_SIGNALS_H

#include "sys/loop.h"

struct signals;
/* Blocks the signals listed (0-terminated) and calls `caught` in the loop. NULL: errno. */
struct signals *signals_new(struct loop *, const int *numbers, void (*caught)(void *self, int number),
                            void *self);
void signals_free(struct signals *); /* they stay blocked; NULL is fine; not from within `caught` */

#endif
