/* sys/sandbox_walls.h - what sandbox.c asks of the files that raise one kind of wall. Not for others. */
#ifndef POLDER_SYS_SANDBOX_WALLS_H
#define POLDER_SYS_SANDBOX_WALLS_H

#include "sys/sandbox.h"

/* Every function raises those of `walls` it knows, adds the ones that now stand to *stands and returns 0; a
 * wall that this kernel does not have is left out silently. A negative errno: the kernel has it and refused.
 */
int landlock_raise(const struct sandbox_options *, uint32_t walls, uint32_t *stands);
int seccomp_raise_write_xor_execute(const struct sandbox_options *, uint32_t walls, uint32_t *stands);
int seccomp_raise_allow_list(const struct sandbox_options *, uint32_t walls, uint32_t *stands);

/* Sanitizers and coverage need what the walls forbid: they open files, start threads and trace themselves. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(POLDER_COVERAGE)
#define SANDBOX_INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_INSTRUMENTED 1
#endif
#endif
#ifndef SANDBOX_INSTRUMENTED
#define SANDBOX_INSTRUMENTED 0
#endif

#endif
