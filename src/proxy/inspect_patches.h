/* proxy/inspect_patches.h - the virtual patches of a configuration as part of its rules: before all others,
 * and taken away from clusters that want to be without one. */
#ifndef POLDER_PROXY_INSPECT_PATCHES_H
#define POLDER_PROXY_INSPECT_PATCHES_H

#include "waf/patch.h"

struct inspect_patches {
    const struct waf_patch *items;
    const struct str *texts; /* of their files */
    unsigned count;
};

/* Everything is copied into the arena. False: *ret_problems say why (none: no memory). */
bool inspect_patches_read(const struct config *, struct arena *, struct inspect_patches *ret,
                          struct waf_problems *ret_problems);
/* Would reading anew read the very same texts? */
bool inspect_patches_are(const struct inspect_patches *, const struct config *);
/* NULL: no patch's file has that path / no patch has that id. */
const struct waf_patch *inspect_patches_by_path(const struct inspect_patches *, struct str path);
const struct waf_patch *inspect_patches_by_id(const struct inspect_patches *, struct str id);

/* The cluster's exclusions, and those that take its exceptions away, in the arena. False: no memory, or
 * *ret_unknown is an exception that no patch is called. */
bool inspect_patches_exclusions(const struct inspect_patches *, const struct config_cluster *, struct arena *,
                                struct str *ret_text, struct str *ret_unknown);

#endif
