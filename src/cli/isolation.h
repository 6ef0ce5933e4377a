/* cli/isolation.h - what the commands about isolation share: questions to the desk in the filter role,
 * answers for people, and the files of the state directory where no gate is asked. */
#ifndef POLDER_CLI_ISOLATION_H
#define POLDER_CLI_ISOLATION_H

#include "cli/cli.h"
#include "config/config.h"
#include "isolation/journal.h"
#include "json/writer.h"

enum { ISOLATION_REQUEST_BYTES = 7168, ISOLATION_TIMEOUT_S = 40, ISOLATION_PAGE_BYTES = 4 << 20 };

/* ---- asking (isolate.c) */

struct isolation_request { /* "isolation {...}" under construction */
    char memory[ISOLATION_REQUEST_BYTES + 16];
    struct buf text;
    struct json_writer w;
};

/* Begins {"ask": ..., "name": who types this, "reason", "cluster" as given}. */
void isolation_request_begin(struct isolation_request *, const struct cli *, const char *ask);
/* Ends it, asks, and prints the answer where --json is given. False: *ret_status is the command's exit
 * status. */
bool isolation_request_ask(struct isolation_request *, const struct cli *, struct document *ret,
                           enum exit_status *ret_status);
/* The members of an order of a level; false: complained. */
bool isolation_request_level(struct isolation_request *, const struct cli *, const char *level);
/* The order as it was begun: asked, and its outcome told. */
enum exit_status isolation_order_give(struct isolation_request *, const struct cli *);

/* ---- for people (isolation_print.c) */

void isolation_print_done(struct buf *, const struct document *);
void isolation_print_plan(struct buf *, const struct document *, uint32_t plan);
void isolation_print_status(struct buf *, const struct document *);
void isolation_print_partners(struct buf *, const struct document *, bool color);
void isolation_print_drill(struct buf *, const struct document *);
/* "uid 1000" as the name that user has on this machine: for display only. */
void isolation_print_who(struct buf *, struct str who);
/* "2026-01-31 10:41" of "2026-01-31T09:41:07.123456Z", in the zone of who reads. */
void isolation_print_moment(struct buf *, struct str utc);

/* ---- files (isolation_files.c) */

struct isolation_files {
    struct arena *arena;   /* of what the configuration says */
    struct config *config; /* NULL: only --state was given, or it cannot be used */
    char folder[300];      /* of record and journal */
    struct str journal;    /* as it was read */
    bool has_state;        /* a record could be read */
    struct isolation_state *state;
    struct isolation_finding finding;
    struct arena *scratch;
};

/* The folder alone: STATE/isolation. */
bool isolation_files_find(struct isolation_files *, const struct cli *);
/* Record first, journal behind it, and the chain checked. False: complained. */
bool isolation_files_open(struct isolation_files *, const struct cli *);
void isolation_files_close(struct isolation_files *);

/* "30m" back from now, "18:00", "2026-01-31T09:41" in local time, with Z in UTC. is_future: an hour alone is
 * the next such moment, a time is from now on. False: none of these. */
bool isolation_moment(struct str text, bool is_future, int64_t *ret_us);

enum exit_status isolation_init(const struct cli *);   /* isolation_files.c */
enum exit_status isolation_report(const struct cli *); /* isolation_report.c */

#endif
