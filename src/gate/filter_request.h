/* gate/filter_request.h - what a person asks of the desk of isolation, read. Pure: the fuzzer reads it, too.
 */
#ifndef POLDER_GATE_FILTER_REQUEST_H
#define POLDER_GATE_FILTER_REQUEST_H

#include "isolation/isolation.h"
#include "json/tape.h"

#include "base/arena.h"

struct request {
    const struct json_tape *tape; /* an object */
    struct arena *arena;
    uint32_t uid; /* of who asks, as the kernel says */
    int64_t now_us;
};

bool request_flag(const struct request *, const char *name);
struct str request_text(const struct request *, const char *name); /* empty: not there */
uint64_t request_number(const struct request *, const char *name); /* 0: not there, or none */
/* The order of a request; longest_us: of an exception without an end. False: *ret_why says what makes no
 * sense. */
bool request_order(const struct request *, int64_t longest_us, struct isolation_order *ret,
                   struct str *ret_why);

#endif
