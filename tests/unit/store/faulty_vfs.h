/* tests/unit/store/faulty_vfs.h - a file layer for SQLite that fails, dies or loses power at the Nth call
 * that changes a file: write, sync, truncate, delete. */
#ifndef POLDER_TESTS_FAULTY_VFS_H
#define POLDER_TESTS_FAULTY_VFS_H

#include <stdbool.h>
#include <stdint.h>

enum fault_kind {
    FAULT_NONE,
    FAULT_ERROR, /* that call fails, later ones do not */
    FAULT_ERROR_STAYS,
    FAULT_FULL,  /* writes say that the disk is full; that one and the next two */
    FAULT_HALF,  /* half of the write is done, then it fails */
    FAULT_KILL,  /* the process is gone, by SIGKILL, half of the write done */
    FAULT_POWER, /* what was not synced is lost, but for a part of it, and the process is gone */
};

struct faulty {
    enum fault_kind kind;
    uint64_t at;    /* the call, from 1 on */
    uint64_t calls; /* so far */
    uint64_t seed;  /* which of the writes that were not synced are kept */
    uint64_t writes, syncs;
};
extern struct faulty faulty;

const char *faulty_vfs(void); /* its name; registered once */

#endif
