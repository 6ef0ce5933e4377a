/* base/must.h - assertions that stay on in releases.
 *
 * A failed must() is our own fault: print where, die, let the parent restart the process. */
#ifndef POLDER_BASE_MUST_H
#define POLDER_BASE_MUST_H

[[gnu::noreturn]] void must_die(const char *file, int line, const char *what);

#define must(cond)                                                                                           \
    do {                                                                                                     \
        if (__builtin_expect(!(cond), 0))                                                                    \
            must_die(__FILE__, __LINE__, #cond);                                                             \
    } while (0)

#endif
