/* tests/bench/waf_inputs.h - the requests that the WAF is measured with, made in code. */
#ifndef POLDER_TESTS_BENCH_WAF_INPUTS_H
#define POLDER_TESTS_BENCH_WAF_INPUTS_H

#include "waf/waf.h"

enum { WAF_INPUTS = 10 };

struct waf_input {
    const char *name;
    struct waf_request request;
    struct str body;
};

/* Lives in the arena. */
struct waf_input waf_input_make(unsigned which, struct arena *);

#endif
