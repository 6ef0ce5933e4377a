/* cli/records.h - what the parts of `polder records` share.
 *
 * `load` speaks FHIR to a record service over HTTP, as any client. The others open the files of a cluster
 * where its configuration says they are: as one more reader beside the service, or, for what may not happen
 * beside it, alone. */
#ifndef POLDER_CLI_RECORDS_H
#define POLDER_CLI_RECORDS_H

#include "cli/cli.h"
#include "config/config.h"
#include "store/store.h"

#define RECORDS_COMMAND(name, arguments, least, most, function, help)                                        \
    enum exit_status function(const struct cli *);
#include "cli/records_commands.def"
#undef RECORDS_COMMAND

/* A cluster of a configuration. */
struct records_place {
    struct arena *arena;
    struct config_disk *disk;
    struct config *config;
    const struct config_records_cluster *cluster;
    const struct fhir_indexer *indexer; /* once records_options was called */
};

/* Reads --config; the cluster is that of --cluster, else the only one, else (may_be_all) NULL: all.
 * Complains. Either way records_place_close. */
enum exit_status records_place_open(struct records_place *, const struct cli *, bool may_be_all);
void records_place_close(struct records_place *);

/* "DATA/CLUSTER" and a file in it, in the arena; *ret without the NUL that stands behind it. */
struct str records_folder_of(const struct records_place *, const struct config_records_cluster *);
/* Of its store: its database, or that folder. */
struct str records_location_of(const struct records_place *, const struct config_records_cluster *);
struct str records_file_in(const struct records_place *, struct str folder, const char *name);

/* False: no memory; complained. */
bool records_options(struct records_place *, enum store_role, struct store_options *ret);
/* Opens the store of the chosen cluster. Complains. */
enum exit_status records_open(struct records_place *, enum store_role, struct store **ret);
/* "the records of noord cannot be VERBed: WHY. WHAT TO DO"; store may be NULL. Always EXIT_PROBLEMS. */
enum exit_status records_complain(const struct records_place *, const char *verb, enum store_result,
                                  const struct store *);

/* Nobody else opens the records of this data directory until it is closed: the lock of the service itself.
 * -1: the service runs, or the folder cannot be used; complained. */
int records_lock(const struct records_place *);
/* The folder of a cluster and what is in it belong to the user of the service, when we are root. */
bool records_give_to_service(const struct records_place *, struct str folder);

/* ---- progress: one line that is rewritten on a terminal, else a line every few seconds. On standard error
 */
struct records_progress {
    const char *what; /* "backup of noord" */
    uint64_t began_ms, said_ms;
    bool is_terminal, has_said;
};
void records_progress_begin(struct records_progress *, const char *what);
/* extra: what else is to be said ("12,345 resources, 5,432/s"); may be empty. */
void records_progress_show(struct records_progress *, uint64_t done, uint64_t all, struct str extra);
void records_progress_end(struct records_progress *); /* the line goes, so that others can be written */
double records_progress_seconds(const struct records_progress *);
uint64_t records_now_ms(void);

#endif
