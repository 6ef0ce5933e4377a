/* store/store.h - the records of one cluster: resources with all their versions, found by what FHIR searches.
 *
 * A store is one cluster. Its name stands in it, a store of another name is not opened, and no call takes two
 * stores: what one cluster has cannot come out of another. One process writes (the owner), any number of
 * others read; a reader never waits for the writer, nor the writer for readers. Behind this header lies
 * one set of tables, in SQLite or in PostgreSQL (query.h).
 *
 * What always holds:
 *  1. A write that was told to be committed survives the process, and the machine's power. What was not told
 *     is there as a whole transaction or not at all.
 *  2. After an error of the disk the writer's store stops (STORE_STOPPED for every further call) until it is
 *     opened anew: nobody knows what the kernel has kept. Readers go on.
 *  3. A body is given out only when its checksum is right: STORE_CORRUPT otherwise.
 *  4. Whatever a view hides is hidden from reads, history, searches, counts, totals, includes, chains and
 *     sorting alike: it is not there.
 *
 * Everything a call returns lies in the arena it was given and borrows nothing from the store. */
#ifndef POLDER_STORE_STORE_H
#define POLDER_STORE_STORE_H

#include "fhir/search_query.h"

struct store;

enum store_result {
    STORE_FINE,
    STORE_NOT_FOUND,    /* never was, or is hidden by the view */
    STORE_DELETED,      /* it was, and no more: *ret says since when */
    STORE_CONFLICT,     /* another version is current than the one expected */
    STORE_EXISTS,       /* STORE_CREATE of one that is there */
    STORE_BAD_POSITION, /* not a position this search or history gave out */
    STORE_NOT_INDEXED,  /* the search needs an index this store was made without (_content), or that is not
                           possible (:in, :above of codes); store_problem() says which */
    STORE_TOO_COSTLY,   /* a limit of store_options */
    STORE_TOO_LARGE,    /* a body, or more resources than a store can number */
    STORE_NO_MEMORY,    /* the arena, or the process */
    STORE_NO_SPACE,     /* the disk is full: nothing of the group was kept; the store goes on */
    STORE_BROKEN,       /* the disk failed: invariant 2 */
    STORE_STOPPED,      /* it failed before: open it anew */
    STORE_CORRUPT,      /* what was read is not what was written */
    STORE_BUSY,         /* another process writes, or restores */
    STORE_OTHER, /* no store, one of another cluster, of a later format, or a file that cannot be opened */
    STORE_OLD_INDEX, /* its keys were made by other tables: store_reindex() first */
};
struct str store_result_text(enum store_result); /* "the disk is full" */

/* ---- opening */

enum store_role {
    STORE_READER,
    STORE_WRITER, /* one process at a time: STORE_BUSY for a second */
};

/* The connection to a database server, for a process that raises its walls before it opens its store: made
 * before. NULL with STORE_FINE: the location is a folder, which needs none. Otherwise problem says why. */
struct store_link;
enum store_result store_link_open(struct str location, struct store_link **ret, struct buf *problem);
void store_link_close(struct store_link *); /* NULL is fine */

struct store_options {
    enum store_role role;
    struct str cluster;                 /* its name, 1 to 128 bytes */
    const struct fhir_indexer *indexer; /* outlives the store */
    bool may_create;                    /* a writer makes what is not there */
    bool has_content;                   /* when made: index every word of every resource, for _content; costs
                                           about as much again as all other keys */
    uint64_t cache_bytes;               /* of pages, for the writer; 0: 64 MiB */
    uint64_t map_bytes;                 /* readers map so much of the file; 0: 64 GiB, as much as there is */
    uint32_t candidates_max;            /* resources that one search may look at; 0: 200,000 */
    struct store_link *link; /* NULL: it connects by itself. The store takes it when it is opened */
    const char *vfs;         /* SQLite's name of a file layer; NULL: the usual one. For tests */
};

/* location: a database of PostgreSQL that is there, as libpq takes it ("postgresql://..."); a connection that
 * is lost is STORE_BROKEN, also of a reader, then STORE_STOPPED: the store has to be opened anew. Or the
 * folder of the cluster; it is made when it may be. In it lie "records.db" and, beside it, what SQLite needs
 * (-wal, -shm): a process behind walls needs to read and write those three, a reader too, for it takes part
 * in locking; it opens them here and with its first read, so both belong before the walls. A writer that
 * opens recovers what the last one left. */
enum store_result store_open(struct str location, const struct store_options *, struct store **ret);
void store_close(struct store *); /* NULL is fine; a group that is open is undone */
bool store_is_stopped(const struct store *);
/* Why the last call failed, for the log: "disk I/O error while syncing"; never text of a resource. Borrowed,
 * until the next call. */
struct str store_problem(const struct store *);

/* ---- who sees what */

/* What a reader may see. A resource belongs to patients by FHIR's definition of the Patient compartment; a
 * Patient belongs to itself. Criteria are those of a search (fhir/search_query.h, parsed from "Type?query"),
 * of one resource alone or by chains; a criterion without a type is meant for all. All is borrowed. */
struct store_view {
    /* Whose files are open: everybody's, or those named and those of patients who fit a criterion
     * ("Patient?general-practitioner=Organization/p"). A resource of several patients is seen when one of
     * them is open. */
    bool has_all_patients;
    const struct str *patients; /* ids */
    size_t patient_count;
    const struct fhir_query_criterion *patient_criteria;
    size_t patient_criterion_count;
    const struct str *hidden_patients; /* ids: closed, whatever else opens them */
    size_t hidden_patient_count;

    /* Types that may be seen at all; none: every type. And of what belongs to no patient: which types, when
     * not has_all_patients (Organization, Practitioner, Medication); none: nothing. */
    const struct fhir_type *const *types;
    size_t type_count;
    const struct fhir_type *const *common_types;
    size_t common_type_count;

    /* What fits one of these is hidden ("_security=R", "Composition?type=soep",
     * "Observation?encounter.episode-of-care=EpisodeOfCare/e"). */
    const struct fhir_query_criterion *denied;
    size_t denied_count;
    /* Of a type that is named here only what fits one of its criteria is seen ("Observation?category=x"). */
    const struct fhir_query_criterion *only;
    size_t only_count;
};
/* Wherever a view is taken, NULL means that everything is seen. Criteria inside a view see everything. */
/* Would a resource with these rows be seen, as far as it tells by itself: its type, and what of denied and
 * only is no chain? Whose file it lies in is not asked. */
bool store_view_fits(const struct store_view *, const struct fhir_type *, const struct fhir_index_rows *);

/* ---- reading */

enum store_verb { STORE_CREATE, STORE_UPDATE, STORE_DELETE };

struct store_record {
    const struct fhir_type *type;
    struct str id;
    uint64_t version;     /* from 1 on, one more with each write, deletions included */
    uint64_t sequence;    /* of all writes of the store: a later one has a higher number */
    int64_t time_us;      /* never goes backwards while sequence goes up */
    enum store_verb verb; /* what made it; STORE_DELETE: body is empty */
    struct str body;      /* the bytes that were written */
};

/* The current version. STORE_DELETED fills *ret as well. */
enum store_result store_read(struct store *, const struct store_view *, const struct fhir_type *,
                             struct str id, struct arena *, struct store_record *ret);
/* Any version; STORE_DELETED: that version is the deletion. */
enum store_result store_read_version(struct store *, const struct store_view *, const struct fhir_type *,
                                     struct str id, uint64_t version, struct arena *,
                                     struct store_record *ret);

/* From begin to end all reads see one state, which costs nothing but keeps the log from being cut: for
 * milliseconds, not while a peer is waited for. A search and its includes are one by themselves. */
enum store_result store_snapshot_begin(struct store *);
void store_snapshot_end(struct store *);
uint64_t store_last_sequence(struct store *); /* of the last write that is seen; 0: none, or an error */

/* ---- history */

struct store_history {
    const struct fhir_type *type;  /* NULL: of the whole system */
    struct str id;                 /* empty: of the whole type */
    int64_t since_us;              /* versions made at or after it; INT64_MIN: all */
    int64_t at_low_us, at_high_us; /* _at: versions that were current at some moment of [low, high);
                                      INT64_MIN and INT64_MAX: all */
    uint32_t count;                /* 1 to 10,000 */
    struct str position;           /* store_page.next of the page before; empty: the first */
};

struct store_page {
    const struct store_record *records; /* newest first */
    size_t n;
    bool has_total;
    uint64_t total;  /* of a history: of instances only */
    struct str next; /* empty: this was the last. Letters, digits, '-' and '_': fit for a link. It names a
                        place, not a number: what is written meanwhile moves nothing */
};

/* STORE_NOT_FOUND: of an instance that is not there. A deleted one has a history. A version is seen when it
 * is open to the view by what it was then, and by what the resource is now. */
enum store_result store_history(struct store *, const struct store_view *, const struct store_history *,
                                struct arena *, struct store_page *ret);

/* ---- what happened since */

struct store_changes {
    uint64_t after; /* a sequence: those above it, oldest first */
    uint32_t count; /* at most so many */
    const struct fhir_type *const *types;
    size_t type_count; /* 0: every type */
};
struct store_change_page {
    struct store_record *records;
    size_t n;
    uint64_t upto; /* all up to this sequence was looked at: where the next page begins */
    bool has_more;
};
/* As a history sees them: by what a version was, and by what the resource is now. It looks at 10,000 writes
 * at most and may find none of them. */
enum store_result store_changes(struct store *, const struct store_view *, const struct store_changes *,
                                struct arena *, struct store_change_page *ret);

/* ---- searching */

struct store_search {
    const struct fhir_search_query *query;
    uint32_t count;       /* matches on a page when the query does not say: 1 to 10,000 */
    uint32_t include_max; /* resources that are included at most; 0: 1,000. More: STORE_TOO_COSTLY */
    struct str position;  /* store_found.next of the page before, of the same query and view; empty: first */
    bool no_bodies;       /* only which resources: of conditional writes */
};

struct store_found {
    const struct store_record *matches; /* in order */
    size_t match_count;
    const struct store_record *included; /* none of them is a match of this page, none stands there twice */
    size_t included_count;
    bool has_total; /* when it was asked for, or was known anyway */
    uint64_t total;
    struct str next; /* as in store_page. Resources made after the first page are on none; one that is changed
                        meanwhile is shown as it is now, and where it stands now */
};

/* _summary=count and _count=0 give the total alone. Without _sort the order is the store's own: inside a
 * patient's file the newest first. */
enum store_result store_search(struct store *, const struct store_view *, const struct store_search *,
                               struct arena *, struct store_found *ret);

/* ---- writing. Only of a STORE_WRITER.
 *
 * store_begin, then store_apply for each transaction that waits, then store_commit: one fsync for all of
 * them. Reads of the writer see what was applied; nobody else does before the commit. */

enum {
    STORE_BODY_MAX = 64 << 20,
    STORE_ANY_VERSION = -1, /* of store_write.expected: whatever is there */
    STORE_NO_VERSION = 0,   /* none is there, or a deleted one */
};

struct store_write {
    enum store_verb verb; /* STORE_CREATE: none is there; STORE_UPDATE: one may be there, so that a client
                             can assign ids; STORE_DELETE: of what is not there changes nothing */
    const struct fhir_type *type;
    struct str id;    /* valid: 1 to 64 of the characters of FHIR's ids */
    int64_t expected; /* the version that must be current, or one of the two above */
    struct str body;  /* of create and update; exactly this is given out again. meta.versionId and
                         meta.lastUpdated in it are the caller's: store_next() and store_begin() tell them */
    const struct fhir_value *resource; /* the body, parsed */
    struct fhir_index_rows rows;       /* fhir_index_resource() of it */
    uint64_t ret_version;              /* what it became; of a deletion of nothing: 0 */
    uint64_t ret_sequence;
};

/* *ret_time_us: the time of all that is written in this group, at or after now_us and never before an earlier
 * group's. */
enum store_result store_begin(struct store *, int64_t now_us, int64_t *ret_time_us);
/* The version that a write of it would become in this group: 1, or one above the current. *ret_exists: it is
 * there now and not deleted. */
enum store_result store_next(struct store *, const struct fhir_type *, struct str id, uint64_t *ret_version,
                             bool *ret_exists);
/* A transaction: all of it or nothing. STORE_CONFLICT, STORE_EXISTS and STORE_TOO_LARGE leave the group as it
 * was before, and *ret_failed is the index of the write that could not be. Any other error has undone the
 * whole group: nothing of it was kept, and it is over. One resource stands in a transaction once:
 * STORE_CONFLICT otherwise. */
enum store_result store_apply(struct store *, struct store_write *, size_t n, size_t *ret_failed);
/* STORE_FINE: all of the group is durable. Anything else: nothing of it was kept (STORE_NO_SPACE), or nobody
 * knows (STORE_BROKEN: each transaction is there as a whole or not at all; the next opening tells). */
enum store_result store_commit(struct store *);
void store_abort(struct store *); /* the group is undone */

/* ---- keeping. Times are the caller's business: each call can be long. */

/* Moves the log into the database file as far as readers let it. An owner calls it when idle, and when
 * store_log_bytes() is large; a commit does it by itself only above 256 MiB. */
enum store_result store_checkpoint(struct store *);
uint64_t store_log_bytes(struct store *);

/* Compression by a dictionary made from the store's own bodies. store_train reads (of a reader, in any
 * process; some tenths of a second of computing) and returns an empty dictionary when there is too little of
 * the type, or nothing to gain; the owner adds it with store_add_dictionary. What is written from then on is
 * compressed by it; store_compact does it with the rest. */
enum store_result store_train(struct store *reader, const struct fhir_type *, struct arena *,
                              struct str *ret);
enum store_result store_add_dictionary(struct store *writer, const struct fhir_type *, struct str dictionary);
/* A type of which so many bodies were written without a dictionary, since it was opened or last asked; NULL:
 * none. Cheap. */
const struct fhir_type *store_wants_dictionary(struct store *, uint32_t bodies);

/* All bodies anew with the dictionaries of now, keys packed, and no free pages. For the owner alone, between
 * groups; needs as much free disk as the store has. Atomic: what was there stays until all is done. */
enum store_result store_compact(struct store *writer);
/* All keys anew, from the bodies. After a change of tables (STORE_OLD_INDEX). Atomic. */
enum store_result store_reindex(struct str location, const struct store_options *);

struct store_finding {
    enum store_fault {
        STORE_FAULT_PAGE,    /* the engine's own check of its pages */
        STORE_FAULT_BODY,    /* a body whose checksum is wrong, or that cannot be unpacked */
        STORE_FAULT_VERSION, /* a version that is missing, or that nothing belongs to */
        STORE_FAULT_KEY,     /* a key that is missing or too much: searches may be wrong */
    } fault;
    const struct fhir_type *type; /* NULL: not of one resource */
    struct str id;
    uint64_t version;
    struct str what; /* for people */
};
struct store_verified {
    uint64_t resources, versions, keys, faults;
};
/* Looks at everything: pages, each version's checksum, each current resource's keys against keys made anew.
 * found is called for each fault, at most 1,000 times. STORE_FINE: it has looked at all; faults says what it
 * found. */
enum store_result store_verify(struct store *, void (*found)(void *context, const struct store_finding *),
                               void *context, struct store_verified *ret);

/* A copy of one moment, while others write. target: a file that is not there; it appears under its name when
 * it is whole. progress (may be NULL) hears pages, and ends it by false (STORE_BUSY). */
enum store_result store_backup(struct store *reader, struct str target,
                               bool (*progress)(void *context, uint64_t done, uint64_t all), void *context);
/* Puts a backup at a location that has no store, verified first (every page, not every key). STORE_OTHER:
 * there is one already, or the backup is another cluster's. */
enum store_result store_restore(struct str backup, struct str location, const struct store_options *);

struct store_size {
    uint64_t resources, versions; /* current ones that are not deleted; all */
    uint64_t file_bytes, log_bytes, free_bytes;
};
enum store_result store_measure(struct store *, struct store_size *ret);

#endif
