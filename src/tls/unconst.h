/* tls/unconst.h - for calls into OpenSSL that ask for a writable pointer and do not write through it. */
#ifndef POLDER_TLS_UNCONST_H
#define POLDER_TLS_UNCONST_H

static inline void *unconst(const void *p)
{
    union {
        const void *in;
        void *out;
    } u = {p};
    return u.out;
}

#endif
