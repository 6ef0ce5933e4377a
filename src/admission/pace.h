/* admission/pace.h - places that come free one after another, not all at once.
 *
 * Requests of one cost that begin together end together, and what follows them begins together again: a crowd
 * that came in one moment keeps step for as long as it lasts. Then places come free in one burst for each
 * such time, and who comes in between waits for the next burst, half of it on average, although a place is
 * worth a fraction of it. So when a request with nobody of its own before it had to wait for several places'
 * worth, strangers are let go one at a time for as long as a request takes: one place's worth of time apart.
 * After that they end one at a time, too, and nothing has to be held back any more.
 *
 * Places stay free while strangers wait only during such a round, there is one in PACE_EVERY at most, and
 * known users and partners take what is free. Work of one kind loses nothing by it but half of the first
 * round; very uneven work keeps no step by itself, and seldom begins one. */
#ifndef POLDER_ADMISSION_PACE_H
#define POLDER_ADMISSION_PACE_H

#include "admission/limit.h"

enum {
    PACE_EVERY = 2,           /* rounds */
    PACE_MOST_US = 1'000'000, /* what takes longer is not led: too much would stand still */
    PACE_GAPS = 3,            /* so many places' worth of waiting is too long */
    PACE_LEAST_US = 4'000,    /* and at least so much */
    PACE_CREDIT_US = 1'000,   /* so much too early is fine: nobody's clock is finer */
};

/* A request held its place for so long. */
void pace_note_took(struct pool *, uint64_t took_us);
/* One of this band starts. */
void pace_note_start(struct pool *, unsigned band, uint64_t now_us);
/* One starts that waited so long, with nobody of its own before it. */
void pace_note_first(struct pool *, uint64_t waited_us, uint64_t now_us);
/* A request of this band may not start yet. */
bool pace_holds(const struct pool *, unsigned band, uint64_t now_us);
/* When the next one may; 0: nobody is held. */
uint64_t pace_next_us(const struct pool *, uint64_t now_us);

#endif
