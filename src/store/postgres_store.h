/* store/postgres_store.h - what the files of the PostgreSQL driver share: postgres_driver.c (statements),
 * postgres_pipe.c (what goes over the connection), postgres_connect.c, postgres_words.c, postgres_copy.c.
 *
 * What always holds:
 *  1. The connection is in pipeline mode. What gives no row is sent and not waited for; whoever wants rows,
 * or commits, waits for all that was sent before, and an error of any of it is an error of theirs.
 *  2. What a group wrote is told to be committed only when the server has answered COMMIT with "COMMIT".
 *  3. A store connects once. A writer holds the advisory lock of the database for the life of its connection.
 */
#ifndef POLDER_STORE_POSTGRES_STORE_H
#define POLDER_STORE_POSTGRES_STORE_H

#include "store/sqlite_store.h"

#include <libpq-fe.h>

enum { POSTGRES_BOUND_BYTES = 1'024, POSTGRES_PARAMETERS = 3 };

/* Lists that are read in pieces: where the next piece begins. */
enum postgres_walk { WALK_NONE, WALK_UP, WALK_DOWN, WALK_NUMBERS_DOWN };

struct postgres_query {
    enum statement which;
    enum postgres_walk walk;
    int parameter_count;
    const char *values[POSTGRES_PARAMETERS];
    int lengths[POSTGRES_PARAMETERS];
    char numbers[POSTGRES_PARAMETERS][8];
    PGresult *rows;   /* of the last step */
    bool is_expected; /* the rows are the store's expected ones, of which this is one */
    int row, limit;
    char bound[POSTGRES_BOUND_BYTES];
};

struct postgres {
    PGconn *connection;
    struct postgres_query queries[STATEMENTS];
    PGresult *expected; /* until the state ends: number, head and body, in order */
    bool has_tables, has_content, is_prepared;
    bool is_writing, is_reading; /* between BEGIN and COMMIT */
    unsigned queued;             /* statements sent since the last wait */
    unsigned syncs;              /* sent, and not answered yet */
    enum store_result failure;   /* of what was waited for last */
};

/* ---- postgres_pipe.c */
/* Into the pipeline. False: the connection is lost, s->postgres->failure says it. */
bool postgres_send(struct store *, const struct postgres_query *);
bool postgres_send_text(struct store *, const char *sql);
bool postgres_send_prepare(struct store *, enum statement, const char *sql);
void postgres_let_go(struct store *); /* what was sent is to be carried out; nobody waits */
/* Waits for all that was sent. ret (may be NULL): what the last statement gave, the caller's to clear. */
enum store_result postgres_wait(struct store *, PGresult **ret);
enum store_result postgres_exec(struct store *, const char *sql, PGresult **ret);
enum store_result postgres_fail(struct store *, enum store_result, const char *what);

/* ---- postgres_connect.c */
enum store_result postgres_connect(struct store *, const struct store_options *);
void postgres_disconnect(struct store *);
enum store_result postgres_is_empty(struct store *, bool *ret);
enum store_result postgres_make_tables(struct store *, bool has_content);
bool postgres_has_content(struct store *);
enum store_result postgres_measure(struct store *, uint64_t *ret_bytes, uint64_t *ret_free);
enum store_result postgres_shrink(struct store *);

/* ---- postgres_words.c: lists as one value, and postgres_expect.c */
void postgres_expect(struct store *, const uint32_t *resources, size_t n);
void postgres_expect_nothing(struct postgres *);
/* Is the row that was asked for an expected one? Then the query stands on it. */
bool postgres_find_expected(struct postgres *, struct postgres_query *);

/* ---- postgres_words.c */
enum store_result postgres_change_keys(struct store *, const struct pending *, size_t n);
enum store_result postgres_add_words(struct store *, bool in_content, uint32_t resource, struct str words);
enum store_result postgres_drop_words(struct store *, bool in_content, uint32_t resource, struct str words);
enum store_result postgres_find_words(struct store *, bool in_content, struct str words,
                                      bool (*each)(void *context, uint32_t resource), void *context);

/* ---- postgres_copy.c */
enum store_result postgres_backup(struct store *, struct str target,
                                  bool (*progress)(void *context, uint64_t done, uint64_t all),
                                  void *context);
enum store_result postgres_restore(struct str backup, struct str location, const struct store_options *);

#endif
