/* proxy/inspect_rules.h - the rules a configuration names, compiled, and what a cluster makes of them.
 *
 * One set serves all clusters and all configurations that name the same files with the same contents: it is
 * shared by counting. The files come from wherever the configuration came from: the disk in the master and in
 * `polder check`, the bundle elsewhere. */
#ifndef POLDER_PROXY_INSPECT_RULES_H
#define POLDER_PROXY_INSPECT_RULES_H

#include "base/buf.h"
#include "config/config.h"
#include "waf/waf.h"

struct inspect_rules;
struct inspect_patches;

/* NULL: see the problems (none: no memory). Nothing of the configuration or its files is kept. What `like`
 * (which may be NULL) has compiled already is used there; it must live longer. */
struct inspect_rules *inspect_rules_load(const struct config *, const struct config_files *,
                                         const struct inspect_rules *like, struct waf_problems *ret_problems);
struct inspect_rules *inspect_rules_ref(struct inspect_rules *);
void inspect_rules_unref(struct inspect_rules *); /* NULL is fine */
struct waf_rules *inspect_rules_of(const struct inspect_rules *);
const struct inspect_patches *inspect_rules_patches(const struct inspect_rules *);

/* Would loading anew read the very same texts? */
bool inspect_rules_are(const struct inspect_rules *, const struct config *, const struct config_files *);

/* Name of the prefilter these rules want. */
struct str inspect_rules_key(const struct inspect_rules *);
/* A prefilter's bytes, shared by counting by all rules that use them. */
struct inspect_prefilter;
/* release is called with the bytes when nobody uses them any more. NULL: no memory, and they were not taken.
 */
struct inspect_prefilter *inspect_prefilter_new(struct str key, struct str bytes,
                                                void (*release)(struct str));
void inspect_prefilter_unref(struct inspect_prefilter *); /* NULL is fine */
struct str inspect_prefilter_bytes(const struct inspect_prefilter *);

/* From now on it is used. False: it is that of others, they have one, or it is damaged. */
bool inspect_rules_use(struct inspect_rules *, struct inspect_prefilter *);

/* A cluster's overlay with one mode (WAF_MODE_DETECT or BLOCK). NULL: see the problems. */
struct waf_overlay *inspect_overlay_new(const struct inspect_rules *, const struct config_cluster *,
                                        enum config_waf_mode, struct waf_problems *ret_problems);

/* Everything a worker will do with it, tried out. False, and a line for each problem: "file:line:column:
 * ...". *ret_rules are then NULL, and also when nothing is to be inspected; ret_rules itself may be. */
bool inspect_check(const struct config *, const struct config_files *, struct buf *problems,
                   struct inspect_rules **ret_rules);

/* One line: what the first problem of a set is. */
struct str inspect_problem_text(const struct waf_problems *, struct arena *);

#endif
