/* proxy/exchange.h - one request and its answer, from the first byte in to the event.
 *
 *   (client) --exchange_new--> READ --exchange_begin--> INSPECT --exchange_inspected--> ADMIT
 *                               |            \___ nobody looks ______________________/   |
 *                               | refused,              | refused         too much: 503 | exchange_admitted,
 *                               v redirected            v                               v or at once
 *          DONE, or BROKEN <-- ANSWER <----------------------- answer's head, 502, 504 -- FORWARD
 *                   (reset)
 *
 * Invariants:
 *  1. An exchange has one owner, its client side (a connection or an HTTP/2 stream), which frees it.
 *  2. At most one upstream connection is attached, and it points back.
 *  3. The answer's head is sent once (interim answers excepted); after it no retry and no error page.
 *  4. Body bytes wait in bounded queues: a side whose queue is above EXCHANGE_QUEUE_HIGH makes the other stop
 * reading.
 *  5. Exactly one access event per exchange that got as far as a request head (or a refusal of one).
 *  6. In INSPECT no upstream connection is attached, and the body is the inspection's (inspect.h). In COLLECT
 * none is attached, and the body is read as far as admission wants it first (admit_uploads.c). In ADMIT none
 * is attached either, and of the body nothing more is asked for. In FORWARD an answer may be held there; then
 * none of it was handed to the side. */
#ifndef POLDER_PROXY_EXCHANGE_H
#define POLDER_PROXY_EXCHANGE_H

#include "base/access_event.h"
#include "http/h1.h"
#include "proxy/admit.h"
#include "proxy/worker.h"

enum { EXCHANGE_QUEUE_HIGH = 64 * 1024, EXCHANGE_ARENA_BYTES = 256 * 1024 };

enum exchange_state {
    EXCHANGE_READ,
    EXCHANGE_INSPECT,
    EXCHANGE_COLLECT,
    EXCHANGE_ADMIT,
    EXCHANGE_FORWARD,
    EXCHANGE_ANSWER,
    EXCHANGE_DONE,
    EXCHANGE_BROKEN
};

struct client;

/* The client side of an exchange, HTTP/1 or HTTP/2. Calls come from exchange.c only. */
struct exchange_side {
    void (*interim)(struct exchange *); /* ex->resp is a 1xx other than 101 */
    void (*head)(struct exchange *);    /* ex->resp, to be edited and sent */
    void (*body)(struct exchange *, struct str bytes);
    void (*end)(struct exchange *, const struct http_field *trailers,
                unsigned count);               /* the answer is complete */
    void (*broken)(struct exchange *);         /* it will never be: reset the stream, close the connection */
    void (*flush)(struct exchange *);          /* nothing more comes for now: send what waits */
    size_t (*queued)(const struct exchange *); /* bytes that wait to be sent to the client */
    void (*read_more)(struct exchange *);      /* the request body may flow (again) */
};

struct exchange {
    struct exchange *next_free;
    struct proxy *proxy;
    const struct exchange_side *side;
    struct client *client;
    void *stream; /* HTTP/2: the stream */
    struct arena *arena;
    struct snapshot *snapshot;
    enum exchange_state state;

    struct http_request req;
    struct http_response resp;
    const struct config_cluster *cluster;
    const struct config_route *route;
    struct pool *pool;

    struct inspection *inspection; /* NULL: nobody looks */
    struct admit_ticket admit;
    uint64_t user; /* key of the credentials it carries (classes.h); 0: none */
    struct upstream_conn *up;
    struct endpoint *failed_endpoint; /* could not be reached: the retry goes elsewhere if it can */
    struct outq up_head;              /* the canonical head, kept until an answer begins */
    struct outq req_body;             /* framed for the upstream, waiting */
    uint64_t body_received, body_limit;
    bool body_done;       /* the request body came whole */
    bool body_paused;     /* the client side was told to wait */
    bool body_taken;      /* what the inspection held waits in req_body */
    bool body_started;    /* some of it left for an upstream: no retry on another */
    bool body_chunked_up; /* framed as chunks towards the upstream */
    bool answer_begun;    /* head handed to the side */
    bool answer_paused;   /* the upstream side was told to wait */
    bool tunnel;          /* upgraded: bytes both ways */
    bool counted;         /* in requests_active */
    bool by_gate;         /* the answer is our own */
    bool is_strict;       /* the firewall blocks, also where the configuration lets it only detect */
    bool is_notice;       /* the answer is the notice: nobody edits it */
    bool close_client;    /* the client connection cannot be used after this */
    bool is_probe;     /* of probe.c: nothing is counted or logged, and it ends where it would be forwarded */
    bool probe_passed; /* it got there */
    uint8_t retries;
    uint64_t sticky; /* endpoint hash the client's cookie asks for; 0: none */
    bool set_sticky;
    uint64_t hash; /* for BALANCE_HASH */

    uint64_t began_us; /* monotonic */
    uint64_t id[2];
    struct access_event event;
};

struct exchange *exchange_new(struct client *, const struct exchange_side *,
                              void *stream); /* NULL: no memory */
/* Writes the event; detaches from upstream (aborting it when in mid-answer); frees. */
void exchange_free(struct exchange *);

/* Frees recycled exchanges that nobody needed since the last call: how many. */
unsigned exchange_trim(struct proxy *);

/* ex->req is complete and canonical: go. May answer at once. */
void exchange_begin(struct exchange *);
/* A request that could not be parsed: answers and ends. */
void exchange_refuse(struct exchange *, enum http_refusal);
/* There is somebody for the request's body: what comes else is dropped. */
static inline bool exchange_takes_body(const struct exchange *ex)
{
    return ex->up || (ex->state >= EXCHANGE_INSPECT && ex->state <= EXCHANGE_ADMIT);
}
/* Request body, decoded. Not more may be handed in while ex->body_paused. */
void exchange_request_body(struct exchange *, struct str bytes);
void exchange_request_end(struct exchange *, const struct http_field *trailers, unsigned count);
/* Nothing more of the request comes for now: send what waits. */
void exchange_request_flush(struct exchange *);
/* The client went away, or its body broke off. */
void exchange_abort(struct exchange *);
/* The client side has sent bytes: the answer may flow again. */
void exchange_answer_drained(struct exchange *);

/* ---- from admission */
void exchange_admitted(struct exchange *); /* its turn has come, or its body's end's */

/* ---- from the inspection */
void exchange_inspected(struct exchange *); /* nothing is said against the request: on with it */
/* The body's bytes take the place of the head's on an HTTP/1 connection: before they come, for a head that is
 * needed afterwards. False: it is too large. */
[[nodiscard]] bool exchange_keep_head(struct exchange *);
/* The request was understood, and this is its answer: the connection can go on where its body is read. */
void exchange_refuse_with(struct exchange *, uint16_t status, enum http_refusal);
void exchange_drop(struct exchange *, enum http_refusal); /* no answer: the connection or the stream ends */
/* ---- from the guard */
void exchange_answer_notice(
    struct exchange *);               /* instead of whatever was under way; no answer may have begun */
void exchange_cut(struct exchange *); /* nothing more is said to anybody: its side is about to be ended */
/* Nothing is said against the answer: its head goes, this part of its body, and the rest as it comes. */
void exchange_answer_inspected(struct exchange *, struct str body, bool is_whole,
                               const struct http_field *trailers, unsigned count);

/* ---- from the upstream side */
void exchange_upstream_connected(struct exchange *); /* ex->up may be written to */
void exchange_upstream_head(struct exchange *);      /* ex->resp is filled in */
void exchange_upstream_body(struct exchange *, struct str bytes);
void exchange_upstream_end(struct exchange *, const struct http_field *trailers, unsigned count);
/* The connection failed. No answer yet: retry or error page; in mid-answer: broken. status: 502 or 504. */
void exchange_upstream_failed(struct exchange *, uint16_t status, bool may_retry);
/* Answers with the gate's own page (error_page.c). */
void exchange_answer_status(struct exchange *, uint16_t status, enum http_refusal why);
void exchange_answer_redirect(struct exchange *, uint16_t port);

#endif
