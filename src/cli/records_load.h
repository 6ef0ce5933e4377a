/* cli/records_load.h - what the files of `polder records load` share.
 *
 *   files -> reader: lines, entries of bundles -> parcels of some hundred entries -> links: connections
 *
 * A parcel is a transaction that writes each resource under the id it has in the file, so that it may be sent
 * again at any time. One that is refused is sent once more as a batch, whose answer says which entries are to
 * blame. A Bundle that is a transaction or batch itself is sent as it stands. */
#ifndef POLDER_CLI_RECORDS_LOAD_H
#define POLDER_CLI_RECORDS_LOAD_H

#include "base/addr.h"
#include "cli/records.h"

enum {
    LOAD_ENTRIES = 250,
    LOAD_BYTES = 1 << 20, /* of a parcel, when one resource alone is not larger */
    LOAD_LINKS = 4,
    LOAD_LINE_MAX = 64 << 20,
    LOAD_ERRORS_TOLD = 100,
};

struct load_entry {
    unsigned line;
    char name[96]; /* "Patient/noord-1" */
};

/* On its way or back. Whose text it is: malloc. */
struct parcel {
    struct buf text;
    struct load_entry entries[LOAD_ENTRIES];
    unsigned count;
    size_t type_at;      /* where the word transaction stands */
    uint64_t begin, end; /* what it is of its file, in bytes */
    bool is_whole;       /* a Bundle as it stands */
    bool is_batch;
    unsigned tries;
};
void parcel_begin(struct parcel *, uint64_t at);
bool parcel_add(struct parcel *, struct str resource, struct str type, struct str id,
                unsigned line); /* false: no memory */
bool parcel_end(struct parcel *);
void parcel_make_batch(struct parcel *);
void parcel_free(struct parcel *);

/* ---- where it goes */
struct load_target {
    struct addr address;
    struct str base; /* "http://127.0.0.1:8090/noord/fhir" */
    struct str authority, path, token;
};

/* ---- errors, counts */
struct load_error {
    struct str file, text;
    unsigned line;
};
struct load {
    const struct cli *cli;
    struct arena *arena;
    struct load_target target;
    struct str file;                  /* being read: its name */
    uint64_t loaded, failed, skipped; /* resources; resources; bytes that were loaded before */
    unsigned told;                    /* errors */
    struct load_error errors[LOAD_ERRORS_TOLD];
    struct records_progress progress;
    const struct fhir_validator *validator; /* of a dry run */
    struct arena *checks, *scratch;
};
/* records_load_target.c. They complain. */
bool load_target_of_url(struct load *, struct str url);
enum exit_status load_target_of_config(
    struct load *); /* its first listener, and the path of the cluster there */
bool load_read_token(struct load *);

/* records_load_report.c */
/* "FILE:LINE: TEXT"; line 0: of the file as a whole. Counts `entries` failures. */
[[gnu::format(printf, 4, 5)]] void load_failed(struct load *, unsigned line, unsigned entries,
                                               const char *format, ...);
bool load_tell(struct load *, bool is_complete, double seconds); /* false: it cannot be printed */

/* ---- reading: records_load_read.c */
struct load_reader;
enum load_read { LOAD_PARCEL, LOAD_END, LOAD_TROUBLE };
struct load_reader *load_reader_open(struct load *, const char *path, uint64_t from); /* NULL: complained */
/* Fills the parcel, which was begun by nobody. What cannot be sent is told with load_failed. */
enum load_read load_reader_next(struct load_reader *, struct parcel *ret);
void load_reader_close(struct load_reader *);

/* ---- sending: records_load_send.c */
struct link {
    int fd; /* -1: none */
    struct parcel *parcel;
    struct buf in;
};
enum load_sent { SENT_WAITS, SENT_FINE, SENT_AGAIN, SENT_REFUSED, SENT_HOPELESS };
/* Connects where there is no connection, and sends the parcel. False: nobody listens there (errno). */
bool link_send(struct link *, const struct load_target *, struct parcel *);
/* Reads what there is. SENT_FINE: written, also in part (told); the link is free. SENT_AGAIN: later, after
 * *ret_wait_ms. SENT_REFUSED: told. SENT_HOPELESS: complained, nothing more can be sent. */
enum load_sent link_receive(struct link *, struct load *, unsigned *ret_wait_ms);
void link_close(struct link *);
/* Is that resource there? Asks on a connection of its own. */
bool load_is_there(const struct load_target *, struct str name);

/* ---- what was done: records_load_state.c
 * The file .polder-loaded beside the data: for each target and file how far it is loaded. */
struct load_mark {
    struct str name;
    uint64_t size, time_ns;
    uint64_t done;    /* bytes from its beginning: all of it is loaded */
    struct str first; /* "Patient/noord-1", its first resource; may be empty */
};
struct load_state;
struct load_state *load_state_open(struct load *, struct str folder);
/* What is known of a file that is as it was then; NULL: nothing. */
const struct load_mark *load_state_find(const struct load_state *, const struct load_mark *file);
/* Written at once; where that cannot be, it is told once. */
void load_state_set(struct load_state *, const struct load_mark *);
void load_state_close(struct load_state *);

#endif
