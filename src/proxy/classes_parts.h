/* proxy/classes_parts.h - the inside of a struct classes, for the files classes*.c. */
#ifndef POLDER_PROXY_CLASSES_PARTS_H
#define POLDER_PROXY_CLASSES_PARTS_H

#include "proxy/classes.h"

enum { CLASSES_PROOFS = 2048, CLASSES_TOLD = 1024 }; /* powers of two */

/* The application refused a request: what it asked for, with which credential, when. */
struct classes_refusal {
    uint64_t what; /* 0: free */
    uint64_t user; /* key of the credential that it carried */
    uint32_t at_s;
    bool is_plain; /* 401: no credential, or not this one, is accepted there */
};

struct classes_told { /* to the filter */
    uint64_t source;
    uint32_t until_s;
    uint8_t class;
};

struct classes {
    struct classes_refusal refusals[CLASSES_PROOFS];
    struct classes_told told[CLASSES_TOLD];
    uint32_t told_s; /* of the second for which told_count counts */
    uint32_t told_count;
};

static inline uint32_t classes_now_s(const struct proxy *p)
{
    return (uint32_t)(loop_now_ms(p->loop) / 1000);
}

/* ---- classes_proof.c: the key of the credential that a request carries; 0: none */
uint64_t classes_credential(const struct exchange *, const struct admission *);
/* The answer shows that the application accepts this credential, which strangers cannot make up. */
bool classes_proves(struct exchange *);

/* ---- classes_tell.c */
void classes_tell(struct client *, enum admission_class);

#endif
