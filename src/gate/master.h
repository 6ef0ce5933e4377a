/* gate/master.h - the master: reads configurations, binds sockets, starts and replaces the roles. Internal to
 * gate/.
 *
 * It runs as root and is therefore thin: it parses nothing a peer sent, only the operator's files and the
 * typed messages of its own roles. Nothing on the data path waits for it; when it dies, everything goes on
 * and the next one takes over (master_adopt.c).
 *
 * A change of configuration (master_change.c), the first one included, is all or nothing:
 *
 *   CHECKED --keys to the signer--> KEYS --all loaded--> PREPARING --all roles prepared--> committed
 *      \________________________________ any failure, or 30 s ____________________________/--> aborted, old
 * one in force
 *
 * Invariants:
 *  1. master.current is what every role that is up has committed, or is being brought up to (child_bring_on).
 *  2. At most one change is under way. A role that dies after it was handed the new configuration aborts it;
 * one that is being started again is waited for, and brought up to the one in force first.
 *  3. A role is connected to others only once it has a configuration: what they ask, it can answer.
 *  4. A listening socket is closed only after no committed configuration uses it.
 *  5. Who ordered a change hears that it is in force only when every worker serves by it, and the filter
 *     filters by it. */
#ifndef POLDER_GATE_MASTER_H
#define POLDER_GATE_MASTER_H

#include "config/config.h"
#include "gate/role_process.h"
#include "proxy/admit_memory.h"
#include "proxy/inspect_rules.h"
#include "proxy/shared.h"
#include "waf/waf.h"

enum { WORKERS_MAX = 62, CHILDREN_MAX = WORKERS_MAX + 6, TICKET_KEY_BYTES = 80, TICKET_KEYS = 3 };

struct master;

enum child_state {
    CHILD_NONE,
    CHILD_WAITS /* to be started again */,
    CHILD_STARTED,
    CHILD_UP,
    CHILD_STOPPING
};

struct child {
    struct master *master;
    struct io exited; /* the pidfd */
    struct timer restart;
    struct channel *channel;
    enum role role;
    unsigned slot;
    enum child_state state;
    pid_t pid;
    uint32_t restarts, walls;
    unsigned quick_deaths; /* in a row */
    uint64_t started_ms;   /* monotonic */
    int64_t since_wall_ms;
    uint64_t generation;  /* committed in it; 0: none yet */
    uint64_t offered;     /* handed to it and not yet answered; 0: none */
    uint64_t prepared;    /* the newest that it can use */
    uint64_t committing;  /* told to a worker or the filter and not yet done; 0: none */
    unsigned keys_loaded; /* signer: of those offered */
};

struct listening {
    struct addr address;
    unsigned slot; /* the worker's; UINT_MAX: not a listener of workers (management) */
    int fd;
    bool is_first; /* the queue of partners and known users */
};

/* A configuration with what the roles need of it. */
struct loaded_config {
    uint64_t generation;
    struct config_disk *disk;
    struct config *config;
    struct arena *arena; /* warnings */
    struct str yaml;
    int bundle_fd;
    struct str warnings;
    char prefilter_key[WAF_PREFILTER_KEY_BYTES + 1]; /* of the rules; empty: nothing is inspected */
    int prefilter_fd;                                /* sealed memfd; -1: it has to be made */
    struct addr *resolved;                           /* by endpoint, of names; port 0: not yet */
    int access_log_fd, event_log_fd,
        waf_log_fd; /* opened because they are others than before; -1: unchanged */
};

enum change_stage { CHANGE_NONE, CHANGE_KEYS, CHANGE_PREPARING };

struct master {
    struct loop *loop;
    struct signals *signals;
    const char *config_path;
    char **argv;
    uint32_t without; /* breach builds: walls to leave out */
#ifdef POLDER_BREACH
    int breach_fds[CHILDREN_MAX]
                  [2]; /* ROLE_COUNT * slot + role, descriptor; of those that attack on command */
    unsigned breach_count;
#endif
    struct child children[CHILDREN_MAX];
    unsigned worker_count;

    struct loaded_config *current, *change;
    enum change_stage stage;
    struct timer change_timer, again_timer, ticket_timer, stop_timer;
    uint64_t order_id; /* who asked for the change; 0: nobody, or a signal */
    bool is_settling;  /* it is committed, and answered once every worker has done so */
    char settled_text[512];
    size_t settled_n;
    uint64_t next_generation;
    int64_t config_since_wall_ms, started_wall_ms;
    char config_error[4096]; /* why the newest configuration is not in force */

    struct listening *listening;
    unsigned listening_count, listening_room;
    int lock_fd, control_fd, management_fd, access_log_fd, event_log_fd, waf_log_fd;
    char run_directory[96];
    bool control_in_place; /* the control socket has its final name */

    int prefilter_fd;            /* what the compiler that runs writes into; -1: none */
    unsigned prefilter_failures; /* for the configuration in force */

    int perimeter_fd, perimeter_read_fd; /* the same memory; the second cannot be mapped for writing */
    int wake_fds[WORKERS_MAX];           /* eventfds, by worker */
    int admission_fd, admission_read_fd; /* likewise; the master's own mapping of it */
    size_t admission_size;
    void *admission_memory;
    struct admit_memory admission;
    struct admission *pressure; /* only to note it */
    struct timer pressure_timer;
    int isolation_fd; /* the folder of record and journal; -1: it cannot be opened */
    int shared_fd;
    size_t shared_size;
    struct shared shared;
    uint8_t ticket_keys[TICKET_KEYS * TICKET_KEY_BYTES];
    unsigned ticket_key_count;

    bool stopping, stop_overdue, killed, ready_said;
    int exit_status;
    struct adopted *adopted; /* roles of an older master, ended once ours are up */
};

/* ---- master.c */
[[gnu::format(printf, 1, 2)]] void master_say(const char *format, ...); /* a line on standard error */
struct child *master_child(struct master *, enum role, unsigned slot);  /* NULL: no such */
void master_order_done(struct master *, uint64_t order_id, bool ok, struct str text);
void master_tell_role(struct master *, const struct child *, struct str detail); /* to the observer */
void master_tell_config(struct master *);
void master_tell_all(struct master *);
void master_all_up(struct master *); /* a change was committed: first time, say ready and end the adopted */
void master_stop(struct master *, uint32_t drain_timeout_ms);
void master_child_ended(struct master *); /* one process less */
bool master_has_workers(const struct master *);
struct child *master_add_child(struct master *, enum role, unsigned slot); /* CHILD_WAITS */
unsigned master_workers_of(const struct config *);

/* ---- master_child.c */
void child_start(struct child *);
void child_stop(struct child *, uint32_t drain_timeout_ms);
bool child_needs_config(const struct child *);
void child_is_up(struct child *, uint32_t walls); /* it said hello */
/* Says so and ends it: it is started again, later and later. */
void child_give_up(struct child *, const char *why);

/* ---- master_talk.c */
bool child_message(void *child, struct channel *, struct str bytes, int fd);
void child_bring_on(struct child *); /* hands it the next configuration it lacks, if it is ready for one */
void child_commit(struct child *, const struct loaded_config *);

/* ---- master_change.c */
struct loaded_config *loaded_config_new(const char *path, struct str *ret_problems, struct arena *problems);
void loaded_config_free(struct loaded_config *);
bool config_has_names(const struct config *);
void change_timed_out(struct timer *);
void change_again(struct timer *);
bool change_begin(struct master *, uint64_t order_id); /* false: refused; the reason is in config_error */
void change_start(struct master *,
                  struct loaded_config *take); /* of one that was read, with its sockets open */
bool change_wants(const struct master *, const struct child *); /* it takes part at this stage */
void change_settle(struct master *); /* a worker committed, or is gone: answers when it was the last */
void change_step(struct master *);   /* a role has answered */
void change_fail(struct master *, struct str why);
bool send_keys(struct child *signer, const struct loaded_config *, char *ret_why, size_t cap);
bool send_configuration(struct child *, const struct loaded_config *); /* prepare, and listeners */
bool key_fits(const struct loaded_config *, const struct msg_key_loaded *, char *ret_why, size_t cap);

/* ---- master_listen.c */
bool listening_open(struct master *, const struct config *, char *ret_why,
                    size_t cap); /* what is not open yet */
void listening_close_unused(struct master *,
                            const struct config *); /* NULL: all but that of the management address */
int listening_find(const struct master *, const struct addr *, unsigned slot);       /* fd, or -1 */
int listening_find_first(const struct master *, const struct addr *, unsigned slot); /* of the first queue */
bool listening_has_first(const struct config *); /* whether it wants second queues */
/* To the filter, which puts them under the program that chooses; again and again, which changes nothing. */
void listening_tell_filter(struct child *filter);
bool listening_add(struct master *, const struct addr *, unsigned slot, int fd);
bool listening_open_management(struct master *, const struct config_gate *, char *ret_why, size_t cap);
bool listening_open_control(struct master *, const struct config_gate *, char *ret_why, size_t cap);
void listening_place_control(
    struct master *); /* gives the control socket its name, in place of an older gate's */
bool listening_open_logs(struct loaded_config *, const struct config_gate *before, char *ret_why, size_t cap);
void listening_take_logs(struct master *,
                         struct loaded_config *); /* those it opened are the master's from now on */
void listening_reopen_logs(struct master *);

/* ---- master_perimeter.c */
bool perimeter_make(struct master *);
/* The places of a configuration's upstreams and clusters in the memory of admission. */
void perimeter_claim(struct master *, const struct config *, uint64_t generation, uint64_t oldest);
void perimeter_worker_ended(struct master *, unsigned slot); /* what it held there is free again */

/* ---- master_pressure.c */
bool pressure_begin(struct master *); /* false: no memory */
/* The folder of isolation's record and journal, made where it is missing. What fails is said: without it the
 * level is closed. */
void perimeter_open_state(struct master *, const struct config_gate *);
bool perimeter_overdue_came(struct child *, struct str bytes);
bool perimeter_end_adopted_came(struct child *, struct str bytes);
bool perimeter_send(struct child *); /* to filter, workers and observer; false: the channel is full or gone */

/* ---- master_adopt.c */
bool adopt_lock(struct master *, const struct config_gate *, char *ret_why,
                size_t cap);             /* false: another gate runs here */
void adopt_write_state(struct master *); /* run_directory/gate.state: for whoever comes after us */
void adopt_read_state(struct master *);  /* who is there, and their listening sockets */
bool adopt_has_roles(const struct master *);
void adopt_end_old_roles(struct master *);
void adopt_stop(struct master *, bool soon); /* we end, and so do they */
void adopt_kill(struct master *);
void adopt_leave(struct master *); /* at our end: the state that the next master finds */
bool adopt_upgrade(
    struct master *,
    struct str *ret_error); /* executes the binary anew in this process; returns only on failure */

/* ---- master_prefilter.c */
void prefilter_find(struct loaded_config *, struct inspect_rules *); /* in the cache */
void prefilter_inherit(struct loaded_config *, const struct loaded_config *from);
void prefilter_need(
    struct master *); /* a compiler is started when the configuration in force lacks its own */
int prefilter_result_fd(struct master *); /* a fresh one for a compiler */
bool prefilter_send(const struct child *worker, const struct loaded_config *); /* fine when there is none */
bool prefilter_compiler_up(const struct child *);
bool prefilter_progress_came(const struct child *, struct str bytes);
bool prefilter_came(struct child *, struct str bytes);
bool prefilter_wants_compiler_back(struct master *); /* it ended */

/* ---- boot.c: before any network is up; needs no process of the gate. Returns the exit status. */
int boot_main(const char *config_path);

/* ---- notify.c: sd_notify(3), without the library */
void notify_systemd(const char *text);

#endif
