/* proxy/inspect_parts.h - what the files of the inspection share. Internal to inspect*.c. */
#ifndef POLDER_PROXY_INSPECT_PARTS_H
#define POLDER_PROXY_INSPECT_PARTS_H

#include "http/inflate.h"
#include "proxy/client.h"
#include "proxy/inspect.h"
#include "sys/fiber.h"

enum { INSPECT_FIBERS_MAX = 128 };

enum inspect_stage {
    STAGE_HEAD,
    STAGE_COLLECT,
    STAGE_BODY,
    STAGE_FORWARDED,
    STAGE_ANSWER_HEAD,
    STAGE_ANSWER_COLLECT,
    STAGE_ANSWER_BODY,
    STAGE_OVER,
};

/* What rules remember of a cluster's clients, as long as a snapshot has a cluster of that name; it is nothing
 * to another cluster's. */
struct inspect_memory {
    struct list node;
    uint64_t key; /* shared_cluster_key */
    unsigned refs;
    struct waf_store *store;
};

/* A cluster of one snapshot: its overlays and its place in the round. */
struct inspect_cluster {
    struct list node;           /* inspector.round, while anything of it is ready to run */
    struct list fresh, started; /* inspection.node: to begin, and to go on */
    unsigned fibers;            /* that its inspections hold */
    bool started_is_next;       /* the two take turns */
    struct inspect_memory *memory;
    struct waf_overlay *detect, *block; /* NULL: no route has that mode */
};

struct inspection {
    struct inspection *next_free;
    struct list node; /* of its cluster's lists, while it is ready to run */
    struct exchange *ex;
    struct inspect_cluster *cluster;
    struct fiber *fiber; /* while a phase is under way */
    struct arena *arena; /* of the transaction */
    struct waf_tx *tx;   /* NULL before its begin, and once nobody needs it */
    struct waf_request request;
    struct waf_response response;
    enum config_waf_mode mode;
    enum inspect_stage stage;
    enum waf_action action; /* of the phase that ran last */

    struct chunk *held; /* the body, of the request or of the answer */
    size_t counted;     /* bytes of it in inspector.held_bytes */
    size_t remembered;  /* bytes of the arena in inspector.held_bytes */
    uint64_t limit;     /* of the body */
    struct http_codings codings;
    enum http_inflate_result decoded;
    const struct http_field *trailers; /* that came behind a held body */
    unsigned trailer_count;

    uint64_t spent_us;
    uint32_t slices;
    bool wants_body;    /* the rules look at it */
    bool has_failed;    /* no memory */
    bool is_unreadable; /* the body has a coding that nobody knows */
    bool is_over_limit; /* not all of the body was looked at */
    bool is_logged;     /* phase 5 has run, or may not run any more */
    bool is_below;      /* below a call of the upstream connection: nothing may be done about it now */
    bool is_judged;     /* a phase ended meanwhile */
    bool holds_answer;  /* between the answer's head and its verdict */
    bool answer_ended;  /* the upstream has sent all of it */
};

struct inspector {
    struct proxy *proxy;
    struct list memories;                /* inspect_memory.node */
    struct inspect_prefilter *prefilter; /* the newest that came; NULL: none yet */
    struct deferred turn;
    struct list round;  /* clusters with something to run, whose turn is next first */
    struct list judged; /* inspections whose phase is over, to be acted upon from the loop */
    struct fiber *idle_fibers[INSPECT_FIBERS_MAX];
    unsigned idle_count, fiber_count;
    uint64_t turn_us, turn_spent_us; /* the loop's turn, and what inspections took of it */
    uint64_t slice_began_us, longest_us;
    struct inspection *running;
    size_t held_bytes;
    struct inspection *free;
    unsigned free_count, least_free;
};

/* ---- inspect.c */
enum http_refusal inspect_refusal(const struct inspection *); /* what the phase that ran last comes to */
void inspect_refuse(struct inspection *, enum http_refusal);  /* answers, and is over */
void inspect_log(struct inspection *);                        /* phase 5, once; then nothing more runs */
void inspect_phase(struct inspection *);                      /* in a fiber: what the stage asks for */
void inspect_phase_over(struct inspection *);                 /* on the loop's stack: what follows */

/* ---- inspect_answer.c */
void inspect_answer_phase(struct inspection *); /* the same two for phases 3 and 4 */
void inspect_answer_phase_over(struct inspection *);

/* ---- inspect_turns.c */
void inspect_run(struct inspection *);         /* now if the turn has time left, else when its turn comes */
void inspect_wait(struct inspection *);        /* when its turn comes */
void inspect_judge_later(struct inspection *); /* inspect_phase_over, from the loop */
void inspect_stop(struct inspection *);        /* takes it out of every list, drops its fiber */
void inspect_pause(void *inspection);          /* waf_pause_fn */
void inspect_turn(struct deferred *);
void inspect_cluster_init(struct inspect_cluster *);

/* ---- inspect_hold.c */
enum hold_result { HELD, HOLD_TOO_LARGE, HOLD_NO_ROOM };
/* expected: how long it will be, when that is known; 0 else. */
enum hold_result inspect_hold(struct inspection *, struct str bytes, uint64_t expected);
/* One more piece, whatever the limits say, after which there is no other. False: no memory. */
bool inspect_hold_last(struct inspection *, struct str bytes);
struct str inspect_held(const struct inspection *);
void inspect_drop_held(struct inspection *);
void inspect_count_arena(struct inspection *);  /* what the rules made of it is counted too */
void inspect_forget_arena(struct inspection *); /* the transaction ends */
void inspect_uncount(struct inspection *);      /* what was counted is no longer held */

/* ---- inspect_request.c: what the rules are told; false: no memory */
bool inspect_describe_request(struct inspection *);
bool inspect_describe_answer(struct inspection *);
uint64_t inspect_body_limit(const struct inspection *); /* of the request */

/* ---- inspect_report.c: what was found, told in one place */
void inspect_report(struct inspection *); /* at the exchange's end: the audit record */

#endif
