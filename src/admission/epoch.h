/* admission/epoch.h - what was measured of a pool's answers since the limit was last thought about.
 *
 * Kinds have bases: the latency of a request of that kind when nothing queues. Two of each, the mean, and the
 * quarter: a quarter of the answers comes faster. What is added up over all kinds is how far answers lie
 * above their own base, so kinds of different cost can share one sum. */
#ifndef POLDER_ADMISSION_EPOCH_H
#define POLDER_ADMISSION_EPOCH_H

#include "admission/queue.h"

enum { QUARTER, MEAN, MEASURES };

struct measure { /* the bases, by the mix of this epoch; how far above them answers came, and bounds of that
                  */
    double base_us, wait_us, least_us, most_us;
};

struct epoch {
    uint32_t count, slots, peak, timeouts;
    bool is_full, is_heavy_full;
    double busy; /* requests at the upstream */
    struct measure by[MEASURES];
    uint32_t light_count;           /* of light answers while heavy ones had to wait: */
    double light_least, light_most; /* bounds of how far they lay above their base, as a share of it */
};

/* One answer. How many there are in this epoch; 0: it was not counted. */
uint32_t epoch_note(struct pool *, unsigned kind, uint64_t latency_us, bool is_timeout, uint64_t now_us);
void epoch_read(const struct pool *, struct epoch *ret);
void epoch_begin(struct pool *, const struct epoch *last);
double epoch_latency_us(const struct epoch *, unsigned measure); /* at least 1 */
/* How many of those at the upstream wait there, when each waits so long. */
double epoch_queued(const struct epoch *, unsigned measure, double wait_us);
/* Moves bases of the kinds seen in this epoch by one part-th of the way to what is measured now. */
void epoch_move_bases(struct pool *, bool quarters, bool means, bool is_down_only, unsigned part);

#endif
