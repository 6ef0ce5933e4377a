/* cli/sample.h - what `polder top` takes from the gate each second, and the rates between two of them. */
#ifndef POLDER_CLI_SAMPLE_H
#define POLDER_CLI_SAMPLE_H

#include "cli/cli.h"
#include "proxy/shared.h"

struct cluster_sample {
    struct str name;
    uint64_t status[6], requests, bytes_out;
    uint64_t latency[LATENCY_BUCKETS];
};

struct endpoint_sample {
    struct str upstream, host, health;
    uint64_t port, active, connections, requests, failures;
};

struct role_sample {
    struct str role, state;
    uint64_t slot, pid, uptime_s, restarts, cpu_ticks;
};

struct sample {
    struct document document; /* owns all text */
    uint64_t at_us;           /* the gate's monotonic clock */
    struct cluster_sample *clusters;
    struct endpoint_sample *endpoints;
    struct role_sample *roles;
    unsigned cluster_count, endpoint_count, role_count;
};

/* False: the gate's answer lacks what is needed, or no memory. Takes the document either way. */
[[nodiscard]] bool sample_open(struct sample *, struct document take);
void sample_close(struct sample *); /* an empty one is fine */
uint64_t sample_total(const struct sample *, const char *counter);

/* Of the same cluster, endpoint or process in another sample; NULL: it was not there. */
const struct cluster_sample *sample_cluster(const struct sample *, const struct cluster_sample *);
const struct endpoint_sample *sample_endpoint(const struct sample *, const struct endpoint_sample *);
const struct role_sample *sample_role(const struct sample *, const struct role_sample *);

/* now - before, a second, in tenths; a count that fell (the gate was started anew) counts from 0. */
uint64_t rate_x10(uint64_t before, uint64_t now, uint64_t elapsed_us);

/* Share of one processor between two samples, in tenths of a percent. */
uint64_t role_cpu_permille(const struct role_sample *before, const struct role_sample *now,
                           uint64_t elapsed_us);

#endif
