/* base/unconst.h - for calls that ask for a writable pointer and do not write through it, and for freeing
 * what is kept as const. */
#ifndef POLDER_BASE_UNCONST_H
#define POLDER_BASE_UNCONST_H

static inline void *unconst(const void *p)
{
    union {
        const void *in;
        void *out;
    } u = {p};
    return u.out;
}

#endif
