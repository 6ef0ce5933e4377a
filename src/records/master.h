/* records/master.h - the master of polder-records: reads the configuration, opens the listeners, makes the
 * folders, starts the roles, ties them together and replaces those that die.
 *
 * Invariants:
 *  1. Workers are started when the audit and every owner are up: a store is there before it is read.
 *  2. Whenever two roles are up that talk to each other, they hold the two ends of one duct; one that comes
 * back gets new ones, and so does the other side.
 *  3. Two masters never work in one data folder (a lock). */
#ifndef POLDER_RECORDS_MASTER_H
#define POLDER_RECORDS_MASTER_H

#include "records/process.h"

enum { CHILDREN_MAX = RECORDS_WORKERS_MAX + RECORDS_OWNERS_MAX + 2, LISTENERS_MAX = 16 };

struct master;

enum child_state { CHILD_NONE, CHILD_WAITS, CHILD_STARTED, CHILD_UP, CHILD_STOPPING };

struct child {
    struct master *master;
    struct io exited; /* the pidfd */
    struct timer timer;
    struct channel *channel;
    enum role role;
    unsigned slot;
    enum child_state state;
    pid_t pid;
    unsigned quick_deaths; /* in a row */
    uint64_t started_ms;
};

struct master {
    struct loop *loop;
    struct signals *signals;
    struct config *config;
    int bundle_fd, lock_fd;
    int listeners[LISTENERS_MAX][RECORDS_WORKERS_MAX];
    struct child children[CHILDREN_MAX];
    unsigned child_count;
    struct timer stop_timer;
    bool is_stopping, is_killed, ready_said;
    int exit_status;
};

[[gnu::format(printf, 1, 2)]] void master_say(const char *format, ...);

/* ---- master_child.c */
void child_start(struct child *);
void child_stop(struct child *, uint32_t drain_ms);
/* ---- master.c */
void master_child_up(struct child *);
void master_child_ended(struct master *);
/* ---- master_files.c */
bool master_make_folders(struct master *);
bool master_listen(struct master *);

#endif
