/* store/sqlite_driver.h - what the files of the SQLite driver share: sqlite_driver.c, sqlite_connect.c,
 * sqlite_fts.c, sqlite_copy.c. */
#ifndef POLDER_STORE_SQLITE_DRIVER_H
#define POLDER_STORE_SQLITE_DRIVER_H

#include "store/sqlite_store.h"

struct str sqlite_bytes(sqlite3_stmt *, int at);
enum store_result sqlite_failed(struct store *, int code);
enum store_result sqlite_exec(struct store *, const char *sql);

enum store_result sqlite_connect(struct store *, const struct store_options *);
void sqlite_disconnect(struct store *);
enum store_result sqlite_is_empty(struct store *, bool *ret);
enum store_result sqlite_make_tables(struct store *, bool has_content);
bool sqlite_has_content(struct store *);

enum store_result sqlite_fts_add(struct store *, bool in_content, uint32_t resource, struct str words);
enum store_result sqlite_fts_drop(struct store *, bool in_content, uint32_t resource, struct str words);
enum store_result sqlite_fts_find(struct store *, bool in_content, struct str words,
                                  bool (*each)(void *context, uint32_t resource), void *context);

uint64_t sqlite_log_bytes(struct store *);
enum store_result sqlite_checkpoint(struct store *);
enum store_result sqlite_measure(struct store *, uint64_t *ret_bytes, uint64_t *ret_free);
enum store_result sqlite_shrink(struct store *);

enum store_result sqlite_backup(struct store *, struct str target,
                                bool (*progress)(void *context, uint64_t done, uint64_t all), void *context);
enum store_result sqlite_restore(struct str backup, struct str location, const struct store_options *);

#endif
