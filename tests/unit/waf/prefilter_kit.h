/* tests/unit/waf/prefilter_kit.h - patterns, what their operators say of a value, and what the prefilter says
 * of values joined in one text. */
#ifndef POLDER_TESTS_WAF_PREFILTER_KIT_H
#define POLDER_TESTS_WAF_PREFILTER_KIT_H

#include "waf/prefilter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { FILTER_PATTERNS_MAX = 1000, FILTER_TEXT_MAX = 1 << 16 };

/* A compiled prefilter with the operators it stands for. */
struct filter {
    struct arena *arena;
    struct prefilter_pattern patterns[FILTER_PATTERNS_MAX];
    struct operator_compiled compiled[FILTER_PATTERNS_MAX];
    size_t count;
    unsigned lanes;
    char key[64];
    struct str bytes;
    struct prefilter *prefilter;
    struct prefilter_room *room;
    struct rx_room *rx_room;
    uint64_t bits[FILTER_PATTERNS_MAX / 64 + 1];
};

void filter_init(struct filter *);
void filter_add(struct filter *, struct prefilter_pattern); /* a pattern that PCRE refuses is left out */
void filter_compile(struct filter *);
void filter_done(struct filter *);

bool filter_holds(struct filter *, size_t pattern, struct str value);
/* Scans all lanes; afterwards filter_may says what may occur. */
void filter_scan(struct filter *, struct str text);
bool filter_may(const struct filter *, size_t pattern);
/* The property, for these values in one text: every pattern that holds for one of them may occur. Returns how
 * many hold. */
size_t filter_check(struct filter *, const struct str *values, size_t count);

#endif
