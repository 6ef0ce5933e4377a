/* records/worker.h - a worker: connections, reading, rendering. What writes goes to the owner of the cluster,
 * and no answer leaves before its line in the audit is durable.
 *
 *   request -> parse -> prepare -> [owner] -> audit -> render -> answer
 *                    \-> [read, at the end of the turn] -/
 *
 * What only reads is done at the end of the turn, all of it in one snapshot of each store: one begin and one
 * end, which are system calls, for all. The snapshot begins after the last of these requests has come, so
 * that nobody reads less than he was told before.
 *
 * What always holds: a request is known by a number (slot and generation) while the owner has it, and by its
 * sequence while the audit has it; lines that the audit has not confirmed are sent again to its successor. */
#ifndef POLDER_RECORDS_WORKER_H
#define POLDER_RECORDS_WORKER_H

#include "records/conn.h"
#include "records/process.h"
#include "rest/audit.h"
#include "rest/audit_event.h"
#include "rest/job.h"
#include "rest/read.h"
#include "rest/write.h"

struct worker;
struct stream;

/* A request between its parsing and its answer; in the connection's arena. */
struct task {
    struct worker *worker;
    struct conn *conn;
    struct list node; /* among those that wait to read, or for the audit */
    unsigned cluster;
    struct rest_http http;
    struct rest_request request;
    struct rest_answer answer;
    struct rest_caller caller;
    struct rest_judged judged;
    bool is_noticing, is_noticed; /* the practice is being told of an emergency; it was told */
    int64_t at_us, waits_since_us;
    bool is_bulk;          /* the exporter has it, not the owner */
    uint64_t id;           /* while the owner has it */
    uint64_t sequence;     /* of its line in the audit */
    struct stream *stream; /* it is answered for as long as somebody listens; NULL: once */
    struct str line;
};

struct owner_link {
    struct duct *duct;
    unsigned index;
    struct worker *worker;
};

struct worker {
    struct process process;
    struct rest_engine engine;
    struct rest_site *sites;
    struct rest_guard *guard; /* of all sites; NULL: access is off */
    struct conn_owner conns;
    struct io listeners[16];
    unsigned listener_count;
    bool is_accepting;
    struct owner_link owners[RECORDS_OWNERS_MAX];
    struct duct *audit;
    struct duct *exporter; /* NULL: it is away, or coming */
    uint64_t next_sequence;
    struct list *reading;      /* tasks of this turn, by cluster */
    struct deferred read_turn; /* does them */
    struct list unconfirmed;   /* tasks, in the order of their sequence */
    struct task **tasks;       /* by slot, those that an owner has; NULL: free */
    unsigned task_room, task_count;
    uint32_t generation;
    struct timer drain, overdue;
    struct list streams;
    unsigned stream_count;
    struct timer look; /* for what is new to them; set while there are any */
};

/* ---- task.c */
void task_begin(struct worker *, struct conn *);
void task_read_all(struct deferred *read_turn);
void task_owner_answered(struct worker *, struct str bytes);
void task_owner_gone(struct worker *, unsigned owner); /* nobody knows what became of what it had */
void task_exporter_gone(struct worker *);
void task_confirmed(struct worker *, uint64_t sequence);
void task_audit_answered(struct worker *, struct str bytes);
void task_send_again(struct worker *);  /* lines without confirmation, to a new audit */
void task_end_overdue(struct worker *); /* what owner or audit have kept too long is refused */
enum { TASK_LOOK_MS = 1'000 };

/* Its answer is there: it goes out when its line in the audit is durable. */
void task_finish(struct task *);

/* ---- stream.c */
bool stream_is_asked(const struct task *);
void stream_begin(struct task *, const struct rest_call *); /* judged */
struct arena *stream_arena(struct stream *);
bool stream_logged(struct task *); /* false: it never began, and is answered like any request */
void stream_look(struct timer *look);
void stream_sent(struct conn_owner *, struct conn *);
void stream_gone(struct conn_owner *, struct conn *);

/* ---- render.c */
/* The head into the connection, the body as it goes out. */
struct str render_answer(struct task *);

#endif
