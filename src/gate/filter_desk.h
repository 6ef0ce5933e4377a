/* gate/filter_desk.h - the desk of isolation inside: what its files share. See filter_role.h for what the
 * filter role asks of it, and docs/decisions/0023-isolation.md for what it rests on.
 *
 *   filter_desk.c     start: what was found, what it means, the first publishing; configurations; time
 *   filter_books.c    record and journal on disk
 *   filter_owner.c    which of two filter roles keeps them
 *   filter_steps.c    the steps of an order, and what happens when the disk fails in between
 *   filter_request.c  what a person asks, read
 *   filter_orders.c   and decided
 *   filter_answers.c  what a person is told
 *   filter_drill.c    the exercise
 *   filter_clock.c    whether the clock may open anything
 *
 * Invariants
 *  1. `state` is what is enforced, or more open than that by no more than one step that is under way.
 *  2. An order is reported as done when its outcome is in the journal on disk. When the disk fails, what
 * closes is in force all the same, is told as not recorded, and is tried again every second; what opens is
 * dropped.
 *  3. While something is owed to the disk nothing opens.
 *  4. Nothing is decided on a record that another filter role may have changed meanwhile. */
#ifndef POLDER_GATE_FILTER_DESK_H
#define POLDER_GATE_FILTER_DESK_H

#include "gate/filter_request.h"
#include "gate/filter_role.h"
#include "isolation/record.h"

#include "base/arena.h"
#include "json/tape.h"
#include "json/writer.h"

enum {
    DESK_FOUND_MAX = 2 * ISOLATION_SCOPES,
    DESK_SESSIONS_MAX = 4096,
    DESK_NOTE_BYTES = 400,
    JOURNAL_MAX = 256 << 20, /* 100,000 orders, which nobody gives; beyond it nothing can be recorded */
};

/* ---- who keeps them (filter_owner.c) */

struct owner {
    int fd;          /* -1: the file cannot be opened */
    uint64_t number; /* ours; 0: none */
};

enum ownership {
    OWNER_SAME,  /* we kept them before, too */
    OWNER_NEW,   /* from now on: what is on disk has to be read again */
    OWNER_ALONE, /* there is nothing that could be kept */
    OWNER_OTHER, /* another filter role does: nothing may be done, and owner_leave is not needed */
};

void owner_open(struct owner *, int fd);
/* Until owner_leave nobody else reads or writes them. takes_over: also from one that lives. */
enum ownership owner_enter(struct owner *, bool takes_over);
void owner_leave(struct owner *);

/* ---- record and journal (filter_books.c). Errors are negative errno. */

struct books {
    int slots[2], journal; /* -1: it cannot be opened; `error` says why */
    struct owner owner;
    int error;
    uint64_t journal_bytes; /* whole lines */
    struct isolation_journal chain;
    struct isolation_slots next;
    struct isolation_finding finding; /* of the journal, when it was last read */
    struct arena *scratch;            /* of ISOLATION_RECORD_ARENA bytes */
    char *page;                       /* of ISOLATION_RECORD_MAX bytes */
};

bool books_open(struct books *,
                int folder); /* takes the folder; false: no memory. Files that fail are told later */
void books_close(struct books *);
/* Reads both slots and the journal, cuts a torn end off. *ret_choice NONE: *ret is not set. */
int books_read(struct books *, struct isolation_state *ret, enum isolation_choice *ret_choice);
/* Into the older slot, with the journal's end as its anchor. spare: room for a copy. */
int books_record(struct books *, const struct isolation_state *, struct isolation_state *spare);
struct buf books_line(const struct books *); /* room for one line of the journal */
/* The line that was just made, synced. When it fails the chain goes back to `before`. */
int books_append(struct books *, const struct buf *line, const struct isolation_anchor *before);

/* ---- the desk */

struct inventory { /* of one configuration; texts lie in it */
    struct isolation_inventory shown;
    struct str *clusters;
    struct isolation_partner *partners;
    struct isolation_session *sessions;
};

struct outcome { /* of carrying something out */
    struct isolation_results results;
    uint64_t effective_us;  /* until everybody acted by it */
    int disk_error;         /* negative errno: not recorded */
    bool is_dropped;        /* nothing is changed: the disk failed before anything opened */
    unsigned workers_ended; /* which did not act in time */
    char note[DESK_NOTE_BYTES];
    size_t note_n;
};

struct clock_watch {          /* filter_clock.c */
    int64_t wall_us, boot_us; /* a moment at which the wall clock was known, or at which we began */
    bool was_synchronised;
};

struct desk {
    struct filter_role *role;
    struct books books;
    const struct config *config; /* NULL: none yet */
    struct inventory inventory;
    struct isolation_policy policy;
    /* Each is 240 KB. state: in force. next, strict, spare: while something is decided or carried out. */
    struct isolation_state *state, *next, *strict, *spare;
    struct isolation_found_level *found; /* DESK_FOUND_MAX */
    struct clock_watch clock;
    int64_t due_us; /* when isolation_tick has something to do; 0: never */
    enum isolation_choice choice;
    enum isolation_recovery recovery; /* of the start */
    bool has_begun;
    int owes;                      /* negative errno: `state` is in force and not on disk */
    char problem[DESK_NOTE_BYTES]; /* the packet filter's, the last time */
    size_t problem_n;
};

int64_t desk_now_us(void);

/* ---- filter_clock.c */
void clock_begin(struct clock_watch *);
/* May time open what this state holds? */
struct isolation_moment clock_moment(struct clock_watch *, const struct isolation_state *);

/* ---- filter_steps.c */

/* From desk.state to desk.next, which was decided. True: it is in force, see *ret for how well it is kept. */
bool desk_carry_out(struct desk *, struct outcome *ret);
/* Reads what is on disk, asks what that means beside what is in force, and carries that out. */
enum isolation_recovery desk_recover(struct desk *, struct outcome *ret);
/* Before anything is decided: nobody else keeps record and journal, and what is in force is what they say.
 * False: another filter role does. desk_leave afterwards. */
bool desk_enter(struct desk *);
void desk_leave(struct desk *);
/* Tries to write what is owed. True: nothing is owed (any more). */
bool desk_settle(struct desk *);
/* One line that changes nothing: a refusal, a drill's order with its outcome. */
bool desk_journal_refused(struct desk *, const struct isolation_order *, enum isolation_refusal);
bool desk_journal_drill(struct desk *, const struct isolation_state *, const struct isolation_work *);

/* ---- filter_answers.c */
void answer_error(struct buf *, struct str word, struct str text);
void answer_status(const struct desk *, struct buf *, int64_t now_us);
void answer_done(const struct desk *, struct buf *, const struct outcome *, struct str word);
/* What would change from desk.state to desk.next. */
bool answer_plan(struct desk *, struct buf *, int64_t now_us);
void answer_reconnect(const struct desk *, struct buf *, struct str cluster, int64_t now_us);

/* ---- filter_drill.c */
bool desk_drill(struct desk *, const struct isolation_order *, const struct request *, struct buf *answer);

#endif
