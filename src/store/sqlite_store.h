/* store/sqlite_store.h - a store kept in tables, of SQLite or of PostgreSQL. Inside sqlite_*.c and
 * postgres_*.c only.
 *
 * Tables:
 *   info(name, value)          format, cluster, counters, ...
 *   number(number, name)       numbers.h
 *   ident(k)                   type, id -> number of a resource; also of what is only referred to
 *   resource(rid, head, body)  the current version of each, a deletion too
 *   old(at, head, body)        the ones before; at = resource * 2^31 + version
 *   change(sequence, what)     each write: type, resource, version
 *   text(k)                    a text and its number (keys.h)
 *   keys(k)                    keys.h
 *   dictionary, narrative, content
 *
 * What always holds:
 *  1. Nothing is written outside a transaction of the database's; a group is one.
 *  2. Numbers are never given twice: the counters are written with the group that used them, and read anew
 *     after a group that was undone.
 *  3. The cache knows only what the connection sees: it is emptied when a group is undone. */
#ifndef POLDER_STORE_SQLITE_STORE_H
#define POLDER_STORE_SQLITE_STORE_H

#include "store/engine.h"
#include "store/pack.h"
#include "store/query.h"

#include <sqlite3.h>

enum {
    STORE_FORMAT = 1,
    INDEX_FORMAT = 2, /* one more whenever keys of the same resource become others */
    CACHE_SLOTS = 1 << 14,
    CACHE_TEXT = 123,
    OLD_VERSION_BITS = 31,
};

/* A text and its number. */
struct cached {
    uint32_t number;
    uint8_t n;
    char text[CACHE_TEXT];
};

struct counters {
    uint64_t sequence, resources, versions;
    int64_t time_us;
    uint32_t last_resource, last_term;
};

/* A key to be added or dropped at the end of the group, in the order they came. */
struct pending {
    struct str key;
    uint32_t order;
    bool is_added;
};

struct store {
    const struct driver *driver;
    sqlite3 *db;               /* of sqlite_driver.c */
    struct postgres *postgres; /* of postgres_driver.c */
    struct query statements[STATEMENTS];
    struct arena *arena;    /* for the life of the store */
    struct arena *scratch;  /* of one call */
    struct arena *resource; /* of one resource after another: what is opened, key making */
    struct numbers *numbers;
    const struct fhir_indexer *indexer;
    struct packer *packer;
    struct str location, cluster;
    struct counters counters;
    struct cached *cache;
    enum store_role role;
    uint32_t candidates_max;
    bool has_content, is_stopped, is_in_group, is_in_snapshot;
    unsigned read_depth;
    int lock_fd;        /* of the writer: the folder */
    uint32_t log_pages; /* in the log since it began anew */

    struct arena *group; /* of a group: its pending keys */
    struct pending *pending;
    size_t pending_count, pending_room;
    int64_t group_time_us;

    uint32_t without_dictionary[256]; /* bodies written so since it was opened, by type */
    struct opened opened;
    struct query *walks[ENGINE_LISTS]; /* under way; NULL: none */
    int walk_codes[ENGINE_LISTS];

    char problem[256];
};

/* ---- sqlite_log.c */
/* The name of a file layer over the one named (NULL: the usual one), or that one itself when there is no
 * room. */
const char *sqlite_log_layer(const char *below);

/* ---- sqlite_open.c */
enum store_result sqlite_read_counters(struct store *);
enum store_result sqlite_write_counters(struct store *);
enum store_result sqlite_write_index_version(struct store *);
/* Whatever its keys were made by. */
enum store_result sqlite_open_any(struct str location, const struct store_options *, struct store **ret);
bool sqlite_load_dictionary(struct store *, uint32_t number);
const struct driver *sqlite_driver_of(struct str location);

/* ---- sqlite_terms.c */
void sqlite_cache_clear(struct store *);
struct key_source sqlite_giving_source(struct store *); /* gives numbers to what has none; of a writer */

/* ---- sqlite_write.c */
enum store_result sqlite_flush_pending(struct store *);
enum store_result sqlite_undo_group(struct store *, enum store_result);

enum store_result sqlite_add_pending(struct store *, struct str key, bool is_added);
void sqlite_set_places(struct head *, const struct keys *);
/* Into the resource table or the old one, at a place. */
enum store_result sqlite_write_head(struct store *, enum statement, int64_t at, const struct head *,
                                    struct str packed);

/* ---- sqlite_keep.c */
/* The version behind *at in STATEMENT_RESOURCES or STATEMENT_OLDS; in the resource arena. STORE_NOT_FOUND:
 * that was the last. */
enum store_result sqlite_next_version(struct store *, enum statement list, int64_t *at, struct head *ret,
                                      struct str *ret_packed);

/* ---- sqlite_read.c */
enum store_result sqlite_unpack(struct store *, uint32_t resource, const struct head *, struct str packed,
                                struct arena *, struct str *ret);
enum store_result sqlite_head(struct store *, struct str bytes, struct head *ret);

/* ---- sqlite_words.c */
enum store_result sqlite_add_words(struct store *, uint32_t resource, const struct fhir_value *);
enum store_result sqlite_drop_words(struct store *, uint32_t resource, const struct fhir_value *);

#endif
