/* waf/patch_parts.h - what the files about virtual patches share. Inside src/waf only. */
#ifndef POLDER_WAF_PATCH_PARTS_H
#define POLDER_WAF_PATCH_PARTS_H

#include "config/problems.h"
#include "waf/patch.h"

/* Says what is wrong with a request's text. */
void patch_request_check(struct problems *, const struct waf_patch_request *);

/* Compiles the rules by themselves and says what a patch's rules may not be. Fills in rule_ids. */
void patch_rules_check(struct problems *, struct waf_patch *, struct place rules_at);

#endif
