/* sys/fiber.h - a plain function that can stop in the middle and go on later: a stack of its own, switched to
 * and from inside one thread.
 *
 * Below each stack lies a page that cannot be touched: who overruns it dies there. Switching makes no system
 * call where the process has no shadow stack (Intel CET); where it has one, and under a sanitizer, glibc's
 * swapcontext switches that too and costs two. */
#ifndef POLDER_SYS_FIBER_H
#define POLDER_SYS_FIBER_H

#include <stdbool.h>
#include <stddef.h>

struct fiber;

struct fiber *fiber_new(size_t stack_bytes); /* NULL: no memory */
/* One that paused is never gone on with: what its function holds beyond its stack is the caller's to free. */
void fiber_free(struct fiber *); /* NULL is fine */

/* What the next fiber_run runs, from its beginning; one that paused forgets what it was doing. */
void fiber_set(struct fiber *, void (*function)(void *context), void *context);
/* Runs until the function pauses or returns; true: it returned, and the fiber can be set again. Not from
 * inside a fiber. */
bool fiber_run(struct fiber *);
/* From inside: fiber_run returns false; the next one goes on from here. */
void fiber_pause(struct fiber *);

#endif
