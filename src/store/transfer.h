/* store/transfer.h - all of a store into another one. Inside src/store only. */
#ifndef POLDER_STORE_TRANSFER_H
#define POLDER_STORE_TRANSFER_H

#include "store/sqlite_store.h"

typedef bool transfer_progress(void *context, uint64_t done, uint64_t all);

/* from: inside a state that was begun. to: a writer in which nothing was written yet; it has to be closed
 * afterwards, for it knows nothing of what it was given. All or nothing. */
enum store_result store_transfer(struct store *from, struct store *to, transfer_progress *, void *context);

#endif
