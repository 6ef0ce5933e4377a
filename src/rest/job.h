/* rest/job.h - a request on its way from a worker to the owner, and the answer on its way back, as bytes.
 * Both sides distrust each other: what does not decode to the last byte is no message. */
#ifndef POLDER_REST_JOB_H
#define POLDER_REST_JOB_H

#include "rest/request.h"
#include "rest/rest.h"

enum { REST_JOB_FIELDS_MAX = 16 };

struct rest_job {
    uint64_t id; /* the worker's number of it */
    uint32_t cluster;
    struct rest_caller caller;
    struct str notice; /* nothing is asked: this patient's practice is to hear of an emergency; empty: no */
    struct rest_http http; /* only the fields that steer an interaction */
};

/* The bytes in front of the body, which goes behind them. { NULL, 0 }: no memory. */
struct str rest_job_encode(const struct rest_job *, struct arena *);
/* Everything borrows from the bytes; fields lie in the arena. */
[[nodiscard]] bool rest_job_decode(struct str bytes, struct arena *, struct rest_job *ret);

/* So too: the bytes in front of the body. */
struct str rest_answer_encode(uint64_t id, const struct rest_answer *, struct arena *);
[[nodiscard]] bool rest_answer_decode(struct str bytes, struct arena *, uint64_t *ret_id,
                                      struct rest_answer *ret);

#endif
