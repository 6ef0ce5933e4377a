/* tests/unit/waf/kit.h - rules as text, a request, and which rules matched. */
#ifndef POLDER_TESTS_WAF_KIT_H
#define POLDER_TESTS_WAF_KIT_H

#include "waf/waf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* Files that rules may include or read words from. */
extern const struct waf_files kit_files;

struct kit {
    struct waf_rules *rules;
    struct waf_overlay *overlay, *other; /* for the other engine, which must say the same */
    struct waf_problems problems;
    struct waf_store *store, *other_store;
    struct arena *arena;
    struct waf_tx *tx;
    struct waf_request request;
    struct waf_field fields[8];
};

/* Loads, with an overlay as options say (NULL: as the rules say). Problems fail the test. */
void kit_load(struct kit *, const char *rules, const struct waf_overlay_options *options);
/* The first problem of rules that must not load. */
const struct waf_problem *kit_refuses(struct kit *, const char *rules);
void kit_field(struct kit *, const char *name, const char *value);
/* All phases; the answer is 200 with text/plain and that body. */
struct waf_verdict kit_run(struct kit *, const char *method, const char *target, const char *body);
/* "1 5 5": the ids that matched since the last kit_run, in order. */
void kit_expect(struct kit *, struct waf_verdict, const char *ids);
void kit_free(struct kit *);

#endif
