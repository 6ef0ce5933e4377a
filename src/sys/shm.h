/* sys/shm.h - shared memory by memfd. Nothing in it can be executed. */
#ifndef POLDER_SYS_SHM_H
#define POLDER_SYS_SHM_H

#include "base/str.h"

int shm_create(const char *name, size_t size);          /* sized, sealed against resizing; negative errno */
void *shm_map(int fd, size_t size, bool writable);      /* NULL: errno */
void shm_unmap(void *, size_t size);                    /* NULL is fine */
int shm_from_bytes(const char *name, struct str bytes); /* sealed against writing too; negative errno */
/* Maps a whole sealed memfd read-only; false unless it is sealed against writing and resizing and not larger
 * than the limit. The fd may be closed afterwards. */
bool shm_map_sealed(int fd, size_t limit_bytes, struct str *ret_bytes);
void shm_unmap_sealed(struct str bytes);

#endif
