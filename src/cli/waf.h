/* cli/waf.h - what the files of `polder waf` share. */
#ifndef POLDER_CLI_WAF_H
#define POLDER_CLI_WAF_H

#include "cli/cli.h"
#include "config/config.h"
#include "waf/offline.h"

#define WAF_COMMAND(name, arguments, least, most, function, help)                                            \
    enum exit_status function(const struct cli *);
#include "cli/waf_commands.def"
#undef WAF_COMMAND

enum { WAF_ASK_TIMEOUT_S = 10, WAF_PAGE_BYTES = 16 << 20 };

/* "30m" from now back, or "2026-01-31T09:41:07Z"; microseconds since 1970. False: complained. */
bool waf_since(const struct cli *, uint64_t *ret_us);

/* ---- rules without a gate */
struct inspect_rules;

struct waf_setup {
    struct arena *arena;
    struct config_disk *disk;
    struct config *config;
    struct inspect_rules *rules;
    struct config_cluster cluster; /* a copy, to be changed */
    struct h1_limits limits;
};

/* Reads the configuration and compiles its rules; chooses --cluster, else the cluster of that host (may be
 * empty), else the only one. Complains. */
enum exit_status waf_setup_open(struct waf_setup *, const struct cli *, struct str host);
void waf_setup_close(struct waf_setup *);
/* An overlay of the chosen cluster in mode block, with more exclusions; NULL: complained. */
struct waf_overlay *waf_setup_overlay(const struct waf_setup *, struct str more_exclusions);

/* The whole file, or standard input for "-"; malloc, at most a few MiB. False: complained. A request whose
 * head has LF line ends gets CR LF. */
bool waf_request_read(const char *path, struct str *ret_raw);
struct str waf_host_of(struct str raw); /* value of its Host field, or empty */

#endif
