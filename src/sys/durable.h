/* sys/durable.h - small files that must be on disk before somebody is told so. All of them lie in a folder
 * that is held as a descriptor, and are opened once: a role behind its walls goes on with what it holds.
 *
 * Errors are negative errno. A write that failed leaves a file that has to be looked at again. */
#ifndef POLDER_SYS_DURABLE_H
#define POLDER_SYS_DURABLE_H

#include "base/str.h"

/* The folder, made with mode 0700 where it is missing (its parent must be there), and its entry synced.
 * Refuses what is no folder, and one that others may write to. Its descriptor. */
int durable_folder(const char *path);
int durable_open_folder(const char *path); /* one that is there, to read in */
/* A file of that folder for reading and writing, made empty with mode 0600 where it is missing, and then the
 * folder synced. Refuses links and what is no plain file. */
int durable_open(int folder, const char *name);
/* The same for reading alone; -ENOENT: there is none. */
int durable_open_reader(int folder, const char *name);

/* All of a file, in memory from malloc that is the caller's, also when it is empty. -EFBIG: longer than the
 * limit. */
int durable_read(int fd, size_t limit, struct str *ret);
/* The whole file is these bytes, on disk when this returns 0. In between it is neither the old nor the new.
 */
int durable_replace(int fd, struct str);
/* Bytes at the end of a file that is `at` long, on disk when this returns 0. After an error it is cut back to
 * what it was, as far as the disk does that. */
int durable_append(int fd, uint64_t at, struct str);
int durable_cut(int fd, uint64_t size); /* to that length, synced */

#endif
